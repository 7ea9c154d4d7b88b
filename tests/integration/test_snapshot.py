"""The known-good snapshot: only of a healthy estate, only for root, without secrets."""
from __future__ import annotations

import json

from playing import ROOT, STATE, run

MANIFEST = "/var/lib/mailops/known-good/current/manifest.json"
SECRETS = ("PRIVATE KEY", "lab-alice", "lab-bob", "lab-carol", "lab-probe", "{SHA512-CRYPT}", "$6$", "$y$")


def test_a_broken_state_is_not_kept(play, single, mail):
    mail.change("systemctl stop dovecot")
    ended = play(single, playbook="playbooks/snapshot.yml")
    error = ended.error()
    assert error.startswith("No snapshot was taken: the verdict is ") and "report.md" in error
    assert mail.look("ls /var/lib/mailops 2>&1 || true").startswith("ls: cannot access")
    assert not (ended.reports / "known-good").exists()


def test_a_healthy_state_is_kept_for_root_and_without_secrets(play, single, mail):
    mail.change("true")
    ended = play(single, playbook="playbooks/snapshot.yml")
    assert ended.diagnosis["verdict"] == "healthy"
    kept = ended.reports / "known-good/mail.json"
    on_host = mail.look(f"cat {MANIFEST}")
    assert json.loads(kept.read_text(encoding="utf-8")) == json.loads(on_host)
    assert mail.look("stat -c '%a %U' /var/lib/mailops/known-good").strip() == "700 root"
    assert kept.stat().st_mode & 0o077 == 0 and kept.parent.stat().st_mode & 0o077 == 0
    for text in (on_host, ended.out, ended.text("diagnosis.json"), ended.text("report.md"), ended.text("report.html"), ended.text("observations/mail.json"),
                 ended.text("estate.json")):
        assert [secret for secret in SECRETS if secret in text] == []
        assert (STATE / "hosts/mail/key.pem").read_text(encoding="utf-8").splitlines()[1] not in text
    assert mail.look("su ops -c 'cat /var/lib/mailops/known-good/current/manifest.json' 2>&1 || true").endswith("Permission denied\n")

    again = play(single, playbook="playbooks/snapshot.yml")
    assert again.diagnosis["verdict"] == "healthy" and again.diagnosis["changes"] == []
    states = [json.loads(text)["state"] for text in (on_host, mail.look(f"cat {MANIFEST}"))]
    assert {**states[1], "counts": None} == {**states[0], "counts": None}
    assert len(mail.look("ls -d /var/lib/mailops/known-good/2*").split()) == 2


def test_check_mode_keeps_nothing(play, single, mail):
    mail.changed = True
    ended = play(single, "--check", playbook="playbooks/snapshot.yml")
    assert ended.rc == 0, ended.out
    assert mail.look("ls /var/lib/mailops 2>&1 || true").startswith("ls: cannot access")
    assert not (ended.reports / "known-good").exists()


def test_a_later_diagnosis_says_what_changed(play, single, mail, tmp_path):
    mail.change("true")
    # A folder as one types it, from where one stands.
    rc, out = run("ansible-playbook", "-i", str(single), str(ROOT / "playbooks/snapshot.yml"), "-e", "report_dir=kept", cwd=tmp_path,
                  environment={"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")})
    assert rc == 0, out
    assert (tmp_path / "kept/known-good/mail.json").exists() and (tmp_path / "kept/latest/diagnosis.json").exists()
    mail.change("postconf -e mynetworks=192.0.2.0/24; postfix reload")
    found = play(single).diagnosis
    change = next(item for item in found["changes"] if item["name"] == "mynetworks")
    assert change["after"] == "192.0.2.0/24" and change["host"] == "mail"
