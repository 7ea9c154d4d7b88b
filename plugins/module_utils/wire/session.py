"""What the mail protocols have in common: one command, one answer, and the server's words kept.

A session speaks over a Stream and knows nothing of probing. Its methods return the server's Answer, or raise Stopped
with the outcome that this answer means in that protocol.
"""
from __future__ import annotations

import base64
from dataclasses import dataclass

from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.wire.transport import Stopped

# Lines of one answer. Real servers list some 30 capabilities.
MOST_LINES = 200


@dataclass(frozen=True)
class Answer:
    """One answer. ``text`` is cleaned and without secrets; ``code`` is the reply code of SMTP and LMTP, else None; ``lines`` are as they came."""

    text: str
    code: int | None = None
    lines: tuple[bytes, ...] = ()

    def stop(self, outcome: str) -> Stopped:
        return Stopped("", outcome, self.text, self.code)


def plain(text: str) -> bytes:
    """``text`` as part of a command line. Raises ValueError on characters that would end the line: no command is smuggled in."""
    if any(character in text for character in "\r\n\0"):
        raise ValueError("a line end or NUL in a command")
    return text.encode("utf-8")


def base64_of(*parts: str) -> bytes:
    """The parts, joined by NUL as SASL PLAIN has them (RFC 4616), in base64."""
    return base64.b64encode("\0".join(parts).encode("utf-8"))


class Session:
    """The shape that the protocols share.

    ``offered`` are the capabilities (cleaned), ``mechanisms`` the SASL mechanisms, ``offers_tls`` whether STARTTLS is offered;
    all three as of the last ``capabilities()``.
    """

    def __init__(self, stream):
        self.stream = stream
        self.offered: list[str] = []
        self.mechanisms: list[str] = []
        self.offers_tls = False

    def greeting(self) -> Answer:
        raise NotImplementedError

    def capabilities(self) -> Answer:
        raise NotImplementedError

    def ask_tls(self) -> Answer:
        """Send the protocol's STARTTLS and read the consent. The handshake is the stream's."""
        raise NotImplementedError

    def secured(self) -> Answer:
        """The capabilities under TLS, which count from now on: asked again, unless the protocol sends them by itself."""
        return self.capabilities()

    def login(self, username: str, password: str, mechanism: str = "") -> Answer:
        raise NotImplementedError

    def quit(self) -> None:
        """Say farewell and read the reply."""
        raise NotImplementedError

    def send(self, line: bytes) -> None:
        self.stream.send(line + b"\r\n")

    def answer(self, *lines: bytes, code: int | None = None) -> Answer:
        return Answer(clean(self.stream.shown(b" ".join(lines))), code, lines)

    def hide(self, username: str, password: str) -> None:
        """Keep the password out of every answer from now on, in the forms in which it goes over the wire."""
        self.stream.hide(password.encode("utf-8"), _quoted(password), base64_of(password), base64_of("", username, password))

    def choose(self, mechanism: str, known, fallback: str = "") -> str:
        """The login mechanism: the one asked for, else the first known one that is offered, else ``fallback``. Stopped: no_mechanism."""
        if mechanism:
            return mechanism.upper()
        for name in known:
            if name in self.mechanisms:
                return name
        if not fallback:
            offered = " ".join(self.mechanisms) or "none"
            raise Stopped("", "no_mechanism", f"mechanisms offered: {offered}")
        return fallback


def _quoted(text: str) -> bytes:
    return text.replace("\\", "\\\\").replace('"', '\\"').encode("utf-8")


def quoted(text: str) -> bytes:
    """A quoted string of IMAP and ManageSieve (RFC 3501 section 4.3, RFC 5804 section 1.2)."""
    return b'"' + _quoted(plain(text).decode("utf-8")) + b'"'


def literal_size(line: bytes) -> int | None:
    """The byte count when ``line`` ends in a literal of IMAP or ManageSieve, ``{42}`` or ``{42+}``; else None."""
    if not line.endswith(b"}"):
        return None
    count = line[line.rfind(b"{") + 1:-1] if b"{" in line else b""
    count = count[:-1] if count.endswith(b"+") else count
    # bytes.isdigit is ASCII only; ten digits hold every 32-bit size.
    return int(count) if count.isdigit() and len(count) <= 10 else None


def read_literals(stream, most: int) -> tuple[bytes, list[bytes]]:
    """One response of IMAP or ManageSieve: its line, joined over its literals, and the literals. More than ``most`` bytes of them is garbage."""
    line = stream.recv_line()
    literals: list[bytes] = []
    room = most
    size = literal_size(line)
    while size is not None:
        room -= size
        if room < 0 or len(literals) >= MOST_LINES:
            raise Stopped("", "garbage", stream.shown(line))
        literals.append(stream.recv_exactly(size))
        rest = stream.recv_line()
        line += b" " + rest
        size = literal_size(rest)
    return line, literals


def upper_words(text: bytes) -> list[str]:
    """The words of a capability line in capitals, cleaned."""
    return [clean(word, 100).upper() for word in text.split()[:MOST_LINES]]
