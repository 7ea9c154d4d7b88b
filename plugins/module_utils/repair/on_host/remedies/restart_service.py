"""Start, reload or restart a mail service: the least that makes it work (systemctl(1), systemd.unit(5)).

What is started is the unit that really runs the service, as host/services.py knows it: on Debian 12 that is postfix@-.service,
for postfix.service stays active while Postfix is dead. A service that runs and answers is left alone.
"""
from __future__ import annotations

import glob
import os
import re
import time
from dataclasses import dataclass

from ansible_collections.mailops.outage.plugins.module_utils.host import _processes, companions, dovecot, exim, loopback, postfix, services
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context, run_command
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Command, Refused, StepFailed
from ansible_collections.mailops.outage.plugins.module_utils.secrets import masked_lines
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

# What others wait for comes before them. Firewalls, what bans addresses, and web servers are not mail's to restart.
_ORDER = ("logging", "time", "resolver", "directory", "database", "antivirus", "antispam", "filter", "policy", "milter", "imap", "mta")
_KNOWN = tuple(service for role in _ORDER for service in services.KNOWN if service.role == role)

OPTIONS = {
    "units": {"type": "list", "elements": "str", "default": []},
    "roles": {"type": "list", "elements": "str", "choices": sorted(_ORDER), "default": []},
    "action": {"type": "str", "choices": ["auto", "start", "reload", "restart"], "default": "auto"},
}

# Units that a mail unit may wait for, and that are not to be started on mail's account.
_NOT_MAILS = re.compile(r"(?:systemd-|user@|dbus|networking|network|NetworkManager|ifup|getty|sshd?[.@]|nftables|ip6?tables|firewalld|ufw|netfilter"
                        r"|fail2ban|crowdsec|sshguard|nginx|apache2|httpd).*")
_UP = ("active", "activating", "reloading")
_UNIT_FOLDERS = ("/usr/lib/systemd/system", "/lib/systemd/system")
# Programs that only read a configuration, and end with a failure when the daemon could not (their man pages).
_CHECKS = {
    "opendkim": ("opendkim", "-n"), "rspamd": ("rspamadm", "configtest"), "bind": ("named-checkconf",), "unbound": ("unbound-checkconf",),
    "rsyslog": ("rsyslogd", "-N1"),
}
_START_SECONDS = 100.0
_RESTART_SECONDS = 60.0
_UP_WITHIN = 15.0
_ANSWERS_WITHIN = 6.0


@dataclass(frozen=True)
class Unit:
    """A service's unit as systemd has it.

    ``switched_off``: ``[(unit, by)]``, ``by`` is masked, masked-runtime or disabled, of the unit and of the wrapper that starts it.
    ``ill``: why a running service is not well, or an empty string; ``stopped`` when it is that its processes are in state T.
    """

    name: str
    running: bool
    up: bool
    failed: bool = False
    outdated: bool = False
    can_reload: bool = False
    switched_off: tuple = ()
    ill: str = ""
    stopped: bool = False


def steps(context, options):
    """``units`` or ``roles`` name the services. ``action`` auto does what is needed; start, reload and restart do just that, as far as it is safe."""
    if not options["units"] and not options["roles"]:
        raise Refused("Name units or roles: which service is meant is not guessed.")
    if not os.path.isdir("/run/systemd/system"):
        raise Refused("systemd does not run here; start the service by the script that this host has for it.")
    if any(process.name == "pacemakerd" for process in _processes.processes(context).values()):
        raise Refused("Pacemaker manages the services of this host; use its own tools (crm resource, pcs resource).")
    wanted, others = _named(context, options["units"], options["roles"])
    for unit in others:
        yield from _other(context, unit, options["action"])
    handled: set = set()
    for service in wanted:
        yield from _mend(service, options["action"], handled)
        handled.add(service.name)


def full_name(unit: str) -> str:
    """A unit's name with its kind: systemctl(1) takes a bare name for a service."""
    return unit if re.search(r"\.(?:service|socket|target|mount|timer)$", unit) else unit + ".service"


