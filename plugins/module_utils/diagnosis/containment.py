"""What turns loss into delay while the cause is looked for. Pure functions."""
from __future__ import annotations


def wanted(impact: dict, causes: list, views: dict) -> list:
    """``[{host, options, because}]``, options as the role contain takes them; empty where nothing is lost, or it is contained already.

    ``impact``: {class, contained} of the diagnosis. ``views``: {host: view}. Mail of ours that is refused for good: soft_bounce, on the hosts that
    refuse it. Mail that goes astray: the transport of local delivery is deferred, which is the one that the queue manager picks (mailbox_transport of
    local(8) is delivered by the transport local).
    """
    if impact["class"] not in ("lost", "silent") or impact["contained"]:
        return []
    found = []
    for host in sorted({cause["host"] for cause in causes if cause["root_by_facts"] and cause["host"]}):
        expanded = ((views.get(host) or {}).get("postfix") or {}).get("expanded") or {}
        if not expanded:
            continue
        if impact["class"] == "lost":
            found.append({"host": host, "options": {"soft_bounce": True}, "because": "mail of ours is refused for good"})
        else:
            transports = sorted({(expanded.get(name) or "").partition(":")[0] for name in ("local_transport", "virtual_transport")} - {""})
            found.append({"host": host, "options": {"defer_transports": transports}, "because": "mail is delivered where nobody finds it"})
    return found
