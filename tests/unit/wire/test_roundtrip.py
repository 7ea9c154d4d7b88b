from __future__ import annotations

import base64
import json
import re
import socket
import threading
import time
from contextlib import ExitStack

import fake_mail
import pytest
from ansible_collections.mailops.outage.plugins.module_utils.wire import mailbox, message, roundtrip
from ansible_collections.mailops.outage.plugins.module_utils.wire.imap import parse_folder
from ansible_collections.mailops.outage.plugins.module_utils.wire.probe import BadRequest
from ansible_collections.mailops.outage.plugins.module_utils.wire.transport import Stopped
from fake_mail import Store, imap, pop3, smtp
from scripted_server import ScriptedServer

PASSWORD = "corr-ect-horse"
FAST = {"connect": 1.0, "step": 0.5, "arrival": 0.6, "overall": 4.0, "settle": 0.0, "poll": 0.05, "retry": 0.05, "helo": "probe.example.test"}
SENDER, RECIPIENT = "alice@example.test", "bob@example.test"


def pair_of(sending, mailbox, protocol="imap", **more):
    login = {"username": "bob", "password": PASSWORD}
    return {"sender": SENDER, "recipient": RECIPIENT, "through": {"name": "localhost", "address": "127.0.0.1", "port": sending, "protocol": "smtp"},
            "mailbox": {"name": "localhost", "address": "127.0.0.1", "port": mailbox, "protocol": protocol, "login": login}, **more}


def trip(sending, mailbox, protocol="imap", through=None, **options):
    with ScriptedServer(sending) as out, ScriptedServer(mailbox) as box:
        pair = pair_of(out.port, box.port, protocol)
        pair["through"].update(through or {})
        [leg] = roundtrip.run([pair], dict(FAST, **options))
    assert PASSWORD not in json.dumps(leg)
    return leg


@pytest.fixture(name="store")
def _store():
    store = Store()
    store.put(b"From: somebody@example.test\r\nSubject: not ours\r\n\r\nkeep me\r\n")
    return store


def left_of(store):
    return [m["raw"].rpartition(b"\r\n\r\n")[2] for m in store.messages]


BOXES = [("imap", imap), ("pop3", pop3)]


@pytest.mark.parametrize("protocol, box", BOXES)
def test_a_message_arrives_and_is_deleted_again(store, protocol, box):
    leg = trip(smtp(store), box(store), protocol)
    assert (leg["ok"], leg["outcome"], leg["fault"], leg["findings"]) == (True, "ok", None, [])
    assert (leg["queue_id"], leg["folder"], leg["copies"], leg["deleted"], leg["left"], leg["intact"]) == ("4XyZ12abc", "INBOX", 1, 1, 0, True)
    assert left_of(store) == [b"keep me\r\n"]
    steps = [(step["side"], step["step"]) for step in leg["steps"]]
    assert ("mailbox", "login") in steps and steps[-3:] == [("mailbox", "arrival"), ("mailbox", "copies"), ("mailbox", "delete")]
    assert steps.index(("mailbox", "mailbox")) < steps.index(("sending", "connect")) < steps.index(("sending", "content"))


@pytest.mark.parametrize("capabilities", [fake_mail.IMAP, "IMAP4rev1 SASL-IR", "IMAP4rev1 SASL-IR IDLE", "IMAP4rev1 UIDPLUS SASL-IR"])
def test_any_imap_server_will_do(store, capabilities):
    leg = trip(smtp(store), imap(store, capabilities, uidnext="IDLE" in capabilities))
    assert leg["ok"] and left_of(store) == [b"keep me\r\n"]
    assert (b"IDLE" in store.commands) <= ("IDLE" in capabilities)


def test_a_message_that_others_marked_survives_a_server_without_uidplus(store):
    store.messages[0]["flags"].add("\\Deleted")
    leg = trip(smtp(store), imap(store, "IMAP4rev1 SASL-IR"))
    assert (leg["ok"], leg["deleted"], leg["left"]) == (True, 0, 1)
    assert b"keep me\r\n" in left_of(store) and b"EXPUNGE" not in store.commands


@pytest.mark.parametrize("protocol, box", BOXES)
def test_mail_that_comes_while_waiting_is_seen(store, protocol, box):
    store.deliver = lambda raw: threading.Timer(0.15, store.put, [raw]).start()
    assert trip(smtp(store), box(store), protocol)["ok"]


