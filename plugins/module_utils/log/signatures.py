r"""The catalogue's log signatures, matched by program, in one pass over the blocks of a log.

A signature is ``{program, pattern, answer, where, source, remote}``:

- ``program``: a regular expression for the whole of the name by which the program logs: ``.+/smtpd`` (Postfix, whatever its syslog_name),
  ``dovecot``, ``exim4?`` (also the log that Exim writes itself), ``kernel``, ``systemd``.
- ``pattern``: a regular expression that begins with ``^``, for what the program says: behind ``program[pid]: `` and a queue id (lines.py;
  a delivery begins at ``status=``), without anything that a stranger wrote (strangers.py says what is left in its place). What its named
  groups take is counted; a group around a mark takes what stood there: ``<(?P<user>)>``. Of what a group ``user`` takes only what stands
  before a comma counts, of ``domain`` only what stands behind the last ``@``.
- ``answer``: a regular expression that begins with ``^``, for the answer of another server that the message quotes (``said: ``). It must match
  the answer without what stands in angle brackets (``<(?P<user>[^<>]*)>``).
- ``where``: ``{group: regular expression}``: what a group, or ``queue_id``, must be as a whole.
- ``source``: ``mail`` (the default), ``kernel`` or ``any``.
- ``remote``: true where the line tells what a peer did or said. It may name a cause; it is never a reason to change anything.
Other keys belong to the diagnosis and are passed over.

How far a match can be trusted (JOURNAL, FILE, REMOTE): ``journal``: the system's journal vouches for who wrote the lines (_UID, _TRANSPORT);
``file``: whoever may write to syslog may have written them; ``remote``: a peer made them.
"""
from __future__ import annotations

import re
from collections import Counter

from ansible_collections.mailops.outage.plugins.module_utils.log import quiet, strangers
from ansible_collections.mailops.outage.plugins.module_utils.log.lines import parts
from ansible_collections.mailops.outage.plugins.module_utils.log.stamps import iso
from ansible_collections.mailops.outage.plugins.module_utils.secrets import masked_line
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

SOURCES = ("mail", "kernel", "any")
# What the host needs of a signature.
SIGNATURE_KEYS = ("program", "pattern", "answer", "where", "source", "remote")
JOURNAL, FILE, REMOTE = "journal", "file", "remote"
# Syslog daemons keep less than this of a message; a pattern must not run away on more.
LONGEST_MATCHED = 4096
_MOST_QUEUE_IDS = 20
_MOST_VALUES = 1000
_TOP_VALUES = 10
_LONGEST_VALUE = 200
_MOST_SHAPES = 5000
_MOST_PROGRAMS = 500
_GROUP_NAME = re.compile(rb"\(\?P<\w+>")
_VALUES = {"user": lambda value: value.partition(b",")[0], "domain": lambda value: value.rpartition(b"@")[2]}


