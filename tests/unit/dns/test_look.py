from __future__ import annotations

import base64
import json
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ansible_collections.mailops.outage.plugins.module_utils.dns import look as looking
from ansible_collections.mailops.outage.plugins.module_utils.dns import served

PUBLIC_KEY = base64.b64encode(rsa.generate_private_key(65537, 1024).public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).decode()
SOA = ["ns.example.test. root.example.test. 7 1 1 1 1"]


def a_zone():
    """An estate without a fault: one mail host at 127.0.0.1."""
    return {
        ("", "SOA"): SOA, ("example.test", "SOA"): SOA, ("example.test", "NS"): ["ns.example.test."], ("ns.example.test", "A"): ["127.0.0.1"],
        ("example.test", "MX"): ["10 mail.example.test."], ("mail.example.test", "A"): ["127.0.0.1"], ("imap.example.test", "A"): ["127.0.0.1"],
        ("1.0.0.127.in-addr.arpa", "PTR"): ["mail.example.test."], ("example.test", "TXT"): ['"v=spf1 mx -all"', '"hello"'],
        ("lab1._domainkey.example.test", "TXT"): [f'"v=DKIM1; k=rsa; p=" "{PUBLIC_KEY}"'],
        ("_dmarc.example.test", "TXT"): ['"v=DMARC1; p=quarantine"'],
    }


def question(server, **more):
    return dict({
        "domains": ["example.test"], "resolvers": [server.address], "hosts": [{"name": "mail.example.test", "addresses": ["127.0.0.1"]}],
        "sending_addresses": ["127.0.0.1"], "dkim_keys": [{"domain": "example.test", "selector": "lab1", "public_key": PUBLIC_KEY}],
        "client_names": ["imap.example.test"], "timeout": 0.4, "deadline": 5,
    }, **more)


def ids(found, severity=None):
    return sorted(problem["id"] for problem in found["problems"] if severity in (None, problem["severity"]))


@pytest.fixture(autouse=True)
def nothing_is_connected_to(monkeypatch):
    """What is served is not asked here, unless a test says what it would be."""
    monkeypatch.setattr(served, "takes_mail", lambda *args: (False, "refused"))
    monkeypatch.setattr(served, "serves_clients", lambda *args: (False, "993: refused"))
    monkeypatch.setattr(served, "certificate", lambda *args: None)


def look_at(name_server, change=None, **more):
    zone = a_zone()
    zone.update(change or {})
    server = name_server(zone)
    return looking.look(question(server, **more), nameserver_port=server.port)


def test_a_healthy_estate_has_no_problem(name_server):
    found = look_at(name_server)
    assert found["problems"] == [] and found["not_visible"] == []
    seen = found["domains"]["example.test"]
    assert seen["mx"] == [{"preference": 10, "host": "mail.example.test", "addresses": ["127.0.0.1"], "cname": None, "ours": True, "takes_mail": None,
                           "answer": "", "error": None}]
    assert seen["mx_error"] is None and seen["implicit_mx"] is False and seen["null_mx"] is False
    assert seen["nameservers"] == [{"name": "ns.example.test", "address": "127.0.0.1", "working": True, "serial": 7, "error": ""}]
    assert seen["ns_consistent"] is True
    assert seen["spf"] == {"record": "v=spf1 mx -all", "valid": True, "error": "", "count": 1, "lookups": 1, "networks": [], "leans_on": ["example.test"],
                           "permits": {"127.0.0.1": "pass"}}
    assert seen["dkim"][0]["matches"] is True and seen["dkim"][0]["key_bits"] == 1024
    assert seen["dmarc"]["policy"] == "quarantine"
    assert found["reverse"] == [{"address": "127.0.0.1", "names": ["mail.example.test"], "forward_confirmed": True, "error": None}]
    assert found["hosts"]["mail.example.test"]["addresses"] == ["127.0.0.1"]
    assert found["client_names"]["imap.example.test"]["ours"] is True
    assert found["resolvers"][0]["working"] is True and found["blocklists"] == []


