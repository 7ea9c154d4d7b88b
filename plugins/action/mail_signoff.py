"""Sign a verification by name, ask people to sign it by mail, gather their answers, or see who has signed. Controller only."""
from __future__ import annotations

import time

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import estate
from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.verification import letter, signoff
from ansible_collections.mailops.outage.plugins.module_utils.wire.probe import BadRequest
from ansible_collections.mailops.outage.plugins.module_utils.wire.transport import Stopped

_REQUESTS = "signoff_requests.json"


class ActionModule(ActionBase):
    """Controller only: speaks to the mail service as the probe account does, and changes nothing in its mailbox."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec({
            "run_dir": {"type": "path", "required": True},
            "name": {"type": "str", "default": ""},
            "note": {"type": "str", "default": ""},
            "way": {"type": "str", "default": "command", "choices": ["command", "awx"]},
            "ask": {"type": "list", "elements": "dict", "default": [],
                    "options": {"name": {"type": "str", "required": True}, "address": {"type": "str", "required": True}}},
            "expires": {"type": "float", "default": 86400.0},
            "probe_accounts": {"type": "list", "elements": "dict", "default": [], "no_log": True},
            "submission_host": {"type": "str", "default": ""},
            "imap_host": {"type": "str", "default": ""},
            "ca_file": {"type": "path"},
            "required": {"type": "int", "default": 2},
        })
        run = Run(args["run_dir"])
        try:
            verified = signoff.verification(run)
            digest = verified["digest"]
            given = bool(args["name"]) and not self._task.check_mode
            asked = self._ask(run, verified, args) if args["ask"] and verified["passed"] and not self._task.check_mode else []
            refused = self._collect(run, digest, args) if not self._task.check_mode and not args["ask"] else []
            if given:
                signoff.give(run, args["name"], args["note"], args["way"])
            signed = signoff.counted(signoff.entries(run), digest)
        except Stopped as stop:
            raise AnsibleActionFail(f"The project's mailbox could not be used: {stop.step}: {stop.outcome} {stop.answer}") from None
        except (signoff.NotSignable, BadRequest) as problem:
            raise AnsibleActionFail(str(problem)) from None
        except OSError as problem:
            raise AnsibleActionFail(f"The sign-off could not be kept in {run.dir}: {problem}") from None
        missing = max(0, args["required"] - len(signed))
        result.update(changed=given or bool(asked), asked=asked, refused=refused, signoffs=signed, required=args["required"], missing=missing, enough=not missing)
        return result

    def _target(self, run, protocol, args):
        """The first probe account's server for this protocol, as the run's observations know it: (address of the account, target)."""
        observations, declared = run.observations(), run.read("estate.json").get("declared") or {}
        accounts = [account for account in args["probe_accounts"] if account.get("login") and account.get("password")][:1]
        found = estate.logins(observations, declared, {"probe_accounts": accounts, "submission_host": args["submission_host"],
                                                       "imap_host": args["imap_host"], "pop3_host": ""})
        target = next((item for item in found if item["protocol"] == protocol), None)
        if target is None:
            raise signoff.NotSignable(f"Answers by mail need an account in mail_probe_accounts whose {protocol} service answers")
        return accounts[0]["address"], {key: value for key, value in target.items() if key != "host"}

    def _ask(self, run, verified, args):
        """Send the question to each verifier; what was asked is kept before it is sent. The addresses that were asked."""
        sender, target = self._target(run, "submission", args)
        requests = [letter.request(verifier, verified["digest"], args["expires"], time.time()) for verifier in args["ask"]]
        run.write(_REQUESTS, {"requests": requests})
        for item in requests:
            letter.send(target, args["ca_file"], sender, item["address"], letter.compose(item, sender, verified["run_id"], time.time()))
        return [item["address"] for item in requests]

    def _collect(self, run, digest, args):
        """Count the answers that have come in; returns why others do not count."""
        try:
            requests = run.read(_REQUESTS)["requests"]
        except FileNotFoundError:
            return []
        _sender, target = self._target(run, "imaps", args)
        signed = {signoff.person(entry["name"]) for entry in signoff.counted(signoff.entries(run), digest)}
        refused = []
        for raw in letter.answers(target, args["ca_file"], requests):
            item, because = letter.judge(raw, requests, time.time())
            if item and item["digest"] != digest:
                item, because = None, "it confirms an earlier verification"
            if not item:
                refused.append(because)
            elif signoff.person(item["name"]) not in signed:
                signed.add(signoff.person(item["name"]))
                signoff.give(run, item["name"], f"answered from {item['address']}", "reply")
        return refused
