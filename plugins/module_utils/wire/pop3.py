"""POP3 as a client speaks it: RFC 1939, RFC 2449 (CAPA), RFC 2595 (STLS), RFC 5034 (AUTH), RFC 3206 (response codes)."""
from __future__ import annotations

import re

from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.wire.sasl import xoauth2
from ansible_collections.mailops.outage.plugins.module_utils.wire.session import MOST_LINES, Answer, Session, base64_of, plain, upper_words

# Lines of one message that is read here.
_MOST_MESSAGE = 5000
_STATUS = re.compile(rb"(\+OK|-ERR)(?: \[([^\]]*)\])?(?: |$)", re.IGNORECASE)
# The system is at fault, or another session holds the mailbox: not the password (RFC 2449 section 8, RFC 3206).
_TEMPORARY = ("SYS/TEMP", "SYS/PERM", "IN-USE", "LOGIN-DELAY")


def parse_status(line: bytes) -> tuple[bool, str]:
    """(whether it is +OK, response code in capitals or ``""``). Raises ValueError when it is no status line."""
    found = _STATUS.match(line)
    if not found:
        raise ValueError("not a status line")
    words = upper_words(found.group(2) or b"")
    return found.group(1)[:1] == b"+", words[0] if words else ""


class Pop3(Session):
    """One POP3 session."""

    def status(self, malformed: str = "protocol_error") -> tuple[Answer, bool, str]:
        line = self.stream.recv_line()
        answer = self.answer(line)
        try:
            good, code = parse_status(line)
        except ValueError:
            raise answer.stop(malformed) from None
        return answer, good, code

    def command(self, line: bytes) -> tuple[Answer, bool, str]:
        """Send one command and return (status line, whether it is +OK, response code)."""
        self.send(line)
        return self.status()

    def expect(self, line: bytes) -> Answer:
        """Send one command; Stopped tempfail or reject on -ERR."""
        answer, good, code = self.command(line)
        if not good:
            raise answer.stop("tempfail" if code in _TEMPORARY else "reject")
        return answer

    def greeting(self) -> Answer:
        answer, good, code = self.status(malformed="garbage")
        if not good:
            raise answer.stop("tempfail" if code in _TEMPORARY else "reject")
        return answer

    def capabilities(self) -> Answer:
        """CAPA; a server that knows none offers nothing, which is allowed."""
        self.offered, self.mechanisms, self.offers_tls = [], [], False
        answer, good, _code = self.command(b"CAPA")
        if not good:
            return answer
        for line in self._listing():
            words = upper_words(line)
            self.offered.append(clean(" ".join(words)))
            if words[:1] == ["SASL"]:
                self.mechanisms = words[1:]
        self.offers_tls = "STLS" in self.offered
        return answer

    def _listing(self, most: int = MOST_LINES) -> list[bytes]:
        lines: list[bytes] = []
        while len(lines) <= most:
            line = self.stream.recv_line()
            if line == b".":
                return lines
            lines.append(line)
        raise self.answer(lines[-1]).stop("garbage")

    def ask_tls(self) -> Answer:
        return self.expect(b"STLS")

    def login(self, username: str, password: str, mechanism: str = "") -> Answer:
        """AUTH PLAIN, else USER and PASS (mechanism ``USER`` or ``LOGIN``), or XOAUTH2 when asked for.

        Stopped: login_failed, login_unavailable, no_mechanism.
        """
        mechanism = self.choose(mechanism, ("PLAIN",), "USER")
        self.hide(username, password)
        if mechanism == "PLAIN":
            return self._authenticate(b"PLAIN", base64_of("", username, password))
        if mechanism == "XOAUTH2":
            response = xoauth2(username, password)
            self.stream.hide(response)
            return self._authenticate(b"XOAUTH2", response)
        answer, good, code = self.command(b"USER " + plain(username))
        if good:
            answer, good, code = self.command(b"PASS " + plain(password))
        return self._granted(answer, good, code)

    def _authenticate(self, mechanism: bytes, response: bytes) -> Answer:
        # Without an initial response: a line of RFC 1939 may be too short for it, and every server takes the two-step form.
        self.send(b"AUTH " + mechanism)
        line = self.stream.recv_line()
        wanted = "no_mechanism"
        # XOAUTH2 explains a refusal in a second challenge, to be answered with nothing.
        for reply in (response, b""):
            if line[:1] == b"+" and line[:3].upper() != b"+OK":
                self.send(reply)
                line = self.stream.recv_line()
                wanted = "login_failed"
        try:
            good, code = parse_status(line)
        except ValueError:
            raise self.answer(line).stop("protocol_error") from None
        return self._granted(self.answer(line), good, code, wanted)

    @staticmethod
    def _granted(answer: Answer, good: bool, code: str, refusal: str = "login_failed") -> Answer:
        if not good:
            raise answer.stop("login_unavailable" if code in _TEMPORARY else refusal)
        return answer

    def mailbox(self) -> tuple[Answer, int | None]:
        """STAT: (answer, number of messages). Stopped: tempfail, reject."""
        answer = self.expect(b"STAT")
        found = re.match(rb"\+OK (\d{1,10}) ", answer.lines[0], re.IGNORECASE)
        return answer, int(found.group(1)) if found else None

    def number_of(self, command: bytes, number: int) -> bytes:
        """What ``UIDL n`` or ``LIST n`` says of one message, without its number. Stopped: tempfail, reject, protocol_error."""
        answer = self.expect(b"%s %d" % (command, number))
        words = answer.lines[0].split()
        if len(words) < 3 or words[1] != b"%d" % number:
            raise answer.stop("protocol_error")
        return words[2]

    def text(self, command: bytes) -> bytes:
        """The lines that TOP or RETR answers with, in CRLF and without the doubled dots. Stopped: tempfail, reject, garbage."""
        self.expect(command)
        lines = self._listing(_MOST_MESSAGE)
        return b"".join((line[1:] if line[:1] == b"." else line) + b"\r\n" for line in lines)

    def delete(self, number: int) -> Answer:
        """DELE, which counts once ``update`` has been answered."""
        return self.expect(b"DELE %d" % number)

    def update(self) -> Answer:
        """QUIT, with which the server does its deletions. Stopped tempfail or reject when it could not."""
        return self.expect(b"QUIT")

    def quit(self) -> None:
        self.command(b"QUIT")
