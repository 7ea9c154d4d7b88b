from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host import _endpoints, companions
from ansible_collections.mailops.outage.plugins.module_utils.host._postconf import parse_masters, tables
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context

FIXTURES = Path(__file__).parent / "fixtures"
MASTERS = parse_masters("""
smtp       inet  n       -       y       -       -       smtpd
submission inet  n       -       y       -       -       smtpd -o smtpd_sasl_auth_enable=yes -o smtpd_milters=inet:127.0.0.1:9999
127.0.0.1:10026 inet n   -       n       -       -       smtpd -o smtpd_milters= -o content_filter=
cleanup    unix  n       -       y       -       0       cleanup
lmtp       unix  -       -       y       -       -       lmtp
amavis     unix  -       -       n       -       2       lmtp
smtp       unix  -       -       y       -       -       smtp
dovecot    unix  -       n       n       -       -       pipe flags=DRhu user=vmail argv=/usr/lib/dovecot/deliver -d ${recipient}
""")


def known(**expanded):
    maps = [{"parameter": name, "type": kind.rpartition(":")[2], "path": path} for name, value in expanded.items() for kind, path in tables(value)]
    return {"queue_directory": "/var/spool/postfix", "expanded": dict({"smtpd_sasl_type": "dovecot"}, **expanded), "masters": MASTERS, "maps": maps}


def places(found):
    return {(item["role"], item["kind"], item["address"]): item["used_by"] for item in _endpoints.merged(found)}


def of_postfix(files=None, **expanded):
    return places(_endpoints.of_postfix(known(**expanded), (files or {}).get))


@pytest.mark.parametrize("setting, place", [
    ("inet:127.0.0.1:8891", ("milter", "inet", "127.0.0.1:8891")),
    ("inet:[::1]:8891", ("milter", "inet", "[::1]:8891")),
    ("local:opendkim/opendkim.sock", ("milter", "unix", "/var/spool/postfix/opendkim/opendkim.sock")),
    ("{ unix:rspamd/milter.sock, default_action=accept, connect_timeout=10s }", ("milter", "unix", "/var/spool/postfix/rspamd/milter.sock")),
])
def test_a_milter_is_found_in_every_spelling(setting, place):
    assert of_postfix(smtpd_milters=setting)[place] == "postfix smtpd_milters"


def test_an_absolute_socket_path_lies_in_the_chroot_of_a_chrooted_daemon():
    assert ("milter", "unix", "/var/spool/postfix/run/opendkim.sock") in of_postfix(smtpd_milters="unix:/run/opendkim.sock")


def test_an_override_in_master_cf_counts_for_its_service_only():
    found = of_postfix(smtpd_milters="inet:127.0.0.1:8891", non_smtpd_milters="inet:127.0.0.1:8891")
    assert found[("milter", "inet", "127.0.0.1:8891")] == "postfix smtpd_milters, postfix non_smtpd_milters"
    assert found[("milter", "inet", "127.0.0.1:9999")] == "postfix submission/inet smtpd_milters"


def test_a_policy_service_is_found_in_lists_braces_and_restriction_classes():
    found = of_postfix(
        smtpd_restriction_classes="grey", grey="check_policy_service inet:127.0.0.1:10023",
        smtpd_recipient_restrictions="permit_mynetworks, reject_unauth_destination, check_policy_service unix:private/policyd-spf, "
                                     "check_policy_service { inet:192.0.2.9:12340, timeout=10s, default_action=DUNNO }")
    assert set(found) >= {("policy", "inet", "127.0.0.1:10023"), ("policy", "unix", "/var/spool/postfix/private/policyd-spf"),
                          ("policy", "inet", "192.0.2.9:12340")}


@pytest.mark.parametrize("path, place", [
    ("private/auth", ("sasl", "unix", "/var/spool/postfix/private/auth")),
    ("inet:127.0.0.1:12345", ("sasl", "inet", "127.0.0.1:12345")),
    ("unix:private/auth", ("sasl", "unix", "/var/spool/postfix/private/auth")),
])
def test_the_authentication_socket_is_named_from_the_queue_directory(path, place):
    assert place in of_postfix(smtpd_sasl_path=path)


def test_without_authentication_nothing_is_asked_for_it():
    quiet = [dict(master, overrides={}) for master in MASTERS]
    assert not _endpoints.of_postfix(dict(known(smtpd_sasl_path="private/auth"), masters=quiet), {}.get)


