"""Whose word about a sender is believed: our own servers', by the place of their fields, and only when they say that all is well."""
from __future__ import annotations

import sys

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.verification.authenticity import doubt
from hypothesis import given
from hypothesis import strategies as st

ANNA = "anna@x.test"
OWN = {"mx.own.test", "store.own.test", "own.test", "198.51.100.5", "198.51.100.6", "2001:db8::5"}
STAMP = "; Mon, 23 Nov 2026 21:10:00 +0000"
LMTP = "from mx.own.test by mx.own.test with LMTP id USaw (envelope-from <anna@x.test>) for <probe@own.test>" + STAMP
BORDER = "from mail.x.test (mail.x.test [192.0.2.9]) by mx.own.test (Postfix) with ESMTPS id 1 for <probe@own.test>" + STAMP
LOGIN = ("from [192.168.1.5] (unknown [203.0.113.7]) (using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519) "
         "(No client certificate requested) (Authenticated sender: anna) by mx.own.test (Postfix) with ESMTPSA id 2 for <probe@own.test>" + STAMP)


def fields(*lines):
    """A line with a colon at its first word is that field, one that begins with `ar` an Authentication-Results, any other a Received."""
    return [("Authentication-Results", line[3:]) if line.startswith("ar ") else ("Received", line) for line in lines] + [("From", ANNA)]


def vouched(*lines):
    return doubt(fields(*lines), ANNA, OWN) == ""


@pytest.mark.parametrize("lines", [
    [LOGIN],
    [LMTP, LOGIN],
    ["from [203.0.113.7] (helo=phone) by mx.own.test with esmtpsa (TLS1.3) tls TLS_AES_128_GCM_SHA256 (Exim 4.96) (envelope-from <anna@x.test>) id 1" + STAMP],
    ["from phone.x.test ([203.0.113.7]:5123 helo=[10.0.0.4]) by mx.own.test with esmtpa (Exim 4.96) id 1" + STAMP],
    ["from phone (dyn.isp.test [203.0.113.7] (may be forged)) (authenticated bits=0) by mx.own.test (8.17.1/8.17.1) with ESMTPSA id 1" + STAMP],
    ["from [phone] (dyn.isp.test [203.0.113.7]) by mx.own.test (OpenSMTPD) with ESMTPSA id 1 auth=yes user=anna (TLSv1.3:X:256:NO)" + STAMP],
    ["from phone (unknown [203.0.113.7]) by mx.own.test (Postfix) with UTF8SMTPSA id 1" + STAMP],
    ["from store.own.test (store.own.test [198.51.100.6]) by mx.own.test (Postfix) with ESMTPS id 1" + STAMP,
     "from phone (unknown [203.0.113.7]) by Store.OWN.test. (Postfix) with ESMTPSA id 1" + STAMP],
    ["from mx.own.test (mx.own.test [IPv6:2001:db8::5]) by store.own.test (Postfix) with ESMTPS id 1" + STAMP, LOGIN],
    [LMTP, "from localhost (localhost [127.0.0.1]) by mx.own.test (Postfix) with ESMTP id 3" + STAMP,
     "from mx.own.test ([127.0.0.1]) by localhost (mx.own.test [127.0.0.1]) (amavisd-new, port 10024) with ESMTP id 2" + STAMP, LOGIN],
    ["from webmail (localhost [127.0.0.1]) by mx.own.test (Postfix) with ESMTPSA id 1" + STAMP],
], ids=["postfix", "postfix and dovecot", "exim", "exim with a port", "sendmail", "opensmtpd", "international", "two hosts", "two hosts by IPv6", "filter", "webmail"])
def test_a_login_at_a_server_of_ours_vouches_for_the_sender(lines):
    assert vouched(*lines)


@pytest.mark.parametrize("value", [
    "mx.own.test; dmarc=pass (p=quarantine dis=none) header.from=x.test",
    "MX.own.test 1; dkim=fail reason=\"signature verification failed\" (2048-bit key) header.d=list.test; dmarc=pass header.from=X.test",
    "own.test; dkim=pass (2048-bit key; unprotected) header.d=x.test header.i=@x.test header.b=\"Ab/C\"",
    "mx.own.test; dkim=pass header.i=anna@x.test header.s=s header.b=Ab; spf=softfail (mx.own.test: domain of anna@x.test) smtp.mailfrom=anna@x.test",
    "mx.own.test; spf=pass (sender IP is 192.0.2.9) smtp.mailfrom=x.test smtp.helo=mail.y.test",
    "mx.own.test; iprev=pass policy.iprev=192.0.2.9 (mail.x.test); spf=pass smtp.mailfrom=\"a b\"@x.test; x-ptr=pass smtp.helo=mail.x.test",
    "mx.own.test; dkim=pass action=none header.d=x.test; dkim=pass header.d=gateway.test",
    "mx.own.test; dkim=fail header.d=x.test; spf=pass smtp.mailfrom=anna@x.test",
])
@pytest.mark.parametrize("way", [[BORDER], [LMTP, BORDER]])
def test_what_passed_at_a_server_of_ours_for_the_authors_domain_vouches_for_the_sender(value, way):
    for place in range(len(way)):
        assert vouched(*way[:place], f"ar {value}", *way[place:])
    assert vouched("ar mx.own.test; dkim=none; spf=none", f"ar {value}", *way)


