from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host import _postconf, postfix
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context, Ran
from hypothesis import given
from hypothesis import strategies as st

FIXTURES = Path(__file__).parent / "fixtures"
MAIN = "/etc/postfix/main.cf"


@pytest.mark.parametrize("line, error", [
    ('/usr/sbin/postconf: fatal: /etc/postfix/main.cf, line 60: missing \'=\' after attribute name: "relayhost [x.example.test]"',
     {"source": MAIN, "line": 60, "text": "missing '=' after attribute name: \"relayhost …\""}),
    ("postconf: fatal: file /etc/postfix/master.cf: line 138: bad field count", {"source": "/etc/postfix/master.cf", "line": 138, "text": "bad field count"}),
    ("postconf: fatal: config variable inet_interfaces: host not found: nosuch.example.invalid",
     {"source": MAIN, "line": 3, "text": "config variable inet_interfaces: host not found: nosuch.example.invalid"}),
    ("postconf: fatal: parameter inet_interfaces: no local interface found for 192.0.2.10",
     {"source": MAIN, "line": 3, "text": "parameter inet_interfaces: no local interface found for 192.0.2.10"}),
    ("postconf: fatal: file /etc/postfix/main.cf: parameter mail_owner: unknown user name value: postfix",
     {"source": MAIN, "line": None, "text": "parameter mail_owner: unknown user name value: postfix"}),
    ("postmap: fatal: bad numerical configuration: message_size_limit = abc",
     {"source": MAIN, "line": 1, "text": "bad numerical configuration: message_size_limit = abc"}),
])
def test_what_postconf_dies_of_is_found_with_its_place(line, error):
    main = "message_size_limit = abc\n\ninet_interfaces = 192.0.2.10\n"
    assert _postconf.parse_complaints(line + "\n" + line, MAIN, main)["errors"] == [error]


def test_typing_errors_and_repeated_settings_are_named_without_their_values():
    found = _postconf.parse_complaints(
        "/usr/sbin/postconf: warning: /etc/postfix/main.cf: unused parameter: relayhst=[secret.example.test]\n"
        "/usr/sbin/postconf: warning: /etc/postfix/main.cf, line 51: overriding earlier entry: smtp_sasl_password_maps=static:alice:hunter2\n"
        "/usr/sbin/postconf: warning: /etc/postfix/main.cf, line 51: overriding earlier entry: smtp_sasl_password_maps=static:alice:hunter2\n", MAIN)
    assert found["unused"] == ["relayhst"]
    text = "/etc/postfix/main.cf, line 51: overriding earlier entry: smtp_sasl_password_maps"
    assert found["duplicates"] == [{"parameter": "smtp_sasl_password_maps", "text": text}]
    assert "hunter2" not in repr(found)


def test_main_cf_goes_on_in_indented_lines_and_the_last_entry_wins():
    text = "# comment\nrelayhost = [a]\n  :25\n# in between\n\nmydestination = $myhostname,\n\tlocalhost\nrelayhost =[b]\nno equals sign\n"
    assert _postconf.parse_main(text) == {"relayhost": "[b]", "mydestination": "$myhostname, localhost"}
    assert _postconf.line_of("relayhost", text) == 8


@pytest.mark.parametrize("value, found", [
    ("hash:/etc/aliases", [("hash", "/etc/aliases")]),
    ("hash:/a, proxy:mysql:/b.cf", [("hash", "/a"), ("proxy:mysql", "/b.cf")]),
    ("permit_mynetworks, check_client_access cidr:/etc/postfix/clients, reject", [("cidr", "/etc/postfix/clients")]),
    ("{ check_sender_access hash:/s, reject }", [("hash", "/s")]),
    ("unionmap:{hash:/a, ldap:/b.cf} pipemap:{pcre:/c,lmdb:/d}", [("hash", "/a"), ("ldap", "/b.cf"), ("pcre", "/c"), ("lmdb", "/d")]),
    ("inline:{ a=b, c=d } static:x", [("inline", "{ a=b, c=d }"), ("static", "x")]),
    ("smtp:[relay.example.test]:25 inet:127.0.0.1:8891 unix:private/auth", []),
    ("", []),
])
def test_tables_are_found_in_any_list(value, found):
    assert postfix.tables(value) == found


