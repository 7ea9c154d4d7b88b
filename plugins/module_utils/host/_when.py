"""Moments: epoch seconds inside, ISO 8601 UTC for people, and the window that one look is about."""
from __future__ import annotations

import datetime
import math
import time

_HOUR = 3600.0
_DAY = 86400.0


def iso(epoch) -> str | None:
    """``1795467067`` as ``2026-11-23T20:51:07Z``; None for None and for what no calendar holds."""
    if epoch is None:
        return None
    try:
        moment = datetime.datetime.fromtimestamp(float(epoch), datetime.timezone.utc)
    except (OverflowError, OSError, ValueError):
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def epoch_of(value) -> float:
    """Epoch seconds of a number or of an ISO 8601 moment; one without an offset is UTC. Raises ValueError."""
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        if math.isfinite(number):
            return number
        raise ValueError(f"not a moment: {text}")
    moment = datetime.datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return moment.timestamp()


def window(context, days: float = 0.0):
    """``(since, until)`` in epoch seconds: the window asked for, stretched back to ``days`` before its end."""
    until = context.options.get("until")
    until = time.time() if until is None else float(until)
    since = context.options.get("since")
    since = until - _HOUR if since is None else float(since)
    return min(since, until - days * _DAY), until
