"""What servers, logs and names say is data: never run, never rendered, never obeyed by a terminal or a browser."""
from __future__ import annotations

from pathlib import Path

import pytest
from playing import CONTROLS, ROOT, Host, Played, run, write_inventory

HERE = Path(__file__).parent
# A product that no clock and no size shows by chance.
FACTORS, PRODUCT = "1234321*3", "3702963"
PROOF = "/tmp/mailops-integration-rendered"
WORDS = (f"\x1b[31mred\x1b]0;title\x07 {{{{ {FACTORS} }}}} {{{{ lookup('pipe', 'touch {PROOF}') }}}} {{% if true %}}yes{{% endif %}} "
         f"<script>alert(1)</script><img src=x onerror=alert(2)> \u202e$(touch {PROOF}) `touch {PROOF}` |x| **b** [l](javascript:alert(3))")
BEHAVIOURS = ("25=words_smtp", "587=silence", "465=garbage", "143=no_line_end", "993=hang_up", "110=words_pop3", "995=silence", "4190=flood")
# Log lines that signatures match, with the words in every place that another machine or a user decides.
LINES = """\
{now} mail postfix/smtpd[901]: NOQUEUE: reject: RCPT from unknown[192.0.2.9]: 451 4.3.5 Server configuration error: {words}; \
from=<{words}@x> to=<{words}@single.test> proto=ESMTP helo=<{words}>
{now} mail postfix/smtp[902]: 4ABCDEF123: to=<{words}@example.org>, relay=none, delay=9, delays=1/1/7/0, dsn=4.4.1, \
status=deferred (connect to {words}[192.0.2.7]:25: Connection timed out)
{now} mail postfix/lmtp[903]: 4ABCDEF124: to=<{words}@single.test>, relay=mail.single.test[private/dovecot-lmtp], delay=1, dsn=4.2.0, \
status=deferred (host mail.single.test[private/dovecot-lmtp] said: 451 4.2.0 <{words}> Internal error occurred. (in reply to end of DATA command))
{now} mail postfix/smtpd[904]: fatal: parameter inet_interfaces: {words}
{now} mail postfix/qmgr[905]: fatal: unknown {words}
{now} mail postfix/cleanup[906]: warning: connect to Milter service {words}: Connection refused
{now} mail dovecot: imap-login: Disconnected: {words} (auth failed, 3 attempts in 9 secs): user=<{words}>, method=PLAIN, rip=192.0.2.9, lip=192.0.2.10
{now} mail dovecot: lmtp({words})<77><x>: Error: {words}: open(/home/{words}) failed: Permission denied
"""


@pytest.fixture(name="attacked", scope="module")
def _attacked(lab, single_inventory, tmp_path_factory):
    """One diagnosis of a host on which everything that speaks is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    Path(PROOF).unlink(missing_ok=True)
    mail, outside = Host(lab, "mail"), Host(lab, "outside")
    mail.change("systemctl stop postfix@- dovecot rsyslog; mkdir /root/hostile")
    mail.write("/root/hostile/words", WORDS.encode())
    mail.write("/root/hostile/hostile.py", (HERE / "hostile.py").read_bytes())
    mail.change(f"setsid python3 /root/hostile/hostile.py {' '.join(BEHAVIOURS)} > /dev/null 2>&1 & sleep 0.5")
    now = mail.look("date -Iseconds").strip()
    lines = LINES.format(now=now, words=WORDS).encode()
    # Stamps that are none, that jump, and bytes that are no text.
    lines += b"9999-12-31T23:59:59.999999+99:99 mail postfix/smtpd[1]: fatal: x\n0000-00-00T00:00:00 mail\nFeb 31 99:99:99 mail postfix/smtpd[2]: fatal: y\n"
    lines += b"1999-01-01T00:00:00+00:00 mail postfix/smtpd[3]: fatal: long ago\n2099-01-01T00:00:00+00:00 mail postfix/smtpd[4]: fatal: not yet\n"
    lines += now.encode() + b" mail postfix/smtpd[5]: fatal: \x00\x00\xff\xfe\xc3( \x1b[2J\x9b31m\n\x00\x00\x00\n\n"
    mail.write("/var/log/mail.log", lines)
    # And once as mail software would, so that the journal knows it.
    mail.write("/root/hostile/said", f"fatal: parameter inet_interfaces: {WORDS}\n".encode())
    mail.change("logger -p mail.err -t postfix/smtpd -f /root/hostile/said")
    mail.change("{ head -c 100M /dev/zero | tr '\\0' 'A'; echo; } >> /var/log/mail.log")
    mail.write("/var/log/mail.log", LINES.format(now=now, words=WORDS).encode())
    outside.change(f"sed -i 's/v=spf1 mx -all/v=spf1 {{{{ {FACTORS} }}}} <script>alert(4)<\\/script> ?bogus:x/' /etc/bind/zones/single.test && rndc reload")
    path = write_inventory(folder / "single.yml", single_inventory)
    try:
        rc, out = run("ansible-playbook", "-v", "-i", str(path), str(ROOT / "diagnose.yml"), "-e", f"report_dir={folder}/reports",
                      environment={"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")})
    finally:
        lab.run("reset", "mail", "outside")
    return Played(rc, out, folder / "reports")


def test_hostile_ports_are_told_apart(attacked):
    outcomes = {probe["port"]: probe["outcome"] for probe in attacked.diagnosis["probes"] if probe["look"] == "first"}
    assert outcomes[587] == outcomes[995] == "silent"
    assert outcomes[465] in ("tls_failed", "garbage")
    assert outcomes[143] in ("garbage", "protocol_error")
    assert outcomes[993] in ("closed", "reset", "tls_failed")
    assert outcomes[110] in ("tempfail", "reject", "protocol_error")
    assert outcomes[4190] in ("garbage", "protocol_error", "timeout", "silent")


def test_every_collector_came_back(attacked):
    assert attacked.diagnosis
    ends = attacked.observation("mail")["collectors"]
    assert [name for name, end in ends.items() if not end["ok"]] == []


def test_the_words_are_kept_as_they_are(attacked):
    text = attacked.text("diagnosis.json") + attacked.text("observations/mail.json")
    assert text.count(f"{{{{ {FACTORS} }}}}") > 10
    matches = attacked.observation("mail")["facts"]["events"]["matches"]
    assert any("{{" in sample["text"] for match in matches.values() for sample in match["samples"])


@pytest.mark.parametrize("place", ["terminal", "diagnosis.json", "report.md", "report.html", "estate.json", "observations/mail.json"])
def test_nothing_is_rendered_and_no_terminal_is_commanded(attacked, place):
    assert attacked.diagnosis
    text = attacked.out if place == "terminal" else attacked.text(place)
    assert PRODUCT not in text
    assert CONTROLS.findall(text) == []
    assert "\\u001b" not in text and "\\u202e" not in text
    assert not Path(PROOF).exists()


def test_html_is_escaped(attacked):
    page = attacked.text("report.html")
    assert "<script>alert" not in page and "<img src=x" not in page and 'href="javascript:' not in page
    assert "&lt;script&gt;alert" in page


def test_markdown_carries_no_raw_html_and_no_link_that_runs(attacked):
    text = attacked.text("report.md")
    assert "[l](javascript:" not in text
    assert "<script>" not in outside_code(text)


def outside_code(markdown):
    """The Markdown without its code spans and blocks, in which nothing has a meaning."""
    kept, fenced = [], False
    for line in markdown.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            kept.append("".join(line.split("`")[::2]))
    return "\n".join(kept)
