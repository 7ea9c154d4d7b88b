"""Postfix as it is configured: what it reads, what it serves, and what is wrong with it (postconf(1), postconf(5), master(5))."""
from __future__ import annotations

import calendar
import grp
import os
import pwd
import re
import socket
import time

from ansible_collections.mailops.outage.plugins.module_utils.host import _processes
from ansible_collections.mailops.outage.plugins.module_utils.host._accounts import accounts, obstacle
from ansible_collections.mailops.outage.plugins.module_utils.host._bounded import side_by_side, within
from ansible_collections.mailops.outage.plugins.module_utils.host._endpoints import routes, socket_path
from ansible_collections.mailops.outage.plugins.module_utils.host._postconf import (
    BACKENDS, COMPILED, PLAIN, bad_values, contained, expand, guards_relaying, line_of, logical_lines, parse_complaints, parse_main, parse_masters,
    tables, unknown_restrictions, words,
)
from ansible_collections.mailops.outage.plugins.module_utils.host._rules import against_us
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Ran
from ansible_collections.mailops.outage.plugins.module_utils.secrets import HIDDEN, mask_setting
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

__all__ = ["collect", "domains", "settings", "tables"]

_PROGRAMS = ("/usr/sbin/postconf", "/usr/sbin/postfix", "/usr/lib/postfix/sbin/master", "/usr/libexec/postfix/master")
_FALLBACK = {"config_directory": "/etc/postfix", "queue_directory": "/var/spool/postfix", "data_directory": "/var/lib/postfix", "mail_owner": "postfix"}

# What diagnosis looks at, whether main.cf sets it or not.
_WANTED = """
    myhostname mydomain myorigin mydestination virtual_mailbox_domains virtual_mailbox_maps virtual_alias_domains virtual_alias_maps relay_domains
    relay_recipient_maps local_recipient_maps alias_maps alias_database transport_maps sender_dependent_relayhost_maps recipient_canonical_maps
    sender_canonical_maps canonical_maps mynetworks mynetworks_style relayhost inet_interfaces inet_protocols proxy_interfaces message_size_limit
    mailbox_size_limit virtual_mailbox_limit queue_minfree maximal_queue_lifetime bounce_queue_lifetime minimal_backoff_time maximal_backoff_time
    queue_run_delay default_transport relay_transport local_transport virtual_transport mailbox_transport mailbox_command fallback_transport
    fallback_relay smtp_fallback_relay smtp_bind_address smtp_bind_address6 smtp_address_preference smtpd_milters non_smtpd_milters
    milter_default_action milter_connect_timeout content_filter smtpd_client_restrictions smtpd_helo_restrictions smtpd_sender_restrictions
    smtpd_relay_restrictions smtpd_recipient_restrictions smtpd_data_restrictions smtpd_end_of_data_restrictions smtpd_restriction_classes
    smtpd_sasl_auth_enable smtpd_sasl_type smtpd_sasl_path smtpd_sasl_security_options smtpd_tls_security_level smtpd_tls_auth_only
    smtpd_tls_cert_file smtpd_tls_key_file smtpd_tls_chain_files smtpd_tls_eccert_file smtpd_tls_eckey_file smtpd_tls_CAfile smtpd_tls_wrappermode
    smtpd_tls_protocols smtpd_tls_mandatory_protocols tls_server_sni_maps smtp_sasl_auth_enable smtp_sasl_password_maps smtp_tls_security_level
    smtp_tls_CAfile smtp_tls_CApath smtp_tls_policy_maps smtp_tls_mandatory_protocols soft_bounce defer_transports header_checks body_checks
    mime_header_checks smtp_header_checks default_process_limit smtpd_client_connection_count_limit smtpd_client_connection_rate_limit
    smtpd_client_message_rate_limit smtpd_client_auth_rate_limit smtpd_recipient_limit smtpd_hard_error_limit in_flow_delay recipient_delimiter
    home_mailbox mail_spool_directory virtual_mailbox_base unknown_local_recipient_reject_code unverified_recipient_reject_code compatibility_level
    maillog_file syslog_facility multi_instance_directories mail_name
""".split()

