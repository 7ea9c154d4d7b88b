"""Reading what postconf(1) prints and, where it dies on a broken file, main.cf and master.cf themselves. Pure functions."""
from __future__ import annotations

import re

from ansible_collections.mailops.outage.plugins.module_utils.secrets import mask, mask_setting
from ansible_collections.mailops.outage.plugins.module_utils.text import clean

# DATABASE_README: table types; what follows ``type:`` is a file only for some of them.
COMPILED = {"hash": ".db", "btree": ".db", "lmdb": ".lmdb", "cdb": ".cdb", "dbm": ".pag", "sdbm": ".pag"}
PLAIN = frozenset(("texthash", "regexp", "pcre", "cidr"))
BACKENDS = frozenset(("ldap", "mysql", "pgsql", "sqlite", "mongodb", "memcache"))
_NESTING = frozenset(("unionmap", "pipemap", "randmap"))
TYPES = frozenset(COMPILED) | PLAIN | BACKENDS | _NESTING | {"proxy", "static", "inline", "socketmap", "tcp", "environ", "fail", "internal", "nis"}

# A number or a time by its default value; these take words as well, whatever their default looks like.
_WORDS_TOO = re.compile(r"_feedback$|^compatibility_level$|^smtpd_forbid_bare_newline$|^smtpd_forbid_unauth_pipelining$|_exclusions$")
_BLANK = ", \t\r\n"
_COMPLAINT = re.compile(r"^\S*?(?:post\w+|sendmail)(?:\[\d+\])?: (?P<severity>fatal|panic|error|warning): (?P<text>.*)$")
_PLACE = re.compile(r"^(?:file )?(?P<file>/[^\s,:]+)(?:[,:] line (?P<line>\d+))?[,:] (?P<text>.*)$")

_RESTRICTIONS = frozenset("""
    check_relay_domains defer defer_if_permit defer_if_reject defer_unauth_destination permit permit_auth_destination permit_inet_interfaces
    permit_mx_backup permit_mynetworks permit_naked_ip_address permit_sasl_authenticated permit_tls_all_clientcerts permit_tls_clientcerts
    reject reject_authenticated_sender_login_mismatch reject_invalid_helo_hostname reject_invalid_hostname reject_known_sender_login_mismatch reject_maps_rbl
    reject_multi_recipient_bounce reject_non_fqdn_helo_hostname reject_non_fqdn_hostname reject_non_fqdn_recipient reject_non_fqdn_sender
    reject_plaintext_session reject_sender_login_mismatch reject_unauth_destination reject_unauth_pipelining
    reject_unauthenticated_sender_login_mismatch reject_unknown_address reject_unknown_client reject_unknown_client_hostname
    reject_unknown_forward_client_hostname reject_unknown_helo_hostname reject_unknown_hostname reject_unknown_recipient_domain
    reject_unknown_reverse_client_hostname reject_unknown_sender_domain reject_unlisted_recipient reject_unlisted_sender
    reject_unverified_recipient reject_unverified_sender warn_if_reject
""".split())
_RESTRICTIONS_WITH_ARGUMENT = re.compile(r"^(?:check_\w+_access|check_policy_service|(?:reject|permit)_(?:rbl|rhsbl|rhswl|dnswl|dnsbl)\w*|sleep)$")
_RELAY_GUARDS = frozenset(("reject", "defer", "defer_if_permit", "reject_unauth_destination", "defer_unauth_destination", "check_relay_domains"))


def logical_lines(text: str) -> list:
    """``[(number of the first line, text)]`` of a main.cf or master.cf: what begins with white space goes on, comments and blank lines are skipped."""
    lines: list = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and lines:
            lines[-1][1].append(line.strip())
        else:
            lines.append((number, [line.strip()]))
    return [(number, " ".join(parts)) for number, parts in lines]


def parse_main(text: str) -> dict:
    """``{name: value}`` of a main.cf or of postconf's output; the last of several wins, a line without ``=`` is passed over."""
    values = {}
    for _number, line in logical_lines(text):
        name, equals, value = line.partition("=")
        if equals and name.strip():
            values[name.strip()] = value.strip()
    return values


def line_of(name: str, text: str) -> int | None:
    """The line of main.cf that sets ``name``: the last, for that is the one in force."""
    found = [number for number, line in logical_lines(text) if re.match(rf"{re.escape(name)}\s*=", line)]
    return found[-1] if found else None


def words(value: str) -> list:
    """The elements of a list: separated by commas or white space; ``{ … }`` is one element, returned without its braces."""
    found, depth, current, braced = [], 0, "", False
    for character in value or "":
        if character == "{":
            depth += 1
            if depth == 1 and not current:
                braced = True
                continue
        elif character == "}" and depth:
            depth -= 1
            if depth == 0 and braced:
                found += [current.strip(_BLANK)] if current.strip(_BLANK) else []
                current, braced = "", False
                continue
        if depth == 0 and (character == "," or character.isspace()):
            if current:
                found.append(current)
            current = ""
        else:
            current += character
    # A brace that is never closed.
    return found + ([current.strip(_BLANK)] if current.strip(_BLANK) else [])


