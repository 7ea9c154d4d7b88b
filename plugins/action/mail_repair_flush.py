"""After a repair, let the mail that waited go: one flush a host, on record before it is done."""
from __future__ import annotations

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import journal
from ansible_collections.mailops.outage.plugins.module_utils.text import clean


class ActionModule(ActionBase):
    """Runs mail_remedy on the host. A flush that is refused is no failure: the mail goes by itself, only later."""

    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec({"run_dir": {"type": "path", "required": True}})
        run, host = Run(args["run_dir"]), task_vars["inventory_hostname"]
        if self._task.check_mode:
            return dict(result, changed=False, flushed=False, because="check mode changes nothing")
        journal.append(run.dir, "flush", host=host, because="mail that waited for the repair need not wait longer")
        try:
            answer = self._execute_module("mailops.outage.mail_remedy", module_args={"remedy": "flush_queue"}, task_vars=task_vars)
        except AnsibleError as problem:
            answer = {"failed": True, "msg": str(problem)}
        because = clean(answer.get("msg") or "") if answer.get("failed") else ""
        flushed = bool(answer.get("changed")) and not because
        journal.append(run.dir, "flushed" if flushed else "not_flushed", host=host, because=because)
        if flushed:
            Display().display(clean(f"{host}: the queue was flushed once"))
        result.update(changed=flushed, flushed=flushed, because=because)
        return result
