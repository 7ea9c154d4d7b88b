"""What guards a mail host, a product at a time, and whether one value of it lets in more than another. Pure functions.

Guards are who may relay, whom and what is refused, TLS floors, authentication, filters, limits, and the rights of stores and keys. Each kind of value has an
order of its own, in which one is as strict as another or is not; two that the order does not compare cannot be told apart, and are for a person.
Sources: postconf(5), access(5), header_checks(5), SASL_README, TLS_README, doc.dovecot.org (2.3 and 2.4), exim4-config_files(5), opendkim.conf(5),
rspamd's actions, amavisd.conf-default, postgrey(8), clamd.conf(5).
"""
from __future__ import annotations

import fnmatch
import ipaddress
import re

from ansible_collections.mailops.outage.plugins.module_utils.host import dovecot
from ansible_collections.mailops.outage.plugins.module_utils.host._postconf import words

_TLS_VERSIONS = ("SSLV2", "SSLV3", "TLSV1", "TLSV1.1", "TLSV1.2", "TLSV1.3")
# What each level is at least as strict as. ``dane`` falls back to ``may`` where a domain publishes nothing, so it is no ``encrypt``.
_LEVELS = {
    "none": {"none"}, "": {"none", ""}, "may": {"none", "", "may"}, "encrypt": {"none", "", "may", "encrypt"}, "dane": {"none", "", "may", "dane"},
    "dane-only": {"none", "", "may", "encrypt", "dane", "dane-only"}, "fingerprint": {"none", "", "may", "encrypt", "fingerprint"},
    "verify": {"none", "", "may", "encrypt", "verify"}, "secure": {"none", "", "may", "encrypt", "verify", "secure"},
}
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZES = {"": 1, "b": 1, "k": 1024, "m": 1024 ** 2, "g": 1024 ** 3, "t": 1024 ** 4}


# Orders: ``order(one, other)`` says whether ``one`` is surely as strict as ``other``. Equal texts never come here.

def _unknown(_one: str, _other: str) -> bool:
    return False


def _ranked(*groups):
    """The groups of words from the loosest to the strictest."""
    places = {word: place for place, group in enumerate(groups) for word in group.split("|")}

    def order(one, other):
        ranks = [places.get(value.strip().strip("\"'").lower()) for value in (one, other)]
        return None not in ranks and ranks[0] >= ranks[1]
    return order


def _number(value: str, units: dict) -> float | None:
    match = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*([a-z]?)(?:i?b)?(?:ytes|ecs?|ins?|ours?|ays?)?", value.strip().strip("\"'").lower())
    return float(match.group(1)) * units[match.group(2)] if match and match.group(2) in units else None


def _limit(units=None, none_is=None, more_is_stricter=False):
    """A number; ``none_is`` is the one that means no limit at all."""
    def order(one, other):
        numbers = [_number(value, units or _UNITS) for value in (one, other)]
        if None in numbers:
            return False
        numbers = [float("inf") if number == none_is else number for number in numbers]
        return numbers[0] >= numbers[1] if more_is_stricter else numbers[0] <= numbers[1]
    return order


def _split(value: str) -> list:
    """The elements of a list in any product's writing; Exim's are kept apart by semicolons or colons with space, Postfix's by commas or space."""
    return words(value.strip().strip("\"'").replace(";", " ").replace(" : ", " "))


def _fewer(one: str, other: str) -> bool:
    """Each element lets somebody in."""
    sets = [{element.lower() for element in _split(value)} for value in (one, other)]
    return sets[0] <= sets[1] and not any(element.startswith("!") for element in sets[0] | sets[1])


def _more(value: str, than: str) -> bool:
    """Each element keeps something out."""
    return _fewer(than, value)


def _more_of(*kept: str):
    """The same, of which only some elements guard anything."""
    return lambda one, other: {element for element in _split(one) if element in kept} >= {element for element in _split(other) if element in kept}


