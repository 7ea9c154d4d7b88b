"""What is lost is made to wait, by what facts say, and nothing else is."""
from __future__ import annotations

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import containment

VIEW = {"mail": {"postfix": {"expanded": {"local_transport": "local:x", "virtual_transport": "lmtp:unix:private/dovecot-lmtp"}}}}
CAUSE = {"host": "mail", "root_by_facts": True}


def wanted(impact, causes=(CAUSE,), views=None, contained=False):
    return [(item["host"], item["options"]) for item in containment.wanted({"class": impact, "contained": contained}, list(causes), VIEW if views is None else views)]


@pytest.mark.parametrize("impact, options", [("lost", {"soft_bounce": True}), ("silent", {"defer_transports": ["lmtp", "local"]})])
def test_what_is_lost_is_contained(impact, options):
    assert wanted(impact) == [("mail", options)]


def test_what_only_waits_what_is_contained_already_and_what_only_the_log_says_is_not():
    assert wanted("queued") == wanted("lost", contained=True) == wanted("lost", [dict(CAUSE, root_by_facts=False)]) == wanted("lost", views={"mail": {}}) == []
