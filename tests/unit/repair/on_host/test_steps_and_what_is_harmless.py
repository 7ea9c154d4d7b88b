"""Steps are shown before they are taken, recorded as they are, and refused where they could do harm."""
from __future__ import annotations

import os

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.host.context import Ran
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import harmless, steps


@pytest.mark.parametrize("line", [
    "postsuper -d ALL", "postsuper -d 4F1A2B3C", "postsuper -h ALL", "postsuper -r ALL", "postqueue -f -x", "exim -Mrm 1abcde-000001-AB", "exim4 -Mg 1abcde-000001-AB",
    "rm -rf /var/spool/postfix", "find /srv/vmail -delete", "doveadm expunge -u anna@example.org mailbox INBOX all", "doveadm purge -u anna",
    "systemctl stop dovecot.service", "systemctl restart ssh.service", "systemctl restart nftables.service", "systemctl mask postfix@-.service",
    "nft flush ruleset", "iptables -F", "postconf -e smtpd_tls_security_level=none", "chmod -R 777 /srv/vmail", "useradd postfix", "sh -c true",
    "journalctl --vacuum-size=1M;rm", "mount -o remount,rw /;true", "apt-get -q -y purge postfix", "apt-get -q -y remove dovecot-core", "apt-get -q -y dist-upgrade",
    "apt-get -q -y --force-confnew install postfix", "dpkg --force-confnew --configure -a", "dpkg --purge postfix", "postmap hash:/root/x", "umount /srv/vmail", "reboot",
])
def test_a_command_that_could_do_harm_is_refused(line):
    with pytest.raises(harmless.Harmful):
        harmless.check_command(tuple(line.split()))


@pytest.mark.parametrize("argv", [("postmap", "hash:/etc/postfix/a b"), ("systemctl", "start", "x.service\n"), ("postqueue", "-f", ""), ("postfix", "reload\0")])
def test_a_command_with_a_strange_argument_is_refused(argv):
    with pytest.raises(harmless.Harmful):
        harmless.check_command(argv)


@pytest.mark.parametrize("line", ["postmap hash:/etc/postfix/transport", "systemctl start postfix@-.service", "postqueue -f", "postsuper -h 4F1A2B3C -h 4F1A2B3D"])
def test_a_command_of_a_repair_is_allowed(line):
    harmless.check_command(tuple(line.split()))


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/ssh/sshd_config", "/etc/nftables.conf", "/var/spool/postfix/deferred/A/ABCDEF", "/home/anna/Maildir/new/1",
                                  "/etc/postfix/../shadow", "/etc/systemd/system/ssh.service.d/x.conf", "/root/.ssh/authorized_keys"])
def test_nothing_but_configuration_of_mail_is_written(path):
    with pytest.raises(harmless.Harmful):
        harmless.check_file(path)


def test_only_indexes_of_a_mailbox_are_moved_and_never_the_list_of_unique_ids():
    harmless.check_move("/home/anna/Maildir/dovecot.index.log", "/home/anna/Maildir/dovecot.index.log.damaged")
    for name in ("dovecot-uidlist", "cur", "new", "dovecot-keywords", "subscriptions"):
        with pytest.raises(harmless.Harmful):
            harmless.check_move(f"/home/anna/Maildir/{name}", f"/home/anna/Maildir/{name}.damaged")
    with pytest.raises(harmless.Harmful):
        harmless.check_move("/home/anna/Maildir/dovecot.index", "/tmp/dovecot.index")


@pytest.mark.parametrize("path, mode", [("/srv/vmail", 0o777), ("/etc/ssl/mail/privkey.pem", 0o644), ("/etc/dkimkeys/mail.private", 0o644), ("/etc/ssh/x", 0o600), ("/", 0o755)])
def test_a_mode_that_opens_mail_or_keys_is_refused(path, mode):
    with pytest.raises(harmless.Harmful):
        harmless.check_owner(path, mode)


@pytest.fixture(name="allowed")
def _allowed(monkeypatch, tmp_path):
    """The folder of the test is configuration, and its commands may be run."""
    monkeypatch.setattr(harmless, "_CONFIG", (f"{tmp_path}/*",))
    monkeypatch.setattr(harmless, "check_command", lambda argv: None)
    return tmp_path


def test_check_mode_tells_the_steps_and_takes_none(allowed):
    path = allowed / "main.cf"
    path.write_text("relayhost = wrong\n")

    def remedy():
        ran = yield steps.Command(("false",), "nobody runs this")
        assert ran.ok
        yield steps.Write(str(path), b"relayhost =\n", "it was so")
    records = []
    steps.take(remedy(), True, records)
    assert [(record["does"], record["taken"], record["rc"]) for record in records] == [("false", False, None), (f"write {path}", False, None)]
    assert path.read_text() == "relayhost = wrong\n" and "relayhost = wrong" in records[1]["diff"]["prepared"]


def test_a_step_that_fails_ends_the_remedy_and_what_was_done_is_on_record(allowed):
    def remedy():
        yield steps.Command(("true",), "first")
        yield steps.Command(("false",), "second")
        raise AssertionError("went on")
    records = []
    with pytest.raises(steps.StepFailed, match="exit status 1"):
        steps.take(remedy(), False, records)
    assert [record["rc"] for record in records] == [0, None] and "exit status 1" in records[1]["said"][0]


