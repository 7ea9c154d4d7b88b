#!/usr/bin/env python3
"""What it costs to find one hour in a mail log, and how fast a log is scanned, against pflogsumm(1) and grep(1).

    python tests/bench/log_window.py --sizes 100M,1G,5G --json FILE

Writes Postfix and Dovecot logs of the sizes given (real lines, about 10 MB an hour), one at a time, and deletes each
afterwards. Measured in a process of its own each: our look at one hour in the middle of the file, ``grep -c`` for one text
and pflogsumm over all of the file; and on the smallest file our scan of everything. All signatures of the catalogue are
looked for (without PyYAML, or the catalogue: those of the unit tests). Seconds are processor time, starting included, the best
of several runs: a busy machine changes them little.
"""
from __future__ import annotations

import argparse
import glob
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "collections"), os.path.join(ROOT, "tests", "unit", "log")]

from ansible_collections.mailops.outage.plugins.module_utils.log import signatures, window  # noqa: E402
from ansible_collections.mailops.outage.plugins.module_utils.log.flow import Flow  # noqa: E402

MINUTE_BYTES = 150_000
BODIES = 24
UNITS = {"K": 1024, "M": 1024 ** 2, "G": 1024 ** 3}
SPARE = 1024 ** 3


def catalogue() -> dict:
    """The project's signatures, or those of the unit tests."""
    try:
        import yaml
    except ImportError:
        yaml = None
    found = {}
    for path in sorted(glob.glob(os.path.join(ROOT, "roles", "diagnose", "files", "catalogue", "*.yml"))) if yaml else ():
        with open(path, encoding="utf-8") as stream:
            for cause in yaml.safe_load(stream).values():
                found.update(cause.get("signatures") or {})
    if not found:
        from known import SIGNATURES
        found = SIGNATURES
    return found


def message(dice: random.Random) -> list:
    """The lines of one message or session, without stamps."""
    queue_id, pid = f"@MIN@{dice.getrandbits(20):05X}", dice.randrange(1000, 99999)
    peer = f"mail{dice.randrange(400)}.example.org[192.0.2.{dice.randrange(1, 255)}]"
    user = f"user{dice.randrange(3000)}"
    kind = dice.random()
    if kind < 0.20:
        session = f"{dice.getrandbits(60):015x}"
        return [f"mail dovecot: imap-login: Login: user=<{user}>, method=PLAIN, rip=192.0.2.9, lip=192.0.2.10, mpid={pid}, TLS, session=<{session}>",
                f"mail dovecot: imap({user})<{pid}><{session}>: Disconnected: Logged out in=120 out=3000 deleted=0 expunged=0 trashed=0 hdr_count=1 "
                f"hdr_bytes=400 "
                "body_count=0 body_bytes=0"]
    if kind < 0.22:
        return [f"mail dovecot: imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<{user}>, method=PLAIN, rip=192.0.2.66, "
                "lip=192.0.2.10, TLS, session=<x>"]
    if kind < 0.32:
        return [f"mail postfix/smtpd[{pid}]: connect from unknown[192.0.2.66]",
                f"mail postfix/smtpd[{pid}]: NOQUEUE: reject: RCPT from unknown[192.0.2.66]: 554 5.7.1 <{user}@elsewhere.test>: Relay access denied; "
                f"from=<a@b.test> "
                f"to=<{user}@elsewhere.test> proto=ESMTP helo=<b.test>",
                f"mail postfix/smtpd[{pid}]: disconnect from unknown[192.0.2.66] ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4"]
    lines = [f"mail postfix/smtpd[{pid}]: connect from {peer}",
             f"mail postfix/smtpd[{pid}]: {queue_id}: client={peer}",
             f"mail postfix/cleanup[{pid + 1}]: {queue_id}: message-id=<{queue_id}.{pid}@example.org>",
             f"mail postfix/qmgr[812]: {queue_id}: from=<sender{pid}@example.org>, size={dice.randrange(900, 90000)}, nrcpt=1 (queue active)",
             f"mail postfix/smtpd[{pid}]: disconnect from {peer} ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7"]
    to = f"mail postfix/smtp[{pid + 2}]: {queue_id}: to=<{user}@example.net>, relay="
    fate = dice.random()
    if fate < 0.88:
        lines.append(f"{to}mx.example.net[192.0.2.20]:25, delay=0.4, delays=0.1/0.02/0.2/0.1, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as {queue_id})")
    elif fate < 0.97:
        lines.append(f"{to}none, delay=30, delays=0.1/0/30/0, dsn=4.4.1, status=deferred (connect to mx.example.net[192.0.2.20]:25: Connection timed out)")
    else:
        lines.append(f"{to}mx.example.net[192.0.2.20]:25, delay=1, delays=0.1/0/0.4/0.5, dsn=5.1.1, status=bounced (host mx.example.net[192.0.2.20] "
                     f"said: 550 5.1.1 "
                     f"<{user}@example.net>: Recipient address rejected: User unknown in virtual mailbox table (in reply to RCPT TO command))")
    return lines + [f"mail postfix/qmgr[812]: {queue_id}: removed"]


