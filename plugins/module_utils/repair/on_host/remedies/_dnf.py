"""Patches with dnf(8) and rpm(8), as dnf 4 prints them. The same functions as in _apt.py.

dnf fetches everything before it changes anything, and removes nothing unless it says so in its simulation. rpm keeps a changed configuration file that is
marked noreplace; one that is not would be replaced, and is refused before.
"""
from __future__ import annotations

import fnmatch
import re

from ansible_collections.mailops.outage.plugins.module_utils.host import known_good, packages
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies._transaction import Change, Transaction, Wanted, lock_holder, process_name
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Command, Refused
from ansible_collections.mailops.outage.plugins.module_utils.text import clean, clean_lines

# dnf(8) writes its process number there, and leaves the file behind when it is killed.
LOCKS = ("/var/lib/dnf/rpmdb_lock.pid", "/var/cache/dnf/download_lock.pid", "/var/cache/dnf/metadata_lock.pid")
RPM_LOCKS = ("/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock")
_CAREFUL = ("--setopt=install_weak_deps=False",)
_LOOK_SECONDS = 90.0
_UPDATE_SECONDS = 300.0
_INSTALL_SECONDS = 900.0
_UNITS = {"": 1, "k": 1024, "M": 1024 ** 2, "G": 1024 ** 3}
_REMOVING = ("Removing", "Obsolet")
_CHANGING = ("Installing", "Upgrading", "Reinstalling", "Downgrading")


def busy(context) -> str:
    """Who is at packages right now; empty when nobody is."""
    for path in LOCKS:
        text = (context.read(path, 64) or "").strip()
        if text.isdigit() and context.read(f"/proc/{text}/stat", 64):
            return f"{process_name(context, int(text))} holds {path}"
    for path in RPM_LOCKS:
        holder = lock_holder(path)
        if holder is not None:
            return f"{process_name(context, holder)} holds {path}"
    return ""


def parse_versionlock(text: str) -> list:
    """The patterns of names that dnf's versionlock plugin keeps at their version; what it excludes (``!``) is left out."""
    found = []
    for line in text.splitlines():
        match = re.match(r"^([A-Za-z0-9*?\[\]][^\s!]*?)-(?:\d+|\*):\S+$", line.strip())
        if match:
            found.append(match.group(1))
    return found


def held(context) -> set:
    """The installed packages whose version is locked."""
    patterns = parse_versionlock(context.read("/etc/dnf/plugins/versionlock.list") or "")
    return {name for name in installed(context) if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)}


def installed(context) -> dict:
    """``{name: epoch:version-release}``, as dnf writes versions: without an epoch of 0."""
    def ask():
        ran = context.run("rpm", "-qa", "--qf", "%{NAME}\\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\\n", timeout=8)
        rows = (line.split("\t") for line in ran.out.splitlines())
        return {row[0]: row[1][2:] if row[1].startswith("0:") else row[1] for row in rows if len(row) == 2}
    return context.once("rpm", ask)


def libraries(context) -> set:
    """The packages that bring what installed mail software needs directly."""
    names = [name for name in sorted(installed(context)) if packages.concerns_mail(name)]
    ran = context.run("rpm", "-q", "--requires", *names, timeout=8) if names else None
    needed = sorted({word.split()[0] for word in ran.out.splitlines() if word.startswith("lib") and ".so" in word}) if ran else []
    ran = context.run("rpm", "-q", "--whatprovides", "--qf", "%{NAME}\\n", *needed, timeout=20) if needed else None
    return {name for name in ran.out.split("\n") if name in installed(context)} if ran else set()


def damaged(context, known: dict, _until: float) -> dict:
    """``{package: [what is wrong]}`` of the mail software's files. Configuration is left out."""
    found: dict = {}
    for entry in known["broken_files"]:
        if not entry["conffile"]:
            owner = context.run("rpm", "-qf", "--qf", "%{NAME}\\n", entry["path"])
            if owner.ok:
                found.setdefault(owner.out.split("\n", 1)[0], []).append(f"{entry['path']} is {entry['problem']}")
    return found


def cut_short() -> bool:
    """dnf keeps no journal that would have to be worked off first."""
    return False


