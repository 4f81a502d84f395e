"""How a thread and an event loop wait for what is on its way."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from bge_onnx._runtime.calls import Pending, Ticket
from bge_onnx._runtime.progress import Progress

__all__ = ["await_done", "wait"]

# Seconds between two looks at how far a call with a progress bar has come.
_BAR_INTERVAL = 0.1


def wait(ticket: Ticket, bar: Progress) -> None:
    while not ticket.wait(_BAR_INTERVAL if bar.is_drawn else None):
        bar.show(ticket.answered)
    ticket.check()
    bar.advance(ticket.answered)


async def await_done(pending: Pending, rows: int, bar: Progress) -> None:
    """Wait without a thread: whoever finishes it calls back into the event loop."""
    if not pending.done:
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop was closed meanwhile, and with it whoever waited
                loop.call_soon_threadsafe(_set, woken)

        pending.when_done(wake)
        await woken
    pending.check()
    bar.advance(rows)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
