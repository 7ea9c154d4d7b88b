"""Nobody's text moves us: what strangers write into any field of any line meets no signature of the catalogue."""
from __future__ import annotations

import pathlib
import re
from datetime import timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_lines import REAL

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import catalogue
from ansible_collections.mailops.outage.plugins.module_utils.log import lines, strangers
from ansible_collections.mailops.outage.plugins.module_utils.log.signatures import Scanner, compile_all
from ansible_collections.mailops.outage.plugins.module_utils.log.stamps import Stamps
from ansible_collections.mailops.outage.plugins.module_utils.log.window import Block

CATALOGUE = catalogue.load(str(pathlib.Path(__file__).parents[3] / "roles/diagnose/files/catalogue")).signatures
COMPILED = compile_all(CATALOGUE)
# Signatures that are about what a peer does or answers: a peer can make them match. They move nothing (trust: remote).
REMOTE = {name for name, spec in CATALOGUE.items() if spec.get("remote")}
PLAIN = "x"
TO = "from=<{}> to=<{}> proto=ESMTP helo=<{}>"

# Lines with {} in each field that a stranger fills.
LINES = [
    *("postfix/smtpd[7]: " + line for line in (
        "connect from {}[192.0.2.1]",
        "disconnect from {}[192.0.2.1] ehlo=1 mail=1 quit=1 commands=3",
        "lost connection after RCPT from {}[192.0.2.1]",
        "timeout after END-OF-MESSAGE from {}[192.0.2.1]",
        "too many errors after RCPT from {}[192.0.2.1]",
        "4C1D5A20F0: client={}[192.0.2.1]",
        "4C1D5A20F0: client=x[192.0.2.1], sasl_method=PLAIN, sasl_username={}",
        "4C1D5A20F0: client=x[192.0.2.1], sasl_method=PLAIN, sasl_username=x, sasl_sender={}",
        "NOQUEUE: reject: RCPT from {}[192.0.2.1]: 554 5.7.1 <{}>: Relay access denied; " + TO,
        "NOQUEUE: reject: RCPT from {}[192.0.2.1]: 550 5.1.1 <{}>: Recipient address rejected: User unknown in local recipient table; " + TO,
        "NOQUEUE: reject: RCPT from x[192.0.2.1]: 450 4.1.8 <{}>: Sender address rejected: Domain not found; " + TO,
        "NOQUEUE: reject: RCPT from x[192.0.2.1]: 504 5.5.2 <{}>: Helo command rejected: need fully-qualified hostname; " + TO,
        "NOQUEUE: reject: RCPT from x[192.0.2.1]: 554 5.7.1 <{}>: Helo command rejected: Access denied; " + TO,
        "NOQUEUE: reject: RCPT from x[192.0.2.1]: 450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]; " + TO,
        "NOQUEUE: reject: RCPT from x[192.0.2.1]: 450 4.2.0 <{}>: Recipient address rejected: Greylisted, see http://x.test/{}.html; " + TO,
        "NOQUEUE: reject: MAIL from {}[192.0.2.1]: 552 5.3.4 Message size exceeds fixed limit; proto=ESMTP helo=<{}>",
        "NOQUEUE: reject: VRFY from x[192.0.2.1]: 550 5.1.1 <{}>: Recipient address rejected: User unknown; to=<{}> proto=ESMTP helo=<{}>",
        "NOQUEUE: milter-reject: CONNECT from {}[192.0.2.1]: 451 4.7.1 Service unavailable - try again later; proto=ESMTP helo=<{}>",
        "4C1D5A20F0: reject: DATA from x[192.0.2.1]: 550 5.5.3 <DATA>: Data command rejected: Multi-recipient bounce; " + TO,
        "NOQUEUE: filter: RCPT from x[192.0.2.1]: <{}>: Sender address triggers FILTER smtp:x; " + TO,
        "warning: {}[192.0.2.1]: SASL LOGIN authentication failed: {}",
        "warning: x[192.0.2.1]: SASL PLAIN authentication failed: UGFzc3dvcmQ6, sasl_username={}",
        "warning: hostname {} does not resolve to address 192.0.2.1: Name or service not known",
        "warning: non-SMTP command from x[192.0.2.1]: {}",
        "warning: Illegal address syntax from x[192.0.2.1] in MAIL command: <{}>",
        "warning: x[192.0.2.1] sent message header instead of SMTP command: {}",
        "warning: valid_hostname: misplaced hyphen: {}",
        "warning: numeric domain name in resource data of MX record for x: {}",
        "improper command pipelining after EHLO from x[192.0.2.1]: {}",
        "< x[192.0.2.1]: MAIL FROM:<{}>",
        "> x[192.0.2.1]: 550 5.1.1 <{}>: no",
        "Anonymous TLS connection established from {}[192.0.2.1]: TLSv1.3 with cipher X (256/256 bits)")),
    *("postfix/postscreen[7]: " + line for line in (
        "NOQUEUE: reject: RCPT from [192.0.2.1]:4444: 550 5.7.1 Service unavailable; client [192.0.2.1] blocked using bl.test; "
        "from=<{}>, to=<{}>, proto=ESMTP, helo=<{}>",
        "PREGREET 11 after 0.1 from [192.0.2.1]:4444: {}",
        "COMMAND PIPELINING from [192.0.2.1]:4444 after {}: {}")),
    *("postfix/cleanup[7]: 4C1D5A20F0: " + line for line in (
        "message-id=<{}>", "resent-message-id=<{}>",
        "discard: header Subject: {} from {}[192.0.2.1]; " + TO,
        "hold: header {}: x from x[192.0.2.1]; " + TO,
        "reject: body {} from x[192.0.2.1]; " + TO + ": 5.7.1 no",
        "warning: header Subject: {} from x[192.0.2.1]; " + TO,
        "warning: body {} from x[192.0.2.1]; " + TO,
        "replace: header Subject: {} from x[192.0.2.1]; " + TO + ": Subject: {}",
        "milter-reject: END-OF-MESSAGE from {}[192.0.2.1]: 4.7.1 Service unavailable - try again later; " + TO)),
    *("postfix/qmgr[7]: 4C1D5A20F0: " + line for line in (
        "from=<{}>, size=300, nrcpt=1 (queue active)",
        "from=<{}>, status=expired, returned to sender",
        "to=<{}>, relay=none, delay=1, delays=1/0/0/0, dsn=4.3.0, status=deferred (mail transport unavailable)")),
    *(f"postfix/{agent}[7]: 4C1D5A20F0: to=<{{}}>, orig_to=<{{}}>, relay=x[192.0.2.1]:25, delay=1, delays=1/0/0/0, dsn=2.0.0, {status}"
      for agent in ("smtp", "lmtp") for status in (
          "status=sent (250 2.0.0 Ok: {})", "status=bounced (host {}[192.0.2.1] said: 550 5.1.1 <{}>: no (in reply to RCPT TO command))",
          "status=deferred (host x[192.0.2.1] refused to talk to me: 421 {})", "status=deferred (connect to {}[192.0.2.1]:25: Connection refused)",
          "status=deferred (lost connection with {}[192.0.2.1] while receiving the initial server greeting)")),
    "postfix/smtp[7]: 4C1D5A20F0: to=<{}>, relay=none, delay=1, delays=1/0/0/0, dsn=5.4.4, status=bounced (Host or domain name not found. Name service error for "
    "name={} type=AAAA: Host not found)",
    "postfix/smtp[7]: 4C1D5A20F0: host {}[192.0.2.1] said: 450 4.7.1 {} (in reply to RCPT TO command)",
    "postfix/smtp[7]: Untrusted TLS connection established to {}[192.0.2.1]:25: TLSv1.3 with cipher X (256/256 bits)",
    "postfix/smtp[7]: warning: host {}[192.0.2.1]:25 greeted me with my own hostname x",
    "postfix/local[7]: 4C1D5A20F0: to=<{}>, orig_to=<{}>, relay=local, delay=1, delays=1/0/0/0, dsn=5.1.1, status=bounced (unknown user: \"{}\")",
    "postfix/local[7]: 4C1D5A20F0: passing <{}> to transport=lmtp",
    "postfix/pipe[7]: 4C1D5A20F0: to=<{}>, relay=x, delay=1, delays=1/0/0/0, dsn=5.3.0, status=sent (delivered via x service ({}))",
    "postfix/lmtp[7]: 4C1D5A20F0: to=<{}>, relay=x[private/dovecot-lmtp], delay=1, delays=1/0/0/0, dsn=5.1.1, status=bounced (host x[private/dovecot-lmtp] said: "
    "550 5.1.1 <{}> User doesn't exist: {} (in reply to RCPT TO command))",
    "postfix/pickup[7]: 4C1D5A20F0: uid=1000 from=<{}>",
    "postfix/sendmail[7]: fatal: {}(1000): {}",
    "postfix/postlog[7]: warning: {}",
    *("dovecot: " + line for line in (
        "imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<{}>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, TLS, session=<{}>",
        "imap-login: Aborted login (auth failed, 3 attempts in 8 secs): user=<{}>, method={}, rip=192.0.2.1",
        "imap-login: Login: user=<{}>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, mpid=1, TLS, session=<{}>",
        "auth: passwd-file({},192.0.2.1,<x>): unknown user",
        "auth: passwd-file(x,192.0.2.1,<x>): Password mismatch (given password: {})",
        "auth: login(?,192.0.2.1): Username character disallowed by auth_username_chars: 0x20 (username: {})",
        "auth-worker(7): conn unix:auth-worker (pid=1,uid=2): auth-worker<3>: pam({},192.0.2.1,<x>): unknown user",
        "imap({})<1><x>: Disconnected: Logged out in=1 out=2",
        "imap(bob)<1><x>: Error: Mailbox {}: open(/home/bob/Maildir/x) failed: File name too long",
        "imap(bob)<1><x>: Error: mkdir(/home/bob/Maildir/.{}) failed: File name too long",
        "imap(bob)<1><x>: copy from INBOX: box={}, uid=1, msgid=<{}>, subject={}, from={}",
        "lmtp(bob)<1><x>: msgid=<{}>: saved mail to INBOX",
        "lmtp(bob)<1><x>: sieve: msgid=<{}>: stored mail into mailbox '{}'",
        "lmtp(bob)<1><x>: sieve: msgid=<{}>: marked message to be discarded if not explicitly delivered (discard action)",
        "lmtp(7): Disconnect from 192.0.2.1: {}")),
    *("exim[7]: " + line for line in (
        "1vNabc-0000xY-1a <= {} H={} ({}) [192.0.2.1] P=esmtps S=812 id={} T=\"{}\" for {}",
        "1vNabc-0000xY-1a => {} <{}> R=dnslookup T=remote_smtp H=x.test [192.0.2.1] C=\"250 {}\"",
        "1vNabc-0000xY-1a == {} R=dnslookup T=remote_smtp defer (-44): SMTP error from remote mail server after RCPT TO:<{}>: host x [192.0.2.1]: 450 {}",
        "1vNabc-0000xY-1a ** {} <{}> R=dnslookup T=remote_smtp: SMTP error from remote mail server after RCPT TO:<{}>: host x [192.0.2.1]: 550 {}",
        "H={} ({}) [192.0.2.1] F=<{}> rejected RCPT <{}>: Unrouteable address",
        "H=({}) [192.0.2.1] F=<{}> temporarily rejected RCPT <{}>: greylisted",
        "H=x [192.0.2.1] rejected EHLO or HELO {}: syntactically invalid argument(s): {}",
        "SMTP syntax error in \"{}\" H=x [192.0.2.1] {}",
        "SMTP protocol error in \"AUTH LOGIN {}\" H=({}) [192.0.2.1] AUTH command used when not advertised",
        "plain_server authenticator failed for ({}) [192.0.2.1]: 535 Incorrect authentication data (set_id={})",
        "1vNabc-0000xY-1a H=({}) [192.0.2.1] F=<{}> rejected after DATA: {}",
        "TLS error on connection from {} ({}) [192.0.2.1] (SSL_accept): {}")),
    "opendkim[7]: 4C1D5A20F0: {} [192.0.2.1] not internal",
    "opendkim[7]: 4C1D5A20F0: s=x d={} SSL {}",
    "opendmarc[7]: 4C1D5A20F0: {} fail",
    "rspamd[7]: <a1b2c3>; task; rspamd_task_write_log: id: <{}>, qid: <4C1D5A20F0>, ip: 192.0.2.1, from: <{}>, (default: F (no action): [0.1/15.00] [{}(0.1){{x}}])",
    "amavis[7]: (1-01) Passed CLEAN {{RelayedInbound}}, [192.0.2.1]:4444 <{}> -> <{}>, Message-ID: <{}>, Subject: \"{}\"",
    "clamd[7]: /var/lib/amavis/tmp/{}: OK", "clamd[7]: instream({}@4444): {} FOUND",
    "postgrey[7]: action=greylist, reason=new, client_name={}, client_address=192.0.2.1, sender={}, recipient={}",
]
# What an attacker wrote in the field, and the issue's own.
TEXTS = ["too many hops", '"too many hops"@evil.test', "loops back to myself", "mail for x loops back to myself", "Authenticated user not found from userdb",
         "TLS is required, but was not offered by host x[192.0.2.1]", "fatal: parameter inet_interfaces: no local interface found",
         "x@example.test>: Relay access denied; from=<a@b> to=<x@example.test> proto=ESMTP helo=<x"]


