"""Fixtures of the tests on lab hosts: the lab itself, hosts that are pristine again after a test, and playbook runs."""
from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from playing import OWN_LAB, ROOT, STATE, STATE_OF_HOST, Host, Lab, Played, run, write_inventory  # the folder is no package


@pytest.fixture(scope="session")
def lab_is_possible():
    if os.geteuid() != 0:
        pytest.skip("the lab runs as root")
    if not shutil.which("podman"):
        pytest.skip("podman is missing: apt-get install podman (all packages: tests/lab/packages.txt)")


@pytest.fixture(scope="session")
def lab(lab_is_possible):
    STATE.parent.mkdir(exist_ok=True)
    with STATE.with_suffix(".lock").open("w") as handle:
        # One session at a time: each takes its hosts for its own.
        fcntl.flock(handle, fcntl.LOCK_EX)
        instance = Lab()
        yield instance
        if OWN_LAB:
            instance.run("down")


@pytest.fixture(scope="session", name="single_inventory")
def _single_inventory(lab):
    return lab.inventory("single")


@pytest.fixture(name="host")
def _host(lab, single_inventory):
    """``host("mail")``: a host of the lab, pristine again after the test when it was changed."""
    taken = []

    def take(name):
        taken.append(Host(lab, name))
        return taken[-1]
    yield take
    changed = [item.name for item in taken if item.changed]
    if changed:
        lab.run("reset", *changed)


@pytest.fixture(name="mail")
def _mail(host):
    return host("mail")


@pytest.fixture(name="single")
def _single(tmp_path, single_inventory):
    """The path of the inventory of the single layout."""
    return write_inventory(tmp_path / "single.yml", single_inventory)


@pytest.fixture(name="play")
def _play(tmp_path):
    """``play(inventory, *words, playbook=…)``: a playbook of this checkout run to its end, with a folder of reports of its own."""
    def play(inventory, *words, playbook="diagnose.yml", reports=tmp_path / "reports", environment=None):
        settings = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **(environment or {})}
        rc, out = run("ansible-playbook", "-i", str(inventory), str(ROOT / playbook), "-e", f"report_dir={reports}", *words, environment=settings)
        return Played(rc, out, Path(reports))
    return play


@pytest.fixture(name="known_good", scope="session")
def _known_good(lab, single_inventory, tmp_path_factory):
    """The known-good snapshot of the pristine host, to be laid on each new one."""
    folder = tmp_path_factory.mktemp("known-good")
    inventory = folder / "single.yml"
    inventory.write_text(json.dumps(single_inventory))
    rc, out = run("ansible-playbook", "-i", str(inventory), str(ROOT / "playbooks/snapshot.yml"), "-e", f"report_dir={folder}",
                  environment={"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")})
    assert rc == 0, out[-2000:]
    return subprocess.run(["podman", "exec", f"{STATE.name}-mail", "tar", "-C", "/var/lib", "-cf", "-", "mailops"], stdout=subprocess.PIPE, check=True).stdout


@pytest.fixture(name="broken")
def _broken(mail, known_good):
    """``broken(script)``: the host with its snapshot and a fault on it, and the digest of how it is then."""
    def break_it(script, snapshot=True):
        if snapshot:
            mail.changed = True
            mail.lab.run("exec", "mail", "tar", "-C", "/var/lib", "-xf", "-", data=known_good)
        mail.change(script)
        return mail.look(STATE_OF_HOST)
    return break_it
