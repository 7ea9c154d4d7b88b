"""What is a secret, by its name and by its form, and how it is taken out of whatever is shown, kept or sent.

Everything that leaves a host or the controller passes here: differences of files, records of steps, logs, settings, the journal. A secret is
known by the name of its setting, by its form (a URL with a password, a hash, a login in a protocol), or as a value that was read before.
When in doubt a text is hidden; where a secret lies (tables, key files) stays to be seen, for a diagnosis needs it.

Names and forms: postconf(5), sasl_passwd and DATABASE_README of Postfix, doc.dovecot.org (2.3 and 2.4: passdbs, SQL, LDAP, oauth2),
the Exim specification (chapters 9 and 33 to 38), rspamd.com, amavisd.conf, opendkim.conf(5), crypt(5), RFC 3986, RFC 6750, RFC 4616.
"""
from __future__ import annotations

import re

from ansible_collections.mailops.outage.plugins.module_utils.text import clean, clean_lines

HIDDEN = "(hidden)"
# A shorter known value may be a word, and hiding it would garble the text around it.
_SHORTEST = 5
_MOST = 500
_LONGEST_NAME = 60
_LONGEST_LINE = 20000
_MOST_TIMES = 5

# A name counts when it holds one of these, or ends with one.
_SECRET_NAME = re.compile(
    r"passw(?:or)?d|passphrase|secret|credentials?$|api_?key|nonce$|(?<!by)(?<!com)pass\d*$|(?:^|_)pw\d*$|(?:bind|root|user|db)pw$|token$|authorization$"
    r"|(?:^|_)cookie$|api_header$|priv_?key$|(?:private|secret|signing|encrypt(?:ion)?|access|auth|ssl|tls|rsa|hmac|stored|server|account|shared|alt|crypt"
    r"|hash|session|licen[cs]e)_?key(?:_(?:data|unlock|pem|content))?$|^client_send$|^(?:mysql|pgsql|redis|oracle|ibase|ldap_default)_servers$")
# These tell about a secret, and hold none.
_ABOUT_ONE = re.compile(
    r"_(?:maps?|quer(?:y|ies)|files?|paths?|dir|directory|results?|\w*delimiter|expansion|schemes?|attrs?|attributes?|filter|format|urls?|uri|iterations"
    r"|length|required|enabled|expires?|cache\w*|timeout|ttl|lifetime|policy|template|verify\w*|command|program|mechanisms?|driver|type|prompt|changed|mismatch"
    r"|names?|user(?:name)?|lookups?|domains?|hosts?)$|^no_?pass|^auth_(?:verbose|debug)_passwords$|^sasl_passwd$|public_?key")
# Of these the value is often only the name of a file.
_KEY_NAME = re.compile(r"key$")
_A_FILE = re.compile(r"<\s*/\S*|(?:file:)?/(?:data|etc|home|mnt|opt|root|run|srv|ssl|usr|var)/[^\s=]*")
_LOGINS = re.compile(r"passw(?:or)?d|sasl_\w*maps|secret|credential")
_ROUTES = re.compile(r"transport|relayhost|filter|relay_maps|nexthop")
_QUERY = re.compile(r"password_query|passdb_\w*query")
# A mailer and where to, as in transport(5), and no login: the second part shows it.
_ROUTE = re.compile(r"\w*:(?:\[[^\]\s]*\](?::\w+)?|(?:unix|inet):\S*)?[,;]?")

# In text: what a secret name holds, and what stands between it and its value.
# Each is looked for as plain text, which is many times faster than a choice in a pattern.
_ASSIGNED_WORDS = ("pass", "secret", "credential", "nonce", "token", "pw", "key", "authorization", "cookie", "api_header", "client_send", "_servers")
_ASSIGNED = re.compile(
    r"[\w-]{0,40}(?P<quote>\\{0,4}[\"']?[\])}]{0,2})(?:[ \t]{0,20}(?P<sign>=>|=|:)[ \t]{0,20}"
    r"|(?P<gap>[ \t]{1,20})(?=[^\s={:]|\{[^\s}]))", re.A)
