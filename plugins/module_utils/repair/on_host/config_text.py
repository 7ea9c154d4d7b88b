"""Configuration as statements, so that some can be taken back and the others left alone. Pure functions over text.

main.cf and master.cf: a logical line (postconf(5), master(5)). Dovecot: a setting, or a whole block at the top. Tables and the rest: a line.
"""
from __future__ import annotations

import difflib
import fnmatch
import re
from dataclasses import dataclass

KINDS = ("main", "master", "dovecot", "lines")


@dataclass(frozen=True)
class Statement:
    """The text of a statement with its line ends, the line that it begins on, and the names of what it sets."""

    text: str
    line: int
    names: tuple = ()

    @property
    def lines(self) -> range:
        return range(self.line, self.line + self.text.count("\n") + (not self.text.endswith("\n")))

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
    return [Statement("".join(group), number, _names(group, kind)) for number, group in groups]


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


def _blocks(lines: list) -> list:
    """Braces are counted outside of comments and quotes; a block that is never closed goes to the end."""
    groups, depth = [], 0
    for number, line in enumerate(lines, 1):
        if depth and groups:
            groups[-1][1].append(line)
        else:
            groups.append((number, [line]))
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', line).partition("#")[0]
        depth = max(0, depth + bare.count("{") - bare.count("}"))
    return groups


def _names(group: list, kind: str) -> tuple:
    bare = [line for line in group if line.strip() and not line.lstrip().startswith("#")]
    if not bare:
        return ()
    if kind == "main":
        return (bare[0].partition("=")[0].strip(),)
    if kind == "master":
        fields = " ".join(bare).split()
        overrides = re.findall(r"-o\s*\{?\s*(\w+)\s*=", " ".join(bare))
        return ("/".join(fields[:2]), *overrides)
    if kind == "dovecot":
        found = []
        for line in bare:
            for word, name in re.findall(r"^\s*(\w+)\s*([^\s{=]*)\s*\{", line):
                found += [word, f"{word} {name}".strip()]
            found += re.findall(r"(?:^|\{|;)\s*([\w./:-]+)\s*=", line)
            found += ["!include"] if line.lstrip().startswith("!include") else []
        return tuple(dict.fromkeys(found))
    return (bare[0].split()[0].rstrip(":="),)


def taken_back(current: str, good: str, kind: str, chosen=None, only_missing: bool = False) -> str:
    """``current`` with the statements that ``chosen(statement)`` wants as they are in ``good``; all that differ when it is None.

    ``only_missing``: what is gone comes back, and nothing that is there is taken out.
    """
    before, now = statements(good, kind), statements(current, kind)
    wants = chosen or (lambda statement: True)
    there = {name for statement in now for name in statement.names}
    kept = []
    matcher = difflib.SequenceMatcher(None, [one.text for one in before], [one.text for one in now], autojunk=False)
    for what, first, last, begin, end in matcher.get_opcodes():
        if what == "equal":
            kept += [one.text for one in now[begin:end]]
            continue
        gone = [one for one in before[first:last] if wants(one)]
        if only_missing:
            kept += [one.text for one in gone if not set(one.names) & there] + [one.text for one in now[begin:end]]
        else:
            kept += _in_place(gone, now[begin:end], wants)
    # A last line without its end must not run into what comes back after it.
    return "".join(text if text.endswith("\n") or place == len(kept) - 1 else text + "\n" for place, text in enumerate(kept))


def _in_place(gone: list, now: list, wants) -> list:
    """The texts of a stretch that differs: what is wanted back stands where its namesake stood, else at the beginning."""
    if all(wants(one) for one in now):
        return [one.text for one in gone]
    left, found = list(gone), []
    for one in now:
        if not wants(one):
            found.append(one.text)
            continue
        namesake = next((other for other in left if other.names and other.names == one.names), None)
        if namesake:
            left.remove(namesake)
            found.append(namesake.text)
    return [one.text for one in left] + found


def blamed(text: str, kind: str, errors: list):
    """A choice of the statements that ``errors``, [{line, text}] of this file, name by their line or by what they set."""
    lines = {error["line"] for error in errors if error.get("line")}
    words = set(re.findall(r"[A-Za-z_][\w/.-]+", " ".join(error.get("text") or "" for error in errors)))
    wrong = {one.text for one in statements(text, kind) if lines & set(one.lines)}
    return lambda statement: statement.text in wrong or bool(words & set(statement.names))
