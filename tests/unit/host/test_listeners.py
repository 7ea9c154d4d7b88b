from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host import listeners
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context
from hypothesis import given
from hypothesis import strategies as st

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.mark.parametrize("text, address", [
    ("0100007F", "127.0.0.1"), ("00000000", "0.0.0.0"), ("0A53590A", "10.89.83.10"),
    ("00000000000000000000000000000000", "::"), ("00000000000000000000000001000000", "::1"), ("0000000000000000FFFF00000100007F", "::ffff:127.0.0.1"),
])
def test_an_address_is_read_in_the_kernels_byte_order(text, address):
    assert listeners.address_of(text) == address


def test_listening_ports_are_read_from_the_kernels_tables():
    ports = {port: address for address, port, _inode in listeners.parse_tcp((FIXTURES / "proc-net-tcp.txt").read_text())}
    assert set(ports) == {22, 25, 110, 143, 465, 587, 993, 995, 4190, 8891} and ports[8891] == "127.0.0.1" and ports[25] == "0.0.0.0"
    assert {address for address, _port, _inode in listeners.parse_tcp((FIXTURES / "proc-net-tcp6.txt").read_text())} == {"::"}


def test_an_established_connection_is_no_listener():
    text = "head\n   0: 0100007F:0019 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 7 1\n"
    assert listeners.parse_tcp(text) == []


@given(st.text(alphabet="0123456789ABCDEF: \n", max_size=200))
def test_no_table_is_too_odd_to_be_read(text):
    assert isinstance(listeners.parse_tcp(text), list)
    assert isinstance(listeners.parse_unix(text), list)


def test_sockets_of_mail_software_are_found_and_others_are_not():
    found = listeners.parse_unix((FIXTURES / "proc-net-unix.txt").read_text())
    assert {"/var/spool/postfix/private/auth", "/var/spool/postfix/private/dovecot-lmtp", "public/cleanup", "/run/dovecot/lmtp"} <= set(found)
    assert not any("systemd" in path or "dbus" in path for path in found)


@pytest.mark.parametrize("address, loopback", [
    ("127.0.0.1", True), ("127.0.1.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("::", False), ("0.0.0.0", False)])
def test_loopback_is_known(address, loopback):
    assert listeners.is_loopback(address) is loopback


def test_an_own_socket_is_found_with_its_process():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = {entry["port"]: entry for entry in listeners.collect(Context())["tcp"]}
    assert found[port]["pid"] == os.getpid() and found[port]["loopback"] and found[port]["process"] and found[port]["mail"] is False


def test_the_lowest_process_that_holds_a_socket_is_named():
    holders, _complete = listeners._holders({4711}, [])
    assert holders == {}
    with socket.create_server(("127.0.0.1", 0)) as server:
        inode = os.fstat(server.fileno()).st_ino
        assert listeners._holders({inode}, [os.getpid()])[0] == {inode: os.getpid()}
