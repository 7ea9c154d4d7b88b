"""Configuration as statements, so that some can be taken back and the others left alone. Pure functions over text.

main.cf and master.cf: a logical line (postconf(5), master(5)). Dovecot: a setting, or a whole block at the top. Tables and the rest: a line.
"""
from __future__ import annotations

import difflib
import fnmatch
import re
from dataclasses import dataclass

KINDS = ("main", "master", "dovecot", "lines")
# How alike a damaged statement is to the one that it was.
_ALIKE = 0.6
# The columns of master(5).
_ENTRY = re.compile(r"\S+ (?:inet|unix|unix-dgram|fifo|pass)(?: [yn-]){3} (?:-|\d+\??) (?:-|\d+) [^\s-]")
_OVERRIDE = re.compile(r"\s+-o\s*(?:\{\s*(?P<braced>\w+)[^}]*\}|(?P<plain>\w+)\s*=\S*)")


@dataclass(frozen=True)
class Statement:
    """The text of a statement with its line ends, the line that it begins on, and the names of what it sets.

    ``key`` is the name under which it is told from others: a parameter, ``service/type``, the words before a brace. ``broken``: its software cannot
    read it, for an ``=``, a field or a brace is missing.
    """

    text: str
    line: int
    names: tuple = ()
    key: str = ""
    broken: bool = False

    @property
    def lines(self) -> range:
        return range(self.line, self.line + self.text.count("\n") + (not self.text.endswith("\n")))

    @property
    def says(self) -> str:
        """The text without comments and without regard to white space."""
        return " ".join(" ".join(_bare(self.text.splitlines())).split())

    def is_named(self, patterns) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for name in self.names for pattern in patterns)


def statements(text: str, kind: str) -> list:
    """The statements of a file in order; together they are the text. A comment or an empty line is one without names."""
    lines = text.splitlines(keepends=True)
    if kind == "dovecot":
        groups = _blocks(lines)
    elif kind == "lines":
        groups = [(number, [line]) for number, line in enumerate(lines, 1)]
    else:
        groups = _logical(lines)
    return [Statement("".join(group), number, *_told(group, kind)) for number, group in groups]


def _logical(lines: list) -> list:
    """A line that begins with white space goes on the statement before it, over comments and empty lines between."""
    groups, pending = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            pending.append((number, [line]))
        elif line[0].isspace() and groups:
            groups[-1][1].extend(one for _number, group in pending for one in group)
            groups[-1][1].append(line)
            pending = []
        else:
            groups += pending + [(number, [line])]
            pending = []
    return groups + pending


