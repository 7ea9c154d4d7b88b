from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host import changes
from ansible_collections.mailops.outage.plugins.module_utils.host._processes import Process
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context, Ran
from hypothesis import given
from hypothesis import strategies as st

_RECORDED = (Path(__file__).parent / "fixtures" / "journal.json").read_text()


def _file(path, mtime, ctime=None):
    return path, SimpleNamespace(st_mtime=mtime, st_ctime=mtime if ctime is None else ctime)


def test_files_written_in_the_window_come_newest_first():
    files = [_file("/etc/postfix/main.cf", 900), _file("/etc/postfix/master.cf", 950), _file("/etc/hosts", 10)]
    assert changes.recent(files, since=500, short=800) == [("/etc/postfix/master.cf", 950), ("/etc/postfix/main.cf", 900)]


def test_a_file_whose_owner_changed_counts_in_the_short_window_only():
    files = [_file("/etc/postfix/virtual", 10, 900), _file("/etc/aliases", 10, 700)]
    assert changes.recent(files, since=500, short=800) == [("/etc/postfix/virtual", 900)]


def test_a_tree_that_was_unpacked_as_a_whole_is_no_change():
    assert changes.recent([_file(f"/etc/postfix/{number}", 10, 900) for number in range(30)], since=500, short=800) == []


def test_copies_beside_changed_files_are_found():
    everything = ["/etc/postfix/main.cf", "/etc/postfix/main.cf.bak", "/etc/postfix/main.cf~", "/etc/postfix/main.cf.dpkg-old", "/etc/postfix/master.cf.bak",
                  "/etc/postfix/main.cf.d"]
    assert changes.backups_of(["/etc/postfix/main.cf"], everything) == ["/etc/postfix/main.cf.bak", "/etc/postfix/main.cf.dpkg-old", "/etc/postfix/main.cf~"]


def test_recorded_starts_and_reloads_are_read_and_say_who_asked():
    assert [(entry["unit"], entry["action"], entry["time"], entry["by"]) for entry in changes.parse_journal(_RECORDED)] == [
        ("postfix@-.service", "started", "2026-11-23T21:47:50Z", None), ("dovecot.service", "reloaded", "2026-11-23T21:47:50Z", "sudo by ops")]


def _entries(*lines):
    return "\n".join(lines)


_STARTED = '{"__REALTIME_TIMESTAMP": "1795470470000000", "UNIT": "%s", "MESSAGE_ID": "39f53479d3a045ac8e11786248231fbf", "_COMM": "systemd"}'
_SUDO = '{"__REALTIME_TIMESTAMP": "%s", "_COMM": "sudo", "MESSAGE": "     %s : PWD=/ ; USER=root ; COMMAND=%s"}'


@pytest.mark.parametrize("moment, command, by", [
    ("1795470465000000", "/usr/bin/systemctl restart postfix@-", "sudo by ops"), ("1795470465000000", "/usr/bin/apt-get -y upgrade", "sudo by ops"),
    ("1795470465000000", "/usr/bin/systemctl restart dovecot", None), ("1795470400000000", "/usr/bin/systemctl restart postfix@-", None),
    ("1795470465000000", "/bin/sh -c true", None),
])
def test_who_restarted_a_unit_is_who_asked_for_it_just_before(moment, command, by):
    assert changes.parse_journal(_entries(_SUDO % (moment, "ops", command), _STARTED % "postfix@-.service"))[0]["by"] == by


def test_units_that_have_nothing_to_do_with_mail_are_left_out():
    assert changes.parse_journal(_STARTED % "cron.service") == []


def test_no_command_of_anybody_is_kept():
    text = _entries(_SUDO % ("1795470465000000", "ops", "/usr/bin/systemctl restart postfix --token=hidden"), _STARTED % "postfix.service")
    assert "hidden" not in str(changes.parse_journal(text))


