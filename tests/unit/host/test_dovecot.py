from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host import _accounts, _processes, dovecot
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context, Ran
from hypothesis import given
from hypothesis import strategies as st

FIXTURES = Path(__file__).parent / "fixtures"


def fixture(name):
    return (FIXTURES / name).read_text()


def test_blocks_become_dotted_names():
    values = dovecot.dotted(dovecot.parse(fixture("doveconf-nP.txt")))
    assert values["mail_location"] == "maildir:~/Maildir" and values["protocols"] == " imap lmtp sieve pop3"
    assert values["service.lmtp.unix_listener./var/spool/postfix/private/dovecot-lmtp.mode"] == "0600"
    assert values["namespace.inbox.mailbox.Sent Messages.special_use"] == "\\Sent"
    assert values["passdb.0.driver"] == "pam" and values["protocol.lmtp.mail_plugins"] == " sieve"


def test_several_passdbs_are_numbered():
    pairs = dovecot.parse("passdb {\n  driver = pam\n}\npassdb {\n  args = /etc/x\n  driver = sql\n}\npassdb passwd-file {\n}\n")
    assert dict(pairs) == {("passdb", "0", "driver"): "pam", ("passdb", "1", "args"): "/etc/x", ("passdb", "1", "driver"): "sql",
                           ("passdb", "2", "name"): "passwd-file"}


def test_names_and_paths_with_dots_stay_whole_in_the_pairs():
    pairs = dovecot.parse("local_name mail.example.org {\n  ssl_cert = </etc/b.pem\n}\n")
    assert pairs == [(("local_name", "mail.example.org", "ssl_cert"), "</etc/b.pem")]


def test_includes_are_followed_in_place_and_a_setting_may_build_on_itself():
    texts = {"protocols.d/*": ["protocols = $protocols imap", "protocols = $protocols lmtp"]}
    pairs = dovecot.parse("protocols = \n!include_try protocols.d/*\nprotocols = $protocols pop3\nname = a \\\n  b\n", lambda pattern: texts[pattern])
    assert dict(dovecot.resolved(pairs)) == {("protocols",): " imap lmtp pop3", ("name",): "a b"}


def test_includes_that_include_themselves_end():
    assert dovecot.parse("a = b\n!include x\n", lambda pattern: ["a = c\n!include x\n"])[-1] == (("a",), "c")


@given(st.text(alphabet="ab= {}\n\"!#\\", max_size=120))
def test_any_text_can_be_read(text):
    dovecot.dotted(dovecot.public(dovecot.normal(dovecot.parse(text))))


SECRETS = """
doveadm_password = hunter2
imapc_password = hunter2
auth_policy_hash_nonce = hunter2
doveadm_api_key = hunter2
ssl_key_password = hunter2
ssl_key = </etc/ssl/mail.key
passdb {
  args = nopassword=y password=hunter2 user=x
  driver = static
}
plugin {
  fts_solr = url=http://solr:hunter2@localhost:8983/solr/
  secret_thing = hunter2
}
hidden = # hidden, use -P to show it
"""


def test_no_secret_is_kept_and_the_key_files_name_is():
    values = dovecot.dotted(dovecot.public(dovecot.parse(SECRETS)))
    assert "hunter2" not in repr(values) and "hidden" not in values
    assert values["ssl_key"] == "</etc/ssl/mail.key" and values["plugin.fts_solr"] == "url=http://solr:(hidden)@localhost:8983/solr/"


def test_a_key_that_stands_in_the_setting_itself_is_dropped():
    assert dovecot.public([(("ssl_key",), "-----BEGIN PRIVATE KEY-----")]) == []


