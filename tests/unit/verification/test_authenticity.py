"""Whose findings about a sender are believed, and what a pass outweighs."""
from __future__ import annotations

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.verification.authenticity import is_forged
from hypothesis import given
from hypothesis import strategies as st

ADDRESS, OWN = "anna@x.test", "own.test"


def forged(*values, spf=""):
    return is_forged([("Authentication-Results", value) for value in values] + ([("Received-SPF", spf)] if spf else []), ADDRESS, OWN)


@pytest.mark.parametrize("values", [
    [],
    ["mx.own.test; dkim=none; spf=none; dmarc=none"],
    ["mx.own.test; spf=softfail smtp.mailfrom=x.test"],
    ["mx.own.test; dkim=fail header.d=list.test; dkim=pass header.d=x.test"],
    ["mx.own.test; dkim=fail header.d=x.test; spf=pass smtp.mailfrom=anna@x.test"],
    ["mx.own.test; spf=fail smtp.mailfrom=anna@x.test; dkim=pass header.i=@mail.x.test"],
    ["mx.own.test; dmarc=pass header.from=x.test", "mx.own.test; spf=fail smtp.mailfrom=forwarder.test"],
    ["mx.own.test; dmarc=pass", "gateway.x.test; dmarc=fail header.from=x.test; spf=fail"],
    ["mx.own.test; spf=none", "gateway.x.test; dmarc=fail header.from=x.test; spf=fail"],
    ["spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=x.test; dkim=none; dmarc=pass action=none header.from=x.test;compauth=pass reason=100"],
])
def test_a_real_sender_is_not_called_forged(values):
    assert not forged(*values)


@pytest.mark.parametrize("values", [
    ["mx.own.test; dmarc=fail header.from=x.test"],
    ["mx.own.test; dkim=fail header.d=x.test"],
    ["mx.own.test; dkim=hardfail header.d=x.test"],
    ["mx.own.test; dkim/1 = fail header.d=x.test"],
    ["mx.own.test; dmarc (policy none) = fail header.from=x.test"],
    ["mx.own.test; spf=none", "mx.own.test; dkim=pass header.d=x.test; dmarc=fail"],
    ["mx.own.test; dkim=pass header.d=mallory.test; spf=fail smtp.mailfrom=anna@x.test"],
    ["mx.own.test; dkim=pass header.d=test; spf=fail smtp.mailfrom=anna@x.test"],
    ["mx.own.test; spf=fail smtp.mailfrom=anna@x.test", "mx.own.test; dkim=pass header.d=x.test"],
    ["mallory.test; dmarc=pass header.from=x.test", "mx.own.test; dmarc=fail header.from=x.test"],
    ['mx.own.test; dmarc=fail header.from=x.test; spf=pass smtp.mailfrom="a; dmarc=pass b"@x.test'],
    ['mx.own.test; dkim=fail header.d=x.test smtp.mailfrom="a; dkim=pass header.d=x.test; b"@mallory.test'],
    ["mx.own.test; dkim=fail (a; dkim=pass header.d=x.test ;) header.d=x.test"],
    ["spf=fail (sender IP is 192.0.2.1) smtp.mailfrom=x.test; dkim=none; dmarc=fail action=none header.from=x.test"],
], ids=range(14))
def test_a_failure_that_nothing_outweighs_is_a_forgery(values):
    assert forged(*values)


@pytest.mark.parametrize("values, found", [([], True), (["mx.own.test; dkim=pass header.d=x.test"], False), (["mx.own.test; dkim=none"], True)])
def test_the_field_of_an_spf_filter_counts_too(values, found):
    assert forged(*values, spf="Fail (mailfrom) identity=mailfrom; client-ip=192.0.2.1") is found
    assert not forged(*values, spf="Pass (mailfrom)") and not forged(*values, spf="Softfail (mailfrom)")


@given(st.text(max_size=200))
def test_nothing_that_a_sender_writes_below_clears_what_our_server_found(text):
    assert forged("mx.own.test; dmarc=fail header.from=x.test", text) and forged(text, "mx.own.test; dmarc=fail header.from=x.test")
