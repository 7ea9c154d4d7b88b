"""Whether a step may be taken now: pure decisions over the plan, what became of its steps, and what the guards of the hosts tell."""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import journal, plan, proof

# After one of these a person must look before anything else is tried on the host.
_STOPS = ("lost", "not_put_back")


def refusal(made: dict, step: dict, known: list, states: dict, mode: str, freeze: bool, per_estate: int) -> str:
    """Why the step is not taken, or an empty text.

    ``known``: the entries of the journal. ``states``: {host: what mail_guard told as its status} of all hosts that answered.
    """
    if mode == "advise":
        return "respond_mode is advise"
    if freeze:
        return "a change freeze is declared (remediate_freeze)"
    if made["blocked"] or step["blocked"]:
        return made["blocked"] or step["blocked"]
    if any(entry["event"] == journal.STOPPED for entry in known):
        return "a person stopped the repair"
    for entry in journal.outcomes(known):
        if entry["outcome"] == "repaired" and (entry["host"], entry["cause"]) == (step["host"], step["cause"]):
            return f"{step['cause']} is repaired already by {entry['step']}"
        if entry["outcome"] in _STOPS and entry["host"] == step["host"]:
            return f"{entry['step']} ended as {entry['outcome'].replace('_', ' ')}: a person must look at {step['host']} first"
    if step["host"] not in states:
        return f"the guard of {step['host']} did not answer"
    tries = 0
    for host, state in sorted(states.items()):
        lock = state.get("lock")
        if lock and lock["owner"] != made["owner"] and lock["seconds_left"] > 0:
            return f"{lock['owner']} is repairing {host}; wait until it ends"
        for checkpoint in state.get("checkpoints") or []:
            because = f"is still open, and is rolled back at {checkpoint['rolls_back_at']}" if checkpoint.get("state", "open") == "open" else \
                f"was not put back: a person must look, and say so (mail_guard, action=acknowledge step={checkpoint['id']})"
            return f"the repair {checkpoint['id']} of {checkpoint['owner']} on {host} {because}"
        tries += len(state.get("tries") or [])
    if states[step["host"]].get("human_at_work"):
        return f"a person is at work on {step['host']} ({states[step['host']]['human_at_work']})"
    if tries >= per_estate:
        return f"{tries} repairs were tried on these hosts in a day, and {per_estate} are allowed: a person must look"
    return ""


def evidence_refusal(made: dict, step: dict, approved: str, before: proof.Seen, now: float, hours: float) -> str:
    """Why the step is not taken after a fresh look, or an empty text.

    ``approved``: the approval that was given, as the plan shows it; empty in the mode auto. ``now``: epoch seconds; ``hours``: how long an approval holds.
    """
    if made["mode"] == "approve":
        because = plan.approval_refusal(made, approved, now, hours)
        if because:
            return because
    if (step["cause"], step["host"]) not in proof.roots(before.diagnosis):
        return f"{step['cause']} does not hold on {step['host']} any more"
    if made["mode"] == "auto" and not before.failed:
        return "nothing that was tried fails, so that no repair could be proved: a person must decide"
    return ""


def differs(shown: list, now: list) -> str:
    """Why what the remedy would do now is not what was shown; empty when it is."""
    planned, present = ([(command["does"], command.get("mark")) for command in commands] for commands in (shown, now))
    if planned == present:
        return ""
    return "the host was changed since the plan was made; make a new one" if present else "there is nothing to do any more"


def left_open(state: dict, is_gone) -> tuple:
    """What an interrupted run left on a host and this controller may take over: ``(checkpoints, lock owner or "")``. ``is_gone(owner)`` as in owner.py."""
    lock = state.get("lock")
    left = [item for item in state.get("checkpoints") or [] if item.get("state", "open") == "open" and is_gone(item["owner"])]
    return left, lock["owner"] if lock and is_gone(lock["owner"]) else ""
