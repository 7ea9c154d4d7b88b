"""Approvals of an AWX workflow, over real HTTP with a server that speaks the API's documented shape. No AWX was at hand."""
from __future__ import annotations

import copy
import datetime
import json
import ssl

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.verification import approvals
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from scripted_awx import TOKEN, Awx, approval, node

# 02:45 and 03:00 of the day on which the approvals of the helper are given at 02:51.
WRITTEN, NOW = 1795488300.0, 1795489200.0
NODES = "/api/v2/workflow_jobs/5/workflow_nodes/"


def asked(awx, job="5", seconds=20.0, **environment):
    return approvals.ask(approvals.controller({**awx.environment, **environment}), job, seconds)


def problem_of(awx, **more):
    with pytest.raises(approvals.NotAnswered) as caught:
        asked(awx, **more)
    text = str(caught.value)
    assert TOKEN not in text and "\n" not in text and "did not tell who approved" in text
    return text


def test_who_approved_is_told_with_the_time_and_the_name_of_the_node(awx):
    awx.approvals = [approval(11, "Helpdesk confirms"), approval(12, "Board confirms", by=("piet", "", ""))]
    found, problems = asked(awx)
    assert problems == []
    first, second = [approvals.judge(item, WRITTEN, NOW)[0] for item in found]
    assert (first["name"], first["account"], first["note"], first["time"].isoformat()) == (
        "Anna de Vries", "anna", "Helpdesk confirms", "2026-11-24T02:51:07.200738+00:00")
    assert (second["name"], second["account"]) == ("piet", "piet")
    assert {word for _path, word in awx.asked} == {f"Bearer {TOKEN}"}


def test_all_pages_are_read_and_other_nodes_are_none(awx):
    awx.page_size = 3
    awx.approvals = [approval(number, f"Node {number}") for number in range(11, 19)]
    assert [item["id"] for item in asked(awx)[0]] == list(range(11, 19))
    assert len([path for path, _word in awx.asked if "workflow_nodes" in path]) == 4


def test_a_workflow_without_approvals_and_one_that_did_not_come_there_have_none(awx):
    awx.nodes.append(node(None, "Never reached"))
    assert asked(awx) == ([], [])


