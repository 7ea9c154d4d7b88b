"""The life of a checkpoint: what is put back, what is left, and that an end is an end, whatever fails meanwhile."""
from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import budget, checkpoint, guard, lock, rollback, steps

MAIN, OTHER = "/etc/postfix/main.cf", "/etc/postfix/transport"
STEP = "4be1f0c2a9d7"
BOTH = pytest.mark.parametrize("by", ["timer", "controller"])


def put_back(mailhost, folder, by):
    return mailhost.timer(folder) if by == "timer" else mailhost.end("roll_back", because="it did not help")


@pytest.fixture(name="changed")
def _changed(mailhost):
    """A checkpoint in which the repair wrote one file and made another."""
    mailhost.write(MAIN, "then")
    os.utime(mailhost.path(MAIN), (1000, 1000))
    mailhost.path(MAIN).chmod(0o640)
    folder = mailhost.begin()
    mailhost.change(folder, MAIN, "repaired")
    mailhost.change(folder, OTHER, "made")
    return folder


@BOTH
def test_all_that_the_repair_did_is_undone_once_and_what_is_replaced_is_kept(mailhost, changed, by):
    result = put_back(mailhost, changed, by)
    assert (result["state"], result["restored"], result["left"]) == ("rolled_back", [MAIN, OTHER], [])
    state = mailhost.path(MAIN).stat()
    assert (mailhost.read(MAIN), state.st_mode & 0o777, state.st_mtime) == ("then", 0o640, 1000) and not mailhost.path(OTHER).exists()
    for path, text in ((MAIN, "repaired"), (OTHER, "made")):
        assert mailhost.read(os.path.join(changed[len(mailhost.root):], "replaced", path.lstrip("/"))) == text
    assert os.listdir(mailhost.path("etc/systemd/system")) == [] and lock.read(mailhost.root) is None
    assert [item["outcome"] for item in budget.tries(mailhost.root)] == ["rolled_back"]
    mailhost.write(MAIN, "repaired")
    again = put_back(mailhost, changed, by)
    assert again["state"] == "rolled_back" and mailhost.read(MAIN) == "repaired"
    assert mailhost.states() == []


def test_nothing_but_what_was_noted_is_touched(mailhost, changed):
    mailhost.write("/etc/postfix/virtual", "a person's")
    assert mailhost.timer(changed)["restored"] == [MAIN, OTHER]
    assert mailhost.read("/etc/postfix/virtual") == "a person's"


EDITS = {
    "before the repair": (["edit", "repair"], "edit", "rolled_back"),
    "after the repair": (["repair", "edit"], "edit", "not_put_back"),
    "between two writes": (["repair", "edit", "second"], "edit", "rolled_back"),
    "after two writes": (["repair", "second", "edit"], "edit", "not_put_back"),
    "taken back by the person": (["repair", "then"], "then", "rolled_back"),
    "nobody": (["repair", "second"], "then", "rolled_back"),
    "removed by the person": (["repair", None], None, "not_put_back"),
}


@pytest.mark.parametrize("moment", EDITS)
def test_a_persons_edit_survives_at_every_moment(mailhost, moment):
    done, ends, state = EDITS[moment]
    mailhost.write(MAIN, "then")
    folder = mailhost.begin()
    for text in done:
        if text in ("repair", "second"):
            mailhost.change(folder, MAIN, text)
        elif text is None:
            mailhost.path(MAIN).unlink()
        else:
            mailhost.write(MAIN, text)
    result = mailhost.timer(folder)
    assert result["state"] == state and [item["path"] for item in result["left"]] == ([MAIN] if state == "not_put_back" else [])
    assert (mailhost.read(MAIN) if ends else mailhost.path(MAIN).exists()) == (ends or False)
    # Another try would not help: nothing waits for one.
    assert os.listdir(mailhost.path("etc/systemd/system")) == [] and mailhost.states() == ([state] if state == "not_put_back" else [])


def test_what_a_person_changed_is_left_and_the_rest_is_put_back(mailhost, changed):
    mailhost.path(MAIN).chmod(0o600)
    result = mailhost.timer(changed)
    assert result["restored"] == [OTHER] and [(item["path"], item["again"]) for item in result["left"]] == [(MAIN, False)]


