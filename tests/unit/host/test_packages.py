from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host import _dpkg, packages
from ansible_collections.mailops.outage.plugins.module_utils.host._dpkg import Package
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context, Ran
from hypothesis import given, settings
from hypothesis import strategies as st

_RECORDED = (Path(__file__).parent / "fixtures" / "dpkg-query").read_text()
_LOG = """2026-11-20 10:00:00 startup archives unpack
2026-11-20 10:00:01 upgrade libssl3:amd64 3.0.15-1~deb12u1 3.0.22-1~deb12u2
2026-11-20 10:00:01 status half-configured libssl3:amd64 3.0.15-1~deb12u1
2026-11-20 10:00:02 upgrade postfix:amd64 3.7.10-0+deb12u1 3.7.11-0+deb12u1
2026-11-20 10:00:03 install opendkim:amd64 <none> 2.11.0~beta2-8+deb12u1
2026-11-20 10:00:04 configure postfix:amd64 3.7.11-0+deb12u1 <none>
2026-11-20 10:00:05 upgrade vim:amd64 2:9.0.1 2:9.0.2
2026-11-20 10:00:06 remove dovecot-sieve:amd64 1:2.3.19.1 <none>
"""
_INDEX = """Package: postfix
Architecture: amd64
Version: 3.7.12-0+deb12u1
Depends: libc6

Package: dovecot-core
Source: dovecot
Version: 1:2.3.19.1+dfsg1-2.1+deb12u7
Description: secure POP3/IMAP server
 Version: not this one

Package: vim
Version: 9
"""


def test_recorded_packages_are_read_with_their_conffiles():
    found = {package.plain: package for package in _dpkg.parse_packages(_RECORDED)}
    assert sorted(found) == ["dovecot-core", "libssl3", "opendkim", "openssl", "postfix"]
    assert found["postfix"].version == "3.7.11-0+deb12u1" and found["postfix"].status == "installed" and found["libssl3"].name == "libssl3:amd64"
    assert found["opendkim"].conffiles["/etc/opendkim.conf"] == "5ad260d06704f44102594fa2b71d2681" and found["libssl3"].conffiles == {}


def test_conffiles_that_a_package_gave_up_do_not_count():
    text = "postfix\t1\tinstall\tinstalled\tok\n /etc/a 0123 obsolete\n /etc/b 4567\n\x1e\n"
    assert _dpkg.parse_packages(text)[0].conffiles == {"/etc/b": "4567"}


@given(st.text(max_size=300))
def test_parsers_take_any_text(text):
    _dpkg.parse_packages(text)
    _dpkg.parse_log(text, "x", 0)
    _dpkg.parse_ucf(text)
    packages.parse_rpm(text)
    packages.parse_rpm_verify(text)
    packages.deleted_files(text)
    packages.candidates(text, {"postfix"})


@pytest.mark.parametrize("name, mail, matters", [
    ("postfix", True, True), ("dovecot-imapd", True, True), ("exim4-daemon-light", True, True), ("libsasl2-modules", True, True), ("libssl3", False, True),
    ("libssl1.1", False, True), ("openssl", False, True),
    ("libssl-dev", False, False), ("postfix-doc", True, False), ("vim", False, False), ("opensslx", False, False),
])
def test_packages_that_matter_for_mail_are_known_by_name(name, mail, matters):
    assert (_dpkg.is_mail(name), _dpkg.matters(name)) == (mail, matters)


def test_what_an_interrupted_run_left_behind_is_broken():
    known = [Package("a", "1", "install", "installed"), Package("b", "1", "install", "half-configured"), Package("c", "1", "deinstall", "config-files"),
             Package("d", "1", "install", "installed", "reinstreq"), Package("e", "1", "install", "triggers-pending"),
             Package("f", "1", "unknown", "not-installed")]
    assert [package.name for package in _dpkg.broken(known)] == ["b", "d", "e"]


