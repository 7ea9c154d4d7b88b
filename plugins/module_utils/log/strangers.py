r"""What strangers wrote into a log line is cut out before anybody looks for a meaning in it.

Addresses, greeting names, client names, user names, header values, message ids, mailbox names and the answers of other servers are
chosen by others. ``shapes`` takes them out of the messages of a program, by that program's grammar, and leaves what the program says
itself: ``reject: RCPT from []: 554 5.7.1 <>: Relay access denied;``. Messages of one shape say the same.

A field is taken for what it looks like only while it is plain: an address in angle brackets without spaces, quotes or brackets, a name
before an address in square brackets. Where it is not, everything from there to the end of the line is cut: what such a field holds could
be made to look like the rest of the line. What closes a line of refusals (``; from=<> to=<> proto=ESMTP helo=<>``) becomes ``;`` only when
it is that and nothing else, so a pattern that ends with ``;$`` knows that no field reached out of its place.

Marks: ``<>``, ``""``, ``()`` and ``[]`` where something stood inside, ``(,)`` where a user and an address did; ``[]`` and ``[private/...`` where
a name stood before it; and the end of the line. `reader` finds in the message as it was what stood there.

Sources: Postfix smtpd_check.c, smtpd.c, cleanup_message.c, smtp_proto.c, postscreen(8); Dovecot's login-common and lib-storage; Exim
specification, chapter 52.
"""
from __future__ import annotations

import re

_PLAIN = rb'[^<>"\s]*'
_NAME = rb'[^ \n\[\]()<>"=]*'
_ADDRESS = rb"(?:[0-9A-Fa-f.:]+|unknown)"


def _cut(pattern: bytes, mark: bytes) -> tuple:
    return re.compile(pattern, re.M), mark


def _after(*openers) -> list:
    """After these texts all of the line is a stranger's."""
    return [_cut(re.escape(opener) + rb"[^\n]+", opener) for opener in openers]


_ANGLES = [_cut(rb"<" + _PLAIN + rb">", b"<>"), _cut(rb"<(?!>)[^\n]*", b"<")]
_QUOTES = [_cut(rb'"[^"\n]*"', b'""'), _cut(rb'"(?!")(?<!"")[^\n]*', b'"')]
_ANSWERS = (b" said: ", b" refused to talk to me: ")
# Applied one after the other to messages joined by newlines: (pattern, mark).
_CUTS = {
    "postfix": [
        *_after(*_ANSWERS, b"message-id=", b"sasl_username=", b" authentication failed: ", b"Command output: ",
                b": body ", b": content ", b" command: "),
        _cut(rb": header ([^ :\n]+): [^\n]*", rb": header \1:"),
        _cut(rb"^(?:warning: )?(?:non-SMTP command|improper command pipelining|PREGREET|COMMAND)[^\n]*", b""),
        *_ANGLES, *_QUOTES,
        _cut(rb" " + _NAME + rb"\[" + _ADDRESS + rb"\]", b" []"),
        _cut(rb"client=" + _NAME + rb"\[" + _ADDRESS + rb"\]", b"client=[]"),
        # A socket is our own.
        _cut(rb" " + _NAME + rb"\[(?=private/|public/|/)", b" ["),
        _cut(rb"; (?:from=<>,? )?(?:to=<>,? )?proto=[A-Z]+(?:,? helo=<>)?(?:,? sasl_username=)?$", b";"),
    ],
    "dovecot": [
        *_after(b"user=<", b" (given password: ", b" (username: "),
        _cut(rb": rcpt [^ \n]*: ", b": rcpt : "),
        _cut(rb": rcpt (?!: )[^\n]*", b": rcpt "),
        _cut(rb": msgid=[^ \n]*: ", b": msgid=: "),
        _cut(rb": msgid=(?!: )[^\n]*", b": msgid="),
        # A user in the brackets of a process, and of a lookup with the address of who asked; what is not plain could close them.
        _cut(rb"^[a-z-]+\((?![^()<>\s]*\))[^\n]*", b""),
        _cut(rb"^(auth[^ \n]*: (?:[A-Z][a-z]+: )?(?:conn \S+ \([^()\n]*\): auth-worker<[0-9]*>: )?[a-z0-9-]+\()"
             rb"[^(),<>\s]*,[0-9A-Fa-f.:]*(?:,<[^<>\s]*>)?\)", rb"\1,)"),
        # A mailbox may be named like an error.
        _cut(rb": Mailbox [\w./-]+: ", b": Mailbox : "),
        _cut(rb": Mailbox (?!: )[^\n]*", b": Mailbox"),
        _cut(rb"\) failed: [^\n]*\) failed: [^\n]*", b")"),
        # What is said of something, not what is said in brackets.
        _cut(rb"\((?<=\w\()(?!,\))[^()\n]*\)", b"()"),
        *_ANGLES, *_QUOTES,
    ],
    "exim": [
        *_after(b'"', b"(set_id=", b"rejected EHLO or HELO ", b" SMTP error from remote mail server ", b" id="),
        _cut(rb"\bH=(?:[^ \n()]+ )?(?:\([^ \n()]*\) )?\[[0-9A-Fa-f.:]+\](?::[0-9]+)?", b"H=[]"),
        _cut(rb"\bH=(?!\[\])[^\n]*", b"H="),
        _cut(rb" for (?:[^ \n()]+ )?(?:\([^ \n()]*\) )?\[[0-9A-Fa-f.:]+\]", b" for []"),
        _ANGLES[0],
        # But the arrow of a message that came in.
        _cut(rb"(?!^<= )<(?!>)[^\n]*", b"<"),
    ],
    "other": [*_ANGLES, *_QUOTES],
    # The kernel and the system's manager name processes and units.
    "system": [],
}
# Postfix's programs before they have read its configuration and with it syslog_name.
_UNNAMED = frozenset((b"master", b"postmulti", b"postsuper", b"postconf", b"postfix"))
# Where something may have stood in a shape, by what stands there now: (in front of it, inside it).
_MARKS = re.compile(
    rb'(?:(?<=[ =])|\A)(\[)(?=\])|(?:(?<=[ =])|\A)(\[)|<(?=>)|"(?=")|\((?=,?\))|(?<=\(),(?=\))|H=\[(?=\])|: (?:msgid=|rcpt |Mailbox )(?=: )'
)
_INSIDE = {
    b"<": _PLAIN, b'"': rb'[^"\n]*', b"(": rb"[^()\n]*?", b",": rb"[^()\n]*",
    b": msgid=": rb"[^ \n]*", b": rcpt ": rb"[^ \n]*", b": Mailbox ": rb"[^:\n]*",
}


