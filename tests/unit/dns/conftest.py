"""A name server of our own on loopback, and answers from a table for the pure evaluators."""
from __future__ import annotations

import socket
import struct
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from ansible_collections.mailops.outage.plugins.module_utils.dns.answer import Answer


@pytest.fixture
def table():
    """``table({(name, kind): records or error})`` is an ``ask`` for the evaluators; what is not in it does not exist. ``.asked`` lists the questions."""
    def make(entries):
        def ask(name, kind):
            ask.asked.append((name, kind))
            entry = entries.get((name, kind), "nxdomain")
            return Answer(error=entry) if isinstance(entry, str) else Answer(records=tuple(entry), canonical=name)
        ask.asked = []
        return ask
    return make


class NameServer:
    """Answers from ``zone``, ``{(name, kind): [rdata as in a zone file] or a behaviour}``, over UDP and TCP on one port.

    Behaviours: nxdomain, no_data, servfail, refused, silent, garbage, truncated (UDP only; TCP has ``hidden``), and a dict
    ``{"alias": name}``. ``asked`` lists (name, kind, whether by TCP).
    """

    def __init__(self, zone, authenticated=False, authoritative=True):
        self.zone = zone
        self.hidden = {}
        self.asked = []
        self._flags = (dns.flags.AD if authenticated else 0) | (dns.flags.AA if authoritative else 0)
        self._stream = socket.create_server(("127.0.0.1", 0))
        self.port = self._stream.getsockname()[1]
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", self.port))
        self.address = f"127.0.0.1#{self.port}"
        for serve in (self._serve_datagrams, self._serve_streams):
            threading.Thread(target=serve, daemon=True).start()

    def close(self):
        for channel in (self._datagrams, self._stream):
            try:
                channel.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            channel.close()

    def _answer(self, packet, tcp):
        query = dns.message.from_wire(packet)
        question = query.question[0]
        name = question.name.to_text().lower().rstrip(".")
        kind = question.rdtype.name
        self.asked.append((name, kind, tcp))
        entry = self.zone.get((name, kind), "no_data" if any(known == name or known.endswith("." + name) for known, _kind in self.zone) else "nxdomain")
        if tcp and entry == "truncated":
            entry = self.hidden[(name, kind)]
        if entry in ("silent", "garbage"):
            return None if entry == "silent" else struct.pack(">H", query.id) + b"\x80\x00\xff\xff\xff"
        response = dns.message.make_response(query)
        response.flags |= self._flags
        if entry == "truncated":
            response.flags |= dns.flags.TC
        elif isinstance(entry, str):
            response.set_rcode({"nxdomain": dns.rcode.NXDOMAIN, "servfail": dns.rcode.SERVFAIL, "refused": dns.rcode.REFUSED,
                                "formerr": dns.rcode.FORMERR, "no_data": dns.rcode.NOERROR}[entry])
        else:
            owner = question.name
            if isinstance(entry, dict):
                response.answer.append(dns.rrset.from_text(owner, 60, "IN", "CNAME", entry["alias"] + "."))
                owner, entry = entry["alias"] + ".", self.zone.get((entry["alias"], kind), [])
            if entry:
                response.answer.append(dns.rrset.from_text(owner, 60, "IN", kind, *entry))
        return response.to_wire()

    def _serve_datagrams(self):
        while True:
            try:
                packet, peer = self._datagrams.recvfrom(4096)
                if not packet:
                    return
                reply = self._answer(packet, False)
                if reply is not None:
                    self._datagrams.sendto(reply, peer)
            except OSError:
                return

    def _serve_streams(self):
        while True:
            try:
                channel, _peer = self._stream.accept()
                with channel:
                    packet = channel.recv(4096)
                    reply = self._answer(packet[2:], True)
                    channel.sendall(struct.pack(">H", len(reply)) + reply)
            except OSError:
                return


@pytest.fixture
def name_server():
    """``name_server(zone, **kwargs)`` starts a NameServer; all end with the test."""
    servers = []

    def start(zone, **kwargs):
        servers.append(NameServer(zone, **kwargs))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
