from __future__ import annotations

import json
import socket
import time

import dialogues
import pytest
from ansible_collections.mailops.outage.plugins.module_utils.wire import transport
from ansible_collections.mailops.outage.plugins.module_utils.wire.probe import BadRequest, probe, probe_all
from scripted_server import Answers, ScriptedServer, starts_tls

LOGIN = {"username": dialogues.USER, "password": dialogues.PASSWORD}
SECRETS = (dialogues.PASSWORD, json.dumps(dialogues.PASSWORD)[1:-1], dialogues.PLAIN.decode())
FAST = {"connect": 1.0, "step": 0.25, "total": 2.0, "helo": "probe.example.test"}
PROTOCOLS = {"submission": dialogues.smtp, "imap": dialogues.imap, "pop3": dialogues.pop3, "sieve": dialogues.sieve}


@pytest.fixture(name="look")
def _look(authority, good):
    """Probe a script; the server's certificate is the good one."""
    def run(script, protocol="smtp", implicit_tls=False, context=good, options=None, **target):
        settled = dict(FAST, ca_file=authority.ca_file, **(options or {}))
        with ScriptedServer(script, context, implicit_tls) as server:
            return probe(dict({"name": "localhost", "address": "127.0.0.1", "port": server.port, "protocol": protocol}, **target), settled)
    return run


def steps_of(seen):
    return [step["step"] for step in seen["steps"]]


@pytest.mark.parametrize("protocol, dialogue", PROTOCOLS.items())
def test_a_healthy_server_is_ok_to_the_last_step(look, protocol, dialogue):
    seen = look(dialogue(), protocol, login=LOGIN)
    assert (seen["ok"], seen["outcome"], seen["step"]) == (True, "ok", None)
    steps = ["connect", "greeting", "capabilities", "starttls", "tls", "certificate", "capabilities", "login"]
    assert steps_of(seen) == steps + (["mailbox"] if protocol in ("imap", "pop3") else [])
    assert all(step["ok"] for step in seen["steps"])
    assert "PLAIN" in seen["mechanisms"]
    assert seen["tls"]["verified"] is True and seen["tls"]["verify_error"] is None
    assert seen["tls"]["certificate"]["names"] == ["localhost", "127.0.0.1"]
    assert seen["mailbox"] == ({"exists": 3} if protocol in ("imap", "pop3") else None)


@pytest.mark.parametrize("protocol, dialogue", [("submissions", dialogues.smtp), ("imaps", dialogues.imap), ("pop3s", dialogues.pop3)])
def test_implicit_tls_comes_before_the_greeting(look, protocol, dialogue):
    seen = look(dialogue(), protocol, implicit_tls=True, login=LOGIN)
    assert seen["ok"]
    assert steps_of(seen)[:4] == ["connect", "tls", "certificate", "greeting"]


def test_the_banner_and_the_capabilities_are_kept(look):
    seen = look(dialogues.smtp(), starttls="never")
    assert seen["banner"] == "220 mail.example.test ESMTP Postfix (Debian/GNU)"
    assert seen["capabilities"] == ["PIPELINING", "SIZE 10240000", "STARTTLS", "AUTH PLAIN LOGIN", "SMTPUTF8"]
    assert seen["mechanisms"] == ["PLAIN", "LOGIN"]
    assert seen["tls"] is None


def test_lmtp_says_lhlo(look):
    script = dialogues.smtp()
    seen = look(script, "lmtp", recipients=["alice@example.test"])
    assert seen["ok"]
    assert script.seen[0] == b"LHLO probe.example.test"


def test_an_old_server_is_greeted_with_helo(look):
    seen = look(dialogues.smtp(EHLO=b"502 5.5.2 Error: command not recognized\r\n"))
    assert seen["ok"] and seen["capabilities"] == []


# What the network does

def test_nothing_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    seen = probe({"name": "localhost", "address": "127.0.0.1", "port": port, "protocol": "smtp"}, FAST)
    assert (seen["ok"], seen["step"], seen["outcome"]) == (False, "connect", "refused")


