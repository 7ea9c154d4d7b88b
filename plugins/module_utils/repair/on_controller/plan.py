"""What to do about a diagnosis: the remedies of its causes, rehearsed on their hosts, in the order in which they are tried. Pure functions.

A plan is data: ``{schema_version, run_id, blocked, steps, containment, digest}``. ``digest`` covers what would be done; an approval is for that and
nothing else, and holds for some hours.
"""
from __future__ import annotations

import calendar
import hashlib
import json
import re
import time

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis.diagnose import SURE_ENOUGH

SCHEMA_VERSION = "1.1"
CLASSES = ("reversible", "disruptive")
# Of what is wrong these come first, for others lean on them: a full or broken disk, then packages, configuration, and services last.
_AREAS = ("storage", "package", "tls", "config", "auth", "policy", "service", "host", "network", "queue")
_STAMP = "%Y%m%dT%H%M%SZ"
_APPROVAL = re.compile(r"(?P<digest>[0-9a-f]{64})@(?P<made>\d{8}T\d{6}Z)")
# Clocks of two controllers differ by some seconds.
_CLOCK_SLACK = 60


def candidates(diagnosis: dict, known) -> list:
    """The steps that the diagnosis suggests, before anybody looked whether they do something: ``[{id, host, cause, title, confidence, role, class, options,
    summary, undo, evidence, blocked}]``.

    ``known``: the names of the remedies that there are. ``blocked`` says why a step is for people.
    """
    causes = [cause for cause in diagnosis["causes"]
              if cause["host"] and cause["confidence"] >= SURE_ENOUGH and (cause["root"] or cause["root_by_facts"]) and not cause["id"].startswith("none.")]
    found = []
    # The MTA asks the IMAP server for logins, and the milters for each message: it comes last of the services.
    for cause in sorted(causes, key=lambda cause: (_place(cause["id"]), cause["id"].startswith("service.mta_"), cause["rank"])):
        for remedy in cause["remedies"]:
            blocked = ""
            if remedy["role"] not in known or remedy["class"] not in CLASSES:
                blocked = "a person must do this"
            elif not cause["root_by_facts"]:
                blocked = "only the log says so, which others can write: a person must look"
            elif remedy["missing"]:
                blocked = f"the diagnosis does not say its {remedy['missing']}"
            found.append({
                "id": identity(cause["host"], cause["id"], remedy["role"], remedy["options"]), "host": cause["host"], "cause": cause["id"],
                "title": cause["title"], "confidence": cause["confidence"], "role": remedy["role"], "class": remedy["class"],
                "options": remedy["options"], "summary": remedy["summary"], "undo": remedy["undo"], "evidence": cause["evidence"][:2],
                "never": cause.get("never"), "blocked": blocked,
            })
    return found


def identity(host: str, cause: str, role: str, options: dict) -> str:
    """The name of a step: the same in every run that means the same."""
    return hashlib.sha256(json.dumps([host, cause, role, options], sort_keys=True).encode()).hexdigest()[:12]


def _place(cause: str) -> int:
    area = cause.partition(".")[0]
    return _AREAS.index(area) if area in _AREAS else len(_AREAS)


def together(steps: list, told: dict) -> list:
    """Steps that take back, in one, what was changed in several products at once: each half alone could not work.

    Of the ``steps`` of one host, those of one cause that all take configuration back and of which more than one found something (``told``: {step id:
    {refused, steps}}) are offered as one as well: ``[step]``, still to be rehearsed.
    """
    by_cause: dict = {}
    for step in steps:
        heard = told.get(step["id"]) or {}
        if step["role"] == "rollback_config" and not step["blocked"] and (heard.get("steps") or heard.get("refused")):
            by_cause.setdefault(step["cause"], []).append(step)
    found = []
    for cause, parts in sorted(by_cause.items()):
        software = sorted({name for step in parts for name in _listed(step["options"].get("software"))})
        if len(software) < 2:
            continue
        options = {"software": software}
        for name in ("settings", "files"):
            options[name] = sorted({text for step in parts for text in step["options"].get(name) or []})
        found.append(dict(parts[0], options=options, id=identity(parts[0]["host"], cause, "rollback_config", options)))
    return found


def with_joined(steps: list, joined: list) -> list:
    """The ``steps``, each of ``joined`` in the place of the first of its parts, and those after it."""
    def same(one, other):
        return all(one[name] == other[name] for name in ("host", "cause", "role"))
    for one in joined:
        place = next((number for number, step in enumerate(steps) if same(step, one)), len(steps))
        steps = steps[:place] + [one] + [step for step in steps[place:] if not same(step, one)]
    return steps


