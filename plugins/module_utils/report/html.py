"""The full report as one HTML page: nothing is loaded from elsewhere and nothing runs in it."""
from __future__ import annotations

import base64
import hashlib
import html

from ansible_collections.mailops.outage.plugins.module_utils.report import content
from ansible_collections.mailops.outage.plugins.module_utils.report.words import in_language, say
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_MOST_ROWS = 300
_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --card: #f5f6f8; --text: #16191d; --soft: #565d66; --line: #d5d9de; --bad: #b3261e; --warn: #8a5a00;
  --good: #1b6e3c; --unknown: #5b3f9e; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171a; --card: #1e2327; --text: #e8eaed; --soft: #a3abb3; --line: #394047; --bad: #c9423a;
  --warn: #94650c; --good: #25804a; --unknown: #7658c0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; background: var(--ground); color: var(--text); font: 1rem/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere; }
header { padding: 1rem 1.25rem; border-radius: .5rem; color: #fff; background: var(--unknown); }
header.outage { background: var(--bad); } header.degraded { background: var(--warn); } header.healthy { background: var(--good); }
header h1 { margin: 0; font-size: 1.75rem; letter-spacing: .02em; } header p { margin: .25rem 0 0; }
h2 { margin: 2rem 0 .5rem; font-size: 1.25rem; } h3 { margin: 1.25rem 0 .25rem; font-size: 1rem; }
.lead { font-size: 1.15rem; font-weight: 600; } .soft { color: var(--soft); font-size: .9rem; }
.card { padding: .25rem 1.25rem 1rem; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
.never { border-left: .35rem solid var(--bad); padding-left: .75rem; }
ul, ol { padding-left: 1.25rem; } li { margin: .4rem 0; }
.proof { font-family: ui-monospace, monospace; font-size: .9rem; }
pre { padding: .75rem; background: var(--card); border: 1px solid var(--line); border-radius: .35rem; white-space: pre-wrap; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; overflow-wrap: normal; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td { max-width: 24rem; min-width: 5rem; overflow-wrap: break-word; }
tr.bad td:first-child { border-left: .25rem solid var(--bad); } summary { cursor: pointer; padding: .35rem 0; font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1rem; margin: 1rem 0; } dt { color: var(--soft); } dd { margin: 0; }
@media (max-width: 36rem) { dl { grid-template-columns: 1fr; gap: 0 1rem; } dd { margin-bottom: .5rem; } .card { padding: .25rem .85rem .75rem; } }
@media print { header { color: #000; border: 2px solid #000; } }
"""
# Only this very style may apply; everything else is forbidden.
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-{_DIGEST}'"


def text(value: object, limit: int = 600) -> str:
    """Text from anywhere, as HTML that shows it and does nothing."""
    return html.escape(clean(value, limit), quote=True)


def element(name: str, inner: str, kind: str = "") -> str:
    """One element around HTML that is safe already."""
    return f'<{name} class="{kind}">{inner}</{name}>' if kind else f"<{name}>{inner}</{name}>"


def items(entries: list, ordered: bool = False) -> str:
    return element("ol" if ordered else "ul", "\n".join(element("li", entry) for entry in entries))


def table(heads: list, rows: list, language: str) -> str:
    """``rows`` are ``(is it bad, [texts])``. Of a very long table the beginning, and how much is left out."""
    if not rows:
        return element("p", say("none", language))
    head = element("tr", "".join(element("th", text(cell)) for cell in heads))
    body = "\n".join(element("tr", "".join(element("td", text(cell)) for cell in cells), "bad" if bad else "") for bad, cells in rows[:_MOST_ROWS])
    left = element("p", say("cut", language, count=len(rows) - _MOST_ROWS), "soft") if len(rows) > _MOST_ROWS else ""
    return f'<div class="wide">{element("table", element("thead", head) + element("tbody", body))}</div>{left}'


def folded(head: str, inner: str) -> str:
    """A part that opens on demand."""
    return element("details", element("summary", text(head)) + inner)


def render(diagnosis: dict, language: str = "en") -> str:
    """The page of a diagnosis in the shape of docs/schemas/diagnosis.schema.json."""
    causes = diagnosis["causes"]
    parts = [_header(diagnosis, language), _overview(diagnosis, language), element("h2", text(content.heading(causes[0], language))),
             element("section", _cause(causes[0], causes, language), "card"), _next(diagnosis, language)]
    if causes[1:]:
        parts.append(element("h2", say("head_others", language)))
        parts += [folded(f"{cause['rank']}. {content.title(cause, language)} ({content.standing(cause, causes, language)})", _cause(cause, causes, language))
                  for cause in causes[1:]]
    parts += [_estate(diagnosis, language), _changes(diagnosis, language), _probes(diagnosis, language), _ruled_out(diagnosis, language),
              _not_visible(diagnosis, language), _run(diagnosis, language)]
    name = f"{say('title', language)}: {content.word('verdict', diagnosis['verdict'], language)}"
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(name)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(part for part in parts if part) + "\n</body>\n</html>\n"
    )


def _header(diagnosis: dict, language: str) -> str:
    said = [content.word("about", diagnosis["verdict"], language)]
    if diagnosis["severity"] != "none":
        said.append(content.word("severity", diagnosis["severity"], language))
        if diagnosis["impact"].get("since"):
            said.append(say("since", language, time=content.moment(diagnosis["impact"]["since"])))
        if diagnosis.get("confirmed") is not None:
            said.append(say("confirmed" if diagnosis["confirmed"] else "unconfirmed", language))
    verdict = diagnosis["verdict"] if diagnosis["verdict"] in ("outage", "degraded", "healthy") else "unknown"
    return element("header", element("h1", text(content.word("verdict", verdict, language))) + element("p", text(" · ".join(said))), verdict)


def _overview(diagnosis: dict, language: str) -> str:
    rows = [(say("head_mail", language), " ".join(content.impact(diagnosis, language)))]
    if diagnosis["scope"]["kind"] != "none":
        rows.append((say("head_scope", language), "; ".join(content.scope(diagnosis, language))))
    return element("dl", "".join(element("dt", text(name)) + element("dd", text(value)) for name, value in rows))


def _cause(cause: dict, causes: list, language: str) -> str:
    parts = []
    if content.is_cause(cause):
        parts.append(element("p", text(content.title(cause, language)), "lead"))
        parts.append(element("p", f"{text(cause['id'])}: {text(content.standing(cause, causes, language))}", "soft"))
    if in_language(cause.get("explanation"), language):
        parts.append(element("p", text(in_language(cause["explanation"], language))))
    if cause.get("evidence"):
        parts += [element("h3", say("head_evidence", language)), items([_evidence(item) for item in cause["evidence"]])]
    if cause.get("remedies"):
        parts += [element("h3", say("head_remedies", language)), items([_remedy(remedy, language) for remedy in cause["remedies"]], ordered=True)]
    if in_language(cause.get("never"), language):
        parts += [element("h3", say("head_never", language)), element("p", text(in_language(cause["never"], language)), "never")]
    if cause.get("explains"):
        parts += [element("h3", say("head_explains", language)), element("p", text(", ".join(cause["explains"])))]
    if cause.get("rank") == 1 and in_language(cause.get("users"), language):
        parts += [element("h3", say("head_users", language)), element("p", text(in_language(cause["users"], language)))]
    return "\n".join(parts)


def _evidence(item: dict) -> str:
    where = " · ".join(text(part) for part in (item.get("host"), content.place(item), content.moment(item.get("time"))) if part)
    return element("span", text(item.get("text")), "proof") + "<br>" + element("span", where, "soft")


def _remedy(remedy: dict, language: str) -> str:
    said = text(in_language(remedy.get("summary"), language)) + "<br>" + element("span", text(content.word("class", remedy.get("class"), language)), "soft")
    if in_language(remedy.get("undo"), language):
        said += "<br>" + element("span", f"{say('undo', language)}: {text(in_language(remedy['undo'], language))}", "soft")
    return said


def _next(diagnosis: dict, language: str) -> str:
    parts = []
    words, commands = content.next_step(diagnosis, language)
    if diagnosis.get("advice"):
        parts += [element("h2", say("head_advice", language)), items([text(in_language(item, language)) for item in diagnosis["advice"]])]
    if words or commands:
        parts += [element("h2", say("head_next", language)), element("p", text(words))] + [element("pre", text(command)) for command in commands]
    return "\n".join(parts)


def _estate(diagnosis: dict, language: str) -> str:
    estate = diagnosis.get("estate") or {}
    if not estate.get("hosts"):
        return ""
    rows = [(not host["reachable"], [host["name"], ", ".join(host.get("roles") or []) or "-", ", ".join(host.get("software") or []) or "-",
                                     say("yes", language) if host["reachable"] else f"{say('no', language)}: {clean(host.get('error'), 200)}"])
            for host in estate["hosts"]]
    heads = [say(name, language) for name in ("host", "roles", "software", "reachable")]
    domains = element("p", f"{say('domains', language)}: {text(', '.join(estate['domains']))}", "soft") if estate.get("domains") else ""
    return element("h2", say("head_hosts", language)) + table(heads, rows, language) + domains


def _changes(diagnosis: dict, language: str) -> str:
    if not diagnosis.get("changes"):
        return ""
    rows = [(False, [change.get("host"), f"{change.get('what')} {change.get('name')}", change.get("before") or "-", change.get("after") or "-",
                     change.get("source")]) for change in diagnosis["changes"]]
    heads = [say(name, language) for name in ("host", "what", "before", "after", "source")]
    return element("h2", say("head_changes", language)) + table(heads, rows, language)


def _probes(diagnosis: dict, language: str) -> str:
    rows = [(not probe.get("ok"), [probe.get("host"), probe.get("id"), probe.get("vantage"), content.probe_result(probe, language),
                                   content.probe_words(probe)]) for probe in content.probes_in_order(diagnosis)]
    heads = [say(name, language) for name in ("host", "probe", "from", "result", "answer")]
    return element("h2", say("head_probes", language)) + table(heads, rows, language)


def _ruled_out(diagnosis: dict, language: str) -> str:
    found = diagnosis.get("ruled_out") or []
    count = say("ruled_out_count", language, count=len(found))
    areas = items([f"{text(area)}: {text(names, 4000)}" for area, names in content.by_area(found).items()])
    return element("h2", say("head_ruled_out", language)) + (folded(count, areas) if found else element("p", count))


def _not_visible(diagnosis: dict, language: str) -> str:
    found = diagnosis.get("not_visible") or []
    said = items([text(item) for item in found[:_MOST_ROWS]]) if found else element("p", say("none", language))
    if len(found) > _MOST_ROWS:
        said += element("p", say("cut", language, count=len(found) - _MOST_ROWS), "soft")
    return element("h2", say("head_not_visible", language)) + said


def _run(diagnosis: dict, language: str) -> str:
    times = {name: clean(diagnosis.get(name), 40) for name in ("started", "finished")}
    parts = [say("run_times", language, run=clean(diagnosis["run_id"], 80), **times)]
    if diagnosis.get("severity_rule"):
        parts.append(say("severity_rule", language, rule=diagnosis["severity_rule"]))
    if diagnosis.get("versions"):
        parts.append(", ".join(f"{name} {version}" for name, version in sorted(diagnosis["versions"].items())))
    return element("footer", "".join(element("p", text(part), "soft") for part in parts))
