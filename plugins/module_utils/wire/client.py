"""The options that the modules share which speak to mail servers, as argument specs; described in doc_fragments."""
from __future__ import annotations

OPTIONS = {
    "hop": {"type": "dict", "options": {
        "host": {"type": "str", "required": True},
        "port": {"type": "int", "default": 22},
        "user": {"type": "str"},
        "private_key_file": {"type": "path"},
        "known_hosts_file": {"type": "path"},
        "timeout": {"type": "float", "default": 10},
    }},
    "helo": {"type": "str"},
    "ca_file": {"type": "path"},
}


def server(protocols, mechanisms) -> dict:
    """The options of one server; ``protocols`` and ``mechanisms`` are what may be spoken there. One of ``protocol`` and ``port`` is required."""
    return {
        "name": {"type": "str", "required": True},
        "address": {"type": "str"},
        "protocol": {"type": "str", "choices": list(protocols)},
        "port": {"type": "int"},
        "starttls": {"type": "str", "choices": ["auto", "required", "never"], "default": "auto"},
        "login": {"type": "dict", "options": {
            "username": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "mechanism": {"type": "str", "choices": list(mechanisms)},
            "unverified": {"type": "bool", "default": False},
        }},
    }


def settings(params: dict) -> dict:
    """The values of OPTIONS as wire.probe takes them: ``{hop, helo, ca_file}``, ``hop`` being the parameters of wire.hop.Hop."""
    hop = params["hop"] and dict(params["hop"])
    if hop:
        hop["seconds"] = hop.pop("timeout")
    return {"hop": hop, "helo": params["helo"], "ca_file": params["ca_file"]}
