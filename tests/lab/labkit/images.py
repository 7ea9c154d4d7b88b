"""The cache of images in podman: builds what is missing, removes what is not used."""
from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from labkit import podman
from labkit.build import build
from labkit.recipes import PARENTS, tag
from labkit.settings import RELEASE, STATE, LabError

FREE_BYTES = 3 * 1024**3
LOCK = Path("/run/lock/mailops-lab-images")


def exists(name):
    return podman.run("image", "exists", tag(name), check=False).returncode == 0


def missing(names):
    """The images to build for `names`, parents first. Of an image that is there, the parent is not needed."""
    wanted = []
    for name in names:
        line = []
        while name and not exists(name):
            line.insert(0, name)
            name = PARENTS[name]
        wanted += [image for image in line if image not in wanted]
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
                    running[pool.submit(build_one, name, say)] = name
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
            raise LabError(f"less than {FREE_BYTES >> 30} GiB free in {folder}: free some space (`lab clean` removes old images)")


def build_one(name, say):
    started = time.monotonic()
    say(f"building image {name} ({'Debian ' + RELEASE if name == 'base' else 'on ' + PARENTS[name]}) ...")
    log = STATE / "build" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as handle:
        try:
            build(name, handle)
        except subprocess.CalledProcessError as error:
            raise LabError(f"building image {name} failed ({error.cmd[0]} returned {error.returncode}): see the end of {log}") from error
    say(f"built image {name} in {time.monotonic() - started:.0f} s")


def clean(say, current_too):
    """Remove images of older recipes, and with `current_too` those of the present ones, as far as no container uses them."""
    kept = set() if current_too else {tag(name) for name in PARENTS}
    for image in podman.output("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=localhost/mail-lab-*").split():
        if image not in kept:
            removed = podman.run("rmi", image, check=False).returncode == 0
            say(f"removed {image}" if removed else f"kept {image}: in use")
