"""DKIM key records (RFC 6376, 3.6.1; RFC 8301; RFC 8463), and whether they hold the key that a host signs with."""
from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from ansible_collections.mailops.outage.plugins.module_utils.dns import der, tags

# RFC 8301, 3.2: verifiers must not accept less.
LEAST_BITS = 1024


@dataclass(frozen=True)
class KeyRecord:
    """A record as read. ``key`` compares with ``key_of`` of the signing key; ``error`` says why the record is not valid."""

    valid: bool = False
    revoked: bool = False
    testing: bool = False
    kind: str = ""
    bits: int | None = None
    key: object = None
    error: str = ""


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(re.sub(r"\s+", "", text), validate=True)
    except (binascii.Error, ValueError) as problem:
        raise ValueError("not base64") from problem


def key_of(text: str) -> object:
    """What equal keys have in common, of a key in base64. Raises ValueError."""
    return der.public_key(_decoded(text))[2]


def parse(text: str) -> KeyRecord:
    """Read one TXT record of a selector. A record that receivers would not use comes back with ``error``, never as an exception."""
    try:
        found = tags.parse(text)
    except ValueError as problem:
        return KeyRecord(error=str(problem))
    if "v" in found and (next(iter(found)) != "v" or found["v"] != "DKIM1"):
        return KeyRecord(error="v= must come first and be DKIM1")
    if "p" not in found:
        return KeyRecord(error="no p=, so no key")
    testing = "y" in re.split(r"\s*:\s*", found.get("t", ""))
    kind = found.get("k", "rsa").lower()
    if not re.sub(r"\s+", "", found["p"]):
        return KeyRecord(valid=True, revoked=True, testing=testing, kind=kind)
    services = re.split(r"\s*:\s*", found.get("s", "*"))
    if not {"*", "email"} & set(services):
        return KeyRecord(testing=testing, kind=kind, error="s= excludes mail")
    hashes = re.split(r"\s*:\s*", found.get("h", "sha256").lower())
    if "sha256" not in hashes:
        return KeyRecord(testing=testing, kind=kind, error="h= excludes sha256")
    try:
        held, bits, key = der.public_key(_decoded(found["p"]))
    except ValueError as problem:
        return KeyRecord(testing=testing, kind=kind, error=f"p= is not a public key: {problem}")
    if held != kind:
        return KeyRecord(testing=testing, kind=kind, bits=bits, error=f"k={kind} but the key is of another kind ({held})")
    return KeyRecord(valid=True, testing=testing, kind=kind, bits=bits, key=key)


def check(selector: str, domain: str, public_key: str, answer) -> dict:
    """One entry of a domain's ``dkim``: the answer for ``SELECTOR._domainkey.DOMAIN`` (TXT) against the host's key."""
    entry = {"selector": selector, "domain": domain, "record_found": None, "valid": None, "revoked": None, "testing": None,
             "matches": None, "key_bits": None, "error": answer.error or ""}
    if answer.failed:
        return entry
    if answer.absent:
        return dict(entry, record_found=False, error="")
    records = [parse(text) for text in answer.records]
    # Beside a key there may stand other text; a receiver may take any of several keys (RFC 6376, 3.6.2.2).
    record = next((item for item in records if item.valid), records[0])
    try:
        signing = key_of(public_key)
        error = "several key records" if sum(item.valid for item in records) > 1 else record.error
    except ValueError as problem:
        signing, error = None, f"the host's own key cannot be read: {problem}"
    return dict(
        entry, record_found=True, valid=record.valid, revoked=record.revoked, testing=record.testing, key_bits=record.bits, error=error,
        matches=None if signing is None or record.revoked else record.valid and record.key == signing,
    )
