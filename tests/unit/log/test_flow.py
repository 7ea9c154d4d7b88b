"""How much mail and how many logins a log shows."""
from __future__ import annotations

import os
from datetime import datetime, timezone

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.log.flow import Flow
from ansible_collections.mailops.outage.plugins.module_utils.log.signatures import Scanner
from ansible_collections.mailops.outage.plugins.module_utils.log.stamps import Stamps
from ansible_collections.mailops.outage.plugins.module_utils.log.window import whole_lines

RECORDED = os.path.join(os.path.dirname(__file__), "recorded", "outage_of_dovecot.log")
NOW = datetime(2026, 11, 23, 22, tzinfo=timezone.utc).timestamp()


def count(data, size=1 << 20):
    flow = Flow()
    scanner = Scanner([], "mail", flow)
    for block in whole_lines((data[place:place + size] for place in range(0, len(data), size)), "mail.log"):
        scanner.feed(block, Stamps(NOW, zone=timezone.utc))
    return flow.result(NOW)


def recorded():
    with open(RECORDED, "rb") as stream:
        return stream.read()


@pytest.mark.parametrize("size", [1 << 20, 700])
def test_a_recorded_hour_is_counted(size):
    found = count(recorded(), size)
    assert {name: value for name, value in found.items() if not name.endswith("_epoch")} == {
        "connections": 12, "accepted": 12, "delivered": 10, "deferred": 1, "bounced": 2, "rejected": 1,
        "login_ok": 10, "login_failed": 8, "users_ok": 2, "users_failed": 3, "failed_only": ["carol", "nobody"],
    }
    moment = datetime(2026, 11, 23, 21, 46, 8, tzinfo=timezone.utc).timestamp()
    assert found["last_delivery_epoch"] == pytest.approx(moment + 0.754479)
    assert found["last_accepted_epoch"] == pytest.approx(moment + 0.688317)
    # The last client= with a login, not the failures after it.
    assert found["last_login_epoch"] == pytest.approx(moment - 9 + 0.874532)
    assert found["last_line_epoch"] == NOW


def test_each_kind_of_line_is_counted_once():
    data = recorded()
    for name, text in (("connections", b": connect from "), ("accepted", b": message-id="), ("delivered", b" status=sent ("),
                       ("deferred", b" status=deferred ("),
                       ("bounced", b" status=bounced ("), ("rejected", b"NOQUEUE: reject: ")):
        assert count(data)[name] == data.count(text)


@pytest.mark.parametrize("line, expected", [
    ("postfix/cleanup[1]: 4C1D5: milter-reject: END-OF-MESSAGE from x[192.0.2.1]: 4.7.1 Service unavailable", {"rejected": 1}),
    ("postfix/smtp[1]: 4C1D5: to=<a@b>, relay=x[192.0.2.1]:25, dsn=5.1.1, status=SOFTBOUNCE (host x said: 550 no)", {"deferred": 1}),
    ("postfix/qmgr[1]: 4C1D5: from=<a@b>, status=expired, returned to sender", {"bounced": 1}),
    ("postfix/local[1]: 4C1D5: to=<a@b>, relay=local, delay=1, dsn=2.0.0, status=sent (delivered to maildir)", {"delivered": 1}),
    ("dovecot: lmtp(alice)<1><x>: msgid=<1@b>: saved mail to INBOX", {"delivered": 1}),
    ("dovecot: lmtp(alice)<1><x>: sieve: msgid=<1@b>: stored mail into mailbox 'INBOX'", {"delivered": 1}),
    ("dovecot: imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 8 secs): user=<Carol>, method=PLAIN",
     {"login_failed": 1, "users_failed": 1, "failed_only": ["carol"]}),
    ("dovecot: imap-login: Aborted login (auth failed, 3 attempts in 8 secs): user=<carol>, method=PLAIN",
     {"login_failed": 1, "users_failed": 1, "failed_only": ["carol"]}),
    ("dovecot: imap-login: Disconnected (auth failed, 1 attempts): user=<>, method=PLAIN", {"login_failed": 1}),
    ("postfix/smtpd[1]: warning: x[192.0.2.1]: SASL LOGIN authentication failed: UGFzc3dvcmQ6", {"login_failed": 1}),
    ("postfix/smtpd[1]: warning: x[192.0.2.1]: SASL PLAIN authentication failed: , sasl_username=bob@example.test",
     {"login_failed": 1, "users_failed": 1, "failed_only": ["bob@example.test"]}),
    ("postfix/smtpd[1]: warning: x[192.0.2.1]: SASL PLAIN authentication failed: y, sasl_username=(unavailable)", {"login_failed": 1}),
    ("imap-login: Info: Login: user=<alice>, method=PLAIN, rip=127.0.0.1", {"login_ok": 1, "users_ok": 1}),
])
def test_other_forms_of_postfix_and_dovecot(line, expected):
    # A file that Dovecot writes itself names no host.
    host = "" if line.startswith("imap-login") else "mail "
    for prefix in ("Nov 23 20:51:07 ", "2026-11-23T20:51:07.000001+00:00 "):
        found = count((prefix + host + line + "\n").encode())
        assert {name: value for name, value in found.items() if value and not name.endswith("_epoch")} == expected


