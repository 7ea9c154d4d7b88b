"""Hosts that cannot be looked into: each is a finding in one sentence, and takes nothing from the others."""
from __future__ import annotations

import re
import subprocess

import pytest
from playing import ROOT, STATE, Host, Played, mail_hosts, roots, run, write_inventory

# Users that get in by the lab's key, and where each of them is stopped.
USERS = r"""
for user in asks plain terminal chatty shut hangs; do
    useradd --create-home --shell /bin/bash $user
    install -d -m 700 -o $user /home/$user/.ssh
    install -m 600 -o $user /home/ops/.ssh/authorized_keys /home/$user/.ssh/
done
cat > /etc/sudoers.d/cases <<'END'
asks ALL=(ALL:ALL) ALL
terminal ALL=(ALL:ALL) NOPASSWD: ALL
Defaults:terminal requiretty
chatty ALL=(ALL:ALL) NOPASSWD: ALL
END
usermod --shell /usr/sbin/nologin shut
sed -i '1i echo "Welcome {{ 7*7 }}"; echo "{not json" >&2' /home/chatty/.bashrc
sed -i '1i sleep 300' /home/hangs/.bashrc
echo MaxStartups 100 >> /etc/ssh/sshd_config
systemctl reload ssh
setsid python3 -c 'import socket, time; s = socket.create_server(("0.0.0.0", 2222)); time.sleep(600)' > /dev/null 2>&1 &
"""
# Inventory name: how it is reached, and what the diagnosis must say of the connection.
CLOSED = {
    "unreachable": ({"ansible_host": "NOBODY"}, r"No route to host|timed out"),
    "nameless": ({"ansible_host": "nowhere.invalid"}, "Could not resolve hostname"),
    "misspelt": ({"ansible_host": "no such name!"}, "hostname contains invalid characters|Could not resolve hostname"),
    "refusing": ({"ansible_port": 2}, "Connection refused"),
    "silent": ({"ansible_port": 2222}, "timed out"),
    "wrong_key": ({"ansible_ssh_private_key_file": "OTHER_KEY"}, "Permission denied"),
    "changed_host_key": ({"ansible_ssh_common_args": "-o UserKnownHostsFile=KNOWN_HOSTS -o StrictHostKeyChecking=yes"}, "has changed"),
    "without_python": ({"ansible_python_interpreter": "/nonexistent/python3"}, "^no usable Python 3 on the host"),
    "python_moved": ({"ansible_host": "OUTSIDE", "ansible_python_interpreter": "auto_silent"}, "^no usable Python 3 on the host"),
    "shut": ({"ansible_user": "shut"}, "account is currently not available"),
    "hangs": ({"ansible_user": "hangs"}, "did not end within"),
}
OPEN = {
    "good": ({}, "^$"),
    "chatty": ({"ansible_user": "chatty"}, "^$"),
    "asks": ({"ansible_user": "asks"}, "^seen without root, because sudo did not let us: Missing sudo password"),
    "wrong_password": ({"ansible_user": "asks", "ansible_become_password": "wrong"}, "^seen without root, .*Incorrect sudo password"),
    "plain": ({"ansible_user": "plain"}, "^seen without root, because sudo did not let us"),
    "terminal": ({"ansible_user": "terminal"}, "^seen without root, .*must have a tty"),
}


