"""Images of the hosts, built from images/NAME/{packages.txt,files/,setup.sh}, each on top of its parent.

An image is tagged with a hash of its recipe, so a changed recipe is built anew and an unchanged one costs nothing.
"""
from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import functools
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

from labkit import podman
from labkit.settings import HERE, IMAGES, RELEASE, STATE, LabError

PARENTS = {"base": None, "single": "base", "outside": "single", "edge": "base", "store": "base"}
# What the @NAME@ of the files are while an image is built; a host gets its own when it is created.
ANYBODY = {"HOST": "host", "FQDN": "host.example.test", "DOMAIN": "example.test", "IP": "192.0.2.10", "GATEWAY": "192.0.2.1",
           "RESOLVER": "192.0.2.2", "STORE": "192.0.2.3"}
FREE_BYTES = 3 * 1024**3
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LOCK = Path("/run/lock/mailops-lab-images")


def packages(name):
    return (IMAGES / name / "packages.txt").read_text().split()


def files(name):
    """{absolute path on the host: its file in the recipe} of one image."""
    top = IMAGES / name / "files"
    return {f"/{path.relative_to(top)}": path for path in sorted(top.rglob("*")) if path.is_file()}


def fill(text, tokens):
    """`text` with each @NAME@ replaced."""
    return re.sub(r"@([A-Z]+)@", lambda match: tokens[match.group(1)], text)


def templates(name):
    """{path: text} of the files of an image and its parents that name the host they are on."""
    parent = PARENTS[name]
    found = templates(parent) if parent else {}
    for path, file in files(name).items():
        text = file.read_text()
        found.pop(path, None)
        if fill(text, ANYBODY) != text:
            found[path] = text
    return found


@functools.lru_cache(maxsize=None)
def tag(name):
    """The image's full name in podman."""
    parent = PARENTS[name]
    digest = hashlib.sha256((tag(parent) if parent else RELEASE).encode())
    recipe = [*sorted(path for path in (IMAGES / name).rglob("*") if path.is_file()), IMAGES / "finish.sh", Path(__file__)]
    for path in recipe:
        digest.update(f"{path.relative_to(HERE)} {path.stat().st_size}\n".encode() + path.read_bytes())
    return f"localhost/mail-lab-{name}:{RELEASE}-{digest.hexdigest()[:12]}"


def exists(name):
    return podman.run("image", "exists", tag(name), check=False).returncode == 0


def missing(names):
    """The images to build for `names`, parents first."""
    wanted = []
    for name in names:
        line = [name]
        while PARENTS[line[0]]:
            line.insert(0, PARENTS[line[0]])
        wanted += [ancestor for ancestor in line if ancestor not in wanted and not exists(ancestor)]
    return wanted


def ensure(names, say):
    """Build what is missing for the images `names`; two at a time, a parent before its children."""
    if not missing(names):
        return
    with lock():
        todo = missing(names)
        if todo:
            check_build_machine()
        running = {}
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            while todo or running:
                for name in [name for name in todo if PARENTS[name] not in todo and PARENTS[name] not in running.values()]:
                    todo.remove(name)
                    running[pool.submit(build, name, say)] = name
                done, _pending = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in done:
                    del running[future]
                    future.result()


@contextlib.contextmanager
def lock():
    """One builder at a time on this machine, since the images are shared."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def check_build_machine():
    if not shutil.which("mmdebstrap"):
        raise LabError("mmdebstrap is missing: apt-get install mmdebstrap (all packages: tests/lab/packages.txt)")
    for folder in (podman.output("info", "--format", "{{.Store.GraphRoot}}"), tempfile.gettempdir()):
        if shutil.disk_usage(folder).free < FREE_BYTES:
            raise LabError(f"less than {FREE_BYTES >> 30} GiB free in {folder}: free some space (`lab clean` removes the lab's images)")


def build(name, say):
    started = time.monotonic()
    say(f"building image {name} ({'Debian ' + RELEASE if name == 'base' else 'on ' + PARENTS[name]}) ...")
    log = STATE / "build" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as handle:
        try:
            (build_base if name == "base" else build_role)(name, handle)
        except subprocess.CalledProcessError as error:
            raise LabError(f"building image {name} failed ({Path(str(error.cmd[0])).name} returned {error.returncode}): see the end of {log}")
    say(f"built image {name} in {time.monotonic() - started:.0f} s")


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


def remove_all(say):
    """Remove every image of the lab that no container uses."""
    for image in podman.output("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=localhost/mail-lab-*").split():
        if podman.run("rmi", image, check=False).returncode == 0:
            say(f"removed {image}")
        else:
            say(f"kept {image}: in use, or the parent of one in use")
