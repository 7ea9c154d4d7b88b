from __future__ import annotations

import functools
import ssl

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.wire import tls
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st


def der_of(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("names, name, matches", [
    (["mail.example.test"], "mail.example.test", True),
    (["MAIL.example.TEST"], "mail.EXAMPLE.test", True),
    (["mail.example.test"], "mail.example.test.", True),
    (["other.test", "mail.example.test"], "mail.example.test", True),
    (["mail.example.test"], "example.test", False),
    (["example.test"], "mail.example.test", False),
    (["*.example.test"], "mail.example.test", True),
    (["*.example.test"], "example.test", False),
    (["*.example.test"], "a.mail.example.test", False),
    (["m*.example.test"], "mail.example.test", False),
    (["mail.*.test"], "mail.example.test", False),
    (["*.test"], "example.test", False),
    (["*"], "localhost", False),
    (["192.0.2.1"], "192.0.2.1", True),
    (["2001:db8::1"], "2001:0db8:0::1", True),
    (["*.0.2.1"], "192.0.2.1", False),
    (["mail.example.test"], "192.0.2.1", False),
    (["xn--bcher-kva.test"], "bücher.test", True),
    ([], "mail.example.test", False),
    (["mail.example.test"], "", False),
])
def test_a_name_matches_by_the_rules_of_rfc_9525(names, name, matches):
    assert tls.name_matches(names, name) is matches


def test_a_certificate_is_read_without_openssl(authority):
    subject = x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "NL"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Bücher & Co"),
                         x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.test")])
    certificate, _key = authority.certificate("mail.example.test", "*.example.test", "192.0.2.1", "2001:db8::1", days=10, subject=subject)
    seen = tls.certificate(der_of(certificate))
    assert seen["subject"] == "C=NL, O=Bücher & Co, CN=mail.example.test"
    assert seen["issuer"] == "CN=Test Authority"
    assert seen["names"] == ["mail.example.test", "*.example.test", "192.0.2.1", "2001:db8::1"]
    assert int(seen["serial"], 16) == certificate.serial_number
    assert seen["not_after_epoch"] == int(certificate.not_valid_after_utc.timestamp())
    assert seen["not_after"] == certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert 9.9 <= seen["days_left"] <= 10
    assert seen["self_signed"] is False


def test_an_expired_self_signed_certificate_says_so(authority):
    certificate, _key = authority.certificate("mail.example.test", days=-2, since=-9, self_signed=True)
    seen = tls.certificate(der_of(certificate))
    assert seen["self_signed"] is True
    assert -2.1 <= seen["days_left"] <= -2


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_the_certificates_of_this_machine_are_read_as_a_full_parser_reads_them():
    bundle = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    try:
        with open(bundle, "rb") as file:
            certificates = x509.load_pem_x509_certificates(file.read())
    except OSError:
        pytest.skip("no certificate bundle")
    for certificate in certificates:
        seen = tls.certificate(der_of(certificate))
        assert int(seen["serial"], 16) == certificate.serial_number
        assert seen["not_before_epoch"] == int(certificate.not_valid_before_utc.timestamp())
        assert seen["not_after_epoch"] == int(certificate.not_valid_after_utc.timestamp())
        assert seen["self_signed"] == (certificate.issuer == certificate.subject)
        assert all(attribute.value[:90] in str(seen["subject"]) for attribute in certificate.subject)


@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_certificate_never_raises(authority, data):
    der = bytearray(_sample(authority))
    for _change in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    seen = tls.certificate(bytes(der[:data.draw(st.integers(0, len(der)))]))
    assert set(seen) == set(tls.certificate(b""))
    assert isinstance(seen["names"], list)


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_noise_is_no_certificate(data):
    assert tls.certificate(data)["subject"] is None or tls.certificate(data)["not_after"]


@functools.cache
def _sample(authority):
    return der_of(authority.certificate("mail.example.test", "192.0.2.1")[0])
