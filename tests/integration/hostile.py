#!/usr/bin/env python3
"""Mail ports that misbehave, for a lab host whose own services are stopped: hostile.py PORT=BEHAVIOUR...

The text that a behaviour sends is read from the file `words` beside this one.
"""
from __future__ import annotations

import os
import pathlib
import socketserver
import sys
import threading
import time

WORDS = (pathlib.Path(__file__).parent / "words").read_bytes().strip()


def silence(stream):
    time.sleep(60)


def hang_up(stream):
    stream.close()


def garbage(stream):
    stream.write(os.urandom(4096))


def no_line_end(stream):
    stream.write(b"220 " + b"A" * 1048576)
    time.sleep(60)


def drip(stream):
    for byte in b"* OK " + b"A" * 600:
        stream.write(bytes([byte]))
        time.sleep(0.2)


def flood(stream):
    while True:
        stream.write(b'"SIEVE" "' + WORDS + b'"\r\n')


def words_smtp(stream):
    """An SMTP dialogue that says the words wherever a server may say something."""
    stream.write(b"220 " + WORDS + b"\r\n")
    for line in stream:
        verb = line[:4].upper()
        if verb == b"EHLO":
            stream.write(b"250-" + WORDS + b"\r\n250-SIZE 1000\r\n250 " + WORDS + b"\r\n")
        elif verb == b"RCPT":
            stream.write(b"550 5.1.1 " + WORDS + b"\r\n")
        elif verb == b"QUIT":
            stream.write(b"221 " + WORDS + b"\r\n")
            return
        else:
            stream.write(b"250 " + WORDS + b"\r\n")


def words_pop3(stream):
    stream.write(b"-ERR " + WORDS + b"\r\n")


def serve(port, behaviour):
    class Handler(socketserver.StreamRequestHandler):
        """One connection."""

        wbufsize = 0

        def handle(self):
            try:
                stream = self.request.makefile("rwb", buffering=0)
                behaviour(stream)
            except OSError:
                pass

    class Server(socketserver.ThreadingTCPServer):
        """One port."""

        allow_reuse_address = True
        daemon_threads = True

    return Server(("0.0.0.0", port), Handler)


if __name__ == "__main__":
    for word in sys.argv[1:]:
        number, _equals, name = word.partition("=")
        threading.Thread(target=serve(int(number), globals()[name]).serve_forever).start()
