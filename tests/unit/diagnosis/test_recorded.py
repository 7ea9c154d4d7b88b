"""Every recording of a real lab host is diagnosed as the fault that was put on it (``tests/gym/gym record`` made them)."""
from __future__ import annotations

import gzip
import json
import pathlib

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import catalogue, diagnose

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
RECORDINGS = sorted((HERE / "recorded").glob("*.json.gz"))
RUN = {"run_id": "recorded", "started_epoch": 1.0, "finished_epoch": 2.0, "versions": {}}


@pytest.fixture(scope="module")
def known():
    return catalogue.load(str(ROOT / "roles/diagnose/files/catalogue"))


def read(path):
    return json.loads(gzip.decompress(path.read_bytes()))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name.split(".")[0])
def test_a_recorded_fault_is_named(path, known):
    recording = read(path)
    found = diagnose.diagnose(known, recording["observations"], recording["estate"], RUN)
    fault = recording["fault"]
    if "causes" in fault:
        assert {cause["id"] for cause in found["causes"] if cause["root"] and cause["confidence"] >= 0.5} == set(fault["causes"])
    else:
        assert found["causes"][0]["id"] == fault["cause"]
    healthy = fault["cause"] == "none.healthy"
    assert (found["verdict"] == "healthy") == healthy
    assert (found["severity"] == "none") == healthy


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name.split(".")[0])
def test_every_root_cause_has_evidence_that_can_be_looked_up(path, known):
    recording = read(path)
    found = diagnose.diagnose(known, recording["observations"], recording["estate"], RUN)
    for cause in found["causes"]:
        if cause["root"] and not cause["id"].startswith("none."):
            assert cause["evidence"], cause["id"]
            for piece in cause["evidence"]:
                assert piece["source"] and piece["text"], piece


@pytest.mark.parametrize("path", [path for path in RECORDINGS if not path.name.startswith("healthy")], ids=lambda path: path.name.split(".")[0])
def test_without_the_facts_of_its_evidence_a_fault_is_not_called_healthy(path, known):
    """What only probes can see is still seen when the hosts cannot be entered."""
    recording = read(path)
    blind = [dict(item, facts={}, connection={"ok": False, "kind": "timeout", "text": "timed out"}) for item in recording["observations"]]
    for item in blind:
        item["probes"] = [dict(probe, ok=False, outcome="timeout", step="connect") for probe in item["probes"]]
    found = diagnose.diagnose(known, blind, dict(recording["estate"], probes=[]), RUN)
    assert found["verdict"] != "healthy"


def test_fifty_causes_are_recorded():
    assert len({read(path)["fault"]["cause"] for path in RECORDINGS} - {"none.healthy", "none.unknown"}) >= 50