@given(st.lists(st.text(max_size=80) | st.sampled_from(['{"__REALTIME_TIMESTAMP": "x"}', '{"__REALTIME_TIMESTAMP": "1", "MESSAGE": [1, 2], "_COMM": "sudo"}',
                                                        "[]", "1", "null",
                                                       '{"__REALTIME_TIMESTAMP": "1", "MESSAGE_ID": [], "UNIT": null}']), max_size=5))
def test_any_lines_are_read_as_a_journal(lines):
    changes.parse_journal("\n".join(lines))


def test_a_file_changed_after_its_service_started_is_told_until_a_reload(monkeypatch):
    master = Process(1, 0, "master", "S", 1, 0, "/usr/lib/postfix/sbin/master", "postfix")
    monkeypatch.setattr(changes._processes, "masters", lambda context: [master])
    monkeypatch.setattr(changes._processes, "started", lambda process: 1000.0)
    files = [_file("/etc/postfix/main.cf", 1500), _file("/etc/postfix/main.cf.bak", 1500), _file("/etc/postfix/master.cf", 900),
             _file("/etc/dovecot/dovecot.conf", 1500)]
    assert changes._not_read(Context(), files, []) == [{"service": "postfix", "path": "/etc/postfix/main.cf", "mtime_epoch": 1500, "started_epoch": 1000}]
    assert changes._not_read(Context(), files, [{"unit": "postfix@-.service", "action": "reloaded", "time_epoch": 1600}]) == []
    assert changes._not_read(Context(), files, [{"unit": "dovecot.service", "action": "reloaded", "time_epoch": 1600}]) != []


def test_commits_are_read():
    text = "ab12cd3\x001795470470\x00Ops\x00committing changes in /etc\nbroken\n"
    assert changes.parse_log(text) == [{"commit": "ab12cd3", "time": "2026-11-23T21:47:50Z", "author": "Ops", "subject": "committing changes in /etc"}]


def test_configuration_files_and_links_are_walked_and_closed_folders_are_told(monkeypatch, tmp_path):
    (tmp_path / "postfix" / "sub").mkdir(parents=True)
    for name in ("main.cf", "sub/transport"):
        (tmp_path / "postfix" / name).write_text("")
    os.symlink("/dev/null", tmp_path / "postfix" / "masked.service")
    os.symlink(tmp_path, tmp_path / "postfix" / "loop")
    monkeypatch.setattr(changes, "_TREES", (str(tmp_path / "postfix"), str(tmp_path / "gone")))
    monkeypatch.setattr(changes, "_FILES", ())
    found = sorted(os.path.relpath(path, tmp_path) for path, _state in changes._walk(Context()))
    assert found == ["postfix/loop", "postfix/main.cf", "postfix/masked.service", "postfix/sub/transport"]


def test_a_changed_file_of_a_package_is_told_from_one_as_shipped(monkeypatch, tmp_path):
    for name in ("changed", "shipped", "own"):
        (tmp_path / name).write_text("x")
    monkeypatch.setattr(changes._dpkg, "conffiles", lambda context: {f"{tmp_path}/changed": "0" * 32,
                                                                     f"{tmp_path}/shipped": "9dd4e461268c8034f5c8564e155c67a6"})
    files = [(f"{tmp_path}/{name}", os.lstat(tmp_path / name)) for name in ("changed", "shipped", "own")]
    found = {os.path.basename(entry["path"]): entry["package_conffile_changed"] for entry in changes._files(Context(), files)}
    assert found == {"changed": True, "shipped": False, "own": None}


class _Closed(Context):
    def run(self, *argv, timeout=10.0, most=0, env=None):
        return Ran(argv, 0, "", "No journal files were opened due to insufficient permissions.\n")


def test_a_closed_journal_is_told():
    context = _Closed()
    assert changes._restarts(context) == [] and context.not_visible == ["journal: insufficient permissions"]


def test_the_facts_of_this_host_are_complete():
    assert set(changes.collect(Context())) == {"files", "reboots", "restarts", "config_newer_than_service", "history", "backups"}
