"""What changed on the host of late: configuration files, restarts, reboots, commits; and which service has not read its files since."""
from __future__ import annotations

import json
import os
import re
import stat

from ansible_collections.mailops.outage.plugins.module_utils.host import _dpkg, _processes
from ansible_collections.mailops.outage.plugins.module_utils.host._when import iso, window
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_DAYS = 7
_MOST_WALKED = 2000
_MOST_FILES = 100
_TREES = ("/etc/postfix", "/etc/dovecot", "/etc/exim4", "/etc/opendkim", "/etc/dkimkeys", "/etc/rspamd", "/etc/amavis", "/etc/postgrey", "/etc/sasldb2",
          "/etc/ssl/mail", "/etc/mailtls", "/etc/pam.d", "/etc/fail2ban", "/etc/systemd/system", "/etc/letsencrypt/live", "/etc/default", "/etc/rsyslog.d")
_FILES = ("/etc/opendkim.conf", "/etc/opendmarc.conf", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/fstab", "/etc/aliases", "/etc/aliases.db",
          "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/mailname", "/etc/hostname", "/etc/nftables.conf", "/etc/rsyslog.conf", "/etc/network/interfaces",
          "/etc/sysctl.conf")
_BACKUP = re.compile(r"(?:\.dpkg-(?:old|dist|new|bak)|\.ucf-(?:old|dist)|\.bak|\.orig|\.old|\.save|\.rpm(?:save|new|orig)|~)$")
# systemd's own message ids (sd-messages(3)): a unit started, stopped, failed, was reloaded.
_MESSAGES = {
    "39f53479d3a045ac8e11786248231fbf": "started", "9d1aaa27d60140bd96365438aad20286": "stopped", "be02cf6855d2428ba40df7e9d022f03d": "failed to start",
    "d9b373ed55a64feb8242e02dbe79a49c": "failed", "7b05ebc668384222baa8881179cfda54": "reloaded",
}
_ASKED = re.compile(r"\s*(\S+) : .*COMMAND=\S*/((?:systemctl|service|postfix|doveadm|apt|apt-get|dpkg)\b.*)")
_MAIL_UNIT = re.compile(
    r"^(?:postfix|dovecot|exim4|opendkim|opendmarc|rspamd|amavis|clamav|spamassassin|spamd|postgrey|postsrsd|saslauthd|fail2ban|slapd|mariadb|mysql"
    r"|postgresql|bind9|named|unbound|rsyslog|systemd-resolved|nftables|redis)\b")
_OWN_FILES = {"postfix": ("/etc/postfix",), "dovecot": ("/etc/dovecot",), "exim": ("/etc/exim4",),
              "opendkim": ("/etc/opendkim.conf", "/etc/opendkim", "/etc/dkimkeys"), "rspamd": ("/etc/rspamd",)}


def _walk(context) -> list:
    """``[(path, lstat)]`` of the configuration files, backups included. A link counts as itself: enabling and masking a unit make one."""
    found = []
    waiting = [path for path in _TREES + _FILES if os.path.lexists(path)]
    while waiting and len(found) < _MOST_WALKED:
        path = waiting.pop()
        try:
            state = os.lstat(path)
            if stat.S_ISDIR(state.st_mode):
                waiting += [f"{path}/{name}" for name in os.listdir(path)]
            elif stat.S_ISREG(state.st_mode) or stat.S_ISLNK(state.st_mode):
                found.append((path, state))
        except PermissionError:
            context.cannot_see(path, "permission denied")
        except OSError:
            continue
    return found


def recent(files: list, since: float, short: float) -> list:
    """The files whose contents changed since ``since``, newest first, and those whose owner, mode or name did since ``short``.

    A change time shared by many files is a restored or unpacked tree: such files are left out.
    """
    written = {path: state.st_mtime for path, state in files if state.st_mtime >= since}
    touched = [(path, state) for path, state in files if path not in written and state.st_ctime >= short]
    if len(touched) <= 20:
        written.update({path: state.st_ctime for path, state in touched})
    return sorted(written.items(), key=lambda item: (-item[1], item[0]))


def _files(context, files: list) -> list:
    since, _until = window(context, _DAYS)
    short, _until = window(context)
    states = dict(files)
    shipped = _dpkg.conffiles(context)
    found = []
    for path, moment in recent([item for item in files if not _BACKUP.search(item[0])], since, short)[:_MOST_FILES]:
        state = states[path]
        found.append({
            "path": clean(path), "mtime": iso(state.st_mtime), "mtime_epoch": int(state.st_mtime), "changed_epoch": int(moment),
            "ctime_epoch": int(state.st_ctime), "size": state.st_size,
            "package_conffile_changed": _dpkg.md5_of(path) != shipped[path] if path in shipped else None,
        })
    return found


