"""Make the plan of a repair from a diagnosis and what the hosts told of its remedies, show it, and open the journal. Controller only; touches no host."""
from __future__ import annotations

import os
import time

from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import journal, owner, plan
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies.registry import REMEDIES
from ansible_collections.mailops.outage.plugins.module_utils.report import plan as report
from ansible_collections.mailops.outage.plugins.plugin_utils.mail_action import MailAction


class ActionModule(MailAction):
    """Controller only."""

    _requires_connection = False
    ARGUMENTS = {
        "run_dir": {"type": "path", "required": True},
        "mode": {"type": "str", "default": "advise", "choices": ["advise", "approve", "auto"]},
        "confidence": {"type": "float", "default": 0.7},
        "rollback_after": {"type": "int", "default": 600},
        "actor": {"type": "str", "default": ""},
        "language": {"type": "str", "default": "en", "choices": ["en", "nl"]},
    }

    def act(self, args):
        run = Run(args["run_dir"])
        with self.or_fail(f"The plan of {run.dir} could not be made"):
            found, rehearsed = run.read("diagnosis.json"), run.of_hosts("rehearsals")
            joined = [step for item in rehearsed for step in item["together"]]
            made = plan.finished(found, plan.with_joined(plan.candidates(found, REMEDIES), joined), {item["host"]: item["told"] for item in rehearsed},
                                 args["confidence"])
            made.update(mode=args["mode"], owner=owner.owner(found["run_id"]), actor=args["actor"])
            made["approval"] = plan.approval(made, time.time())
            run.write("plan.json", made)
            journal.append(run.dir, "plan", plan=made["digest"], approval=made["approval"], mode=args["mode"], owner=made["owner"], actor=args["actor"],
                           blocked=made["blocked"], containment=made["containment"],
                           steps=[{name: step[name] for name in ("id", "host", "cause", "role", "options", "blocked")} for step in made["steps"]])
        summary = "\n".join(report.lines(made, args["mode"], args["language"], args["rollback_after"], run.path("plan.json")))
        self.say(summary)
        return {"changed": False, "steps": made["steps"], "digest": made["digest"], "approval": made["approval"], "owner": made["owner"],
                "blocked": made["blocked"], "summary": summary, "ready": [step["id"] for step in plan.open_steps(made)], "containment": made["containment"],
                "plan": os.path.abspath(run.path("plan.json"))}