PASS = "ar mx.own.test; dmarc=pass header.from=x.test"


@pytest.mark.parametrize("lines", [
    [],
    [PASS],
    [BORDER],
    [BORDER, PASS],
    [LMTP, BORDER, PASS, LOGIN],
    [BORDER, LOGIN],
    ["from evil.test (evil.test [192.0.2.9]) by mx.evil.test (Postfix) with ESMTPSA id 1" + STAMP],
    ["from x by mx.evil.test with ESMTPSA (by mx.own.test with ESMTPSA)" + STAMP],
    ["from x-by-mx.own.test-with-ESMTPSA (evil.test [192.0.2.9]) by mx.own.test (Postfix) with ESMTP id 1" + STAMP],
    ["from a by mx.own.test with ESMTPSA (evil.test [192.0.2.9]) by mx.other.test (Postfix) with ESMTP id 1" + STAMP],
    ["from evil.test (evil.test [192.0.2.9]) by mx.own.test (Postfix) with ESMTP id 1 for <\"probe+ with ESMTPSA \"@own.test>" + STAMP],
    ["from evil.test (evil.test [192.0.2.9]) by mx.own.test (with ESMTPSA) with ESMTP id 1" + STAMP],
    ["from evil.test (evil.test [192.0.2.9]) by mx.own.test (Postfix) with ESMTPSA-not id 1" + STAMP],
    ["from [127.0.0.1] (evil.test [192.0.2.9]) by mx.own.test (Postfix) with ESMTP id 1" + STAMP, LOGIN],
    ["from [127.0.0.1] (evil.test [192.0.2.9]) by mx.own.test (Postfix) with ESMTP id 1" + STAMP, PASS, LOGIN],
    ["from evil.test ([192.0.2.9] helo=[198.51.100.5]) by mx.own.test with esmtp (Exim 4.96) id 1" + STAMP, PASS, LOGIN],
    ["from mx.own.test (unknown [198.51.100.55]) by mx.own.test (Postfix) with ESMTP id 1" + STAMP, PASS, LOGIN],
    ["by mx.own.test (Postfix, from userid 33) id 1" + STAMP, PASS, LOGIN],
    ["from www-data by mx.own.test with local (Exim 4.96) (envelope-from <anna@x.test>) id 1" + STAMP, PASS, LOGIN],
    ["from mx.own.test (mx.own.test [198.51.100.5]) by store.own.test (Postfix) with ESMTPSA id 1" + STAMP, BORDER, LOGIN],
    ["from a (b (c (d (e [198.51.100.5])))) by mx.own.test with ESMTP" + STAMP, PASS, LOGIN],
], ids=["no trace", "no Received", "no verdict", "inserted with our name", "inserted below our trace", "a forged Received", "another's server",
        "our server in a comment", "our server in a name", "a name with clauses", "clauses in the recipient", "a login in a comment", "a word like a login",
        "an own address as name, a forged login", "an own address as name", "an own address as HELO", "our name, a stranger's address", "a local program",
        "a local program of Exim", "a login of our own server", "deep comments"])
def test_what_a_stranger_writes_vouches_for_nobody(lines):
    assert not vouched(*lines)


