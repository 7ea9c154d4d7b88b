"""Patches are simulated first, change only what was named, and never remove anything or replace configuration."""
from __future__ import annotations

import dataclasses
import fcntl
import os
import subprocess
import sys
import types

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context, Ran
from ansible_collections.mailops.outage.plugins.module_utils.host._dpkg import Package
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import harmless
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies import _apt, _dnf, _transaction, apply_patches
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies._transaction import Change, Transaction, Wanted
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Command, Refused

_SIMULATED = """Reading package lists...
The following packages will be REMOVED:
  postfix
Remv postfix [3.7.11-0+deb12u1]
Inst libidn12 (1.41-1 Debian:12.15/oldstable [amd64])
Inst libssl3:i386 [3.0.1] (3.0.2 Debian:12.15/oldstable [i386])
Inst opendkim [2.11.0~beta2-8+deb12u1] (2.11.0~beta2-8+deb12u1+sec1 . [amd64]) [dovecot-core:amd64 ]
Conf opendkim (2.11.0~beta2-8+deb12u1+sec1 . [amd64])
Purg exim4-base [4.96]
"""
_URIS = """Need to get 555 kB of archives.
'http://mirror.example/debian/pool/main/m/mysql-defaults/mysql-common_5.8%2b1.1.0_all.deb' mysql-common_5.8+1.1.0_all.deb 6636 MD5Sum:2cf95538b4e438afdcce35dac5ccac1f
'http://mirror.example/debian-security/pool/updates/main/m/mariadb/libmariadb3_10.11.19_amd64.deb' libmariadb3_10.11.19_amd64.deb 179504 """
_MADISON = """   postfix | 3.7.12-0+deb12u1 | http://mirror.example/debian-security bookworm-security/main amd64 Packages
   postfix | 3.7.11-0+deb12u1 | http://mirror.example/debian bookworm/main amd64 Packages
   postfix | 3.7.12-0+deb12u1 | http://mirror.example/debian bookworm-updates/main amd64 Packages
   postfix | 3.7.11-0+deb12u1 | http://mirror.example/debian bookworm/main Sources
"""
# Recorded of dnf 4.14.
_DNF = """Last metadata expiration check: 0:00:16 ago on Thu Nov 26 17:43:27 2026.
Dependencies resolved.
================================================================================
 Package                Architecture  Version               Repository     Size
================================================================================
Installing:
 postfix-mysql          noarch        2:3.5.25-1.el9        baseos        6.3 k
Installing dependencies:
 libmariadb-fake        noarch        2:1.0-1.el9           baseos        6.2 k
Downgrading:
 postfix                noarch        2:3.5.25-1.el9        baseos        6.2 k

Transaction Summary
================================================================================
Install    2 Packages
Downgrade  1 Package

Total download size: 19 k
Installed size: 1.5 M
Operation aborted.
"""
_DNF_REMOVING = """Installing:
 exim            noarch         2:4.97-1.el9              baseos          6.2 k
Removing dependent packages:
 postfix         noarch         2:3.5.25-1.el9            @baseos          12 \x20

Transaction Summary
"""
_DNF_HISTORY = """Transaction ID : 4
User           : System <unset>
Command Line   : -q -y upgrade postfix-2:3.5.25-2.el9_5
Packages Altered:
    Upgrade  postfix-2:3.5.25-2.el9_5.noarch @baseos
    Upgraded postfix-2:3.5.9-24.el9.noarch   @@System
    Downgrade  dovecot-1:2.3.16-11.el9.x86_64   @baseos
    Downgraded dovecot-1:2.3.16-14.el9.x86_64 @@System
    Reinstall  exim-4.97-1.el9.x86_64 @epel
"""


def test_a_simulation_of_apt_is_read_with_what_it_removes():
    changes, removed = _apt.parse_simulation(_SIMULATED)
    assert changes == (Change("libidn12", "", "1.41-1"), Change("libssl3", "3.0.1", "3.0.2"),
                       Change("opendkim", "2.11.0~beta2-8+deb12u1", "2.11.0~beta2-8+deb12u1+sec1"))
    assert removed == ("postfix", "exim4-base")


def test_the_bytes_to_fetch_are_added_up():
    assert _apt.parse_uris(_URIS) == 6636 + 179504 and _apt.parse_uris("Need to get 0 B/1510 kB of archives.") == 0


