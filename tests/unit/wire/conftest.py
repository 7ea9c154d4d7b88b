from __future__ import annotations

import datetime
import ipaddress
import ssl
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# The helpers next to the tests; with --import-mode=importlib nothing else puts them on the path.
sys.path.insert(0, str(Path(__file__).parent))

DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority for the tests: ``issue`` returns a server context."""

    def __init__(self, folder):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test Authority")])
        self._number = 0
        self.ca_file = str(folder / "ca.pem")
        with open(self.ca_file, "wb") as file:
            file.write(self._sign(self._name, self._key.public_key(), self._name, [], 30, -1, True).public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, public_key, issuer, names, days, since, authority, key=None):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
                   .serial_number(x509.random_serial_number()).not_valid_before(now + since * DAY).not_valid_after(now + days * DAY)
                   .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True))
        if names:
            general = []
            for name in names:
                try:
                    general.append(x509.IPAddress(ipaddress.ip_address(name)))
                except ValueError:
                    general.append(x509.DNSName(name))
            builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
        return builder.sign(key or self._key, hashes.SHA256())

    def certificate(self, *names, days=30, since=-1, self_signed=False, subject=None):
        """(x509 certificate, key); ``days`` and ``since`` count from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0] if names else "nameless")])
        issuer = subject if self_signed else self._name
        return self._sign(subject, key.public_key(), issuer, names, days, since, False, key if self_signed else None), key

    def issue(self, *names, **kwargs):
        certificate, key = self.certificate(*names, **kwargs)
        self._number += 1
        path = self._folder / f"{self._number}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


@pytest.fixture(scope="session", name="authority")
def _authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session", name="good")
def _good(authority):
    """The context of a server that has a valid certificate for localhost."""
    return authority.issue("localhost", "127.0.0.1")
