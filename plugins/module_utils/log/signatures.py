"""The catalogue's log signatures, all matched in one pass over the blocks of a log.

A signature is ``{pattern, not, has, program, source}``:

- ``pattern``: a regular expression, searched in one line (its first 4096 bytes) including stamp and program. What its named
  groups take is counted (``(?P<user>...)``).
- ``not``: a line that this finds does not count.
- ``has``: a text, or a list of texts of which one stands in every line meant, in any case. It only helps the search:
  the scanner finds such a text in the pattern itself, and takes the better of the two. A pattern with 15 or more
  characters of fixed text costs next to nothing.
- ``quiet``: true for a signature that means the lines of ordinary traffic (see quiet.py) and whose pattern does not show it.
- ``program``: a regular expression for the program's name (``postfix/smtpd``, ``dovecot``).
- ``source``: ``mail`` (the default), ``kernel`` or ``any``.
Other keys belong to the diagnosis and are passed over.
"""
from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from itertools import accumulate
from operator import methodcaller

from ansible_collections.mailops.outage.plugins.module_utils.log import literals, quiet
from ansible_collections.mailops.outage.plugins.module_utils.log.stamps import iso
from ansible_collections.mailops.outage.plugins.module_utils.secrets import masked_line
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

SOURCES = ("mail", "kernel", "any")
# Syslog daemons keep less than this of a message; a pattern must not run away on more.
LONGEST_MATCHED = 4096
_MOST_QUEUE_IDS = 20
_MOST_VALUES = 1000
_TOP_VALUES = 10
_LONGEST_VALUE = 200
# Postfix short (hexadecimal) and long queue ids (QUEUE_ID in cleanup(8): no vowels), Exim's before and since 4.97.
_QUEUE_ID = re.compile(
    rb"\]: ([0-9A-F]{5,15}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,20}): "
    rb"|[ :]([0-9A-Za-z]{6}-(?:[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[0-9A-Za-z]{11}-[0-9A-Za-z]{4}))(?= )"
)
_CHOICE_ANYWHERE = re.compile(rb"\.\*\(\?(?:P<\w+>(?:\(\?)?)?i?:?")
# A stamp, a host (but in a file that the program writes itself), and then the program.
_HEAD = r"^(?:[A-Z][a-z]{2} [ \d]\d [\d:]{8}|\S+(?: [\d:.]{8,15})?)(?: \S+)? "


class Signature:
    """One signature, compiled. Raises ValueError that names it."""

    def __init__(self, name: str, spec):
        if not isinstance(spec, dict) or not isinstance(spec.get("pattern"), str) or not spec["pattern"]:
            raise ValueError(f"signature {clean(name, 80)}: needs a pattern")
        self.name = name
        self.source = spec.get("source") or "mail"
        if self.source not in SOURCES:
            raise ValueError(f"signature {clean(name, 80)}: source is {clean(self.source, 40)}; known are {', '.join(SOURCES)}")
        self.pattern = _compiled(name, "pattern", spec["pattern"])
        self.excluded = _compiled(name, "not", spec["not"]) if spec.get("not") else None
        self.program = _compiled(name, "program", _HEAD + rf"(?:{spec['program']})(?:\[\d+\])?: ") if spec.get("program") else None
        has = spec.get("has") or []
        has = [has] if isinstance(has, str) else has
        if not isinstance(has, (list, tuple)) or not all(isinstance(text, str) and text for text in has):
            raise ValueError(f"signature {clean(name, 80)}: has must be a text or a list of texts")
        hint = frozenset(text.encode("utf-8").lower() for text in has)
        required = literals.required(self.pattern.pattern, self.pattern.flags)
        # None: every line has to be tried.
        self.literals = max(required[:1] + [hint] * bool(hint), key=literals.worth, default=None)
        # A choice after a run of anything is tried at every place: a line that holds none of its texts is better known before.
        choices = (sorted(texts) for texts in required if len(texts) > 1 and not any(text in known for text in texts for known in self.literals))
        self._also = next(choices, []) if _CHOICE_ANYWHERE.search(self.pattern.pattern) else []
        self._search = self._search_and_test if self._also or self.excluded or self.program else self.pattern.search
        # Whether it is searched in the lines of ordinary traffic too.
        self.all_lines = bool(spec.get("quiet")) or self.literals is None or any(quiet.meant(text) for text in self.literals)

    def find(self, lines) -> list:
        """The matches in those of ``lines`` that match."""
        if max(map(len, lines), default=0) > LONGEST_MATCHED:
            lines = [line[:LONGEST_MATCHED] for line in lines]
        return list(filter(None, map(self._search, lines)))

    def search(self, line: bytes):
        """The match in one line, or None."""
        return next(iter(self.find([line])), None)

    def _search_and_test(self, line):
        if self._also:
            low = line.lower()
            if not any(text in low for text in self._also):
                return None
        found = self.pattern.search(line)
        if found is None or (self.excluded and self.excluded.search(line)) or (self.program and not self.program.search(line[:200])):
            return None
        return found


