"""What a remedy could change, kept before it does: configuration files, owners and modes, unit states."""
from __future__ import annotations

import contextlib
import glob
import inspect
import json
import os
import shutil
import stat
import time

from ansible_collections.mailops.outage.plugins.module_utils.host import known_good
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import rollback, store

UNITS = ("postfix.service", "postfix@-.service", "dovecot.service", "exim4.service", "opendkim.service", "rspamd.service",
         "clamav-daemon.service", "amavis.service", "postgrey.service", "redis-server.service")
# Accounts and firewall rules are not the guard's to put back.
_NOT_OURS = ("/etc/passwd", "/etc/group", "/etc/nftables.conf", "/etc/fail2ban/")
_KEPT = 10


def config_files() -> list:
    """The configuration files that a rollback may put back, with the drop-ins of the mail units."""
    found = [path for path in known_good.config_paths() if not path.startswith(_NOT_OURS)]
    for unit in UNITS:
        found += glob.glob(f"{rollback.UNIT_FOLDER}/{unit}.d/*.conf")
    return sorted(found)


def folders(root: str = "/") -> list:
    """The folders of all checkpoints, oldest first."""
    return sorted((path for place in store.places(root) for path in glob.glob(os.path.join(place, "checkpoints", "*"))
                   if os.path.isfile(os.path.join(path, "manifest.json"))), key=os.path.basename)


def opened(root: str = "/") -> list:
    """``[(folder, manifest)]`` of the checkpoints that were neither confirmed nor rolled back."""
    return [(path, manifest) for path in folders(root) for manifest in [rollback.load(path)] if manifest["state"] == "open"]


def take(place: str, about: dict, files: list, owned: list, units: dict, root: str = "/") -> str:
    """Keep ``files``, the owners of ``owned`` and ``units`` in a new folder below ``place``; its path.

    ``about`` gives id, step, owner, remedy, cause and rolls_back_at. A file that is absent is kept as such: a rollback takes it away again.
    Nothing stays behind when it fails with OSError.
    """
    folder = os.path.join(place, "checkpoints", about["id"])
    os.makedirs(folder, mode=0o700)
    try:
        described = {}
        for path in files:
            source, target = store.under(root, path), os.path.join(folder, "files", path.lstrip("/"))
            entry = rollback.describe(source)
            if entry and not ("sha256" in entry or "link" in entry):
                continue
            if entry and "sha256" in entry:
                os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
                shutil.copyfile(source, target)
                os.chmod(target, 0o600)
            described[path] = entry
        rights = {path: rollback.describe_owner(store.under(root, path)) for path in owned}
        with open(os.path.join(folder, "rollback.py"), "w", encoding="utf-8") as stream:
            stream.write(inspect.getsource(rollback))
        rollback.save(folder, {"schema": 1, "state": "open", "created_epoch": int(time.time()), **about, "files": described,
                               "owned": {path: entry for path, entry in rights.items() if entry}, "units": units, "noted": None})
        os.sync()
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


@contextlib.contextmanager
def owners(path: str, root: str = "/"):
    """``keep(place, state)`` for the entries below ``path``: owner and mode, into the open checkpoint before they change. Without one it keeps nothing."""
    folder = next((found for found, _manifest in opened(root)), None)
    if folder is None:
        yield lambda place, state: None
        return
    handle = os.open(os.path.join(folder, rollback.OWNERS), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield lambda place, state: os.write(
            handle, (json.dumps([path, place, state.st_ino, state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)]) + "\n").encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def note(folder: str, extra: list, root: str = "/") -> None:
    """Record the files as the remedy left them, so that a later change by a person can be told from it."""
    manifest = rollback.load(folder)
    manifest["noted"] = {path: rollback.describe(store.under(root, path)) for path in sorted(set(manifest["files"]) | set(extra))}
    rollback.save(folder, manifest)


def discard(folder: str) -> None:
    """Remove a checkpoint that no timer guards."""
    shutil.rmtree(folder, ignore_errors=True)


def drop_old(root: str = "/", keep: int = _KEPT) -> None:
    """Remove all but the last ``keep`` closed checkpoints."""
    closed = [path for path in folders(root) if rollback.load(path)["state"] != "open"]
    for path in closed[:-keep]:
        shutil.rmtree(path, ignore_errors=True)
