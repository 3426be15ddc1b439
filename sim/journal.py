"""What happened, in order: numbered entries that can be listened to, read again, and waited for."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from sim.clock import Clock

Event = dict[str, Any]


class Journal:
    """Entries {"seq" (from 1), "at" (ISO 8601, UTC, simulated), "at_ns" (perf_counter_ns, real), "kind", ...}; keeps the latest `keep`."""

    def __init__(self, clock: Clock, keep: int = 20_000) -> None:
        self._clock = clock
        self._events: deque[Event] = deque(maxlen=keep)
        self._waiting: set[asyncio.Future[None]] = set()
        self._listeners: list[Callable[[Event], None]] = []
        self.last = 0

    def record(self, kind: str, **facts: Any) -> Event:
        """Something happened now. Returns the entry as it is kept: later changes of it are seen by later readers."""
        self.last += 1
        event = {
            "seq": self.last,
            "at": self._clock.now().isoformat(),
            "at_ns": time.perf_counter_ns(),
            "kind": kind,
            **facts,
        }
        self._events.append(event)
        for listener in tuple(self._listeners):
            listener(event)
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        return event

    def latest(self) -> Event | None:
        """The newest entry, None before the first."""
        return self._events[-1] if self._events else None

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with every entry from now on, until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def after(self, seq: int) -> list[Event]:
        """The entries after number `seq`."""
        if self.last <= seq or not self._events:
            return []
        first = self._events[0]["seq"]
        return [self._events[i] for i in range(max(seq + 1 - first, 0), len(self._events))]

    async def wait(self, seq: int, seconds: float) -> list[Event]:
        """The entries after number `seq`: at once where there are any, else as soon as one comes, none after `seconds`."""
        if self.last <= seq and seconds > 0:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                await asyncio.wait_for(waiter, seconds)
            except TimeoutError:
                return []
            finally:
                self._waiting.discard(waiter)
        return self.after(seq)

    def clear(self) -> None:
        """Forget the entries; the numbering goes on."""
        self._events.clear()
