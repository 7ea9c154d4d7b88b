"""Take configuration back to how it was when mail last worked: the statements that are named, or that the software complains of.

The present files are only replaced when the mail software itself reads a copy with the change without complaint. What guards the host is not loosened
(``strictness``), and no setting, service or table gets lost on the way.
"""
from __future__ import annotations

import fnmatch
import glob
import os
import re
import shutil
import socket
import tempfile
import time
from dataclasses import dataclass, field

from ansible_collections.mailops.outage.plugins.module_utils.host import dovecot, known_good, postfix, services
from ansible_collections.mailops.outage.plugins.module_utils.host._postconf import COMPILED, expand, parse_main, parse_masters, tables
from ansible_collections.mailops.outage.plugins.module_utils.host.context import run_command
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import config_text, strictness
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Command, Refused, Write

_SOFTWARE = ("postfix", "dovecot", "exim", "opendkim", "rspamd", "amavis", "postgrey")
OPTIONS = {
    "software": {"type": "list", "elements": "str", "required": True, "choices": list(_SOFTWARE)},
    "settings": {"type": "list", "elements": "str", "default": []},
    "files": {"type": "list", "elements": "str", "default": []},
    "only_missing": {"type": "bool", "default": False},
    "may_loosen": {"type": "list", "elements": "str", "default": []},
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
# Postfix takes these over only when it is started again (postconf(5)).
_NEED_RESTART = ("inet_interfaces", "inet_protocols", "queue_directory", "data_directory", "mail_owner", "setgid_group")
_MOST_BYTES = 1024 * 1024
_TREES = {"postfix": "/etc/postfix", "dovecot": "/etc/dovecot", "exim": "/etc/exim4", "opendkim": "/etc/opendkim.conf"}
# How each reads a copy of its folder. update-exim4.conf(8) makes Exim's from it, and says what is wrong with that.
_CHECKS = {
    "postfix": (("postconf", "-c", "{copy}", "-n"), ("postconf", "-c", "{copy}", "-Mf")),
    "dovecot": (("doveconf", "-c", "{copy}/dovecot.conf", "-n"),),
    "exim": (("update-exim4.conf", "--confdir", "{copy}", "--output", "{made}"), ("exim4", "-C", "{made}", "-bV")),
    "opendkim": (("opendkim", "-n", "-x", "{copy}"),),
}
# So many changes are tried one by one, where a complaint names none of them.
_MOST_TRIES = 30


@dataclass(frozen=True)
class Good:
    """How a file was: its content, where that is from (``known_good``, ``history``, ``package``), and owner, group and mode where they are known."""

    content: bytes
    since: str
    source: str
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None


@dataclass(frozen=True)
class Look:
    """One software as it is on this host, as it was, and what of it was asked for."""

    software: str
    options: dict
    good: dict
    unfit: list
    errors: list
    # Names that the software does not know (a misspelled setting), and its defaults.
    unknown: frozenset = frozenset()
    defaults: dict = field(default_factory=dict)
    # What a copy with the change in it was said to be wrong with.
    also: tuple = ()
    # The one statement that is tried: path and key.
    only: tuple = ()
    # What is left as it is although a pattern names it: pairs of path and key.
    left: frozenset = frozenset()

    def known(self, path: str) -> str:
        return _text(self.good[path].content) if path in self.good else ""

    def is_unknown(self, statement) -> bool:
        """Whether a statement bears a name that the software does not know."""
        if statement.key in self.unknown:
            return True
        name, _slash, kind = statement.key.partition("/")
        return self.software == "postfix" and kind == "inet" and not _is_a_port(name)

    def blames(self, path: str, text: str):
        """The choice of the statements that the software complains of."""
        return config_text.blamed(text, _kind(path), _of_file(self.errors, path))


def steps(context, options):
    """See the role. Refused where there is nothing to go back to, where the result would be invalid, and where a guard would be loosened.

    Returns the names of the guards that were left as they are, since they would be loosened.
    """
    if any(not re.search(r"\w", pattern) for pattern in options["settings"] + options["files"]):
        raise Refused("A pattern that takes everything back would take along what was changed on purpose since; name the settings or the files.")
    asked = bool(options["settings"] or options["files"])
    looks = [look for look in [_look(context, software, options) for software in dict.fromkeys(options["software"])] if asked or look.errors]
    changes = {look.software: _acceptable(context, look) for look in looks}
    changes = {look.software: changes[look.software] if changes[look.software][0] else _tried(context, look) for look in looks}
    whole = {path: content for changed, _notes in changes.values() for path, content in changed.items()}
    left = {name: note for _changed, notes in changes.values() for note, name in notes}
    notes = "".join(f"; not taken back: {note}" for note in dict.fromkeys(left.values()))
    for path, content in sorted(whole.items()):
        there = [look.good[path] for look in looks if path in look.good][0]
        new = not _is_there(path)
        unfit = sorted({name for look in looks for name in look.unfit})
        because = f"it differs from {there.since}{notes}" + (f"; of that, {', '.join(unfit[:3])} fits its digest no more and was not used" if unfit else "")
        yield Write(path, content, because, undo="Put the present file back (the checkpoint keeps it)",
                    uid=there.uid if new else None, gid=there.gid if new else None, mode=there.mode if new else None)
    yield from _compiled(context, whole)
    # Certificates and keys are often shared.
    shared = {"postfix", "dovecot"} if any(path.startswith("/etc/ssl/") for path in whole) else set()
    for software in sorted(shared | {name for name, (changed, _notes) in changes.items() if changed}):
        yield from _taken_over(context, software, whole, _names_changed(whole))
    return sorted(left)


def _look(context, software: str, options: dict) -> Look:
    """What there is to know of one software. Refused where there is nothing to go back to."""
    if software in ("postfix", "dovecot"):
        collected = (postfix if software == "postfix" else dovecot).collect(context) or {}
    else:
        problem = "" if options["settings"] or options["files"] else _complaint(context, software, {})
        # Of a file that is made of others, or of a copy, neither name nor line says anything.
        collected = {"errors": [{"line": None, "text": re.sub(r"/\S+", "", problem)}] if problem else []}
    look = Look(software, options, {}, [], collected.get("errors") or [], frozenset(collected.get("unused") or ()))
    if not (options["settings"] or options["files"] or look.errors):
        return look
    good, unfit = _known(software, options)
    if unfit and any(_is_main(software, path) or _is_asked(path, options) for path in unfit):
        raise Refused(f"The known-good copy of {', '.join(unfit[:3])} is not what the snapshot's manifest says, so it is not used; undo the change by hand.")
    if not good:
        raise Refused("There is nothing to go back to: no known-good snapshot and no history of /etc on this host. Undo the change by hand.")
    defaults = parse_main(context.run("postconf", "-d", timeout=10).out) if software == "postfix" else {}
    return Look(software, options, good, unfit, look.errors, look.unknown, defaults)


def _is_asked(path: str, options: dict) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in options["files"])


