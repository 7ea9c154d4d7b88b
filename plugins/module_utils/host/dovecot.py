"""Dovecot as it is configured: what it serves, where mail lies, and what is wrong with it (doveconf(1))."""
from __future__ import annotations

import glob
import os
import re

from ansible_collections.mailops.outage.plugins.module_utils.host import _processes
from ansible_collections.mailops.outage.plugins.module_utils.host._accounts import accounts, obstacle
from ansible_collections.mailops.outage.plugins.module_utils.host._bounded import side_by_side
from ansible_collections.mailops.outage.plugins.module_utils.host._when import iso
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Ran
from ansible_collections.mailops.outage.plugins.module_utils.secrets import HIDDEN, mask_setting, masked_line
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_PROGRAMS = ("/usr/sbin/dovecot", "/usr/bin/doveconf", "/usr/local/sbin/dovecot")
_CONFIG_FILE = "/etc/dovecot/dovecot.conf"
_COMPLAINT = re.compile(r"^doveconf: (?P<severity>Fatal|Error|Warning|Panic): (?P<text>.*)$")
_PLACE = re.compile(r"^(?:Error in configuration file |.*?\bin )?(?P<file>/[^\s:]+)(?: line (?P<line>\d+))?: (?P<text>.*)$")
_ASK_SECONDS = 8.0
_MOST_DEPTH = 10
_MOST_SETTINGS = 500


