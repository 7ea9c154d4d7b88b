"""What a repair may do at all. Every step is held against this list before it is taken, whoever wrote the remedy.

No step deletes, bounces or expires mail, opens a relay, weakens TLS, login or filters, or touches SSH, the firewall or accounts.
A command that is not on the list is refused: whoever adds a remedy adds its commands here, where they are read together.
"""
from __future__ import annotations

import fnmatch
import os
import re

from ansible_collections.mailops.outage.plugins.module_utils.host.packages import concerns_mail

_UNIT = r"[A-Za-z0-9@:_.\\-]+\.(?:service|socket|mount|automount|timer|target)"
_QUEUE_ID = r"[A-Za-z0-9]{6,30}"
_TABLE = r"(?:hash|btree|lmdb|cdb|dbm):/etc/[A-Za-z0-9@_./+-]+"
_MOUNT = r"/[A-Za-z0-9@_./+-]*"
# apt-get(8): a minus at the end of a word removes that package.
_DEB = r"(?:[a-z0-9][a-z0-9+.-]*[a-z0-9]=[A-Za-z0-9.+~:-]*[A-Za-z0-9.+~]|/var/cache/apt/archives/[a-z0-9][a-z0-9+.-]+_[A-Za-z0-9.+~%-]+_[a-z0-9-]+\.deb)"
_RPM = r"[A-Za-z0-9][A-Za-z0-9+._-]*-(?:\d+:)?[A-Za-z0-9.+~^_]+-[A-Za-z0-9.+~^_]+"
_PATIENCE = r"-o Acquire::Retries=1 -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10"
_USER = r"[A-Za-z0-9][A-Za-z0-9._+@-]*"

# Programs with the arguments that they may have, as one line each.
ALLOWED = tuple(re.compile(line) for line in (
    rf"systemctl (?:start|restart|reload|try-reload-or-restart|reload-or-restart|unmask|unmask --runtime|enable|enable --now|reset-failed) {_UNIT}",
    rf"systemctl kill --kill-whom=all --signal=(?:CONT|TERM|KILL) {_UNIT}",
    r"systemctl daemon-reload", r"systemctl disable --now mailops-contain\.timer",
    r"postfix (?:reload|start|set-permissions)",
    rf"(?:postmap|postalias) {_TABLE}", r"newaliases",
    r"postqueue -f", rf"postsuper(?: -h {_QUEUE_ID})+", rf"postsuper(?: -H {_QUEUE_ID})+",
    r"doveadm reload", rf"doveadm kick {_USER}", rf"doveadm force-resync -u {_USER} (?:INBOX|\*)",
    r"update-exim4\.conf",
    rf"mount {_MOUNT}", rf"mount -o remount,rw {_MOUNT}",
    # Only the whole configuration: a file below logrotate.d misses the defaults, and without them (rotate 0) the rotated log is deleted.
    r"logrotate --force /etc/logrotate\.conf", r"apt-get clean", r"dnf -q -y clean packages", r"journalctl --vacuum-size=\d+[KMGT]",
    r"dpkg --force-confdef --force-confold --configure -a",
    rf"apt-get -q -y {_PATIENCE} update",
    # Exact versions, nothing removed, every configuration file kept; check_command looks at the names.
    rf"apt-get -q -y {_PATIENCE} -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold --no-remove --no-install-recommends"
    rf"(?: --(?:reinstall|only-upgrade|allow-downgrades))?(?: --download-only)? install(?: {_DEB})+",
    r"dnf -q -y --refresh makecache",
    rf"dnf -q -y --setopt=install_weak_deps=False (?:upgrade|reinstall|downgrade|install)(?: {_RPM})+",
))

# SSH, the firewall, and what bans addresses: a repair that stops them locks people out, or lets others in.
_GUARDED = re.compile(r"(?:sshd?(?:@.*)?|nftables|ip6?tables|firewalld|ufw|netfilter-persistent|fail2ban|crowdsec|sshguard)\.\w+")

# What may be added to a command's environment: no questions, no replaced configuration, no restarts by needrestart.
ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "UCF_FORCE_CONFFOLD": "1", "NEEDRESTART_SUSPEND": "1", "APT_LISTCHANGES_FRONTEND": "none", "HOME": "/root"}

# Where a remedy may write, and where it may not although it lies below.
_CONFIG = ("/etc/postfix/*", "/etc/dovecot/*", "/etc/exim4/*", "/etc/opendkim/*", "/etc/opendkim.conf", "/etc/rspamd/*", "/etc/amavis/*", "/etc/clamav/*",
           "/etc/postgrey/*", "/etc/aliases", "/etc/aliases.db", "/etc/mailname", "/etc/default/opendkim", "/etc/default/postgrey", "/etc/default/exim4",
           "/etc/ssl/mail/*", "/etc/systemd/system/*.d/*.conf", "/var/spool/postfix/etc/*", "/etc/systemd/system/mailops-contain.*")
