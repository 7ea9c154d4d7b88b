"""The queue is flushed once, and held and released message by message: never all of it by one word, and nothing that would be returned."""
from __future__ import annotations

import json
import os

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.host import _mail, queue
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context, Ran
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import harmless, steps
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies import _queue, flush_queue, hold_queue, release_queue
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Refused, StepFailed

_DAY = 86400
_NOW = 1795716077


def entry(name, state="hold", sender="alice@single.test", age=60):
    return {"queue_name": state, "queue_id": name, "arrival_time": _NOW - age, "message_size": 304, "sender": sender, "recipients": []}


@pytest.mark.parametrize("line", ["postsuper -h EA21E186012", "postsuper -H EA21E186012 -H 4Zk3bR1lJ7z2Wd", "postqueue -f"])
def test_messages_are_held_and_released_by_their_ids(line):
    harmless.check_command(tuple(line.split()))


@pytest.mark.parametrize("line", [
    "postsuper -h ALL", "postsuper -H ALL", "postsuper -H ALL deferred", "postsuper -d EA21E186012", "postsuper -h EA21E186012 -d EA21E186013", "postsuper -r EA21E186012",
    "postsuper -h -dALLdeferred", "postsuper -H EA21E186012 -h EA21E186013", "postsuper -e EA21E186012", "postsuper -s", "postqueue -f -f", "postqueue -s outside.test",
    "exim4 -qff", "exim4 -Mrm 1oXyzA-0002aB-Cd",
])
def test_nothing_else_is_done_to_the_queue(line):
    with pytest.raises(harmless.Harmful):
        harmless.check_command(tuple(line.split()))


@pytest.mark.parametrize("name", ["ALL", "-d", "", "EA21E186012 -d", "../x", "EA21E1860\n"])
def test_what_is_no_queue_id_is_refused(name):
    with pytest.raises(Refused, match="no queue id"):
        _queue.checked(["EA21E186012", name])


@pytest.fixture(name="listed")
def _listed(monkeypatch):
    """The queue of the test, as postqueue lists it."""
    found = []
    monkeypatch.setattr(os.path, "exists", lambda path: True)
    monkeypatch.setattr(Context, "run", lambda self, *argv, **more: Ran(argv, 0, "".join(json.dumps(item) + "\n" for item in found)))
    monkeypatch.setattr(_mail, "parameter", lambda context, name, default="": default)
    monkeypatch.setattr(release_queue.time, "time", lambda: _NOW)
    return found


def release(**options):
    return [step.argv for step in release_queue.steps(Context(), {"queue_ids": [], "all_held": False, **options})]


def hold(**options):
    return [step.argv for step in hold_queue.steps(Context(), {"queue_ids": [], "sender": "", **options})]


def test_only_what_is_on_hold_is_released(listed):
    listed += [entry("AAAAAA1"), entry("AAAAAA2", "deferred"), entry("AAAAAA3"), entry("AAAAAA4", "active")]
    assert release(all_held=True) == [("postsuper", "-H", "AAAAAA1", "-H", "AAAAAA3")]
    assert release(queue_ids=["AAAAAA2", "AAAAAA3", "AAAAAA9"]) == [("postsuper", "-H", "AAAAAA3")]
    assert not release(queue_ids=["AAAAAA2"])


@pytest.mark.parametrize("options", [{}, {"queue_ids": ["AAAAAA1"], "all_held": True}])
def test_what_to_release_is_said_in_one_way(listed, options):
    with pytest.raises(Refused, match="either"):
        release(**options)


def test_mail_that_would_be_returned_stays_on_hold(listed):
    listed += [entry("AAAAAA1", age=6 * _DAY), entry("AAAAAA2", age=_DAY)]
    taken = []
    with pytest.raises(Refused, match="1 messages.*AAAAAA1"):
        for step in release_queue.steps(Context(), {"queue_ids": [], "all_held": True}):
            taken.append(step.argv)
    assert taken == [("postsuper", "-H", "AAAAAA2")]


@pytest.mark.parametrize("sender, age, fresh", [("a@x.test", 4 * _DAY, True), ("a@x.test", 5 * _DAY - 60, False), ("MAILER-DAEMON", 2 * _DAY, False), ("MAILER-DAEMON", 60, True)])
def test_a_bounce_has_a_lifetime_of_its_own(sender, age, fresh):
    assert release_queue.split([entry("AAAAAA1", sender=sender, age=age)], 5 * _DAY, _DAY, _NOW) == ((["AAAAAA1"], []) if fresh else ([], ["AAAAAA1"]))


