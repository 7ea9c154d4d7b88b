from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host._apart import Lost, apart
from ansible_collections.mailops.outage.plugins.module_utils.host._bounded import side_by_side, within
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context
from ansible_collections.mailops.outage.plugins.module_utils.host.registry import COLLECTORS, collect_all

# The tests before left threads behind, which the module itself does not have when it forks.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def _broken(_context):
    raise ValueError("nothing\x1b[31m here")


def _hanging(_context):
    threading.Event().wait(30)


def test_all_collectors_are_callable_and_named_like_their_files():
    assert {name: look.__module__.rpartition(".")[2] for name, look in COLLECTORS.items()} == {name: name for name in COLLECTORS}


def test_facts_of_those_that_end_well_are_returned():
    answer = collect_all(Context(), 5, {"one": lambda context: {"a": 1}, "two": lambda context: {"b": 2}})
    assert answer["facts"] == {"one": {"a": 1}, "two": {"b": 2}}
    assert all(end["ok"] and end["error"] == "" for end in answer["collectors"].values())


def test_one_that_raises_takes_nothing_else_with_it_and_is_told():
    context = Context()
    answer = collect_all(context, 5, {"bad": _broken, "good": lambda context: {"a": 1}})
    assert answer["facts"] == {"good": {"a": 1}}
    assert answer["collectors"]["bad"]["ok"] is False and answer["collectors"]["bad"]["error"] == "ValueError: nothing here"
    assert context.not_visible == ["bad: ValueError: nothing here"]


def test_one_that_hangs_is_left_at_the_deadline():
    context = Context()
    began = time.monotonic()
    answer = collect_all(context, 0.2, {"stuck": _hanging, "good": lambda context: {"a": 1}})
    assert time.monotonic() - began < 2
    assert answer["facts"] == {"good": {"a": 1}}
    assert answer["collectors"]["stuck"] == {"ok": False, "seconds": 0.2, "error": "not back within 0.2 s"}
    assert "stuck: the look did not end within 0.2 s" in context.not_visible


def test_a_shared_question_is_asked_once():
    asked = []
    context = Context()
    looks = {name: lambda context: {"answer": context.once("settings", lambda: asked.append(1) or len(asked))} for name in "abcdef"}
    answer = collect_all(context, 5, looks)
    assert asked == [1] and all(facts == {"answer": 1} for facts in answer["facts"].values())


def test_the_value_comes_back_from_the_process_apart():
    assert apart(lambda: {"text": "ü", "many": list(range(50000))}, 10) == {"text": "ü", "many": list(range(50000))}


def test_a_failure_apart_is_told():
    with pytest.raises(Lost, match="KeyError: 'gone'"):
        apart(lambda: {}["gone"], 5)


def test_a_process_apart_that_hangs_is_given_up():
    began = time.monotonic()
    with pytest.raises(Lost, match="did not end in time"):
        apart(lambda: threading.Event().wait(30), 0.2)
    assert time.monotonic() - began < 2


def test_a_thread_that_never_ends_does_not_hold_up_the_answer():
    def ask():
        # Not a daemon: worse than any collector, the interpreter itself would wait for it.
        threading.Thread(target=threading.Event().wait, args=(30,)).start()
        return "here"
    began = time.monotonic()
    assert apart(ask, 10) == "here"
    assert time.monotonic() - began < 2


def test_a_process_that_cannot_die_keeps_neither_the_output_open_nor_the_exit_waiting():
    script = """
import os, sys, time
from ansible_collections.mailops.outage.plugins.module_utils.host import _apart
leave = os._exit
# As with a thread in uninterruptible sleep: the end is asked for and does not come.
_apart.os._exit = lambda code: (time.sleep(4), leave(code))
print(_apart.apart(lambda: "here", 5))
"""
    began = time.monotonic()
    there = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run([sys.executable, "-c", script], env=there, capture_output=True, text=True, check=True)
    assert done.stdout == "here\n" and time.monotonic() - began < 3


def test_within_returns_raises_or_gives_up():
    assert within(1, lambda number: number + 1, 2) == 3
    with pytest.raises(FileNotFoundError):
        within(1, open, "/nonexistent/file")
    with pytest.raises(TimeoutError):
        within(0.05, threading.Event().wait, 5)


def test_side_by_side_keeps_the_order_and_marks_the_unanswered():
    answers = side_by_side(0.2, [lambda: 1, lambda: threading.Event().wait(5), lambda: int("x")])
    assert answers[0] == (1, None) and answers[1] is None and isinstance(answers[2][1], ValueError)
