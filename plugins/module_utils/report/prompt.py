"""The question before a step, and what an answer means. Pure functions."""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.report.words import in_language, say
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

YES, NO, QUIT = "yes", "no", "quit"
_ANSWERS = {"y": YES, "yes": YES, "j": YES, "ja": YES, "n": NO, "no": NO, "nee": NO, "q": QUIT, "quit": QUIT, "s": QUIT, "stop": QUIT}
_MOST_COMMANDS = 20
_MOST_DIFF_LINES = 40


def question(plan: dict, step: dict | None, language: str) -> str:
    """What is asked: the step with its commands, its diff and how it is undone; the containment where ``step`` is None."""
    if step is None:
        shown = [say("ask_contain", language)]
        shown += [f"  {clean(item['host'])}: {clean(item['options'], 300)} ({clean(item['because'])})" for item in plan["containment"]]
    else:
        shown = [clean(f"{say('ask_step', language)} {step['id']}: {step['host']}: {in_language(step['summary'], language)} ({step['cause']})", 300)]
        shown += [f"  {say('label_run', language)}: {clean(command['does'], 600)}" for command in step["commands"][:_MOST_COMMANDS]]
        if len(step["commands"]) > _MOST_COMMANDS:
            shown.append("  " + say("plan_more", language, count=len(step["commands"]) - _MOST_COMMANDS, path="plan.json"))
        for diff in step.get("diffs") or []:
            shown += ["    " + clean(line, 200) for line in diff.get("prepared", "").splitlines()[:_MOST_DIFF_LINES]]
        undo = "; ".join(dict.fromkeys(filter(None, (clean(command.get("undo"), 300) for command in step["commands"]))))
        shown.append(f"  {say('label_undo', language)}: {undo or (in_language(step['undo'], language) if step['undo'] else '-')}")
    return "\n".join([*shown, say("ask_answer", language)]) + " "


def understood(given: str, language: str) -> tuple:
    """``(answer, sentence)``; the answer is empty when it was none, and the sentence then asks again."""
    answer = _ANSWERS.get(given.strip().lower(), "")
    return answer, say(f"answer_{answer}", language) if answer else say("answer_unknown", language, given=clean(given, 40)) + " "
