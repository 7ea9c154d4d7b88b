"""Say how a repair ended: what is repaired, what still is for people, and whether the journal is whole. Controller only; touches no host."""
from __future__ import annotations

import os

from ansible import constants as C

from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import journal
from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.plugin_utils.mail_action import MailAction


class ActionModule(MailAction):
    """Controller only."""

    _requires_connection = False
    ARGUMENTS = {"run_dir": {"type": "path", "required": True}}

    def act(self, args):
        run = Run(args["run_dir"])
        with self.or_fail(f"It cannot be told how the repair of {run.dir} ended"):
            made, entries = run.read("plan.json"), journal.entries(run.dir)
        known = journal.outcomes(entries)
        repaired = {(entry["host"], entry["cause"]) for entry in known if entry["outcome"] == "repaired"}
        left = journal.left(entries, [(step["host"], step["cause"]) for step in made["steps"]])
        lines = [f"{entry['host']}: {entry['cause']}: {entry['role']}: {entry['outcome'].replace('_', ' ')} ({entry['because']})" for entry in known]
        lines += [f"{host}: {cause}: not repaired; a person must look" for host, cause in left]
        summary = "\n".join(clean(line) for line in lines)
        if "mailops.outage.summary" not in C.CALLBACKS_ENABLED:
            self.say(summary)
        return {"changed": False, "summary": summary, "repaired": [f"{host}: {cause}" for host, cause in sorted(repaired)],
                "left": [f"{host}: {cause}" for host, cause in left], "outcomes": known, "entries": len(entries),
                "journal": os.path.abspath(run.path(journal.FILE))}