@pytest.mark.parametrize("name, value, place", [
    ("virtual_transport", "lmtp:unix:private/dovecot-lmtp", ("lmtp", "unix", "/var/spool/postfix/private/dovecot-lmtp")),
    ("mailbox_transport", "lmtp:inet:store.example.test", ("lmtp", "inet", "store.example.test:24")),
    ("relay_transport", "lmtp:[192.0.2.5]:2003", ("lmtp", "inet", "192.0.2.5:2003")),
    ("content_filter", "amavis:[127.0.0.1]:10024", ("filter", "inet", "127.0.0.1:10024")),
    ("content_filter", "smtp:127.0.0.1:10025", ("filter", "inet", "127.0.0.1:10025")),
    ("smtpd_proxy_filter", "127.0.0.1:10027", ("filter", "inet", "127.0.0.1:10027")),
])
def test_delivery_and_filters_are_found_behind_their_transport(name, value, place):
    assert place in of_postfix(**{name: value})


@pytest.mark.parametrize("name, value", [
    ("virtual_transport", "dovecot"), ("relay_transport", "smtp:example.test"), ("default_transport", "smtp:[relay.example.test]"),
    ("local_transport", "local:x")])
def test_a_pipe_a_domain_a_smart_host_and_local_delivery_are_no_companions(name, value):
    assert not any(role in ("lmtp", "transport") for role, _kind, _address in of_postfix(**{name: value}))


@pytest.mark.parametrize("kind, text, place", [
    ("mysql", "user = mail\npassword = hunter2\nhosts = 127.0.0.1\ndbname = mail", ("database", "inet", "127.0.0.1:3306")),
    ("mysql", "hosts = unix:/run/mysqld/mysqld.sock", ("database", "unix", "/run/mysqld/mysqld.sock")),
    ("pgsql", "hosts = postgresql://mail:hunter2@db.example.test:5433/mail", ("database", "inet", "db.example.test:5433")),
    ("pgsql", "hosts = unix:/run/postgresql", ("database", "unix", "/run/postgresql/.s.PGSQL.5432")),
    ("ldap", "server_host = ldap.example.test\nserver_port = 3890\nbind_pw = hunter2", ("directory", "inet", "ldap.example.test:3890")),
    ("ldap", "server_host = ldaps://ldap.example.test", ("directory", "inet", "ldap.example.test:636")),
    ("ldap", "server_host = ldapi://%2Frun%2Fslapd%2Fldapi", ("directory", "unix", "/run/slapd/ldapi")),
    ("ldap", "search_base = dc=example", ("directory", "inet", "localhost:389")),
    ("memcache", "memcache = inet:localhost:11211", ("dict", "inet", "localhost:11211")),
])
def test_the_server_of_a_table_is_taken_from_its_file_and_nothing_else(kind, text, place):
    found = of_postfix({"/etc/postfix/t.cf": text}, virtual_mailbox_maps=f"proxy:{kind}:/etc/postfix/t.cf")
    assert found[place] == f"postfix virtual_mailbox_maps ({kind})"
    assert "hunter2" not in repr(found)


def test_tables_that_are_sockets_name_their_server():
    found = of_postfix(transport_maps="tcp:127.0.0.1:10001, socketmap:unix:/run/postsrsd/socketmap:forward, socketmap:inet:127.0.0.1:10003:reverse")
    assert set(found) >= {("relay_map", "inet", "127.0.0.1:10001"), ("relay_map", "unix", "/run/postsrsd/socketmap"), ("relay_map", "inet", "127.0.0.1:10003")}


@pytest.mark.parametrize("driver, text, place", [
    ("sql", "driver = mysql\nconnect = host=10.0.0.3 port=3307 dbname=mail user=mail password=hunter2", ("database", "inet", "10.0.0.3:3307")),
    ("sql", "driver = pgsql\nconnect = host=/run/postgresql dbname=mail", ("database", "unix", "/run/postgresql/.s.PGSQL.5432")),
    ("ldap", "hosts = ldap1.example.test\ndnpass = hunter2", ("directory", "inet", "ldap1.example.test:389")),
    ("ldap", "uris = ldaps://ldap2.example.test", ("directory", "inet", "ldap2.example.test:636")),
])
def test_the_server_behind_a_passdb_is_taken_from_its_file_and_nothing_else(driver, text, place):
    pairs = [(("passdb", "0", "driver"), driver), (("passdb", "0", "args"), "/etc/dovecot/x.conf.ext")]
    found = places(_endpoints.of_dovecot(pairs, {"/etc/dovecot/x.conf.ext": text}.get))
    assert found == {place: f"dovecot passdb {driver}"}
    assert "hunter2" not in repr(found)