# Settings without a sign before their value, and one that lost it: Postfix then quotes the line.
_UNSIGNED = re.compile(r"bindpw|rootpw|rootbindpw|ldapbindpassword|\w+_\w+")
_QUOTED_LINE = re.compile(r"attribute name: \"\Z")
_NAME_BEFORE = re.compile(r"[\w.-]*\Z", re.A)
# What may stand before a name that begins a line of configuration: marks of a diff or a list, sigils, Exim's hide, an opened block.
_LINE_BEFORE = re.compile(r"(?:^|\{)[ \t+-]*(?:(?:hide|set|export|my|our)[ \t]+)*[\"'$@%]?\Z", re.A | re.M)
_QUOTED = re.compile(r"(?P<open>\\{1,4}[\"']|[\"'])")
_BARE = re.compile(r"\S+", re.A)
# The rest of a connect string (host=… password=… user=…).
_CONNECT = re.compile(r"\S+(?:[ \t]+[\w.-]+=\S*)+[ \t]*$", re.A | re.M)
_GOES_ON = re.compile(r"[ \t]*(?:[|>][+-]?|\\)?[ \t]*(?P<rest>(?:\n[ \t]+(?![^\n]*=)[^\s}][^\n]*)+)", re.A)
# One bit is no secret, and Dovecot's passdbs have a setting 'pass = no'.
_YES_OR_NO = re.compile(r"(?:yes|no|true|false|none|null)", re.I)
_NAME_SERVICES = re.compile(r"\s*(?:compat|files|db|nis|sss|ldap|systemd|winbind)\b")
_TABLE = re.compile(r"(?:(?<=[\s=,:{\"'])|^)(static|inline):(?=[^\s])", re.A | re.M | re.I)
_PARAMETER = re.compile(r"(?:^[+ -]?|-o\s*\{?\s*)[ \t]*([A-Za-z][\w.-]{0,100})\s*=", re.A | re.M)
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----", re.A)
_KEY_LINE = re.compile(r"([ \t+>|-]*)(?:[A-Za-z0-9+/]+={0,3}|(?:Proc-Type|DEK-Info|Comment|Version)[^\n]*|)[\"',;]?\r?(?:\n|\Z)", re.A)
_KEY_ENDS = re.compile(r"[^\n]*?-----END [A-Z0-9 ]{0,40}PRIVATE KEY", re.A)

_SCHEME = (r"\{(?:PLAIN|CLEARTEXT|CLEAR|CRYPT|RPA|OTP|SKEY|SM3CRYPT"
           r"|[A-Z0-9-]{0,20}(?:MD[45]|SHA|CRYPT|ARGON2|PBKDF2|SCRAM|NTLM|LANMAN|HMAC)[A-Z0-9.-]{0,20})\}")
# A line of base64 in a verbose smtpd(8): the answer to AUTH's challenge. Commands without an argument look like it.
_MECHANISMS = r"(?:PLAIN|LOGIN|CRAM-MD5|DIGEST-MD5|SCRAM-[A-Z0-9-]+|NTLM|GSSAPI|GSS-SPNEGO|X?OAUTH\w*|EXTERNAL|ANONYMOUS|APOP|OTP|SRP|KERBEROS\w*)"
_COMMANDS = r"(?:DATA|QUIT|RSET|NOOP|HELP|STARTTLS|EHLO|HELO|VRFY|ETRN)"
_LITERAL = re.compile(r"'(?:\\.|''|[^'\\\n])*(?:'|$)", re.M)
_VARIABLE = re.compile(r"'(?:%[\w{}:|.]+|[@\s.])*'", re.A)

