"""Look at one mail host from inside and from outside at the same time, and keep what was seen.

One module call on the host; meanwhile the controller probes the host's mail ports as a user's machine would.
A host that cannot be reached is a finding: the task never fails for it.
"""
from __future__ import annotations

import contextlib
import glob
import os
import re
import signal
import ssl
import sys
import threading
import time

from ansible.errors import AnsibleActionFail, AnsibleError

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import estate
from ansible_collections.mailops.outage.plugins.module_utils.log.signatures import SIGNATURE_KEYS
from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.wire import probe as wire_probe
from ansible_collections.mailops.outage.plugins.plugin_utils.in_memory import leave_no_file
from ansible_collections.mailops.outage.plugins.plugin_utils.mail_action import MailAction

PORTS = (
    ("smtp", 25), ("submission", 587), ("submissions", 465), ("imap", 143),
    ("imaps", 993), ("pop3", 110), ("pop3s", 995), ("sieve", 4190),
)

# What Ansible and ssh say when they do not get in, and what it means. First match wins.
_CONNECTION_KINDS = (
    ("host_key", r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed"),
    ("auth", r"Permission denied|Authentication failed|Too many authentication failures|Invalid/incorrect (?:username|password)|"
             r"account (?:is (?:currently )?not available|has expired|is locked)|allows sftp connections only"),
    ("name", r"Could not resolve hostname|Name or service not known|Temporary failure in name resolution"),
    ("refused", r"Connection refused"),
    ("timeout", r"timed out|Timeout|Operation timed out|did not end within"),
    ("unreachable", r"No route to host|Network is unreachable"),
    ("closed", r"Connection (?:closed|reset)|kex_exchange_identification"),
)
_SUDO_ASKS = re.compile(r"Missing sudo password|a password is required|Incorrect sudo password|"
                        r"Timeout .* waiting for (?:privilege escalation|become)|"
                        r"Premature end of stream waiting for become|sudo: (?:command )?not found|may not run sudo|^sudo: |"
                        r"is not in the sudoers file", re.I | re.M)
_NO_PYTHON = re.compile(r"python[\d.]*'?:? (?:command )?not found|No such file or directory.*python|interpreter was not found|No python interpreters found|"
                        r"/python[\d.]*: (?:No such|not found)|module interpreter \S+ was not found|exec format error|SyntaxError", re.I)
# Ansible's own words around what ssh or the host said.
_WRAPPING = re.compile(r"Data could not be sent to remote host.*?over ssh: ?|Failed to connect to the host via (?:ssh|scp|sftp): ?|"
                       r"Module result deserialization failed: No start of json char found", re.I | re.S)
# Of ssh's long warning about a host key, the lines that say which one.
_KEY_LINES = re.compile(r"SHA256:|Offending|has changed and|host key is known|verification failed")
# Seconds beyond the module's own deadline for getting in, sudo and the way back.
_SLACK = 30


def connection_kind(text: str) -> str:
    """What kept Ansible out: host_key, auth, name, refused, timeout, unreachable, closed or unknown."""
    return next((kind for kind, pattern in _CONNECTION_KINDS if re.search(pattern, text, re.I)), "unknown")


def said(text: str) -> str:
    """What ssh, sudo or the host said, on one line, without Ansible's words around it."""
    lines = [line.strip() for line in _WRAPPING.sub("", text).splitlines() if line.strip()]
    if connection_kind(text) == "host_key":
        lines = [line for line in lines if _KEY_LINES.search(line)] or lines
    if any(line.startswith("Traceback ") for line in lines):
        lines = lines[-1:]
    return clean(" ".join(lines), 300)


def clock_skew(answer: dict, asked: float, answered: float) -> float | None:
    """Seconds that the host's clock is ahead of the controller's; 0 while the difference may be the time that the look took."""
    now = ((answer.get("facts") or {}).get("system") or {}).get("now_epoch")
    if now is None:
        return None
    if now < asked - 2:
        return round(now - asked, 1)
    return round(now - answered, 1) if now > answered + 2 else 0.0


class ActionModule(MailAction):
    """Runs mail_host_info on the host; probes on the controller."""

    ARGUMENTS = {
        "run_dir": {"type": "path", "required": True},
        "address": {"type": "str", "default": ""},
        "deadline": {"type": "int", "default": 20},
        "domains": {"type": "list", "elements": "str", "default": []},
        "log_files": {"type": "list", "elements": "str", "default": []},
        "ca_file": {"type": "path"},
    }

    def act(self, args):
        if args["deadline"] <= 0:
            raise AnsibleActionFail("assess_deadline must be a number of seconds above 0.")
        try:
            if args["ca_file"]:
                ssl.create_default_context(cafile=args["ca_file"])
        except OSError as problem:
            raise AnsibleActionFail(f"mail_ca_file {args['ca_file']} cannot be used: {problem}") from None
        host, task_vars = self.host, self.task_vars
        run = Run(args["run_dir"])
        with self.or_fail(f"{args['run_dir']} is not the folder of an open run"):
            window = run.read("run.json")
            signatures = run.read("signatures.json")
        probes: list = []
        not_probed: list = []
        outside = threading.Thread(target=self._probe, args=(host, args, probes, not_probed), daemon=True)
        outside.start()
        asked = time.time()
        answer, connection = self._look({
            "since": window["since"], "until": window["until"], "deadline": args["deadline"],
            "domains": args["domains"], "log_files": args["log_files"],
            "signatures": {name: {key: spec[key] for key in SIGNATURE_KEYS if key in spec} for name, spec in signatures.items()},
        }, task_vars)
        skew = clock_skew(answer, asked, time.time())
        outside.join()
        not_visible = not_probed + list(answer.get("not_visible") or [])
        if not connection["ok"]:
            not_visible.insert(0, f"the host's own view: {connection['text']}")
        elif connection["text"]:
            not_visible.insert(0, connection["text"])
        run.write_observation({
            "host": host, "address": args["address"] or host, "connection": connection, "facts": answer.get("facts") or {},
            "collectors": answer.get("collectors") or {}, "not_visible": not_visible, "cut": answer.get("cut") or [], "probes": probes,
            "skew_seconds": skew,
        })
        return {"changed": False, "connected": connection["ok"], "connection": connection,
                "answering": sorted(item["protocol"] for item in probes if item["ok"]), "not_visible": len(not_visible)}

    def _probe(self, host, args, probes, not_probed):
        address = args["address"] or host
        targets = [{"name": address, "port": port, "protocol": protocol} for protocol, port in PORTS]
        try:
            probes += [dict(item, host=host, look="first")
                       for item in wire_probe.probe_all(targets, dict(estate.PATIENCE, ca_file=args["ca_file"], vantage="controller"))]
        except wire_probe.BadRequest as problem:
            not_probed.append(clean(f"its ports: {problem}"))

    def _look(self, module_args, task_vars):
        """The module's answer and how the connection went, with one try without root when sudo does not let us."""
        leave_no_file(self, task_vars)
        answer, text = self._asked(module_args, task_vars)
        if not answer and _NO_PYTHON.search(text) and self._connection.transport == "local":
            # On this machine there is one that works: the one that runs us.
            task_vars = dict(task_vars, ansible_python_interpreter=sys.executable)
            answer, text = self._asked(module_args, task_vars)
        if not answer and connection_kind(text) == "closed":
            # An sshd under siege drops new connections at random (MaxStartups in sshd_config(5)).
            time.sleep(2)
            answer, text = self._asked(module_args, task_vars)
        note = ""
        if not answer and _SUDO_ASKS.search(text) and self._connection.become:
            note = "seen without root, because sudo did not let us: " + said(text)
            self._connection.set_become_plugin(None)
            answer, text = self._asked(module_args, task_vars)
        if answer:
            return answer, {"ok": True, "kind": "ok", "text": note}
        if _NO_PYTHON.search(text):
            return {}, {"ok": False, "kind": "no_python", "text": "no usable Python 3 on the host: " + said(text)}
        kind = "sudo" if _SUDO_ASKS.search(text) else connection_kind(text)
        return {}, {"ok": False, "kind": kind, "text": said(text)}

    def _asked(self, module_args, task_vars):
        ended = threading.Event()
        most = module_args["deadline"] + _SLACK
        watch = threading.Thread(target=_end_children, args=(ended, most), daemon=True)
        began = time.monotonic()
        watch.start()
        try:
            answer = self._execute_module("mailops.outage.mail_host_info", module_args=module_args, task_vars=task_vars)
        except AnsibleError as problem:
            answer = {"failed": True, "msg": str(problem)}
        finally:
            ended.set()
            # A dead control connection must not be reused for the second try.
            self._remove_tmp_path(self._connection._shell.tmpdir)
        if not answer.get("failed") and not answer.get("unreachable") and "facts" in answer:
            return answer, ""
        if time.monotonic() - began >= most:
            return {}, f"the look did not end within {most} s: the host lets us in, and then does not answer"
        return {}, "\n".join(str(answer.get(key) or "") for key in ("msg", "module_stderr", "module_stdout"))


def _end_children(ended, seconds):
    """End the worker's own ssh, or local shell, when it is not done in time: a login can hang on a dead home directory.

    Nothing in Ansible bounds that, as the connection itself stays alive.
    """
    while not ended.wait(seconds):
        for path in glob.glob("/proc/self/task/*/children"):
            with contextlib.suppress(OSError), open(path, encoding="ascii") as stream:
                for child in stream.read().split():
                    os.kill(int(child), signal.SIGTERM)
        seconds = 2
