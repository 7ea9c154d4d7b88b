"""Mount what fstab(5) or a mount unit wants mounted for mail, and make writable what is read-only without a reason (mount(8), systemd.mount(5)).

A mount hides what lies beneath it. So it is refused over mail that was delivered there meanwhile, and over a running queue.
"""
from __future__ import annotations

import contextlib
import os
import time

from ansible_collections.mailops.outage.plugins.module_utils.host import _kernel, _mail, _processes, storage
from ansible_collections.mailops.outage.plugins.module_utils.host._bounded import within
from ansible_collections.mailops.outage.plugins.module_utils.host._mounts import below, mount_of, mounts, parse_mountinfo, wanted
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import NOT_TAKEN, Command, Refused, StepFailed
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

OPTIONS = {"mount": {"type": "str", "default": ""}}

_MAIL = {"spool", "mailstore"}
_PATIENCE = 5.0
_MOST_WALKED = 50000
_QUEUES = ("active", "corrupt", "deferred", "hold", "incoming", "maildrop", "saved")
# What Dovecot makes by itself at a login: no mail, and nothing that a user wrote.
_MADE_BY_LOGIN = ("dovecot", "maildirfolder", "maildirsize", "subscriptions", ".dovecot.svbin")


def steps(context, options):
    """``mount``: the mount point; empty for all that the queue and the mail store need. Never by force, and never after errors of a disk."""
    found = storage.collect(context)
    missing, read_only, dead = targets(found, options["mount"])
    if dead:
        raise Refused(f"{', '.join(entry['mount'] for entry in dead)}: no answer ({dead[0]['device']}, {dead[0]['error']}). "
                      "Bring the file server or the disk back; taking it away by force would lose what is being written.")
    for entry in read_only:
        _check_disk(entry)
    left = [entry["mount"] for entry in found["filesystems"] if entry["read_only"] and "spool" in entry["roles"] and entry not in read_only]
    there = {mount.mount for mount in mounts(context)}
    units, covered = set(), []
    with contextlib.ExitStack() as handles:
        for item in in_order(missing, [item for item in wanted(context) if not item.optional and item.mount not in there]):
            handle, behind = _look_beneath(context, item, handles)
            _check_restart(context, behind, left)
            unit = None if item.source == "/etc/fstab" else os.path.basename(item.source)
            ran = yield Command(("systemctl", "start", unit) if unit else ("mount", item.mount), f"{item.source} wants {item.mount} mounted, and it is not",
                                undo=f"umount {item.mount}", timeout=90.0)
            if ran is not NOT_TAKEN:
                _check_mounted(context, item)
                covered.append((handle, item.mount))
            units |= behind
        for entry in read_only:
            behind = _apart(context, entry["mount"], lambda known, path=entry["mount"]: _is_read_only(known, path))
            _check_restart(context, behind, left)
            yield Command(("mount", "-o", "remount,rw", entry["mount"]), f"{entry['mount']} is mounted read-only, and mail must be written there",
                          undo=f"mount -o remount,ro {entry['mount']}")
            units |= behind
        # Last, for what is started must find all of it.
        for name in sorted(units):
            yield Command(("systemctl", "restart", name), "it still sees these folders as they were before", timeout=90.0)
        for handle, path in covered:
            _check_nothing_came_beneath(context, handle, path)


def targets(found: dict, path: str) -> tuple:
    """``(missing mount points, read-only file systems, those that do not answer)`` by storage's facts: of ``path``, or of all that mail needs."""
    chosen = (lambda entry: entry["mount"] == path) if path else (lambda entry: _MAIL & set(entry["roles"]))
    missing = [entry["mount"] for entry in found["fstab_missing"] if chosen(entry)]
    there = [entry for entry in found["filesystems"] if chosen(entry)]
    if path and not missing and not there:
        raise Refused(f"{clean(path)} is neither a mount that mail lives on nor one that fstab or a mount unit misses.")
    if path and there and there[0]["fstab_read_only"]:
        raise Refused(f"fstab says that {clean(path)} is read-only; change it there if that is wrong.")
    dead = [entry for entry in there if not entry["answers"]]
    return missing, [entry for entry in there if entry["read_only"] and not entry["fstab_read_only"] and entry not in dead], dead


def in_order(names: list, pool: list) -> list:
    """The mounts of ``pool`` (Wanted, all missing) at ``names``, each after those that its mount point, or what it binds, lies on."""
    order: list = []

    def add(item, above):
        for other in pool:
            bound = item.device.startswith("/") and not item.device.startswith("/dev/") and below(item.device, other.mount)
            if other.mount != item.mount and other.mount not in above and (bound or below(item.mount, other.mount)):
                add(other, above | {item.mount})
        if item.mount not in {known.mount for known in order}:
            order.append(item)
    for item in pool:
        if item.mount in names:
            add(item, {item.mount})
    return order