def test_new_mail_is_asked_for_at_first(store):
    store.deliver = lambda raw: threading.Timer(0.2, store.put, [raw]).start()
    leg = trip(smtp(store), imap(store), poll=5.0)
    assert leg["ok"] and b"NOOP" in store.commands and b"IDLE" not in store.commands


def test_idle_is_used_where_it_is_offered_when_mail_takes_longer(store, monkeypatch):
    monkeypatch.setattr(mailbox, "_BRISK", 0.1)
    store.deliver = lambda raw: threading.Timer(0.3, store.put, [raw]).start()
    leg = trip(smtp(store), imap(store), poll=5.0)
    assert leg["ok"] and b"IDLE" in store.commands


@pytest.mark.parametrize("protocol, box", BOXES)
def test_a_server_that_loses_the_mail(store, protocol, box):
    store.deliver = lambda raw: None
    leg = trip(smtp(store), box(store), protocol, arrival=0.2)
    assert (leg["outcome"], leg["side"], leg["step"], leg["fault"], leg["sent"]) == ("not_arrived", "delivery", "arrival", "delivery", True)
    assert "4XyZ12abc" in leg["answer"]


@pytest.mark.parametrize("protocol, box", BOXES)
def test_a_server_that_delivers_twice(store, protocol, box):
    store.deliver = lambda raw: [store.put(raw), store.put(raw)]
    leg = trip(smtp(store), box(store), protocol)
    assert (leg["outcome"], leg["copies"], leg["deleted"]) == ("duplicated", 2, 2)
    assert left_of(store) == [b"keep me\r\n"]


def test_junk_is_a_finding(store):
    store.deliver = lambda raw: store.put(raw, "Junk")
    leg = trip(smtp(store), imap(store))
    assert (leg["outcome"], leg["folder"], leg["fault"], leg["deleted"]) == ("junk", "Junk", "filter", 1)
    assert left_of(store) == [b"keep me\r\n"]


def test_a_late_message_names_its_queue_id(store):
    store.deliver = lambda raw: threading.Timer(0.1, store.put, [raw]).start()
    leg = trip(smtp(store), imap(store), late=0.01)
    assert (leg["outcome"], leg["fault"]) == ("late", "delivery") and "4XyZ12abc" in leg["answer"]


@pytest.mark.parametrize("change, altered", [
    (lambda raw: raw.replace(b"Subject: ", b"Subject: [SPAM] "), ["Subject"]),
    (lambda raw: re.sub(rb"X-Mailops-[^\r]*\r\n", b"", raw), ["X-Mailops-Canary", "X-Mailops-Run"]),
    (lambda raw: re.sub(rb"X-Mailops-[^\r]*\r\n|Message-ID[^\r]*\r\n", b"", raw), ["Message-ID", "X-Mailops-Canary", "X-Mailops-Run"]),
    (lambda raw: raw + b"-- \r\nThis company disclaims\r\n", ["body"]),
])
@pytest.mark.parametrize("protocol, box", BOXES)
def test_a_server_that_alters_is_named_and_the_message_found_all_the_same(store, change, altered, protocol, box):
    store.deliver = lambda raw: store.put(change(raw))
    leg = trip(smtp(store), box(store), protocol)
    assert (leg["outcome"], leg["altered"], leg["deleted"]) == ("altered", altered, 1)
    assert leg["intact"] == ("body" not in altered)


