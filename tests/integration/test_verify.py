"""Step 5 on lab hosts: verified only when messages arrive on every journey and nothing was left behind."""
from __future__ import annotations

import email
import email.policy
import email.utils
import imaplib
import json
import re
import smtplib
import ssl
import time

import jsonschema
import pytest
from playing import ROOT, STATE, write_inventory

LEFT = "find /home /srv/vmail -path '*/Maildir/*' -path '*/new/*' -o -path '*/cur/*' -type f 2> /dev/null | xargs -r grep -l X-Mailops-Canary | wc -l"


@pytest.fixture(name="split", scope="module")
def _split(lab, tmp_path_factory):
    return write_inventory(tmp_path_factory.mktemp("split") / "split.yml", lab.inventory("split"))


SCHEMA = ROOT / "docs/schemas/verification.schema.json"


def verification(played):
    found = json.loads(played.text("verification.json"))
    checker = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert [f"{error.json_path}: {error.message[:300]}" for error in checker.iter_errors(found)] == []
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
    assert {check["id"].split()[1] for check in found["checks"] if check["id"].startswith("retrieval")} == {"pop3s", "imap", "pop3"}
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
    assert any("status=deferred (deferred transport)" in check["text"] for check in found["checks"] if check["id"].startswith("inbound"))


def test_after_an_outage_its_own_probes_must_be_well_and_so_must_the_reported_user(play, single, mail):
    mail.change("systemctl stop dovecot")
    assert play(single).diagnosis["verdict"] == "outage"
    mail.change("systemctl start dovecot; for try in $(seq 50); do doveadm auth test probe lab-probe > /dev/null && break; sleep 0.1; done")
    # Postfix keeps its daemons back for a minute (service_throttle_time) when they died, and they do without the login service.
    mail.change("systemctl restart postfix@-")
    found = verification(play(single, "-e", "reported_user=anna@single.test", playbook="playbooks/verify.yml"))
    assert found["before"] and "failed" not in {check["state"] for check in found["checks"] if check["kind"] == "repaired"}
    assert {check["state"] for check in found["checks"] if check["kind"] == "repaired"} == {"passed"}
    # Nobody of that name is there: their mail is refused, and that alone fails.
    refused = {check["id"]: check["text"] for check in found["checks"] if check["state"] == "failed"}
    assert set(refused) == {"anna@single.test", "config.recipient_unknown", f"{address_of(single)}:25/smtp"} and "550 5.1.1" in refused["anna@single.test"]


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


def newest(inventory, user, subject):
    """The newest message of this subject, read by IMAP as a mail program reads it."""
    with imaplib.IMAP4_SSL(address_of(inventory), ssl_context=trust()) as session:
        session.login(user, f"lab-{user}")
        session.select("INBOX", readonly=True)
        for _try in range(100):
            session.noop()
            found = session.search(None, "SUBJECT", f'"{subject}"')[1][0].split()
            if found:
                return session.fetch(found[-1], "(BODY.PEEK[])")[1][0][1]
            time.sleep(0.1)
    raise AssertionError(f"{user} has no such message")


def question(inventory, user):
    """The Message-ID and the text of the question that this person was asked."""
    message = email.message_from_bytes(newest(inventory, user, "Please answer"), policy=email.policy.default)
    return message["Message-ID"], message.get_content()


def address_of(inventory):
    return json.loads(inventory.read_text())["all"]["children"]["mail_servers"]["hosts"]["mail"]["ansible_host"]


def trust():
    context = ssl.create_default_context(cafile=str(STATE / "ca.pem"))
    context.check_hostname = False
    return context


def reply(sender, asked):
    """What a mail program makes when its reader answers: it quotes the question."""
    number, text = asked
    quoted = "".join(f"> {line}\n" for line in text.splitlines())
    return (REPLY.format(sender=sender, asked=number, date=email.utils.formatdate()) + quoted).replace("\n", "\r\n").encode()


def answer(inventory, user, sender, asked, recipient="probe@single.test"):
    """By submission, with login, as a mail program sends it."""
    with smtplib.SMTP(address_of(inventory), 587, timeout=10) as session:
        session.starttls(context=trust())
        session.login(user, f"lab-{user}")
        session.sendmail(sender, [recipient], reply(sender, asked))


def forge(inventory, sender, asked, above=b"", name="evil.test"):
    """As a stranger sends it: on port 25, without login, with fields of a trace that there never was."""
    with smtplib.SMTP(address_of(inventory), 25, timeout=10) as session:
        session.ehlo(name)
        session.sendmail(sender, ["probe@single.test"], above + reply(sender, asked))