def test_apts_reason_is_told_with_what_cannot_be_satisfied():
    ran = Ran(("apt-get",), 100, "The following packages have unmet dependencies:\n opendkim : Depends: libopendkim11 (= 2) but 1 is to be installed\n",
              "E: Unable to correct problems, you have held broken packages.\n")
    assert "Unable to correct" in _apt.complaint(ran) and "libopendkim11 (= 2)" in _apt.complaint(ran)
    assert _apt.complaint(Ran(("apt-get",), 0)) == "" and "no answer" in _apt.complaint(Ran(("apt-get",), None, timed_out=True))


def test_a_table_of_dnf_is_read():
    changes, removed, fetched, unpacked = _dnf.parse_table(_DNF)
    assert [(change.name, bool(change.before), change.after) for change in changes] == [
        ("postfix-mysql", False, "2:3.5.25-1.el9"), ("libmariadb-fake", False, "2:1.0-1.el9"), ("postfix", True, "2:3.5.25-1.el9")]
    assert removed == () and fetched == 19 * 1024 and unpacked == int(1.5 * 1024 ** 2)


def test_what_dnf_would_remove_or_replace_is_seen():
    assert _dnf.parse_table(_DNF_REMOVING)[1] == ("postfix",)
    long_name = "Upgrading:\n dovecot-pigeonhole-with-a-very-long-name\n            x86_64  1:2.3.16-11.el9  appstream  1.2 M\n     replacing  sendmail.x86_64 8.16-1\n"
    changes, removed = _dnf.parse_table(long_name)[:2]
    assert [(change.name, change.after) for change in changes] == [("dovecot-pigeonhole-with-a-very-long-name", "1:2.3.16-11.el9")] and removed == ("sendmail",)


@pytest.mark.parametrize("rc, out, err, expected", [
    (1, "", "Operation aborted.\n", ""), (0, "Nothing to do.\n", "", ""),
    (1, "", "No match for argument: nosuch\nError: No packages marked for upgrade.\n", "No packages marked"),
    (1, "", "Error: Failed to download metadata for repo 'baseos': Cannot download repomd.xml\n", "Failed to download metadata"),
])
def test_dnf_that_was_told_not_to_go_on_does_not_complain(rc, out, err, expected):
    told = _dnf.complaint(Ran(("dnf",), rc, out, err))
    assert expected in told and bool(told) == bool(expected)


def test_dnfs_history_says_what_came_before():
    assert _dnf.parse_history(_DNF_HISTORY) == {"postfix": ("2:3.5.9-24.el9", "2:3.5.25-2.el9_5"), "dovecot": ("1:2.3.16-14.el9", "1:2.3.16-11.el9")}


def test_locked_versions_of_dnf_are_read_and_exclusions_are_not():
    assert _dnf.parse_versionlock("# Added lock\npostfix-2:3.5.25-1.el9.*\n!dovecot-1:2.3-1.el9.*\nexim-*:4.97-1.*\n\n") == ["postfix", "exim"]


# A host in a test: what the package manager says is a table; nothing is run.

@dataclasses.dataclass
class _Manager:
    """A package manager with the functions of _apt and _dnf, which answers from what the test says."""

    there: dict = dataclasses.field(default_factory=lambda: {"postfix": "3.7.11", "dovecot-core": "2.3", "libstemmer0d": "2.2"})
    lists: dict = dataclasses.field(default_factory=lambda: {"postfix": ["3.7.12", "3.7.11"], "dovecot-core": ["2.3"], "libstemmer0d": ["2.2"], "postfix-mysql": ["3.7.11"]})
    cache: dict = dataclasses.field(default_factory=dict)
    wrong: list = dataclasses.field(default_factory=list)
    due: dict = dataclasses.field(default_factory=dict)
    updates: dict = dataclasses.field(default_factory=dict)
    before: dict = dataclasses.field(default_factory=dict)
    hold: set = dataclasses.field(default_factory=set)
    at_it: str = ""
    extra: tuple = ()
    gone: tuple = ()
    complains: str = ""
    fetch: int = 0
    kept: list = dataclasses.field(default_factory=list)
    cut: bool = False

    def installed(self, _context):
        return self.there

    def held(self, _context):
        return self.hold

    def libraries(self, _context):
        return {"libstemmer0d"}

    def damaged(self, _context, _known, _until):
        return self.wrong.pop(0) if len(self.wrong) > 1 else (self.wrong or [{}])[0]

    def interrupted(self, _context):
        return self.due

    def cut_short(self):
        return self.cut

    def busy(self, _context):
        return self.at_it

    def finish(self, because):
        return Command(("dpkg", "--configure", "-a"), because)

    def refresh(self, because):
        return Command(("apt-get", "update"), because)

    def download(self, verb, wanted, because):
        return Command(("apt-get", verb, "--download-only", *(entry.path or f"{entry.name}={entry.version}" for entry in wanted)), because)

    def install(self, verb, wanted, because, undo=""):
        return Command(("apt-get", verb, *(entry.path or f"{entry.name}={entry.version}" for entry in wanted)), because, undo)

    def simulate(self, _context, _verb, wanted):
        changes = tuple(Change(entry.name, self.there.get(entry.name, ""), entry.version) for entry in wanted)
        return Transaction(changes + self.extra, self.gone, self.complains, self.fetch, 0)

    def room(self, _transaction):
        return {"/usr": 0}

    def offered(self, _context, name):
        return self.lists.get(name, [])

    def candidate(self, _context, name, like):
        return like if like in self.lists.get(name, []) else (self.lists.get(name) or [""])[0]

    def cached(self, _context, name, version):
        return self.cache.get((name, version), "")

    def former(self, _context, _known, name):
        return self.before[name]

    def upgrades(self, _known):
        return ["postfix 3.7.10 -> 3.7.11 (yesterday)"]

    def pending(self, _context, _known, names):
        return {name: version for name, version in self.updates.items() if not names or name in names}

    def replaced_config(self, _context, _known, _names):
        return self.kept


