"""Telling the lines of ordinary traffic from the others."""
from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.mailops.outage.plugins.module_utils.log.quiet import ACCEPTED, CONNECTION, LOGIN, SENT, Divided, last_of

RECORDED = os.path.join(os.path.dirname(__file__), "recorded", "outage_of_dovecot.log")

QUIET = [
    b"Nov 23 20:51:07 mail postfix/smtpd[245]: connect from mail.example.org[192.0.2.7]",
    b"2026-11-23T21:45:09.366328+00:00 mail postfix/submission/smtpd[245]: connect from localhost[127.0.0.1]",
    b"1795470309.366328 mail postfix/smtpd[245]: connect from unknown[2001:db8::1]",
    b"Nov  3 20:51:07 mail postfix/smtpd[245]: disconnect from localhost[127.0.0.1] ehlo=2 starttls=1 auth=0/2 commands=3/5",
    b"Nov 23 20:51:07 mail postfix/smtpd[245]: 433C41A20DD: client=localhost[127.0.0.1]",
    b"Nov 23 20:51:07 mail postfix/cleanup[252]: 4XyzQm1rPzz1v: message-id=<1@example.org>",
    b"Nov 23 20:51:07 mail postfix/qmgr[206]: 433C41A20DD: from=<friend@outside.test>, size=356, nrcpt=1 (queue active)",
    b"Nov 23 20:51:07 mail postfix/qmgr[206]: 433C41A20DD: removed",
    b"2026-11-23T21:45:10.803980+00:00 mail postfix/smtp[258]: 256DC1A20D0: to=<friend@outside.test>, relay=mail.outside.test[10.89.81.2]:25, delay=0.66,"
    b" delays=0.1/0.07/0.3/0.19, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 9BBF11A20F0)",
    b"Nov 23 20:51:07 mail postfix/local[253]: BE92A1A20CC: passing <bob@single.test> to transport=lmtp",
    b"Nov 23 20:51:07 mail dovecot: imap-login: Login: user=<alice>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, mpid=261, TLS, session=<xh0Ogvhgns5/AAAB>",
    b"2026-11-23T21:45:10.702712+00:00 mail dovecot: pop3-login: Login: user=<alice>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, mpid=261, TLS",
    b"1795470309.366328 mail dovecot: imap-login: Login: user=<alice>, method=PLAIN, rip=127.0.0.1",
    b"Nov 23 20:51:07 imap-login: Info: Login: user=<alice>, method=PLAIN, rip=127.0.0.1",
    b"Nov 23 20:51:07 mail dovecot: imap(alice)<261><xh0Ogvhgns5/AAAB>: Disconnected: Logged out in=32 out=823 deleted=0",
    b"Nov 23 20:51:07 mail dovecot: imap(alice)<261><xh0Ogvhgns5/AAAB>: Disconnected: Connection closed (IDLE running for 0.001 secs) in=32 out=823",
    b"Nov 23 20:51:07 mail dovecot: lmtp(255): Connect from local",
    b"Nov 23 20:51:07 mail dovecot: lmtp(255): Disconnect from local: Logged out (state=READY)",
]
LOUD = [
    b"Nov 23 20:51:07 mail postfix/submission/smtpd[245]: BE92A1A20CC: client=localhost[127.0.0.1], sasl_method=PLAIN, sasl_username=alice",
    b"Nov 23 20:51:07 mail postfix/qmgr[206]: BDDFA1A20C2: from=<>, size=2382, nrcpt=1 (queue active)",
    b"Nov 23 20:51:07 mail postfix/qmgr[206]: BDDFA1A20C2: from=<a@b>, status=expired, returned to sender",
    b"Nov 23 20:51:07 mail postfix/lmtp[254]: 435321A2001: to=<alice@single.test>, relay=none, delay=0.06, delays=0.05/0/0/0, dsn=4.4.1,"
    b" status=deferred (connect to mail.single.test[private/dovecot-lmtp]: Connection refused)",
    b"Nov 23 20:51:07 mail postfix/local[254]: 435321A2001: to=<alice@single.test>, relay=local, delay=0.06, dsn=2.0.0, status=sent (delivered to maildir)",
    b"Nov 23 20:51:07 mail postfix/smtpd[259]: NOQUEUE: reject: RCPT from localhost[127.0.0.1]: 554 5.7.1 <x@y>: Relay access denied; from=<a@b> to=<x@y>",
    b"Nov 23 20:51:07 mail postfix/smtpd[259]: lost connection after RSET from localhost[127.0.0.1]",
    b"Nov 23 20:51:07 mail postfix/smtpd: no pid here",
    # A stranger's word for it.
    b"Nov 23 20:51:07 mail postfix/smtp[254]: 435321A2001: to=<\"x>, relay=none, delay=1, delays=0/0/0/0, dsn=2.0.0, status=sent (250 \"@evil.test>,"
    b" relay=none, delay=0.06, delays=0.05/0/0/0, dsn=4.4.1, status=deferred (connect to x[192.0.2.1]:25: Connection refused)",
    b"Nov 23 20:51:07 mail postfix/smtpd[259]: NOQUEUE: reject: RCPT from x[192.0.2.1]: 554 5.7.1 <x@y>: no; from=<x@postfix/qmgr[1]: 4C1D5: removed",
    b"Nov 23 20:51:07 mail postfix/smtpd[259]: warning: non-SMTP command from x[192.0.2.1]: 4C1D5: message-id=<x>",
    b"Nov 23 20:51:07 mail dovecot: imap-login: Disconnected (no auth attempts): user=<x>, imap-login: Login: user=<admin>, method=PLAIN",
    b"Nov 23 20:51:07 mail dovecot: imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 8 secs): user=<carol>, method=PLAIN",
    b"Nov 23 20:51:07 mail dovecot: imap(alice)<1><x>: Disconnected: Connection closed: read(size=1024) failed: Connection reset by peer in=1 out=2",
    b"Nov 23 20:51:07 mail dovecot: lmtp(alice)<255><x>: msgid=<1@x>: saved mail to INBOX",
    b"Nov 23 20:51:07 mail sshd[12]: connect from 192.0.2.1[3]",
    b"a line without a stamp", b"postfix[", b"\x00\xff\x1b[31m",
]


