"""Which outage a verification is about, when nobody says."""
from __future__ import annotations

import os

from ansible_collections.mailops.outage.plugins.module_utils.observations import Run


def newest_outage(run: Run, started_epoch: float, most_seconds: float = 7 * 86400) -> str:
    """The folder, beside that of ``run``, of the newest earlier run that found mail ill; an empty text when there is none in a week, or none that can be read.

    A verification that passed ends the search: what was before it is over.
    """
    beside = os.path.dirname(os.path.abspath(run.dir))
    earlier = []
    for name in os.listdir(beside):
        folder = os.path.join(beside, name)
        if os.path.islink(folder) or os.path.samefile(folder, run.dir):
            continue
        began = _read(folder, "run.json", "started_epoch")
        if isinstance(began, (int, float)):
            earlier.append((began, folder))
    for began, folder in sorted(earlier, reverse=True):
        if not started_epoch - most_seconds < began < started_epoch:
            continue
        if _read(folder, "verification.json", "passed") is True:
            return ""
        if _read(folder, "diagnosis.json", "verdict") in ("outage", "degraded"):
            return folder
    return ""


def _read(folder: str, name: str, key: str):
    """One value of one of a run's files; None where there is none."""
    try:
        return Run(folder).read(name)[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
