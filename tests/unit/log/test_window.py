"""The lines of a window, found in files of every kind."""
from __future__ import annotations

import bz2
import gzip
import lzma
import os
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.mailops.outage.plugins.module_utils.log import window
from ansible_collections.mailops.outage.plugins.module_utils.log.stamps import HOUR, Stamps
from ansible_collections.mailops.outage.plugins.module_utils.log.window import Block, Budget, Reading, blocks, rotations, whole_lines

START = datetime(2026, 11, 20, tzinfo=timezone.utc).timestamp()
UTC = timezone.utc


def classic(epoch, text=b"mail postfix/qmgr[1]: removed"):
    return datetime.fromtimestamp(epoch, UTC).strftime("%b %d %H:%M:%S ").encode() + text


def rfc3339(epoch, text=b"mail postfix/qmgr[1]: removed"):
    # Another zone than the reader's, so that a stamp cut before its zone is read wrongly.
    return datetime.fromtimestamp(epoch, timezone(timedelta(hours=2))).isoformat().encode() + b" " + text


def exim(epoch, text=b"1vNabc-000000000xY-1abc Completed"):
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S ").encode() + text


def write(path, lines, mtime=None):
    data = b"".join(line + b"\n" for line in lines)
    path.write_bytes(data)
    if mtime is not None:
        os.utime(path, (mtime, mtime))
    return data


def read(path, since, until, size=1 << 30, seconds=60.0):
    """The lines of the window with their places, and the reading."""
    reading = Reading(str(path))
    found = []
    for block, _clock in blocks(str(path), since, until, Budget(size, seconds), reading, UTC):
        place = block.offset
        for line in block.data.split(b"\n")[:-1]:
            found.append((place, line))
            place += len(line) + 1
    return found, reading


def linear(data, since, until, latest):
    """What reading every line from the beginning finds."""
    clock, inside, place, found = Stamps(latest, zone=UTC), False, 0, []
    for line in data.split(b"\n")[:-1] if data.endswith(b"\n") else data.split(b"\n"):
        epoch = clock.read(line)
        inside = inside if epoch is None else since <= epoch <= until
        if inside:
            found.append((place, line))
        place += len(line) + 1
    return found


@contextmanager
def small_steps():
    """Sizes under which a file of some kilobytes is searched like one of gigabytes."""
    sizes = {"CHUNK": 512, "_LEAF": 128, "_PROBE_READS": (160, 1024), "_SURELY_TESTED": 0, "LONGEST_LINE": 4096}
    with mock.patch.multiple(window, **sizes):
        yield


JUNK = st.one_of(st.just(b""), st.just(b"  continued"), st.just(b"\x00\x01\xff\x1b[31mred"),
                 st.binary(max_size=40).map(lambda text: b"\t" + text.replace(b"\n", b"")),
                 st.just(b"Foo 99 99:99:99 not a stamp"), st.just(b"x" * 700))
ENTRIES = st.lists(st.tuples(st.integers(0, 400), st.lists(JUNK, max_size=2), st.integers(0, 60)), min_size=1, max_size=120)


def lines_of(entries, form):
    epoch, lines = START, []
    for step, junk, length in entries:
        epoch += step
        lines.append(form(epoch, b"mail postfix/smtpd[1]: " + b"y" * length))
        lines += junk
    return lines, epoch


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=ENTRIES, begin=st.integers(-500, 25000), length=st.integers(0, 20000), form=st.sampled_from([classic, rfc3339, exim]),
       leading=st.lists(JUNK, max_size=3))
def test_seeking_finds_exactly_the_lines_that_reading_all_finds(tmp_path, entries, begin, length, form, leading):
    lines, last = lines_of(entries, form)
    data = write(tmp_path / "mail.log", leading + lines, last)
    since, until = START + begin, START + begin + length
    with small_steps():
        found, reading = read(tmp_path / "mail.log", since, until)
    assert found == linear(data, since, until, last)
    assert reading.complete and reading.ordered is not False
    stamps = [Stamps(last, zone=UTC).read(line) for _place, line in found]
    stamps = [epoch for epoch in stamps if epoch is not None]
    assert (reading.first, reading.last) == ((min(stamps), max(stamps)) if stamps else (None, None))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.integers(-100000, 100000), max_size=150), begin=st.integers(-500, 25000), length=st.integers(0, 20000))
def test_stamps_that_jump_end_the_search_all_the_same(tmp_path, steps, begin, length):
    data = write(tmp_path / "mail.log", [rfc3339(START + step, b"mail x[%d]: " % number) for number, step in enumerate(steps)], START + 200000)
    since, until = START + begin, START + begin + length
    with small_steps():
        found, reading = read(tmp_path / "mail.log", since, until)
    assert found == sorted(found) and len(found) == len(set(found))
    assert all(data[place:].startswith(line + b"\n") for place, line in found)
    if steps == sorted(steps):
        assert found == linear(data, since, until, START + 200000) and reading.ordered is not False


