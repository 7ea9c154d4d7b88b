"""XOAUTH2, the bearer mechanism of the large mail services, as Google and Microsoft document it."""
from __future__ import annotations

import base64

from ansible_collections.mailops.outage.plugins.module_utils.wire.session import plain


def xoauth2(username: str, token: str) -> bytes:
    """The client's response in base64. Raises ValueError on characters that would end the command or a field."""
    if "\x01" in username + token:
        raise ValueError("a field separator in a login")
    return base64.b64encode(b"user=" + plain(username) + b"\x01auth=Bearer " + plain(token) + b"\x01\x01")
