"""Hypothesis for all unit tests: the same examples on each run, and none fails for being slow on a busy machine.

New examples are searched with `pytest --hypothesis-profile=search`.
"""
from __future__ import annotations

from hypothesis import HealthCheck, settings

_SLOW_MACHINE = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("repeated", derandomize=True, **_SLOW_MACHINE)
settings.register_profile("search", max_examples=1000, **_SLOW_MACHINE)
settings.load_profile("repeated")
