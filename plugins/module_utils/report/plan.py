"""The plan of a repair on the terminal: what would be done, why, and how it is undone, with the commands for those who prefer to type."""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.report.words import in_language, say
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_MOST_COMMANDS = 12


def lines(plan: dict, mode: str, language: str, rollback_after: int, path: str) -> list:
    """The plan as lines of text, without colours. ``rollback_after`` in seconds; ``path`` is where the whole plan is."""
    ready = sum(1 for step in plan["steps"] if not step["blocked"]) if not plan["blocked"] else 0
    shown = [say("plan_head" if ready else "plan_nothing", language, digest=plan["digest"][:12], mode=mode, count=ready)]
    if plan["blocked"]:
        shown.append("  " + say("plan_blocked", language, because=clean(plan["blocked"])))
    if not plan["steps"]:
        shown.append("  " + say("plan_no_cause", language))
    if ready:
        shown += ["  " + say("plan_contain", language, host=clean(item["host"]), options=clean(item["options"], 200), because=clean(item["because"]))
                  for item in plan["containment"]]
    labels = {name: say(f"label_{name}", language) for name in ("because", "run", "undo", "not", "wait", "never")}
    width = max(map(len, labels.values()))

    def row(name, text):
        shown.append(f"      {labels[name]:{width}}  {clean(text, 600)}")
    for step in plan["steps"]:
        about = f"{in_language(step['title'], language)} ({step['cause']}, {round(step['confidence'] * 100)} %)"
        shown.append("  " + clean(f"{step['id']} {step['host']}: {about}", 300))
        shown.append("      " + clean(f"{step['role']} [{step['class']}]: {in_language(step['summary'], language)}", 300))
        for evidence in step["evidence"]:
            row("because", f"{evidence['source']}: {evidence['text']}")
        for command in step["commands"][:_MOST_COMMANDS]:
            row("run", f"{command['does']}   # {command['because']}")
        if len(step["commands"]) > _MOST_COMMANDS:
            row("run", say("plan_more", language, count=len(step["commands"]) - _MOST_COMMANDS, path=path))
        for diff in step.get("diffs") or []:
            shown += ["       " + clean(line, 200) for line in diff.get("prepared", "").splitlines()[:20]]
        if step["blocked"]:
            row("not", step["blocked"])
            if step.get("never"):
                row("never", in_language(step["never"], language))
        else:
            if step["undo"]:
                row("undo", in_language(step["undo"], language))
            first = "" if step["role"] == "restart_service" else say("plan_start", language)
            row("wait", first + say("plan_wait", language, rollback=rollback_after))
    if ready and mode != "auto":
        shown.append("  " + say("plan_approve", language, approval=plan["approval"]))
    return shown
