"""Add an entry to the journal of a run. Controller only; touches no host."""
from __future__ import annotations

import re

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import journal


class ActionModule(ActionBase):
    """Controller only."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec({
            "run_dir": {"type": "path", "required": True},
            "event": {"type": "str", "required": True},
            "details": {"type": "dict", "default": {}},
        })
        if not re.fullmatch(r"[a-z_]{1,40}", args["event"]) or {"time", "event", "before", "digest"} & set(args["details"]):
            raise AnsibleActionFail("An event is a word of lower-case letters, and its details have other names than time, event, before and digest.")
        if self._task.check_mode:
            return dict(result, changed=False)
        try:
            entry = journal.append(args["run_dir"], args["event"], **args["details"])
        except OSError as problem:
            raise AnsibleActionFail(f"The journal cannot be written: {problem}") from None
        result.update(changed=True, digest=entry["digest"])
        return result
