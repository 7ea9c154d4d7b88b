"""What keeps us out of a host, told from what ssh and Ansible say."""
from __future__ import annotations

import pytest

from ansible_collections.mailops.outage.plugins.action import mail_assessment, mail_observation


@pytest.mark.parametrize("text, kind", [
    ("Failed to connect to the host via ssh: ssh: connect to host 192.0.2.1 port 22: Connection refused", "refused"),
    ("ssh: connect to host 192.0.2.1 port 22: Connection timed out", "timeout"),
    ("ssh: connect to host 192.0.2.1 port 22: No route to host", "unreachable"),
    ("ssh: Could not resolve hostname nowhere.example: Name or service not known", "name"),
    ("ops@192.0.2.1: Permission denied (publickey).", "auth"),
    ("@@@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @@@ Host key verification failed.", "host_key"),
    ("kex_exchange_identification: Connection closed by remote host", "closed"),
    ("something nobody has seen", "unknown"),
])
def test_what_ssh_says_is_told_apart(text, kind):
    assert mail_observation.connection_kind(text) == kind


@pytest.mark.parametrize("now, skew", [(1005.0, 0.0), (1000.0, 0.0), (400.0, -600.0), (4610.0, 3600.0)])
def test_a_clock_is_wrong_only_beyond_the_time_that_the_look_took(now, skew):
    assert mail_observation.clock_skew({"facts": {"system": {"now_epoch": now}}}, 1000.0, 1010.0) == skew


def test_without_an_answer_the_clock_is_not_known():
    assert mail_observation.clock_skew({}, 1.0, 2.0) is None


def test_a_vantage_is_reached_as_the_inventory_says():
    hop = mail_assessment.hop_of({
        "ansible_host": "192.0.2.7", "ansible_user": "probe", "ansible_port": 2222, "ansible_ssh_private_key_file": "/k",
        "ansible_ssh_common_args": "-o UserKnownHostsFile=/known -o StrictHostKeyChecking=yes"}, "branch")
    assert hop == {"host": "192.0.2.7", "port": 2222, "user": "probe", "private_key_file": "/k", "known_hosts_file": "/known"}
