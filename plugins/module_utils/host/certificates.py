"""The certificates that the mail services are configured with, whether they fit, and whether they are the ones served."""
from __future__ import annotations

import base64
import os
import re
import stat
from dataclasses import dataclass, field
from string import Template

from ansible_collections.mailops.outage.plugins.module_utils.host import _mail, postfix, system
from ansible_collections.mailops.outage.plugins.module_utils.host._bounded import side_by_side
from ansible_collections.mailops.outage.plugins.module_utils.host._listening import listening
from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.wire import probe, tls

_MOST_FILES = 30
_PATIENCE = 8.0
# Trust is not judged here: clients ask for a name, and this is an address.
_PROBING = {"verify": False, "connect": 2.0, "step": 3.0, "total": 5.0, "overall": 6.0, "helo": "[127.0.0.1]", "vantage": "loopback"}
_PEM = re.compile(r"-----BEGIN (?:TRUSTED )?CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END (?:TRUSTED )?CERTIFICATE-----")
_PRIVATE = re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")
_LOCKED = re.compile(r"-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED", re.M)
_VERIFY = re.compile(r"^error (\d+) at (\d+) depth lookup: ?(.*)$", re.M)
_NO_ISSUER, _EXPIRED, _UNTRUSTED_ROOT = (2, 20, 21), (9, 10), (18, 19)
# A user of a pair that is neither a service of master.cf nor a name of its own: the setting right after the software.
_GENERAL = re.compile(r"^\w+ s\w+$")
_SERVICES = {"smtp": 25, "smtps": 465, "submissions": 465, "submission": 587}
_FACTS = ("subject", "issuer", "serial", "fingerprint", "not_before", "not_before_epoch", "not_after", "not_after_epoch", "days_left", "self_signed", "names")


@dataclass(frozen=True)
class Pair:
    """A certificate file and its key file, and who uses them: ``postfix``, or ``postfix 587`` where only that port does."""

    cert: str
    key: str
    used_by: tuple = ()
    ports: tuple = field(default=())


def _plain(value: str) -> str:
    """The path in a setting: Dovecot marks a file by ``<``."""
    return value.strip().lstrip("<").strip()


def port_of(service: str) -> int | None:
    """The port of an inet service in master.cf: a name, a number, or either after an address."""
    name = service.rpartition(":")[2]
    return int(name) if name.isdigit() else _SERVICES.get(name)


def chain_pairs(files: list, read) -> list:
    """``[(cert, key)]`` of smtpd_tls_chain_files: a key stands before its certificate, in the same file or in one before."""
    found, key = [], ""
    for path in files:
        text = read(path) or ""
        if _PRIVATE.search(text):
            key = path
        # A file that is missing or holds neither is shown as what it is.
        if _PEM.search(text) or key != path:
            found.append((path, key or path))
    return found


def _postfix_pairs(values: dict, chosen: dict, read, used_by: str, ports: tuple) -> list:
    """The pairs of one set of smtpd parameters; ``chosen`` are the names that this set itself gives a value."""
    found = []
    for cert, key in (("smtpd_tls_cert_file", "smtpd_tls_key_file"), ("smtpd_tls_eccert_file", "smtpd_tls_eckey_file")):
        path = _plain(values.get(cert, ""))
        if path and path != "none" and (cert in chosen or key in chosen):
            found.append(Pair(path, _plain(values.get(key, "")) or path, (f"{used_by} {cert}",), ports))
    chain = [_plain(path) for path in re.split(r"[\s,]+", values.get("smtpd_tls_chain_files", "")) if path]
    if chain and "smtpd_tls_chain_files" in chosen:
        # Chain files win over the older parameters (postconf(5)).
        found = [Pair(cert, key, (f"{used_by} smtpd_tls_chain_files",), ports) for cert, key in chain_pairs(chain, read)]
    return found


def postfix_pairs(expanded: dict, masters: list, read) -> list:
    """All pairs of main.cf and of the services in master.cf that have their own."""
    names = [name for name in expanded if name.startswith("smtpd_tls_")]
    found = _postfix_pairs(expanded, dict.fromkeys(names), read, "postfix", ())
    for master in masters:
        own = {name: Template(value).safe_substitute(expanded) for name, value in (master.get("overrides") or {}).items() if name.startswith("smtpd_tls_")}
        values = dict(expanded, **own)
        if "smtpd_tls_cert_file" in own and "smtpd_tls_key_file" not in own and expanded.get("smtpd_tls_key_file") == expanded.get("smtpd_tls_cert_file"):
            values["smtpd_tls_key_file"] = own["smtpd_tls_cert_file"]
        port = port_of(str(master.get("service", "")))
        found += _postfix_pairs(values, own, read, f"postfix {master.get('service')}", (port,) if port else ())
    return found


