"""Room, state and rights of the file systems that mail lives on."""
from __future__ import annotations

import os
import time

from ansible_collections.mailops.outage.plugins.module_utils.host import _kernel, _mail, _mailstore, _permissions
from ansible_collections.mailops.outage.plugins.module_utils.host._accounts import accounts
from ansible_collections.mailops.outage.plugins.module_utils.host._bounded import side_by_side, within
from ansible_collections.mailops.outage.plugins.module_utils.host._mounts import below, mount_of, mounts, wanted
from ansible_collections.mailops.outage.plugins.module_utils.host._when import window
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_MIB = 1024 * 1024
_PATIENCE = 2.0
_MOST_NESTED = 20
# A mail store that was in use within so many days is no remnant.
_DAYS = 7
_MOST_WALKED = 20000
_NOT_LOOKED_AT = {"/var/spool/exim4/input", "/proc", "/sys", "/usr", "/lib", "/bin", "/sbin", "/boot"}
_QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "hold", "incoming", "maildrop", "saved", "trace")
_PSEUDO = {"proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "mqueue", "securityfs", "debugfs", "tracefs", "configfs", "bpf", "pstore", "autofs",
           "nsfs", "fusectl"}

_NO_STORE = {
    "root": None, "exists": False, "st_dev_differs_from_parent": None, "fstab_says_mount": False, "mounted": None, "mailboxes": None,
    "newest_message_epoch": None, "abandoned": [], "bytes": None, "complete": False, "source": None,
}


