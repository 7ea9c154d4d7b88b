"""Making an answer fit: what is longest is cut first, and the cut is told."""
from __future__ import annotations

import json

_MOST_SENTENCES = 30
_SHORTEST = 64


def _size(value) -> int:
    return len(json.dumps(value))


def _note(cut: dict, path: tuple, kind: str, kept: int, whole: int) -> None:
    """Remember how much is left of how much there was at first; what was cut inside of parts now gone is forgotten."""
    cut[path] = (kind, kept, cut[path][2] if path in cut else whole)
    depth = len(path)
    for inner in [inner for inner in cut if len(inner) > depth and inner[:depth] == path and isinstance(inner[depth], int) and inner[depth] >= kept]:
        del cut[inner]


def _trim(value, most: int, path: tuple, cut: dict, keys_too: bool):
    """``value`` with every text and list in it at most ``most`` bytes of JSON long, from the innermost outwards; mappings only when ``keys_too``."""
    if isinstance(value, str) and _size(value) > most:
        kept = value[:max(0, most - 2)]
        while _size(kept) > most and kept:
            kept = kept[:len(kept) // 2]
        _note(cut, path, "characters", len(kept), len(value))
        return kept
    if isinstance(value, dict):
        items = [(name, _trim(item, most, path + (name,), cut, keys_too)) for name, item in value.items()]
        kept = _as_many_as_fit(items, most) if keys_too else items
        if len(kept) < len(items):
            _note(cut, path, "keys", len(kept), len(items))
        return dict(kept)
    if isinstance(value, (list, tuple)):
        items = [_trim(item, most, path + (place,), cut, keys_too) for place, item in enumerate(value)]
        kept = _as_many_as_fit(items, most)
        if len(kept) < len(items):
            _note(cut, path, "entries", len(kept), len(items))
        return kept
    return value


def _as_many_as_fit(items: list, most: int) -> list:
    """The first items that together are at most ``most`` bytes of JSON long; a mapping's item counts as the pair that it is."""
    kept, room = [], most - 2
    for item in items:
        room -= _size(item) + 2
        if room < 0:
            break
        kept.append(item)
    return kept


def fit(result: dict, limit_bytes: int = 256 * 1024) -> tuple:
    """``(result, cut)``: the result with the longest lists and texts shortened until its JSON is at most ``limit_bytes`` long.

    Beginnings are kept, so lists should have their most telling entries first. ``cut`` are sentences of what was left out. Keys
    of mappings go last, when nothing else helps. The same result is always cut the same way; one that fits is returned as it is.
    """
    cut: dict = {}
    for keys_too, shortest in ((False, _SHORTEST), (True, 1)):
        most = limit_bytes
        while _size(result) > limit_bytes and most > shortest:
            most = most * 2 // 3
            result = _trim(result, most, (), cut, keys_too)
    sentences = [f"{'.'.join(str(part) for part in path) or 'the answer'}: {kept} of {whole} {kind} kept" for path, (kind, kept, whole) in cut.items()]
    more = len(sentences) - _MOST_SENTENCES
    return result, sentences[:_MOST_SENTENCES] + ([f"and {more} more"] if more > 0 else [])
