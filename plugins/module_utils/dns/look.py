"""The look at an estate's DNS: everything asked side by side, compared with what the estate serves, and judged.

``look(question)`` is what mail_dns_info and the assessment call. The evaluators (spf, dkim, …) and the judge are pure;
here they are given their answers.
"""
from __future__ import annotations

import ipaddress
import time

from ansible_collections.mailops.outage.plugins.module_utils.dns import (
    asker as asking, blocklist, dane, dkim, dmarc, judge, mta_sts, names, ownership, served, spf,
)
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

# Seconds: for one question, and for all of them.
TIMEOUT, DEADLINE = 4.0, 20.0
_MOST = {"domains": 200, "hosts": 300, "sending_addresses": 300, "dkim_keys": 500, "blocklists": 20, "client_names": 20}
# Of these a part is worse than nothing: what is left out would be taken for not ours.
_WHOLE = ("hosts", "sending_addresses")
_LEAST_LEFT = 3.0
_MOST_EXCHANGERS = 10
_MOST_NAMESERVERS = 6
# The name servers themselves are asked for the first domains only: the others are mostly served by the same ones.
_MOST_ZONES_ASKED = 10
_FAILED = ("servfail", "timeout", "refused", "garbage", "no_answer")


class BadQuestion(Exception):
    """The question makes no sense; nothing was asked."""


class LibraryMissing(Exception):
    """dnspython is not installed."""


def look(question: dict, nameserver_port: int = 53) -> dict:
    """Look at the estate's DNS. Raises BadQuestion and LibraryMissing; whatever DNS does is in the result.

    ``question``: {domains, resolvers, hosts: [{name, addresses}], sending_addresses, served: [endpoint observation],
    dkim_keys: [{domain, selector, public_key}], blocklists, client_names, fetch_mta_sts, ca_file, timeout, deadline}, all
    optional. The result has domains, hosts, client_names, reverse, blocklists, resolvers, problems and not_visible.
    ``nameserver_port`` is where the domains' own name servers listen.
    """
    if asking.DNSPYTHON_MISSING is not None:
        raise LibraryMissing("dnspython") from asking.DNSPYTHON_MISSING
    wanted = _checked(question)
    servers = wanted["resolvers"] or asking.system_servers()
    return _Look(wanted, asking.Asker(servers, wanted["timeout"], time.monotonic() + wanted["deadline"], nameserver_port)).run()


def _checked(given: dict) -> dict:
    """The question with every key, its names in DNS's form, and no more than is bearable. Raises BadQuestion."""
    wanted = {
        "served": given.get("served") or [], "ca_file": given.get("ca_file") or None, "fetch_mta_sts": bool(given.get("fetch_mta_sts")),
        "timeout": float(given.get("timeout") or TIMEOUT), "deadline": float(given.get("deadline") or DEADLINE), "not_visible": [],
    }
    if wanted["timeout"] <= 0 or wanted["deadline"] <= 0:
        raise BadQuestion("timeout and deadline must be more than 0")

    def each(key, read):
        """The readable entries of one list, each once. A name that DNS cannot hold is left out, and that is said."""
        found = []
        for item in given.get(key) or []:
            try:
                read_item = read(item)
            except (ValueError, UnicodeError) as problem:
                wanted["not_visible"].append(clean(f"{key}: {problem}"))
                continue
            if read_item not in found:
                found.append(read_item)
        return found

    try:
        wanted["resolvers"] = list(dict.fromkeys(names.server(text) for text in given.get("resolvers") or []))
        wanted["sending_addresses"] = list(dict.fromkeys(str(ipaddress.ip_address(text)) for text in given.get("sending_addresses") or []))
    except ValueError as problem:
        raise BadQuestion(clean(problem)) from problem
    try:
        wanted["blocklists"] = each("blocklists", names.plain)
        wanted["domains"] = each("domains", names.plain)
        wanted["client_names"] = [name for name in each("client_names", _host_name) if not _is_address(name)]
        wanted["dkim_keys"] = each("dkim_keys", _signing_key)
        wanted["hosts"] = each("hosts", _host)
    except KeyError as problem:
        raise BadQuestion(f"{problem} is missing") from problem
    for name in [name for name in wanted["domains"] if names.is_inside(name)]:
        wanted["domains"].remove(name)
        wanted["not_visible"].append(f"{name} is a name for inside use, which the public DNS does not serve: not looked up")
    for key, most in _MOST.items():
        if len(wanted[key]) > most:
            kept = 0 if key in _WHOLE else most
            wanted["not_visible"].append(f"{kept or 'none'} of {len(wanted[key])} {key} were looked at: at most {most} can be")
            del wanted[key][kept:]
    return wanted


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _host_name(text: str) -> str:
    return text if _is_address(text) else names.plain(text)


