"""Asks name servers, with dnspython: each question once, over UDP and where needed TCP, within its time.

A name server that is silent at the first look is not asked again, so that it costs one time-out and not one a question.
"""
from __future__ import annotations

import threading
import time

from ansible_collections.mailops.outage.plugins.module_utils.dns.answer import Answer
from ansible_collections.mailops.outage.plugins.module_utils.dns.names import Server
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

try:
    import dns.exception
    import dns.flags
    import dns.message
    import dns.name
    import dns.query
    import dns.rcode
    import dns.resolver
    DNSPYTHON_MISSING = None
except ImportError as problem:
    DNSPYTHON_MISSING = problem

_ERRORS = {1: "garbage", 2: "servfail", 3: "nxdomain", 5: "refused"}
# Part of a question's time for the first packet; the rest is for the second, as UDP loses some.
_FIRST_TRY = 0.4
_MOST_AT_ONCE = 32
_SILENT_TWICE = 2


def system_servers() -> list:
    """The name servers of /etc/resolv.conf; empty when there are none."""
    try:
        system = dns.resolver.Resolver()
    except dns.exception.DNSException:
        return []
    return [Server(str(address), system.port) for address in system.nameservers]


def together(jobs: dict) -> dict:
    """Run the callables side by side; ``{key: what it returned}`` in the order of the jobs. The first failure is raised at the end.

    Each call has workers of its own, so that jobs may call this again.
    """
    done, failures = {}, []
    waiting = list(reversed(list(jobs.items())))

    def work():
        while waiting:
            try:
                key, job = waiting.pop()
            except IndexError:
                return
            try:
                done[key] = job()
            except Exception as failure:  # pylint: disable=broad-except
                failures.append(failure)

    threads = [threading.Thread(target=work, daemon=True) for _worker in range(min(len(waiting), _MOST_AT_ONCE))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return {key: done[key] for key in jobs}


def for_each(keys, ask) -> dict:
    """``{key: ask(key)}``, asked side by side."""
    return together({key: lambda key=key: ask(key) for key in keys})


def _name(value) -> str:
    text = value.to_text(omit_final_dot=True).lower()
    return "" if text in (".", "@") else clean(text, 255)


def _value(kind: str, record):
    if kind in ("A", "AAAA"):
        return record.address
    if kind == "MX":
        return record.preference, _name(record.exchange)
    if kind in ("NS", "PTR"):
        return _name(record.target)
    if kind == "TXT":
        return b"".join(record.strings).decode("utf-8", "replace")
    if kind == "SOA":
        return record.serial
    return record.usage, record.selector, record.mtype, record.cert.hex()


def read(response, kind: str, seconds: float = 0.0) -> Answer:
    """An Answer of dnspython's response. Whatever the server wrote, it raises nothing."""
    flags = {"authenticated": bool(response.flags & dns.flags.AD), "authoritative": bool(response.flags & dns.flags.AA), "seconds": seconds}
    code = response.rcode()
    if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return Answer(error=_ERRORS.get(int(code), "servfail"), **flags)
    try:
        chain = response.resolve_chaining()
        canonical = _name(chain.canonical_name)
        records = tuple(_value(kind, record) for record in chain.answer or ())
    except (dns.exception.DNSException, AttributeError, ValueError):
        return Answer(error="garbage", **flags)
    if records:
        return Answer(records=records, canonical=canonical, **flags)
    return Answer(error="nxdomain" if code == dns.rcode.NXDOMAIN else "no_data", canonical=canonical, **flags)


class Asker:
    """Questions to ``servers`` in their order. ``timeout``: seconds a question; ``until``: monotonic time when all must be over.

    Every question is asked once; who asks it at the same time waits for the same answer.
    """

    def __init__(self, servers, timeout: float, until: float, nameserver_port: int = 53):
        self.servers = list(servers)
        self.timeout = timeout
        self.until = until
        self.validating = False
        self._nameserver_port = nameserver_port
        self._silences = dict.fromkeys(self.servers, 0)
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(_MOST_AT_ONCE)
        self._asked: dict = {}

    def check(self, domains) -> list:
        """See which servers work, and keep only those: ``[{address, working, error, seconds}]``.

        A server works when it knows the root or one of the first domains; one that refuses everything does not.
        """
        questions = [("", "SOA")] + [(domain, "SOA") for domain in list(domains)[:3]]
        found = for_each([(server, question) for server in self.servers for question in questions], lambda pair: self._exchange(pair[0], *pair[1]))
        looks = []
        for server in self.servers:
            answers = [found[server, question] for question in questions]
            good = [answer for answer in answers if not answer.failed]
            heard = [answer for answer in answers if answer.error not in ("timeout", "no_answer", "garbage")]
            error = "" if good else (heard or answers)[0].error
            looks.append({"address": str(server), "working": bool(good), "error": error, "seconds": min(answer.seconds for answer in good or answers)})
            # Only a validating server has an opinion of its own on what is authentic (RFC 4035, 3.2.3).
            self.validating = self.validating or answers[0].authenticated
        self.servers = [server for server, look in zip(self.servers, looks) if look["working"]]
        return looks

    def ask(self, name: str, kind: str) -> Answer:
        """Ask the working servers one after the other, until one gives more than an excuse."""
        return self._once((name, kind), lambda: self._ask(name, kind))

    def ask_at(self, address: str, name: str, kind: str) -> Answer:
        """Ask the domain's own name server at ``address``, without recursion."""
        return self._once((address, name, kind), lambda: self._exchange(Server(address, self._nameserver_port), name, kind, recursive=False))

    def addresses(self, name: str) -> tuple:
        """``(addresses, error, canonical)`` of a name, of both families; the error is None when there is an address."""
        answers = for_each(("A", "AAAA"), lambda kind: self.ask(name, kind))
        found = [address for kind in ("A", "AAAA") for address in answers[kind].records]
        canonical = next((answer.canonical for answer in answers.values() if answer.canonical), name)
        failed = next((answer.error for answer in answers.values() if answer.failed), None)
        return found, None if found else failed or answers["A"].error, canonical

    def _once(self, key, ask) -> Answer:
        with self._lock:
            lock, answers = self._asked.setdefault(key, (threading.Lock(), []))
        with lock:
            if not answers:
                answers.append(ask())
            return answers[0]

    def _ask(self, name: str, kind: str) -> Answer:
        best = Answer(error="no_answer")
        alive = [server for server in self.servers if self._silences[server] < _SILENT_TWICE] or self.servers[:1]
        for server in alive:
            answer = self._exchange(server, name, kind)
            with self._lock:
                self._silences[server] = self._silences[server] + 1 if answer.error == "timeout" else 0
            if not answer.failed:
                return answer
            # SERVFAIL says more than silence.
            best = answer if best.error in ("no_answer", "timeout") else best
        return best

    def _exchange(self, server: Server, name: str, kind: str, recursive: bool = True) -> Answer:
        try:
            question = dns.message.make_query(dns.name.from_text(name or "."), kind, use_edns=0, payload=1232)
        except (dns.exception.DNSException, UnicodeError):
            return Answer(error="bad_name")
        # RFC 6840, 5.7: AD in a question asks for AD in the answer.
        question.flags = dns.flags.AD | (dns.flags.RD if recursive else 0)
        began = time.monotonic()
        error = "no_answer"
        for share in (_FIRST_TRY, 1 - _FIRST_TRY):
            with self._room:
                patience = min(self.timeout * share, self.until - time.monotonic())
                if patience <= 0:
                    break
                try:
                    response, _tcp = dns.query.udp_with_fallback(question, server.address, timeout=patience, port=server.port)
                except dns.exception.Timeout:
                    error = "timeout"
                    continue
                except (dns.exception.DNSException, OSError, EOFError, ValueError) as problem:
                    error = "no_answer" if isinstance(problem, OSError) else "garbage"
                    continue
            if response.rcode() == dns.rcode.FORMERR and question.edns >= 0:
                # Old servers stumble over EDNS (RFC 6891, 7).
                question.use_edns(-1)
                error = "garbage"
                continue
            return read(response, kind, round(time.monotonic() - began, 3))
        return Answer(error=error, seconds=round(time.monotonic() - began, 3))
