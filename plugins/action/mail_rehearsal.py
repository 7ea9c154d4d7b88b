"""Ask a host, in check mode, what each remedy of its causes would do there; changes nothing."""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import plan, proof
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies.registry import REMEDIES
from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.plugin_utils.mail_action import MailAction


class ActionModule(MailAction):
    """Runs mail_remedy on the host, always in check mode."""

    ARGUMENTS = {"run_dir": {"type": "path", "required": True}}

    def act(self, args):
        run = Run(args["run_dir"])
        with self.or_fail(f"A plan needs a finished diagnosis in {run.dir}"):
            seen = proof.Seen.of(run)
            steps = [step for step in plan.candidates(seen.diagnosis, REMEDIES) if step["host"] == self.host]
        told = {step["id"]: self._told(step, seen) for step in steps if not step["blocked"]}
        joined = plan.together(steps, told)
        told.update({step["id"]: self._told(step, seen) for step in joined})
        # Where it is not for this host as one, it stays in its parts.
        joined = [step for step in joined if told[step["id"]]["steps"]]
        run.write_of_host("rehearsals", {"host": self.host, "told": told, "together": joined})
        return {"changed": False, "rehearsed": sorted(told), "refused": {name: entry["refused"] for name, entry in told.items() if entry["refused"]}}

    def _told(self, step, seen) -> dict:
        """``{steps, refused, diffs, options}``; a guard that stops our own mail, and nothing else of which it could be told, may come back as it was."""
        options = step["options"]
        answer = self._asked(step["role"], options)
        ours = proof.stopping_us(answer.get("loosens") or [], seen, step["host"])
        if ours:
            options = dict(options, may_loosen=ours)
            answer = self._asked(step["role"], options)
        diffs = answer.get("diff") or []
        refused = answer.get("refused") or ""
        if "steps" not in answer or (answer.get("failed") and not refused):
            refused = answer.get("msg") or "the host did not answer"
        return {"steps": [] if refused else answer["steps"], "refused": clean(refused), "options": options,
                "diffs": diffs if isinstance(diffs, list) else [diffs]}

    def _asked(self, role, options):
        return self.ask("mail_remedy", check=True, remedy=role, options=options)
