from __future__ import annotations

import json
import threading
import time

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mailops.outage.plugins.modules import mail_host_info
from ansible_collections.mailops.outage.plugins.modules.mail_host_info import BadOption, chosen, window

_NOW = 1795467067.0

# The tests before left threads behind, which the module itself does not have when it forks.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@pytest.fixture(name="run")
def _run(monkeypatch, capsys):
    """Run the module with options and with looks of the test's; its JSON answer."""
    def run(looks, **options):
        monkeypatch.setattr(mail_host_info, "COLLECTORS", looks)
        with patch_module_args(options), pytest.raises(SystemExit) as end:
            mail_host_info.main()
        answer = json.loads(capsys.readouterr().out)
        answer["exit"] = end.value.code
        return answer
    return run


def test_the_window_is_the_last_hour_by_default():
    assert window(None, None, _NOW) == (_NOW - 3600, _NOW)


def test_the_hour_before_a_given_end_is_looked_at():
    assert window(None, "2026-11-23T20:51:07Z", _NOW + 9999) == (_NOW - 3600, _NOW)


def test_moments_are_epoch_seconds_or_iso():
    assert window("2026-11-23T19:51:07Z", "1795467067", 0) == (_NOW - 3600, _NOW)


@pytest.mark.parametrize("since, until", [("yesterday", None), (None, "nan"), ("2026-11-23T20:51:07Z", "2026-11-23T20:51:07Z"), (str(_NOW + 1), None)])
def test_a_window_that_makes_no_sense_is_refused(since, until):
    with pytest.raises(BadOption):
        window(since, until, _NOW)


def test_all_collectors_are_chosen_by_default_and_named_ones_alone():
    assert list(chosen(None)) == list(mail_host_info.COLLECTORS)
    assert list(chosen(["queue", "storage"])) == ["queue", "storage"]


def test_an_unknown_collector_is_answered_with_the_known_ones(run):
    answer = run({"queue": lambda context: {}, "storage": lambda context: {}}, collectors=["nosuch"])
    assert answer["failed"] and "nosuch" in answer["msg"] and "queue, storage" in answer["msg"]


def test_facts_come_back_with_how_each_look_ended(run):
    def broken(_context):
        raise OSError("gone")
    answer = run({"queue": lambda context: {"mta": "postfix"}, "storage": broken})
    assert answer["changed"] is False and answer["facts"] == {"queue": {"mta": "postfix"}}
    assert answer["collectors"]["storage"]["ok"] is False and answer["not_visible"] == ["storage: OSError: gone"] and answer["cut"] == []


def test_options_reach_the_collectors(run):
    answer = run({"queue": lambda context: dict(context.options)}, since="1000", until="2000", domains=["example.test"], outbound_targets=["192.0.2.1"],
                 log_files=["/x"], signatures={"a": {"b": 1}})
    assert answer["facts"]["queue"] == {"since": 1000.0, "until": 2000.0, "domains": ["example.test"], "outbound_targets": ["192.0.2.1"], "log_files": ["/x"],
                                        "signatures": {"a": {"b": 1}}}


def test_check_mode_looks_just_the_same(run):
    assert run({"queue": lambda context: {"mta": None}}, _ansible_check_mode=True)["facts"] == {"queue": {"mta": None}}


def test_a_look_that_hangs_does_not_hold_up_the_answer(run):
    began = time.monotonic()
    answer = run({"queue": lambda context: {"mta": None}, "storage": lambda context: threading.Event().wait(60)}, deadline=0.3)
    assert time.monotonic() - began < 3
    assert answer["facts"] == {"queue": {"mta": None}} and answer["collectors"]["storage"]["error"] == "not back within 0.3 s"


def test_an_answer_that_is_too_long_is_cut_and_says_so(run):
    answer = run({"changes": lambda context: {"files": [{"path": "/etc/x" * 10}] * 10000}})
    assert len(json.dumps(answer)) < 300000 and answer["cut"][0].startswith("facts.changes.files: ")


@pytest.mark.parametrize("deadline", [0, -1])
def test_no_time_to_look_is_refused(run, deadline):
    assert run({"queue": lambda context: {}}, deadline=deadline)["failed"]


def test_the_documentation_covers_every_option():
    documented = yaml.safe_load(mail_host_info.DOCUMENTATION)
    assert set(documented["options"]) == {"since", "until", "deadline", "signatures", "collectors", "domains", "outbound_targets", "log_files"}
    assert "mailops.outage.attributes" in documented["extends_documentation_fragment"]
    assert set(yaml.safe_load(mail_host_info.RETURN)) == {"facts", "collectors", "not_visible", "cut"}
    assert yaml.safe_load(mail_host_info.EXAMPLES)