def _named(context, units, roles) -> tuple:
    """``([Service], [unit that is none of ours])`` that are meant, in the order in which they are handled."""
    facts = services.collect(context)
    entries = {entry["name"]: entry for entry in facts["units"]}
    wanted, others = set(), []
    for unit in map(full_name, units):
        service = next((service for service in services.KNOWN if unit in service.units), None)
        if service is None:
            others.append(unit)
        elif service not in _KNOWN:
            raise Refused(f"{unit} is no mail service; this project does not touch the {service.role} of a host.")
        elif service.name not in entries:
            raise Refused(f"{unit} is not on this host.")
        else:
            wanted.add(service.name)
    here = [entry for entry in facts["units"] if entry["role"] in roles]
    # A host has not every role that a cause may lie in, but one of them.
    wanted.update(entry["name"] for entry in here if entry["expected"])
    if roles and not wanted and not others:
        if not here:
            raise Refused(f"This host has no service of the role {' or '.join(roles)}.")
        names = ", ".join(entry["unit"] for entry in here)
        raise Refused(f"{names}: neither enabled nor needed by the mail configuration; name the unit if it should run.")
    return [service for service in _KNOWN if service.name in wanted], others


def _other(context, unit: str, action: str):
    """A failed unit that a mail unit waits for: reset and started, nothing else."""
    mail_units = [entry["unit"] for entry in services.collect(context)["units"] if entry["role"] in ("mta", "imap", "milter", "policy", "filter")]
    shown = context.run("systemctl", "show", "--no-pager", "-p", "Requires,Requisite,BindsTo,Wants,After", *mail_units, timeout=8)
    waited_for = set(re.split(r"[\s=]+", shown.out))
    if not unit.endswith((".service", ".socket")) or _NOT_MAILS.match(unit) or unit not in waited_for:
        raise Refused(f"{clean(unit, 100)} is neither a mail service nor a service that one waits for.")
    if action in ("reload", "restart"):
        raise Refused(f"{unit} is not mail's own: it is started when it has failed, and nothing else.")
    if unit not in [entry["unit"] for entry in services.collect(context)["failed_units"]]:
        return
    yield Command(("systemctl", "reset-failed", unit), "systemd has given it up")
    yield from _start(unit, "start", "it failed, and mail waits for it", lambda: _is_active(unit))


def _is_active(unit: str) -> str:
    return "" if run_command(("systemctl", "is-active", "--quiet", unit), 5).ok else "it does not run"


def _mend(service, action: str, handled):
    """The steps for one service; ``handled`` names the services that were seen to before it."""
    context = Context(options={})
    unit = _look(context, service)
    if not unit.running:
        if action == "reload":
            raise Refused(f"{unit.name} does not run, so that there is nothing to reload; use the action auto.")
        _check(context, service)
        yield from preparation(unit)
        verb = "restart" if unit.up else "start"
        yield from _start(unit.name, verb, "it does not run" + (", although systemd takes it for active" if unit.up else ""), _runs(context, service))
        return
    if action == "start" or (action == "auto" and not unit.ill):
        return
    if not unit.up:
        raise Refused(f"{service.name} runs, but not by {unit.name}: somebody started it by hand. End it the same way; then start the unit.")
    if action == "auto":
        yield from _revive(context, service, unit, handled)
        return
    if action == "reload" and not unit.can_reload:
        raise Refused(f"{unit.name} cannot reload; use the action restart.")
    _check(context, service)
    if unit.outdated:
        yield _daemon_reload()
    if action == "reload":
        yield from _start(unit.name, action, "it was asked for", _runs(context, service))
    else:
        yield from _restart(service, unit, "it was asked for", _runs(context, service))


def preparation(unit: Unit):
    """Steps: what must be done before a unit that is switched off, failed or outdated can be started."""
    for name, by in unit.switched_off:
        runtime = ("--runtime",) if by == "masked-runtime" else ()
        if by.startswith("masked"):
            yield Command(("systemctl", "unmask", *runtime, name), "it is masked, perhaps on purpose: ask who did it",
                          undo=" ".join(("systemctl mask", *runtime, name)))
    for name, by in unit.switched_off:
        if by == "disabled":
            yield Command(("systemctl", "enable", name), "it is disabled and would not come back after a restart of the host",
                          undo=f"systemctl disable {name}", timeout=_RESTART_SECONDS)
    if unit.outdated:
        yield _daemon_reload()
    if unit.failed:
        yield Command(("systemctl", "reset-failed", unit.name), "systemd has given it up")


