"""Put messages on hold (postsuper(1) -h): those of one sender, or by their ids. Nothing is lost, and while on hold nothing expires."""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies import _queue
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Refused

OPTIONS = {"sender": {"type": "str", "default": ""}, "queue_ids": {"type": "list", "elements": "str", "default": []}}


def steps(context, options):
    """``sender``: exact envelope sender as mailq shows it; ``queue_ids``: messages. What is on hold already stays as it is."""
    if not options["sender"] and not options["queue_ids"]:
        raise Refused("Say what is to be held: the sender of the flood (its exact address as mailq shows it), or queue_ids.")
    wanted = _queue.checked(options["queue_ids"])
    listed, complete = _queue.entries(context)
    ids = chosen(listed, options["sender"], wanted)
    because = f"the flood of {options['sender']} goes before all other mail" if options["sender"] else "named to be held"
    yield from _queue.batches("-h", ids, because, "postsuper -H the same ids (release_queue)")
    if options["sender"] and not complete:
        raise Refused("The queue is too long to be listed at once; run it again for the rest.")


def chosen(listed: list, sender: str, ids: set) -> list:
    """The ids of the queue's entries that are not on hold and are of ``sender`` (the null sender is MAILER-DAEMON) or in ``ids``."""
    sender = "MAILER-DAEMON" if sender == "<>" else sender
    return sorted(entry["queue_id"] for entry in listed if entry.get("queue_name") in ("incoming", "active", "deferred")
                  and ((sender and entry.get("sender") == sender) or entry.get("queue_id") in ids))
