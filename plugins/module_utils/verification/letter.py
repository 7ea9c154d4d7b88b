"""The verification mail: who answers it shows that they can both receive and send. Composed, sent, and its answers judged."""
from __future__ import annotations

import email.utils
import re
import secrets
import time
from email.message import EmailMessage
from email.policy import SMTP

from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.wire.message import field, split
from ansible_collections.mailops.outage.plugins.module_utils.wire.probe import checked_target, settled_options
from ansible_collections.mailops.outage.plugins.module_utils.wire.smtp import outcome_of
from ansible_collections.mailops.outage.plugins.module_utils.wire.visit import Visit

_TOKEN = re.compile(r"mailops-signoff\.([0-9a-f]{32})@")
_FAILS = re.compile(r"\b(?:dkim|spf|dmarc)\s*=\s*(?:hard|perm)?fail\b", re.IGNORECASE)
# Of each answer: enough for any header, and no more of what the person quoted.
_MOST_BYTES = 65536
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
    """What is remembered of one question: ``{name, address, token, digest, expires_epoch}``."""
    return {"name": verifier["name"], "address": verifier["address"], "token": secrets.token_hex(16), "digest": digest, "expires_epoch": now + seconds}


def compose(asked: dict, sender: str, run_id: str, now: float) -> bytes:
    """The message, in CRLF. Marked as automatic (RFC 3834), so that no vacation program answers for the person. ValueError for a bad address."""
    letter = EmailMessage(policy=SMTP)
    letter["Date"] = email.utils.formatdate(now)
    letter["From"] = sender
    letter["To"] = asked["address"]
    letter["Message-ID"] = f"<mailops-signoff.{asked['token']}@{sender.rpartition('@')[2]}>"
    letter["Subject"] = "Please answer: does mail work again? / Graag antwoorden: werkt e-mail weer?"
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(_TEXT.format(name=clean(asked["name"], 100), run=run_id))
    return letter.as_bytes()


def judge(raw: bytes, requests: list, now: float) -> tuple:
    """``(request, "")`` of an answer that counts, else ``(None, why not)``.

    It carries the token of a question, comes from the person who was asked, was written by no machine, does not fail
    our server's own authentication checks, and came in before the question expired.
    """
    fields, _body = split(raw)
    token = _TOKEN.search(field(fields, "In-Reply-To") + " " + field(fields, "References"))
    asked = next((item for item in requests if token and item["token"] == token.group(1)), None)
    if asked is None:
        return None, "it answers no question of this verification"
    senders = [email.utils.parseaddr(value)[1].lower() for name, value in fields if name.lower() == "from"]
    if senders != [asked["address"].lower()]:
        return None, f"the question was put to {asked['address']}, and {clean(', '.join(senders) or 'nobody', 200)} answers"
    if _automatic(fields):
        return None, "a machine wrote it"
    if _FAILS.search(field(fields, "Authentication-Results")):
        return None, "it fails the authentication of its sender"
    if _arrived(fields, now) > asked["expires_epoch"]:
        return None, "it came too late"
    return asked, ""


def _automatic(fields: list) -> bool:
    return bool(
        field(fields, "Auto-Submitted").lower().partition(";")[0].strip() not in ("", "no")
        or field(fields, "Precedence").lower() in ("bulk", "junk", "list", "auto_reply")
        or field(fields, "List-Id") or field(fields, "X-Autoreply") or field(fields, "Return-Path").strip() == "<>"
        or field(fields, "Content-Type").lower().startswith("multipart/report"))


def _arrived(fields: list, now: float) -> float:
    """When our own server took it, by its Received field, the topmost; now where that cannot be read."""
    try:
        return email.utils.parsedate_to_datetime(field(fields, "Received").rpartition(";")[2].strip()).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return now


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
    """The beginnings of all messages in the INBOX that answer one of the questions; the mailbox is opened for reading only. Raises Stopped."""
    found = []
    with _visit(target, ca_file, "mailbox") as visit:
        visit.ask("mailbox", lambda: visit.session.mailbox()[0])
        for item in requests:
            token = item["token"].encode()
            session = visit.patient()
            uids = session.search(b'OR HEADER In-Reply-To "' + token + b'" HEADER References "' + token + b'"')[-20:]
            for uid in uids:
                found += visit.patient().fetch(b"%d" % uid, b"BODY.PEEK[]<0.%d>" % _MOST_BYTES).values()
    return found
