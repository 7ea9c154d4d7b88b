"""Only what does not work is started or restarted, in the least harmful way that helps, and only with a valid configuration."""
from __future__ import annotations

import re

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.host import services
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context, Ran
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import harmless, steps
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies import restart_service
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies.restart_service import Unit

POSTFIX = next(service for service in services.KNOWN if service.name == "postfix")
DOVECOT = next(service for service in services.KNOWN if service.name == "dovecot")
OPENDKIM = next(service for service in services.KNOWN if service.name == "opendkim")
WELL = Unit("postfix@-.service", True, True, can_reload=True)
DEAD = Unit("postfix@-.service", False, False)


def entry(name, role, unit, expected=True):
    return {"name": name, "role": role, "unit": unit, "expected": expected}


@pytest.fixture(name="host")
def _host(monkeypatch):
    """A host of which the test tells the units and what is wrong; the steps are not really taken."""
    class Host:
        looks: dict = {}
        error = ""
        held_up: list = []
        stuck = ""
        facts = {"units": [entry("postfix", "mta", "postfix@-.service"), entry("dovecot", "imap", "dovecot.service"),
                           entry("exim", "mta", "exim4.service", False), entry("nginx", "web", "nginx.service")], "failed_units": []}
        shown = "Requires=srv-vmail.mount\nAfter=stunnel.service nftables.service basic.target\n"

    host = Host()

    def look(context, service):
        told = host.looks[service.name]
        return told.pop(0) if len(told) > 1 else told[0]
    monkeypatch.setattr(restart_service, "_look", look)
    monkeypatch.setattr(restart_service, "_first_error", lambda context, name: host.error)
    monkeypatch.setattr(restart_service, "_held_up", lambda context: host.held_up)
    monkeypatch.setattr(restart_service, "_waiting_for_disk", lambda service: host.stuck)
    monkeypatch.setattr(restart_service, "_runs", lambda context, service: lambda: "")
    monkeypatch.setattr(restart_service, "_ANSWERS_WITHIN", 0)
    monkeypatch.setattr(restart_service, "_UP_WITHIN", 0)
    monkeypatch.setattr(restart_service.os.path, "isdir", lambda path: True)
    monkeypatch.setattr(restart_service._processes, "processes", lambda context: {})
    monkeypatch.setattr(restart_service.services, "collect", lambda context: host.facts)
    monkeypatch.setattr(Context, "run", lambda self, *argv, **more: Ran(argv, 0, host.shown, seconds=0.1))
    monkeypatch.setattr(restart_service, "run_command", lambda argv, timeout: Ran(argv, 0, "fatal: bind 0.0.0.0 port 25\npassword = hunter2\n"))
    return host


def took(options, answers=None, dry=False):
    """The commands of the remedy; ``answers`` are what they end with, by a word in them."""
    lines = []
    remedy = restart_service.steps(Context(options={}), dict({"units": [], "roles": [], "action": "auto"}, **options))
    try:
        step = next(remedy)
        while True:
            step.check()
            lines.append(step.does())
            ran = Ran(step.argv, 0) if dry else Ran(step.argv, 0, seconds=0.1)
            for word, answer in (answers or {}).items():
                if word in step.does():
                    ran = Ran(step.argv, answer, timed_out=answer is None, seconds=0.1)
            step = remedy.send(ran)
    except StopIteration:
        return lines


def test_neither_units_nor_roles_is_an_error(host):
    with pytest.raises(steps.Refused, match="units or roles"):
        took({})


@pytest.mark.parametrize("unit, word", [
    ("ssh", "neither"), ("sshd.service", "neither"), ("nginx", "web"), ("nftables", "firewall"), ("fail2ban", "ban"), ("cron", "neither"),
    ("srv-vmail.mount", "neither"), ("nosuch", "neither"), ("opendkim", "not on this host"), ("x.service\nssh", "neither"),
])
def test_a_unit_that_is_not_mails_is_refused(host, unit, word):
    with pytest.raises(steps.Refused, match=word):
        took({"units": [unit]})