def dovecot_pairs(values: dict) -> list:
    """The pairs of Dovecot's settings, per-name ones (SNI) included; none with TLS off."""
    if values.get("ssl") == "no":
        return []
    found = []
    for name, value in sorted(values.items()):
        match = re.match(r"^(.*\.)?(ssl_cert|ssl_alt_cert|ssl_server_cert_file)$", name)
        if match and _plain(value).startswith("/"):
            prefix = match.group(1) or ""
            key = _plain(values.get(prefix + match.group(2).replace("cert", "key"), "") or values.get(match.group(2).replace("cert", "key"), ""))
            found.append(Pair(_plain(value), key if key.startswith("/") else "", (f"dovecot {name}",), ()))
    return found


def merged(pairs: list) -> list:
    """One Pair for each certificate and key, with all its users."""
    groups: dict = {}
    for pair in pairs:
        users, ports = groups.setdefault((pair.cert, pair.key), ([], []))
        users += [user for user in pair.used_by if user not in users]
        ports += [port for port in pair.ports if port not in ports]
    return [Pair(cert, key, tuple(users), tuple(ports)) for (cert, key), (users, ports) in groups.items()]


def _ask_configured(context) -> list:
    known = postfix.settings(context) or {}
    found = postfix_pairs(known.get("expanded") or {}, known.get("masters") or [], context.read)
    return merged(found + dovecot_pairs(_mail.imap_settings(context)))[:_MOST_FILES]


def configured(context) -> list:
    """The Pairs that Postfix and Dovecot are configured with, asked once."""
    return context.once("certificate pairs", lambda: _ask_configured(context))


def certificates_in(text: str) -> list:
    """The certificates of a PEM file in DER, in their order; what is not base64 is left out."""
    found = []
    for body in _PEM.findall(text):
        try:
            found.append(base64.b64decode("".join(body.split()), validate=True))
        except ValueError:
            continue
    return found


def chain_verdict(output: str):
    """``(chain_ok, chain_error)`` of ``openssl verify``. Expiry of the leaf itself is not the chain's fault.

    True when the leaf leads to an authority that this host trusts, False when its issuer is not at hand or the chain is broken. None when
    the chain ends in an authority that this host does not know: a private one, perhaps, which its clients do know.
    """
    errors = [(int(code), int(depth), text) for code, depth, text in _VERIFY.findall(output)]
    unknown = None
    for code, depth, text in errors:
        sentence = clean(f"{text.strip()} (depth {depth})", 200)
        if (code in _EXPIRED and depth == 0) or (code in _UNTRUSTED_ROOT and depth == 0):
            continue
        if (code in _NO_ISSUER and depth > 0) or code in _UNTRUSTED_ROOT:
            unknown = unknown or sentence
        else:
            return False, sentence
    if unknown:
        return None, unknown
    if any(code in _UNTRUSTED_ROOT for code, _depth, _text in errors):
        return None, ""
    return (True, "") if errors or re.search(r": OK\s*$", output, re.M) else (None, "")


def _key(pair: Pair, context) -> dict:
    """Whether the key is there, guarded, and belongs to the certificate."""
    facts = {"key_path": pair.key or None, "key_exists": None, "key_matches": None, "key_error": "", "key_mode": None, "key_world_readable": None}
    if not pair.key:
        return facts
    try:
        mode = stat.S_IMODE(os.stat(pair.key).st_mode)
        facts.update(key_exists=True, key_mode=f"{mode:04o}", key_world_readable=bool(mode & 0o004))
    except PermissionError:
        context.cannot_see(pair.key, "permission denied")
        return facts
    except OSError as problem:
        facts.update(key_exists=False, key_error=clean(problem.strerror))
        return facts
    text = context.read(pair.key)
    if text is None:
        return facts
    if _LOCKED.search(text):
        facts["key_error"] = "the key is protected by a passphrase"
        return facts
    import ssl  # pylint: disable=import-outside-toplevel

    holder = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    holder.set_ciphers("ALL:@SECLEVEL=0")
    try:
        holder.load_cert_chain(pair.cert, pair.key)
        facts["key_matches"] = True
    except ssl.SSLError as problem:
        # OpenSSL 3 drops the certificate when the key does not fit, and then misses it.
        mismatch = problem.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
        facts.update(key_matches=False if mismatch else None, key_error=clean(problem.reason or problem, 160))
    except OSError:
        pass
    return facts


def _own_names(context) -> tuple:
    """``(names, domains)`` of this host as clients may know it."""
    names = [system.fqdn(context), _mail.parameter(context, "myhostname")]
    domains = [str(domain) for domain in context.options.get("domains") or []] + [_mail.parameter(context, "mydomain")]
    return [name for name in names if "." in name], [domain for domain in domains if "." in domain]


