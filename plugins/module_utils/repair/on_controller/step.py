"""The phases of a step: may it be taken, the change, the end; and what an interrupted run left. Plain Python: whoever calls hands in how a host is asked.

A step is not confirmed by the change. Until its end confirms it, a timer on the host puts it back.
"""
from __future__ import annotations

import time

from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_controller import gate, journal, plan, proof
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies.registry import REMEDIES
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_POLL_SECONDS = 2.0
# What may have died of a cause that was something else.
_SERVICES = ("mta", "imap", "milter", "policy", "filter", "antispam")
GUARDS = "guards"


class NoStep(ValueError):
    """The folder of the run holds no plan with this step."""


class Step:
    """One step of the plan in the folder of a run.

    ``ask(module, check=False, **args)``: what a module of this collection answers on the step's host; a host that is gone answers
    ``{failed, unreachable, msg}``. ``say(text)``: for whoever watches. ``clock()`` and ``sleep(seconds)``: monotonic.
    """

    def __init__(self, run: Run, name: str, ask, say, clock=time.monotonic, sleep=time.sleep):
        try:
            self.plan = run.read("plan.json")
            self.step = next(item for item in self.plan["steps"] if item["id"] == name)
        except (OSError, ValueError, KeyError, StopIteration) as problem:
            raise NoStep(f"{run.dir} holds no plan with the step {name}: {problem}") from None
        self.run, self._ask, self._say, self._clock, self._sleep, self._checkpoint = run, ask, say, clock, sleep, ""

    def gate(self, mode: str, freeze: bool, per_estate: int) -> str:
        """Why the step is not taken, as far as plan, journal and guards tell; empty when it may be. Raises journal.Damaged."""
        states = {item["host"]: item["status"] for item in self.run.of_hosts(GUARDS) if item["status"].get("granted")}
        because = gate.refusal(self.plan, self.step, journal.entries(self.run.dir), states, mode, freeze, per_estate)
        if because and mode != "advise":
            self.note("not_begun", because=clean(because))
            self._tell(f"is not taken: {because}")
        return because

    def change(self, before: proof.Seen, again, approved: str, now: float, limits: dict) -> dict:
        """``{outcome, because, changed_at}``: evidence, lock, budget, checkpoint and timer, the change, and the wait for what failed to work.

        ``again(looks)``: those of the looks that work now. ``approved``: see plan.approval; ``now``: epoch seconds. ``limits``: approval_hours,
        rollback_after, settle (seconds to wait for what failed), per_hour, per_day.
        """
        because = gate.evidence_refusal(self.plan, self.step, approved, before, now, limits["approval_hours"]) or self._changed_since()
        if because:
            return self._end("refused", because)
        patience = limits["settle"]
        # The timer must not fall into a remedy that takes its time, such as an installation, nor into the wait.
        rollback_after = limits["rollback_after"] + patience + getattr(REMEDIES[self.step["role"]], "MOST_SECONDS", 0)
        began = self._guard("begin", owner=self.plan["owner"], remedy=self.step["role"], cause=self.step["cause"], rollback_after=rollback_after,
                            lock_seconds=rollback_after + patience, per_hour=limits["per_hour"], per_day=limits["per_day"])
        if not began.get("granted"):
            return self._end("refused", began.get("because") or began.get("msg") or "the guard did not answer")
        self._checkpoint = began["checkpoint"]
        self.note("begun", checkpoint=began["checkpoint"], rolls_back_at=began["rolls_back_at"], storage=began["storage"])
        self._tell(f"checkpoint {began['checkpoint']}; without confirmation the host puts itself back at {began['rolls_back_at']}")
        return self._take(before, again, patience)

    def _changed_since(self) -> str:
        """Why the remedy would now do something else than what was shown; empty when it would not."""
        answer = self._remedy(self.step["role"], self.step["options"], check=True)
        if answer.get("failed"):
            return answer.get("refused") or answer.get("msg") or "the host did not answer"
        return gate.differs(self.step["commands"], answer.get("steps") or [])

    def _take(self, before, again, patience) -> dict:
        """The change itself, put back at once where it fails; then the wait."""
        step = self.step
        # On record before it is made, so that it is known also when nothing comes back.
        self.note("change", options=step["options"], commands=[command["does"] for command in step["commands"]], diffs=step["diffs"])
        changed_at = time.time()
        answer = self._remedy(step["role"], step["options"])
        self._record("changed", answer)
        if answer.get("unreachable"):
            return self._end("lost", "the host does not answer any more; it puts itself back by its own timer", changed_at)
        if answer.get("failed"):
            return dict(self._close("roll_back", clean(answer.get("msg") or "the remedy failed")), changed_at=changed_at)
        if step["role"] != "restart_service":
            self._start_what_stopped()
        waited, left = self._wait(proof.awaited(before, self._pending()), again, patience)
        because = f"waited {waited:.0f} s" + (f"; still failing: {', '.join(map(str, left[:4]))}" if left else "")
        return self._end("changed", because, changed_at)

    def _start_what_stopped(self) -> None:
        """What died of the cause does not come back by itself when the cause is gone. Where nothing is ill, nothing is started.

        A refusal is left to the look that follows.
        """
        answer = self._remedy("restart_service", {"roles": list(_SERVICES)})
        if answer.get("failed") or answer.get("steps"):
            self._record("started", answer)

    def _record(self, event, answer) -> None:
        taken = [record for record in answer.get("steps") or [] if record.get("taken")]
        self.note(event, taken=taken, failed=bool(answer.get("failed")), said=clean(answer.get("msg") or ""))
        for record in taken:
            self._tell(f"{record['does']} -> {record['rc']}")

    def _pending(self) -> list:
        """The steps that may still be taken after this one."""
        ready = plan.open_steps(self.plan)
        return ready[ready.index(self.step) + 1:] if self.step in ready else []

    def _wait(self, wanted, again, seconds) -> tuple:
        """``(seconds waited, looks that still fail)``: until all that is wanted works, or what runs there has had its time to come back."""
        began, left = self._clock(), list(wanted)
        while left:
            quick = [look for look in left if look.kind != "message"]
            works = again(quick or left)
            left = [look for look in left if look not in works]
            if not left or self._clock() - began >= seconds:
                break
            if not works:
                self._sleep(_POLL_SECONDS)
        return self._clock() - began, left

    def end(self, before: proof.Seen, after: proof.Seen | None, problem: str = "") -> dict:
        """``{outcome, because, restored, left}``: confirm the repair when the look ``after`` it proves it, put the host back when not.

        Without a look after it (None, ``problem`` says why) it is put back: what was not seen is not well. What that look still finds is on record.
        """
        contained = [item["host"] for item in self.plan["containment"]]
        helped, because = proof.judge(self.step, before, after, self.plan["mode"] == "approve", contained) if after else \
            (False, f"the look after the repair is not there: {problem}")
        found = sorted(proof.left(after, contained)) if after else []
        self.note("judged", helped=helped, because=clean(because), found=[list(place) for place in found])
        return self._close("confirm" if helped else "roll_back", because)

    def _close(self, action, because) -> dict:
        """Have the host's guard end the step, and say what it says: its checkpoint knows what became of it."""
        answer = self._guard(action, because=clean(because))
        outcome, said = ended(action, answer)
        because = "; ".join(filter(None, (because, said)))
        details = {name: answer.get(name) or [] for name in ("restored", "left")}
        return dict(self._end(outcome, because, **details), **details)

    def note(self, event, **details) -> str:
        """Put it on record; the digest of the entry, which the host keeps too."""
        step = self.step
        return journal.append(self.run.dir, event, step=step["id"], host=step["host"], cause=step["cause"], role=step["role"], **details)["digest"]

    def _end(self, outcome, because, changed_at=None, **details) -> dict:
        self.note("waited" if outcome == "changed" else outcome, because=clean(because), **details)
        self._tell(f"{outcome.replace('_', ' ')}: {because}")
        return {"outcome": outcome, "because": clean(because), "changed_at": changed_at}

    def _tell(self, text) -> None:
        self._say(clean(f"{self.step['host']}: step {self.step['id']}: {text}"))

    def _guard(self, action, **more) -> dict:
        return self._ask("mail_guard", action=action, step=self.step["id"], journal=journal.last_digest(self.run.dir), **more)

    def _remedy(self, role, options, check=False) -> dict:
        return self._ask("mail_remedy", check=check, remedy=role, options=options, checkpoint=self._checkpoint)