def _networks(one: str, other: str) -> bool:
    """Addresses that are let in (mynetworks; postconf(5))."""
    sets = [_ranges(value) for value in (one, other)]
    if None in sets:
        return False
    return all(any(net.version == wide.version and net.subnet_of(wide) for wide in sets[1]) for net in sets[0])


def _ranges(value: str) -> list | None:
    found = []
    for element in _split(value):
        match = re.fullmatch(r"\[?([0-9A-Fa-f.:]+)\]?(/\d+)?", element)
        try:
            found.append(ipaddress.ip_network(match.group(1) + (match.group(2) or ""), strict=False) if match else None)
        except ValueError:
            return None
    if None in found:
        return None
    return [net for version in (4, 6) for net in ipaddress.collapse_addresses([net for net in found if net.version == version])]


def _protocols(one: str, other: str) -> bool:
    """TLS versions as Postfix and Dovecot 2.2 write them: plain names, ``!name``, and from Postfix 3.6 ``>=name``, ``<=name``."""
    sets = [_versions(value) for value in (one, other)]
    return None not in sets and sets[0] <= sets[1]


def _versions(value: str) -> set | None:
    named, out, low, high = set(), set(), 0, len(_TLS_VERSIONS) - 1
    for element in re.split(r"[\s,:]+", value.strip()):
        match = re.fullmatch(r"(!|>=|<=|)(\S+)", element)
        if not match:
            continue
        name = match.group(2).upper().replace("TLSV1.0", "TLSV1")
        if name not in _TLS_VERSIONS:
            return None
        place = _TLS_VERSIONS.index(name)
        if match.group(1) == ">=":
            low = place
        elif match.group(1) == "<=":
            high = place
        else:
            (out if match.group(1) else named).add(name)
    return {name for name in set(_TLS_VERSIONS[low:high + 1]) & (named or set(_TLS_VERSIONS)) if name not in out}


def _level(one: str, other: str) -> bool:
    return other.strip().lower() in _LEVELS.get(one.strip().lower(), ())


def _filter(one: str, other: str) -> bool:
    """One place that all mail goes through, or none."""
    return not other.strip()


def _octal(one: str, other: str) -> bool:
    """Modes: others have no right that they do not have in the other."""
    modes = [int(value, 8) & 0o7 if re.fullmatch(r"0?[0-7]{1,4}", value.strip()) else None for value in (one, other)]
    return None not in modes and not modes[0] & ~modes[1]


def _in_turn(one: list, other: list) -> bool:
    """Whether the rules ``one`` are as strict as ``other``, when the first that matches decides: what lets in was only taken out, and what
    keeps out was only put in. Rules are pairs ``(kind, text)`` with the kinds ``in``, ``out`` and others."""
    reached = {0}
    # A row for each rule of the other, and in each the places of ``one`` that can be reached.
    for rule in list(other) + [None]:
        row = set()
        for place in range(len(one) + 1):
            if place in reached or (place - 1 in row and one[place - 1][0] == "out"):
                row.add(place)
        reached = row if rule is None else {place + 1 for place in row if place < len(one) and one[place] == rule} | (row if rule[0] == "in" else set())
    return len(one) in reached


def _restrictions(one: str, other: str) -> bool:
    # A list that comes to its end permits (SMTPD_ACCESS_README), so one that only permits keeps nobody out.
    lists = [[rule for rule in _elements(value) if rule != ("in", "permit")] for value in (one, other)]
    return all(kind == "in" for kind, _text in lists[1]) or _in_turn(*lists)


def _postscreen(one: str, other: str) -> bool:
    """At the end of this list the tests go on, which ``permit`` passes over."""
    return _in_turn(_elements(one), _elements(other))


