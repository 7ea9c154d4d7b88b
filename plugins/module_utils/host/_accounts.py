"""Accounts as /etc/passwd and /etc/group hold them, and what their owner may do with a path.

The files are read directly: name services may be the very thing that hangs.
"""
from __future__ import annotations

import functools
import os
import stat
from dataclasses import dataclass

from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_ACL = "system.posix_acl_access"


@dataclass(frozen=True)
class Account:
    """One line of passwd(5); ``groups`` are all its numeric groups."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str
    groups: frozenset


@dataclass(frozen=True)
class Accounts:
    """Accounts by name, and the names of numeric ids."""

    users: dict
    groups: dict

    @functools.cached_property
    def _by_uid(self) -> dict:
        # The first of several names for one number is the one that tools show.
        return {account.uid: account for account in reversed(list(self.users.values()))}

    @functools.cached_property
    def _by_gid(self) -> dict:
        return {number: name for name, number in reversed(list(self.groups.items()))}

    def user_name(self, uid: int) -> str:
        return self._by_uid[uid].name if uid in self._by_uid else str(uid)

    def group_name(self, gid: int) -> str:
        return self._by_gid.get(gid, str(gid))

    def uid(self, text: str) -> int | None:
        """The numeric id of a user given by name or number; None when there is none."""
        if text.isdigit():
            return int(text)
        return self.users[text].uid if text in self.users else None

    def gid(self, text: str) -> int | None:
        return int(text) if text.isdigit() else self.groups.get(text)

    def groups_of(self, uid: int) -> frozenset:
        return self._by_uid[uid].groups if uid in self._by_uid else frozenset()


def parse_accounts(passwd: str, group: str) -> Accounts:
    """Read passwd(5) and group(5); lines that are none are skipped."""
    groups, members = {}, {}
    for line in group.splitlines():
        fields = line.split(":")
        if len(fields) >= 4 and fields[2].isdigit():
            groups[fields[0]] = int(fields[2])
            for member in filter(None, fields[3].split(",")):
                members.setdefault(member, set()).add(int(fields[2]))
    users = {}
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) >= 7 and fields[2].isdigit() and fields[3].isdigit():
            gid = int(fields[3])
            users[fields[0]] = Account(fields[0], int(fields[2]), gid, fields[5], fields[6], frozenset(members.get(fields[0], set()) | {gid}))
    return Accounts(users, groups)


def accounts(context) -> Accounts:
    """The host's own accounts, read once."""
    def ask():
        return parse_accounts(*(context.read(path, 4 * 1024 * 1024) or "" for path in ("/etc/passwd", "/etc/group")))
    return context.once("accounts", ask)


def _has_acl(path: str) -> bool:
    try:
        return _ACL in os.listxattr(path)
    except OSError:
        return False


def permits(state: os.stat_result, uid: int, groups, want: int) -> bool:
    """Whether the mode bits give ``want`` (4 read, 2 write, 1 search, added up) to a user; root may all."""
    if uid == 0:
        return True
    shift = 6 if state.st_uid == uid else 3 if state.st_gid in groups else 0
    return (state.st_mode >> shift) & want == want


def obstacles(path: str, uid: int, groups, want: int = os.R_OK) -> list:
    """The parts of ``path`` at which a user is stopped, from the root on. Access lists may allow more than mode bits say: they count as allowed.

    Raises FileNotFoundError for a missing path and PermissionError when we may not look ourselves.
    """
    real = os.path.realpath(path)
    parts = [part for part in real.split("/") if part]
    places = ["/" + "/".join(parts[:number]) for number in range(len(parts) + 1)]
    return [place for place in places if not permits(os.stat(place), uid, groups, want if place == places[-1] else os.X_OK) and not _has_acl(place)]


def obstacle(path: str, uid: int, groups, want: int = os.R_OK) -> str | None:
    """The first of ``obstacles``, or None."""
    return next(iter(obstacles(path, uid, groups, want)), None)


def rights(path: str, state: os.stat_result, known: Accounts) -> dict:
    """``{path, owner, group, mode}`` for people."""
    return {"path": clean(path), "owner": known.user_name(state.st_uid), "group": known.group_name(state.st_gid), "mode": f"{stat.S_IMODE(state.st_mode):04o}"}
