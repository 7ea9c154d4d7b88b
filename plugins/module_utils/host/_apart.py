"""Doing something in a process of its own, so that whatever hangs in it cannot hold up the one that waits."""
from __future__ import annotations

import json
import os
import select
import struct
import time


class Lost(Exception):
    """The process apart ended, or its time did, without an answer."""


def _answer(ask, pipe: int) -> None:
    """In the child: ask, write the answer's length and its JSON, and be gone."""
    # What the parent's caller reads to the end must not stay open here.
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    try:
        body = json.dumps({"value": ask()}).encode("ascii")
    except Exception as problem:  # pylint: disable=broad-except
        body = json.dumps({"error": f"{type(problem).__name__}: {problem}"}).encode("ascii")
    body = struct.pack(">Q", len(body)) + body
    while body:
        body = body[os.write(pipe, body):]


def _read(pipe: int, size: int, until: float) -> bytes:
    """Exactly ``size`` bytes. The end of the stream is not waited for: a process that cannot die keeps it open."""
    found = bytearray()
    while len(found) < size:
        left = until - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            raise Lost("it did not end in time")
        chunk = os.read(pipe, size - len(found))
        if not chunk:
            raise Lost("it ended without an answer")
        found += chunk
    return bytes(found)


def apart(ask, seconds: float):
    """The value of ``ask()``, run in a child process; it must be JSON. Raises Lost after ``seconds``, or when the child failed.

    The child is not waited for: a thread of it in uninterruptible sleep (a dead disk or network mount) can keep it
    from ending for hours. It holds none of our standard streams.
    """
    until = time.monotonic() + seconds
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            _answer(ask, writing)
        finally:
            os._exit(0)  # pylint: disable=protected-access
    os.close(writing)
    try:
        length = struct.unpack(">Q", _read(reading, 8, until))[0]
        answer = json.loads(_read(reading, length, until))
    except Lost:
        _end(child)
        raise
    finally:
        os.close(reading)
    _end(child, kill=False)
    if "error" in answer:
        raise Lost(answer["error"])
    return answer["value"]


def _end(child: int, kill: bool = True) -> None:
    """End the child if it does not by itself, without waiting longer than a moment."""
    try:
        if kill:
            os.kill(child, 9)
        for _try in range(20):
            if os.waitpid(child, os.WNOHANG)[0]:
                return
            time.sleep(0.005)
    except OSError:
        pass