# Internal services of a default master.cf, by (service, type); mail stops, hangs or loses TLS without one of them.
_INTERNAL = [(name, "unix") for name in """
    cleanup rewrite qmgr pickup tlsmgr bounce defer trace verify flush proxymap proxywrite smtp relay showq error retry discard local virtual lmtp anvil scache
""".split()]
_TRANSPORT_PARAMETERS = (
    "default_transport", "relay_transport", "local_transport", "virtual_transport", "mailbox_transport", "fallback_transport", "content_filter",
)
_DOMAIN_PARAMETERS = {"local": ("mydestination",), "virtual": ("virtual_mailbox_domains", "virtual_alias_domains"), "relay": ("relay_domains",)}
_CHROOT_FILES = ("resolv.conf", "hosts", "services", "localtime", "nsswitch.conf", "host.conf", "passwd")
# Without these in the chroot, names do not resolve there.
_CHROOT_NEEDED = ("resolv.conf", "hosts", "services", "nsswitch.conf")
_DOMAIN = re.compile(r"^[a-z0-9_-]+(?:\.[a-z0-9_-]+)+$")
# A name that no table holds (RFC 2606): the answer is not of interest, only that there is one.
_NOBODY = "outage-probe@invalid"
_MOST_DOMAINS = 500
_MOST_LOOKUPS = 40
_ASK_SECONDS = 8.0
_LOOKUP_SECONDS = 4.0
# The timer that ends a containment (role contain), and how long it may be late: Postfix may not run, and then it tries again.
CONTAIN_TIMER = "/etc/systemd/system/mailops-contain.timer"
_MOST_LATE = 600
# Postfix waits as long before it takes a changed source file for forgotten (dict_db.c).
_STALE_AFTER = 100


def _absent() -> dict:
    """The answer of a host without Postfix: every key, empty."""
    nothing = dict.fromkeys(("version", "config_directory", "queue_directory", "data_directory", "mail_owner", "readable", "running_pid"))
    lists = ("masters", "services_missing", "transports_missing", "unknown_restrictions", "checks", "errors", "warnings", "unused", "duplicates", "maps",
             "chroot", "contained", "addresses", "domains", "other_instances", "rules_against_us")
    return dict(
        nothing, present=False, settings={}, expanded={}, **{name: [] for name in lists},
        accepts={"local": [], "virtual": [], "relay": [], "complete": True}, sasl={"enabled": False, "type": None, "path": None, "socket": None},
        log={"facility_files": [], "maillog_file": None},
    )


