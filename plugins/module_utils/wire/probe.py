"""What a client sees of a mail server: one observation an endpoint, many endpoints side by side.

A probe changes nothing on the server: it sends no message (never DATA), opens a mailbox for reading only, and ends its
sessions politely. It never fails because of the server: whatever the server does is the observation.
"""
from __future__ import annotations

import ipaddress
import os
import queue
import re
import socket
import threading
import time

from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.wire import tls
from ansible_collections.mailops.outage.plugins.module_utils.wire.hop import Hop
from ansible_collections.mailops.outage.plugins.module_utils.wire.imap import Imap
from ansible_collections.mailops.outage.plugins.module_utils.wire.pop3 import Pop3
from ansible_collections.mailops.outage.plugins.module_utils.wire.sieve import Sieve
from ansible_collections.mailops.outage.plugins.module_utils.wire.smtp import Smtp, outcome_of
from ansible_collections.mailops.outage.plugins.module_utils.wire.transport import Distrusted, Journal, Stopped, Stream, connect, own_name, resolve

PORTS = {
    "smtp": 25, "submission": 587, "submissions": 465, "lmtp": 24,
    "imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995, "sieve": 4190,
}
IMPLICIT_TLS = ("submissions", "imaps", "pop3s")
_TAKES_MAIL = ("smtp", "submission", "submissions", "lmtp")

# Times are seconds. A greeting may take 6 s where postscreen holds strangers back.
DEFAULTS = {
    "connect": 5.0, "step": 10.0, "total": 20.0, "overall": 60.0, "workers": 32,
    "helo": None, "ca_file": None, "verify": True, "vantage": None, "hop": None,
}
# Seconds for QUIT, and for the last probes to come back after the overall deadline.
_FAREWELL = 1.0
_MOST_LISTED = 100
# After these the server is not to be spoken to any more.
BROKEN = ("silent", "timeout", "closed", "reset", "unreachable", "garbage", "protocol_error")
_ADDRESS = re.compile(r"[^\s<>\x00-\x1f\x7f]{1,320}")


class BadRequest(Exception):
    """A target or an option that makes no sense. Nothing was sent."""


def probe(target: dict, options: dict | None = None) -> dict:
    """One observation; as ``probe_all`` of one target."""
    return probe_all([target], options)[0]


