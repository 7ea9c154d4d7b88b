"""The mailbox where canaries arrive: waiting for one, and deleting it again.

A box is somebody's mailbox and may hold 200,000 messages: only what came since ``open`` is looked at, and of a message that may be
somebody else's only a few header fields. Deleted is one message at a time, after two looks at it that found our token.
"""
from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass

from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.wire.message import CANARY, MARKS, is_marked, sent_at, split, token_of
from ansible_collections.mailops.outage.plugins.module_utils.wire.session import Answer
from ansible_collections.mailops.outage.plugins.module_utils.wire.transport import Stopped

INBOX = b"INBOX"
_JUNK = (b"junk", b"spam", b"junk e-mail", b"junk email", b"bulk mail")
_MOST_JUNK = 3
_FIELDS = b"BODY.PEEK[HEADER.FIELDS (" + " ".join(MARKS).upper().encode("ascii") + b")]"
_MOST_BYTES = 256 * 1024
_WHOLE = b"BODY.PEEK[]<0.%d>" % _MOST_BYTES
# New messages up to which their fields are fetched; above it the server searches.
_FEW = 200
# How far back, in UIDs and in messages, left-overs are looked for, and how many are deleted at once.
_SWEEP_UIDS, _SWEEP_MESSAGES, _MOST_SWEPT = 1000, 30, 50
# POP3 messages looked at from the newest, besides those that are new.
_RECENT = 20
# Seconds of waiting in which new mail is asked for (NOOP) and not waited for (IDLE): told mail is late mail, for Dovecot gathers changes for half a
# second before it tells. Half a minute costs some 220 NOOPs, each a fifth of a millisecond of work; who waits longer can wait that half second, too.
_BRISK = 30.0
_BROKEN = ("silent", "timeout", "closed", "reset", "unreachable")
_MOST_REOPENED = 3


@dataclass(frozen=True)
class Copy:
    """One arrived message. ``uid`` counts within ``folder`` and ``validity``; of POP3 it is the unique-id."""

    folder: str
    uid: object
    raw: bytes
    validity: int | None = None
    where: bytes = INBOX

    @property
    def is_junk(self) -> bool:
        return self.where != INBOX


def _pause(began: float, most: float) -> float:
    """Seconds until the next look: short at first, and a quarter of the waiting so far. Also where the server tells of new mail, for it tells
    of one folder, and some forget to."""
    return min(most, max(0.08, (time.monotonic() - began) / 4))


def _brief(began: float) -> float:
    """Seconds until the next NOOP: a tenth, less at first, and a hundredth of a long waiting."""
    waited = time.monotonic() - began
    return max(0.03, min(waited / 8, max(0.1, waited / 100)))


def _tolerant(ask, otherwise):
    """The answer of ``ask()``, or ``otherwise`` when the server refuses: for what a canary can do without."""
    try:
        return ask()
    except Stopped as stop:
        if stop.outcome in _BROKEN:
            raise
        return otherwise


