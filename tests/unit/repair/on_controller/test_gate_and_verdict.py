"""Whether a step may be taken, and whether it helped."""
from __future__ import annotations

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import gate, verdict

STEP = {"id": "s1", "host": "mail", "cause": "service.mta_stopped", "role": "restart_service", "blocked": "", "commands": [{"does": "a", "mark": None}]}
PLAN = {"blocked": "", "owner": "ops@here process 1 run r1", "mode": "auto", "digest": "abc"}
FREE = {"lock": None, "checkpoints": [], "tries": [], "human_at_work": None}


def refused(states=None, known=(), mode="auto", freeze=False, plan=None, step=None, per_estate=4):
    return gate.refusal(plan or PLAN, step or STEP, list(known), {"mail": FREE} if states is None else states, mode, freeze, per_estate)


def ended(outcome, cause="service.mta_stopped", host="mail"):
    return {"step": "s0", "host": host, "cause": cause, "role": "x", "outcome": outcome, "because": ""}


def test_a_free_host_may_be_repaired():
    assert refused() == ""


@pytest.mark.parametrize("word, more", [
    ("advise", {"mode": "advise"}), ("freeze", {"freeze": True}), ("storm", {"plan": dict(PLAN, blocked="storm")}), ("person", {"step": dict(STEP, blocked="person")}),
    ("already", {"known": [ended("repaired")]}), ("look at mail", {"known": [ended("lost", "other.cause")]}), ("look at mail", {"known": [ended("not_put_back")]}),
    ("did not answer", {"states": {}}),
    ("is repairing", {"states": {"mail": dict(FREE, lock={"owner": "eve", "step": "s", "seconds_left": 1})}}),
    ("is repairing", {"states": {"mail": FREE, "mx2": dict(FREE, lock={"owner": "eve", "step": "s", "seconds_left": 1})}}),
    ("still open", {"states": {"mail": FREE, "mx2": dict(FREE, checkpoints=[{"id": "c", "owner": "eve", "rolls_back_at": "later"}])}}),
    ("at work", {"states": {"mail": dict(FREE, human_at_work="/etc/mailops/human-at-work")}}),
    ("a person must look", {"states": {"mail": dict(FREE, tries=[1, 2]), "mx2": dict(FREE, tries=[3, 4])}}),
])
def test_each_guard_stops_the_step(word, more):
    assert word in refused(**more)


def test_an_expired_lock_a_rolled_back_try_and_a_repair_of_another_cause_stop_nothing():
    assert refused(states={"mail": dict(FREE, lock={"owner": "eve", "step": "s", "seconds_left": -1})}) == ""
    assert refused(known=[ended("rolled_back"), ended("repaired", "config.x"), ended("lost", host="mx2")]) == ""


def diagnosis(*causes, probes=((25, True),), verdict_="outage", reachable=True):
    return {"verdict": verdict_, "estate": {"hosts": [{"name": "mail", "reachable": reachable}]},
            "causes": [{"id": name, "host": "mail", "root": True, "confidence": 0.9} for name in causes],
            "probes": [{"host": "mail", "id": f"mail:{port}", "ok": ok, "look": "first", "protocol": "smtp"} for port, ok in probes]}


DOWN = diagnosis("service.mta_stopped", probes=((25, False), (143, True)))
SERVES = {"mail": {"smtp"}}
WELL = diagnosis(probes=((25, True), (143, True)), verdict_="healthy")


def test_a_step_is_not_taken_when_its_cause_is_gone_or_another_plan_was_approved():
    assert gate.evidence_refusal(PLAN, STEP, "", DOWN) == ""
    assert "any more" in gate.evidence_refusal(PLAN, STEP, "", WELL)
    approve = dict(PLAN, mode="approve")
    assert gate.evidence_refusal(approve, STEP, "abc", DOWN) == ""
    for answer in ("", "no", "abd"):
        assert "approval" in gate.evidence_refusal(approve, STEP, answer, DOWN)


