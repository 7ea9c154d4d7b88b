"""Whether our own servers vouch for an answer's sender: by a login at one of them, or by an authentication that passed there.

The text of a trace field can be anybody's; its place cannot. A server puts its fields above what it was given (RFC 5321 section 4.4, RFC 8601
section 4.1), so whatever stands below the field of our server that took the message from a stranger is the stranger's own word, an
Authentication-Results field with our server's name too: not every server removes those (RFC 8601 sections 5 and 7.1). Therefore
the Received fields are followed down from the top, only as long as one of our servers wrote them and had the message from another of ours.
What stands above the last of them is our servers' word.

No word is no pass: nobody's silence vouches for a sender.
"""
from __future__ import annotations

import ipaddress
import re

from ansible_collections.mailops.outage.plugins.module_utils.verification.signoff import BY_NAME

_FAILED = "it fails the authentication of its sender"
_NO_WORD = (
    "no server of the estate says who sent it: answer with a mail program that logs in at the estate's own submission service (its Received field then "
    f"says ESMTPSA), or set the receiving server to put Authentication-Results above its Received field, or sign by name: {BY_NAME}")
_MOST_CHARACTERS = 4000
_COMMENT = r"\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\)"
_COMMENTS = rf"(?:{_COMMENT}\s*)*"
# The clauses in the order of RFC 5321 section 4.4, from the first word on, and one `by` only: a name that a client gives itself holds no clause.
_HOP = re.compile(rf"(?:from\s+(?P<client>[^\s();]+\s*{_COMMENTS}))?by\s+(?P<by>[^\s();]+)\s*{_COMMENTS}(?:via\s+[^\s();]+\s*{_COMMENTS})?"
                  r"(?:with\s+(?P<with>[A-Za-z0-9]+)(?![^\s;(]))?(?!.*\sby\s)", re.IGNORECASE | re.DOTALL)
_ADDRESS = re.compile(r"\[(?:IPv6:)?([^\]]*)\]", re.IGNORECASE)
# RFC 3848, RFC 6531: the A is for AUTH.
_LOGIN = re.compile(r"(?:E|UTF8)SMTPS?A", re.IGNORECASE)
_LMTP = re.compile(r"(?:UTF8)?LMTPS?A?", re.IGNORECASE)
_PIECE = re.compile(rf'"(?:[^"\\]|\\.)*"|{_COMMENT}')
# By which property a method says whom it vouches for (RFC 8601 section 2.7, RFC 7489 section 11.2).
_VOUCHED = {"dmarc": ("header.from",), "dkim": ("header.d", "header.i"), "spf": ("smtp.mailfrom",)}


def doubt(fields: list, author: str, own: set) -> str:
    """Why our servers do not vouch that ``author`` sent it; empty when they do. ``own``: names, addresses and domains of our servers, in small letters.

    They do when the message came in with login at one of them; or when the author's domain passed there by DMARC, or is the very domain for which
    DKIM or SPF passed. A domain above or below it is for DMARC to judge, which knows where domains of strangers begin. A failure of DMARC
    nothing outweighs.
    """
    border, with_login = _border(fields, own)
    if with_login:
        return ""
    written = [value for name, value in fields[:border] if name.lower() == "authentication-results"]
    if not written:
        return _NO_WORD
    try:
        # Needed here alone, and not where modules are only looked at.
        import authres
    except ImportError:
        return "authres is not installed for Ansible's Python on the controller: pip install authres"
    results = [result for value in written for result in _results(value, own, authres)]
    if ("dmarc", "fail") in {(result.method, result.result) for result in results}:
        return _FAILED
    if any(_passes(result, author.rpartition("@")[2].lower()) for result in results):
        return ""
    return _FAILED if any(result.method in _VOUCHED and result.result == "fail" for result in results) else _NO_WORD


def _border(fields: list, own: set) -> tuple:
    """(index of the Received field by which the message came in from a stranger, whether that was with login); 0 when no server of ours is seen.

    A login that came from one of our own servers is a person's (webmail) only where nothing was handed on: servers log in at each other, too.
    """
    way = [(index, value) for index, (name, value) in enumerate(fields) if name.lower() == "received"]
    # A filter on the server names itself so; a stranger's "localhost" stands below the field at which this ends.
    ours = own | {"localhost", "localhost.localdomain"}
    border = 0
    for place, (index, value) in enumerate(way):
        hop = _HOP.match(value[:_MOST_CHARACTERS].strip())
        if not hop or hop["by"].lower().rstrip(".") not in ours:
            break
        border = index
        inside, is_last = _from_ours(hop, own), place == len(way) - 1
        if _LOGIN.fullmatch(hop["with"] or "") and (not inside or is_last):
            return border, True
        if not inside:
            break
    return border, False


def _from_ours(hop, own: set) -> bool:
    """Whether one of our servers handed it over. Each address counts, for a client may write one beside its own; over a socket LMTP has none."""
    addresses = _ADDRESS.findall(hop["client"] or "")
    return all(_is_ours(address, own) for address in addresses) if addresses else bool(_LMTP.fullmatch(hop["with"] or ""))


def _is_ours(text: str, own: set) -> bool:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or str(address) in own


def _results(value: str, own: set, authres) -> list:
    """The results in an Authentication-Results field of our own; none when it cannot be read, or could be read in two ways."""
    if len(value) > _MOST_CHARACTERS or _is_spoilt(value):
        return []
    try:
        header = authres.AuthenticationResultsHeader.parse_value(value)
    except authres.AuthResError:
        return []
    return header.results if header.authserv_id in own else []


def _is_spoilt(value: str) -> bool:
    """Whether a sender's text may have become grammar: a comment that begins within a word, or that holds a quotation mark.

    Servers wrote ``header.d=ours.example(.theirs.example`` for a signature of theirs.example, and local parts in quotes into comments (CVE-2020-12272).
    """
    pieces = [(value[piece.start() - 1:piece.start()], piece.group()) for piece in _PIECE.finditer(value)]
    rest = _PIECE.sub(" ", value)
    return bool(set('()"') & set(rest)) or any(text[0] == "(" and ('"' in text or not (before.isspace() or before in ";)")) for before, text in pieces)


def _passes(result, domain: str) -> bool:
    said: dict = {}
    for item in result.properties:
        said.setdefault(f"{item.type}.{item.name}", []).append(str(item.value or "").rpartition("@")[2].lower().rstrip("."))
    vouched = next((said[name] for name in _VOUCHED.get(result.method, ()) if name in said), [])
    return result.result == "pass" and bool(vouched) and all(name == domain for name in vouched)
