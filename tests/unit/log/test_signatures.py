"""Signatures: one pass over blocks finds what a search of every line finds."""
from __future__ import annotations

import re
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known import KNOWN, TRAFFIC

from ansible_collections.mailops.outage.plugins.module_utils.log.quiet import Divided
from ansible_collections.mailops.outage.plugins.module_utils.log.signatures import LONGEST_MATCHED, Scanner, Signature, compile_all
from ansible_collections.mailops.outage.plugins.module_utils.log.stamps import Stamps
from ansible_collections.mailops.outage.plugins.module_utils.log.window import Block, whole_lines

START = datetime(2026, 11, 20, tzinfo=timezone.utc).timestamp()
SIGNATURES = {name: {"pattern": pattern} for name, (pattern, _line) in KNOWN.items()}


def stamped(number, text):
    when = datetime.fromtimestamp(START + number, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S+00:00")
    return f"{when} mail ".encode() + (text if isinstance(text, bytes) else text.encode())


def scan(signatures, lines, kind="mail", size=300):
    """The results, with the lines given in blocks of a few hundred bytes."""
    data = b"".join(line + b"\n" for line in lines)
    scanner = Scanner(compile_all(signatures), kind)
    clock = Stamps(START + 10 ** 6, zone=timezone.utc)
    for block in whole_lines((data[place:place + size] for place in range(0, len(data), size)), "/var/log/mail.log"):
        scanner.feed(block, clock)
    return {name: tally.result() for name, tally in scanner.tallies.items()}


@pytest.mark.parametrize("name", KNOWN)
def test_a_real_line_is_known_by_its_signature_alone(name):
    found = scan(SIGNATURES, [stamped(1, KNOWN[name][1])])
    assert list(found) == [name]
    assert found[name]["count"] == 1
    assert found[name]["first"] == found[name]["last"] == "2026-11-20T00:00:01Z"
    assert found[name]["samples"][0]["line"] == "@1"


def test_ordinary_traffic_matches_nothing():
    assert scan(SIGNATURES, [stamped(number, text) for number, text in enumerate(TRAFFIC)]) == {}


def naive(signatures, lines):
    """Every signature tried on every line, but for quiet lines that it does not mean."""
    counts = {}
    for signature in compile_all(signatures):
        for line in lines:
            if signature.all_lines or Divided(line + b"\n").loud:
                line = line[:LONGEST_MATCHED]
                if re.search(signature.pattern.pattern, line) and not (signature.excluded and signature.excluded.search(line)):
                    counts[signature.name] = counts.get(signature.name, 0) + 1
    return counts


LINES = st.one_of(
    st.sampled_from([text.encode() for _pattern, text in KNOWN.values()] + [text.encode() for text in TRAFFIC]).map(lambda text: stamped(5, text)),
    st.sampled_from([b"", b"\x00\xff", b"CONNECTION REFUSED", b"no stamp: Relay access denied", b"x" * 5000 + b": discard: header Subject"]),
    st.binary(max_size=40).map(lambda text: text.replace(b"\n", b"")),
)
PATTERNS = st.sampled_from([
    {"pattern": r"(?i)connection refused"}, {"pattern": r"Connection (?:refused|timed out)"}, {"pattern": r"status=\w+"}, {"pattern": r"\d{5}"},
    {"pattern": r"^\S+ mail (?P<p>\S+):"},
    {"pattern": r"message-id=<(?P<id>[^>]+)>"}, {"pattern": r"warning: .*(?i:refused|denied|limit)"}, {"pattern": r"Relay access denied", "not": r"from=<a@b>"},
    {"pattern": r".*denied", "has": "access"}, {"pattern": r"removed$"}, {"pattern": r"[A-Z]{6}"}, {"pattern": r"\x00"},
    {"pattern": r"(?:to|from)=<(?P<who>[^>]*)>"},
    {"pattern": r"refused\)?$", "quiet": True}, {"pattern": "e"},
]) | st.sampled_from(list(SIGNATURES.values()))


@pytest.mark.slow
@settings(max_examples=200)
@given(st.lists(LINES, max_size=25), st.lists(PATTERNS, min_size=1, max_size=5), st.integers(80, 4000))
def test_scanning_blocks_finds_what_trying_every_line_finds(lines, patterns, size):
    signatures = {f"s{number}": spec for number, spec in enumerate(patterns)}
    wanted = naive({name: {key: value for key, value in spec.items() if key != "has"} for name, spec in signatures.items()}, lines)
    assert {name: result["count"] for name, result in scan(signatures, lines, size=size).items()} == wanted


def test_groups_queue_ids_and_samples():
    lines = [stamped(number, f"postfix/smtp[7]: 9BBF11A{number:04X}: to=<a@b>, relay=none, "
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
    ("postfix/smtp[7]: 9BBF11A20F0: to=<a@b>: Sign", "9BBF11A20F0"),
    ("postfix/smtp[7]: 4XyzQm1rPzz1v: to=<a@b>: Sign", "4XyzQm1rPzz1v"),
    ("exim[7]: 1vNabc-0000xY-1a == a@b Sign", "1vNabc-0000xY-1a"),
    ("exim[7]: 1vNabc-000000000xY-1abc == a@b Sign", "1vNabc-000000000xY-1abc"),
    ("postfix/smtpd[7]: warning: Sign", None),
    ("postfix/smtpd[7]: NOQUEUE: reject: Sign", None),
    ("postfix/smtpd[7]: statistics: Sign", None),
])
def test_queue_ids_of_all_forms(text, queue_id):
    found = scan({"sign": {"pattern": "Sign"}}, [stamped(1, text)])["sign"]["queue_ids"]
    assert found == ([queue_id] if queue_id else [])


def test_a_sample_is_clean_and_holds_no_secret():
    text = b"dovecot: auth: passwd-file(alice): Password mismatch (given password: hunter2) \x1b[31mred\x1b[0m \xff\x00 pass=secret1 mysql://mail:secret2@db/"
    sample = scan({"x": {"pattern": "Password mismatch"}}, [stamped(1, text)])["x"]["samples"][0]["text"]
    assert "hunter2" not in sample and "secret" not in sample
    assert "\x1b" not in sample and "\x00" not in sample and "given password: (hidden)" in sample


def test_groups_are_clean():
    found = scan({"x": {"pattern": r"user=<(?P<user>[^>]*)>"}}, [stamped(1, b"auth: user=<\x1b[31ma\x07>"), stamped(1, b"auth: user=<" + b"u" * 1000 + b">")])
    assert list(found["x"]["groups"]["user"]) == ["a", "u" * 200]


def test_what_is_kept_does_not_grow_with_the_log():
    scanner = Scanner(compile_all({"x": {"pattern": r"connect to (?P<host>\S+) failed"}}))
    clock = Stamps(START + 10 ** 6, zone=timezone.utc)
    for number in range(60):
        data = b"".join(stamped(number, f"x: {number:05X}{each:05X}: connect to h{number}-{each} failed") + b"\n" for each in range(500))
        scanner.feed(Block(data, 0, "x"), clock)
    tally = scanner.tallies["x"]
    assert tally.count == 30000
    assert len(tally._groups["host"]) <= 2000 and len(tally._samples) <= 3
    assert len(tally.result()["groups"]["host"]) == 10


@pytest.mark.parametrize("source, kind, found", [
    (None, "mail", True), (None, "kernel", False), ("kernel", "kernel", True), ("kernel", "mail", False), ("any", "mail", True), ("any", "kernel", True)])
def test_a_signature_sees_its_source_only(source, kind, found):
    spec = {"pattern": "I/O error", "source": source} if source else {"pattern": "I/O error"}
    assert bool(scan({"x": spec}, [stamped(1, "kernel: blk_update_request: I/O error, dev sda")], kind)) is found


@pytest.mark.parametrize("program, found", [("postfix/smtpd", True), ("postfix/.*", True), ("dovecot", False), ("smtpd", False)])
def test_a_program_narrows_a_signature(program, found):
    assert bool(scan({"x": {"pattern": "Sign", "program": program}}, [stamped(1, "postfix/smtpd[7]: Sign dovecot: ")])) is found
    assert bool(scan({"x": {"pattern": "Sign", "program": program}}, [b"Nov  3 20:51:07 mail postfix/smtpd[7]: Sign"])) is found


@pytest.mark.parametrize("line",
                         [b"Nov 23 20:51:07 mail dovecot: Sign", b"Nov 23 20:51:07 dovecot: Sign", b"1795467067.123456 mail dovecot[1]: Sign",
                          b"2026-11-23 20:51:07 dovecot: Sign"])
def test_a_program_is_found_behind_any_stamp(line):
    assert scan({"x": {"pattern": "Sign", "program": "dovecot"}}, [line])["x"]["count"] == 1


@pytest.mark.parametrize("spec, words", [
    ({"pattern": "(unclosed"}, "wrong: pattern"),
    ({"pattern": "x", "not": "[z-a]"}, "wrong: not"),
    ({"pattern": "x", "program": "*"}, "wrong: program"),
    ({"pattern": "x", "source": "journal"}, "wrong: source is journal"),
    ({"pattern": "x", "has": [1]}, "wrong: has"),
    ({"pattern": ""}, "wrong: needs a pattern"),
    ({}, "wrong: needs a pattern"),
    ("text", "wrong: needs a pattern"),
])
def test_a_wrong_signature_is_named(spec, words):
    with pytest.raises(ValueError, match=words):
        compile_all({"good": {"pattern": "x"}, "wrong": spec})


def test_no_signatures_are_fine():
    assert compile_all(None) == [] and scan({}, [stamped(1, TRAFFIC[0])]) == {}


def test_a_line_without_a_stamp_takes_the_time_of_the_one_before():
    found = scan({"x": {"pattern": "continued here"}}, [stamped(7, "dovecot: x"), b"  continued here"], size=10000)["x"]
    assert found["first"] == "2026-11-20T00:00:07Z"
    assert scan({"x": {"pattern": "continued here"}}, [b"  continued here"])["x"]["first"] is None


@pytest.mark.slow
def test_a_pattern_comes_to_an_end_on_a_long_line():
    signature = Signature("x", {"pattern": r"connect to \S+.*connect to \S+ .*: refused"})
    assert signature.search(b"connect to " * 100000) is None


def test_a_signature_for_ordinary_lines_sees_them():
    lines = [stamped(number, text) for number, text in enumerate(TRAFFIC)]
    assert scan({"x": {"pattern": r"message-id=<(?P<id>[^>]+)>"}}, lines)["x"]["groups"]["id"] == {"1795470309.7664256@pc.example.test": 1}
    assert scan({"x": {"pattern": "Xa3JCeazBGv"}}, lines) == {}
    assert scan({"x": {"pattern": "Xa3JCeazBGv", "quiet": True}}, lines)["x"]["count"] == 1
