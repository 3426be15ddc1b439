"""Edges of what a halt takes back: parts of shares, the smallest order against nothing, the order of asking, groups by hand over two instruments."""

from collections.abc import Sequence
from decimal import Decimal

from core.exposure import increasing
from core.model import Order, OrderState, Role, Side
from tests.values import order

BUY, SELL = Side.BUY, Side.SELL
OTHER = 99


def working(number: int, side: Side, quantity: str, **changes: object) -> Order:
    """An order that was typed as one."""
    return order(number=number, order_ref=f"CARD{number}", side=side, quantity=Decimal(quantity), **changes)


def stop(number: int, side: Side, quantity: str, **changes: object) -> Order:
    """A stop of a group that was made by hand."""
    return working(number, side, quantity, role=Role.STOP, oca="hand", **changes)


def taken(orders: Sequence[Order], held: str, of_other: str = "0") -> list[int]:
    """The numbers of what a halt takes back."""
    holdings = {OTHER: Decimal(of_other)}
    return [
        o.number for o in increasing(orders, lambda con: holdings.get(con, Decimal(held)), lambda o: None)
    ]


def test_a_part_of_a_share_is_a_holding() -> None:
    """More of it is more, less of it is less."""
    assert taken([working(1, BUY, "0.25")], "0.5") == [1]
    assert taken([working(1, SELL, "0.25")], "0.5") == []
    assert taken([working(1, SELL, "0.25")], "-0.5") == [1]


def test_of_nothing_nothing_is_closed() -> None:
    """Not even by the smallest order."""
    assert taken([working(1, SELL, "1"), working(2, BUY, "1")], "0") == [1, 2]


def test_the_oldest_order_stays_in_whatever_order_they_come() -> None:
    """Six and five of ten: the first that was sent stays."""
    six, five = working(1, SELL, "6"), working(2, SELL, "5")
    assert taken([five, six], "10") == taken([six, five], "10") == [2]


def test_a_group_by_hand_does_not_reach_over_instruments() -> None:
    """The same name at another instrument is another group, measured by what is held of that."""
    orders = [stop(1, SELL, "10"), stop(2, SELL, "10", con_id=OTHER)]
    assert taken(orders, "10", "5") == [2]
    assert taken(orders, "10", "10") == []


def test_a_group_by_hand_does_not_reach_over_sides() -> None:
    """A stop that buys does not close what one that sells does."""
    assert taken([stop(1, SELL, "10"), stop(2, BUY, "3")], "10") == [2]


def test_a_stop_of_a_single_share_that_is_not_held_any_more_goes_with_its_entry() -> None:
    """The entry has bought one, somebody sold it elsewhere: what is left of the stop would open a short."""
    entry = working(1, BUY, "10", filled=Decimal(1))
    child = order(number=2, order_ref="CARD1.stop", side=SELL, quantity=Decimal(10), role=Role.STOP, parent=1)
    assert taken([entry, child], "0") == [1, 2]
    assert taken([entry, child], "1") == [1]


def bracket(number: int, filled: str, stop: str, **changes: object) -> list[Order]:
    """An entry that works, with its stop."""
    entry = working(number, BUY, "20", filled=Decimal(filled), **changes)
    child = order(
        number=number + 1,
        order_ref=f"CARD{number}.stop",
        side=SELL,
        quantity=Decimal(stop),
        role=Role.STOP,
        parent=number,
    )
    return [entry, child]


def test_a_stop_counts_for_what_its_entry_has_bought() -> None:
    """Four of ten: the other six that are held may be sold beside it."""
    orders = [*bracket(1, "4", "10"), working(3, SELL, "6")]
    assert taken(orders, "10") == [1]
    assert taken(orders, "9") == [1, 3]


def test_the_stop_of_an_entry_that_nobody_knows_counts_once_and_whole() -> None:
    """It may have bought more than it told; and what follows is measured by what is left."""
    unknown = bracket(1, "4", "10", state=OrderState.UNKNOWN)
    assert taken([*unknown, working(3, SELL, "4")], "14") == [1]
    assert taken([*unknown, *bracket(5, "5", "10")], "10") == [1, 5, 6]
