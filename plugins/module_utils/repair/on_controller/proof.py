"""What proves a repair: looks that failed before it and work after it, and none that worked before and fails now. Pure functions.

A look is one thing that was tried, by its name: a port as a user's machine meets it, a login, a recipient of ours as a stranger names it, relaying for
strangers (well when it is refused), a message of ordinary size, a canary, a service that is to run, a socket that others lean on.
Silence of a log is no look, and nothing else is proof.
"""
from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import NamedTuple

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import estate
from ansible_collections.mailops.outage.plugins.module_utils.diagnosis.diagnose import SURE_ENOUGH
from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

# A repair after which one of these holds that did not hold before did harm, whatever else works.
_HARM = ("config.open_relay", "config.restriction_rejects_all", "config.relay_denied", "config.mailbox_location", "storage.mount_missing",
         "policy.content_rule_overbroad")
# Mail that waited meanwhile is on its way when the cause is gone; the queue is flushed once, at the end.
_DRAINS = ("queue.backlog",)
# A message that anybody may send, in bytes: below it people meet the limit every day.
ORDINARY_BYTES = 1024 * 1024
# Seconds in which software is back at the latest once its cause is gone, with some to spare: master(8) keeps dead daemons back for 60, dict_mysql(3) and
# Dovecot's SQL ask a lost database again after 60 and 25, clamd reads its signatures for minutes.
RETURN_SECONDS = {"postfix": 90, "exim4": 60, "dovecot": 90, "mariadb": 120, "mysql": 120, "postgresql": 120, "slapd": 90, "rspamd": 90, "amavis": 120,
                  "spamd": 60, "clamav-daemon": 300, "clamav-milter": 300, "redis-server": 60, "named": 60, "unbound": 60}
_PROTOCOLS = {"mta": ("smtp", "submission", "submissions"), "imap": ("imap", "imaps", "pop3", "pop3s", "sieve", "lmtp")}
# What users and peers meet; the rest is proof only where none of it failed.
_MET = ("port", "login", "recipient", "relay", "size", "message")
# Legs that had no turn say nothing.
_NO_TURN = ("not_tried", "rate_limited")


# How a guard shows in what it stops: its name, the kinds of looks, and the words of Postfix, Exim and Dovecot, the outcome of the wire, or what leans on it.
_REFUSED = ("port", "recipient", "login", "message")
_SHOWS = (
    (r"^(relay_domains|mydestination|virtual_\w+_domains|mynetworks\w*|smtpd_relay_restrictions|dc_\w+|relay_to_domains|hostlist|domainlist)$", _REFUSED,
     r"(?i)relay access denied|relay not permitted|relaying denied|unable to relay"),
    (r"^(smtpd_client_restrictions|postscreen_\w+)$", _REFUSED, r"(?i)client host (?:\S+ )?(?:rejected|blocked)|blocked using|cannot find your"),
    (r"^smtpd_helo_restrictions$", _REFUSED, r"(?i)helo command rejected"),
    (r"^smtpd_sender_restrictions$", _REFUSED, r"(?i)sender address rejected"),
    (r"^smtpd_(data|end_of_data)_restrictions$", ("message",), r"(?i)(?:data command|end-of-data) rejected"),
    (r"^smtpd_recipient_restrictions$", _REFUSED,
     r"(?i)(?:client host|helo command|sender address|recipient address) (?:\S+ )?(?:rejected|blocked)(?!: user unknown)|blocked using"
     r"|server configuration (?:error|problem)"),
    (r"^smtpd_recipient_restrictions$", ("endpoint",), r"^policy "),
    # That a message does not arrive has many reasons; that a rule stops it is known of the rule.
    (r"^header_checks$", ("rule",), r"^header_checks$"), (r"^mime_header_checks$", ("rule",), r"^mime_header_checks$"),
    (r"^body_checks$", ("rule",), r"^body_checks$"),
    (r"milters$|^milter_|^content_filter$", _REFUSED,
     r"(?i)^content (?:reject|tempfail)|service unavailable - try again|4\.7\.1 service unavailable|4\.3\.0 try again"),
    (r"milters$|^content_filter$", ("endpoint",), r"^(?:milter|filter) "),
    (r"sasl", ("endpoint",), r"^sasl "),
    (r"tls|^ssl", ("port", "login", "message"), r"^\w+ (?:tls_failed|no_starttls)\b|^starttls (?:tempfail|reject)\b"),
    (r"sasl|passdb|userdb|^auth_|plaintext|^service auth|/(?:users|passwd)[^/]*$", ("port", "login", "message"),
     r"login_failed|login_unavailable|no_mechanism|login (?:closed|reset|timeout|silent)|capabilities closed"),
    (r"^message_size_limit$|^mailbox_size_limit$|^virtual_mailbox_limit$", ("size",), r""),
    (r"process_limit|_count_limit|_rate_limit|client_limit|^anvil_|^mail_max_|/inet$|/unix$", _REFUSED, r"(?i)too (?:many|much)|rate limit"),
)