def test_a_role_that_the_host_has_not_or_does_not_need_is_refused(host):
    with pytest.raises(steps.Refused, match="no service of the role"):
        took({"roles": ["milter"]})
    host.facts = {"units": [entry("exim", "mta", "exim4.service", False)], "failed_units": []}
    with pytest.raises(steps.Refused, match="name the unit"):
        took({"roles": ["mta"]})


def test_what_runs_and_answers_is_left_alone(host):
    host.looks = {"postfix": [WELL], "dovecot": [WELL]}
    assert took({"roles": ["mta", "imap"]}) == []
    assert took({"roles": ["mta", "imap"], "action": "start"}) == []


def test_a_wrapper_or_a_bare_name_stands_for_the_real_unit(host):
    host.looks = {"postfix": [DEAD]}
    for name in ("postfix", "postfix.service", "postfix@-", "postfix@-.service"):
        assert took({"units": [name]}) == ["systemctl start postfix@-.service"]


def test_what_others_wait_for_is_started_first(host):
    host.looks = {"postfix": [DEAD], "dovecot": [Unit("dovecot.service", False, False)]}
    assert took({"roles": ["mta", "imap"]}) == ["systemctl start dovecot.service", "systemctl start postfix@-.service"]


def test_a_unit_that_is_switched_off_and_failed_is_prepared_in_order(host):
    host.looks = {"postfix": [Unit("postfix@-.service", False, False, failed=True, outdated=True,
                                   switched_off=(("postfix@-.service", "masked"), ("postfix.service", "disabled")))]}
    expected = ["systemctl unmask postfix@-.service", "systemctl enable postfix.service", "systemctl daemon-reload",
                "systemctl reset-failed postfix@-.service", "systemctl start postfix@-.service"]
    assert took({"roles": ["mta"]}) == took({"roles": ["mta"]}, dry=True) == expected


def test_each_undo_is_the_command_that_takes_it_back():
    unit = Unit("x.service", False, False, switched_off=(("x.service", "masked-runtime"), ("y.service", "masked"), ("y.service", "disabled")))
    assert [(step.does(), step.undo) for step in restart_service.preparation(unit)] == [
        ("systemctl unmask --runtime x.service", "systemctl mask --runtime x.service"), ("systemctl unmask y.service", "systemctl mask y.service"),
        ("systemctl enable y.service", "systemctl disable y.service")]


def test_a_dead_daemon_whose_unit_stays_active_is_restarted(host):
    # An init script's unit: starting it would do nothing.
    host.looks = {"postfix": [Unit("exim4.service", False, True)]}
    assert took({"roles": ["mta"]}) == ["systemctl restart exim4.service"]


@pytest.mark.parametrize("action, look", [("auto", DEAD), ("start", DEAD), ("restart", DEAD), ("restart", WELL), ("reload", WELL)])
def test_nothing_is_done_with_an_invalid_configuration(host, action, look):
    host.looks, host.error = {"dovecot": [look]}, "local.conf, line 28: Garbage"
    with pytest.raises(steps.Refused, match="Garbage.*rollback_config"):
        took({"roles": ["imap"], "action": action})


def test_a_configuration_that_only_rights_make_invalid_is_not_for_a_rollback(host):
    host.looks, host.error = {"dovecot": [DEAD]}, "x.private can be read or written by other users"
    with pytest.raises(steps.Refused, match="repair_permissions"):
        took({"roles": ["imap"]})


STOPPED = Unit("dovecot.service", True, True, can_reload=True, ill="7 stopped", stopped=True)
SILENT = Unit("dovecot.service", True, True, can_reload=True, ill="answers nobody")
CONT = "systemctl kill --kill-whom=all --signal=CONT dovecot.service"


def test_stopped_processes_are_let_go_on_and_that_may_be_all(host):
    host.looks = {"dovecot": [STOPPED, WELL]}
    assert took({"roles": ["imap"]}) == [CONT]
    host.looks = {"dovecot": [STOPPED]}
    assert took({"roles": ["imap"]}, dry=True) == [CONT]


