"""What the logs of the window say: the catalogue's signatures, and how much mail flowed.

Sources: the mail software's log files with their rotations; the journal for software that has no line in them, and for what
came after their last line; and from the journal in any case what the kernel and the system's manager said. A line that
stands in a file and in the journal is counted once, as the file's.

Into a file anybody on the host may write, through syslog. So where signatures match lines of files, the journal is asked for the
same: it knows who wrote (journal.py). What it confirms is trusted; what it would hold and does not is dropped and counted as
``untrusted``; where it cannot tell, the match says ``trust: file``, and the diagnosis builds less on it.
"""
from __future__ import annotations

import os
import re
import shutil

from ansible_collections.mailops.outage.plugins.module_utils.host import _processes, dovecot, postfix
from ansible_collections.mailops.outage.plugins.module_utils.host._when import iso, window
from ansible_collections.mailops.outage.plugins.module_utils.log import journal
from ansible_collections.mailops.outage.plugins.module_utils.log.flow import Flow
from ansible_collections.mailops.outage.plugins.module_utils.log.signatures import FILE, JOURNAL, REMOTE, Scanner, compile_all
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
_JOURNAL_BYTES, _JOURNAL_SECONDS, _CONFIRM_SECONDS = 256 * 1024 ** 2, 8.0, 4.0
# Of these a file may hold what they say and nothing in front of it.
_WRITE_THEIR_OWN = ("dovecot", "exim")
# A file that ends this many seconds before other lines of its software no longer gets them.
_STOPPED_AFTER = 60.0
# Mail software that says nothing for less than this is only idle.
_SILENCE_SECONDS = 300.0
# Of the files' lines the journal must hold this share to be taken for whole; stamps of one line differ by this many seconds.
_WHOLE, _JITTER = 0.9, 2.0
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


class _Told:
    """What the journal told about the lines of files."""

    def __init__(self, scanner, reading, files):
        self.tallies, self.flow = scanner.tallies, scanner.flow
        self._first = reading.first
        # A daemon in a chroot may log through a socket that the journal does not serve; then its silence says nothing.
        self._whole = reading.lines >= _WHOLE * sum(each.lines for each in files)
        self.from_the_beginning = self._whole and all(each.first is None or self._first <= each.first + _STOPPED_AFTER for each in files)

    def denies(self, tally) -> bool:
        """Whether the journal would hold the lines of this tally of files, had mail software written them."""
        return self._whole and tally.first is not None and self._first <= tally.first + _JITTER


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
        own = software.encode() if software in _WRITE_THEIR_OWN else b""
        for name in rotations(path):
            reading = Reading(name)
            for block, clock in blocks(name, self._since, self._until, budget, reading):
                reading.lines += scanner.feed(block, clock, own)
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

    def confirm(self, signatures, files) -> _Told | None:
        """What mail software's own accounts wrote in the window, as the journal knows it; None when it could not be read. ``files``: the
        readings whose lines are in question."""
        scanner, reading = Scanner(signatures, "mail", Flow()), Reading("journal")
        for block, clock in journal.blocks("mail", self._since, self._until, Budget(_JOURNAL_BYTES, _CONFIRM_SECONDS), reading):
            reading.lines += scanner.feed(block, clock)
        return _Told(scanner, reading, files) if reading.complete and reading.first is not None else None

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
    # The tallies of files, and those of what the journal vouches for.
    mail = Scanner(signatures, "mail", Flow())
    units = Scanner(signatures, "mail", mail.flow)
    kernel = Scanner(signatures, "kernel", tallies=units.tallies)
    look = _Look(context, since, until)

    budget = Budget(_BYTES, _SECONDS)
    files = mail_files(context)
    readings = [reading for path, software in files for reading in look.file(mail, path, budget, software)]
    stopped: list = []
    kernel_lines = 0
    flow, told = mail.flow, None
    if journal.available():
        file_last = _last(readings)
        if mail.tallies:
            told = look.confirm([signature for signature in signatures if signature.name in mail.tallies], readings)
            flow = told.flow if told and told.from_the_beginning else flow
        readings += _journal_mail(look, units, file_last, until)
        stopped = _stopped(readings, file_last)
        # A system's general log has them already.
        general = file_last is not None and any(path in SYSTEM_FILES for path, _software in files)
        look.journal(Scanner(signatures, "mail", tallies=units.tallies), "units", since=file_last + 1 if general else None)
        kernel_lines = look.journal(kernel, "kernel").lines
    if not kernel_lines:
        # The kernel's own log is root's and nobody else's, but for what syslog lets pass as the kernel's.
        kernel_file = Scanner(signatures, "kernel", tallies=mail.tallies)
        for path in KERNEL_FILES:
            look.file(kernel_file, path, budget)
    matches, untrusted = _trusted(signatures, mail.tallies, units.tallies, told)
    lines = sum(reading.lines for reading in readings)
    looked = any(reading.complete for reading in readings)
    return {
        "sources": [_source(reading) for reading in look.readings],
        "window": {"since": iso(since), "since_epoch": since, "until": iso(until), "until_epoch": until},
        "matches": matches,
        "untrusted": untrusted,
        "flow": flow.result(_last(readings)),
        "stopped": stopped,
        "silent": until - since >= _SILENCE_SECONDS and looked and not lines
        and any(process.software in SOFTWARE for process in _processes.mail_processes(context)),
    }


def _trusted(signatures, files: dict, vouched: dict, told) -> tuple:
    """``({name: match}, {name: how many lines were dropped})``; each match says how far it can be trusted (log/signatures.py).

    ``files``, ``vouched``: the tallies of files, and of the journal's lines that no file holds; ``told``: the _Told of the files' lines.
    """
    remote = {signature.name for signature in signatures if signature.remote}
    matches, untrusted = {}, {}
    for name in sorted({*files, *vouched}):
        written, also = files.get(name), vouched.get(name)
        genuine = told.tallies.get(name) if told else None
        if written is None:
            tally, trust = also, JOURNAL
        elif genuine is not None and (also or genuine.count < written.count):
            tally, trust = genuine, JOURNAL
        elif genuine is not None:
            # The same lines: the file's can be found again by their place.
            tally, trust = written, JOURNAL
        elif told and told.denies(written):
            tally, trust = also, JOURNAL
            untrusted[name] = written.count
        else:
            tally, trust = written.merged(also), FILE
        if tally is not None:
            matches[name] = dict(tally.result(), trust=REMOTE if name in remote else trust)
    return matches, untrusted


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
    found = {path: "exim" if "/exim" in path else None for path in MAIL_FILES if os.path.isfile(path)}
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