@pytest.fixture(name="remedy")
def _remedy(monkeypatch):
    """``remedy(manager, action, names, types, broken, answers)``: the commands of a run. ``answers`` are exit statuses of the steps; None stands for check mode."""
    brought = set()

    def run(manager, action="auto", names=(), types=(), broken=(), answers=(), works=True):
        known = {"manager": "dpkg", "broken_files": list(broken), "history": [], "security_pending": [], "conffiles_changed": []}
        monkeypatch.setattr(apply_patches.packages, "collect", lambda context: known)
        monkeypatch.setattr(apply_patches.postfix, "collect", lambda context: {"maps": [{"type": kind, "supported": kind in brought} for kind in types]})
        brought.clear()
        monkeypatch.setattr(apply_patches, "_apt", manager)
        monkeypatch.setattr(Context, "run", lambda self, *argv, **more: Ran(argv, 0))
        monkeypatch.setattr(apply_patches, "shortage", lambda needs: "")
        answers = list(answers)
        taken = []
        generator = apply_patches.steps(Context(), {"action": action, "packages": list(names)})
        try:
            step = next(generator)
            while True:
                taken.append(step)
                rc = answers.pop(0) if answers else 0
                if works:
                    brought.update(word[len("postfix-"):].split("=")[0] for word in step.argv if word.startswith("postfix-") and rc == 0)
                step = generator.send(Ran(step.argv, 0) if rc is None else Ran(step.argv, rc, "", "" if rc == 0 else "E: Failed to fetch it", seconds=1.0))
        except StopIteration:
            pass
        except Refused as problem:
            problem.taken = [step.does() for step in taken]
            raise
        run.steps = taken
        return [step.does() for step in taken]
    return run


_LOST = {"postfix": ["/usr/lib/postfix/sbin/lmtp is missing"]}


def test_a_host_in_order_is_left_alone(remedy):
    assert remedy(_Manager()) == []
    assert remedy(_Manager(updates={"postfix": "3.7.12"})) == []


def test_a_missing_file_brings_the_same_version_again(remedy):
    assert remedy(_Manager(wrong=[_LOST, {}])) == ["apt-get reinstall postfix=3.7.11"]


def test_what_stays_damaged_is_told(remedy):
    with pytest.raises(Refused, match="still not as packaged.*lmtp"):
        remedy(_Manager(wrong=[_LOST]))


def test_an_interrupted_run_is_finished_first(remedy):
    assert remedy(_Manager(due={"dovecot-core": "half-configured"}, wrong=[{}, _LOST, {}])) == ["dpkg --configure -a", "apt-get reinstall postfix=3.7.11"]
    assert remedy(_Manager(due={"dovecot-core": "half-configured"}), "finish", answers=[None]) == ["dpkg --configure -a"]


def test_a_run_that_was_cut_short_is_finished_before_anything_else(remedy):
    with pytest.raises(Refused, match="finish first"):
        remedy(_Manager(wrong=[_LOST], cut=True), "reinstall")
    assert remedy(_Manager(wrong=[_LOST], cut=True, due={"dpkg": "cut short"}), answers=[None, None]) == ["dpkg --configure -a", "apt-get reinstall postfix=3.7.11"]


def test_half_installed_packages_of_other_software_are_for_a_person(remedy):
    with pytest.raises(Refused, match="nftables.*person"):
        remedy(_Manager(due={"postfix": "unpacked"}, wrong=[{"nftables": ["half-installed"]}]))


