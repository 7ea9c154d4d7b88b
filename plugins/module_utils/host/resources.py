"""Whether the host has what mail needs: processor, memory, processes, open files; and whether a limit is reached."""
from __future__ import annotations

import os
import re
import time

from ansible_collections.mailops.outage.plugins.module_utils.host import _kernel, _processes
from ansible_collections.mailops.outage.plugins.module_utils.host._mounts import mounts
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_MEMINFO = {"MemTotal": "total", "MemAvailable": "available", "SwapTotal": "swap_total", "SwapFree": "swap_free"}
_MOST_WATCHED = 200
_UNITS = ("postfix@-.service", "postfix.service", "dovecot.service", "exim4.service")


def parse_meminfo(text: str) -> dict:
    """Bytes of memory and swap (proc_meminfo(5), which counts in KiB)."""
    values = {name: int(number) * 1024 for name, number in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
    return {key: values.get(name) for name, key in _MEMINFO.items()}


def parse_pressure(text: str) -> dict | None:
    """``{some_avg10, …, full_avg300}``: percent of time that some or all tasks stalled (kernel, accounting/psi)."""
    found = {f"{line.split()[0]}_{name}": float(value) for line in text.splitlines() if line.strip()
             for name, value in re.findall(r"(avg\d+)=(\d+(?:\.\d+)?)", line)}
    return found or None


def parse_limits(text: str) -> dict:
    """``{nofile, nproc}``: the soft limits of /proc/PID/limits; None for unlimited."""
    found = {}
    for key, title in (("nofile", "Max open files"), ("nproc", "Max processes")):
        match = re.search(rf"^{title}\s+(\S+)", text, re.M)
        if match:
            found[key] = int(match.group(1)) if match.group(1).isdigit() else None
    return found


def cgroup_folder(mountpoints, controller: str, paths: dict) -> str | None:
    """The folder in which a controller's files of a control group lie, on the unified hierarchy or on an old one.

    ``mountpoints`` are Mounts; a container sees its own part of the tree only, so the mounted root is taken off.
    """
    for mount in mountpoints:
        unified = mount.type == "cgroup2" and "" in paths
        if not unified and not (mount.type == "cgroup" and controller in mount.super_options and controller in paths):
            continue
        path = paths["" if unified else controller]
        root = mount.root.rstrip("/")
        if root and (path + "/").startswith(root + "/"):
            path = path[len(root):]
        folder = os.path.normpath(mount.mount + "/" + path)
        # On a hybrid host the unified tree is there without the controllers.
        if any(os.path.exists(f"{folder}/{name}") for name in (f"{controller}.max", f"{controller}.limit_in_bytes", f"{controller}.oom_control")):
            return folder
    return None


def _number(context, path: str) -> int | None:
    text = (context.read(path, 256) or "").strip()
    # Version 1 says "unlimited" as the largest multiple of a page.
    return int(text) if text.isdigit() and int(text) < 1 << 60 else None


def _count(context, path: str, name: str) -> int:
    match = re.search(rf"^{name} (\d+)", context.read(path, 4096) or "", re.M)
    return int(match.group(1)) if match else 0


def _limit(unit, what, value, used, exhausted, source, **more) -> dict:
    text = f"{used if used is not None else '?'} of {value if value is not None else 'unlimited'}"
    return {"unit": unit, "what": what, "value": value, "used": used, "exhausted": bool(exhausted), "hits": more.get("hits", 0), "source": source,
            "text": clean(text + more.get("note", ""))}


def nearly(used: int | None, value: int | None) -> bool:
    """Whether so little is left of a limit (2 %, at least one) that the next request fails or soon will."""
    return used is not None and value is not None and used >= value - max(1, value // 50)


def _tasks(context, mountpoints, unit: str, paths: dict) -> list:
    """The limit of tasks on a unit and on the groups above it, where there is one."""
    folder = cgroup_folder(mountpoints, "pids", paths)
    # A container's own group, which the host gave it, may be all that there is.
    name = unit if folder and os.path.basename(folder) == unit else "host"
    found = []
    while folder and os.path.exists(f"{folder}/pids.max"):
        value = _number(context, f"{folder}/pids.max")
        if value is not None:
            used = _number(context, f"{folder}/pids.current")
            hits = _count(context, f"{folder}/pids.events", "max")
            note = f", refused {hits} times" if hits else ""
            found.append(_limit(name, "tasks", value, used, nearly(used, value), f"{folder}/pids.max", hits=hits, note=note))
        folder = os.path.dirname(folder)
        name = os.path.basename(folder) if folder.endswith(".slice") else "host"
    return found


def _memory(context, mountpoints, unit: str, paths: dict) -> list:
    """The memory limit of a unit, exhausted when the kernel killed for it since the unit's start."""
    folder = cgroup_folder(mountpoints, "memory", paths)
    if not folder:
        return []
    unified = os.path.exists(f"{folder}/memory.events")
    names = ("memory.max", "memory.current", "memory.events") if unified else ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control")
    value, used = (_number(context, f"{folder}/{name}") for name in names[:2])
    kills = _count(context, f"{folder}/{names[2]}", "oom_kill")
    if value is None and not kills:
        return []
    note = f" bytes, {kills} processes killed" if kills else " bytes"
    return [_limit(unit, "memory", value, used, kills, f"{folder}/{names[2]}", hits=kills, note=note)]


def _open_files(pid: int) -> int | None:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None


def _files(context, unit: str, members: list) -> list:
    """The open-file limit of the member that is nearest to its own."""
    nearest = None
    for process in members:
        value = parse_limits(context.read(f"/proc/{process.pid}/limits", 4096) or "").get("nofile")
        used = _open_files(process.pid)
        if value and used is not None and (nearest is None or used / value > nearest[0]):
            nearest = (used / value, value, used, process)
    if nearest is None:
        return []
    _share, value, used, process = nearest
    return [_limit(unit, "nofile", value, used, nearly(used, value), f"/proc/{process.pid}/limits", note=f" in {process.name}[{process.pid}]")]


def _limits(context) -> list:
    groups: dict = {}
    for process in _processes.mail_processes(context)[:_MOST_WATCHED]:
        paths = _processes.cgroups(process.pid)
        unit = _processes.unit_of(paths) or process.software
        groups.setdefault(unit, (paths, []))[1].append(process)
    if groups and os.geteuid() != 0:
        context.cannot_see("open files of mail processes", "needs root")
    found, seen = [], set()
    mountpoints = mounts(context)
    for unit, (paths, members) in sorted(groups.items()):
        for entry in _tasks(context, mountpoints, unit, paths) + _memory(context, mountpoints, unit, paths) + _files(context, unit, members):
            if (entry["what"], entry["source"]) not in seen:
                seen.add((entry["what"], entry["source"]))
                found.append(entry)
    return found + _configured(context, set(groups))


def parse_show(text: str) -> list:
    """The blocks of ``systemctl show``: ``[{property: value}]``."""
    return [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n") if block.strip()]


def too_few_files(block: dict) -> bool:
    """Whether a unit's own limit of open files is too small for a daemon to start at all."""
    value = block.get("LimitNOFILE", "")
    return value.isdigit() and int(value) < 64


def _configured(context, running: set) -> list:
    """A limit that keeps a unit from starting shows in its settings only: there is no process to look at."""
    if not os.path.isdir("/run/systemd/system") or any(unit.startswith(("postfix@", "exim")) for unit in running) and "dovecot.service" in running:
        return []
    ran = context.run("systemctl", "show", "-p", "Id", "-p", "LoadState", "-p", "LimitNOFILE", *_UNITS, timeout=5)
    return [
        _limit(block["Id"], "nofile", int(block["LimitNOFILE"]), None, True, f"systemctl show -p LimitNOFILE {block['Id']}")
        for block in parse_show(ran.out) if block.get("LoadState") == "loaded" and block.get("Id") not in running and too_few_files(block)
    ]


def _blocked(context) -> list:
    """Mail processes that wait uninterruptibly (D) or are stopped (T), seen twice so that a moment of disk work does not count."""
    found = [process for process in _processes.mail_processes(context) if process.state in "DTt"]
    if found:
        time.sleep(0.2)
    blocked = []
    for process in found[:50]:
        now = _processes.parse_stat(context.read(f"/proc/{process.pid}/stat", 4096) or "")
        if now and now[1] == process.state:
            where = (context.read(f"/proc/{process.pid}/wchan", 64) or "").strip("0 \n")
            blocked.append({"pid": process.pid, "process": process.name, "state": process.state, "wchan": clean(where, 64) or None,
                            "unit": _processes.unit_of(_processes.cgroups(process.pid)),
                            "source": f"/proc/{process.pid}/stat"})
    return blocked


def _ceiling(context) -> int | None:
    values = [_number(context, f"/proc/sys/kernel/{name}") for name in ("pid_max", "threads-max")]
    return min((value for value in values if value), default=None)


def _killed(context, limits: list) -> list:
    """Processes killed for memory: as the kernel tells it, else as a unit's own count does (a container has no kernel log)."""
    found = _kernel.kills(context)
    if not found:
        found = [{"time": None, "time_epoch": None, "process": entry["unit"], "text": entry["text"], "source": entry["source"]}
                 for entry in limits if entry["what"] == "memory" and entry["hits"]]
    return found


def collect(context) -> dict:
    """Load, pressure, memory, processes and files of the host; the limits of mail units; processes that do not move."""
    one, five, fifteen = os.getloadavg()
    known = _processes.processes(context)
    limits = _limits(context)
    allocated = (context.read("/proc/sys/fs/file-nr", 100) or "").split()
    return {
        "load": {"one": round(one, 2), "five": round(five, 2), "fifteen": round(fifteen, 2), "cpus": os.cpu_count()},
        "pressure": {name: parse_pressure(context.read(f"/proc/pressure/{name}", 4096) or "") for name in ("cpu", "memory", "io")},
        "memory": parse_meminfo(context.read("/proc/meminfo") or ""),
        "oom_kills": _killed(context, limits),
        "files": {"allocated": int(allocated[0]) if allocated else None, "maximum": int(allocated[2]) if len(allocated) > 2 else None},
        "processes": {"count": len(known), "maximum": _ceiling(context), "threads": sum(process.threads for process in known.values())},
        "limits": limits,
        "blocked": _blocked(context),
    }
