"""Which services mail needs, whether they run, and whether they should (systemd.unit(5), systemctl(1), /proc).

What runs is told by processes, not by units: on Debian postfix.service is a oneshot that stays "active" while Postfix is dead,
postgresql.service likewise, and a SysV script's unit stays "active" when its daemon dies.
"""
from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass

from ansible_collections.mailops.outage.plugins.module_utils.host import _processes, companions, exim, listeners, postfix
from ansible_collections.mailops.outage.plugins.module_utils.host._when import iso
from ansible_collections.mailops.outage.plugins.module_utils.text import clean


@dataclass(frozen=True)
class Service:
    """One service: the ``units`` it may have, the likeliest first; ``processes`` are the names (ps(1)) that show it runs.

    ``oneshot``: it does its work and ends (a firewall), so that its unit's state is the truth.
    ``ports``: where it listens when it does its work; any of them will do.
    """

    role: str
    name: str
    units: tuple
    processes: tuple = ()
    oneshot: bool = False
    ports: tuple = ()


KNOWN = (
    Service("mta", "postfix", ("postfix.service", "postfix@-.service"), ("master",), ports=(25, 465, 587)),
    Service("mta", "exim", ("exim4.service", "exim.service"), ("exim4", "exim"), ports=(25, 465, 587)),
    Service("mta", "sendmail", ("sendmail.service",), ("sendmail-mta", "sendmail"), ports=(25, 587)),
    Service("mta", "opensmtpd", ("opensmtpd.service", "smtpd.service"), ("smtpd",), ports=(25, 465, 587)),
    Service("imap", "dovecot", ("dovecot.service",), ("dovecot",), ports=(110, 143, 993, 995, 4190)),
    Service("imap", "cyrus", ("cyrus-imapd.service",), ("cyrmaster",), ports=(110, 143, 993, 995)),
    Service("imap", "courier", ("courier-imap.service",), ("couriertcpd",), ports=(110, 143, 993, 995)),
    Service("milter", "opendkim", ("opendkim.service",), ("opendkim",)),
    Service("milter", "opendmarc", ("opendmarc.service",), ("opendmarc",)),
    Service("milter", "openarc", ("openarc.service",), ("openarc",)),
    Service("milter", "spamass-milter", ("spamass-milter.service",), ("spamass-milter",)),
    Service("milter", "clamav-milter", ("clamav-milter.service",), ("clamav-milter",)),
    Service("milter", "milter-greylist", ("milter-greylist.service",), ("milter-greylist",)),
    Service("policy", "postgrey", ("postgrey.service",), ("postgrey",)),
    Service("policy", "policyd-weight", ("policyd-weight.service",), ("policyd-weight",)),
    Service("policy", "postfwd", ("postfwd.service",), ("postfwd",)),
    Service("policy", "postsrsd", ("postsrsd.service",), ("postsrsd",)),
    Service("filter", "amavis", ("amavis.service", "amavisd.service", "amavisd-new.service"), ("amavisd-new", "amavisd", "amavi")),
    Service("antispam", "rspamd", ("rspamd.service",), ("rspamd",)),
    Service("antispam", "spamassassin", ("spamd.service", "spamassassin.service"), ("spamd",)),
    Service("antivirus", "clamav", ("clamav-daemon.service", "clamd@amavisd.service", "clamd@scan.service", "clamd.service"), ("clamd",)),
    Service("antivirus", "freshclam", ("clamav-freshclam.service",), ("freshclam",)),
    Service("directory", "saslauthd", ("saslauthd.service",), ("saslauthd",)),
    Service("directory", "slapd", ("slapd.service",), ("slapd",)),
    Service("directory", "389-ds", ("dirsrv.target",), ("ns-slapd",)),
    Service("directory", "sssd", ("sssd.service",), ("sssd",)),
    Service("directory", "nslcd", ("nslcd.service",), ("nslcd",)),
    Service("directory", "winbind", ("winbind.service",), ("winbindd",)),
    Service("database", "mariadb", ("mariadb.service", "mysql.service", "mysqld.service"), ("mariadbd", "mysqld")),
    Service("database", "postgresql", ("postgresql.service",), ("postgres",)),
    Service("database", "redis", ("redis-server.service", "redis.service", "valkey.service"), ("redis-server", "valkey-server")),
    Service("database", "memcached", ("memcached.service",), ("memcached",)),
    Service("resolver", "unbound", ("unbound.service",), ("unbound",), ports=(53,)),
    Service("resolver", "bind", ("named.service", "bind9.service"), ("named",), ports=(53,)),
    Service("resolver", "systemd-resolved", ("systemd-resolved.service",), ("systemd-resolve", "systemd-resolved")),
    Service("resolver", "dnsmasq", ("dnsmasq.service",), ("dnsmasq",), ports=(53,)),
    Service("resolver", "pdns-recursor", ("pdns-recursor.service",), ("pdns_recursor",), ports=(53,)),
    Service("resolver", "knot-resolver", ("kresd@1.service", "knot-resolver.service"), ("kresd",), ports=(53,)),
    Service("logging", "rsyslog", ("rsyslog.service",), ("rsyslogd",)),
    Service("logging", "syslog-ng", ("syslog-ng.service",), ("syslog-ng",)),
    Service("logging", "journald", ("systemd-journald.service",), ("systemd-journal", "systemd-journald")),
    Service("time", "timesyncd", ("systemd-timesyncd.service",), ("systemd-timesyn", "systemd-timesyncd")),
    Service("time", "chrony", ("chrony.service", "chronyd.service"), ("chronyd",)),
    Service("time", "ntp", ("ntp.service", "ntpd.service", "ntpsec.service"), ("ntpd",)),
    Service("firewall", "nftables", ("nftables.service",), oneshot=True),
    Service("firewall", "firewalld", ("firewalld.service",), ("firewalld",)),
    Service("firewall", "ufw", ("ufw.service",), oneshot=True),
    Service("firewall", "netfilter-persistent", ("netfilter-persistent.service",), oneshot=True),
    Service("ban", "fail2ban", ("fail2ban.service",), ("fail2ban-server",)),
    Service("ban", "crowdsec", ("crowdsec.service",), ("crowdsec",)),
    Service("ban", "sshguard", ("sshguard.service",), ("sshguard",)),
    Service("web", "nginx", ("nginx.service",), ("nginx",)),
    Service("web", "apache", ("apache2.service", "httpd.service"), ("apache2", "httpd")),
)