def test_what_would_now_be_done_must_be_what_was_shown():
    shown = [{"does": "write /etc/postfix/main.cf", "mark": "1"}]
    assert gate.differs(shown, list(shown)) == ""
    assert gate.differs(shown, [{"does": "write /etc/postfix/main.cf", "mark": "2"}])
    assert gate.differs(shown, shown + [{"does": "postfix reload", "mark": None}])
    assert "nothing" in gate.differs(shown, [])


def test_services_are_awaited_that_worked_or_are_to_work():
    before = {"causes": [], "probes": [dict(probe, name="mail", port=int(probe["id"][5:])) for probe in diagnosis(probes=((25, False), (143, True), (110, False)))["probes"]]}
    before["probes"][2]["protocol"] = "pop3"
    assert [target["port"] for target in gate.awaited(before, "mail", STEP["cause"], {"smtp"})] == [25, 143]
    before["causes"] = [{"id": "service.imap_stopped", "host": "mail", "root": True, "confidence": 0.9}]
    assert [target["port"] for target in gate.awaited(before, "mail", STEP["cause"], {"smtp"})] == [143]


def test_it_helped_when_the_cause_is_gone_and_everything_works():
    helped, because = verdict.judge(STEP, DOWN, WELL, [{"name": "inbound", "ok": True}], SERVES)
    assert helped and "1 messages" in because


@pytest.mark.parametrize("word, after, legs", [
    ("still holds", dict(DOWN, probes=WELL["probes"]), []),
    ("fails now", dict(WELL, probes=[dict(probe, ok=False) for probe in WELL["probes"]]), []),
    ("fails now", dict(WELL, probes=WELL["probes"][:1]), []),
    ("do not arrive", WELL, [{"name": "inbound", "ok": False}]),
    ("still does not work", diagnosis(probes=((25, False), (143, True))), []),
    ("still does not work", diagnosis("config.relay_denied2", probes=((25, True), (143, True))), []),
    ("open_relay", diagnosis("config.open_relay", probes=((25, True), (143, True))), []),
    ("cannot be reached", diagnosis(probes=((25, True), (143, True)), verdict_="healthy", reachable=False), []),
])
def test_anything_else_is_put_back(word, after, legs):
    helped, because = verdict.judge(STEP, DOWN, after, legs, SERVES)
    assert not helped and word in because


def test_what_another_cause_keeps_from_working_does_not_undo_a_good_repair():
    both = diagnosis("service.mta_stopped", "service.imap_stopped", probes=((25, False), (143, False)))
    after = diagnosis("service.imap_stopped", probes=((25, True), (143, False)))
    helped, because = verdict.judge(STEP, both, after, [{"name": "inbound", "ok": False}], SERVES)
    assert helped and "service.imap_stopped" in because


def test_our_own_containment_is_no_cause():
    after = diagnosis("config.deferred_by_setting", probes=((25, True), (143, True)))
    assert verdict.judge(STEP, DOWN, after, [], SERVES, contained=True)[0]
    assert not verdict.judge(STEP, DOWN, after, [], SERVES)[0]


def test_only_what_a_dead_process_left_is_picked_up():
    state = {"checkpoints": [{"owner": "dead", "step": "s1"}, {"owner": "alive", "step": "s2"}], "lock": {"owner": "dead"}}
    assert gate.left_open(state, "dead".__eq__) == ([state["checkpoints"][0]], "dead")
    assert gate.left_open({"checkpoints": None, "lock": None}, "dead".__eq__) == ([], "")


def test_a_port_that_nobody_serves_and_mail_that_still_waits_are_no_failure():
    before = diagnosis("service.mta_stopped", "queue.backlog", probes=((25, False), (143, True), (110, False)))
    after = diagnosis("queue.backlog", probes=((25, True), (143, True), (110, False)), verdict_="degraded")
    after["probes"][2]["protocol"] = "pop3"
    assert verdict.judge(STEP, before, after, [], SERVES)[0]


def test_an_interrupted_repair_is_judged_by_its_own_host():
    assert verdict.is_well(WELL, "mail") and verdict.is_well(diagnosis("queue.backlog"), "mail") and verdict.is_well(diagnosis("service.imap_stopped"), "mx2")
    assert not verdict.is_well(DOWN, "mail")
    assert not verdict.is_well(diagnosis(verdict_="outage"), "mail")
