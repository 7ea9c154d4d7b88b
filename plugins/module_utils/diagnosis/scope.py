"""Step 1 of the procedure: is it really down, for whom, which service, how severe?

Pure functions over the views (view.py). An outage is called one only when two independent looks say so:
two probes at different times or from different places, or a probe and what the host knows of itself.
"""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import conditions

JOURNEY_OF = {
    "smtp": "inbound", "lmtp": "delivery", "submission": "submission", "submissions": "submission",
    "imap": "retrieval", "imaps": "retrieval", "pop3": "retrieval", "pop3s": "retrieval", "sieve": "retrieval",
}
_ROLE_OF = {"smtp": "mta", "submission": "mta", "submissions": "mta"}
# How urgent, from nothing to mail that is gone: the worst of what is seen is the impact.
_URGENCY = ("none", "tempfail", "queued", "refused", "hanging", "lost", "silent")
_IMPACT_OF = {
    "refused": "refused", "reset": "refused", "unreachable": "refused", "no_name": "refused", "closed": "refused", "garbage": "refused",
    "timeout": "hanging", "silent": "hanging", "tempfail": "tempfail", "login_unavailable": "tempfail", "login_failed": "refused",
    "reject": "lost", "tls_failed": "refused", "protocol_error": "refused", "no_mechanism": "refused", "no_starttls": "refused",
}

# First rule that holds decides. JMESPath over {verdict, scope, impact, journeys}. A user's own table replaces it.
SEVERITY_RULES = (
    {"when": "verdict == 'healthy'", "severity": "none"},
    {"when": "contains(['lost', 'silent'], impact) && contains(['all_users', 'domain'], scope)", "severity": "sev1"},
    {"when": "verdict == 'outage' && scope == 'all_users' && length(journeys) > `1`", "severity": "sev1"},
    {"when": "verdict == 'outage'", "severity": "sev2"},
    {"when": "contains(['lost', 'silent'], impact)", "severity": "sev2"},
    {"when": "scope == 'single_user' || scope == 'none'", "severity": "sev4"},
    {"when": "`true`", "severity": "sev3"},
)


def worst(impacts) -> str:
    """The most urgent of several impacts; ``none`` when there is none."""
    return max(impacts, key=_URGENCY.index, default="none")


def confirmed(probe: dict, view: dict) -> bool:
    """Whether a second, independent look agrees that this probe's service fails.

    Another probe of the same port (later, or from another place), the host's own probe over loopback, or the
    service's own state.
    """
    same = [other for other in view.get("probes") or [] if other is not probe and other.get("protocol") == probe.get("protocol")]
    if any(not other.get("ok") for other in same):
        return True
    # The host's own look counts only when it fails too: what works from localhost proves nothing (a firewall).
    for other in ((view.get("loopback") or {}).get("probes")) or []:
        if other.get("protocol") == probe.get("protocol") and not other.get("ok"):
            return True
    software = (view.get("services") or {}).get(_ROLE_OF.get(probe.get("protocol"), "imap"))
    return isinstance(software, dict) and software.get("expected") is True and software.get("running") is False


def _envelope_impacts(view: dict) -> list:
    """Impacts of recipients of ours that a stranger's RCPT was refused for: (impact, recipient)."""
    found = []
    for probe in view.get("probes") or []:
        for check in probe.get("envelope") or []:
            if check.get("kind") == "recipient" and not check.get("accepted"):
                code = check.get("code")
                found.append(("lost" if isinstance(code, int) and code >= 500 else "tempfail", check.get("recipient") or ""))
    return found