_PROPERTIES = """
    Id Names LoadState ActiveState SubState UnitFileState Type Result NRestarts MainPID ExecMainStatus
    ConditionResult ConditionTimestampMonotonic ActiveEnterTimestampMonotonic InactiveEnterTimestampMonotonic
""".split()
_ENABLED = ("enabled", "enabled-runtime", "static", "generated", "alias", "indirect", "linked", "transient")
_STOPPED = "Tt"
_DEAD = "ZX"


def parse_show(text: str) -> list:
    """The blocks of ``systemctl show``: ``[{property: value}]``."""
    return [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n") if block.strip()]


def parse_failed(text: str) -> list:
    """The unit names of ``systemctl --failed --plain --no-legend``."""
    return [clean(line.split()[0], 200) for line in text.splitlines() if line.strip()]


def _moment(block: dict, name: str, now: float, monotonic: float) -> float | None:
    """Epoch seconds of one of systemd's monotonic stamps (microseconds since the kernel started); None for never."""
    value = block.get(name, "")
    return now - (monotonic - int(value) / 1e6) if value.isdigit() and value != "0" else None


def _choose(service: Service, blocks: dict) -> dict:
    """The unit that stands for the service: of those that are loaded or masked, one that is up, else the first; a oneshot wrapper only when there is no other.

    Debian 12 runs Postfix by postfix@-.service, with a oneshot postfix.service before it; Debian 13 has both and runs the plain one.
    """
    there = [blocks[unit] for unit in service.units if blocks.get(unit, {}).get("LoadState") not in (None, "", "not-found")]
    real = [block for block in there if service.oneshot or _type(block) != "oneshot"]
    real.sort(key=lambda block: block.get("ActiveState") not in ("active", "reloading", "activating"))
    return (real or there or [{}])[0]


def _type(block: dict) -> str:
    """The unit's type. Of a masked one systemd does not know it, for its file is hidden: then from the package's file."""
    name = str(block.get("Id"))
    if block.get("LoadState") == "masked" and name != "None":
        for folder in ("/usr/lib/systemd/system", "/lib/systemd/system"):
            try:
                with open(f"{folder}/{name}", encoding="utf-8", errors="replace") as stream:
                    return "oneshot" if re.search(r"^Type\s*=\s*oneshot", stream.read(65536), re.M) else ""
            except OSError:
                continue
    return block.get("Type", "")


def _enabled(service: Service, block: dict, blocks: dict) -> str | None:
    """The unit file's state. Debian's postfix@-.service is started through postfix.service, so that one's word counts unless it is masked itself."""
    states = [block.get("UnitFileState") or None]
    if "@" in str(block.get("Id")):
        states += [blocks.get(unit, {}).get("UnitFileState") or None for unit in service.units if "@" not in unit]
    if "masked" in (block.get("LoadState"), *states) or "masked-runtime" in states:
        return "masked"
    return next((state for state in reversed(states) if state), None)


def is_nested(status: str) -> bool:
    """Whether a process, by its /proc/PID/status, runs in a container on this host (a PID namespace below ours): it is another host's business."""
    match = re.search(r"^NSpid:((?:\s+\d+)+)$", status, re.M)
    return bool(match) and len(match.group(1).split()) > 1


def _by_unit(context) -> dict:
    """``{unit: [processes]}`` by control groups; kernel threads and containers left out."""
    found: dict = {}
    for process in _processes.processes(context).values():
        if process.command and not is_nested(context.read(f"/proc/{process.pid}/status", 4096) or ""):
            found.setdefault(_processes.unit_of(_processes.cgroups(process.pid)), []).append(process)
    return found


def _members(service: Service, units: set, by_unit: dict) -> list:
    """The processes of a service: those in its unit's control group, those of its name (which may have been started by hand), and their children."""
    known = [process for members in by_unit.values() for process in members if process.state not in _DEAD]
    found = {process.pid: process for unit in units for process in by_unit.get(unit, []) if process.state not in _DEAD}
    for process in known:
        # "master" and "smtpd" alone are not enough of a name.
        if process.name in service.processes and (service.role not in ("mta", "imap") or process.software in (service.name, "")) and (
                service.name != "postfix" or process.software == "postfix"):
            found[process.pid] = process
    for process in sorted(known, key=lambda item: item.start):
        if process.parent in found:
            found.setdefault(process.pid, process)
    return [process for _pid, process in sorted(found.items())]


def is_running(service: Service, block: dict, members: list) -> bool:
    """Whether the service does its work: its processes live; a oneshot service by its unit's word.

    Of mail software the daemon itself must live (by its name or as its unit's main process): what survives it does not count.
    """
    if service.oneshot:
        return block.get("ActiveState") == "active"
    if service.role not in ("mta", "imap"):
        return bool(members)
    return any(process.name in service.processes or str(process.pid) == block.get("MainPID") for process in members)


def is_expected(block: dict, enabled: str | None, running: bool, needed: bool) -> bool:
    """Whether a service's absence is abnormal: it runs, it is enabled, it ran since the host's start, it failed, or the mail configuration needs it."""
    # Never started, systemd has not looked at its conditions either, and says "no".
    looked = block.get("ConditionTimestampMonotonic", "0") not in ("", "0")
    ran = block.get("InactiveEnterTimestampMonotonic", "0") not in ("", "0") or block.get("ActiveEnterTimestampMonotonic", "0") not in ("", "0")
    # A unit whose condition does not hold (systemd.unit(5), Condition…=) is left out on purpose.
    skipped = looked and block.get("ConditionResult") == "no" and not ran
    return running or needed or (enabled in _ENABLED and not skipped) or ran or block.get("ActiveState") == "failed"


def _installed_without_unit(service: Service) -> bool:
    """Whether a service is here although no unit tells of it: by its start script, or by its program where systemd does not run."""
    names = [unit.partition(".")[0].partition("@")[0] for unit in service.units]
    return any(os.path.exists(f"/etc/init.d/{name}") for name in names)


def _listening(service: Service, listening: dict, members: list) -> bool | None:
    """Whether one of the service's ports is open, by its own processes where they can be seen."""
    if not service.ports:
        return None
    own = {process.pid for process in members}
    return any(entry["port"] in service.ports and (entry["pid"] is None or entry["pid"] in own) for entry in listening["tcp"])


def _told(name: str, block: dict, enabled: str | None) -> str:
    """What systemd says of a unit, in words; nothing without one."""
    if not block:
        return ""
    state = f"{block.get('ActiveState')} ({block.get('SubState')}), result {block.get('Result')}, exit status {block.get('ExecMainStatus')}"
    return f"{name}: load {block.get('LoadState')}, file {enabled}, {state}, "


def _entry(service: Service, blocks: dict, by_unit: dict, clock: tuple, needed: bool) -> dict | None:
    block = _choose(service, blocks)
    units = {unit for unit in service.units if blocks.get(unit, {}).get("LoadState") == "loaded"} or set(service.units[:1])
    members = _members(service, units | {block.get("Id")}, by_unit)
    running = is_running(service, block, members)
    if not (block or running or _installed_without_unit(service)):
        return None
    enabled = _enabled(service, block, blocks)
    masters = [process for process in members if process.name in service.processes]
    entered = _moment(block, "ActiveEnterTimestampMonotonic" if running else "InactiveEnterTimestampMonotonic", *clock)
    if running and masters:
        # The oldest process that bears its name: a unit does not know of a daemon that was started by hand.
        entered = _processes.started(min(masters, key=lambda process: process.start))
    name = clean(block.get("Id")) or service.units[0]
    main = block.get("MainPID", "0")
    return {
        "role": service.role, "name": service.name, "unit": name, "present": True, "running": running,
        "expected": is_expected(block, enabled, running, needed), "needed": needed, "enabled": enabled,
        "active": block.get("ActiveState") or None, "sub": block.get("SubState") or None, "result": block.get("Result") or None,
        "since": iso(entered), "since_epoch": int(entered) if entered else None, "restarts": int(block.get("NRestarts") or 0),
        "main_pid": int(main) if main not in ("", "0") else masters[0].pid if masters else None,
        "processes": len(members), "stopped_processes": sum(process.state in _STOPPED for process in members), "listening": None,
        "source": f"systemctl status {name}" if block else "ps ax", "text": clean(_told(name, block, enabled) + f"{len(members)} processes"),
        "_members": members,
    }


def _needs(context) -> set:
    """The services that the configuration shows this host to need, whatever their units say.

    An MTA with a configuration is there to move mail; what it hands mail to or asks must answer.
    """
    needed = {item["service"] for item in companions.named(context)}
    known = postfix.settings(context)
    if known and (known["settings"] or known["errors"]):
        needed.add("postfix")
    if known and "dovecot" in known["expanded"].get("mailbox_command", ""):
        needed.add("dovecot")
    if exim.is_installed():
        needed.add("exim")
    return needed


def _rivals(entries: list) -> None:
    """Where one MTA runs, another that is installed beside it and not enabled is not missed."""
    mine = [entry for entry in entries if entry["role"] == "mta"]
    if any(entry["running"] for entry in mine):
        for entry in mine:
            entry["expected"] = entry["running"] or entry["enabled"] in ("enabled", "enabled-runtime")


def _first(entries: list, role: str) -> dict | None:
    """The entry of the mail software itself: the one that runs, else the one that should."""
    mine = sorted((entry for entry in entries if entry["role"] == role), key=lambda entry: (not entry["running"], not entry["expected"]))
    return mine[0] if mine else None


def _units(context) -> dict:
    """``{unit name or alias: properties}`` of all known units, in one call."""
    if not os.path.isdir("/run/systemd/system"):
        return {}
    names = [unit for service in KNOWN for unit in service.units]
    ran = context.run("systemctl", "show", "--no-pager", "-p", ",".join(_PROPERTIES), *names, timeout=8)
    if not ran.out:
        context.cannot_see("systemctl show", "; ".join(ran.complaints(1)) or "no answer in time")
    blocks: dict = {}
    for block in parse_show(ran.out):
        for name in [block.get("Id"), *block.get("Names", "").split()]:
            if name:
                blocks.setdefault(name, block)
    return blocks


def _failed_units(context) -> list:
    """``[{unit, result, text, source}]`` of the units that systemd has given up."""
    if not os.path.isdir("/run/systemd/system"):
        return []
    ran = context.run("systemctl", "--failed", "--plain", "--no-legend", "--no-pager", timeout=5)
    names = parse_failed(ran.out)[:30]
    if not names:
        return []
    shown = context.run("systemctl", "show", "--no-pager", "-p", "Id,Description,Result,ExecMainStatus,LoadState,Requires", *names, timeout=5)
    return [{
        "unit": clean(block.get("Id")), "result": block.get("Result"), "source": f"systemctl status {clean(block.get('Id'))}",
        "text": clean(f"{block.get('Description')}: result {block.get('Result')}, exit status {block.get('ExecMainStatus')}"),
    } for block in parse_show(shown.out)]


def look(context, service: Service) -> dict | None:
    """One service as ``collect`` gives it, but for ``needed``: quick enough to ask again and again while it starts. None when it is not here."""
    clock = (time.time(), time.clock_gettime(time.CLOCK_MONOTONIC))
    entry = _entry(service, _units(context), _by_unit(context), clock, False)
    if entry:
        entry["listening"] = _listening(service, listeners.collect(context), entry.pop("_members"))
    return entry


def collect(context) -> dict:
    """``{units: [{role, name, unit, present, running, expected, needed, enabled, active, sub, result, since, since_epoch, restarts, main_pid, processes,
    stopped_processes, listening, source, text}], failed_units: [{unit, result, text, source}], mta, imap}``.

    ``running`` goes by processes; ``since`` is the start of what runs, or the end of what does not. ``stopped_processes`` are in
    state T: such a service has its ports open and answers nobody. ``needed``: the mail configuration refers to it.
    """
    blocks = _units(context)
    by_unit = _by_unit(context)
    clock = (time.time(), time.clock_gettime(time.CLOCK_MONOTONIC))
    needed = _needs(context)
    listening = listeners.collect(context)
    entries = [entry for entry in (_entry(service, blocks, by_unit, clock, service.name in needed) for service in KNOWN) if entry]
    for service in KNOWN:
        for entry in entries:
            if entry["name"] == service.name:
                entry["listening"] = _listening(service, listening, entry.pop("_members"))
    _rivals(entries)
    return {"units": entries, "failed_units": _failed_units(context), "mta": _first(entries, "mta"), "imap": _first(entries, "imap")}
