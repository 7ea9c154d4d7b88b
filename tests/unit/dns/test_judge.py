from __future__ import annotations

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.dns import dmarc, judge, mta_sts
from ansible_collections.mailops.outage.plugins.module_utils.dns.names import Server

DOMAIN = "example.test"


def judged(rule, *args):
    """[(id, severity)] that one rule of the judge finds."""
    problems = judge.Problems(Server("192.0.2.53"))
    rule(problems, *args)
    for problem in problems.ordered():
        assert problem["text"] and problem["source"].startswith(("dig +short", "curl")) and problem["subject"]
    return [(problem["id"], problem["severity"]) for problem in problems.ordered()]


def mx(host="mail.example.test", preference=10, ours=True, takes_mail=None, addresses=("192.0.2.25",), error=None, cname=None):
    return {"host": host, "preference": preference, "ours": ours, "takes_mail": takes_mail, "addresses": list(addresses), "error": error,
            "cname": cname, "answer": "said"}


def seen(*exchangers, error=None, null_mx=False, implicit_mx=False):
    return {"mx": list(exchangers), "mx_error": error, "null_mx": null_mx, "implicit_mx": implicit_mx}


GONE = {"addresses": (), "error": "nxdomain", "ours": None}


@pytest.mark.parametrize(("look", "found"), [
    (seen(mx()), []),
    (seen(mx(), mx("backup.provider.test", 20, ours=False, takes_mail=True)), []),
    (seen(mx("filter.provider.test", ours=False, takes_mail=True)), []),
    (seen(mx(ours=None)), []),
    (seen(error="nxdomain"), [("mx_missing", "error")]),
    (seen(error="no_data"), [("mx_missing", "error")]),
    (seen(mx(DOMAIN, 0), error="no_data", implicit_mx=True), []),
    (seen(mx(DOMAIN, 0, ours=False, takes_mail=False), error="no_data", implicit_mx=True), [("mx_missing", "error")]),
    (seen(mx(DOMAIN, 0, ours=False), error="no_data", implicit_mx=True), [("mx_missing", "error")]),
    (seen(null_mx=True), [("mx_missing", "error")]),
    (seen(error="servfail"), [("zone_unreachable", "error")]),
    (seen(error="timeout"), [("zone_unreachable", "error")]),
    # Without a name server nothing is known of the zone.
    (seen(error="no_answer"), []),
    (seen(mx(**GONE)), [("mx_unresolvable", "error")]),
    (seen(mx(), mx("old.example.test", 20, **GONE)), [("mx_unresolvable", "warning")]),
    (seen(mx(ours=None, addresses=(), error="servfail")), [("mx_unresolvable", "error")]),
    (seen(mx(ours=False, takes_mail=False)), [("mx_wrong", "error")]),
    (seen(mx(ours=False, takes_mail=None)), [("mx_wrong", "warning")]),
    # Perhaps ours, and down.
    (seen(mx(ours=None, takes_mail=False)), []),
    # Tried before the good one, a wrong one loses mail; tried after it, hardly.
    (seen(mx("wrong.test", 5, ours=False, takes_mail=False), mx()), [("mx_wrong", "error")]),
    (seen(mx(), mx("wrong.test", 20, ours=False, takes_mail=False)), [("mx_wrong", "warning")]),
    (seen(mx(), mx("wrong.test", 20, ours=False, takes_mail=None)), []),
    (seen(mx(cname="real.example.test")), [("mx_cname", "warning")]),
])
def test_the_mx_of_a_domain(look, found):
    assert judged(judge.exchangers, DOMAIN, look, {DOMAIN: look}) == found


def test_a_missing_name_below_a_working_domain_is_a_leftover():
    above = {DOMAIN: seen(mx()), "old." + DOMAIN: seen(error="nxdomain")}
    assert judged(judge.exchangers, "old." + DOMAIN, above["old." + DOMAIN], above) == [("mx_missing", "info")]


def spf(count=1, valid=True, lookups=1, error="", record="v=spf1 mx -all", **permits):
    return {"count": count, "valid": valid, "lookups": lookups, "error": error, "record": record, "leans_on": [DOMAIN],
            "permits": {key.replace("_", "."): value for key, value in permits.items()}}


