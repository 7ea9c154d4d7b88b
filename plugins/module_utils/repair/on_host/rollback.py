"""Put a mail host back as its checkpoint says. Also the program that the rollback timer runs, so: one file, and the standard library only.

A repair notes in its checkpoint what it touches as it touches it: how it was before, and how the repair left it. What is still exactly as the repair
left it is put back; anything else is somebody's by now, is left and told. Mail, SSH and the firewall are never touched.

A checkpoint plays once. It may play while its manifest says so and the unit file of its timer is there. So an end is sure as soon as one of the two
could be written: the manifest, or the unit file taken away. Where neither can be, nothing is put back.
"""
from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import stat
import subprocess
import sys
import time

# What a folder of mail holds is its owner's, who can put a link there at any time.
OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
MANIFEST, NOTED, OWNERS, RESERVE = "manifest.json", "noted.jsonl", "owners.jsonl", "reserve"
LEDGER = "tries.jsonl"
SCHEMA = 2
MARKERS = ("/etc/mailops/human-at-work", "/run/mailops/human-at-work")
GUARD, LOCK = "/run/mailops/guard", "/run/mailops/lock"
# Manifests that could not be written where they belong; they hold until the next boot.
UNRECORDED = "/run/mailops/unrecorded"
UNIT_FOLDER, MEMORY_UNITS = "/etc/systemd/system", "/run/systemd/system"
# The timer tries again after the first time, so many seconds later.
TRY_AGAIN = (60, 300, 900, 3600)
MOST_TRIES = 1 + len(TRY_AGAIN)
SOFTWARE = (
    ("/etc/postfix", ("postconf", "-n"), "postfix"),
    ("/etc/dovecot", ("doveconf", "-n"), "dovecot"),
    ("/etc/exim4", ("exim4", "-bV"), "exim4"),
)
# A unit that was not there has no state.
_ENABLE = {"": ("disable",), "enabled": ("enable",), "enabled-runtime": ("enable", "--runtime"), "disabled": ("disable",), "masked": ("mask",),
           "masked-runtime": ("mask", "--runtime")}
# Gone, or a link by now.
_ANOTHER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_RUNS = ("active", "reloading")


def under(root, path):
    """``path`` below ``root``, which is ``/`` except in tests."""
    return os.path.join(root, path.lstrip("/"))


@contextlib.contextmanager
def alone(root="/"):
    """One at a time begins, changes, confirms or rolls back on this host: whoever comes second finds what the first one left."""
    path = under(root, GUARD)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def human_at_work(root="/"):
    """The marker by which a person keeps the machinery off this host, or None."""
    return next((path for path in MARKERS if os.path.lexists(under(root, path))), None)


def run(*argv, timeout=60):
    """``(return code or None, output, complaints)`` of a command, without a shell and with a bound."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    try:
        # This program runs without Ansible, from a systemd timer.
        end = subprocess.run(  # pylint: disable=ansible-bad-function
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False, env=environment)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return None, "", str(problem)
    return end.returncode, end.stdout.decode("utf-8", "replace"), end.stderr.decode("utf-8", "replace")


def settle(folder):
    """The names in a folder are on the disk when this returns (fsync(2))."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write(path, data, mode=0o600):
    """Write ``data`` aside and rename it into place; on the disk when this returns. Nothing stays behind when it raises OSError."""
    aside = path + ".new"
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode), "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(aside, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise
    settle(os.path.dirname(path))


