"""Pick up what an interrupted run of this controller left open on a host: confirm the repair when mail works there, put the host back when not."""
from __future__ import annotations

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import gate, journal, owner, verdict
from ansible_collections.mailops.outage.plugins.module_utils.text import clean


class ActionModule(ActionBase):
    """Runs mail_guard on the host. Repairs of others, and of a process that still runs, are left alone: their own timer ends them."""

    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec({"run_dir": {"type": "path", "required": True}})
        run, host = Run(args["run_dir"]), task_vars["inventory_hostname"]
        try:
            found = run.read("diagnosis.json")
        except (OSError, ValueError) as problem:
            raise AnsibleActionFail(f"{args['run_dir']} holds no diagnosis: {problem}") from None
        check, self._task.check_mode = self._task.check_mode, False
        state = self._ask(task_vars, action="status")
        self._task.check_mode = check
        checkpoints, lock = gate.left_open(state, owner.is_gone)
        done = []
        well = verdict.is_well(found, host)
        for checkpoint in checkpoints if not check else []:
            because = "an interrupted run left it open, and " + ("mail works" if well else "mail does not work")
            journal.append(run.dir, "resumed", host=host, step=checkpoint["step"], cause=checkpoint["cause"], checkpoint=checkpoint["id"], because=because)
            answer = self._ask(task_vars, action="confirm" if well else "roll_back", step=checkpoint["step"], because=because,
                               interrupted=not well)
            outcome = "repaired" if well else "rolled_back"
            journal.append(run.dir, outcome, host=host, step=checkpoint["step"], cause=checkpoint["cause"], restored=answer.get("restored") or [],
                           left=answer.get("left") or [])
            Display().display(clean(f"{host}: {checkpoint['id']}: {because}: {outcome.replace('_', ' ')}"))
            done.append(outcome)
        if lock and not check:
            self._ask(task_vars, action="release", owner=lock)
        result.update(changed=bool(done), outcomes=done, look_again="rolled_back" in done)
        return result

    def _ask(self, task_vars, **module_args):
        try:
            return self._execute_module("mailops.outage.mail_guard", module_args=module_args, task_vars=task_vars)
        except AnsibleError as problem:
            return {"failed": True, "msg": str(problem)}
