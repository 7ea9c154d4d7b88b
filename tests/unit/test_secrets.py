"""A secret survives in no known form, is masked once and for all, and what a diagnosis needs stays."""
from __future__ import annotations

import base64
import gzip
import json
import time
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible_collections.mailops.outage.plugins.module_utils import secrets
from ansible_collections.mailops.outage.plugins.module_utils.secrets import HIDDEN, Hider, mask, mask_data, mask_lines, mask_setting

HERE = Path(__file__).parent
PLAIN = base64.b64encode(b"\0anna\0hunter2-secret").decode()


@pytest.mark.parametrize("line, gone", [
    ("mail dovecot: auth: Debug: pam(anna,192.0.2.1): (given password: two words)", "two words"),
    ("dovecot: auth-worker: Error: mysql: connect = host=db dbname=mail user=mail password=hunter2", "hunter2"),
    ("postfix/smtp: ldap_bind_pw = hunter2", "hunter2"), ("dnpass = hunter2 ", "hunter2"), ("bind_pw = hunter2 and more", "and more"),
    ('api_key: "hunter2 three"', "three"), ("password='hunter2'", "hunter2"), ("connect = host=db password='two ''quoted'' words' user=x", "words"),
    ("connect = host=db password=\"it's me\" dbname=x", "it's"), ("relay_password =\n    hunter2", "hunter2"), ("secret: |\n  hunter2\n  more", "more"),
    ('{"user": "a", "password":"hunter2"}', "hunter2"), (r'msg: {\"token\": \"hunter2 x\"}', "hunter2"),
    ("$default_ldap = { bind_password => 'hunter2' }", "hunter2"),
    ("@storage_sql_dsn = ( ['DBI:mysql:database=mail;host=127.0.0.1', 'user', 'hunter2'] );", "hunter2"),
    ("hide mysql_servers = localhost/mail/user/hunter2", "hunter2"), ("client_send = : anna : hunter2", "hunter2"), ("client_secret = hunter2", "hunter2"),
    ("LDAPBindPassword hunter2", "hunter2"), ("bindpw hunter2", "hunter2"), ("bayes_sql_password  hunter2", "hunter2"),
    ("openssl x -passin pass:hunter2", "hunter2"),
    ("passdb static { password = two words }", "words"), ("  ansible_become_pass: hunter2", "hunter2"), ("- ansible_password: hunter2 # x", "hunter2"),
    ("--auth-password hunter2", None), ("x --auth-password hunter2 -q", "hunter2"), ("mysql -umail -phunter2 mail", "hunter2"),
    ("curl -s -u anna:hunter2 https://x", "hunter2"),
    (f"postfix/smtpd[9]: < x[192.0.2.1]: AUTH PLAIN {PLAIN}", PLAIN), (f"dovecot: imap-login: Debug: A1 AUTHENTICATE XOAUTH2 {PLAIN}", PLAIN),
    (f"postfix/smtpd[9]: < x[192.0.2.1]: {PLAIN}", PLAIN), (f"auth: Debug: client in: AUTH\t1\tPLAIN\tservice=imap\tresp={PLAIN}", PLAIN),
    (f"auth: Debug: client in: CONT\t1\t{PLAIN}", PLAIN),
    ("user=anna auth=Bearer ya29.abcdef", "abcdef"), ("token ya29.a0AfH6SMB", "a0AfH6SMB"), ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJhbGci"),
    ("Authorization: Basic YW5uYTpodW50ZXIy", "YW5uYTp"), ("{'Authorization': 'Bearer hunter2'}", "hunter2"),
    ("auth_policy_server_api_header = X-Key: hunter2", "hunter2"),
    ("C: 3 LOGIN anna@example.org hunter2", "hunter2"), ('3 LOGIN "anna" "hunter2"', "hunter2"), ("pgsql://mail:hunter2@db/mail", "hunter2"),
    ("mysql://mail:p@ss/w@db.example.org/mail", "ss/w"), ("redis://:hunter2@cache:6379", "hunter2"), ("https://hunter2token@git.example.org/x", "hunter2"),
    ("anna:{SHA512-CRYPT}$6$salt$digest:1000", "digest"), ("hash $2y$05$abcdefghijk", "abcdefghijk"), ("anna:{PLAIN}hunter2", "hunter2"),
    ("anna:{PLAIN}two words:1000:1000::/home", "words"), ("anna:hunter2:1000:1000::/srv/anna::", "hunter2"), ("x $argon2id$v=19$m=65536$abc$def", "def"),
    ("{SSHA}AbCdEf==", "AbCdEf"), ("root:$y$j9T$salt$hash:19000:0:99999:7:::", "hash"),
    ("[relay.example.org]:587 anna:hunter2 x", "hunter2"), ("[relay.example.org]    anna@example.org:hunter2", "hunter2"),
    ("sender@example.org   anna@example.org:hunter2", "hunter2"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "MIIE"), ("-----BEGIN PRIVATE KEY-----\nMIIE\n", "MIIE"),
    ('"key": "-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----"', "MIIE"),
    ("smtp_sasl_password_maps = static:anna:hunter2", "hunter2"), ("  -o smtp_sasl_password_maps=static:anna:hunter2 -o x=y", "hunter2"),
    ("smtp_sasl_password_maps = inline:{ { [relay.example.org]:587 = anna:hunter2 } }", "hunter2"),
    ("smtp_sasl_password_maps = static:{anna:two words}", "words"),
    ("    static:anna:hunter2", "hunter2"), ("ours = static:anna:hunter2", "hunter2"),
    ("  -o { smtp_sasl_password_maps = inline:{ a = anna:hunter2 } }", "hunter2"),
    ("smtp_sasl_password_maps = static:anna:two words, hash:/etc/postfix/sasl_passwd", "words"), ("  -o ldapdb_bind_pw=hunter2", "hunter2"),
    ("password_query = SELECT 'hunter2' AS password FROM users WHERE userid = '%u'", "hunter2"), ("query = SELECT x FROM y", None),
    ("reject_rbl_client abcdefghijklmnopqrstuvwxyz.zen.dq.spamhaus.net", "abcdefghijkl"),
    ("fatal: /etc/postfix/main.cf, line 41: missing '=' after attribute name: \"own_bind_pw hunter2 x\"", "hunter2"), ("own_bind_pw hunter2", "hunter2"),
    ("server_condition = ${if eq{$auth3}{hunter2}{yes}{no}}", "hunter2"), ("server_secret = hunter2", "hunter2"),
    ("*=static; privkey = \"abcdef\";", "abcdef"), ('ssl_key = "MIIEabc"', "MIIE"), ("-o x=static:u:p,w", "p,w"),
])
def test_a_secret_is_hidden_by_its_form(line, gone):
    masked = mask(line)
    if gone is not None:
        assert gone not in masked and HIDDEN in masked
        hider = Hider()
        assert gone.encode() not in hider.of(line.encode() + b"\n") and hider.hidden >= 1
    assert mask(masked) == masked and masked.count("\n") == line.count("\n")


