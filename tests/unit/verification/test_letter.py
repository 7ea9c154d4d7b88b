"""The verification mail, and which answers to it count."""
from __future__ import annotations

import base64
import email
import hashlib
import json
import quopri
from email.policy import default

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.verification import letter
from hypothesis import given
from hypothesis import strategies as st

NOW = 1795467600.0
ASKED, CODE = letter.request({"name": "Anna", "address": "anna@x.test"}, "d1", 3600, NOW)
OTHER, OTHERS_CODE = letter.request({"name": "Piet", "address": "piet@x.test"}, "d1", 3600, NOW)
OLD, OLD_CODE = letter.request({"name": "Anna", "address": "anna@x.test"}, "d0", 3600, NOW - 7200)
OWN = {"mail.x.test", "x.test", "198.51.100.5"}
ON_TIME, LATE = "Mon, 23 Nov 2026 21:10:00 +0000", "Tue, 24 Nov 2026 21:10:00 +0000"
LOGIN = "from phone (unknown [203.0.113.7]) by mail.x.test (Postfix) with ESMTPSA id 1; "
STRANGER = "from evil.test (evil.test [203.0.113.9]) by mail.x.test (Postfix) with ESMTPS id 1; "
LMTP = "Received: from mail.x.test by mail.x.test with LMTP id 1; " + ON_TIME
PASSED = "Authentication-Results: mail.x.test; dmarc=pass (policy=none) header.from=x.test"


def answer(code=CODE, sender="Anna <anna@x.test>", came=LOGIN, stamp=ON_TIME, asked=ASKED, body=None, above=(), below=(), **more):
    """An answer with login as any mail program makes it; ``above`` and ``below`` are lines of the header beside our server's Received field."""
    fields = {"From": sender, "To": "probe@x.test", "Subject": "Re: x", "In-Reply-To": f"<mailops-signoff.{asked['id']}@x.test>",
              **{name.replace("_", "-"): value for name, value in more.items()}}
    head = [*above, f"Received: {came}{stamp}", *below, *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(head) + "\r\n\r\n" + (f"Yes, it works.\r\n\r\n> Code: {code}\r\n" if body is None else body)).encode()


def judged(raw, requests=(ASKED, OTHER)):
    return letter.judge(raw, list(requests), NOW, OWN)


def test_the_question_is_a_message_that_can_be_answered():
    message = email.message_from_bytes(letter.compose(ASKED, CODE, "probe@x.test", "r1", NOW), policy=default)
    assert message["To"] == "anna@x.test" and message["From"] == "probe@x.test" and not message.defects
    assert ASKED["id"] in message["Message-ID"] and message["Auto-Submitted"] == "auto-generated"
    assert "OOF" in message["X-Auto-Response-Suppress"]
    text = " ".join(message.get_content().split())
    assert f"Code: {CODE}" in text and "leave this text below your answer" in text and "laat deze tekst onder uw antwoord staan" in text


def test_the_code_is_in_no_field_that_a_mail_server_logs_and_not_in_what_is_kept():
    header = letter.compose(ASKED, CODE, "probe@x.test", "r1", NOW).partition(b"\r\n\r\n")[0].decode()
    assert CODE not in header and ASKED["code_digest"] not in header
    assert CODE not in json.dumps(ASKED) and ASKED["code_digest"] == hashlib.sha256(CODE.encode()).hexdigest()
    assert len({letter.request({"name": "Anna", "address": "anna@x.test"}, "d1", 3600, NOW)[1] for _try in range(20)}) == 20


def test_an_answer_of_the_one_who_was_asked_counts():
    assert judged(answer(), [OTHER, ASKED]) == (ASKED, "")


