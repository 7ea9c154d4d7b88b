from __future__ import annotations

import socket
import struct
import threading

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host import _dns, resolver
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context
from hypothesis import given
from hypothesis import strategies as st


def _name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\0"


def _answer(query, rcode=0, records=b"", count=0):
    """An answer to a query: its identity and question, and the records given."""
    return query[:2] + struct.pack(">HHHHH", 0x8180 | rcode, 1, count, 0, 0) + query[12:] + records


def _record(kind, data):
    # The owner is a pointer to the question's name.
    return b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 300, len(data)) + data


class _Server:
    """A name server on a loopback port that answers each query by ``reply(query)``: bytes, a list of packets, or None."""

    def __init__(self, reply):
        self.channel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.channel.bind(("127.0.0.1", 0))
        self.port = self.channel.getsockname()[1]
        self.reply = reply
        self.seen = []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                query, client = self.channel.recvfrom(4096)
            except OSError:
                return
            self.seen.append(query)
            answer = self.reply(query)
            for packet in answer if isinstance(answer, list) else [answer]:
                if packet:
                    self.channel.sendto(packet, client)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()


def _ask(reply, kind="MX", patience=4.0):
    with _Server(reply) as server:
        return _dns.ask("127.0.0.1", "example.test", kind, patience, server.port)


def test_an_answer_with_a_compressed_name_is_read():
    data = struct.pack(">H", 10) + b"\x04mail\xc0\x0c"
    answer = _ask(lambda query: _answer(query, 0, _record(15, data), 1))
    assert answer.rcode == "NOERROR" and answer.records == ((15, (10, "mail.example.test")),) and answer.question == "example.test"


def test_addresses_are_read():
    records = _record(1, bytes([192, 0, 2, 1])) + _record(28, b"\x20\x01\x0d\xb8" + b"\0" * 11 + b"\x01")
    assert [value for _kind, value in _ask(lambda query: _answer(query, 0, records, 2)).records] == ["192.0.2.1", "2001:db8::1"]


@pytest.mark.parametrize("code, name", [(0, "NOERROR"), (2, "SERVFAIL"), (3, "NXDOMAIN"), (5, "REFUSED"), (11, "RCODE11")])
def test_the_code_of_an_answer_has_its_name(code, name):
    assert _ask(lambda query: _answer(query, code)).rcode == name


def test_silence_is_a_timeout_after_a_second_try():
    with _Server(lambda query: None) as server:
        with pytest.raises(TimeoutError):
            _dns.ask("127.0.0.1", "example.test", "MX", 0.2, server.port)
        assert len(server.seen) == 2 and server.seen[0] == server.seen[1]


def test_a_closed_port_is_refused_at_once():
    with _Server(lambda query: None) as server:
        port = server.port
    with pytest.raises(ConnectionRefusedError):
        _dns.ask("127.0.0.1", "example.test", "MX", 0.2, port)


def test_an_answer_to_another_question_and_garbage_are_passed_over():
    def reply(query):
        return [b"garbage", bytes([query[0] ^ 1]) + _answer(query)[1:], _answer(query, 3)]
    assert _ask(reply).rcode == "NXDOMAIN"


def test_a_name_that_points_at_itself_ends():
    packet = struct.pack(">HHHHHH", 1, 0x8180, 1, 0, 0, 0) + b"\xc0\x0c" + b"\0\x0f\0\x01"
    with pytest.raises(ValueError):
        _dns.parse(packet)


@given(st.binary(max_size=600))
def test_any_packet_is_an_answer_or_a_value_error(packet):
    try:
        _dns.parse(packet)
    except ValueError:
        pass


@given(st.binary(max_size=200), st.integers(min_value=0, max_value=20))
def test_an_answer_with_any_records_is_read(records, count):
    query = _dns.question(7, "example.test", "MX")
    assert _dns.parse(_answer(query, 0, records, count)).rcode == "NOERROR"


@given(st.lists(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20), min_size=1, max_size=5))
def test_the_name_asked_for_is_the_name_read_back(labels):
    packet = _dns.question(7, ".".join(labels), "A")
    assert _dns._name(packet, 12)[0] == ".".join(labels)
    assert packet[12:-4] == _name(".".join(labels))


def test_names_that_dns_cannot_hold_are_refused():
    for name in ("a" * 64 + ".test", ".".join(["abcdefgh"] * 40)):
        with pytest.raises(ValueError):
            _dns.question(1, name, "A")


def test_the_root_is_asked_for_with_an_empty_name():
    assert _dns.question(1, ".", "NS")[12:] == b"\0\0\x02\0\x01"


