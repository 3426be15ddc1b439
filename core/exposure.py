"""Which working orders could make a holding larger, turn it round or open one: what a halt takes back, and what it leaves alone."""

from collections.abc import Callable, Sequence
from decimal import Decimal

from core.model import Order, Side

ZERO = Decimal(0)


def increasing(
    orders: Sequence[Order],
    held: Callable[[int], Decimal | None],
    worth: Callable[[Order], Decimal | None],
) -> tuple[Order, ...]:
    """The orders that could add to what is held, those of the largest `worth` first, and before them those whose worth is not known.

    `held` is the signed holding of an instrument; where that is None, not known, only purchases are named. On the side that closes a holding the oldest
    orders come first, as far as the holding goes; what lies beyond could turn it round. A stop or target goes with its entry while that
    works; afterwards it is measured by the holding that it protects, by itself, because one of a group cancels the other.
    """
    working = {order.number for order in orders}
    left: dict[int, Decimal] = {}
    found: list[Order] = []
    for order in sorted(orders, key=lambda o: o.number):
        known = held(order.con_id)
        holding = known or ZERO
        closes = holding > 0 if order.side is Side.SELL else holding < 0
        if order.protects:
            if (
                known is not None
                and order.parent not in working
                and not (closes and order.remaining <= abs(holding))
            ):
                found.append(order)
            continue
        room = left.setdefault(order.con_id, abs(holding))
        if closes and order.remaining <= room:
            left[order.con_id] = room - order.remaining
        else:
            found.append(order)

    def rank(order: Order) -> tuple[bool, Decimal, int]:
        value = worth(order)
        return value is not None, -(value or ZERO), order.number

    return tuple(sorted(found, key=rank))
