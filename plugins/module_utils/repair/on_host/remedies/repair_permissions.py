"""Give back owners and modes that keep mail from moving: of the queue, of keys and user files, of sockets, and of mailboxes.

What is right is told by the package's own table (postfix-files), by the configuration, and by the known-good snapshot. Nothing is
opened further than the program that needs it: a key never gets readable for everybody, nor anything writable. The rights of a key
and of the mail store itself are guards: they are opened to what the snapshot knows of them, or by a person.
"""
from __future__ import annotations

import os
import shlex
import stat
from collections import Counter
from types import SimpleNamespace

from ansible_collections.mailops.outage.plugins.module_utils.host import _mailstore, _permissions, certificates, dovecot, known_good, postfix, storage
from ansible_collections.mailops.outage.plugins.module_utils.host._accounts import accounts, obstacles, permits
from ansible_collections.mailops.outage.plugins.module_utils.host._bounded import within
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import trees
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Own, OwnTree, Refused
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

OPTIONS = {"paths": {"type": "list", "elements": "str", "default": []}}
# Entries of `_permissions` that owner and mode do not mend.
_NOT_OURS = ("missing", "account")
_PATIENCE = 120.0


def steps(context, options):
    """``paths``: only these, and what lies below them; a path of which the snapshot knows another owner or mode gets that back."""
    wanted = [os.path.normpath(path) for path in options["paths"]]
    known = accounts(context)
    for problem in _permissions.problems(context):
        if problem["what"] == "account":
            raise Refused(f"{problem['problem']}: everything in the queue would belong to nobody. Bring the account back with {problem['expected']}.")
    remembered = _remembered(context, known)
    left: list = []
    done: set = set()
    for step in [*_tables(context, known, remembered), *_readers(context, known, remembered, left), *_open_keys(context, known, remembered),
                 *_sockets(context, known), *_mail(context, known, remembered, left), *_named(wanted, remembered)]:
        if _is_wanted(step.path, wanted) and (type(step), step.path) not in done:
            done.add((type(step), step.path))
            yield step
    left += [(problem["path"], f"{problem['path']} is missing") for problem in _permissions.problems(context) if problem["problem"] in _NOT_OURS]
    sentences = [text for path, text in left if _is_wanted(path, wanted)]
    if sentences:
        raise Refused(f"Owner and mode do not mend all: {'; '.join(sentences[:5])}.")


def _is_wanted(path: str, wanted: list) -> bool:
    return not wanted or any(path == name or path.startswith(name.rstrip("/") + "/") for name in wanted)


def _remembered(context, known) -> dict:
    """``{path: (uid, gid, mode)}`` of the known-good snapshot, without links and without names that are gone."""
    found = {}
    for path, entry in ((known_good.collect(context).get("manifest") or {}).get("files") or {}).items():
        uid, gid = known.uid(entry["owner"]), known.gid(entry["group"])
        if "link" not in entry and uid is not None and gid is not None:
            found[path] = (uid, gid, int(entry["mode"], 8))
    return found


def _own(path: str, state, target: tuple, because: str) -> Own:
    return Own(path, *target, because=because,
               undo=f"chown {state.st_uid}:{state.st_gid} {shlex.quote(path)}; chmod {stat.S_IMODE(state.st_mode):04o} {shlex.quote(path)}")


def _state(path: str):
    try:
        state = os.lstat(path)
    except OSError:
        return None
    return None if stat.S_ISLNK(state.st_mode) else state


def _pretended(target: tuple, state):
    """The state that a path would have with other rights."""
    return SimpleNamespace(st_uid=target[0], st_gid=target[1], st_mode=stat.S_IFMT(state.st_mode) | target[2])


# The queue and its programs.

def _tables(context, known, remembered: dict) -> list:
    entries = _permissions.exim_table(known) + (_permissions.postfix_table(context, known) if os.path.exists("/usr/sbin/postqueue") else [])
    found = []
    for entry in entries:
        state = _state(entry["path"])
        if state is None or stat.S_ISDIR(state.st_mode) != (entry["type"] == "d"):
            continue
        problem = _permissions.complaint(entry, state, known)
        if problem:
            found.append(_own(entry["path"], state, table_rights(entry, state, known, remembered.get(entry["path"])), problem))
        owner = known.uid(entry["owner"])
        if "r" in entry["flags"] and owner:
            found += _tree(entry["path"], owner, None, False, f"{entry['owner']} must own all that is queued", only_below=True)
    return found


