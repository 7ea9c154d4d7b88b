"""What lets in more than it did is known, of each kind of guard; and where it cannot be known, that is said."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import strictness
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.strictness import looser, looser_rights, looser_table, subject, table_user

DENY = "passdb {\n  driver = passwd-file\n  deny = yes\n  args = /etc/dovecot/deny\n}\n"
PAM = "passdb {\n  driver = pam\n}\n"
GUARDED = "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination"

# (product, name, the stricter value, the looser value)
ORDERED = (
    ("postfix", "mynetworks", "127.0.0.0/8", "0.0.0.0/0"), ("postfix", "mynetworks", "127.0.0.1", "127.0.0.0/8 [::1]/128"),
    ("postfix", "mynetworks", "10.0.0.0/25, 10.0.0.128/25", "10.0.0.0/23"), ("postfix", "mynetworks_style", "host", "subnet"),
    ("postfix", "relay_domains", "a.test", "a.test, b.test"), ("postfix", "relay_domains", None, "hash:/etc/postfix/relay"),
    ("postfix", "smtpd_relay_restrictions", "permit_mynetworks, reject", "permit_mynetworks"),
    ("postfix", "smtpd_relay_restrictions", "permit_sasl_authenticated, reject_unauth_destination", GUARDED),
    ("postfix", "smtpd_recipient_restrictions", f"{GUARDED}, reject_rbl_client bl.test", GUARDED),
    ("postfix", "smtpd_client_restrictions", "permit_sasl_authenticated, reject", None),
    ("postfix", "smtpd_client_restrictions", "reject_unknown_client_hostname", "permit"),
    ("postfix", "smtpd_sender_restrictions", "check_sender_access hash:/x, reject_unlisted_sender", "permit_mynetworks, check_sender_access hash:/x"),
    ("postfix", "header_checks", "regexp:/etc/postfix/hc, pcre:/b", "pcre:/b"), ("postfix", "body_checks", "regexp:/b", None),
    ("postfix", "smtpd_tls_protocols", ">=TLSv1.2", "!SSLv2, !SSLv3, !TLSv1"), ("postfix", "smtpd_tls_protocols", ">=TLSv1.2", None),
    ("postfix", "smtp_tls_mandatory_protocols", "TLSv1.3", "TLSv1.2, TLSv1.3"),
    ("postfix", "smtpd_tls_mandatory_protocols", ">=TLSv1.2, <=TLSv1.2", ">=TLSv1.2"),
    ("postfix", "smtp_tls_security_level", "encrypt", "may"), ("postfix", "smtp_tls_security_level", "may", None),
    ("postfix", "smtp_tls_security_level", "dane", "may"), ("postfix", "smtp_tls_security_level", "secure", "verify"),
    ("postfix", "smtpd_tls_auth_only", "yes", None),
    ("postfix", "smtpd_tls_ciphers", "high", "medium"), ("postfix", "smtpd_tls_exclude_ciphers", "aNULL, RC4", "aNULL"),
    ("postfix", "smtpd_sasl_auth_enable", "no", "yes"), ("postfix", "smtpd_sasl_security_options", "noanonymous, noplaintext", "noanonymous"),
    ("postfix", "smtpd_milters", "inet:localhost:8891", None), ("postfix", "non_smtpd_milters", "unix:/a, unix:/b", "unix:/b"),
    ("postfix", "content_filter", "amavis:[127.0.0.1]:10024", ""), ("postfix", "milter_default_action", "tempfail", "accept"),
    ("postfix", "receive_override_options", "", "no_milters"), ("postfix", "smtpd_client_connection_rate_limit", "30", "0"),
    ("postfix", "smtpd_client_message_rate_limit", "10", "100"), ("postfix", "message_size_limit", "20000", "10240000"),
    ("postfix", "mailbox_size_limit", "1", "0"),
    ("postfix", "smtpd_client_event_limit_exceptions", "127.0.0.0/8", "10.0.0.0/8 127.0.0.0/8"), ("postfix", "smtpd_helo_required", "yes", "no"),
    ("postfix", "smtpd_error_sleep_time", "5s", "1s"), ("postfix", "postscreen_greet_action", "drop", "ignore"),
    ("postfix", "submission/inet -o smtpd_relay_restrictions", "permit_sasl_authenticated, reject", "permit_mynetworks, permit_sasl_authenticated, reject"),
    ("postfix", "submission/inet -o smtpd_tls_security_level", "encrypt", "may"), ("postfix", "smtp/inet -o maxproc", "5", "50"),
    ("postfix", "lmtp/unix -o chroot", "y", "n"),
    ("dovecot", "ssl", "required", "yes"), ("dovecot", "ssl", None, "no"), ("dovecot", "ssl_min_protocol", "TLSv1.2", "TLSv1"),
    ("dovecot", "ssl_protocols", "!SSLv3 !TLSv1", "!SSLv3"),
    ("dovecot", "disable_plaintext_auth", None, "no"), ("dovecot", "auth_allow_cleartext", None, "yes"), ("dovecot", "auth_mechanisms", "plain", "plain login"),
    ("dovecot", "passdb", DENY + PAM, PAM), ("dovecot", "passdb", PAM, PAM + "passdb {\n driver = static\n}\n"), ("dovecot", "passdb", DENY, PAM),
    ("dovecot", "login_trusted_networks", "", "10.0.0.0/8"), ("dovecot", "protocol.imap.mail_max_userip_connections", "3", "10"),
    ("dovecot", "service.imap-login.process_limit", "20", "200"), ("dovecot", "mail_plugins", "acl quota", "quota notify"),
    ("dovecot", "quota_storage_size", "500M", "2G"), ("dovecot", "first_valid_uid", "1000", "500"),
    ("dovecot", "service.auth.unix_listener.auth-userdb.mode", "0600", "0666"),
    ("exim", "dc_relay_nets", "''", "'192.0.2.0/24'"), ("exim", "dc_relay_nets", "'192.0.2.0/25'", "'192.0.2.0/24;10.0.0.0/8'"),
    ("exim", "dc_relay_domains", None, "'a.test'"),
    ("exim", "smtp_accept_max", "20", "0"), ("opendkim", "On-BadSignature", "reject", "accept"), ("opendkim", "RequireSafeKeys", "yes", "no"),
    ("rspamd", "reject", "15", "150"), ("rspamd", "enabled", "true", "false"), ("amavis", "$final_virus_destiny", "D_DISCARD", "D_PASS"),
    ("amavis", "$sa_kill_level_deflt", "6.9", "20"), ("postgrey", "--delay", "300", "60"), ("clamav", "ScanMail", "yes", "no"),
    ("clamav", "MaxScanSize", "100M", "1M"),
)
UNTOLD = (
    ("postfix", "mynetworks", "10.0.0.0/8", "192.0.2.0/24"), ("postfix", "mynetworks", "127.0.0.0/8", "!127.0.0.1, 127.0.0.0/8"),
    ("postfix", "mynetworks", "127.0.0.0/8", "hash:/etc/postfix/networks"), ("postfix", "mynetworks", None, "127.0.0.0/8"),
    ("postfix", "mynetworks", "127.0.0.0/8", "127.0.0.0/8 $office"),
    ("postfix", "smtpd_relay_restrictions", GUARDED, "reject_unauth_destination, permit_mynetworks"),
    ("postfix", "smtpd_client_restrictions", "reject_unlisted_sender", "reject_unlisted_sender, check_client_access hash:/x"),
    ("postfix", "smtpd_client_restrictions", "warn_if_reject reject_rbl_client x.test", "reject_invalid_helo_hostname"),
    ("postfix", "smtp_tls_security_level", "dane", "encrypt"), ("postfix", "smtp_tls_security_level", "may", "maybe"),
    ("postfix", "smtpd_tls_protocols", "TLSv1.2", "TLSv9"),
    ("postfix", "smtpd_milters", "inet:localhost:8891", "inet:localhost:8899"), ("postfix", "content_filter", "a:b", "c:d"),
    ("postfix", "smtpd_sasl_path", "private/auth", "x"),
    ("postfix", "submission/inet -o smtpd_relay_restrictions", None, "permit"), ("postfix", "smtpd_tls_policy_x", "1", "2"),
    ("postfix", "message_size_limit", "5", "abc"),
    ("postfix", "postscreen_access_list", "permit_mynetworks", "cidr:/a"), ("dovecot", "auth_username_format", "%Lu", "%n"),
    ("dovecot", "ssl_min_protocol", None, "TLSv1.2"),
    ("dovecot", "ssl_cipher_list", "HIGH", "ALL"), ("exim", "acl_check_rcpt", "a", "b"), ("exim", "deny", "x", "y"),
    ("rspamd", "anything", "1", "2"), ("postgrey", "--whitelist-clients", "a", "b"),
)
NO_GUARDS = (
    ("postfix", "myhostname"), ("postfix", "relayhost"), ("postfix", "soft_bounce"), ("postfix", "transport_maps"), ("postfix", "smtpd_tls_cert_file"),
    ("postfix", "mydestination"),
    ("postfix", "smtp_tls_loglevel"), ("postfix", "inet_interfaces"), ("postfix", "milter_connect_timeout"), ("postfix", "unknown_local_recipient_reject_code"),
    ("postfix", "tlsmgr/unix -o syslog_name"), ("dovecot", "mail_location"), ("dovecot", "ssl_cert"), ("dovecot", "protocols"),
    ("dovecot", "service.lmtp.unix_listener.x.user"),
    ("exim", "dc_smarthost"), ("opendkim", "Socket"), ("clamav", "LogFile"),
)


@pytest.mark.parametrize("product, name, strict, loose", ORDERED)
def test_what_lets_in_more_is_looser_and_the_way_back_is_not(product, name, strict, loose):
    assert looser(product, name, strict, loose) is True
    assert looser(product, name, loose, strict) is False


@pytest.mark.parametrize("product, name, one, other", UNTOLD)
def test_what_cannot_be_told_is_not_guessed(product, name, one, other):
    assert looser(product, name, one, other) is None and looser(product, name, other, one) is None


@pytest.mark.parametrize("product, name", NO_GUARDS)
def test_what_guards_nothing_is_no_guard(product, name):
    assert subject(product, name) is None and looser(product, name, "a", "b") is False


@pytest.mark.parametrize("product, name, one, other", [
    ("postfix", "mynetworks", "127.0.0.0/8 10.0.0.0/8", "10.0.0.0/9\n 10.128.0.0/9, 127.0.0.0/8"),
    ("postfix", "smtpd_client_restrictions", "permit_mynetworks, permit", ""),
    ("postfix", "smtpd_tls_protocols", ">=TLSv1", "!SSLv2,!SSLv3"), ("postfix", "smtpd_client_restrictions", "reject, permit_mynetworks", "reject"),
    ("dovecot", "passdb", PAM + DENY, DENY + PAM), ("dovecot", "disable_plaintext_auth", "yes", None),
])
def test_other_words_for_the_same_are_not_looser(product, name, one, other):
    assert looser(product, name, one, other) is False and looser(product, name, other, one) is False


@pytest.mark.parametrize("user, strict, loose", [
    ("header_checks", "/^Subject: .*worm/ DISCARD\n", ""), ("body_checks", "/x/ REJECT no\n/y/ WARN\n", "/y/ WARN\n"),
    ("smtpd_client_restrictions", "192.0.2.1 REJECT\n", "192.0.2.1 OK\n"),
    ("smtpd_recipient_restrictions", "a@x.test 550 no\nb@x.test 450 wait\n", "b@x.test 450 wait\n"),
    ("postscreen_access_list", "192.0.2.0/24 reject\n", "# nothing\n"),
    ("relay_domains", "a.test x\n", "a.test x\nb.test x\n"), ("passdb deny", "carol:::\ndave:::\n", "dave:::\n"), ("passdb", "alice:x\n", "alice:x\ncarol:y\n"),
])
def test_a_table_without_its_denial_is_looser(user, strict, loose):
    assert looser_table(user, strict, loose) is True and looser_table(user, loose, strict) is False


@pytest.mark.parametrize("user, one, other", [
    ("header_checks", "/a/ DISCARD\n", "/b/ DISCARD\n"), ("header_checks", "/a/ WARN\n/b/ REJECT\n", "/b/ REJECT\n/a/ WARN\n"),
    ("smtpd_sender_login_maps", "a b\n", "a c\n"),
    ("header_checks", "if /x/\n/a/ DISCARD\nendif\n", "/c/ DISCARD\n"),
])
def test_tables_that_cannot_be_compared_are_not_guessed(user, one, other):
    assert looser_table(user, one, other) is None


def test_a_table_is_known_by_who_uses_it_and_else_by_its_name():
    assert table_user("/etc/postfix/x", ["transport_maps", "smtpd_client_restrictions"]) == "smtpd_client_restrictions"
    assert table_user("/etc/postfix/x", ["submission/inet -o smtpd_sender_restrictions"]) is not None
    assert table_user("/etc/postfix/transport", ["transport_maps"]) is None and table_user("/etc/postfix/transport", []) is None
    assert table_user("/etc/postfix/client_access", []) == "smtpd_client_restrictions" and table_user("/etc/postfix/header_checks", []) == "header_checks"
    assert all(strictness.table_subject(user) for user in ("smtpd_client_restrictions", "passdb deny", "relay_domains"))


@pytest.mark.parametrize("old, new, told", [
    ((5, 5, 0o700), (5, 5, 0o711), True), ((5, 5, 0o711), (5, 5, 0o700), False), ((0, 0, 0o600), (5, 5, 0o600), None), ((5, 5, 0o640), (5, 5, 0o604), None),
    ((5, 5, 0o640), (5, 5, 0o640), False),
])
def test_rights_are_compared_bit_by_bit(old, new, told):
    assert looser_rights(old, new) is told


def test_settings_of_other_products_are_read():
    assert strictness.settings("exim", "# x\ndc_relay_nets='192.0.2.0/24'\nmessage_size_limit = 50M\n") == {
        "dc_relay_nets": "'192.0.2.0/24'", "message_size_limit": "50M"}
    assert strictness.settings("rspamd", "reject = 15;\n") == {"reject": "15"} and strictness.settings("opendkim", "Mode sv\n") == {"mode": "sv"}
    assert strictness.settings("postgrey", 'POSTGREY_OPTS="--inet=10023 --delay=60"\n') == {"--inet": "10023", "--delay": "60"}
    assert strictness.settings("amavis", "$final_virus_destiny = D_DISCARD;\n") == {"$final_virus_destiny": "D_DISCARD"}


NAMES = [(product, entry[0].replace("*", "x")) for product, entries in strictness.GUARDS.items() for entry in entries]
VALUES = st.one_of(st.none(), st.text(max_size=30), st.sampled_from([value for row in ORDERED + UNTOLD for value in row[2:]]),
                   st.lists(st.sampled_from(GUARDED.split(", ") + ["permit", "reject", "$x", "!a", "check_client_access hash:/x", "10.0.0.0/8", "0"]),
                            max_size=5).map(", ".join))


@given(st.sampled_from(NAMES), VALUES, VALUES)
def test_nothing_is_looser_both_ways_or_than_itself(named, one, other):
    assert not (looser(*named, one, other) and looser(*named, other, one))
    assert looser(*named, one, one) is False


@given(st.sampled_from([entry[0].replace("*", "x") for entry in strictness._TABLES]), *[st.lists(st.sampled_from(
    ["a REJECT", "a OK", "b DISCARD", "/c/ WARN", "d DUNNO", "if /x/", "endif", "# e", "!f", " g"]), max_size=6).map("\n".join)] * 2)
def test_no_table_is_looser_both_ways_or_than_itself(user, one, other):
    assert not (looser_table(user, one, other) and looser_table(user, other, one))
    assert looser_table(user, one, one) is False


MATCHING = ("permit_mynetworks", "permit_sasl_authenticated", "reject_rbl_client x.test", "reject_unauth_destination")
RULES = st.lists(st.sampled_from((*MATCHING, "permit", "reject")), max_size=5)


@given(RULES, RULES, st.fixed_dictionaries({name: st.booleans() for name in MATCHING}))
def test_a_list_that_is_not_looser_lets_nobody_in_whom_the_other_refused(old, new, matches):
    def permitted(rules):
        for rule in rules:
            if matches.get(rule, True):
                return rule.startswith("permit")
        return True
    if looser("postfix", "smtpd_client_restrictions", ", ".join(old), ", ".join(new)) is False:
        assert permitted(old) or not permitted(new)
