"""The services beside the MTA and the IMAP server that mail stands still without: are they there, and do they answer?

Each is connected to and asked one harmless thing, for a process that is stopped still accepts connections. As root every socket
opens, so what the MTA's own user would see is told by the mode bits.
"""
from __future__ import annotations

import errno
import functools
import os
import re
import socket
import stat
import struct
import time

from ansible_collections.mailops.outage.plugins.module_utils.host import dovecot, postfix
from ansible_collections.mailops.outage.plugins.module_utils.host._accounts import accounts, obstacle, rights
from ansible_collections.mailops.outage.plugins.module_utils.host._bounded import side_by_side, within
from ansible_collections.mailops.outage.plugins.module_utils.host._endpoints import merged, of_dovecot, of_postfix, service_of
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_PATIENCE = 3.0
_MOST_ENDPOINTS = 30
_MOST_ANSWER = 8192

# Milter protocol (libmilter/mfdef.h): option negotiation, version 6, all actions and all steps offered; then quit.
_MILTER_OPTIONS = struct.pack(">IcIII", 13, b"O", 6, 0x1FF, 0x1FFFFF)
_MILTER_QUIT = struct.pack(">Ic", 1, b"Q")
# SMTPD_POLICY_README: a connection from the host itself. Without a recipient there is nothing that a greylist could remember.
_POLICY_REQUEST = (
    b"request=smtpd_access_policy\nprotocol_state=CONNECT\nprotocol_name=ESMTP\nclient_address=127.0.0.1\nclient_name=localhost\n"
    b"reverse_client_name=localhost\nhelo_name=\nsender=\ninstance=mailops.0\nsize=0\n\n"
)
# RFC 4511: an anonymous bind, then unbind.
_LDAP_BIND = bytes.fromhex("300c020101600702010304008000")
_LDAP_UNBIND = bytes.fromhex("30050201024200")
# PostgreSQL frontend protocol: SSLRequest, answered by one letter before any login.
_PGSQL_REQUEST = struct.pack(">II", 8, 80877103)

_FAILURES = {
    errno.ECONNREFUSED: "refused", errno.ENOENT: "missing", errno.EACCES: "denied", errno.EPERM: "denied", errno.ETIMEDOUT: "timeout",
    errno.EAGAIN: "timeout", errno.ENETUNREACH: "unreachable", errno.EHOSTUNREACH: "unreachable", errno.ECONNRESET: "no_answer", errno.EPIPE: "no_answer",
}


def _receive(stream, until: float, enough) -> bytes:
    """What the other side says until ``enough(data)``, its end of the connection, or the deadline (then TimeoutError when it said nothing)."""
    data = b""
    while len(data) < _MOST_ANSWER and not enough(data):
        stream.settimeout(max(0.01, until - time.monotonic()))
        try:
            chunk = stream.recv(4096)
        except socket.timeout:
            if data:
                break
            raise
        if not chunk:
            break
        data += chunk
    return data


def _line(data: bytes) -> bool:
    return b"\n" in data


def _greeting(stream, until: float) -> tuple:
    answer = _receive(stream, until, lambda data: re.search(rb"^\d{3}(?: .*)?\r?\n", data, re.M))
    good = answer.startswith(b"220")
    if good:
        stream.sendall(b"QUIT\r\n")
        _receive(stream, until, _line)
    return good, answer.partition(b"\n")[0]


def _milter(stream, until: float) -> tuple:
    stream.sendall(_MILTER_OPTIONS)
    answer = _receive(stream, until, lambda data: len(data) >= 9)
    good = len(answer) >= 9 and answer[4:5] == b"O"
    if good:
        stream.sendall(_MILTER_QUIT)
    return good, f"milter protocol version {struct.unpack('>I', answer[5:9])[0]}" if good else answer


def _policy(stream, until: float) -> tuple:
    stream.sendall(_POLICY_REQUEST)
    answer = _receive(stream, until, lambda data: b"\n\n" in data)
    return b"action=" in answer, answer.partition(b"\n")[0]


def _dovecot_auth(stream, until: float) -> tuple:
    # Dovecot's authentication protocol: the server speaks first; its cookie is not kept.
    answer = _receive(stream, until, lambda data: b"\nDONE\n" in data)
    mechanisms = re.findall(rb"^MECH\t([\w-]+)", answer, re.M)
    return answer.startswith(b"VERSION\t"), b"mechanisms " + b" ".join(mechanisms) if mechanisms else answer.partition(b"\n")[0]