def _ask(context) -> dict | None:
    if not any(os.path.exists(path) for path in _PROGRAMS):
        return None
    # Side by side: postconf waits while main.cf is fresh from an edit, and sleeps a second before it dies.
    options = ("-n", "-x", "-M", "-m", "-d")
    answers = side_by_side(_ASK_SECONDS + 1, [lambda option=option: context.run("postconf", option, timeout=_ASK_SECONDS) for option in options])
    written, everything, services, types, defaults = (answer[0] if answer and answer[0] else Ran(("postconf",), None, timed_out=True) for answer in answers)
    default_values = parse_main(defaults.out)
    directory = clean(default_values.get("config_directory")) or _FALLBACK["config_directory"]
    main_path, master_path = f"{directory}/main.cf", f"{directory}/master.cf"
    main_text = context.read(main_path) or ""
    checks = [{"command": ran.source, "rc": ran.rc, "lines": _without_values(ran.complaints())} for ran in (written, services)]
    # Of these, -m reads the parameters as a daemon does, and dies of what a daemon dies of.
    complaints = parse_complaints("\n".join(ran.err for ran in (written, everything, services, types)), main_path, main_text)
    if written.missing:
        complaints["errors"].append({"source": "postconf", "line": None, "text": "the program is missing"})
    if any(ran.timed_out for ran in (written, everything, services)):
        context.cannot_see("postconf", "no answer in time")
    if os.geteuid() != 0:
        for error in [error for error in complaints["errors"] if "Permission denied" in error["text"]]:
            complaints["errors"].remove(error)
            context.cannot_see(error["source"], error["text"])
    own = parse_main(written.out) if written.ok else parse_main(main_text)
    values = parse_main(everything.out)
    if not values:
        values = dict(_FALLBACK, **default_values)
        values.update(own)
        values = {name: expand(value, values) for name, value in values.items()}
    # What main.cf defines for its own use is not in postconf's list, but in its lists by $name.
    for name, value in parse_main(main_text).items():
        values.setdefault(name, expand(value, values))
    masters = parse_masters(services.out if services.ok else context.read(master_path) or "", values.get("compatibility_level", "0").startswith("0"))
    for master in masters:
        master["overrides"] = {name: mask_setting(name, expand(value, values)) for name, value in master["overrides"].items()}
    found = {
        "version": clean(values.get("mail_version"), 40) or None, "main_path": main_path, "master_path": master_path, "main_text_readable": bool(main_text),
        **{name: clean(values.get(name, fallback)) for name, fallback in _FALLBACK.items()},
        "settings": {name: mask_setting(name, value) for name, value in own.items()},
        "expanded": {name: mask_setting(name, value) for name, value in values.items()},
        "masters": masters,
        "map_types": types.out.split(),
        "contained": _contained(main_text, values, time.time()),
        "checks": checks,
        "readable": written.ok and services.ok,
        **complaints,
    }
    found["maps"] = _references(found)
    known = {error["text"] for error in found["errors"]}
    found["errors"] += [error for error in _refused(found, default_values, main_text) + _unguarded(found) if error["text"] not in known]
    return found


def settings(context) -> dict | None:
    """The effective configuration of the default instance, asked once a host; None when Postfix is not installed.

    {version, config_directory, queue_directory, data_directory, mail_owner, main_path, master_path: str,
     settings:  {name: value as written} of what main.cf sets (``postconf -n``); secrets are masked,
     expanded:  {name: value} of ALL parameters with defaults applied and $names replaced (``postconf -x``), main.cf's own names too; secrets are masked,
     masters:   [{service, type, private, unprivileged, chroot: bool, wakeup, maxproc, command, program, overrides: {name: expanded value}, source}],
     maps:      [{parameter, type, path, proxied}] every lookup table referred to; of one in several parameters, all are named in ``parameter``,
     map_types: [types that ``postconf -m`` offers; empty when unknown],
     checks, errors, unused, duplicates, warnings: see ``collect``,
     readable:  False when postconf dies on main.cf or master.cf: then all this is from our own, simpler reading of the files}
    """
    return context.once("postfix", lambda: _ask(context))


def _contained(main_text: str, values: dict, now: float) -> list:
    """Our own containment, of which ``ends`` says whether its timer is there and not long overdue; what is not in force is none."""
    found = []
    for name, (until, _before) in sorted(contained(main_text).items()):
        if values.get(name) not in ("", "no", None):
            late = now > calendar.timegm(time.strptime(until, "%Y-%m-%dT%H:%M:%SZ")) + _MOST_LATE
            found.append({"setting": name, "until": until, "ends": os.path.lexists(CONTAIN_TIMER) and not late})
    return found


def _without_values(lines: list) -> list:
    """What postconf wrote, without the values that it quotes, for they may be secrets."""
    return [re.sub(r"((?:unused parameter|overriding earlier entry): \w+)=.*|(attribute name: \"\w+).*", r"\1\2", line) for line in lines]


