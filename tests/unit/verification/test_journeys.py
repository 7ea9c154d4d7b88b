"""Which canaries follow from an inventory and what the hosts told."""
from __future__ import annotations

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.verification import journeys
from ansible_collections.mailops.outage.plugins.module_utils.wire import roundtrip

PROBE = {"address": "probe@x.test", "login": "probe", "password": "secret"}
OUTSIDE = {"address": "friend@out.test", "login": "friend", "password": "secret", "smtp_host": "mx.out.test", "smtp_port": 587, "imap_host": "mx.out.test",
           "imap_port": 993}
NAMES = {"submission_host": "mail.x.test", "imap_host": "mail.x.test", "pop3_host": "mail.x.test"}


def observation(*protocols, host="mail", domains=("x.test",)):
    """A host on which these protocols are configured and answer."""
    ports = {"smtp": 25, "submission": 587, "submissions": 465, "imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995}
    return {
        "host": host, "address": "192.0.2.10",
        "facts": {"postfix": {"domains": list(domains)},
                  "known_good": {"manifest": {"listeners": [{"port": ports[name], "loopback": False} for name in protocols]}}},
        "probes": [{"protocol": name, "ok": True} for name in protocols],
    }


ALL = ("smtp", "submission", "submissions", "imaps", "pop3s")


def planned(*observations, accounts=(PROBE,), outside=(OUTSIDE,), declared=None):
    found, missing = journeys.pairs(list(observations), declared or {}, {"probe_accounts": list(accounts), "external_accounts": list(outside), **NAMES,
                                                                         "reported_user": ""}, {"mx.out.test": "192.0.2.99"})
    return {pair["name"]: pair for pair in found}, {item["id"]: item["because"] for item in missing}


def test_every_journey_is_planned_for_a_host_that_does_everything():
    found, missing = planned(observation(*ALL))
    assert sorted(found) == ["back probe@x.test", "inbound mail probe@x.test", "outbound probe@x.test", "retrieval pop3s probe@x.test",
                             "submission probe@x.test", "submissions probe@x.test"]
    assert missing == {}
    assert found["submissions probe@x.test"]["through"]["port"] == 465
    assert "login" not in found["inbound mail probe@x.test"]["through"]
    assert found["outbound probe@x.test"]["mailbox"]["address"] == "192.0.2.99"


def test_the_plan_is_one_that_the_round_trip_takes():
    found, _missing = planned(observation(*ALL))
    assert len(roundtrip.plan(list(found.values()), {})) == len(found)


@pytest.mark.parametrize("protocols, absent", [
    (("smtp",), {"submission", "inbound", "outbound", "back"}),
    (("smtp", "imaps"), {"submission", "outbound"}),
    (("submission", "imaps"), {"inbound"}),
])
def test_a_journey_that_cannot_be_tried_says_why(protocols, absent):
    found, missing = planned(observation(*protocols))
    assert {name.split()[0] for name in missing} == absent
    assert not {name.split()[0] for name in found} & absent
    assert all(missing.values())


def test_without_accounts_nothing_is_sent_and_each_journey_is_not_tested():
    found, missing = planned(observation(*ALL), accounts=())
    assert found == {} and "outbound" in missing


def test_without_a_mailbox_outside_mail_within_the_house_is_still_tried():
    found, missing = planned(observation(*ALL), outside=())
    assert "submission probe@x.test" in found
    assert {name.split()[0] for name in missing} == {"inbound", "outbound", "back"}


def test_each_host_that_takes_mail_for_the_domain_is_tried_from_outside():
    found, _missing = planned(observation(*ALL), observation("smtp", host="mx2"), observation("smtp", host="other", domains=("y.test",)))
    assert {name for name in found if name.startswith("inbound")} == {"inbound mail probe@x.test", "inbound mx2 probe@x.test"}


def test_what_is_served_by_starttls_besides_is_read_too():
    found, _missing = planned(observation(*ALL, "imap", "pop3"))
    assert {name for name in found if name.startswith("retrieval")} == {f"retrieval {protocol} probe@x.test" for protocol in ("pop3s", "imap", "pop3")}
    assert found["retrieval imap probe@x.test"]["mailbox"]["port"] == 143


def test_an_estate_without_tls_from_the_start_is_read_by_starttls():
    found, missing = planned(observation("smtp", "submission", "imap"))
    assert found["submission probe@x.test"]["mailbox"]["protocol"] == "imap" and missing == {}
