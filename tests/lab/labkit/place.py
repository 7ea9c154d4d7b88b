"""Makes an image's copy into one host: writes its names, keys and certificate into the file system before the host boots."""
from __future__ import annotations

import os
import time
from pathlib import Path

from labkit import keys, recipes, zones

# As images/finish.sh has it: on a healthy host nothing changed lately.
AGE = 45 * 86400


def owners(root):
    """{user: (uid, gid)} of the host's own /etc/passwd."""
    lines = (line.split(":") for line in Path(root, "etc/passwd").read_text().splitlines())
    return {fields[0]: (int(fields[2]), int(fields[3])) for fields in lines}


def write(root, path, content, owner=None, mode=None):
    """Write one file of the host and date it back; owner (uid, gid) and mode stay as they are unless given."""
    file = Path(root, path.lstrip("/"))
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    if owner:
        os.chown(file, *owner)
    if mode is not None:
        file.chmod(mode)
    then = time.time() - AGE
    os.utime(file, (then, then))
    os.utime(file.parent, (then, then))


def personal_files(host, owner):
    """(path, content, owner, mode) of what this host alone has."""
    root = (0, 0)
    folder = host.folder
    yield "/etc/machine-id", (folder / "machine-id").read_bytes(), root, 0o444
    yield "/etc/ssh/ssh_host_ed25519_key", (folder / "ssh_host_ed25519_key").read_bytes(), root, 0o600
    yield "/etc/ssh/ssh_host_ed25519_key.pub", (folder / "ssh_host_ed25519_key.pub").read_bytes(), root, 0o644
    yield "/home/ops/.ssh/authorized_keys", keys.SSH_KEY.with_suffix(".pub").read_bytes(), owner["ops"], 0o600
    yield "/etc/ssl/mail/fullchain.pem", (folder / "fullchain.pem").read_bytes(), root, 0o644
    yield "/etc/ssl/mail/key.pem", (folder / "key.pem").read_bytes(), root, 0o600
    yield "/usr/local/share/ca-certificates/lab.crt", keys.CA.read_bytes(), root, 0o644
    if "opendkim" in owner:
        yield "/etc/dkimkeys/lab1.private", keys.dkim_key(host.domain).read_bytes(), owner["opendkim"], 0o600
    if "bind" in owner:
        for path, text in zones.server_files().items():
            yield path, text, (0, owner["bind"][1]), 0o644


def trust(root):
    """Trust the lab's authority, as update-ca-certificates does, without the second that it takes."""
    certificates = Path(root, "etc/ssl/certs")
    bundle = certificates / "ca-certificates.crt"
    write(root, "/etc/ssl/certs/ca-certificates.crt", bundle.read_text() + keys.CA.read_text())
    subject_hash = keys.tool("openssl", "x509", "-in", keys.CA, "-noout", "-subject_hash").strip()
    (certificates / "lab.pem").symlink_to("/usr/local/share/ca-certificates/lab.crt")
    (certificates / f"{subject_hash}.0").symlink_to("lab.pem")


def personalise(host, root):
    """Write everything into the file system at `root`."""
    tokens = host.tokens()
    for path, text in recipes.templates(host.image).items():
        write(root, path, recipes.fill(text, tokens))
    for path, content, owner, mode in personal_files(host, owners(root)):
        write(root, path, content, owner, mode)
    trust(root)
