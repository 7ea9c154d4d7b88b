from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.mailops.outage.plugins.module_utils.dns import served

POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.test\r\nmax_age: 604800\r\n"


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    """A self-signed certificate for mta-sts.example.test: (path of both in PEM, DER)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mta-sts.example.test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("mta-sts.example.test")]), False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True).sign(key, hashes.SHA256()))
    path = tmp_path_factory.mktemp("served") / "identity.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return str(path), made.public_bytes(serialization.Encoding.DER)


@pytest.fixture
def listener():
    """``listener(talk)`` serves each connection with ``talk(socket)`` on a port that it returns."""
    with contextlib.ExitStack() as stack:
        def start(talk):
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve():
                with contextlib.suppress(OSError):
                    while True:
                        channel, _peer = server.accept()
                        with channel, contextlib.suppress(OSError):
                            channel.settimeout(5)
                            talk(channel)
            threading.Thread(target=serve, daemon=True).start()
            stack.callback(lambda: server.shutdown(socket.SHUT_RDWR))
            return server.getsockname()[1]
        yield start


def tls_context(identity):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity[0])
    return context


def smtp(rcpt=b"250 2.1.5 Ok\r\n", context=None):
    """A mail server that answers RCPT so."""
    def talk(channel):
        channel.sendall(b"220 mx ESMTP\r\n")
        stream = channel.makefile("rb")
        for line in stream:
            command = line[:4].upper()
            if command == b"EHLO":
                channel.sendall(b"250-mx\r\n250 STARTTLS\r\n" if context else b"250 mx\r\n")
            elif command == b"STAR":
                channel.sendall(b"220 go\r\n")
                with context.wrap_socket(channel, server_side=True) as secured:
                    secured.recv(100)
                    secured.sendall(b"221 bye\r\n")
                return
            elif command == b"RCPT":
                assert line == b"RCPT TO:<postmaster@example.test>\r\n"
                channel.sendall(rcpt)
            elif command == b"QUIT":
                channel.sendall(b"221 bye\r\n")
                return
            else:
                assert command in (b"MAIL", b"RSET")
                channel.sendall(b"250 ok\r\n")
    return talk


def web(answer, identity):
    context = tls_context(identity)

    def talk(channel):
        with context.wrap_socket(channel, server_side=True) as secured:
            request = secured.recv(4096)
            assert request.startswith(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.example.test\r\n")
            secured.sendall(answer)
    return talk


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_the_certificate_behind_starttls_is_taken_as_it_is(listener, identity):
    port = listener(smtp(context=tls_context(identity)))
    assert served.certificate("mail.example.test", "127.0.0.1", 5, port) == identity[1]


def test_no_certificate_is_none(listener):
    assert served.certificate("mail.example.test", "127.0.0.1", 5, listener(smtp())) is None
    assert served.certificate("mail.example.test", "127.0.0.1", 5, free_port()) is None


@pytest.mark.parametrize(("reply", "takes"), [
    (b"250 2.1.5 Ok\r\n", True),
    (b"554 5.7.1 <postmaster@example.test>: Relay access denied\r\n", False),
    (b"550 relay not permitted\r\n", False),
    (b"450 4.2.0 Greylisted\r\n", None),
    # A refusal for what we are says nothing about the domain.
    (b"554 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using zen.spamhaus.org\r\n", None),
])
def test_whether_a_foreign_mx_takes_our_mail(listener, reply, takes):
    verdict, said = served.takes_mail("mx.test", "127.0.0.1", "example.test", False, 5, listener(smtp(reply)))
    assert verdict is takes and said


def test_an_mx_where_nothing_listens_takes_no_mail():
    verdict, said = served.takes_mail("mx.test", "127.0.0.1", "example.test", False, 5, free_port())
    assert verdict is False and "refused" in said


def test_the_policy_is_fetched_and_verified(listener, identity):
    port = listener(web(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n" + POLICY, identity))
    assert served.policy("example.test", ["127.0.0.1"], identity[0], 5, port) == {"mode": "enforce", "mx": ["mail.example.test"], "max_age": 604800}


def test_a_policy_from_a_server_that_is_not_trusted_is_not_taken(listener, identity):
    with pytest.raises(OSError):
        served.policy("example.test", ["127.0.0.1"], None, 5, listener(web(b"", identity)))


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 301 Moved\r\nLocation: https://elsewhere.test/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html></html>",
    b"not http at all\r\n\r\n",
])
def test_what_is_no_policy_is_refused(listener, identity, answer):
    with pytest.raises(ValueError):
        served.policy("example.test", ["127.0.0.1"], identity[0], 5, listener(web(answer, identity)))


def test_an_endless_policy_is_cut(listener, identity):
    endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + POLICY + b"mx: a.example.test\r\n" * 10000
    assert len(served.policy("example.test", ["127.0.0.1"], identity[0], 5, listener(web(endless, identity)))["mx"]) == 50


def test_a_web_server_that_says_nothing_costs_its_time(listener):
    silent = threading.Event()
    port = listener(lambda channel: silent.wait(2))
    with pytest.raises(OSError):
        served.policy("example.test", ["127.0.0.1"], None, 0.2, port)
    silent.set()


@pytest.mark.parametrize(("seen", "serves"), [
    ([{"tls": {"name_matches": True}, "ok": True, "outcome": "ok"}], True),
    ([{"tls": {"name_matches": False}, "ok": True, "outcome": "ok"}], False),
    ([{"tls": None, "ok": False, "outcome": "refused"}], False),
    ([{"tls": None, "ok": False, "outcome": "refused"}, {"tls": None, "ok": False, "outcome": "timeout"}], None),
    ([{"tls": None, "ok": True, "outcome": "ok"}], None),
    ([{"tls": None, "ok": False, "outcome": "closed"}], None),
    ([{"tls": None, "ok": False, "outcome": "unreachable"}], None),
])
def test_only_a_certificate_for_the_name_proves_a_client_service(monkeypatch, seen, serves):
    monkeypatch.setattr(served.wire_probe, "probe_all", lambda targets, options: [dict(item, port=993) for item in seen])
    assert served.serves_clients("imap.example.test", "9.9.9.9")[0] is serves


def test_a_private_address_without_a_machine_serves_nobody(monkeypatch):
    monkeypatch.setattr(served.wire_probe, "probe_all", lambda targets, options: [{"tls": None, "ok": False, "outcome": "unreachable", "port": 993}])
    assert served.serves_clients("imap.example.test", "10.0.0.9")[0] is False