@given(st.text(alphabet="abc:/{}, \n", max_size=60))
def test_any_text_can_be_split_into_words_and_tables(value):
    assert all(word and not word.startswith((",", " ")) for word in _postconf.words(value))
    assert isinstance(_postconf.tables(value), list)


@given(st.text(alphabet="ab${}():?<", max_size=40))
def test_expansion_ends_whatever_it_is_given(value):
    assert isinstance(_postconf.expand(value, {"a": "$b", "b": "$a$a"}), str)


@pytest.mark.parametrize("value, expanded", [
    ("$myhostname, localhost.$mydomain", "mx.example.test, localhost.example.test"),
    ("${mydomain?yes} ${nothing:no} ${nothing?never}", "yes no "),
    ("${mydomain?{a}:{b}} ${nothing?{a}:{b}} $(mydomain)", "a b example.test"),
    ("$unknown", ""),
    ("${{$level} <level {3.6} ? {$mydomain} : {}}|${{$level} <level {3.10} ? {old} : {new}}", "|old"),
    ("${{$mydomain} == {example.test} ? {ours} : {theirs}}", "ours"),
])
def test_names_are_replaced_as_postconf_does(value, expanded):
    assert _postconf.expand(value, {"myhostname": "mx.$mydomain", "mydomain": "example.test", "level": "3.6"}) == expanded


def test_master_cf_is_read_with_its_overrides():
    masters = _postconf.parse_masters((FIXTURES / "postconf-M.txt").read_text())
    by_name = {(master["service"], master["type"]): master for master in masters}
    assert by_name[("smtp", "inet")]["command"] == "smtpd" and by_name[("smtp", "inet")]["chroot"] is True
    assert by_name[("submission", "inet")]["overrides"]["smtpd_sasl_auth_enable"] == "yes"
    assert by_name[("qmgr", "unix")]["chroot"] is False
    assert by_name[("cleanup", "unix")]["maxproc"] == "0"


def test_overrides_may_stand_in_braces_and_hold_no_secrets():
    line = "smtp unix - - y - - smtp -o { smtpd_client_restrictions = permit_sasl_authenticated, reject } -o smtp_sasl_password_maps=static:alice:hunter2 -v"
    master = _postconf.parse_masters(line)[0]
    assert master["overrides"] == {"smtpd_client_restrictions": "permit_sasl_authenticated, reject", "smtp_sasl_password_maps": "static:(hidden)"}
    assert "hunter2" not in repr(master)


def test_of_a_pipe_only_the_program_is_kept():
    master = _postconf.parse_masters("dovecot unix - n n - - pipe flags=DRhu user=vmail argv=/usr/lib/dovecot/deliver -p hunter2 -d ${recipient}")[0]
    assert master["program"] == "/usr/lib/dovecot/deliver" and "hunter2" not in repr(master)


def test_a_line_of_master_cf_with_too_few_fields_is_passed_over():
    assert [master["service"] for master in _postconf.parse_masters("smtp inet n -\npickup unix n - y 60 1 pickup\n")] == ["pickup"]


DEFAULTS = {"message_size_limit": "10240000", "smtp_connect_timeout": "30s", "soft_bounce": "no", "relayhost": "", "smtpd_forbid_bare_newline": "no",
            "compatibility_level": "0", "default_destination_concurrency_positive_feedback": "1"}


