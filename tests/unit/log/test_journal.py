"""Reading the journal as a stream, from a journalctl that is a script."""
from __future__ import annotations

import os
import time

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.log import journal
from ansible_collections.mailops.outage.plugins.module_utils.log.window import Budget, Reading


@pytest.fixture
def journalctl(tmp_path, monkeypatch):
    """A function that makes ``journalctl`` a shell script of the text given."""
    def write(script):
        path = tmp_path / "journalctl"
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)
        monkeypatch.setattr(journal, "_PATH", f"{tmp_path}:/usr/bin:/bin")
    return write


def read(kind="mail", size=1 << 24, seconds=10.0, choose=None):
    reading = Reading("journal")
    data = b"".join(block.data for block, _clock in journal.blocks(kind, 1795467000, 1795468000, Budget(size, seconds), reading, choose))
    return data, reading


def test_lines_come_without_journalctls_remarks(journalctl):
    journalctl("echo '-- Boot 1 --'; echo '1795467067.500000 mail postfix/smtpd[1]: connect from x[1]'; echo '-- Boot 2 --'; echo '1795467068.000000 "
               "mail kernel: x'\n")
    data, reading = read()
    assert data == b"1795467067.500000 mail postfix/smtpd[1]: connect from x[1]\n1795467068.000000 mail kernel: x\n"
    assert (reading.first, reading.last, reading.complete) == (1795467067.5, 1795467068.0, True)


def test_the_command_is_bound_to_the_window_and_the_kind(journalctl):
    journalctl('echo "1795467067.5 mail x: $*"\n')
    assert b"--since=@1795467000.000000 --until=@1795468000.000000 _TRANSPORT=kernel" in read("kernel")[0]
    assert b"SYSLOG_FACILITY=2" in read("mail")[0] and b"_PID=1" in read("units")[0]


def test_mail_is_read_from_the_accounts_of_mail_software_only(monkeypatch, tmp_path):
    """What a user wrote by logger(1) has the user's _UID, which nobody can write."""
    known = {"postfix": 102, "dovecot": 103}

    def account(name):
        if name not in known:
            raise KeyError(name)
        return type("Account", (), {"pw_uid": known[name]})
    monkeypatch.setattr(journal.pwd, "getpwnam", account)
    monkeypatch.setattr(journal, "_QUEUES", (str(tmp_path), str(tmp_path / "missing")))
    owner = os.stat(tmp_path).st_uid
    asked = journal.matches("mail")
    for group in (asked[:asked.index("+")], asked[asked.index("+") + 1:]):
        assert [match for match in group if match.startswith("_UID=")] == [f"_UID={uid}" for uid in sorted({0, 102, 103, owner})]
        assert any(not match.startswith("_UID=") for match in group)


def test_only_what_is_wanted_is_kept(journalctl):
    journalctl("echo '1795467067.5 mail dovecot: x'; echo '1795467067.5 mail postfix/smtpd[1]: x'\n")
    assert read(choose=lambda data: b"".join(line for line in data.splitlines(True) if b"postfix" in line))[0] == b"1795467067.5 mail postfix/smtpd[1]: x\n"
    data, reading = read(choose=lambda data: b"")
    assert data == b"" and reading.first is None


@pytest.mark.parametrize("script, problem", [
    ("echo 'Hint: You are currently not seeing messages from other users and the system.' >&2; echo '1795467067.5 mail x: y'\n", "not allowed to see"),
    ("echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1\n", "not allowed to see"),
    ("echo 'No journal files were found.' >&2; echo '-- No entries --'\n", "there is no journal"),
    ("echo 'Failed to seek: Bad message' >&2; exit 1\n", "Failed to seek: Bad message"),
    ("exit 3\n", "ended with 3"),
])
def test_what_cannot_be_seen_is_said(journalctl, script, problem):
    journalctl(script)
    _data, reading = read()
    assert problem in reading.problem and not reading.complete


def test_a_machine_without_journalctl(monkeypatch):
    monkeypatch.setattr(journal, "_PATH", "/nonexistent")
    assert not journal.available()
    data, reading = read()
    assert data == b"" and reading.problem == "journalctl is not installed"


def test_a_journal_that_never_ends_is_ended(journalctl, tmp_path):
    journalctl(f"echo $$ > {tmp_path}/pid; echo '1795467067.5 mail x: y'; exec sleep 60\n")
    began = time.monotonic()
    data, reading = read(seconds=0.2)
    assert data == b"1795467067.5 mail x: y\n" and "out of time" in reading.problem and time.monotonic() - began < 5
    pid = int((tmp_path / "pid").read_text())
    assert not os.path.exists(f"/proc/{pid}") or open(f"/proc/{pid}/stat").read().split()[2] == "Z"


def test_a_journal_that_holds_too_much_is_cut(journalctl):
    journalctl("yes '1795467067.5 mail postfix/smtpd[1]: connect from unknown[192.0.2.1]'\n")
    data, reading = read(size=3 << 20)
    assert 3 << 20 <= len(data) <= 6 << 20 and "more than is read at once" in reading.problem


def test_a_reader_that_stops_early_leaves_no_process(journalctl, tmp_path):
    journalctl(f"echo $$ > {tmp_path}/pid; yes '1795467067.5 mail x: y'\n")
    blocks = journal.blocks("mail", 1795467000, 1795468000, Budget(1 << 30, 10), Reading("x"))
    next(blocks)
    blocks.close()
    pid = int((tmp_path / "pid").read_text())
    assert not os.path.exists(f"/proc/{pid}")


def test_a_line_of_the_journal_is_found_again_by_its_time():
    block = journal.JournalBlock(b"x\n", 0, "_TRANSPORT=kernel")
    assert block.locate(0, 1795467067.5) == ("journalctl --since=@1795467067 --until=@1795467068", "")
