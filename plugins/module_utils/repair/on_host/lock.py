"""One owner at a time may change a mail host: a lock with an owner and an expiry, gone after a reboot."""
from __future__ import annotations

import contextlib
import fcntl
import json
import os

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import moment, store

LOCK = "/run/mailops/lock"
# A number that JSON can carry.
_UNKNOWN = 1e9


@contextlib.contextmanager
def _alone(root: str):
    """Keep other guards on this host out while the lock is read and written."""
    path = store.under(root, LOCK)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    handle = os.open(path + ".guard", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(handle)


def read(root: str = "/", now: float | None = None) -> dict | None:
    """``{owner, step, seconds_left}``, below 0 when it has expired; None without a lock. A damaged lock is an owner that cannot be known."""
    try:
        with open(store.under(root, LOCK), encoding="utf-8") as stream:
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
    with _alone(root) as path:
        held = read(root, now)
        if held and held["owner"] != owner and held["seconds_left"] > 0:
            return False, f"{held['owner']} is repairing this host (step {held['step']}); wait until it ends or remove {LOCK} when it is dead."
        store.write_json(path, {"owner": owner, "step": step, "until_uptime": now + seconds})
    return True, f"The expired lock of {held['owner']} was taken over." if held and held["owner"] != owner else ""


def release(owner: str, root: str = "/") -> bool:
    """Give the lock back when it is ``owner``'s; True when it was."""
    with _alone(root) as path:
        held = read(root)
        if not held or held["owner"] != owner:
            return False
        os.unlink(path)
    return True
