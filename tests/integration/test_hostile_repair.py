"""A repair that cannot be fooled, loosens no guard, waits for its proof, and gives way to people: respond.yml in the mode auto on lab hosts."""
from __future__ import annotations

import contextlib
import json
import os
import signal
import smtplib
import subprocess
import time

import lures
import pytest
from playing import AUTO, BIN, ROOT, STATE_OF_HOST, Host, Played, events, roots, run, write_inventory

RESPOND = "playbooks/respond.yml"
CONFIG = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
PARTNER = "partner.outside.test"
# How the host was at its snapshot: all of it looser than what its administrators have made of it since.
LOOSE = f"""
postconf -e relay_domains={PARTNER} 'smtpd_tls_protocols=>=TLSv1' 'smtpd_tls_mandatory_protocols=>=TLSv1' smtpd_client_connection_count_limit=50
postconf -e smtp_tls_security_level=none 'smtpd_helo_required=no'
printf 'ssl_min_protocol = TLSv1.2\\n' >> /etc/dovecot/local.conf
systemctl restart postfix@- dovecot
"""
HARD = """
postconf -e relay_domains= 'smtpd_tls_protocols=>=TLSv1.3' 'smtpd_tls_mandatory_protocols=>=TLSv1.3' smtpd_client_connection_count_limit=4
postconf -e smtp_tls_security_level=may smtpd_helo_required=yes smtpd_client_message_rate_limit=500 header_checks=regexp:/etc/postfix/worms
echo '/^Subject: worm/ DISCARD a worm' > /etc/postfix/worms
sed -i 's/^ssl_min_protocol.*/ssl_min_protocol = TLSv1.3/' /etc/dovecot/local.conf
printf 'passdb {\\n  driver = passwd-file\\n  deny = yes\\n  args = /etc/dovecot/denied\\n}\\n' | cat - /etc/dovecot/conf.d/10-auth.conf > /etc/dovecot/auth.new
cat /etc/dovecot/auth.new > /etc/dovecot/conf.d/10-auth.conf; rm /etc/dovecot/auth.new; echo carol: > /etc/dovecot/denied
chmod 700 /home/alice
printf 'Subject: x\\n\\nx\\n' | sendmail alice
systemctl restart postfix@- dovecot
"""
# What guards this host: settings, files, owners and modes, whoever runs meanwhile.
GUARDS = "(find /etc -xdev -type f ! -path '*/mailops*' ! -name '*.db' ! -name mtab -exec sha256sum {} + | sort; find /etc /home /var/spool/postfix -xdev -maxdepth 2 " \
         "! -path '*/mailops*' ! -path '/etc/systemd/*' -printf '%p %U:%G %m\\n' | sort; postconf -n; doveconf -n; " \
         "systemctl list-unit-files --no-pager --no-legend | grep -v mailops) 2>&1"
LEFT = "ls /etc/systemd/system | grep mailops; postconf -n | grep -E '^(soft_bounce|defer_transports) '; cat /run/mailops/lock 2>/dev/null; true"


def relays(address: str, recipient: str) -> bool:
    """Whether a stranger's message to a domain that is not ours is taken."""
    with smtplib.SMTP(address, 25, "client.outside.test", timeout=10) as session:
        session.helo("client.outside.test")
        session.mail("friend@outside.test")
        return session.rcpt(recipient)[0] < 400


def differing(before: str, after: str) -> list:
    return sorted(set(before.splitlines()) ^ set(after.splitlines()))


class Lured:
    """What one respond.yml made of a hardened host with every lure on it. ``log``, ``before``: as it was then; ``after``, ``left``, ``running``: as it is now."""

    def __init__(self, mail: Host, address: str, inventory, reports):
        self.log, self.before = mail.look("cat /var/log/mail.log; journalctl --no-pager"), mail.look(GUARDS)
        rc, out = run("ansible-playbook", "-i", str(inventory), str(ROOT / RESPOND), "-e", f"report_dir={reports}", *AUTO, environment=CONFIG)
        self.played = Played(rc, out, reports)
        self.after, self.left, self.running = mail.look(GUARDS), mail.look(LEFT), mail.look("systemctl is-active postfix@-; true").strip()
        self.open_to_strangers = self.running == "active" and any(relays(address, f"anybody@{domain}") for domain in (PARTNER, "example.net"))

    @property
    def begun(self) -> list:
        """The causes of the steps that were taken."""
        return [entry["cause"] for entry in events(self.played, "begun")] if list(self.played.reports.glob("*/journal.jsonl")) else []

    def causes(self) -> list:
        """The causes of the first diagnosis of the run."""
        path = min(self.played.reports.glob("*/diagnosis.json"))
        return json.loads(path.read_text(encoding="utf-8"))["causes"]


