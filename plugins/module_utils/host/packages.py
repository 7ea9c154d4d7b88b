"""The mail software as packages: versions, interrupted upgrades, damaged files, pending updates and restarts."""
from __future__ import annotations

import glob
import os
import re
import time

from ansible_collections.mailops.outage.plugins.module_utils.host import _dpkg, _processes
from ansible_collections.mailops.outage.plugins.module_utils.host._when import iso, window
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_DAYS = 14
_PATIENCE = 4.0
_MOST_LOG = 2 * 1024 * 1024
_MOST_LISTS = 24 * 1024 * 1024
# What a process may have mapped or deleted on purpose.
_NO_FILE = re.compile(r"^/(?:memfd:|dev/|SYSV|run/|tmp/|var/|proc/|\[|i915|anon_)")
_RPM_NAMES = re.compile(r"^(?:exim|cyrus-sasl|glibc|openssl-libs|openldap)")
_RPM_FORMAT = "%{NAME}\\t%{VERSION}-%{RELEASE}\\t%{INSTALLTIME}\\n"


def _empty(manager: str) -> dict:
    return {"manager": manager, "mail": [], "half_configured": [], "broken_files": [], "conffiles_changed": [], "history": [], "restart_pending": [],
            "security_pending": [], "held": [], "lists_epoch": None}


def is_mail_software(name: str) -> bool:
    """Whether a package belongs to a mail server's software, by its name at Debian or at Red Hat."""
    return _dpkg.is_mail(name) or name.startswith(("exim", "cyrus-sasl"))


def concerns_mail(name: str) -> bool:
    """Whether a package can change how mail works, by its name at Debian or at Red Hat."""
    return _dpkg.matters(name) or bool(_RPM_NAMES.match(name))


def parse_rpm(text: str) -> list:
    """``[{name, version, installed_epoch}]`` of ``rpm -qa`` in our format: the packages that matter for mail."""
    found = []
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) == 3 and fields[2].isdigit() and concerns_mail(fields[0]):
            found.append({"name": clean(fields[0], 120), "version": clean(fields[1], 120), "installed_epoch": int(fields[2])})
    return sorted(found, key=lambda entry: entry["name"])


def parse_rpm_verify(text: str) -> list:
    """``[(path, problem, conffile)]`` of ``rpm -V``: missing files, and changed contents (``5``); other marks are left out."""
    found = []
    for line in text.splitlines():
        match = re.match(r"^(missing|[.?SM5DLUGTPV]{8,9})\s+(?:([cdglr])\s+)?(/.*?)(?: \(.*\))?$", line)
        if match and (match.group(1) == "missing" or "5" in match.group(1)):
            found.append((match.group(3), "missing" if match.group(1) == "missing" else "changed", match.group(2) == "c"))
    return found


def deleted_files(maps: str) -> list:
    """The program and library files in /proc/PID/maps that were replaced since they were mapped."""
    found = []
    for line in maps.splitlines():
        if not line.endswith(" (deleted)") or "/" not in line:
            continue
        path = line[line.index("/"):-len(" (deleted)")]
        if not _NO_FILE.match(path) and path not in found:
            found.append(path)
    return found


def _restart_pending(context) -> list:
    if os.geteuid() != 0:
        context.cannot_see("replaced libraries of running processes", "needs root")
        return []
    found: dict = {}
    for process in _processes.mail_processes(context)[:100]:
        for path in deleted_files(context.read(f"/proc/{process.pid}/maps", 512 * 1024) or ""):
            found.setdefault((process.name, path), {
                "process": process.name, "pid": process.pid, "file": clean(path), "unit": _processes.unit_of(_processes.cgroups(process.pid)),
                "source": f"/proc/{process.pid}/maps"})
    return list(found.values())[:20]


def _history(context) -> list:
    since, _until = window(context, _DAYS)
    found = []
    for path in ("/var/log/dpkg.log", "/var/log/dpkg.log.1"):
        try:
            size = os.stat(path).st_size
            with open(path, "rb") as stream:
                stream.seek(max(0, size - _MOST_LOG))
                text = stream.read(_MOST_LOG).decode("utf-8", "replace")
        except FileNotFoundError:
            continue
        except OSError:
            context.cannot_see(path, "permission denied")
            continue
        found += _dpkg.parse_log(text, path, since)
    found.sort(key=lambda entry: entry["time_epoch"], reverse=True)
    return [dict(entry, time=iso(entry["time_epoch"])) for entry in found[:100]]


def candidates(text: str, names) -> dict:
    """``{package: highest version}`` that a Packages index offers for ``names``; the last entry of equal names wins, as apt writes them in order."""
    found = {}
    for paragraph in text.split("\n\n"):
        name = paragraph.lstrip("\n")[len("Package: "):].partition("\n")[0]
        if name in names:
            version = re.search(r"^Version: (\S+)$", paragraph, re.M)
            if version:
                found[name] = version.group(1)
    return found


