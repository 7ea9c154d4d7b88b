"""The catalogue of causes, as data: loading and checking.

One YAML file an area, one entry a cause. CONTRIBUTING.md shows the form of an entry; this file is the
judge of it, and says about a wrong one which file, which entry and what to do.
"""
from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import conditions
from ansible_collections.mailops.outage.plugins.module_utils.log.signatures import Signature

LANGUAGES = ("en", "nl")
IMPACTS = ("none", "refused", "hanging", "tempfail", "queued", "lost", "silent")
CLASSES = ("reversible", "disruptive", "human", "none")
JOURNEYS = ("inbound", "outbound", "submission", "retrieval", "delivery", "local")
SCOPES = ("all_users", "domain", "some_users", "single_user")


class CatalogueError(ValueError):
    """A wrong entry; the message names file, entry and field."""


@dataclass(frozen=True)
class Condition:
    """One way to recognise a cause: an expression that holds, a log signature that is current, or both.

    ``show`` yields the evidence; a signature shows its own samples. ``confidence`` is what this condition
    is worth alone (0 to 1); conditions that hold together add up as independent witnesses do.
    """

    when: str | None = None
    show: str | None = None
    signature: str | None = None
    confidence: float = 0.5


@dataclass(frozen=True)
class Cause:
    """One entry of the catalogue."""

    id: str
    title: dict
    explanation: dict
    users: dict
    impact: str
    journeys: tuple = ()
    scope: str = "all_users"
    looks_at: str = "host"
    kind: str = "fault"
    conditions: tuple = ()
    signatures: dict = field(default_factory=dict)
    explains: tuple = ()
    explains_on_peers: tuple = ()
    remedies: tuple = ()
    never: dict | None = None
    look_next: dict | None = None


def _words(where: str, name: str, value: object, required: bool = True) -> dict | None:
    if value is None and not required:
        return None
    if not isinstance(value, dict) or sorted(value) != sorted(LANGUAGES) or not all(isinstance(v, str) and v.strip() for v in value.values()):
        raise CatalogueError(f"{where}: {name} must be a text in each of {', '.join(LANGUAGES)}")
    return {language: " ".join(value[language].split()) for language in LANGUAGES}


def _one_of(where: str, name: str, value: object, known: tuple) -> str:
    if value not in known:
        raise CatalogueError(f"{where}: {name} is {value!r}; known are {', '.join(known)}")
    return value


def _condition(where: str, number: int, given: object, signatures: dict) -> Condition:
    where = f"{where}: condition {number}"
    if not isinstance(given, dict) or set(given) - {"when", "show", "signature", "confidence"}:
        raise CatalogueError(f"{where} takes when, show, signature and confidence")
    if not given.get("when") and not given.get("signature"):
        raise CatalogueError(f"{where} needs when or signature")
    if given.get("when") and not given.get("signature") and not given.get("show"):
        raise CatalogueError(f"{where} needs show: without evidence nobody can look it up again")
    for name in ("when", "show"):
        if given.get(name) is not None:
            try:
                conditions.check(given[name])
            except conditions.ConditionError as problem:
                raise CatalogueError(f"{where}: {name}: {problem}") from problem
    if given.get("signature") and given["signature"] not in signatures:
        raise CatalogueError(f"{where}: no signature {given['signature']!r} in this catalogue")
    confidence = given.get("confidence", 0.5)
    if not isinstance(confidence, (int, float)) or not 0 < confidence <= 1:
        raise CatalogueError(f"{where}: confidence must be above 0 and at most 1")
    return Condition(given.get("when"), given.get("show"), given.get("signature"), float(confidence))


def _remedy(where: str, given: object) -> dict:
    if not isinstance(given, dict) or set(given) - {"role", "class", "summary", "undo", "options", "options_from"}:
        raise CatalogueError(f"{where}: a remedy takes role, class, summary, undo, options and options_from")
    for name, expression in (given.get("options_from") or {}).items():
        try:
            conditions.check(expression)
        except conditions.ConditionError as problem:
            raise CatalogueError(f"{where}: options_from: {name}: {problem}") from problem
    return {
        "role": str(given.get("role") or "human"),
        "class": _one_of(where, "the remedy's class", given.get("class"), CLASSES),
        "summary": _words(where, "the remedy's summary", given.get("summary")),
        "undo": _words(where, "the remedy's undo", given.get("undo"), required=False),
        "options": dict(given.get("options") or {}),
        "options_from": dict(given.get("options_from") or {}),
    }


