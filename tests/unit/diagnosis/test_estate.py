"""What is asked of the estate, worked out from what its hosts told."""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import estate

ARGS = {"probe_accounts": [], "reported_user": "", "submission_host": "", "imap_host": "", "pop3_host": "", "resolvers": [], "blocklists": []}
ACCOUNT = {"address": "probe@a.example", "login": "probe", "password": "secret"}


def host(name="mx", domains=("a.example",), masters=("smtp",), probes=(), **facts):
    return {"host": name, "address": "192.0.2.1", "probes": list(probes), "facts": dict({
        "postfix": {"present": True, "domains": list(domains), "expanded": {"myhostname": f"{name}.a.example", "mydomain": "a.example"},
                    "masters": [{"type": "inet", "service": service} for service in masters]},
    }, **facts)}


def probe(protocol="smtp", ok=True):
    return {"protocol": protocol, "ok": ok}


def serving(*names):
    return dict(probe("submission"), tls={"certificate": {"names": list(names)}})


def second_look(observations, domains=("a.example",), **args):
    return estate.second_look(observations, {}, list(domains), dict(ARGS, **args))


def test_a_hosts_own_names_are_no_mail_domains():
    assert estate.domains([host(domains=["a.example", "mx.a.example", "localhost", "localhost.a.example", "[192.0.2.1]", "192.0.2.1"])]) == ["a.example"]


def test_a_host_is_known_by_each_name_that_its_software_gives_itself():
    names = estate.own_names([host(system={"fqdn": "a.b.example"}, exim={"settings": {"primary_hostname": "exim.a.example"}}), host("store", exim={})])
    assert names == ["192.0.2.1", "a.b.example", "exim.a.example", "mx", "mx.a.example", "store", "store.a.example"]


def test_a_lost_domain_is_a_candidate_by_the_hosts_own_name():
    assert estate.candidates([host(domains=["localhost"])]) == ["a.example"]
    assert estate.candidates([host()]) == []


def test_port_25_is_asked_for_our_recipients_and_for_a_foreign_one():
    target, = second_look([host(probes=[probe()])], probe_accounts=[ACCOUNT])
    assert target["recipients"] == ["probe@a.example"]
    assert target["relay_check"]["recipient"].endswith("@relay-check.example.net")


def test_a_domain_without_probe_account_is_asked_about_by_its_postmaster():
    target, = second_look([host(probes=[probe()])])
    assert target["recipients"] == ["postmaster@a.example"]


def test_a_host_is_not_asked_about_domains_of_another():
    targets = second_look([host("mx1", ["a.example"], probes=[probe()]), host("mx2", ["b.example"], probes=[probe()])], ["a.example", "b.example"])
    assert [target["recipients"] for target in targets] == [["postmaster@a.example"], ["postmaster@b.example"]]


def orphan_look(observations, dns=None):
    return estate.orphan_look(observations, {}, ["a.example", "b.example"], dns or {}, ARGS)


def test_a_domain_that_every_edge_lost_is_asked_about_everywhere():
    observations = [host("mx1", ["b.example"], probes=[probe()]), host("store", ["a.example"], masters=["submission"])]
    target, = orphan_look(observations)
    assert (target["host"], target["recipients"]) == ("mx1", ["postmaster@a.example"])


def test_a_lost_domain_is_asked_about_where_its_mx_records_point():
    elsewhere = {"domains": {"a.example": {"mx": [{"addresses": ["192.0.2.99"]}]}}}
    here = {"domains": {"a.example": {"mx": [{"addresses": ["192.0.2.1"]}]}}}
    assert orphan_look([host(domains=["b.example"], probes=[probe()])], elsewhere) == []
    assert len(orphan_look([host(domains=["b.example"], probes=[probe()])], here)) == 1


def test_a_domain_that_is_taken_is_no_orphan():
    assert orphan_look([host(domains=["a.example", "b.example"], probes=[probe()])]) == []


def test_a_failed_port_is_tried_again():
    target, = second_look([host(probes=[probe(ok=False)])])
    assert target["protocol"] == "smtp" and "recipients" not in target


def test_what_the_host_itself_confirms_is_not_tried_again():
    assert second_look([host(probes=[probe(ok=False)], services={"mta": {"running": False}})]) == []
    assert second_look([host(probes=[probe(ok=False)], loopback={"probes": [probe(ok=False)]})]) == []


def test_accounts_log_in_only_where_the_port_answered():
    answering = host(masters=["submission"], probes=[serving("mx.a.example")])
    silent = host(masters=["submission"], probes=[probe("submission", ok=False)], services={"mta": {"running": False}})
    assert [target["login"]["username"] for target in second_look([answering], probe_accounts=[ACCOUNT])] == ["probe"]
    assert second_look([silent], probe_accounts=[ACCOUNT]) == []


def test_the_name_that_clients_use_is_the_one_that_is_verified():
    target, = second_look([host(masters=["submission"], probes=[serving("other.example")])], probe_accounts=[ACCOUNT], submission_host="smtp.a.example")
    assert (target["name"], target["address"]) == ("smtp.a.example", "192.0.2.1")


def test_without_a_declared_name_the_certificates_own_is_verified():
    target, = second_look([host(masters=["submission"], probes=[serving("*.a.example", "smtp.a.example")])], probe_accounts=[ACCOUNT])
    assert target["name"] == "smtp.a.example"


def test_an_account_logs_in_only_where_its_domain_lives():
    assert second_look([host(domains=["b.example"], masters=["submission"], probes=[serving("mx.b.example")])], probe_accounts=[ACCOUNT]) == []


def test_the_reported_user_is_asked_about():
    target, = second_look([host(probes=[probe()])], reported_user="anna@a.example")
    assert "anna@a.example" in target["recipients"]


def test_only_hosts_that_send_themselves_are_senders():
    relayed = host()
    relayed["facts"]["postfix"]["expanded"]["relayhost"] = "[relay.example]"
    question = estate.dns_question([relayed], ["a.example"], ARGS)
    assert question["sending_addresses"] == []
    assert estate.dns_question([host()], ["a.example"], ARGS)["sending_addresses"] == ["192.0.2.1"]


def test_a_declared_role_is_expected():
    declared = estate.declared_protocols([host(masters=[])], {"mx": {"mail_roles": ["store"]}})
    assert estate.expected(host(masters=[]), declared) == {"imap"}
