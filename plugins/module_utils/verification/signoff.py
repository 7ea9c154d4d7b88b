"""Who has signed a verification: ``signoffs.jsonl`` in the folder of its run, one line a sign-off, only ever added to."""
from __future__ import annotations

import json
import os
import unicodedata
from datetime import datetime, timezone

from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.verification import judge

WAYS = ("command", "awx", "reply")
# As JSON, since Ansible splits KEY=VALUE at each space and would record "Anna" alone.
BY_NAME = """ansible-playbook playbooks/signoff.yml -e '{"signoff_name": "Anna de Vries"}'"""
_FILE = "signoffs.jsonl"


class NotSignable(Exception):
    """The verification is not there, was changed, failed, or was signed by this person already; the text says what to do."""


def verification(run: Run) -> dict:
    """The run's verification: ``{run_id, passed, digest, written_epoch}``.

    Raises NotSignable when there is none that can be read, or when it is no longer what its digest was made of.
    """
    try:
        found = run.read("verification.json")
        seen = {"run_id": found["run_id"], "passed": found["passed"] is True, "digest": judge.digest(found),
                "written_epoch": os.stat(run.path("verification.json")).st_mtime}
        kept = found["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        raise NotSignable(f"{run.dir} holds no verification: run playbooks/verify.yml first, or name its run with signoff_run") from None
    if kept != seen["digest"]:
        raise NotSignable(f"{run.path('verification.json')} was changed since it was written, and cannot be signed: run playbooks/verify.yml again")
    return seen


def entries(run: Run) -> list:
    """All sign-offs in the order in which they were given. A line that was cut off by a crash is passed over."""
    found = []
    try:
        with open(run.path(_FILE), encoding="utf-8", errors="replace") as stream:
            for line in stream:
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if isinstance(entry, dict) and isinstance(entry.get("name"), str):
                    found.append(entry)
    except FileNotFoundError:
        pass
    return found


def person(name: str) -> str:
    """What two spellings of one name have in common: case, accents' encoding and spaces do not make another person."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def counted(found: list, digest: str) -> list:
    """The sign-offs that count: for this verification, the first of each person."""
    first: list = []
    for entry in found:
        if entry.get("digest") == digest and not has_signed(first, entry):
            first.append(entry)
    return first


def has_signed(signed: list, entry: dict) -> bool:
    """Whether the person of this entry is among those who signed: by name, by mail address, or by account of AWX, whichever are known."""
    return any(_marks(entry) & _marks(other) for other in signed)


def _marks(entry: dict) -> set:
    """What a person is known by. One word for all, since a name may be an account, and an account an address."""
    return {person(clean(entry.get(key), most)) for key, most in (("name", 100), ("account", 100), ("address", 320))} - {""}


def give(run: Run, name: str, note: str, way: str, now: datetime | None = None, address: str = "", account: str = "") -> dict:
    """Add a sign-off and return it: ``{time, name, account, address, way, note, digest}``. Raises NotSignable, OSError as the system says."""
    name = clean(name, 100).strip()
    if not person(name):
        raise NotSignable(f"A sign-off needs a name: {BY_NAME}")
    signed = verification(run)
    if not signed["passed"]:
        raise NotSignable("This verification did not pass, and cannot be signed: repair what it names, and run playbooks/verify.yml again")
    stamp = (now or datetime.now(timezone.utc)).astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    entry = {"time": stamp, "name": name, "account": clean(account, 100), "address": address, "way": way, "note": clean(note, 1000),
             "digest": signed["digest"]}
    if has_signed(counted(entries(run), signed["digest"]), entry):
        raise NotSignable(f"{name} has signed this verification already; somebody else must be the next")
    handle = os.open(run.path(_FILE), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        # The line end first, so that a line that was cut off takes no other with it.
        os.write(handle, ("\n" + json.dumps(entry, sort_keys=True) + "\n").encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    return entry
