"""Every rule: passes, denies, holds on both sides of its edge, and says no where something is not known."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import risk
from core.model import Account, Denial, Drift, Link, Mode, OrderState, OrderType, Quote, Role, Side, Ticket
from core.risk import Limits, Snapshot
from tests.values import AAPL, ACCOUNT, BASE, LINK, NOW, QUOTE, order, position, snapshot, ticket

LIMITS = Limits(max_position_size=Decimal(10_000))
BUY, SELL = Side.BUY, Side.SELL


def codes(denials: tuple[Denial, ...]) -> list[str]:
    return [denial.code for denial in denials]


def verdict(rule: risk.Rule, asked: Ticket, moment: Snapshot, limits: Limits = LIMITS) -> str:
    """The code of the denial; "" where the rule lets it pass."""
    denial = rule(asked, moment, limits)
    return denial.code if denial else ""


def working(side: Side, quantity: int, filled: int = 0, **changes: Any) -> Any:
    """An order that may still trade."""
    return order(side=side, quantity=Decimal(quantity), filled=Decimal(filled), **changes)


# --- the road ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "word"),
    [
        (LINK, None),
        (replace(LINK, connected=False), "Not connected"),
        (replace(LINK, reconciled=False), "compared"),
        (replace(LINK, trouble="TWS is gone."), "TWS is gone."),
        (replace(LINK, trouble="TWS is gone.", connected=False), "TWS is gone."),
    ],
)
def test_connected(link: Link, word: str | None) -> None:
    """Nothing leaves before the road is open and the books agree, and the trouble is told as it is."""
    denial = risk.connected(ticket(), snapshot(link=link), LIMITS)
    assert (denial is None) is (word is None)
    if denial is not None and word is not None:
        assert denial.code == "CONNECTION"
        assert word in denial.message


@pytest.mark.parametrize(
    ("link", "code"),
    [
        (LINK, ""),
        (replace(LINK, mode=None), "ACCOUNT"),
        (replace(LINK, account=None), "ACCOUNT"),
        (replace(LINK, account="DU7"), "ACCOUNT"),
        (replace(LINK, mode=Mode.LIVE), "LIVE_READ_ONLY"),
        (replace(LINK, mode=Mode.LIVE, account="U7"), "ACCOUNT"),
    ],
)
def test_account_agrees(link: Link, code: str) -> None:
    """The order goes to the account of the card, and a live account is only looked at."""
    assert verdict(risk.account_agrees, ticket(), snapshot(link=link)) == code


# --- the terms --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "code"),
    [
        ("1", ""),
        ("1000000", ""),
        ("1000001", "QUANTITY"),
        ("0", "QUANTITY"),
        ("-1", "QUANTITY"),
        ("0.5", "QUANTITY"),
        ("1.000", ""),
        ("1.001", "QUANTITY"),
        ("NaN", "QUANTITY"),
        ("Infinity", "QUANTITY"),
        ("-Infinity", "QUANTITY"),
        ("1E+30", "QUANTITY"),
    ],
)
def test_quantity_sane(quantity: str, code: str) -> None:
    """A whole number of shares above zero, and not more than one order may have."""
    assert verdict(risk.quantity_sane, ticket(quantity=quantity), snapshot()) == code


@pytest.mark.parametrize("kind", ["limit", "stop"])
@pytest.mark.parametrize(
    ("price", "code"),
    [
        ("100", ""),
        ("99.99", ""),
        ("50", ""),  # the market is at 100, and half of it is the edge
        ("49.99", "PRICE"),
        ("200", ""),
        ("200.01", "PRICE"),
        ("100.005", "TICK"),
        ("0", "PRICE"),
        ("-3", "PRICE"),
        ("NaN", "PRICE"),
        ("Infinity", "PRICE"),
    ],
)
def test_price_sane(kind: str, price: str, code: str) -> None:
    """A price is above zero, on the tick and within a factor of the market, wherever it stands in the order."""
    asked = ticket(limit=price) if kind == "limit" else ticket(stop=price)
    assert verdict(risk.price_sane, asked, snapshot()) == code


def test_price_sane_names_the_nearest_tick() -> None:
    """A denial over a tick says what would pass, and that passes."""
    coarse = replace(AAPL, min_tick=Decimal("0.05"))
    denial = risk.price_sane(ticket(limit="99.97", instrument=coarse), snapshot(), LIMITS)
    assert denial is not None
    assert denial.remedy == "99.95"
    assert verdict(risk.price_sane, ticket(limit=denial.remedy, instrument=coarse), snapshot()) == ""


def test_price_sane_measures_a_sale_by_the_bid() -> None:
    """The factor is taken from the side that the order would trade with."""
    wide = snapshot(10, quote=replace(QUOTE, bid=Decimal(10)))
    assert verdict(risk.price_sane, ticket(SELL, limit="20"), wide) == ""
    assert verdict(risk.price_sane, ticket(SELL, limit="20.01"), wide) == "PRICE"
    assert verdict(risk.price_sane, ticket(BUY, limit="50"), wide) == ""


def test_price_sane_leaves_an_unknown_market_to_its_own_rule() -> None:
    """Without a quote there is no factor to measure; price_known denies."""
    blind = snapshot(quote=None)
    assert verdict(risk.price_sane, ticket(limit="5000"), blind) == ""
    assert "PRICE_UNKNOWN" in codes(risk.check(ticket(limit="5000"), blind, LIMITS))


@pytest.mark.parametrize(
    ("side", "stop", "code"),
    [
        (SELL, "99.89", ""),
        (SELL, "99.90", "STOP_SIDE"),
        (SELL, "99.91", "STOP_SIDE"),
        (BUY, "100.01", ""),
        (BUY, "100.00", "STOP_SIDE"),
        (BUY, "99.99", "STOP_SIDE"),
    ],
)
def test_stop_side(side: Side, stop: str, code: str) -> None:
    """A stop that would trigger at once is refused, at the market itself too."""
    assert verdict(risk.stop_side, ticket(side, stop=stop), snapshot(10)) == code


def test_stop_side_speaks_of_stops_only() -> None:
    """A limit beyond the market is a normal thing."""
    assert verdict(risk.stop_side, ticket(BUY, limit="99"), snapshot()) == ""
    assert verdict(risk.stop_side, ticket(SELL, limit="101"), snapshot(10)) == ""


# --- the quote --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "quote", "code"),
    [
        (BUY, QUOTE, ""),
        (BUY, None, "PRICE_UNKNOWN"),
        (BUY, replace(QUOTE, ask=None), "PRICE_UNKNOWN"),
        (BUY, replace(QUOTE, bid=None), ""),
        (SELL, replace(QUOTE, bid=None), "PRICE_UNKNOWN"),
        (SELL, replace(QUOTE, ask=None), ""),
        (BUY, replace(QUOTE, bid=Decimal(100)), ""),
        (BUY, replace(QUOTE, bid=Decimal("100.01")), "QUOTE_CROSSED"),
        (BUY, replace(QUOTE, time=NOW - timedelta(seconds=15)), ""),
        (BUY, replace(QUOTE, time=NOW - timedelta(seconds=15.001)), "QUOTE_OLD"),
        (SELL, replace(QUOTE, time=NOW - timedelta(days=1)), "QUOTE_OLD"),
    ],
)
def test_price_known(side: Side, quote: Quote | None, code: str) -> None:
    """There is a price on the side that matters, it makes sense, and it is fresh."""
    assert verdict(risk.price_known, ticket(side), snapshot(10, quote=quote)) == code


# --- the holding ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "on_sale", "quantity", "code"),
    [
        (10, 0, 10, ""),
        (10, 0, 11, "SHORT_SALE"),
        (10, 4, 6, ""),
        (10, 4, 7, "SHORT_SALE"),
        (10, 10, 1, "SHORT_SALE"),
        (0, 0, 1, "SHORT_SALE"),
        (-5, 0, 1, "SHORT_SALE"),
        (None, 0, 1, "POSITION_UNKNOWN"),
    ],
)
def test_sale_covered(held: int | None, on_sale: int, quantity: int, code: str) -> None:
    """A sale, together with the sales that work already, never exceeds the holding."""
    on = (working(SELL, on_sale),) if on_sale else ()
    assert verdict(risk.sale_covered, ticket(SELL, quantity), snapshot(held, working=on)) == code


def test_sale_covered_names_what_would_pass() -> None:
    """The remedy is the number of shares that can still be sold, and it passes."""
    moment = snapshot(10, working=(working(SELL, 4),))
    denial = risk.sale_covered(ticket(SELL, 9), moment, LIMITS)
    assert denial is not None
    assert (denial.figure, denial.limit, denial.remedy) == ("9", "6", "6")
    assert verdict(risk.sale_covered, ticket(SELL, denial.remedy), moment) == ""


def test_sale_covered_counts_what_may_still_trade() -> None:
    """Filled parts have left the holding already, ended orders are over, UNKNOWN ones may still fill, other symbols and buys say nothing."""
    sales = (
        working(SELL, 10, filled=7, number=1),
        working(SELL, 100, number=2, state=OrderState.CANCELLED),
        working(SELL, 2, number=3, state=OrderState.UNKNOWN),
        working(SELL, 1, number=4, owner=None),
        working(SELL, 100, number=5, con_id=1),
        working(BUY, 100, number=6),
    )
    moment = snapshot(10, working=sales)
    assert verdict(risk.sale_covered, ticket(SELL, 4), moment) == ""
    assert verdict(risk.sale_covered, ticket(SELL, 5), moment) == "SHORT_SALE"


def test_what_protects_a_holding_does_not_keep_it() -> None:
    """A stop or a target is moved out of the way of a sale, so it takes no shares from it."""
    held = snapshot(
        10, working=(working(SELL, 10, role=Role.STOP), working(SELL, 10, number=2, role=Role.TARGET))
    )
    assert verdict(risk.sale_covered, ticket(SELL, 10), held) == ""
    assert verdict(risk.sale_covered, ticket(SELL, 11), held) == "SHORT_SALE"


def test_sale_covered_says_nothing_about_buying() -> None:
    """A purchase needs no holding, known or not."""
    assert verdict(risk.sale_covered, ticket(BUY), snapshot(None)) == ""


@pytest.mark.parametrize(
    ("held", "buying", "quantity", "code"),
    [
        (0, 0, 100, ""),  # 100 shares at the ask of 100 are the 10,000 that may be held
        (0, 0, 101, "POSITION_CAP"),
        (60, 0, 40, ""),
        (60, 0, 41, "POSITION_CAP"),
        (60, 30, 10, ""),
        (60, 30, 11, "POSITION_CAP"),
        (-50, 0, 150, ""),
        (-50, 0, 151, "POSITION_CAP"),
        (None, 0, 1, "POSITION_CAP"),
    ],
)
def test_position_cap(held: int | None, buying: int, quantity: int, code: str) -> None:
    """The holding, what is being bought already and the order together stay within the cap."""
    on = (working(BUY, buying),) if buying else ()
    assert verdict(risk.position_cap, ticket(BUY, quantity), snapshot(held, working=on)) == code


@pytest.mark.parametrize(
    "moment",
    [snapshot(quote=None), snapshot(quote=replace(QUOTE, ask=None)), snapshot(account=None), snapshot(None)],
    ids=["no quote", "no ask", "no account", "no positions"],
)
def test_position_cap_denies_what_it_cannot_measure(moment: Snapshot) -> None:
    """A market order does not slip under the cap for want of a price, a holding or an account."""
    assert verdict(risk.position_cap, ticket(BUY, 1), moment) == "POSITION_CAP"


def test_position_cap_is_in_the_base_currency() -> None:
    """A dollar stock in a euro account is measured in euros, and not at all without the rate."""
    euros = Account(ACCOUNT, "EUR", rates={"USD": Decimal("0.80")})
    assert verdict(risk.position_cap, ticket(BUY, 125), snapshot(account=euros)) == ""
    assert verdict(risk.position_cap, ticket(BUY, 126), snapshot(account=euros)) == "POSITION_CAP"
    assert (
        verdict(risk.position_cap, ticket(BUY, 1), snapshot(account=replace(euros, rates={})))
        == "POSITION_CAP"
    )


def test_position_cap_counts_the_multiplier() -> None:
    """A contract over a hundred shares is a hundred times as large."""
    hundred = replace(AAPL, multiplier=Decimal(100))
    assert verdict(risk.position_cap, ticket(BUY, 1, instrument=hundred), snapshot()) == ""
    assert verdict(risk.position_cap, ticket(BUY, 2, instrument=hundred), snapshot()) == "POSITION_CAP"


@pytest.mark.parametrize("held", [0, 60, 99, 100, 150])
def test_position_cap_names_the_largest_order_that_fits(held: int) -> None:
    """The remedy passes and one share more does not; where nothing fits there is none."""
    denial = risk.position_cap(ticket(BUY, 200), snapshot(held), LIMITS)
    assert denial is not None
    if not denial.remedy:
        assert held >= 100
        return
    assert verdict(risk.position_cap, ticket(BUY, denial.remedy), snapshot(held)) == ""
    assert verdict(risk.position_cap, ticket(BUY, int(denial.remedy) + 1), snapshot(held)) == "POSITION_CAP"


# --- what may be lost -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "loss", "profit", "code"),
    [
        (BUY, None, None, ""),
        (BUY, "99.99", "100.01", ""),
        (BUY, "100", None, "BRACKET"),
        (BUY, "100.01", None, "BRACKET"),
        (BUY, None, "100", "BRACKET"),
        (BUY, None, "99.99", "BRACKET"),
        (SELL, "99.91", "99.89", ""),
        (SELL, "99.90", None, "BRACKET"),
        (SELL, None, "99.90", "BRACKET"),
    ],
)
def test_bracket_sides(side: Side, loss: str | None, profit: str | None, code: str) -> None:
    """A stop loss lies on the losing side of the entry, a target on the winning one; the entry itself is neither."""
    asked = ticket(side, stop_loss=loss and Decimal(loss), take_profit=profit and Decimal(profit))
    assert verdict(risk.bracket_sides, asked, snapshot(10)) == code


def test_a_bracket_is_measured_by_the_limit_of_its_entry() -> None:
    """Where the entry names its price, that price divides losing from winning."""
    assert verdict(risk.bracket_sides, ticket(limit="90", stop_loss=Decimal(95)), snapshot()) == "BRACKET"
    assert verdict(risk.bracket_sides, ticket(limit="90", stop_loss=Decimal(85)), snapshot()) == ""


@pytest.mark.parametrize("name", ["stop_loss", "take_profit"])
@pytest.mark.parametrize(
    ("price", "code"), [("0", "PRICE"), ("-1", "PRICE"), ("90.001", "TICK"), ("49.99", "PRICE"), ("50", "")]
)
def test_the_prices_of_a_bracket_are_sane_too(name: str, price: str, code: str) -> None:
    """What protects an entry is checked like the entry."""
    bound: dict[str, Any] = {name: Decimal(price)}
    assert verdict(risk.price_sane, ticket(**bound), snapshot()) == code


@pytest.mark.parametrize(
    ("quantity", "stop", "code"),
    [
        (100, "80", ""),  # 100 shares x 20 are the 2,000 that two percent of 100,000 allow
        (101, "80", "RISK_PER_TRADE"),
        (100, "79.99", "RISK_PER_TRADE"),
        (666, None, ""),  # without a stop: three times the average range of 1
        (667, None, "RISK_PER_TRADE"),
    ],
)
def test_risk_per_trade(quantity: int, stop: str | None, code: str) -> None:
    """What is lost at the stop, or at the assumed one, stays within its part of the account."""
    asked = ticket(BUY, quantity, stop_loss=stop and Decimal(stop))
    assert verdict(risk.risk_per_trade, asked, snapshot()) == code


@pytest.mark.parametrize(
    "moment",
    [snapshot(atr=None), snapshot(account=None), snapshot(account=replace(BASE, net_liquidation=None))],
    ids=["no range", "no account", "no worth"],
)
def test_risk_per_trade_denies_what_it_cannot_measure(moment: Snapshot) -> None:
    """An unknown loss is not a small one."""
    assert verdict(risk.risk_per_trade, ticket(BUY, 1), moment) == "RISK_PER_TRADE"


def test_risk_per_trade_names_the_largest_order_that_fits() -> None:
    """The remedy passes and one share more does not."""
    denial = risk.risk_per_trade(ticket(BUY, 5000), snapshot(), LIMITS)
    assert denial is not None
    assert verdict(risk.risk_per_trade, ticket(BUY, denial.remedy), snapshot()) == ""
    assert verdict(risk.risk_per_trade, ticket(BUY, int(denial.remedy) + 1), snapshot()) == "RISK_PER_TRADE"


def test_risk_per_trade_is_in_the_base_currency() -> None:
    """A loss in dollars is measured against an account in euros."""
    euros = Account(ACCOUNT, "EUR", net_liquidation=Decimal(100_000), rates={"USD": Decimal("0.80")})
    asked = ticket(BUY, 125, stop_loss=Decimal(80))
    assert verdict(risk.risk_per_trade, asked, snapshot(account=euros)) == ""
    assert (
        verdict(risk.risk_per_trade, replace(asked, quantity=Decimal(126)), snapshot(account=euros))
        == "RISK_PER_TRADE"
    )


# --- what an order is valued at ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "price"),
    [
        (ticket(BUY), "100"),
        (ticket(SELL), "99.90"),
        (ticket(BUY, limit="90"), "90"),
        (ticket(SELL, limit="120"), "120"),
        (ticket(BUY, stop="110"), "110"),
        (ticket(BUY, stop="95"), "100"),
        (ticket(SELL, stop="80"), "80"),
    ],
)
def test_worst_price(asked: Ticket, price: str) -> None:
    """A market order is valued at the far side of the quote, others at the price that binds them."""
    assert risk.worst_price(asked, QUOTE) == Decimal(price)


def test_worst_price_is_unknown_without_a_quote() -> None:
    """None, and not zero, for a market order that nobody quotes; a price of the order's own stands."""
    assert risk.worst_price(ticket(BUY), None) is None
    assert risk.worst_price(ticket(BUY, stop="110"), None) == Decimal(110)


