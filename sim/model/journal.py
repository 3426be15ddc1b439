"""What happened, in order: a bounded list of numbered entries that can be waited on."""

import asyncio
import time
from collections import deque
from typing import Any

from sim.clock import Clock


class Journal:
    """Entries {"seq", "at" (ISO 8601, UTC), "at_ns" (perf_counter_ns), ...}; the oldest beyond `keep` are forgotten."""

    def __init__(self, clock: Clock, keep: int) -> None:
        self._clock = clock
        self._entries: deque[dict[str, Any]] = deque(maxlen=keep)
        self._news = asyncio.Event()
        self.last = 0

    def add(self, **entry: Any) -> dict[str, Any]:
        """Append `entry`, wake who waits, and return it as it is kept: later changes of it are seen by later readers."""
        self.last += 1
        kept = {
            "seq": self.last,
            "at": self._clock.now().isoformat(),
            "at_ns": time.perf_counter_ns(),
        } | entry
        self._entries.append(kept)
        self._news.set()
        self._news = asyncio.Event()
        return kept

    def after(self, seq: int) -> list[dict[str, Any]]:
        """Entries numbered above `seq`."""
        return [entry for entry in self._entries if entry["seq"] > seq]

    async def wait(self, seq: int, seconds: float) -> list[dict[str, Any]]:
        """Entries above `seq` as soon as there is one, or none after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := self.after(seq)):
                    await self._news.wait()
        except TimeoutError:
            return []
        return found

    def clear(self) -> None:
        """Forget the entries; the numbering goes on."""
        self._entries.clear()
