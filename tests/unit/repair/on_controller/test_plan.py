"""A plan is what the remedies of a diagnosis would do, and nothing that nobody could see before."""
from __future__ import annotations

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import plan
from ansible_collections.mailops.outage.plugins.module_utils.report.plan import lines

KNOWN = {"restart_service", "rollback_config", "repair_mailbox"}


def words(text):
    return {"en": text, "nl": text}


def remedy(role="restart_service", class_="disruptive", options=None, options_from=None):
    return {"role": role, "class": class_, "options": options or {}, "options_from": options_from or {}, "summary": words("do it"), "undo": words("undo it")}


def cause(name="service.mta_stopped", host="mail", rank=1, confidence=0.9, root=True, remedies=None):
    return {"id": name, "host": host, "rank": rank, "confidence": confidence, "root": root, "title": words(name), "evidence": [], "never": None,
            "remedies": [remedy()] if remedies is None else remedies}


def diagnosis(*causes, hosts=("mail",), impact="refused"):
    return {"run_id": "r1", "causes": list(causes), "impact": {"class": impact, "contained": False},
            "estate": {"hosts": [{"name": name, "reachable": True} for name in hosts]}}


def command(text="systemctl start postfix@-.service", mark=None):
    return {"does": text, "because": "it does not run", "mark": mark}


def planned(found, told=None, views=None, confidence=0.7):
    steps = plan.candidates(found, views or {}, KNOWN)
    told = {step["id"]: {"steps": [command()], "refused": ""} for step in steps} if told is None else told
    return plan.finished(found, steps, {"mail": told}, confidence)


def test_the_remedies_of_the_root_causes_are_planned_in_their_order():
    made = planned(diagnosis(cause(remedies=[remedy(), remedy("rollback_config", "reversible")])))
    assert [(step["role"], step["blocked"]) for step in made["steps"]] == [("restart_service", ""), ("rollback_config", "")]
    assert plan.open_steps(made) == made["steps"]


@pytest.mark.parametrize("entry", [cause(root=False), cause(confidence=0.4), cause(host="")])
def test_a_consequence_a_hint_and_what_is_on_no_host_are_not_repaired(entry):
    assert planned(diagnosis(entry))["steps"] == []


@pytest.mark.parametrize("one", [remedy(class_="human"), remedy(role="human", class_="human"), remedy(role="renew_certificate")])
def test_what_is_for_people_is_in_the_plan_and_never_taken(one):
    made = planned(diagnosis(cause(remedies=[one])))
    assert "person" in made["steps"][0]["blocked"] and plan.open_steps(made) == []


def test_a_cause_that_is_not_sure_enough_is_shown_with_its_commands_and_not_acted_on():
    step = planned(diagnosis(cause(confidence=0.6)))["steps"][0]
    assert "not sure enough" in step["blocked"] and step["commands"]


def test_what_a_remedy_refuses_is_not_taken_and_says_why():
    assert planned(diagnosis(cause()), {"s1": {"steps": [], "refused": "the configuration is invalid"}})["steps"][0]["blocked"] == "the configuration is invalid"


def test_a_host_that_could_not_be_asked_is_not_touched():
    assert "rehearsed" in planned(diagnosis(cause()), {})["steps"][0]["blocked"]


def test_a_remedy_with_nothing_to_do_is_left_out_unless_no_other_is_left():
    two = diagnosis(cause(remedies=[remedy(), remedy("rollback_config")]))
    done = {"steps": [], "refused": ""}
    assert [step["id"] for step in planned(two, {"s1": done, "s2": {"steps": [command()], "refused": ""}})["steps"]] == ["s2"]
    left = planned(two, {"s1": done, "s2": done})["steps"]
    assert len(left) == 1 and "person" in left[0]["blocked"]


def test_disks_come_before_configuration_and_configuration_before_services():
    made = planned(diagnosis(cause(rank=1), cause("config.mta_invalid", rank=2), cause("storage.spool_permission", rank=3)))
    assert [step["cause"] for step in made["steps"]] == ["storage.spool_permission", "config.mta_invalid", "service.mta_stopped"]


def test_an_option_comes_from_what_the_host_told_and_without_it_a_person_must_act():
    asks = cause("storage.mailbox_corrupt", remedies=[remedy("repair_mailbox", options_from={"user": "keys(seen.index_panic.groups.user)[0]"})])
    view = {"seen": {"index_panic": {"groups": {"user": {"anna": 3}}}}}
    assert planned(diagnosis(asks), views={"mail": view})["steps"][0]["options"] == {"user": "anna"}
    assert "user" in planned(diagnosis(asks))["steps"][0]["blocked"]


def test_the_same_cause_on_most_hosts_at_once_stops_everything():
    ill = [cause(host=host) for host in ("a", "b")]
    assert "share" in plan.storm(diagnosis(*ill, hosts=("a", "b", "c")))
    assert plan.storm(diagnosis(*ill, hosts=("a", "b", "c", "d"))) == ""
    assert plan.storm(diagnosis(cause(host="a"), cause("service.imap_stopped", host="b"), hosts=("a", "b"))) == ""
    assert plan.storm(diagnosis(cause(host="a"), hosts=("a",))) == ""


def test_the_digest_is_that_of_what_would_be_done():
    one, same = planned(diagnosis(cause())), planned(dict(diagnosis(cause()), run_id="r2"))
    assert one["digest"] == same["digest"]
    for told in (command("systemctl restart postfix@-.service"), command(mark="0123")):
        assert planned(diagnosis(cause()), {"s1": {"steps": [told], "refused": ""}})["digest"] != one["digest"]


@pytest.mark.parametrize("impact, options", [("lost", {"soft_bounce": True}), ("silent", {"defer_transports": ["lmtp", "local"]})])
def test_what_is_lost_is_contained(impact, options):
    view = {"postfix": {"expanded": {"local_transport": "local:x", "virtual_transport": "lmtp:unix:private/dovecot-lmtp"}}}
    found = plan.containment(diagnosis(cause(), impact=impact), {"mail": view})
    assert [(item["host"], item["options"]) for item in found] == [("mail", options)]


def test_what_only_waits_and_what_is_contained_already_is_not_contained():
    view = {"mail": {"postfix": {"expanded": {"local_transport": "local"}}}}
    assert plan.containment(diagnosis(cause(), impact="queued"), view) == []
    contained = diagnosis(cause(), impact="lost")
    contained["impact"]["contained"] = True
    assert plan.containment(contained, view) == []


def test_the_plan_on_the_terminal_has_commands_and_reasons_and_no_escapes():
    made = planned(diagnosis(cause()), {"s1": {"steps": [command("postmap hash:/etc/\x1b[31mx")], "refused": ""}})
    shown = "\n".join(lines(made, "advise", "en", 90, 600, "/r/plan.json"))
    assert made["digest"][:12] in shown and "postmap hash:/etc/x" in shown and "\x1b" not in shown and "600 s" in shown


def test_the_mta_comes_after_what_it_asks():
    made = planned(diagnosis(cause(rank=1), cause("service.imap_stopped", rank=2)))
    assert [step["cause"] for step in made["steps"]] == ["service.imap_stopped", "service.mta_stopped"]
