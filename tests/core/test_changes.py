"""The pure parts of a change: which terms a card was drawn from, how a bracket's child is measured, and when an order counts as whole."""

from decimal import Decimal
from typing import Any

import pytest

from core import lifecycle, risk
from core.changes import as_entry, terms_of
from core.model import Change, Order, OrderState, OrderType, Role, Side
from core.risk import Limits, bracket_sides
from tests.values import NOW, execution, order, report, snapshot, ticket


def D(value: int | str) -> Decimal:  # noqa: N802 - short, for the tables
    return Decimal(value)


def asked(quantity: int | str) -> Change:
    """A change to so many."""
    return Change("01B", D(quantity), None, None, NOW)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({}, True),
        ({"filled": D(3), "state": OrderState.PARTIAL}, True),  # a fill is no other term
        ({"perm_id": 5, "confirmed_quantity": D(10)}, True),
        ({"quantity": D(5)}, False),
        ({"limit_price": D(151)}, False),
        ({"limit_price": None, "stop_price": D(150)}, False),
    ],
)
def test_terms_of(changed: dict[str, Any], same: bool) -> None:
    """A card finds its order unchanged by quantity and prices, and by nothing else; a limit is no stop of the same price."""
    drawn = order(order_type=OrderType.LIMIT, limit_price=D(150))
    known = {"order_type": OrderType.LIMIT, "limit_price": D(150), **changed}
    assert (terms_of(order(**known)) == terms_of(drawn)) is same


def bracket(sign: int = 1) -> tuple[Order, Order, Order]:
    """(entry, target, stop) of a limit entry at 150 that waits; `sign` -1 for one that sells."""
    side, other = (Side.BUY, Side.SELL) if sign > 0 else (Side.SELL, Side.BUY)
    entry = order(order_type=OrderType.LIMIT, limit_price=D(150), side=side)
    child = {"side": other, "parent": 1}
    target = order(
        number=2,
        role=Role.TARGET,
        order_type=OrderType.LIMIT,
        limit_price=D(150 + 50 * sign),
        order_ref="01TICKET.target",
        **child,
    )
    stop = order(
        number=3,
        role=Role.STOP,
        order_type=OrderType.STOP,
        stop_price=D(150 - 10 * sign),
        order_ref="01TICKET.stop",
        **child,
    )
    return entry, target, stop


@pytest.mark.parametrize("sign", [1, -1], ids=["bought", "sold short"])
@pytest.mark.parametrize(
    ("which", "more", "fits"),
    [
        ("stop", -5, True),
        ("stop", 0, False),
        ("stop", 5, False),
        ("target", 5, True),
        ("target", 0, False),
        ("target", -5, False),
    ],
)
def test_as_entry(sign: int, which: str, more: int, fits: bool) -> None:
    """The new price of a stop or target is measured as that of the entry which waits: on its own side of it or refused."""
    family = entry, target, stop = bracket(sign)
    price = D(150 + more * sign)
    if which == "stop":
        child, terms = stop, ticket(stop.side, 10, stop=price)
    else:
        child, terms = target, ticket(target.side, 10, limit=price)
    measured = as_entry(terms, child, entry, family)
    assert (measured.side, measured.limit_price, measured.stop_price) == (entry.side, D(150), None)
    expected = (price, target.limit_price) if which == "stop" else (stop.stop_price, price)
    assert (measured.stop_loss, measured.take_profit) == expected
    limits = Limits(max_position_size=D(100_000), max_portfolio_risk=D("0.02"))
    assert (bracket_sides(measured, snapshot(), limits) is None) is fits


def test_as_entry_of_a_stop_without_a_target() -> None:
    """Where there is no target, none is measured."""
    entry, _, stop = bracket()
    measured = as_entry(ticket(Side.SELL, 10, stop=145), stop, entry, (entry, stop))
    assert (measured.stop_loss, measured.take_profit) == (D(145), None)
    assert risk.worst_price(measured, None) == 150


@pytest.mark.parametrize(("change", "whole"), [(None, 10), (asked(40), 40), (asked(5), 10), (asked(10), 10)])
def test_whole(change: Change | None, whole: int) -> None:
    """While both quantities may be the broker's, an order is filled at the larger one."""
    assert lifecycle.whole(order(change=change)) == whole


@pytest.mark.parametrize(
    ("change", "filled", "status", "state"),
    [
        (None, 10, "Submitted", OrderState.FILLED),
        (asked(40), 10, "Submitted", OrderState.PARTIAL),
        (asked(40), 40, "Submitted", OrderState.FILLED),
        (asked(40), 10, "Filled", OrderState.FILLED),  # the broker's own word ends it
        (asked(5), 5, "Submitted", OrderState.PARTIAL),
    ],
)
def test_filled_while_another_quantity_is_asked(
    change: Change | None, filled: int, status: str, state: OrderState
) -> None:
    """A status with the old quantity filled is no end while a larger one is on its way; its change then stays asked."""
    after = lifecycle.advance(order(change=change), report(status, filled=D(filled)))
    assert after.state is state
    assert (after.change is not None) is (state.is_open and change is not None)


@pytest.mark.parametrize(("larger", "state"), [(40, OrderState.PARTIAL), (10, OrderState.FILLED)])
def test_executions_while_a_larger_quantity_is_asked(larger: int, state: OrderState) -> None:
    """The same by executions."""
    after = lifecycle.filled_by(order(change=asked(larger)), [execution(10)])
    assert (after.filled, after.state) == (D(10), state)
