"""What a verification says of a diagnosis, of canaries and of the hosts' queues."""
from __future__ import annotations

import string

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.verification import judge


def leg(**more):
    return {"name": "inbound", "ok": True, "outcome": "ok", "step": None, "fault": None, "answer": "", "queue_id": "4ABC", "arrival_seconds": 0.2,
            "folder": "INBOX", **more}


def probe(ok=True, look="first", name="mail:25/smtp"):
    return {"id": name, "host": "mail", "protocol": name.rpartition("/")[2], "ok": ok, "look": look,
            "step": None if ok else "connect", "outcome": "ok" if ok else "refused", "answer": ""}


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


DNS = {"problems": [], "domains": {"x.test": {"mx": [{"host": "mail.x.test"}], "spf": {"valid": True}, "dkim": [], "dmarc": {"valid": None}}}}


def judged(*, legs=None, missing=(), before=None, seen=None, host=None, settled=(), estate=None, language="en"):
    return judge.judge(judge.Seen(
        diagnosis=seen or diagnosis(), observations=[host or observation()], legs=[leg()] if legs is None else legs, missing=list(missing),
        expected={"mail": ["smtp", "imap", "imaps"]}, settled=list(settled), estate={"dns": DNS} if estate is None else estate, before=before), language)


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


LOST = leg(ok=False, outcome="not_arrived", step="arrival", fault="delivery")


def test_mail_that_did_not_arrive_is_looked_up_on_the_hosts_by_its_queue_id():
    line = "mail postfix/lmtp[1]: 4ABC: to=<a@x.test>, status=deferred (connect to store: Connection refused)"
    again = {"host": "store", "facts": {"events": {"matches": {judge.signature_of("4ABC"): {"samples": [{"text": "old"}, {"text": line}]}}}}}
    text = judged(legs=[LOST], settled=[observation(), again])["checks"][0]["text"]
    assert "4ABC is on store" in text and "Connection refused" in text


def test_mail_that_no_host_knows_says_so():
    assert "No host" in judged(legs=[LOST], settled=[observation()])["checks"][0]["text"]


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
        "mail:25/smtp": "passed", "mail:993/imaps": "not_tested", "mail:143/imap": "not_tested"}


def test_the_digest_changes_with_what_was_seen():
    assert judged()["digest"] == judged()["digest"] != judged(host=observation(hold=1))["digest"]


def test_the_digest_is_the_same_when_it_is_made_of_what_was_kept(tmp_path):
    run = Run.open(str(tmp_path), "r1")
    for found in (judged(), judged(host=observation(hold=2), language="nl"), judged(legs=[leg(folder="Gelöscht \u200f", arrival_seconds=0.1 + 0.2)])):
        run.write("verification.json", found)
        assert judge.digest(run.read("verification.json")) == found["digest"]


def test_words_of_a_server_cannot_command_the_terminal():
    found = judged(legs=[leg(name="in\x1b[2Jbound", ok=False, outcome="tempfail", step="data", fault="server", answer="\x1b]0;title\x07 {{ 7*7 }}")])
    text = "\n".join(judge.lines(found))
    assert "\x1b" not in text and "\x07" not in text and "{{ 7*7 }}" in text


def test_failures_stand_first_on_the_terminal():
    lines = judge.lines(judged(host=observation(hold=2), missing=[{"id": "outbound", "because": "no mailbox outside"}]))
    assert lines[0].startswith("NOT VERIFIED") and "hold" in lines[1] and "outbound" in lines[2]


def looked_again(seconds=60, ok=True, **more):
    item = observation(**more)
    item["facts"]["system"] = {"now_epoch": 1000.0 + seconds}
    item["probes"] = [probe(ok=ok)]
    return item


def counted(total, deferred, usual=0):
    item = observation(deferred=deferred, usual=usual)
    item["facts"]["system"] = {"now_epoch": 1000.0}
    item["facts"]["queue"]["counts"]["total"] = total
    return item


def test_a_backlog_that_drains_passes_and_says_for_how_long():
    again = looked_again(deferred=60)
    again["facts"]["queue"]["counts"]["total"] = 60
    found = judged(host=counted(90, 90), settled=[again])
    assert found["passed"] and "30.0 a minute" in next(check["text"] for check in found["checks"] if check["id"] == "deferred")
    assert found["queues"][0]["empty_in_seconds"] == 120


def test_a_backlog_that_does_not_drain_fails():
    again = looked_again(deferred=90)
    again["facts"]["queue"]["counts"]["total"] = 90
    assert failed(judged(host=counted(90, 90), settled=[again])) == ["deferred"]


def test_a_service_that_stops_answering_after_the_messages_fails():
    found = judged(settled=[looked_again(ok=False)])
    assert failed(found) == ["mail:25/smtp"] and "no longer" in next(check["text"] for check in found["checks"] if check["kind"] == "service")