def backups_of(changed, everything) -> list:
    """The copies that stand next to changed files: ``main.cf.bak``, ``main.cf.dpkg-old``, ``main.cf~``."""
    names = set(changed)
    return sorted(path for path in everything if _BACKUP.search(path) and _BACKUP.sub("", path) in names)[:50]


def parse_journal(text: str) -> list:
    """``[{unit, action, time, time_epoch, by, source}]`` of journalctl's JSON lines, oldest first.

    ``by`` names who asked for it with sudo within the half minute before. The command itself is not kept.
    """
    found, asked = [], []
    for line in text.splitlines():
        try:
            entry = json.loads(line)
            epoch = int(entry["__REALTIME_TIMESTAMP"]) / 1000000
        except (ValueError, KeyError, TypeError, OverflowError):
            continue
        message = entry.get("MESSAGE")
        if entry.get("_COMM") == "sudo":
            match = _ASKED.match(message) if isinstance(message, str) else None
            asked += [(epoch, match.group(1), match.group(2))] if match else []
            continue
        unit, action = entry.get("UNIT"), _MESSAGES.get(str(entry.get("MESSAGE_ID")))
        if isinstance(unit, str) and action and _MAIL_UNIT.match(unit):
            name = re.split(r"[@.]", unit)[0]
            by = next((who for moment, who, words in reversed(asked) if 0 <= epoch - moment < 30 and (name in words or re.match(r"(?:apt|dpkg)", words))), None)
            found.append({"unit": clean(unit, 120), "action": action, "time": iso(epoch), "time_epoch": int(epoch),
                          "by": f"sudo by {clean(by, 64)}" if by else None, "source": "journalctl"})
    return found


def _restarts(context) -> list:
    since, until = window(context)
    matches = [f"MESSAGE_ID={identity}" for identity in _MESSAGES]
    ran = context.run("journalctl", "-q", "--no-pager", "-n", "500", "-o", "json", "--output-fields=UNIT,MESSAGE,MESSAGE_ID,_COMM",
                      f"--since=@{since:.0f}", f"--until=@{until:.0f}", *matches, "+", "_COMM=sudo", timeout=5)
    if not ran.ok:
        context.cannot_see("journal", "; ".join(ran.complaints(1)) or "not there")
    elif "insufficient permissions" in ran.err:
        context.cannot_see("journal", "insufficient permissions")
    return parse_journal(ran.out)[-100:]


def _not_read(context, files: list, restarts: list) -> list:
    """Configuration files that changed after their service started or was reloaded by systemd. A reload by the software's own command is not known here."""
    found = []
    for process in _processes.masters(context):
        started = _processes.started(process)
        trees = _OWN_FILES.get(process.software)
        if not trees or started is None:
            continue
        read = max([started] + [entry["time_epoch"] for entry in restarts if entry["action"] == "reloaded" and entry["unit"].startswith(process.software)])
        own = [(state.st_mtime, path) for path, state in files if path.startswith(trees) and not _BACKUP.search(path)]
        later = sorted((entry for entry in own if entry[0] > read + 1), reverse=True)
        found += [{"service": process.software, "path": clean(path), "mtime_epoch": int(moment), "started_epoch": int(started)} for moment, path in later[:5]]
    return found


def parse_log(text: str) -> list:
    """``[{commit, time, author, subject}]`` of ``git log`` with fields between NULs."""
    found = []
    for line in text.splitlines():
        fields = line.split("\0")
        if len(fields) == 4:
            found.append({"commit": clean(fields[0], 40), "time": iso(fields[1]) if fields[1].isdigit() else None, "author": clean(fields[2], 120),
                          "subject": clean(fields[3], 200)})
    return found


def _history(context) -> dict:
    """The last commits of /etc, where etckeeper or somebody keeps it in Git."""
    if not os.path.isdir("/etc/.git"):
        return {"kind": "none", "last": []}
    ran = context.run("git", "-c", "safe.directory=/etc", "-C", "/etc", "log", "-n", "5", "--no-color", "--format=%h%x00%ct%x00%an%x00%s", timeout=4,
                      env={"GIT_OPTIONAL_LOCKS": "0"})
    if not ran.ok:
        context.cannot_see("/etc/.git", "; ".join(ran.complaints(1)) or "git is not there")
    return {"kind": "etckeeper" if os.path.isdir("/etc/etckeeper") else "git", "last": parse_log(ran.out)}


def collect(context) -> dict:
    """Recent changes, newest first."""
    since, until = window(context, _DAYS)
    files = _walk(context)
    changed = _files(context, files)
    restarts = _restarts(context) if os.path.isdir("/run/systemd/system") else []
    boot = _processes.boot_epoch()
    return {
        "files": changed,
        "reboots": [{"time": iso(boot), "time_epoch": int(boot)}] if boot is not None and since <= boot <= until else [],
        "restarts": restarts,
        "config_newer_than_service": _not_read(context, files, restarts),
        "history": _history(context),
        "backups": [clean(path) for path in backups_of([entry["path"] for entry in changed], [path for path, _state in files])],
    }
