"""Have all deferred mail tried again now, once (postqueue(1) -f)."""
from __future__ import annotations

import os
import time
from dataclasses import dataclass

from ansible_collections.mailops.outage.plugins.module_utils.host import queue
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Ran
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import store
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Command, Refused, StepFailed

OPTIONS = {"pause": {"type": "int", "default": 3600}}

# Its age is that of the last flush.
_STAMP = "flushed"


@dataclass(frozen=True)
class Flush(Command):
    """A flush that is remembered on the host, in memory when the disk is full."""

    root: str = "/"

    def take(self) -> Ran:
        try:
            stamp = os.path.join(store.choose(self.root, 0), _STAMP)
            with open(stamp, "ab"):
                pass
        except OSError as problem:
            raise StepFailed(f"{self.does()}: not done, for it could not be remembered ({problem})") from None
        # Before the flush: one that fails half-way was one.
        os.utime(stamp)
        return super().take()


def steps(context, options):
    """``pause``: seconds that must have passed since the last flush, for each moves all waiting mail in front of new mail and raises its back-off."""
    found = queue.collect(context)
    if found["mta"] == "exim":
        raise Refused("The queue is Exim's, whose queue run lasts until all mail was tried and must not be cut off; a person runs exim4 -qf.")
    if not found["mta"]:
        raise Refused("There is no mail queue on this host.")
    waiting = found["counts"]["deferred"]
    if waiting is None:
        raise Refused("It cannot be seen whether mail waits in the queue.")
    if not waiting:
        return
    if not found["running"]:
        raise Refused("Postfix does not run, and starting it is not this remedy's (restart_service).")
    ago = flushed_ago(time.time())
    if ago is not None and ago < options["pause"]:
        raise Refused(f"The queue was flushed {ago:.0f} s ago. Find out why {waiting} messages still wait before it is flushed again; "
                      "frequent flushing delays all mail.")
    yield Flush(("postqueue", "-f"), f"{waiting} messages wait for their next try", undo="None needed")


def flushed_ago(now: float, root: str = "/") -> float | None:
    """Seconds since the last flush by this remedy, None without one. A clock that went back makes it no less than 0."""
    moments = []
    for place in store.places(root):
        try:
            moments.append(os.stat(os.path.join(place, _STAMP)).st_mtime)
        except OSError:
            continue
    return max(0.0, now - max(moments)) if moments else None
