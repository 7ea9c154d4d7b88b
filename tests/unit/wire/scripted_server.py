"""A server on loopback that does exactly what a test tells it, however ill-mannered.

    with ScriptedServer(script) as server:          # script(peer) is called in a thread for every connection
        ... connect to server.port ...

``script`` is any function of a Peer; ``Answers`` makes one from a greeting and a table of command → reply.
"""
from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time

_PATIENCE = 5.0


class Peer:
    """The server's side of one connection."""

    def __init__(self, sock, context=None):
        sock.settimeout(_PATIENCE)
        self._sock = sock
        self._context = context
        self._buffer = b""
        self.secure = False

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def drip(self, data: bytes, pause: float = 0.002) -> None:
        for at in range(len(data)):
            self.send(data[at:at + 1])
            time.sleep(pause)

    def flood(self, data: bytes) -> None:
        """Send ``data`` until the client has had enough."""
        with contextlib.suppress(OSError):
            while True:
                self.send(data)

    def line(self) -> bytes:
        """The client's next line without CRLF; ``b""`` when it is gone."""
        while b"\n" not in self._buffer:
            data = self._sock.recv(65536)
            if not data:
                return b""
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.rstrip(b"\r")

    def start_tls(self) -> None:
        self._sock = self._context.wrap_socket(self._sock, server_side=True)
        self.secure = True

    def wait(self) -> None:
        """Say nothing more until the client hangs up."""
        with contextlib.suppress(OSError):
            while self._sock.recv(65536):
                pass

    def reset(self) -> None:
        """Hang up with RST; not at once, or the client takes it for the end of its attempt to connect."""
        time.sleep(0.02)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.close()


class ScriptedServer:
    """Listens on a free port of 127.0.0.1 while the ``with`` block runs. ``connections`` counts what came."""

    def __init__(self, script, context=None, implicit_tls=False):
        self._script = script
        self._context = context
        self._implicit_tls = implicit_tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self.connections = 0

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_error):
        # Closing alone does not wake a thread that waits in accept.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                sock, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        peer = Peer(sock, self._context)
        # The client may vanish at any point; that is its right.
        with contextlib.suppress(OSError, ssl.SSLError):
            if self._implicit_tls:
                peer.start_tls()
            self._script(peer)
        peer.close()


class Answers:
    """A script: the greeting, then for each command the reply of the first entry that the command starts with.

    A reply is bytes, or a function of (peer, command line) that does what it likes. ``TAG`` in a reply stands for the tag of
    the IMAP command. ``seen`` holds the commands as they came. ``drop_after`` hangs up instead of giving that answer (0 is the greeting).
    """

    def __init__(self, greeting: bytes, table: dict, drop_after=None, tagged=False):
        self._greeting = greeting
        self._table = table
        self._drop_after = drop_after
        self._tagged = tagged
        self.seen: list[bytes] = []

    def __call__(self, peer):
        count = 0
        if self._drop_after == count:
            return
        peer.send(self._greeting)
        while True:
            line = peer.line()
            if not line:
                return
            self.seen.append(line)
            count += 1
            if self._drop_after == count:
                return
            tag, command = line.split(b" ", 1) if self._tagged and b" " in line else (b"", line)
            unknown = b"TAG BAD unknown\r\n" if self._tagged else b"500 5.5.2 unknown\r\n"
            reply = next((said for start, said in self._table.items() if command.upper().startswith(start)), unknown)
            if callable(reply):
                reply(peer, line)
            else:
                peer.send(reply.replace(b"TAG", tag))


def starts_tls(reply: bytes):
    """A reply of Answers that consents to STARTTLS and does the handshake."""
    def run(peer, line):
        peer.send(reply.replace(b"TAG", line.split(b" ", 1)[0]))
        peer.start_tls()
    return run
