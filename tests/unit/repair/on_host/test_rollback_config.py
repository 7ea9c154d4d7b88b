"""Configuration goes back to what is known to have worked: what was named, nothing beside it, and never what guards the host."""
from __future__ import annotations

import os
import time

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.host import known_good
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Ran
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies import rollback_config
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Refused, Write

GOOD = "myhostname = mail.x.test\nrelayhost =\nsmtpd_tls_security_level = may\nmynetworks = 127.0.0.0/8\ninet_interfaces = all\n"


@pytest.fixture(name="host")
def _host(tmp_path, monkeypatch):
    """A host with one main.cf, of which GOOD is known; ``host(now, errors=…, complaint=…, **options)`` tells the steps."""
    path = tmp_path / "main.cf"
    monkeypatch.setattr(rollback_config, "_mine", lambda software, name: True)
    monkeypatch.setattr(known_good, "config_paths", lambda: [str(path)])

    def told(now, errors=(), complaints=(), good=GOOD, running=True, **options):
        path.write_text(now)
        answers = iter(list(complaints) + [""] * 3)
        monkeypatch.setattr(rollback_config, "_known", lambda wanted: {str(path): rollback_config.Good(good.encode(), "the snapshot")} if good else {})
        monkeypatch.setattr(rollback_config, "_complaint", lambda *_words: next(answers))
        monkeypatch.setattr(rollback_config.postfix, "collect", lambda context: {"maps": [], "errors": list(errors)})
        monkeypatch.setattr(rollback_config.services, "collect", lambda context: {"units": [{"name": "postfix", "unit": "postfix@-.service", "running": running}]})
        wanted = {"software": "postfix", "settings": [], "files": [], "only_missing": False, "source": "auto", "most_days": 30, **options}
        found = list(rollback_config.steps(None, wanted))
        written = [step.content.decode() for step in found if isinstance(step, Write)]
        return written[0] if written else None, [step.does() for step in found if not isinstance(step, Write)]
    return told


def test_what_was_named_goes_back_and_the_rest_stays(host):
    now = GOOD.replace("relayhost =", "relayhost = [192.0.2.1]").replace("mail.x.test", "mx.x.test")
    text, commands = host(now, settings=["relayhost"])
    assert text == GOOD.replace("mail.x.test", "mx.x.test") and commands == ["postfix reload"]


def test_without_a_name_only_what_the_software_complains_of_goes_back(host):
    now = GOOD.replace("mail.x.test", "mx.x.test") + "message_size_limit = abc\n"
    text, _commands = host(now, errors=[{"line": None, "text": "bad numerical configuration: message_size_limit = abc"}])
    assert text == GOOD.replace("mail.x.test", "mx.x.test")


def test_nothing_named_and_nothing_wrong_changes_nothing(host):
    assert host(GOOD.replace("mail.x.test", "mx.x.test")) == (None, [])
    assert host(GOOD, settings=["*"]) == (None, [])


@pytest.mark.parametrize("before, now", [
    ("smtpd_tls_security_level = may", "smtpd_tls_security_level = encrypt"), ("mynetworks = 127.0.0.0/8", "mynetworks = 127.0.0.1/32"),
])
def test_what_was_made_stricter_is_not_loosened_with_the_rest(host, before, now):
    changed = GOOD.replace(before, now).replace("relayhost =", "relayhost = [192.0.2.1]")
    text, _commands = host(changed, settings=["*"])
    assert now in text and "relayhost =\n" in text
    named = before.split()[0]
    assert before in host(changed, settings=[named])[0]


def test_a_filter_or_a_login_rule_that_was_added_is_not_taken_out_with_the_rest(host):
    added = "".join(f"{name} = x\n" for name in ("smtpd_milters", "content_filter", "header_checks", "smtpd_sasl_auth_enable", "smtpd_client_restrictions"))
    text, _commands = host(GOOD.replace("mail.x.test", "mx.x.test") + added, settings=["*"])
    assert text == GOOD + added


def test_what_would_be_invalid_is_refused_and_not_written(host):
    now = GOOD.replace("relayhost =", "relayhost = [192.0.2.1]")
    with pytest.raises(Refused, match="invalid"):
        host(now, complaints=["fatal: x", "fatal: x"], settings=["relayhost"])