def test_what_still_does_not_answer_is_restarted_after_the_gentler_way(host):
    host.looks = {"dovecot": [STOPPED, SILENT, WELL]}
    assert took({"roles": ["imap"]}) == [CONT, "systemctl restart dovecot.service"]
    host.looks = {"dovecot": [SILENT, SILENT, WELL]}
    assert took({"roles": ["imap"]}) == ["systemctl reload dovecot.service", "systemctl restart dovecot.service"]


def test_what_does_not_end_is_killed_by_its_own_manager_and_started(host):
    host.looks = {"dovecot": [Unit("dovecot.service", True, True, ill="answers nobody"), WELL]}
    assert took({"roles": ["imap"]}, {"restart": None}) == [
        "systemctl restart dovecot.service", "systemctl kill --kill-whom=all --signal=KILL dovecot.service", "systemctl start dovecot.service"]


def test_what_is_ill_after_its_restart_is_a_failure_with_the_last_words_but_no_secret(host):
    host.looks = {"dovecot": [Unit("dovecot.service", True, True, ill="answers nobody")]}
    with pytest.raises(steps.StepFailed, match="answers nobody.*bind 0.0.0.0") as failure:
        took({"roles": ["imap"]})
    assert "hunter2" not in str(failure.value)
    host.looks = {"dovecot": [DEAD]}
    with pytest.raises(steps.StepFailed, match="could not do it"):
        took({"roles": ["imap"]}, {"start": 1})


def test_a_service_that_waits_for_a_disk_is_not_restarted(host):
    host.looks, host.stuck = {"dovecot": [STOPPED]}, "imap (12) waits for a disk"
    with pytest.raises(steps.Refused, match="disk"):
        took({"roles": ["imap"]})


def test_an_mta_that_waits_for_another_is_not_restarted_and_follows_when_that_is_repaired_first(host):
    host.looks, host.held_up = {"postfix": [SILENT], "dovecot": [STOPPED, WELL]}, [("dovecot", "dovecot at private/auth does not answer")]
    with pytest.raises(steps.Refused, match="private/auth"):
        took({"roles": ["mta"]})
    assert took({"roles": ["mta", "imap"]}) == [CONT]


def test_what_was_started_by_hand_is_left_to_people_unless_it_is_well(host):
    host.looks = {"postfix": [Unit("postfix@-.service", True, False)]}
    assert took({"roles": ["mta"]}) == []
    host.looks = {"postfix": [Unit("postfix@-.service", True, False, ill="silent", stopped=True)]}
    with pytest.raises(steps.Refused, match="by hand"):
        took({"roles": ["mta"]})


def test_a_reload_needs_a_service_that_runs_and_can(host):
    host.looks = {"postfix": [DEAD]}
    with pytest.raises(steps.Refused, match="nothing to reload"):
        took({"roles": ["mta"], "action": "reload"})
    host.looks = {"postfix": [Unit("x.service", True, True)]}
    with pytest.raises(steps.Refused, match="cannot reload"):
        took({"roles": ["mta"], "action": "reload"})
    host.looks = {"postfix": [WELL]}
    assert took({"roles": ["mta"], "action": "reload"}) == ["systemctl reload postfix@-.service"]


def test_a_failed_unit_is_started_only_when_a_mail_unit_waits_for_it(host):
    assert took({"units": ["stunnel"]}) == [], "it has not failed"
    failed = ("stunnel.service", "nftables.service", "srv-vmail.mount", "backup.service")
    host.facts = dict(host.facts, failed_units=[{"unit": unit} for unit in failed])
    assert took({"units": ["stunnel"]}) == ["systemctl reset-failed stunnel.service", "systemctl start stunnel.service"]
    for unit in ("nftables.service", "srv-vmail.mount", "backup.service"):
        with pytest.raises(steps.Refused):
            took({"units": [unit]})