def _daemon_reload() -> Command:
    return Command(("systemctl", "daemon-reload"), "its unit file is newer than what systemd knows")


def _revive(context, service, unit: Unit, handled):
    """A service that runs and does not work: let it go on, reload it, or restart it, whichever helps first."""
    held_up = [] if unit.stopped or service.role != "mta" else _held_up(context)
    if held_up:
        if all(name in handled for name, _text in held_up):
            return
        raise Refused(f"{unit.name} waits for something else: {'; '.join(text for _name, text in held_up)}. Repair that; the MTA follows.")
    well = _answers(service)
    if unit.stopped:
        ran = yield Command(("systemctl", "kill", "--kill-whom=all", "--signal=CONT", unit.name), f"{unit.ill}; if it still does not answer it is restarted",
                            undo=f"systemctl kill --kill-whom=all --signal=STOP {unit.name}")
    elif unit.can_reload:
        _check(context, service)
        ran = yield Command(("systemctl", "reload", unit.name), f"{unit.ill}; if that does not help it is restarted", ok=(0, 1, None))
    else:
        ran = None
    # In check mode nothing was done that could have helped.
    if ran and (not ran.seconds or not _wait(well, _ANSWERS_WITHIN)):
        return
    _check(Context(options={}), service)
    yield from _restart(service, unit, unit.ill, well)


def _restart(service, unit: Unit, because: str, well):
    """Restart by the unit's own manager, which ends all its processes; those that do not end in time are killed by it."""
    stuck = _waiting_for_disk(service)
    if stuck:
        raise Refused(f"{unit.name}: {stuck} and cannot be ended, so that a restart would hang, too. Repair the disk or the mount first.")
    ran = yield Command(("systemctl", "restart", unit.name), because, timeout=_RESTART_SECONDS, ok=(0, 1, None))
    if ran.timed_out:
        yield Command(("systemctl", "kill", "--kill-whom=all", "--signal=KILL", unit.name), f"it did not end within {_RESTART_SECONDS:g} s")
        yield from _start(unit.name, "start", "it was ended", well)
    elif ran.seconds:
        _see(unit.name, ran, well)


def _start(unit: str, verb: str, because: str, wrong):
    """Start, reload or restart, and see within 15 s that nothing is ``wrong()`` any more."""
    ran = yield Command(("systemctl", verb, unit), because, undo=f"systemctl stop {unit}" if verb == "start" else "", timeout=_START_SECONDS, ok=(0, 1, None))
    if ran.seconds:
        _see(unit, ran, wrong)


def _see(unit: str, ran, wrong) -> None:
    """Raises StepFailed with the unit's last words unless it works now."""
    problem = "it was not done in time" if ran.timed_out else _wait(wrong, _UP_WITHIN) if ran.ok else "systemd could not do it"
    if problem:
        told = run_command(("journalctl", "--no-pager", "-q", "-o", "cat", "-n", "6", "-u", unit), 5)
        lines = masked_lines(told.out, 6, 200) or ["the journal says nothing"]
        raise StepFailed(f"{ran.source}: {problem}. Its last words: {' / '.join(lines)}")


def _wait(wrong, seconds: float) -> str:
    """What is still ``wrong()`` after ``seconds``, or an empty string as soon as nothing is."""
    until = time.monotonic() + seconds
    while True:
        problem = wrong()
        if not problem or time.monotonic() > until:
            return problem
        time.sleep(0.3)


def _runs(context, service):
    """A question: what is wrong with the service just after its start? It must run and listen; one that listens nowhere must last a second."""
    must_listen = bool(set(service.ports) & loopback.configured_ports(context))
    seen: list = []

    def wrong() -> str:
        entry = services.look(Context(options={}), service)
        if not entry or not entry["running"]:
            seen.clear()
            return "its process does not run"
        seen.append(time.monotonic())
        if must_listen:
            return "" if entry["listening"] else "it does not listen on its port"
        return "" if seen[-1] - seen[0] >= 1 else "it has only just started"
    return wrong


