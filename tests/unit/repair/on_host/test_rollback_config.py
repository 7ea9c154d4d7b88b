"""Configuration goes back to what is known to have worked: what was named, nothing beside it, and never what guards the host."""
from __future__ import annotations

import hashlib
import json
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailops.outage.plugins.module_utils.host import known_good
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Ran
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host import config_text, strictness
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.remedies import rollback_config
from ansible_collections.mailops.outage.plugins.module_utils.repair.on_host.steps import Refused, Write

MAIN, MASTER, DOVECOT, CHECKS = "/etc/postfix/main.cf", "/etc/postfix/master.cf", "/etc/dovecot/dovecot.conf", "/etc/postfix/header_checks"
GOOD = """\
myhostname = mail.x.test
relayhost =
smtpd_tls_security_level = may
smtpd_tls_protocols = >=TLSv1.2
mynetworks = 127.0.0.0/8
relay_domains = x.test
inet_interfaces = all
message_size_limit = 20480000
smtpd_client_restrictions =
smtpd_relay_restrictions = permit_mynetworks,
    reject_unauth_destination
smtpd_client_message_rate_limit = 0
header_checks =
"""
SERVICES = """\
smtp       inet n - y - - smtpd
submission inet n - y - - smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=may
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
tlsmgr     unix - - y 1000? 1 tlsmgr
"""
IMAP = """\
protocols = imap lmtp
ssl_min_protocol = TLSv1.2
service lmtp {
  unix_listener /var/spool/postfix/private/dovecot-lmtp {
    mode = 0600
  }
}
passdb {
  driver = passwd-file
  deny = yes
  args = /etc/dovecot/deny
}
passdb {
  driver = pam
}
"""


DEFAULTS = """\
mime_header_checks = $header_checks
tlsproxy_tls_protocols = $smtpd_tls_protocols
smtpd_client_event_limit_exceptions = ${smtpd_client_connection_limit_exceptions:$mynetworks}
"""


class Silent:
    """A host whose programs say nothing."""

    @staticmethod
    def run(*argv, timeout=0):
        return Ran(argv, 0, DEFAULTS if argv == ("postconf", "-d") else "")


@pytest.fixture(name="host")
def _host(monkeypatch):
    return teller(monkeypatch)


def teller(monkeypatch):
    """``host(now, …)``: ({path: text written}, commands) of a host whose files are ``now`` and were ``good``; a text is main.cf."""
    def told(now, good=GOOD, errors=(), unused=(), complaints=(), running=True, source="known_good", **options):
        files, former = ({MAIN: each} if isinstance(each, str) else each for each in (now, good))
        answers = iter(list(complaints) + [""] * 9)
        monkeypatch.setattr(rollback_config, "_content", lambda path: files[path].encode() if path in files else None)
        monkeypatch.setattr(rollback_config, "_is_there", lambda path: path in files)
        known = {path: rollback_config.Good(text.encode(), "the snapshot", source) for path, text in (former or {}).items()}
        monkeypatch.setattr(rollback_config, "_known", lambda software, wanted: (
            {path: each for path, each in known.items() if rollback_config._mine(software, path)}, []))
        monkeypatch.setattr(rollback_config, "_complaint", lambda *_words: next(answers))
        monkeypatch.setattr(rollback_config.postfix, "collect", lambda context: {
            "maps": [], "errors": [error for error in errors if "dovecot" not in str(error.get("source"))], "unused": list(unused)})
        monkeypatch.setattr(rollback_config.dovecot, "collect", lambda context: {
            "errors": [error for error in errors if "dovecot" in str(error.get("source"))]})
        monkeypatch.setattr(rollback_config.services, "collect", lambda context: {"units": [
            {"name": "postfix", "unit": "postfix@-.service", "running": running}, {"name": "dovecot", "unit": "dovecot.service", "running": running}]})
        wanted = {"software": ["postfix"], "settings": [], "files": [], "only_missing": False, "may_loosen": [], "source": "auto", "most_days": 30, **options}
        found = list(rollback_config.steps(Silent, wanted))
        written = {step.path: step.content.decode() for step in found if isinstance(step, Write)}
        return written, [step.does() for step in found if not isinstance(step, Write)]
    return told


def changed(text, *pairs):
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after)
    return text


RELAYHOST = ("relayhost =", "relayhost = [192.0.2.1]")
RENAMED = ("mail.x.test", "mx.x.test")


