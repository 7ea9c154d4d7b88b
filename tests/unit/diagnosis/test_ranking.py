"""What explains what, and which cause goes first."""
from __future__ import annotations

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import catalogue, conditions, ranking

WORDS = {"en": "a text", "nl": "een tekst"}


def known(**causes):
    entries = {}
    for name, fields in causes.items():
        entries[f"area.{name}"] = dict({"title": WORDS, "explanation": WORDS, "users": WORDS, "impact": "refused"}, **fields)
    return catalogue.parse({"area.yml": entries})


def view(host="mail", **facts):
    return dict({"host": host, "connection": {"ok": True}, "seen": {}, "changed": []}, **facts)


def names(found):
    return [item.cause.id for item in found]


def holds(fact, confidence=0.8, **more):
    return dict({"conditions": [{"when": fact, "show": f"{{source: 'a', text: '{fact}', epoch: {fact}_epoch}}", "confidence": confidence}]}, **more)


def test_a_missing_fact_makes_no_candidate():
    assert ranking.find(known(one=holds("absent")), [view()], {})[0] == []


def test_a_cause_that_was_looked_for_is_ruled_out():
    assert ranking.find(known(one=holds("absent")), [view()], {})[1] == [{"id": "area.one", "because": "looked for, no sign of it"}]


def test_nothing_is_ruled_out_on_a_host_that_could_not_be_seen():
    assert ranking.find(known(one=holds("absent")), [view(connection={"ok": False})], {})[1] == []


def test_a_consequence_is_no_root():
    found, _ruled_out = ranking.find(known(cause=holds("a", explains=["area.effect"]), effect=holds("b", 0.99)), [view(a=True, b=True)], {})
    assert [(item.cause.id, item.root) for item in found] == [("area.cause", True), ("area.effect", False)]
    assert found[1].explained_by == ["area.cause"]


def test_a_guess_does_not_explain_a_certainty_away():
    found, _ruled_out = ranking.find(known(guess=holds("a", 0.3, explains=["area.sure"]), sure=holds("b", 0.9)), [view(a=True, b=True)], {})
    assert names(found)[0] == "area.sure" and found[0].root


def test_of_two_that_explain_each_other_the_surer_is_the_cause():
    found, _ruled_out = ranking.find(known(one=holds("a", 0.6, explains=["area.two"]), two=holds("b", 0.9, explains=["area.one"])), [view(a=True, b=True)], {})
    assert [(item.cause.id, item.root) for item in found] == [("area.two", True), ("area.one", False)]


def test_a_cause_does_not_explain_what_happens_on_another_host():
    causes = known(cause=holds("a", explains=["area.effect"]), effect=holds("b"))
    found, _ruled_out = ranking.find(causes, [view("one", a=True), view("two", b=True)], {})
    assert all(item.root for item in found)


def test_a_cause_explains_on_peers_what_it_says_so_of():
    causes = known(cause=holds("a", explains_on_peers=["area.effect"]), effect=holds("b"))
    found, _ruled_out = ranking.find(causes, [view("one", a=True), view("two", b=True)], {})
    assert [(item.cause.id, item.root) for item in found] == [("area.cause", True), ("area.effect", False)]


def test_between_equals_the_earlier_goes_first():
    found, _ruled_out = ranking.find(known(late=holds("a"), soon=holds("b")), [view(a=True, b=True, a_epoch=200, b_epoch=100)], {})
    assert names(found) == ["area.soon", "area.late"]


def test_between_equals_what_changed_goes_before_what_is_older():
    found, _ruled_out = ranking.find(
        known(old=holds("a"), touched=holds("b")),
        [view(a=True, b=True, a_epoch=100, b_epoch=200, changed=[{"name": "b"}])], {})
    assert names(found) == ["area.touched", "area.old"]


def test_a_risk_is_never_the_root():
    found, _ruled_out = ranking.find(known(risk=holds("a", 0.99, kind="risk"), fault=holds("b", 0.6)), [view(a=True, b=True)], {})
    assert [(item.cause.id, item.root) for item in found] == [("area.fault", True), ("area.risk", False)]


def test_witnesses_add_up_without_ever_being_certain():
    causes = known(one={"conditions": [{"when": "a", "show": "{text: 'a'}", "confidence": 0.5}, {"when": "b", "show": "{text: 'b'}", "confidence": 0.5}]})
    assert ranking.find(causes, [view(a=True)], {})[0][0].confidence == 0.5
    assert ranking.find(causes, [view(a=True, b=True)], {})[0][0].confidence == 0.75


def test_a_log_event_that_is_over_is_no_evidence():
    causes = known(one={"signatures": {"s": {"program": "p", "pattern": "^x"}}, "conditions": [{"signature": "s"}]})
    over, going_on = ({"s": {"current": current, "count": 3, "samples": [{"text": "x", "source": "mail.log", "line": "@12", "time": "t"}]}} for current in (False, True))
    assert ranking.find(causes, [view(seen=over)], {})[0] == []
    found = ranking.find(causes, [view(seen=going_on)], {})[0]
    assert found[0].evidence == [{"kind": "log", "host": "mail", "source": "mail.log", "line": "@12", "time": "t", "text": "x"}]


@pytest.mark.parametrize("trust, fact, confidence, kind", [
    ("journal", False, 0.9, "log"), ("file", False, ranking.HEARSAY_AT_MOST, "log"), ("remote", False, ranking.HEARSAY_AT_MOST, "remote"),
    (None, False, ranking.HEARSAY_AT_MOST, "log"), ("file", True, 0.95, "log")])
def test_what_anybody_may_have_written_is_not_sure_enough_to_act_on(trust, fact, confidence, kind):
    causes = known(one={"signatures": {"s": {"program": "p", "pattern": "^x"}},
                        "conditions": [{"signature": "s", "confidence": 0.9}, {"when": "fact", "show": "{source: 'a', text: 'b'}", "confidence": 0.5}]})
    seen = {"s": {"current": True, "count": 3, "trust": trust, "samples": [{"text": "x", "source": "mail.log", "line": "@12", "time": "t"}]}}
    (found,) = ranking.find(causes, [view(seen=seen, fact=fact)], {})[0]
    assert found.confidence == confidence and found.evidence[0]["kind"] == kind


def test_evidence_is_shown_once_and_cleaned():
    causes = known(one={"conditions": [{"when": "a", "show": "[{source: 's', text: t}, {source: 's', text: t}]", "confidence": 0.5}]})
    found = ranking.find(causes, [view(a=True, t="\x1b[31mred\x1b[0m\nnext")], {})[0]
    assert [item["text"] for item in found[0].evidence] == ["red next"]


@pytest.mark.parametrize("expression, value", [
    ("matches(t, 'ab+')", True), ("matches(t, '^b')", False), ("matches(nothing, 'a')", False),
    ("any_matches(l, '^y')", True), ("any_matches(nothing, 'y')", False),
    ("overlap(l, `[\"y\", \"z\"]`)", ["y"]), ("overlap(nothing, l)", []),
    ("minus(n, `2`)", 5), ("minus(n, nothing)", None),
    ("length(nothing)", None),
])
def test_the_functions_of_conditions_bear_missing_facts(expression, value):
    assert conditions.look(expression, {"t": "xabby", "l": ["x", "y"], "n": 7}) == value