@pytest.mark.parametrize("name, value, refused", [
    ("message_size_limit", "abc", "bad numerical configuration: message_size_limit = abc"),
    ("message_size_limit", "10M", "bad numerical configuration"),
    ("message_size_limit", "0", None),
    ("smtp_connect_timeout", "5x", "bad time value or unit"),
    ("smtp_connect_timeout", "5m", None),
    ("soft_bounce", "maybe", "bad boolean configuration"),
    ("soft_bounce", "YES", None),
    ("relayhost", "anything", None),
    ("smtpd_forbid_bare_newline", "normalize", None),
    ("compatibility_level", "3.6", None),
    ("default_destination_concurrency_positive_feedback", "1/concurrency", None),
    ("of_our_own", "x", None),
])
def test_a_value_that_no_daemon_accepts_is_found_although_postconf_prints_it(name, value, refused):
    found = _postconf.bad_values({name: value}, DEFAULTS)
    assert (found[0][1] if found else None) is None if refused is None else refused in found[0][1]


def test_no_default_is_taken_for_a_bad_value():
    defaults = _postconf.parse_main((FIXTURES / "postconf-d.txt").read_text())
    assert len(defaults) > 900 and _postconf.bad_values(defaults, defaults) == []


@pytest.mark.parametrize("value, unknown", [
    ("permit_mynetwork, reject_unauth_destination", ["permit_mynetwork"]),
    ("permit_mynetworks permit_sasl_authenticated, reject_rbl_client zen.example.test=127.0.0.[2..11], reject", []),
    ("check_policy_service { inet:127.0.0.1:10023, timeout=3s }, warn_if_reject reject_unknown_sender_domain", []),
    ("check_client_access { hash:/x }, greylist, hash:/y, sleep 1, defer_unauth_destination", []),
    ("permit_mynetworks, rejct", ["rejct"]),
])
def test_a_restriction_that_smtpd_does_not_know_is_found(value, unknown):
    assert _postconf.unknown_restrictions(value, frozenset(("greylist",))) == unknown


@pytest.mark.parametrize("value, guarded", [
    ("permit_mynetworks, reject_unauth_destination", True), ("permit_mynetworks, { defer_unauth_destination }", True),
    ("permit_mynetworks", False), ("", False)])
def test_a_list_that_refuses_no_relaying_is_known(value, guarded):
    assert _postconf.guards_relaying(value) is guarded


class Host(Context):
    """A context whose commands and files are given; a command that is not given is missing."""

    def __init__(self, commands, files=()):
        super().__init__()
        self.commands, self.files, self.asked = commands, dict(files), []

    def run(self, *argv, **_options):
        self.asked.append(argv)
        for start, (rc, out, err) in self.commands.items():
            if " ".join(argv).startswith(start):
                return Ran(argv, rc, out, err)
        return Ran(argv, None, missing=True)

    def read(self, path, most=1024 * 1024):
        return self.files.get(path) if path in self.files or path.startswith("/etc/") else super().read(path, most)


def fixture(name):
    return (FIXTURES / name).read_text()


def healthy(**more):
    commands = {f"postconf -{option}": (0, fixture(f"postconf-{option}.txt"), "") for option in ("n", "x", "M", "m", "d")}
    return dict(commands, **{"postmap -q": (1, "", "")}, **more)


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    monkeypatch.setattr(postfix, "_PROGRAMS", ("/",))
    monkeypatch.setattr(postfix, "_is_unknown", lambda look, name: False)


def test_without_postfix_every_key_is_there_and_empty(monkeypatch):
    empty = postfix.collect(Host(healthy(), {MAIN: fixture("main.cf")}))
    monkeypatch.setattr(postfix, "_PROGRAMS", ())
    absent = postfix.collect(Host({}))
    assert absent["present"] is False and set(absent) == set(empty)


def test_a_real_configuration_is_told_in_one_round_of_questions():
    host = Host(healthy(), {MAIN: fixture("main.cf")})
    found = postfix.collect(host)
    assert found["present"] and found["readable"] and found["errors"] == [] and found["services_missing"] == []
    assert found["version"].startswith("3.") and found["queue_directory"] == "/var/spool/postfix" and found["mail_owner"] == "postfix"
    assert found["expanded"]["message_size_limit"].isdigit() and "$" not in found["expanded"]["mydestination"]
    assert len([argv for argv in host.asked if argv[0] == "postconf"]) == 5
    assert found["transports_missing"] == [] and found["unknown_restrictions"] == []


