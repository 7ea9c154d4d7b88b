"""IMAP as a client speaks it: RFC 3501 and RFC 9051, with the response codes of RFC 5530."""
from __future__ import annotations

import re

from ansible_collections.mailops.outage.plugins.module_utils.wire.session import Answer, Session, base64_of, quoted, read_literals, upper_words
from ansible_collections.mailops.outage.plugins.module_utils.wire.transport import Stopped

MOST_LITERAL = 1024 * 1024
# Untagged responses before the tagged one; a large mailbox answers EXAMINE with about ten.
_MOST_RESPONSES = 1000
_STATUS = re.compile(rb"(OK|NO|BAD|BYE|PREAUTH)(?: \[([^\]]*)\])?(?: |$)", re.IGNORECASE)
_EXISTS = re.compile(rb"\* (\d{1,10}) EXISTS$", re.IGNORECASE)
# The account is not at fault: try again (RFC 5530 section 3).
_TEMPORARY = ("UNAVAILABLE", "INUSE", "SERVERBUG", "LIMIT", "CONTACTADMIN")


def parse_status(text: bytes) -> tuple[str, str]:
    """(condition, response code) of ``OK [ALERT] text``, in capitals, without arguments of the code. Raises ValueError when it is none."""
    found = _STATUS.match(text)
    if not found:
        raise ValueError("not a status response")
    words = upper_words(found.group(2) or b"")
    return found.group(1).decode("ascii").upper(), words[0] if words else ""


class Imap(Session):
    """One IMAP session."""

    def __init__(self, stream):
        super().__init__(stream)
        self._number = 0

    def command(self, line: bytes, *continuations: bytes) -> tuple[Answer, str, str, list[bytes]]:
        """Send one command, answering each ``+`` with the next of ``continuations``.

        Returns (tagged response, condition, response code, untagged responses). Stopped: ``closed`` after BYE, with the words of the BYE.
        """
        self._number += 1
        tag = b"a%d " % self._number
        pending = list(continuations)
        untagged: list[bytes] = []
        farewell = None
        self.send(tag + line)
        while len(untagged) <= _MOST_RESPONSES:
            try:
                response, _literals = read_literals(self.stream, MOST_LITERAL)
            except Stopped as stop:
                if farewell and stop.outcome in ("closed", "reset"):
                    raise farewell.stop("closed") from None
                raise
            if response[:1] == b"+" and pending:
                self.send(pending.pop(0))
            elif response[:2] == b"* ":
                untagged.append(response)
                if response[2:6].upper() == b"BYE ":
                    farewell = self.answer(response)
            elif response.startswith(tag):
                try:
                    condition, code = parse_status(response[len(tag):])
                except ValueError:
                    raise self.answer(response).stop("protocol_error") from None
                return self.answer(response), condition, code, untagged
            else:
                raise self.answer(response).stop("protocol_error")
        raise self.answer(untagged[-1]).stop("garbage")

    def greeting(self) -> Answer:
        response, _literals = read_literals(self.stream, MOST_LITERAL)
        answer = self.answer(response)
        try:
            condition, code = parse_status(response[2:])
        except ValueError:
            condition, code = "", ""
        if response[:2] != b"* " or condition not in ("OK", "PREAUTH", "BYE"):
            raise answer.stop("garbage")
        if condition == "BYE":
            raise answer.stop("tempfail" if code in _TEMPORARY else "reject")
        return answer

    def capabilities(self) -> Answer:
        answer, condition, _code, untagged = self.command(b"CAPABILITY")
        if condition != "OK":
            raise answer.stop("protocol_error")
        words = [word for line in untagged if line[:13].upper() == b"* CAPABILITY " for word in upper_words(line[13:])]
        self.offered = list(dict.fromkeys(words))
        self.mechanisms = [word[5:] for word in self.offered if word.startswith("AUTH=")]
        self.offers_tls = "STARTTLS" in self.offered
        return answer

    def ask_tls(self) -> Answer:
        answer, condition, code, _untagged = self.command(b"STARTTLS")
        if condition != "OK":
            raise answer.stop("tempfail" if code in _TEMPORARY else "reject")
        return answer

    def login(self, username: str, password: str, mechanism: str = "") -> Answer:
        """AUTHENTICATE PLAIN, else the LOGIN command. Stopped: login_failed, login_unavailable, no_mechanism."""
        mechanism = self.choose(mechanism, ("PLAIN",), "" if "LOGINDISABLED" in self.offered else "LOGIN")
        self.hide(username, password)
        if mechanism == "LOGIN":
            sent = self.command(b"LOGIN " + quoted(username) + b" " + quoted(password))
        elif "SASL-IR" in self.offered:
            sent = self.command(b"AUTHENTICATE PLAIN " + base64_of("", username, password))
        else:
            sent = self.command(b"AUTHENTICATE PLAIN", base64_of("", username, password))
        answer, condition, code, _untagged = sent
        if condition != "OK":
            raise answer.stop(self._refusal(condition, code))
        return answer

    @staticmethod
    def _refusal(condition: str, code: str) -> str:
        if code in _TEMPORARY:
            return "login_unavailable"
        if condition == "BAD" or code == "PRIVACYREQUIRED":
            return "no_mechanism"
        return "login_failed"

    def mailbox(self, name: str = "INBOX") -> tuple[Answer, int | None]:
        """Open ``name`` for reading only (EXAMINE): (answer, number of messages). Stopped: tempfail, reject."""
        answer, condition, code, untagged = self.command(b"EXAMINE " + quoted(name))
        if condition != "OK":
            raise answer.stop("tempfail" if code in _TEMPORARY else "reject")
        counts = [int(found.group(1)) for found in map(_EXISTS.match, untagged) if found]
        return answer, counts[-1] if counts else None

    def quit(self) -> None:
        self.command(b"LOGOUT")
