"""What is mounted where, and what fstab(5) and mount units say should be."""
from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One mount: ``options`` are the mount's own, ``super_options`` the file system's, ``root`` the part of it that is mounted."""

    mount: str
    device: str
    type: str
    root: str = "/"
    options: tuple = ()
    super_options: tuple = ()

    @property
    def read_only(self) -> bool:
        return "ro" in self.options or "ro" in self.super_options


@dataclass(frozen=True)
class Wanted:
    """A mount that is configured: ``optional`` when nothing mounts it by itself (noauto, an automount)."""

    mount: str
    device: str
    type: str
    options: tuple
    source: str
    optional: bool = False


def _plain(field: str) -> str:
    """A field of mountinfo or fstab without its octal escapes (blank, tab, newline, backslash)."""
    return _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), field)


def parse_mountinfo(text: str) -> list:
    """The mounts of /proc/self/mountinfo (proc_pid_mountinfo(5)), in their order: a later one at the same place covers the earlier."""
    found = []
    for line in text.splitlines():
        left, dash, right = line.partition(" - ")
        fields, tail = left.split(" "), right.split(" ")
        if not dash or len(fields) < 6 or len(tail) < 2:
            continue
        own, shared = fields[5].split(","), (tail[2] if len(tail) > 2 else "").split(",")
        found.append(Mount(_plain(fields[4]), _plain(tail[1]), tail[0], _plain(fields[3]), tuple(own), tuple(shared)))
    return found


def parse_fstab(text: str, source: str = "/etc/fstab") -> list:
    """The mounts that fstab(5) wants; swap and what has no mount point are left out."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 3 or fields[0].startswith("#") or not fields[1].startswith("/") or fields[2] == "swap":
            continue
        options = tuple((fields[3] if len(fields) > 3 else "defaults").split(","))
        optional = "noauto" in options or "x-systemd.automount" in options
        found.append(Wanted(os.path.normpath(_plain(fields[1])), _plain(fields[0]), fields[2], options, source, optional))
    return found


def parse_mount_unit(text: str, source: str, enabled: bool) -> Wanted | None:
    """The mount that a systemd.mount(5) unit file describes."""
    values = dict(re.findall(r"^\s*(What|Where|Type|Options)\s*=\s*(.*?)\s*$", text, re.M))
    if not values.get("Where", "").startswith("/"):
        return None
    options = tuple(values.get("Options", "").split(","))
    return Wanted(os.path.normpath(values["Where"]), values.get("What", ""), values.get("Type", ""), options, source, optional=not enabled)


def mounts(context) -> list:
    """The mounts of this host, read once."""
    return context.once("mounts", lambda: parse_mountinfo(context.read("/proc/self/mountinfo", 4 * 1024 * 1024) or ""))


def wanted(context) -> list:
    """What fstab and the administrator's mount units want mounted."""
    found = parse_fstab(context.read("/etc/fstab") or "")
    for path in sorted(glob.glob("/etc/systemd/system/*.mount"))[:100]:
        name = os.path.basename(path)
        enabled = bool(glob.glob(f"/etc/systemd/system/*.wants/{name}") or glob.glob(f"/etc/systemd/system/*.requires/{name}"))
        unit = parse_mount_unit(context.read(path) or "", path, enabled)
        if unit:
            found.append(unit)
    return found


def below(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def mount_of(path: str, known: list) -> Mount | None:
    """The mount that holds ``path`` (absolute, without links): the longest mount point, the last of equal ones."""
    best = None
    for mount in known:
        if below(path, mount.mount) and (best is None or len(mount.mount) >= len(best.mount)):
            best = mount
    return best