def test_a_broken_main_cf_is_read_by_ourselves():
    text = "queue_directory = /srv/spool\nmyhostname = mx.example.test\nmydestination = $myhostname, example.test\nrelayhost [x]\n"
    fatal = (1, "", "postconf: fatal: /etc/postfix/main.cf, line 4: missing '=' after attribute name: \"relayhost [x]\"\n")
    host = Host({"postconf -d": (0, fixture("postconf-d.txt"), ""), "postconf": fatal}, {MAIN: text, "/etc/postfix/master.cf": fixture("postconf-M.txt")})
    found = postfix.collect(host)
    assert found["readable"] is False and found["queue_directory"] == "/srv/spool"
    assert found["errors"] == [{"source": MAIN, "line": 4, "text": "missing '=' after attribute name: \"relayhost …\""}]
    assert found["accepts"]["local"] == ["mx.example.test", "example.test"]
    assert not any("[x]" in line for check in found["checks"] for line in check["lines"]), "what postconf quotes may be a secret"
    assert any(master["service"] == "smtp" for master in found["masters"])
    assert not any(argv[0] == "postmap" for argv in host.asked), "with a broken configuration no table can be asked"


def test_a_missing_postconf_is_an_error_of_its_own():
    found = postfix.collect(Host({}, {MAIN: "myhostname = mx.example.test\n"}))
    assert found["errors"][0] == {"source": "postconf", "line": None, "text": "the program is missing"}
    assert found["queue_directory"] == "/var/spool/postfix"


def with_settings(**values):
    commands = healthy()
    lines = "".join(f"{name} = {value}\n" for name, value in values.items())
    for option in ("n", "x"):
        commands[f"postconf -{option}"] = (0, fixture(f"postconf-{option}.txt") + lines, "")
    return commands


def test_a_number_that_is_none_is_an_error_with_its_line():
    found = postfix.collect(Host(with_settings(message_size_limit="abc"), {MAIN: "myhostname = x\nmessage_size_limit = abc\n"}))
    assert found["errors"] == [{"source": MAIN, "line": 2, "text": "bad numerical configuration: message_size_limit = abc"}]


def test_a_bad_value_in_master_cf_is_an_error_too():
    commands = healthy()
    commands["postconf -M"] = (0, fixture("postconf-M.txt") + "10025 inet n - n - - smtpd -o smtpd_delay_reject=perhaps\n", "")
    found = postfix.collect(Host(commands, {MAIN: ""}))
    assert [error["text"] for error in found["errors"]] == ["10025/inet: bad boolean configuration: smtpd_delay_reject = perhaps"]


def test_lists_that_let_everybody_relay_are_an_error():
    found = postfix.collect(Host(with_settings(smtpd_relay_restrictions="permit_mynetworks", smtpd_recipient_restrictions=""), {MAIN: ""}))
    assert "specify at least one working instance of: reject_unauth_destination" in found["errors"][0]["text"]


def test_an_account_that_does_not_exist_is_an_error(monkeypatch):
    monkeypatch.setattr(postfix, "_is_unknown", lambda look, name: name == "postfix")
    found = postfix.collect(Host(healthy(), {MAIN: ""}))
    assert [error["text"] for error in found["errors"]] == ["parameter mail_owner: unknown user name value: postfix"]


def test_internal_services_and_transports_that_are_not_in_master_cf_are_named():
    commands = with_settings(virtual_transport="dovecot", content_filter="scan:[127.0.0.1]:10025")
    kept = [line for line in fixture("postconf-M.txt").splitlines() if not line.startswith(("tlsmgr", "rewrite", "dovecot"))]
    commands["postconf -M"] = (0, "\n".join(kept), "")
    found = postfix.collect(Host(commands, {MAIN: ""}))
    assert found["services_missing"] == ["rewrite", "tlsmgr"]
    assert found["transports_missing"] == [{"parameter": "virtual_transport", "transport": "dovecot"}, {"parameter": "content_filter", "transport": "scan"}]


