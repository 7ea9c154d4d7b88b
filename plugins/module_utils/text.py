"""Text that came from outside, made safe to keep and to show.

Banners, log lines, addresses and command output are written by others. They are kept
as data: without control characters (which a terminal would obey) and of bounded length.
"""
from __future__ import annotations

import re

# CSI and OSC sequences (ECMA-48) first, so that their printable remains go with them.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-_]?")
# C0 and C1 controls, the bidirectional overrides and the line and paragraph separators, lone surrogates.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")


def clean(value: object, limit: int = 400) -> str:
    """Return one line of printable text, at most ``limit`` characters.

    Bytes are read as UTF-8 with replacement. A cut is shown by a closing ellipsis, so that nobody
    takes a part for the whole.
    """
    if value is None:
        return ""
    if isinstance(value, (bytes, bytearray)):
        # Four bytes at most make a character: a huge value is not decoded in full to keep its first line.
        value = bytes(value[: limit * 4 + 4]).decode("utf-8", "replace")
    text = str(value)[: limit * 4 + 4]
    text = _CONTROLS.sub(" ", _ESCAPES.sub("", text)).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def clean_lines(value: object, most: int = 20, limit: int = 400) -> list[str]:
    """Return the non-empty lines of a command's output, each cleaned, at most ``most`` of them."""
    if isinstance(value, (bytes, bytearray)):
        value = bytes(value).decode("utf-8", "replace")
    lines = (clean(line, limit) for line in str(value or "").splitlines())
    return [line for line in lines if line][:most]
