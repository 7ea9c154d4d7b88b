from __future__ import annotations

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.wire import imap, pop3, session, sieve, smtp
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("line, parsed", [
    (b"220 mail.example.test ESMTP Postfix (Debian/GNU)", (220, True, b"mail.example.test ESMTP Postfix (Debian/GNU)")),
    (b"250-PIPELINING", (250, False, b"PIPELINING")),
    (b"250", (250, True, b"")),
    (b"250 ", (250, True, b"")),
    (b"554-", (554, False, b"")),
])
def test_a_reply_line_has_a_code_and_a_mark(line, parsed):
    assert smtp.parse_line(line) == parsed


@pytest.mark.parametrize("line", [b"", b"22", b"22x hello", b"2200 hello", b"100 hello", b"600 hello", b"SSH-2.0-OpenSSH_9.2p1", b"220\thello", b"\xff20 x"])
def test_another_line_is_no_reply(line):
    with pytest.raises(ValueError):
        smtp.parse_line(line)


@pytest.mark.parametrize("text, parsed", [
    (b"OK Logged in", ("OK", "")),
    (b"ok [READ-ONLY] Examine completed (0.001 secs).", ("OK", "READ-ONLY")),
    (b"NO [UNAVAILABLE] Temporary authentication failure. [mail:2026-11-23]", ("NO", "UNAVAILABLE")),
    (b"NO [authenticationfailed] x", ("NO", "AUTHENTICATIONFAILED")),
    (b"OK [CAPABILITY IMAP4rev1 SASL-IR] ready", ("OK", "CAPABILITY")),
    (b"BYE", ("BYE", "")),
    (b"OK [] x", ("OK", "")),
])
def test_an_imap_status_has_a_condition_and_a_code(text, parsed):
    assert imap.parse_status(text) == parsed


class Lines:
    """A stream that says these lines, whatever it is sent."""

    def __init__(self, *lines):
        self._lines = list(lines)

    def recv_line(self):
        return self._lines.pop(0)

    def send(self, data):
        pass

    @staticmethod
    def shown(data):
        return data


@pytest.mark.parametrize("said, exists, grown", [
    ([], 3, False),
    ([b"* 3 EXISTS"], 3, False),
    ([b"* 4 EXISTS", b"* 1 RECENT"], 4, True),
    ([b"* 2 EXPUNGE"], 2, False),
    ([b"* 2 EXPUNGE", b"* 3 EXISTS"], 3, True),
    ([b"* 4 EXISTS", b"* 1 EXPUNGE"], 3, True),
])
def test_new_mail_is_told_from_what_is_deleted(said, exists, grown):
    opened = imap.Imap(Lines(b"* 3 EXISTS", b"a1 OK done", *said, b"a2 OK done"))
    opened.select()
    opened.grown = False
    opened.ask(b"NOOP")
    assert (opened.exists, opened.grown) == (exists, grown)


@pytest.mark.parametrize("text", [b"", b"OKAY", b"3 EXISTS", b"+OK Dovecot ready."])
def test_another_text_is_no_imap_status(text):
    with pytest.raises(ValueError):
        imap.parse_status(text)


@pytest.mark.parametrize("line, parsed", [
    (b"+OK Dovecot (Debian) ready.", (True, "")),
    (b"-ERR [SYS/TEMP] Temporary authentication failure.", (False, "SYS/TEMP")),
    (b"-ERR [IN-USE] Mailbox is locked", (False, "IN-USE")),
    (b"+OK", (True, "")),
])
def test_a_pop3_status_has_a_verdict_and_a_code(line, parsed):
    assert pop3.parse_status(line) == parsed


@pytest.mark.parametrize("line, parsed", [
    (b'OK "Dovecot ready."', ("OK", "")),
    (b'NO (TRYLATER) "Temporary authentication failure."', ("NO", "TRYLATER")),
    (b'OK (SASL "cnNwYXV0aA==") "done"', ("OK", "SASL")),
    (b"BYE", ("BYE", "")),
    (b'"SIEVE" "fileinto"', None),
    (b"OKAY", None),
])
def test_a_managesieve_status_is_told_from_data(line, parsed):
    assert sieve.parse_status(line) == parsed


@pytest.mark.parametrize("line, words", [
    (b'"SASL" "PLAIN LOGIN"', ["SASL", "PLAIN", "LOGIN"]),
    (b'"starttls"', ["STARTTLS"]),
    (b'"OWNER" "a\\"b\\\\c"', ["OWNER", 'a"b\\c']),
    (b'"" ""', []),
    (b"{5}", []),
    (b'"open', []),
])
def test_a_managesieve_capability_is_quoted_words(line, words):
    assert sieve.parse_capability(line) == words


@pytest.mark.parametrize("line, size", [
    (b"* 1 FETCH (BODY[] {42}", 42), (b"* NO {3+}", 3), (b"x {}", None), (b"x {a}", None), (b"x 42}", None), (b"{42} x", None),
    (b"x {99999999999999999999}", None), (b"x {-1}", None),
])
def test_a_literal_announces_its_size(line, size):
    assert session.literal_size(line) == size


@given(st.binary(max_size=200))
def test_no_line_breaks_a_parser(line):
    for parse in (smtp.parse_line, imap.parse_status, pop3.parse_status, sieve.parse_status, sieve.parse_capability, session.literal_size, session.upper_words):
        try:
            parse(line)
        except ValueError:
            pass


def test_a_line_of_escaped_quotes_is_read_in_no_time():
    assert sieve.parse_capability(b'"' + b'\\"' * 32000) == []


@given(st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"])))
def test_a_quoted_string_reads_back(text):
    quoted = session.quoted(text)
    assert quoted[1:-1].replace(b'\\"', b"").count(b'"') == 0 or b"\\\\" in quoted
    assert sieve._CAPABILITY.fullmatch(quoted)  # pylint: disable=protected-access


@pytest.mark.parametrize("text", ["a\r\nQUIT", "a\nb", "a\0b"])
def test_a_command_cannot_be_smuggled_into_an_argument(text):
    with pytest.raises(ValueError):
        session.plain(text)
    with pytest.raises(ValueError):
        session.quoted(text)