def test_a_transport_in_the_table_that_master_cf_has_not_is_named_too():
    commands = with_settings(transport_maps="hash:/etc/postfix/transport")
    found = postfix.collect(Host(commands, {MAIN: "", "/etc/postfix/transport": "a.test nothere:x\nb.test smtp:[y]\nc.test :\n"}))
    assert found["transports_missing"] == [{"parameter": "transport_maps", "transport": "nothere"}]


def test_what_a_daemon_dies_of_at_its_start_is_an_error():
    commands = dict(healthy(), **{"postconf -m": (1, "", "postconf: fatal: parameter inet_interfaces: no local interface found for 192.0.2.10\n")})
    found = postfix.collect(Host(commands, {MAIN: "myhostname = x\ninet_interfaces = 192.0.2.10\n"}))
    assert found["errors"] == [{"source": MAIN, "line": 2, "text": "parameter inet_interfaces: no local interface found for 192.0.2.10"}]
    assert all(entry["supported"] is None and entry["lookup"] is None for entry in found["maps"])


def test_an_unknown_restriction_is_named_with_its_list():
    found = postfix.collect(Host(with_settings(smtpd_sender_restrictions="permit_mynetwork, reject"), {MAIN: ""}))
    assert found["unknown_restrictions"] == [{"parameter": "smtpd_sender_restrictions", "name": "permit_mynetwork"}]


TYPES = ["btree", "cidr", "hash", "pcre", "proxy", "regexp", "static", "texthash"]


def describe(kind, path, types=None, parameter="transport_maps", proxied=False, now=None):
    reference = {"parameter": parameter, "type": kind, "path": str(path), "proxied": proxied}
    return postfix.describe_map(reference, TYPES if types is None else types, None, time.time() if now is None else now)


def touch(path, age):
    path.write_text("x")
    os.utime(path, (time.time() - age, time.time() - age))


def test_a_table_that_was_not_compiled_is_missing_its_compiled_file(tmp_path):
    touch(tmp_path / "transport", 1000)
    found = describe("hash", tmp_path / "transport")
    assert (found["source_exists"], found["compiled_exists"], found["stale"], found["readable"]) == (True, False, False, False)
    assert found["compiled_path"] == str(tmp_path / "transport.db")


@pytest.mark.parametrize("source_age, compiled_age, stale", [(1000, 5000, True), (5000, 1000, False), (10, 5000, False)])
def test_a_table_is_stale_when_its_source_is_newer_and_was_left_so(tmp_path, source_age, compiled_age, stale):
    touch(tmp_path / "transport", source_age)
    touch(tmp_path / "transport.db", compiled_age)
    assert describe("hash", tmp_path / "transport")["stale"] is stale


def test_a_plain_table_needs_no_compiled_file(tmp_path):
    touch(tmp_path / "checks", 10)
    found = describe("pcre", tmp_path / "checks")
    assert (found["compiled_path"], found["compiled_exists"], found["readable"], found["stale"]) == (None, None, True, False)


def test_a_type_that_is_not_installed_is_not_supported(tmp_path):
    assert describe("mysql", tmp_path / "x.cf")["supported"] is False
    assert describe("hash", tmp_path / "x")["supported"] is True
    assert describe("hash", tmp_path / "x", types=[])["supported"] is None


@pytest.mark.parametrize("kind, parameter, secret", [
    ("mysql", "virtual_mailbox_maps", True), ("hash", "smtp_sasl_password_maps", True), ("hash", "transport_maps", False)])
def test_tables_that_hold_secrets_are_marked(tmp_path, kind, parameter, secret):
    assert describe(kind, tmp_path / "x", parameter=parameter)["secret"] is secret


