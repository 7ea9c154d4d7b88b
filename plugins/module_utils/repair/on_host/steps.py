"""A remedy as the exact steps that it takes on one host: shown before they are taken, and recorded as they are.

A remedy is a generator that looks at the host, yields steps, and is sent what each one did. Looking changes nothing and needs
no step. In check mode the same generator runs, and every step is taken to have gone well (it is sent NOT_TAKEN).
"""
from __future__ import annotations

import difflib
import hashlib
import os
import shlex
import stat
import time
from dataclasses import dataclass, field

from ansible_collections.mailops.outage.plugins.module_utils.host.context import Ran, run_command
from ansible_collections.mailops.outage.plugins.module_utils import secrets
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import checkpoint, harmless, rollback, trees
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_MOST_DIFF_LINES = 60
# A command of a repair may name some hundred messages, and the record of it is what takes it back.
_MOST_COMMAND = 20000
# What a remedy is sent in check mode: it went well, and changed nothing that could be looked at afterwards.
NOT_TAKEN = Ran(("(not taken)",), 0)


class Refused(Exception):
    """The remedy must not, or cannot, do its work here. The text says why, and what to do instead.

    ``loosens`` names the guards that would be loosened, where that is why.
    """

    def __init__(self, text: str, loosens=()):
        super().__init__(text)
        self.loosens = list(loosens)


class StepFailed(Exception):
    """A step did not do what it should; those before it were taken."""


@dataclass(frozen=True)
class Command:
    """A program with its arguments; ``ok`` are the exit statuses that count as done (None: no end in time), ``timeout`` is in seconds.

    ``env`` are pairs that are added to the environment; ``writes`` are the files that it writes itself, to be kept in the checkpoint before.
    """

    argv: tuple
    because: str
    undo: str = ""
    timeout: float = 60.0
    ok: tuple = (0,)
    env: tuple = ()
    writes: tuple = ()

    def does(self) -> str:
        return " ".join([f"{name}={value}" for name, value in self.env] + list(self.argv))

    def check(self) -> None:
        harmless.check_command(self.argv)
        harmless.check_environment(self.env)

    def take(self) -> Ran:
        ran = run_command(self.argv, self.timeout, env=dict(self.env))
        if ran.missing or ran.rc not in self.ok:
            said = "it is not installed" if ran.missing else f"no end within {self.timeout:g} s" if ran.timed_out else \
                f"exit status {ran.rc}: {clean(' '.join(secrets.masked_lines(ran.err or ran.out, 5)))}"
            raise StepFailed(f"{clean(' '.join(self.argv), 120)}: {said}")
        return ran

    def touches(self) -> dict:
        # What is unmounted in a rollback could hide mail that came meanwhile.
        units = [word for word in self.argv[1:] if self.argv[0] == "systemctl" and word.endswith((".service", ".socket", ".timer"))]
        return {"files": self.writes, "units": units}

    def diff(self) -> dict | None:
        return None


