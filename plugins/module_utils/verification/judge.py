"""What a verification says: each check passed, failed or was not tested. Pure functions over a run's files."""
from __future__ import annotations

import hashlib
import json

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis.diagnose import SURE_ENOUGH
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

SCHEMA_VERSION = "1.0"
PASSED, FAILED, NOT_TESTED = "passed", "failed", "not_tested"
# Deferred messages beyond what was waiting when the known-good snapshot was taken: a few wait on any day.
_MORE_DEFERRED = 10


def judge(diagnosis: dict, observations: list, legs: list, missing: list, expected: dict, before: dict | None = None) -> dict:
    """The verification as data: ``{schema_version, run_id, passed, digest, checks, counts, queues}``.

    ``diagnosis``: the one of the same run. ``legs``: the last result of each canary, with the outcome of the ``first`` try where there were two.
    ``missing``: [{id, because}].
    ``expected``: {host: protocols that it is to serve}; a closed port that nobody expects is no failure. ``before``: the diagnosis at the time of
    the outage, whose failed probes must be well now.
    A check is ``{id, kind, host, state, text}``; kind is journey, service, cause, temporary, queue or repaired.
    ``passed`` needs at least one message that arrived, and no failed check. ``digest`` covers what people sign.
    """
    checks = [_journey(leg) for leg in legs]
    checks += [_check(item["id"], "journey", "", NOT_TESTED, item["because"]) for item in missing]
    checks += _services(diagnosis, expected) + _unreachable(diagnosis) + _causes(diagnosis) + _repaired(diagnosis, before, expected)
    for observation in observations:
        checks += _temporary(observation) + _queue(observation)
    counts = {state: sum(1 for check in checks if check["state"] == state) for state in (PASSED, FAILED, NOT_TESTED)}
    passed = not counts[FAILED] and any(leg["ok"] for leg in legs)
    signed = {"run_id": diagnosis["run_id"], "passed": passed, "checks": checks}
    digest = hashlib.sha256(json.dumps(signed, sort_keys=True).encode()).hexdigest()
    return {"schema_version": SCHEMA_VERSION, **signed, "digest": digest, "counts": counts,
            "verdict": diagnosis["verdict"], "before": (before or {}).get("run_id"), "queues": [_figures(item) for item in observations]}


def _check(name: str, kind: str, host: str, state: str, text: str) -> dict:
    return {"id": clean(name, 200), "kind": kind, "host": host, "state": state, "text": clean(text)}


def _journey(leg: dict) -> dict:
    if leg["ok"]:
        again = f", at the second try (first {leg['first']})" if leg.get("first") else ""
        return _check(leg["name"], "journey", "", PASSED, f"arrived after {leg['arrival_seconds']} s in {leg['folder']}{again}")
    if leg["outcome"] in ("not_tried", "rate_limited"):
        # Mail is not called well for journeys that were meant to be tried.
        return _check(leg["name"], "journey", "", FAILED, "no time was left to try it; allow more time or more messages a minute")
    where = f" Its queue id is {leg['queue_id']}." if leg.get("queue_id") and leg["outcome"] == "not_arrived" else ""
    return _check(leg["name"], "journey", "", FAILED, f"{leg['outcome']} at {leg['step']} ({leg['fault']}): {leg['answer']}{where}")


def _probes(diagnosis: dict, expected: dict) -> dict:
    """The last look from the controller at each service that is expected, by host and probe."""
    return {(probe["host"], probe["id"]): probe for probe in diagnosis["probes"]
            if probe.get("look") != "vantage" and (probe["ok"] or probe["protocol"] in expected.get(probe["host"], ()))}


def _services(diagnosis: dict, expected: dict) -> list:
    return [
        _check(name, "service", host, PASSED if probe["ok"] else FAILED,
               "answers" if probe["ok"] else f"{probe['step']}: {probe['outcome']} {probe.get('answer') or ''}")
        for (host, name), probe in sorted(_probes(diagnosis, expected).items())
    ]


def _unreachable(diagnosis: dict) -> list:
    return [_check(host["name"], "service", host["name"], FAILED, f"the host itself could not be looked at: {host['error']}")
            for host in diagnosis["estate"]["hosts"] if not host["reachable"]]


