"""Single looks tried again, as users and peers would try them, while a repair is waited for. Controller only."""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import estate
from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.verification import journeys
from ansible_collections.mailops.outage.plugins.module_utils.wire import probe, roundtrip

# Seconds to wait for a message here; the whole look that follows waits longer.
_ARRIVAL = 10.0


class Again:
    """Tries looks of the run in whose folder they failed.

    ``args``: probe_accounts, external_accounts, submission_host, imap_host, pop3_host, reported_user and ca_file, as the inventory declares them.
    ``addresses``: {name: address} of external servers, where they were looked up.
    """

    def __init__(self, run: Run, args: dict, addresses: dict):
        self._diagnosis, self._observations = run.read("diagnosis.json"), run.observations()
        self._declared = run.read("estate.json").get("declared") or {}
        self._args, self._addresses = args, addresses

    def try_again(self, wanted: list) -> set:
        """Those of ``wanted`` that work now. Messages are sent only when nothing else is wanted."""
        targets = {look: target for look in wanted if look.kind != "message" for target in [self._target(look)] if target}
        if targets:
            options = dict(estate.PATIENCE, ca_file=self._args["ca_file"], vantage="controller")
            return {look for look, seen in zip(targets, probe.probe_all(list(targets.values()), options)) if _well(look, seen)}
        names = {look.name: look for look in wanted if look.kind == "message"}
        pairs, _missing = journeys.pairs(self._observations, self._declared, self._args, self._addresses)
        pairs = [pair for pair in pairs if pair["name"] in names]
        if not pairs:
            return set()
        options = {"run": self._diagnosis["run_id"], "ca_file": self._args["ca_file"], "vantage": "controller", "arrival": _ARRIVAL, "overall": _ARRIVAL + 30.0}
        return {names[leg["name"]] for leg in roundtrip.run(pairs, options) if leg["ok"]}

    def _target(self, look) -> dict | None:
        """What wire.probe is given to try this look; None where it cannot be tried alone."""
        if look.kind == "port":
            seen = next((item for item in self._diagnosis["probes"] if item["host"] == look.host and item["id"] == look.name and not item.get("login")), None)
            return {key: seen[key] for key in ("name", "address", "port", "protocol") if seen.get(key)} if seen else None
        if look.kind == "recipient":
            seen = next((item for item in self._diagnosis["probes"] if item["host"] == look.host and item["protocol"] == "smtp"), None)
            return {"name": seen["name"], "port": seen["port"], "protocol": "smtp", "sender": estate.STRANGER, "recipients": [look.name]} if seen else None
        if look.kind == "login":
            for target in estate.logins(self._observations, self._declared, self._args):
                if target["host"] == look.host and look.name == f"{target['name']}:{target['port']}/{target['protocol']} as {target['login']['username']}":
                    return {key: value for key, value in target.items() if key != "host"}
        return None


def _well(look, seen: dict) -> bool:
    if look.kind == "recipient":
        return any(check["kind"] == "recipient" and check["accepted"] for check in seen["envelope"])
    return bool(seen["ok"])
