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


def test_what_is_kept_is_there_when_it_is_taken() -> None:
    """Room that was kept for cancels which are being written down is theirs, whatever questions use up meanwhile; it is counted once."""
    budget = Budget(Clock())
    budget.keep(3)
    for _ in range(MESSAGES_PER_SECOND - 3):
        budget.note()
    for _ in range(3):
        budget.take()
    with pytest.raises(Busy):
        budget.take()


def test_what_is_kept_counts_as_used() -> None:
    """Nobody else finds room where it is kept."""
    budget = Budget(Clock())
    budget.keep(MESSAGES_PER_SECOND)
    with pytest.raises(Busy):
        budget.ensure()


def test_keeping_more_than_there_is_keeps_none() -> None:
    """A refusal leaves everything as it was."""
    budget = Budget(Clock())
    budget.take()
    with pytest.raises(Busy, match="nothing was sent"):
        budget.keep(MESSAGES_PER_SECOND)
    budget.ensure(MESSAGES_PER_SECOND - 1)
    budget.take(MESSAGES_PER_SECOND - 1)


def test_what_was_kept_and_not_used_goes_with_the_next() -> None:
    """An attempt whose commit failed leaves nothing behind that a later one could take for its own."""
    budget = Budget(Clock())
    budget.keep(40)
    budget.keep(2)
    budget.take(2)
    budget.take(MESSAGES_PER_SECOND - 42)  # what was given up counts until its second is over
    with pytest.raises(Busy):
        budget.take()


def test_what_was_kept_longer_than_a_second_ago_leaves_now_and_counts_now() -> None:
    """A slow disk between keeping and sending: the messages leave all the same, and fill the second in which they leave."""
    clock = Clock()
    budget = Budget(clock)
    budget.keep(3)
    clock.seconds += 1.5
    budget.take(3)
    budget.ensure(MESSAGES_PER_SECOND - 3)
    with pytest.raises(Busy):
        budget.ensure(MESSAGES_PER_SECOND - 2)


def test_more_than_was_kept_is_taken_from_what_is_left() -> None:
    """A bracket that is larger than what was kept for it has to find its room."""
    budget = Budget(Clock())
    budget.keep(1)
    budget.take(3)
    with pytest.raises(Busy):
        budget.take(MESSAGES_PER_SECOND)