def _refused(found: dict, defaults: dict, main_text: str) -> list:
    """Errors of values that a daemon dies of at its next start, and of accounts that do not exist."""
    errors = [{"source": found["main_path"], "line": line_of(name, main_text), "text": clean(text)}
              for name, text in bad_values({name: found["expanded"].get(name, "") for name in found["settings"]}, defaults)]
    for master in found["masters"]:
        if master["command"].startswith("-"):
            # master(5): an entry that lost its last field takes its first option for the program to run.
            errors.append({"source": found["master_path"], "line": None,
                           "text": clean(f"{master['service']}/{master['type']}: its command is missing, {master['command']} stands in its place")})
        errors += [{"source": found["master_path"], "line": None, "text": clean(f"{master['service']}/{master['type']}: {text}")}
                   for _name, text in bad_values(master["overrides"], defaults)]
    for parameter, look in (("mail_owner", pwd.getpwnam), ("default_privs", pwd.getpwnam), ("setgid_group", grp.getgrnam)):
        name = found["expanded"].get(parameter)
        known = any(parameter in error["text"] for error in found["errors"])
        if name and not known and _is_unknown(look, name):
            what = "group" if parameter == "setgid_group" else "user"
            text = clean(f"parameter {parameter}: unknown {what} name value: {name}")
            errors.append({"source": found["main_path"], "line": line_of(parameter, main_text), "text": text})
    return errors


def _is_unknown(look, name: str) -> bool:
    try:
        # A dead directory service would keep an unknown name waiting.
        within(2.0, look, name)
    except KeyError:
        return True
    except (TimeoutError, OSError):
        pass
    return False


def _unguarded(found: dict) -> list:
    """An error when no list refuses relaying: smtpd(8) then ends at its start (SMTPD_ACCESS_README)."""
    values = found["expanded"]
    names = ("smtpd_relay_restrictions", "smtpd_recipient_restrictions")
    if not any(name in found["settings"] for name in names) or any(guards_relaying(values.get(name, "")) for name in names):
        return []
    return [{"source": found["main_path"], "line": None, "text": "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, "
             "specify at least one working instance of: reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit"}]


def _scopes(found: dict):
    """``(what it is called, {name: value})`` of main.cf and of each service's overrides in master.cf."""
    mine = set(found["settings"]) | {"alias_maps", "alias_database", "local_recipient_maps"}
    yield "", {name: found["expanded"].get(name, "") for name in mine}
    for master in found["masters"]:
        yield f"{master['service']}/{master['type']} ", master["overrides"]


def _references(found: dict) -> list:
    """The lookup tables that the settings refer to. Caches and the lists of what proxymap(8) may read are no references."""
    named: dict = {}
    for scope, values in _scopes(found):
        for name, value in sorted(values.items()):
            if "_cache" in name or name in ("address_verify_map", "proxy_read_maps", "proxy_write_maps"):
                continue
            for kind, path in tables(value):
                proxied = kind.startswith("proxy:")
                entry = named.setdefault((kind.rpartition(":")[2], path), {"parameters": [], "proxied": False})
                entry["parameters"].append(scope + name)
                entry["proxied"] = entry["proxied"] or proxied
    return [{"parameter": ", ".join(dict.fromkeys(entry["parameters"])), "type": kind, "path": path, "proxied": entry["proxied"]}
            for (kind, path), entry in named.items()]


def _seen(path: str) -> tuple:
    """``(exists, mtime)``: both None where we may not look."""
    try:
        return True, int(os.stat(path).st_mtime)
    except PermissionError:
        return None, None
    except OSError:
        return False, None


def _readable(path: str, owner) -> bool | None:
    """Whether the daemons can read ``path``: root opens it for them, except what proxymap(8) opens as ``owner``, an account. None: cannot tell."""
    try:
        if owner is not None:
            return obstacle(path, owner.uid, owner.groups) is None
        with open(path, "rb", buffering=0) as stream:
            stream.read(1)
    except PermissionError:
        return False if os.geteuid() == 0 else None
    except OSError:
        return False
    return True


