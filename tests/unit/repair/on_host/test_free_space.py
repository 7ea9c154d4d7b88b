"""Room is made from packages, journal and logs in this order, only as far as needed, and never from mail."""
from __future__ import annotations

import os

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.host import storage
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context, Ran
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import harmless
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies import free_space
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import NOT_TAKEN, Refused, StepFailed

_MIB = 1024 * 1024
_OPTIONS = {"mount": "", "leave_journal": "200M"}

# logrotate 3.21 on Debian 12, without the renamings.
_DRY_RUN = """
rotating pattern: /var/log/apt/term.log  forced from command line (12 rotations)
rotating log /var/log/apt/term.log, log->rotateCount is 12
dateext suffix '-20261126'
renaming /var/log/apt/term.log to /var/log/apt/term.log.1
compressing log with: /bin/gzip

rotating pattern: /var/log/syslog
/var/log/mail.log
 forced from command line (4 rotations)
rotating log /var/log/syslog, log->rotateCount is 4
previous log /var/log/syslog.1 does not exist
log /var/log/syslog.5.gz doesn't exist -- won't try to dispose of it
rotating log /var/log/mail.log, log->rotateCount is 4
compressing log with: /bin/gzip
log /var/log/mail.log.5.gz doesn't exist -- won't try to dispose of it

rotating pattern: /var/log/wtmp  forced from command line (1 rotations)
rotating log /var/log/wtmp, log->rotateCount is 1
renaming /var/log/wtmp to /var/log/wtmp.1
"""


def filesystem(mount="/var", free=5 * _MIB, roles=("spool",), **more):
    return {"mount": mount, "size": 1000 * _MIB, "free": free, "full": False, "inodes": 1000, "inodes_free": 900, "inodes_full": False,
            "roles": list(roles), "read_only": False, **more}


def facts(*filesystems, **more):
    return {"filesystems": list(filesystems), "required_free": 15 * _MIB, "big": [], "crowded": [], "deleted_open": [], **more}


@pytest.mark.parametrize("line", ["logrotate --force /etc/logrotate.conf", "apt-get clean", "dnf -q -y clean packages", "journalctl --vacuum-size=200M"])
def test_what_makes_room_is_allowed(line):
    harmless.check_command(tuple(line.split()))


@pytest.mark.parametrize("line", [
    "logrotate --force /etc/logrotate.d/rsyslog", "logrotate --force /tmp/x.conf", "logrotate --force /etc/logrotate.conf /etc/logrotate.d/x", "apt-get autoremove",
    "apt-get clean postfix", "apt-get -q -y autoclean", "dnf clean all", "journalctl --vacuum-time=1s", "journalctl --vacuum-files=1", "journalctl --vacuum-size=1",
    "truncate -s 0 /var/log/mail.log",
])
def test_what_could_lose_evidence_or_packages_is_refused(line):
    with pytest.raises(harmless.Harmful):
        harmless.check_command(tuple(line.split()))


@pytest.mark.parametrize("found, queue_mount, wanted, expected", [
    (facts(filesystem(free=5 * _MIB)), "/var", "", [("/var", 15 * _MIB)]),
    (facts(filesystem(free=15 * _MIB)), "/var", "", [("/var", 15 * _MIB)]),
    (facts(filesystem(free=16 * _MIB)), "/var", "", []),
    (facts(filesystem(free=5 * _MIB, roles=["log"])), "/spool", "", []),
    (facts(filesystem(full=True, roles=["mailstore"])), "/spool", "", [("/var", 0)]),
    (facts(filesystem(inodes_full=True, roles=["log"])), None, "", [("/var", 0)]),
    (facts(filesystem(full=True, roles=["tmp"])), None, "", []),
    (facts(filesystem(full=True, roles=["tmp"])), None, "/var", [("/var", 0)]),
    (facts(filesystem(full=True, read_only=True)), None, "", []),
    (facts(filesystem(free=None)), "/var", "", []),
])
def test_which_file_systems_are_full(found, queue_mount, wanted, expected):
    assert free_space.full(found, queue_mount, wanted) == expected


def test_a_file_system_that_mail_does_not_live_on_is_not_freed():
    with pytest.raises(Refused, match="/backup"):
        free_space.full(facts(filesystem()), "/var", "/backup")


@pytest.mark.parametrize("text, size", [("200M", 200 * _MIB), ("1G", 1024 * _MIB), ("5", None), ("-1M", None), ("0.5G", None), ("200M --rotate", None), ("", None)])
def test_sizes_are_read_with_their_unit(text, size):
    assert free_space.size_of(text) == size


def test_a_dry_run_tells_which_logs_would_be_compressed():
    assert free_space.to_compress(_DRY_RUN) == ["/var/log/apt/term.log", "/var/log/mail.log"]


def test_no_rotation_where_it_would_delete_a_log_at_once():
    assert free_space.to_compress(_DRY_RUN.replace("rotateCount is 1\n", "rotateCount is 0\n")) is None