ONE, TWO = "192.0.2.25", "192.0.2.26"


@pytest.mark.parametrize(("record", "addresses", "found"), [
    (spf(**{ONE: "pass"}), [ONE], []),
    (spf(count=0, valid=None, record=None, **{ONE: "none"}), [ONE], [("spf_missing", "info")]),
    (spf(count=0, valid=None, record=None, error="timeout"), [ONE], []),
    (spf(count=2, valid=False, error="two", **{ONE: "permerror"}), [ONE], [("spf_multiple", "error")]),
    (spf(valid=False, error="wrong", **{ONE: "permerror"}), [ONE], [("spf_invalid", "error")]),
    (spf(error="too many void", **{ONE: "permerror"}), [ONE], [("spf_invalid", "error")]),
    (spf(**{ONE: "fail"}), [ONE], [("spf_omits_sender", "error")]),
    (spf(**{ONE: "softfail"}), [ONE], [("spf_omits_sender", "warning")]),
    (spf(**{ONE: "fail", TWO: "pass"}), [ONE, TWO], [("spf_omits_sender", "warning")]),
    (spf(**{ONE: "fail", TWO: "fail"}), [ONE, TWO], [("spf_omits_sender", "error")]),
    (spf(**{ONE: "fail", TWO: "softfail"}), [ONE, TWO], [("spf_omits_sender", "error")]),
    (spf(**{ONE: "neutral"}), [ONE], []),
    (spf(**{ONE: "temperror"}), [ONE], []),
    # An address that others do not see is not judged.
    (spf(**{"10.0.0.1": "fail"}), [], []),
    (spf(lookups=11, **{ONE: "permerror"}), [ONE], [("spf_too_many_lookups", "error")]),
    (spf(lookups=11, **{ONE: "pass"}), [ONE], [("spf_too_many_lookups", "warning")]),
])
def test_spf(record, addresses, found):
    assert judged(judge.sender_policy, DOMAIN, record, [addresses]) == found


def test_a_host_that_sends_for_other_domains_is_not_missed_in_spf():
    assert judged(judge.sender_policy, DOMAIN, spf(**{ONE: "pass", TWO: "fail"}), [[ONE], [TWO]]) == []
    assert judged(judge.sender_policy, DOMAIN, spf(**{ONE: "fail", TWO: "fail"}), [[ONE], [TWO]]) == [("spf_omits_sender", "error")]


def key(selector="lab1", record_found=True, valid=True, revoked=False, matches=True, key_bits=2048):
    return {"selector": selector, "domain": DOMAIN, "record_found": record_found, "valid": valid, "revoked": revoked, "matches": matches,
            "key_bits": key_bits, "error": "why"}


@pytest.mark.parametrize(("keys", "found"), [
    ([], []),
    ([key()], []),
    ([key(record_found=None, valid=None, matches=None)], []),
    ([key(record_found=False, valid=None, matches=None)], [("dkim_missing", "warning")]),
    ([key(), key("old", record_found=False, valid=None, matches=None)], [("dkim_missing", "info")]),
    ([key(revoked=True, matches=None)], [("dkim_revoked", "error")]),
    ([key(), key("old", revoked=True, matches=None)], [("dkim_revoked", "info")]),
    ([key(matches=False)], [("dkim_mismatch", "error")]),
    ([key(), key("other", matches=False)], [("dkim_mismatch", "warning")]),
    ([key(valid=False, matches=False)], [("dkim_mismatch", "error")]),
    ([key(key_bits=512)], [("dkim_weak", "warning")]),
])
def test_dkim(keys, found):
    assert judged(judge.signing_keys, DOMAIN, keys) == found


@pytest.mark.parametrize(("record", "found"), [
    (dmarc.parse("v=DMARC1; p=none"), []),
    (dmarc.blank(), [("dmarc_missing", "info")]),
    (dict(dmarc.blank(), error="timeout"), []),
    (dmarc.parse("v=DMARC1; p=refuse"), [("dmarc_invalid", "warning")]),
])
def test_dmarc(record, found):
    assert judged(judge.alignment_policy, DOMAIN, record) == found


