"""What turns loss into delay while the cause is looked for. Pure functions."""
from __future__ import annotations


def wanted(contained: bool, candidates: list, views: dict) -> list:
    """``[{host, options, because}]``, options as the role contain takes them; empty where nothing is lost, or it is contained already.

    ``candidates``: those of ranking.find; only what facts make a root is acted on. ``views``: {host: view}. Mail of ours that is refused for good:
    soft_bounce, on the hosts that refuse it. Mail that goes astray: the transport of local delivery is deferred, which is the one that the queue
    manager picks (mailbox_transport of local(8) is delivered by the transport local).
    """
    if contained:
        return []
    impacts: dict = {}
    for item in candidates:
        if item.root_by_facts and item.host:
            impacts.setdefault(item.host, set()).add(item.cause.impact)
    found = []
    for host, seen in sorted(impacts.items()):
        expanded = ((views.get(host) or {}).get("postfix") or {}).get("expanded") or {}
        if not expanded:
            continue
        if "silent" in seen:
            transports = sorted({(expanded.get(name) or "").partition(":")[0] for name in ("local_transport", "virtual_transport")} - {""})
            found.append({"host": host, "options": {"defer_transports": transports}, "because": "mail is delivered where nobody finds it"})
        elif "lost" in seen:
            found.append({"host": host, "options": {"soft_bounce": True}, "because": "mail of ours is refused for good"})
    return found
