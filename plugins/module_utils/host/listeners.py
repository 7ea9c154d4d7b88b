"""Which process listens where, from /proc alone (proc_net_tcp(5), proc_pid_fd(5)): ss(8) may be missing."""
from __future__ import annotations

import os
import re
import socket
import struct

from ansible_collections.mailops.outage.plugins.module_utils.host import _processes
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

MAIL_PORTS = frozenset((24, 25, 110, 143, 465, 587, 993, 995, 4190))
_LISTEN = "0A"
_ACCEPTS = 0x10000  # __SO_ACCEPTCON of the flags in /proc/net/unix.
_MAIL_SOCKET = re.compile(
    r"^(?:private|public)/|postfix|dovecot|exim|opendkim|opendmarc|rspamd|amavis|clamav|clamd|spamd|postgrey|policyd|milter|saslauthd|lmtp|postsrsd")
_MOST_SOCKETS = 200
_MOST_HANDLES = 200000


def address_of(text: str) -> str:
    """The address that /proc/net/tcp and tcp6 write in the kernel's byte order, as hexadecimal words of 32 bits."""
    words = [struct.pack("=I", int(text[place:place + 8], 16)) for place in range(0, len(text), 8)]
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, b"".join(words))


def parse_tcp(text: str) -> list:
    """``[(address, port, inode)]`` of the listening sockets in a /proc/net/tcp or tcp6; a line that is none is skipped."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or fields[3] != _LISTEN:
            continue
        address, _colon, port = fields[1].partition(":")
        try:
            found.append((address_of(address), int(port, 16), int(fields[9])))
        except (ValueError, OSError, struct.error):
            continue
    return found


def parse_unix(text: str) -> list:
    """The paths of /proc/net/unix that something accepts connections on, with a name that mail software uses."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split(None, 7)
        if len(fields) < 8 or not re.fullmatch(r"[0-9A-Fa-f]+", fields[3]) or not int(fields[3], 16) & _ACCEPTS:
            continue
        if _MAIL_SOCKET.search(fields[7]):
            found.append(clean(fields[7]))
    return sorted(set(found))[:_MOST_SOCKETS]


def is_loopback(address: str) -> bool:
    return address.startswith(("127.", "::ffff:127.")) or address == "::1"


def _holders(inodes: set, pids) -> tuple:
    """``({inode: lowest pid that holds the socket}, complete)``; not complete when a process does not show its files to us."""
    found: dict = {}
    complete, seen = True, 0
    for pid in sorted(pids):
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except FileNotFoundError:
            continue
        except OSError:
            complete = False
            continue
        for name in names:
            seen += 1
            try:
                target = os.readlink(f"/proc/{pid}/fd/{name}")
            except OSError:
                continue
            if target.startswith("socket:["):
                found.setdefault(int(target[8:-1]), pid)
        if seen > _MOST_HANDLES:
            complete = False
            break
    return {inode: pid for inode, pid in found.items() if inode in inodes}, complete


def _ask(context) -> dict:
    rows = [row for name in ("tcp", "tcp6") for row in parse_tcp(context.read(f"/proc/net/{name}", 8 * 1024 * 1024) or "")]
    known = _processes.processes(context)
    holders, complete = _holders({inode for _address, _port, inode in rows}, known)
    tcp = []
    for address, port, inode in sorted(set(rows), key=lambda row: (row[1], row[0])):
        pid = holders.get(inode)
        process = known.get(pid)
        tcp.append({
            "address": address, "port": port, "loopback": is_loopback(address), "pid": pid, "process": process.name if process else None,
            "software": process.software or None if process else None, "unit": clean(_processes.unit_of(_processes.cgroups(pid))) or None if pid else None,
            "mail": port in MAIL_PORTS or bool(process and process.software),
        })
    complete = complete or all(entry["pid"] for entry in tcp)
    if not complete:
        context.cannot_see("processes behind listening ports", "needs root")
    return {"tcp": tcp, "unix": parse_unix(context.read("/proc/net/unix", 8 * 1024 * 1024) or ""), "complete": complete, "source": "ss -ltnp"}


def collect(context) -> dict:
    """``{tcp: [{address, port, loopback, pid, process, software, unit, mail}], unix: [paths], complete, source}``, asked once a host.

    ``process`` and ``unit`` are those of the first process that holds the socket: a mail system's master has the lowest number.
    Postfix's socket paths are relative to its queue directory. ``complete`` is False when some processes are hidden from us.
    """
    return context.once("listeners", lambda: _ask(context))
