"""The verification mail: who answers it shows that they can both receive and send. Composed, sent, and its answers judged.

An answer is found by the question's Message-ID, which every mail server on its way has in its log. It counts only with the code, a secret that stands
in the question's text alone, so that a mail program quotes it back and no log holds it; what is kept of it on the controller is its digest.
"""
from __future__ import annotations

import email
import email.utils
import hashlib
import re
import secrets
import string
import time
from email.message import EmailMessage
from email.policy import SMTP

from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.verification.authenticity import doubt
from ansible_collections.mailops.outage.plugins.module_utils.wire.message import field, is_whole, split, words
from ansible_collections.mailops.outage.plugins.module_utils.wire.probe import checked_target, settled_options
from ansible_collections.mailops.outage.plugins.module_utils.wire.received import hop
from ansible_collections.mailops.outage.plugins.module_utils.wire.smtp import outcome_of
from ansible_collections.mailops.outage.plugins.module_utils.wire.visit import Visit

_QUESTION = re.compile(r"mailops-signoff\.([0-9a-f]{32})@")
# Letters alone: mail programs make links of what looks like a telephone number. 26 ** 28 is more than 128 bits.
_CODE_LETTERS = 28
_CODE = re.compile(rf"(?<![A-Za-z])[a-z]{{{_CODE_LETTERS}}}(?![A-Za-z])")
_TAG = re.compile(r"<[^<>]*>")
_ADDRESS = r"[^\s<>@,;:\"()]+@[^\s<>@,;:\"()]+"
# One author, with or without a name before the address. What is in quotes and comments is gone by then.
_AUTHOR = re.compile(rf"(?:(?P<name>[^<>,;:]*)<\s*(?P<address>{_ADDRESS})\s*>|(?P<bare>{_ADDRESS}))\s*")
_QUOTED, _COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"'), re.compile(r"\([^()]*\)")
# Of old vacation programs that know no Auto-Submitted; nobody who presses the button for an answer begins a subject so.
_AWAY = re.compile(r"(automatic reply|automatisch(e)? antwoord|auto(matic)?[- ]?(reply|response)|out of (the )?office|afwezig(heid)?|auto):", re.IGNORECASE)
# Who sent it for its author, or sent it again (RFC 5322 sections 3.6.2 and 3.6.6).
_SENT_BY = ("sender", "resent-from", "resent-sender")
_OF_MACHINES = ("List-Id", "X-Autoreply", "X-Autorespond", "X-AutoReply-From", "X-Mail-Autoreply", "X-FC-MachineGenerated")
# Of an answer, from its begin: any header, and a long text with what it quotes.
_MOST_BYTES = 262144
_MOST_ANSWERS = 50
_MOST_PARTS = 100
_SESSION_SECONDS = 60
_TEXT = """\
Hello {name},

Mail was repaired, and our checks passed (run {run}). Please ANSWER this
message as you always answer mail, and leave this text below your answer:
the code in it shows that you have read it. Your answer shows that you can
receive and send, and counts as your confirmation that mail works.

E-mail is hersteld en onze controles zijn geslaagd (run {run}). BEANTWOORD
dit bericht zoals u altijd doet, en laat deze tekst onder uw antwoord staan:
aan de code erin is te zien dat u het hebt gelezen. Uw antwoord toont dat u
kunt ontvangen en verzenden, en geldt als uw bevestiging dat e-mail werkt.

Code: {code}
"""
KEPT = ("name", "address", "id", "code_digest", "digest", "expires_epoch")


def request(verifier: dict, digest: str, seconds: float, now: float) -> tuple:
    """One question: (what is kept of it, by the names in KEPT; its secret code). ValueError for whom no answer could ever count."""
    name, address = clean(verifier["name"], 100), verifier["address"].strip()
    if not name:
        raise ValueError("a verifier needs a name")
    if not re.fullmatch(_ADDRESS, address):
        raise ValueError("that is no mail address")
    code = "".join(secrets.choice(string.ascii_lowercase) for _letter in range(_CODE_LETTERS))
    return {"name": name, "address": address, "id": secrets.token_hex(16), "code_digest": _digest(code), "digest": digest,
            "expires_epoch": now + seconds}, code


def compose(asked: dict, code: str, sender: str, run_id: str, now: float) -> bytes:
    """The message, in CRLF. Marked as automatic (RFC 3834), so that no vacation program answers for the person. ValueError for a bad address."""
    letter = EmailMessage(policy=SMTP)
    letter["Date"] = email.utils.formatdate(now)
    letter["From"] = sender
    letter["To"] = asked["address"]
    letter["Message-ID"] = f"<mailops-signoff.{asked['id']}@{sender.rpartition('@')[2]}>"
    letter["Subject"] = "Please answer: does mail work again? / Graag antwoorden: werkt e-mail weer?"
    letter["Auto-Submitted"] = "auto-generated"
    # Exchange goes by a field of its own.
    letter["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    letter.set_content(_TEXT.format(name=clean(asked["name"], 100), run=run_id, code=code))
    return letter.as_bytes()


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode("ascii")).hexdigest()


def mailbox(address: str) -> str:
    """What two spellings of one address have in common: case, and the detail of subaddressing (``anna+work@``, RFC 5233)."""
    local, _at, domain = address.lower().rpartition("@")
    return f"{local.partition('+')[0] or local}@{domain}"


