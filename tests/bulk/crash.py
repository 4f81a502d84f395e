"""Run as a program: die at every moment at which something reaches the disk, go on, and compare.

`crash.py MODEL INPUT OUT...` forks a child for every crash point; the engine is only ever opened in children.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from bge_onnx.bulk import embed_files
from tests.bulk.corpus import contents

PART_ROWS = 40


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

    os.fsync = fsync


def main(model: str, source: str, outs: list[str]) -> int:
    """How many crash points were tried; fails at the first whose outcome differs."""
    tried = 0
    for name in outs:
        whole, folder = Path(name).absolute(), Path("again").absolute()
        (folder / "x").parent.mkdir(exist_ok=True)

        def embed(out: Path) -> None:
            embed_files(model, source, out, part_rows=PART_ROWS, on_error="skip")

        reference = Path("whole")
        reference.mkdir(exist_ok=True)
        assert run_in_child(lambda: embed(reference / whole.name)) == 0
        expected = contents(reference)
        for point in range(1, 1000):

            def crash(at: int = point, out: Path = folder / whole.name) -> None:
                die_at(at)
                embed(out)

            ended = run_in_child(crash)
            if ended == 0:
                break
            assert ended == -signal.SIGKILL, ended
            assert run_in_child(lambda: embed(folder / whole.name)) == 0, f"{whole.name}: cannot go on after {point}"
            assert contents(folder) == expected, f"{whole.name}: other files after a crash at {point}"
            tried += 1
            shutil.rmtree(folder)
            folder.mkdir()
        shutil.rmtree(folder)
        shutil.rmtree(reference)
    return tried


if __name__ == "__main__":
    sys.stdout.write(str(main(sys.argv[1], sys.argv[2], sys.argv[3:])))
