"""All collectors of mail_host_info, run side by side.

To add one: write ``host/<name>.py`` with a function ``collect(context) -> dict``, and list it here.
The imports are static because Ansible ships to the host what it can see imported.
"""
from __future__ import annotations

import threading
import time

from ansible_collections.mailops.outage.plugins.module_utils.host import (
    certificates, changes, companions, dkim, dovecot, events, exim, known_good, listeners, loopback, network, packages,
    postfix, queue, resolver, resources, services, storage, system,
)
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

COLLECTORS = {
    "system": system.collect,
    "resources": resources.collect,
    "services": services.collect,
    "listeners": listeners.collect,
    "postfix": postfix.collect,
    "exim": exim.collect,
    "dovecot": dovecot.collect,
    "companions": companions.collect,
    "queue": queue.collect,
    "storage": storage.collect,
    "network": network.collect,
    "resolver": resolver.collect,
    "certificates": certificates.collect,
    "loopback": loopback.collect,
    "dkim": dkim.collect,
    "packages": packages.collect,
    "changes": changes.collect,
    "events": events.collect,
    "known_good": known_good.collect,
}


def _look(name, collect, context, facts, ends):
    began = time.monotonic()
    try:
        facts[name] = collect(context)
        problem = ""
    except Exception as failure:  # pylint: disable=broad-except
        # One broken collector is one missing look, never a failed module: the others still tell their part.
        problem = clean(f"{type(failure).__name__}: {failure}")
    ends[name] = {"ok": not problem, "seconds": round(time.monotonic() - began, 3), "error": problem}


def collect_all(context: Context, deadline: float, collectors=None) -> dict:
    """Run the collectors and return ``{"facts": {name: {...}}, "collectors": {name: {ok, seconds, error}}}``.

    All share one ``deadline`` (seconds from now). A collector that is not back by then is reported with
    ``ok: false`` and its facts are absent; its thread is a daemon and dies with the module.
    """
    collectors = COLLECTORS if collectors is None else collectors
    facts: dict = {}
    ends: dict = {}
    until = time.monotonic() + deadline
    threads = [
        threading.Thread(target=_look, args=(name, collect, context, facts, ends), name=name, daemon=True)
        for name, collect in collectors.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    # Copies: a straggler may still write while the answer is being serialised.
    finished = dict(ends)
    for name in collectors:
        if name not in finished:
            finished[name] = {"ok": False, "seconds": deadline, "error": f"not back within {deadline:g} s"}
            context.cannot_see(name, f"the look did not end within {deadline:g} s")
        elif not finished[name]["ok"]:
            context.cannot_see(name, finished[name]["error"])
    kept = {name: facts[name] for name in collectors if finished[name]["ok"]}
    known_good.compare(kept)
    return {"facts": kept, "collectors": finished}
