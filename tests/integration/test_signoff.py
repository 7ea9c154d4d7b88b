"""Sign-offs from an AWX workflow, by the playbook. The other end speaks the API's documented shape; no AWX was at hand."""
from __future__ import annotations

import json
import os
import sys
import time

import pytest
from playing import ROOT

sys.path.insert(0, str(ROOT / "tests/unit/verification"))

from scripted_awx import TOKEN, Awx, approval  # the folder is no package

DIGEST = "d" * 64
WRITTEN = int(time.time()) - 3600
BEFORE, AFTER = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(WRITTEN + seconds)) for seconds in (-60, 60))


def approved(number, node, by=("anna", "Anna", "de Vries"), finished=AFTER, **more):
    return approval(number, node, by=by, finished=finished, **more)


@pytest.fixture(name="awx")
def _awx():
    with Awx() as server:
        yield server


@pytest.fixture(name="sign")
def _sign(play, tmp_path, awx):
    """Run signoff.yml as a job of workflow 5, launched by somebody, on a verification that passed an hour ago."""
    written(tmp_path / "reports/r1", passed=True)

    def sign(*words, **environment):
        return play("localhost,", "-e", "signoff_run=r1", "-e", "awx_user_name=launcher", "-e", '{"awx_workflow_job_id": 5}', *words,
                    playbook="playbooks/signoff.yml", environment={"no_proxy": "*", **awx.environment, **environment})
    return sign


def written(folder, passed):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "verification.json").write_text(json.dumps({"run_id": "r1", "passed": passed, "digest": DIGEST}), encoding="utf-8")
    os.utime(folder / "verification.json", (WRITTEN, WRITTEN))


def signed(tmp_path):
    lines = (tmp_path / "reports/r1/signoffs.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line]


def test_who_approved_signs_and_who_launched_does_not(sign, awx, tmp_path):
    awx.approvals = [approved(12, "Board confirms", by=("piet", "", "")), approved(11, "Helpdesk confirms"), approved(13, "Helpdesk again"),
                     approved(14, "Plan", by=("joris", "", ""), finished=BEFORE), approved(15, "Users", status="failed", by=("kim", "", ""))]
    ended = sign("-e", "signoff_required=true", "-vvv", "-e", "signoff_name=Mallory")
    assert ended.rc == 0 and "2 of 2 have signed: " in ended.out, ended.out[-3000:]
    assert "Plan: joris approved it before there was this verification" in ended.out and "Users: kim denied it" in ended.out
    assert TOKEN not in ended.out and TOKEN not in (tmp_path / "reports/r1/signoffs.jsonl").read_text(encoding="utf-8")
    entries = signed(tmp_path)
    assert {entry["name"] for entry in entries} == {"Anna de Vries", "piet"} and len(entries) == 2
    [anna] = [entry for entry in entries if entry["account"] == "anna"]
    assert anna == {"time": AFTER, "name": "Anna de Vries", "account": "anna", "address": "", "way": "awx", "note": "Helpdesk confirms",
                    "digest": DIGEST}
    sign()
    assert signed(tmp_path) == entries


@pytest.mark.parametrize("environment, said", [
    ({"CONTROLLER_OAUTH_TOKEN": "wrong-token-of-somebody"}, "401"),
    ({"CONTROLLER_HOST": "http://127.0.0.1:1"}, "refused"),
    ({"CONTROLLER_HOST": ""}, "give its template a credential"),
])
def test_a_controller_that_does_not_tell_leaves_nobody_signed_and_says_so(sign, tmp_path, environment, said):
    ended = sign(**environment)
    assert ended.rc == 0 and "0 of 2 have signed: nobody yet" in ended.out and said in ended.out
    assert "wrong-token" not in ended.out and not (tmp_path / "reports/r1/signoffs.jsonl").exists()


def test_approvals_of_a_verification_that_failed_do_not_count(sign, awx, tmp_path):
    written(tmp_path / "reports/r1", passed=False)
    awx.approvals = [approved(11, "Helpdesk confirms")]
    ended = sign()
    assert ended.rc == 0 and "nobody yet" in ended.out and "this verification did not pass" in ended.out


def test_check_mode_asks_nobody(sign, awx, tmp_path):
    assert sign("--check").rc == 0 and awx.asked == [] and not (tmp_path / "reports/r1/signoffs.jsonl").exists()


def test_outside_a_workflow_who_launched_signs(play, tmp_path, awx):
    written(tmp_path / "reports/r1", passed=True)
    ended = play("localhost,", "-e", "signoff_run=r1", "-e", "awx_user_name=launcher", playbook="playbooks/signoff.yml", environment=awx.environment)
    assert "1 of 2 have signed: launcher" in ended.out and awx.asked == []