def found(texts) -> set:
    """The signatures that lines match, of any kind of source."""
    data = b"".join(b"Nov 23 20:51:07 mail " + text.encode("utf-8", "surrogateescape").replace(b"\n", b" ") + b"\n" for text in texts)
    names = set()
    for kind in ("mail", "kernel"):
        scanner = Scanner(COMPILED, kind)
        scanner.feed(Block(data, 0, "x"), Stamps(1795467067.0, zone=timezone.utc))
        names |= set(scanner.tallies)
    return names


def own_words(line: str) -> list:
    """What a real line says, in forms that reach out of a field: as it is, after its head, from each of its words on, with the fields' ends before it."""
    ((_line, _program, _queue_id, message),) = lines.parts(b"\nNov 23 20:51:07 mail " + line.encode())
    message = message.decode()
    said = [message, line, line.split(": ", 1)[1], message.split("; from=")[0]]
    return [text for each in dict.fromkeys(said) for text in (
        each, f'"{each}"@evil.test', f"x>: {each}", f"x>, {each}", f"x>, relay=none, delay=1, delays=1/0/0/0, dsn=4.0.0, {each}", f"x): {each}", f"x) failed: {each}",
        f"x\": {each}", f"x: {each}", f"x]: {each}", f"x) [192.0.2.1] {each}", f"x>; {each}; from=<x", f"x[192.0.2.1]: {each}", f"x> {each}")]


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_a_real_line_is_known_by_its_signature(name):
    for line in REAL[name]:
        assert name in found([line]), line


