from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.mailops.outage.plugins.module_utils.dns import spf

OURS = "192.0.2.25"


def txt(record, **more):
    return {("example.test", "TXT"): [record], **{tuple(key.split("|")): value for key, value in more.items()}}


@pytest.mark.parametrize(("record", "address", "result"), [
    ("v=spf1 ip4:192.0.2.25 -all", OURS, "pass"),
    ("v=spf1 ip4:192.0.2.0/24 -all", OURS, "pass"),
    ("V=SPF1 IP4:192.0.2.0/24 -ALL", OURS, "pass"),
    ("v=spf1 ip4:198.51.100.0/24 -all", OURS, "fail"),
    ("v=spf1 ~all", OURS, "softfail"),
    ("v=spf1 ?all", OURS, "neutral"),
    ("v=spf1", OURS, "neutral"),
    ("v=spf1  a   -all", OURS, "fail"),
    ("v=spf1 -ip4:192.0.2.25 +all", OURS, "fail"),
    ("v=spf1 ip6:2001:db8::/32 -all", "2001:db8::25", "pass"),
    ("v=spf1 ip6:2001:db8::/32 -all", OURS, "fail"),
    ("v=spf1 ip4:192.0.2.25 something=else -all", OURS, "pass"),
    ("v=spf1 ip4:192.0.2.999 -all", OURS, "permerror"),
    ("v=spf1 ip4:192.0.2.0/33 -all", OURS, "permerror"),
    ("v=spf1 ipv4:192.0.2.25 -all", OURS, "permerror"),
    ("v=spf1 all:example.test", OURS, "permerror"),
    ("v=spf1 include -all", OURS, "permerror"),
    ("v=spf1 include: -all", OURS, "permerror"),
    ("v=spf1 a:localhost -all", OURS, "permerror"),
    ("v=spf1 a:%{x}.example.test -all", OURS, "permerror"),
    ("v=spf1 a/33 -all", OURS, "permerror"),
    ("v=spf1 redirect=a.test redirect=b.test", OURS, "permerror"),
    # A mistake behind the matching term counts too (4.6).
    ("v=spf1 ip4:192.0.2.25 -al", OURS, "permerror"),
])
def test_a_record_decides_as_rfc_7208_says(table, record, address, result):
    assert spf.check(address, "example.test", table(txt(record))).result == result


@pytest.mark.parametrize(("record", "result"), [
    ("v=spf1 a -all", "pass"),
    ("v=spf1 a:mail.example.test -all", "pass"),
    ("v=spf1 a:other.example.test/24 -all", "pass"),
    ("v=spf1 a:other.example.test -all", "fail"),
    ("v=spf1 mx -all", "pass"),
    ("v=spf1 mx:elsewhere.test -all", "fail"),
    ("v=spf1 mx/24//64 -all", "pass"),
    ("v=spf1 include:ok.test -all", "pass"),
    ("v=spf1 include:no.test -all", "fail"),
    ("v=spf1 include:void.test -all", "permerror"),
    ("v=spf1 include:slow.test -all", "temperror"),
    ("v=spf1 redirect=ok.test", "pass"),
    ("v=spf1 redirect=no.test", "fail"),
    ("v=spf1 redirect=void.test", "permerror"),
    ("v=spf1 -all redirect=ok.test", "fail"),
    ("v=spf1 exists:%{ir}.%{v}.listed.test -all", "pass"),
    ("v=spf1 exists:%{i}.unlisted.test -all", "fail"),
    ("v=spf1 ptr -all", "pass"),
    ("v=spf1 ptr:elsewhere.test -all", "fail"),
    ("v=spf1 a:slow.test -all", "temperror"),
])
def test_mechanisms_that_look_up(table, record, result):
    ask = table(txt(record, **{
        "example.test|A": [OURS], "mail.example.test|A": [OURS], "other.example.test|A": ["192.0.2.77"], "example.test|MX": [(10, "mail.example.test")],
        "elsewhere.test|MX": [(10, "mx.elsewhere.test")], "mx.elsewhere.test|A": ["198.51.100.1"],
        "ok.test|TXT": ["v=spf1 ip4:192.0.2.0/24 -all"], "no.test|TXT": ["v=spf1 -all"], "void.test|TXT": ["hello"], "slow.test|TXT": "timeout",
        "slow.test|A": "servfail", "25.2.0.192.in-addr.listed.test|A": ["127.0.0.2"], "25.2.0.192.in-addr.arpa|PTR": ["mail.example.test"],
    }))
    assert spf.check(OURS, "example.test", ask).result == result


@pytest.mark.parametrize(("texts", "result"), [
    ([], "none"), (["v=spf10 -all"], "none"), (["v=spf1 +all", "v=spf1 -all"], "permerror"), (["hello", "v=spf1 -all"], "fail"),
])
def test_exactly_one_record_counts(table, texts, result):
    assert spf.check(OURS, "example.test", table({("example.test", "TXT"): texts or "no_data"})).result == result


def test_silence_is_a_temporary_error(table):
    found = spf.check(OURS, "example.test", table({("example.test", "TXT"): "timeout"}))
    assert found.result == "temperror" and "timeout" in found.error


