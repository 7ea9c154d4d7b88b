"""DKIM, DMARC, MTA-STS, TLSA and block lists."""
from __future__ import annotations

import base64
import datetime
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailops.outage.plugins.module_utils.dns import blocklist, dane, der, dkim, dmarc, mta_sts, tags
from ansible_collections.mailops.outage.plugins.module_utils.dns.answer import Answer


def encoded(key, form):
    public = key.public_key()
    if form == "spki":
        data = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    elif form == "pkcs1":
        data = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    else:
        data = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(data).decode()


RSA = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
EDWARDS = ed25519.Ed25519PrivateKey.generate()
SPKI = encoded(RSA, "spki")


def checked(text, key=SPKI):
    return dkim.check("lab1", "example.test", key, Answer((text,)))


@pytest.mark.parametrize(("text", "valid", "matches"), [
    (f"v=DKIM1; k=rsa; p={SPKI}", True, True),
    (f"v=DKIM1; p={SPKI};", True, True),
    (f"p={SPKI}", True, True),
    (f"v=DKIM1; h=sha256; s=email; t=y; p={SPKI[:60]} {SPKI[60:]}", True, True),
    (f"v=DKIM1; p={encoded(RSA, 'pkcs1')}", True, True),
    (f"v=DKIM1; p={encoded(OTHER, 'spki')}", True, False),
    (f"v=DKIM2; p={SPKI}", False, False),
    (f"k=rsa; v=DKIM1; p={SPKI}", False, False),
    ("v=DKIM1; k=rsa", False, False),
    (f"v=DKIM1; p={SPKI[:80]}", False, False),
    ("v=DKIM1; p=!!!", False, False),
    (f"v=DKIM1; h=sha1; p={SPKI}", False, False),
    (f"v=DKIM1; s=other; p={SPKI}", False, False),
    (f"v=DKIM1; k=ed25519; p={SPKI}", False, False),
    (f"v=DKIM1; p={SPKI}; p={SPKI}", False, False),
    ("hello", False, False),
], ids=range(16))
def test_a_published_key_against_the_signing_key(text, valid, matches):
    entry = checked(text)
    assert (entry["record_found"], entry["valid"], entry["matches"], entry["revoked"]) == (True, valid, matches, False)
    assert bool(entry["error"]) == (not valid)


def test_an_ed25519_key_is_published_bare_and_held_whole():
    assert checked(f"v=DKIM1; k=ed25519; p={encoded(EDWARDS, 'raw')}", encoded(EDWARDS, "spki"))["matches"] is True


def test_an_empty_key_is_revoked():
    entry = checked("v=DKIM1; p=")
    assert (entry["valid"], entry["revoked"], entry["matches"]) == (True, True, None)


def test_the_size_of_a_key_and_its_testing_flag_are_told():
    entry = checked(f"v=DKIM1; t=y:s; p={SPKI}")
    assert (entry["key_bits"], entry["testing"]) == (2048, True)


def test_other_text_at_the_selector_does_not_hide_the_key():
    entry = dkim.check("lab1", "example.test", SPKI, Answer(("some verification", f"v=DKIM1; p={SPKI}")))
    assert entry["matches"] is True


def test_a_missing_record_is_not_an_unanswered_question():
    assert dkim.check("s", "d.test", SPKI, Answer(error="nxdomain"))["record_found"] is False
    unanswered = dkim.check("s", "d.test", SPKI, Answer(error="timeout"))
    assert unanswered["record_found"] is None and unanswered["matches"] is None and unanswered["error"] == "timeout"


def test_an_unreadable_signing_key_is_said():
    entry = checked(f"v=DKIM1; p={SPKI}", "not base64!")
    assert entry["matches"] is None and "own key" in entry["error"]


@given(st.text(max_size=120))
def test_any_text_is_a_key_record_or_an_error(text):
    record = dkim.parse(text)
    assert record.valid != bool(record.error)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_public_key_or_a_value_error(data):
    for read in (der.public_key, der.public_key_info):
        try:
            read(data)
        except ValueError:
            pass


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True), st.from_regex(r"[!-:<-~]{0,12}", fullmatch=True), min_size=1, max_size=6))
def test_tags_come_back_as_they_were_written(pairs):
    assert tags.parse("; ".join(f"{tag} = {value}" for tag, value in pairs.items()) + ";") == pairs


