"""SMTP and LMTP as a client speaks them: RFC 5321, RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 2033 (LMTP)."""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.wire.sasl import xoauth2
from ansible_collections.mailops.outage.plugins.module_utils.wire.session import MOST_LINES, Answer, Session, base64_of, plain, upper_words

# No such command, no such parameter, not here, mechanism unknown, too weak, or only under TLS (RFC 4954 section 6, RFC 5321 section 4.2.3).
_NO_MECHANISM = (500, 501, 502, 503, 504, 530, 534, 538)


def parse_line(line: bytes) -> tuple[int, bool, bytes]:
    """(code, whether it is the last line, text) of one reply line. Raises ValueError when it is none (RFC 5321 section 4.2.1)."""
    code, mark = line[:3], line[3:4]
    if len(code) != 3 or not code.isdigit() or not b"200" <= code <= b"599" or mark not in (b"", b" ", b"-"):
        raise ValueError("not a reply line")
    return int(code), mark != b"-", line[4:]


def outcome_of(code: int | None) -> str:
    """What an unwelcome reply code means for the sender: try again, give up, or not in step."""
    return {4: "tempfail", 5: "reject"}.get((code or 0) // 100, "protocol_error")


def stuffed(message: bytes) -> bytes:
    """The message with dots at line starts doubled (RFC 5321 section 4.5.2), ending in CRLF."""
    message = message if message.endswith(b"\r\n") else message + b"\r\n"
    return (b"\r\n" + message).replace(b"\r\n.", b"\r\n..")[2:]


class Smtp(Session):
    """One SMTP session, or an LMTP session with ``lmtp``."""

    def __init__(self, stream, helo: str, lmtp: bool = False):
        super().__init__(stream)
        self._helo = helo
        self._lmtp = lmtp

    def reply(self, malformed: str = "protocol_error") -> Answer:
        """Read one reply. Stopped ``malformed`` when it is none; ``protocol_error`` on mixed codes, ``garbage`` on a reply without end."""
        lines: list[bytes] = []
        first = None
        while True:
            line = self.stream.recv_line()
            lines.append(line)
            try:
                code, last, _text = parse_line(line)
            except ValueError:
                raise self.answer(*lines).stop("protocol_error" if lines[1:] else malformed) from None
            if first not in (None, code):
                raise self.answer(*lines, code=code).stop("protocol_error")
            if len(lines) > MOST_LINES:
                raise self.answer(*lines).stop("garbage")
            if last:
                return self.answer(*lines, code=code)
            first = code

    def command(self, line: bytes) -> Answer:
        """Send one command and return its reply, whatever its code."""
        self.send(line)
        return self.reply()

    def expect(self, line: bytes, *codes: int) -> Answer:
        """Send one command; Stopped tempfail, reject or protocol_error unless the reply has one of ``codes``."""
        reply = self.command(line)
        if reply.code not in codes:
            raise reply.stop(outcome_of(reply.code))
        return reply

    def greeting(self) -> Answer:
        reply = self.reply(malformed="garbage")
        if reply.code != 220:
            raise reply.stop(outcome_of(reply.code))
        return reply

    def capabilities(self) -> Answer:
        """LHLO or EHLO; a server that knows no EHLO is greeted with HELO and offers nothing (RFC 5321 section 3.2)."""
        self.offered, self.mechanisms, self.offers_tls = [], [], False
        reply = self.command((b"LHLO " if self._lmtp else b"EHLO ") + plain(self._helo))
        if reply.code in (500, 502) and not self._lmtp:
            return self.expect(b"HELO " + plain(self._helo), 250)
        if reply.code != 250:
            raise reply.stop(outcome_of(reply.code))
        for line in reply.lines[1:]:
            # "AUTH=" is how some servers repeat the list for old clients.
            words = upper_words(line[4:].replace(b"=", b" ") if line[4:9].upper() == b"AUTH=" else line[4:])
            self.offered.append(clean(" ".join(words)))
            if words[:1] == ["AUTH"]:
                self.mechanisms += [word for word in words[1:] if word not in self.mechanisms]
        self.offers_tls = "STARTTLS" in self.offered
        return reply

    def ask_tls(self) -> Answer:
        return self.expect(b"STARTTLS", 220)

    def login(self, username: str, password: str, mechanism: str = "") -> Answer:
        """AUTH PLAIN or LOGIN, or XOAUTH2 when asked for. Stopped: login_failed (535), login_unavailable (4xx), no_mechanism."""
        mechanism = self.choose(mechanism, ("PLAIN", "LOGIN"))
        self.hide(username, password)
        if mechanism == "PLAIN":
            rest = [base64_of("", username, password)]
            reply = self.command(b"AUTH PLAIN " + rest[0])
        elif mechanism == "XOAUTH2":
            response = xoauth2(username, password)
            self.stream.hide(response)
            # A refusal comes as a challenge, to be answered with nothing before the server says so with a code.
            rest = [response, b""]
            reply = self.command(b"AUTH XOAUTH2")
        else:
            rest = [base64_of(username), base64_of(password)]
            reply = self.command(b"AUTH " + plain(mechanism))
        for response in rest:
            if reply.code == 334:
                reply = self.command(response)
        if reply.code != 235:
            raise reply.stop(self._refusal(reply))
        return reply

    @staticmethod
    def _refusal(reply: Answer) -> str:
        if reply.code in _NO_MECHANISM:
            return "no_mechanism"
        return {"tempfail": "login_unavailable", "reject": "login_failed"}.get(outcome_of(reply.code), "protocol_error")

    def sender(self, address: str) -> Answer:
        """MAIL FROM, with the empty sender for ``""``. Returns the reply whatever its code."""
        return self.command(b"MAIL FROM:<" + plain(address) + b">" + self._utf8(address))

    def recipient(self, address: str) -> Answer:
        """RCPT TO. Returns the reply whatever its code: 250 and 251 accept (RFC 5321 section 3.3)."""
        return self.command(b"RCPT TO:<" + plain(address) + b">")

    def data(self) -> Answer:
        """DATA. Stopped tempfail, reject or protocol_error unless the server asks for the message (354)."""
        return self.expect(b"DATA", 354)

    def content(self, message: bytes) -> Answer:
        """Send the message (CRLF lines) with its dots doubled, and the end of data. Stopped unless it was taken (250).

        Of LMTP this is the reply for the one recipient (RFC 2033 section 4.2).
        """
        self.stream.send(stuffed(message) + b".\r\n")
        reply = self.reply()
        if reply.code != 250:
            raise reply.stop(outcome_of(reply.code))
        return reply

    def reset(self) -> Answer:
        return self.command(b"RSET")

    def quit(self) -> None:
        self.command(b"QUIT")

    def _utf8(self, address: str) -> bytes:
        return b" SMTPUTF8" if not address.isascii() and "SMTPUTF8" in self.offered else b""