def test_the_gateway_of_the_platform_has_it_under_another_root(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with Awx("/api/controller/v2") as awx:
        awx.approvals = [approval(11, "Helpdesk confirms")]
        awx.answers[NODES] = (200, {"Content-Type": "text/html"}, b"<html>")
        assert len(asked(awx)[0]) == 1


@pytest.mark.parametrize("change, because", [
    ({"status": "failed"}, "Anna de Vries denied it"),
    ({"status": "failed", "by": None, "timed_out": True}, "timed out"),
    ({"timed_out": True}, "timed out"),
    ({"timed_out": "no"}, "timed out"),
    ({"status": "canceled", "by": None}, "not approved (canceled)"),
    ({"status": "pending", "by": None, "finished": None}, "not approved (pending)"),
    ({"status": ["successful"]}, "not approved"),
    ({"by": None}, "does not say by whom"),
    ({"by": ("", "Anna", "")}, "does not say by whom"),
    ({"by": (7, 8, 9)}, "does not say by whom"),
    ({"finished": "2026-11-24T02:44:59Z"}, "before there was this verification"),
    ({"finished": None}, "does not say when"),
    ({"finished": "2026-11-24T02:51:07"}, "does not say when"),
    ({"finished": 1795488667}, "does not say when"),
    ({"finished": "9999-12-31T23:59:59-14:00"}, "does not say when"),
    ({"summary_fields": []}, "does not say by whom"),
])
def test_what_does_not_count_says_which_node_and_why(change, because):
    item, text = approvals.judge(approval(11, "Helpdesk confirms", **change), WRITTEN, NOW)
    assert item is None and text.startswith("Helpdesk confirms: ") and because in text


def test_names_are_text_without_commands_for_a_terminal():
    item, _because = approvals.judge(approval(11, "No\x1b[31mde\n", by=("an\x07na", "\x1b]0;x\x07Anna", "\u202eV")), WRITTEN, NOW)
    assert (item["name"], item["account"], item["note"]) == ("Anna V", "an na", "Node")


@pytest.mark.parametrize("answer, word", [
    ((401, {}, {"detail": TOKEN}), "401"),
    ((403, {}, b"<html>"), "403"),
    ((404, {}, {"detail": "Not found."}), "404"),
    ((500, {}, b""), "500"),
    ((302, {"Location": "http://127.0.0.1:1/login"}, b""), "302"),
    ((200, {}, b"<!DOCTYPE html><html>"), "no JSON"),
    ((200, {}, b"\xff\xfe"), "no JSON"),
    ((200, {}, b"[" * 100000), "no JSON"),
    ((200, {}, [1]), "no JSON object"),
    ((200, {}, {"results": None, "next": None}), "list of nodes"),
    ((200, {}, {"results": [1], "next": None}), "list of nodes"),
    ((200, {}, {"results": [], "next": 7}), "list of nodes"),
    ((200, {}, {"results": [{**node(11, "x"), "job": "11/../../me"}], "next": None}), "list of nodes"),
    ((200, {}, {"results": [], "next": "http://127.0.0.1:1/?page=2"}), "more than 1000 nodes"),
    ((200, {}, b" " * (5 * 1024 * 1024)), "MiB"),
    ((200, {"Content-Length": "99"}, b"{}"), ""),
], ids=range(16))
def test_a_controller_that_fails_or_lies_is_one_sentence(awx, answer, word):
    awx.answers[NODES] = answer
    assert word in problem_of(awx)
    assert not [path for path, _word in awx.asked if "me" in path.split("/")]


def test_one_approval_that_cannot_be_seen_costs_no_other(awx):
    awx.approvals = [approval(11, "Hidden"), approval(12, "Other"), approval(13, "Board confirms")]
    awx.answers["/api/v2/workflow_approvals/11/"] = (403, {}, {})
    awx.answers["/api/v2/workflow_approvals/12/"] = (200, {}, approval(99, "Other"))
    found, problems = asked(awx)
    assert [item["id"] for item in found] == [13]
    assert "Hidden: " in problems[0] and "403" in problems[0] and "Other: " in problems[1] and "something else" in problems[1]


@pytest.mark.slow
def test_a_controller_that_is_not_there_or_drips_is_left_in_time(awx):
    assert "refused" in problem_of(awx, CONTROLLER_HOST="http://127.0.0.1:1")
    awx.answers[NODES] = 3.0
    assert "within 1 s" in problem_of(awx, seconds=1.0)


@pytest.fixture(name="self_signed", scope="module")
def _self_signed(tmp_path_factory):
    key, file = ec.generate_private_key(ec.SECP256R1()), tmp_path_factory.mktemp("tls") / "awx.pem"
    name, start = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "awx")]), datetime.datetime.now(datetime.timezone.utc)
    certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1).not_valid_before(start)
                   .not_valid_after(start + datetime.timedelta(days=1)).sign(key, hashes.SHA256()))
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_the_token_goes_to_a_server_that_is_not_trusted_only_when_the_credential_says_so(self_signed, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with Awx(context=self_signed) as awx:
        assert "certificate" in problem_of(awx) and awx.asked == []
        assert asked(awx, CONTROLLER_VERIFY_SSL="False") == ([], [])


def test_a_secret_that_the_controller_repeats_is_hidden(awx):
    awx.approvals = [approval(11, f"Node {TOKEN}", by=(TOKEN, "", TOKEN)), approval(12, TOKEN)]
    awx.answers["/api/v2/workflow_approvals/12/"] = (403, {}, {})
    assert TOKEN not in json.dumps(asked(awx))


@pytest.mark.parametrize("job", ["", "5/", "x", "-5", "٥", "5" * 19, "{{ 5 }}"])
def test_what_is_no_number_of_a_workflow_job_is_not_asked_for(awx, job):
    with pytest.raises(approvals.NotAnswered, match="no number"):
        asked(awx, job=job)
    assert awx.asked == []


@pytest.mark.parametrize("environment, address, authorization, verify", [
    ({"CONTROLLER_HOST": "awx.test", "CONTROLLER_OAUTH_TOKEN": "t" * 30}, "https://awx.test", "Bearer " + "t" * 30, True),
    ({"CONTROLLER_HOST": "https://awx.test:8043/sub/", "CONTROLLER_OAUTH_TOKEN": "t\n", "CONTROLLER_VERIFY_SSL": "False"},
     "https://awx.test:8043/sub", "Bearer t", False),
    ({"CONTROLLER_HOST": "https://[2001:db8::1]:443", "CONTROLLER_USERNAME": "u", "CONTROLLER_PASSWORD": "p"}, "https://[2001:db8::1]:443", "Basic dTpw", True),
    ({"CONTROLLER_HOST": "https://me:secret@awx.test", "CONTROLLER_OAUTH_TOKEN": "t"}, "https://awx.test", "Bearer t", True),
    ({"CONTROLLER_HOST": "new.test", "TOWER_HOST": "old.test", "TOWER_OAUTH_TOKEN": "t", "TOWER_VERIFY_SSL": "no"}, "https://old.test", "Bearer t", False),
    ({"AAP_HOSTNAME": "https://aap.test", "AAP_TOKEN": "t", "AAP_VALIDATE_CERTS": ""}, "https://aap.test", "Bearer t", True),
])
def test_the_credential_is_of_one_family_of_names(environment, address, authorization, verify):
    found = approvals.controller(environment)
    assert (found.address, found.authorization, found.verify) == (address, authorization, verify)


@pytest.mark.parametrize("environment, word", [
    ({}, "credential"),
    ({"CONTROLLER_HOST": "awx.test", "TOWER_OAUTH_TOKEN": "secret-token"}, "credential"),
    ({"CONTROLLER_HOST": "file:///etc/passwd", "CONTROLLER_OAUTH_TOKEN": "secret-token"}, "address"),
    ({"CONTROLLER_HOST": "https://", "CONTROLLER_OAUTH_TOKEN": "secret-token"}, "address"),
    ({"CONTROLLER_HOST": "https://awx.test:x", "CONTROLLER_OAUTH_TOKEN": "secret-token"}, "address"),
    ({"CONTROLLER_HOST": "https://a wx.test", "CONTROLLER_OAUTH_TOKEN": "secret-token"}, "address"),
    ({"CONTROLLER_HOST": "https://[x", "CONTROLLER_OAUTH_TOKEN": "secret-token"}, "address"),
    ({"CONTROLLER_HOST": "https://awx.test", "CONTROLLER_OAUTH_TOKEN": "secret-token\r\nX: y"}, "token"),
])
def test_a_credential_that_cannot_be_used_is_said_without_its_secret(environment, word):
    with pytest.raises(approvals.NotAnswered, match=word) as caught:
        approvals.controller(environment)
    assert "secret-token" not in str(caught.value)


_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda below: st.lists(below, max_size=3)
                     | st.dictionaries(st.sampled_from(["username", "approved_or_denied_by", "x"]), below, max_size=3), max_leaves=8)


@given(st.sampled_from(["name", "status", "timed_out", "finished", "summary_fields"]), _JSON)
def test_no_wrong_type_breaks_the_judge_nor_is_taken_for_an_approval(key, value):
    given_approval = copy.deepcopy(approval(11, "Node"))
    given_approval[key] = value
    item, because = approvals.judge(given_approval, WRITTEN, NOW)
    assert bool(item) != bool(because) and (key == "name" or value is False or item is None or key == "summary_fields")
    approvals.judge(value, WRITTEN, NOW)
