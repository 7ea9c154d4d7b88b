"""On a lab host: no repair loosens what an administrator made strict, and a damaged statement gives its place to the good one that it was."""
from __future__ import annotations

import json

import pytest
from playing import ROOT, run

KEPT = "/var/lib/mailops/known-good/current/files"
CHANGED = f"for name in postfix/main.cf postfix/master.cf dovecot/local.conf; do diff {KEPT}/etc/$name /etc/$name; done; true"
AS_IT_WAS = f"for name in postfix/main.cf postfix/master.cf dovecot/local.conf; do cat {KEPT}/etc/$name > /etc/$name; done; rm -f /etc/postfix/header_checks"
# (what an administrator does, what is named, the guard)
STRICTER = (
    ("echo '/^Subject:.*worm/ DISCARD' > /etc/postfix/header_checks; postconf -e header_checks=regexp:/etc/postfix/header_checks",
     {"settings": ["*header_checks", "body_checks"], "files": ["/etc/postfix/*checks*"]}, "header_checks"),
    ("postconf -e 'smtpd_tls_protocols=>=TLSv1.3'", {"settings": ["smtpd_tls_*"]}, "smtpd_tls_protocols"),
    ("postconf -e smtp_tls_security_level=encrypt", {"settings": ["smtp_tls_*"]}, "smtp_tls_security_level"),
    ("postconf -e smtpd_client_message_rate_limit=30", {"settings": ["smtpd_client_*", "anvil_*"]}, "smtpd_client_message_rate_limit"),
    ("postconf -e 'smtpd_client_restrictions=permit_sasl_authenticated, reject'", {"settings": ["smtpd_*_restrictions"]}, "smtpd_client_restrictions"),
    ("postconf -e mynetworks=127.0.0.1", {"settings": ["mynetworks", "mydestination"]}, "mynetworks"),
    ("postconf -P submission/inet/smtpd_client_restrictions=reject", {"settings": ["smtpd_client_restrictions"]},
     "submission/inet -o smtpd_client_restrictions"),
    ("sed -i 's/^ssl = yes/ssl = required/' /etc/dovecot/local.conf", {"software": "dovecot", "settings": ["ssl"]}, "ssl"),
)
DROPPED_BRACE = """python3 -c "
path = '/etc/dovecot/local.conf'; text = open(path).read(); place = text.index('}', text.index('service lmtp {'))
open(path, 'w').write(text[:place] + text[place + 1:])" """
# (the damage, what is named)
DAMAGED = (
    ("sed -i 's/^smtpd_relay_restrictions = permit_mynetworks, /smtpd_relay_restrictions = permit_mynetworks,\\n/' /etc/postfix/main.cf", {}),
    ("sed -i 's/^message_size_limit/message_size_limti/' /etc/postfix/main.cf", {"settings": ["message_size_limit"]}),
    ("postconf -e message_size_limit=abc", {}),
    ("sed -i 's/^\\(smtp  *inet.*\\) smtpd$/\\1/' /etc/postfix/master.cf", {}),
    ("sed -i 's/^smtp  *inet/smpt inet/' /etc/postfix/master.cf", {"settings": ["*/inet"], "only_missing": True}),
    (DROPPED_BRACE, {"software": "dovecot"}),
    ("sed -i 's#private/dovecot-lmtp#private/renamed#' /etc/dovecot/local.conf /etc/postfix/main.cf",
     {"software": ["postfix", "dovecot"], "settings": ["mailbox_transport", "service lmtp"]}),
)


@pytest.fixture(name="ask")
def _ask(single, mail):
    """``ask(module, **options)``: what a module says on the host, of which a snapshot was taken."""
    def ask(module, **options):
        words = ("-a", json.dumps(options)) if options else ()
        return run("ansible", "-i", str(single), "mail", "-b", "-m", f"mailops.outage.{module}", *words,
                   environment={"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")})
    mail.change("true")
    rc, out = ask("mail_snapshot")
    assert rc == 0, out[-2000:]
    return ask


