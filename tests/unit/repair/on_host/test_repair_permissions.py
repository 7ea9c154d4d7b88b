"""Owners and modes are given back as the package, the configuration and the snapshot say, and nothing is opened further than that."""
from __future__ import annotations

import os
import stat
from types import SimpleNamespace

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.host._accounts import parse_accounts
from ansible_collections.mailops.outage.plugins.module_utils.host._mailstore import Mailbox, Store
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import harmless, rollback, steps, trees
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies import repair_permissions as remedy

PASSWD = """root:x:0:0::/root:/bin/sh
postfix:x:102:104::/var/spool/postfix:/bin/false
dovecot:x:101:106::/:/bin/false
opendkim:x:105:108::/:/bin/false
vmail:x:5000:5000::/srv/vmail:/bin/false
alice:x:1001:1001::/home/alice:/bin/sh
bob:x:1002:1002::/home/bob:/bin/sh
"""
GROUP = "root:x:0:\npostdrop:x:105:\npostfix:x:104:\ndovecot:x:106:\nopendkim:x:108:\nssl-cert:x:120:dovecot\n"
KNOWN = parse_accounts(PASSWD, GROUP)
FILE, FOLDER = stat.S_IFREG, stat.S_IFDIR


def state(uid, gid, mode, kind=FILE):
    return SimpleNamespace(st_uid=uid, st_gid=gid, st_mode=kind | mode)


def entry(kind, owner, group, mode):
    return {"path": "/x", "type": kind, "owner": owner, "group": group, "mode": mode, "flags": ""}


@pytest.mark.parametrize("table, now, remembered, expected", [
    # Only the owner was lost: the mode of the distribution stays, sticky bit and all.
    (entry("d", "postfix", "postdrop", 0o730), state(0, 105, 0o1730, FOLDER), None, (102, 105, 0o1730)),
    (entry("d", "postfix", None, 0o700), state(0, 0, 0o700, FOLDER), None, (102, 0, 0o700)),
    # The mode was lost, too: the table's, never more.
    (entry("d", "postfix", "postdrop", 0o730), state(0, 0, 0o755, FOLDER), None, (102, 105, 0o730)),
    (entry("d", "postfix", None, 0o700), state(102, 0, 0o777, FOLDER), None, (102, 0, 0o700)),
    (entry("f", "root", "postdrop", 0o2755), state(0, 105, 0o555), None, (0, 105, 0o2555)),
    (entry("f", "root", "postdrop", 0o2755), state(1001, 0, 0o4777), None, (0, 105, 0o2555)),
    # The snapshot knows better when it fits the table, and nothing when it does not.
    (entry("d", "postfix", "postdrop", 0o730), state(0, 0, 0o755, FOLDER), (102, 105, 0o1730), (102, 105, 0o1730)),
    (entry("d", "postfix", None, 0o700), state(0, 0, 0o700, FOLDER), (0, 0, 0o777), (102, 0, 0o700)),
])
def test_the_rights_of_the_queue(table, now, remembered, expected):
    assert remedy.table_rights(table, now, KNOWN, remembered) == expected


@pytest.mark.parametrize("now, remembered, key, expected", [
    (state(0, 0, 0o600), None, False, (0, 106, 0o640)),
    (state(101, 0, 0o000), None, False, (101, 0, 0o400)),
    (state(0, 0, 0o600), (0, 120, 0o640), False, (0, 120, 0o640)),
    # When mail worked it was no more open than now.
    (state(0, 0, 0o600), (0, 0, 0o600), False, None),
    (state(0, 0, 0o700, FOLDER), (0, 0, 0o700), False, None),
    # Another group reads it: it is not taken from that group.
    (state(0, 110, 0o640), None, False, None),
    (state(0, 0, 0o700, FOLDER), None, False, (0, 106, 0o710)),
    # A key is opened to what is known of it, and never to others.
    (state(0, 0, 0o600), None, True, None),
    (state(0, 0, 0o600), (101, 106, 0o644), True, (101, 106, 0o640)),
    (state(0, 0, 0o600), (0, 106, 0o640), True, (0, 106, 0o640)),
    (state(0, 0, 0o600), (0, 0, 0o604), True, None),
    (state(0, 0, 0o700, FOLDER), None, True, None),
])
def test_a_reader_gets_its_own_right_and_nobody_else(now, remembered, key, expected):
    found = remedy.reader_rights("/etc/dovecot/users", now, KNOWN.users["dovecot"], remembered, key)
    assert found == expected and (found is None or found == remembered or not found[2] & 0o007)


