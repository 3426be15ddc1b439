"""The broker's door for options and combinations: legs and signed prices survive both ways, and what cannot be read is not guessed."""

import math
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import ib_async as ib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import ib_mapping
from core.model import Instrument, Leg, OptionTerms, OrderReport, OrderType, Right, Side
from core.options.combine import con_id_of
from tests.values import AAPL, ACCOUNT, NOW, order, ticket

UNSET = ib.util.UNSET_DOUBLE
DECEMBER = date(2026, 12, 18)
CALL = OptionTerms(DECEMBER, Decimal(190), Right.CALL, Decimal(100), "AAPL")
PUT = OptionTerms(DECEMBER, Decimal("187.5"), Right.PUT, Decimal(100), "AAPL")
KNOWN = {501: CALL, 502: PUT}
LEGS = (Leg(501, 1, CALL), Leg(502, -2, PUT), Leg(AAPL.con_id, 100))
OPTION = replace(AAPL, con_id=501, kind="OPT", primary_exchange="", multiplier=Decimal(100), option=CALL)
BAG = replace(AAPL, con_id=con_id_of(LEGS), kind="BAG", name="A combination", primary_exchange="", legs=LEGS)
ALL_THREE = [AAPL, OPTION, BAG]


def named(**changes: Any) -> ib.Contract:
    """The option as the broker names it."""
    told: dict[str, Any] = {
        "secType": "OPT",
        "conId": 501,
        "symbol": "AAPL",
        "lastTradeDateOrContractMonth": "20261218",
        "strike": 190.0,
        "right": "C",
        "multiplier": "100",
        "exchange": "SMART",
        "currency": "USD",
        "localSymbol": "AAPL  261218C00190000",
        "tradingClass": "AAPL",
    }
    return ib.Contract(**told | changes)


# --- what leaves ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [OPTION, order(con_id=501, kind="OPT", option=CALL)], ids=["named", "ordered"])
def test_an_option_leaves_by_its_id_and_its_terms(of: Any) -> None:
    """Whether it is named by the instrument or by an order of it."""
    made = ib_mapping.contract(of)
    assert (made.secType, made.conId, made.symbol, made.exchange, made.currency) == (
        "OPT",
        501,
        "AAPL",
        "SMART",
        "USD",
    )
    assert (made.lastTradeDateOrContractMonth, made.strike, made.right) == ("20261218", 190.0, "C")
    assert (made.multiplier, made.tradingClass, made.primaryExchange) == ("100", "AAPL", "")


@pytest.mark.parametrize(
    "of",
    [BAG, order(con_id=BAG.con_id, kind="BAG", legs=LEGS, name="A combination")],
    ids=["named", "ordered"],
)
def test_a_combination_leaves_as_its_legs(of: Any) -> None:
    """Ratios without signs, BUY for what is to be owned, each leg routed smartly; our own id stays at home."""
    made = ib_mapping.contract(of)
    assert (made.secType, made.conId, made.symbol, made.exchange, made.currency) == (
        "BAG",
        0,
        "AAPL",
        "SMART",
        "USD",
    )
    assert made.comboLegs == [
        ib.ComboLeg(conId=501, ratio=1, action="BUY", exchange="SMART"),
        ib.ComboLeg(conId=502, ratio=2, action="SELL", exchange="SMART"),
        ib.ComboLeg(conId=AAPL.con_id, ratio=100, action="BUY", exchange="SMART"),
    ]


@pytest.mark.parametrize("kind", ["STK", "OPT", "BAG"])
def test_a_class_of_shares_keeps_its_name_both_ways(kind: str) -> None:
    """BRK.B is BRK B to the broker, of whatever is on it."""
    of = {"STK": AAPL, "OPT": OPTION, "BAG": BAG}[kind]
    made = ib_mapping.contract(replace(of, symbol="BRK.B"))
    assert made.symbol == "BRK B"
    assert ib_mapping.shown_symbol(made) == "BRK.B"


@pytest.mark.parametrize("limit", ["-1.25", "0", "3.59"])
def test_a_signed_limit_leaves_and_comes_back(limit: str) -> None:
    """Credits and even money are limits of a combination, not missing ones."""
    asked = ticket(Side.BUY, 2, limit=limit, instrument=BAG)
    made = ib_mapping.order(asked, "R")
    assert (made.orderType, made.lmtPrice, made.action) == ("LMT", float(limit), "BUY")
    back = ib_mapping.open_order(
        7, ib_mapping.contract(BAG), made, ib.OrderState(status="Submitted"), known=KNOWN
    )
    assert (back.limit_price, back.kind, back.con_id, back.legs) == (Decimal(limit), "BAG", BAG.con_id, LEGS)


