"""A progress bar, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["download_bar"]


@contextmanager
def download_bar(label: str, total: int | None, show: bool | None) -> Iterator[Callable[[int], object]]:
    """Yield a function that is told the number of bytes that arrived; None shows a bar if stderr is a terminal."""
    if not (show if show is not None else sys.stderr is not None and sys.stderr.isatty()):
        yield lambda _: None
        return
    from tqdm import tqdm  # imported late: most opens download nothing

    with tqdm(total=total, desc=label, unit="B", unit_scale=True, unit_divisor=1024, leave=False) as bar:
        yield bar.update