def test_what_was_named_goes_back_and_the_rest_stays(host):
    written, commands = host(changed(GOOD, RELAYHOST, RENAMED), settings=["relayhost"])
    assert written == {MAIN: changed(GOOD, RENAMED)} and commands == ["postfix reload"]


def test_without_a_name_only_what_the_software_complains_of_goes_back(host):
    now = changed(GOOD, RENAMED, ("message_size_limit = 20480000", "message_size_limit = abc"))
    written, _commands = host(now, errors=[{"line": None, "text": "bad numerical configuration: message_size_limit = abc"}])
    assert written == {MAIN: changed(GOOD, RENAMED)}


def test_an_error_of_one_file_is_none_of_another(host):
    now = {DOVECOT: changed(IMAP, ("protocols = imap lmtp", "protocols = imap")), "/etc/dovecot/local.conf": "mail_debug yes\n"}
    good = {DOVECOT: IMAP, "/etc/dovecot/local.conf": "mail_debug = yes\n"}
    written, _commands = host(now, good, software=["dovecot"], errors=[{"source": "/etc/dovecot/local.conf", "line": 1, "text": "Expecting '='"}])
    assert written == {"/etc/dovecot/local.conf": "mail_debug = yes\n"}


def test_nothing_named_and_nothing_wrong_changes_nothing(host):
    assert host(changed(GOOD, RENAMED)) == ({}, [])
    assert host(GOOD, settings=["relayhost"]) == ({}, [])


@pytest.mark.parametrize("pattern", ["*", "**", "?*"])
def test_a_pattern_that_takes_everything_back_is_refused(host, pattern):
    with pytest.raises(Refused, match="everything"):
        host(changed(GOOD, RENAMED), settings=["relayhost", pattern])


# What a person made stricter, or another way, since then.
STRICTER = (
    ("smtpd_tls_protocols = >=TLSv1.2", "smtpd_tls_protocols = >=TLSv1.3"), ("smtpd_tls_security_level = may", "smtpd_tls_security_level = encrypt"),
    ("mynetworks = 127.0.0.0/8", "mynetworks = 127.0.0.1/32"), ("message_rate_limit = 0", "message_rate_limit = 30"),
    ("relay_domains = x.test", "relay_domains ="),
    ("smtpd_client_restrictions =", "smtpd_client_restrictions = permit_mynetworks, reject"),
    ("header_checks =", "header_checks = regexp:/etc/postfix/header_checks"),
    ("mynetworks = 127.0.0.0/8", "mynetworks = cidr:/etc/postfix/networks"), ("message_size_limit = 20480000", "message_size_limit = 20000"),
)


@pytest.mark.parametrize("before, now", STRICTER)
def test_a_guard_is_not_loosened_and_the_refusal_names_it(host, before, now):
    name = before.split(" =")[0].replace("message_rate", "smtpd_client_message_rate") if before.startswith("message_rate") else before.split(" =")[0]
    text = changed(GOOD, RELAYHOST, (before, now))
    with pytest.raises(Refused, match=f"loosen {name}.*a person must decide"):
        host(changed(GOOD, (before, now)), settings=[name])
    with pytest.raises(Refused, match=f"loosen {name}"):
        host(changed(GOOD, (before, now)), settings=[name[:-1] + "*"])
    # What else was named goes back, and the guard stays as it is.
    for named in (name, name[:-1] + "*"):
        assert host(text, settings=[named, "relayhost"])[0] == {MAIN: changed(GOOD, (before, now))}


@pytest.mark.parametrize("before, now", STRICTER)
def test_just_the_guard_that_stops_us_may_come_back_as_it_was_known_good(host, before, now):
    name = before.split(" =")[0].replace("message_rate", "smtpd_client_message_rate") if before.startswith("message_rate") else before.split(" =")[0]
    text = changed(GOOD, (before, now), RENAMED)
    assert host(text, settings=[name], may_loosen=[name])[0] == {MAIN: changed(GOOD, RENAMED)}
    for more in ({"source": "history"}, {"source": "package"}):
        with pytest.raises(Refused, match="loosen"):
            host(text, settings=[name], may_loosen=[name], **more)
    for others in ([name[:-1] + "*"], ["*"], ["myhostname"]):
        with pytest.raises(Refused, match="loosen"):
            host(text, settings=[name], may_loosen=others)


