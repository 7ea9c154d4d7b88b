"""Canary messages: sent, awaited, judged and deleted again; many pairs of sender and mailbox side by side.

Whatever a server does is a result. Nothing is sent to a mailbox that could not be opened first, for what cannot be fetched cannot be deleted.
"""
from __future__ import annotations

import collections
import copy
import queue
import re
import threading
import time
from contextlib import ExitStack, contextmanager

from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.wire import message, received
from ansible_collections.mailops.outage.plugins.module_utils.wire.mailbox import ImapBox, Pop3Box
from ansible_collections.mailops.outage.plugins.module_utils.wire.probe import BadRequest, checked_target, settled_options
from ansible_collections.mailops.outage.plugins.module_utils.wire.smtp import outcome_of
from ansible_collections.mailops.outage.plugins.module_utils.wire.transport import Stopped
from ansible_collections.mailops.outage.plugins.module_utils.wire.visit import Record, Visit

SENDING = ("smtp", "submission", "submissions", "lmtp")
READING = ("imap", "imaps", "pop3", "pop3s")
MECHANISMS = ("PLAIN", "LOGIN", "XOAUTH2")

# Seconds, except workers, per_minute (messages, 0 for any number).
DEFAULTS = {
    "connect": 5.0, "step": 10.0, "arrival": 60.0, "overall": 120.0, "late": 30.0, "poll": 5.0, "settle": 1.0, "retry": 60.0, "leftover_age": 3600.0,
    "per_minute": 0, "workers": 100, "run": None, "helo": None, "ca_file": None, "vantage": None, "hop": None, "hop_for": "both",
}
_OF_PROBES = ("connect", "step", "overall", "workers", "helo", "ca_file", "vantage", "hop")
# Seconds kept back from the overall time for deleting and parting, and for the last legs to come back.
_RESERVE, _FAREWELL = 2.0, 1.0
_MOST_ATTEMPTS = 20
# IMAP sessions in one account: Dovecot lets in 10 from one address (mail_max_userip_connections).
_MOST_SESSIONS = 5
# Sessions on one server. As packaged, Dovecot has 100 under TLS for everybody (imap-login, process_limit), Postfix lets in 50 from one client
# (smtpd_client_connection_count_limit), Exim 20 in all (smtp_accept_max): users need the rest. Fewer begin at a time, for what a session costs is its
# login (a slow hash by design), and a busy server that is asked for many at once answers none within the time of a step.
_MOST_READING, _MOST_SENDING, _MOST_BEGINNING = 40, 10, 10
# A server that let this many wait for nothing, and answered nobody yet, is not asked by the others: each of them would wait as long.
_SILENT_ENOUGH = 3
# dot-atom of RFC 5322 section 3.2.3, and a domain or an address literal.
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[A-Za-z0-9:.]+\])")
_RUN = re.compile(r"[A-Za-z0-9._:-]{1,64}")

_ENHANCED = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")
_LOCKED = re.compile(r"disabled|locked|suspend|inactive|blocked|expired|5\.7\.13|AUTHORIZATIONFAILED", re.IGNORECASE)
# Dovecot answers 535 where RFC 4954 wants 504.
_MECHANISM = re.compile(r"(invalid|unsupported|unknown|unrecognized) (authentication|sasl)? ?mech", re.IGNORECASE)
_GREY = re.compile(r"gr[ea]y-?\s?list|postgrey", re.IGNORECASE)
# A server in trouble uses the same codes as greylisting: Postfix says 451 4.7.1 of a broken milter.
_TROUBLE = re.compile(r"service unavailable|internal|configuration|lookup|milter|hostname|not found", re.IGNORECASE)
_FULL = re.compile(r"\b[45]\.2\.2\b|quota|mailbox (is )?full|full mailbox", re.IGNORECASE)
_UNKNOWN = re.compile(r"\b5\.1\.(1|10)\b|unknown user|user unknown|no such (user|recipient|mailbox)"
                      r"|(user|recipient|mailbox|address) (does not exist|doesn't exist|not found)|unknown in (local|virtual|relay)", re.IGNORECASE)
