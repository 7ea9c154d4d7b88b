from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host import _processes, services
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context, Ran

FIXTURES = Path(__file__).parent / "fixtures"
BY_NAME = {service.name: service for service in services.KNOWN}
CLOCK = (1795470000.0, 5000.0)


def process(pid, name, parent=1, state="S", command=None, software=""):
    return _processes.Process(pid, parent, name, state, 1, pid * 100, command or f"/usr/sbin/{name}", software)


POSTFIX = [process(200, "master", command="/usr/lib/postfix/sbin/master -w", software="postfix"), process(201, "qmgr", 200, software="postfix"),
           process(202, "pickup", 200, software="postfix")]
DOVECOT = [process(37, "dovecot", software="dovecot"), process(38, "anvil", 37, command="dovecot/anvil", software="dovecot")]


def blocks_of(name):
    blocks = {}
    for block in services.parse_show((FIXTURES / f"systemctl-show-{name}.txt").read_text()):
        for alias in [block["Id"], *block["Names"].split()]:
            blocks.setdefault(alias, block)
    return blocks


def entry(name, blocks, by_unit, needed=False):
    return services._entry(BY_NAME[name], blocks, by_unit, CLOCK, needed)


def test_a_healthy_postfix_is_its_instance_and_enabled_by_the_wrapper():
    found = entry("postfix", blocks_of("healthy"), {"postfix@-.service": POSTFIX})
    assert (found["unit"], found["running"], found["expected"], found["enabled"], found["active"], found["sub"]) == (
        "postfix@-.service", True, True, "enabled", "active", "running")
    assert (found["main_pid"], found["processes"], found["stopped_processes"]) == (200, 3, 0)


def test_a_dead_postfix_is_not_running_although_its_wrapper_is_active():
    blocks = blocks_of("postfix-stopped")
    assert blocks["postfix.service"]["ActiveState"] == "active"
    found = entry("postfix", blocks, {})
    assert (found["unit"], found["running"], found["expected"], found["active"]) == ("postfix@-.service", False, True, "inactive")
    assert found["since_epoch"] is not None, "the end of what ran"


def test_a_masked_unit_is_disabled_and_still_expected_when_it_ran():
    found = entry("postfix", blocks_of("postfix-masked"), {})
    assert (found["unit"], found["running"], found["expected"], found["enabled"]) == ("postfix@-.service", False, True, "masked")


def test_postfix_started_by_hand_runs_whatever_its_unit_says():
    found = entry("postfix", blocks_of("postfix-stopped"), {"session-1.scope": POSTFIX})
    assert (found["running"], found["active"], found["main_pid"]) == (True, "inactive", 200)


def test_debian_13_runs_postfix_by_its_plain_unit():
    found = entry("postfix", blocks_of("debian13"), {"postfix.service": POSTFIX})
    assert (found["unit"], found["running"], found["enabled"], found["main_pid"]) == ("postfix.service", True, "disabled", 667)


def test_a_unit_that_failed_is_expected_and_says_why():
    found = entry("dovecot", blocks_of("dovecot-failed"), {})
    assert (found["running"], found["expected"], found["active"], found["result"]) == (False, True, "failed", "exit-code")
    assert "failed" in found["text"] and found["source"] == "systemctl status dovecot.service"


def test_a_sysv_unit_that_stays_active_does_not_make_a_dead_daemon_run():
    block = {"Id": "exim4.service", "LoadState": "loaded", "ActiveState": "active", "SubState": "exited", "UnitFileState": "generated",
             "Type": "forking", "MainPID": "0"}
    assert entry("exim", {"exim4.service": block}, {})["running"] is False
    assert entry("exim", {"exim4.service": block}, {"exim4.service": [process(806, "exim4", software="exim")]})["running"] is True


@pytest.mark.parametrize("state, stopped", [("T", 2), ("t", 2), ("S", 0), ("D", 0)])
def test_stopped_processes_are_counted(state, stopped):
    members = [process(item.pid, item.name, item.parent, state, item.command, item.software) for item in DOVECOT]
    found = entry("dovecot", blocks_of("healthy"), {"dovecot.service": members})
    assert (found["running"], found["stopped_processes"]) == (True, stopped)


