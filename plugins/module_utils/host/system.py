"""Which host this is, since when it runs, and whether its clock can be trusted."""
from __future__ import annotations

import ctypes
import os
import platform
import re
import socket
import time

from ansible_collections.mailops.outage.plugins.module_utils.host import _processes
from ansible_collections.mailops.outage.plugins.module_utils.host._bounded import within
from ansible_collections.mailops.outage.plugins.module_utils.host._when import iso
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_TIME_SERVICES = {"chronyd", "ntpd", "ntpsec", "openntpd", "systemd-timesyn", "systemd-timesyncd"}
_RELEASE_LINE = re.compile(r"^([A-Z_]+)=[\"']?(.*?)[\"']?\s*$", re.M)


def parse_release(text: str) -> dict:
    """``{id, version, codename}`` of os-release(5)."""
    values = dict(_RELEASE_LINE.findall(text))
    return {"id": clean(values.get("ID"), 40), "version": clean(values.get("VERSION_ID"), 40), "codename": clean(values.get("VERSION_CODENAME"), 40)}


def name_in_hosts(text: str, hostname: str) -> str | None:
    """The full name that hosts(5) gives this host: the first one with a dot in a line that also holds the short name."""
    for line in text.splitlines():
        names = line.split("#")[0].split()[1:]
        if any(name.split(".")[0] == hostname for name in names):
            for name in names:
                if "." in name:
                    return name
    return None


def _fqdn(context, hostname: str) -> str:
    if "." in hostname:
        return hostname
    listed = name_in_hosts(context.read("/etc/hosts") or "", hostname)
    if listed:
        return listed
    try:
        # A dead resolver would keep this for half a minute.
        found = within(2.0, socket.getfqdn, hostname)
    except (OSError, TimeoutError):
        return hostname
    return hostname if found.startswith("localhost") else found


def fqdn(context) -> str:
    """This host's full name, or its short one where nothing says more."""
    return context.once("fqdn", lambda: clean(_fqdn(context, os.uname().nodename), 253))


def in_container() -> bool:
    """Whether the host is a container: its kernel, clock and kernel log are the machine's under it."""
    return any(os.path.exists(path) for path in ("/run/systemd/container", "/run/.containerenv", "/.dockerenv"))


class _Timex(ctypes.Structure):
    """The beginning of the kernel's struct timex (adjtimex(2)), and room for the rest."""

    _fields_ = [("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long), ("rest", ctypes.c_char * 512)]


def kernel_synchronised() -> bool | None:
    """Whether the kernel's clock is disciplined, by the rule of timedatectl(1): its error is known to be under 16 s. Only reads."""
    state = _Timex()
    try:
        if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(state)) < 0:
            return None
    except (OSError, AttributeError):
        return None
    return state.maxerror < 16_000_000


def parse_tracking(text: str):
    """``(synchronised, offset in seconds)`` of ``chronyc tracking``; the offset is positive when the clock is ahead."""
    leap = re.search(r"^Leap status\s*:\s*(.+)$", text, re.M)
    offset = re.search(r"^System time\s*:\s*([0-9.]+) seconds (fast|slow)", text, re.M)
    seconds = None
    if offset:
        seconds = float(offset.group(1)) * (1 if offset.group(2) == "fast" else -1)
    return (None if leap is None else leap.group(1).strip() != "Not synchronised"), seconds


def _clock(context, container: bool) -> dict:
    names = {process.name for process in _processes.processes(context).values()}
    running = sorted(names & _TIME_SERVICES)
    # A container takes the time of the machine under it: no service of its own is no fault.
    clock = {"synchronised": None, "service_running": bool(running) or (None if container else False), "offset_seconds": None, "source": None, "text": ""}
    if "chronyd" in running:
        ran = context.run("chronyc", "-n", "tracking", timeout=2)
        if ran.ok:
            synchronised, offset = parse_tracking(ran.out)
            lines = [line for line in ran.out.splitlines() if line.startswith(("Leap", "System time"))]
            return dict(clock, synchronised=synchronised, offset_seconds=offset, source=ran.source, text=clean("; ".join(lines)))
    # A container's answer would be the machine's; only a good one says something.
    synchronised = kernel_synchronised()
    clock.update(synchronised=synchronised or (None if container else synchronised), source="timedatectl show -p NTPSynchronized",
                 text=clean(f"synchronised: {synchronised}; service: {', '.join(running) or 'none'}"))
    return clock


def _timezone(context) -> str:
    named = (context.read("/etc/timezone") or "").strip()
    if not named:
        try:
            named = os.readlink("/etc/localtime").partition("zoneinfo/")[2]
        except OSError:
            pass
    return clean(named or time.tzname[0], 60)


def collect(context) -> dict:
    """Identity, age and clock of the host. ``boot`` is the start of the first process, a container's own start included."""
    now = time.time()
    boot = _processes.boot_epoch()
    container = in_container()
    return {
        "hostname": clean(os.uname().nodename, 253),
        "fqdn": fqdn(context),
        "os": parse_release(context.read("/etc/os-release") or context.read("/usr/lib/os-release") or ""),
        "kernel": clean(os.uname().release, 100),
        "python": platform.python_version(),
        "root": os.geteuid() == 0,
        "init": "systemd" if os.path.isdir("/run/systemd/system") else "other",
        "container": container,
        "now": iso(now),
        "now_epoch": int(now),
        "timezone": _timezone(context),
        "boot": iso(boot),
        "boot_epoch": None if boot is None else int(boot),
        "uptime_seconds": None if boot is None else max(0, int(now - boot)),
        "clock": _clock(context, container),
    }
