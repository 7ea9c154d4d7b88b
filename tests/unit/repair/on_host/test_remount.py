"""Nothing is mounted over mail or over a running queue, and nothing is made writable after errors of a disk."""
from __future__ import annotations

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.host import _kernel, _mail, _processes, storage
from ansible_collections.mailops.outage.plugins.module_utils.host._mounts import Mount, Wanted
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context, Ran
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import harmless
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies import remount
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import NOT_TAKEN, Refused, StepFailed


def filesystem(mount="/srv/vmail", roles=("mailstore",), **more):
    return {"mount": mount, "device": "/dev/sdb1", "roles": list(roles), "read_only": False, "fstab_read_only": False, "answers": True, "error": "", **more}


def missing(mount="/srv/vmail", roles=("mailstore",)):
    return {"mount": mount, "roles": list(roles)}


def wanted(mount, device="/dev/sdb1", source="/etc/fstab"):
    return Wanted(mount, device, "ext4", ("defaults",), source)


@pytest.mark.parametrize("line", ["mount /srv/vmail", "mount -o remount,rw /srv/vmail", "systemctl start srv-vmail.mount"])
def test_what_mounts_is_allowed(line):
    harmless.check_command(tuple(line.split()))


@pytest.mark.parametrize("line", ["mount -f /srv/vmail", "mount /dev/sdb1 /srv/vmail", "mount -o remount,rw,noexec /srv", "mount -o remount,ro /srv", "umount /srv/vmail",
                                  "umount -f /srv/vmail", "mount -a", "fsck -y /dev/sdb1", "systemctl stop srv-vmail.mount", "mount --bind / /srv"])
def test_what_forces_unmounts_or_mounts_something_else_is_refused(line):
    with pytest.raises(harmless.Harmful):
        harmless.check_command(tuple(line.split()))


@pytest.mark.parametrize("absent, there, path, expected", [
    ([], [filesystem()], "", ([], [], [])),
    ([missing()], [], "", (["/srv/vmail"], [], [])),
    ([missing("/backup", [])], [], "", ([], [], [])),
    ([missing("/backup", [])], [], "/backup", (["/backup"], [], [])),
    ([], [filesystem(read_only=True)], "", ([], ["/srv/vmail"], [])),
    ([], [filesystem(read_only=True, roles=["log"])], "", ([], [], [])),
    ([], [filesystem(read_only=True, fstab_read_only=True)], "", ([], [], [])),
    ([], [filesystem(answers=False, error="Stale file handle")], "", ([], [], ["/srv/vmail"])),
    ([], [filesystem(answers=False, read_only=True)], "", ([], [], ["/srv/vmail"])),
])
def test_what_is_to_be_mounted_or_made_writable(absent, there, path, expected):
    names, read_only, dead = remount.targets({"fstab_missing": absent, "filesystems": there}, path)
    assert (names, [entry["mount"] for entry in read_only], [entry["mount"] for entry in dead]) == expected


@pytest.mark.parametrize("path, there, words", [("/opt", [filesystem()], "neither"), ("/srv/vmail", [filesystem(fstab_read_only=True, read_only=True)], "fstab says")])
def test_a_named_mount_must_be_mails_and_meant_to_be_writable(path, there, words):
    with pytest.raises(Refused, match=words):
        remount.targets({"fstab_missing": [], "filesystems": there}, path)


@pytest.mark.parametrize("pool, expected", [
    ([wanted("/srv/vmail"), wanted("/opt")], ["/srv/vmail"]),
    ([wanted("/srv/vmail"), wanted("/srv")], ["/srv", "/srv/vmail"]),
    ([wanted("/srv/vmail", "/mnt/disk/mail"), wanted("/mnt/disk")], ["/mnt/disk", "/srv/vmail"]),
    ([wanted("/srv/vmail", "/mnt/disk/mail"), wanted("/mnt/disk", "/x/y"), wanted("/x")], ["/x", "/mnt/disk", "/srv/vmail"]),
    ([wanted("/srv/vmail", "/mnt"), wanted("/mnt", "/srv/vmail")], ["/mnt", "/srv/vmail"]),
])
def test_what_a_mount_lies_on_is_mounted_before_it(pool, expected):
    assert [item.mount for item in remount.in_order(["/srv/vmail"], pool)] == expected


