"""Our book against the broker's: a pure comparison that says what each of our orders really is, and which orders are not ours.

Nothing is resent and nothing is guessed: an order of ours that the broker does not show is UNKNOWN, unless the broker itself
said that it refused it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from core.lifecycle import advance, belongs, filled_by, overclaims
from core.model import BrokerBook, Execution, Order, OrderReport, OrderState, Side
from core.names import Index


def reconcile(
    ours: Sequence[Order],
    book: BrokerBook,
    executions_of: Callable[[Order], Sequence[Execution]],
    now: datetime,
    next_number: int,
    corrected: frozenset[str] = frozenset(),
) -> tuple[tuple[Order, ...], tuple[Order, ...]]:
    """(our orders as they now stand, orders found at the broker that we did not know).

    `ours` holds every order that may still trade and every older one that the snapshot mentions; `executions_of` finds those of an
    order among all that are known, from the snapshot and from our own book; `corrected` are the keys of those that were known otherwise.
    """
    working, over = (
        Index[OrderReport](book.open_orders),
        Index[OrderReport](map(_ended, book.completed_orders)),
    )
    seen = tuple(_settle(order, working, over, executions_of(order), corrected) for order in ours)
    known = Index[Order](ours)
    unknown = [r for r in book.open_orders if not any(belongs(order, r) for order in known.near(r))]
    strangers = []
    for number, report in enumerate(unknown, start=next_number):
        order = external(report, number, book.epoch, now)
        strangers.append(filled_by(order, executions_of(order)))
    return seen, tuple(strangers)


def _ended(report: OrderReport) -> OrderReport:
    """A completed order as it is told: one that the broker holds for good is one that it rejected, with its reason beside it."""
    if report.status != "Inactive":
        return report
    return replace(report, text=report.text or "The broker rejected the order.")


def _settle(
    order: Order,
    working: Index[OrderReport],
    over: Index[OrderReport],
    executions: Sequence[Execution],
    corrected: frozenset[str],
) -> Order:
    # Once an execution was corrected, what the broker's lists of orders say of its quantity may be older than that.
    changed = any(e.key in corrected or e.revision > 1 for e in executions)
    order = filled_by(order, executions, corrected=changed)
    for report in (*working.near(order), *over.near(order)):
        if belongs(order, report):
            if report.status == "Inactive" and report.text:
                order = replace(order, reason=order.reason or report.text)
            told = report
            if overclaims(order, report, snapshot=True):
                # The lists say whether it works; that more was filled than it has, only its executions could.
                if report.status == "Filled":
                    break
                told = replace(report, filled=None, average_price=None)
            return filled_by(advance(order, told, snapshot=True), executions, corrected=changed)
    if not order.state.is_open:
        return order
    if order.external:
        return replace(order, state=OrderState.NOT_AT_BROKER, reason="no longer among the broker's orders")
    if (
        order.state in {OrderState.SENDING, OrderState.UNKNOWN}
        and order.reason
        and not order.perm_id
        and not order.filled
    ):
        return replace(order, state=OrderState.REJECTED)
    return replace(order, state=OrderState.UNKNOWN)


def external(report: OrderReport, number: int, epoch: int, now: datetime) -> Order:
    """An order that was placed elsewhere, as far as the broker tells it."""
    order = Order(
        number=number,
        order_ref=report.order_ref or "",
        owner=None,
        account=report.account,
        client_id=report.client_id,
        order_id=report.order_id,
        epoch=epoch,
        con_id=report.con_id,
        symbol=report.symbol,
        currency=report.currency,
        side=report.side or Side.BUY,
        quantity=report.quantity or Decimal(0),
        order_type=report.order_type,
        limit_price=report.limit_price,
        stop_price=report.stop_price,
        tif=report.tif,
        state=OrderState.WORKING,
        sent_at=now,
        perm_id=report.perm_id or None,
        kind=report.kind,
        option=report.option,
        legs=report.legs,
        name=f"{report.symbol} combination of {len(report.legs)} legs" if report.legs else "",
    )
    return advance(order, report, snapshot=True)