# (words in lower case one of which must be there, pattern, what stays).
_FORMS = tuple((words, re.compile(pattern, re.I | re.M | re.A), kept) for words, pattern, kept in (
    (("given password",), r"(given password: ).*", rf"\1{HIDDEN}"),
    (("://",), r"(://[^\s/@:\"'<>]{0,200}:)(?!\d{1,5}(?:[/?#\s\"']|$))\S{0,1000}(?=@)", rf"\1{HIDDEN}"),
    (("://",), r"(\b(?:https?|rediss?|git|ftp)://)[^\s/@:\"'<>()]{1,500}(?=@)", rf"\1{HIDDEN}"),
    (("authorization",), r"(\b(?:proxy-)?authorization[\"']?[ \t]*[:=][ \t]*).*", rf"\1{HIDDEN}"),
    (("bearer",), r"(\bBearer[ \t]+)\S+", rf"\1{HIDDEN}"),
    (("basic",), r"(\bBasic[ \t]+)[A-Za-z0-9+/_-]{8,}={0,2}", rf"\1{HIDDEN}"),
    (("auth",), r"(\bAUTH(?:ENTICATE)?\s+[A-Z0-9-]{4,20}[ \t]+)(?!" + _MECHANISMS + r"(?![A-Za-z0-9+/=_-]))[A-Za-z0-9+/=_-]{4,}", rf"\1{HIDDEN}"),
    (("cont\t", "cont "), r"(\bclient in: CONT\s+\d+\s+)\S+", rf"\1{HIDDEN}"),
    (("resp=",), r"(\bresp=)\S+", rf"\1{HIDDEN}"),
    (("login",), r"(\bLOGIN[ \t]+(?:\"[^\"\n]*\"|[^\s@]+@[^\s@]+)[ \t]+)\S.*", rf"\1{HIDDEN}"),
    (("]: < ",), r"(\]: < [^\s:]+: )(?!" + _COMMANDS + r"\b)[A-Za-z0-9+/]{4,}={0,2}(?=\r?$)", rf"\1{HIDDEN}"),
    # passwd-file(5), passwd(5), shadow(5): user:password:…, where the password is no place holder.
    (("{",), r"^([+ -]?[^\s:{}]{1,200}:)" + _SCHEME + r"[^:\n]*", rf"\1{HIDDEN}"),
    ((":",), r"^([+ -]?[^\s:]{1,200}:)(?![x*!]*:|\(hidden\):)[^:\n]+(?=:\d*:\d*:[^:\n]*:[^:\n]*)", rf"\1{HIDDEN}"),
    (("}",), _SCHEME + r"[^\s}:]\S*", HIDDEN),
    (("$",), r"\$(?:1|2[abxy]?|3|5|6|7|8|y|gy|md5|apr1|sha1|pbkdf2\S{0,10}|argon2\w*|scram\w*|yescrypt)\$[^\s:,\"']+", HIDDEN),
    (("eyj",), r"\beyJ[\w-]{8,}\.[\w-]*\.?[\w-]*", HIDDEN),
    (("ya29.",), r"\bya29\.[\w.-]+", HIDDEN),
    # sasl_passwd: [relay]:587 user:password, and an address before the password. In transport(5) no key has brackets.
    (("]",), r"^([+ -]?\[[^\]\s]{1,255}\](?::\w+)?[ \t]+)[^\s:]+:\S.*", rf"\1{HIDDEN}"),
    (("@",), r"^([+ -]?[^\s:=]{1,255}(?::\d+)?[ \t]+[^\s:@]{1,64}@[^\s:@]{1,255}:)(?!\s)[^\n]+", rf"\1{HIDDEN}"),
    # Perl's DBI, as in amavisd.conf: ['DBI:mysql:…', 'user', 'password'].
    (("dbi:",), r"((?P<q>['\"])DBI:[^'\"\n]*(?P=q)\s*,\s*(?P<r>['\"])[^'\"\n]*(?P=r)\s*,\s*)(?:'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\")", rf"\1'{HIDDEN}'"),
    # Exim compares what a client sent with a fixed text.
    (("$auth",), r"(\$auth[1-3]\}\s*\{)(?!\$)[^}\n]+", rf"\1{HIDDEN}"),
    # Command lines.
    (("--",), r"(\s--?(?:[a-z-]{0,20}passw(?:or)?d|pass|passphrase|secret|(?:[a-z-]{0,20})token|api-?key|bind-?pw)[ \t]+)"
     r"(?!-)(?:\"[^\"\n]*\"|'[^'\n]*'|\S+)", rf"\1{HIDDEN}"),
    (("curl", "wget"), r"(\b(?:curl|wget)\b[^\n]{0,500}?\s(?:-u|--user)[ =]?[^\s:]+:)\S+", rf"\1{HIDDEN}"),
    (("sshpass", "mysql", "ldap", "swaks", "doveadm"), r"(\b(?:sshpass|mysql\w*|ldap\w+|swaks|doveadm)\b[^\n]{0,500}?\s(?:-p|-w|-ap)[ \t]*)(?![\s/-])\S+",
     rf"\1{HIDDEN}"),
    # The key of a customer in a name that is asked of a paid list.
    ((".dq.spamhaus.net", ".mail.abusix.zone"), r"\b[a-z0-9]{20,}(?=\.(?:\w+\.dq\.spamhaus\.net|\w+\.mail\.abusix\.zone))", HIDDEN),
))

