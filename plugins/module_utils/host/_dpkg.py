"""What dpkg(1) knows: the packages, the state each is in, and the files that it brought. Read once and shared."""
from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from dataclasses import dataclass, field

from ansible_collections.mailops.outage.plugins.module_utils.text import clean

INFO = "/var/lib/dpkg/info"
_MAIL = re.compile(
    r"^(?:postfix|dovecot|exim4|opendkim|opendmarc|rspamd|amavis|clamav|spamassassin|spamd|postgrey|postsrsd|policyd|postfwd|mailman|sasl2-bin|libsasl2"
    r"|sympa|fail2ban|bind9|unbound|slapd|redis|mariadb-server|postgresql|certbot|libmilter|libopendkim|libclamav|python3-spf)")
_SHARED = re.compile(r"^(?:openssl$|libssl|libc6$|libc-bin$|libgnutls|ca-certificates$|libldap|libpq5$|libmariadb3$|libicu|libdb5|libpam|systemd$|rsyslog$)")
_LOG_LINE = re.compile(r"^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d) (install|upgrade|remove|purge|configure) (\S+) (\S+) (\S+)$")
_END = "\x1e\n"
_FORMAT = "${binary:Package}\\t${Version}\\t${db:Status-Want}\\t${db:Status-Status}\\t${db:Status-Eflag}\\n${Conffiles}\\n" + _END
_PROGRAMS = ("/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/", "/usr/lib/postfix/sbin/", "/usr/lib/dovecot/")


@dataclass(frozen=True)
class Package:
    """One package: ``want`` is what the administrator wants (install, hold, …), ``status`` what it is (installed, half-configured, …)."""

    name: str
    version: str
    want: str
    status: str
    flag: str = "ok"
    conffiles: dict = field(default_factory=dict)

    @property
    def plain(self) -> str:
        return self.name.split(":")[0]

    @property
    def state(self) -> str:
        return self.status if self.flag == "ok" else f"{self.status}, {self.flag}"


def is_mail(name: str) -> bool:
    """Whether a package belongs to a mail server's software, by its name."""
    return bool(_MAIL.match(name))


def matters(name: str) -> bool:
    """Whether a package can change how mail works: mail software, and the libraries it rests on."""
    return (is_mail(name) or bool(_SHARED.match(name))) and not name.endswith(("-dev", "-doc", "-dbgsym"))


def _weight(character: str) -> int:
    """The place of a character in a version: a tilde before the end (0), letters before all else."""
    return -1 if character == "~" else ord(character) if character.isalpha() else ord(character) + 256


def _part_key(text: str) -> list:
    pieces = re.findall(r"(\D*)(\d*)", text)
    return [([_weight(character) for character in words] + [0], int(digits or 0)) for words, digits in pieces]


def version_key(version: str) -> tuple:
    """A key that sorts versions as dpkg does (deb-version(7))."""
    epoch, colon, rest = version.partition(":")
    if not colon or not epoch.isdigit():
        epoch, rest = "0", version
    upstream, revision = rest.rsplit("-", 1) if "-" in rest else (rest, "")
    return int(epoch), _part_key(upstream), _part_key(revision)


def parse_packages(text: str) -> list:
    """The packages of dpkg-query's answer in our format: a line of fields, the conffile lines, a record separator."""
    found = []
    for block in text.split(_END):
        lines = block.splitlines()
        fields = lines[0].split("\t") if lines else []
        if len(fields) == 5:
            # A conffile line is "path md5", with "obsolete" or "remove-on-upgrade" behind when the package gave it up.
            words = (line.split() for line in lines[1:])
            found.append(Package(*fields, conffiles={word[0]: word[1] for word in words if len(word) == 2}))
    return found


def packages(context) -> list | None:
    """All packages that dpkg knows; None on a host without dpkg."""
    def ask():
        ran = context.run("dpkg-query", "-W", "-f", _FORMAT, timeout=8)
        return None if ran.missing else parse_packages(ran.out)
    return context.once("dpkg", ask)


def parse_ucf(text: str) -> dict:
    """``{path: md5 as shipped}`` of ucf(1)'s hash file, which some packages (Dovecot's) use instead of conffiles."""
    return {path: digest for digest, _blank, path in (line.partition("  ") for line in text.splitlines()) if path.startswith("/")}


def conffiles(context) -> dict:
    """``{path: md5 as shipped}`` of every package's configuration files."""
    found = parse_ucf(context.read("/var/lib/ucf/hashfile") or "")
    found.update((path, digest) for package in packages(context) or [] for path, digest in package.conffiles.items())
    return found