def test_a_state_that_is_set_while_the_messages_are_sent_is_seen():
    assert failed(judged(settled=[looked_again(soft_bounce="yes")])) == ["soft_bounce"]


@pytest.mark.parametrize("setting, value", [("queue_only", "true"), ("hold_domains", "*"), ("queue_domains", "x.test")])
def test_a_temporary_state_of_exim_fails(setting, value):
    host = {"host": "mail", "facts": {"exim": {"settings": {"primary_hostname": "mail", setting: value}}, "queue": {"counts": {"deferred": 0, "hold": 0}}}}
    assert failed(judged(host=host)) == [setting]


def served(name="mail.x.test", protocol="imaps", days=80.0, **tls):
    certificate = {"days_left": days, "names": ["mail.x.test"], "subject": "CN=mail", "not_before": "2026-01-01", "not_after": "2027-01-01", "not_before_epoch": 10.0}
    return dict(probe(name=f"{name}:993/{protocol}"), name=name, tls={"certificate": certificate, "verified": True, "verify_error": "", "name_matches": True, **tls})


def test_a_certificate_that_is_trusted_passes_with_its_days():
    found = judged(seen=diagnosis([probe(), served()]))
    assert found["passed"] and "80 days" in next(check["text"] for check in found["checks"] if check["kind"] == "certificate")


@pytest.mark.parametrize("one, fails", [
    (served(days=-0.5), True),
    (served(verified=False, verify_error="unable to get local issuer certificate"), True),
    (served(verified=False, verify_error="not valid for mail.x.test", name_matches=False), True),
    (served(name="192.0.2.1", verified=False, verify_error="not valid for 192.0.2.1", name_matches=False), False),
    (served(protocol="smtp", verified=False, verify_error="self-signed certificate"), False),
])
def test_a_certificate_fails_where_mail_programs_would_refuse_it(one, fails):
    found = judged(seen=diagnosis([probe(), one]))
    assert bool([check for check in found["checks"] if check["kind"] == "certificate" and check["state"] == "failed"]) is fails


def test_a_certificate_that_is_not_valid_yet_fails():
    assert failed(judged(seen=diagnosis([probe(), served()]), estate={"dns": DNS, "now": 5.0})) == ["mail.x.test:993/imaps"]


def test_a_broken_record_fails_and_says_how_to_look_it_up():
    problem = {"id": "mx_missing", "severity": "error", "subject": "x.test", "text": "no MX", "source": "dig MX x.test", "follows": ""}
    found = judged(estate={"dns": dict(DNS, problems=[problem])})
    assert failed(found) == ["mx_missing"] and "dig MX x.test" in next(check["text"] for check in found["checks"] if check["kind"] == "dns")


def test_a_warning_of_dns_is_no_failure():
    problem = {"id": "ptr_missing", "severity": "warning", "subject": "192.0.2.1", "text": "x", "source": "dig", "follows": ""}
    assert judged(estate={"dns": dict(DNS, problems=[problem])})["passed"]


def test_dns_that_was_not_looked_at_is_not_tested():
    assert [check["state"] for check in judged(estate={})["checks"] if check["kind"] == "dns"] == ["not_tested"]


def about(user="anna@x.test", accepted=True):
    asked = dict(probe(look="second"), envelope=[{"kind": "recipient", "recipient": user, "accepted": accepted, "answer": "550 5.1.1 unknown"}])
    return {"dns": DNS, "reported": {"user": user}, "probes": [asked]}


def test_a_reported_user_without_a_probe_account_is_not_called_well():
    found = judged(estate=about())
    assert [(check["id"], check["state"]) for check in found["checks"] if check["kind"] == "reported"] == [("anna@x.test", "not_tested")]


def test_a_reported_user_whose_mail_is_refused_fails():
    assert failed(judged(estate=about(accepted=False))) == ["anna@x.test"]


def test_a_reported_user_with_a_probe_account_is_told_by_the_journeys():
    found = judged(legs=[leg(recipient="anna@x.test")], estate=about())
    assert [check for check in found["checks"] if check["kind"] == "reported"] == []


def test_every_phrase_is_there_in_both_languages_with_the_same_values():
    for name, phrase in {**judge.words.WORDS, **judge.words.KINDS}.items():
        assert sorted(phrase) == ["en", "nl"], name
        fields = [sorted(field for _text, field, _spec, _conversion in string.Formatter().parse(text) if field) for text in phrase.values()]
        assert fields[0] == fields[1], name


def test_a_verification_in_dutch_is_in_dutch():
    shown = "\n".join(judge.lines(judged(host=observation(hold=2), language="nl")))
    assert "NIET GEVERIFIEERD" in shown and "vastgehouden" in shown and "held" not in shown
