"""Work in order: what one person asks is done in the order asked, nobody waits behind somebody else, and a flood is counted."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable

log = logging.getLogger(__name__)


class Lanes:
    """One queue for each key, each worked by one task for as long as there is work."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[Callable[[], Awaitable[None]]]] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._closing = False

    def add(self, key: Hashable, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` after everything that `key` asked before. Work that raises is logged and over. After `close`, nothing is taken."""
        if self._closing:
            return
        if key in self._waiting:
            self._waiting[key].append(work)
            return
        self._waiting[key] = deque([work])
        worker = asyncio.get_running_loop().create_task(self._run(key))
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)

    async def _run(self, key: Hashable) -> None:
        queue = self._waiting[key]
        while queue and not self._closing:
            try:
                await queue.popleft()()
            except Exception:
                log.exception("work in the lane of %s failed", key)
        del self._waiting[key]

    async def close(self, patience_seconds: float) -> None:
        """Finish what is being done, begin nothing new: what was not begun is on disk and is done after the next start."""
        self._closing = True
        if self._workers:
            _, late = await asyncio.wait(self._workers, timeout=patience_seconds)
            for task in late:
                task.cancel()


class Tally:
    """Counts what is refused, in bounded memory: of each key the first in a minute is worth a line, the rest become one number."""

    SECONDS = 60.0

    def __init__(self, most: int = 200) -> None:
        self._most = most
        self._since = 0.0
        self._counts: dict[Hashable, int] = {}

    def count(self, key: Hashable, now: float) -> bool:
        """Count one; True where it is the first of its key. Keys beyond the most that are told apart are counted under None."""
        if not self._counts:
            self._since = now
        if key not in self._counts and len(self._counts) >= self._most:
            key = None
        first = key not in self._counts and key is not None
        self._counts[key] = self._counts.get(key, 0) + 1
        return first

    def over(self, now: float) -> dict[Hashable, int]:
        """Once the minute is over: how many came of each key beside its first, where there were any. A new minute begins with the next."""
        if not self._counts or now - self._since < self.SECONDS:
            return {}
        counts, self._counts = self._counts, {}
        rest = {key: count - (key is not None) for key, count in counts.items()}
        return {key: count for key, count in rest.items() if count}
