"""The committed inventories are what the lab writes, and the faults of the gym name causes that exist."""
from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
import yaml

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import catalogue

ROOT = pathlib.Path(__file__).resolve().parents[3]
FAULTS = yaml.safe_load((ROOT / "tests/gym/faults.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("layout", ["single", "split"])
def test_the_committed_inventory_is_the_labs_own(layout):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAB_")}
    written = subprocess.run([sys.executable, str(ROOT / "tests/lab/lab"), "inventory", layout], env=environment, capture_output=True, text=True, check=True)
    assert written.stdout == (ROOT / f"inventory/lab/{layout}.yml").read_text(encoding="utf-8")


def test_every_fault_of_the_gym_has_a_cause_of_the_catalogue():
    known = catalogue.load(str(ROOT / "roles/diagnose/files/catalogue"))
    for name, fault in FAULTS.items():
        for cause in fault.get("causes", [fault["cause"]]):
            assert cause in known.causes, name


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_injection_is_bash(name):
    fault = FAULTS[name]
    assert set(fault) <= {"cause", "causes", "layout", "loses", "host", "inject", "wait", "snapshot", "traffic", "also", "repair"}
    for script in [fault["inject"], *fault.get("also", {}).values()]:
        assert subprocess.run(["bash", "-n", "-c", script], capture_output=True, check=False).returncode == 0


def test_at_least_one_case_in_seven_has_no_fault():
    assert sum(fault["cause"] == "none.healthy" for fault in FAULTS.values()) * 7 >= len(FAULTS)