def _elements(value: str) -> list:
    """``[(kind, text)]`` of a list of restrictions, up to where it surely ends."""
    found, left = [], words(value)
    while left:
        word = left.pop(0)
        name = word.lower()
        warns = name == "warn_if_reject"
        if warns and left:
            word = f"warn {left.pop(0)}"
        takes = re.fullmatch(r"(?:warn )?(?:check_\w+_access|check_policy_service|(?:reject|permit)_(?:rbl|rhsbl|rhswl|dnswl|dnsbl)\w*|sleep)", word, re.I)
        if takes and left:
            word += f" {left.pop(0)}"
        kind = "either"
        if not warns and "$" not in word and not re.search(r"[,\s]", name):
            kind = "in" if name.startswith("permit") else "out" if name.startswith(("reject", "defer")) else "either"
        found.append((kind, name if name in ("permit", "reject", "defer") else word))
        if name in ("permit", "reject", "defer"):
            break
    return found


_OUT = re.compile(r"(?:REJECT|DISCARD|HOLD|DEFER(?:_IF_\w+)?|[45]\d\d)\b.*", re.I | re.S)
_IN = re.compile(r"(?:OK|PERMIT|RELAY|DUNNO|ACCEPT|\d+)\b.*", re.I | re.S)


def _table(one: str, other: str) -> bool:
    """The lines of an access table or of header checks (access(5), header_checks(5), postscreen(8))."""
    return _in_turn(_rules(one), _rules(other))


def _rules(text: str) -> list:
    found = []
    for line in _lines(text):
        pattern = re.match(r"(?:!?(?P<mark>[/|#%~]).*?(?<!\\)(?P=mark)[a-zA-Z]*|\S+)\s+(?P<action>\S.*)", line)
        action = pattern.group("action") if pattern else ""
        kind = "either" if re.match(r"(?:if|endif)\b", line, re.I) else "out" if _OUT.match(action) else "in" if _IN.match(action) else "either"
        found.append((kind, line))
    return found


def _lines(text: str) -> list:
    """The lines that say something, each with what goes on below it."""
    found: list = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and found:
            found[-1] += " " + " ".join(line.split())
        else:
            found.append(" ".join(line.split()))
    return found


def _fewer_lines(one: str, other: str) -> bool:
    """A table whose entries let in: domains that are relayed for, accounts."""
    return set(_lines(one)) <= set(_lines(other)) and not any(line.startswith("!") for line in _lines(one) + _lines(other))


def _more_lines(value: str, than: str) -> bool:
    """A table whose entries keep out: denied accounts."""
    return _fewer_lines(than, value)


def _databases(one: str, other: str) -> bool:
    """Dovecot's passdb blocks: each lets its accounts in, or, with ``deny``, keeps them out."""
    return _in_turn(*(sorted(_blocks(value), key=lambda block: block[0] != "out") for value in (one, other)))


def _blocks(text: str) -> list:
    found: dict = {}
    for path, value in dovecot.parse(text):
        if path[0] == "passdb" and len(path) > 1:
            found.setdefault(path[1], []).append((path[2:], value))
    return [("out" if (("deny",), "yes") in pairs else "in", repr(sorted(pairs))) for _number, pairs in sorted(found.items(), key=lambda item: int(item[0]))]


_YES = _ranked("no|false|off|0", "yes|true|on|1")
_NO = _ranked("yes|true|on|1", "no|false|off|0")
_GRADE = _ranked("null", "export", "low", "medium", "high")
_ACTION = _ranked("ignore", "enforce", "drop")

