"""Whether the content rules of Postfix stop an ordinary message: our own canary, held against them by postmap(1) as cleanup(8) would."""
from __future__ import annotations

import re

from ansible_collections.mailops.outage.plugins.module_utils.text import clean
from ansible_collections.mailops.outage.plugins.module_utils.wire import message

# header_checks(5): what these do to a message, nobody who sent it can mend.
_STOPS = re.compile(r"(?:DISCARD|REJECT|HOLD|[45]\d\d)\b")
_PARAMETERS = (("header_checks", "-hq"), ("mime_header_checks", "-hq"), ("body_checks", "-bq"))
_TABLE = re.compile(r"(?:regexp|pcre|texthash|hash|lmdb|cdb):/[^\s,]+")
_SECONDS = 3.0
_MOST_TABLES = 6


def against_us(context, expanded: dict, address: str) -> list:
    """``[{parameter, table, action, line, source, text}]`` of the rules that stop a canary to ``address``; ``expanded``: {parameter: value} of postconf -x."""
    canary = message.compose(address, address, "0" * 32, "look", 0.0).replace(b"\r\n", b"\n")
    found = []
    for parameter, option in _PARAMETERS:
        for table in _TABLE.findall(expanded.get(parameter) or "")[:_MOST_TABLES]:
            ran = context.run("postmap", option, "-", table, timeout=_SECONDS, data=canary)
            for answer in ran.out.splitlines():
                line, _tab, action = answer.rpartition("\t")
                if _STOPS.match(action):
                    found.append({"parameter": parameter, "table": clean(table, 200), "action": clean(action, 100), "line": clean(line, 200),
                                  "source": clean(f"postmap {option} - {table} with a test message", 300),
                                  "text": clean(f"{parameter}: '{clean(line, 80)}' of a test message meets {clean(action, 100)}", 300)})
    return found
