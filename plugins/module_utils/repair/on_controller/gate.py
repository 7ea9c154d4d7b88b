"""Whether a step may be taken now: pure decisions over the plan, what became of its steps, and what the guards of the hosts tell."""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import verdict

OUTCOMES = "outcomes.json"
# After one of these a person must look before anything else is tried on the host.
_STOPS = ("lost", "not_put_back")
_OURS = ("repaired",)


def outcomes(run: Run) -> list:
    """What became of the steps so far: ``[{step, host, cause, role, outcome, because}]``."""
    try:
        return run.read(OUTCOMES)["outcomes"]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def remember(run: Run, step: dict, outcome: str, because: str) -> None:
    """Add what became of a step."""
    entry = {name: step[name] for name in ("host", "cause", "role")}
    run.write(OUTCOMES, {"outcomes": outcomes(run) + [dict(entry, step=step["id"], outcome=outcome, because=because)]})


def refusal(plan: dict, step: dict, known: list, states: dict, mode: str, freeze: bool, per_estate: int) -> str:
    """Why the step is not taken, or an empty text. ``states``: {host: what mail_guard told as its status} of all hosts that answered."""
    if mode == "advise":
        return "respond_mode is advise"
    if freeze:
        return "a change freeze is declared (remediate_freeze)"
    if plan["blocked"] or step["blocked"]:
        return plan["blocked"] or step["blocked"]
    for entry in known:
        if entry["outcome"] in _OURS and (entry["host"], entry["cause"]) == (step["host"], step["cause"]):
            return f"{step['cause']} is repaired already by {entry['step']}"
        if entry["outcome"] in _STOPS and entry["host"] == step["host"]:
            return f"{entry['step']} ended as {entry['outcome'].replace('_', ' ')}: a person must look at {step['host']} first"
    if step["host"] not in states:
        return f"the guard of {step['host']} did not answer"
    tries = 0
    for host, state in sorted(states.items()):
        lock = state.get("lock")
        if lock and lock["owner"] != plan["owner"] and lock["seconds_left"] > 0:
            return f"{lock['owner']} is repairing {host}; wait until it ends"
        for checkpoint in state.get("checkpoints") or []:
            return f"the repair {checkpoint['id']} of {checkpoint['owner']} on {host} is still open, and is rolled back at {checkpoint['rolls_back_at']}"
        tries += len(state.get("tries") or [])
    if states[step["host"]].get("human_at_work"):
        return f"a person is at work on {step['host']} ({states[step['host']]['human_at_work']})"
    if tries >= per_estate:
        return f"{tries} repairs were tried on these hosts in a day, and {per_estate} are allowed: a person must look"
    return ""


def evidence_refusal(plan: dict, step: dict, approved: str, before: dict) -> str:
    """Why the step is not taken after a fresh look, or an empty text. ``approved`` is the digest that somebody approved; empty in the mode auto."""
    if plan["mode"] == "approve" and approved != plan["digest"]:
        return "the approval is not for this plan"
    if (step["cause"], step["host"]) not in verdict.roots(before):
        return f"{step['cause']} does not hold on {step['host']} any more"
    return ""


def differs(shown: list, now: list) -> str:
    """Why what the remedy would do now is not what was shown; empty when it is."""
    planned, present = [command["does"] for command in shown], [command["does"] for command in now]
    if planned == present and [command.get("mark") for command in shown] == [command.get("mark") for command in now]:
        return ""
    if not present:
        return "there is nothing to do any more"
    return "the host was changed since the plan was made; make a new one"


def awaited(before: dict, host: str, cause: str, expected: set) -> list:
    """The probes that are to succeed after a repair, as targets: those of the host that worked, and those of the protocols that it is to serve.

    While another cause is open on the host, only those that worked: the rest may be waiting for that one.
    """
    if verdict.roots(before, host) - {(cause, host)}:
        expected = set()
    found = {}
    for probe in before["probes"]:
        if probe["host"] == host and probe.get("look") != "vantage" and (probe["ok"] or probe["protocol"] in expected):
            found[probe["id"]] = {key: probe[key] for key in ("name", "address", "port", "protocol") if probe.get(key)}
    return list(found.values())


def left_open(state: dict, is_gone) -> tuple:
    """What an interrupted run left on a host and this controller may take over: ``(checkpoints, lock owner or "")``. ``is_gone(owner)`` as in owner.py."""
    lock = state.get("lock")
    return [item for item in state.get("checkpoints") or [] if is_gone(item["owner"])], lock["owner"] if lock and is_gone(lock["owner"]) else ""
