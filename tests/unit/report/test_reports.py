"""What the reports must say, in whatever layout."""
from __future__ import annotations

import copy
import html as stdlib_html
import re
import string
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ansible_collections.mailops.outage.plugins.module_utils.report import content, html, markdown, terminal, words

LAYOUTS = {"terminal": terminal.summary, "markdown": markdown.render, "html": html.render}


def plain(layout, diagnosis, language="en"):
    """The report's words, without its escapes."""
    return stdlib_html.unescape(LAYOUTS[layout](diagnosis, language)).replace("\\", "")


def flat(text):
    return " ".join(text.split())


@pytest.fixture(params=sorted(LAYOUTS))
def layout(request):
    return request.param


@pytest.mark.parametrize("said", [
    "OUTAGE", "SEV1", "2026-11-23 20:40 UTC", "nothing is lost yet", "all users", "receiving from outside", "The title of service.mta_stopped", "mx1",
    "95 % sure", "Nothing accepts mail.", "the Postfix mail system is not running", "postfix status", "/var/log/mail.log:4711", "Start the real unit",
    "interrupts mail for a moment", "Stop it again", "Do not delete queue files.", "The title of queue.backlog", "returned to its sender in 4 days",
    "Read the plan", "ansible-playbook remediate.yml --check",
])
def test_an_outage_is_told(layout, outage, said):
    assert said in flat(plain(layout, outage))


@pytest.mark.parametrize("said", [
    "12 deferred", "storage", "spool_full", "mx1:25/smtp", "fails at connect: refused", "firewall rules: needs root", "loopback-only", "postfix 3.7.11",
    "Call the operator", "Mail is late.", "follows from service.mta_stopped", "example.test", "2026-11-23T20:51:19Z", "ansible_core 2.21.5",
])
@pytest.mark.parametrize("layout", ["markdown", "html"])
def test_the_full_report_leaves_nothing_out(layout, outage, said):
    assert said in flat(plain(layout, outage))


def test_the_other_language_is_dutch(layout, outage):
    said = flat(plain(layout, outage, "nl"))
    assert "STORING" in said and "NL The title of service.mta_stopped" in said and "alle gebruikers" in said and "OUTAGE" not in said


def test_health_is_told_with_what_to_watch(layout, healthy):
    said = plain(layout, healthy)
    assert "HEALTHY" in said and "No mail is delayed or lost" in said and "The title of package.security_pending" in said and "SEV" not in said


def test_an_unknown_cause_is_said_to_be_unknown_and_where_to_look(layout, unknown):
    said = flat(plain(layout, unknown))
    assert "The title of none.unknown" in said or "No cause found" in said
    assert "follow one session of smtp" in said and "Look at the host" in said and "95 % sure" not in said


@pytest.mark.parametrize(("impact", "said"), [
    ("lost", "MAIL IS BEING LOST"), ("silent", "MAIL GOES ASTRAY"), ("queued", "waits in our queue"), ("tempfail", "put off"),
])
def test_what_happens_to_mail_is_said_first(layout, outage, impact, said):
    outage["impact"]["class"] = impact
    text = plain(layout, outage)
    assert said in text and text.index(said) < text.index("The title of service.mta_stopped")
    assert ("Stop the loss first" in flat(text)) == (impact in ("lost", "silent"))


def test_contained_loss_is_said_to_be_contained(layout, outage):
    outage["impact"].update({"class": "lost", "contained": True})
    assert "Contained for now" in plain(layout, outage)


def test_where_only_access_fails_no_mail_is_said_to_be_refused(outage):
    outage["scope"]["services"] = ["retrieval"]
    assert "cannot log in" in content.impact(outage, "en")[0]


def test_a_report_of_the_least_that_a_diagnosis_holds(layout, outage):
    """What is optional in the schema may be missing."""
    for key in ("severity_rule", "confirmed", "bounce_clock"):
        del outage[key]
    outage.update(changes=[], probes=[], ruled_out=[], not_visible=[], advice=[], versions={}, estate={"hosts": [], "domains": []})
    del outage["causes"][0]["look_next"]
    assert "OUTAGE" in LAYOUTS[layout](outage, "en")


def test_an_unknown_word_is_shown_as_it_is(layout, outage):
    outage["impact"]["class"] = "perplexed"
    assert "perplexed" in plain(layout, outage)


# The terminal