def test_sqlite_has_no_server():
    assert not _endpoints.of_dovecot_file("driver = sqlite\nconnect = /var/lib/mail.db", "sql", "x")


@contextlib.contextmanager
def server(script, path=None):
    """A loopback server (TCP, or at ``path``) that runs ``script(connection)`` for each client; yields (kind, address)."""
    listener = socket.create_server(("127.0.0.1", 0)) if path is None else socket.socket(socket.AF_UNIX)
    if path is not None:
        listener.bind(path)
        listener.listen()

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _peer = listener.accept()
                with connection:
                    script(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield ("inet", f"127.0.0.1:{listener.getsockname()[1]}") if path is None else ("unix", path)
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(1)


def says(text):
    def script(connection):
        connection.sendall(text)
        connection.settimeout(1)
        with contextlib.suppress(OSError):
            connection.recv(1000)
    return script


def answers(text, seen):
    def script(connection):
        seen.append(connection.recv(4096))
        connection.sendall(text)
        with contextlib.suppress(OSError):
            seen.append(connection.recv(1000))
    return script


def test_lmtp_must_greet():
    with server(says(b"220 mail.example.test Dovecot ready.\r\n")) as (kind, address):
        found = companions.ask(kind, address, "lmtp", 1)
    assert (found["connect"], found["answered"], found["text"]) == ("ok", True, "220 mail.example.test Dovecot ready.")


def test_a_filter_that_refuses_is_no_answer():
    with server(says(b"421 4.3.0 busy\r\n")) as (kind, address):
        found = companions.ask(kind, address, "smtp", 1)
    assert (found["connect"], found["answered"], found["text"]) == ("no_answer", False, "421 4.3.0 busy")


def test_a_milter_must_answer_the_negotiation_and_is_told_to_quit():
    seen = []
    with server(answers(struct.pack(">IcIII", 13, b"O", 6, 0, 0), seen)) as (kind, address):
        found = companions.ask(kind, address, "milter", 1)
    assert (found["connect"], found["text"]) == ("ok", "milter protocol version 6")
    assert seen[0][:5] == b"\x00\x00\x00\x0dO" and seen[1] == b"\x00\x00\x00\x01Q"


def test_a_policy_service_must_say_an_action():
    seen = []
    with server(answers(b"action=DUNNO\n\n", seen)) as (kind, address):
        found = companions.ask(kind, address, "policy", 1)
    assert (found["connect"], found["text"]) == ("ok", "action=DUNNO")
    assert seen[0].startswith(b"request=smtpd_access_policy\n") and seen[0].endswith(b"\n\n")


def test_the_authentication_service_shows_its_mechanisms_and_its_cookie_is_not_kept():
    hello = b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t12\nCUID\t1\nCOOKIE\tdeadbeef\nDONE\n"
    with server(says(hello)) as (kind, address):
        found = companions.ask(kind, address, "dovecot-auth", 1)
    assert (found["connect"], found["text"]) == ("ok", "mechanisms PLAIN LOGIN")
    assert "deadbeef" not in repr(found)


@pytest.mark.parametrize("protocol, answer, connect, word", [
    ("ldap", bytes.fromhex("300c02010161070a010004000400"), "ok", "LDAP result code 0"),
    ("ldap", bytes.fromhex("300c02010161070a013304000400"), "no_answer", "LDAP result code 51"),
    ("pgsql", b"N", "ok", "answers"),
    ("memcache", b"VERSION 1.6\r\n", "ok", "VERSION 1.6"),
])
def test_a_directory_or_database_answers_before_any_login(protocol, answer, connect, word):
    with server(answers(answer, [])) as (kind, address):
        found = companions.ask(kind, address, protocol, 1)
    assert found["connect"] == connect and word in found["text"]


@pytest.mark.parametrize("packet, connect, word", [
    (b"\x0a10.11.6-MariaDB\0rest", "ok", "10.11.6-MariaDB"),
    (b"\xff\x10\x04Too many connections", "no_answer", "Too many connections"),
])
def test_a_database_server_greets_or_says_why_not(packet, connect, word):
    body = packet[:1] + packet[1:]
    with server(says(len(body).to_bytes(3, "little") + b"\0" + body)) as (kind, address):
        found = companions.ask(kind, address, "mysql", 1)
    assert found["connect"] == connect and word in found["text"]


@pytest.mark.parametrize("protocol", ["lmtp", "milter", "policy", "dovecot-auth", "ldap", "mysql", "pgsql", "memcache"])
def test_a_stopped_process_accepts_but_does_not_answer(protocol):
    # Nobody takes the connection from the listening queue: as with SIGSTOP.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = companions.ask("inet", f"127.0.0.1:{listener.getsockname()[1]}", protocol, 0.2)
    assert (found["connect"], found["answered"]) == ("no_answer", False)


@pytest.mark.parametrize("protocol", ["lmtp", "milter", "policy", "dovecot-auth", "mysql"])
def test_one_that_hangs_up_at_once_does_not_answer(protocol):
    with server(lambda connection: None) as (kind, address):
        found = companions.ask(kind, address, protocol, 1)
    assert (found["connect"], found["answered"]) == ("no_answer", False)


def test_a_closed_port_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert companions.ask("inet", f"127.0.0.1:{port}", "lmtp", 1)["connect"] == "refused"


def test_a_socket_file_without_a_server_is_refused_and_no_file_is_missing(tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    assert companions.ask("unix", path, "milter", 1)["connect"] == "refused"
    assert companions.ask("unix", str(tmp_path / "none"), "milter", 1)["connect"] == "missing"


ITEM = {"role": "sasl", "protocol": "dovecot-auth", "used_by": "postfix smtpd_sasl_path", "kind": "unix", "asker": "mta"}


def look(path, accounts):
    context = Context()
    context.once("accounts", lambda: accounts)
    return companions._look(context, dict(ITEM, address=str(path)), "postfix")


def accounts_with(uid, *groups):
    from ansible_collections.mailops.outage.plugins.module_utils.host._accounts import parse_accounts
    lines = "".join(f"g{gid}:x:{gid}:postfix\n" for gid in groups)
    return parse_accounts(f"postfix:x:{uid}:{uid}::/:/bin/false\n", lines)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's own connection proves nothing")
def test_root_connects_but_the_mtas_user_may_not(tmp_path):
    for folder in [tmp_path, *tmp_path.parents]:
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    path = str(tmp_path / "auth")
    with server(says(b"VERSION\t1\t2\nDONE\n"), path):
        os.chmod(path, 0o600)
        found = look(path, accounts_with(4242))
        assert (found["connect"], found["mode"], found["answered"]) == ("denied", "0600", None)
        assert "postfix may not pass" in found["text"] and path in found["text"]
        os.chown(path, 0, 5151)
        os.chmod(path, 0o660)
        assert look(path, accounts_with(4242))["connect"] == "denied"
        assert look(path, accounts_with(4242, 5151))["connect"] == "ok"


def test_a_plain_file_in_a_sockets_place_is_refused(tmp_path):
    (tmp_path / "auth").write_text("")
    assert look(tmp_path / "auth", accounts_with(os.geteuid()))["connect"] == "refused"


def test_what_is_not_there_is_missing(tmp_path):
    found = look(tmp_path / "auth", accounts_with(os.geteuid()))
    assert (found["exists"], found["connect"]) == (False, "missing")


def test_all_are_asked_side_by_side_and_one_that_never_comes_back_is_a_timeout(monkeypatch):
    def slow(_context, item, _user):
        time.sleep(0.2 if item["address"] == "a:1" else 9)
        return {"connect": "ok"}

    monkeypatch.setattr(companions, "_PATIENCE", -0.7)
    monkeypatch.setattr(companions, "_look", slow)
    monkeypatch.setattr(companions.postfix, "settings", lambda context: None)
    item = {"role": "milter", "protocol": "milter", "service": None, "used_by": "x", "kind": "inet", "asker": "mta"}
    items = [dict(item, address=address) for address in ("a:1", "b:2")]
    context = Context()
    context.once("endpoints", lambda: items)
    began = time.monotonic()
    endpoints = companions.collect(context)["endpoints"]
    assert [entry["connect"] for entry in endpoints] == ["ok", "timeout"] and time.monotonic() - began < 2


def test_a_resolver_that_does_not_answer_is_told_from_a_server_that_does_not(monkeypatch):
    monkeypatch.setattr(companions.socket, "getaddrinfo", lambda *_arguments, **_options: time.sleep(2))
    found = companions.ask("inet", "lmtp.example.test:24", "lmtp", 0.1)
    assert found["connect"] == "unreachable" and "resolver" in found["text"]


def test_a_name_that_does_not_exist_does_not_resolve(monkeypatch):
    def nobody(*_arguments, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    monkeypatch.setattr(companions.socket, "getaddrinfo", nobody)
    assert companions.ask("inet", "nowhere.example.test:25", "smtp", 1)["text"] == "the name does not resolve: Name or service not known"


def test_the_second_address_of_a_name_is_tried(monkeypatch):
    with server(says(b"220 ready\r\n")) as (kind, address):
        port = int(address.rpartition(":")[2])
        # Nothing listens on this loopback address.
        places = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port)) for host in ("127.0.0.9", "127.0.0.1")]
        monkeypatch.setattr(companions.socket, "getaddrinfo", lambda *_arguments, **_options: places)
        assert companions.ask(kind, f"two.example.test:{port}", "lmtp", 1)["connect"] == "ok"