def _braces(line: str) -> int:
    """How many braces a line opens; those in comments and quotes do not count."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', line).partition("#")[0]
    return bare.count("{") - bare.count("}")


def _blocks(lines: list) -> list:
    """A block to its last brace. One that is never closed ends where a line stands no further in than it does."""
    opens, groups, place = [_braces(line) for line in lines], [], 0
    while place < len(lines):
        end, depth = place + 1, max(0, opens[place])
        while end < len(lines) and (depth or lines[end - 1].rstrip().endswith("\\")):
            depth = max(0, depth + opens[end])
            end += 1
        if depth:
            end = _outside(lines, place)
        groups.append((place + 1, lines[place:end]))
        place = end
    return groups


def _outside(lines: list, place: int) -> int:
    """The place of the first statement that does not stand further in than the line at ``place``, and of the comments right above it."""
    def indent(line):
        return len(line) - len(line.lstrip())
    for end in range(place + 1, len(lines)):
        if lines[end].strip() and indent(lines[end]) <= indent(lines[place]) and lines[end].lstrip()[0] not in "#}":
            while end - 1 > place and not _bare([lines[end - 1]]):
                end -= 1
            return end
    return len(lines)


def _bare(lines: list) -> list:
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _told(group: list, kind: str) -> tuple:
    """``(names, key, broken)`` of the lines of a statement."""
    bare = _bare(group)
    if not bare:
        return (), "", False
    if kind == "main":
        name, equals, _value = bare[0].partition("=")
        return (name.strip(),), name.strip() or equals, not equals or len(name.split()) != 1
    if kind == "master":
        fields = " ".join(bare).split()
        overrides = re.findall(r"-o\s*\{?\s*(\w+)\s*=", " ".join(bare))
        key = "/".join(fields[:2])
        return (key, *overrides), key, not _ENTRY.match(" ".join(fields))
    if kind == "dovecot":
        return _told_of_dovecot(bare)
    # A variable of the shell's writing, as in Debian's files for Exim, else the first word.
    name = re.match(r"\s*(?:(\w+)=|(\S+))", bare[0])
    name = name.group(1) or name.group(2).rstrip(":=")
    return (name,), name, False


def _told_of_dovecot(bare: list) -> tuple:
    found = []
    for line in bare:
        for word, name in re.findall(r"^\s*(\w+)\s*([^\s{=]*)\s*\{", line):
            found += [word, f"{word} {name}".strip()]
        found += re.findall(r"(?:^|\{|;)\s*([\w./:-]+)\s*=", line)
        found += ["!include"] if line.lstrip().startswith("!include") else []
    head = " ".join(bare[0].split())
    sets = re.match(r"[^{]*=", head)
    key = head if head.startswith("!include") else head.partition("=" if sets else "{")[0].strip()
    ordinary = sets or head.startswith("!include") or "{" in head
    return tuple(dict.fromkeys(found)), key, not ordinary or sum(_braces(line) for line in bare) != 0


def taken_back(current: str, good: str, kind: str, chosen=None, only_missing: bool = False, overrides=(), unknown=None) -> str:
    """``current`` with the statements that ``chosen(statement)`` wants as they are in ``good``; all that differ when it is None.

    A damaged statement that is wanted gives its place to the good one that it was. ``only_missing``: what is gone comes back, and nothing that can be read
    is taken out. ``overrides``: patterns of names; in an entry of master.cf that is not wanted itself, these go back alone. ``unknown(statement)``: whether its
    software knows no such name, so that it may be another one garbled.
    """
    before, now = statements(good, kind), statements(current, kind)
    wants = chosen or (lambda statement: True)
    there = {one.key for one in now if not one.broken}
    stretches = _stretches(before, now)
    wanted = {one.key for one in now if one.key and wants(one)}
    taken = {one for gone, _come, _equal in stretches for one in gone if wants(one) or one.key in wanted}
    kept = []
    for gone, come, equal in stretches:
        if only_missing:
            back = [one for one in gone if one in taken and one.key and one.key not in there]
            pairs = _paired(gone, come, {one.key for one in before}, there, unknown)
            kept += [one.text for one in back] + [one.text for place, one in enumerate(come) if pairs.get(place) not in back]
        elif chosen is None:
            kept += [one.text for one in gone]
        else:
            kept += _in_place(gone, come, wants, taken, _paired(gone, come, {one.key for one in before}, there, unknown), overrides)
        kept += [one.text for one in equal]
    # A last line without its end must not run into what comes back after it.
    return "".join(text if text.endswith("\n") or place == len(kept) - 1 else text + "\n" for place, text in enumerate(kept))


def _stretches(before: list, now: list) -> list:
    """``[(good, current, equal)]``: in turn what differs, either of which may be empty, and what is equal after it."""
    found, first, begin = [], 0, 0
    for one in difflib.SequenceMatcher(None, [one.text for one in before], [one.text for one in now], autojunk=False).get_matching_blocks():
        found.append((before[first:one.a], now[begin:one.b], now[one.b:one.b + one.size]))
        first, begin = one.a + one.size, one.b + one.size
    return found


def _in_place(gone: list, come: list, wants, taken: set, pairs: dict, overrides) -> list:
    """The texts of a stretch that differs: what is wanted back stands where its namesake or what is left of it stood, else at the beginning."""
    back = [one for one in gone if one in taken or any(was == one and wants(come[place]) for place, was in pairs.items())]
    keys = {one.key for one in taken}
    found, put = [], set()
    for place, one in enumerate(come):
        was = pairs.get(place)
        if was in back:
            found += [was.text] if was not in put else []
            put.add(was)
        elif was and overrides and was.key == one.key:
            found.append(_with_overrides(one.text, was.text, overrides))
        elif not (one.key and (wants(one) or one.key in keys)):
            found.append(one.text)
    return [one.text for one in back if one not in put] + found


def _paired(gone: list, come: list, known: set, there: set, unknown) -> dict:
    """``{place in come: the good statement that stood there}``: the one of the same key, or the one that it is what is left of."""
    pairs: dict = {}
    for place, one in enumerate(come):
        was = next((other for other in gone if other.key and other.key == one.key and other not in pairs.values()), None)
        if was:
            pairs[place] = was
    lost = [was for was in gone if was.key and was.key not in there]
    for place, one in enumerate(come):
        if place in pairs or not one.key:
            continue
        damaged = one.broken or bool(unknown and unknown(one))
        # A line that was torn off, or what is left after something was.
        was = next((was for was in (gone if damaged else lost if one.key not in known else []) if one.says in was.says), None)
        if damaged and not was:
            alike = [difflib.SequenceMatcher(None, one.says, was.says, autojunk=False).ratio() for was in lost]
            was = lost[alike.index(max(alike))] if alike and max(alike) >= _ALIKE else None
        if was:
            pairs[place] = was
    return pairs


def _with_overrides(text: str, good: str, patterns) -> str:
    """An entry of master.cf with the ``-o`` settings that ``patterns`` name as they are in the good one."""
    def named(match):
        name = match.group("braced") or match.group("plain")
        return name if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns) else None
    left = {named(match): match.group(0) for match in _OVERRIDE.finditer(good) if named(match)}
    text = _OVERRIDE.sub(lambda match: left.pop(named(match), "") if named(match) else match.group(0), text)
    end = max([match.end() for match in _OVERRIDE.finditer(text)], default=len(text.rstrip("\n")))
    return text[:end] + "".join(left.values()) + text[end:]


def differing(current: str, good: str, kind: str) -> list:
    """The statements, of either text, that are not in the other at that place."""
    return [one for gone, come, _equal in _stretches(statements(good, kind), statements(current, kind)) for one in come + gone if one.key]


def mended(current: str, good: str, kind: str, wrong) -> set:
    """The good statements at whose place something is damaged: what stands there cannot be read, or is ``wrong(statement)``."""
    before, now = statements(good, kind), statements(current, kind)
    there, found = {one.key for one in now if not one.broken}, set()
    for gone, come, _equal in _stretches(before, now):
        pairs = _paired(gone, come, {one.key for one in before}, there, wrong)
        found |= {was for place, was in pairs.items() if come[place].broken or wrong(come[place])}
    return found


def lacking(current: str, good: str, result: str, kind: str) -> list:
    """The keys of good statements that a rollback from ``current`` to ``result`` takes away, or does not bring back where something is damaged."""
    before, now = statements(good, kind), statements(current, kind)
    end = {one.key for one in statements(result, kind)}
    here = {one.key for one in now}
    damaged = {one for gone, come, _equal in _stretches(before, now) if any(other.broken for other in come) for one in gone}
    return [one.key for one in before if one.key and one.key not in end and (one.key in here or one in damaged)]


def blamed(text: str, kind: str, errors: list):
    """A choice of the statements that ``errors``, [{line, text}] of this file, name by their line or by what they set, and of those that cannot be read."""
    lines = {error["line"] for error in errors if error.get("line")}
    words = set(re.findall(r"[A-Za-z_][\w/.-]+", " ".join(error.get("text") or "" for error in errors)))
    wrong = {one.text for one in statements(text, kind) if lines & set(one.lines) or (errors and one.broken)}
    return lambda statement: statement.text in wrong or bool(words & set(statement.names))
