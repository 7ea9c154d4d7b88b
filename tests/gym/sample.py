"""Which part of the gym a test run takes: another one with each commit, and all of it over COMMITS commits in a row."""
from __future__ import annotations

import subprocess

import lab

COMMITS = 5


def number():
    """The number of the commit that is checked out; 0 without a history.

    A shallow clone cannot count: it takes the digest for a number, which changes with the commit but does not go round.
    """
    def git(*words):
        return subprocess.run(["git", *words], cwd=lab.ROOT, capture_output=True, text=True, check=True).stdout.strip()
    try:
        if git("rev-parse", "--is-shallow-repository") == "true":
            return int(git("rev-parse", "HEAD")[:8], 16)
        return int(git("rev-list", "--count", "HEAD"))
    except (OSError, subprocess.CalledProcessError):
        return 0


def take(known, at):
    """The names of the sample of commit ``at``: of healthy estates, and of the faults of each layout, every COMMITSth."""
    groups = {}
    for name, fault in known.items():
        group = "healthy" if fault["cause"] == "none.healthy" else lab.layout_of(fault)
        groups.setdefault(group, []).append(name)
    taken = {name for names in groups.values() for name in names[at % COMMITS::COMMITS]}
    return [name for name in known if name in taken]


if __name__ == "__main__":
    print(number())