class ImapBox:
    """``visit(steps)`` makes the Visit of a new session; ``junk`` names the junk folders (None: found out); ``poll`` are the seconds between
    looks where IDLE is not offered, and between looks at the junk folders. Every method raises Stopped."""

    def __init__(self, visit, junk=None, poll: float = 5.0):
        self._make = visit
        self._junk = junk
        self._poll = poll
        self._visit = None
        self._selected = (b"", None)
        self._base = {}
        self._size = 0
        self._following = None
        self._reopened = 0
        self._can_idle = self._woken = False

    def open(self, sweep=None) -> list[dict]:
        """Log in, and remember where new mail begins. With ``sweep`` = (our senders, epoch) left-overs from before the epoch are deleted first.

        Returns what was swept: [{token, folder, sent_epoch}].
        """
        self._enter()
        visit = self._visit
        visit.ask("mailbox", lambda: self._select(INBOX))
        self._base[INBOX] = self._following or self._after_last()
        self._size = visit.session.exists
        for folder in _tolerant(self._junk_folders, []):
            following = _tolerant(lambda folder=folder: visit.patient().next_uid(folder), None)
            if following is not None:
                self._base[folder] = following
        return _tolerant(lambda: self._sweep(*sweep), []) if sweep else []

    def close(self, problem: Stopped | None = None) -> None:
        """Log out, unless ``problem`` is that the session broke."""
        if self._visit is not None:
            self._visit.__exit__(None, problem, None)
            self._visit = None

    def wait(self, token: str, until: float) -> list[Copy]:
        """The copies of the message as soon as there is one, or none at ``until`` (monotonic). A session that breaks is begun again."""
        began = time.monotonic()
        while True:
            try:
                found, grown = self._look(token)
                if found or time.monotonic() >= until:
                    return found
                if not grown:
                    self._rest(began, min(_pause(began, self._poll), until - time.monotonic()))
            except Stopped as stop:
                self._again(stop, until)

    def copies(self, token: str) -> list[Copy]:
        """All copies that are there now."""
        return self._look(token, everywhere=True)[0]

    def delete(self, found: list[Copy], token: str) -> int:
        """Delete these copies, each only after SEARCH and a look at its fields both found ``token``. Returns how many are gone."""
        gone = 0
        for copy in found:
            self._open_folder(copy.where)
            if self._selected == (copy.where, copy.validity):
                gone += self._remove(copy.uid, token, lambda fields: is_marked(fields, token))
        return gone

    def _enter(self):
        visit = self._make()
        visit.__enter__()
        self._visit = visit
        # What is offered may grow with the login.
        visit.ask("capabilities", visit.session.capabilities)
        self._can_idle = "IDLE" in visit.session.offered

    def _again(self, stop, until):
        """A session that broke while waiting is begun anew; the baseline holds as long as UIDVALIDITY does."""
        self._reopened += 1
        if stop.outcome not in _BROKEN or self._reopened > _MOST_REOPENED or time.monotonic() >= until:
            raise stop
        self._visit.stream.close()
        validity = self._selected[1]
        time.sleep(min(0.1 * self._reopened, max(0.0, until - time.monotonic())))
        self._enter()
        self._select(INBOX)
        if self._selected[1] != validity:
            self._base[INBOX] = max(1, (self._following or self._after_last()) - _FEW)

    def _select(self, folder) -> Answer:
        answer, self._following, validity = self._visit.patient().select(folder)
        self._selected = (folder, validity)
        return answer

    def _after_last(self):
        """UIDNEXT of the open folder, from a server that does not say it."""
        return max(self._visit.patient().fetch(b"*", _FIELDS), default=0) + 1 if self._visit.session.exists else 1

    def _open_folder(self, folder):
        if self._selected[0] != folder:
            self._select(folder)

    def _junk_folders(self):
        if self._junk is not None:
            return [name.encode("ascii") for name in self._junk][:_MOST_JUNK]
        listed = self._visit.patient().folders()
        return [name for attributes, separator, name in listed if name.isascii() and name.upper() != INBOX and "\\NOSELECT" not in attributes
                and ("\\JUNK" in attributes or name.split(separator.encode("ascii") or None)[-1].lower() in _JUNK)][:_MOST_JUNK]

    def _look(self, token, everywhere=False):
        """(copies, whether mail came meanwhile): in the inbox, and in a junk folder that has grown."""
        found = []
        # On the way from IDLE to the message that it announced, the junk folders can wait.
        for folder in [name for name in self._base if name != INBOX and (everywhere or not self._woken)]:
            following = self._visit.patient().next_uid(folder)
            if following is None or following > self._base[folder]:
                self._open_folder(folder)
                found += self._new(folder, token)
        if found and not everywhere:
            return found, False
        self._open_folder(INBOX)
        session = self._visit.session
        before = session.exists
        found += self._new(INBOX, token)
        return found, session.exists > before

    def _new(self, folder, token):
        session, since = self._visit.patient(), self._base[folder]
        if folder == INBOX and session.exists - self._size > _FEW:
            marked = [uid for uid in session.search(b"UID %d:* HEADER %s %s" % (since, CANARY.encode("ascii"), token.encode("ascii"))) if uid >= since]
        else:
            # "n:*" means the last message where nothing is as new as n (RFC 3501 section 6.4.8).
            fetched = session.fetch(b"%d:*" % since, _FIELDS)
            marked = [uid for uid, head in fetched.items() if uid >= since and is_marked(split(head)[0], token)]
        whole = self._visit.patient().fetch(b",".join(b"%d" % uid for uid in marked), _WHOLE) if marked else {}
        return [Copy(clean(folder, 100), uid, raw, self._selected[1], folder) for uid, raw in sorted(whole.items())]

    def _rest(self, began, seconds):
        """Until mail comes into the open folder, or ``seconds`` are over."""
        session, until = self._visit.session, time.monotonic() + seconds
        session.grown = False
        while not session.grown and time.monotonic() < until:
            brisk = time.monotonic() < began + _BRISK
            if brisk or not self._idle(until - time.monotonic()):
                time.sleep(max(0.0, min(_brief(began) if brisk else seconds, until - time.monotonic())))
                self._visit.patient().ask(b"NOOP")
        self._woken = session.grown

    def _idle(self, seconds):
        """Whether the server could be waited for."""
        if self._can_idle:
            try:
                self._visit.patient().idle(seconds, self._visit.options["step"])
            except Stopped as stop:
                if stop.outcome != "reject":
                    raise
                self._can_idle = False
        return self._can_idle

    def _sweep(self, senders, before):
        """Delete what interrupted runs left in the inbox and the junk folders."""
        swept = []
        for folder, following in self._base.items():
            self._open_folder(folder)
            since = max(1, following - _SWEEP_UIDS)
            uids = self._visit.patient().search(b"UID %d:* HEADER %s \"\"" % (since, CANARY.encode("ascii"))) if self._visit.session.exists else []
            heads = self._visit.patient().fetch(b",".join(b"%d" % uid for uid in uids[:_MOST_SWEPT]), _FIELDS) if uids else {}
            for uid, head in heads.items():
                fields = split(head)[0]
                token, sent = token_of(fields, senders), sent_at(fields)
                if token and sent is not None and sent < before and self._remove(uid, token, lambda fields, token=token: token_of(fields, senders) == token):
                    swept.append({"token": token, "folder": clean(folder, 100), "sent_epoch": int(sent)})
        self._open_folder(INBOX)
        return swept

    def _remove(self, uid, token, is_ours) -> bool:
        session, number = self._visit.patient(), b"%d" % uid
        if not self._is_found(session, number, uid, token):
            return False
        head = session.fetch(number, _FIELDS).get(uid)
        if head is None or not is_ours(split(head)[0]):
            return False
        session.ask(b"UID STORE " + number + b" +FLAGS.SILENT (\\Deleted)")
        if "UIDPLUS" in session.offered:
            session.ask(b"UID EXPUNGE " + number)
        elif session.search(b"DELETED") == [uid]:
            # Without UIDPLUS an EXPUNGE takes all marked messages: never those that somebody else marked.
            session.ask(b"EXPUNGE")
        else:
            return False
        return True

    @staticmethod
    def _is_found(session, number, uid, token):
        """Whether SEARCH finds ``token`` in this message; a server that indexes at leisure gets three tries."""
        for _attempt in range(3):
            for name, value in ((CANARY, token), ("Message-ID", f"mailops.{token}@"), ("Subject", token)):
                if session.search(b"UID %s HEADER %s %s" % (number, name.encode("ascii"), value.encode("ascii"))) == [uid]:
                    return True
            time.sleep(0.1)
        return False


