"""TLSA records of an MX host against the certificate that it serves (RFC 6698, RFC 7671, RFC 7672).

The server's own certificate is compared (usage 3). A record about an authority (usage 2) would need the chain and is left
open; usages 0 and 1 are not for SMTP (RFC 7672, 3.1.3). DNSSEC is not validated here.
"""
from __future__ import annotations

import hashlib

from ansible_collections.mailops.outage.plugins.module_utils.dns import der

_DIGESTS = {1: hashlib.sha256, 2: hashlib.sha512}


def entry(host: str, port: int, record: tuple, certificate: bytes | None) -> dict:
    """One entry of a domain's ``tlsa``: ``matches`` is None where it cannot be told, and ``error`` says why."""
    usage, selector, mtype, _data = record
    matches, error = None, ""
    if usage != 3:
        error = "a record about an authority is not compared" if usage == 2 else "senders do not use this usage for SMTP"
    elif certificate is None:
        error = "the served certificate could not be seen"
    else:
        try:
            matches = _matches(record, certificate)
        except ValueError as problem:
            error = str(problem)
    return {"host": host, "port": port, "usage": usage, "selector": selector, "mtype": mtype, "matches": matches, "error": error}


def _matches(record: tuple, certificate: bytes) -> bool:
    _usage, selector, mtype, data = record
    if selector not in (0, 1):
        raise ValueError(f"unknown selector {selector}")
    chosen = der.public_key_info(certificate) if selector else certificate
    if mtype == 0:
        return chosen.hex() == data
    if mtype not in _DIGESTS:
        raise ValueError(f"unknown matching type {mtype}")
    return _DIGESTS[mtype](chosen).hexdigest() == data
