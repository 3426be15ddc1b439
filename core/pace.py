"""How fast it goes: the orders that left in the last day, as the rules of rate and value count them.

In memory, because it is looked at under the book's lock with every tap; loaded from the ledger, so that a restart forgets nothing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from core.model import Order, OrderState, Role, Sent

KEPT = timedelta(hours=26)
"""A day of the exchange can have 25 hours."""


class Pace:
    """Our own orders of the last day, each as it stands, and those from elsewhere that were changed here."""

    def __init__(self) -> None:
        self._sent: dict[int, Sent] = {}

    def note(self, orders: Sequence[Order], now: datetime, *, loaded: bool = False) -> None:
        """Orders that were sent, or have changed. When an order of an earlier run was filled or rejected is not known: it counts from its sending.

        One that was sent days ago counts too from when it fills.
        """
        for order in orders:
            if (
                (order.external and order.worth is None)
                or order.role is not Role.ENTRY
                or (loaded and now - order.sent_at > KEPT)
            ):
                continue
            before = self._sent.get(order.number)
            heard = order.sent_at if loaded else now
            filled_at = before.filled_at if before else None
            rejected_at = before.rejected_at if before else None
            if order.filled > 0 and filled_at is None:
                filled_at = heard
            if order.state is OrderState.REJECTED and rejected_at is None:
                rejected_at = heard
            at = before.at if before else order.sent_at
            known = before.worth if before and before.worth is not None else Decimal(0)
            if order.change is not None and order.worth is not None and order.worth > known:
                at = now  # what a change adds leaves now
            self._sent[order.number] = Sent(
                order.number, at, order.same_terms, order.worth, filled_at, rejected_at
            )
        for number in [n for n, sent in self._sent.items() if now - max(_moments(sent)) > KEPT]:
            del self._sent[number]

    @property
    def sent(self) -> tuple[Sent, ...]:
        """All of them, in no order."""
        return tuple(self._sent.values())


def _moments(sent: Sent) -> list[datetime]:
    return [moment for moment in (sent.at, sent.filled_at, sent.rejected_at) if moment is not None]
