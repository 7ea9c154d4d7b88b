"""Is it an outage, for whom, and how severe."""
from __future__ import annotations

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import catalogue, ranking, scope, view

WORDS = {"en": "a text", "nl": "een tekst"}
SMTP = {"type": "inet", "service": "smtp"}


def probe(protocol="smtp", outcome="ok", **fields):
    return dict({"host": "mail", "protocol": protocol, "port": 25, "ok": outcome == "ok", "outcome": outcome, "step": None if outcome == "ok" else "connect",
                 "vantage": "controller", "look": "first", "envelope": [], "name": "mail"}, **fields)


def assess(probes, facts=None, candidates=(), estate=None, connected=True, rules=None):
    observation = {"host": "mail", "connection": {"ok": connected}, "facts": dict({"postfix": {"masters": [SMTP]}}, **(facts or {})), "probes": probes}
    estate = dict({"probes": [], "domains": ["a.example", "b.example"]}, **(estate or {}))
    views = [view.host_view(observation, {}, estate)]
    view.estate_view(views, estate)
    return scope.assess(views, estate, list(candidates), rules)


def cause(**fields):
    entry = dict({"title": WORDS, "explanation": WORDS, "users": WORDS, "impact": "queued", "journeys": ["delivery"]}, **fields)
    return ranking.Candidate(catalogue.parse({"a.yml": {"area.name": entry}})["area.name"], "mail", 0.9)


def refused(recipient, code=550):
    return {"kind": "recipient", "recipient": recipient, "code": code, "accepted": False, "answer": "no"}


def accepted(recipient):
    return {"kind": "recipient", "recipient": recipient, "code": 250, "accepted": True, "answer": "ok"}


def test_all_that_answers_is_healthy():
    found = assess([probe()])
    assert (found["verdict"], found["severity"], found["scope"]["kind"], found["impact"]["class"]) == ("healthy", "none", "none", "none")


def test_one_failed_look_is_no_outage():
    found = assess([probe(outcome="timeout")])
    assert found["verdict"] == "degraded" and not found["confirmed"]


def test_two_failed_looks_are_an_outage():
    found = assess([probe(outcome="refused")], estate={"probes": [probe(outcome="refused", look="second")]})
    assert (found["verdict"], found["scope"]["kind"], found["impact"]["class"]) == ("outage", "all_users", "refused")
    assert found["confirmed"]


def test_a_failed_probe_and_a_service_that_does_not_run_are_two_looks():
    found = assess([probe(outcome="refused")], {"services": {"mta": {"expected": True, "running": False}}})
    assert found["verdict"] == "outage" and found["confirmed"]


def test_what_works_from_the_host_itself_does_not_confirm():
    found = assess([probe(outcome="timeout")], {"loopback": {"probes": [probe()]}})
    assert not found["confirmed"]


def test_a_port_that_nobody_expects_is_no_fault():
    assert assess([probe(), probe("pop3", "refused")])["verdict"] == "healthy"


def test_a_host_that_nobody_can_see_is_unknown_not_healthy():
    found = assess([probe(outcome="timeout")], facts={"postfix": {}}, connected=False)
    assert found["verdict"] == "unknown"


def test_recipients_refused_for_good_are_lost_mail():
    found = assess([probe(envelope=[refused("x@a.example"), refused("x@b.example")])])
    assert (found["verdict"], found["impact"]["class"], found["severity"]) == ("outage", "lost", "sev1")


def test_one_refused_recipient_among_many_is_one_user():
    checks = [refused("anna@a.example"), accepted("x@a.example"), accepted("x@b.example"), accepted("y@b.example")]
    found = assess([probe(envelope=checks)])
    assert (found["verdict"], found["scope"]["kind"]) == ("degraded", "single_user")
    assert found["scope"]["users"] == ["anna@a.example"]


def test_a_domain_whose_mail_alone_is_refused_is_the_scope():
    checks = [refused("x@a.example"), refused("y@a.example"), accepted("x@b.example"), accepted("y@b.example")]
    assert assess([probe(envelope=checks)])["scope"]["kind"] == "domain"


def test_mail_that_waits_is_an_outage_although_every_port_answers():
    found = assess([probe()], candidates=[cause()])
    assert (found["verdict"], found["impact"]["class"]) == ("outage", "queued")


def test_a_fault_of_one_user_is_the_lowest_severity():
    found = assess([probe()], candidates=[cause(scope="single_user")])
    assert (found["verdict"], found["severity"], found["scope"]["kind"]) == ("degraded", "sev4", "single_user")


def test_a_risk_is_no_outage():
    assert assess([probe()], candidates=[cause(kind="risk", impact="none")])["verdict"] == "healthy"


def test_a_table_of_ones_own_decides_the_severity():
    rules = [{"when": "impact == 'queued'", "severity": "sev3"}]
    assert assess([probe()], candidates=[cause()], rules=rules)["severity"] == "sev3"


@pytest.mark.parametrize("impacts, worst", [([], "none"), (["queued", "lost", "refused"], "lost"), (["silent", "lost"], "silent"), (["tempfail", "none"], "tempfail")])
def test_the_most_urgent_impact_counts(impacts, worst):
    assert scope.worst(impacts) == worst


def test_a_fault_of_one_mailbox_seen_at_several_is_a_fault_of_some_users():
    item = cause(scope="single_user")
    item.users = {"anna", "bert"}
    found = assess([probe()], candidates=[item])
    assert (found["scope"]["kind"], found["scope"]["users"]) == ("some_users", ["anna", "bert"])


def test_a_host_without_mail_software_is_unknown_not_healthy():
    assert assess([probe(outcome="refused")], {"postfix": {"masters": []}})["verdict"] == "unknown"


def test_a_fault_without_impact_has_no_scope():
    found = assess([probe()], candidates=[cause(impact="none", journeys=[])])
    assert (found["verdict"], found["scope"]["kind"], found["severity"]) == ("degraded", "none", "sev4")