def judge(raw: bytes, requests: list, now: float, own: set) -> tuple:
    """``(request, "")`` of an answer that counts, else ``(None, why not)``. ``own``: names, addresses and domains of our servers, in small letters.

    It answers a question, comes from the person who was asked and from nobody else, was written by no machine, holds the question's code, is vouched
    for by our own servers (verification/authenticity.py), and came in before the question expired.
    """
    if not is_whole(raw):
        return None, "its header is too long to be judged"
    fields, _body = split(raw)
    answered = " ".join(words(value) for wanted in ("in-reply-to", "references") for name, value in fields if name.lower() == wanted)
    questions = [item for found in _QUESTION.findall(answered) for item in requests if item["id"] == found]
    if not questions:
        return None, "it answers no question of this verification"
    codes = {_digest(code) for code in _codes(raw)}
    asked = next((item for item in questions if item["code_digest"] in codes), questions[0])
    senders = [value for name, value in fields if name.lower() == "from"]
    author = _author(senders[0]) if len(senders) == 1 else ""
    by_others = [value for name, value in fields if name.lower() in _SENT_BY and mailbox(_author(value)) != mailbox(asked["address"])]
    if not author or mailbox(author) != mailbox(asked["address"]) or by_others:
        return None, f"the question was put to {asked['address']}, and {clean(', '.join(by_others) or author or ', '.join(senders) or 'nobody', 200)} answers"
    if _automatic(fields):
        return None, "a machine wrote it"
    if asked["code_digest"] not in codes:
        return None, f"the code of the question is not in the answer of {asked['address']}: the text of the question must stay below the answer"
    because = doubt(fields, author, own)
    if because:
        return None, f"{asked['address']}: {because}"
    if _arrived(fields, now) > asked["expires_epoch"]:
        return None, "it came too late"
    return asked, ""


def _codes(raw: bytes) -> set:
    """What looks like a code in the text that a reader of the message sees: plain or HTML, however it was encoded; attachments are not read."""
    found: set = set()
    try:
        waiting = [email.message_from_bytes(raw[:_MOST_BYTES])]
        for _part in range(_MOST_PARTS):
            if not waiting:
                break
            part = waiting.pop()
            kind = part.get_content_type()
            if kind.startswith("multipart/") and part.is_multipart():
                waiting += reversed(part.get_payload())
            elif kind in ("text/plain", "text/html") and part.get_content_disposition() != "attachment" and not part.get_filename():
                text = _text(part)
                # A tag may stand within a word, or between two that nothing else parts.
                for reading in (_TAG.sub("", text), _TAG.sub(" ", text)) if kind == "text/html" else (text,):
                    found.update(_CODE.findall(reading))
    except (LookupError, ValueError, RecursionError):
        pass
    return found


def _text(part) -> str:
    data = part.get_payload(decode=True) or b""
    try:
        return data.decode(part.get_content_charset("utf-8"), "replace")
    except (LookupError, ValueError):
        return data.decode("ascii", "replace")


def _author(value: str) -> str:
    """The one address of a From field; empty when it names several, or could be read in two ways."""
    text = _QUOTED.sub(" ", value)
    for _depth in range(3):
        text = _COMMENT.sub(" ", text)
    found = _AUTHOR.fullmatch(text.strip())
    if not found:
        return ""
    address = found["address"] or found["bare"]
    return address if "@" not in (found["name"] or "") or found["name"].strip().lower() == address.lower() else ""


def _automatic(fields: list) -> bool:
    said = [_COMMENT.sub("", value).partition(";")[0].strip().lower() for name, value in fields if name.lower() == "auto-submitted"]
    ranks = {value.strip().lower() for name, value in fields if name.lower() == "precedence"}
    return bool(
        [value for value in said if value not in ("", "no")] or ranks & {"bulk", "junk", "list", "auto_reply", "auto-reply"}
        or [name for name in _OF_MACHINES if field(fields, name).lower() not in ("", "no")] or field(fields, "Return-Path").strip() == "<>"
        or re.match(r"multipart/report|message/disposition-notification", field(fields, "Content-Type"), re.IGNORECASE)
        or _AWAY.match(words(field(fields, "Subject")).strip()))


def _arrived(fields: list, now: float) -> float:
    """When our own server took it, by its Received field, the topmost; now where that cannot be read."""
    stamp = hop(field(fields, "Received"))["time_epoch"]
    return now if stamp is None else stamp


def _visit(target: dict, ca_file: str | None, side: str) -> Visit:
    options = settled_options({"ca_file": ca_file, "vantage": "controller"})
    return Visit(checked_target(target), options, time.monotonic() + _SESSION_SECONDS, [], side)


def _taken(reply):
    if reply.code not in (250, 251):
        raise reply.stop(outcome_of(reply.code))
    return reply


def send(target: dict, ca_file: str | None, sender: str, recipient: str, raw: bytes) -> None:
    """Send one message by submission. Raises Stopped where the server does not take it, BadRequest for a bad target."""
    with _visit(target, ca_file, "sending") as visit:
        session = visit.session
        visit.ask("sender", lambda: _taken(session.sender(sender)))
        visit.ask("recipient", lambda: _taken(session.recipient(recipient)))
        visit.ask("data", session.data)
        visit.ask("content", lambda: session.content(raw))


def answers(target: dict, ca_file: str | None, requests: list) -> list:
    """The messages in the INBOX that answer one of the questions, the begin of each; the mailbox is opened for reading only. Raises Stopped."""
    found: set = set()
    with _visit(target, ca_file, "mailbox") as visit:
        visit.ask("mailbox", lambda: visit.session.mailbox()[0])
        for item in requests:
            number = item["id"].encode("ascii")
            found |= set(visit.patient().search(b'OR HEADER In-Reply-To "' + number + b'" HEADER References "' + number + b'"')[-_MOST_ANSWERS:])
        return [raw for uid in sorted(found) for raw in visit.patient().fetch(b"%d" % uid, b"BODY.PEEK[]<0.%d>" % _MOST_BYTES).values()]
