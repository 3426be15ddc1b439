"""What wrong versions of the rules got away with: the last look at the state, orders as a whole, changes, figures of others, pennies."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core import risk
from core.model import Change, Denial, Order, Role, Sent, Side, Trading, TradingState
from core.risk import Limits, data, shape
from tests.core.risk_plan_cases import C100, C105, bag, owed
from tests.values import BASE, NOW, QUOTE, approval, order, position, snapshot, ticket

BUY, SELL = Side.BUY, Side.SELL
ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED
LIMITS = Limits(max_position_size=Decimal(10_000))


def codes(denials: tuple[Denial, ...]) -> list[str]:
    return [denial.code for denial in denials]


@pytest.mark.parametrize(
    ("state", "side", "analyst", "shut"),
    [
        (ACTIVE, BUY, True, False),
        (REDUCING, BUY, False, True),
        (REDUCING, SELL, False, False),
        (REDUCING, SELL, True, False),
        (HALTED, BUY, False, True),
        (HALTED, SELL, False, False),
        (HALTED, SELL, True, True),
    ],
)
def test_the_last_look_at_the_state(state: TradingState, side: Side, analyst: bool, shut: bool) -> None:
    """An entry is kept, an exit never, but for one of the analyst in a halt."""
    asked = ticket(side, 5, decision_id="01D" if analyst else None)
    told = risk.closed(asked, snapshot(10, trading=Trading(state)), LIMITS)
    assert (told is not None) is shut
    assert told is None or told.code == "TRADING_STATE"


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [(20, []), (21, ["ORDER_SIZE"]), (31, ["ORDER_SIZE", "ORDER_VALUE"])],
)
def test_an_order_as_a_whole(quantity: int, expected: list[str]) -> None:
    """Its size and its value, and nothing else."""
    limits = replace(LIMITS, max_order_shares=Decimal(20), max_order_value_base=Decimal(3000))
    assert codes(risk.check_whole(ticket(BUY, quantity), snapshot(None), limits)) == expected


def test_contracts_are_counted_by_the_leg_that_has_most() -> None:
    """Nine of a combination with two of an option are eighteen contracts; five of it fit under ten."""
    denial = risk.bounds.order_size(
        bag(C100, owed(C105, 2), quantity=9), snapshot(), replace(LIMITS, max_order_contracts=Decimal(10))
    )
    assert denial is not None
    assert (denial.figure, denial.limit, denial.fits) == ("18", "10", 5)


def test_a_value_beyond_alone() -> None:
    """However few shares."""
    limits = replace(LIMITS, max_order_value_base=Decimal(3000))
    assert codes(risk.check_whole(ticket(BUY, 31), snapshot(), limits)) == ["ORDER_VALUE"]


def test_a_change_is_no_further_entry() -> None:
    """The order that it changes is not counted, every other one is."""
    asked = ticket(BUY, 1, modifies=7)
    limits = replace(LIMITS, max_orders_per_minute=1)
    just = NOW - timedelta(seconds=5)
    own, other = (Sent(number, just, asked.same_terms, Decimal(100)) for number in (7, 8))
    seen = snapshot(sent=(own,), approved=approval(asked))
    assert codes(risk.check(asked, seen, limits)) == []
    seen = replace(seen, sent=(own, other))
    assert codes(risk.check(asked, seen, limits)) == ["SAME_ORDER", "ORDERS_PER_MINUTE"]
    fresh = replace(asked, modifies=None)
    seen = replace(seen, sent=(own,), approved=approval(fresh))
    assert codes(risk.check(fresh, seen, limits)) == ["SAME_ORDER", "ORDERS_PER_MINUTE"]


@pytest.mark.parametrize("field", ["quantity", "limit_price"])
def test_what_is_asked_for_a_working_order_is_a_figure_too(field: str) -> None:
    """It is counted, so it must be a number."""
    figures: dict[str, Any] = {"quantity": Decimal(5), "limit_price": Decimal(90), field: Decimal("NaN")}
    change = Change("01C", stop_price=None, asked_at=NOW, **figures)
    waits = order(number=3, limit_price=Decimal(90), change=change)
    asked = ticket(BUY, 1)
    moment = snapshot(working=(waits,), approved=approval(asked))
    assert codes(risk.check(asked, moment, LIMITS)) == ["NOT_A_NUMBER"]


def test_what_is_held_of_others_must_be_a_number() -> None:
    """For an entry: it is measured by everything that is held."""
    wild = replace(position(5, con_id=1), signed_quantity=Decimal("NaN"))
    assert codes(risk.check(ticket(BUY, 10), snapshot(positions=(wild,)), LIMITS)) == ["NOT_A_NUMBER"]


def test_a_new_price_of_a_stop_is_bound_by_no_rule_of_size() -> None:
    """It closes what its entry buys, though nothing is held now."""
    stop = ticket(SELL, 10, stop="95")
    limits = replace(LIMITS, max_order_shares=Decimal(5), max_order_value_base=Decimal(5))
    moment = snapshot(0, approved=approval(stop))
    assert codes(risk.check(stop, moment, limits, protects=True)) == []
    assert {"SHORT_SALE", "ORDER_SIZE", "ORDER_VALUE"} <= set(codes(risk.check(stop, moment, limits)))


def test_what_fits_of_a_stock_of_pennies() -> None:
    """The room under the cap is divided by a price below one as by any other, and rounded down."""
    pennies = replace(QUOTE, bid=Decimal("0.29"), ask=Decimal("0.30"), close=Decimal("0.30"))
    asked = ticket(BUY, 4000, reference_price=Decimal("0.30"))
    moment = snapshot(quote=pennies, approved=approval(asked), atr=Decimal("0.01"))
    (denial,) = [
        d
        for d in risk.check(asked, moment, replace(LIMITS, max_position_size=Decimal(1000)))
        if d.code == "POSITION_CAP"
    ]
    assert denial.fits == 3333


def test_the_price_that_is_crossed_is_named() -> None:
    """Of a sale that rests at one price, and is asked for at another, the one that would trade."""
    change = Change("01C", Decimal(10), Decimal(99), None, NOW)
    rests = order(
        number=3,
        side=SELL,
        order_type=ticket(BUY, 1, limit="1").order_type,
        limit_price=Decimal("100.50"),
        change=change,
    )
    asked = ticket(BUY, 1)
    moment = snapshot(10, working=(rests,), approved=approval(asked))
    (denial,) = [d for d in risk.check(asked, moment, LIMITS) if d.code == "CROSSING"]
    assert denial.message == "It would trade with your own order #3 at 99."


def test_each_rule_of_shape_knows_what_is_no_number() -> None:
    """Even asked by itself: infinitely many are no whole number, and an infinite price is none."""
    endless = Decimal("Infinity")
    assert shape.quantity_sane(ticket(BUY, "Infinity"), snapshot(), LIMITS) is not None
    assert shape.price_sane(ticket(BUY, 1, limit="100", take_profit=endless), snapshot(), LIMITS) is not None


def test_a_market_below_nothing_is_no_measure_of_a_price() -> None:
    """That there is no price is another rule's word."""
    below = replace(QUOTE, bid=Decimal("-0.6"), ask=Decimal("-0.5"))
    assert shape.price_sane(ticket(BUY, 1, limit="100"), snapshot(quote=below), LIMITS) is None


