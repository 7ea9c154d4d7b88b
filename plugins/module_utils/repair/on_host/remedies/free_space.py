"""Make room on a full file system: the package cache, archived journals, rotated logs. Never mail, never the queue.

apt-get(8), dnf(8) clean, journalctl(1) --vacuum-size, logrotate(8).
"""
from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass, replace

from ansible_collections.mailops.outage.plugins.module_utils.host import _mail, storage
from ansible_collections.mailops.outage.plugins.module_utils.host._bounded import within
from ansible_collections.mailops.outage.plugins.module_utils.host._mounts import mount_of, mounts
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Ran
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import NOT_TAKEN, Command, Refused, StepFailed
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

OPTIONS = {"mount": {"type": "str", "default": ""}, "leave_journal": {"type": "str", "default": "200M"}}

_MIB = 1024 * 1024
_PATIENCE = 2.0
_UNITS = {"K": 1024, "M": _MIB, "G": 1024 * _MIB, "T": 1024 * 1024 * _MIB}
# Less than this is not worth a step.
_WORTH_BYTES, _WORTH_FILES = _MIB, 100
_PACKAGE_CACHES = (
    (("apt-get", "clean"), ("/var/cache/apt/archives/*.deb", "/var/cache/apt/archives/partial/*", "/var/cache/apt/*.bin")),
    (("dnf", "-q", "-y", "clean", "packages"), ("/var/cache/dnf/*/packages/*.rpm", "/var/cache/libdnf5/*/packages/*.rpm")),
)
_LOGROTATE = ("logrotate", "--force", "/etc/logrotate.conf")
_APT_BUSY = 100


@dataclass(frozen=True)
class Freeing(Command):
    """A command that makes room on the file system at ``mount``; what it said begins with how much that was."""

    mount: str = "/"

    def take(self) -> Ran:
        before = _measures(self.mount)
        try:
            ran = super().take()
        except StepFailed as problem:
            raise StepFailed(f"{problem}. {_size(_measures(self.mount)['free'])} are free on {self.mount}: with no room at all to work in it fails, "
                             "and a person must make some by hand first.") from None
        after = _measures(self.mount)
        said = (f"free on {self.mount}: {_size(after['free'])} (before {_size(before['free'])}), "
                f"{after['inodes_free']} inodes (before {before['inodes_free']})")
        return replace(ran, out="\n".join((said, ran.err or ran.out)), err="")


def steps(context, options):
    """``mount``: the file system to free, every full one that mail needs when empty; ``leave_journal``: what stays of the journal.

    Takes the package cache, the journal and rotation in this order and stops as soon as there is room. Refused, after these
    steps or at once, when the room must come from something that is not this remedy's to delete.
    """
    leave = options["leave_journal"]
    if size_of(leave) is None:
        raise Refused(f"leave_journal: {clean(leave, 40)} is not a size such as 200M.")
    found = storage.collect(context)
    stuck = []
    for device, (mount, needed) in _by_device(full(found, _queue_mount(context), options["mount"])).items():
        told = False
        for ask in (_package_cache, _journal, _rotation):
            why = short_of(_measures(mount), needed)
            step = ask(context, mount, device, leave, f"{mount}: {why}") if why else None
            if step:
                told = (yield step) is NOT_TAKEN or told
        why = short_of(_measures(mount), needed)
        if why and not told:
            stuck.append(f"{mount}: {why}; {eaters(found, mount)}")
    if stuck:
        raise Refused("What is left to free is for a person to decide; nothing of it was deleted. " + " ".join(stuck))


def size_of(text: str) -> int | None:
    """Bytes of a size with its unit as journalctl(1) takes it (``200M``), or None."""
    match = re.fullmatch(r"(\d{1,9})([KMGT])", text)
    return int(match.group(1)) * _UNITS[match.group(2)] if match else None


def full(found: dict, queue_mount: str | None, wanted: str = "") -> list:
    """``[(mount, bytes that must be free there)]`` of the full file systems in storage's facts. Refused for a wanted one that mail does not live on."""
    known = [entry for entry in found["filesystems"] if not entry["read_only"] and entry["free"] is not None]
    if wanted:
        known = [entry for entry in known if entry["mount"] == wanted]
        if not known:
            raise Refused(f"{clean(wanted)} is not a mounted, writable file system that mail lives on; look at df.")
    else:
        known = [entry for entry in known if entry["roles"] != ["tmp"]]
    pairs = [(entry, found["required_free"] if entry["mount"] == queue_mount else 0) for entry in known]
    return [(entry["mount"], needed) for entry, needed in pairs if short_of(entry, needed)]


def short_of(measures: dict, needed: int) -> str:
    """What a file system is short of by storage's ``measures``, or an empty text when there is enough."""
    if measures["inodes_full"]:
        return f"{measures['inodes_free']} of {measures['inodes']} inodes are free"
    if needed and measures["free"] <= needed:
        return f"{_size(measures['free'])} are free and more than {_size(needed)} are needed"
    return f"{_size(measures['free'])} of {_size(measures['size'])} are free" if measures["full"] else ""