# --- all together -----------------------------------------------------------------------------------------------------


def test_all_is_well() -> None:
    """A plain purchase on a good day meets no denial."""
    assert risk.check(ticket(), snapshot(), LIMITS) == ()


def test_every_denial_is_told_in_the_order_of_the_rules() -> None:
    """A person sees everything that is wrong at once, the road first and the size last."""
    lost = snapshot(0, link=replace(LINK, connected=False, mode=None), quote=None, atr=Decimal("0.0001"))
    found = codes(risk.check(ticket(SELL, 2_000_000, limit="0.001"), lost, LIMITS))
    assert found == ["CONNECTION", "ACCOUNT", "QUANTITY", "PRICE_UNKNOWN", "TICK", "SHORT_SALE"]


def test_the_rules_stand_in_their_order() -> None:
    """Taking a rule out, or letting another go free for exits, shows up here."""
    assert [(row.rule.__name__, row.binds_exits) for row in risk.RULES] == [
        ("connected", True),
        ("account_agrees", True),
        ("books_explain", False),
        ("quantity_sane", True),
        ("price_known", True),
        ("drift", False),
        ("delayed_data", False),
        ("price_sane", True),
        ("stop_side", True),
        ("sale_covered", True),
        ("bracket_sides", True),
        ("position_cap", False),
        ("risk_per_trade", False),
    ]


