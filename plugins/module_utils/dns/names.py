"""Names and addresses as DNS writes them, and the command by which a person looks one up again."""
from __future__ import annotations

import ipaddress
import re
import shlex
from dataclasses import dataclass

# Ends of names that the public DNS does not serve: RFC 6761, RFC 6762, RFC 8375, and what private networks use.
_INSIDE = ("local", "localhost", "localdomain", "internal", "intranet", "lan", "home.arpa", "private", "corp", "home", "invalid", "onion")
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")


@dataclass(frozen=True)
class Server:
    """A name server: an address and a port."""

    address: str
    port: int = 53

    def __str__(self) -> str:
        return self.address if self.port == 53 else f"{self.address}#{self.port}"


def server(text: str) -> Server:
    """Read ``ADDRESS`` or ``ADDRESS#PORT``, as dig prints servers. Raises ValueError."""
    address, _hash, port = text.strip().partition("#")
    # A link-local address carries its interface behind a percent sign.
    ipaddress.ip_address(address.partition("%")[0])
    if port and not (port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r}: the port behind # must be 1 to 65535")
    return Server(address, int(port or 53))


def plain(name: str) -> str:
    """The name in ASCII and lower case, without its last dot. Raises ValueError for what is no host or mail domain name."""
    text = str(name).strip().rstrip(".").lower()
    if not text.isascii():
        text = text.encode("idna").decode("ascii")
    if len(text) > 253 or any(len(label) > 63 for label in text.split(".")) or not _NAME.fullmatch(text):
        raise ValueError(f"not a domain name: {str(name)[:80]!r}")
    return text


def is_inside(name: str) -> bool:
    """Whether the public DNS cannot know this name: one label, or an end that is reserved for private use."""
    return "." not in name or any(name == end or name.endswith("." + end) for end in _INSIDE)


def is_global(address: str) -> bool:
    """Whether the address is one of the public internet."""
    return ipaddress.ip_address(address).is_global


def same_address(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return False


def reverse(address: str) -> str:
    """``53.2.0.192.in-addr.arpa`` of an address. Raises ValueError."""
    return ipaddress.ip_address(address).reverse_pointer


def under(name: str, domain: str) -> bool:
    """Whether ``name`` is ``domain`` or lies below it."""
    return name == domain or name.endswith("." + domain)


def parents(name: str) -> list:
    """The names above ``name``, nearest first, down to two labels."""
    labels = name.split(".")
    return [".".join(labels[start:]) for start in range(1, len(labels) - 1)]


def dig(kind: str, name: str, at: Server | None = None) -> str:
    """The command that shows the records again. For PTR, ``name`` is the address."""
    words = ["dig", "+short", "-x", name] if kind == "PTR" else ["dig", "+short", kind, name]
    if at is not None:
        words += [f"@{at.address}"] + (["-p", str(at.port)] if at.port != 53 else [])
    return " ".join(shlex.quote(word) if not word.startswith("@") or re.search(r"[^@\w.:%-]", word) else word for word in words)
