"""What the remedies of the queue share: the listing of Postfix's queue, and messages named on as few command lines as are readable."""
from __future__ import annotations

import os
import re

from ansible_collections.mailops.outage.plugins.module_utils.host import queue
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Command, Refused
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_MOST_BYTES = 64 * 1024 * 1024
_BATCH = 500
# postconf(5) enable_long_queue_ids: hexadecimal, or letters and digits.
_ID = re.compile(r"[0-9A-Za-z]{6,30}")


def entries(context) -> tuple:
    """``(entries of postqueue -j, whether these are all)``. Refused when the queue is not Postfix's or cannot be listed."""
    if not os.path.exists("/usr/sbin/postqueue"):
        raise Refused("There is no queue of Postfix here. Exim's is for a person: exim4 -bp lists it, -Mf freezes a message and -Mt thaws it; "
                      "frozen mail is removed after some days (timeout_frozen_after).")
    ran = context.run("postqueue", "-j", timeout=60, most=_MOST_BYTES)
    if not ran.ok:
        raise Refused(f"The queue cannot be listed: {'; '.join(ran.complaints(2)) or 'postqueue -j does not end'}.")
    return [entry for entry in queue.parse_entries(ran.out) if _ID.fullmatch(str(entry.get("queue_id")))], len(ran.out) < _MOST_BYTES


def checked(ids: list) -> set:
    """Queue ids as a set. Refused for what is none, such as ALL."""
    for name in ids:
        if not _ID.fullmatch(name):
            raise Refused(f"{clean(name, 60)} is no queue id.")
    return set(ids)


def batches(flag: str, ids: list, because: str, undo: str):
    """Commands ``postsuper FLAG ID FLAG ID …`` over all ids; each names its messages, so that the record tells which they were."""
    for start in range(0, len(ids), _BATCH):
        part = ids[start:start + _BATCH]
        words = tuple(word for name in part for word in (flag, name))
        yield Command(("postsuper",) + words, f"{because} ({len(part)} of {len(ids)} messages)", undo=undo, timeout=300.0)
