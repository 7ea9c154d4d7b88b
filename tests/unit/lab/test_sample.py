"""The sample of the gym: other faults with each commit, both layouts each time, and every fault and remedy over ten commits."""
from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "tests/gym"))

import lab  # the folder is no package
import sample

FAULTS = lab.known_faults()
REPAIRED = {name: fault for name, fault in FAULTS.items() if "repair" in fault}
WHOLE = pytest.mark.parametrize("known", [FAULTS, REPAIRED], ids=["diagnoses", "repairs"])


@WHOLE
@pytest.mark.parametrize("first", [0, 104, 1999, int("fffffff0", 16)])
def test_ten_commits_in_a_row_take_every_fault(known, first):
    assert {name for at in range(first, first + 10) for name in sample.take(known, at)} == set(known)


@WHOLE
@pytest.mark.parametrize("at", range(10))
def test_each_sample_holds_both_layouts_and_is_a_small_part(known, at):
    taken = sample.take(known, at)
    assert {lab.layout_of(known[name]) for name in taken} == set(lab.MAIL_HOSTS)
    assert 0 < len(taken) < len(known) / 3
    assert taken != sample.take(known, at + 1)
    assert taken == sample.take(known, at + sample.COMMITS)


@pytest.mark.parametrize("at", range(10))
def test_each_sample_holds_healthy_estates_and_faults_of_both_layouts(at):
    taken = [FAULTS[name] for name in sample.take(FAULTS, at)]
    ill = [fault for fault in taken if fault["cause"] != "none.healthy"]
    assert len(taken) - len(ill) >= 3
    assert {lab.layout_of(fault) for fault in ill} == set(lab.MAIL_HOSTS)


def commits(folder, count):
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
    for number in range(count):
        subprocess.run(["git", "-C", str(folder), *identity, "commit", "-q", "--allow-empty", "-m", str(number)], check=True)


def test_the_number_of_a_commit_goes_up_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "ROOT", tmp_path)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    commits(tmp_path, 3)
    assert sample.number() == 3
    commits(tmp_path, 1)
    assert sample.number() == 4


def test_a_shallow_clone_takes_another_number_with_each_commit(tmp_path, monkeypatch):
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    subprocess.run(["git", "init", "-q", str(origin)], check=True)
    seen = set()
    for number in range(2):
        commits(origin, 2)
        subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{origin}", str(clone / str(number))], check=True)
        monkeypatch.setattr(lab, "ROOT", clone / str(number))
        seen.add(sample.number())
    assert len(seen) == 2


def test_an_export_without_a_history_has_a_fixed_sample(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(lab, "ROOT", tmp_path)
    assert sample.number() == 0
