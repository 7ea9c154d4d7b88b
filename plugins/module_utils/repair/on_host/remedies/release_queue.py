"""Release messages that are on hold (postsuper(1) -H): by their ids, or all."""
from __future__ import annotations

import time

from ansible_collections.mailops.outage.plugins.module_utils.host import _mail
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies import _queue
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Refused

OPTIONS = {"queue_ids": {"type": "list", "elements": "str", "default": []}, "all_held": {"type": "bool", "default": False}}

# A message this close to its end would hardly be tried.
_MARGIN = 3600


def steps(context, options):
    """``queue_ids``, or ``all_held``: what to release; what of it is not on hold is left alone. Refused for mail that would be returned at once."""
    if bool(options["queue_ids"]) == options["all_held"]:
        raise Refused("Say which messages are to be released: either queue_ids, or all_held: true when somebody has looked that no spam is among them.")
    wanted = _queue.checked(options["queue_ids"])
    listed, complete = _queue.entries(context)
    lifetimes = {name: _mail.seconds(_mail.parameter(context, name, "5d"), "d") for name in ("maximal_queue_lifetime", "bounce_queue_lifetime")}
    fresh, old = split([entry for entry in listed if entry.get("queue_name") == "hold" and (options["all_held"] or entry.get("queue_id") in wanted)],
                       lifetimes["maximal_queue_lifetime"] or 0, lifetimes["bounce_queue_lifetime"] or 0, time.time())
    yield from _queue.batches("-H", fresh, "on hold", "postsuper -h the same ids")
    if old:
        raise Refused(f"{len(old)} messages on hold are older than mail may wait here (such as {old[0]}): released, they would be returned to their senders "
                      "after one failed try. They stay on hold. A person decides: postsuper -r gives them a new age, and filters and rewrites them again.")
    if options["all_held"] and not complete:
        raise Refused("The queue is too long to be listed at once; run it again for the rest.")


def split(held: list, lifetime: int, bounce_lifetime: int, now: float) -> tuple:
    """``(ids that may be released, ids of what is past its lifetime)`` of the entries on hold; lifetimes in seconds, a bounce has its own."""
    fresh, old = [], []
    for entry in held:
        limit = bounce_lifetime if entry.get("sender") in ("", "MAILER-DAEMON") else lifetime
        (fresh if now - entry.get("arrival_time", 0) < limit - _MARGIN else old).append(entry["queue_id"])
    return sorted(fresh), sorted(old)
