"""Run as a program: die at every moment at which something reaches the disk, go on, and compare.

`crash.py MODEL INPUT OUT...` forks a child for every crash point; the engine is only ever opened in children.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow.parquet  # noqa: F401  once, and not in every child

from bge_onnx.bulk import embed_files
from tests.bulk.corpus import contents

PART_ROWS = 60


def run_in_child(work: Callable[[], object]) -> int:
    """The signal or exit code with which a forked child ends."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def die_at(point: int) -> None:
    """Kill this process when it forces something to disk for the `point`-th time."""
    real = os.fsync
    left = [point]

    def fsync(handle: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        real(handle)

    os.fsync = fsync  # type: ignore[assignment]  # narrower than what it stands in for


def main(model: str, source: str, outs: list[str]) -> int:
    """How many crash points were tried; fails at the first whose outcome differs."""
    return sum(crash_everywhere(model, source, name) for name in outs)


def crash_everywhere(model: str, source: str, name: str) -> int:
    """How many crash points one output has."""

    def embed(folder: Path, *, crash_at: int = 0) -> None:
        if crash_at:
            die_at(crash_at)
        embed_files(model, source, folder / name, part_rows=PART_ROWS, on_error="skip")

    reference = Path(f"{name} without a crash").absolute()
    assert run_in_child(partial(embed, reference)) == 0
    expected = contents(reference)
    for point in range(1, 1000):
        folder = Path(f"{name} at {point}").absolute()
        ended = run_in_child(partial(embed, folder, crash_at=point))
        if ended == 0:
            return point - 1
        assert ended == -signal.SIGKILL, ended
        assert run_in_child(partial(embed, folder)) == 0, f"cannot go on: {folder.name}"
        assert contents(folder) == expected, f"other files: {folder.name}"
    raise AssertionError(f"{name}: there is no end to it")


if __name__ == "__main__":
    sys.stdout.write(str(main(sys.argv[1], sys.argv[2], sys.argv[3:])))