def test_without_systemd_or_under_a_cluster_manager_nothing_is_started(host, monkeypatch):
    class Pacemaker:
        name = "pacemakerd"
    monkeypatch.setattr(restart_service._processes, "processes", lambda context: {1: Pacemaker})
    with pytest.raises(steps.Refused, match="Pacemaker"):
        took({"roles": ["mta"]})
    monkeypatch.setattr(restart_service.os.path, "isdir", lambda path: False)
    with pytest.raises(steps.Refused, match="systemd"):
        took({"roles": ["mta"]})


def block(unit, state, load="loaded"):
    return {"Id": unit, "UnitFileState": state, "LoadState": load}


@pytest.mark.parametrize("blocks, wanted, expected", [
    ([block("dovecot.service", "enabled")], True, ()),
    ([block("dovecot.service", "static")], True, ()),
    ([block("dovecot.service", "disabled")], True, (("dovecot.service", "disabled"),)),
    ([block("dovecot.service", "masked", "masked")], True, (("dovecot.service", "masked"),)),
    ([block("dovecot.service", "masked", "masked")], False, (("dovecot.service", "masked"), ("dovecot.service", "disabled"))),
    ([block("opendkim.service", "masked-runtime", "masked")], True, (("opendkim.service", "masked-runtime"),)),
    # Debian 12: the generator enables the instance, the wrapper is what is enabled or not.
    ([block("postfix@-.service", "enabled-runtime"), block("postfix.service", "enabled")], True, ()),
    ([block("postfix@-.service", "enabled-runtime"), block("postfix.service", "disabled")], True, (("postfix.service", "disabled"),)),
    ([block("postfix@-.service", "masked", "masked"), block("postfix.service", "enabled")], False, (("postfix@-.service", "masked"),)),
    ([block("postfix@-.service", "disabled"), block("postfix.service", "enabled")], True, ()),
    # Of two names of one service, one that is enabled suffices.
    ([block("exim4.service", "generated"), block("exim.service", "disabled")], True, ()),
])
def test_what_is_switched_off(blocks, wanted, expected):
    assert restart_service.switched_off(blocks, lambda unit: wanted) == expected


def test_connections_that_nobody_accepts_are_seen():
    text = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0019 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000:008F 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0100007F:01BB 0100007F:D431 01 00000000:00000009 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
"""
    assert restart_service.not_accepted(text) == {25} and restart_service.not_accepted("") == set()


def test_an_mta_of_which_all_servers_are_busy_is_not_hung():
    masters = [{"service": "smtp", "type": "inet", "maxproc": "2"}, {"service": "submission", "type": "inet", "maxproc": "-"},
               {"service": "relay", "type": "unix", "maxproc": "1"}]
    commands = ["smtpd -n smtp -t inet -u -c", "smtpd -n smtp -t inet -u -c -o stress=", "smtpd -n submission -t inet -u", "smtp -n relay -t unix"]
    assert [re.search(r"\w+/inet", text).group() for text in restart_service.at_limit(masters, "100", commands)] == ["smtp/inet"]
    assert restart_service.at_limit(masters, "", commands[1:]) == []


@pytest.mark.parametrize("line", ["systemctl unmask --runtime opendkim.service", "systemctl kill --kill-whom=all --signal=CONT postfix@-.service"])
def test_its_commands_are_allowed(line):
    harmless.check_command(tuple(line.split()))


@pytest.mark.parametrize("line", [
    "systemctl unmask --runtime sshd.service", "systemctl start ssh@1.service", "systemctl restart fail2ban.service",
    "systemctl kill --kill-whom=all --signal=STOP dovecot.service",
    "systemctl kill --kill-whom=all --signal=KILL ssh.service", "systemctl enable --force dovecot.service", "systemctl start netfilter-persistent.service",
    "systemctl unmask --runtime", "systemctl --root=/x unmask dovecot.service",
])
def test_near_misses_are_refused(line):
    with pytest.raises(harmless.Harmful):
        harmless.check_command(tuple(line.split()))