# Two values for each of some settings, guards and others; what is now, what was, and what is named is any of them.
VALUES = {
    "smtpd_tls_protocols": (">=TLSv1.2", ">=TLSv1.3"), "mynetworks": ("127.0.0.0/8", "127.0.0.0/8 10.0.0.0/8"), "smtpd_milters": ("", "inet:localhost:8891"),
    "smtpd_client_restrictions": ("", "reject_unknown_client_hostname"), "message_size_limit": ("1000", "2000"), "relayhost": ("", "[192.0.2.1]"),
    "office": ("10.0.0.0/24", "10.0.0.0/8"), "smtpd_client_event_limit_exceptions": ("$office", "127.0.0.1"),
    "header_checks": ("", "regexp:/etc/postfix/header_checks"),
}
CHOICE = st.fixed_dictionaries({name: st.sampled_from((0, 1, None)) for name in VALUES})


@given(CHOICE, CHOICE, st.sets(st.sampled_from(sorted(VALUES)), min_size=1), st.sets(st.sampled_from(sorted(VALUES))))
def test_whatever_was_changed_and_is_named_no_guard_is_loosened_that_may_not_be(now, good, named, allowed):
    texts = ["".join(f"{name} = {VALUES[name][place]}\n" for name, place in chosen.items() if place is not None) for chosen in (now, good)]
    with pytest.MonkeyPatch.context() as patch:
        try:
            end = teller(patch)(*texts, settings=sorted(named), may_loosen=sorted(allowed))[0].get(MAIN, texts[0])
        except Refused:
            return
    defaults = rollback_config.parse_main(DEFAULTS)
    before, after, former = (rollback_config._scopes({MAIN: text}, defaults) for text in (texts[0], end, texts[1]))
    # What is not set follows mynetworks.
    for name in set(VALUES) - ({"smtpd_client_event_limit_exceptions"} if now["smtpd_client_event_limit_exceptions"] is None else set()):
        if strictness.looser("postfix", name, before.get(name), after.get(name)) is not False:
            assert name in allowed and after.get(name) == former.get(name)
        if name not in named and not (name == "smtpd_client_event_limit_exceptions" and "office" in named):
            assert before.get(name) == after.get(name)


def test_a_guard_that_was_loosened_is_made_strict_again(host):
    assert host(changed(GOOD, ("127.0.0.0/8", "0.0.0.0/0"), RENAMED), settings=["mynetworks"])[0] == {MAIN: changed(GOOD, RENAMED)}


def test_a_guard_that_leans_on_another_setting_is_not_loosened_by_that(host):
    good = "office = 10.0.0.0/8\nmynetworks = 127.0.0.0/8 $office\n"
    now = good.replace("10.0.0.0/8", "10.0.0.0/24")
    with pytest.raises(Refused, match="loosen mynetworks"):
        host(now, good, settings=["office"])
    assert host(now, good, settings=["office"], may_loosen=["mynetworks"])[0] == {MAIN: good}


def test_a_guard_that_follows_another_is_judged_with_it(host):
    good = "smtpd_milters = inet:localhost:8891\nnon_smtpd_milters = $smtpd_milters\n"
    now = good.replace("8891", "8899")
    assert host(now, good, settings=["smtpd_milters"], may_loosen=["smtpd_milters"])[0] == {MAIN: good}
    with pytest.raises(Refused, match="loosen smtpd_milters"):
        host(now, good, settings=["smtpd_milters"], may_loosen=["non_smtpd_milters"])


def test_a_relay_domain_comes_back_only_with_the_table_that_it_had(host):
    good = {MAIN: "relay_domains = hash:/etc/postfix/relay\n", "/etc/postfix/relay": "x.test x\n"}
    now = {MAIN: "relay_domains =\n", "/etc/postfix/relay": "x.test x\nevil.test x\n"}
    with pytest.raises(Refused, match="loosen relay_domains"):
        host(now, good, settings=["relay_domains"], may_loosen=["relay_domains"])
    assert host(dict(good, **{MAIN: "relay_domains =\n"}), good, settings=["relay_domains"], may_loosen=["relay_domains"])[0] == {MAIN: good[MAIN]}


