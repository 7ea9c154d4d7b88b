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
    assert "OOF" in message["X-Auto-Response-Suppress"]


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


OUTLOOK = """\
Return-Path: <anna@x.test>
Delivered-To: probe@x.test
Received: from mail.x.test by mail.x.test with LMTP id ab; Mon, 23 Nov 2026 21:10:01 +0000
Received: from EUR01.outbound.protection.example ([192.0.2.9]) by mail.x.test (Postfix) with ESMTPS id 1
 for <probe@x.test>; Mon, 23 Nov 2026 21:10:00 +0000 (UTC)
Authentication-Results: mail.x.test; dmarc=pass (p=quarantine dis=none) header.from=x.test
Authentication-Results: mail.x.test;
\tdkim=fail reason="signature verification failed" (2048-bit key) header.d=gateway.test;
\tdkim=pass (2048-bit key; unprotected) header.d=x.test header.i=@x.test header.b=AbCdEfGh
Authentication-Results-Original: dkim=none (message not signed) header.d=none;dmarc=fail action=none header.from=x.test;
From: "Vries, Anna de (NL)" <Anna@x.test>
To: "probe@x.test" <probe@x.test>
Subject: RE: Please answer: does mail work again? / Graag antwoorden: werkt e-mail
 weer?
Thread-Topic: Please answer: does mail work again?
Message-ID: <AM0PR01MB0000@AM0PR01.example>
References: <mailops-signoff.TOKEN@x.test>
In-Reply-To: <mailops-signoff.TOKEN@x.test>
Accept-Language: nl-NL, en-US
X-MS-Has-Attach:
X-Auto-Response-Suppress: DR, RN, NRN, OOF, AutoReply
Content-Type: text/html; charset="iso-8859-1"
MIME-Version: 1.0

<html><body>Ja.<hr><b>Van:</b> probe@x.test<br>Mail was repaired</body></html>
"""
APPLE = """\
Received: from smtp.x.test by mail.x.test with ESMTPSA id 2; Mon, 23 Nov 2026 22:10:00 +0100 (CET)
Content-Type: text/plain; charset=us-ascii
From: =?utf-8?Q?Anna_de_Vri=C3=ABs?= <anna@x.test>
Mime-Version: 1.0 (1.0)
Subject: =?utf-8?Q?Re:_Please_answer:_does_mail_work_again=3F?=
Message-Id: <0C4A2F5E-0000-4A5E-9F43-3F1F6C1F7D0A@x.test>
References: <20261123.1@x.test> <mailops-signoff.TOKEN@x.test>
In-Reply-To: <mailops-signoff.TOKEN@x.test>
X-Mailer: iPhone Mail (24A1)

Yes
"""
MOBILE = """\
Received: from phone by mail.x.test with ESMTPSA id 3; Mon, 23 Nov 2026 21:10:00 -0000
From:
\tAnna
 <anna@x.test>
IN-REPLY-TO:
 <mailops-signoff.TOKEN@x.test>
references:\t<mailops-signoff.TOKEN@x.test>
auto-submitted: no (a person)
PRECEDENCE: normal

Yes
"""
ENCODED = """\
From: anna@x.test
In-Reply-To: =?utf-8?q?=3Cmailops-signoff=2ETOKEN=40x=2Etest=3E?=

Yes
"""
ALIAS = """\
From: "Anna" <anna+work@X.test> (at work)
In-Reply-To: <mailops-signoff.TOKEN@x.test>

Yes
"""


@pytest.mark.parametrize("text", [OUTLOOK, APPLE, MOBILE, ENCODED, ALIAS], ids=["outlook, html only", "apple mail", "odd folding", "encoded id", "plus"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_what_mail_programs_make_of_an_answer_counts(text, line_end):
    assert letter.judge(text.replace("TOKEN", ASKED["token"]).replace("\n", line_end).encode(), [OTHER, ASKED], NOW, "x.test") == (ASKED, "")


def above(*lines):
    return "\r\n".join(lines).encode() + b"\r\n" + answer()


@pytest.mark.parametrize("raw, because", [
    (answer(sender="anna@x.test, mallory@y.test"), "answers"),
    (answer(sender="anna@x.test <mallory@y.test>"), "answers"),
    (answer(sender="mallory@y.test <anna@x.test>"), "answers"),
    (answer(sender='"anna@x.test" <mallory@y.test>'), "mallory@y.test answers"),
    (answer(sender="<anna@x.test> <mallory@y.test>"), "answers"),
    (answer(sender="anna@x.test)mallory@y.test"), "answers"),
    (answer(sender="=?utf-8?q?anna=40x=2Etest?= <mallory@y.test>"), "mallory@y.test answers"),
    (answer(sender="team: anna@x.test;"), "answers"),
    (answer(sender="xanna@x.test"), "answers"),
    (answer(sender="anna@x.test.y.test"), "answers"),
    (answer(Auto_Submitted="no").replace(b"Auto-Submitted: no\r\n", b"Auto-Submitted: no\r\nAuto-Submitted: auto-replied\r\n"), "machine"),
    (answer(Auto_Submitted="auto-replied (vacation)"), "machine"),
    (answer(Precedence="auto-reply"), "machine"),
    (answer(X_Autorespond="away"), "machine"),
    (answer(Content_Type="multipart/report; report-type=disposition-notification"), "machine"),
    (answer().replace(b"Re: x", b"=?utf-8?q?Automatisch_antwoord=3A_x?="), "machine"),
    (answer().replace(b"Re: x", b"Out of Office: Re: x"), "machine"),
    (above(*(f"X-{number}: y" for number in range(500))), "too long"),
    (answer(X_Long="x" * 70000)[:65536], "too long"),
    (answer(received="Mon, 23 Nov 2026 23:40:00 -0000"), "too late"),
    (above("Authentication-Results: mail.x.test; spf=none", "Authentication-Results: mail.x.test; dmarc=fail header.from=x.test"), "authentication"),
], ids=range(21))
def test_a_forged_or_automatic_one_in_disguise_does_not_count(raw, because):
    item, text = letter.judge(raw, [ASKED, OTHER], NOW, "x.test")
    assert item is None and because in text


def test_an_answer_that_names_an_old_question_before_this_one_counts_for_this_one():
    raw = answer(References=f"<mailops-signoff.{'0' * 32}@x.test> <mailops-signoff.{ASKED['token']}@x.test>", In_Reply_To="<other@x.test>")
    assert letter.judge(raw, [ASKED], NOW) == (ASKED, "")


@pytest.mark.parametrize("verifier", [
    {"name": " \x1b", "address": "anna@x.test"}, {"name": "Anna", "address": "anna"}, {"name": "Anna", "address": "Anna <anna@x.test>"},
    {"name": "Anna", "address": "anna@x.test, piet@x.test"}, {"name": "Anna", "address": "anna@x.test\nBcc: piet@x.test"}])
def test_whose_answer_could_never_count_is_not_asked(verifier):
    with pytest.raises(ValueError):
        letter.request(verifier, "d1", 3600, NOW)


@given(st.binary(max_size=300))
def test_no_bytes_are_taken_for_an_answer_nor_break_the_judge(raw):
    assert letter.judge(raw, [ASKED], NOW)[0] is None
    letter.judge(raw + answer(), [ASKED], NOW)
