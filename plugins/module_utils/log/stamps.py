"""When a log line was written.

Read are the forms that mail hosts write: RFC 3339 (rsyslog, ``2026-11-23T20:51:07.123456+00:00``), the classic
syslog stamp (RFC 3164 4.1.2, ``Nov 23 20:51:07``: no year, no zone), Dovecot's ``log_timestamp`` (the same form in
its own file, without a host name), Exim's main log (``2026-11-23 20:51:07 [+0100]``) and ``journalctl -o short-unix``
(epoch seconds). All times are epoch seconds (float).

A stamp without a zone is the host's local time. In the hour that a change from summer time repeats it can mean two
moments; the C library's choice is taken, and `ambiguous` tells the reader of a window to look an hour further.
A stamp without a year gets the year that brings it nearest to a line known to stand near it, and never a year that
puts it after the file's last change (plus a day, for a clock that was put back).
"""
from __future__ import annotations

import re
import time
from datetime import datetime, timedelta, timezone, tzinfo

DAY = 86400.0
HOUR = 3600.0
# No stamp is longer than this many bytes, a syslog priority in front of it included.
LONGEST_STAMP = 64
_MOST_CACHED = 4096

_MONTHS = {name: number for number, name in enumerate(
    (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), 1)}
# The priority (RFC 5424 6.2.1) stands before the stamp where a raw syslog stream is kept.
_FORMS = (
    rb"(?:<[0-9]{1,3}>(?:1 )?)?(?:"
    rb"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:)(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?"
    rb"(?P<zone> ?[+-][0-9]{2}:?[0-9]{2}\b|Z)?"
    rb"|(?P<month>[A-Z][a-z]{2}) (?P<day>[ 0-3]?[0-9]) (?P<clock>[0-9]{2}:[0-9]{2}:)(?P<classic_second>[0-9]{2})"
    rb"|(?P<epoch>[0-9]{9,10})(?:\.(?P<epoch_fraction>[0-9]{1,9}))?(?=[ :])"
    rb")"
)
_STAMP = re.compile(_FORMS)
# A line that begins with a stamp, found anywhere in a block.
STAMPED_LINE = re.compile(rb"\n(?=" + _FORMS + rb")")


class Stamps:
    """Reads the stamps of one text. ``latest``: no line is later than this (a file's last change); ``near``: when
    lines near these were written (``latest`` unless told); ``zone``: of stamps that name none (the host's own)."""

    def __init__(self, latest: float, near: float | None = None, zone: tzinfo | None = None):
        self._latest = latest + DAY
        self._near = latest if near is None else near
        self._zone = zone
        self._minutes: dict = {}

    def read(self, line: bytes, start: int = 0) -> float | None:
        """The time of the line that begins at ``start``, or None: it has no stamp, or an impossible one."""
        found = _STAMP.match(line, start, start + LONGEST_STAMP)
        if found is None:
            return None
        date, second, fraction, zone, month, day, clock, classic_second, epoch, epoch_fraction = found.groups()
        if epoch:
            return int(epoch) + _fraction(epoch_fraction)
        if date:
            minute = self._minute((date, zone), lambda: _full(date, zone, self._zone))
            second = int(second)
        else:
            minute = self._minute((month, day, clock), lambda: self._classic(month, day, clock))
            second = int(classic_second)
        # 60 is a leap second.
        return None if minute is None or second > 60 else minute + second + _fraction(fraction)

    def _minute(self, key, ask):
        if key not in self._minutes:
            if len(self._minutes) >= _MOST_CACHED:
                self._minutes.clear()
            self._minutes[key] = ask()
        return self._minutes[key]

    def _classic(self, month, day, clock):
        number = _MONTHS.get(month)
        if number is None:
            return None
        year = time.gmtime(self._near).tm_year
        # Eight years back for the 29th of February, of which a century may skip one.
        moments = (_moment(this, number, int(day), int(clock[:2]), int(clock[3:5]), self._zone) for this in range(year + 1, year - 9, -1))
        known = [moment for moment in moments if moment is not None and moment <= self._latest]
        return min(known, key=lambda moment: abs(moment - self._near), default=None)


def parse_stamp(line: bytes, reference: float | None = None, zone: tzinfo | None = None) -> float | None:
    """The time of one line, no later than ``reference`` (now) by more than a day; None without a stamp."""
    return Stamps(time.time() if reference is None else reference, zone=zone).read(line)


def iso(epoch: float | None) -> str | None:
    """``2026-11-23T20:51:07Z``, or None for a moment unknown or outside the calendar."""
    if epoch is None:
        return None
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))
    except (OverflowError, ValueError, OSError):
        return None


def ambiguous(epoch: float, zone: tzinfo | None = None) -> bool:
    """Whether clocks are put back within an hour and a bit of ``epoch``, so that wall-clock stamps there repeat."""
    margin = HOUR + 60
    return _offset(epoch - margin, zone) > _offset(epoch + margin, zone)


def _offset(epoch, zone):
    try:
        if zone is None:
            return time.localtime(epoch).tm_gmtoff
        return datetime.fromtimestamp(epoch, zone).utcoffset().total_seconds()
    except (OverflowError, ValueError, OSError):
        return 0


def _fraction(digits):
    return int(digits) / 10 ** len(digits) if digits else 0.0


def _full(date, zone, local):
    if zone:
        sign = zone.strip()
        if sign == b"Z":
            local = timezone.utc
        else:
            minutes = int(sign[1:3]) * 60 + int(sign[-2:])
            if minutes >= 24 * 60:
                return None
            local = timezone(timedelta(minutes=-minutes if sign[:1] == b"-" else minutes))
    return _moment(int(date[:4]), int(date[5:7]), int(date[8:10]), int(date[11:13]), int(date[14:16]), local)


def _moment(year, month, day, hour, minute, zone):
    """Epoch seconds of a minute in ``zone`` (None: the host's), or None where the calendar has no such minute."""
    try:
        moment = datetime(year, month, day, hour, minute, tzinfo=zone)
        if zone is None:
            return time.mktime((year, month, day, hour, minute, 0, -1, -1, -1))
        return moment.timestamp()
    except (ValueError, OverflowError):
        return None
