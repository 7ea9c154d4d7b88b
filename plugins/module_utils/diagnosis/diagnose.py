"""The diagnosis of one run, as the data of diagnosis.json: observations and catalogue in, verdict and causes out."""
from __future__ import annotations

from datetime import datetime, timezone

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import conditions, containment, ranking, scope, view
from ansible_collections.mailops.outage.plugins.module_utils.diagnosis.catalogue import Catalogue
from ansible_collections.mailops.outage.plugins.module_utils.diagnosis.estate import own_names
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

SCHEMA_VERSION = "1.0"
SURE_ENOUGH = ranking.SURE_ENOUGH


def stamp(epoch: float | None) -> str | None:
    """Epoch seconds as ISO 8601 in UTC, without fractions; None stays None."""
    if epoch is None:
        return None
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cause(item: ranking.Candidate, place: int, seen: dict) -> dict:
    """``seen``: the view that the remedies take their options from."""
    entry = item.cause
    return {
        "id": entry.id, "host": item.host, "rank": place, "confidence": item.confidence, "by_facts": item.by_facts,
        "root": item.root, "root_by_facts": item.root_by_facts,
        "explains": sorted(set(item.explains)), "since": stamp(item.since_epoch),
        "title": entry.title, "explanation": entry.explanation, "users": entry.users, "never": entry.never,
        "look_next": entry.look_next, "evidence": item.evidence,
        "remedies": [_remedy(remedy, view.without_words(seen)) for remedy in entry.remedies],
    }


def _remedy(given: dict, bare: dict) -> dict:
    """The remedy with its options as this host tells them; ``missing`` names one that it does not tell."""
    told = {name: conditions.look(expression, bare) for name, expression in given["options_from"].items()}
    return {**{name: value for name, value in given.items() if name != "options_from"}, "options": {**given["options"], **told},
            "missing": next((name for name, value in told.items() if value in (None, "", [])), "")}


def _named(catalogue: Catalogue, name: str, evidence: list, confidence: float) -> dict:
    item = ranking.Candidate(catalogue[name], "", confidence, evidence)
    return _cause(item, 1, {})


def _silent_evidence(views: list) -> list:
    """What failed, for a diagnosis that cannot say why."""
    return [
        {"kind": "probe", "host": probe_view["host"], "source": f"{probe.get('protocol')} {probe.get('name')}:{probe.get('port')} from {probe.get('vantage')}",
         "line": None, "time": None, "text": clean(f"{probe.get('step')}: {probe.get('outcome')} {probe.get('answer') or ''}")}
        for probe_view in views for probe in probe_view["failing"]
    ][:8]


def views_of(catalogue: Catalogue, observations: list, estate: dict) -> tuple:
    """The view of each host, and that of the whole estate (view.py)."""
    estate = dict(estate, own_names=own_names(observations))
    views = [view.host_view(observation, catalogue.signatures, estate) for observation in observations]
    return views, view.estate_view(views, estate)