@pytest.mark.parametrize("found, state, text", [("then", "rolled_back", "then"), ("written", "rolled_back", "then"), ("half", "not_put_back", "half")])
def test_a_step_that_was_cut_off_is_undone_only_where_it_is_known_to_be_the_repairs(mailhost, found, state, text):
    mailhost.write(MAIN, "then")
    folder = mailhost.begin()
    will = {MAIN: {"sha256": rollback.hashlib.sha256(b"written").hexdigest()}}
    with pytest.raises(KeyboardInterrupt), checkpoint.noting(folder, {"files": (MAIN,), "will": will}, mailhost.root):
        raise KeyboardInterrupt
    noted = os.path.join(folder, rollback.NOTED)
    with open(noted, "r+b") as stream:
        stream.truncate(stream.read().index(b"\n") + 20)
    mailhost.write(MAIN, found)
    assert mailhost.timer(folder)["state"] == state and mailhost.read(MAIN) == text


def test_a_note_that_was_cut_off_does_not_swallow_the_next_one(mailhost, changed):
    with open(os.path.join(changed, rollback.NOTED), "ab") as stream:
        stream.write(b'{"before": {"/etc/po')
    mailhost.change(changed, "/etc/postfix/third", "made")
    result = mailhost.timer(changed)
    assert len(result["restored"]) == 3 and "cannot be read" in result["left"][0]["because"]


def test_a_step_is_not_taken_when_what_is_there_cannot_be_kept(mailhost, monkeypatch):
    mailhost.write(MAIN, "then")
    folder = mailhost.begin()

    def full(*_words):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(rollback, "copy", full)
    with pytest.raises(OSError):
        mailhost.change(folder, MAIN, "repaired")
    assert mailhost.read(MAIN) == "then"


def test_a_repair_that_goes_on_after_its_end_is_stopped(mailhost, changed):
    mailhost.timer(changed)
    with pytest.raises(checkpoint.Ended):
        mailhost.change(changed, MAIN, "repaired")
    assert mailhost.read(MAIN) == "then"


@BOTH
def test_with_a_person_at_work_nothing_is_put_back_until_they_are_done(mailhost, changed, by):
    mailhost.write("/run/mailops/human-at-work", "")
    result = put_back(mailhost, changed, by)
    assert result["state"] == "not_put_back" and "at work" in result["left"][0]["because"] and mailhost.read(MAIN) == "repaired"
    assert rollback.armed(os.path.basename(changed), mailhost.root) and mailhost.states() == ["not_put_back"]
    mailhost.path("/run/mailops/human-at-work").unlink()
    assert mailhost.timer(changed)["state"] == "rolled_back" and mailhost.read(MAIN) == "then" and mailhost.states() == []


def test_a_person_who_stays_at_work_is_told_in_the_end(mailhost, changed):
    mailhost.write("/etc/mailops/human-at-work", "")
    states = [mailhost.timer(changed)["state"] for _try in range(rollback.MOST_TRIES + 1)]
    assert states == ["not_put_back"] * (rollback.MOST_TRIES - 1) + ["given_up"] * 2
    mailhost.path("/etc/mailops/human-at-work").unlink()
    assert mailhost.timer(changed)["state"] == "given_up" and mailhost.read(MAIN) == "repaired"
    (shown,) = guard.status(mailhost.root)["checkpoints"]
    assert (shown["state"], shown["attempts"]) == ("given_up", rollback.MOST_TRIES) and "at work" in shown["left"][0]["because"]


def immutable(mailhost, path):
    if os.geteuid() or subprocess.run(["chattr", "+i", mailhost.path(path)], check=False, capture_output=True).returncode:
        pytest.skip("no file can be made immutable here")


