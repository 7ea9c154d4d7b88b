from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mailops.outage.plugins.module_utils.host import resources
from ansible_collections.mailops.outage.plugins.module_utils.host._mounts import Mount, parse_mountinfo
from ansible_collections.mailops.outage.plugins.module_utils.host.context import Context
from hypothesis import given
from hypothesis import strategies as st

_FIXTURES = Path(__file__).parent / "fixtures"
_GROUPS = {
    "pids": "/libpod_parent/libpod-29c8d23d", "name=systemd": "/libpod_parent/libpod-29c8d23d/system.slice/dovecot.service",
    "": "/libpod_parent/libpod-29c8d23d/system.slice/dovecot.service",
}


def test_memory_is_counted_in_bytes():
    text = "MemTotal:       24684096 kB\nMemFree:        1 kB\nMemAvailable:   100 kB\nSwapTotal:      0 kB\nSwapFree:       0 kB\n"
    assert resources.parse_meminfo(text) == {"total": 25276514304, "available": 102400, "swap_total": 0, "swap_free": 0}


def test_pressure_is_read_by_kind_and_span():
    text = "some avg10=35.00 avg60=12.56 avg300=4.80 total=123\nfull avg10=0.00 avg60=0.10 avg300=0.00 total=1\n"
    found = resources.parse_pressure(text)
    assert found["some_avg10"] == 35.0 and found["full_avg60"] == 0.1 and len(found) == 6
    assert resources.parse_pressure("") is None


@given(st.text(max_size=300))
def test_parsers_take_any_text(text):
    resources.parse_meminfo(text)
    resources.parse_pressure(text)
    resources.parse_limits(text)
    resources.parse_show(text)


def test_the_soft_limits_of_a_recorded_process_are_read():
    assert resources.parse_limits((_FIXTURES / "limits").read_text()) == {"nofile": 4096, "nproc": 8192}
    assert resources.parse_limits("Max open files            unlimited            unlimited            files\n") == {"nofile": None}


@pytest.mark.parametrize("used, value, expected", [(4096, 4096, True), (4020, 4096, True), (4000, 4096, False), (14, 14, True), (13, 14, True),
                                                   (12, 14, False), (None, 14, False), (5, None, False)])
def test_a_limit_is_exhausted_when_next_to_nothing_is_left(used, value, expected):
    assert resources.nearly(used, value) is expected


def test_a_group_of_the_unified_tree_is_found(tmp_path):
    folder = tmp_path / "system.slice" / "dovecot.service"
    folder.mkdir(parents=True)
    (folder / "pids.max").write_text("12\n")
    mounts = [Mount(str(tmp_path), "cgroup2", "cgroup2")]
    assert resources.cgroup_folder(mounts, "pids", {"": "/system.slice/dovecot.service"}) == str(folder)


def test_on_a_hybrid_host_the_old_tree_holds_the_controller_and_the_mounted_root_is_taken_off(tmp_path):
    old, unified = tmp_path / "pids", tmp_path / "unified"
    (old).mkdir()
    (old / "pids.max").write_text("2048\n")
    (unified / "system.slice" / "dovecot.service").mkdir(parents=True)
    mounts = [Mount(str(unified), "cgroup2", "cgroup2"), Mount(str(old), "cgroup", "cgroup", "/libpod_parent/libpod-29c8d23d", ("ro",), ("rw", "pids"))]
    assert resources.cgroup_folder(mounts, "pids", _GROUPS) == str(old)


def test_a_controller_that_is_not_mounted_has_no_folder():
    mounts = parse_mountinfo((_FIXTURES / "mountinfo").read_text())
    assert resources.cgroup_folder(mounts, "io", _GROUPS) is None


def test_a_unit_with_its_tasks_used_up_is_exhausted(tmp_path):
    folder = tmp_path / "system.slice" / "dovecot.service"
    folder.mkdir(parents=True)
    for name, text in (("pids.max", "10\n"), ("pids.current", "10\n"), ("pids.events", "max 7\n")):
        (folder / name).write_text(text)
    found = resources._tasks(Context(), [Mount(str(tmp_path), "cgroup2", "cgroup2")], "dovecot.service", {"": "/system.slice/dovecot.service"})
    assert [(entry["unit"], entry["value"], entry["used"], entry["exhausted"], entry["hits"]) for entry in found] == [("dovecot.service", 10, 10, True, 7)]
    assert found[0]["text"] == "10 of 10, refused 7 times"


def test_a_unit_that_the_kernel_killed_in_is_out_of_memory(tmp_path, monkeypatch):
    folder = tmp_path / "dovecot.service"
    folder.mkdir()
    for name, text in (("memory.max", "104857600\n"), ("memory.current", "50000000\n"), ("memory.events", "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\n")):
        (folder / name).write_text(text)
    found = resources._memory(Context(), [Mount(str(tmp_path), "cgroup2", "cgroup2")], "dovecot.service", {"": "/dovecot.service"})
    assert found[0]["exhausted"] and found[0]["hits"] == 2 and found[0]["value"] == 104857600
    monkeypatch.setattr(resources._kernel, "kills", lambda context: [])
    assert [entry["process"] for entry in resources._killed(Context(), found)] == ["dovecot.service"]


def test_a_unit_without_a_memory_limit_and_without_kills_is_not_listed(tmp_path):
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.events").write_text("oom_kill 0\n")
    assert resources._memory(Context(), [Mount(str(tmp_path), "cgroup2", "cgroup2")], "dovecot.service", {"": "/"}) == []


def test_a_limit_that_lets_no_daemon_start_is_seen_in_the_unit():
    blocks = resources.parse_show("Id=postfix@-.service\nLoadState=loaded\nLimitNOFILE=14\n\nId=dovecot.service\nLoadState=loaded\nLimitNOFILE=524288\n")
    assert [(block["Id"], resources.too_few_files(block)) for block in blocks] == [("postfix@-.service", True), ("dovecot.service", False)]
    assert not resources.too_few_files({"LimitNOFILE": "infinity"})


def test_the_facts_of_this_host_are_complete():
    facts = resources.collect(Context())
    assert set(facts) == {"load", "pressure", "memory", "oom_kills", "files", "processes", "limits", "blocked"}
    assert facts["processes"]["count"] >= 1 and facts["processes"]["maximum"] > 0 and facts["files"]["maximum"] > 0
