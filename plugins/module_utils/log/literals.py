"""The fixed text in a pattern, and whether any of many fixed texts can stand in a block.

Searching a log for hundreds of patterns line by line is slow. A line that matches a pattern holds the pattern's
fixed text, though, and most blocks of a log hold hardly any of them: ``required`` finds that text, ``Presence`` rules
out most of them in one pass over a block whatever their number, and only what is left is searched for.

All of it is lower case: the caller lowers the block once, and patterns that ignore case need no second way.
"""
from __future__ import annotations

import re
import sys
from array import array
from collections import Counter

from ansible_collections.mailops.outage.plugins.module_utils.log.quiet import meant

try:
    from re import _parser  # Python 3.11 and later
except ImportError:
    import sre_parse as _parser

_WORD = 8
# A text of this length holds a whole aligned word wherever it lies.
_SAMPLED = 2 * _WORD - 1
_MOST_WAYS = 16
_MOST_LITERALS = 48
# Text that many loud lines hold tells little.
_COMMON = re.compile(rb"status=(?:deferred|bounced)|reject: |warning: |error: |relay=none, ")
_ENOUGH = 20


def required(pattern: bytes, flags: int = 0) -> list:
    """Sets of lower-case texts, best first: whatever ``pattern`` matches holds at least one text of every set. Maybe none."""
    try:
        parsed = _parser.parse(pattern, flags)
    except (re.error, RecursionError):
        return []
    return sorted(_sets(parsed), key=worth, reverse=True)


def worth(texts) -> tuple:
    """How well a set of texts tells the lines meant from others: the larger the better."""
    return not any(meant(text) for text in texts), min(min(len(_COMMON.sub(b"", text)), _ENOUGH) for text in texts), -len(texts)


def _sets(items):
    """The sets of texts that a sequence of parsed items requires: its runs of fixed text, and what single items require inside."""
    found = []
    plain, ways = b"", [b""]
    for operation, argument in items:
        name = str(operation)
        texts, whole = _beginnings(name, argument)
        if len(texts) * len(ways) <= _MOST_WAYS:
            ways = [before + text for before in ways for text in texts]
        else:
            whole = False
        if not whole:
            found.append(ways)
            ways = [b""]
        if name == "LITERAL":
            plain += texts[0]
        else:
            found += [[plain], _within(name, argument)]
            plain = b""
    found += [[plain], ways]
    # A text that holds another of the set adds nothing to it.
    return {frozenset(text for text in texts if not any(other in text for other in texts if other != text)) for texts in found if texts and all(texts)}


def _best_of(items):
    return max(_sets(items), key=worth, default=None)


def _beginnings(name, argument):
    """``(texts, whole)``: what a match of one item begins with, when that is little and fixed, and whether it is all of the match."""
    if name == "LITERAL":
        return [bytes([argument]).lower()], True
    if name in ("AT", "ASSERT", "ASSERT_NOT"):
        return [b""], True
    if name == "IN" and len(argument) <= 4 and all(str(operation) == "LITERAL" for operation, _value in argument):
        return sorted({bytes([value]).lower() for _operation, value in argument}), True
    if name == "SUBPATTERN":
        return _sequence(argument[3])
    if name == "ATOMIC_GROUP":
        return _sequence(argument)
    if name == "BRANCH":
        branches = [_sequence(branch) for branch in argument[1]]
        texts = sorted({text for beginnings, _whole in branches for text in beginnings})
        return (texts, all(whole for _texts, whole in branches)) if len(texts) <= _MOST_WAYS else ([b""], False)
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, most, inside = argument
        texts, whole = _sequence(inside)
        if least >= 1:
            return texts, whole and most == 1
        if whole and most == 1:
            return sorted({b"", *texts}), True
    return [b""], False


def _sequence(items):
    ways = [b""]
    for operation, argument in items:
        texts, whole = _beginnings(str(operation), argument)
        if len(texts) * len(ways) > _MOST_WAYS:
            return ways, False
        ways = [before + text for before in ways for text in texts]
        if not whole:
            return ways, False
    return ways, True


def _within(name, argument):
    """What an item that is not fixed text requires of its inside."""
    if name == "SUBPATTERN":
        return _best_of(argument[3])
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") and argument[0] >= 1:
        return _best_of(argument[2])
    if name == "ATOMIC_GROUP":
        return _best_of(argument)
    if name == "BRANCH":
        branches = [_best_of(branch) for branch in argument[1]]
        if all(branches):
            texts = frozenset().union(*branches)
            return texts if len(texts) <= _MOST_LITERALS else None
    return None


class Presence:
    """Which of many texts a block may hold.

    Of every long text the eight-byte words at eight neighbouring places are known: one of them falls on a multiple of
    eight wherever the text lies. One pass over the block's aligned words, in C, then answers for all of them.
    """

    def __init__(self, literals):
        long = [text for text in literals if len(text) >= _SAMPLED]
        self._short = frozenset(text for text in literals if len(text) < _SAMPLED)
        shared = Counter(word for text in long for word in set(_words(text)))
        self._owners: dict = {}
        for text in long:
            words = _words(text)
            # The neighbours that the fewest other texts have too.
            begin = min(range(len(words) - _WORD + 1), key=lambda place: sum(shared[word] for word in words[place:place + _WORD]))
            for word in words[begin:begin + _WORD]:
                self._owners.setdefault(word, []).append(text)
        self._known = frozenset(self._owners)

    def may_hold(self, block: bytes) -> set:
        """The texts that may stand in ``block``: every one that does, and seldom one that does not."""
        words = array("Q")
        words.frombytes(memoryview(block)[:len(block) // _WORD * _WORD])
        found = set(self._short)
        for word in self._known.intersection(words):
            found.update(self._owners[word])
        return found


def _words(text):
    """The eight-byte words at every place of a text."""
    return [int.from_bytes(text[place:place + _WORD], sys.byteorder) for place in range(len(text) - _WORD + 1)]
