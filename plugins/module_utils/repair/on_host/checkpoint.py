"""What a repair touches, kept in a folder before it is touched: files, owners and modes, and the states of units. ``rollback`` puts it back.

In the folder: ``manifest.json`` (how it stands), ``noted.jsonl`` and ``owners.jsonl`` (what was touched: how it was, how the repair left it),
``files/DIGEST`` (what files held), ``replaced/`` (what a rollback replaced), ``reserve`` (room for a rollback on a full disk), and ``rollback.py``,
the program that the timer runs.
"""
from __future__ import annotations

import contextlib
import glob
import inspect
import json
import os
import shutil
import stat
import time

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import harmless, rollback, store

_DONE = ("confirmed", "rolled_back", "interrupted")
_KEPT = 10
_RESERVED_BYTES = 1 << 20


class Ended(Exception):
    """The checkpoint was closed while the repair went on."""


def every(root: str = "/") -> list:
    """``[(folder, manifest)]`` of all checkpoints, oldest first."""
    found = sorted((path for place in store.places(root) for path in glob.glob(os.path.join(place, "checkpoints", "*"))
                    if os.path.lexists(os.path.join(path, rollback.MANIFEST))), key=os.path.basename)
    return [(path, rollback.load(path, root)) for path in found]


def waiting(root: str = "/") -> list:
    """``[(folder, manifest)]`` of the checkpoints that are open, and of those that could not be put back and that nobody has acknowledged."""
    return [(path, manifest) for path, manifest in every(root) if manifest["state"] not in _DONE and not manifest.get("acknowledged_epoch")]


def current(root: str = "/") -> str | None:
    """The folder of the open checkpoint, into which a repair notes what it touches."""
    return next((path for path, manifest in every(root) if manifest["state"] == "open"), None)


def of(step: str, root: str = "/") -> tuple:
    """``(folder, manifest)`` of the newest checkpoint of a step, or of the checkpoint that has this name; ``(None, None)`` without one."""
    found = [(path, manifest) for path, manifest in every(root) if step in (manifest["step"], manifest["id"])]
    return found[-1] if found else (None, None)


def prepare(place: str, identity: str) -> str:
    """A new folder below ``place`` with the program that puts it back. It counts as a checkpoint from ``begin`` on. Raises OSError."""
    folder = os.path.join(place, "checkpoints", identity)
    os.makedirs(os.path.join(folder, "files"), mode=0o700)
    rollback.write(os.path.join(folder, "rollback.py"), inspect.getsource(rollback).encode())
    handle = os.open(os.path.join(folder, rollback.RESERVE), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(handle, 0, _RESERVED_BYTES)
    finally:
        os.close(handle)
    rollback.settle(os.path.dirname(folder))
    return folder


def begin(folder: str, about: dict, root: str = "/") -> None:
    """The checkpoint is open. ``about`` gives step, owner, remedy, cause, journal and rolls_back_at. Raises OSError."""
    manifest = {"schema": rollback.SCHEMA, "id": os.path.basename(folder), "state": "open", "because": "", "attempts": [],
                "created_epoch": int(time.time()), **about}
    if not rollback.save(folder, manifest, root):
        raise OSError("it cannot be written")


@contextlib.contextmanager
def noting(folder: str | None, touched: dict, root: str = "/"):
    """Note what a step touches around the step itself, on the disk before it and after it; nobody rolls back meanwhile.

    ``touched``: ``files`` and ``owners`` (paths: all of a file, or only owner and mode), ``units``, and ``will`` ({path: as it will be, as far as that
    is known}). Without a folder nothing is noted. Raises Ended, and OSError when something cannot be kept; the step is not taken then.
    """
    if folder is None:
        yield
        return
    with rollback.alone(root):
        if rollback.load(folder, root)["state"] != "open":
            raise Ended("the repair was ended meanwhile, by its timer or by somebody else")
        paths = {path: _keeps(path) for path in touched.get("files", ())}
        paths.update((path, _keeps(path)) for path in touched.get("owners", ()))
        units, noted = touched.get("units", ()), os.path.join(folder, rollback.NOTED)
        if not paths and not units:
            yield
            return
        rollback.append(noted, {"before": {path: _kept(folder, path, content, root) for path, content in paths.items()}, "will": touched.get("will", {}),
                                "units": {unit: rollback.unit_state(unit) for unit in units}})
        try:
            yield
        finally:
            rollback.append(noted, {"after": {path: rollback.describe(rollback.under(root, path), content) for path, content in paths.items()},
                                    "units_after": {unit: rollback.unit_state(unit) for unit in units}})


def _keeps(path: str) -> bool:
    """Whether all of a file is kept. Of what is not configuration only owner and mode are: it could be somebody's mail."""
    return path.startswith("/etc/") or harmless.may_write(path)


def _kept(folder: str, path: str, content: bool, root: str) -> dict | None:
    where = rollback.under(root, path)
    entry = rollback.describe(where, content)
    if entry and "sha256" in entry:
        target = os.path.join(folder, "files", entry["sha256"])
        if not os.path.exists(target) and rollback.copy(where, target) != entry["sha256"]:
            os.unlink(target)
            raise OSError(f"{path} is being changed by somebody else")
    return entry


@contextlib.contextmanager
def owners(path: str, uid: int, gid: int | None, root: str = "/"):
    """``keep(place, state)`` for the entries below ``path`` that are given to ``uid`` and ``gid``: owner and mode, into the open checkpoint.

    Without one it keeps nothing. A ``gid`` of None leaves the groups as they are.
    """
    folder = current(root)
    if folder is None:
        yield lambda place, state: None
        return
    handle = os.open(os.path.join(folder, rollback.OWNERS), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        yield lambda place, state: os.write(handle, (json.dumps([
            path, place, state.st_ino, state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode), uid, state.st_gid if gid is None else gid]) + "\n").encode())
        os.fsync(handle)
        rollback.settle(folder)
    finally:
        os.close(handle)


def discard(folder: str) -> None:
    """Remove a checkpoint that no timer guards."""
    shutil.rmtree(folder, ignore_errors=True)


def drop_old(root: str = "/", keep: int = _KEPT) -> None:
    """Remove all but the last ``keep`` of the checkpoints that nobody waits for."""
    open_ones = [path for path, _manifest in waiting(root)]
    for path, _manifest in [item for item in every(root) if item[0] not in open_ones][:-keep]:
        shutil.rmtree(path, ignore_errors=True)
