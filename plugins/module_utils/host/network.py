"""The host's own part of the network: addresses, interfaces, routes, packet filter, and the way out to other mail servers."""
from __future__ import annotations

import array
import fcntl
import ipaddress
import os
import re
import socket
import struct
import time

from ansible_collections.mailops.outage.plugins.module_utils.host import _dns, _firewall, _mail, resolver
from ansible_collections.mailops.outage.plugins.module_utils.host._bounded import side_by_side
from ansible_collections.mailops.outage.plugins.module_utils.host._listening import reachable_ports
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_PATIENCE = 5.0
_MOST_BANNED = 20
_SIOCGIFCONF = 0x8912
_IFREQ = 40
_COUNTERS = {"rx_errors": "rx_errors", "tx_errors": "tx_errors", "rx_dropped": "dropped"}


def scope_of(address: str) -> str:
    """loopback, link or global: whom an address can be reached by. Private ones count as global, as ip(8) has it."""
    ip = ipaddress.ip_address(address)
    return "loopback" if ip.is_loopback else "link" if ip.is_link_local else "global"


def parse_ifconf(data: bytes) -> list:
    """``[(interface, IPv4 address)]`` of the ifreq structures that SIOCGIFCONF fills (netdevice(7)), 64-bit layout."""
    found = []
    for place in range(0, len(data) - _IFREQ + 1, _IFREQ):
        name = data[place:place + 16].split(b"\0", 1)[0].decode("ascii", "replace")
        found.append((name.split(":")[0], socket.inet_ntoa(data[place + 20:place + 24])))
    return found


def _ipv4() -> list:
    buffer = array.array("B", bytes(_IFREQ * 256))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        request = struct.pack("iL", len(buffer), buffer.buffer_info()[0])
        length = struct.unpack("iL", fcntl.ioctl(channel.fileno(), _SIOCGIFCONF, request))[0]
    return parse_ifconf(buffer.tobytes()[:length])


def parse_if_inet6(text: str) -> list:
    """``[(interface, IPv6 address, tentative or failed)]`` of /proc/net/if_inet6."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 6 and re.match(r"^[0-9a-f]{32}$", fields[0]):
            # IFA_F_DADFAILED 0x08, IFA_F_TENTATIVE 0x40: such an address cannot be used.
            found.append((fields[5], str(ipaddress.IPv6Address(int(fields[0], 16))), bool(int(fields[4], 16) & 0x48)))
    return found


def parse_routes(text: str) -> list:
    """The default routes of /proc/net/route (little-endian addresses); a refusing route is none."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 8 and fields[1] == "00000000" and fields[7] == "00000000" and int(fields[3], 16) & 1 and not int(fields[3], 16) & 0x200:
            gateway = socket.inet_ntoa(struct.pack("<L", int(fields[2], 16)))
            found.append({"family": "ipv4", "gateway": None if gateway == "0.0.0.0" else gateway, "interface": clean(fields[0], 40)})
    return found


def parse_routes6(text: str) -> list:
    """The default routes of /proc/net/ipv6_route; the kernel's own refusing ones on ``lo`` are none."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 10 and fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo" and not int(fields[8], 16) & 0x200:
            gateway = str(ipaddress.IPv6Address(int(fields[4], 16)))
            found.append({"family": "ipv6", "gateway": None if gateway == "::" else gateway, "interface": clean(fields[9], 40)})
    return found


def parse_snmp(text: str) -> dict:
    """``{sent, retransmitted, retransmitted_percent}`` TCP segments since the start (/proc/net/snmp); too few give no share."""
    rows = [line.split() for line in text.splitlines() if line.startswith("Tcp:")]
    if len(rows) != 2:
        return {"sent": None, "retransmitted": None, "retransmitted_percent": None}
    values = dict(zip(rows[0], rows[1]))
    sent, again = int(values.get("OutSegs", 0)), int(values.get("RetransSegs", 0))
    return {"sent": sent, "retransmitted": again, "retransmitted_percent": round(100 * again / (sent + again), 2) if sent >= 1000 else None}


def _addresses(context) -> list:
    try:
        found = [(name, address, "ipv4") for name, address in _ipv4()]
    except OSError:
        context.cannot_see("IPv4 addresses", "the kernel does not list them")
        found = []
    found += [(name, address, "ipv6") for name, address, unusable in parse_if_inet6(context.read("/proc/net/if_inet6") or "") if not unusable]
    return [{"interface": clean(name, 40), "address": address, "family": family, "scope": scope_of(address)} for name, address, family in found][:100]


def _interface(context, name: str) -> dict:
    folder = f"/sys/class/net/{name}"
    # Reading the carrier of an interface that is down fails: that is no carrier.
    numbers = {key: int((context.read(f"{folder}/statistics/{counter}", 64) or "0").strip() or 0) for counter, key in _COUNTERS.items()}
    flags = int((context.read(f"{folder}/flags", 64) or "0").strip() or "0", 16)
    mtu = (context.read(f"{folder}/mtu", 64) or "").strip()
    return dict(numbers, name=clean(name, 40), up=bool(flags & 1), carrier=(context.read(f"{folder}/carrier", 64) or "").strip() == "1",
                mtu=int(mtu) if mtu.isdigit() else None)


def _interfaces(context) -> list:
    try:
        names = sorted(os.listdir("/sys/class/net"))
    except OSError:
        return []
    # bonding_masters is a file among the interfaces.
    return [_interface(context, name) for name in names if os.path.isdir(f"/sys/class/net/{name}")][:50]


def parse_relayhost(value: str):
    """``(host, port, look up its MX)`` of Postfix's relayhost; None when there is none. A bracketed host is used as it is."""
    match = re.match(r"^\s*(?:smtp:)?(\[)?([^\]\s:,]+|[0-9a-fA-F:]+)\]?(?::(\w+))?\s*(?:,.*)?$", value or "")
    if not match:
        return None
    port = {"smtp": 25, "submission": 587, "smtps": 465, "submissions": 465}.get(match.group(3) or "smtp", None)
    if port is None:
        port = int(match.group(3)) if match.group(3).isdigit() else 25
    return match.group(2), port, match.group(1) is None


