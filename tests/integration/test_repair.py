"""Step 4 on lab hosts: what is repaired, and above all what is not done when something is wrong."""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time

import pytest
import yaml
from playing import AUTO, BIN, ROOT, STATE_OF_HOST, events, run

APPROVE = ("-e", "respond_mode=approve", "-e", "remediate_pause=0", "-e", "remediate_arrival_timeout=4")
STOP = "systemctl stop postfix@-"
RELAY = "postconf -e 'relayhost=[127.0.0.2]:2525' && postfix reload && printf 'Subject: x\\n\\nx\\n' | sendmail -f alice@single.test friend@outside.test && sleep 2"


def test_advise_prints_the_commands_and_changes_nothing(play, single, mail, broken):
    before = broken(STOP)
    played = play(single, "-e", "respond_mode=advise", playbook="playbooks/respond.yml")
    assert played.rc == 0 and "systemctl start postfix@-.service" in played.out
    assert mail.look(STATE_OF_HOST) == before and mail.look("ls -A /var/lib/mailops /run/mailops 2>/dev/null | grep -c checkpoint || true").strip() == "0"


def test_check_mode_of_a_repair_changes_nothing(play, single, mail, broken):
    before = broken(STOP)
    played = play(single, *AUTO, "--check", playbook="playbooks/remediate.yml")
    assert played.rc == 0 and mail.look(STATE_OF_HOST) == before


def test_no_answer_means_no_and_an_approval_is_for_the_plan_that_was_shown(play, single, mail, broken):
    before = broken(STOP)
    played = play(single, *APPROVE, playbook="playbooks/remediate.yml")
    assert played.rc != 0 and mail.look(STATE_OF_HOST) == before
    assert events(played, "stopped") and not events(played, "begun")
    approval = events(played, "plan")[0]["approval"]
    assert play(single, *APPROVE, "-e", f"remediate_approved={approval[:65]}20260101T000000Z", playbook="playbooks/remediate.yml").rc != 0
    assert mail.look(STATE_OF_HOST) == before
    assert play(single, *APPROVE, "-e", f"remediate_approved={approval}", playbook="playbooks/remediate.yml").rc == 0
    assert mail.look("systemctl is-active postfix@-").strip() == "active"


def test_what_a_person_edits_after_the_plan_was_shown_is_not_overwritten(play, single, mail, broken):
    broken(RELAY)
    approval = events(play(single, *APPROVE, playbook="playbooks/remediate.yml"), "plan")[0]["approval"]
    mail.change("postconf -e 'relayhost=[127.0.0.3]:2526' && postfix reload")
    before = mail.look(STATE_OF_HOST)
    played = play(single, *APPROVE, "-e", f"remediate_approved={approval}", playbook="playbooks/remediate.yml")
    assert played.rc != 0 and "not for this plan" in played.out and mail.look(STATE_OF_HOST) == before


def test_a_person_at_work_and_a_change_freeze_keep_the_machinery_off(play, single, mail, broken):
    before = broken(STOP + "; mkdir -p /etc/mailops; touch /etc/mailops/human-at-work")
    played = play(single, *AUTO, playbook="playbooks/remediate.yml")
    assert played.rc != 0 and "at work" in played.out and mail.look(STATE_OF_HOST) == before
    mail.change("rm /etc/mailops/human-at-work")
    assert play(single, *AUTO, "-e", "remediate_freeze=true", playbook="playbooks/remediate.yml").rc != 0
    assert mail.look("systemctl is-active postfix@- || true").strip() == "inactive"


GUARD = """
- hosts: mail_servers
  gather_facts: false
  become: true
  tasks:
    - mailops.outage.mail_guard: {action: begin, step: theirs, owner: eve@elsewhere process 1 run x, remedy: restart_service, cause: x}
"""


def test_two_controllers_do_not_repair_one_host(play, single, mail, broken, tmp_path):
    before = broken(STOP)
    (tmp_path / "theirs.yml").write_text(GUARD)
    rc, out = run("ansible-playbook", "-i", str(single), str(tmp_path / "theirs.yml"), environment={"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")})
    assert rc == 0, out[-2000:]
    played = play(single, *AUTO, playbook="playbooks/remediate.yml")
    assert played.rc != 0 and "eve@elsewhere" in played.out and not events(played, "begun")
    assert "inactive" in mail.look("systemctl is-active postfix@- || true") and before


def test_without_a_snapshot_configuration_is_left_to_people(play, single, mail, broken):
    before = broken("rm -rf /var/lib/mailops; postconf -e message_size_limit=abc", snapshot=False)
    played = play(single, *AUTO, playbook="playbooks/remediate.yml")
    assert played.rc != 0 and "nothing to go back to" in played.out and mail.look(STATE_OF_HOST) == before