def _answers(service):
    """A question: what is wrong with a service that should answer now?"""
    def wrong() -> str:
        unit = _look(Context(options={}), service)
        return unit.ill if unit.running else "its process does not run"
    return wrong


def _look(context, service) -> Unit:
    entry = services.look(context, service)
    if entry is None:
        raise Refused(f"{service.name} is not on this host.")
    names = "Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload,CanReload"
    shown = context.run("systemctl", "show", "--no-pager", "-p", names, *dict.fromkeys((entry["unit"], *service.units)), timeout=8)
    blocks = {block.get("Id"): block for block in services.parse_show(shown.out)}
    mine = blocks.get(entry["unit"])
    if mine is None:
        raise Refused(f"systemd does not tell about {entry['unit']}; look at systemctl status.")
    stopped = entry["stopped_processes"] > 0
    ill = ""
    if entry["running"]:
        ill = f"{entry['stopped_processes']} of its processes are stopped (state T)" if stopped else _trouble(context, service, entry)
    return Unit(entry["unit"], entry["running"], mine.get("ActiveState") in _UP, failed=mine.get("ActiveState") == "failed",
                outdated=mine.get("NeedDaemonReload") == "yes", can_reload=mine.get("CanReload") == "yes",
                switched_off=switched_off([block for block in blocks.values() if block.get("LoadState") != "not-found"], _is_wanted), ill=ill, stopped=stopped)


def switched_off(blocks: list, is_wanted) -> tuple:
    """``((unit, masked | masked-runtime | disabled), …)`` of the units of one service, as ``systemctl show`` has them.

    ``is_wanted(unit)`` tells of a masked unit whether it is enabled otherwise. An instance (``postfix@-``) is started by its
    wrapper, and a unit that is not enabled beside one that is does not matter.
    """
    found = []
    for block in blocks:
        name, state = block.get("Id", ""), block.get("UnitFileState", "")
        if state in ("masked", "masked-runtime") or block.get("LoadState") == "masked":
            found.append((name, "masked-runtime" if state == "masked-runtime" else "masked"))
            state = "enabled" if "@" in name or is_wanted(name) else "disabled"
        if state == "disabled" and ("@" not in name or len(blocks) == 1):
            found.append((name, "disabled"))
    others = [block for block in blocks if "@" not in block.get("Id", "")]
    if any(block.get("UnitFileState") in ("enabled", "generated", "static") for block in others):
        found = [(name, by) for name, by in found if by != "disabled"]
    return tuple(found)


def _is_wanted(unit: str) -> bool:
    """Whether a masked unit is enabled behind its mask, or needs no enabling (systemctl(1): such a unit has no [Install] section)."""
    if any(glob.glob(f"/etc/systemd/system/*.{kind}/{glob.escape(unit)}") for kind in ("wants", "requires")):
        return True
    for folder in _UNIT_FOLDERS:
        try:
            with open(f"{folder}/{unit}", encoding="utf-8", errors="replace") as stream:
                return "[Install]" not in stream.read(65536)
        except OSError:
            continue
    return True


def _trouble(context, service, entry) -> str:
    """Why a service whose processes run is not well, by asking it; an empty string when it answers, or cannot be asked."""
    configured = {item["path"] for item in dovecot.listeners(_dovecot_pairs(context)) if item["path"]} if service.name == "dovecot" else set()
    for endpoint in companions.collect(context)["endpoints"]:
        if endpoint["service"] == service.name:
            gone = endpoint["connect"] in ("refused", "missing") and endpoint["address"] in configured
            if gone or endpoint["connect"] in ("no_answer", "timeout"):
                return f"it does not answer at {endpoint['address']}: {endpoint['text']}"
    ports = set(service.ports) & loopback.configured_ports(context)
    if not ports:
        return ""
    if entry["listening"] is False:
        return f"it listens on none of its ports {', '.join(map(str, sorted(ports)))}"
    asked = [probe for probe in loopback.collect(context)["probes"] if probe["port"] in ports]
    waiting = not_accepted(context.read("/proc/net/tcp", 8 << 20) or "") | not_accepted(context.read("/proc/net/tcp6", 8 << 20) or "")
    # A connection that a firewall drops does not come about either, but then none waits to be accepted.
    silent = [probe for probe in asked if probe["outcome"] == "silent"
              or (probe["outcome"] == "timeout" and (probe["step"] != "connect" or probe["port"] in waiting))]
    return f"it answers on none of its ports {', '.join(sorted({str(probe['port']) for probe in silent}))}" if asked and len(silent) == len(asked) else ""


