"""What a packet filter does to mail: nftables' and iptables' rules as one list, followed as the kernel follows them.

The question asked of a rule set is narrow: which mail ports does it close to everybody? Rules that hit some peers only
(an address, a set of banned ones, a rate) close nothing by themselves and are told apart as bans.
"""
from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field

from ansible_collections.mailops.outage.plugins.module_utils.text import clean

MAIL_PORTS = (25, 465, 587, 110, 995, 143, 993, 4190, 24)
_DEPTH = 12
_INNER = re.compile(r"^(?:docker|br-|veth|virbr|podman|cni|lxc|lxd|vnet|tun|tap|wg|tailscale|vboxnet)")
_HOOKS = {"input": "in", "output": "out", "prerouting": "in", "postrouting": "out", "ingress": "in"}


@dataclass(frozen=True)
class Rule:
    """One rule. ``ports`` None is any port; ``limited`` when it hits some peers or packets only; ``harmless`` when it hits
    loopback or known connections only, so that letting those pass opens nothing for new ones from outside."""

    verdict: str
    target: str = ""
    protocol: str = ""
    ports: frozenset | None = None
    besides: bool = False
    limited: bool = False
    harmless: bool = False
    text: str = ""
    addresses: tuple = ()
    set_name: str = ""

    def hits(self, protocol: str, port: int) -> bool:
        if self.protocol and self.protocol != protocol:
            return False
        return self.ports is None or (port in self.ports) != self.besides


@dataclass
class Chain:
    """A chain of rules; a base chain has a ``direction`` and a ``policy``."""

    name: str
    direction: str = ""
    policy: str = "accept"
    family: str = ""
    rules: list = field(default_factory=list)


def _numbers(value, sets: dict):
    """The ports that an nftables expression stands for, or None when that cannot be told."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return {value}
    if isinstance(value, str):
        if value.startswith("@"):
            return _numbers({"set": sets.get(value[1:], [])}, sets)
        return {int(value)} if value.isdigit() else None
    if isinstance(value, dict) and "range" in value and len(value["range"]) == 2 and all(isinstance(end, int) for end in value["range"]):
        return set(range(max(0, value["range"][0]), min(65535, value["range"][1]) + 1))
    if isinstance(value, dict) and isinstance(value.get("set"), list):
        found = set()
        for item in value["set"]:
            item = item["elem"].get("val") if isinstance(item, dict) and isinstance(item.get("elem"), dict) else item
            found |= _numbers(item, sets) or set()
        return found
    return None


def _addresses(value, sets: dict) -> list:
    """Addresses of an nftables expression, as text, at most 1000."""
    if isinstance(value, str):
        return _addresses({"set": sets.get(value[1:], [])}, sets) if value.startswith("@") else [clean(value, 60)]
    if not isinstance(value, dict):
        return []
    if isinstance(value.get("prefix"), dict):
        return [clean(f"{value['prefix'].get('addr')}/{value['prefix'].get('len')}", 60)]
    if isinstance(value.get("range"), list):
        return [clean("-".join(map(str, value["range"])), 80)]
    if isinstance(value.get("elem"), dict):
        return _addresses(value["elem"].get("val"), sets)
    if isinstance(value.get("set"), list):
        return [address for item in value["set"][:1000] for address in _addresses(item, sets)]
    return []


def _spoken(expressions: list) -> str:
    """A rule in words near to nft's own, as proof."""
    words = []
    for expression in expressions:
        for name, value in expression.items() if isinstance(expression, dict) else ():
            if name == "match" and isinstance(value, dict):
                side = _side_text(value.get("left"))
                sign = "" if value.get("op") in ("==", "in") else f"{value.get('op')} "
                words.append(f"{side} {sign}{_value_text(value.get('right'))}")
            elif name in ("jump", "goto") and isinstance(value, dict):
                words.append(f"{name} {value.get('target')}")
            elif name in ("accept", "drop", "reject", "return", "limit", "log"):
                words.append(name)
            elif name in ("vmap", "xt"):
                words.append(name)
    return clean(" ".join(words), 200)


def _side_text(left) -> str:
    """What a match looks at: ``{"payload": {"protocol": "tcp", "field": "dport"}}`` as ``tcp dport``."""
    if not isinstance(left, dict):
        return str(left)
    parts = (inner.values() if isinstance(inner, dict) else [inner] for inner in left.values())
    return " ".join(str(part) for group in parts for part in group)