def _causes(diagnosis: dict) -> list:
    """A cause that still holds, also of what no canary meets: certificates, DNS, disks."""
    return [_check(cause["id"], "cause", cause["host"], FAILED, cause["title"]["en"])
            for cause in diagnosis["causes"] if cause["root"] and cause["confidence"] >= SURE_ENOUGH and not cause["id"].startswith("none.")]


def _repaired(diagnosis: dict, before: dict | None, expected: dict) -> list:
    """The probes that failed at the time of the outage, and are well or not tried now; one that fails still is a service that fails."""
    if not before:
        return []
    now = _probes(diagnosis, expected)
    found = []
    for place, probe in sorted(_probes(before, expected).items()):
        if not probe["ok"] and (place not in now or now[place]["ok"]):
            state, text = (PASSED, "failed in the outage, answers now") if place in now else (NOT_TESTED, "failed in the outage, and was not tried now")
            found.append(_check(place[1], "repaired", place[0], state, text))
    return found


def _part(observation: dict, *names):
    data = observation.get("facts") or {}
    for name in names:
        data = data.get(name) if isinstance(data, dict) else None
    return data


def _temporary(observation: dict) -> list:
    """States that somebody sets for an outage and must take back."""
    host, settings = observation["host"], _part(observation, "postfix", "expanded") or {}
    held = _part(observation, "queue", "counts", "hold")
    found = []
    if not settings:
        found.append(_check("temporary settings", "temporary", host, NOT_TESTED, "the settings of Postfix were not seen"))
    else:
        soft, deferred = settings.get("soft_bounce") == "yes", settings.get("defer_transports") or ""
        found.append(_check("soft_bounce", "temporary", host, FAILED if soft else PASSED,
                            "soft_bounce = yes: nothing is refused for good; take it back with postconf -X soft_bounce" if soft else "is not set"))
        found.append(_check("defer_transports", "temporary", host, FAILED if deferred else PASSED,
                            f"defer_transports = {deferred}: that mail waits on purpose; take it back with postconf -X defer_transports" if deferred
                            else "is not set"))
    if held is not None:
        found.append(_check("hold", "temporary", host, FAILED if held else PASSED, f"{held} messages are held" if held else "no message is held"))
    return found


def _queue(observation: dict) -> list:
    """Delayed mail, against what waited when the known-good snapshot was taken."""
    deferred = _part(observation, "queue", "counts", "deferred")
    if deferred is None:
        return [_check("deferred", "queue", observation["host"], NOT_TESTED, "the queue was not seen")]
    usual = _part(observation, "known_good", "manifest", "counts", "deferred")
    late = deferred > (usual or 0) + _MORE_DEFERRED
    text = f"{deferred} messages are deferred" + ("" if usual is None else f", {usual} were when mail last worked")
    expires = _part(observation, "queue", "bounce_clock", "expires_in_seconds")
    if deferred and expires is not None:
        text += f"; the oldest is returned to its sender in {int(expires) // 3600} h"
    return [_check("deferred", "queue", observation["host"], FAILED if late else PASSED, text)]


def _figures(observation: dict) -> dict:
    clock = _part(observation, "queue", "bounce_clock") or {}
    return {"host": observation["host"], "counts": _part(observation, "queue", "counts"), "oldest_seconds": _part(observation, "queue", "oldest_seconds"),
            "expires_in_seconds": clock.get("expires_in_seconds")}


def lines(found: dict) -> list:
    """The verification for a terminal: failures first, then what was not tested, then how much passed."""
    counts = found["counts"]
    head = "VERIFIED: mail works" if found["passed"] else "NOT VERIFIED"
    shown = [f"{head} ({counts[PASSED]} passed, {counts[FAILED]} failed, {counts[NOT_TESTED]} not tested)"]
    for state, mark in ((FAILED, "failed    "), (NOT_TESTED, "not tested")):
        shown += [f"  {mark} {check['kind']}: {' '.join(part for part in (check['host'], check['id']) if part)}: {check['text']}"
                  for check in found["checks"] if check["state"] == state]
    shown += [f"  passed     {check['id']}: {check['text']}" for check in found["checks"] if check["state"] == PASSED and check["kind"] == "journey"]
    return shown
