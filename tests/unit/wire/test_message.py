from __future__ import annotations

import base64
import email
import email.policy
import quopri

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.wire import message
from ansible_collections.mailops.outage.plugins.module_utils.wire.sasl import xoauth2
from ansible_collections.mailops.outage.plugins.module_utils.wire.smtp import stuffed
from hypothesis import given
from hypothesis import strategies as st

TOKEN = "0123456789abcdef" * 2
SENT = message.compose("alice@example.test", "bob@example.test", TOKEN, "run-1", 1795473388.0)
FIELDS = message.split(SENT)[0]


def test_the_message_is_valid():
    parsed = email.message_from_bytes(SENT, policy=email.policy.strict)
    assert parsed.defects == [] and all(value.defects == () for _name, value in parsed.items())
    assert parsed["Date"].datetime.timestamp() == 1795473388
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert parsed["X-Mailops-Canary"] == TOKEN and parsed["X-Mailops-Run"] == "run-1"
    lines = SENT.split(b"\r\n")
    assert SENT.isascii() and b"\n" not in SENT.replace(b"\r\n", b"") and max(map(len, lines)) <= 78


def test_tokens_differ():
    assert len({message.new_token() for _token in range(100)}) == 100


def test_dots_at_line_starts_are_doubled():
    assert stuffed(b".a\r\nb.\r\n..c") == b"..a\r\nb.\r\n...c\r\n"
    assert b"\r\n..The dot" in stuffed(SENT)


def test_a_message_without_changes_is_the_same():
    assert message.alterations(SENT, b"Received: from x by y; z\r\n" + SENT.replace(b"\r\n", b"\n")) == []


def recoded(encoding, body):
    head = SENT.partition(b"\r\n\r\n")[0].replace(b"Encoding: 7bit", b"Encoding: " + encoding)
    return head + b"\r\n\r\n" + body


@pytest.mark.parametrize("arrived", [
    recoded(b"quoted-printable", quopri.encodestring(SENT.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n"))),
    recoded(b"base64", base64.encodebytes(SENT.partition(b"\r\n\r\n")[2])),
    SENT.replace(b"Subject: Mail check " + TOKEN.encode(), b"Subject: =?utf-8?q?Mail_check_" + TOKEN.encode() + b"?="),
    SENT.replace(b"Subject: Mail check ", b"Subject: Mail check\r\n "),
    SENT.replace(b"From: alice@example.test", b"From: <alice@example.test>"),
])
def test_another_form_of_the_same_is_no_alteration(arrived):
    assert message.alterations(SENT, arrived) == []


@pytest.mark.parametrize("before, after, name", [
    (b"Subject: ", b"Subject: ***SPAM*** ", "Subject"), (b"From: alice", b"From: mallory", "From"), (b"auto-generated", b"no", "Auto-Submitted"),
    (b".The dot", b"The dot", "body"), (b"22:36:28", b"22:36:29", "Date"),
])
def test_an_alteration_is_named(before, after, name):
    assert message.alterations(SENT, SENT.replace(before, after)) == [name]


@pytest.mark.parametrize("fields", [
    [("X-MAILOPS-CANARY", TOKEN)], [("Message-ID", f"<mailops.{TOKEN}@example.test>")], [("Subject", f"[list] Mail check {TOKEN}")],
])
def test_any_mark_finds_the_message(fields):
    assert message.is_marked(fields, TOKEN)


@pytest.mark.parametrize("fields", [
    [], [("X-Mailops-Canary", "f" * 32)], [("Subject", f"Re: Mail check {TOKEN}")], [("Subject", f"AW: Mail check {TOKEN}")],
    [("In-Reply-To", f"<mailops.{TOKEN}@example.test>")],
])
def test_other_messages_are_not_marked(fields):
    assert not message.is_marked(fields, TOKEN)


def test_a_canary_is_ours_from_our_own_sender_only():
    assert message.token_of(FIELDS, {"Alice@example.test"}) == TOKEN
    assert message.token_of(FIELDS, {"bob@example.test"}) is None


@pytest.mark.parametrize("missing", ["X-Mailops-Canary", "X-Mailops-Run", "Message-ID", "Auto-Submitted", "From"])
def test_a_canary_without_one_of_its_marks_is_not_ours(missing):
    assert message.token_of([one for one in FIELDS if one[0] != missing], {"alice@example.test"}) is None


@given(st.binary(max_size=2000))
def test_any_bytes_can_be_split_and_compared(raw):
    fields, body = message.split(raw)
    assert isinstance(body, bytes) and all(isinstance(value, str) for _name, value in fields)
    message.alterations(SENT, raw)
    message.token_of(fields, {"alice@example.test"})
    message.is_marked(fields, TOKEN)


@given(st.binary(max_size=300))
def test_any_header_can_be_read(value):
    raw = b"Subject: =?" + value.replace(b"\n", b"") + b"\r\nDate: " + value.replace(b"\n", b"") + b"\r\n\r\n"
    message.alterations(SENT, raw)


def test_the_bearer_response_is_that_of_the_documentation():
    assert base64.b64decode(xoauth2("someuser@example.com", "ya29.vF9dft4")) == b"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4\x01\x01"
    with pytest.raises(ValueError):
        xoauth2("some\x01user", "token")
