"""Who may change a host, how often, and where that is kept."""
from __future__ import annotations

import os

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import budget, lock, rollback, store, timer


@pytest.fixture(name="root")
def _root(mailhost):
    return mailhost.root


def test_a_second_owner_is_refused_until_the_lock_expires(root):
    assert lock.take("a", "s1", 10, 100, root) == (True, "")
    assert lock.take("a", "s2", 10, 100, root)[0]
    assert not lock.take("b", "s1", 10, 105, root)[0]
    taken, said = lock.take("b", "s1", 10, 111, root)
    assert taken and "expired" in said
    assert not lock.release("a", root) and lock.release("b", root)


def test_a_damaged_lock_is_somebodys(root):
    with open(rollback.under(root, rollback.LOCK), "w", encoding="utf-8") as stream:
        stream.write('{"owner": "a", "until')
    assert not lock.take("a", "s1", 10, 100, root)[0] and not lock.release("a", root)


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
    with open(os.path.join(place, rollback.LEDGER), "a", encoding="utf-8") as stream:
        stream.write("half a li")
    assert "cannot be read" in budget.refusal("other", at(9999), 1, 3, root)


def test_a_clock_that_jumps_neither_frees_nor_spends_the_budget(root):
    budget.append(store.choose(root, 0), {**at(1000), "id": "i1", "step": "s1", "remedy": "r", "cause": "c", "outcome": "begun"})
    assert "1 times" in budget.refusal("r", at(900000, uptime=1001), 1, 3, root)
    assert budget.refusal("r", at(10, uptime=900000), 1, 3, root) == ""
    assert "clock" in budget.refusal("other", at(10, boot="b2"), 1, 3, root)
    assert budget.refusal("r", at(900000, boot="b2", uptime=5), 1, 3, root) == ""


def test_a_marker_tells_that_a_person_is_at_work(root):
    assert rollback.human_at_work(root) is None
    os.makedirs(os.path.join(root, "etc/mailops"))
    with open(os.path.join(root, "etc/mailops/human-at-work"), "w", encoding="utf-8"):
        assert rollback.human_at_work(root) == "/etc/mailops/human-at-work"


def test_without_systemd_no_timer_is_set(tmp_path):
    assert "without systemd" in timer.arm("i1", "/none", 5, str(tmp_path))


def test_the_timer_of_a_checkpoint_in_memory_is_in_memory(mailhost):
    for place, folder in (("var/lib/mailops", "etc/systemd/system"), ("run/mailops", "run/systemd/system")):
        assert timer.arm("i1", f"{mailhost.root}/{place}/checkpoints/i1", 5, mailhost.root) == ""
        assert sorted(os.listdir(mailhost.path(folder))) == ["mailops-rollback-i1.service", "mailops-rollback-i1.timer"]
        assert rollback.disarm("i1", mailhost.root) and not rollback.armed("i1", mailhost.root)


def test_a_timer_that_cannot_be_set_leaves_nothing(mailhost):
    mailhost.systemd.failing.add("systemctl enable --now mailops-rollback-i1.timer")
    assert "could not be set" in timer.arm("i1", f"{mailhost.root}/var/lib/mailops/checkpoints/i1", 5, mailhost.root)
    assert not rollback.armed("i1", mailhost.root)