def test_the_stop_of_an_order_that_is_no_stop_order_triggers_nothing() -> None:
    """Only a stop order is judged by where its stop lies."""
    asked = ticket(SELL, 1, limit="100", stop_price=Decimal(200))
    assert shape.stop_side(asked, snapshot(10), LIMITS) is None


def test_less_than_nothing_is_no_size_that_fits() -> None:
    """A quantity below zero is denied for itself, and no figure is offered in its place."""
    thin = replace(BASE, excess_liquidity=Decimal(1000))
    asked = ticket(BUY, -5)
    moment = snapshot(account=thin, approved=approval(asked))
    (denial,) = [d for d in risk.check(asked, moment, LIMITS) if d.code == "EXCESS_LIQUIDITY"]
    assert denial.fits is None


@pytest.mark.parametrize(
    ("held", "asked", "fits"), [("1", 2, 1), ("1.5", 2, 1), ("0.5", 1, None), ("2", 3, 2)]
)
def test_what_fits_of_a_sale_is_whole_shares(held: str, asked: int, fits: int | None) -> None:
    """A part of a share is no order."""
    denial = shape.sale_covered(ticket(SELL, asked), snapshot(held), LIMITS)
    assert denial is not None
    assert denial.fits == fits


def test_a_part_of_a_share_is_held() -> None:
    """Our count and the broker's word agree on a half: a half is certain."""
    assert snapshot("0.5", told=(position("0.5"),)).held(position(1).con_id) == Decimal("0.5")
    assert snapshot("0.5", told=(position("-0.5"),)).held(position(1).con_id) == 0


