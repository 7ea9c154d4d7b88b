"""Which outage a verification is about, when nobody says."""
from __future__ import annotations

from ansible_collections.mailops.outage.plugins.module_utils.observations import Run
from ansible_collections.mailops.outage.plugins.module_utils.verification.before import newest_outage


def made(folder, name, began, verdict=None, passed=None):
    run = Run.open(str(folder), name)
    run.write("run.json", {"started_epoch": began})
    if verdict:
        run.write("diagnosis.json", {"verdict": verdict})
    if passed is not None:
        run.write("verification.json", {"passed": passed})
    return run


def test_the_newest_run_that_found_mail_ill_is_taken(tmp_path):
    made(tmp_path, "a", 100.0, "outage")
    ill = made(tmp_path, "b", 200.0, "degraded")
    made(tmp_path, "c", 300.0, "healthy")
    assert newest_outage(made(tmp_path, "now", 400.0, "healthy"), 400.0) == ill.dir


def test_a_failed_verification_does_not_end_the_outage_and_one_that_passed_does(tmp_path):
    ill = made(tmp_path, "a", 100.0, "outage")
    made(tmp_path, "b", 200.0, "healthy", passed=False)
    now = made(tmp_path, "now", 400.0, "healthy")
    assert newest_outage(now, 400.0) == ill.dir
    made(tmp_path, "c", 300.0, "healthy", passed=True)
    assert newest_outage(now, 400.0) == ""


def test_what_is_old_later_broken_or_a_link_is_passed_over(tmp_path):
    made(tmp_path, "old", 100.0, "outage")
    made(tmp_path, "later", 2e6, "outage")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "run.json").write_text("{")
    (tmp_path / "file").write_text("x")
    now = made(tmp_path, "now", 1e6, "healthy")
    now.point_latest()
    assert newest_outage(now, 1e6) == ""