@pytest.mark.parametrize(("change", "problem"), [
    ({("example.test", "MX"): "no_data"}, "mx_missing"),
    ({("example.test", "MX"): "nxdomain"}, "mx_missing"),
    ({("example.test", "MX"): ["0 ."]}, "mx_missing"),
    ({("example.test", "MX"): "servfail"}, "zone_unreachable"),
    ({("example.test", "MX"): ["10 gone.example.test."]}, "mx_unresolvable"),
    ({("example.test", "MX"): ["10 wrong.example.test."], ("wrong.example.test", "A"): ["127.0.0.9"]}, "mx_wrong"),
    ({("mail.example.test", "A"): ["127.0.0.9"]}, "mx_wrong"),
    ({("imap.example.test", "A"): "nxdomain"}, "name_missing"),
    ({("imap.example.test", "A"): ["127.0.0.9"]}, "name_wrong"),
    ({("1.0.0.127.in-addr.arpa", "PTR"): "nxdomain"}, "ptr_missing"),
    ({("1.0.0.127.in-addr.arpa", "PTR"): ["other.example.test."], ("other.example.test", "A"): ["127.0.0.9"]}, "ptr_mismatch"),
    ({("example.test", "TXT"): ['"v=spf1 ip4:192.0.2.1 -all"']}, "spf_omits_sender"),
    ({("example.test", "TXT"): ['"v=spf1 mx -al"']}, "spf_invalid"),
    ({("example.test", "TXT"): ['"v=spf1 mx -all"', '"v=spf1 -all"']}, "spf_multiple"),
    ({("lab1._domainkey.example.test", "TXT"): ['"v=DKIM1; p="']}, "dkim_revoked"),
    ({("lab1._domainkey.example.test", "TXT"): ['"v=DKIM1; p=AAAA"']}, "dkim_mismatch"),
])
def test_a_broken_zone_is_named(name_server, change, problem):
    assert problem in ids(look_at(name_server, change), "error")


@pytest.mark.parametrize(("gone", "problem", "severity"), [
    (("example.test", "TXT"), "spf_missing", "info"), (("_dmarc.example.test", "TXT"), "dmarc_missing", "info"),
    (("lab1._domainkey.example.test", "TXT"), "dkim_missing", "warning"),
])
def test_that_a_record_is_not_there_is_no_outage(name_server, gone, problem, severity):
    found = look_at(name_server, {gone: "no_data"})
    assert [(item["id"], item["severity"]) for item in found["problems"]] == [(problem, severity)]


def test_a_problem_says_how_to_see_it_again(name_server):
    found = look_at(name_server, {("example.test", "MX"): "no_data"})
    port = found["resolvers"][0]["address"].partition("#")[2]
    assert found["problems"][0]["source"] == f"dig +short MX example.test @127.0.0.1 -p {port}"


def test_an_address_without_an_mx_is_an_mx_when_it_is_ours(name_server):
    found = look_at(name_server, {("example.test", "MX"): "no_data", ("example.test", "A"): ["127.0.0.1"], ("example.test", "TXT"): ['"v=spf1 a -all"']})
    assert found["problems"] == [] and found["domains"]["example.test"]["implicit_mx"] is True


def test_a_foreign_mx_that_takes_our_mail_is_right(name_server, monkeypatch):
    asked = ("mx.filter.test", "127.0.0.9", "example.test")
    monkeypatch.setattr(served, "takes_mail", lambda *args: (args[:3] == asked, "250 ok"))
    found = look_at(name_server, {("example.test", "MX"): ["10 mx.filter.test."], ("mx.filter.test", "A"): ["127.0.0.9"],
                                  ("example.test", "TXT"): ['"v=spf1 ip4:127.0.0.1 -all"']})
    assert found["problems"] == []
    assert found["domains"]["example.test"]["mx"][0]["takes_mail"] is True


def test_a_mail_host_behind_a_balancer_is_ours_by_its_certificate(name_server, monkeypatch):
    monkeypatch.setattr(served, "serves_clients", lambda *args: (True, "993: ok"))
    assert look_at(name_server, {("imap.example.test", "A"): ["127.0.0.9"]})["problems"] == []


