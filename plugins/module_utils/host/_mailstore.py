"""Where mailboxes lie, which there are, and whether their owners can use them."""
from __future__ import annotations

import glob
import os
import re
import stat
import time
from collections import Counter
from dataclasses import dataclass

from ansible_collections.mailops.outage.plugins.module_utils.host import _mail
from ansible_collections.mailops.outage.plugins.module_utils.host._accounts import obstacle, permits, rights
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_MOST_MAILBOXES = 5000
_MOST_ENTRIES = 100
_MOST_PROBLEMS = 20
_PATIENCE = 2.0
# Where mail lies in a home by the usual settings.
_OTHER_NAMES = ("Maildir", "mail", ".maildir", "mdbox", "sdbox", "dbox", "Mail")
_PEOPLE = range(1000, 60000)


@dataclass(frozen=True)
class Store:
    """Where mail lies: ``pattern`` is a glob over all mailboxes, or empty when each lies in its owner's home under ``inside``."""

    root: str
    pattern: str = ""
    inside: str = ""
    owner: str = ""
    source: str = ""


@dataclass(frozen=True)
class Mailbox:
    """One mailbox and the user that must be able to use it; ``uid`` is None when only its neighbours can tell."""

    path: str
    uid: int | None


def split_location(value: str):
    """``(driver, path)`` of Dovecot's mail_location; an mbox store is told by its INBOX."""
    driver, _colon, rest = value.partition(":")
    path, *more = rest.split(":")
    if driver == "mbox":
        path = next((option[len("INBOX="):] for option in more if option.startswith("INBOX=")), path)
    return driver, path


def to_glob(path: str) -> str:
    """A path whose parts with variables (``%d``, ``%{user}``) match anything."""
    return "/".join("*" if "%" in part else glob.escape(part) for part in path.split("/"))


def fixed_part(path: str) -> str:
    """The part of a path before its first variable."""
    kept = []
    for part in path.split("/"):
        if "%" in part:
            break
        kept.append(part)
    return "/".join(kept).rstrip("/") or "/"


def static_fields(arguments: str) -> dict:
    """``{uid, gid, home}`` of the arguments of Dovecot's static user database."""
    return dict(word.split("=", 1) for word in arguments.split() if "=" in word)


def homes_in(text: str):
    """``(home pattern, uid)`` of a passwd-file's users (user:password:uid:gid:gecos:home:…): a path with ``%u`` where homes differ."""
    rows = [line.split(":") for line in text.splitlines() if not line.startswith("#")]
    rows = [row for row in rows[:_MOST_MAILBOXES] if len(row) > 5 and row[5].startswith("/")]
    if not rows:
        return "", ""
    parts = list(zip(*(row[5].strip("/").split("/") for row in rows)))
    pattern = "/" + "/".join(names[0] if len(set(names)) == 1 and len(rows) > 1 else "%u" for names in parts)
    uids = {row[2] for row in rows}
    return (pattern if len(rows) > 1 else os.path.dirname(rows[0][5]) + "/%u"), uids.pop() if len(uids) == 1 else ""


def _home(values: dict, read):
    """``(home pattern, owner)`` of virtual users; empty ones when users have the homes of their accounts."""
    home, owner = values.get("mail_home", ""), values.get("mail_uid", "")
    for name, driver in sorted(values.items()):
        if re.match(r"userdb\.[^.]+\.driver$", name) and driver in ("static", "passwd-file", "sql", "ldap"):
            prefix = name[:-len("driver")]
            words = " ".join(values.get(prefix + key, "") for key in ("args", "default_fields", "override_fields"))
            fields = static_fields(words)
            home, owner = home or fields.get("home", ""), fields.get("uid", "") or owner
            if driver == "passwd-file" and not home:
                home, uid = homes_in(next((read(word) or "" for word in words.split() if word.startswith("/") and "%" not in word), ""))
                owner = uid or owner
    return home, owner


def locate(imap: dict, mta: dict, read=lambda path: None) -> Store | None:
    """The mail store by Dovecot's settings, else by Postfix's; None when neither says. ``read(path)`` gives a user file's text or None."""
    location = imap.get("mail_location", "") or (f"{imap.get('mail_driver', 'maildir')}:{imap['mail_path']}" if imap.get("mail_path") else "")
    if location:
        _driver, path = split_location(location)
        home, owner = _home(imap, read)
        path = re.sub(r"^(?:%h|%\{home\})(?=/|$)", "~", path)
        if not path.startswith("~"):
            return Store(fixed_part(path), to_glob(path), owner=owner, source="doveconf mail_location")
        if home:
            whole = home.rstrip("/") + path[1:]
            return Store(fixed_part(home), to_glob(whole), owner=owner, source="doveconf userdb home")
        return Store("/home", inside=path[1:].strip("/"), source="doveconf mail_location")
    if mta.get("virtual_mailbox_base") and mta.get("virtual_mailbox_maps"):
        owner = re.sub(r"^static:", "", mta.get("virtual_uid_maps", ""))
        return Store(mta["virtual_mailbox_base"], mta["virtual_mailbox_base"].rstrip("/") + "/*/*", owner=owner, source="postconf virtual_mailbox_base")
    if mta.get("home_mailbox"):
        return Store("/home", inside=mta["home_mailbox"].strip("/"), source="postconf home_mailbox")
    if mta.get("mail_spool_directory"):
        return Store(mta["mail_spool_directory"].rstrip("/"), to_glob(mta["mail_spool_directory"].rstrip("/") + "/%u"), source="postconf mail_spool_directory")
    return None


