"""The phases of a step against a host that is played: every way in which it can end, and what is on record then."""
from __future__ import annotations

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import journal, plan, proof, step
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller.proof import Look, Seen

SMTP, CANARY = Look("port", "mail", "mail:25/smtp"), Look("message", "", "inbound")
COMMAND = {"does": "systemctl start postfix@-.service", "because": "x", "mark": None, "path": None}
LIMITS = {"approval_hours": 4, "rollback_after": 600, "settle": 10, "per_hour": 1, "per_day": 3}
NOW = 1795485067.0
GONE = {"failed": True, "unreachable": True, "msg": "no route to host"}
BEGUN = {"granted": True, "checkpoint": "c1", "rolls_back_at": "later", "storage": "/var/lib/mailops"}


def seen(*causes, smtp=False):
    found = {"causes": [{"id": name, "host": "mail", "root": True, "root_by_facts": True, "confidence": 0.9} for name in causes],
             "estate": {"hosts": [{"name": "mail", "reachable": True}]}, "verdict": "outage"}
    return Seen(found, {SMTP: smtp, CANARY: smtp}, {})


DOWN, WELL = seen("service.mta_stopped"), seen(smtp=True)


class Host:
    """Answers as its modules would, and remembers what it was asked. ``told``: {(module, action or "check" or "take"): answer}."""

    def __init__(self, **told):
        self.told = {"rehearse": {"steps": [COMMAND]}, "begin": BEGUN, "take": {"steps": [dict(COMMAND, taken=True, rc=0)]}, "start": {"steps": []},
                     "confirm": {"granted": True, "state": "confirmed"}, "roll_back": {"granted": True, "state": "rolled_back", "restored": ["/etc/x"]},
                     "release": {"granted": True}, **told}
        self.asked = []

    def __call__(self, module, check=False, **args):
        name = args["action"] if module == "mail_guard" else "rehearse" if check else "start" if args["remedy"] == "restart_service" and \
            args["options"].get("roles") and len(args["options"]["roles"]) > 1 else "take"
        self.asked.append((name, args))
        return self.told[name]

    @property
    def names(self):
        return [name for name, _args in self.asked]


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture(name="run")
def _run(tmp_path):
    run = Run.open(str(tmp_path), "r1")
    one = {"id": "abc", "host": "mail", "cause": "service.mta_stopped", "role": "rebuild_maps", "options": {}, "blocked": "", "class": "reversible",
           "commands": [COMMAND], "diffs": []}
    made = {"steps": [one], "containment": [], "blocked": "", "mode": "auto", "owner": "ops@here"}
    run.write("plan.json", dict(made, digest=plan.digest(made)))
    return run


@pytest.fixture(name="take")
def _take(run):
    """``take(host, again=…)``: the change, with what is tried again answering so; returns how it ended."""
    def take(host, before=DOWN, again=None, approved="", **limits):
        clock = Clock()
        one = step.Step(run, "abc", host, lambda text: None, clock, clock.sleep)
        return dict(one.change(before, again or (lambda looks: set(looks)), approved, NOW, dict(LIMITS, **limits)), waited=clock.now)
    return take


def ended(run, host, after=WELL, before=DOWN, problem=""):
    return step.Step(run, "abc", host, lambda text: None).end(before, after, problem)


def recorded(run):
    return [entry["event"] for entry in journal.entries(run.dir)]


def test_the_change_is_on_record_before_it_is_made_and_the_guard_is_told_the_last_digest(run, take):
    host = Host()
    assert take(host)["outcome"] == "changed"
    assert host.names == ["rehearse", "begin", "take", "start"] and recorded(run) == ["begun", "change", "changed", "waited"]
    began = dict(host.asked)["begin"]
    assert [args["checkpoint"] for name, args in host.asked if name in ("take", "start")] == ["c1", "c1"]
    assert began["step"] == "abc" and began["rollback_after"] >= 610 and began["lock_seconds"] > began["rollback_after"]
    ended(run, host)
    assert host.asked[-1][1]["journal"] == journal.entries(run.dir)[-2]["digest"]


@pytest.mark.parametrize("word, told, more", [
    ("any more", {}, {"before": WELL}),
    ("a new one", {"rehearse": {"steps": [dict(COMMAND, does="systemctl restart x")]}}, {}),
    ("nothing to do", {"rehearse": {"steps": []}}, {}),
    ("invalid", {"rehearse": {"failed": True, "refused": "it would be invalid", "steps": []}}, {}),
    ("no route", {"rehearse": GONE}, {}),
    ("budget", {"begin": {"granted": False, "because": "the budget is spent"}}, {}),
    ("no route", {"begin": GONE}, {}),
])
def test_what_is_refused_changes_nothing(run, take, word, told, more):
    host = Host(**told)
    found = take(host, **more)
    assert found["outcome"] == "refused" and word in found["because"] and "take" not in host.names
    assert journal.outcomes(journal.entries(run.dir))[-1]["outcome"] == "refused"


def test_a_plan_that_wants_an_approval_is_not_taken_without_one(run, take):
    made = run.read("plan.json")
    run.write("plan.json", dict(made, mode="approve"))
    assert take(Host())["outcome"] == "refused"
    assert take(Host(), approved=plan.approval(made, NOW - 60))["outcome"] == "changed"
    assert take(Host(), approved=plan.approval(made, NOW - 3600), approval_hours=0.5)["outcome"] == "refused"