def test_who_may_relay_comes_back_only_where_nobody_else_does_by_now(host):
    """The restriction is as it was, but the networks that it lets relay are more than they were."""
    now = changed(GOOD, ("permit_mynetworks,\n    reject_unauth_destination", "permit_sasl_authenticated, reject"))
    wider = changed(now, ("mynetworks = 127.0.0.0/8", "mynetworks = 127.0.0.0/8 10.0.0.0/8"))
    for name in ("smtpd_relay_restrictions", "smtpd_recipient_restrictions"):
        good, text, more = (each.replace("smtpd_relay_restrictions", name) for each in (GOOD, now, wider))
        assert host(text, good, settings=[name], may_loosen=[name])[0] == {MAIN: good}
        with pytest.raises(Refused, match=f"loosen {name}"):
            host(more, good, settings=[name], may_loosen=[name])
    # What decides about no relaying is not held up by it.
    now = changed(GOOD, ("smtpd_client_restrictions =", "smtpd_client_restrictions = reject"), ("= 127.0.0.0/8", "= 127.0.0.0/8 10.0.0.0/8"))
    assert host(now, settings=["smtpd_client_restrictions"], may_loosen=["smtpd_client_restrictions"])[0]


def test_an_override_in_master_cf_is_a_guard_as_well(host):
    good, both = {MAIN: GOOD, MASTER: SERVICES}, {MAIN: GOOD}
    now = changed(SERVICES, ("smtpd_tls_security_level=may", "smtpd_tls_security_level=encrypt"), ("postfix/submission", "postfix/sub"))
    for name in ("submission/inet", "smtpd_tls_security_level"):
        with pytest.raises(Refused, match="submission/inet -o smtpd_tls_security_level"):
            host(dict(both, **{MASTER: now}), good, settings=[name])
    # Allowed, it goes back alone when it is named alone, and with its entry when that is named.
    assert host(dict(both, **{MASTER: now}), good, settings=["smtpd_tls_security_level"], may_loosen=["smtpd_tls_security_level"])[0] == {
        MASTER: changed(SERVICES, ("postfix/submission", "postfix/sub"))}
    assert host(dict(both, **{MASTER: now}), good, settings=["submission/inet"], may_loosen=["submission/inet"])[0] == {MASTER: SERVICES}
    # An override that was taken out leaves the value of main.cf.
    gone = changed(SERVICES, ("  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject\n", ""))
    with pytest.raises(Refused, match="submission/inet -o smtpd_relay_restrictions"):
        host(dict(both, **{MASTER: gone}), good, settings=["submission/inet"])


def test_a_service_that_was_lost_comes_back(host):
    good = {MAIN: GOOD, MASTER: SERVICES}
    start, end = SERVICES.index("submission"), SERVICES.index("tlsmgr")
    assert host({MAIN: GOOD, MASTER: SERVICES[:start] + SERVICES[end:]}, good, settings=["submission/inet"])[0] == {MASTER: SERVICES}


def test_a_service_that_is_new_goes_only_when_it_is_meant_itself(host):
    good, added = {MAIN: GOOD, MASTER: SERVICES}, "smtps inet n - y - - smtpd\n  -o smtpd_tls_wrappermode=yes\n"
    now = {MAIN: GOOD, MASTER: SERVICES + added}
    assert host(now, good, settings=["*/inet"]) == ({}, [])
    assert host(now, good, settings=["smtps/inet"])[0] == {MASTER: SERVICES}


WORM = "/^Subject: .*worm/ DISCARD\n"


def test_a_rule_that_discards_a_worm_stays(host):
    good = {MAIN: changed(GOOD, ("header_checks =", "header_checks = regexp:/etc/postfix/header_checks")), CHECKS: "/^X-Old:/ IGNORE\n"}
    now = dict(good, **{CHECKS: good[CHECKS] + WORM})
    with pytest.raises(Refused, match="loosen /etc/postfix/header_checks"):
        host(now, good, files=[CHECKS])
    with pytest.raises(Refused, match="header_checks"):
        host(now, good, settings=["*header_checks"], files=["/etc/postfix/*checks*"])
    assert host(now, good, files=[CHECKS], may_loosen=[CHECKS])[0] == {CHECKS: good[CHECKS]}
    assert host(now, good, files=[CHECKS], may_loosen=["header_checks"])[0] == {CHECKS: good[CHECKS]}


def test_a_file_that_is_new_is_neither_emptied_nor_taken_away(host):
    good = {MAIN: GOOD}
    now = {MAIN: changed(GOOD, ("header_checks =", "header_checks = regexp:/etc/postfix/header_checks")), CHECKS: WORM}
    with pytest.raises(Refused, match="loosen header_checks"):
        host(now, good, settings=["*header_checks"], files=["/etc/postfix/*checks*"])
    assert host(now, good, settings=["header_checks"], files=["/etc/postfix/*checks*"], may_loosen=["header_checks"])[0] == {MAIN: GOOD}
    assert host({MAIN: GOOD, "/etc/postfix/transport": "x.test :\n"}, good, files=["/etc/postfix/transport"]) == ({}, [])