def test_the_log_of_dpkg_tells_upgrades_of_what_matters():
    found = _dpkg.parse_log(_LOG, "/var/log/dpkg.log", 0)
    assert [(entry["action"], entry["package"], entry["from"], entry["to"]) for entry in found] == [
        ("upgrade", "libssl3", "3.0.15-1~deb12u1", "3.0.22-1~deb12u2"), ("upgrade", "postfix", "3.7.10-0+deb12u1", "3.7.11-0+deb12u1"),
        ("install", "opendkim", None, "2.11.0~beta2-8+deb12u1"), ("remove", "dovecot-sieve", "1:2.3.19.1", None)]
    assert found[0]["time_epoch"] == time.mktime((2026, 11, 20, 10, 0, 1, 0, 0, -1))
    assert _dpkg.parse_log(_LOG, "/var/log/dpkg.log", found[-1]["time_epoch"]) == found[-1:]


_VERSIONS = ["1.0", "1.0~rc1", "1.0-1", "1.0-1+deb12u1", "1.0-1~bpo1", "1:0.9", "1.0a", "1.0+b1", "1.00", "10", "9", "1.0.0", "2.11.0~beta2-8+deb12u1",
             "3.7.11-0+deb12u1", "0"]


@pytest.mark.parametrize("lower, higher", [("1.0~rc1", "1.0"), ("1.0", "1.0a"), ("1.0a", "1.0+b1"), ("9", "10"), ("2.0", "1:0.9"), ("1.0-1~bpo1", "1.0-1"),
                                           ("3.7.10-0+deb12u1", "3.7.11-0+deb12u1")])
def test_versions_are_ordered_as_dpkg_orders_them(lower, higher):
    assert _dpkg.version_key(lower) < _dpkg.version_key(higher)


@pytest.mark.skipif(not shutil.which("dpkg"), reason="needs dpkg")
@settings(max_examples=40)
@given(st.sampled_from(_VERSIONS), st.sampled_from(_VERSIONS), st.sampled_from(["", "~", "+", "a", ".1", "0"]))
def test_versions_are_ordered_as_dpkg_itself_says(one, other, tail):
    says = subprocess.run(["dpkg", "--compare-versions", one + tail, "lt", other], check=False).returncode == 0
    assert (_dpkg.version_key(one + tail) < _dpkg.version_key(other)) is says


def test_offered_versions_are_found_in_an_index():
    assert packages.candidates(_INDEX, {"postfix", "dovecot-core", "libssl3"}) == {"postfix": "3.7.12-0+deb12u1",
                                                                                   "dovecot-core": "1:2.3.19.1+dfsg1-2.1+deb12u7"}


class _Lists(Context):
    """A host whose package lists are the test's."""

    def read(self, path, most=0):
        return _INDEX


def test_only_newer_versions_of_installed_packages_are_pending(monkeypatch, tmp_path):
    path = tmp_path / "deb_security_Packages"
    path.write_text("")
    monkeypatch.setattr(packages.glob, "glob", lambda pattern: [str(path)])
    known = [Package("postfix", "3.7.11-0+deb12u1", "install", "installed"), Package("dovecot-core", "1:2.3.19.1+dfsg1-2.1+deb12u7", "install", "installed"),
             Package("vim", "1", "install", "installed")]
    pending, epoch = packages._security(_Lists(), known)
    assert pending == [{"package": "postfix", "installed": "3.7.11-0+deb12u1", "candidate": "3.7.12-0+deb12u1"}] and epoch == int(path.stat().st_mtime)


def test_of_several_security_archives_the_highest_version_counts(monkeypatch, tmp_path):
    for name, version in (("a_security_Packages", "3.7.12-0+deb12u1"), ("b-security_Packages", "3.7.11-0+deb12u1")):
        (tmp_path / name).write_text(f"Package: postfix\nVersion: {version}\n")
    monkeypatch.setattr(packages.glob, "glob", lambda pattern: [str(path) for path in tmp_path.iterdir()])
    pending, _epoch = packages._security(Context(), [Package("postfix", "3.7.11-0+deb12u1", "install", "installed")])
    assert [entry["candidate"] for entry in pending] == ["3.7.12-0+deb12u1"]