class Signature:
    """One signature, compiled. Raises ValueError that names it."""

    def __init__(self, name: str, spec):
        self.name = name
        if not isinstance(spec, dict) or not isinstance(spec.get("pattern"), str) or not spec["pattern"]:
            raise self._wrong("needs a pattern")
        self.source = spec.get("source") or "mail"
        if self.source not in SOURCES:
            raise self._wrong(f"source is {clean(self.source, 40)}; known are {', '.join(SOURCES)}")
        if not isinstance(spec.get("program"), str) or not spec["program"]:
            raise self._wrong("needs a program: a regular expression for the name by which it logs, as '.+/smtpd', dovecot, 'exim4?' or kernel")
        self.program = self._compiled("program", spec["program"])
        self.pattern = self._anchored("pattern", spec["pattern"])
        self.answer = self._anchored("answer", spec["answer"]) if spec.get("answer") else None
        where = spec.get("where") or {}
        if not isinstance(where, dict):
            raise self._wrong("where must be a mapping of groups to regular expressions")
        self.where = {str(group): self._compiled("where", pattern) for group, pattern in where.items()}
        self.remote = bool(spec.get("remote"))
        self._answers: dict = {}

    def answered(self, answers) -> list:
        """The numbers of those of ``answers`` that are meant: without the addresses in them, as those say nothing."""
        found = []
        for number, shape in enumerate(strangers.shapes("other", answers)):
            meant = self._answers.get(shape)
            if meant is None:
                if len(self._answers) >= _MOST_SHAPES:
                    self._answers.clear()
                meant = self._answers[shape] = self.answer.match(shape) is not None
            if meant:
                found.append(number)
        return found

    def _wrong(self, problem):
        return ValueError(f"signature {clean(self.name, 80)}: {problem}")

    def _compiled(self, what, text):
        try:
            return re.compile(str(text).encode("utf-8"))
        except (re.error, RecursionError, OverflowError) as problem:
            raise self._wrong(f"{what}: {clean(problem, 200)}") from problem

    def _anchored(self, what, text):
        if not text.startswith("^") or _is_choice(text):
            raise self._wrong(f"{what} must begin with ^, and all of it must: write '^(?:one|other)'; it is matched with what the program says, "
                              "behind program, pid and queue id")
        return self._compiled(what, text)


def _is_choice(text):
    """Whether a regular expression is a choice as a whole, of which ^ would bind the first alternative only."""
    depth = 0
    for sign in re.sub(r"\\.|\[\^?\]?[^\]]*\]", "", text):
        depth += (sign == "(") - (sign == ")")
        if sign == "|" and depth == 0:
            return True
    return False


def compile_all(signatures: dict | None) -> list:
    """The signatures of a catalogue. Raises ValueError, naming the wrong one."""
    return [Signature(str(name), spec) for name, spec in (signatures or {}).items()]


class _Shape:
    """What a shape means: the signatures that it matches, and how their groups are read from messages of that shape."""

    def __init__(self, shape: bytes, matches: list):
        places = strangers.places(shape)
        spans = [(signature, {name: found.span(name) for name in found.re.groupindex if found.group(name) is not None}) for signature, found in matches]
        wanted = sorted({place for _signature, groups in spans for begin, end in groups.values() for place in places if begin <= place <= end})
        self._reader = strangers.reader(shape, wanted) if wanted else None
        self.hits = [(signature, {name: _plan(shape, span, wanted) for name, span in groups.items()}) for signature, groups in spans]

    def read(self, rows) -> list:
        """For each of ``rows`` what stood at the places that groups are about."""
        if self._reader is None:
            return [()] * len(rows)
        nothing = (b"",) * self._reader.groups
        return [found.groups() if found else nothing for found in map(self._reader.match, [row[3] for row in rows])]


def _plan(shape, span, wanted):
    """Of what a group's value is put together: text of the shape, and numbers of wanted places."""
    begin, end = span
    pieces = []
    for number, place in enumerate(wanted):
        if begin <= place <= end:
            pieces += [shape[begin:place], number]
            begin = place
    return [piece for piece in [*pieces, shape[begin:end]] if piece != b""]


def _values(plan, stood):
    """The values of a group in all rows, from what stood at the places in each."""
    if not any(isinstance(piece, int) for piece in plan):
        return [b"".join(plan)] * len(stood)
    if len(plan) == 1:
        return [each[plan[0]] for each in stood]
    return [b"".join(each[piece] if isinstance(piece, int) else piece for piece in plan) for each in stood]