def diagnose(catalogue: Catalogue, observations: list, estate: dict, run: dict, severity_rules=None) -> dict:
    """Return the diagnosis as in ``docs/schemas/diagnosis.schema.json``.

    ``observations``: one a host, as mail_observation wrote them. ``estate``: what mail_assessment added
    (second probes, DNS, ``reported``, ``now``). ``run``: {run_id, started_epoch, finished_epoch, versions}.
    """
    views, whole = views_of(catalogue, observations, estate)
    candidates, ruled_out = ranking.find(catalogue, views, whole)
    assessment = scope.assess(views, estate, candidates, severity_rules)
    by_host = {item["host"]: item for item in views}
    causes = [_cause(item, place, by_host.get(item.host) or {}) for place, item in enumerate(candidates, 1)]
    sure = [cause for cause in causes if cause["root"] and cause["confidence"] >= SURE_ENOUGH]
    if assessment["verdict"] == "healthy":
        causes = [_named(catalogue, "none.healthy", [], 1.0)] + causes
    elif not sure:
        causes = [_named(catalogue, "none.unknown", _silent_evidence(views), 1.0)] + causes
    for place, cause in enumerate(causes, 1):
        cause["rank"] = place
        if causes[0]["id"].startswith("none.") and place > 1:
            cause["root"] = cause["root_by_facts"] = False
    not_visible = [f"{observation.get('host')}: {sentence}" for observation in observations for sentence in observation.get("not_visible") or []]
    not_visible += list(estate.get("not_visible") or []) + list((estate.get("dns") or {}).get("not_visible") or [])
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run["run_id"],
        "started": stamp(run["started_epoch"]),
        "finished": stamp(run["finished_epoch"]),
        "verdict": assessment["verdict"],
        "severity": assessment["severity"],
        "severity_rule": assessment["severity_rule"],
        "confirmed": assessment["confirmed"],
        "scope": assessment["scope"],
        "impact": {"class": assessment["impact"]["class"], "since": stamp(assessment["impact"]["since_epoch"]), "contained": assessment["impact"]["contained"]},
        "causes": causes,
        "containment": containment.wanted(assessment["impact"]["contained"], candidates, by_host),
        "ruled_out": ruled_out,
        "probes": [probe for item in views for probe in item["probes"]],
        "not_visible": not_visible,
        "estate": {"hosts": [_host(item) for item in views], "domains": sorted(estate.get("domains") or [])},
        "changes": [dict(change, host=item["host"]) for item in views for change in item["changed"]],
        "bounce_clock": [dict(item["queue"]["bounce_clock"], host=item["host"]) for item in views
                         if isinstance(item.get("queue"), dict) and isinstance(item["queue"].get("bounce_clock"), dict)],
        "next": _next(causes[0], assessment),
        "advice": _advice(causes[0], views),
        "versions": run.get("versions") or {},
    }


def _host(item: dict) -> dict:
    software = [f"{name} {item[name]['version']}" for name in ("postfix", "exim", "dovecot")
                if isinstance(item.get(name), dict) and item[name].get("present")]
    return {
        "name": item["host"], "reachable": bool(item["connection"]["ok"]), "error": item["connection"].get("text") or "",
        "roles": roles(item), "software": software,
    }


def roles(item: dict) -> list:
    """What a host does, detected: edge, submission, store, mta."""
    found = set()
    for protocol in item.get("expected") or []:
        found.add({"smtp": "edge", "submission": "submission", "submissions": "submission"}.get(protocol, "store"))
    if not found and isinstance(item.get("postfix"), dict) and item["postfix"].get("present"):
        found.add("mta")
    return sorted(found)


def _next(first: dict, assessment: dict) -> dict:
    """The one thing to do now, in words, and the command for it."""
    if assessment["verdict"] == "healthy":
        return {"en": "Nothing to repair. Keep this state as the known-good snapshot.",
                "nl": "Niets te herstellen. Bewaar deze toestand als bekende goede momentopname.",
                "commands": ["ansible-playbook playbooks/snapshot.yml"]}
    if first["remedies"]:
        return {"en": "When it is repaired, look again.", "nl": "Kijk na de reparatie opnieuw.", "commands": ["ansible-playbook diagnose.yml"]}
    words = first.get("look_next") or {"en": "Read the evidence above on the host itself.", "nl": "Bekijk het bewijs hierboven op de host zelf."}
    return {"en": words["en"], "nl": words["nl"], "commands": []}


def _advice(first: dict, views: list) -> list:
    """Where to look next when the evidence does not say what is wrong."""
    if first["id"] != "none.unknown":
        return []
    advice = []
    for item in views:
        if not item["connection"]["ok"]:
            advice.append({"en": f"{item['host']}: get in by the console; SSH said: {item['connection'].get('text')}",
                           "nl": f"{item['host']}: ga via de console naar binnen; SSH zei: {item['connection'].get('text')}"})
        elif not item["expected"]:
            advice.append({"en": f"{item['host']}: no mail server software was found there; is it the right host?",
                           "nl": f"{item['host']}: daar is geen mailserversoftware gevonden; is het de juiste host?"})
        for probe in item["failing"]:
            advice.append({"en": f"{item['host']}: follow one session of {probe.get('protocol')} on port {probe.get('port')} in the log while probing it again",
                           "nl": f"{item['host']}: volg een sessie van {probe.get('protocol')} op poort {probe.get('port')} in het log terwijl u opnieuw test"})
    return advice[:8]