def probe_all(targets, options: dict | None = None) -> list[dict]:
    """Probe the targets side by side and return their observations in the same order.

    A target is ``{name, port or protocol, address?, starttls?, login?, sender?, recipients?, relay_check?, vantage?}``; the options are
    those of DEFAULTS, ``hop`` being the parameters of wire.hop.Hop. All are back within ``overall`` seconds: what was not begun by then
    has the outcome ``not_tried``. Raises BadRequest before anything is sent.
    """
    targets = [checked_target(target) for target in targets]
    options = settled_options(options or {})
    until = time.monotonic() + options["overall"]
    work: queue.SimpleQueue = queue.SimpleQueue()
    seen: list = [None] * len(targets)
    failures = []

    def serve():
        try:
            while True:
                index = work.get_nowait()
                left = until - time.monotonic()
                if left > 0:
                    seen[index] = _probe(targets[index], options, min(options["total"], left))
        except queue.Empty:
            pass
        except Exception as failure:  # pylint: disable=broad-except
            failures.append(failure)

    for index in range(len(targets)):
        work.put(index)
    threads = [threading.Thread(target=serve, daemon=True) for _worker in range(min(options["workers"], len(targets)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until + _FAREWELL - time.monotonic()))
    if options["hop"] is not None:
        options["hop"].close()
    if failures:
        raise failures[0]
    # A copy: a straggler may still write.
    return [found or _not_tried(target, options) for target, found in zip(targets, list(seen))]


def _probe(target, options, seconds):
    began = time.monotonic()
    look = Look(target, options, began + seconds)
    try:
        look.run()
        look.seen.update(ok=True, outcome="ok")
    except Stopped as stop:
        look.seen.update(step=stop.step, outcome=stop.outcome, code=stop.code, answer=stop.answer)
    look.seen.update(steps=look.journal.steps, seconds=round(time.monotonic() - began, 3))
    return look.seen


def _not_tried(target, options):
    return dict(_blank(target, options), outcome="not_tried", answer=f"the time for all probes ({options['overall']:g} s) was over")


def _blank(target, options):
    return {
        "id": f"{target['name']}:{target['port']}/{target['protocol']}", "name": target["name"], "address": target["address"],
        "port": target["port"], "protocol": target["protocol"], "vantage": target["vantage"] or options["vantage"], "ok": False, "step": None,
        "outcome": "", "code": None, "answer": "", "banner": "", "capabilities": [], "mechanisms": [], "steps": [], "seconds": 0.0,
        "tls": None, "mailbox": None, "envelope": [],
    }


class Look:
    """One target under observation. ``seen`` grows step by step, so that it holds what was seen before a stop."""

    def __init__(self, target, options, until):
        self.target = target
        self.options = options
        self.until = until
        self.seen = _blank(target, options)
        self.journal = Journal()
        self.stream = None
        self.session = None
        self.doubt = None

    def run(self):
        """Hold the conversation. A chain that does not verify is looked at again, on a second connection that does not verify."""
        try:
            self._converse()
        except Distrusted as doubt:
            self.doubt = doubt
            # Kept in case that the server does not let us in a second time.
            self.seen["tls"] = {"version": None, "cipher": None, "verified": False, "verify_error": doubt.error, "verify_code": doubt.code,
                                "name_matches": None, "certificate": None}
            self.journal = Journal()
            self._converse()

    def _step(self, name):
        if self.stream is not None:
            self.stream.within(self.options["step"])
        return self.journal.step(name)

    def _ask(self, name, ask):
        """A step that is one exchange. Its answer is the last one seen so far."""
        with self._step(name) as entry:
            answer = ask()
            entry["answer"] = answer.text
        self.seen.update(answer=answer.text, code=answer.code)
        return answer

    def _converse(self):
        self.stream = self.session = None
        raw = self._connected()
        self.stream = Stream(raw, self.until)
        polite = False
        try:
            self._talk()
            polite = True
        except Stopped as stop:
            polite = stop.outcome not in BROKEN and stop.step != "tls"
            raise
        finally:
            if polite:
                self._say_farewell()
            self.stream.close()

    def _say_farewell(self):
        self.stream.within(_FAREWELL)
        try:
            self.session.quit()
        except Stopped:
            pass

    def _connected(self):
        name, port, hop = self.target["name"], self.target["port"], self.options["hop"]
        if hop is not None:
            with self._step("vantage"):
                hop.open()
        elif self.seen["address"] is None:
            with self._step("name") as entry:
                addresses = resolve(name, port, self._at_most("step"))
                entry["answer"] = clean(", ".join(addresses))
                self.seen["address"] = addresses[0]
        with self._step("connect") as entry:
            reach = connect if hop is None else hop.connect
            raw = reach(self.seen["address"] or name, port, self._at_most("connect"))
            entry["answer"] = self.seen["address"] or name
        return raw

    def _at_most(self, option):
        left = self.until - time.monotonic()
        if left <= 0:
            raise Stopped("", "timeout")
        return min(left, self.options[option])

    def _talk(self):
        protocol = self.target["protocol"]
        if protocol in IMPLICIT_TLS:
            self._handshake()
        self.session = session_of(protocol, self.stream, self.options["helo"])
        self.seen["banner"] = self._ask("greeting", self.session.greeting).text
        self._list_capabilities(self.session.capabilities)
        refused = None if protocol in IMPLICIT_TLS else self._upgrade()
        if self.target["login"]:
            self._log_in(self.target["login"])
        self._try_envelopes()
        if refused:
            raise refused

    def _list_capabilities(self, ask):
        self._ask("capabilities", ask)
        self.seen["capabilities"] = self.session.offered[:_MOST_LISTED]
        self.seen["mechanisms"] = self.session.mechanisms[:_MOST_LISTED]

    def _upgrade(self):
        """STARTTLS: used wherever it is offered; missed where a client needs it, which is for submission and for a login (RFC 8314).

        A mail server that hands mail to another goes on in plaintext when STARTTLS is refused; so does the probe, and returns the refusal.
        """
        wanted, protocol = self.target["starttls"], self.target["protocol"]
        needed = wanted == "required" or ((protocol == "submission" or self.target["login"]) and not self._is_loopback())
        if wanted == "never":
            return None
        if not self.session.offers_tls:
            if needed:
                raise Stopped("starttls", "no_starttls", "STARTTLS is not offered")
            return None
        try:
            self._ask("starttls", self.session.ask_tls)
        except Stopped as stop:
            if needed or protocol not in ("smtp", "lmtp") or stop.outcome not in ("tempfail", "reject") or stop.code == 421:
                raise
            return stop
        self._handshake()
        self._list_capabilities(self.session.secured)
        return None

    def _handshake(self):
        name, doubt = self.target["name"].rstrip("."), self.doubt
        verify = self.options["verify"] and doubt is None
        with self._step("tls") as entry:
            self.stream.start_tls(tls.verifying(self.options["ca_file"]) if verify else tls.accepting(), name)
            session = self.stream.tls
            entry["answer"] = f"{session.version()} {session.cipher()[0]}"
        seen = tls.facts(session, name, False, doubt.error, doubt.code) if doubt else tls.facts(session, name, True if verify else None)
        self.seen["tls"] = seen
        if self.options["verify"]:
            self.journal.note("certificate", seen["verified"], seen["verify_error"] or "verified")

    def _is_loopback(self):
        address = _numeric(self.seen["address"] or self.target["name"])
        return address.is_loopback if address else self.target["name"] == "localhost"

    def _log_in(self, login):
        self._guard(login)
        self._ask("login", lambda: self.session.login(login["username"], login["password"], login["mechanism"]))
        if isinstance(self.session, (Imap, Pop3)):
            self._ask("mailbox", self._open_mailbox)

    def _open_mailbox(self):
        answer, count = self.session.mailbox()
        self.seen["mailbox"] = {"exists": count}
        return answer

    def _guard(self, login):
        """A password goes to the machine itself, or under TLS to a server that proved its name; else a hijacked name would collect it."""
        if self._is_loopback():
            return
        seen = self.seen.get("tls")
        if seen is None:
            raise Stopped("login", "no_starttls", "no password is sent without TLS")
        if not seen["verified"] and not login["unverified"]:
            raise Stopped("login", "tls_failed", f"no password is sent to a server that is not verified: {seen['verify_error']}")

    def _try_envelopes(self):
        """Ask whether mail would be taken. Only our own recipients decide ``ok``: whether a relay is open is the reader's to judge."""
        relay = self.target["relay_check"]
        refused = self._envelope("recipient", self.target["sender"], self.target["recipients"])
        if relay:
            self._envelope("relay", relay["sender"], [relay["recipient"]])
        if refused:
            raise refused

    def _envelope(self, kind, sender, recipients):
        """MAIL, RCPT for each recipient, RSET. Returns the first refusal as a Stopped, or None."""
        if not recipients:
            return None
        reply = self._ask("sender", lambda: self.session.sender(sender))
        refused = None
        if reply.code != 250:
            for recipient in recipients:
                refused = self._judge(kind, "sender", sender, recipient, reply)
        else:
            for recipient in recipients:
                reply = self._ask("recipient", lambda recipient=recipient: self.session.recipient(recipient))
                refused = refused or self._judge(kind, "recipient", sender, recipient, reply)
        self._ask("reset", self.session.reset)
        return refused

    def _judge(self, kind, step, sender, recipient, reply):
        accepted = step == "recipient" and reply.code in (250, 251)
        self.journal.steps[-1]["ok"] = accepted == (kind == "recipient")
        self.seen["envelope"].append({"kind": kind, "sender": clean(sender), "recipient": clean(recipient), "step": step, "code": reply.code,
                                      "answer": reply.text, "accepted": accepted})
        stop = None if accepted else Stopped(step, outcome_of(reply.code), reply.text, reply.code)
        # 421 announces that the server hangs up (RFC 5321 section 3.8).
        if reply.code == 421:
            raise stop
        return stop


def session_of(protocol, stream, helo):
    if protocol in _TAKES_MAIL:
        return Smtp(stream, helo, lmtp=protocol == "lmtp")
    return {"imap": Imap, "imaps": Imap, "pop3": Pop3, "pop3s": Pop3, "sieve": Sieve}[protocol](stream)


def _numeric(text):
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def settled_options(given):
    unknown = set(given) - set(DEFAULTS)
    if unknown:
        raise BadRequest(f"unknown options: {', '.join(sorted(unknown))}")
    options = dict(DEFAULTS, **{name: value for name, value in given.items() if value is not None})
    for name in ("connect", "step", "total", "overall", "workers"):
        if not options[name] > 0:
            raise BadRequest(f"{name} must be more than 0")
    if options["helo"] is not None and not re.fullmatch(r"[A-Za-z0-9._:\[\]-]{1,255}", options["helo"]):
        raise BadRequest("helo must be a host name or an address literal")
    if options["verify"]:
        try:
            tls.verifying(options["ca_file"])
        except OSError as problem:
            raise BadRequest(f"ca_file {options['ca_file']}: {problem}") from None
    hop = options["hop"]
    if hop is not None:
        for name in ("private_key_file", "known_hosts_file"):
            if hop.get(name) and not os.access(os.path.expanduser(hop[name]), os.R_OK):
                raise BadRequest(f"hop: {name} {hop[name]} cannot be read")
        options["hop"] = Hop(**{name: value for name, value in hop.items() if value is not None})
    options["vantage"] = options["vantage"] or (hop["host"] if hop else socket.gethostname())
    options["helo"] = options["helo"] or own_name()
    return options


def checked_target(given):
    """The target with every key present. Raises BadRequest."""
    where = f"endpoint {given.get('name')!r}"
    target = {"address": None, "starttls": "auto", "login": None, "sender": "", "recipients": [], "relay_check": None, "vantage": None}
    target.update({name: value for name, value in given.items() if value is not None})
    unknown = set(target) - {"name", "address", "port", "protocol", "starttls", "login", "sender", "recipients", "relay_check", "vantage"}
    if unknown:
        raise BadRequest(f"{where}: unknown keys: {', '.join(sorted(unknown))}")
    if not _is_name(target.get("name")):
        raise BadRequest(f"{where}: name must be a host name or an address")
    if target["address"] is None and _numeric(target["name"]):
        target["address"] = target["name"]
    if target["address"] is not None and not _numeric(target["address"]):
        raise BadRequest(f"{where}: address must be an IP address")
    _check_protocol(target, where)
    if target["starttls"] not in ("auto", "required", "never"):
        raise BadRequest(f"{where}: starttls must be auto, required or never")
    if target["login"]:
        target["login"] = _checked_login(target["login"], where)
    _check_envelope(target, where)
    return target


def _check_protocol(target, where):
    known = {port: protocol for protocol, port in PORTS.items()}
    target["protocol"] = target.get("protocol") or known.get(target.get("port"))
    if target["protocol"] not in PORTS:
        raise BadRequest(f"{where}: protocol must be one of {', '.join(PORTS)}")
    target["port"] = target.get("port") or PORTS[target["protocol"]]
    if not 0 < target["port"] < 65536:
        raise BadRequest(f"{where}: port must be 1 to 65535")


def _checked_login(given, where):
    login = {"mechanism": given.get("mechanism") or "", "unverified": bool(given.get("unverified"))}
    for name in ("username", "password"):
        login[name] = given.get(name)
        if not isinstance(login[name], str) or not login[name] or re.search(r"[\r\n\0]", login[name]):
            raise BadRequest(f"{where}: login needs a {name} of one line")
    if login["mechanism"] not in ("", "PLAIN", "LOGIN"):
        raise BadRequest(f"{where}: login mechanism must be PLAIN or LOGIN")
    return login


def _check_envelope(target, where):
    if target["relay_check"]:
        target["relay_check"] = {"sender": target["relay_check"].get("sender") or "", "recipient": target["relay_check"].get("recipient") or ""}
    relay = target["relay_check"] or {"sender": "", "recipient": "-"}
    if (target["recipients"] or target["relay_check"]) and target["protocol"] not in _TAKES_MAIL:
        raise BadRequest(f"{where}: recipients and relay_check are for {', '.join(_TAKES_MAIL)}")
    for address in [*target["recipients"], relay["recipient"], target["sender"] or "-", relay["sender"] or "-"]:
        if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
            raise BadRequest(f"{where}: not a mail address: {clean(address, 80)!r}")


def _is_name(name):
    if not isinstance(name, str) or not name:
        return False
    if _numeric(name):
        return True
    try:
        plain = name.rstrip(".").encode("idna").decode("ascii")
    except UnicodeError:
        return False
    return bool(re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", plain)) and len(plain) <= 253
