"""Whether this host can look names up: its name servers asked one by one, and the copy that a chrooted MTA uses."""
from __future__ import annotations

import os
import re
import time

from ansible_collections.mailops.outage.plugins.module_utils.host import _dns, _mail, system
from ansible_collections.mailops.outage.plugins.module_utils.host._bounded import side_by_side
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_CHROOT_FILES = ("etc/resolv.conf", "etc/hosts", "etc/nsswitch.conf", "etc/services", "etc/host.conf")
_PATIENCE = 2.0
_MOST_DOMAINS = 3


def parse_resolv_conf(text: str) -> dict:
    """``{nameservers, search}`` of resolv.conf(5); without a nameserver line the local host is asked."""
    servers, search = [], []
    for line in text.splitlines():
        words = re.split(r"[#;]", line)[0].split()
        if len(words) > 1 and words[0] == "nameserver":
            servers.append(clean(words[1], 80))
        elif len(words) > 1 and words[0] in ("search", "domain"):
            search = [clean(word, 253) for word in words[1:]]
    # MAXNS in resolv.h: the fourth and later are never asked.
    return {"nameservers": servers[:3] or ["127.0.0.1"], "search": search}


def localhost_listed(text: str) -> bool:
    """Whether hosts(5) names 127.0.0.1 localhost."""
    return any(line.split("#")[0].split()[:1] == ["127.0.0.1"] and "localhost" in line.split("#")[0].split()[1:] for line in text.splitlines())


def sane(test: dict) -> bool:
    """Whether a server gave a real answer: the name exists or it does not. A failure or a refusal is none (RFC 1035, 4.1.1)."""
    return test["rcode"] in ("NOERROR", "NXDOMAIN")


def verdict(tests: list) -> bool | None:
    """Whether any name server answers for a domain; None when nothing was asked. The root's servers may well be out of reach."""
    asked = [test for test in tests if test["name"] != "."]
    return any(sane(test) for test in asked) if asked else None


def _domains(context) -> list:
    """Names to ask for: the mail domains given, else Postfix's own, else this host's."""
    names = [str(name) for name in context.options.get("domains") or []]
    if not names:
        names = [_mail.parameter(context, "mydomain")]
    names = [name for name in names if "." in name and not name.endswith((".localdomain", ".local"))]
    return list(dict.fromkeys(names))[:_MOST_DOMAINS] or [system.fqdn(context)]


def _test(server: str, name: str, kind: str) -> dict:
    began = time.monotonic()
    result = {"server": server, "name": name, "type": kind, "ok": False, "rcode": None, "answers": 0, "seconds": 0.0, "error": ""}
    try:
        answer = _dns.ask(server, name, kind, _PATIENCE)
        result.update(rcode=answer.rcode, answers=len(answer.records))
        result["ok"] = sane(result)
        result["error"] = "" if result["ok"] else f"answers {answer.rcode}"
    except (OSError, ValueError) as problem:
        result["error"] = clean(getattr(problem, "strerror", None) or str(problem) or type(problem).__name__, 120)
    result["seconds"] = round(time.monotonic() - began, 3)
    return result


def _look_up(name: str) -> dict:
    began = time.monotonic()
    result = {"name": name, "ok": True, "error": "", "seconds": 0.0}
    try:
        _dns.addresses(name)
    except OSError as problem:
        result.update(ok=False, error=clean(problem.strerror or problem, 120))
    result["seconds"] = round(time.monotonic() - began, 3)
    return result


def _chroot_files(context, directory: str) -> list:
    """The resolver's files in Postfix's chroot next to the system's: ``[{path, differs}]``, those that exist there."""
    found = []
    for name in _CHROOT_FILES:
        copy = os.path.join(directory, name)
        if os.path.exists(copy):
            found.append({"path": copy, "differs": context.read(copy) != context.read("/" + name)})
    return found


def collect(context) -> dict:
    """Name servers and their answers. ``working`` is about the system's, ``chroot_working`` about the chroot's where they differ."""
    conf = parse_resolv_conf(context.read("/etc/resolv.conf") or "")
    directory = _mail.parameter(context, "queue_directory")
    chroot = _chroot_files(context, directory) if directory else []
    inner = []
    if any(entry["path"].endswith("/etc/resolv.conf") and entry["differs"] for entry in chroot):
        inner = parse_resolv_conf(context.read(f"{directory}/etc/resolv.conf") or "")["nameservers"]
    wanted = [(name, "MX") for name in _domains(context)] + [(".", "NS")]
    questions = [(server, name, kind) for server in dict.fromkeys(conf["nameservers"] + inner) for name, kind in wanted]
    names = list(dict.fromkeys(("localhost", system.fqdn(context))))
    answers = side_by_side(_PATIENCE + 1.0, [lambda q=question: _test(*q) for question in questions] + [lambda n=name: _look_up(n) for name in names])
    tests = [answer[0] for answer in answers[:len(questions)] if answer and answer[0]]
    lookups = [answer[0] if answer and answer[0] else {"name": name, "ok": False, "error": "no answer", "seconds": _PATIENCE + 1.0}
               for name, answer in zip(names, answers[len(questions):])]
    return {
        "nameservers": conf["nameservers"],
        "search": conf["search"],
        "source": "/etc/resolv.conf",
        "tests": tests,
        "getaddrinfo": lookups,
        "chroot": chroot,
        "chroot_nameservers": inner,
        "hosts_localhost": localhost_listed(context.read("/etc/hosts") or ""),
        "working": verdict([test for test in tests if test["server"] in conf["nameservers"]]),
        "chroot_working": verdict([test for test in tests if test["server"] in inner]),
    }