def store(context) -> Store | None:
    """The mail store of this host, found once."""
    names = ("virtual_mailbox_base", "virtual_mailbox_maps", "virtual_uid_maps", "home_mailbox", "mail_spool_directory")

    def ask():
        return locate(_mail.imap_settings(context), {name: _mail.parameter(context, name) for name in names}, context.read)
    return context.once("mail store", ask)


def _people(known) -> list:
    return [account for account in known.users.values() if account.uid in _PEOPLE and account.home.startswith("/")]


def mailboxes(place: Store, known, most: int = _MOST_MAILBOXES) -> list:
    """The mailboxes of a store that may exist, each with its user; at most ``most``."""
    if place.pattern:
        uid = known.uid(place.owner) if place.owner else None
        found = []
        for path in glob.iglob(place.pattern):
            if path.endswith(".lock"):
                continue
            account = known.users.get(os.path.basename(path)) if uid is None else None
            found.append(Mailbox(path, account.uid if account else uid))
            if len(found) >= most:
                break
        return found
    homes = {account.home.rstrip("/"): account.uid for account in _people(known)}
    # Accounts of a directory server are not in passwd: there the home's owner tells.
    for path in glob.iglob(place.root.rstrip("/") + "/*"):
        if path not in homes and len(homes) < most:
            try:
                state = os.stat(path)
            except OSError:
                continue
            if stat.S_ISDIR(state.st_mode):
                homes[path] = state.st_uid
    return [Mailbox(os.path.join(home, place.inside), uid) for home, uid in sorted(homes.items())][:most]


def _usable(state: os.stat_result, uid: int, groups) -> bool:
    """Whether a user may do all that mail needs: files are replaced, folders searched and written."""
    return permits(state, uid, groups, 7 if stat.S_ISDIR(state.st_mode) else 6)


def _unseen(path: str, problem: str, expected: str) -> dict:
    """An entry of ``permissions`` for a path of which owner and mode are not to be had."""
    return {"what": "mailbox", "path": clean(path), "problem": problem, "owner": None, "group": None, "mode": None, "expected": expected}


def problem_of(box: Mailbox, known) -> dict | None:
    """What keeps a mailbox's user from it: an entry of ``permissions``, or None. Raises FileNotFoundError, PermissionError."""
    groups = known.groups_of(box.uid)
    user = known.user_name(box.uid)
    state = os.stat(box.path)
    looked = [(box.path, state)]
    if stat.S_ISDIR(state.st_mode):
        with os.scandir(box.path) as entries:
            for entry in entries:
                # Folders, and the index and list files beside them; messages are not looked at one by one.
                # dovecot-uidvalidity.* is read-only by design.
                if entry.name in ("cur", "new", "tmp") or (entry.name.startswith((".", "dovecot")) and not entry.name.startswith("dovecot-uidvalidity")):
                    looked.append((entry.path, entry.stat(follow_symlinks=False)))
                if len(looked) >= _MOST_ENTRIES:
                    break
    for path, found in looked:
        if stat.S_ISLNK(found.st_mode) or _usable(found, box.uid, groups):
            continue
        owner = known.user_name(found.st_uid)
        text = f"owned by {owner}, used by {user}" if found.st_uid != box.uid else f"{user} has no full access to it"
        return dict(rights(path, found, known), what="mailbox", problem=clean(text), expected=f"owner {user}")
    stop = obstacle(box.path, box.uid, groups, 1 if stat.S_ISDIR(state.st_mode) else 4)
    if stop:
        return dict(rights(stop, os.stat(stop), known), what="mailbox", problem=f"{user} may not pass", expected="searchable by " + user)
    return None


def _newest(path: str) -> float:
    """When something last came into or left a mailbox: the youngest change of its folders."""
    moments = [0.0]
    for name in ("", "new", "cur", "storage"):
        try:
            moments.append(os.stat(os.path.join(path, name) if name else path).st_mtime)
        except OSError:
            continue
    return max(moments)


