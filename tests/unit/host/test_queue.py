from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host import _mail, queue
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context, Ran
from hypothesis import given
from hypothesis import strategies as st

_RECORDED = (Path(__file__).parent / "fixtures" / "postqueue.json").read_text()
_NOW = 1795470090.0
_EXIM = """25m  2.9K 0t5C6f-0000c8-00 <alice@example.test>
          friend@remote.test

 4d   12K 1oXyzA-0002aB-Cd <> *** frozen ***
        D bob@example.test
          carol@example.test

"""


@pytest.mark.parametrize("text, expected", [
    ("connect to mx1.remote.test[192.0.2.20]:25: Connection timed out", "connect to HOST[ip]:25: Connection timed out"),
    ("connect to mx2.remote.test[2001:db8::20]:25: Connection timed out", "connect to HOST[ip]:25: Connection timed out"),
    ("connect to 192.0.2.77[192.0.2.77]:25: Connection refused", "connect to HOST[ip]:25: Connection refused"),
    ("connect to mail.example.test[private/dovecot-lmtp]: Connection refused", "connect to mail.example.test[private/dovecot-lmtp]: Connection refused"),
    ("host mx.remote.test[192.0.2.20] said: 451 4.7.1 <bob@remote.test>: Recipient address rejected: Greylisted (in reply to RCPT TO command)",
     "host HOST[ip] said: 451 4.7.1 <address>: Recipient address rejected: Greylisted (in reply to RCPT TO command)"),
    ("Host or domain name not found. Name service error for name=remote.test type=MX: Host not found, try again",
     "Host or domain name not found. Name service error for name=NAME type=MX: Host not found, try again"),
    ("host mx.remote.test[192.0.2.20] said: 421 4.7.0 Try again later, queued as 4fXyz12abcDEFghi7",
     "host HOST[ip] said: 421 4.7.0 Try again later, queued as ID"),
    ("deferred transport", "deferred transport"),
    ("mail transport unavailable", "mail transport unavailable"),
])
def test_reasons_lose_what_is_one_messages_own_and_keep_their_words(text, expected):
    assert queue.reason_class(text) == expected


@given(st.text(max_size=400))
def test_the_class_of_a_class_is_itself_and_holds_no_address(text):
    once = queue.reason_class(text)
    assert len(once) <= 200 and "\x1b" not in once
    assert queue.reason_class("friend@remote.test: " + text).startswith("<address>:")


@given(st.text(max_size=300), st.lists(st.text(max_size=80), max_size=5))
def test_any_text_is_read_as_entries_or_none(text, lines):
    assert isinstance(queue.parse_entries(text + "\n".join(["{" + line for line in lines])), list)
    queue.parse_exim(text)
    queue.exim_reason(text)


def test_a_recorded_queue_is_counted_and_its_reasons_are_grouped():
    found = queue.summary(queue.parse_entries(_RECORDED), _NOW)
    assert found["counts"] == {"incoming": 0, "active": 2, "deferred": 8, "hold": 0, "maildrop": 0}
    assert found["oldest_seconds"] == 8 and found["oldest_deferred_seconds"] == 8
    assert found["reasons"] == [{
        "text": "connect to mail.single.test[private/dovecot-lmtp]: Connection refused", "count": 8, "transport": "private/dovecot-lmtp",
        "sample": "connect to mail.single.test[private/dovecot-lmtp]: Connection refused", "destination": "single.test", "destinations": 1}]
    assert found["senders"] == [{"sender_domain": "outside.test", "count": 6}, {"sender_domain": "MAILER-DAEMON", "count": 2},
                                {"sender_domain": "single.test", "count": 2}]
    assert found["sender_share"] == 0.6 and found["bounces"] == 2
    assert found["destinations"] == [{"domain": "single.test", "count": 8}, {"domain": "dead.test", "count": 2}]


def test_no_address_stands_in_the_summary():
    assert "@" not in json.dumps(queue.summary(queue.parse_entries(_RECORDED), _NOW))


def test_a_message_counts_once_for_each_of_its_reasons():
    entry = {"queue_name": "deferred", "arrival_time": 1, "recipients": [
        {"address": "a@one.test", "delay_reason": "connect to mx.one.test[192.0.2.1]:25: Connection timed out"},
        {"address": "b@two.test", "delay_reason": "connect to mx.two.test[192.0.2.2]:25: Connection timed out"}]}
    reason = queue.summary([entry], 10)["reasons"][0]
    assert (reason["count"], reason["destination"], reason["destinations"]) == (1, None, 2)


@pytest.mark.slow
@given(st.lists(st.dictionaries(st.sampled_from(["queue_name", "arrival_time", "message_size", "sender", "recipients"]),
                                st.none() | st.integers() | st.text(max_size=20) | st.lists(st.text(max_size=5), max_size=2)), max_size=6))
def test_entries_of_any_shape_are_summed_up(entries):
    found = queue.summary(entries, _NOW)
    assert sum(found["counts"].values()) <= len(entries)


