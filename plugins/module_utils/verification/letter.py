"""The verification mail: who answers it shows that they can both receive and send. Composed, sent, and its answers judged."""
from __future__ import annotations

import email.utils
import re
import secrets
import time
from email.message import EmailMessage
from email.policy import SMTP

from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.verification.authenticity import is_forged
from ansible_collections.mailops.outage.plugins.module_utils.wire.message import field, is_whole, split, words
from ansible_collections.mailops.outage.plugins.module_utils.wire.probe import checked_target, settled_options
from ansible_collections.mailops.outage.plugins.module_utils.wire.received import hop
from ansible_collections.mailops.outage.plugins.module_utils.wire.smtp import outcome_of
from ansible_collections.mailops.outage.plugins.module_utils.wire.visit import Visit

_TOKEN = re.compile(r"mailops-signoff\.([0-9a-f]{32})@")
_ADDRESS = r"[^\s<>@,;:\"()]+@[^\s<>@,;:\"()]+"
# One author, with or without a name before the address. What is in quotes and comments is gone by then.
_AUTHOR = re.compile(rf"(?:(?P<name>[^<>,;:]*)<\s*(?P<address>{_ADDRESS})\s*>|(?P<bare>{_ADDRESS}))\s*")
_QUOTED, _COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"'), re.compile(r"\([^()]*\)")
# Of old vacation programs that know no Auto-Submitted; nobody who presses the button for an answer begins a subject so.
_AWAY = re.compile(r"(automatic reply|automatisch(e)? antwoord|auto(matic)?[- ]?(reply|response)|out of (the )?office|afwezig(heid)?|auto):", re.IGNORECASE)
_OF_MACHINES = ("List-Id", "X-Autoreply", "X-Autorespond", "X-AutoReply-From", "X-Mail-Autoreply", "X-FC-MachineGenerated")
# Of each answer: enough for any header, and nothing of what the person wrote.
_MOST_BYTES = 65536
_MOST_ANSWERS = 50
_SESSION_SECONDS = 60
_TEXT = """\
Hello {name},

Mail was repaired, and our checks passed (run {run}). Please ANSWER this
message as you always answer mail. Your answer shows that you can receive
and send, and counts as your confirmation that mail works.

E-mail is hersteld en onze controles zijn geslaagd (run {run}). BEANTWOORD
dit bericht zoals u altijd doet. Uw antwoord toont dat u kunt ontvangen en
verzenden, en geldt als uw bevestiging dat e-mail werkt.
"""


def request(verifier: dict, digest: str, seconds: float, now: float) -> dict:
    """What is remembered of one question: ``{name, address, token, digest, expires_epoch}``. ValueError for whom no answer could ever count."""
    name, address = clean(verifier["name"], 100), verifier["address"].strip()
    if not name:
        raise ValueError("a verifier needs a name")
    if not re.fullmatch(_ADDRESS, address):
        raise ValueError("that is no mail address")
    return {"name": name, "address": address, "token": secrets.token_hex(16), "digest": digest, "expires_epoch": now + seconds}


def compose(asked: dict, sender: str, run_id: str, now: float) -> bytes:
    """The message, in CRLF. Marked as automatic (RFC 3834), so that no vacation program answers for the person. ValueError for a bad address."""
    letter = EmailMessage(policy=SMTP)
    letter["Date"] = email.utils.formatdate(now)
    letter["From"] = sender
    letter["To"] = asked["address"]
    letter["Message-ID"] = f"<mailops-signoff.{asked['token']}@{sender.rpartition('@')[2]}>"
    letter["Subject"] = "Please answer: does mail work again? / Graag antwoorden: werkt e-mail weer?"
    letter["Auto-Submitted"] = "auto-generated"
    # Exchange goes by a field of its own.
    letter["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    letter.set_content(_TEXT.format(name=clean(asked["name"], 100), run=run_id))
    return letter.as_bytes()


def mailbox(address: str) -> str:
    """What two spellings of one address have in common: case, and the detail of subaddressing (``anna+work@``, RFC 5233)."""
    local, _at, domain = address.lower().rpartition("@")
    return f"{local.partition('+')[0] or local}@{domain}"


def judge(raw: bytes, requests: list, now: float, own_domain: str = "") -> tuple:
    """``(request, "")`` of an answer that counts, else ``(None, why not)``. ``own_domain`` is that of the mailbox it came to.

    It carries the token of a question, comes from the person who was asked and from nobody else, was written by no machine, is not forged by
    our server's own findings, and came in before the question expired.
    """
    if not is_whole(raw):
        return None, "its header is too long to be judged"
    fields, _body = split(raw)
    answered = " ".join(words(value) for wanted in ("in-reply-to", "references") for name, value in fields if name.lower() == wanted)
    asked = next((item for token in _TOKEN.findall(answered) for item in requests if item["token"] == token), None)
    if asked is None:
        return None, "it answers no question of this verification"
    senders = [value for name, value in fields if name.lower() == "from"]
    author = _author(senders[0]) if len(senders) == 1 else ""
    if not author or mailbox(author) != mailbox(asked["address"]):
        return None, f"the question was put to {asked['address']}, and {clean(author or ', '.join(senders) or 'nobody', 200)} answers"
    if _automatic(fields):
        return None, "a machine wrote it"
    if is_forged(fields, author, own_domain):
        return None, "it fails the authentication of its sender"
    if _arrived(fields, now) > asked["expires_epoch"]:
        return None, "it came too late"
    return asked, ""


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
    """The headers of the messages in the INBOX that answer one of the questions; the mailbox is opened for reading only. Raises Stopped."""
    found: set = set()
    with _visit(target, ca_file, "mailbox") as visit:
        visit.ask("mailbox", lambda: visit.session.mailbox()[0])
        for item in requests:
            token = item["token"].encode()
            found |= set(visit.patient().search(b'OR HEADER In-Reply-To "' + token + b'" HEADER References "' + token + b'"')[-_MOST_ANSWERS:])
        return [raw for uid in sorted(found) for raw in visit.patient().fetch(b"%d" % uid, b"BODY.PEEK[HEADER]<0.%d>" % _MOST_BYTES).values()]
