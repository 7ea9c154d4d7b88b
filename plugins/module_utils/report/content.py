"""What all reports say of a diagnosis, in words and without layout. Pure: no file and no clock is read.

Texts come back cleaned of control characters; each layout escapes them in its own way.
"""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.report.words import WORDS, in_language, say
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_TOUCHES_MAIL = {"inbound", "outbound", "delivery", "local"}
_HEADINGS = {"none.healthy": "head_healthy", "none.unknown": "head_no_cause"}


def word(kind: str, name: object, language: str) -> str:
    """The phrase ``KIND_NAME``, or the bare name where the table has none."""
    key = f"{kind}_{name}"
    return say(key, language) if key in WORDS else clean(name, 60)


def moment(stamp: object) -> str:
    """An ISO 8601 stamp in UTC as people read it: ``2026-11-23 20:51 UTC``."""
    text = clean(stamp, 40)
    if len(text) == 20 and text[10] == "T" and text.endswith("Z"):
        return f"{text[:10]} {text[11:16]} UTC"
    return text


def period(seconds: float, language: str) -> str:
    """A time span in its largest sensible unit."""
    if seconds >= 2 * 86400:
        return say("days", language, count=int(seconds // 86400))
    if seconds >= 2 * 3600:
        return say("hours", language, count=int(seconds // 3600))
    return say("minutes", language, count=max(0, int(seconds // 60)))


def impact(diagnosis: dict, language: str) -> list:
    """Sentences on what happens to mail meanwhile, the first being whether it is lost."""
    found = diagnosis["impact"]
    kind = found["class"]
    services = set(diagnosis["scope"].get("services") or [])
    # Where only people's access fails, no sender is concerned.
    if kind in ("refused", "hanging", "tempfail") and services and not services & _TOUCHES_MAIL:
        kind = "access"
    sentences = [word("impact", kind, language)]
    if found.get("contained"):
        sentences.append(say("contained", language))
    elif kind in ("lost", "silent"):
        sentences.append(say("stop_loss", language))
    left = [item.get("expires_in_seconds") for item in diagnosis.get("bounce_clock") or [] if isinstance(item.get("expires_in_seconds"), (int, float))]
    if left and diagnosis["verdict"] != "healthy":
        sentences.append(say("bounce_clock", language, time=period(min(left), language)))
    return sentences


def scope(diagnosis: dict, language: str) -> list:
    """``[kind, services, hosts, users]`` as texts; what is empty is left out."""
    found = diagnosis["scope"]
    parts = [word("scope", found["kind"], language)]
    parts.append(", ".join(word("service", name, language) for name in found.get("services") or []))
    parts.append(say("on_host", language, host=few(found["hosts"])) if found.get("hosts") else "")
    parts.append(few(found.get("users") or []))
    return [part for part in parts if part]


def next_step(diagnosis: dict, language: str) -> tuple:
    """``(words, commands)`` of what to do now; words that the first cause's remedies say already are left out."""
    following = diagnosis.get("next") or {}
    words = clean(in_language(following, language), 600)
    said = {clean(in_language(remedy.get("summary"), language), 600) for remedy in diagnosis["causes"][0].get("remedies", [])}
    return "" if words in said else words, [clean(command, 600) for command in following.get("commands") or []]


def few(items: list, most: int = 4) -> str:
    """The first of a list of names, and how many more there are."""
    shown = ", ".join(clean(item, 80) for item in items[:most])
    return f"{shown} (+{len(items) - most})" if len(items) > most else shown


def title(cause: dict, language: str) -> str:
    """A cause's title with its host."""
    text = clean(in_language(cause.get("title"), language) or cause["id"], 200)
    return f"{text}, {say('on_host', language, host=clean(cause['host'], 80))}" if cause.get("host") else text


def standing(cause: dict, causes: list, language: str) -> str:
    """How sure a cause is, since when, and of what it is a consequence."""
    parts = [say("sure", language, percent=round(100 * cause["confidence"]))]
    if cause.get("since"):
        parts.append(say("since", language, time=moment(cause["since"])))
    parent = next((other for other in causes if cause["id"] in other.get("explains", ()) and other is not cause), None)
    if not cause.get("root") and is_cause(cause):
        parts.append(say("follows", language, cause=parent["id"]) if parent else say("hint", language))
    return ", ".join(parts)


def brief(cause: dict, causes: list, language: str) -> str:
    """What a further cause is, in a word or two: a consequence, a hint, or how sure it is."""
    if cause.get("root"):
        return say("sure", language, percent=round(100 * cause["confidence"]))
    return say("consequence" if any(cause["id"] in other.get("explains", ()) for other in causes) else "hint", language)


def heading(cause: dict, language: str) -> str:
    """What the first finding is: a root cause, or that there is none."""
    return say(_HEADINGS.get(cause["id"], "head_cause"), language)


def is_cause(cause: dict) -> bool:
    """Whether it is a cause, and not the statement that there is none."""
    return cause["id"] not in _HEADINGS


def place(evidence: dict) -> str:
    """Where a piece of evidence can be looked up again: ``source:line``."""
    source = clean(evidence.get("source"), 300)
    return f"{source}:{clean(evidence['line'], 20)}" if evidence.get("line") is not None else source


def probe_result(probe: dict, language: str) -> str:
    if probe.get("ok"):
        return say("works", language)
    if probe.get("step"):
        return say("fails_at", language, step=clean(probe["step"], 40), outcome=clean(probe.get("outcome"), 40))
    return say("fails", language, outcome=clean(probe.get("outcome"), 40))


def probe_words(probe: dict) -> str:
    """What the server said: where it failed its last answer, else its greeting."""
    said = (probe.get("banner") or probe.get("answer")) if probe.get("ok") else (probe.get("answer") or probe.get("banner"))
    return clean(said, 200)


def by_area(causes: list) -> dict:
    """``{area: "name, name"}`` of a list of ``{id}``."""
    areas: dict = {}
    for item in causes:
        area, _dot, name = clean(item["id"], 80).partition(".")
        areas.setdefault(area, []).append(name)
    return {area: ", ".join(names) for area, names in areas.items()}


def probes_in_order(diagnosis: dict) -> list:
    """The probes, those that failed first."""
    return sorted(diagnosis.get("probes") or [], key=lambda probe: (bool(probe.get("ok")), str(probe.get("host")), str(probe.get("id"))))
