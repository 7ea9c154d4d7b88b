"""Patches with apt-get(8) and dpkg(1). The same functions as in _dnf.py.

apt-get is always given exact versions, keeps configuration files (dpkg(1): --force-confdef, --force-confold; ucf(1): UCF_FORCE_CONFFOLD) and may
remove nothing (--no-remove).
"""
from __future__ import annotations

import glob
import os
import re
import stat

from ansible_collections.mailops.outage.plugins.module_utils.host import _dpkg, known_good
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import harmless
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies._transaction import Change, Transaction, Wanted, lock_holder, process_name
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Command, Refused
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

ARCHIVES = "/var/cache/apt/archives"
LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", f"{ARCHIVES}/lock", "/var/lib/apt/lists/lock")
JOURNAL = "/var/lib/dpkg/updates"
ENVIRONMENT = tuple(harmless.ENVIRONMENT.items())
# An archive that is out of reach must be known soon: apt-get's own patience is minutes.
_PATIENCE = ("-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=10", "-o", "Acquire::https::Timeout=10")
_CAREFUL = ("-o", "Dpkg::Use-Pty=0", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
_VERBS = {"reinstall": ("--reinstall",), "upgrade": ("--only-upgrade",), "downgrade": ("--allow-downgrades",), "install": ()}
# A look must not write apt's binary caches.
_NO_CACHES = ("-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=")
_NOT_CONFIGURED = ("unpacked", "half-configured", "triggers-awaited", "triggers-pending")
_LOOK_SECONDS = 60.0
_UPDATE_SECONDS = 180.0
_DOWNLOAD_SECONDS = 300.0
# dpkg must not be cut short while the scripts of a package start a service.
_INSTALL_SECONDS = 900.0


def busy(context) -> str:
    """Who is at packages right now; empty when nobody is."""
    for path in LOCKS:
        holder = lock_holder(path)
        if holder is not None:
            return f"{process_name(context, holder)} holds {path}"
    return ""


def installed(context) -> dict:
    """``{name: version}`` of what is there; half-installed packages included."""
    return {package.plain: package.version for package in _known(context) if package.status not in ("not-installed", "config-files")}


def held(context) -> set:
    """The packages that an administrator put on hold (apt-mark(8))."""
    return {package.plain for package in _known(context) if package.want == "hold"}


def _known(context) -> list:
    return _dpkg.packages(context) or []


def libraries(context) -> set:
    """The libraries that installed mail software depends on directly."""
    ran = context.run("dpkg-query", "-W", "-f", "${Package}\\t${Depends}, ${Pre-Depends}\\n", timeout=8)
    found = set()
    for line in ran.out.splitlines():
        name, _tab, depends = line.partition("\t")
        if _dpkg.is_mail(name):
            found.update(word for word in re.findall(r"(?:^|[,|])\s*(lib[a-z0-9+.-]+)", depends))
    return found


def damaged(context, known: dict, until: float) -> dict:
    """``{package: [what is wrong]}``: half-installed, or files that are not as packaged, of mail software and of its libraries. Configuration is left out.

    ``known`` is what host/packages.py found; ``until`` bounds the look at the libraries (monotonic seconds).
    """
    found: dict = {}
    for package in _known(context):
        if package.status == "half-installed" or "reinst" in package.flag:
            found.setdefault(package.plain, []).append(package.state)
    for entry in known["broken_files"]:
        if not entry["conffile"]:
            found.setdefault(entry["package"], []).append(f"{entry['path']} is {entry['problem']}")
    needed = libraries(context)
    try:
        for package in _known(context):
            if package.plain in needed and package.status == "installed" and not _dpkg.is_mail(package.plain):
                for path, problem in _dpkg.verify(package, context.read, until):
                    found.setdefault(package.plain, []).append(f"{path} is {problem}")
    except TimeoutError as problem:
        context.cannot_see("files of the libraries", str(problem))
    return found


def cut_short() -> bool:
    """Whether dpkg was killed before it had written its state; apt-get then does nothing until ``dpkg --configure -a`` has run."""
    try:
        return any(name.isdigit() for name in os.listdir(JOURNAL))
    except OSError:
        return False


def interrupted(context) -> dict:
    """``{package: state}`` that ``dpkg --configure -a`` brings to an end."""
    found = {package.plain: package.state for package in _dpkg.broken(_known(context)) if package.status in _NOT_CONFIGURED}
    return found or ({"dpkg": "cut short while it worked"} if cut_short() else {})


def finish(because: str) -> Command:
    return Command(("dpkg", "--force-confdef", "--force-confold", "--configure", "-a"), because, timeout=_INSTALL_SECONDS, env=ENVIRONMENT,
                   writes=tuple(known_good.config_paths()))


def refresh(because: str) -> Command:
    return Command(("apt-get", "-q", "-y", *_PATIENCE, "update"), because, timeout=_UPDATE_SECONDS, ok=(0, 100, None), env=ENVIRONMENT)


def _spec(wanted: Wanted) -> str:
    return wanted.path or f"{wanted.name}={wanted.version}"


def _install(verb: str, wanted: list, *options) -> tuple:
    return ("apt-get", "-q", "-y", *_PATIENCE, *_CAREFUL, "--no-remove", "--no-install-recommends", *_VERBS[verb], *options, "install", *map(_spec, wanted))


def download(verb: str, wanted: list, because: str) -> Command:
    """Fetch into the cache, so that an archive that does not answer is known before anything changes. Exit status 100 is apt-get's for every failure."""
    return Command(_install(verb, wanted, "--download-only"), because, timeout=_DOWNLOAD_SECONDS, ok=(0, 100, None), env=ENVIRONMENT)


def install(verb: str, wanted: list, because: str, undo: str = "") -> Command:
    # The scripts of packages may change configuration.
    return Command(_install(verb, wanted), because, undo=undo, timeout=_INSTALL_SECONDS, env=ENVIRONMENT, writes=tuple(known_good.config_paths()))


def parse_simulation(text: str) -> tuple:
    """``(changes, removed)`` of ``apt-get -s``: its lines Inst, Remv and Purg. Conf lines say nothing new."""
    changes, removed = [], []
    for line in text.splitlines():
        match = re.match(r"^Inst (\S+?)(?::\S+)? (?:\[(\S+)\] )?\((\S+)", line)
        if match:
            changes.append(Change(clean(match.group(1), 120), clean(match.group(2) or "", 120), clean(match.group(3), 120)))
        elif line.startswith(("Remv ", "Purg ")):
            removed.append(clean(line.split()[1].split(":")[0], 120))
    return tuple(changes), tuple(removed)


def parse_uris(text: str) -> int:
    """The bytes that ``apt-get --print-uris`` says are still to be fetched."""
    return sum(int(size) for size in re.findall(r"^'[^']+' \S+ (\d+) ", text + " ", re.M))


def complaint(ran) -> str:
    """Why apt-get would do nothing: its own errors, without the hints around them."""
    if ran.missing:
        return "apt-get is not installed"
    if ran.timed_out:
        return f"apt-get gave no answer within {_LOOK_SECONDS:g} s"
    if ran.rc == 0:
        return ""
    # What cannot be satisfied stands indented between the texts.
    errors = re.findall(r"^E: (.*)", ran.err, re.M) + re.findall(r"^ (\S+ : \w+: .*)", ran.out, re.M)
    return clean("; ".join(errors[:6]) or f"exit status {ran.rc}", 400)


def simulate(context, verb: str, wanted: list) -> Transaction:
    """What apt-get would do; reads only."""
    argv = _install(verb, wanted)
    # Without --no-remove, so that it is told what would go.
    look = [word for word in argv if word not in ("-y", "--no-remove")]
    ran = context.run(look[0], "-s", *_NO_CACHES, *look[1:], timeout=_LOOK_SECONDS)
    problem = complaint(ran)
    changes, removed = parse_simulation(ran.out)
    if problem or removed:
        return Transaction(changes, removed, problem)
    uris = context.run(argv[0], "--print-uris", *_NO_CACHES, *argv[1:], timeout=_LOOK_SECONDS)
    return Transaction(changes, (), "", parse_uris(uris.out), sum(_unpacked(context, change, wanted) for change in changes))


def _unpacked(context, change: Change, wanted: list) -> int:
    """The bytes that a package takes once unpacked (Installed-Size, in KiB)."""
    path = next((entry.path for entry in wanted if entry.name == change.name), "")
    ran = context.run("dpkg-deb", "-f", path, "Installed-Size") if path else \
        context.run("apt-cache", *_NO_CACHES, "show", f"{change.name}={change.after}", timeout=_LOOK_SECONDS)
    match = re.search(r"^(?:Installed-Size: )?(\d+)$", ran.out, re.M)
    return int(match.group(1)) * 1024 if match else 0


def room(transaction: Transaction) -> dict:
    """``{folder: bytes}`` that a transaction writes."""
    return {"/usr": transaction.unpacked, "/var/lib/dpkg": 0, ARCHIVES: transaction.download, "/etc": 0}


def offered(context, name: str) -> list:
    """The versions that the package lists know, highest first (apt-cache(8) madison)."""
    ran = context.run("apt-cache", *_NO_CACHES, "madison", name, timeout=_LOOK_SECONDS)
    fields = [[field.strip() for field in line.split("|")] for line in ran.out.splitlines()]
    return list(dict.fromkeys(row[1] for row in fields if len(row) == 3 and row[0] == name and row[2].endswith("Packages")))


def candidate(context, name: str, like: str) -> str:
    """The version to install: ``like`` (that of the software it belongs to) when it is offered, else apt's own choice; empty when there is none."""
    if like in offered(context, name):
        return like
    ran = context.run("apt-cache", *_NO_CACHES, "policy", name, timeout=_LOOK_SECONDS)
    match = re.search(r"^  Candidate: (\S+)$", ran.out, re.M)
    return match.group(1) if match and match.group(1) != "(none)" else ""


def cached(context, name: str, version: str) -> str:
    """The path of a .deb in apt's cache that is this version, whole, and written by root alone; empty when there is none.

    The version that is installed must also be the same build: the sums of its files are those that dpkg keeps.
    """
    for path in sorted(glob.glob(f"{ARCHIVES}/{glob.escape(name)}_*.deb")):
        try:
            state = os.lstat(path)
        except OSError:
            continue
        if not stat.S_ISREG(state.st_mode) or state.st_uid != 0 or state.st_mode & 0o022:
            continue
        told = context.run("dpkg-deb", "-f", path, "Package", "Version")
        if dict(line.split(": ", 1) for line in told.out.splitlines() if ": " in line) != {"Package": name, "Version": version}:
            continue
        # Reads it to its end; what it prints is dropped.
        if not context.run("dpkg-deb", "--fsys-tarfile", path, timeout=_LOOK_SECONDS, most=1).ok:
            continue
        if installed(context).get(name) == version and not _same_build(context, name, path):
            continue
        return path
    return ""


def _same_build(context, name: str, path: str) -> bool:
    """Whether a .deb's own sums are those of the installed package; a package that brings no sums cannot be told apart."""
    own = next((text for text in (context.read(one) for one in glob.glob(f"{_dpkg.INFO}/{glob.escape(name)}*.md5sums")
                                  if os.path.basename(one).split(".md5sums")[0].split(":")[0] == name) if text is not None), None)
    if own is None:
        return True
    theirs = context.run("dpkg-deb", "-I", path, "md5sums")
    return theirs.ok and sorted(theirs.out.splitlines()) == sorted(own.splitlines())


def former(context, known: dict, name: str) -> str:
    """The version that dpkg's log says was there before the present one; empty when it went back already. Raises Refused when the log does not say."""
    now = installed(context)[name]
    for entry in known["history"]:
        if entry["package"] == name and entry["action"] == "upgrade" and entry["from"] != entry["to"]:
            if entry["to"] != now or not entry["from"]:
                break
            return entry["from"] if _dpkg.version_key(entry["from"]) < _dpkg.version_key(now) else ""
    raise Refused(f"dpkg's log names no upgrade of {name} to {now} in the last 14 days, so that the version before it is not known.")


def upgrades(known: dict) -> list:
    """The latest upgrades, as sentences."""
    return [f"{entry['package']} {entry['from']} -> {entry['to']} ({entry['time']})" for entry in known["history"]
            if entry["action"] == "upgrade" and entry["from"] != entry["to"]][:8]


def pending(_context, known: dict, names: list) -> dict:
    """``{package: version}`` of security updates for mail software, and for what else is named."""
    return {entry["package"]: entry["candidate"] for entry in known["security_pending"]
            if (entry["package"] in names if names else _dpkg.is_mail(entry["package"]))}


def replaced_config(_context, _known: dict, _names: list) -> list:
    """Changed configuration files that would be replaced: none, for dpkg and ucf are told to keep them."""
    return []