@pytest.mark.parametrize("replies, outcome, step, fault", [
    ({"AUTH": b"535 5.7.8 Error: authentication failed"}, "login_failed", "login", "account"),
    ({"AUTH": b"535 5.7.13 User account disabled"}, "account_locked", "login", "account"),
    ({"AUTH": b"454 4.7.0 Temporary authentication failure"}, "login_unavailable", "login", "server"),
    ({"AUTH": b"535 5.7.8 Error: authentication failed: Invalid authentication mechanism"}, "no_mechanism", "login", "server"),
    ({"MAIL": b"550 5.7.1 Sender rejected"}, "reject", "sender", "server"),
    ({"RCPT": b"550 5.1.1 <bob@example.test>: Recipient address rejected: User unknown"}, "unknown_recipient", "recipient", "account"),
    ({"RCPT": b"452 4.2.2 <bob@example.test>: Mailbox is full"}, "mailbox_full", "recipient", "account"),
    ({"RCPT": b"552 5.2.2 Quota exceeded"}, "mailbox_full", "recipient", "account"),
    ({"RCPT": b"554 5.7.1 <bob@example.test>: Relay access denied"}, "relay_denied", "recipient", "server"),
    ({"RCPT": b"451 4.3.0 Temporary lookup failure"}, "tempfail", "recipient", "server"),
    ({"RCPT": b"451 4.7.1 Service unavailable - try again later"}, "tempfail", "recipient", "server"),
    ({"DATA": b"554 5.5.1 no valid recipients"}, "reject", "data", "server"),
    ({".": b"554 5.7.1 Spam message rejected"}, "reject", "content", "server"),
])
def test_each_refusal_has_its_word(store, replies, outcome, step, fault):
    login = {"login": {"username": "alice", "password": PASSWORD}} if "AUTH" in replies else {}
    leg = trip(smtp(store, **replies), imap(store), through=login)
    assert (leg["outcome"], leg["side"], leg["step"], leg["fault"], leg["sent"]) == (outcome, "sending", step, fault, False)
    assert left_of(store) == [b"keep me\r\n"]


def test_greylisting_is_waited_for(store):
    answers = iter([b"450 4.2.0 <bob@example.test>: Recipient address rejected: Greylisted", b"250 2.1.5 Ok"])
    leg = trip(smtp(store, RCPT=lambda: next(answers)), imap(store))
    assert (leg["ok"], leg["attempts"]) == (True, 2) and leg["greylisted_seconds"] > 0


def test_greylisting_for_longer_than_the_time_is_said(store):
    leg = trip(smtp(store, RCPT=b"451 4.7.1 Greylisting in action, please come back in 300 seconds"), imap(store))
    assert (leg["outcome"], leg["attempts"], leg["sent"]) == ("greylisted", 1, False)