@pytest.mark.parametrize("line, error", [
    ("doveconf: Fatal: Error in configuration file /etc/dovecot/local.conf line 24: Unknown setting: mail_driver",
     {"source": "/etc/dovecot/local.conf", "line": 24, "text": "Unknown setting: mail_driver"}),
    ("doveconf: Fatal: Error in configuration file /etc/dovecot/local.conf line 10: Garbage after '{'",
     {"source": "/etc/dovecot/local.conf", "line": 10, "text": "Garbage after '{'"}),
    ("doveconf: Fatal: Error in configuration file /etc/dovecot/local.conf line 28: ssl_cert: Can't open file /nope: No such file or directory",
     {"source": "/etc/dovecot/local.conf", "line": 28, "text": "ssl_cert: Can't open file /nope: No such file or directory"}),
    ("doveconf: Fatal: Error in configuration file /etc/dovecot/local.conf line 1: ssl_server_cert_file: open(/nope) failed: No such file or directory",
     {"source": "/etc/dovecot/local.conf", "line": 1, "text": "ssl_server_cert_file: open(/nope) failed: No such file or directory"}),
    ("doveconf: Fatal: Error in configuration file /etc/dovecot/dovecot.conf: default_login_user doesn't exist: dovenull",
     {"source": "/etc/dovecot/dovecot.conf", "line": None, "text": "default_login_user doesn't exist: dovenull"}),
])
def test_what_doveconf_refuses_is_found_with_its_place(line, error):
    both = line + "\ndoveconf: Error: managesieve-login: dump-capability process returned 89\n" + line
    assert dovecot.parse_complaints(both) == {"errors": [error], "warnings": [], "denied": []}


def test_what_we_may_not_read_is_no_error_of_the_configuration():
    line = "doveconf: Fatal: Error in configuration file /etc/dovecot/conf.d/10-ssl.conf line 12: ssl_key: Can't open file /etc/key.pem: Permission denied"
    found = dovecot.parse_complaints(line)
    assert found["errors"] == [] and "Permission denied" in found["denied"][0]


def listened(own, everything):
    pairs = list(dict(dovecot.public(dovecot.normal(dovecot.parse(everything))) + dovecot.public(dovecot.normal(dovecot.parse(own)))).items())
    return dovecot.listeners(pairs)


def test_listeners_of_enabled_protocols_are_known_with_their_defaults():
    found = listened(fixture("doveconf-nP.txt"), fixture("doveconf-a.txt"))
    assert {entry["port"] for entry in found if entry["port"]} == {110, 143, 993, 995, 4190}
    lmtp = next(entry for entry in found if entry["path"] == "/var/spool/postfix/private/dovecot-lmtp")
    assert (lmtp["service"], lmtp["kind"], lmtp["user"], lmtp["group"], lmtp["mode"]) == ("lmtp", "unix", "postfix", "postfix", "0600")
    assert all(entry["user"] != "$default_internal_user" for entry in found)


@pytest.mark.parametrize("change, gone", [
    ("protocols = imap", {110, 995, 4190}),
    ("ssl = no", {993, 995}),
    ("service imap-login {\n  inet_listener imap {\n    port = 0\n  }\n}", {143}),
])
def test_disabled_listeners_are_left_out(change, gone):
    found = listened(fixture("doveconf-nP.txt") + change + "\n", fixture("doveconf-a.txt"))
    assert {entry["port"] for entry in found if entry["port"]} == {110, 143, 993, 995, 4190} - gone


def test_an_address_of_its_own_and_a_changed_port_are_told():
    found = listened("protocols = lmtp\nservice lmtp {\n  inet_listener lmtp {\n    address = 127.0.0.1\n    port = 24\n  }\n}\n", fixture("doveconf-a.txt"))
    assert [(entry["address"], entry["port"]) for entry in found if entry["port"]] == [("127.0.0.1", 24)]


def test_dovecot_2_4_is_understood():
    found = listened(fixture("doveconf-nP-2.4.txt"), fixture("doveconf-service-2.4.txt"))
    assert {(entry["port"], entry["ssl"]) for entry in found if entry["port"]} == {(143, False), (993, True)}
    values = dovecot.dotted(dovecot.normal(dovecot.parse(fixture("doveconf-nP-2.4.txt"))))
    assert values["protocols"] == "imap lmtp" and values["ssl_server_cert_file"] == "/etc/dovecot/private/dovecot.pem"
    assert dovecot._mail_location(values) == "mbox:%{home}/mail" and values["passdb.0.name"] == "pam"


