"""What to ask of the estate as a whole, worked out from what its hosts told. Pure functions over observations."""
from __future__ import annotations

import ipaddress

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis.view import expected_protocols

MOST_ACCOUNTS = 5
_DECLARED_ROLES = {"edge": ["smtp"], "submission": ["submission"], "store": ["imap"], "all": ["smtp", "submission", "imap"]}
_PORTS = {"smtp": 25, "submission": 587, "submissions": 465, "imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995, "sieve": 4190, "lmtp": 24}
# Seconds: longer than postscreen holds a greeting back (6 s), shorter than a tired person's patience.
PATIENCE = {"connect": 5.0, "step": 7.0, "total": 12.0}
# Sent by nobody and for nobody: RFC 2606 names, so that no stranger's mailbox is ever named.
STRANGER = "postmaster@sender.example.com"
_FOREIGNER = "nobody@relay-check.example.net"


def _facts(observation: dict, *names):
    data = observation.get("facts") or {}
    for name in names:
        data = data.get(name) if isinstance(data, dict) else None
    return data


def domains(observations: list) -> list:
    """The mail domains that the hosts accept mail for; a host's own names are no mail domains."""
    own = {"localhost", "localhost.localdomain"}
    found = set()
    for observation in observations:
        for name in (observation.get("host"), _facts(observation, "system", "fqdn"), _facts(observation, "system", "hostname"),
                     (_facts(observation, "postfix", "expanded") or {}).get("myhostname")):
            if name:
                own.add(str(name).lower())
                own.add(f"localhost.{str(name).partition('.')[2]}".lower())
        for software in ("postfix", "exim"):
            found.update(str(name).lower() for name in _facts(observation, software, "domains") or [])
    return sorted(name for name in found - own if "." in name and not name.startswith("[") and not _is_address(name))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def own_names(observations: list) -> list:
    """All names and addresses by which a log could call one of our own hosts."""
    found = set()
    for observation in observations:
        found |= _addresses(observation)
        found |= {observation["host"], str(observation.get("address") or "")}
        found |= {str(_facts(observation, "system", "fqdn") or ""), str((_facts(observation, "postfix", "expanded") or {}).get("myhostname") or ""),
                  str(_facts(observation, "exim", "settings", "primary_hostname") or "")}
    return sorted(found - {""})


def declared_protocols(observations: list, variables: dict) -> dict:
    """``{host: [protocols]}`` that the inventory declares with ``mail_roles``."""
    return {
        observation["host"]: sorted({protocol for role in variables.get(observation["host"], {}).get("mail_roles") or []
                                     for protocol in _DECLARED_ROLES.get(role, [])})
        for observation in observations
    }


def expected(observation: dict, declared: dict) -> set:
    return expected_protocols(observation.get("facts") or {}, _facts(observation, "known_good", "manifest"), set(declared.get(observation["host"]) or []))


def accepted(observation: dict) -> set:
    """The domains that this host accepts mail for, by its present configuration."""
    return {str(name).lower() for software in ("postfix", "exim") for name in _facts(observation, software, "domains") or []}


def candidates(observations: list) -> list:
    """Domains that look like ours by a host's own name although no host accepts their mail: a lost domain list looks so.

    Whether they are ours is for DNS to say: an MX record that points at one of our hosts.
    """
    taken = set().union(*(accepted(observation) for observation in observations))
    found = {str((_facts(observation, "postfix", "expanded") or {}).get(name) or "").lower()
             for observation in observations for name in ("mydomain", "myorigin")}
    return sorted(name for name in found - taken if "." in name and "$" not in name and not name.startswith("/") and name != "localdomain")


def second_look(observations: list, declared: dict, own_domains: list, args: dict) -> list:
    """The probes of the second look, each with the inventory host that it belongs to.

    Ports that are expected and failed are tried again, unless the host itself confirmed it (that is the second
    look already). Port 25 of every host that takes mail from outside is asked, as a stranger would, whether it
    accepts our recipients and refuses others'. Probe accounts log in where the port answers.
    """
    targets = []
    for observation in observations:
        address = observation.get("address") or observation["host"]
        accepts = accepted(observation) & set(own_domains)
        for protocol in sorted(expected(observation, declared) - {"lmtp"}):
            target = {"host": observation["host"], "name": address, "port": _PORTS[protocol], "protocol": protocol}
            if _failed(observation, protocol):
                if not _confirms(observation, protocol):
                    targets.append(target)
            elif protocol == "smtp":
                targets.append(dict(target, sender=STRANGER, recipients=_recipients(accepts, args),
                                    relay_check={"sender": STRANGER, "recipient": _FOREIGNER}))
    return targets + logins(observations, declared, args)


def orphan_look(observations: list, declared: dict, own_domains: list, dns: dict, args: dict) -> list:
    """Probes for domains of ours that no host takes from outside any more: somebody has lost them.

    Asked at the hosts that the domain's MX records name; where DNS does not say, at every host that takes mail from outside.
    """
    edges = [item for item in observations if "smtp" in expected(item, declared) and not _failed(item, "smtp")]
    targets = []
    for domain in sorted(set(own_domains) - set().union(*(accepted(item) for item in edges))):
        exchangers = {address for mx in ((dns.get("domains") or {}).get(domain) or {}).get("mx") or [] for address in mx.get("addresses") or []}
        for observation in edges:
            if not exchangers or exchangers & _addresses(observation):
                targets.append({"host": observation["host"], "name": observation.get("address") or observation["host"], "port": 25, "protocol": "smtp",
                                "sender": STRANGER, "recipients": _recipients({domain}, args)})
    return targets


def _recipients(wanted: set, args: dict) -> list:
    """Up to three of our addresses in each of the ``wanted`` domains: those of probe accounts, else its postmaster (RFC 5321 4.5.1)."""
    found = []
    for domain in sorted(wanted):
        known = [account["address"] for account in args["probe_accounts"] if str(account.get("address") or "").lower().endswith("@" + domain)]
        found += known[:3] or [f"postmaster@{domain}"]
    reported = args["reported_user"]
    return found[:30] + ([reported] if reported.rpartition("@")[2].lower() in wanted and reported not in found else [])


def _failed(observation: dict, protocol: str) -> bool:
    return any(item.get("protocol") == protocol and not item.get("ok") for item in observation.get("probes") or [])


def _confirms(observation: dict, protocol: str) -> bool:
    """Whether the host's own look says that this service fails: over loopback, or because its program does not run."""
    if any(item.get("protocol") == protocol and not item.get("ok") for item in _facts(observation, "loopback", "probes") or []):
        return True
    software = _facts(observation, "services", "mta" if protocol in ("smtp", "submission", "submissions") else "imap") or {}
    return software.get("running") is False


def logins(observations: list, declared: dict, args: dict) -> list:
    """One login a probe account and protocol, at the names that clients use, else at the hosts that serve it."""
    found = []
    accounts = [account for account in args["probe_accounts"] if account.get("login") and account.get("password")][:MOST_ACCOUNTS]
    served = set().union(*(expected(item, declared) for item in observations))
    # Where there is no TLS from the start, by STARTTLS.
    reading = [(protocol if protocol in served else protocol[:-1], args[name]) for protocol, name in (("imaps", "imap_host"), ("pop3s", "pop3_host"))]
    for protocol, name in [("submission", args["submission_host"])] + reading:
        serving = [item for item in observations if protocol in expected(item, declared) and not _failed(item, protocol)]
        for observation in serving if not name else serving[:1]:
            address = observation.get("address") or observation["host"]
            shown = name or _served_name(observation, protocol)
            for account in accounts if shown else []:
                if not name and accepted(observation) and account["address"].rpartition("@")[2].lower() not in accepted(observation):
                    continue
                found.append({
                    "host": observation["host"], "name": shown, "port": _PORTS[protocol], "protocol": protocol,
                    "login": {"username": account["login"], "password": account["password"]},
                    **({"address": address} if _is_address(address) else {}),
                })
    return found


def _served_name(observation: dict, protocol: str) -> str:
    """The name to verify a certificate by when none was declared: the host's own where the certificate has it, else the certificate's first."""
    probe = next((item for item in observation.get("probes") or [] if item.get("protocol") == protocol and item.get("tls")), None)
    names = [str(name) for name in ((probe or {}).get("tls") or {}).get("certificate", {}).get("names") or [] if not str(name).startswith("*")]
    own = [str(_facts(observation, "system", "fqdn") or ""), observation["host"]]
    return next((name for name in own if name in names), names[0] if names else "")


def dns_question(observations: list, own_domains: list, args: dict) -> dict:
    """What mail_dns_info is asked."""
    hosts, senders, keys = [], set(), []
    for observation in observations:
        addresses = sorted(_addresses(observation))
        fqdn = (_facts(observation, "postfix", "expanded") or {}).get("myhostname") or _facts(observation, "system", "fqdn") or observation["host"]
        hosts.append({"name": fqdn, "addresses": addresses})
        if _facts(observation, "postfix", "present") and not (_facts(observation, "postfix", "expanded") or {}).get("relayhost"):
            senders.update(addresses)
        keys += _facts(observation, "dkim", "keys") or []
    return {
        "domains": own_domains, "resolvers": args["resolvers"], "hosts": hosts, "sending_addresses": sorted(senders),
        "served": [probe for observation in observations for probe in observation.get("probes") or [] if probe.get("protocol") == "smtp"],
        "dkim_keys": [{"domain": key["domain"], "selector": key["selector"], "public_key": key["public_key"]} for key in keys if key.get("public_key")],
        "blocklists": args["blocklists"], "ca_file": args.get("ca_file"),
        "client_names": [name for name in (args["submission_host"], args["imap_host"], args["pop3_host"]) if name],
    }


def _addresses(observation: dict) -> set:
    """The host's own global addresses, and the one that Ansible reaches it by."""
    found = set()
    for item in _facts(observation, "network", "addresses") or []:
        address = str(item.get("address") or "")
        if _is_address(address) and not ipaddress.ip_address(address).is_loopback and not ipaddress.ip_address(address).is_link_local:
            found.add(address)
    if _is_address(str(observation.get("address") or "")):
        found.add(str(observation["address"]))
    return found
