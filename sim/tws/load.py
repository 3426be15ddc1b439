"""Load on purpose: quotes far faster than any market's, so that a program can be measured under them."""

import asyncio
from collections.abc import Callable

SLICE_SECONDS = 0.01
MOST_AT_ONCE_SECONDS = 0.1
"""What a busy machine could not send in time is left out beyond this, so that no burst follows a pause."""


class Flood:
    """Calls `pour` with how many ticks are due, a hundred times a second, so that there are so many a second."""

    def __init__(self, pour: Callable[[int], None]) -> None:
        self._pour = pour
        self._running: asyncio.Task[None] | None = None

    def set(self, per_second: int) -> None:
        """So many ticks a second from now on; 0 ends it."""
        if self._running is not None:
            self._running.cancel()
        self._running = asyncio.create_task(self._run(per_second), name="tws flood") if per_second else None

    async def _run(self, per_second: int) -> None:
        clock = asyncio.get_running_loop().time
        owed, last = 0.0, clock()
        while True:
            await asyncio.sleep(SLICE_SECONDS)
            now = clock()
            owed = min(owed + (now - last) * per_second, MOST_AT_ONCE_SECONDS * per_second)
            last = now
            self._pour(int(owed))
            owed -= int(owed)