@pytest.mark.parametrize("files, queue, expected", [
    ({"a/Maildir/dovecot.index.log": "x", "a/Maildir/dovecot-uidlist": "x", "a/Maildir/cur/": "", "a/Maildir/subscriptions": "x", "a/.keep": ""}, None, []),
    ({"a/Maildir/new/1.x": "mail"}, None, ["a/Maildir/new/1.x"]),
    ({"a/Maildir/.Sent/cur/1.x:2,S": "mail"}, None, ["a/Maildir/.Sent/cur/1.x:2,S"]),
    ({"a/mdbox/storage/m.1": "mail", "a/mdbox/storage/dovecot.map.index.log": "x"}, None, ["a/mdbox/storage/m.1"]),
    ({"alice": "From mbox"}, None, ["alice"]),
    ({"a/.dovecot.sieve": "keep;"}, None, ["a/.dovecot.sieve"]),
    ({"etc/resolv.conf": "x", "pid/master.pid": "1", "private/": ""}, ".", []),
    ({"deferred/A/ABCDEF12": "mail", "etc/hosts": "x"}, ".", ["deferred/A/ABCDEF12"]),
    ({"spool/postfix/maildrop/X": "mail", "spool/postfix/etc/hosts": "x", "log/syslog": "x"}, "spool/postfix", ["log/syslog", "spool/postfix/maildrop/X"]),
])
def test_what_people_wrote_beneath_a_mount_point_is_told_from_what_a_login_made(tmp_path, files, queue, expected):
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.write_text(content)
    assert remount.written_by_people(str(tmp_path), queue) == expected


def test_too_much_to_look_through_is_not_taken_for_nothing(tmp_path):
    for name in range(5):
        (tmp_path / str(name)).write_text("")
    with pytest.raises(TimeoutError):
        remount.written_by_people(str(tmp_path), most=4)


def test_sockets_are_told_by_where_they_are_bound():
    table = ("Num RefCount Protocol Flags Type St Inode Path\n0: 00000002 00000000 00010000 0001 01 51 /var/spool/postfix/private/auth\n"
             "0: 00000002 00000000 00010000 0001 01 52 /run/dovecot/auth\n0: 00000003 00000000 00000000 0001 03 53\n")
    assert remount.bound_below(table, "/var/spool/postfix") == {"socket:[51]"}


@pytest.fixture(name="host")
def _host(monkeypatch, tmp_path):
    """A host that misses a mount at tmp_path."""
    monkeypatch.setattr(storage, "collect", lambda context: {"fstab_missing": [missing(str(tmp_path))], "filesystems": []})
    monkeypatch.setattr(remount, "wanted", lambda context: [wanted(str(tmp_path))])
    monkeypatch.setattr(remount, "mounts", lambda context: [Mount("/", "/dev/sda1", "ext4")])
    monkeypatch.setattr(_mail, "spool", lambda context: "/var/spool/postfix")
    monkeypatch.setattr(_processes, "processes", lambda context: {})
    return tmp_path


def test_a_missing_mount_is_mounted(host):
    remedy = remount.steps(Context(), {"mount": ""})
    assert next(remedy).argv == ("mount", str(host))
    with pytest.raises(StopIteration):
        remedy.send(NOT_TAKEN)


def test_a_mount_unit_is_started(host, monkeypatch):
    monkeypatch.setattr(remount, "wanted", lambda context: [wanted(str(host), source="/etc/systemd/system/srv-vmail.mount")])
    assert next(remount.steps(Context(), {"mount": ""})).argv == ("systemctl", "start", "srv-vmail.mount")


def test_nothing_is_mounted_over_mail(host):
    (host / "new").mkdir()
    (host / "new/1.x").write_text("mail")
    with pytest.raises(Refused, match="hide"):
        next(remount.steps(Context(), {"mount": ""}))


def test_nothing_is_mounted_over_another_mount(host, monkeypatch):
    monkeypatch.setattr(remount, "mounts", lambda context: [Mount(f"{host}/archive", "/dev/sdc1", "ext4")])
    with pytest.raises(Refused, match="archive"):
        next(remount.steps(Context(), {"mount": ""}))


