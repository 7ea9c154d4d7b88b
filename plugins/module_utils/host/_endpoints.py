"""Which other services the mail configuration names: milters, policy services, filters, LMTP, authentication, directories. Pure functions.

An endpoint here is ``{role, protocol, used_by, kind: "unix"|"inet", address: path or "host:port", asker}``; ``asker`` is
"mta" where Postfix's unprivileged user connects, else an empty string.
"""
from __future__ import annotations

import os
import re
import urllib.parse

from ansible_collections.mailops.outage.plugins.module_utils.host._postconf import COMPILED, logical_lines, parse_main, words

_MYSQL_SOCKETS = ("/run/mysqld/mysqld.sock", "/var/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock")
_PORTS = {"ldap": 389, "mysql": 3306, "pgsql": 5432, "memcache": 11211}
_BACKEND_ROLES = {"ldap": "directory", "mysql": "database", "pgsql": "database", "memcache": "dict"}
_RESTRICTIONS = tuple(f"smtpd_{step}_restrictions" for step in ("client", "helo", "sender", "relay", "recipient", "data", "end_of_data", "etrn"))
_TRANSPORTS = ("virtual_transport", "mailbox_transport", "local_transport", "relay_transport", "fallback_transport")


def endpoint(role: str, protocol: str, used_by: str, where, asker: str = "mta") -> list:
    """A list of one endpoint, or of none when ``where`` (kind, address) is None."""
    if where is None:
        return []
    return [{"role": role, "protocol": protocol, "used_by": used_by, "kind": where[0], "address": where[1], "asker": asker}]


def socket_path(path: str, queue_directory: str, chroot: bool) -> str:
    """The path of a unix-domain socket as a Postfix daemon resolves it: from the queue directory, which is also its root when it is chrooted."""
    return os.path.normpath(queue_directory + "/" + path if chroot or not path.startswith("/") else path)


def host_port(text: str, default_port: int | None = None):
    """("inet", "host:port") of ``host:port``, ``[host]:port``, ``[host]`` or ``host``; None without a host or a port."""
    match = re.match(r"^(?:\[(?:ipv6:)?([^\]]+)\]|([^\[\]:]+))(?::(\w+))?$", text.strip(), re.I)
    if not match:
        # An IPv6 address without brackets.
        match = re.match(r"^()([0-9a-f:.]+:[0-9a-f:.]*):(\d+)$", text.strip(), re.I)
    if not match:
        return None
    host, port = match.group(1) or match.group(2), match.group(3) or default_port
    return ("inet", f"[{host}]:{port}" if ":" in host else f"{host}:{port}") if port else None


def where(text: str, queue_directory: str, chroot: bool, default_port: int | None = None):
    """The place that ``inet:host:port``, ``unix:path``, ``local:path`` or ``host:port`` names, as (kind, address); None when it names none."""
    kind, colon, rest = text.strip().partition(":")
    if colon and kind in ("unix", "local"):
        return ("unix", socket_path(rest, queue_directory, chroot)) if rest else None
    if colon and kind in ("inet", "inet4", "inet6"):
        return host_port(rest, default_port)
    return host_port(text, default_port)


def policy_services(value: str) -> list:
    """The places after ``check_policy_service`` in a restriction list, also inside braces and with attributes."""
    found, expected = [], False
    for word in words(value):
        if expected:
            found.append(words(word)[0] if words(word) else "")
        elif re.search(r"\s", word):
            found += policy_services(word)
        expected = not expected and word == "check_policy_service"
    return [place for place in found if place]


def _first_word(element: str) -> str:
    return (words(element) or [""])[0]


