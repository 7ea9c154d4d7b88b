"""Take configuration back to how it was when mail last worked: the statements that are named, or that the software complains of.

The present files are only replaced when the mail software itself reads a copy with the change without complaint.
"""
from __future__ import annotations

import contextlib
import fnmatch
import glob
import os
import shutil
import tempfile
import time
from dataclasses import dataclass

from ansible_collections.mailops.outage.plugins.module_utils.host import dovecot, known_good, postfix, services
from ansible_collections.mailops.outage.plugins.module_utils.host.context import run_command
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import config_text
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Command, Refused, Write

OPTIONS = {
    "software": {"type": "str", "required": True, "choices": ["postfix", "dovecot", "exim", "opendkim", "rspamd", "amavis", "postgrey"]},
    "settings": {"type": "list", "elements": "str", "default": []},
    "files": {"type": "list", "elements": "str", "default": []},
    "only_missing": {"type": "bool", "default": False},
    "source": {"type": "str", "default": "auto", "choices": ["auto", "known_good", "history", "package"]},
    "most_days": {"type": "int", "default": 30},
}
# Of each software the files that it reads; of those that the first pattern names a statement can be taken back alone.
_FILES = {
    "postfix": ("/etc/postfix/*", "/etc/aliases", "/etc/mailname", "/etc/ssl/mail/*"),
    "dovecot": ("/etc/dovecot/*", "/etc/ssl/mail/*"),
    "exim": ("/etc/exim4/*", "/etc/default/exim4", "/etc/mailname", "/etc/aliases"),
    "opendkim": ("/etc/opendkim.conf", "/etc/opendkim/*", "/etc/default/opendkim"),
    "rspamd": ("/etc/rspamd/*",), "amavis": ("/etc/amavis/*",), "postgrey": ("/etc/postgrey/*", "/etc/default/postgrey"),
}
_NOT_TEXT = ("*.db", "*.lmdb", "*.cdb", "*.pag", "*.dir", "*~", "*.dpkg-*", "*.bak", "*.mailops-*", "*.so")
# What the packages bring, for those who kept nothing (Debian).
_PACKAGED = {"/etc/dovecot/": "/usr/share/dovecot/", "/etc/postfix/master.cf": "/usr/share/postfix/master.cf.dist"}
# What guards TLS, login, relaying and filters is never taken back with the rest, only by its own name.
_GUARDS = ("*tls*", "ssl*", "*sasl*", "disable_plaintext_auth", "auth_allow_cleartext", "auth_mechanisms", "passdb*", "*_restrictions", "mynetworks*",
           "relay_domains", "dc_relay_*", "*milter*", "content_filter", "*_checks", "*smtputf8*", "local_name*", "smtpd_*_login*")
# Postfix takes these over only when it is started again (postconf(5)).
_NEED_RESTART = ("inet_interfaces", "inet_protocols", "queue_directory", "data_directory", "mail_owner", "setgid_group")
_MOST_BYTES = 1024 * 1024
_TREES = {"postfix": "/etc/postfix", "dovecot": "/etc/dovecot", "exim": "/etc/exim4"}
# How each reads a copy of its folder. update-exim4.conf(8) makes Exim's from it, and says what is wrong with that.
_CHECKS = {
    "postfix": (("postconf", "-c", "{copy}", "-n"), ("postconf", "-c", "{copy}", "-Mf")),
    "dovecot": (("doveconf", "-c", "{copy}/dovecot.conf", "-n"),),
    "exim": (("update-exim4.conf", "--confdir", "{copy}", "--output", "{made}"), ("exim4", "-C", "{made}", "-bV")),
}


@dataclass(frozen=True)
class Good:
    """How a file was: its content, and owner, group and mode where they are known."""

    content: bytes
    since: str
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None


def steps(context, options):
    """See the role. Refused where there is nothing to go back to, and where the result would be invalid."""
    software = options["software"]
    errors = _errors(context, software)
    if not (options["settings"] or options["files"] or errors):
        return
    good = _known(options)
    if not good:
        raise Refused("There is nothing to go back to: no known-good snapshot and no history of /etc on this host. Undo the change by hand.")
    changed = _changes(software, good, options, errors)
    if not changed:
        return
    problem = _complaint(context, software, changed)
    if problem:
        # What was named is not valid alone: something else was changed with it.
        changed = _changes(software, good, dict(options, settings=options["settings"] + ["*"]), errors)
        problem = _complaint(context, software, changed)
    if problem:
        raise Refused(f"The configuration would be invalid even when taken back ({problem}); repair it by hand.")
    names = _names_changed(changed)
    for path, content in sorted(changed.items()):
        there = good.get(path)
        new = there is not None and not os.path.lexists(path)
        yield Write(path, content, f"it differs from {there.since if there else 'what was there'}", undo="Put the present file back (the checkpoint keeps it)",
                    uid=there.uid if new else None, gid=there.gid if new else None, mode=there.mode if new else None)
    yield from _compiled(context, changed)
    # Certificates and keys are often shared.
    shared = {"postfix", "dovecot"} if any(path.startswith("/etc/ssl/") for path in changed) else set()
    for each in sorted(shared | {software}):
        yield from _taken_over(context, each, changed, names)


