"""What filled an order and what that cost: the broker tells commissions on the heels of executions, so they are waited for a moment."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from bot.services import Desk
from core.model import Order, Trade

COSTS_SECONDS = 1.0
"""How long the news of a fill wait for what is missing, counted from the fill."""


def patience(desk: Desk, filled_at: datetime) -> float:
    """Seconds that they may still wait; also where a clock was set back meanwhile no more than all of it."""
    age = (desk.clock.now() - filled_at).total_seconds()
    return min(max(COSTS_SECONDS - age, 0.0), COSTS_SECONDS)


async def told(desk: Desk, order: Order) -> tuple[Trade, ...]:
    """The executions that moved what is held, newest first; none as long as not all of them and their commissions are there."""
    trades = tuple(t for t in await desk.ledger.trades_of(order.number) if t.execution.moves_holding)
    return trades if is_whole(order, trades) else ()


async def awaited(desk: Desk, order: Order, filled_at: datetime) -> tuple[Trade, ...]:
    """The same, waited for as long as COSTS_SECONDS allow."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    until = loop.time() + patience(desk, filled_at)
    with desk.ledger.watched(changed.set):
        while not (trades := await told(desk, order)) and loop.time() < until:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await changed.wait()
            changed.clear()
    return trades


def is_whole(order: Order, trades: Sequence[Trade]) -> bool:
    """Whether the trades are all of what has filled, leg by leg, each with its commission."""
    moved: dict[int, Decimal] = {}
    for done in (trade.execution for trade in trades):
        moved[done.con_id] = moved.get(done.con_id, Decimal(0)) + done.side.sign * done.quantity
    return moved == dict(order.moves(order.filled)) and all(t.commission is not None for t in trades)
