from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host.bound import fit
from hypothesis import given
from hypothesis import strategies as st

_LEAVES = st.none() | st.booleans() | st.integers(-10**6, 10**6) | st.text(max_size=60)
_TREES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text(max_size=8), inner, max_size=6), max_leaves=60)
_ANSWERS = st.dictionaries(st.text(max_size=8), _TREES, max_size=6)


@pytest.mark.slow
@given(_ANSWERS, st.integers(min_value=2, max_value=3000))
def test_the_answer_always_fits(answer, limit):
    found, cut = fit(answer, limit)
    assert len(json.dumps(found)) <= limit
    assert bool(cut) == (found != answer)


@pytest.mark.slow
@given(_ANSWERS, st.integers(min_value=2, max_value=3000))
def test_the_same_answer_is_always_cut_the_same_way_and_left_as_it_was(answer, limit):
    before = copy.deepcopy(answer)
    assert fit(answer, limit) == fit(copy.deepcopy(answer), limit)
    assert answer == before


def test_what_fits_is_returned_as_it_is():
    answer = {"facts": {"queue": {"reasons": ["a"] * 10}}}
    assert fit(answer) == (answer, [])


def test_the_longest_list_is_cut_first_and_the_others_stay():
    answer = {"long": ["x" * 20] * 1000, "short": ["y" * 20] * 10, "text": "z" * 200}
    found, cut = fit(answer, 4096)
    assert found["short"] == answer["short"] and found["text"] == answer["text"]
    assert 20 < len(found["long"]) < 1000
    assert cut == [f"long: {len(found['long'])} of 1000 entries kept"]


def test_the_first_entries_are_kept():
    found, _cut = fit({"list": list(range(5000))}, 1000)
    assert found["list"] == list(range(len(found["list"])))


def test_a_long_text_is_cut_and_told_with_its_place():
    found, cut = fit({"facts": {"events": {"line": "x" * 9000}}}, 1000)
    assert 100 < len(found["facts"]["events"]["line"]) < 1000
    assert cut == [f"facts.events.line: {len(found['facts']['events']['line'])} of 9000 characters kept"]


def test_what_was_cut_inside_of_entries_that_went_is_not_told():
    answer = {"list": [{"lines": ["x" * 50] * 50} for _number in range(50)]}
    found, cut = fit(answer, 2000)
    told = [sentence.split(":")[0] for sentence in cut]
    assert all(int(place.split(".")[1]) < len(found["list"]) for place in told if place.count(".") > 1)


def test_keys_of_mappings_stay_while_anything_else_helps():
    answer = {"facts": {name: {"ok": True, "entries": ["x" * 30] * 100} for name in ("queue", "storage", "network")}}
    found, _cut = fit(answer, 2000)
    assert {name: set(entry) for name, entry in found["facts"].items()} == {name: {"ok", "entries"} for name in answer["facts"]}


def test_many_cuts_are_told_in_few_sentences():
    _found, cut = fit({f"list{number}": ["x" * 100] * 20 for number in range(100)}, 5000)
    assert len(cut) == 31 and cut[-1] == "and 70 more"
