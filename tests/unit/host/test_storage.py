from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host import _mailstore, _permissions, storage
from ansible_collections.mailops.outage.plugins.module_utils.host._accounts import obstacle, parse_accounts, permits
from ansible_collections.mailops.outage.plugins.module_utils.host._mailstore import Mailbox, Store
from ansible_collections.mailops.outage.plugins.module_utils.host._mounts import Mount, below, mount_of, parse_fstab, parse_mount_unit, parse_mountinfo
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context
from hypothesis import given
from hypothesis import strategies as st

_FIXTURES = Path(__file__).parent / "fixtures"
_MIB = 1024 * 1024
_GIB = 1024 * _MIB
_ME = os.getuid()
_ACCOUNTS = parse_accounts("""root:x:0:0:root:/root:/bin/bash
alice:x:1000:1000::/home/alice:/bin/sh
bob:x:1001:1001::/home/bob:/usr/sbin/nologin
postfix:x:106:113::/var/spool/postfix:/usr/sbin/nologin
vmail:x:5000:5000::/srv/vmail:/usr/sbin/nologin
broken line
""", """root:x:0:
alice:x:1000:
mail:x:8:alice,bob
postdrop:x:114:
postfix:x:113:
""")
_VALUES = {"queue_directory": "/var/spool/postfix", "data_directory": "/var/lib/postfix", "command_directory": "/usr/sbin",
           "daemon_directory": "/usr/lib/postfix/sbin",
           "config_directory": "/etc/postfix", "meta_directory": "/etc/postfix", "mail_owner": "postfix", "setgid_group": "postdrop"}


def _state(mode, uid=0, gid=0):
    return SimpleNamespace(st_mode=mode, st_uid=uid, st_gid=gid)


# Mounts

def test_the_recorded_mounts_are_read():
    mounts = parse_mountinfo((_FIXTURES / "mountinfo").read_text())
    assert mount_of("/srv/vmail/split.test/alice", mounts).type == "tmpfs"
    assert mount_of("/var/spool/postfix", mounts).mount == "/"
    pids = next(mount for mount in mounts if mount.mount == "/sys/fs/cgroup/pids")
    assert pids.root == "/libpod_parent/libpod-29c8d23d" and "pids" in pids.super_options and pids.read_only


def test_a_later_mount_covers_an_earlier_one_at_the_same_place():
    mounts = [Mount("/", "/dev/sda", "ext4"), Mount("/srv", "/dev/sdb", "ext4"), Mount("/srv", "tmpfs", "tmpfs")]
    assert mount_of("/srv/vmail", mounts).device == "tmpfs"


def test_names_that_only_begin_alike_lie_elsewhere():
    assert below("/srv/vmail/a", "/srv/vmail") and below("/srv", "/srv") and below("/x", "/") and not below("/srv/vmail2", "/srv/vmail")


@pytest.mark.parametrize("line, read_only", [
    ("36 35 98:0 / /srv rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro", False), ("36 35 98:0 / /srv rw,noatime shared:1 - ext4 /dev/sda1 ro", True),
    ("36 35 98:0 /srv /srv ro,relatime - ext4 /dev/sda1 rw", True),
])
def test_a_mount_is_read_only_by_itself_or_by_its_file_system(line, read_only):
    assert parse_mountinfo(line)[0].read_only is read_only


def test_escaped_blanks_in_mount_points_are_read():
    assert parse_mountinfo(r"36 35 98:0 / /srv/my\040mail rw - ext4 /dev/sda1 rw")[0].mount == "/srv/my mail"


@given(st.text(max_size=300))
def test_any_text_is_read_as_mounts_or_none(text):
    parse_mountinfo(text)
    parse_fstab(text)
    parse_mount_unit(text, "x", True)


def test_the_recorded_fstab_is_read():
    assert [(item.mount, item.device, item.optional) for item in parse_fstab((_FIXTURES / "fstab").read_text())] == [
        ("/mnt/mail-disk", "tmpfs", False), ("/srv/vmail", "/mnt/mail-disk", False)]


def test_swap_comments_and_what_is_not_mounted_at_boot_do_not_count():
    text = "# /dev/x / ext4\n/dev/sda2 none swap sw 0 0\n/dev/sdb1 /mnt/usb vfat noauto 0 0\nfiles:/srv /srv/ nfs ro 0 0\n"
    found = parse_fstab(text)
    assert [(item.mount, item.optional) for item in found] == [("/mnt/usb", True), ("/srv", False)]