def describe_map(reference: dict, types: list, owner, now: float) -> dict | None:
    """What there is on disk of one lookup table; None for tables without a file. ``owner`` is mail_owner's account."""
    kind, path = reference["type"], reference["path"]
    if not path.startswith("/") or not (kind in COMPILED or kind in PLAIN or kind in BACKENDS):
        return None
    compiled = path + COMPILED[kind] if kind in COMPILED else None
    source_exists, source_time = _seen(path)
    compiled_exists, compiled_time = _seen(compiled) if compiled else (None, None)
    used, used_exists = (compiled, compiled_exists) if compiled else (path, source_exists)
    return {
        "parameter": clean(reference["parameter"]), "type": kind, "path": clean(path),
        "secret": kind in BACKENDS or "password" in reference["parameter"],
        "source_exists": source_exists, "compiled_path": clean(compiled) if compiled else None, "compiled_exists": compiled_exists,
        "readable": _readable(used, owner if reference["proxied"] else None) if used_exists else used_exists,
        "source_mtime_epoch": source_time, "compiled_mtime_epoch": compiled_time,
        "stale": bool(compiled_time and source_time and compiled_time < source_time < now - _STALE_AFTER),
        "supported": kind in types if types else None,
        "lookup": None, "text": "",
        "source": f"ls -l {clean(used)}",
    }


def _look_up(context, entry: dict) -> None:
    """Ask the table for a name that it does not hold, as the daemons open it: a damaged file, a bad pattern or a dead server shows."""
    ran = context.run("postmap", "-q", _NOBODY, f"{entry['type']}:{entry['path']}", timeout=_LOOKUP_SECONDS)
    # postmap(1): 0 found, 1 not found; it only complains when the table cannot be asked.
    said = [line for line in ran.complaints() if "main.cf" not in line and "older than source" not in line]
    entry["source"] = ran.source
    if ran.timed_out:
        entry.update(lookup="timeout", text=f"no answer within {_LOOKUP_SECONDS:g} s")
    else:
        entry.update(lookup="error" if said else "ok", text=_hide_login(said[0]) if said else "")


def _hide_login(text: str) -> str:
    """A backend's complaint without the names it logs in with."""
    return clean(re.sub(r"(user|dn|password)(\s*[:=]?\s*)'[^']*'(?:@'[^']*')?", r"\1\2" + HIDDEN, text))


def _maps(context, found: dict, now: float) -> list:
    owner = accounts(context).users.get(found["mail_owner"])
    described = [entry for entry in (describe_map(reference, found["map_types"], owner, now) for reference in found["maps"]) if entry]
    # With a broken configuration every lookup fails, and not for the table's sake.
    asked = [entry for entry in described if entry["readable"] and entry["supported"] is not False][:_MOST_LOOKUPS] if not found["errors"] else []
    side_by_side(_LOOKUP_SECONDS + 1, [lambda entry=entry: _look_up(context, entry) for entry in asked])
    for entry in described:
        if entry["readable"] is None:
            context.cannot_see(entry["path"], "permission denied")
    return described


def _listed_domains(context, value: str, from_addresses: bool = False) -> tuple:
    """``(domains, complete)`` of a list such as mydestination: names, and the keys of tables and files that are plain text."""
    found, complete = [], True
    for word in words(value):
        name = word.lower()
        if _DOMAIN.match(name) or name == "localhost":
            found.append(name)
            continue
        # A bare path is a file of names; any other word is a pattern, or means nothing here.
        for kind, path in [("texthash", word)] if word.startswith("/") else tables(word):
            text = context.read(path) if kind in COMPILED or kind == "texthash" else None
            if text is None:
                complete = complete and from_addresses
                continue
            keys = (line.split(None, 1)[0].lower() for _number, line in logical_lines(text))
            found += [key for key in keys if _DOMAIN.match(key)]
    return list(dict.fromkeys(found))[:_MOST_DOMAINS], complete


def _accepts(context, found: dict) -> dict:
    """``{local, virtual, relay: [domains], complete}``; ``complete`` is False when a table that we cannot list holds more."""
    accepts: dict = {"complete": True}
    for group, names in _DOMAIN_PARAMETERS.items():
        accepts[group] = []
        for name in names:
            # By default the keys of virtual_alias_maps that are no addresses.
            addresses = name == "virtual_alias_domains" and name not in found["settings"]
            listed, complete = _listed_domains(context, found["expanded"].get(name, ""), addresses)
            accepts[group] += [domain for domain in listed if domain not in accepts[group]]
            accepts["complete"] = accepts["complete"] and complete
    return accepts


