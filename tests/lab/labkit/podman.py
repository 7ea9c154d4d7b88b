"""podman as this lab uses it: one way to call it, and what it says when it fails."""
from __future__ import annotations

import os
import shutil
import subprocess

from labkit.settings import HERE, LabError

ENVIRONMENT = {**os.environ, "CONTAINERS_CONF": str(HERE / "containers.conf")}


def check_machine():
    """Raise LabError when the lab cannot run here at all."""
    if os.geteuid() != 0:
        raise LabError("the lab runs as root (its hosts run systemd and have real addresses): use sudo")
    for command, package in (("podman", "podman"), ("runc", "runc"), ("openssl", "openssl"), ("ssh-keygen", "openssh-client"), ("ip", "iproute2")):
        if not shutil.which(command):
            raise LabError(f"{command} is missing: apt-get install {package} (all packages: tests/lab/packages.txt)")


def explain(arguments, stderr):
    """One line for a failed podman call."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if "no space left on device" in stderr.lower():
        return "the disk is full: free some space (`df -h /var/lib/containers`; `lab clean` removes old images)"
    return f"podman {arguments[0]} failed: {lines[-1] if lines else 'no message'}"


def run(*arguments, check=True, **options):
    """Run podman to its end and return its CompletedProcess, output as text; raise LabError when it fails and `check` is set."""
    done = subprocess.run(["podman", *arguments], env=ENVIRONMENT, text=True, capture_output=True, check=False,
                          stdin=options.pop("stdin", subprocess.DEVNULL), **options)
    if check and done.returncode:
        raise LabError(explain(arguments, done.stderr))
    return done


def output(*arguments):
    return run(*arguments).stdout.strip()


def replace_process(*arguments):
    """Become podman: signals, terminal and exit code are the command's own."""
    os.execvpe("podman", ["podman", *arguments], ENVIRONMENT)