def test_missing_configuration_is_not_for_a_reinstallation(remedy):
    with pytest.raises(Refused, match="rollback_config"):
        remedy(_Manager(), broken=[{"package": "postfix", "path": "/etc/postfix/master.cf", "conffile": True}])


@pytest.mark.parametrize("change, action, words", [
    ({"gone": ("postfix",)}, "reinstall", "would remove postfix"),
    ({"extra": (Change("libc6", "1", "2"),)}, "reinstall", "also change libc6 1 -> 2"),
    ({"extra": (Change("vim", "", "2"),)}, "reinstall", r"also change vim 2 \(new\)"),
    ({"complains": "held broken packages"}, "reinstall", "held broken packages"),
    ({"hold": {"postfix"}}, "reinstall", "on hold"),
    ({"at_it": "unattended-upgrades (process 7) holds /var/lib/dpkg/lock"}, "reinstall", r"process 7.*wait"),
    ({"at_it": "apt-get (process 7)"}, "finish", "process 7"),
    ({"hold": {"postfix"}}, "security", "on hold"),
    ({"extra": (Change("systemd", "1", "2"),)}, "security", "systemd"),
    ({"kept": ["/etc/postfix/main.cf"]}, "security", "configuration /etc/postfix/main.cf"),
    ({"extra": (Change("libc6", "1", "2"),)}, "install", "libc6"),
    ({"gone": ("exim4",)}, "install", "remove exim4"),
])
def test_a_transaction_that_would_do_more_or_cannot_be_is_refused(remedy, change, action, words):
    manager = _Manager(wrong=[_LOST], updates={"postfix": "3.7.12"}, due={"postfix": "half-configured"} if action == "finish" else {}, **change)
    with pytest.raises(Refused, match=words) as problem:
        remedy(manager, action, types=["mysql"])
    assert problem.value.taken == []


def test_a_simulation_that_changes_another_version_or_nothing_is_refused(remedy, monkeypatch):
    manager = _Manager(wrong=[_LOST])
    for changes, words in (((), "stays as it is"), ((Change("postfix", "3.7.11", "3.7.12"),), r"3.7.11 -> 3.7.12")):
        monkeypatch.setattr(manager, "simulate", lambda *_given, changes=changes: Transaction(changes), raising=False)
        with pytest.raises(Refused, match=words):
            remedy(manager, "reinstall")


@pytest.mark.parametrize("names, action, words", [
    (["vim"], "reinstall", "vim is no package of the mail software"), (["openssh-server"], "security", "no package of the mail"),
    (["--purge"], "reinstall", "no name"), (["postfix;reboot"], "auto", "no name"), (["libc6"], "step_back", "no mail software"),
    (["libstemmer0d"], "security", "no package of the mail"), (["opendkim"], "reinstall", "not installed"), ([], "step_back", "Name the packages.*3.7.10 -> 3.7.11"),
])
def test_only_mail_software_may_be_named(remedy, names, action, words):
    with pytest.raises(Refused, match=words):
        remedy(_Manager(), action, names)


def test_a_damaged_library_of_the_mail_software_is_reinstalled(remedy):
    assert remedy(_Manager(wrong=[{"libstemmer0d": ["x is changed"], "coreutils": ["y is changed"]}, {}])) == ["apt-get reinstall libstemmer0d=2.2"]


def test_names_narrow_what_is_done(remedy):
    both = {**_LOST, "dovecot-core": ["x is changed"]}
    assert remedy(_Manager(wrong=[both, {}]), "reinstall", ["dovecot-core"]) == ["apt-get reinstall dovecot-core=2.3"]


def test_an_archive_that_does_not_answer_leaves_the_cache(remedy):
    manager = _Manager(wrong=[_LOST, {}], fetch=100, cache={("postfix", "3.7.11"): "/var/cache/apt/archives/postfix_3.7.11_amd64.deb"})
    assert remedy(manager, answers=[100, 0]) == ["apt-get reinstall --download-only postfix=3.7.11", "apt-get reinstall /var/cache/apt/archives/postfix_3.7.11_amd64.deb"]
    with pytest.raises(Refused, match="archive does not answer.*Failed to fetch") as problem:
        remedy(_Manager(wrong=[_LOST], fetch=100), answers=[100])
    assert len(problem.value.taken) == 1