def append(path, entry):
    """Add a line of JSON to a file, whole or not at all; on the disk when this returns. A line that a crash cut off is closed first."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(handle).st_size
        torn = size and os.pread(handle, 1, size - 1) != b"\n"
        data = (b"\n" if torn else b"") + json.dumps(entry, sort_keys=True).encode() + b"\n"
        if os.write(handle, data) != len(data):
            os.ftruncate(handle, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        os.fsync(handle)
    finally:
        os.close(handle)
    settle(os.path.dirname(path))


def _reading(path):
    """A file to be read, which its owner could have made a link or a pipe meanwhile."""
    return os.fdopen(os.open(path, OPEN), "rb")


def copy(source, target, rights=None):
    """Copy content and time of a file, with ``rights`` (uid, gid, mode, xattr) or for root only; on the disk when this returns. The digest of it."""
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    digest = hashlib.sha256()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(target)
    try:
        with _reading(source) as found, os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb") as made:
            for chunk in iter(lambda: found.read(1 << 20), b""):
                digest.update(chunk)
                made.write(chunk)
            made.flush()
            if rights:
                os.fchown(made.fileno(), rights["uid"], rights["gid"])
                os.fchmod(made.fileno(), rights["mode"])
                for name, value in rights["xattr"].items():
                    os.setxattr(made.fileno(), name, bytes.fromhex(value))
            times = os.fstat(found.fileno())
            os.utime(made.fileno(), ns=(times.st_atime_ns, times.st_mtime_ns))
            os.fsync(made.fileno())
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(target)
        raise
    settle(os.path.dirname(target))
    return digest.hexdigest()


def describe(path, content=True):
    """What decides whether a path is as it was: kind, owner, mode and, with ``content``, digest and attributes or link; None when absent."""
    try:
        state = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    entry = {"uid": state.st_uid, "gid": state.st_gid, "mode": stat.S_IMODE(state.st_mode), "kind": stat.S_IFMT(state.st_mode)}
    if content and stat.S_ISLNK(state.st_mode):
        entry["link"] = os.readlink(path)
    elif content and stat.S_ISREG(state.st_mode):
        digest = hashlib.sha256()
        with _reading(path) as stream:
            for chunk in iter(lambda: stream.read(1 << 20), b""):
                digest.update(chunk)
        entry["sha256"] = digest.hexdigest()
        try:
            entry["xattr"] = {name: os.getxattr(path, name).hex() for name in sorted(os.listxattr(path)) if name != "security.selinux"}
        except OSError:
            entry["xattr"] = {}
    return entry


def same(now, then):
    """Whether what is there is what was described, as far as that tells."""
    return now is then if None in (now, then) else all(now.get(name) == value for name, value in then.items())


def noted(folder):
    """``((files, units), left)``: what the repair touched, as checkpoint.noting wrote it.

    ``files`` is {path: (before, [as the repair may have left it])}, ``units`` {unit: (before, after or None)}. Where somebody else changed a thing
    between two steps, that is what the later step found, and what is gone back to.
    """
    files, units, left = {}, {}, []
    try:
        with open(os.path.join(folder, NOTED), "rb") as stream:
            lines = stream.read().split(b"\n")
    except FileNotFoundError:
        return (files, units), left
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line) if line else {}
            for path, before in entry.get("before", {}).items():
                known = files.get(path)
                first = known[0] if known and any(same(before, each) for each in [known[0], *known[1]]) else before
                # Until its end is noted a step was taken or not.
                files[path] = (first, [before] + ([entry["will"][path]] if path in entry["will"] else []))
            for path, after in entry.get("after", {}).items():
                files[path] = (files[path][0], [after])
            for unit, before in entry.get("units", {}).items():
                known = units.get(unit)
                goes_on = known and known[1] and all(known[1][name] == before[name] for name in ("enabled", "invocation"))
                units[unit] = (known[0] if goes_on else before, None)
            for unit, after in entry.get("units_after", {}).items():
                units[unit] = (units[unit][0], after)
        except (ValueError, KeyError, TypeError, AttributeError):
            # A last line that was cut off is a step that was not begun, or one whose end was not noted.
            if number < len(lines):
                left.append(_left(os.path.join(folder, NOTED), f"line {number} cannot be read, and what it tells of is not put back"))
    return (files, units), left


def _left(path, because, again=False):
    return {"path": path, "because": because, "again": again}


def restore_files(folder, files, root="/"):
    """``(restored, left)`` of what ``noted`` found. What cannot be put back now may be later (``again``); what somebody else changed is left for good."""
    restored, left = [], []
    for path, (before, after) in sorted(files.items()):
        try:
            where = under(root, path)
            content = before is None or "sha256" in before or "link" in before
            now = describe(where, content)
            if same(now, before):
                continue
            if not any(same(now, each) for each in after):
                left.append(_left(path, "it is not as the repair left it"))
                continue
            if content:
                put_back(folder, path, where, before, now, root)
            else:
                give_back(where, before, now)
            restored.append(path)
        except (OSError, ValueError, KeyError, TypeError) as problem:
            left.append(_left(path, str(problem), again=True))
    if any(path.startswith(UNIT_FOLDER) for path in restored):
        run("systemctl", "daemon-reload")
    return restored, left


def keep(folder, path, where, digest, root):
    """Copy what is replaced into the checkpoint; to memory where that cannot be written."""
    name = path.lstrip("/")
    try:
        kept = copy(where, os.path.join(folder, "replaced", name))
    except OSError:
        kept = copy(where, under(root, f"/run/mailops/replaced/{os.path.basename(folder)}/{name}"))
    if kept != digest:
        raise OSError("it is being changed")


def put_back(folder, path, where, before, now, root="/"):
    """Keep what is there in the checkpoint, and put what was there before in its place. Raises OSError, and then nothing is changed."""
    if now and "sha256" in now:
        keep(folder, path, where, now["sha256"], root)
    aside = where + ".mailops-rollback"
    try:
        os.makedirs(os.path.dirname(where), exist_ok=True)
        if before is not None and "link" in before:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(aside)
            os.symlink(before["link"], aside)
            os.lchown(aside, before["uid"], before["gid"])
        elif before is not None:
            if copy(os.path.join(folder, "files", before["sha256"]), aside, before) != before["sha256"]:
                raise OSError("the copy in the checkpoint is damaged")
        if not same(describe(where), now):
            raise OSError("it is being changed")
        if before is None:
            os.unlink(where)
        else:
            os.replace(aside, where)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise
    settle(os.path.dirname(where))


def give_back(where, before, now):
    """Owner and mode of something whose content is not ours. Not by name twice: the path could become a link in between."""
    handle = os.open(where, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        state = os.fstat(handle)
        if (state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode), stat.S_IFMT(state.st_mode)) != (now["uid"], now["gid"], now["mode"], before["kind"]):
            raise OSError("it is being changed")
        name = f"/proc/self/fd/{handle}"
        os.chown(name, before["uid"], before["gid"])
        # Another owner could write to it meanwhile: it must not become a program that runs as somebody else.
        os.chmod(name, before["mode"] & 0o777 if stat.S_ISREG(state.st_mode) and before["uid"] != now["uid"] else before["mode"])
    finally:
        os.close(handle)


def beneath(top, place):
    """An open folder below an open one, reached without following a link."""
    handle = os.dup(top)
    try:
        for part in filter(None, place.split("/")):
            inner = os.open(part, OPEN | os.O_DIRECTORY, dir_fd=handle)
            os.close(handle)
            handle = inner
    except OSError:
        os.close(handle)
        raise
    return handle


def restore_owner(top, place, inode, entry, given):
    """Give an entry below an open folder its former ``(uid, gid, mode)``: whether it was done, or None when it is not as the repair left it."""
    folder, _slash, name = place.rpartition("/")
    opened = beneath(top, folder)
    handle = None
    try:
        # The tree itself has no name below it, and may be one file with all mail.
        handle = os.open(name, OPEN, dir_fd=opened) if name else os.dup(top)
        now = os.fstat(handle)
        if now.st_ino != inode or ((now.st_uid, now.st_gid) == tuple(entry[:2]) and stat.S_IMODE(now.st_mode) == entry[2]):
            return False
        # A repair gives the owner rights that it lacked, and nobody else.
        if (now.st_uid, now.st_gid) != given or (now.st_mode ^ entry[2]) & 0o1077:
            return None
        os.fchown(handle, entry[0], entry[1])
        # Its owner could write to it meanwhile: it must not become a program that runs as somebody else.
        os.fchmod(handle, entry[2] if stat.S_ISDIR(now.st_mode) else entry[2] & 0o777)
        return True
    finally:
        for number in (opened, handle):
            if number is not None:
                os.close(number)


def restore_owners(folder):
    """``(restored, left)``: the trees whose owners a remedy changed, each entry as checkpoint.owners kept it; what is gone since needs no owner."""
    restored, left = [], []
    try:
        with open(os.path.join(folder, OWNERS), encoding="utf-8") as stream:
            lines = stream.readlines()
    except FileNotFoundError:
        return restored, left
    tops = {}
    try:
        # The last first: what was changed twice ends as it was at first.
        for line in reversed(lines):
            try:
                tree, place, inode, uid, gid, mode, *given = json.loads(line)
                if tree not in tops:
                    tops[tree] = os.open(tree, OPEN)
                done = restore_owner(tops[tree], place, inode, (uid, gid, mode), tuple(given))
                if done and tree not in restored:
                    restored.append(tree)
                problems = [_left(os.path.join(tree, place), "its owner or mode is not as the repair left it")] if done is None else []
            except OSError as problem:
                problems = [] if problem.errno in _ANOTHER else [_left(line[:200].strip(), str(problem), again=True)]
            except (ValueError, TypeError) as problem:
                problems = [_left(line[:200].strip(), str(problem))]
            # Ten say enough: there may be as many problems as messages.
            left += problems if len(left) < 10 else []
    finally:
        for handle in tops.values():
            os.close(handle)
    return restored, left


def unit_state(unit):
    """``{enabled, active, invocation}`` in systemd's words; the invocation tells one start of a unit from the next (systemd.exec(5))."""
    shown = dict(line.partition("=")[::2] for line in run("systemctl", "show", "-p", "UnitFileState,ActiveState,InvocationID", unit)[1].splitlines())
    return {name: shown.get(word, "") for name, word in (("enabled", "UnitFileState"), ("active", "ActiveState"), ("invocation", "InvocationID"))}