# A file of logins by its name, whatever stands in it; a configuration has settings, and those are told by theirs.
_LOGIN_FILE = re.compile(r"passw|passdb|secret|sasl|cred|login|shadow|htpass|(?:^|[._-])users?(?:$|[._-])|\.client$", re.I)
_CONFIGURATION = re.compile(r"\.(?:cf|conf|ext|inc|cfg|ya?ml|json|service|sieve|db|lmdb|cdb)$|^(?:main|master)\.cf|^\d\d_|config", re.I)


def is_secret_name(name: object) -> bool:
    """Whether a setting or key of this name holds a secret (``ldap.bind_pw``, ``clientSecret``); not where it only tells about one (``…_password_maps``)."""
    last = re.split(r"[./]", str(name).strip().strip("\"'$@%"))[-1]
    last = last.replace("-", "_").lower()
    return bool(_SECRET_NAME.search(last)) and not _ABOUT_ONE.search(last)


def mask(text: str) -> str:
    """``text``, of one line or many, without secrets; it has as many lines as before, and what is masked once stays so."""
    return _masked(text)[0]


def mask_lines(lines, path: str = "") -> list:
    """The lines of a file, each without its secret, in their number and order: so each still bears its line number.

    ``path`` tells a file of logins, of which only the keys are shown.
    """
    lines = [str(line) for line in lines]
    name = path.rpartition("/")[2]
    if _LOGIN_FILE.search(name) and not _CONFIGURATION.search(name):
        lines = [_login_line(line, name) for line in lines]
    elif path and "transport" not in name and not _CONFIGURATION.search(name):
        lines = [re.sub(r"^([+ -]?[^\s#=:]\S*[ \t]+)(?=\S+:)(\S.*)", lambda match: match.group() if _ROUTE.fullmatch(match.group(2).strip()) else match.group(1)
                        + HIDDEN, line) for line in lines]
    return mask("\n".join(line.replace("\n", " ") for line in lines)).split("\n") if lines else []


def mask_setting(name: str, value: str) -> str:
    """The value of a setting as postconf(1) and doveconf(1) show it, without secrets. The path of a key file stays, and so does the name of a table."""
    if not value:
        return value
    last = re.split(r"[./]", name)[-1].lower()
    if is_secret_name(name):
        kept = _YES_OR_NO.fullmatch(value.strip()) or (_KEY_NAME.search(last) and _A_FILE.fullmatch(value.strip()))
        return value if kept else HIDDEN
    if _QUERY.search(last):
        value = _LITERAL.sub(_literal, value)
    return _masked(value, last)[0]


def mask_data(value):
    """A value of JSON (nested dicts and lists) without secrets: texts by their form, settings by their keys.

    Numbers under the key of a secret go too; yes and no stay.
    """
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {mask(name) if isinstance(name, str) else name: _under(name, item) for name, item in value.items()}
    return [mask_data(item) for item in value] if isinstance(value, (list, tuple)) else value


def masked_line(value: object, limit: int = 400) -> str:
    """One line of printable text without secrets, ``limit`` characters at most: masked before it is cut, for half a secret has no form."""
    return clean(mask(clean(value, _LONGEST_LINE)), limit)


def masked_lines(value: object, most: int = 20, limit: int = 400) -> list:
    """The non-empty lines of a command's output, at most ``most``, each as ``masked_line`` has it; what goes over several lines is masked too."""
    return clean_lines(mask("\n".join(clean_lines(value, most, _LONGEST_LINE))), most, limit)


