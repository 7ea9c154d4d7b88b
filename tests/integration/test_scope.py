"""For whom mail is down, and on which host the cause lies."""
from __future__ import annotations

import pytest
from playing import roots, write_inventory

SEND = "printf 'Subject: hello\\n\\nhello\\n' | sendmail -f friend@outside.test {}; "
WAIT = "for try in $(seq 60); do {} && break; sleep 0.2; done; "


@pytest.fixture(name="split", scope="module")
def _split(lab, tmp_path_factory):
    """The path of the inventory of the split layout, whose hosts are up."""
    return write_inventory(tmp_path_factory.mktemp("split") / "split.yml", lab.inventory("split"))


def test_one_reported_user_with_a_broken_mailbox_is_one_user(play, single, mail):
    mail.change("mkdir -p /home/alice/Maildir; chown -R root:root /home/alice/Maildir; chmod 700 /home/alice/Maildir")
    mail.change(SEND.format("alice@single.test") + SEND.format("bob@single.test"))
    mail.change(WAIT.format("grep -q 'to=<alice@single.test>.*status=deferred' /var/log/mail.log"))
    found = play(single, "-e", "reported_user=alice@single.test").diagnosis
    assert roots(found)[0] == ("storage.mailbox_permission", "mail")
    assert found["scope"]["kind"] == "single_user"
    assert found["verdict"] == "degraded"


def test_a_reported_user_who_gets_mail_is_no_outage(play, single, mail):
    found = play(single, "-e", "reported_user=alice@single.test").diagnosis
    assert roots(found) == []
    envelopes = [check for probe in found["probes"] for check in probe["envelope"] if check["recipient"] == "alice@single.test"]
    assert envelopes and all(check["accepted"] for check in envelopes)


def test_the_host_of_the_cause_is_named_not_the_one_that_feels_it(play, split, host):
    store, edge = host("store"), host("edge")
    store.change("systemctl stop dovecot")
    edge.change(SEND.format("alice@split.test") + WAIT.format("journalctl -q -t postfix/lmtp -t postfix/smtp | grep -q status=deferred"))
    found = play(split).diagnosis
    assert roots(found) == [("service.imap_stopped", "store")], [(cause["id"], cause["host"], cause["evidence"]) for cause in found["causes"]]
    assert found["verdict"] == "outage" and "store" in found["scope"]["hosts"]
