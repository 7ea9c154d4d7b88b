"""The lines of a log file that were written in a window of time, found without reading the rest.

The beginning and the end of the window are looked for by bisection over byte offsets, so the cost grows with the
window and hardly with the file. A few dozen marks (a line's offset and time) over the whole file show first whether
the stamps rise; where the clock jumped, or lines are mixed, the uncertain stretches are read too, every line is
tested by its own stamp, and the reading says ``ordered: false``.

A line is named by the byte it starts at, counted from 1: ``@12345`` is what ``tail -c +12345 FILE | head -n 1``
shows (for a compressed file: ``zcat FILE | tail -c +12345 | head -n 1``, ``xzcat``, ``bzcat``, ``zstdcat``).

Memory is bounded: blocks of about two mebibytes; of a line longer than 64 KiB the rest is passed over.
"""
from __future__ import annotations

import glob
import gzip
import os
import re
import stat
import time
import zlib
from dataclasses import dataclass

from ansible_collections.mailops.outage.plugins.module_utils.log.stamps import DAY, HOUR, LONGEST_STAMP, STAMPED_LINE, Stamps, ambiguous

# A Python built without their libraries lacks the first two; the third came with Python 3.14.
try:
    import bz2
except ImportError:
    bz2 = None
try:
    import lzma
except ImportError:
    lzma = None
try:
    from compression import zstd
except ImportError:
    zstd = None

CHUNK = 2 * 1024 * 1024
LONGEST_LINE = 64 * 1024
# Stretches no longer than this are read rather than bisected further.
_LEAF = 64 * 1024
_MARKS = 32
_MOST_PROBES = 2000
_PROBE_READS = (8 * 1024, 256 * 1024)
# Stamps of several writers differ by this much (seconds) without anything being wrong.
_JITTER = 2.0
_UNSTAMPED_TAIL = 1024 * 1024
# Of a longer stretch in which no stamp is found only this much is read at either end.
_STAMPLESS_END = 1024 * 1024
_MOST_FILES = 60
_TIMELESS_LINES = 20
_SURELY_TESTED = 256 * 1024
_COMPRESSED = {".gz": gzip, ".bz2": bz2, ".xz": lzma, ".lzma": lzma, ".zst": zstd}
_BROKEN = (OSError, EOFError, zlib.error) + ((lzma.LZMAError,) if lzma else ()) + ((zstd.ZstdError,) if zstd else ())
_ROTATED = r"(?:\.\d{1,4}|[-.]\d{8}(?:[-_.T]?\d{1,10})?)(?:\.(?:gz|bz2|xz|lzma|zst))?"


@dataclass
class Block:
    """Whole lines, each ended by a newline; ``offset``: where the first starts in ``source``, counted from 0."""

    data: bytes
    offset: int | None
    source: str

    def time_at(self, start: int, clock: Stamps) -> float | None:
        """When the line at ``start`` was written: its own stamp, or that of a line shortly before which it continues."""
        for _attempt in range(_TIMELESS_LINES):
            epoch = clock.read(self.data, start)
            if epoch is not None or start == 0:
                return epoch
            start = self.data.rfind(b"\n", 0, start - 1) + 1
        return None

    def place(self, line: bytes, start: int = 0) -> int:
        """Where ``line`` starts, at ``start`` or after it. It has to be there."""
        if start == 0 and self.data.startswith(line + b"\n"):
            return 0
        return self.data.find(b"\n" + line + b"\n", max(0, start - 1)) + 1

    def last_place(self, line: bytes) -> int:
        """Where ``line`` starts for the last time."""
        return self.data.rfind(b"\n" + line + b"\n") + 1

    def locate(self, start: int, _epoch: float | None) -> tuple:
        """``(source, line)`` by which a person finds the line at ``start`` again."""
        return self.source, f"@{self.offset + start + 1}"


