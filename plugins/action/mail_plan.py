"""Make the plan of a repair from a diagnosis and what the hosts told of its remedies, show it, and open the journal. Controller only; touches no host."""
from __future__ import annotations

import os

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import catalogue, diagnose
from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import journal, owner, plan
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies.registry import REMEDIES
from ansible_collections.mailops.outage.plugins.module_utils.report import plan as report


class ActionModule(ActionBase):
    """Controller only."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec({
            "run_dir": {"type": "path", "required": True},
            "catalogue_dir": {"type": "path", "required": True},
            "mode": {"type": "str", "default": "advise", "choices": ["advise", "approve", "auto"]},
            "confidence": {"type": "float", "default": 0.7},
            "settle": {"type": "int", "default": 90},
            "rollback_after": {"type": "int", "default": 600},
            "actor": {"type": "str", "default": ""},
            "language": {"type": "str", "default": "en", "choices": ["en", "nl"]},
        })
        run = Run(args["run_dir"])
        try:
            found = run.read("diagnosis.json")
            views, _whole = diagnose.views_of(catalogue.load(args["catalogue_dir"]), run.observations(), run.read("estate.json"))
            views = {view["host"]: view for view in views}
            rehearsals = {item["host"]: item["told"] for item in run.of_hosts("rehearsals")}
            made = plan.finished(found, plan.candidates(found, views, REMEDIES), rehearsals, args["confidence"])
            for step in made["steps"]:
                step["diffs"] = (rehearsals.get(step["host"], {}).get(step["id"]) or {}).get("diffs") or []
            made.update(mode=args["mode"], owner=owner.owner(found["run_id"]), actor=args["actor"], containment=plan.containment(found, views))
            run.write("plan.json", made)
            journal.append(run.dir, "plan", plan=made["digest"], mode=args["mode"], owner=made["owner"], actor=args["actor"], blocked=made["blocked"],
                           steps=[{name: step[name] for name in ("id", "host", "cause", "role", "options", "blocked")} for step in made["steps"]])
        except (OSError, ValueError, KeyError) as problem:
            raise AnsibleActionFail(f"The plan of {args['run_dir']} could not be made: {type(problem).__name__}: {problem}") from None
        summary = "\n".join(report.lines(made, args["mode"], args["language"], args["settle"], args["rollback_after"], run.path("plan.json")))
        Display().display(summary)
        ready = plan.open_steps(made)
        result.update(changed=False, steps=made["steps"], digest=made["digest"], owner=made["owner"], blocked=made["blocked"], summary=summary,
                      ready=[step["id"] for step in ready], containment=made["containment"], plan=os.path.abspath(run.path("plan.json")))
        return result