def test_no_guard_is_loosened_unless_just_this_one_may_be(ask, mail):
    for script, options, guard in STRICTER:
        mail.change(f"{AS_IT_WAS}; {script}")
        before = mail.look(CHANGED)
        rc, out = ask("mail_remedy", remedy="rollback_config", options={"software": "postfix", **options})
        assert rc != 0 and f"loosen {guard}, which guards the host" in out and mail.look(CHANGED) == before != "", (script, out[-2000:])
        rc, out = ask("mail_remedy", remedy="rollback_config", options={"software": "postfix", **options, "may_loosen": [guard]})
        assert rc == 0 and mail.look(CHANGED) == "", (script, out[-2000:])
    assert mail.look("cat /etc/postfix/header_checks 2>&1 || true").startswith("cat:"), "what each case left is gone"


BESIDE = "sed -i 's/^smtpd_banner.*/smtpd_banner = hello/' /etc/postfix/main.cf; echo 'mail_debug = yes' >> /etc/dovecot/local.conf"
STAYS = ["< smtpd_banner = $myhostname ESMTP $mail_name (Debian)", "> smtpd_banner = hello", "> mail_debug = yes"]


def test_the_good_statement_comes_back_and_what_was_changed_beside_it_stays(ask, mail):
    for script, options in DAMAGED:
        mail.change(f"{AS_IT_WAS}; {BESIDE}; {script}")
        rc, out = ask("mail_remedy", remedy="rollback_config", options={"software": "postfix", **options})
        left = [line for line in mail.look(CHANGED).splitlines() if line[:1] in "<>" and len(line) > 2]
        assert rc == 0 and left == STAYS, (script, left, out[-2000:])
        assert mail.look("postconf -n > /dev/null 2>&1 && postconf -M > /dev/null 2>&1 && doveconf -n > /dev/null 2>&1 && echo read").strip() == "read"


def test_a_copy_that_was_changed_in_the_snapshot_is_not_used(ask, mail):
    mail.change(f"postconf -e 'relayhost=[192.0.2.1]'; echo 'mynetworks = 0.0.0.0/0' >> {KEPT}/etc/postfix/main.cf")
    rc, out = ask("mail_remedy", remedy="rollback_config", options={"software": "postfix", "settings": ["relayhost", "mynetworks"]})
    assert rc != 0 and "main.cf is not what the snapshot" in out and "192.0.2.1" in mail.look("postconf -h relayhost")


def test_a_containment_ends_when_its_end_failed_at_first_and_is_known_for_ours(ask, mail):
    rc, out = ask("mail_remedy", remedy="contain", options={"soft_bounce": True, "expires": 60})
    assert rc == 0, out[-2000:]
    rc, out = ask("mail_host_info", collectors=["postfix"])
    assert '"setting": "soft_bounce"' in out and '"ends": true' in out
    rc, out = ask("mail_snapshot")
    assert rc != 0 and "A containment is in force (soft_bounce)" in out
    # The end comes when nothing can be written.
    mail.change("mount -o bind,ro /etc/postfix /etc/postfix; systemctl start mailops-contain.service || true; umount /etc/postfix; postconf -h soft_bounce")
    assert mail.look("systemctl is-enabled mailops-contain.timer; postconf -h soft_bounce").split() == ["enabled", "yes"]
    mail.change("for _ in $(seq 150); do test -e /etc/systemd/system/mailops-contain.timer || break; sleep 1; done")
    assert mail.look("postconf -h soft_bounce; grep -c mailops-contain /etc/postfix/main.cf || true").split() == ["no", "0"]
    assert mail.look("ls /etc/systemd/system/mailops-contain.* 2>/dev/null || true") == ""


def test_a_containment_whose_timer_is_lost_is_no_longer_one_and_is_taken_back(ask, mail):
    assert ask("mail_remedy", remedy="contain", options={"soft_bounce": True, "expires": 600})[0] == 0
    mail.change("systemctl disable --now mailops-contain.timer; rm -f /etc/systemd/system/mailops-contain.*; systemctl daemon-reload")
    _rc, out = ask("mail_host_info", collectors=["postfix"])
    assert '"ends": false' in out
    assert ask("mail_remedy", remedy="contain", options={"state": "absent"})[0] == 0
    assert mail.look(CHANGED) == ""
