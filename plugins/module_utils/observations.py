"""The folder of one run: what was seen is written there as it is seen, and read back by the steps that follow.

``REPORT_DIR/RUN_ID/`` holds run.json, signatures.json, observations/HOST.json, estate.json and, at the end,
diagnosis.json and the reports; ``REPORT_DIR/latest`` points at the newest finished run. Files are readable by
their owner only: they hold log lines and addresses.
"""
from __future__ import annotations

import json
import os
import re
import tempfile


class Run:
    """One run's folder; every write is whole or not at all (written aside, then renamed)."""

    def __init__(self, folder: str):
        self.dir = folder

    @classmethod
    def open(cls, report_dir: str, run_id: str) -> Run:
        """Make the folder. Raises ValueError for a run id that is no plain file name, OSError as the system says."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", run_id):
            raise ValueError(f"a run id is letters, digits, dot, dash and underscore, at most 64: {run_id!r}")
        folder = os.path.join(os.path.abspath(report_dir), run_id)
        os.makedirs(os.path.join(folder, "observations"), mode=0o700, exist_ok=True)
        return cls(folder)

    def path(self, name: str) -> str:
        return os.path.join(self.dir, name)

    def write_text(self, name: str, text: str) -> str:
        target = self.path(name)
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as stream:
                stream.write(text)
            os.replace(aside, target)
        except OSError:
            os.unlink(aside)
            raise
        return target

    def write(self, name: str, data: object) -> str:
        return self.write_text(name, json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False, default=str) + "\n")

    def read(self, name: str) -> dict:
        with open(self.path(name), encoding="utf-8") as stream:
            return json.load(stream)

    def write_of_host(self, folder: str, data: dict) -> str:
        """A file of one host, which is ``data["host"]``."""
        # An inventory name may hold a slash or be an address; the name inside the file is the true one.
        return self.write(f"{folder}/{re.sub(r'[^A-Za-z0-9_.-]', '_', data['host'])}.json", data)

    def write_observation(self, observation: dict) -> str:
        return self.write_of_host("observations", observation)

    def observations(self) -> list:
        """Every host's observation, in the order of their names."""
        if not os.path.isdir(self.path("observations")):
            raise FileNotFoundError(f"no observations in {self.dir}")
        return self.of_hosts("observations")

    def of_hosts(self, folder: str) -> list:
        """What each host has in a folder, in the order of their names; nothing when there is no such folder."""
        try:
            names = sorted(os.listdir(self.path(folder)))
        except FileNotFoundError:
            return []
        return [self.read(f"{folder}/{name}") for name in names if name.endswith(".json") and not name.startswith(".")]

    def point_latest(self) -> None:
        """Make ``latest`` point at this run (a link that is replaced whole)."""
        link = os.path.join(os.path.dirname(self.dir), "latest")
        aside = f"{link}.{os.getpid()}"
        os.symlink(os.path.basename(self.dir), aside)
        os.replace(aside, link)
