"""Where the guard keeps its records on a mail host: on disk, or in memory when the disk is full."""
from __future__ import annotations

import json
import os

DISK = "/var/lib/mailops"
MEMORY = "/run/mailops"
MARKERS = ("/etc/mailops/human-at-work", "/run/mailops/human-at-work")
ROOM_BYTES = 16 * 1024 * 1024


def under(root: str, path: str) -> str:
    """``path`` below ``root``, which is ``/`` except in tests."""
    return os.path.join(root, path.lstrip("/"))


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


def human_at_work(root: str = "/") -> str | None:
    """The marker by which a person keeps the machinery off this host, or None."""
    return next((path for path in MARKERS if os.path.lexists(under(root, path))), None)


def write_json(path: str, data: object) -> None:
    """Write ``data`` aside, flush it to the disk and rename it into place; readable by root only."""
    handle = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(data, stream, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(path + ".new", path)