def test_how_far_it_may_be_repriced_stays_at_home() -> None:
    """The limit that leaves is the one that the order has now."""
    asked = order(order_type=OrderType.LIMIT, limit_price=Decimal("1.10"), kind="BAG", legs=LEGS)
    assert vars(ib_mapping.order(replace(asked, final_limit=Decimal("1.30")), "R")) == vars(
        ib_mapping.order(asked, "R")
    )


def test_a_question_for_an_option() -> None:
    """By its terms, or for all strikes of its expiry and right."""
    made = ib_mapping.option_question(replace(AAPL, symbol="BRK.B"), PUT)
    assert (made.conId, made.symbol, made.strike, made.right) == (0, "BRK B", 187.5, "P")
    assert (made.lastTradeDateOrContractMonth, made.multiplier, made.tradingClass) == (
        "20261218",
        "100",
        "AAPL",
    )
    assert ib_mapping.option_question(AAPL, PUT, every_strike=True).strike == 0.0


# --- what comes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("20261218", DECEMBER),
        ("20261218 15:00 US/Central", DECEMBER),
        ("20261218-15:00-US/Central", DECEMBER),
        ("20240229", date(2024, 2, 29)),
    ],
)
def test_a_day(told: str, meant: date) -> None:
    """With or without a time of day behind it."""
    assert ib_mapping.day(told) == meant


@pytest.mark.parametrize(
    "told", ["", "202612", "20261318", "20260229", "2026121", "202612180", "2026-12-18", "soon", "²0261218"]
)
def test_no_day(told: str) -> None:
    """A month is no day, and nothing is guessed."""
    with pytest.raises(ValueError, match=r"day|month"):
        ib_mapping.day(told)


@pytest.mark.parametrize(
    ("right", "meant"), [("C", Right.CALL), ("CALL", Right.CALL), ("P", Right.PUT), ("PUT", Right.PUT)]
)
def test_an_option_of_the_broker(right: str, meant: Right) -> None:
    """Details become an instrument with its terms."""
    told = ib.ContractDetails(contract=named(right=right), longName="APPLE INC", minTick=0.05)
    assert ib_mapping.instrument(told) == replace(
        OPTION, hours="", time_zone="", min_tick=Decimal("0.05"), option=replace(CALL, right=meant)
    )


ODD = [
    {"lastTradeDateOrContractMonth": ""},
    {"lastTradeDateOrContractMonth": "202612"},
    {"strike": 0.0},
    {"strike": math.nan},
    {"strike": UNSET},
    {"strike": -190.0},
    {"right": ""},
    {"right": "?"},
    {"right": "0"},
    {"multiplier": ""},
    {"multiplier": "x"},
    {"multiplier": "0"},
]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_an_option_that_is_half_known(odd: dict[str, Any]) -> None:
    """No instrument and no fill is made of it; a holding and an order stay told, with the terms that were told before or none."""
    told = named(**odd)
    with pytest.raises(ValueError, match=r"day|month|option"):
        ib_mapping.instrument(ib.ContractDetails(contract=told))
    with pytest.raises(ValueError, match=r"day|month|option"):
        ib_mapping.execution(told, ib.Execution("a.01", NOW, ACCOUNT, "CBOE", "BOT", 1.0, 3.59))
    held = ib.Position(ACCOUNT, told, 2.0, 359.0)
    assert ib_mapping.position(held).option is None
    assert ib_mapping.position(held, KNOWN).option == CALL
    working = ib.Order(action="BUY", totalQuantity=1.0, orderType="LMT", lmtPrice=3.5)
    found = ib_mapping.open_order(7, told, working, ib.OrderState(status="Submitted"))
    assert (found.kind, found.con_id, found.option, found.status) == ("OPT", 501, None, "Submitted")


def test_a_holding_of_options() -> None:
    """The average cost is of a whole contract, as the broker tells it."""
    found = ib_mapping.position(ib.Position(ACCOUNT, named(), -2.0, 359.0))
    assert (found.kind, found.option, found.signed_quantity, found.average_cost) == (
        "OPT",
        CALL,
        Decimal(-2),
        Decimal(359),
    )
    shares = ib_mapping.position(ib.Position(ACCOUNT, ib_mapping.contract(AAPL), 2.0, 359.0))
    assert (shares.kind, shares.option) == ("STK", None)


