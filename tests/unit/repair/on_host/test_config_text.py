"""Statements are taken back one by one, and what was not asked for stays as it is."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import config_text
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.config_text import statements, taken_back

MAIN = """\
# main
myhostname = mail.x.test
mynetworks = 127.0.0.0/8
    [::1]/128
relayhost =

smtpd_client_restrictions = permit
"""
MASTER = """\
smtp      inet  n       -       y       -       -       smtpd
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
  -o smtpd_sasl_auth_enable=yes
tlsmgr    unix  -       -       y       1000?   1       tlsmgr
"""
DOVECOT = """\
mail_location = maildir:~/Maildir
service lmtp {
  unix_listener /var/spool/postfix/private/dovecot-lmtp {
    mode = 0600
  }
}
ssl_cert = </etc/ssl/mail/fullchain.pem
"""


def by_name(*patterns):
    return lambda statement: statement.is_named(patterns)


@given(st.text(alphabet="ab =#{}\n\t\"-", max_size=200), st.sampled_from(config_text.KINDS))
def test_the_statements_together_are_the_text(text, kind):
    assert "".join(one.text for one in statements(text, kind)) == text


@given(st.text(alphabet="ab=#{} \n", max_size=120), st.text(alphabet="ab=#{} \n", max_size=120), st.sampled_from(config_text.KINDS))
def test_all_taken_back_is_the_good_text(current, good, kind):
    assert taken_back(current, good, kind).rstrip("\n") == good.rstrip("\n")


@given(st.text(alphabet="ab=# \n", max_size=120), st.text(alphabet="ab=# \n", max_size=120), st.sampled_from(config_text.KINDS))
def test_nothing_chosen_changes_nothing(current, good, kind):
    assert taken_back(current, good, kind, lambda statement: False).rstrip("\n") == current.rstrip("\n")


def test_one_setting_is_taken_back_and_a_change_beside_it_stays():
    now = MAIN.replace("relayhost =", "relayhost = [192.0.2.1]").replace("mail.x.test", "mx.x.test") + "# a remark\n"
    assert taken_back(now, MAIN, "main", by_name("relayhost")) == now.replace("relayhost = [192.0.2.1]", "relayhost =")


def test_a_variable_in_debians_files_for_exim_is_known_by_its_name():
    assert [one.key for one in statements("dc_relay_nets='192.0.2.0/24'\n# x\n2001:db8::1 OK\npostmaster: root\n", "lines")] == [
        "dc_relay_nets", "", "2001:db8::1", "postmaster"]


def test_two_changes_side_by_side_are_told_apart():
    good = "a = 1\nb = 1\nc = 1\n"
    assert taken_back("a = 2\nb = 2\nc = 1\n", good, "main", by_name("b")) in ("a = 2\nb = 1\nc = 1\n", "b = 1\na = 2\nc = 1\n")


def test_a_setting_that_was_added_goes_and_one_that_was_removed_comes_back():
    now = MAIN.replace("relayhost =\n", "") + "soft_bounce = yes\n"
    assert taken_back(now, MAIN, "main", by_name("soft_bounce")) == MAIN.replace("relayhost =\n", "")
    assert "relayhost =\n" in taken_back(now, MAIN, "main", by_name("relayhost"))


def test_a_value_of_several_lines_comes_back_whole():
    now = MAIN.replace("127.0.0.0/8\n    [::1]/128", "0.0.0.0/0")
    assert taken_back(now, MAIN, "main", by_name("mynetworks")) == MAIN


def test_a_service_of_master_cf_comes_back_with_its_overrides():
    start = MASTER.index("submission")
    now = MASTER[:start] + MASTER[MASTER.index("tlsmgr"):]
    assert taken_back(now, MASTER, "master", by_name("submission/inet")) == MASTER


def test_an_override_is_known_by_its_name():
    now = MASTER.replace("smtpd_sasl_auth_enable=yes", "smtpd_sasl_auth_enable=no")
    assert taken_back(now, MASTER, "master", by_name("smtpd_sasl_*")) == MASTER


def test_a_block_of_dovecot_is_taken_back_whole_and_the_line_after_it_stays():
    now = DOVECOT.replace("mode = 0600", "mode = 0000") + "mail_debug = yes\n"
    assert taken_back(now, DOVECOT, "dovecot", by_name("service lmtp")) == DOVECOT + "mail_debug = yes\n"


def test_a_block_that_is_never_closed_ends_where_a_line_stands_no_further_in():
    found = statements("a = 1\nservice x {\n b {\n  b = 2\n}\n\n# c\nc = 3\n", "dovecot")
    assert [(one.key, one.broken) for one in found] == [("a", False), ("service x", True), ("", False), ("", False), ("c", False)]


def test_braces_in_comments_and_quotes_do_not_count():
    assert len(statements('a = "{"\n# {\nb = 2\n', "dovecot")) == 3


def test_what_is_gone_comes_back_and_what_is_new_stays():
    good = "a@x.test OK\nb@x.test OK\n"
    assert taken_back("new@x.test OK\n", good, "lines", None, only_missing=True) == good + "new@x.test OK\n"


def test_what_is_missing_comes_back_in_the_place_of_what_is_left_of_it():
    for damaged in (MASTER.replace("smtp      inet", "smpt      inet"), MASTER.replace("smtp      inet  n", "smtp      inet")):
        now = damaged + "policy unix - n n - 0 spawn\n"
        found = taken_back(now, MASTER, "master", by_name("*/inet"), only_missing=True, unknown=lambda one: one.key == "smpt/inet")
        assert found == MASTER + "policy unix - n n - 0 spawn\n"


@pytest.mark.parametrize("text, errors, stays, goes", [
    (MAIN + "relayhost [x.example.test]\n", [{"line": 8, "text": "missing '='"}], "relayhost =", "[x.example"),
    (MAIN + "message_size_limit = abc\n", [{"line": None, "text": "bad numerical configuration: message_size_limit = abc"}], "relayhost", "abc"),
])
def test_the_statement_that_the_software_complains_of_is_found(text, errors, stays, goes):
    found = taken_back(text + "# a remark\n", MAIN, "main", config_text.blamed(text, "main", errors))
    assert stays in found and goes not in found and "# a remark" in found


RESTRICTED = MAIN.replace("smtpd_client_restrictions = permit",
                          "smtpd_recipient_restrictions = permit_mynetworks,\n  reject_unauth_destination\nmessage_size_limit = 20480000")
TORN = "smtpd_recipient_restrictions = permit_mynetworks,\n"
PLAIN_BLOCK = "service auth {\n  unix_listener auth {\n    mode = 0660\n  }\n}\n"


@pytest.mark.parametrize("kind, good, damaged, errors", [
    ("master", MASTER, MASTER.replace("       -       -       smtpd\nsub", "       -       -\nsub"), [{"line": 1, "text": "bad transport type"}]),
    ("master", MASTER, MASTER.replace("submission inet n", "submission n"), [{"line": 2, "text": "bad transport type: n"}]),
    ("master", MASTER, MASTER.replace("smtp      inet", "inet"), [{"line": None, "text": "missing field"}]),
    ("main", RESTRICTED, RESTRICTED.replace("works,\n  reject", "works,\nreject"), [{"line": None, "text": "missing '='"}]),
    ("main", RESTRICTED, RESTRICTED.replace("smtpd_recipient_restrictions", "smtpd_recipient_restr\nictions"), [{"line": 8, "text": "missing '='"}]),
    ("main", RESTRICTED, RESTRICTED.replace("message_size_limit =", "message_size_limit"), [{"line": 10, "text": "missing '='"}]),
    ("dovecot", DOVECOT + PLAIN_BLOCK, (DOVECOT + PLAIN_BLOCK).replace("0600\n  }\n", "0600\n"), [{"line": 14, "text": "Expecting '}'"}]),
    ("dovecot", PLAIN_BLOCK + DOVECOT, PLAIN_BLOCK.replace("  }\n}", "  }") + DOVECOT, [{"line": 9, "text": "Unknown section name"}]),
    ("dovecot", DOVECOT, DOVECOT.replace("service lmtp {", "service lmtp"), [{"line": 2, "text": "Expecting '=' or '{'"}]),
    ("dovecot", DOVECOT, DOVECOT.replace("ssl_cert =", "ssl_cert"), [{"line": 7, "text": "Expecting '='"}]),
])
def test_the_good_statement_comes_back_where_a_damaged_one_stands(kind, good, damaged, errors):
    """With another's good change beside it, which stays."""
    assert damaged != good
    added = DAMAGE[kind][2]
    assert taken_back(damaged + added, good, kind, config_text.blamed(damaged, kind, errors)) == good + added
    assert taken_back(added + damaged, good, kind, config_text.blamed(added + damaged, kind, [{"line": None, "text": "x"}])) == added + good


