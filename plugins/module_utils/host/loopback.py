"""What the host's own mail ports say to the host itself: greeting and capabilities, nothing more.

Green here and ill from elsewhere means that the road is at fault, not the server; the reverse does not follow.
"""
from __future__ import annotations

import ipaddress

from ansible_collections.mailops.outage.plugins.module_utils.host import dovecot, postfix
from ansible_collections.mailops.outage.plugins.module_utils.host._listening import listening
from ansible_collections.mailops.outage.plugins.module_utils.wire.probe import PORTS, probe_all

_PROTOCOLS = {port: protocol for protocol, port in PORTS.items()}
# The names of master.cf's services in /etc/services.
_SERVICES = {"smtp": 25, "submission": 587, "submissions": 465, "smtps": 465, "lmtp": 24}
_SECONDS = 3.0
# Several bound addresses a port are rare; this bounds the rest.
_MOST = 32
# An address literal is a valid name for EHLO everywhere (RFC 5321 section 4.1.3); trust is not judged here, clients ask for a name.
_OPTIONS = {"connect": _SECONDS, "step": _SECONDS, "total": _SECONDS, "overall": _SECONDS + 1, "verify": False, "helo": "[127.0.0.1]", "vantage": "loopback"}


def reach(address: str, has_ipv6: bool = True) -> str:
    """The address at which the host itself reaches a listener bound to ``address``."""
    bound = ipaddress.ip_address(address)
    if not bound.is_unspecified:
        return address
    return "::1" if bound.version == 6 and has_ipv6 else "127.0.0.1"


def targets(sockets, configured=(), has_ipv6: bool = True) -> list[dict]:
    """What to probe: each mail port of ``sockets`` ([(address, port)]), and those of ``configured`` that nobody listens on.

    A port bound to every address is asked once, over IPv4 where it has it.
    """
    found: dict = {}
    for address, port in sorted(sockets, key=lambda entry: (entry[1], ":" in entry[0], entry[0])):
        everywhere = ipaddress.ip_address(address).is_unspecified
        if port in _PROTOCOLS and not (everywhere and ("127.0.0.1", port) in found):
            found[(reach(address, has_ipv6), port)] = True
    silent = set(configured) & set(_PROTOCOLS) - {port for _address, port in found}
    pairs = [*found, *(("127.0.0.1", port) for port in sorted(silent))]
    return [{"name": address, "port": port, "protocol": _PROTOCOLS[port], "starttls": "never"} for address, port in pairs[:_MOST]]


def configured_ports(context) -> set[int]:
    """The mail ports that Postfix's and Dovecot's configuration ask for."""
    services = [master["service"].rpartition(":")[2] for master in (postfix.settings(context) or {}).get("masters", []) if master["type"] == "inet"]
    ports = {int(name) if name.isdigit() else _SERVICES.get(name, 0) for name in services}
    known = dovecot.settings(context)
    return ports | ({entry["port"] for entry in dovecot.listeners(known["pairs"]) if entry["port"]} if known else set())


def collect(context) -> dict:
    """``{probes: [endpoint observations]}``; none on a host where no mail port is listened on."""
    sockets = [(address, port) for address, port in listening(context) if port in _PROTOCOLS]
    if not sockets:
        return {"probes": []}
    has_ipv6 = "00000000000000000000000000000001" in (context.read("/proc/net/if_inet6") or "")
    return {"probes": probe_all(targets(sockets, configured_ports(context), has_ipv6), _OPTIONS)}
