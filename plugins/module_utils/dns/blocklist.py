"""DNS block lists (RFC 5782): whether an address is listed, and whether the list itself can be believed.

A list that is shut down, that lists everybody, or that answers our resolver with an error code says nothing about an address.
"""
from __future__ import annotations

import ipaddress
import re

from ansible_collections.mailops.outage.plugins.module_utils.text import clean

# RFC 5782, 5: always listed, and never.
LISTED, UNLISTED = "127.0.0.2", "127.0.0.1"
_CODES = ipaddress.ip_network("127.0.0.0/8")
# How lists say that they will not answer this resolver (open resolver, over its quota, mistyped zone).
_REFUSALS = ipaddress.ip_network("127.255.255.0/24")


def question(address: str, zone: str) -> str:
    """The name that stands for ``address`` in ``zone``. Raises ValueError."""
    return ipaddress.ip_address(address).reverse_pointer.replace(".in-addr.arpa", "").replace(".ip6.arpa", "") + "." + zone


def shown(zone: str) -> str:
    """The zone without a subscriber's key, which some lists carry as a label of their name."""
    return ".".join("KEY" if re.fullmatch(r"(?=.*[0-9])[a-z0-9]{16,}", label) else label for label in zone.lower().split("."))


def _codes(answer) -> tuple:
    """``(codes of a listing, other answers)``."""
    addresses = [ipaddress.ip_address(text) for text in answer.records]
    listing = [str(item) for item in addresses if item in _CODES and item not in _REFUSALS]
    return listing, [str(item) for item in addresses if str(item) not in listing]


def health(listed, unlisted) -> str:
    """What is wrong with a list, by the answers (A) for its two test addresses; empty when nothing is."""
    if listed.failed or unlisted.failed:
        return f"does not answer ({listed.error or unlisted.error})"
    codes, others = _codes(listed)
    if others:
        return f"refuses our resolver (answer {others[0]})"
    if not codes:
        return f"does not list the test address {LISTED}: shut down, or not a list of addresses"
    if unlisted.records:
        return f"lists the test address {UNLISTED}: it lists everybody"
    return ""


def verdict(zone: str, address: str, answer, illness: str) -> dict:
    """One entry of ``blocklists``; ``illness`` is what ``health`` said of the list."""
    entry = {"zone": shown(zone), "address": address, "listed": False, "answer": None, "error": bool(illness), "text": illness}
    if answer is None or illness:
        return entry
    if answer.failed:
        return dict(entry, error=True, text=f"does not answer ({answer.error})")
    codes, others = _codes(answer)
    if others:
        return dict(entry, answer=clean(", ".join(others), 100), error=True, text="an answer that is no listing")
    return dict(entry, listed=bool(codes), answer=clean(", ".join(codes), 100) or None)