def table_rights(entry: dict, state, known, remembered: tuple | None) -> tuple:
    """``(uid, gid, mode)`` for an entry of postfix-files: those of the snapshot when they fit the table, else what there is, with the least change."""
    if remembered and not _permissions.complaint(entry, _pretended(remembered, state), known):
        return remembered
    uid = known.uid(entry["owner"])
    gid = known.gid(entry["group"]) if entry["group"] else None
    mode = stat.S_IMODE(state.st_mode)
    # Distributions take the write bits of programs away.
    if entry["type"] == "f":
        mode = (mode & 0o755 & ~0o222) | 0o2111
    elif mode & entry["mode"] != entry["mode"] or mode & 0o002:
        mode = entry["mode"] | mode & 0o7000
    return uid, state.st_gid if gid is None else gid, mode


def _tree(path: str, uid: int, gid, let_in: bool, because: str, only_below: bool = False) -> list:
    """A step for a tree in which something is wrong. ``only_below``: the folder itself has a step of its own."""
    try:
        found = trees.survey(path, uid, let_in)
        itself = only_below and os.lstat(path).st_uid != uid
    except OSError:
        return []
    if found["wrong"] <= itself:
        return []
    former = found["owners"].most_common(1)
    owner = f"{former[0][0][0]}:{former[0][0][1]}" if former else ""
    back = [f"chown -h -R {owner} {shlex.quote(path)}"] if owner else []
    back += [f"chmod {mode:04o} {shlex.quote(os.path.join(path, place) if place else path)}" for place, mode in found["opened"]]
    mixed = ", but for what the record names" if len(found["owners"]) > 1 or found["modes"] > len(found["opened"]) else ""
    return [OwnTree(path, uid, gid, because, let_in=let_in, undo="; ".join(back) + mixed)]


# What one program must read, and nobody else.

def _readers(context, known, remembered: dict, left: list) -> list:
    found = []
    imap = _dovecot_values(context)
    if imap:
        named = imap.get("service.auth.user", "")
        reader = named if named and "$" not in named else imap.get("default_internal_user") or "dovecot"
        for path in _permissions.user_files(imap):
            found += _admit(path, reader, known, remembered, left)
    mta = postfix.settings(context)
    for entry in postfix.collect(context)["maps"] if mta else []:
        if entry["readable"] is False:
            used = entry["compiled_path"] or entry["path"]
            found += _admit(used, mta["mail_owner"], known, remembered, left)
    for path, user in _permissions.dkim_keys(context):
        found += _admit(path, user, known, remembered, left, key=True)
    return found


def _dovecot_values(context) -> dict:
    return (dovecot.settings(context) or {}).get("values") or {}


def _admit(path: str, user: str, known, remembered: dict, left: list, key: bool = False) -> list:
    """The steps that let ``user`` read ``path``, by the snapshot's rights or by the user's own group."""
    account = known.users.get(user)
    if account is None:
        return []
    try:
        stops = obstacles(path, account.uid, account.groups)
    except OSError:
        return []
    found = []
    for place in stops:
        state = os.stat(place)
        target = reader_rights(place, state, account, remembered.get(place), key)
        if target is None or place.count("/") < 2:
            left.append((path, f"{user} may not pass {place}; see what else uses it before you open it"))
        else:
            found.append(_own(place, state, target, f"{user} cannot read {path}"))
    return found


def reader_rights(place: str, state, account, remembered: tuple | None, key: bool) -> tuple | None:
    """``(uid, gid, mode)`` with which an account may read a file or pass a folder; None when that is for a person: it would take it from another group, it
    would open more than there was when mail last worked, or a key of which that is not known.

    Only the owner's and the group's bits are added, never everybody's.
    """
    folder = stat.S_ISDIR(state.st_mode)
    want = os.X_OK if folder else os.R_OK
    if remembered and key and not folder:
        remembered = (*remembered[:2], remembered[2] & ~0o007)
    if remembered or key:
        return remembered if remembered and permits(_pretended(remembered, state), account.uid, account.groups, want) else None
    mode = stat.S_IMODE(state.st_mode)
    if state.st_uid == account.uid:
        return state.st_uid, state.st_gid, mode | want << 6
    if state.st_gid not in (0, account.gid) and mode & 0o070:
        return None
    return state.st_uid, account.gid, mode | want << 3


def _open_keys(context, known, remembered: dict) -> list:
    """Private keys that more than their owner and group may read: opendkim then refuses to work (opendkim.conf(5), RequireSafeKeys)."""
    found = []
    for path, user in _permissions.dkim_keys(context):
        state = _state(path)
        if state is not None and state.st_mode & 0o007:
            found.append(_own(path, state, key_rights(state, known.users.get(user), remembered.get(path)), "a key that is open to everybody is refused"))
    for pair in certificates.configured(context):
        state, former = _state(pair.key), remembered.get(pair.key)
        # Who else reads a key of TLS is not known here; that it was closed while mail worked is.
        if state is not None and former and state.st_mode & 0o007 and not former[2] & 0o007:
            found.append(_own(pair.key, state, former, "a key that is open to everybody; it was not when mail last worked"))
    return found


