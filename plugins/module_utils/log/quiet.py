"""The lines of ordinary traffic, taken out before anything is searched for.

Most lines of a mail log say that mail flows: a client came, a message was queued, delivered, removed; a user logged in and
out. They are counted and set aside; what is left, the loud lines, is a small part, and only that is searched for signatures.

What a stranger chose in a quiet line (a host name, an address, a message id, a remote server's words after ``250``) is no
evidence of a fault here. A signature that means a quiet line is recognised by ``meant`` and is given all lines.

The patterns are written for speed: in Python a run of "anything but one character" costs a tenth of a run of a set. A
single negated character may run across a line's end; the lengths and fixed texts around it see to it that it cannot.
"""
from __future__ import annotations

import re

# "Nov 23 20:51:07", "2026-11-23T20:51:07.123456+00:00" (or with a space), the journal's "1795467067.123456".
_STAMP = rb"\n(?:[A-Z].{14}|[0-9]{4}-.{14}[^ ]{0,16}|[0-9]{9,10}\.[0-9]{6})"
# "STAMP host postfix/smtpd[123]: ", then the queue id.
_POSTFIX_HEAD = _STAMP + rb" [^ ]* postfix[^[]{1,24}\[[0-9]*\]: (?:[^:]{1,20}: )?"
_POSTFIX_TAILS = (
    rb"connect from [^\n]*\]\n",
    rb"disconnect from ",
    # Without the login that a submission adds.
    rb"client=[^\n]*\]\n",
    rb"message-id=",
    # Not the null sender, whose messages are notifications.
    rb"from=<[^>][^\n]*\(queue active\)\n",
    rb"removed\n",
    rb"to=<[^(]*, status=sent \(250 ",
    rb"passing <",
)
# The two characters after the head tell the kind.
_POSTFIX = re.compile(_POSTFIX_HEAD + rb"(?=" + rb"|".join(_POSTFIX_TAILS) + rb")(..)[^\n]*")
_KINDS = {b"co": "connections", b"me": "accepted", b"to": "sent"}
_DOVECOT = re.compile(
    # Without host and "dovecot:" in a file that Dovecot writes itself.
    _STAMP + rb"(?: [^ ]* dovecot:)? (?:[a-z0-9]+-login: (?:Info: )?Log(?:in|ged in): user=<([^>\n]*)>[^\n]*"
    rb"|[a-z0-9]+\([^\n]*>: (?:Info: )?(?:Disconnected: Logged out |Logged out |Disconnected: Connection closed \()[^\n]*"
    rb"|lmtp\([0-9]+\): (?:Info: )?(?:Connect from |Disconnect from [^\n]*: Logged out )[^\n]*)"
)
# One of each kind; what differs from line to line is a NUL.
_SAMPLES = (
    b"\0 postfix/smtpd[\0]: connect from \0[\0]\0",
    b"\0 postfix/submission/smtpd[\0]: disconnect from \0[\0] ehlo=\0 starttls=\0 auth=\0 mail=\0 rcpt=\0 bdat=\0 data=\0 quit=\0 commands=\0",
    b"\0 postfix/smtpd[\0]: \0: client=\0[\0]\0",
    b"\0 postfix/cleanup[\0]: \0: message-id=<\0@\0>\0",
    b"\0 postfix/qmgr[\0]: \0: from=<\0@\0>, size=\0, nrcpt=\0 (queue active)\0",
    b"\0 postfix/qmgr[\0]: \0: removed\0",
    b"\0 postfix/lmtp[\0]: \0: to=<\0@\0>, orig_to=<\0@\0>, relay=\0[\0]:\0, conn_use=\0, delay=\0, delays=\0/\0/\0/\0, dsn=2.\0, status=sent (250 \0)\0",
    b"\0 postfix/local[\0]: \0: passing <\0@\0> to transport=\0 postfix/smtp[\0]: \0 postfix/virtual[\0]: \0",
    b"\0 dovecot: imap-login: Login: user=<\0>, method=\0, rip=\0, lip=\0, mpid=\0, TLS, secured, session=<\0>\0",
    b"\0 dovecot: pop3-login: Info: Logged in: user=<\0>, method=\0 managesieve-login: submission-login: \0",
    b"\0 dovecot: imap(\0)<\0><\0>: Disconnected: Logged out in=\0 out=\0 deleted=\0 expunged=\0 trashed=\0 hdr_count=\0 hdr_bytes=\0 body_count=\0 "
    b"body_bytes=\0",
    b"\0 dovecot: imap(\0)<\0><\0>: Info: Disconnected: Connection closed (\0) pop3(\0): Logged out top=\0 retr=\0 del=\0 size=\0",
    b"\0 dovecot: lmtp(\0): Connect from \0 dovecot: lmtp(\0): Disconnect from \0: Logged out (state=\0)\0",
)
_SAMPLE = b"".join(_SAMPLES).lower()
# Of a shorter piece, or of less that a text has in common with a piece's end, nothing is to be said.
_LONG_ENOUGH = 5
_TELLING = 7
_FRAGMENTS = frozenset(text for text in _SAMPLE.split(b"\0") if len(text) >= _LONG_ENOUGH)
_BEGINNINGS = frozenset(text[:size] for text in _FRAGMENTS for size in range(_TELLING, len(text)))
_ENDS = frozenset(text[-size:] for text in _FRAGMENTS for size in range(_TELLING, len(text)))


class Divided:
    """A block divided: ``loud``, its other lines (each ended by a newline); ``counts`` of the quiet ones by kind
    (connections, accepted, sent); ``users`` who logged in; ``lines``: how many there are in all."""

    __slots__ = ("loud", "counts", "users", "lines")

    def __init__(self, data: bytes):
        pieces = _POSTFIX.split(b"\n" + data)
        # No two neighbouring codes make a third between them.
        codes = b"".join(pieces[1::2])
        self.counts = {name: codes.count(code) for code, name in _KINDS.items()}
        self.lines = len(pieces) // 2
        pieces = _DOVECOT.split(b"".join(pieces[::2]))
        self.users = [user for user in pieces[1::2] if user is not None]
        self.lines += len(pieces) // 2
        self.loud = b"".join(pieces[::2])[1:]
        self.lines += self.loud.count(b"\n")


def meant(text: bytes) -> bool:
    """Whether a fixed text (lower case) may be meant to stand in a quiet line: it is part of one, holds a part, or overlaps one."""
    sizes = range(_TELLING, len(text) + 1)
    return (
        text in _SAMPLE or any(fragment in text for fragment in _FRAGMENTS)
        or any(text[:size] in _ENDS or text[-size:] in _BEGINNINGS for size in sizes)
    )