def test_the_eleventh_lookup_is_a_permanent_error(table):
    entries = {(f"i{number}.test", "TXT"): [f"v=spf1 include:i{number + 1}.test -all"] for number in range(12)}
    entries["i12.test", "TXT"] = ["v=spf1 -all"]
    found = spf.check(OURS, "i0.test", table(entries))
    assert found.result == "permerror" and "more than 10" in found.error
    assert spf.check(OURS, "i2.test", table(entries)).result == "fail"


def test_the_third_void_lookup_is_a_permanent_error(table):
    assert spf.check(OURS, "example.test", table(txt("v=spf1 a:x1.test a:x2.test -all"))).result == "fail"
    assert spf.check(OURS, "example.test", table(txt("v=spf1 a:x1.test a:x2.test a:x3.test -all"))).result == "permerror"


def test_an_include_that_includes_itself_ends(table):
    assert spf.check(OURS, "example.test", table(txt("v=spf1 include:example.test -all"))).result == "permerror"
    survey = spf.survey("example.test", table(txt("v=spf1 include:example.test -all")))
    assert survey.valid is False and survey.lookups > spf.MOST_LOOKUPS


def test_the_term_that_decided_is_named(table):
    assert spf.check(OURS, "example.test", table(txt("v=spf1 a ip4:192.0.2.0/24 -all"))).mechanism == "ip4:192.0.2.0/24"


# RFC 7208, 7.4, with the sender that this evaluator takes.
@pytest.mark.parametrize(("spec", "name"), [
    ("%{s}", "postmaster@email.example.test"), ("%{o}", "email.example.test"), ("%{d}", "email.example.test"), ("%{d4}", "email.example.test"),
    ("%{d2}", "example.test"), ("%{d1}", "test"), ("%{dr}", "test.example.email"), ("%{d2r}", "example.email"), ("%{l}", "postmaster"),
    ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.test"), ("a%%b%_c%-d.test", "a%b c%20d.test"),
])
def test_macros(spec, name):
    assert spf.expand(spec, ipaddress.ip_address("192.0.2.3"), "email.example.test", "email.example.test") == name


def test_the_macro_of_an_ipv6_address():
    name = spf.expand("%{ir}.%{v}.test", ipaddress.ip_address("2001:db8::cb01"), "example.test", "example.test")
    assert name == "1.0.b.c." + "0." * 20 + "8.b.d.0.1.0.0.2.ip6.test"


def test_a_survey_counts_every_branch(table):
    survey = spf.survey("example.test", table(txt("v=spf1 ip4:192.0.2.25 include:a.test mx a:x.test -all", **{
        "a.test|TXT": ["v=spf1 include:b.test ptr ?all"], "b.test|TXT": ["v=spf1 exists:%{i}.b.test ip4:198.51.100.0/24"]})))
    assert (survey.valid, survey.count, survey.lookups, survey.networks) == (True, 1, 6, ["192.0.2.25/32"])


def test_a_survey_sees_what_the_evaluation_does_not_reach(table):
    entries = txt("v=spf1 ip4:192.0.2.25 include:gone.test -all")
    assert spf.check(OURS, "example.test", table(entries)).result == "pass"
    survey = spf.survey("example.test", table(entries))
    assert survey.valid is False and "gone.test" in survey.error


def test_a_survey_of_silence_is_no_verdict(table):
    survey = spf.survey("example.test", table({("example.test", "TXT"): "servfail"}))
    assert survey.valid is None and survey.record is None and "servfail" in survey.error


@given(st.text(max_size=200))
@settings(max_examples=300)
def test_any_text_parses_or_is_an_spf_error(text):
    try:
        for term in spf.parse("v=spf1 " + text):
            assert term.qualifier in ("", "+", "-", "~", "?")
    except spf.SpfError as problem:
        assert problem.result == "permerror"


_WORDS = st.sampled_from(["a", "mx", "ptr", "-all", "~all", "include:a.test", "include:b.test", "redirect=a.test", "exists:%{ir}.b.test", "ip4:192.0.2.0/28",
                          "ip6:::/0", "a:%{d1r+}.b.test/8//8", "mx:b.test/0", "exp=x.test", "%", "?a:", "unknown=%{z}", "+include:example.test"])


@pytest.mark.slow
@given(st.lists(_WORDS, max_size=8), st.lists(_WORDS, max_size=8), st.sampled_from([OURS, "2001:db8::1"]))
@settings(max_examples=300)
def test_any_record_has_a_result(one, other, address):
    from ansible_collections.mailops.outage.plugins.module_utils.dns.answer import Answer

    entries = {("example.test", "TXT"): " ".join(["v=spf1"] + one), ("a.test", "TXT"): " ".join(["v=spf1"] + other)}

    def ask(name, kind):
        return Answer((entries[name, kind],)) if (name, kind) in entries else Answer(error="nxdomain")

    found = spf.check(address, "example.test", ask)
    assert found.result in ("pass", "fail", "softfail", "neutral", "none", "permerror", "temperror")
    assert spf.survey("example.test", ask).valid in (True, False)
