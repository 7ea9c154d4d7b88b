from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host import certificates
from ansible_collections.mailops.outage.plugins.module_utils.host.certificates import Pair
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context
from hypothesis import given
from hypothesis import strategies as st

_OPENSSL = shutil.which("openssl")
_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*words, text=None):
    subprocess.run(["openssl", *words], check=True, capture_output=True, input=text, timeout=20)


@pytest.fixture(name="pki", scope="module")
def _pki(tmp_path_factory):
    """An authority, an intermediate, a leaf of the intermediate, and a self-signed certificate, made for this run."""
    if not _OPENSSL:
        pytest.skip("needs openssl")
    root = tmp_path_factory.mktemp("pki")
    (root / "ca.cnf").write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n")
    (root / "leaf.cnf").write_text("subjectAltName=DNS:mail.example.test,IP:192.0.2.1\n")

    def issue(name, issuer, extensions, subject):
        _openssl("req", "-new", *_EC, "-keyout", f"{root}/{name}.key", "-out", f"{root}/{name}.csr", "-subj", f"/CN={subject}")
        _openssl("x509", "-req", "-in", f"{root}/{name}.csr", "-CA", f"{root}/{issuer}.pem", "-CAkey", f"{root}/{issuer}.key", "-CAcreateserial", "-days", "30",
                 "-extfile", f"{root}/{extensions}.cnf", "-out", f"{root}/{name}.pem")
    for name in ("authority", "alone"):
        _openssl("req", "-x509", *_EC, "-keyout", f"{root}/{name}.key", "-out", f"{root}/{name}.pem", "-days", "30", "-subj", f"/CN={name}")
    issue("intermediate", "authority", "ca", "intermediate")
    issue("leaf", "intermediate", "leaf", "mail.example.test")
    (root / "chain.pem").write_text((root / "leaf.pem").read_text() + (root / "intermediate.pem").read_text())
    return root


def _look(pki, cert, key, trust=""):
    return certificates._file(Pair(f"{pki}/{cert}", f"{pki}/{key}", ("postfix smtpd_tls_cert_file",)), f"{pki}/{trust}" if trust else "", Context())


def test_a_chain_that_ends_in_a_known_authority_is_complete(pki):
    facts = _look(pki, "chain.pem", "leaf.key", "authority.pem")
    assert facts["chain_ok"] is True and facts["chain_length"] == 2 and facts["key_matches"] is True and facts["error"] == ""
    assert facts["subject"] == "CN=mail.example.test" and facts["issuer"] == "CN=intermediate" and facts["names"] == ["mail.example.test", "192.0.2.1"]
    assert 29 < facts["days_left"] <= 30 and facts["self_signed"] is False and len(facts["fingerprint"]) == 64


def test_a_private_authority_that_this_host_does_not_know_is_no_broken_chain(pki):
    facts = _look(pki, "chain.pem", "leaf.key")
    assert facts["chain_ok"] is None and "depth 1" in facts["chain_error"]


def test_a_missing_intermediate_breaks_the_chain(pki):
    facts = _look(pki, "leaf.pem", "leaf.key", "authority.pem")
    assert facts["chain_ok"] is False and facts["chain_error"] == "unable to get local issuer certificate (depth 0)"


def test_a_self_signed_certificate_says_nothing_of_a_chain(pki):
    facts = _look(pki, "alone.pem", "alone.key")
    assert facts["self_signed"] is True and facts["chain_ok"] is None and facts["chain_error"] == ""


def test_a_key_of_another_certificate_does_not_match(pki):
    facts = _look(pki, "leaf.pem", "alone.key")
    assert facts["key_matches"] is False and facts["key_error"] == "KEY_VALUES_MISMATCH"


def test_a_key_that_everybody_may_read_is_marked(pki, tmp_path):
    key = tmp_path / "leaf.key"
    shutil.copy(pki / "leaf.key", key)
    os.chmod(key, 0o644)
    facts = certificates._key(Pair(f"{pki}/leaf.pem", str(key)), Context())
    assert facts["key_world_readable"] is True and facts["key_mode"] == "0644"
    os.chmod(key, 0o640)
    assert certificates._key(Pair(f"{pki}/leaf.pem", str(key)), Context())["key_world_readable"] is False


def test_a_locked_key_is_not_asked_for_its_passphrase(pki, tmp_path):
    key = tmp_path / "locked.key"
    _openssl("pkey", "-in", f"{pki}/leaf.key", "-aes128", "-passout", "pass:example", "-out", str(key))
    facts = certificates._key(Pair(f"{pki}/leaf.pem", str(key)), Context())
    assert facts["key_matches"] is None and "passphrase" in facts["key_error"]


