"""How an order moves on evidence: pure functions from (order, what the broker said) to the order as it now stands.

Statuses arrive twice, late and out of order; a fill can come before its acknowledgement. So what is filled only grows, an order that
is over stays over for a stray status, and only a full snapshot of the broker's book (`snapshot=True`) can bring it back.
"""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from core.changes import settled
from core.model import Execution, Order, OrderReport, OrderState

WORKING = frozenset({"PendingSubmit", "ApiPending", "PreSubmitted", "Submitted", "PendingCancel"})
CANCELLED = frozenset({"Cancelled", "ApiCancelled"})

# Messages about an order that leave it alive: warnings, "order held until the open", modify and cancel requests that failed.
# Source: the broker's table of message codes; 10147-10149 and 161 answer a cancel, 104-106 and 10326 a modify.
NOT_FINAL = frozenset(
    {
        104,
        105,
        106,
        161,
        165,
        202,
        329,
        399,
        404,
        434,
        492,
        10147,
        10148,
        10149,
        10167,
        10197,
        10311,
        10326,
        10349,
    }
    | set(range(2100, 2200))  # the broker's warnings
)

# What answers a cancel, and a change, that could not be done. Other errors may concern a change too: they are its reason, once it is
# proved lost.
CANCEL_REFUSED = frozenset({161, 10147, 10148, 10149})
CHANGE_REFUSED = frozenset({103, 104, 105, 106, 110, 201, 203, 321, 10326})


def may_concern_change(code: int) -> bool:
    """Whether a message about an order with a change on its way is no mere warning, so that the change may have been refused."""
    return code in CHANGE_REFUSED or code not in NOT_FINAL


def belongs(order: Order, report: OrderReport | Execution, epoch: int | None = None) -> bool:
    """Whether evidence is about this order: by order_ref, then perm_id, then the pair of client and order id while neither is known.

    With `epoch`, ids count only for an order of that connection: the broker may begin its order ids anew, and then an order that
    was never seen would be taken for its successor.
    """
    if order.order_ref and report.order_ref:
        return order.order_ref == report.order_ref
    if order.perm_id and report.perm_id:
        return order.perm_id == report.perm_id
    if epoch is not None and order.epoch != epoch:
        return False
    return report.order_id > 0 and (order.client_id, order.order_id) == (report.client_id, report.order_id)


def fills(order: Order, execution: Execution) -> bool:
    """Whether an execution of an order says how much of it is filled: of a combination's only those of the whole, not those of its legs."""
    return order.kind != "BAG" or execution.kind == "BAG"


def overclaims(order: Order, report: OrderReport, *, snapshot: bool = False) -> bool:
    """Whether more is said to be filled than the order has, and than its executions told: garbage, or a word about another order.

    Only a full snapshot may tell in the same breath that the order is larger than we knew. One of unknown size (0) has no bound.
    """
    told = report.quantity if snapshot and report.quantity else Decimal(0)
    size = max(whole(order), told)
    return size > 0 and (report.filled or Decimal(0)) > max(size, order.filled)


def advance(order: Order, report: OrderReport, *, snapshot: bool = False) -> Order:
    """The order after the broker's word on it. A word that overclaims is no evidence of anything, and leaves the order as it was."""
    if overclaims(order, report, snapshot=snapshot):
        return order
    # An open order that is told as filled comes without how much, ahead of the status and the executions that say it: it is all of it.
    told = whole(order) if report.filled is None and report.status == "Filled" else report.filled
    filled = max(order.filled, told or Decimal(0))
    newer = report.average_price is not None and (report.filled or Decimal(0)) >= order.filled
    known = replace(
        order,
        perm_id=report.perm_id or order.perm_id,
        filled=filled,
        average_price=report.average_price if newer else order.average_price,
        quantity=report.quantity or order.quantity,
        confirmed_quantity=report.quantity or order.confirmed_quantity,
        limit_price=report.limit_price if report.limit_price is not None else order.limit_price,
        stop_price=report.stop_price if report.stop_price is not None else order.stop_price,
    )
    return settled(replace(known, state=_state(known, report, snapshot=snapshot)))


def whole(order: Order) -> Decimal:
    """The quantity at which the order is filled: while a larger one is asked, that one, since the broker may have it already."""
    return order.quantity if order.change is None else max(order.quantity, order.change.quantity)


def _state(order: Order, report: OrderReport, *, snapshot: bool) -> OrderState:
    over = not order.state.is_open and order.state is not OrderState.NOT_AT_BROKER
    if report.status == "Filled" or order.filled >= whole(order) > 0:
        return OrderState.FILLED
    if over and not snapshot:
        return order.state
    if report.status in WORKING:
        return OrderState.PARTIAL if order.filled else OrderState.WORKING
    if report.status in CANCELLED:
        rejected = order.reason and not order.cancel_requested_at and not order.filled
        return OrderState.REJECTED if rejected else OrderState.CANCELLED
    if report.status == "Inactive":
        return OrderState.REJECTED if order.reason else OrderState.SUSPENDED
    return order.state


def filled_by(order: Order, executions: Iterable[Execution], *, corrected: bool = False) -> Order:
    """The order after all of its executions that are known (the newest revision of each).

    Fewer than the broker's statuses told of are not all of them, so they change nothing; unless one was `corrected`, whose word counts.
    """
    mine = [e for e in executions if belongs(order, e) and fills(order, e)]
    total = sum((e.quantity for e in mine), Decimal(0))
    if total < order.filled and corrected:
        return replace(order, filled=total, average_price=_average(mine, total))
    if total <= 0 or total < order.filled:
        return order
    state = order.state
    if total >= whole(order) > 0:
        state = OrderState.FILLED
    elif state in {OrderState.SENDING, OrderState.UNKNOWN, OrderState.WORKING, OrderState.NOT_AT_BROKER}:
        state = OrderState.PARTIAL
    perm_id = order.perm_id or mine[0].perm_id or None
    return settled(
        replace(order, filled=total, average_price=_average(mine, total), state=state, perm_id=perm_id)
    )


def _average(executions: list[Execution], total: Decimal) -> Decimal | None:
    return sum((e.quantity * e.price for e in executions), Decimal(0)) / total if total else None


def with_reason(order: Order, words: str) -> Order:
    """The order with what the broker said against it; its state waits for evidence."""
    return replace(order, reason=words)


def is_in_doubt(stop: Order) -> bool:
    """Whether a stop does not, or may not, protect, and nobody here asked for that."""
    if stop.state is OrderState.CANCELLED:
        return stop.cancel_requested_at is None
    return not stop.filled and stop.state not in {
        OrderState.WORKING,
        OrderState.PARTIAL,
        OrderState.FILLED,
    }
