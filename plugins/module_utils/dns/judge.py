"""What is wrong in what was looked up. Pure: the result of a look in, problems out.

A problem is ``{id, severity, subject, text, source, follows}``; ``source`` is the command that shows it again. Severities:
``error`` breaks mail by itself; ``warning`` breaks some of it, or cannot be told for sure; ``info`` breaks nothing, or
goes away when the problem that ``follows`` names is repaired. That a domain has no SPF, DKIM or DMARC record at all is no
outage.
"""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.dns import blocklist
from ansible_collections.mailops.outage.plugins.module_utils.dns import dkim as dkim_records
from ansible_collections.mailops.outage.plugins.module_utils.dns import mta_sts as sts
from ansible_collections.mailops.outage.plugins.module_utils.dns.names import Server, dig, parents, reverse
from ansible_collections.mailops.outage.plugins.module_utils.dns.spf import MOST_LOOKUPS
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

SEVERITIES = ("error", "warning", "info")
_ABSENT = ("nxdomain", "no_data", "bad_name")


class Problems:
    """Collects problems; ``at`` is the name server that was asked, for the commands."""

    def __init__(self, at: Server | None = None):
        self.at = at
        self.found: list = []
        # Names that do not lead where they should, and domains whose MX is broken: {name: id of the problem}.
        self.broken: dict = {}
        # Zones that do not answer or do not exist, in the same form.
        self.dead: dict = {}

    def add(self, name: str, severity: str, subject: str, text: str, kind: str = "", question: str = "", source: str = "", follows: str = "") -> None:
        problem = {"id": name, "severity": "info" if follows else severity, "subject": clean(subject, 255), "text": clean(text),
                   "source": source or dig(kind, question or subject, self.at), "follows": follows}
        if problem not in self.found:
            self.found.append(problem)

    def cause(self, names) -> str:
        """The problem that makes one of these names lead astray; empty when there is none."""
        return next((self.broken[name] for name in names if name in self.broken), "")

    def ordered(self) -> list:
        return sorted(self.found, key=lambda problem: (SEVERITIES.index(problem["severity"]), problem["subject"], problem["id"]))


def resolvers(problems: Problems, looks: list) -> None:
    some_work = any(look["working"] for look in looks)
    for look in looks:
        if not look["working"]:
            address, _hash, port = look["address"].partition("#")
            problems.add("resolver_broken", "warning" if some_work else "error", look["address"],
                         f"the name server {look['address']} does not answer ({look['error']})",
                         source=dig("SOA", ".", Server(address, int(port or 53))))


def usable(exchanger: dict) -> bool:
    """Whether mail could go this way, as far as can be told."""
    if not exchanger["addresses"]:
        return exchanger["error"] not in _ABSENT
    return exchanger["ours"] is not False or exchanger["takes_mail"] is not False


def exchangers(problems: Problems, domain: str, seen: dict, above: dict) -> None:
    """Judge a domain's MX. ``above`` are the looks at the other domains: a missing name below one that works is a left-over, no outage."""
    error = seen["mx_error"]
    if error == "no_answer":
        return
    before = len(problems.found)
    _exchangers(problems, domain, seen, above)
    errors = [problem["id"] for problem in problems.found[before:] if problem["severity"] == "error"]
    if errors:
        problems.broken.update({item["host"]: errors[0] for item in seen["mx"] if not usable(item)}, **{domain: errors[0]})
        if error and error != "no_data":
            problems.dead[domain] = errors[0]


