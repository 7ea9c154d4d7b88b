"""Keep the evidence of one mail host: the module gathers it in the host's memory, and it is written here."""
from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os

from ansible.errors import AnsibleActionFail

from ansible_collections.mailops.outage.plugins.plugin_utils.in_memory import leave_no_file
from ansible_collections.mailops.outage.plugins.plugin_utils.mail_action import MailAction


def write(path: str, content: bytes) -> None:
    """Put a file that only its owner may read in place at once. Raises OSError; then nothing is left behind."""
    os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
    aside = f"{path}.{os.getpid()}.new"
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(aside, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


class ActionModule(MailAction):
    """Runs mail_log_bundle on the host; writes the file on the controller."""

    # The module on the host judges them.
    ARGUMENTS = None

    def act(self, args):
        leave_no_file(self, self.task_vars)
        answer = self._execute_module("mailops.outage.mail_log_bundle", module_args=args, task_vars=self.task_vars)
        encoded = answer.pop("content", None)
        if answer.get("failed") or answer.get("unreachable") or encoded is None:
            return answer
        path = os.path.abspath(os.path.expanduser(args["dest"]))
        try:
            content = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise AnsibleActionFail("The bundle did not arrive whole.") from None
        if hashlib.sha256(content).hexdigest() != answer["sha256"]:
            raise AnsibleActionFail("The bundle did not arrive whole.")
        if not self._task.check_mode:
            try:
                write(path, content)
            except OSError as problem:
                raise AnsibleActionFail(f"The bundle cannot be written to {path}: {problem}") from None
        return dict(answer, changed=True, path=path)