class Host(Context):
    """A context whose commands are given, and whose processes and accounts are."""

    def __init__(self, commands, processes=(), files=()):
        super().__init__()
        self.commands, self.files = commands, dict(files)
        self.once("processes /proc", lambda: {process.pid: process for process in processes})
        self.once("accounts", lambda: _accounts.parse_accounts("dovecot:x:4242:4242::/:/bin/false\n", ""))

    def run(self, *argv, **_options):
        return Ran(argv, *self.commands.get(" ".join(argv), (89, "", "")))

    def read(self, path, most=1024 * 1024):
        return self.files.get(path)


def healthy(**more):
    commands = {"doveconf -n -P": (0, fixture("doveconf-nP.txt"), ""), "doveconf -a": (0, fixture("doveconf-a.txt"), ""), "doveconf -x -n": (0, "", "")}
    return dict(commands, **more)


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    monkeypatch.setattr(dovecot, "_PROGRAMS", ("/",))


def test_without_dovecot_every_key_is_there_and_empty(monkeypatch):
    present = dovecot.collect(Host(healthy()))
    monkeypatch.setattr(dovecot, "_PROGRAMS", ())
    absent = dovecot.collect(Host({}))
    assert absent["present"] is False and set(absent) == set(present)


def test_a_real_configuration_is_told():
    found = dovecot.collect(Host(healthy()))
    assert found["present"] and found["version"] == "2.3.19.1" and found["errors"] == [] and found["config_file"] == "/etc/dovecot/dovecot.conf"
    assert found["protocols"] == ["imap", "lmtp", "sieve", "pop3"] and found["auth_mechanisms"] == ["plain", "login"]
    assert found["mail_location"] == "maildir:~/Maildir"
    assert found["ssl"] == {"mode": "yes", "cert": "</etc/ssl/mail/fullchain.pem", "key": "</etc/ssl/mail/key.pem", "min_protocol": "TLSv1.2"}
    assert found["passdbs"][0]["driver"] == "pam" and found["passdbs"][0]["file"] == "/etc/pam.d/dovecot" and found["log"]["log_path"] == "syslog"
    assert found["running_pid"] is None and found["loaded_config_differs"] is None


def test_the_verdict_is_that_of_the_look_that_opens_the_files():
    refused = (89, "", "doveconf: Fatal: Error in configuration file /etc/dovecot/local.conf line 28: ssl_cert: Can't open file /nope: No such file")
    found = dovecot.collect(Host(healthy(**{"doveconf -x -n": refused})))
    assert [check["rc"] for check in found["checks"]] == [0, 89] and found["errors"][0]["line"] == 28


def test_when_doveconf_dies_the_files_and_the_built_in_settings_are_read(monkeypatch):
    fatal = "doveconf: Fatal: Error in configuration file /etc/dovecot/local.conf line 3: Unknown setting: mail_driver\n"
    commands = {"doveconf -n -P": (89, "# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf\n", fatal), "doveconf -x -n": (89, "", fatal),
                "doveconf -d": (0, fixture("doveconf-a.txt"), "")}
    files = {"/etc/dovecot/dovecot.conf": "protocols = imap lmtp\nlog_path = /var/log/dovecot.log\n!include local.conf\n",
             "/etc/dovecot/local.conf": "ssl_key = </etc/key.pem\ndoveadm_password = hunter2\nmail_driver = x\n"}
    monkeypatch.setattr(dovecot.glob, "glob", lambda pattern: [pattern])
    host = Host(commands, files=files)
    found = dovecot.collect(host)
    assert found["errors"] == [{"source": "/etc/dovecot/local.conf", "line": 3, "text": "Unknown setting: mail_driver"}]
    assert found["log"]["log_path"] == "/var/log/dovecot.log" and {entry["port"] for entry in found["listeners"] if entry["port"]} == {143, 993}
    assert found["ssl"]["key"] == "</etc/key.pem" and "hunter2" not in repr(found) and "hunter2" not in repr(dovecot.settings(host))