def _value_text(value) -> str:
    if isinstance(value, dict) and isinstance(value.get("set"), list):
        return "{ " + ", ".join(_value_text(item) for item in value["set"][:10]) + " }"
    if isinstance(value, dict) and isinstance(value.get("range"), list):
        return "-".join(map(str, value["range"]))
    if isinstance(value, dict) and isinstance(value.get("prefix"), dict):
        return f"{value['prefix'].get('addr')}/{value['prefix'].get('len')}"
    return str(value)


def _interface(name, other: bool, facts: dict) -> None:
    """What a match on an interface says: the road to the world is everybody's, loopback is nobody's, a bridge or tunnel is some peers'."""
    loopback = name in ("lo", 1)
    if other or (isinstance(name, str) and not loopback and not _INNER.match(name)):
        return
    facts.update(limited=True, harmless=facts["harmless"] or loopback)


def _match(match: dict, sets: dict, facts: dict) -> None:
    """Add what one match of an nftables rule says to ``facts``."""
    left, right, other = match.get("left", {}), match.get("right"), match.get("op") == "!="
    payload = left.get("payload", {}) if isinstance(left, dict) else {}
    meta = left.get("meta", {}) if isinstance(left, dict) else {}
    name = payload.get("field")
    if name in ("dport", "sport") and payload.get("protocol") in ("tcp", "udp", "th"):
        if payload["protocol"] != "th":
            facts["protocol"] = payload["protocol"]
        ports = _numbers(right, sets)
        if ports is None or (name == "sport" and not facts["out"]):
            facts["limited"] = True
        else:
            facts.update(ports=frozenset(ports), besides=other)
    elif name in ("saddr", "daddr"):
        if other:
            # All but a few are hit.
            return
        facts["limited"] = True
        facts["addresses"] = tuple(_addresses(right, sets))
        facts["set_name"] = right[1:] if isinstance(right, str) and right.startswith("@") else ""
    elif name in ("protocol", "nexthdr") or meta.get("key") in ("l4proto", "protocol", "nfproto"):
        words = right.get("set", []) if isinstance(right, dict) else [right]
        known = [word for word in words if word in ("tcp", "udp")]
        if meta.get("key") in ("nfproto", "protocol") and name is None:
            return
        if len(known) == 1 and not other:
            facts["protocol"] = known[0]
        elif not known and not other:
            facts["protocol"] = "other"
    elif meta.get("key") in ("iif", "iifname", "oif", "oifname"):
        _interface(right, other, facts)
    elif isinstance(left, dict) and left.get("ct", {}).get("key") == "state":
        states = right if isinstance(right, list) else right.get("set", []) if isinstance(right, dict) else [right]
        if "new" in states and not other:
            return
        facts.update(limited=True, harmless=True)
    else:
        facts["limited"] = True


def _nft_rules(expressions: list, sets: dict, out: bool) -> tuple:
    """``(rules, opaque)`` of one nftables rule; opaque when it holds an iptables match that nft cannot show."""
    facts = {"protocol": "", "ports": None, "besides": False, "limited": False, "harmless": False, "addresses": (), "set_name": "", "out": out}
    rules, opaque = [], False
    text = _spoken(expressions)
    for expression in expressions:
        if not isinstance(expression, dict):
            continue
        if isinstance(expression.get("match"), dict):
            _match(expression["match"], sets, facts)
        elif "limit" in expression or "connlimit" in str(expression.keys()) or "ct count" in expression:
            facts["limited"] = True
        elif "xt" in expression:
            opaque = True
            facts["limited"] = True
        shared = {name: facts[name] for name in ("protocol", "limited", "harmless", "addresses", "set_name")}
        for verdict in ("accept", "drop", "reject", "return"):
            if verdict in expression:
                rules.append(Rule(verdict, ports=facts["ports"], besides=facts["besides"], text=text, **shared))
        for verdict in ("jump", "goto"):
            if isinstance(expression.get(verdict), dict):
                rules.append(Rule(verdict, target=str(expression[verdict].get("target")), ports=facts["ports"], besides=facts["besides"], text=text, **shared))
        if isinstance(expression.get("vmap"), dict):
            rules += _verdict_map(expression["vmap"], sets, facts, text)
    return rules, opaque


def _verdict_map(vmap: dict, sets: dict, facts: dict, text: str) -> list:
    """The rules that a verdict map stands for: ``tcp dport vmap { 25 : drop }``; maps on other keys hit some packets only."""
    payload = vmap.get("key", {}).get("payload", {}) if isinstance(vmap.get("key"), dict) else {}
    rules = []
    data = vmap.get("data", {})
    for pair in data.get("set", []) if isinstance(data, dict) else []:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[1], dict) or not pair[1]:
            continue
        verdict, detail = next(iter(pair[1].items()))
        target = str(detail.get("target")) if isinstance(detail, dict) else ""
        on_ports = payload.get("field") == "dport"
        rules.append(Rule(verdict, target=target, protocol=payload.get("protocol", "") if on_ports and payload.get("protocol") != "th" else facts["protocol"],
                          ports=frozenset(_numbers(pair[0], sets) or ()) if on_ports else facts["ports"], limited=facts["limited"] or not on_ports,
                          harmless=facts["harmless"] or not on_ports, text=clean(f"{text} {pair[0]} : {verdict}", 200)))
    return rules


