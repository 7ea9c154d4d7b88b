"""The processes of the host, read once from /proc (proc(5)), and which of them belong to mail software."""
from __future__ import annotations

import os
import re
from dataclasses import dataclass

from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_TICKS = os.sysconf("SC_CLK_TCK")
_MOST = 20000
# Postfix daemons carry master(8)'s arguments, Dovecot's their service name; both hold when the master is gone.
_SOFTWARE = (
    ("postfix", re.compile(
        r"/postfix/\S*/?master\b|^(?:anvil|bounce|cleanup|discard|dnsblog|error|flush|lmtp|local|o?qmgr|pickup|pipe|postlogd|postscreen|proxymap"
        r"|qmqpd|scache|showq|smtpd?|spawn|tls(?:mgr|proxy)|trivial-rewrite|verify|virtual) .*-t (?:unix|inet|fifo|pass)\b")),
    ("dovecot", re.compile(r"^(?:\S*/)?dovecot\b|/dovecot/\S+")),
    # The daemon, a queue runner, a delivery: not exim4 -bp and the like, which this look itself runs.
    ("exim", re.compile(r"^(?:\S*/)?exim4?\b.* -(?:b[dsw]|q|M)")),
    ("opendkim", re.compile(r"^(?:\S*/)?opendkim\b")),
    ("opendmarc", re.compile(r"^(?:\S*/)?opendmarc\b")),
    ("rspamd", re.compile(r"^(?:\S*/)?rspamd\b")),
    ("amavis", re.compile(r"^(?:\S*/)?amavisd?\b|/amavisd")),
    ("clamav", re.compile(r"^(?:\S*/)?(?:clamd|freshclam|clamav-milter)\b")),
    ("spamassassin", re.compile(r"^(?:\S*/)?spamd\b|/spamd\b")),
    ("postgrey", re.compile(r"^(?:\S*/)?postgrey\b|/postgrey\b")),
    ("postsrsd", re.compile(r"^(?:\S*/)?postsrsd\b")),
    ("saslauthd", re.compile(r"^(?:\S*/)?saslauthd\b")),
    ("policyd-spf", re.compile(r"/policyd-spf\b")),
)


@dataclass(frozen=True)
class Process:
    """One process: ``state`` as in ps(1), ``start`` in clock ticks since boot, ``software`` empty when it is not mail's."""

    pid: int
    parent: int
    name: str
    state: str
    threads: int
    start: int
    command: str
    software: str


def software_of(name: str, command: str) -> str:
    """The mail software that a process belongs to, by its command line, or an empty string."""
    for software, pattern in _SOFTWARE:
        if pattern.search(command or name):
            return software
    return ""


def parse_stat(text: str):
    """``(name, state, parent, threads, start)`` of /proc/PID/stat; None when it is not one. The name may hold ``)``."""
    head, _bracket, rest = text.rpartition(")")
    fields = rest.split()
    if len(fields) < 20 or "(" not in head:
        return None
    try:
        return head.split("(", 1)[1], fields[0], int(fields[1]), int(fields[17]), int(fields[19])
    except ValueError:
        return None


def _read(path: str, most: int = 4096) -> str:
    try:
        with open(path, "rb", buffering=0) as stream:
            return stream.read(most).decode("utf-8", "replace")
    except OSError:
        return ""


def _all(proc: str) -> dict:
    found = {}
    for name in os.listdir(proc):
        if not name.isdigit() or len(found) >= _MOST:
            continue
        stat = parse_stat(_read(f"{proc}/{name}/stat"))
        if stat is None:
            continue
        # A kernel thread has no command line.
        command = _read(f"{proc}/{name}/cmdline", 512).replace("\0", " ").strip()
        software = software_of(stat[0], command) if command else ""
        found[int(name)] = Process(int(name), stat[2], clean(stat[0], 64), stat[1], stat[3], stat[4], clean(command, 200), software)
    return found


def processes(context, proc: str = "/proc") -> dict:
    """``{pid: Process}`` as seen once for this look; only one's own without root where /proc hides the others."""
    return context.once("processes " + proc, lambda: _all(proc))


def mail_processes(context) -> list:
    """The processes of mail software, by pid."""
    return [process for _pid, process in sorted(processes(context).items()) if process.software]


def masters(context) -> list:
    """The processes of mail software whose parent is not of the same software: the daemons that a unit starts."""
    known = processes(context)
    return [process for process in mail_processes(context)
            if process.parent not in known or known[process.parent].software != process.software]


def kernel_start(proc: str = "/proc") -> float | None:
    """Epoch seconds at which the kernel started (``btime``)."""
    match = re.search(r"^btime (\d+)$", _read(f"{proc}/stat", 1024 * 1024), re.M)
    return float(match.group(1)) if match else None


def started(process: Process) -> float | None:
    """Epoch seconds at which a process started, to about a second."""
    boot = kernel_start()
    return None if boot is None else boot + process.start / _TICKS


def boot_epoch() -> float | None:
    """Epoch seconds of the host's start: the first process's, which in a container is the container's own."""
    stat = parse_stat(_read("/proc/1/stat"))
    boot = kernel_start()
    return boot if boot is None or stat is None else boot + stat[4] / _TICKS


def postfix_master(context) -> Process | None:
    """Postfix's master(8), or None. A daemon that survived its master does not count."""
    for process in mail_processes(context):
        if process.software == "postfix" and process.name == "master":
            return process
    return None


def cgroup_paths(text: str) -> dict:
    """``{controller: path}`` of /proc/PID/cgroup; the unified hierarchy under an empty name (cgroups(7))."""
    paths = {}
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            for controller in parts[1].split(","):
                paths[controller] = parts[2]
    return paths


def cgroups(pid: int) -> dict:
    return cgroup_paths(_read(f"/proc/{pid}/cgroup"))


def unit_of(paths: dict) -> str:
    """The systemd unit of a process by its control groups, or an empty string."""
    for path in (paths.get("name=systemd"), paths.get("")):
        for part in reversed((path or "").split("/")):
            if part.endswith((".service", ".scope")):
                return part
    return ""