def test_lists_that_do_not_know_the_version_are_fetched_once(remedy):
    with pytest.raises(Refused, match="archive does not answer") as problem:
        remedy(_Manager(wrong=[_LOST], lists={}), answers=[100])
    assert problem.value.taken == ["apt-get update"]
    assert remedy(_Manager(wrong=[_LOST], lists={}), answers=[None, None]) == ["apt-get update", "apt-get reinstall postfix=3.7.11"]
    cached = {("postfix", "3.7.11"): "/var/cache/apt/archives/postfix_3.7.11_amd64.deb"}
    assert remedy(_Manager(wrong=[_LOST, {}], lists={}, cache=cached)) == ["apt-get reinstall /var/cache/apt/archives/postfix_3.7.11_amd64.deb"]


def test_where_not_all_can_be_reinstalled_the_others_are(remedy):
    manager = _Manager(wrong=[{**_LOST, "dovecot-core": ["x is changed"]}, {}], hold={"dovecot-core"})
    with pytest.raises(Refused, match="dovecot-core: dovecot-core is on hold") as problem:
        remedy(manager)
    assert problem.value.taken == ["apt-get reinstall postfix=3.7.11"]


def test_a_missing_table_type_brings_its_package_in_postfixs_version(remedy):
    manager = _Manager(extra=(Change("libmariadb3", "", "10"),))
    assert remedy(manager, types=["mysql"]) == ["apt-get install postfix-mysql=3.7.11"]
    assert "mysql" in remedy.steps[0].because and "by hand" in remedy.steps[0].undo


def test_only_install_brings_a_package_because_it_is_named(remedy):
    manager = _Manager(lists={"opendkim": ["2"]})
    assert remedy(manager, "install", ["opendkim"]) == ["apt-get install opendkim=2"] and remedy(manager, "auto", ["opendkim"]) == []


def test_a_package_whose_table_type_is_not_known_is_set_up_again(remedy):
    manager = _Manager(there={"postfix": "3.7.11", "postfix-mysql": "3.7.11"})
    assert remedy(manager, types=["mysql"]) == ["apt-get reinstall postfix-mysql=3.7.11"]


def test_a_table_type_that_stays_unknown_is_told(remedy):
    with pytest.raises(Refused, match="still does not know mysql"):
        remedy(_Manager(), types=["mysql"], works=False)


def test_a_table_type_that_no_package_brings_is_for_a_person(remedy):
    with pytest.raises(Refused, match="btree.*person"):
        remedy(_Manager(), types=["btree"])


def test_security_updates_tell_the_way_back(remedy):
    assert remedy(_Manager(updates={"postfix": "3.7.12"}), "security") == ["apt-get upgrade postfix=3.7.12"]
    assert remedy.steps[0].undo == "apt-get downgrade postfix=3.7.11"
    remedy(_Manager(updates={"postfix": "3.7.12"}, lists={"postfix": ["3.7.12"]}), "security")
    assert "neither the archive nor the cache" in remedy.steps[0].undo
    assert remedy(_Manager(), "security") == []


def test_a_step_back_goes_to_the_former_version_once(remedy):
    manager = _Manager(before={"postfix": "3.7.10"}, lists={"postfix": ["3.7.11", "3.7.10"]})
    assert remedy(manager, "step_back", ["postfix"]) == ["apt-get downgrade postfix=3.7.10"]
    assert remedy.steps[0].undo == "apt-get upgrade postfix=3.7.11"
    assert remedy(_Manager(before={"postfix": ""}), "step_back", ["postfix"]) == []


def test_a_step_back_that_would_remove_says_to_name_the_others(remedy):
    with pytest.raises(Refused, match="remove dovecot-imapd.*Name these"):
        remedy(_Manager(before={"dovecot-core": "2.2"}, lists={"dovecot-core": ["2.2"]}, gone=("dovecot-imapd",)), "step_back", ["dovecot-core"])


# The log, the cache and the locks of a real file system.

def _history(*entries):
    return {"history": [{"package": "postfix", "action": action, "from": before, "to": after, "time": "t"} for action, before, after in entries]}


@pytest.mark.parametrize("entries, expected", [
    ([("upgrade", "3.7.11", "3.7.11"), ("upgrade", "3.7.10", "3.7.11"), ("upgrade", "3.7.9", "3.7.10")], "3.7.10"),
    ([("upgrade", "3.7.12", "3.7.11"), ("upgrade", "3.7.11", "3.7.12")], ""),
    ([("upgrade", "3.7.11", "3.7.12")], None), ([("install", None, "3.7.11")], None), ([], None),
])
def test_dpkgs_log_says_what_came_before(monkeypatch, entries, expected):
    monkeypatch.setattr(_apt, "installed", lambda context: {"postfix": "3.7.11"})
    if expected is None:
        with pytest.raises(Refused, match="no upgrade of postfix"):
            _apt.former(None, _history(*entries), "postfix")
    else:
        assert _apt.former(None, _history(*entries), "postfix") == expected