@pytest.mark.parametrize("now, remembered, expected", [
    (state(105, 108, 0o644), None, (105, 108, 0o600)), (state(0, 108, 0o644), None, (0, 108, 0o640)), (state(0, 0, 0o666), None, (105, 108, 0o600)),
    (state(105, 108, 0o644), (0, 108, 0o640), (0, 108, 0o640)), (state(105, 108, 0o644), (105, 108, 0o644), (105, 108, 0o600)),
])
def test_a_dkim_key_is_closed_and_stays_readable_for_its_user(now, remembered, expected):
    assert remedy.key_rights(now, KNOWN.users["opendkim"], remembered) == expected


@pytest.mark.parametrize("path, uid", [("/etc/postfix", 102), ("/home/alice", 1001), ("/var/lib/dpkg/info", 102), ("/srv/vmail", 0),
                                       ("/usr/local/mail", 5), ("/var/spool", 5), ("/srv/vmail/../x", 5000), ("/srv", 5000), ("/etc/ssh", 5)])
def test_a_tree_that_is_not_mail_or_for_root_is_refused(path, uid):
    with pytest.raises(harmless.Harmful):
        harmless.check_tree(path, uid)


@pytest.mark.parametrize("path", ["/srv/vmail/example.org", "/home/alice/Maildir", "/var/spool/postfix/deferred", "/var/mail/alice", "/var/vmail"])
def test_a_tree_of_mail_is_allowed(path):
    harmless.check_tree(path, 5000)


@pytest.fixture(name="given")
def _given(monkeypatch):
    """What was given away: the paths, without a need for root."""
    found = []
    monkeypatch.setattr(trees.os, "fchown", lambda handle, uid, gid: found.append((os.readlink(f"/proc/self/fd/{handle}"), uid, gid)))
    return found


@pytest.fixture(name="box")
def _box(tmp_path):
    box = tmp_path / "Maildir"
    for name in ("cur", "new", "tmp"):
        (box / name).mkdir(parents=True)
    (box / "cur" / "1").write_text("mail")
    (box / "dovecot.index").write_text("index")
    (box / "dovecot-uidvalidity.1").write_text("")
    return box


def test_a_whole_mailbox_is_given_and_its_former_owners_are_told(box, given):
    found = trees.give(str(box), 12345, 54321, False, 10, 1000)
    assert sorted(path for path, _uid, _gid in given) == sorted(str(path) for path in [box, *box.rglob("*")])
    assert {(uid, gid) for _path, uid, gid in given} == {(12345, 54321)} and found["complete"] and found["wrong"] == 7
    assert f"formerly owned by {os.getuid()}:{os.getgid()} (7)" in steps.told(found)[0]


def test_what_belongs_to_its_user_is_not_touched(box, given):
    assert trees.give(str(box), os.getuid(), 54321, False, 10, 1000)["wrong"] == 0 and given == []


def test_neither_links_nor_what_has_a_name_elsewhere_are_given(box, given, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    (box / "cur" / "soft").symlink_to(secret)
    (box / "link").symlink_to(tmp_path)
    os.link(secret, box / "cur" / "hard")
    os.mkfifo(box / "cur" / "fifo")
    os.link(box / "cur" / "1", box / "new" / "copy")
    found = trees.give(str(box), 12345, None, False, 10, 1000)
    names = {os.path.basename(path) for path, _uid, _gid in given}
    assert not names & {"secret", "soft", "link", "hard", "fifo"} and found["left"] == 4
    assert len(names & {"1", "copy"}) == 1, "a file whose names are all in the mailbox is given once"


def test_a_mailbox_that_is_a_link_is_not_followed(box, given, tmp_path):
    (tmp_path / "other").symlink_to(box)
    with pytest.raises(OSError):
        trees.give(str(tmp_path / "other"), 12345, None, False, 10, 1000)
    assert given == []


def test_a_folder_that_becomes_a_link_while_we_look_is_left(box, given, monkeypatch, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "theirs").write_text("x")
    beneath = trees.beneath

    def swapped(top, place):
        if place == "cur" and not (box / "cur").is_symlink():
            (box / "cur").rename(box / "was")
            (box / "cur").symlink_to(tmp_path / "elsewhere")
        return beneath(top, place)
    monkeypatch.setattr(trees, "beneath", swapped)
    trees.give(str(box), 12345, None, False, 10, 1000)
    assert not any("theirs" in path for path, _uid, _gid in given)


def test_it_ends_at_its_bounds_and_says_so(box, given):
    assert trees.give(str(box), 12345, None, False, 10, 3)["complete"] is False
    assert trees.give(str(box), 12345, None, False, -1, 1000)["complete"] is False
    with pytest.raises(steps.StepFailed, match="run it again"):
        steps.OwnTree(str(box), 12345, None, "x", most=3).take()


def test_the_owner_is_let_in_and_no_bit_more(box, given):
    (box / "cur").chmod(0o000)
    (box / "dovecot.index").chmod(0o444)
    (box / "dovecot-uidvalidity.1").chmod(0o444)
    # Root may look into a folder of mode 000, others may not.
    (box / "new").chmod(0o500)
    if os.geteuid() != 0:
        (box / "cur").chmod(0o500)
    found = trees.give(str(box), os.getuid(), None, True, 10, 1000)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [*box.rglob("*")]}
    assert (modes["cur"], modes["new"], modes["dovecot.index"], modes["dovecot-uidvalidity.1"]) == (0o700, 0o700, 0o644, 0o444)
    assert found["modes"] == 3 and given == [] and any("dovecot.index was 0444" in line for line in steps.told(found))


