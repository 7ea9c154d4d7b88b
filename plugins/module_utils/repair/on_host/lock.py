"""One owner at a time may change a mail host: a lock with an owner and an expiry, gone after a reboot.

Whoever takes it or gives it back is alone while doing so (``rollback.alone``).
"""
from __future__ import annotations

import json
import os

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import moment, rollback

# A number that JSON can carry.
_UNKNOWN = 1e9


def read(root: str = "/", now: float | None = None) -> dict | None:
    """``{owner, step, seconds_left}``, below 0 when it has expired; None without a lock. A damaged lock is an owner that cannot be known."""
    try:
        with open(rollback.under(root, rollback.LOCK), encoding="utf-8") as stream:
            held = json.load(stream)
        return {"owner": str(held["owner"]), "step": str(held["step"]), "seconds_left": float(held["until_uptime"]) - (moment.uptime() if now is None else now)}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return {"owner": "unknown", "step": "unknown", "seconds_left": _UNKNOWN}


def take(owner: str, step: str, seconds: float, now: float, root: str = "/") -> tuple:
    """``(taken, sentence)``: the same owner may take it again, and an expired lock is taken over.

    ``now`` is an uptime: like the lock, it ends with the boot.
    """
    held = read(root, now)
    if held and held["owner"] != owner and held["seconds_left"] > 0:
        return False, f"{held['owner']} is repairing this host (step {held['step']}); wait until it ends or remove {rollback.LOCK} when it is dead."
    rollback.write(rollback.under(root, rollback.LOCK), json.dumps({"owner": owner, "step": step, "until_uptime": now + seconds}).encode())
    return True, f"The expired lock of {held['owner']} was taken over." if held and held["owner"] != owner else ""


def release(owner: str, root: str = "/") -> bool:
    """Give the lock back when it is ``owner``'s; True when it was."""
    held = read(root)
    if not held or held["owner"] != owner:
        return False
    os.unlink(rollback.under(root, rollback.LOCK))
    return True