_RELAY = re.compile(r"relay(ing)?\b.{0,20}\b(denied|not permitted|not allowed|prohibited)|not permitted to relay|unable to relay", re.IGNORECASE)
_WAIT = re.compile(r"(\d{1,5})\s*(s|sec|secs|second|seconds|m|min|mins|minute|minutes)\b", re.IGNORECASE)
_QUEUE_IDS = [re.compile(pattern, re.IGNORECASE) for pattern in (
    r"queued as ([A-Za-z0-9._-]{4,80})", r"\bid=([A-Za-z0-9._-]{4,80})", r"\bInternalId=(\d{1,30})",
    r"^250[ -](?:2\.\d\.\d )?([A-Za-z0-9]{8,30}) Message accepted",
    r"^250[ -]2\.0\.0 <[^>]*> (\S{8,80}) Saved", r"^250[ -](?:2\.\d\.\d )?OK:?\s+(?:id |queue id )?([A-Za-z0-9][A-Za-z0-9._-]{7,79})\b",
)]


def queue_id(answer: str) -> str | None:
    """The name under which the accepting server keeps the message, from its reply to the end of data."""
    return next((found.group(1) for found in (pattern.search(answer) for pattern in _QUEUE_IDS) if found), None)


def refined(step: str, outcome: str, code: int | None, answer: str) -> str:
    """A more exact word for a refusal: account_locked, greylisted, mailbox_full, unknown_recipient, relay_denied; else ``outcome``."""
    if step == "login" and outcome in ("login_failed", "login_unavailable"):
        if _MECHANISM.search(answer):
            return "no_mechanism"
        return "account_locked" if _LOCKED.search(answer) else outcome
    if outcome not in ("tempfail", "reject") or step not in ("sender", "recipient", "data", "content"):
        return outcome
    if _FULL.search(answer):
        return "mailbox_full"
    if outcome == "tempfail":
        return "greylisted" if is_greylisting(code, answer) else outcome
    if _UNKNOWN.search(answer):
        return "unknown_recipient"
    return "relay_denied" if _RELAY.search(answer) else outcome