def without(value, known):
    """Text, bytes or a value of JSON without the ``known`` secrets (of the same type), wherever they stand; the longer ones go first."""
    if isinstance(value, (str, bytes)):
        mark = HIDDEN if isinstance(value, str) else HIDDEN.encode()
        for secret in sorted(filter(None, known), key=len, reverse=True):
            value = value.replace(secret, mark)
        return value
    if isinstance(value, list):
        return [without(item, known) for item in value]
    return {name: without(item, known) for name, item in value.items()} if isinstance(value, dict) else value


class Hider:
    """Takes out of log text the ``known`` secrets (texts, at least five characters each) and what has the form of one. ``hidden`` counts them."""

    def __init__(self, known=()):
        found = {text.encode("utf-8", "surrogateescape") for text in known if len(text) >= _SHORTEST}
        self._known = sorted(found, key=len, reverse=True)[:_MOST]
        self.left_out = max(0, len(found) - _MOST)
        self.hidden = 0

    def of(self, data: bytes) -> bytes:
        """``data``, which is whole lines, without secrets."""
        for secret in self._known:
            if secret in data:
                self.hidden += data.count(secret)
                data = data.replace(secret, HIDDEN.encode())
        # Bytes as characters: every byte comes back as it was.
        text, count = _masked(data.decode("latin-1"))
        self.hidden += count
        return text.encode("latin-1") if count else data


def values_in(text: str) -> list:
    """The secrets in a configuration of a database or directory (``password = x``, ``connect = host=… password=x``, ``dnpass = x``)."""
    found = []
    for name, value in re.findall(r"^[ \t]*([\w.]+)[ \t]*=[ \t]*(.*?)[ \t]*$", text, re.M):
        if is_secret_name(name):
            found.append(value.strip("\"'"))
        found += [word.strip("\"'") for word in re.findall(r"\bpass(?:word|wd)?=(\"[^\"]*\"|'[^']*'|[^\s;]+)", value)]
        found += re.findall(r"://[^\s/@:]*:([^\s@]+)@", value)
    return [value for value in found if value and not value.startswith(("$", "# hidden", "<"))]


def passwords_in(text: str) -> list:
    """The passwords in a table of logins: the last field of ``key user:password``, ``host:user:password``, ``user:{SCHEME}password:…``."""
    found = []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        login = re.match(r"\S+\s+[^\s:]+:(.+)$", line)
        user = re.match(r"[^\s:]+:(\{[^}]*\})?([^:]*)(?::|$)", line)
        if login:
            found.append(login.group(1))
        elif line.count(":") == 2:
            found.append(line.rpartition(":")[2])
        elif user:
            found.append(user.group(2))
    return [text for text in found if text and not re.fullmatch(r"[x*!]*", text)]


def passwords_in_tables(text: str) -> list:
    """The passwords in tables that hold their contents in the setting itself (``static:user:password``, ``inline:{ key = user:password }``)."""
    return re.findall(r"(?:static|inline):\{?\s*[^\s:}]+:([^\s}]+)", text)


def _under(name, item):
    """What stands under a key of JSON. A list has its key's name; in a dict each key has its own, for ``password_mismatch`` may be a table about it."""
    if isinstance(item, str):
        return mask_setting(str(name), item)
    if not is_secret_name(name) or isinstance(item, (bool, dict)) or not item:
        return mask_data(item)
    return [_under(name, entry) for entry in item] if isinstance(item, (list, tuple)) else HIDDEN


def _literal(match) -> str:
    """A string of SQL: what a user is asked by stays, what is fixed goes."""
    return match.group() if _VARIABLE.fullmatch(match.group()) else f"'{HIDDEN}'"


def _masked(text: str, name: str | None = None) -> tuple:
    """``(text without secrets, how many were hidden)``; ``name`` is that of the setting where the text is its value.

    What is left of one form may look like another: it is gone over until nothing is found any more.
    """
    count = 0
    for _time in range(_MOST_TIMES):
        masked, more = _once(text, name)
        if masked == text:
            break
        text, count = masked, count + more
    return text, count


def _once(text: str, name: str | None) -> tuple:
    """As ``_masked``, gone over once."""
    lower = _lower(text)
    count = 0
    if "private key" in lower:
        text, count = _keys(text)
        lower = lower if not count else _lower(text)
    text, more = _assignments(text, lower)
    count += more
    if "static:" in lower or "inline:" in lower:
        text, more = _tables(text, name)
        count += more
    for words, pattern, kept in _FORMS:
        if any(word in lower for word in words):
            masked, more = pattern.subn(kept, text)
            if masked != text:
                text, count = masked, count + more
    return text, count


