"""The timer that rolls a repair back when nobody confirms it; systemd keeps it across a reboot and a jumping clock."""
from __future__ import annotations

import os
import sys

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import rollback, store


def unit_texts(identity: str, folder: str, seconds: int, python: str) -> dict:
    """``{suffix: text}`` of the service and of its timer, which tries again while something could not be put back.

    systemd.timer(5): OnActiveSec is monotonic, and may be given several times.
    """
    times = "".join(f"OnActiveSec={seconds + later}\n" for later in (0, *rollback.TRY_AGAIN))
    return {
        ".service": f"[Unit]\nDescription=Undo the unconfirmed mail repair {identity}\n\n"
                    f"[Service]\nType=oneshot\nTimeoutStartSec=1200\nExecStart={python} {folder}/rollback.py\n",
        ".timer": f"[Unit]\nDescription=Undo the mail repair {identity} unless it is confirmed\n\n"
                  f"[Timer]\n{times}AccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n",
    }


def arm(identity: str, folder: str, seconds: int, root: str = "/") -> str:
    """Set the timer going; an empty text, or why it cannot be (nothing stays behind then).

    With a checkpoint in memory it is in memory, too: neither outlives a reboot.
    """
    if not os.path.isdir(rollback.under(root, rollback.MEMORY_UNITS)):
        return "No rollback timer can be set here without systemd; repair this host by hand."
    in_memory = folder.startswith(rollback.under(root, store.MEMORY))
    try:
        for suffix, text in unit_texts(identity, folder, seconds, sys.executable).items():
            where = rollback.under(root, rollback.MEMORY_UNITS if in_memory else rollback.UNIT_FOLDER)
            rollback.write(os.path.join(where, f"mailops-rollback-{identity}{suffix}"), text.encode(), 0o644)
        rollback.run("systemctl", "daemon-reload")
        verbs = ("start",) if in_memory else ("enable", "--now")
        code, _out, complaint = rollback.run("systemctl", *verbs, f"mailops-rollback-{identity}.timer")
    except OSError as problem:
        code, complaint = None, str(problem)
    if code == 0:
        return ""
    rollback.disarm(identity, root)
    return f"The rollback timer could not be set ({complaint.strip()[:120]}); repair this host by hand."
