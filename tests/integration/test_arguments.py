"""What cannot be meant is refused with one clear line, before any host is looked at."""
from __future__ import annotations

import pytest

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
