"""MTA-STS (RFC 8461): the record that announces a policy, the policy, and whether the MX hosts satisfy it."""
from __future__ import annotations

import re

from ansible_collections.mailops.outage.plugins.module_utils.dns import tags
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

MODES = ("enforce", "testing", "none")
MOST_POLICY_BYTES = 64 * 1024
_MOST_AGE = 31557600


def blank() -> dict:
    return {"record": None, "valid": None, "id": None, "policy": None, "mx_match": None, "error": ""}


def look(domain: str, ask) -> dict:
    """The domain's record (3.1); ``ask(name, kind)`` gives an Answer."""
    answer = ask(f"_mta-sts.{domain}", "TXT")
    if answer.failed:
        return dict(blank(), error=answer.error)
    records = [text for text in answer.records if re.match(r"\s*v\s*=\s*STSv1\s*(?:;|$)", text, re.I)]
    if not records:
        return blank()
    found = dict(blank(), record=clean(records[0]), valid=False)
    if len(records) > 1:
        return dict(found, error="several records, so senders take none")
    try:
        read = tags.parse(records[0])
    except ValueError as problem:
        return dict(found, error=str(problem))
    if next(iter(read)) != "v" or read["v"] != "STSv1":
        return dict(found, error="v=STSv1 must come first")
    if not re.fullmatch(r"[A-Za-z0-9]{1,32}", read.get("id", "")):
        return dict(found, error="id= must be 1 to 32 letters and digits")
    return dict(found, valid=True, id=read["id"])


def parse_policy(text: str) -> dict:
    """``{mode, mx, max_age}`` of a policy file (3.2). Raises ValueError."""
    fields: dict = {}
    patterns = []
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon:
            raise ValueError(f"not a line of a policy: {clean(line, 60)!r}")
        if name.strip() == "mx":
            patterns.append(clean(value, 255).lower().rstrip("."))
        else:
            # Of a field that stands twice the first counts.
            fields.setdefault(name.strip(), value.strip())
    if fields.get("version") != "STSv1":
        raise ValueError("version: must be STSv1")
    if fields.get("mode") not in MODES:
        raise ValueError(f"mode: must be one of {', '.join(MODES)}")
    if not re.fullmatch(r"[0-9]{1,10}", fields.get("max_age", "")) or int(fields["max_age"]) > _MOST_AGE:
        raise ValueError(f"max_age: must be 0 to {_MOST_AGE} seconds")
    if not patterns and fields["mode"] != "none":
        raise ValueError("mx: is missing")
    return {"mode": fields["mode"], "mx": patterns[:50], "max_age": int(fields["max_age"])}


def allows(patterns, host: str) -> bool:
    """Whether a policy's ``mx`` patterns cover an MX host: equal, or ``*.`` for one leftmost label (4.1)."""
    host = host.lower().rstrip(".")
    return any(pattern == host or (pattern.startswith("*.") and host.partition(".")[2] == pattern[2:]) for pattern in patterns)