def test_success_without_a_mount_is_none(host):
    remedy = remount.steps(Context(), {"mount": ""})
    step = next(remedy)
    with pytest.raises(StepFailed, match="still not mounted"):
        remedy.send(Ran(step.argv, 0))


def test_mail_that_came_beneath_between_look_and_mount_is_told(host, monkeypatch):
    remedy = remount.steps(Context(), {"mount": ""})
    step = next(remedy)
    monkeypatch.setattr(remount, "parse_mountinfo", lambda text: [Mount(str(host), "/dev/sdb1", "ext4")])
    (host / "late").write_text("mail")
    with pytest.raises(StepFailed, match="late"):
        remedy.send(Ran(step.argv, 0))


@pytest.mark.parametrize("mount, errors, count, visible, words", [
    (Mount("/srv", "/dev/sdb1", "ext4", options=("rw",), super_options=("ro",)), ["I/O error, dev sdb"], 0, True, "I/O error"),
    (Mount("/srv", "/dev/sdb1", "ext4", options=("rw",), super_options=("ro",)), [], 3, True, "damaged"),
    (Mount("/srv", "/dev/sdb1", "ext4", options=("rw",), super_options=("ro",)), [], 0, False, "cannot be seen"),
    (Mount("/srv", "/dev/sdb1", "ext4", options=("rw",), super_options=("ro",)), [], 0, True, ""),
    (Mount("/srv", "/dev/sdb1", "ext4", options=("ro",), super_options=("rw",)), [], 0, False, ""),
    (Mount("/srv", "tmpfs", "tmpfs", options=("ro",), super_options=("ro",)), [], 0, False, ""),
])
def test_a_disk_with_errors_is_not_written_again(monkeypatch, mount, errors, count, visible, words):
    monkeypatch.setattr(remount, "mounts", lambda context: [mount])
    monkeypatch.setattr(_kernel, "disk_errors", lambda context: [{"text": text} for text in errors])
    monkeypatch.setattr(_kernel, "visible", lambda context: visible)
    monkeypatch.setattr(remount, "_errors_count", lambda path: count)
    if words:
        with pytest.raises(Refused, match=words):
            remount._check_disk(filesystem("/srv"))
    else:
        remount._check_disk(filesystem("/srv"))


def test_what_does_not_answer_is_left_alone(monkeypatch):
    dead = filesystem(answers=False, error="Stale file handle", type="nfs4")
    monkeypatch.setattr(storage, "collect", lambda context: {"fstab_missing": [], "filesystems": [dead]})
    with pytest.raises(Refused, match="Stale file handle"):
        next(remount.steps(Context(), {"mount": ""}))


@pytest.mark.parametrize("line, expected", [("1 0 8:1 / / rw shared:1 - ext4 /dev/sda1 rw", True), ("1 0 8:1 / / rw - overlay overlay rw", False),
                                            ("1 0 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n2 1 8:2 / /srv rw - ext4 /dev/sda2 rw", False), ("", False)])
def test_a_mount_reaches_other_namespaces_where_its_place_is_shared(line, expected):
    assert remount.propagates(line, "/srv/vmail") is expected


def test_what_has_mounts_of_its_own_and_misses_the_new_one_is_restarted(host, monkeypatch):
    monkeypatch.setattr(remount, "_apart", lambda context, path, is_behind: {"dovecot.service"} if is_behind([Mount("/", "/dev/sda1", "ext4")]) else set())
    monkeypatch.setattr(Context, "run", lambda self, *argv, **more: Ran(argv, 0))
    remedy = remount.steps(Context(), {"mount": ""})
    assert next(remedy).argv == ("mount", str(host))
    assert remedy.send(NOT_TAKEN).argv == ("systemctl", "restart", "dovecot.service")


def test_nothing_is_begun_when_dovecot_could_not_be_restarted_afterwards(host, monkeypatch):
    monkeypatch.setattr(remount, "_apart", lambda *arguments: {"dovecot.service"})
    monkeypatch.setattr(Context, "run", lambda self, *argv, **more: Ran(argv, 89))
    with pytest.raises(Refused, match="not valid"):
        next(remount.steps(Context(), {"mount": ""}))
