"""What the trace fields of a message tell of its way: Received (RFC 5321 section 4.4) and Authentication-Results (RFC 8601).

The fields come from outside and are data: everything is cleaned and bounded. Pure functions.
"""
from __future__ import annotations

import email.utils
import re
import time

from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_MOST_HOPS = 50
_CLAUSE = r"(?:^|\s){}\s+([^\s;()]+)"
_FROM, _BY, _WITH, _ID = (re.compile(_CLAUSE.format(word), re.IGNORECASE) for word in ("from", "by", "with", "id"))
_COMMENT = re.compile(r"\([^()]*\)")
# Postfix: "(using TLSv1.3 with cipher X (...)"; Exim: "(TLS1.3) tls X", "(TLS1.3:X:256)"; others: "(version=TLS1_3 cipher=X bits=...)".
_VERSION = re.compile(r"\b(TLS ?v?1[._]\d|SSLv3)\b")
_CIPHER = re.compile(r"(?:\bcipher[ =]|\btls |\(TLS1\.\d:)([A-Za-z0-9_-]{6,60})")
_ADDRESS = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f.:]{3,45})\]")
_RESULT = re.compile(r"([a-z0-9.-]{1,30})\s*=\s*([a-z]{1,20})\b", re.IGNORECASE)


def hop(value: str) -> dict:
    """One Received field: {from, address, by, with, id, tls: {used, version, cipher}, time_epoch}; None what it does not say.

    ``tls.used`` follows from the protocol's name (RFC 3848) or from the server's comment.
    """
    text = value[:4000]
    words, _semicolon, stamp = text.rpartition(";")
    outside = _COMMENT.sub(" ", _COMMENT.sub(" ", words))
    protocol, address, version = _clause(_WITH, outside), _ADDRESS.search(words), _clause(_VERSION, words)
    used = version is not None or bool(re.fullmatch(r"(UTF8)?(ESMTP|SMTP|LMTP)SA?", protocol or "", re.IGNORECASE))
    return {
        "from": _clause(_FROM, outside), "address": address.group(1) if address else None, "by": _clause(_BY, outside), "with": protocol,
        "id": _clause(_ID, outside),
        "tls": {"used": used, "version": version, "cipher": _clause(_CIPHER, words)},
        "time_epoch": _epoch(stamp),
    }


def hops(fields, sent_epoch: float) -> list[dict]:
    """The way of a message that was sent at ``sent_epoch``, first hop first. Besides ``hop``, each has

    ``time`` (ISO 8601), ``delay_seconds`` since the hop before (the first: since the sending; None when a stamp is missing), never negative, and
    ``clock_skew_seconds``: by how much this hop's clock is at least behind the one before, else 0. Stamps are of whole seconds.
    """
    way = [hop(value) for name, value in fields if name.lower() == "received"][:_MOST_HOPS]
    before = int(sent_epoch)
    for step in reversed(way):
        now = step["time_epoch"]
        step["time"] = None if now is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        passed = None if now is None or before is None else now - before
        step["delay_seconds"] = None if passed is None else max(0, passed)
        step["clock_skew_seconds"] = max(0, -(passed or 0))
        before = now if now is not None else before
    return way[::-1]


def authentication(fields) -> list[dict]:
    """The Authentication-Results fields: [{server, results: [{method, result}], text}]. Whoever wrote them: judge by ``server``."""
    found = []
    for name, value in fields:
        if name.lower() == "authentication-results":
            server, _semicolon, rest = _COMMENT.sub(" ", value[:4000]).partition(";")
            results = [_RESULT.match(part.strip()) for part in rest.split(";")]
            found.append({"server": clean(server, 255), "text": clean(value),
                          "results": [{"method": one.group(1).lower(), "result": one.group(2).lower()} for one in results if one][:20]})
    return found[:10]


def _clause(pattern, text: str) -> str | None:
    found = pattern.search(text)
    return clean(found.group(1), 255) or None if found else None


def _epoch(stamp: str) -> int | None:
    try:
        parsed = email.utils.mktime_tz(email.utils.parsedate_tz(_COMMENT.sub(" ", stamp).strip()))
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return parsed if 0 <= parsed < 2 ** 33 else None