def is_greylisting(code: int | None, answer: str) -> bool:
    """By its words, or by 450 4.2.0 and 451 4.7.1 unless the words tell of trouble."""
    enhanced = _ENHANCED.search(answer)
    known = (code, enhanced and enhanced.group()) in ((450, "4.2.0"), (451, "4.7.1"))
    return bool((code or 0) // 100 == 4 and (_GREY.search(answer) or (known and not _TROUBLE.search(answer))))


def wait_asked(answer: str) -> float | None:
    """The seconds after which a greylisting server says it may be tried again."""
    found = _WAIT.search(answer)
    return float(found.group(1)) * (60 if found.group(2).lower().startswith("m") else 1) if found else None


def blame(side: str, step: str, outcome: str) -> str:
    """Whose fault a stop is: vantage, dns, network, account, server (the one that is spoken to), delivery (behind it), filter, or time (ours)."""
    if outcome in ("not_tried", "rate_limited"):
        return "time"
    if outcome == "junk":
        return "filter"
    if outcome in ("not_arrived", "late", "duplicated", "altered"):
        return "delivery"
    if step == "vantage":
        return "vantage"
    if step == "name":
        return "dns"
    if step == "connect":
        return "server" if outcome == "refused" else "network"
    return "account" if outcome in ("login_failed", "account_locked", "unknown_recipient", "mailbox_full") else "server"


class Pace:
    """At most ``per_minute`` messages begin within any 60 seconds; 0 is any number."""

    def __init__(self, per_minute: int, clock=time.monotonic, sleep=time.sleep):
        self._most = per_minute
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._begun: collections.deque = collections.deque(maxlen=per_minute or None)

    def take(self, until: float) -> None:
        """Wait for one's turn. Stopped ``rate_limited`` at once when it would come after ``until`` (monotonic)."""
        if not self._most:
            return
        with self._lock:
            now = self._clock()
            turn = max(now, self._begun[0] + 60) if len(self._begun) == self._most else now
            if turn >= until:
                raise Stopped("pace", "rate_limited", f"no turn within the time: {self._most} messages a minute are allowed")
            self._begun.append(turn)
        self._sleep(turn - now)


def plan(pairs, options=None) -> list[dict]:
    """What ``run`` would send, [{name, sender, recipient, through, mailbox}]. Raises BadRequest. Nothing is sent, nor connected to."""
    checked, _options = _prepared(pairs, options, dry=True)
    return [{"name": pair["name"], "sender": pair["sender"], "recipient": pair["recipient"], "through": _id(pair["through"]), "mailbox": _id(pair["mailbox"])}
            for pair in checked]


def run(pairs, options=None) -> list[dict]:
    """Send a canary for each pair, all side by side, and return the legs in the same order.

    A pair is ``{name?, sender, recipient, through, mailbox}``; ``through`` and ``mailbox`` are targets of wire.probe, whose login also takes the
    mechanism XOAUTH2 with an access token as password; ``mailbox`` needs a login and may name ``junk`` folders. The options are those of DEFAULTS.
    All are back within ``overall`` seconds. Raises BadRequest before anything is sent.
    """
    pairs, options = _prepared(pairs, options)
    until = time.monotonic() + options["overall"]
    shared = _Shared(pairs, options)
    work: queue.SimpleQueue = queue.SimpleQueue()
    legs = [_Leg(pair, options, shared, until) for pair in pairs]
    for leg in legs:
        work.put(leg)
    failures = []

    def serve():
        try:
            while True:
                work.get_nowait().run()
        except queue.Empty:
            pass
        except Exception as failure:  # pylint: disable=broad-except
            failures.append(failure)

    threads = [threading.Thread(target=serve, daemon=True) for _worker in range(min(options["workers"], len(legs)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until + _FAREWELL - time.monotonic()))
    if options["hop"] is not None:
        options["hop"].close()
    if failures:
        raise failures[0]
    # A copy: a straggler may still write.
    return [copy.deepcopy(leg.seen) for leg in legs]


class _Shared:
    """What the legs of one run have in common: the pace, the sessions that an account may have, and which mailboxes were swept."""

    def __init__(self, pairs, options):
        self.pace = Pace(options["per_minute"])
        self.senders = {pair["sender"] for pair in pairs}
        self._turns = {}
        for pair in pairs:
            mailbox = pair["mailbox"]
            self._turns[_account(mailbox)] = threading.BoundedSemaphore(1 if _is_pop3(mailbox) else _MOST_SESSIONS)
            self._turns[_id(mailbox)] = threading.BoundedSemaphore(_MOST_BEGINNING if _is_pop3(mailbox) else _MOST_READING)
            self._turns["beginning", _id(mailbox)] = threading.BoundedSemaphore(_MOST_BEGINNING)
            self._turns[_id(pair["through"])] = threading.BoundedSemaphore(_MOST_SENDING)
        self._lock = threading.Lock()
        self._swept = set()
        self._answering = set()
        self._unanswered = collections.Counter()

    @contextmanager
    def turn(self, until, *places):
        """Hold a place among the sessions of an account or on a server. Stopped ``not_tried`` when none is free before ``until`` (monotonic)."""
        with ExitStack() as held:
            for place in places:
                free = self._turns[place].acquire(timeout=max(0.0, until - time.monotonic()))
                if free:
                    held.callback(self._turns[place].release)
                if not free or time.monotonic() >= until:
                    raise Stopped("pace", "not_tried", "other pairs used this mailbox or server until the time was over")
            yield

    def answered(self, server) -> None:
        """The server opened a session."""
        with self._lock:
            self._answering.add(server)

    def unanswered(self, server, stop) -> None:
        """The server opened none, or not in time."""
        if stop.outcome in ("silent", "timeout"):
            with self._lock:
                self._unanswered[server, stop.step, stop.outcome] += 1

    def expect(self, server) -> None:
        """Stopped at once, as the others were, at a server that has answered nobody and let enough of them wait."""
        with self._lock:
            for (name, step, outcome), count in self._unanswered.items():
                if name == server and count >= _SILENT_ENOUGH and server not in self._answering:
                    raise Stopped(step, outcome, f"not asked: {count} others waited there for nothing")

    def sweeps(self, account) -> bool:
        """Whether the caller is the first of this mailbox, who clears it of left-overs."""
        with self._lock:
            first = account not in self._swept
            self._swept.add(account)
            return first


class _Leg:
    """One canary. ``seen`` is the result and grows step by step; all keys are there from the start."""

    def __init__(self, pair, options, shared, until):
        self.pair, self.options, self.shared, self.until = pair, options, shared, until
        self.side = "mailbox"
        self.token = message.new_token()
        self.message = b""
        self.accepted = self.sent_epoch = 0.0
        # The end of data was sent but not answered: it may arrive all the same.
        self.unsure = None
        self.seen = {
            "name": pair["name"], "sender": pair["sender"], "recipient": pair["recipient"], "through": _id(pair["through"]), "mailbox": _id(pair["mailbox"]),
            "vantage": options["vantage"], "ok": False, "outcome": "not_tried", "findings": [], "side": None, "step": None, "fault": "time", "code": None,
            "answer": f"the time for all pairs ({options['overall']:g} s) was over", "token": self.token, "message_id": None, "sent": False, "sent_at": None,
            "queue_id": None, "attempts": 0, "greylisted_seconds": 0.0, "arrival_seconds": None, "folder": None, "copies": 0, "altered": [], "intact": None,
            "digest": None, "hops": [], "authentication": [], "tls": {"sending": None, "mailbox": None}, "deleted": 0, "left": 0, "swept": [], "steps": [],
            "seconds": 0.0,
        }

    def run(self):
        if self._left() <= 0:
            return
        began = time.monotonic()
        try:
            self._go()
            self._conclude()
        except Stopped as stop:
            self._stop(stop)
        self.seen["seconds"] = round(time.monotonic() - began, 3)

    def _go(self):
        mailbox = self.pair["mailbox"]
        places = _account(mailbox), _id(mailbox)
        if _is_pop3(mailbox):
            self._with_box(Pop3Box(self._visit_mailbox, lambda: self.shared.turn(self.until, *places), self.options["poll"]))
            return
        with self.shared.turn(time.monotonic() + self._left(), *places):
            self._with_box(ImapBox(self._visit_mailbox, mailbox["junk"], self.options["poll"]), ("beginning", _id(mailbox)))

    def _with_box(self, box, *beginning):
        problem = None
        old = (self.shared.senders, time.time() - self.options["leftover_age"])
        try:
            with self.shared.turn(time.monotonic() + self._left(), *beginning):
                self.seen["swept"] = box.open(old if self.shared.sweeps(_account(self.pair["mailbox"])) else None)
            self.side = "sending"
            self._send()
            self.side = "mailbox"
            self._receive(box)
        except Stopped as stop:
            problem = stop if self.side == "mailbox" else None
            raise
        finally:
            box.close(problem)

    def _left(self):
        return self.until - _RESERVE - time.monotonic() if self.options["overall"] > 2 * _RESERVE else self.until - time.monotonic()

    def _visit_mailbox(self, steps=None):
        return self._visit("mailbox", self.seen["steps"] if steps is None else steps)

    def _visit(self, side, steps):
        target = self.pair["through" if side == "sending" else "mailbox"]
        options = self.options if side == "sending" or self.options["hop_for"] == "both" else dict(self.options, hop=None)
        return _Seen(target, options, self.until, steps, side, self.seen["tls"], self.shared)

    def _send(self):
        """Until it is accepted; a greylisting server is asked again when it wants to be, within the time."""
        first = time.monotonic()
        while True:
            self.shared.pace.take(time.monotonic() + self._left())
            self.seen["attempts"] += 1
            try:
                with self.shared.turn(time.monotonic() + self._left(), _id(self.pair["through"])), self._visit("sending", self.seen["steps"]) as visit:
                    self._transact(visit)
                break
            except Stopped as stop:
                if refined(stop.step, stop.outcome, stop.code, stop.answer) != "greylisted":
                    raise
                pause = wait_asked(stop.answer) or self.options["retry"]
                if pause >= self._left() or self.seen["attempts"] >= _MOST_ATTEMPTS:
                    raise
                time.sleep(pause)
        if self.seen["attempts"] > 1:
            self.seen["greylisted_seconds"] = round(self.accepted - first, 3)

    def _transact(self, visit):
        session = visit.session
        visit.ask("sender", lambda: _welcome(session.sender(self.pair["sender"])))
        visit.ask("recipient", lambda: _welcome(session.recipient(self.pair["recipient"]), 250, 251))
        visit.ask("data", session.data)
        self.sent_epoch = time.time()
        self.message = message.compose(self.pair["sender"], self.pair["recipient"], self.token, self.options["run"], self.sent_epoch)
        identity = message.field(message.split(self.message)[0], "Message-ID")
        self.seen.update(sent_at=_iso(self.sent_epoch), message_id=identity, digest=message.digest(self.message))
        try:
            self.seen["sent"] = True
            answer = visit.ask("content", lambda: session.content(self.message))
            self.seen.update(code=answer.code, answer=answer.text, queue_id=queue_id(answer.text))
        except Stopped as stop:
            if stop.outcome in ("tempfail", "reject"):
                self.seen["sent"] = False
                raise
            self.unsure = stop
        self.accepted = time.monotonic()

    def _receive(self, box):
        visit = self._record()
        until = time.monotonic() + min(self.options["arrival"], max(0.0, self._left()))
        with visit.step("arrival") as entry:
            found = box.wait(self.token, until)
            passed = time.monotonic() - self.accepted
            if not found:
                raise self._lost(passed)
            self.seen["arrival_seconds"] = round(passed, 3)
            entry["answer"] = f"{found[0].folder}, {passed:.3f} s after it was accepted"
        self._judge(found)
        time.sleep(max(0.0, min(self.options["settle"], self._left())))
        with visit.step("copies") as entry:
            found = box.copies(self.token) or found
            entry["answer"] = str(len(found))
        self._judge(found)
        with visit.step("delete") as entry:
            self.seen["deleted"] = box.delete(found, self.token)
            self.seen["left"] = len(found) - self.seen["deleted"]
            entry["answer"] = f"{self.seen['deleted']} of {len(found)}"

    def _record(self):
        return Record(self.seen["steps"], "mailbox")

    def _lost(self, passed):
        where = f"not in the mailbox after {passed:.1f} s"
        if self.unsure:
            return Stopped("content", self.unsure.outcome, f"{self.unsure.answer}; {where}", self.unsure.code)
        return Stopped("arrival", "not_arrived", f"{self.pair['through']['name']} accepted it as {self.seen['queue_id'] or 'unnamed'}; {where}")

    def _judge(self, found):
        first = found[0]
        fields = message.split(first.raw)[0]
        altered = message.alterations(self.message, first.raw)
        self.seen.update(
            folder=first.folder, copies=len(found), altered=altered, intact="body" not in altered, left=len(found),
            hops=received.hops(fields, self.sent_epoch), authentication=received.authentication(fields))
        findings = [("junk", any(one.is_junk for one in found)), ("duplicated", len(found) > 1), ("altered", bool(altered)),
                    ("late", self.seen["arrival_seconds"] > self.options["late"])]
        self.seen["findings"] = [name for name, holds in findings if holds]

    def _conclude(self):
        seen = self.seen
        if self.unsure:
            # It arrived, although the server did not say that it had taken it.
            self._note("sending", "content", self.unsure.outcome, f"{self.unsure.answer}; but it arrived", self.unsure.code)
        elif seen["findings"]:
            outcome = seen["findings"][0]
            what = {"junk": f"in {seen['folder']}", "duplicated": f"{seen['copies']} copies", "altered": "altered: " + ", ".join(seen["altered"]),
                    "late": f"{seen['arrival_seconds']:.1f} s after {self.pair['through']['name']} accepted it as {seen['queue_id'] or 'unnamed'}"}
            self._note("delivery", "arrival", outcome, what[outcome], seen["code"])
        else:
            seen.update(ok=True, outcome="ok", fault=None)

    def _stop(self, stop):
        outcome = refined(stop.step, stop.outcome, stop.code, stop.answer)
        side = "delivery" if outcome == "not_arrived" else "sending" if stop.step == "content" else self.side
        self._note(side, stop.step or "mailbox", outcome, stop.answer, stop.code)
        if self.seen["copies"]:
            self.seen["left"] = self.seen["copies"] - self.seen["deleted"]

    def _note(self, side, step, outcome, answer, code):
        self.seen.update(side=side, step=step, outcome=outcome, answer=clean(answer), code=code, fault=blame(side, step, outcome))


class _Seen(Visit):
    """A visit that leaves its TLS facts in the leg, and tells the other legs of a server that does not answer."""

    def __init__(self, target, options, until, steps, side, seen_tls, shared):
        super().__init__(target, options, until, steps, side)
        self._seen_tls, self._of, self._shared, self._server = seen_tls, side, shared, _id(target)

    def __enter__(self):
        self._shared.expect(self._server)
        try:
            opened = super().__enter__()
            self._shared.answered(self._server)
            return opened
        except Stopped as stop:
            self._shared.unanswered(self._server, stop)
            raise
        finally:
            self._seen_tls[self._of] = self.seen["tls"] or self._seen_tls[self._of]


def _welcome(answer, *codes):
    if answer.code not in (codes or (250,)):
        raise answer.stop(outcome_of(answer.code))
    return answer


def _iso(epoch):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))


