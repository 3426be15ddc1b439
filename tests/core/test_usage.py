"""How much of each limit is used: measured as the rules measure it, so that what /risk shows as left is what passes."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import risk
from core.model import Sent, Side, Trading, TradingState
from core.risk import Limits, Snapshot, Unit, Use, usage
from tests.values import AAPL, BASE, NOW, order, position, snapshot, ticket

LIMITS = Limits(max_position_size=Decimal(100_000))
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
TERMS = ticket().same_terms


def used(moment: Snapshot, name: str, limits: Limits = LIMITS) -> Use:
    """The line of one limit."""
    return next(use for use in usage(moment, limits) if use.setting == name)


def sent(number: int, age: timedelta, worth: int | None = 1000, **changes: Any) -> Sent:
    """An order that left so long ago."""
    return Sent(number, NOW - age, TERMS, None if worth is None else Decimal(worth), **changes)


def test_every_limit_that_is_not_about_one_order() -> None:
    """Each is named by its setting, with its own limit."""
    lines = usage(snapshot(), LIMITS)
    assert [use.limit for use in lines] == [Decimal(getattr(LIMITS, use.setting)) for use in lines]
    assert [use.setting for use in lines if use.least] == ["min_excess_liquidity_percent"]
    assert {use.unit for use in lines} == set(Unit)


def test_counts_and_values() -> None:
    """A minute, an hour and a day of the exchange, entries only."""
    moment = snapshot(
        sent=(
            sent(1, timedelta(seconds=59)),
            sent(2, MINUTE),
            sent(3, HOUR),
            sent(4, HOUR + MINUTE),
            sent(5, timedelta(seconds=1), None),
            sent(6, timedelta(days=1)),
        )
    )
    assert used(moment, "max_orders_per_minute").used == 1
    assert used(moment, "max_orders_per_day").used == 4
    assert used(moment, "max_hour_value_base").used == 2000
    assert used(moment, "max_day_value_base").used == 4000


def test_filled_in_an_hour_is_of_the_busiest() -> None:
    """Counted from the fill, by instrument, and named where it is held."""
    other = ("X", *TERMS[1:])
    recent: dict[str, Any] = {"filled_at": NOW - MINUTE}
    moment = snapshot(
        10,
        sent=(
            sent(1, 9 * HOUR, **recent),
            sent(2, MINUTE, **recent),
            sent(3, MINUTE, filled_at=NOW - HOUR),
            sent(4, MINUTE, None, **recent),
            Sent(5, NOW, other, Decimal(1), NOW),  # type: ignore[arg-type]  # any instrument
        ),
    )
    use = used(moment, "max_filled_orders_per_symbol_hour")
    assert (use.used, use.about) == (Decimal(2), "AAPL")


def test_rejections_since_it_was_opened_again() -> None:
    """As the rule counts them."""
    told = (sent(1, HOUR, rejected_at=NOW - MINUTE), sent(2, HOUR, rejected_at=NOW - 3 * MINUTE))
    assert used(snapshot(sent=told), "halt_at_rejects").used == 2
    opened = Trading(TradingState.ACTIVE, "", NOW - 2 * MINUTE)
    assert used(snapshot(sent=told, trading=opened), "halt_at_rejects").used == 1


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("max_position_size", snapshot(None)),
        ("max_position_size", snapshot(account=None)),
        ("max_gross_exposure_percent", snapshot(None)),
        ("max_gross_exposure_percent", snapshot(account=None)),
        ("max_hour_value_base", snapshot(sent=None)),
        ("max_day_value_base", snapshot(sent=None)),
        ("max_orders_per_minute", snapshot(sent=None)),
        ("max_orders_per_day", snapshot(sent=None)),
        ("max_filled_orders_per_symbol_hour", snapshot(sent=None)),
        ("halt_at_rejects", snapshot(sent=None)),
        ("reduce_at_day_loss_percent", snapshot(account=None)),
        ("halt_at_day_loss_percent", snapshot(account=None)),
        ("min_excess_liquidity_percent", snapshot(account=None)),
    ],
)
def test_unknown_is_not_zero(name: str, moment: Snapshot) -> None:
    """What is not known is shown as that."""
    assert used(moment, name).used is None


def test_the_largest_holding_with_what_may_still_be_bought() -> None:
    """At what a unit trades at, in base currency."""
    assert used(snapshot(30), "max_position_size") == Use(
        "max_position_size", Decimal(3000), Decimal(100_000), Unit.MONEY, "AAPL"
    )
    waiting = order(quantity=Decimal(12), limit_price=Decimal(95), filled=Decimal(2))
    assert used(snapshot(30, working=(waiting,)), "max_position_size").used == 4000
    selling = order(quantity=Decimal(12), side=Side.SELL)
    assert used(snapshot(30, working=(selling,)), "max_position_size").used == 3000
    unknown = snapshot(positions=(position(30, market_price=None),))
    assert used(unknown, "max_position_size").used is None


def test_what_is_only_on_its_way_counts() -> None:
    """An instrument of which nothing is held yet, but which is being bought for more than anything that is held."""
    waiting = order(con_id=99, symbol="KO", quantity=Decimal(200), limit_price=Decimal(50))
    use = used(snapshot(30, working=(waiting,)), "max_position_size")
    assert (use.used, use.about) == (Decimal(10_000), "KO")


def test_percentages() -> None:
    """Of net liquidation; a loss is above zero."""
    moment = snapshot(100)
    assert used(moment, "max_gross_exposure_percent").used == 10
    assert used(moment, "min_excess_liquidity_percent").used == 90
    assert used(moment, "reduce_at_day_loss_percent").used == 0
    assert BASE.net_liquidation == 100_000


@given(
    st.lists(
        st.tuples(st.integers(0, 90_000), st.one_of(st.none(), st.integers(0, 5000))), min_size=0, max_size=12
    ),
    st.integers(1, 40),
)
def test_the_rules_agree(ages: list[tuple[int, int | None]], quantity: int) -> None:
    """An entry is refused by a rule of pace or value exactly where what is used, and this one, is more than the limit."""
    told = tuple(sent(n, timedelta(seconds=age), worth) for n, (age, worth) in enumerate(ages))
    limits = Limits(
        max_position_size=Decimal(10**9),
        max_orders_per_minute=2,
        max_orders_per_day=4,
        max_hour_value_base=Decimal(4000),
        max_day_value_base=Decimal(9000),
        same_order_seconds=0,
        max_portfolio_risk=Decimal(1),
    )
    asked, moment = ticket(quantity=quantity), snapshot(of=ticket(quantity=quantity), sent=told)
    codes = {denial.code for denial in risk.check(asked, moment, limits)}
    worth = Decimal(100) * quantity
    for name, code, more in (
        ("max_orders_per_minute", "ORDERS_PER_MINUTE", Decimal(1)),
        ("max_orders_per_day", "ORDERS_PER_DAY", Decimal(1)),
        ("max_hour_value_base", "HOUR_VALUE", worth),
        ("max_day_value_base", "DAY_VALUE", worth),
    ):
        use = used(moment, name, limits)
        assert use.used is not None
        assert (code in codes) is (use.used + more > use.limit), (name, use)
    assert asked.instrument == AAPL
