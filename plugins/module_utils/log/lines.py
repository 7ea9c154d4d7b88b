"""The parts of a log line: stamp and host, the program whose word it is, the message it is about, and what the program said.

Forms: syslog (``STAMP HOST PROGRAM[PID]: TEXT``, also the journal's short ones), and the files that Dovecot and Exim write themselves
(``STAMP TEXT``). A queue id in front of the text (Postfix: postlogd(8), cleanup(8); Exim: specification, chapter 52) is taken off, and
so are the recipient, relay and delays of a delivery (``to=<...>, relay=..., status=...`` begins with ``status=``): what a signature is
anchored to is the program's own words.
"""
from __future__ import annotations

import re

# "Nov 23 20:51:07", "2026-11-23T20:51:07.123456+00:00" (or with a space and a zone), the journal's "1795467067.123456".
_STAMP = (rb"(?:<[0-9]{1,3}>(?:1 )?)?(?:[A-Z][a-z]{2} [ 0-3]?[0-9] [0-9:]{8}"
          rb"|[0-9]{4}-[0-9-]{5}(?:T[^ \n]{8,30}| [0-9:.,]{8,18}(?: [+-][0-9:]{4,6})?)|[0-9]{9,10}(?:\.[0-9]{1,9})?) ")
# Postfix short (hexadecimal) and long queue ids (QUEUE_ID in cleanup(8): no vowels), Exim's before and since 4.97.
_POSTFIX_ID = rb"[0-9A-F]{5,15}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,20}"
_EXIM_ID = rb"[0-9A-Za-z]{6}-(?:[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[0-9A-Za-z]{11}-[0-9A-Za-z]{4})"
# An address with a space in it could hold all of this, which then stands in the line twice. Such a message begins with "to=", which means
# nothing to anybody.
_DELIVERY = (rb"to=<[^ \n]* (?:orig_to=<[^ \n]* )?relay=[^ \n]* (?:conn_use=[^ \n]* )?(?:delay=[^ \n]* )?(?:delays=[^ \n]* )?(?:dsn=[^ \n]* )?"
             rb"(?=status=)(?![^\n]*>, relay=)")
_LINE = re.compile(
    rb"\n(" + _STAMP + rb"(?:[^ \n()<>]*[^ :\n()<>] ([^ \n\[\]:()<>=]+)(?:\[[0-9]+\])?: |)"
    # Exim repeats its stamp in syslog and may tell its process id; the kernel's own clock.
    rb"(?:[0-9]{4}-[0-9-]{5} [0-9:]{8} (?:[+-][0-9]{4} )?)?(?:\[[ 0-9.]+\] )?"
    rb"(?:NOQUEUE: |(" + _POSTFIX_ID + rb"): |(" + _EXIM_ID + rb") |)(?:" + _DELIVERY + rb")?([^\n]*))"
)
# Of a file that Exim writes itself, whose lines begin with anything.
_OWN_LINE = re.compile(rb"\n(" + _STAMP + rb"()()(?:\[[0-9]+\] )?(?:(" + _EXIM_ID + rb") |)([^\n]*))")
# Dovecot's processes as its own file names them. Whatever else stands without a program is Exim's.
_DOVECOT = re.compile(
    rb"(dovecot(?:\[[0-9]+\])?: )|(?:master|config|log|anvil|stats|auth(?:-worker)?|[a-z0-9]+-login|imap|pop3|lmtp|lda|doveadm|managesieve|submission"
    rb"|indexer(?:-worker)?|dict|replicator|quota-status|ssl-params|script)(?:\([^\n]*?\))?(?:<[^\n]*?>)*: ")


def parts(text: bytes, own: bytes = b"") -> list:
    """``[(line, program, queue id, message)]`` of the lines of ``text`` that begin with a stamp; ``text`` begins with a newline.

    ``own``: the program that writes this file itself (``dovecot``, ``exim``), where that is known.
    """
    found = []
    for line, program, postfix_id, exim_id, message in (_OWN_LINE if own == b"exim" else _LINE).findall(text):
        if not program:
            dovecot = _DOVECOT.match(message) if own != b"exim" else None
            program = b"dovecot" if dovecot else own or b"exim"
            if dovecot and dovecot.group(1):
                message = message[dovecot.end(1):]
        found.append((line, program, postfix_id or exim_id, message))
    return found
