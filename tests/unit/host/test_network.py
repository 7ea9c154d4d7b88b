from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host import _firewall, network
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context, Ran
from hypothesis import given
from hypothesis import strategies as st

_FIXTURES = Path(__file__).parent / "fixtures"
_SERVED = {25, 465, 587, 143, 993, 995}


def _closed(name, served=frozenset(_SERVED)):
    tables, opaque = _firewall.parse_nft((_FIXTURES / name).read_text())
    closed = [(rule["port"], rule["direction"], rule["action"], rule["named"]) for rule in _firewall.closed_ports(tables, "nft", served)]
    return closed, _firewall.bans(tables), opaque


def test_named_mail_ports_that_are_dropped_are_closed_in_both_directions():
    closed, bans, opaque = _closed("nft-drop.json", frozenset())
    assert closed == [(25, "in", "drop", True), (25, "out", "drop", True), (143, "in", "reject", True), (993, "in", "reject", True)]
    assert bans == [("198.51.100.7", "f2b"), ("198.51.100.9", "f2b")] and not opaque


def test_a_policy_closes_what_no_rule_lets_in_of_the_ports_that_are_served():
    closed, _bans, _opaque = _closed("nft-policy-drop.json")
    assert closed == [(143, "in", "drop", False), (995, "in", "drop", False)]


def test_ports_that_nobody_serves_are_rightly_closed_by_a_policy():
    assert _closed("nft-policy-drop.json", frozenset({25, 587}))[0] == []


def test_verdict_maps_and_negations_are_followed_and_limits_and_addresses_are_not():
    closed, bans, _opaque = _closed("nft-verdict-map.json")
    assert closed == [(25, "in", "drop", True), (995, "in", "drop", False)]
    assert bans == [("10.89.1.5", "input")]


def test_iptables_matches_that_nft_cannot_show_are_told():
    assert _closed("nft-xtables.json")[2] is True


def test_saved_iptables_rules_are_followed_through_their_chains():
    tables = _firewall.parse_iptables((_FIXTURES / "iptables-save.txt").read_text())
    closed = {(rule["port"], rule["direction"]): (rule["action"], rule["named"]) for rule in _firewall.closed_ports(tables, "iptables-save", _SERVED)}
    assert closed == {(25, "out"): ("reject", True), (143, "in"): ("drop", False), (465, "in"): ("drop", False), (995, "in"): ("drop", False)}
    assert _firewall.bans(tables) == [("198.51.100.7/32", "f2b-postfix")]


@pytest.mark.parametrize("line, closed", [
    ("-A INPUT -p tcp -m tcp --dport 25 -j DROP", True),
    ("-A INPUT -p tcp -m multiport --dports 20:30,587 -j REJECT --reject-with tcp-reset", True),
    ("-A INPUT ! -s 192.0.2.0/24 -p tcp -m tcp --dport 25 -j DROP", True),
    ("-A INPUT -m conntrack --ctstate NEW -p tcp -m tcp --dport 25 -j DROP", True),
    ("-A INPUT -j DROP", True),
    ("-A INPUT -s 192.0.2.5/32 -p tcp -m tcp --dport 25 -j DROP", False),
    ("-A INPUT -p udp -m udp --dport 25 -j DROP", False),
    ("-A INPUT -p icmp -j DROP", False),
    ("-A INPUT -p tcp -m tcp --dport 25 -m limit --limit 5/sec -j DROP", False),
    ("-A INPUT -m conntrack --ctstate INVALID -j DROP", False),
    ("-A INPUT -m set --match-set f2b src -p tcp -m tcp --dport 25 -j DROP", False),
    ("-A INPUT -i eth0 -p tcp -m tcp --dport 25 -j DROP", True),
    ("-A INPUT ! -i lo -p tcp -m tcp --dport 25 -j DROP", True),
    ("-A INPUT -i docker0 -p tcp -m tcp --dport 25 -j DROP", False),
    ("-A INPUT -i lo -j DROP", False),
    ("-A INPUT -p tcp -m tcp --dport 25 -j ACCEPT\n-A INPUT -j DROP", False),
    ("-A INPUT -s 192.0.2.0/24 -j ACCEPT\n-A INPUT -j DROP", False),
    ("-A INPUT -i lo -j ACCEPT\n-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -j REJECT", True),
    ("-A INPUT -j mail\n-A mail -p tcp -m tcp --dport 25 -j RETURN\n-A mail -j ACCEPT\n-A INPUT -j DROP", True),
    ("-A INPUT -j mail\n-A mail -j mail\n-A INPUT -j DROP", True),
    ("-A INPUT -m comment --comment \"we said: drop\" -p tcp -m tcp --dport 25 -j ACCEPT\n-A INPUT -j DROP", False),
])
def test_port_25_is_closed_to_everybody_or_not(line, closed):
    tables = _firewall.parse_iptables(f"*filter\n:INPUT ACCEPT [0:0]\n:mail - [0:0]\n{line}\nCOMMIT\n")
    assert (25 in [rule["port"] for rule in _firewall.closed_ports(tables, "", {25})]) is closed