@pytest.mark.parametrize("jump", [-5 * HOUR, -300.0, 5 * HOUR])
def test_both_sides_of_a_clock_that_jumped_are_read(tmp_path, jump):
    epochs = [START + step * 10 for step in range(2000)]
    epochs += [epochs[-1] + jump + step * 10 for step in range(2000)]
    data = write(tmp_path / "mail.log", [rfc3339(epoch) for epoch in epochs], epochs[-1])
    since, until = START + 3 * HOUR, START + 5.3 * HOUR
    found, reading = read(tmp_path / "mail.log", since, until)
    assert found == linear(data, since, until, epochs[-1])
    assert reading.ordered is (jump > 0)


@pytest.mark.slow
def test_the_cost_of_a_window_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "mail.log"
    reads = {}
    for size in (1, 16):
        write(path, [classic(START + number) for number in range(size * 40000)], START + size * 40000)
        calls = []
        real = os.pread
        with mock.patch.object(os, "pread", lambda handle, length, place, calls=calls, real=real: calls.append(length) or real(handle, length, place)):
            found, _reading = read(path, START + 30000, START + 30600)
        assert len(found) == 601
        reads[size] = sum(calls)
    assert reads[16] < 2 * reads[1] + 500000 < os.path.getsize(path) / 8


def test_a_log_of_several_years_without_a_year_in_its_stamps(tmp_path):
    day = 86400
    begin = datetime(2024, 3, 1, tzinfo=UTC).timestamp()
    epochs = [begin + number * day / 40 for number in range(950 * 40)]
    write(tmp_path / "mail.log", [classic(epoch) for epoch in epochs], epochs[-1])
    since = datetime(2025, 6, 1, tzinfo=UTC).timestamp()
    found, reading = read(tmp_path / "mail.log", since, since + day)
    assert len(found) == 41
    assert found[0][0] == len(classic(begin) + b"\n") * round((since - begin) / day * 40) and reading.ordered
    since = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
    later, _reading = read(tmp_path / "mail.log", since, since + day)
    assert len(later) == 41 and later[0][0] > found[-1][0]


def test_a_line_can_be_looked_up_again(tmp_path):
    data = write(tmp_path / "mail.log", [classic(START + number, b"mail x[%d]: y" % number) for number in range(50)], START + 50)
    reading = Reading("x")
    for block, clock in blocks(str(tmp_path / "mail.log"), START + 20, START + 30, Budget(1 << 20, 9), reading, UTC):
        line = classic(START + 25, b"mail x[25]: y")
        source, where = block.locate(block.place(line), START + 25)
        assert source == str(tmp_path / "mail.log")
        # tail -c +N FILE | head -n 1
        assert data[int(where[1:]) - 1:].split(b"\n")[0] == line
        assert clock.read(line) == START + 25


def test_lines_longer_than_memory_allows_are_cut(tmp_path):
    path = tmp_path / "mail.log"
    with open(path, "wb") as stream:
        stream.write(classic(START) + b"\n" + classic(START + 5, b"mail huge: "))
        for _mebibyte in range(20):
            stream.write(b"A" * 1024 * 1024)
        stream.write(b"\n" + classic(START + 10) + b"\n")
    os.utime(path, (START + 10, START + 10))
    found, reading = read(path, START, START + 20)
    assert [len(line) for _place, line in found] == [len(classic(START)), window.LONGEST_LINE, len(classic(START + 10))]
    assert found[2][0] == os.path.getsize(path) - len(classic(START + 10)) - 1
    assert reading.complete


def test_a_long_stretch_without_stamps_costs_nothing(tmp_path):
    path = tmp_path / "mail.log"
    with open(path, "wb") as stream:
        stream.write(b"".join(classic(START + number) + b"\n" for number in range(1000)))
        for _mebibyte in range(40):
            stream.write(b"junk without an end " * 52429)
        stream.write(b"\n" + b"".join(classic(START + 5000 + number) + b"\n" for number in range(1000)))
    os.utime(path, (START + 6000, START + 6000))
    for since, lines in ((START + 900, 100), (START + 5100, 101)):
        found, reading = read(path, since, since + 100, size=16 * 1024 * 1024)
        stamped = [line for _place, line in found if not line.startswith(b"junk")]
        assert len(stamped) == lines and reading.bytes < 5 * 1024 * 1024
        assert not reading.complete and "without a stamped line" in reading.problem