def test_files_in_the_queue_keep_their_modes(box, given):
    # 0600 is a message still being written, 0700 one that is complete (cleanup(8)).
    (box / "cur" / "1").chmod(0o000)
    trees.give(str(box), 12345, None, False, 10, 1000)
    assert stat.S_IMODE((box / "cur" / "1").stat().st_mode) == 0


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@needs_root
def test_a_rollback_gives_each_entry_back_and_nothing_that_came_since(box, tmp_path, open_here):
    (box / "cur" / "1").chmod(0o4000)
    (box / "new" / "odd\nname").write_text("x")
    steps.OwnTree(str(box), 12345, 54321, "x", let_in=True).take()
    assert stat.S_IMODE((box / "cur" / "1").stat().st_mode) & 0o777 == 0o400
    (box / "dovecot.index.new").write_text("a new one")
    os.chown(box / "dovecot.index.new", 12345, 54321)
    (box / "dovecot.index.new").rename(box / "dovecot.index")
    (box / "new" / "2").write_text("came since")
    os.chown(box / "new" / "2", 12345, 54321)
    (box / "tmp").rmdir()
    (box / "tmp").symlink_to(tmp_path)
    os.chown(box / "dovecot-uidvalidity.1", 4242, 4242)
    restored, left = rollback.restore_owners(open_here)
    assert restored == [str(box)] and [(item["path"], item["again"]) for item in left] == [(str(box / "dovecot-uidvalidity.1"), False)]
    kept = {path.name for path in [box, *box.rglob("*")] if path.lstat().st_uid == 12345}
    assert kept == {"dovecot.index", "2"} and (box / "dovecot-uidvalidity.1").stat().st_uid == 4242
    assert stat.S_IMODE((box / "cur" / "1").stat().st_mode) == 0, "neither the bit that let its owner in, nor set-user-id"
    assert rollback.restore_owners(open_here)[0] == []


@needs_root
def test_a_mailbox_that_is_one_file_is_given_back(tmp_path, open_here):
    (tmp_path / "mbox").write_text("From a")
    steps.OwnTree(str(tmp_path / "mbox"), 12345, None, "x").take()
    assert (tmp_path / "mbox").stat().st_uid == 12345
    assert rollback.restore_owners(open_here) == ([str(tmp_path / "mbox")], [])
    assert (tmp_path / "mbox").stat().st_uid == 0


STORE = Store("/srv/vmail", "/srv/vmail/*/*", owner="vmail", source="doveconf userdb home")


def owned(monkeypatch, owners):
    monkeypatch.setattr(remedy.os, "lstat", lambda path: state(owners[path], 0, 0o700, FOLDER))


def test_a_store_that_all_belongs_to_another_account_has_another_setting_and_is_not_given(monkeypatch):
    wrong = [Mailbox("/srv/vmail/x/a", 8), Mailbox("/srv/vmail/x/b", 8)]
    owned(monkeypatch, {"/srv/vmail/x/a": 5000, "/srv/vmail/x/b": 5000})
    with pytest.raises(steps.Refused, match="rollback_config"):
        remedy._see_that_it_is_not_the_configuration(wrong, KNOWN, STORE, {})
    owned(monkeypatch, {"/srv/vmail/x/a": 0, "/srv/vmail/x/b": 0})
    remedy._see_that_it_is_not_the_configuration(wrong, KNOWN, STORE, {})
    with pytest.raises(steps.Refused, match="when mail last worked|When mail last worked"):
        remedy._see_that_it_is_not_the_configuration(wrong, KNOWN, STORE, {"/srv/vmail": (5000, 5000, 0o770)})