def test_an_immutable_file_is_tried_again_until_it_can_be_put_back(mailhost, changed):
    immutable(mailhost, MAIN)
    try:
        result = mailhost.end("roll_back", because="it did not help")
        assert result["state"] == "not_put_back" and result["restored"] == [OTHER] and result["left"][0]["again"]
        assert os.listdir(mailhost.path("etc/postfix")) == ["main.cf"] and mailhost.states() == ["not_put_back"]
    finally:
        subprocess.run(["chattr", "-i", mailhost.path(MAIN)], check=True)
    result = mailhost.timer(changed)
    assert result["state"] == "rolled_back" and result["restored"] == [OTHER, MAIN] and mailhost.read(MAIN) == "then"


NO_ROOM = OSError(28, "No space left on device")


def failing(monkeypatch, name, where, times=99, problem=NO_ROOM):
    """A function of the rollback that fails for paths that hold ``where``."""
    real, count = getattr(rollback, name), [0]

    def fail(*words, **more):
        if any(where in str(word) for word in words) and count[0] < times:
            count[0] += 1
            raise problem
        return real(*words, **more)
    monkeypatch.setattr(rollback, name, fail)


@pytest.mark.parametrize("name, where", [("keep", "main.cf"), ("copy", ".mailops-rollback"), ("describe", "main.cf"), ("restore_units", "{}")])
@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), RuntimeError("whatever")])
def test_whatever_fails_once_is_made_good_by_the_next_try(mailhost, changed, monkeypatch, name, where, problem):
    failing(monkeypatch, name, where, 1, problem)
    result = mailhost.timer(changed)
    assert result["state"] == "not_put_back" and any(item["again"] for item in result["left"]) and not list(mailhost.path("etc").rglob("*.mailops-rollback"))
    assert mailhost.timer(changed)["state"] == "rolled_back" and mailhost.read(MAIN) == "then"


def test_what_one_try_put_back_is_a_persons_at_the_next(mailhost, changed, monkeypatch):
    failing(monkeypatch, "keep", OTHER, 1)
    assert mailhost.timer(changed)["restored"] == [MAIN]
    mailhost.write(MAIN, "repaired")
    result = mailhost.timer(changed)
    assert result["state"] == "rolled_back" and result["restored"] == [MAIN, OTHER] and mailhost.read(MAIN) == "repaired"


def test_after_the_last_try_it_is_given_up_and_the_next_repair_waits_for_a_person(mailhost, changed, monkeypatch):
    failing(monkeypatch, "copy", "/replaced")
    assert [mailhost.timer(changed)["state"] for _try in range(6)] == ["not_put_back"] * 4 + ["given_up"] * 2
    manifest = rollback.load(changed, mailhost.root)
    assert len(manifest["attempts"]) == 5 and all(item["epoch"] and item["left"] for item in manifest["attempts"])
    monkeypatch.undo()
    asked = {"owner": "b", "remedy": "r", "cause": "c", "per_hour": 9, "per_day": 9, "expect": []}
    assert "was not put back" in guard.refusal(asked, {"epoch": 1e10, "boot": "", "uptime": 1}, mailhost.root)
    assert mailhost.end("confirm")["granted"] is False


@pytest.fixture(name="not_put_back")
def _not_put_back(mailhost, changed):
    mailhost.write(MAIN, "a person's")
    assert mailhost.timer(changed)["state"] == "not_put_back"
    return changed


def test_a_person_acknowledges_and_the_next_repair_may_begin(mailhost, not_put_back):
    assert mailhost.end("acknowledge", os.path.basename(not_put_back))["granted"] and mailhost.states() == []
    assert not mailhost.end("acknowledge")["granted"]
    mailhost.begin("another")
    assert not mailhost.end("acknowledge", "another")["granted"], "an open repair is confirmed or rolled back"


def test_closed_checkpoints_are_dropped_and_those_that_wait_for_a_person_are_not(mailhost, not_put_back):
    for number in range(3):
        folder = os.path.join(os.path.dirname(not_put_back), f"2099010{number}T000000Z-s")
        os.makedirs(folder)
        rollback.save(folder, {**rollback.load(not_put_back), "id": os.path.basename(folder), "state": "confirmed"}, mailhost.root)
    checkpoint.drop_old(mailhost.root, 1)
    assert [os.path.basename(path) for path, _manifest in checkpoint.every(mailhost.root)] == [os.path.basename(not_put_back), "20990102T000000Z-s"]


