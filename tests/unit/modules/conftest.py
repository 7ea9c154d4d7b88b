"""Modules run within the tests' own process."""
from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _umask_as_before():
    """A module that keeps what it writes to itself does so for its whole process."""
    before = os.umask(0o022)
    yield
    os.umask(before)
