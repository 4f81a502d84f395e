"""How many CPUs the engine that runs this process has granted it."""

from __future__ import annotations

import sys


def granted_cpus() -> int | None:
    """The CPUs of the Spark task or the Ray actor that this is; None where neither runs this process.

    A process could use every CPU it may be scheduled on, but an engine starts as many of them as it has CPUs to give.
    Nothing is imported: an engine that runs this process is there already.
    """
    return _spark() or _ray()


def _spark() -> int | None:
    pyspark = sys.modules.get("pyspark")
    context = None if pyspark is None else pyspark.TaskContext.get()
    return None if context is None else max(1, int(context.cpus()))


def _ray() -> int | None:
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    if context.get_task_id() is None and context.get_actor_id() is None:
        return None  # the driver, which was granted nothing
    return max(1, int(context.get_assigned_resources().get("CPU", 1)))