def _acceptable(context, look: Look) -> tuple:
    """``({path: content}, notes)`` of what goes back. What would loosen a guard is left as it is, and noted, [(sentence, name)]; Refused where nothing else
    is to be done, where it is what the software complains of, where several products go back at once, and where the result would not be well."""
    notes, changed = [], _changes(look)
    while True:
        loosened = _loosened(look, changed)
        if not loosened:
            break
        # Half of what was changed in several products at once would be a configuration that never was.
        together = look.also or len(look.options["software"]) > 1 or not look.options["settings"] + look.options["files"]
        for sentence, place, _name in loosened:
            if together or place is None or place in look.left:
                raise Refused(sentence, [name for _sentence, _place_of, name in loosened])
        notes += [(sentence, name) for sentence, _place_of, name in loosened]
        look = _replaced(look, left=look.left | {place for _sentence, place, _name in loosened})
        changed = _changes(look)
    if not changed:
        if notes:
            raise Refused(notes[0][0], [name for _sentence, name in notes])
        new = [error["source"] for error in look.errors if str(error.get("source")).startswith("/") and error["source"] not in look.good]
        if new and not (look.options["settings"] or look.options["files"]):
            raise Refused(f"{new[0]} is new since then, and a file that a person wrote is not taken away; correct it by hand.")
        return {}, []
    _see_that_nothing_gets_lost(look, changed)
    problem = _complaint(context, look.software, changed)
    if problem and not look.also:
        # What was named is not valid alone: something that the complaint names was changed with it.
        changed, more = _acceptable(context, _replaced(look, also=({"line": None, "text": problem},)))
        return changed, notes + more
    if problem:
        raise Refused(f"The configuration would be invalid even when taken back ({problem}); repair it by hand.")
    return changed, notes


