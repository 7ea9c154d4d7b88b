"""The question before a step shows what would be done, and an answer means one thing."""
from __future__ import annotations

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.report import prompt


def words(text):
    return {"en": text, "nl": f"NL {text}"}


STEP = {"id": "abc", "host": "mail", "cause": "config.x", "summary": words("take it back"), "undo": words("the other way"),
        "commands": [{"does": "write /etc/x\x1b[31m", "undo": "put it back"}], "diffs": [{"prepared": "-a\n+b\x07\n"}]}
PLAN = {"containment": [{"host": "mail", "options": {"soft_bounce": True}, "because": "mail is lost"}]}


def test_it_shows_command_diff_and_undo_and_no_escapes():
    text = prompt.question(PLAN, STEP, "en")
    for part in ("write /etc/x", "-a", "+b", "put it back", "y: take it"):
        assert part in text
    assert "\x1b" not in text and "\x07" not in text and "j: doen" in prompt.question(PLAN, STEP, "nl")


def test_it_shows_the_containment_where_that_is_asked_about():
    assert "soft_bounce" in prompt.question(PLAN, None, "en")


@pytest.mark.parametrize("given, answer", [
    ("y", "yes"), ("Y\r", "yes"), (" yes ", "yes"), ("ja", "yes"), ("n", "no"), ("nee", "no"), ("q", "quit"), ("", ""), ("yep", ""), ("maybe", ""), ("yn", ""),
])
def test_an_answer_means_one_thing_and_anything_else_is_asked_again(given, answer):
    for language in ("en", "nl"):
        assert prompt.understood(given, language)[0] == answer and prompt.understood(given, language)[1]