def test_a_mount_unit_counts_when_it_is_enabled():
    text = "[Unit]\nDescription=x\n[Mount]\nWhat=files:/srv\nWhere=/srv/vmail\nType=nfs\nOptions=ro\n"
    assert parse_mount_unit(text, "/etc/systemd/system/srv-vmail.mount", True).optional is False
    assert parse_mount_unit(text, "", False).optional is True and parse_mount_unit("[Mount]\n", "", True) is None


# File systems

@pytest.mark.parametrize("size, free, full", [
    (100 * _GIB, 20 * _MIB, True), (100 * _GIB, 40 * _MIB, True), (100 * _GIB, 1500 * _MIB, False), (10000 * _GIB, 150 * _GIB, False),
    (40 * _MIB, 10 * _MIB, False), (40 * _MIB, _MIB, True),
    (2 * _GIB, 60 * _MIB, False), (2 * _GIB, 30 * _MIB, True), (0, 0, False),
])
def test_full_is_when_writes_fail_or_soon_will(size, free, full):
    assert storage.is_full(size, free) is full


def test_reserved_blocks_count_as_used_and_no_inodes_are_never_used_up():
    state = SimpleNamespace(f_blocks=1000, f_bfree=100, f_bavail=50, f_frsize=4096, f_files=0, f_favail=0)
    found = storage.measures(state)
    assert found["free"] == 50 * 4096 and found["used_percent"] == 94.7 and found["inodes_full"] is False
    state.f_files, state.f_favail = 3000, 0
    assert storage.measures(state)["inodes_full"] is True


@pytest.mark.parametrize("limit, minimum, needed", [(10240000, 0, 15360000), (20480000, 100, 30720000), (0, 5000, 5000), (1000, 5000000, 5000000)])
def test_the_room_that_smtpd_wants_is_the_larger_of_both(limit, minimum, needed):
    assert storage.required_free(limit, minimum) == needed


def test_roles_are_told_by_mount_and_nested_mounts_of_mail_count():
    known = [Mount("/", "/dev/sda", "ext4"), Mount("/proc", "proc", "proc"), Mount("/var/spool/postfix", "tmpfs", "tmpfs"), Mount("/home", "/dev/sdb", "xfs"),
             Mount("/home/alice", "tmpfs", "tmpfs"),
             Mount("/tmp", "tmpfs", "tmpfs")]
    roles = {"spool": ["/var/spool/postfix"], "mailstore": ["/home"], "root": ["/"], "log": ["/var/log"], "tmp": ["/tmp", "/var/tmp"]}
    assert storage.by_mount(roles, known) == {"/var/spool/postfix": ["spool"], "/home": ["mailstore"], "/home/alice": ["mailstore"],
                                              "/": ["root", "log", "tmp"], "/tmp": ["tmp"]}


def test_a_file_system_that_does_not_answer_is_told_and_the_others_are_seen(monkeypatch):
    known = [Mount("/", "/dev/sda", "ext4"), Mount("/srv", "files:/srv", "nfs4")]

    def statvfs(path):
        if path == "/srv":
            threading.Event().wait(5)
        return os.statvfs("/")
    monkeypatch.setattr(storage, "_statvfs", statvfs)
    monkeypatch.setattr(storage, "_PATIENCE", 0.1)
    found = {entry["mount"]: entry for entry in storage._filesystems({"root": ["/"], "mailstore": ["/srv"]}, known, [])}
    assert found["/"]["answers"] and found["/"]["size"] > 0
    assert not found["/srv"]["answers"] and found["/srv"]["error"] == "no answer within 0.1 s" and found["/srv"]["free"] is None and not found["/srv"]["full"]


def test_a_stale_file_handle_is_told(monkeypatch):
    def statvfs(path):
        raise OSError(116, "Stale file handle")
    monkeypatch.setattr(storage, "_statvfs", statvfs)
    entry = storage._filesystems({"mailstore": ["/srv"]}, [Mount("/srv", "files:/srv", "nfs4")], [])[0]
    assert entry["error"] == "Stale file handle" and not entry["answers"]


