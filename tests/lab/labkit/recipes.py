"""Recipes of the images: images/NAME/{packages.txt,files/,setup.sh}, each on top of its parent."""
from __future__ import annotations

import functools
import hashlib
import re
from pathlib import Path

from labkit.settings import HERE, IMAGES, RELEASE

PARENTS = {"base": None, "single": "base", "outside": "single", "edge": "base", "store": "base"}
# What the @NAME@ of the files are while an image is built; a host gets its own when it is created.
ANYBODY = {"HOST": "host", "FQDN": "host.example.test", "DOMAIN": "example.test", "IP": "192.0.2.10", "GATEWAY": "192.0.2.1",
           "RESOLVER": "192.0.2.2", "STORE": "192.0.2.3"}


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


@functools.cache
def tag(name):
    """The image's full name in podman. It carries a hash of the recipe: a changed one is built anew, an unchanged one costs nothing."""
    parent = PARENTS[name]
    digest = hashlib.sha256((tag(parent) if parent else RELEASE).encode())
    recipe = [*sorted(path for path in (IMAGES / name).rglob("*") if path.is_file()), IMAGES / "finish.sh", Path(__file__).with_name("build.py")]
    for path in recipe:
        digest.update(f"{path.relative_to(HERE)} {path.stat().st_size}\n".encode() + path.read_bytes())
    return f"localhost/mail-lab-{name}:{RELEASE}-{digest.hexdigest()[:12]}"