def _id(target):
    return f"{target['name']}:{target['port']}/{target['protocol']}"


def _is_pop3(mailbox):
    return mailbox["protocol"] in ("pop3", "pop3s")


def _account(mailbox):
    return mailbox["name"].lower(), mailbox["port"], mailbox["login"]["username"]


def _prepared(pairs, options, dry=False):
    """The pairs and options with every key present. Raises BadRequest."""
    unknown = set(options or {}) - set(DEFAULTS)
    if unknown:
        raise BadRequest(f"unknown options: {', '.join(sorted(unknown))}")
    settled = dict(DEFAULTS, **{name: value for name, value in (options or {}).items() if value is not None})
    for name in ("arrival", "late", "poll", "retry", "leftover_age"):
        if not settled[name] > 0:
            raise BadRequest(f"{name} must be more than 0")
    for name in ("per_minute", "settle"):
        if settled[name] < 0:
            raise BadRequest(f"{name} must not be less than 0")
    if settled["leftover_age"] < settled["overall"]:
        raise BadRequest("leftover_age must not be less than overall: messages on their way are no left-overs")
    settled["run"] = settled["run"] or time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    if not _RUN.fullmatch(settled["run"]):
        raise BadRequest("run must be of letters, digits and . _ : -, 64 at most")
    if settled["hop_for"] not in ("both", "sending"):
        raise BadRequest("hop_for must be both or sending")
    checked = _checked_pairs(pairs)
    settled.update(settled_options({name: settled[name] for name in _OF_PROBES}))
    if dry and settled["hop"] is not None:
        settled["hop"].close()
    return checked, settled