def restore_units(units, ending):
    """``(done, left)``: sentences of what was undone of what the repair did to units. What somebody started or stopped since stays as it is.

    ``ending``: only what stops and disables, which needs the unit files of the repair; else the rest, which needs those from before.
    """
    done, left = [], []
    for unit, (before, after) in sorted(units.items()):
        now = unit_state(unit)
        for verbs in [verbs for verbs in _undoing(before, after, now) if (verbs[0] in ("stop", "disable")) is ending] if after else []:
            code, _out, complaint = run("systemctl", *verbs, unit, timeout=90)
            if code == 0:
                done.append(" ".join((*verbs, unit)))
            else:
                left.append(_left(unit, f"systemctl {' '.join(verbs)}: {complaint.strip()[:200]}", again=True))
    return done, left


def _undoing(before, after, now):
    """The verbs of systemctl that undo what a repair did to a unit, as far as it is still the repair's doing."""
    verbs = []
    if before["enabled"] != after["enabled"] == now["enabled"]:
        verbs += [("unmask",)] if now["enabled"].startswith("masked") else []
        verbs += [_ENABLE[before["enabled"]]] if before["enabled"] in _ENABLE else []
    ran, runs = (state["active"] in _RUNS for state in (before, now))
    if runs and not ran and now["invocation"] == after["invocation"]:
        verbs.append(("stop",))
    # A unit that is inactive and was not left so was stopped by somebody; one that failed was not.
    if ran and not runs and (now["active"] != "inactive" or now["active"] == after["active"]):
        verbs.append(("start",))
    return verbs


