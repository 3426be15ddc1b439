"""Stops and targets that protect a holding, and what a sale of it has to do with them: pure arithmetic over the open orders.

One rule holds at every moment: what works to sell a share, and for each group of protection the most that one of its orders may still
sell, is together not more than is held. The orders of a group cancel each other; two groups do not, so they add up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from core.model import Order, OrderState, Side, Ticket

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Group:
    """Protective orders that cancel each other, the oldest first; together they may sell `live` shares of what is held.

    `entry` is the order that they came with, while it may still buy: they count for what it has bought, and cannot be moved without
    taking the protection from what it has yet to buy.
    """

    members: tuple[Order, ...]
    live: Decimal
    entry: Order | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sale does to protection: each order that has to move, with what it may still sell (zero: it goes).

    `stuck` are entries at work whose protection would have to move too, which it cannot.
    """

    moves: tuple[tuple[Order, Decimal], ...] = ()
    stuck: tuple[Order, ...] = ()


def protecting(con_id: int, orders: Iterable[Order]) -> tuple[Order, ...]:
    """Our own open orders that would close a long holding of the instrument."""
    return tuple(
        o for o in orders if o.con_id == con_id and o.protects and o.side is Side.SELL and o.remaining > 0
    )


def group_name(order: Order) -> str:
    """Equal for protective orders that cancel each other: a group made by hand, or the children of one entry."""
    return order.oca or order.card


def _by_group(orders: Iterable[Order]) -> list[tuple[Order, ...]]:
    found: dict[str, tuple[Order, ...]] = {}
    for order in sorted(orders, key=lambda o: o.number):
        found[group_name(order)] = (*found.get(group_name(order), ()), order)
    return list(found.values())


def groups(con_id: int, orders: Sequence[Order]) -> tuple[Group, ...]:
    """The protection of an instrument by group, the oldest first."""
    entries = {o.number: o for o in orders if not o.protects and o.state.is_open}
    found = []
    for members in _by_group(protecting(con_id, orders)):
        entry = next((entries[o.parent] for o in members if o.parent in entries), None)
        live = max(o.remaining for o in members)
        if entry is not None and entry.state is not OrderState.UNKNOWN:
            live = min(live, entry.filled)  # the rest of them sleeps until more is bought
        found.append(Group(members, live, entry))
    return tuple(found)


def room(con_id: int, held: Decimal, orders: Sequence[Order]) -> Decimal:
    """How many shares are held beyond what working sales and protection may sell. Never below zero, if all is well."""
    selling = sum(
        (o.remaining for o in orders if o.con_id == con_id and o.side is Side.SELL and not o.protects), ZERO
    )
    return held - selling - sum((group.live for group in groups(con_id, orders)), ZERO)


def _allot(shares: Decimal, wanted: Iterable[Decimal]) -> list[Decimal]:
    """To each what it wants, as long as there are shares."""
    given = []
    for want in wanted:
        given.append(max(min(want, shares), ZERO))
        shares -= given[-1]
    return given


def plan(ticket: Ticket, held: Decimal | None, orders: Sequence[Order]) -> Plan:
    """What has to move so that the rule holds with the sale beside it; nothing where it holds as things stand.

    The oldest group moves first, because the books sell the oldest shares first: the newest shares keep their protection.
    """
    if ticket.side is not Side.SELL or held is None:
        return Plan()
    con_id = ticket.instrument.con_id
    standing = groups(con_id, orders)
    ranked = [*(g for g in standing if g.entry), *(g for g in reversed(standing) if not g.entry)]
    free = room(con_id, held, orders) + sum((g.live for g in standing), ZERO) - ticket.quantity
    moves: list[tuple[Order, Decimal]] = []
    stuck: list[Order] = []
    for group, left in zip(ranked, _allot(free, [g.live for g in ranked]), strict=True):
        if left < group.live and group.entry:
            stuck.append(group.entry)
        elif left < group.live:
            moves += [(order, left) for order in group.members]
    return Plan(tuple(moves), tuple(stuck))


def in_the_way(ticket: Ticket, held: Decimal | None, orders: Sequence[Order]) -> tuple[Order, ...]:
    """The protective orders that cannot stay as they are beside a sale."""
    return tuple(order for order, _ in plan(ticket, held, orders).moves)


def restore(
    con_id: int, held: Decimal, orders: Sequence[Order], moved: Sequence[Order]
) -> tuple[tuple[Order, Decimal], ...]:
    """How many shares each order that was moved may protect again; those that are not named none.

    `moved` bear the quantity that they once had and what was filled since. A group of which an order was filled whole is over. The
    newest come first, as they were the last to go.
    """
    mine = {o.number for o in moved}
    free = room(con_id, held, [o for o in orders if o.number not in mine])
    lost = [g for g in reversed(_by_group(moved)) if all(o.state is not OrderState.FILLED for o in g)]
    wanted = [max(min(o.quantity - o.filled for o in group), ZERO) for group in lost]
    given = zip(lost, _allot(free, wanted), strict=True)
    return tuple((order, count) for group, count in given if count > 0 for order in group)


def torn(moved: Sequence[Order]) -> tuple[Order, ...]:
    """Orders that stand in groups whose other half is gone: a new half would not cancel them, nor they it."""
    halves = [
        group
        for group in _by_group(moved)
        if any(not o.state.is_open for o in group) and all(o.state is not OrderState.FILLED for o in group)
    ]
    return tuple(o for group in halves for o in group if o.state.is_open)