def _checked_pairs(pairs):
    checked, names, seen, passwords = [], set(), {}, {}
    for number, given in enumerate(pairs, 1):
        where = f"pair {given.get('name') or number}"
        pair = _checked_pair(given, where)
        pair["name"] = given.get("name") or f"{_id(pair['through'])} to {pair['recipient']}"
        same = (_id(pair["through"]), pair["through"]["address"], (pair["through"]["login"] or {}).get("username"), pair["sender"], pair["recipient"],
                _account(pair["mailbox"]))
        if same in seen:
            raise BadRequest(f"{where} is given twice: it is the same as pair {seen[same]}")
        if pair["name"] in names:
            raise BadRequest(f"{where}: the name is given twice")
        seen[same] = pair["name"]
        names.add(pair["name"])
        for target in (pair["through"], pair["mailbox"]):
            if target["login"]:
                account = (target["name"].lower(), target["port"], target["login"]["username"])
                if passwords.setdefault(account, target["login"]["password"]) != target["login"]["password"]:
                    raise BadRequest(f"{where}: the account {account[2]} is given twice, with different passwords")
        checked.append(pair)
    if not checked:
        raise BadRequest("no pairs")
    return checked


def _checked_pair(given, where):
    unknown = {name for name, value in given.items() if value is not None} - {"name", "sender", "recipient", "through", "mailbox"}
    if unknown:
        raise BadRequest(f"{where}: unknown keys: {', '.join(sorted(unknown))}")
    pair = {"sender": given.get("sender"), "recipient": given.get("recipient")}
    for name, address in pair.items():
        if not isinstance(address, str) or len(address) > 254 or not _ADDRESS.fullmatch(address):
            raise BadRequest(f"{where}: {name} must be a mail address in ASCII")
    pair["through"] = _checked_target(given.get("through"), SENDING, f"{where}: through")
    mailbox = dict(given.get("mailbox") or {})
    junk = mailbox.pop("junk", None)
    if junk is not None and not all(isinstance(name, str) and re.fullmatch(r"[ -~]{1,200}", name) for name in junk):
        raise BadRequest(f"{where}: mailbox: junk must be names in ASCII (modified UTF-7)")
    pair["mailbox"] = dict(_checked_target(mailbox, READING, f"{where}: mailbox"), junk=junk)
    if not pair["mailbox"]["login"]:
        raise BadRequest(f"{where}: mailbox needs a login")
    return pair


def _checked_target(given, protocols, where):
    given = {name: value for name, value in (given or {}).items() if value is not None}
    login = given.pop("login", None)
    try:
        target = checked_target(given)
    except BadRequest as problem:
        raise BadRequest(f"{where}: {problem}") from None
    if target["protocol"] not in protocols:
        raise BadRequest(f"{where}: protocol must be one of {', '.join(protocols)}")
    if login is not None:
        target["login"] = _checked_login(login, where)
    return target


def _checked_login(given, where):
    login = {"mechanism": given.get("mechanism") or "", "unverified": bool(given.get("unverified"))}
    for name in ("username", "password"):
        login[name] = given.get(name)
        if not login[name]:
            raise BadRequest(f"{where}: the {name} of the login is missing")
        # A lone surrogate cannot be sent, and the error of trying would quote the secret.
        if not isinstance(login[name], str) or re.search(r"[\r\n\0\x01\ud800-\udfff]", login[name]):
            raise BadRequest(f"{where}: the {name} of the login must be text of one line")
    if login["mechanism"] not in ("",) + MECHANISMS:
        raise BadRequest(f"{where}: mechanism must be one of {', '.join(MECHANISMS)}")
    return login
