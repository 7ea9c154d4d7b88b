"""Of a holder nobody says that it is gone who cannot know it."""
from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import owner


@pytest.fixture(name="dead")
def _dead():
    """The owner whose process has ended."""
    program = "import os, sys; sys.path[:0] = sys.argv[1:]; from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import owner\n"\
              "if os.fork() == 0: print(owner.owner('r1'))\nelse: os.wait()"
    return subprocess.run([sys.executable, "-c", program, *sys.path], capture_output=True, check=True, text=True).stdout.strip()


def changed(text, **values):
    for name, value in values.items():
        text = re.sub(rf"(?<= {name} )\S+", value, text)
    return text


def test_a_process_that_ended_is_gone_and_one_that_runs_is_not(dead):
    assert owner.is_gone(dead)
    assert not owner.is_gone(owner.owner("r1"))


def test_a_number_that_is_used_again_is_not_the_same_process():
    assert owner.is_gone(changed(owner.owner("r1"), since="1"))


@pytest.mark.parametrize("other", [
    {"in": "4026539999"}, {"boot": "0" * 12, "in": "4026539999"}, {"boot": "0" * 12, "machine": "0" * 12, "in": "4026531836"}, {"run": "r2 "}, {"process": "0"},
    {"since": "-1"}, {"boot": "unknown"},
])
def test_of_another_namespace_machine_or_account_nobody_can_tell(dead, other):
    assert not owner.is_gone(changed(dead, **other))
    assert not owner.is_gone(dead.replace("@", "@other")) and not owner.is_gone("x" + dead)


def test_another_boot_ends_all_processes_of_a_machine_but_not_of_what_only_looks_like_it(dead, monkeypatch):
    before = changed(dead, boot="0" * 12, machine=owner._digest(__file__))
    monkeypatch.setattr(owner, "_MACHINE", __file__)
    monkeypatch.setattr(owner, "_namespace", lambda: "4026531836")
    assert owner.is_gone(changed(before, **{"in": "4026531836"}))
    # Execution environments of one image: the same name and the same machine-id on different machines.
    assert not owner.is_gone(changed(before, **{"in": "4026532000"}))
    monkeypatch.setattr(owner, "_namespace", lambda: "4026532000")
    assert not owner.is_gone(changed(before, **{"in": "4026532000"}))


def test_without_a_machine_id_another_boot_says_nothing(dead, monkeypatch):
    monkeypatch.setattr(owner, "_MACHINE", "/nowhere")
    monkeypatch.setattr(owner, "_namespace", lambda: "4026531836")
    assert "machine unknown" in owner.owner("r1")
    assert not owner.is_gone(changed(dead, boot="0" * 12, machine="unknown", **{"in": "4026531836"}))


@given(st.text() | st.from_regex(owner._OWNER))
def test_no_text_is_taken_for_a_dead_owner_by_mistake(text):
    mine = owner._OWNER.fullmatch(owner.owner("-"))
    assert not owner.is_gone(text) or owner._OWNER.fullmatch(text)["who"] == mine["who"]


@given(st.text())
def test_whatever_a_run_is_called_the_owner_is_one_line_that_can_be_read_again(run):
    assert owner._OWNER.fullmatch(owner.owner(run)) and owner.owner(run).isprintable()
