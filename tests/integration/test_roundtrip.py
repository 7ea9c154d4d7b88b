"""Canary messages through real servers: what arrives, what does not, and that nothing but canaries is ever deleted."""
from __future__ import annotations

import json
import time

import pytest
from playing import ROOT, STATE, run

DOMAIN = "single.test"
# A message of somebody's, a left-over of ours, and one that only looks like it.
PUT = """
put() {
    printf '%s\\r\\n' "From: $1" "Date: Sun, 01 Nov 2026 10:00:00 +0000" "Message-ID: <$2>" "Auto-Submitted: auto-generated" "X-Mailops-Run: old" \
        "Subject: x" $3 "" body | doveadm save -u bob -m INBOX
}
token=00000000000000000000000000000000
put alice@single.test mailops.$token@single.test X-Mailops-Canary:$token
put stranger@single.test mailops.$token@single.test X-Mailops-Canary:$token
put alice@single.test another@single.test
"""
COUNT = "doveadm search -u bob mailbox INBOX all | wc -l"
LINES_AND_MESSAGES = "cat /var/log/mail.log 2>/dev/null | wc -l; " + COUNT


@pytest.fixture(name="trip")
def _trip(single, single_inventory):
    """``trip(host, pairs, …)``: the module run on that host; its result."""
    address = single_inventory["all"]["children"]["mail_servers"]["hosts"]["mail"]["ansible_host"]

    def server(protocol, user=None, **more):
        found = {"name": "mail.single.test", "address": address, "protocol": protocol, **more}
        return dict(found, login={"username": user, "password": f"lab-{user}"}) if user else found

    def trip(host, *pairs, words=(), **options):
        pairs = [{"name": name, "sender": sender, "recipient": "bob@single.test", "through": server(*through[:2], **dict(through[2:])),
                  "mailbox": server(mailbox, "bob", **dict(through[2:]))} for name, sender, through, mailbox in pairs]
        arguments = json.dumps({"pairs": pairs, "ca_file": None if host == "mail" else str(STATE / "ca.pem"), "arrival_timeout": 20, "timeout": 60, **options})
        rc, out = run("ansible", host, "-i", str(single), "-m", "mailops.outage.mail_roundtrip", "-a", arguments, *words,
                      environment={"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")})
        assert "{" in out and "lab-bob" not in out, out[-2000:]
        return dict(json.loads(out[out.index("{"):out.rindex("}") + 1]), rc=rc)
    return trip


def outcomes(result):
    # Shown by pytest when the test fails: what the servers answered.
    print(json.dumps([{key: leg.get(key) for key in ("name", "outcome", "side", "steps")} for leg in result["legs"]], indent=1))
    return {leg["name"]: leg["outcome"] for leg in result["legs"]}


ALICE = f"alice@{DOMAIN}"
EVERY_WAY = (
    ("submission", ALICE, ("submission", "alice"), "imaps"), ("submissions", ALICE, ("submissions", "alice"), "pop3s"),
    ("inbound", "friend@outside.test", ("smtp", None), "imap"),
)


def test_every_way_in_is_well_and_nothing_is_left(trip, mail):
    before = mail.look(COUNT)
    result = trip("localhost", *EVERY_WAY)
    assert outcomes(result) == {"submission": "ok", "submissions": "ok", "inbound": "ok"}
    assert result["changed"] and [leg["deleted"] for leg in result["legs"]] == [1, 1, 1]
    assert mail.look(COUNT) == before


def test_local_delivery_is_tried_on_the_mail_host_itself(trip):
    local = ("local", ALICE, ("smtp", None, ("name", "localhost"), ("address", "127.0.0.1")), "imap")
    result = trip("mail", local)
    assert outcomes(result) == {"local": "ok"}


def quiet(mail):
    """The lines of the log and the messages, once what went before has come to rest."""
    seen = ""
    for _try in range(15):
        seen, last = mail.look(LINES_AND_MESSAGES), seen
        if seen == last:
            break
        time.sleep(2)
    return seen


def test_check_mode_sends_nothing(trip, mail):
    before = quiet(mail)
    result = trip("localhost", *EVERY_WAY, words=["--check"])
    assert [one["name"] for one in result["would_send"]] == ["submission", "submissions", "inbound"] and result["legs"] == []
    assert mail.look(LINES_AND_MESSAGES) == before


def test_only_our_own_leftovers_are_deleted(trip, mail):
    mail.change(PUT)
    before = int(mail.look(COUNT))
    result = trip("localhost", EVERY_WAY[0])
    assert outcomes(result) == {"submission": "ok"}
    assert [one["token"] for one in result["legs"][0]["swept"]] == ["0" * 32]
    assert int(mail.look(COUNT)) == before - 1


def test_mail_that_is_held_up_is_named_with_its_queue_id(trip, mail):
    mail.change("postconf -e defer_transports=lmtp,local,virtual && postfix reload")
    result = trip("localhost", EVERY_WAY[2], arrival_timeout=3)
    [leg] = result["legs"]
    assert (leg["outcome"], leg["side"], leg["fault"], result["changed"]) == ("not_arrived", "delivery", "delivery", True)
    assert leg["queue_id"] and leg["queue_id"] in mail.look("mailq")