def test_a_missing_doveconf_is_an_error_of_its_own():
    host = Host({})
    host.run = lambda *argv, **_options: Ran(argv, None, missing=True)
    assert dovecot.collect(host)["errors"] == [{"source": "doveconf", "line": None, "text": "the program is missing"}]


@pytest.mark.parametrize("mode, readable", [(0o644, True), (0o600, False)])
def test_a_password_file_must_be_readable_by_the_auth_service(tmp_path, mode, readable):
    for folder in [tmp_path, *tmp_path.parents]:
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    users = tmp_path / "users"
    users.write_text("alice:{PLAIN}hunter2\n")
    users.chmod(mode)
    text = f"passdb {{\n  args = scheme=CRYPT username_format=%u {users}\n  driver = passwd-file\n}}\nservice auth {{\n  user = $default_internal_user\n}}\n"
    found = dovecot.collect(Host(healthy(**{"doveconf -n -P": (0, text, "")}), files={str(users): users.read_text()}))
    assert found["passdbs"] == [{"driver": "passwd-file", "file": str(users), "exists": True, "readable": readable}]
    assert {"path": str(users), "problem": None if readable else "cannot be read by the auth service"} in found["user_files"] and "hunter2" not in repr(found)


def test_a_password_file_that_is_gone_does_not_exist(tmp_path):
    text = f"passdb {{\n  args = {tmp_path}/gone\n  driver = passwd-file\n}}\n"
    found = dovecot.collect(Host(healthy(**{"doveconf -n -P": (0, text, "")})))
    assert (found["passdbs"][0]["exists"], found["passdbs"][0]["readable"]) == (False, False)
    assert {"path": f"{tmp_path}/gone", "problem": "is missing"} in found["user_files"]


@pytest.mark.parametrize("text, number", [("# users\nalice:{PLAIN}x::::\n\nbob:y\n", None), ("alice:x\ngarbage\n", 2), ("", None)])
def test_a_line_that_is_no_user_is_found(text, number):
    assert dovecot.first_bad_line(text) == number


@pytest.mark.parametrize("block, file", [
    ({"driver": "pam"}, "/etc/pam.d/dovecot"), ({"driver": "pam", "args": "session=yes mail"}, "/etc/pam.d/mail"), ({"driver": "pam", "args": "%s"}, None),
    ({"driver": "sql", "args": "/etc/dovecot/sql.conf.ext"}, "/etc/dovecot/sql.conf.ext"), ({"driver": "passwd-file", "passwd_file_path": "/etc/u"}, "/etc/u"),
    ({"driver": "static", "args": "uid=vmail"}, None)])
def test_the_file_behind_a_passdb_is_known(block, file):
    assert dovecot._file_of(block, block["driver"]) == file


def ran_since(name, age, pid=40, parent=1):
    ticks = int((time.time() - age - _processes.kernel_start()) * os.sysconf("SC_CLK_TCK"))
    return _processes.Process(pid, parent, name, "S", 1, ticks, f"dovecot/{name}", "dovecot")


@pytest.mark.parametrize("master_age, log_age, file_age, differs", [(500, 500, 900, False), (500, 500, 100, True), (500, 50, 100, False)])
def test_a_configuration_that_is_newer_than_the_last_load_differs(tmp_path, master_age, log_age, file_age, differs):
    (tmp_path / "users").write_text("newer, and read live")
    config = tmp_path / "dovecot.conf"
    config.write_text("")
    os.utime(config, (time.time() - file_age, time.time() - file_age))
    processes = [ran_since("dovecot", master_age, 37), ran_since("log", log_age, 40, 37)]
    text = fixture("doveconf-nP.txt").replace("/etc/dovecot/dovecot.conf", str(config))
    found = dovecot.collect(Host(healthy(**{"doveconf -n -P": (0, text, "")}), processes))
    assert (found["running_pid"], found["loaded_config_differs"]) == (37, differs)
