"""The summary at the end of a run: what a tired person understands in ten seconds, on one screen."""
from __future__ import annotations

import unicodedata

from ansible_collections.mailops.outage.plugins.module_utils.report import content
from ansible_collections.mailops.outage.plugins.module_utils.report.words import in_language, say
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

LINES = 24
_LEAST_WIDTH = 40
_COLOURS = {"outage": "41;97", "degraded": "43;30", "healthy": "42;30", "unknown": "45;97"}
_LABEL_COLOURS = {"label_never": "31", "label_do": "32"}
# From generous to bare: pieces of evidence, lines of explanation, further causes. The first that fits is taken.
_MEASURES = ((3, 3, 4), (2, 3, 4), (2, 3, 2), (2, 3, 1), (2, 2, 1), (1, 2, 1), (1, 1, 1), (1, 1, 0), (1, 0, 0))


def columns(text: str) -> int:
    """The columns that a text takes on a terminal."""
    return sum(0 if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn")
               else 2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def cut(text: str, width: int) -> str:
    """As much of ``text`` as fits into ``width`` columns; a cut shows as an ellipsis."""
    if columns(text) <= width:
        return text
    kept = text
    while kept and columns(kept) > width - 1:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def wrap(text: str, width: int, most: int) -> list:
    """``text`` in at most ``most`` lines of ``width`` columns; a cut shows as an ellipsis."""
    lines: list = []
    rest = text
    while rest and len(lines) < most:
        if len(lines) == most - 1 or columns(rest) <= width:
            lines.append(cut(rest, width))
            break
        end = len(rest)
        while columns(rest[:end]) > width:
            space = rest.rfind(" ", 1, end)
            end = space if space > 0 else end - 1
        lines.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return lines


class _Screen:
    """Lines with a column of labels."""

    def __init__(self, language: str, width: int, colour: bool):
        self.language = language
        self.width = width
        self.colour = colour
        self.lines: list = []
        labels = ("mail", "who", "cause", "because", "do", "undo", "never", "also", "risks", "look", "unseen", "next", "report")
        self.indent = 2 + max(columns(say(f"label_{name}", language)) for name in labels)

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code else text

    def add(self, label: str, text: str, most: int = 2) -> None:
        """One labelled entry; without text there is none."""
        for number, line in enumerate(wrap(clean(text, 1000), self.width - self.indent, most)):
            name = say(label, self.language) if label and not number else ""
            head = name + " " * (self.indent - columns(name))
            self.lines.append((self.paint(head, f"1;{_LABEL_COLOURS[label]}" if label in _LABEL_COLOURS else "1") if name else head) + line)

    def gap(self) -> None:
        self.lines.append("")


def summary(diagnosis: dict, language: str = "en", width: int = 80, colour: bool = False, report: str = "") -> str:
    """At most 24 lines of at most ``width`` columns (40 at least). ``report`` is the path of the full report."""
    width = max(_LEAST_WIDTH, width)
    lines: list = []
    for measure in _MEASURES:
        lines = _lines(diagnosis, language, width, colour, report, *measure)
        if len(lines) <= LINES:
            break
    return "\n".join(lines[:LINES])


def _lines(diagnosis, language, width, colour, report, evidence, explanation, others) -> list:
    screen = _Screen(language, width, colour)
    first = diagnosis["causes"][0]
    sound = first["id"] == "none.healthy"
    _headline(screen, diagnosis)
    screen.add("label_mail", " ".join(content.impact(diagnosis, language)), 3)
    if sound:
        probes = diagnosis.get("probes") or []
        screen.add("", say("probes_passed", language, ok=sum(bool(probe.get("ok")) for probe in probes), count=len(probes),
                           hosts=len((diagnosis.get("estate") or {}).get("hosts") or [])))
    else:
        screen.add("label_who", "; ".join(content.scope(diagnosis, language)))
        screen.gap()
        _cause(screen, first, diagnosis["causes"], evidence, explanation)
        _what_to_do(screen, diagnosis, first)
    _others(screen, diagnosis["causes"], others, "label_risks" if sound else "label_also")
    unseen = diagnosis.get("not_visible") or []
    if len(unseen) == 1:
        screen.add("label_unseen", say("unseen_one", language, what=clean(unseen[0])), 1)
    elif unseen:
        screen.add("label_unseen", say("unseen_count", language, count=len(unseen)), 1)
    _next(screen, diagnosis)
    screen.add("label_report", report, 3)
    return screen.lines


def _headline(screen: _Screen, diagnosis: dict) -> None:
    """The verdict, and beside it how bad and how sure."""
    language, verdict = screen.language, diagnosis["verdict"]
    word = f" {content.word('verdict', verdict, language)} "
    parts = [content.word("about", verdict, language)]
    if diagnosis["severity"] != "none":
        parts = [content.word("severity", diagnosis["severity"], language)]
        if diagnosis["impact"].get("since"):
            parts.append(say("since", language, time=content.moment(diagnosis["impact"]["since"])))
        if diagnosis.get("confirmed") is False:
            parts.append(say("unconfirmed", language))
    text = cut(", ".join(parts), screen.width - columns(word) - 1)
    screen.lines.append(f"{screen.paint(word, '1;' + _COLOURS.get(verdict, '7'))} {screen.paint(text, '1')}")


def _cause(screen: _Screen, cause: dict, causes: list, evidence: int, explanation: int) -> None:
    standing = "" if not content.is_cause(cause) else f" ({content.standing(cause, causes, screen.language)})"
    screen.add("label_cause", content.title(cause, screen.language) + standing)
    if explanation:
        screen.add("", in_language(cause.get("explanation"), screen.language), explanation)
    for number, item in enumerate(cause.get("evidence", [])[:evidence]):
        where = ": ".join(part for part in (clean(item.get("host"), 80), content.place(item)) if part)
        screen.add("" if number else "label_because", clean(item.get("text"), 300))
        screen.add("", f"[{where}]", 1)


def _what_to_do(screen: _Screen, diagnosis: dict, cause: dict) -> None:
    language = screen.language
    if cause.get("remedies"):
        remedy = cause["remedies"][0]
        screen.add("label_do", f"{in_language(remedy.get('summary'), language)} ({content.word('class', remedy.get('class'), language)})", 3)
        screen.add("label_undo", in_language(remedy.get("undo"), language), 1)
    for number, advice in enumerate((diagnosis.get("advice") or [])[:3]):
        screen.add("" if number else "label_look", in_language(advice, language), 2)
    screen.add("label_never", in_language(cause.get("never"), language), 2)


def _others(screen: _Screen, causes: list, most: int, label: str) -> None:
    for number, cause in enumerate(causes[1:most + 1]):
        standing = f" ({content.brief(cause, causes, screen.language)})"
        screen.add("" if number else label, cut(content.title(cause, screen.language), screen.width - screen.indent - columns(standing)) + standing, 1)
    left = len(causes) - 1 - most
    if left > 0:
        screen.add("" if most else label, say("more_causes", screen.language, count=left), 1)


def _next(screen: _Screen, diagnosis: dict) -> None:
    """What to do now and its command."""
    words, commands = content.next_step(diagnosis, screen.language)
    for number, entry in enumerate(([words] if words else []) + [f"$ {command}" for command in commands[:2]]):
        screen.add("" if number else "label_next", entry)