def test_an_empty_queue_has_no_ages():
    found = queue.summary([], _NOW)
    assert found["oldest_seconds"] is None and found["sender_share"] == 0.0 and found["reasons"] == []


def test_queue_files_are_counted_through_hashed_directories(tmp_path):
    (tmp_path / "A" / "B").mkdir(parents=True)
    for path in ("90F1C1A03F9", "A/9ACBB1A0471", "A/B/4fXyz12abcDEFghi7", "A/B/.hidden", "notes.txt"):
        (tmp_path / path).write_text("")
    assert queue.count_files(str(tmp_path)) == 3
    assert queue.count_files(str(tmp_path), 2) == 2
    assert queue.count_files(str(tmp_path / "missing")) == 0


def test_the_arrival_is_read_from_a_queue_file():
    head = b"C`           4345             287               1               0\x00T\x111795470082 613298A\x14create_time=1795470082"
    assert queue.arrival_of(head) == 1795470082
    assert queue.arrival_of(b"T\x111795470082") is None and queue.arrival_of(b"") is None


def test_the_bounce_clock_counts_down_and_goes_below_zero():
    assert queue.bounce_clock(432000, 86400)["expires_in_seconds"] == 345600
    assert queue.bounce_clock(432000, 500000)["expires_in_seconds"] == -68000
    assert queue.bounce_clock(432000, None)["expires_in_seconds"] is None


@pytest.mark.parametrize("value, unit, expected", [("5d", "d", 432000), ("5", "d", 432000), ("3600s", "d", 3600), ("90m", "s", 5400), ("1w", "d", 604800),
                                                   ("", "d", None), ("abc", "d", None)])
def test_times_of_postfix_are_seconds(value, unit, expected):
    assert _mail.seconds(value, unit) == expected


def test_the_queue_of_exim_is_read_with_frozen_messages_and_without_delivered_recipients():
    found = queue.parse_exim(_EXIM)
    assert [(entry["age"], entry["bytes"], entry["id"], entry["frozen"], entry["recipients"]) for entry in found] == [
        (1500, 2969, "0t5C6f-0000c8-00", False, ["friend@remote.test"]), (345600, 12288, "1oXyzA-0002aB-Cd", True, ["carol@example.test"])]


@pytest.mark.parametrize("log, expected", [
    ("2026-11-23 20:00:00 Received from alice@example.test\n2026-11-23 20:00:01 friend@remote.test R=dnslookup defer (-1): host lookup did not complete\n",
     "host lookup did not complete"),
    ("2026-11-23 20:00:01 remote.test [192.0.2.20] == friend@remote.test R=r T=t defer (111): Connection refused\n", "Connection refused"),
    ("2026-11-23 20:00:00 Received from alice@example.test\n", ""),
])
def test_the_last_reason_of_an_exim_message_is_found(log, expected):
    assert queue.exim_reason(log) == expected


class _Host(Context):
    """A host whose postqueue says what the test says."""

    def __init__(self, out="", err=""):
        super().__init__()
        self.answer = (out, err)

    def run(self, *argv, timeout=10.0, most=0, env=None):
        return Ran(argv, 0, *self.answer)


@pytest.fixture(name="plain")
def _plain(monkeypatch, tmp_path):
    """An ordinary user on a host without a running master and with a queue directory of its own."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(queue._processes, "postfix_master", lambda context: None)
    monkeypatch.setattr(queue._mail, "parameter", lambda context, name, default="": {"queue_directory": str(tmp_path)}.get(name, default))
    return tmp_path


def test_an_empty_answer_of_a_dead_postfix_is_no_empty_queue(plain):
    host = _Host(err="postqueue: fatal: Queue report unavailable - mail system is down (Connect to the Postfix showq service: Connection refused)\n")
    found = queue._postfix(host)
    assert not found["running"] and not found["visible"] and found["counts"]["total"] is None
    assert found["note"] and any("mail system is down" in sentence for sentence in host.not_visible)


def test_root_counts_the_files_of_a_dead_postfix_and_knows_the_oldest(plain, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (plain / "deferred" / "9").mkdir(parents=True)
    (plain / "deferred" / "9" / "90F1C1A03F9").write_bytes(b"C\x06  4345T\x111500000000 613298A\x14create_time=1500000000")
    fatal = "postqueue: fatal: /etc/postfix/main.cf, line 40: missing '=' after attribute name: \"foo\"\n"
    found = queue._postfix(_Host(err="postqueue: warning: overriding earlier entry\n" * 50 + fatal))
    assert found["visible"] and not found["running"] and found["counts"]["deferred"] == 1 and found["counts"]["total"] == 1
    assert found["oldest_seconds"] > 10**8 and found["bounce_clock"]["expires_in_seconds"] < 0
    assert "fatal" in found["errors"][0]


def test_a_listing_seen_by_an_ordinary_user_means_that_postfix_runs(plain):
    found = queue._postfix(_Host(out=_RECORDED))
    assert found["running"] and found["complete"] and found["counts"]["total"] == 10


def test_a_host_without_an_mta_has_the_same_keys(plain):
    assert set(queue._empty(None)) == set(queue._postfix(_Host(out=_RECORDED)))