@pytest.mark.parametrize("value", [
    "mx.own.test; none",
    "mx.own.test; dkim=none; spf=none; dmarc=none header.from=x.test",
    "mx.own.test; dmarc=fail header.from=x.test",
    "mx.own.test; dmarc=fail header.from=x.test; dkim=pass header.d=x.test",
    "mx.own.test; dmarc=pass",
    "mx.own.test; dmarc=pass header.from=evil.test",
    "mx.own.test; dmarc=pass header.from=x.test header.from=evil.test",
    "mx.own.test; dmarc=bestguesspass header.from=x.test",
    "mx.own.test; dmarc=permerror header.from=x.test",
    "mx.own.test; dkim=pass header.d=evil.test",
    "mx.own.test; dkim=pass header.d=test",
    "mx.own.test; dkim=pass header.d=xx.test",
    "mx.own.test; dkim=pass header.d=x.test.evil.test",
    "mx.own.test; dkim=pass header.d=customer.x.test",
    "mx.own.test; dkim=pass header.d=evil.test header.i=anna@x.test",
    "mx.own.test; dkim=pass (header.d=x.test) header.d=evil.test",
    "mx.own.test; dkim=fail (a; dkim=pass header.d=x.test ;) header.d=x.test",
    "mx.own.test; dkim=fail reason=\"a; dkim=pass header.d=x.test\" header.d=x.test",
    "mx.own.test; dkim=pass header.d=x.test(.evil.test header.s=s)",
    "mx.own.test; dkim=pass header.d=x.test(.evil.test",
    "mx.own.test; spf=pass (mx.own.test: domain of \"a) smtp.mailfrom=x.test (b\"@evil.test) smtp.mailfrom=evil.test",
    "mx.own.test; spf=pass smtp.mailfrom=\"a; dmarc=pass header.from=x.test; b\"@evil.test",
    "mx.own.test; spf=pass smtp.mailfrom=anna@x.test smtp.mailfrom=evil.test",
    "mx.own.test; spf=pass smtp.helo=x.test",
    "mx.own.test; spf=pass smtp.mailfrom=<>",
    "mx.own.test; spf=softfail smtp.mailfrom=x.test",
    "mx.own.test; spf=neutral smtp.mailfrom=x.test",
    "mx.own.test; auth=pass smtp.auth=anna@x.test",
    "mx.own.test 2; dmarc=pass header.from=x.test",
    "mx.own.test dmarc=pass header.from=x.test",
    "dmarc=pass header.from=x.test",
    "mx.evil.test; dmarc=pass header.from=x.test",
    "mx.evil.test (mx.own.test; dmarc=pass header.from=x.test); spf=none",
    "mx.own.test.evil.test; dmarc=pass header.from=x.test",
    "mx.own.test; dmarc=pass header.from=x.test (" + "(" * 1500 + ")" * 1501,
    "mx.own.test; dmarc=pass header.from=x.test" + " (a)" * 2000,
    "",
])
def test_what_is_no_pass_of_ours_for_the_authors_own_domain_vouches_for_nobody(value):
    assert not vouched(f"ar {value}", BORDER)


def test_a_failure_is_called_one_and_silence_says_what_to_set():
    assert "fails the authentication" in doubt(fields("ar mx.own.test; spf=fail smtp.mailfrom=x.test", BORDER), ANNA, OWN)
    assert "fails the authentication" in doubt(fields("ar mx.own.test; dmarc=fail", BORDER), ANNA, OWN)
    because = doubt(fields(BORDER), ANNA, OWN)
    assert "ESMTPSA" in because and "Authentication-Results" in because and "signoff_name" in because


def test_without_the_library_a_login_still_vouches_and_anything_else_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "authres", None)
    assert vouched(LMTP, LOGIN)
    assert "pip install authres" in doubt(fields(PASS, BORDER), ANNA, OWN)


WORDS = st.lists(st.sampled_from([*"();=\"\\@.", " ", "mx.own.test", "x.test", "by", "from", "with", "ESMTPSA", "dmarc=pass", "header.from=x.test", "dkim=pass",
                                  "header.d=x.test", "[127.0.0.1]", "é", "\x00"]), max_size=30).map("".join)
HOSTILE = st.one_of(st.text(max_size=200), WORDS)


@given(HOSTILE, HOSTILE)
def test_nothing_below_our_servers_trace_vouches_for_anybody(one, two):
    assert not vouched(BORDER, one, f"ar {two}", PASS, LOGIN) and not vouched(LMTP, BORDER, f"ar {one}", two)


@given(st.text(alphabet=st.characters(exclude_characters=" ()\t\r\n", exclude_categories=("Z",)), min_size=1, max_size=60))
def test_no_name_that_a_client_gives_itself_is_a_login(name):
    assert not vouched(f"from {name} (evil.test [192.0.2.9]) by mx.own.test (Postfix) with ESMTP id 1{STAMP}", LOGIN, PASS)


@given(HOSTILE)
def test_no_text_breaks_the_judge(text):
    assert isinstance(doubt(fields(f"ar mx.own.test; {text}", BORDER), ANNA, OWN), str)
    assert isinstance(doubt(fields(text, f"ar {text}", BORDER), ANNA, OWN), str)


# What a sender may put into quotes: the local part of the envelope's sender, as servers quote it (RFC 5321 section 4.1.2).
@given(st.one_of(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=60), WORDS))
def test_no_address_of_a_sender_becomes_a_pass(local):
    quoted = local.replace("\\", "\\\\").replace('"', '\\"')
    assert not vouched(f'ar mx.own.test; spf=pass (mx.own.test: domain of "{quoted}"@evil.test) smtp.mailfrom="{quoted}"@evil.test', BORDER)
    assert not vouched(f'ar mx.own.test; spf=pass smtp.mailfrom="{quoted}"@evil.test; dkim=pass header.i="{quoted}"@evil.test', BORDER)