def key_rights(state, account, remembered: tuple | None) -> tuple:
    """``(uid, gid, mode)`` of a DKIM key that is closed to others and, where there is such an ``account``, readable for it."""
    if remembered and not remembered[2] & 0o007:
        return remembered
    mode = stat.S_IMODE(state.st_mode) & ~0o007 & ~0o020
    if account is None:
        return state.st_uid, state.st_gid, mode
    if state.st_uid == account.uid:
        return state.st_uid, state.st_gid, 0o600
    if state.st_gid == account.gid and mode & 0o040:
        return state.st_uid, state.st_gid, mode
    return account.uid, account.gid, 0o600


def _sockets(context, known) -> list:
    """Sockets of Dovecot that the user whom its configuration names cannot use: a chown of the queue took them along."""
    found = []
    for entry in dovecot.listeners((dovecot.settings(context) or {}).get("pairs", [])):
        account = known.users.get(entry["user"] or "")
        state = _state(entry["path"]) if entry["path"] and account else None
        if state is None or not stat.S_ISSOCK(state.st_mode) or permits(state, account.uid, account.groups, 6):
            continue
        gid = known.gid(entry["group"]) if entry["group"] else state.st_gid
        mode = int(entry["mode"], 8) if entry["mode"] else stat.S_IMODE(state.st_mode)
        target = (account.uid, state.st_gid if gid is None else gid, mode)
        if permits(_pretended(target, state), account.uid, account.groups, 6):
            found.append(_own(entry["path"], state, target, f"Dovecot's configuration gives it to {entry['user']}"))
    return found


# The mailboxes.

def _mail(context, known, remembered: dict, left: list) -> list:
    """The steps for the mail store; it may lie on a mount that never answers."""
    try:
        return within(_PATIENCE, _store, context, known, remembered, left)
    except TimeoutError:
        raise Refused(f"The mail store did not answer within {_PATIENCE:g} s; look at its mount first.") from None


def _store(context, known, remembered: dict, left: list) -> list:
    place = _mailstore.store(context)
    if place is None:
        return []
    boxes, wrong = _unwell(place, known)
    uid = known.uid(place.owner) if place.owner else None
    shut: list = []
    root = _root(place, uid, known, remembered, shut)
    if not wrong and not root and not (shut and uid):
        return []
    gone = _not_mounted(context, place)
    if gone:
        raise Refused(f"{gone} is not mounted: what lies at {place.root} is not the mail store, and opening it would let new mail go astray. Mount it first.")
    if not boxes:
        raise Refused(f"There is no mailbox below {place.root}: see whether the mail store is mounted.")
    left += shut
    many = len(wrong) > 1 and len(wrong) * 2 > len(boxes)
    if many:
        _see_that_it_is_not_the_configuration(wrong, known, place, remembered)
    found = list(root)
    if many and uid:
        tops = dict.fromkeys(f"{place.root.rstrip('/')}/{os.path.relpath(box.path, place.root).split('/')[0]}" for box in wrong)
        for top in tops:
            found += _tree(top, uid, _gid(uid, known), True, f"{len(wrong)} of {len(boxes)} mailboxes are not usable for {known.user_name(uid)}")
        return found
    for box in wrong:
        found += _box(box, place, known, left)
    return found


def _unwell(place, known) -> tuple:
    """``(all mailboxes that are there, those that their user cannot use)``."""
    boxes = [box for box in _mailstore.mailboxes(place, known) if os.path.lexists(box.path)]
    wrong = []
    for box in boxes:
        try:
            uid = _owner(box, boxes, place, known)
            # Root's is nobody's mailbox.
            if uid and _mailstore.problem_of(_mailstore.Mailbox(box.path, uid), known):
                wrong.append(_mailstore.Mailbox(box.path, uid))
        except OSError:
            continue
    return boxes, wrong


def _owner(box, boxes: list, place, known) -> int | None:
    """The user of a mailbox, when that is sure: mail is given to nobody on a guess."""
    if box.uid is None:
        # Only its neighbours tell, and only of what is root's now.
        owners = {os.lstat(other.path).st_uid for other in boxes if other.path != box.path and os.path.dirname(other.path) == os.path.dirname(box.path)}
        return owners.pop() if len(owners) == 1 and os.lstat(box.path).st_uid == 0 else None
    if place.inside:
        homes = _homes(box, place, known)
        # A home that accounts share is nobody's alone; of one that no account has, its present owner tells.
        if len(homes) > 1 or (not homes and os.lstat(box.path).st_uid != 0):
            return None
    return box.uid