@pytest.mark.parametrize("line", [
    "postfix/smtpd[9]: < x[192.0.2.1]: STARTTLS", "dovecot: auth: pam(anna): pam_authenticate() failed: Authentication failure (Password mismatch?)",
    "postfix/smtp[2]: 4F1A2B3C: to=<anna@example.org>, relay=none, delay=0.1, status=sent (250 2.0.0 Ok: queued as 4F)",
    "SASL LOGIN authentication failed: UGFzc3dvcmQ6", "250-AUTH PLAIN LOGIN", "250 AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256",
    "postfix/smtpd[9]: NOQUEUE: reject: RCPT from x[192.0.2.1]: 554 5.7.1 Relay access denied",
    "postfix/smtpd[9]: warning: x: SASL PLAIN authentication failed: authentication failure",
    "postfix/smtp[1]: fatal: open /etc/postfix/sasl_passwd: No such file or directory", "postmap: warning: sasl_passwd.db: Permission denied",
    "warning: hash:/etc/postfix/sasl_passwd is unavailable. open database /etc/postfix/sasl_passwd.db: No such file or directory",
    "smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd", "smtp_sasl_password_maps = $other, proxy:mysql:/etc/postfix/pw.cf",
    "ssl_key = </etc/ssl/private/mail.key",
    "smtpd_tls_key_file = /etc/ssl/private/mail.key", "dkim_private_key = /etc/exim4/dkim.pem", "passdb {", "args = /etc/dovecot/dovecot-sql.conf.ext",
    "password_query = SELECT userid AS user, password FROM users WHERE userid = '%u' AND domain = '%d'", "passwd_file_path = /etc/dovecot/users",
    "ansible_ssh_private_key_file: /root/.ssh/id_ed25519", "auth_verbose_passwords = plain", "default_pass_scheme = SHA512-CRYPT", "pass = no",
    "passwd:         files systemd", "Authentication-Results: mx; dkim=pass: good; spf=pass (x) smtp.mailfrom=a@b", "service pass: started"[:12],
    "mysql: Connect failed to database (mail): Access denied for user 'mail'@'localhost' (using password: YES) - waiting for 5 seconds before retry",
    "virtual_uid_maps = static:5000", "local_recipient_maps = static:OK", "transport_maps = static:smtp:relay.internal",
    "default = static:lmtp:unix:private/dovecot-lmtp",
    "example.org  smtp:[relay.example.org]:587", "example.org lmtp:unix:private/dovecot-lmtp", "anna:x:1000:1000::/home/anna:/bin/sh",
    "key-exchange X25519 server-signature RSA",
    "ldap://127.0.0.1:389/dc=example??sub?(mail=anna@example.org)", "https://support.google.com/mail/?p=x", "imap://anna@example.org",
    "mailto:anna@example.org",
    "MAIL FROM:<anna@example.org>", "example.org: 10 of 12", "DKIM key p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A",
    "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\nMIIE\n-----END PUBLIC KEY-----", "reject_rbl_client zen.spamhaus.org", "Password mismatch again",
    "passdb_default_password_scheme x",
    "fatal: /etc/postfix/main.cf, line 41: missing '=' after attribute name: \"relayhost [x.example.test]\"", "doveadm_password {",
    "{md5} : {sha256}}", "a $5 bill, $1$ and $HOME",
])
def test_what_is_no_secret_stays(line):
    assert mask(line) == line
    assert Hider().of(line.encode()) == line.encode()