def tables(value: str) -> list:
    """``[(type, path)]`` of the lookup tables in a list; ``proxy:`` is kept as a prefix of the type ("proxy:mysql"), nested tables are listed alone."""
    found = []
    for word in words(value):
        kind, colon, path = word.partition(":")
        if not colon or kind not in TYPES:
            # The contents of a braced element, such as { check_client_access hash:/path, default_action=… }.
            if re.search(r"[\s,]", word) and word != value.strip():
                found += tables(word)
        elif kind in _NESTING:
            found += tables(path.strip("{} ").replace("}", " ").replace("{", " "))
        elif kind == "proxy":
            found += [("proxy:" + inner, rest) for inner, rest in tables(path)]
        else:
            found.append((kind, path))
    return found


def _level(text: str) -> tuple:
    return tuple(int(part) for part in re.findall(r"\d+", text))


_COMPARED = re.compile(r"\$\{\{(?P<left>[^{}]*)\}\s*(?P<sign>[<>=!]=?)(?:level)?\s*\{(?P<right>[^{}]*)\}"
                       r"\s*\?\s*\{(?P<yes>[^{}]*)\}(?:\s*:\s*\{(?P<no>[^{}]*)\})?\s*\}")
_NAMED = re.compile(r"\$(?:(?P<plain>\w+)|[{(](?P<name>\w+)\s*(?:(?P<sign>[?:])(?P<text>\{[^{}]*\}:\{[^{}]*\}|\{[^{}]*\}|[^{}()]*))?[})])")


def expand(value: str, values: dict, depth: int = 10) -> str:
    """``value`` with ``$name``, ``${name?yes}``, ``${name:no}``, ``${name?{yes}:{no}}`` and ``${{a} < {b} ? {yes} : {no}}`` replaced (postconf(5)).

    What else there is stays as written.
    """
    def named(match):
        if match.group("plain"):
            return values.get(match.group("plain"), "")
        current, sign, text = values.get(match.group("name"), ""), match.group("sign"), match.group("text") or ""
        if not sign:
            return current
        first, _colon, second = text.partition("}:{") if text.startswith("{") else (text, "", "")
        if sign == "?":
            return first.strip("{} ") if current else second.strip("{} ")
        return "" if current else first.strip("{} ")

    def compared(match):
        left, right = (expand(match.group(side), values, depth - 1).strip() for side in ("left", "right"))
        sign = match.group("sign")
        if sign in ("==", "!="):
            holds = (left == right) is (sign == "==")
        else:
            holds = {"<": _level(left) < _level(right), "<=": _level(left) <= _level(right),
                     ">": _level(left) > _level(right), ">=": _level(left) >= _level(right)}.get(sign, False)
        return (match.group("yes") if holds else match.group("no")) or ""

    while "$" in value and depth > 0:
        replaced = _NAMED.sub(named, _COMPARED.sub(compared, value))
        if replaced == value:
            break
        value, depth = replaced[:65536], depth - 1
    return value


def _options(text: str) -> tuple:
    """``(overrides, program)`` of a master.cf command's arguments: its ``-o`` settings, and the program that pipe(8) or spawn(8) runs."""
    overrides = {}
    for match in re.finditer(r"(?:^|\s)-o\s*(?:\{\s*(?P<braced>[^}]*?)\s*\}|(?P<plain>\S+))", text):
        name, equals, value = (match.group("braced") or match.group("plain") or "").partition("=")
        if equals:
            overrides[clean(name, 100)] = clean(mask_setting(name.strip(), value.strip()), 4000)
    program = re.search(r"(?:^|\s)argv=(\S+)", text)
    return overrides, clean(program.group(1)) if program else None


def parse_masters(text: str, default_chroot: bool = False) -> list:
    """The services of ``postconf -M`` or of master.cf itself (master(5)); a line with too few fields is passed over.

    [{service, type, private, unprivileged, chroot: bool, wakeup, maxproc: str, command, program, overrides: {name: value}, source}]
    """
    found = []
    for _number, line in logical_lines(text):
        fields = line.split(None, 8)
        if len(fields) < 8:
            continue
        overrides, program = _options(fields[8] if len(fields) > 8 else "")
        fields = [clean(field, 100) for field in fields[:8]]
        found.append({
            "service": fields[0], "type": fields[1], "private": fields[2] != "n", "unprivileged": fields[3] != "n",
            "chroot": fields[4] == "y" or (fields[4] == "-" and default_chroot), "wakeup": fields[5], "maxproc": fields[6], "command": fields[7],
            "program": program, "overrides": overrides, "source": f"postconf -M {fields[0]}/{fields[1]}",
        })
    return found