def _exchangers(problems: Problems, domain: str, seen: dict, above: dict) -> None:
    error = seen["mx_error"]
    if error in ("servfail", "timeout", "refused", "garbage"):
        problems.add("zone_unreachable", "error", domain, f"the name servers of {domain} do not answer ({error})", "MX")
    elif error == "nxdomain":
        leftover = any(domain.endswith("." + name) and not other["mx_error"] for name, other in above.items())
        problems.add("mx_missing", "info" if leftover else "error", domain, f"the domain {domain} does not exist in DNS", "MX")
    elif seen["null_mx"]:
        problems.add("mx_missing", "error", domain, f"the null MX of {domain} says that it takes no mail at all", "MX")
    elif error in _ABSENT and not seen["implicit_mx"]:
        problems.add("mx_missing", "error", domain, f"{domain} has no MX record and no address", "MX")
    elif seen["implicit_mx"]:
        if not usable(seen["mx"][0]) or seen["mx"][0]["ours"] is False and not seen["mx"][0]["takes_mail"]:
            problems.add("mx_missing", "error", domain,
                         f"{domain} has no MX record, and its own address {_addresses(seen['mx'][0])} is no mail host of ours", "MX")
    else:
        _listed(problems, domain, seen["mx"])


def _addresses(look: dict) -> str:
    return ", ".join(look["addresses"][:4])


def _listed(problems: Problems, domain: str, mx: list) -> None:
    good = [item for item in mx if usable(item)]
    sure = [item for item in good if item["addresses"] and item["ours"] is not False or item["takes_mail"]]
    best = min((item["preference"] for item in good), default=None)
    for item in mx:
        subject, host = domain, item["host"]
        # Senders go on to the next MX when one cannot be found or reached, but not when it refuses for good.
        tried_first = best is None or item["preference"] <= best
        if not item["addresses"] and item["error"] in _ABSENT:
            problems.add("mx_unresolvable", "warning" if good else "error", subject, f"the MX {host} of {domain} has no address", "A", host)
        elif not item["addresses"]:
            problems.add("mx_unresolvable", "warning" if sure else "error", subject,
                         f"the name of the MX {host} of {domain} cannot be looked up ({item['error']})", "A", host)
        elif not usable(item):
            problems.add("mx_wrong", "error" if tried_first else "warning", subject,
                         f"the MX {host} of {domain} ({_addresses(item)}) is not one of our hosts and does not take our mail: {item['answer']}", "MX")
        elif item["ours"] is False and item["takes_mail"] is None and not sure:
            problems.add("mx_wrong", "warning", subject, f"the MX {host} of {domain} ({_addresses(item)}) is not one of our hosts; "
                         f"whether it takes our mail could not be seen: {item['answer']}", "MX")
        if item["cname"]:
            problems.add("mx_cname", "warning", subject, f"the MX {host} of {domain} is an alias (of {item['cname']}), which RFC 5321 forbids", "A", host)


def nameservers(problems: Problems, domain: str, seen: dict) -> None:
    if seen["ns_consistent"] is False:
        problems.add("ns_inconsistent", "warning", domain, f"the name servers of {domain} give different MX records", "NS")
    if any(item["working"] for item in seen["nameservers"]):
        for item in seen["nameservers"]:
            if item["working"] is False:
                problems.add("ns_broken", "info", domain, f"the name server {item['name']} ({item['address']}) does not serve {domain}: {item['error']}",
                             source=dig("SOA", domain, Server(item["address"])))


def sender_policy(problems: Problems, domain: str, found: dict, senders: list) -> None:
    """Judge SPF. ``senders`` are the sending addresses as others see them, one list a host.

    A host none of whose addresses may send, while another host's may, sends for other domains.
    """
    results = {address: found["permits"].get(address) for addresses in senders for address in addresses}
    if found["count"] == 0 and not found["error"]:
        problems.add("spf_missing", "info", domain, f"{domain} has no SPF record", "TXT")
    elif found["count"] > 1:
        problems.add("spf_multiple", "error", domain,
                     f"{domain} has {found['count']} SPF records, where one is allowed; receivers take none of them", "TXT")
    elif found["lookups"] > MOST_LOOKUPS:
        severity = "error" if "permerror" in results.values() else "warning"
        problems.add("spf_too_many_lookups", severity, domain,
                     f"the SPF record of {domain} takes {found['lookups']} DNS lookups; receivers stop at {MOST_LOOKUPS}", "TXT")
    elif found["valid"] is False or "permerror" in results.values():
        problems.add("spf_invalid", "error", domain, f"the SPF record of {domain} is invalid: {found['error'] or 'permerror'}", "TXT")
    passing = [addresses for addresses in senders if any(results[address] == "pass" for address in addresses)]
    omitted = [address for addresses in passing or senders for address in addresses if results[address] in ("fail", "softfail")]
    if omitted:
        severity = "warning" if passing or all(results[address] == "softfail" for address in omitted) else "error"
        problems.add("spf_omits_sender", severity, domain, f"the SPF record of {domain} does not permit our {_some(omitted)} ({results[omitted[0]]}): "
                     f"{found['record']}", "TXT", follows=problems.cause(found["leans_on"]))


