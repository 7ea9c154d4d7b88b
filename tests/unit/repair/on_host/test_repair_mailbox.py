"""Only damaged indexes are put aside, of one user whose sessions have ended; mail and unique ids are never touched."""
from __future__ import annotations

import os
import time

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.host import events
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context, Ran
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import harmless
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies import repair_mailbox
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import NOT_TAKEN, Refused, StepFailed

_FIELDS = "field\tvalue\nuser\talice\nuid\t{uid}\ngid\t1001\nhome\t/home/alice\nmail\t{mail}\n"
_WHO = "username                           proto pid ip       \nalice                              imap  917 127.0.0.1\n"


@pytest.mark.parametrize("line", ["doveadm kick alice@single.test", "doveadm force-resync -u alice INBOX", "doveadm force-resync -u alice *"])
def test_the_commands_for_one_user_are_allowed(line):
    harmless.check_command(tuple(line.split()))


@pytest.mark.parametrize("line", ["doveadm kick *", "doveadm kick alice bob", "doveadm force-resync -A INBOX", "doveadm force-resync -u * INBOX", "doveadm force-resync -u -A *",
                                  "doveadm index -u alice INBOX", "doveadm mailbox delete -u alice INBOX", "doveadm expunge -u alice mailbox INBOX all",
                                  "doveadm force-resync -u ../alice INBOX", "doveadm purge -u alice", "doveadm mailbox cache remove -u alice INBOX"])
def test_nothing_is_done_to_others_or_to_mail(line):
    with pytest.raises(harmless.Harmful):
        harmless.check_command(tuple(line.split()))


@pytest.mark.parametrize("said, expected", [
    # doveadm dump of Dovecot 2.3.19.
    ("Detected file type: log\nversion = 1.3\nindex id = 1795715013\nrecord: offset=40, type=append (ext), size=24\n", False),
    ("record: offset=40, type=unknown: d9b5db3a (ext), size=broken (ce5d2fc7)", True),
    ("record: offset=17028, type=unknown: 0, size=broken (0)", True),
    ("Fatal: Can't autodetect file type: dovecot.index.log", True),
    ("-- INDEX: /home/alice/Maildir/dovecot.index\nversion .................. = 7.3\nError: Corrupted index file ./dovecot.index: File too small", True),
    ("Error: Index ./dovecot.index: Index mapped (file_seq=2): Lost log for seq=2 offset=16484: Failed to map file seq=2", True),
    ("Error: Deleting corrupted cache: Unsupported major version (158)", True),
    ("Fatal: open(/home/alice/Maildir/dovecot.index) failed: Permission denied", False),
    ("keyword: broken", False), ("", False),
])
def test_damage_is_told_from_what_doveadm_dump_says(said, expected):
    assert repair_mailbox.is_damage(said) is expected


@pytest.mark.parametrize("location, expected", [("maildir:~/Maildir", True), ("mbox:~/mail:INBOX=/var/mail/%u", True), ("mdbox:~/mdbox", False), ("sdbox:~/sdbox", False),
                                                (":", False), ("", False)])
def test_a_store_that_keeps_flags_in_its_index_keeps_it(location, expected):
    assert repair_mailbox.keeps_flags_elsewhere(location) is expected


@pytest.fixture(name="box")
def _box(tmp_path):
    """A Maildir with a folder, with indexes in both."""
    for place in ("", ".Work"):
        for name in ("cur", "new", "tmp"):
            (tmp_path / place / name).mkdir(parents=True)
        for name in ("dovecot.index", "dovecot.index.cache", "dovecot.index.log", "dovecot-uidlist"):
            (tmp_path / place / name).write_text("sound")
    (tmp_path / "cur/dovecot.index.log").write_text("a message with a strange name")
    return tmp_path