def _lower(text: str) -> str:
    """In lower case, each character in its place (of a few letters the lower case is two)."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(character.lower() if character.isascii() else character for character in text)


def _found(text: str, words) -> list:
    """``[(place, end)]`` of the words in the text, in their order."""
    found = []
    for word in words:
        place = text.find(word)
        while place >= 0:
            found.append((place, place + len(word)))
            place = text.find(word, place + 1)
    return sorted(found)


def _assignments(text: str, lower: str) -> tuple:
    """As ``_masked``, for ``name = value``, ``name: value`` and ``name => value``. A name that begins a line has all of it."""
    parts: list = []
    done = place = count = 0
    for start, stem_end in _found(lower, _ASSIGNED_WORDS):
        match = _ASSIGNED.match(text, stem_end) if start >= place else None
        if match is None:
            continue
        place = match.end()
        name = _NAME_BEFORE.search(text, max(0, start - _LONGEST_NAME), start).group() + text[start:match.start("quote")]
        named = match.start("quote") - len(name)
        # A cut line has no beginning.
        before = ("x" if named > 100 else "") + text[max(0, named - 100):named]
        at_start = bool(_LINE_BEFORE.search(before)) and "}" not in match.group("quote") and not (text[place - 1] == "=" and _CONNECT.match(text, place))
        if _QUERY.search(name.lower()):
            end = _line_end(text, place)
            value = _LITERAL.sub(_literal, text[place:end])
        elif match.group("gap") and not (_UNSIGNED.fullmatch(name.lower()) and (at_start or _QUOTED_LINE.search(before))):
            place = match.start("gap")
            continue
        elif not _is_named(name, before, match, text, place):
            continue
        else:
            end, value = _value(text, place, at_start or bool(match.group("gap")))
        held = text[place:end].strip().rstrip(",;").strip("\"'")
        if _YES_OR_NO.fullmatch(held) or (_KEY_NAME.search(name.lower()) and _A_FILE.fullmatch(held)):
            continue
        if text[place:end] != value:
            parts += [text[done:place], value]
            done, count = end, count + 1
        place = end
    return ("".join(parts) + text[done:], count) if count else (text, 0)


def _is_named(name: str, before: str, match, text: str, place: int) -> bool:
    """Whether what was found is the name of a secret with its value, and neither a path nor words of a sentence."""
    if not is_secret_name(name):
        return False
    if match.group("sign") == ":":
        # A path that could not be read; nsswitch.conf(5); what a database says of a login.
        if before.endswith(("/", "using ")) or (name == "passwd" and _NAME_SERVICES.match(text, place)):
            return False
    # dkim=pass: the verdict of a check, not a name.
    return not (name.lower() == "pass" and before.endswith("="))


def _line_end(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end


def _value(text: str, place: int, at_start: bool) -> tuple:
    """``(where the secret that begins at ``place`` ends, what stands there instead)``."""
    line_end = _line_end(text, place)
    if at_start:
        more = _GOES_ON.match(text, place)
        if more:
            start = more.start("rest")
            return more.end(), text[place:start] + re.sub(r"(?m)^([ \t]+)[^\n]+", rf"\1{HIDDEN}", more.group("rest"))
    quote = _QUOTED.match(text, place)
    if quote:
        opened = quote.group()
        inner = re.compile(re.escape(opened) if len(opened) > 1 else rf"(?<!\\){opened}(?!{opened})")
        closed = inner.search(text, quote.end(), line_end)
        while closed and len(opened) == 1 and text[quote.end():closed.start()].count(opened) % 2:
            # In SQL and YAML a doubled quote is a quote.
            closed = inner.search(text, closed.end(), line_end)
        if closed is None:
            return line_end, opened + HIDDEN
        end = closed.end()
        if closed.start() == quote.end():
            return end, text[place:end]
        tail = re.compile(r"[^\s,;)}\]>&|\\\"']*", re.A).match(text, end).end()
        if not at_start or re.fullmatch(r"[\s,;)}\]\\]*(?:#.*)?", text[tail:line_end]):
            return tail, opened + HIDDEN + opened
    if at_start:
        end = len(text[:line_end].rstrip("\r"))
        return (end, HIDDEN) if text[place:end].strip() else (end, text[place:end])
    bare = _BARE.match(text, place, line_end)
    return (bare.end(), HIDDEN) if bare else (place, "")


def _tables(text: str, name: str | None) -> tuple:
    """As ``_masked``, for Postfix's tables that hold their contents in the setting itself."""
    parts: list = []
    done = place = count = 0
    while True:
        match = _TABLE.search(text, place)
        if match is None:
            break
        place = match.end()
        if name is None:
            named = _PARAMETER.findall(text, max(0, match.start() - 500), match.start())
            about = named[-1].lower() if named else ""
        else:
            about = name
        secret = bool(_LOGINS.search(about))
        end, whole = _table_end(text, place, secret)
        content = text[place:end]
        if whole and not secret and (_ROUTES.search(about) or not _holds_login(content)):
            place = end
            continue
        if content != HIDDEN:
            parts += [text[done:place], HIDDEN]
            done, count = end, count + 1
        place = end
    return ("".join(parts) + text[done:], count) if count else (text, 0)