def _value(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def parse(text: str, include=None, depth: int = 0) -> list:
    """``[(path, value)]`` of doveconf's output or of a configuration file; ``path`` is a tuple of block names, block arguments and the setting's name.

    Blocks without a name of their own (``passdb``, ``userdb``) are numbered. ``include(pattern)`` gives the texts that an
    ``!include`` names; without it, and below ten levels, includes are passed over.
    """
    found: list = []
    opened: list = []
    counts: dict = {}
    _parse(text, include, depth, found, opened, counts)
    return found


def _parse(text, include, depth, found, opened, counts):
    for raw in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("!include"):
            for part in include(line.split(None, 1)[-1].strip()) if include and depth < _MOST_DEPTH else []:
                _parse(part, include, depth + 1, found, opened, counts)
        elif line == "}":
            del opened[-1:]
        elif re.search(r"\{\s*\}?$", line) and "=" not in line.partition("{")[0]:
            words = [_value(word) for word in re.findall(r"\"[^\"]*\"|[^\s{]+", line.rpartition("{")[0])]
            if not words:
                continue
            if words[0] in ("passdb", "userdb"):
                number = counts.get(words[0], 0)
                counts[words[0]] = number + 1
                found += [((words[0], str(number), "name"), word) for word in words[1:]]
                words = [words[0], str(number)]
            if words[0].endswith("_listener"):
                # Its block may be empty, and it is there all the same.
                found.append((tuple(word for block in opened for word in block) + tuple(words) + ("name",), words[-1]))
            if not line.endswith("}"):
                opened.append(tuple(words))
        else:
            name, equals, value = line.partition("=")
            if equals:
                found.append((tuple(word for block in opened for word in block) + (name.strip(),), _value(value)))


def public(pairs: list) -> list:
    """The settings of which neither name nor value is a secret, as clean text. ``ssl_key`` stays when it names a file."""
    kept = []
    for path, value in pairs:
        if value.startswith("# hidden"):
            continue
        masked = mask_setting(path[-1], value)
        if masked == HIDDEN:
            continue
        kept.append((tuple(clean(name, 200) for name in path), clean(masked, 2000)))
    return kept


def normal(pairs: list) -> list:
    """The settings of Dovecot 2.4 under flat names: lists that it prints as a block (``protocols { imap = yes }``), and ``ssl_server { cert_file = … }``."""
    found: list = []
    lists: dict = {}
    for path, value in pairs:
        if len(path) == 2 and path[0] in ("protocols", "auth_mechanisms"):
            if value == "yes":
                lists.setdefault(path[0], []).append(path[1])
        elif len(path) > 1 and path[-2] == "ssl_server":
            found.append((path[:-2] + (f"ssl_server_{path[-1]}",), value))
        else:
            found.append((path, value.replace("$SET:", "$")))
    return found + [((name,), " ".join(values)) for name, values in lists.items()]


def dotted(pairs: list) -> dict:
    """``{dotted name: value}``, without the names of listeners, which their blocks already bear."""
    return {".".join(path): value for path, value in pairs if not (path[-1] == "name" and path[-3:-2] and path[-3].endswith("_listener"))}


def parse_complaints(text: str) -> dict:
    """What doveconf wrote to standard error: ``{errors: [{source, line, text}], warnings: [text], denied: [text]}``.

    ``denied`` is what this look itself had no permission for; it says nothing about the configuration.
    """
    errors, warnings, denied = [], [], []
    for line in text.splitlines():
        match = _COMPLAINT.match(line.strip())
        if not match:
            continue
        said = match.group("text")
        if "dump-capability process" in said:
            # A child that read the same broken files.
            continue
        if match.group("severity") == "Warning":
            warnings.append(masked_line(said))
        elif "Permission denied" in said:
            denied.append(masked_line(said))
        else:
            place = _PLACE.match(said)
            entry = {"source": place.group("file") if place else "doveconf", "line": int(place.group("line")) if place and place.group("line") else None,
                     "text": masked_line(place.group("text") if place else said)}
            if entry not in errors:
                errors.append(entry)
    return {"errors": errors, "warnings": list(dict.fromkeys(warnings)), "denied": list(dict.fromkeys(denied))}


def _from_files(context, path: str) -> list:
    """The settings as the files have them, for when doveconf dies on them."""
    def include(pattern):
        names = sorted(glob.glob(os.path.join(os.path.dirname(path), pattern)))[:100]
        return [context.read(name) or "" for name in names]
    return resolved(parse(context.read(path) or "", include))


def resolved(pairs: list) -> list:
    """The settings with ``$name`` replaced by what the setting of that name was before (``protocols = $protocols imap``)."""
    values: dict = {}
    for path, value in pairs:
        values[path] = re.sub(r"\$(\w+)", lambda match, known=values: known.get((match.group(1),), ""), value)
    return list(values.items())


def _ask(context) -> dict | None:
    if not any(os.path.exists(path) for path in _PROGRAMS):
        return None
    # -P shows where the private keys lie, with other secrets, which are dropped at once.
    commands = (("-n", "-P"), ("-a",), ("-x", "-n"))
    answers = side_by_side(_ASK_SECONDS + 1, [lambda words=words: context.run("doveconf", *words, timeout=_ASK_SECONDS) for words in commands])
    mine, everything, opened = (answer[0] if answer and answer[0] else Ran(("doveconf",), None, timed_out=True) for answer in answers)
    if mine.timed_out:
        context.cannot_see("doveconf -n", "no answer in time")
    head = re.search(r"^# (\S+)(?: \([^)]*\))?: (\S+)", mine.out, re.M)
    config_file = head.group(2) if head else _CONFIG_FILE
    own, all_of_it = parse(mine.out), parse(everything.out)
    if not own:
        # It dies on the files: then its built-in settings, which it still tells, under what the files say by our own reading.
        own, all_of_it = _from_files(context, config_file), parse(context.run("doveconf", "-d", timeout=_ASK_SECONDS).out)
    if any(path == ("dovecot_config_version",) for path, _value in own):
        # Of services, 2.4 tells the built-in settings only when asked.
        all_of_it += parse(context.run("doveconf", "-a", "service", timeout=_ASK_SECONDS).out)
    own, pairs = public(normal(own)), public(normal(all_of_it))
    # Both list the passdbs; those that are set stand in both, with the same numbers.
    values = dict(dotted(pairs), **dotted(own))
    # Only -x opens the files that settings refer to, and only its verdict is kept: it prints their contents.
    complaints = parse_complaints(mine.err + "\n" + opened.err)
    for sentence in complaints.pop("denied"):
        if os.geteuid() == 0:
            complaints["errors"].append({"source": "doveconf -x -n", "line": None, "text": sentence})
        else:
            context.cannot_see("doveconf -x -n", sentence)
    if mine.missing:
        complaints["errors"].append({"source": "doveconf", "line": None, "text": "the program is missing"})
    return {
        "version": clean(head.group(1), 40) if head else _version(context), "config_file": config_file, "config_directory": os.path.dirname(config_file),
        "set": dotted(own), "values": values, "pairs": list(dict(pairs + own).items()),
        "log": {name: values.get(name) or None for name in ("log_path", "info_log_path", "debug_log_path")},
        "checks": [{"command": command, "rc": ran.rc, "lines": ran.complaints()} for command, ran in (("doveconf -n", mine), ("doveconf -x -n", opened))],
        **complaints,
    }


def _version(context) -> str | None:
    ran = context.run("dovecot", "--version", timeout=5)
    return clean(ran.out.partition(" ")[0], 40) or None if ran.ok else None


def settings(context) -> dict | None:
    """The configuration, asked once a host; None when Dovecot is not installed.

    {version, config_file, config_directory: str,
     set:     {dotted name: value} of what differs from the defaults (``doveconf -n``), secrets left out,
     values:  {dotted name: value} of ALL settings (``doveconf -a``) with ``set`` on top, secrets left out; for example
              ``mail_location``, ``ssl_cert`` ("</etc/ssl/mail.pem"), ``ssl_key`` ("</path", only when it is a path),
              ``protocols``, ``service.lmtp.unix_listener.lmtp.mode``, ``passdb.0.driver``, ``plugin.quota``,
              ``local_name.mail.example.org.ssl_cert``,
     pairs:   the same as ``values``, as [(path tuple, value)], because names and paths hold dots themselves,
     log:     {log_path, info_log_path, debug_log_path},
     checks, errors, warnings: see ``collect``}

    When doveconf dies on the files, this is from our own, simpler reading of them.
    """
    return context.once("dovecot", lambda: _ask(context))


def listeners(pairs: list) -> list:
    """What Dovecot listens on by its configuration: ports, and the sockets of authentication and delivery that others use.

    [{service, name, kind: inet|unix, path, address, port, ssl: bool, protocol, user, group, mode}]; disabled ones (port or mode 0,
    a protocol that is not in ``protocols``) are left out.
    """
    values = dict(pairs)
    enabled = values.get(("protocols",), "").split()
    base = values.get(("base_dir",), "/run/dovecot")
    blocks: dict = {}
    for path, value in pairs:
        if len(path) == 5 and path[0] == "service" and path[2] in ("inet_listener", "unix_listener"):
            blocks.setdefault(path[1:4], {})[path[4]] = value
    found = []
    for (service, kind, name), block in sorted(blocks.items()):
        protocol = values.get(("service", service, "protocol"), "")
        if protocol and protocol not in enabled:
            continue
        entry = {"service": service, "name": clean(name), "kind": kind.partition("_")[0], "path": None, "address": None, "port": None,
                 "ssl": block.get("ssl") == "yes", "protocol": protocol or None, "user": None, "group": None, "mode": None}
        if kind == "inet_listener":
            port = block.get("port", "0")
            if not port.isdigit() or port == "0" or (entry["ssl"] and values.get(("ssl",)) == "no"):
                continue
            entry.update(port=int(port), address=clean(block.get("address") or values.get(("listen",), ""), 200))
        else:
            path = block.get("path") or name
            outside = path.startswith("/") and not path.startswith((base, "/run/dovecot", "/var/run/dovecot"))
            if block.get("mode") in ("0", "00", "0000") or not (outside or path.rpartition("/")[2] in ("auth-client", "lmtp")):
                continue
            entry.update(path=clean(os.path.normpath(os.path.join(base, path))), mode=block.get("mode") or None)
            for key in ("user", "group"):
                given = block.get(key, "")
                entry[key] = (values.get((given[1:],), given) if given.startswith("$") else given) or None
        found.append(entry)
    return found


def _file_of(block: dict, driver: str | None) -> str | None:
    """The file that a passdb or userdb reads, by its ``args`` (2.3) or by its own settings (2.4); for PAM, its service's."""
    if driver == "pam":
        words = [word for word in block.get("args", "").split() if "=" not in word]
        service = words[-1] if words else block.get("pam_service_name") or block.get("passdb_pam_service_name") or "dovecot"
        return f"/etc/pam.d/{service}" if re.fullmatch(r"[\w.-]+", service) else None
    for name in ("passwd_file_path", "sql_config_file", "ldap_config_file"):
        if block.get(name):
            return block[name]
    return next((word for word in block.get("args", "").split() if word.startswith("/")), None)


def _databases(context, known: dict, kind: str) -> list:
    """``[{driver, file, exists, readable}]``; ``readable`` by the user of the auth service where it opens the file itself, null where it cannot be told."""
    blocks: dict = {}
    for path, value in known["pairs"]:
        if path[0] == kind and len(path) == 3:
            blocks.setdefault(path[1], {})[path[2]] = value
    user = known["values"].get("service.auth.user") or "$default_internal_user"
    if user.startswith("$"):
        user = known["values"].get(user[1:], "dovecot")
    account = accounts(context).users.get(user)
    found = []
    for _number, block in sorted(blocks.items(), key=lambda item: int(item[0])):
        driver = block.get("driver") or block.get("name")
        path = _file_of(block, driver)
        # %d and the like differ for every user.
        fixed = path if path and "%" not in path else None
        # Only passwd-file is opened after the auth service gave up root; the others read their file before that.
        found.append({"driver": driver, "file": clean(path) if path else None, "exists": os.path.exists(fixed) if fixed else None,
                      "readable": _readable(fixed, account) if fixed and driver == "passwd-file" else None})
    return found


def _readable(path: str, account) -> bool | None:
    if account is None:
        return None
    try:
        return obstacle(path, account.uid, account.groups) is None
    except PermissionError:
        return None
    except OSError:
        return False


def first_bad_line(text: str) -> int | None:
    """The number of the first line of a passwd-file(5) that is no ``name:…``; None when all are."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#") and ":" not in line:
            return number
    return None


def _user_files(context, databases: list) -> list:
    """``[{path, problem}]``: the files that hold users; ``problem`` is null when the auth service can read and parse them.

    For the system's users these are passwd(5), shadow(5) and the service's PAM file, which Dovecot reads as root.
    """
    found: dict = {}
    for entry in databases:
        path, driver = entry["file"], entry["driver"]
        if driver in ("pam", "passwd", "shadow"):
            needed = {"/etc/passwd"} | ({"/etc/shadow"} if driver != "passwd" else set()) | ({path} if path and os.path.isdir("/etc/pam.d") else set())
            found.update({name: None if os.path.exists(name) else "is missing" for name in sorted(needed)})
        elif driver == "passwd-file" and path:
            problem = None
            if entry["exists"] is False:
                problem = "is missing"
            elif entry["readable"] is False:
                problem = "cannot be read by the auth service"
            elif os.access(path, os.R_OK):
                number = first_bad_line(context.read(path, 8 * 1024 * 1024) or "")
                problem = f"line {number} is not name:password:…" if number else None
            found[path] = problem
    return [{"path": clean(path), "problem": problem} for path, problem in found.items()]


def _newest(directory: str) -> tuple:
    """``(mtime, path)`` of the configuration file that was changed last; user files, which are read live, do not count."""
    found = (0.0, "")
    for folder, _folders, names in os.walk(directory):
        for name in names:
            if name.endswith((".conf", ".conf.ext")):
                path = os.path.join(folder, name)
                try:
                    found = max(found, (os.stat(path).st_mtime, path))
                except OSError:
                    continue
    return found


def _loaded(context, known: dict, master) -> dict:
    """Whether a configuration file is newer than what runs: ``{differs: bool or None, path, changed, loaded}``.

    Dovecot keeps running on its old configuration when a reload fails. It does not tell when it last read its files; that is
    taken as the latest start of its master, ``log`` and ``config`` processes, the last two of which a successful reload replaces.
    """
    if master is None:
        return {"differs": None, "path": None, "changed": None, "loaded": None}
    readers = [process for process in _processes.mail_processes(context) if process.software == "dovecot" and process.name in ("dovecot", "log", "config")]
    loaded = max(filter(None, (_processes.started(process) for process in readers)), default=None)
    changed, path = _newest(known["config_directory"])
    if loaded is None or not path:
        return {"differs": None, "path": None, "changed": None, "loaded": iso(loaded)}
    # Processes' starts are known to about a second.
    return {"differs": changed > loaded + 2, "path": clean(path), "changed": iso(changed), "loaded": iso(loaded)}


def _mail_location(values: dict) -> str | None:
    if values.get("mail_location"):
        return values["mail_location"]
    # Dovecot 2.4 has it in two settings.
    parts = [values[name] for name in ("mail_driver", "mail_path") if values.get(name)]
    return ":".join(parts) or None


def _absent() -> dict:
    nothing = dict.fromkeys(("version", "config_file", "mail_location", "running_pid", "loaded_config_differs"))
    lists = ("protocols", "checks", "errors", "warnings", "auth_mechanisms", "passdbs", "userdbs", "user_files", "listeners")
    return dict(
        nothing, present=False, settings={}, **{name: [] for name in lists},
        ssl={"mode": None, "cert": None, "key": None, "min_protocol": None}, log={"log_path": None, "info_log_path": None, "debug_log_path": None},
        loaded={"differs": None, "path": None, "changed": None, "loaded": None},
    )


def collect(context) -> dict:
    """What is configured and what is wrong with it.

    ``user_files`` [{path, problem}], see _user_files
    ``errors`` [{source, line, text}] what ``doveconf -n`` or ``doveconf -x -n`` refuses: the next start fails. A private key that does not
    belong to its certificate is not among them. ``loaded_config_differs`` is ``loaded.differs``, see _loaded.
    """
    known = settings(context)
    if known is None:
        return _absent()
    values = known["values"]
    master = next((process for process in _processes.mail_processes(context) if process.software == "dovecot" and process.name == "dovecot"), None)
    loaded = _loaded(context, known, master)
    passdbs, userdbs = (_databases(context, known, kind) for kind in ("passdb", "userdb"))
    return dict(
        _absent(),
        present=True,
        **{name: known[name] for name in ("version", "config_file", "checks", "errors", "warnings", "log")},
        settings={clean(name, 200): clean(value) for name, value in sorted(known["set"].items())[:_MOST_SETTINGS]},
        protocols=values.get("protocols", "").split(),
        mail_location=clean(_mail_location(values)) or None,
        auth_mechanisms=values.get("auth_mechanisms", "").lower().split(),
        passdbs=passdbs,
        userdbs=userdbs,
        user_files=_user_files(context, passdbs + userdbs),
        listeners=listeners(known["pairs"]),
        ssl={"mode": values.get("ssl"), "cert": values.get("ssl_cert") or values.get("ssl_server_cert_file"),
             "key": values.get("ssl_key") or values.get("ssl_server_key_file"), "min_protocol": values.get("ssl_min_protocol")},
        running_pid=master.pid if master else None,
        loaded_config_differs=loaded["differs"],
        loaded=loaded,
    )
