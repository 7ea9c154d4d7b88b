"""What the catalogue's conditions look at: the observations of a run, arranged.

A host's view has the collectors of mail_host_info at the top (``services``, ``postfix``, ``storage``, …) and
beside them:

``host``        its inventory name
``connection``  {ok, kind, text}: whether Ansible came in, and if not, why
``ports``       the probe of each port as a user's machine sees it, by protocol (``ports.smtp``, ``ports.imaps``, …)
``probes``      all probes of this host, from all vantages
``failing``     the probes that failed although the port is expected to serve
``seen``        what the log's signatures found: ``seen.NAME.count``, ``.last_epoch``, ``.current``, ``.samples``, ``.groups``, and ``.trust``:
                ``journal`` (the system's journal vouches for who wrote the lines), ``file`` (anybody on the host may have written them), or
                ``remote`` (they tell what a peer did or said)
``flow``        the log's counts of mail (accepted, delivered, …)
``changed``     differences from the known-good snapshot: [{what, name, before, after, source, time_epoch}]; without a snapshot
                what the host itself remembers (files changed lately, backups beside them) and how it differs from healthy siblings
``dns``         the problems that mail_dns_info found, of the whole estate
``peers``       the other mail hosts: [{host, reachable, healthy}]
``reported``    {user} when somebody was named as not getting mail
``domains``     the estate's mail domains
``own_names``   names and addresses of the estate's mail hosts, as logs may call them
``now``         epoch seconds on the controller when the look ended

The estate's view has ``hosts`` (the list of the views above), ``dns``, ``names``, ``probes`` and ``reported``.
"""
from __future__ import annotations

# A log event is taken as still going on when it was last seen within this time before the look.
FRESH_SECONDS = 900

_PORT_OWNERS = {
    "smtp": "mta", "submission": "mta", "submissions": "mta",
    "imap": "imap", "imaps": "imap", "pop3": "imap", "pop3s": "imap", "sieve": "imap", "lmtp": "imap",
}
_LISTENER_PORTS = {
    25: "smtp", 587: "submission", 465: "submissions", 143: "imap", 993: "imaps", 110: "pop3", 995: "pop3s", 4190: "sieve", 24: "lmtp",
}


def _dig(data: object, *names, default=None):
    for name in names:
        if not isinstance(data, dict):
            return default
        data = data.get(name)
    return default if data is None else data


def expected_protocols(facts: dict, known_good: dict | None, declared: set) -> set:
    """The protocols that this host is expected to serve to others.

    From its configuration, from the known-good snapshot (which still knows a listener that was since taken
    out of the configuration), and from what the inventory declares. Nothing known: none expected.
    """
    expected = set(declared)
    for master in _dig(facts, "postfix", "masters", default=[]):
        service = str(master.get("service", "")).rsplit(":", 1)[-1]
        if master.get("type") == "inet":
            expected.add({"smtp": "smtp", "25": "smtp", "submission": "submission", "587": "submission", "smtps": "submissions",
                          "submissions": "submissions", "465": "submissions"}.get(service))
    if _dig(facts, "exim", "present") and _dig(facts, "services", "mta", "expected"):
        expected.add("smtp")
    for listener in _dig(facts, "dovecot", "listeners", default=[]):
        expected.add(_LISTENER_PORTS.get(listener.get("port")))
    for entry in _dig(known_good, "listeners", default=[]):
        if not entry.get("loopback"):
            expected.add(_LISTENER_PORTS.get(entry.get("port")))
    # The software's absence of a listener is only a fault where the software is meant to run at all.
    for role in ("mta", "imap"):
        software = _dig(facts, "services", role)
        if isinstance(software, dict) and software.get("expected") is False:
            expected -= {name for name, owner in _PORT_OWNERS.items() if owner == role}
    expected.discard(None)
    return expected


def _current(name: str, match: dict, spec: dict, facts: dict) -> bool:
    """Whether a log event still goes on: fresh, and nothing since then shows that it is over.

    ``cleared_by`` of the signature names what shows that, or a list of such: a later ``delivery``, ``login``, ``acceptance`` or
    ``start`` of the MTA or IMAP server, or ``none``.
    """
    last = match.get("last_epoch")
    until = _dig(facts, "events", "window", "until_epoch") or _dig(facts, "system", "now_epoch")
    if not match.get("count") or last is None:
        return False
    if until is not None and last < until - float(spec.get("fresh", FRESH_SECONDS)):
        return False
    cleared_by = spec.get("cleared_by", "delivery")
    flow = _dig(facts, "events", "flow", default={})
    ends = {
        "delivery": flow.get("last_delivery_epoch"),
        "acceptance": flow.get("last_accepted_epoch"),
        "login": flow.get("last_login_epoch"),
        "start": max((_dig(facts, "services", role, "since_epoch", default=0) for role in ("mta", "imap")), default=0),
    }
    after = max((ends.get(name) or 0 for name in ([cleared_by] if isinstance(cleared_by, str) else cleared_by)), default=0)
    # A second of grace: stamps of classic syslog carry no fractions.
    return not (after and after > last + 1)


