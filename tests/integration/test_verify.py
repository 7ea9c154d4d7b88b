"""Step 5 on lab hosts: verified only when messages arrive on every journey and nothing was left behind."""
from __future__ import annotations

import json

import pytest
from playing import write_inventory

LEFT = "find /home /srv/vmail -path '*/Maildir/*' -path '*/new/*' -o -path '*/cur/*' -type f 2> /dev/null | xargs -r grep -l X-Mailops-Canary | wc -l"


@pytest.fixture(name="split", scope="module")
def _split(lab, tmp_path_factory):
    return write_inventory(tmp_path_factory.mktemp("split") / "split.yml", lab.inventory("split"))


def verification(played):
    found = json.loads(played.text("verification.json"))
    assert played.rc == (0 if found["passed"] else 2), played.out[-3000:]
    assert "lab-probe" not in played.out + json.dumps(found)
    return found


def failed(found):
    return {check["id"] for check in found["checks"] if check["state"] == "failed"}


def journeys(found, state):
    return {check["id"].split()[0] for check in found["checks"] if check["kind"] == "journey" and check["state"] == state}


def test_a_healthy_host_is_verified_and_no_canary_stays(play, single, mail):
    played = play(single, playbook="playbooks/verify.yml")
    found = verification(played)
    assert found["passed"] and failed(found) == set(), played.out[-3000:]
    assert journeys(found, "passed") == {"submission", "submissions", "retrieval", "inbound", "outbound", "back"}
    assert found["counts"]["not_tested"] == 0
    assert mail.look(LEFT).strip() == "0"


def test_a_healthy_edge_and_store_are_verified(play, split):
    found = verification(play(split, playbook="playbooks/verify.yml"))
    assert found["passed"], failed(found)
    assert journeys(found, "passed") >= {"submission", "inbound", "outbound", "back"}


def test_a_temporary_state_left_behind_is_not_verified(play, single, mail):
    mail.change("postconf -e soft_bounce=yes && postfix reload")
    found = verification(play(single, "-e", "verify_settle=0", playbook="playbooks/verify.yml"))
    assert "soft_bounce" in failed(found) and journeys(found, "passed") >= {"submission", "inbound"}


def test_mail_that_waits_in_the_queue_is_not_verified_though_every_port_answers(play, single, mail):
    mail.change("postconf -e defer_transports=local,lmtp,virtual && postfix reload")
    found = verification(play(single, "-e", "verify_arrival_timeout=3", "-e", "verify_settle=0", playbook="playbooks/verify.yml"))
    assert {"defer_transports", "inbound mail probe@single.test"} <= failed(found)
    assert any("queue id" in check["text"] for check in found["checks"] if check["id"].startswith("inbound"))


def test_check_mode_sends_nothing(play, single, mail):
    before = mail.look("cat /var/log/mail.log | grep -c 'from=<probe@' || true")
    played = play(single, "--check", playbook="playbooks/verify.yml")
    found = json.loads(played.text("verification.json"))
    assert played.rc == 0 and journeys(found, "not_tested") >= {"submission", "outbound"} and journeys(found, "passed") == set()
    assert mail.look("cat /var/log/mail.log | grep -c 'from=<probe@' || true") == before


def test_several_people_sign_and_one_is_not_enough(play, single, tmp_path):
    def sign(*words):
        return play(single, "-e", "signoff_required=true", *words, playbook="playbooks/signoff.yml")

    assert "verify.yml first" in sign("-e", "signoff_name=Anna").error()
    assert verification(play(single, playbook="playbooks/verify.yml"))["passed"]
    assert "1 more must sign" in sign("-e", "signoff_name=Anna").error()
    assert "already" in sign("-e", "signoff_name=ANNA").error()
    ended = sign("-e", "awx_user_name=piet", "-e", "signoff_name=Anna")
    assert ended.rc == 0 and "2 of 2 have signed: Anna, piet" in ended.out


ANSWER = """
question=$(doveadm fetch -u {user} hdr.message-id mailbox INBOX header subject 'Please answer' | sed -n 's/^hdr.message-id: //p' | tail -1)
test -n "$question"
printf '%s\\n' 'From: {sender}' 'To: probe@single.test' 'Subject: Re: Please answer' "In-Reply-To: $question" "References: $question" \\
    'User-Agent: Mozilla Thunderbird' '' 'Yes, it works.' '> Hello' | sendmail -f {sender} probe@single.test
"""
ARRIVED = "for try in $(seq 100); do test $(doveadm search -u probe mailbox INBOX header subject 'Re: Please answer' | wc -l) = {} && exit; sleep 0.1; done; exit 1"
TWO = '{"verify_verifiers": [{"name": "Alice", "address": "alice@single.test"}, {"name": "Bob", "address": "bob@single.test"}]}'


def test_answers_to_the_verification_mail_are_sign_offs_and_forged_ones_are_not(play, single, mail):
    assert verification(play(single, "-e", TWO, playbook="playbooks/verify.yml"))["passed"]
    for try_, (user, sender) in enumerate([("alice", "alice@single.test"), ("bob", "carol@single.test"), ("alice", "alice@single.test")], 1):
        mail.change(f"for try in $(seq 50); do {{ {ANSWER.format(user=user, sender=sender)} }} && break; sleep 0.1; done; {ARRIVED.format(try_)}")
    played = play(single, playbook="playbooks/signoff.yml")
    assert played.rc == 0 and "1 of 2 have signed: Alice." in played.out, played.out[-2000:]
    assert "carol@single.test answers" in played.out
    mail.change(ANSWER.format(user="bob", sender="bob@single.test") + ARRIVED.format(4))
    assert "2 of 2 have signed: Alice, Bob." in play(single, playbook="playbooks/signoff.yml").out
    mail.change("systemctl stop dovecot")
    played = play(single, "-e", "signoff_name=Joris", playbook="playbooks/signoff.yml")
    assert played.rc == 0 and "3 of 2 have signed: Alice, Bob, Joris." in played.out and "could not be read" in played.out