def family(program: bytes) -> str:
    """Whose grammar a program's messages follow, by its name in syslog (Postfix: syslog_name/daemon)."""
    if program in (b"kernel", b"systemd"):
        return "system"
    if b"/" in program or program in _UNNAMED:
        return "postfix"
    return next((name for name in ("dovecot", "exim") if program.startswith(name.encode())), "other")


def shapes(of: str, messages: list) -> list:
    """The messages of a family's programs without what strangers wrote."""
    text = b"\n".join(messages)
    for pattern, mark in _CUTS[of]:
        text = pattern.sub(mark, text)
    return text.split(b"\n")


def answer(message: bytes) -> bytes | None:
    """The answer of another server that a message quotes, or None."""
    for opener in _ANSWERS:
        _before, quoted, text = message.partition(opener)
        if quoted:
            return text
    return None


def places(shape: bytes) -> dict:
    """Where something may have stood in messages of this shape: {offset: pattern of what stood there}."""
    found = {}
    for mark in _MARKS.finditer(shape):
        if mark.group(1) or mark.group(2):
            found[mark.start()] = _NAME
            if mark.group(1):
                found[mark.end()] = _ADDRESS
        elif mark.group() == b"H=[":
            found.update({mark.end() - 1: rb"[^\n]*?", mark.end(): _ADDRESS, mark.end() + 1: rb"(?::[0-9]+)?"})
        else:
            found[mark.end()] = _INSIDE[mark.group()]
    found.setdefault(len(shape), rb"[^\n]*")
    return found


def reader(shape: bytes, wanted) -> re.Pattern:
    """A pattern for messages of this shape with a group for what stood at each of the ``wanted`` places, in their order."""
    pieces, done = [], 0
    for place, pattern in sorted(places(shape).items()):
        pieces += [re.escape(shape[done:place]), b"(%s)" % pattern if place in wanted else pattern]
        done = place
    return re.compile(b"".join(pieces) + re.escape(shape[done:]))
