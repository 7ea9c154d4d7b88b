"""What is given by `-e name=false` arrives as the text "false", which is true: so each boolean is read as one, wherever it is read."""
from __future__ import annotations

from pathlib import Path

import jinja2
import pytest
import yaml
from jinja2 import nodes

ROOT = Path(__file__).resolve().parents[2]
SPECS = sorted(ROOT.glob("roles/*/meta/argument_specs.yml"))
READERS = sorted([*ROOT.glob("roles/*/tasks/**/*.yml"), *ROOT.glob("roles/*/handlers/**/*.yml"), *ROOT.glob("playbooks/**/*.yml")])
# These hold an expression without braces; an argument of a module may have such a name, too.
BARE = ("when", "that", "failed_when", "changed_when", "until")
# Ansible itself makes a boolean of this keyword, and refuses what is none. Validation does, too, and needs the value as it was given.
CONVERTED = ("become", "provided_arguments")
BOOL, DEFAULT = ("bool", "ansible.builtin.bool"), ("default", "d", "ansible.builtin.default")
JINJA = jinja2.Environment(extensions=["jinja2.ext.do"])  # parsed, never rendered


def declared(specs):
    """The variables that any role declares to be boolean."""
    return {name for text in specs for entry in yaml.safe_load(text)["argument_specs"].values() for name, option in (entry.get("options") or {}).items()
            if option["type"] == "bool"}


def expressions(data, bare=False):
    """Each template of a file, as Jinja reads it."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key not in CONVERTED:
                yield from expressions(value, key in BARE)
    elif isinstance(data, list):
        for value in data:
            yield from expressions(value, bare)
    elif isinstance(data, str):
        yield JINJA.parse("{{ " + data + " }}" if bare and "{{" not in data else data)


def unread(tree, booleans):
    """The booleans in a template that are not made one by the filter ``bool``; with a default that is true or false, whatever their name."""
    found = set()

    def look(node, safe):
        if isinstance(node, nodes.Filter) and node.name in BOOL:
            safe = True
        elif isinstance(node, nodes.Filter) and node.name in DEFAULT and isinstance(node.node, nodes.Name):
            given = node.args[0].value if node.args and isinstance(node.args[0], nodes.Const) else None
            if isinstance(given, bool) and not safe and not node.node.name.startswith("__"):
                found.add(node.node.name)
        elif isinstance(node, nodes.Test) and node.name in ("defined", "undefined"):
            safe = True
        elif isinstance(node, nodes.Name):
            if node.name in booleans and not safe:
                found.add(node.name)
        elif not isinstance(node, nodes.Filter):
            safe = False
        for child in node.iter_child_nodes():
            # Only what is filtered is made a boolean, and not the filter's arguments.
            look(child, safe and (not isinstance(node, nodes.Filter) or child is node.node))
    look(tree, False)
    return found


BOOLEANS = declared(path.read_text(encoding="utf-8") for path in SPECS)


@pytest.mark.parametrize("path", READERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_boolean_is_read_as_one(path):
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set().union(*(unread(tree, BOOLEANS) for tree in expressions(data))) == set(), "write `| bool` behind it"


def test_the_roles_have_booleans():
    assert {"verify_required", "remediate_freeze", "remediate_required", "diagnose_show", "collect_logs_pseudonyms"} <= BOOLEANS and len(READERS) > 20


@pytest.mark.parametrize("task, names", [
    ({"when": "flag"}, {"flag"}),
    ({"when": ["other", "not flag"]}, {"flag"}),
    ({"when": "flag and (other | bool)"}, {"flag"}),
    ({"when": "(flag and other) | bool"}, {"flag"}),
    ({"block": [{"until": "x or flag == true"}]}, {"flag"}),
    ({"assert": {"that": "flag"}}, {"flag"}),
    ({"module": {"flag": "{{ flag }}"}}, {"flag"}),
    ({"msg": "{{ flag | ternary('a', 'b') }}"}, {"flag"}),
    ({"msg": "{% if flag %}a{% endif %}"}, {"flag"}),
    ({"msg": "{{ 'a' if flag else 'b' }}"}, {"flag"}),
    ({"msg": "{{ other | default(flag) | bool }}"}, {"flag"}),
    ({"when": "other | default(false)"}, {"other"}),
    ({"when": "x and other | d(true)"}, {"other"}),
    ({"when": "flag | bool"}, set()),
    ({"when": "flag | default(true) | ansible.builtin.bool and not (flag | bool)"}, set()),
    ({"when": "flag is defined"}, set()),
    ({"when": "other.flag or 'flag' in other"}, set()),
    ({"module": {"flag": False}, "name": "flag"}, set()),
    ({"msg": "{{ (flag | bool) | ternary('a', 'b') }}"}, set()),
    ({"become": "{{ other | default(true) }}"}, set()),
])
def test_the_test_sees_a_boolean_that_is_read_as_text(task, names):
    assert set().union(*(unread(tree, {"flag"}) for tree in expressions(task))) == names


def test_booleans_are_found_in_every_entry_of_a_spec():
    assert declared(["argument_specs: {main: {options: {a: {type: bool}, b: {type: str}}}, other: {options: {c: {type: bool}}}, none: {}}"]) == {"a", "c"}