OUTLOOK = """\
Return-Path: <anna@x.test>
Delivered-To: probe@x.test
Received: from mail.x.test by mail.x.test with LMTP id ab; Mon, 23 Nov 2026 21:10:01 +0000
Authentication-Results: mail.x.test; dmarc=pass (p=quarantine dis=none) header.from=x.test
Authentication-Results: mail.x.test;
\tdkim=fail reason="signature verification failed" (2048-bit key) header.d=gateway.test;
\tdkim=pass (2048-bit key; unprotected) header.d=x.test header.i=@x.test header.b=AbCdEfGh
Received: from EUR01.outbound.protection.example ([192.0.2.9]) by mail.x.test (Postfix) with ESMTPS id 1
 for <probe@x.test>; Mon, 23 Nov 2026 21:10:00 +0000 (UTC)
Received: from AM0PR01MB0000.example ([fe80::1]) by AM0PR01MB0000.example ([fe80::1%3]) with mapi id 15.20; Mon, 23 Nov 2026 21:09:59 +0000
Authentication-Results-Original: dkim=none (message not signed) header.d=none;dmarc=fail action=none header.from=x.test;
From: "Vries, Anna de (NL)" <Anna@x.test>
To: "probe@x.test" <probe@x.test>
Subject: RE: Please answer: does mail work again? / Graag antwoorden: werkt e-mail
 weer?
Thread-Topic: Please answer: does mail work again?
Message-ID: <AM0PR01MB0000@AM0PR01.example>
References: <mailops-signoff.ID@x.test>
In-Reply-To: <mailops-signoff.ID@x.test>
Accept-Language: nl-NL, en-US
X-MS-Has-Attach:
X-Auto-Response-Suppress: DR, RN, NRN, OOF, AutoReply
Content-Type: text/html; charset="iso-8859-1"
Content-Transfer-Encoding: quoted-printable
MIME-Version: 1.0

<html><body>Ja.<hr><b>Van:</b> probe@x.test<br>Mail was repaired<p class=3D"x">C=
ode: <span>C=
ODE</span><br>Met vriendelijke groet</p></body></html>
"""
APPLE = """\
Received: from smtp.x.test (unknown [203.0.113.7]) by mail.x.test (Postfix) with ESMTPSA id 2; Mon, 23 Nov 2026 22:10:00 +0100 (CET)
Content-Type: multipart/alternative; boundary=Apple-Mail-1
From: =?utf-8?Q?Anna_de_Vri=C3=ABs?= <anna@x.test>
Mime-Version: 1.0 (1.0)
Subject: =?utf-8?Q?Re:_Please_answer:_does_mail_work_again=3F?=
Message-Id: <0C4A2F5E-0000-4A5E-9F43-3F1F6C1F7D0A@x.test>
References: <20261123.1@x.test> <mailops-signoff.ID@x.test>
In-Reply-To: <mailops-signoff.ID@x.test>
X-Mailer: iPhone Mail (24A1)

--Apple-Mail-1
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

BASE64
--Apple-Mail-1
Content-Type: text/html; charset=utf-8

<html><body>Yes</body></html>
--Apple-Mail-1--
"""
MOBILE = """\
Received: from phone ([203.0.113.7]) by mail.x.test with esmtpsa (TLS1.3) tls TLS_AES_256_GCM_SHA384 (Exim 4.96) (envelope-from <anna@x.test>) id 3; Mon, 23 Nov 2026 21:10:00 -0000
From:
\tAnna
 <anna@x.test>
IN-REPLY-TO:
 <mailops-signoff.ID@x.test>
references:\t<mailops-signoff.ID@x.test>
auto-submitted: no (a person)
PRECEDENCE: normal
sender: Anna <ANNA@x.test>

Yes
> Code:CODE
"""
FLOWED = """\
Received: from phone ([203.0.113.7]) by mail.x.test (Postfix) with ESMTPSA id 3; Mon, 23 Nov 2026 21:10:00 -0000
From: anna@x.test
In-Reply-To: =?utf-8?q?=3Cmailops-signoff=2EID=40x=2Etest=3E?=
Content-Type: text/plain; charset=UTF-8; format=flowed; delsp=yes

Ja.\x20

>> Uw antwoord toont dat u kunt ontvangen en verzenden, en\x20
>> geldt.\x20
>> Code:\x20
>> CODE
"""
ALIAS = """\
Received: from phone ([203.0.113.7]) by mail.x.test (Postfix) with ESMTPSA id 3; Mon, 23 Nov 2026 21:10:00 -0000
From: "Anna" <anna+work@X.test> (at work)
In-Reply-To: <mailops-signoff.ID@x.test>
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/signed; boundary=c

--c
Content-Type: text/plain; charset=x-unknown

Yes
 CODE
--c
Content-Type: application/pkcs7-signature; name=smime.p7s
Content-Disposition: attachment; filename=smime.p7s

AAAA
--c--
--b--
"""


