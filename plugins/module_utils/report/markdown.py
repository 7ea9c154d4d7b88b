"""The full report in Markdown (CommonMark with GitHub's tables)."""
from __future__ import annotations

import re

from ansible_collections.mailops.outage.plugins.module_utils.report import content
from ansible_collections.mailops.outage.plugins.module_utils.report.words import in_language, say
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_MOST_ROWS = 200
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def text(value: object, limit: int = 600) -> str:
    """Text from anywhere as Markdown that shows it and does nothing: no tag, link, code, emphasis, table cell or formula."""
    escaped = re.sub(r"[&<>]", lambda match: _ENTITIES[match.group()], clean(value, limit))
    # An underscore inside a word is no emphasis.
    escaped = re.sub(r"([\\`*{}\[\]|~#$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))", r"\\\1", escaped)
    # What begins a list, a heading or a table's rule where it stands first.
    escaped = re.sub(r"^(\d{0,9})([-+=:.)])", r"\1\\\2", escaped)
    # Web addresses become links by themselves where they are not broken up.
    return re.sub(r"(?i)\b(https?|ftp|mailto|xmpp):|\b(www)\.", lambda match: f"{match.group(1)}\\:" if match.group(1) else f"{match.group(2)}\\.", escaped)


def code(command: object) -> list:
    """A command of this project as a block that can be copied."""
    return ["```sh", clean(command, 600).replace("`", "'").replace("<", "&lt;"), "```"]


def table(heads: list, rows: list, language: str) -> list:
    """A table of texts that are escaped already; of a very long one the beginning, and how much is left out."""
    if not rows:
        return [say("none", language), ""]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    lines += ["| " + " | ".join(row) + " |" for row in rows[:_MOST_ROWS]]
    if len(rows) > _MOST_ROWS:
        lines += ["", say("cut", language, count=len(rows) - _MOST_ROWS)]
    return lines + [""]


def render(diagnosis: dict, language: str = "en") -> str:
    """The report of a diagnosis in the shape of docs/schemas/diagnosis.schema.json."""
    causes = diagnosis["causes"]
    lines = [f"# {say('title', language)}: {content.word('verdict', diagnosis['verdict'], language)}", ""]
    lines += _overview(diagnosis, language)
    lines += [f"## {content.heading(causes[0], language)}", ""]
    lines += _cause(causes[0], causes, language)
    lines += _next(diagnosis, language)
    if causes[1:]:
        lines += [f"## {say('head_others', language)}", ""]
        for cause in causes[1:]:
            lines += [f"### {cause['rank']}. {text(content.title(cause, language))}", ""] + _cause(cause, causes, language, named=True)
    lines += _estate(diagnosis, language) + _changes(diagnosis, language) + _probes(diagnosis, language)
    lines += _ruled_out(diagnosis, language) + _not_visible(diagnosis, language) + _run(diagnosis, language)
    return "\n".join(lines).rstrip() + "\n"


def _overview(diagnosis: dict, language: str) -> list:
    said = [content.word("about", diagnosis["verdict"], language)]
    if diagnosis["severity"] != "none":
        said = [content.word("severity", diagnosis["severity"], language)]
        if diagnosis["impact"].get("since"):
            said.append(say("since", language, time=content.moment(diagnosis["impact"]["since"])))
        if diagnosis.get("confirmed") is not None:
            said.append(say("confirmed" if diagnosis["confirmed"] else "unconfirmed", language))
    lines = [f"**{text(', '.join(said))}**", "", f"- **{say('head_mail', language)}:** {text(' '.join(content.impact(diagnosis, language)))}"]
    if diagnosis["scope"]["kind"] != "none":
        lines.append(f"- **{say('head_scope', language)}:** {text('; '.join(content.scope(diagnosis, language)))}")
    return lines + [""]


def _cause(cause: dict, causes: list, language: str, named: bool = False) -> list:
    lines = [] if named or not content.is_cause(cause) else [f"**{text(content.title(cause, language))}**", ""]
    if content.is_cause(cause):
        lines += [f"{text(cause['id'])}: {text(content.standing(cause, causes, language))}", ""]
    if in_language(cause.get("explanation"), language):
        lines += [text(in_language(cause["explanation"], language)), ""]
    if cause.get("evidence"):
        lines += [f"**{say('head_evidence', language)}**", ""]
        for item in cause["evidence"]:
            when = f" ({text(content.moment(item['time']))})" if item.get("time") else ""
            where = " ".join(text(part) for part in (item.get("host"), content.place(item)) if part)
            lines.append(f"- {text(item.get('text'))}{when}" + (f"  \n  {where}" if where else ""))
        lines.append("")
    if cause.get("explains"):
        lines += [f"**{say('head_explains', language)}:** {text(', '.join(cause['explains']))}", ""]
    lines += _remedies(cause, language)
    if in_language(cause.get("never"), language):
        lines += [f"**{say('head_never', language)}:** {text(in_language(cause['never'], language))}", ""]
    if cause.get("rank") == 1 and in_language(cause.get("users"), language):
        lines += [f"**{say('head_users', language)}:** {text(in_language(cause['users'], language))}", ""]
    return lines


