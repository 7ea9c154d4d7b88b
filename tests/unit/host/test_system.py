from __future__ import annotations

import os
import time

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host import _kernel, _processes, system
from ansible_collections.mailops.outage.plugins.module_utils.host._when import epoch_of, iso, window
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context
from hypothesis import given
from hypothesis import strategies as st

_TRACKING = """Reference ID    : C0A80101 (ntp.example.test)
Stratum         : 3
System time     : 4.712004185 seconds slow of NTP time
Last offset     : -0.000021 seconds
Leap status     : Normal
"""


def test_os_release_is_read_with_and_without_quotes():
    text = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nID=debian\n'
    assert system.parse_release(text) == {"id": "debian", "version": "12", "codename": "bookworm"}


@pytest.mark.parametrize("hosts, expected", [
    ("127.0.0.1 localhost\n192.0.2.10 mail.example.test mail\n", "mail.example.test"),
    ("192.0.2.10\tmail mail.example.test # ours\n", "mail.example.test"),
    ("# 192.0.2.10 mail.example.test mail\n127.0.0.1 localhost mail\n", None),
    ("192.0.2.10 mailer.example.test mailer\n", None),
])
def test_the_full_name_is_the_one_of_the_line_with_our_name(hosts, expected):
    assert system.name_in_hosts(hosts, "mail") == expected


def test_a_slow_clock_has_a_negative_offset():
    assert system.parse_tracking(_TRACKING) == (True, -4.712004185)


def test_chrony_without_a_source_is_not_synchronised():
    assert system.parse_tracking("Leap status     : Not synchronised\n") == (False, None)


def test_what_is_no_tracking_says_nothing():
    assert system.parse_tracking("506 Cannot talk to daemon\n") == (None, None)


@pytest.mark.parametrize("text, expected", [
    ("2026-11-23T20:51:07Z", 1795467067), ("2026-11-23T21:51:07+01:00", 1795467067), ("2026-11-23 20:51:07", 1795467067), ("1795467067", 1795467067),
    (1795467067.5, 1795467067.5),
])
def test_moments_are_read_in_all_their_forms(text, expected):
    assert epoch_of(text) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "nan", "inf", "2026-13-01T00:00:00Z"])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(ValueError):
        epoch_of(text)


@given(st.integers(min_value=0, max_value=4 * 10**9))
def test_a_moment_survives_being_written_and_read(epoch):
    assert epoch_of(iso(epoch)) == epoch


def test_moments_beyond_the_calendar_are_none():
    assert iso(10**20) is None and iso(None) is None


def test_the_window_is_the_last_hour_when_none_is_given_and_can_be_stretched():
    since, until = window(Context())
    assert until - since == 3600 and abs(until - time.time()) < 5
    assert window(Context(options={"since": 1000, "until": 1000000}), 1) == (1000, 1000000)
    assert window(Context(options={"since": 990000, "until": 1000000}), 1) == (913600, 1000000)


def test_a_process_name_may_hold_brackets():
    line = "53 (a) b) S 1 53 53 0 -1 4194624 1 0 0 0 0 0 0 0 20 0 7 0 4194 1 2"
    assert _processes.parse_stat(line) == ("a) b", "S", 1, 7, 4194)


@given(st.text(max_size=200))
def test_a_broken_stat_line_is_none_or_a_process(text):
    found = _processes.parse_stat(text)
    assert found is None or len(found) == 5


@pytest.mark.parametrize("command, expected", [
    ("/usr/lib/postfix/sbin/master -w", "postfix"), ("qmgr -l -t unix -u", "postfix"), ("smtpd -n smtp -t inet -u -c -o stress=", "postfix"),
    ("/usr/sbin/dovecot -F", "dovecot"), ("dovecot/imap-login", "dovecot"), ("/usr/sbin/exim4 -bd -q30m", "exim"),
    ("/usr/bin/perl -T -w /usr/sbin/postgrey --pidfile", "postgrey"),
    ("amavisd (ch1-avail)", "amavis"), ("/usr/sbin/opendkim", "opendkim"),
    ("exim4 -bp", ""), ("postconf -n", ""), ("find / -t unix", ""), ("sshd: root", ""), ("/usr/bin/python3 master.py", ""),
])
def test_mail_processes_are_known_by_their_command_line(command, expected):
    assert _processes.software_of("", command) == expected


def test_a_process_belongs_to_the_innermost_unit():
    path = "/libpod/system.slice/system-postfix.slice/postfix@-.service"
    text = f"8:pids:/libpod\n9:name=systemd:{path}\n0::{path}\n"
    paths = _processes.cgroup_paths(text)
    assert paths["pids"] == "/libpod"
    assert _processes.unit_of(paths) == "postfix@-.service"
    assert _processes.unit_of(_processes.cgroup_paths("0::/user.slice\n")) == ""


def test_this_process_is_seen_with_its_start():
    context = Context()
    own = _processes.processes(context)[os.getpid()]
    assert own.state in "RS" and 0 <= time.time() - _processes.started(own) < 86400


class _Kernel(Context):
    """A host whose journal says what the test says."""

    def __init__(self, text):
        super().__init__(options={"since": 0, "until": 2000000000})
        self.text = text

    def run(self, *argv, timeout=10.0, most=0, env=None):
        from ansible_collections.mailops.outage.plugins.module_utils.host.context import Ran
        return Ran(argv, 0, self.text if argv[0] == "journalctl" else "")


_MESSAGES = """1795467067.000001 mail kernel: oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),task=imap,pid=812,uid=1000
1795467067.100000 mail kernel: Memory cgroup out of memory: Killed process 812 (imap) total-vm:131072kB, anon-rss:65536kB
1795467070.000000 mail kernel: Out of memory: Killed process 99 (clamd) total-vm:1131072kB
1795467071.000000 mail kernel: blk_update_request: I/O error, dev sda, sector 123456 op 0x1:(WRITE)
1795467072.000000 mail kernel: EXT4-fs (sda1): Remounting filesystem read-only
1795467073.000000 mail kernel: nfs: server 192.0.2.5 not responding, still trying
1795467074.000000 mail kernel: EXT4-fs (sda1): mounted filesystem with ordered data mode
1795467075.000000 mail kernel: usb 1-1: new device\x1b[31m
"""


def test_killed_processes_are_found_by_name():
    kills = _kernel.kills(_Kernel(_MESSAGES))
    assert [entry["process"] for entry in kills] == ["imap", "clamd"]
    assert kills[1]["time"] == "2026-11-23T20:51:10Z" and kills[1]["source"] == "journalctl -k"


def test_disk_errors_are_found_and_ordinary_messages_are_not():
    texts = [entry["text"] for entry in _kernel.disk_errors(_Kernel(_MESSAGES))]
    assert [text.split()[0] for text in texts] == ["blk_update_request:", "EXT4-fs", "nfs:"]


def test_dmesg_counts_from_the_start_of_the_kernel():
    assert _kernel.parse_dmesg("[   12.500000] EXT4-fs (vda): mounted\n<4>[13.0] x\ngarbage\n", 1000) == [(1012.5, "EXT4-fs (vda): mounted"), (1013.0, "x")]


def test_the_facts_of_this_host_are_complete():
    facts = system.collect(Context())
    assert set(facts) == {"hostname", "fqdn", "os", "kernel", "python", "root", "init", "container", "now", "now_epoch", "timezone", "boot", "boot_epoch",
                          "uptime_seconds", "clock"}
    assert set(facts["clock"]) == {"synchronised", "service_running", "offset_seconds", "source", "text"}
    assert facts["boot_epoch"] <= facts["now_epoch"]
