from __future__ import annotations

import dialogues
import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host import loopback
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context
from scripted_server import ScriptedServer


@pytest.mark.parametrize("sockets, configured, probed", [
    ([("0.0.0.0", 25), ("::", 25)], [], [("127.0.0.1", 25)]),
    ([("::", 993)], [], [("::1", 993)]),
    ([("127.0.0.1", 25), ("192.0.2.1", 25)], [], [("127.0.0.1", 25), ("192.0.2.1", 25)]),
    ([("0.0.0.0", 22), ("127.0.0.1", 8891)], [], []),
    ([("0.0.0.0", 25)], [25, 587, 10025], [("127.0.0.1", 25), ("127.0.0.1", 587)]),
])
def test_each_mail_port_is_asked_where_it_is_bound(sockets, configured, probed):
    assert [(target["name"], target["port"]) for target in loopback.targets(sockets, configured)] == probed


def test_without_ipv6_a_listener_on_every_address_is_asked_over_ipv4():
    assert loopback.reach("::", has_ipv6=False) == "127.0.0.1"


def test_a_host_without_mail_ports_has_no_probes(monkeypatch):
    monkeypatch.setattr(loopback, "listening", lambda _context: [("0.0.0.0", 22)])
    assert loopback.collect(Context()) == {"probes": []}


def test_a_host_sees_its_own_ports(monkeypatch, good):
    script = dialogues.smtp()
    with ScriptedServer(script) as plain, ScriptedServer(dialogues.imap(), good, implicit_tls=True) as secure, ScriptedServer(lambda peer: peer.wait()) as hung:
        monkeypatch.setattr(loopback, "_PROTOCOLS", {plain.port: "smtp", secure.port: "imaps", hung.port: "pop3"})
        monkeypatch.setattr(loopback, "_OPTIONS", dict(loopback._OPTIONS, step=0.2))  # pylint: disable=protected-access
        monkeypatch.setattr(loopback, "listening", lambda _context: [("127.0.0.1", server.port) for server in (plain, secure, hung)])
        monkeypatch.setattr(loopback, "configured_ports", lambda _context: set())
        seen = {probe["protocol"]: probe for probe in loopback.collect(Context())["probes"]}
    assert (seen["smtp"]["ok"], seen["imaps"]["ok"], seen["pop3"]["outcome"]) == (True, True, "silent")
    assert script.seen == [b"EHLO [127.0.0.1]", b"QUIT"]
    # Nobody asked whether to trust it, so there is no verdict.
    assert (seen["imaps"]["tls"]["verified"], seen["imaps"]["tls"]["name_matches"]) == (None, None)
    assert seen["imaps"]["tls"]["certificate"]["fingerprint"]
    assert seen["smtp"]["vantage"] == "loopback"


def test_the_ports_of_the_configuration_are_known(monkeypatch):
    masters = [{"service": name, "type": kind} for name, kind in
               (("smtp", "inet"), ("127.0.0.1:587", "inet"), ("submissions", "inet"), ("10025", "inet"), ("pickup", "unix"))]
    monkeypatch.setattr(loopback.postfix, "settings", lambda _context: {"masters": masters})
    monkeypatch.setattr(loopback.dovecot, "settings", lambda _context: None)
    assert loopback.configured_ports(Context()) & set(loopback.PORTS.values()) == {25, 587, 465}
