from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bge_onnx._runtime.cpu as cpu
from bge_onnx._runtime.cpu import available_cpus, cgroup_quota


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "cgroup"
    folder.mkdir()
    return folder


def membership(root: Path, content: str) -> Path:
    path = root.parent / "self-cgroup"
    path.write_text(content)
    return path


def write(root: Path, name: str, content: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{content}\n")


def test_version_2_in_a_container_is_read_at_the_root(root: Path) -> None:
    write(root, "cpu.max", "150000 100000")
    assert cgroup_quota(root, membership(root, "0::/\n")) == 1.5


def test_version_2_nested_obeys_the_tightest_ancestor(root: Path) -> None:
    write(root, "system.slice/cpu.max", "300000 100000")
    write(root, "system.slice/app.service/cpu.max", "max 100000")
    write(root, "system.slice/app.service/worker/cpu.max", "800000 100000")
    assert cgroup_quota(root, membership(root, "0::/system.slice/app.service/worker\n")) == 3.0


def test_version_2_without_a_limit_is_none(root: Path) -> None:
    write(root, "a/cpu.max", "max 100000")
    assert cgroup_quota(root, membership(root, "0::/a\n")) is None


def test_version_1_reads_quota_and_period(root: Path) -> None:
    write(root, "cpu/docker/abc/cpu.cfs_quota_us", "50000")
    write(root, "cpu/docker/abc/cpu.cfs_period_us", "100000")
    lines = "5:memory:/docker/other\n4:cpu,cpuacct:/docker/abc\n"
    assert cgroup_quota(root, membership(root, lines)) == 0.5


def test_version_1_in_a_container_whose_path_is_not_mounted(root: Path) -> None:
    write(root, "cpu/cpu.cfs_quota_us", "200000")
    write(root, "cpu/cpu.cfs_period_us", "100000")
    assert cgroup_quota(root, membership(root, "4:cpuacct,cpu:/docker/not/here\n")) == 2.0


def test_version_1_without_a_limit_is_none(root: Path) -> None:
    write(root, "cpu/cpu.cfs_quota_us", "-1")
    write(root, "cpu/cpu.cfs_period_us", "100000")
    assert cgroup_quota(root, membership(root, "4:cpu:/\n")) is None


def test_groups_of_other_controllers_do_not_count(root: Path) -> None:
    write(root, "cpu/other/cpu.cfs_quota_us", "100000")
    write(root, "cpu/other/cpu.cfs_period_us", "100000")
    assert cgroup_quota(root, membership(root, "4:cpuset:/other\n")) is None


@pytest.mark.parametrize("content", ["", "garbage", "1 2 3", "100000 0", "100000 x"])
def test_what_cannot_be_read_is_no_limit(root: Path, content: str) -> None:
    write(root, "cpu.max", content)
    assert cgroup_quota(root, membership(root, "0::/\n")) is None


def test_no_cgroup_at_all_is_no_limit(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path / "absent", tmp_path / "absent-too") is None


@pytest.mark.parametrize(("quota", "cpus"), [("50000", 1), ("190000", 1), ("9900000", 99), ("max", 64)])
def test_the_quota_is_rounded_down_to_whole_cpus(
    root: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cpus: int
) -> None:
    write(root, "cpu.max", f"{quota} 100000")
    monkeypatch.setattr(cpu, "_CGROUP", root)
    monkeypatch.setattr(cpu, "_PROC_CGROUP", membership(root, "0::/\n"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64 if quota == "max" else 128)))
    assert available_cpus() == cpus


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this platform has no scheduler affinity")
def test_a_process_bound_to_one_cpu_has_one() -> None:
    program = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from bge_onnx._runtime.cpu import available_cpus; print(available_cpus())"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "1"