def test_tables_without_a_file_are_not_described():
    assert describe("static", "all") is None and describe("regexp", "relative") is None


def test_each_table_is_asked_once_and_its_complaint_is_kept_without_the_login(tmp_path):
    touch(tmp_path / "checks", 10)
    touch(tmp_path / "m.cf", 10)
    commands = with_settings(header_checks=f"pcre:{tmp_path}/checks", virtual_mailbox_maps=f"mysql:{tmp_path}/m.cf", transport_maps=f"hash:{tmp_path}/none")
    commands["postconf -m"] = (0, "\n".join(TYPES + ["mysql"]), "")
    asked = "postmap -q outage-probe@invalid"
    commands[f"{asked} pcre:{tmp_path}/checks"] = (1, "", "postmap: warning: pcre map checks, line 1: error in regex at offset 11: missing terminating ]")
    commands[f"{asked} mysql:{tmp_path}/m.cf"] = (1, "", "postmap: warning: connect to mysql server 127.0.0.1: Access denied for user 'mail'@'localhost'")
    commands["postmap -q"] = commands.pop("postmap -q")
    found = {entry["type"]: entry for entry in postfix.collect(Host(commands, {MAIN: ""}))["maps"] if str(tmp_path) in entry["path"]}
    assert found["pcre"]["lookup"] == "error" and "missing terminating ]" in found["pcre"]["text"]
    assert found["mysql"]["lookup"] == "error" and "Access denied for user (hidden)" in found["mysql"]["text"]
    assert found["hash"]["lookup"] is None and found["hash"]["compiled_exists"] is False


def test_domains_come_from_lists_and_from_tables_in_plain_text():
    files = {MAIN: "", "/etc/postfix/vdomains": "# ours\nExample.org OK\nexample.net  x\n",
             "/etc/postfix/virtual": "alias.example.test anything\na@b.example.test c\n"}
    commands = with_settings(mydestination="mx.example.test, localhost", virtual_mailbox_domains="hash:/etc/postfix/vdomains",
                             virtual_alias_maps="hash:/etc/postfix/virtual", virtual_alias_domains="hash:/etc/postfix/virtual",
                             relay_domains="relayed.example.test")
    found = postfix.collect(Host(commands, files))
    assert found["accepts"] == {"local": ["mx.example.test", "localhost"], "virtual": ["example.org", "example.net", "alias.example.test"],
                                "relay": ["relayed.example.test"], "complete": True}


def test_domains_in_a_database_leave_the_list_incomplete():
    found = postfix.collect(Host(with_settings(virtual_mailbox_domains="proxy:mysql:/etc/postfix/d.cf"), {MAIN: ""}))
    assert found["accepts"]["complete"] is False


