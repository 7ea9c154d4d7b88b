"""Say how a repair ended: what is repaired, what still is for people, and whether the journal is whole. Controller only; touches no host."""
from __future__ import annotations

import os

from ansible import constants as C
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
        _validation, args = self.validate_argument_spec({"run_dir": {"type": "path", "required": True}})
        run = Run(args["run_dir"])
        try:
            made, known = run.read("plan.json"), gate.outcomes(run)
            entries = journal.entries(run.dir)
        except journal.Damaged as problem:
            raise AnsibleActionFail(f"The journal cannot be trusted: {problem}") from None
        except (OSError, ValueError, KeyError) as problem:
            raise AnsibleActionFail(f"{args['run_dir']} holds no plan: {problem}") from None
        repaired = {(entry["host"], entry["cause"]) for entry in known if entry["outcome"] == "repaired"}
        left = [name for name in dict.fromkeys((step["host"], step["cause"]) for step in made["steps"]) if name not in repaired]
        lines = [f"{entry['host']}: {entry['cause']}: {entry['role']}: {entry['outcome'].replace('_', ' ')} ({entry['because']})" for entry in known]
        lines += [f"{host}: {cause}: not repaired; a person must look" for host, cause in left]
        summary = "\n".join(clean(line) for line in lines)
        if "mailops.outage.summary" not in C.CALLBACKS_ENABLED:
            Display().display(summary)
        result.update(changed=False, summary=summary, repaired=[f"{host}: {cause}" for host, cause in sorted(repaired)],
                      left=[f"{host}: {cause}" for host, cause in left], outcomes=known, entries=len(entries), journal=os.path.abspath(run.path(journal.FILE)))
        return result
