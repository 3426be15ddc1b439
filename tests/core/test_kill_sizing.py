"""Which bound is named where not a single share fits."""

from decimal import Decimal

from core.sizing import Bound, Sized, entry_quantity

ZERO = Decimal(0)


def test_a_full_cap_is_tighter_than_a_little_risk() -> None:
    """Nothing at all under the cap is less than a part of a share under the loss that is allowed, however far the stop."""
    told = entry_quantity(
        confidence=100,
        price=Decimal(10),
        stop=Decimal(100),
        max_position_size=Decimal(1000),
        held_value=Decimal(1000),
        net_liquidation=Decimal(25),
        max_portfolio_risk=Decimal("0.02"),
        rate=Decimal(1),
    )
    assert told == Sized(ZERO, Bound.POSITION_CAP)


def test_beyond_the_cap_is_no_tighter_than_no_confidence() -> None:
    """Both leave room for nothing; of equals the first is named."""
    told = entry_quantity(
        confidence=0,
        price=Decimal(240),
        stop=Decimal(235),
        max_position_size=Decimal(10_000),
        held_value=Decimal(12_000),
        net_liquidation=Decimal(1_000_000),
        max_portfolio_risk=Decimal("0.02"),
        rate=Decimal(1),
    )
    assert told == Sized(ZERO, Bound.CONFIDENCE)
