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


def test_a_block_that_is_never_closed_is_one_statement():
    assert len(statements("a = 1\nservice x {\n b = 2\nc = 3\n", "dovecot")) == 2


def test_braces_in_comments_and_quotes_do_not_count():
    assert len(statements('a = "{"\n# {\nb = 2\n', "dovecot")) == 3


def test_what_is_gone_comes_back_and_what_is_new_stays():
    good = "a@x.test OK\nb@x.test OK\n"
    assert taken_back("new@x.test OK\n", good, "lines", None, only_missing=True) == good + "new@x.test OK\n"


@pytest.mark.parametrize("text, errors, stays, goes", [
    (MAIN + "relayhost [x.example.test]\n", [{"line": 8, "text": "missing '='"}], "relayhost =", "[x.example"),
    (MAIN + "message_size_limit = abc\n", [{"line": None, "text": "bad numerical configuration: message_size_limit = abc"}], "relayhost", "abc"),
])
def test_the_statement_that_the_software_complains_of_is_found(text, errors, stays, goes):
    found = taken_back(text + "# a remark\n", MAIN, "main", config_text.blamed(text, "main", errors))
    assert stays in found and goes not in found and "# a remark" in found