def broken(known: list) -> list:
    """The packages that an interrupted run left behind, as ``dpkg --audit`` lists them."""
    whole = ("installed", "not-installed", "config-files")
    return [package for package in known if package.status not in whole or package.flag != "ok"]


def parse_log(text: str, source: str, since: float) -> list:
    """``[{time_epoch, action, package, from, to, source}]`` of dpkg.log since ``since``; its times are local."""
    found = []
    for line in text.splitlines():
        match = _LOG_LINE.match(line)
        if not match or not matters(match.group(8)):
            continue
        epoch = time.mktime(tuple(int(number) for number in match.groups()[:6]) + (0, 0, -1))
        if epoch >= since:
            action, name, before, after = match.groups()[6:]
            versions = [None if version == "<none>" else clean(version, 120) for version in (before, after)]
            found.append({"time_epoch": int(epoch), "action": action, "package": clean(name.split(":")[0], 120), "from": versions[0], "to": versions[1],
                          "source": source})
    return [entry for entry in found if entry["action"] != "configure"]


def md5_of(path: str) -> str | None:
    """The MD5 of a file as dpkg records it; None when it cannot be read."""
    try:
        with open(path, "rb") as stream:
            digest = hashlib.md5(usedforsecurity=False)
            for chunk in iter(lambda: stream.read(262144), b""):
                digest.update(chunk)
            return digest.hexdigest()
    except OSError:
        return None


def _listed(package: Package, read) -> dict:
    """``{path: md5}`` of a package's files that are no conffiles."""
    for name in (package.name, package.plain):
        text = read(f"{INFO}/{name}.md5sums", 1024 * 1024)
        if text is not None:
            return {"/" + path: digest for digest, _blank, path in (line.partition("  ") for line in text.splitlines()) if path}
    return {}


def parse_diversions(text: str) -> dict:
    """``{path: (where its file is put instead, the package that wants it so)}`` of dpkg's diversions: three lines each (dpkg-divert(1))."""
    lines = text.splitlines()
    return {path: (aside, package) for path, aside, package in zip(lines[::3], lines[1::3], lines[2::3])}


def _installed_at(package: Package) -> float | None:
    for name in (package.name, package.plain):
        try:
            return os.stat(f"{INFO}/{name}.list").st_mtime
        except OSError:
            continue
    return None


def installed_epoch(package: Package) -> int | None:
    """When the package's present version was unpacked."""
    moment = _installed_at(package)
    return None if moment is None else int(moment)


def _is_program(path: str) -> bool:
    # Scripts and libraries beside the programs have a suffix.
    return path.startswith(_PROGRAMS) and "." not in os.path.basename(path)


def verify(package: Package, read, until: float) -> list:
    """``[(path, problem)]`` of a package's files: missing, changed, not executable; what ``dpkg -V`` finds, without the documentation.

    A file that nobody touched since it was unpacked is not read: its change time says so. Ends at ``until`` (monotonic seconds).
    """
    unpacked = _installed_at(package) or 0.0
    diverted = parse_diversions(read("/var/lib/dpkg/diversions", 1024 * 1024) or "")
    found = []
    for path, digest in _listed(package, read).items():
        aside, wanted_by = diverted.get(path, (path, package.plain))
        path = path if wanted_by == package.plain else aside
        if path.startswith(("/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/", "/usr/share/lintian/")):
            continue
        if time.monotonic() > until:
            raise TimeoutError("not all files were compared")
        try:
            state = os.stat(path)
        except FileNotFoundError:
            found.append((path, "missing"))
            continue
        except OSError:
            continue
        if _is_program(path) and stat.S_ISREG(state.st_mode) and not state.st_mode & 0o111:
            found.append((path, "not executable"))
        elif max(state.st_ctime, state.st_mtime) > unpacked + 60:
            now = md5_of(path)
            if now is not None and now != digest:
                found.append((path, "changed"))
    return found


def changed_conffiles(package: Package) -> list:
    """``[(path, problem)]``: configuration files of a package that are missing or differ from the shipped ones."""
    found = []
    for path, digest in package.conffiles.items():
        if not os.path.lexists(path):
            if os.access(os.path.dirname(path), os.X_OK):
                found.append((path, "missing"))
        else:
            now = md5_of(path)
            if now is not None and now != digest:
                found.append((path, "changed"))
    return found