def test_what_survives_its_daemon_does_not_make_it_run():
    orphans = [process(90, "imap", 1, command="dovecot/imap", software="dovecot")]
    assert entry("dovecot", blocks_of("postfix-stopped"), {"dovecot.service": orphans})["running"] is False


def test_a_filter_runs_by_any_process_of_its_unit():
    block = {"Id": "amavis.service", "LoadState": "loaded", "ActiveState": "active", "SubState": "running", "UnitFileState": "generated", "Type": "forking"}
    assert entry("amavis", {"amavis.service": block}, {"amavis.service": [process(70, "/usr/sbin/amavi")]})["running"] is True


def test_a_zombie_does_not_run():
    found = entry("dovecot", blocks_of("healthy"), {"dovecot.service": [process(37, "dovecot", state="Z", software="dovecot")]})
    assert found["running"] is False and found["processes"] == 0


def test_another_programs_master_is_not_postfix():
    found = entry("postfix", blocks_of("postfix-stopped"), {"ssh.service": [process(9, "master", command="/usr/bin/master")]})
    assert found["running"] is False


def test_children_count_where_their_daemon_does():
    found = entry("dovecot", blocks_of("healthy"), {"dovecot.service": DOVECOT[:1], "session-2.scope": [process(90, "imap", 37, software="dovecot")]})
    assert found["processes"] == 2


def test_a_firewall_is_up_when_its_unit_is():
    loaded = {"Id": "nftables.service", "LoadState": "loaded", "UnitFileState": "enabled", "Type": "oneshot"}
    assert entry("nftables", {"nftables.service": dict(loaded, ActiveState="active", SubState="exited")}, {})["running"] is True
    assert entry("nftables", {"nftables.service": dict(loaded, ActiveState="inactive", SubState="dead")}, {})["running"] is False
    assert entry("nftables", blocks_of("healthy"), {})["expected"] is False, "installed and never enabled"


def test_what_is_not_installed_is_not_listed():
    assert entry("cyrus", blocks_of("healthy"), {}) is None


@pytest.mark.parametrize("block, enabled, running, needed, expected", [
    ({}, "enabled", False, False, True),
    ({}, "disabled", False, False, False),
    ({}, "masked", False, False, False),
    ({}, "masked", False, True, True),
    ({}, None, True, False, True),
    ({"InactiveEnterTimestampMonotonic": "77"}, "disabled", False, False, True),
    ({"ActiveState": "failed"}, "disabled", False, False, True),
    ({"ConditionResult": "no", "ConditionTimestampMonotonic": "0"}, "enabled", False, False, True),
    ({"ConditionResult": "no", "ConditionTimestampMonotonic": "9"}, "enabled", False, False, False),
])
def test_what_should_run_is_expected(block, enabled, running, needed, expected):
    assert services.is_expected(block, enabled, running, needed) is expected


def test_a_second_mta_that_nobody_enabled_is_not_missed():
    mtas = [{"role": "mta", "name": "exim", "running": True, "expected": True, "enabled": "generated"},
            {"role": "mta", "name": "postfix", "running": False, "expected": True, "enabled": "masked"}]
    services._rivals(mtas)
    assert [item["expected"] for item in mtas] == [True, False]
    assert services._first(mtas, "mta")["name"] == "exim"


def test_the_only_mta_stays_expected_when_it_is_masked():
    mtas = [{"role": "mta", "name": "postfix", "running": False, "expected": True, "enabled": "masked"}]
    services._rivals(mtas)
    assert mtas[0]["expected"] is True


@pytest.mark.parametrize("status, nested", [("Name:\tx\nNSpid:\t4953\t359\n", True), ("Name:\tx\nNSpid:\t359\n", False), ("", False)])
def test_processes_of_containers_on_this_host_are_not_its_own(status, nested):
    assert services.is_nested(status) is nested


