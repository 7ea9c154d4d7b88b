"""What the rounds of chaos are, and how their ends are told apart: an end that is none of the four is a failure."""
from __future__ import annotations

import pathlib
import runpy
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "tests/gym"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "tests/chaos"))

import ends  # the folder is no package
import lab

CHAOS = runpy.run_path(str(lab.ROOT / "tests/chaos/chaos"), run_name="chaos")
FAULTS = lab.known_faults()
MAIN, RUNS, MADE = ("mail", "file", "/etc/main.cf"), ("mail", "running", "postfix"), ("mail", "file", "/etc/made")
GOOD, CHANGED, STOPPED = {MAIN: "a", RUNS: "active"}, {MAIN: "b", RUNS: "active"}, {MAIN: "a", RUNS: "inactive"}
IN_BETWEEN = {MAIN: "c", RUNS: "active"}


def end(before, broken, after, works=False, rebooted=False, checkpoints=0, statuses=(), problems=()):
    return ends.classify(before, broken, after, rebooted, lambda: works, checkpoints, list(statuses), list(problems))


@pytest.mark.parametrize("broken, after, more, expected", [
    (CHANGED, GOOD, {"works": True}, ends.REPAIRED),
    (CHANGED, GOOD, {"works": False}, ends.FAILURE),
    (CHANGED, CHANGED, {}, ends.AS_IT_WAS),
    # A fault by which mail works all the same is not repaired while it is there.
    (CHANGED, CHANGED, {"works": True}, ends.AS_IT_WAS),
    (CHANGED, CHANGED, {"checkpoints": 1}, ends.ROLLED_BACK),
    (CHANGED, IN_BETWEEN, {"works": True}, ends.FAILURE),
    (CHANGED, {**GOOD, MADE: "x"}, {"works": True}, ends.FAILURE),
    (CHANGED, {RUNS: "active"}, {"works": True}, ends.FAILURE),
    (STOPPED, STOPPED, {}, ends.AS_IT_WAS),
    (STOPPED, GOOD, {"works": True}, ends.REPAIRED),
    # What a reboot starts is started.
    (STOPPED, GOOD, {"works": True, "rebooted": True}, ends.REPAIRED),
    (STOPPED, STOPPED, {"rebooted": True, "checkpoints": 1}, ends.ROLLED_BACK),
    # A process that hangs is seen in no state.
    (GOOD, GOOD, {"works": True, "checkpoints": 1}, ends.REPAIRED),
    (GOOD, GOOD, {"works": False, "checkpoints": 1}, ends.ROLLED_BACK),
    (CHANGED, IN_BETWEEN, {"statuses": [{"not_put_back": [{"id": "x"}]}]}, ends.NOT_PUT_BACK),
    (CHANGED, IN_BETWEEN, {"statuses": [{"checkpoints": [{"id": "x", "state": "not_put_back"}]}]}, ends.NOT_PUT_BACK),
    (CHANGED, CHANGED, {"statuses": [{"checkpoints": [{"id": "x"}]}]}, ends.FAILURE),
    (CHANGED, GOOD, {"works": True, "problems": ["2 messages lost"]}, ends.FAILURE),
    (CHANGED, IN_BETWEEN, {"statuses": [{"not_put_back": [{"id": "x"}]}], "problems": ["2 messages lost"]}, ends.FAILURE),
])
def test_each_end_is_told_from_the_others(broken, after, more, expected):
    found, sentences = end(GOOD, broken, after, **more)
    assert found == expected
    assert bool(sentences) == (expected == ends.FAILURE)


def test_rounds_are_drawn_again_from_their_seed_and_go_through_all_faults():
    plan, count = CHAOS["plan"], sum(bool(fault.get("repair")) and fault["repair"] not in CHAOS["LONG"] for fault in FAULTS.values())
    rounds = [plan(FAULTS, 7, number) for number in range(60)]
    assert rounds == [plan(FAULTS, 7, number) for number in range(60)] != [plan(FAULTS, 8, number) for number in range(60)]
    assert len({drawn["fault"] for drawn in rounds[:count]}) == count >= 8
    assert {drawn["act"] for drawn in rounds} == set(CHAOS["ACTS"])
    assert not any(drawn["act"] in ("reboot", "power") for drawn in rounds if FAULTS[drawn["fault"]].get("host") == "store")
