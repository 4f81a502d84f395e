"""What tests send to executors and actors: importable there, as a user's own module would be."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class KillOnce:
    """A Spark task that kills the executor under it the first time, when it has seen some batches."""

    def __init__(self, marker: Path, *, key: int) -> None:
        self.marker = str(marker)
        self.key = key

    def run(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            yield batch
            if self.key in batch.column("id").to_pylist() and claim(self.marker):
                os.kill(_executor(), signal.SIGKILL)


def claim(marker: str) -> bool:
    """Whether this is the first call of all processes."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _executor() -> int:
    """The JVM above this worker: the worker's parent is Spark's daemon, whose parent is the executor."""
    pid = os.getpid()
    while True:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if Path(f"/proc/{pid}/comm").read_text().strip() == "java":
            return pid
