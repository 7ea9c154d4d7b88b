"""No password gets into a bundle, and under pseudonyms no person; equal things stay equal."""
from __future__ import annotations

import base64
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailops.outage.plugins.module_utils.log.hiding import HIDDEN, Hider, passwords_in, values_in
from ansible_collections.mailops.outage.plugins.module_utils.log.pseudonyms import Pseudonyms

PLAIN = base64.b64encode(b"\0anna\0hunter2-secret").decode()


@pytest.mark.parametrize("line, gone", [
    ("mail dovecot: auth: Debug: pam(anna,192.0.2.1): (given password: two words)", "two words"),
    ("dovecot: auth-worker: Error: mysql: connect = host=db dbname=mail user=mail password=hunter2", "hunter2"),
    ("postfix/smtp: ldap_bind_pw = hunter2", "hunter2"), ("dnpass = hunter2 ", "hunter2"),
    ('api_key: "hunter2 three"', "hunter2"), ("password='hunter2'", "hunter2"),
    (f"postfix/smtpd[9]: < x[192.0.2.1]: AUTH PLAIN {PLAIN}", PLAIN), (f"dovecot: imap-login: Debug: A1 AUTHENTICATE XOAUTH2 {PLAIN}", PLAIN),
    (f"postfix/smtpd[9]: < x[192.0.2.1]: {PLAIN}", PLAIN), (f"auth: Debug: client in: AUTH\t1\tPLAIN\tservice=imap\tresp={PLAIN}", PLAIN),
    ("user=anna auth=Bearer ya29.abcdef", "abcdef"), ("token ya29.a0AfH6SMB", "a0AfH6SMB"), ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJhbGci"),
    ("C: 3 LOGIN anna@example.org hunter2", "hunter2"), ('3 LOGIN "anna" "hunter2"', "hunter2"), ("pgsql://mail:hunter2@db/mail", "hunter2"),
    ("anna:{SHA512-CRYPT}$6$salt$digest:1000", "digest"), ("hash $2y$05$abcdefghijk", "abcdefghijk"), ("anna:{PLAIN}hunter2", "hunter2"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "MIIE"), ("-----BEGIN PRIVATE KEY-----\nMIIE\n", "MIIE"),
])
def test_a_secret_is_hidden_by_its_form(line, gone):
    hider = Hider()
    assert gone.encode() not in hider.of(line.encode() + b"\n") and hider.hidden >= 1


@pytest.mark.parametrize("line", [
    "postfix/smtpd[9]: < x[192.0.2.1]: STARTTLS", "dovecot: auth: pam(anna): pam_authenticate() failed: Authentication failure (Password mismatch?)",
    "postfix/smtp[2]: 4F1A2B3C: to=<anna@example.org>, relay=none, delay=0.1, status=sent (250 2.0.0 Ok: queued as 4F)",
    "SASL LOGIN authentication failed: UGFzc3dvcmQ6",
    "postfix/smtpd[9]: NOQUEUE: reject: RCPT from x[192.0.2.1]: 554 5.7.1 Relay access denied",
    "postfix/smtpd[9]: warning: x: SASL PLAIN authentication failed: authentication failure",
])
def test_what_is_no_secret_stays(line):
    assert Hider().of(line.encode()) == line.encode()


def test_a_secret_of_the_host_is_hidden_wherever_it_stands():
    hider = Hider(["Tr0ub4dor", "x"])
    assert hider.of(b"relay said: no such user Tr0ub4dor!\n") == b"relay said: no such user " + HIDDEN + b"!\n" and hider.hidden == 1
    assert hider.of(b"x marks\n") == b"x marks\n", "a single letter would take the whole log along"


def test_a_longer_secret_is_hidden_before_the_shorter_one_in_it():
    assert Hider(["secret", "secretive-one"]).of(b"a secretive-one b\n") == b"a " + HIDDEN + b" b\n"


@given(st.binary(max_size=300))
def test_hiding_never_fails_and_can_be_done_twice(data):
    once = Hider().of(data)
    assert isinstance(Hider().of(once), bytes)


def test_passwords_are_found_whatever_the_type_of_the_file():
    table = "# x\n[relay]:587 user:p:w\nmx.example.org:me:exim-pw\nanna:{PLAIN}plain-pw:1000:1000::/home\nbob:x:1:1\ncarol:*\n"
    assert passwords_in(table) == ["p:w", "exim-pw", "plain-pw"]
    settings = ("hosts = db\npassword = a b\nconnect = host=db password='c d' user=x\n dnpass=e\nsecret = $other\n"
                "query = SELECT password FROM x WHERE u='%u'\n")
    assert values_in(settings) == ["a b", "c d", "e"]


LOG = (b"mail postfix/smtpd[9]: client=mx1.example.org[192.0.2.7], sasl_username=anna\n"
       b"mail postfix/qmgr[8]: 4F1A2B3C: from=<anna@example.org>, size=502\n"
       b"mail dovecot: imap(anna)<77><x>: Info: /srv/vmail/example.org/anna/Maildir and /home/anna/x from 2001:db8::7\n"
       b"mail dovecot: imap-login: Login: user=<anna@example.org>, method=PLAIN, rip=192.0.2.7, lip=127.0.0.1\n")


def test_people_domains_and_addresses_are_replaced_and_the_rest_stays():
    text = Pseudonyms(b"k" * 32).of(LOG).decode()
    assert not re.search(r"anna|example|192\.0\.2|2001:db8", text)
    assert "127.0.0.1" in text and "4F1A2B3C" in text and "postfix/smtpd[9]" in text and "method=PLAIN" in text and "<77>" in text
    assert len(set(re.findall(r"user-[0-9a-f]+", text))) == 1, "anna is one person in every form"
    assert len(set(re.findall(r"ip-[0-9a-f]+", text))) == 2


def test_what_lies_in_one_domain_still_does():
    names = Pseudonyms(b"k" * 32)
    assert names.domain("mx1.example.org").endswith("." + names.domain("Example.ORG")) and names.domain("mx1.example.org") != names.domain("mx2.example.org")


@pytest.mark.parametrize("text", ["/etc/postfix/main.cf", "postfix@-.service", "dovecot.index.log", "version 3.7.11", "fe: 12:30:45", "transport.db", "from=<>",
                                  "Debian 12", "root@", "key.pem", "2026-11-26T18:30:17.910240+00:00", "dovecot/auth", "::1", "0.0.0.0:25"])
def test_files_units_versions_and_times_are_no_people(text):
    assert Pseudonyms().of(text.encode()) == text.encode()


def test_a_new_bundle_has_other_pseudonyms():
    assert Pseudonyms().of(LOG) != Pseudonyms().of(LOG)


@pytest.mark.parametrize("piece", ["a.", "@", "a@", "user=", "LOGIN @", "{MD5", "given password: ", "AUTH ", "pass ", "://a:",
                                   "-----BEGIN A", ":", "1.", "eyJ.", "$6$", "LOGIN \"", "to=<x"])
def test_a_line_made_to_be_slow_is_not(piece):
    line = (piece * (65536 // len(piece))).encode()
    began = time.process_time()
    Pseudonyms().of(Hider(["hunter2"]).of(line))
    assert time.process_time() - began < 1


@given(st.binary(max_size=300))
def test_pseudonyms_never_fail(data):
    assert isinstance(Pseudonyms(b"k").of(data), bytes)
