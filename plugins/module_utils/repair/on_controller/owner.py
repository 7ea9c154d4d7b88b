"""Who repairs: the name under which locks and checkpoints are held, and whether its process still runs. Controller only."""
from __future__ import annotations

import getpass
import os
import re
import socket

_OWNER = re.compile(r"(?P<who>\S+@\S+) process (?P<pid>\d+) run \S+")


def owner(run_id: str) -> str:
    """The person or service account, the controller, the process of the play (the parent of the worker that asks), and the run."""
    return f"{getpass.getuser()}@{socket.gethostname()} process {os.getppid()} run {run_id}"


def is_gone(held_by: str) -> bool:
    """Whether the holder is a process of this account on this controller that runs no more. Of others nobody can tell: False."""
    theirs, mine = _OWNER.fullmatch(held_by), _OWNER.fullmatch(owner("-"))
    if not theirs or not mine or theirs["who"] != mine["who"]:
        return False
    try:
        os.kill(int(theirs["pid"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