def sts(mode="enforce", *patterns, **more):
    return dict(mta_sts.blank(), valid=True, record="v=STSv1; id=1", policy={"mode": mode, "mx": list(patterns), "max_age": 1}, **more)


@pytest.mark.parametrize(("record", "exchangers", "served", "found"), [
    (mta_sts.blank(), [mx()], {}, []),
    (dict(mta_sts.blank(), valid=False, error="no id"), [mx()], {}, [("mta_sts_invalid", "info")]),
    (dict(mta_sts.blank(), valid=True, error="refused"), [mx()], {}, [("mta_sts_unreachable", "warning")]),
    (sts("enforce", "mail.example.test"), [mx()], {}, []),
    (sts("enforce", "old.example.test"), [mx()], {}, [("mta_sts_mismatch", "error")]),
    (sts("enforce", "mail.example.test"), [mx(), mx("new.example.test")], {}, [("mta_sts_mismatch", "warning")]),
    (sts("testing", "old.example.test"), [mx()], {}, [("mta_sts_mismatch", "info")]),
    (sts("none"), [mx()], {}, []),
    (sts("enforce", "mail.example.test"), [mx()], {"mail.example.test": ["*.example.test"]}, []),
    (sts("enforce", "mail.example.test"), [mx()], {"mail.example.test": ["other.example.test"]}, [("mta_sts_mismatch", "error")]),
])
def test_mta_sts(record, exchangers, served, found):
    assert judged(judge.strict_transport, DOMAIN, record, exchangers, served) == found


def tlsa(matches, host="mail.example.test"):
    return {"host": host, "port": 25, "usage": 3, "selector": 1, "mtype": 1, "matches": matches, "error": ""}


@pytest.mark.parametrize(("records", "authenticated", "validating", "found"), [
    ([], False, False, []),
    ([tlsa(True), tlsa(False)], True, True, []),
    ([tlsa(None)], True, True, []),
    ([tlsa(False), tlsa(None)], True, True, [("tlsa_mismatch", "error")]),
    ([tlsa(False)], False, False, [("tlsa_mismatch", "error")]),
    # The resolver validates and does not vouch for it: senders do not use it.
    ([tlsa(False)], False, True, [("tlsa_mismatch", "info")]),
])
def test_tlsa(records, authenticated, validating, found):
    assert judged(judge.pinned_keys, DOMAIN, records, {"mail.example.test": authenticated}, validating) == found


def name(addresses=("192.0.2.25",), error=None, ours=True, serves=None):
    return {"imap.example.test": {"addresses": list(addresses), "error": error, "ours": ours, "serves": serves, "answer": "993: refused"}}


@pytest.mark.parametrize(("look", "found"), [
    (name(), []),
    (name((), "nxdomain", None), [("name_missing", "error")]),
    (name((), "servfail", None), [("name_missing", "error")]),
    (name((), "no_answer", None), []),
    (name(ours=False, serves=True), []),
    (name(ours=False, serves=False), [("name_wrong", "error")]),
    (name(ours=None, serves=False), []),
    (name(ours=False, serves=None), [("name_wrong", "warning")]),
    (name(ours=None, serves=None), []),
])
def test_names_that_clients_use(look, found):
    assert judged(judge.client_names, look) == found


def test_what_follows_from_a_broken_name_is_told_so():
    problems = judge.Problems()
    judge.exchangers(problems, DOMAIN, seen(mx(ours=False, takes_mail=False)), {})
    judge.sender_policy(problems, DOMAIN, spf(**{ONE: "fail"}), [[ONE]])
    judge.reverse_names(problems, [ptr(confirmed=False)], [[ONE]])
    assert [(item["id"], item["severity"], item["follows"]) for item in problems.ordered()] == [
        ("mx_wrong", "error", ""), ("ptr_mismatch", "info", "mx_wrong"), ("spf_omits_sender", "info", "mx_wrong")]