@dataclass
class Reading:
    """What was read of one source. ``lines`` is left to who looks at them; ``ordered`` is None when no line has a stamp;
    ``problem`` says why it is not ``complete``."""

    source: str
    first: float | None = None
    last: float | None = None
    lines: int = 0
    bytes: int = 0
    complete: bool = True
    ordered: bool | None = True
    problem: str = ""

    def fail(self, problem: str) -> None:
        self.complete = False
        self.problem = self.problem or problem

    def note(self, block: Block, clock: Stamps) -> None:
        """Widen ``first`` and ``last`` by a block that is handed on."""
        for epoch in (first_time(block.data, clock), last_time(block.data, clock)):
            if epoch is not None:
                self.first = epoch if self.first is None else min(self.first, epoch)
                self.last = epoch if self.last is None else max(self.last, epoch)


class Budget:
    """How much may still be read: ``size`` bytes, and no longer than ``seconds`` from now. Shared by all sources of a look."""

    def __init__(self, size: int, seconds: float):
        self.left = size
        self._until = time.monotonic() + seconds

    def late(self) -> bool:
        return time.monotonic() > self._until

    def seconds(self) -> float:
        return max(0.0, self._until - time.monotonic())


def rotations(path: str) -> list:
    """``path`` and its rotated files, newest first by their last change: ``.1``, ``.2.gz``, ``-20261123``, ``-20261123.xz``,
    and ``mail-20261123.log`` of logrotate's ``extension``. Two names of one file count once."""
    stem, extension = os.path.splitext(path)
    pattern = re.compile(re.escape(path) + f"(?:{_ROTATED})?" + "|" + re.escape(stem) + _ROTATED + re.escape(extension) + r"(?:\.(?:gz|bz2|xz|lzma|zst))?")
    found = {}
    for name in [path] + sorted(glob.glob(glob.escape(stem) + "*")):
        if not pattern.fullmatch(name):
            continue
        try:
            status = os.stat(name)
        except OSError:
            # The base itself is named, so that the reader can say why it could not be read.
            if name == path and os.path.lexists(path):
                found[name] = (float("inf"), name)
            continue
        found.setdefault((status.st_dev, status.st_ino), (status.st_mtime, name))
    return [name for _mtime, name in sorted(found.values(), reverse=True)][:_MOST_FILES]


def blocks(path: str, since: float, until: float, budget: Budget, reading: Reading, zone=None):
    """Yield ``(Block, Stamps)`` for the lines of one file written from ``since`` to ``until``; ``reading`` is filled.

    A line without a stamp belongs to the one before it. Never raises for the file: the reason stands in ``reading``.
    """
    if ambiguous(since, zone) or ambiguous(until, zone):
        # A wall-clock stamp of the repeated hour may mean an hour earlier or later.
        since, until = since - HOUR, until + HOUR
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            reading.fail("not a regular file")
            return
        if status.st_size == 0 or status.st_mtime < since - HOUR:
            return
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as problem:
        reading.fail((problem.strerror or "cannot be opened").lower())
        return
    with os.fdopen(handle, "rb", buffering=0) as stream:
        try:
            size = os.fstat(handle).st_size
            yield from _read(stream, path, os.fstat(handle), since, until, budget, reading, zone)
            # A file renamed meanwhile is still read to its end; one that is copied and truncated is not.
            if os.fstat(handle).st_size < size:
                reading.fail("truncated while it was read")
        except _BROKEN as problem:
            reading.fail(f"reading broke off: {getattr(problem, 'strerror', None) or problem}")


