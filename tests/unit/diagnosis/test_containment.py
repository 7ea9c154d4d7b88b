"""What is lost is made to wait, by what facts say, and nothing else is."""
from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import containment

VIEW = {"mail": {"postfix": {"expanded": {"local_transport": "local:x", "virtual_transport": "lmtp:unix:private/dovecot-lmtp"}}}}


def wanted(*impacts, by_facts=True, views=None, contained=False):
    candidates = [SimpleNamespace(host="mail", root_by_facts=by_facts, cause=SimpleNamespace(impact=impact)) for impact in impacts]
    return [(item["host"], item["options"]) for item in containment.wanted(contained, candidates, VIEW if views is None else views)]


ASTRAY = [("mail", {"defer_transports": ["lmtp", "local"]})]


@pytest.mark.parametrize("impacts, found", [
    (["lost"], [("mail", {"soft_bounce": True})]), (["silent"], ASTRAY), (["queued", "lost", "silent"], ASTRAY), (["queued", "refused"], []), ([], []),
])
def test_what_is_lost_is_contained_and_what_only_waits_is_not(impacts, found):
    assert wanted(*impacts) == found


def test_what_is_contained_already_what_only_the_log_says_and_what_is_no_postfix_is_not():
    assert wanted("lost", contained=True) == wanted("lost", by_facts=False) == wanted("lost", views={"mail": {}}) == []
