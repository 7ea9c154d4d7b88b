"""The mail queue: how much waits, since when, and why. It is only ever read."""
from __future__ import annotations

import itertools
import json
import os
import re
import time
from collections import Counter

from ansible_collections.mailops.outage.plugins.module_utils.host import _mail, _processes
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_MOST_ENTRIES = 20000
_MOST_BYTES = 16 * 1024 * 1024
_MOST_FILES = 200000
_MOST_READ = 2000
_QUEUES = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt")
_EXIM_SPOOL = "/var/spool/exim4"
# A queue file has a name like an id (postconf(5) enable_long_queue_ids); maildrop holds the short form too.
_QUEUE_FILE = re.compile(r"^[0-9A-Za-z]{5,30}$")
_TIME_RECORD = re.compile(rb"T[\x0a-\x12](\d{9,10})(?: \d{1,6})?[A-Za-z]")
_AGE = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

# What differs between two deferrals for the same cause, in this order.
_ADDRESS = re.compile(r"<?[\w.+=/#!%&'*{}|~^-]+@[\w.-]+>?")
_NAMED_HOST = re.compile(r"\b[\w-]+(?:\.[\w-]+)+\[(?:[0-9a-fA-F.:]+|unknown)\](?=:\d|\s|$)")
_BARE_IP = re.compile(r"\[(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]+)\]|\b\d{1,3}(?:\.\d{1,3}){3}\b")
_LOOKED_UP = re.compile(r"\bname=\S+")
_QUEUED_AS = re.compile(r"\b(?=[0-9A-F]*\d)[0-9A-F]{8,15}\b|\b(?=\w*\d)(?=\w*[a-zA-Z])[0-9A-Za-z]{12,}\b")
_SOCKET = re.compile(r"\[((?:private|public|/)[^\]]*)\]")


def reason_class(text: str) -> str:
    """A deferral's reason without what is one message's own: addresses, ids, host names with their IP address.

    Ports, socket names, status codes and the words stay, so that equal causes get equal text.
    """
    text = clean(text, 300)
    text = _NAMED_HOST.sub("HOST[ip]", text)
    text = _ADDRESS.sub("<address>", text)
    text = _BARE_IP.sub("[ip]", text)
    text = _LOOKED_UP.sub("name=NAME", text)
    return clean(_QUEUED_AS.sub("ID", text), 200)


def _domain(address: str) -> str:
    """The domain of an address; a bounce has none, nor has a local name."""
    if "@" in address:
        return clean(address, 320).rpartition("@")[2].rstrip(">").lower()
    return "MAILER-DAEMON" if _is_bounce(address) else "(local)"


def _is_bounce(sender: str) -> bool:
    return sender in ("", "<>") or sender.upper() == "MAILER-DAEMON"


def parse_entries(text: str) -> list:
    """The queue entries of ``postqueue -j``: one JSON object a line; a line cut short is left out."""
    found = []
    for line in text.split("\n"):
        try:
            entry = json.loads(line) if line.startswith("{") else None
        except ValueError:
            continue
        if isinstance(entry, dict):
            found.append(entry)
    return found


def _moment(entry: dict) -> float | None:
    value = entry.get("arrival_time")
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def _recipients(entry: dict) -> list:
    listed = entry.get("recipients")
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def _oldest(entries: list, now: float) -> int | None:
    moments = [moment for moment in map(_moment, entries) if moment is not None]
    return max(0, int(now - min(moments))) if moments else None


def _reasons(entries: list, most: int = 10) -> list:
    """Why entries wait, the most frequent reason first; a message counts once for each of its reasons."""
    groups: dict = {}
    for entry in entries:
        seen = {}
        for recipient in _recipients(entry):
            text = recipient.get("delay_reason")
            if text:
                seen.setdefault(reason_class(text), []).append((clean(text, 300), _domain(str(recipient.get("address", "")))))
        for name, items in seen.items():
            group = groups.setdefault(name, {"count": 0, "domains": Counter(), "sample": items[0][0]})
            group["count"] += 1
            group["domains"].update({domain for _text, domain in items})
    ranked = sorted(groups.items(), key=lambda item: (-item[1]["count"], item[0]))[:most]
    return [{
        "text": name, "count": group["count"], "transport": _transport(name), "sample": _ADDRESS.sub("<address>", group["sample"]),
        "destination": next(iter(group["domains"])) if len(group["domains"]) == 1 else None, "destinations": len(group["domains"]),
    } for name, group in ranked]


def _transport(text: str) -> str | None:
    """The local socket that a reason names (``private/dovecot-lmtp``)."""
    match = _SOCKET.search(text)
    return match.group(1) if match else None