def _homes(box, place, known) -> list:
    """The accounts whose home holds this mailbox."""
    return [account for account in known.users.values() if place.inside and os.path.join(account.home.rstrip("/"), place.inside) == box.path]


def _gid(uid: int, known) -> int | None:
    return next((account.gid for account in known.users.values() if account.uid == uid), None)


def _root(place, uid, known, remembered: dict, left: list) -> list:
    """The root of the store, when those who own mail may not pass it: as the snapshot has it, and else for a person."""
    reader = uid if uid is not None else next((account.uid for account in known.users.values() if account.uid in range(1000, 60000)), None)
    if not reader:
        return []
    groups = known.groups_of(reader)
    try:
        stops = obstacles(place.root, reader, groups, os.X_OK)
    except OSError:
        return []
    found = []
    for stop in stops:
        state = os.stat(stop)
        former = remembered.get(stop)
        if former == (state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)):
            # So it was when mail worked: whoever may not pass need not.
            continue
        if former and stop.count("/") > 1 and permits(_pretended(former, state), reader, groups, os.X_OK):
            found.append(_own(stop, state, former, f"{known.user_name(reader)} may not pass, as it could when mail last worked"))
        else:
            why = "it is not mail's alone" if stop.count("/") < 2 else "it is not known to have been open when mail last worked"
            now = f"{known.user_name(state.st_uid)} {stat.S_IMODE(state.st_mode):04o}"
            left.append((place.root, f"{stop} keeps {known.user_name(reader)} out ({now}), and {why}: a person must open it"))
    return found


def _not_mounted(context, place) -> str:
    """The mount point that fstab, or the snapshot, has for the store, and that is not mounted."""
    facts = storage.collect(context)
    if facts["mailstore"]["fstab_says_mount"] and facts["mailstore"]["mounted"] is False:
        return place.root
    mounts = {entry["mount"] for entry in facts["filesystems"]}
    former = (known_good.collect(context).get("manifest") or {}).get("mounts") or {}
    return next((mount for mount in former if mount != "/" and mount not in mounts and (place.root + "/").startswith(mount + "/")), "")


def _see_that_it_is_not_the_configuration(wrong: list, known, place, remembered: dict) -> None:
    """Raises Refused when most mailboxes belong to one and the same other account: then the setting of the owner changed, not the mail."""
    owners = Counter(os.lstat(box.path).st_uid for box in wrong)
    owner, count = owners.most_common(1)[0]
    if owner != 0 and count * 2 > len(wrong) and known.user_name(owner) != str(owner) and len({box.uid for box in wrong}) == 1:
        raise Refused(f"Most mailboxes belong to {known.user_name(owner)}, not to {known.user_name(wrong[0].uid)}: "
                      f"it looks as if the setting of their owner changed ({place.source}). Use rollback_config.")
    former = remembered.get(place.root)
    if former and former[0] not in (0, wrong[0].uid) and len({box.uid for box in wrong}) == 1:
        raise Refused(f"When mail last worked {place.root} belonged to {known.user_name(former[0])}, not to {known.user_name(wrong[0].uid)}: "
                      f"it looks as if the setting of the owner changed ({place.source}). Use rollback_config.")


def _box(box, place, known, left: list) -> list:
    """One mailbox and the folders between it and the root that stop its user: the whole tree of the mailbox, only the folders themselves."""
    user = known.user_name(box.uid)
    found = []
    for stop in obstacles(box.path, box.uid, known.groups_of(box.uid), os.X_OK if os.path.isdir(box.path) else os.R_OK):
        if stop == os.path.realpath(box.path) or not stop.startswith(place.root.rstrip("/") + "/"):
            continue
        state = os.stat(stop)
        if place.owner or stop in (account.home.rstrip("/") for account in known.users.values() if account.uid == box.uid):
            gid = _gid(box.uid, known)
            found.append(_own(stop, state, (box.uid, state.st_gid if gid is None else gid, stat.S_IMODE(state.st_mode) | 0o700), f"{user} may not pass"))
        else:
            left.append((box.path, f"{stop} keeps {user} out, and it is not {user}'s"))
    return found + _tree(box.path, box.uid, _gid(box.uid, known), True, f"the mailbox is not usable for {clean(user, 64)}")


def _named(wanted: list, remembered: dict) -> list:
    """Paths that were asked for by name and have another owner or mode than when mail last worked."""
    found = []
    for path in wanted:
        state, former = _state(path), remembered.get(path)
        if state is not None and former and former != (state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)):
            found.append(_own(path, state, former, "its owner or mode was another when mail last worked"))
    return found