def parse_nft(text: str) -> tuple:
    """``(chains, opaque)`` of ``nft -j list ruleset`` (libnftables-json(5)); raises ValueError for text that is none."""
    document = json.loads(text)
    objects = document.get("nftables") if isinstance(document, dict) else None
    if not isinstance(objects, list):
        raise ValueError("no rule set")
    chains, sets, opaque = {}, {}, False
    objects = [item for item in objects if isinstance(item, dict)]
    for item in objects:
        chain, named = item.get("chain"), item.get("set") or item.get("map")
        if isinstance(chain, dict):
            key = (chain.get("family"), chain.get("table"), chain.get("name"))
            chains[key] = Chain(str(chain.get("name")), _HOOKS.get(chain.get("hook"), ""), chain.get("policy", "accept"), str(chain.get("family")))
        elif isinstance(named, dict):
            sets[(named.get("family"), named.get("table"), named.get("name"))] = named.get("elem") or []
    for item in objects:
        rule = item.get("rule")
        if isinstance(rule, dict):
            table = (rule.get("family"), rule.get("table"))
            chain = chains.get(table + (rule.get("chain"),))
            local = {name: elements for (family, owner, name), elements in sets.items() if (family, owner) == table}
            if chain is not None:
                rules, hidden = _nft_rules(rule.get("expr") or [], local, chain.direction == "out")
                chain.rules += rules
                opaque = opaque or hidden
    return {key[:2]: {name: chain for (family, table, name), chain in chains.items() if (family, table) == key[:2]} for key in chains}, opaque


def _iptables_ports(text: str) -> frozenset:
    found = set()
    for part in text.split(","):
        low, colon, high = part.partition(":")
        if low.isdigit() and (not colon or high.isdigit()):
            found |= set(range(int(low), int(high if colon else low) + 1)) if int(high if colon else low) < 65536 else set()
    return frozenset(found)


def _iptables_rule(words: list, text: str) -> Rule:
    facts = {"protocol": "", "ports": None, "besides": False, "limited": False, "harmless": False, "addresses": (), "set_name": ""}
    verdict, target, negated, place = "", "", False, 0
    while place < len(words):
        word, value = words[place], words[place + 1] if place + 1 < len(words) else ""
        if word == "!":
            negated, place = True, place + 1
            continue
        place += 1
        if word.startswith("-") and not value.startswith("-"):
            place += 1
        if word in ("-p", "--protocol"):
            facts["protocol"] = value if value in ("tcp", "udp") else "" if value == "all" else "other"
        elif word in ("--dport", "--dports", "--destination-port"):
            facts.update(ports=_iptables_ports(value), besides=negated)
        elif word in ("-s", "-d"):
            if not negated:
                facts.update(limited=True, addresses=(clean(value, 60),))
        elif word == "--match-set":
            facts.update(limited=True, set_name=clean(value, 64))
        elif word in ("-i", "-o"):
            _interface(value, negated, facts)
        elif word in ("--ctstate", "--state"):
            if "NEW" not in value.split(",") or negated:
                facts.update(limited=True, harmless=True)
        elif word in ("-j", "-g"):
            verdict, target = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject", "RETURN": "return"}.get(value, "jump" if word == "-j" else "goto"), value
        elif word == "-m" and value not in ("tcp", "udp", "multiport", "state", "conntrack", "comment", "set", "addrtype"):
            facts["limited"] = True
        elif word in ("--sport", "--sports", "--src-type", "--dst-type", "--icmp-type"):
            facts["limited"] = True
        negated = False
    return Rule(verdict or "continue", target=target, text=text, **facts)


def parse_iptables(text: str, family: str = "ip") -> dict:
    """``{table: {chain name: Chain}}`` of iptables-save(8); only the filter and raw tables drop packets."""
    tables: dict = {}
    chains: dict = {}
    for line in text.splitlines():
        if line.startswith("*"):
            chains = tables.setdefault((family, line[1:].strip()), {})
        elif line.startswith(":"):
            name, policy = (line[1:].split() + ["", ""])[:2]
            direction = {"INPUT": "in", "OUTPUT": "out", "PREROUTING": "in"}.get(name, "")
            chains[name] = Chain(name, direction, "drop" if policy == "DROP" else "accept", family)
        elif line.startswith("-A "):
            try:
                words = shlex.split(line)
            except ValueError:
                continue
            if len(words) > 2 and words[1] in chains:
                chains[words[1]].rules.append(_iptables_rule(words[2:], clean(line, 200)))
    return tables


