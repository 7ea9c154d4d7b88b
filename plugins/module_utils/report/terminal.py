"""Placeholder; to be overwritten by its author."""


def summary(diagnosis, language, width, colour, report=""):
    return diagnosis["verdict"]