def test_a_garbled_name_gives_its_place_to_the_setting_that_it_was():
    now = RESTRICTED.replace("message_size_limit", "message_size_limti")

    def unknown(statement):
        return statement.key == "message_size_limti"
    for name in ("message_size_limit", "message_size_limti"):
        assert taken_back(now, RESTRICTED, "main", by_name(name), unknown=unknown) == RESTRICTED
    assert taken_back(now, RESTRICTED, "main", by_name("message_size_limit")).count("message_size_lim") == 2
    master = MASTER.replace("smtp      inet", "smpt      inet")
    assert taken_back(master, MASTER, "master", by_name("smtp/inet"), unknown=lambda one: one.key == "smpt/inet") == MASTER


def test_a_setting_that_took_the_place_of_another_on_purpose_stays():
    now = MASTER.replace("submission inet", "submissions inet")
    found = taken_back(now, MASTER, "master", by_name("submission/inet"))
    assert "submission inet" in found and "submissions inet" in found


def test_an_override_goes_back_without_the_rest_of_its_entry():
    now = MASTER.replace("=postfix/submission", "=postfix/sub").replace("smtpd_sasl_auth_enable=yes", "smtpd_sasl_auth_enable=no")
    assert taken_back(now, MASTER, "master", lambda one: False, overrides=["smtpd_sasl_*"]) == MASTER.replace("=postfix/submission", "=postfix/sub")
    gone = MASTER.replace("  -o smtpd_sasl_auth_enable=yes\n", "").replace("=postfix/submission", "=postfix/sub")
    assert taken_back(gone, MASTER, "master", lambda one: False, overrides=["smtpd_sasl_*"]) == MASTER.replace("=postfix/submission", "=postfix/sub")
    more = MASTER.replace("enable=yes\n", "enable=yes\n  -o { smtpd_milters = inet:localhost:1 }\n").replace("=postfix/submission", "=postfix/sub")
    assert taken_back(more, MASTER, "master", lambda one: False, overrides=["smtpd_milters"]) == MASTER.replace("=postfix/submission", "=postfix/sub")


