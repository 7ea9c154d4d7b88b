from __future__ import annotations

import contextlib
import io
import json

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mailops.outage.plugins.module_utils.dns import asker
from ansible_collections.mailops.outage.plugins.modules import mail_dns_info


def run(**arguments):
    """Run the module as Ansible would, and return what it printed."""
    said = io.StringIO()
    with patch_module_args(arguments), contextlib.redirect_stdout(said), pytest.raises(SystemExit):
        mail_dns_info.main()
    return json.loads(said.getvalue())


@pytest.fixture(name="asked")
def _asked(monkeypatch):
    """What was asked of the look, which answers as for an estate in order."""
    questions = []

    def look(question):
        questions.append(question)
        return {"domains": {}, "problems": [], "not_visible": []}

    monkeypatch.setattr(mail_dns_info.looking, "look", look)
    return questions


def test_the_options_are_the_question(asked):
    hosts = [{"name": "mail.example.test", "addresses": ["192.0.2.25"]}]
    result = run(domains=["example.test"], hosts=hosts, client_names="imap.example.test,smtp.example.test")
    assert (result["changed"], result["failed"], result["problems"]) == (False, False, [])
    assert asked[0]["hosts"] == [{"name": "mail.example.test", "addresses": ["192.0.2.25"]}]
    assert asked[0]["client_names"] == ["imap.example.test", "smtp.example.test"]


def test_block_lists_and_the_policy_are_off_unless_asked(asked):
    run(domains=["example.test"])
    assert asked[0]["blocklists"] == [] and asked[0]["fetch_mta_sts"] is False


def test_check_mode_looks_as_well(asked):
    assert not run(domains=["example.test"], _ansible_check_mode=True)["failed"]
    assert len(asked) == 1


def test_a_resolver_that_is_no_address_is_refused():
    result = run(domains=["example.test"], resolvers=["resolver.example.test"])
    assert result["failed"] and "resolver.example.test" in result["msg"]


def test_a_dead_resolver_is_a_successful_result():
    result = run(domains=["example.test"], resolvers=["127.0.0.1#9"], timeout=0.1)
    assert not result["failed"] and result["problems"][0]["id"] == "resolver_broken"


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(asker, "DNSPYTHON_MISSING", ImportError("No module named 'dns'"))
    result = run(domains=["example.test"])
    assert result["failed"] and "dnspython" in result["msg"]


def test_the_documentation_tells_every_option_and_every_key_of_the_result():
    documented = yaml.safe_load(mail_dns_info.DOCUMENTATION)["options"]
    for name in ("domains", "resolvers", "hosts", "sending_addresses", "served", "dkim_keys", "client_names", "blocklists", "fetch_mta_sts", "ca_file"):
        assert name in documented
    returned = yaml.safe_load(mail_dns_info.RETURN)
    assert set(run(resolvers=["127.0.0.1#9"], timeout=0.1)) - {"changed", "failed", "invocation"} == set(returned)
    assert yaml.safe_load(mail_dns_info.EXAMPLES)