def _known(options: dict) -> dict:
    """{path: Good} of every file of the software that there is a former state of."""
    wanted = options["source"]
    good: dict = {}
    if wanted in ("auto", "known_good"):
        good = _from_snapshot(options["software"], options["most_days"])
    if not good and wanted in ("auto", "history"):
        good = _from_history(options["software"])
    if wanted == "package":
        good = _from_package(options["software"])
    return good


def _mine(software: str, path: str) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in _FILES[software]) and not any(fnmatch.fnmatchcase(path, pattern) for pattern in _NOT_TEXT)


def _from_snapshot(software: str, most_days: int) -> dict:
    root = os.path.join(known_good.STORE, "current", "files")
    taken = os.path.basename(os.path.realpath(os.path.join(known_good.STORE, "current")))
    with contextlib.suppress(ValueError, OverflowError):
        age = time.time() - time.mktime(time.strptime(taken, "%Y%m%dT%H%M%SZ")) + time.timezone
        if age > most_days * 86400:
            raise Refused(f"The known-good snapshot is {int(age // 86400)} days old, and much may have been changed on purpose since; "
                          f"undo the change by hand, or allow it with rollback_config_most_days.")
    found = {}
    for folder, _folders, names in os.walk(root):
        for name in names:
            saved = os.path.join(folder, name)
            path = saved[len(root):]
            content = _content(saved) if _mine(software, path) else None
            if content is not None:
                state = os.stat(saved)
                found[path] = Good(content, f"the known-good snapshot of {taken}", state.st_uid, state.st_gid, state.st_mode & 0o7777)
    return found


def _from_history(software: str) -> dict:
    """The last commit of each file of /etc (etckeeper), or the one before when the file is as committed."""
    if not os.path.isdir("/etc/.git"):
        return {}
    listed = run_command(("git", "-C", "/etc", "ls-files", "-z"), 20)
    found = {}
    for name in listed.out.split("\0") if listed.ok else []:
        path = f"/etc/{name}"
        if not _mine(software, path):
            continue
        for commit in run_command(("git", "-C", "/etc", "log", "-2", "--format=%H", "--", name), 20).out.split():
            shown = run_command(("git", "-C", "/etc", "show", f"{commit}:{name}"), 20)
            if shown.ok and shown.out.encode() != _content(path):
                found[path] = Good(shown.out.encode(), f"the commit {commit[:10]} of /etc")
                break
            if shown.ok:
                found.setdefault(path, Good(shown.out.encode(), f"the commit {commit[:10]} of /etc"))
    return found


def _from_package(software: str) -> dict:
    found = {}
    for path, packaged in _PACKAGED.items():
        sources = glob.glob(packaged + "**", recursive=True) if packaged.endswith("/") else [packaged]
        for source in sources:
            target = path + source[len(packaged):] if packaged.endswith("/") else path
            content = _content(source) if _mine(software, target) and target.endswith((".conf", ".cf", ".ext")) else None
            if content is not None:
                found[target] = Good(content, "what the package brings")
    return found


def _content(path: str) -> bytes | None:
    try:
        if os.path.getsize(path) > _MOST_BYTES:
            return None
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None


def _kind(path: str) -> str:
    if path.endswith("/main.cf"):
        return "main"
    if path.endswith("/master.cf"):
        return "master"
    if path.startswith("/etc/dovecot/") and path.endswith((".conf", ".ext")):
        return "dovecot"
    return "lines" if path.startswith(("/etc/postfix/", "/etc/aliases", "/etc/opendkim", "/etc/exim4/", "/etc/default/")) else "whole"


def _is_main(software: str, path: str) -> bool:
    """Whether the file holds settings, so that one can be taken back by its name. Tables, keys and certificates are named as files."""
    return _kind(path) in ("main", "master", "dovecot") or (software not in ("postfix", "dovecot") and not path.startswith("/etc/ssl/"))


def _changes(software: str, good: dict, options: dict, errors: list) -> dict:
    """{path: content} of the files that would be otherwise than they are."""
    present = {path for path in known_good.config_paths() if _mine(software, path) and os.path.isfile(path) and not os.path.islink(path)}
    found = {}
    for path in sorted(set(good) | present):
        now, then = _content(path), good[path].content if path in good else b""
        named = any(fnmatch.fnmatchcase(path, pattern) for pattern in options["files"])
        if now == then or not (named or _is_main(software, path)) or (path not in good and named and not options["settings"]):
            continue
        if now is None or _kind(path) == "whole":
            if path in good and (named or now is None and any(_of_file(errors, path))):
                found[path] = then
            continue
        texts = [content.decode("utf-8", "surrogateescape") for content in (now, then)]
        content = config_text.taken_back(*texts, _kind(path), None if named else _choice(options, texts[0], path, errors), options["only_missing"])
        if content != texts[0]:
            found[path] = content.encode("utf-8", "surrogateescape")
    return found