@pytest.mark.parametrize(("text", "valid", "policy"), [
    ("v=DMARC1; p=reject", True, "reject"),
    ("v=DMARC1; p=Quarantine; adkim=s; aspf=s; pct=50; rua=mailto:a@example.test", True, "quarantine"),
    ("v=DMARC1;p=none;", True, "none"),
    ("v=DMARC1; p=reject; adkim=x; nonsense", True, "reject"),
    ("v=DMARC1; rua=mailto:a@example.test", True, "none"),
    ("v=DMARC1; p=refuse", False, None),
    ("v=DMARC1 p=reject", False, None),
    ("v=dmarc1; p=reject", False, None),
    ("p=reject; v=DMARC1", False, None),
])
def test_a_dmarc_record(text, valid, policy):
    found = dmarc.parse(text)
    assert (found["valid"], found["policy"]) == (valid, policy)
    assert valid or found["error"]


def test_dmarc_alignment_is_relaxed_unless_it_is_strict():
    assert dmarc.parse("v=DMARC1; p=none; adkim=s")["alignment"] == {"dkim": "strict", "spf": "relaxed"}


def test_the_policy_of_a_subdomain_may_stand_above_it(table):
    ask = table({("_dmarc.example.test", "TXT"): ["v=DMARC1; p=none; sp=reject"]})
    assert dmarc.look("example.test", ask)["policy"] == "none"
    below = dmarc.look("lists.example.test", ask)
    assert (below["policy"], below["found_at"]) == ("reject", "example.test")


def test_no_dmarc_record_is_not_an_invalid_one(table):
    found = dmarc.look("example.test", table({("_dmarc.example.test", "TXT"): ["some verification"]}))
    assert found["valid"] is None and found["record"] is None and found["error"] == ""


def test_two_dmarc_records_are_none(table):
    assert dmarc.look("example.test", table({("_dmarc.example.test", "TXT"): ["v=DMARC1; p=none", "v=DMARC1; p=reject"]}))["valid"] is False


@given(st.text(max_size=120))
def test_any_text_is_a_dmarc_record_or_an_error(text):
    found = dmarc.parse("v=DMARC1;" + text)
    assert found["valid"] in (True, False) and (found["policy"] or found["error"])


@pytest.mark.parametrize(("texts", "valid"), [
    (["v=STSv1; id=20261123T000000;"], True), (["v=STSv1; id=20261123;", "other"], True), (["v=STSv1;"], False), (["v=STSv1; id=with-dash"], False),
    (["v=STSv1; id=1;", "v=STSv1; id=2;"], False), (["v=STSv2; id=1"], None), ([], None),
])
def test_an_mta_sts_record(table, texts, valid):
    assert mta_sts.look("example.test", table({("_mta-sts.example.test", "TXT"): texts or "nxdomain"}))["valid"] is valid


POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.test\r\nmx: *.example.net\r\nmax_age: 604800\r\n"


def test_a_policy_file():
    assert mta_sts.parse_policy(POLICY) == {"mode": "enforce", "mx": ["mail.example.test", "*.example.net"], "max_age": 604800}


@pytest.mark.parametrize("wrong", [
    "<html>not found</html>", POLICY.replace("STSv1", "STSv2"), POLICY.replace("enforce", "strict"), POLICY.replace("604800", "31557601"),
    "version: STSv1\nmode: enforce\nmax_age: 1\n", "",
])
def test_a_wrong_policy_is_refused(wrong):
    with pytest.raises(ValueError):
        mta_sts.parse_policy(wrong)


@given(st.text(max_size=200))
def test_any_text_is_a_policy_or_a_value_error(text):
    try:
        assert mta_sts.parse_policy(POLICY + text)["mode"] in mta_sts.MODES
    except ValueError:
        pass