def bodies() -> list:
    """Minutes of a log, with marks for the minute in its stamps and in the queue ids: those of a real log do not repeat."""
    dice = random.Random(4)
    found = []
    for _number in range(BODIES):
        lines, size = [], 0
        while size < MINUTE_BYTES:
            more = message(dice)
            lines += more
            size += sum(map(len, more))
        text = "".join(f"@MINUTE@:{60 * number // len(lines):02d} {line}\n" for number, line in enumerate(lines))
        found.append(text.encode())
    return found


def generate(path: str, size: int, end: float) -> tuple:
    """Write a log of about ``size`` bytes that ends at ``end``. Returns ``(first minute, last minute)`` in epoch seconds."""
    minutes = bodies()
    each = sum(map(len, minutes)) / len(minutes)
    count = max(120, int(size / each))
    begin = end - end % 60 - count * 60
    with open(path, "wb", buffering=8 * 1024 * 1024) as stream:
        for number in range(count):
            stamp = time.strftime("%b %e %H:%M", time.localtime(begin + number * 60)).encode()
            stream.write(minutes[number % BODIES].replace(b"@MINUTE@", stamp).replace(b"@MIN@", b"%05X" % number))
    os.utime(path, (end, end))
    return begin, begin + count * 60


def look(specs: dict, path: str, since: float, until: float) -> dict:
    """One look at a window, all that the events collector does for a file."""
    flow = Flow()
    scanner = signatures.Scanner(signatures.compile_all(specs), "mail", flow)
    reading = window.Reading(path)
    for block, clock in window.blocks(path, since, until, window.Budget(1 << 40, 3600), reading):
        reading.lines += scanner.feed(block, clock)
    return {"lines": reading.lines, "bytes": reading.bytes, "ordered": reading.ordered, "complete": reading.complete,
            "matches": {name: tally.result()["count"] for name, tally in scanner.tallies.items()}, "flow": flow.result()}


def timed(argv, times: int = 3) -> tuple:
    """``(processor seconds, output)`` of a command: the best of several runs."""
    best, output = None, b""
    for _attempt in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        output = subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        best = seconds if best is None else min(best, seconds)
    return best, output


