"""What a verification says: each check passed, failed or was not tested. Pure functions over a run's files."""
from __future__ import annotations

import hashlib
import ipaddress
import json
from dataclasses import dataclass, field
from functools import partial

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis.diagnose import SURE_ENOUGH
from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.verification import words

SCHEMA_VERSION = "1.0"
PASSED, FAILED, NOT_TESTED = "passed", "failed", "not_tested"
# Deferred messages beyond what was waiting when the known-good snapshot was taken: a few wait on any day.
_MORE_DEFERRED = 10


@dataclass(frozen=True)
class Seen:
    """What a verification rests on.

    ``diagnosis`` and ``observations``: of the run. ``legs``: the last result of each canary, with the outcome of the ``first`` try where there were two.
    ``missing``: [{id, because}], the journeys that could not be tried. ``expected``: {host: protocols that it is to serve}; a closed port that nobody
    expects is no failure. ``settled``: the observations of a second look, after the canaries. ``estate``: what mail_assessment found.
    ``before``: the diagnosis at the time of the outage, whose failed probes must be well now.
    """

    diagnosis: dict
    observations: list
    legs: list
    missing: list
    expected: dict
    settled: list = field(default_factory=list)
    estate: dict = field(default_factory=dict)
    before: dict | None = None


def judge(seen: Seen, language: str = "en") -> dict:
    """The verification as data (docs/schemas/verification.schema.json).

    A check is ``{id, kind, host, state, text}``; kind is journey, reported, service, certificate, dns, cause, temporary, queue or repaired.
    ``passed`` needs at least one message that arrived, and no failed check. ``digest`` covers what people sign.
    """
    say = partial(words.say, language)
    settled = {item["host"]: item for item in seen.settled}
    checks = [_journey(leg, seen.settled, say) for leg in seen.legs]
    checks += [_check(item["id"], "journey", "", NOT_TESTED, item["because"]) for item in seen.missing]
    checks += _reported(seen, say) + _services(seen, say) + _unreachable(seen, say) + _certificates(seen, say) + _dns(seen, say)
    checks += _causes(seen.diagnosis, language) + _repaired(seen, say)
    figures = []
    for observation in seen.observations:
        again = settled.get(observation["host"])
        figures.append(_figures(observation, again))
        checks += _temporary(again or observation, say) + _queue(again or observation, figures[-1], say)
    counts = {state: sum(1 for check in checks if check["state"] == state) for state in (PASSED, FAILED, NOT_TESTED)}
    passed = not counts[FAILED] and any(leg["ok"] for leg in seen.legs)
    signed = {"run_id": seen.diagnosis["run_id"], "passed": passed, "checks": checks}
    return {"schema_version": SCHEMA_VERSION, **signed, "digest": digest(signed), "counts": counts, "language": language,
            "verdict": seen.diagnosis["verdict"], "before": (seen.before or {}).get("run_id"), "queues": figures}


def digest(verification: dict) -> str:
    """SHA-256, in hex, of what people sign: which run it was, whether it passed, and each check. Raises KeyError where one of them is missing."""
    signed = {name: verification[name] for name in ("run_id", "passed", "checks")}
    return hashlib.sha256(json.dumps(signed, sort_keys=True).encode()).hexdigest()


def _check(name: str, kind: str, host: str, state: str, text: str) -> dict:
    return {"id": clean(name, 200), "kind": kind, "host": host, "state": state, "text": clean(text, 600)}


def _journey(leg: dict, settled: list, say) -> dict:
    if leg["ok"]:
        again = say("again", first=leg["first"]) if leg.get("first") else ""
        return _check(leg["name"], "journey", "", PASSED, say("arrived", seconds=leg["arrival_seconds"], folder=leg["folder"], again=again))
    if leg["outcome"] in ("not_tried", "rate_limited"):
        # Mail is not called well for journeys that were meant to be tried.
        return _check(leg["name"], "journey", "", FAILED, say("no_turn"))
    text = say("stopped", outcome=leg["outcome"], step=leg["step"], fault=leg["fault"], answer=leg["answer"])
    if leg.get("queue_id") and leg["outcome"] in ("not_arrived", "late"):
        text += ". " + _where(leg["queue_id"], settled, say)
    return _check(leg["name"], "journey", "", FAILED, text)


def signature_of(queue_id: str) -> str:
    """The name under which a look at a host's log is asked for a message."""
    return f"queue_id {queue_id}"


def _where(queue_id: str, settled: list, say) -> str:
    """Where a message is, by the last line that a host's log has of it."""
    for observation in settled:
        samples = _part(observation, "events", "matches", signature_of(queue_id), "samples") or []
        if samples:
            return say("waits", id=queue_id, host=observation["host"], text=samples[-1]["text"])
    return say("nowhere", id=queue_id)


def _probes(probes: list, expected: dict) -> dict:
    """The last look from the controller at each service that is expected, by host and probe."""
    return {(probe["host"], probe["id"]): probe for probe in probes
            if probe.get("look") != "vantage" and (probe["ok"] or probe["protocol"] in expected.get(probe["host"], ()))}