def _smtpd_endpoints(scope: str, own: dict, values: dict, queue: str, chroot: bool) -> list:
    """What one smtpd(8) asks. ``own`` are its overrides, ``values`` main.cf's with these on top."""
    def user(name):
        return f"postfix {scope} {name}" if name in own else f"postfix {name}"

    found = []
    for element in words(values.get("smtpd_milters", "")):
        found += endpoint("milter", "milter", user("smtpd_milters"), where(_first_word(element), queue, chroot))
    classes = words(values.get("smtpd_restriction_classes", ""))
    for name in _RESTRICTIONS + tuple(classes):
        for place in policy_services(values.get(name, "")):
            found += endpoint("policy", "policy", user(name), where(place, queue, chroot))
    if values.get("smtpd_sasl_auth_enable") == "yes" and values.get("smtpd_sasl_type") == "dovecot":
        path = values.get("smtpd_sasl_path", "")
        place = where(path, queue, chroot) if path.startswith(("inet:", "unix:")) else ("unix", socket_path(path, queue, chroot)) if path else None
        found += endpoint("sasl", "dovecot-auth", user("smtpd_sasl_path"), place)
    if values.get("smtpd_proxy_filter"):
        found += endpoint("filter", "smtp", user("smtpd_proxy_filter"), where(values["smtpd_proxy_filter"], queue, chroot))
    return found


def transport_endpoint(role: str, used_by: str, value: str, masters: dict, queue: str) -> list:
    """The service behind ``transport:nexthop`` when smtp(8) or lmtp(8) delivers to it; ``masters`` are master.cf's unix services by name."""
    name, _colon, nexthop = value.strip().partition(":")
    master = masters.get(name)
    if not nexthop or not master or master["command"] not in ("lmtp", "smtp"):
        return []
    protocol = master["command"]
    return endpoint(role, protocol, used_by, where(nexthop, queue, master["chroot"], 24 if protocol == "lmtp" else 25))


def routes(known: dict, read) -> list:
    """``[(domain, transport:nexthop)]`` of the transport tables (transport(5)) whose source is plain text, at most 2000."""
    found = []
    for reference in known["maps"]:
        if "transport_maps" in reference["parameter"] and (reference["type"] in COMPILED or reference["type"] == "texthash"):
            lines = (line.split(None, 1) for _number, line in logical_lines(read(reference["path"]) or ""))
            found += [(fields[0].lower(), fields[1].strip()) for fields in lines if len(fields) == 2]
    return found[:2000]


def of_postfix(known: dict, read, domains=()) -> list:
    """The endpoints that Postfix's settings name. ``known`` as postfix.settings gives it; ``read(path)`` gives a file's text or None.

    Of the transport tables, only the routes of ``domains`` count, the host's own: where others' mail goes is no companion.
    """
    queue, values = known["queue_directory"], known["expanded"]
    masters = {master["service"]: master for master in known["masters"] if master["type"] in ("unix", "fifo", "pass")}
    servers = [master for master in known["masters"] if master["command"] == "smtpd"]
    found = []
    for server in servers or [{"service": "smtp", "type": "inet", "overrides": {}, "chroot": False}]:
        own = server["overrides"]
        found += _smtpd_endpoints(f"{server['service']}/{server['type']}", own, dict(values, **own), queue, server["chroot"])
        if own.get("content_filter"):
            found += transport_endpoint("filter", f"postfix {server['service']}/{server['type']} content_filter", own["content_filter"], masters, queue)
    for element in words(values.get("non_smtpd_milters", "")):
        found += endpoint("milter", "milter", "postfix non_smtpd_milters", where(_first_word(element), queue, masters.get("cleanup", {}).get("chroot", False)))
    found += transport_endpoint("filter", "postfix content_filter", values.get("content_filter", ""), masters, queue)
    for name in _TRANSPORTS:
        found += _delivery(f"postfix {name}", values.get(name, ""), masters, queue)
    for domain, route in routes(known, read):
        if domain in domains:
            found += _delivery(f"postfix transport_maps {domain}", route, masters, queue)
    for reference in known["maps"]:
        found += of_table(reference, queue, read)
    return found


def _delivery(used_by: str, route: str, masters: dict, queue: str) -> list:
    """Where our own mail is delivered: role lmtp, or transport when smtp(8) takes it to a named host. A bare domain is looked up in DNS and left out."""
    found = transport_endpoint("lmtp", used_by, route, masters, queue)
    if found and found[0]["protocol"] == "smtp":
        return [dict(found[0], role="transport")] if re.search(r":\[[^\]]+\](?::\w+)?$", route.strip()) else []
    return found


