"""DMARC records (RFC 7489, and RFC 9989 that replaces it).

Where the two differ, a record is valid here when either takes it. The policy of a domain without a record of its own is
looked for at the names above it (RFC 9989), down to two labels.
"""
from __future__ import annotations

import re

from ansible_collections.mailops.outage.plugins.module_utils.dns import names, tags
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_POLICIES = ("none", "quarantine", "reject")
_MODES = {"r": "relaxed", "s": "strict"}
# More levels than this no mail domain has.
_MOST_PARENTS = 5


def blank() -> dict:
    return {"record": None, "found_at": None, "valid": None, "policy": None, "alignment": {"dkim": None, "spf": None}, "error": ""}


def parse(text: str) -> dict:
    """Read a record: ``blank()`` filled, with ``subdomain_policy`` beside it. Never raises.

    Mistakes behind ``v`` and ``p`` do not spoil a record: receivers skip them, or take the default (RFC 7489, 6.3).
    """
    found = dict(blank(), record=clean(text), valid=False)
    read = tags.parse(text, strict=False)
    if next(iter(read), "") != "v" or read["v"] != "DMARC1":
        return dict(found, error="v=DMARC1 must come first, and a semicolon behind it")
    policy = read.get("p", "none").lower()
    if policy not in _POLICIES:
        return dict(found, error=f"p= takes {', '.join(_POLICIES)}, not {clean(policy, 40)!r}")
    below = read.get("sp", policy).lower()
    return dict(
        found, valid=True, policy=policy, subdomain_policy=below if below in _POLICIES else policy,
        alignment={"dkim": _MODES.get(read.get("adkim", "r").lower(), "relaxed"), "spf": _MODES.get(read.get("aspf", "r").lower(), "relaxed")},
        error="" if "p" in read else "no p=, which receivers by RFC 7489 demand",
    )


def look(domain: str, ask) -> dict:
    """The domain's ``dmarc``; ``ask(name, kind)`` gives an Answer. ``policy`` is the one that holds for ``domain`` itself."""
    for name in [domain] + names.parents(domain)[:_MOST_PARENTS]:
        answer = ask(f"_dmarc.{name}", "TXT")
        if answer.failed:
            return dict(blank(), error=answer.error)
        # Other text at the name is not looked at; a mistyped version is worth a word.
        records = [text for text in answer.records if re.match(r"\s*v\s*=\s*dmarc", text, re.I)]
        if not records:
            continue
        if len(records) > 1:
            return dict(blank(), record=clean(records[0]), found_at=name, valid=False, error="several DMARC records, so receivers take none")
        found = parse(records[0])
        below = found.pop("subdomain_policy", None)
        return dict(found, found_at=name, policy=found["policy"] if name == domain else below)
    return blank()
