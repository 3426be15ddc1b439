"""Stops and targets that protect a holding, and what a sale of it has to do with them: pure arithmetic over the open orders."""

from collections.abc import Sequence
from decimal import Decimal

from core.model import Order, Side, Ticket


def protecting(con_id: int, orders: Sequence[Order]) -> tuple[Order, ...]:
    """Our own open orders that would close a long holding of the instrument."""
    return tuple(
        o for o in orders if o.con_id == con_id and o.protects and o.side is Side.SELL and o.remaining > 0
    )


def in_the_way(ticket: Ticket, held: Decimal | None, orders: Sequence[Order]) -> tuple[Order, ...]:
    """The protective orders that cannot stay as they are beside a sale: with it they could sell more than is held.

    A stop and a target of one bracket cancel each other, so each is measured alone against what is left after the sale.
    """
    if ticket.side is not Side.SELL or held is None:
        return ()
    left = held - ticket.quantity
    return tuple(o for o in protecting(ticket.instrument.con_id, orders) if o.remaining > left)


def left_for(order: Order, held: Decimal, sold: Decimal) -> Decimal:
    """How many shares a protective order may still cover once `sold` of `held` are gone; zero means that it has to go."""
    return max(min(order.remaining, held - sold), Decimal(0))