def test_a_missing_certificate_and_a_missing_key_are_told(pki):
    facts = _look(pki, "gone.pem", "gone.key")
    assert (facts["exists"], facts["error"], facts["key_error"], facts["key_matches"]) == (False, "No such file or directory", "No such file or directory",
                                                                                           None)


def test_a_file_without_a_certificate_is_told(pki):
    assert _look(pki, "leaf.key", "leaf.key")["error"] == "no certificate in it"


def test_a_file_with_garbage_in_a_certificates_place_is_told(tmp_path):
    (tmp_path / "bad.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert certificates._file(Pair(f"{tmp_path}/bad.pem", ""), "", Context())["error"] == "not a certificate"


@given(st.text(max_size=300))
def test_any_text_is_read_as_certificates_or_none(text):
    assert isinstance(certificates.certificates_in("-----BEGIN CERTIFICATE-----\n" + text + "\n-----END CERTIFICATE-----\n"), list)
    certificates.chain_verdict(text)


@pytest.mark.parametrize("output, expected", [
    ("/etc/ssl/mail/fullchain.pem: OK\n", (True, "")),
    ("CN = mail\nerror 10 at 0 depth lookup: certificate has expired\nerror x.pem: verification failed\n", (True, "")),
    ("error 10 at 1 depth lookup: certificate has expired\n", (False, "certificate has expired (depth 1)")),
    ("error 20 at 0 depth lookup: unable to get local issuer certificate\n", (False, "unable to get local issuer certificate (depth 0)")),
    ("error 2 at 1 depth lookup: unable to get issuer certificate\n", (None, "unable to get issuer certificate (depth 1)")),
    ("error 19 at 1 depth lookup: self-signed certificate in certificate chain\n", (None, "self-signed certificate in certificate chain (depth 1)")),
    ("error 18 at 0 depth lookup: self-signed certificate\n", (None, "")),
    ("error 7 at 0 depth lookup: certificate signature failure\n", (False, "certificate signature failure (depth 0)")),
    ("", (None, "")),
])
def test_the_verdict_on_a_chain(output, expected):
    assert certificates.chain_verdict(output) == expected


@pytest.mark.parametrize("names, own, domains, covered", [
    (["mail.example.test"], ["mail.example.test"], [], True), (["*.example.test"], ["mail.example.test"], [], True),
    (["imap.example.test"], ["store1.example.test"], ["example.test"], None), (["example.test"], ["mail.example.test"], ["example.test"], None),
    (["www.other.test"], ["mail.example.test"], ["example.test"], False), (["www.other.test"], [], ["example.test"], None),
    ([], ["mail.example.test"], [], False),
])
def test_a_certificate_is_for_this_host_or_for_another(names, own, domains, covered):
    assert certificates.covers_host(names, own, domains) is covered


@pytest.mark.parametrize("service, port", [("smtp", 25), ("submission", 587), ("smtps", 465), ("submissions", 465), ("192.0.2.1:2525", 2525),
                                           ("[::1]:smtp", 25), ("pickup", None)])
def test_services_of_master_have_their_port(service, port):
    assert certificates.port_of(service) == port


def test_pairs_of_postfix_are_those_of_main_and_of_services_with_their_own():
    expanded = {"smtpd_tls_cert_file": "/a.pem", "smtpd_tls_key_file": "/a.key", "smtpd_tls_eccert_file": "", "smtpd_tls_chain_files": "",
                "myhostname": "mail.example.test"}
    masters = [{"service": "smtp", "overrides": {}}, {"service": "submission",
                                                      "overrides": {"smtpd_tls_cert_file": "/etc/$myhostname.pem", "smtpd_tls_security_level": "encrypt"}}]
    assert certificates.postfix_pairs(expanded, masters, lambda path: None) == [
        Pair("/a.pem", "/a.key", ("postfix smtpd_tls_cert_file",)),
        Pair("/etc/mail.example.test.pem", "/a.key", ("postfix submission smtpd_tls_cert_file",), (587,))]


def test_a_service_with_its_own_combined_file_does_not_borrow_the_key():
    expanded = {"smtpd_tls_cert_file": "/a.pem", "smtpd_tls_key_file": "/a.pem"}
    found = certificates.postfix_pairs(expanded, [{"service": "submission", "overrides": {"smtpd_tls_cert_file": "/b.pem"}}], lambda path: None)
    assert found[1] == Pair("/b.pem", "/b.pem", ("postfix submission smtpd_tls_cert_file",), (587,))


def test_chain_files_win_and_find_their_keys(pki):
    texts = {"/key": (pki / "leaf.key").read_text(), "/cert": (pki / "leaf.pem").read_text(),
             "/both": (pki / "alone.key").read_text() + (pki / "alone.pem").read_text(), "/junk": "nothing"}
    assert certificates.chain_pairs(["/key", "/cert", "/both"], texts.get) == [("/cert", "/key"), ("/both", "/both")]
    assert certificates.chain_pairs(["/junk"], texts.get) == [("/junk", "/junk")]
    assert certificates.chain_pairs(["/gone"], texts.get) == [("/gone", "/gone")]
    expanded = {"smtpd_tls_cert_file": "/a.pem", "smtpd_tls_key_file": "/a.key", "smtpd_tls_chain_files": "/both"}
    assert certificates.postfix_pairs(expanded, [], texts.get) == [Pair("/both", "/both", ("postfix smtpd_tls_chain_files",))]


def test_pairs_of_dovecot_include_names_and_are_none_without_tls():
    values = {"ssl": "required", "ssl_cert": "</a.pem", "ssl_key": "</a.key", "local_name.imap.example.test.ssl_cert": "< /b.pem",
              "local_name.imap.example.test.ssl_key": "</b.key"}
    assert certificates.dovecot_pairs(values) == [Pair("/b.pem", "/b.key", ("dovecot local_name.imap.example.test.ssl_cert",)),
                                                  Pair("/a.pem", "/a.key", ("dovecot ssl_cert",))]
    assert certificates.dovecot_pairs(dict(values, ssl="no")) == []


def test_equal_pairs_are_one_with_all_users():
    assert certificates.merged([Pair("/a", "/k", ("postfix x",), (25,)), Pair("/a", "/k", ("dovecot y",))]) == [Pair("/a", "/k", ("postfix x", "dovecot y"),
                                                                                                                     (25,))]


def _seen(port, protocol, fingerprint, ok=True, answer=""):
    return {"port": port, "protocol": protocol, "ok": ok, "answer": answer, "outcome": "ok" if ok else "tls_failed",
            "tls": {"certificate": {"fingerprint": fingerprint, "not_after": "2029-01-11T21:35:33Z", "not_after_epoch": 1}} if fingerprint else None}


_FILES = [(Pair("/a", "/a", ("postfix smtpd_tls_cert_file", "dovecot ssl_cert")), {"fingerprint": "aa"}),
          (Pair("/b", "/b", ("postfix submission smtpd_tls_cert_file",), (587,)), {"fingerprint": "bb"})]


@pytest.mark.parametrize("seen, file, same", [
    (_seen(25, "smtp", "aa"), "aa", True), (_seen(25, "smtp", "cc"), "aa", False), (_seen(587, "submission", "bb"), "bb", True),
    (_seen(587, "submission", "aa"), "bb", False),
    (_seen(993, "imaps", "cc"), "aa", False), (_seen(465, "submissions", "aa"), "aa", True),
    (_seen(993, "imaps", None, False, "Connection reset by peer"), "aa", None),
])
def test_what_a_port_serves_is_compared_with_its_own_file(seen, file, same):
    entry = certificates.served_entry(seen, _FILES)
    assert (entry["file_fingerprint"], entry["same"]) == (file, same)


def test_a_file_that_serves_all_ports_and_one_by_name_still_serves_all():
    files = [(Pair("/a", "/a", ("postfix smtpd_tls_cert_file", "postfix submission smtpd_tls_cert_file"), (587,)), {"fingerprint": "aa"})]
    assert certificates.served_entry(_seen(25, "smtp", "aa"), files)["same"] is True
    assert certificates.served_entry(_seen(25, "smtp", "bb"), files)["same"] is False


def test_a_port_without_tls_says_why():
    assert certificates.served_entry(_seen(25, "smtp", None), _FILES)["error"] == "TLS is not offered"
    assert certificates.served_entry(_seen(25, "smtp", None, False, "454 4.7.0 TLS not available due to local problem"),
                                     _FILES)["error"].startswith("454 4.7.0")


def test_one_port_of_dovecot_and_each_of_postfix_is_asked(monkeypatch):
    monkeypatch.setattr(certificates, "listening", lambda context: [("0.0.0.0", 25), ("192.0.2.1", 587), ("::", 25), ("0.0.0.0", 143), ("0.0.0.0", 993),
                                                                    ("127.0.0.1", 24), ("0.0.0.0", 22)])
    assert certificates._tls_targets(Context()) == [
        {"name": "127.0.0.1", "port": 25, "protocol": "smtp"}, {"name": "192.0.2.1", "port": 587, "protocol": "submission"},
        {"name": "127.0.0.1", "port": 993, "protocol": "imaps"}]


def test_a_host_without_mail_has_no_certificates(monkeypatch):
    monkeypatch.setattr(certificates, "configured", lambda context: [])
    monkeypatch.setattr(certificates, "listening", lambda context: [])
    assert certificates.collect(Context()) == {"files": [], "served": []}