def _context(**answers):
    """A context whose commands answer by their first word."""
    def run(*argv, **_more):
        return Ran(argv, 0, answers.get(argv[0].replace("-", "_"), ""))
    return types.SimpleNamespace(run=run, read=Context().read)


def test_the_versions_that_are_offered_are_those_of_binary_packages():
    assert _apt.offered(_context(apt_cache=_MADISON), "postfix") == ["3.7.12-0+deb12u1", "3.7.11-0+deb12u1"]


def test_libraries_are_those_that_mail_software_depends_on():
    text = "postfix\tlibc6 (>= 2.34), libdb5.3 | libdb5.4, netbase, \nvim\tlibgpm2, \ndovecot-core\tlibstemmer0d (>= 0+svn527), , libssl3\n"
    assert _apt.libraries(_context(dpkg_query=text)) == {"libc6", "libdb5.3", "libdb5.4", "libstemmer0d", "libssl3"}


@pytest.fixture(name="archives")
def _archives(tmp_path, monkeypatch):
    """apt's cache and dpkg's sums in a folder of the test, with one package; ``told`` is what dpkg-deb says."""
    monkeypatch.setattr(_apt, "ARCHIVES", str(tmp_path))
    monkeypatch.setattr(_apt._dpkg, "INFO", str(tmp_path))
    monkeypatch.setattr(_apt, "installed", lambda context: {"postfix": "3.7.11"})
    path = tmp_path / "postfix_3.7.11_amd64.deb"
    path.write_bytes(b"deb")
    path.chmod(0o644)
    os.chown(path, 0, -1) if os.geteuid() == 0 else monkeypatch.setattr(_apt.os, "lstat", lambda name: types.SimpleNamespace(st_mode=os.stat(name).st_mode, st_uid=0))
    (tmp_path / "postfix.md5sums").write_text("aa  usr/lib/x\nbb  usr/lib/y\n")
    told = {"-f": "Package: postfix\nVersion: 3.7.11\n", "-I": "bb  usr/lib/y\naa  usr/lib/x\n", "whole": True}

    def run(*argv, **_more):
        return Ran(argv, 0 if argv[1] != "--fsys-tarfile" or told["whole"] else 2, told.get(argv[1], ""))
    return path, told, types.SimpleNamespace(run=run, read=Context().read)


def test_a_package_in_the_cache_is_taken_when_it_is_the_same_build(archives):
    path, _told, context = archives
    assert _apt.cached(context, "postfix", "3.7.11") == str(path)


@pytest.mark.parametrize("how", ["other version", "other build", "cut off", "anybody writes", "link"])
def test_a_package_in_the_cache_that_cannot_be_trusted_is_not_taken(archives, how):
    path, told, context = archives
    if how == "other version":
        told["-f"] = "Package: postfix\nVersion: 3.7.12\n"
    elif how == "other build":
        told["-I"] = "aa  usr/lib/x\ncc  usr/lib/y\n"
    elif how == "cut off":
        told["whole"] = False
    elif how == "anybody writes":
        path.chmod(0o666)
    else:
        path.rename(path.with_suffix(".real"))
        path.symlink_to(path.with_suffix(".real"))
        if os.geteuid() != 0:
            pytest.skip("needs root to tell the owner")
    assert _apt.cached(context, "postfix", "3.7.11") == ""


