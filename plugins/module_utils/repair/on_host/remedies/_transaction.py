"""What a package manager would do, as its simulation tells it, and whether the host has room for it and nobody else is at it."""
from __future__ import annotations

import fcntl
import os
import struct
from dataclasses import dataclass, field

from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_MIB = 1024 * 1024
# A package manager writes its own state anew with each package, and beside it what it unpacks.
_SPARE_BYTES = 32 * _MIB
_SPARE_INODES = 200
# struct flock of fcntl(2): type, whence, start, length, process.
_FLOCK = "hhqqi"


@dataclass(frozen=True)
class Change:
    """One package that would be put in place; ``before`` is empty for a new one."""

    name: str
    before: str
    after: str

    def told(self) -> str:
        return f"{self.name} {self.before} -> {self.after}" if self.before else f"{self.name} {self.after} (new)"


@dataclass(frozen=True)
class Transaction:
    """``removed`` are names; ``complaint`` is why nothing can be done at all; ``download`` and ``unpacked`` are bytes."""

    changes: tuple = ()
    removed: tuple = ()
    complaint: str = ""
    download: int = 0
    unpacked: int = 0


@dataclass(frozen=True)
class Wanted:
    """A package with the version that it shall have; ``path`` when it is taken from a file instead of the archive."""

    name: str
    version: str
    path: str = field(default="")


def lock_holder(path: str) -> int | None:
    """The process that holds a write lock on ``path`` (fcntl(2), F_GETLK); None when nobody does, 0 when it cannot be seen which."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        answer = fcntl.fcntl(handle, fcntl.F_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except OSError:
        return None
    finally:
        os.close(handle)
    kind, _whence, _start, _length, process = struct.unpack(_FLOCK, answer)
    return None if kind == fcntl.F_UNLCK else max(0, process)


def process_name(context, process: int) -> str:
    """A process as people know it: its command line, shortened, and its number."""
    words = (context.read(f"/proc/{process}/cmdline", 4096) or "").replace("\0", " ").strip()
    return f"{clean(words, 80) or 'a process'} (process {process})" if process else "a process that cannot be seen from here"


def shortage(needs: dict, statvfs=os.statvfs, stat=os.stat) -> str:
    """Why ``{folder: bytes}`` cannot be written, in one sentence; empty when it can. Folders on one file system add up."""
    by_device: dict = {}
    for folder, needed in needs.items():
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        by_device.setdefault(stat(folder).st_dev, []).append((folder, needed))
    for wanted in by_device.values():
        folder, needed = wanted[0][0], sum(entry[1] for entry in wanted) + _SPARE_BYTES
        state = statvfs(folder)
        if state.f_flag & os.ST_RDONLY:
            return f"the file system of {folder} is mounted read-only"
        free = state.f_bavail * state.f_frsize
        if free < needed:
            return f"{folder} has {free // _MIB} MiB free, and {-(-needed // _MIB)} MiB are needed"
        if state.f_files and state.f_favail < _SPARE_INODES:
            return f"{folder} has only {state.f_favail} inodes free"
    return ""
