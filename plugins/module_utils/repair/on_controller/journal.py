"""The journal of a repair: what was done, by whom, when and with what result. Only ever added to, each line bound to the one before it by its digest."""
from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime, timezone

from ansible_collections.mailops.outage.plugins.module_utils.secrets import mask_data

FILE = "journal.jsonl"
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
        last, torn = _last(stream)
        entry = {"time": (now or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%SZ"), "event": event, **mask_data(details),
                 "before": last["digest"] if last else _NONE}
        entry["digest"] = _digest(entry)
        # A line that a crash cut off is closed, and stays to be seen.
        stream.write((b"\n" if torn else b"") + json.dumps(entry, sort_keys=True, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    return entry


def entries(folder: str) -> list:
    """All entries in their order. Raises Damaged when one was changed, taken out or put in; a line that a crash cut off is passed over."""
    found, before = [], _NONE
    try:
        with open(os.path.join(folder, FILE), "rb") as stream:
            lines = stream.read().splitlines()
    except FileNotFoundError:
        return []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if not isinstance(entry, dict) or entry.get("before") != before or entry.get("digest") != _digest(entry):
            raise Damaged(f"{os.path.join(folder, FILE)}, line {number}: it is not as it was written, or one before it is missing")
        before = entry["digest"]
        found.append(entry)
    return found


def _digest(entry: dict) -> str:
    meant = {name: value for name, value in entry.items() if name != "digest"}
    return hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()


def _last(stream) -> tuple:
    """The last whole entry, and whether a torn line follows it. ``stream`` ends at the end of the file."""
    size = stream.seek(0, os.SEEK_END)
    if not size:
        return None, False
    stream.seek(0)
    lines = stream.read().split(b"\n")
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "digest" in entry:
            return entry, bool(lines[-1])
    return None, bool(lines[-1])