def _ldap(stream, until: float) -> tuple:
    stream.sendall(_LDAP_BIND)
    answer = _receive(stream, until, lambda data: len(data) >= 14)
    good = answer[:1] == b"\x30"
    if good:
        stream.sendall(_LDAP_UNBIND)
    # The result code of a bind response: 0 success, 48 and 49 anonymous bind refused, 51 busy, 52 unavailable.
    code = answer[9] if len(answer) > 9 and answer[5:6] == b"\x61" else None
    return good and code not in (51, 52), f"LDAP result code {code}" if good else answer


def _mysql(stream, until: float) -> tuple:
    answer = _receive(stream, until, lambda data: len(data) > 5 and len(data) >= 4 + int.from_bytes(data[:3], "little"))
    if answer[4:5] == b"\xff":
        # An error packet instead of the greeting: too many connections, this host is blocked.
        return False, answer[7:]
    return len(answer) > 5, answer[5:].partition(b"\0")[0]


def _pgsql(stream, until: float) -> tuple:
    stream.sendall(_PGSQL_REQUEST)
    answer = _receive(stream, until, bool)
    return answer[:1] in (b"S", b"N", b"G"), "answers" if answer[:1] in (b"S", b"N", b"G") else answer


def _memcache(stream, until: float) -> tuple:
    stream.sendall(b"version\r\n")
    answer = _receive(stream, until, _line)
    return answer.startswith(b"VERSION"), answer


_TALKS = {
    "smtp": _greeting, "lmtp": _greeting, "milter": _milter, "policy": _policy, "dovecot-auth": _dovecot_auth,
    "ldap": _ldap, "mysql": _mysql, "pgsql": _pgsql, "memcache": _memcache,
}


def _open(kind: str, address: str, until: float):
    """A connected socket. Raises OSError; a name that does not resolve is a socket.gaierror."""
    if kind == "unix":
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            stream.settimeout(max(0.01, until - time.monotonic()))
            stream.connect(address)
        except OSError:
            stream.close()
            raise
        return stream
    host, _colon, port = address.rpartition(":")
    try:
        places = within(max(0.01, until - time.monotonic()), functools.partial(socket.getaddrinfo, host.strip("[]"), port, type=socket.SOCK_STREAM))
    except TimeoutError as problem:
        raise socket.gaierror(socket.EAI_AGAIN, "no answer from the resolver in time") from problem
    failure: OSError = ConnectionRefusedError(errno.ECONNREFUSED, "no address")
    for family, kind_of_socket, protocol, _name, place in places[:4]:
        stream = socket.socket(family, kind_of_socket, protocol)
        try:
            stream.settimeout(max(0.01, until - time.monotonic()))
            stream.connect(place)
            return stream
        except OSError as problem:
            stream.close()
            failure = problem
    raise failure


def ask(kind: str, address: str, protocol: str, patience: float = _PATIENCE) -> dict:
    """Connect and exchange the first words: ``{connect, answered, text, seconds}``.

    ``connect`` is ok, refused, missing, denied, timeout, unreachable, or no_answer (connected, but silent, hung up on or senseless);
    ``answered`` is null where there is nothing harmless to ask.
    """
    began = time.monotonic()
    until = began + patience
    connected = False
    try:
        with _open(kind, address, until) as stream:
            connected = True
            talk = _TALKS.get(protocol)
            answered, said = talk(stream, until) if talk else (None, "connected")
            text = clean(said, 200) or ("closed the connection without a word" if answered is False else "")
            outcome = "no_answer" if answered is False else "ok"
    except socket.gaierror as problem:
        outcome, answered, text = "unreachable", None, f"the name does not resolve: {problem.strerror}"
    except socket.timeout:
        outcome, answered = ("no_answer", False) if connected else ("timeout", None)
        text = f"no answer within {patience:g} s"
    except OSError as problem:
        outcome = "no_answer" if connected else _FAILURES.get(problem.errno, "unreachable")
        answered = False if connected else None
        text = "its queue of waiting connections is full" if problem.errno == errno.EAGAIN else clean(problem.strerror or problem)
    return {"connect": outcome, "answered": answered, "text": text, "seconds": round(time.monotonic() - began, 3)}


# By a name of its own, for tests: root is never refused.
_stat = os.stat


def listens(path: str, table: str) -> bool:
    """Whether /proc/net/unix, which everybody may read, shows a listener at ``path``. It keeps a path as it was bound, so its last two parts are compared."""
    wanted = path.split("/")[-2:]
    for line in table.splitlines()[1:]:
        fields = line.split(None, 7)
        # __SO_ACCEPTCON.
        if len(fields) == 8 and fields[3].endswith("10000") and fields[7].split("/")[-len(wanted):] == wanted:
            return True
    return False