def test_a_stale_or_missing_copy_in_the_chroot_differs(tmp_path):
    spool = tmp_path / "spool"
    (spool / "etc").mkdir(parents=True)
    (spool / "etc" / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    (spool / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    files = {"/etc/resolv.conf": "nameserver 127.0.0.1\n", "/etc/hosts": "127.0.0.1 localhost\n", "/etc/services": "smtp 25/tcp\n",
             "/etc/nsswitch.conf": "hosts: files dns\n"}
    known = {"queue_directory": str(spool), "masters": [{"chroot": True}]}
    found = {entry["system_path"]: (entry["missing"], entry["differs"]) for entry in postfix._chroot(Host({}, files), known)}
    assert found["/etc/resolv.conf"] == (False, True) and found["/etc/hosts"] == (False, False) and found["/etc/services"] == (True, True)
    assert postfix._chroot(Host({}, files), dict(known, masters=[{"chroot": False}])) == []


def test_an_address_that_is_not_on_the_host_is_found():
    found = postfix.collect(Host(with_settings(smtp_bind_address="192.0.2.254", inet_interfaces="127.0.0.1, localhost"), {MAIN: ""}))
    assert {"parameter": "smtp_bind_address", "address": "192.0.2.254", "local": False} in found["addresses"]
    assert {"parameter": "inet_interfaces", "address": "127.0.0.1", "local": True} in found["addresses"]
    assert not any(entry["address"] == "localhost" for entry in found["addresses"])


@pytest.mark.parametrize("line, files", [
    ("mail.*\t\t\t\t-/var/log/mail.log", ["/var/log/mail.log"]),
    ("mail.err /var/log/mail.err", ["/var/log/mail.err"]),
    ("*.*;auth,authpriv.none\t\t-/var/log/syslog", []),
    ("*.info;mail.none;authpriv.none /var/log/messages", ["/var/log/messages"]),
    ("# mail.* /var/log/no", []),
    ("mail.* @loghost", []),
])
def test_the_files_of_the_mail_facility_are_known(line, files):
    assert postfix.syslog_files(line) == files


def test_what_we_may_not_look_at_is_unknown_and_not_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(postfix, "_seen", lambda path: (None, None))
    found = describe("hash", tmp_path / "sasl_passwd")
    assert (found["source_exists"], found["compiled_exists"], found["readable"], found["stale"]) == (None, None, None, False)


def test_a_main_cf_that_we_may_not_read_is_no_error_of_the_configuration(monkeypatch):
    monkeypatch.setattr(postfix.os, "geteuid", lambda: 1000)
    denied = (1, "", "postconf: fatal: open /etc/postfix/main.cf: Permission denied\n")
    host = Host({"postconf -d": (0, fixture("postconf-d.txt"), ""), "postconf": denied})
    found = postfix.collect(host)
    assert found["errors"] == [] and any("Permission denied" in sentence for sentence in host.not_visible)


def test_what_the_files_hold_cannot_command_a_terminal():
    commands = with_settings(smtpd_banner="\x1b[31mred")
    commands["postconf -M"] = (0, fixture("postconf-M.txt") + "x\x1b[2J unix - - n - - pipe -o a=\x1b[1mb argv=/bin/\x07x\n", "")
    assert "\\x1b" not in repr(postfix.collect(Host(commands, {MAIN: ""})))


@pytest.mark.parametrize("value, until, timer, expected", [
    ("yes", "2026-11-23T21:00:00Z", True, [{"setting": "soft_bounce", "until": "2026-11-23T21:00:00Z", "ends": True}]),
    ("yes", "2026-11-23T21:00:00Z", False, [{"setting": "soft_bounce", "until": "2026-11-23T21:00:00Z", "ends": False}]),
    ("yes", "2026-11-23T20:00:00Z", True, [{"setting": "soft_bounce", "until": "2026-11-23T20:00:00Z", "ends": False}]),
    ("no", "2026-11-23T21:00:00Z", True, []),
])
def test_our_own_containment_is_told_from_an_administrators_setting(tmp_path, monkeypatch, value, until, timer, expected):
    monkeypatch.setattr(postfix, "CONTAIN_TIMER", str(tmp_path if timer else tmp_path / "none"))
    text = f"# mailops-contain: soft_bounce until {until}, before: (not set)\nsoft_bounce = {value}\n"
    assert postfix._contained(text, {"soft_bounce": value}, 1795467000) == expected
    assert postfix._contained("soft_bounce = yes\n", {"soft_bounce": "yes"}, 1795467000) == []


@pytest.mark.parametrize("entry, torn", [
    ("submission inet n - y - - -o syslog_name=postfix/submission", True), ("submission inet n - y - - smtpd -o syslog_name=postfix/submission", False),
    ("x unix - n n - - /usr/local/bin/x", False),
])
def test_an_entry_that_lost_its_command_is_an_error_that_names_it(entry, torn):
    found = {"main_path": "/etc/postfix/main.cf", "master_path": "/etc/postfix/master.cf", "expanded": {}, "settings": {}, "errors": [],
             "masters": _postconf.parse_masters(entry)}
    assert [error["text"].split(":")[0] for error in postfix._refused(found, {}, "")] == (["submission/inet"] if torn else [])