def test_without_lists_pending_updates_are_not_visible(monkeypatch):
    monkeypatch.setattr(packages.glob, "glob", lambda pattern: [])
    context = Context()
    assert packages._security(context, []) == ([], None) and context.not_visible


@pytest.fixture(name="package")
def _package(tmp_path, monkeypatch):
    """A package of three files, unpacked long ago and not touched since as far as dpkg's list tells."""
    monkeypatch.setattr(_dpkg, "INFO", str(tmp_path / "info"))
    monkeypatch.setattr(_dpkg, "_PROGRAMS", (str(tmp_path / "sbin") + "/",))
    (tmp_path / "info").mkdir()
    lines = []
    for name, text in (("sbin/smtpd", "one"), ("sbin/lmtp", "two"), ("lib/libpostfix.so", "three")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        lines.append(f"{hashlib.md5(text.encode()).hexdigest()}  {str(path)[1:]}")
    (tmp_path / "info" / "postfix.md5sums").write_text("\n".join(lines) + "\n")
    (tmp_path / "info" / "postfix.list").write_text("")
    os.utime(tmp_path / "info" / "postfix.list", (1000, 1000))
    return Package("postfix", "1", "install", "installed"), tmp_path


def _verify(package, seconds=5.0):
    return _dpkg.verify(package, Context().read, time.monotonic() + seconds)


def test_files_in_order_are_no_problem(package):
    assert _verify(package[0]) == []


def test_missing_changed_and_not_executable_files_are_found(package):
    known, root = package
    (root / "sbin" / "smtpd").write_text("other")
    (root / "lib" / "libpostfix.so").unlink()
    (root / "sbin" / "lmtp").chmod(0o644)
    assert sorted((os.path.basename(path), problem) for path, problem in _verify(known)) == [("libpostfix.so", "missing"), ("lmtp", "not executable"),
                                                                                             ("smtpd", "changed")]


def test_files_that_nobody_touched_since_they_were_unpacked_are_not_read(package, monkeypatch):
    known, root = package
    os.utime(root / "info" / "postfix.list", (time.time() + 3600, time.time() + 3600))
    monkeypatch.setattr(_dpkg, "md5_of", lambda path: pytest.fail(f"{path} was read"))
    assert _verify(known) == []


def test_a_file_that_is_put_aside_is_compared_where_it_lies(package):
    known, root = package
    aside = f"{root}/sbin/smtpd.real"
    (root / "sbin" / "smtpd").rename(aside)
    (root / "sbin" / "smtpd").write_text("a wrapper")
    diversions = f"{root}/sbin/smtpd\n{aside}\n:\n/bin/sh\n/bin/sh.distrib\ndash\n"

    def read(path, most):
        return diversions if path == "/var/lib/dpkg/diversions" else Context().read(path, most)
    assert _dpkg.verify(known, read, time.monotonic() + 5) == []
    os.unlink(aside)
    assert _dpkg.verify(known, read, time.monotonic() + 5) == [(aside, "missing")]
    assert _dpkg.parse_diversions("/a\n/b\n") == {}


def test_comparing_files_ends_in_time(package):
    with pytest.raises(TimeoutError):
        _verify(package[0], -1)


def test_changed_and_missing_conffiles_are_told_apart(tmp_path):
    (tmp_path / "changed").write_text("x")
    (tmp_path / "same").write_text("y")
    known = Package("postfix", "1", "install", "installed", "ok", {
        str(tmp_path / "changed"): "0" * 32, str(tmp_path / "same"): hashlib.md5(b"y").hexdigest(), str(tmp_path / "gone"): "0" * 32})
    assert sorted((os.path.basename(path), problem) for path, problem in _dpkg.changed_conffiles(known)) == [("changed", "changed"), ("gone", "missing")]


def test_shipped_versions_of_ucf_are_read():
    text = "0d73f59f3e548856da5608b921ed75a5  /etc/dovecot/dovecot.conf\nbroken\n"
    assert _dpkg.parse_ucf(text) == {"/etc/dovecot/dovecot.conf": "0d73f59f3e548856da5608b921ed75a5"}


def test_replaced_libraries_are_found_in_the_maps():
    maps = """7f00-7f01 r-xp 00000000 08:01 1 /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)
7f01-7f02 r--p 00000000 08:01 1 /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)
7f02-7f03 rw-p 00000000 00:05 2 /dev/zero (deleted)
7f03-7f04 rw-s 00000000 00:05 3 /SYSV00000000 (deleted)
7f04-7f05 rw-s 00000000 00:05 3 /memfd:x (deleted)
7f05-7f06 rw-s 00000000 00:05 3 /run/x (deleted)
7f06-7f07 r-xp 00000000 08:01 4 /usr/sbin/dovecot
7f07-7f08 r-xp 00000000 08:01 5 /usr/lib/dovecot/imap (deleted)
"""
    assert packages.deleted_files(maps) == ["/usr/lib/x86_64-linux-gnu/libssl.so.3", "/usr/lib/dovecot/imap"]


def test_packages_of_rpm_are_read():
    text = "postfix\t3.5.25-1.el9\t1795000000\nvim-minimal\t8.2-1\t1795000000\nopenssl-libs\t3.0.7-28.el9_4\t1795000001\nbroken\n"
    assert packages.parse_rpm(text) == [{"name": "openssl-libs", "version": "3.0.7-28.el9_4", "installed_epoch": 1795000001},
                                        {"name": "postfix", "version": "3.5.25-1.el9", "installed_epoch": 1795000000}]


def test_damage_found_by_rpm_is_read():
    text = """S.5....T.  c /etc/postfix/main.cf
missing     /usr/libexec/postfix/lmtp
..5....T.    /usr/sbin/postqueue
.......T.  d /usr/share/doc/postfix/README
missing   c /etc/postfix/access (Permission denied)
"""
    assert packages.parse_rpm_verify(text) == [
        ("/etc/postfix/main.cf", "changed", True), ("/usr/libexec/postfix/lmtp", "missing", False), ("/usr/sbin/postqueue", "changed", False),
        ("/etc/postfix/access", "missing", True)]


class _Rpm(Context):
    """A host with rpm."""

    def run(self, *argv, timeout=10.0, most=0, env=None):
        if argv[:2] == ("rpm", "-qa"):
            return Ran(argv, 0, "postfix\t3.5.25-1.el9\t1795000000\nopenssl-libs\t3.0.7-28.el9_4\t5\n")
        return Ran(argv, 1, "S.5....T.  c /etc/postfix/main.cf\nmissing     /usr/libexec/postfix/lmtp\n") if argv[0] == "rpm" else Ran(argv, None, missing=True)


def test_a_host_with_rpm_has_the_same_keys():
    found = packages._with_rpm(_Rpm(options={"since": 1795000000 - 3600, "until": 1795000000}))
    assert set(found) == set(packages._empty("dpkg")) and found["manager"] == "rpm"
    assert [entry["package"] for entry in found["history"]] == ["postfix"]
    assert [entry["path"] for entry in found["broken_files"]] == ["/usr/libexec/postfix/lmtp"]
    assert [entry["path"] for entry in found["conffiles_changed"]] == ["/etc/postfix/main.cf"]


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="needs dpkg")
def test_the_facts_of_this_host_are_complete():
    facts = packages.collect(Context())
    assert set(facts) == set(packages._empty("dpkg")) and facts["manager"] == "dpkg"
    assert all(re.match(r"[a-z0-9]", entry["name"]) for entry in facts["mail"])
