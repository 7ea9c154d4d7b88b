"""Under pseudonyms no person gets into a bundle; equal things stay equal."""
from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailops.outage.plugins.module_utils.log.pseudonyms import Pseudonyms

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


@pytest.mark.parametrize("piece", ["a.", "@", "a@", "user=", "LOGIN @", "://a:", ":", "1.", "LOGIN \"", "to=<x"])
def test_a_line_made_to_be_slow_is_not(piece):
    line = (piece * (65536 // len(piece))).encode()
    began = time.process_time()
    Pseudonyms().of(line)
    assert time.process_time() - began < 1


@given(st.binary(max_size=300))
def test_pseudonyms_never_fail(data):
    assert isinstance(Pseudonyms(b"k").of(data), bytes)
