"""What a host was like when mail last worked, and what differs now.

A snapshot is a folder ``/var/lib/mailops/known-good/STAMP`` (root only) with ``manifest.json`` and a copy of the
configuration files; ``current`` points at the one in force. The manifest holds no secrets: settings come from the
facts, which leave them out, and files are described by digest, owner and mode.
"""
from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import stat

from ansible_collections.mailops.outage.plugins.module_utils.host import _mailstore, postfix
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

STORE = "/var/lib/mailops/known-good"
CONFIG_TREES = (
    "/etc/postfix", "/etc/dovecot", "/etc/exim4", "/etc/opendkim", "/etc/rspamd", "/etc/amavis", "/etc/clamav", "/etc/postgrey",
    "/etc/ssl/mail", "/etc/fail2ban",
)
CONFIG_FILES = (
    "/etc/aliases", "/etc/aliases.db", "/etc/mailname", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/fstab", "/etc/passwd", "/etc/group",
    "/etc/nftables.conf", "/etc/opendkim.conf", "/etc/default/opendkim", "/etc/default/exim4", "/etc/default/postgrey", "/etc/rsyslog.conf",
)
_QUEUE_FOLDERS = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "pid", "private", "public", "saved", "trace")
_MOST_FILES = 3000
_MOST_BYTES = 4 * 1024 * 1024


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _describe(path: str) -> dict | None:
    """Digest, size, owner, group and mode of a file; owner and mode only of a directory or socket."""
    try:
        state = os.lstat(path)
    except OSError:
        return None
    entry = {"owner": _owner(state.st_uid), "group": _group(state.st_gid), "mode": f"{stat.S_IMODE(state.st_mode):04o}"}
    if stat.S_ISLNK(state.st_mode):
        entry.update(link=os.readlink(path))
    elif stat.S_ISREG(state.st_mode) and state.st_size <= _MOST_BYTES:
        try:
            with open(path, "rb") as stream:
                entry.update(sha256=hashlib.sha256(stream.read()).hexdigest(), size=state.st_size, mtime_epoch=int(state.st_mtime))
        except OSError:
            pass
    return entry


def config_paths() -> list:
    """The configuration files that mail depends on, sorted; at most 3000."""
    found = [path for path in CONFIG_FILES if os.path.lexists(path)]
    for tree in CONFIG_TREES:
        for folder, _folders, names in os.walk(tree):
            found += [os.path.join(folder, name) for name in names]
            if len(found) > _MOST_FILES:
                break
    return sorted(found)[:_MOST_FILES]


def _owned_paths(context) -> list:
    """Paths whose owner and mode decide whether mail moves: the queue's folders and sockets, and the mail store."""
    place = _mailstore.store(context)
    paths = [place.root] if place else []
    known = postfix.settings(context)
    if known:
        queue = known["queue_directory"]
        paths += [queue] + [os.path.join(queue, name) for name in _QUEUE_FOLDERS] + ["/usr/sbin/postdrop", "/usr/sbin/postqueue"]
    return paths


def files(context) -> dict:
    """``{path: description}`` of the configuration files and of the paths whose ownership matters."""
    described = {path: _describe(path) for path in config_paths() + _owned_paths(context)}
    return {path: entry for path, entry in described.items() if entry}


def _command(master: dict) -> str:
    """A master.cf entry's command with its overrides, as one comparable text."""
    return " ".join([str(master.get("command") or "")] + [f"-o {name}={value}" for name, value in sorted((master.get("overrides") or {}).items())])


def state(facts: dict, described: dict) -> dict:
    """The comparable part of the facts, with the files' descriptions."""
    def part(*names):
        data = facts
        for name in names:
            data = data.get(name) if isinstance(data, dict) else None
        return data
    # A configuration that its own program cannot read tells settings half: nothing is compared with it.
    unread = {name for name in ("postfix", "dovecot") if part(name, "errors")}
    return {
        "units": {item["unit"]: {"enabled": item.get("enabled"), "running": item.get("running")}
                  for item in part("services", "units") or [] if item.get("present")},
        "listeners": [{"port": item["port"], "address": item["address"], "loopback": item.get("loopback"), "process": item.get("process")}
                      for item in part("listeners", "tcp") or [] if item.get("mail")],
        "settings": {
            "postfix": {} if "postfix" in unread else dict(part("postfix", "settings") or {}),
            "master": {f"{item['service']}/{item['type']}": _command(item) for item in ([] if "postfix" in unread else part("postfix", "masters") or [])},
            "dovecot": {} if "dovecot" in unread else dict(part("dovecot", "settings") or {}),
        },
        "packages": {item["name"]: item["version"] for item in part("packages", "mail") or []},
        "mounts": {item["mount"]: {"device": item.get("device"), "read_only": item.get("read_only")} for item in part("storage", "filesystems") or []},
        "firewall": sorted(item["text"] for item in part("network", "firewall", "rules") or []),
        "addresses": sorted(item["address"] for item in part("network", "addresses") or [] if item.get("scope") == "global"),
        "counts": {"mailboxes": part("storage", "mailstore", "mailboxes"), "queue": part("queue", "counts", "total"),
                   "deferred": part("queue", "counts", "deferred")},
        "files": described,
    }


def _changed(what: str, name: str, before: object, after: object, source: str, epoch: float | None = None) -> dict:
    return {"what": what, "name": clean(name, 200), "before": None if before is None else clean(before, 200),
            "after": None if after is None else clean(after, 200), "source": source, "time_epoch": epoch}


def _mapping(what: str, before: dict, after: dict, source: str) -> list:
    return [_changed(what, name, before.get(name), after.get(name), source)
            for name in sorted(set(before) | set(after)) if before.get(name) != after.get(name)]


