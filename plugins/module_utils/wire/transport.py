"""A byte stream to a server that may be ill or hostile: every wait and every read is bounded.

The stream works over anything with ``send``, ``recv``, ``settimeout`` and ``close``: a socket, or a channel of an
SSH connection. TLS runs over memory buffers for the same reason, and so that bytes which came before TLS began
are seen rather than lost.

All times are seconds. Nothing here knows a mail protocol.
"""
from __future__ import annotations

import errno
import re
import socket
import threading
import time
from contextlib import contextmanager

from ansible_collections.mailops.outage.plugins.module_utils import secrets
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

MOST_LINE = 64 * 1024
MOST_BYTES = 4 * 1024 * 1024
_CHUNK = 16 * 1024

_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EADDRNOTAVAIL,
                errno.EACCES, errno.EPERM, errno.EAFNOSUPPORT, errno.EINVAL)


class Stopped(Exception):
    """A conversation that could not go on.

    ``step`` is where (filled in by the Journal when the raiser does not know it), ``outcome`` one word of the
    observation's vocabulary, ``answer`` the server's or the system's words (cleaned), ``code`` the reply code.
    """

    def __init__(self, step, outcome, answer="", code=None):
        super().__init__(step, outcome)
        self.step = step
        self.outcome = outcome
        self.answer = clean(answer)
        self.code = code

    def __str__(self):
        return f"{self.step or '?'}: {self.outcome}: {self.answer}"


class Distrusted(Exception):
    """The server's certificate chain did not verify. ``code`` is OpenSSL's X509_V_ERR number."""

    def __init__(self, error, code):
        super().__init__(error)
        self.error = clean(error)
        self.code = code


class Journal:
    """The steps of one conversation, in order: ``[{step, ok, seconds, answer}]``."""

    def __init__(self):
        self.steps = []

    @contextmanager
    def step(self, name):
        """Time one step. The body puts the server's words into the yielded entry's ``answer``."""
        entry = {"step": name, "ok": False, "seconds": 0.0, "answer": ""}
        self.steps.append(entry)
        began = time.monotonic()
        try:
            yield entry
            entry["ok"] = True
        except Stopped as stop:
            stop.step = stop.step or name
            entry["answer"] = stop.answer
            raise
        except Distrusted as doubt:
            entry["answer"] = doubt.error
            raise
        finally:
            entry["seconds"] = round(time.monotonic() - began, 3)

    def note(self, name, ok, answer=""):
        """Write down a judgement that took no time of its own."""
        self.steps.append({"step": name, "ok": ok, "seconds": 0.0, "answer": clean(answer)})


def outcome_of(problem: OSError) -> str:
    """The observation's word for a socket error."""
    # Python 3.9 has two time-out classes: its own timer's, and ETIMEDOUT of the system.
    if isinstance(problem, (socket.timeout, TimeoutError)):
        return "timeout"
    if isinstance(problem, ConnectionRefusedError):
        return "refused"
    return "unreachable" if problem.errno in _UNREACHABLE else "reset"


def bounded(ask, seconds: float):
    """The answer of ``ask()``, or socket.timeout after ``seconds``: for system calls that take no time limit.

    The thread of a call that never comes back is a daemon and is left behind.
    """
    answers, ready = [], threading.Event()

    def run():
        try:
            answers.append((ask(), None))
        except Exception as problem:  # pylint: disable=broad-except
            answers.append((None, problem))
        ready.set()

    threading.Thread(target=run, daemon=True).start()
    if not ready.wait(max(0.0, seconds)):
        raise socket.timeout("timed out")
    answer, problem = answers[0]
    if problem is not None:
        raise problem
    return answer


def resolve(name: str, port: int, seconds: float) -> list[str]:
    """The addresses of ``name`` in the order in which the system would try them (RFC 6724).

    Raises Stopped: ``no_name`` (it does not exist, or has no address), ``tempfail`` (the resolver could not
    say), ``timeout``.
    """
    try:
        found = bounded(lambda: socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG), seconds)
    except socket.timeout:
        raise Stopped("", "timeout", f"no answer for {name} within {seconds:g} s") from None
    except socket.gaierror as problem:
        outcome = "tempfail" if problem.errno == socket.EAI_AGAIN else "no_name"
        raise Stopped("", outcome, problem.strerror or str(problem)) from None
    except (OSError, UnicodeError) as problem:
        raise Stopped("", "no_name", str(problem)) from None
    return list(dict.fromkeys(entry[4][0] for entry in found))


def connect(address: str, port: int, seconds: float):
    """A TCP connection to exactly this numeric address. Raises Stopped: refused, timeout, unreachable, reset."""
    try:
        return socket.create_connection((address, port), timeout=max(0.001, seconds))
    except OSError as problem:
        raise Stopped("", outcome_of(problem), problem.strerror or str(problem)) from None


def own_name(seconds: float = 1.0) -> str:
    """This machine's name for EHLO: fully qualified, else ``localhost.localdomain``; a dead resolver costs ``seconds``."""
    name = socket.gethostname()
    if "." not in name:
        try:
            name = bounded(socket.getfqdn, seconds)
        except (OSError, UnicodeError):
            pass
    return name if "." in name and re.fullmatch(r"[A-Za-z0-9._-]{1,255}", name) else "localhost.localdomain"