@pytest.mark.parametrize(("worth", "known"), [("9E+17", True), ("1E+18", False)])
def test_from_which_size_on_a_figure_is_none(worth: str, known: bool) -> None:
    """Eighteen digits before the point are still a figure, nineteen are not."""
    account = replace(BASE, net_liquidation=Decimal(worth))
    found = codes(risk.check(ticket(BUY, 1), snapshot(account=account), LIMITS))
    assert ("NOT_A_NUMBER" not in found) is known


def test_what_the_account_was_worth_must_be_a_number() -> None:
    """The day's loss is measured by it."""
    account = replace(BASE, worth_before=Decimal("NaN"))
    assert codes(risk.check(ticket(BUY, 1), snapshot(account=account), LIMITS)) == ["NOT_A_NUMBER"]


def test_a_new_price_of_a_stop_needs_no_figure_of_the_account() -> None:
    """It closes, so what entries are measured by does not bind it, though nothing is held now."""
    stop = ticket(SELL, 10, stop="95")
    moment = snapshot(0, approved=approval(stop), atr=Decimal("NaN"))
    assert codes(risk.check(stop, moment, LIMITS, protects=True)) == []
    assert codes(risk.check(stop, moment, LIMITS)) == ["NOT_A_NUMBER"]


def test_whoever_says_so_sends_while_the_broker_restarts() -> None:
    """A setting of the owner; without it no entry leaves then."""
    night = datetime(2026, 3, 3, 5, 0, tzinfo=UTC)  # midnight in New York
    moment = replace(snapshot(), now=night)
    assert data.reset_window(ticket(BUY, 1), moment, LIMITS) is not None
    willing = replace(LIMITS, entries_in_reset_window=True)
    assert data.reset_window(ticket(BUY, 1), moment, willing) is None


def largest(*working: Order) -> tuple[str, Any]:
    """What /risk says of the largest position where nothing is held."""
    use = next(
        u for u in risk.usage(snapshot(0, working=working), LIMITS) if u.setting == "max_position_size"
    )
    return use.about, use.used


def test_what_is_on_its_way_is_worth_the_price_at_which_it_waits() -> None:
    """A limit or a stop; what closes a short at a stop buys nothing new."""
    other: dict[str, Any] = {"con_id": 9, "symbol": "MSFT", "quantity": Decimal(4)}
    assert largest(order(**other, limit_price=Decimal(50))) == ("MSFT", 200)
    assert largest(order(**other, stop_price=Decimal(60))) == ("MSFT", 240)
    assert largest(order(**other, stop_price=Decimal(60), role=Role.STOP)) == ("", 0)
    assert largest(order(**other, side=SELL, limit_price=Decimal(50))) == ("", 0)
