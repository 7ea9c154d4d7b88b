"""The elements of DER (X.690): what certificates and public keys are written in."""
from __future__ import annotations


def items(data: bytes) -> list:
    """``[(tag, content, whole)]`` of the elements in ``data``; ``whole`` includes the header. Raises ValueError."""
    found, at = [], 0
    while at < len(data):
        start, header = at, data[at:at + 2]
        at += 2
        if len(header) < 2:
            raise ValueError("cut short")
        length = header[1]
        if length & 0x80:
            size = length & 0x7F
            if not 1 <= size <= 4 or at + size > len(data):
                raise ValueError("bad length")
            length = int.from_bytes(data[at:at + size], "big")
            at += size
        if at + length > len(data):
            raise ValueError("cut short")
        at += length
        found.append((header[0], data[at - length:at], data[start:at]))
    return found