def test_a_wanted_mount_that_is_missing_names_its_roles_and_what_lies_under_it(tmp_path):
    place = tmp_path / "vmail"
    place.mkdir()
    (place / "stray").write_text("")
    listed = parse_fstab(f"files:/srv {place} nfs defaults 0 0\n/dev/sda1 / ext4 defaults 0 1\n/dev/sdc /mnt/backup ext4 noauto 0 0\n")
    found = storage._missing({"mailstore": [str(place / "boxes")], "root": ["/"], "config": ["/etc"], "spool": ["/var/spool/postfix"]},
                             [Mount("/", "/dev/sda1", "ext4")], listed)
    assert [(entry["mount"], entry["roles"], entry["holds_files"]) for entry in found] == [(str(place), ["mailstore"], True)]


def test_only_the_file_system_of_the_queue_itself_can_be_low():
    known = [Mount("/", "a", "ext4"), Mount("/var/spool/postfix", "b", "ext4"), Mount("/var/spool/postfix/dev", "c", "tmpfs")]
    filesystems = [{"mount": "/", "free": 1}, {"mount": "/var/spool/postfix", "free": 100}, {"mount": "/var/spool/postfix/dev", "free": 0}]
    roles = {"spool": ["/var/spool/postfix"]}
    assert storage._low(filesystems, roles, known, 99) == []
    assert storage._low(filesystems, roles, known, 100) == [filesystems[1]]
    assert storage._low([{"mount": "/var/spool/postfix", "free": None}], roles, known, 100) == []


def test_large_files_are_found_outside_of_the_queue(tmp_path):
    for name, size in (("log/old.log", 300000), ("deferred/mail", 400000), ("core", 200000), ("small", 10)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * size)
    found = storage.big_files(str(tmp_path), {str(tmp_path / "deferred")})
    assert [os.path.basename(path) for _size, path in found["big"]] == ["old.log", "core", "small"]


def test_crowded_directories_are_found(tmp_path):
    (tmp_path / "sessions").mkdir()
    for number in range(30):
        (tmp_path / "sessions" / str(number)).write_text("")
    assert storage.big_files(str(tmp_path), set())["crowded"][0] == (30, str(tmp_path / "sessions"))


# Accounts and rights

def test_accounts_have_their_groups_and_names():
    assert _ACCOUNTS.users["alice"].groups == {1000, 8} and _ACCOUNTS.user_name(5000) == "vmail" and _ACCOUNTS.user_name(77) == "77"
    assert _ACCOUNTS.uid("vmail") == 5000 and _ACCOUNTS.uid("5000") == 5000 and _ACCOUNTS.uid("nobody") is None and _ACCOUNTS.gid("postdrop") == 114


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_read_as_accounts_or_none(passwd, group):
    parse_accounts(passwd, group)


@pytest.mark.parametrize("mode, uid, gid, want, allowed", [
    (0o700, 1000, 0, 7, True), (0o700, 0, 0, 7, False), (0o770, 0, 8, 7, True), (0o077, 1000, 8, 7, False), (0o604, 0, 0, 4, True), (0o640, 0, 0, 4, False),
])
def test_mode_bits_are_those_of_the_first_class_that_fits(mode, uid, gid, want, allowed):
    assert permits(_state(mode, uid, gid), 1000, {1000, 8}, want) is allowed


def test_root_may_all():
    assert permits(_state(0, 5, 5), 0, set(), 7)


def test_the_first_obstacle_on_the_way_is_named(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "file").write_text("")
    os.chmod(tmp_path, 0o755)
    os.chmod(folder, 0o700)
    groups = frozenset()
    nobody = 64000
    stop = obstacle(str(folder / "file"), nobody, groups)
    # Folders above the test's own may already be closed to others.
    assert stop is not None and str(folder).startswith(stop)
    assert obstacle(str(folder / "file"), 0, groups) is None
    with pytest.raises(FileNotFoundError):
        obstacle(str(folder / "gone"), 0, groups)


# The queue's own table

def _table():
    return {entry["path"]: entry for entry in _permissions.parse_table((_FIXTURES / "postfix-files").read_text(), _VALUES) if _permissions.watched(entry,
                                                                                                                                                   _VALUES)}


