"""Whether owners and modes are what the mail software needs: its queue, its helpers, its keys, its user files."""
from __future__ import annotations

import os
import pwd
import re
import stat
from string import Template

from ansible_collections.mailops.outage.plugins.module_utils.host import _mail, certificates, dkim
from ansible_collections.mailops.outage.plugins.module_utils.host._accounts import accounts, obstacle, rights
from ansible_collections.mailops.outage.plugins.module_utils.host._bounded import within
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_MOST_FILES = 200
_MOST_PROBLEMS = 40
# The names that postfix-files uses, with Debian's values.
_NAMES = {
    "queue_directory": "/var/spool/postfix", "data_directory": "/var/lib/postfix", "command_directory": "/usr/sbin",
    "daemon_directory": "/usr/lib/postfix/sbin",
    "config_directory": "/etc/postfix", "meta_directory": "/etc/postfix", "mail_owner": "postfix", "setgid_group": "postdrop",
}
_EXIM = (("/var/spool/exim4", "d"), ("/var/spool/exim4/input", "d"), ("/var/spool/exim4/msglog", "d"), ("/var/spool/exim4/db", "d"), ("/var/log/exim4", "d"))


def parse_table(text: str, values: dict) -> list:
    """``[{path, type, owner, group, mode, flags}]`` of postfix-files, with its $names replaced from ``values``.

    Links and obsolete entries are left out; group is None where the table does not care.
    """
    found = []
    for line in text.splitlines():
        fields = Template(line.strip()).safe_substitute(values).split(":")
        if line.startswith("#") or len(fields) < 5 or fields[1] not in ("d", "f") or not re.match(r"^[0-7]+$", fields[4]):
            continue
        flags = fields[5] if len(fields) > 5 else ""
        if "o" not in flags and "$" not in ":".join(fields):
            found.append({"path": fields[0], "type": fields[1], "owner": fields[2], "group": None if fields[3] == "-" else fields[3],
                          "mode": int(fields[4], 8), "flags": flags})
    return found


def watched(entry: dict, values: dict) -> bool:
    """Whether a wrong owner or mode of this entry stops mail: the queue, Postfix's own data, and what local submission needs set-gid."""
    if entry["type"] == "d":
        return any(entry["path"] == values[name] or entry["path"].startswith(values[name] + "/") for name in ("queue_directory", "data_directory"))
    return os.path.basename(entry["path"]) in ("postdrop", "postqueue")


def complaint(entry: dict, state: os.stat_result, known) -> str:
    """What is wrong with a path, or an empty string. More than the expected rights is wrong only when everybody may write."""
    owner, group = known.user_name(state.st_uid), known.group_name(state.st_gid)
    mode = stat.S_IMODE(state.st_mode)
    if state.st_uid != known.uid(entry["owner"]):
        return f"owned by {owner}, not {entry['owner']}"
    if entry["group"] and state.st_gid != known.gid(entry["group"]):
        return f"group {group}, not {entry['group']}"
    if entry["type"] == "f":
        # Distributions take the write bits away.
        return "" if mode & stat.S_ISGID and mode & 0o001 else "not set-gid or not executable by everybody"
    if mode & entry["mode"] != entry["mode"]:
        return f"mode {mode:04o} lacks rights of {entry['mode']:04o}"
    if mode & 0o002:
        return "writable by everybody"
    return ""


def _expected(entry: dict) -> str:
    return f"{entry['owner']}:{entry['group'] or '*'} {entry['mode']:04o}"


def _missing(what: str, path: str, expected: str) -> dict:
    return {"what": what, "path": clean(path), "problem": "missing", "owner": None, "group": None, "mode": None, "expected": expected}


def check(entry: dict, known) -> list:
    """The problems of one table entry and, where the table says so and we may look, of the files right in it."""
    what = "spool" if entry["type"] == "d" else "binary"
    try:
        state = os.lstat(entry["path"])
    except FileNotFoundError:
        return [_missing(what, entry["path"], _expected(entry))]
    except OSError:
        return []
    problem = complaint(entry, state, known)
    if problem:
        return [dict(rights(entry["path"], state, known), what=what, problem=clean(problem), expected=_expected(entry))]
    if "r" in entry["flags"]:
        return _strangers(entry, known)
    return []


def _strangers(entry: dict, known) -> list:
    """Files in a queue directory that belong to somebody else; one entry stands for all in it."""
    owner = known.uid(entry["owner"])
    wrong = []
    try:
        with os.scandir(entry["path"]) as files:
            for number, file in enumerate(files):
                if number >= _MOST_FILES:
                    break
                state = file.stat(follow_symlinks=False)
                if state.st_uid != owner:
                    wrong.append((file.path, state))
    except OSError:
        return []
    if not wrong:
        return []
    path, state = min(wrong)
    problem = clean(f"{len(wrong)} entries in {entry['path']} not owned by {entry['owner']}")
    return [dict(rights(path, state, known), what="spool", problem=problem, expected=f"owner {entry['owner']}")]