_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.sampled_from(["tcp", "dport", "lo", "drop", "@x", "25"]),
                     lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
                         ["rule", "chain", "set", "match", "left", "right", "payload", "field", "protocol", "op", "drop", "accept", "jump", "target", "vmap",
                          "key", "data", "expr", "elem", "range",
                          "prefix", "family", "table", "name", "hook", "limit", "meta", "ct"]), inner, max_size=4), max_leaves=20)


class _Host(Context):
    """A host on which each command prints what the test says."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers

    def run(self, *argv, timeout=10.0, most=0, env=None):
        if argv[0] not in self.answers:
            return Ran(argv, None, missing=True)
        rc, out, err = self.answers[argv[0]]
        return Ran(argv, rc, out, err)


@pytest.mark.slow
@given(st.lists(_JSON, max_size=5))
def test_a_rule_set_of_any_shape_never_breaks_the_look(objects):
    found = _firewall.look(_Host({"nft": (0, json.dumps({"nftables": objects}), "")}), {25})
    assert set(found) == {"backend", "rules", "bans"}


@given(st.text(max_size=300))
def test_saved_rules_of_any_text_are_read(text):
    _firewall.closed_ports(_firewall.parse_iptables("*filter\n:INPUT DROP [0:0]\n-A INPUT " + text), "", {25})


def test_without_root_the_firewall_is_not_visible():
    host = _Host({"nft": (1, "", "Operation not permitted (you must be root)\nnetlink: Error: cache initialization failed: Operation not permitted\n")})
    assert _firewall.look(host, {25})["backend"] is None
    assert host.not_visible == ["firewall rules: needs root"]


def test_a_cut_rule_set_is_not_taken_for_an_open_one():
    host = _Host({"nft": (0, '{"nftables": [{"metainfo": {', "")})
    assert _firewall.look(host, {25})["backend"] is None and host.not_visible


def test_rules_of_iptables_are_read_where_nft_is_not_enough():
    host = _Host({"nft": (0, (_FIXTURES / "nft-xtables.json").read_text(), ""), "iptables-save": (0, (_FIXTURES / "iptables-save.txt").read_text(), "")})
    found = _firewall.look(host, _SERVED)
    assert found["backend"] == "iptables" and {rule["port"] for rule in found["rules"]} == {25, 143, 465, 995}


def test_a_host_without_filters_filters_nothing():
    assert _firewall.look(_Host({"nft": (0, '{"nftables": [{"metainfo": {"version": "1.0.6"}}]}', "")}), {25}) == {"backend": "none", "rules": [], "bans": []}
    assert _firewall.look(_Host({}), {25})["backend"] == "none"


@pytest.mark.parametrize("value, expected", [
    ("[mx.example.test]:587", ("mx.example.test", 587, False)), ("mx.example.test", ("mx.example.test", 25, True)), ("[192.0.2.1]", ("192.0.2.1", 25, False)),
    ("mx.example.test:submission", ("mx.example.test", 587, True)), ("[2001:db8::1]:25", ("2001:db8::1", 25, False)), ("", None), (None, None),
])
def test_relay_hosts_are_read_in_all_their_forms(value, expected):
    assert network.parse_relayhost(value) == expected


def test_the_relay_host_is_tried_beside_the_targets_given(monkeypatch):
    monkeypatch.setattr(network._mail, "parameter", lambda context, name: "relay.example.test")
    records = ((15, (20, "b.example.test")), (15, (10, "a.example.test")))
    monkeypatch.setattr(network._dns, "ask", lambda server, name, kind: network._dns.Answer(1, "NOERROR", False, name, records))
    context = Context(options={"outbound_targets": ["mx.remote.test", "[192.0.2.1]:587"]})
    assert network._targets(context) == [("a.example.test", 25, True), ("b.example.test", 25, True), ("mx.remote.test", 25, False), ("192.0.2.1", 587, False)]
    monkeypatch.setattr(network._mail, "parameter", lambda context, name: "")
    assert network._targets(Context()) == []


def test_default_routes_are_read_from_the_kernels_tables():
    text = ("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
            "eth0\t00000000\t01545 \t0003\n"
            "eth0\t00000000\t01540A0A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
            "eth0\t00540A0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")
    assert network.parse_routes(text) == [{"family": "ipv4", "gateway": "10.10.84.1", "interface": "eth0"}]
    zero = "0" * 32
    lines = [f"{zero} 00 {zero} 00 fe8000000000000000000000000000ab 00000400 00000001 00000000 00000003 eth0",
             f"{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo"]
    assert network.parse_routes6("\n".join(lines)) == [{"family": "ipv6", "gateway": "fe80::ab", "interface": "eth0"}]


def test_addresses_that_failed_their_duplicate_check_are_marked():
    text = ("20010db8000000000000000000000001 02 40 00 80     eth0\n20010db8000000000000000000000002 02 40 00 08     eth0\n"
            "00000000000000000000000000000001 01 80 10 80       lo\ngarbage\n")
    assert network.parse_if_inet6(text) == [("eth0", "2001:db8::1", False), ("eth0", "2001:db8::2", True), ("lo", "::1", False)]


@pytest.mark.parametrize("address, scope", [("127.0.0.1", "loopback"), ("::1", "loopback"), ("fe80::1", "link"), ("10.0.0.1", "global"),
                                            ("192.0.2.1", "global"), ("2001:db8::1", "global")])
def test_addresses_have_a_scope(address, scope):
    assert network.scope_of(address) == scope


def test_the_share_of_segments_sent_again_needs_a_thousand():
    head = "Tcp: RtoAlgorithm OutSegs RetransSegs\n"
    assert network.parse_snmp(head + "Tcp: 1 9000 1000\n") == {"sent": 9000, "retransmitted": 1000, "retransmitted_percent": 10.0}
    assert network.parse_snmp(head + "Tcp: 1 5 8\n")["retransmitted_percent"] is None
    assert network.parse_snmp("")["sent"] is None


def test_a_port_that_listens_is_reached_and_one_that_does_not_is_refused():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert network._reach("127.0.0.1", port, False)["ok"]
    refused = network._reach("127.0.0.1", port, False)
    assert not refused["ok"] and refused["error"] == "Connection refused"


def test_the_facts_of_this_host_are_complete(monkeypatch):
    monkeypatch.setattr(network._firewall, "look", lambda context, served: {"backend": "nft", "rules": [], "bans": [("192.0.2.5", "f2b")] * 30})
    monkeypatch.setattr(network, "_targets", lambda context: [])
    facts = network.collect(Context())
    assert set(facts) == {"addresses", "interfaces", "default_routes", "firewall", "banned", "banned_count", "outbound", "ipv6", "tcp", "source"}
    assert {"interface": "lo", "address": "127.0.0.1", "family": "ipv4", "scope": "loopback"} in facts["addresses"]
    assert len(facts["banned"]) == 20 and facts["banned_count"] == 30
