"""What a verification says of a diagnosis, of canaries and of the hosts' queues."""
from __future__ import annotations

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.verification import judge


def leg(**more):
    return {"name": "inbound", "ok": True, "outcome": "ok", "step": None, "fault": None, "answer": "", "queue_id": "4ABC", "arrival_seconds": 0.2,
            "folder": "INBOX", **more}


def probe(ok=True, look="first", name="mail:25/smtp"):
    return {"id": name, "host": "mail", "protocol": name.rpartition("/")[2], "ok": ok, "look": look, "step": None if ok else "connect", "outcome": "ok" if ok else "refused", "answer": ""}


def diagnosis(probes=None, causes=(), reachable=True):
    return {"run_id": "now", "verdict": "healthy", "probes": [probe()] if probes is None else probes, "causes": list(causes),
            "estate": {"hosts": [{"name": "mail", "reachable": reachable, "error": "" if reachable else "timed out"}]}}


def cause(**more):
    return {"id": "tls.cert_expired", "host": "mail", "root": True, "confidence": 0.9, "title": {"en": "A certificate has expired", "nl": "x"}, **more}


def observation(hold=0, deferred=0, usual=0, **settings):
    return {"host": "mail", "facts": {"postfix": {"expanded": {"soft_bounce": "no", "defer_transports": "", **settings}},
                                      "queue": {"counts": {"hold": hold, "deferred": deferred}, "oldest_seconds": None,
                                                "bounce_clock": {"expires_in_seconds": 7200}},
                                      "known_good": {"manifest": {"counts": {"deferred": usual}}}}}


def judged(*, legs=None, missing=(), before=None, seen=None, host=None):
    return judge.judge(seen or diagnosis(), [host or observation()], [leg()] if legs is None else legs, list(missing), {"mail": ["smtp", "imap", "imaps"]}, before)


def failed(found):
    return [check["id"] for check in found["checks"] if check["state"] == judge.FAILED]


def test_mail_that_arrives_and_nothing_else_wrong_is_verified():
    found = judged()
    assert found["passed"] and failed(found) == []


def test_nothing_that_arrived_is_no_verification():
    assert not judged(legs=[])["passed"]


@pytest.mark.parametrize("outcome", ["rate_limited", "not_tried"])
def test_one_message_that_arrived_does_not_stand_for_those_that_got_no_turn(outcome):
    found = judged(legs=[leg(), leg(name="outbound", ok=False, outcome=outcome)])
    assert not found["passed"] and failed(found) == ["outbound"]


@pytest.mark.parametrize("outcome", ["not_arrived", "junk", "late", "duplicated", "altered", "tempfail", "login_failed"])
def test_any_other_end_of_a_canary_fails(outcome):
    found = judged(legs=[leg(), leg(name="outbound", ok=False, outcome=outcome, step="arrival", fault="delivery")])
    assert failed(found) == ["outbound"] and not found["passed"]


def test_mail_that_came_at_the_second_try_only_says_so():
    found = judged(legs=[leg(first="tempfail")])
    assert found["passed"] and "first tempfail" in found["checks"][0]["text"]


def test_mail_that_did_not_arrive_is_named_with_its_queue_id():
    found = judged(legs=[leg(ok=False, outcome="not_arrived", step="arrival", fault="delivery")])
    assert "4ABC" in found["checks"][0]["text"]


@pytest.mark.parametrize("host, name", [
    (observation(soft_bounce="yes"), "soft_bounce"), (observation(defer_transports="lmtp"), "defer_transports"), (observation(hold=1), "hold"),
    (observation(deferred=11), "deferred"),
])
def test_a_state_left_behind_and_delayed_mail_fail(host, name):
    found = judged(host=host)
    assert failed(found) == [name] and not found["passed"]


def test_deferred_mail_as_on_any_day_passes():
    assert judged(host=observation(deferred=30, usual=25))["passed"]


def test_what_was_not_seen_of_a_host_is_not_tested():
    found = judged(host={"host": "mail", "facts": {}})
    assert found["passed"] and {check["id"] for check in found["checks"] if check["state"] == judge.NOT_TESTED} == {"temporary settings", "deferred"}


@pytest.mark.parametrize("seen, name", [
    (diagnosis([probe(ok=False)]), "mail:25/smtp"), (diagnosis(causes=[cause()]), "tls.cert_expired"), (diagnosis(reachable=False), "mail"),
])
def test_a_service_a_cause_and_a_host_out_of_reach_fail(seen, name):
    assert failed(judged(seen=seen)) == [name]


@pytest.mark.parametrize("entry", [cause(root=False), cause(confidence=0.4), cause(id="none.healthy")])
def test_a_hint_is_no_failure(entry):
    assert judged(seen=diagnosis(causes=[entry]))["passed"]


def test_a_closed_port_that_nobody_expects_is_no_failure():
    assert judged(seen=diagnosis([probe(), probe(ok=False, name="mail:110/pop3")]))["passed"]


def test_the_last_look_at_a_service_counts():
    assert judged(seen=diagnosis([probe(ok=False), probe(look="second")]))["passed"]


def test_what_failed_in_the_outage_is_well_or_was_not_tried():
    before = diagnosis([probe(ok=False), probe(ok=False, name="mail:993/imaps"), probe(name="mail:143/imap")])
    found = judged(before=before)
    assert {check["id"]: check["state"] for check in found["checks"] if check["kind"] == "repaired"} == {
        "mail:25/smtp": "passed", "mail:993/imaps": "not_tested"}


def test_the_digest_changes_with_what_was_seen():
    assert judged()["digest"] == judged()["digest"] != judged(host=observation(hold=1))["digest"]


def test_words_of_a_server_cannot_command_the_terminal():
    found = judged(legs=[leg(name="in\x1b[2Jbound", ok=False, outcome="tempfail", step="data", fault="server", answer="\x1b]0;title\x07 {{ 7*7 }}")])
    text = "\n".join(judge.lines(found))
    assert "\x1b" not in text and "\x07" not in text and "{{ 7*7 }}" in text


def test_failures_stand_first_on_the_terminal():
    lines = judge.lines(judged(host=observation(hold=2), missing=[{"id": "outbound", "because": "no mailbox outside"}]))
    assert lines[0].startswith("NOT VERIFIED") and "hold" in lines[1] and "outbound" in lines[2]
