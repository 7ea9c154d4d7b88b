"""A question to one name server over UDP (RFC 1035): enough to tell an answer from silence, and to read MX and A records."""
from __future__ import annotations

import secrets
import socket
import struct
import time
from dataclasses import dataclass

_TYPES = {"A": 1, "NS": 2, "MX": 15, "AAAA": 28}
_CODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_MOST_LABELS = 128


@dataclass(frozen=True)
class Answer:
    """``records`` are ``(type number, value)``: an address, or ``(preference, host)`` of an MX; None for other types."""

    identity: int
    rcode: str
    truncated: bool
    question: str
    records: tuple


def question(identity: int, name: str, kind: str) -> bytes:
    """The packet that asks for ``name``'s records of ``kind``, with recursion desired. Raises ValueError for a name that DNS cannot hold."""
    labels = [label.encode("idna" if not label.isascii() else "ascii") for label in name.rstrip(".").split(".") if label]
    if any(len(label) > 63 for label in labels) or sum(len(label) + 1 for label in labels) > 254:
        raise ValueError("not a domain name")
    body = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return struct.pack(">HHHHHH", identity, 0x0100, 1, 0, 0, 0) + body + struct.pack(">HH", _TYPES[kind], 1)


def _name(packet: bytes, place: int):
    """The name at ``place`` and the place after it. Pointers only count backwards, so that a loop ends (RFC 1035, 4.1.4)."""
    labels: list = []
    after = None
    limit = place
    while len(labels) < _MOST_LABELS:
        length = packet[place]
        if length & 0xC0 == 0xC0:
            target = (length & 0x3F) << 8 | packet[place + 1]
            after = place + 2 if after is None else after
            if target >= limit:
                raise ValueError("a name points forward")
            place = limit = target
        elif length & 0xC0:
            raise ValueError("unknown kind of label")
        elif length == 0:
            return ".".join(labels), place + 1 if after is None else after
        else:
            labels.append(packet[place + 1:place + 1 + length].decode("ascii", "replace"))
            place += 1 + length
    raise ValueError("a name without end")


def _value(packet: bytes, kind: int, place: int, length: int):
    if kind == 1 and length == 4:
        return socket.inet_ntop(socket.AF_INET, packet[place:place + 4])
    if kind == 28 and length == 16:
        return socket.inet_ntop(socket.AF_INET6, packet[place:place + 16])
    if kind == 15 and length > 2:
        return struct.unpack_from(">H", packet, place)[0], _name(packet, place + 2)[0]
    return None


def parse(packet: bytes) -> Answer:
    """Read an answer. Raises ValueError for what is not one; a record that cannot be read ends the list."""
    try:
        identity, flags, questions, answers = struct.unpack_from(">HHHH", packet)
        if not flags & 0x8000:
            raise ValueError("not an answer")
        place, asked = 12, ""
        for _number in range(questions):
            asked, place = _name(packet, place)
            place += 4
    except (IndexError, struct.error) as problem:
        raise ValueError("a packet cut short") from problem
    records = []
    try:
        for _number in range(answers):
            _owner, place = _name(packet, place)
            kind, _class, _ttl, length = struct.unpack_from(">HHIH", packet, place)
            records.append((kind, _value(packet, kind, place + 10, length)))
            place += 10 + length
    except (IndexError, struct.error, ValueError):
        pass
    code = flags & 0x0F
    return Answer(identity, _CODES.get(code, f"RCODE{code}"), bool(flags & 0x0200), asked.lower(), tuple(records))


def ask(server: str, name: str, kind: str, patience: float = 2.0, port: int = 53) -> Answer:
    """Ask ``server`` (an address), once more after half of ``patience`` seconds. Raises OSError (TimeoutError for silence) or ValueError."""
    family, kind_of_socket, protocol, _canonical, address = socket.getaddrinfo(server, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0]
    identity = secrets.randbelow(65536)
    packet = question(identity, name, kind)
    with socket.socket(family, kind_of_socket, protocol) as channel:
        # Connected: answers from elsewhere are dropped, and a closed port is heard of at once.
        channel.connect(address)
        for _try in range(2):
            channel.send(packet)
            until = time.monotonic() + patience / 2
            while True:
                channel.settimeout(max(0.001, until - time.monotonic()))
                try:
                    answer = parse(channel.recv(4096))
                except socket.timeout:
                    break
                except ValueError:
                    continue
                if answer.identity == identity:
                    return answer
    raise TimeoutError(f"no answer within {patience:g} s")


def addresses(name: str) -> list:
    """The addresses that the system's own resolver gives for a name. Raises OSError."""
    return sorted({entry[4][0] for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)})