def bag(*legs: ib.ComboLeg) -> ib.Contract:
    return ib.Contract(
        secType="BAG", conId=28812380, symbol="AAPL", exchange="SMART", currency="USD", comboLegs=list(legs)
    )


def reported(of: ib.Contract, **told: Any) -> OrderReport:
    working = ib.Order(action="BUY", totalQuantity=1.0, orderType="LMT", **told)
    return ib_mapping.open_order(7, of, working, ib.OrderState(status="Submitted"), KNOWN)


def test_the_legs_of_an_order() -> None:
    """They come as ids; terms are filled in where they are known, and the id of the whole does not depend on that or on their order."""
    found = reported(
        bag(
            ib.ComboLeg(999, 1, "SELL", "SMART"),
            ib.ComboLeg(502, 1, "BUY", "SMART"),
        ),
        lmtPrice=-0.76,
    )
    assert found.legs == (Leg(999, -1), Leg(502, 1, PUT))
    assert found.con_id == con_id_of([Leg(502, 1), Leg(999, -1, CALL)]) < 0
    assert (found.limit_price, found.kind, found.symbol) == (Decimal("-0.76"), "BAG", "AAPL")


@pytest.mark.parametrize(
    "leg",
    [
        ib.ComboLeg(501, 0, "BUY", "SMART"),
        ib.ComboLeg(501, -1, "BUY", "SMART"),
        ib.ComboLeg(0, 1, "BUY", "SMART"),
        ib.ComboLeg(501, 1, "", "SMART"),
    ],
    ids=str,
)
def test_legs_that_cannot_be_read(leg: ib.ComboLeg) -> None:
    """The order is told as working, and of what is left open: the broker's id of all combinations, and no legs."""
    found = reported(bag(ib.ComboLeg(502, 1, "BUY", "SMART"), leg), lmtPrice=1.0)
    assert (found.legs, found.con_id, found.kind) == ((), 28812380, "BAG")


@pytest.mark.parametrize(("told", "meant"), [(0.0, "0"), (-2.5, "-2.5"), (UNSET, None), (math.nan, None)])
def test_the_limit_of_a_combination(told: float, meant: str | None) -> None:
    """Zero and below are prices of a combination, and of nothing else."""
    assert reported(bag(ib.ComboLeg(501, 1, "BUY", "SMART")), lmtPrice=told).limit_price == (
        None if meant is None else Decimal(meant)
    )
    if meant is not None:
        assert reported(named(), lmtPrice=told).limit_price is None


@pytest.mark.parametrize(
    ("filled", "average", "meant"),
    [
        (1.0, -0.76, "-0.76"),
        (1.0, 0.0, "0"),
        (0.0, 0.0, None),
        (0.0, 1.0, None),
        (1.0, UNSET, None),
        (UNSET, 1.0, None),
    ],
)
def test_the_average_of_an_order(filled: float, average: float, meant: str | None) -> None:
    """It is signed, and there is one exactly where something was filled and the broker says at what."""
    found = ib_mapping.order_status(7, "Submitted", filled, average, 9, 3, "").average_price
    assert found == (None if meant is None else Decimal(meant))


def test_a_fill_of_a_combination_and_of_its_leg() -> None:
    """The whole has the broker's id of all combinations and moves no holding; the leg is the option."""
    time = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
    whole = ib_mapping.execution(
        bag(), ib.Execution("0000e0d5.65f2a1b0.01.01", time, ACCOUNT, "CBOE", "BOT", 1.0, -0.76, 9, 3, 7)
    )
    assert (whole.kind, whole.con_id, whole.price, whole.option, whole.moves_holding) == (
        "BAG",
        28812380,
        Decimal("-0.76"),
        None,
        False,
    )
    part = ib_mapping.execution(
        named(), ib.Execution("0000e0d5.65f2a1b0.02.01", time, ACCOUNT, "CBOE", "SLD", 1.0, 3.59, 9, 3, 7)
    )
    assert (part.kind, part.con_id, part.price, part.option, part.moves_holding) == (
        "OPT",
        501,
        Decimal("3.59"),
        CALL,
        True,
    )
    assert whole.key != part.key


