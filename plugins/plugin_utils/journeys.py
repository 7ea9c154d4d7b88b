"""What the inventory declares for those who send and read mail as users do: the same arguments for every action that does."""
from __future__ import annotations

ARGUMENTS = {
    "probe_accounts": {"type": "list", "elements": "dict", "default": [], "no_log": True},
    "external_accounts": {"type": "list", "elements": "dict", "default": [], "no_log": True},
    "submission_host": {"type": "str", "default": ""},
    "imap_host": {"type": "str", "default": ""},
    "pop3_host": {"type": "str", "default": ""},
    "resolvers": {"type": "list", "elements": "str", "default": []},
    "ca_file": {"type": "path"},
}


def addresses_of(names: list, resolvers: list) -> dict:
    """{name: IPv4 address} as the given name servers tell; a name that they do not tell is left to the system's resolver."""
    if not names or not resolvers:
        return {}
    import dns.exception  # pylint: disable=import-outside-toplevel  # sanity imports this file without dnspython
    import dns.resolver  # pylint: disable=import-outside-toplevel
    asker = dns.resolver.Resolver(configure=False)
    asker.nameservers, asker.lifetime = resolvers, 5.0
    found = {}
    for name in names:
        try:
            found[name] = asker.resolve(name, "A")[0].to_text()
        except dns.exception.DNSException:
            continue
    return found