def parse_complaints(text: str, main_path: str, main_text: str = "") -> dict:
    """What postconf wrote to standard error: ``{errors: [{source, line, text}], unused: [name], duplicates: [{parameter, text}], warnings: [text]}``.

    The values that it quotes are left out, for they may be secrets.
    """
    errors, unused, duplicates, warnings = [], [], [], []
    for line in text.splitlines():
        match = _COMPLAINT.match(line.strip())
        if not match:
            continue
        place = _PLACE.match(match.group("text"))
        source, number = (place.group("file"), place.group("line")) if place else (main_path, None)
        said = place.group("text") if place else match.group("text")
        if match.group("severity") != "warning":
            named = re.search(r"(?:parameter|config variable|configuration:) (\w+)", said)
            number = int(number) if number else line_of(named.group(1), main_text) if named and source == main_path else None
            entry = {"source": source, "line": number, "text": clean(mask(re.sub(r"(attribute name: \"\w+).*", r'\1 …"', said)))}
            if entry not in errors:
                errors.append(entry)
            continue
        kind, colon, rest = said.partition(": ")
        name = clean(rest.partition("=")[0], 100)
        if colon and kind == "unused parameter":
            unused.append(name)
        elif colon and kind == "overriding earlier entry":
            duplicates.append({"parameter": name, "text": clean(f"{source}, line {number}: overriding earlier entry: {name}")})
        elif clean(mask(said)) not in warnings:
            warnings.append(clean(mask(said)))
    return {"errors": errors, "unused": sorted(set(unused)), "warnings": warnings,
            "duplicates": [entry for place, entry in enumerate(duplicates) if entry not in duplicates[:place]]}


def bad_values(values: dict, defaults: dict) -> list:
    """``[(name, text)]`` of the values that Postfix refuses at run time although postconf accepts them, in its words.

    A parameter's default shows its kind (mail_conf_int.c, mail_conf_time.c, mail_conf_bool.c): ``450``, ``30s``, ``yes``.
    """
    found = []
    for name, value in sorted(values.items()):
        default = defaults.get(name, "")
        if _WORDS_TOO.search(name) or "$" in value or name not in defaults:
            continue
        if re.fullmatch(r"\d+", default) and not re.fullmatch(r"[+-]?\d+", value):
            found.append((name, f"bad numerical configuration: {name} = {value}"))
        elif re.fullmatch(r"\d+[smhdw]", default) and not re.fullmatch(r"\d+[smhdwSMHDW]?", value):
            found.append((name, f"parameter {name}: bad time value or unit: {value}"))
        elif default in ("yes", "no") and value.lower() not in ("yes", "no"):
            found.append((name, f"bad boolean configuration: {name} = {value}"))
    return found


def unknown_restrictions(value: str, classes: frozenset) -> list:
    """The words of a smtpd_*_restrictions list that smtpd(8) does not know; one of them makes it answer 451 to everybody.

    ``classes`` are the names of smtpd_restriction_classes. What takes an argument swallows the next word.
    """
    found, argument = [], False
    for word in words(value):
        if argument:
            argument = False
        elif re.search(r"[\s,{}]", word):
            # A braced element; what we could not expand is left alone.
            found += unknown_restrictions(word, classes) if "$" not in word and word != value.strip() else []
        elif _RESTRICTIONS_WITH_ARGUMENT.match(word):
            argument = True
        elif word.partition(":")[0] in TYPES and ":" in word:
            continue
        elif word.lower() not in _RESTRICTIONS and word not in classes and not re.match(r"^[45]\d\d$", word):
            found.append(word)
    return found


def guards_relaying(value: str) -> bool:
    """Whether a restriction list holds one of the words without which smtpd(8) refuses to start (SMTPD_ACCESS_README)."""
    return "$" in value or any(word.lower() in _RELAY_GUARDS for element in words(value) for word in words(element))


_CONTAINED = re.compile(r"^# mailops-contain: (?P<name>\w+) until (?P<until>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ), before: ?(?P<before>.*)$", re.M)
NOT_SET = "(not set)"


def contained(text: str) -> dict:
    """``{name: (until, before)}``: the settings of main.cf that our own containment set, by the remarks that it left with them (role contain).

    ``until`` as ISO 8601, ``before`` the value that was there, None when there was none. A copy of main.cf takes the remarks along, so that a containment
    that a rollback brings back is known for what it is.
    """
    return {match.group("name"): (match.group("until"), None if match.group("before") == NOT_SET else match.group("before"))
            for match in _CONTAINED.finditer(text)}