def test_what_a_rollback_would_take_away_is_named():
    assert config_text.lacking(MAIN, MAIN, MAIN.replace("relayhost =\n", ""), "main") == ["relayhost"]
    damaged = MASTER.replace("smtp      inet", "zzz")
    assert config_text.lacking(damaged, MASTER, damaged[damaged.index("\n") + 1:], "master") == ["smtp/inet"]
    assert config_text.lacking(MAIN.replace("relayhost =\n", ""), MAIN, MAIN.replace("relayhost =\n", ""), "main") == []


def _dropped_brace(text, number):
    braces = [place for place, letter in enumerate(text) if letter in "{}"]
    place = braces[number % len(braces)]
    return text[:place] + text[place + 1:]


def _dropped_field(text, number):
    one = [one for one in statements(text, "master") if one.key][number % 3]
    fields = one.text.split(maxsplit=7)
    del fields[number % 7]
    return text.replace(one.text, "  ".join(fields) + ("" if one.text.endswith(fields[-1]) else "\n"), 1)


def _torn(text, number):
    """A line break within the name of a setting, or before its value."""
    one = [one for one in statements(text, "main") if one.key][number % 5]
    place = 1 + number % max(1, one.text.index("="))
    return text.replace(one.text, one.text[:place] + "\n" + one.text[place:], 1)


DAMAGE = {"master": (MASTER, _dropped_field, "policy unix - n n - 0 spawn user=nobody argv=/usr/bin/policy\n"),
          "main": (RESTRICTED, _torn, "smtputf8_enable = no\n"),
          "dovecot": (DOVECOT + PLAIN_BLOCK, _dropped_brace, "mail_debug = yes\n")}


@given(st.sampled_from(sorted(DAMAGE)), st.integers(0, 200), st.booleans())
def test_any_damage_is_mended_and_another_change_stays(kind, number, before):
    good, damage, added = DAMAGE[kind]
    now = added + damage(good, number) if before else damage(good, number) + added
    found = taken_back(now, good, kind, config_text.blamed(now, kind, [{"line": None, "text": "it cannot be read"}]))
    # Where a brace stood alone an empty line stays.
    assert [line for line in found.splitlines() if line.strip()] == [line for line in (added + good if before else good + added).splitlines() if line.strip()]