@dataclass(frozen=True)
class Write:
    """A whole file put in place at once. Owner, group and mode are those of the file that is there unless they are given."""

    path: str
    content: bytes = field(repr=False)
    because: str
    undo: str = ""
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None

    def does(self) -> str:
        return f"write {self.path}"

    def check(self) -> None:
        harmless.check_file(self.path)

    def _rights(self) -> dict:
        there = _state(self.path)
        found = {name: _given(given, there and getattr(there, f"st_{name}"), otherwise) for name, given, otherwise in (
            ("uid", self.uid, 0), ("gid", self.gid, 0), ("mode", self.mode, 0o600))}
        return dict(found, mode=stat.S_IMODE(found["mode"]))

    def touches(self) -> dict:
        return {"files": (self.path,), "will": {self.path: dict(self._rights(), sha256=hashlib.sha256(self.content).hexdigest())}}

    def take(self) -> Ran:
        rights = self._rights()
        aside = self.path + ".mailops-new"
        try:
            handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(self.content)
                os.fchown(stream.fileno(), rights["uid"], rights["gid"])
                os.fchmod(stream.fileno(), rights["mode"])
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(aside, self.path)
        except OSError as problem:
            if os.path.lexists(aside):
                os.unlink(aside)
            raise StepFailed(f"{self.does()}: {problem}") from None
        return Ran((self.does(),), 0)

    def mark(self) -> str:
        """The start of the digest of the lines that change, whatever else the file holds."""
        lines = [(text or b"").decode("utf-8", "surrogateescape").splitlines() for text in (_content(self.path), self.content)]
        changed = [line for line in difflib.unified_diff(*lines, lineterm="", n=0) if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        return hashlib.sha256("\n".join(changed).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def diff(self) -> dict | None:
        before = _content(self.path)
        if before == self.content:
            return None
        state = _state(self.path)
        # What only its owner may read is not shown to whoever watches the terminal.
        if (state is not None and not state.st_mode & 0o004) or (self.mode is not None and not self.mode & 0o004):
            return {"before_header": self.path, "after_header": self.path, "prepared": f"{self.path}: not shown, for it may hold secrets\n"}
        lines = [(text or b"").decode("utf-8", "replace").splitlines() for text in (before, self.content)]
        # Masked as a whole file, line by line: what a line is, others before it may tell.
        shown = [secrets.mask_lines(part, self.path) for part in lines]
        changed = [f"--- {self.path}", f"+++ {self.path}"]
        for tag, start, end, new_start, new_end in difflib.SequenceMatcher(None, *lines).get_opcodes():
            if tag != "equal":
                changed += [f"@@ -{_span(start, end)} +{_span(new_start, new_end)} @@"]
                changed += ["-" + line for line in shown[0][start:end]] + ["+" + line for line in shown[1][new_start:new_end]]
        return {"prepared": "\n".join(clean(line, 200) for line in changed[:_MOST_DIFF_LINES]) + "\n"}


@dataclass(frozen=True)
class Move:
    """A file renamed within its folder: what must not be read any more, kept for a person to look at."""

    path: str
    to: str
    because: str
    undo: str = ""

    def does(self) -> str:
        return f"mv {self.path} {self.to}"

    def check(self) -> None:
        harmless.check_move(self.path, self.to)

    def touches(self) -> dict:
        # Dovecot makes its indexes anew by itself; a damaged one is not put back.
        if not harmless.may_write(self.path):
            return {}
        return {"files": (self.path, self.to), "will": {self.path: None, self.to: rollback.describe(self.path)}}

    def take(self) -> Ran:
        try:
            if os.path.lexists(self.to):
                raise StepFailed(f"{self.does()}: {self.to} is there already")
            os.rename(self.path, self.to)
        except OSError as problem:
            raise StepFailed(f"{self.does()}: {problem}") from None
        return Ran((self.does(),), 0)

    def diff(self) -> dict | None:
        return None


@dataclass(frozen=True)
class Remove:
    """A file of our own taken away again."""

    path: str
    because: str
    undo: str = ""

    def does(self) -> str:
        return f"rm {self.path}"

    def check(self) -> None:
        harmless.check_removal(self.path)

    def touches(self) -> dict:
        return {"files": (self.path,), "will": {self.path: None}}

    def take(self) -> Ran:
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        except OSError as problem:
            raise StepFailed(f"{self.does()}: {problem}") from None
        return Ran((self.does(),), 0)

    def diff(self) -> dict | None:
        return None


@dataclass(frozen=True)
class Own:
    """Owner, group and mode of one path, never of what it links to."""

    path: str
    uid: int
    gid: int
    mode: int
    because: str
    undo: str = ""

    def does(self) -> str:
        return f"chown {self.uid}:{self.gid} {self.path}; chmod {self.mode:04o} {self.path}"

    def check(self) -> None:
        harmless.check_owner(self.path, self.mode)

    def touches(self) -> dict:
        return {"owners": (self.path,), "will": {self.path: {"uid": self.uid, "gid": self.gid, "mode": self.mode}}}

    def take(self) -> Ran:
        try:
            # Not by name twice: the path could be replaced by a link in between.
            handle = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            handle = None
        try:
            if handle is not None:
                os.fchown(handle, self.uid, self.gid)
                os.fchmod(handle, self.mode)
            elif stat.S_ISSOCK(os.lstat(self.path).st_mode):
                os.lchown(self.path, self.uid, self.gid)
                os.chmod(self.path, self.mode)
            else:
                raise StepFailed(f"{self.does()}: it is a link, or cannot be opened")
        except OSError as problem:
            raise StepFailed(f"{self.does()}: {problem}") from None
        finally:
            if handle is not None:
                os.close(handle)
        return Ran((self.does(),), 0)

    def diff(self) -> dict | None:
        state = _state(self.path)
        before = "absent" if state is None else f"{state.st_uid}:{state.st_gid} {stat.S_IMODE(state.st_mode):04o}"
        return {"prepared": f"{self.path}: {before} -> {self.uid}:{self.gid} {self.mode:04o}\n"}


@dataclass(frozen=True)
class OwnTree:
    """The owner of a folder and of all below it; what is its owner's already stays as it is. ``gid`` None leaves groups alone.

    ``let_in`` also gives the owner the rights that mail needs (see ``trees.lacking``). ``timeout`` is in seconds, ``most`` counts entries.
    """

    path: str
    uid: int
    gid: int | None
    because: str
    undo: str = ""
    let_in: bool = False
    timeout: float = 600.0
    most: int = 5000000

    def does(self) -> str:
        group = "" if self.gid is None else f":{self.gid}"
        path = shlex.quote(self.path)
        return f"chown -h -R {self.uid}{group} {path}" + (f"; chmod -R u+rX {path}" if self.let_in else "")

    def check(self) -> None:
        harmless.check_tree(self.path, self.uid)

    def touches(self) -> dict:
        # Its entries are noted one by one while it is taken.
        return {}

    def take(self) -> Ran:
        try:
            with checkpoint.owners(self.path, self.uid, self.gid) as keep:
                found = trees.give(self.path, self.uid, self.gid, self.let_in, self.timeout, self.most, keep)
        except OSError as problem:
            raise StepFailed(f"{self.does()}: {problem}") from None
        if not found["complete"]:
            raise StepFailed(f"{self.does()}: {found['wrong']} entries changed, and more are left; run it again")
        return Ran((self.does(),), 0, "\n".join(told(found)))

    def diff(self) -> dict | None:
        try:
            found = trees.survey(self.path, self.uid, self.let_in)
        except OSError:
            return None
        return {"prepared": "".join(f"{self.path}: {line}\n" for line in told(found))}


def told(found: dict) -> list:
    """What ``trees`` found or changed, in sentences for the record: the former owners among them."""
    owners = ", ".join(f"{uid}:{gid} ({count})" for (uid, gid), count in found["owners"].most_common(8))
    lines = [f"{found['wrong']} of {found['entries']} entries" + (f", formerly owned by {owners}" if owners else "")
             + (f", {found['modes']} with a mode that kept the owner out" if found["modes"] else "")]
    lines += [f"{clean(place, 200) or 'the folder itself'} was {mode:04o}" for place, mode in found["opened"][:6]]
    return lines + ([f"{found['left']} left as they are: links, sockets, or files with a name elsewhere"] if found["left"] else [])


def take(remedy, dry: bool, records: list, guarded_by: str = "") -> list:
    """Take the steps of ``remedy`` in turn, and add a record of each to ``records`` before the next is begun; what the remedy returns, or nothing.

    A record is ``{does, because, undo, path, mark, taken, rc, said, seconds, diff}``; ``mark`` tells one change of a file from another. Raises Refused,
    StepFailed; ``records`` holds what was done until then. With an open checkpoint on the host, what each step touches is noted there around it;
    where a repair says which one guards it (``guarded_by``), nothing is done without that.
    """
    folder = None if dry else checkpoint.current()
    if guarded_by and not dry and os.path.basename(folder or "") != guarded_by:
        raise Refused(f"The checkpoint {guarded_by} is not open any more: the host put itself back, or somebody ended the repair.")
    try:
        step = next(remedy)
        while True:
            try:
                step.check()
            except harmless.Harmful as problem:
                raise Refused(secrets.masked_line(f"{step.does()}: {problem}")) from None
            record = {"does": secrets.masked_line(step.does(), _MOST_COMMAND), "because": secrets.masked_line(step.because),
                      "undo": secrets.masked_line(step.undo, 2000),
                      "path": getattr(step, "path", None), "mark": step.mark() if isinstance(step, Write) else None,
                      "taken": not dry, "rc": None, "said": [], "seconds": 0.0, "diff": step.diff()}
            records.append(record)
            began = time.monotonic()
            if dry:
                ran = NOT_TAKEN
            else:
                try:
                    ran = _taken(step, folder)
                except StepFailed as problem:
                    record["said"] = [secrets.masked_line(problem)]
                    raise
                record.update(rc=ran.rc, said=secrets.masked_lines(ran.err or ran.out, 10))
            record["seconds"] = round(time.monotonic() - began, 3)
            step = remedy.send(ran)
    except StopIteration as end:
        return list(end.value or ())


def _span(start: int, end: int) -> str:
    """Lines as a unified diff names them: of none, the one before."""
    return f"{start + 1}" if end - start == 1 else f"{start + (end > start)},{end - start}"


def _taken(step, folder: str | None) -> Ran:
    try:
        with checkpoint.noting(folder, step.touches()):
            return step.take()
    except (checkpoint.Ended, OSError) as problem:
        raise StepFailed(f"{step.does()}: {problem}") from None


def _given(given, there, otherwise):
    return given if given is not None else there if there is not None else otherwise


def _state(path: str):
    try:
        return os.lstat(path)
    except OSError:
        return None


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None