def summary(entries: list, now: float) -> dict:
    """Counts, ages, senders, destinations and reasons of the queue entries at ``now`` (epoch seconds)."""
    by_queue = {name: [entry for entry in entries if entry.get("queue_name") == name] for name in ("incoming", "active", "deferred", "hold", "maildrop")}
    addresses = Counter(str(entry.get("sender") or "") for entry in entries)
    senders = Counter(_domain(address) for address in addresses.elements())
    domains = Counter(domain for entry in entries for domain in {_domain(str(item.get("address", ""))) for item in _recipients(entry)})
    real = [count for address, count in addresses.items() if not _is_bounce(address)]
    return {
        "counts": {name: len(by_queue[name]) for name in by_queue},
        "oldest_seconds": _oldest(entries, now),
        "oldest_deferred_seconds": _oldest(by_queue["deferred"], now),
        "bytes": sum(entry["message_size"] for entry in entries if isinstance(entry.get("message_size"), int)),
        "reasons": _reasons(by_queue["deferred"] + by_queue["active"]),
        "hold_reasons": _reasons(by_queue["hold"], 5),
        "senders": [{"sender_domain": name, "count": count} for name, count in _top(senders)],
        "sender_share": round(max(real) / len(entries), 2) if real else 0.0,
        "destinations": [{"domain": name, "count": count} for name, count in _top(domains)],
        "bounces": len(entries) - sum(real),
    }


def _top(counter: Counter, most: int = 5) -> list:
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:most]


def _queue_files(folder: str):
    """The paths of the queue files in one queue directory, hashed subdirectories (one character each) included. Raises OSError."""
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if len(entry.name) == 1 and entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif _QUEUE_FILE.match(entry.name):
                    yield entry.path


def count_files(folder: str, most: int = _MOST_FILES) -> int | None:
    """How many queue files a queue directory holds, at most ``most``; None when it cannot be read."""
    try:
        return sum(1 for _path in itertools.islice(_queue_files(folder), most))
    except FileNotFoundError:
        return 0
    except OSError:
        return None


def arrival_of(head: bytes) -> int | None:
    """Epoch seconds of the time record (type T, its length, ``seconds microseconds``) near the beginning of a queue file."""
    match = _TIME_RECORD.search(head)
    return int(match.group(1)) if match else None


def _oldest_file(directory: str, now: float) -> int | None:
    """Age of the oldest message by the queue files themselves: what is left when a broken configuration stops postqueue(1)."""
    arrivals = []
    for name in ("incoming", "active", "deferred", "hold"):
        try:
            for path in itertools.islice(_queue_files(f"{directory}/{name}"), _MOST_READ):
                with open(path, "rb") as stream:
                    arrivals.append(arrival_of(stream.read(512)))
        except OSError:
            continue
    known = [moment for moment in arrivals if moment]
    return max(0, int(now - min(known))) if known else None


def bounce_clock(lifetime: int | None, oldest: int | None) -> dict:
    """How long until the oldest message is returned to its sender, in seconds; negative when it is due."""
    left = None if lifetime is None or oldest is None else lifetime - oldest
    return {"lifetime_seconds": lifetime, "oldest_seconds": oldest, "expires_in_seconds": left}


def _empty(mta) -> dict:
    return {
        "mta": mta, "running": False, "counts": dict.fromkeys(_QUEUES + ("total",)), "oldest_seconds": None, "oldest_deferred_seconds": None,
        "bounce_clock": bounce_clock(None, None), "sizes": {"bytes": None}, "reasons": [], "senders": [], "sender_share": None, "destinations": [],
        "bounces": None, "hold_reasons": [], "visible": False, "complete": False, "source": None, "errors": [], "note": None,
    }


