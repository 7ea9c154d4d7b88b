"""A bundle holds whole lines within its bounds, and its manifest says what is in it and what is not."""
from __future__ import annotations

import hashlib
import io
import json
import tarfile

from ansible_collections.mailops.outage.plugins.module_utils.host import evidence
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context, Ran
from ansible_collections.mailops.outage.plugins.module_utils.log.bundle import Bundle


def opened(content: bytes) -> dict:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert all(member.mode == 0o600 and member.isreg() for member in tar)
        return {member.name: tar.extractfile(member).read() for member in tar}


def test_the_manifest_tells_source_size_and_digest_of_each_part():
    bundle = Bundle(1000, 500, taken_epoch=7)
    bundle.add("logs/mail.log", "/var/log/mail.log", [b"one\n", b"two\n"])
    content, manifest = bundle.close({"host": "mx1"})
    files = opened(content)
    assert files["evidence/logs/mail.log"] == b"one\ntwo\n" and json.loads(files["evidence/manifest.json"]) == manifest
    assert manifest["parts"] == [{"name": "logs/mail.log", "source": "/var/log/mail.log", "bytes": 8, "sha256": hashlib.sha256(b"one\ntwo\n").hexdigest()}]


def test_each_part_and_all_together_are_bounded_in_whole_lines_and_that_is_said():
    bundle = Bundle(25, 10)
    for name in "abcd":
        bundle.add(name, f"/log/{name}", [b"12345\n", b"89\nxyz\n"])
    _content, manifest = bundle.close({})
    assert [part["bytes"] for part in manifest["parts"]] == [9, 9, 6]
    assert len(manifest["left_out"]) == 4, "the fourth had no room at all"
    assert "/log/a" in manifest["left_out"][0]["what"]


def test_what_is_empty_is_no_part_and_a_log_of_which_nothing_is_kept_is_explained_once(tmp_path):
    bundle = Bundle(100, 100)
    assert bundle.add("a", "/log/a", []) is False and bundle.add("b", "/log/b", [b"x\n"]) is True
    reading = evidence.Reading(str(tmp_path / "mail.log"))
    evidence._log(bundle, "c", reading, 10, iter([]))
    reading.fail("permission denied")
    evidence._log(bundle, "c", reading, 10, iter([]))
    evidence._log(bundle, "d", evidence.Reading("/log/d"), 0, iter([b"x\n"]))
    _content, manifest = bundle.close({})
    assert [part["name"] for part in manifest["parts"]] == ["b"]
    assert [entry["why"] for entry in manifest["left_out"]] == ["nothing of it is in the window", "permission denied", "there was no room left"]


def test_pseudonyms_that_are_longer_do_not_push_the_newest_lines_out():
    bundle = Bundle(16, 8, [lambda data: data.replace(b"anna", b"user-0123456789")])
    bundle.add("a", "/log/a", [b"anna\n", b"xx\n"])
    content, manifest = bundle.close({})
    assert opened(content)["evidence/a"] == b"user-0123456789\nxx\n" and manifest["parts"][0]["bytes"] == 19 and manifest["left_out"] == [] and bundle.left == 8


def test_equal_evidence_is_an_equal_file():
    def made():
        bundle = Bundle(100, 100, taken_epoch=7)
        bundle.add("a", "/log/a", [b"x\n"])
        return bundle.close({})[0]
    assert made() == made()


def test_no_secret_that_is_sown_on_a_host_reaches_the_bundle(monkeypatch, tmp_path):
    log, table, backend = tmp_path / "mail.log", tmp_path / "sasl_passwd", tmp_path / "users.cf"
    table.write_text("[relay.example.org]:587 me:sown-table\n")
    backend.write_text("hosts = db\npassword = sown-backend\n")
    log.write_text("2026-11-26T10:00:00+00:00 mx postfix/smtp[1]: said sown-table and sown-backend and sown-main\n"
                   "2026-11-26T10:00:01+00:00 mx dovecot: auth: Debug: password=sown-form\n2026-11-26T12:00:00+00:00 mx postfix/smtp[1]: too late\n")
    main = tmp_path / "main.cf"
    main.write_text("smtp_sasl_password_maps = static:me:sown-main\n")
    maps = [{"path": str(table), "parameter": "smtp_sasl_password_maps"}, {"path": str(backend), "parameter": "virtual_mailbox_maps"}]
    settings = {"main_path": str(main), "master_path": str(main), "settings": {"relayhost": "[relay.example.org]"}, "expanded": {}}
    monkeypatch.setattr(evidence.postfix, "settings", lambda context: settings)
    monkeypatch.setattr(evidence.postfix, "collect", lambda context: {"maps": maps})
    monkeypatch.setattr(evidence.dovecot, "settings", lambda context: None)
    monkeypatch.setattr(evidence.services, "collect", lambda context: {"units": []})
    monkeypatch.setattr(evidence.journal, "available", lambda: False)

    def run(self, *argv, **more):
        return Ran(argv, 0, "token=sown-output\n") if argv[0] == "ss" else Ran(argv, None, missing=True)
    monkeypatch.setattr(Context, "run", run)
    context = Context(options={"since": 1795687190, "until": 1795687300, "log_files": [str(log)]})
    content, manifest = evidence.gather(context, 100000, 50000, False)
    files = opened(content)
    kept = b"".join(files.values())
    assert b"sown-table" not in kept and b"sown-backend" not in kept and b"sown-main" not in kept and b"sown-form" not in kept and b"sown-output" not in kept
    name = next(name for name in files if name.endswith("mail.log"))
    assert b"said (hidden) and (hidden) and (hidden)" in files[name] and b"too late" not in files[name]
    assert b"relayhost = [relay.example.org]" in files["evidence/postconf.txt"] and manifest["hidden"] >= 5
