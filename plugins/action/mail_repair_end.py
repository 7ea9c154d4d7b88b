"""End a step: confirm the repair when the look after it and the messages show that it helped, put the host back when not."""
from __future__ import annotations

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import estate
from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import gate, journal, verdict
from ansible_collections.mailops.outage.plugins.module_utils.text import clean


class ActionModule(ActionBase):
    """Runs mail_guard on the host."""

    _supports_check_mode = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec({
            "run_dir": {"type": "path", "required": True},
            "before_dir": {"type": "path", "required": True},
            "after_dir": {"type": "path", "required": True},
            "step": {"type": "str", "required": True},
        })
        run, after = Run(args["run_dir"]), Run(args["after_dir"])
        try:
            made = run.read("plan.json")
            step = next(item for item in made["steps"] if item["id"] == args["step"])
            before = Run(args["before_dir"]).read("diagnosis.json")
        except (OSError, ValueError, KeyError, StopIteration) as problem:
            raise AnsibleActionFail(f"The step {args['step']} of {args['run_dir']} cannot be ended: {problem}") from None
        try:
            declared = after.read("estate.json").get("declared") or {}
            expected = {item["host"]: estate.expected(item, declared) for item in after.observations()}
            helped, because = verdict.judge(step, before, after.read("diagnosis.json"), after.read("journeys.json")["legs"], expected,
                                            any(item["host"] == step["host"] for item in made["containment"]))
        except (OSError, ValueError, KeyError) as problem:
            # What was not seen is not well.
            helped, because = False, f"the look after the repair is not there: {problem}"
        about = {"step": step["id"], "host": step["host"], "cause": step["cause"]}
        journal.append(run.dir, "judged", helped=helped, because=clean(because), after=args["after_dir"], **about)
        answer = self._ask(task_vars, action="confirm" if helped else "roll_back", step=step["id"], because=clean(because))
        outcome, said = self._outcome(helped, because, answer)
        journal.append(run.dir, outcome, because=clean(said), restored=answer.get("restored") or [], left=answer.get("left") or [], **about)
        gate.remember(run, step, outcome, clean(said))
        Display().display(clean(f"{step['host']}: step {step['id']}: {outcome.replace('_', ' ')}: {said}"))
        result.update(changed=True, outcome=outcome, because=clean(said), restored=answer.get("restored") or [], left=answer.get("left") or [])
        return result

    def _outcome(self, helped, because, answer):
        if answer.get("failed") or answer.get("unreachable"):
            return "lost", f"{because}; the host does not answer the guard ({clean(answer.get('msg'))}), and puts itself back by its own timer"
        if not answer.get("granted"):
            # The timer was faster.
            return "rolled_back", f"{because}; the host had put itself back already"
        if helped:
            return "repaired", because
        if answer.get("left"):
            return "not_put_back", f"{because}; left as it is: {', '.join(item['path'] + ' (' + item['because'] + ')' for item in answer['left'][:4])}"
        return "rolled_back", because

    def _ask(self, task_vars, **module_args):
        try:
            return self._execute_module("mailops.outage.mail_guard", module_args=module_args, task_vars=task_vars)
        except AnsibleError as problem:
            return {"failed": True, "unreachable": True, "msg": str(problem)}