# (pattern of names, subject, order), the first that matches; an order of None: a name that a later pattern takes for a guard, and is none.
_POSTFIX = (
    ("mynetworks", "relaying", _networks), ("mynetworks_style", "relaying", _ranked("class", "subnet", "host")),
    ("relay_domains", "relaying", _fewer), ("relay_clientcerts", "relaying", _fewer), ("permit_mx_backup_networks", "relaying", _unknown),
    ("parent_domain_matches_subdomains", "relaying", _fewer), ("allow_untrusted_routing", "relaying", _NO),
    ("smtpd_relay_restrictions", "relaying", _restrictions),
    ("smtpd_relay_before_recipient_restrictions", "relaying", _unknown), ("authorized_*_users", "relaying", _fewer),
    ("smtpd_authorized_*_hosts", "relaying", _networks), ("qmqpd_authorized_clients", "relaying", _networks),
    ("smtpd_restriction_classes", "restrictions", _unknown), ("smtpd_*_restrictions", "restrictions", _restrictions),
    ("smtpd_reject_unlisted_*", "restrictions", _YES), ("smtpd_helo_required", "restrictions", _YES), ("disable_vrfy_command", "restrictions", _YES),
    ("strict_rfc821_envelopes", "restrictions", _YES), ("smtpd_forbid_*_exclusions", "restrictions", _networks), ("smtpd_forbid_*", "restrictions", _YES),
    ("postscreen_access_list", "restrictions", _postscreen), ("postscreen_dnsbl_sites", "restrictions", _more),
    ("postscreen_dnsbl_threshold", "restrictions", _limit()),
    ("postscreen_*_action", "restrictions", _ACTION), ("postscreen_*_enable", "restrictions", _YES), ("postscreen_*list*", "restrictions", _unknown),
    ("*header_checks", "denials", _more), ("*body_checks", "denials", _more),
    ("*_tls_loglevel", "", None), ("*_tls_session_cache_*", "", None), ("*_tls_*cert_file", "", None), ("*_tls_*key_file", "", None),
    ("*_tls_chain_files", "", None), ("*_tls_received_header", "", None), ("*_tls_note_starttls_offer", "", None), ("*_tls_connection_reuse", "", None),
    ("*_tls_session_ids", "", None), ("*_starttls_timeout", "", None), ("tls_random_*", "", None), ("tls_server_sni_maps", "", None),
    ("tls_daemon_*", "", None),
    ("*_tls_security_level", "tls", _level), ("*_tls_dane_insecure_mx_policy", "tls", _level), ("*_enforce_tls", "tls", _YES), ("*_use_tls", "tls", _YES),
    ("smtpd_tls_auth_only", "tls", _YES), ("smtpd_tls_req_ccert", "tls", _YES), ("*_tls_wrappermode", "tls", _YES), ("*_tls_enforce_peername", "tls", _YES),
    ("*_tls_protocols", "tls", _protocols), ("*_tls_mandatory_protocols", "tls", _protocols), ("*_exclude_ciphers", "tls", _more),
    ("*_tls_ciphers", "tls", _GRADE), ("*_tls_mandatory_ciphers", "tls", _GRADE), ("*_dns_support_level", "tls", _ranked("disabled", "enabled", "dnssec")),
    ("*sasl*_security_options", "authentication", _more), ("smtpd_sasl_auth_enable", "authentication", _NO),
    ("smtp_sasl_auth_enable", "", None), ("lmtp_sasl_auth_enable", "", None), ("*mtp_sasl_password_maps", "", None), ("*_sasl_auth_cache_*", "", None),
    ("*_sasl_auth_soft_bounce", "", None), ("*mtp_sasl_type", "", None), ("*mtp_sasl_path", "", None), ("broken_sasl_auth_clients", "", None),
    ("smtpd_sasl_authenticated_header", "", None), ("smtpd_sasl_response_limit", "", None), ("*_login_*maps", "authentication", _unknown),
    ("milter_default_action", "filters", lambda one, other: other.strip().lower() == "accept"), ("smtpd_milters", "filters", _more),
    ("non_smtpd_milters", "filters", _more), ("milter_*_timeout", "", None), ("milter_*_macros", "", None), ("milter_macro_*", "", None),
    ("milter_protocol", "", None), ("content_filter", "filters", _filter), ("smtpd_proxy_filter", "filters", _filter),
    ("receive_override_options", "filters", _fewer), ("*_command_filter", "filters", _unknown), ("*_dns_reply_filter", "filters", _unknown),
    ("smtpd_client_event_limit_exceptions", "limits", _networks), ("smtpd_client_*_limit", "limits", _limit(none_is=0)),
    ("message_size_limit", "limits", _limit(none_is=0)), ("mailbox_size_limit", "limits", _limit(none_is=0)),
    ("virtual_mailbox_limit", "limits", _limit(none_is=0)),
    ("default_process_limit", "limits", _limit(none_is=0)), ("postscreen_*_limit", "limits", _limit()),
    ("smtpd_error_sleep_time", "limits", _limit(more_is_stricter=True)),
    ("smtpd_policy_service_*", "", None), ("smtpd_*_limit", "limits", _limit()), ("hopcount_limit", "limits", _limit()),
    ("header_size_limit", "limits", _limit()),
    ("anvil_rate_time_unit", "limits", _limit(more_is_stricter=True)), ("queue_minfree", "limits", _limit(more_is_stricter=True)),
    ("in_flow_delay", "limits", _limit(more_is_stricter=True)), ("maxproc", "limits", _limit(none_is=0)), ("chroot", "rights", _ranked("n", "y")),
    ("unprivileged", "rights", _ranked("n", "y")), ("private", "rights", _ranked("n", "y")),
    ("*tls*", "tls", _unknown), ("*sasl*", "authentication", _unknown), ("*milter*", "filters", _unknown), ("*_restrictions", "restrictions", _unknown),
)
_DOVECOT = (
    ("passdb", "authentication", _databases),
    ("*ssl_min_protocol", "tls", _ranked("any", "sslv3", "tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3|latest")), ("*ssl_protocols", "tls", _protocols),
    ("ssl", "tls", _ranked("no", "yes", "required")), ("*.ssl", "tls", _ranked("no", "yes", "required")),
    ("*ssl*_cert", "", None), ("*ssl*_key", "", None), ("*ssl*_cert_file", "", None), ("*ssl*_key_file", "", None), ("*ssl*_dh*", "", None),
    ("*ssl*_key_password", "", None),
    ("*ssl_client_require_valid_cert", "tls", _YES), ("*ssl*verify_client_cert", "tls", _YES), ("*ssl*request_client_cert", "tls", _YES),
    ("auth_ssl_require_client_cert", "tls", _YES), ("*ssl*", "tls", _unknown),
    ("*disable_plaintext_auth", "tls", _YES), ("*auth_allow_cleartext", "tls", _NO), ("*auth_mechanisms", "authentication", _fewer),
    ("auth_failure_delay", "authentication", _limit(more_is_stricter=True)), ("auth_verbose*", "", None), ("auth_debug*", "", None), ("auth_cache_*", "", None),
    ("auth_worker_*", "", None), ("auth_*", "authentication", _unknown), ("password_query", "authentication", _unknown),
    ("pass_filter", "authentication", _unknown), ("*.allow_nets", "authentication", _unknown), ("*nopassword*", "authentication", _unknown),
    ("login_trusted_networks", "authentication", _networks), ("haproxy_trusted_networks", "authentication", _networks),
    ("master_user*", "authentication", _unknown),
    ("*mail_plugins", "filters", _more_of("acl", "quota", "imap_acl", "imap_quota")), ("plugin.acl*", "restrictions", _unknown),
    ("acl_*", "restrictions", _unknown),
    ("plugin.sieve_before*", "filters", _unknown), ("plugin.sieve_after*", "filters", _unknown),
    ("*mail_max_userip_connections", "limits", _limit(none_is=0)), ("*process_limit", "limits", _limit(none_is=0)),
    ("*client_limit", "limits", _limit(none_is=0)),
    ("*quota_storage_size", "limits", _limit(_SIZES, none_is=0)), ("*quota_max_mail_size", "limits", _limit(_SIZES, none_is=0)),
    ("*quota*", "limits", _unknown),
    ("first_valid_*id", "rights", _limit(more_is_stricter=True)), ("last_valid_*id", "rights", _limit(none_is=0)), ("mail_access_groups", "rights", _fewer),
    ("mail_privileged_group", "rights", _unknown), ("*valid_chroot_dirs", "rights", _fewer), ("*_listener.*.mode", "rights", _octal),
)
_EXIM = (
    ("dc_relay_nets", "relaying", _networks), ("dc_relay_domains", "relaying", _fewer), ("hostlist*", "relaying", _unknown),
    ("domainlist*", "relaying", _unknown),
    ("*relay*", "relaying", _unknown), ("tls_require_ciphers", "tls", _unknown), ("tls_advertise_hosts", "tls", _unknown), ("tls_certificate", "", None),
    ("tls_privatekey", "", None), ("*tls*", "tls", _unknown), ("auth_advertise_hosts", "authentication", _unknown), ("server_*", "authentication", _unknown),
    ("message_size_limit", "limits", _limit(_SIZES, none_is=0)), ("smtp_accept_max*", "limits", _limit(none_is=0)), ("smtp_accept_queue*", "", None),
    ("recipients_max", "limits", _limit(none_is=0)), ("*acl*", "restrictions", _unknown), ("host_reject_connection", "restrictions", _more),
    ("spamd_address", "", None), ("av_scanner", "filters", _unknown),
    *((word, "restrictions", _unknown) for word in """accept deny drop require defer discard warn hosts domains recipients senders authenticated encrypted
      verify !verify !hosts !domains !senders !recipients !authenticated condition !condition dnslists ratelimit malware spam endpass""".split()),
)
_OPENDKIM = (
    ("mode", "filters", _more), ("on-*", "filters", _ranked("accept", "quarantine", "tempfail|discard|reject")), ("internalhosts", "filters", _unknown),
    ("externalignorelist", "filters", _unknown), ("peerlist", "filters", _unknown), ("exemptdomains", "filters", _unknown), ("requiresafekeys", "rights", _YES),
    ("minimumkeybits", "filters", _limit(more_is_stricter=True)), ("umask", "rights", lambda value, than: _octal(than, value)), ("userid", "rights", _unknown),
)
_RSPAMD = (
    *((name, "filters", _limit()) for name in ("reject", "add_header", "greylist", "rewrite_subject", "soft_reject", "discard", "quarantine")),
    ("enabled", "filters", _YES), ("local_networks", "filters", _networks), ("secure_ip", "authentication", _networks),
    ("*password", "authentication", _unknown),
    ("bind_socket", "", None), ("*", "filters", _unknown),
)
_AMAVIS = (
    ("$final_*_destiny", "filters", _ranked("d_pass", "d_bounce|d_reject|d_discard")), ("$sa_*_level_deflt", "filters", _limit()), ("$sa_tag_level*", "", None),
    ("$log_level", "", None), ("$max_servers", "", None), ("$myhostname", "", None), ("$mydomain", "", None), ("*", "filters", _unknown),
)
_POSTGREY = (("--delay", "filters", _limit(more_is_stricter=True)), ("--auto-whitelist-clients", "filters", _limit(more_is_stricter=True)),
             ("--inet", "", None), ("--unix", "", None), ("*", "filters", _unknown))
