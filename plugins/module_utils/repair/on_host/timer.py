"""The timer that rolls a repair back when nobody confirms it; systemd keeps it across a reboot and a jumping clock."""
from __future__ import annotations

import os
import sys

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import rollback, store


def unit_texts(identity: str, folder: str, seconds: int, python: str) -> dict:
    """``{file name: text}`` of the service and of its timer (systemd.timer(5): OnActiveSec is monotonic)."""
    name = f"mailops-rollback-{identity}"
    return {
        name + ".service": f"[Unit]\nDescription=Undo the unconfirmed mail repair {identity}\n\n"
                           f"[Service]\nType=oneshot\nTimeoutStartSec=300\nExecStart={python} {folder}/rollback.py\n",
        name + ".timer": f"[Unit]\nDescription=Undo the mail repair {identity} unless it is confirmed\n\n"
                         f"[Timer]\nOnActiveSec={seconds}\nAccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n",
    }


def arm(identity: str, folder: str, seconds: int, root: str = "/") -> str:
    """Set the timer going; an empty text, or why it cannot be (nothing stays behind then)."""
    if not os.path.isdir(store.under(root, "/run/systemd/system")):
        return "No rollback timer can be set here without systemd; repair this host by hand."
    try:
        for name, text in unit_texts(identity, folder, seconds, sys.executable).items():
            path = os.path.join(store.under(root, rollback.UNIT_FOLDER), name)
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
        rollback.run("systemctl", "daemon-reload")
        code, _out, complaint = rollback.run("systemctl", "enable", "--now", f"mailops-rollback-{identity}.timer")
    except OSError as problem:
        code, complaint = None, str(problem)
    if code == 0:
        return ""
    rollback.disarm(identity, root)
    return f"The rollback timer could not be set ({complaint.strip()[:120]}); repair this host by hand."