def test_a_file_that_would_be_left_empty_is_refused(host):
    path = "/etc/postfix/transport"
    with pytest.raises(Refused, match="empty"):
        host({MAIN: GOOD, path: "x.test :\n"}, {MAIN: GOOD, path: "# nothing yet\n"}, files=[path])


def test_an_error_in_a_file_that_is_new_is_for_a_person(host):
    new = "/etc/dovecot/conf.d/99-mine.conf"
    with pytest.raises(Refused, match="99-mine.conf is new"):
        host({DOVECOT: IMAP, new: "x\n"}, {DOVECOT: IMAP}, software=["dovecot"], errors=[{"source": new, "line": 1, "text": "Expecting '='"}])


def test_a_denied_account_is_not_let_in_again(host):
    deny = "/etc/dovecot/deny"
    good = {DOVECOT: IMAP, deny: "dave\n"}
    with pytest.raises(Refused, match="loosen /etc/dovecot/deny"):
        host({DOVECOT: IMAP, deny: "dave\ncarol\n"}, good, software=["dovecot"], files=[deny])
    without = IMAP[:IMAP.index("passdb")] + IMAP[IMAP.index("passdb {\n  driver = pam"):]
    assert host({DOVECOT: without, deny: "dave\n"}, good, software=["dovecot"], settings=["passdb"])[0] == {DOVECOT: IMAP}
    with pytest.raises(Refused, match="loosen passdb"):
        host({DOVECOT: IMAP, deny: ""}, {DOVECOT: without, deny: ""}, software=["dovecot"], settings=["passdb"])


def test_a_damaged_guard_gives_its_place_to_the_good_one(host):
    """It has no value that could be stricter; and what an administrator changed beside it stays."""
    torn = changed(GOOD, ("permit_mynetworks,\n    reject_unauth", "permit_mynetworks,\nreject_unauth"), RENAMED)
    assert host(torn, errors=[{"source": MAIN, "line": 11, "text": "missing '=' after attribute name"}])[0] == {MAIN: changed(GOOD, RENAMED)}
    garbled = changed(GOOD, ("message_size_limit", "message_size_limti"), RENAMED)
    assert host(garbled, settings=["message_size_limit"], unused=["message_size_limti"])[0] == {MAIN: changed(GOOD, RENAMED)}
    good = {MAIN: GOOD, MASTER: SERVICES}
    policy = "policy unix - n n - 0 spawn user=nobody argv=/usr/bin/policy\n"
    for before, after in (("smtp       inet n - y - - smtpd", "smtp       inet n - y - -"), ("submission inet n", "submission inet")):
        now = {MAIN: GOOD, MASTER: changed(SERVICES, (before, after)) + policy}
        assert host(now, good, errors=[{"source": MASTER, "line": 1, "text": "bad field count"}])[0] == {MASTER: SERVICES + policy}
    unclosed = changed(IMAP, ("    mode = 0600\n  }\n", "    mode = 0600\n"))
    assert host({DOVECOT: unclosed + "mail_debug = yes\n"}, {DOVECOT: IMAP}, software=["dovecot"],
                errors=[{"source": DOVECOT, "line": 17, "text": "Expecting '}'"}])[0] == {DOVECOT: IMAP + "mail_debug = yes\n"}


def test_a_rollback_that_would_leave_a_service_missing_is_refused(host, monkeypatch):
    monkeypatch.setattr(config_text, "_ALIKE", 2)
    now = {MAIN: GOOD, MASTER: changed(SERVICES, ("smtp       inet n - y - - smtpd", "zzz"))}
    with pytest.raises(Refused, match="without smtp/inet"):
        host(now, {MAIN: GOOD, MASTER: SERVICES}, errors=[{"source": MASTER, "line": 1, "text": "bad field count"}])


def test_a_setting_whose_table_is_gone_does_not_come_back_alone(host):
    good = {MAIN: "transport_maps = hash:/etc/postfix/transport\n", "/etc/postfix/transport": "x.test :\n"}
    with pytest.raises(Refused, match="/etc/postfix/transport again, which is gone"):
        host({MAIN: "transport_maps =\n"}, good, settings=["transport_maps"])
    assert host({MAIN: "transport_maps =\n"}, good, settings=["transport_maps"], files=["/etc/postfix/transport"])[0] == good