# The only files that a remedy deletes: its own.
_OWN = ("/etc/systemd/system/mailops-contain.service", "/etc/systemd/system/mailops-contain.timer")
_NEVER = ("/etc/ssh*", "*/ssh.service*", "*/sshd.service*", "*/nftables*", "*/.mailops*")
# What Dovecot makes anew from the mail itself (never dovecot-uidlist, keywords or subscriptions).
_INDEX = re.compile(r".*/dovecot\.(?:index(?:\.log(?:\.2)?|\.cache|\.thread)?|list\.index(?:\.log(?:\.2)?)?)")
# Where no mail lies, and somebody's whole home.
_NO_TREE = re.compile(r"/(?:bin|boot|dev|etc|lib\w*|proc|root|run|sbin|sys|usr)(?:/|$)|/var/(?:backups|cache|log|run|tmp)(?:/|$)"
                      r"|/var/lib/(?:apt|dpkg|ldap|mailops|mysql|postgresql|systemd)(?:/|$)|/var/(?:lib|spool)/?$|/home/[^/]+/?$")


class Harmful(Exception):
    """A step that this project does not take."""


def check_command(argv) -> None:
    """Raises Harmful unless the command, with all its arguments, is one that a repair may run."""
    if any(not isinstance(word, str) or re.search(r"[\s\0]", word) or not word for word in argv):
        raise Harmful("an argument is empty or holds white space")
    line = " ".join(argv)
    if not any(pattern.fullmatch(line) for pattern in ALLOWED):
        raise Harmful("this command is not among those that a repair may run")
    if any(_GUARDED.fullmatch(word) for word in argv):
        raise Harmful("a repair never touches SSH or the firewall")
    for name in _packages(argv):
        # A damaged library is reinstalled; nothing else about it is changed.
        if not concerns_mail(name) and not (name.startswith("lib") and any(word in ("--reinstall", "reinstall") for word in argv)):
            raise Harmful("a repair changes packages of the mail software only")


def _packages(argv) -> list:
    """The names of the packages that a package manager is given."""
    if "install" in argv and argv[0] == "apt-get":
        return [re.split("[=_]", os.path.basename(word))[0] for word in argv[argv.index("install") + 1:]]
    if argv[0] == "dnf" and len(argv) > 4:
        return [word.rsplit("-", 2)[0] for word in argv[5:]]
    return []


def check_environment(pairs) -> None:
    """Raises Harmful for anything in a command's environment that is not on the list."""
    if any(ENVIRONMENT.get(name) != value for name, value in pairs):
        raise Harmful("this environment is not among those that a repair may set")


def check_file(path: str) -> None:
    """Raises Harmful unless a remedy may write there."""
    if os.path.normpath(path) != path or not any(fnmatch.fnmatchcase(path, pattern) for pattern in _CONFIG) \
            or any(fnmatch.fnmatchcase(path, pattern) for pattern in _NEVER):
        raise Harmful("a repair writes only configuration of the mail software")


def may_write(path: str) -> bool:
    """Whether ``check_file`` lets a remedy write there."""
    try:
        check_file(path)
    except Harmful:
        return False
    return True


def check_removal(path: str) -> None:
    """Raises Harmful unless the file is one that this project put there."""
    if path not in _OWN:
        raise Harmful("a repair deletes nothing but its own files")


def check_move(path: str, to: str) -> None:
    """Raises Harmful unless ``path`` is configuration or one of Dovecot's indexes, and stays in its folder."""
    if os.path.dirname(path) != os.path.dirname(to):
        raise Harmful("a repair moves nothing to another folder")
    if not (_INDEX.fullmatch(path) and os.path.normpath(path) == path):
        check_file(path)


def check_owner(path: str, mode: int) -> None:
    """Raises Harmful for a mode that lets everybody write, or everybody read a key, and for paths that are not mail's."""
    if os.path.normpath(path) != path or any(fnmatch.fnmatchcase(path, pattern) for pattern in _NEVER) or path.count("/") < 2:
        raise Harmful("this path is not mail's")
    if mode & 0o002 and not mode & 0o1000 and not path.startswith(("/var/spool/postfix/public/", "/var/spool/postfix/private/")):
        raise Harmful("a repair lets nobody write who is neither owner nor group")
    if mode & 0o004 and re.search(r"(?:\.key|\.private|privkey[^/]*\.pem|[._-]key\.pem)$", path):
        raise Harmful("a repair never makes a key readable for everybody")


def check_tree(path: str, uid: int) -> None:
    """Raises Harmful unless ``path`` is a folder in which mail may lie, and ``uid`` not root: no mail is given to it."""
    check_owner(path, 0o700)
    if _NO_TREE.match(path) or uid == 0:
        raise Harmful("a repair gives only mail to another owner, and none to root")
