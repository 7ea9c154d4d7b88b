from __future__ import annotations

import socket
import time

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.wire import transport
from ansible_collections.mailops.outage.plugins.module_utils.wire.transport import Journal, Stopped, Stream
from hypothesis import given
from hypothesis import strategies as st


class Played:
    """A socket that plays back chunks, and then is closed."""

    def __init__(self, *chunks):
        self._chunks = list(chunks)
        self.sent = b""

    def settimeout(self, seconds):
        assert seconds > 0

    def recv(self, size):
        return self._chunks.pop(0)[:size] if self._chunks else b""

    def send(self, data):
        # A socket may take less than it is given.
        self.sent += bytes(data[:3])
        return len(data[:3])

    def close(self):
        pass


def stream_of(*chunks, **kwargs):
    return Stream(Played(*chunks), time.monotonic() + 5, **kwargs)


@given(st.lists(st.binary(min_size=1, max_size=5).filter(lambda chunk: b"\r" not in chunk)))
def test_lines_do_not_depend_on_how_they_are_cut(chunks):
    stream, whole = stream_of(*chunks), b"".join(chunks)
    lines = []
    with pytest.raises(Stopped) as stop:
        while True:
            lines.append(stream.recv_line())
    assert stop.value.outcome == "closed"
    assert lines == whole.split(b"\n")[:-1]


def test_crlf_and_a_bare_lf_end_a_line():
    stream = stream_of(b"one\r\ntwo\nthr\ree\r\n")
    assert [stream.recv_line() for _line in range(3)] == [b"one", b"two", b"thr\ree"]


def test_a_line_has_a_limit_also_when_it_came_at_once():
    assert len(stream_of(b"x" * 100 + b"\n").recv_line(100)) == 100
    for data in (b"x" * 101 + b"\n", b"x" * 101):
        with pytest.raises(Stopped) as stop:
            stream_of(data).recv_line(100)
        assert stop.value.outcome == "garbage"


def test_the_whole_has_a_limit():
    stream = stream_of(b"x\n" * 10, b"x\n" * 10, most=30)
    with pytest.raises(Stopped) as stop:
        for _line in range(20):
            stream.recv_line()
    assert stop.value.outcome == "garbage"


def test_everything_is_sent_though_the_socket_takes_little():
    raw = Played()
    Stream(raw, time.monotonic() + 5).send(b"EHLO probe.example.test\r\n")
    assert raw.sent == b"EHLO probe.example.test\r\n"


def test_a_step_that_is_over_reads_nothing_more():
    stream = stream_of(b"220 hi\r\n")
    stream.within(-1)
    with pytest.raises(Stopped) as stop:
        stream.recv_line()
    assert stop.value.outcome == "silent"


def test_a_secret_is_hidden_also_where_it_breaks_off():
    stream = stream_of(b"you said sec", b"")
    stream.hide(b"secret")
    assert stream.shown(b"a secret, twice secret") == b"a (hidden), twice (hidden)"
    with pytest.raises(Stopped) as stop:
        stream.recv_line()
    assert stop.value.answer == "you said (hidden)"


def test_the_longer_secret_goes_first():
    stream = stream_of()
    stream.hide(b"abc", b"abcdef", b"")
    assert stream.shown(b"abcdef abc") == b"(hidden) (hidden)"


def test_a_journal_keeps_the_step_that_stopped():
    journal = Journal()
    with journal.step("greeting") as entry:
        entry["answer"] = "220 hi"
    with pytest.raises(Stopped) as stop, journal.step("capabilities"):
        raise Stopped("", "closed", "\x1b[31mgone")
    assert stop.value.step == "capabilities" and "closed" in str(stop.value)
    assert [(step["step"], step["ok"], step["answer"]) for step in journal.steps] == [("greeting", True, "220 hi"), ("capabilities", False, "gone")]


def test_a_call_without_a_time_limit_gets_one():
    assert transport.bounded(lambda: 42, 1) == 42
    with pytest.raises(ZeroDivisionError):
        transport.bounded(lambda: 1 // 0, 1)
    with pytest.raises(socket.timeout):
        transport.bounded(lambda: time.sleep(0.2), 0.02)


@pytest.mark.parametrize("host, full, name", [
    ("mail.example.test", None, "mail.example.test"), ("mail", "mail.example.test", "mail.example.test"), ("mail", "mail", "localhost.localdomain"),
    ("we ird.host", None, "localhost.localdomain"),
])
def test_the_name_for_ehlo_is_fully_qualified(monkeypatch, host, full, name):
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    monkeypatch.setattr(socket, "getfqdn", lambda: full)
    assert transport.own_name() == name


def test_a_dead_resolver_does_not_hold_up_the_name_for_ehlo(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "mail")
    monkeypatch.setattr(socket, "getfqdn", lambda: time.sleep(0.3))
    assert transport.own_name(0.02) == "localhost.localdomain"
