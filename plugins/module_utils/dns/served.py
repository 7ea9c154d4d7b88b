"""What is really served where DNS points.

The certificate behind a TLSA record, the MTA-STS policy, and whether a host that is not known as ours takes our mail.

Nothing here sends a message: a session to port 25 ends after RCPT.
"""
from __future__ import annotations

import http.client
import re
import socket
import ssl
import time

from ansible_collections.mailops.outage.plugins.module_utils.dns import mta_sts, names
from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.wire import probe as wire_probe
from ansible_collections.mailops.outage.plugins.module_utils.wire import tls
from ansible_collections.mailops.outage.plugins.module_utils.wire.smtp import Smtp
from ansible_collections.mailops.outage.plugins.module_utils.wire.transport import Stopped, Stream, bounded, connect, own_name

_STEP = 5.0
_POLICY_PATH = "/.well-known/mta-sts.txt"
_CLIENT_PORTS = ("submission", "submissions", "imap", "imaps")
# How servers say that a domain is not theirs; other refusals may be about us who ask, and prove nothing.
_NOT_THEIRS = re.compile(r"relay|not local|no such domain|unrouteable|unknown domain|domain not found|not our|5\.1\.2\b", re.I)


def certificate(host: str, address: str, patience: float = 10.0, port: int = 25) -> bytes | None:
    """The certificate (DER) that an MX host serves behind STARTTLS, whatever it is; None when none could be had within ``patience`` seconds."""
    until = time.monotonic() + patience
    try:
        stream = Stream(connect(address, port, patience), until)
    except Stopped:
        return None
    try:
        stream.within(patience)
        session = Smtp(stream, own_name())
        session.greeting()
        session.capabilities()
        if not session.offers_tls:
            return None
        session.ask_tls()
        stream.start_tls(tls.accepting(), host)
        found = stream.tls.getpeercert(True)
        session.quit()
        return found
    except (Stopped, ValueError):
        return None
    finally:
        stream.close()


def policy(domain: str, addresses, ca_file: str | None = None, patience: float = 8.0, port: int = 443) -> dict:
    """The MTA-STS policy of ``domain`` from its web server at ``addresses`` (RFC 8461, 3.3): verified, no redirects, bounded.

    Raises OSError, or ValueError with what is wrong.
    """
    return bounded(lambda: _policy(f"mta-sts.{domain}", list(addresses)[:2], ca_file, port), patience)


def _policy(host: str, addresses: list, ca_file: str | None, port: int) -> dict:
    context = ssl.create_default_context(cafile=ca_file)
    failure: OSError = OSError("no address")
    for address in addresses:
        try:
            with socket.create_connection((address, port), _STEP) as raw, context.wrap_socket(raw, server_hostname=host) as channel:
                channel.sendall(f"GET {_POLICY_PATH} HTTP/1.1\r\nHost: {host}\r\nAccept: text/plain\r\nConnection: close\r\n\r\n".encode("ascii"))
                response = http.client.HTTPResponse(channel, method="GET")
                response.begin()
                if response.status != 200:
                    raise ValueError(f"the web server answers {response.status}")
                return mta_sts.parse_policy(response.read(mta_sts.MOST_POLICY_BYTES).decode("utf-8", "replace"))
        except http.client.HTTPException as problem:
            raise ValueError(f"not an answer of a web server: {type(problem).__name__}") from problem
        except OSError as problem:
            failure = problem
    raise failure


def takes_mail(host: str, address: str, domain: str, port_25_open: bool, patience: float = 12.0, port: int = 25) -> tuple:
    """Whether the host at ``address`` would take mail for ``domain``: ``(True, False or None for unknown, what it said)``.

    Asked for the postmaster, whom every domain must accept (RFC 5321, 4.5.1). Silence proves something only where port 25
    of other hosts is known to be open to us, or the address is a private one.
    """
    target = {"name": host, "address": address, "port": port, "protocol": "smtp", "sender": "", "recipients": [f"postmaster@{domain}"]}
    seen = wire_probe.probe(target, {"verify": False, "connect": _STEP, "step": 8.0, "total": patience, "overall": patience})
    said = clean(f"{seen['outcome']} {seen['answer']}", 200)
    if any(item["accepted"] for item in seen["envelope"]):
        return True, said
    if seen["outcome"] == "reject":
        return (False if _NOT_THEIRS.search(seen["answer"]) else None), said
    if seen["outcome"] == "refused":
        return False, said
    if seen["outcome"] in ("timeout", "unreachable") and seen["step"] == "connect":
        return (False if port_25_open or not names.is_global(address) else None), said
    return None, said


def serves_clients(name: str, address: str, patience: float = 8.0) -> tuple:
    """Whether a mail service for ``name`` answers at ``address``, as behind a load balancer: ``(True, False or None, what was seen)``.

    Only a certificate for the name proves it; a certificate for others, or nothing there at all, disproves it.
    """
    targets = [{"name": name, "address": address, "protocol": protocol} for protocol in _CLIENT_PORTS]
    seen = wire_probe.probe_all(targets, {"verify": False, "connect": 4.0, "step": 4.0, "total": patience, "overall": patience})
    secured = [item for item in seen if item["tls"]]
    said = clean("; ".join(f"{item['port']}: {item['outcome']}" for item in seen), 200)
    if any(item["tls"]["name_matches"] for item in secured):
        return True, said
    if secured or all(item["outcome"] == "refused" for item in seen):
        return False, said
    return (False if all(item["outcome"] == "unreachable" for item in seen) and not names.is_global(address) else None), said