def _meant(signature, plans, rows, stood) -> tuple:
    """``(rows, {group: Counter})``: those of ``rows`` (lines.parts) that a signature means, and what its groups took."""
    groups = {name: _values(plan, stood) for name, plan in plans.items()}
    if not (signature.answer or signature.where):
        return rows, {name: _counted(name, values) for name, values in groups.items()}
    kept: list = []
    taken: dict = {}
    answers = [strangers.answer(row[3]) for row in rows] if signature.answer else None
    for number in signature.answered(answers) if answers else range(len(rows)):
        row = rows[number]
        found = {name: _value(name, values[number]) for name, values in groups.items()}
        answer = signature.answer.match(answers[number]) if answers and signature.answer.groupindex else None
        if answer:
            found.update((name, _value(name, value)) for name, value in answer.groupdict().items() if value is not None)
        if all(pattern.fullmatch(row[2] if name == "queue_id" else found.get(name, b"")) for name, pattern in signature.where.items()):
            kept.append(row)
            for name, value in found.items():
                taken.setdefault(name, []).append(value)
    return kept, {name: Counter(values) for name, values in taken.items()}


def _counted(name, values):
    counted: Counter = Counter()
    for value, count in Counter(values).items():
        counted[_value(name, value)] += count
    return counted


def _value(name, value):
    short = _VALUES.get(name.rpartition("_")[2])
    return (short(value) if short else value)[:_LONGEST_VALUE]


def _by_time(sample):
    return float("inf") if sample[0] is None else sample[0]


class Tally:
    """What one signature found: bounded, whatever the log holds."""

    def __init__(self):
        self.count = 0
        self.first: float | None = None
        self.last: float | None = None
        self._queue_ids: dict = {}
        self._samples: list = []
        self._groups: dict = {}

    def add(self, rows, groups, block, clock, places) -> None:
        """``rows``: of the lines of a block, in its order; ``groups``: what its groups took, counted; ``clock``: the text's Stamps;
        ``places``: where lines of this block were found before."""
        self.count += len(rows)
        start = -1
        shown = rows[:2] + rows[2:][-1:]
        for number, row in enumerate(shown, 1):
            line = row[0]
            epoch = clock.read(line)
            if epoch is not None:
                self.first = epoch if self.first is None else min(self.first, epoch)
                self.last = epoch if self.last is None else max(self.last, epoch)
            # With enough of the beginning only the end may still be shown.
            if number < len(shown) and len(self._samples) > 2 and (epoch is None or epoch >= _by_time(self._samples[1])):
                continue
            if number < 3:
                start = block.place(line, start + 1)
            else:
                start = places[line] = places[line] if line in places else block.last_place(line)
            self._sample((epoch, *block.locate(start, epoch), line[:LONGEST_MATCHED]))
        for row in rows[:_MOST_QUEUE_IDS]:
            if row[2] and len(self._queue_ids) < _MOST_QUEUE_IDS:
                self._queue_ids[row[2]] = True
        for name, values in groups.items():
            self._count(name, values)

    def merged(self, other):
        """This tally with what another of the same signature found in other lines."""
        if other is None:
            return self
        self.count += other.count
        for moment in (other.first, other.last):
            if moment is not None:
                self.first = moment if self.first is None else min(self.first, moment)
                self.last = moment if self.last is None else max(self.last, moment)
        for sample in other._samples:
            self._sample(sample)
        self._queue_ids = dict.fromkeys([*self._queue_ids, *other._queue_ids][:_MOST_QUEUE_IDS], True)
        for name, values in other._groups.items():
            self._count(name, values)
        return self

    def _count(self, name, values):
        counts = self._groups.setdefault(name, Counter())
        counts.update(values)
        if len(counts) > 2 * _MOST_VALUES:
            self._groups[name] = Counter(dict(counts.most_common(_MOST_VALUES)))

    def _sample(self, sample):
        self._samples.append(sample)
        if len(self._samples) > 3:
            # The beginning says most (Postfix DEBUG_README); the end says whether it still goes on.
            self._samples.sort(key=_by_time)
            self._samples[2:-1] = []

    def result(self) -> dict:
        """``{count, first, first_epoch, last, last_epoch, queue_ids, samples, groups: {name: {value: count}}}``."""
        groups: dict = {}
        for name, counts in self._groups.items():
            shown: Counter = Counter()
            for value, count in counts.most_common(_TOP_VALUES):
                shown[clean(value, _LONGEST_VALUE)] += count
            groups[name] = dict(shown)
        return {
            "count": self.count,
            "first": iso(self.first), "first_epoch": self.first,
            "last": iso(self.last), "last_epoch": self.last,
            "queue_ids": [queue_id.decode("ascii") for queue_id in self._queue_ids],
            "samples": [{"time": iso(epoch), "source": clean(source), "line": where, "text": masked_line(line)}
                        for epoch, source, where, line in sorted(self._samples, key=_by_time)],
            "groups": groups,
        }