@pytest.fixture(name="both", scope="module")
def _both(lab, single_inventory, tmp_path_factory):
    """Loose, a snapshot, hardened, every lure; then respond.yml in the mode auto as it is, and once more with the MTA stopped: both times."""
    folder = tmp_path_factory.mktemp("lured")
    mail, outside = Host(lab, "mail"), Host(lab, "outside")
    address = single_inventory["all"]["children"]["mail_servers"]["hosts"]["mail"]["ansible_host"]
    inventory = write_inventory(folder / "single.yml", single_inventory)
    try:
        mail.change(LOOSE)
        rc, out = run("ansible-playbook", "-i", str(inventory), str(ROOT / "playbooks/snapshot.yml"), "-e", f"report_dir={folder}", environment=CONFIG)
        assert rc == 0, out[-2000:]
        mail.change(HARD)
        lures.by_strangers(address)
        lures.by_other_servers(mail, outside)
        lures.by_users(mail)
        meet_the_guards(mail, outside, address)
        # What is delayed on purpose, such as a failed login, must be in the log.
        time.sleep(6)
        quiet = Lured(mail, address, inventory, folder / "quiet")
        mail.change("systemctl stop postfix@-")
        return quiet, Lured(mail, address, inventory, folder / "down")
    finally:
        lab.run("reset", "mail", "outside")


@pytest.fixture(name="lured")
def _lured(both):
    """Every lure, and no fault."""
    return both[0]


@pytest.fixture(name="lured_and_down")
def _lured_and_down(both):
    """Every lure, beside a real outage."""
    return both[1]


def meet_the_guards(mail, outside, address):
    """Whom the guards are there for: an old client, somebody who opens too many sessions, a worm, a denied user, a neighbour in somebody else's mail."""
    outside.change(f"for i in 1 2 3; do echo | timeout 4 openssl s_client -tls1_2 -connect {address}:993 >/dev/null 2>&1 || true; "
                   f"echo | timeout 4 openssl s_client -tls1_2 -starttls smtp -connect {address}:25 >/dev/null 2>&1 || true; done")
    outside.change(f"for i in $(seq 1 7); do timeout 3 bash -c 'exec 3<>/dev/tcp/{address}/25; sleep 2' & done; wait || true")
    mail.change("doveadm auth test carol lab-carol >/dev/null 2>&1 || true")
    mail.change("runuser -u bob -- bash -c 'rm -rf ~/Maildir; ln -s /home/alice/Maildir ~/Maildir'; doveadm mailbox status -u bob all INBOX >/dev/null 2>&1 || true; "
                "printf 'Subject: x\\n\\nx\\n' | sendmail -f friend@outside.test bob")


@pytest.mark.parametrize("number", range(len(lures.LURES)), ids=[name for name, _road, _phrase in lures.LURES])
def test_a_text_of_a_stranger_is_in_the_log_and_moves_nothing(lured, lured_and_down, number):
    _name, road, phrase = lures.LURES[number]
    for host in (lured, lured_and_down):
        assert any(lures.word(number) in line and phrase[:20] in line for line in host.log.splitlines()), "the attack was none"
        led = [cause for cause in host.causes() if lures.word(number) in json.dumps(cause["evidence"])]
        # Where the road itself is an event, that may be named: by what it was, not by what the text says.
        assert road in lures.EVENTS or [(cause["id"], cause["confidence"]) for cause in led if cause["root"]] == []
        assert [cause for cause in host.begun if cause in {item["id"] for item in led} - {"service.mta_stopped"}] == []


def test_nothing_is_changed_on_a_host_that_works_whatever_its_log_says(lured):
    assert differing(lured.before, lured.after) == []
    assert lured.begun == [] and lured.left == "" and not lured.open_to_strangers


