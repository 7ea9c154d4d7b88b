#!/usr/bin/env python3
"""How soon arrived mail is noticed, and what a hundred accounts cost against one, on the Postfix and Dovecot of the lab's single host.

    python tests/bench/roundtrip.py --rounds 5 --json FILE

Noticing: a message is held up for a time after the server took it, then delivered. We wait for it as mail_roundtrip does; the peers are swaks(1),
which sends, and after it check_imap_receive of the Nagios plugins (the real one, of Debian's monitoring-plugins-contrib), which logs in once and
searches every five seconds by default, every second at best. When it was delivered says Dovecot's log; the hosts of the lab share one clock. A peer
has noticed when it ends, which is when it says so. All three wait side by side, each in a mailbox of its own, begun so far apart that the start of one
does not slow down another that has just got its mail.

Accounts: one that sends to itself (submission, then IMAP, both with TLS and login), then a hundred side by side, in turn. Every check waits a second
for second copies. Where the processor time went is measured: our process, the mail host (which runs on the same cores), others, idle. ``floor`` is
the ratio that this machine could reach at best, had nobody else used it: the processor time of a hundred spread over all cores, against one.
Measured with both password hashes that Debian knows well, for to check them is most of the host's work: yescrypt (the default) and SHA-512.
"""
from __future__ import annotations

import argparse
import concurrent.futures
import datetime
import functools
import json
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "collections"), str(ROOT / "tests/lab")]

from ansible_collections.mailops.outage.plugins.module_utils.wire import roundtrip  # noqa: E402
from ansible_collections.mailops.outage.plugins.module_utils.wire.mailbox import ImapBox  # noqa: E402
from labkit import hosts, settings  # noqa: E402

HOST, DOMAIN = hosts.MAIL, hosts.MAIL.domain
CA_FILE = str(settings.STATE / "ca.pem")
CHECK = "/usr/lib/nagios/plugins/check_imap_receive"
NEEDED = {"swaks": "swaks", CHECK: "monitoring-plugins-contrib", "unshare": "util-linux"}
# Seconds that a message is held up, each time a little more or less; longer than SOON is beyond the aim.
DELAYS, SPREAD, SOON = (0, 0.7, 3, 8, 15), 0.25, 10
APART = 1.25
INTERVALS = (5, 1)
ACCOUNTS = 100
HASHES = ("YESCRYPT", "SHA512")
# Who awaits what in which mailbox.
OURS, PEERS = "alice", {5: "bob", 1: "carol"}
HOLD = r"""
postconf -e mailbox_transport= 'mailbox_command = sh -c "sleep ${EXTENSION:-0}; exec /usr/lib/dovecot/dovecot-lda -f \"$SENDER\" -a \"$RECIPIENT\""'
postfix reload
"""
# A name of the lab is known to the lab's hosts only: the peer gets a hosts file of its own, and the machine keeps its.
AT_HOSTS = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"')


def lab(*words, data=None):
    return subprocess.run([str(ROOT / "tests/lab/lab"), *words], input=data, stdout=subprocess.PIPE, check=True, text=True).stdout


def on_host(script, data=None):
    return lab("exec", HOST.name, "bash", "-c", "set -e\n" + script, data=data)


def server(protocol, user):
    return {"name": HOST.fqdn, "address": HOST.address, "protocol": protocol, "login": {"username": user, "password": f"lab-{user}"}}


def pair(user, extension=""):
    return {"sender": f"{user}@{DOMAIN}", "recipient": f"{user}{extension}@{DOMAIN}", "through": server("submission", user), "mailbox": server("imaps", user)}


class Watched(ImapBox):
    """Says when mail was noticed, on the clock of the hosts."""

    noticed = 0.0

    def wait(self, token, until):
        found = super().wait(token, until)
        Watched.noticed = time.time()
        return found


def ours(extension):
    """``(message id, accepted, noticed)`` in epoch seconds."""
    [leg] = roundtrip.run([pair(OURS, extension)], {"ca_file": CA_FILE})
    if not leg["ok"]:
        sys.exit(f"roundtrip: our own check failed: {leg['outcome']} at {leg['step']}: {leg['answer']}")
    return leg["message_id"], Watched.noticed - leg["arrival_seconds"], Watched.noticed


