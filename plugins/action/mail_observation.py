"""Look at one mail host from inside and from outside at the same time, and keep what was seen.

One module call on the host; meanwhile the controller probes the host's mail ports as a user's machine would.
A host that cannot be reached is a finding: the task never fails for it.
"""
from __future__ import annotations

import re
import threading
import time

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import estate
from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.wire import probe as wire_probe

PORTS = (
    ("smtp", 25), ("submission", 587), ("submissions", 465), ("imap", 143),
    ("imaps", 993), ("pop3", 110), ("pop3s", 995), ("sieve", 4190),
)

# What Ansible and ssh say when they do not get in, and what it means. First match wins.
_CONNECTION_KINDS = (
    ("host_key", r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed"),
    ("auth", r"Permission denied|Authentication failed|Too many authentication failures|Invalid/incorrect (?:username|password)"),
    ("name", r"Could not resolve hostname|Name or service not known|Temporary failure in name resolution"),
    ("refused", r"Connection refused"),
    ("timeout", r"timed out|Timeout|Operation timed out"),
    ("unreachable", r"No route to host|Network is unreachable"),
    ("closed", r"Connection (?:closed|reset)|kex_exchange_identification"),
)
_SUDO_ASKS = re.compile(r"Missing sudo password|a password is required|Incorrect sudo password|Timeout .* waiting for (?:privilege escalation|become)|"
                        r"is not in the sudoers file|Premature end of stream waiting for become|sudo: (?:command )?not found|may not run sudo|must be owned by uid 0", re.I)
_NO_PYTHON = re.compile(r"python[\d.]*'?:? (?:command )?not found|No such file or directory.*python|interpreter was not found|No python interpreters found|"
                        r"/python[\d.]*: (?:No such|not found)|exec format error|SyntaxError", re.I)


def connection_kind(text: str) -> str:
    """What kept Ansible out: host_key, auth, name, refused, timeout, unreachable, closed or unknown."""
    return next((kind for kind, pattern in _CONNECTION_KINDS if re.search(pattern, text, re.I)), "unknown")


def clock_skew(answer: dict, asked: float, answered: float) -> float | None:
    """Seconds that the host's clock is ahead of the controller's; 0 while the difference may be the time that the look took."""
    now = ((answer.get("facts") or {}).get("system") or {}).get("now_epoch")
    if now is None:
        return None
    if now < asked - 2:
        return round(now - asked, 1)
    return round(now - answered, 1) if now > answered + 2 else 0.0


class ActionModule(ActionBase):
    """Runs mail_host_info on the host; probes on the controller."""

    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, args = self.validate_argument_spec({
            "run_dir": {"type": "path", "required": True},
            "address": {"type": "str", "default": ""},
            "deadline": {"type": "int", "default": 20},
            "domains": {"type": "list", "elements": "str", "default": []},
            "log_files": {"type": "list", "elements": "str", "default": []},
            "ca_file": {"type": "path"},
        })
        host = task_vars["inventory_hostname"]
        run = Run(args["run_dir"])
        try:
            window = run.read("run.json")
            signatures = run.read("signatures.json")
        except (OSError, ValueError) as problem:
            raise AnsibleActionFail(f"{args['run_dir']} is not the folder of an open run: {problem}") from problem
        probes: list = []
        outside = threading.Thread(target=self._probe, args=(host, args, probes), daemon=True)
        outside.start()
        asked = time.time()
        answer, connection = self._look({
            "since": window["since"], "until": window["until"], "deadline": args["deadline"],
            "domains": args["domains"], "log_files": args["log_files"],
            "signatures": {name: {key: spec[key] for key in ("pattern", "not", "has", "source") if key in spec} for name, spec in signatures.items()},
        }, task_vars)
        skew = clock_skew(answer, asked, time.time())
        outside.join()
        not_visible = list(answer.get("not_visible") or [])
        if not connection["ok"]:
            not_visible.insert(0, f"the host's own view: {connection['text']}")
        elif connection["text"]:
            not_visible.insert(0, connection["text"])
        run.write_observation({
            "host": host, "address": args["address"] or host, "connection": connection, "facts": answer.get("facts") or {},
            "collectors": answer.get("collectors") or {}, "not_visible": not_visible, "cut": answer.get("cut") or [], "probes": probes,
            "skew_seconds": skew,
        })
        result.update(changed=False, connected=connection["ok"], connection=connection,
                      answering=sorted(item["protocol"] for item in probes if item["ok"]), not_visible=len(not_visible))
        return result

    def _probe(self, host, args, probes):
        address = args["address"] or host
        targets = [{"name": address, "port": port, "protocol": protocol} for protocol, port in PORTS]
        for item in wire_probe.probe_all(targets, dict(estate.PATIENCE, ca_file=args["ca_file"], vantage="controller")):
            probes.append(dict(item, host=host, look="first"))

    def _look(self, module_args, task_vars):
        """The module's answer and how the connection went, with one try without root when sudo does not let us."""
        answer, text = self._ask(module_args, task_vars)
        note = ""
        if not answer and _SUDO_ASKS.search(text) and self._connection.become:
            note = "seen without root, because sudo did not let us: " + clean(text, 200)
            self._connection.set_become_plugin(None)
            answer, text = self._ask(module_args, task_vars)
        if answer:
            return answer, {"ok": True, "kind": "ok", "text": note}
        if _NO_PYTHON.search(text):
            kind, text = "no_python", "no usable Python 3 on the host: " + text
        elif _SUDO_ASKS.search(text):
            kind = "sudo"
        else:
            kind = connection_kind(text)
        return {}, {"ok": False, "kind": kind, "text": clean(text, 300)}

    def _ask(self, module_args, task_vars):
        try:
            answer = self._execute_module("mailops.outage.mail_host_info", module_args=module_args, task_vars=task_vars)
        except AnsibleConnectionFailure as problem:
            return {}, str(problem)
        except AnsibleError as problem:
            return {}, str(problem)
        finally:
            # A dead control connection must not be reused for the second try.
            self._remove_tmp_path(self._connection._shell.tmpdir)
        if answer.get("failed") or answer.get("unreachable") or "facts" not in answer:
            return {}, " ".join(str(answer.get(key) or "") for key in ("msg", "module_stderr", "module_stdout", "exception"))
        return answer, ""
