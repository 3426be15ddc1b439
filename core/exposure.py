"""Which working orders could make a holding larger, turn it round or open one: what a halt takes back, and what it leaves alone."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal

from core.model import Order, OrderState, Side
from core.protection import group_name

ZERO = Decimal(0)


def increasing(
    orders: Sequence[Order],
    held: Callable[[int], Decimal | None],
    worth: Callable[[Order], Decimal | None],
) -> tuple[Order, ...]:
    """The orders that could add to what is held, those of the largest `worth` first, and before them those whose worth is not known.

    `held` is the signed holding of an instrument; where that is None, not known, only purchases are named. On the side that closes a holding, stops and
    targets come first and then the oldest orders, as far as the holding goes; what lies beyond could turn it round. Of stops and targets
    that cancel each other only the larger counts. While their entry works they go with it, and count for what it has bought.
    """
    orders = [o for o in orders if held(o.con_id) is not None or (o.side is Side.BUY and not o.protects)]
    working = {order.number: order for order in orders}
    left: dict[int, Decimal] = {}
    found: list[Order] = []
    for order in orders:
        left |= {con_id: abs(held(con_id) or ZERO) for con_id, _ in order.moves(order.remaining)}

    def take(members: Sequence[Order], most: Decimal) -> bool:
        """Whether it closes what is held, in every part of it; then that much is spoken for."""
        moves = members[0].moves(most)
        signed = members[0].moves(Decimal(1))
        if any((held(con_id) or ZERO) * sign >= 0 for con_id, sign in signed):
            return False
        if any(abs(moved) > left[con_id] for con_id, moved in moves):
            return False
        for con_id, moved in moves:
            left[con_id] -= abs(moved)
        return True

    waking = []
    for members in _groups(orders):
        entry = next((working[o.parent] for o in members if o.parent in working), None)
        most = max(o.remaining for o in members)
        if entry is None:
            waking.append((members, most))
            continue
        bought = min(most, entry.filled)
        # An entry whose fate is not known may have bought more than it told, and then they sell that much.
        if entry.state is OrderState.UNKNOWN and take(members, most):
            continue
        if not take(members, bought) and bought > 0:
            found += members  # what was bought with them is not held any more
    for members, most in waking:
        if not take(members, most):
            found += members
    found += [o for o in _oldest(orders) if not o.protects and not take((o,), o.remaining)]

    def rank(order: Order) -> tuple[bool, Decimal, int]:
        value = worth(order)
        return value is not None, -(value or ZERO), order.number

    return tuple(sorted(found, key=rank))


def _oldest(orders: Sequence[Order]) -> list[Order]:
    return sorted(orders, key=lambda o: o.number)


def _groups(orders: Sequence[Order]) -> Iterator[tuple[Order, ...]]:
    """Stops and targets that cancel each other, the oldest first."""
    found: dict[tuple[str, int, Side], list[Order]] = {}
    for order in _oldest(orders):
        if order.protects:
            found.setdefault((group_name(order), order.con_id, order.side), []).append(order)
    return (tuple(members) for members in found.values())


def opened(orders: Sequence[Order]) -> tuple[Order, ...]:
    """The orders that opened or added something when they were sent: the best answer while what is held is not known."""
    return tuple(order for order in orders if not order.protects and order.worth is not None)
