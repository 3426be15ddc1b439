"""How much of each limit is used: by the same measures as the rules, and unknown where they are."""

from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.model import Side, Trading
from core.risk import Limits
from core.risk.usage import Unit, Use, usage
from tests.core.risk_cases import D, rests, sent, works
from tests.values import AAPL, BASE, NOW, position, snapshot

LIMITS = Limits(max_position_size=D(10_000))
MINUTE, HOUR, TICK = timedelta(minutes=1), timedelta(hours=1), timedelta(microseconds=1)
MIDNIGHT = timedelta(hours=10, minutes=30)
"""Since then it has been midnight in New York."""


def used(name: str, held: int | None = 0, **moment: Any) -> Decimal | None:
    """What is used of one limit."""
    (use,) = (u for u in usage(snapshot(held, **moment), LIMITS) if u.setting == name)
    return use.used


def test_every_use_is_of_a_limit_and_says_its_unit() -> None:
    """In the order in which they are shown; each with the limit that is set."""
    uses = usage(snapshot(), LIMITS)
    assert {use.setting for use in uses} <= {f.name for f in fields(Limits)}
    assert [(use.setting, use.limit) for use in uses] == [
        (u.setting, getattr(LIMITS, u.setting)) for u in uses
    ]
    assert [(use.setting, use.unit.value) for use in uses] == [
        ("max_position_size", "money"),
        ("max_gross_exposure_percent", "percent"),
        ("max_hour_value_base", "money"),
        ("max_day_value_base", "money"),
        ("max_orders_per_minute", "count"),
        ("max_orders_per_day", "count"),
        ("max_filled_orders_per_symbol_hour", "count"),
        ("halt_at_rejects", "count"),
        ("reduce_at_day_loss_percent", "percent"),
        ("halt_at_day_loss_percent", "percent"),
        ("min_excess_liquidity_percent", "percent"),
    ]
    assert [use.setting for use in uses if use.least] == ["min_excess_liquidity_percent"]


def test_a_quiet_day() -> None:
    """Nothing is used where nothing was done; what is free is free."""
    assert [(use.used, use.about) for use in usage(snapshot(), LIMITS)] == [(D(0), "")] * 10 + [(D(90), "")]


@pytest.mark.parametrize("lost", [{"sent": None}, {"account": None}, {"positions": None}])
def test_what_is_not_known_is_not_zero(lost: dict[str, Any]) -> None:
    """Each use that needs what is missing is unknown, and no other."""
    pace = {
        "max_hour_value_base",
        "max_day_value_base",
        "max_orders_per_minute",
        "max_orders_per_day",
        "max_filled_orders_per_symbol_hour",
        "halt_at_rejects",
    }
    size = {"max_position_size", "max_gross_exposure_percent"}
    money = {"reduce_at_day_loss_percent", "halt_at_day_loss_percent", "min_excess_liquidity_percent"}
    unknown = {"sent": pace, "account": size | money, "positions": size}[next(iter(lost))]
    assert {use.setting for use in usage(snapshot(**lost), LIMITS) if use.used is None} == unknown


def test_the_parts_of_an_account_that_are_not_known() -> None:
    """No worth is no share of it, neither is a worth of nothing."""
    for worth in (None, D(0)):
        account = replace(BASE, net_liquidation=worth)
        assert used("max_gross_exposure_percent", account=account) is None
        assert used("min_excess_liquidity_percent", account=account) is None
    assert used("min_excess_liquidity_percent", account=replace(BASE, excess_liquidity=None)) is None
    assert used("halt_at_day_loss_percent", account=replace(BASE, day_gain=None)) is None


def test_values_and_counts_of_spans() -> None:
    """Entries of a minute, an hour and the day in New York; exits do not count, and a span begins just after its first moment."""
    left = (
        sent(MINUTE - TICK, 1), sent(MINUTE, 2), sent(HOUR - TICK, 4), sent(HOUR, 8), sent(MIDNIGHT - TICK, 16), sent(MIDNIGHT, 32), sent(MINUTE / 2, None),
    )  # fmt: skip
    told = [
        used(n, sent=left)
        for n in ("max_hour_value_base", "max_day_value_base", "max_orders_per_minute", "max_orders_per_day")
    ]
    assert told == [7, 31, 1, 5]


