"""Where the guard keeps its records on a mail host: on disk, or in memory when the disk is full."""
from __future__ import annotations

import os

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.rollback import under

DISK = "/var/lib/mailops"
MEMORY = "/run/mailops"
ROOM_BYTES = 16 * 1024 * 1024


def places(root: str = "/") -> list:
    """Both places where records can be, the lasting one first."""
    return [under(root, DISK), under(root, MEMORY)]


def choose(root: str = "/", room: int = ROOM_BYTES) -> str:
    """The first place that can be written and has ``room`` bytes free; OSError when neither has."""
    for place in places(root):
        try:
            os.makedirs(place, mode=0o700, exist_ok=True)
            state = os.statvfs(place)
            if state.f_bavail * state.f_frsize >= room and state.f_favail > 1000 and os.access(place, os.W_OK):
                return place
        except OSError:
            continue
    raise OSError("no room for a checkpoint in /var/lib/mailops or /run/mailops")
