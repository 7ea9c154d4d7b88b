"""Running a module without writing to the host's disks, which may be full."""
from __future__ import annotations

import contextlib

from ansible.errors import AnsibleError


def leave_no_file(action, task_vars) -> None:
    """Let ``action`` send its module through the connection and unpack it in memory: the host is not changed.

    Where the inventory sets pipelining (a sudo that insists on a terminal wants it off), that holds. Where there is no
    /dev/shm, Python takes its usual folder for temporary files.
    """
    # Not from task_vars, where Ansible puts its own setting under the same name.
    declared = task_vars["hostvars"][task_vars["inventory_hostname"]]
    if "ansible_pipelining" not in declared and "ansible_ssh_pipelining" not in declared:
        with contextlib.suppress(AnsibleError, KeyError):
            action._connection.set_option("pipelining", True)
    action._task.environment = [{"TMPDIR": "/dev/shm"}, *(action._task.environment or [])]
