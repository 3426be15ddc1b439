"""What a sale has to move out of its way: never more on sale than is held, never less protected than can be."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import protection
from core.model import Order, OrderState, OrderType, Role, Side
from tests.values import order, ticket

SELL = Side.SELL


def stop(quantity: int, **changes: object) -> Order:
    """A stop that protects so many shares."""
    fixed = {
        "side": SELL,
        "role": Role.STOP,
        "order_type": OrderType.STOP,
        "stop_price": Decimal(90),
        "order_ref": "01ENTRY.stop",
    }
    return order(quantity=Decimal(quantity), **{**fixed, **changes})


@pytest.mark.parametrize(
    ("held", "sold", "protected", "in_the_way"),
    [
        (10, 10, 10, True),
        (10, 4, 10, True),
        (10, 4, 6, False),
        (10, 4, 7, True),
        (20, 10, 10, False),
        (20, 11, 10, True),
    ],
)
def test_in_the_way(held: int, sold: int, protected: int, in_the_way: bool) -> None:
    """Protection stays where what is left after the sale covers it, and is moved where it does not."""
    found = protection.in_the_way(ticket(SELL, sold), Decimal(held), (stop(protected),))
    assert bool(found) is in_the_way


def test_only_our_own_open_protection_of_that_share_counts() -> None:
    """Entries, other shares, orders that are over, purchases, and an unknown holding are no business of a sale."""
    others = (
        order(side=SELL, quantity=Decimal(10)),
        stop(10, con_id=1),
        stop(10, state=OrderState.CANCELLED),
        stop(10, side=Side.BUY),
    )
    assert protection.in_the_way(ticket(SELL, 10), Decimal(10), others) == ()
    assert protection.in_the_way(ticket(SELL, 10), None, (stop(10),)) == ()
    assert protection.in_the_way(ticket(Side.BUY, 10), Decimal(10), (stop(10),)) == ()


@given(st.integers(1, 1000), st.integers(1, 1000), st.integers(1, 1000), st.integers(0, 1000))
def test_what_is_left_never_exceeds_what_is_held(held: int, sold: int, quantity: int, filled: int) -> None:
    """After a sale the protection covers at most what remains, and at most what it covered before."""
    standing = stop(quantity, filled=Decimal(min(filled, quantity)))
    left = protection.left_for(standing, Decimal(held), Decimal(sold))
    assert 0 <= left <= standing.remaining
    assert left <= max(held - sold, 0)