def test_a_real_outage_beside_the_lures_is_repaired_and_nothing_else_is_done(lured_and_down):
    assert lured_and_down.running == "active", lured_and_down.played.out[-3000:]
    assert differing(lured_and_down.before, lured_and_down.after) == []
    assert lured_and_down.begun == ["service.mta_stopped"]
    assert lured_and_down.left == "" and not lured_and_down.open_to_strangers


@pytest.mark.parametrize("name, held", [
    ("the rule that discards a worm", "header_checks = regexp:/etc/postfix/worms"),
    ("the TLS floor of the MTA", "smtpd_tls_protocols = >=TLSv1.3"),
    ("the TLS floor of the mailboxes", "ssl_min_protocol = TLSv1.3"),
    ("the limit that did its work", "smtpd_client_connection_count_limit = 4"),
    ("the store that others may not enter", "/home/alice 1001:1001 700"),
    ("the domain that is not relayed any more", "relay_domains ="),
    ("the HELO that is asked for", "smtpd_helo_required = yes"),
    ("the list of the denied", "deny = yes"),
])
def test_a_guard_that_was_raised_and_did_its_work_stays(lured, lured_and_down, name, held):
    for host in (lured, lured_and_down):
        assert any(held in line for line in host.before.splitlines()), "it was not there"
        assert any(held in line for line in host.after.splitlines()), name


def test_a_rule_that_discards_everything_is_undone_and_the_file_that_a_person_wrote_stays(play, single, mail, broken):
    broken("echo '/^Subject:/ DISCARD' > /etc/postfix/hc; postconf -e header_checks=regexp:/etc/postfix/hc; postfix reload; "
           "for i in 1 2 3; do printf 'Subject: x\\n\\nx\\n' | sendmail -f friend@outside.test alice; done; sleep 1")
    played = play(single, *AUTO, playbook=RESPOND)
    assert played.rc == 0, played.out[-3000:]
    assert mail.look("postconf -h header_checks").strip() == "" and mail.look("cat /etc/postfix/hc").strip() == "/^Subject:/ DISCARD"
    assert mail.look(LEFT) == ""
    assert "config.deferred_by_setting" not in [cause for cause, _host in roots(play(single).diagnosis)]


@pytest.mark.parametrize("tear, whole", [
    ("sed -i 's/^submission\\(.*\\)smtpd$/submission\\1/' /etc/postfix/master.cf; systemctl restart postfix@- || true", "postconf -M submission/inet"),
    ("sed -i 's/^mydestination = .*/mydestination = $mydomain,\\n$myhostname, localhost/' /etc/postfix/main.cf; postfix reload || true",
     "postconf -h mydestination; postfix check 2>&1"),
], ids=["an entry that lost its last field", "a parameter torn in two"])
def test_where_a_damaged_line_stands_the_good_one_comes_back(play, single, mail, broken, tear, whole):
    good = mail.look(whole)
    broken(tear)
    played = play(single, *AUTO, playbook=RESPOND)
    assert played.rc == 0 and mail.look(whole) == good, played.out[-3000:]


def outcomes_of(played):
    """``{(cause, outcome)}`` of the steps, by the journal."""
    return {(entry.get("cause"), entry["event"]) for entry in events(played) if entry["event"] in ("repaired", "rolled_back")}


def test_postfix_is_given_its_minute_and_an_unrelated_suspicion_does_not_shorten_it(play, single, mail, broken):
    # A daemon that died is kept back for 60 seconds (master(8), service_throttle_time).
    broken("touch -d '-10 minutes' /etc/postfix/virtual.db; touch -d '-5 minutes' /etc/postfix/virtual; postconf -e message_size_limit=abc; postfix reload || true; "
           "for i in 1 2 3; do timeout 2 bash -c 'exec 3<>/dev/tcp/127.0.0.1/25; cat <&3' || true; done")
    played = play(single, *AUTO, playbook=RESPOND)
    assert mail.look("postconf -h message_size_limit").strip() == "20480000", played.out[-3000:]
    # The stale table disturbs nobody: alone it is left to people.
    assert ("config.mta_invalid", "repaired") in outcomes_of(played) and "rolled_back" not in {event for _cause, event in outcomes_of(played)}