def interrupted(context) -> dict:
    """Nothing that could be finished. Raises Refused when a transaction was cut short: the old and the new version are both installed then."""
    ran = context.run("rpm", "-qa", "--qf", "%{NAME}.%{ARCH}\\n", timeout=8)
    names = ran.out.split("\n")
    twice = sorted({name for name in names if names.count(name) > 1 and packages.concerns_mail(name)})
    if twice:
        raise Refused(f"{', '.join(twice)} is installed in two versions, as an interrupted transaction leaves it. dnf ends that only by removing one: "
                      "a person decides (dnf check, dnf remove --duplicates).")
    return {}


def finish(because: str) -> Command:
    raise Refused("dnf has nothing to finish.")


def refresh(because: str) -> Command:
    return Command(("dnf", "-q", "-y", "--refresh", "makecache"), because, timeout=_UPDATE_SECONDS, ok=(0, 1, None))


def _spec(wanted: Wanted) -> str:
    return f"{wanted.name}-{wanted.version}"


def download(verb: str, wanted: list, because: str) -> Command | None:
    """None: dnf fetches everything before it begins."""
    return None


def install(verb: str, wanted: list, because: str, undo: str = "") -> Command:
    return Command(("dnf", "-q", "-y", *_CAREFUL, verb, *map(_spec, wanted)), because, undo=undo, timeout=_INSTALL_SECONDS,
                   writes=tuple(known_good.config_paths()))


def _bytes(number: str, unit: str) -> int:
    return int(float(number) * _UNITS[unit])


def parse_table(text: str) -> tuple:
    """``(changes, removed, download bytes, installed bytes)`` of what ``dnf --assumeno`` shows. A long name stands on a line of its own."""
    changes, removed, section, name = [], [], "", ""
    for line in text.splitlines():
        if re.match(r"^[A-Z][A-Za-z ]+:$", line):
            section, name = line[:-1], ""
        elif line.startswith("Transaction Summary"):
            section = ""
        elif section and line.startswith(" "):
            words = line.split()
            if words[0] == "replacing" and len(words) > 1:
                # dnf 5 says so of the former version of the same package, too.
                gone = re.sub(r"\.[a-z0-9_]+$", "", words[1])
                if not changes or gone != changes[-1].name:
                    removed.append(clean(gone, 120))
                continue
            if len(words) == 1:
                name = words[0]
                continue
            if not line.startswith("  ") or not name:
                name, words = words[0], words[1:]
            if len(words) >= 2:
                if section.startswith(_REMOVING):
                    removed.append(clean(name, 120))
                elif section.startswith(_CHANGING):
                    changes.append(Change(clean(name, 120), "" if section.startswith("Installing") else "?", clean(words[1], 120)))
            name = ""
    sizes = {what: _bytes(number, unit) for what, number, unit in re.findall(r"^(Total download size|Installed size): ([\d.]+) ?([kMG]?)\s*$", text, re.M)}
    return tuple(changes), tuple(removed), sizes.get("Total download size", 0), sizes.get("Installed size", 0)


def complaint(ran) -> str:
    """Why dnf would do nothing. Its exit status is 1 also when it only was told not to go on."""
    if ran.missing:
        return "dnf is not installed"
    if ran.timed_out:
        return f"dnf gave no answer within {_LOOK_SECONDS:g} s"
    lines = clean_lines(ran.err, 30)
    if ran.rc == 0 or any(line.startswith("Operation aborted") for line in lines + clean_lines(ran.out, 400)):
        return ""
    start = next((number for number, line in enumerate(lines) if line.startswith("Error")), 0)
    return clean("; ".join(line.strip(" -") for line in lines[start:start + 4]) or f"exit status {ran.rc}", 400)


def _simulate(context, *words) -> Transaction:
    # Not -q, which leaves out the table.
    ran = context.run("dnf", "--assumeno", *_CAREFUL, *words, timeout=_LOOK_SECONDS)
    changes, removed, fetched, unpacked = parse_table(ran.out)
    before = installed(context)
    changes = tuple(Change(change.name, change.before and before.get(change.name, "?"), change.after) for change in changes)
    return Transaction(changes, removed, complaint(ran), fetched, unpacked)