def _follow(chain: Chain, chains: dict, protocol: str, port: int, depth: int = 0):
    """The verdict of a chain for new connections from anywhere to a port: ``(verdict, text, names the port)``, or None when it says nothing."""
    for rule in chain.rules:
        if not rule.hits(protocol, port):
            continue
        if rule.verdict in ("jump", "goto"):
            inner = chains.get(rule.target)
            answer = _follow(inner, chains, protocol, port, depth + 1) if inner and depth < _DEPTH and not rule.harmless else None
            # What a chain for some peers refuses is refused to some; what it lets pass was meant to pass.
            if answer and not (rule.limited and answer[0] != "accept"):
                return answer
            if rule.verdict == "goto" and not rule.limited:
                return None
        elif rule.verdict == "return" and not rule.limited:
            return None
        elif rule.verdict == "accept" and not rule.harmless:
            return "accept", rule.text, True
        elif rule.verdict in ("drop", "reject") and not rule.limited:
            return rule.verdict, rule.text, rule.ports is not None and not rule.besides
    return None


def closed_ports(tables: dict, source: str, served) -> list:
    """``[{port, direction, action, named, text, source}]``: the mail ports, and 53 outwards, that the rules close to everybody.

    A port that a rule names counts always. One that only falls to a general refusal or a policy counts when this host
    serves it (``served``): a firewall that leaves unused ports closed is as it should be.
    """
    found = {}
    for (family, table), chains in tables.items():
        for chain in chains.values():
            if not chain.direction:
                continue
            questions = [("tcp", port) for port in MAIL_PORTS if chain.direction == "in" or port in (25, 465, 587)]
            if chain.direction == "out":
                questions += [("udp", 53), ("tcp", 53)]
            for protocol, port in questions:
                answer = _follow(chain, chains, protocol, port)
                action, text, named = answer or (chain.policy, f"policy {chain.policy}", False)
                if action in ("drop", "reject") and (named or chain.direction == "out" or port in served):
                    found.setdefault((port, chain.direction), {
                        "port": port, "direction": chain.direction, "action": action, "named": named, "family": family, "source": source,
                        "text": clean(f"{family} {table} {chain.name}: {text}", 300),
                    })
    return [found[key] for key in sorted(found)]


def bans(tables: dict) -> list:
    """``[(address, set or chain)]`` that some rule refuses on a mail port or altogether, at most 1000."""
    found = []
    for chains in tables.values():
        for chain in chains.values():
            if chain.direction == "out":
                continue
            for rule in chain.rules:
                if rule.verdict in ("drop", "reject") and rule.addresses and (rule.ports is None or any(rule.hits("tcp", port) for port in MAIL_PORTS)):
                    found += [(address, clean(rule.set_name or chain.name, 64)) for address in rule.addresses]
    return list(dict.fromkeys(found))[:1000]


_UNREADABLE = re.compile(r"Operation not permitted|must be root|Permission denied", re.I)


def look(context, served) -> dict:
    """``{backend, rules, bans}`` of this host, which serves the ports ``served``; backend is null when it cannot be seen, ``none`` when nothing filters."""
    ran = context.run("nft", "-j", "list", "ruleset", timeout=4, most=8 * 1024 * 1024)
    if ran.ok:
        try:
            tables, opaque = parse_nft(ran.out)
        except (ValueError, KeyError, TypeError, AttributeError):
            context.cannot_see(ran.source, "the rule set is too large or not readable")
            return {"backend": None, "rules": [], "bans": []}
        if not opaque:
            return {"backend": "nft" if tables else "none", "rules": closed_ports(tables, "nft list ruleset", served), "bans": bans(tables)}
    tables, seen = {}, False
    for program, family in (("iptables-save", "ip"), ("ip6tables-save", "ip6")):
        saved = context.run(program, timeout=4)
        seen = seen or saved.ok
        tables.update(parse_iptables(saved.out, family) if saved.ok else {})
    if seen:
        return {"backend": "iptables" if tables else "none", "rules": closed_ports(tables, "iptables-save", served), "bans": bans(tables)}
    if not ran.missing:
        context.cannot_see("firewall rules", "needs root" if _UNREADABLE.search(ran.err) else "nft gives no answer")
        return {"backend": None, "rules": [], "bans": []}
    return {"backend": "none", "rules": [], "bans": []}
