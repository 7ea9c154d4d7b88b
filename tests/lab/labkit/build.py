"""Builds one image from its recipe: Debian's minimal system by mmdebstrap, a role inside a container of its parent.

This file is part of every recipe: a change here builds all images anew.
"""
from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

from labkit import podman
from labkit.recipes import ANYBODY, PARENTS, files, fill, packages, tag
from labkit.settings import IMAGES, RELEASE

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def build(name, log):
    """Build the image `name`; what the tools say goes to the file `log`. Raises CalledProcessError when one fails."""
    (build_base if name == "base" else build_role)(name, log)


def build_base(name, log):
    """Debian's minimal system with what every host has."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "files.tar")
        archive.write_bytes(archive_of_files(name))
        script = Path(folder, "setup.sh")
        script.write_text(setup_script(name))
        system = Path(folder, "system.tar")
        command = ["mmdebstrap", "--mode=root", "--variant=minbase", "--skip=cleanup/apt/lists", f"--include={','.join(packages(name))}",
                   "--dpkgopt=force-unsafe-io", f"--customize-hook=tar -C \"$1\" -xf {archive}", f"--customize-hook=chroot \"$1\" sh -es < {script}"]
        if KEYRING.exists():
            command.append(f"--keyring={KEYRING}")
        subprocess.run([*command, *proxy(), RELEASE, str(system), *mirror()], stdout=log, stderr=log, stdin=subprocess.DEVNULL, check=True)
        subprocess.run(["podman", "import", "--change", "CMD /sbin/init", str(system), tag(name)], env=podman.ENVIRONMENT, stdout=log, stderr=log, check=True)


def build_role(name, log):
    """One role's packages, files and set-up on top of the parent image."""
    container = f"mail-lab-build-{os.getpid()}-{name}"

    def inside(script, **options):
        subprocess.run(["podman", "exec", "-i", container, "sh", "-ec", script], env=podman.ENVIRONMENT, stdout=log, stderr=log, check=True, **options)

    install = "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o APT::Keep-Downloaded-Packages=true " + " ".join(packages(name))
    podman.run("run", "-d", "--name", container, "--network", "host", tag(PARENTS[name]), "sleep", "infinity")
    try:
        inside(f"{install} || {{ apt-get update && {install}; }}")
        inside("tar -C / -x", input=archive_of_files(name))
        inside("sh -es", input=setup_script(name).encode())
        podman.run("commit", "--change", "CMD /sbin/init", container, tag(name))
    finally:
        podman.run("rm", "-f", "-t", "0", container, check=False)


def setup_script(name):
    return (IMAGES / name / "setup.sh").read_text() + (IMAGES / "finish.sh").read_text()


def archive_of_files(name):
    """The recipe's files as a tar, owned by root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, file in files(name).items():
            content = fill(file.read_text(), ANYBODY).encode()
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode, entry.mtime = len(content), 0o644, int(time.time())
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def proxy():
    """The machine's own apt proxy, as options of mmdebstrap."""
    setting = subprocess.run(["apt-config", "shell", "PROXY", "Acquire::http::Proxy"], text=True, capture_output=True, check=False).stdout
    match = re.match(r"PROXY='(.+)'", setting)
    return [f'--aptopt=Acquire::http::Proxy "{match.group(1)}"'] if match else []


def mirror():
    """apt lines for RELEASE at the mirrors that this machine uses itself; empty (mmdebstrap's default) when it is not Debian."""
    system = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    own = system.get("VERSION_CODENAME", "").strip('"')
    uris = apt_sources()
    if system.get("ID") != "debian" or own not in uris:
        return []
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    lines = [f"deb {signed}{uris[own]} {RELEASE} main", f"deb {signed}{uris[own]} {RELEASE}-updates main"]
    if f"{own}-security" in uris:
        lines.append(f"deb {signed}{uris[f'{own}-security']} {RELEASE}-security main")
    return lines


def apt_sources(folder=Path("/etc/apt")):
    """{suite: URI} of the machine's apt sources with a component `main`, in both formats; the first of a suite wins."""
    found = {}
    for file in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]:
        if not file.is_file():
            continue
        text = "\n".join(line for line in file.read_text().splitlines() if not line.lstrip().startswith("#"))
        if file.suffix == ".sources":
            entries = [dict(re.findall(r"^(\S+):[ \t]*(.*)$", paragraph, re.M)) for paragraph in text.split("\n\n")]
            sources = [(uri, suite, entry.get("Components", "")) for entry in entries for uri in entry.get("URIs", "").split()[:1]
                       for suite in entry.get("Suites", "").split() if "deb" in entry.get("Types", "").split()]
        else:
            sources = re.findall(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)$", text, re.M)
        for uri, suite, components in sources:
            if "main" in components.split():
                found.setdefault(suite, uri)
    return found