@pytest.mark.parametrize("former, opened, said", [
    # It was shut to others and mail worked: nothing is opened.
    (0o700, None, 0),
    # What the snapshot knows comes back, and nothing wider.
    (0o711, 0o711, 0), (0o750, None, 1),
    # Without a snapshot a person opens it.
    (None, None, 1),
])
def test_a_store_is_opened_to_what_is_known_of_it_and_no_further(monkeypatch, tmp_path, former, opened, said):
    place, owner = tmp_path / "vmail", (os.getuid(), os.getgid())
    place.mkdir(mode=0o700)
    monkeypatch.setattr(remedy, "obstacles", lambda *arguments: [str(place)])
    left = []
    remembered = {} if former is None else {str(place): (*owner, former)}
    found = remedy._root(Store(str(place), f"{place}/*/*"), None, KNOWN, remembered, left)
    assert [(step.uid, step.gid, step.mode) for step in found] == ([(*owner, opened)] if opened else []) and len(left) == said


HOMES = Store("/home", inside="Maildir")
BOXES = [Mailbox("/home/alice/Maildir", 1001), Mailbox("/home/ldapuser/Maildir", 1002)]


def test_mail_is_given_to_nobody_on_a_guess(monkeypatch):
    owned(monkeypatch, {"/home/alice/Maildir": 0, "/home/ldapuser/Maildir": 7777})
    assert remedy._owner(BOXES[0], BOXES, HOMES, KNOWN) == 1001
    # No account has this home; that its folder is bob's now does not make the mail in it bob's.
    assert remedy._owner(BOXES[1], BOXES, HOMES, KNOWN) is None
    shared = parse_accounts(PASSWD + "alice2:x:1009:1009::/home/alice:/bin/sh\n", GROUP)
    assert remedy._owner(BOXES[0], BOXES, HOMES, shared) is None


@pytest.mark.parametrize("owners, expected", [((0, 5000, 5000), 5000), ((0, 5000, 5001), None), ((1002, 5000, 5000), None), ((0, 0, 0), 0)])
def test_without_a_setting_the_neighbours_tell_only_when_they_agree(monkeypatch, owners, expected):
    boxes = [Mailbox(f"/srv/vmail/x/{name}", None) for name in "abc"]
    owned(monkeypatch, {box.path: owner for box, owner in zip(boxes, owners)})
    assert remedy._owner(boxes[0], boxes, Store("/srv/vmail", "/srv/vmail/*/*"), KNOWN) == expected


def test_only_the_named_paths_are_meant():
    assert remedy._is_wanted("/home/bob/Maildir", []) and remedy._is_wanted("/home/bob/Maildir", ["/home/bob"])
    assert not remedy._is_wanted("/home/bobby/Maildir", ["/home/bob"]) and not remedy._is_wanted("/usr/sbin/postdrop", ["/home/bob"])


def all_steps(monkeypatch, found, problems=(), left=(), paths=()):
    monkeypatch.setattr(remedy._permissions, "problems", lambda context: list(problems))
    monkeypatch.setattr(remedy, "accounts", lambda context: KNOWN)
    monkeypatch.setattr(remedy, "_remembered", lambda context, known: {})
    for name in ("_tables", "_readers", "_open_keys", "_sockets", "_mail"):
        monkeypatch.setattr(remedy, name, lambda *arguments, name=name: (arguments[-1].extend(left) if name == "_mail" else None) or found.get(name, []))
    return list(remedy.steps(Context(options={}), {"paths": list(paths)}))


def test_a_queue_whose_owner_has_no_account_is_left_alone(monkeypatch):
    with pytest.raises(steps.Refused, match="account"):
        all_steps(monkeypatch, {}, [{"what": "account", "path": "/etc/passwd", "problem": "mail_owner x has no account", "expected": "its id"}])


def test_what_rights_do_not_mend_is_said_after_what_they_do(monkeypatch):
    own = steps.Own("/usr/sbin/postdrop", 0, 105, 0o2555, "x")
    missing = {"what": "spool", "path": "/var/spool/postfix/maildrop", "problem": "missing", "expected": "x"}
    assert all_steps(monkeypatch, {"_tables": [own], "_readers": [own]}) == [own], "each path once"
    with pytest.raises(steps.Refused, match="maildrop is missing.*|/home keeps"):
        all_steps(monkeypatch, {"_tables": [own]}, [missing], [("/home", "/home keeps users out")])
    assert all_steps(monkeypatch, {"_tables": [own]}, [missing], paths=["/usr/sbin"]) == [own]
