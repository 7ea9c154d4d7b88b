from __future__ import annotations

import json
import os

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import budget, checkpoint, lock, rollback, store, timer

ABOUT = {"id": "i1", "step": "s1", "owner": "a", "remedy": "r", "cause": "c", "rolls_back_at": ""}


@pytest.fixture(name="root")
def _root(tmp_path, monkeypatch):
    monkeypatch.setattr(rollback, "run", lambda *argv, **more: (0, "", ""))
    (tmp_path / "etc").mkdir()
    return str(tmp_path)


def kept(root, text="then"):
    path = os.path.join(root, "etc/main.cf")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    return path, checkpoint.take(store.choose(root, 0), ABOUT, ["/etc/main.cf"], [], {}, root)


def test_a_second_owner_is_refused_until_the_lock_expires(root):
    assert lock.take("a", "s1", 10, 100, root) == (True, "")
    assert lock.take("a", "s2", 10, 100, root)[0]
    assert not lock.take("b", "s1", 10, 105, root)[0]
    taken, said = lock.take("b", "s1", 10, 111, root)
    assert taken and "expired" in said
    assert not lock.release("a", root) and lock.release("b", root)


def at(epoch, boot="b1", uptime=None):
    return {"epoch": epoch, "boot": boot, "uptime": epoch if uptime is None else uptime}


def test_the_budget_is_spent_and_a_doubtful_ledger_refuses(root):
    place = store.choose(root, 0)
    assert budget.refusal("r", at(1000), 1, 3, root) == ""
    budget.append(place, {**at(1000), "id": "i1", "step": "s1", "remedy": "r", "cause": "c", "outcome": "begun"})
    assert "1 times" in budget.refusal("r", at(1001), 1, 3, root)
    assert budget.refusal("other", at(1001), 1, 3, root) == ""
    assert budget.refusal("r", at(1001), 1, 3, root, cause="another") == "" and "1 times" in budget.refusal("r", at(1001), 1, 3, root, cause="c")
    assert "in the last day" in budget.refusal("r", at(1001), 1, 1, root, cause="another")
    with open(os.path.join(place, budget.LEDGER), "a", encoding="utf-8") as stream:
        stream.write("half a li")
    assert "cannot be read" in budget.refusal("other", at(9999), 1, 3, root)


def test_a_clock_that_jumps_neither_frees_nor_spends_the_budget(root):
    budget.append(store.choose(root, 0), {**at(1000), "id": "i1", "step": "s1", "remedy": "r", "cause": "c", "outcome": "begun"})
    assert "1 times" in budget.refusal("r", at(900000, uptime=1001), 1, 3, root)
    assert budget.refusal("r", at(10, uptime=900000), 1, 3, root) == ""
    assert "clock" in budget.refusal("other", at(10, boot="b2"), 1, 3, root)
    assert budget.refusal("r", at(900000, boot="b2", uptime=5), 1, 3, root) == ""


def test_a_rollback_restores_what_differs_once(root):
    path, folder = kept(root)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write("now")
    assert rollback.roll_back(folder, "test", root)["restored"] == ["/etc/main.cf"]
    with open(path, encoding="utf-8") as stream:
        assert stream.read() == "then"
    assert rollback.roll_back(folder, "test", root)["restored"] == []


def test_a_file_that_a_person_changed_after_the_repair_is_left(root):
    path, folder = kept(root)
    checkpoint.note(folder, [], root)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write("a person's")
    result = rollback.roll_back(folder, "test", root)
    assert result["restored"] == [] and result["left"][0]["path"] == "/etc/main.cf"


def test_a_file_that_the_repair_made_is_taken_away_and_kept_in_the_checkpoint(root):
    folder = checkpoint.take(store.choose(root, 0), ABOUT, ["/etc/made.cf", "/etc/persons.cf", "/etc/never.cf"], [], {}, root)
    for name in ("made", "persons"):
        with open(os.path.join(root, f"etc/{name}.cf"), "w", encoding="utf-8") as stream:
            stream.write(name)
    checkpoint.note(folder, [], root)
    with open(os.path.join(root, "etc/persons.cf"), "a", encoding="utf-8") as stream:
        stream.write(" edit")
    result = rollback.roll_back(folder, "test", root)
    assert result["restored"] == ["/etc/made.cf"] and [item["path"] for item in result["left"]] == ["/etc/persons.cf"]
    assert sorted(os.listdir(os.path.join(root, "etc"))) == ["persons.cf"]
    with open(os.path.join(folder, "taken_away/etc/made.cf"), encoding="utf-8") as stream:
        assert stream.read() == "made"


def test_a_marker_tells_that_a_person_is_at_work(root):
    assert store.human_at_work(root) is None
    os.makedirs(os.path.join(root, "etc/mailops"))
    with open(os.path.join(root, "etc/mailops/human-at-work"), "w", encoding="utf-8") as stream:
        json.dump({}, stream)
    assert store.human_at_work(root) == "/etc/mailops/human-at-work"


def test_without_systemd_no_timer_is_set(root):
    assert "without systemd" in timer.arm("i1", "/none", 5, root)
