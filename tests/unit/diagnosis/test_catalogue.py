"""The catalogue as it stands, and how it answers a wrong entry."""
from __future__ import annotations

import pathlib

import pytest
import yaml

from ansible_collections.mailops.outage.plugins.module_utils.diagnosis import catalogue

FOLDER = pathlib.Path(__file__).parents[3] / "roles/diagnose/files/catalogue"

WORDS = {"en": "a text", "nl": "een tekst"}


def entry(**fields):
    return dict({"title": WORDS, "explanation": WORDS, "users": WORDS, "impact": "none"}, **fields)


@pytest.fixture(scope="module")
def known():
    return catalogue.load(str(FOLDER))


def test_every_fault_has_a_condition_a_remedy_and_a_way_to_look_it_up(known):
    for cause in known:
        if cause.id.startswith("none."):
            continue
        assert cause.conditions, cause.id
        assert cause.remedies, cause.id
        for condition in cause.conditions:
            assert condition.show or condition.signature, cause.id


def test_every_signature_is_used_by_a_condition(known):
    used = {condition.signature for cause in known for condition in cause.conditions}
    assert set(known.signatures) <= used


def test_a_signature_about_another_servers_answer_is_marked_so_but_for_our_own_store(known):
    for name, spec in known.signatures.items():
        if spec.get("answer"):
            assert spec.get("remote") or spec["program"] == ".+/lmtp", name


def test_no_cause_explains_itself(known):
    for cause in known:
        assert cause.id not in cause.explains + cause.explains_on_peers


def test_an_automatic_remedy_says_how_it_is_undone(known):
    for cause in known:
        for remedy in cause.remedies:
            assert remedy["class"] in ("human", "none") or remedy["undo"], cause.id


@pytest.mark.parametrize("change, said", [
    ({"title": {"en": "only English"}}, "title must be a text in each of en, nl"),
    ({"impact": "terrible"}, "impact is 'terrible'"),
    ({"colour": "red"}, "unknown colour"),
    ({"conditions": [{"when": "a ==="}]}, "condition 1"),
    ({"conditions": [{"when": "a", "confidence": 0.5}]}, "needs show"),
    ({"conditions": [{"signature": "nowhere"}]}, "no signature 'nowhere'"),
    ({"conditions": [{"when": "a", "show": "b", "confidence": 7}]}, "confidence must be"),
    ({"signatures": {"s": {"program": "p", "pattern": "^("}}}, "signature s: pattern"),
    ({"signatures": {"s": {"pattern": "^x"}}}, "signature s: needs a program"),
    ({"signatures": {"s": {"program": "p", "pattern": "x"}}}, "signature s: pattern must begin with ^"),
    ({"signatures": {"s": {"program": "p", "pattern": "^x|y"}}}, "write '^(?:one|other)'"),
    ({"signatures": {"s": {"program": "p", "pattern": "^x", "answer": "y"}}}, "signature s: answer must begin with ^"),
    ({"explains": ["area.nobody"]}, "explains area.nobody"),
    ({"remedies": [{"class": "magic", "summary": WORDS}]}, "known are reversible"),
])
def test_a_wrong_entry_is_named_with_its_file(change, said):
    with pytest.raises(catalogue.CatalogueError) as caught:
        catalogue.parse({"area.yml": {"area.name": entry(**change)}})
    assert said in str(caught.value)
    assert "area.name" in str(caught.value)


def test_a_cause_given_twice_is_refused():
    with pytest.raises(catalogue.CatalogueError, match="stands already in a.yml"):
        catalogue.parse({"a.yml": {"area.name": entry()}, "b.yml": {"area.name": entry()}})


def test_a_folder_without_entries_is_refused(tmp_path):
    with pytest.raises(catalogue.CatalogueError, match="no catalogue file"):
        catalogue.load(str(tmp_path))


def test_yaml_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "x.yml").write_text("a: [", encoding="utf-8")
    with pytest.raises(catalogue.CatalogueError, match="x.yml"):
        catalogue.load(str(tmp_path))


def test_users_never_read_technical_names(known):
    for cause in known:
        for text in cause.users.values():
            assert "_" not in text and "/" not in text, cause.id


def test_the_files_are_named_after_their_area():
    for path in FOLDER.glob("*.yml"):
        for name in yaml.safe_load(path.read_text(encoding="utf-8")):
            assert name.split(".")[0] == path.stem


def test_no_slice_stands_right_behind_a_filter(known):
    """In JMESPath it would cut each item and not the list: ``list[?x] | [:2]`` is meant."""
    for cause in known:
        for condition in cause.conditions:
            assert "][:" not in f"{condition.when} {condition.show}", cause.id
