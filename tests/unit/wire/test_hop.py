from __future__ import annotations

import contextlib
import socket
import threading
import time

import dialogues
import pytest
from ansible_collections.mailops.outage.plugins.module_utils.wire import hop as hop_module
from ansible_collections.mailops.outage.plugins.module_utils.wire.probe import probe, probe_all
from scripted_server import ScriptedServer

paramiko = pytest.importorskip("paramiko")

FAST = {"connect": 1.0, "step": 1.0, "total": 5.0, "helo": "probe.example.test"}


class Vantage(paramiko.ServerInterface):
    """An SSH server on loopback that forwards TCP connections, for one user with one key.

    Port 1 is prohibited, port 2 fails to connect, port 3 never answers; any other port is forwarded on loopback.
    """

    def __init__(self, host_key, user_key):
        self._host_key = host_key
        self._user_key = user_key
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.logins = 0
        self._transports = []
        self._sockets = {}

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_error):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for transport in self._transports:
            transport.close()

    def _accept(self):
        while True:
            try:
                sock, _address = self._listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(sock)
            transport.add_server_key(self._host_key)
            self._transports.append(transport)
            with contextlib.suppress(paramiko.SSHException, EOFError):
                transport.start_server(server=self, event=threading.Event())
            threading.Thread(target=self._forward, args=(transport,), daemon=True).start()

    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_publickey(self, username, key):
        good = username == "probe" and key == self._user_key
        self.logins += good
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_channel_direct_tcpip_request(self, chanid, origin, destination):
        if destination[1] == 1:
            return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        if destination[1] == 2:
            return paramiko.OPEN_FAILED_CONNECT_FAILED
        if destination[1] == 3:
            time.sleep(0.3)
            return paramiko.OPEN_FAILED_CONNECT_FAILED
        self._sockets[chanid] = socket.create_connection(("127.0.0.1", destination[1]))
        return paramiko.OPEN_SUCCEEDED

    def _forward(self, transport):
        while True:
            channel = transport.accept(0.1)
            if channel is None:
                if not transport.is_active():
                    return
                continue
            sock = self._sockets.pop(channel.get_id())
            threading.Thread(target=_pump, args=(channel, sock), daemon=True).start()
            threading.Thread(target=_pump, args=(sock, channel), daemon=True).start()


def _pump(source, sink):
    with contextlib.suppress(OSError):
        while True:
            data = source.recv(65536)
            if not data:
                break
            sink.sendall(data)
    with contextlib.suppress(OSError, EOFError):
        sink.close()


@pytest.fixture(scope="module", name="keys")
def _keys():
    return [paramiko.ECDSAKey.generate() for _key in range(3)]


@pytest.fixture(name="vantage")
def _vantage(keys, tmp_path):
    """(server, parameters of a hop to it)."""
    keys[1].write_private_key_file(str(tmp_path / "key"))
    with Vantage(keys[0], keys[1]) as server:
        _know(tmp_path, server, keys[0])
        yield server, {"host": "127.0.0.1", "port": server.port, "user": "probe", "private_key_file": str(tmp_path / "key"),
                       "known_hosts_file": str(tmp_path / "known_hosts"), "seconds": 3.0}


def _know(tmp_path, server, key):
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {key.get_name()} {key.get_base64()}\n")


def target(port, **more):
    return dict({"name": "localhost", "port": port, "protocol": "smtp"}, **more)


def test_a_server_is_seen_through_the_hop(vantage, authority, good):
    _server, hop = vantage
    with ScriptedServer(dialogues.imap(), good, implicit_tls=True) as server:
        seen = probe(target(server.port, protocol="imaps", login={"username": dialogues.USER, "password": dialogues.PASSWORD}),
                     dict(FAST, hop=hop, ca_file=authority.ca_file))
    assert seen["ok"], seen
    assert [step["step"] for step in seen["steps"]][:4] == ["vantage", "connect", "tls", "certificate"]
    assert seen["vantage"] == "127.0.0.1"
    assert seen["tls"]["verified"] and seen["mailbox"] == {"exists": 3}
    # The vantage point resolves the name: the address that it took is not known.
    assert seen["address"] is None


