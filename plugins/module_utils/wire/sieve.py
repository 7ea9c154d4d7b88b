"""ManageSieve as a client speaks it: RFC 5804."""
from __future__ import annotations

import re

from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.wire.session import MOST_LINES, Answer, Session, base64_of, quoted, read_literals

MOST_LITERAL = 64 * 1024
_STATUS = re.compile(rb"(OK|NO|BYE)(?: \(([A-Z/-]+)[^)]*\))?(?: |$)", re.IGNORECASE)
_CAPABILITY = re.compile(rb'"((?:[^"\\]|\\.)*)"(?: "((?:[^"\\]|\\.)*)")?')
_NO_MECHANISM = ("AUTH-TOO-WEAK", "ENCRYPT-NEEDED")


def parse_status(line: bytes) -> tuple[str, str] | None:
    """(OK, NO or BYE; response code) in capitals, or None when the line is data."""
    found = _STATUS.match(line)
    return (found.group(1).decode("ascii").upper(), (found.group(2) or b"").decode("ascii").upper()) if found else None


def parse_capability(line: bytes) -> list[str]:
    """The words of ``"SASL" "PLAIN LOGIN"``, the name in capitals; none when the line is no capability."""
    # Anchored: a search would take quadratic time on a line of nothing but escaped quotes.
    found = _CAPABILITY.match(line)
    words = " ".join(clean(re.sub(rb"\\(.)", rb"\1", value or b""), 1000) for value in found.groups()).split() if found else []
    return [words[0].upper()] + words[1:] if words else []


class Sieve(Session):
    """One ManageSieve session."""

    def response(self, malformed: str = "protocol_error") -> tuple[Answer, str, str]:
        """Read lines up to a status: (answer, status, response code). ``answer.lines`` are all lines."""
        lines: list[bytes] = []
        while len(lines) <= MOST_LINES:
            line, _literals = read_literals(self.stream, MOST_LITERAL)
            lines.append(line)
            status = parse_status(line)
            if status:
                return (self.answer(*lines),) + status
            if line[:1] not in (b'"', b"{"):
                raise self.answer(*lines).stop(malformed)
        raise self.answer(*lines).stop("garbage")

    def command(self, line: bytes) -> tuple[Answer, str, str]:
        self.send(line)
        return self.response()

    def greeting(self) -> Answer:
        return self._listing(*self.response(malformed="garbage"))

    def capabilities(self) -> Answer:
        return self._listing(*self.command(b"CAPABILITY"))

    def secured(self) -> Answer:
        """After the handshake the server lists its capabilities unasked (RFC 5804 section 2.2)."""
        return self._listing(*self.response())

    def _listing(self, answer: Answer, status: str, code: str) -> Answer:
        if status != "OK":
            raise answer.stop("tempfail" if code == "TRYLATER" else "reject")
        self.offered, self.mechanisms, self.offers_tls = [], [], False
        for line in answer.lines[:-1]:
            words = parse_capability(line)
            if not words:
                continue
            self.offered.append(clean(" ".join(words)))
            if words[0] == "SASL":
                self.mechanisms = [word.upper() for word in words[1:]]
            self.offers_tls = self.offers_tls or words[0] == "STARTTLS"
        return answer

    def _expect(self, line: bytes, refusal: str) -> Answer:
        answer, status, code = self.command(line)
        if status == "OK":
            return answer
        if code == "TRYLATER":
            raise answer.stop("login_unavailable" if refusal == "login_failed" else "tempfail")
        raise answer.stop("no_mechanism" if code in _NO_MECHANISM else refusal)

    def ask_tls(self) -> Answer:
        return self._expect(b"STARTTLS", "reject")

    def login(self, username: str, password: str, mechanism: str = "") -> Answer:
        """AUTHENTICATE PLAIN. Stopped: login_failed, login_unavailable, no_mechanism."""
        self.choose(mechanism, ("PLAIN",))
        self.hide(username, password)
        return self._expect(b'AUTHENTICATE "PLAIN" ' + quoted(base64_of("", username, password).decode("ascii")), "login_failed")

    def quit(self) -> None:
        self.command(b"LOGOUT")
