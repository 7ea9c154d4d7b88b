"""Which canaries are sent to prove that mail works: pairs of sender and mailbox for wire.roundtrip, worked out from the inventory and the observations."""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import estate
from ansible_collections.mailops.outage.plugins.module_utils.verification.words import say

_JOURNEYS = ("submission", "inbound", "outbound", "back")
_IMAP_PORTS = {143: "imap", 993: "imaps"}
_READING = ("imaps", "pop3s", "imap", "pop3")
# What the same name may serve besides, by STARTTLS (RFC 2595).
_BY_STARTTLS = {"imaps": (("imap", 143),), "pop3s": (("pop3", 110),)}
_SMTP_PORTS = {25: "smtp", 465: "submissions", 587: "submission"}


def pairs(observations: list, declared: dict, args: dict, addresses: dict, language: str = "en") -> tuple:
    """``(pairs, not_tested)``: pairs as wire.roundtrip.run takes them, and ``[{id, because}]`` for the journeys that cannot be tried.

    ``args``: probe_accounts, external_accounts, submission_host, imap_host, pop3_host, as the inventory declares them.
    ``addresses``: {name: address} of external servers, where they were looked up. A port that failed in the look
    before is tried no more: its probe has said so already.
    """
    accounts = [account for account in args["probe_accounts"] if account.get("login") and account.get("password")]
    if not accounts:
        because = say(language, "no_account")
        return [], [{"id": name, "because": because} for name in _JOURNEYS]
    found, missing = [], []
    targets = estate.logins(observations, declared, dict(args, probe_accounts=accounts))
    outside = next((account for account in args["external_accounts"] if account.get("address")), None)
    for account in accounts[:estate.MOST_ACCOUNTS]:
        own = [_server(target) for target in targets if target["login"]["username"] == account["login"]]
        sending = [target for target in own if target["protocol"] == "submission"]
        reading = [target for target in own if target["protocol"] in _READING]
        ways = _within(account, sending, reading, set().union(*(estate.expected(item, declared) for item in observations)))
        if reading:
            ways += _inbound(account, observations, declared, outside, reading[0]) if outside else []
            ways += _across(account, sending, reading[0], outside, addresses) if outside else []
        found += ways
        tried = {way["name"].split(" ", 1)[0] for way in ways}
        missing += [{"id": f"{name} {account['address']}", "because": say(language, _because(name, sending, reading, outside))}
                    for name in _JOURNEYS if name not in tried]
    return found, missing


def external_names(accounts: list) -> list:
    """The names of the external accounts' servers."""
    return sorted({str(account[key]) for account in accounts[:1] for key in ("smtp_host", "imap_host") if account.get(key)})


def _server(target: dict) -> dict:
    return {key: value for key, value in target.items() if key != "host"}


def _pair(name: str, sender: str, recipient: str, through: dict, mailbox: dict) -> dict:
    return {"name": name, "sender": sender, "recipient": recipient, "through": through, "mailbox": mailbox}


def _within(account: dict, sending: list, reading: list, served: set) -> list:
    """From the account to itself: by each way to submit, and by each way to read."""
    address = account["address"]
    if not sending or not reading:
        return []
    found = [_pair(f"submission {address}", address, address, sending[0], reading[0])]
    if "submissions" in served:
        found.append(_pair(f"submissions {address}", address, address, dict(sending[0], protocol="submissions", port=465), reading[0]))
    boxes = reading[1:] + [dict(box, protocol=plain, port=port) for box in reading for plain, port in _BY_STARTTLS.get(box["protocol"], ()) if plain in served]
    return found + [_pair(f"retrieval {box['protocol']} {address}", address, address, sending[0], box) for box in boxes]


def _inbound(account: dict, observations: list, declared: dict, outside: dict, box: dict) -> list:
    """From a stranger, at every host that takes mail for the account's domain on port 25."""
    domain = account["address"].rpartition("@")[2].lower()
    return [
        _pair(f"inbound {item['host']} {account['address']}", outside["address"], account["address"],
              {"name": item.get("address") or item["host"], "protocol": "smtp", "port": 25}, box)
        for item in observations if "smtp" in estate.expected(item, declared) and domain in estate.accepted(item)
    ]


def _across(account: dict, sending: list, box: dict, outside: dict, addresses: dict) -> list:
    """Out to the external account, and from there back."""
    login = {"username": outside.get("login"), "password": outside.get("password")}
    found = []
    if not login["username"] or not login["password"]:
        return found
    if sending and outside.get("imap_host"):
        found.append(_pair(f"outbound {account['address']}", account["address"], outside["address"], sending[0],
                           _external(outside["imap_host"], int(outside.get("imap_port") or 993), _IMAP_PORTS, login, addresses)))
    if outside.get("smtp_host"):
        found.append(_pair(f"back {account['address']}", outside["address"], account["address"],
                           _external(outside["smtp_host"], int(outside.get("smtp_port") or 587), _SMTP_PORTS, login, addresses), box))
    return found


def _external(name: str, port: int, protocols: dict, login: dict, addresses: dict) -> dict:
    protocol = protocols.get(port, "imaps" if protocols is _IMAP_PORTS else "submission")
    server = {"name": name, "protocol": protocol, "port": port, "login": dict(login)}
    return dict(server, address=addresses[name]) if name in addresses else server


def _because(name: str, sending: list, reading: list, outside: dict | None) -> str:
    """The phrase that says why a journey cannot be tried."""
    if not reading:
        return "no_reading"
    if name == "submission" or (name == "outbound" and outside and not sending):
        return "no_submission"
    if outside is None:
        return "no_outside"
    return "no_exchanger" if name == "inbound" else "outside_lacks"