def _look_beneath(context, item, handles) -> tuple:
    """``(open folder, units to restart)`` of a mount point that may be covered; Refused for one that may not."""
    covered = [mount.mount for mount in mounts(context) if mount.mount != item.mount and below(mount.mount, item.mount)]
    if covered:
        raise Refused(f"{item.mount} would cover {', '.join(covered[:3])}, which is mounted below it; a person must unmount that first.")
    try:
        # What lies beneath can still be seen through it when something is mounted there.
        handle = os.open(item.mount, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as problem:
        raise Refused(f"{item.mount} is no folder that something can be mounted on: {problem.strerror}.") from None
    handles.callback(os.close, handle)
    beneath = _beneath(context, handle, item.mount)
    if beneath:
        raise Refused(f"{len(beneath)} files lie beneath the mount point {item.mount} (such as {beneath[0]}), mail among them perhaps. "
                      "A mount would hide them: stop delivery, move them away, mount, and merge them into the mailboxes.")
    return handle, _holders(context, item.mount) | _apart(context, item.mount, lambda known: item.mount not in {mount.mount for mount in known})


def _check_mounted(context, item) -> None:
    if item.mount not in {mount.mount for mount in parse_mountinfo(context.read("/proc/self/mountinfo", 4 * 1024 * 1024) or "")}:
        # With nofail, mount(8) is silent about a device that is not there.
        raise StepFailed(f"{item.mount} is still not mounted, although the command went well; look whether {item.device} is there.")


def _check_nothing_came_beneath(context, handle: int, path: str) -> None:
    beneath = _beneath(context, handle, path)
    if beneath:
        raise StepFailed(f"{path} is mounted, but {len(beneath)} files were written beneath it just before (such as {beneath[0]}): "
                         "stop delivery, unmount it, move them away, mount it again and merge them.")


def _beneath(context, handle: int, path: str) -> list:
    """The files in the open folder of a mount point that nobody may lose sight of. Refused when it is too much to look through."""
    queue = _mail.spool(context)
    inside = os.path.relpath(queue, path) if queue and below(queue, path) else None
    try:
        found = within(_PATIENCE, written_by_people, f"/proc/self/fd/{handle}", inside)
    except (OSError, TimeoutError) as problem:
        raise Refused(f"It cannot be seen what lies beneath the mount point {path}: {clean(problem)}.") from None
    return [os.path.normpath(os.path.join(path, name)) for name in found]


def written_by_people(folder: str, queue: str | None = None, most: int = _MOST_WALKED) -> list:
    """Paths in ``folder``, relative to it, of files that hold something; of the mail queue at ``queue`` in it only messages.

    Raises TimeoutError when it is too much.
    """
    found, waiting, walked = [], [""], 0
    while waiting:
        place = waiting.pop()
        with os.scandir(os.path.join(folder, place)) as entries:
            for entry in entries:
                walked += 1
                if walked > most:
                    raise TimeoutError("too many files")
                name = os.path.join(place, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                elif _counts(entry, name, queue):
                    found.append(name)
    return sorted(found)


def _counts(entry, name: str, queue: str | None) -> bool:
    if queue is not None and below("/" + name, os.path.normpath("/" + queue)):
        # Beside the queues lie copies for the chroot, pid files and sockets.
        return os.path.relpath(name, queue).split("/")[0] in _QUEUES
    if entry.name.startswith(_MADE_BY_LOGIN) or not entry.is_file(follow_symlinks=False):
        return False
    return entry.stat(follow_symlinks=False).st_size > 0


def _check_restart(context, units: set, read_only: list) -> None:
    """Raises Refused where Dovecot would have to be restarted and would not come up: its sockets lie in the queue's folder."""
    if "dovecot.service" not in units:
        return
    if read_only:
        raise Refused(f"Dovecot must be restarted afterwards and cannot make its sockets while {read_only[0]} is read-only; make that writable first.")
    if not context.run("doveconf", "-n").ok:
        raise Refused("Dovecot must be restarted afterwards, and its configuration is not valid; put that right first (rollback_config).")


def _apart(context, path: str, is_behind) -> set:
    """The units of mail software with mounts of their own (mount_namespaces(7)) of which ``is_behind(mounts)`` holds.

    Empty where a change of ours reaches them.
    """
    if propagates(context.read("/proc/self/mountinfo", 4 * 1024 * 1024) or "", path):
        return set()
    units, answers = set(), {_link("/proc/self/ns/mnt"): False, "": False}
    for pid, process in _processes.processes(context).items():
        # In a chroot (Postfix's) mountinfo shows only what lies in it.
        if not process.software or _link(f"/proc/{pid}/root") != "/":
            continue
        space = _link(f"/proc/{pid}/ns/mnt")
        if space not in answers:
            answers[space] = is_behind(parse_mountinfo(context.read(f"/proc/{pid}/mountinfo", 4 * 1024 * 1024) or ""))
        unit = _processes.unit_of(_processes.cgroups(pid))
        if answers[space] and unit.endswith(".service"):
            units.add(unit)
    return units


def propagates(mountinfo: str, path: str) -> bool:
    """Whether a mount made at ``path`` also appears in other mount namespaces: whether the mount that holds it is shared (proc_pid_mountinfo(5))."""
    best, shared = "", False
    for line in mountinfo.splitlines():
        fields = line.partition(" - ")[0].split(" ")
        if len(fields) > 5 and below(path, fields[4]) and len(fields[4]) >= len(best):
            best, shared = fields[4], any(field.startswith("shared:") for field in fields[6:])
    return shared


def _is_read_only(known: list, path: str) -> bool:
    mount = mount_of(path, known)
    return mount is not None and "ro" in mount.options


def _holders(context, path: str) -> set:
    """The units of mail software that use what lies at ``path`` now, to be restarted when something else is mounted there.

    Refused for the queue of a running MTA.
    """
    units = set()
    sockets = bound_below(context.read("/proc/net/unix", 4 * 1024 * 1024) or "", path)
    for pid, process in _processes.processes(context).items():
        if process.software in ("postfix", "exim"):
            if _link_is_below(f"/proc/{pid}/cwd", path):
                raise Refused(f"{process.software} runs on the folder beneath {path} (pid {pid}) and would go on there unseen: "
                              "stop it, mount, look for mail beneath, start it.")
        elif process.software and _uses(pid, path, sockets):
            unit = _processes.unit_of(_processes.cgroups(pid))
            if not unit.endswith(".service"):
                raise Refused(f"{process.name} (pid {pid}) uses the folder beneath {path} and is no service that could be restarted: stop it, mount, start it.")
            units.add(unit)
    return units


def bound_below(table: str, path: str) -> set:
    """The links (``socket:[inode]``) of the sockets in /proc/net/unix that are bound to a name below ``path``."""
    rows = (line.split(None, 7) for line in table.splitlines()[1:])
    return {f"socket:[{row[6]}]" for row in rows if len(row) == 8 and below(row[7], path)}


def _uses(pid: int, path: str, sockets: set) -> bool:
    try:
        names = os.listdir(f"/proc/{pid}/fd")[:1000]
    except OSError:
        names = []
    return any(_link_is_below(f"/proc/{pid}/{name}", path, sockets) for name in ["cwd"] + [f"fd/{name}" for name in names])


def _link_is_below(link: str, path: str, sockets=()) -> bool:
    target = _link(link)
    return target in sockets or below(target, path)


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _check_disk(entry: dict) -> None:
    """Raises Refused where the kernel made a file system read-only because of its disk, or where that cannot be known."""
    # Errors may be older than the window: those since the host was started.
    since_boot = Context(options={"since": 1.0, "until": time.time()})
    mount = mount_of(entry["mount"], mounts(since_boot))
    if mount is None or "ro" not in mount.super_options or not mount.device.startswith("/dev/"):
        # Only this mount was made read-only, which the kernel never does, or there is no disk.
        return
    advice = "make a copy, check the disk, and repair the file system offline (fsck) before it is written again."
    errors = [line["text"] for line in _kernel.disk_errors(since_boot)]
    if errors:
        raise Refused(f"{entry['mount']} is read-only, and the kernel tells of errors ({errors[-1]}): {advice}")
    count = _errors_count(entry["mount"])
    if count:
        raise Refused(f"The file system at {entry['mount']} is marked as damaged ({count} errors): {advice}")
    if not _kernel.visible(since_boot):
        raise Refused(f"{entry['mount']} is read-only, and the kernel's messages, which would tell why, cannot be seen here: {advice}")


def _errors_count(path: str) -> int:
    """How many errors an ext4 file system counts since it was checked (sysfs-fs-ext4), 0 for others."""
    device = os.stat(path).st_dev
    name = os.path.basename(os.path.realpath(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"))
    try:
        with open(f"/sys/fs/ext4/{name}/errors_count", encoding="ascii") as stream:
            return int(stream.read())
    except (OSError, ValueError):
        return 0