def test_a_hole_of_two_gigabytes_does_not_stop_the_look(tmp_path):
    path = tmp_path / "mail.log"
    with open(path, "wb") as stream:
        stream.truncate(2 * 1024 ** 3)
        stream.seek(0, os.SEEK_END)
        stream.write(b"\n" + b"".join(classic(START + number) + b"\n" for number in range(3000)))
    os.utime(path, (START + 3000, START + 3000))
    began = time.monotonic()
    found, _reading = read(path, START + 2000, START + 2100)
    assert len(found) == 101
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("since, until", [(START + 10 ** 7, START + 2 * 10 ** 7), (START - 10 ** 7, START - 10 ** 6), (START + 50, START + 10), (1e15, 1e18)])
def test_a_window_without_lines_is_empty(tmp_path, since, until):
    write(tmp_path / "mail.log", [classic(START + number) for number in range(100)], START + 100)
    found, reading = read(tmp_path / "mail.log", since, until)
    assert found == [] and reading.complete


def test_an_empty_file_is_complete(tmp_path):
    write(tmp_path / "mail.log", [])
    found, reading = read(tmp_path / "mail.log", 0, 1e10)
    assert found == [] and reading.complete and not reading.problem


def test_a_last_line_without_newline_is_read(tmp_path):
    (tmp_path / "mail.log").write_bytes(classic(START) + b"\n" + classic(START + 1))
    os.utime(tmp_path / "mail.log", (START + 1, START + 1))
    assert len(read(tmp_path / "mail.log", START, START + 5)[0]) == 2


def test_a_log_without_any_stamp_is_judged_by_its_last_change(tmp_path):
    write(tmp_path / "mail.log", [b"no stamp %d" % number for number in range(100)], START + 100)
    found, reading = read(tmp_path / "mail.log", START, START + 200)
    assert len(found) == 100 and reading.ordered is None
    found, _reading = read(tmp_path / "mail.log", START + 150, START + 200)
    assert found == []


def test_a_fifo_in_a_logs_place_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "mail.log")
    found, reading = read(tmp_path / "mail.log", 0, 1e10)
    assert found == [] and reading.problem == "not a regular file" and not reading.complete


@pytest.mark.parametrize("path, problem",
                         [("/dev/zero", "not a regular file"), ("/nonexistent/mail.log", "no such file or directory"), ("/proc/self", "not a regular file")])
def test_what_is_no_file_is_said(path, problem):
    found, reading = read(path, 0, 1e10)
    assert found == [] and reading.problem == problem


def test_a_file_that_may_not_be_read_is_said(tmp_path):
    write(tmp_path / "mail.log", [classic(START)], START)
    with mock.patch.object(os, "open", side_effect=PermissionError(13, "Permission denied")):
        found, reading = read(tmp_path / "mail.log", START - 5, START + 5)
    assert found == [] and reading.problem == "permission denied" and not reading.complete


def test_a_file_truncated_while_it_is_read_is_said(tmp_path):
    path = tmp_path / "mail.log"
    write(path, [classic(START + number / 100) for number in range(100000)], START + 1000)
    reading = Reading(str(path))
    for _block, _clock in blocks(str(path), START, START + 2000, Budget(1 << 30, 60), reading, UTC):
        os.truncate(path, 0)
    assert not reading.complete and "truncated" in reading.problem


def test_a_file_renamed_while_it_is_read_is_read_to_its_end(tmp_path):
    path = tmp_path / "mail.log"
    write(path, [classic(START + number / 100) for number in range(100000)], START + 1000)
    reading, lines = Reading(str(path)), 0
    for block, _clock in blocks(str(path), START, START + 2000, Budget(1 << 30, 60), reading, UTC):
        lines += block.data.count(b"\n")
        if path.exists():
            path.rename(tmp_path / "mail.log.1")
    assert lines == 100000 and reading.complete


def test_more_than_the_budget_keeps_the_newest(tmp_path):
    path = tmp_path / "mail.log"
    write(path, [classic(START + number) for number in range(50000)], START + 50000)
    found, reading = read(path, START, START + 60000, size=1024 * 1024)
    assert found[-1][0] + len(found[-1][1]) + 1 == os.path.getsize(path)
    assert 0.9 < (os.path.getsize(path) - found[0][0]) / 1024 ** 2 <= 1
    assert not reading.complete and "beginning was left out" in reading.problem


def test_time_that_is_out_ends_the_look(tmp_path):
    path = tmp_path / "mail.log"
    write(path, [classic(START + number) for number in range(50000)], START + 50000)
    _found, reading = read(path, START, START + 60000, seconds=-1)
    assert not reading.complete and reading.problem == "out of time"