TABLE = """# comment
example.test   lmtp:inet:[store.example.test]:24
relayed.test smtp:[relay.example.test]
other.test smtp:[other.example.test]
mx.test smtp:mx.test
"""


def test_the_routes_of_our_own_domains_are_companions_and_others_are_not():
    host = known(transport_maps="hash:/etc/postfix/transport")
    found = places(_endpoints.of_postfix(host, {"/etc/postfix/transport": TABLE}.get, ["example.test", "relayed.test", "mx.test"]))
    assert {place: user for place, user in found.items() if place[0] != "milter"} == {
        ("lmtp", "inet", "store.example.test:24"): "postfix transport_maps example.test",
        ("transport", "inet", "relay.example.test:25"): "postfix transport_maps relayed.test"}


def test_a_transport_with_a_named_next_hop_is_ours():
    assert ("transport", "inet", "store.example.test:2525") in of_postfix(virtual_transport="smtp:[store.example.test]:2525")


@pytest.mark.parametrize("item, files, service", [
    ({"role": "milter", "kind": "inet", "address": "localhost:8891"}, {}, "opendkim"),
    ({"role": "milter", "kind": "inet", "address": "127.0.0.1:12301"}, {"/etc/opendkim.conf": "Socket inet:12301@localhost\n"}, "opendkim"),
    ({"role": "milter", "kind": "inet", "address": "127.0.0.1:8891"}, {"/etc/opendmarc.conf": "# Socket inet:8893\nSocket inet:8891@localhost\n"}, "opendmarc"),
    ({"role": "milter", "kind": "unix", "address": "/var/spool/postfix/opendkim/opendkim.sock"}, {}, "opendkim"),
    ({"role": "milter", "kind": "unix", "address": "/var/spool/postfix/rspamd/milter.sock"}, {}, "rspamd"),
    ({"role": "policy", "kind": "inet", "address": "127.0.0.1:10023"}, {}, "postgrey"),
    ({"role": "filter", "kind": "inet", "address": "127.0.0.1:10024"}, {}, "amavis"),
    ({"role": "sasl", "kind": "unix", "address": "/var/spool/postfix/private/auth"}, {}, "dovecot"),
    ({"role": "lmtp", "kind": "inet", "address": "store.example.test:24"}, {}, None),
    ({"role": "milter", "kind": "inet", "address": "192.0.2.5:8891"}, {}, None),
    ({"role": "database", "kind": "unix", "address": "/run/mysqld/mysqld.sock"}, {}, "mariadb"),
    ({"role": "policy", "kind": "inet", "address": "127.0.0.1:4711"}, {}, None),
])
def test_the_service_behind_an_endpoint_is_known(item, files, service):
    assert _endpoints.service_of(item, files.get) == service


UNIX = (FIXTURES / "proc-net-unix.txt").read_text()


@pytest.mark.parametrize("path, listening", [
    ("/var/spool/postfix/private/auth", True), ("/var/spool/postfix/private/tlsmgr", True), ("/var/spool/postfix/private/nothing", False),
    ("/run/dovecot/lmtp", True)])
def test_everybody_may_see_whether_a_process_listens_at_a_path(path, listening):
    assert companions.listens(path, UNIX) is listening


@pytest.mark.parametrize("path, exists, connect", [("/var/spool/postfix/private/auth", True, None), ("/var/spool/postfix/private/gone", None, "missing")])
def test_without_root_a_hidden_socket_is_judged_by_who_listens(monkeypatch, path, exists, connect):
    def denied(_path):
        raise PermissionError(13, "Permission denied")

    context = Context()
    context.once("accounts", lambda: accounts_with(4242))
    context.read = lambda name, most=0: UNIX
    monkeypatch.setattr(companions, "_stat", denied)
    found = companions._look(context, dict(ITEM, address=path), "postfix")
    assert (found["exists"], found["connect"], found["answered"]) == (exists, connect, None) and context.not_visible
