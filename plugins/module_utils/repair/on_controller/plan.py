"""What to do about a diagnosis: the remedies of its causes, rehearsed on their hosts, in the order in which they are tried. Pure functions.

A plan is data: ``{schema_version, run_id, blocked, steps, digest}``. ``digest`` covers what would be done; an approval is for that and nothing else.
"""
from __future__ import annotations

import hashlib
import json

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import conditions
from ansible_collections.mailops.outage.plugins.module_utils.diagnosis.diagnose import SURE_ENOUGH

SCHEMA_VERSION = "1.0"
CLASSES = ("reversible", "disruptive")
# Of what is wrong these come first, for others lean on them: a full or broken disk, then packages, configuration, and services last.
_AREAS = ("storage", "package", "tls", "config", "auth", "policy", "service", "host", "network", "queue")


def candidates(diagnosis: dict, views: dict, known) -> list:
    """The steps that the diagnosis suggests, before anybody looked whether they do something: ``[{id, host, cause, title, confidence, role, class, options,
    summary, undo, evidence, blocked}]``.

    ``views``: {host: view}, for options that come from it. ``known``: the names of the remedies that there are. ``blocked`` says why a step is for people.
    """
    roots = [cause for cause in diagnosis["causes"] if cause["root"] and cause["host"] and cause["confidence"] >= SURE_ENOUGH]
    found = []
    # The MTA asks the IMAP server for logins, and the milters for each message: it comes last of the services.
    for cause in sorted(roots, key=lambda cause: (_place(cause["id"]), cause["id"].startswith("service.mta_"), cause["rank"])):
        for remedy in cause["remedies"]:
            options, missing = _options(remedy, views.get(cause["host"]) or {})
            blocked = ""
            if remedy["role"] not in known or remedy["class"] not in CLASSES:
                blocked = "a person must do this"
            elif missing:
                blocked = f"the diagnosis does not say its {missing}"
            found.append({
                "id": f"s{len(found) + 1}", "host": cause["host"], "cause": cause["id"], "title": cause["title"], "confidence": cause["confidence"],
                "role": remedy["role"], "class": remedy["class"], "options": options, "summary": remedy["summary"], "undo": remedy["undo"],
                "evidence": cause["evidence"][:2], "never": cause.get("never"), "blocked": blocked,
            })
    return found


def _place(cause: str) -> int:
    area = cause.partition(".")[0]
    return _AREAS.index(area) if area in _AREAS else len(_AREAS)


def _options(remedy: dict, view: dict) -> tuple:
    """The options with those that the view tells, and the name of one that it does not tell."""
    options = dict(remedy.get("options") or {})
    for name, expression in (remedy.get("options_from") or {}).items():
        value = conditions.look(expression, view)
        if value in (None, "", []):
            return options, name
        options[name] = value
    return options, ""


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
    """The plan. ``rehearsals``: {host: {step id: {refused, steps}}}, what the remedy told in check mode.

    A step that would do nothing is left out, unless its cause would not stand in the plan at all.
    """
    kept, idle = [], {}
    for step in steps:
        told = (rehearsals.get(step["host"]) or {}).get(step["id"])
        entry = dict(step, commands=[])
        if not entry["blocked"]:
            if told is None:
                entry["blocked"] = "it could not be rehearsed on the host"
            elif told["refused"]:
                entry["blocked"] = told["refused"]
            elif not told["steps"]:
                idle.setdefault((entry["host"], entry["cause"]), dict(entry, blocked="no remedy finds anything to do on the host; a person must look"))
                continue
            else:
                entry["commands"] = told["steps"]
                if entry["confidence"] < confidence:
                    entry["blocked"] = f"the cause is not sure enough to act on by itself ({entry['confidence']:g}, {confidence:g} is wanted)"
        kept.append(entry)
    there = {(entry["host"], entry["cause"]) for entry in kept}
    kept += [entry for place, entry in idle.items() if place not in there]
    plan = {"schema_version": SCHEMA_VERSION, "run_id": diagnosis["run_id"], "blocked": storm(diagnosis), "steps": kept}
    return dict(plan, digest=digest(plan))


def digest(plan: dict) -> str:
    """SHA-256, in hex, over what would be done where: the same in a later run, as long as the same would be done."""
    meant = [[step[name] for name in ("host", "cause", "role", "class", "options", "blocked")] +
             [[command["does"], command.get("mark")] for command in step["commands"]]
             for step in plan["steps"]]
    return hashlib.sha256(json.dumps([plan["blocked"], meant], sort_keys=True).encode()).hexdigest()


def open_steps(plan: dict) -> list:
    """The steps that may be taken, in their order."""
    return [] if plan["blocked"] else [step for step in plan["steps"] if not step["blocked"]]


def containment(diagnosis: dict, views: dict) -> list:
    """What turns loss into delay while the cause is looked for: ``[{host, options, because}]``, options as the role contain takes them.

    Mail of ours that is refused for good: soft_bounce, on the hosts that refuse it. Mail that goes astray: the transport of local delivery is deferred,
    which is the one that the queue manager picks (mailbox_transport of local(8) is delivered by the transport local).
    """
    impact = diagnosis["impact"]["class"]
    if impact not in ("lost", "silent") or diagnosis["impact"].get("contained"):
        return []
    found = []
    hosts = {cause["host"] for cause in diagnosis["causes"] if cause["root"] and cause["host"] and cause["confidence"] >= SURE_ENOUGH}
    for host in sorted(hosts):
        expanded = ((views.get(host) or {}).get("postfix") or {}).get("expanded") or {}
        if not expanded:
            continue
        if impact == "lost":
            found.append({"host": host, "options": {"soft_bounce": True}, "because": "mail of ours is refused for good"})
        else:
            transports = sorted({(expanded.get(name) or "").partition(":")[0] for name in ("local_transport", "virtual_transport")} - {""})
            found.append({"host": host, "options": {"defer_transports": transports}, "because": "mail is delivered where nobody finds it"})
    return found