class Look(NamedTuple):
    """``kind`` is port, login, recipient, relay, size, message, service, endpoint or rule; ``host`` is empty for a message."""

    kind: str
    host: str
    name: str

    def __str__(self) -> str:
        return " ".join(filter(None, (self.host, self.name)))

    @property
    def protocol(self) -> str:
        """Of a port or a login, whose name is ``ADDRESS:PORT/PROTOCOL`` and perhaps the account."""
        return self.name.split(" ")[0].rpartition("/")[2] if self.kind in ("port", "login") else ""


@dataclass(frozen=True)
class Seen:
    """One whole look at the estate: its diagnosis, ``looks``, {Look: whether it went well}, and ``said``, {Look: outcome and answer} of those that did not."""

    diagnosis: dict
    looks: dict
    said: dict

    @classmethod
    def of(cls, run: Run, sent: Run | None = None) -> Seen:
        """What lies in the folder of a run. Raises OSError, ValueError, KeyError when there is no finished diagnosis; canaries may be missing.

        ``sent``: where the canaries are that were sent just before, when this look sent none.
        """
        diagnosis, observations, declared = run.read("diagnosis.json"), run.observations(), run.read("estate.json").get("declared") or {}
        legs = next((one.read("journeys.json")["legs"] for one in (run, sent) if one and os.path.exists(one.path("journeys.json"))), [])
        said: dict = {}
        return cls(diagnosis, looks(diagnosis, legs, observations, declared, said), said)

    @property
    def failed(self) -> list:
        return sorted(look for look, well in self.looks.items() if not well)


def looks(diagnosis: dict, legs: list, observations: list, declared: dict, said: dict) -> dict:
    """{Look: bool} of all that was tried; where a thing was tried again the later try counts, and a port that nobody expects is none.

    What was said to a look that did not go well is put into ``said``.
    """
    found: dict = {}

    def keep(look, well, *words):
        found[look] = bool(well)
        said[look] = "" if well else clean(" ".join(str(word) for word in words if word))
    expected = {item["host"]: estate.expected(item, declared) for item in observations}
    for probe in diagnosis["probes"]:
        if probe.get("look") == "vantage":
            continue
        host, name = probe["host"], probe["id"]
        if probe["ok"] or probe["protocol"] in expected.get(host, ()):
            keep(Look("login", host, f"{name} as {probe['login']}") if probe.get("login") else Look("port", host, name), probe["ok"],
                 probe["step"], probe["outcome"], probe.get("answer"))
        for check in probe.get("envelope") or []:
            if check["kind"] == "relay":
                keep(Look("relay", host, f"{name} refuses to relay"), not check["accepted"])
            elif check["kind"] == "recipient":
                keep(Look("recipient", host, check["recipient"]), check["accepted"], check.get("answer"))
        size = next((int(word[5:]) for word in probe.get("capabilities") or [] if re.fullmatch(r"SIZE \d{1,15}", word)), 0)
        if size:
            # RFC 1870, 4: a message that is larger than what is announced is refused; 0 is no limit.
            keep(Look("size", host, f"{name} takes an ordinary message"), size >= ORDINARY_BYTES, size)
    for leg in legs:
        if leg.get("outcome") not in _NO_TURN:
            keep(Look("message", "", leg["name"]), leg["ok"], leg.get("step"), leg.get("outcome"), leg.get("answer"))
    for item in observations:
        facts = item.get("facts") or {}
        for unit in (facts.get("services") or {}).get("units") or []:
            if unit.get("expected"):
                keep(Look("service", item["host"], unit["unit"]), unit.get("running"))
        for point in (facts.get("companions") or {}).get("endpoints") or []:
            if point.get("connect") is not None:
                keep(Look("endpoint", item["host"], f"{point['role']} {point['address']}"), point["connect"] == "ok", point["role"], point["connect"])
        for rule in (facts.get("postfix") or {}).get("rules_against_us") or []:
            keep(Look("rule", item["host"], f"{rule['parameter']} lets ordinary mail pass"), False, rule["parameter"])
    return found


def roots(diagnosis: dict, host: str | None = None) -> set:
    """{(cause, host)} that facts make the root."""
    return {(cause["id"], cause["host"]) for cause in diagnosis["causes"]
            if cause["root_by_facts"] and not cause["id"].startswith("none.") and host in (None, cause["host"])}


