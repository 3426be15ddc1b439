"""How many shares a wish means: always whole, always rounded down, never zero."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadInput
from core.model import Request, Side
from core.sizing import shares


def ask(side: Side = Side.BUY, **size: Any) -> Request:
    sizes: dict[str, Any] = {name: Decimal(value) for name, value in size.items()}
    return Request(side, "AAPL", **sizes)


@pytest.mark.parametrize(
    ("request_", "price", "free", "count"),
    [
        (ask(quantity=10), None, None, 10),
        (ask(amount=2500), "187.50", None, 13),
        (ask(amount=100), "100", None, 1),
        (ask(amount=200), "100", None, 2),
        (ask(amount="199.99"), "100", None, 1),
        (ask(Side.SELL, amount=250), "100", "7", 2),
        (ask(Side.SELL, fraction=1), None, "17", 17),
        (ask(Side.SELL, fraction="0.5"), None, "17", 8),
        (ask(Side.SELL, fraction="0.25"), None, "4", 1),
        (ask(Side.SELL, fraction=1), None, "2.7", 2),
        (ask(Side.SELL, fraction=1), None, "1", 1),
    ],
)
def test_shares(request_: Request, price: str | None, free: str | None, count: int) -> None:
    """A number stays; money and parts become whole shares, rounded down."""
    found = shares(request_, price and Decimal(price), free and Decimal(free))  # type: ignore[arg-type]
    assert found == count


@pytest.mark.parametrize(
    ("request_", "price", "free", "word"),
    [
        (ask(amount="99.99"), "100", None, "less than one share"),
        (ask(), "100", "10", "no price"),
        (ask(amount=100), None, None, "no price"),
        (ask(amount=100), "0", None, "no price"),
        (ask(amount=100), "-1", None, "no price"),
        (ask(Side.SELL, fraction=1), None, "0", "nothing of AAPL to sell"),
        (ask(Side.SELL, fraction=1), None, "-3", "nothing of AAPL to sell"),
        (ask(Side.SELL, fraction=1), None, None, "not known yet"),
        (ask(Side.BUY, fraction=1), None, "10", "nothing of AAPL to sell"),
        (ask(Side.SELL, fraction="0.25"), None, "3", "less than one share"),
    ],
)
def test_no_shares(request_: Request, price: str | None, free: str | None, word: str) -> None:
    """Where the answer would be zero, or a guess, it is a sentence."""
    with pytest.raises(BadInput, match=word):
        shares(request_, price and Decimal(price), free and Decimal(free))  # type: ignore[arg-type]


money = st.decimals("0.01", 1_000_000, places=2)


@given(money, money)
def test_an_amount_is_never_exceeded(amount: Decimal, price: Decimal) -> None:
    """The shares cost at most the amount, and one more would cost more."""
    if amount < price:
        with pytest.raises(BadInput):
            shares(ask(amount=amount), price, None)
        return
    count = shares(ask(amount=amount), price, None)
    assert count == count.to_integral_value()
    assert count * price <= amount < (count + 1) * price


@given(st.integers(1, 10_000), st.integers(1, 100))
def test_a_part_is_never_more_than_the_holding(free: int, percent: int) -> None:
    """A part of what is free is at most that, and all of it is all."""
    try:
        count = shares(ask(Side.SELL, fraction=Decimal(percent) / 100), None, Decimal(free))
    except BadInput:
        assert free * percent < 100
        return
    assert 1 <= count <= free
    assert count == free * percent // 100
