"""Send canary messages on every journey, and lay ready what a second look at the hosts needs.

Runs once, on the controller, after a diagnosis of the same run.
"""
from __future__ import annotations

import re
import time

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.verification import journeys, judge, words
from ansible_collections.mailops.outage.plugins.module_utils.wire import roundtrip
from ansible_collections.mailops.outage.plugins.module_utils.wire.probe import BadRequest

# The beginnings of what Postfix and Exim log of a message's way.
_TELLS = r"^(?:status=|hold|discard|reject|milter-|warning|removed|skipped|saving|==|=>|\*\*)"


def addresses_of(names: list, resolvers: list) -> dict:
    """{name: IPv4 address} as the given name servers tell; a name that they do not tell is left to the system's resolver."""
    if not names or not resolvers:
        return {}
    import dns.exception  # pylint: disable=import-outside-toplevel  # sanity imports this file without dnspython
    import dns.resolver  # pylint: disable=import-outside-toplevel
    asker = dns.resolver.Resolver(configure=False)
    asker.nameservers, asker.lifetime = resolvers, 5.0
    found = {}
    for name in names:
        try:
            found[name] = asker.resolve(name, "A")[0].to_text()
        except dns.exception.DNSException:
            continue
    return found


class ActionModule(ActionBase):
    """Controller only: sends nothing but canaries, and only to configured accounts."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec({
            "run_dir": {"type": "path", "required": True},
            "probe_accounts": {"type": "list", "elements": "dict", "default": [], "no_log": True},
            "external_accounts": {"type": "list", "elements": "dict", "default": [], "no_log": True},
            "submission_host": {"type": "str", "default": ""},
            "imap_host": {"type": "str", "default": ""},
            "pop3_host": {"type": "str", "default": ""},
            "resolvers": {"type": "list", "elements": "str", "default": []},
            "ca_file": {"type": "path"},
            "arrival_timeout": {"type": "float", "default": 60.0},
            "settle": {"type": "float", "default": 15.0},
            "messages_per_minute": {"type": "int", "default": 0},
            "language": {"type": "str", "default": "en", "choices": ["en", "nl"]},
        })
        run = Run(args["run_dir"])
        try:
            diagnosis, observations, declared = run.read("diagnosis.json"), run.observations(), run.read("estate.json").get("declared") or {}
        except (OSError, ValueError) as problem:
            raise AnsibleActionFail(f"Canaries need a finished diagnosis: {problem}") from None
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
                legs = self._sent(pairs, options, args["settle"], any(judge.is_backlog(item) for item in observations))
        except BadRequest as problem:
            raise AnsibleActionFail(f"The canaries cannot be sent: {problem}. Look at mail_probe_accounts and mail_external_accounts.") from None
        run.write("journeys.json", {"legs": legs, "not_tested": missing})
        settled = self._lay_ready(run, legs)
        result.update(changed=any(leg["sent"] or leg["swept"] for leg in legs), sent=sum(leg["sent"] for leg in legs),
                      arrived=sum(leg["ok"] for leg in legs), failing=[leg["name"] for leg in legs if not leg["ok"]], settled_dir=settled.dir)
        return result

    def _lay_ready(self, run, legs):
        """The folder for the second look: it asks the hosts' logs where the messages are that did not arrive in time."""
        opened = run.read("run.json")
        settled = Run.open(run.dir, "settled")
        waiting = [leg["queue_id"] for leg in legs if not leg["ok"] and leg["queue_id"]]
        settled.write("run.json", dict(opened, until=time.time()))
        settled.write("signatures.json", {
            judge.signature_of(name): {"program": r".+/[\w-]+|exim4?", "pattern": _TELLS, "where": {"queue_id": re.escape(name)}} for name in waiting})
        return settled

    def _sent(self, pairs, options, settle, backlog):
        """The legs. Those that failed are tried once more after ``settle`` seconds, for services that have just come back; a backlog gets that time to
        show whether it drains."""
        legs = roundtrip.run(pairs, options) if pairs else []
        again = [place for place, leg in enumerate(legs) if not leg["ok"]]
        if again or backlog:
            time.sleep(max(0.0, settle))
        if again:
            for place, leg in zip(again, roundtrip.run([pairs[place] for place in again], options)):
                legs[place] = dict(leg, first=legs[place]["outcome"])
        return legs
