"""Public keys in DER (X.690): out of certificates (RFC 5280), and as DKIM publishes them (RFC 6376, RFC 8463)."""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.der import items

_BIT_STRING, _INTEGER, _OID, _SEQUENCE = 0x03, 0x02, 0x06, 0x30
_RSA = bytes.fromhex("2a864886f70d010101")
_ED25519 = bytes.fromhex("2b6570")


def _open(data: bytes, tag: int, what: str) -> list:
    """The elements inside the one element that ``data`` is."""
    outer = items(data)
    if len(outer) != 1 or outer[0][0] != tag:
        raise ValueError(f"not {what}")
    return items(outer[0][1])


def public_key_info(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate, header included. Raises ValueError."""
    fields = _open(_open(certificate, _SEQUENCE, "a certificate")[0][2], _SEQUENCE, "a certificate")
    if fields and fields[0][0] == 0xA0:
        fields = fields[1:]
    if len(fields) < 6 or fields[5][0] != _SEQUENCE:
        raise ValueError("a certificate without a key")
    return fields[5][2]


def _rsa(data: bytes) -> tuple:
    numbers = _open(data, _SEQUENCE, "an RSA key")
    if len(numbers) != 2 or any(tag != _INTEGER for tag, _content, _whole in numbers):
        raise ValueError("not an RSA key")
    modulus, exponent = (int.from_bytes(content, "big") for _tag, content, _whole in numbers)
    return "rsa", modulus.bit_length(), (modulus, exponent)


def public_key(data: bytes) -> tuple:
    """``(kind, bits, key)`` of a SubjectPublicKeyInfo, a bare RSAPublicKey, or the 32 octets of an Ed25519 key.

    ``kind`` is rsa, ed25519 or other; equal keys have equal ``key``, in whichever of these forms they were written. Raises ValueError.
    """
    if len(data) == 32:
        return "ed25519", 256, data
    fields = _open(data, _SEQUENCE, "a public key")
    if fields and fields[0][0] == _INTEGER:
        return _rsa(data)
    if len(fields) != 2 or fields[0][0] != _SEQUENCE or fields[1][0] != _BIT_STRING:
        raise ValueError("not a public key")
    algorithm = items(fields[0][1])
    if not algorithm or algorithm[0][0] != _OID:
        raise ValueError("a public key without an algorithm")
    # The first octet of a bit string counts its unused bits: none here.
    key = fields[1][1][1:]
    if algorithm[0][1] == _RSA:
        return _rsa(key)
    if algorithm[0][1] == _ED25519:
        return "ed25519", 256, key
    return "other", None, data