def test_an_option_that_expired() -> None:
    """It is closed at nothing, by no order."""
    found = ib_mapping.execution(named(), ib.Execution("e.01", NOW, ACCOUNT, "", "SLD", 2.0, 0.0))
    assert (found.price, found.quantity) == (Decimal(0), Decimal(2))
    assert (found.order_id, found.perm_id, found.order_ref) == (0, 0, "")


@pytest.mark.parametrize("of", [named(), ib_mapping.contract(AAPL)], ids=["option", "share"])
def test_no_price_of_a_single_thing_is_below_zero(of: ib.Contract) -> None:
    """Such a fill is not booked."""
    with pytest.raises(ValueError, match="below zero"):
        ib_mapping.execution(of, ib.Execution("a.01", NOW, ACCOUNT, "CBOE", "BOT", 1.0, -0.01))


@given(
    st.sampled_from(["OPT", "BAG", "STK", "", "FOP"]),
    st.text(max_size=9) | st.sampled_from(["20261218", "20261218 15:00 US/Central"]),
    st.floats() | st.sampled_from([UNSET, 190.0]),
    st.sampled_from(["C", "P", "", "0", "?"]),
    st.text(max_size=4) | st.just("100"),
    st.integers(-5, 5),
    st.floats(),
)
def test_whatever_comes_is_read_or_refused(
    kind: str, expiry: str, strike: float, right: str, multiplier: str, ratio: int, paid: float
) -> None:
    """A fill is read in full or is a ValueError; orders and holdings are always told, with whole terms or none."""
    of = named(
        secType=kind, lastTradeDateOrContractMonth=expiry, strike=strike, right=right, multiplier=multiplier
    )
    of.comboLegs = [ib.ComboLeg(501, ratio, "BUY", "SMART")]
    found = reported(of, lmtPrice=paid)
    held = ib_mapping.position(ib.Position(ACCOUNT, of, 1.0, paid))
    for terms in (found.option, held.option):
        assert terms is None or (terms.strike > 0 and terms.multiplier > 0)
    assert all(leg.ratio for leg in found.legs)
    try:
        fill = ib_mapping.execution(of, ib.Execution("a.01", NOW, ACCOUNT, "CBOE", "BOT", 1.0, paid))
    except ValueError:
        return
    assert (fill.option is not None) == (kind == "OPT")
    assert fill.price.is_finite()
    assert fill.price >= 0 or kind == "BAG"


@pytest.mark.parametrize(
    ("exchanges", "rules", "meant"),
    [
        ("SMART,CBOE", "109,110", 109),
        ("CBOE,SMART", "109,110", 110),
        ("CBOE", "109", None),
        ("CBOE,SMART", "109", None),
        ("SMART", "", None),
        ("SMART", "x", None),
        ("SMART", "9" * 5000, None),
        ("", "", None),
    ],
)
def test_the_rule_of_ticks(exchanges: str, rules: str, meant: int | None) -> None:
    """It is the one where the order is routed smartly."""
    told = ib.ContractDetails(contract=named(), validExchanges=exchanges, marketRuleIds=rules)
    assert ib_mapping.market_rule(told) == meant


def test_ticks_that_depend_on_the_price() -> None:
    """Five cents from three dollars on, in either direction; without steps the smallest tick holds everywhere."""
    steps = ib_mapping.steps(
        [ib.PriceIncrement(3.0, 0.05), ib.PriceIncrement(0.0, 0.01), ib.PriceIncrement(9.0, UNSET)]
    )
    of = replace(OPTION, steps=steps)
    assert [of.tick_at(Decimal(price)) for price in ("0.5", "2.99", "3", "-3.1")] == [
        Decimal(tick) for tick in ("0.01", "0.01", "0.05", "0.05")
    ]
    assert OPTION.tick_at(Decimal(5)) == Decimal("0.01")


# --- chains and markets -----------------------------------------------------------------------------------------------


def parameters(**changes: Any) -> ib.OptionChain:
    told: dict[str, Any] = {
        "exchange": "SMART",
        "underlyingConId": "265598",
        "tradingClass": "AAPL",
        "multiplier": "100",
        "expirations": ["20261218", "20261120"],
        "strikes": [190.0, 187.5, 200.0],
    }
    return ib.OptionChain(**told | changes)


