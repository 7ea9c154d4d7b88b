"""A snapshot is whole or not there, and what was changed while it was taken is not kept."""
from __future__ import annotations

import os
import shutil

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host import known_good
from ansible_collections.mailops.outage.plugins.modules import mail_snapshot


@pytest.fixture(name="host")
def _host(tmp_path, monkeypatch):
    """A host with one configuration file, and an empty place for snapshots."""
    conf = tmp_path / "etc" / "main.cf"
    conf.parent.mkdir()
    conf.write_text("relayhost =\n")
    (tmp_path / "store").mkdir()
    monkeypatch.setattr(known_good, "STORE", str(tmp_path / "store"))
    monkeypatch.setattr(known_good, "config_paths", lambda: [str(conf)])
    return conf


def manifest(conf):
    return {"taken_epoch": 1, "state": {"files": {str(conf): known_good._describe(str(conf))}}}


def test_what_was_kept_is_read_back_whole(host):
    assert mail_snapshot.store(f"{known_good.STORE}/20261123T210000Z", manifest(host), 5) == []
    kept = known_good.kept(lambda path: True)
    assert kept["files"][str(host)][0] == b"relayhost =\n" and kept["unfit"] == []
    assert known_good.kept(lambda path: False)["files"] == {}


def test_a_file_that_is_changed_meanwhile_leaves_the_former_snapshot_in_force(host, monkeypatch):
    mail_snapshot.store(f"{known_good.STORE}/20261123T210000Z", manifest(host), 5)
    described, copy = manifest(host), shutil.copy2

    def changed(source, target):
        copy(source, target)
        with open(target, "a", encoding="utf-8") as stream:
            stream.write("mynetworks = 0.0.0.0/0\n")
    monkeypatch.setattr(mail_snapshot.shutil, "copy2", changed)
    assert mail_snapshot.store(f"{known_good.STORE}/20261124T210000Z", described, 5) == [str(host)]
    assert sorted(os.listdir(known_good.STORE)) == ["20261123T210000Z", "current"]
    assert os.readlink(f"{known_good.STORE}/current") == "20261123T210000Z"


def test_all_is_on_the_disk_before_the_snapshot_is_in_force(host, monkeypatch):
    done = []
    monkeypatch.setattr(mail_snapshot, "flushed", lambda path: done.append(os.path.basename(path)))
    monkeypatch.setattr(mail_snapshot.os, "rename", lambda source, target, rename=os.rename: (done.append("put in place"), rename(source, target)))
    monkeypatch.setattr(mail_snapshot.os, "replace", lambda source, target, replace=os.replace: (done.append("in force"), replace(source, target)))
    mail_snapshot.store(f"{known_good.STORE}/20261123T210000Z", manifest(host), 5)
    assert {"main.cf", "manifest.json", "files", "20261123T210000Z.new"} <= set(done[:done.index("put in place")])
    assert done[done.index("put in place"):] == ["put in place", "store", "in force", "store"]


def test_the_oldest_are_dropped(host):
    for day in range(4):
        mail_snapshot.store(f"{known_good.STORE}/2026112{day}T210000Z", manifest(host), 2)
    assert sorted(os.listdir(known_good.STORE)) == ["20261122T210000Z", "20261123T210000Z", "current"]
