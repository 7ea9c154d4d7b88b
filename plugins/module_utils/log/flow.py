"""How much mail and how many logins a log shows: Postfix, Dovecot and Exim, counted block by block.

The counts show whether mail flows and since when it no longer does. Quiet lines come counted (quiet.py); the others are told by their
shapes (strangers.py), so that nothing a stranger wrote is taken for a delivery (postlogd(8), Dovecot's login processes, Exim
specification chapter 52).
"""
from __future__ import annotations

import re
from collections import Counter

from ansible_collections.mailops.outage.plugins.module_utils.log import quiet
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_MOST_USERS = 1000
_MOST_NAMES = 20
_DATES = {"sent": "last_delivery_epoch", "saved": "last_delivery_epoch", "accepted": "last_accepted_epoch", "login_ok": "last_login_epoch"}
# What shapes count as what, by family: (name, pattern, where the user stands in the message, if it says).
_KINDS = {
    "postfix": tuple((name, re.compile(shape), re.compile(user) if user else None) for name, shape, user in (
        ("connections", rb"connect from ", None),
        ("accepted", rb"message-id=", None),
        ("sent", rb"status=sent \(", None),
        ("deferred", rb"status=(?:deferred|SOFTBOUNCE) \(", None),
        ("bounced", rb"status=bounced \(|from=<>, status=expired, returned to sender", None),
        ("rejected", rb"(?:milter-)?reject: ", None),
        ("login_ok", rb"client=\[\].*, sasl_username=$", rb", sasl_username=([^\s,]{0,255})"),
        ("login_failed", rb"warning: \[\]: SASL [\w-]+ authentication failed:", rb", sasl_username=([^\s,]{1,255})$"),
    )),
    "dovecot": tuple((name, re.compile(shape), re.compile(user) if user else None) for name, shape, user in (
        ("saved", rb"l(?:mtp|da)\(\)(?:<>)*: (?:Info: )?(?:sieve: )?msgid=: (?:saved mail to |stored mail into mailbox )", None),
        ("login_ok", rb"[a-z0-9]+-login: (?:Info: )?Log(?:in|ged in): user=<$", rb" user=<([^>]{0,255})>"),
        ("login_failed", rb"[a-z0-9]+-login: .*\(auth failed, [1-9][^()]*\): user=<$", rb" user=<([^>]{0,255})>"),
    )),
    "exim": tuple((name, re.compile(shape), re.compile(user) if user else None) for name, shape, user in (
        ("connections", rb"SMTP connection from ", None),
        ("accepted", rb"<= ", None),
        ("sent", rb"[=-]> ", None),
        ("deferred", rb"== ", None),
        ("bounced", rb"\*\* ", None),
        ("rejected", rb"H=\[\](?: .*)? (?:temporarily )?rejected ", None),
        ("login_failed", rb"[\w-]+ authenticator failed for \[\]: ", rb"\(set_id=([^\s)]{1,255})\)"),
    )),
}
_EXIM_LOGIN = re.compile(rb"<= \S+ (?:H=[^\"]*? )?A=[\w-]+:(\S{1,255})")


class Flow:
    """Counts of one look; fed by the scanner."""

    families = frozenset(_KINDS)

    def __init__(self):
        self._counts: Counter = Counter()
        self._last: dict = {}
        self._users: dict = {"login_ok": set(), "login_failed": set()}
        self._known: dict = {}

    def quiet(self, divided, block, clock) -> None:
        """Count a block's quiet lines (quiet.Divided)."""
        self._counts.update(divided.counts)
        self._counts["login_ok"] += len(divided.users)
        self._add_users("login_ok", divided.users)
        for name, kind, text in (("sent", quiet.SENT, b" status=sent (250 "), ("accepted", quiet.ACCEPTED, b": message-id="),
                                 ("login_ok", quiet.LOGIN, b" user=<")):
            if divided.users if name == "login_ok" else divided.counts[name]:
                start = quiet.last_of(block.data, kind, text)
                self._date(name, clock.read(block.data, start) if start >= 0 else None)

    def loud(self, family: str, shape: bytes, rows: list, clock) -> None:
        """Count lines of one shape (lines.parts)."""
        name, user = self._kind(family, shape)
        if name is None:
            return
        self._counts[name] += len(rows)
        if name in _DATES:
            self._date(name, clock.read(rows[-1][0]))
        if user is not None:
            self._add_users(name, [found.group(1) for found in map(user.search, (row[3] for row in rows)) if found])
        if family == "exim" and name == "accepted":
            logins = [found.group(1) for found in map(_EXIM_LOGIN.match, (row[3] for row in rows)) if found]
            if logins:
                self._counts["login_ok"] += len(logins)
                self._add_users("login_ok", logins)
                self._date("login_ok", clock.read(rows[-1][0]))

    def _kind(self, family, shape):
        # Shapes differ behind what is looked at here.
        key = family, shape[:80], shape[-24:]
        found = self._known.get(key)
        if found is None:
            if len(self._known) > _MOST_USERS:
                self._known.clear()
            found = self._known[key] = next(((name, user) for name, pattern, user in _KINDS.get(family, ()) if pattern.match(shape)), (None, None))
        return found

    def _add_users(self, name, users):
        known = self._users[name]
        for user in set(users):
            # "(unavailable)" is Postfix's word for a name that it was not told.
            if user and not user.startswith(b"(") and len(known) < _MOST_USERS:
                known.add(user.lower())

    def _date(self, name, epoch):
        if epoch is not None:
            field = _DATES[name]
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
