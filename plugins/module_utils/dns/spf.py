"""SPF (RFC 7208): whether a domain lets an address send, and what is wrong with its record.

A pure evaluator: ``ask(name, kind)`` gives an Answer. The sender is postmaster@DOMAIN and the HELO name DOMAIN, as for a
bounce; exp= is not fetched, as it decides nothing.
"""
from __future__ import annotations

import functools
import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import quote

from ansible_collections.mailops.outage.plugins.module_utils.text import clean

MOST_LOOKUPS = 10
_MOST_VOID = 2
_MOST_NAMES = 10
# A survey counts past the limit, but not for ever: includes may run in circles.
_MOST_SURVEYED = 40
_RESULTS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_LOOKING = ("include", "a", "mx", "ptr", "exists")
_TERM = re.compile(r"([+?~-]?)([A-Za-z][A-Za-z0-9_.-]*)(.*)")
_MACRO = re.compile(r"%(?:\{([slodiphv])(\d*)(r?)([.\-+,/_=]*)\}|([%_-]))", re.I)
_LAST_LABEL = re.compile(r"\.(?=[A-Za-z0-9-]*[A-Za-z-])[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.?$")


class SpfError(Exception):
    """The evaluation ends here. ``result`` is permerror or temperror."""

    def __init__(self, result: str, text: str):
        super().__init__(text)
        self.result = result


@dataclass(frozen=True)
class Term:
    """A mechanism, or a modifier (its qualifier is empty). ``value`` is a domain-spec or a network; a prefix of None means a whole address."""

    qualifier: str
    name: str
    value: str = ""
    prefix4: int | None = None
    prefix6: int | None = None
    text: str = ""


@dataclass
class Result:
    """``result`` is one of RFC 7208, 2.6; ``mechanism`` is what decided it."""

    result: str
    mechanism: str = ""
    error: str = ""
    lookups: int = 0


@dataclass
class Survey:
    """What a record holds, all includes followed, whatever address is asked for.

    ``networks`` are its own ip4 and ip6 terms; ``leans_on`` are the names whose MX or addresses its own mx and a terms
    take. ``valid`` is None when there is no record or it could not be seen.
    """

    record: str | None = None
    count: int = 0
    valid: bool | None = None
    error: str = ""
    lookups: int = 0
    networks: list = field(default_factory=list)
    leans_on: list = field(default_factory=list)


def is_record(text: str) -> bool:
    return re.match(r"v=spf1(?: |$)", text, re.I) is not None


def _prefix(text: str, most: int) -> int:
    if not re.fullmatch(r"0|[1-9]\d{0,2}", text) or int(text) > most:
        raise SpfError("permerror", f"/{text} is no prefix length up to {most}")
    return int(text)


def _domain_spec(text: str) -> str:
    """Check a domain-spec (7.1): its macros, and that it ends in a label or in a macro."""
    if not text or not text.isascii() or not text.isprintable() or "%" in _MACRO.sub("", text):
        raise SpfError("permerror", f"{clean(text, 60)!r} is no domain, or has a wrong macro")
    if any(match.group(2) and int(match.group(2)) == 0 for match in _MACRO.finditer(text)):
        raise SpfError("permerror", f"{clean(text, 60)!r} has a macro that keeps no label")
    if not text.endswith("}") and not _LAST_LABEL.search(text):
        raise SpfError("permerror", f"{clean(text, 60)!r} is no full domain name")
    return text


def _network(name: str, text: str) -> str:
    try:
        if re.search(r"/0\d", text):
            raise ValueError("a leading zero")
        network = (ipaddress.IPv4Network if name == "ip4" else ipaddress.IPv6Network)(text, strict=False)
    except ValueError as problem:
        raise SpfError("permerror", f"{clean(name + ':' + text, 60)!r} is no network") from problem
    return str(network)


def _mechanism(qualifier: str, name: str, rest: str, text: str) -> Term:
    if name == "all":
        if rest:
            raise SpfError("permerror", f"{clean(text, 60)!r}: all takes no value")
        return Term(qualifier, name, text=text)
    if name in ("ip4", "ip6"):
        if not rest.startswith(":"):
            raise SpfError("permerror", f"{clean(text, 60)!r} lacks a network")
        return Term(qualifier, name, _network(name, rest[1:]), text=text)
    prefix4 = prefix6 = None
    if name in ("a", "mx"):
        # The slash of a macro's delimiters stands inside braces.
        match = re.fullmatch(r"((?::(?:%\{[^}]*\}|[^/])*)?)(?:/(\d+))?(?://(\d+))?", rest)
        if not match:
            raise SpfError("permerror", f"{clean(text, 60)!r} cannot be read")
        rest = match.group(1)
        prefix4 = None if match.group(2) is None else _prefix(match.group(2), 32)
        prefix6 = None if match.group(3) is None else _prefix(match.group(3), 128)
    if rest and not rest.startswith(":"):
        raise SpfError("permerror", f"{clean(text, 60)!r} cannot be read")
    if not rest and name in ("include", "exists"):
        raise SpfError("permerror", f"{clean(text, 60)!r} lacks a domain")
    return Term(qualifier, name, _domain_spec(rest[1:]) if rest else "", prefix4, prefix6, text)


