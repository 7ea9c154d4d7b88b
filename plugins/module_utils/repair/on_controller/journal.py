"""The journal of a repair: what was done, by whom, when and with what result. Only ever added to, each line bound to the one before it by its digest.

It is the state: what became of the steps is read from it, and nowhere else.
"""
from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime, timezone

from ansible_collections.mailops.outage.plugins.module_utils.secrets import mask_data

FILE = "journal.jsonl"
# The events that end a step, in their words.
OUTCOMES = ("repaired", "rolled_back", "not_put_back", "lost", "refused")
# What a person said, once for all steps.
STOPPED = "stopped"
_NONE = "0" * 64


class Damaged(ValueError):
    """The journal is not as it was written; the text says from which line on."""


def append(folder: str, event: str, now: datetime | None = None, **details) -> dict:
    """Add an entry, on the disk before this returns: ``{time, event, …, before, digest}``. Raises Damaged, OSError.

    Secrets are masked, by their keys and by their form.
    """
    path = os.path.join(folder, FILE)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(handle, "r+b") as stream:
        text = stream.read()
        known = _read(path, text)
        entry = {"time": (now or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%SZ"), "event": event, **mask_data(details),
                 "before": known[-1]["digest"] if known else _NONE}
        entry["digest"] = _digest(entry)
        # A line that a crash cut off is closed, and stays to be seen.
        torn = text and not text.endswith(b"\n")
        stream.write((b"\n" if torn else b"") + json.dumps(entry, sort_keys=True, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    return entry


def entries(folder: str) -> list:
    """All entries in their order. Raises Damaged when one was changed, taken out or put in; a line that a crash cut off is passed over."""
    path = os.path.join(folder, FILE)
    try:
        with open(path, "rb") as stream:
            return _read(path, stream.read())
    except FileNotFoundError:
        return []


def last_digest(folder: str) -> str:
    """The digest of the last entry, which the hosts keep too; empty without one. Raises Damaged, OSError."""
    known = entries(folder)
    return known[-1]["digest"] if known else ""


def outcomes(known: list) -> list:
    """What became of the steps, in the order of the entries ``known``: ``[{step, host, cause, role, outcome, because}]``."""
    return [{**{name: entry.get(name, "") for name in ("step", "host", "cause", "role", "because")}, "outcome": entry["event"]}
            for entry in known if entry["event"] in OUTCOMES]


def left(known: list, planned: list) -> list:
    """[(host, cause)] that are not repaired: of those ``planned``, in their order, and of what the last look after a step still found."""
    repaired = {(entry["host"], entry["cause"]) for entry in outcomes(known) if entry["outcome"] == "repaired"}
    last = next((entry for entry in reversed(known) if entry["event"] == "judged"), {})
    found = [(host, cause) for cause, host in last.get("found") or []]
    return [place for place in dict.fromkeys(planned) if place not in repaired] + [place for place in found if place not in planned]


def _read(path: str, text: bytes) -> list:
    found, before = [], _NONE
    for number, line in enumerate(text.splitlines(), 1):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if not isinstance(entry, dict) or entry.get("before") != before or entry.get("digest") != _digest(entry):
            raise Damaged(f"{path}, line {number}: it is not as it was written, or one before it is missing")
        before = entry["digest"]
        found.append(entry)
    return found


def _digest(entry: dict) -> str:
    meant = {name: value for name, value in entry.items() if name != "digest"}
    return hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()
