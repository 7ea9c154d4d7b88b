"""Take one step of a plan on its host: evidence looked up again, lock, budget, checkpoint and rollback timer, the change, and the wait for mail to work.

The repair is not confirmed here. Until mail_repair_end confirms it, a timer on the host puts it back.
"""
from __future__ import annotations

import time

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import estate
from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import gate, journal
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies.registry import REMEDIES
from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.wire import probe as wire_probe

_POLL_SECONDS = 2.0
# What may have died of a cause that was something else.
_SERVICES = ("mta", "imap", "milter", "policy", "filter", "antispam")


class ActionModule(ActionBase):
    """Runs mail_guard and mail_remedy on the host; probes on the controller."""

    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec({
            "run_dir": {"type": "path", "required": True},
            "before_dir": {"type": "path", "required": True},
            "step": {"type": "str", "required": True},
            "approved": {"type": "str", "default": ""},
            "rollback_after": {"type": "int", "default": 600},
            "settle": {"type": "int", "default": 90},
            "per_hour": {"type": "int", "default": 1},
            "per_day": {"type": "int", "default": 3},
            "ca_file": {"type": "path"},
        })
        run = Run(args["run_dir"])
        try:
            made, looked = run.read("plan.json"), Run(args["before_dir"])
            before, declared = looked.read("diagnosis.json"), looked.read("estate.json").get("declared") or {}
            expected = {item["host"]: estate.expected(item, declared) for item in looked.observations()}
            step = next(item for item in made["steps"] if item["id"] == args["step"])
        except (OSError, ValueError, KeyError, StopIteration) as problem:
            raise AnsibleActionFail(f"The step {args['step']} cannot be taken from {args['run_dir']}: {problem or 'there is no such step'}") from None
        self._vars, self._run_folder, self._step = task_vars, run, step
        because = gate.evidence_refusal(made, step, args["approved"], before)
        if not because and not self._task.check_mode:
            because = self._changed_since(step)
        if because or self._task.check_mode:
            return dict(result, **self._end("refused" if because else "not_taken", because or "check mode changes nothing"))
        # The timer must not fall into a remedy that takes its time, such as an installation.
        rollback_after = args["rollback_after"] + getattr(REMEDIES[step["role"]], "MOST_SECONDS", 0)
        began = self._guard("begin", owner=made["owner"], remedy=step["role"], cause=step["cause"], rollback_after=rollback_after,
                            lock_seconds=rollback_after + args["settle"], per_hour=args["per_hour"], per_day=args["per_day"])
        if not began.get("granted"):
            return dict(result, **self._end("refused", began.get("because") or began.get("msg") or "the guard did not answer"))
        self._note("begun", checkpoint=began["checkpoint"], rolls_back_at=began["rolls_back_at"], storage=began["storage"])
        Display().display(clean(f"{step['host']}: checkpoint {began['checkpoint']}; without confirmation it puts itself back at {began['rolls_back_at']}"))
        return dict(result, **self._change(args, gate.awaited(before, step["host"], step["cause"], expected.get(step["host"], set()))))

    def _changed_since(self, step):
        """Why the remedy would now do something else than what was shown; empty when it would not."""
        self._task.check_mode = True
        answer = self._ask("mail_remedy", remedy=step["role"], options=step["options"])
        self._task.check_mode = False
        if answer.get("failed"):
            return clean(answer.get("refused") or answer.get("msg") or "the host did not answer")
        return gate.differs(step["commands"], answer.get("steps") or [])

    def _change(self, args, awaited):
        """The change itself, put back at once where it fails; then the wait."""
        step = self._step
        # On record before it is made, so that it is known also when nothing comes back.
        self._note("change", role=step["role"], options=step["options"], commands=[command["does"] for command in step["commands"]], diffs=step.get("diffs"))
        changed_at = time.time()
        answer = self._ask("mail_remedy", remedy=step["role"], options=step["options"])
        taken = [record for record in answer.get("steps") or [] if record.get("taken")]
        self._note("changed", taken=taken, failed=bool(answer.get("failed")), said=clean(answer.get("msg") or ""))
        for record in taken:
            Display().display(clean(f"{step['host']}: {record['does']} -> {record['rc']}"))
        if answer.get("unreachable"):
            return self._end("lost", "the host does not answer any more; it puts itself back by its own timer", changed_at=changed_at)
        if answer.get("failed"):
            return self._put_back(clean(answer.get("msg") or "the remedy failed"))
        if step["role"] != "restart_service":
            self._start_what_stopped()
        waited = self._wait(awaited, args)
        return self._end("changed", f"waited {waited:.0f} s for the mail services to answer", changed_at=changed_at)

    def _start_what_stopped(self):
        """What died of the cause does not come back by itself when the cause is gone. Where nothing is ill, nothing is started.

        A refusal is left to the look that follows.
        """
        answer = self._ask("mail_remedy", remedy="restart_service", options={"roles": list(_SERVICES)})
        taken = [record for record in answer.get("steps") or [] if record.get("taken")]
        if taken or answer.get("failed"):
            self._note("started", taken=taken, failed=bool(answer.get("failed")), said=clean(answer.get("msg") or ""))
        for record in taken:
            Display().display(clean(f"{self._step['host']}: {record['does']} -> {record['rc']}"))

    def _put_back(self, because):
        back = self._guard("roll_back", because=because)
        if back.get("failed") or back.get("unreachable"):
            return self._end("lost", f"{because}; and it could not be put back from here, which the host does by its own timer")
        return self._end("rolled_back", because, restored=back.get("restored") or [], left=back.get("left") or [])

    def _wait(self, targets, args):
        """Until every service that worked or is to work answers, ``settle`` seconds at most: Postfix keeps dead daemons back for a minute. The seconds."""
        began = time.monotonic()
        while targets and time.monotonic() - began < args["settle"]:
            try:
                seen = wire_probe.probe_all(targets, dict(estate.PATIENCE, ca_file=args["ca_file"], vantage="controller"))
            except wire_probe.BadRequest:
                break
            if all(item["ok"] for item in seen):
                break
            time.sleep(_POLL_SECONDS)
        return time.monotonic() - began

    def _guard(self, action, **more):
        return self._ask("mail_guard", action=action, step=self._step["id"], **more)

    def _ask(self, module, **module_args):
        """What the module answers; a host that is gone answers ``{unreachable}``."""
        try:
            return self._execute_module(f"mailops.outage.{module}", module_args=module_args, task_vars=self._vars)
        except AnsibleError as problem:
            return {"failed": True, "unreachable": True, "msg": str(problem)}

    def _note(self, event, **details):
        step = self._step
        journal.append(self._run_folder.dir, event, step=step["id"], host=step["host"], cause=step["cause"], **details)

    def _end(self, outcome, because, changed_at=None, **details):
        self._note(outcome, because=clean(because), **details)
        if outcome != "changed":
            gate.remember(self._run_folder, self._step, outcome, clean(because))
        Display().display(clean(f"{self._step['host']}: step {self._step['id']}: {outcome.replace('_', ' ')}: {because}"))
        return {"changed": outcome in ("changed", "lost"), "outcome": outcome, "because": clean(because), "changed_at": changed_at}