def _relay_targets(context) -> list:
    """``[(host, port)]`` of the relay host: by its MX records unless it is bracketed, at most three."""
    relay = parse_relayhost(_mail.parameter(context, "relayhost"))
    if relay is None:
        return []
    host, port, by_mx = relay
    exchanges = []
    if by_mx:
        server = resolver.parse_resolv_conf(context.read("/etc/resolv.conf") or "")["nameservers"][0]
        try:
            exchanges = sorted(value for kind, value in _dns.ask(server, host, "MX").records if kind == 15 and value)
        except (OSError, ValueError):
            pass
    return [(name, port) for _preference, name in exchanges[:3]] or [(host, port)]


def _targets(context) -> list:
    """``[(host, port, whether it is the relay host)]`` to try: the relay host's, and those asked for."""
    given = [parse_relayhost(str(target)) for target in context.options.get("outbound_targets") or []]
    return [(*pair, True) for pair in _relay_targets(context)] + [(pair[0], pair[1], False) for pair in given if pair][:10]


def _reach(target: str, port: int, relayhost: bool) -> dict:
    began = time.monotonic()
    result = {"target": clean(target, 253), "port": port, "relayhost": relayhost, "ok": True, "error": "", "seconds": 0.0}
    try:
        socket.create_connection((target, port), _PATIENCE).close()
    except OSError as problem:
        result.update(ok=False, error=clean(problem.strerror or problem, 120))
    result["seconds"] = round(time.monotonic() - began, 3)
    return result


def _outbound(context) -> list:
    targets = _targets(context)
    patience = _PATIENCE + 1.0
    answers = side_by_side(patience, [lambda target=target: _reach(*target) for target in targets])
    return [answer[0] if answer and answer[0] else
            {"target": clean(host, 253), "port": port, "relayhost": relayhost, "ok": False, "error": "no answer", "seconds": patience}
            for (host, port, relayhost), answer in zip(targets, answers)]


def collect(context) -> dict:
    """Addresses and counters from the kernel, the packet filter's closed mail ports, and connections to the next hops."""
    addresses = _addresses(context)
    routes = parse_routes(context.read("/proc/net/route") or "") + parse_routes6(context.read("/proc/net/ipv6_route") or "")
    filtered = _firewall.look(context, reachable_ports(context))
    switch = (context.read("/proc/sys/net/ipv6/conf/all/disable_ipv6", 16) or "1").strip()
    return {
        "addresses": addresses,
        "interfaces": _interfaces(context),
        "default_routes": routes,
        "firewall": {"backend": filtered["backend"], "rules": filtered["rules"]},
        "banned": [{"address": address, "set": name} for address, name in filtered["bans"][:_MOST_BANNED]],
        "banned_count": len(filtered["bans"]),
        "outbound": _outbound(context),
        "ipv6": {
            "enabled": switch == "0",
            "global_address": next((entry["address"] for entry in addresses if entry["family"] == "ipv6" and entry["scope"] == "global"), None),
            "default_route": any(route["family"] == "ipv6" for route in routes),
        },
        "tcp": parse_snmp(context.read("/proc/net/snmp") or ""),
        "source": "ip address; ip route; nft list ruleset",
    }
