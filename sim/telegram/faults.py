"""Bad days on order: faults that are armed through the control port and fire on calls of the bot."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sim.clock import Clock
from sim.telegram.flood import FloodLimit

#: What can go wrong, and how often it does where no count is given (None: until it is cleared).
KINDS: dict[str, int | None] = {
    "outage": None,  # every connection is dropped
    "429": 1,  # Too Many Requests with retry_after
    "409": 1,  # Conflict, as if another bot were polling
    "500": 1,  # Internal Server Error
    "garbage": 1,  # an answer that is no JSON
    "black_hole": 1,  # the call is taken and never answered
    "slow": 1,  # the call waits before it is performed
    "lost_answer": 1,  # the call is performed and the connection dropped instead of an answer
}


@dataclass
class Fault:
    """An armed fault. `left` is how often it still fires, None without a limit; `over` is set when it has been cleared."""

    kind: str
    method: str | None
    left: int | None
    until: datetime | None
    seconds: float
    retry_after: int
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def hits(self, method: str, now: datetime) -> bool:
        """Whether it strikes this call."""
        alive = self.left != 0 and (self.until is None or now < self.until)
        return alive and (self.method is None or self.method == method.lower())


class Faults:
    """The armed faults, first armed first fired, and how often each kind has fired."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._armed: list[Fault] = []
        self.flood = FloodLimit()
        self.fired: dict[str, int] = {}

    def arm(
        self, kind: str, method: str | None, count: int | None, seconds: float | None, retry_after: int
    ) -> Fault:
        """Arm a fault. `seconds` is how long a slow call waits, and for every other kind how long the fault lasts."""
        lasting = seconds is not None and kind != "slow"
        fault = Fault(
            kind=kind,
            method=method.lower() if method else None,
            left=count if count is not None else None if lasting else KINDS[kind],
            until=self._clock.now() + timedelta(seconds=seconds) if lasting and seconds is not None else None,
            seconds=seconds or 0.0,
            retry_after=retry_after,
        )
        self._armed.append(fault)
        return fault

    def flooded(self, chat: str) -> int:
        """Seconds to wait where a chat has heard too much, counted as "flood"; else 0."""
        seconds = self.flood.wait(chat, self._clock.now())
        if seconds:
            self.fired["flood"] = self.fired.get("flood", 0) + 1
        return seconds

    def clear(self) -> None:
        """Everything works again, and calls that hang in a black hole are dropped."""
        for fault in self._armed:
            fault.over.set()
        self._armed.clear()
        self.flood = FloodLimit()

    def strike(self, method: str) -> Fault | None:
        """The fault that strikes this call, counted; None where there is none."""
        now = self._clock.now()
        fault = next((fault for fault in self._armed if fault.hits(method, now)), None)
        if fault is None:
            return None
        if fault.left is not None:
            fault.left -= 1
        self.fired[fault.kind] = self.fired.get(fault.kind, 0) + 1
        return fault
