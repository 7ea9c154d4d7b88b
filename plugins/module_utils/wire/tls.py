"""What a served certificate says, and whether it is for the name that was asked for.

The certificate is read from its DER bytes (X.690, RFC 5280) with a small reader of our own: ``ssl`` shows the fields
of a certificate only after it has verified, and here the ones that do not are of interest.
"""
from __future__ import annotations

import calendar
import datetime
import functools
import hashlib
import ipaddress
import time

from ansible_collections.mailops.outage.plugins.module_utils.der import items as elements
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_ATTRIBUTES = {
    "2.5.4.3": "CN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.25": "DC", "1.2.840.113549.1.9.1": "emailAddress",
}
_SUBJECT_ALTERNATIVE_NAME = "2.5.29.17"
_BOOLEAN, _OCTETS, _OID, _SEQUENCE = 0x01, 0x04, 0x06, 0x30
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_WIDE = {0x1E: "utf-16-be", 0x1C: "utf-32-be", 0x14: "latin-1"}
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87
_MOST_NAMES = 100
# Bytes; RFC 5280 allows 20 in a serial number.
_MOST_NUMBER = 64
# X509_V_ERR_HOSTNAME_MISMATCH of OpenSSL: what a client that also checks the name reports.
HOSTNAME_MISMATCH = 62


@functools.lru_cache(maxsize=8)
def verifying(ca_file: str | None = None):
    """A client context that demands a valid chain to ``ca_file``, or to the system's trust. Raises OSError (also ssl.SSLError) on a bad file.

    The name is judged apart (``name_matches``), so that a wrong name is told from a wrong chain.
    """
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if ca_file:
        context.load_verify_locations(ca_file)
    else:
        context.load_default_certs()
    return context