def _listed(value) -> list:
    return value if isinstance(value, list) else [value]


def storm(diagnosis: dict) -> str:
    """Why no host is repaired: most of several hosts are ill at once, with the same cause; else an empty text.

    What many hosts have at the same moment is most often what they share, and repairing each hides it.
    """
    hosts = [host["name"] for host in diagnosis["estate"]["hosts"]]
    by_cause: dict = {}
    for cause in diagnosis["causes"]:
        if cause["root"] and cause["host"] and cause["confidence"] >= SURE_ENOUGH:
            by_cause.setdefault(cause["id"], set()).add(cause["host"])
    for name, ill in sorted(by_cause.items()):
        if len(ill) >= 2 and 2 * len(ill) > len(hosts):
            return f"{name} holds on {len(ill)} of {len(hosts)} hosts at once ({', '.join(sorted(ill))}): look at what they share before anything is repaired"
    return ""


def finished(diagnosis: dict, steps: list, rehearsals: dict, confidence: float) -> dict:
    """The plan. ``rehearsals``: {host: {step id: {refused, steps, diffs, options}}}, what the remedy told in check mode, and with which options.

    A step that would do nothing is left out, unless its cause would not stand in the plan at all.
    """
    kept, idle = [], {}
    for step in steps:
        told = (rehearsals.get(step["host"]) or {}).get(step["id"])
        entry = dict(step, commands=[], diffs=[])
        if not entry["blocked"]:
            if told is None:
                entry["blocked"] = "it could not be rehearsed on the host"
            elif told["refused"]:
                entry["blocked"] = told["refused"]
            elif not told["steps"]:
                idle.setdefault((entry["host"], entry["cause"]), dict(entry, blocked="no remedy finds anything to do on the host; a person must look"))
                continue
            else:
                entry.update(commands=told["steps"], diffs=told["diffs"], options=told["options"])
                if entry["confidence"] < confidence:
                    entry["blocked"] = f"the cause is not sure enough to act on by itself ({entry['confidence']:g}, {confidence:g} is wanted)"
        kept.append(entry)
    there = {(entry["host"], entry["cause"]) for entry in kept}
    kept += [entry for place, entry in idle.items() if place not in there]
    plan = {"schema_version": SCHEMA_VERSION, "run_id": diagnosis["run_id"], "blocked": storm(diagnosis), "steps": kept,
            "containment": diagnosis["containment"]}
    return dict(plan, digest=digest(plan))


def digest(plan: dict) -> str:
    """SHA-256, in hex, over what would be done where, containment included: the same in a later run, as long as the same would be done."""
    meant = [[step[name] for name in ("host", "cause", "role", "class", "options", "blocked")] +
             [[command["does"], command.get("mark")] for command in step["commands"]]
             for step in plan["steps"]]
    contained = [[item["host"], item["options"]] for item in plan["containment"]]
    return hashlib.sha256(json.dumps([plan["blocked"], meant, contained], sort_keys=True).encode()).hexdigest()


def approval(plan: dict, now: float) -> str:
    """What somebody gives who approves the plan that was made ``now`` (epoch seconds): its digest and its time."""
    return f"{plan['digest']}@{time.strftime(_STAMP, time.gmtime(now))}"


def approval_refusal(plan: dict, given: str, now: float, hours: float) -> str:
    """Why what was ``given`` does not approve this plan at ``now`` (epoch seconds); empty when it does. It holds for ``hours`` after the plan that it names."""
    found = _APPROVAL.fullmatch(given)
    if not found:
        return "no approval was given" if given in ("", "no") else "an approval is the whole text that the plan shows: its digest, @, and its time"
    if found["digest"] != plan["digest"]:
        return "the approval is not for this plan"
    try:
        age = now - calendar.timegm(time.strptime(found["made"], _STAMP))
    except ValueError:
        return "the approval names no time that there is"
    if age < -_CLOCK_SLACK:
        return "the approval is from the future: set the clocks right, and approve the plan again"
    if age > hours * 3600:
        return f"the approval is {age / 3600:.1f} hours old, and {hours:g} are allowed: make the plan again, and look at it"
    return ""


def open_steps(plan: dict) -> list:
    """The steps that may be taken, in their order."""
    return [] if plan["blocked"] else [step for step in plan["steps"] if not step["blocked"]]
