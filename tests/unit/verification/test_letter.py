"""The verification mail, and which answers to it count."""
from __future__ import annotations

import email
from email.policy import default

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.verification import letter
from hypothesis import given
from hypothesis import strategies as st

NOW = 1795467600.0
ASKED = letter.request({"name": "Anna", "address": "anna@x.test"}, "d1", 3600, NOW)
OTHER = letter.request({"name": "Piet", "address": "piet@x.test"}, "d1", 3600, NOW)


def answer(token=ASKED["token"], sender="Anna <anna@x.test>", received="Mon, 23 Nov 2026 21:10:00 +0000", **more):
    fields = {"Received": f"from a by b with ESMTPSA id 1; {received}", "From": sender, "To": "probe@x.test", "Subject": "Re: x",
              "In-Reply-To": f"<mailops-signoff.{token}@x.test>", **{name.replace("_", "-"): value for name, value in more.items()}}
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode() + b"\r\nYes, it works.\r\n"


def test_the_question_is_a_message_that_can_be_answered():
    message = email.message_from_bytes(letter.compose(ASKED, "probe@x.test", "r1", NOW), policy=default)
    assert message["To"] == "anna@x.test" and message["From"] == "probe@x.test" and not message.defects
    assert ASKED["token"] in message["Message-ID"] and message["Auto-Submitted"] == "auto-generated"


def test_an_answer_of_the_one_who_was_asked_counts():
    assert letter.judge(answer(), [OTHER, ASKED], NOW) == (ASKED, "")


@pytest.mark.parametrize("raw, because", [
    (answer(token="0" * 32), "no question"),
    (answer(In_Reply_To=""), "no question"),
    (answer(sender="mallory@x.test"), "mallory@x.test answers"),
    (answer(token=OTHER["token"]), "put to piet@x.test"),
    (answer() .replace(b"\r\nTo:", b"\r\nFrom: piet@x.test\r\nTo:"), "put to anna@x.test"),
    (answer(Auto_Submitted="auto-replied"), "machine"),
    (answer(Precedence="bulk"), "machine"),
    (answer(Return_Path="<>"), "machine"),
    (answer(Authentication_Results="mx.x.test; dkim=fail"), "authentication"),
    (answer(received="Tue, 24 Nov 2026 21:10:00 +0000"), "too late"),
], ids=["wrong token", "no token", "somebody else", "another's question", "two senders", "vacation", "bulk", "bounce", "forged", "late"])
def test_what_does_not_count_says_why(raw, because):
    item, text = letter.judge(raw, [ASKED, OTHER], NOW)
    assert item is None and because in text


@given(st.binary(max_size=300))
def test_no_bytes_are_taken_for_an_answer_nor_break_the_judge(raw):
    assert letter.judge(raw, [ASKED], NOW)[0] is None
    letter.judge(raw + answer(), [ASKED], NOW)
