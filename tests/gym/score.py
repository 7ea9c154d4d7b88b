"""What a diagnosis was worth, and what a repair did that it must not: every file of /etc, every message, everything left behind."""
from __future__ import annotations

import lab
from ledger import Ledger

# Compiled tables differ each time they are made.
_FILES = "find /etc -xdev -type f ! -name '*.db' ! -path '/etc/mailops/*' -exec sha256sum {} + | sort"
_LEFT = "ls /etc/systemd/system | grep mailops; postconf -n 2>/dev/null | grep -E '^(soft_bounce|defer_transports) '; ls /run/mailops/lock 2>/dev/null; true"


def solved(fault, diagnosis):
    """Whether the first cause is the true one; with several faults, whether the roots are exactly the true ones."""
    if diagnosis is None:
        return False
    truth = fault.get("causes")
    if truth:
        roots = {cause["id"] for cause in diagnosis["causes"] if cause["root"] and cause["confidence"] >= 0.5}
        return roots == set(truth)
    return diagnosis["causes"][0]["id"] == fault["cause"]


def files(hosts):
    """{(host, path): digest} of each file of /etc."""
    return {(host, line.split(maxsplit=1)[1]): line.split()[0] for host in hosts for line in lab.look(host, _FILES).splitlines()}


def left_behind(hosts):
    """Timers, locks and temporary settings of a repair that are still on a host: sentences."""
    return [f"{host}: left behind: {line}" for host in hosts for line in lab.look(host, _LEFT).splitlines() if line.strip()]


def amiss(counted):
    """The messages of a closed ledger that are lost or duplicated: sentences."""
    return [f"{counted[name]} messages {name}" for name in ("lost", "duplicated") if counted[name]]


def harm(before, broken, after, hosts, counted):
    """What a repair did that it must not: sentences."""
    touched = [f"{host}:{path} was changed although the fault did not touch it" for (host, path), digest in after.items()
               if digest not in (before.get((host, path)), broken.get((host, path))) and not path.endswith((".mailops-new", "~"))]
    return touched + amiss(counted) + left_behind(hosts)


def new_ledger(layout):
    """A ledger of messages to a mailbox of the layout. They are looked up in files, and not asked of Dovecot or Postfix, which may be what is broken."""
    hosts = lab.MAIL_HOSTS[layout]

    def copies(token):
        return len(lab.look(hosts[-1], f"find /home /srv/vmail -path '*/cur/*' -type f -o -path '*/new/*' -type f | xargs -r grep -ls {token}; true").splitlines())

    def queued(token):
        script = f"cd /var/spool/postfix && grep -rqs {token} active deferred hold incoming maildrop && echo yes; true"
        return any(lab.look(host, script) for host in hosts)
    return Ledger(lab.addresses(layout)[hosts[0]], f"alice@{lab.variable(layout, 'mail_domains')[0]}", copies, queued)