def take_over(restored, units):
    """``(done, [])``: have the software read what was put back, if it can be read; what was restarted by the repair is restarted."""
    done = []
    for tree, check, name in SOFTWARE:
        if not any(path.startswith(tree + "/") for path in restored):
            continue
        code, _out, complaint = run(*check)
        if code != 0:
            done.append(f"{name} goes on with what it read before, for {tree} cannot be read: {complaint.strip()[:200]}")
            units = {unit: states for unit, states in units.items() if not unit.startswith(name)}
        elif not any(unit.startswith(name) for unit in _restarted(units)) and unit_state(name + ".service")["active"] in _RUNS:
            run("systemctl", "reload-or-restart", name + ".service")
            done.append(f"reload-or-restart {name}.service")
    for unit in _restarted(units) if restored else []:
        if unit_state(unit)["active"] in _RUNS:
            run("systemctl", "restart", unit, timeout=90)
            done.append(f"restart {unit}")
    return done, []


def _restarted(units):
    return [unit for unit, (before, after) in sorted(units.items()) if after and before["active"] in _RUNS and after["active"] in _RUNS
            and before["invocation"] != after["invocation"]]


def unit_files(identity, root="/"):
    """The places of the timer and of its service: on disk, or in memory with a checkpoint that is there."""
    return [under(root, f"{folder}/mailops-rollback-{identity}{suffix}") for folder in (UNIT_FOLDER, MEMORY_UNITS) for suffix in (".timer", ".service")]


