"""Probing through an SSH server: its sshd opens the TCP connections (``direct-tcpip``, RFC 4254 section 7.2).

The vantage point needs an SSH server that allows forwarding, and nothing else: no Python, no shell. Runs on the
controller and needs paramiko there.
"""
from __future__ import annotations

import logging
import os
import threading

from ansible_collections.mailops.outage.plugins.module_utils.wire.transport import Stopped, connect, outcome_of, resolve

# Reasons of RFC 4254 section 5.1.
_PROHIBITED, _CONNECT_FAILED = 1, 2
# What sshd says of a failed connection: strerror and gai_strerror of the vantage point, in English unless it was given a locale.
_WORDS = (
    ("name", "tempfail", ("temporary failure in name resolution", "try again")),
    ("name", "no_name", ("name or service not known", "unknown host", "no address associated", "nodename nor servname", "name does not resolve")),
    ("connect", "refused", ("refused",)),
    ("connect", "timeout", ("timed out",)),
    ("connect", "unreachable", ("unreachable", "no route", "not permitted", "permission denied", "cannot assign")),
)


def read_refusal(reason: int, words: str) -> tuple[str, str]:
    """(step, outcome) of a channel that was not opened. Step ``vantage``: the vantage point would not try; anything else is about the target."""
    if reason == _PROHIBITED:
        return "vantage", "reject"
    if reason != _CONNECT_FAILED:
        return "vantage", "protocol_error"
    lowered = words.lower()
    for step, outcome, phrases in _WORDS:
        if any(phrase in lowered for phrase in phrases):
            return step, outcome
    return "connect", "unreachable"


class Hop:
    """One SSH connection to a vantage point, opened by the first probe that needs it and shared by all.

    The server's host key must stand in ``known_hosts_file`` (else in the user's own file): an unknown or changed key is never accepted.
    Without ``private_key_file`` the agent and the user's own keys are tried. There is no password login.
    """

    def __init__(self, host: str, port: int = 22, user: str | None = None, private_key_file: str | None = None,
                 known_hosts_file: str | None = None, seconds: float = 10.0):
        self.host = host
        self._port = port
        self._user = user
        self._key = private_key_file and os.path.expanduser(private_key_file)
        self._known_hosts = known_hosts_file and os.path.expanduser(known_hosts_file)
        self._seconds = seconds
        self._lock = threading.Lock()
        self._client = None
        self._stopped = None

    def open(self) -> None:
        """Connect and log in, once. Raises Stopped with step ``vantage``, also at every later call: no_name, refused, timeout,
        unreachable, untrusted (host key), login_failed, protocol_error."""
        with self._lock:
            if self._stopped is not None:
                raise Stopped("vantage", self._stopped.outcome, self._stopped.answer)
            if self._client is None:
                try:
                    self._client = self._log_in()
                except Stopped as stop:
                    self._stopped = stop
                    raise Stopped("vantage", stop.outcome, stop.answer) from None

    def connect(self, target: str, port: int, seconds: float):
        """A channel to ``target`` (an address, or a name that the vantage point resolves) as a socket-like object.

        Raises Stopped: of step ``vantage`` when the vantage point failed, else of the target.
        """
        import paramiko

        self.open()
        transport = self._client.get_transport()
        try:
            return transport.open_channel("direct-tcpip", (target, port), ("127.0.0.1", 0), timeout=max(0.1, seconds))
        except (paramiko.SSHException, OSError, EOFError) as problem:
            raise self._explained(transport, problem) from None

    def _explained(self, transport, problem) -> Stopped:
        import paramiko

        # ChannelException has the reason and its standard text, and stands in where the server's words are not to be had.
        refusal = transport.refusal() or (problem.args if isinstance(problem, paramiko.ChannelException) else None)
        if refusal:
            step, outcome = read_refusal(*refusal)
            return Stopped(step, outcome, f"{self.host} would not connect: {refusal[1]}" if step == "vantage" else refusal[1])
        if transport.is_active():
            return Stopped("connect", "timeout", "timed out")
        return Stopped("vantage", "closed", f"{self.host}: {problem}")

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _log_in(self):
        import paramiko

        _quiet()
        address = resolve(self.host, self._port, self._seconds)[0]
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            if self._known_hosts:
                client.load_host_keys(self._known_hosts)
            else:
                client.load_system_host_keys()
            client.connect(
                self.host, self._port, username=self._user, pkey=self._private_key(), sock=connect(address, self._port, self._seconds),
                allow_agent=self._key is None, look_for_keys=self._key is None, timeout=self._seconds,
                banner_timeout=self._seconds, auth_timeout=self._seconds, transport_factory=_transport_class(),
            )
        except Stopped:
            client.close()
            raise
        except (paramiko.SSHException, OSError, EOFError, ValueError) as problem:
            client.close()
            words = "the host key has changed" if isinstance(problem, paramiko.BadHostKeyException) else problem
            raise Stopped("", _outcome(problem), f"{self.host}: {words}") from None
        return client

    def _private_key(self):
        """The key, read here: SSHClient would try the file as every kind of key, and report the last misfit in place of a refused login."""
        import paramiko

        try:
            return self._key and paramiko.PKey.from_path(self._key)
        except Exception as problem:  # pylint: disable=broad-except
            # cryptography and paramiko raise half a dozen unrelated classes for a file that is no key, or an encrypted one.
            raise Stopped("", "login_failed", f"{self._key}: {problem}") from None


def _outcome(problem) -> str:
    import paramiko

    # RejectPolicy raises a bare SSHException: only its words tell an unknown key from other failures.
    if isinstance(problem, paramiko.BadHostKeyException) or "not found in known_hosts" in str(problem):
        return "untrusted"
    if isinstance(problem, (paramiko.AuthenticationException, paramiko.PasswordRequiredException)) or "authentication methods" in str(problem):
        return "login_failed"
    return outcome_of(problem) if isinstance(problem, OSError) else "protocol_error"


def _quiet() -> None:
    """paramiko logs every refused channel as an error; without a handler Python would print it."""
    logger = logging.getLogger("paramiko")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
        logger.propagate = False


def _transport_class():
    import paramiko

    class Transport(paramiko.Transport):
        """Tells each thread why its own channel was refused.

        paramiko keeps the last refusal of all threads, and drops the server's words, which alone tell "refused" from "no route".
        """

        def __init__(self, *args, **kwargs):
            self._mine = threading.local()
            self._refusals = {}
            super().__init__(*args, **kwargs)

        def refusal(self):
            """(reason, words) of the calling thread's last channel, or None."""
            return self._refusals.pop(getattr(self._mine, "channel", None), None)

        def _next_channel(self):
            self._mine.channel = super()._next_channel()
            return self._mine.channel

        def _parse_channel_open_failure(self, m):
            channel, reason, words = m.get_int(), m.get_int(), m.get_text()
            self._refusals[channel] = (reason, words)
            m.rewind()
            return super()._parse_channel_open_failure(m)

    return Transport