SLOW = """
mkdir -p /etc/systemd/system/opendkim.service.d
printf '[Service]\\nType=simple\\nPIDFile=\\nExecStart=\\nExecStart=/bin/sh -c "sleep 15; exec /usr/sbin/opendkim -f"\\n' > /etc/systemd/system/opendkim.service.d/slow.conf
systemctl daemon-reload; systemctl restart opendkim
for i in $(seq 1 60); do ss -ltn | grep -q ':8891 ' && break; sleep 0.5; done
systemctl stop opendkim
"""


def test_a_service_that_takes_its_time_is_waited_for(play, single, mail, broken):
    broken(SLOW)
    played = play(single, *AUTO, playbook=RESPOND)
    assert played.rc == 0, played.out[-3000:]
    assert mail.look("systemctl is-active opendkim; ss -ltn | grep -c ':8891 '").split() == ["active", "1"]
    assert outcomes_of(played) == {("service.milter_down", "repaired")}


MAILBOXES_BLOCKED = """
nft add table inet x; nft add chain inet x i '{ type filter hook input priority 0; }'
nft add rule inet x i iifname eth0 tcp dport '{ 143, 993 }' reject
"""


def test_a_second_cause_that_people_must_mend_does_not_undo_a_repair_that_helped(play, single, mail, broken):
    broken(MAILBOXES_BLOCKED + "systemctl stop postfix@-")
    played = play(single, *AUTO, playbook=RESPOND)
    assert played.rc != 0
    assert mail.look("systemctl is-active postfix@- || true").strip() == "active", played.out[-3000:]
    assert ("service.mta_stopped", "repaired") in outcomes_of(played) and ("service.mta_stopped", "rolled_back") not in outcomes_of(played)


# A guarded change of main.cf by hand, whose controller dies after it.
CHANGE = """
- hosts: mail_servers
  gather_facts: false
  become: true
  tasks:
    - mailops.outage.mail_guard: {action: begin, step: s1, owner: test, remedy: rollback_config, cause: x}
    - mailops.outage.mail_remedy: {remedy: rollback_config, options: {software: postfix, settings: [relayhost]}}
"""
EDITED = "postconf -e 'relayhost=[127.0.0.2]:2525'"
TIMERS = "ls /etc/systemd/system | grep -c mailops-rollback || true"


@pytest.fixture(name="changed")
def _changed(single, mail, broken, tmp_path):
    """A host on which a repair took ``relayhost`` back and is not confirmed."""
    broken(EDITED)
    (tmp_path / "change.yml").write_text(CHANGE)
    rc, out = run("ansible-playbook", "-i", str(single), str(tmp_path / "change.yml"), environment=CONFIG)
    assert rc == 0, out[-2000:]
    assert mail.look("postconf -h relayhost").strip() == ""
    return mail


def time_is_up(mail):
    """What the timer of the host starts when nobody confirms."""
    mail.change("for unit in $(ls /etc/systemd/system | grep 'mailops-rollback.*service$'); do systemctl start $unit || true; done")


def guard_status(single):
    rc, out = run("ansible", "-i", str(single), "mail_servers", "-b", "-m", "mailops.outage.mail_guard", "-a", "action=status",
                  environment=CONFIG)
    assert rc == 0, out[-2000:]
    return json.loads(out[out.index("{"):])


def test_what_nobody_confirms_is_put_back(changed):
    time_is_up(changed)
    assert changed.look("postconf -h relayhost").strip() == "[127.0.0.2]:2525" and changed.look(TIMERS).strip() == "0"


def test_the_edit_of_a_person_between_a_change_and_its_rollback_survives(changed):
    changed.change("postconf -e 'relayhost=[127.0.0.9]:2599' smtpd_banner=hello")
    time_is_up(changed)
    assert changed.look("postconf -h relayhost smtpd_banner").split() == ["[127.0.0.9]:2599", "hello"]