def armed(identity, root="/"):
    """Whether the timer of a checkpoint is there."""
    return any(os.path.lexists(path) for path in unit_files(identity, root) if path.endswith(".timer"))


def disarm(identity, root="/"):
    """Take the timer away, without ending the service when that is what runs; whether it is gone for good."""
    run("systemctl", "disable", "--now", f"mailops-rollback-{identity}.timer")
    gone = True
    for path in unit_files(identity, root):
        try:
            os.unlink(path)
            settle(os.path.dirname(path))
        except FileNotFoundError:
            pass
        except OSError:
            gone = False
    run("systemctl", "daemon-reload")
    return gone


def load(folder, root="/"):
    """The manifest of a checkpoint, never an exception: one that cannot be read, or that ended without a record, is ``not_put_back``."""
    identity = os.path.basename(folder)
    manifest = {"id": identity, "step": identity.partition("-")[2], "owner": "unknown", "remedy": "", "cause": "", "rolls_back_at": "", "journal": "",
                "state": "not_put_back", "because": "", "attempts": []}
    for path in (_in_memory(identity, root), os.path.join(folder, MANIFEST)):
        try:
            with open(path, encoding="utf-8") as stream:
                found = json.load(stream)
            if found["schema"] != SCHEMA:
                return dict(manifest, because=f"another version of this program made it; its own is {folder}/rollback.py")
            kinds = [(found[name], type(value)) for name, value in manifest.items()] + [(found.get("rolled_back", {}), dict)]
            kinds += [(each, dict) for each in found["attempts"]] + [(each, list) for each in dict(found.get("rolled_back", {})).values()]
            if any(not isinstance(value, kind) for value, kind in kinds) or found["id"] != identity:
                raise ValueError("a value is of another kind")
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError) as problem:
            return dict(manifest, because=f"{path} cannot be read ({problem}), so that it is not known whether it may be put back")
        if found["state"] in ("open", "rolling_back") and not armed(identity, root):
            found.update(state="not_put_back", because="its timer is gone and its end is not on record: it was confirmed, or put back already")
        return found
    return dict(manifest, because="it has no manifest")


def may_play(manifest, root="/"):
    """Whether a checkpoint may be rolled back: it was not yet, or not wholly, and nobody confirmed or took it over."""
    attempts = manifest["attempts"]
    pending = manifest["state"] in ("open", "rolling_back") or (manifest["state"] == "not_put_back" and bool(attempts) and attempts[-1].get("again") is True)
    return pending and len(attempts) < MOST_TRIES and armed(manifest["id"], root)


def forget(identity, root="/"):
    """What was only kept in memory does not hold any more."""
    with contextlib.suppress(OSError):
        os.unlink(_in_memory(identity, root))


def _in_memory(identity, root):
    return under(root, f"{UNRECORDED}/{identity}.json")


def save(folder, manifest, root="/"):
    """Write the manifest. When that fails it is kept in memory, which holds until the next boot, and the answer is False."""
    memory = _in_memory(manifest["id"], root)
    data = json.dumps(manifest, sort_keys=True).encode()
    try:
        write(os.path.join(folder, MANIFEST), data)
    except OSError:
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(memory), mode=0o700, exist_ok=True)
            write(memory, data)
        return False
    forget(manifest["id"], root)
    return True


