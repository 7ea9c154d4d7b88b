"""Put a mail host back as its checkpoint says. Also the program that the rollback timer runs, so: standard library only.

It never touches mail, SSH or the firewall. A file that somebody changed after the remedy is left and reported.
"""
from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import time

# What a folder of mail holds is its owner's, who can put a link there at any time.
OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
OWNERS = "owners.jsonl"
UNIT_FOLDER = "/etc/systemd/system"
SOFTWARE = (
    ("/etc/postfix", ("postconf", "-n"), "postfix.service"),
    ("/etc/dovecot", ("doveconf", "-n"), "dovecot.service"),
    ("/etc/exim4", ("exim4", "-bV"), "exim4.service"),
)


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


def describe(path):
    """What decides whether a path is as it was: kind, owner, mode, content digest or link; None when absent."""
    try:
        state = os.lstat(path)
    except OSError:
        return None
    entry = {"uid": state.st_uid, "gid": state.st_gid, "mode": stat.S_IMODE(state.st_mode), "kind": stat.S_IFMT(state.st_mode)}
    if stat.S_ISLNK(state.st_mode):
        entry["link"] = os.readlink(path)
    elif stat.S_ISREG(state.st_mode):
        with open(path, "rb") as stream:
            entry["sha256"] = hashlib.sha256(stream.read()).hexdigest()
        try:
            entry["xattr"] = {name: os.getxattr(path, name).hex() for name in sorted(os.listxattr(path)) if name != "security.selinux"}
        except OSError:
            entry["xattr"] = {}
    return entry


def unit_state(unit):
    """``{enabled, active}`` in systemd's words."""
    return {"enabled": run("systemctl", "is-enabled", unit)[1].strip(), "active": run("systemctl", "is-active", unit)[1].strip()}


def put_back(saved, path, entry):
    """Write the saved copy aside with its owner, mode and attributes, and rename it over ``path``."""
    aside = path + ".mailops-rollback"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(aside):
        os.unlink(aside)
    if "link" in entry:
        os.symlink(entry["link"], aside)
        os.lchown(aside, entry["uid"], entry["gid"])
    else:
        shutil.copyfile(saved, aside)
        os.chown(aside, entry["uid"], entry["gid"])
        os.chmod(aside, entry["mode"])
        for name, value in entry.get("xattr", {}).items():
            os.setxattr(aside, name, bytes.fromhex(value))
        with open(aside, "rb") as stream:
            os.fsync(stream.fileno())
    os.replace(aside, path)


def take_away(path, to):
    """Move a file that was not there before the repair into the checkpoint; should it be a person's, it is not lost."""
    os.makedirs(os.path.dirname(to), mode=0o700, exist_ok=True)
    shutil.move(path, to)


def restore_files(folder, manifest, root="/"):
    """``(restored, left)``: only what differs, and not what was changed after the remedy's own digests were noted."""
    restored, left = [], []
    noted = manifest.get("noted")
    for path, entry in sorted(manifest["files"].items()):
        where = os.path.join(root, path.lstrip("/"))
        try:
            now = describe(where)
            if now == entry:
                continue
            if noted is not None and now != noted.get(path):
                left.append({"path": path, "because": "it was changed after the repair"})
                continue
            if entry is None:
                take_away(where, os.path.join(folder, "taken_away", path.lstrip("/")))
            else:
                put_back(os.path.join(folder, "files", path.lstrip("/")), where, entry)
            restored.append(path)
        except OSError as problem:
            left.append({"path": path, "because": str(problem)})
    for path, entry in sorted(manifest["owned"].items()):
        where = os.path.join(root, path.lstrip("/"))
        now = describe_owner(where)
        if now is None or now == entry:
            continue
        try:
            os.chown(where, entry["uid"], entry["gid"], follow_symlinks=False)
            os.chmod(where, entry["mode"])
            restored.append(path)
        except OSError as problem:
            left.append({"path": path, "because": str(problem)})
    return restored, left


def describe_owner(path):
    """Owner and mode of a folder or socket whose content is not ours; None when absent or a link."""
    try:
        state = os.lstat(path)
    except OSError:
        return None
    return None if stat.S_ISLNK(state.st_mode) else {"uid": state.st_uid, "gid": state.st_gid, "mode": stat.S_IMODE(state.st_mode)}


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