def _tried(context, look: Look) -> tuple:
    """What ``_acceptable`` gives of the first changed statement without which the software has nothing to complain of, where its complaint names none."""
    if look.options["settings"] or look.options["files"] or not look.errors:
        return {}, []
    differ = [(path, one.key) for path in sorted(look.good) if _is_main(look.software, path) and _kind(path) != "whole" and _content(path) is not None
              for one in config_text.differing(_text(_content(path)), look.known(path), _kind(path))]
    for place in list(dict.fromkeys(differ))[:_MOST_TRIES]:
        alone = _replaced(look, only=place)
        changed = _changes(alone)
        if changed and not _complaint(context, look.software, changed):
            return _acceptable(context, alone)
    return {}, []


def _replaced(look: Look, **more) -> Look:
    return Look(**{**vars(look), **more})


def _known(software: str, options: dict) -> tuple:
    """``({path: Good}, [path])``: every file of the software that there is a former state of, and those whose copy was not fit to be used."""
    wanted = options["source"]
    good: dict = {}
    unfit: list = []
    if wanted in ("auto", "known_good"):
        good, unfit = _from_snapshot(software, options["most_days"])
    if not good and not unfit and wanted in ("auto", "history"):
        good = _from_history(software)
    if wanted == "package":
        good = _from_package(software)
    return good, unfit


def _mine(software: str, path: str) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in _FILES[software]) and not any(fnmatch.fnmatchcase(path, pattern) for pattern in _NOT_TEXT)


def _from_snapshot(software: str, most_days: int) -> tuple:
    kept = known_good.kept(lambda path: _mine(software, path))
    if kept is None:
        return {}, []
    age = time.time() - kept["taken_epoch"]
    if age > most_days * 86400:
        raise Refused(f"The known-good snapshot is {int(age // 86400)} days old, and much may have been changed on purpose since; "
                      f"undo the change by hand, or allow it with rollback_config_most_days.")
    taken = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(kept["taken_epoch"]))
    return {path: Good(content, f"the known-good snapshot of {taken}", "known_good", uid, gid, mode)
            for path, (content, uid, gid, mode) in kept["files"].items() if len(content) <= _MOST_BYTES}, kept["unfit"]


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
                found[path] = Good(shown.out.encode(), f"the commit {commit[:10]} of /etc", "history")
                break
            if shown.ok:
                found.setdefault(path, Good(shown.out.encode(), f"the commit {commit[:10]} of /etc", "history"))
    return found


def _from_package(software: str) -> dict:
    found = {}
    for path, packaged in _PACKAGED.items():
        sources = glob.glob(packaged + "**", recursive=True) if packaged.endswith("/") else [packaged]
        for source in sources:
            target = path + source[len(packaged):] if packaged.endswith("/") else path
            content = _content(source) if _mine(software, target) and target.endswith((".conf", ".cf", ".ext")) else None
            if content is not None:
                found[target] = Good(content, "what the package brings", "package")
    return found


def _content(path: str) -> bytes | None:
    try:
        if os.path.getsize(path) > _MOST_BYTES:
            return None
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None


def _is_there(path: str) -> bool:
    return os.path.lexists(path)


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


def _text(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "surrogateescape")


def _changes(look: Look) -> dict:
    """{path: content} of the files that would be otherwise than they are. A file that is new since then is left as it is."""
    found = {}
    for path in sorted(look.good):
        now, then = _content(path), look.good[path].content
        named = _is_asked(path, look.options) and (path, path) not in look.left
        if now == then or os.path.islink(path) or not (named or _is_main(look.software, path)):
            continue
        if now is None or _kind(path) == "whole":
            if named or (now is None and any(_of_file(look.errors, path))):
                found[path] = then
            continue
        content = _taken_back(look, path, _text(now), named)
        if content != _text(now):
            found[path] = content.encode("utf-8", "surrogateescape")
    return found


def _taken_back(look: Look, path: str, text: str, named: bool) -> str:
    kind, good = _kind(path), look.known(path)
    if named:
        return config_text.taken_back(text, good, kind, None, look.options["only_missing"])
    overrides = _overrides(look, path, text, good) if kind == "master" else ()
    return config_text.taken_back(text, good, kind, _choice(look, path, text), look.options["only_missing"], overrides, look.is_unknown)


