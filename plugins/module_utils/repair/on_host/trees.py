"""The owner of everything below a folder, without leaving it: no link is followed, no other file system entered.

Whoever owns a mailbox can put links into it while we work. So each entry is opened by its name in its open folder, and a file with
further names (hard links) is only touched when all of them lie in the tree: it could be another's file.
"""
from __future__ import annotations

import errno
import os
import stat
import time
from collections import Counter

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.rollback import OPEN, beneath

# Mail and its folders move while we look, and a name may have become a link meanwhile.
_MOST_OPENED = 10
_MOVED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def lacking(name: str, mode: int) -> int:
    """The mode bits that the owner of a piece of mail lacks: folders are searched and written, Dovecot's own files written, messages read.

    Dovecot makes dovecot-uidvalidity.* read-only on purpose.
    """
    if stat.S_ISDIR(mode):
        needed = 0o700
    elif name.startswith("dovecot") and not name.startswith("dovecot-uidvalidity"):
        needed = 0o600
    else:
        needed = 0o400
    return needed & ~mode


def survey(path: str, uid: int, let_in: bool, seconds: float = 10.0, most: int = 200000) -> dict:
    """What ``give`` would change: ``{entries, wrong, owners: Counter of (uid, gid), modes, opened, complete}``.

    ``modes`` counts the modes to be changed, ``opened`` names the first of them: ``[(place below path, mode)]``.
    """
    return _walk(path, uid, None, let_in, seconds, most, None)


def give(path: str, uid: int, gid: int | None, let_in: bool, seconds: float, most: int, keep=None) -> dict:
    """Give all entries that are not ``uid``'s to it and, unless None, to ``gid``; with ``let_in`` also add what ``lacking`` tells.

    ``keep(place below path, its stat)`` is called before each change. The answer is that of ``survey`` for what was changed, with ``left``:
    links to elsewhere, sockets and the like. Raises OSError.
    """
    return _walk(path, uid, gid, let_in, seconds, most, keep or (lambda place, state: None))


def _walk(path, uid, gid, let_in, seconds, most, change) -> dict:
    until = time.monotonic() + seconds
    found = {"entries": 0, "wrong": 0, "owners": Counter(), "modes": 0, "opened": [], "left": 0, "complete": True}
    linked: dict = {}
    top = os.open(path, OPEN)
    try:
        state = os.fstat(top)
        _entry(top, "", os.path.basename(path), state, uid, gid, let_in, change, found)
        if stat.S_ISDIR(state.st_mode):
            waiting = [""]
            while waiting:
                inside = waiting.pop()
                folder = _opened(beneath, top, inside)
                if folder is None:
                    continue
                try:
                    for name in os.listdir(folder):
                        if found["entries"] >= most or time.monotonic() > until:
                            found["complete"] = False
                            return found
                        _look(folder, inside, name, state.st_dev, (uid, gid, let_in, change), found, linked, waiting)
                finally:
                    os.close(folder)
        for seen, _links, places in linked.values():
            _linked(top, seen, places, (uid, gid, let_in, change), found)
    finally:
        os.close(top)
    return found


def _look(folder, inside, name, device, how, found, linked, waiting) -> None:
    """One entry of an open folder: change it, or put it by to be entered, or until all names of it are known."""
    uid, gid, let_in, change = how
    try:
        state = os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return
    if state.st_dev != device:
        return
    if not stat.S_ISDIR(state.st_mode) and not stat.S_ISREG(state.st_mode):
        found["entries"] += 1
        found["left"] += state.st_uid != uid
        return
    place = f"{inside}/{name}" if inside else name
    if stat.S_ISREG(state.st_mode) and state.st_nlink > 1:
        linked.setdefault(state.st_ino, (state, state.st_nlink, []))[2].append(place)
        return
    handle = _opened(os.open, name, OPEN, dir_fd=folder)
    if handle is None:
        return
    try:
        now = os.fstat(handle)
        if (now.st_dev, now.st_ino) == (state.st_dev, state.st_ino) and (now.st_nlink == 1 or stat.S_ISDIR(now.st_mode)):
            _entry(handle, place, name, now, uid, gid, let_in, change, found)
            if stat.S_ISDIR(now.st_mode):
                waiting.append(place)
    finally:
        os.close(handle)


def _linked(top, seen, places, how, found) -> None:
    """A file with several names: changed once, when all of them were met."""
    if len(places) != seen.st_nlink:
        found["entries"] += len(places)
        found["left"] += seen.st_uid != how[0]
        return
    folder, _slash, name = places[0].rpartition("/")
    opened = _opened(beneath, top, folder)
    handle = None if opened is None else _opened(os.open, name, OPEN, dir_fd=opened)
    try:
        now = None if handle is None else os.fstat(handle)
        if now and (now.st_dev, now.st_ino, now.st_nlink) == (seen.st_dev, seen.st_ino, seen.st_nlink):
            _entry(handle, places[0], name, now, *how, found)
    finally:
        for number in (opened, handle):
            if number is not None:
                os.close(number)


def _opened(how, *arguments, **more):
    """An open file, or None when it is not there any more."""
    try:
        return how(*arguments, **more)
    except OSError as problem:
        if problem.errno in _MOVED:
            return None
        raise


def _entry(handle, place, name, state, uid, gid, let_in, change, found) -> None:
    found["entries"] += 1
    strange, bits = state.st_uid != uid, lacking(name, state.st_mode) if let_in else 0
    if change and (strange or bits):
        change(place, state)
    if change and strange:
        os.fchown(handle, uid, -1 if gid is None else gid)
    if change and bits:
        os.fchmod(handle, stat.S_IMODE(state.st_mode) | bits)
    if strange:
        found["owners"][(state.st_uid, state.st_gid)] += 1
    if bits:
        found["modes"] += 1
        found["opened"] += [(place, stat.S_IMODE(state.st_mode))] if len(found["opened"]) < _MOST_OPENED else []
    found["wrong"] += bool(strange or bits)
