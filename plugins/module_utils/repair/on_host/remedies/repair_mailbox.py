"""Have Dovecot make the damaged indexes of one user's mailbox anew from the mail itself (doveadm-force-resync(1), doveadm-kick(1)).

Whether an index is damaged is told by doveadm-dump(1), which only reads: opening the mailbox would change it. What Dovecot met and
patched over, or died of, only its log tells.
"""
from __future__ import annotations

import datetime
import glob
import os
import re
import stat
import time

from ansible_collections.mailops.outage.plugins.module_utils.host import _mail, _mailstore, events, storage
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import NOT_TAKEN, Command, Move, Refused, StepFailed
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

OPTIONS = {"user": {"type": "str", "required": True}}

_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,200}")
_NO_USER = 67
# The log is the one that others refer to: it goes last.
_INDEXES = ("dovecot.index", "dovecot.index.cache", "dovecot.index.log.2", "dovecot.index.log")
_DAMAGE = re.compile(r"size=broken|type=unknown|^Panic: |^Error: (?:Corrupted|Deleting corrupted cache|Index .*Lost log)|Can't autodetect file type", re.M)
# What dumps cannot tell: an assertion that fails on opening, and an index that was patched and may now miss messages.
_SIGNATURE = {"program": r"dovecot\S*", "pattern": (
    r"^(?:imap|pop3|lmtp|lda|doveadm|indexer-worker)\((?P<user>)\)(?:<>)*: "
    r"(?:Panic: file (?:mail-(?:index|transaction-log|cache)|maildir|index-)|(?:Error|Warning): (?:Mailbox : )?Fixed index file "
    r"(?P<path>/[^:]+)/dovecot\.index: )")}
_ASIDE = re.compile(r"\.damaged-(\d{8}T\d{6}Z)$")
_MOST_FOLDERS = 2000
_WAIT = 10.0


def steps(context, options):
    """``user``: the login name. Ends the user's sessions, puts damaged indexes aside and has them made anew.

    Mail and the list of unique ids are not touched.
    """
    user = options["user"]
    if not _USER.fullmatch(user):
        raise Refused(f"{clean(user, 80)} is no login name that this remedy takes: letters, digits and . _ + @ - only.")
    known = _account(context, user)
    # As sessions and the log name the user, which is not always how the user logs in (auth_username_format).
    user = known["user"]
    inbox = _inbox_folder(context, user)
    if inbox is None:
        return
    folders = index_folders(inbox)
    damaged = {path: f"the index in {path} is damaged" for path in folders if _is_damaged(context, path)}
    for path, text in _told_by_log(context, known, max(map(repaired_at, folders), default=0.0)).items():
        damaged.setdefault(path if path in folders else inbox, text)
    if not damaged:
        return
    moved = [path for place in damaged for path in _indexes(place)] if keeps_flags_elsewhere(_location(context, known)) else []
    _check_place(list(damaged), moved, known["uid"])
    because = "; ".join(damaged.values())
    if _sessions(context, user):
        ran = yield Command(("doveadm", "kick", user), f"{because}, and it is in use", undo="The user's mail program logs in again by itself")
        if ran is not NOT_TAKEN:
            _wait_until_gone(context, user)
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    for path in moved:
        yield Move(path, f"{path}.damaged-{stamp}", damaged[os.path.dirname(path)], undo=f"mv {path}.damaged-{stamp} {path}")
    ran = yield Command(("doveadm", "force-resync", "-u", user, "INBOX" if list(damaged) == [inbox] else "*"), because,
                        undo="None needed: it is made from the mail", timeout=600.0)
    still = [path for path in damaged if _is_damaged(context, path)] if ran is not NOT_TAKEN else []
    if still:
        raise StepFailed(f"The index in {still[0]} is still damaged after it was made anew; look at the disk and at Dovecot's log.")


def index_folders(folder: str, most: int = _MOST_FOLDERS) -> list:
    """The folders with indexes of one user's mailbox, INBOX's ``folder`` first; in dbox stores those of the folders beside it."""
    top = folder.partition("/mailboxes/")[0] + "/mailboxes" if "/mailboxes/" in folder else folder
    found, walked = [], 0
    for place, names, files in os.walk(top):
        walked += 1
        if walked > most:
            break
        # Messages lie in these, and many.
        names[:] = sorted(name for name in names if name not in ("cur", "new", "tmp") and not os.path.islink(os.path.join(place, name)))
        if any(name in files for name in _INDEXES):
            found.append(place)
    return sorted(found, key=lambda place: (place != folder, place))


def keeps_flags_elsewhere(location: str) -> bool:
    """Whether a mail location keeps read and answered marks in the mail itself, so that an index can be done without; dbox stores keep them in it."""
    return _mailstore.split_location(location)[0].lower() in ("maildir", "mbox")