DAMAGED = [b"", b"{", b"[]", b'{"schema": 2}', b'{"schema": 1, "state": "open"}', b"\xff\xfe", b'{"schema": 2, "state": 5, "attempts": {}}']


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_manifest_is_told_and_nothing_is_put_back(mailhost, changed, content):
    with open(os.path.join(changed, rollback.MANIFEST), "wb") as stream:
        stream.write(content)
    result = mailhost.timer(changed)
    assert result["state"] == "not_put_back" and result["because"] and mailhost.read(MAIN) == "repaired"
    answer = mailhost.end("roll_back")
    assert (answer["granted"], answer["state"]) == (False, "not_put_back") and mailhost.states() == ["not_put_back"]
    assert mailhost.end("acknowledge")["granted"] and mailhost.states() == [] and os.listdir(mailhost.path("etc/systemd/system")) == []


VALUES = st.dictionaries(st.sampled_from(["restored", "left"]), st.integers() | st.just([])) | st.none() | st.booleans() | st.integers() | st.text(max_size=9) \
    | st.lists(st.none() | st.dictionaries(st.sampled_from(["again", "left"]), st.integers() | st.booleans()))
FIELDS = st.sampled_from(["id", "step", "owner", "remedy", "cause", "rolls_back_at", "journal", "state", "because", "attempts", "rolled_back"])


