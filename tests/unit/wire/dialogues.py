"""Well-behaved servers to start from: each test changes what it is about.

The words are those of Postfix 3.7 and Dovecot 2.3 with Pigeonhole.
"""
from __future__ import annotations

import base64

from scripted_server import Answers, starts_tls

USER, PASSWORD = "alice@example.test", 'corr"ect horse\\battery'
PLAIN = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode())


def granted(good: bytes, bad: bytes, *accepted: bytes):
    """A reply that grants the login to the right credentials only."""
    def run(peer, line):
        reply = good if line.split(b" ", 1)[-1] in accepted or line in accepted else bad
        peer.send(reply.replace(b"TAG", line.split(b" ", 1)[0]))
    return run


def smtp(drop_after=None, greeting=b"220 mail.example.test ESMTP Postfix (Debian/GNU)\r\n", **changed):
    table = {
        b"EHLO": b"250-mail.example.test\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 SMTPUTF8\r\n",
        b"HELO": b"250 mail.example.test\r\n",
        b"LHLO": b"250-mail.example.test\r\n250 PIPELINING\r\n",
        b"STARTTLS": starts_tls(b"220 2.0.0 Ready to start TLS\r\n"),
        b"AUTH PLAIN": granted(b"235 2.7.0 Authentication successful\r\n", b"535 5.7.8 Error: authentication failed: \r\n", b"PLAIN " + PLAIN),
        b"MAIL FROM": b"250 2.1.0 Ok\r\n",
        b"RCPT TO:<ALICE@EXAMPLE.TEST>": b"250 2.1.5 Ok\r\n",
        b"RCPT TO": b"554 5.7.1 <someone@elsewhere.test>: Relay access denied\r\n",
        b"RSET": b"250 2.0.0 Ok\r\n",
        b"QUIT": b"221 2.0.0 Bye\r\n",
    }
    table.update({name.encode(): reply for name, reply in changed.items()})
    return Answers(greeting, table, drop_after)


def imap(drop_after=None, greeting=b"* OK [CAPABILITY IMAP4rev1 SASL-IR STARTTLS AUTH=PLAIN] Dovecot (Debian) ready.\r\n", **changed):
    table = {
        b"CAPABILITY": b"* CAPABILITY IMAP4rev1 SASL-IR LITERAL+ STARTTLS AUTH=PLAIN\r\nTAG OK Pre-login capabilities listed.\r\n",
        b"STARTTLS": starts_tls(b"TAG OK Begin TLS negotiation now.\r\n"),
        b"AUTHENTICATE": granted(b"TAG OK [CAPABILITY IMAP4rev1 IDLE] Logged in\r\n",
                                 b"TAG NO [AUTHENTICATIONFAILED] Authentication failed.\r\n", b"AUTHENTICATE PLAIN " + PLAIN),
        b"EXAMINE": b"* FLAGS (\\Answered \\Flagged)\r\n* 3 EXISTS\r\n* 0 RECENT\r\nTAG OK [READ-ONLY] Examine completed.\r\n",
        b"LOGOUT": b"* BYE Logging out\r\nTAG OK Logout completed.\r\n",
    }
    table.update({name.encode(): reply for name, reply in changed.items()})
    return Answers(greeting, table, drop_after, tagged=True)


def pop3(drop_after=None, greeting=b"+OK Dovecot (Debian) ready.\r\n", **changed):
    table = {
        b"CAPA": b"+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nSTLS\r\nUSER\r\nSASL PLAIN\r\n.\r\n",
        b"STLS": starts_tls(b"+OK Begin TLS negotiation now.\r\n"),
        b"AUTH PLAIN": b"+ \r\n",
        PLAIN.upper(): b"+OK Logged in.\r\n",
        b"USER": b"+OK\r\n",
        b"PASS": granted(b"+OK Logged in.\r\n", b"-ERR [AUTH] Authentication failed.\r\n", PASSWORD.encode()),
        b"STAT": b"+OK 3 1234\r\n",
        b"QUIT": b"+OK Logging out.\r\n",
    }
    table.update({name.encode(): reply for name, reply in changed.items()})
    return Answers(greeting, table, drop_after)


_LISTING = (b'"IMPLEMENTATION" "Dovecot (Debian) Pigeonhole"\r\n"SIEVE" "fileinto reject vacation"\r\n"SASL" "PLAIN"\r\n"VERSION" "1.0"\r\n'
            b'"STARTTLS"\r\nOK "Dovecot ready."\r\n')


def _secured_listing(peer, _line):
    peer.send(b'OK "Begin TLS negotiation now."\r\n')
    peer.start_tls()
    peer.send(_LISTING.replace(b'"STARTTLS"\r\n', b""))


def sieve(drop_after=None, greeting=_LISTING, **changed):
    table = {
        b"CAPABILITY": _LISTING,
        b"STARTTLS": _secured_listing,
        b"AUTHENTICATE": granted(b'OK "Logged in."\r\n', b'NO "Authentication failed."\r\n', b'"PLAIN" "' + PLAIN + b'"'),
        b"LOGOUT": b'OK "Logout completed."\r\n',
    }
    table.update({name.encode(): reply for name, reply in changed.items()})
    return Answers(greeting, table, drop_after)
