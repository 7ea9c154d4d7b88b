"""What the collectors need to know of the mail software's settings, and where its files lie."""
from __future__ import annotations

import re

from ansible_collections.mailops.outage.plugins.module_utils.host import dovecot, postfix

# postconf(5): the unit that a number without one has differs by parameter.
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parameter(context, name: str, default: str = "") -> str:
    """A main.cf parameter with its default applied; ``default`` without Postfix or when it is not known."""
    known = postfix.settings(context) or {}
    value = (known.get("expanded") or {}).get(name)
    if value is None:
        value = known.get(name)
    return default if value is None else str(value)


def number(context, name: str, default: int) -> int:
    text = parameter(context, name).strip()
    return int(text) if text.isdigit() else default


def seconds(value: str, unit: str = "s") -> int | None:
    """Seconds of a Postfix time such as ``5d``; ``unit`` is the one that a bare number has. None when it is not one."""
    match = re.match(r"^\s*(\d+)\s*([smhdw]?)\s*$", value or "")
    return int(match.group(1)) * _UNITS[match.group(2) or unit] if match else None


def imap_setting(context, name: str, default: str = "") -> str:
    """A Dovecot setting as ``doveconf -n`` gives it, or ``default``."""
    known = dovecot.settings(context) or {}
    value = (known.get("values") or {}).get(name)
    return default if value is None else str(value)


def imap_settings(context) -> dict:
    """All Dovecot settings by dotted name; empty without Dovecot."""
    return (dovecot.settings(context) or {}).get("values") or {}


def spool(context) -> str | None:
    """The directory of the mail queue: Postfix's, else Exim's where it is installed."""
    directory = parameter(context, "queue_directory")
    return directory or None