def is_full(size: int, free: int) -> bool:
    """Whether writes fail or soon will: under 32 MiB (5 % of a small one) is free, or 98 % of it is used and under 1 GiB free."""
    if size <= 0:
        return False
    return free < min(32 * _MIB, size // 20) or (free * 50 <= size and free < 1024 * _MIB)


def measures(state: os.statvfs_result) -> dict:
    """Bytes and inodes of a file system, as an unprivileged user has them (df(1)); a file system without inode counts is never out of them."""
    size, free = state.f_blocks * state.f_frsize, state.f_bavail * state.f_frsize
    used = (state.f_blocks - state.f_bfree) * state.f_frsize
    share = round(100 * (1 - state.f_favail / state.f_files), 1) if state.f_files else 0.0
    return {
        "size": size, "free": free, "used_percent": round(100 * used / (used + free), 1) if used + free else 0.0,
        "inodes": state.f_files, "inodes_free": state.f_favail, "inodes_used_percent": share, "inodes_full": share >= 99.0, "full": is_full(size, free),
    }


def _resolved(path: str) -> str:
    """A path without links, as mount points are; as it is when it does not answer."""
    try:
        return within(_PATIENCE / 2, os.path.realpath, path)
    except (OSError, TimeoutError):
        return path


def role_paths(context) -> dict:
    """``{role: [paths]}``: what must be writable for mail to move and be seen."""
    place = _mailstore.store(context)
    logs = [os.path.dirname(path) for name, path in _mail.imap_settings(context).items() if name in ("log_path", "info_log_path") and path.startswith("/")]
    spool = _mail.spool(context) or ("/var/spool/exim4" if os.path.isdir("/var/spool/exim4") else None)
    return {
        "spool": [_resolved(spool)] if spool else [], "mailstore": [_resolved(place.root)] if place else [],
        "log": [_resolved(path) for path in ["/var/log"] + logs], "root": ["/"], "tmp": ["/tmp", "/var/tmp"], "config": ["/etc"],
    }


def by_mount(roles: dict, known: list) -> dict:
    """``{mount point: [roles]}``: the mounts that hold the roles' paths, and those below the queue and the mail store."""
    found: dict = {}
    for role, paths in roles.items():
        for path in paths:
            holder = mount_of(path, known)
            nested = [mount for mount in known if mount.type not in _PSEUDO and mount.mount != path and below(mount.mount, path)]
            inner = nested[:_MOST_NESTED] if role in ("spool", "mailstore") else []
            for mount in ([holder] if holder else []) + inner:
                names = found.setdefault(mount.mount, [])
                if role not in names:
                    names.append(role)
    return found


def _statvfs(path: str):
    # A bind mount of a single file holds no mail.
    return os.statvfs(path) if os.path.isdir(path) else None


def _filesystems(roles: dict, known: list, listed: list) -> list:
    places = by_mount(roles, known)
    answers = side_by_side(_PATIENCE, [lambda path=path: _statvfs(path) for path in places])
    found = []
    for (path, names), answer in zip(places.items(), answers):
        mount = mount_of(path, [mount for mount in known if mount.mount == path])
        state, problem = answer or (None, TimeoutError(f"no answer within {_PATIENCE:g} s"))
        if state is None and problem is None:
            continue
        entry = dict.fromkeys(("size", "free", "used_percent", "inodes", "inodes_free", "inodes_used_percent"))
        entry.update(full=False, inodes_full=False)
        entry.update({} if state is None else measures(state))
        entry.update(
            mount=clean(path), device=clean(mount.device), type=clean(mount.type, 40), roles=sorted(names), read_only=mount.read_only,
            fstab_read_only=any(item.mount == path and "ro" in item.options for item in listed),
            answers=answer is not None and problem is None, error="" if problem is None else clean(getattr(problem, "strerror", None) or problem, 120),
            source=f"df {clean(path)}",
        )
        found.append(entry)
    return found


def _missing(roles: dict, known: list, listed: list) -> list:
    """What fstab or a mount unit wants mounted and is not."""
    there = {mount.mount for mount in known}
    found = []
    for item in listed:
        if item.optional or item.mount in there:
            continue
        names = sorted(role for role, paths in roles.items() if role not in ("root", "config")
                       and any(below(path, item.mount) or below(item.mount, path) for path in paths))
        found.append({"mount": clean(item.mount), "device": clean(item.device), "roles": names, "holds_files": _holds_files(item.mount),
                      "source": item.source})
    return found[:20]


def _holds_files(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return any(True for _entry in entries)
    except OSError:
        return False


def _failed_units(context) -> list:
    if not os.path.isdir("/run/systemd/system"):
        return []
    ran = context.run("systemctl", "list-units", "--type=mount", "--state=failed", "--plain", "--no-legend", "--no-pager", timeout=5)
    return [clean(line.split()[0], 200) for line in ran.out.splitlines() if line.split()][:20]


def _mailstore_facts(context, known: list, listed: list) -> tuple:
    """``(facts, permission problems)`` of the mail store."""
    facts = dict(_NO_STORE)
    place = _mailstore.store(context)
    if place is None:
        return facts, []
    facts.update(root=clean(place.root), source=place.source, exists=os.path.isdir(place.root))
    root = _resolved(place.root)
    named = [item.mount for item in listed if item.mount != "/" and (below(root, item.mount) or below(item.mount, root))]
    if named:
        facts.update(fstab_says_mount=True, mounted=all(any(mount.mount == path for mount in known) for path in named))
    if not facts["exists"]:
        return facts, []
    facts["st_dev_differs_from_parent"] = os.stat(root).st_dev != os.stat(os.path.dirname(root)).st_dev
    if facts["st_dev_differs_from_parent"]:
        state = os.statvfs(place.root)
        facts["bytes"] = (state.f_blocks - state.f_bfree) * state.f_frsize
    facts["abandoned"] = _mailstore.abandoned(place, accounts(context), window(context, _DAYS)[0])
    found = _mailstore.sweep(place, accounts(context))
    if found["hidden"]:
        context.cannot_see(f"{found['hidden']} mailboxes under {place.root}", "permission denied")
    if not os.access(root, os.R_OK | os.X_OK):
        context.cannot_see(place.root, "permission denied")
        return facts, found["problems"]
    facts.update(mailboxes=found["mailboxes"], newest_message_epoch=None if found["newest"] is None else int(found["newest"]),
                 complete=found["complete"] and not found["hidden"])
    return facts, found["problems"]


def big_files(folder: str, skip, patience: float = 1.0) -> dict:
    """What fills a file system: ``{big: [(bytes, path)], crowded: [(entries, path)]}``, five each, without leaving it or entering ``skip``."""
    until = time.monotonic() + patience
    big, crowded, waiting, walked = [], [], [folder], 0
    device = os.stat(folder).st_dev
    while waiting and walked < _MOST_WALKED and time.monotonic() < until:
        place = waiting.pop(0)
        inside = 0
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    inside += 1
                    walked += 1
                    if entry.path in skip or walked >= _MOST_WALKED:
                        continue
                    state = entry.stat(follow_symlinks=False)
                    if state.st_dev != device:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif state.st_blocks:
                        big.append((state.st_blocks * 512, entry.path))
        except OSError:
            continue
        crowded.append((inside, place))
        big = sorted(big, reverse=True)[:5]
    return {"big": big, "crowded": sorted(crowded, reverse=True)[:5]}


def _eaters(context, full: list, roles: dict) -> tuple:
    """What fills the full file systems, outside of mail: ``(big, crowded, deleted_open)``."""
    queue = _mail.spool(context)
    skip = {f"{queue}/{name}" for name in _QUEUES} | set(roles["mailstore"]) | _NOT_LOOKED_AT
    big, crowded = [], []
    for entry in full[:3]:
        # The mail store itself holds nothing but mail.
        if entry["mount"] in skip:
            continue
        found = big_files(entry["mount"], skip)
        big += [{"path": clean(path), "bytes": size, "mount": entry["mount"]} for size, path in found["big"] if size >= _MIB]
        if entry["inodes_full"]:
            crowded += [{"path": clean(path), "entries": count, "mount": entry["mount"]} for count, path in found["crowded"] if count >= 100]
    return big, crowded, _deleted_open({os.stat(entry["mount"]).st_dev for entry in full}) if full else []


def _deleted_open(devices: set) -> list:
    """Deleted files that processes still hold open on these devices, largest first, at most 20."""
    found = {}
    for pid in (name for name in os.listdir("/proc") if name.isdigit()):
        try:
            for name in os.listdir(f"/proc/{pid}/fd")[:1000]:
                link = f"/proc/{pid}/fd/{name}"
                state = os.stat(link)
                if state.st_nlink == 0 and state.st_dev in devices and state.st_size:
                    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
                        found[(state.st_dev, state.st_ino)] = {"pid": int(pid), "process": clean(stream.read(), 64), "bytes": state.st_blocks * 512}
        except OSError:
            continue
    return sorted(found.values(), key=lambda entry: -entry["bytes"])[:20]


def required_free(message_limit: int, minimum: int) -> int:
    """Bytes that must be free in the queue or smtpd(8) answers 452: 1.5 × message_size_limit, or queue_minfree if that is more."""
    return max(message_limit * 3 // 2, minimum)


def _guarded(context, name: str, ask, otherwise):
    """The answer of ``ask()``, or ``otherwise``: each part touches paths that may lie on a dead mount."""
    try:
        return within(_PATIENCE * 2, ask)
    except (OSError, TimeoutError) as problem:
        context.cannot_see(name, getattr(problem, "strerror", None) or str(problem))
        return otherwise


def _low(filesystems: list, roles: dict, known: list, needed: int) -> list:
    """The file system of the queue itself, when it has too little room for one more message."""
    holders = {mount_of(path, known) for path in roles["spool"]}
    places = {mount.mount for mount in holders if mount}
    return [entry for entry in filesystems if entry["mount"] in places and entry["free"] is not None and entry["free"] <= needed]


def collect(context) -> dict:
    """File systems by their role for mail, missing mounts, rights, kernel errors, and what fills a full one."""
    known, listed = mounts(context), wanted(context)
    roles = role_paths(context)
    filesystems = _filesystems(roles, known, listed)
    needed = required_free(_mail.number(context, "message_size_limit", 10240000), _mail.number(context, "queue_minfree", 0))
    low = _low(filesystems, roles, known, needed)
    full = [entry for entry in filesystems if (entry["full"] or entry["inodes_full"] or entry in low) and not entry["read_only"]]
    mailstore, unusable = _guarded(context, "mail store", lambda: _mailstore_facts(context, known, listed), (dict(_NO_STORE), []))
    big, crowded, deleted = _guarded(context, "large files", lambda: _eaters(context, full, roles), ([], [], []))
    return {
        "filesystems": filesystems,
        "fstab_missing": _guarded(context, "fstab", lambda: _missing(roles, known, listed), []),
        "unit_mounts_failed": _failed_units(context),
        "required_free": needed,
        "spool_low": bool(low),
        "permissions": _guarded(context, "permissions", lambda: _permissions.problems(context), []) + unusable,
        "mailstore": mailstore,
        "io_errors": _kernel.disk_errors(context),
        "big": big,
        "crowded": crowded,
        "deleted_open": deleted,
    }