def host_view(observation: dict, signatures: dict, estate: dict) -> dict:
    """The view of one host, from its observation (see the mail_observation action) and the estate's."""
    facts = observation.get("facts") or {}
    name = observation.get("host", "")
    probes = [probe for probe in list(observation.get("probes") or []) + list(estate.get("probes") or []) if probe.get("host") == name]
    expected = expected_protocols(facts, _dig(facts, "known_good", "manifest"), set((estate.get("declared") or {}).get(name) or []))
    first: dict = {}
    for probe in probes:
        if probe.get("vantage") == "controller":
            # The later look wins: it had time to see a service come back.
            first[probe.get("protocol")] = probe
    seen = {
        signature: dict(match, current=_current(signature, match, signatures.get(signature, {}), facts))
        for signature, match in _dig(facts, "events", "matches", default={}).items()
    }
    view = dict(facts)
    if isinstance(facts.get("system"), dict):
        view["system"] = dict(facts["system"], skew_seconds=observation.get("skew_seconds"))
    view.update({
        "host": name,
        "connection": observation.get("connection") or {"ok": False, "kind": "unknown", "text": ""},
        "expected": sorted(expected),
        "ports": first,
        "probes": probes,
        "failing": [probe for probe in first.values() if not probe.get("ok") and probe.get("protocol") in expected],
        "seen": seen,
        "flow": _dig(facts, "events", "flow", default={}),
        "changed": _dig(facts, "known_good", "differences", default=[]) if _dig(facts, "known_good", "present") else remembered(facts),
        "known_good": _dig(facts, "known_good", default={}),
        "dns": estate.get("dns") or {},
        "reported": estate.get("reported") or {},
        "domains": list(estate.get("domains") or []),
        "own_names": list(estate.get("own_names") or []),
        "now": estate.get("now"),
    })
    return view


def without_words(view: dict) -> dict:
    """The view without what others can write into it: log events, counts taken from the log, and answers that the queue quotes.

    What still holds in it is the host's own state and what we saw ourselves; nothing else may lead to a change.
    """
    bare = dict(view, seen={}, flow={}, events={})
    if isinstance(view.get("queue"), dict):
        bare["queue"] = dict(view["queue"], reasons=[])
    return bare


def remembered(facts: dict) -> list:
    """Changes as a host without a snapshot knows them: configuration files by their age, and what lies beside them.

    Which of them mattered nobody can say, so they only support a cause that other evidence names.
    """
    history = _dig(facts, "changes", "history", "kind")
    source = "git -C /etc log" if history in ("etckeeper", "git") else "ls -l"
    backups = _dig(facts, "changes", "backups", default=[])
    found = []
    for entry in _dig(facts, "changes", "files", default=[]):
        path = entry.get("path", "")
        beside = next((backup for backup in backups if backup.startswith(path)), None)
        found.append({"what": "file", "name": path, "before": beside, "after": entry.get("mtime"), "source": f"{source} {path}",
                      "time_epoch": entry.get("mtime_epoch")})
    return found


def differs_from_siblings(view: dict, others: list) -> list:
    """Settings in which a host differs from at least two healthy hosts of the same kind that agree with each other."""
    siblings = [other for other in others if other["expected"] == view["expected"] and other["connection"]["ok"] and not other["failing"]]
    if len(siblings) < 2:
        return []
    names = ", ".join(sorted(other["host"] for other in siblings)[:3])
    found = []
    for area, source in (("postfix", "postconf -n"), ("dovecot", "doveconf -n")):
        own, theirs = _dig(view, area, "settings", default={}), [_dig(other, area, "settings", default={}) for other in siblings]
        if not own or not all(theirs):
            continue
        for name in sorted(set(own) | set(theirs[0])):
            values = {settings.get(name) for settings in theirs}
            if len(values) == 1 and own.get(name) not in values:
                found.append({"what": "setting", "name": name, "before": values.pop(), "after": own.get(name),
                              "source": source, "compared_with": names, "time_epoch": None})
    return found


def estate_view(views: list, estate: dict) -> dict:
    """The view of the whole estate; gives every host's view its ``peers`` on the way."""
    def brief(view):
        return {"host": view["host"], "reachable": view["connection"]["ok"], "healthy": not view["failing"],
                "answers": any(probe.get("ok") for probe in view["ports"].values())}
    briefs = [brief(view) for view in views]
    for view in views:
        view["peers"] = [item for item in briefs if item["host"] != view["host"]]
        if not view["known_good"].get("present"):
            view["changed"] = view["changed"] + differs_from_siblings(view, [other for other in views if other is not view])
    return {
        "hosts": views,
        "dns": estate.get("dns") or {},
        "names": estate.get("names") or {},
        "probes": list(estate.get("probes") or []),
        "reported": estate.get("reported") or {},
        "now": estate.get("now"),
    }