def _read(stream, path, status, since, until, budget, reading, zone):
    extension = os.path.splitext(path)[1]
    clock = Stamps(status.st_mtime, zone=zone)
    if extension in _COMPRESSED:
        opener = _COMPRESSED[extension]
        if opener is None:
            reading.fail(f"this Python cannot decompress {extension}")
            return
        with opener.open(stream, "rb") as text:
            yield from _linear(_chunks(text.read, budget, reading), path, clock, since, until, reading)
        return
    seeker = Seeker(stream.fileno(), status.st_size, status.st_mtime, zone)
    spans, reading.ordered = seeker.find(since, until)
    if seeker.left_out:
        reading.fail(f"{seeker.left_out} bytes without a stamped line were left out")
    if reading.ordered is None:
        # Nothing says when these lines were written but the file's last change, which is in the window.
        spans = [(max(0, status.st_size - _UNSTAMPED_TAIL), status.st_size, False)] if status.st_mtime >= since else []
    # Years are told apart by the window: what was found lies in it.
    end = min(until, status.st_mtime)
    clock = Stamps(status.st_mtime, max(end - 180 * DAY, (since + end) / 2), zone)
    keep = _Filter(since, until, clock)
    spans = [(_past_hole(stream.fileno(), begin, end), end, tested) for begin, end, tested in spans]
    reached = 0
    for begin, end, tested in _newest(spans, budget, reading):
        # Begun anew, perhaps within a line: what has no stamp there belongs to nothing known.
        keep.inside = keep.inside and begin == reached
        reached = end
        for block in whole_lines(_chunks_at(stream.fileno(), begin, end, budget, reading), path, begin):
            if begin and reading.ordered is None and block.offset == begin:
                # Begun in the middle of a line.
                cut = block.data.find(b"\n") + 1
                block = Block(block.data[cut:], block.offset + cut, path)
            whole = reading.ordered is None or (reading.ordered and not tested and keep.fits(block))
            for kept in [block] if whole else keep.of(block):
                reading.note(kept, clock)
                yield kept, clock
    if keep.disordered:
        reading.ordered = False


def _past_hole(handle, begin, end):
    """Where data begins: a log that was truncated under its writer starts with a hole, which would be read as gigabytes of NUL."""
    try:
        return min(end, os.lseek(handle, begin, os.SEEK_DATA))
    except OSError:
        return begin


def _newest(spans, budget, reading):
    """The spans within the budget: when it does not suffice, the newest."""
    room = budget.left
    kept = []
    for begin, end, tested in reversed(spans):
        if room <= 0 or end - begin > room:
            reading.fail("the window holds more than is read at once; its beginning was left out")
        if room > 0:
            kept.append((max(begin, end - room), end, tested or end - begin > room))
        room -= end - begin
    return kept[::-1]


def _chunks_at(handle, begin, end, budget, reading):
    while begin < end:
        if budget.late():
            reading.fail("out of time")
            return
        chunk = os.pread(handle, min(CHUNK, end - begin), begin)
        if not chunk:
            reading.fail("truncated while it was read")
            return
        begin += len(chunk)
        budget.left -= len(chunk)
        reading.bytes += len(chunk)
        yield chunk


def _chunks(read, budget, reading):
    while True:
        if budget.late() or budget.left <= 0:
            reading.fail("out of time" if budget.left > 0 else "the window holds more than is read at once")
            return
        chunk = read(CHUNK)
        if not chunk:
            return
        budget.left -= len(chunk)
        reading.bytes += len(chunk)
        yield chunk


def whole_lines(chunks, source: str, offset: int = 0, block_type=Block):
    """Group chunks of bytes, the first of which starts at ``offset``, into blocks of whole lines; long lines are cut."""
    kept, start, skipping = b"", offset, False
    place = offset
    for chunk in chunks:
        place += len(chunk)
        if skipping:
            cut = chunk.find(b"\n") + 1
            if not cut:
                continue
            skipping = False
            start = place - len(chunk) + cut
            chunk = chunk[cut:]
        cut = chunk.rfind(b"\n") + 1
        if cut:
            yield block_type(b"".join((kept, memoryview(chunk)[:cut])), start, source)
            kept, start = chunk[cut:], place - len(chunk) + cut
        else:
            kept += chunk
        if len(kept) > LONGEST_LINE:
            yield block_type(kept[:LONGEST_LINE] + b"\n", start, source)
            kept, skipping = b"", True
    if kept:
        yield block_type(kept + b"\n", start, source)


def _linear(chunks, path, clock, since, until, reading):
    """The window of a text that can only be read from its beginning."""
    keep = _Filter(since, until, clock)
    for block in whole_lines(chunks, path):
        first, last = first_time(block.data, clock), last_time(block.data, clock)
        if first is not None and reading.ordered:
            if first > until + HOUR:
                return
            if last < since - HOUR:
                keep.inside = False
                continue
        for kept in [block] if keep.fits(block) else keep.of(block):
            reading.note(kept, clock)
            yield kept, clock
        if keep.disordered:
            reading.ordered = False


