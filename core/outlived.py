"""Orders for options that outlive their reason: what they were to close was closed elsewhere, or the shares behind a call were sold.

Filled now they would open what nobody has approved, so they are cancelled, and their owner is told. A fill under way looks like that for a
moment, while some of its executions are told and others are not; so it counts only when it lasts.
"""

import logging

from core import risk
from core.errors import BrokerError, StorageError
from core.executor import Executor
from core.model import Order, OrderState
from core.orderbook import OrderBook
from core.ports import Broker, Clock

log = logging.getLogger(__name__)

LASTS_SECONDS = 10.0
SUSPECT_SECONDS = 1.0
"""How often it is looked at an order that may have outlived its reason: what only comes and goes must not count as lasting."""
CLOSED = "What it was to close is not held any more, or not all of it: filled now it would open what you have not approved, so it is cancelled."
BARE = "The shares behind the call that it sells are gone and its loss would have no end, so it is cancelled."
_WORKING = frozenset({OrderState.WORKING, OrderState.PARTIAL, OrderState.SUSPENDED})


class Outlived:
    """Watches the orders for options, for ever."""

    def __init__(self, executor: Executor, broker: Broker, book: OrderBook, clock: Clock) -> None:
        self._executor, self._broker, self._book, self._clock = executor, broker, book, clock
        self._since: dict[int, float] = {}

    async def run(self) -> None:
        """Look whenever an order or a holding has changed."""
        await self._book.keep(self._look)

    async def _look(self) -> float | None:
        """Cancel what has been without its reason for long enough; when to look again."""
        mine = [o for o in self._book.orders if self._concerns(o)]
        if not mine:
            self._since.clear()
            return None
        moment, now = self._executor.cards.moment(None), self._clock.monotonic()
        if not self._broker.link.ready or moment.positions is None:
            self._since.clear()
            return LASTS_SECONDS
        gone = [o for o in mine if risk.outlived(o, moment)]
        self._since = {o.number: self._since.get(o.number, now) for o in gone}
        for order in gone:
            if now - self._since[order.number] >= LASTS_SECONDS:
                await self._end(order)
        return SUSPECT_SECONDS if self._since else LASTS_SECONDS

    def _concerns(self, order: Order) -> bool:
        options = order.option is not None or bool(order.legs)
        return options and not order.external and order.state in _WORKING and not order.cancel_requested_at

    async def _end(self, order: Order) -> None:
        text = CLOSED if order.worth is None else BARE
        try:
            async with self._book.lock:
                current = self._book.current(order)
                moment = self._executor.cards.moment(None)
                if current and self._concerns(current) and risk.outlived(current, moment):
                    await self._executor.take_back(current, text)
        except (BrokerError, StorageError) as problem:
            log.warning("order #%s was not cancelled yet: %s", order.number, problem)