@pytest.mark.parametrize("at", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA"])
def test_a_sending_server_that_hangs_up(store, at):
    leg = trip(smtp(store, drop_at=at), imap(store))
    assert (leg["outcome"], leg["side"], leg["sent"]) == ("closed", "sending", False)


def test_a_server_that_hangs_up_after_the_message_may_have_taken_it(store):
    leg = trip(smtp(store, drop_at="."), imap(store))
    assert (leg["outcome"], leg["step"], leg["sent"], leg["copies"], leg["deleted"]) == ("closed", "content", True, 1, 1)
    assert "it arrived" in leg["answer"] and left_of(store) == [b"keep me\r\n"]


def test_a_server_that_hangs_up_after_the_message_and_loses_it(store):
    store.deliver = lambda raw: None
    leg = trip(smtp(store, drop_at="."), imap(store), arrival=0.1)
    assert (leg["outcome"], leg["step"], leg["sent"], leg["copies"]) == ("closed", "content", True, 0)


@pytest.mark.parametrize("at", ["CAPABILITY", "AUTHENTICATE", "SELECT", "LIST", "STATUS"])
def test_nothing_is_sent_to_a_mailbox_that_cannot_be_opened(store, at):
    leg = trip(smtp(store), imap(store, drop_at=at))
    assert (leg["outcome"], leg["side"], leg["sent"]) == ("closed", "mailbox", False)
    assert left_of(store) == [b"keep me\r\n"]


@pytest.mark.slow
@pytest.mark.parametrize("at", ["UID FETCH", "NOOP", "IDLE", "UID SEARCH", "UID STORE", "UID EXPUNGE"])
def test_a_mailbox_that_hangs_up_at_any_point_harms_nothing(store, at, monkeypatch):
    monkeypatch.setattr(mailbox, "_BRISK", 0.1)
    store.deliver = lambda raw: threading.Timer(0.2, store.put, [raw]).start()
    leg = trip(smtp(store), imap(store, drop_at=at))
    assert b"keep me\r\n" in left_of(store)
    assert leg["outcome"] in ("ok", "closed")


@pytest.mark.parametrize("at", ["CAPA", "AUTH", "STAT", "UIDL", "TOP", "RETR", "DELE", "QUIT"])
def test_a_pop3_server_that_hangs_up_at_any_point_harms_nothing(store, at):
    leg = trip(smtp(store), pop3(store, drop_at=at), "pop3", arrival=0.2)
    assert b"keep me\r\n" in left_of(store)
    assert not leg["ok"] or at == "QUIT"


def test_a_wrong_password_of_the_mailbox(store):
    leg = trip(smtp(store), imap(store, login=b"NO [AUTHENTICATIONFAILED] Authentication failed."))
    assert (leg["outcome"], leg["side"], leg["fault"], leg["sent"]) == ("login_failed", "mailbox", "account", False)


@pytest.mark.slow
def test_a_server_that_answers_byte_by_byte_is_understood(store):
    assert trip(smtp(store, drip=True), imap(store))["ok"]


def test_a_search_index_that_lags_is_waited_for(store):
    # Two searches of the sweep, then three by each way to find it.
    leg = trip(smtp(store), imap(store, blind_searches=5))
    assert leg["ok"] and leg["deleted"] == 1


def test_a_message_that_search_never_finds_is_left(store):
    leg = trip(smtp(store), imap(store, blind_searches=100))
    assert (leg["copies"], leg["deleted"], leg["left"]) == (1, 0, 1)


def test_in_a_huge_mailbox_only_what_is_new_is_fetched(store):
    store.put(b"Subject: newest of many\r\n\r\n\r\n", gap=200000)
    assert trip(smtp(store), imap(store))["ok"]
    sets = [command.split()[2] for command in store.commands if command.startswith(b"UID FETCH")]
    assert sets and all(int(re.match(rb"\d+", chosen).group()) >= 200000 for chosen in sets)
    assert all(b"UID 19900" in command or b"UID 2000" in command for command in store.commands if command.startswith(b"UID SEARCH"))


def leftover(sender=SENDER, age=10000, token="0" * 32):
    return message.compose(sender, RECIPIENT, token, "earlier", time.time() - age)


@pytest.mark.parametrize("protocol, box", BOXES)
def test_leftovers_of_interrupted_runs_are_deleted(store, protocol, box):
    store.put(leftover())
    leg = trip(smtp(store), box(store), protocol)
    assert leg["ok"] and [one["token"] for one in leg["swept"]] == ["0" * 32]
    assert left_of(store) == [b"keep me\r\n"]


@pytest.mark.parametrize("raw", [
    leftover(age=60),
    leftover(sender="mallory@example.test"),
    leftover().replace(b"X-Mailops-Run: earlier\r\n", b""),
    leftover().replace(b"<mailops.", b"<another."),
    leftover().replace(b"auto-generated", b"no"),
    leftover(token="A" * 32),
])
@pytest.mark.parametrize("protocol, box", BOXES)
def test_what_may_not_be_ours_is_no_leftover(store, raw, protocol, box):
    store.put(raw)
    leg = trip(smtp(store), box(store), protocol)
    assert leg["ok"] and leg["swept"] == [] and len(store.messages) == 2


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "XOAUTH2"])
def test_each_mechanism_logs_in(store, mechanism):
    seen = []

    def answer(peer):
        for reply in (b"220 mail.example.test ESMTP", b"250 AUTH PLAIN LOGIN XOAUTH2"):
            peer.send(reply + b"\r\n")
            seen.append(peer.line())
        while not seen[-1].startswith(b"MAIL"):
            final = len(seen) >= {"PLAIN": 2, "LOGIN": 4, "XOAUTH2": 3}[mechanism]
            peer.send(b"235 2.7.0 ok\r\n" if final else b"334 \r\n")
            seen.append(peer.line())
        peer.send(b"550 5.7.1 enough\r\n")
    login = {"login": {"username": "alice", "password": PASSWORD, "mechanism": mechanism}}
    assert trip(answer, imap(store), through=login)["step"] == "sender"
    assert seen[1].startswith(b"AUTH " + mechanism.encode())


def test_a_refused_token_is_a_failed_login(store):
    answers = iter([b"334 ", b"334 eyJzdGF0dXMiOiI0MDAifQ==", b"535 5.7.8 bad token"])

    def script(peer):
        for reply in (b"220 hello", b"250 AUTH XOAUTH2", *answers):
            peer.send(reply + b"\r\n")
            peer.line()
    login = {"login": {"username": "alice", "password": PASSWORD, "mechanism": "XOAUTH2"}}
    assert trip(script, imap(store), through=login)["outcome"] == "login_failed"


