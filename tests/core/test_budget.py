"""The broker's message limit: orders and cancels are never queued, and a flood of questions leaves them room."""

import asyncio
from datetime import datetime

import pytest

from core.errors import Busy
from core.wire import MESSAGES_PER_SECOND, RESERVED_FOR_ORDERS, Budget
from tests.values import NOW


class Clock:
    """A clock that only moves when told to."""

    seconds = 0.0

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return self.seconds


async def test_orders_are_refused_rather_than_queued() -> None:
    """The message above the limit is refused, and a second later there is room again."""
    clock = Clock()
    budget = Budget(clock)
    for _ in range(MESSAGES_PER_SECOND):
        budget.take()
    with pytest.raises(Busy):
        budget.ensure()
    with pytest.raises(Busy, match="nothing was sent"):
        budget.take()
    clock.seconds += 1.0
    budget.take()


async def test_questions_leave_room_for_orders() -> None:
    """Questions wait before the part that is reserved, so that an order can leave at once."""
    clock = Clock()
    budget = Budget(clock)
    for _ in range(MESSAGES_PER_SECOND - RESERVED_FOR_ORDERS):
        await budget.wait()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(budget.wait(), 0.05)
    for _ in range(RESERVED_FOR_ORDERS):
        budget.take()