def domains(context) -> list:
    """The domains that Postfix accepts mail for, sorted, as far as they can be listed; asked once a host."""
    found = settings(context)
    if not found:
        return []
    accepts = context.once("postfix accepts", lambda: _accepts(context, found))
    return sorted(set(accepts["local"]) | set(accepts["virtual"]) | set(accepts["relay"]))


def _chroot(context, found: dict) -> list:
    """The copies of system files in the queue directory that chrooted daemons read, compared with the system's (``postfix check`` does so too)."""
    if not any(master["chroot"] for master in found["masters"]):
        return []
    compared = []
    for name in _CHROOT_FILES:
        system, copy = f"/etc/{name}", f"{found['queue_directory']}/etc/{name}"
        if not os.path.exists(system) or not (os.path.exists(copy) or name in _CHROOT_NEEDED):
            continue
        ours, theirs = context.read(system), context.read(copy)
        differs = ours is not None and ours != theirs
        compared.append({"path": copy, "system_path": system, "missing": theirs is None, "differs": differs, "source": f"diff {system} {copy}"})
    return compared


def _addresses(found: dict) -> list:
    """Addresses that the configuration names as the host's own: ``[{parameter, address, local}]``."""
    named = []
    for scope, values in _scopes(found):
        for name in ("inet_interfaces", "smtp_bind_address", "smtp_bind_address6"):
            named += [(scope + name, word.strip("[]")) for word in words(values.get(name, "")) if word not in ("all", "loopback-only", "localhost")]
    for master in found["masters"]:
        host = master["service"].rpartition(":")[0].strip("[]")
        if master["type"] == "inet" and host:
            named.append((f"{master['service']}/inet", host))
    return [{"parameter": clean(name), "address": clean(address, 100), "local": _is_local(address)} for name, address in dict.fromkeys(named)]