_CLAMAV = (
    ("max*", "limits", _limit(_SIZES, none_is=0, more_is_stricter=True)), ("scan*", "filters", _YES), ("alert*", "filters", _YES), ("detect*", "filters", _YES),
    ("phishing*", "filters", _YES), ("heuristic*", "filters", _YES), ("structured*", "filters", _unknown), ("exclude*", "filters", _unknown),
    ("oninfected", "filters", _ranked("accept", "quarantine|defer|reject|blackhole")), ("onfail", "filters", _ranked("accept", "defer|reject")),
    ("whitelist", "filters", _unknown), ("localsocketmode", "rights", _octal), ("user", "rights", _unknown),
)
GUARDS = {"postfix": _POSTFIX, "dovecot": _DOVECOT, "exim": _EXIM, "opendkim": _OPENDKIM, "rspamd": _RSPAMD, "amavis": _AMAVIS, "postgrey": _POSTGREY,
          "clamav": _CLAMAV}

# What holds where nothing is set, of the versions that this project meets; what is not here and not set cannot be told.
_DEFAULTS = {
    "postfix": {
        **dict.fromkeys("""
            relay_domains relay_clientcerts smtpd_client_restrictions smtpd_helo_restrictions smtpd_sender_restrictions smtpd_recipient_restrictions
            smtpd_data_restrictions smtpd_end_of_data_restrictions smtpd_etrn_restrictions header_checks body_checks smtp_header_checks smtp_body_checks
            smtpd_tls_security_level smtp_tls_security_level lmtp_tls_security_level smtpd_tls_exclude_ciphers smtpd_tls_mandatory_exclude_ciphers
            smtp_tls_exclude_ciphers smtp_tls_mandatory_exclude_ciphers smtpd_milters non_smtpd_milters content_filter smtpd_proxy_filter
            receive_override_options postscreen_dnsbl_sites""".split(), ""),
        **dict.fromkeys("""
            smtpd_helo_required disable_vrfy_command strict_rfc821_envelopes smtpd_tls_auth_only smtpd_tls_req_ccert smtpd_tls_wrappermode
            smtpd_enforce_tls smtp_enforce_tls smtpd_use_tls smtp_use_tls smtpd_sasl_auth_enable allow_untrusted_routing
            smtpd_reject_unlisted_sender""".split(), "no"),
        **dict.fromkeys(("smtpd_tls_protocols", "smtpd_tls_mandatory_protocols", "smtp_tls_protocols", "smtp_tls_mandatory_protocols"), "!SSLv2, !SSLv3"),
        "smtpd_reject_unlisted_recipient": "yes", "smtpd_sasl_security_options": "noanonymous", "milter_default_action": "tempfail",
        "smtpd_client_connection_count_limit": "50", "message_size_limit": "10240000", "mailbox_size_limit": "51200000", "virtual_mailbox_limit": "51200000",
        "default_process_limit": "100", "smtpd_recipient_limit": "1000", "hopcount_limit": "50", "postscreen_dnsbl_threshold": "1",
        **{f"smtpd_client_{what}_rate_limit": "0" for what in ("connection", "message", "recipient", "auth", "new_tls_session")},
    },
    "dovecot": {"ssl": "yes", "disable_plaintext_auth": "yes", "auth_allow_cleartext": "no", "passdb": "", "login_trusted_networks": "",
                "mail_max_userip_connections": "10"},
    "exim": {"dc_relay_nets": "", "dc_relay_domains": ""},
}


