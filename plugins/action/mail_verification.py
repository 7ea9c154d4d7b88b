"""Say whether mail works: what passed, what failed, what was not tested.

Runs once, on the controller. Reads the run's folder, in which a diagnosis and the canaries are; touches no host.
"""
from __future__ import annotations

import os

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import estate as estate_facts
from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.verification import before, judge
from ansible_collections.mailops.outage.plugins.plugin_utils.mail_action import MailAction


class ActionModule(MailAction):
    """Controller only."""

    _requires_connection = False
    ARGUMENTS = {
        "run_dir": {"type": "path", "required": True},
        "before": {"type": "path", "default": ""},
        "language": {"type": "str", "default": "en", "choices": ["en", "nl"]},
        "show": {"type": "bool", "default": True},
    }

    def act(self, args):
        run = Run(args["run_dir"])
        with self.or_fail("A verification needs a finished diagnosis and sent canaries, also where `before` names a run"):
            sent, estate, observations = run.read("journeys.json"), run.read("estate.json"), run.observations()
            folder = "" if args["before"] == "none" else args["before"] or before.newest_outage(run, run.read("run.json")["started_epoch"])
            seen = judge.Seen(
                diagnosis=run.read("diagnosis.json"), observations=observations, legs=sent["legs"], missing=sent["not_tested"],
                expected={item["host"]: sorted(estate_facts.expected(item, estate.get("declared") or {})) for item in observations},
                settled=Run(run.path("settled")).observations(), estate=estate, before=Run(folder).read("diagnosis.json") if folder else None)
        found = judge.judge(seen, args["language"])
        run.write("verification.json", found)
        summary = "\n".join(judge.lines(found))
        if args["show"]:
            self.say(summary)
        return {"changed": False, "passed": found["passed"], "summary": summary, "digest": found["digest"], "before": found["before"] or "",
                "failing": [check["id"] for check in found["checks"] if check["state"] == judge.FAILED],
                "not_tested": [check["id"] for check in found["checks"] if check["state"] == judge.NOT_TESTED],
                "verification": os.path.abspath(run.path("verification.json"))}
