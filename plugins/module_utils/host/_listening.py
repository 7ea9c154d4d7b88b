"""Which TCP ports are listened on, and at which addresses, without asking who listens."""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.host.listeners import is_loopback, parse_tcp


def listening(context) -> list:
    """``[(address, port)]`` that this host listens on over TCP, sorted."""
    def ask():
        rows = [row for name in ("tcp", "tcp6") for row in parse_tcp(context.read(f"/proc/net/{name}", 8 * 1024 * 1024) or "")]
        return sorted({(address, port) for address, port, _inode in rows})
    return context.once("listening", ask)


def reachable_ports(context) -> set:
    """The ports listened on at an address that others can reach."""
    return {port for address, port in listening(context) if not is_loopback(address)}