@functools.lru_cache(maxsize=1024)
def parse(record: str) -> tuple:
    """The terms of a record (4.6.1, 12). Raises SpfError, for mistakes anywhere in it."""
    terms: list = []
    for text in [word for word in record.split(" ")[1:] if word]:
        match = _TERM.fullmatch(text)
        if not match:
            raise SpfError("permerror", f"{clean(text, 60)!r} is no mechanism")
        qualifier, name, rest = match.group(1), match.group(2), match.group(3)
        if rest.startswith("=") and not qualifier:
            name = name.lower()
            if name in ("redirect", "exp"):
                if any(term.name == name for term in terms):
                    raise SpfError("permerror", f"{name}= stands twice")
                _domain_spec(rest[1:])
            terms.append(Term("", name, rest[1:], text=text))
        elif name.lower() in _LOOKING + ("all", "ip4", "ip6"):
            terms.append(_mechanism(qualifier or "+", name.lower(), rest, text))
        else:
            raise SpfError("permerror", f"{clean(text, 60)!r}: there is no mechanism {clean(name, 40)!r}")
    return tuple(terms)


def record_of(domain: str, ask) -> tuple:
    """``(record or None, number of records)``. Raises SpfError where the answer failed."""
    answer = ask(domain, "TXT")
    if answer.failed:
        raise SpfError("temperror", f"the TXT records of {domain} could not be had ({answer.error})")
    records = [text for text in answer.records if is_record(text)]
    return (records[0] if records else None), len(records)


def _terms_of(domain: str, ask) -> tuple | None:
    record, count = record_of(domain, ask)
    if count > 1:
        raise SpfError("permerror", f"{domain} has {count} SPF records")
    return None if record is None else parse(record)


def expand(spec: str, address, domain: str, origin: str) -> str:
    """Replace the macros of a domain-spec (7.3) for ``address`` (an ip_address); ``origin`` is the domain of the sender."""
    if address.version == 4:
        dotted = str(address)
    else:
        dotted = ".".join(address.exploded.replace(":", ""))
    values = {"s": f"postmaster@{origin}", "l": "postmaster", "o": origin, "d": domain, "i": dotted, "p": "unknown",
              "v": "in-addr" if address.version == 4 else "ip6", "h": origin}

    def replaced(match):
        letter, digits, backwards, delimiters, escape = match.groups()
        if escape:
            return {"%": "%", "_": " ", "-": "%20"}[escape]
        parts = re.split("[" + re.escape(delimiters or ".") + "]", values[letter.lower()])
        if backwards:
            parts.reverse()
        if digits:
            parts = parts[-int(digits):]
        value = ".".join(parts)
        return quote(value, safe="-._~") if letter.isupper() else value

    name = _MACRO.sub(replaced, spec).rstrip(".").lower()
    while len(name) > 253 and "." in name:
        name = name.partition(".")[2]
    return name