def eaters(found: dict, mount: str) -> str:
    """What fills a file system by storage's facts, as words."""
    said = [f"{_size(item['bytes'])} in {item['path']}" for item in found["big"] if item["mount"] == mount][:5]
    said += [f"{item['entries']} files in {item['path']}" for item in found["crowded"] if item["mount"] == mount][:3]
    said += [f"{_size(item['bytes'])} deleted but held open by {item['process']} (pid {item['pid']})" for item in found["deleted_open"]
             if item["bytes"] >= _MIB][:3]
    if said:
        return f"most is {', '.join(said)}."
    if any(entry["mount"] == mount and "mailstore" in entry["roles"] for entry in found["filesystems"]):
        return "it is filled by mail: let it grow, or let its owners tidy up. Mail is never deleted for room."
    return "nothing big was found outside of mail."


def to_compress(dry_run: str) -> list | None:
    """The logs of which a forced rotation compresses a version, by ``logrotate --debug --force``; None where it would delete one that has no older version."""
    found = []
    for part in dry_run.split("rotating pattern:")[1:]:
        logs = re.findall(r"^rotating log (\S+), log->rotateCount is (-?\d+)", part, re.M)
        if any(count == "0" for _log, count in logs):
            return None
        # With delaycompress it is the former version that is compressed.
        without = re.findall(r"^previous log (\S+)[.-]\d+ does not exist", part, re.M)
        found += [log for log, _count in logs if "\ncompressing log with" in part and log not in without]
    return found


def _package_cache(_context, mount: str, device: int, _leave: str, because: str):
    for argv, patterns in _PACKAGE_CACHES:
        size, count = _held(_files(patterns), device)
        if os.path.exists(f"/usr/bin/{argv[0]}") and _worth(size, count):
            # Its lock means that packages are being installed right now: then nothing is freed, which is no failure.
            return Freeing(argv, f"{because}; downloaded packages take {_size(size)}", undo="None needed: packages are downloaded again",
                           ok=(0, _APT_BUSY) if argv[0] == "apt-get" else (0,), mount=mount)
    return None


def _journal(context, mount: str, device: int, leave: str, because: str):
    folder = f"/var/log/journal/{(context.read('/etc/machine-id') or '').strip() or '*'}"
    total, _count = _held(_files((f"{folder}/*.journal", f"{folder}/*.journal~")), device)
    # Only archived files can go: journald writes to the others.
    archived, count = _held(_files((f"{folder}/*@*.journal", f"{folder}/*.journal~")), device)
    size = min(archived, total - size_of(leave))
    if size <= 0 or not _worth(size, count):
        return None
    return Freeing(("journalctl", f"--vacuum-size={leave}"), f"{because}; the journal takes {_size(total)}",
                   undo="None: the oldest entries of the journal are gone", mount=mount)


def _rotation(context, mount: str, device: int, _leave: str, because: str):
    ran = context.run("logrotate", "--debug", *_LOGROTATE[1:])
    # A part of the configuration alone would miss its defaults, and without them a rotated log is deleted.
    logs = to_compress(ran.err + "\n" + ran.out) if ran.ok else None
    size, _count = _held((path for log in logs or [] for path in (_rotated(log) or [log])), device)
    if size < _WORTH_BYTES:
        return None
    return Freeing(_LOGROTATE, f"{because}; rotated logs that are not compressed yet take {_size(size)}",
                   undo="None needed: the logs are kept, compressed; only those past the number that logrotate keeps are gone", timeout=300.0, mount=mount)


def _rotated(log: str) -> list:
    """The former versions of a log that are not compressed."""
    return [path for path in glob.glob(glob.escape(log) + "[.-][0-9]*") if re.fullmatch(r"[.-]\d+", path[len(log):])]


def _files(patterns) -> list:
    return [path for pattern in patterns for path in glob.iglob(pattern)]


def _held(paths, device: int) -> tuple:
    """``(bytes, files)`` of regular files on a device."""
    size, count = 0, 0
    for path in paths:
        try:
            state = os.lstat(path)
        except OSError:
            continue
        if state.st_dev == device:
            size, count = size + state.st_blocks * 512, count + 1
    return size, count


def _worth(size: int, count: int) -> bool:
    return size >= _WORTH_BYTES or count >= _WORTH_FILES


def _by_device(pairs: list) -> dict:
    """``{device: (mount, needed)}``: a file system that is mounted at several places is freed once."""
    found: dict = {}
    for mount, needed in pairs:
        device = os.stat(mount).st_dev
        if device not in found or needed > found[device][1]:
            found[device] = (mount, needed)
    return found


def _measures(mount: str) -> dict:
    try:
        return storage.measures(within(_PATIENCE, os.statvfs, mount))
    except (OSError, TimeoutError) as problem:
        raise Refused(f"{mount} does not say how full it is: {clean(problem)}.") from None


def _queue_mount(context) -> str | None:
    place = _mail.spool(context)
    holder = mount_of(os.path.realpath(place), mounts(context)) if place else None
    return holder.mount if holder else None


def _size(count: int) -> str:
    return f"{count / _MIB:,.1f} MiB" if abs(count) < 1024 * _MIB else f"{count / 1024 / _MIB:,.1f} GiB"
