"""IMAP as a client speaks it: RFC 3501 and RFC 9051, with the response codes of RFC 5530."""
from __future__ import annotations

import re
import time

from ansible_collections.mailops.outage.plugins.module_utils.wire.sasl import xoauth2
from ansible_collections.mailops.outage.plugins.module_utils.wire.session import Answer, Session, base64_of, quoted, read_literals, upper_words
from ansible_collections.mailops.outage.plugins.module_utils.wire.transport import Stopped

MOST_LITERAL = 1024 * 1024
# Untagged responses before the tagged one; a large mailbox answers EXAMINE with about ten.
_MOST_RESPONSES = 1000
_STATUS = re.compile(rb"(OK|NO|BAD|BYE|PREAUTH)(?: \[([^\]]*)\])?(?: |$)", re.IGNORECASE)
_EXISTS = re.compile(rb"\* (\d{1,10}) EXISTS$", re.IGNORECASE)
_UID = re.compile(rb"[ (]UID (\d{1,10})[ )]", re.IGNORECASE)
_NEXT = re.compile(rb"[ \[(]UIDNEXT (\d{1,10})[])]", re.IGNORECASE)
_VALIDITY = re.compile(rb"\[UIDVALIDITY (\d{1,10})\]", re.IGNORECASE)
_FOLDER = re.compile(rb'\* LIST \(([^)]*)\) (?:"(\\?.)"|NIL) (.+)$', re.IGNORECASE)
# The account is not at fault: try again (RFC 5530 section 3).
_TEMPORARY = ("UNAVAILABLE", "INUSE", "SERVERBUG", "LIMIT", "CONTACTADMIN")


def parse_status(text: bytes) -> tuple[str, str]:
    """(condition, response code) of ``OK [ALERT] text``, in capitals, without arguments of the code. Raises ValueError when it is none."""
    found = _STATUS.match(text)
    if not found:
        raise ValueError("not a status response")
    words = upper_words(found.group(2) or b"")
    return found.group(1).decode("ascii").upper(), words[0] if words else ""


def parse_folder(line: bytes, literals: list[bytes]) -> tuple[list[str], str, bytes] | None:
    """(attributes in capitals, hierarchy separator, name as it goes over the wire) of a LIST response; None when it is another."""
    found = _FOLDER.match(line)
    if not found:
        return None
    name = literals[0] if literals else found.group(3).strip()
    if name[:1] == b'"' and name[-1:] == b'"':
        name = re.sub(rb"\\(.)", rb"\1", name[1:-1])
    return upper_words(found.group(1)), (found.group(2) or b"").decode("ascii", "replace")[-1:], name