def test_one_senders_mail_is_held_and_nobody_elses(listed):
    listed += [entry("AAAAAA1", "deferred"), entry("AAAAAA2", "active"), entry("AAAAAA3", "hold"), entry("AAAAAA4", "incoming", "xalice@single.test"),
               entry("AAAAAA5", "deferred", "MAILER-DAEMON")]
    assert hold(sender="alice@single.test") == [("postsuper", "-h", "AAAAAA1", "-h", "AAAAAA2")]
    assert hold(sender="<>") == [("postsuper", "-h", "AAAAAA5")]
    assert hold(queue_ids=["AAAAAA4", "AAAAAA3"]) == [("postsuper", "-h", "AAAAAA4")]
    assert not hold(sender="nobody@single.test") and not hold(sender="*") and not hold(sender=".*")


def test_it_must_be_said_what_to_hold(listed):
    with pytest.raises(Refused, match="sender"):
        hold()


def test_many_messages_are_held_in_batches_whose_record_names_them_all(listed):
    listed += [entry(f"4Zk3bR1lJ{number:05d}xyz", "deferred") for number in range(1200)]
    records = []
    steps.take(hold_queue.steps(Context(), {"queue_ids": [], "sender": "alice@single.test"}), True, records)
    assert len(records) == 3
    named = [word for record in records for word in record["does"].split() if word.startswith("4Zk")]
    assert named == sorted(item["queue_id"] for item in listed) and max(len(record["does"]) for record in records) < 20000


def test_an_entry_with_a_strange_id_is_passed_over(listed):
    listed += [entry("AAAAAA1", "deferred"), entry("-d ALL", "deferred"), entry(None, "deferred")]
    assert hold(sender="alice@single.test") == [("postsuper", "-h", "AAAAAA1")]


def test_a_queue_that_cannot_be_listed_is_left_alone(listed, monkeypatch):
    monkeypatch.setattr(Context, "run", lambda self, *argv, **more: Ran(argv, 69, "", "postqueue: fatal: bad configuration"))
    for ask in (lambda: release(all_held=True), lambda: hold(sender="a@x.test")):
        with pytest.raises(Refused, match="bad configuration"):
            ask()


def test_exims_queue_is_a_persons(listed, monkeypatch):
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    with pytest.raises(Refused, match="Exim"):
        hold(sender="a@x.test")


@pytest.fixture(name="waiting")
def _waiting(monkeypatch, tmp_path):
    """Postfix with three deferred messages, last flushed never."""
    found = {"mta": "postfix", "running": True, "counts": {"deferred": 3}}
    monkeypatch.setattr(queue, "collect", lambda context: found)
    monkeypatch.setattr(flush_queue, "flushed_ago", lambda now: None)
    return found


def flush(pause=3600):
    return [step.argv for step in flush_queue.steps(Context(), {"pause": pause})]


def test_deferred_mail_is_flushed(waiting):
    assert flush() == [("postqueue", "-f")]


def test_nothing_is_flushed_where_nothing_waits(waiting, monkeypatch):
    monkeypatch.setattr(flush_queue, "flushed_ago", lambda now: 1.0)
    waiting["counts"]["deferred"] = 0
    assert not flush()


@pytest.mark.parametrize("ago, pause, refused", [(10.0, 3600, True), (3599.0, 3600, True), (3600.0, 3600, False), (0.0, 60, True), (61.0, 60, False), (0.0, 0, False)])
def test_a_flush_is_not_repeated_too_soon(waiting, monkeypatch, ago, pause, refused):
    monkeypatch.setattr(flush_queue, "flushed_ago", lambda now: ago)
    if refused:
        with pytest.raises(Refused, match="again"):
            flush(pause)
    else:
        assert flush(pause)


@pytest.mark.parametrize("changes, words", [({"running": False}, "does not run"), ({"mta": "exim"}, "exim4 -qf"), ({"mta": None}, "no mail queue"),
                                            ({"counts": {"deferred": None}}, "cannot be seen")])
def test_a_flush_that_could_not_work_is_refused(waiting, changes, words):
    waiting.update(changes)
    with pytest.raises(Refused, match=words):
        flush()


def test_a_flush_is_remembered_even_when_it_fails(tmp_path):
    root = str(tmp_path)
    assert flush_queue.flushed_ago(_NOW, root) is None
    with pytest.raises(StepFailed):
        flush_queue.Flush(("false",), "x", root=root).take()
    assert flush_queue.flushed_ago(os.stat(tmp_path / "var/lib/mailops/flushed").st_mtime + 5, root) == pytest.approx(5)
    assert flush_queue.flushed_ago(0, root) == 0


def test_a_flush_that_cannot_be_remembered_is_not_done(tmp_path):
    (tmp_path / "var").write_text("no folder")
    (tmp_path / "run").write_text("no folder")
    with pytest.raises(StepFailed, match="remembered"):
        flush_queue.Flush(("true",), "x", root=str(tmp_path)).take()