def test_broken_tls_is_named(store, good):
    with ScriptedServer(lambda peer: peer.send(b"220 no TLS here\r\n")) as out, ScriptedServer(imap(store)) as box:
        pair = pair_of(out.port, box.port)
        pair["through"]["protocol"] = "submissions"
        [leg] = roundtrip.run([pair], FAST)
    assert (leg["outcome"], leg["step"], leg["side"], leg["fault"]) == ("tls_failed", "tls", "sending", "server")


def test_tls_of_both_sides_is_reported(store, authority, good):
    with ScriptedServer(smtp(store), good, True) as out, ScriptedServer(imap(store), good, True) as box:
        pair = pair_of(out.port, box.port, "imaps")
        pair["through"]["protocol"] = "submissions"
        [leg] = roundtrip.run([pair], dict(FAST, ca_file=authority.ca_file))
    assert leg["ok"] and leg["tls"]["sending"]["verified"] and leg["tls"]["mailbox"]["version"].startswith("TLSv1")


def test_a_stranger_sends_to_a_server_that_does_not_verify_and_says_so(store, good):
    with ScriptedServer(smtp(store), good, True) as out, ScriptedServer(imap(store)) as box:
        pair = pair_of(out.port, box.port)
        pair["through"]["protocol"] = "submissions"
        [leg] = roundtrip.run([pair], FAST)
    assert leg["ok"] and leg["tls"]["sending"]["verified"] is False
    assert len([step for step in leg["steps"] if step["step"] == "content"]) == 1


def test_nothing_listens(store):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with ScriptedServer(imap(store)) as box:
        [leg] = roundtrip.run([pair_of(port, box.port)], FAST)
    assert (leg["outcome"], leg["step"], leg["fault"]) == ("refused", "connect", "server")


def test_pairs_run_side_by_side():
    stores = [Store() for _pair in range(20)]
    at_once = threading.Barrier(20)
    for store in stores:
        store.deliver = lambda raw, store=store: (at_once.wait(5), store.put(raw))
    with ExitStack() as stack:
        pairs = [pair_of(stack.enter_context(ScriptedServer(smtp(store))).port, stack.enter_context(ScriptedServer(imap(store))).port) for store in stores]
        legs = roundtrip.run(pairs, dict(FAST, step=3.0))
    assert all(leg["ok"] for leg in legs)


@pytest.mark.parametrize("protocol, box", BOXES)
def test_several_pairs_share_a_mailbox_and_keep_apart(store, protocol, box):
    with ScriptedServer(smtp(store)) as out, ScriptedServer(box(store)) as mailbox:
        pairs = [dict(pair_of(out.port, mailbox.port, protocol), name=str(n), sender=f"alice{n}@example.test") for n in range(8)]
        legs = roundtrip.run(pairs, dict(FAST, arrival=3.0))
    assert [leg["outcome"] for leg in legs] == ["ok"] * 8
    assert left_of(store) == [b"keep me\r\n"]


@pytest.mark.parametrize("protocol, box", BOXES)
def test_a_server_keeps_places_for_its_users(store, protocol, box, monkeypatch):
    now, most, lock = {"mailbox": 0, "sending": 0}, {"mailbox": 0, "sending": 0}, threading.Lock()

    class Counted(roundtrip._Seen):
        def __enter__(self):
            with lock:
                now[self._of] += 1
                most[self._of] = max(most[self._of], now[self._of])
            return super().__enter__()

        def __exit__(self, *problem):
            with lock:
                now[self._of] -= 1
            return super().__exit__(*problem)
    monkeypatch.setattr(roundtrip, "_Seen", Counted)
    monkeypatch.setattr(roundtrip, "_MOST_BEGINNING" if protocol == "pop3" else "_MOST_READING", 3)
    monkeypatch.setattr(roundtrip, "_MOST_SENDING", 2)
    with ScriptedServer(smtp(store)) as out, ScriptedServer(box(store)) as server:
        pairs = [dict(pair_of(out.port, server.port, protocol), name=str(n), sender=f"alice{n}@example.test") for n in range(10)]
        for n, pair in enumerate(pairs):
            pair["mailbox"] = dict(pair["mailbox"], login={"username": f"bob{n}", "password": PASSWORD})
        legs = roundtrip.run(pairs, dict(FAST, arrival=3.0))
    assert [leg["outcome"] for leg in legs] == ["ok"] * 10
    assert most["mailbox"] <= 3 and most["sending"] <= 2


