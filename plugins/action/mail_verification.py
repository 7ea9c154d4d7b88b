"""Send canary messages on every journey, and say whether mail works: what passed, what failed, what was not tested.

Runs once, on the controller, after a diagnosis of the same run.
"""
from __future__ import annotations

import os
import time

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import estate as estate_facts
from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.verification import journeys, judge
from ansible_collections.mailops.outage.plugins.module_utils.wire import roundtrip
from ansible_collections.mailops.outage.plugins.module_utils.wire.probe import BadRequest


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
            "before": {"type": "path", "default": ""},
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
            "show": {"type": "bool", "default": True},
        })
        run = Run(args["run_dir"])
        try:
            diagnosis, observations, declared = run.read("diagnosis.json"), run.observations(), run.read("estate.json").get("declared") or {}
            before = Run(args["before"]).read("diagnosis.json") if args["before"] else None
        except (OSError, ValueError) as problem:
            raise AnsibleActionFail(f"A verification needs a finished diagnosis, and one named by `before`: {problem}") from None
        addresses = addresses_of(journeys.external_names(args["external_accounts"]), args["resolvers"])
        pairs, missing = journeys.pairs(observations, declared, args, addresses)
        options = {"run": diagnosis["run_id"], "ca_file": args["ca_file"], "vantage": "controller", "arrival": args["arrival_timeout"],
                   "overall": args["arrival_timeout"] + 60.0, "per_minute": args["messages_per_minute"]}
        try:
            if self._task.check_mode:
                missing += [{"id": item["name"], "because": "check mode sends nothing"} for item in roundtrip.plan(pairs, options)] if pairs else []
                legs = []
            else:
                legs = self._sent(pairs, options, args["settle"])
        except BadRequest as problem:
            raise AnsibleActionFail(f"The canaries cannot be sent: {problem}. Look at mail_probe_accounts and mail_external_accounts.") from None
        expected = {item["host"]: sorted(estate_facts.expected(item, declared)) for item in observations}
        found = judge.judge(diagnosis, observations, legs, missing, expected, before)
        run.write("journeys.json", {"legs": legs, "not_tested": missing})
        run.write("verification.json", found)
        summary = "\n".join(judge.lines(found))
        if args["show"]:
            Display().display(summary)
        result.update(
            changed=any(leg["sent"] or leg["swept"] for leg in legs), passed=found["passed"], summary=summary, digest=found["digest"],
            failing=[check["id"] for check in found["checks"] if check["state"] == judge.FAILED],
            not_tested=[check["id"] for check in found["checks"] if check["state"] == judge.NOT_TESTED],
            verification=os.path.abspath(run.path("verification.json")),
        )
        return result

    def _sent(self, pairs, options, settle):
        """The legs; those that failed are tried once more after ``settle`` seconds, for services that have just come back."""
        if not pairs:
            return []
        legs = roundtrip.run(pairs, options)
        again = [place for place, leg in enumerate(legs) if not leg["ok"]]
        if again:
            time.sleep(max(0.0, settle))
            for place, leg in zip(again, roundtrip.run([pairs[place] for place in again], options)):
                legs[place] = dict(leg, first=legs[place]["outcome"])
        return legs
