"""Which addresses are ours, and which of them others see. Pure functions over what the hosts and DNS say.

Behind address translation a host does not know the address that the world sees. So ``ours`` has three values, and what
cannot be told is left open rather than called wrong: a host of ours that is down looks like one that is not ours.
"""
from __future__ import annotations

import ipaddress

from ansible_collections.mailops.outage.plugins.module_utils.dns import names


class Estate:
    """Our mail hosts: ``hosts`` is ``{name: their own addresses}``, ``resolved`` is ``{name: their addresses in DNS}``."""

    def __init__(self, hosts: dict, resolved: dict):
        self.names = set(hosts)
        self.own = {ipaddress.ip_address(address) for addresses in hosts.values() for address in addresses}
        self.published = {ipaddress.ip_address(address) for addresses in resolved.values() for address in addresses}
        # A host without a public address may stand behind a public one that it does not know.
        self.translated = any(not any(ipaddress.ip_address(address).is_global for address in addresses) for addresses in hosts.values())

    def owns(self, name: str, addresses) -> bool | None:
        """Whether a name with these addresses leads to one of our hosts."""
        given = {ipaddress.ip_address(address) for address in addresses}
        if not given or not self.names:
            return None
        if given & self.own:
            return True
        if self.own and (not self.translated or not any(address.is_global for address in given)):
            return False
        return True if name in self.names or given & self.published else None


def seen_outside(address: str, known, networks) -> bool:
    """Whether peers see this sending address as it is.

    A public address they see. A private one only in a network that is private throughout: ``known`` (the addresses that
    DNS gives our names) and ``networks`` (what our SPF records name) hold nothing public, and not nothing at all.
    """
    if names.is_global(address):
        return True
    return bool(known) and not any(names.is_global(item) for item in known) and not any(ipaddress.ip_network(item).is_global for item in networks)