def filled(text):
    coded = base64.encodebytes(f"Yes\r\n\r\n> Code: {CODE}\r\n".encode()).decode()
    return text.replace("BASE64", coded).replace("C=\nODE", f"{CODE[:9]}=\n{CODE[9:]}").replace("CODE", CODE).replace("ID@", ASKED["id"] + "@").replace(
        "=2EID=40", f"=2E{ASKED['id']}=40")


@pytest.mark.parametrize("text", [OUTLOOK, APPLE, MOBILE, FLOWED, ALIAS],
                         ids=["outlook by microsoft 365", "apple mail, base64", "odd folding, exim", "format=flowed, encoded id", "signed, plus"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_what_mail_programs_make_of_an_answer_counts(text, line_end):
    assert judged(filled(text).replace("\n", line_end).encode()) == (ASKED, "")


GMAIL, GMAIL_CODE = letter.request({"name": "Kim", "address": "kim@gmail.test"}, "d1", 3600, NOW)


@pytest.mark.parametrize("verdict", [
    "mail.x.test; dkim=pass header.i=@gmail.test header.s=20230601 header.b=Ab; spf=pass (mail.x.test: domain of kim@gmail.test designates 203.0.113.9 as "
    "permitted sender) smtp.mailfrom=kim@gmail.test; dmarc=pass (p=NONE sp=QUARANTINE dis=NONE) header.from=gmail.test",
    "x.test; dmarc=pass (policy=none) header.from=gmail.test; dkim=pass header.d=gmail.test header.s=20230601 header.b=Ab",
    "mail.x.test; dkim=pass (2048-bit key; unprotected) header.d=gmail.test header.i=@gmail.test header.b=\"Ab/C\"",
    "mail.x.test; spf=pass smtp.mailfrom=gmail.test",
], ids=["one field", "rspamd", "opendkim", "spf alone"])
def test_a_person_outside_counts_when_our_own_server_found_them_genuine(verdict):
    raw = answer(code=GMAIL_CODE, asked=GMAIL, sender="Kim <kim@gmail.test>", came=STRANGER, above=[LMTP, f"Authentication-Results: {verdict}"])
    assert judged(raw, [ASKED, GMAIL]) == (GMAIL, "")


def attached(kind, disposition, inside):
    return (f"--b\r\nContent-Type: text/plain\r\n\r\nYes\r\n--b\r\nContent-Type: {kind}\r\nContent-Disposition: {disposition}\r\n\r\n{inside}\r\n--b--\r\n")


MIXED = {"Content_Type": "multipart/mixed; boundary=b"}
QUOTED = f"Content-Type: text/plain\r\n\r\nCode: {CODE}\r\n"
FORGED = {
    "a spoofed From, no verdict": (answer(came=STRANGER), "no server of the estate says"),
    "a failing SPF": (answer(came=STRANGER, above=["Authentication-Results: mail.x.test; spf=fail smtp.mailfrom=x.test"]), "fails the authentication"),
    "a failing DMARC": (answer(came=STRANGER, above=["Authentication-Results: mail.x.test; dmarc=fail header.from=x.test"]), "fails the authentication"),
    "a signature of another domain": (answer(came=STRANGER, above=["Authentication-Results: mail.x.test; dkim=pass header.d=evil.test"]), "no server of"),
    "a signature of the domain above": (answer(came=STRANGER, above=["Authentication-Results: mail.x.test; dkim=pass header.d=test"]), "no server of"),
    "a signature of a lookalike": (answer(came=STRANGER, above=["Authentication-Results: mail.x.test; dkim=pass header.d=xx.test"]), "no server of"),
    "SPF of another envelope": (answer(came=STRANGER, above=["Authentication-Results: mail.x.test; spf=pass smtp.mailfrom=evil.test"]), "no server of"),
    "an inserted verdict": (answer(came=STRANGER, below=[PASSED]), "no server of"),
    "an inserted verdict in the middle": (answer(came=STRANGER, above=[LMTP], below=["X-A: b", PASSED, LMTP]), "no server of"),
    "a verdict of another server above": (answer(came=STRANGER, above=[PASSED.replace("mail.x.test", "mail.evil.test")]), "no server of"),
    "a verdict in a comment": (answer(came=STRANGER, above=["Authentication-Results: mail.x.test; spf=none (dmarc=pass header.from=x.test)"]), "no server of"),
    "a verdict in quotes": (answer(came=STRANGER, above=['Authentication-Results: mail.x.test; spf=pass smtp.mailfrom="a; dmarc=pass b"@evil.test']), "no server"),
    "a verdict of ARC": (answer(came=STRANGER, above=["ARC-Authentication-Results: i=1; mail.x.test; dmarc=pass header.from=x.test"]), "no server of"),
    "Received-SPF alone": (answer(came=STRANGER, above=["Received-SPF: pass (mail.x.test) client-ip=203.0.113.9"]), "no server of"),
    "a login that was inserted": (answer(came=STRANGER, below=[f"Received: {LOGIN}{ON_TIME}"]), "no server of"),
    "a login at another server": (answer(came=LOGIN.replace("mail.x.test", "mail.evil.test")), "no server of"),
    "our own domain on port 25": (answer(came="from pc (pc.x.test [203.0.113.9]) by mail.x.test (Postfix) with ESMTP id 1; "), "no server of"),
    "a client that calls itself ours": (answer(came="from mail.x.test (unknown [203.0.113.9]) by mail.x.test (Postfix) with SMTP id 1; ",
                                               below=[f"Received: {LOGIN}{ON_TIME}"]), "no server of"),
    "a program on the server": (answer(came="by mail.x.test (Postfix, from userid 33) id 1; ", below=[f"Received: {LOGIN}{ON_TIME}"]), "no server of"),
    "no trace at all": (answer().split(b"\r\n", 1)[1], "no server of"),
    "two From fields": (answer(below=["From: piet@x.test"]), "put to anna@x.test"),
    "two in one From field": (answer(sender="anna@x.test, mallory@y.test"), "answers"),
    "an address as name": (answer(sender='"anna@x.test" <mallory@y.test>'), "mallory@y.test answers"),
    "an address as bare name": (answer(sender="anna@x.test <mallory@y.test>"), "answers"),
    "a name as address": (answer(sender="mallory@y.test <anna@x.test>"), "answers"),
    "two addresses in brackets": (answer(sender="<anna@x.test> <mallory@y.test>"), "answers"),
    "a comment that does not begin": (answer(sender="anna@x.test)mallory@y.test"), "answers"),
    "an encoded word": (answer(sender="=?utf-8?q?anna=40x=2Etest?= <mallory@y.test>"), "mallory@y.test answers"),
    "a group": (answer(sender="team: anna@x.test;"), "answers"),
    "a longer local part": (answer(sender="xanna@x.test"), "answers"),
    "a longer domain": (answer(sender="anna@x.test.y.test"), "answers"),
    "a line end of its own": (answer(sender="anna@x.test\rX: y"), "answers"),
    "a Sender of another": (answer(Sender="Mallory <mallory@x.test>"), "Mallory <mallory@x.test> answers"),
    "sent again by another": (answer(below=["Resent-From: mallory@x.test"]), "mallory@x.test answers"),
    "another person": (answer(sender="mallory@x.test"), "mallory@x.test answers"),
    "another person's question": (answer(asked=OTHER, code=OTHERS_CODE), "put to piet@x.test"),
    "another person's code": (answer(code=OTHERS_CODE), "code of the question"),
    "no code": (answer(body="Yes, it works.\r\n"), "code of the question"),
    "a guessed code": (answer(code="a" * 28), "code of the question"),
    "the code's digest": (answer(code=ASKED["code_digest"]), "code of the question"),
    "the question's number as code": (answer(code=ASKED["id"]), "code of the question"),
    "a longer word with the code": (answer(code=CODE + "a"), "code of the question"),
    "the code in a field": (answer(body="Yes", X_Code=CODE), "code of the question"),
    "the code in an attached text": (answer(body=attached("text/plain", "attachment", CODE), **MIXED), "code of the question"),
    "the code in a named text": (answer(body=attached("text/plain; name=a.txt", "inline", CODE), **MIXED), "code of the question"),
    "the code in a forwarded message": (answer(body=attached("message/rfc822", "inline", QUOTED), **MIXED), "code of the question"),
    "an unknown question": (answer(In_Reply_To=f"<mailops-signoff.{'0' * 32}@x.test>"), "no question"),
    "no question": (answer(In_Reply_To=""), "no question"),
    "the code as the question": (answer(In_Reply_To=f"<mailops-signoff.{CODE}@x.test>"), "no question"),
    "a vacation": (answer(Auto_Submitted="auto-replied (vacation)"), "machine"),
    "a vacation beside a no": (answer(below=["Auto-Submitted: no"], Auto_Submitted="auto-replied"), "machine"),
    "an old vacation": (answer(X_Autorespond="away"), "machine"),
    "a subject of a vacation": (answer(Subject="=?utf-8?q?Automatisch_antwoord=3A_x?="), "machine"),
    "another subject of one": (answer(Subject="Out of Office: Re: x"), "machine"),
    "bulk": (answer(Precedence="bulk"), "machine"),
    "an automatic answer": (answer(Precedence="auto-reply"), "machine"),
    "a mailing list": (answer(List_Id="<all.x.test>", Precedence="list"), "machine"),
    "a bounce that quotes the question": (answer(above=["Return-Path: <>"], Content_Type="multipart/report; report-type=delivery-status"), "machine"),
    "a receipt": (answer(Content_Type="multipart/report; report-type=disposition-notification"), "machine"),
    "an empty envelope": (answer(above=["Return-Path: <>"]), "machine"),
    "too late": (answer(stamp=LATE), "too late"),
    "too late by our server, in time by another": (answer(stamp=LATE, below=[f"Received: {LOGIN}{ON_TIME}"]), "too late"),
    "too late by the hour of another zone": (answer(stamp="Mon, 23 Nov 2026 23:40:00 -0000"), "too late"),
    "too many fields": (answer(above=[f"X-{number}: y" for number in range(500)]), "too long"),
    "a header without end": (answer(X_Long="x" * 70000)[:65536], "too long"),
}


@pytest.mark.parametrize("form", FORGED)
def test_what_is_forged_automatic_or_somebody_elses_does_not_count_and_says_why(form):
    raw, because = FORGED[form]
    item, text = judged(raw)
    assert item is None and because in text, text


def test_an_expired_question_is_not_revived_by_a_newer_one():
    assert judged(answer(asked=OLD, code=OLD_CODE), [OLD, ASKED]) == (None, "it came too late")
    assert "code of the question" in judged(answer(asked=ASKED, code=OLD_CODE), [OLD, ASKED])[1]


def test_an_answer_that_names_an_old_question_before_this_one_counts_for_this_one():
    for before in ("0" * 32, OLD["id"]):
        references = f"<mailops-signoff.{before}@x.test> <mailops-signoff.{ASKED['id']}@x.test>"
        assert judged(answer(References=references, In_Reply_To="<other@x.test>"), [OLD, ASKED]) == (ASKED, "")


@pytest.mark.parametrize("html", ["Code: {0}<br>Bye", "Code:<wbr>{1}<wbr>{2}", "<blockquote>Code: <b>{1}</b><i>{2}</i></blockquote>"])
def test_the_code_is_found_whatever_tags_a_mail_program_puts_around_or_into_it(html):
    body = f"<html><body>1 &lt; 2 {html.format(CODE, CODE[:9], CODE[9:])}</body></html>"
    assert judged(answer(body=body, Content_Type="text/html; charset=utf-8")) == (ASKED, "")


@pytest.mark.parametrize("verifier", [
    {"name": " \x1b", "address": "anna@x.test"}, {"name": "Anna", "address": "anna"}, {"name": "Anna", "address": "Anna <anna@x.test>"},
    {"name": "Anna", "address": "anna@x.test, piet@x.test"}, {"name": "Anna", "address": "anna@x.test\nBcc: piet@x.test"}])
def test_whose_answer_could_never_count_is_not_asked(verifier):
    with pytest.raises(ValueError):
        letter.request(verifier, "d1", 3600, NOW)


@pytest.mark.parametrize("body", [
    "".join(f"--{n}\r\nContent-Type: multipart/mixed; boundary={n + 1}\r\n\r\n" for n in range(5000)), "<" * 200000, "<a" * 100000, "(" * 200000])
def test_a_body_made_to_exhaust_its_reader_only_holds_no_code(body):
    assert "code of the question" in judged(answer(body=body, Content_Type="multipart/mixed; boundary=0"))[1]
    assert "code of the question" in judged(answer(body=body, Content_Type="text/html"))[1]


@given(st.binary(max_size=300))
def test_no_bytes_are_taken_for_an_answer_nor_break_the_judge(raw):
    assert judged(raw)[0] is None
    judged(raw + answer())


# Parts of messages as mail programs write them, in any order: what a parser could stumble over.
PIECES = st.lists(st.sampled_from([
    "Content-Type: ", "multipart/mixed; boundary=b", "text/plain; charset=", "utf-7", "\"", "; ", "=?utf-8?b?", "?=", "\r\n", "\r\n\r\n", "--b\r\n", "--b--\r\n", CODE,
    "Content-Transfer-Encoding: base64", "Content-Transfer-Encoding: x-uuencode", "begin 644 a\r\n", "Content-Disposition: ", "attachment", "filename*0*=utf-8''%ff",
    "name*=x'y", PASSED, LMTP, "From: anna@x.test", "é", "\x00", "&#97;", "<", ">", "message/rfc822", "Content-Type: text/html; charset*=x'y'z"]), max_size=25).map("".join)


@given(PIECES, PIECES)
def test_no_hostile_text_makes_a_forged_answer_count(header, body):
    for raw in (answer(came=STRANGER, below=[header], body=body + CODE), answer(came=STRANGER, body=f"{body}\r\n{CODE}\r\n", Content_Type=header.replace("\r\n", " "))):
        assert judged(raw)[0] is None


@given(st.text(max_size=300), st.sampled_from(["utf-8", "iso-8859-1", "utf-16"]), st.sampled_from(["quoted-printable", "base64", "8bit"]))
def test_the_code_is_found_below_whatever_a_person_wrote(text, charset, encoding):
    data = f"{text}\r\n\r\n> Code: {CODE}\r\n".encode(charset, "replace")
    coded = {"quoted-printable": quopri.encodestring, "base64": base64.encodebytes, "8bit": bytes}[encoding](data)
    head = answer(body="", Content_Type=f"text/plain; charset={charset}", Content_Transfer_Encoding=encoding)
    assert judged(head + coded) == (ASKED, "")