def _postfix(context) -> dict:
    result = _empty("postfix")
    # head ends the listing of a huge queue: a full one would take minutes of disk reads.
    ran = context.run("sh", "-c", f"postqueue -j | head -n {_MOST_ENTRIES}", timeout=8, most=_MOST_BYTES)
    complaints = list(dict.fromkeys(ran.complaints(200)))
    fatal = [line for line in complaints if "fatal:" in line]
    listed = not ran.timed_out and not fatal
    entries = parse_entries(ran.out)
    result.update(source="postqueue -j", errors=(fatal + [line for line in complaints if line not in fatal])[:5])
    if listed or entries:
        found = summary(entries, time.time())
        result["counts"].update(found.pop("counts"))
        result["sizes"]["bytes"] = found.pop("bytes")
        result.update(found, visible=True, complete=listed and len(entries) < _MOST_ENTRIES and len(ran.out) < _MOST_BYTES)
    if not result["complete"]:
        context.cannot_see("postqueue -j", f"only the first {len(entries)} entries were read" if entries else "; ".join(fatal[:1]) or "no answer")
    directory = _mail.spool(context) or "/var/spool/postfix"
    if os.geteuid() == 0:
        counts = {name: count_files(f"{directory}/{name}") for name in _QUEUES}
        result["counts"].update({name: count for name, count in counts.items() if count is not None})
        result.update(visible=True, source=f"postqueue -j, {directory}")
        if not listed and not entries:
            result["oldest_seconds"] = _oldest_file(directory, time.time())
    else:
        context.cannot_see(f"{directory}/corrupt", "needs root")
    parts = [result["counts"][name] for name in _QUEUES if result["counts"][name] is not None]
    result["counts"]["total"] = sum(parts) if result["visible"] else None
    result["running"] = _processes.postfix_master(context) is not None or (listed and os.geteuid() != 0)
    result["bounce_clock"] = bounce_clock(_mail.seconds(_mail.parameter(context, "maximal_queue_lifetime", "5d"), "d"), result["oldest_seconds"])
    if not result["running"]:
        result["note"] = "the MTA does not run: a short or empty queue says nothing about mail flow"
    return result


def parse_exim(text: str) -> list:
    """``[{age, bytes, id, sender, frozen, recipients}]`` of ``exim4 -bp``; age in seconds."""
    found = []
    for line in text.splitlines():
        match = re.match(r"^\s*(\d+)([smhdw])\s+([\d.]+)([KM]?)\s+(\S+)\s+(<[^>]*>)(.*)$", line)
        if match:
            size = float(match.group(3)) * {"": 1, "K": 1024, "M": 1024 * 1024}[match.group(4)]
            found.append({"age": int(match.group(1)) * _AGE[match.group(2)], "bytes": int(size), "id": match.group(5), "sender": match.group(6).strip("<>"),
                          "frozen": "frozen" in match.group(7), "recipients": []})
        elif found and re.match(r"^\s+(?!D )\S+@\S+\s*$", line):
            found[-1]["recipients"].append(line.strip())
    return found


def exim_reason(text: str) -> str:
    """The last reason in a message log (exim specification, 53.3): the text after ``defer (n): ``, or the end of the last line."""
    lines = [line for line in text.splitlines() if " defer (" in line or "** " in line or "== " in line]
    return re.sub(r"^.* defer \(-?\d+\):? ?", "", re.sub(r"^\S+ \S+ ", "", lines[-1])) if lines else ""


def _exim(context) -> dict:
    result = _empty("exim")
    ran = context.run("exim4", "-bp", timeout=8, most=_MOST_BYTES)
    result.update(source="exim4 -bp", errors=ran.complaints(5), running=any(process.software == "exim" for process in _processes.mail_processes(context)))
    if not ran.ok:
        context.cannot_see("exim4 -bp", "; ".join(ran.complaints(1)) or "no answer")
        return result
    listed = parse_exim(ran.out)[:_MOST_ENTRIES]
    now = time.time()
    entries = [{
        "queue_name": "hold" if entry["frozen"] else "deferred", "arrival_time": now - entry["age"], "message_size": entry["bytes"], "sender": entry["sender"],
        "recipients": [{"address": address, "delay_reason": reason} for address in entry["recipients"]],
    } for entry, reason in ((entry, _message_log(context, entry["id"]) if place < 100 else "") for place, entry in enumerate(listed))]
    found = summary(entries, now)
    result["counts"].update(found.pop("counts"), corrupt=0, total=len(entries))
    result["sizes"]["bytes"] = found.pop("bytes")
    result.update(found, visible=True, complete=len(entries) < _MOST_ENTRIES)
    # Debian's retry rules (exim4-config): four days for every error.
    result["bounce_clock"] = bounce_clock(4 * 86400, result["oldest_seconds"])
    if not result["running"]:
        result["note"] = "the MTA does not run: a short or empty queue says nothing about mail flow"
    return result


def _message_log(context, message: str) -> str:
    for path in (f"{_EXIM_SPOOL}/msglog/{message}", f"{_EXIM_SPOOL}/msglog/{message[5:6]}/{message}"):
        if re.match(r"^[0-9A-Za-z-]+$", message) and os.path.exists(path):
            return exim_reason(context.read(path, 65536) or "")
    return ""


def collect(context) -> dict:
    """The queue of the MTA that this host has; ``mta`` is null without one. Without root the counts come from the listing alone."""
    if os.path.exists("/usr/sbin/postqueue"):
        return _postfix(context)
    if os.path.exists("/usr/sbin/exim4"):
        return _exim(context)
    return _empty(None)