TIGHT = Limits(max_position_size=Decimal(1))


@pytest.mark.parametrize(
    ("asked", "held", "on"),
    [
        (ticket(SELL, 10), 10, ()),
        (ticket(SELL, 4), 10, (working(SELL, 6),)),
        (ticket(BUY, 10), -10, ()),
        (ticket(BUY, 4), -10, (working(BUY, 6),)),
    ],
    ids=["sell all", "sell the rest", "cover all", "cover the rest"],
)
def test_nobody_is_kept_from_getting_out(asked: Ticket, held: int, on: tuple[Any, ...]) -> None:
    """Rules about size never bind an order that can only make the holding smaller."""
    assert risk.check(asked, snapshot(held, working=on), TIGHT) == ()


@pytest.mark.parametrize(
    ("asked", "held", "on"),
    [
        (ticket(BUY, 1), 10, ()),
        (ticket(BUY, 1), 0, ()),
        (ticket(BUY, 11), -10, ()),
        (ticket(BUY, 5), -10, (working(BUY, 6),)),
    ],
    ids=["add", "open", "turn", "turn together"],
)
def test_who_may_end_up_larger_is_bound(asked: Ticket, held: int, on: tuple[Any, ...]) -> None:
    """An order that could open, add or turn a position, alone or with what works, is measured."""
    assert codes(risk.check(asked, snapshot(held, working=on), TIGHT)) == ["POSITION_CAP"]


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        (snapshot(10, link=replace(LINK, reconciled=False)), "CONNECTION"),
        (snapshot(10, link=replace(LINK, account="DU7")), "ACCOUNT"),
        (snapshot(10, quote=None), "PRICE_UNKNOWN"),
        (snapshot(10, quote=replace(QUOTE, time=NOW - timedelta(minutes=1))), "QUOTE_OLD"),
    ],
)
def test_identity_connection_and_freshness_bind_exits_too(moment: Snapshot, code: str) -> None:
    """Getting out still needs a road, the right account and a price."""
    assert codes(risk.check(ticket(SELL, 10), moment, LIMITS)) == [code]


