from __future__ import annotations

import contextlib
import io
import json
import socket

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mailops.outage.plugins.doc_fragments.attributes import ModuleDocFragment
from ansible_collections.mailops.outage.plugins.modules import mail_roundtrip


def run(**arguments):
    """Run the module as Ansible would, and return what it printed."""
    said = io.StringIO()
    with patch_module_args(arguments), contextlib.redirect_stdout(said), pytest.raises(SystemExit):
        mail_roundtrip.main()
    return json.loads(said.getvalue())


@pytest.fixture(name="pair")
def _pair():
    """A pair whose servers are both down."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return {"sender": "alice@example.test", "recipient": "bob@example.test", "through": {"name": "localhost", "port": port, "protocol": "smtp"},
            "mailbox": {"name": "localhost", "port": port, "protocol": "imap", "login": {"username": "bob", "password": "correct horse"}}}


def test_servers_that_are_down_are_a_successful_result_without_change(pair):
    result = run(pairs=[pair], vantage="here")
    assert (result["changed"], result["failed"]) == (False, False)
    [leg] = result["legs"]
    assert (leg["ok"], leg["side"], leg["step"], leg["outcome"], leg["sent"], leg["vantage"]) == (False, "mailbox", "connect", "refused", False, "here")
    assert "horse" not in json.dumps(result["legs"])


def test_a_sent_message_is_a_change(pair, monkeypatch):
    monkeypatch.setattr(mail_roundtrip, "run", lambda pairs, options: [{"sent": True, "swept": []}])
    assert run(pairs=[pair])["changed"]


def test_a_deleted_leftover_is_a_change(pair, monkeypatch):
    monkeypatch.setattr(mail_roundtrip, "run", lambda pairs, options: [{"sent": False, "swept": [{}]}])
    assert run(pairs=[pair])["changed"]


def test_check_mode_says_what_it_would_send_and_connects_to_nothing(pair, monkeypatch):
    def fail(*_arguments, **_more):
        raise AssertionError("connected")
    monkeypatch.setattr(socket, "create_connection", fail)
    result = run(pairs=[pair], _ansible_check_mode=True)
    assert (result["changed"], result["legs"]) == (True, [])
    [planned] = result["would_send"]
    assert (planned["sender"], planned["recipient"]) == ("alice@example.test", "bob@example.test")
    assert set(planned) == set(yaml.safe_load(mail_roundtrip.RETURN)["would_send"]["contains"])


@pytest.mark.parametrize("change, word", [
    (lambda given: given["pairs"][0]["mailbox"].pop("login"), "login"),
    (lambda given: given["pairs"][0]["mailbox"]["login"].update(password=""), "password of the login is missing"),
    (lambda given: given["pairs"].append(given["pairs"][0]), "twice"),
    (lambda given: given.update(pairs=[]), "no pairs"),
    (lambda given: given.update(ca_file="/nonexistent/ca.pem"), "ca_file"),
    (lambda given: given.update(leftover_age=1), "leftover_age"),
    (lambda given: given.update(messages_per_minute=-1), "per_minute"),
    (lambda given: given.update(hop={"host": "h", "known_hosts_file": "/nonexistent"}), "known_hosts_file"),
])
@pytest.mark.parametrize("check_mode", [False, True])
def test_a_bad_parameter_is_one_clear_error(pair, change, word, check_mode):
    given = {"pairs": [pair]}
    change(given)
    result = run(_ansible_check_mode=check_mode, **given)
    assert result["failed"] and word in result["msg"]


def test_the_documentation_names_every_option(monkeypatch):
    documented = {**yaml.safe_load(ModuleDocFragment.CLIENT)["options"], **yaml.safe_load(mail_roundtrip.DOCUMENTATION)["options"]}
    asked = {}

    class Stop(Exception):
        pass

    def record(**kwargs):
        asked.update(kwargs["argument_spec"])
        raise Stop
    monkeypatch.setattr(mail_roundtrip, "AnsibleModule", record)
    with pytest.raises(Stop):
        mail_roundtrip.main()
    assert _shape(documented, "suboptions") == _shape(asked, "options")


def _shape(options, below):
    return {name: (option.get("type", "str"), option.get("default"), option.get("choices"), bool(option.get("required")),
                   _shape(option.get(below) or {}, below)) for name, option in options.items()}


def test_the_documented_result_is_the_result(pair):
    documented = yaml.safe_load(mail_roundtrip.RETURN)["legs"]["contains"]
    [leg] = run(pairs=[pair])["legs"]
    assert set(leg) == set(documented)


def test_the_examples_are_valid(monkeypatch):
    monkeypatch.setattr(mail_roundtrip, "run", lambda pairs, options: [])
    for task in yaml.safe_load(mail_roundtrip.EXAMPLES):
        arguments = task.get("mailops.outage.mail_roundtrip")
        if arguments:
            assert not run(**arguments)["failed"]