@functools.lru_cache(maxsize=1)
def accepting():
    """A client context that takes any certificate: to look at it, never to trust it."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def facts(session, name: str, verified: bool | None, error: str = "", code: int | None = None) -> dict:
    """The observation's ``tls`` of an established session (ssl.SSLObject) to the server called ``name``.

    ``verified`` is the chain's verdict, None when nobody asked for one; a right chain for a wrong name is not verified either.
    """
    seen = certificate(session.getpeercert(True) or b"")
    matches = None if verified is None else name_matches(seen["names"], name)
    if verified and not matches:
        verified, error, code = False, f"certificate is not valid for {name}", HOSTNAME_MISMATCH
    return {
        "version": session.version(), "cipher": (session.cipher() or (None,))[0], "verified": verified,
        "verify_error": clean(error) or None, "verify_code": code, "name_matches": matches, "certificate": seen,
    }


def name_matches(names, name: str) -> bool:
    """Whether a certificate for ``names`` (subject alternative names) is for ``name``, by RFC 9525 section 6.3.

    A wildcard stands for the whole leftmost label only; an address matches an address only. The common name does not count.
    """
    address = _address(name)
    if address is not None:
        return any(_address(candidate) == address for candidate in names)
    labels = _labels(name)
    return bool(labels) and any(_covers(_labels(candidate), labels) for candidate in names)


def _covers(pattern, labels) -> bool:
    if pattern[:1] == ["*"]:
        return len(pattern) > 2 and len(pattern) == len(labels) and pattern[1:] == labels[1:]
    return pattern == labels


def _labels(name: str) -> list[str]:
    name = name.rstrip(".")
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            return []
    return name.lower().split(".") if name else []


def _address(text: str):
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def certificate(der: bytes, now: float | None = None) -> dict:
    """The observation's ``certificate``. What cannot be read is None; ``fingerprint`` is SHA-256 in lower-case hex.

    ``names`` are the DNS names and addresses of the subject alternative name, ``serial`` is upper-case hex as OpenSSL shows it,
    ``days_left`` counts from ``now`` (epoch seconds) and is negative after the end; ``self_signed`` means issued in its own name.
    """
    seen = dict.fromkeys(("subject", "issuer", "serial", "not_before", "not_before_epoch", "not_after", "not_after_epoch", "days_left", "self_signed"))
    seen["names"] = []
    seen["fingerprint"] = hashlib.sha256(der).hexdigest() if der else None
    try:
        fields = _fields(der)
    except (ValueError, OverflowError):
        return seen
    seen.update(fields)
    seen["days_left"] = round((seen["not_after_epoch"] - (time.time() if now is None else now)) / 86400, 1)
    return seen


def _fields(der: bytes) -> dict:
    """Certificate and TBSCertificate of RFC 5280 section 4.1. Raises ValueError on anything else."""
    outer = _items(der)
    body = _items(_expect(_items(_expect(outer, 0, _SEQUENCE)), 0, _SEQUENCE))
    if body and body[0][0] == 0xA0:
        body = body[1:]
    serial, _algorithm, issuer, validity, subject = (content for _tag, content in body[:5])
    begin, end = (_epoch(tag, content) for tag, content in _items(validity)[:2])
    extensions = [content for tag, content in body[6:] if tag == 0xA3]
    if len(serial) > _MOST_NUMBER:
        raise ValueError("not a serial number")
    number = f"{int.from_bytes(serial, 'big'):X}"
    return {
        "subject": _name(subject), "issuer": _name(issuer), "self_signed": subject == issuer,
        "serial": number.zfill(len(number) + len(number) % 2), "names": _names(extensions[0]) if extensions else [],
        "not_before": _iso(begin), "not_before_epoch": begin, "not_after": _iso(end), "not_after_epoch": end,
    }


def _items(data: bytes) -> list[tuple[int, bytes]]:
    """The (tag, content) pairs that ``data`` is made of."""
    return [(tag, content) for tag, content, _whole in elements(data)]


def _expect(items, index: int, tag: int) -> bytes:
    if len(items) <= index or items[index][0] != tag:
        raise ValueError("not a certificate")
    return items[index][1]


def _name(data: bytes) -> str:
    """A distinguished name as ``C=NL, O=Example, CN=mail.example.test``, in the order of the certificate."""
    parts = []
    for _tag, group in _items(data):
        for _tag, pair in _items(group):
            items = _items(pair)
            oid = _oid(_expect(items, 0, _OID))
            tag, value = items[1] if len(items) > 1 else (0, b"")
            parts.append(f"{_ATTRIBUTES.get(oid, oid)}={clean(value.decode(_WIDE.get(tag, 'utf-8'), 'replace'), 100)}")
    return clean(", ".join(parts))


def _oid(data: bytes) -> str:
    numbers, value = [], 0
    for byte in data[:_MOST_NUMBER]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    if not numbers or len(data) > _MOST_NUMBER:
        raise ValueError("not an object identifier")
    first = min(numbers[0] // 40, 2)
    return ".".join(str(number) for number in [first, numbers[0] - 40 * first] + numbers[1:])


def _epoch(tag: int, content: bytes) -> int:
    """UTCTime (two-digit years of 1950 to 2049) or GeneralizedTime, both to the second and in UTC: RFC 5280 section 4.1.2.5."""
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("not a time")
    if len(text) != 15 or not text[:14].isdigit() or text[14] != "Z":
        raise ValueError("not a time")
    parts = [int(text[:4])] + [int(text[place:place + 2]) for place in range(4, 14, 2)]
    return calendar.timegm(datetime.datetime(*parts).timetuple())


def _iso(epoch: int) -> str:
    year, month, day, hour, minute, second = time.gmtime(epoch)[:6]
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}Z"


def _names(data: bytes) -> list[str]:
    for _tag, extension in _items(_expect(_items(data), 0, _SEQUENCE)):
        items = _items(extension)
        if _oid(_expect(items, 0, _OID)) != _SUBJECT_ALTERNATIVE_NAME:
            continue
        # The boolean `critical` may stand between the identifier and the value.
        value = _expect(items, 2 if len(items) > 2 and items[1][0] == _BOOLEAN else 1, _OCTETS)
        general = _items(_expect(_items(value), 0, _SEQUENCE))
        names = [clean(content, 255) for tag, content in general if tag == _DNS_NAME]
        names += [str(ipaddress.ip_address(content)) for tag, content in general if tag == _IP_ADDRESS and len(content) in (4, 16)]
        return names[:_MOST_NAMES]
    return []