def measure(size: int, directory: str, specs: str, scan: bool) -> dict:
    """All measurements on one log; ``specs``: a JSON file of the signatures, as a host is given them."""
    if shutil.disk_usage(directory).free < size + SPARE:
        raise SystemExit(f"{directory}: not enough free space for a log of {size} bytes and 1 GiB to spare")
    handle, path = tempfile.mkstemp(prefix="log_window.", suffix=".log", dir=directory)
    os.close(handle)
    try:
        begin, end = generate(path, size, time.time() - 60)
        result = {"size": os.path.getsize(path), "hours": round((end - begin) / 3600, 1)}
        middle = begin + (end - begin) // 120 * 60
        since, until = middle - 1800, middle + 1800 - 1
        ourselves = [sys.executable, os.path.abspath(__file__), "--look", specs, path]
        # Once before the clock runs: the file is in the page cache, as a log in use is.
        timed(["grep", "-c", "x", path], 1)
        result["window_seconds"], output = timed(ourselves + [str(since), str(until)])
        result["window"] = json.loads(output)
        result["grep_seconds"], _output = timed(["grep", "-c", "status=deferred", path])
        if shutil.which("pflogsumm"):
            result["pflogsumm_seconds"], _output = timed(["pflogsumm", path], 3 if size <= 256 * 1024 ** 2 else 1)
        if scan:
            result["scan_seconds"], output = timed(ourselves + [str(begin - 60), str(end + 60)])
            result["scan"] = json.loads(output)
        return result
    finally:
        os.unlink(path)


def ratios(results: list) -> dict:
    """What the numbers say: small is good for ``*_over_*``, large for ``*_speed``."""
    first, last = results[0], results[-1]
    found = {"window_largest_over_smallest": round(last["window_seconds"] / first["window_seconds"], 2),
             "size_largest_over_smallest": round(last["size"] / first["size"], 1),
             "window_over_grep": {name(each["size"]): round(each["window_seconds"] / each["grep_seconds"], 3) for each in results}}
    if "pflogsumm_seconds" in first:
        found["window_over_pflogsumm"] = {name(each["size"]): round(each["window_seconds"] / each["pflogsumm_seconds"], 4) for each in results}
        found["scan_speed_over_pflogsumm"] = round(first["pflogsumm_seconds"] / first["scan_seconds"], 2)
        found["scan_lines_per_second"] = int(first["scan"]["lines"] / first["scan_seconds"])
        found["pflogsumm_lines_per_second"] = int(first["scan"]["lines"] / first["pflogsumm_seconds"])
    return found


def name(size: int) -> str:
    return f"{size / UNITS['G']:.1f}G" if size >= UNITS["G"] * 0.9 else f"{size / UNITS['M']:.0f}M"


def show(results: list) -> None:
    print(f"{'size':>8} {'hours':>7} {'window':>9} {'lines':>8} {'grep -c':>9} {'pflogsumm':>10}   (processor seconds; the window is one hour)")
    for each in results:
        print(f"{name(each['size']):>8} {each['hours']:>7} {each['window_seconds']:>9.3f} {each['window']['lines']:>8} {each['grep_seconds']:>9.3f} "
              f"{each.get('pflogsumm_seconds', float('nan')):>10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="100M,1G", help="sizes of the logs, smallest first (default %(default)s)")
    parser.add_argument("--directory", default=tempfile.gettempdir(), help="where the logs are written (default %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there")
    parser.add_argument("--look", nargs=4, metavar=("SIGNATURES", "LOG", "SINCE", "UNTIL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.look:
        specs, path, since, until = arguments.look
        with open(specs, encoding="utf-8") as stream:
            print(json.dumps(look(json.load(stream), path, float(since), float(until))))
        return
    sizes = sorted(int(float(text[:-1]) * UNITS[text[-1]]) if text[-1] in UNITS else int(text) for text in arguments.sizes.upper().split(","))
    known = catalogue()
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=arguments.directory) as specs:
        json.dump(known, specs)
        specs.flush()
        results = [measure(size, arguments.directory, specs.name, number == 0) for number, size in enumerate(sizes)]
    summary = {"signatures": len(known), "ratios": ratios(results), "results": results}
    show(results)
    print(json.dumps(summary["ratios"], indent=2))
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as stream:
            json.dump(summary, stream, indent=2)


if __name__ == "__main__":
    main()
