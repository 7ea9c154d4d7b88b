"""No command that deletes, bounces or expires mail, opens the host or weakens it stands in what is shipped; the texts for people may name it as what not to do."""
from __future__ import annotations

import ast
import pathlib
import re

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[4]
PROGRAMS = sorted((ROOT / "plugins").rglob("*.py"))
PLAYS = [path for folder in ("roles", "playbooks") for path in sorted((ROOT / folder).rglob("*.yml")) if "catalogue" not in path.parts]
LOSES = re.compile(
    r"postsuper\W+-d\b|exi(?:m4?|qgrep)\W.*-M(?:rm|g)\b|doveadm\W+(?:expunge|purge|mailbox\W+delete)|postfix\W+flush|qshape.*-d"
    r"|\brm\W+-\w*r|shutil\W+rmtree\W+(?:queue|spool)|find\b.*-delete|postconf\W+-e\W.*(?:bounce_queue_lifetime|maximal_queue_lifetime)"
    r"|StrictHostKeyChecking\W*no|host_key_checking\W*[Ff]alse|nft\W+flush|iptables\W+-F|setenforce|chmod\W+(?:-R\W+)?(?:0?\d*[2367]\b|[ao]\+\w*w)|smtpd_tls_security_level\W+none"
    r"|disable_plaintext_auth\W+no|milter_default_action\W+accept")


def strings(path):
    """The text literals of a program that are no docstring, each as one line; the words of a tuple or list together."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documents = {id(node.body[0].value) for node in ast.walk(tree)
                 if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body and isinstance(node.body[0], ast.Expr)}
    documents |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("DOCUMENTATION", "RETURN")}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            yield node.value
        if isinstance(node, (ast.Tuple, ast.List)):
            words = [item.value for item in node.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)]
            if len(words) > 1:
                yield " ".join(words)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT / "plugins")))
def test_no_program_holds_such_a_command(path):
    assert [text[:120] for text in strings(path) if LOSES.search(text)] == []


@pytest.mark.parametrize("path", PLAYS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_play_holds_such_a_command(path):
    assert LOSES.search(path.read_text(encoding="utf-8")) is None


def test_every_remedy_that_the_catalogue_names_is_there_with_its_role_and_its_options():
    from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

    from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies.registry import REMEDIES
    for path in sorted((ROOT / "roles/diagnose/files/catalogue").glob("*.yml")):
        for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items():
            for remedy in entry.get("remedies") or []:
                if remedy["role"] in ("human", "renew_certificate"):
                    assert remedy["class"] == "human", name
                    continue
                told = dict(remedy.get("options") or {}, **dict.fromkeys(remedy.get("options_from") or {}, "x"))
                checked = ArgumentSpecValidator(REMEDIES[remedy["role"]].OPTIONS).validate(told)
                assert not checked.error_messages, f"{name}: {checked.error_messages}"


def test_every_remedy_has_a_role_whose_variables_are_its_options():
    from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies.registry import REMEDIES
    for name, module in REMEDIES.items():
        spec = yaml.safe_load((ROOT / f"roles/{name}/meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
        assert {key[len(name) + 1:] for key in spec if key.startswith(name + "_")} == set(module.OPTIONS), name
        assert (ROOT / f"extensions/molecule/{name}/molecule.yml").exists(), name
