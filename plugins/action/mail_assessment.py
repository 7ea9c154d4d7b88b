"""The second look, at the estate as a whole: probes again, probes from elsewhere, envelopes, logins, DNS.

Runs once, on the controller, after every host was observed. What the hosts told (domains, addresses, DKIM keys)
decides what is asked; what the inventory declares wins.
"""
from __future__ import annotations

import os
import shlex
import threading
import time

from ansible.errors import AnsibleActionFail

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import estate as estate_facts
from ansible_collections.mailops.outage.plugins.module_utils.dns import look as dns_look
from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.wire import probe as wire_probe
from ansible_collections.mailops.outage.plugins.plugin_utils.mail_action import MailAction


def hop_of(variables: dict, name: str) -> dict:
    """The SSH hop that an inventory host's connection variables describe."""
    words = shlex.split(" ".join(str(variables.get(key) or "") for key in ("ansible_ssh_common_args", "ansible_ssh_extra_args")))
    options = dict(word.split("=", 1) for word in words if "=" in word)
    hop = {
        "host": variables.get("ansible_host") or name,
        "port": int(variables.get("ansible_port") or 22),
        "user": variables.get("ansible_user") or os.environ.get("USER") or "root",
        "private_key_file": variables.get("ansible_ssh_private_key_file"),
        "known_hosts_file": options.get("UserKnownHostsFile"),
    }
    return {key: value for key, value in hop.items() if value is not None}


