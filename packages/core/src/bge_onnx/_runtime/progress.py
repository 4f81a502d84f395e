"""Progress bars, only where they were asked for."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self


class _Bar(Protocol):
    def update(self, n: float | None = 1) -> bool | None: ...

    def close(self) -> None: ...


class Progress:
    """A bar on stderr, or nothing."""

    def __init__(self, bars: tuple[_Bar, ...]) -> None:
        """Take over one bar, or none."""
        self._bars = bars

    @classmethod
    def off(cls) -> Progress:
        """No bar."""
        return cls(())

    @classmethod
    def of(cls, total: int, *, enabled: bool, what: str) -> Progress:
        """A bar over `total` things, if it is enabled."""
        if not enabled:
            return cls.off()
        from tqdm import tqdm  # costs start-up time that most programs need not pay

        return cls((tqdm(total=total, unit=f" {what}"),))

    def advance(self, count: int) -> None:
        """Note that more things are done."""
        for bar in self._bars:
            bar.update(count)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for bar in self._bars:
            bar.close()
