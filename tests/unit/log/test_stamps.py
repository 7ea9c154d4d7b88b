"""When a log line was written."""
from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailops.outage.plugins.module_utils.log.stamps import DAY, HOUR, Stamps, ambiguous, iso, parse_stamp

NOW = datetime(2026, 11, 23, 21, 0, tzinfo=timezone.utc).timestamp()


def moment(*parts):
    return datetime(*parts, tzinfo=timezone.utc).timestamp()


class SummerTime(tzinfo):
    """Central European time of 2026, written out: these tests need no zone files."""

    BEGIN, END = datetime(2026, 3, 29, 2), datetime(2026, 10, 25, 3)

    def utcoffset(self, when):
        wall = when.replace(tzinfo=None)
        summer = self.BEGIN <= wall < self.END and not (wall >= self.END - timedelta(hours=1) and when.fold)
        return timedelta(hours=2 if summer else 1)

    def dst(self, when):
        return self.utcoffset(when) - timedelta(hours=1)

    def tzname(self, when):
        return "test"


@pytest.mark.parametrize("line, expected", [
    (b"2026-11-23T20:51:07.123456+00:00 mail postfix/smtpd[1]: x", moment(2026, 11, 23, 20, 51, 7) + 0.123456),
    (b"2026-11-23T21:51:07+01:00 mail postfix/smtpd[1]: x", moment(2026, 11, 23, 20, 51, 7)),
    (b"2026-11-23T16:21:07-0430 mail x", moment(2026, 11, 23, 20, 51, 7)),
    (b"2026-11-23T20:51:07Z mail x", moment(2026, 11, 23, 20, 51, 7)),
    (b"Nov 23 20:51:07 mail postfix/smtpd[1]: x", moment(2026, 11, 23, 20, 51, 7)),
    (b"Nov  3 20:51:07 mail postfix/smtpd[1]: x", moment(2026, 11, 3, 20, 51, 7)),
    (b"Nov 03 20:51:07 imap(alice): Error: x", moment(2026, 11, 3, 20, 51, 7)),
    (b"2026-11-23 20:51:07 imap(alice): Error: x", moment(2026, 11, 23, 20, 51, 7)),
    (b"2026-11-23 20:51:07 1vNabc-000000000xY-1abc <= a@b", moment(2026, 11, 23, 20, 51, 7)),
    (b"2026-11-23 21:51:07 +0100 1vNabc-000000000xY-1abc <= a@b", moment(2026, 11, 23, 20, 51, 7)),
    (b"2026-11-23 20:51:07.250 1vNabc-000000000xY-1abc => x", moment(2026, 11, 23, 20, 51, 7) + 0.25),
    (b"1795467067.500000 mail kernel: Out of memory", 1795467067.5),
    (b"<22>Nov 23 20:51:07 mail postfix/smtpd[1]: x", moment(2026, 11, 23, 20, 51, 7)),
    (b"<22>1 2026-11-23T20:51:07Z mail postfix/smtpd 1 - - x", moment(2026, 11, 23, 20, 51, 7)),
    (b"2026-06-30T23:59:60Z mail x", moment(2026, 7, 1)),
    (b"", None),
    (b"no stamp at all", None),
    (b"Feb 30 10:00:00 mail x", None),
    (b"Foo 23 20:51:07 mail x", None),
    (b"2026-13-01T00:00:00Z x", None),
    (b"2026-11-23T25:00:00Z x", None),
    (b"2026-11-23T20:51:61Z x", None),
    (b"2026-11-23T20:51:07+99:99 x", None),
    (b"\x00\x00\x00Nov 23 20:51:07 mail x", None),
    (b"\xff\xfe", None),
])
def test_a_stamp_is_read(line, expected):
    read = parse_stamp(line, NOW, timezone.utc)
    assert read == pytest.approx(expected) if expected is not None else read is None


def test_the_hosts_own_zone_is_taken_when_none_is_named(monkeypatch):
    monkeypatch.setenv("TZ", "EST5EDT,M3.2.0,M11.1.0")
    time.tzset()
    try:
        assert parse_stamp(b"Nov 23 15:51:07 mail x", NOW) == moment(2026, 11, 23, 20, 51, 7)
        assert parse_stamp(b"Jul  1 16:51:07 mail x", NOW) == moment(2026, 7, 1, 20, 51, 7)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text, latest, near, year", [
    (b"Dec 31 23:59:59", moment(2027, 1, 1, 6), None, 2026),
    (b"Jan  1 00:00:01", moment(2027, 1, 1, 6), None, 2027),
    (b"Nov 24 00:10:00", moment(2026, 11, 23, 23, 50), None, 2026),
    (b"Nov 25 10:00:00", moment(2026, 11, 23, 23, 50), None, 2025),
    (b"Feb 29 12:00:00", moment(2026, 11, 23), None, 2024),
    (b"Feb 29 12:00:00", moment(1904, 1, 1), None, 1896),
    (b"Nov 20 12:00:00", moment(2026, 11, 23), moment(2024, 12, 1), 2024),
    (b"Jan  5 12:00:00", moment(2026, 11, 23), moment(2024, 12, 1), 2025),
])
def test_a_year_is_inferred_from_what_is_known(text, latest, near, year):
    read = Stamps(latest, near, timezone.utc).read(text + b" mail x")
    assert datetime.fromtimestamp(read, timezone.utc).year == year


def test_a_clock_that_was_put_back_does_not_make_a_year():
    # The file was changed before the last stamp in it.
    assert parse_stamp(b"Nov 23 22:00:00 mail x", NOW, timezone.utc) == moment(2026, 11, 23, 22)


def test_the_repeated_hour_of_autumn_is_known_as_ambiguous():
    zone = SummerTime()
    back = moment(2026, 10, 25, 1)
    assert ambiguous(back - 600, zone) and ambiguous(back + 3000, zone)
    assert not ambiguous(back - 2 * HOUR, zone) and not ambiguous(back + DAY, zone)
    assert not ambiguous(moment(2026, 3, 29, 1), zone)


def test_summer_and_winter_time_are_applied():
    zone = SummerTime()
    assert parse_stamp(b"Jul  1 12:00:00 mail x", NOW, zone) == moment(2026, 7, 1, 10)
    assert parse_stamp(b"Nov 20 12:00:00 mail x", NOW, zone) == moment(2026, 11, 20, 11)


@pytest.mark.parametrize("epoch", [1e18, -1e18, float("inf"), float("nan")])
def test_a_moment_outside_the_calendar_is_no_crash(epoch):
    assert iso(epoch) is None
    assert ambiguous(epoch) is False


@given(st.binary(max_size=80))
def test_any_bytes_are_a_time_or_none(line):
    read = parse_stamp(line, NOW)
    assert read is None or isinstance(read, (int, float))


@given(st.datetimes(datetime(2025, 12, 1), datetime(2026, 11, 23, 20)))
def test_classic_stamps_of_the_past_year_come_back(when):
    line = when.strftime("%b %d %H:%M:%S").encode() + b" mail postfix/qmgr[1]: removed"
    assert parse_stamp(line, NOW, timezone.utc) == when.replace(microsecond=0, tzinfo=timezone.utc).timestamp()


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_rfc_3339_stamps_come_back(when, minutes):
    when = when.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_stamp(when.isoformat().encode() + b" mail x", NOW) == pytest.approx(when.timestamp(), abs=1e-5)


def test_iso():
    assert iso(1795467067.9) == "2026-11-23T20:51:07Z"
    assert iso(None) is None
