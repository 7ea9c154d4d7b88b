"""What the actions of this collection have in common: their arguments, one place for errors, and how a host is asked."""
from __future__ import annotations

import contextlib

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display


class MailAction(ActionBase):
    """An action names its ``ARGUMENTS`` (an argument spec, or None where the module on the host judges them) and says in ``act(args)`` what it returns."""

    ARGUMENTS: dict | None = {}
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        self.task_vars = task_vars or {}
        args = self._task.args if self.ARGUMENTS is None else self.validate_argument_spec(self.ARGUMENTS)[1]
        result.update(self.act(args))
        return result

    def act(self, args) -> dict:
        """What the action returns. Raises AnsibleActionFail with one sentence that says what to do."""
        raise NotImplementedError

    @property
    def host(self) -> str:
        return self.task_vars["inventory_hostname"]

    @staticmethod
    @contextlib.contextmanager
    def or_fail(sentence):
        """What lies in a run's folder and cannot be used ends the task with ``sentence`` and the reason, not with a traceback."""
        try:
            yield
        except (OSError, ValueError, KeyError, StopIteration) as problem:
            raise AnsibleActionFail(f"{sentence}: {problem if str(problem) else type(problem).__name__}") from None

    def ask(self, module, check=False, **module_args) -> dict:
        """What a module of this collection answers on the host; a host that is gone answers ``{failed, unreachable, msg}``."""
        was, self._task.check_mode = self._task.check_mode, check or self._task.check_mode
        try:
            return self._execute_module(f"mailops.outage.{module}", module_args=module_args, task_vars=self.task_vars)
        except AnsibleError as problem:
            return {"failed": True, "unreachable": True, "msg": str(problem)}
        finally:
            self._task.check_mode = was

    @staticmethod
    def say(text) -> None:
        Display().display(text)