class Stream:
    """Lines to and from a peer, with a deadline for each step and one for the whole.

    ``until`` is the end of the whole conversation on the monotonic clock, ``most`` the bytes that the peer may send in all.
    Every method raises Stopped, with an outcome of: ``silent`` (never a byte came), ``timeout`` (some came, not
    enough), ``closed``, ``reset``, ``unreachable``, ``garbage`` (more than may be), ``tls_failed``, ``protocol_error``.
    """

    def __init__(self, raw, until: float, most: int = MOST_BYTES):
        self._raw = raw
        self._until = until
        self.within(until - time.monotonic())
        self._most = most
        self._buffer = bytearray()
        self._searched = 0
        self._hidden = ()
        self._incoming = self._outgoing = None
        self.tls = None
        self.received = 0

    def within(self, seconds: float) -> None:
        """Give the next step ``seconds``, or what is left of the whole."""
        self._allowed = max(0.0, min(seconds, self._until - time.monotonic()))
        self._step_until = time.monotonic() + self._allowed

    def hide(self, *known: bytes) -> None:
        """From now on, ``shown`` puts ``(hidden)`` wherever the peer sends one of these back: a server may quote what it was sent."""
        self._hidden = tuple(sorted(filter(None, {*self._hidden, *known}), key=len, reverse=True))

    def recv_line(self, most: int = MOST_LINE) -> bytes:
        """The next line without its line end: CRLF, or a bare LF. As it came, so never to be recorded without ``shown``."""
        while True:
            end = self._buffer.find(b"\n", self._searched)
            if end > most or (end < 0 and len(self._buffer) > most):
                raise Stopped("", "garbage", self._partial())
            if end >= 0:
                line = bytes(self._buffer[:end])
                self._drop(end + 1)
                return line[:-1] if line.endswith(b"\r") else line
            self._searched = len(self._buffer)
            self._fill()

    def recv_exactly(self, count: int) -> bytes:
        """The next ``count`` bytes. The caller bounds ``count``."""
        while len(self._buffer) < count:
            self._fill()
        data = bytes(self._buffer[:count])
        self._drop(count)
        return data

    def shown(self, data: bytes) -> bytes:
        """The peer's words without the hidden ones: whatever is recorded passes here."""
        return secrets.without(data, self._hidden)

    def send(self, data: bytes) -> None:
        if self.tls is None:
            self._push(data)
            return
        rest = memoryview(data)
        while rest:
            rest = rest[self._with_tls(lambda rest=rest: self.tls.write(rest)):]

    def start_tls(self, context, name: str) -> None:
        """Do the TLS handshake as a client, with ``name`` as SNI.

        Raises Distrusted when ``context`` verifies and the chain does not, and Stopped ``protocol_error`` when bytes are
        waiting that came in plaintext: to go on would take them for an answer under TLS (RFC 3207 section 6, CVE-2011-0411).
        """
        import ssl

        if self._buffer:
            raise Stopped("", "protocol_error", f"plaintext before TLS began: {clean(self._partial(), 200)}")
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._with_tls(self.tls.do_handshake)

    def close(self) -> None:
        try:
            self._raw.close()
        except OSError:
            pass

    def _partial(self) -> bytes:
        """What came of an unfinished answer; a secret that it breaks off in is hidden too."""
        text = self.shown(bytes(self._buffer[:MOST_LINE]))
        for secret in self._hidden:
            for length in range(len(secret) - 1, 0, -1):
                if text.endswith(secret[:length]):
                    return text[:-length] + secrets.HIDDEN.encode()
        return text

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._searched = 0

    def _fill(self) -> None:
        data = self._pull() if self.tls is None else self._with_tls(lambda: self.tls.read(_CHUNK))
        if not data:
            raise self._closed()
        self._buffer += data

    def _left(self) -> float:
        left = self._step_until - time.monotonic()
        if left <= 0:
            raise self._late()
        return left

    def _pull(self) -> bytes:
        """Some bytes off the wire; none when the peer has closed."""
        try:
            self._raw.settimeout(self._left())
            data = self._raw.recv(_CHUNK)
        except OSError as problem:
            raise self._failure(problem) from None
        self.received += len(data)
        if self.received > self._most:
            raise Stopped("", "garbage", f"more than {self._most} bytes")
        return data

    def _push(self, data) -> None:
        rest = memoryview(data)
        try:
            while rest:
                self._raw.settimeout(self._left())
                sent = self._raw.send(rest)
                if not sent:
                    raise self._closed()
                rest = rest[sent:]
        except OSError as problem:
            raise self._failure(problem) from None

    def _failure(self, problem: OSError) -> Stopped:
        outcome = outcome_of(problem)
        return self._late() if outcome == "timeout" else Stopped("", outcome, self._partial() or problem.strerror or str(problem))

    def _late(self) -> Stopped:
        return Stopped("", "timeout" if self.received else "silent", self._partial() or f"no answer within {self._allowed:.3g} s")

    def _closed(self) -> Stopped:
        return Stopped("", "closed", self._partial() or "the connection was closed")

    def _flush(self) -> None:
        waiting = self._outgoing.read()
        if waiting:
            self._push(waiting)

    def _with_tls(self, action):
        """Carry ``action`` of the TLS object through, moving bytes between its buffers and the wire."""
        import ssl

        while True:
            try:
                result = action()
                self._flush()
                return result
            except ssl.SSLWantReadError:
                self._flush()
                data = self._pull()
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            except ssl.SSLCertVerificationError as problem:
                # The alert stays unsent: a probe without the right CA would leave "unknown ca" in the server's log,
                # where a diagnosis would take it for the complaint of a client.
                raise Distrusted(problem.verify_message, problem.verify_code) from None
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                raise self._closed() from None
            except ssl.SSLError as problem:
                try:
                    self._flush()
                except Stopped:
                    pass
                raise Stopped("", "tls_failed", (problem.reason or str(problem)).replace("_", " ").lower()) from None
