"""Our book against the broker's: a pure comparison that says what each of our orders really is, and which orders are not ours.

Nothing is resent and nothing is guessed: an order of ours that the broker does not show is UNKNOWN, unless the broker itself
said that it refused it.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from core.lifecycle import advance, belongs, filled_by
from core.model import BrokerBook, Execution, Order, OrderReport, OrderState, Side


def reconcile(
    ours: Sequence[Order],
    book: BrokerBook,
    executions: tuple[Execution, ...],
    now: datetime,
    next_number: int,
) -> tuple[tuple[Order, ...], tuple[Order, ...]]:
    """(our orders as they now stand, orders found at the broker that we did not know).

    `ours` holds every order that may still trade and every older one that the snapshot mentions; `executions` are all that are known,
    from the snapshot and from our own book.
    """
    seen = tuple(_settle(order, book, executions) for order in ours)
    unknown = [r for r in book.open_orders if not any(belongs(order, r) for order in ours)]
    strangers = tuple(
        filled_by(external(r, next_number + i, book.epoch, now), executions) for i, r in enumerate(unknown)
    )
    return seen, strangers


def _settle(order: Order, book: BrokerBook, executions: tuple[Execution, ...]) -> Order:
    order = filled_by(order, executions)
    for report in (*book.open_orders, *book.completed_orders):
        if belongs(order, report):
            return filled_by(advance(order, report, snapshot=True), executions)
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
    )
    return advance(order, report, snapshot=True)