def test_the_mta_counts_a_delivery_that_the_store_logs_too():
    lines = "Nov 23 20:51:07 mail postfix/lmtp[1]: 4C1D5: to=<a@b>, relay=x, delay=1, dsn=2.0.0, status=sent (250 2.0.0 Saved)\n" \
            "Nov 23 20:51:07 mail dovecot: lmtp(a)<1><x>: msgid=<1@b>: saved mail to INBOX\n"
    assert count(lines.encode())["delivered"] == 1


EXIM = """\
2026-11-23 20:51:01 1vNabc-000000000xY-1abc <= friend@outside.test H=mail.outside.test [192.0.2.2] P=esmtps X=TLS1.3 S=812 id=1@outside.test
2026-11-23 20:51:02 1vNabc-000000000xY-1abc => alice <alice@example.test> R=local_user T=maildir_home
2026-11-23 20:51:02 1vNabc-000000000xY-1abc -> bob <bob@example.test> R=local_user T=maildir_home
2026-11-23 20:51:02 1vNabc-000000000xY-1abc Completed
2026-11-23 20:51:03 1vNabd-0000xY-1a <= alice@example.test H=pc [192.0.2.9] P=esmtpsa A=dovecot_plain:alice S=700
2026-11-23 20:51:04 1vNabd-0000xY-1a == x@remote.test R=dnslookup defer (-1): host lookup did not complete
2026-11-23 20:51:05 1vNabe-0000xY-1a ** y@remote.test R=dnslookup T=remote_smtp: SMTP error from remote mail server: 550 no
2026-11-23 20:51:06 H=(spam) [192.0.2.66] F=<a@b> rejected RCPT <c@d>: relay not permitted
2026-11-23 20:51:07 plain_server authenticator failed for (pc) [192.0.2.9]: 535 Incorrect authentication data (set_id=carol)
2026-11-23 20:51:08 SMTP connection from [192.0.2.9]:4444 (TCP/IP connection count = 1)
"""


def test_exims_own_log_is_counted():
    found = count(EXIM.encode())
    assert {name: value for name, value in found.items() if value and not name.endswith("_epoch")} == {
        "accepted": 2, "delivered": 2, "deferred": 1, "bounced": 1, "rejected": 1, "login_ok": 1, "login_failed": 1, "users_ok": 1, "users_failed": 1,
        "failed_only": ["carol"],
        "connections": 1,
    }
    moment = datetime(2026, 11, 23, 20, 51, 0, tzinfo=timezone.utc).timestamp()
    assert (found["last_accepted_epoch"], found["last_delivery_epoch"], found["last_login_epoch"]) == (moment + 3, moment + 2, moment + 3)


def test_users_are_counted_to_a_bound():
    lines = "".join(f"Nov 23 20:51:07 mail dovecot: imap-login: Login: user=<u{number}>, method=PLAIN\n" for number in range(3000))
    found = count(lines.encode(), 5000)
    assert (found["login_ok"], found["users_ok"]) == (3000, 1000)


def test_nothing_is_nothing():
    found = count(b"")
    assert not any(value for name, value in found.items() if name != "last_line_epoch")


@pytest.mark.parametrize("line", [
    'postfix/smtp[1]: 4C1D5: to=<"x, status=sent (250 2.0.0 "@evil.test>, relay=none, delay=1, delays=1/0/0/0, dsn=4.4.1, status=SOFTBOUNCE (x)',
    "postfix/smtpd[1]: NOQUEUE: reject: RCPT from x[192.0.2.1]: 554 5.7.1 <x@y>: no; from=<: saved mail to > to=<: message-id=> proto=ESMTP helo=<x>",
    "postfix/smtpd[1]: warning: non-SMTP command from x[192.0.2.1]: 4C1D5: client=x[192.0.2.1], sasl_method=PLAIN, sasl_username=admin",
    "dovecot: imap-login: Disconnected (no auth attempts in 1 secs): user=<imap-login: Login: user=<admin>, (auth failed, 1 attempts>, rip=192.0.2.1",
    "postfix/cleanup[1]: 4C1D5: warning: header Subject: status=sent (250 ok) : saved mail to INBOX from x[192.0.2.1]; from=<a@b> to=<c@d> proto=SMTP helo=<x>",
])
def test_what_a_stranger_writes_is_no_flow_of_mail(line):
    found = count(("Nov 23 20:51:07 mail " + line + "\n").encode())
    assert not any(found[name] for name in ("accepted", "delivered", "login_ok", "login_failed"))
    assert not any(found[name] for name in ("last_delivery_epoch", "last_accepted_epoch", "last_login_epoch"))