class _Check:
    """One evaluation of check_host (4) with its limits on questions (4.6.4)."""

    def __init__(self, address: str, domain: str, ask):
        self.address = ipaddress.ip_address(address)
        self.origin = domain
        self.ask = ask
        self.lookups = 0
        self.voids = 0

    def host(self, domain: str) -> tuple:
        """``(result, the term that decided)`` for one domain."""
        terms = _terms_of(domain, self.ask)
        if terms is None:
            return "none", ""
        for term in terms:
            if term.qualifier and self._matches(term, domain):
                return _RESULTS[term.qualifier], term.text
        redirect = next((term for term in terms if not term.qualifier and term.name == "redirect"), None)
        if redirect is None:
            return "neutral", ""
        self._count()
        target = expand(redirect.value, self.address, domain, self.origin)
        result, decided = self.host(target)
        if result == "none":
            raise SpfError("permerror", f"redirect={target} leads to no SPF record")
        return result, decided

    def _count(self):
        self.lookups += 1
        if self.lookups > MOST_LOOKUPS:
            raise SpfError("permerror", f"more than {MOST_LOOKUPS} DNS lookups")

    def _records(self, name: str, kind: str) -> tuple:
        answer = self.ask(name, kind)
        if answer.failed:
            raise SpfError("temperror", f"{kind} of {name} could not be had ({answer.error})")
        if answer.absent:
            self.voids += 1
            if self.voids > _MOST_VOID:
                raise SpfError("permerror", f"more than {_MOST_VOID} DNS lookups without a record")
        return answer.records

    def _matches(self, term: Term, domain: str) -> bool:
        if term.name == "all":
            return True
        if term.name in ("ip4", "ip6"):
            return self.address in ipaddress.ip_network(term.value)
        self._count()
        name = expand(term.value, self.address, domain, self.origin) if term.value else domain
        return getattr(self, f"_{term.name}")(name, term)

    def _include(self, name: str, _term: Term) -> bool:
        result, _decided = self.host(name)
        if result == "none":
            raise SpfError("permerror", f"include:{name} leads to no SPF record")
        return result == "pass"

    def _own_kind(self) -> str:
        return "A" if self.address.version == 4 else "AAAA"

    def _covers(self, records, term: Term) -> bool:
        prefix = term.prefix4 if self.address.version == 4 else term.prefix6
        length = self.address.max_prefixlen if prefix is None else prefix
        return any(self.address in ipaddress.ip_network(f"{text}/{length}", strict=False) for text in records)

    def _a(self, name: str, term: Term) -> bool:
        return self._covers(self._records(name, self._own_kind()), term)

    def _mx(self, name: str, term: Term) -> bool:
        hosts = [host for _preference, host in sorted(self._records(name, "MX")) if host]
        if len(hosts) > _MOST_NAMES:
            raise SpfError("permerror", f"{name} has more than {_MOST_NAMES} MX records")
        return any(self._covers(self._records(host, self._own_kind()), term) for host in hosts)

    def _exists(self, name: str, _term: Term) -> bool:
        return bool(self._records(name, "A"))

    def _ptr(self, name: str, _term: Term) -> bool:
        # 5.5: an error here is no match.
        for host in self.ask(self.address.reverse_pointer, "PTR").records[:_MOST_NAMES]:
            if (host == name or host.endswith("." + name)) and any(
                    ipaddress.ip_address(text) == self.address for text in self.ask(host, self._own_kind()).records):
                return True
        return False


def check(address: str, domain: str, ask) -> Result:
    """What ``domain``'s record says of mail from ``address``."""
    evaluation = _Check(address, domain, ask)
    try:
        result, decided = evaluation.host(domain)
    except SpfError as problem:
        return Result(problem.result, error=clean(problem), lookups=evaluation.lookups)
    return Result(result, clean(decided, 100), lookups=evaluation.lookups)


def survey(domain: str, ask) -> Survey:
    """Read the whole record, branches that no address of ours would take included."""
    found = Survey()
    try:
        record, found.count = record_of(domain, ask)
        if record is None:
            return found
        found.record = clean(record)
        if found.count > 1:
            raise SpfError("permerror", f"{found.count} SPF records, where one is allowed")
        terms = parse(record)
        found.networks = [term.value for term in terms if term.name in ("ip4", "ip6")]
        found.leans_on = [term.value.rstrip(".").lower() or domain for term in terms if term.name in ("a", "mx")]
        _survey(terms, domain, ask, found)
        found.valid = True
    except SpfError as problem:
        found.valid = False if problem.result == "permerror" else None
        found.error = clean(problem)
    return found


def _survey(terms: tuple, domain: str, ask, found: Survey) -> None:
    """Count the lookups of ``terms`` and of all that they lead to."""
    final = any(term.name == "all" for term in terms)
    for term in terms:
        leads_on = term.name == "include" or (term.name == "redirect" and not term.qualifier and not final)
        if not leads_on and not (term.qualifier and term.name in _LOOKING):
            continue
        found.lookups += 1
        # Where a macro names the target, it depends on who sends.
        if not leads_on or "%" in term.value:
            continue
        if found.lookups > _MOST_SURVEYED:
            raise SpfError("permerror", f"more than {MOST_LOOKUPS} DNS lookups, perhaps without end")
        target = term.value.rstrip(".").lower()
        below = _terms_of(target, ask)
        if below is None:
            raise SpfError("permerror", f"{term.name} {target} leads to no SPF record")
        _survey(below, target, ask, found)