def repaired_at(folder: str) -> float:
    """Epoch seconds of the last repair, by the names of what was put aside; 0 without one."""
    stamps = [match.group(1) for match in map(_ASIDE.search, glob.iglob(glob.escape(folder) + "/dovecot.index*.damaged-*")) if match]
    if not stamps:
        return 0.0
    return datetime.datetime.strptime(max(stamps), "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()


def is_damage(dumped: str) -> bool:
    """Whether what ``doveadm dump`` says of an index or its log tells of damage."""
    return bool(_DAMAGE.search(dumped))


def _account(context, user: str) -> dict:
    """The fields that Dovecot's user database has of a user. Refused when it has none, or does not answer."""
    ran = context.run("doveadm", "user", user, timeout=10)
    if ran.rc == _NO_USER:
        raise Refused(f"Dovecot knows no user {user}.")
    fields = dict(line.split("\t", 1) for line in ran.out.splitlines() if "\t" in line)
    if not ran.ok or not fields.get("uid", "").isdigit() or not _USER.fullmatch(fields.get("user", user)):
        raise Refused(f"Dovecot's user database does not answer ({'; '.join(ran.complaints(1)) or 'no doveadm'}); put that right first.")
    return {"user": user, **fields, "asked": user, "uid": int(fields["uid"])}


def _inbox_folder(context, user: str) -> str | None:
    """Where the index of the user's INBOX lies; None when it is kept in memory or there is none."""
    ran = context.run("doveadm", "mailbox", "path", "-u", user, "-t", "index", "INBOX", timeout=10)
    if not ran.ok:
        raise Refused(f"Dovecot does not tell where the mailbox of {user} lies: {'; '.join(ran.complaints(1))}.")
    path = os.path.realpath(ran.out.strip()) if ran.out.startswith("/") else ""
    return path if os.path.isdir(path) else None


def _location(context, known: dict) -> str:
    return known.get("mail") or _mail.imap_setting(context, "mail_location") or _mail.imap_setting(context, "mail_driver") + ":"


def _indexes(folder: str) -> list:
    return [path for path in (os.path.join(folder, name) for name in _INDEXES) if os.path.lexists(path)]


def _is_damaged(context, folder: str) -> bool:
    """Whether an index is damaged: Dovecot may be writing to it right now, so one look is not enough."""
    for pause in (0.0, 1.0):
        time.sleep(pause)
        files = [path for path in (os.path.join(folder, name) for name in ("dovecot.index", "dovecot.index.log")) if os.path.isfile(path)]
        said = [context.run("doveadm", "dump", path, timeout=20) for path in files]
        if not any(is_damage(ran.out + "\n" + ran.err) for ran in said):
            return False
    return True


def _told_by_log(context, known: dict, since: float) -> dict:
    """``{folder: what Dovecot's log tells of its index}`` for this user in the window, after ``since``; the folder is empty where it does not say."""
    names = "|".join(re.escape(name) for name in sorted({known["user"], known["asked"]}))
    span = {"since": max(since, context.options.get("since") or 0.0), "until": context.options.get("until") or time.time()}
    seen = events.collect(Context(options={**span, "signatures": {"damage": {**_SIGNATURE, "where": {"user": names}}}}))["matches"].get("damage")
    if not seen or not seen["samples"]:
        return {}
    text = f"Dovecot's log tells of a damaged index: {seen['samples'][-1]['text']}"
    return dict.fromkeys(seen["groups"].get("path") or [""], text)


def _check_place(folders: list, moved: list, uid: int) -> None:
    """Raises Refused where what is to be moved is not the user's own, and where no new index could be written."""
    for path in folders + moved:
        state = os.lstat(path)
        if state.st_uid != uid or not (stat.S_ISDIR(state.st_mode) or stat.S_ISREG(state.st_mode)):
            raise Refused(f"{path} does not belong to the user; set its owner right first (repair_permissions).")
    room = storage.measures(os.statvfs(folders[0]))
    if room["full"] or room["inodes_full"]:
        raise Refused(f"The file system of {folders[0]} is full, so that no new index could be written; make room first.")


def _sessions(context, user: str) -> bool:
    """Whether the user is logged in, by doveadm-who(1), which names users in the first column."""
    ran = context.run("doveadm", "who", "-1", user, timeout=10)
    return any(line.split()[:1] == [user] for line in ran.out.splitlines()[1:])


def _wait_until_gone(context, user: str) -> None:
    until = time.monotonic() + _WAIT
    while _sessions(context, user):
        if time.monotonic() > until:
            raise StepFailed(f"{user} still has sessions {_WAIT:g} s after they were ended; an index in use is not moved.")
        time.sleep(0.2)