def assess(views: list, estate: dict, candidates: list, severity_rules=None) -> dict:
    """Return ``{verdict, severity, severity_rule, confirmed, scope, impact}`` as in the schema of diagnosis.json.

    ``candidates`` are the ranked causes; faults among them say what probes cannot see (mail that is queued,
    lost or delivered to the wrong place) and how far it reaches.
    """
    journeys, hosts, impacts, agreed = set(), set(), set(), []
    serving: dict = {}
    for view in views:
        failing = {probe.get("protocol") for probe in view["failing"]}
        for protocol in view["expected"]:
            serving.setdefault(JOURNEY_OF.get(protocol), []).append(protocol not in failing)
        for probe in view["failing"]:
            journeys.add(JOURNEY_OF.get(probe.get("protocol"), "inbound"))
            hosts.add(view["host"])
            agreed.append(confirmed(probe, view))
            impact = _IMPACT_OF.get(probe.get("outcome"), "refused")
            # Only mail that is refused for good is lost; a refused login loses nothing.
            impacts.add("refused" if impact == "lost" and probe.get("step") == "login" else impact)
    recipients = [(view, impact, recipient) for view in views for impact, recipient in _envelope_impacts(view)]
    tried = sum(len(probe.get("envelope") or []) for view in views for probe in view.get("probes") or [] if probe.get("envelope"))
    for view, impact, _recipient in recipients:
        journeys.add("inbound")
        hosts.add(view["host"])
        impacts.add(impact)
        agreed.append(True)
    faults = [item for item in candidates if item.cause.kind == "fault" and item.confidence >= 0.5]
    roots = [item for item in faults if item.root]
    for item in roots:
        journeys.update(item.cause.journeys)
        impacts.add(item.cause.impact)
        if item.host:
            hosts.add(item.host)
    refused = {recipient for _view, _impact, recipient in recipients}
    users = sorted(refused | {user for item in roots for user in item.users})
    few_refused = recipients and not any(view["failing"] for view in views) and len(refused) < max(2, tried // 2)
    service_wide = any(agreed) and not few_refused
    kind = _kind(views, roots, recipients, service_wide, estate)
    impact = worst(impacts)
    blind = [view for view in views if not view["connection"]["ok"] and not any(probe.get("ok") for probe in view["ports"].values())]
    nothing_serves = not any(view["expected"] for view in views)
    if not faults and not journeys and (len(blind) == len(views) or nothing_serves):
        verdict = "unknown"
    elif not faults and not journeys:
        verdict = "healthy"
    elif kind in ("all_users", "domain") and impact != "none" and (any(agreed) or roots):
        whole = {journey for journey, states in serving.items() if states and not any(states)}
        if recipients and service_wide:
            whole.add("inbound")
        partly = journeys and whole.isdisjoint(journeys) and any(any(serving.get(journey, [])) for journey in journeys)
        only_probes = not any(item.cause.impact != "none" for item in roots)
        verdict = "degraded" if partly and only_probes else "outage"
    else:
        verdict = "degraded"
    since = min((item.since_epoch for item in roots if item.since_epoch), default=None)
    facts = {"verdict": verdict, "scope": kind, "impact": impact, "journeys": sorted(journeys)}
    rule = next((rule for rule in severity_rules or SEVERITY_RULES if conditions.holds(rule["when"], facts)), {"when": "", "severity": "sev3"})
    return {
        "verdict": verdict,
        "severity": rule["severity"],
        "severity_rule": rule["when"],
        "confirmed": all(agreed) if agreed else bool(roots),
        "scope": {"kind": kind, "users": users[:20] if kind in ("single_user", "some_users") else [], "services": sorted(journeys), "hosts": sorted(hosts)},
        "impact": {"class": impact, "since_epoch": since, "contained": False},
    }


def _kind(views: list, roots: list, recipients: list, service_wide: bool, estate: dict) -> str:
    """How far it reaches: the widest of what probes, envelope checks and causes say."""
    if service_wide:
        domains = {recipient.rpartition("@")[2] for _view, _impact, recipient in recipients}
        ours = set(estate.get("domains") or [])
        if recipients and domains and domains < ours and not any(view["failing"] for view in views):
            return "domain"
        return "all_users"
    order = ("all_users", "domain", "some_users", "single_user")
    # A fault of one mailbox, seen at several of them, is a fault of some users.
    roots = [item for item in roots if item.cause.impact != "none" or item.cause.scope != "all_users"]
    kinds = ["some_users" if item.cause.scope == "single_user" and len(item.users) > 1 else item.cause.scope for item in roots]
    if kinds:
        return min(kinds, key=order.index)
    if recipients:
        return "single_user" if len(recipients) == 1 else "some_users"
    if any(view["failing"] for view in views):
        return "all_users"
    return "none"
