"""What a restart would take away, kept for those who review later: logs of the window, and what the host is like now."""
from __future__ import annotations

import re
import socket
import time

from ansible_collections.mailops.outage.plugins.module_utils import secrets
from ansible_collections.mailops.outage.plugins.module_utils.host import _processes, dovecot, events, postfix, services
from ansible_collections.mailops.outage.plugins.module_utils.host._when import iso, window
from ansible_collections.mailops.outage.plugins.module_utils.log import journal
from ansible_collections.mailops.outage.plugins.module_utils.log.bundle import Bundle
from ansible_collections.mailops.outage.plugins.module_utils.log.pseudonyms import Pseudonyms
from ansible_collections.mailops.outage.plugins.module_utils.log.window import Budget, Reading, blocks, rotations
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_SECONDS = 60.0
_STATE_BYTES = 512 * 1024
_DPKG_LOGS = ("/var/log/dpkg.log", "/var/log/dpkg.log.1", "/var/log/dnf.rpm.log")
_STOPPED_AFTER = 60.0


def gather(context, most: int, most_file: int, pseudonymous: bool) -> tuple:
    """``(bytes of the tar file, manifest)``; at most ``most`` bytes of evidence, and ``most_file`` of one source. Small parts come first."""
    since, until = window(context)
    hider = secrets.Hider(held_secrets(context))
    changes = [hider.of] + ([Pseudonyms().of] if pseudonymous else [])
    now = int(time.time())
    bundle = Bundle(most, most_file, changes, now)
    budget = _Clock(_SECONDS)
    if hider.left_out:
        bundle.leave_out("logs", f"there are {hider.left_out} passwords more on this host than are looked for by their content")
    _state(context, bundle)
    _packages(bundle, since, until, budget)
    _logs(context, bundle, since, until, budget)
    _kernel(bundle, since, until, budget)
    for sentence in context.not_visible:
        bundle.leave_out("host", sentence)
    host = socket.gethostname()
    about = {"host": Pseudonyms().domain(host) if pseudonymous else clean(host, 253), "taken": iso(now), "since": iso(since), "until": iso(until),
             "pseudonyms": pseudonymous, "hidden": hider.hidden}
    if pseudonymous:
        about["note"] = "Names of people, domains and addresses are pseudonyms by pattern; free text, such as a subject, may still hold some."
    return bundle.close(about)


class _Clock:
    """The time that is left, for readings that each have their own room."""

    def __init__(self, seconds: float):
        self._until = time.monotonic() + seconds

    def budget(self, size: int) -> Budget:
        return Budget(size, max(0.0, self._until - time.monotonic()))


def held_secrets(context) -> list:
    """The passwords that the mail software's own files hold, whatever the type of the table."""
    found: list = []
    mta = postfix.settings(context)
    if mta:
        for path in (mta["main_path"], mta["master_path"]):
            text = context.read(path) or ""
            found += secrets.passwords_in_tables(text) + secrets.values_in(text)
        for table in postfix.collect(context)["maps"]:
            text = context.read(table["path"]) or ""
            found += secrets.values_in(text)
            if "password" in table["parameter"]:
                found += secrets.passwords_in(text)
    imap = dovecot.settings(context)
    if imap:
        found += secrets.values_in(context.run("doveconf", "-n", "-P", timeout=8).out)
        facts = dovecot.collect(context)
        for database in facts["passdbs"] + facts["userdbs"]:
            text = context.read(database["file"]) or "" if database["file"] and "%" not in database["file"] else ""
            if database["driver"] == "passwd-file":
                found += secrets.passwords_in(text)
            elif database["driver"] in ("sql", "ldap", "dict"):
                found += secrets.values_in(text)
    found += secrets.passwords_in(context.read("/etc/exim4/passwd.client") or "")
    return list(dict.fromkeys(found))


