"""The phases of a step of a repair, and of the repair around it. Each host's guard is asked on the host; everything is decided and put on record here."""
from __future__ import annotations

import re
import time

from ansible.errors import AnsibleActionFail, AnsiblePromptInterrupt, AnsiblePromptNoninteractive
from ansible.utils.display import Display

from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import journal, owner, plan, proof, step
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller.again import Again
from ansible_collections.mailops.outage.plugins.module_utils.report import prompt
from ansible_collections.mailops.outage.plugins.module_utils.verification import journeys
from ansible_collections.mailops.outage.plugins.plugin_utils.journeys import ARGUMENTS, addresses_of
from ansible_collections.mailops.outage.plugins.plugin_utils.mail_action import MailAction

_MOST_QUESTIONS = 3


class ActionModule(MailAction):
    """Runs mail_guard and mail_remedy on the host in the phases guard, resume, change, end and flush; the others touch no host."""

    ARGUMENTS = {
        "phase": {"type": "str", "required": True, "choices": ["guard", "resume", "gate", "ask", "change", "end", "flush", "note"]},
        "run_dir": {"type": "path", "required": True},
        "step": {"type": "str", "default": ""},
        "before_dir": {"type": "path"},
        "after_dir": {"type": "path"},
        "mode": {"type": "str", "default": "advise", "choices": ["advise", "approve", "auto"]},
        "freeze": {"type": "bool", "default": False},
        "approved": {"type": "str", "default": ""},
        "approval_hours": {"type": "float", "default": 4},
        "rollback_after": {"type": "int", "default": 600},
        "settle": {"type": "int", "default": 0},
        "per_hour": {"type": "int", "default": 1},
        "per_day": {"type": "int", "default": 3},
        "per_estate": {"type": "int", "default": 4},
        "language": {"type": "str", "default": "en", "choices": ["en", "nl"]},
        "event": {"type": "str", "default": ""},
        "details": {"type": "dict", "default": {}},
        **ARGUMENTS,
    }

    def act(self, args):
        run = Run(args["run_dir"])
        if self._task.check_mode and args["phase"] not in ("guard", "gate"):
            return {"changed": False, "outcome": "not_taken", "because": "check mode changes nothing", "outcomes": [], "look_again": False, "answer": "no"}
        with self.or_fail(f"The phase {args['phase']} of {args['step'] or 'the repair'} in {run.dir} cannot be taken"):
            return getattr(self, f"_{args['phase']}")(run, args)

    def _step(self, run, args):
        return step.Step(run, args["step"], self.ask, self.say)

    def _guard(self, run, _args):
        """The guard's answer lies in the run's folder, where the gate finds it; also that there was none."""
        status = self.ask("mail_guard", action="status")
        run.write_of_host(step.GUARDS, {"host": self.host, "status": status if status.get("granted") else {"granted": False}})
        open_ones = status.get("checkpoints") or []
        return {"changed": False, "answered": bool(status.get("granted")), "open": len(open_ones), "because": str(status.get("msg") or "")}

    def _resume(self, run, _args):
        status = next((item["status"] for item in run.of_hosts(step.GUARDS) if item["host"] == self.host), {})
        done = step.resume(run, self.host, status, owner.is_gone, self.ask, self.say)
        return {"changed": bool(done), "outcomes": done, "look_again": any(outcome != "repaired" for outcome in done)}

    def _gate(self, run, args):
        one = self._step(run, args)
        because = one.gate(args["mode"], args["freeze"], args["per_estate"])
        return {"changed": False, "wanted": not because, "because": because, "host": one.step["host"]}

    def _ask(self, run, args):
        """What a person says to a step, or to the containment where no step is named: yes, no, or quit, which ends the whole repair."""
        made = run.read("plan.json")
        one = self._step(run, args).step if args["step"] else None
        answer, said = prompt.QUIT, "nobody is there to answer"
        text = prompt.question(made, one, args["language"])
        try:
            for _try in range(_MOST_QUESTIONS):
                given = Display().prompt_until(text).decode("utf-8", "replace")
                answer, said = prompt.understood(given, args["language"])
                if answer:
                    break
                text = said
        except AnsiblePromptNoninteractive:
            pass
        except AnsiblePromptInterrupt:
            said = "interrupted"
        answer = answer or prompt.NO
        self.say(said)
        about = {"step": one["id"], "host": one["host"], "cause": one["cause"], "role": one["role"]} if one else {}
        journal.append(run.dir, journal.STOPPED if answer == prompt.QUIT else "answered", answer=answer, said=said, plan=made["digest"], **about)
        return {"changed": False, "answer": answer, "approval": plan.approval(made, time.time()) if answer == prompt.YES else ""}

    def _change(self, run, args):
        looked = Run(args["before_dir"])
        one = self._step(run, args)
        before = proof.Seen.of(looked, run)
        again = Again(looked, args, addresses_of(journeys.external_names(args["external_accounts"]), args["resolvers"]))
        limits = {name: args[name] for name in ("approval_hours", "rollback_after", "per_hour", "per_day")}
        limits["settle"] = args["settle"] or proof.longest_return(looked.observations(), one.step["host"])
        ended = one.change(before, again.try_again, args["approved"], time.time(), limits)
        return dict(ended, changed=ended["outcome"] not in ("refused",))

    def _end(self, run, args):
        one, before = self._step(run, args), proof.Seen.of(Run(args["before_dir"]), run)
        try:
            after, problem = proof.Seen.of(Run(args["after_dir"])), ""
        except (OSError, ValueError, KeyError) as reason:
            after, problem = None, str(reason)
        return dict(one.end(before, after, problem), changed=True)

    def _flush(self, run, _args):
        because = step.flush(run, self.host, self.ask, self.say)
        return {"changed": not because, "flushed": not because, "because": because}

    def _note(self, run, args):
        if not re.fullmatch(r"[a-z_]{1,40}", args["event"]) or {"time", "event", "before", "digest"} & set(args["details"]):
            raise AnsibleActionFail("An event is a word of lower-case letters, and its details have other names than time, event, before and digest.")
        return {"changed": True, "digest": journal.append(run.dir, args["event"], **args["details"])["digest"]}