def test_a_name_that_does_not_exist_is_said_so(monkeypatch):
    monkeypatch.setattr(transport.socket, "getaddrinfo", _raise(socket.gaierror(socket.EAI_NONAME, "Name or service not known")))
    seen = probe({"name": "gone.example.test", "protocol": "smtp"}, FAST)
    assert (seen["step"], seen["outcome"], seen["answer"]) == ("name", "no_name", "Name or service not known")


def test_a_resolver_that_cannot_tell_is_not_a_missing_name(monkeypatch):
    monkeypatch.setattr(transport.socket, "getaddrinfo", _raise(socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")))
    assert probe({"name": "mail.example.test", "protocol": "smtp"}, FAST)["outcome"] == "tempfail"


def test_a_resolver_that_hangs_costs_one_step(monkeypatch):
    monkeypatch.setattr(transport.socket, "getaddrinfo", lambda *_args, **_kwargs: time.sleep(3))
    seen = probe({"name": "mail.example.test", "protocol": "smtp"}, FAST)
    assert (seen["step"], seen["outcome"]) == ("name", "timeout")
    assert seen["seconds"] < 1


@pytest.mark.parametrize("number, outcome", [(110, "timeout"), (113, "unreachable"), (101, "unreachable"), (104, "reset"), (1, "unreachable")])
def test_an_error_of_the_system_has_its_word(monkeypatch, number, outcome):
    monkeypatch.setattr(transport.socket, "create_connection", _raise(OSError(number, "words")))
    seen = probe({"name": "mail.example.test", "address": "192.0.2.1", "protocol": "smtp"}, FAST)
    assert (seen["step"], seen["outcome"], seen["answer"]) == ("connect", outcome, "words")


def _raise(problem):
    def run(*_args, **_kwargs):
        raise problem
    return run


# What an ill or hostile server does

@pytest.mark.parametrize("protocol", ["smtp", "imap", "pop3", "sieve"])
@pytest.mark.parametrize("script, outcome", [
    (lambda peer: peer.wait(), "silent"),
    (lambda peer: None, "closed"),
    (lambda peer: peer.reset(), "reset"),
    (lambda peer: peer.send(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"), "garbage"),
    (lambda peer: peer.send(bytes(range(256)) + b"\r\n"), "garbage"),
    (lambda peer: peer.flood(b"x" * 65536), "garbage"),
    (lambda peer: peer.flood(b"\0" * 65536), "garbage"),
    (lambda peer: (peer.send(b"22"), peer.wait()), "timeout"),
    (lambda peer: peer.drip(b"2" * 1000), "timeout"),
])
def test_a_greeting_that_is_none(look, protocol, script, outcome):
    seen = look(script, protocol)
    assert (seen["ok"], seen["step"], seen["outcome"]) == (False, "greeting", outcome)
    assert seen["answer"] or outcome == "garbage"
    assert seen["seconds"] < 1


@pytest.mark.parametrize("protocol, greeting, outcome, code", [
    ("smtp", b"421 4.3.2 All server ports are busy\r\n", "tempfail", 421),
    ("smtp", b"554-mail.example.test\r\n554 Your access is denied\r\n", "reject", 554),
    ("smtp", b"250 hello\r\n", "protocol_error", 250),
    ("imap", b"* BYE [UNAVAILABLE] Internal error\r\n", "tempfail", None),
    ("imap", b"* BYE Too many connections\r\n", "reject", None),
    ("pop3", b"-ERR [SYS/TEMP] Try later\r\n", "tempfail", None),
    ("pop3", b"-ERR go away\r\n", "reject", None),
    ("sieve", b'BYE "Too many connections"\r\n', "reject", None),
])
def test_a_greeting_that_refuses(look, protocol, greeting, outcome, code):
    seen = look(lambda peer: (peer.send(greeting), peer.line()), protocol)
    assert (seen["step"], seen["outcome"], seen["code"]) == ("greeting", outcome, code)


def test_a_closing_server_is_quoted(look):
    seen = look(lambda peer: peer.send(b"421 too bu"))
    assert (seen["outcome"], seen["answer"]) == ("closed", "421 too bu")


@pytest.mark.parametrize("protocol, dialogue", PROTOCOLS.items())
@pytest.mark.parametrize("drop_after", range(8))
def test_a_connection_dropped_at_any_step_is_closed(look, protocol, dialogue, drop_after):
    script = dialogue(drop_after)
    seen = look(script, protocol, login=LOGIN, options={"step": 1.0})
    if seen["ok"]:
        # Fewer commands than that; or it dropped at the farewell, which is no loss.
        assert len(script.seen) <= drop_after
    else:
        assert seen["outcome"] in ("closed", "reset")
        assert steps_of(seen)[-1] == seen["step"]
    assert not any(secret in json.dumps(seen) for secret in SECRETS)


def test_answers_that_come_byte_by_byte_are_read(look):
    answers = {"EHLO": lambda peer, _line: peer.drip(b"250-mail\r\n250 PIPELINING\r\n"), "QUIT": lambda peer, _line: peer.drip(b"221 bye\r\n")}
    assert look(dialogues.smtp(**answers))["capabilities"] == ["PIPELINING"]


@pytest.mark.parametrize("protocol, dialogue, command, reply, outcome", [
    ("smtp", dialogues.smtp, "EHLO", b"250-mail\r\n550 what\r\n", "protocol_error"),
    ("smtp", dialogues.smtp, "EHLO", b"250-mail\r\nnothing\r\n", "protocol_error"),
    ("smtp", dialogues.smtp, "EHLO", b"451 4.3.0 Temporary lookup failure\r\n", "tempfail"),
    ("smtp", dialogues.smtp, "EHLO", lambda peer, _line: peer.flood(b"250-more\r\n" * 1000), "garbage"),
    ("imap", dialogues.imap, "CAPABILITY", lambda peer, _line: peer.flood(b"* CAPABILITY X\r\n" * 1000), "garbage"),
    ("imap", dialogues.imap, "CAPABILITY", b"* 1 FETCH {4000000000}\r\n", "garbage"),
    ("imap", dialogues.imap, "CAPABILITY", lambda peer, _line: peer.flood(b"* X {1000}\r\n" + b"y" * 1000), "garbage"),
    ("imap", dialogues.imap, "CAPABILITY", b"zz OK wrong tag\r\n", "protocol_error"),
    ("imap", dialogues.imap, "CAPABILITY", b"TAG what\r\n", "protocol_error"),
    ("imap", dialogues.imap, "CAPABILITY", b"TAG BAD no\r\n", "protocol_error"),
    ("imap", dialogues.imap, "CAPABILITY", b"+ go on\r\n", "protocol_error"),
    ("pop3", dialogues.pop3, "CAPA", lambda peer, _line: (peer.send(b"+OK\r\n"), peer.flood(b"X\r\n" * 1000)), "garbage"),
    ("pop3", dialogues.pop3, "CAPA", b"what\r\n", "protocol_error"),
])
def test_a_bad_list_of_capabilities(look, protocol, dialogue, command, reply, outcome):
    seen = look(dialogue(**{command: reply}), protocol)
    assert (seen["step"], seen["outcome"]) == ("capabilities", outcome)


def test_hostile_text_stays_text(look):
    banner = b"220 \x1b[2J\x1b]0;owned\x07{{ lookup('pipe','id') }} <script>alert(1)</script>\x00 \xff\xfe \xe2\x80\xae\r\n"
    seen = look(dialogues.smtp(greeting=banner))
    assert seen["banner"].startswith("220 {{ lookup('pipe','id') }} <script>alert(1)</script>")
    assert not any(ord(character) < 32 or 0x7f <= ord(character) < 0xa0 or character == "\u202e" for character in json.dumps(seen, ensure_ascii=False))


def test_endless_trickling_ends_at_the_total_deadline(look):
    def script(peer):
        peer.send(b"220 hi\r\n")
        peer.line()
        peer.drip(b"250-x\r\n" * 1000, 0.01)
    seen = look(script, options={"step": 5.0, "total": 0.3})
    assert (seen["step"], seen["outcome"]) == ("capabilities", "timeout")
    assert seen["seconds"] < 0.6


# TLS

def test_plaintext_before_the_handshake_is_refused(look):
    seen = look(dialogues.smtp(STARTTLS=b"220 2.0.0 Ready\r\n250-injected\r\n"))
    assert (seen["step"], seen["outcome"]) == ("tls", "protocol_error")
    assert "injected" in seen["answer"]


@pytest.mark.parametrize("handshake, outcome", [
    (lambda peer: peer.send(b"500 what is this\r\n"), "tls_failed"),
    (lambda peer: peer.send(b"\x15\x03\x03\x00\x02\x02\x28"), "tls_failed"),
    (lambda peer: peer.close(), "closed"),
    (lambda peer: peer.reset(), "reset"),
    (lambda peer: peer.wait(), "silent"),
])
def test_broken_tls(look, handshake, outcome):
    seen = look(lambda peer: (peer.line(), handshake(peer), peer.wait()) if outcome == "tls_failed" else handshake(peer), "imaps")
    assert seen["step"] == "tls"
    # The client's hello may still be unread when the server hangs up: then the system says "reset".
    assert seen["outcome"] == outcome or (outcome == "closed" and seen["outcome"] == "reset")


@pytest.mark.parametrize("names, kwargs, code, matches", [
    (["localhost"], {"days": -1, "since": -9}, 10, True),
    (["localhost"], {"since": 5}, 9, True),
    (["localhost"], {"self_signed": True}, 18, True),
    (["mail.example.test"], {}, 62, False),
    ([], {}, 62, False),
    (["mail.example.test"], {"days": -1, "since": -9}, 10, False),
])
def test_a_bad_certificate_is_seen_and_the_probe_goes_on(look, authority, names, kwargs, code, matches):
    seen = look(dialogues.smtp(), context=authority.issue(*names, **kwargs))
    tls = seen["tls"]
    assert (tls["verified"], tls["verify_code"], tls["name_matches"]) == (False, code, matches)
    assert tls["verify_error"] and tls["certificate"]["names"] == names
    assert seen["ok"] and "STARTTLS" in seen["capabilities"]
    assert [step["ok"] for step in seen["steps"] if step["step"] == "certificate"] == [False]


def test_an_unknown_authority_is_not_verified(good):
    with ScriptedServer(dialogues.smtp(), good) as server:
        seen = probe({"name": "localhost", "port": server.port, "protocol": "smtp"}, FAST)
    assert (seen["tls"]["verified"], seen["tls"]["verify_code"], seen["tls"]["name_matches"]) == (False, 20, True)
    assert server.connections == 2


def test_a_good_certificate_takes_one_connection(authority, good):
    with ScriptedServer(dialogues.smtp(), good) as server:
        probe({"name": "localhost", "port": server.port, "protocol": "smtp"}, dict(FAST, ca_file=authority.ca_file))
    assert server.connections == 1


def test_what_was_seen_stays_when_the_second_look_is_refused(look, authority):
    context = authority.issue("localhost", days=-1, since=-9)
    count = []

    def script(peer):
        count.append(1)
        if len(count) == 1:
            dialogues.smtp()(peer)
        else:
            peer.send(b"421 4.7.0 too many connections\r\n")
    seen = look(script, context=context)
    assert (seen["ok"], seen["step"], seen["outcome"]) == (False, "greeting", "tempfail")
    assert (seen["tls"]["verified"], seen["tls"]["verify_code"], seen["tls"]["certificate"]) == (False, 10, None)


@pytest.mark.parametrize("protocol, starttls, ok", [
    ("smtp", "auto", True), ("smtp", "required", False), ("imap", "auto", True), ("imap", "required", False), ("submission", "never", True),
])
def test_starttls_that_is_not_offered(look, protocol, starttls, ok):
    dialogue = {"EHLO": b"250 mail\r\n"} if protocol != "imap" else {"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\nTAG OK done\r\n"}
    seen = look((dialogues.imap if protocol == "imap" else dialogues.smtp)(**dialogue), protocol, starttls=starttls)
    assert seen["ok"] is ok
    if not ok:
        assert (seen["step"], seen["outcome"]) == ("starttls", "no_starttls")


@pytest.mark.parametrize("protocol, starttls, accepted", [
    ("smtp", "auto", [True]), ("smtp", "required", []), ("submission", "required", []),
])
def test_starttls_that_is_refused_stops_a_client_but_not_a_peer(look, protocol, starttls, accepted):
    script = dialogues.smtp(STARTTLS=b"454 4.7.0 TLS not available due to local problem\r\n")
    seen = look(script, protocol, starttls=starttls, recipients=["alice@example.test"])
    assert (seen["ok"], seen["step"], seen["outcome"], seen["code"]) == (False, "starttls", "tempfail", 454)
    assert [entry["accepted"] for entry in seen["envelope"]] == accepted


def test_a_refused_recipient_weighs_more_than_refused_tls(look):
    script = dialogues.smtp(STARTTLS=b"454 4.3.0 Try again later\r\n", **{"MAIL FROM": b"451 4.7.1 Service unavailable - try again later\r\n"})
    seen = look(script, recipients=["alice@example.test"])
    assert (seen["step"], seen["outcome"], seen["code"]) == ("sender", "tempfail", 451)


# Login

@pytest.mark.parametrize("protocol, command, reply, outcome", [
    ("submission", "AUTH", b"535 5.7.8 Error: authentication failed: \r\n", "login_failed"),
    ("submission", "AUTH", b"454 4.7.0 Temporary authentication failure: Connection lost to authentication server\r\n", "login_unavailable"),
    ("submission", "AUTH", b"503 5.5.1 Error: authentication not enabled\r\n", "no_mechanism"),
    ("submission", "AUTH", b"504 5.5.4 mechanism?\r\n", "no_mechanism"),
    ("imap", "AUTHENTICATE", b"TAG NO [AUTHENTICATIONFAILED] Authentication failed.\r\n", "login_failed"),
    ("imap", "AUTHENTICATE", b"TAG NO Login failed.\r\n", "login_failed"),
    ("imap", "AUTHENTICATE", b"TAG NO [UNAVAILABLE] Temporary authentication failure.\r\n", "login_unavailable"),
    ("imap", "AUTHENTICATE", b"TAG BAD unknown command\r\n", "no_mechanism"),
    ("pop3", "AUTH", b"-ERR [AUTH] Authentication failed.\r\n", "no_mechanism"),
    ("pop3", dialogues.PLAIN.decode().upper(), b"-ERR [AUTH] Authentication failed.\r\n", "login_failed"),
    ("pop3", dialogues.PLAIN.decode().upper(), b"-ERR [SYS/TEMP] Temporary authentication failure.\r\n", "login_unavailable"),
    ("pop3", dialogues.PLAIN.decode().upper(), b"-ERR [IN-USE] Mailbox in use.\r\n", "login_unavailable"),
    ("sieve", "AUTHENTICATE", b'NO "Authentication failed."\r\n', "login_failed"),
    ("sieve", "AUTHENTICATE", b'NO (TRYLATER) "Temporary authentication failure."\r\n', "login_unavailable"),
    ("sieve", "AUTHENTICATE", b'NO (ENCRYPT-NEEDED) "TLS first"\r\n', "no_mechanism"),
])
def test_a_refused_login_says_whose_fault_it_is(look, protocol, command, reply, outcome):
    changed = {"AUTH PLAIN": reply} if command == "AUTH" else {command: reply}
    seen = look(PROTOCOLS[protocol](**changed), protocol, login=LOGIN)
    assert (seen["step"], seen["outcome"]) == ("login", outcome)


@pytest.mark.parametrize("protocol, dialogue", PROTOCOLS.items())
def test_a_wrong_password_is_a_failed_login(look, protocol, dialogue):
    if protocol == "pop3":
        script = dialogue(CAPA=b"+OK\r\nSTLS\r\nUSER\r\n.\r\n")
    else:
        script = dialogue()
    seen = look(script, protocol, login={"username": dialogues.USER, "password": "wrong"})
    assert (seen["step"], seen["outcome"]) == ("login", "login_failed")


@pytest.mark.parametrize("protocol, script, mechanism", [
    ("submission", {"EHLO": b"250-mail\r\n250-STARTTLS\r\n250 AUTH=LOGIN\r\n"}, None),
    ("submission", {}, "LOGIN"),
    ("imap", {"CAPABILITY": b"* CAPABILITY IMAP4rev1 STARTTLS\r\nTAG OK\r\n"}, None),
    ("imap", {}, "LOGIN"),
    ("imap", {"CAPABILITY": b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\nTAG OK\r\n"}, "PLAIN"),
    ("pop3", {"CAPA": b"-ERR unknown\r\n"}, None),
    ("pop3", {}, "LOGIN"),
])
def test_every_way_to_log_in_works(look, protocol, script, mechanism):
    asked = []

    def challenge(reply, last):
        def run(peer, line):
            asked.append(line)
            peer.send(reply)
            asked.append(peer.line())
            if protocol == "submission":
                peer.send(b"334 UGFzc3dvcmQ6\r\n")
                asked.append(peer.line())
            peer.send(last.replace(b"TAG", line.split(b" ", 1)[0]))
        return run
    script = dict({"AUTH LOGIN": challenge(b"334 VXNlcm5hbWU6\r\n", b"235 2.7.0 ok\r\n"), "LOGIN": b"TAG OK\r\n",
                   "AUTHENTICATE": challenge(b"+ \r\n", b"TAG OK in\r\n")}, **script)
    if protocol == "pop3":
        script.update({"PASS": b"+OK in\r\n"})
    seen = look(PROTOCOLS[protocol](**script), protocol, starttls="never", login=dict(LOGIN, mechanism=mechanism))
    assert seen["ok"], seen
    if asked:
        assert not asked[0].endswith(dialogues.PLAIN)


def test_no_mechanism_is_offered(look):
    seen = look(dialogues.smtp(EHLO=b"250-mail\r\n250 STARTTLS\r\n"), "submission", login=LOGIN)
    assert (seen["step"], seen["outcome"], seen["answer"]) == ("login", "no_mechanism", "mechanisms offered: none")


def test_login_that_is_disabled_is_no_mechanism(look):
    seen = look(dialogues.imap(CAPABILITY=b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\nTAG OK\r\n"), "imap", login=LOGIN)
    assert (seen["step"], seen["outcome"]) == ("login", "no_mechanism")


def test_a_server_that_says_bye_instead_of_an_answer_is_quoted(look):
    def run(peer, _line):
        peer.send(b"* BYE Internal error occurred. Refer to server log for more information.\r\n")
        peer.close()
    seen = look(dialogues.imap(AUTHENTICATE=run), "imap", login=LOGIN)
    assert (seen["step"], seen["outcome"]) == ("login", "closed")
    assert "Internal error" in seen["answer"]


def test_a_mailbox_that_does_not_open_is_told_from_the_login(look):
    seen = look(dialogues.imap(EXAMINE=b"TAG NO [SERVERBUG] Internal error occurred.\r\n"), "imap", login=LOGIN)
    assert (seen["step"], seen["outcome"], seen["mailbox"]) == ("mailbox", "tempfail", None)
    seen = look(dialogues.pop3(STAT=b"-ERR no such mailbox\r\n"), "pop3", login=LOGIN)
    assert (seen["step"], seen["outcome"]) == ("mailbox", "reject")


@pytest.mark.parametrize("name, reply", [
    ("AUTH PLAIN", lambda peer, line: peer.send(b"535 you said: " + line + b"\r\n")),
    ("AUTH PLAIN", lambda peer, line: peer.send(b"535-" + b"x" * 380 + line + b"\r\n535 again " + dialogues.PASSWORD.encode() + b"\r\n")),
    ("AUTH PLAIN", lambda peer, line: (peer.send(b"535 " + line[:-5]), peer.wait())),
    ("AUTH PLAIN", lambda peer, line: peer.send(line + b"\r\n")),
    ("AUTH PLAIN", lambda peer, line: (peer.send(dialogues.PASSWORD.encode()), peer.close())),
])
def test_a_password_that_the_server_repeats_is_not_kept(look, name, reply):
    seen = look(dialogues.smtp(**{name: reply}), "submission", login=LOGIN)
    assert not seen["ok"]
    text = json.dumps(seen)
    assert not any(secret in text or secret[:-5] in text for secret in SECRETS)


def test_a_short_password_does_not_garble_the_protocol(look):
    seen = look(dialogues.smtp(**{"AUTH PLAIN": b"235 2.7.0 ok\r\n"}), "submission", login={"username": "a", "password": "2"})
    assert seen["ok"] and seen["code"] == 235


def test_no_password_goes_to_an_unverified_or_plain_server(authority, good, monkeypatch):
    # The server is on loopback; the probe is told that it is elsewhere.
    monkeypatch.setattr("ansible_collections.mailops.outage.plugins.module_utils.wire.probe.Look._is_loopback", lambda _self: False)
    script = dialogues.smtp()
    with ScriptedServer(script, good) as server:
        target = {"name": "localhost", "address": "127.0.0.1", "port": server.port, "protocol": "smtp", "login": LOGIN}
        plain = probe(dict(target, starttls="never"), dict(FAST, ca_file=authority.ca_file))
        doubtful = probe(target, FAST)
        assert not any(b"AUTH" in line for line in script.seen)
        willing = probe(dict(target, login=dict(LOGIN, unverified=True)), FAST)
        trusted = probe(target, dict(FAST, ca_file=authority.ca_file))
    assert (plain["step"], plain["outcome"]) == ("login", "no_starttls")
    assert (doubtful["step"], doubtful["outcome"]) == ("login", "tls_failed")
    assert willing["ok"] and trusted["ok"]


# Envelope

def test_the_envelope_is_tried_and_never_a_message(look):
    script = dialogues.smtp()
    seen = look(script, sender="canary@example.test", recipients=["alice@example.test", "nobody@example.test"],
                relay_check={"sender": "canary@elsewhere.test", "recipient": "someone@elsewhere.test"}, starttls="never")
    assert script.seen == [
        b"EHLO probe.example.test", b"MAIL FROM:<canary@example.test>", b"RCPT TO:<alice@example.test>", b"RCPT TO:<nobody@example.test>", b"RSET",
        b"MAIL FROM:<canary@elsewhere.test>", b"RCPT TO:<someone@elsewhere.test>", b"RSET", b"QUIT"]
    assert [(entry["kind"], entry["recipient"], entry["code"], entry["accepted"]) for entry in seen["envelope"]] == [
        ("recipient", "alice@example.test", 250, True), ("recipient", "nobody@example.test", 554, False), ("relay", "someone@elsewhere.test", 554, False)]
    assert (seen["ok"], seen["step"], seen["outcome"], seen["code"]) == (False, "recipient", "reject", 554)
    assert [step["ok"] for step in seen["steps"] if step["step"] == "recipient"] == [True, False, True]


def test_a_refused_relay_is_as_it_should_be(look):
    seen = look(dialogues.smtp(), recipients=["alice@example.test"], relay_check={"recipient": "someone@elsewhere.test"})
    assert seen["ok"]


def test_an_open_relay_shows_in_the_envelope(look):
    seen = look(dialogues.smtp(**{"RCPT TO": b"250 2.1.5 Ok\r\n"}), relay_check={"sender": "a@b.test", "recipient": "someone@elsewhere.test"})
    assert seen["ok"]
    assert [(entry["kind"], entry["accepted"]) for entry in seen["envelope"]] == [("relay", True)]


def test_a_refused_sender_is_a_refusal_for_all(look):
    seen = look(dialogues.smtp(**{"MAIL FROM": b"452 4.3.1 Insufficient system storage\r\n"}), recipients=["alice@example.test", "b@example.test"])
    assert (seen["step"], seen["outcome"], seen["code"]) == ("sender", "tempfail", 452)
    assert [(entry["step"], entry["code"]) for entry in seen["envelope"]] == [("sender", 452)] * 2


def test_a_server_that_hangs_at_rcpt_costs_one_step(look):
    seen = look(dialogues.smtp(**{"RCPT TO:<ALICE@EXAMPLE.TEST>": lambda peer, _line: peer.wait()}), recipients=["alice@example.test"])
    assert (seen["step"], seen["outcome"]) == ("recipient", "timeout")
    assert seen["seconds"] < 1


def test_a_421_ends_the_conversation_with_its_own_words(look):
    def run(peer, _line):
        peer.send(b"421 4.3.0 service shutting down\r\n")
        peer.close()
    seen = look(dialogues.smtp(**{"RCPT TO:<ALICE@EXAMPLE.TEST>": run}), recipients=["alice@example.test", "b@example.test"])
    assert (seen["step"], seen["outcome"], seen["code"]) == ("recipient", "tempfail", 421)
    assert len(seen["envelope"]) == 1


# Many at once

def test_many_endpoints_are_probed_side_by_side(authority, good):
    with ScriptedServer(dialogues.smtp(), good) as server:
        targets = [{"name": "localhost", "address": "127.0.0.1", "port": server.port, "protocol": "smtp"}] * 80
        began = time.monotonic()
        seen = probe_all(targets, dict(FAST, step=2.0, total=5.0, ca_file=authority.ca_file))
        seconds = time.monotonic() - began
    assert all(one["ok"] for one in seen)
    assert seconds < 2


def test_silent_servers_do_not_add_up():
    with ScriptedServer(lambda peer: peer.wait()) as server:
        began = time.monotonic()
        seen = probe_all([{"name": "localhost", "port": server.port, "protocol": "smtp"}] * 30, FAST)
        assert time.monotonic() - began < 1.5
    assert {one["outcome"] for one in seen} == {"silent"}


def test_what_there_was_no_time_for_is_not_called_ill():
    with ScriptedServer(lambda peer: peer.wait()) as server:
        began = time.monotonic()
        seen = probe_all([{"name": "localhost", "port": server.port, "protocol": "smtp"}] * 5, dict(FAST, workers=1, step=0.1, overall=0.25))
        assert time.monotonic() - began < 1
    assert [one["outcome"] for one in seen][0] == "silent"
    assert seen[-1]["outcome"] == "not_tried" and seen[-1]["step"] is None


def test_every_observation_has_the_same_keys(look):
    whole = look(dialogues.smtp(), "submission", login=LOGIN)
    with ScriptedServer(lambda peer: peer.wait()) as server:
        late = probe_all([{"name": "localhost", "port": server.port, "protocol": "smtp"}] * 2, dict(FAST, workers=1, overall=0.1))[-1]
    assert set(whole) == set(late)
    assert whole["id"].startswith("localhost:") and whole["id"].endswith("/submission")
    assert whole["vantage"] == socket.gethostname()


@pytest.mark.parametrize("target", [
    {}, {"name": ""}, {"name": "a b"}, {"name": "a\r\nb"}, {"name": ".example.test"}, {"name": "x" * 64 + ".test"}, {"name": "x.test"},
    {"name": "x.test", "port": 8080}, {"name": "x.test", "port": 70000, "protocol": "smtp"}, {"name": "x.test", "protocol": "http"},
    {"name": "x.test", "port": 25, "address": "mail"}, {"name": "x.test", "port": 25, "login": {"username": "a"}},
    {"name": "x.test", "port": 25, "login": {"username": "a", "password": "b\r\nQUIT"}},
    {"name": "x.test", "port": 25, "login": {"username": "a", "password": "b", "mechanism": "CRAM-MD5"}},
    {"name": "x.test", "port": 25, "recipients": ["a@b.test>\r\nDATA"]}, {"name": "x.test", "port": 25, "recipients": ["a b"]},
    {"name": "x.test", "port": 25, "relay_check": {"sender": "a"}}, {"name": "x.test", "port": 993, "recipients": ["a@b.test"]},
    {"name": "x.test", "port": 25, "starttls": "maybe"}, {"name": "x.test", "port": 25, "colour": "red"},
])
def test_a_target_that_makes_no_sense_is_one_clear_error(target):
    with pytest.raises(BadRequest, match="endpoint"):
        probe(target, FAST)


@pytest.mark.parametrize("options", [{"helo": "a b"}, {"connect": 0}, {"ca_file": "/nonexistent"}, {"colour": 1},
                                     {"hop": {"host": "h", "private_key_file": "/nonexistent"}}])
def test_an_option_that_makes_no_sense_is_one_clear_error(options):
    with pytest.raises(BadRequest):
        probe({"name": "x.test", "port": 25}, options)


def test_a_script_of_ones_own(look):
    seen = look(Answers(b"220 hi\r\n", {b"EHLO": b"250-x\r\n250 STARTTLS\r\n", b"STARTTLS": starts_tls(b"220 go\r\n"), b"QUIT": b"221 bye\r\n"}))
    assert seen["ok"]
