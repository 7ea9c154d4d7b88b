"""The catalogue's language: JMESPath, with the few functions that conditions about mail need.

An expression looks at one view (see view.py) and either holds or yields pieces of evidence. A fact that
was not seen is null, and null never holds: less knowledge makes a diagnosis less sure, never wrong.
"""
from __future__ import annotations

import functools
import re


class ConditionError(ValueError):
    """An expression of the catalogue that cannot be used; the message names it."""


@functools.lru_cache(maxsize=1)
def _language():
    """The jmespath module and its options with the functions of our own: ``matches``, ``any_matches``, ``overlap`` and ``minus``."""
    try:
        # Here and not above: what is imported on a mail host must not need it.
        import jmespath
        from jmespath import functions
    except ImportError as problem:
        raise ConditionError("jmespath is not installed for Ansible's Python on the controller: pip install jmespath") from problem

    class MailFunctions(functions.Functions):
        """What conditions about mail need beside JMESPath's own functions."""

        @functions.signature({"types": ["string", "null"]}, {"types": ["string"]})
        def _func_matches(self, text, pattern):
            """Whether a regular expression is found in the text; null matches nothing."""
            return text is not None and re.search(pattern, text) is not None

        @functions.signature({"types": ["array", "null"]}, {"types": ["string"]})
        def _func_any_matches(self, texts, pattern):
            """Whether a regular expression is found in any of the texts."""
            return any(isinstance(text, str) and re.search(pattern, text) for text in texts or [])

        @functions.signature({"types": ["array", "null"]}, {"types": ["array", "null"]})
        def _func_overlap(self, left, right):
            """The items of the first list that are in the second."""
            return [item for item in left or [] if item in (right or [])]

        @functions.signature({"types": ["number", "null"]}, {"types": ["number", "null"]})
        def _func_minus(self, left, right):
            """Left minus right; null when either is unknown."""
            return None if left is None or right is None else left - right

    return jmespath, jmespath.Options(custom_functions=MailFunctions())


@functools.lru_cache(maxsize=2048)
def _compiled(expression: str):
    return _language()[0].compile(expression)


def check(expression: object) -> None:
    """Raise ConditionError when ``expression`` is not JMESPath."""
    if not isinstance(expression, str) or not expression.strip():
        raise ConditionError(f"a condition must be a JMESPath text, not {expression!r}")
    jmespath, _options = _language()
    try:
        _compiled(expression)
    except jmespath.exceptions.JMESPathError as problem:
        raise ConditionError(f"not JMESPath: {expression!r}: {problem}") from problem


def look(expression: str, view: dict) -> object:
    """The value of ``expression`` in ``view``; null where facts are missing or of another type than expected.

    A comparison with a fact that was not seen is null in JMESPath; a function that is given null where it
    wants a list is an error there. Both mean the same here: not known.
    """
    jmespath, options = _language()
    try:
        return _compiled(expression).search(view, options=options)
    except (jmespath.exceptions.JMESPathTypeError, TypeError):
        return None


def holds(expression: str, view: dict) -> bool:
    """Whether ``expression`` is true, a non-empty text, list or object, or a number other than zero."""
    value = look(expression, view)
    return bool(value)