def test_a_name_in_a_zone_that_does_not_answer_is_no_problem_of_its_own():
    problems = judge.Problems()
    judge.exchangers(problems, DOMAIN, seen(error="servfail"), {})
    judge.client_names(problems, name((), "servfail", None))
    assert [(item["id"], item["severity"], item["follows"]) for item in problems.ordered()] == [
        ("zone_unreachable", "error", ""), ("name_missing", "info", "zone_unreachable")]


def test_a_missing_name_is_not_blamed_on_a_wrong_mx():
    problems = judge.Problems()
    judge.exchangers(problems, DOMAIN, seen(mx(ours=False, takes_mail=False)), {})
    judge.client_names(problems, name((), "nxdomain", None))
    assert {(item["id"], item["severity"]) for item in problems.ordered()} == {("mx_wrong", "error"), ("name_missing", "error")}


def ptr(address=ONE, names=("mail.example.test",), confirmed=True, error=None):
    return {"address": address, "names": list(names), "forward_confirmed": confirmed, "error": error}


@pytest.mark.parametrize(("entries", "addresses", "found"), [
    ([ptr()], [ONE], []),
    ([ptr(names=(), confirmed=False, error="nxdomain")], [ONE], [("ptr_missing", "error")]),
    ([ptr(names=(), confirmed=None, error="servfail")], [ONE], []),
    ([ptr(confirmed=False)], [ONE], [("ptr_mismatch", "error")]),
    ([ptr(confirmed=None)], [ONE], []),
    ([ptr(), ptr(TWO, (), False, "nxdomain")], [ONE, TWO], [("ptr_missing", "warning")]),
    ([ptr(names=(), confirmed=False, error="nxdomain")], [], []),
])
def test_reverse_names(entries, addresses, found):
    assert judged(judge.reverse_names, entries, [addresses]) == found


def test_each_host_needs_a_reverse_name_of_its_own():
    assert judged(judge.reverse_names, [ptr(), ptr(TWO, (), False, "nxdomain")], [[ONE], [TWO]]) == [("ptr_missing", "error")]


def listing(listed=False, error=False):
    return {"zone": "bl.test", "address": ONE, "listed": listed, "answer": "127.0.0.2" if listed else None, "error": error, "text": "refuses our resolver"}


def test_a_broken_list_is_told_once_and_is_no_listing():
    assert judged(judge.lists, [listing(), listing(True)]) == [("blocklisted", "error")]
    assert judged(judge.lists, [listing(error=True), listing(error=True)]) == [("blocklist_broken", "info")]


def resolver(working, error=""):
    return {"address": "192.0.2.53", "working": working, "error": error, "seconds": 0.1}


@pytest.mark.parametrize(("looks", "found"), [
    ([resolver(True)], []),
    ([resolver(False, "timeout")], [("resolver_broken", "error")]),
    ([resolver(True), resolver(False)], [("resolver_broken", "warning")]),
])
def test_resolvers(looks, found):
    assert judged(judge.resolvers, looks) == found


def test_name_servers_that_disagree():
    server = {"name": "ns1.example.test", "address": "192.0.2.1", "working": True, "serial": 1, "error": ""}
    lame = dict(server, working=False, error="refused")
    assert judged(judge.nameservers, DOMAIN, {"ns_consistent": True, "nameservers": [server]}) == []
    assert judged(judge.nameservers, DOMAIN, {"ns_consistent": False, "nameservers": [server, server]}) == [("ns_inconsistent", "warning")]
    assert judged(judge.nameservers, DOMAIN, {"ns_consistent": True, "nameservers": [server, lame]}) == [("ns_broken", "info")]
    # When none answers us directly, the way to them is likely closed.
    assert judged(judge.nameservers, DOMAIN, {"ns_consistent": None, "nameservers": [lame, lame]}) == []


def test_errors_come_first_and_nothing_comes_twice():
    problems = judge.Problems()
    problems.add("spf_missing", "info", "b.test", "x", "TXT")
    problems.add("mx_missing", "error", "c.test", "y", "MX")
    problems.add("mx_missing", "error", "c.test", "y", "MX")
    assert [problem["id"] for problem in problems.ordered()] == ["mx_missing", "spf_missing"]
