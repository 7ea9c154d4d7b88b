from __future__ import annotations

import contextlib
import io
import json
import socket
import threading

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mailops.outage.plugins.doc_fragments.attributes import ModuleDocFragment
from ansible_collections.mailops.outage.plugins.modules import mail_endpoint_info


def run(**arguments):
    """Run the module as Ansible would, and return what it printed."""
    said = io.StringIO()
    with patch_module_args(arguments), contextlib.redirect_stdout(said), pytest.raises(SystemExit):
        mail_endpoint_info.main()
    return json.loads(said.getvalue())


@pytest.fixture(name="port")
def _port():
    """A port where a minimal SMTP server answers."""
    def serve(listener):
        with contextlib.suppress(OSError):
            while True:
                sock, _address = listener.accept()
                with sock, sock.makefile("rb") as lines:
                    sock.sendall(b"220 mail.example.test ESMTP {{ 1 + 1 }}\r\n")
                    for line in lines:
                        sock.sendall(b"250-mail.example.test\r\n250 AUTH PLAIN\r\n" if line[:4] == b"EHLO" else b"535 5.7.8 " + line[:-2] + b"\r\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_a_healthy_server_is_seen(port):
    result = run(endpoints=[{"name": "localhost", "port": port, "protocol": "smtp"}], vantage="here")
    assert (result["changed"], result["failed"]) == (False, False)
    [seen] = result["endpoints"]
    assert (seen["ok"], seen["vantage"], seen["banner"]) == (True, "here", "220 mail.example.test ESMTP {{ 1 + 1 }}")


def test_check_mode_looks_as_well(port):
    assert run(endpoints=[{"name": "localhost", "port": port, "protocol": "smtp"}], _ansible_check_mode=True)["endpoints"][0]["ok"]


def test_a_server_that_is_down_is_a_successful_result():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = run(endpoints=[{"name": "localhost", "port": port, "protocol": "imap"}])
    assert not result["failed"]
    assert (result["endpoints"][0]["step"], result["endpoints"][0]["outcome"]) == ("connect", "refused")


def test_the_password_is_in_no_result(port):
    login = {"username": "alice@example.test", "password": "correct horse"}
    result = run(endpoints=[{"name": "localhost", "port": port, "protocol": "submission", "login": login}])
    assert result["endpoints"][0]["outcome"] == "login_failed"
    assert "horse" not in json.dumps(result["endpoints"])


@pytest.mark.parametrize("arguments, word", [
    ({"endpoints": [{"name": "mail.example.test"}]}, "protocol"),
    ({"endpoints": [{"name": "mail.example.test", "port": 8080}]}, "protocol"),
    ({"endpoints": [{"name": "mail example", "port": 25}]}, "name"),
    ({"endpoints": [{"name": "mail.example.test", "port": 25}], "ca_file": "/nonexistent/ca.pem"}, "ca_file"),
    ({"endpoints": [{"name": "mail.example.test", "port": 25}], "hop": {"host": "h", "known_hosts_file": "/nonexistent"}}, "known_hosts_file"),
])
def test_a_bad_parameter_is_one_clear_error(arguments, word):
    result = run(**arguments)
    assert result["failed"] and word in result["msg"]


def test_the_documentation_names_every_option(monkeypatch):
    documented = {**yaml.safe_load(ModuleDocFragment.CLIENT)["options"], **yaml.safe_load(mail_endpoint_info.DOCUMENTATION)["options"]}
    asked = {}

    class Stop(Exception):
        pass

    def record(**kwargs):
        asked.update(kwargs["argument_spec"])
        raise Stop
    monkeypatch.setattr(mail_endpoint_info, "AnsibleModule", record)
    with pytest.raises(Stop):
        mail_endpoint_info.main()
    assert _shape(documented, "suboptions") == _shape(asked, "options")


def _shape(options, below):
    return {name: (option.get("type", "str"), option.get("default"), option.get("choices"), bool(option.get("required")),
                   _shape(option.get(below) or {}, below)) for name, option in options.items()}


def test_the_documented_result_is_the_result(port):
    documented = yaml.safe_load(mail_endpoint_info.RETURN)["endpoints"]["contains"]
    [seen] = run(endpoints=[{"name": "localhost", "port": port, "protocol": "smtp"}])["endpoints"]
    assert set(seen) == set(documented)