@pytest.fixture(name="host")
def _host(monkeypatch, box):
    """A host with the user alice; what doveadm answers, and what the log tells."""
    state = {"uid": os.getuid(), "mail": f"maildir:{box}", "sessions": False, "log": {}, "rc": 0}

    def run(_self, *argv, **_more):
        if argv[1] == "user":
            return Ran(argv, state["rc"], _FIELDS.format(**state) if not state["rc"] else "field\tvalue\n", "Error: no answer" if state["rc"] else "")
        if argv[1] == "who":
            return Ran(argv, 0, _WHO if state["sessions"] else _WHO.splitlines()[0])
        if argv[1] == "mailbox":
            return Ran(argv, 0, f"{box}\n")
        with open(argv[2], encoding="utf-8") as stream:
            return Ran(argv, 0, "size=broken (0)" if stream.read() == "damaged" else "version = 1.3")
    monkeypatch.setattr(Context, "run", run)
    monkeypatch.setattr(repair_mailbox.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(repair_mailbox, "_told_by_log", lambda context, known, since: state["log"])
    monkeypatch.setattr(repair_mailbox.storage, "measures", lambda state: {"full": False, "inodes_full": False})
    return state


def steps_of(user="alice"):
    remedy = repair_mailbox.steps(Context(), {"user": user})
    found = []
    try:
        step = next(remedy)
        while True:
            found.append(step)
            step = remedy.send(NOT_TAKEN)
    except StopIteration:
        return [step.does() for step in found]


@pytest.mark.parametrize("user", ["alice;id", "../alice", "-A", "*", "", "alice bob", "a" * 300, "alice\n", "alice/../bob", "{{ 7*7 }}"])
def test_a_strange_name_is_refused_before_anything_is_asked(monkeypatch, user):
    monkeypatch.setattr(Context, "run", lambda *arguments, **more: pytest.fail("asked"))
    with pytest.raises(Refused, match="login name"):
        steps_of(user)


@pytest.mark.parametrize("rc, words", [(67, "knows no user"), (75, "does not answer"), (None, "does not answer")])
def test_a_user_that_is_not_known_is_refused(host, rc, words):
    host["rc"] = rc if rc else 1
    with pytest.raises(Refused, match=words):
        steps_of()


def test_a_sound_mailbox_is_left_alone(host):
    host["sessions"] = True
    assert not steps_of()


def test_a_damaged_index_is_put_aside_and_made_anew(host, box):
    (box / "dovecot.index.log").write_text("damaged")
    did = steps_of()
    assert [line.split()[1] for line in did[:-1]] == [f"{box}/dovecot.index", f"{box}/dovecot.index.cache", f"{box}/dovecot.index.log"]
    assert did[-1] == "doveadm force-resync -u alice INBOX"


def test_a_session_is_ended_first(host, box):
    (box / "dovecot.index.log").write_text("damaged")
    host["sessions"] = True
    assert steps_of()[0] == "doveadm kick alice"


def test_the_index_of_a_session_that_stays_is_not_moved(host, box, monkeypatch):
    (box / "dovecot.index.log").write_text("damaged")
    host["sessions"] = True
    monkeypatch.setattr(repair_mailbox, "_WAIT", 0.0)
    remedy = repair_mailbox.steps(Context(), {"user": "alice"})
    step = next(remedy)
    with pytest.raises(StepFailed, match="still has sessions"):
        remedy.send(Ran(step.argv, 0))


def test_only_the_damaged_folder_is_touched(host, box):
    (box / ".Work/dovecot.index.log").write_text("damaged")
    did = steps_of()
    assert all("/.Work/" in line for line in did[:-1]) and len(did) == 4 and did[-1].endswith("-u alice *")


def test_a_dbox_keeps_its_index(host, box):
    (box / "dovecot.index.log").write_text("damaged")
    host["mail"] = f"mdbox:{box}"
    assert steps_of() == ["doveadm force-resync -u alice INBOX"]


def test_what_the_log_tells_counts_for_the_folder_that_it_names(host, box):
    host["log"] = {f"{box}/.Work": "Fixed index file"}
    assert all("/.Work/" in line for line in steps_of()[:-1])
    host["log"] = {"": "Panic"}
    assert steps_of()[-1].endswith("INBOX")


def test_files_of_somebody_else_are_not_moved(host, box):
    (box / "dovecot.index.log").write_text("damaged")
    host["uid"] = os.getuid() + 1
    with pytest.raises(Refused, match="repair_permissions"):
        steps_of()


def test_a_link_is_not_moved(host, box):
    (box / "dovecot.index.log").write_text("damaged")
    (box / "dovecot.index.cache").unlink()
    (box / "dovecot.index.cache").symlink_to("/etc/passwd")
    with pytest.raises(Refused):
        steps_of()


def test_nothing_is_put_aside_on_a_full_file_system(host, box, monkeypatch):
    (box / "dovecot.index.log").write_text("damaged")
    monkeypatch.setattr(repair_mailbox.storage, "measures", lambda state: {"full": True, "inodes_full": False})
    with pytest.raises(Refused, match="full"):
        steps_of()


def test_an_index_that_is_still_damaged_afterwards_is_no_success(host, box):
    (box / "dovecot.index.log").write_text("damaged")
    remedy = repair_mailbox.steps(Context(), {"user": "alice"})
    with pytest.raises(StepFailed, match="still damaged"):
        step = next(remedy)
        while True:
            step = remedy.send(Ran((step.does(),), 0))


def test_folders_with_indexes_are_found_and_those_with_messages_not_entered(box):
    assert repair_mailbox.index_folders(str(box)) == [str(box), f"{box}/.Work"]


def test_the_folders_of_a_dbox_lie_beside_its_inbox(tmp_path):
    for name in ("INBOX", "Work"):
        folder = tmp_path / f"mdbox/mailboxes/{name}/dbox-Mails"
        folder.mkdir(parents=True)
        (folder / "dovecot.index.log").write_text("x")
    inbox = f"{tmp_path}/mdbox/mailboxes/INBOX/dbox-Mails"
    assert repair_mailbox.index_folders(inbox) == [inbox, f"{tmp_path}/mdbox/mailboxes/Work/dbox-Mails"]


def test_the_last_repair_is_told_by_what_was_put_aside(tmp_path):
    assert repair_mailbox.repaired_at(str(tmp_path)) == 0
    for name in ("dovecot.index.log.damaged-20261126T174335Z", "dovecot.index.damaged-20261125T174335Z", "dovecot.index.damaged-old"):
        (tmp_path / name).write_text("")
    assert repair_mailbox.repaired_at(str(tmp_path)) == 1795715015


@pytest.mark.parametrize("line, expected", [
    ("imap(alice)<499><Yw9z5TFh6K9/AAAB>: Error: Mailbox INBOX: Fixed index file /home/alice/Maildir/dovecot.index: messages_count 3 -> 1", ["/home/alice/Maildir"]),
    ("lmtp(alice)<12><x>: Panic: file mail-transaction-log.c: line 20 (mail_transaction_log_set_head): assertion failed", [""]),
    ("imap(bob)<499><x>: Error: Mailbox INBOX: Fixed index file /home/bob/Maildir/dovecot.index: messages_count 3 -> 1", []),
    ("imap(malice)<499><x>: Panic: file mail-index.c: line 1", []),
    ("imap(alice)<499><x>: Error: Corrupted transaction log file /home/alice/Maildir/dovecot.index.log seq 2: indexid changed", []),
    ("imap(alice)<499><x>: Panic: file smtp-client.c: line 1", []),
])
def test_the_log_tells_of_this_user_only_and_not_of_what_dovecot_heals_by_itself(monkeypatch, tmp_path, line, expected):
    now = time.time()
    log = tmp_path / "mail.log"
    log.write_text(time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(now - 60)) + f" mail dovecot: {line}\n")
    monkeypatch.setattr(events, "mail_files", lambda context: [(str(log), "dovecot")])
    monkeypatch.setattr(events.journal, "available", lambda: False)
    monkeypatch.setattr(events, "KERNEL_FILES", ())
    context = Context(options={"since": now - 3600, "until": now})
    known = {"user": "alice", "asked": "alice"}
    assert list(repair_mailbox._told_by_log(context, known, 0.0)) == expected
    assert not repair_mailbox._told_by_log(context, known, now - 10)