@pytest.mark.slow
def test_who_gets_no_place_in_time_sends_nothing(store, monkeypatch):
    monkeypatch.setattr(roundtrip, "_MOST_READING", 1)
    store.deliver = lambda raw: None
    with ScriptedServer(smtp(store)) as out, ScriptedServer(imap(store)) as box:
        pairs = [dict(pair_of(out.port, box.port), name=str(n), sender=f"alice{n}@example.test") for n in range(2)]
        legs = roundtrip.run(pairs, dict(FAST, arrival=3.0, overall=0.5))
    assert sorted((leg["outcome"] == "not_tried", leg["sent"]) for leg in legs) == [(False, True), (True, False)]


def test_no_more_messages_a_minute_than_allowed(store):
    with ScriptedServer(smtp(store)) as out, ScriptedServer(imap(store)) as box:
        pairs = [dict(pair_of(out.port, box.port), sender=f"alice{n}@example.test") for n in range(3)]
        legs = roundtrip.run([dict(pair, name=str(n)) for n, pair in enumerate(pairs)], dict(FAST, per_minute=2))
    assert sorted(leg["outcome"] for leg in legs) == ["ok", "ok", "rate_limited"]


def test_the_pace_lets_pass_when_a_minute_is_over():
    slept, now = [], [0.0]

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds
    pace = roundtrip.Pace(2, lambda: now[0], sleep)
    for _message in range(5):
        pace.take(1000)
    assert slept == [0, 0, 60, 0, 60]
    pace.take(1000)
    with pytest.raises(Stopped):
        pace.take(now[0] + 1)


@pytest.mark.slow
@pytest.mark.parametrize("side", ["mailbox", "sending"])
def test_a_server_that_answers_nobody_is_not_asked_by_everybody(store, side):
    mute = lambda peer: peer.wait()  # noqa: E731
    with ScriptedServer(mute if side == "sending" else smtp(store)) as out, ScriptedServer(mute if side == "mailbox" else imap(store)) as box:
        pairs = [pair_of(out.port, box.port, name=str(n), sender=f"alice{n}@example.test") for n in range(40)]
        for number, pair in enumerate(pairs):
            pair["mailbox"] = dict(pair["mailbox"], login={"username": f"bob{number}", "password": PASSWORD})
        legs = roundtrip.run(pairs, dict(FAST, overall=30.0))
        assert {(leg["outcome"], leg["side"], leg["sent"]) for leg in legs} == {("silent", side, False)}
        # The ten that ask at the same time, and one that may have begun meanwhile for each that gave up first.
        assert (out if side == "sending" else box).connections <= 13
    assert any("not asked" in leg["answer"] for leg in legs)


@pytest.mark.slow
def test_a_server_that_answers_some_is_asked_by_everybody(store):
    answers = iter([True] + [False] * 3)

    def some(peer):
        return imap(store)(peer) if next(answers, True) else peer.wait()
    with ScriptedServer(smtp(store)) as out, ScriptedServer(some) as box:
        pairs = [pair_of(out.port, box.port, name=str(n), sender=f"alice{n}@example.test") for n in range(12)]
        legs = roundtrip.run(pairs, dict(FAST, arrival=3.0, overall=30.0))
    assert sorted(leg["outcome"] for leg in legs) == ["ok"] * 9 + ["silent"] * 3


@pytest.mark.parametrize("change, words", [
    (lambda p: p.update(recipient="no address"), "recipient"),
    (lambda p: p.update(sender="alice@example.test\r\nBcc: eve@example.test"), "sender"),
    (lambda p: p["through"].update(protocol="imap"), "through: protocol"),
    (lambda p: p["mailbox"].update(protocol="smtp"), "mailbox: protocol"),
    (lambda p: p["mailbox"].pop("login"), "mailbox needs a login"),
    (lambda p: p["mailbox"]["login"].update(password=""), "password of the login is missing"),
    (lambda p: p["mailbox"]["login"].update(password="two\r\nlines"), "one line"),
    (lambda p: p["mailbox"]["login"].update(password="\ud800"), "one line"),
    (lambda p: p["mailbox"]["login"].update(mechanism="NTLM"), "mechanism"),
    (lambda p: p["mailbox"].update(junk=["Entwürfe"]), "junk"),
])
def test_a_bad_pair_is_one_clear_error(change, words):
    pair = pair_of(25, 143)
    change(pair)
    with pytest.raises(BadRequest, match=re.escape(words)):
        roundtrip.run([pair], FAST)