@pytest.mark.parametrize("width", [40, 80, 100])
@pytest.mark.parametrize("language", words.LANGUAGES)
def test_a_screen_holds_the_summary(outage, width, language):
    long = "a rather long sentence that goes on and on about what was seen " * 8
    first = outage["causes"][0]
    first.update(explanation={"en": long, "nl": long}, never={"en": long, "nl": long}, title={"en": long, "nl": long})
    first["evidence"] = [dict(first["evidence"][0], text=long)] * 8
    outage["causes"] += [dict(outage["causes"][1], rank=rank) for rank in range(3, 12)]
    lines = terminal.summary(outage, language, width, report="/srv/" + "reports/" * 30).splitlines()
    assert len(lines) <= terminal.LINES and all(terminal.columns(line) <= width for line in lines)


def test_the_summary_keeps_at_least_one_piece_of_evidence_and_the_remedy(outage):
    long = "word " * 100
    outage["causes"][0]["explanation"] = {"en": long, "nl": long}
    outage["causes"] += [dict(outage["causes"][1], rank=rank) for rank in range(3, 30)]
    said = flat(terminal.summary(outage))
    assert "the Postfix mail system is not running" in said and "Start the real unit" in said and "Beware" in said and "more, in the report" in said


def test_the_path_of_the_report_is_the_last_line(outage):
    assert terminal.summary(outage, report="/srv/reports/latest/report.md").splitlines()[-1].endswith("/srv/reports/latest/report.md")


def test_colour_only_when_asked(outage):
    assert "\x1b" not in terminal.summary(outage)
    coloured = terminal.summary(outage, colour=True)
    assert "\x1b[" in coloured and re.sub(r"\x1b\[[0-9;]*m", "", coloured) == terminal.summary(outage)


@pytest.mark.parametrize(("text", "width", "most", "lines"), [
    ("", 10, 3, []), ("one two three", 7, 3, ["one two", "three"]), ("one two three", 7, 1, ["one tw…"]), ("x" * 12, 5, 3, ["xxxxx", "xxxxx", "xx"]),
    ("日本語テキスト", 6, 3, ["日本語", "テキス", "ト"]),
])
def test_wrapping(text, width, most, lines):
    assert terminal.wrap(text, width, most) == lines


# Hostile text

EVIL = [
    "<script>alert(1)</script>", "[x](javascript:alert(1))", "![x](https://evil.test/x.png)", "`rm -rf /`", "a | b | c", "https://evil.test/", "www.evil.test",
    "\x1b[2J\x1b]0;owned\x07", "**bold** _em_ ~~x~~", "<img src=x onerror=alert(1)>", "&lt;b&gt;", "# heading", "{{ lookup('pipe', 'id') }}",
    "\u202egnp.exe", "'\"><svg/onload=alert(1)>", "<!-- -->", "$\\frac{1}{2}$", "- [ ] x", "```\n</pre>", "{0.__class__}",
]


def spoiled(diagnosis, text):
    """The diagnosis with ``text`` wherever text from a host may stand."""
    found = copy.deepcopy(diagnosis)
    for cause in found["causes"]:
        cause["host"] = text
        for item in cause["evidence"]:
            item.update(text=text, source=text, line=text, time=text, host=text)
    found["probes"] = [dict(probe, id=text, answer=text, banner=text, step=text, outcome=text, vantage=text, host=text) for probe in found["probes"]]
    found["scope"].update(users=[text], hosts=[text])
    found["not_visible"] = [text, text]
    found["estate"] = {"hosts": [{"name": text, "reachable": False, "error": text, "roles": [], "software": [text]}], "domains": [text]}
    found["changes"] = [{"host": text, "what": "setting", "name": text, "before": text, "after": text, "source": text, "time_epoch": None}]
    found["ruled_out"] = [{"id": text, "because": text}]
    found["advice"] = [{"en": text, "nl": text}]
    found["versions"] = {"postfix": text}
    return found


def controls(text):
    return [character for character in text if (ord(character) < 32 and character != "\n") or 127 <= ord(character) < 160 or character in "\u202e\u2028\u200e"]


class Tags(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self, page):
        super().__init__()
        self.seen = set()
        self.attributes = set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes.update(name for name, _value in attrs)

    def handle_comment(self, data):
        self.seen.add("comment")