def test_the_table_of_postfix_tells_what_the_queue_needs():
    table = _table()
    assert table["/var/spool/postfix/maildrop"] == {"path": "/var/spool/postfix/maildrop", "type": "d", "owner": "postfix", "group": "postdrop",
                                                    "mode": 0o730, "flags": "uc"}
    assert table["/var/spool/postfix/pid"]["owner"] == "root" and table["/var/lib/postfix"]["mode"] == 0o700
    assert [path for path in table if path.startswith("/usr")] == ["/usr/sbin/postdrop", "/usr/sbin/postqueue"]
    assert "/etc/postfix" not in table


@given(st.text(max_size=200))
def test_any_table_is_read(text):
    _permissions.parse_table(text, _VALUES)


@pytest.mark.parametrize("path, mode, uid, gid, problem", [
    ("deferred", 0o40700, 106, 0, ""), ("deferred", 0o40700, 0, 0, "owned by root, not postfix"),
    ("deferred", 0o40500, 106, 0, "mode 0500 lacks rights of 0700"),
    ("deferred", 0o40777, 106, 0, "writable by everybody"), ("maildrop", 0o41730, 106, 114, ""), ("maildrop", 0o41730, 106, 113, "group postfix, not postdrop"),
    ("public", 0o42710, 106, 114, ""), ("pid", 0o40755, 106, 0, "owned by postfix, not root"),
])
def test_wrong_owners_and_modes_of_the_queue_are_told(path, mode, uid, gid, problem):
    assert _permissions.complaint(_table()["/var/spool/postfix/" + path], _state(mode, uid, gid), _ACCOUNTS) == problem


@pytest.mark.parametrize("mode, gid, wrong", [(0o102755, 114, False), (0o102555, 114, False), (0o100755, 114, True), (0o102750, 114, True),
                                              (0o102755, 0, True)])
def test_postdrop_must_be_set_gid_for_everybody(mode, gid, wrong):
    assert bool(_permissions.complaint(_table()["/usr/sbin/postdrop"], _state(mode, 0, gid), _ACCOUNTS)) is wrong


def test_a_mail_owner_without_an_account_is_one_problem_of_the_accounts(monkeypatch):
    monkeypatch.setattr(_permissions._mail, "parameter", lambda context, name: {"mail_owner": "gone-and-nowhere"}.get(name, ""))
    found = _permissions._postfix(Context(), _ACCOUNTS)
    assert [(entry["what"], entry["problem"]) for entry in found] == [("account", "mail_owner gone-and-nowhere has no account")]


def test_a_missing_directory_is_told(tmp_path):
    entry = {"path": str(tmp_path / "defer"), "type": "d", "owner": "postfix", "group": None, "mode": 0o700, "flags": "ucr"}
    assert _permissions.check(entry, _ACCOUNTS)[0]["problem"] == "missing"


def test_files_of_somebody_else_in_a_queue_directory_are_told_once(tmp_path):
    os.chmod(tmp_path, 0o700)
    for name in ("A1", "B2"):
        (tmp_path / name).write_text("")
    known = parse_accounts(f"postfix:x:{_ME}:1::/:/x\nother:x:64000:1::/:/x\n", "")
    entry = {"path": str(tmp_path), "type": "d", "owner": "postfix", "group": None, "mode": 0o700, "flags": "ucr"}
    assert _permissions.check(entry, known) == []
    found = _permissions._strangers(dict(entry, owner="other"), known)
    assert len(found) == 1 and found[0]["problem"].startswith("2 entries in ")


def test_user_files_of_dovecot_are_found():
    values = {"passdb.0.driver": "passwd-file", "passdb.0.args": "scheme=CRYPT username_format=%u /etc/dovecot/users", "userdb.0.driver": "passwd-file",
              "userdb.0.args": "/etc/dovecot/users",
              "userdb.1.driver": "passwd", "passdb.1.driver": "passwd-file", "passdb.1.args": "/etc/dovecot/%d/users"}
    assert _permissions.user_files(values) == ["/etc/dovecot/users"]


def test_a_key_that_everybody_may_read_is_told(tmp_path):
    key = tmp_path / "key.pem"
    key.write_text("")
    os.chmod(key, 0o640)
    assert _permissions._too_open(str(key), _ACCOUNTS) == []
    os.chmod(key, 0o644)
    assert _permissions._too_open(str(key), _ACCOUNTS)[0]["problem"] == "open to everybody"
    assert _permissions._too_open(str(tmp_path / "gone"), _ACCOUNTS) == []


