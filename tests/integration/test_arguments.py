"""What cannot be meant is refused with one clear line, before any host is looked at."""
from __future__ import annotations

import json

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.verification import judge

LOCAL = ("-c", "local", "-e", "mail_become=false")


def test_an_empty_inventory_is_refused(play, tmp_path):
    (tmp_path / "empty.yml").write_text("all: {children: {mail_servers: {hosts: {}}}}\n", encoding="utf-8")
    assert play(tmp_path / "empty.yml").error().startswith("The inventory holds no mail host.")


def test_an_inventory_that_is_not_there_is_named(play, tmp_path):
    ended = play(tmp_path / "absent.yml")
    assert ended.error().startswith("The inventory holds no mail host.")
    assert f"Unable to parse {tmp_path}/absent.yml" in ended.out


def test_a_limit_without_a_mail_host_is_refused(play, tmp_path):
    (tmp_path / "hosts.yml").write_text("all: {children: {mail_servers: {hosts: {a.invalid: }}, mail_vantages: {hosts: {b.invalid: }}}}\n", encoding="utf-8")
    error = play(tmp_path / "hosts.yml", "--limit", "b.invalid").error()
    assert error == "No mail host is among those of --limit b.invalid. The group mail_servers holds a.invalid."


@pytest.mark.parametrize(("word", "named"), [
    ("mail_language=xx", "mail_language"),
    ("assess_window=abc", "assess_window"),
    ("assess_window=-5", "assess_window"),
    ("assess_since=99999999999", "assess_since"),
    ("assess_since=yesterday", "assess_since"),
    ("assess_deadline=0", "assess_deadline"),
    ("assess_run_id=../escape", "run id"),
    ("mail_ca_file=/nonexistent/ca.pem", "mail_ca_file"),
    ("mail_become=perhaps", "perhaps"),
    ('{"diagnose_severity_rules": [{"when": "verdict ==", "severity": "sev1"}]}', "verdict =="),
    ('{"mail_probe_accounts": [{"login": "x"}]}', "missing required arguments"),
])
def test_a_value_that_cannot_be_meant_is_refused(play, word, named):
    error = play("localhost,", *LOCAL, "-e", word).error()
    assert named in error
    # Said once: Ansible appends the cause of an error to it.
    assert error.count(error[:60]) == 1


def test_a_reported_user_that_is_no_address_is_refused_or_said(play, single):
    ended = play(single, "-e", "reported_user='alice smith@single.test'")
    if ended.rc:
        assert "reported_user" in ended.error()
    else:
        assert any("alice smith" in sentence for sentence in ended.diagnosis["not_visible"])


def test_a_report_folder_that_cannot_be_written_is_named(play, tmp_path):
    (tmp_path / "file").touch()
    error = play("localhost,", *LOCAL, reports=tmp_path / "file").error()
    assert error.startswith("The reports cannot be written: ") and str(tmp_path / "file") in error and "report_dir" in error
    assert error.count("Not a directory") == 1


# Nothing is sent from here, so that no verification passes.
@pytest.mark.parametrize(("word", "fails", "shows"), [
    ("verify_required=false", False, True), ("verify_required=no", False, True), ("verify_required=true", True, True),
    ("verify_required=false diagnose_show=false", False, False),
])
def test_a_boolean_that_is_given_as_text_is_one(play, word, fails, shows):
    ended = play("localhost,", *LOCAL, "-e", "verify_settle=0", "-e", word, playbook="playbooks/verify.yml")
    assert "NOT VERIFIED" in ended.out and "Traceback" not in ended.out, ended.out[-3000:]
    assert (ended.rc != 0) == fails == ("Mail is not verified" in ended.out), ended.out[-3000:]
    assert ("Look next" in ended.out) == shows, ended.out[-3000:]


@pytest.mark.parametrize(("word", "fails"), [("false", False), ("no", False), ("true", True), ("yes", True), ("perhaps", True), ("", True)])
def test_whether_enough_must_have_signed_is_given_as_text_and_never_guessed(play, tmp_path, word, fails):
    (tmp_path / "reports/r1").mkdir(parents=True)
    signed = {"run_id": "r1", "passed": True, "checks": []}
    (tmp_path / "reports/r1/verification.json").write_text(json.dumps({**signed, "digest": judge.digest(signed)}), encoding="utf-8")
    ended = play("localhost,", "-e", "signoff_run=r1", "-e", f"signoff_required={word}", playbook="playbooks/signoff.yml")
    assert (ended.rc != 0) == fails, ended.out[-3000:]
    if fails:
        assert ("2 more must sign" if word in ("true", "yes") else "signoff_required") in ended.error()
