"""The fixed text in a pattern."""
from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.mailops.outage.plugins.module_utils.log.literals import Presence, required


@pytest.mark.parametrize("pattern, expected", [
    (rb"connect to \S+\[(?P<socket>private/[\w-]+)\]: Connection refused", {b"]: connection refused"}),
    (rb"(?:key values mismatch|Key is for a different cert)", {b"key values mismatch", b"key is for a different cert"}),
    (rb"(?i)NO SPACE left on device", {b"no space left on device"}),
    (rb"(?:fatal: )?the Postfix mail system is not running", {b"the postfix mail system is not running"}),
    (rb"timeout after (?:DATA|BDAT) \d+", {b"timeout after data ", b"timeout after bdat "}),
    (rb"not authori[sz]ed to relay", {b"not authorised to relay", b"not authorized to relay"}),
    (rb"(?:a|b)+ Temporary lookup failure", {b" temporary lookup failure"}),
    (rb"(?=Quota) exceeded (?:mailbox is full)", {b" exceeded mailbox is full"}),
    (rb"(?:Time moved backwards){2}", {b"time moved backwards"}),
])
def test_the_best_text_is_found(pattern, expected):
    assert required(pattern)[0] == expected


@pytest.mark.parametrize("pattern", [rb"\d+", rb".*", rb"[a-z]*", rb"(?:foo)?", rb"(?:foo|\d)", rb"", rb"(((", rb"(a)(?(1)b|c)\Z"])
def test_a_pattern_without_fixed_text_has_none_or_is_wrong(pattern):
    try:
        re.compile(pattern)
    except re.error:
        assert required(pattern) == []
        return
    for texts in required(pattern):
        assert texts == {b"a"}


ALPHABET = "abE :<"
PATTERNS = st.recursive(
    st.text(ALPHABET, min_size=1, max_size=9).map(re.escape) | st.sampled_from([r"\S", r".*", r"[ab]", r"[^a]", r"\w+", "^", r"\b", "E?"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: "(?:" + "|".join(parts) + ")"),
        inner.map("(?:{})?".format), inner.map("(?:{})+".format), inner.map("(?:{}){{2}}".format), inner.map("(?i:{})".format), inner.map("(?={})".format),
        inner.map("({})".format),
    ), max_leaves=6)


@settings(max_examples=400)
@given(PATTERNS, st.text(ALPHABET, max_size=40))
def test_what_matches_holds_a_text_of_every_set(pattern, text):
    line = text.encode()
    for texts in required(pattern.encode()):
        assert texts and all(texts)
        if re.search(pattern.encode(), line):
            assert any(each in line.lower() for each in texts)


@settings(max_examples=300)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=12), st.binary(max_size=200), st.integers(0, 200))
def test_presence_misses_nothing(texts, around, place):
    for text in texts:
        block = around[:place] + text + around[place:]
        assert text in Presence(texts).may_hold(block)


def test_presence_rules_out_what_is_absent():
    texts = [b"no space left on device", b"connection timed out", b"address already in use"]
    assert Presence(texts).may_hold(b"Nov 23 20:51:07 mail postfix/smtp[1]: connect to x: Connection timed out\n".lower() * 50) == {b"connection timed out"}