def test_a_harmless_change_beside_the_cause_stays(play, single, mail, broken):
    broken("postconf -e smtpd_banner=hello; echo '# a remark' >> /etc/postfix/main.cf; " + RELAY)
    played = play(single, *AUTO, playbook="playbooks/remediate.yml")
    assert played.rc == 0, played.out[-3000:]
    assert mail.look("postconf -h relayhost smtpd_banner | xargs; tail -1 /etc/postfix/main.cf").split("\n")[:2] == ["hello", "# a remark"]
    assert len(events(played, "repaired")) == 1 and not events(played, "rolled_back")


def test_a_wrong_diagnosis_ends_in_a_rollback_and_a_call_for_people(play, single, mail, broken, tmp_path):
    catalogue = tmp_path / "catalogue"
    shutil.copytree(ROOT / "roles/diagnose/files/catalogue", catalogue)
    wrong = yaml.safe_load((catalogue / "config.yml").read_text())
    wrong["config.listener_missing"]["remedies"] = [dict(wrong["config.listener_missing"]["remedies"][0], options={"software": "postfix", "settings": ["smtpd_banner"]})]
    (catalogue / "config.yml").write_text(yaml.safe_dump(wrong))
    before = broken("postconf -e smtpd_banner=hello; postconf -MX submission/inet submissions/inet; systemctl restart postfix@-")
    played = play(single, *AUTO, *(word for name in ("assess", "diagnose") for word in ("-e", f"{name}_catalogue_dir={catalogue}")),
                  "-e", "remediate_settle=3", playbook="playbooks/remediate.yml")
    assert played.rc != 0 and "a person must look" in played.out
    assert [entry["event"] for entry in events(played) if entry["event"] in ("begun", "rolled_back", "repaired")][:2] == ["begun", "rolled_back"]
    assert mail.look(STATE_OF_HOST) == before
    assert mail.look("ls /etc/systemd/system | grep -c mailops-rollback || true").strip() == "0"


OWNERS = """
- hosts: mail_servers
  gather_facts: false
  become: true
  tasks:
    - mailops.outage.mail_guard: {action: begin, step: s1, owner: test, remedy: repair_permissions, cause: x}
    - mailops.outage.mail_remedy: {remedy: repair_permissions, options: {paths: [/home/alice]}}
"""


def test_the_rollback_program_gives_owners_back(single, mail, broken, tmp_path):
    owners = "find /home/alice/Maildir -printf '%p %U:%G %m\\n' | sort"
    mail.change("printf 'Subject: x\\n\\nx\\n' | sendmail alice; sleep 1")
    broken("chown -R root:root /home/alice/Maildir; chmod 700 /home/alice/Maildir")
    before = mail.look(owners)
    (tmp_path / "owners.yml").write_text(OWNERS)
    rc, out = run("ansible-playbook", "-i", str(single), str(tmp_path / "owners.yml"), environment={"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")})
    assert rc == 0, out[-2000:]
    assert " 0:0 " not in mail.look(owners)
    mail.look("python3 /var/lib/mailops/checkpoints/*/rollback.py")
    assert mail.look(owners) == before


@pytest.mark.parametrize("stage", ["begun", "changed", "judged"])
def test_a_controller_killed_at_any_stage_is_picked_up_by_the_next_run(play, single, mail, broken, tmp_path, stage):
    broken(STOP)
    reports = tmp_path / "reports"
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "LAB_"))}
    settings.update(PATH=f"{BIN}:{os.environ['PATH']}", ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"))
    with subprocess.Popen([str(BIN / "ansible-playbook"), "-i", str(single), str(ROOT / "playbooks/remediate.yml"), "-e", f"report_dir={reports}", *AUTO],
                          cwd=ROOT, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True) as child:
        for _try in range(1200):
            if any(f'"event": "{stage}"' in path.read_text() for path in reports.glob("*/journal.jsonl")) or child.poll() is not None:
                break
            time.sleep(0.1)
        assert child.poll() is None, "it ended before the stage was reached"
        os.killpg(child.pid, signal.SIGKILL)
    # A process that the host still runs for it ends by itself.
    time.sleep(3)
    played = play(single, *AUTO, playbook="playbooks/respond.yml")
    assert played.rc == 0, played.out[-3000:]
    assert mail.look("systemctl is-active postfix@-").strip() == "active"
    assert mail.look("ls /etc/systemd/system | grep -c mailops || true; ls /run/mailops/lock 2>/dev/null | wc -l").split() == ["0", "0"]


def test_when_the_budget_is_spent_people_are_called(play, single, mail, broken):
    broken(STOP)
    assert play(single, *AUTO, playbook="playbooks/remediate.yml").rc == 0
    mail.change(STOP)
    played = play(single, *AUTO, playbook="playbooks/remediate.yml")
    assert played.rc != 0 and "was tried 1 times in the last hour" in played.out
    assert mail.look("systemctl is-active postfix@- || true").strip() == "inactive"


def test_a_healthy_host_is_not_touched(play, single, mail, broken):
    before = broken("true")
    played = play(single, *AUTO, playbook="playbooks/remediate.yml")
    assert played.rc == 0 and mail.look(STATE_OF_HOST) == before and not events(played, "begun")