@pytest.mark.parametrize("name", [
    "password", "mysource_password", "ldapsource_bind_pw", "dnpass", "passdb.0.ldap_auth_dn_password", "ansible_become_pass", "clientSecret",
    "CONTROLLER_OAUTH_TOKEN",
    "ssl_key", "ssl_server_key_password", "auth_policy_hash_nonce", "doveadm_api_key", "plugin.secret_thing", "X-Api-Key", "Authorization", "$amavis_auth_pass",
    "rootpw", "mysql_servers", "secret_key", "privkey", "mail_crypt_private_password",
])
def test_a_name_of_a_secret_is_known(name):
    assert secrets.is_secret_name(name)


@pytest.mark.parametrize("name", [
    "smtp_sasl_password_maps", "passwd_file_path", "password_query", "passdb", "default_pass_scheme", "ansible_ssh_private_key_file",
    "smtpd_tls_key_file", "bypass",
    "nopassword", "auth_verbose_passwords", "smtp_sasl_password_result_delimiter", "compass", "public_key", "passed", "oauth2_tokeninfo_url",
    "passdb_default_password_scheme",
    "monkey", "sasl_passwd", "vault_password_file", "tokens_seen",
])
def test_a_name_that_only_tells_of_one_is_none(name):
    assert not secrets.is_secret_name(name)