@given(st.dictionaries(FIELDS, VALUES), st.sampled_from([2, 2, 3]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_manifest_says_it_is_read_and_told(mailhost, values, schema):
    folder = mailhost.path("var/lib/mailops/checkpoints/20260101T000000Z-x")
    folder.mkdir(parents=True, exist_ok=True)
    whole = {**dict.fromkeys(("step", "owner", "remedy", "cause", "rolls_back_at", "journal", "because"), ""), "id": folder.name, "attempts": [],
             "state": "not_put_back"}
    (folder / rollback.MANIFEST).write_text(json.dumps({"schema": schema, **whole, **values}))
    for item in guard.status(mailhost.root)["checkpoints"]:
        assert isinstance(item["state"], str) and isinstance(item["left"], list)
    assert mailhost.timer(str(folder))["restored"] == []


@pytest.mark.parametrize("action, state", [("confirm", "confirmed"), ("roll_back", "rolled_back")])
def test_whoever_comes_second_is_told_what_the_first_one_left(mailhost, changed, action, state):
    mailhost.end(action)
    for late in ("confirm", "roll_back"):
        answer = mailhost.end(late)
        assert (answer["granted"], answer["state"]) == (False, state)
        assert answer["restored"] == ([MAIN, OTHER] if action == "roll_back" else [])
    assert mailhost.timer(changed)["state"] == state and mailhost.read(MAIN) == ("repaired" if state == "confirmed" else "then")


def test_a_step_that_is_not_known_has_no_state(mailhost):
    assert mailhost.end("confirm", "none")["state"] == ""


def test_of_two_checkpoints_of_one_step_the_newest_is_meant(mailhost, changed):
    mailhost.end("roll_back")
    older = changed.replace("checkpoints/20", "checkpoints/19")
    rollback.save(changed, {**rollback.load(changed, mailhost.root), "id": os.path.basename(older)}, mailhost.root)
    os.rename(changed, older)
    mailhost.begin()
    assert mailhost.end("confirm")["state"] == "confirmed"


def test_a_controller_that_died_is_told_apart_in_the_ledger(mailhost, changed):
    assert mailhost.end("roll_back", interrupted=True)["state"] == "interrupted"
    assert [item["outcome"] for item in budget.tries(mailhost.root)] == ["interrupted"]


def test_the_digest_of_the_journal_is_kept_on_the_host(mailhost):
    folder = mailhost.begin(journal="aa")
    assert [item["journal"] for item in guard.status(mailhost.root)["checkpoints"]] == ["aa"]
    mailhost.end("roll_back", journal="bb")
    assert rollback.load(folder, mailhost.root)["journal"] == "bb"


def _race(mailhost, folder, action, ready, answers):
    ready.wait()
    with rollback.alone(mailhost.root):
        answers.put(rollback.roll_back(folder, "x", mailhost.root)["state"] if action == "timer" else mailhost.end(action)["state"])


def test_confirm_and_rollback_never_run_at_once(mailhost, changed):
    # A rollback that takes its time, so that the confirmation comes in the middle of it.
    for number in range(200):
        mailhost.change(changed, f"/etc/postfix/{number}", "made")
    fork = multiprocessing.get_context("fork")
    ready, answers = fork.Barrier(3), fork.Queue()
    racing = [fork.Process(target=_race, args=(mailhost, changed, action, ready, answers)) for action in ("timer", "confirm", "roll_back")]
    for process in racing:
        process.start()
    states = {answers.get(timeout=60) for _process in racing}
    for process in racing:
        process.join(60)
    assert states in ({"confirmed"}, {"rolled_back"})
    made = [name for name in os.listdir(mailhost.path("etc/postfix")) if name.isdigit()]
    assert len(made) == (200 if states == {"confirmed"} else 0)


def unwritable(monkeypatch, *where):
    """Nothing is written, renamed or removed below these folders."""
    def guarded(name):
        real = getattr(rollback.os, name)

        def refuse(path, *words, **more):
            if any(part in str(path) for part in where) and not (name == "open" and not words[0] & (os.O_WRONLY | os.O_RDWR)):
                raise OSError(30, "Read-only file system", str(path))
            return real(path, *words, **more)
        monkeypatch.setattr(rollback.os, name, refuse)
    for name in ("open", "unlink", "replace"):
        guarded(name)


def test_a_rollback_whose_record_cannot_be_written_plays_and_never_again_at_a_later_boot(mailhost, changed, monkeypatch):
    unwritable(monkeypatch, "manifest.json")
    assert mailhost.timer(changed)["state"] == "rolled_back" and mailhost.read(MAIN) == "then"
    assert mailhost.states() == [] and rollback.load(changed, mailhost.root)["state"] == "rolled_back", "kept in memory"
    monkeypatch.undo()
    mailhost.boot()
    mailhost.write(MAIN, "repaired")
    assert mailhost.timer(changed)["state"] == "not_put_back" and mailhost.read(MAIN) == "repaired"
    assert mailhost.states() == ["not_put_back"] and "not on record" in guard.status(mailhost.root)["checkpoints"][0]["because"]


def test_a_confirmation_whose_record_cannot_be_written_holds_at_a_later_boot(mailhost, changed, monkeypatch):
    unwritable(monkeypatch, "manifest.json")
    assert mailhost.end("confirm")["state"] == "confirmed"
    monkeypatch.undo()
    mailhost.boot()
    assert mailhost.timer(changed)["state"] == "not_put_back" and mailhost.read(MAIN) == "repaired"


def test_where_neither_record_nor_timer_can_be_changed_nothing_is_put_back(mailhost, changed, monkeypatch):
    with monkeypatch.context() as broken:
        unwritable(broken, "manifest.json", "mailops-rollback")
        result = mailhost.timer(changed)
        assert result["state"] == "not_put_back" and "cannot be recorded" in result["because"] and mailhost.read(MAIN) == "repaired"
        assert not mailhost.end("confirm")["granted"] and mailhost.states() == ["open"]
    assert mailhost.timer(changed)["state"] == "rolled_back" and mailhost.read(MAIN) == "then"


def test_a_rollback_that_a_crash_cut_off_goes_on_after_the_boot(mailhost, changed, monkeypatch):
    with monkeypatch.context() as broken:
        failing(broken, "put_back", OTHER, problem=KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            mailhost.timer(changed)
    mailhost.boot()
    assert mailhost.read(MAIN) == "then" and mailhost.path(OTHER).exists() and mailhost.states() == ["rolling_back"]
    assert mailhost.timer(changed)["state"] == "rolled_back" and not mailhost.path(OTHER).exists()


def test_a_rollback_that_comes_days_late_leaves_what_is_a_persons_by_then(mailhost, changed):
    mailhost.boot()
    mailhost.write(OTHER, "a person's")
    result = mailhost.timer(changed)
    assert result["state"] == "not_put_back" and mailhost.read(MAIN) == "then" and mailhost.read(OTHER) == "a person's"


def test_what_cannot_be_kept_in_the_checkpoint_is_kept_in_memory(mailhost, changed, monkeypatch):
    failing(monkeypatch, "copy", "var/lib/mailops", 1)
    assert mailhost.timer(changed)["state"] == "rolled_back"
    assert mailhost.read(f"/run/mailops/replaced/{os.path.basename(changed)}{MAIN}") == "repaired"


@pytest.fixture(name="small")
def _small(mailhost):
    """The guard's folder is a file system of 17 MiB."""
    folder = mailhost.path("var/lib/mailops")
    folder.mkdir(parents=True)
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=17m", "tmpfs", folder], check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_on_a_disk_that_became_full_the_room_that_was_kept_is_enough(mailhost, small):
    mailhost.write(MAIN, "then")
    folder = mailhost.begin()
    mailhost.change(folder, MAIN, "repaired")
    with pytest.raises(OSError), (small / "mail").open("wb", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass
    with pytest.raises(OSError):
        rollback.write(str(small / "x"), bytes(10))
    assert mailhost.timer(folder)["state"] == "rolled_back" and mailhost.read(MAIN) == "then"
    mailhost.boot()
    assert rollback.load(folder, mailhost.root)["state"] == "rolled_back", "it is on record on the disk"


UNITS = {
    # before, after the repair, now: what the rollback does
    "the repair started it": (("enabled", "inactive", ""), ("enabled", "active", "1"), ("enabled", "active", "1"), ["stop"]),
    "a person started it anew": (("enabled", "inactive", ""), ("enabled", "active", "1"), ("enabled", "active", "2"), []),
    "a person started it, the repair could not": (("enabled", "failed", "0"), ("enabled", "failed", "1"), ("enabled", "active", "2"), []),
    "the boot started it": (("enabled", "failed", "0"), ("enabled", "active", "1"), ("enabled", "active", "9"), []),
    "it failed after the repair restarted it": (("enabled", "active", "0"), ("enabled", "active", "1"), ("enabled", "failed", "1"), ["start"]),
    "the repair's restart failed": (("enabled", "active", "0"), ("enabled", "inactive", "1"), ("enabled", "inactive", "1"), ["start"]),
    "a person stopped it after the repair": (("enabled", "active", "0"), ("enabled", "active", "1"), ("enabled", "inactive", "1"), []),
    "the repair unmasked it": (("masked", "inactive", ""), ("enabled", "inactive", ""), ("enabled", "inactive", ""), ["mask"]),
    "the repair enabled it": (("disabled", "inactive", ""), ("enabled", "active", "1"), ("enabled", "active", "1"), ["disable", "stop"]),
    "a person masked it since": (("disabled", "active", "1"), ("enabled", "active", "1"), ("masked", "inactive", "1"), []),
    "a person looked at what the repair's restart had broken": (("enabled", "active", "0"), ("enabled", "failed", "1"), ("enabled", "inactive", "1"), []),
    "the repair did nothing to it": (("enabled", "active", "1"), ("enabled", "active", "1"), ("disabled", "inactive", "1"), []),
}


@pytest.mark.parametrize("case", UNITS)
def test_of_units_only_what_the_repair_did_is_undone(mailhost, case):
    before, after, now, verbs = UNITS[case]
    units = mailhost.systemd.units
    units["x.service"] = list(before)
    folder = mailhost.begin()
    with checkpoint.noting(folder, {"units": ("x.service",)}, mailhost.root):
        units["x.service"] = list(after)
    units["x.service"] = list(now)
    assert mailhost.timer(folder)["state"] == "rolled_back"
    assert mailhost.systemd.changes() == [f"systemctl {verb} x.service" for verb in verbs]


def test_a_unit_that_does_not_obey_is_tried_again(mailhost):
    units = mailhost.systemd.units
    units["x.service"] = ["enabled", "active", "0"]
    folder = mailhost.begin()
    with checkpoint.noting(folder, {"units": ("x.service",)}, mailhost.root):
        units["x.service"] = ["enabled", "failed", "1"]
    mailhost.systemd.failing.add("systemctl start x.service")
    assert mailhost.timer(folder)["left"] == [{"path": "x.service", "because": "systemctl start: it does not work", "again": True}]
    mailhost.systemd.failing.clear()
    assert mailhost.timer(folder)["state"] == "rolled_back" and units["x.service"][1] == "active"


@pytest.mark.parametrize("restarted, does", [(False, "reload-or-restart postfix.service"), (True, "restart postfix@-.service")])
def test_software_reads_what_was_put_back_in_the_way_in_which_the_repair_had_it_read(mailhost, changed, restarted, does):
    units = mailhost.systemd.units
    units.update({"postfix.service": ["enabled", "active", "0"], "postfix@-.service": ["enabled", "active", "0"]})
    if restarted:
        with checkpoint.noting(changed, {"units": ("postfix@-.service",)}, mailhost.root):
            units["postfix@-.service"] = ["enabled", "active", "1"]
    assert mailhost.timer(changed)["units"] == [does]


def test_software_is_not_told_of_a_configuration_that_it_cannot_read(mailhost, changed):
    mailhost.systemd.units["postfix.service"] = ["enabled", "active", "0"]
    mailhost.systemd.failing.add("postconf -n")
    result = mailhost.timer(changed)
    assert result["state"] == "rolled_back" and "cannot be read" in result["units"][0] and mailhost.systemd.changes() == ["postconf -n"]


def test_begin_leaves_nothing_when_it_is_refused(mailhost):
    asked = {"owner": "a", "step": STEP, "remedy": "r", "cause": "c", "because": "", "journal": "", "lock_seconds": 9, "rollback_after": 9, "per_hour": 9,
             "per_day": 9, "expect": [{"path": MAIN, "digest": "ab"}], "interrupted": False}
    assert "was changed since" in guard.begin(asked, mailhost.root)["because"]
    mailhost.path("run/systemd/system").rmdir()
    assert "without systemd" in guard.begin({**asked, "expect": []}, mailhost.root)["because"]
    assert checkpoint.every(mailhost.root) == [] and lock.read(mailhost.root) is None and list(mailhost.path("etc").rglob("*.timer")) == []
    assert os.listdir(mailhost.path("var/lib/mailops/checkpoints")) == []


def test_a_second_repair_waits_for_the_first(mailhost, changed):
    asked = {"owner": "b", "remedy": "r", "cause": "c", "per_hour": 9, "per_day": 9, "expect": []}
    assert "still open" in guard.refusal(asked, {"epoch": 1, "boot": "", "uptime": 1}, mailhost.root)


@pytest.fixture(name="etc")
def _etc(tmp_path, monkeypatch):
    """A folder of configuration on this machine that steps may touch."""
    monkeypatch.setattr(steps.harmless, "_CONFIG", (f"{tmp_path}/etc/*",))
    monkeypatch.setattr(steps.harmless, "check_command", lambda argv: None)
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc"


def test_each_kind_of_step_is_noted_as_it_is_taken(open_here, etc, monkeypatch):
    for name in ("written", "moved", "owned", "compiled"):
        (etc / name).write_text(name)
    (etc / "owned").chmod(0o600)
    before = {path.name: (path.read_text(), path.stat().st_mode) for path in etc.iterdir()}

    def remedy():
        yield steps.Write(f"{etc}/written", b"new", "x")
        yield steps.Write(f"{etc}/made", b"new", "x")
        yield steps.Move(f"{etc}/moved", f"{etc}/moved.damaged", "x")
        yield steps.Own(f"{etc}/owned", os.getuid(), os.getgid(), 0o640, "x")
        yield steps.Command(("cp", f"{etc}/written", f"{etc}/compiled"), "x", writes=(f"{etc}/compiled",))
    steps.take(remedy(), False, [])
    assert {path.name for path in etc.iterdir()} == {"written", "made", "moved.damaged", "owned", "compiled"}
    result = rollback.roll_back(open_here, "test")
    assert (result["state"], result["left"]) == ("rolled_back", [])
    assert {path.name: (path.read_text(), path.stat().st_mode) for path in etc.iterdir()} == before


def test_a_step_that_fails_is_noted_too(open_here, etc):
    (etc / "compiled").write_text("then")

    def remedy():
        yield steps.Command(("sh", "-c", f"echo half > {etc}/compiled; false"), "x", writes=(f"{etc}/compiled",))
    with pytest.raises(steps.StepFailed):
        steps.take(remedy(), False, [])
    assert rollback.roll_back(open_here, "test")["restored"] == [f"{etc}/compiled"] and (etc / "compiled").read_text() == "then"


def test_a_remedy_stops_where_its_checkpoint_was_closed(open_here, etc):
    (etc / "a").write_text("then")

    def remedy():
        yield steps.Write(f"{etc}/a", b"new", "x")
        rollback.roll_back(open_here, "the timer")
        yield steps.Write(f"{etc}/a", b"newer", "x")
    with pytest.raises(steps.StepFailed, match="ended meanwhile"):
        steps.take(remedy(), False, [])
    assert (etc / "a").read_text() == "then"


def test_what_a_step_touches_is_on_the_disk_before_it_is_taken(open_here, etc, monkeypatch):
    seen = []

    class Looking(steps.Write):
        def take(self):
            with open(os.path.join(open_here, rollback.NOTED), encoding="utf-8") as stream:
                seen.extend(json.loads(line) for line in stream)
            return super().take()
    (etc / "a").write_text("then")
    steps.take((step for step in [Looking(f"{etc}/a", b"new", "x")]), False, [])
    assert list(seen[0]["before"]) == [f"{etc}/a"] and len(seen) == 1
    assert os.path.exists(os.path.join(open_here, "files", seen[0]["before"][f"{etc}/a"]["sha256"]))


def dying(number, work):
    """``work()`` in a process that dies before the given one of its system calls that write; whether it died."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] != 0
    left = [number]

    def counted(real):
        def call(*words, **more):
            left[0] -= 1
            if left[0] < 0:
                os._exit(1)
            return real(*words, **more)
        return call
    for name in ("open", "write", "fsync", "replace", "unlink", "fchown", "rename", "chown"):
        setattr(os, name, counted(getattr(os, name)))
    work()
    os._exit(0)


def looks(etc):
    return {path.name: (path.read_text(), path.stat().st_mode) for path in etc.iterdir() if not path.name.endswith((".mailops-new", ".mailops-rollback"))}


@pytest.mark.parametrize("dies_in", ["repair", "rollback"])
def test_at_whatever_moment_a_repair_or_a_rollback_dies_all_is_as_it_was_after_the_next_try(open_here, etc, tmp_path, dies_in):
    def remedy():
        yield steps.Write(f"{etc}/written", b"new", "x")
        yield steps.Write(f"{etc}/made", b"new", "x")
        yield steps.Move(f"{etc}/moved", f"{etc}/moved.damaged", "x")
        yield steps.Own(f"{etc}/owned", os.getuid(), os.getgid(), 0o640, "x")
        yield steps.Write(f"{etc}/written", b"newer", "x")
    for name in ("written", "moved", "owned"):
        (etc / name).write_text(name)
    before = looks(etc)
    pristine = shutil.copytree(tmp_path / "kept", tmp_path / "pristine")
    units = {path: path.read_text() for path in (tmp_path / "units").iterdir()}
    for number in range(1000):
        if dies_in == "repair":
            died = dying(number, lambda: steps.take(remedy(), False, []))
        else:
            steps.take(remedy(), False, [])
            died = dying(number, lambda: rollback.roll_back(open_here, "test"))
        result = rollback.roll_back(open_here, "test")
        assert looks(etc) == before and result["left"] == [], (number, result)
        shutil.rmtree(tmp_path / "kept")
        shutil.copytree(pristine, tmp_path / "kept")
        for path, text in units.items():
            path.write_text(text)
        if not died:
            break
    assert 40 < number < 999
