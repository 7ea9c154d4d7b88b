"""Say whether a step of the plan may be taken now, as far as the plan, the steps before it and the guards of all hosts tell. Touches no host."""
from __future__ import annotations

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import gate, journal
from ansible_collections.mailops.outage.plugins.module_utils.text import clean


class ActionModule(ActionBase):
    """Controller only."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec({
            "run_dir": {"type": "path", "required": True},
            "step": {"type": "str", "required": True},
            "states": {"type": "dict", "required": True},
            "mode": {"type": "str", "default": "advise", "choices": ["advise", "approve", "auto"]},
            "freeze": {"type": "bool", "default": False},
            "per_estate": {"type": "int", "default": 4},
        })
        run = Run(args["run_dir"])
        try:
            made = run.read("plan.json")
            step = next(item for item in made["steps"] if item["id"] == args["step"])
        except (OSError, ValueError, KeyError, StopIteration) as problem:
            raise AnsibleActionFail(f"{args['run_dir']} holds no plan with the step {args['step']}: {problem}") from None
        states = {host: state for host, state in args["states"].items() if isinstance(state, dict) and state.get("granted")}
        because = gate.refusal(made, step, gate.outcomes(run), states, args["mode"], args["freeze"], args["per_estate"])
        if because and args["mode"] != "advise":
            journal.append(run.dir, "not_begun", step=step["id"], host=step["host"], cause=step["cause"], because=clean(because))
            Display().display(clean(f"{step['host']}: step {step['id']} is not taken: {because}"))
        result.update(changed=False, wanted=not because, because=because, host=step["host"])
        return result