def left(seen: Seen, contained=()) -> set:
    """{(cause, host)} that this look leaves to be repaired. Mail that waits is on its way, and our own settings on ``contained`` hosts have their end."""
    return {(cause, host) for cause, host in roots(seen.diagnosis)
            if cause not in _DRAINS and not (cause == "config.deferred_by_setting" and host in contained)}


def judge(step: dict, before: Seen, after: Seen, by_person: bool = False, contained=()) -> tuple:
    """``(helped, sentence)``. ``by_person``: somebody approved the step. ``contained``: hosts on which temporary settings of our own are in force.

    It helped when something that failed works, and nothing that worked fails. What a second cause still keeps from working is that cause's own repair:
    where one was there before and still is, it is enough that this step's own cause is gone. Where nothing failed nothing can be proved, and only
    what a person approved stays.
    """
    place = (step["cause"], step["host"])
    # A port that is not tried any more is not well: a repair must not pass by hiding what it broke.
    worse = sorted(look for look, well in before.looks.items() if well and not after.looks.get(look, look.kind not in ("port", "login")))
    if worse:
        return False, "what worked before fails now: " + _named(worse)
    if any(host["name"] == step["host"] and not host["reachable"] for host in after.diagnosis["estate"]["hosts"]):
        return False, f"{step['host']} cannot be reached any more"
    harm = sorted({cause["id"] for cause in after.diagnosis["causes"] if cause["id"] in _HARM and cause["root"] and cause["confidence"] >= SURE_ENOUGH}
                  - {cause["id"] for cause in before.diagnosis["causes"]})
    if harm:
        return False, "after it there is " + ", ".join(harm)
    failed = [look for look in before.failed if look.kind in _MET] or before.failed
    works = [look for look in failed if after.looks.get(look)]
    still = [look for look in failed if not after.looks.get(look)]
    open_ones = left(after, contained)
    others = sorted(cause for cause, _host in open_ones & roots(before.diagnosis) - {place})
    if place in open_ones and (still or not works):
        return False, f"{step['cause']} still holds on {step['host']}"
    if works:
        rest = f"; still to be repaired: {', '.join(others)}" if others else f"; still failing: {_named(still)}" if still else ""
        return True, f"works again: {_named(works)}{rest}"
    if not failed:
        return by_person, "its cause is gone; nothing that was tried had failed, so that nothing but the approval speaks for it" if by_person else \
            "nothing that was tried had failed before it, so that nothing proves it"
    if others:
        return True, "its cause is gone; still to be repaired: " + ", ".join(others)
    return False, "its cause is gone, and what failed before still fails: " + _named(still)


def _named(found: list) -> str:
    return ", ".join(map(str, found[:4])) + (f" and {len(found) - 4} more" if len(found) > 4 else "")


def awaited(before: Seen, pending: list) -> list:
    """The looks to ask after a repair: those that failed and that users or peers meet.

    What ``pending`` steps of the plan are to start themselves cannot be back before them.
    """
    later = {(step["host"], protocol) for step in pending if step["role"] == "restart_service"
             for role in step["options"].get("roles") or [] for protocol in _PROTOCOLS.get(role, ())}
    return [look for look in before.failed if look.kind in ("port", "login", "recipient", "message") and (look.host, look.protocol) not in later]


def longest_return(observations: list, host: str) -> int:
    """The seconds in which all that runs on the host is back at the latest."""
    names = {unit["name"] for item in observations if item["host"] == host
             for unit in ((item.get("facts") or {}).get("services") or {}).get("units") or [] if unit.get("expected")}
    return max((RETURN_SECONDS.get(name, 60) for name in names), default=60)


def stopping_us(guards: list, seen: Seen, host: str) -> list:
    """Those of ``guards`` (names of settings, ``SERVICE -o NAME`` of overrides) that show in a failure of our own as what stops it.

    Of two that would show in the same way it cannot be told which one it is: then it is neither. What stops others shows in nothing of ours.
    """
    failing = [look for look in seen.failed if look.host in ("", host)]
    if not any(look.kind in _MET for look in failing):
        return []
    shown = {guard: {look for names, kinds, words in _SHOWS if re.search(names, guard.rpartition(" -o ")[2])
                     for look in failing if look.kind in kinds and re.search(words, seen.said.get(look, ""))} for guard in guards}
    return [guard for guard, found in shown.items() if found and not any(found & other for name, other in shown.items() if name != guard)]


def works_alone(seen: Seen, host: str) -> bool:
    """Whether what was tried says that mail works, as far as this host has to do with it: for a repair that nobody saw the end of."""
    mine = {look: well for look, well in seen.looks.items() if look.host in (host, "")}
    return bool(mine) and all(mine.values()) and host not in {where for _cause, where in left(seen)}