def _remedies(cause: dict, language: str) -> list:
    if not cause.get("remedies"):
        return []
    lines = [f"**{say('head_remedies', language)}**", ""]
    for number, remedy in enumerate(cause["remedies"], 1):
        lines.append(f"{number}. {text(in_language(remedy.get('summary'), language))} ({text(content.word('class', remedy.get('class'), language))})")
        if in_language(remedy.get("undo"), language):
            lines.append(f"   {say('undo', language)}: {text(in_language(remedy['undo'], language))}")
    return lines + [""]


def _next(diagnosis: dict, language: str) -> list:
    lines = []
    words, commands = content.next_step(diagnosis, language)
    if diagnosis.get("advice"):
        lines += [f"## {say('head_advice', language)}", ""] + [f"- {text(in_language(item, language))}" for item in diagnosis["advice"]] + [""]
    if words or commands:
        lines += [f"## {say('head_next', language)}", ""] + ([text(words), ""] if words else [])
        for command in commands:
            lines += code(command) + [""]
    return lines


def _estate(diagnosis: dict, language: str) -> list:
    estate = diagnosis.get("estate") or {}
    if not estate.get("hosts"):
        return []
    rows = [[text(host["name"]), text(", ".join(host.get("roles") or []) or "-"), text(", ".join(host.get("software") or []) or "-"),
             say("yes", language) if host["reachable"] else f"{say('no', language)}: {text(host.get('error'))}"] for host in estate["hosts"]]
    lines = [f"## {say('head_hosts', language)}", ""]
    lines += table([say(name, language) for name in ("host", "roles", "software", "reachable")], rows, language)
    if estate.get("domains"):
        lines += [f"{say('domains', language)}: {text(', '.join(estate['domains']))}", ""]
    return lines


def _changes(diagnosis: dict, language: str) -> list:
    if not diagnosis.get("changes"):
        return []
    rows = [[text(change.get("host")), text(f"{change.get('what')} {change.get('name')}"), text(change.get("before") or "-"), text(change.get("after") or "-"),
             text(change.get("source"))] for change in diagnosis["changes"]]
    heads = [say(name, language) for name in ("host", "what", "before", "after", "source")]
    return [f"## {say('head_changes', language)}", ""] + table(heads, rows, language)


def _probes(diagnosis: dict, language: str) -> list:
    rows = [[text(probe.get("host")), text(probe.get("id")), text(probe.get("vantage")), text(content.probe_result(probe, language)),
             text(content.probe_words(probe))] for probe in content.probes_in_order(diagnosis)]
    heads = [say(name, language) for name in ("host", "probe", "from", "result", "answer")]
    return [f"## {say('head_probes', language)}", ""] + table(heads, rows, language)


def _ruled_out(diagnosis: dict, language: str) -> list:
    found = diagnosis.get("ruled_out") or []
    lines = [f"## {say('head_ruled_out', language)}", "", say("ruled_out_count", language, count=len(found)), ""]
    return lines + [f"- {text(area)}: {text(names, 4000)}" for area, names in content.by_area(found).items()] + [""]


def _not_visible(diagnosis: dict, language: str) -> list:
    found = diagnosis.get("not_visible") or []
    lines = [f"- {text(item)}" for item in found[:_MOST_ROWS]] or [say("none", language)]
    if len(found) > _MOST_ROWS:
        lines += ["", say("cut", language, count=len(found) - _MOST_ROWS)]
    return [f"## {say('head_not_visible', language)}", ""] + lines + [""]


def _run(diagnosis: dict, language: str) -> list:
    times = {name: clean(diagnosis.get(name), 40) for name in ("started", "finished")}
    lines = [f"## {say('head_run', language)}", "", text(say("run_times", language, run=clean(diagnosis["run_id"], 80), **times)), ""]
    if diagnosis.get("severity_rule"):
        lines += [text(say("severity_rule", language, rule=diagnosis["severity_rule"])), ""]
    if diagnosis.get("versions"):
        lines += [text(", ".join(f"{name} {version}" for name, version in sorted(diagnosis["versions"].items()))), ""]
    return lines