def test_what_was_changed_with_it_goes_back_when_the_one_alone_is_invalid(host):
    now = GOOD.replace("relayhost =", "relayhost = [192.0.2.1]").replace("mail.x.test", "mx.x.test")
    assert host(now, complaints=["fatal: x"], settings=["relayhost"])[0] == GOOD


def test_an_address_to_listen_on_needs_a_restart_and_a_dead_service_a_start(host):
    now = GOOD.replace("inet_interfaces = all", "inet_interfaces = loopback-only")
    assert host(now, settings=["inet_interfaces"])[1] == ["systemctl restart postfix@-.service"]
    assert host(now, settings=["inet_interfaces"], running=False)[1][-1] == "systemctl start postfix@-.service"


@pytest.mark.parametrize("rc, complaint", [(0, ""), (1, "Exim configuration error in line 22 of {made}.tmp:"), (None, "update-exim4.conf returned None")])
def test_exim_reads_the_copy_before_anything_is_put_in_place(tmp_path, monkeypatch, rc, complaint):
    tree = tmp_path / "exim4"
    tree.mkdir()
    (tree / "update-exim4.conf.conf").write_text("dc_relay_nets='0.0.0.0/0'\n")
    monkeypatch.setitem(rollback_config._TREES, "exim", str(tree))
    seen = []

    class Host:
        @staticmethod
        def run(*argv, timeout):
            seen.append(argv)
            with open(os.path.join(argv[2], "update-exim4.conf.conf"), encoding="utf-8") as stream:
                assert stream.read() == "dc_relay_nets=''\n"
            return Ran(argv, rc, "", complaint.format(made=argv[4]) if rc else "", missing=rc is None)
    monkeypatch.setitem(rollback_config._CHECKS, "exim", rollback_config._CHECKS["exim"][:1])
    found = rollback_config._complaint(Host, "exim", {str(tree / "update-exim4.conf.conf"): b"dc_relay_nets=''\n"})
    assert bool(found) == bool(complaint) and found.startswith(complaint.partition(" of ")[0]) and seen[0][0] == "update-exim4.conf"
    assert (tree / "update-exim4.conf.conf").read_text() == "dc_relay_nets='0.0.0.0/0'\n" and not os.path.exists(os.path.dirname(seen[0][4]))


def test_for_whom_exim_relays_is_not_taken_back_with_the_rest():
    choice = rollback_config._choice({"settings": ["*"]}, "", "/etc/exim4/update-exim4.conf.conf", [])
    relays, smarthost = rollback_config.config_text.statements("dc_relay_nets='192.0.2.0/24'\ndc_smarthost='x'\n", "lines")
    assert not choice(relays) and choice(smarthost)


def test_nothing_to_go_back_to_is_for_a_person(host):
    with pytest.raises(Refused, match="nothing to go back to"):
        host(GOOD, good=None, settings=["relayhost"])


def test_an_old_snapshot_is_refused(tmp_path, monkeypatch):
    taken = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - 40 * 86400))
    (tmp_path / taken / "files").mkdir(parents=True)
    os.symlink(taken, tmp_path / "current")
    monkeypatch.setattr(known_good, "STORE", str(tmp_path))
    with pytest.raises(Refused, match="40 days old"):
        rollback_config._known({"software": "postfix", "source": "auto", "most_days": 30})


def test_a_snapshot_of_today_is_taken_with_owner_and_mode(tmp_path, monkeypatch):
    taken = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = tmp_path / taken / "files/etc/postfix"
    folder.mkdir(parents=True)
    (folder / "main.cf").write_text(GOOD)
    (folder / "main.cf").chmod(0o640)
    (folder / "transport.db").write_text("compiled")
    os.symlink(taken, tmp_path / "current")
    monkeypatch.setattr(known_good, "STORE", str(tmp_path))
    found = rollback_config._known({"software": "postfix", "source": "auto", "most_days": 30})
    assert list(found) == ["/etc/postfix/main.cf"] and found["/etc/postfix/main.cf"].mode == 0o640