def _compiled(name, what, text):
    try:
        return re.compile(str(text).encode("utf-8"))
    except (re.error, RecursionError, OverflowError) as problem:
        raise ValueError(f"signature {clean(name, 80)}: {what}: {clean(problem, 200)}") from problem


def compile_all(signatures: dict | None) -> list:
    """The compiled signatures of a catalogue. Raises ValueError, naming the wrong one."""
    return [Signature(str(name), spec) for name, spec in (signatures or {}).items()]


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

    def add(self, matches, block, clock) -> None:
        """``matches``: of the lines of a block, in its order; ``clock``: the text's Stamps."""
        self.count += len(matches)
        start = -1
        for number, match in enumerate(matches[:2] + matches[2:][-1:]):
            line, cut = match.string, len(match.string) == LONGEST_MATCHED
            start = block.place(line, start + 1, cut) if number < 2 else block.last_place(line, cut)
            epoch = block.time_at(start, clock)
            self._sample(block, start, line, epoch)
            if epoch is not None:
                self.first = epoch if self.first is None else min(self.first, epoch)
                self.last = epoch if self.last is None else max(self.last, epoch)
        if len(self._queue_ids) < _MOST_QUEUE_IDS:
            self._add_queue_ids(matches[:_MOST_QUEUE_IDS])
        for name in matches[0].re.groupindex:
            counts = self._groups.setdefault(name, Counter())
            for value, count in Counter(map(methodcaller("group", name), matches)).items():
                if value is not None:
                    counts[value[:_LONGEST_VALUE]] += count
            if len(counts) > 2 * _MOST_VALUES:
                self._groups[name] = Counter(dict(counts.most_common(_MOST_VALUES)))

    def _add_queue_ids(self, matches):
        for match in matches:
            found = _QUEUE_ID.search(match.string)
            if found:
                self._queue_ids[found.group(1) or found.group(2)] = True
                if len(self._queue_ids) >= _MOST_QUEUE_IDS:
                    return

    def _sample(self, block, start, line, epoch):
        self._samples.append((epoch, *block.locate(start, epoch), line))
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


class Scanner:
    """Matches the signatures for one kind of source (``mail`` or ``kernel``) against blocks, and the flow of mail with them.

    ``tallies`` ({name: Tally}) may be shared by scanners, so that a signature for any source is counted once.
    """

    def __init__(self, signatures, kind: str = "mail", flow=None, tallies: dict | None = None):
        signatures = [signature for signature in signatures if signature.source in (kind, "any")]
        self._loud = [signature for signature in signatures if not signature.all_lines]
        self._all = [signature for signature in signatures if signature.all_lines]
        self._flow = flow
        self.tallies = {} if tallies is None else tallies
        wanted = {text for signature in self._loud for text in signature.literals}
        self._presence = literals.Presence(wanted | (flow.literals if flow else set()))

    def feed(self, block, clock) -> int:
        """Count one block (window.Block); ``clock``: the Stamps of its text. Returns how many lines it holds."""
        divided = quiet.Divided(block.data)
        low = divided.loud.lower()
        present = self._presence.may_hold(low)
        if self._flow:
            self._flow.feed(block, divided, low, present, clock)
        loud = _Lines(divided.loud, low)
        for signature in self._loud:
            wanted = present & signature.literals
            if wanted:
                self._add(signature, loud, wanted, block, clock)
        if self._all:
            lines = _Lines(block.data, block.data.lower())
            for signature in self._all:
                self._add(signature, lines, signature.literals, block, clock)
        return divided.lines

    def _add(self, signature, lines, texts, block, clock):
        candidates = lines.holding(texts) if texts else lines.lines
        matches = signature.find(candidates)
        if matches:
            self.tallies.setdefault(signature.name, Tally()).add(matches, block, clock)


class _Lines:
    """The lines of a text, and which of them hold a text, looked for once for all signatures."""

    def __init__(self, data: bytes, low: bytes):
        self._data, self._low = data, low
        self._found: dict = {}
        self._lines: list = []
        self._ends: list = []

    @property
    def lines(self) -> list:
        if not self._lines:
            # What follows the last newline is no line.
            self._lines = self._data.split(b"\n")[:-1]
        return self._lines

    def _line_ends(self):
        self._ends = list(accumulate(len(line) + 1 for line in self.lines))
        return self._ends

    def holding(self, texts) -> list:
        """The lines that hold one of ``texts`` (lower case), in order."""
        numbers = [self._numbers(text) for text in texts]
        numbers = numbers[0] if len(numbers) == 1 else sorted(set().union(*numbers))
        return [self._lines[number] for number in numbers]

    def _numbers(self, text):
        """The numbers of the lines that hold a text."""
        if text not in self._found:
            self._found[text] = numbers = []
            at = 0
            for before in self._low.split(text)[:-1]:
                at += len(before)
                number = bisect_right(self._ends or self._line_ends(), at)
                if not numbers or numbers[-1] != number:
                    numbers.append(number)
                at += len(text)
        return self._found[text]
