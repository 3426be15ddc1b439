"""A change of an order that works: it is asked like an order is sent, and true only when the broker shows the new terms. Pure functions.

The terms of an `Order` are always those that the broker has confirmed; a `Change` beside them is what was asked. While both stand, the
order counts with the larger of its two quantities.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from core.errors import BadInput
from core.model import Change, ChangeRequest, Denial, Order, OrderState, OrderType, Role, Sent, Ticket
from core.risk import Snapshot

CHANGEABLE = frozenset({OrderState.WORKING, OrderState.PARTIAL})
CHANGED_SINCE = "CHANGED_SINCE"
"""The code of the denial that ends a card: it was drawn from terms that the order does not have any more."""


def wanted(order: Order, request: ChangeRequest) -> Order:
    """The order with the terms that a person asks for. Raises BadInput where they are no terms for it."""
    name = f"#{order.number}"
    if order.order_type is OrderType.OTHER:
        raise BadInput(f"{name} is of a kind that Greenlight cannot change; change it in TWS, or /cancel it.")
    price = {OrderType.LIMIT: "@ 187.50", OrderType.STOP: "stop 180"}.get(order.order_type, "")
    if request.limit_price is not None and order.order_type is not OrderType.LIMIT:
        raise BadInput(
            f"{name} has no limit to change{f'; its price is changed by: {price}' if price else ''}."
        )
    if request.stop_price is not None and order.order_type is not OrderType.STOP:
        raise BadInput(
            f"{name} has no stop to change{f'; its price is changed by: {price}' if price else ''}."
        )
    if request.quantity is not None and (order.protects or request.is_bracket):
        raise BadInput(
            f"The quantity of {name} hangs together with the orders of its bracket, so only its price can be changed here. "
            f"For another quantity /cancel {order.number} and make a new card."
        )
    if request.quantity is not None and request.quantity <= order.filled:
        raise BadInput(
            f"{order.filled:f} of {name} are filled already; the new quantity must be above that. To stop it, /cancel {order.number}."
        )
    after = replace(
        order,
        quantity=request.quantity or order.quantity,
        limit_price=request.limit_price or order.limit_price,
        stop_price=request.stop_price or order.stop_price,
    )
    if after == order:
        raise BadInput(f"{name} has these terms already; nothing to change.")
    return after


def objection(order: Order, in_reach: str = "") -> Denial | None:
    """Why an order cannot be changed now. `in_reach` says why no message can reach it."""
    if in_reach:
        return Denial("OUT_OF_REACH", in_reach)
    if order.state not in CHANGEABLE:
        return Denial(
            "NOT_WORKING",
            f"#{order.number} is not confirmed as working by the broker, so it cannot be changed now.",
        )
    if order.cancel_requested_at is not None:
        return Denial(
            "CANCEL_ASKED", f"A cancel of #{order.number} is on its way, so it is not changed any more."
        )
    if order.change is not None:
        return Denial(
            "CHANGE_ASKED",
            f"An earlier change of #{order.number} is not confirmed yet.",
            remedy="wait for the broker's word, or /cancel it",
        )
    return None


def measured(
    ticket: Ticket, order: Order, family: tuple[Order, ...], snapshot: Snapshot
) -> tuple[Ticket, Snapshot]:
    """(terms, snapshot) for the rules: what would still trade after the change, as if the order itself were not there.

    The stop and target of its bracket stay, and are what an entry is measured by.
    """
    children = {o.role: o for o in family if o.parent == order.number and o.state.is_open}
    stop, target = children.get(Role.STOP), children.get(Role.TARGET)
    rest = replace(
        ticket,
        quantity=ticket.quantity - order.filled,
        stop_loss=stop.stop_price if stop else None,
        take_profit=target.limit_price if target else None,
    )
    others = tuple(o for o in snapshot.working if o.number != order.number)
    done = order.filled / order.quantity if order.quantity else Decimal(0)
    sent = None if snapshot.sent is None else tuple(_done(s, order.number, done) for s in snapshot.sent)
    approved = snapshot.approved
    if approved is not None and approved.terms_hash == ticket.terms_hash():
        approved = replace(
            approved, terms_hash=rest.terms_hash()
        )  # the rest of what was approved is approved
    return rest, replace(snapshot, working=others, sent=sent, approved=approved)


def _done(sent: Sent, number: int, part: Decimal) -> Sent:
    """What left before, the order itself only with the part of it that is filled: the rest is measured anew."""
    return sent if sent.number != number or sent.worth is None else replace(sent, worth=sent.worth * part)


def terms_of(order: Order) -> str:
    """The terms of an order in short: what the card of a change was drawn from, and must still find at its tap."""
    prices = [f"{p:f}" if p is not None else "" for p in (order.limit_price, order.stop_price)]
    return "|".join([f"{order.quantity:f}", *prices])


def as_entry(ticket: Ticket, order: Order, entry: Order, family: tuple[Order, ...]) -> Ticket:
    """The entry that waits, with the new price of its stop or target: they have to lie on their own sides of it."""
    children = {o.role: o for o in family if o.parent == entry.number and o.number != order.number}
    stop, target = children.get(Role.STOP), children.get(Role.TARGET)
    return replace(
        ticket,
        side=entry.side,
        quantity=entry.quantity,
        order_type=entry.order_type,
        limit_price=entry.limit_price,
        stop_price=entry.stop_price,
        stop_loss=ticket.stop_price if order.role is Role.STOP else (stop.stop_price if stop else None),
        take_profit=ticket.limit_price
        if order.role is Role.TARGET
        else (target.limit_price if target else None),
    )


def ask(order: Order, ticket: Ticket, now: datetime) -> Order:
    """The order with a change on its way."""
    return replace(
        order,
        change=Change(ticket.ticket_id, ticket.quantity, ticket.limit_price, ticket.stop_price, now),
    )


def on_the_wire(order: Order) -> Order:
    """The order as the broker is to have it: with the terms that are asked."""
    if order.change is None:
        return order
    return replace(
        order,
        quantity=order.change.quantity,
        limit_price=order.change.limit_price,
        stop_price=order.change.stop_price,
    )


def settled(order: Order) -> Order:
    """The order without its change where that has come true, or cannot any more because the order is over."""
    if order.change is None or (order.state.is_open and not has_come_true(order, order.change)):
        return order
    return replace(order, change=None)


def has_come_true(order: Order, change: Change) -> bool:
    """Whether the broker's terms are those that were asked."""
    return (order.quantity, order.limit_price, order.stop_price) == (
        change.quantity,
        change.limit_price,
        change.stop_price,
    )