def test_failed_units_are_read_from_the_plain_listing():
    assert services.parse_failed("dovecot.service loaded failed failed Dovecot IMAP/POP3 email server\n\n") == ["dovecot.service"]


class Host(Context):
    def __init__(self, show, failed=""):
        super().__init__()
        self.show, self.failed = show, failed

    def run(self, *argv, **_options):
        if argv[:2] == ("systemctl", "show"):
            return Ran(argv, 0, self.show)
        if argv[:2] == ("systemctl", "--failed"):
            return Ran(argv, 0, self.failed)
        return Ran(argv, None, missing=True)


@pytest.fixture
def systemd(monkeypatch):
    monkeypatch.setattr(services.os.path, "isdir", lambda path: True)
    monkeypatch.setattr(services.companions, "named", lambda context: [{"service": "opendkim"}, {"service": "dovecot"}])
    monkeypatch.setattr(services.postfix, "settings", lambda context: {"settings": {"myhostname": "x"}, "errors": [], "expanded": {}})
    monkeypatch.setattr(services.exim, "is_installed", lambda: False)
    monkeypatch.setattr(services.listeners, "collect", lambda context: {"tcp": [{"port": 25, "pid": 200}, {"port": 143, "pid": 4711}]})


def test_one_look_tells_of_all_services(systemd, monkeypatch):
    monkeypatch.setattr(services, "_by_unit", lambda context: {"postfix@-.service": POSTFIX, "dovecot.service": DOVECOT})
    found = services.collect(Host((FIXTURES / "systemctl-show-healthy.txt").read_text()))
    assert found["mta"]["name"] == "postfix" and found["imap"]["name"] == "dovecot" and found["failed_units"] == []
    assert found["mta"]["listening"] is True
    assert found["imap"]["listening"] is False, "port 143 is held by another process"
    units = {item["name"]: item for item in found["units"]}
    assert units["opendkim"]["needed"] and units["opendkim"]["expected"] and not units["opendkim"]["running"]
    assert set(found["mta"]) == set("role name unit present running expected needed enabled active sub result since since_epoch restarts main_pid processes "
                                    "stopped_processes listening source text".split())


def test_what_the_mail_configuration_asks_is_expected_even_disabled(systemd, monkeypatch):
    monkeypatch.setattr(services, "_by_unit", lambda context: {})
    show = (FIXTURES / "systemctl-show-healthy.txt").read_text().replace("UnitFileState=enabled", "UnitFileState=disabled")
    show = "\n".join("=".join((line.partition("=")[0], "0")) if "TimestampMonotonic" in line else line for line in show.splitlines())
    found = {item["name"]: item for item in services.collect(Host(show))["units"]}
    assert [found[name]["expected"] for name in ("postfix", "dovecot", "opendkim", "rsyslog")] == [True, True, True, False]


def test_failed_units_are_told_with_their_result(systemd, monkeypatch):
    monkeypatch.setattr(services, "_by_unit", lambda context: {})
    host = Host("Id=dovecot.service\nDescription=Dovecot\nResult=exit-code\nExecMainStatus=89\n", "dovecot.service loaded failed failed Dovecot\n")
    assert services._failed_units(host) == [{"unit": "dovecot.service", "result": "exit-code", "source": "systemctl status dovecot.service",
                                             "text": "Dovecot: result exit-code, exit status 89"}]


def test_without_systemd_processes_tell(monkeypatch):
    monkeypatch.setattr(services.os.path, "isdir", lambda path: False)
    monkeypatch.setattr(services, "_needs", lambda context: set())
    monkeypatch.setattr(services, "_by_unit", lambda context: {"": POSTFIX})
    monkeypatch.setattr(services.listeners, "collect", lambda context: {"tcp": []})
    found = services.collect(Host(""))
    assert found["mta"]["running"] and found["mta"]["unit"] == "postfix.service" and found["mta"]["source"] == "ps ax"
