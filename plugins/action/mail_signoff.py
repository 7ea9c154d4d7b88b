"""Sign a verification by name, or see who has. Controller only."""
from __future__ import annotations

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.verification import signoff


class ActionModule(ActionBase):
    """Controller only: touches no host."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec({
            "run_dir": {"type": "path", "required": True},
            "name": {"type": "str", "default": ""},
            "note": {"type": "str", "default": ""},
            "way": {"type": "str", "default": "command", "choices": list(signoff.WAYS)},
            "required": {"type": "int", "default": 2},
        })
        run = Run(args["run_dir"])
        try:
            digest = signoff.verification(run)["digest"]
            given = bool(args["name"]) and not self._task.check_mode
            if given:
                signoff.give(run, args["name"], args["note"], args["way"])
            signed = signoff.counted(signoff.entries(run), digest)
        except signoff.NotSignable as problem:
            raise AnsibleActionFail(str(problem)) from None
        except OSError as problem:
            raise AnsibleActionFail(f"The sign-off could not be kept in {run.dir}: {problem}") from None
        result.update(changed=given, signoffs=signed, required=args["required"], enough=len(signed) >= args["required"],
                      missing=max(0, args["required"] - len(signed)))
        return result