def test_a_chain() -> None:
    """The standard class as it is routed smartly, in order, without what cannot be read."""
    told = [
        parameters(exchange="CBOE", strikes=[1.0]),
        parameters(tradingClass="2AAPL", strikes=[2.0]),
        parameters(multiplier="10", strikes=[3.0]),
        parameters(expirations=["20261218", "20261120", "soon"], strikes=[190.0, 187.5, 0.0, math.nan]),
    ]
    found = ib_mapping.chain(AAPL, told)
    assert found is not None
    assert (found.con_id, found.trading_class, found.multiplier) == (AAPL.con_id, "AAPL", Decimal(100))
    assert found.expiries == (date(2026, 11, 20), DECEMBER)
    assert found.strikes == (Decimal("187.5"), Decimal(190))


def test_a_class_of_shares_has_a_chain() -> None:
    """Its options bear its name without the dot."""
    berkshire = replace(AAPL, symbol="BRK.B")
    assert ib_mapping.chain(berkshire, [parameters(tradingClass="BRKB")]) is not None


@pytest.mark.parametrize(
    "told",
    [[], [parameters(tradingClass="AAPL1")], [parameters(strikes=[])], [parameters(expirations=["x"])]],
)
def test_no_chain(told: list[ib.OptionChain]) -> None:
    """Nothing, or only what was changed by a split or a merger."""
    assert ib_mapping.chain(AAPL, told) is None


def ticking(**told: Any) -> ib.Ticker:
    made = ib.Ticker()
    for name, value in told.items():
        setattr(made, name, value)
    return made


def test_a_market_with_its_greeks() -> None:
    """The model's figures, and the open interest of its own right."""
    model = ib.OptionComputation(0, 0.25, 0.52, 3.6, 0.0, 0.031, 0.11, -0.045, 187.2)
    told = ticking(bid=3.5, ask=3.7, last=3.6, volume=120.0, callOpenInterest=900.0, putOpenInterest=0.0)
    told.modelGreeks, told.marketDataType = model, 3
    found = ib_mapping.option_quote(told, CALL, NOW)
    assert (found.bid, found.ask, found.last, found.time, found.delayed) == (
        Decimal("3.5"),
        Decimal("3.7"),
        Decimal("3.6"),
        NOW,
        True,
    )
    assert (found.volatility, found.delta, found.gamma, found.theta, found.vega, found.spot) == (
        0.25,
        0.52,
        0.031,
        -0.045,
        0.11,
        187.2,
    )
    assert (found.open_interest, found.volume) == (900, 120)
    assert ib_mapping.option_quote(told, PUT, NOW).open_interest == 0


@pytest.mark.parametrize(
    "model",
    [
        None,
        ib.OptionComputation(0),
        ib.OptionComputation(0, None, None, None, None, None, -2.0, -2.0, None),
        ib.OptionComputation(0, UNSET, UNSET, UNSET, UNSET, UNSET, UNSET, UNSET, UNSET),
        ib.OptionComputation(
            0, math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, math.nan
        ),
    ],
)
def test_figures_that_were_not_computed(model: ib.OptionComputation | None) -> None:
    """They are None, and so is a side that nobody quotes, however the broker writes it."""
    told = ticking(bid=-1.0, ask=0.0, modelGreeks=model)
    found = ib_mapping.option_quote(told, CALL, NOW)
    assert (found.bid, found.ask, found.volatility, found.delta, found.gamma) == (None,) * 5
    assert (found.theta, found.vega, found.spot, found.open_interest, found.volume) == (None,) * 5


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (ib.Dividends(0.96, 1.0, date(2026, 5, 8), 0.25), Decimal("0.25")),
        (ib.Dividends(0.96, 1.0, None, None), None),
        (ib.Dividends(0.96, 1.0, date(2026, 5, 8), None), None),
        (ib.Dividends(0.96, 1.0, date(2026, 5, 8), 0.0), None),
        (None, None),
    ],
)
def test_a_dividend(told: Any, meant: Decimal | None) -> None:
    """The next one, where its day and its amount are told."""
    found = ib_mapping.dividend(told)
    assert (found and (found.ex_date, found.amount)) == (None if meant is None else (date(2026, 5, 8), meant))


def test_instruments_are_hashable_to_the_vendor() -> None:
    """ib_async keys its streams by the contract's hash."""
    made: list[Instrument] = ALL_THREE
    assert len({hash(ib_mapping.contract(one)) for one in made}) == 3