@pytest.mark.slow
@pytest.mark.parametrize("name, opener", [("mail.log.2.gz", gzip.open), ("mail.log-20261123.bz2", bz2.open), ("mail.log.3.xz", lzma.open)])
def test_a_compressed_file_is_read_like_a_plain_one(tmp_path, name, opener):
    lines = [rfc3339(START + number * 0.5, b"mail x[1]: " + b"z" * 50) for number in range(40000)]
    data = b"".join(line + b"\n" for line in lines)
    with opener(str(tmp_path / name), "wb") as stream:
        stream.write(data)
    os.utime(tmp_path / name, (START + 20000, START + 20000))
    found, reading = read(tmp_path / name, START + 5000, START + 5100)
    assert found == linear(data, START + 5000, START + 5100, START + 20000)
    assert reading.complete and reading.ordered


@pytest.mark.parametrize("spoil",
                         [lambda data: data[:len(data) // 2], lambda data: data[:100] + b"\xff" * 200 + data[300:], lambda data: b"not compressed at all"])
@pytest.mark.parametrize("name, pack", [("mail.log.2.gz", gzip.compress), ("mail.log.2.bz2", bz2.compress), ("mail.log.2.xz", lzma.compress)])
def test_a_damaged_compressed_file_is_said(tmp_path, name, pack, spoil):
    data = b"".join(classic(START + number) + b" %x\n" % hash(number * 7919) for number in range(20000))
    (tmp_path / name).write_bytes(spoil(pack(data)))
    os.utime(tmp_path / name, (START + 20000, START + 20000))
    _found, reading = read(tmp_path / name, START, START + 30000)
    assert not reading.complete and reading.problem.startswith("reading broke off")


def test_a_compression_that_this_python_lacks_is_said(tmp_path):
    (tmp_path / "mail.log.2.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    with mock.patch.dict(window._COMPRESSED, {".zst": None}):
        _found, reading = read(tmp_path / "mail.log.2.zst", 0, 1e10)
    assert not reading.complete and ".zst" in reading.problem


def test_rotations_are_found_newest_first(tmp_path):
    names = ["mail.log", "mail.log.1", "mail.log.2.gz", "mail.log-20261120", "mail.log-20261119.xz", "mail-20261118.log", "mail-20261117.log.zst",
             "mail.log.10.bz2",
             "mail.log-20261116-1400.gz"]
    others = ["mail.err", "mail.log.1.swp", "mail.log~", "mail.logx", "mailing.log", "mail.log.old.tar", "mail.log.gz.part", "mail.log-2026"]
    for age, name in enumerate(names + others):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (START - age * 3600, START - age * 3600))
    os.link(tmp_path / "mail.log.1", tmp_path / "mail.log.99")
    found = [os.path.basename(name) for name in rotations(str(tmp_path / "mail.log"))]
    assert [name for name in found if name != "mail.log.1" and name != "mail.log.99"] == [name for name in names if name != "mail.log.1"]
    assert len(found) == len(names)


def test_a_base_that_hangs_in_the_air_is_named(tmp_path):
    os.symlink("/nonexistent/mail.log", tmp_path / "mail.log")
    assert rotations(str(tmp_path / "mail.log")) == [str(tmp_path / "mail.log")]
    assert rotations(str(tmp_path / "other.log")) == []


def test_the_repeated_hour_widens_the_window(tmp_path):
    write(tmp_path / "mail.log", [classic(START + number) for number in range(0, 20000, 10)], START + 20000)
    with mock.patch.object(window, "ambiguous", return_value=True):
        found, _reading = read(tmp_path / "mail.log", START + 2 * HOUR, START + 3 * HOUR)
    assert len(found) == 3 * 360 + 1


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=60), max_size=20), st.integers(0, 1000))
def test_chunks_become_whole_lines_whatever_their_bounds(chunks, offset):
    data = b"".join(chunks)
    result = list(whole_lines(chunks, "x", offset))
    text = b"".join(block.data for block in result)
    assert text == data if data.endswith(b"\n") or not data else text == data + b"\n"
    for block in result:
        assert block.data.endswith(b"\n") and data[block.offset - offset:].startswith(block.data.rstrip(b"\n"))


@given(st.lists(st.sampled_from([b"a", b"b", b"ab", b""]), min_size=1, max_size=8))
def test_a_line_is_found_in_its_place(lines):
    block = Block(b"".join(line + b"\n" for line in lines), 0, "x")
    starts = [sum(len(line) + 1 for line in lines[:number]) for number in range(len(lines))]
    for line in set(lines):
        places = [start for start, each in zip(starts, lines) if each == line]
        assert block.place(line) == places[0]
        assert block.last_place(line) == places[-1]
        if len(places) > 1:
            assert block.place(line, places[0] + 1) == places[1]
