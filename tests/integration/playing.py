"""Lab hosts and playbook runs, as the tests beside this file use them.

The lab instance is LAB_NAME, where that is set; else one of its own, removed at the end. Hosts that a test
changed are made new after it. Time limits are bounds against a hang, not measurements.
"""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
# Not resolved: a virtual environment's python is a link to one that has no Ansible beside it.
BIN = Path(sys.executable).parent
BOUND_SECONDS = 240
OWN_LAB = "LAB_NAME" not in os.environ
# Of several workers (pytest-xdist) each has a lab of its own.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
LAB_ENVIRONMENT = dict(os.environ, **({"LAB_NAME": f"test{_WORKER}", "LAB_SUBNET": f"10.89.{94 + int(_WORKER[2:] or 0)}.0/24"} if OWN_LAB else {}))
STATE = ROOT / "tests/lab/.state" / LAB_ENVIRONMENT["LAB_NAME"]
SCHEMA = ROOT / "docs/schemas/diagnosis.schema.json"
AUTO = ("-e", "respond_mode=auto", "-e", "remediate_arrival_timeout=5", "-e", "remediate_pause=0", "-e", "verify_settle=0")
# What a repair could change, without what changes by itself.
STATE_OF_HOST = "(find /etc /usr/lib/postfix -xdev -type f -exec sha256sum {} + | sort; find /etc /var/spool/postfix -xdev -maxdepth 1 -printf '%p %U:%G %m\\n' | sort; "\
                "systemctl list-unit-files --no-pager; systemctl is-active postfix@- dovecot opendkim) | grep -v mtab | sha256sum"
# What a terminal would obey; line ends and tabs are text.
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Played:
    """One ended run of a playbook: ``rc``, ``out`` (both streams), and what it left in the folder of the reports."""

    def __init__(self, rc: int, out: str, reports: Path):
        self.rc = rc
        self.out = out
        self.reports = reports

    @property
    def diagnosis(self) -> dict:
        """diagnosis.json of the newest run, checked against its schema. Fails the test when the run did not end with 0."""
        assert self.rc == 0, self.out[-4000:]
        assert "Traceback" not in self.out and "Exception in thread" not in self.out, self.out[-4000:]
        found = json.loads(self.text("diagnosis.json"))
        checker = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
        assert [f"{error.json_path}: {error.message[:300]}" for error in checker.iter_errors(found)] == []
        return found

    def text(self, name: str) -> str:
        return (self.reports / "latest" / name).read_text(encoding="utf-8")

    def observation(self, host: str) -> dict:
        return json.loads(self.text(f"observations/{host}.json"))

    def error(self) -> str:
        """The one line of the error, of a run that was refused."""
        assert self.rc != 0, self.out[-4000:]
        assert "Traceback" not in self.out and "Exception in thread" not in self.out, self.out[-4000:]
        lines = [line for line in self.out.splitlines() if line.startswith(("fatal:", "ERROR!"))]
        assert len(lines) == 1, self.out[-4000:]
        message = re.search(r'"msg": "((?:[^"\\]|\\.)*)"', lines[0])
        return message.group(1) if message else lines[0]


class Host:
    """A lab host. ``change`` marks it, so that it is made new after the test."""

    def __init__(self, lab: Lab, name: str):
        self.lab = lab
        self.name = name
        self.changed = False

    def look(self, script: str) -> str:
        return self.lab.run("exec", self.name, "bash", "-c", script)

    def change(self, script: str) -> str:
        self.changed = True
        return self.look("set -e\n" + script)

    def write(self, path: str, data: bytes) -> None:
        self.changed = True
        self.lab.run("exec", self.name, "bash", "-c", f"cat >> {path}", data=data)


class Lab:
    """The instance that the tests run on."""

    def run(self, *words: str, data: bytes = b"") -> str:
        ended = subprocess.run([sys.executable, str(ROOT / "tests/lab/lab"), *words], input=data, env=LAB_ENVIRONMENT, capture_output=True, check=False,
                               timeout=900)
        assert ended.returncode == 0, f"lab {' '.join(words)[:200]}: {ended.stdout.decode()[-500:]} {ended.stderr.decode()[-500:]}"
        return ended.stdout.decode()

    def inventory(self, layout: str) -> dict:
        """The hosts of a layout are up; its inventory, with paths that hold from any folder."""
        self.run("up", layout)
        return yaml.safe_load((STATE / f"{layout}.yml").read_text(encoding="utf-8").replace("{{ inventory_dir }}", str(STATE)))


def run(program: str, *words: str, cwd=ROOT, environment=None, seconds=BOUND_SECONDS) -> tuple:
    """``(rc, output of both streams)`` of a program of the environment that runs the tests. Fails the test at its time limit."""
    # A timer sets no PWD either.
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "LAB_")) and name != "PWD"}
    settings.update(PATH=f"{BIN}:{os.environ['PATH']}", ANSIBLE_NOCOLOR="1", **(environment or {}))
    with subprocess.Popen([str(BIN / program), *words], cwd=cwd, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          start_new_session=True) as child:
        try:
            out, _nothing = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            pytest.fail(f"{program} {' '.join(words)} did not end within {seconds} s")
    return child.returncode, out.decode("utf-8", "replace")


def write_inventory(path: Path, data: dict) -> Path:
    # JSON is YAML, and quotes whatever stands in a name.
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")
    return path


def mail_hosts(single_inventory: dict, hosts: dict) -> dict:
    """An inventory that reaches the host of the single layout by other names, in other ways."""
    shared = {**single_inventory["all"]["vars"], **single_inventory["all"]["children"]["lab"]["vars"]}
    shared["ansible_host"] = single_inventory["all"]["children"]["mail_servers"]["hosts"]["mail"]["ansible_host"]
    # A login without a shared control connection, which would let in whoever comes second. No probe account: each name would log in.
    shared.update(ansible_ssh_args="-o ControlMaster=no", mail_probe_accounts=[])
    return {"all": {"vars": shared, "children": {"mail_servers": {"hosts": hosts}}}}


def outcome(diagnosis: dict) -> dict:
    """What a diagnosis says, without what differs from one look to the next (times, ids of runs and sessions)."""
    return {
        "verdict": diagnosis["verdict"], "severity": diagnosis["severity"], "scope": diagnosis["scope"], "impact": diagnosis["impact"]["class"],
        "causes": [(cause["id"], cause["host"], cause["root"]) for cause in diagnosis["causes"]],
        "probes": sorted((probe["id"], probe["vantage"], probe["look"], probe["outcome"]) for probe in diagnosis["probes"]),
        "hosts": diagnosis["estate"]["hosts"], "not_visible": sorted(diagnosis["not_visible"]),
    }


def roots(diagnosis: dict) -> list:
    """``[(cause, host)]`` that are called the root. The load is the test machine's own, which the lab's hosts share."""
    return [(cause["id"], cause["host"]) for cause in diagnosis["causes"]
            if cause["root"] and cause["confidence"] >= 0.5 and cause["id"] not in ("host.overload", "none.healthy")]


def events(played: Played, name=None) -> list:
    """The entries of the journal of the newest run, or only those with this name."""
    path = next(path for path in sorted(played.reports.glob("*/journal.jsonl"), reverse=True))
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [entry for entry in found if name in (None, entry["event"])]