def test_a_pair_given_twice_is_named():
    with pytest.raises(BadRequest, match="twice"):
        roundtrip.run([dict(pair_of(25, 143), name="a"), dict(pair_of(25, 143), name="b")], FAST)


def test_an_account_with_two_passwords_is_named():
    other = dict(pair_of(25, 143), sender="carol@example.test", name="b")
    other["mailbox"] = dict(other["mailbox"], login={"username": "bob", "password": "another"})
    with pytest.raises(BadRequest, match="different passwords") as problem:
        roundtrip.run([pair_of(25, 143), other], FAST)
    assert PASSWORD not in str(problem.value)


def test_a_plan_connects_to_nothing():
    assert roundtrip.plan([pair_of(25, 143)], FAST)[0]["mailbox"] == "localhost:143/imap"


@pytest.mark.parametrize("answer, name", [
    ("250 2.0.0 Ok: queued as 4XyZ12abc", "4XyZ12abc"),
    ("250 OK id=1tEabc-0000Qh-2y", "1tEabc-0000Qh-2y"),
    ("250 2.0.0 <bob@example.test> abcDEF123/xyzAAA Saved", "abcDEF123/xyzAAA"),
    ("250 2.6.0 <a@b> [InternalId=1234567, Hostname=x.example.test] Queued mail for delivery", "1234567"),
    ("250 2.0.0 4ANLx1abc012345 Message accepted for delivery", "4ANLx1abc012345"),
    ("250 2.0.0 OK  1732400000 af79cd13be357-7b4f0a2si123.45 - gsmtp", "1732400000"),
    ("250 2.0.0 Ok", None),
])
def test_the_queue_id_is_read(answer, name):
    assert roundtrip.queue_id(answer) == name


@pytest.mark.parametrize("answer, seconds", [
    ("451 4.7.1 Greylisting in action, please come back in 300 seconds", 300), ("450 4.2.0 Greylisted, retry in 5 minutes", 300),
    ("450 4.2.0 Greylisted", None),
])
def test_the_wait_that_is_asked_for_is_read(answer, seconds):
    assert roundtrip.wait_asked(answer) == seconds


REFUSALS = {
    "imap": [b"* OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2] ready\r\n", b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2\r\na1 OK done\r\n", b"+ \r\n", b"+ %s\r\n",
             b"a2 NO [AUTHENTICATIONFAILED] %s\r\n"],
    "pop3": [b"+OK ready\r\n", b"+OK\r\nSASL XOAUTH2\r\n.\r\n", b"+ \r\n", b"+ %s\r\n", b"-ERR [AUTH] %s\r\n"],
}


@pytest.mark.parametrize("protocol", REFUSALS)
def test_a_mailbox_that_refuses_a_token_and_repeats_it(store, protocol):
    seen = []

    def script(peer):
        for reply in REFUSALS[protocol]:
            peer.send(reply % seen[2] if b"%" in reply else reply)
            seen.append(peer.line())
    with ScriptedServer(smtp(store)) as out, ScriptedServer(script) as box:
        pair = pair_of(out.port, box.port, protocol)
        pair["mailbox"]["login"]["mechanism"] = "XOAUTH2"
        [leg] = roundtrip.run([pair], FAST)
    assert (leg["outcome"], leg["side"], leg["sent"]) == ("login_failed", "mailbox", False)
    assert base64.b64decode(seen[2]).startswith(b"user=bob\x01auth=Bearer ")
    assert PASSWORD not in json.dumps(leg) and seen[2].decode() not in json.dumps(leg) and "(hidden)" in leg["answer"]


@pytest.mark.parametrize("line, literals, folder", [
    (b'* LIST (\\HasNoChildren \\Junk) "/" "Junk mail"', [], (["\\HASNOCHILDREN", "\\JUNK"], "/", b"Junk mail")),
    (b'* LIST (\\HasNoChildren) "." INBOX.Spam', [], (["\\HASNOCHILDREN"], ".", b"INBOX.Spam")),
    (b'* LIST () "\\\\" "a\\"b"', [], ([], "\\", b'a"b')),
    (b'* LIST () NIL {4} ', [b"Junk"], ([], "", b"Junk")),
    (b"* 3 EXISTS", [], None),
])
def test_a_folder_is_read(line, literals, folder):
    assert parse_folder(line, literals) == folder
