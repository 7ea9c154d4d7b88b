"""How often a remedy may be tried on a host: a ledger that refuses when it cannot be trusted."""
from __future__ import annotations

import json
import os

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import moment, rollback, store

_CLOCK_SLACK = 60


def tries(root: str = "/") -> list:
    """The tries of both places, oldest first: ``[{epoch, boot, uptime, id, step, remedy, cause, outcome}]``; ValueError when one is unreadable."""
    found, ends = [], {}
    for place in store.places(root):
        try:
            with open(os.path.join(place, rollback.LEDGER), encoding="utf-8") as stream:
                lines = [json.loads(line) for line in stream if line.strip()]
            for line in lines:
                if "remedy" in line:
                    found.append({"epoch": float(line["epoch"]), "boot": str(line.get("boot", "")), "uptime": float(line.get("uptime", 0)),
                                  **{name: str(line[name]) for name in ("id", "step", "remedy", "cause", "outcome")}})
                else:
                    ends[str(line["id"])] = str(line["outcome"])
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise ValueError(f"{place}/{rollback.LEDGER} cannot be read") from problem
    return sorted(({**item, "outcome": ends.get(item["id"], item["outcome"])} for item in found), key=lambda item: item["epoch"])


def recent(now: dict, seconds: float = 86400, root: str = "/") -> list:
    """The tries that are at most ``seconds`` old; ValueError as ``tries``."""
    return [item for item in tries(root) if moment.age(item, now) < seconds]


def refusal(remedy: str, now: dict, per_hour: int, per_day: int, root: str = "/", cause: str = "") -> str:
    """Why ``remedy`` may not be tried at the moment ``now``, or an empty text.

    In an hour it is counted for its ``cause`` where that is told, in a day for all causes.
    """
    try:
        known = tries(root)
    except ValueError as problem:
        return f"{problem}, so it is not known what was tried; look at it and move it away."
    if any(moment.age(item, now) < -_CLOCK_SLACK for item in known):
        return "The clock of this host went back since the last try; set the clock right first."
    for most, seconds, word in ((per_hour, 3600, "hour"), (per_day, 86400, "day")):
        # A try that a dead controller never finished says nothing of the remedy; the day's budget counts it all the same.
        same = [item for item in known if item["remedy"] == remedy and moment.age(item, now) < seconds]
        count = sum(word == "day" or (item["outcome"] != "interrupted" and cause in ("", item["cause"])) for item in same)
        if count >= most:
            return f"{remedy} was tried {count} times in the last {word} ({most} allowed); find out why it does not hold before it is tried again."
    return ""


def append(place: str, entry: dict) -> None:
    """Add one line to the ledger in ``place`` and flush it to the disk."""
    rollback.append(os.path.join(place, rollback.LEDGER), entry)