def test_name_servers_that_disagree_are_seen(name_server):
    other = name_server({("example.test", "SOA"): SOA, ("example.test", "MX"): ["10 other.test."]})
    zone = a_zone()
    server = name_server(zone)
    found = looking.look(question(server), nameserver_port=other.port)
    assert found["domains"]["example.test"]["ns_consistent"] is True
    zone["example.test", "NS"] = ["ns.example.test.", "lame.example.test."]
    zone["lame.example.test", "A"] = ["127.0.0.1"]
    zone["example.test", "SOA"] = "refused"
    found = looking.look(question(server), nameserver_port=server.port)
    assert found["domains"]["example.test"]["ns_consistent"] is None
    assert [entry["error"] for entry in found["domains"]["example.test"]["nameservers"]] == ["refused", "refused"]


def test_a_block_list_is_asked_only_when_named(name_server):
    zone = a_zone()
    server = name_server(zone)
    looking.look(question(server), nameserver_port=server.port)
    assert not any("bl.test" in name for name, _kind, _tcp in server.asked)
    zone.update({("2.0.0.127.bl.test", "A"): ["127.0.0.2"], ("1.0.0.127.bl.test", "A"): "nxdomain"})
    found = looking.look(question(server, blocklists=["bl.test"]), nameserver_port=server.port)
    assert found["blocklists"] == [{"zone": "bl.test", "address": "127.0.0.1", "listed": False, "answer": None, "error": False, "text": ""}]


def test_a_listed_address_is_told_with_the_lists_reason(name_server):
    zone = {**a_zone(), ("2.0.0.127.bl.test", "A"): ["127.0.0.2"], ("1.0.0.127.bl.test", "A"): "nxdomain",
            ("9.0.0.127.bl.test", "A"): ["127.0.0.4"], ("9.0.0.127.bl.test", "TXT"): ['"see\\027[2J https://bl.test/"']}
    server = name_server(zone)
    found = looking.look(question(server, blocklists=["bl.test"], sending_addresses=["127.0.0.9"]), nameserver_port=server.port)
    assert found["blocklists"][0]["listed"] is True and found["blocklists"][0]["reason"] == "see https://bl.test/"
    assert "blocklisted" in ids(found, "error")


def test_a_list_that_answers_with_an_error_code_lists_nobody(name_server):
    refusal = {(f"{number}.0.0.127.bl.test", "A"): ["127.255.255.254"] for number in (1, 2)}
    found = look_at(name_server, refusal, blocklists=["bl.test"])
    assert found["blocklists"][0]["listed"] is False and found["blocklists"][0]["error"] is True
    assert ids(found) == ["blocklist_broken"] and ids(found, "error") == []


def test_tlsa_records_are_compared_with_what_is_served(name_server, monkeypatch):
    change = {("_25._tcp.mail.example.test", "TLSA"): ["3 0 0 0102"]}
    monkeypatch.setattr(served, "certificate", lambda *args: b"\x01\x02")
    assert look_at(name_server, change)["domains"]["example.test"]["tlsa"][0]["matches"] is True
    monkeypatch.setattr(served, "certificate", lambda *args: b"\x03")
    assert ids(look_at(name_server, change)) == ["tlsa_mismatch"]
    monkeypatch.setattr(served, "certificate", lambda *args: None)
    assert look_at(name_server, change)["problems"] == []


def test_an_mta_sts_policy_is_fetched_only_when_asked(name_server, monkeypatch):
    change = {("_mta-sts.example.test", "TXT"): ['"v=STSv1; id=1;"'], ("mta-sts.example.test", "A"): ["127.0.0.1"]}
    fetched = []

    def policy(domain, addresses, *_args):
        fetched.append((domain, addresses))
        return {"mode": "enforce", "mx": ["old.example.test"], "max_age": 1}

    monkeypatch.setattr(served, "policy", policy)
    assert look_at(name_server, change)["problems"] == [] and not fetched
    found = look_at(name_server, change, fetch_mta_sts=True)
    assert fetched == [("example.test", ["127.0.0.1"])] and ids(found, "error") == ["mta_sts_mismatch"]
    assert found["domains"]["example.test"]["mta_sts"]["mx_match"] is False


def test_a_dead_resolver_costs_one_time_out_and_is_told(name_server):
    dead = name_server({("", "SOA"): "silent", ("example.test", "SOA"): "silent", ("other.test", "SOA"): "silent"})
    began = time.monotonic()
    found = looking.look(question(dead, domains=["example.test", "other.test"]))
    assert time.monotonic() - began < 0.8
    assert ids(found) == ["resolver_broken"] and found["domains"] == {} and found["not_visible"]


