"""Sign-offs by name and from an AWX workflow, by the playbook. The other end speaks the API's documented shape; no AWX was at hand."""
from __future__ import annotations

import json
import os
import shlex
import sys
import time

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.verification import judge, signoff
from playing import ROOT

sys.path.insert(0, str(ROOT / "tests/unit/verification"))

from scripted_awx import TOKEN, Awx, approval  # the folder is no package

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
    """A verification of an hour ago; returns its digest."""
    folder.mkdir(parents=True, exist_ok=True)
    signed = {"run_id": "r1", "passed": passed, "checks": []}
    (folder / "verification.json").write_text(json.dumps({**signed, "digest": judge.digest(signed)}), encoding="utf-8")
    os.utime(folder / "verification.json", (WRITTEN, WRITTEN))
    return judge.digest(signed)


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
                    "digest": json.loads((tmp_path / "reports/r1/verification.json").read_text(encoding="utf-8"))["digest"]}
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


def documented(readme):
    """The command by which the README has somebody sign, as a shell reads it: the words after the playbook's name."""
    [command] = [line for line in readme.splitlines() if "playbooks/signoff.yml" in line and "signoff_note" in line]
    return shlex.split(command)[2:]


def test_the_documented_command_records_the_whole_name_and_note(play, tmp_path):
    words = documented((ROOT / "README.md").read_text(encoding="utf-8"))
    written(tmp_path / "reports/r1", passed=True)
    ended = play("localhost,", "-e", "signoff_run=r1", *words, playbook="playbooks/signoff.yml")
    assert ended.rc == 0 and "1 of 2 have signed: Anna de Vries." in ended.out, ended.out[-3000:]
    [entry] = signed(tmp_path)
    assert (entry["name"], entry["note"]) == ("Anna de Vries", "sent and received from my phone")


@pytest.mark.parametrize("name", ["Anna de Vries", "Seán O'Brien-Müller", 'Kim "K" Lee'])
def test_the_form_that_messages_name_records_any_name_whole(play, tmp_path, name):
    written(tmp_path / "reports/r1", passed=True)
    words = shlex.split(signoff.BY_NAME.replace("'", "").replace('{"signoff_name": "Anna de Vries"}', shlex.quote(json.dumps({"signoff_name": name}))))[2:]
    assert play("localhost,", "-e", "signoff_run=r1", *words, playbook="playbooks/signoff.yml").rc == 0
    assert [entry["name"] for entry in signed(tmp_path)] == [name]


def test_half_a_name_is_refused_and_nothing_is_signed(play, tmp_path):
    written(tmp_path / "reports/r1", passed=True)
    ended = play("localhost,", "-e", "signoff_run=r1", "-e", "signoff_name=Anna de Vries", playbook="playbooks/signoff.yml")
    assert "as JSON" in ended.error() and "de Vries" in ended.error() and not (tmp_path / "reports/r1/signoffs.jsonl").exists()


def test_a_verification_that_was_changed_since_is_refused(play, tmp_path):
    written(tmp_path / "reports/r1", passed=False)
    path = tmp_path / "reports/r1/verification.json"
    path.write_text(path.read_text(encoding="utf-8").replace("false", "true"), encoding="utf-8")
    ended = play("localhost,", "-e", "signoff_run=r1", "-e", "signoff_name=Anna", playbook="playbooks/signoff.yml")
    assert "was changed since" in ended.error() and not (tmp_path / "reports/r1/signoffs.jsonl").exists()