def _state(context, bundle) -> None:
    """What is so at this moment and gone after a restart."""
    bundle.add("processes.txt", "/proc", [_process_list(context)])
    units = [entry["unit"] for entry in services.collect(context)["units"] if entry["role"] not in ("web",)]
    for name, argv in (
            ("listeners.txt", ("ss", "-tlnp")), ("connections.txt", ("ss", "-tnH", "state", "connected")),
            ("units.txt", ("systemctl", "status", "--no-pager", "--full", "-n", "0", *units)),
            ("queue.json", ("postqueue", "-j")), ("exim-queue.txt", ("exim4", "-bp")),
            ("files.txt", ("df", "-P")), ("memory.txt", ("free", "-m"))):
        ran = context.run(*argv, timeout=10, most=min(_STATE_BYTES, bundle.room() + 1))
        if ran.missing:
            continue
        if ran.timed_out:
            bundle.leave_out(" ".join(argv[:2]), "it did not end in time; what it said until then is kept")
        text = ran.out.encode("utf-8", "surrogateescape")
        if len(ran.out) >= _STATE_BYTES:
            bundle.leave_out(ran.source, f"only its first {_STATE_BYTES} bytes")
            text = text[:text.rfind(b"\n") + 1]
        if not bundle.add(name, ran.source, [text]) and not ran.timed_out:
            bundle.leave_out(ran.source, secrets.masked_line(ran.err, 120) or "it printed nothing")
    mta, imap = postfix.settings(context), dovecot.settings(context)
    if mta:
        bundle.add("postconf.txt", "postconf -n, without secrets", [_lines(mta["settings"])])
    if imap:
        bundle.add("doveconf.txt", "doveconf -n, without secrets", [_lines(imap["set"])])


def _lines(settings: dict) -> bytes:
    return "".join(f"{clean(name, 200)} = {clean(value, 4000)}\n" for name, value in sorted(settings.items())).encode("utf-8", "surrogateescape")


def _process_list(context) -> bytes:
    """Of other software only the name: what others are started with is not ours to carry away."""
    rows = ["    PID    PPID STATE STARTED              COMMAND"]
    for pid, process in sorted(_processes.processes(context).items()):
        command = process.command if process.software else process.name
        rows.append(f"{pid:7d} {process.parent:7d} {process.state:5} {iso(_processes.started(process)) or '':20} {command}")
    return "\n".join(rows).encode("utf-8", "surrogateescape") + b"\n"


def _file(bundle, path: str, name: str, since, until, clock, look=lambda data: data) -> Reading:
    """One log file's lines of the window; ``look`` is shown them, and returns them."""
    reading = Reading(path)
    room = bundle.room()
    found = (look(block.data) for block, _stamps in blocks(path, since, until, clock.budget(room), reading))
    _log(bundle, name, reading, room, found)
    return reading


def _log(bundle, name: str, reading: Reading, room: int, found) -> None:
    """Add what is ``found`` of a log, and say what is not there and why."""
    added = room > 0 and bundle.add(name, reading.source, found)
    if not room:
        reading.fail("there was no room left")
    if reading.problem or not added:
        bundle.leave_out(reading.source, reading.problem or "nothing of it is in the window")


def _packages(bundle, since, until, clock) -> None:
    for path in _DPKG_LOGS:
        for name in rotations(path):
            _file(bundle, name, "packages/" + _short(name), since, until, clock)


def _kernel(bundle, since, until, clock) -> None:
    """Its messages and those of the system's manager, from the journal, else the kernel's own log."""
    if journal.available():
        for kind in ("kernel", "units"):
            _journal(bundle, kind, f"journal/{kind}.log", since, until, clock)
    if not any(part["name"] == "journal/kernel.log" for part in bundle.parts):
        for path in events.KERNEL_FILES:
            for name in rotations(path):
                _file(bundle, name, "logs/" + _short(name), since, until, clock)


def _journal(bundle, kind: str, name: str, since, until, clock, choose=None) -> None:
    reading = Reading(" ".join(journal.command(kind, since, until)))
    room = bundle.room()
    _log(bundle, name, reading, room, (block.data for block, _stamps in journal.blocks(kind, since, until, clock.budget(room), reading, choose)))


def _logs(context, bundle, since, until, clock) -> None:
    """The mail logs, newest first; from the journal what the files do not hold."""
    last, seen = None, set()

    def look(data: bytes) -> bytes:
        seen.update(name for name, software in events.SOFTWARE.items() if name not in seen and any(text in data for text in software.lines))
        return data
    for path, software in events.mail_files(context):
        for name in rotations(path):
            reading = _file(bundle, name, "logs/" + _short(name), since, until, clock, look)
            if reading.last is not None:
                last = reading.last if last is None else max(last, reading.last)
                seen.update([software] if software else [])
    if not journal.available():
        return
    elsewhere = events.installed() - seen
    if not seen or elsewhere:
        _journal(bundle, "mail", "journal/mail.log", since, until, clock, events.only(elsewhere) if seen else None)
    if seen and last is not None and until - last > _STOPPED_AFTER:
        # What writes the files may have stopped.
        _journal(bundle, "mail", "journal/mail-later.log", last + 1, until, clock)


def _short(path: str) -> str:
    """A name in the bundle that tells two logs of one name apart."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", re.sub(r"^/var/log/", "", path).strip("/"))
