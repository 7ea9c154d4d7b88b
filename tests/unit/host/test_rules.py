"""Content rules are held against an ordinary message of our own, as Postfix would."""
from __future__ import annotations

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.host import _rules
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context, Ran, run_command


class Host(Context):
    """``answers``: {(option, table): what postmap writes}."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers
        self.asked = []

    def run(self, *argv, timeout=10.0, most=0, env=None, data=b""):
        self.asked.append((argv[1], argv[3], data))
        return Ran(argv, 0, self.answers.get((argv[1], argv[3]), ""))


def against(answers, **expanded):
    host = Host(answers)
    return _rules.against_us(host, expanded, "postmaster@x.test"), host


@pytest.mark.parametrize("action, stops", [
    ("DISCARD", True), ("REJECT no such mail", True), ("HOLD", True), ("554 no", True), ("PREPEND X: y", False), ("WARN", False), ("FILTER smtp:x", False),
    ("DUNNO", False), ("IGNORE", False), ("DISCARDED", False),
])
def test_only_what_stops_the_message_is_a_rule_against_us(action, stops):
    found, host = against({("-hq", "regexp:/etc/postfix/hc"): f"Subject: Mail check\t{action}\n"}, header_checks="regexp:/etc/postfix/hc")
    assert bool(found) is stops and b"Subject: Mail check" in host.asked[0][2] and b"\r" not in host.asked[0][2]
    assert not stops or (found[0]["parameter"] == "header_checks" and action in found[0]["text"])


def test_each_table_is_asked_in_its_own_way_and_what_is_no_table_is_not():
    _found, host = against({}, header_checks="pcre:/a, regexp:/b $x", body_checks="regexp:/c", mime_header_checks="", smtp_header_checks="regexp:/d")
    assert [asked[:2] for asked in host.asked] == [("-hq", "pcre:/a"), ("-hq", "regexp:/b"), ("-bq", "regexp:/c")]


def test_a_command_reads_what_it_is_given_and_nothing_otherwise():
    assert run_command(("cat",), 5, data=b"a\nb\n").out == "a\nb\n" and run_command(("cat",), 5).out == ""