def _named_elsewhere(user: str) -> bool:
    """Whether a name service knows a user that passwd(5) does not hold; one that does not answer gets the benefit of the doubt."""
    try:
        return bool(within(2.0, pwd.getpwnam, user))
    except KeyError:
        return False
    except TimeoutError:
        return True


def postfix_table(context, known) -> list:
    """What Postfix needs of owners and modes, as entries of ``parse_table``; none when its own account is unknown."""
    values = _values(context)
    text = context.read(f"{values['meta_directory']}/postfix-files") or ""
    return [entry for entry in parse_table(text, values) if watched(entry, values)] if known.uid(values["mail_owner"]) is not None else []


def exim_table(known) -> list:
    """The same of Exim, where it is Debian's."""
    there = known.uid("Debian-exim") is not None and os.path.isdir("/var/spool/exim4")
    return [{"path": path, "type": kind, "owner": "Debian-exim", "group": None, "mode": 0o700, "flags": "r"}
            for path, kind in _EXIM if there and os.path.exists(path)]


def _values(context) -> dict:
    return {name: _mail.parameter(context, name) or usual for name, usual in _NAMES.items()}


def _postfix(context, known) -> list:
    owner = _values(context)["mail_owner"]
    if known.uid(owner) is None:
        # Everything in the queue is then somebody else's, which is not what is wrong.
        problem = clean(f"mail_owner {owner} has no account")
        return [] if _named_elsewhere(owner) else [dict(_missing("account", "/etc/passwd", "its original numeric id"), problem=problem)]
    return [problem for entry in postfix_table(context, known) for problem in check(entry, known)]


def _readable_by(what: str, path: str, user: str, known, context) -> list:
    """A file that a service's user must read: missing, or out of its reach."""
    uid = known.uid(user)
    expected = f"readable by {user}"
    try:
        stop = obstacle(path, uid, known.groups_of(uid)) if uid is not None else None
    except FileNotFoundError:
        return [_missing(what, path, expected)]
    except OSError:
        context.cannot_see(path, "permission denied")
        return []
    return [dict(rights(stop, os.stat(stop), known), what=what, problem=clean(f"{user} cannot read {path}"), expected=expected)] if stop else []


def _too_open(path: str, known) -> list:
    """A private key that more than its owner and group may read."""
    try:
        state = os.stat(path)
    except OSError:
        return []
    if not state.st_mode & 0o007:
        return []
    return [dict(rights(path, state, known), what="key", problem="open to everybody", expected="0600 or 0640")]


def user_files(values: dict) -> list:
    """The files of Dovecot's passwd-file databases, as ``passdb.N`` and ``userdb.N`` name them."""
    found = []
    for name, driver in sorted(values.items()):
        match = re.match(r"((?:passdb|userdb)\.[^.]+\.)driver$", name)
        if match and driver == "passwd-file":
            words = values.get(match.group(1) + "args", "").split() + values.get(match.group(1) + "passwd_file_path", "").split()
            found += [word for word in words if word.startswith("/") and "%" not in word]
    return list(dict.fromkeys(found))


def dkim_keys(context) -> list:
    """``[(path, user)]`` of opendkim's private keys, at most 20."""
    text = context.read("/etc/opendkim.conf") or ""
    user = re.search(r"^\s*UserID\s+([^\s:]+)", text, re.M)
    keys = dkim.opendkim_keys(text, context.read)[:20]
    return [(path, user.group(1) if user else "opendkim") for path in dict.fromkeys(path for _domain, _selector, path in keys)]


def _dkim_keys(context, known) -> list:
    return [problem for path, user in dkim_keys(context) for problem in _readable_by("key", path, user, known, context) + _too_open(path, known)]


def problems(context) -> list:
    """Every wrong owner or mode found, at most 40: ``[{what, path, problem, owner, group, mode, expected}]``."""
    known = accounts(context)
    found = []
    if os.path.exists("/usr/sbin/postqueue"):
        found += _postfix(context, known)
    found += [problem for entry in exim_table(known) for problem in check(entry, known)]
    for pair in certificates.configured(context):
        found += _too_open(pair.key, known) if pair.key else []
    found += _dkim_keys(context, known)
    values = _mail.imap_settings(context)
    if values:
        named = values.get("service.auth.user", "")
        reader = named if named and "$" not in named else values.get("default_internal_user") or "dovecot"
        for path in user_files(values):
            found += _readable_by("map", path, reader, known, context)
        found += [_missing("map", path, "root:shadow 0640") for path in ("/etc/shadow", "/etc/passwd") if not os.path.lexists(path)]
    unique = {(entry["what"], entry["path"], entry["problem"]): entry for entry in found}
    return list(unique.values())[:_MOST_PROBLEMS]
