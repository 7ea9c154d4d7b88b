"""What the logs of the window say: the catalogue's signatures, and how much mail flowed.

Sources: the mail software's log files with their rotations; the journal for software that has no line in them, and for what
came after their last line; and from the journal in any case what the kernel and the system's manager said. A line that
stands in a file and in the journal is counted once, as the file's.
"""
from __future__ import annotations

import os
import re
import shutil

from ansible_collections.mailops.outage.plugins.module_utils.host import _processes, dovecot, postfix
from ansible_collections.mailops.outage.plugins.module_utils.host._when import iso, window
from ansible_collections.mailops.outage.plugins.module_utils.log import journal
from ansible_collections.mailops.outage.plugins.module_utils.log.flow import Flow
from ansible_collections.mailops.outage.plugins.module_utils.log.signatures import Scanner, compile_all
from ansible_collections.mailops.outage.plugins.module_utils.log.window import Budget, Reading, blocks, rotations
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

# mail.err, mail.warn and mail.info repeat lines of these.
MAIL_FILES = (
    "/var/log/mail.log", "/var/log/maillog", "/var/log/mail/mail.log", "/var/log/mail",
    "/var/log/exim4/mainlog", "/var/log/exim4/paniclog", "/var/log/exim/main.log", "/var/log/exim/panic.log",
)
# Where mail is logged with everything else; read only when there is none of the above.
SYSTEM_FILES = ("/var/log/syslog", "/var/log/messages")
KERNEL_FILES = ("/var/log/kern.log",)
_BYTES, _SECONDS = 1024 ** 3, 15.0
_JOURNAL_BYTES, _JOURNAL_SECONDS = 256 * 1024 ** 2, 8.0
# A file that ends this many seconds before other lines of its software no longer gets them.
_STOPPED_AFTER = 60.0
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"


class _Software:
    """Mail software: the ``commands`` that show it is installed, what shows its lines in a file, and its programs' names in the journal."""

    def __init__(self, commands, lines, programs):
        self.commands, self.lines, self.programs = commands, lines, programs


SOFTWARE = {
    "postfix": _Software(("postfix",), (b" postfix/", b" postfix-"), rb"postfix\b"),
    "dovecot": _Software(("dovecot",), (b" dovecot: ", b" dovecot["), rb"dovecot\b"),
    "exim": _Software(("exim4", "exim"), (b" exim[", b" exim4[", b" <= ", b" Completed\n"), rb"exim4?\b"),
}


def installed() -> set:
    return {name for name, software in SOFTWARE.items() if any(shutil.which(command, path=_PATH) for command in software.commands)}


class _Look:
    """The reading of all sources of one window; ``seen``: the software whose lines stood in the files."""

    def __init__(self, context, since: float, until: float):
        self._context, self._since, self._until = context, since, until
        self.readings: list = []
        self.seen: set = set()
        self._journal_budget = Budget(_JOURNAL_BYTES, _JOURNAL_SECONDS)

    def file(self, scanner, path: str, budget: Budget, software: str | None = None) -> list:
        """Read a log and its rotations, newest first. ``software``: whose file it is, where that is known."""
        readings = []
        for name in rotations(path):
            reading = Reading(name)
            for block, clock in blocks(name, self._since, self._until, budget, reading):
                reading.lines += scanner.feed(block, clock)
                self.seen.update(each for each in SOFTWARE if each not in self.seen and any(text in block.data for text in SOFTWARE[each].lines))
            if reading.lines and software:
                self.seen.add(software)
            if reading.lines or reading.problem or name == path:
                readings.append(reading)
            if reading.problem:
                self._context.cannot_see(name, reading.problem)
            if reading.ordered is False:
                self._context.cannot_see(name, "the stamps go back in time: lines of the window may have been missed")
        self.readings += readings
        return readings

    def journal(self, scanner, kind: str, since: float | None = None, choose=None) -> Reading:
        """Read the journal's lines of one kind, from ``since`` if told."""
        since = self._since if since is None else since
        reading = Reading(" ".join(journal.command(kind, since, self._until)))
        for block, clock in journal.blocks(kind, since, self._until, self._journal_budget, reading, choose):
            reading.lines += scanner.feed(block, clock)
        if reading.problem:
            self._context.cannot_see("journal", reading.problem)
        if reading.lines or reading.problem:
            self.readings.append(reading)
        return reading