def of_table(reference: dict, queue: str, read) -> list:
    """The servers that a lookup table asks: from its configuration file, of which nothing but the hosts is looked at."""
    kind, path, user = reference["type"], reference["path"], f"postfix {reference['parameter']} ({reference['type']})"
    if kind == "tcp":
        return endpoint("relay_map", "none", user, host_port(path))
    if kind == "socketmap":
        # socketmap:inet:host:port:name, socketmap:unix:path:name
        return endpoint("relay_map", "none", user, where(path.rpartition(":")[0], queue, False))
    if kind not in _BACKEND_ROLES or not path.startswith("/"):
        return []
    text = read(path)
    return [] if text is None else of_backend(kind, _table_hosts(kind, parse_main(text)), user, "mta")


def _table_hosts(kind: str, values: dict) -> list:
    """The hosts in a table's configuration file (ldap_table(5), mysql_table(5), pgsql_table(5), memcache_table(5))."""
    if kind == "ldap":
        port = values.get("server_port", "")
        names = words(values.get("server_host", "")) or ["localhost"]
        return [name if "://" in name or not port else f"{name}:{port}" for name in names]
    if kind == "memcache":
        return [values.get("memcache", "inet:localhost:11211")]
    return words(values.get("hosts", "")) or ["localhost"]


def of_backend(kind: str, hosts: list, used_by: str, asker: str = "") -> list:
    """Endpoints of a directory's or database's hosts, each a name, ``host:port``, ``unix:path``, an absolute path or a URI (whose login is cut off)."""
    found = []
    for host in hosts:
        protocol, place = kind, None
        match = re.match(r"^(\w+)://(?:[^/@]*@)?([^/?]*)", host)
        if match:
            scheme, rest = match.group(1).lower(), match.group(2)
            if scheme == "ldapi":
                place = ("unix", urllib.parse.unquote(rest) or "/var/run/slapd/ldapi")
            else:
                # What begins with TLS is only connected to.
                protocol = "none" if scheme == "ldaps" else kind
                place = host_port(rest, 636 if scheme == "ldaps" else _PORTS.get(kind))
        elif host.startswith(("unix:", "/")):
            path = host[5:] if host.startswith("unix:") else host
            place = ("unix", path + "/.s.PGSQL.5432" if kind == "pgsql" and not path.rpartition("/")[2].startswith(".s.") else path)
        elif host == "localhost" and kind == "mysql":
            # The client library takes this name for the server's socket.
            place = ("unix", next((path for path in _MYSQL_SOCKETS if os.path.exists(path)), _MYSQL_SOCKETS[0]))
        else:
            place = host_port(host[5:] if host.startswith("inet:") else host, _PORTS.get(kind))
        found += endpoint(_BACKEND_ROLES.get(kind, "database"), protocol, used_by, place, asker)
    return found


def of_dovecot_file(text: str, driver: str, used_by: str) -> list:
    """The hosts in a Dovecot sql or ldap file: of ``connect`` only ``host`` and ``port``, of an LDAP file ``hosts`` and ``uris``."""
    values = parse_main(re.sub(r"\\\n\s*", " ", text))
    if driver == "ldap":
        return of_backend("ldap", values.get("uris", "").split() + values.get("hosts", "").split(), used_by)
    kind = values.get("driver", driver)
    if kind not in ("mysql", "pgsql"):
        return []
    connect = values.get("connect", "")
    port = re.search(r"\bport=(\d+)", connect)
    hosts = [host if host.startswith("/") or not port else f"{host}:{port.group(1)}" for host in re.findall(r"\bhost=(\S+)", connect)]
    return of_backend(kind, hosts or ["localhost"], used_by)


