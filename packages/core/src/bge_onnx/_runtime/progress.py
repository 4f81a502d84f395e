"""Progress bars, only where they were asked for."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self


class _Bar(Protocol):
    n: float

    def update(self, n: float | None = 1) -> bool | None: ...

    def close(self) -> None: ...


class Progress:
    """A bar on stderr, or nothing."""

    def __init__(self, bars: tuple[_Bar, ...]) -> None:
        """Take over one bar, or none."""
        self._bars = bars
        self._done = 0

    @classmethod
    def off(cls) -> Progress:
        """No bar."""
        return cls(())

    @classmethod
    def of(cls, total: int | None, *, enabled: bool, what: str) -> Progress:
        """A bar over `total` things, or an unknown number of them, if it is enabled."""
        if not enabled:
            return cls.off()
        from tqdm import tqdm  # costs start-up time that most programs need not pay

        return cls((tqdm(total=total, unit=f" {what}s"),))

    @property
    def is_drawn(self) -> bool:
        """Whether anybody sees it."""
        return bool(self._bars)

    def show(self, further: int) -> None:
        """Show that so many things are done beyond those that `advance` has noted."""
        for bar in self._bars:
            bar.update(self._done + further - bar.n)

    def advance(self, count: int) -> None:
        """Note that more things are done."""
        self._done += count
        self.show(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for bar in self._bars:
            bar.close()