def test_changes_of_two_products_go_back_as_one_step(host):
    good = {MAIN: "mailbox_transport = lmtp:unix:private/dovecot-lmtp\n", DOVECOT: IMAP}
    now = {path: text.replace("dovecot-lmtp", "lmtp-new") for path, text in good.items()}
    written, commands = host(now, good, software=["postfix", "dovecot"], settings=["mailbox_transport", "service lmtp"])
    assert written == good and commands == ["doveadm reload", "postfix reload"]
    now[DOVECOT] = changed(now[DOVECOT], ("TLSv1.2", "TLSv1.3"))
    with pytest.raises(Refused, match="ssl_min_protocol"):
        host(now, good, software=["postfix", "dovecot"], settings=["mailbox_transport", "service lmtp", "ssl_min_protocol"])


def test_one_software_may_be_named_as_a_word():
    from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
    validator = ArgumentSpecValidator(rollback_config.OPTIONS)
    assert validator.validate({"software": "postfix"}).validated_parameters["software"] == ["postfix"]
    assert not validator.validate({"software": ["postfix", "dovecot"]}).error_messages and validator.validate({"software": ["sshd"]}).error_messages


def test_what_would_be_invalid_is_refused_and_not_written(host):
    with pytest.raises(Refused, match="invalid"):
        host(changed(GOOD, RELAYHOST), complaints=["fatal: x", "fatal: x"], settings=["relayhost"])


def test_what_the_complaint_names_goes_back_with_it_and_no_more(host):
    now = changed(GOOD, RELAYHOST, RENAMED, ("inet_interfaces = all", "inet_interfaces = loopback-only"))
    assert host(now, complaints=["fatal: parameter myhostname: bad"], settings=["relayhost"])[0] == {
        MAIN: changed(GOOD, ("inet_interfaces = all", "inet_interfaces = loopback-only"))}
    now = changed(GOOD, RELAYHOST, ("smtpd_tls_protocols = >=TLSv1.2", "smtpd_tls_protocols = >=TLSv1.3"))
    with pytest.raises(Refused, match="loosen smtpd_tls_protocols"):
        host(now, complaints=["fatal: parameter smtpd_tls_protocols: bad"], settings=["relayhost"])


def test_an_address_to_listen_on_needs_a_restart_and_a_dead_service_a_start(host):
    now = changed(GOOD, ("inet_interfaces = all", "inet_interfaces = loopback-only"))
    assert host(now, settings=["inet_interfaces"])[1] == ["systemctl restart postfix@-.service"]
    assert host(now, settings=["inet_interfaces"], running=False)[1][-1] == "systemctl start postfix@-.service"


@pytest.mark.parametrize("rc, complaint", [(0, ""), (1, "Exim configuration error in line 22 of {made}.tmp:"), (None, "update-exim4.conf returned None")])
def test_exim_reads_the_copy_before_anything_is_put_in_place(tmp_path, monkeypatch, rc, complaint):
    tree = tmp_path / "exim4"
    tree.mkdir()
    (tree / "update-exim4.conf.conf").write_text("dc_relay_nets='0.0.0.0/0'\n")
    monkeypatch.setitem(rollback_config._TREES, "exim", str(tree))
    seen = []

    class Host:
        @staticmethod
        def run(*argv, timeout):
            seen.append(argv)
            with open(os.path.join(argv[2], "update-exim4.conf.conf"), encoding="utf-8") as stream:
                assert stream.read() == "dc_relay_nets=''\n"
            return Ran(argv, rc, "", complaint.format(made=argv[4]) if rc else "", missing=rc is None)
    monkeypatch.setitem(rollback_config._CHECKS, "exim", rollback_config._CHECKS["exim"][:1])
    found = rollback_config._complaint(Host, "exim", {str(tree / "update-exim4.conf.conf"): b"dc_relay_nets=''\n"})
    assert bool(found) == bool(complaint) and found.startswith(complaint.partition(" of ")[0]) and seen[0][0] == "update-exim4.conf"
    assert (tree / "update-exim4.conf.conf").read_text() == "dc_relay_nets='0.0.0.0/0'\n" and not os.path.exists(os.path.dirname(seen[0][4]))