def of_dovecot(pairs: list, read) -> list:
    """The directories and databases that Dovecot's passdbs, userdbs and dicts ask. ``pairs`` as dovecot.settings gives them."""
    found = []
    blocks: dict = {}
    for path, value in pairs:
        if path[0] in ("passdb", "userdb") and len(path) == 3:
            blocks.setdefault(path[:2], {})[path[2]] = value
        elif path[0] == "dict" and len(path) == 2 and value.partition(":")[0] in ("mysql", "pgsql"):
            kind, _colon, file = value.partition(":")
            found += of_dovecot_file(read(file) or "", kind, f"dovecot dict {path[1]}")
        elif path == ("ldap_uris",):
            found += of_backend("ldap", value.split(), "dovecot ldap_uris")
        elif path[0] in ("mysql", "pgsql") and len(path) == 3 and path[2] in ("user", "dbname"):
            found += of_backend(path[0], [path[1]], f"dovecot {path[0]}")
    for (kind, _number), block in sorted(blocks.items()):
        driver = block.get("driver") or block.get("name") or ""
        file = next((word for word in block.get("args", "").split() if word.startswith("/")), None)
        if driver in ("sql", "ldap") and file:
            text = read(file)
            found += of_dovecot_file(text, driver, f"dovecot {kind} {driver}") if text else []
    return found


def merged(endpoints: list) -> list:
    """The endpoints without repetition; one that several settings name is listed once, with all of them in ``used_by``."""
    found: dict = {}
    for item in endpoints:
        known = found.setdefault((item["role"], item["kind"], item["address"]), dict(item, used_by=[], asker=""))
        known["used_by"].append(item["used_by"])
        known["asker"] = known["asker"] or item["asker"]
    return [dict(item, used_by=", ".join(dict.fromkeys(item["used_by"]))) for item in found.values()]


# Who usually stands behind an endpoint of this host: (service, default ports, a word in its socket's path, files that set its socket).
_HOMES = (
    ("opendkim", ("8891",), "opendkim", ("/etc/opendkim.conf", "/etc/default/opendkim")),
    ("opendmarc", ("8893",), "opendmarc", ("/etc/opendmarc.conf", "/etc/default/opendmarc")),
    ("rspamd", ("11332",), "rspamd", ("/etc/rspamd/local.d/worker-proxy.inc",)),
    ("clamav-milter", (), "clamav-milter", ("/etc/clamav/clamav-milter.conf",)),
    ("spamass-milter", (), "spamass", ("/etc/default/spamass-milter",)),
    ("postgrey", ("10023",), "postgrey", ("/etc/default/postgrey",)),
    ("policyd-weight", ("12525",), "policyd-weight", ("/etc/policyd-weight.conf",)),
    ("postfwd", ("10040",), "postfwd", ("/etc/default/postfwd",)),
    ("amavis", ("10024",), "amavis", ("/etc/amavis/conf.d/50-user", "/etc/amavis/conf.d/20-debian_defaults", "/etc/amavisd/amavisd.conf")),
    ("postsrsd", ("10001", "10002", "10003"), "postsrsd", ("/etc/default/postsrsd", "/etc/postsrsd.conf")),
    ("saslauthd", (), "saslauthd", ()),
    ("slapd", ("389", "636"), "ldapi", ()),
    ("mariadb", ("3306",), "mysqld", ()),
    ("postgresql", ("5432",), "PGSQL", ()),
    ("memcached", ("11211",), "memcached", ()),
)
_HERE = ("localhost", "127.0.0.1", "[::1]", "::1")


def service_of(item: dict, read) -> str | None:
    """The name of the service (as in services.KNOWN) that should stand behind an endpoint of this host, None for another host or an unknown service.

    What a service's own files say comes before its default port. Authentication by its protocol, and LMTP on a socket or
    on this host, is taken for Dovecot's.
    """
    host, _colon, port = item["address"].rpartition(":")
    if item["kind"] == "inet" and host not in _HERE:
        return None
    if item["role"] == "sasl" or (item["role"] == "lmtp" and "amavis" not in item["address"]):
        return "dovecot"
    name = os.path.basename(item["address"]) if item["kind"] == "unix" else port
    for service, _ports, _word, files in _HOMES:
        for path in files if name else ():
            live = "\n".join(line for line in (read(path) or "").splitlines() if not line.lstrip().startswith("#"))
            if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", live):
                return service
    for service, ports, word, _files in _HOMES:
        if (item["kind"] == "inet" and port in ports) or (item["kind"] == "unix" and word in item["address"]):
            return service
    return None
