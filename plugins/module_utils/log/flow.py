"""How much mail and how many logins a log shows: Postfix, Dovecot and Exim, counted block by block.

The counts show whether mail flows and since when it no longer does. They are read from the fixed texts of the log
forms (postlogd(8), Dovecot's login processes, Exim specification chapter 52), so a stranger who writes such a text
into an address could raise a count a little: they are never the only evidence of a cause.
"""
from __future__ import annotations

import re
from collections import Counter

from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_MOST_USERS = 1000
_MOST_NAMES = 20
# What counts what in the loud lines (see quiet.py; the quiet ones come counted). Lower case, as the scanner hands the text over.
_TEXTS = (
    ("connections", b": connect from "),
    ("connections", b" smtp connection from "),
    ("accepted", b": message-id="),
    ("sent", b" status=sent ("),
    ("saved", b": saved mail to "),
    ("saved", b": stored mail into mailbox "),
    ("deferred", b" status=deferred ("),
    ("deferred", b" status=softbounce ("),
    ("bounced", b" status=bounced ("),
    ("bounced", b" status=expired, returned to sender"),
    ("rejected", b": reject: "),
    ("rejected", b": milter-reject: "),
)
_ATTEMPTS = tuple(b"(auth failed, %d" % number for number in range(1, 10))
# Who logged in or failed to: searched only in a block that may hold one of the texts. The group is the user, if said.
_LOGINS = (
    ("login_ok", (b"-login: login: user=<", b"-login: info: login: user=<", b"-login: logged in: user=<", b"-login: info: logged in: user=<"),
     re.compile(rb"-login: (?:Info: )?Log(?:in|ged in): user=<([^>\n]{0,255})>")),
    ("login_ok", (b", sasl_username=",), re.compile(rb": client=[^\n]*?, sasl_username=([^\s,]{0,255})")),
    ("login_failed", _ATTEMPTS, re.compile(rb"\(auth failed, [1-9][^\n]*? user=<([^>\n]{0,255})>")),
    ("login_failed", (b" authentication failed:",), re.compile(rb": SASL [\w-]+ authentication failed:(?:[^\n]*, sasl_username=([^\s,]{1,255}))?")),
    ("login_failed", (b" authenticator failed for ",), re.compile(rb" authenticator failed for (?:[^\n]*\(set_id=([^\s)]{1,255})\))?")),
)
# The last of these lines in a block dates the last delivery, acceptance, login.
_DATED = {
    "last_delivery_epoch": (b" status=sent (", b": saved mail to ", b": stored mail into mailbox "),
    "last_accepted_epoch": (b": message-id=",),
    "last_login_epoch": (b"-login: Login: user=<", b"-login: Info: Login: user=<", b"ogged in: user=<", b", sasl_method="),
}
_DATES = {"sent": "last_delivery_epoch", "saved": "last_delivery_epoch", "accepted": "last_accepted_epoch", "login_ok": "last_login_epoch"}
# Exim's own log: a message id and two characters that say what became of it (specification, chapter 52).
_EXIM = re.compile(
    rb"\n[^\n]{15,100}? [0-9A-Za-z]{6}-(?:[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[0-9A-Za-z]{11}-[0-9A-Za-z]{4}) (<=|=>|->|==|\*\*)(?: [^\n]*? A=[\w-]+:([^\s]{1,255}))?"
)
_EXIM_REJECTED = re.compile(rb"\n[^\n]{15,40}? H=[^\n]* (?:temporarily )?rejected ")
_EXIM_COUNTS = {b"<=": "accepted", b"=>": "sent", b"->": "sent", b"==": "deferred", b"**": "bounced"}
_LOOKED_AT_FOR_EXIM = 16384


class Flow:
    """Counts of one look; fed by the scanner."""

    # What the scanner looks for on behalf of this.
    literals = frozenset(text for _name, text in _TEXTS) | frozenset(text for _name, texts, _pattern in _LOGINS for text in texts)

    def __init__(self):
        self._counts: Counter = Counter()
        self._last: dict = {}
        self._users: dict = {"login_ok": set(), "login_failed": set()}

    def feed(self, block, divided, low: bytes, present: set, clock) -> None:
        """``divided``: the block's lines (quiet.Divided); ``low``: its loud ones in lower case; ``present``: which of ``literals`` they may hold."""
        counts = Counter(divided.counts)
        for name, text in _TEXTS:
            if text in present:
                counts[name] += low.count(text)
        users = {"login_ok": divided.users, "login_failed": []}
        for name, texts, pattern in _LOGINS:
            if not present.isdisjoint(texts):
                users[name] = users[name] + pattern.findall(divided.loud)
        for name, names in users.items():
            counts[name] += len(names)
            self._add_users(name, names)
        for field in {_DATES[name] for name, count in counts.items() if count and name in _DATES}:
            last = -1
            for text in _DATED[field]:
                last = max(last, block.data.rfind(text, last + 1))
            self._date(field, block, last, clock)
        self._counts += counts
        if _EXIM.search(b"\n" + divided.loud[:_LOOKED_AT_FOR_EXIM]):
            self._exim(block, b"\n" + divided.loud, clock)

    def _exim(self, block, text, clock):
        last = {}
        for found in _EXIM.finditer(text):
            name = _EXIM_COUNTS[found.group(1)]
            self._counts[name] += 1
            last[name] = found.group()
            if found.group(2) and name == "accepted":
                self._counts["login_ok"] += 1
                self._add_users("login_ok", [found.group(2)])
                last["login_ok"] = found.group()
        self._counts["rejected"] += len(_EXIM_REJECTED.findall(text))
        for name, line in last.items():
            if name in _DATES:
                self._date(_DATES[name], block, block.data.rfind(line[1:]), clock)

    def _add_users(self, name, users):
        known = self._users[name]
        for user in set(users):
            # "(unavailable)" is Postfix's word for a name that it was not told.
            if user and not user.startswith(b"(") and len(known) < _MOST_USERS:
                known.add(user.lower())

    def _date(self, field, block, at, clock):
        epoch = block.time_at(block.data.rfind(b"\n", 0, at) + 1, clock) if at >= 0 else None
        if epoch is not None:
            self._last[field] = max(epoch, self._last.get(field, epoch))

    def result(self, last_line_epoch: float | None = None) -> dict:
        """The counts. ``delivered`` is what the MTA says it delivered; on a host that only stores mail, what the store says
        (both log the same delivery where both run). ``failed_only``: at most 20 names that never succeeded."""
        counts = self._counts
        ok, failed = self._users["login_ok"], self._users["login_failed"]
        result = {name: counts[name] for name in ("connections", "accepted")}
        result["delivered"] = counts["sent"] or counts["saved"]
        result.update((name, counts[name]) for name in ("deferred", "bounced", "rejected", "login_ok", "login_failed"))
        result["users_ok"] = len(ok)
        result["users_failed"] = len(failed)
        result["failed_only"] = [clean(user, 80) for user in sorted(failed - ok)[:_MOST_NAMES]]
        result.update((field, self._last.get(field)) for field in ("last_delivery_epoch", "last_accepted_epoch", "last_login_epoch"))
        result["last_line_epoch"] = last_line_epoch
        return result