def test_sanity_binds_exits_too() -> None:
    """A price off by a factor or off the tick is a slip on the way out as well."""
    assert codes(risk.check(ticket(SELL, 10, limit="1000"), snapshot(10), LIMITS)) == ["PRICE"]
    assert codes(risk.check(ticket(SELL, 10, stop="90.001"), snapshot(10), LIMITS)) == ["TICK"]


def test_an_exit_is_no_exit_while_the_holding_is_unknown() -> None:
    """Unknown positions make nothing smaller, and one denial says so."""
    assert not risk.reduces(ticket(SELL), snapshot(None))
    assert codes(risk.check(ticket(SELL), snapshot(None), LIMITS)) == ["POSITION_UNKNOWN"]


def test_the_holding_is_the_sum_over_its_lines_and_of_this_instrument_alone() -> None:
    """Other instruments do not count; an instrument that is not listed is held zero times, which is known."""
    moment = snapshot(positions=(position(7), position(5), position(100, con_id=1)))
    assert moment.held(AAPL.con_id) == 12
    assert moment.held(999) == 0
    assert snapshot(None).held(AAPL.con_id) is None


quantities = st.integers(1, 400)
holdings = st.integers(-200, 200)


@given(st.sampled_from(Side), quantities, holdings, st.integers(0, 200), st.integers(0, 200))
def test_no_order_that_passes_can_break_the_limits(
    side: Side, quantity: int, held: int, buying: int, selling: int
) -> None:
    """Whatever is held and works: if everything on the order's side fills, the cap holds or the position only shrank, and no short opens."""
    on = tuple(
        working(which, count, number=number)
        for number, (which, count) in enumerate(((BUY, buying), (SELL, selling)), 1)
        if count
    )
    moment = snapshot(held, working=on)
    if risk.check(ticket(side, quantity), moment, LIMITS):
        return
    end = held + quantity + buying if side is BUY else held - quantity - selling
    assert abs(end) <= 100 or abs(end) < abs(held)
    if side is SELL:
        assert end >= 0