# The mail store

@pytest.mark.parametrize("imap, mta, root, pattern, inside, owner", [
    ({"mail_location": "maildir:~/Maildir"}, {}, "/home", "", "Maildir", ""),
    ({"mail_location": "maildir:%h/Maildir:INDEX=/var/indexes/%u"}, {}, "/home", "", "Maildir", ""),
    ({"mail_location": "mbox:~/mail:INBOX=/var/mail/%u"}, {}, "/var/mail", "/var/mail/*", "", ""),
    ({"mail_location": "maildir:/srv/vmail/%d/%n", "mail_uid": "vmail"}, {}, "/srv/vmail", "/srv/vmail/*/*", "", "vmail"),
    ({"mail_location": "maildir:~/Maildir", "userdb.0.driver": "static", "userdb.0.args": "uid=vmail gid=vmail home=/srv/vmail/%d/%n"}, {}, "/srv/vmail",
     "/srv/vmail/*/*/Maildir", "", "vmail"),
    ({"mail_location": "maildir:~/Maildir", "userdb.0.driver": "passwd-file", "userdb.0.args": "/etc/dovecot/users",
      "userdb.0.default_fields": "uid=vmail gid=vmail home=/srv/vmail/%d/%n"}, {},
     "/srv/vmail", "/srv/vmail/*/*/Maildir", "", "vmail"),
    ({"mail_location": "sdbox:~/dbox", "mail_home": "/var/vmail/%Ld/%1Ln/%Ln"}, {}, "/var/vmail", "/var/vmail/*/*/*/dbox", "", ""),
    ({"mail_driver": "maildir", "mail_path": "~/Maildir"}, {}, "/home", "", "Maildir", ""),
    ({}, {"home_mailbox": "Maildir/", "mail_spool_directory": "/var/mail"}, "/home", "", "Maildir", ""),
    ({}, {"mail_spool_directory": "/var/mail/"}, "/var/mail", "/var/mail/*", "", ""),
    ({}, {"virtual_mailbox_base": "/srv/vmail", "virtual_mailbox_maps": "hash:/etc/postfix/vmailbox", "virtual_uid_maps": "static:5000"}, "/srv/vmail",
     "/srv/vmail/*/*", "", "5000"),
])
def test_the_mail_store_is_found_by_the_settings(imap, mta, root, pattern, inside, owner):
    found = _mailstore.locate(imap, mta)
    assert (found.root, found.pattern, found.inside, found.owner) == (root, pattern, inside, owner)


@pytest.mark.parametrize("text, expected", [
    ("alice@one.test:{x}y:5000:5000::/srv/mail/one.test/alice::\nbob@two.test:{x}y:5000:5000::/srv/mail/two.test/bob::\n", ("/srv/mail/%u/%u", "5000")),
    ("alice:{x}y:1001:1001::/srv/mail/alice::\nbob:{x}y:1002:1002::/srv/mail/bob::\n", ("/srv/mail/%u", "")),
    ("alice:{x}y:5000:5000::/srv/mail/alice::\n", ("/srv/mail/%u", "5000")), ("# none\nalice:{x}y::::::\n", ("", "")), ("", ("", "")),
])
def test_homes_of_a_user_file_are_a_pattern(text, expected):
    assert _mailstore.homes_in(text) == expected


def test_the_homes_of_a_user_file_are_the_store():
    imap = {"mail_location": "maildir:~/Maildir", "userdb.0.driver": "passwd-file", "userdb.0.args": "username_format=%u /etc/dovecot/users"}
    texts = {"/etc/dovecot/users": "alice:{x}y:5000:5000::/srv/mail/alice::\nbob:{x}y:5000:5000::/srv/mail/bob::\n"}
    found = _mailstore.locate(imap, {}, texts.get)
    assert (found.root, found.pattern, found.owner) == ("/srv/mail", "/srv/mail/*/Maildir", "5000")


def test_a_host_without_mail_settings_has_no_store():
    assert _mailstore.locate({}, {}) is None


@given(st.text(max_size=60))
def test_any_location_is_read(text):
    _mailstore.locate({"mail_location": text}, {})