class _Program:
    """What is known of a program's messages: its signatures, and what each shape seen so far means."""

    def __init__(self, name: bytes, signatures):
        self.family = strangers.family(name)
        self._signatures = [signature for signature in signatures if signature.program.fullmatch(name)]
        # One try for all tells most shapes that mean nothing.
        every = b"|".join(b"(?:%s)" % _GROUP_NAME.sub(b"(?:", signature.pattern.pattern[1:]) for signature in self._signatures)
        self._any = re.compile(b"^(?:" + every + b")") if self._signatures else None
        self._known: dict = {}

    def wanted(self, flow) -> bool:
        return bool(self._signatures) or (flow is not None and self.family in flow.families)

    def shape(self, shape: bytes):
        """What a shape means (_Shape), or None."""
        known = self._known.get(shape, self)
        if known is self:
            if len(self._known) >= _MOST_SHAPES:
                self._known.clear()
            matches = list(self._matches(shape))
            known = self._known[shape] = _Shape(shape, matches) if matches else None
        return known

    def _matches(self, shape):
        if self._any and self._any.match(shape):
            for signature in self._signatures:
                found = signature.pattern.match(shape)
                if found:
                    yield signature, found


class Scanner:
    """Matches the signatures for one kind of source (``mail`` or ``kernel``) against blocks, and the flow of mail with them.

    ``tallies`` ({name: Tally}) may be shared by scanners, so that a signature for any source is counted once.
    """

    def __init__(self, signatures, kind: str = "mail", flow=None, tallies: dict | None = None):
        self._signatures = [signature for signature in signatures if signature.source in (kind, "any")]
        self.flow = flow
        self._programs: dict = {}
        self.tallies = {} if tallies is None else tallies

    def feed(self, block, clock, own: bytes = b"") -> int:
        """Count one block (window.Block); ``clock``: the Stamps of its text; ``own``: who writes the file itself (lines.parts).
        Returns how many lines it holds."""
        divided = quiet.Divided(block.data)
        if self.flow:
            self.flow.quiet(divided, block, clock)
        places: dict = {}
        by_program: dict = {}
        for row in parts(b"\n" + b"\n".join(divided.loud), own):
            by_program.setdefault(row[1], []).append(row)
        for name, rows in by_program.items():
            program = self._program(name)
            if not program.wanted(self.flow):
                continue
            by_shape: dict = {}
            for shape, row in zip(strangers.shapes(program.family, [row[3][:LONGEST_MATCHED] for row in rows]), rows):
                by_shape.setdefault(shape, []).append(row)
            for shape, alike in by_shape.items():
                if self.flow:
                    self.flow.loud(program.family, shape, alike, clock)
                known = program.shape(shape)
                if known is None:
                    continue
                stood = known.read(alike)
                for signature, plans in known.hits:
                    meant, groups = _meant(signature, plans, alike, stood)
                    if meant:
                        self.tallies.setdefault(signature.name, Tally()).add(meant, groups, block, clock, places)
        return divided.lines

    def _program(self, name):
        known = self._programs.get(name)
        if known is None:
            if len(self._programs) >= _MOST_PROGRAMS:
                self._programs.clear()
            known = self._programs[name] = _Program(name, self._signatures)
        return known
