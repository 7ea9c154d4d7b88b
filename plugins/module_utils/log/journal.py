"""The lines of a window from the systemd journal, read as a stream from journalctl(1).

``-o short-unix`` is the cheapest form that keeps program, pid and an exact time: one line an entry, the text of a
line like that of a syslog file. The matches are of indexed fields (systemd.journal-fields(7)), so the cost grows with
what is shown, not with the journal.

Whose word an entry is, is told by the fields that journald itself adds and nobody can write: mail software's by the
account that wrote it (_UID: root or an account of that software; a user's ``logger -t postfix/smtpd`` is not read), the
manager's by _PID, the kernel's by _TRANSPORT. What Dovecot's sessions say under a user's account is written by its log process, as root.
"""
from __future__ import annotations

import fcntl
import os
import pwd
import selectors
import shutil
import signal
import subprocess
import time

from ansible_collections.mailops.outage.plugins.module_utils.log.stamps import Stamps
from ansible_collections.mailops.outage.plugins.module_utils.log.window import Block, Budget, Reading, whole_lines
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_F_SETPIPE_SZ = 1031  # <linux/fcntl.h>; named in fcntl since Python 3.10
_PIPE = 1024 * 1024
_MOST_COMPLAINTS = 8192
# The accounts that mail software runs under, as distributions name them.
ACCOUNTS = (
    "postfix", "dovecot", "dovenull", "Debian-exim", "exim", "mail", "opendkim", "opendmarc", "rspamd", "_rspamd", "amavis", "clamav", "clamscan",
    "clamilt", "debian-spamd", "spamd", "postgrey", "policyd-spf", "postsrsd", "milter",
)
# Whose owner is the account of the software that is installed here, whatever it is called (mail_owner; exim_user).
_QUEUES = ("/var/spool/postfix/active", "/var/spool/exim4", "/var/spool/exim")
_COMPANIONS = ("rspamd", "clamd", "amavis", "spamd", "postgrey", "saslauthd", "dovecot", "exim", "exim4")


def _mail_matches() -> tuple:
    """Mail software logs with the facility mail (2, RFC 5424 6.2.1); its companions use another. In both cases: under its own accounts."""
    ids = {0}
    for name in ACCOUNTS:
        try:
            ids.add(pwd.getpwnam(name).pw_uid)
        except KeyError:
            continue
    for path in _QUEUES:
        try:
            ids.add(os.stat(path).st_uid)
        except OSError:
            continue
    accounts = [f"_UID={uid}" for uid in sorted(ids)]
    return ("SYSLOG_FACILITY=2", *accounts, "+", *(f"SYSLOG_IDENTIFIER={name}" for name in _COMPANIONS), *accounts)


def matches(kind: str) -> tuple:
    """What journalctl(1) is to match: ``mail`` software, the system's manager about its ``units``, or the ``kernel``."""
    return {"mail": _mail_matches, "units": lambda: ("_PID=1",), "kernel": lambda: ("_TRANSPORT=kernel",)}[kind]()


class JournalBlock(Block):
    """A block whose lines are found again by their time."""

    def locate(self, start: int, epoch: float | None) -> tuple:
        moment = int(epoch or 0)
        # One second of all programs is short enough to read, and short enough to type.
        return f"journalctl --since=@{moment} --until=@{moment + 1}", ""


def available() -> bool:
    return shutil.which("journalctl", path=_PATH) is not None


def command(kind: str, since: float, until: float) -> list:
    """The command line that shows the window's lines of one kind (``matches``)."""
    return ["journalctl", "--no-pager", "-o", "short-unix", f"--since=@{since:.6f}", f"--until=@{until:.6f}", *matches(kind)]


def blocks(kind: str, since: float, until: float, budget: Budget, reading: Reading, choose=None):
    """Yield ``(Block, Stamps)`` of the journal's lines of one kind in the window, oldest first; ``reading`` is filled.

    ``choose``: a function that takes a block's text and returns what of it is wanted.
    """
    clock = Stamps(until)
    chunks = stream(command(kind, since, until), budget, reading)
    # journalctl's own remarks ("-- Boot ... --") are no log lines.
    for block in whole_lines(chunks, kind, 0, JournalBlock):
        if block.data.startswith(b"-- ") or b"\n-- " in block.data:
            block.data = b"".join(line for line in block.data.splitlines(True) if not line.startswith(b"-- "))
        if choose:
            block.data = choose(block.data)
        if block.data:
            reading.note(block, clock)
            yield block, clock


def stream(argv, budget: Budget, reading: Reading):
    """Yield what a command writes, in chunks of up to a mebibyte, within the budget; then it is ended.

    What it complained of, or how it failed, is told to ``reading``.
    """
    program = shutil.which(argv[0], path=_PATH)
    if program is None:
        reading.fail("journalctl is not installed")
        return
    environment = {"PATH": _PATH, "LC_ALL": "C", "LANG": "C", "SYSTEMD_COLORS": "0"}
    try:
        # AnsibleModule.run_command would hold the whole journal in memory, and this file imports without Ansible.
        child = subprocess.Popen(  # pylint: disable=consider-using-with,ansible-bad-function
            [program, *argv[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment, cwd="/", start_new_session=True,
        )
    except OSError as problem:
        reading.fail(clean(problem.strerror or problem))
        return
    complaints = bytearray()
    ended = False
    try:
        try:
            fcntl.fcntl(child.stdout.fileno(), _F_SETPIPE_SZ, _PIPE)
        except OSError:
            pass
        kept = bytearray()
        for chunk in _output(child, budget, complaints):
            kept += chunk
            budget.left -= len(chunk)
            reading.bytes += len(chunk)
            if len(kept) >= _PIPE:
                yield bytes(kept)
                kept.clear()
            if budget.left <= 0:
                reading.fail("the window holds more than is read at once; its end was left out")
                break
        else:
            ended = not budget.late()
            if not ended:
                reading.fail("out of time; the window's end was left out")
        if kept:
            yield bytes(kept)
    finally:
        _end(child, budget if ended else None)
        _judge(child, bytes(complaints), ended, reading)


def _output(child, budget, complaints):
    with selectors.DefaultSelector() as watch:
        watch.register(child.stdout, selectors.EVENT_READ)
        watch.register(child.stderr, selectors.EVENT_READ)
        while watch.get_map():
            ready = watch.select(budget.seconds())
            if not ready:
                return
            for key, _events in ready:
                chunk = os.read(key.fd, _PIPE)
                if not chunk:
                    watch.unregister(key.fileobj)
                elif key.fileobj is child.stdout:
                    yield chunk
                else:
                    complaints += chunk[:max(0, _MOST_COMPLAINTS - len(complaints))]


def _end(child, budget):
    """Wait for a command that closed its output; end one that has not."""
    until = time.monotonic() + (min(1.0, budget.seconds()) if budget else 0)
    try:
        child.wait(max(0.01, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        try:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(0.5)
        except (OSError, subprocess.TimeoutExpired):
            # In uninterruptible sleep: left behind rather than waited for.
            pass
    child.stdout.close()
    child.stderr.close()


def _judge(child, complaints, ended, reading):
    text = complaints.decode("utf-8", "replace")
    if "not seeing messages from other users" in text or "insufficient permissions" in text or "No journal files were opened" in text:
        reading.fail("not allowed to see the system's messages (root, or the group systemd-journal)")
    elif "No journal files were found" in text:
        reading.fail("there is no journal")
    elif ended and child.returncode:
        reading.fail(clean(text, 200) or f"journalctl ended with {child.returncode}")