@given(
    st.sampled_from(Side),
    quantities,
    holdings,
    st.sampled_from(["limit", "stop", ""]),
    st.integers(1, 40_000),
)
def test_every_verdict_is_a_value(side: Side, quantity: int, held: int, kind: str, cents: int) -> None:
    """No ticket makes a rule raise, and each denial is a sentence with a code."""
    asked = ticket(side, quantity, **({kind: str(Decimal(cents) / 100)} if kind else {}))
    for moment in (snapshot(held), snapshot(None), snapshot(held, quote=None), snapshot(held, account=None)):
        for denial in risk.check(asked, moment, LIMITS):
            assert denial.code.isupper()
            assert denial.message.endswith(".")


def test_the_rates_of_the_account() -> None:
    """The base currency is worth itself; what the broker has not said is unknown and not one."""
    assert BASE.rate("USD") == 1
    assert BASE.rate("EUR") == Decimal("1.10")
    assert BASE.rate("JPY") is None


def test_a_limit_order_without_a_limit_cannot_be_measured() -> None:
    """Terms with a hole in them are denied and not filled in."""
    holed = ticket(BUY, 1, order_type=OrderType.LIMIT)
    assert codes(risk.check(holed, snapshot(), LIMITS)) == ["PRICE", "POSITION_CAP"]
    assert "PRICE" in codes(risk.check(ticket(BUY, 1, order_type=OrderType.STOP), snapshot(), LIMITS))


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "-Infinity"])
def test_a_figure_that_is_no_number_denies(bad: str) -> None:
    """NaN and infinity, in the order or in the market, are denied and break nothing."""
    wild = Decimal(bad)
    asked = [
        (ticket(SELL, 1), snapshot(10, atr=wild)),
        (ticket(BUY, 1, limit="1", take_profit=wild), snapshot()),
        (ticket(BUY, bad), snapshot()),
        (ticket(SELL, bad), snapshot(10)),
        (ticket(BUY, 1, limit=bad), snapshot()),
        (ticket(BUY, 1), snapshot(quote=replace(QUOTE, ask=wild))),
        (ticket(BUY, 1), snapshot(account=replace(BASE, net_liquidation=wild))),
    ]
    for one, moment in asked:
        assert codes(risk.check(one, moment, LIMITS)) == ["NOT_A_NUMBER"]