@pytest.fixture(name="reached", scope="module")
def _reached(lab, single_inventory, tmp_path_factory):
    """One diagnosis of one host under many names, each with another obstacle on the way in."""
    folder = tmp_path_factory.mktemp("access")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "other")], check=True)
    mail, outside = Host(lab, "mail"), Host(lab, "outside")
    groups = single_inventory["all"]["children"]
    address = groups["mail_servers"]["hosts"]["mail"]["ansible_host"]
    (folder / "known_hosts").write_text(f"{address} {' '.join((folder / 'other.pub').read_text(encoding='utf-8').split()[:2])}\n", encoding="utf-8")
    stand_ins = {"NOBODY": address.rpartition(".")[0] + ".250", "OTHER_KEY": str(folder / "other"), "KNOWN_HOSTS": str(folder / "known_hosts"),
                 "OUTSIDE": groups["mail_vantages"]["hosts"]["outside"]["ansible_host"]}

    def settled(value):
        for word, meaning in stand_ins.items():
            value = value.replace(word, meaning) if isinstance(value, str) else value
        return value
    hosts = {name: {key: settled(value) for key, value in variables.items()} for name, (variables, _text) in {**CLOSED, **OPEN}.items()}
    inventory = mail_hosts(single_inventory, hosts)
    inventory["all"]["children"]["mail_vantages"] = {"hosts": {"far": {"ansible_host": stand_ins["NOBODY"]}}}
    path = write_inventory(folder / "hosts.yml", inventory)
    mail.change(USERS)
    outside.change("mkdir /root/away; mv /usr/bin/python3* /root/away/")
    try:
        rc, out = run("ansible-playbook", "-i", str(path), str(ROOT / "diagnose.yml"), "-e", f"report_dir={folder}/reports", "-e", "assess_deadline=12",
                      environment={"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")})
    finally:
        lab.run("reset", "mail", "outside")
    return Played(rc, out, folder / "reports")


@pytest.mark.parametrize("name", CLOSED)
def test_a_host_that_lets_nobody_in_is_a_finding(reached, name):
    found = next(host for host in reached.diagnosis["estate"]["hosts"] if host["name"] == name)
    assert not found["reachable"]
    assert found["error"] == reached.observation(name)["connection"]["text"]
    assert_says(found["error"], CLOSED[name][1])
    assert f"{name}: the host's own view: {found['error']}" in reached.diagnosis["not_visible"]
    # Where nothing could be probed, nothing is known but that.
    assert [cause for cause, host in roots(reached.diagnosis) if host == name] or not reached.observation(name)["probes"]


@pytest.mark.parametrize("name", OPEN)
def test_a_host_without_root_is_seen_without_root(reached, name):
    found = next(host for host in reached.diagnosis["estate"]["hosts"] if host["name"] == name)
    assert found["reachable"] and "edge" in found["roles"]
    assert_says(found["error"], OPEN[name][1])
    sentences = [item for item in reached.diagnosis["not_visible"] if item.startswith(f"{name}: ")]
    assert bool(sentences) == (name not in ("good", "chatty"))
    assert not [cause for cause, host in roots(reached.diagnosis) if host == name]


def test_a_vantage_point_that_is_away_is_a_view_that_is_missing(reached):
    assert len([item for item in reached.diagnosis["not_visible"] if item.startswith("the view from far: ")]) == 1


def test_what_the_login_prints_is_no_template(reached):
    assert "Welcome 49" not in reached.out + reached.text("diagnosis.json")


def test_without_root_the_diagnosis_says_what_it_could_not_see(play, single, mail):
    found = play(single, "-e", "mail_become=false").diagnosis
    assert roots(found) == []
    assert "mail: firewall rules: needs root" in found["not_visible"]


def test_an_address_alone_is_an_inventory(play, single_inventory, host):
    groups = single_inventory["all"]["children"]
    address = groups["mail_servers"]["hosts"]["mail"]["ansible_host"]
    known = single_inventory["all"]["vars"]
    found = play(f"{address},", "-e", "ansible_user=ops", "-e", f"ansible_ssh_private_key_file={STATE}/id_ed25519",
                 "-e", f"ansible_ssh_common_args='-o UserKnownHostsFile={STATE}/known_hosts'",
                 "-e", str({"mail_resolvers": known["mail_resolvers"]}), "-e", f"mail_ca_file={known['mail_ca_file']}").diagnosis
    assert roots(found) == []
    assert found["estate"]["domains"] == ["single.test"]
    assert found["estate"]["hosts"][0]["software"]


def assert_says(text, pattern):
    assert re.search(pattern, text), text
    # One sentence of ssh, sudo or the host, not Ansible's objects around it.
    assert len(text) <= 400 and "ErrorSummary" not in text and "deserialization" not in text and "@@@@" not in text