def _host(given: dict) -> dict:
    return {"name": _host_name(given["name"]), "addresses": [str(ipaddress.ip_address(text)) for text in given.get("addresses") or []]}


def _signing_key(given: dict) -> dict:
    return {"domain": names.plain(given["domain"]), "selector": names.plain(given["selector"]), "public_key": str(given.get("public_key") or "")}


class _Look:
    """One look, in three rounds: what DNS says; whose it is and what is served there; what is wrong with it."""

    def __init__(self, wanted: dict, asker):
        self.wanted = wanted
        self.asker = asker
        self.ask = asker.ask
        self.not_visible = wanted["not_visible"]
        # MX hosts of whose TLSA records the resolver says that DNSSEC proves them.
        self.authenticated: dict = {}

    def run(self) -> dict:
        wanted = self.wanted
        resolvers = self.asker.check(wanted["domains"])
        found: dict = {"domains": {}, "hosts": {}, "client_names": {}, "reverse": [], "blocklists": [], "resolvers": resolvers,
                       "not_visible": self.not_visible}
        if not resolvers:
            self.not_visible.append("DNS: no name server is configured, neither in the question nor in /etc/resolv.conf")
        if self.asker.servers:
            found.update(self._first_round())
            self._second_round(found, ownership.Estate(
                {host["name"]: host["addresses"] for host in wanted["hosts"]}, {name: entry["addresses"] for name, entry in found["hosts"].items()}))
        elif resolvers:
            self.not_visible.append("DNS: none of the name servers works, so nothing else could be looked up")
        found["problems"] = self._judged(found)
        return found

    def _first_round(self) -> dict:
        wanted = self.wanted
        host_names = list(dict.fromkeys(host["name"] for host in wanted["hosts"] if not _is_address(host["name"])))
        done = asking.together({
            "domains": lambda: asking.for_each(wanted["domains"], self._domain),
            "hosts": lambda: asking.for_each(host_names, self._name),
            "client_names": lambda: asking.for_each(wanted["client_names"], self._name),
            "reverse": lambda: asking.for_each(wanted["sending_addresses"], self._reverse),
            "blocklists": lambda: asking.for_each(wanted["blocklists"], self._blocklist),
        })
        done["reverse"] = list(done["reverse"].values())
        done["blocklists"] = [entry for entries in done["blocklists"].values() for entry in entries]
        return done

    def _name(self, name: str) -> dict:
        addresses, error, _canonical = self.asker.addresses(name)
        return {"addresses": addresses, "error": error}

    def _domain(self, domain: str) -> dict:
        seen = {"mx": [], "null_mx": False, "mx_error": None, "implicit_mx": False, "nameservers": [], "ns_consistent": None, "spf": _blank_spf(),
                "dkim": [], "dmarc": dmarc.blank(), "mta_sts": mta_sts.blank(), "tlsa": []}
        answer = self.ask(domain, "MX")
        seen["mx_error"] = answer.error
        # Of a zone that does not answer, or does not exist, nothing else is to be had.
        if answer.error in _FAILED or answer.error == "nxdomain":
            return seen
        seen.update(asking.together({
            "mx": lambda: self._exchangers(domain, answer),
            "spf": lambda: self._spf(domain),
            "dkim": lambda: self._dkim(domain),
            "dmarc": lambda: dmarc.look(domain, self.ask),
            "mta_sts": lambda: self._mta_sts(domain),
            "nameservers": lambda: self._nameservers(domain),
        }))
        seen["null_mx"] = [host for _preference, host in answer.records] == [""]
        seen["implicit_mx"] = bool(answer.absent and seen["mx"])
        seen["nameservers"], seen["ns_consistent"] = seen["nameservers"]
        return seen

    def _exchangers(self, domain: str, answer) -> list:
        """The MX hosts with their addresses; without a record the domain itself, when it has an address (RFC 5321, 5.1)."""
        records = sorted((preference, host) for preference, host in answer.records if host)[:_MOST_EXCHANGERS]
        looked = asking.for_each([host for _preference, host in records] or ([domain] if answer.absent else []), self.asker.addresses)
        entries = []
        for preference, host in records or [(0, host) for host in looked if looked[host][0]]:
            addresses, error, canonical = looked[host]
            entries.append({"preference": preference, "host": host, "addresses": addresses, "cname": canonical if canonical != host and records else None,
                            "ours": None, "takes_mail": None, "answer": "", "error": error})
        return entries

    def _spf(self, domain: str) -> dict:
        survey = spf.survey(domain, self.ask)
        permits, errors = {}, []
        for address in self.wanted["sending_addresses"]:
            result = spf.check(address, domain, self.ask)
            permits[address] = result.result
            errors += [result.error] if result.error else []
        return {"record": survey.record, "valid": survey.valid, "error": survey.error or (errors[0] if errors else ""), "count": survey.count,
                "lookups": survey.lookups, "networks": survey.networks, "leans_on": survey.leans_on, "permits": permits}

    def _dkim(self, domain: str) -> list:
        keys = [key for key in self.wanted["dkim_keys"] if key["domain"] == domain]
        return [dkim.check(key["selector"], domain, key["public_key"], self.ask(f"{key['selector']}._domainkey.{domain}", "TXT")) for key in keys]

    def _mta_sts(self, domain: str) -> dict:
        found = mta_sts.look(domain, self.ask)
        if not found["valid"] or not self.wanted["fetch_mta_sts"]:
            return found
        addresses, error, _canonical = self.asker.addresses(f"mta-sts.{domain}")
        if not addresses:
            return dict(found, error=f"mta-sts.{domain} does not resolve ({error})")
        try:
            return dict(found, policy=served.policy(domain, addresses, self.wanted["ca_file"], self._left()))
        except (OSError, ValueError) as problem:
            return dict(found, error=clean(problem, 200))

    def _nameservers(self, domain: str) -> tuple:
        """``([{name, address, working, serial, error}], whether they agree on the MX)``; None where it was not or could not be seen.

        A zone below the one that holds its name servers has none of its own, and then the list is empty.
        """
        hosts = sorted(self.ask(domain, "NS").records)[:_MOST_NAMESERVERS]
        if self.wanted["domains"].index(domain) >= _MOST_ZONES_ASKED:
            return [{"name": host, "address": None, "working": None, "serial": None, "error": ""} for host in hosts], None
        looks = asking.for_each(hosts, lambda host: self._nameserver(host, domain))
        exchangers = {records for _entry, records in looks.values() if records is not None}
        return [entry for entry, _records in looks.values()], len(exchangers) < 2 if exchangers else None

    def _nameserver(self, host: str, domain: str) -> tuple:
        addresses, error, _canonical = self.asker.addresses(host)
        entry = {"name": host, "address": addresses[0] if addresses else None, "working": False, "serial": None, "error": error or ""}
        if not addresses:
            return entry, None
        answers = asking.for_each(("SOA", "MX"), lambda kind: self.asker.ask_at(addresses[0], domain, kind))
        soa, exchangers = answers["SOA"], answers["MX"]
        if soa.error or not soa.authoritative:
            return dict(entry, error=soa.error or "not authoritative"), None
        return dict(entry, working=True, serial=soa.records[0]), None if exchangers.failed else tuple(sorted(exchangers.records))

    def _reverse(self, address: str) -> dict:
        answer = self.ask(names.reverse(address), "PTR")
        looked = asking.for_each(answer.records[:5], self.asker.addresses)
        confirmed = any(names.same_address(address, item) for found, _error, _canonical in looked.values() for item in found)
        if looked and not confirmed and any(error in _FAILED for _found, error, _canonical in looked.values()):
            confirmed = None
        return {"address": address, "names": list(looked), "forward_confirmed": confirmed if not answer.failed else None, "error": answer.error}

    def _blocklist(self, zone: str) -> list:
        tests = asking.for_each((blocklist.LISTED, blocklist.UNLISTED), lambda address: self.ask(blocklist.question(address, zone), "A"))
        illness = blocklist.health(tests[blocklist.LISTED], tests[blocklist.UNLISTED])
        return list(asking.for_each(self.wanted["sending_addresses"], lambda address: self._listing(zone, address, illness)).values())

    def _listing(self, zone: str, address: str, illness: str) -> dict:
        name = blocklist.question(address, zone)
        entry = blocklist.verdict(zone, address, None if illness else self.ask(name, "A"), illness)
        if entry["listed"]:
            entry["reason"] = clean(" ".join(self.ask(name, "TXT").records), 200)
        return entry

    def _second_round(self, found: dict, estate) -> None:
        """Whose the addresses are; and where that cannot settle it, what is served there."""
        jobs = {}
        open_25 = any(item.get("ok") and item.get("port") == 25 and _is_address(item.get("address") or "") and names.is_global(item["address"])
                      for item in self.wanted["served"])
        for domain, seen in found["domains"].items():
            for entry in seen["mx"]:
                entry["ours"] = estate.owns(entry["host"], entry["addresses"])
                if entry["ours"] is None and entry["addresses"] and estate.names:
                    self.not_visible.append(f"whether the MX {entry['host']} ({entry['addresses'][0]}) is ours cannot be told: "
                                            "our hosts show private addresses only")
                if entry["ours"] is False:
                    jobs["mx", domain, entry["host"]] = lambda entry=entry, domain=domain: self._takes_mail(entry, domain, open_25)
            jobs["tlsa", domain, ""] = lambda seen=seen: self._tlsa(seen)
        for name, entry in found["client_names"].items():
            entry.update(ours=estate.owns(name, entry["addresses"]), serves=None, answer="")
            if entry["ours"] is False:
                jobs["name", name, ""] = lambda name=name, entry=entry: self._serves(name, entry)
        asking.together(jobs)
        for seen in found["domains"].values():
            if seen["mta_sts"]["policy"]:
                seen["mta_sts"]["mx_match"] = all(mta_sts.allows(seen["mta_sts"]["policy"]["mx"], entry["host"]) for entry in seen["mx"])

    def _left(self) -> float:
        """Seconds for what is served, however late DNS was."""
        return max(_LEAST_LEFT, self.asker.until - time.monotonic())

    def _takes_mail(self, entry: dict, domain: str, open_25: bool) -> None:
        entry["takes_mail"], entry["answer"] = served.takes_mail(entry["host"], entry["addresses"][0], domain, open_25, self._left())

    def _serves(self, name: str, entry: dict) -> None:
        entry["serves"], entry["answer"] = served.serves_clients(name, entry["addresses"][0], self._left())

    def _tlsa(self, seen: dict) -> None:
        for entry in seen["mx"]:
            if not entry["addresses"]:
                continue
            answer = self.ask(f"_25._tcp.{entry['host']}", "TLSA")
            certificate = served.certificate(entry["host"], entry["addresses"][0], self._left()) if answer.records else None
            self.authenticated[entry["host"]] = answer.authenticated
            seen["tlsa"] += [dane.entry(entry["host"], 25, record, certificate) for record in answer.records[:10]]

    def _judged(self, found: dict) -> list:
        wanted = self.wanted
        problems = judge.Problems(self.asker.servers[0] if self.asker.servers else None)
        judge.resolvers(problems, found["resolvers"])
        known = [address for seen in found["domains"].values() for entry in seen["mx"] for address in entry["addresses"]]
        known += [address for entry in [*found["hosts"].values(), *found["client_names"].values()] for address in entry["addresses"]]
        networks = [network for seen in found["domains"].values() for network in seen["spf"]["networks"]]
        judged = [address for address in wanted["sending_addresses"] if ownership.seen_outside(address, known, networks)]
        if self.asker.servers:
            self.not_visible += [f"{address} is a private address, and others see another one: its reverse name and SPF were not judged"
                                 for address in wanted["sending_addresses"] if address not in judged]
        certificates = {item.get("address"): ((item.get("tls") or {}).get("certificate") or {}).get("names")
                        for item in wanted["served"] if item.get("port") == 25}
        # Addresses of no known host are taken as one host's.
        owned = {address: place for place, host in enumerate(wanted["hosts"]) for address in host["addresses"]}
        places = dict.fromkeys(owned.get(address) for address in judged)
        senders = [[address for address in judged if owned.get(address) == place] for place in places]
        for domain, seen in found["domains"].items():
            judge.exchangers(problems, domain, seen, found["domains"])
            judge.nameservers(problems, domain, seen)
        judge.client_names(problems, found["client_names"])
        for domain, seen in found["domains"].items():
            if seen["mx_error"] in _FAILED or seen["mx_error"] == "nxdomain":
                continue
            judge.sender_policy(problems, domain, seen["spf"], senders)
            judge.signing_keys(problems, domain, seen["dkim"])
            judge.alignment_policy(problems, domain, seen["dmarc"])
            names_served = {entry["host"]: certificates[address] for entry in seen["mx"] for address in entry["addresses"] if certificates.get(address)}
            judge.strict_transport(problems, domain, seen["mta_sts"], seen["mx"], names_served)
            judge.pinned_keys(problems, domain, seen["tlsa"], self.authenticated, self.asker.validating)
        judge.host_names(problems, found["hosts"])
        judge.reverse_names(problems, found["reverse"], senders)
        judge.lists(problems, found["blocklists"])
        return problems.ordered()


def _blank_spf() -> dict:
    return {"record": None, "valid": None, "error": "", "count": 0, "lookups": 0, "networks": [], "leans_on": [], "permits": {}}