@pytest.fixture(name="store")
def _store(tmp_path, monkeypatch):
    """A store of four virtual mailboxes that belong to us; the way to it counts as open, as the test runner closes it."""
    monkeypatch.setattr(_mailstore, "obstacle", lambda *arguments: None)
    for name in ("alice", "bob", "carol", "dave"):
        for folder in ("cur", "new", "tmp"):
            (tmp_path / "example.test" / name / folder).mkdir(parents=True)
        (tmp_path / "example.test" / name / "dovecot-uidlist").write_text("3 V1 N1\n")
        (tmp_path / "example.test" / name / "dovecot-uidvalidity.6b04b2a6").touch(0o444)
    return tmp_path


def _known(uid=_ME):
    # As nobody in particular: root may all, which would hide what is wrong.
    return parse_accounts(f"vmail:x:{uid}:64000::/srv:/x\n", "")


def _give(uid, *paths):
    """Give files and folders, and all in them, to a user."""
    for path in paths:
        os.chown(path, uid, -1)
        for folder, folders, files in os.walk(path):
            for name in folders + files:
                os.chown(os.path.join(folder, name), uid, -1)


def _sweep(root, known):
    return _mailstore.sweep(Store(str(root), f"{root}/*/*", owner="vmail"), known)


@pytest.mark.skipif(_ME != 0, reason="needs to give files away")
def test_a_store_in_order_has_no_problems(store):
    _give(64000, store)
    found = _sweep(store, _known(64000))
    assert found["mailboxes"] == 4 and found["problems"] == [] and found["complete"] and time.time() - found["newest"] < 600


@pytest.mark.skipif(_ME != 0, reason="needs to give files away")
def test_one_mailbox_of_somebody_else_is_one_problem(store):
    _give(64000, store)
    _give(0, store / "example.test" / "bob")
    found = _sweep(store, _known(64000))["problems"]
    assert [(entry["what"], os.path.basename(entry["path"]), entry["problem"]) for entry in found] == [("mailbox", "bob", "owned by 0, used by vmail")]


@pytest.mark.skipif(_ME != 0, reason="needs to give files away")
def test_an_index_file_of_somebody_else_is_a_problem_of_its_mailbox(store):
    _give(64000, store)
    _give(0, store / "example.test" / "bob" / "dovecot-uidlist")
    found = _sweep(store, _known(64000))["problems"]
    assert [os.path.basename(entry["path"]) for entry in found] == ["dovecot-uidlist"]


@pytest.mark.skipif(_ME != 0, reason="needs to give files away")
def test_most_mailboxes_wrong_are_one_problem_of_the_store(store):
    _give(64000, store)
    _give(0, *(store / "example.test" / name for name in ("alice", "bob", "carol")))
    found = _sweep(store, _known(64000))["problems"]
    assert len(found) == 1 and found[0]["what"] == "mailstore" and found[0]["problem"].startswith("3 of 4 mailboxes: ")


@pytest.mark.skipif(_ME != 0, reason="needs to give files away")
def test_without_a_named_owner_the_majority_tells(store):
    _give(64000, store)
    _give(0, store / "example.test" / "bob")
    found = _mailstore.sweep(Store(str(store), f"{store}/*/*"), parse_accounts("", ""))["problems"]
    assert [os.path.basename(entry["path"]) for entry in found] == ["bob"]


def test_a_root_that_the_owner_may_not_pass_is_a_problem_of_the_store(tmp_path, monkeypatch):
    root = tmp_path / "vmail"
    root.mkdir(mode=0o700)
    monkeypatch.setattr(_mailstore, "obstacle", lambda path, uid, groups, want: str(root))
    found = _mailstore.sweep(Store(str(root), f"{root}/*/*", owner="vmail"), _ACCOUNTS)["problems"]
    assert [(entry["what"], entry["path"], entry["problem"], entry["mode"]) for entry in found] == [("mailstore", str(root), "vmail may not pass", "0700")]


def _with_mail(path):
    (path / "cur").mkdir(parents=True)
    (path / "cur" / "1:2,S").write_text("x")


