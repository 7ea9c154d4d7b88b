"""How a disturbed repair ended: one of four ends that are as they must be, or a failure."""
from __future__ import annotations

REPAIRED, ROLLED_BACK, AS_IT_WAS, NOT_PUT_BACK, FAILURE = "repaired", "rolled back", "as it was", "not put back", "FAILURE"
ENDS = (REPAIRED, ROLLED_BACK, AS_IT_WAS, NOT_PUT_BACK, FAILURE)


def without_running(state):
    """A state without what a reboot decides anew: which units run."""
    return {place: value for place, value in state.items() if place[1] != "running"}


def halves(before, broken, after):
    """What is neither as it was before the fault nor as the fault left it: sentences."""
    return [f"{host}: {kind} {name} is neither as before the fault nor as after it: {after.get((host, kind, name), 'gone')}"
            for host, kind, name in sorted({**before, **broken, **after}) if kind not in ("running", "store")
            and after.get((host, kind, name)) not in (before.get((host, kind, name)), broken.get((host, kind, name)))]


def says_not_put_back(status):
    """Whether the guard of a host says that a repair could not be undone."""
    return bool(status.get("not_put_back")) or any(item.get("state") == "not_put_back" for item in status.get("checkpoints", []))


def classify(before, broken, after, rebooted, works, checkpoints, statuses, problems):
    """``(end, sentences)``.

    States are ``{(host, kind, name): text}``; ``works`` says when asked whether mail works; ``checkpoints`` is how many there are on the hosts,
    ``statuses`` what their guards say, ``problems`` what is wrong whatever the end is.
    """
    if any(says_not_put_back(status) for status in statuses):
        # It says of itself that it is in between.
        return (FAILURE, problems) if problems else (NOT_PUT_BACK, [])
    problems = problems + halves(before, broken, after)
    problems += [f"the checkpoint {item['id']} is still open" for status in statuses for item in status.get("checkpoints", []) if item.get("state", "open") == "open"]
    if problems:
        return FAILURE, problems
    same = without_running(after) == without_running(broken) if rebooted else after == broken
    put_back = ROLLED_BACK if checkpoints else AS_IT_WAS
    # A fault that a state does not show, such as a process that hangs, is gone when mail works.
    if same and without_running(broken) != without_running(before):
        return put_back, []
    if same and not rebooted and broken != before:
        return put_back, []
    if works():
        return REPAIRED, []
    if same:
        return put_back, []
    return FAILURE, ["mail does not work, and the host is not as the fault left it: "
                     + ", ".join(f"{place} is {after.get(place)}, was {broken.get(place)}" for place in sorted({**after, **broken}) if after.get(place) != broken.get(place))[:600]]