REPLY = """\
Message-ID: <8c1e6a52-77b0-4a5e-9f43-3f1f6c1f7d0a@single.test>
Date: {date}
MIME-Version: 1.0
User-Agent: Mozilla Thunderbird
Subject: Re: Please answer: does mail work again? / Graag antwoorden: werkt
 e-mail weer?
Content-Language: nl
To: probe@single.test
References: {asked}
From: A Person <{sender}>
In-Reply-To: {asked}
Content-Type: text/plain; charset=UTF-8; format=flowed
Content-Transfer-Encoding: 8bit

Ja, het werkt weer.

Op 24-11-2026 om 03:12 schreef probe@single.test:
"""
ARRIVED = "for try in $(seq 100); do test $(doveadm search -u probe mailbox INBOX header subject 'Re: Please answer' | wc -l) = {} && exit; sleep 0.1; done; exit 1"
TWO = '{"verify_verifiers": [{"name": "Alice", "address": "alice@single.test"}, {"name": "Bob", "address": "bob@single.test"}]}'


def test_answers_to_the_verification_mail_are_sign_offs_and_forged_ones_are_not(play, single, mail):
    played = play(single, "-e", TWO, "-vvv", playbook="playbooks/verify.yml")
    assert verification(played)["passed"]
    asked = {user: question(single, user) for user in ("alice", "bob")}
    code = re.search(r"^Code: ([a-z]+)\s*$", asked["alice"][1], re.MULTILINE).group(1)
    # The secret is in the letter alone: in no log of the host, not in what the run tells, and not in what it keeps.
    assert code not in mail.look("cat /var/log/*.log; journalctl --no-pager") + played.out
    assert asked["alice"][0].strip("<>") in mail.look("cat /var/log/mail.log")
    [kept] = (played.reports / "latest").resolve().glob("signoff_requests.json")
    assert kept.stat().st_mode & 0o777 == 0o600 and code not in kept.read_text(encoding="utf-8")

    trace = (b"Received: from phone (unknown [203.0.113.7]) by mail.single.test (Postfix) with ESMTPSA id 1; "
             + email.utils.formatdate().encode() + b"\r\nAuthentication-Results: mail.single.test; dmarc=pass header.from=single.test\r\n")
    forge(single, "alice@single.test", asked["alice"])
    forge(single, "alice@single.test", asked["alice"], above=trace, name="mail.single.test")
    forge(single, "alice@single.test", asked["alice"], above=trace, name="[127.0.0.1] by mail.single.test with ESMTPSA")
    mail.change(ARRIVED.format(3))
    played = play(single, playbook="playbooks/signoff.yml")
    assert played.rc == 0 and "nobody yet" in played.out and "no server of the estate says who sent it" in played.out, played.out[-2000:]

    for number, (user, sender) in enumerate([("alice", "alice@single.test"), ("bob", "carol@single.test"), ("alice", "alice@single.test")], 4):
        answer(single, user, sender, asked[user])
        mail.change(ARRIVED.format(number))
    # With login, and with the number that the log has, but without the code that only its reader has.
    answer(single, "carol", "bob@single.test", (asked["bob"][0], "Hello"))
    mail.change(ARRIVED.format(7))
    played = play(single, playbook="playbooks/signoff.yml")
    assert played.rc == 0 and "1 of 2 have signed: Alice." in played.out, played.out[-2000:]
    assert "carol@single.test answers" in played.out and "code of the question is not in the answer of bob@single.test" in played.out
    answer(single, "bob", "bob@single.test", asked["bob"])
    mail.change(ARRIVED.format(8))
    assert "2 of 2 have signed: Alice, Bob." in play(single, playbook="playbooks/signoff.yml").out
    mail.change("systemctl stop dovecot")
    played = play(single, "-e", "signoff_name=Joris", playbook="playbooks/signoff.yml")
    assert played.rc == 0 and "3 of 2 have signed: Alice, Bob, Joris." in played.out and "could not be read" in played.out


# The key by hand: OpenDKIM's own resolver knows that there is no domain `test` (RFC 6761).
VERIFY = """sed -i 's/^Mode s$/Mode sv/' /etc/opendkim.conf
echo "lab1._domainkey.single.test v=DKIM1; k=rsa; p=$(openssl rsa -in /etc/dkimkeys/lab1.private -pubout -outform der | base64 -w0)" > /etc/dkimkeys/public
echo 'TestPublicKeys /etc/dkimkeys/public' >> /etc/opendkim.conf
systemctl restart opendkim"""


def test_an_answer_from_outside_counts_when_our_own_server_found_its_signature_good(play, single, mail):
    assert verification(play(single, "-e", TWO, playbook="playbooks/verify.yml"))["passed"]
    asked = question(single, "bob")
    # A letter of bob that our own signature covers, as somebody who holds it sends it in from outside: from its signature on.
    answer(single, "bob", "bob@single.test", asked, recipient="bob@single.test")
    raw = newest(single, "bob", "Re: Please answer")
    raw = raw[raw.index(b"DKIM-Signature:"):]
    mail.change(VERIFY)
    for number, (sent, said) in enumerate([(raw.replace(b"werkt weer", b"werkt niet"), "fails the authentication"), (raw, "1 of 2 have signed: Bob.")], 1):
        with smtplib.SMTP(address_of(single), 25, timeout=10) as session:
            session.sendmail("bounces@outside.test", ["probe@single.test"], sent)
        mail.change(ARRIVED.format(number))
        assert said in play(single, playbook="playbooks/signoff.yml").out