def _default(product: str, name: str) -> str | None:
    # A socket that Dovecot makes without a word on its mode is its owner's alone.
    return "0600" if product == "dovecot" and name.endswith(".mode") else None if " -o " in name else _DEFAULTS.get(product, {}).get(name)


def _entry(product: str, name: str) -> tuple:
    plain = name.rpartition(" -o ")[2].strip()
    if product not in ("postfix", "dovecot"):
        plain = plain.lower()
    return next((entry for entry in GUARDS[product] if fnmatch.fnmatchcase(plain, entry[0])), ("", "", None))


def subject(product: str, name: str) -> str | None:
    """What a setting guards (``relaying``, ``restrictions``, ``denials``, ``tls``, ``authentication``, ``filters``, ``limits``, ``rights``); None: nothing.

    Names are the product's own. Dovecot's are dotted (``service.imap-login.process_limit``), all passdb blocks together are ``passdb``. An override of
    master.cf is ``submission/inet -o smtpd_milters``; ``maxproc``, ``chroot``, ``private`` and ``unprivileged`` are the columns of an entry.
    """
    _pattern, what, order = _entry(product, name)
    return what if order else None


def looser(product: str, name: str, old: str | None, new: str | None) -> bool | None:
    """Whether ``new`` lets in more than ``old``: True, False (as strict, stricter, or no guard at all), None when it cannot be told.

    Values as written in the product's file; None: not set, so that the default holds (of an override in master.cf, the value of main.cf, which is not
    known here). A reference to another setting (``$name``) cannot be told from any other text, so expand it first. Never True in both directions.
    """
    if subject(product, name) is None or old == new:
        return False
    values = []
    for value in (old, new):
        value = _default(product, name) if value is None else value
        if value is None:
            return None
        values.append(" ".join(value.split()) if name != "passdb" else value)
    return _compared(_entry(product, name)[2], *values, references=product == "postfix")


