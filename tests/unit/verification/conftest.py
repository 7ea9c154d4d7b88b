from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The helper next to the tests; with --import-mode=importlib nothing else puts it on the path.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(name="awx")
def _awx(monkeypatch):
    from scripted_awx import Awx

    monkeypatch.setenv("no_proxy", "*")
    with Awx() as server:
        yield server