def test_mail_that_is_no_longer_looked_for_is_found(tmp_path):
    for name in ("alice", "bob"):
        _with_mail(tmp_path / name / "Maildir")
        (tmp_path / name / "mail" / "new").mkdir(parents=True)
    _with_mail(tmp_path / "bob" / "mail")
    store, nobody = Store(str(tmp_path), inside="mail"), parse_accounts("", "")
    found = _mailstore.abandoned(store, nobody, time.time() - 600)
    assert found == [{"path": f"{tmp_path}/*/Maildir", "text": "2 of 2 users have mail in Maildir, but it is looked for in mail"}]


def test_mail_that_an_old_migration_left_behind_is_nothing(tmp_path):
    for name in ("alice", "bob"):
        _with_mail(tmp_path / name / "Maildir")
        (tmp_path / name / "mail" / "new").mkdir(parents=True)
    assert _mailstore.abandoned(Store(str(tmp_path), inside="mail"), parse_accounts("", ""), time.time() + 600) == []


def test_an_old_folder_of_one_user_among_many_is_nothing(tmp_path):
    _with_mail(tmp_path / "alice" / "mail")
    for name in ("bob", "carol"):
        _with_mail(tmp_path / name / "Maildir")
    assert _mailstore.abandoned(Store(str(tmp_path), inside="Maildir"), parse_accounts("", ""), 0) == []


def test_mail_of_virtual_users_that_is_no_longer_looked_for_is_found(tmp_path):
    _with_mail(tmp_path / "example.test" / "alice" / "Maildir")
    store = Store(str(tmp_path), f"{tmp_path}/*/*/mdbox", owner="vmail")
    assert [entry["path"] for entry in _mailstore.abandoned(store, parse_accounts("", ""), 0)] == [f"{tmp_path}/*/*/Maildir"]


@pytest.mark.parametrize("name", ["cur/1", "new/1", "storage/m.1", "mailboxes/INBOX/dbox-Mails/u.1"])
def test_a_message_makes_a_mailbox_of_any_kind(tmp_path, name):
    assert not _mailstore.holds_mail(str(tmp_path))
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("x")
    assert _mailstore.holds_mail(str(tmp_path)) and _mailstore.holds_mail(str(tmp_path / name))


def test_a_missing_home_is_a_problem_and_a_home_without_mail_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(_mailstore, "_root_problem", lambda place, known: None)
    (tmp_path / "alice").mkdir()
    homes = {"alice": tmp_path / "alice", "bob": tmp_path / "bob", "else": "/srv/else", "nobody": tmp_path / "x"}
    numbers = {"alice": 1000, "bob": 1001, "else": 1002, "nobody": 65534}
    known = parse_accounts("".join(f"{name}:x:{numbers[name]}:100::{home}:/usr/sbin/nologin\n" for name, home in homes.items()), "")
    found = _mailstore.sweep(Store(str(tmp_path), inside="Maildir"), known)
    assert [(entry["path"], entry["problem"]) for entry in found["problems"]] == [(f"{tmp_path}/bob", "the home directory is missing")]
    assert found["mailboxes"] == 0


def test_a_sweep_ends_in_time(store, monkeypatch):
    monkeypatch.setattr(_mailstore, "problem_of", lambda box, known: time.sleep(0.05))
    found = _mailstore.sweep(Store(str(store), f"{store}/*/*", owner="vmail"), _known(), patience=0.06)
    assert not found["complete"] and 0 < found["mailboxes"] < 4


def test_mailboxes_of_accounts_are_those_of_people_and_of_unknown_homes(tmp_path):
    (tmp_path / "ldapuser").mkdir()
    known = parse_accounts(f"alice:x:1000:1000::{tmp_path}/alice:/bin/sh\ndaemon:x:1:1::/usr/sbin:/x\n", "")
    assert _mailstore.mailboxes(Store(str(tmp_path), inside="Maildir"), known) == [Mailbox(f"{tmp_path}/alice/Maildir", 1000),
                                                                                   Mailbox(f"{tmp_path}/ldapuser/Maildir", _ME)]


def test_the_facts_of_this_host_are_complete():
    facts = storage.collect(Context())
    assert set(facts) == {"filesystems", "fstab_missing", "unit_mounts_failed", "required_free", "spool_low", "permissions", "mailstore", "io_errors", "big",
                          "crowded", "deleted_open"}
    assert any("root" in entry["roles"] for entry in facts["filesystems"])
    assert set(facts["mailstore"]) == set(storage._NO_STORE)
