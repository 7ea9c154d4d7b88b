"""From conditions that hold to causes in order: candidates, consequences, time.

1. A cause whose conditions hold is a candidate. Conditions that hold together strengthen it as independent
   witnesses do (1 minus the product of the doubts).
2. A candidate that a surer or equal one explains is a consequence: it stays in the list, but not as a root.
3. What rests on log lines alone is trusted as far as their writers are known: lines of plain files, which anybody on the host may
   write, and lines about what a peer said or did, make a cause, but none that is sure enough to act on.
4. Between the roots the surer goes first; between equals the one that changed since the known-good snapshot,
   then the one that started earlier.
"""
from __future__ import annotations

import math
from dataclasses import dataclass, field

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import conditions
from ansible_collections.mailops.outage.plugins.module_utils.diagnosis.catalogue import Catalogue, Cause
from ansible_collections.mailops.outage.plugins.module_utils.diagnosis.view import without_words
from ansible_collections.mailops.outage.plugins.module_utils.log.signatures import JOURNAL, REMOTE
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

# Two confidences nearer than this are taken as equal, and time decides.
_SAME = 0.1
_MOST_EVIDENCE = 8
# Below this a candidate is only a hint: it is listed, but it is not called the root cause.
SURE_ENOUGH = 0.5
# Below what a repair wants (remediate_confidence), above what makes a root cause (SURE_ENOUGH).
HEARSAY_AT_MOST = 0.65


@dataclass
class Candidate:
    """A cause that may be the one, on one host (``host`` is empty for the estate as a whole).

    ``by_facts`` is what its conditions are worth without a word that others can write (see view.without_words).
    """

    cause: Cause
    host: str
    confidence: float
    evidence: list = field(default_factory=list)
    since_epoch: float | None = None
    changed: bool = False
    users: set = field(default_factory=set)
    explained_by: list = field(default_factory=list)
    explains: list = field(default_factory=list)
    by_facts: float = 0.0
    explained_by_facts: bool = False

    @property
    def root(self) -> bool:
        return not self.explained_by and self.cause.kind == "fault"

    @property
    def root_by_facts(self) -> bool:
        """Whether facts alone make it a cause, and facts alone explain it by no other: only such a one may lead to a change."""
        return self.by_facts >= SURE_ENOUGH and not self.explained_by_facts and self.cause.kind == "fault"


def _items(value: object) -> list:
    """What a ``show`` expression yielded, as a flat list of mappings."""
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list):
        return [item for part in value for item in _items(part)]
    return []


def _evidence(item: dict, host: str, kind: str) -> dict:
    text = item.get("text")
    if isinstance(text, (list, tuple)):
        text = "; ".join(clean(part, 200) for part in text)
    return {
        "kind": str(item.get("kind") or kind),
        "host": clean(item.get("host") or host, 120),
        "source": clean(item.get("source"), 300),
        "line": item.get("line") if isinstance(item.get("line"), int) else (clean(item["line"], 40) if item.get("line") else None),
        "time": clean(item["time"], 40) if item.get("time") else None,
        "text": clean(text, 300),
    }


def _epoch(item: dict) -> float | None:
    value = item.get("epoch")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def candidate(cause: Cause, view: dict) -> Candidate | None:
    """The candidate that ``cause`` is in this view, or None when no condition holds."""
    host = view.get("host", "")
    doubts, evidence, times, users = [], [], [], set()
    hearsay = True
    for condition in cause.conditions:
        match = None
        if condition.signature:
            match = (view.get("seen") or {}).get(condition.signature) or {}
            if not match.get("current"):
                continue
        if condition.when and not conditions.holds(condition.when, view):
            continue
        doubts.append(1.0 - condition.confidence)
        hearsay = hearsay and match is not None and match.get("trust") != JOURNAL
        if condition.show:
            for item in _items(conditions.look(condition.show, view)):
                evidence.append(_evidence(item, host, "fact"))
                times.append(_epoch(item))
        if match:
            times.append(match.get("first_epoch"))
            users.update((match.get("groups") or {}).get("user") or {})
            kind = "remote" if match.get("trust") == REMOTE else "log"
            evidence += [_evidence(sample, host, kind) for sample in match.get("samples") or []]
    if not doubts:
        return None
    unique = []
    for item in evidence:
        if item["text"] and item not in unique:
            unique.append(item)
    known = [moment for moment in times if moment]
    confidence = round(1.0 - math.prod(doubts), 3)
    return Candidate(cause, host, min(confidence, HEARSAY_AT_MOST) if hearsay else confidence, unique[:_MOST_EVIDENCE], min(known) if known else None,
                     users=users, by_facts=_by_facts(cause, view))


def _by_facts(cause: Cause, view: dict) -> float:
    """What the conditions that hold in the facts alone are worth together."""
    bare = without_words(view)
    doubts = [1.0 - condition.confidence for condition in cause.conditions if not condition.signature and conditions.holds(condition.when, bare)]
    return round(1.0 - math.prod(doubts), 3)


def _explains(reason: Candidate, effect: Candidate) -> bool:
    if reason is effect:
        return False
    if reason.host == effect.host or not reason.host or not effect.host:
        return effect.cause.id in reason.cause.explains
    return effect.cause.id in reason.cause.explains_on_peers


def rank(candidates: list) -> list:
    """Mark the consequences and return the candidates in order: roots first.

    A candidate explains another only when it is itself sure enough: a guess does not explain a certainty away.
    When two explain each other the surer is the cause.
    """
    for one in candidates:
        for other in candidates:
            if not _explains(one, other) or one.confidence < SURE_ENOUGH or one.cause.kind == "risk":
                continue
            if _explains(other, one) and (other.confidence, -(other.since_epoch or math.inf)) > (one.confidence, -(one.since_epoch or math.inf)):
                continue
            other.explained_by.append(one.cause.id)
            other.explained_by_facts = other.explained_by_facts or one.by_facts >= SURE_ENOUGH
            one.explains.append(other.cause.id)
    return sorted(candidates, key=lambda item: (
        not item.root, item.cause.kind == "risk", -math.floor(item.confidence / _SAME), not item.changed,
        item.since_epoch or math.inf, -item.confidence, item.cause.id, item.host,
    ))


def find(catalogue: Catalogue, views: list, estate: dict) -> tuple[list, list]:
    """Return (candidates in order, ruled out).

    ``ruled_out`` are the causes that were looked for on hosts that could be seen, and whose conditions do not
    hold: ``[{id, because}]``.
    """
    found, ruled_out = [], []
    for cause in catalogue:
        if not cause.conditions:
            continue
        where = [estate] if cause.looks_at == "estate" else views
        hits = [item for item in (candidate(cause, view) for view in where) if item]
        found += hits
        if not hits:
            visible = cause.looks_at == "estate" or all(view["connection"]["ok"] for view in views)
            if visible:
                ruled_out.append({"id": cause.id, "because": "looked for, no sign of it"})
    for item in found:
        view = estate if not item.host else next((view for view in views if view["host"] == item.host), {})
        item.changed = any(str(change.get("name", "")) in evidence["text"] + evidence["source"]
                           for change in view.get("changed") or [] if change.get("name") for evidence in item.evidence)
    return rank(found), ruled_out
