"""The events of a host: which sources are read, and that nothing counts twice."""
from __future__ import annotations

import gzip
import os
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest
from known import KNOWN, TRAFFIC
from known import SIGNATURES as MEANT

from ansible_collections.mailops.outage.plugins.module_utils.host import events
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context
from ansible_collections.mailops.outage.plugins.module_utils.log import journal

START = datetime(2026, 11, 20, tzinfo=timezone.utc).timestamp()
SIGNATURES = {
    **MEANT, "oom": {"program": "kernel", "pattern": r"^Out of memory: Killed process \d+ \((?P<process>\w+)\)", "source": "kernel"},
    "unit_failed": {"program": "systemd", "pattern": r"^(?P<unit>\S+\.service): Failed with result"}}


def line(number, text, stamp="%Y-%m-%dT%H:%M:%S+00:00"):
    return datetime.fromtimestamp(START + number, timezone.utc).strftime(stamp) + " mail " + text + "\n"


def entry(number, text):
    return f"{START + number:.6f} mail {text}\n"


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host whose logs lie in ``tmp_path``; ``host.journal`` (kind: text) is what its journal holds, None for no journal."""
    it = SimpleNamespace(path=tmp_path, journal=None, installed={"postfix", "dovecot"}, processes=["postfix"])
    for name in ("MAIL_FILES", "SYSTEM_FILES", "KERNEL_FILES"):
        monkeypatch.setattr(events, name, tuple(str(tmp_path / os.path.basename(path)) for path in getattr(events, name)))
    monkeypatch.setattr(events, "installed", lambda: it.installed)
    monkeypatch.setattr(events._processes, "mail_processes", lambda _context: [SimpleNamespace(software=name) for name in it.processes])
    monkeypatch.setattr(events.dovecot, "settings", lambda _context: it.dovecot)
    monkeypatch.setattr(events.postfix, "settings", lambda _context: None)
    monkeypatch.setattr(journal, "available", lambda: it.journal is not None)
    it.dovecot = None

    def stream(argv, _budget, reading):
        kind = next(kind for kind in ("mail", "units", "kernel") if argv[-len(journal.matches(kind)):] == list(journal.matches(kind)))
        since = float(next(word for word in argv if word.startswith("--since="))[len("--since=@"):])
        it.asked.append((kind, since))
        yield "".join(each for each in it.journal.get(kind, "").splitlines(True) if float(each.split()[0]) >= since).encode()

    it.asked = []
    monkeypatch.setattr(journal, "stream", stream)

    def write(name, text, mtime=START + 3600):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        os.utime(tmp_path / name, (mtime, mtime))
    it.write = write

    def look(**options):
        it.context = Context({"since": START, "until": START + 3600, "signatures": SIGNATURES, **options})
        return events.collect(it.context)
    it.look = look
    return it


def test_a_mail_log_is_read(host):
    host.write("mail.log", "".join(line(number, text) for number, text in enumerate(TRAFFIC)) + line(100, KNOWN["lmtp_refused"][1]))
    found = host.look()
    assert list(found["matches"]) == ["lmtp_refused"]
    assert found["matches"]["lmtp_refused"]["groups"] == {"socket": {"private/dovecot-lmtp": 1}}
    assert found["flow"]["delivered"] == 1 and found["flow"]["deferred"] == 1 and found["flow"]["last_line_epoch"] == START + 100
    assert found["window"] == {"since": "2026-11-20T00:00:00Z", "since_epoch": START, "until": "2026-11-20T01:00:00Z", "until_epoch": START + 3600}
    (source,) = found["sources"]
    assert source == {"source": str(host.path / "mail.log"), "first": "2026-11-20T00:00:00Z", "first_epoch": START, "last": "2026-11-20T00:01:40Z",
                      "last_epoch": START + 100, "lines": len(TRAFFIC) + 1,
                      "bytes": os.path.getsize(host.path / "mail.log"), "complete": True, "ordered": True, "problem": ""}
    assert found["silent"] is False and found["stopped"] == [] and host.context.not_visible == []


def test_a_window_across_a_rotation_is_whole(host):
    with gzip.open(host.path / "mail.log.2.gz", "wb") as stream:
        stream.write((line(-9000, "x: before") + line(10, KNOWN["milter"][1])).encode())
    os.utime(host.path / "mail.log.2.gz", (START + 10, START + 10))
    host.write("mail.log.1", line(20, KNOWN["milter"][1]), START + 20)
    host.write("mail.log", line(30, KNOWN["milter"][1]) + line(4000, KNOWN["milter"][1]), START + 4000)
    found = host.look()
    assert found["matches"]["milter"]["count"] == 3
    assert [os.path.basename(source["source"]) for source in found["sources"]] == ["mail.log", "mail.log.1", "mail.log.2.gz"]
    assert [sample["time"] for sample in found["matches"]["milter"]["samples"]] == ["2026-11-20T00:00:10Z", "2026-11-20T00:00:20Z", "2026-11-20T00:00:30Z"]


def test_a_line_in_file_and_journal_counts_once(host):
    texts = [TRAFFIC[0], KNOWN["milter"][1], KNOWN["clock"][1]]
    host.write("mail.log", "".join(line(number, text) for number, text in enumerate(texts * 3)))
    host.journal = {"mail": "".join(entry(number + 0.1, text) for number, text in enumerate(texts * 3)),
                    "kernel": entry(5, "kernel: Out of memory: Killed process 7 (imap) total-vm:1kB"),
                    "units": entry(6, "systemd[1]: dovecot.service: Failed with result 'exit-code'.")}
    found = host.look()
    assert {name: match["count"] for name, match in found["matches"].items()} == {"milter": 3, "clock": 3, "oom": 1, "unit_failed": 1}
    assert found["flow"]["connections"] == 3
    assert found["matches"]["oom"]["samples"][0]["source"].startswith("journalctl ")


def test_software_that_logs_to_the_journal_alone_is_read_there(host):
    host.write("mail.log", line(1, TRAFFIC[0]) + line(3590, TRAFFIC[0]))
    host.journal = {"mail": entry(1, TRAFFIC[0]) + entry(2, KNOWN["clock"][1]) + entry(3, "opendkim[1]: x")}
    found = host.look()
    assert found["matches"]["clock"]["count"] == 1 and found["flow"]["connections"] == 2


def test_the_journal_serves_where_there_is_no_file(host):
    host.journal = {"mail": "".join(entry(number, text) for number, text in enumerate(TRAFFIC)) + entry(50, KNOWN["milter"][1])}
    found = host.look()
    assert found["flow"]["delivered"] == 1 and found["flow"]["connections"] == 1 and found["matches"]["milter"]["count"] == 1
    assert found["silent"] is False and found["stopped"] == []


def test_a_file_that_stopped_is_told_and_continued_from_the_journal(host):
    host.installed = {"postfix"}
    host.write("mail.log", line(100, KNOWN["milter"][1]), START + 100)
    host.journal = {"mail": entry(100.2, KNOWN["milter"][1]) + entry(900, KNOWN["milter"][1])}
    found = host.look()
    assert found["matches"]["milter"]["count"] == 2
    (stopped,) = found["stopped"]
    assert stopped["source"] == str(host.path / "mail.log") and stopped["last_epoch"] == START + 100 and stopped["newer_epoch"] == START + 900
    assert ("mail", START + 101) in host.asked


def test_a_general_log_serves_when_there_is_no_mail_log(host):
    host.write("syslog", line(1, KNOWN["milter"][1]) + line(2, "systemd[1]: dovecot.service: Failed with result 'exit-code'."))
    host.journal = {"units": entry(2, "systemd[1]: dovecot.service: Failed with result 'exit-code'.")}
    found = host.look()
    assert {name: match["count"] for name, match in found["matches"].items()} == {"milter": 1, "unit_failed": 1}


def test_the_files_that_dovecot_is_told_to_write_are_read(host):
    host.dovecot = {"log": {"log_path": str(host.path / "dovecot.log"), "info_log_path": "syslog", "debug_log_path": ""}}
    host.write("mail.log", line(1, TRAFFIC[0]))
    host.write("dovecot.log", "Nov 20 00:00:02 " + KNOWN["clock"][1].split(": ", 1)[1] + "\n")
    assert host.look()["matches"]["clock"]["count"] == 1


def test_settings_that_cannot_be_asked_do_not_cost_the_logs(host, monkeypatch):
    monkeypatch.setattr(events.dovecot, "settings", lambda _context: 1 / 0)
    host.write("mail.log", line(1, KNOWN["milter"][1]))
    assert host.look()["matches"]["milter"]["count"] == 1


def test_logs_asked_for_are_read_instead(host):
    host.write("mail.log", line(1, KNOWN["milter"][1]))
    host.write("other", line(1, KNOWN["policy"][1]))
    assert list(host.look(log_files=[str(host.path / "other"), str(host.path / "missing")])["matches"]) == ["policy"]
    assert host.context.not_visible == [f"{host.path}/missing: no such file"]


def test_two_names_of_one_log_are_one(host):
    host.write("mail.log", line(1, KNOWN["milter"][1]))
    os.symlink(host.path / "mail.log", host.path / "maillog")
    assert host.look()["matches"]["milter"]["count"] == 1


def test_the_kernel_log_is_a_file_where_there_is_no_journal(host):
    host.write("mail.log", line(1, TRAFFIC[0]))
    host.write("kern.log", line(5, "kernel: Out of memory: Killed process 7 (imap) total-vm:1kB"))
    found = host.look()
    assert found["matches"]["oom"]["count"] == 1 and found["flow"]["connections"] == 1


def test_silence_is_seen_while_mail_software_runs(host):
    host.write("mail.log", line(-9000, TRAFFIC[0]), START - 9000)
    assert host.look()["silent"] is True
    # Right after a repair the window is some seconds long.
    assert host.look(since=START + 3590)["silent"] is False
    host.processes = []
    assert host.look()["silent"] is False


def test_what_could_not_be_read_is_no_silence(host, monkeypatch):
    host.write("mail.log", line(1, TRAFFIC[0]))
    monkeypatch.setattr(os, "open", lambda *_arguments, **_options: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    assert host.look()["silent"] is False
    assert host.context.not_visible == [f"{host.path}/mail.log: permission denied"]


def test_stamps_that_go_back_are_told(host):
    host.write("mail.log", "".join(line(number, TRAFFIC[0]) for number in list(range(100)) + list(range(50))))
    found = host.look()
    assert found["sources"][0]["ordered"] is False and "go back in time" in host.context.not_visible[0]


def test_a_wrong_signature_is_named(host):
    with pytest.raises(ValueError, match="signature bad"):
        host.look(signatures={"bad": {"program": "x", "pattern": "^("}})


@pytest.mark.parametrize("junk",
                         [b"\x00" * 5000, b"\xff\xfe\n" * 500, b"\x1b[31m\x1b]0;x\x07\n", b"x" * 3000000, b"\n" * 5000,
                          b"Nov 99 99:99:99 mail postfix/smtpd[1]: connect from x\n",
                                  b"2026-11-20T00:00:09", b"Nov 20 00:00:09 mail postfix/smtpd[1]: NOQUEUE: reject: \x00\xff\n"])
def test_no_content_of_a_log_breaks_the_look(host, junk):
    host.write("mail.log", line(1, TRAFFIC[0]).encode() + junk + b"\n" + line(20, KNOWN["milter"][1]).encode())
    found = host.look()
    assert found["matches"]["milter"]["count"] == 1 and found["flow"]["connections"] >= 1


def trusted(found):
    return {name: (match["count"], match["trust"]) for name, match in found["matches"].items()}


def test_a_line_that_the_journal_knows_from_mail_software_is_trusted(host):
    texts = [TRAFFIC[0], KNOWN["milter"][1]] * 3
    host.write("mail.log", "".join(line(number, text) for number, text in enumerate(texts)))
    host.journal = {"mail": "".join(entry(number + 0.1, text) for number, text in enumerate(texts))}
    found = host.look()
    assert trusted(found) == {"milter": (3, "journal")} and found["untrusted"] == {}
    assert found["matches"]["milter"]["samples"][0]["source"] == str(host.path / "mail.log")


def test_what_somebody_else_wrote_into_the_file_is_dropped_and_counted(host):
    texts = [TRAFFIC[number % 5] for number in range(30)]
    host.write("mail.log", "".join(line(number, text) for number, text in enumerate(texts + [KNOWN["milter"][1], KNOWN["clock"][1], KNOWN["clock"][1]])))
    # Only one of the two complaints about the clock is Dovecot's own.
    host.journal = {"mail": "".join(entry(number, text) for number, text in enumerate(texts)) + entry(31, KNOWN["clock"][1])}
    found = host.look()
    assert trusted(found) == {"clock": (1, "journal")} and found["untrusted"] == {"milter": 1}
    assert found["matches"]["clock"]["samples"][0]["source"].startswith("journalctl ")


def test_a_delivery_that_somebody_else_wrote_into_the_file_is_none(host):
    texts = [TRAFFIC[number % 5] for number in range(30)]
    sent = "postfix/smtp[1]: 4C1D5: to=<a@b>, relay=x, delay=1, delays=1/0/0/0, dsn=2.0.0, status=sent (250 ok)"
    host.write("mail.log", "".join(line(number, text) for number, text in enumerate(texts + [KNOWN["milter"][1], sent])))
    host.journal = {"mail": "".join(entry(number, text) for number, text in enumerate(texts + [KNOWN["milter"][1]]))}
    found = host.look()
    assert trusted(found) == {"milter": (1, "journal")} and found["flow"]["last_delivery_epoch"] is None


@pytest.mark.parametrize("told", [
    None, "", "".join(entry(number + 3000, TRAFFIC[0]) for number in range(100)), entry(1, TRAFFIC[0])])
def test_where_the_journal_cannot_tell_a_line_is_the_files_word(host, told):
    """No journal; an empty one; one that began later; one that lacks most of what the file has (a chroot with a socket of its own)."""
    host.write("mail.log", "".join(line(number, text) for number, text in enumerate([TRAFFIC[0]] * 20 + [KNOWN["milter"][1]])))
    host.journal = None if told is None else {"mail": told}
    assert trusted(host.look()) == {"milter": (1, "file")}


def test_what_only_the_journal_holds_is_its_word_and_what_a_peer_did_is_the_peers(host):
    host.journal = {"mail": entry(50, KNOWN["milter"][1]) + entry(51, KNOWN["expired"][1])}
    peers = {name: dict(spec, remote=name == "expired") for name, spec in SIGNATURES.items()}
    assert trusted(host.look(signatures=peers)) == {"milter": (1, "journal"), "expired": (1, "remote")}


def test_exims_own_files_are_exims_word(host):
    host.write("mainlog", "2026-11-20 00:00:05 " + KNOWN["exim_tainted"][1].split(": ", 1)[1] + "\n")
    assert trusted(host.look(log_files=[str(host.path / "mainlog")])) == {"exim_tainted": (1, "file")}