def restore_owner(top, place, inode, entry):
    """Give an entry below an open folder its former ``(uid, gid, mode)``; False when it is another file now."""
    folder, _slash, name = place.rpartition("/")
    opened = beneath(top, folder)
    handle = None
    try:
        # The tree itself has no name below it, and may be one file with all mail.
        handle = os.open(name, OPEN, dir_fd=opened) if name else os.dup(top)
        now = os.fstat(handle)
        if now.st_ino != inode:
            return False
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
                tree, place, inode, *entry = json.loads(line)
                if tree not in tops:
                    tops[tree] = os.open(tree, OPEN)
                if restore_owner(tops[tree], place, inode, entry) and tree not in restored:
                    restored.append(tree)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as problem:
                # Ten say enough: there may be as many problems as messages.
                if len(left) < 10:
                    left.append({"path": line[:200].strip(), "because": str(problem)})
    finally:
        for handle in tops.values():
            os.close(handle)
    return restored, left


def restore_units(units):
    """Mask, enable, start and stop the units as they were; the sentences of what was done."""
    done = []
    for unit, then in sorted(units.items()):
        now = unit_state(unit)
        if now["enabled"] != then["enabled"]:
            if now["enabled"] == "masked":
                run("systemctl", "unmask", unit)
            verb = {"enabled": "enable", "disabled": "disable", "masked": "mask"}.get(then["enabled"])
            if verb:
                run("systemctl", verb, unit)
                done.append(f"{verb} {unit}")
        running = now["active"] == "active"
        if running != (then["active"] == "active"):
            verb = "stop" if running else "start"
            run("systemctl", verb, unit)
            done.append(f"{verb} {unit}")
    return done


def reload_restored(restored, left):
    """Reload the software whose files were put back, when its configuration can be read."""
    for tree, check, unit in SOFTWARE:
        if not any(path.startswith(tree + "/") for path in restored):
            continue
        code, _out, complaint = run(*check)
        if code != 0:
            left.append({"path": tree, "because": f"not reloaded, its configuration cannot be read: {complaint.strip()[:200]}"})
        elif run("systemctl", "is-active", unit)[1].strip() == "active":
            run("systemctl", "reload-or-restart", unit)


def disarm(identity, root="/"):
    """Take the rollback timer of a checkpoint away, without ending the service when that is what runs."""
    name = f"mailops-rollback-{identity}"
    run("systemctl", "disable", "--now", name + ".timer")
    for suffix in (".timer", ".service"):
        try:
            os.unlink(os.path.join(root, UNIT_FOLDER.lstrip("/"), name + suffix))
        except FileNotFoundError:
            pass
    run("systemctl", "daemon-reload")


def load(folder):
    """The manifest of a checkpoint."""
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as stream:
        return json.load(stream)


def save(folder, manifest):
    """Write the manifest aside and rename it into place."""
    path = os.path.join(folder, "manifest.json")
    with open(path + ".new", "w", encoding="utf-8") as stream:
        json.dump(manifest, stream, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())
    os.chmod(path + ".new", 0o600)
    os.replace(path + ".new", path)


def close(folder, manifest, outcome, root="/"):
    """Close a checkpoint: say how it ended, add it to the ledger, give the lock back when it is this step's."""
    manifest.update(state=outcome, closed_epoch=int(time.time()))
    save(folder, manifest)
    ledger = os.path.join(os.path.dirname(os.path.dirname(folder)), "tries.jsonl")
    with open(ledger, "a", encoding="utf-8") as stream:
        stream.write(json.dumps({"id": manifest["id"], "epoch": time.time(), "outcome": outcome}) + "\n")
    lock = os.path.join(root, "run/mailops/lock")
    try:
        with open(lock, encoding="utf-8") as stream:
            held = json.load(stream)
        if (held["owner"], held["step"]) == (manifest["owner"], manifest["step"]):
            os.unlink(lock)
    except (OSError, ValueError, KeyError, TypeError):
        pass


def roll_back(folder, because, root="/", outcome="rolled_back"):
    """Restore the checkpoint in ``folder`` and close it with ``outcome``: ``{restored, left, units}``; a closed one only loses its timer."""
    manifest = load(folder)
    if manifest["state"] != "open":
        disarm(manifest["id"], root)
        return {"restored": [], "left": [], "units": []}
    restored, left = restore_files(folder, manifest, root)
    trees, not_given = restore_owners(folder)
    restored, left = restored + trees, left + not_given
    if any(path.startswith(UNIT_FOLDER) for path in restored):
        run("systemctl", "daemon-reload")
    units = restore_units(manifest["units"])
    reload_restored(restored, left)
    result = {"restored": restored, "left": left, "units": units}
    manifest.update(because=because, rolled_back=result)
    close(folder, manifest, outcome, root)
    disarm(manifest["id"], root)
    return result


if __name__ == "__main__":
    sys.stdout.write(json.dumps(roll_back(os.path.dirname(os.path.abspath(sys.argv[0])), "nobody confirmed the repair in time")) + "\n")