class _Filter:
    """Keeps the lines of the window by their stamps. ``inside``: whether the last stamped line belonged to it."""

    def __init__(self, since, until, clock):
        self._since, self._until, self._clock = since, until, clock
        self.inside = False
        self.disordered = False
        self._latest = float("-inf")

    def fits(self, block: Block) -> bool:
        """Whether a block lies in the window wholly, by its first and last stamp. If not, its lines are to be tested (``of``)."""
        first, last = first_time(block.data, self._clock), last_time(block.data, self._clock)
        if first is None:
            return self.inside
        self.disordered = self.disordered or first < self._latest - _JITTER or last < first - _JITTER
        if self.disordered or not self._since <= first <= last <= self._until:
            return False
        self._latest = last
        self.inside = True
        return True

    def of(self, block: Block):
        """The runs of lines in ``block`` that belong to the window, as blocks."""
        data, start, begin = block.data, 0, None
        while start < len(data):
            epoch = self._clock.read(data, start)
            if epoch is not None:
                self.disordered = self.disordered or epoch < self._latest - _JITTER
                self._latest = max(self._latest, epoch)
                self.inside = self._since <= epoch <= self._until
                if self.inside and begin is None:
                    begin = start
                elif not self.inside and begin is not None:
                    yield Block(data[begin:start], block.offset + begin, block.source)
                    begin = None
            elif self.inside and begin is None:
                begin = start
            start = data.find(b"\n", start) + 1 or len(data)
        if begin is not None:
            yield Block(data[begin:], block.offset + begin, block.source)


def first_time(data: bytes, clock: Stamps) -> float | None:
    """The time of the first stamped line."""
    epoch = clock.read(data)
    if epoch is not None:
        return epoch
    for found in STAMPED_LINE.finditer(data):
        epoch = clock.read(data, found.end())
        if epoch is not None:
            return epoch
    return None


def last_time(data: bytes, clock: Stamps) -> float | None:
    """The time of the last stamped line."""
    end = len(data)
    # Most often it is the last line of all; a long stretch without stamps is searched from behind in steps.
    size = 4096
    while end > 0:
        begin = max(0, end - size)
        places = [found.end() for found in STAMPED_LINE.finditer(data, begin, end)]
        if begin == 0:
            places.insert(0, 0)
        for place in reversed(places):
            epoch = clock.read(data, place)
            if epoch is not None:
                return epoch
        # The stamp after a newline at the end of this step reaches into the step before.
        end = begin + LONGEST_STAMP if begin else 0
        size *= 8
    return None