def sweep(place: Store, known, patience: float = _PATIENCE) -> dict:
    """Look at all mailboxes for at most ``patience`` seconds: ``{mailboxes, newest, problems, hidden, complete}``.

    When more than half, and at least two, are unusable, it is the store that is wrong: one entry says so instead.
    """
    until = time.monotonic() + patience
    boxes = mailboxes(place, known)
    majority = _majority(boxes) if any(box.uid is None for box in boxes) else None
    count, newest, problems, hidden, complete = 0, 0.0, [], 0, len(boxes) < _MOST_MAILBOXES
    for box in boxes:
        if time.monotonic() > until:
            complete = False
            break
        box = box if box.uid is not None else Mailbox(box.path, majority)
        try:
            problem = problem_of(box, known) if box.uid is not None else None
            count += 1
        except (FileNotFoundError, NotADirectoryError):
            gone = _missing_home(box, place, known)
            if gone:
                problems.append(gone)
            continue
        except PermissionError:
            hidden += 1
            continue
        except OSError as trouble:
            problem = _unseen(box.path, clean(trouble.strerror), "")
        newest = max(newest, _newest(box.path))
        if problem:
            problems.append(problem)
    wrong = sum(1 for problem in problems if problem["owner"] is not None)
    root = _root_problem(place, known)
    if root:
        problems = [root]
    elif wrong >= 2 and wrong * 2 > count:
        stops = Counter(problem["path"] for problem in problems)
        first = next(problem for problem in problems if problem["path"] == stops.most_common(1)[0][0])
        problems = [dict(first, what="mailstore", problem=clean(f"{wrong} of {count} mailboxes: {first['problem']}"))]
    return {"mailboxes": count + hidden, "newest": newest or None, "problems": problems[:_MOST_PROBLEMS], "hidden": hidden, "complete": complete}


def _root_problem(place: Store, known) -> dict | None:
    """What keeps all users out at once: a root of the store that the one who owns all mail, or anybody at all, may not pass."""
    uid = known.uid(place.owner) if place.owner else next((account.uid for account in _people(known)), None)
    if uid is None:
        return None
    try:
        stop = obstacle(place.root, uid, known.groups_of(uid), os.X_OK)
    except OSError:
        return None
    if stop is None:
        return None
    user = place.owner or "everybody"
    return dict(rights(stop, os.stat(stop), known), what="mailstore", problem=clean(f"{user} may not pass"), expected=f"searchable by {user}")


def _majority(boxes: list) -> int | None:
    """The owner of most mailboxes, when at least three are there to tell."""
    owners: Counter = Counter()
    for box in boxes[:200]:
        try:
            owners[os.stat(box.path).st_uid] += 1
        except OSError:
            continue
    top = owners.most_common(1)
    return top[0][0] if top and sum(owners.values()) >= 3 and top[0][1] * 2 > sum(owners.values()) else None


def holds_mail(path: str) -> bool:
    """Whether a mailbox of any kind holds a message: a Maildir's folders, a dbox's storage, or an mbox file."""
    if os.path.isfile(path):
        return os.path.getsize(path) > 0
    for name in ("cur", "new", "storage", "mailboxes/INBOX/dbox-Mails"):
        try:
            with os.scandir(os.path.join(path, name)) as entries:
                if any(entry.is_file(follow_symlinks=False) for entry in entries):
                    return True
        except OSError:
            continue
    return False


def abandoned(place: Store, known, since: float, patience: float = _PATIENCE) -> list:
    """Where mail lies that the present setting does not look at, although it was in use after ``since``: ``[{path, text}]``.

    Told only when it is so for most of those who have mail at all. What an old migration left behind is older, and one folder of one user is nothing.
    """
    name = place.inside or os.path.basename(place.pattern)
    if not name or "*" in name:
        return []
    others = [other for other in _OTHER_NAMES if other != name.split("/")[0]]
    until = time.monotonic() + patience
    elsewhere: Counter = Counter()
    users = 0
    for box in mailboxes(Store(place.root, os.path.dirname(place.pattern)) if place.pattern else place, known):
        if time.monotonic() > until:
            return []
        home = box.path if place.pattern else box.path[:-len(name)]
        found = next((other for other in others if holds_mail(os.path.join(home, other)) and _newest(os.path.join(home, other)) >= since), None)
        elsewhere.update([found] if found else [])
        users += bool(found) or holds_mail(os.path.join(home, name))
    if sum(elsewhere.values()) * 2 <= users:
        return []
    homes = os.path.dirname(place.pattern) if place.pattern else place.root.rstrip("/") + "/*"
    return [{"path": clean(f"{homes}/{other}"), "text": clean(f"{count} of {users} users have mail in {other}, but it is looked for in {name}")}
            for other, count in elsewhere.most_common(3)]


def _missing_home(box: Mailbox, place: Store, known) -> dict | None:
    """A person's account whose home is not there, although homes of others are."""
    if not place.inside:
        return None
    home = box.path[:-len(place.inside)].rstrip("/")
    account = next((account for account in _people(known) if account.home.rstrip("/") == home), None)
    if account is None or os.path.dirname(home) != place.root or os.path.lexists(home):
        return None
    return _unseen(home, "the home directory is missing", f"owner {account.name}")
