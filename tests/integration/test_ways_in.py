"""The ways to start it: on the machine itself, from a program with ansible-runner, and as an installed collection."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from playing import BIN, ROOT, Played, roots, run


def test_the_machine_itself_is_diagnosed(play):
    found = play("localhost,", "-c", "local").diagnosis
    assert found["verdict"] in ("healthy", "degraded", "outage", "unknown")
    assert [host["reachable"] for host in found["estate"]["hosts"]] == [True]


RUNNER = """
import json, sys, ansible_runner
ended = ansible_runner.run(private_data_dir=sys.argv[1], playbook="diagnose.yml", inventory=sys.argv[2], extravars={"report_dir": sys.argv[3]}, quiet=True)
print(json.dumps({"status": ended.status, "rc": ended.rc, "failed": ended.stats["failures"], "unreachable": ended.stats["dark"]}))
"""


def test_ansible_runner_makes_the_same_diagnosis(single, tmp_path):
    pytest.importorskip("ansible_runner")
    private = tmp_path / "private"
    private.mkdir()
    (private / "project").symlink_to(ROOT)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment["PATH"] = f"{BIN}:{environment['PATH']}"
    ended = subprocess.run([sys.executable, "-c", RUNNER, str(private), str(single), str(tmp_path / "reports")], cwd=tmp_path, env=environment,
                           capture_output=True, text=True, check=False, timeout=240)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == {"status": "successful", "rc": 0, "failed": {}, "unreachable": {}}
    assert roots(Played(0, ended.stderr, tmp_path / "reports").diagnosis) == []


def test_an_installed_collection_makes_the_same_diagnosis_without_this_checkout(single, tmp_path):
    made = tmp_path / "made"
    rc, out = run("ansible-galaxy", "collection", "build", "--output-path", str(made), cwd=ROOT)
    assert rc == 0, out
    archive = next(made.glob("mailops-outage-*.tar.gz"))
    rc, out = run("ansible-galaxy", "collection", "install", "--no-deps", "--collections-path", str(tmp_path / "collections"), str(archive), cwd=tmp_path)
    assert rc == 0, out
    installed = tmp_path / "collections/ansible_collections/mailops/outage"
    assert not [path for path in installed.rglob("*") if path.is_symlink() and not path.resolve().is_relative_to(installed)]
    assert not (installed / "tests/lab/.state").exists()
    work = tmp_path / "work"
    work.mkdir()
    environment = {"ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"), "ANSIBLE_HOME": str(tmp_path / "home")}
    # Without report_dir: the reports go to the folder that one stands in.
    rc, out = run("ansible-playbook", "-i", str(single), "mailops.outage.diagnose", cwd=work, environment=environment)
    ended = Played(rc, out, work / "reports")
    assert roots(ended.diagnosis) == []
    assert Path(ended.reports, "latest/report.html").stat().st_mode & 0o077 == 0
    # The summary, without the settings of this checkout.
    assert "Report " in out and str(work / "reports") in "".join(line.strip() for line in out.splitlines())
    # Nothing of the checkout was needed.
    assert str(ROOT / "plugins") not in out