def _index(context, path: str) -> str:
    """A package index of apt's, which may be kept compressed: its own helper reads any form."""
    if path.endswith("_Packages"):
        return context.read(path, _MOST_LISTS) or ""
    return context.run("/usr/lib/apt/apt-helper", "cat-file", path, timeout=4, most=_MOST_LISTS).out


def _security(context, known: list) -> tuple:
    """``(pending, epoch of the lists)``: installed mail packages for which a security archive offers more, by apt's local lists."""
    paths = [path for path in glob.glob("/var/lib/apt/lists/*security*_Packages*") if not path.endswith((".diff_Index", "_Translation"))]
    if not paths:
        context.cannot_see("pending security updates", "there are no package lists of a security archive")
        return [], None
    versions = {package.plain: package.version for package in known if package.status == "installed" and _dpkg.matters(package.plain)}
    offered: dict = {}
    for path in sorted(paths)[:6]:
        for name, version in candidates(_index(context, path), versions).items():
            offered[name] = max(offered.get(name, version), version, key=_dpkg.version_key)
    pending = []
    for name, candidate in sorted(offered.items()):
        # The index also lists what is installed already.
        if _dpkg.version_key(candidate) > _dpkg.version_key(versions[name]):
            pending.append({"package": name, "installed": versions[name], "candidate": clean(candidate, 120)})
    return pending[:50], int(max(os.stat(path).st_mtime for path in paths))


def _files(context, mail: list) -> tuple:
    """``(broken, changed conffiles)`` of the mail packages, within a few seconds."""
    until = time.monotonic() + _PATIENCE
    damaged, conffiles = [], []
    try:
        for package in mail:
            damaged += [(package, path, problem, False) for path, problem in _dpkg.verify(package, context.read, until)]
            for path, problem in _dpkg.changed_conffiles(package):
                if problem == "missing":
                    damaged.append((package, path, problem, True))
                else:
                    conffiles.append({"package": package.plain, "path": clean(path)})
    except TimeoutError as problem:
        context.cannot_see("files of the mail packages", str(problem))
    entries = [{"package": package.plain, "path": clean(path), "problem": problem, "conffile": conffile, "source": f"dpkg -V {package.plain}"}
               for package, path, problem, conffile in damaged]
    return entries[:50], conffiles[:100]


def _with_dpkg(context, known: list) -> dict:
    result = _empty("dpkg")
    installed = [package for package in known if package.status not in ("not-installed", "config-files")]
    mail = [package for package in installed if _dpkg.is_mail(package.plain)]
    result["mail"] = [{"name": clean(package.plain, 120), "version": clean(package.version, 120), "installed_epoch": _dpkg.installed_epoch(package)}
                      for package in installed if _dpkg.matters(package.plain)]
    result["half_configured"] = [{"name": clean(package.name, 120), "status": clean(package.state, 80), "mail": _dpkg.matters(package.plain),
                                  "source": "dpkg --audit"} for package in _dpkg.broken(known)][:50]
    result["held"] = [package.plain for package in installed if package.want == "hold" and _dpkg.matters(package.plain)]
    result["broken_files"], result["conffiles_changed"] = _files(context, mail)
    result["history"] = _history(context)
    result["restart_pending"] = _restart_pending(context)
    result["security_pending"], result["lists_epoch"] = _security(context, known)
    return result


def _with_rpm(context) -> dict:
    result = _empty("rpm")
    since, _until = window(context, _DAYS)
    listed = parse_rpm(context.run("rpm", "-qa", "--qf", _RPM_FORMAT, timeout=8).out)
    result["mail"] = listed
    recent = sorted((entry for entry in listed if entry["installed_epoch"] >= since), key=lambda entry: -entry["installed_epoch"])
    result["history"] = [{"time": iso(entry["installed_epoch"]), "time_epoch": entry["installed_epoch"], "action": "install", "package": entry["name"],
                          "from": None, "to": entry["version"], "source": "rpm -qa --last"} for entry in recent]
    names = [entry["name"] for entry in listed if re.match(r"^(?:postfix|dovecot|exim|opendkim|rspamd)", entry["name"])]
    ran = context.run("rpm", "-V", "--nodeps", "--nodigest", "--nosignature", *names, timeout=_PATIENCE) if names else None
    if ran is not None:
        found = parse_rpm_verify(ran.out)
        result["broken_files"] = [{"package": "", "path": clean(path), "problem": problem, "conffile": conffile, "source": "rpm -V"}
                                  for path, problem, conffile in found if problem == "missing" or not conffile][:50]
        result["conffiles_changed"] = [{"package": "", "path": clean(path)} for path, problem, conffile in found if conffile and problem == "changed"][:100]
    result["restart_pending"] = _restart_pending(context)
    context.cannot_see("pending security updates", "not looked up with rpm")
    return result


def collect(context) -> dict:
    """The packages by the manager that this host has: dpkg, else rpm, else none."""
    known = _dpkg.packages(context)
    if known:
        return _with_dpkg(context, known)
    if os.path.exists("/usr/bin/rpm"):
        return _with_rpm(context)
    return _empty("other")