def test_filled_entries_of_the_symbol_with_most() -> None:
    """Counted by when they were filled, named where it is held."""

    def filled(ago: timedelta, con_id: int, worth: int | None = 1) -> Any:
        return sent(HOUR * 9, worth, filled_at=NOW - ago, terms=(con_id, *sent().terms[1:]))

    left = (
        filled(HOUR - TICK, 7), filled(MINUTE, 7), filled(HOUR, 7), filled(MINUTE, AAPL.con_id), filled(MINUTE, AAPL.con_id, None), sent(),
        filled(MINUTE, AAPL.con_id, None), filled(HOUR * 2, AAPL.con_id),
    )  # fmt: skip
    (use,) = (
        u for u in usage(snapshot(sent=left), LIMITS) if u.setting == "max_filled_orders_per_symbol_hour"
    )
    assert (use.used, use.about) == (D(2), "")
    (use,) = (
        u
        for u in usage(snapshot(sent=(left[0], *left[3:], left[3], left[3])), LIMITS)
        if u.setting == "max_filled_orders_per_symbol_hour"
    )
    assert (use.used, use.about) == (D(3), "AAPL")


def test_a_symbol_that_is_not_known_has_no_name() -> None:
    """What was filled is counted before the positions are known."""
    left = sent(HOUR * 9, filled_at=NOW - MINUTE)
    (use,) = (u for u in usage(snapshot(None, sent=(left,)), LIMITS) if u.setting.startswith("max_filled"))
    assert (use.used, use.about) == (D(1), "")


def test_rejections_since_the_owner_opened_again() -> None:
    """The same count as the rule's."""
    left = tuple(sent(HOUR, None, rejected_at=NOW - MINUTE * n) for n in (1, 2, 5))
    assert used("halt_at_rejects", sent=left) == 2
    assert used("halt_at_rejects", sent=left, trading=Trading(since=NOW - MINUTE * 2)) == 1


def test_the_day_and_the_exposure() -> None:
    """In percent of what the account was and is worth."""
    account = replace(BASE, day_gain=D(-4000), net_liquidation=D(96_000), excess_liquidity=D(24_000))
    for name in ("reduce_at_day_loss_percent", "halt_at_day_loss_percent"):
        assert used(name, account=account) == 4
    assert used("min_excess_liquidity_percent", account=account) == 25
    assert used("max_gross_exposure_percent", 48, account=account, working=rests(Side.BUY, "480")) == 10


@pytest.mark.parametrize(
    ("moment", "size", "about"),
    [
        ({"positions": (position(5), position(-7, 7, symbol="MSFT"))}, "700", "MSFT"),
        ({"positions": (position(9), position(7, 7, symbol="MSFT"))}, "900", "AAPL"),
        ({"positions": (position(5),), "working": (works(Side.BUY, 4), works(Side.SELL, 2))}, "900", "AAPL"),
        ({"positions": (position(5),), "told": (position(8),)}, "800", "AAPL"),
        ({"positions": (position(5), position(1, 7, symbol="SAP", market_price=None))}, None, "SAP"),
        ({"positions": (position(5), position(1, 7, symbol="SAP", currency="JPY"))}, None, "SAP"),
        ({"positions": (position(5), position(0, 7, symbol="SAP", market_price=None))}, "500", "AAPL"),
        ({"positions": (position(5, currency="EUR"),)}, "550", "AAPL"),
        ({"positions": (position(0),), "working": (works(Side.BUY, 3),)}, "300", "AAPL"),
        ({"positions": (position(0, 7), position(5))}, "500", "AAPL"),
        ({"positions": (position(5), position(-5, 7, symbol="MSFT"))}, "500", "AAPL"),
        ({"positions": ()}, "0", ""),
        ({"positions": None}, None, ""),
        ({"account": None}, None, ""),
    ],
)  # fmt: skip
def test_the_largest_position(moment: dict[str, Any], size: str | None, about: str) -> None:
    """With what may still be bought of it, by the more of two counts; where one cannot be measured that one is named, and the size is unknown."""
    first = usage(snapshot(**moment), LIMITS)[0]
    assert first == Use("max_position_size", size and D(size), D(10_000), Unit.MONEY, about)  # type: ignore[arg-type]
