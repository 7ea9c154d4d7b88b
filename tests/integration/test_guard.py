"""The guard on a real host: what a rollback undoes there, what it leaves, and that an end is an end, over full disks, locked files and reboots."""
from __future__ import annotations

import json
import time

import pytest
from playing import ROOT, run

CONTAIN = {"mailops.outage.mail_remedy": {"remedy": "contain", "options": {"soft_bounce": True}}}
MAIN = "/etc/postfix/main.cf"
# What the containment changes, and what could be left of a rollback.
STATE = "sha256sum /etc/postfix/main.cf; stat -c '%U:%G %a %Y' /etc/postfix/main.cf; postconf -h soft_bounce; "\
        "systemctl is-enabled mailops-contain.timer 2>&1 || true; systemctl is-active mailops-contain.timer postfix@- || true; " \
        "find /etc/systemd -name '*mailops*' | sort; find /etc/postfix -name '*.mailops-*'"


def guard(action, step="4be1f0c2a9d7", **more):
    asked = {"action": action, "step": step}
    if action == "begin":
        asked.update(owner="test", remedy="contain", cause="x", per_hour=9, per_day=9)
    return {"mailops.outage.mail_guard": {**asked, **more}}


def person(script):
    return {"ansible.builtin.shell": script}


@pytest.fixture(name="told")
def _told(single, mail, tmp_path):
    """``told(*tasks)``: what each of these tasks answers on the host."""
    def told(*tasks):
        mail.changed = True
        tasks = [{**task, "register": f"answer{number}", "ignore_errors": True} for number, task in enumerate(tasks)]
        answers = "[" + ", ".join(task["register"] for task in tasks) + "]"
        last = {"ansible.builtin.copy": {"dest": str(tmp_path / "answers.json"), "content": "{{ " + answers + " | to_json }}", "mode": "0600"},
                "delegate_to": "localhost", "become": False}
        (tmp_path / "told.yml").write_text(json.dumps([{"hosts": "mail", "gather_facts": False, "become": True, "tasks": [*tasks, last]}]))
        rc, out = run("ansible-playbook", "-i", str(single), str(tmp_path / "told.yml"), environment={"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")})
        assert rc == 0, out[-3000:]
        return json.loads((tmp_path / "answers.json").read_text())
    return told


def manifest(mail):
    return json.loads(mail.look("cat $(ls -d /var/lib/mailops/checkpoints/* | tail -1)/manifest.json"))


def play(mail):
    """What the timer does, now."""
    said = mail.look("name=$(basename /var/lib/mailops/checkpoints/*); systemctl is-active mailops-rollback-$name.timer; "
                     "systemctl start mailops-rollback-$name.service; journalctl -o cat -u mailops-rollback-$name.service | grep '^{' | tail -1")
    active, _line, told = said.partition("\n")
    assert active == "active"
    return json.loads(told)


# A file that is a mount point cannot be replaced, as an immutable one cannot.
LOCK = "mount --bind {0} {0}"


def test_the_timer_undoes_all_that_the_remedy_did_and_the_controller_is_told(told, mail):
    before = mail.look(STATE)
    began, remedy = told(guard("begin", rollback_after=10, journal="aa"), CONTAIN)
    assert began["granted"] and remedy["changed"] and not remedy["failed"]
    for _try in range(40):
        if "mailops" not in mail.look("ls /etc/systemd/system"):
            break
        time.sleep(1)
    assert mail.look(STATE) == before
    confirm, back, status = told(guard("confirm"), guard("roll_back"), guard("status"))
    assert [(answer["granted"], answer["state"]) for answer in (confirm, back)] == [(False, "rolled_back")] * 2
    assert MAIN in confirm["restored"] and manifest(mail)["journal"] == "aa" and status["checkpoints"] == [] and status["lock"] is None
    assert mail.look("grep -c soft_bounce /var/lib/mailops/checkpoints/*/replaced/etc/postfix/main.cf").strip() != "0"