def _is_small(size: bytes) -> bool:
    return size.isdigit() and len(size) <= 10 and int(size) <= _MOST_BYTES


class Pop3Box:
    """As ImapBox, with a session for every look: a POP3 session sees what was there when it began. ``with turn():`` holds the lock that all
    who read this mailbox share, for a server lets in one at a time."""

    def __init__(self, visit, turn, poll: float = 5.0):
        self._make = visit
        self._turn = turn
        self._poll = poll
        self._count = 0
        self._strange = set()

    def open(self, sweep=None) -> list[dict]:
        with self._session() as visit:
            visit.ask("mailbox", lambda: self._stat(visit))
            return self._sweep(visit, *sweep) if sweep else []

    def close(self, problem: Stopped | None = None) -> None:
        """Nothing is held open."""

    def wait(self, token: str, until: float) -> list[Copy]:
        began = time.monotonic()
        while True:
            try:
                with self._session([]) as visit:
                    found = self._found(visit, token)
                if found or time.monotonic() >= until:
                    return found
            except Stopped as stop:
                # login_unavailable: somebody else is in, or the server wants fewer logins.
                if stop.outcome not in _BROKEN + ("login_unavailable",) or time.monotonic() >= until:
                    raise
            # A look is a whole login here.
            time.sleep(max(0.0, min(2 * _pause(began, self._poll), until - time.monotonic())))

    def copies(self, token: str) -> list[Copy]:
        with self._session([]) as visit:
            return self._found(visit, token)

    def delete(self, found: list[Copy], token: str) -> int:
        """Delete these copies, each only where its unique-id is the same and TOP shows ``token``."""
        wanted = {copy.uid for copy in found}
        with self._session([]) as visit:
            session, gone = visit.session, 0
            for number in self._numbers(visit):
                if visit.patient().number_of(b"UIDL", number) in wanted and is_marked(self._head(visit, number), token):
                    session.delete(number)
                    gone += 1
            return self._updated(visit, gone)

    @contextmanager
    def _session(self, steps=None):
        with self._turn(), self._make(steps) as visit:
            yield visit

    def _stat(self, visit):
        answer, count = visit.session.mailbox()
        self._count = count or 0
        return answer

    def _numbers(self, visit, back=_RECENT):
        """Message numbers, newest first, from where new ones may be."""
        count = visit.patient().mailbox()[1] or 0
        return range(count, max(0, min(self._count, count) - back, count - _FEW), -1)

    @staticmethod
    def _head(visit, number):
        return split(visit.patient().text(b"TOP %d 0" % number))[0]

    def _found(self, visit, token):
        found = []
        for number in self._numbers(visit):
            uid = visit.patient().number_of(b"UIDL", number)
            if uid in self._strange:
                continue
            if not is_marked(self._head(visit, number), token):
                self._strange.add(uid)
            elif _is_small(visit.patient().number_of(b"LIST", number)):
                found.append(Copy("INBOX", uid, visit.patient().text(b"RETR %d" % number)))
        return found

    def _sweep(self, visit, senders, before):
        swept = []
        for number in self._numbers(visit, _SWEEP_MESSAGES):
            fields = self._head(visit, number)
            token, sent = token_of(fields, senders), sent_at(fields)
            if token and sent is not None and sent < before and len(swept) < _MOST_SWEPT and token_of(self._head(visit, number), senders) == token:
                visit.patient().delete(number)
                swept.append({"token": token, "folder": "INBOX", "sent_epoch": int(sent)})
        self._count -= self._updated(visit, len(swept))
        return swept

    @staticmethod
    def _updated(visit, gone):
        if gone:
            visit.patient().update()
        return gone
