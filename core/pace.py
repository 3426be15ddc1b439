"""How fast it goes: the orders that left in the last day, as the rules of rate and value count them.

In memory, because it is looked at under the book's lock with every tap; loaded from the ledger, so that a restart forgets nothing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from core.model import Order, OrderState, Role, Sent

KEPT = timedelta(hours=26)
"""A day of the exchange can have 25 hours."""


class Pace:
    """Our own orders of the last day, each as it stands."""

    def __init__(self) -> None:
        self._sent: dict[int, Sent] = {}

    def note(self, orders: Sequence[Order], now: datetime, *, loaded: bool = False) -> None:
        """Orders that were sent, or have changed. When an order of an earlier run was rejected is not known: not before it was sent."""
        for order in orders:
            if order.external or order.role is not Role.ENTRY or now - order.sent_at > KEPT:
                continue
            before = self._sent.get(order.number)
            rejected_at = before.rejected_at if before else None
            if order.state is OrderState.REJECTED and rejected_at is None:
                rejected_at = order.sent_at if loaded else now
            self._sent[order.number] = Sent(
                order.number, order.sent_at, order.same_terms, order.worth, order.filled > 0, rejected_at
            )
        for number in [n for n, sent in self._sent.items() if now - sent.at > KEPT]:
            del self._sent[number]

    @property
    def sent(self) -> tuple[Sent, ...]:
        """All of them, in no order."""
        return tuple(self._sent.values())