@pytest.mark.parametrize("name, value, masked", [
    ("smtp_sasl_password_maps", "hash:/etc/postfix/sasl_passwd", "hash:/etc/postfix/sasl_passwd"),
    ("smtp_sasl_password_maps", "static:alice:hunter2", "static:(hidden)"),
    ("smtp_sasl_password_maps", "inline:{ [relay]=alice:hunter2 }", "inline:(hidden)"),
    ("smtp_sasl_password_maps", "inline:{ {a = b:{c}} }, hash:/etc/x", "inline:(hidden), hash:/etc/x"),
    ("our_own", "static:alice:hunter2", "static:(hidden)"), ("transport_maps", "inline:{ example.org=smtp:relay.internal }",
    "inline:{ example.org=smtp:relay.internal }"),
    ("virtual_uid_maps", "static:5000", "static:5000"), ("mysource_password", "hunter2", "(hidden)"), ("ldapsource_bind_pw", "hunter2", "(hidden)"),
    ("myhostname", "mx.example.test", "mx.example.test"), ("password", "", ""), ("ssl_key", "</etc/ssl/mail.key", "</etc/ssl/mail.key"),
    ("ssl_key", "-----BEGIN PRIVATE KEY-----", "(hidden)"), ("plugin.fts_solr", "url=http://solr:hunter2@localhost:8983/solr/",
    "url=http://solr:(hidden)@localhost:8983/solr/"),
    ("args", "nopassword=y password=hunter2 user=x", "nopassword=y password=(hidden) user=x"), ("passdb.0.args", "password=hunter2 user=x",
    "password=(hidden) user=x"),
    ("connect", "host=db password='a b' dbname=x", "host=db password='(hidden)' dbname=x"),
    ("password_query", "SELECT '{PLAIN}x' AS password, '%u' AS user", "SELECT '(hidden)' AS password, '%u' AS user"),
])
def test_a_setting_is_masked_by_its_name_and_its_value(name, value, masked):
    assert mask_setting(name, value) == masked == mask_setting(name, masked)


def test_data_is_masked_by_its_keys_and_texts_and_yes_and_no_stay():
    data = {"password": "a", "token": 7, "secret": True, "credentials": None, "deep": [{"bind_pw": ["x"], "text": "mysql://u:pw1@h/"}],
    "maps": {"password_maps": "hash:/x"}, "n": 1, "password_refused": {"count": 2}}
    assert mask_data(data) == {"password": HIDDEN, "token": HIDDEN, "secret": True, "credentials": None,
                               "deep": [{"bind_pw": [HIDDEN], "text": "mysql://u:(hidden)@h/"}], "maps": {"password_maps": "hash:/x"}, "n": 1,
                               "password_refused": {"count": 2}}


@pytest.mark.parametrize("path, line, masked", [
    ("/etc/postfix/sasl_passwd", "[relay.example.org]:587 anna:hunter2", "[relay.example.org]:587 (hidden)"), ("/etc/postfix/sasl_passwd",
    "relay hunter2", "relay (hidden)"),
    ("/etc/dovecot/users", "anna:hunter2:1000:1000::/home/anna", "anna:(hidden):1000:1000::/home/anna"), ("/etc/dovecot/users", "anna:hunter2",
    "anna:(hidden)"),
    ("/etc/exim4/passwd.client", "mx.example.org:anna:hunter2", "mx.example.org:(hidden)"), ("/etc/dovecot/users", "# anna", "# anna"),
    ("/etc/postfix/relay_logins", "relay.example.org anna:hunter2", "relay.example.org (hidden)"), ("/etc/postfix/table",
    "relay.example.org anna:hunter2", "relay.example.org (hidden)"),
    ("/etc/postfix/transport", "example.org smtp:relay.internal", "example.org smtp:relay.internal"), ("/etc/postfix/virtual", "a@b.example anna",
    "a@b.example anna"),
    ("/etc/dovecot/conf.d/auth-passwdfile.conf.ext", "  args = /etc/dovecot/users", "  args = /etc/dovecot/users"), ("/etc/postfix/main.cf", "a = b", "a = b"),
    ("/etc/aliases", "postmaster: root", "postmaster: root"),
])
def test_a_file_is_masked_line_by_line_by_what_it_is(path, line, masked):
    assert mask_lines([line], path) == [masked]


