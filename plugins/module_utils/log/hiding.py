"""Taking out of log text what is secret: values that the host's own files hold, and what looks like a login.

Whatever the type of a table or the name of a setting is, its secret is hidden by its content wherever it stands.
"""
from __future__ import annotations

import re

HIDDEN = b"(hidden)"
_SHORTEST = 5
_MOST = 500
_HASH = rb"\{(?:PLAIN|CLEARTEXT|CLEAR|CRYPT|[A-Z0-9-]{0,20}(?:MD5|SHA|CRYPT|ARGON2|PBKDF2|SCRAM|NTLM|LANMAN)[A-Z0-9.-]{0,20})\}"
# A line of base64 in a verbose smtpd(8): the answer to AUTH's challenge. Commands without an argument look like it.
_COMMANDS = rb"(?:DATA|QUIT|RSET|NOOP|HELP|STARTTLS|EHLO|HELO|VRFY|ETRN)"

# (words in lower case one of which must be there, pattern, what stays). Each secret may hold spaces up to the end that its writer gives it.
_PATTERNS = tuple((words, re.compile(pattern, re.I | re.M), kept) for words, pattern, kept in (
    ((b"given password",), rb"(given password: ).*", rb"\1" + HIDDEN),
    ((b"pass", b"secret", b"token", b"api", b"bind_pw", b"credential"),
     rb"((?:pass(?:w(?:or)?d|phrase)?|dnpass|bind_pw|secret|token|api[_-]?key|credentials?)['\"]?(?:\s*=\s*|\s*:\s+))"
     rb"(?!\(hidden\))(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s,;)>]+)",
     rb"\1" + HIDDEN),
    ((b"auth",), rb"(\bAUTH(?:ENTICATE)?\s+[A-Z0-9-]{4,20}[ \t]+)[A-Za-z0-9+/=_-]{4,}", rb"\1" + HIDDEN),
    ((b"resp=",), rb"(\bresp=)\S+", rb"\1" + HIDDEN),
    ((b"bearer",), rb"(\bBearer[ \t]+)\S+", rb"\1" + HIDDEN),
    ((b"login",), rb"(\bLOGIN[ \t]+(?:\"[^\"\n]*\"|[^\s@]+@[^\s@]+)[ \t]+)\S.*", rb"\1" + HIDDEN),
    ((b"]: < ",), rb"(\]: < [^\s:]+: )(?!" + _COMMANDS + rb"\b)[A-Za-z0-9+/]{4,}={0,2}(?=\r?$)", rb"\1" + HIDDEN),
    ((b"://",), rb"(://[^\s/@:]+:)[^\s/@]+(?=@)", rb"\1" + HIDDEN),
    ((b"}",), _HASH + rb"\S+", HIDDEN),
    ((b"$",), rb"\$(?:1|2[abxy]|5|6|7|y|gy|argon2\w*|scram\w*)\$[^\s:,]+", HIDDEN),
    ((b"eyj",), rb"\beyJ[\w-]{8,}\.[\w-]*\.?[\w-]*", HIDDEN),
    ((b"ya29.",), rb"\bya29\.[\w.-]+", HIDDEN),
    ((b"private key",), rb"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", HIDDEN),
))


class Hider:
    """Hides ``secrets`` (texts, at least five characters each) and what the patterns know. ``hidden`` counts what the patterns hid."""

    def __init__(self, secrets=()):
        found = {text.encode("utf-8", "surrogateescape") for text in secrets if len(text) >= _SHORTEST}
        self._secrets = sorted(found, key=len, reverse=True)[:_MOST]
        self.left_out = max(0, len(found) - _MOST)
        self.hidden = 0

    def of(self, data: bytes) -> bytes:
        """``data``, which is whole lines, without secrets."""
        for secret in self._secrets:
            if secret in data:
                self.hidden += data.count(secret)
                data = data.replace(secret, HIDDEN)
        lower = data.lower()
        for words, pattern, kept in _PATTERNS:
            if any(word in lower for word in words):
                data, count = pattern.subn(kept, data)
                self.hidden += count
        return data


def values_in(text: str) -> list:
    """The passwords in a configuration of a database or directory (``password = x``, ``connect = host=… password=x``, ``dnpass = x``)."""
    found = []
    for name, value in re.findall(r"^[ \t]*([\w.]+)[ \t]*=[ \t]*(.*?)[ \t]*$", text, re.M):
        if re.search(r"pass|secret|token|api_key|bind_pw|nonce", name, re.I):
            found.append(value.strip("\"'"))
        found += [word.strip("\"'") for word in re.findall(r"\bpass(?:word|wd)?=(\"[^\"]*\"|'[^']*'|[^\s;]+)", value)]
    return [value for value in found if value and not value.startswith(("$", "# hidden", "<"))]


def passwords_in(text: str) -> list:
    """The passwords in a table of logins: the last field of ``key user:password``, ``host:user:password``, ``user:{SCHEME}password:…``."""
    found = []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        login = re.match(r"\S+\s+[^\s:]+:(.+)$", line)
        user = re.match(r"[^\s:]+:(\{[^}]*\})?([^:]*)(?::|$)", line)
        if login:
            found.append(login.group(1))
        elif line.count(":") == 2:
            found.append(line.rpartition(":")[2])
        elif user:
            found.append(user.group(2))
    return [text for text in found if text and not re.fullmatch(r"[x*!]*", text)]
