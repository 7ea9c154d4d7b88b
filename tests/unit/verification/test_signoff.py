"""Who may sign a verification, and whose sign-off counts."""
from __future__ import annotations

import json

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.verification import judge, signoff
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(name="run")
def _run(tmp_path):
    found = Run.open(str(tmp_path), "r1")
    verified(found)
    return found


def verified(run, passed=True, check="inbound"):
    """A verification as its writer leaves it, of one check; returns its digest."""
    signed = {"run_id": "r1", "passed": passed, "checks": [{"id": check, "kind": "journey", "host": "", "state": "passed", "text": "kwam aan in 0.31 s, voilà"}]}
    run.write("verification.json", {**signed, "digest": judge.digest(signed), "counts": {"passed": 1}})
    return judge.digest(signed)


def names(run):
    return [entry["name"] for entry in signoff.counted(signoff.entries(run), signoff.verification(run)["digest"])]


def test_two_people_are_two(run):
    signoff.give(run, "Anna de Vries", "from my phone", "command")
    signoff.give(run, "Piet", "", "awx")
    assert names(run) == ["Anna de Vries", "Piet"]


@pytest.mark.parametrize("again", ["Anna de Vries", "anna  DE vries", " Anna de Vries ", "Ａnna de Vries"])
def test_one_person_signs_once_however_the_name_is_spelled(run, again):
    signoff.give(run, "Anna de Vries", "", "command")
    with pytest.raises(signoff.NotSignable, match="already"):
        signoff.give(run, again, "", "command")
    assert len(names(run)) == 1


@pytest.mark.parametrize("first, second", [
    ({"name": "Anna de Vries", "account": "anna"}, {"name": "anna"}),
    ({"name": "anna"}, {"name": "Anna de Vries", "account": "Anna"}),
    ({"name": "Anna", "address": "anna@x.test"}, {"name": "Anna de Vries", "account": "anna@x.test"}),
    ({"name": "Anna", "address": "anna@x.test"}, {"name": "A. de Vries", "address": "anna@x.test"}),
    ({"name": "A" * 120}, {"name": "A" * 120}),
])
def test_one_person_signs_once_by_whichever_road(run, first, second):
    signoff.give(run, note="", way="awx", **first)
    assert signoff.has_signed(signoff.counted(signoff.entries(run), signoff.verification(run)["digest"]), second)
    with pytest.raises(signoff.NotSignable, match="already"):
        signoff.give(run, note="", way="reply", **second)


def test_two_lines_of_one_person_that_crossed_count_once(run):
    digest = signoff.verification(run)["digest"]
    for entry in ({"name": "Anna"}, {"name": "anna", "account": "av"}, {"name": "Piet", "address": 7}):
        with open(run.path("signoffs.jsonl"), "a", encoding="utf-8") as stream:
            stream.write(json.dumps({**entry, "digest": digest}) + "\n")
    assert names(run) == ["Anna", "Piet"]


def test_a_failed_verification_cannot_be_signed(run):
    verified(run, passed=False)
    with pytest.raises(signoff.NotSignable, match="did not pass"):
        signoff.give(run, "Anna", "", "command")


def test_a_sign_off_counts_only_for_what_was_verified_then(run):
    signoff.give(run, "Anna", "", "command")
    assert verified(run, check="outbound") == signoff.verification(run)["digest"]
    assert names(run) == []
    signoff.give(run, "Anna", "", "command")
    assert names(run) == ["Anna"] and len(signoff.entries(run)) == 2


@pytest.mark.parametrize("change", [
    {"passed": True}, {"run_id": "r2"}, {"checks": []}, {"digest": "0" * 64}, {"digest": None},
    {"checks": [{"id": "inbound", "kind": "journey", "host": "", "state": "passed", "text": "other"}]},
])
def test_a_verification_that_was_changed_since_it_was_written_cannot_be_signed(run, change):
    verified(run, passed=False)
    run.write("verification.json", {**run.read("verification.json"), **change})
    with pytest.raises(signoff.NotSignable, match="was changed since"):
        signoff.give(run, "Anna", "", "command")
    assert signoff.entries(run) == []


def test_what_nobody_signs_may_stand_beside_it(run):
    run.write("verification.json", {**run.read("verification.json"), "language": "nl"})
    signoff.give(run, "Anna", "", "command")
    assert names(run) == ["Anna"]


@pytest.mark.parametrize("name", ["", "   ", "\x1b\x07"])
def test_nobody_cannot_sign(run, name):
    with pytest.raises(signoff.NotSignable):
        signoff.give(run, name, "", "command")


def test_without_a_verification_nothing_can_be_signed(tmp_path):
    with pytest.raises(signoff.NotSignable, match="verify.yml"):
        signoff.give(Run.open(str(tmp_path), "empty"), "Anna", "", "command")


def test_a_line_cut_off_by_a_crash_costs_no_other(run):
    signoff.give(run, "Anna", "", "command")
    with open(run.path("signoffs.jsonl"), "a", encoding="utf-8") as stream:
        stream.write('{"name": "Pi')
    signoff.give(run, "Joris", "", "command")
    assert names(run) == ["Anna", "Joris"]


@given(st.text(), st.text())
def test_a_name_and_a_note_stay_one_line_without_commands_for_a_terminal(tmp_path_factory, name, note):
    run = Run.open(str(tmp_path_factory.mktemp("signoff")), "r1")
    verified(run)
    try:
        signoff.give(run, name, note, "command")
    except signoff.NotSignable:
        assert signoff.entries(run) == []
        return
    [entry] = signoff.entries(run)
    assert not any(ord(character) < 32 for character in entry["name"] + entry["note"])
    with open(run.path("signoffs.jsonl"), encoding="utf-8") as stream:
        assert [json.loads(line) for line in stream if line.strip()] == [entry]