def _table_end(text: str, place: int, secret: bool) -> tuple:
    """``(where the contents of a table end, whether that is sure)``: braces are balanced, as Postfix has them, and otherwise the line's end is taken."""
    line_end = _line_end(text, place)
    if text[place] == "{":
        depth, sure = 0, min(len(text), place + 4000)
        for end in range(place, sure):
            depth += (text[end] == "{") - (text[end] == "}")
            if not depth:
                return end + 1, True
        return line_end, False
    if secret:
        # A login with a space in it is no table that works, and a secret all the same.
        following = re.compile(r"[,\s]+(?:\w+:[/$\w]|-[ov]\b|[}\]])").search(text, place, line_end)
        return (following.start() if following else line_end), True
    return _BARE.match(text, place).end(), True


def _holds_login(content: str) -> bool:
    """Whether ``user:password`` stands in a table's contents; the number of a mailbox's owner or a next hop is none."""
    words = re.split(r"[\s,{}=]+", content)
    return any(":" in word and not _ROUTE.fullmatch(word) for word in words)


def _keys(text: str) -> tuple:
    """As ``_masked``, for private keys in PEM: as many lines as before, and no more than are lines of a key."""
    parts: list = []
    done = count = 0
    for begin in _KEY_BEGINS.finditer(text):
        if begin.start() < done:
            continue
        place = begin.end()
        line_end = _line_end(text, place)
        rest = text[place:line_end]
        ended = _KEY_ENDS.match(text, place, line_end)
        if ended:
            line_end = text.rfind("-----END", place, ended.end())
            rest = text[place:line_end]
        parts += [text[done:place], HIDDEN if rest.strip(" \r\\n\"',") else rest]
        done = line_end
        count += 1
        while not ended and done < len(text) and text[done] == "\n":
            line = _KEY_LINE.match(text, done + 1)
            if line is None or line.end() == done + 1:
                break
            held = line.group().rstrip("\n")
            parts.append("\n" + (line.group(1) + HIDDEN if held.strip() else held))
            done = done + 1 + len(held)
        # What was hidden before is passed over.
    return ("".join(parts) + text[done:], count) if count else (text, 0)


def _login_line(line: str, name: str) -> str:
    """A line of a file of logins without all but its key, and for a user of passwd-file(5) without the password alone."""
    if not line.strip() or line.lstrip().startswith("#"):
        return line
    key = re.match(r"\s*(?:\[[^\]]*\](?::\w+)?|[^\s:]+)", line)
    if key is None or key.end() == len(line):
        return line
    rest = line[key.end():]
    fields = rest.split(":")
    if rest.startswith(":") and "client" not in name and len(fields) >= 4 and all(re.fullmatch(r"\d*", field) for field in fields[2:4]):
        return key.group() + ":" + (HIDDEN if fields[1].strip("x*!") else fields[1]) + ":" + ":".join(fields[2:])
    gap = re.match(r"[ \t]+|:", rest)
    return key.group() + (gap.group() if gap else "") + HIDDEN