def _some(addresses: list) -> str:
    """The first of them, and how many more there are."""
    shown = ", ".join(addresses[:3])
    return f"{shown} and {len(addresses) - 3} more addresses" if len(addresses) > 3 else f"address {shown}" if len(addresses) == 1 else f"addresses {shown}"


def signing_keys(problems: Problems, domain: str, keys: list) -> None:
    """Judge DKIM. While one selector of the domain works, another may be an old or a coming one."""
    works = any(key["matches"] for key in keys)
    for key in keys:
        name = f"{key['selector']}._domainkey.{key['domain']}"
        where = {"subject": domain, "kind": "TXT", "question": name}
        if key["record_found"] is False:
            problems.add("dkim_missing", "info" if works else "warning", text=f"we sign with a key that is not published: {name} has no record", **where)
        elif key["revoked"]:
            problems.add("dkim_revoked", "info" if works else "error", text=f"the key at {name} is revoked (p= is empty), and we sign with it", **where)
        elif key["record_found"] and key["valid"] is False:
            problems.add("dkim_mismatch", "warning" if works else "error", text=f"the record at {name} is no valid key: {key['error']}", **where)
        elif key["matches"] is False:
            problems.add("dkim_mismatch", "warning" if works else "error", text=f"the key published at {name} is not the one that we sign with", **where)
        elif key["matches"] and key["key_bits"] and key["key_bits"] < dkim_records.LEAST_BITS:
            problems.add("dkim_weak", "warning", **where,
                         text=f"the key at {name} has {key['key_bits']} bits; receivers refuse less than {dkim_records.LEAST_BITS}")


def alignment_policy(problems: Problems, domain: str, found: dict) -> None:
    where = {"subject": domain, "kind": "TXT", "question": f"_dmarc.{found['found_at'] or domain}"}
    if found["valid"] is False:
        problems.add("dmarc_invalid", "warning", text=f"the DMARC record for {domain} is invalid: {found['error']}", **where)
    elif found["record"] is None and not found["error"]:
        problems.add("dmarc_missing", "info", text=f"{domain} has no DMARC record", **where)


def strict_transport(problems: Problems, domain: str, found: dict, mx: list, served: dict) -> None:
    """Judge MTA-STS. ``served`` is ``{MX host: names in its certificate}`` where a certificate was seen."""
    where = {"subject": domain, "kind": "TXT", "question": f"_mta-sts.{domain}"}
    if found["valid"] is False:
        problems.add("mta_sts_invalid", "info", text=f"the MTA-STS record of {domain} is invalid, so senders ignore it: {found['error']}", **where)
        return
    source = f"curl -sS https://mta-sts.{domain}/.well-known/mta-sts.txt"
    if found["valid"] and found["policy"] is None and found["error"]:
        problems.add("mta_sts_unreachable", "warning", domain, f"the MTA-STS policy of {domain} cannot be fetched: {found['error']}", source=source)
    if not found["policy"] or not mx:
        return
    policy, hosts = found["policy"], [item["host"] for item in mx]
    refused = [host for host in hosts if not sts.allows(policy["mx"], host)]
    refused += [host for host in hosts if host not in refused and host in served and not sts.allows(served[host], host)]
    if refused and policy["mode"] != "none":
        severity = "info" if policy["mode"] == "testing" else "error" if len(refused) == len(hosts) else "warning"
        problems.add("mta_sts_mismatch", severity, domain, f"the MTA-STS policy of {domain} (mode {policy['mode']}) does not allow the MX "
                     f"{', '.join(refused[:4])}, or its certificate is for another name", source=source)


