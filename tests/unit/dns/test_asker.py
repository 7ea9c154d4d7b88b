from __future__ import annotations

import time

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.dns import asker as asking
from ansible_collections.mailops.outage.plugins.module_utils.dns.asker import Asker
from ansible_collections.mailops.outage.plugins.module_utils.dns.names import Server, server

ROOT = {("", "SOA"): ["a.test. b.test. 1 2 3 4 5"]}


def an_asker(*servers, timeout=0.5, deadline=3.0, **kwargs):
    return Asker([server(item.address) if hasattr(item, "zone") else item for item in servers], timeout, time.monotonic() + deadline, **kwargs)


@pytest.mark.parametrize(("kind", "written", "read"), [
    ("A", ["192.0.2.25"], ("192.0.2.25",)),
    ("AAAA", ["2001:db8::25"], ("2001:db8::25",)),
    ("MX", ["10 Mail.Example.Test."], ((10, "mail.example.test"),)),
    ("MX", ["0 ."], ((0, ""),)),
    ("NS", ["ns.example.test."], ("ns.example.test",)),
    ("TXT", ['"v=spf1 " "-all"'], ("v=spf1 -all",)),
    ("TXT", ['"\\233\\027[31mred"'], ("\ufffd\x1b[31mred",)),
    ("SOA", ["ns.example.test. root.example.test. 7 1 1 1 1"], (7,)),
    ("TLSA", ["3 1 1 " + "00ff" * 16], ((3, 1, 1, "00ff" * 16),)),
])
def test_records_are_read(name_server, kind, written, read):
    found = an_asker(name_server({("example.test", kind): written})).ask("example.test", kind)
    assert found.error is None and found.records == read


@pytest.mark.parametrize(("behaviour", "error"), [
    ("nxdomain", "nxdomain"), ("no_data", "no_data"), ("servfail", "servfail"), ("refused", "refused"), ("silent", "timeout"), ("garbage", "garbage"),
    ("formerr", "garbage"),
])
def test_what_is_no_record_has_its_word(name_server, behaviour, error):
    assert an_asker(name_server({("example.test", "MX"): behaviour}), timeout=0.2).ask("example.test", "MX").error == error


def test_a_truncated_answer_is_asked_again_by_tcp(name_server):
    there = name_server({("example.test", "TXT"): "truncated"})
    there.hidden["example.test", "TXT"] = ['"' + "x" * 250 + '"']
    assert an_asker(there).ask("example.test", "TXT").records == ("x" * 250,)
    assert there.asked == [("example.test", "TXT", False), ("example.test", "TXT", True)]


def test_an_alias_is_followed_and_told(name_server):
    found = an_asker(name_server({("mx.test", "A"): {"alias": "real.test"}, ("real.test", "A"): ["192.0.2.1"]})).ask("mx.test", "A")
    assert found.records == ("192.0.2.1",) and found.canonical == "real.test"


def test_a_name_that_dns_cannot_hold_is_absent(name_server):
    found = an_asker(name_server({})).ask("a" * 70 + ".test", "A")
    assert found.error == "bad_name" and found.absent


def test_a_question_is_asked_once(name_server):
    there = name_server({("example.test", "A"): ["192.0.2.1"]})
    asker = an_asker(there)
    asking.for_each(range(8), lambda _number: asker.ask("example.test", "A"))
    assert len(there.asked) == 1


def test_the_second_server_is_asked_when_the_first_cannot_say(name_server):
    asker = an_asker(name_server({("example.test", "A"): "servfail"}), name_server({("example.test", "A"): ["192.0.2.1"]}))
    assert asker.ask("example.test", "A").records == ("192.0.2.1",)


def test_that_there_is_no_record_needs_no_second_opinion(name_server):
    second = name_server({})
    assert an_asker(name_server({("x.test", "A"): "nxdomain"}), second).ask("x.test", "A").error == "nxdomain"
    assert second.asked == []


@pytest.mark.slow
def test_a_silent_server_costs_one_time_out(name_server):
    silent = name_server({("", "SOA"): "silent", ("example.test", "SOA"): "silent"})
    there = name_server({**ROOT, ("example.test", "A"): ["192.0.2.1"]})
    asker = an_asker(silent, there)
    began = time.monotonic()
    looks = asker.check(["example.test"])
    for number in range(20):
        asker.ask(f"n{number}.test", "A")
    assert time.monotonic() - began < 1.0
    assert [(look["working"], look["error"]) for look in looks] == [(False, "timeout"), (True, "")]
    assert asker.servers == [server(there.address)]


def test_a_server_that_refuses_everything_does_not_work(name_server):
    looks = an_asker(name_server({("", "SOA"): "refused", ("example.test", "SOA"): "servfail"})).check(["example.test"])
    assert looks[0]["working"] is False and looks[0]["error"] == "refused"


def test_a_server_that_only_knows_our_domain_works(name_server):
    assert an_asker(name_server({("", "SOA"): "refused", ("example.test", "SOA"): ROOT["", "SOA"]})).check(["example.test"])[0]["working"] is True


def test_whether_the_resolver_validates_shows_at_the_root(name_server):
    for authenticated in (False, True):
        asker = an_asker(name_server(ROOT, authenticated=authenticated))
        asker.check([])
        assert asker.validating is authenticated


def test_nothing_is_asked_after_the_deadline(name_server):
    there = name_server({("example.test", "A"): ["192.0.2.1"]})
    assert an_asker(there, deadline=-1).ask("example.test", "A").error == "no_answer"
    assert there.asked == []


def test_no_server_is_no_answer():
    assert an_asker().ask("example.test", "A").error == "no_answer"


def test_a_domains_own_server_is_asked_at_its_port(name_server):
    there = name_server({("example.test", "SOA"): ["a.test. b.test. 1 2 3 4 5"]})
    found = an_asker(nameserver_port=there.port).ask_at("127.0.0.1", "example.test", "SOA")
    assert found.records == (1,) and found.authoritative


def test_an_unreachable_server_is_no_answer():
    assert an_asker(Server("::ffff:255.255.255.255", 53), timeout=0.2).ask("example.test", "A").error in ("no_answer", "timeout", "garbage")


def test_a_failure_of_one_job_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        asking.together({"right": lambda: 1, "wrong": lambda: 1 // 0})