@pytest.mark.parametrize("line", QUIET)
def test_ordinary_traffic_is_quiet(line):
    divided = Divided(line + b"\n")
    assert (divided.loud, divided.lines) == ([], 1)


@pytest.mark.parametrize("line", LOUD)
def test_what_may_tell_of_trouble_is_loud(line):
    divided = Divided(line + b"\n")
    assert (divided.loud, divided.lines) == ([line], 1)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(QUIET + LOUD), max_size=30))
def test_a_block_is_divided_like_its_lines_one_by_one(lines):
    divided = Divided(b"".join(line + b"\n" for line in lines))
    assert divided.loud == [line for line in lines if line in LOUD]
    assert divided.lines == len(lines)
    assert divided.counts["connections"] == sum(b"]: connect from" in line for line in lines if line in QUIET)
    assert divided.counts["accepted"] == sum(b"message-id=" in line for line in lines if line in QUIET)
    assert divided.counts["sent"] == sum(b"status=sent" in line for line in lines if line in QUIET)
    assert divided.users == [b"alice"] * sum(b"ogin: user=" in line for line in lines if line in QUIET)


def test_most_of_a_recorded_log_is_quiet():
    with open(RECORDED, "rb") as stream:
        data = stream.read()
    divided = Divided(data)
    assert divided.lines == data.count(b"\n")
    assert sum(map(len, divided.loud)) < 0.55 * len(data)
    assert any(b"Connection refused" in line for line in divided.loud)


@pytest.mark.parametrize("kind, text, quiet", [
    (CONNECTION, b"connect from ", 0), (ACCEPTED, b": message-id=", 5), (SENT, b" status=sent (250 ", 8), (LOGIN, b" user=<", 10)])
def test_the_last_line_of_a_kind_is_not_one_that_holds_its_text(kind, text, quiet):
    data = b"".join(line + b"\n" for line in QUIET[:quiet + 1] + LOUD)
    assert last_of(data, kind, text) == data.index(QUIET[quiet])
    assert last_of(b"".join(line + b"\n" for line in LOUD), kind, text) == -1
