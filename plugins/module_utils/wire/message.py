"""The canary message: made, recognised, and compared with what arrived.

RFC 5322 (format), RFC 3834 (marked as automatic, so that nobody answers it). Pure functions.
"""
from __future__ import annotations

import base64
import binascii
import email.utils
import hashlib
import quopri
import re
import secrets
from email.errors import HeaderParseError
from email.header import decode_header, make_header

from ansible_collections.mailops.outage.plugins.module_utils.text import clean

CANARY, RUN = "X-Mailops-Canary", "X-Mailops-Run"
# What finds and proves one of our messages; all that is fetched of a message that may be somebody else's.
MARKS = (CANARY, RUN, "Message-ID", "Subject", "From", "Date", "Auto-Submitted")
_TOKEN = re.compile(r"[0-9a-f]{32}")
_FIELD = re.compile(rb"([!-9;-~]{1,200})[ \t]*:(.*)", re.DOTALL)
_REPLY = re.compile(r"\s*[^\s:]{1,12}\s*:")
_MOST_FIELDS = 500
_TEXT = """\
This message was sent by a machine to see whether mail arrives. Nobody
needs to read it, and it is deleted again by itself.

.The dot before this line belongs to it.

Token: {token}
"""


def new_token() -> str:
    """128 bits that nobody can guess, in hex."""
    return secrets.token_hex(16)


def compose(sender: str, recipient: str, token: str, run: str, now: float) -> bytes:
    """The canary for ``token``, in CRLF and ASCII. ``now`` is in seconds of the epoch."""
    domain = sender.rsplit("@", 1)[-1]
    header = (
        ("Date", email.utils.formatdate(now)),
        ("From", sender),
        ("To", recipient),
        ("Message-ID", f"<mailops.{token}@{domain}>"),
        ("Subject", f"Mail check {token}"),
        (CANARY, token),
        (RUN, run),
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
        ("MIME-Version", "1.0"),
        ("Content-Type", "text/plain; charset=us-ascii"),
        ("Content-Transfer-Encoding", "7bit"),
    )
    text = "".join(f"{name}: {value}\n" for name, value in header) + "\n" + _TEXT.format(token=token)
    return text.replace("\n", "\r\n").encode("ascii")


def split(raw: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """(fields, body) of a message: the fields in order, unfolded, as (name, value). Lines that are no field are passed over."""
    raw = raw.replace(b"\r\n", b"\n")
    head, _gap, body = (b"", b"", raw[1:]) if raw[:1] == b"\n" else raw.partition(b"\n\n")
    fields = []
    for line in re.sub(rb"\n[ \t]+", b" ", head).split(b"\n")[:_MOST_FIELDS]:
        found = _FIELD.fullmatch(line)
        if found:
            fields.append((found.group(1).decode("ascii"), found.group(2).strip().decode("utf-8", "replace")))
    return fields, body


def is_whole(raw: bytes) -> bool:
    """Whether ``split`` sees all of its header: it ends, and has no more fields than are read."""
    head, end, _body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    return bool(end) and len(re.sub(rb"\n[ \t]+", b" ", head).split(b"\n")) <= _MOST_FIELDS


def field(fields, name: str) -> str:
    """The first field of that name, or ``""``."""
    return next((value for given, value in fields if given.lower() == name.lower()), "")


def is_marked(fields, token: str) -> bool:
    """Whether a message carries ``token``: in our own field, in the Message-ID or in the subject, whichever a server left alone.

    A subject that begins like ``Re:`` is somebody's answer.
    """
    subject = words(field(fields, "Subject"))
    return (field(fields, CANARY) == token or f"mailops.{token}@" in field(fields, "Message-ID")
            or (token in subject and not _REPLY.match(subject)))


def token_of(fields, senders) -> str | None:
    """The token of a message that is one of ours beyond doubt, from whichever run: our two fields, a Message-ID with the same token,
    the mark of RFC 3834, and From one of ``senders``. Else None."""
    token = field(fields, CANARY)
    sure = (_TOKEN.fullmatch(token) and field(fields, RUN) and field(fields, "Message-ID").startswith(f"<mailops.{token}@")
            and field(fields, "Auto-Submitted").lower().startswith("auto-generated") and _address(field(fields, "From")) in {s.lower() for s in senders})
    return token if sure else None


def sent_at(fields) -> float | None:
    """The Date field in seconds of the epoch."""
    try:
        return email.utils.parsedate_to_datetime(field(fields, "Date")).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def digest(raw: bytes) -> str:
    """SHA-256 of the body, in hex: transfer encoding undone, line ends and trailing white space levelled, for both may change on the way."""
    fields, body = split(raw)
    encoding = field(fields, "Content-Transfer-Encoding").lower()
    if encoding == "quoted-printable":
        body = quopri.decodestring(body)
    elif encoding == "base64":
        try:
            body = base64.b64decode(body)
        except binascii.Error:
            pass
    lines = [line.rstrip() for line in body.replace(b"\r\n", b"\n").split(b"\n")]
    return hashlib.sha256(b"\n".join(lines).rstrip(b"\n")).hexdigest()


def alterations(sent: bytes, arrived: bytes) -> list[str]:
    """The fields that arrived otherwise than they were sent, and ``body``."""
    before, after = split(sent)[0], split(arrived)[0]
    changed = [name for name in ("From", "To", "Message-ID", "Subject", CANARY, RUN, "Auto-Submitted", "Date")
               if not _same(name, field(before, name), field(after, name))]
    return changed + ([] if digest(sent) == digest(arrived) else ["body"])


def _same(name: str, before: str, after: str) -> bool:
    if name in ("From", "To"):
        return _address(before) == _address(after)
    if name == "Date":
        return sent_at([("Date", before)]) == sent_at([("Date", after)])
    return before == (words(after) if name == "Subject" else after)


def _address(value: str) -> str:
    return email.utils.parseaddr(value)[1].lower()


def words(subject: str) -> str:
    """A subject with its encoded words read (RFC 2047)."""
    if "=?" not in subject:
        return subject
    try:
        return clean(str(make_header(decode_header(subject))))
    except (HeaderParseError, LookupError, ValueError):
        return subject