def collect(context) -> dict:
    """The events of the window (see the module's documentation). Raises ValueError for a wrong signature, naming it."""
    since, until = window(context)
    signatures = compile_all(context.options.get("signatures"))
    flow = Flow()
    mail = Scanner(signatures, "mail", flow)
    units, kernel = (Scanner(signatures, kind, tallies=mail.tallies) for kind in ("mail", "kernel"))
    look = _Look(context, since, until)

    budget = Budget(_BYTES, _SECONDS)
    files = mail_files(context)
    readings = [reading for path, software in files for reading in look.file(mail, path, budget, software)]
    stopped: list = []
    kernel_lines = 0
    if journal.available():
        file_last = _last(readings)
        readings += _journal_mail(look, mail, file_last, until)
        stopped = _stopped(readings, file_last)
        # A system's general log has them already.
        general = file_last is not None and any(path in SYSTEM_FILES for path, _software in files)
        look.journal(units, "units", since=file_last + 1 if general else None)
        kernel_lines = look.journal(kernel, "kernel").lines
    if not kernel_lines:
        for path in KERNEL_FILES:
            look.file(kernel, path, budget)
    lines = sum(reading.lines for reading in readings)
    looked = any(reading.complete for reading in readings)
    return {
        "sources": [_source(reading) for reading in look.readings],
        "window": {"since": iso(since), "since_epoch": since, "until": iso(until), "until_epoch": until},
        "matches": {name: tally.result() for name, tally in sorted(mail.tallies.items())},
        "flow": flow.result(_last(readings)),
        "stopped": stopped,
        "silent": looked and not lines and any(process.software in SOFTWARE for process in _processes.mail_processes(context)),
    }


def mail_files(context) -> list:
    """``[(path, software or None)]`` of the logs to read: those asked for, else those that are usual or configured."""
    asked = context.options.get("log_files")
    if asked:
        for path in asked:
            if not rotations(path):
                context.cannot_see(path, "no such file")
        return [(path, None) for path in asked]
    settings = [("dovecot", path) for path in _settings(dovecot, context).get("log", {}).values()]
    settings.append(("postfix", _settings(postfix, context).get("expanded", {}).get("maillog_file")))
    found = {path: None for path in MAIL_FILES if os.path.isfile(path)}
    if not found:
        found = {path: None for path in SYSTEM_FILES if os.path.isfile(path)}
    for software, path in settings:
        if isinstance(path, str) and path.startswith("/") and not path.startswith("/dev/"):
            found[os.path.normpath(path)] = software
    real: dict = {}
    for path, software in found.items():
        real.setdefault(os.path.realpath(path), (path, software))
    return list(real.values())


def _settings(software, context):
    try:
        return software.settings(context) or {}
    except Exception as problem:  # pylint: disable=broad-except
        # Where the logs are by custom is still looked at.
        context.cannot_see("log settings", clean(problem, 200))
        return {}


def _journal_mail(look, scanner, file_last, until) -> list:
    """Read from the journal what mail software said that the files do not hold."""
    readings = []
    elsewhere = (installed() or set(SOFTWARE)) - look.seen
    if elsewhere:
        choose = only(elsewhere) if look.seen else None
        readings.append(look.journal(scanner, "mail", choose=choose))
    if look.seen and file_last is not None and until - file_last > _STOPPED_AFTER:
        # The stamp in the file may lack its fraction.
        readings.append(look.journal(scanner, "mail", since=file_last + 1, choose=_without(elsewhere) if elsewhere else None))
    return readings


def _programs(names):
    return rb"(?m)^\S+ \S+ (?:" + b"|".join(SOFTWARE[name].programs for name in sorted(names)) + rb")[^\n]*\n"


def only(names):
    pattern = re.compile(_programs(names))
    return lambda data: b"".join(pattern.findall(data))


def _without(names):
    pattern = re.compile(_programs(names))
    return lambda data: pattern.sub(b"", data)


def _last(readings):
    return max((reading.last for reading in readings if reading.last is not None), default=None)


def _stopped(readings, file_last) -> list:
    """Files whose end the journal has outrun: what writes them (rsyslog) no longer does."""
    last = _last(readings)
    if file_last is None or last is None or last - file_last <= _STOPPED_AFTER:
        return []
    return [{"source": reading.source, "last": iso(reading.last), "last_epoch": reading.last, "newer": iso(last), "newer_epoch": last,
             "text": f"ends at {iso(reading.last)}, while the journal has lines until {iso(last)}"}
            for reading in readings if reading.last == file_last]


def _source(reading) -> dict:
    return {
        "source": clean(reading.source), "first": iso(reading.first), "first_epoch": reading.first, "last": iso(reading.last), "last_epoch": reading.last,
        "lines": reading.lines, "bytes": reading.bytes, "complete": reading.complete, "ordered": reading.ordered, "problem": clean(reading.problem, 200),
    }
