"""Work in order: what one person asks is done in the order asked, and nobody waits behind somebody else."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable


class Lanes:
    """One queue for each key, each worked by one task for as long as there is work."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[Callable[[], Awaitable[None]]]] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._closing = False

    def add(self, key: Hashable, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` after everything that `key` asked before. `work` does not raise. After `close`, nothing is taken."""
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
            await queue.popleft()()
        del self._waiting[key]

    async def close(self, patience_seconds: float) -> None:
        """Finish what is being done, begin nothing new: what was not begun is on disk and is done after the next start."""
        self._closing = True
        if self._workers:
            _, late = await asyncio.wait(self._workers, timeout=patience_seconds)
            for task in late:
                task.cancel()