def check_hostile(diagnosis, text):
    bad = spoiled(diagnosis, text)
    for name, render in LAYOUTS.items():
        assert not controls(render(bad, "en")), name
    page = html.render(bad)
    tags = Tags(page)
    assert tags.seen <= set("html head meta title style body header h1 h2 h3 p dl dt dd section ul ol li span br div table thead tbody tr th td "
                            "details summary pre footer".split())
    assert tags.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class"}
    document = markdown.render(bad)
    assert "<" not in document
    for token in MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(document):
        kinds = {child.type for child in token.children or []}
        assert token.type not in ("html_block", "code_block"), token
        assert not kinds & {"html_inline", "link_open", "image", "code_inline", "em_open", "s_open"}, token
    lines = terminal.summary(bad).splitlines()
    assert len(lines) <= terminal.LINES and all(terminal.columns(line) <= 80 for line in lines)


@pytest.mark.parametrize("text", EVIL)
def test_hostile_text_does_nothing(outage, text):
    check_hostile(outage, text)


@pytest.mark.slow
@given(st.one_of(st.text(max_size=80), st.text(alphabet=string.punctuation + " ab\n\t\x1b\x9b", max_size=80)))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_does_nothing(outage, text):
    check_hostile(outage, text)


@given(st.text(max_size=200), st.integers(5, 60), st.integers(1, 4))
def test_wrapped_lines_fit(text, width, most):
    lines = terminal.wrap(text, width, most)
    assert len(lines) <= most and all(terminal.columns(line) <= width for line in lines)


def test_a_web_address_is_shown_and_is_no_link():
    shown = markdown.text("see https://evil.test/a and www.evil.test")
    assert "https://" not in shown and "www.evil" not in shown
    assert MarkdownIt("commonmark").renderInline(shown) == "see https://evil.test/a and www.evil.test"


@given(st.text(alphabet=string.printable, max_size=100))
def test_escaped_markdown_reads_as_the_text(text):
    from ansible_collections.mailops.outage.plugins.module_utils.text import clean

    shown = stdlib_html.unescape(MarkdownIt("commonmark").render(f"- {markdown.text(text)}"))
    assert shown == f"<ul>\n<li>{clean(text, 600)}</li>\n</ul>\n"


# The page

def test_the_page_loads_nothing_and_forbids_everything(outage):
    page = html.render(outage)
    assert page.startswith("<!doctype html>") and "default-src 'none'" in page and "unsafe" not in page
    assert not re.search(r"(?i)(src|href|action)\s*=|url\(|@import|<script|<link|<iframe", page)


def test_the_pages_style_is_the_one_that_its_policy_allows(outage):
    import base64
    import hashlib

    page = html.render(outage)
    style = page.split("<style>")[1].split("</style>")[0]
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in page.split("<style>")[0]


def test_the_page_is_for_phones_and_for_the_dark(outage):
    page = html.render(outage)
    assert 'name="viewport"' in page and "prefers-color-scheme: dark" in page and '<html lang="en">' in page


def test_a_very_long_table_is_cut_and_says_so(outage):
    outage["probes"] = outage["probes"] * 400
    for render in (markdown.render, html.render):
        assert "more are not shown" in render(outage) and len(render(outage)) < 200_000


# The words

@pytest.mark.parametrize("key", sorted(words.WORDS))
def test_every_phrase_is_in_every_language(key):
    texts = words.WORDS[key]
    assert set(texts) == set(words.LANGUAGES) and all(text.strip() for text in texts.values())
    fields = [{field for _text, field, _spec, _conversion in string.Formatter().parse(text) if field} for text in texts.values()]
    assert all(item == fields[0] for item in fields)


@pytest.mark.parametrize(("kind", "names"), [
    ("verdict", ["healthy", "degraded", "outage", "unknown"]), ("about", ["healthy", "degraded", "outage", "unknown"]),
    ("severity", ["none", "sev4", "sev3", "sev2", "sev1"]), ("scope", ["none", "single_user", "some_users", "domain", "all_users"]),
    ("impact", ["none", "refused", "hanging", "tempfail", "queued", "lost", "silent"]), ("class", ["reversible", "disruptive", "human", "none"]),
    ("service", ["inbound", "outbound", "submission", "retrieval", "delivery", "local"]),
])
def test_every_word_of_the_schema_has_its_phrase(kind, names):
    for name in names:
        assert f"{kind}_{name}" in words.WORDS


def test_a_phrase_that_is_not_there_is_an_error():
    with pytest.raises(KeyError):
        words.say("nonsense", "en")


@pytest.mark.parametrize(("seconds", "said"), [(426600, "4 days"), (86400, "24 hours"), (5400, "90 minutes"), (-5, "0 minutes")])
def test_periods(seconds, said):
    assert content.period(seconds, "en") == said