def test_what_fills_a_file_system_is_named_and_mail_is_not_among_it():
    found = facts(filesystem(), big=[{"path": "/var/crash/core", "bytes": 900 * _MIB, "mount": "/var"}, {"path": "/x", "bytes": 900 * _MIB, "mount": "/"}],
                  deleted_open=[{"process": "rsyslogd", "pid": 7, "bytes": 40 * _MIB}])
    said = free_space.eaters(found, "/var")
    assert "900.0 MiB in /var/crash/core" in said and "rsyslogd (pid 7)" in said and "/x" not in said
    assert "Mail is never deleted" in free_space.eaters(facts(filesystem("/home", roles=["mailstore"])), "/home")


@pytest.fixture(name="host")
def _host(monkeypatch, tmp_path):
    """A host with one full file system at tmp_path: what was freed, and how much room the sources give."""
    state = {"free": 0, "gives": {"_package_cache": 4 * _MIB, "_journal": 4 * _MIB, "_rotation": 4 * _MIB}}

    def source(name):
        def ask(_context, mount, _device, _leave, because):
            return free_space.Freeing((name,), because, mount=mount) if state["gives"][name] else None
        return ask
    for name in state["gives"]:
        monkeypatch.setattr(free_space, name, source(name))
    monkeypatch.setattr(storage, "collect", lambda context: facts(filesystem(str(tmp_path), free=0, roles=["spool"])))
    monkeypatch.setattr(free_space, "_queue_mount", lambda context: str(tmp_path))
    monkeypatch.setattr(free_space, "_measures", lambda mount: filesystem(mount, free=state["free"]))
    return state


def run(host, taken=True, options=None):
    done = []
    remedy = free_space.steps(Context(), dict(_OPTIONS, **(options or {})))
    try:
        step = next(remedy)
        while True:
            done.append(step.argv[0])
            host["free"] += host["gives"][step.argv[0]] if taken else 0
            step = remedy.send(Ran(step.argv, 0) if taken else NOT_TAKEN)
    except StopIteration:
        return done


def test_it_stops_as_soon_as_there_is_room(host):
    host["free"] = 9 * _MIB
    assert run(host) == ["_package_cache", "_journal"]


def test_nothing_is_done_where_there_is_room(host):
    host["free"] = 20 * _MIB
    assert not run(host)


def test_it_is_refused_when_everything_was_not_enough(host):
    with pytest.raises(Refused, match="person"):
        run(host)
    assert host["free"] == 12 * _MIB


def test_it_is_refused_at_once_when_nothing_of_its_own_lies_there(host):
    host["gives"] = dict.fromkeys(host["gives"], 0)
    with pytest.raises(Refused, match="nothing of it was deleted"):
        run(host, taken=False)


def test_check_mode_tells_all_that_may_be_needed(host):
    assert run(host, taken=False) == ["_package_cache", "_journal", "_rotation"]


def test_a_size_that_is_none_is_refused_before_anything_is_done(host):
    with pytest.raises(Refused, match="leave_journal"):
        run(host, options={"leave_journal": "all"})


def test_a_step_tells_how_much_it_freed(monkeypatch):
    free = iter([_MIB, 3 * _MIB])
    monkeypatch.setattr(free_space, "_measures", lambda mount: filesystem(mount, free=next(free)))
    assert "3.0 MiB (before 1.0 MiB)" in free_space.Freeing(("true",), "x", mount="/var").take().out


def test_a_rotation_without_any_room_says_that_it_needs_some(monkeypatch):
    monkeypatch.setattr(free_space, "_measures", lambda mount: filesystem(mount, free=0))
    with pytest.raises(StepFailed, match="no room"):
        free_space.Freeing(("false",), "x", mount="/var").take()


@pytest.mark.parametrize("names, log, expected", [
    (["mail.log", "mail.log.1", "mail.log.2.gz"], "mail.log", ["mail.log.1"]),
    (["mail.log", "mail.log-20261119", "mail.log-20261112.gz"], "mail.log", ["mail.log-20261119"]),
    (["mail.log", "mail.log.1.bak", "mail.login.1"], "mail.log", []),
])
def test_former_versions_of_a_log_are_told_from_other_files(tmp_path, names, log, expected):
    for name in names:
        (tmp_path / name).write_text("x")
    assert [os.path.basename(path) for path in free_space._rotated(str(tmp_path / log))] == expected


def test_only_archived_journals_above_what_stays_count(monkeypatch):
    monkeypatch.setattr(free_space, "_files", lambda patterns: list(patterns))
    sizes = {True: 300 * _MIB, False: 250 * _MIB}
    monkeypatch.setattr(free_space, "_held", lambda paths, device: (sizes[any(path.endswith("/*.journal") for path in paths)], 3))
    assert free_space._journal(Context(), "/var", 1, "200M", "full").argv == ("journalctl", "--vacuum-size=200M")
    assert free_space._journal(Context(), "/var", 1, "300M", "full") is None
