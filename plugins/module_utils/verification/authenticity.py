"""Whether our own server found an answer's sender to be forged: its Authentication-Results fields (RFC 8601), judged as DMARC does (RFC 7489).

A failure is looked for anywhere in such a field, a pass only where the grammar has one: names, addresses and comments in it are the sender's choice.
Only fields of our own server say anything (``own_domain``, or whoever wrote the topmost, which is added last); what was there before
it took the message is the sender's, too.
"""
from __future__ import annotations

import re

_FAIL = re.compile(r"\b(dkim|spf|dmarc)(?:/\d+)?\s*=\s*(?:hard|perm)?fail\b", re.IGNORECASE)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_COMMENT = re.compile(r"\([^()]*\)")
_RESULT = re.compile(r"\s*(dkim|spf|dmarc)(?:/\d+)?\s*=\s*pass(?![\w-])(.*)", re.IGNORECASE | re.DOTALL)
_ALIGNED_BY = {"dkim": re.compile(r"\bheader\.[di]\s*=\s*(\S+)", re.IGNORECASE), "spf": re.compile(r"\bsmtp\.mail(?:from)?\s*=\s*(\S+)", re.IGNORECASE)}


def is_forged(fields: list, address: str, own_domain: str) -> bool:
    """Whether a failure stands against ``address``, the author's, that no pass for the author's domain outweighs.

    DMARC's pass, where the topmost field has it, outweighs failures of SPF and of a single signature; any other pass does in its own field only,
    since the fields below may be forged. A failure of DMARC nothing outweighs.
    """
    written = [value for name, value in fields if name.lower() == "authentication-results"]
    top = written[0] if written else ""
    own = [value for value in written if _server(value) == _server(top) or _is_below(_server(value), own_domain)]
    spf = next((value for name, value in fields if name.lower() == "received-spf"), "")
    failures = [(value, {found.lower() for found in _FAIL.findall(value) + _FAIL.findall(_bare(value))}) for value in own]
    if any("dmarc" in found for _value, found in failures):
        return True
    if "dmarc" in _passes(top, address):
        return False
    return any(found and not _passes(value, address) for value, found in failures) or (spf.lower().startswith("fail") and not _passes(top, address))


def _passes(value: str, address: str) -> set:
    """The methods that passed for the domain of ``address``."""
    domain, passed = address.rpartition("@")[2].lower(), set()
    for part in _bare(value).split(";"):
        result = _RESULT.match(part)
        if result:
            method = result.group(1).lower()
            names = [name.rpartition("@")[2].lower() for name in _ALIGNED_BY[method].findall(result.group(2))] if method in _ALIGNED_BY else [domain]
            if any(_is_below(name, domain) or ("." in name and _is_below(domain, name)) for name in names):
                passed.add(method)
    return passed


def _bare(value: str) -> str:
    """Without comments, and with nothing in quotes that could be taken for grammar."""
    text = _QUOTED.sub(lambda found: re.sub(r"[^\w@.+-]", "_", found.group(1)), value)
    for _depth in range(5):
        text = _COMMENT.sub(" ", text)
    return text


def _server(value: str) -> str:
    """The authserv-id; empty where there is none, as Microsoft's servers leave it out."""
    first = _bare(value).partition(";")[0].split()
    return first[0].lower() if first and "=" not in first[0] else ""


def _is_below(inner: str, outer: str) -> bool:
    return bool(outer) and (inner == outer.lower() or inner.endswith("." + outer.lower()))