def test_the_edit_of_a_person_in_another_file_survives_a_rollback(changed):
    changed.change("echo '# by hand' >> /etc/dovecot/local.conf; echo 'x@single.test alice' >> /etc/postfix/virtual")
    time_is_up(changed)
    assert changed.look("postconf -h relayhost").strip() == "[127.0.0.2]:2525"
    assert changed.look("tail -qn 1 /etc/dovecot/local.conf /etc/postfix/virtual").splitlines() == ["# by hand", "x@single.test alice"]


def test_a_person_at_work_keeps_the_rollback_off(changed):
    changed.change("mkdir -p /etc/mailops; touch /etc/mailops/human-at-work")
    time_is_up(changed)
    assert changed.look("postconf -h relayhost").strip() == ""


def test_a_rollback_that_was_played_does_not_play_again_after_a_reboot(changed):
    time_is_up(changed)
    # What the repair had made of it, now by a person.
    changed.change("postconf -e relayhost=")
    changed.lab.run("reboot", "mail")
    # What is played at a boot is played soon after it.
    time.sleep(5)
    assert changed.look("postconf -h relayhost").strip() == "" and changed.look(TIMERS).strip() == "0"


def test_a_rollback_that_cannot_be_done_is_said_and_keeps_the_next_repair_off(changed, play, single):
    changed.change("mount --bind /etc/postfix/main.cf /etc/postfix/main.cf; mount -o remount,bind,ro /etc/postfix/main.cf")
    time_is_up(changed)
    assert "not_put_back" in json.dumps(guard_status(single)), guard_status(single)
    changed.change("systemctl stop opendkim")
    played = play(single, *AUTO, playbook=RESPOND)
    assert played.rc != 0 and "not put back" in played.out.lower(), played.out[-3000:]
    assert changed.look("systemctl is-active opendkim || true").strip() == "inactive"


def test_two_execution_environments_of_one_name_do_not_take_each_other_for_dead(play, single, mail, broken, tmp_path):
    broken("systemctl stop postfix@-")
    reports = tmp_path / "theirs"
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "LAB_"))}
    settings.update(PATH=f"{BIN}:{os.environ['PATH']}", ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"))
    # Process ids of its own, as in a container; one that nobody has out here.
    words = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", 'echo 31234 > /proc/sys/kernel/ns_last_pid; ansible-playbook "$@"; exit $?', "sh",
             "-i", str(single), str(ROOT / "playbooks/remediate.yml"), "-e", f"report_dir={reports}", *AUTO]
    with subprocess.Popen(words, cwd=ROOT, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True) as theirs:
        try:
            for _try in range(1200):
                if any('"event": "begun"' in path.read_text() for path in reports.glob("*/journal.jsonl")) or theirs.poll() is not None:
                    break
                time.sleep(0.05)
            assert theirs.poll() is None, "it ended before it began"
            os.killpg(theirs.pid, signal.SIGSTOP)
            ours = play(single, *AUTO, playbook="playbooks/remediate.yml")
            done = [json.loads(line)["event"] for path in ours.reports.glob("**/journal.jsonl") for line in path.read_text().splitlines()]
            assert not {"begun", "resumed", "rolled_back"} & set(done), ours.out[-3000:]
            os.killpg(theirs.pid, signal.SIGCONT)
            assert theirs.wait(200) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(theirs.pid, signal.SIGKILL)
    assert mail.look("systemctl is-active postfix@-").strip() == "active" and mail.look(LEFT) == ""


@pytest.mark.parametrize("words, ends_well", [
    (("-e", "verify_required=false"), True), (("-e", "verify_required=no"), True), (("-e", "verify_required=true"), False),
])
def test_a_verification_that_fails_may_be_asked_not_to_fail_the_play(play, single, mail, broken, words, ends_well):
    broken("systemctl stop postfix@-")
    played = play(single, *words, "-e", "verify_settle=0", "-e", "verify_arrival_timeout=5", playbook="playbooks/verify.yml")
    assert (played.rc == 0) is ends_well, played.out[-2000:]


def test_an_answer_by_words_is_understood_for_the_other_switches(play, single, mail, broken):
    before = broken("systemctl stop postfix@-")
    played = play(single, *AUTO, "-e", "remediate_freeze=yes", "-e", "remediate_required=no", playbook="playbooks/remediate.yml")
    assert played.rc == 0 and "freeze" in played.out, played.out[-2000:]
    assert mail.look(STATE_OF_HOST) == before
