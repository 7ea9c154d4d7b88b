"""Secrets sown in the forms that a mail host and an inventory know reach no output.

That is the terminal at its most talkative, each file of a run, the artifacts of ansible-runner, and what modules tell the log of the host.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from playing import BIN, ROOT, write_inventory

SOWN = ("SEEDstatic01", "SEEDinline02", "SEEDbindpw03", "SEEDoverride04", "SEEDsasl05", "SEEDpassdb06", "SEEDconnect07", "SEEDdoveadm08", "SEEDurl09",
        "SEEDprobe10", "SEEDgiven11", "SEEDnewer12", "SEEDnewer13", "SEED two words14", "words14", "SEEDnewer15", "SEEDexternal16", "lab-friend")

SOW = r"""
echo probe:SEEDprobe10 | chpasswd
postconf -e 'smtp_sasl_password_maps = static:anna:SEEDstatic01' 'lmtp_sasl_password_maps = inline:{ { [relay.seed.test]:587 = anna:SEEDinline02 } }'
printf 'seedldap_bind_pw = SEEDbindpw03\nseed_maps =\n    static:anna:SEEDstatic01\n' >> /etc/postfix/main.cf
postconf -P submission/inet/smtp_sasl_password_maps=static:anna:SEEDoverride04
printf '[relay.seed.test]:587 anna:SEEDsasl05\n' > /etc/postfix/sasl_passwd; chmod 644 /etc/postfix/sasl_passwd; postmap /etc/postfix/sasl_passwd
printf 'driver = mysql\nconnect = host=db.seed.test dbname=mail user=mail password=SEEDconnect07\n' > /etc/dovecot/dovecot-sql.conf.ext
chmod 644 /etc/dovecot/dovecot-sql.conf.ext
cat >> /etc/dovecot/local.conf <<'END'
doveadm_password = SEEDdoveadm08
imapc_password = "SEED two words14"
auth_verbose = yes
auth_verbose_passwords = plain
plugin {
  fts_solr = url=http://solr:SEEDurl09@localhost:8983/solr/
}
passdb {
  driver = static
  args = password=SEEDpassdb06
}
END
postfix reload; systemctl restart dovecot; sleep 1
"""
# Each fault also changes secrets beside it, so that the difference which takes it back holds old and new ones.
POSTFIX = r"""
postconf -e 'smtp_sasl_password_maps = static:anna:SEEDnewer12'
postconf -P submission/inet/smtp_sasl_password_maps=inline:{[relay.seed.test]=anna:SEEDnewer13}
sed -i 's/SEEDsasl05/SEEDnewer15/' /etc/postfix/sasl_passwd; postmap /etc/postfix/sasl_passwd
doveadm auth test probe@single.test SEEDgiven11 || true
sed -i 's/^seedldap_bind_pw.*/seedldap_bind_pw SEEDnewer15/' /etc/postfix/main.cf; systemctl restart postfix@- || true
"""
DOVECOT = r"""
sed -i 's/SEEDdoveadm08/SEEDnewer12/; s/password=SEEDpassdb06/password=SEEDnewer13/' /etc/dovecot/local.conf
doveadm auth test probe@single.test SEEDgiven11 || true
echo 'service x { unix_listener y { password = SEEDnewer15' >> /etc/dovecot/local.conf; systemctl restart dovecot || true
"""
AUTO = {"respond_mode": "auto", "remediate_pause": 0, "verify_settle": 0, "remediate_per_hour": 5, "remediate_per_day": 10}
RUNNER = """
import json, sys, ansible_runner
ended = ansible_runner.run(private_data_dir=sys.argv[1], playbook="playbooks/respond.yml", inventory=sys.argv[2], extravars=json.loads(sys.argv[3]),
                           cmdline="--diff", verbosity=3, quiet=False)
print(json.dumps({"status": ended.status, "rc": ended.rc}))
"""


@pytest.fixture(name="sown")
def _sown(play, single_inventory, mail, tmp_path):
    """The inventory of a host on which secrets are sown, and of which a snapshot was taken."""
    data = json.loads(json.dumps(single_inventory))
    data["all"]["vars"]["mail_probe_accounts"][0]["password"] = "SEEDprobe10"
    data["all"]["vars"]["unused_password"] = "SEEDexternal16"
    mail.change(SOW)
    inventory = write_inventory(tmp_path / "sown.yml", data)
    ended = play(inventory, "-vvv", "--diff", playbook="playbooks/snapshot.yml")
    assert ended.rc == 0, ended.out[-3000:]
    assert leaks(ended.out) == [] and leaks_below(ended.reports) == []
    return inventory


def leaks(text: str) -> list:
    """The lines in which a sown secret stands."""
    return [f"{seed}: {line[max(0, line.find(seed) - 120):][:200]}" for line in text.splitlines() for seed in SOWN if seed in line]


def leaks_below(folder: Path) -> list:
    """As ``leaks``, with the file, for all that lies in a folder."""
    return [f"{path.relative_to(folder)}: {leak}" for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()
            for leak in leaks(path.read_text(encoding="utf-8", errors="replace"))]


def invoked(mail) -> str:
    """What Ansible's modules wrote into the log of the host about themselves."""
    return mail.look("journalctl --no-pager -q -o cat -g 'Invoked with' || true; grep -ah 'Invoked with' /var/log/syslog /var/log/messages 2>/dev/null || true")


def outcomes(reports: Path, out: str) -> list:
    lines = [json.loads(line) for path in sorted(reports.glob("*/journal.jsonl")) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines, "\n".join(line[:600] for line in out.splitlines() if "fatal:" in line or "rror" in line[:40] or '"msg"' in line)[-3000:]
    return [entry["event"] for entry in lines]


def test_a_repair_of_postfix_at_its_most_talkative_shows_no_secret(play, sown, mail):
    mail.change(POSTFIX)
    words = [word for name, value in AUTO.items() for word in ("-e", f"{name}={value}")]
    ended = play(sown, "-vvv", "--diff", *words, playbook="playbooks/respond.yml")
    assert {"begun", "changed"} <= set(outcomes(ended.reports, ended.out))
    assert "static:(hidden)" in ended.out, "the difference is shown, without the secret"
    assert leaks(ended.out) == []
    assert leaks_below(ended.reports) == []
    assert leaks(invoked(mail)) == []


def test_a_repair_of_dovecot_through_ansible_runner_leaves_no_secret_in_its_artifacts(sown, mail, tmp_path):
    pytest.importorskip("ansible_runner")
    mail.change(DOVECOT)
    private, reports = tmp_path / "private", tmp_path / "by-runner"
    private.mkdir()
    (private / "project").symlink_to(ROOT)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment["PATH"] = f"{BIN}:{environment['PATH']}"
    ended = subprocess.run([sys.executable, "-c", RUNNER, str(private), str(sown), json.dumps({**AUTO, "report_dir": str(reports)})], cwd=tmp_path,
                           env=environment, capture_output=True, text=True, check=False, timeout=400)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert {"begun", "changed"} <= set(outcomes(reports, ended.stdout))
    assert leaks(ended.stdout + ended.stderr) == []
    assert leaks_below(private / "artifacts") == []
    assert leaks_below(reports) == []
    assert leaks(invoked(mail)) == []
