"""The journal is only added to, and shows when it was tampered with."""
from __future__ import annotations

import json

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import journal


@pytest.fixture(name="folder")
def _folder(tmp_path):
    for number in range(3):
        journal.append(str(tmp_path), "event", number=number)
    return tmp_path


def lines(folder):
    return (folder / journal.FILE).read_text().splitlines()


def test_entries_come_back_in_their_order(folder):
    assert [entry["number"] for entry in journal.entries(str(folder))] == [0, 1, 2]


def test_a_run_without_a_journal_has_no_entries(tmp_path):
    assert journal.entries(str(tmp_path)) == []


@pytest.mark.parametrize("change", [
    lambda found: [found[0].replace('"number": 0', '"number": 9')] + found[1:],
    lambda found: found[1:],
    lambda found: [found[0], found[2]],
    lambda found: [found[1], found[0], found[2]],
    lambda found: found + [found[2]],
])
def test_a_changed_missing_moved_or_doubled_entry_is_noticed(folder, change):
    (folder / journal.FILE).write_text("\n".join(change(lines(folder))) + "\n")
    with pytest.raises(journal.Damaged):
        journal.entries(str(folder))


def test_a_line_that_a_crash_cut_off_loses_nothing_else(folder):
    path = folder / journal.FILE
    path.write_text(path.read_text() + lines(folder)[2][:40])
    journal.append(str(folder), "event", number=3)
    assert [entry["number"] for entry in journal.entries(str(folder))] == [0, 1, 2, 3]


def test_it_is_for_its_owner_only_and_holds_no_secret(tmp_path):
    journal.append(str(tmp_path), "change", options={"password": "hunter2", "nested": [{"api_token": "hunter2"}], "user": "anna"})
    path = tmp_path / journal.FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert "hunter2" not in path.read_text() and json.loads(path.read_text())["options"]["user"] == "anna"


def entry(event, host="mail", cause="config.x", **more):
    return {"event": event, "host": host, "cause": cause, "step": "a", "role": "r", **more}


def test_what_is_left_is_what_was_planned_and_not_repaired_and_what_the_last_look_still_found():
    planned = [("mail", "config.x"), ("mail", "tls.y"), ("mail", "config.x")]
    known = [entry("judged", found=[["config.x", "mail"]]), entry("rolled_back"), entry("judged", found=[["auth.z", "store"], ["tls.y", "mail"]]), entry("repaired")]
    assert journal.left(known, planned) == [("mail", "tls.y"), ("store", "auth.z")]
    assert journal.left([], planned[:1]) == planned[:1] and journal.left([entry("repaired")], planned[:1]) == []