def test_where_a_complaint_names_nothing_the_change_that_causes_it_is_found(host):
    path = "/etc/exim4/update-exim4.conf.conf"
    good = {path: "dc_eximconfig_configtype='internet'\ndc_smarthost='x'\ndc_use_split_config='false'\n"}
    now = {path: "dc_eximconfig_configtype='internet'\ndc_smarthost='y'\ndc_use_split_config='perhaps'\n"}
    # Of the present files, of one change alone, and of the other alone.
    written, _commands = host(now, good, software=["exim"], complaints=["made no sense", "made no sense", ""])
    assert written == {path: now[path].replace("perhaps", "false")}


def test_for_whom_exim_relays_is_loosened_by_nobody(host):
    path = "/etc/exim4/update-exim4.conf.conf"
    good = {path: "dc_relay_nets='192.0.2.0/24'\ndc_smarthost='x'\n"}
    now = {path: "dc_relay_nets=''\ndc_smarthost='y'\n"}
    assert host(now, good, software=["exim"], settings=["dc_*"])[0] == {path: "dc_relay_nets=''\ndc_smarthost='x'\n"}
    with pytest.raises(Refused, match="loosen dc_relay_nets"):
        host(now, good, software=["exim"], settings=["dc_relay_nets"])
    assert host(good, now, software=["exim"], settings=["dc_relay_nets"])[0] == {path: "dc_relay_nets=''\ndc_smarthost='x'\n"}


def test_nothing_to_go_back_to_is_for_a_person(host):
    with pytest.raises(Refused, match="nothing to go back to"):
        host(GOOD, good=None, settings=["relayhost"])


@pytest.fixture(name="snapshot")
def _snapshot(tmp_path, monkeypatch):
    """``snapshot(files, days)``: a snapshot of these files in force; the folder of their copies."""
    def taken(files, days=0):
        then = time.time() - days * 86400
        folder = tmp_path / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(then))
        for path, text in files.items():
            (folder / "files" / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            (folder / "files" / path.lstrip("/")).write_text(text)
        described = {path: {"owner": "root", "group": "root", "mode": "0640", "sha256": hashlib.sha256(text.encode()).hexdigest()}
                     for path, text in files.items()}
        (folder / "manifest.json").write_text(json.dumps({"taken_epoch": then, "state": {"files": described}}))
        os.symlink(folder.name, tmp_path / "current")
        monkeypatch.setattr(known_good, "STORE", str(tmp_path))
        return folder / "files"
    return taken


AUTO = {"source": "auto", "most_days": 30}


def test_an_old_snapshot_is_refused(snapshot):
    snapshot({MAIN: GOOD}, days=40)
    with pytest.raises(Refused, match="40 days old"):
        rollback_config._known("postfix", AUTO)


def test_a_snapshot_of_today_is_taken_with_owner_and_mode(snapshot):
    snapshot({MAIN: GOOD, "/etc/postfix/transport.db": "compiled", DOVECOT: IMAP})
    found, unfit = rollback_config._known("postfix", AUTO)
    assert list(found) == [MAIN] and (found[MAIN].uid, found[MAIN].gid, found[MAIN].mode, found[MAIN].source) == (0, 0, 0o640, "known_good") and unfit == []


@pytest.mark.parametrize("text", ["mynetworks = 0.0.0.0/0\n", "", GOOD[:50], None])
def test_a_copy_that_is_not_what_the_manifest_says_is_not_used(snapshot, monkeypatch, text):
    copy = snapshot({MAIN: GOOD, MASTER: SERVICES}) / MAIN.lstrip("/")
    copy.unlink() if text is None else copy.write_text(text)
    found, unfit = rollback_config._known("postfix", AUTO)
    assert list(found) == [MASTER] and unfit == [MAIN]
    monkeypatch.setattr(rollback_config.postfix, "collect", lambda context: {})
    with pytest.raises(Refused, match="main.cf is not what the snapshot's manifest says"):
        list(rollback_config.steps(Silent, {"software": ["postfix"], "settings": ["relayhost"], "files": [], "only_missing": False, "may_loosen": [], **AUTO}))


def test_a_file_that_is_not_in_the_manifest_is_not_used(snapshot):
    folder = snapshot({MAIN: GOOD})
    (folder / CHECKS.lstrip("/")).write_text("/^Subject:/ DISCARD\n")
    assert list(rollback_config._known("postfix", AUTO)[0]) == [MAIN]
