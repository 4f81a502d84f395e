from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable

# What models and stores get wrong first: nothing, blanks, line ends, other scripts, repetition.
TEXTS = [
    "Paris lies on the Seine.",
    "",
    "  two  spaces\n\nand lines\t",
    "北京是中国的首都。",
    "naïve 🚀 café",
    "Paris lies on the Seine.",
]


async def blocks_the_loop(work: Callable[[], Awaitable[object]]) -> bool:
    """Whether some work keeps the event loop from anything else for 0.1 s, each of three times.

    Work that blocks does so always, while a busy machine does so now and then.
    """
    for _ in range(3):
        if await _longest_block(work) < 0.1:
            return False
    return True


async def _longest_block(work: Callable[[], Awaitable[object]]) -> float:
    gaps = [0.0]

    async def tick() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.002)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    gc.disable()  # a full collection stops every thread, in a test process for a tenth of a second
    ticker = asyncio.create_task(tick())
    try:
        await asyncio.sleep(0)
        await work()
        await asyncio.sleep(0.005)
    finally:
        ticker.cancel()
        gc.enable()
    return max(gaps)