def differences(before: dict, after: dict) -> list:
    """What differs between two states: ``[{what, name, before, after, source, time_epoch}]``, at most 200.

    ``what`` is unit, listener, setting, package, mount, firewall, address, file or owner. Counts are not compared:
    they change all the time.
    """
    found = []
    for unit, now in sorted(after["units"].items()):
        then = before["units"].get(unit)
        if then and then != now:
            found.append(_changed("unit", unit, _words(then), _words(now), f"systemctl status {unit}"))
    there, here = ({(item["port"], item["loopback"]) for item in state_["listeners"]} for state_ in (before, after))
    for port, loopback in sorted(there ^ here):
        text = f"{'loopback' if loopback else 'open'} port {port}"
        states = ["listening" if (port, loopback) in known else None for known in (there, here)]
        found.append(_changed("listener", text, *states, "ss -ltnp"))
    for area, source in (("postfix", "postconf -n"), ("master", "postconf -M"), ("dovecot", "doveconf -n")):
        # An area that was not visible in one of the looks says nothing.
        if before["settings"].get(area) and after["settings"].get(area):
            found += _mapping("setting", before["settings"][area], after["settings"][area], source)
    if before["packages"] and after["packages"]:
        found += _mapping("package", before["packages"], after["packages"], "/var/log/dpkg.log")
    for mount, then in sorted(before["mounts"].items()):
        now = after["mounts"].get(mount)
        if after["mounts"] and now != then:
            found.append(_changed("mount", mount, _words(then), _words(now) if now else "not mounted", "findmnt " + mount))
    for text in sorted(set(after["firewall"]) - set(before["firewall"])):
        found.append(_changed("firewall", text, None, text, "nft list ruleset"))
    if before["addresses"] and after["addresses"]:
        for address in sorted(set(before["addresses"]) ^ set(after["addresses"])):
            found.append(_changed("address", address, "present" if address in before["addresses"] else None,
                                  "present" if address in after["addresses"] else None, "ip address"))
    for path in sorted(set(before["files"]) | set(after["files"])):
        then, now = before["files"].get(path), after["files"].get(path)
        if then is None or now is None:
            found.append(_changed("file", path, "present" if then else None, "present" if now else None, path, (now or {}).get("mtime_epoch")))
            continue
        if then.get("sha256") != now.get("sha256") or then.get("link") != now.get("link"):
            contents = [(entry.get("sha256") or entry.get("link") or "")[:12] for entry in (then, now)]
            found.append(_changed("file", path, *contents, path, now.get("mtime_epoch")))
        rights = [f"{entry['owner']}:{entry['group']} {entry['mode']}" for entry in (then, now)]
        if rights[0] != rights[1]:
            found.append(_changed("owner", path, rights[0], rights[1], "stat " + path))
    return found[:200]


def _words(entry: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(entry.items()))


def collect(context) -> dict:
    """The snapshot in force and the files as they are now; the differences are added when all facts are in.

    ``{present, taken, manifest: {listeners}, differences: []}``; ``present`` is null when it could not be looked at.
    """
    path = os.path.join(STORE, "current", "manifest.json")
    result = {"present": False, "taken": None, "taken_epoch": None, "manifest": {}, "differences": []}
    if os.geteuid() != 0:
        context.cannot_see(STORE, "needs root")
        result["present"] = None
        return result
    text = context.read(path, 16 * 1024 * 1024)
    if text is None:
        return result
    try:
        manifest = json.loads(text)
        result.update(present=True, taken=manifest["taken"], taken_epoch=manifest["taken_epoch"], manifest=manifest["state"])
    except (ValueError, KeyError, TypeError):
        context.cannot_see(path, "damaged; take a new snapshot when mail is healthy")
        return result
    result["files"] = files(context)
    return result


def kept(wanted) -> dict | None:
    """The files that the snapshot in force keeps: ``{taken_epoch, files: {path: (content, uid, gid, mode)}, unfit: [path]}``; None without a snapshot.

    ``wanted(path)`` chooses. ``unfit`` are those whose copy is not what the manifest says: cut off, changed, or gone. Owner and group are None where the
    account is gone. A manifest that cannot be read is no snapshot.
    """
    folder = os.path.join(STORE, "current")
    try:
        with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as stream:
            manifest = json.load(stream)
        taken, described = manifest["taken_epoch"], manifest["state"]["files"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    found: dict = {}
    unfit = []
    for path, entry in described:
        if "sha256" not in entry or not wanted(path):
            continue
        try:
            with open(os.path.join(folder, "files", path.lstrip("/")), "rb") as stream:
                content = stream.read()
        except OSError:
            content = b""
        if hashlib.sha256(content).hexdigest() == entry["sha256"]:
            found[path] = (content, _number(pwd.getpwnam, entry["owner"]), _number(grp.getgrnam, entry["group"]), int(entry["mode"], 8))
        else:
            unfit.append(path)
    return {"taken_epoch": taken, "files": found, "unfit": sorted(unfit)}


def _number(look, name: str) -> int | None:
    try:
        return look(name)[2]
    except KeyError:
        return int(name) if name.isdigit() else None


def compare(facts: dict) -> None:
    """Put the differences into ``facts['known_good']`` and take out what was only needed to find them."""
    known = facts.get("known_good")
    if not known or not known.get("present"):
        return
    manifest, described = known["manifest"], known.pop("files", {})
    try:
        known["differences"] = differences(manifest, state(facts, described))
    except (KeyError, TypeError, AttributeError):
        known["present"] = False
    known["manifest"] = {"listeners": manifest.get("listeners") or [], "counts": manifest.get("counts") or {}}
