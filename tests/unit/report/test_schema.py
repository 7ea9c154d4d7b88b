from __future__ import annotations

import copy
import gzip
import json
import pathlib

import jsonschema
import pytest

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import catalogue, diagnose
from ansible_collections.mailops.outage.plugins.module_utils.report import html, markdown, terminal

ROOT = pathlib.Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "docs/schemas/diagnosis.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
RECORDINGS = sorted((ROOT / "tests/unit/diagnosis/recorded").glob("*.json.gz"))
RUN = {"run_id": "test", "started_epoch": 1795467067.0, "finished_epoch": 1795467080.0, "versions": {"ansible_core": "2.21.5"}}


def errors(diagnosis):
    return [f"{'/'.join(str(part) for part in error.absolute_path)}: {error.message[:200]}" for error in VALIDATOR.iter_errors(diagnosis)]


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_sample_diagnoses_are_valid(outage, healthy, unknown):
    assert errors(outage) == errors(healthy) == errors(unknown) == []


@pytest.mark.parametrize(("path", "value"), [
    (("verdict",), "down"), (("severity",), "sev5"), (("scope", "kind"), "everybody"), (("impact", "class"), "gone"), (("causes",), []),
    (("causes", 0, "id"), "weather.rain"), (("causes", 0, "confidence"), 1.5), (("causes", 0, "rank"), 0), (("causes", 0, "title"), "not in two languages"),
    (("causes", 0, "remedies", 0, "class"), "brutal"), (("causes", 0, "remedies", 0, "role"), "../x"), (("causes", 0, "evidence", 0, "kind"), "rumour"),
    (("causes", 0, "evidence", 0, "text"), ""), (("started",), "yesterday"), (("run_id",), "../escape"), (("surprise",), 1), (("probes", 0, "port"), 0),
    (("schema_version",), "2.0"), (("causes", 0, "password"), "x"),
])
def test_what_does_not_fit_is_refused(outage, path, value):
    place = outage
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert errors(outage)


@pytest.mark.parametrize("key", SCHEMA["required"])
def test_what_is_required_must_be_there(outage, key):
    del outage[key]
    assert errors(outage)


def observation(**more):
    probe = {"id": "mx1:25/smtp", "host": "mx1", "name": "mx1", "address": "192.0.2.25", "port": 25, "protocol": "smtp", "vantage": "controller", "ok": False,
             "step": "connect", "outcome": "refused", "code": None, "answer": "Connection refused", "banner": "", "seconds": 0.1, "envelope": [],
             "look": "first"}
    return dict({"host": "mx1", "address": "192.0.2.25", "connection": {"ok": True, "kind": "ok", "text": ""}, "collectors": {}, "not_visible": [], "cut": [],
                 "facts": {"services": {"mta": {"expected": True, "running": False, "enabled": "enabled", "source": "postfix status", "text": "not running",
                                                "since": None, "since_epoch": None}, "imap": None},
                           "postfix": {"present": True, "version": "3.7.11", "masters": [{"service": "smtp", "type": "inet"}]}}, "probes": [probe]}, **more)


@pytest.fixture(scope="module")
def known():
    return catalogue.load(str(ROOT / "roles/diagnose/files/catalogue"))


def check_all(found):
    """Valid as it is kept, and fit for every report."""
    found = json.loads(json.dumps(found))
    assert errors(found) == []
    for language in ("en", "nl"):
        assert len(terminal.summary(found, language).splitlines()) <= terminal.LINES
        assert markdown.render(found, language) and html.render(found, language)


@pytest.mark.parametrize("change", [
    {}, {"probes": []}, {"facts": {}}, {"facts": {}, "connection": {"ok": False, "kind": "timeout", "text": "timed out"}}, {"facts": {}, "probes": []},
])
def test_what_the_diagnosis_makes_is_valid(known, change):
    check_all(diagnose.diagnose(known, [observation(**copy.deepcopy(change))], {"now": RUN["finished_epoch"], "domains": ["example.test"]}, RUN))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name.split(".")[0])
def test_every_recorded_diagnosis_is_valid(known, path):
    recording = json.loads(gzip.decompress(path.read_bytes()))
    check_all(diagnose.diagnose(known, recording["observations"], recording["estate"], RUN))
