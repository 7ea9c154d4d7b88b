"""What the kernel said in the window: processes it killed for memory, disks that fail, file systems it made read-only."""
from __future__ import annotations

import re
import time

from ansible_collections.mailops.outage.plugins.module_utils.host import _processes
from ansible_collections.mailops.outage.plugins.module_utils.host._when import iso, window
from ansible_collections.mailops.outage.plugins.module_utils.host.system import in_container
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_MOST_LINES = 2000
_JOURNAL = re.compile(r"^(\d+\.\d+) \S+ kernel: (.*)$")
_DMESG = re.compile(r"^(?:<\d+>)?\[ *(\d+\.\d+)\] (.*)$")
# mm/oom_kill.c: __oom_kill_process.
_KILLED = re.compile(r"(?:Out of memory|Memory cgroup out of memory|oom_reaper)[^:]*: (?:Killed|Kill|reaped) process \d+ \(([^)]*)\)")
_DISK = re.compile(
    r"\bI/O error\b|critical (?:medium|target|space allocation) error|Remounting filesystem read-only"
    r"|EXT[234]-fs error|EXT[234]-fs \(\S+\): (?:Delayed block|previous I/O)"
    r"|XFS \(\S+\): (?:.*[Cc]orruption|.*[Ss]hut(?:ting)? ?down|metadata I/O)|BTRFS (?:error|critical)|JBD2: (?:Error|Detected IO)"
    r"|Buffer I/O error|lost (?:async )?page write|nfs: server \S+ not responding|hung_task|blocked for more than \d+ seconds|\bmedia error\b|\bUncorrect\w*"
)


def parse_journal(text: str) -> list:
    """``[(epoch, text)]`` of ``journalctl -k -o short-unix``."""
    found = (_JOURNAL.match(line) for line in text.splitlines())
    return [(float(match.group(1)), match.group(2)) for match in found if match]


def parse_dmesg(text: str, boot: float) -> list:
    """``[(epoch, text)]`` of dmesg(1), whose stamps are seconds since the kernel's start at ``boot``."""
    found = (_DMESG.match(line) for line in text.splitlines())
    return [(boot + float(match.group(1)), match.group(2)) for match in found if match]


def _ask(context) -> tuple:
    since, until = window(context)
    span = (f"--since=@{since:.0f}", f"--until=@{until:.0f}")
    ran = context.run("journalctl", "-k", "-q", "--no-pager", "-o", "short-unix", "-n", str(_MOST_LINES), *span, timeout=5)
    lines = parse_journal(ran.out)
    if ran.ok and lines:
        return lines, "journalctl -k"
    if in_container():
        # dmesg would tell of the machine under it and of its other guests.
        return [], "journalctl -k"
    ran = context.run("dmesg", timeout=2)
    if not ran.ok:
        context.cannot_see("kernel messages", "neither the journal nor dmesg shows them here")
        return [], "dmesg"
    lines = parse_dmesg(ran.out, _processes.kernel_start() or time.time())[-_MOST_LINES:]
    return [line for line in lines if since <= line[0] <= until], "dmesg"


def _messages(context) -> tuple:
    return context.once("kernel messages", lambda: _ask(context))


def visible(context) -> bool:
    """Whether any message of the kernel could be seen in the window; a host that was started in it always has some."""
    return bool(_messages(context)[0])


def _entry(epoch: float, text: str, source: str) -> dict:
    return {"time": iso(epoch), "time_epoch": int(epoch), "text": clean(text, 300), "source": source}


def kills(context) -> list:
    """Processes that the kernel ended for want of memory in the window, at most 20."""
    lines, source = _messages(context)
    found = ((epoch, text, _KILLED.search(text)) for epoch, text in lines)
    return [dict(_entry(epoch, text, source), process=clean(match.group(1), 64)) for epoch, text, match in found if match][-20:]


def disk_errors(context) -> list:
    """What the kernel said of failing disks and network file systems in the window, at most 20."""
    lines, source = _messages(context)
    return [_entry(epoch, text, source) for epoch, text in lines if _DISK.search(text)][-20:]