def test_a_host_that_is_gone_after_the_change_is_left_to_its_own_timer(run, take):
    host = Host(take=GONE)
    assert take(host)["outcome"] == "lost" and "roll_back" not in host.names


@pytest.mark.parametrize("answer, outcome", [
    ({"granted": True, "state": "rolled_back"}, "rolled_back"), (GONE, "lost"), ({"granted": False, "state": "rolled_back"}, "rolled_back"),
    ({"granted": True, "state": "not_put_back", "left": [{"path": "/etc/x", "because": "No space left on device"}]}, "not_put_back"),
    ({"granted": False, "because": "its manifest cannot be read"}, "not_put_back"),
])
def test_a_remedy_that_fails_is_put_back_at_once_and_the_host_says_what_became_of_it(run, take, answer, outcome):
    host = Host(take={"failed": True, "msg": "stopped half-way", "steps": [dict(COMMAND, taken=True, rc=1)]}, roll_back=answer)
    found = take(host)
    assert found["outcome"] == outcome and "half-way" in found["because"] and "start" not in host.names
    assert outcome != "not_put_back" or "/etc/x" in found["because"] or "cannot be read" in found["because"]


def test_it_is_waited_until_what_failed_works_and_messages_are_sent_last(take):
    tries = []

    def again(looks):
        tries.append(list(looks))
        return set(looks) if len(tries) > 3 else set()
    found = take(Host(), again=again)
    assert tries[:4] == [[SMTP]] * 4 and tries[4] == [CANARY] and found["because"] == "waited 6 s"


def test_it_is_waited_no_longer_than_what_runs_there_needs(take):
    found = take(Host(), again=lambda looks: set(), settle=33)
    assert 33 <= found["waited"] < 36 and "mail mail:25/smtp" in found["because"].partition("still failing: ")[2]


@pytest.mark.parametrize("after, answer, outcome", [
    (WELL, {"granted": True, "state": "confirmed"}, "repaired"),
    (WELL, {"granted": False, "state": "rolled_back"}, "rolled_back"),
    (WELL, {"granted": False, "state": "confirmed"}, "repaired"),
    (WELL, GONE, "lost"),
    (DOWN, {"granted": True, "state": "rolled_back"}, "rolled_back"),
    (DOWN, {"granted": True, "state": "not_put_back", "left": [{"path": "/etc/x", "because": "a person changed it"}]}, "not_put_back"),
    (None, {"granted": True, "state": "rolled_back"}, "rolled_back"),
])
def test_the_end_is_what_the_hosts_own_checkpoint_says(run, after, answer, outcome):
    host = Host(confirm=answer, roll_back=answer)
    found = ended(run, host, after)
    assert found["outcome"] == outcome and host.names == ["confirm" if after is WELL else "roll_back"]
    assert recorded(run) == ["judged", outcome]


def status(*checkpoints, lock=None):
    return {"granted": True, "checkpoints": list(checkpoints), "lock": lock}


def open_one(owner="dead"):
    return {"id": "c1", "step": "abc", "cause": "service.mta_stopped", "remedy": "rebuild_maps", "owner": owner, "state": "open"}


@pytest.mark.parametrize("look, action, outcome", [(WELL, "confirm", "repaired"), (DOWN, "roll_back", "rolled_back")])
def test_an_interrupted_step_is_ended_by_what_was_tried(run, monkeypatch, look, action, outcome):
    monkeypatch.setattr(proof.Seen, "of", classmethod(lambda cls, folder: look))
    host = Host()
    found = step.resume(run, "mail", status(open_one(), lock={"owner": "dead"}), lambda owner: owner == "dead", host, lambda text: None)
    assert found == [outcome] and host.names == [action, "release"] and recorded(run) == ["resumed", outcome]


def test_what_others_hold_is_left_alone(run):
    host = Host()
    assert step.resume(run, "mail", status(open_one("eve"), lock={"owner": "eve"}), lambda owner: False, host, lambda text: None) == [] and host.asked == []
    assert step.resume(run, "mail", {}, lambda owner: True, host, lambda text: None) == []


def test_the_gate_reads_the_guards_answers_in_the_runs_folder(run):
    one = step.Step(run, "abc", Host(), lambda text: None)
    assert "did not answer" in one.gate("auto", False, 4)
    run.write_of_host(step.GUARDS, {"host": "mail", "status": status()})
    assert one.gate("auto", False, 4) == "" and recorded(run) == ["not_begun"]
    assert "freeze" in one.gate("auto", True, 4) and one.gate("advise", False, 4) and recorded(run) == ["not_begun"] * 2


def test_a_journal_that_was_tampered_with_stops_everything(run):
    one = step.Step(run, "abc", Host(), lambda text: None)
    one.gate("auto", False, 4)
    with open(run.path(journal.FILE), "a", encoding="utf-8") as stream:
        stream.write('{"event": "repaired"}\n')
    for act in (lambda: one.gate("auto", False, 4), lambda: one.note("x")):
        with pytest.raises(journal.Damaged):
            act()


@pytest.mark.parametrize("answer, event", [({"changed": True}, "flushed"), ({"changed": False}, "not_flushed"), (GONE, "not_flushed")])
def test_a_flush_is_on_record_and_its_refusal_is_no_failure(run, answer, event):
    assert bool(step.flush(run, "mail", Host(take=answer), lambda text: None)) == (event == "not_flushed") and recorded(run) == ["flush", event]


def test_a_step_that_is_not_in_the_plan_is_said_so(run):
    with pytest.raises(step.NoStep, match="nosuch"):
        step.Step(run, "nosuch", Host(), lambda text: None)