def pinned_keys(problems: Problems, domain: str, records: list, authenticated: dict, validating: bool) -> None:
    """Judge TLSA, a host at a time: one record that matches is enough (RFC 7671, 9)."""
    for host in dict.fromkeys(item["host"] for item in records):
        compared = [item["matches"] for item in records if item["host"] == host and item["matches"] is not None]
        if compared and not any(compared):
            # Senders use only what DNSSEC proves; a resolver that validates would have said so.
            ignored = validating and not authenticated.get(host)
            note = " (senders ignore them: not signed by DNSSEC)" if ignored else ""
            problems.add("tlsa_mismatch", "info" if ignored else "error", domain,
                         f"no TLSA record of {host} matches the certificate that it serves{note}", "TLSA", f"_25._tcp.{host}")


def client_names(problems: Problems, seen: dict) -> None:
    for name, look in seen.items():
        if not look["addresses"]:
            if look["error"] != "no_answer":
                problems.add("name_missing", "error", name, f"{name}, which mail programs use, does not resolve ({look['error']})", "A",
                             follows=problems.cause([name]) or next((problems.dead[zone] for zone in parents(name) if zone in problems.dead), ""))
        elif look["ours"] is False and look["serves"] is False:
            problems.add("name_wrong", "error", name,
                         f"{name} leads to {_addresses(look)}, which is not one of our hosts and serves no mail for that name ({look['answer']})", "A")
            problems.broken.setdefault(name, "name_wrong")
        elif look["ours"] is False and look["serves"] is None:
            problems.add("name_wrong", "warning", name, f"{name} leads to {_addresses(look)}, which is not one of our hosts", "A")


def host_names(problems: Problems, hosts: dict) -> None:
    for name, look in hosts.items():
        if not look["addresses"] and look["error"] in _ABSENT:
            problems.add("host_name_missing", "info", name, f"the mail host's own name {name} is not in DNS", "A")


def reverse_names(problems: Problems, entries: list, senders: list) -> None:
    """Judge PTR records of ``senders``, as of ``sender_policy``. While one address of a host is right, its mail may leave by that one."""
    looks = {item["address"]: item for item in entries}
    for addresses in senders:
        _reverse_names(problems, [looks[address] for address in addresses if address in looks])


def _reverse_names(problems: Problems, entries: list) -> None:
    severity = "warning" if any(item["forward_confirmed"] for item in entries) else "error"
    for item in entries:
        if not item["names"] and item["error"] in _ABSENT:
            problems.add("ptr_missing", severity, item["address"], f"our address {item['address']} has no reverse name ({reverse(item['address'])})", "PTR")
        elif item["names"] and item["forward_confirmed"] is False:
            problems.add("ptr_mismatch", severity, item["address"],
                         f"the reverse name {', '.join(item['names'][:3])} of our address {item['address']} does not lead back to it", "PTR",
                         follows=problems.cause(item["names"]))


def lists(problems: Problems, entries: list) -> None:
    for item in entries:
        zone = item["zone"]
        if item["listed"]:
            reason = f": {item['reason']}" if item.get("reason") else ""
            problems.add("blocklisted", "error", item["address"], f"our address {item['address']} is on {zone} ({item['answer']}){reason}",
                         "A", blocklist.question(item["address"], zone))
        elif item["error"]:
            problems.add("blocklist_broken", "info", zone, f"the block list {zone} says nothing: {item['text']} {item['answer'] or ''}".rstrip(),
                         "A", blocklist.question(blocklist.LISTED, zone))