def test_what_a_person_edits_meanwhile_stays_and_waits_for_them(told, mail):
    mail.change("echo mine > /etc/postfix/theirs.cf")
    answers = told(guard("begin"), person(f"echo '# before' >> {MAIN}"), CONTAIN, person(f"echo '# after' >> {MAIN}; echo x >> /etc/postfix/theirs.cf"),
                   guard("roll_back", because="it did not help"), guard("begin", "another"), guard("status"), guard("acknowledge"),
                   guard("begin", "another"), guard("confirm", "another"))
    back, refused, status, acknowledged, again, confirmed = answers[4:]
    assert back["state"] == "not_put_back" and [(item["path"], item["again"]) for item in back["left"]] == [(MAIN, False)]
    assert not refused["granted"] and "was not put back" in refused["because"] and [item["state"] for item in status["checkpoints"]] == ["not_put_back"]
    assert acknowledged["granted"] and again["granted"] and confirmed["state"] == "confirmed"
    assert mail.look(f"tail -2 {MAIN}; cat /etc/postfix/theirs.cf").split("\n")[-4:] == ["# after", "mine", "x", ""]
    assert mail.look("ls /etc/systemd/system | grep -c mailops || true").strip() == "0"


def test_with_a_person_at_work_or_a_locked_file_it_is_tried_again(told, mail):
    before = mail.look(STATE)
    told(guard("begin"), CONTAIN, person("touch /run/mailops/human-at-work"))
    first = play(mail)
    assert first["state"] == "not_put_back" and "at work" in first["left"][0]["because"] and mail.look("postconf -h soft_bounce").strip() == "yes"
    mail.look("rm /run/mailops/human-at-work; " + LOCK.format(MAIN))
    second = play(mail)
    assert second["state"] == "not_put_back" and [(item["path"], item["again"]) for item in second["left"]] == [(MAIN, True)]
    mail.look(f"umount {MAIN}")
    assert play(mail)["state"] == "rolled_back" and mail.look(STATE) == before
    assert [bool(attempt["left"]) for attempt in manifest(mail)["attempts"]] == [True, True, False]


FULL = "mkdir -p /var/lib/mailops && mount -t tmpfs -o size=18m tmpfs /var/lib/mailops"


def test_on_a_full_disk_it_is_put_back_and_on_record(told, mail):
    before = mail.look(STATE)
    begun, _remedy, _fill = told(person(FULL), guard("begin"), CONTAIN, person("dd if=/dev/zero of=/var/lib/mailops/x bs=4k; true"))[1:]
    assert begun["storage"] == "/var/lib/mailops"
    assert play(mail)["state"] == "rolled_back"
    assert mail.look(STATE) == before and manifest(mail)["state"] == "rolled_back"


def test_an_open_repair_is_put_back_after_a_reboot_except_what_a_person_changed(told, mail):
    before = mail.look(STATE)
    told(guard("begin"), CONTAIN)
    mail.lab.run("reboot", "mail")
    assert mail.look("postconf -h soft_bounce").strip() == "yes"
    mail.change("echo '# by hand' >> /etc/systemd/system/mailops-contain.service")
    play(mail)
    assert mail.look(STATE).split("\n")[:3] == before.split("\n")[:3]
    found = manifest(mail)
    assert found["state"] == "not_put_back" and [item["path"] for item in found["rolled_back"]["left"]] == ["/etc/systemd/system/mailops-contain.service"]


def test_what_was_put_back_without_a_record_is_not_put_back_again_after_a_reboot(told, mail):
    record = "$(ls /var/lib/mailops/checkpoints/*/manifest.json)"
    told(guard("begin"), CONTAIN, person(f"cp -p {MAIN} /root/repaired; " + LOCK.format(record)))
    assert play(mail)["state"] == "rolled_back"
    mail.look(f"umount {record}")
    assert manifest(mail)["state"] == "open"
    # A person wants just what the repair had done.
    mail.change(f"cp -p /root/repaired {MAIN}")
    mail.lab.run("reboot", "mail")
    assert json.loads(mail.look("python3 /var/lib/mailops/checkpoints/*/rollback.py"))["state"] == "not_put_back"
    status, acknowledged = told(guard("status"), guard("acknowledge"))
    assert "not on record" in status["checkpoints"][0]["because"] and acknowledged["granted"]
    assert mail.look("postconf -h soft_bounce; systemctl is-active postfix@-").split() == ["yes", "active"]
