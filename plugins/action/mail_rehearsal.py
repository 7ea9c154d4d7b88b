"""Ask a host, in check mode, what each remedy of its causes would do there; changes nothing."""
from __future__ import annotations

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import catalogue, diagnose
from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import plan
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies.registry import REMEDIES
from ansible_collections.mailops.outage.plugins.module_utils.text import clean


def told_by(answer: dict) -> dict:
    """What mail_remedy answered, ``{steps, refused, diffs}``; an answer that is none is a refusal with its message."""
    diffs = answer.get("diff") or []
    if "steps" not in answer or (answer.get("failed") and not answer.get("refused")):
        return {"steps": [], "refused": clean(answer.get("msg") or "the host did not answer"), "diffs": []}
    return {"steps": answer["steps"], "refused": answer.get("refused") or "", "diffs": diffs if isinstance(diffs, list) else [diffs]}


class ActionModule(ActionBase):
    """Runs mail_remedy on the host, always in check mode."""

    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec({
            "run_dir": {"type": "path", "required": True},
            "catalogue_dir": {"type": "path", "required": True},
        })
        run, host = Run(args["run_dir"]), task_vars["inventory_hostname"]
        try:
            views, _whole = diagnose.views_of(catalogue.load(args["catalogue_dir"]), run.observations(), run.read("estate.json"))
            steps = plan.candidates(run.read("diagnosis.json"), {view["host"]: view for view in views}, REMEDIES)
        except (OSError, ValueError, KeyError) as problem:
            raise AnsibleActionFail(f"A plan needs a finished diagnosis in {args['run_dir']}: {problem}") from None
        self._task.check_mode = True
        told = {
            step["id"]: told_by(self._execute_module("mailops.outage.mail_remedy", module_args={"remedy": step["role"], "options": step["options"]},
                                                     task_vars=task_vars))
            for step in steps if step["host"] == host and not step["blocked"]
        }
        run.write_of_host("rehearsals", {"host": host, "told": told})
        result.update(changed=False, rehearsed=sorted(told), refused={name: entry["refused"] for name, entry in told.items() if entry["refused"]})
        return result