def test_every_line_of_a_key_is_masked_in_its_place():
    lines = ["a = 1", "-----BEGIN PRIVATE KEY-----", "MIIE", "abc+/=", "-----END PRIVATE KEY-----", "b = 2"]
    assert mask_lines(lines) == ["a = 1", lines[1], HIDDEN, HIDDEN, lines[4], "b = 2"]


def test_whoever_writes_the_beginning_of_a_key_into_a_log_hides_no_other_line():
    text = "1 smtpd: HELO -----BEGIN PRIVATE KEY-----\n2 smtpd: lost connection\n3 smtpd: disconnect\n"
    assert mask(text) == text


def test_a_known_secret_is_hidden_wherever_it_stands():
    hider = Hider(["Tr0ub4dor", "x"])
    assert hider.of(b"relay said: no such user Tr0ub4dor!\n") == b"relay said: no such user (hidden)!\n" and hider.hidden == 1
    assert hider.of(b"x marks\n") == b"x marks\n", "a single letter would take the whole log along"


def test_a_longer_known_secret_is_hidden_before_the_shorter_one_in_it():
    assert Hider(["secret", "secretive-one"]).of(b"a secretive-one b\n") == b"a (hidden) b\n"
    assert secrets.without(b"abcdef abc", (b"abc", b"abcdef", b"")) == b"(hidden) (hidden)"
    assert secrets.without({"a": ["see pw12", 3]}, ("pw12",)) == {"a": ["see (hidden)", 3]}


def test_passwords_are_found_whatever_the_type_of_the_file():
    table = "# x\n[relay]:587 user:p:w\nmx.example.org:me:exim-pw\nanna:{PLAIN}plain-pw:1000:1000::/home\nbob:x:1:1\ncarol:*\n"
    assert secrets.passwords_in(table) == ["p:w", "exim-pw", "plain-pw"]
    settings = ("hosts = db\npassword = a b\nconnect = host=db password='c d' user=x\n dnpass=e\nsecret = $other\n"
                "query = SELECT password FROM x WHERE u='%u'\n")
    assert secrets.values_in(settings) == ["a b", "c d", "e"]


# What a person may choose, with what each form cannot hold left out below. No part of it stands in a form itself.
ODD = st.text(alphabet="SEED0123456789!#%&*+-_=~^|?.,;:/@$()[]<>", min_size=0, max_size=12).map(lambda text: "Qz7" + text + "kW9")
FORMS = (
    ("", "password = {}"), ("", "password: {}"), ("", "+bind_pw = {}"), ("", "connect = host=db password={} user=x"), ("'", "x password='{}' y"),
    ('"', 'a secret="{}", b'),
    ("", "smtp_sasl_password_maps = static:anna:{}"), ("{}", "smtp_sasl_password_maps = inline:{{ {{ [relay]:587 = anna:{} }} }}"),
    ("", "  -o smtp_sasl_password_maps=static:anna:{} -v"), ("", "  -o own_password={}"), ("", "given password: {}"), ("",
    "[relay.example.org]:587 anna:{}"), (":", "anna:{{PLAIN}}{}:1:1::/x"),
    (":", "anna:{}:1000:1000::/home/anna::"), ("/@?#", "pgsql://anna:{}@db/mail"), ("", "Authorization: Bearer {}"), ("",
    "Mar 1 x dovecot: LOGIN anna@example.org {}"),
    ("", "hide pgsql_servers = localhost/a/b/{}"), ("", "client_send = : anna : {}"), ("'", "['DBI:mysql:x', 'anna', '{}']"), ("", "LDAPBindPassword {}"),
    ('"', '{{"user": "x", "api_key": "{}", "n": 1}}'), ("'", "password_query = SELECT '{}' AS password WHERE u = '%u'"), ("", "x --password {} y"),
    ("", "x resp={} y"),
)


