"""How many CPUs this process may really use: scheduler affinity and container quota, not the host's core count."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_PROC_CGROUP = Path("/proc/self/cgroup")


def available_cpus() -> int:
    """Number of CPUs the process may use, at least 1.

    The smaller of the scheduler affinity and the cgroup CPU quota (version 2 `cpu.max`, version 1 `cpu.cfs_quota_us`),
    rounded down: a thread more than the quota allows is throttled, and a throttled thread stalls its whole batch.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota(_CGROUP, _PROC_CGROUP)
    return affinity if quota is None else max(1, min(affinity, int(quota)))


# The instruction sets that ONNX Runtime's kernels are chosen by (MLAS, onnxruntime/core/mlas/lib/platform.cpp).
_INSTRUCTION_SETS = frozenset(
    "sse4_1 avx f16c fma avx2 avx_vnni avx_vnni_int8 avx_ne_convert avx512f avx512bw avx512dq avx512vl avx512_vnni "
    "avx512_bf16 avx512_fp16 amx_tile amx_int8 amx_bf16 "
    "asimd asimdhp asimddp fphp i8mm bf16 sve sve2 svei8mm svebf16 sme sme2".split()
)


def instruction_sets() -> str:
    """What decides which kernels run on this CPU: one string for machines that can share a prepared graph."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), None)
    words = [platform.processor()] if features is None else features.partition(":")[2].split()
    known = sorted(set(words) if features is None else _INSTRUCTION_SETS.intersection(words))
    return " ".join([platform.system(), platform.machine(), *known])


def cgroup_quota(root: Path, membership: Path) -> float | None:
    """CPUs granted by the tightest quota between this process's cgroup and the root, or None where there is none.

    Args:
        root: Where the cgroup file system is mounted.
        membership: The file that names the process's cgroup, one `id:controllers:path` a line.
    """
    quotas = [quota for folder in _groups(root, membership) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def _groups(root: Path, membership: Path) -> list[Path]:
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    folders = [root, root / "cpu"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "cpu" if controllers else root
        parts = Path(path.lstrip("/")).parts
        # Limits of every ancestor apply, and in a container the path may name groups that are not mounted here.
        folders += [base.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    return folders


def _quota(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota in ("max", "-1") or not period.isdigit() or int(period) == 0:
        return None
    return int(quota) / int(period)
