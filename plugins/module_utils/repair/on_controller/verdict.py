"""Whether a repair helped: the look before it against the look after it, and the messages that were sent. Pure functions."""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis.diagnose import SURE_ENOUGH

# A repair after which one of these holds that did not hold before did harm, whatever else works.
_HARM = ("config.open_relay", "config.restriction_rejects_all", "config.relay_denied", "config.mailbox_location", "storage.mount_missing",
         "policy.content_rule_overbroad")

# Mail that waited meanwhile is on its way when the cause is gone; the queue is flushed once, at the end.
_DRAINS = ("queue.backlog",)


def roots(diagnosis: dict, host: str | None = None) -> set:
    """{(cause, host)} that are called the root and are sure enough."""
    return {(cause["id"], cause["host"]) for cause in diagnosis["causes"]
            if cause["root"] and cause["confidence"] >= SURE_ENOUGH and not cause["id"].startswith("none.") and host in (None, cause["host"])}


def is_well(diagnosis: dict, host: str) -> bool:
    """Whether nothing is wrong with one host, whatever is with others. Mail that waits is on its way; what fails without a known cause may be this host's."""
    known = roots(diagnosis)
    return not {cause for cause, where in known if where == host and cause not in _DRAINS} and (diagnosis["verdict"] == "healthy" or bool(known))


def probes(diagnosis: dict) -> dict:
    """{(host, probe): well} by the last look from the controller."""
    return {(probe["host"], probe["id"]): probe["ok"] for probe in diagnosis["probes"] if probe.get("look") != "vantage"}


def judge(step: dict, before: dict, after: dict, legs: list, expected: dict, contained: bool = False) -> tuple:
    """``(helped, sentence)``. ``expected``: {host: protocols that it is to serve}. ``contained``: temporary settings of our own are in force, and are no cause.

    It helped when its cause is gone, no probe that was well fails now, no harm was done, and what failed works: each probe that failed and is to serve, and
    each message. What another cause, found beside it, still keeps from working is left to that cause's own repair.
    """
    place = (step["cause"], step["host"])
    then, now = probes(before), probes(after)
    # Not tried any more is not well: a repair must not pass by hiding what it broke.
    worse = sorted(name for name, well in then.items() if well and not now.get(name, False))
    if worse:
        return False, "what worked before fails now: " + ", ".join(f"{host} {name}" for host, name in worse[:4])
    unreachable = sorted(host["name"] for host in after["estate"]["hosts"] if not host["reachable"] and host["name"] == step["host"])
    if unreachable:
        return False, f"{unreachable[0]} cannot be reached any more"
    passing = {(cause, host) for cause, host in roots(after) | roots(before)
               if cause in _DRAINS or (contained and (cause, host) == ("config.deferred_by_setting", step["host"]))} - {place}
    left, found = roots(after) - passing, roots(before) - passing
    harm = sorted(cause for cause, host in left - found if cause in _HARM)
    if harm:
        return False, "after it there is " + ", ".join(harm)
    if place in left:
        return False, f"{step['cause']} still holds on {step['host']}"
    others = left & found
    if others:
        return True, "its cause is gone; still to be repaired: " + ", ".join(sorted(cause for cause, _host in others))
    failing = sorted({(probe["host"], probe["id"]) for probe in after["probes"] if probe["protocol"] in expected.get(probe["host"], ())}
                     & {name for name, well in now.items() if not well})
    if failing or left:
        what = [f"{host} {name}" for host, name in failing] + sorted(cause for cause, _host in left)
        return False, "its cause is gone, and mail still does not work: " + ", ".join(what[:4])
    lost = [leg["name"] for leg in legs if not leg["ok"]]
    if lost:
        return False, "messages do not arrive: " + ", ".join(lost[:4])
    return True, "its cause is gone, and mail works" + (f" ({len(legs)} messages arrived)" if legs else "")
