"""What every collector is given: a bounded way to run a command or read a file, and the shared answers.

A collector looks at one thing and returns a dictionary. It never changes the host, never raises for
a sick host, and leaves time limits to the registry. What several collectors need (the MTA's and the
IMAP server's effective configuration) is asked once and shared.
"""
from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field

from ansible_collections.mailops.outage.plugins.module_utils.text import clean, clean_lines

_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
_MOST_OUTPUT = 4 * 1024 * 1024
_MOST_INPUT = 16 * 1024


@dataclass(frozen=True)
class Ran:
    """The end of one command. ``rc`` is None when it was missing, not allowed, or ran out of time."""

    argv: tuple[str, ...]
    rc: int | None
    out: str = ""
    err: str = ""
    timed_out: bool = False
    missing: bool = False
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.rc == 0

    @property
    def source(self) -> str:
        """The command as a person would type it again."""
        return " ".join(self.argv)

    def complaints(self, most: int = 20) -> list[str]:
        """The lines it wrote to standard error, cleaned."""
        return clean_lines(self.err, most)


def run_command(argv, timeout: float = 10.0, most: int = _MOST_OUTPUT, env=None, data: bytes = b"") -> Ran:
    """Run ``argv`` without a shell, in its own session, in the C locale, and end it all at ``timeout`` seconds.

    Output past ``most`` bytes is read and dropped, so that a chatty command neither blocks nor fills memory.
    A process in uninterruptible sleep cannot be ended: it is left behind rather than waited for. ``data``, a few KiB at most, is what it reads.
    """
    argv = tuple(str(word) for word in argv)
    began = time.monotonic()
    program = shutil.which(argv[0], path=_SYSTEM_PATH)
    if program is None:
        return Ran(argv, None, missing=True)
    environment = {"PATH": _SYSTEM_PATH, "LC_ALL": "C", "LANG": "C", "HOME": "/nonexistent", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}
    environment.update(env or {})
    try:
        # AnsibleModule.run_command knows no deadline and no bound, and this file imports without Ansible.
        child = subprocess.Popen(  # pylint: disable=consider-using-with,ansible-bad-function
            (program,) + argv[1:], stdin=subprocess.PIPE if data else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment, cwd="/", start_new_session=True,
        )
    except OSError as problem:
        return Ran(argv, None, err=str(problem), missing=isinstance(problem, FileNotFoundError))
    if data:
        # Less than a pipe holds, so that this never waits.
        with contextlib.suppress(OSError):
            child.stdin.write(data[:_MOST_INPUT])
        with contextlib.suppress(OSError):
            child.stdin.close()
    kept = {"out": bytearray(), "err": bytearray()}
    timed_out = False
    with selectors.DefaultSelector() as watch:
        watch.register(child.stdout, selectors.EVENT_READ, "out")
        watch.register(child.stderr, selectors.EVENT_READ, "err")
        while watch.get_map():
            left = timeout - (time.monotonic() - began)
            if left <= 0:
                timed_out = True
                break
            for key, _events in watch.select(left):
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    watch.unregister(key.fileobj)
                    continue
                room = most - len(kept[key.data])
                if room > 0:
                    kept[key.data] += chunk[:room]
    try:
        rc = None if timed_out else child.wait(max(0.1, timeout - (time.monotonic() - began)))
    except subprocess.TimeoutExpired:
        rc, timed_out = None, True
    if timed_out:
        try:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(0.5)
        except (OSError, subprocess.TimeoutExpired):
            pass
    child.stdout.close()
    child.stderr.close()
    return Ran(argv, rc, kept["out"].decode("utf-8", "replace"), kept["err"].decode("utf-8", "replace"),
               timed_out=timed_out, seconds=round(time.monotonic() - began, 3))


@dataclass
class Context:
    """One look at one host.

    ``options`` are the module's parameters (``since`` and ``until`` in epoch seconds, ``signatures``, …).
    ``not_visible`` collects, as short sentences, what could not be seen and why.
    """

    options: dict = field(default_factory=dict)
    not_visible: list = field(default_factory=list)

    def __post_init__(self):
        self._lock = threading.Lock()
        self._once: dict = {}

    def run(self, *argv, timeout: float = 10.0, most: int = _MOST_OUTPUT, env=None, data: bytes = b"") -> Ran:
        return run_command(argv, timeout, most, env, data)

    def read(self, path: str, most: int = 1024 * 1024) -> str | None:
        """The text of a regular file, or None: absent, or unreadable (which is then said in ``not_visible``)."""
        try:
            # A FIFO or a device in a file's place must not block the look.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as stream:
                return stream.read(most).decode("utf-8", "replace")
        except PermissionError:
            self.cannot_see(path, "permission denied")
        except OSError:
            pass
        return None

    def cannot_see(self, what: str, why: str) -> None:
        sentence = clean(f"{what}: {why}")
        with self._lock:
            if sentence not in self.not_visible:
                self.not_visible.append(sentence)

    def once(self, name: str, ask):
        """The answer of ``ask()``, asked by the first collector that wants it and shared with the others."""
        with self._lock:
            lock, answers = self._once.setdefault(name, (threading.Lock(), []))
        with lock:
            if not answers:
                answers.append(ask())
            return answers[0]