@pytest.mark.parametrize(("host", "allowed"), [
    ("mail.example.test", True), ("MAIL.example.test.", True), ("mx.example.net", True), ("a.mx.example.net", False), ("example.net", False),
    ("mail.evil.test", False),
])
def test_mx_patterns_of_a_policy(host, allowed):
    assert mta_sts.allows(["mail.example.test", "*.example.net"], host) is allowed


def a_certificate():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256()))
    return (made.public_bytes(serialization.Encoding.DER),
            key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


CERTIFICATE, KEY_INFO = a_certificate()


@pytest.mark.parametrize(("record", "matches"), [
    ((3, 1, 1, hashlib.sha256(KEY_INFO).hexdigest()), True),
    ((3, 0, 1, hashlib.sha256(CERTIFICATE).hexdigest()), True),
    ((3, 1, 2, hashlib.sha512(KEY_INFO).hexdigest()), True),
    ((3, 0, 0, CERTIFICATE.hex()), True),
    ((3, 1, 1, "00" * 32), False),
    ((3, 0, 1, hashlib.sha256(KEY_INFO).hexdigest()), False),
    ((2, 1, 1, hashlib.sha256(KEY_INFO).hexdigest()), None),
    ((1, 1, 1, hashlib.sha256(KEY_INFO).hexdigest()), None),
    ((3, 7, 1, "00"), None),
    ((3, 1, 9, "00"), None),
])
def test_a_tlsa_record_against_the_served_certificate(record, matches):
    entry = dane.entry("mail.example.test", 25, record, CERTIFICATE)
    assert entry["matches"] is matches and bool(entry["error"]) == (matches is None)


def test_an_unseen_certificate_is_no_mismatch():
    assert dane.entry("mail.example.test", 25, (3, 1, 1, "00" * 32), None)["matches"] is None


LISTS = {"listed": Answer(("127.0.0.2",)), "unlisted": Answer(error="nxdomain")}


@pytest.mark.parametrize(("listed", "unlisted", "ill"), [
    (Answer(("127.0.0.2",)), Answer(error="nxdomain"), False),
    (Answer(("127.0.0.10", "127.0.0.4")), Answer(error="no_data"), False),
    (Answer(("127.255.255.254",)), Answer(("127.255.255.254",)), True),
    (Answer(("203.0.113.9",)), Answer(("203.0.113.9",)), True),
    (Answer(("127.0.0.2",)), Answer(("127.0.0.2",)), True),
    (Answer(error="nxdomain"), Answer(error="nxdomain"), True),
    (Answer(error="timeout"), Answer(error="timeout"), True),
    (Answer(error="servfail"), Answer(error="nxdomain"), True),
])
def test_a_list_that_fails_its_test_addresses_is_broken(listed, unlisted, ill):
    assert bool(blocklist.health(listed, unlisted)) is ill


@pytest.mark.parametrize(("answer", "listed", "error"), [
    (Answer(("127.0.0.4",)), True, False), (Answer(error="nxdomain"), False, False), (Answer(("127.255.255.255",)), False, True),
    (Answer(("198.51.100.7",)), False, True), (Answer(error="timeout"), False, True), (Answer(("127.0.0.4", "198.51.100.7")), False, True),
])
def test_only_an_answer_in_127_is_a_listing(answer, listed, error):
    entry = blocklist.verdict("bl.test", "192.0.2.25", answer, "")
    assert (entry["listed"], entry["error"]) == (listed, error)


def test_a_broken_list_lists_nobody():
    assert blocklist.verdict("bl.test", "192.0.2.25", Answer(("127.0.0.2",)), "lists everybody")["listed"] is False


def test_the_question_to_a_list():
    assert blocklist.question("192.0.2.25", "bl.test") == "25.2.0.192.bl.test"
    assert blocklist.question("2001:db8::1", "bl.test") == "1" + ".0" * 23 + ".8.b.d.0.1.0.0.2.bl.test"


def test_a_subscribers_key_in_a_zone_is_not_shown():
    zone = "abcdefghij0123456789klmnop.zen.dq.spamhaus.net"
    assert blocklist.verdict(zone, "192.0.2.25", Answer(error="nxdomain"), "")["zone"] == "KEY.zen.dq.spamhaus.net"
    assert blocklist.shown("zen.spamhaus.org") == "zen.spamhaus.org"