def _choice(look: Look, path: str, text: str):
    """Which statements to take back: those that are named, and those that the software complains of."""
    blamed, known = look.blames(path, text), {one.key for one in config_text.statements(look.known(path), _kind(path))}
    too = config_text.blamed(text, _kind(path), _of_file(list(look.also), path)) if look.also else lambda one: False
    patterns = look.options["settings"]

    def wanted(one):
        if look.only:
            return (path, one.key) == look.only
        names = one.names
        if _kind(path) == "master":
            # A service that is new is no part of what was known good: it goes only when it is meant itself.
            names = (one.key,) if one.key in known or one.key in patterns else ()
        if (path, one.key) in look.left:
            return False
        return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns) or (not patterns and blamed(one)) or too(one)
    return wanted


def _overrides(look: Look, path: str, text: str, good: str) -> list:
    """The names of ``-o`` settings in master.cf that are named; they go back alone."""
    left = {key.partition(" -o ")[2] for where, key in look.left if where == path}
    names = {name for content in (text, good) for one in config_text.statements(content, "master") for name in one.names[1:]}
    return sorted(name for name in names - left if any(fnmatch.fnmatchcase(name, pattern) for pattern in look.options["settings"]))


def _see_that_nothing_gets_lost(look: Look, changed: dict) -> None:
    """Raises Refused where a service, a setting or a table would be missing that was there, or a file left with nothing in it."""
    for path, content in changed.items():
        now, end, kind = _text(_content(path)), _text(content), _kind(path)
        if not any(one.key for one in config_text.statements(end, "lines")) and now.strip():
            raise Refused(f"{path} would be left empty; see what was written into it, and correct it by hand.")
        lost = config_text.lacking(now, look.known(path), end, kind) if kind in ("main", "master", "dovecot") else []
        if lost:
            raise Refused(f"{path} would be left without {', '.join(lost[:5])}, which was there when mail last worked; correct it by hand.")
    if look.software == "postfix":
        before, after = (_scopes(texts, {}) for texts in (_texts(look, {}), _texts(look, changed)))
        for name in sorted(after):
            for kind, path in tables(after[name]) if after[name] != before.get(name) else []:
                kind = kind.rpartition(":")[2]
                if path in look.good and path not in changed and not _is_there(path) and not _is_there(path + COMPILED.get(kind, "")):
                    raise Refused(f"{name} would name the table {path} again, which is gone; bring that back first.")


# Guards.

def _texts(look: Look, changed: dict) -> dict:
    """{path: text} of the software's files, with the changes in them."""
    return {path: _text(changed[path] if path in changed else _content(path)) for path in set(look.good) | set(changed)}


def _of_name(texts: dict, end: str) -> str:
    """The text of the file of this name that lies at the top."""
    return texts.get(min((path for path in texts if path.endswith(end)), key=len, default=""), "")


def _good_texts(look: Look) -> dict:
    return {path: look.known(path) for path in look.good}


def _written(texts: dict, defaults: dict) -> dict:
    """{name: value as written} of main.cf and master.cf together; what master.cf sets is ``service/type -o name``, its columns among them."""
    found = {**defaults, **parse_main(_of_name(texts, "/main.cf"))}
    for master in parse_masters(_of_name(texts, "/master.cf")):
        columns = {"maxproc": master["maxproc"], **{name: "y" if master[name] else "n" for name in ("chroot", "unprivileged", "private")}}
        found.update({f"{master['service']}/{master['type']} -o {name}": value for name, value in {**columns, **master["overrides"]}.items()})
    return found


def _scopes(texts: dict, defaults: dict) -> dict:
    """The same, expanded."""
    written = _written(texts, defaults)
    services: dict = {}
    for name, value in written.items():
        service, override, plain = name.partition(" -o ")
        if override:
            services.setdefault(service, {})[plain] = value
    return {name: expand(value, {**written, **services[name.partition(" -o ")[0]]} if " -o " in name else written) for name, value in written.items()}


def _follows(name: str, before: dict, after: dict) -> bool:
    """Whether a setting changes only because guards that it refers to do, which are judged themselves."""
    if before.get(name) != after.get(name):
        return False
    seen, left = set(), [name]
    while left:
        for found in re.findall(r"\$[{(]?(\w+)", before.get(left.pop()) or ""):
            if found not in seen and not strictness.subject("postfix", found):
                seen.add(found)
                left.append(found)
    return all(before.get(one) == after.get(one) for one in seen)