@pytest.mark.parametrize("text, expected", [
    ("nameserver 192.0.2.1\nnameserver 192.0.2.2 # ours\nsearch example.test other.test\n",
     {"nameservers": ["192.0.2.1", "192.0.2.2"], "search": ["example.test", "other.test"]}),
    ("", {"nameservers": ["127.0.0.1"], "search": []}),
    ("; nameserver 192.0.2.9\ndomain example.test\nnameserver ::1\n", {"nameservers": ["::1"], "search": ["example.test"]}),
    ("nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver 4.4.4.4\n", {"nameservers": ["1.1.1.1", "2.2.2.2", "3.3.3.3"], "search": []}),
])
def test_resolv_conf_is_read_as_the_resolver_reads_it(text, expected):
    assert resolver.parse_resolv_conf(text) == expected


@given(st.text(max_size=200))
def test_any_text_is_read_as_resolv_conf_and_hosts(text):
    assert resolver.parse_resolv_conf(text)["nameservers"]
    resolver.localhost_listed(text)


@pytest.mark.parametrize("text, listed", [("127.0.0.1 localhost\n", True), ("127.0.0.1\tmail localhost # x\n", True),
                                          ("#127.0.0.1 localhost\n::1 localhost\n", False), ("127.0.1.1 localhost\n", False)])
def test_localhost_is_listed_or_not(text, listed):
    assert resolver.localhost_listed(text) is listed


def _tested(name, rcode):
    return {"server": "192.0.2.1", "name": name, "rcode": rcode}


@pytest.mark.parametrize("tests, working", [
    ([_tested("example.test", "NOERROR"), _tested(".", None)], True), ([_tested("example.test", "NXDOMAIN")], True),
    ([_tested("example.test", "SERVFAIL"), _tested(".", "NOERROR")], False),
    ([_tested("example.test", "REFUSED")], False), ([_tested("example.test", None)], False),
    ([_tested("example.test", None), _tested("example.test", "NOERROR")], True), ([_tested(".", None)], None), ([], None),
])
def test_the_resolver_works_when_one_server_answers_for_a_domain(tests, working):
    assert resolver.verdict(tests) is working


class _Host(Context):
    """A host with the files that the test gives."""

    def __init__(self, files, **options):
        super().__init__(options=options)
        self.files = files

    def read(self, path, most=0):
        return self.files.get(path)


@pytest.fixture(name="chroot")
def _chroot(monkeypatch, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "resolv.conf").write_text("nameserver 192.0.2.99\n")
    monkeypatch.setattr(resolver._mail, "parameter", lambda context, name,
                        default="": {"queue_directory": str(tmp_path), "mydomain": "example.test"}.get(name, default))
    monkeypatch.setattr(resolver.system, "fqdn", lambda context: "mail.example.test")
    monkeypatch.setattr(resolver._dns, "addresses", lambda name: ["127.0.0.1"])

    def ask(server, name, kind, patience):
        if server == "192.0.2.99":
            raise TimeoutError("no answer within 2 s")
        return _dns.Answer(1, "NOERROR", False, name, ())
    monkeypatch.setattr(resolver._dns, "ask", ask)
    return tmp_path


def test_a_stale_copy_in_the_chroot_is_told_from_the_systems_resolver(chroot):
    files = {"/etc/resolv.conf": "nameserver 192.0.2.1\n", f"{chroot}/etc/resolv.conf": "nameserver 192.0.2.99\n", "/etc/hosts": "127.0.0.1 localhost\n"}
    facts = resolver.collect(_Host(files))
    assert facts["working"] is True and facts["chroot_working"] is False and facts["chroot_nameservers"] == ["192.0.2.99"]
    assert facts["chroot"] == [{"path": f"{chroot}/etc/resolv.conf", "differs": True}]
    dead = [test for test in facts["tests"] if test["server"] == "192.0.2.99"]
    assert {(test["name"], test["type"]) for test in dead} == {("example.test", "MX"),
                                                               (".", "NS")} and all(test["error"] == "no answer within 2 s" for test in dead)


def test_domains_that_are_given_are_asked_for(chroot):
    files = {"/etc/resolv.conf": "nameserver 192.0.2.1\n", f"{chroot}/etc/resolv.conf": "nameserver 192.0.2.1\n", "/etc/hosts": ""}
    facts = resolver.collect(_Host(files, domains=["one.test", "two.test"]))
    assert [test["name"] for test in facts["tests"]] == ["one.test", "two.test", "."]
    assert facts["chroot_working"] is None and facts["hosts_localhost"] is False


def test_a_failing_lookup_is_told(chroot, monkeypatch):
    def fail(name):
        raise socket.gaierror(-3, "Temporary failure in name resolution")
    monkeypatch.setattr(resolver._dns, "addresses", fail)
    files = {"/etc/resolv.conf": "nameserver 192.0.2.1\n", "/etc/hosts": ""}
    assert [(entry["name"], entry["ok"], entry["error"]) for entry in resolver.collect(_Host(files))["getaddrinfo"]] == [
        ("localhost", False, "Temporary failure in name resolution"), ("mail.example.test", False, "Temporary failure in name resolution")]
