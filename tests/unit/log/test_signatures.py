"""Signatures: they mean what their program says itself, and one pass over blocks finds what a look at every line finds."""
from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known import KNOWN, SIGNATURES, TRAFFIC

from ansible_collections.mailops.outage.plugins.module_utils.log.signatures import LONGEST_MATCHED, Scanner, compile_all
from ansible_collections.mailops.outage.plugins.module_utils.log.stamps import Stamps
from ansible_collections.mailops.outage.plugins.module_utils.log.window import Block, whole_lines

START = datetime(2026, 11, 20, tzinfo=timezone.utc).timestamp()


def stamped(number, text):
    when = datetime.fromtimestamp(START + number, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S+00:00")
    return f"{when} mail ".encode() + (text if isinstance(text, bytes) else text.encode())


def scan(signatures, lines, kind="mail", size=300, own=b""):
    """The results, with the lines given in blocks of a few hundred bytes."""
    data = b"".join(line + b"\n" for line in lines)
    scanner = Scanner(compile_all(signatures), kind)
    clock = Stamps(START + 10 ** 6, zone=timezone.utc)
    for block in whole_lines((data[place:place + size] for place in range(0, len(data), size)), "/var/log/mail.log"):
        scanner.feed(block, clock, own)
    return {name: tally.result() for name, tally in scanner.tallies.items()}


def sign(pattern="^Sign", program=".+/smtpd", **more):
    return {"x": {"program": program, "pattern": pattern, **more}}


@pytest.mark.parametrize("name", KNOWN)
def test_a_real_line_is_known_by_its_signature_alone(name):
    found = scan(SIGNATURES, [stamped(1, KNOWN[name][1])])
    assert list(found) == [name]
    assert found[name]["count"] == 1
    assert found[name]["first"] == found[name]["last"] == "2026-11-20T00:00:01Z"
    assert found[name]["samples"][0]["line"] == "@1"


def test_ordinary_traffic_matches_nothing():
    assert scan(SIGNATURES, [stamped(number, text) for number, text in enumerate(TRAFFIC)]) == {}


LINES = st.one_of(
    st.sampled_from([text.encode() for _spec, text in KNOWN.values()] + [text.encode() for text in TRAFFIC]).map(lambda text: stamped(5, text)),
    st.sampled_from([b"", b"\x00\xff", b"no stamp: reject: RCPT from x[192.0.2.1]: Relay access denied", b"x" * 5000 + b": discard: header Subject"]),
    st.binary(max_size=40).map(lambda text: text.replace(b"\n", b"")),
)


@pytest.mark.slow
@settings(max_examples=200)
@given(st.lists(LINES, max_size=25), st.lists(st.sampled_from(sorted(SIGNATURES)), min_size=1, max_size=6, unique=True), st.integers(80, 4000))
def test_scanning_blocks_finds_what_trying_every_line_finds(lines, names, size):
    signatures = {name: SIGNATURES[name] for name in names}
    alone: dict = {}
    for line in lines:
        for name, result in scan(signatures, [line], size=10000).items():
            alone[name] = alone.get(name, 0) + result["count"]
    assert {name: result["count"] for name, result in scan(signatures, lines, size=size).items()} == alone


def test_groups_queue_ids_and_samples():
    lines = [stamped(number, f"postfix/smtp[7]: 9BBF11A{number:04X}: to=<a@b>, relay=none, delay=1, dsn=4.4.1, "
                     f"status=deferred (connect to mx{number % 12}.test[192.0.2.1]:25: Connection timed out)")
             for number in range(50)]
    found = scan({"outbound": SIGNATURES["outbound"]}, lines)["outbound"]
    assert found["count"] == 50
    assert len(found["queue_ids"]) == 20 and found["queue_ids"][0] == "9BBF11A0000"
    assert len(found["groups"]["destination"]) == 10 and found["groups"]["destination"]["mx0.test"] == 5
    assert [sample["time"] for sample in found["samples"]] == ["2026-11-20T00:00:00Z", "2026-11-20T00:00:01Z", "2026-11-20T00:00:49Z"]
    data = b"".join(line + b"\n" for line in lines)
    for sample in found["samples"]:
        assert data[int(sample["line"][1:]) - 1:].split(b"\n")[0].decode() == sample["text"]


def test_equal_lines_each_have_a_place_of_their_own():
    lines = [stamped(1, TRAFFIC[0])] + [stamped(2, KNOWN["milter"][1])] * 4 + [stamped(3, TRAFFIC[0])]
    places = [int(sample["line"][1:]) for sample in scan(SIGNATURES, lines, size=10000)["milter"]["samples"]]
    first, length = len(lines[0]) + 2, len(lines[1]) + 1
    assert places == [first, first + length, first + 3 * length]


@pytest.mark.parametrize("text, queue_id", [
    ("postfix/smtpd[7]: 9BBF11A20F0: Sign", "9BBF11A20F0"),
    ("postfix/smtpd[7]: 4XyzQm1rPzz1v: Sign", "4XyzQm1rPzz1v"),
    ("exim[7]: 1vNabc-0000xY-1a Sign", "1vNabc-0000xY-1a"),
    ("exim[7]: 2026-11-20 00:00:01 1vNabc-000000000xY-1abc Sign", "1vNabc-000000000xY-1abc"),
    ("postfix/smtpd[7]: NOQUEUE: Sign", None),
    ("postfix/smtpd[7]: Sign", None),
])
def test_queue_ids_of_all_forms(text, queue_id):
    found = scan(sign(program=".+/smtpd|exim"), [stamped(1, text)])["x"]["queue_ids"]
    assert found == ([queue_id] if queue_id else [])


@pytest.mark.parametrize("text", ["warning: Sign", "statistics: Sign", "fatal: Sign", "x Sign", "4C1D: Sign", ": Sign"])
def test_what_is_no_queue_id_is_the_programs_own_word(text):
    assert scan(sign(), [stamped(1, f"postfix/smtpd[7]: {text}")]) == {}


def test_a_sample_is_clean_and_holds_no_secret():
    text = b"dovecot: auth: passwd-file(alice,192.0.2.1): Password mismatch (given password: hunter2) \x1b[31mred\x1b[0m \xff\x00 pass=secret1 mysql://mail:secret2@db/"
    sample = scan(sign(r"^auth: passwd-file\(,\): Password mismatch", "dovecot"), [stamped(1, text)])["x"]["samples"][0]["text"]
    assert "hunter2" not in sample and "secret" not in sample
    assert "\x1b" not in sample and "\x00" not in sample and "given password: (hidden)" in sample


def test_groups_are_clean_and_bounded():
    lines = [stamped(1, b"dovecot: auth: pam(\x1b[31ma\x07,192.0.2.1): no"), stamped(1, b"dovecot: auth: pam(" + b"u" * 1000 + b",192.0.2.1): no")]
    found = scan(sign(r"^auth: pam\((?P<user>),\): no", "dovecot"), lines)
    assert list(found["x"]["groups"]["user"]) == ["a", "u" * 200]


@pytest.mark.parametrize("pattern, line, groups", [
    (r"^reject: RCPT from (?P<client>\[\]): 554 5\.7\.1 <(?P<domain>)>: No;$",
     "NOQUEUE: reject: RCPT from mx.test[192.0.2.7]: 554 5.7.1 <a@b.test>: No; from=<> to=<a@b.test> proto=ESMTP helo=<x>",
     {"client": {"mx.test[192.0.2.7]": 1}, "domain": {"b.test": 1}}),
    (r'^warning: service "(?P<service>)" \(25\) is (?P<word>\w+)$', 'warning: service "smtp" (25) is busy', {"service": {"smtp": 1}, "word": {"busy": 1}}),
    (r"^connect to (?P<name>)\[(?P<address>)\]:(?P<port>\d+)", "connect to mx.test[2001:db8::1]:25: no",
     {"name": {"mx.test": 1}, "address": {"2001:db8::1": 1}, "port": {"25": 1}}),
    (r"^client=\[\], sasl_method=PLAIN, sasl_username=(?P<user>)$", "4C1D5: client=x[192.0.2.1], sasl_method=PLAIN, sasl_username=bob", {"user": {"bob": 1}}),
])
def test_a_group_takes_what_stood_in_the_place_of_a_mark(pattern, line, groups):
    assert scan(sign(pattern), [stamped(1, f"postfix/smtpd[7]: {line}")])["x"]["groups"] == groups


def test_a_signature_may_ask_for_certain_values():
    lines = [stamped(number, f"postfix/smtpd[7]: 4C1D{number}: connect to x[{address}]:25: no") for number, address in enumerate(("192.0.2.1", "::1"))]
    assert scan(sign(r"^connect to \[(?P<address>)\]", where={"address": "[0-9a-f]*:.*"}), lines)["x"]["groups"] == {"address": {"::1": 1}}
    assert scan(sign("^connect", where={"queue_id": "4C1D0"}), lines)["x"]["queue_ids"] == ["4C1D0"]


def test_the_answer_of_another_server_is_looked_at_where_it_begins_and_without_addresses():
    line = "postfix/smtp[7]: 4C1D5: to=<a@b>, relay=x[192.0.2.1]:25, delay=1, dsn=5.0.0, status=bounced (host x[192.0.2.1] said: {} (in reply to RCPT TO command))"
    meant = sign(r"^status=bounced \(host \[\] said: $", ".+/smtp", answer=r"^550 <(?P<user>[^<>]*)> is (?:unknown|spam)")
    found = scan(meant, [stamped(1, line.format("550 <bob@b> is unknown")), stamped(2, line.format("551 550 <bob@b> is unknown")),
                         stamped(3, line.format("550 <550 <bob@b> is spam> is here"))])["x"]
    assert found["count"] == 1 and found["groups"] == {"user": {"bob@b": 1}}


def test_what_is_kept_does_not_grow_with_the_log():
    scanner = Scanner(compile_all(sign(r"^connect to (?P<host>\S+) failed (?P<more>\d+)")))
    clock = Stamps(START + 10 ** 6, zone=timezone.utc)
    for number in range(60):
        data = b"".join(stamped(number, f"postfix/smtpd[1]: {number:05X}{each:05X}: connect to h{number}-{each} failed {each}") + b"\n" for each in range(500))
        scanner.feed(Block(data, 0, "x"), clock)
    tally = scanner.tallies["x"]
    assert tally.count == 30000
    assert len(tally._groups["host"]) <= 2000 and len(tally._samples) <= 3
    assert all(len(program._known) <= 5000 for program in scanner._programs.values())
    assert len(tally.result()["groups"]["host"]) == 10


@pytest.mark.parametrize("source, kind, found", [
    (None, "mail", True), (None, "kernel", False), ("kernel", "kernel", True), ("kernel", "mail", False), ("any", "mail", True), ("any", "kernel", True)])
def test_a_signature_sees_its_source_only(source, kind, found):
    meant = sign("^I/O error", "kernel", **({"source": source} if source else {}))
    assert bool(scan(meant, [stamped(1, "kernel: [  12.345678] I/O error, dev sda")], kind)) is found


@pytest.mark.parametrize("name, found", [
    ("postfix/smtpd", True), ("postfix/submission/smtpd", True), ("postfix-out/smtpd", True), ("mx/smtpd", True), ("smtpd", False), ("dovecot", False),
    ("postfix/smtp", False), ("postfix/smtpd2", False)])
def test_only_lines_of_its_program_are_looked_at(name, found):
    for line in (stamped(1, f"{name}[7]: Sign"), f"Nov  3 20:51:07 mail {name}[7]: NOQUEUE: Sign".encode()):
        assert bool(scan(sign(), [line])) is found


@pytest.mark.parametrize("line, own", [
    (b"Nov 23 20:51:07 mail dovecot: auth: Sign", b""), (b"Nov 23 20:51:07 dovecot: auth: Sign", b""), (b"1795467067.123456 mail dovecot[1]: auth: Sign", b""),
    (b"2026-11-23 20:51:07 dovecot: auth: Sign", b""), (b"Nov 23 20:51:07 auth: Sign", b"dovecot"), (b"Nov 23 20:51:07 auth: Sign", b""),
    (b"<22>Nov 23 20:51:07 mail dovecot: auth: Sign", b""), (b"2026-11-23 20:51:07 auth: Sign", b"")])
def test_dovecot_is_found_behind_any_stamp(line, own):
    assert scan(sign("^auth: Sign", "dovecot"), [line], own=own)["x"]["count"] == 1


@pytest.mark.parametrize("line", [
    b"2026-11-23 20:51:07 1vNabc-0000xY-1a == a@b.test R=r T=t defer (13): Sign", b"2026-11-23 20:51:07 +0100 1vNabc-0000xY-1a == a@b.test R=r T=t defer (13): Sign",
    b"2026-11-23 20:51:07 [77] 1vNabc-0000xY-1a == a@b.test R=r T=t defer (13): Sign",
    b"Nov 23 20:51:07 mail exim[7]: 2026-11-23 20:51:07 1vNabc-0000xY-1a == a@b.test R=r T=t defer (13): Sign"])
def test_exims_own_log_is_exims_word(line):
    for own in (b"", b"exim"):
        if own and line.startswith(b"Nov"):
            continue
        assert scan(sign(r"^== \S+ R=\w+ T=\w+ defer \(13\): Sign", "exim4?"), [line], own=own)["x"]["count"] == 1


def test_what_exim_writes_into_its_own_log_is_nobody_elses_word():
    assert scan(sign(), [b"2026-11-23 20:51:07 unexpected postfix/smtpd[7]: Sign"], own=b"exim") == {}


@pytest.mark.parametrize("spec, words", [
    ({"program": "p", "pattern": "^(unclosed"}, "wrong: pattern"),
    ({"program": "*", "pattern": "^x"}, "wrong: program"),
    ({"pattern": "^x"}, "wrong: needs a program"),
    ({"program": "p", "pattern": "x"}, r"wrong: pattern must begin with \^"),
    ({"program": "p", "pattern": "^x|y"}, r"wrong: pattern must begin with \^"),
    ({"program": "p", "pattern": "^x", "answer": ".*y"}, r"wrong: answer must begin with \^"),
    ({"program": "p", "pattern": "^x", "where": "y"}, "wrong: where"),
    ({"program": "p", "pattern": "^x", "source": "journal"}, "wrong: source is journal"),
    ({"pattern": ""}, "wrong: needs a pattern"),
    ({}, "wrong: needs a pattern"),
    ("text", "wrong: needs a pattern"),
])
def test_a_wrong_signature_is_named(spec, words):
    with pytest.raises(ValueError, match=words):
        compile_all({"good": {"program": "p", "pattern": "^x"}, "wrong": spec})


@pytest.mark.parametrize("pattern", [r"^(?:x|y)", r"^[|]x", r"^x\|y", r"^[]|]x", r"^(?P<a>x|(?:y|z))"])
def test_a_choice_within_is_anchored(pattern):
    assert compile_all(sign(pattern))


def test_no_signatures_are_fine():
    assert compile_all(None) == [] and scan({}, [stamped(1, TRAFFIC[0])]) == {}


def test_patterns_come_to_an_end_on_a_long_line():
    began = time.monotonic()
    for filler in (b"connect to x[", b"<", b'"', b"(/", b") failed: ", b"; from=<>", b" H=(", b": msgid=", b"said: "):
        for name in (b"postfix/smtpd", b"dovecot", b"exim", b"rspamd"):
            scan(SIGNATURES, [stamped(1, name + b"[7]: " + filler * (60000 // len(filler)))], size=100000)
    assert time.monotonic() - began < 20


def test_the_rest_of_a_long_line_is_passed_over():
    line = stamped(1, b"postfix/smtpd[7]: Sign " + b"x" * 2 * LONGEST_MATCHED)
    found = scan(sign(), [line], size=20000)["x"]
    assert found["count"] == 1 and len(found["samples"][0]["text"]) <= LONGEST_MATCHED