def _settled_probes(seen: Seen) -> dict:
    return _probes([probe for item in seen.settled for probe in item.get("probes") or []], seen.expected)


def _services(seen: Seen, say) -> list:
    """A service is well when it answers now, and still after the canaries."""
    later, found = _settled_probes(seen), []
    for (host, name), probe in sorted(_probes(seen.diagnosis["probes"], seen.expected).items()):
        again = later.get((host, name), probe)
        last = probe if not probe["ok"] else again
        text = say("answers") if last["ok"] else f"{last['step']}: {last['outcome']} {last.get('answer') or ''}"
        if probe["ok"] and not again["ok"]:
            text = f"{say('worse')}: {text}"
        found.append(_check(name, "service", host, PASSED if last["ok"] else FAILED, text))
    return found


def _unreachable(seen: Seen, say) -> list:
    found = {host["name"]: host["error"] for host in seen.diagnosis["estate"]["hosts"] if not host["reachable"]}
    found.update({item["host"]: item["connection"]["text"] for item in seen.settled if not (item.get("connection") or {"ok": True})["ok"]})
    return [_check(host, "service", host, FAILED, say("unreachable", error=error)) for host, error in sorted(found.items())]


def _is_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _certificates(seen: Seen, say) -> list:
    """What each service serves: valid now, and trusted where mail programs look. Other servers do not verify port 25 (RFC 7435), and a probe by address
    cannot match a name."""
    found = []
    for (host, name), probe in sorted(_probes(seen.diagnosis["probes"], seen.expected).items()):
        tls = probe.get("tls") or {}
        served = tls.get("certificate")
        if not served:
            continue
        state, text = PASSED, say("certificate", days=int(served["days_left"]), names=", ".join(served["names"][:3]) or served["subject"])
        error = "" if tls.get("verified") or probe["protocol"] == "smtp" else tls.get("verify_error") or ""
        # A name in the place of an address is another probe of the same service.
        if error and tls.get("name_matches") is False and _is_address(str(probe.get("name") or "")):
            error = ""
        if served["days_left"] <= 0 or (served.get("not_before_epoch") or 0) > (seen.estate.get("now") or float("inf")):
            state, text = FAILED, say("certificate_ends", since=served["not_before"], until=served["not_after"])
        elif error:
            state, text = FAILED, say("certificate_wrong", error=error)
        found.append(_check(name, "certificate", host, state, text))
    return found


def _dns(seen: Seen, say) -> list:
    """Each domain's records, with the problems that break mail by themselves."""
    dns = seen.estate.get("dns") or {}
    if not dns:
        return [_check("dns", "dns", "", NOT_TESTED, say("dns_unseen"))]
    problems = [problem for problem in dns.get("problems") or [] if problem["severity"] == "error"]
    checks = [_check(problem["id"], "dns", "", FAILED, say("dns_wrong", text=f"{problem['subject']}: {problem['text']}", source=problem["source"]))
              for problem in problems]
    for domain, records in sorted((dns.get("domains") or {}).items()):
        if any(problem["subject"] == domain for problem in problems):
            continue
        marks = {name: _mark((records.get(name) or {}).get("valid")) for name in ("spf", "dmarc")}
        marks["dkim"] = _mark(all(key.get("valid") and key.get("matches") is not False for key in records["dkim"]) if records.get("dkim") else None)
        checks.append(_check(domain, "dns", "", PASSED, say("dns", mx=", ".join(mx["host"] for mx in records.get("mx") or []) or "-", **marks)))
    return checks


def _mark(valid) -> str:
    return "-" if valid is None else "ok" if valid else "!"


def _reported(seen: Seen, say) -> list:
    """The user who was reported: a probe account has its journeys; of another one only the acceptance of mail can be told."""
    user = (seen.estate.get("reported") or {}).get("user") or ""
    if not user or any(leg["recipient"] == user for leg in seen.legs if leg.get("recipient")):
        return []
    asked = {probe["host"]: check for probe in seen.estate.get("probes") or [] if probe.get("look") != "vantage"
             for check in probe.get("envelope") or [] if check["kind"] == "recipient" and check.get("recipient") == user}
    refused = {host: check for host, check in asked.items() if not check["accepted"]}
    if refused:
        text = say("reported_refused", hosts=", ".join(sorted(refused)), answer=next(iter(refused.values())).get("answer") or "")
        return [_check(user, "reported", "", FAILED, text)]
    return [_check(user, "reported", "", NOT_TESTED, say("reported_accepted", hosts=", ".join(sorted(asked))) if asked else say("reported_unseen"))]


def _causes(diagnosis: dict, language: str) -> list:
    """A cause that still holds, also of what no canary meets: disks, packages."""
    return [_check(cause["id"], "cause", cause["host"], FAILED, cause["title"][language])
            for cause in diagnosis["causes"] if cause["root"] and cause["confidence"] >= SURE_ENOUGH and not cause["id"].startswith("none.")]


