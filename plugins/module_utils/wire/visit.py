"""A session with a mail server that goes as far as the login, and is then the caller's: what a probe does, without its end.

The trust in a server, STARTTLS and the rule for passwords are those of wire/probe.py.
"""
from __future__ import annotations

from contextlib import contextmanager

from ansible_collections.mailops.outage.plugins.module_utils.wire.probe import BROKEN, IMPLICIT_TLS, Look, session_of
from ansible_collections.mailops.outage.plugins.module_utils.wire.transport import Distrusted, Journal, Stopped, Stream


class Record(Journal):
    """A Journal that writes into a list shared with other conversations, and says of each entry whose it is: ``side``."""

    def __init__(self, steps: list, side: str):
        super().__init__()
        self.steps = steps
        self._side = side

    @contextmanager
    def step(self, name):
        with super().step(name) as entry:
            entry["side"] = self._side
            yield entry

    def note(self, name, ok, answer=""):
        super().note(name, ok, answer)
        self.steps[-1]["side"] = self._side


class Visit(Look):
    """``with Visit(...) as visit:`` opens the session (Stopped when it cannot), and ends it politely where the server still listens.

    ``target`` and ``options`` are settled as by wire.probe; ``until`` is on the monotonic clock; ``steps`` takes the entries.
    """

    def __init__(self, target, options, until, steps, side):
        super().__init__(target, options, until)
        self.journal = Record(steps, side)

    def __enter__(self):
        steps, mark = self.journal.steps, len(self.journal.steps)
        try:
            try:
                self._open()
            except Distrusted as doubt:
                self.stream.close()
                self.doubt = doubt
                del steps[mark:]
                self._open()
        except BaseException:
            if self.stream is not None:
                self.stream.close()
            raise
        return self

    def __exit__(self, _kind, problem, _trace):
        broken = isinstance(problem, Stopped) and (problem.outcome in BROKEN or problem.step == "tls")
        if (problem is None or isinstance(problem, Stopped)) and not broken:
            self._say_farewell()
        self.stream.close()
        return False

    def ask(self, name, action, seconds=None):
        """One step: the answer of ``action()`` is written down and returned. ``seconds`` in place of the step's time."""
        with self._step(name) as entry:
            if seconds is not None:
                self.stream.within(seconds)
            answer = action()
            entry["answer"] = answer.text
        return answer

    def patient(self):
        """Give the next exchange a step's time, without writing it down."""
        self.stream.within(self.options["step"])
        return self.session

    def _open(self):
        self.stream = self.session = None
        self.stream = Stream(self._connected(), self.until)
        protocol = self.target["protocol"]
        if protocol in IMPLICIT_TLS:
            self._handshake()
        self.session = session_of(protocol, self.stream, self.options["helo"])
        self.seen["banner"] = self._ask("greeting", self.session.greeting).text
        self._list_capabilities(self.session.capabilities)
        if protocol not in IMPLICIT_TLS:
            # What is returned is a refusal of STARTTLS that a mail server would put up with, and so does a canary without a login.
            self._upgrade()
        login = self.target["login"]
        if login:
            self._guard(login)
            self._ask("login", lambda: self.session.login(login["username"], login["password"], login["mechanism"]))