def ended(action: str, answer: dict) -> tuple:
    """``(outcome, sentence)`` of a step that the guard was asked to ``confirm`` or ``roll_back``, in the words of its checkpoint."""
    if answer.get("failed") or answer.get("unreachable"):
        return "lost", f"the host does not answer the guard ({clean(answer.get('msg'))}), and puts itself back by its own timer"
    left = ", ".join(f"{item['path']} ({item['because']})" for item in (answer.get("left") or [])[:4])
    outcome = {"confirmed": "repaired", "rolled_back": "rolled_back", "interrupted": "rolled_back"}.get(answer.get("state"), "not_put_back")
    said = "" if answer.get("granted") else "the host had ended it already"
    if outcome == "not_put_back":
        said = f"not put back: {left or answer.get('because') or 'its checkpoint cannot be read'}"
    return outcome, said


def resume(run: Run, host: str, status: dict, is_gone, ask, say) -> list:
    """End what an interrupted run of this controller left open on a host, by what the run's look at the estate says; the outcomes.

    Confirmed only when everything that was tried there works, put back when not. ``status``: what mail_guard told; ``is_gone(owner)`` as in owner.py.
    """
    checkpoints, lock = gate.left_open(status, is_gone)
    if not checkpoints and not lock:
        return []
    well = proof.works_alone(proof.Seen.of(run), host)
    found = []
    for item in checkpoints:
        because = "an interrupted run left it open, and " + ("mail works" if well else "not everything works")
        about = {"host": host, "step": item["step"], "cause": item["cause"], "role": item["remedy"]}
        journal.append(run.dir, "resumed", checkpoint=item["id"], because=because, **about)
        action = "confirm" if well else "roll_back"
        answer = ask("mail_guard", action=action, step=item["step"], because=because, interrupted=not well, journal=journal.last_digest(run.dir))
        outcome, said = ended(action, answer)
        because = "; ".join(filter(None, (because, said)))
        journal.append(run.dir, outcome, because=because, restored=answer.get("restored") or [], left=answer.get("left") or [], **about)
        say(clean(f"{host}: {item['id']}: {because}: {outcome.replace('_', ' ')}"))
        found.append(outcome)
    if lock:
        ask("mail_guard", action="release", owner=lock)
    return found


def flush(run: Run, host: str, ask, say) -> str:
    """Let the mail go that waited for the repair, once; why not, or an empty text. A refusal is no failure: the mail goes by itself, only later."""
    journal.append(run.dir, "flush", host=host, because="mail that waited for the repair need not wait longer")
    answer = ask("mail_remedy", remedy="flush_queue", options={})
    because = clean(answer.get("msg") or "the host did not answer") if answer.get("failed") else "" if answer.get("changed") else "nothing waits"
    journal.append(run.dir, "not_flushed" if because else "flushed", host=host, because=because)
    if not because:
        say(clean(f"{host}: the queue was flushed once"))
    return because