def test_a_command_that_hangs_is_ended(allowed):
    with pytest.raises(steps.StepFailed, match="no end within"):
        steps.take((step for step in [steps.Command(("sleep", "60"), "hangs", timeout=0.2)]), False, [])


def test_a_file_keeps_its_owner_and_mode_and_is_never_half_written(allowed):
    path = allowed / "main.cf"
    path.write_bytes(b"a")
    path.chmod(0o640)
    before = path.stat()
    steps.take((step for step in [steps.Write(str(path), b"b", "back")]), False, [])
    assert path.read_bytes() == b"b" and (path.stat().st_mode, path.stat().st_uid) == (before.st_mode, before.st_uid)
    assert os.listdir(allowed) == ["main.cf"]


def test_what_only_its_owner_may_read_is_not_shown(allowed):
    path = allowed / "sasl_passwd"
    path.write_text("relay user:hunter2\n")
    path.chmod(0o600)
    records = []
    steps.take((step for step in [steps.Write(str(path), b"relay user:hunter3\n", "back")]), True, records)
    assert "hunter" not in str(records)


def test_a_password_in_a_readable_file_is_hidden(allowed):
    path = allowed / "main.cf"
    path.write_text("ldap_bind_pw = hunter2\n")
    records = []
    steps.take((step for step in [steps.Write(str(path), b"ldap_bind_pw = hunter3\n", "back")]), True, records)
    assert "hunter" not in str(records) and "(hidden)" in str(records)


def test_of_a_readable_file_all_but_its_secrets_is_shown_with_what_each_line_is_part_of(allowed):
    path = allowed / "main.cf"
    path.write_text("relayhost = a\nrelay_password =\n    hunter2\nsmtp_sasl_password_maps = static:anna:hunter2\nkept = 1\n")
    content = b"relayhost = b\nrelay_password =\n    hunter3\nsmtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd\nkept = 1\n"
    assert steps.Write(str(path), content, "back").diff()["prepared"].splitlines() == [
        f"--- {path}", f"+++ {path}", "@@ -1 +1 @@", "-relayhost = a", "+relayhost = b", "@@ -3,2 +3,2 @@", "-    (hidden)", "-smtp_sasl_password_maps = static:(hidden)",
        "+    (hidden)", "+smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd"]


@pytest.mark.parametrize("before, after, spans", [("", "a\n", "@@ -0,0 +1 @@"), ("a\nb\n", "a\n", "@@ -2 +1,0 @@"), ("a\nb\nc\n", "a\nx\ny\n", "@@ -2,2 +2,2 @@")])
def test_a_difference_names_its_lines_as_diff_does(allowed, before, after, spans):
    (allowed / "main.cf").write_text(before)
    assert spans in steps.Write(str(allowed / "main.cf"), after.encode(), "back").diff()["prepared"]


def test_what_a_program_says_and_what_a_record_tells_hold_no_secret(allowed):
    records = []
    said = "postconf: warning: unused parameter: own_password=hunter2"
    with pytest.raises(steps.StepFailed):
        steps.take((step for step in [steps.Move(str(allowed / "a"), str(allowed / "b"), f"as {said}", said)]), False, records)
    assert "hunter" not in str(records) and str(records).count("own_password=(hidden)") == 2


def test_a_file_is_moved_over_nothing(allowed):
    (allowed / "a").write_text("a")
    (allowed / "b").write_text("b")
    with pytest.raises(steps.StepFailed, match="already"):
        steps.take((step for step in [steps.Move(f"{allowed}/a", f"{allowed}/b", "aside")]), False, [])
    assert (allowed / "b").read_text() == "b"


def test_the_owner_is_not_changed_through_a_link(allowed):
    (allowed / "file").write_text("x")
    (allowed / "file").chmod(0o600)
    (allowed / "link").symlink_to(allowed / "file")
    with pytest.raises(steps.StepFailed):
        steps.take((step for step in [steps.Own(f"{allowed}/link", os.getuid(), os.getgid(), 0o640, "x")]), False, [])
    assert (allowed / "file").stat().st_mode & 0o777 == 0o600


def test_a_record_holds_what_a_program_said_without_control_characters(allowed):
    records = []
    steps.take((step for step in [steps.Command(("printf", r"\033[31mred\n"), "x")]), False, records)
    assert records[0]["said"] == ["red"]


def test_a_remedy_learns_what_its_step_did(allowed):
    seen = []

    def remedy():
        seen.append((yield steps.Command(("echo", "hello"), "x")))
    steps.take(remedy(), False, [])
    assert isinstance(seen[0], Ran) and seen[0].out == "hello\n"


def test_a_repair_whose_checkpoint_is_not_open_any_more_does_nothing(monkeypatch):
    def remedy():
        yield steps.Command(("postfix", "reload"), "x")
    monkeypatch.setattr(steps.checkpoint, "current", lambda: "/var/lib/mailops/checkpoints/c2")
    taken = []
    with pytest.raises(steps.Refused, match="c1 is not open"):
        steps.take(remedy(), False, taken, "c1")
    monkeypatch.setattr(steps.checkpoint, "current", lambda: None)
    with pytest.raises(steps.Refused, match="c1 is not open"):
        steps.take(remedy(), False, taken, "c1")
    assert taken == []
    steps.take(remedy(), True, taken, "c1")
    assert [record["does"] for record in taken] == ["postfix reload"]
