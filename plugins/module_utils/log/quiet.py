"""The lines of ordinary traffic, told from the others in one pass.

Most lines of a mail log say that mail flows: a client came, a message was queued, delivered, removed; a user logged in and
out. Of those only the kind is kept; what is left, the loud lines, is a small part, and only that is looked at for signatures.

The pattern is written for speed: in Python a run of "anything but one character" costs a tenth of a run of a set. A single
negated character may run across a line's end; the fixed texts around it see to it that it cannot. What a stranger wrote stands
behind all that is looked at, but for the recipient: one with a space in it could hold all that follows, and then it follows twice.
"""
from __future__ import annotations

import re
from itertools import filterfalse

# "Nov 23 20:51:07", "2026-11-23T20:51:07.123456+00:00" (or with a space), the journal's "1795467067.123456".
_STAMP = rb"(?:[A-Z].{14}|[0-9]{4}-.{14}[^ ]{0,16}|[0-9]{9,10}\.[0-9]{6})"
_POSTFIX = (
    rb"postfix[^[]{1,24}\[[0-9]*\]: (?:(?=connect from |disconnect from )|[^ ]*: (?:"
    rb"(?=message-id=|removed\n"
    # Not the null sender, whose messages are notifications.
    rb"|from=<[^>][^\n]*\(queue active\)\n"
    rb"|to=<[^ ]* (?:orig_to=<[^ ]* )?relay=[^ ]* (?:conn_use=[^ ]* )?delay=[^ ]* delays=[^ ]* dsn=[^ ]* status=sent \(250 (?![^\n]*>, relay=)"
    rb"|passing <)"
    # Without the login that a submission adds; "c" is a connection's.
    rb"|c(?=lient=[^\n]*\]\n)))"
)
_DOVECOT = (
    rb"(?:[a-z0-9]+-login: (?:Info: )?Log(?:in|ged in): (?=user=<[^ ]*>, )"
    rb"|[a-z0-9]+\([^ \n]*>: (?:Info: )?(?=Disconnected: Logged out |Logged out |Disconnected: Connection closed \()"
    rb"|lmtp\([0-9]+\): (?:Info: )?(?=Connect from |Disconnect from [^\n]*: Logged out ))"
)
_LINE = re.compile(
    # Without host and "dovecot:" in a file that Dovecot writes itself. Nothing is passed over in a loud line.
    rb"\n(?:" + _STAMP + rb" (?:[^ ]* (?:" + _POSTFIX + rb"|dovecot(?:\[[0-9]+\])?: " + _DOVECOT + rb")|" + _DOVECOT + rb")|)"
    rb"((?<!\n)(?:user=<[^>\n]*|[cmt]|)|(?<=\n)(?!user=<)..[^\n]*)"
)
CONNECTION, ACCEPTED, SENT, LOGIN = b"c", b"m", b"t", b"user=<"
_CODES = frozenset((CONNECTION, ACCEPTED, SENT))


class Divided:
    """A block divided: ``loud``, its other lines; ``counts`` of the quiet ones by kind (connections, accepted, sent);
    ``users`` who logged in; ``lines``: how many there are in all."""

    __slots__ = ("loud", "counts", "users", "lines")

    def __init__(self, data: bytes):
        found = _LINE.findall(b"\n" + data)
        self.lines = len(found)
        # Those that count for nothing are empty.
        found = list(filter(None, found))
        self.counts = {name: found.count(code) for name, code in (("connections", CONNECTION), ("accepted", ACCEPTED), ("sent", SENT))}
        long = list(filterfalse(_CODES.__contains__, found))
        self.users = [text[len(LOGIN):] for text in long if text.startswith(LOGIN)]
        self.loud = [text for text in long if not text.startswith(LOGIN)] if self.users else long


def last_of(data: bytes, kind: bytes, text: bytes) -> int:
    """Where the last quiet line of a kind starts that holds ``text``, or -1. ``kind``: CONNECTION, ACCEPTED, SENT or LOGIN."""
    at = len(data)
    while True:
        at = data.rfind(text, 0, at)
        if at < 0:
            return -1
        start = data.rfind(b"\n", 0, at) + 1
        found = _LINE.match(b"\n" + data[start:data.find(b"\n", at) + 1])
        if found and (found.group(1) == kind or kind == LOGIN and found.group(1).startswith(kind)):
            return start
        at = start
