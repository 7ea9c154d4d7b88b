"""Sign a verification by name, ask people to sign it by mail, gather their answers, or see who has signed. Controller only."""
from __future__ import annotations

import os
import time

from ansible.errors import AnsibleActionFail

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import estate
from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.verification import approvals, letter, signoff
from ansible_collections.mailops.outage.plugins.module_utils.wire.probe import BadRequest
from ansible_collections.mailops.outage.plugins.module_utils.wire.transport import Stopped
from ansible_collections.mailops.outage.plugins.plugin_utils.mail_action import MailAction

_REQUESTS = "signoff_requests.json"


class ActionModule(MailAction):
    """Controller only: speaks to the mail service as the probe account does, and changes nothing in its mailbox."""

    _requires_connection = False
    ARGUMENTS = {
        "run_dir": {"type": "path", "required": True},
        "name": {"type": "str", "default": ""},
        "note": {"type": "str", "default": ""},
        "way": {"type": "str", "default": "command", "choices": ["command", "awx"]},
        "workflow_job": {"type": "str", "default": ""},
        "ask": {"type": "list", "elements": "dict", "default": [],
                "options": {"name": {"type": "str", "required": True}, "address": {"type": "str", "required": True}}},
        "expires": {"type": "float", "default": 86400.0},
        "probe_accounts": {"type": "list", "elements": "dict", "default": [], "no_log": True},
        "submission_host": {"type": "str", "default": ""},
        "imap_host": {"type": "str", "default": ""},
        "ca_file": {"type": "path"},
        "required": {"type": "int", "default": 2},
    }

    def act(self, args):
        run = Run(args["run_dir"])
        asked, refused = [], []
        try:
            verified = signoff.verification(run)
            digest = verified["digest"]
            before = len(signoff.entries(run))
            if not self._task.check_mode:
                if args["name"]:
                    signoff.give(run, args["name"], args["note"], args["way"])
                if args["workflow_job"]:
                    refused = self._approved(run, verified, args["workflow_job"])
                if args["ask"] and verified["passed"]:
                    asked, unasked = self._put(run, verified, args)
                    refused += unasked
                elif not args["ask"]:
                    refused += self._collect(run, digest, args)
            entries = signoff.entries(run)
        except signoff.NotSignable as problem:
            raise AnsibleActionFail(str(problem)) from None
        except OSError as problem:
            raise AnsibleActionFail(f"The sign-off could not be kept in {run.dir}: {problem}") from None
        signed = signoff.counted(entries, digest)
        missing = max(0, args["required"] - len(signed))
        return {"changed": len(entries) > before or bool(asked), "asked": asked, "refused": refused, "signoffs": signed, "required": args["required"],
                "missing": missing, "enough": not missing}

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

    def _put(self, run, verified, args):
        """Send the question to each verifier; it is kept before it is sent, beside those that were asked before. (asked addresses, what did not go out)"""
        sender, target = self._target(run, "submission", args)
        asked, refused = [], []
        for verifier in args["ask"]:
            try:
                question, code = letter.request(verifier, verified["digest"], args["expires"], time.time())
                run.write(_REQUESTS, {"requests": self._requests(run) + [question]})
                text = letter.compose(question, code, sender, verified["run_id"], time.time())
                letter.send(target, args["ca_file"], sender, question["address"], text)
                asked.append(question["address"])
            except Stopped as stop:
                refused.append(clean(f"{verifier['address']} was not asked: {stop.step}: {stop.outcome} {stop.answer}"))
            except (BadRequest, ValueError) as problem:
                refused.append(clean(f"{verifier['address']} was not asked: {problem}"))
        return asked, refused

    @staticmethod
    def _requests(run):
        try:
            return [{name: item[name] for name in letter.KEPT} for item in run.read(_REQUESTS)["requests"]]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError):
            raise signoff.NotSignable(f"{run.path(_REQUESTS)} cannot be read: answers by mail are not counted; ask again by a new verification") from None

    @staticmethod
    def _approved(run, verified, workflow_job):
        """Count the approvals of the AWX workflow; returns why others do not. A controller that cannot be asked keeps nobody from signing otherwise."""
        try:
            given, refused = approvals.ask(approvals.controller(os.environ), workflow_job)
        except approvals.NotAnswered as problem:
            return [clean(problem)]
        judged = [approvals.judge(approval, verified["written_epoch"], time.time()) for approval in given]
        refused += [because for _item, because in judged if because]
        for item in sorted((item for item, _because in judged if item), key=lambda item: item["time"]):
            if not verified["passed"]:
                refused.append(f"{item['note']}: {item['name']} approved it, but this verification did not pass")
            elif not signoff.has_signed(signoff.counted(signoff.entries(run), verified["digest"]), item):
                signoff.give(run, item["name"], item["note"], "awx", now=item["time"], account=item["account"])
        return refused

    def _collect(self, run, digest, args):
        """Count the answers that have come in; returns why others do not. A mailbox that cannot be read keeps nobody from signing by name."""
        try:
            requests = self._requests(run)
            if not requests:
                return []
            _address, target = self._target(run, "imaps", args)
            found = letter.answers(target, args["ca_file"], requests)
            observations = run.observations()
        except Stopped as stop:
            return [clean(f"the project's mailbox could not be read: {stop.step}: {stop.outcome} {stop.answer}")]
        except (signoff.NotSignable, BadRequest) as problem:
            return [clean(problem)]
        # A server may name itself by its domain in Authentication-Results (RFC 8601 section 2.5).
        own = {name.lower() for name in estate.own_names(observations) + estate.domains(observations)}
        refused = []
        for raw in found:
            item, because = letter.judge(raw, requests, time.time(), own)
            if item and item["digest"] != digest:
                item, because = None, "it confirms an earlier verification"
            if not item:
                refused.append(because)
                continue
            entry = {"name": item["name"], "address": letter.mailbox(item["address"])}
            if not signoff.has_signed(signoff.counted(signoff.entries(run), digest), entry):
                signoff.give(run, entry["name"], "", "reply", address=entry["address"])
        return list(dict.fromkeys(refused))
