"""What a repair may do at all. Every step is held against this list before it is taken, whoever wrote the remedy.

No step deletes, bounces or expires mail, opens a relay, weakens TLS, login or filters, or touches SSH, the firewall or accounts.
A command that is not on the list is refused: whoever adds a remedy adds its commands here, where they are read together.
"""
from __future__ import annotations

import fnmatch
import os
import re

_UNIT = r"[A-Za-z0-9@:_.\\-]+\.(?:service|socket|mount|automount|timer|target)"
_QUEUE_ID = r"[A-Za-z0-9]{6,30}"
_TABLE = r"(?:hash|btree|lmdb|cdb|dbm):/etc/[A-Za-z0-9@_./+-]+"
_MOUNT = r"/[A-Za-z0-9@_./+-]*"
_PACKAGE = r"[a-z0-9][a-z0-9+.-]*(?::[a-z0-9]+)?(?:=[A-Za-z0-9.+~:-]+)?"
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
    r"apt-get -q -y update",
    rf"apt-get -q -y(?: -o Dpkg::Options::=--force-conf(?:def|old))*(?: --(?:reinstall|allow-downgrades|only-upgrade|no-install-recommends|no-remove))*"
    rf" install(?: {_PACKAGE})+",
    r"dpkg --force-confdef --force-confold -i(?: /[A-Za-z0-9_.+%~/-]+\.deb)+",
    rf"dnf -q -y(?: --security)? (?:upgrade|reinstall|downgrade|install)(?: {_PACKAGE})+",
))

# SSH, the firewall, and what bans addresses: a repair that stops them locks people out, or lets others in.
_GUARDED = re.compile(r"(?:sshd?(?:@.*)?|nftables|ip6?tables|firewalld|ufw|netfilter-persistent|fail2ban|crowdsec|sshguard)\.\w+")

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
_SECRET = re.compile(r"((?:pass(?:word|wd)?|secret|credentials?|api_?key|bind_pw|dnpass)\s*[=:]\s*)\S.*", re.IGNORECASE)


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


def check_file(path: str) -> None:
    """Raises Harmful unless a remedy may write there."""
    if os.path.normpath(path) != path or not any(fnmatch.fnmatchcase(path, pattern) for pattern in _CONFIG) \
            or any(fnmatch.fnmatchcase(path, pattern) for pattern in _NEVER):
        raise Harmful("a repair writes only configuration of the mail software")


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


def without_secrets(line: str) -> str:
    """A line of configuration or output without the value of a password."""
    return _SECRET.sub(r"\1(hidden)", line)