def _is_local(address: str) -> bool | None:
    """Whether the host has this address, by binding a socket to it; None for a name."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        socket.inet_pton(family, address)
    except OSError:
        return None
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _transports_missing(found: dict, table: list) -> list:
    """The transports that a parameter or the transport table (``[(domain, route)]``) names and master.cf has not: mail for them waits."""
    known = {master["service"] for master in found["masters"] if master["type"] in ("unix", "fifo", "pass")}
    named = [(scope + name, values.get(name, "")) for scope, values in [("", found["expanded"])] + list(_scopes(found))[1:] for name in _TRANSPORT_PARAMETERS]
    missing = []
    for parameter, route in named + [("transport_maps", route) for _domain, route in table]:
        entry = {"parameter": clean(parameter), "transport": clean(route.partition(":")[0].strip(), 64)}
        if known and entry["transport"] and entry["transport"] not in known and entry not in missing:
            missing.append(entry)
    return missing[:50]


def _unknown_restrictions(found: dict) -> list:
    classes = frozenset(words(found["expanded"].get("smtpd_restriction_classes", "")))
    unknown = []
    for scope, values in [("", found["expanded"])] + list(_scopes(found))[1:]:
        for name, value in sorted(values.items()):
            listed = name in classes or re.match(r"smtpd_(?:client|helo|sender|relay|recipient|data|end_of_data)_restrictions$", name)
            unknown += [{"parameter": clean(scope + name), "name": clean(word, 64)} for word in (unknown_restrictions(value, classes) if listed else [])]
    return unknown


def _sasl(found: dict) -> dict:
    """``{enabled, type, path, socket}``: where submission asks for authentication; ``socket`` is an absolute path, None for TCP or another type."""
    servers = [master for master in found["masters"] if master["command"] == "smtpd"] or [{"overrides": {}, "chroot": False}]
    asking = [server for server in servers if dict(found["expanded"], **server["overrides"]).get("smtpd_sasl_auth_enable") == "yes"]
    server = (asking or servers)[0]
    values = dict(found["expanded"], **server["overrides"])
    path = values.get("smtpd_sasl_path", "")
    plain = path[5:] if path.startswith("unix:") else path
    dovecot = values.get("smtpd_sasl_type") == "dovecot" and plain and not path.startswith("inet:")
    return {"enabled": bool(asking), "type": clean(values.get("smtpd_sasl_type")) or None, "path": clean(path),
            "socket": clean(socket_path(plain, found["queue_directory"], server["chroot"])) if dovecot else None}


def syslog_files(text: str) -> list:
    """The files into which rsyslog.conf(5) lines write the mail facility."""
    found = []
    for line in text.splitlines():
        match = re.match(r"^\s*([\w.,;*=!-]+)\s+-?(/\S+)", line)
        if match and any(re.match(r"^(?:[\w,]+,)?mail[,.]", selector) for selector in match.group(1).split(";")):
            found.append(match.group(2))
    return found


def _log(context, found: dict) -> dict:
    texts = [context.read("/etc/rsyslog.conf") or ""]
    try:
        texts += [context.read(f"/etc/rsyslog.d/{name}") or "" for name in sorted(os.listdir("/etc/rsyslog.d"))[:50] if name.endswith(".conf")]
    except OSError:
        pass
    files = list(dict.fromkeys(clean(path) for text in texts for path in syslog_files(text)))
    return {"facility_files": files, "maillog_file": clean(found["expanded"].get("maillog_file")) or None}


def collect(context) -> dict:
    """What is configured and what is wrong with it.

    ``errors``  [{source, line, text}] what Postfix or one of its daemons dies of; ``checks`` the commands that were asked
    ``unused``  names in main.cf that nothing reads (typing errors); ``duplicates`` [{parameter, text}] names set twice
    ``maps``    [{parameter, type, path, secret, source_exists, compiled_path, compiled_exists, readable, source_mtime_epoch, compiled_mtime_epoch,
                stale, supported, lookup: ok|error|timeout|null, text, source}] tables in files, and the configuration files of table servers
    ``chroot``  [{path, system_path, missing, differs, source}]
    ``contained`` [{setting, until, ends}] temporary settings of our own containment that are in force; ``ends``: a timer will take them back
    ``rules_against_us`` the content rules that stop a message as we send it (see _rules.py)
    ``addresses`` [{parameter, address, local}]; ``transports_missing`` [{parameter, transport}]; ``unknown_restrictions`` [{parameter, name}]
    """
    found = settings(context)
    if found is None:
        return _absent()
    if not found["main_text_readable"]:
        context.cannot_see(found["main_path"], "not there or permission denied")
    accepts = context.once("postfix accepts", lambda: _accepts(context, found))
    present = {(master["service"].rpartition(":")[2], master["type"].replace("fifo", "unix")) for master in found["masters"]}
    master = _processes.postfix_master(context)
    return dict(
        _absent(),
        present=True,
        **{name: found[name] for name in ("version", "config_directory", "queue_directory", "data_directory", "mail_owner", "masters", "checks", "errors",
                                          "warnings", "unused", "duplicates", "readable", "contained")},
        settings={clean(name, 100): clean(value, 2000) for name, value in found["settings"].items()},
        expanded={clean(name, 100): clean(found["expanded"][name], 2000)
                  for name in sorted(set(_WANTED) | set(found["settings"])) if name in found["expanded"]},
        services_missing=[name for name, kind in _INTERNAL if (name, kind) not in present] if found["masters"] else [],
        transports_missing=_transports_missing(found, routes(found, context.read)),
        unknown_restrictions=_unknown_restrictions(found),
        maps=_maps(context, found, time.time()),
        chroot=_chroot(context, found),
        addresses=_addresses(found),
        domains=domains(context),
        accepts=accepts,
        rules_against_us=against_us(context, found["expanded"], f"postmaster@{(domains(context) or ['example.com'])[0]}"),
        sasl=_sasl(found),
        other_instances=[clean(path) for path in words(found["expanded"].get("multi_instance_directories", ""))],
        running_pid=master.pid if master else None,
        log=_log(context, found),
    )
