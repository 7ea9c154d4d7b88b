"""Send canary messages on every journey, and lay ready what a second look at the hosts needs.

Runs once, on the controller, after a diagnosis of the same run.
"""
from __future__ import annotations

import re
import time

from ansible.errors import AnsibleActionFail

from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.verification import journeys, judge, words
from ansible_collections.mailops.outage.plugins.module_utils.wire import roundtrip
from ansible_collections.mailops.outage.plugins.module_utils.wire.probe import BadRequest
from ansible_collections.mailops.outage.plugins.plugin_utils.journeys import ARGUMENTS, addresses_of
from ansible_collections.mailops.outage.plugins.plugin_utils.mail_action import MailAction

# The beginnings of what Postfix and Exim log of a message's way.
_TELLS = r"^(?:status=|hold|discard|reject|milter-|warning|removed|skipped|saving|==|=>|\*\*)"


class ActionModule(MailAction):
    """Controller only: sends nothing but canaries, and only to configured accounts."""

    _requires_connection = False
    ARGUMENTS = {
        "run_dir": {"type": "path", "required": True},
        **ARGUMENTS,
        "arrival_timeout": {"type": "float", "default": 60.0},
        "settle": {"type": "float", "default": 15.0},
        "twice": {"type": "bool", "default": True},
        "messages_per_minute": {"type": "int", "default": 0},
        "language": {"type": "str", "default": "en", "choices": ["en", "nl"]},
    }

    def act(self, args):
        run = Run(args["run_dir"])
        with self.or_fail("Canaries need a finished diagnosis"):
            diagnosis, observations, declared = run.read("diagnosis.json"), run.observations(), run.read("estate.json").get("declared") or {}
        addresses = addresses_of(journeys.external_names(args["external_accounts"]), args["resolvers"])
        pairs, missing = journeys.pairs(observations, declared, args, addresses, args["language"])
        options = {"run": diagnosis["run_id"], "ca_file": args["ca_file"], "vantage": "controller", "arrival": args["arrival_timeout"],
                   "overall": args["arrival_timeout"] + 60.0, "per_minute": args["messages_per_minute"]}
        try:
            if self._task.check_mode:
                because = words.say(args["language"], "check_mode")
                missing += [{"id": item["name"], "because": because} for item in roundtrip.plan(pairs, options)] if pairs else []
                legs = []
            else:
                legs = self._sent(pairs, options, args["settle"], args["twice"], any(judge.is_backlog(item) for item in observations))
        except BadRequest as problem:
            raise AnsibleActionFail(f"The canaries cannot be sent: {problem}. Look at mail_probe_accounts and mail_external_accounts.") from None
        run.write("journeys.json", {"legs": legs, "not_tested": missing})
        settled = self._lay_ready(run, legs)
        return {"changed": any(leg["sent"] or leg["swept"] for leg in legs), "sent": sum(leg["sent"] for leg in legs),
                "arrived": sum(leg["ok"] for leg in legs), "failing": [leg["name"] for leg in legs if not leg["ok"]], "settled_dir": settled.dir}

    @staticmethod
    def _lay_ready(run, legs):
        """The folder for the second look: it asks the hosts' logs where the messages are that did not arrive in time."""
        opened = run.read("run.json")
        settled = Run.open(run.dir, "settled")
        waiting = [leg["queue_id"] for leg in legs if not leg["ok"] and leg["queue_id"]]
        settled.write("run.json", dict(opened, until=time.time()))
        settled.write("signatures.json", {
            judge.signature_of(name): {"program": r".+/[\w-]+|exim4?", "pattern": _TELLS, "where": {"queue_id": re.escape(name)}} for name in waiting})
        return settled

    @staticmethod
    def _sent(pairs, options, settle, twice, backlog):
        """The legs. Those that failed are tried once more after ``settle`` seconds, for services that have just come back; a backlog gets that time to
        show whether it drains."""
        legs = roundtrip.run(pairs, options) if pairs else []
        again = [place for place, leg in enumerate(legs) if not leg["ok"]] if twice else []
        if again or (twice and backlog):
            time.sleep(max(0.0, settle))
        if again:
            for place, leg in zip(again, roundtrip.run([pairs[place] for place in again], options)):
                legs[place] = dict(leg, first=legs[place]["outcome"])
        return legs