class ActionModule(MailAction):
    """Controller only: connects to mail ports, name servers and vantage points, changes nothing."""

    _requires_connection = False
    ARGUMENTS = {
        "run_dir": {"type": "path", "required": True},
        "domains": {"type": "list", "elements": "str", "default": []},
        "submission_host": {"type": "str", "default": ""},
        "imap_host": {"type": "str", "default": ""},
        "pop3_host": {"type": "str", "default": ""},
        "probe_accounts": {"type": "list", "elements": "dict", "default": [], "no_log": True},
        "reported_user": {"type": "str", "default": ""},
        "complete": {"type": "bool", "default": True},
        "resolvers": {"type": "list", "elements": "str", "default": []},
        "blocklists": {"type": "list", "elements": "str", "default": []},
        "vantages": {"type": "list", "elements": "str", "default": []},
        "ca_file": {"type": "path"},
    }

    def act(self, args):
        run = Run(args["run_dir"])
        with self.or_fail(f"{args['run_dir']} holds no observations"):
            observations = run.observations()
        if not observations:
            raise AnsibleActionFail("No mail host was observed. Is the inventory's group mail_servers empty?")
        hostvars = self.task_vars.get("hostvars") or {}
        hops = [(name, hop_of(hostvars[name], name)) for name in args["vantages"] if name in hostvars]
        declared = estate_facts.declared_protocols(observations, {name: hostvars.get(name) or {} for name in (item["host"] for item in observations)})
        if args["complete"]:
            domains = args["domains"] or estate_facts.domains(observations) + self._lost_domains(observations, args)
        else:
            # A run that was limited to some hosts says nothing about the domains of the others.
            taken = set().union(*(estate_facts.accepted(item) for item in observations))
            domains = [name for name in args["domains"] or estate_facts.domains(observations) if name in taken]
        targets = estate_facts.second_look(observations, declared, domains, args)
        estate = {"now": None, "domains": domains, "declared": declared, "reported": {"user": args["reported_user"]} if args["reported_user"] else {},
                  "probes": [], "dns": {}, "not_visible": []}
        reported = args["reported_user"]
        if reported and reported.rpartition("@")[2].lower() not in domains:
            estate["not_visible"].append(clean(f"{reported} is in none of our domains ({', '.join(domains) or 'none known'}): not asked about"))
        looks = [threading.Thread(target=self._probe, args=(targets, args, estate), daemon=True)]
        looks += [threading.Thread(target=self._from, args=(name, hop, targets, args, estate), daemon=True) for name, hop in hops]
        looks.append(threading.Thread(target=self._dns, args=(observations, domains, args, estate), daemon=True))
        for look in looks:
            look.start()
        for look in looks:
            look.join()
        orphans = estate_facts.orphan_look(observations, declared, domains, estate["dns"], args) if args["complete"] else []
        self._probe(orphans, args, estate)
        targets += orphans
        # A refusal counts when it was heard twice: an outage is not called on one answer.
        refused = [target for target in targets if any(_refuses(probe, target) for probe in estate["probes"] if probe["look"] == "second")]
        self._probe(refused, args, estate, "third")
        estate["now"] = time.time()
        run.write("estate.json", estate)
        return {"changed": False, "domains": domains, "probes": len(estate["probes"]),
                "failing": sorted(item["id"] for item in estate["probes"] if not item["ok"]),
                "dns_problems": sorted(item["id"] for item in estate["dns"].get("problems") or [])}

    def _lost_domains(self, observations, args):
        """Domains that DNS says are ours although no host accepts their mail any more."""
        names = estate_facts.candidates(observations)
        if not names:
            return []
        try:
            question = estate_facts.dns_question(observations, names, args)
            found = dns_look.look(dict(question, client_names=[], blocklists=[], sending_addresses=[], dkim_keys=[]))
        except (dns_look.BadQuestion, dns_look.LibraryMissing):
            return []
        return [name for name, entry in found["domains"].items() if any(mx.get("ours") for mx in entry.get("mx") or [])]

    def _probe(self, targets, args, estate, look="second"):
        options = dict(estate_facts.PATIENCE, ca_file=args["ca_file"], vantage="controller")
        sound = []
        for target in targets:
            try:
                wire_probe.checked_target(_wire(target))
                sound.append(target)
            except wire_probe.BadRequest as problem:
                # One wrong name or account must not cost the other looks.
                estate["not_visible"].append(clean(f"{target['host']}: {target['protocol']} was not tried again: {problem}"))
        estate["probes"] += [dict(item, host=target["host"], look=look, **({"login": target["login"]["username"]} if target.get("login") else {}))
                             for target, item in zip(sound, wire_probe.probe_all([_wire(target) for target in sound], options))]

    def _from(self, name, hop, targets, args, estate):
        # A vantage point only tells whether the service answers there: no login is tried through it.
        bare = [target for target in targets if not target.get("login")]
        plain = [{key: target[key] for key in ("name", "address", "port", "protocol") if key in target} for target in bare]
        try:
            found = wire_probe.probe_all(plain, dict(estate_facts.PATIENCE, ca_file=args["ca_file"], vantage=name, hop=hop))
        except wire_probe.BadRequest as problem:
            estate["not_visible"].append(clean(f"the view from {name}: {problem}"))
            return
        failed = [item for item in found if item["step"] == "vantage"]
        if failed:
            estate["not_visible"].append(clean(f"the view from {name}: {failed[0]['outcome']} {failed[0]['answer']}"))
        estate["probes"] += [dict(item, host=target["host"], look="vantage") for target, item in zip(bare, found) if item["step"] != "vantage"]

    def _dns(self, observations, domains, args, estate):
        try:
            estate["dns"] = dns_look.look(estate_facts.dns_question(observations, domains, args))
        except (dns_look.BadQuestion, dns_look.LibraryMissing) as problem:
            # The other looks stand on their own; what could not be seen is said.
            estate["not_visible"].append(clean(f"DNS: {problem}"))


def _refuses(probe, target):
    """Whether this probe of this target was refused by an answer, not by the network."""
    return probe["host"] == target["host"] and probe["protocol"] == target["protocol"] and (
        probe["outcome"] in ("tempfail", "reject") or any(check["kind"] == "recipient" and not check["accepted"] for check in probe["envelope"]))


def _wire(target):
    return {key: value for key, value in target.items() if key != "host"}