class Seeker:
    """Finds the stretches of a file that may hold lines of a window.

    A mark is ``(offset, epoch)`` of a stamped line; epoch None stands for an end of the file of which nothing is known.
    """

    def __init__(self, handle: int, size: int, latest: float, zone=None):
        self._handle, self._size, self._latest, self._zone = handle, size, latest, zone
        self._probes = 0
        self._known: dict = {}
        # Bytes of long stretches without stamps that ``find`` left out.
        self.left_out = 0

    def find(self, since: float, until: float) -> tuple:
        """``([(begin, end, tested)], ordered)``: byte ranges in order; ``tested``: each line has to be tested by its own
        stamp. ``ordered`` is None when no stamp was found at all."""
        marks = self._grid()
        if not marks:
            return [], None
        found: list = []
        for before, after in zip(marks, marks[1:]):
            self._search(before, after, since, until, found)
        epochs = [epoch for _offset, epoch in sorted(self._known.items())]
        ordered = all(after >= before - _JITTER for before, after in zip(epochs, epochs[1:]))
        return _merged(found), ordered

    def _grid(self):
        """Marks over the whole file, from its end to its beginning, so that a year can be told from what follows it."""
        count = max(1, min(_MARKS, self._size // _LEAF))
        last = self._last_mark()
        near = last[1] if last else self._latest
        # After the last stamped line come at most the lines that continue it.
        marks = [(self._size, last[1] if last else None)]
        bound = self._size
        for number in range(count - 1, -1, -1):
            mark = self._probe(self._size * number // count, bound, near)
            if mark:
                marks.append(mark)
                bound, near = mark
        if marks[-1][0] > 0 and not self._starts_within_a_probe(marks[-1][0]):
            marks.append((0, None))
        marks.reverse()
        return marks if self._known else []

    def _starts_within_a_probe(self, offset):
        """Whether the look at the file's beginning saw all that stands before the first mark."""
        return offset <= _PROBE_READS[-1]

    def _last_mark(self):
        begin = max(0, self._size - _PROBE_READS[-1])
        text = (b"" if begin else b"\n") + os.pread(self._handle, self._size - begin, begin)
        shift = begin - (0 if begin else 1)
        clock = Stamps(self._latest, zone=self._zone)
        for place in reversed([found.end() for found in STAMPED_LINE.finditer(text)]):
            epoch = clock.read(text, place)
            if epoch is not None:
                self._known[shift + place] = epoch
                return shift + place, epoch
        return None

    def _probe(self, offset, bound, near):
        """The first stamped line that starts at ``offset`` or after it and before ``bound``, or None: none there, or too far."""
        self._probes += 1
        clock = Stamps(self._latest, near, self._zone)
        # The byte before shows whether a line starts at the offset itself.
        begin = max(0, offset - 1)
        for size in _PROBE_READS:
            text = os.pread(self._handle, size, begin)
            shift = begin
            if offset == 0:
                text, shift = b"\n" + text, -1
            for found in STAMPED_LINE.finditer(text):
                place = shift + found.end()
                if place >= bound:
                    return None
                if found.end() + LONGEST_STAMP > len(text) and len(text) >= size:
                    # Perhaps cut within the stamp: with more of the file it is read whole.
                    break
                epoch = clock.read(text, found.end())
                if epoch is not None:
                    self._known[place] = epoch
                    return place, epoch
            if begin + size >= min(bound, self._size):
                return None
        return None

    def _search(self, before, after, since, until, found):
        """Append to ``found`` the stretches between two marks that may hold lines of the window."""
        begin, first = before
        end, last = after
        if end <= begin:
            return
        rising = first is not None and last is not None and first <= last + _JITTER
        if rising:
            if max(first, last) < since or min(first, last) > until:
                return
            if since <= min(first, last) and max(first, last) <= until:
                found.append((begin, end, False))
                return
        elif (last is not None and first is None and last < since) or (first is not None and last is None and first > until):
            return
        middle = self._between(before, after) if end - begin > _LEAF and self._probes < _MOST_PROBES else None
        if middle is None:
            if end - begin > 2 * _STAMPLESS_END and self._probes < _MOST_PROBES:
                self.left_out += end - begin - 2 * _STAMPLESS_END
                found += [(begin, begin + _STAMPLESS_END, True), (end - _STAMPLESS_END, end, True)]
            else:
                found.append((begin, end, True))
            return
        self._search(before, middle, since, until, found)
        self._search(middle, after, since, until, found)

    def _between(self, before, after):
        """A mark between two, as near the middle as stamps are found; None when there is none to be found."""
        begin, end = before[0], after[0]
        near = after[1] if after[1] is not None else self._latest
        for part, parts in ((1, 2), (1, 4), (3, 4), (1, 8), (3, 8), (5, 8), (7, 8), (1, 64), (63, 64)):
            mark = self._probe(begin + (end - begin) * part // parts, end, near)
            if mark and begin < mark[0] < end:
                return mark
        return None


def _merged(spans):
    """Neighbouring stretches of one kind made one; in a short one every line is tested, which costs little and is sure."""
    result: list = []
    for begin, end, tested in spans:
        if result and result[-1][1] == begin and result[-1][2] == tested:
            result[-1] = (result[-1][0], end, tested)
        else:
            result.append((begin, end, tested))
    return [(begin, end, tested or end - begin <= _SURELY_TESTED) for begin, end, tested in result]