def test_who_holds_a_lock_is_found_and_a_free_lock_is_not_taken(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    assert _transaction.lock_holder(str(path)) is None and _transaction.lock_holder(str(tmp_path / "none")) is None
    holds = "import fcntl, sys; handle = open(sys.argv[1], 'w'); fcntl.lockf(handle, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", holds, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        assert _transaction.lock_holder(str(path)) == child.pid
        child.stdin.close()
        child.wait(5)
    with open(path, "w", encoding="utf-8") as handle:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_of_dnf_counts_while_its_process_lives(tmp_path, monkeypatch):
    path = tmp_path / "rpmdb_lock.pid"
    monkeypatch.setattr(_dnf, "LOCKS", (str(path),))
    monkeypatch.setattr(_dnf, "RPM_LOCKS", ())
    assert _dnf.busy(Context()) == ""
    path.write_text(str(os.getpid()))
    assert f"process {os.getpid()}" in _dnf.busy(Context())
    path.write_text("4194304999")
    assert _dnf.busy(Context()) == ""


def _file_system(free, inodes=10000, flags=0, device=1):
    state = types.SimpleNamespace(f_flag=flags, f_bavail=free // 4096, f_frsize=4096, f_files=20000, f_favail=inodes)
    return {"statvfs": lambda path: state, "stat": lambda path: types.SimpleNamespace(st_dev=device)}


def test_room_is_needed_for_all_that_lies_on_one_file_system():
    mib = 1024 ** 2
    needs = {"/usr": 40 * mib, "/var": 40 * mib}
    assert _transaction.shortage(needs, **_file_system(200 * mib)) == ""
    assert "100 MiB free, and 112 MiB are needed" in _transaction.shortage(needs, **_file_system(100 * mib))
    assert "inodes" in _transaction.shortage(needs, **_file_system(200 * mib, inodes=5))
    assert "read-only" in _transaction.shortage(needs, **_file_system(200 * mib, flags=os.ST_RDONLY))


# What reaches the host.

_WANTED = [Wanted("postfix", "3.7.11-0+deb12u1"), Wanted("opendkim", "2", "/var/cache/apt/archives/opendkim_1%3a2.11.0~beta2-8+deb12u1_amd64.deb")]


@pytest.mark.parametrize("step", [
    *(_apt.install(verb, _WANTED, "x") for verb in ("reinstall", "upgrade", "downgrade", "install")), _apt.download("install", _WANTED, "x"),
    _apt.finish("x"), _apt.refresh("x"), _apt.install("reinstall", [Wanted("libstemmer0d", "2.2.0-2")], "x"), _dnf.refresh("x"),
    *(_dnf.install(verb, [Wanted("postfix", "2:3.5.25-1.el9"), Wanted("dovecot-pigeonhole", "1:2.3.16-11.el9_0.1")], "x") for verb in ("reinstall", "upgrade", "downgrade")),
], ids=lambda step: " ".join(word for word in step.argv if word.startswith("--"))[-60:])
def test_each_command_is_one_that_a_repair_may_run_and_keeps_configuration(step):
    step.check()
    if step.argv[0] == "apt-get" and "install" in step.argv:
        assert "--no-remove" in step.argv and "Dpkg::Options::=--force-confold" in step.argv and ("UCF_FORCE_CONFFOLD", "1") in step.env
    assert "conf" not in " ".join(step.argv).replace("--force-confdef", "").replace("--force-confold", "").replace("--configure", "")


_APT = " ".join(_apt.install("reinstall", _WANTED[:1], "x").argv)


@pytest.mark.parametrize("line", [
    _APT.replace(" --no-remove", ""), _APT.replace("confold", "confnew"), _APT.replace("install postfix", "remove postfix"), _APT.replace("install postfix", "purge postfix"),
    _APT + " openssh-server=1", _APT.replace("=3.7.11-0+deb12u1", ""), _APT.replace("postfix=", "postfix-="), _APT + "-", _APT + " vim=2", _APT + " /tmp/postfix_1_all.deb",
    _APT + " /var/cache/apt/archives/../../../tmp/postfix_1_all.deb", _APT + " /var/cache/apt/archives/vim_1_all.deb", _APT.replace("--reinstall", "--allow-remove-essential"),
    _APT.replace("--reinstall", "--only-upgrade").replace("postfix=", "libstemmer0d="), "apt-get -q -y dist-upgrade", "apt-get -q -y upgrade",
    _APT.replace("--reinstall", "--allow-unauthenticated"), _APT.replace("--reinstall", "--allow-change-held-packages"),
    "dpkg -i /var/cache/apt/archives/postfix_1_all.deb", "dpkg --force-all --configure -a", "dnf -q -y --setopt=install_weak_deps=False upgrade",
    "dnf -q -y --setopt=install_weak_deps=False remove postfix-2:3.5.25-1.el9", "dnf -q -y --setopt=install_weak_deps=False upgrade postfix",
    "dnf -q -y --setopt=install_weak_deps=False install openssh-server-8.7p1-38.el9", "dnf -q -y --setopt=install_weak_deps=False --allowerasing install postfix-2:3.5.25-1.el9",
])
def test_near_misses_are_refused(line):
    with pytest.raises(harmless.Harmful):
        harmless.check_command(tuple(line.split()))


@pytest.mark.parametrize("pairs", [(("LD_PRELOAD", "/tmp/x.so"),), (("DEBIAN_FRONTEND", "dialog"),), (("HOME", "/tmp"),)])
def test_a_strange_environment_is_refused(pairs):
    with pytest.raises(harmless.Harmful):
        Command(("postfix", "reload"), "x", env=pairs).check()


def test_the_environment_reaches_the_command_and_is_shown():
    step = Command(("printenv", "DEBIAN_FRONTEND"), "x", env=(("DEBIAN_FRONTEND", "noninteractive"),))
    assert step.take().out == "noninteractive\n" and step.does() == "DEBIAN_FRONTEND=noninteractive printenv DEBIAN_FRONTEND"


def test_a_half_installed_package_is_damaged_and_an_unpacked_one_is_to_be_finished(monkeypatch):
    known = [Package("postfix", "1", "install", "half-installed", "reinstreq"), Package("dovecot-core", "1", "hold", "unpacked"), Package("vim", "1", "install", "installed")]
    monkeypatch.setattr(_apt, "_known", lambda context: known)
    monkeypatch.setattr(_apt, "cut_short", lambda: True)
    assert _apt.damaged(_context(), {"broken_files": []}, 0) == {"postfix": ["half-installed, reinstreq"]}
    assert _apt.interrupted(None) == {"dovecot-core": "unpacked"} and _apt.held(None) == {"dovecot-core"}
    monkeypatch.setattr(_apt, "_known", lambda context: known[:1])
    assert "cut short" in _apt.interrupted(None)["dpkg"]


def _rpm(**answers):
    """A context of a host with rpm: its commands answer by their first words."""
    def run(*argv, **_more):
        line = " ".join(argv)
        return next((Ran(argv, 0, text) for start, text in answers.items() if line.startswith(start.replace("_", " "))), Ran(argv, 0))
    return types.SimpleNamespace(run=run, read=lambda path, most=0: None, once=lambda name, ask: ask())


def test_with_rpm_a_version_has_its_epoch_unless_it_is_none():
    assert _dnf.installed(_rpm(rpm="postfix\t2:3.5.25-1.el9\nexim\t0:4.97-1.el9\n")) == {"postfix": "2:3.5.25-1.el9", "exim": "4.97-1.el9"}


def test_with_rpm_a_file_is_its_packages():
    known = {"broken_files": [{"package": "", "path": "/usr/libexec/postfix/lmtp", "problem": "missing", "conffile": False},
                              {"package": "", "path": "/etc/postfix/main.cf", "problem": "missing", "conffile": True}]}
    assert _dnf.damaged(_rpm(rpm="postfix\n"), known, 0) == {"postfix": ["/usr/libexec/postfix/lmtp is missing"]}


def test_with_rpm_a_package_in_two_versions_is_for_a_person():
    with pytest.raises(Refused, match="postfix.x86_64.*person"):
        _dnf.interrupted(_rpm(rpm="postfix.x86_64\nglibc.x86_64\nglibc.i686\npostfix.x86_64\n"))
    assert _dnf.interrupted(_rpm(rpm="postfix.x86_64\nglibc.x86_64\nglibc.i686\nkernel.x86_64\nkernel.x86_64\n")) == {}


def test_with_rpm_changed_configuration_that_would_be_replaced_is_seen():
    known = {"conffiles_changed": [{"path": "/etc/a"}, {"path": "/etc/b"}]}
    assert _dnf.replaced_config(_rpm(rpm="/etc/a\tcn\n/etc/b\tc\n/etc/c\tc\n/usr/d\t\n"), known, ["postfix"]) == ["/etc/b"]


def test_with_dnf_a_step_back_goes_to_the_former_version_once():
    listed = "ID | Command line | Date and time | Action(s) | Altered\n-----\n     3 | -q -y upgrade | 2026-11-26 17:43 | Upgrade | 1\n"
    answers = {"rpm": "postfix\t2:3.5.25-2.el9_5\n", "dnf -q history list": listed, "dnf -q history info": _DNF_HISTORY}
    assert _dnf.former(_rpm(**answers), {}, "postfix") == "2:3.5.9-24.el9"
    assert _dnf.former(_rpm(**{**answers, "rpm": "dovecot\t1:2.3.16-11.el9\n"}), {}, "dovecot") == ""
    with pytest.raises(Refused, match="no upgrade"):
        _dnf.former(_rpm(**{**answers, "rpm": "postfix\t2:3.5.30-1.el9\n"}), {}, "postfix")


def test_a_host_without_a_known_package_manager_is_refused(monkeypatch):
    monkeypatch.setattr(apply_patches.packages, "collect", lambda context: {"manager": "other"})
    with pytest.raises(Refused, match="neither apt-get nor dnf"):
        next(apply_patches.steps(Context(), {"action": "auto", "packages": []}))
