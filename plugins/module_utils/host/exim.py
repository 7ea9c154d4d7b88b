"""Exim as it is configured (Exim specification, chapters 5 and 14)."""
from __future__ import annotations

import os
import re

from ansible_collections.mailops.outage.plugins.module_utils.host import _processes
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_PROGRAMS = ("exim4", "exim")
_WANTED = """
    primary_hostname qualify_domain spool_directory log_file_path pid_file_path local_interfaces daemon_smtp_ports tls_certificate tls_on_connect_ports
    message_size_limit smtp_accept_max smtp_accept_queue_by_load check_spool_space check_spool_inodes queue_only queue_domains hold_domains timeout_frozen_after
    ignore_bounce_errors_after disable_ipv6 dns_ipv4_lookup host_lookup
""".split()
_DOMAIN_LISTS = ("local_domains", "relay_to_domains")
_DOMAIN = re.compile(r"^[a-z0-9_-]+(?:\.[a-z0-9_-]+)+$", re.I)
_PLACE = re.compile(r"Exim configuration error(?: in line (?P<line>\d+) of (?P<file>[^\s:]+))?:?\s*(?P<text>.*)", re.S)


def is_installed() -> bool:
    return any(os.path.exists(f"/usr/sbin/{name}") for name in _PROGRAMS)


def parse_version(text: str) -> dict:
    """``{version, config_file}`` of ``exim -bV``."""
    version = re.search(r"^Exim version (\S+)", text, re.M)
    config = re.search(r"^Configuration file is (\S+)", text, re.M)
    return {"version": clean(version.group(1), 40) if version else None, "config_file": clean(config.group(1)) if config else None}


def parse_errors(text: str) -> list:
    """``[{source, line, text}]`` of a configuration error as Exim prints it; it stops at the first."""
    match = _PLACE.search(text)
    if not match:
        return []
    line = match.group("line")
    return [{"source": clean(match.group("file")) or "exim4 -bV", "line": int(line) if line else None, "text": clean(match.group("text"))}]


def parse_settings(text: str) -> dict:
    """``{name: value}`` of ``exim -bP NAME…``; a boolean option is printed as ``name`` or ``no_name``, a hidden one not at all."""
    values = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        name = name.strip()
        if "<value not displayable>" in value or not re.fullmatch(r"\w+", name):
            continue
        if equals:
            values[name] = clean(value, 1000)
        else:
            values[name[3:] if name.startswith("no_") else name] = "false" if name.startswith("no_") else "true"
    return values


def parse_domains(text: str, hostname: str = "") -> tuple:
    """``(domains, complete)`` of a named domain list (specification, chapter 10), in which ``@`` is the host itself; lookups in it cannot be listed."""
    _name, _equals, value = text.partition("=")
    words = [word.strip() for word in re.split(r"(?<!:):(?!:)|;", value)] if value else []
    found = [word.lower() for word in (hostname if word == "@" else word for word in words) if _DOMAIN.match(word)]
    return found, not any(";" in value or word.startswith(("dsearch", "lsearch", "mysql", "pgsql", "ldap", "/", "+", "${")) for word in words)


def _paniclog(path: str) -> dict | None:
    """``{path, bytes}`` of a panic log that is not empty: Exim writes there what it could not go on after."""
    try:
        size = os.path.getsize(path)
    except OSError:
        return None
    return {"path": path, "bytes": size} if size else None


def _absent() -> dict:
    return {
        "present": False, "version": None, "config_file": None, "checks": [], "errors": [], "settings": {}, "domains": [],
        "accepts": {"local": [], "relay": [], "complete": True}, "running_pid": None, "paniclog": None,
    }


def collect(context) -> dict:
    """``{present, version, config_file, checks: [{command, rc, lines}], errors: [{source, line, text}], settings, domains, accepts,
    running_pid, paniclog: {path, bytes} or None}``.
    """
    if not is_installed():
        return _absent()
    program = next(name for name in _PROGRAMS if os.path.exists(f"/usr/sbin/{name}"))
    checked = context.run(program, "-bV", timeout=8)
    result = dict(_absent(), present=True, **parse_version(checked.out), errors=parse_errors(checked.out + "\n" + checked.err))
    result["checks"] = [{"command": checked.source, "rc": checked.rc, "lines": checked.complaints()}]
    if checked.ok:
        result["settings"] = parse_settings(context.run(program, "-bP", *_WANTED, timeout=8).out)
        for group, name in zip(("local", "relay"), _DOMAIN_LISTS):
            domains, complete = parse_domains(context.run(program, "-bP", "+" + name, timeout=8).out, result["settings"].get("primary_hostname", ""))
            result["accepts"][group] = domains
            result["accepts"]["complete"] = result["accepts"]["complete"] and complete
        result["domains"] = sorted(set(result["accepts"]["local"]) | set(result["accepts"]["relay"]))
    daemons = [process for process in _processes.masters(context) if process.software == "exim"]
    result["running_pid"] = daemons[0].pid if daemons else None
    result["paniclog"] = next(filter(None, (_paniclog(f"/var/log/{name}/paniclog") for name in ("exim4", "exim"))), None)
    return result
