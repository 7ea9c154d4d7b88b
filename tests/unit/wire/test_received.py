from __future__ import annotations

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.wire import received
from hypothesis import given
from hypothesis import strategies as st

POSTFIX = ("from mail.example.test (mail.example.test [IPv6:2001:db8::25]) (using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) "
           "key-exchange X25519) (No client certificate requested) by mx.example.net (Postfix) with ESMTPS id 4XyZ12abc for <bob@example.net>; "
           "Mon, 23 Nov 2026 22:36:28 +0000 (UTC)")
EXIM = ("from [192.0.2.7] (helo=client.example.test) by mail.example.test with esmtpsa (TLS1.3) tls TLS_AES_256_GCM_SHA384 (Exim 4.96) "
        "(envelope-from <alice@example.test>) id 1tEabc-0000Qh-2y for bob@example.net; Mon, 23 Nov 2026 23:36:27 +0100")
DOVECOT = "from mail.example.test by mail.example.test with LMTP id 0H5UB+y/BGvoAAAAMMJcmg (envelope-from <a@b.test>); Mon, 23 Nov 2026 22:36:30 +0000"
GMAIL = ("from mail.example.test (mail.example.test. [192.0.2.25]) by mx.google.com with ESMTPS id af79cd13be357 "
         "for <bob@gmail.com> (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256); Mon, 23 Nov 2026 14:36:28 -0800 (PST)")
PICKUP = "by mail.example.test (Postfix, from userid 1000) id AB12CD34; Mon, 23 Nov 2026 22:36:28 +0000 (UTC)"


@pytest.mark.parametrize("value, facts", [
    (POSTFIX, ("mail.example.test", "2001:db8::25", "mx.example.net", "ESMTPS", "4XyZ12abc", True, "TLSv1.3", "TLS_AES_256_GCM_SHA384")),
    (EXIM, ("[192.0.2.7]", "192.0.2.7", "mail.example.test", "esmtpsa", "1tEabc-0000Qh-2y", True, "TLS1.3", "TLS_AES_256_GCM_SHA384")),
    (DOVECOT, ("mail.example.test", None, "mail.example.test", "LMTP", "0H5UB+y/BGvoAAAAMMJcmg", False, None, None)),
    (GMAIL, ("mail.example.test", "192.0.2.25", "mx.google.com", "ESMTPS", "af79cd13be357", True, "TLS1_3", "TLS_AES_256_GCM_SHA384")),
    (PICKUP, (None, None, "mail.example.test", None, "AB12CD34", False, None, None)),
    ("gibberish", (None, None, None, None, None, False, None, None)),
])
def test_a_hop_is_read(value, facts):
    hop = received.hop(value)
    tls = hop["tls"]
    assert (hop["from"], hop["address"], hop["by"], hop["with"], hop["id"], tls["used"], tls["version"], tls["cipher"]) == facts


@pytest.mark.parametrize("protocol, used", [("SMTP", False), ("ESMTP", False), ("ESMTPA", False), ("ESMTPS", True), ("ESMTPSA", True), ("LMTPS", True),
                                            ("UTF8SMTPS", True), ("UTF8SMTP", False), ("LMTP", False), ("HTTP", False)])
def test_the_protocol_tells_of_tls(protocol, used):
    assert received.hop(f"from a by b with {protocol} id 1; Mon, 23 Nov 2026 22:36:28 +0000")["tls"]["used"] is used


def way(*stamps, sent=1795473388.9):
    fields = [("Received", f"by h{number}; {stamp}") for number, stamp in enumerate(stamps)]
    return [(hop["by"], hop["delay_seconds"], hop["clock_skew_seconds"]) for hop in received.hops(fields[::-1], sent)]


def test_delays_count_from_hop_to_hop_in_the_order_of_travel():
    assert way("Mon, 23 Nov 2026 22:36:29 +0000", "Mon, 23 Nov 2026 23:36:40 +0100") == [("h0", 1, 0), ("h1", 11, 0)]


def test_a_clock_behind_is_skew_and_no_negative_delay():
    assert way("Mon, 23 Nov 2026 22:36:28 +0000", "Mon, 23 Nov 2026 22:31:28 +0000", "Mon, 23 Nov 2026 22:31:30 +0000") == [
        ("h0", 0, 0), ("h1", 0, 300), ("h2", 2, 0)]


def test_a_missing_stamp_leaves_the_delay_open():
    assert way("nonsense", "Mon, 23 Nov 2026 22:36:40 +0000") == [("h0", None, 0), ("h1", 12, 0)]


def test_authentication_results_are_read():
    value = ("mx.example.net; dkim=pass (2048-bit key; unprotected) header.d=example.test header.i=@example.test; spf=softfail "
             "smtp.mailfrom=alice@example.test; dmarc=none")
    [found] = received.authentication([("Authentication-Results", value), ("Subject", "x")])
    assert found["server"] == "mx.example.net"
    assert found["results"] == [{"method": "dkim", "result": "pass"}, {"method": "spf", "result": "softfail"}, {"method": "dmarc", "result": "none"}]


@given(st.text(max_size=300), st.text(max_size=60))
def test_any_trace_field_can_be_read(words, stamp):
    [hop] = received.hops([("Received", f"{words}; {stamp}")], 0.0)
    assert hop["delay_seconds"] is None or hop["delay_seconds"] >= 0
    received.authentication([("Authentication-Results", words)])