@given(st.sampled_from(FORMS), ODD, st.sampled_from(("", "smtp unix - - y - - smtp\n", "a = b\n\n", "Nov 28 10:00:00 mx dovecot: x\n")))
def test_a_secret_of_odd_characters_survives_in_no_form(form, secret, before):
    cannot, shape = form
    assume(not any(character in secret for character in cannot))
    text = before + shape.format(secret) + "\nnext = line\n"
    masked = mask(text)
    assert secret not in masked and "kW9" not in masked and masked.endswith("\nnext = line\n")
    assert mask(masked) == masked and masked.count("\n") == text.count("\n")
    assert b"kW9" not in Hider().of(text.encode())
    assert "kW9" not in json.dumps(mask_data({"said": [text]}))


PIECES = ("password", "=", ": ", " ", "\n", '"', "'", "\\", "{", "}", "static:", "inline:", "a:b", "(hidden)", "://", "@", "$6$", "token", "x",
"-o ", "AUTH PLAIN ", "[r]:1 ", "#",
          "-----BEGIN PRIVATE KEY-----", "MIIE", "-----END PRIVATE KEY-----", "{PLAIN}", "hide ", "_query = '", "1:", "LOGIN ", "Bearer ", "--pass ",
          "é", "\r", "\t")


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_what_is_masked_once_stays_so(text):
    once = mask(text)
    assert mask(once) == once and once.count("\n") == text.count("\n")


@given(st.binary(max_size=300))
def test_any_bytes_can_be_masked_and_without_a_secret_they_come_back(data):
    hider = Hider()
    done = hider.of(data)
    assert isinstance(done, bytes) and (hider.hidden or done == data)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=30), lambda inner: st.lists(inner,
    max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3)))
def test_any_data_can_be_masked(data):
    once = mask_data(data)
    assert mask_data(once) == once


@pytest.mark.parametrize("piece", ["a.", "@", "a@", "user=", "LOGIN @", "{MD5", "given password: ", "AUTH ", "pass ", "://a:", "pass", "password=",
    "static:", "inline:{", "inline:{a",
                                   "-----BEGIN A", "-----BEGIN PRIVATE KEY-----", ":", "1.", "eyJ.", "$6$", "LOGIN \"", "to=<x", "token:'", "DBI:'",
                                   "curl -u ", "mysql ", "pw=\\\"", "a:b ",
                                   "key", "_query='", "'DBI:',", "passwd_"])
def test_a_line_made_to_be_slow_is_not(piece):
    line = (piece * (65536 // len(piece))).encode()
    began = time.process_time()
    Hider(["hunter2"]).of(line)
    assert time.process_time() - began < 1


@pytest.mark.parametrize("path", sorted((HERE / "host/fixtures").glob("*.txt")), ids=lambda path: path.name)
def test_what_hosts_without_secrets_print_stays_as_it_is(path):
    text = path.read_text(encoding="utf-8")
    assert mask(text).replace(f"ssl_key = {HIDDEN}", "ssl_key = # hidden, use -P to show it") == text


def test_what_was_recorded_on_hosts_stays_as_it_is():
    for path in sorted((HERE / "diagnosis/recorded").glob("*.json.gz"))[::7]:
        data = json.loads(gzip.decompress(path.read_bytes()))
        assert mask_data(data) == data, path.name