def _of_file(errors: list, path: str) -> list:
    """The errors that are about this file; one that names no file is about each."""
    return [error for error in errors if path in error["text"] or path in str(error.get("file") or "") or "/etc/" not in error["text"]]


def _choice(options: dict, text: str, path: str, errors: list):
    """Which statements to take back: those that are named, and those that the software complains of."""
    blamed = config_text.blamed(text, _kind(path), _of_file(errors, path))
    exact = [pattern for pattern in options["settings"] if pattern != "*"]
    return lambda one: (one.is_named(exact) or ("*" in options["settings"] and bool(one.names) and not one.is_named(_GUARDS))
                        or (not exact and blamed(one)))


def _errors(context, software: str) -> list:
    """What the software says of its present configuration, [{line, text, file?}]."""
    if software == "postfix":
        return (postfix.collect(context) or {}).get("errors") or []
    return (dovecot.collect(context) or {}).get("errors") or [] if software == "dovecot" else []


def _complaint(context, software: str, changed: dict) -> str:
    """What the software says of a copy of its configuration with the changes in it; empty when it reads it."""
    tree = _TREES.get(software)
    if tree is None:
        return ""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    folder = tempfile.mkdtemp(prefix="mailops-", dir=memory)
    try:
        copy = os.path.join(folder, "copy")
        shutil.copytree(tree, copy, symlinks=True, ignore=lambda where, names: [name for name in names if not _is_small(os.path.join(where, name))])
        for path, content in changed.items():
            if path.startswith(tree + "/"):
                target = copy + path[len(tree):]
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target, "wb") as stream:
                    stream.write(content)
        for command in _CHECKS[software]:
            ran = context.run(*(word.format(copy=copy, made=os.path.join(folder, "made")) for word in command), timeout=20)
            fatal = [line for line in ran.complaints() if "fatal:" in line or "Fatal:" in line or "Error:" in line]
            if ran.rc != 0 or fatal:
                return (fatal or ran.complaints() or [f"{command[0]} returned {ran.rc}"])[0].replace(copy, tree)
    except (OSError, shutil.Error) as problem:
        return f"no copy could be made: {problem}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ""


def _is_small(path: str) -> bool:
    try:
        return os.path.isdir(path) or os.path.islink(path) or (os.path.isfile(path) and os.path.getsize(path) <= _MOST_BYTES)
    except OSError:
        return False


def _names_changed(changed: dict) -> set:
    """The names of the statements that the change touches."""
    found = set()
    for path, content in changed.items():
        if _kind(path) != "whole":
            both = [{(one.text, one.names) for one in config_text.statements((text or b"").decode("utf-8", "surrogateescape"), _kind(path))}
                    for text in (_content(path), content)]
            found |= {name for _text, names in both[0] ^ both[1] for name in names}
    return found


def _compiled(context, changed: dict):
    """The tables whose source comes back are compiled anew."""
    maps = (postfix.collect(context) or {}).get("maps") or [] if any(path.startswith(("/etc/postfix/", "/etc/aliases")) for path in changed) else []
    for path in sorted(changed):
        entry = next((item for item in maps if item["path"] == path and item["compiled_path"]), None)
        if path == "/etc/aliases":
            made = tuple(item["compiled_path"] for item in maps if item["compiled_path"] and "alias" in item["parameter"])
            yield Command(("newaliases",), "the aliases were taken back", writes=made or ("/etc/aliases.db",))
        elif entry:
            yield Command(("postmap", f"{entry['type']}:{path}"), "its source was taken back", writes=(entry["compiled_path"],))


def _taken_over(context, software: str, changed: dict, names: set):
    """The service reads the configuration again: by a reload where that is enough, and a start where it does not run."""
    unit = next((entry for entry in services.collect(context)["units"] if entry["name"] == software), None)
    if unit is None:
        return
    if software == "exim" and any(path.startswith("/etc/exim4/") for path in changed):
        yield Command(("update-exim4.conf",), "Debian makes Exim's configuration from these files")
    if not unit["running"]:
        yield Command(("systemctl", "reset-failed", unit["unit"]), "it may have been given up", ok=(0, 1, 5))
        yield Command(("systemctl", "start", unit["unit"]), f"{software} does not run", undo=f"systemctl stop {unit['unit']}", timeout=90)
    elif software == "postfix" and not names & set(_NEED_RESTART):
        yield Command(("postfix", "reload"), "to read the configuration again")
    elif software == "dovecot":
        yield Command(("doveadm", "reload"), "to read the configuration again")
    else:
        yield Command(("systemctl", "restart", unit["unit"]), "to read the configuration again", timeout=90)
