"""How long work took, and how much of the CPUs others had meanwhile."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

_FOREIGN = 0.04  # share of the CPUs that others may take without a measurement being repeated
_PATIENCE = 8  # seconds for which it is repeated


class Tries:
    """Tries of one measurement, repeated for some seconds while others take more than a few per cent of the CPUs."""

    def __init__(self) -> None:
        self._made: list[dict[str, Any]] = []
        self._end = time.perf_counter() + _PATIENCE

    @property
    def wanted(self) -> bool:
        """Whether another try may do better."""
        return not self._made or (self._made[-1]["foreign"] >= _FOREIGN and time.perf_counter() < self._end)

    @property
    def best(self) -> dict[str, Any]:
        """The try that others disturbed least."""
        return min(self._made, key=lambda each: each["foreign"])

    def add(self, made: dict[str, Any]) -> None:
        """Notes what `watch` told of one try."""
        self._made.append(made)


def undisturbed(once: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `once` returns, with what `watch` told of it, of the try that others disturbed least."""
    tries = Tries()
    while tries.wanted:
        watched = watch()
        answer = once()
        tries.add({**answer, **watched()})
    return tries.best


def watch() -> Callable[[], dict[str, float]]:
    """Starts the clocks. The answer stops them: wall and CPU seconds, and which share of the CPUs others took."""
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    wall, cpu, busy = time.perf_counter(), time.process_time(), _busy(cpus)

    def stop() -> dict[str, float]:
        took, used = time.perf_counter() - wall, time.process_time() - cpu
        foreign = max(0.0, _busy(cpus) - busy - used) / took / len(cpus)
        return {"wall_s": took, "cpu_s": used, "foreign": foreign}

    return stop


def _busy(cpus: Collection[int]) -> float:
    """Seconds that these CPUs have worked, for anybody; 0 where the system does not say."""
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    ticks = 0
    for line in lines:
        name, *values = line.split()
        if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in cpus:
            user, nice, system, _, _, *interrupts = map(int, values[:8])
            ticks += user + nice + system + sum(interrupts)
    return ticks / os.sysconf("SC_CLK_TCK")


def status(field: str) -> int:
    """Bytes of `VmRSS` (now), `VmHWM` (peak) or `RssAnon` (now, without mapped files) of this process.

    `ru_maxrss` is only the fallback: on Linux it starts with what the parent process held at the fork.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