def covers_host(names: list, own: list, domains: list) -> bool | None:
    """Whether a certificate is for this host: for one of its ``own`` names. None when it is for another name in one of its domains,
    which clients may well use, or when the host has no name to compare."""
    if any(tls.name_matches(names, name) for name in own):
        return True
    if not own or any(name.lower().endswith("." + domain.lower()) or name.lower() == domain.lower() for name in names for domain in domains):
        return None
    return False


def _file(pair: Pair, trust: str, context) -> dict:
    """One certificate file as configured; ``trust`` is a file of authorities beside the system's, or empty."""
    facts = {"path": clean(pair.cert), "used_by": [clean(user, 120) for user in pair.used_by], "exists": os.path.exists(pair.cert),
             "readable": False, "root_sees": os.geteuid() == 0, "error": "", "covers_host": None,
             "chain_length": 0, "chain_ok": None, "chain_error": "", "mtime_epoch": None}
    facts.update(dict.fromkeys(_FACTS), names=[])
    facts.update(_key(pair, context))
    text = context.read(pair.cert)
    if text is None:
        facts["error"] = "permission denied" if os.path.lexists(pair.cert) and facts["exists"] else "No such file or directory"
        return facts
    facts.update(readable=True, mtime_epoch=int(os.stat(pair.cert).st_mtime))
    chain = certificates_in(text)
    facts["chain_length"] = len(chain)
    if not chain:
        facts["error"] = "no certificate in it"
        return facts
    seen = tls.certificate(chain[0])
    facts.update({name: seen[name] for name in _FACTS})
    if seen["subject"] is None:
        facts["error"] = "not a certificate"
        return facts
    authority = ("-CAfile", trust) if trust else ()
    ran = context.run("openssl", "verify", *authority, "-untrusted", pair.cert, pair.cert, timeout=4)
    facts["covers_host"] = covers_host(seen["names"], *_own_names(context))
    facts["chain_ok"], facts["chain_error"] = chain_verdict(ran.out + ran.err)
    return facts


def _tls_targets(context) -> list:
    """One target for each own port that speaks TLS, at an address where it listens; Dovecot's ports share their settings, so one of them does."""
    protocols = {port: protocol for protocol, port in probe.PORTS.items()}
    places = {}
    for address, port in listening(context):
        if protocols.get(port) not in (None, "lmtp", "sieve"):
            reach = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
            if port not in places or ":" in places[port]:
                places[port] = reach
    mailbox = [port for port in (993, 995, 143, 110) if port in places]
    ports = [port for port in (25, 465, 587) if port in places] + mailbox[:1]
    return [{"name": places[port], "port": port, "protocol": protocols[port]} for port in ports]


def _observe(context) -> list:
    """What the own ports show of themselves under TLS."""
    targets = _tls_targets(context)
    return probe.probe_all(targets, _PROBING) if targets else []


def served_entry(seen: dict, files: list) -> dict:
    """What a port serves next to the file that its service is configured with."""
    presented = (seen.get("tls") or {}).get("certificate") or {}
    software = "dovecot" if seen["protocol"] in ("imap", "imaps", "pop3", "pop3s") else "postfix"
    own = [entry for pair, entry in files if seen["port"] in pair.ports and software == "postfix"]
    general = [entry for pair, entry in files if any(_GENERAL.match(user) and user.startswith(software) for user in pair.used_by)]
    candidates = [entry["fingerprint"] for entry in own or general if entry["fingerprint"]]
    shown = presented.get("fingerprint")
    error = "" if shown else clean(seen.get("answer") or seen.get("outcome") or "no TLS", 200) if not seen["ok"] else "TLS is not offered"
    return {
        "port": seen["port"], "protocol": seen["protocol"], "fingerprint": shown,
        "file_fingerprint": shown if shown in candidates else next(iter(candidates), None),
        "same": shown in candidates if shown and candidates else None, "not_after": presented.get("not_after"),
        "not_after_epoch": presented.get("not_after_epoch"), "error": error,
    }


def collect(context) -> dict:
    """The configured files and what the own ports serve: both, since a renewed file is served only after a reload."""
    pairs = configured(context)
    named = (_mail.parameter(context, "smtpd_tls_CAfile"), _plain(_mail.imap_setting(context, "ssl_ca")))
    trust = next((path for path in named if os.path.isfile(path)), "")
    questions = [lambda: _observe(context)] + [lambda pair=pair: _file(pair, trust, context) for pair in pairs]
    answers = side_by_side(_PATIENCE, questions)
    files = [(pair, answer[0]) for pair, answer in zip(pairs, answers[1:]) if answer and answer[0]]
    observations = answers[0][0] if answers[0] and answers[0][0] else []
    if answers[0] is None or answers[0][1] is not None:
        context.cannot_see("served certificates", "no answer from the own ports")
    return {"files": [entry for _pair, entry in files], "served": [served_entry(seen, files) for seen in observations]}