def _values(look: Look, texts: dict, paths) -> dict:
    """{name: value} of what could guard, in the files ``paths``; of Postfix, whose settings lean on each other, of all."""
    if look.software == "postfix":
        return _scopes(texts, look.defaults)
    found: dict = {}
    for path in sorted(paths):
        text, told = texts.get(path, ""), {}
        if look.software != "dovecot" and _is_main(look.software, path):
            told = strictness.settings(look.software, text)
        elif _kind(path) == "dovecot":
            told = {name: value for name, value in dovecot.dotted(dovecot.parse(text)).items() if not name.startswith("passdb.")}
            told["passdb"] = "".join(one.text for one in config_text.statements(text, "dovecot") if one.key.split()[:1] == ["passdb"])
        found.update({f"{path}: {name}": value for name, value in told.items()})
    return found


def _loosened(look: Look, changed: dict) -> list:
    """``[(sentence, place, name)]`` of the guards that the change would loosen, or that cannot be told; ``place``: (path, key), None where it is elsewhere."""
    before, after, good = (_texts(look, {}), _texts(look, changed), _good_texts(look))
    values = [_values(look, texts, changed) for texts in (before, after, good)]
    users = _users(look, before, after, good)
    written = [_written(texts, look.defaults) for texts in (before, after)]
    nobody_else_relays = _nobody_else_relays(look, values[2], values[1], good, after)
    found = []
    for name in sorted(set(values[0]) | set(values[1])):
        path, plain = name.split(": ", 1) if name.startswith("/") else ("", name)
        old, new, was = (_value(each, name) for each in values)
        if old == new or (look.software == "postfix" and _follows(name, *written)):
            continue
        told = _told_looser(look, plain, old, new, values[:2])
        place = _place(look, changed, path, plain)
        # Only to exactly what is known good of it: what holds no value that could be stricter, and what just this once may be.
        exact = new == was and place is not None and _is_known_good(look, place[0])
        may = exact and (_was_damaged(look, place) or (_may_loosen(look, plain, place) and (not _lets_relay(look, plain) or nobody_else_relays)))
        if told is not False and not may:
            found.append((_sentence(plain, strictness.subject(look.software, plain) or "restrictions", told), place, plain))
    for path in sorted(changed):
        is_table = look.software == "exim" or not _is_main(look.software, path)
        user = strictness.table_user(path, users.get(path, [])) if is_table else None
        told = strictness.looser_table(user, before[path], after[path]) if user else False
        if told is not False and not (_may_loosen(look, user, (path, path), path) and after[path] == good[path]):
            found.append((_sentence(path, strictness.table_subject(user), told), (path, path), user))
    return found


def _value(values: dict, name: str) -> str | None:
    """The value of a name; an override that is not there is what main.cf says."""
    if name in values or " -o " not in name:
        return values.get(name)
    return values.get(name.partition(" -o ")[2])


def _told_looser(look: Look, name: str, old: str | None, new: str | None, values: list) -> bool | None:
    service, override, plain = name.partition(" -o ")
    if override and not all(f"{service} -o chroot" in each for each in values):
        # A service that is not there is no guard.
        return False
    classes = " ".join(each.get("smtpd_restriction_classes") or "" for each in values).replace(",", " ").split()
    if look.software == "postfix" and (plain or name) in classes:
        return strictness.looser("postfix", "smtpd_restriction_classes", old or "", new or "") if old != new else False
    return strictness.looser(look.software, plain or name, old, new)


def _place(look: Look, changed: dict, path: str, name: str) -> tuple | None:
    """Where a guard is set among what changes: ``(path, key)``."""
    service, override, _plain = name.partition(" -o ")
    path = path or next((each for each in sorted(changed, key=len) if _kind(each) == ("master" if override else "main")), "")
    if path not in changed:
        return None
    if override:
        return path, service if any(fnmatch.fnmatchcase(service, pattern) for pattern in look.options["settings"]) else name
    texts = [_text(_content(path)), _text(changed[path])]
    parts = name.split(".")
    for one in [one for text in texts for one in config_text.statements(text, _kind(path)) if one.key]:
        if one.key.lower() in (name.lower(), " ".join(parts[:2]).lower(), parts[0].lower()) or name.lower() in [each.lower() for each in one.names]:
            return path, one.key
    return (path, path) if _kind(path) == "whole" else None


