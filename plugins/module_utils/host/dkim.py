"""The DKIM keys that this host signs with, as their public halves (RFC 6376), to be compared with what DNS publishes."""
from __future__ import annotations

import base64
import glob
import os
import re

from ansible_collections.mailops.outage.plugins.module_utils.text import clean

_SETTING = re.compile(r"^\s*(Domain|Selector|KeyFile|KeyTable)\s+(\S+)", re.M | re.I)


def opendkim_keys(conf: str, read) -> list:
    """``[(domain, selector, key path)]`` of an opendkim.conf(5); ``read(path)`` gives a key table's text or None."""
    values = {name.lower(): value for name, value in _SETTING.findall(conf)}
    if "keytable" in values:
        path = re.sub(r"^(?:refile|file):", "", values["keytable"])
        rows = []
        for line in (read(path) or "").splitlines():
            match = re.match(r"\s*[^#\s]\S*\s+([^:\s]+):([^:\s]+):(\S+)", line)
            if match:
                rows.append(match.groups())
        return rows
    if {"domain", "selector", "keyfile"} <= set(values):
        return [(domain, values["selector"], values["keyfile"]) for domain in values["domain"].split(",")]
    return []


def rspamd_keys(conf: str) -> list:
    """``[(domain, selector, key path)]`` of rspamd's dkim_signing module where paths are spelled with $domain."""
    path = re.search(r'^\s*path\s*=\s*"([^"]+)"', conf, re.M)
    selector = re.search(r'^\s*selector\s*=\s*"([^"]+)"', conf, re.M)
    if not path or not selector or "$domain" not in path.group(1):
        return []
    pattern = path.group(1).replace("$selector", selector.group(1))
    head, _dollar, tail = pattern.partition("$domain")
    return [(name[len(head):len(name) - len(tail)], selector.group(1), name) for name in glob.glob(head + "*" + tail)]


def collect(context) -> dict:
    """``{keys: [{domain, selector, path, readable, public_key, error}]}``; ``public_key`` is base64 of the SubjectPublicKeyInfo."""
    rows = opendkim_keys(context.read("/etc/opendkim.conf") or "", context.read)
    rows += rspamd_keys(context.read("/etc/rspamd/local.d/dkim_signing.conf") or "")
    keys = []
    for domain, selector, path in rows[:50]:
        entry = {"domain": clean(domain, 253), "selector": clean(selector, 63), "path": clean(path),
                 "readable": os.access(path, os.R_OK), "public_key": None, "error": ""}
        if entry["readable"]:
            # The private key stays in openssl's memory: only the public half is written out.
            ran = context.run("openssl", "pkey", "-in", path, "-pubout", "-outform", "PEM", timeout=5)
            body = re.search(r"-----BEGIN PUBLIC KEY-----(.+?)-----END", ran.out, re.S)
            if body:
                entry["public_key"] = base64.b64encode(base64.b64decode("".join(body.group(1).split()))).decode()
            else:
                entry["error"] = "openssl is not installed" if ran.missing else clean(ran.err, 160)
        elif not os.path.exists(path) and os.access(os.path.dirname(path) or "/", os.X_OK):
            entry["error"] = "the key file does not exist"
        else:
            context.cannot_see(path, "permission denied")
        keys.append(entry)
    return {"keys": keys}