def peer(interval, hosts_file, extension):
    """As ``ours``, by swaks and check_imap_receive."""
    user = PEERS[interval]
    token = f"bench-{random.getrandbits(64):016x}"
    accepted = None
    sending = ["swaks", "--server", HOST.address, "--port", "587", "--tls", "--auth", "PLAIN", "--auth-user", user, "--auth-password", f"lab-{user}",
               "--from", f"{user}@{DOMAIN}", "--to", f"{user}{extension}@{DOMAIN}", "--header", f"Subject: {token}",
               "--header", f"Message-Id: <{token}@{DOMAIN}>", "--body", "a message of a benchmark"]
    with subprocess.Popen(sending, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            if "Ok: queued as" in line:
                accepted = time.time()
    awaiting = [*AT_HOSTS, hosts_file, CHECK, "-H", HOST.fqdn, "--ssl", "--ssl-ca-file", CA_FILE, "-U", user, "-P", f"lab-{user}",
                "-s", "SUBJECT", "-s", token, "--imap-check-interval", str(interval), "--imap-retries", str(60 // interval), "--nodelete"]
    ended = subprocess.run(awaiting, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True)
    noticed = time.time()
    if accepted is None or ended.returncode:
        sys.exit(f"roundtrip: the peer failed: {ended.stdout[-500:] if accepted else 'swaks sent nothing'}")
    return f"<{token}@{DOMAIN}>", accepted, noticed


def noticing(rounds):
    """``{delay: {who: [(accepted to noticed, delivered to noticed)]}}`` in seconds."""
    on_host(HOLD)
    roundtrip.ImapBox = Watched
    dice = random.Random(7)
    seen = {}
    with tempfile.NamedTemporaryFile("w", suffix=".hosts") as hosts_file:
        hosts_file.write(f"127.0.0.1 localhost\n{HOST.address} {HOST.fqdn}\n")
        hosts_file.flush()
        ways = {f"every_{interval}_s": lambda held, interval=interval: peer(interval, hosts_file.name, held) for interval in INTERVALS}
        ways["ours"] = ours
        # Each once before it counts: what starts first starts slowly.
        for go in ways.values():
            go("+0")
        for number in range(rounds):
            for delay in DELAYS:
                held = f"+{delay + dice.uniform(-SPREAD, SPREAD):.2f}" if delay else "+0"
                for name, times in side_by_side(ways, held).items():
                    seen.setdefault(delay, {}).setdefault(name, []).append(times)
            print(f"roundtrip: round {number + 1} of {rounds}", flush=True)
    delivered = deliveries()
    return {delay: {name: [(noticed - accepted, noticed - delivered[identity]) for identity, accepted, noticed in times] for name, times in of.items()}
            for delay, of in seen.items()}


def side_by_side(ways, held):
    with concurrent.futures.ThreadPoolExecutor(len(ways)) as pool:
        waiting = {}
        for name, go in ways.items():
            waiting[name] = pool.submit(go, held)
            time.sleep(APART)
        return {name: future.result() for name, future in waiting.items()}


def deliveries():
    """``{message id: epoch seconds}`` of what Dovecot saved."""
    lines = on_host("grep 'saved mail to INBOX' /var/log/mail.log")
    return {identity: datetime.datetime.fromisoformat(stamp).timestamp() for stamp, identity in re.findall(r"^(\S+) .*msgid=(<\S+>): saved", lines, re.M)}


def summary(seen):
    """What the times say, by delay."""
    found = {}
    for delay, of in seen.items():
        found[str(delay)] = {name: {"after_delivery_ms": spread([1000 * lag for _whole, lag in times], 0),
                                    "after_acceptance_seconds": spread([whole for whole, _lag in times], 3)} for name, times in sorted(of.items())}
        for interval in INTERVALS:
            name = f"every_{interval}_s"
            found[str(delay)][f"ours_over_{name}"] = round(statistics.median(whole for whole, _lag in of["ours"])
                                                           / statistics.median(whole for whole, _lag in of[name]), 3)
    return found


def spread(values, digits):
    return {name: round(of(values), digits) for name, of in (("median", statistics.median), ("lowest", min), ("highest", max))} | {"runs": len(values)}


def processor():
    """Seconds so far: of our process, of the mail host, busy of all cores."""
    mine = os.times()
    with open("/proc/stat", encoding="ascii") as stream:
        ticks = [int(word) for word in stream.readline().split()[1:9]]
    busy = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
    return mine.user + mine.system, host_processor(), busy


@functools.lru_cache(maxsize=1)
def group():
    """The control group of the mail host."""
    return subprocess.run(["podman", "inspect", HOST.container, "--format", "{{.State.CgroupPath}}"], stdout=subprocess.PIPE, check=True,
                          text=True).stdout.strip()


def host_processor():
    folder = group()
    old = pathlib.Path("/sys/fs/cgroup/cpuacct" + folder, "cpuacct.usage")
    if old.exists():
        return int(old.read_text(encoding="ascii")) / 1e9
    return int(re.search(r"usage_usec (\d+)", pathlib.Path("/sys/fs/cgroup" + folder, "cpu.stat").read_text(encoding="ascii")).group(1)) / 1e6


def verified(count):
    """``{seconds, ours, host, others}`` of so many accounts side by side; the last three are processor time."""
    before, began = processor(), time.monotonic()
    legs = roundtrip.run([pair(f"bench{number}") for number in range(1, count + 1)], {"ca_file": CA_FILE})
    seconds, after = time.monotonic() - began, processor()
    bad = [leg for leg in legs if not leg["ok"]]
    if bad:
        sys.exit(f"roundtrip: {len(bad)} of {count} accounts failed: {bad[0]['outcome']} at {bad[0]['step']}: {bad[0]['answer']}")
    mine, host, busy = (late - early for early, late in zip(before, after))
    return {"seconds": seconds, "ours": mine, "host": host, "others": max(0.0, busy - mine - host)}


def accounts(method, runs):
    """One against a hundred, in turn; ``method`` is the hash of their passwords."""
    on_host(f"chpasswd -c {method}", "".join(f"bench{number}:lab-bench{number}\n" for number in range(1, ACCOUNTS + 1)))
    verified(1)
    measured = [(verified(1), verified(ACCOUNTS)) for _run in range(runs)]
    one = statistics.median(single["seconds"] for single, _many in measured)
    many = {key: round(statistics.median(many[key] for _single, many in measured), 2) for key in ("seconds", "ours", "host", "others")}
    return {"ratio": spread([many["seconds"] / single["seconds"] for single, many in measured], 2), "one_seconds": round(one, 2),
            "many_seconds": many.pop("seconds"), "processor_seconds": many, "cores": os.cpu_count(),
            "floor": round((many["ours"] + many["host"]) / os.cpu_count() / one, 2)}


def aims(found):
    """Whether what was aimed at was reached."""
    soon = [of for delay, of in found["noticed"].items() if float(delay) <= SOON]
    slower = [of["ours"]["after_acceptance_seconds"]["median"] - of[f"every_{interval}_s"]["after_acceptance_seconds"]["median"]
              for of in found["noticed"].values() for interval in INTERVALS]
    return {"noticed_within_100_ms_up_to_10_s": all(of["ours"]["after_delivery_ms"]["median"] <= 100 for of in soon),
            "no_slower_than_peers_by_100_ms": max(slower) <= 0.1,
            **{f"under_5_times_one_{method.lower()}": of["ratio"]["median"] < 5 for method, of in found["accounts"].items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="messages for each delay (default %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="times that the accounts are verified (default %(default)s)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the numbers there")
    chosen = parser.parse_args()
    missing = sorted({package for program, package in NEEDED.items() if not shutil.which(program)})
    if missing:
        sys.exit(f"roundtrip: these Debian packages are missing: {' '.join(missing)}; all of them: tests/bench/packages.txt")
    lab("up", "single")
    try:
        lab("reset", HOST.name)
        on_host("newusers", "".join(f"bench{number}:{number}::::/home/bench{number}:/usr/sbin/nologin\n" for number in range(1, ACCOUNTS + 1)))
        found = {"accounts": {}}
        for method in HASHES:
            found["accounts"][method] = accounts(method, chosen.runs)
            print(f"roundtrip: {ACCOUNTS} accounts, {method}: {found['accounts'][method]}", flush=True)
        before, began = processor(), time.monotonic()
        found["noticed"] = summary(noticing(chosen.rounds))
        mine, host, busy = (late - early for early, late in zip(before, processor()))
        # Above 0.8 or so, what is measured is how long one waits for a core.
        found["busy_cores_while_noticing"] = {"all": round(busy / (time.monotonic() - began) / os.cpu_count(), 2),
                                              "ours_and_host": round((mine + host) / (time.monotonic() - began) / os.cpu_count(), 2)}
    finally:
        lab("down")
    found["aims"] = aims(found)
    print(json.dumps(found, indent=1))
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