def _compared(order, old: str, new: str, references: bool = False) -> bool | None:
    if old == new:
        return False
    if references and ("$" in old or "$" in new):
        return None
    if order(new, old):
        return False
    return True if order(old, new) else None


# Of the tables that settings refer to: in which setting, and what an entry of such a table does.
_TABLES = (
    ("*_restrictions", "restrictions", _table), ("*header_checks", "denials", _table), ("*body_checks", "denials", _table),
    ("postscreen_access_list", "restrictions", _table), ("relay_domains", "relaying", _fewer_lines), ("mynetworks", "relaying", _fewer_lines),
    ("relay_clientcerts", "relaying", _fewer_lines), ("authorized_*_users", "relaying", _fewer_lines),
    ("smtpd_client_event_limit_exceptions", "limits", _fewer_lines),
    ("*_login_*maps", "authentication", _unknown), ("*_tls_policy_maps", "tls", _unknown), ("smtpd_milter_maps", "filters", _unknown),
    ("passdb", "authentication", _fewer_lines), ("passdb deny", "denials", _more_lines), ("postgrey whitelist", "filters", _fewer_lines),
)
_TABLE_NAMES = (("*exceptions*", "postgrey whitelist"), ("*blacklist*", "passdb deny"), ("passwd", "passdb"), ("*access*", "smtpd_client_restrictions"),
                ("*_checks*", "header_checks"), ("*deny*", "passdb deny"), ("*relay_domains*", "relay_domains"), ("*whitelist*", "postgrey whitelist"))