def make_room(folder):
    """Give free what was kept for an end on a full disk."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(folder, RESERVE))


def close(folder, manifest, root="/"):
    """An end, as ``manifest`` tells it: recorded, told to the ledger, and the timer taken away. False when neither record nor timer could be changed."""
    make_room(folder)
    manifest["closed_epoch"] = int(time.time())
    recorded = save(folder, manifest, root)
    # In this order: a timer that finds a closed checkpoint does nothing, an open one without a timer would stay.
    gone = disarm(manifest["id"], root)
    with contextlib.suppress(OSError):
        append(os.path.join(os.path.dirname(os.path.dirname(folder)), LEDGER), {"id": manifest["id"], "epoch": time.time(), "outcome": manifest["state"]})
    return recorded or gone


def free_lock(manifest, root="/"):
    """Give the lock back when it is this step's."""
    path = under(root, LOCK)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        with open(path, encoding="utf-8") as stream:
            held = json.load(stream)
        if (held["owner"], held["step"]) == (manifest["owner"], manifest["step"]):
            os.unlink(path)


def restore(folder, manifest, root="/"):
    """``{restored, left, units}`` of one try. What a try before it put back is whoever's it is since, and only told."""
    earlier = manifest.get("rolled_back", {}).get("restored", [])
    found, left = _safely(folder, noted, folder)
    files, units = found or ({}, {})
    done, restored = [], []
    for result, what, *arguments in (
            (done, restore_units, units, True),
            (restored, restore_files, folder, {path: states for path, states in files.items() if path not in earlier}, root),
            (restored, restore_owners, folder),
            (done, restore_units, units, False),
            (done, take_over, restored, units)):
        found, problems = _safely(folder, what, *arguments)
        result += found
        left += problems
    return {"restored": earlier + [path for path in restored if path not in earlier], "left": left, "units": done}


def _safely(folder, what, *arguments):
    """What is asked for, and what is left. Whatever goes wrong, what is not known to be put back is not, and the rest is tried all the same."""
    try:
        return what(*arguments)
    except Exception as problem:  # pylint: disable=broad-exception-caught
        return [], [_left(folder, f"{type(problem).__name__}: {problem}", again=True)]


def told(manifest):
    """``{state, because, restored, left, units}``: how a checkpoint stands."""
    return {"state": manifest["state"], "because": manifest["because"], "restored": [], "left": [], "units": [], **manifest.get("rolled_back", {})}


def roll_back(folder, because, root="/", outcome="rolled_back"):
    """Put back what the checkpoint in ``folder`` noted; how it stands then, as ``told``. To be called under ``alone``.

    ``outcome`` when all is as before; else ``not_put_back``: with the timer for another try where one may help, ``given_up`` after the last.
    """
    manifest = load(folder, root)
    if not may_play(manifest, root):
        if manifest.get("closed_epoch"):
            disarm(manifest["id"], root)
        return told(manifest)
    make_room(folder)
    attempt = {"epoch": int(time.time()), "left": [], "again": True}
    manifest.update(because=because, attempts=manifest["attempts"] + [attempt])
    marker = human_at_work(root)
    if marker:
        result = {"restored": [], "units": [], **manifest.get("rolled_back", {}), "left": [_left(marker, "a person is at work on this host", again=True)]}
    else:
        manifest["state"] = "rolling_back"
        if not (save(folder, manifest, root) or disarm(manifest["id"], root)):
            forget(manifest["id"], root)
            manifest.update(state="not_put_back", because=f"{because}; it cannot be recorded on this host, so that it would be put back again at each boot")
            return told(manifest)
        result = restore(folder, manifest, root)
    left = result["left"]
    helps = any(item["again"] for item in left)
    attempt.update(left=left, again=helps and len(manifest["attempts"]) < MOST_TRIES and armed(manifest["id"], root))
    manifest.update(rolled_back=result, state=outcome if not left else "given_up" if helps and not attempt["again"] else "not_put_back")
    if attempt["again"]:
        save(folder, manifest, root)
    else:
        close(folder, manifest, root)
    free_lock(manifest, root)
    return told(manifest)


def main():
    """What the timer runs."""
    with alone():
        sys.stdout.write(json.dumps(roll_back(os.path.dirname(os.path.abspath(sys.argv[0])), "nobody confirmed the repair in time")) + "\n")


if __name__ == "__main__":
    main()