def test_a_second_resolver_that_works_is_enough(name_server):
    dead = name_server({("", "SOA"): "silent", ("example.test", "SOA"): "silent"})
    server = name_server(a_zone())
    found = looking.look(question(server, resolvers=[dead.address, server.address]), nameserver_port=server.port)
    assert [(item["id"], item["severity"]) for item in found["problems"]] == [("resolver_broken", "warning")]


def test_a_zone_that_does_not_answer_is_asked_one_question(name_server):
    server = name_server({**a_zone(), ("example.test", "MX"): "servfail"})
    looking.look(question(server))
    assert not any(name.startswith(("_dmarc", "_mta-sts")) for name, _kind, _tcp in server.asked)


def test_a_private_sender_behind_a_public_mx_is_not_judged(name_server):
    change = {("mail.example.test", "A"): ["9.9.9.25"], ("imap.example.test", "A"): ["9.9.9.25"]}
    found = look_at(name_server, change, sending_addresses=["10.1.2.3"], hosts=[{"name": "mail.example.test", "addresses": ["10.1.2.3"]}])
    assert "spf_omits_sender" not in ids(found) and "ptr_missing" not in ids(found)
    assert any("10.1.2.3" in sentence for sentence in found["not_visible"])
    assert found["domains"]["example.test"]["mx"][0]["ours"] is True


def test_hostile_records_come_out_clean(name_server):
    evil = '"v=spf1 exists:\\027[31m\\010\\226\\128\\174.test -all"'
    found = look_at(name_server, {("example.test", "TXT"): [evil], ("_dmarc.example.test", "TXT"): ['"v=DMARC1; p=\\027]0;x\\007"'],
                                  ("example.test", "MX"): ["10 \\027[2J.example.test."], ("lab1._domainkey.example.test", "TXT"): ['"p=\\027[1m; x"']})
    text = json.dumps(found, ensure_ascii=False)
    assert not any(character in text for character in "\x1b\x07\x08\u202e") and "\\u001b" not in json.dumps(found)


def test_names_that_dns_cannot_hold_are_left_out_and_said(name_server):
    found = look_at(name_server, domains=["example.test", "not a domain", "intern.local"])
    assert list(found["domains"]) == ["example.test"]
    assert all(any(name in sentence for sentence in found["not_visible"]) for name in ("not a domain", "intern.local"))


@pytest.mark.parametrize("wrong", [
    {"resolvers": ["resolver.test"]}, {"sending_addresses": ["mail.example.test"]}, {"timeout": -1}, {"hosts": [{"addresses": []}]},
])
def test_a_question_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(looking.BadQuestion):
        looking.look(wrong)


def test_many_domains_are_looked_at_side_by_side(name_server):
    zone = a_zone()
    for number in range(30):
        zone[f"d{number}.test", "MX"] = ["10 mail.example.test."]
    server = name_server(zone)
    began = time.monotonic()
    found = looking.look(question(server, domains=[f"d{number}.test" for number in range(30)], dkim_keys=[], timeout=2), nameserver_port=server.port)
    assert len(found["domains"]) == 30 and ids(found, "error") == [] and time.monotonic() - began < 4


def test_an_mx_that_may_be_ours_behind_translation_is_not_called_wrong(name_server):
    change = {("example.test", "MX"): ["10 mx.example.test."], ("mx.example.test", "A"): ["9.9.9.25"], ("mail.example.test", "A"): "nxdomain"}
    found = look_at(name_server, change, sending_addresses=[], hosts=[{"name": "mail.example.test", "addresses": ["10.1.2.3"]}], client_names=[])
    assert found["domains"]["example.test"]["mx"][0]["ours"] is None and ids(found, "error") == []
    assert any("mx.example.test" in sentence for sentence in found["not_visible"])


def test_too_many_hosts_are_none_rather_than_a_part(name_server):
    found = look_at(name_server, hosts=[{"name": f"h{number}.example.test", "addresses": []} for number in range(301)])
    assert found["hosts"] == {} and any("301 hosts" in sentence for sentence in found["not_visible"])