def table_user(path: str, users: list) -> str | None:
    """By which setting a table guards: of ``users``, the names of the settings that refer to it (``passdb``, ``passdb deny`` of Dovecot's), or, where nothing
    refers to it, what its name says; None when it guards nothing."""
    for user in users:
        found = next((pattern for pattern, _what, _order in _TABLES if fnmatch.fnmatchcase(user.rpartition(" -o ")[2], pattern)), None)
        if found:
            return user
    base = path.rpartition("/")[2]
    return None if users else next((user for pattern, user in _TABLE_NAMES if fnmatch.fnmatchcase(base, pattern)), None)


def table_subject(user: str) -> str:
    """What a table guards that the setting ``user`` refers to."""
    return next(what for pattern, what, _order in _TABLES if fnmatch.fnmatchcase(user.rpartition(" -o ")[2], pattern))


def looser_table(user: str, old: str, new: str) -> bool | None:
    """As ``looser``, of the text of a table that the setting ``user`` (see ``table_user``) refers to; an absent table is an empty text."""
    order = next(order for pattern, _what, order in _TABLES if fnmatch.fnmatchcase(user.rpartition(" -o ")[2], pattern))
    return _compared(order, "\n".join(_lines(old)), "\n".join(_lines(new)))


def looser_rights(old: tuple, new: tuple) -> bool | None:
    """As ``looser``, of ``(uid, gid, mode)``: another owner or group cannot be told."""
    if tuple(old) == tuple(new):
        return False
    if tuple(old[:2]) != tuple(new[:2]):
        return None
    return False if not new[2] & ~old[2] else True if not old[2] & ~new[2] else None


def settings(product: str, text: str) -> dict:
    """``{name: value}`` of a file of a product without statements of its own kind here; names as ``subject`` wants them."""
    found: dict = {}
    if product == "postgrey":
        return {match.group(1): match.group(2) for match in re.finditer(r"(--[\w-]+)(?:[= ]([^\s\"']+))?", text)}
    for line in _lines(text):
        match = re.match(r"(?P<name>[$@]?[\w.!-]+)(?:\s*[=:]\s*|\s+)(?P<value>.*?);?$", line)
        if match:
            # One that stands several times, in several blocks, is all of them.
            name = match.group("name") if product == "exim" or match.group("name").startswith("$") else match.group("name").lower()
            found[name] = f"{found[name]}\n{match.group('value')}" if name in found else match.group("value")
    return found
