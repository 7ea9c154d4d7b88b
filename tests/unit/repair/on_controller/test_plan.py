"""A plan is what the remedies of a diagnosis would do, and nothing that nobody could see before."""
from __future__ import annotations

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import plan
from ansible_collections.mailops.outage.plugins.module_utils.report.plan import lines

KNOWN = {"restart_service", "rollback_config", "repair_mailbox"}


def words(text):
    return {"en": text, "nl": text}


def remedy(role="restart_service", class_="disruptive", options=None, missing=""):
    return {"role": role, "class": class_, "options": options or {}, "missing": missing, "summary": words("do it"), "undo": words("undo it")}


def cause(name="service.mta_stopped", host="mail", rank=1, confidence=0.9, root=True, remedies=None, by_facts=None):
    return {"id": name, "host": host, "rank": rank, "confidence": confidence, "root": root,
            "root_by_facts": root if by_facts is None else by_facts, "title": words(name), "evidence": [], "never": None,
            "remedies": [remedy()] if remedies is None else remedies}


def diagnosis(*causes, hosts=("mail",)):
    return {"run_id": "r1", "causes": list(causes), "containment": [],
            "estate": {"hosts": [{"name": name, "reachable": True} for name in hosts]}}


def command(text="systemctl start postfix@-.service", mark=None):
    return {"does": text, "because": "it does not run", "mark": mark}


def heard(*steps, refused=""):
    return {"steps": list(steps), "refused": refused, "diffs": [], "options": {}}


def planned(found, *told, confidence=0.7):
    """The plan, when the remedies in their order tell this; without any each does one thing."""
    steps = plan.candidates(found, KNOWN)
    told = told or [heard(command()) for _step in steps]
    return plan.finished(found, steps, {"mail": {step["id"]: entry for step, entry in zip(steps, told) if entry}}, confidence)


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


def test_what_only_the_log_says_is_shown_and_left_to_people():
    for one in (cause(by_facts=False), cause(root=False, by_facts=False)):
        made = planned(diagnosis(one))
        assert plan.open_steps(made) == [] and ("log" in made["steps"][0]["blocked"] if one["root"] else made["steps"] == [])


def test_what_a_forged_line_would_explain_away_is_repaired_all_the_same():
    assert plan.open_steps(planned(diagnosis(cause(root=False, by_facts=True))))


def test_what_a_remedy_refuses_is_not_taken_and_says_why():
    assert planned(diagnosis(cause()), heard(refused="the configuration is invalid"))["steps"][0]["blocked"] == "the configuration is invalid"


def test_a_host_that_could_not_be_asked_is_not_touched():
    assert "rehearsed" in planned(diagnosis(cause()), None)["steps"][0]["blocked"]


def test_a_remedy_with_nothing_to_do_is_left_out_unless_no_other_is_left():
    two = diagnosis(cause(remedies=[remedy(), remedy("rollback_config")]))
    assert [step["role"] for step in planned(two, heard(), heard(command()))["steps"]] == ["rollback_config"]
    left = planned(two, heard(), heard())["steps"]
    assert len(left) == 1 and "person" in left[0]["blocked"]


def test_disks_come_before_configuration_and_configuration_before_services():
    made = planned(diagnosis(cause(rank=1), cause("config.mta_invalid", rank=2), cause("storage.spool_permission", rank=3)))
    assert [step["cause"] for step in made["steps"]] == ["storage.spool_permission", "config.mta_invalid", "service.mta_stopped"]


def test_without_an_option_that_the_host_did_not_tell_a_person_must_act():
    asks = cause("storage.mailbox_corrupt", remedies=[remedy("repair_mailbox", missing="user")])
    assert "user" in planned(diagnosis(asks))["steps"][0]["blocked"]


def test_a_step_is_known_by_what_it_means():
    one, other = (planned(diagnosis(cause(host="mail", remedies=[remedy(options=options)])))["steps"][0]["id"] for options in ({"roles": ["mta"]}, {"roles": ["imap"]}))
    assert one != other and one == plan.identity("mail", "service.mta_stopped", "restart_service", {"roles": ["mta"]})


def halves(told):
    parts = [remedy("rollback_config", options={"software": name, "settings": [name]}) for name in ("dovecot", "postfix")]
    steps = plan.candidates(diagnosis(cause("service.lmtp_down", remedies=parts + [remedy()])), KNOWN)
    joined = plan.together(steps, {step["id"]: entry for step, entry in zip(steps, told)})
    return joined, plan.with_joined(steps, joined)


def test_what_was_changed_in_two_products_at_once_is_taken_back_in_one_step():
    joined, steps = halves([heard(command()), heard(command())])
    assert joined[0]["options"] == {"software": ["dovecot", "postfix"], "settings": ["dovecot", "postfix"], "files": []}
    assert [step["role"] for step in steps] == ["rollback_config", "restart_service"]


def test_what_was_changed_in_one_product_is_taken_back_there_alone():
    joined, steps = halves([heard(command()), heard()])
    assert joined == [] and len(steps) == 3


def test_the_same_cause_on_most_hosts_at_once_stops_everything():
    ill = [cause(host=host) for host in ("a", "b")]
    assert "share" in plan.storm(diagnosis(*ill, hosts=("a", "b", "c")))
    assert plan.storm(diagnosis(*ill, hosts=("a", "b", "c", "d"))) == ""
    assert plan.storm(diagnosis(cause(host="a"), cause("service.imap_stopped", host="b"), hosts=("a", "b"))) == ""
    assert plan.storm(diagnosis(cause(host="a"), hosts=("a",))) == ""


def test_the_digest_is_that_of_what_would_be_done_containment_included():
    one, same = planned(diagnosis(cause())), planned(dict(diagnosis(cause()), run_id="r2"))
    assert one["digest"] == same["digest"]
    for told in (command("systemctl restart postfix@-.service"), command(mark="0123")):
        assert planned(diagnosis(cause()), heard(told))["digest"] != one["digest"]
    contained = dict(diagnosis(cause()), containment=[{"host": "mail", "options": {"soft_bounce": True}, "because": "x"}])
    assert planned(contained)["digest"] != one["digest"]


def shown(made, mode="advise"):
    return "\n".join(lines(dict(made, approval=plan.approval(made, 0)), mode, "en", 600, "/r/plan.json"))


def test_the_plan_on_the_terminal_has_commands_reasons_and_the_approval_and_no_escapes():
    made = planned(dict(diagnosis(cause()), containment=[{"host": "mail", "options": {"soft_bounce": True}, "because": "mail is lost"}]),
                   heard(command("postmap hash:/etc/\x1b[31mx")))
    text = shown(made)
    assert "postmap hash:/etc/x" in text and "\x1b" not in text and "600 s" in text and "soft_bounce" in text
    assert f"remediate_approved={made['digest']}@19700101T000000Z" in text and "remediate_approved" not in shown(made, "auto")


def test_the_mta_comes_after_what_it_asks():
    made = planned(diagnosis(cause(rank=1), cause("service.imap_stopped", rank=2)))
    assert [step["cause"] for step in made["steps"]] == ["service.imap_stopped", "service.mta_stopped"]
