"""Moves the limit of a plan's order towards the market, step by step, and never past what its owner approved on the card.

Each step is a change of the order like any other: written down, sent, true when the broker shows it. After a restart it goes on from
where the order stands.
"""

import logging
from decimal import ROUND_CEILING, Decimal

from core.errors import BrokerError, StorageError
from core.executor import Executor
from core.model import Order
from core.orderbook import OrderBook
from core.ports import Clock

log = logging.getLogger(__name__)

EVERY_SECONDS = 5.0
"""How long each price gets to be taken."""
MOST_TRIES = 3
"""How often a step is asked for that does not come true, in growing pauses: a broker that refuses it would refuse it for ever."""
TICKS = (Decimal("0.10"), Decimal("0.05"), Decimal("0.01"))
"""The ticks that prices of options have; an order says by its two limits which it is on."""
HALF = Decimal("0.5")


def next_limit(limit: Decimal, final: Decimal) -> Decimal:
    """The next limit on the way to the final one: half of what is left, a tick at least. The final one when it is there."""
    left = final - limit
    tick = next((tick for tick in TICKS if not limit % tick and not final % tick), TICKS[-1])
    step = (abs(left) * HALF / tick).to_integral_value(ROUND_CEILING) * tick
    return final if step >= abs(left) else limit + step.copy_sign(left)


class Repricer:
    """Watches the orders that may still be repriced, for ever."""

    def __init__(self, executor: Executor, book: OrderBook, clock: Clock) -> None:
        self._executor, self._book, self._clock = executor, book, clock
        self._since: dict[
            int, tuple[Decimal, float, int]
        ] = {}  # by order: its limit, since when (monotonic seconds), and how often a step from there was asked for

    async def run(self) -> None:
        """Look whenever an order has changed, and when a step is due."""
        await self._book.keep(self._step)

    def _movable(self) -> list[Order]:
        return [
            o
            for o in self._book.orders
            if o.final_limit is not None
            and o.limit_price is not None
            and o.final_limit != o.limit_price
            and not o.external
        ]

    async def _step(self) -> float | None:
        """Take the steps that are due; how many seconds until the next one, None where there is none to come."""
        now, movable = self._clock.monotonic(), self._movable()
        numbers = {o.number for o in movable}
        self._since = {n: known for n, known in self._since.items() if n in numbers}
        waits: list[float] = []
        for order in movable:
            limit, final = order.limit_price, order.final_limit
            assert limit is not None
            assert final is not None
            known = self._since.get(order.number)
            if known is None or known[0] != limit:
                known = self._since[order.number] = (limit, now, 0)
            _, since, tries = known
            if tries >= MOST_TRIES:
                continue
            left = EVERY_SECONDS * 2**tries - (now - since)
            if left <= 0:
                tries += await self._move(order.number, next_limit(limit, final))
                self._since[order.number] = (limit, now, tries)
                left = EVERY_SECONDS * 2**tries
            waits.append(left)
        return min(waits, default=None)

    async def _move(self, number: int, price: Decimal) -> bool:
        """Whether it was asked."""
        try:
            return await self._executor.reprice(number, price)
        except (BrokerError, StorageError) as problem:
            log.warning("order #%s was not repriced: %s", number, problem)
            return False