def not_accepted(text: str) -> set:
    """The ports of a /proc/net/tcp on which connections wait to be accepted: the receive queue of a listener (proc_net_tcp, state 0A)."""
    rows = [line.split() for line in text.splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if len(row) > 4 and row[3] == "0A" and int(row[4].rpartition(":")[2], 16)}


def _dovecot_pairs(context) -> list:
    return (dovecot.settings(context) or {}).get("pairs", [])


def _held_up(context) -> list:
    """``[(service, text)]`` of what keeps the MTA from greeting anybody and is not its fault: whom it asks is silent, or all its servers are busy."""
    known = postfix.settings(context) or {"masters": [], "expanded": {}}
    commands = [process.command for process in _processes.mail_processes(context) if process.software == "postfix"]
    busy = [(None, text) for text in at_limit(known["masters"], known["expanded"].get("default_process_limit", ""), commands)]
    silent = [endpoint for endpoint in companions.collect(context)["endpoints"] if endpoint["service"] != "postfix"
              and (endpoint["connect"] in ("no_answer", "timeout") or (endpoint["role"] == "sasl" and endpoint["connect"] != "ok"))]
    return busy + [(endpoint["service"], f"{endpoint['service'] or endpoint['role']} at {endpoint['address']} does not answer") for endpoint in silent]


def at_limit(masters: list, usual: str, commands: list) -> list:
    """Sentences on the network services of master.cf of which as many processes run as may (master(5), maxproc; ``usual`` stands for ``-``)."""
    found = []
    for master in masters:
        most = usual if master["maxproc"] == "-" else master["maxproc"]
        count = sum(1 for command in commands if re.search(rf" -n {re.escape(master['service'])}(?: |$)", command))
        if master["type"] == "inet" and most.isdigit() and 0 < int(most) <= count:
            found.append(f"all {most} servers of {master['service']}/inet are busy; see who holds them")
    return found


def _waiting_for_disk(service) -> str:
    """Which of the service's processes wait uninterruptibly (state D), seen twice so that a moment of disk work does not count."""
    looks = []
    for pause in (0, 0.5):
        time.sleep(pause)
        looks.append({process.pid: process.name for process in _processes.processes(Context(options={})).values()
                      if process.state == "D" and service.name in (process.software, process.name)})
    stuck = [f"{looks[0][pid]} ({pid})" for pid in sorted(set(looks[0]) & set(looks[1]))]
    return f"{', '.join(stuck[:5])} waits for a disk (state D)" if stuck else ""


def _check(context, service) -> None:
    """Raises Refused when the service's configuration is invalid: it would not come up, or would lose what still works."""
    error = _first_error(context, service.name)
    if error:
        remedy = "repair_permissions" if re.search(r"ermission|can be read|owned by", error) else "rollback_config"
        raise Refused(f"The configuration of {service.name} is invalid, so that it would not start: {error}. Use {remedy} first.")


def _first_error(context, name: str) -> str:
    look = {"postfix": postfix.collect, "dovecot": dovecot.collect, "exim": exim.collect}.get(name)
    if look:
        for error in look(context)["errors"]:
            place = f"{error['source']}, line {error['line']}" if error["line"] else error["source"]
            return f"{place}: {error['text']}"
        return ""
    if name not in _CHECKS:
        return ""
    ran = context.run(*_CHECKS[name], timeout=20)
    # Missing, or no end: then systemd has the word.
    return (masked_lines(ran.err or ran.out, 1) or [f"{ran.source} says {ran.rc}"])[0] if ran.rc else ""
