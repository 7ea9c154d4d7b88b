"""What differs from the state in which mail last worked."""
from __future__ import annotations

import copy
import json
import os

from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.mailops.outage.plugins.module_utils.host import dkim, known_good
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context

FACTS = {
    "services": {"units": [{"unit": "postfix@-.service", "present": True, "enabled": "enabled", "running": True}]},
    "listeners": {"tcp": [{"port": 25, "address": "0.0.0.0", "loopback": False, "process": "master", "mail": True},
                          {"port": 22, "address": "0.0.0.0", "loopback": False, "process": "sshd", "mail": False}]},
    "postfix": {"settings": {"relayhost": "", "myhostname": "mx.a.example"}, "errors": [],
                "masters": [{"service": "smtp", "type": "inet", "command": "smtpd", "overrides": {"a": "b"}}]},
    "dovecot": {"settings": {"mail_location": "maildir:~/Maildir"}, "errors": []},
    "packages": {"mail": [{"name": "postfix", "version": "3.7.11"}]},
    "storage": {"filesystems": [{"mount": "/srv/vmail", "device": "/dev/sdb1", "read_only": False}]},
    "network": {"firewall": {"rules": []}, "addresses": [{"address": "192.0.2.1", "scope": "global"}, {"address": "127.0.0.1", "scope": "loopback"}]},
}
FILES = {"/etc/postfix/main.cf": {"owner": "root", "group": "root", "mode": "0644", "sha256": "a" * 64, "mtime_epoch": 1}}


def changed(change, files=None):
    facts = copy.deepcopy(FACTS)
    change(facts)
    found = known_good.differences(known_good.state(FACTS, FILES), known_good.state(facts, FILES if files is None else files))
    return [(item["what"], item["name"], item["before"], item["after"]) for item in found]


def test_nothing_changed_is_no_difference():
    assert changed(lambda facts: None) == []


def test_a_setting_that_changed_is_named_with_both_values():
    assert changed(lambda facts: facts["postfix"]["settings"].update(relayhost="[x]")) == [("setting", "relayhost", "", "[x]")]


def test_a_listener_that_went_into_loopback_is_a_difference():
    assert changed(lambda facts: facts["listeners"]["tcp"][0].update(loopback=True)) == [
        ("listener", "open port 25", "listening", None), ("listener", "loopback port 25", None, "listening")]


def test_a_mount_that_is_gone_is_a_difference():
    assert ("mount", "/srv/vmail", "device /dev/sdb1, read_only False", "not mounted") in changed(
        lambda facts: facts["storage"].update(filesystems=[{"mount": "/", "device": "/dev/sda1", "read_only": False}]))


def test_a_stopped_unit_is_a_difference():
    assert changed(lambda facts: facts["services"]["units"][0].update(running=False))[0][:2] == ("unit", "postfix@-.service")


def test_a_new_firewall_rule_is_a_difference():
    rule = {"text": "tcp dport 25 drop"}
    assert changed(lambda facts: facts["network"]["firewall"].update(rules=[rule])) == [("firewall", "tcp dport 25 drop", None, "tcp dport 25 drop")]


def test_contents_and_owners_of_files_are_told_apart():
    files = {"/etc/postfix/main.cf": dict(FILES["/etc/postfix/main.cf"], sha256="b" * 64, mode="0600")}
    assert [item[0] for item in changed(lambda facts: None, files)] == ["file", "owner"]


def test_a_configuration_that_cannot_be_read_is_not_compared():
    def broken(facts):
        facts["dovecot"].update(settings={}, errors=[{"text": "Unknown setting"}])
    assert changed(broken) == []


def test_what_was_not_seen_is_no_difference():
    assert [item for item in changed(lambda facts: [facts.pop(name) for name in ("postfix", "dovecot", "packages")]) if item[0] in ("setting", "package")] == []


@given(some.dictionaries(some.text(max_size=5), some.one_of(some.none(), some.integers(), some.text(max_size=5)), max_size=5))
def test_any_settings_compare_without_an_error(settings):
    found = changed(lambda facts: facts["postfix"].update(settings=settings))
    assert all(kind == "setting" for kind, *_rest in found)


def test_a_damaged_snapshot_is_said_and_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(known_good, "STORE", str(tmp_path))
    monkeypatch.setattr(known_good.os, "geteuid", lambda: 0)
    (tmp_path / "current").mkdir()
    (tmp_path / "current/manifest.json").write_text("{", encoding="utf-8")
    context = Context()
    assert known_good.collect(context)["present"] is False
    assert "damaged" in context.not_visible[0]


def test_a_manifest_holds_no_file_contents(tmp_path, monkeypatch):
    secret = tmp_path / "sasl_passwd"
    secret.write_text("relay.example user:hunter2\n", encoding="utf-8")
    monkeypatch.setattr(known_good, "config_paths", lambda: [str(secret)])
    monkeypatch.setattr(known_good, "_owned_paths", lambda context: [])
    described = known_good.files(Context())
    assert "hunter2" not in json.dumps(described)
    assert described[str(secret)]["size"] == os.path.getsize(secret)


def test_keys_of_a_key_table_are_found():
    conf = "KeyTable refile:/etc/opendkim/key.table\nSigningTable x\n"
    table = "# comment\nlab._domainkey.a.example a.example:lab:/etc/dkim/lab.private\n"
    assert dkim.opendkim_keys(conf, {"/etc/opendkim/key.table": table}.get) == [("a.example", "lab", "/etc/dkim/lab.private")]


def test_a_single_key_is_found():
    assert dkim.opendkim_keys("Domain a.example,b.example\nSelector s\nKeyFile /k\n", lambda path: None) == [("a.example", "s", "/k"), ("b.example", "s", "/k")]


def test_a_configuration_without_keys_has_none():
    assert dkim.opendkim_keys("# Domain x\nSyslog yes\n", lambda path: None) == []
