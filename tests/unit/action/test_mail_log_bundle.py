"""The bundle is written at once, for its owner only."""
from __future__ import annotations

import os
import stat

import pytest

from ansible_collections.mailops.outage.plugins.action import mail_log_bundle


def test_only_its_owner_may_read_it_and_its_folder_is_made(tmp_path):
    path = tmp_path / "logs" / "mx1.tar.gz"
    mail_log_bundle.write(str(path), b"x")
    mail_log_bundle.write(str(path), b"y")
    assert path.read_bytes() == b"y" and stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["mx1.tar.gz"]


def test_nothing_is_left_behind_when_it_cannot_be_written(tmp_path):
    (tmp_path / "mx1.tar.gz").mkdir()
    with pytest.raises(OSError):
        mail_log_bundle.write(str(tmp_path / "mx1.tar.gz"), b"x")
    assert os.listdir(tmp_path) == ["mx1.tar.gz"]