def simulate(context, verb: str, wanted: list) -> Transaction:
    """What dnf would do; it may fetch metadata for that."""
    return _simulate(context, verb, *map(_spec, wanted))


def room(transaction: Transaction) -> dict:
    """``{folder: bytes}`` that a transaction writes."""
    return {"/usr": transaction.unpacked, "/var/lib/rpm": 0, "/var/cache/dnf": transaction.download, "/etc": 0}


def offered(context, name: str) -> list:
    """The versions that the repositories offer, in dnf's order."""
    return _asked(context, name)


def _asked(context, name: str, *options) -> list:
    ran = context.run("dnf", "-q", "repoquery", *options, "--qf", "%{name} %{evr}\\n", name, timeout=_LOOK_SECONDS)
    rows = (line.split() for line in ran.out.splitlines())
    return [row[1][2:] if row[1].startswith("0:") else row[1] for row in rows if len(row) == 2 and row[0] == name]


def candidate(context, name: str, like: str) -> str:
    """The version to install: ``like`` (that of the software it belongs to) when it is offered, else the latest; empty when there is none."""
    return like if like in offered(context, name) else next(iter(_asked(context, name, "--latest-limit=1")), "")


def cached(_context, _name: str, _version: str) -> str:
    """Empty: dnf drops what it has installed from its cache."""
    return ""


def parse_history(text: str) -> dict:
    """``{name: (before, after)}`` of ``dnf history info``: pairs of Upgrade and Upgraded, Downgrade and Downgraded; versions with their epoch."""
    found: dict = {}
    for line in text.splitlines():
        match = re.match(r"^\s+(Upgraded?|Downgraded?) +(\S+)-((?:\d+:)?[^-\s]+-[^-\s]+)\.[a-z0-9_]+(?:\s|$)", line)
        if match:
            action, name, version = match.groups()
            before, after = found.get(name, ("", ""))
            found[name] = (version, after) if action.endswith("ed") else (before, version)
    return found


def _history(context, name: str) -> list:
    """``[(before, after, action)]`` of the last transactions with ``name``, the latest first."""
    listed = context.run("dnf", "-q", "history", "list", name, timeout=_LOOK_SECONDS)
    found = []
    for number in re.findall(r"^\s*(\d+) \|", listed.out, re.M)[:6]:
        text = context.run("dnf", "-q", "history", "info", number, timeout=_LOOK_SECONDS).out
        if name in parse_history(text):
            found.append(parse_history(text)[name] + ("Downgrade" if re.search(rf"^\s+Downgrade +{re.escape(name)}-\d", text, re.M) else "Upgrade",))
    return found


def former(context, _known: dict, name: str) -> str:
    """The version that dnf's history says was there before the present one; empty when it went back already. Raises Refused when it does not say."""
    now = installed(context)[name]
    for before, after, action in _history(context, name):
        if after == now and before:
            return "" if action == "Downgrade" else before
        break
    raise Refused(f"dnf's history names no upgrade of {name} to {now}, so that the version before it is not known.")


def upgrades(known: dict) -> list:
    """The latest installations, as sentences; rpm does not know what was there before."""
    return [f"{entry['package']} {entry['to']} ({entry['time']})" for entry in known["history"]][:8]


def pending(context, _known: dict, names: list) -> dict:
    """``{package: version}`` of security updates for mail software, and for what else is named."""
    asked = [name for name in (names or sorted(installed(context))) if name in names or packages.is_mail_software(name)]
    found = _simulate(context, "--security", "upgrade", *asked) if asked else Transaction()
    if found.complaint:
        raise Refused(f"dnf cannot tell the security updates: {found.complaint}")
    return {change.name: change.after for change in found.changes if change.name in asked}


def replaced_config(context, known: dict, names: list) -> list:
    """Changed configuration files that rpm would replace, for they are not marked noreplace."""
    changed = {entry["path"] for entry in known["conffiles_changed"]}
    ran = context.run("rpm", "-q", "--qf", "[%{FILENAMES}\\t%{FILEFLAGS:fflags}\\n]", *names, timeout=20) if changed else None
    rows = (line.split("\t") for line in ran.out.splitlines()) if ran else ()
    return sorted(row[0] for row in rows if len(row) == 2 and row[0] in changed and "c" in row[1] and "n" not in row[1])
