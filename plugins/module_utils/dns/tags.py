"""Lists of ``tag=value`` pairs, the form of DKIM (RFC 6376, 3.2), DMARC (RFC 7489, 6.4) and MTA-STS (RFC 8461, 3.1) records."""
from __future__ import annotations

import re

_TAG = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def parse(text: str, strict: bool = True) -> dict:
    """``{tag: value}`` in the order of the record.

    Raises ValueError for what is no such list, or names a tag twice; when not ``strict``, such parts are skipped.
    """
    tags: dict = {}
    parts = text.split(";")
    if not parts[-1].strip():
        parts.pop()
    for part in parts:
        tag, equals, value = part.partition("=")
        tag = tag.strip()
        wrong = ""
        if not equals or not _TAG.fullmatch(tag):
            wrong = f"not tag=value: {part.strip()[:60]!r}"
        elif tag in tags:
            wrong = f"the tag {tag} stands twice"
        if wrong and strict:
            raise ValueError(wrong)
        if not wrong:
            tags[tag] = value.strip()
    return tags