def _was_damaged(look: Look, place: tuple) -> bool:
    """Whether what stands in the guard's place is no value of it, for it cannot be read or is what the software complains of."""
    path, key = place[0], place[1].partition(" -o ")[0]
    text = _text(_content(path))
    if _kind(path) == "whole":
        return False
    blamed = look.blames(path, text)
    return key in {one.key for one in config_text.mended(text, look.known(path), _kind(path), lambda one: look.is_unknown(one) or blamed(one))}


def _is_known_good(look: Look, path: str) -> bool:
    return path in look.good and look.good[path].source == "known_good"


def _may_loosen(look: Look, name: str, place: tuple | None, path: str = "") -> bool:
    """Whether just this guard may be loosened, to what the snapshot knows of it."""
    named = {name, name.partition(" -o ")[2], path, place[1] if place else ""} - {""}
    return bool(named & set(look.options["may_loosen"])) and place is not None and _is_known_good(look, place[0])


def _lets_relay(look: Look, name: str) -> bool:
    """Whether a guard decides who may relay; where smtpd_relay_restrictions is empty, smtpd_recipient_restrictions does (SMTPD_ACCESS_README)."""
    return strictness.subject(look.software, name) == "relaying" or name.rpartition(" -o ")[2] == "smtpd_recipient_restrictions"


def _nobody_else_relays(look: Look, was: dict, values: dict, good: dict, after: dict) -> bool:
    """Whether no guard of relaying lets in more than it did when mail last worked, the tables that it refers to included."""
    for name in set(was) | set(values):
        plain = name.split(": ", 1)[1] if name.startswith("/") else name
        if strictness.subject(look.software, plain) == "relaying":
            new = _value(values, name)
            if _told_looser(look, plain, _value(was, name), new, [was, values]) is not False \
                    or any(path not in good or after.get(path) != good[path] for _kind_of, path in tables(new or "") if path.startswith("/")):
                return False
    return True


def _users(look: Look, *states) -> dict:
    """{path: [names of the settings that refer to it]} of the tables, in any of the states."""
    found: dict = {}
    for texts in states:
        if look.software == "postfix":
            for name, value in _scopes(texts, {}).items():
                for _kind_of, path in tables(value):
                    found.setdefault(path, []).append(name)
        elif look.software == "dovecot":
            for path, text in texts.items():
                for one in config_text.statements(text, "dovecot") if _kind(path) == "dovecot" else []:
                    if one.key.split()[:1] == ["passdb"]:
                        user = "passdb deny" if re.search(r"\bdeny\s*=\s*yes", one.text) else "passdb"
                        for word in re.findall(r"(?<![\w%}])/[^\s\"]+", one.text):
                            found.setdefault(word, []).append(user)
    return {path: sorted(set(names)) for path, names in found.items()}


def _sentence(name: str, what: str, told: bool | None) -> str:
    would = f"It would loosen {name}" if told else f"It cannot be told whether it would loosen {name}"
    return f"{would}, which guards the host ({what}): a person must decide."


def _of_file(errors: list, path: str) -> list:
    """The errors that are about this file; one that names no file is about each."""
    return [error for error in errors if path in error["text"] or error.get("source") == path
            or ("/etc/" not in error["text"] and not str(error.get("source") or "").startswith("/"))]


def _is_a_port(name: str) -> bool:
    """Whether the first column of an inet entry in master.cf is a port or a service that this host knows (services(5))."""
    name = name.rpartition(":")[2]
    try:
        return name.isdigit() or bool(socket.getservbyname(name, "tcp"))
    except (OSError, UnicodeError):
        return False


def _complaint(context, software: str, changed: dict) -> str:
    """What the software says of a copy of its configuration with the changes in it; empty when it reads it."""
    tree = _TREES.get(software)
    if tree is None or not os.path.exists(tree):
        return ""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    folder = tempfile.mkdtemp(prefix="mailops-", dir=memory)
    try:
        copy = os.path.join(folder, "copy")
        if os.path.isdir(tree):
            shutil.copytree(tree, copy, symlinks=True, ignore=lambda where, names: [name for name in names if not _is_small(os.path.join(where, name))])
        else:
            shutil.copyfile(tree, copy)
        for path, content in changed.items():
            if path == tree or path.startswith(tree + "/"):
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