def _socket_file(context, item: dict, user: str) -> dict:
    """What there is at a unix-domain socket's path: ``{exists, owner, group, mode, connect, text}``; ``connect`` is set when that settles the matter."""
    found: dict = {name: _UNSEEN[name] for name in ("exists", "owner", "group", "mode", "connect", "text")}
    known = accounts(context)
    try:
        state = _stat(item["address"])
    except PermissionError:
        context.cannot_see(item["address"], "permission denied")
        if listens(item["address"], context.read("/proc/net/unix", 8 * 1024 * 1024) or ""):
            return dict(found, exists=True, text="a process listens; whether it answers is not visible without root")
        return dict(found, connect="missing", text="no process listens at this path (/proc/net/unix)")
    except OSError:
        return dict(found, exists=False, connect="missing", text="no such file")
    described = rights(item["address"], state, known)
    found.update(exists=True, **{name: described[name] for name in ("owner", "group", "mode")})
    if not stat.S_ISSOCK(state.st_mode):
        return dict(found, connect="refused", text="not a socket")
    barrier = _barrier(item["address"], user, known) if item["asker"] == "mta" else ""
    return dict(found, connect="denied", text=barrier) if barrier else found


def _barrier(path: str, user: str, known) -> str:
    """What keeps ``user`` from connecting to the socket at ``path``, in words; empty when nothing does, or nothing that can be seen."""
    account = known.users.get(user)
    if account is None:
        return ""
    try:
        # Writing is what connect(2) needs of a socket, and searching of each directory on the way (unix(7)).
        place = obstacle(path, account.uid, account.groups, 2)
        owned = rights(place, os.stat(place), known) if place else {}
    except OSError:
        return ""
    return clean(f"user {user} may not pass {place} ({owned['owner']}:{owned['group']} {owned['mode']})") if place else ""


_UNSEEN = {"exists": None, "owner": None, "group": None, "mode": None, "connect": None, "answered": None, "seconds": 0.0, "text": ""}


def _look(context, item: dict, user: str) -> dict:
    facts = dict(_UNSEEN)
    if item["kind"] == "unix":
        facts.update(_socket_file(context, item, user))
    if facts["connect"] is None and (item["kind"] == "inet" or facts["mode"]):
        facts.update(ask(item["kind"], item["address"], item["protocol"]))
        if facts["connect"] == "denied" and os.geteuid() != 0:
            # It is we who may not; the mode bits above said that the MTA may.
            context.cannot_see(item["address"], "permission denied")
            facts.update(connect=None, text="not ours to connect to without root")
    return facts


def named(context) -> list:
    """The endpoints that the MTA's and the IMAP server's settings name, each with the ``service`` that should stand behind it; asked once a host."""
    return context.once("endpoints", lambda: _named(context))


def _named(context) -> list:
    mta, imap = postfix.settings(context), dovecot.settings(context)
    found = of_postfix(mta, context.read, postfix.domains(context)) if mta else []
    found += of_dovecot(imap["pairs"], context.read) if imap else []
    read = functools.lru_cache(maxsize=None)(lambda path: context.read(path) if os.path.exists(path) else None)
    return [dict(item, service=service_of(item, read)) for item in merged(found)[:_MOST_ENDPOINTS]]


def collect(context) -> dict:
    """``{endpoints: [{role, protocol, service, used_by, kind, address, exists, owner, group, mode, connect, answered, seconds, source, text}]}``.

    ``connect`` is null where it could not be seen; ``service`` names the entry of services.units behind it, null when unknown or elsewhere.
    All are asked side by side, each for at most three seconds.
    """
    items = named(context)
    user = (postfix.settings(context) or {}).get("mail_owner") or "postfix"
    answers = side_by_side(_PATIENCE + 1.0, [lambda item=item: _look(context, item, user) for item in items])
    endpoints = []
    for item, answer in zip(items, answers):
        facts = (answer or (None, None))[0]
        if facts is None:
            # A name server that does not answer, or a socket on a dead mount.
            facts = dict(_UNSEEN, connect="timeout", seconds=_PATIENCE + 1.0, text="no answer in time")
        source = f"ls -l {item['address']}" if item["kind"] == "unix" else item["used_by"]
        entry = {name: clean(item[name], 300) for name in ("role", "protocol", "used_by", "kind", "address")}
        endpoints.append(dict(entry, service=item["service"], **facts, source=clean(source)))
    return {"endpoints": endpoints}
