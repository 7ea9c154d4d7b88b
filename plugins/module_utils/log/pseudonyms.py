"""Pseudonyms for people and places in log text: equal things stay equal within one bundle, and nobody can tell what they were.

Each name is replaced by part of its HMAC under a key that is drawn for the bundle and never kept. A domain is replaced label by label,
so that what lies in one domain still does; its top level stays. Addresses of the host itself (loopback) stay.
"""
from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62})"
_DOMAIN = rf"(?:{_LABEL}\.)+[A-Za-z][A-Za-z0-9-]{{1,24}}"
_LOCAL = r"[\w.+!#$%&*^~-]{1,256}"
# What ends like a domain and is a file, a unit, or a name of software.
_NO_DOMAIN = frozenset("""
    cf cfg conf log db lock sock socket so service target slice scope mount timer path device swap pem key crt cer csr private txt sh py pl rb sieve svbin
    index cache list stats tmp new old bak gz xz bz2 zst deb rpm dpkg cnf ini yml yaml json html md pid local lmdb cdb mail idx imap pop lmtp pipe level
""".split())
_MOST_LABELS = 10
_ROLES = frozenset("root postmaster mailer-daemon abuse hostmaster webmaster postfix dovecot vmail mail nobody daemon opendkim double-bounce".split())
_TOKEN = re.compile(
    rf"(?<![\w.+!#$%&*^~-])(?P<local>{_LOCAL})@(?P<at>{_DOMAIN}|\[[0-9A-Fa-f.:]+\]|{_LABEL}(?![\w.@]))"
    rf"|(?P<before>\b(?:user=<?|sasl_username=|(?:orig_)?to=<|from=<|(?:imap|pop3|lmtp|lda|managesieve|pam|passwd-file|sql|ldap|passwd)\()|/home/)"
    rf"(?P<name>[^\s<>@(),:/\[\]]{{1,128}})(?=[\s<>(),:/\[\]]|\Z)"
    r"|(?<![\w.:])(?P<v6>(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|\d+\.\d+\.\d+\.\d+)?)(?![\w:.])"
    r"|(?<![\w.])(?P<v4>\d{1,3}(?:\.\d{1,3}){3})(?![\w.]*\w)"
    rf"|(?<![\w.@-])(?P<domain>{_DOMAIN})(?P<below>/[^/\s:),<>]+)?(?![\w@-])")


class Pseudonyms:
    """``key``: 32 secret bytes, drawn when not given (as it should be, but for tests)."""

    def __init__(self, key: bytes | None = None):
        self._key = os.urandom(32) if key is None else key
        self._known: dict = {}

    def _name(self, kind: str, text: str) -> str:
        text = text.lower()
        if (kind, text) not in self._known:
            digest = hmac.new(self._key, f"{kind}\0{text}".encode("utf-8", "surrogateescape"), hashlib.sha256)
            self._known[(kind, text)] = f"{kind}-{digest.hexdigest()[:10]}"
        return self._known[(kind, text)]

    def local(self, text: str) -> str:
        base, plus, detail = text.partition("+")
        if base.lower() in _ROLES or base.isdigit():
            return text
        return self._name("user", base) + (plus and "+" + self._name("detail", detail))

    def domain(self, text: str) -> str:
        *labels, top = text.lower().split(".")
        if not labels:
            return self._name("host", top)
        if len(labels) > _MOST_LABELS:
            return f"{self._name('d', text)}.{top}"
        return ".".join([self._name("d", ".".join([label, *labels[place + 1:], top])) for place, label in enumerate(labels)] + [top])

    def address(self, text: str) -> str:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return text
        return text if address.is_loopback or address.is_unspecified else self._name("ip", str(getattr(address, "ipv4_mapped", None) or address))

    def _replace(self, match) -> str:
        found = match.groupdict()
        if found["at"]:
            at = found["at"]
            return f"{self.local(found['local'])}@" + (f"[{self.address(at[1:-1])}]" if at.startswith("[") else self.domain(at))
        if found["before"]:
            # In place of a login some logs have an address.
            name = self.domain(found["name"]) if re.fullmatch(_DOMAIN, found["name"]) and found["before"] == "/home/" else self.local(found["name"])
            return found["before"] + name
        if found["v6"] or found["v4"]:
            return self.address(found["v6"] or found["v4"])
        if found["domain"].rpartition(".")[2].lower() in _NO_DOMAIN:
            return match.group()
        # A path such as /srv/vmail/example.org/anna.
        below = found["below"] or ""
        return self.domain(found["domain"]) + (below and "/" + self.local(below[1:]))

    def of(self, data: bytes) -> bytes:
        """``data``, which is whole lines, with pseudonyms."""
        return _TOKEN.sub(self._replace, data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