def test_no_signature_is_without_a_real_line():
    assert set(REAL) == set(CATALOGUE)


def fields(line):
    return line.count("{}")


def filled(line, number, text):
    """``line`` with a text in its field of that number, and something plain in the others."""
    return line.format(*(text if number == place else PLAIN for place in range(fields(line))))


@pytest.mark.parametrize("line", LINES)
def test_no_hostile_text_in_any_field_meets_a_signature(line):
    texts = dict.fromkeys([*TEXTS, *(text for real in REAL.values() for each in real for text in own_words(each))])
    allowed = found([filled(line, -1, "")]) | (REMOTE if " said: " in line or "refused to talk" in line else set())
    for number in range(fields(line)):
        hostile = [filled(line, number, text) for text in texts]
        if found(hostile) - allowed:
            # Which it was.
            for text in hostile:
                assert found([text]) <= allowed, text


@settings(max_examples=300)
@given(st.data())
def test_no_text_of_a_pattern_in_any_field_meets_a_signature(data):
    spec = CATALOGUE[data.draw(st.sampled_from(sorted(CATALOGUE)))]
    core = spec.get("answer") if data.draw(st.booleans()) and spec.get("answer") else spec["pattern"]
    core = re.sub(r"\(\?P<\w+>", "(?:", core.lstrip("^").replace("$", ""))
    text = data.draw(st.sampled_from(["", "x", '"', "x>: ", "x>, ", 'x" ', "x) ", "x: ", "x; ", "x] "])) + data.draw(st.from_regex(core, fullmatch=True))
    text += data.draw(st.sampled_from(["", '"', ">", "; from=<x", '"@evil.test', ")", ";"]))
    line = data.draw(st.sampled_from(LINES))
    number = data.draw(st.integers(0, fields(line) - 1))
    allowed = found([filled(line, -1, "")]) | (REMOTE if " said: " in line or "refused to talk" in line else set())
    assert found([filled(line, number, text)]) <= allowed


