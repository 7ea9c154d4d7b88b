"""What the conditions look at: expected services, log events that go on, and what changed."""
from __future__ import annotations

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import view

NOW = 10_000.0


def host(name="mx1", settings=None, **facts):
    return {"host": name, "connection": {"ok": True}, "probes": [], "facts": dict({
        "postfix": {"settings": dict({"relayhost": ""}, **(settings or {})), "masters": [{"type": "inet", "service": "smtp"}]}}, **facts)}


def views(*observations):
    built = [view.host_view(observation, {}, {}) for observation in observations]
    view.estate_view(built, {})
    return built


def event(last, spec=None, **flow):
    facts = {"events": {"window": {"until_epoch": NOW}, "flow": flow, "matches": {"s": {"count": 1, "last_epoch": last}}}}
    built = view.host_view({"host": "mx", "connection": {"ok": True}, "facts": facts}, {"s": spec or {}}, {})
    return built["seen"]["s"]["current"]


def test_a_fresh_event_goes_on():
    assert event(NOW - 60)


def test_an_old_event_does_not():
    assert not event(NOW - view.FRESH_SECONDS - 1)


def test_any_of_several_successes_ends_an_event():
    spec = {"cleared_by": ["delivery", "login"]}
    assert not event(NOW - 60, spec, last_login_epoch=NOW - 10)
    assert not event(NOW - 60, spec, last_delivery_epoch=NOW - 10, last_login_epoch=NOW - 120)
    assert event(NOW - 60, spec, last_acceptance_epoch=NOW - 10)


@pytest.mark.parametrize("cleared_by, flow", [("delivery", "last_delivery_epoch"), ("acceptance", "last_accepted_epoch"), ("login", "last_login_epoch")])
def test_a_later_success_of_its_kind_ends_an_event(cleared_by, flow):
    assert not event(NOW - 60, {"cleared_by": cleared_by}, **{flow: NOW - 10})
    assert event(NOW - 60, {"cleared_by": "none"}, **{flow: NOW - 10})
    assert event(NOW - 60, {"cleared_by": cleared_by}, **{flow: NOW - 120})


def test_software_that_is_not_meant_to_run_is_not_expected_to_serve():
    facts = {"services": {"mta": {"expected": False}}, "postfix": {"masters": [{"type": "inet", "service": "smtp"}]}}
    assert view.expected_protocols(facts, None, set()) == set()


def test_a_listener_of_the_snapshot_is_expected_although_its_configuration_is_gone():
    known_good = {"listeners": [{"port": 587, "loopback": False}, {"port": 25, "loopback": True}]}
    assert view.expected_protocols({"postfix": {"masters": []}}, known_good, set()) == {"submission"}


def test_a_port_by_number_is_expected_like_one_by_name():
    facts = {"postfix": {"masters": [{"type": "inet", "service": "192.0.2.1:smtp"}, {"type": "inet", "service": "465"}, {"type": "unix", "service": "smtp"}]}}
    assert view.expected_protocols(facts, None, set()) == {"smtp", "submissions"}


def test_without_a_snapshot_the_hosts_own_memory_is_what_changed():
    remembering = host(changes={"files": [{"path": "/etc/postfix/main.cf", "mtime": "t", "mtime_epoch": 5.0}], "backups": ["/etc/postfix/main.cf.dpkg-old"]})
    assert [(item["name"], item["before"]) for item in views(remembering)[0]["changed"]] == [("/etc/postfix/main.cf", "/etc/postfix/main.cf.dpkg-old")]


def test_a_snapshot_is_better_than_memory():
    known = host(changes={"files": [{"path": "/etc/hosts", "mtime_epoch": 5.0}]}, known_good={"present": True, "differences": [{"name": "relayhost"}]})
    assert views(known)[0]["changed"] == [{"name": "relayhost"}]


def test_a_host_is_compared_with_siblings_that_agree():
    odd, one, other = views(host("mx1", {"relayhost": "[x]"}), host("mx2"), host("mx3"))
    assert [(item["name"], item["before"], item["after"], item["compared_with"]) for item in odd["changed"]] == [("relayhost", "", "[x]", "mx2, mx3")]
    assert one["changed"] == other["changed"] == []


def test_settings_that_every_host_has_of_its_own_are_no_difference():
    named = views(*(host(name, {"myhostname": name}) for name in ("mx1", "mx2", "mx3")))
    assert all(item["changed"] == [] for item in named)


def test_one_sibling_is_not_enough_to_compare_with():
    assert views(host("mx1", {"relayhost": "[x]"}), host("mx2"))[0]["changed"] == []
