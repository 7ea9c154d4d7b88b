"""A diagnosis to report on."""
from __future__ import annotations

import copy

import pytest


def words(text):
    return {"en": text, "nl": f"NL {text}"}


def a_cause(name, rank, **more):
    return dict({
        "id": name, "host": "mx1", "rank": rank, "confidence": 0.95, "by_facts": 0.95, "root": rank == 1, "root_by_facts": rank == 1,
        "explains": [], "since": None, "title": words(f"The title of {name}"),
        "explanation": words("Nothing accepts mail."), "users": words("Mail is late."), "never": None, "look_next": None, "evidence": [], "remedies": [],
    }, **more)


OUTAGE = {
    "schema_version": "1.0", "run_id": "20261123T205107Z-ab12", "started": "2026-11-23T20:51:07Z", "finished": "2026-11-23T20:51:19Z",
    "verdict": "outage", "severity": "sev1", "severity_rule": "verdict == 'outage'", "confirmed": True,
    "scope": {"kind": "all_users", "users": [], "services": ["inbound", "submission"], "hosts": ["mx1"]},
    "impact": {"class": "refused", "since": "2026-11-23T20:40:00Z", "contained": False},
    "causes": [
        a_cause("service.mta_stopped", 1, since="2026-11-23T20:40:00Z", explains=["queue.backlog"], never=words("Do not delete queue files."), evidence=[
            {"kind": "fact", "host": "mx1", "source": "postfix status", "line": None, "time": None, "text": "the Postfix mail system is not running"},
            {"kind": "log", "host": "mx1", "source": "/var/log/mail.log", "line": 4711, "time": "2026-11-23T20:40:00Z", "text": "terminating on signal 15"},
        ], remedies=[
            {"role": "restart_service", "class": "disruptive", "summary": words("Start the real unit"), "undo": words("Stop it again"), "options": {}, "missing": ""},
            {"role": "human", "class": "human", "summary": words("Call the operator"), "undo": None, "options": {}, "missing": ""},
        ]),
        a_cause("queue.backlog", 2, confidence=0.6, evidence=[
            {"kind": "fact", "host": "mx1", "source": "postqueue -j", "line": None, "time": None, "text": "12 deferred"}]),
    ],
    "containment": [], "ruled_out": [{"id": "storage.spool_full", "because": "looked for, no sign of it"}],
    "probes": [
        {"id": "mx1:143/imap", "host": "mx1", "look": "first", "name": "mx1", "address": "192.0.2.25", "port": 143, "protocol": "imap", "vantage": "controller",
         "ok": True, "step": None, "outcome": "ok", "code": None, "answer": "", "banner": "* OK ready", "seconds": 0.1},
        {"id": "mx1:25/smtp", "host": "mx1", "look": "second", "name": "mx1", "address": "192.0.2.25", "port": 25, "protocol": "smtp", "vantage": "controller",
         "ok": False, "step": "connect", "outcome": "refused", "code": None, "answer": "Connection refused", "banner": "", "seconds": 0.1},
    ],
    "not_visible": ["mx1: firewall rules: needs root"],
    "estate": {"hosts": [{"name": "mx1", "reachable": True, "error": "", "roles": ["edge", "submission"], "software": ["postfix 3.7.11"]}],
               "domains": ["example.test"]},
    "changes": [{"host": "mx1", "what": "setting", "name": "inet_interfaces", "before": "all", "after": "loopback-only", "source": "postconf -n",
                 "time_epoch": None}],
    "bounce_clock": [{"host": "mx1", "lifetime_seconds": 432000, "oldest_seconds": 5400, "expires_in_seconds": 426600}],
    "next": {"en": "Read the plan", "nl": "Lees het plan", "commands": ["ansible-playbook remediate.yml --check"]},
    "advice": [], "versions": {"ansible_core": "2.21.5"},
}


@pytest.fixture
def outage():
    return copy.deepcopy(OUTAGE)


@pytest.fixture
def healthy():
    found = copy.deepcopy(OUTAGE)
    found.update(verdict="healthy", severity="none", not_visible=[], bounce_clock=[], changes=[],
                 scope={"kind": "none", "users": [], "services": [], "hosts": []}, impact={"class": "none", "since": None, "contained": False},
                 causes=[a_cause("none.healthy", 1, host="", confidence=1.0), a_cause("package.security_pending", 2, root=False)],
                 probes=[dict(probe, ok=True, step=None, outcome="ok") for probe in OUTAGE["probes"]])
    return found


@pytest.fixture
def unknown():
    found = copy.deepcopy(OUTAGE)
    found.update(causes=[a_cause("none.unknown", 1, host="", evidence=OUTAGE["causes"][0]["evidence"][:1])],
                 advice=[words("mx1: follow one session of smtp")], next=dict(words("Look at the host"), commands=[]))
    return found
