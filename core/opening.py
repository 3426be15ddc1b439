"""What an account held before its executions were known: today's holdings with every known execution taken back, newest first.

Going back, a purchase that added to a holding leaves it at the cost that it had before, and a sale leaves the cost of one unit as it
is. Behind a holding that came to nothing no average is left to go by: there the broker's own realised gain tells the basis, and where it is
silent too, the trade is taken to have brought neither gain nor loss. All of it is provisional, and the lots say so. Costs are those of a
whole contract, as the broker reckons them, prices of executions are per unit; a combination counts by its legs.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from core.lots import in_time
from core.model import Commission, Execution, History, OpeningLot, Position

ZERO = Decimal(0)
FRESH_SECONDS = 30.0


def opening_lots(
    account: str, positions: Sequence[Position], history: History, now: datetime
) -> tuple[OpeningLot, ...] | None:
    """The lots that explain `positions` together with the executions of `history`.

    None while that cannot be told: a cost is not known yet, or an execution is so fresh that its positions and commission may follow.
    """
    told = {p.con_id: p for p in positions if p.account == account}
    trades: defaultdict[int, list[Execution]] = defaultdict(list)
    for execution in in_time(e for e in history.executions if e.account == account):
        if abs((now - execution.time).total_seconds()) < FRESH_SECONDS:
            return None
        if execution.moves_holding:
            trades[execution.con_id].append(execution)
    fees = {c.key: c for c in history.commissions}
    lots = []
    for con_id in sorted({*told, *trades}):
        held, done = told.get(con_id), trades[con_id]
        quantity = held.signed_quantity if held else ZERO
        before = quantity - sum((e.side.sign * e.quantity for e in done), ZERO)
        if not before:
            continue
        cost = held.average_cost if held and quantity else None
        if quantity and cost is None:
            return None
        for execution in reversed(done):
            quantity, cost = _before(execution, quantity, cost, fees.get(execution.key))
        known: Position | Execution = held or done[0]
        lots.append(
            OpeningLot(account, con_id, known.symbol, known.currency, before, cost or ZERO, now, known.option)
        )
    return tuple(lots)


def _before(
    trade: Execution, quantity: Decimal, cost: Decimal | None, paid: Commission | None
) -> tuple[Decimal, Decimal | None]:
    """(signed quantity, cost of one unit) before a trade, from those after it."""
    moved, price = trade.side.sign * trade.quantity, trade.price * trade.multiplier
    before = quantity - moved
    fee = paid.amount if paid and paid.currency == trade.currency and paid.amount.is_finite() else ZERO
    if not before:
        return before, None
    if cost is not None and before * quantity > 0:
        if abs(before) > abs(quantity):
            return before, cost
        return before, (cost * quantity - price * moved - fee) / before
    # It went through zero, or came to it: what was closed is all that was there.
    if paid is None or paid.realized is None:
        return before, price
    share = fee * abs(before) / trade.quantity
    return before, (price * before - share - paid.realized) / before