_FIELDS = {
    "title", "explanation", "users", "impact", "journeys", "scope", "looks_at", "kind", "conditions", "signatures",
    "explains", "explains_on_peers", "remedies", "never", "look_next",
}


def _cause(where: str, name: str, given: object, signatures: dict) -> Cause:
    where = f"{where}: {name}"
    if not re.fullmatch(r"[a-z]+\.[a-z0-9_]+", str(name)):
        raise CatalogueError(f"{where}: an id is area.name in lower case")
    if not isinstance(given, dict):
        raise CatalogueError(f"{where}: an entry is a mapping")
    if set(given) - _FIELDS:
        raise CatalogueError(f"{where}: unknown {', '.join(sorted(set(given) - _FIELDS))}")
    return Cause(
        id=name,
        title=_words(where, "title", given.get("title")),
        explanation=_words(where, "explanation", given.get("explanation")),
        users=_words(where, "users", given.get("users")),
        impact=_one_of(where, "impact", given.get("impact"), IMPACTS),
        journeys=tuple(_one_of(where, "a journey", journey, JOURNEYS) for journey in given.get("journeys") or ()),
        scope=_one_of(where, "scope", given.get("scope", "all_users"), SCOPES),
        looks_at=_one_of(where, "looks_at", given.get("looks_at", "host"), ("host", "estate")),
        kind=_one_of(where, "kind", given.get("kind", "fault"), ("fault", "risk")),
        conditions=tuple(_condition(where, number, item, signatures) for number, item in enumerate(given.get("conditions") or (), 1)),
        signatures=dict(given.get("signatures") or {}),
        explains=tuple(given.get("explains") or ()),
        explains_on_peers=tuple(given.get("explains_on_peers") or ()),
        remedies=tuple(_remedy(where, remedy) for remedy in given.get("remedies") or ()),
        never=_words(where, "never", given.get("never"), required=False),
        look_next=_words(where, "look_next", given.get("look_next"), required=False),
    )


class Catalogue:
    """All causes by id, and all log signatures by name."""

    def __init__(self, causes: dict, signatures: dict):
        self.causes = causes
        self.signatures = signatures

    def __getitem__(self, name: str) -> Cause:
        return self.causes[name]

    def __iter__(self):
        return iter(self.causes.values())

    def __len__(self) -> int:
        return len(self.causes)


def parse(documents: dict) -> Catalogue:
    """Build the catalogue from ``{file name: parsed YAML}``.

    Raises CatalogueError for a wrong entry, a cause or a signature that is given twice, and for an
    ``explains`` that names no cause.
    """
    owners: dict = {}
    signatures: dict = {}
    for where, entries in documents.items():
        if not isinstance(entries, dict):
            raise CatalogueError(f"{where}: must be a mapping of causes")
        for name, entry in entries.items():
            if name in owners:
                raise CatalogueError(f"{where}: {name} stands already in {owners[name]}")
            owners[name] = where
            for signature, spec in ((entry or {}).get("signatures") or {}).items():
                if signature in signatures:
                    raise CatalogueError(f"{where}: {name}: the signature {signature} is given twice")
                try:
                    Signature(signature, spec)
                except ValueError as problem:
                    raise CatalogueError(f"{where}: {name}: {problem}") from problem
                signatures[signature] = spec
    causes = {
        name: _cause(where, name, entry, signatures)
        for where, entries in documents.items() for name, entry in entries.items()
    }
    for cause in causes.values():
        for other in cause.explains + cause.explains_on_peers:
            if other not in causes:
                raise CatalogueError(f"{owners[cause.id]}: {cause.id}: explains {other}, which is no cause of this catalogue")
    return Catalogue(causes, signatures)


def load(folder: str) -> Catalogue:
    """Read every ``*.yml`` of ``folder``. Raises CatalogueError, also for YAML that cannot be read."""
    # Here and not above: Ansible brings it on the controller, and nowhere else is it needed.
    import yaml

    documents = {}
    names = sorted(name for name in os.listdir(folder) if name.endswith(".yml"))
    if not names:
        raise CatalogueError(f"{folder}: no catalogue file (*.yml)")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for name in names:
        with open(os.path.join(folder, name), encoding="utf-8") as stream:
            try:
                documents[name] = yaml.load(stream, Loader=loader) or {}
            except yaml.YAMLError as problem:
                raise CatalogueError(f"{name}: {problem}") from problem
    return parse(documents)