def test_a_quote_from_the_future_denies() -> None:
    """A quote ahead of our clock by more than its allowed age means that a clock is wrong."""
    ahead = replace(QUOTE, time=NOW + timedelta(minutes=5))
    assert "QUOTE_TIME" in codes(risk.check(ticket(), snapshot(quote=ahead), LIMITS))


@pytest.mark.parametrize(
    ("mode", "asked", "denied"),
    [
        (Mode.PAPER, ticket(BUY, 1), False),
        (Mode.LIVE, ticket(BUY, 1), True),
        (Mode.LIVE, ticket(BUY, 1, limit="100"), False),
        (Mode.LIVE, ticket(SELL, 5), False),
    ],
)
def test_delayed_prices(mode: Mode, asked: Ticket, denied: bool) -> None:
    """With real money, delayed prices allow exits and hand-priced limits only; paper trades on them."""
    moment = snapshot(10, link=replace(LINK, mode=mode), quote=replace(QUOTE, delayed=True))
    assert ("DELAYED" in codes(risk.check(asked, moment, LIMITS))) is denied


@pytest.mark.parametrize(
    ("ask", "denied"), [("100.50", False), ("100.51", True), ("99.50", False), ("99.49", True)]
)
def test_drift_at_its_edge(ask: str, denied: bool) -> None:
    """Half a percent either way is still the card's price, a cent more is not; size is measured at the card's price."""
    moment = snapshot(quote=replace(QUOTE, bid=Decimal(99), ask=Decimal(ask)))
    asked = ticket(BUY, 1)
    assert ("DRIFT" in codes(risk.check(asked, moment, LIMITS))) is denied
    assert risk.worst_price(asked, moment.quote) == asked.reference_price


def test_a_size_that_fits_exactly_on_the_card_fits_at_the_tap() -> None:
    """A cent between card and tap does not turn a size that was measured into one that is refused."""
    limits = replace(LIMITS, max_position_size=Decimal(1000))
    moment = snapshot(quote=replace(QUOTE, ask=Decimal("100.01")))
    assert risk.check(ticket(BUY, 10), moment, limits) == ()


def test_books_that_do_not_explain_a_holding_stop_what_adds_to_it() -> None:
    """A drift in the symbol denies a buy and says both figures; in another symbol, or for a sale, it does not."""
    drift = Drift("DU1", ticket().instrument.con_id, "AAPL", "USD", Decimal(30), Decimal(40), Decimal(100))
    unsure = replace(snapshot(), drifts=(drift,))
    (denial,) = [d for d in risk.check(ticket(), unsure, LIMITS) if d.code == "POSITION_DRIFT"]
    assert "40" in denial.message
    assert "30" in denial.message
    elsewhere = replace(unsure, drifts=(replace(drift, con_id=1),))
    assert "POSITION_DRIFT" not in [d.code for d in risk.check(ticket(), elsewhere, LIMITS)]
