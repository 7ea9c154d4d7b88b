"""Open a run: check what it was given, make its folder, and lay the log signatures ready for the hosts."""
from __future__ import annotations

import re
import secrets
import time

from ansible.errors import AnsibleActionFail

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import catalogue, conditions
from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.plugin_utils.mail_action import MailAction


class ActionModule(MailAction):
    """Controller only: no connection to a host is made."""

    _requires_connection = False
    ARGUMENTS = {
        "report_dir": {"type": "path", "required": True},
        "run_id": {"type": "str", "default": ""},
        "catalogue_dir": {"type": "path", "required": True},
        "window": {"type": "int", "default": 3600},
        "since": {"type": "float"},
        "until": {"type": "float"},
        "reported_user": {"type": "str", "default": ""},
        "severity_rules": {"type": "list", "elements": "dict", "default": []},
    }

    def act(self, args):
        now = time.time()
        until = args["until"] or now
        since = args["since"] or until - args["window"]
        if args["window"] <= 0:
            raise AnsibleActionFail("The log window is empty: assess_window must be a number of seconds above 0.")
        if since > now:
            raise AnsibleActionFail("The log window lies in the future: check assess_since and assess_until, and the controller's clock.")
        if since >= until:
            raise AnsibleActionFail("The log window is empty: assess_since must lie before assess_until.")
        if args["reported_user"] and not re.fullmatch(r"[^\s@<>]+@[^\s@<>]+", args["reported_user"]):
            raise AnsibleActionFail("reported_user must be a mail address like anna@example.org.")
        for rule in args["severity_rules"]:
            try:
                conditions.check(rule.get("when"))
            except conditions.ConditionError as problem:
                raise AnsibleActionFail(f"diagnose_severity_rules: {problem}") from None
        run_id = args["run_id"] or time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)) + "-" + secrets.token_hex(2)
        try:
            known = catalogue.load(args["catalogue_dir"])
            run = Run.open(args["report_dir"], run_id)
            run.write("run.json", {"run_id": run_id, "started_epoch": now, "since": since, "until": until})
            run.write("signatures.json", known.signatures)
        except catalogue.CatalogueError as problem:
            raise AnsibleActionFail(f"The catalogue cannot be used: {problem}") from None
        except OSError as problem:
            raise AnsibleActionFail(f"The reports cannot be written: {problem}. Set report_dir to a folder that you may write.") from None
        return {"changed": False, "run_id": run_id, "dir": run.dir, "since": since, "until": until, "causes_known": len(known),
                "signatures_known": len(known.signatures)}
