"""Who repairs: the name under which locks and checkpoints are held, and whether its process still runs. Controller only.

A process is known by its number within a process namespace (pid_namespaces(7)) of one boot, and by when it was started (proc_pid_stat(5), field 22):
numbers are used again, and two execution environments with one host name have the same ones.
"""
from __future__ import annotations

import hashlib
import os
import pwd
import re
import socket

_BOOT, _MACHINE = "/proc/sys/kernel/random/boot_id", "/etc/machine-id"
# The namespace that every machine has (PROC_PID_INIT_INO in the kernel's proc_ns.h). In another the machine's name can be that of an image.
_FIRST_NAMESPACE = "4026531836"
_OWNER = re.compile(r"(?P<who>\S+@\S+) process (?P<pid>[1-9]\d{0,9}) in (?P<space>\d{1,20}) since (?P<start>\d{1,20}) boot (?P<boot>[0-9a-f]{12}) "
                    r"machine (?P<machine>[0-9a-f]{12}|unknown) run \S+")


def owner(run_id: str) -> str:
    """One line: the account and the controller, the process of the play (the parent of the worker that asks), its machine, and the run. Raises OSError."""
    pid = os.getppid()
    return (f"{_word(_account())}@{_word(socket.gethostname())} process {pid} in {_namespace()} since {_started(pid)} boot {_digest(_BOOT)} "
            f"machine {_digest(_MACHINE)} run {_word(run_id)}")


def is_gone(held_by: str) -> bool:
    """Whether the holder is a process of this account on this controller that certainly runs no more. Of others nobody can tell: False."""
    try:
        theirs, mine = _OWNER.fullmatch(held_by), _OWNER.fullmatch(owner("-"))
        if not theirs or not mine or theirs["who"] != mine["who"]:
            return False
        if theirs["boot"] != mine["boot"]:
            return theirs["machine"] == mine["machine"] != "unknown" and theirs["space"] == mine["space"] == _FIRST_NAMESPACE
        return theirs["space"] == mine["space"] and _started(int(theirs["pid"])) != theirs["start"]
    except OSError:
        return False


def _account() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _namespace() -> str:
    return re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))


def _started(pid: int) -> str:
    """When a process was started, in clock ticks since the boot; empty when there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            # Its name, in brackets, may hold anything.
            return stream.read().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _digest(path: str) -> str:
    """A word for what a file says: a machine's name is not for others to know (machine-id(5))."""
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            text = stream.read().strip()
    except OSError:
        text = ""
    return hashlib.sha256(f"mailops {text}".encode()).hexdigest()[:12] if text else "unknown"


def _word(text: str) -> str:
    return re.sub(r"[^!-~]", "_", text)[:80] or "_"
