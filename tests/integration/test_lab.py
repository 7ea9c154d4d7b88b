"""The lab itself: a run that was killed leaves nothing that the next one stumbles over."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from playing import ROOT

INSTANCE = {"LAB_NAME": "killed", "LAB_SUBNET": "10.89.92.0/24"}


def call(*words):
    ended = subprocess.run(words, env=dict(os.environ, **INSTANCE), capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, f"{' '.join(words)}: {ended.stdout[-500:]} {ended.stderr[-500:]}"
    return ended.stdout


def end(process):
    os.kill(process, signal.SIGKILL)
    for _try in range(200):
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except OSError:
            return
        time.sleep(0.05)


def lab(*words):
    return call(sys.executable, str(ROOT / "tests/lab/lab"), *words)


@pytest.mark.parametrize("there", [["mail", "outside"], []])
def test_a_lab_whose_processes_were_killed_is_made_new(lab_is_possible, there):
    lab("up", "single")
    try:
        for name in ("mail", "outside"):
            for process in call("podman", "inspect", "--format", "{{.State.ConmonPid}} {{.State.Pid}}", f"killed-{name}").split():
                end(int(process))
            if name not in there:
                # podman does not give its address back.
                subprocess.run(["podman", "rm", "-f", "-t", "0", f"killed-{name}"], capture_output=True, check=False, timeout=60)
                call("podman", "rm", "-f", "-i", f"killed-{name}")
        assert "2 of 2 hosts started" in lab("up", "single")
        lab("reset")
        assert lab("exec", "mail", "systemctl", "is-active", "postfix@-").strip() == "active"
    finally:
        lab("down")