def _repaired(seen: Seen, say) -> list:
    """The probes of the outage's diagnosis: those that failed and are well now, and those that were not tried now.

    One that fails now is a service that fails.
    """
    if not seen.before:
        return []
    now, found = _probes(seen.diagnosis["probes"], seen.expected), []
    for place, probe in sorted(_probes(seen.before["probes"], seen.expected).items()):
        if place not in now:
            found.append(_check(place[1], "repaired", place[0], NOT_TESTED, say("untried_well" if probe["ok"] else "untried_failed")))
        elif not probe["ok"] and now[place]["ok"]:
            found.append(_check(place[1], "repaired", place[0], PASSED, say("repaired")))
    return found


def _part(observation: dict, *names):
    data = observation.get("facts") or {}
    for name in names:
        data = data.get(name) if isinstance(data, dict) else None
    return data


def _temporary(observation: dict, say) -> list:
    """States that somebody sets for an outage and must take back."""
    host = observation["host"]
    postfix, exim = _part(observation, "postfix", "expanded") or {}, _part(observation, "exim", "settings") or {}
    states = {}
    if postfix:
        states["soft_bounce"] = postfix.get("soft_bounce") == "yes"
        states["defer_transports"] = postfix.get("defer_transports") or ""
    if exim:
        states["queue_only"] = exim.get("queue_only") == "true"
        states.update({name: exim.get(name) or "" for name in ("hold_domains", "queue_domains")})
    found = [_check(name, "temporary", host, FAILED if value else PASSED, say(name, value=value) if value else say("not_set"))
             for name, value in states.items()]
    if not states:
        found.append(_check("temporary settings", "temporary", host, NOT_TESTED, say("settings_unseen")))
    held = _part(observation, "queue", "counts", "hold")
    if held is not None:
        found.append(_check("hold", "temporary", host, FAILED if held else PASSED, say("held", count=held) if held else say("not_held")))
    return found


def is_backlog(observation: dict) -> bool:
    """Whether more mail is deferred than when mail last worked."""
    usual = _part(observation, "known_good", "manifest", "counts", "deferred") or 0
    return (_part(observation, "queue", "counts", "deferred") or 0) > usual + _MORE_DEFERRED


def _queue(observation: dict, figures: dict, say) -> list:
    """Delayed mail: more than when mail last worked, and not becoming less."""
    deferred = _part(observation, "queue", "counts", "deferred")
    if deferred is None:
        return [_check("deferred", "queue", observation["host"], NOT_TESTED, say("queue_unseen"))]
    usual = _part(observation, "known_good", "manifest", "counts", "deferred")
    many = is_backlog(observation)
    parts = [say("deferred", count=deferred)] + ([] if usual is None else [say("usual", count=usual)])
    drains = figures["empty_in_seconds"] is not None
    if many and drains:
        parts.append(say("drains", rate=figures["drained_per_minute"], minutes=-(-figures["empty_in_seconds"] // 60)))
    elif many:
        parts.append(say("stays"))
    if deferred and figures["oldest_seconds"] is not None:
        parts.append(say("oldest", hours=round(figures["oldest_seconds"] / 3600, 1)))
    if deferred and figures["expires_in_seconds"] is not None:
        parts.append(say("expires", hours=int(figures["expires_in_seconds"]) // 3600))
    return [_check("deferred", "queue", observation["host"], FAILED if many and not drains else PASSED, "; ".join(parts))]


def _figures(observation: dict, again: dict | None) -> dict:
    """The queue now, and how fast it drains between the two looks: ``drained_per_minute`` (messages, negative when it grows), ``empty_in_seconds``
    (None when it is empty or does not drain)."""
    last = again or observation
    clock = _part(last, "queue", "bounce_clock") or {}
    counts, now = ([_part(item, *names) for item in (observation, last)] for names in (("queue", "counts", "total"), ("system", "now_epoch")))
    rate = empty = None
    if again and None not in counts + now and now[1] > now[0]:
        passed = now[1] - now[0]
        rate = round((counts[0] - counts[1]) * 60 / passed, 1)
        empty = int(counts[1] * passed / (counts[0] - counts[1])) if counts[0] > counts[1] > 0 else None
    return {"host": observation["host"], "counts": _part(last, "queue", "counts"), "oldest_seconds": _part(last, "queue", "oldest_seconds"),
            "expires_in_seconds": clock.get("expires_in_seconds"), "drained_per_minute": rate, "empty_in_seconds": empty}


def lines(found: dict) -> list:
    """The verification for a terminal: failures first, then what was not tested, then how much passed."""
    language = found["language"]
    say = partial(words.say, language)
    head = say("head_passed" if found["passed"] else "head_failed")
    shown = [f"{head} ({say('counts', **found['counts'])})"]
    width = max(len(say(state)) for state in (PASSED, FAILED, NOT_TESTED))
    for state in (FAILED, NOT_TESTED):
        shown += [f"  {say(state):{width}} {words.KINDS[check['kind']][language]}: {check['host'] and check['host'] + ' '}{check['id']}: {check['text']}"
                  for check in found["checks"] if check["state"] == state]
    shown += [f"  {say(PASSED):{width}} {check['id']}: {check['text']}" for check in found["checks"] if check["state"] == PASSED and check["kind"] == "journey"]
    return shown
