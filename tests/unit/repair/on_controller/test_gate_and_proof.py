"""Whether a step may be taken, and whether it helped."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import gate, journal, plan, proof
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller.proof import Look, Seen

STEP = {"id": "s1", "host": "mail", "cause": "service.mta_stopped", "role": "restart_service", "options": {"roles": ["mta"]}, "blocked": "",
        "commands": [{"does": "a", "mark": None}]}
PLAN = {"blocked": "", "owner": "ops@here process 1 run r1", "mode": "auto", "digest": "a" * 64, "steps": [STEP]}
FREE = {"lock": None, "checkpoints": [], "tries": [], "human_at_work": None}
NOW = 1795485067.0


def refused(states=None, known=(), mode="auto", freeze=False, made=None, step=None, per_estate=4):
    return gate.refusal(made or PLAN, step or STEP, list(known), {"mail": FREE} if states is None else states, mode, freeze, per_estate)


def ended(outcome, cause="service.mta_stopped", host="mail"):
    return {"step": "s0", "host": host, "cause": cause, "role": "x", "event": outcome, "because": ""}


def checkpoint(**more):
    return dict({"id": "c", "owner": "eve", "rolls_back_at": "later", "state": "open"}, **more)


def test_a_free_host_may_be_repaired():
    assert refused() == ""


@pytest.mark.parametrize("word, more", [
    ("advise", {"mode": "advise"}), ("freeze", {"freeze": True}), ("storm", {"made": dict(PLAN, blocked="storm")}), ("person", {"step": dict(STEP, blocked="person")}),
    ("already", {"known": [ended("repaired")]}), ("look at mail", {"known": [ended("lost", "other.cause")]}), ("look at mail", {"known": [ended("not_put_back")]}),
    ("stopped the repair", {"known": [{"event": journal.STOPPED}]}),
    ("did not answer", {"states": {}}),
    ("is repairing", {"states": {"mail": dict(FREE, lock={"owner": "eve", "step": "s", "seconds_left": 1})}}),
    ("is repairing", {"states": {"mail": FREE, "mx2": dict(FREE, lock={"owner": "eve", "step": "s", "seconds_left": 1})}}),
    ("still open", {"states": {"mail": FREE, "mx2": dict(FREE, checkpoints=[checkpoint()])}}),
    ("acknowledge step=c", {"states": {"mail": dict(FREE, checkpoints=[checkpoint(state="not_put_back")])}}),
    ("at work", {"states": {"mail": dict(FREE, human_at_work="/etc/mailops/human-at-work")}}),
    ("a person must look", {"states": {"mail": dict(FREE, tries=[1, 2]), "mx2": dict(FREE, tries=[3, 4])}}),
])
def test_each_guard_stops_the_step(word, more):
    assert word in refused(**more)


def test_an_expired_lock_a_rolled_back_try_and_a_repair_of_another_cause_stop_nothing():
    assert refused(states={"mail": dict(FREE, lock={"owner": "eve", "step": "s", "seconds_left": -1})}) == ""
    assert refused(known=[ended("rolled_back"), ended("repaired", "config.x"), ended("lost", host="mx2")]) == ""


def seen(*causes, looks=None, reachable=True, by_log=()):
    found = {"verdict": "outage", "estate": {"hosts": [{"name": "mail", "reachable": reachable}]},
             "causes": [{"id": name, "host": "mail", "root": True, "root_by_facts": name not in by_log, "confidence": 0.9} for name in causes]}
    return Seen(found, dict(looks or {}), {})


SMTP, IMAPS, LOGIN = Look("port", "mail", "mail:25/smtp"), Look("port", "mail", "mail:993/imaps"), Look("login", "mail", "mail:993/imaps as anna")
CANARY, SERVICE, RELAY = Look("message", "", "inbound mail anna@x.test"), Look("service", "mail", "postfix@-.service"), Look("relay", "mail", "25 refuses to relay")
RULE = Look("rule", "mail", "header_checks lets ordinary mail pass")
CAUSE = STEP["cause"]
DOWN = seen(CAUSE, looks={SMTP: False, IMAPS: True, SERVICE: False})
WELL = seen(looks={SMTP: True, IMAPS: True, SERVICE: True})


def test_a_step_is_not_taken_when_its_cause_is_gone_only_the_log_says_so_or_another_plan_was_approved():
    assert gate.evidence_refusal(PLAN, STEP, "", DOWN, NOW, 4) == ""
    assert "any more" in gate.evidence_refusal(PLAN, STEP, "", WELL, NOW, 4)
    assert "any more" in gate.evidence_refusal(PLAN, STEP, "", seen(CAUSE, looks=DOWN.looks, by_log=[CAUSE]), NOW, 4)
    approve = dict(PLAN, mode="approve")
    assert gate.evidence_refusal(approve, STEP, plan.approval(PLAN, NOW - 60), DOWN, NOW, 4) == ""
    for answer in ("", "no", "a" * 64, plan.approval(dict(PLAN, digest="b" * 64), NOW), plan.approval(PLAN, NOW) + "0", "a" * 64 + "@20261399T000000Z"):
        assert gate.evidence_refusal(approve, STEP, answer, DOWN, NOW, 4), answer


def test_an_approval_has_an_age_and_none_comes_from_the_future():
    assert plan.approval_refusal(PLAN, plan.approval(PLAN, NOW - 3 * 3600), NOW, 4) == ""
    assert "hours old" in plan.approval_refusal(PLAN, plan.approval(PLAN, NOW - 5 * 3600), NOW, 4)
    assert "future" in plan.approval_refusal(PLAN, plan.approval(PLAN, NOW + 3600), NOW, 4)


def test_where_nothing_fails_nothing_is_changed_by_itself_and_a_person_may_decide():
    quiet = seen(CAUSE, looks={SMTP: True})
    assert "a person must decide" in gate.evidence_refusal(PLAN, STEP, "", quiet, NOW, 4)
    assert gate.evidence_refusal(dict(PLAN, mode="approve"), STEP, plan.approval(PLAN, NOW), quiet, NOW, 4) == ""


def test_what_would_now_be_done_must_be_what_was_shown():
    shown = [{"does": "write /etc/postfix/main.cf", "mark": "1"}]
    assert gate.differs(shown, list(shown)) == ""
    assert gate.differs(shown, [{"does": "write /etc/postfix/main.cf", "mark": "2"}])
    assert gate.differs(shown, shown + [{"does": "postfix reload", "mark": None}])
    assert "nothing" in gate.differs(shown, [])


def judged(before, after, **more):
    return proof.judge(STEP, before, after, **more)


def test_it_helped_when_something_that_failed_works():
    helped, because = judged(DOWN, WELL)
    assert helped and "mail:25/smtp" in because


@pytest.mark.parametrize("word, before, after", [
    ("still holds", DOWN, seen(CAUSE, looks=DOWN.looks)),
    ("fails now", DOWN, seen(looks={SMTP: True, IMAPS: False})),
    ("fails now", DOWN, seen(looks={SMTP: True})),
    ("fails now", seen(CAUSE, looks={SMTP: False, CANARY: True}), seen(looks={SMTP: True, CANARY: False})),
    ("fails now", seen(CAUSE, looks={SMTP: False, RELAY: True}), seen(looks={SMTP: True, RELAY: False})),
    ("still fails", DOWN, seen(looks=DOWN.looks)),
    ("open_relay", DOWN, seen("config.open_relay", looks=WELL.looks)),
    ("cannot be reached", DOWN, seen(looks=WELL.looks, reachable=False)),
    ("nothing proves it", seen(CAUSE, looks={SMTP: True}), seen(looks={SMTP: True})),
])
def test_anything_else_is_put_back(word, before, after):
    helped, because = judged(before, after)
    assert not helped and word in because


def test_that_a_service_runs_is_no_proof_while_what_users_meet_still_fails():
    assert not judged(DOWN, seen(looks={SMTP: False, IMAPS: True, SERVICE: True}))[0]
    assert judged(seen(CAUSE, looks={SERVICE: False, SMTP: True}), seen(looks={SERVICE: True, SMTP: True}))[0]


def test_a_second_cause_that_is_still_there_does_not_undo_a_repair_that_helped():
    both = seen(CAUSE, "service.imap_stopped", looks={SMTP: False, IMAPS: False, CANARY: False})
    for after in ({SMTP: True, IMAPS: False, CANARY: False}, {SMTP: False, IMAPS: False, CANARY: False}):
        helped, because = judged(both, seen("service.imap_stopped", looks=after))
        assert helped and "service.imap_stopped" in because


def test_a_suspicion_that_stays_does_not_undo_what_works_again():
    assert judged(DOWN, seen(CAUSE, looks=WELL.looks))[0]
    assert judged(DOWN, seen("config.x", looks=WELL.looks, by_log=["config.x"]))[0]


def test_where_nothing_failed_only_what_a_person_approved_stays():
    quiet = seen(CAUSE, looks={SMTP: True})
    assert judged(quiet, seen(looks={SMTP: True}), by_person=True)[0]
    assert not judged(quiet, seen(CAUSE, looks={SMTP: True}), by_person=True)[0]


def test_our_own_containment_is_no_cause():
    both = seen(CAUSE, "config.deferred_by_setting", looks={SMTP: False})
    after = seen("config.deferred_by_setting", looks={SMTP: False})
    assert judged(both, after)[0] and not judged(both, after, contained=["mail"])[0]


def test_what_failed_is_awaited_whatever_else_is_suspected_but_what_a_later_step_starts():
    before = seen(CAUSE, "tls.cert_expired", looks={SMTP: False, IMAPS: False, LOGIN: False, CANARY: False, SERVICE: False, RELAY: False})
    assert set(proof.awaited(before, [])) == {SMTP, IMAPS, LOGIN, CANARY}
    later = {"host": "mail", "role": "restart_service", "options": {"roles": ["imap"]}}
    assert set(proof.awaited(before, [later])) == {SMTP, CANARY}
    assert set(proof.awaited(before, [dict(later, host="mx2")])) == {SMTP, IMAPS, LOGIN, CANARY}


def test_what_runs_there_says_how_long_it_is_waited_for():
    def observed(*names):
        return [{"host": "mail", "facts": {"services": {"units": [{"name": name, "expected": True} for name in names]}}}]
    assert proof.longest_return(observed("postfix", "clamav-daemon"), "mail") == proof.RETURN_SECONDS["clamav-daemon"]
    assert proof.longest_return(observed("postfix"), "mail") == proof.RETURN_SECONDS["postfix"] > 60
    assert proof.longest_return(observed("postfix"), "elsewhere") == proof.longest_return([], "mail") == 60


def test_an_interrupted_repair_stays_only_when_all_that_was_tried_works():
    assert proof.works_alone(WELL, "mail")
    assert not proof.works_alone(seen(), "mail") and not proof.works_alone(DOWN, "mail")
    assert not proof.works_alone(seen(looks={SMTP: True, CANARY: False}), "mail") and not proof.works_alone(seen(CAUSE, looks={SMTP: True}), "mail")


@pytest.mark.parametrize("said, guards, ours", [
    ({CANARY: "recipient reject 554 5.7.1 <anna@x.test>: Relay access denied"}, ["relay_domains"], ["relay_domains"]),
    ({SMTP: "recipient reject 554 5.7.1 <x[192.0.2.1]>: Client host rejected: Access denied"}, ["smtpd_client_restrictions"], ["smtpd_client_restrictions"]),
    ({SMTP: "recipient reject 554 5.7.1 <x[192.0.2.1]>: Client host rejected: Access denied"},
     ["smtpd_client_restrictions", "smtpd_recipient_restrictions", "ssl_min_protocol"], []),
    ({SMTP: "recipient reject 554 5.7.1 <x[192.0.2.1]>: Client host rejected: Access denied"}, ["smtpd_client_restrictions", "ssl_min_protocol"],
     ["smtpd_client_restrictions"]),
    ({SMTP: "recipient reject 554 5.7.1 <a@x>: Relay access denied"}, ["submission/inet -o smtpd_relay_restrictions"],
     ["submission/inet -o smtpd_relay_restrictions"]),
    ({CANARY: "arrival not_arrived mail accepted it", RULE: "header_checks"}, ["header_checks", "smtpd_milters"], ["header_checks"]),
    ({CANARY: "arrival not_arrived mail accepted it"}, ["header_checks", "body_checks", "smtpd_milters", "content_filter"], []),
    ({RULE: "header_checks"}, ["header_checks"], []),
    ({SMTP: "tls silent no answer within 7 s"}, ["ssl_min_protocol"], []),
    ({SMTP: "greeting silent no answer within 7 s"}, ["smtpd_client_connection_count_limit"], []),
    ({CANARY: "connect refused"}, ["header_checks"], []),
    ({SMTP: "connect refused"}, ["smtpd_tls_mandatory_protocols", "relay_domains", "mynetworks", "smtpd_recipient_restrictions", "smtpd_milters"], []),
    ({SMTP: "tls tls_failed tlsv1 alert protocol version"}, ["ssl_min_protocol"], ["ssl_min_protocol"]),
    ({}, ["ssl_min_protocol"], []), ({CANARY: "arrival not_arrived"}, [], []),
])
def test_only_a_guard_that_shows_in_a_failure_of_our_own_may_come_back(said, guards, ours):
    looked = Seen(DOWN.diagnosis, dict.fromkeys(said, False), said)
    assert proof.stopping_us(guards, looked, "mail") == ours


def probe(port, ok, look="first", **more):
    return {"host": "mail", "id": f"mail:{port}/smtp", "protocol": "smtp", "ok": ok, "look": look, "step": None, "outcome": "ok", "envelope": [], **more}


def test_each_thing_that_was_tried_is_a_look_of_its_own_and_the_later_try_counts():
    observed = [{"host": "mail", "facts": {"services": {"units": [{"unit": "postfix.service", "expected": True, "running": False}, {"unit": "x", "expected": None}]},
                                           "companions": {"endpoints": [
                                               {"role": "milter", "address": "a", "connect": "refused"}, {"role": "sasl", "address": "b", "connect": None}]}}}]
    probes = [probe(25, False), probe(25, True, "second", capabilities=["SIZE 20000"], envelope=[
        {"kind": "recipient", "recipient": "a@x", "accepted": False, "answer": "550"}, {"kind": "relay", "recipient": "b@y", "accepted": True}]),
        probe(587, True, login="anna"), probe(587, False, "second", login="bob"), probe(25, False, "vantage"), probe(110, False)]
    legs = [{"name": "inbound", "ok": False, "outcome": "not_arrived"}, {"name": "outbound", "ok": False, "outcome": "rate_limited"}]
    found = proof.looks({"probes": probes}, legs, observed, {"mail": ["smtp"]}, {})
    assert {str(look): well for look, well in found.items() if look.kind != "port"} == {
        "mail mail:25/smtp takes an ordinary message": False, "mail a@x": False, "mail mail:25/smtp refuses to relay": False, "mail mail:587/smtp as anna": True,
        "mail mail:587/smtp as bob": False, "inbound": False, "mail postfix.service": False, "mail milter a": False}
    assert found[Look("port", "mail", "mail:25/smtp")] is True


def test_only_open_checkpoints_of_a_dead_process_are_picked_up():
    dead = {"owner": "dead", "step": "s1", "state": "open"}
    state = {"checkpoints": [dead, {"owner": "mine", "step": "s2", "state": "open"}, dict(dead, state="not_put_back")], "lock": {"owner": "dead"}}
    assert gate.left_open(state, lambda owner: owner == "dead") == ([dead], "dead")
    assert gate.left_open({"checkpoints": None, "lock": None}, lambda owner: True) == ([], "")


ANY_LOOKS = st.dictionaries(st.sampled_from([SMTP, IMAPS, LOGIN, CANARY, SERVICE, RELAY]), st.booleans())


@given(ANY_LOOKS, ANY_LOOKS, st.booleans())
def test_whatever_was_seen_a_repair_without_a_second_cause_stays_only_when_something_failed_and_works_and_nothing_got_worse(before, after, still):
    helped, because = judged(seen(CAUSE, looks=before), seen(*([CAUSE] if still else []), looks=after))
    assert because
    if helped:
        assert any(not well and after.get(look) for look, well in before.items())
        assert all(after.get(look, look.kind not in ("port", "login")) for look, well in before.items() if well)