class Imap(Session):
    """One IMAP session. ``exists`` is the number of messages in the open mailbox as the server last said it; ``grown`` becomes true when messages are
    added, and is the caller's to make false."""

    def __init__(self, stream):
        super().__init__(stream)
        self._number = 0
        self._literals: list[list[bytes]] = []
        self.exists = 0
        self.grown = False

    def command(self, line: bytes, *continuations: bytes) -> tuple[Answer, str, str, list[bytes]]:
        """Send one command, answering each ``+`` with the next of ``continuations``.

        Returns (tagged response, condition, response code, untagged responses). Stopped: ``closed`` after BYE, with the words of the BYE.
        """
        self._number += 1
        tag = b"a%d " % self._number
        pending = list(continuations)
        untagged: list[bytes] = []
        farewell = None
        self._literals = []
        self.send(tag + line)
        while len(untagged) <= _MOST_RESPONSES:
            try:
                response, literals = read_literals(self.stream, MOST_LITERAL)
            except Stopped as stop:
                if farewell and stop.outcome in ("closed", "reset"):
                    raise farewell.stop("closed") from None
                raise
            if response[:1] == b"+" and pending:
                self.send(pending.pop(0))
            elif response[:2] == b"* ":
                untagged.append(response)
                self._literals.append(literals)
                self._count(response)
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
        """AUTHENTICATE PLAIN, else the LOGIN command, or XOAUTH2 when asked for. Stopped: login_failed, login_unavailable, no_mechanism."""
        mechanism = self.choose(mechanism, ("PLAIN",), "" if "LOGINDISABLED" in self.offered else "LOGIN")
        self.hide(username, password)
        if mechanism == "XOAUTH2":
            response = xoauth2(username, password)
            self.stream.hide(response)
            # A refusal comes as a challenge, to be answered with nothing before the tagged response.
            sent = self.command(b"AUTHENTICATE XOAUTH2", response, b"")
        elif mechanism == "LOGIN":
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

    def ask(self, line: bytes) -> tuple[Answer, list[bytes]]:
        """A command that must be answered with OK: (answer, untagged responses). Stopped: tempfail, reject."""
        answer, condition, code, untagged = self.command(line)
        if condition != "OK":
            raise answer.stop("tempfail" if code in _TEMPORARY else "reject")
        return answer, untagged

    def select(self, name: bytes = b"INBOX") -> tuple[Answer, int | None, int | None]:
        """Open ``name`` for reading and deleting: (answer, UIDNEXT, UIDVALIDITY), None what the server does not say."""
        self.exists = 0
        answer, untagged = self.ask(b"SELECT " + _folder(name))
        return answer, _first(_NEXT, untagged), _first(_VALIDITY, untagged)

    def next_uid(self, name: bytes) -> int | None:
        """UIDNEXT of a mailbox that is not open (STATUS)."""
        return _first(_NEXT, self.ask(b"STATUS " + _folder(name) + b" (UIDNEXT)")[1])

    def folders(self, pattern: bytes = b"%") -> list[tuple[list[str], str, bytes]]:
        """LIST: (attributes, separator, name) of each; with SPECIAL-USE only those that have a use (RFC 6154)."""
        which = b"(SPECIAL-USE) " if "SPECIAL-USE" in self.offered else b""
        untagged = self.ask(b"LIST " + which + b'"" ' + quoted(pattern.decode("ascii")))[1]
        return [found for found in map(parse_folder, untagged, self._literals) if found]

    def fetch(self, uids: bytes, what: bytes) -> dict[int, bytes]:
        """UID FETCH of one body section: the text of each UID that exists."""
        untagged = self.ask(b"UID FETCH " + uids + b" (UID " + what + b")")[1]
        return {int(uid.group(1)): _text_of(line, literals)
                for line, literals in zip(untagged, self._literals) for uid in [_UID.search(line)] if uid and b" FETCH " in line.upper()[:24]}

    def search(self, criteria: bytes) -> list[int]:
        """UID SEARCH, in ascending order."""
        untagged = self.ask(b"UID SEARCH " + criteria)[1]
        return sorted({int(word) for line in untagged if line[:8].upper() == b"* SEARCH" for word in line[8:].split() if word.isdigit() and len(word) <= 10})

    def idle(self, seconds: float, enough) -> Answer:
        """IDLE (RFC 2177) until the mailbox grows or ``seconds`` are over; ``enough`` are the seconds for the server to end it.

        Stopped when the server refuses it or hangs up.
        """
        began = time.monotonic()
        self._number += 1
        tag = b"a%d " % self._number
        self.send(tag + b"IDLE")
        waiting = self.grown = False
        try:
            while not (waiting and self.grown):
                response, _literals = read_literals(self.stream, MOST_LITERAL)
                if response[:1] == b"+":
                    waiting = True
                    self.stream.within(seconds - (time.monotonic() - began))
                elif response.startswith(tag):
                    raise self.answer(response).stop("reject")
                elif response[2:6].upper() == b"BYE ":
                    raise self.answer(response).stop("closed")
                self._count(response)
        except Stopped as stop:
            if stop.outcome not in ("timeout", "silent") or not waiting:
                raise
        self.stream.within(enough)
        self.send(b"DONE")
        for _response in range(_MOST_RESPONSES):
            response, _literals = read_literals(self.stream, MOST_LITERAL)
            self._count(response)
            if response.startswith(tag):
                return self.answer(response)
        raise self.answer(response).stop("garbage")

    def _count(self, response: bytes) -> None:
        """Keep ``exists`` and ``grown`` up to date."""
        found = _EXISTS.match(response)
        if found:
            before, self.exists = self.exists, int(found.group(1))
            self.grown = self.grown or self.exists > before
        elif response[:2] == b"* " and response[-8:].upper() == b" EXPUNGE" and self.exists:
            self.exists -= 1

    def quit(self) -> None:
        self.command(b"LOGOUT")


def _folder(name: bytes) -> bytes:
    """A folder's name as a quoted string. Names are modified UTF-7 on the wire, hence ASCII (RFC 3501 section 5.1.3); others raise ValueError."""
    return quoted(name.decode("ascii"))


def _first(pattern, lines) -> int | None:
    return next((int(found.group(1)) for found in map(pattern.search, lines) if found), None)


def _text_of(line: bytes, literals: list[bytes]) -> bytes:
    """The section of a FETCH response: a literal, else a quoted string; empty for NIL."""
    if literals:
        return literals[0]
    found = re.search(rb'\] "((?:[^"\\]|\\.)*)"', line)
    return re.sub(rb"\\(.)", rb"\1", found.group(1)) if found else b""