def test_all_probes_share_one_login(vantage, authority, good):
    ssh, hop = vantage
    with ScriptedServer(dialogues.smtp(), good) as server:
        seen = probe_all([target(server.port)] * 20, dict(FAST, hop=hop, ca_file=authority.ca_file))
    assert all(one["ok"] for one in seen)
    assert ssh.logins == 1


@pytest.mark.parametrize("port, step, outcome", [(1, "vantage", "reject"), (2, "connect", "unreachable")])
def test_a_channel_that_is_refused_says_by_whom(vantage, port, step, outcome):
    seen = probe(target(port), dict(FAST, hop=vantage[1]))
    assert (seen["ok"], seen["step"], seen["outcome"]) == (False, step, outcome)


def test_a_target_that_does_not_answer_is_a_timeout_of_the_target(vantage):
    seen = probe(target(3), dict(FAST, connect=0.1, hop=vantage[1]))
    assert (seen["step"], seen["outcome"]) == ("connect", "timeout")


def test_each_probe_gets_its_own_refusal(vantage, good):
    with ScriptedServer(dialogues.smtp(), good) as server:
        ports = [1, 2, server.port] * 7
        seen = probe_all([target(port) for port in ports], dict(FAST, hop=vantage[1]))
    assert [one["outcome"] for one in seen] == ["reject", "unreachable", "ok"] * 7


def test_an_unknown_host_key_is_never_accepted(vantage, tmp_path):
    (tmp_path / "known_hosts").write_text("")
    seen = probe(target(25), dict(FAST, hop=vantage[1]))
    assert (seen["step"], seen["outcome"]) == ("vantage", "untrusted")
    assert (tmp_path / "known_hosts").read_text() == ""


def test_a_changed_host_key_is_never_accepted(vantage, keys, tmp_path):
    _know(tmp_path, vantage[0], keys[2])
    seen = probe(target(25), dict(FAST, hop=vantage[1]))
    assert (seen["step"], seen["outcome"]) == ("vantage", "untrusted")
    assert vantage[0].logins == 0


def test_a_refused_login_is_the_vantage_points(vantage, keys, tmp_path):
    keys[2].write_private_key_file(str(tmp_path / "other"))
    seen = probe_all([target(25)] * 3, dict(FAST, hop=dict(vantage[1], private_key_file=str(tmp_path / "other"))))
    assert [(one["step"], one["outcome"]) for one in seen] == [("vantage", "login_failed")] * 3, seen[0]["answer"]


def test_a_key_file_that_is_none_is_no_login(vantage, tmp_path):
    (tmp_path / "noise").write_text("no key")
    seen = probe(target(25), dict(FAST, hop=dict(vantage[1], private_key_file=str(tmp_path / "noise"))))
    assert seen["step"] == "vantage" and not seen["ok"]


def test_a_vantage_point_that_is_down_is_not_the_targets_fault(vantage):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    seen = probe(target(25), dict(FAST, hop=dict(vantage[1], port=port)))
    assert (seen["step"], seen["outcome"]) == ("vantage", "refused")


def test_a_vantage_point_that_is_no_ssh_server(vantage):
    with ScriptedServer(lambda peer: peer.send(b"220 mail.example.test ESMTP\r\n")) as server:
        seen = probe(target(25), dict(FAST, hop=dict(vantage[1], port=server.port, seconds=0.5)))
    assert seen["step"] == "vantage" and not seen["ok"]


@pytest.mark.parametrize("reason, words, read", [
    (1, "open failed", ("vantage", "reject")),
    (2, "Connection refused", ("connect", "refused")),
    (2, "Connection timed out", ("connect", "timeout")),
    (2, "No route to host", ("connect", "unreachable")),
    (2, "Network is unreachable", ("connect", "unreachable")),
    (2, "Name or service not known", ("name", "no_name")),
    (2, "No address associated with hostname", ("name", "no_name")),
    (2, "Temporary failure in name resolution", ("name", "tempfail")),
    (2, "", ("connect", "unreachable")),
    (3, "open failed", ("vantage", "protocol_error")),
    (4, "", ("vantage", "protocol_error")),
])
def test_the_words_of_sshd_are_understood(reason, words, read):
    assert hop_module.read_refusal(reason, words) == read
