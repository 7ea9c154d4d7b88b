"""A mail host below a folder: its files are real, its systemd is one that remembers what it was told."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import checkpoint, guard, rollback, store

ASKED = {"owner": "a", "remedy": "r", "cause": "c", "because": "", "journal": "", "lock_seconds": 1800, "rollback_after": 600, "per_hour": 9, "per_day": 9,
         "expect": [], "interrupted": False}


class Systemd:
    """``units``: {unit: [UnitFileState, ActiveState, InvocationID]}; ``told``: the commands that were run; ``failing``: those that fail, by their words."""

    def __init__(self):
        self.units = {}
        self.told = []
        self.failing = set()

    def run(self, *argv, **_more):
        if argv[:2] == ("systemctl", "show"):
            words = self.units.get(argv[-1], ("", "inactive", ""))
            return 0, "".join(f"{name}={word}\n" for name, word in zip(("UnitFileState", "ActiveState", "InvocationID"), words)), ""
        self.told.append(" ".join(argv))
        unit = self.units.get(argv[-1])
        if " ".join(argv) in self.failing:
            return 1, "", "it does not work"
        if unit and argv[1] in ("start", "restart", "stop"):
            unit[1:] = ["inactive", unit[2]] if argv[1] == "stop" else ["active", unit[2] + "+"]
        if unit and argv[1] in ("enable", "disable", "mask"):
            unit[0] = argv[1] + "d" if argv[1] != "mask" else "masked"
        return 0, "", ""

    def changes(self):
        return [line for line in self.told if "mailops-rollback" not in line and "daemon-reload" not in line]


class MailHost:
    """``root`` is its file system."""

    def __init__(self, root: Path, systemd: Systemd):
        self.root, self.systemd = str(root), systemd

    def path(self, name: str) -> Path:
        return Path(rollback.under(self.root, name))

    def write(self, name: str, text: str) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text, encoding="utf-8")

    def read(self, name: str) -> str:
        return self.path(name).read_text(encoding="utf-8")

    def begin(self, step: str = "4be1f0c2a9d7", **more) -> str:
        """The folder of a checkpoint that was opened for the step."""
        answer = guard.begin({**ASKED, "step": step, **more}, self.root)
        assert answer["granted"], answer
        return os.path.join(answer["storage"], "checkpoints", answer["checkpoint"])

    def end(self, action: str, step: str = "4be1f0c2a9d7", **more) -> dict:
        return guard.end({**ASKED, "action": action, "step": step, **more}, self.root)

    def change(self, folder: str, name: str, text: str | None) -> None:
        """The repair writes a file, or takes it away."""
        with checkpoint.noting(folder, {"files": (name,)}, self.root):
            if text is None:
                self.path(name).unlink()
            else:
                self.write(name, text)

    def timer(self, folder: str) -> dict:
        """What the timer runs."""
        with rollback.alone(self.root):
            return rollback.roll_back(folder, "nobody confirmed the repair in time", self.root)

    def boot(self) -> None:
        """What is in memory is gone, and what systemd was told holds as its files say."""
        for folder in ("run/mailops", "run/systemd/system"):
            for path in sorted(self.path(folder).rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()

    def states(self) -> list:
        return [item["state"] for item in guard.status(self.root)["checkpoints"]]


@pytest.fixture(name="mailhost")
def _mailhost(tmp_path, monkeypatch):
    systemd = Systemd()
    monkeypatch.setattr(rollback, "run", systemd.run)
    host = MailHost(tmp_path / "host", systemd)
    for folder in ("etc/systemd/system", "run/systemd/system", "run/mailops"):
        host.path(folder).mkdir(parents=True)
    return host


@pytest.fixture(name="open_here")
def _open_here(tmp_path, monkeypatch):
    """The folder of a checkpoint that is open on this machine, for steps that touch real paths; all that the guard keeps lies below the test's folder."""
    monkeypatch.setattr(rollback, "run", Systemd().run)
    monkeypatch.setattr(store, "places", lambda root="/": [str(tmp_path / "kept")])
    for name, folder in (("GUARD", "guard"), ("LOCK", "lock"), ("UNRECORDED", "unrecorded"), ("UNIT_FOLDER", "units"), ("MEMORY_UNITS", "memory-units")):
        monkeypatch.setattr(rollback, name, str(tmp_path / folder))
    monkeypatch.setattr(rollback, "MARKERS", ())
    for folder in ("kept", "units", "memory-units"):
        (tmp_path / folder).mkdir()
    return os.path.join(str(tmp_path / "kept"), "checkpoints", guard.begin({**ASKED, "step": "s"})["checkpoint"])