@settings(max_examples=200)
@given(st.sampled_from(["postfix", "dovecot", "exim", "other", "system"]),
       st.lists(st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"]), max_size=60).map(str.encode), min_size=1, max_size=6))
def test_each_message_has_a_shape_and_its_reader_reads_it(family, messages):
    shapes = strangers.shapes(family, messages)
    assert len(shapes) == len(messages)
    for shape, message in zip(shapes, messages):
        assert strangers.shapes(family, [message]) == [shape]


@pytest.mark.parametrize("line", [line for real in REAL.values() for line in real])
def test_what_was_cut_out_of_a_real_line_is_found_again(line):
    ((_line, program, _queue_id, message),) = lines.parts(b"\nNov 23 20:51:07 mail " + line.encode())
    (shape,) = strangers.shapes(strangers.family(program), [message])
    places = sorted(strangers.places(shape))
    assert strangers.reader(shape, places).fullmatch(message)


@pytest.mark.parametrize("program, message, shape", [
    ("postfix/smtpd", 'reject: RCPT from x.test[192.0.2.1]: 554 5.7.1 <a@b>: Relay access denied; from=<> to=<a@b> proto=ESMTP helo=<x>',
     "reject: RCPT from []: 554 5.7.1 <>: Relay access denied;"),
    ("postfix/smtpd", 'reject: RCPT from x.test[192.0.2.1]: 554 5.7.1 <"a b"@b>: Relay access denied; from=<> to=<a@b> proto=ESMTP helo=<x>',
     "reject: RCPT from []: 554 5.7.1 <"),
    ("postfix/cleanup", "discard: header Subject: too many hops from x", "discard: header Subject:"),
    ("postfix/smtp", "status=bounced (host x.test[192.0.2.1] said: 550 too many hops)", "status=bounced (host [] said: "),
    ("postfix/lmtp", "status=bounced (host x.test[private/lmtp] said: 550 too many hops)", "status=bounced (host [private/lmtp] said: "),
    ("postfix/local", 'status=bounced (unknown user: "too many hops")', 'status=bounced (unknown user: "")'),
    ("dovecot", "imap(bob)<1><x>: Error: stat(/home/bob/x) failed: No such file", "imap()<><>: Error: stat() failed: No such file"),
    ("dovecot", "imap(bob)<1><x>: Error: stat(/x) failed: y (z/tmp) failed: No such file", "imap()<><>: Error: stat()"),
    ("dovecot", "auth: pam(bob,192.0.2.1,<x>): unknown user", "auth: pam(,): unknown user"),
    ("dovecot", "imap-login: Aborted login (auth failed, 1 attempts in 2 secs): user=<x>, method=PLAIN", "imap-login: Aborted login (auth failed, 1 attempts in 2 secs): user=<"),
    ("exim", "H=(x) [192.0.2.1] F=<a@b> rejected RCPT <c@d>: no", "H=[] F=<> rejected RCPT <>: no"),
    ("exim", 'H=(x y) [192.0.2.1] F=<a@b> rejected RCPT <c@d>: no', "H="),
    ("kernel", "Out of memory: Killed process 7 (a<b>)", "Out of memory: Killed process 7 (a<b>)"),
])
def test_the_shape_of_a_message(program, message, shape):
    assert strangers.shapes(strangers.family(program.encode()), [message.encode()]) == [shape.encode()]
