"""Every rule: passes, denies, holds on both sides of its edge, says no where something is not known or is no number, and lets out whoever only closes.

The cases stand in `risk_cases` and `risk_plan_cases`, the words that a person reads in `risk_words.txt`; here is what is asked of them, and what no single case shows.
"""

import itertools
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import risk
from core.model import (
    Account,
    Change,
    Denial,
    Mode,
    OrderState,
    OrderType,
    Quote,
    Right,
    Side,
    Ticket,
    Trading,
    TradingState,
)
from core.risk import Limits, RuleRow, Snapshot, bounds
from tests.core.risk_cases import (
    COVER,
    ENTRY,
    EURO,
    LIMITS,
    NAN,
    Case,
    D,
    case,
    leaving,
    rests,
    sent,
    works,
)
from tests.core.risk_pairs import pair
from tests.core.risk_plan_cases import CASES, CLOSE, HELD, LONG, SHARED, elsewhere, leg, line, plan, single
from tests.core.risk_plan_cases import FITTING as PLANS_FITTING
from tests.core.risk_plan_pairs import plan_pair
from tests.values import AAPL, ACCOUNT, BASE, LINK, NOW, QUOTE, WHAT_IF, approval, position, snapshot, ticket

BUY, SELL = Side.BUY, Side.SELL
ROWS = {row.rule.__name__: row for row in risk.RULES}
KINDS = {"edges": "edges", "missing": "missing", "wild": "wild", "leaves": "leaves"}
WORDS = Path(__file__).with_name("risk_words.txt")


def codes(denials: tuple[Denial, ...]) -> list[str]:
    return [denial.code for denial in denials]


def alone(name: str, one: Case) -> str:
    """What the rule by itself says: a code, or nothing."""
    denial = ROWS[name].rule(one.ticket, one.moment, one.limits)
    return denial.code if denial else ""


def all_say(one: Case) -> list[str]:
    """What all rules together say."""
    return codes(risk.check(one.ticket, one.moment, one.limits))


def each(kind: str) -> list[Any]:
    """(rule, case) of a kind, over all rules."""
    found = []
    for name, row in CASES.items():
        cases = getattr(row, kind)
        for number, one in enumerate(cases if isinstance(cases, tuple) else [cases] if cases else []):
            found.append(pytest.param(name, one, id=f"{name}-{number}"))
    return found


# --- the table --------------------------------------------------------------------------------------------------------


def test_every_rule_has_its_cases() -> None:
    """A rule that is added without cases fails here; so does a kind of case that is left out without a reason."""
    assert list(CASES) == list(ROWS)
    for name, row in CASES.items():
        assert row.passes, name
        assert row.denies, name
        empty = {kind for kind in KINDS if not getattr(row, kind)}
        assert empty == set(row.why), name


@pytest.mark.parametrize(("name", "one"), each("passes"))
def test_it_passes(name: str, one: Case) -> None:
    """What is in order meets no denial of this rule."""
    assert alone(name, one) == ""


@pytest.mark.parametrize(("name", "one"), each("denies"))
def test_it_denies(name: str, one: tuple[Case, str]) -> None:
    """What is not in order is denied, by the rule and in the sum of all."""
    asked, code = one
    assert alone(name, asked) == code
    if ROWS[name].binds_exits or not risk.reduces(asked.ticket, asked.moment):
        assert code in all_say(asked)


@pytest.mark.parametrize(("name", "one"), each("edges"))
def test_its_edge(name: str, one: tuple[Case, Case]) -> None:
    """The last that passes, and the first that does not."""
    inside, outside = one
    assert alone(name, inside) == ""
    assert alone(name, outside) in {code for _, code in CASES[name].denies} | {
        c for _, c in CASES[name].missing
    }
    assert alone(name, outside) != ""


@pytest.mark.parametrize(("name", "one"), each("missing"))
def test_what_is_missing_denies(name: str, one: tuple[Case, str]) -> None:
    """What is not known denies, by this rule or by the one that it belongs to: never does it pass."""
    asked, code = one
    assert alone(name, asked) == code
    assert all_say(asked) != []


@pytest.mark.parametrize(("name", "one"), each("wild"))
def test_what_is_no_number_denies(name: str, one: Case) -> None:
    """NaN, infinity and figures beyond measure are one denial, and break nothing."""
    assert all_say(one) == ["NOT_A_NUMBER"]


@pytest.mark.parametrize(("name", "one"), each("leaves"))
def test_an_order_that_only_closes(name: str, one: Case) -> None:
    """In the same trouble it is held only by the rules that say so: identity, road, freshness and sanity."""
    assert risk.reduces(one.ticket, one.moment)
    code = alone(name, one)
    assert code in {code for _, code in CASES[name].denies}
    assert all_say(one) == ([code] if ROWS[name].binds_exits else [])


def test_all_is_well() -> None:
    """A plain purchase on a good day meets no denial, and neither does a plain cover or sale, of options too."""
    assert all_say(case()) == all_say(leaving()) == all_say(case(ticket(SELL), 10)) == []
    assert all_say(plan(LONG)) == all_say(plan(CLOSE, HELD)) == []


@pytest.mark.parametrize(("name", "one", "code"), SHARED)
def test_a_rule_for_every_order_is_asked_of_plans(name: str, one: Case, code: str) -> None:
    """Measured by the most that they can lose, and by the leg that has most contracts."""
    assert alone(name, one) == code
    assert code == "" or code in all_say(one)


# --- which rules bind whom --------------------------------------------------------------------------------------------

BINDS_EXITS = {
    "analyst_halted", "connected", "account_agrees", "approval", "price_known", "quantity_sane", "price_sane", "stop_side",
    "bracket_sides", "sale_covered", "crossing", "plan_priced", "legs_fit", "plan_limit", "not_expired", "plan_crossing",
}  # fmt: skip


def test_the_rules_that_bind_exits() -> None:
    """None of size, rate, loss, exposure, liquidity and count is among them."""
    assert {name for name, row in ROWS.items() if row.binds_exits} == BINDS_EXITS


def test_the_rules_that_bind_new_prices_of_protection() -> None:
    """A stop that is moved sells what is held anyway, so neither the holding nor an order of ours stands in its way."""
    bound = {name for name, row in ROWS.items() if row.binds_exits and row.binds_protection}
    assert bound == BINDS_EXITS - {"sale_covered", "crossing", "plan_crossing"}


@pytest.mark.parametrize("name", ROWS)
def test_protection_is_bound_by_its_own_rules(name: str) -> None:
    """As protection, an order in each rule's trouble is denied by that rule where it binds protection, and else not at all."""
    one = CASES[name].leaves
    if one is None:
        one = case(ticket(SELL, 11), 10) if name == "sale_covered" else case(ticket(quantity=101))
        one = CASES[name].denies[0][0] if ROWS[name].plans else one
    told = codes(risk.check(one.ticket, one.moment, one.limits, protects=True))
    code = alone(name, one)
    assert code
    assert told == ([code] if ROWS[name].binds_exits and ROWS[name].binds_protection else [])


def test_protection_is_not_measured_by_the_holding() -> None:
    """It is no exit by itself where nothing is held yet: its entry may still wait."""
    asked = ticket(SELL, 10, stop="90")
    bare = snapshot(0, of=asked, atr=None, sent=None, what_if=None)
    assert "SHORT_SALE" in codes(risk.check(asked, bare, LIMITS))
    assert risk.check(asked, bare, LIMITS, protects=True) == ()


def test_only_the_forecast_can_wait() -> None:
    """Before the broker is asked, the one rule that needs his answer is left out, and no other."""
    assert [name for name, row in ROWS.items() if row.asks] == ["excess_liquidity"]
    unasked = case(what_if=None)
    assert all_say(unasked) == ["EXCESS_LIQUIDITY"]
    assert risk.check(unasked.ticket, unasked.moment, unasked.limits, asked=False) == ()
    poor = case(what_if=None, sent=None)
    assert "SAME_ORDER" in codes(risk.check(poor.ticket, poor.moment, poor.limits, asked=False))


# --- a limit that is not there ----------------------------------------------------------------------------------------


def needed() -> Iterator[Any]:
    for row in risk.RULES:
        for name in row.needs:
            wrong = (
                (None, NAN, D("Infinity"), float("nan"))
                if isinstance(getattr(LIMITS, name), Decimal)
                else (None,)
            )
            for bad in wrong:
                yield pytest.param(row, name, bad, id=f"{row.rule.__name__}-{name}-{bad}")


@pytest.mark.parametrize(("row", "name", "bad"), list(needed()))
def test_a_limit_that_is_missing_denies(row: RuleRow, name: str, bad: Any) -> None:
    """It denies what it would bound, says which it is, and holds an order that only closes where the rule does."""
    limits = {name: bad}
    entry, exits = (
        (case(limits=limits), leaving(limits=limits))
        if not row.plans
        else (plan(LONG, limits=limits), plan(CLOSE, HELD, limits=limits))
    )
    asking = [r for r in risk.RULES if name in r.needs and r.plans in (None, bool(row.plans))]
    denials = risk.check(entry.ticket, entry.moment, entry.limits)
    assert len(denials) == len(asking) > 0
    for denial in denials:
        assert denial.code == "LIMIT_MISSING"
        assert name.upper() in denial.message
        assert denial.remedy == f"set {name.upper()}"
    assert all_say(exits) == ["LIMIT_MISSING"] * sum(r.binds_exits for r in asking)


def test_every_limit_is_needed_by_a_rule() -> None:
    """None of them can go missing unnoticed."""
    named = {name for row in risk.RULES for name in row.needs}
    assert named == {f.name for f in fields(Limits)}


def test_a_limit_that_is_missing_stands_where_its_rule_stands() -> None:
    """It is one of the denials, in their order, and keeps no other from being told."""
    asked = case(sent=None, limits={"max_orders_per_minute": None}, trading=Trading(TradingState.REDUCING))
    told = [
        "TRADING_STATE",
        "HOUR_VALUE",
        "DAY_VALUE",
        "SAME_ORDER",
        "LIMIT_MISSING",
        "ORDERS_PER_DAY",
        "FILLS_PER_SYMBOL",
        "REJECTS",
    ]
    assert all_say(asked) == told


# --- all together -----------------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_told_at_once() -> None:
    """On a day on which everything is wrong a person reads all of it, in the order of the rules."""
    now = datetime(2026, 3, 3, 5, 30, tzinfo=UTC)
    asked = ticket(BUY, "20000.5", limit="130", stop_loss=D(140), reference_price=D(100), decision_id="D1")
    twin = sent(
        terms=asked.same_terms, at=now - timedelta(seconds=1), filled_at=now, rejected_at=now, worth=D(60_000)
    )
    moment = snapshot(
        of=ticket(),
        now=now,
        link=replace(LINK, mode=Mode.LIVE, reconciled=False),
        quote=replace(QUOTE, bid=D(90), ask=D(110), close=D(50), halted=True),
        trading=Trading(TradingState.HALTED),
        account=replace(BASE, day_gain=D(-9000)),
        drifts=(CASES["books_explain"].denies[0][0].moment.drifts),
        working=rests(SELL, "100"),
        sent=(twin,) * 30,
        what_if=replace(WHAT_IF, maintenance_margin_after=D(99_999)),
    )  # fmt: skip
    limits = replace(LIMITS, denied_symbols=frozenset({"AAPL"}))
    assert codes(risk.check(asked, moment, limits)) == [
        "TRADING_STATE", "CONNECTION", "LIVE_READ_ONLY", "APPROVAL", "POSITION_DRIFT", "QUOTE_OLD", "DRIFT", "SPREAD", "JUMP",
        "HALTED_BY_EXCHANGE", "RESET_WINDOW", "QUANTITY", "BRACKET", "CROSSING", "SYMBOL", "ORDER_SIZE", "ORDER_VALUE", "HOUR_VALUE",
        "DAY_VALUE", "COLLAR", "POSITION_CAP", "GROSS_EXPOSURE", "RISK_PER_TRADE", "DAY_LOSS", "SAME_ORDER", "ORDERS_PER_MINUTE",
        "ORDERS_PER_DAY", "FILLS_PER_SYMBOL", "REJECTS", "EXCESS_LIQUIDITY",
    ]  # fmt: skip


@given(st.integers(0, 2**32), st.booleans())
def test_every_verdict_is_a_value(seed: int, options: bool) -> None:
    """No order makes a rule raise; each denial is a code with a sentence, told once for each rule that denies, in their order."""
    asked, moment, limits = (plan_pair if options else pair)(Random(seed))
    told = risk.check(asked, moment, limits)
    for denial in told:
        assert denial.code.replace("_", "").isupper()
        assert denial.message.endswith(".")
        assert denial.fits is None or denial.fits >= 1
    if any(denial.code == "NOT_A_NUMBER" for denial in told):
        assert len(told) == 1
        return
    if None in [getattr(limits, f.name) for f in fields(limits)] or "LIMIT_MISSING" in codes(told):
        return
    exits = risk.reduces(asked, moment)
    rows = [row for row in risk.RULES if row.plans in (None, options)]
    single = [row.rule(asked, moment, limits) for row in rows if row.binds_exits or not exits]
    assert told == tuple(denial for denial in single if denial is not None)


def test_the_words_are_those_that_were_read() -> None:
    """What a person reads: every sentence, figure, limit and remedy of every case, as somebody has read them once.

    After a change of words: python -m tests.core.risk_words, and read what has changed.
    """
    from tests.core.risk_words import told

    assert WORDS.read_text("utf-8") == told()


# --- what a smaller quantity cures ------------------------------------------------------------------------------------

FITTING = (
    "sale_covered",
    "order_size",
    "order_value",
    "hour_value",
    "day_value",
    "position_cap",
    "gross_exposure",
    "risk_per_trade",
    "excess_liquidity",
)
amounts = st.decimals("0.01", 200_000, places=2)


@given(
    name=st.sampled_from(FITTING),
    quantity=st.integers(1, 30_000),
    cents=st.integers(1, 50_000),
    kind=st.sampled_from([("STK", 1), ("STK", 100), ("FUT", 100), ("CASH", 1)]),
    rate=st.decimals("0.0050", 200, places=4),
    room=amounts,
    held=st.integers(-300, 300),
    told=st.integers(-300, 300) | st.none(),
    waiting=st.integers(0, 200),
    takes=st.decimals("0.01", 999, places=2),
    before=amounts,
)
def test_what_fits_passes_and_one_more_does_not(
    name: str, quantity: int, cents: int, kind: tuple[str, int], rate: Decimal, room: Decimal, held: int, told: int | None,
    waiting: int, takes: Decimal, before: Decimal,
) -> None:  # fmt: skip
    """The quantity that a denial offers is let through by that rule, one more is not; where none is offered not even one would pass."""
    side = SELL if name == "sale_covered" else BUY
    thing = replace(AAPL, kind=kind[0], multiplier=D(kind[1]))
    price = D(cents) / 100
    limits = replace(
        LIMITS, max_order_shares=room, max_order_contracts=room, max_order_value_base=room, max_hour_value_base=room,
        max_day_value_base=room, max_position_size=room, min_excess_liquidity_percent=room / 2_500,
    )  # fmt: skip
    account = replace(EURO, rates={"USD": rate}, net_liquidation=room)
    on = (works(side, waiting),) if waiting else ()

    def verdict(many: int) -> Denial | None:
        asked = ticket(
            side, many, instrument=thing, limit=str(price), stop_loss=None if side is SELL else price * 2 / 3
        )
        margin = replace(
            WHAT_IF,
            maintenance_margin_change=takes * many,
            maintenance_margin_after=takes * many,
            equity_with_loan_after=room,
        )
        around = snapshot(
            held, of=asked, working=on, account=account, sent=(sent(worth=before),), what_if=margin,
            told=None if told is None else (position(told),),
        )  # fmt: skip
        return ROWS[name].rule(asked, around, limits)

    denial = verdict(quantity)
    if denial is None:
        return
    if denial.fits is None:
        assert verdict(1) is not None
        return
    assert isinstance(denial.fits, int)
    assert 1 <= denial.fits < quantity
    assert verdict(denial.fits) is None
    assert verdict(denial.fits + 1) is not None


@given(
    name=st.sampled_from([*PLANS_FITTING, "order_size", "order_value", "gross_exposure"]),
    quantity=st.integers(1, 300),
    strike=st.sampled_from([90, 95, 100, 110]),
    cents=st.integers(1, 2_000),
    owed_before=st.integers(0, 3),
    room=st.decimals(1, 60_000, places=2),
    rate=st.decimals("0.5", 2, places=3),
)
def test_what_fits_of_a_plan_passes_and_one_more_does_not(
    name: str, quantity: int, strike: int, cents: int, owed_before: int, room: Decimal, rate: Decimal
) -> None:
    """The same of puts that are sold, beside others that are owed."""
    limits = {
        "max_position_size": room, "max_order_value_base": room, "max_order_contracts": room // 100, "max_gross_exposure_percent": room / 1000,
    }  # fmt: skip
    account = replace(EURO, cash=room, rates={"USD": rate}, net_liquidation=D(100_000))
    before = [line(leg(Right.PUT, 85), -owed_before)] if owed_before else []

    def verdict(many: int) -> Denial | None:
        asked = single(SELL, leg(Right.PUT, strike), many, limit=f"{D(cents) / 100}")
        one = plan(asked, *before, limits=limits, account=account, atr=D("2.5"))
        return ROWS[name].rule(one.ticket, one.moment, one.limits)

    denial = verdict(quantity)
    if denial is None:
        return
    if denial.fits is None:
        assert verdict(1) is not None
        return
    assert 1 <= denial.fits < quantity
    assert verdict(denial.fits) is None
    assert verdict(denial.fits + 1) is not None


@given(
    options=st.booleans(),
    quantity=st.integers(1, 3_000),
    cents=st.integers(1, 2_000),
    owed_here=st.integers(0, 2),
    owed_elsewhere=st.integers(0, 2),
    waiting=st.integers(0, 50),
    room=st.decimals(1, 100_000, places=2),
    rate=st.decimals("0.5", 2, places=3),
)
def test_what_fits_beside_puts_passes_and_one_more_does_not(
    options: bool, quantity: int, cents: int, owed_here: int, owed_elsewhere: int, waiting: int, room: Decimal, rate: Decimal
) -> None:  # fmt: skip
    """The same of what is bought while puts are owed: shares, and calls."""
    puts = (line(leg(Right.PUT, 85), -owed_here), elsewhere(-owed_elsewhere))
    around: dict[str, Any] = {
        "account": replace(EURO, cash=room, rates={"USD": rate}),
        "working": rests(BUY, f"{waiting or 1}"),
    }

    def verdict(many: int) -> Denial | None:
        price = f"{D(cents) / 100}"
        bought = (
            single(BUY, leg(Right.CALL, 100), many, limit=price)
            if options
            else ticket(BUY, many, limit=price)
        )
        one = plan(bought, *puts, **around) if options else case(bought, **around, positions=puts)
        return ROWS["cash_kept"].rule(one.ticket, one.moment, one.limits)

    each, tied = D(cents) / 100 * (100 if options else 1), 8_500 * owed_here + 10_000 * owed_elsewhere
    most = (room / rate - tied - 10 * (waiting or 1)) / each
    denial = verdict(quantity)
    assert (denial is None) == (not tied or quantity <= most)
    if denial is None:
        return
    assert denial.fits == (int(most) if most >= 1 else None)
    assert verdict(denial.fits or 1) is None or denial.fits is None
    assert verdict((denial.fits or 0) + 1) is not None


@pytest.mark.parametrize("one", [one for one, code in CASES["plan_collar"].denies if code])
def test_the_edge_of_a_plans_collar_is_the_remedy(one: Case) -> None:
    """The limit that a denial offers passes, and the next cent beyond it does not."""
    denial = ROWS["plan_collar"].rule(one.ticket, one.moment, one.limits)
    assert denial is not None
    edge = D(denial.limit)
    beyond = D("0.01") if one.ticket.instrument.legs else one.ticket.side.sign * D("0.01")

    def at(limit: Decimal) -> Denial | None:
        asked = replace(one.ticket, limit_price=limit, final_limit=limit)
        return ROWS["plan_collar"].rule(asked, one.moment, one.limits)

    assert at(edge) is None
    assert at(edge + beyond) is not None


PENNY = ticket(quantity=50, limit="0.01")
POOR = replace(BASE, net_liquidation=D(-50_000))
FREE = replace(AAPL, multiplier=D(0))


@pytest.mark.parametrize(
    ("name", "one", "fits"),
    [
        ("order_value", case(PENNY, limits={"max_order_value_base": D("0.25")}), 25),
        ("risk_per_trade", case(atr=D("0.01"), account=replace(BASE, net_liquidation=D(10))), 6),
        ("order_size", case(limits={"max_order_shares": D(-5)}), None),
        ("order_value", case(limits={"max_order_value_base": D(-5000)}), None),
        ("hour_value", case(ticket(quantity=0), sent=(sent(worth=60_000),)), None),
        ("position_cap", case(ticket(instrument=FREE), limits={"max_position_size": D(-1)}), None),
        ("position_cap", case(limits={"max_position_size": D(-5000)}), None),
        ("risk_per_trade", case(ticket(quantity=0), account=POOR), None),
        ("risk_per_trade", case(ticket(quantity=-9), account=POOR), None),
    ],
)
def test_what_fits_at_the_ends(name: str, one: Case, fits: int | None) -> None:
    """Pennies are cured like thousands; where there is no room, or nothing to divide by, nothing is offered and nothing breaks."""
    denial = ROWS[name].rule(one.ticket, one.moment, one.limits)
    assert denial is not None
    assert denial.fits == fits


def test_the_exposure_by_itself() -> None:
    """What is held and what works, without an order; None where it cannot be measured."""
    assert bounds.exposure(snapshot(5, working=rests(BUY, "90"))) == 1400
    assert bounds.exposure(snapshot(5, account=None)) is None
    assert bounds.exposure(snapshot(None)) is None


def test_rules_that_a_smaller_quantity_does_not_cure_offer_none() -> None:
    """Only the rules above say what fits."""
    offering = {
        name for name, row in CASES.items() for one, _ in row.denies
        for denial in [ROWS[name].rule(one.ticket, one.moment, one.limits)] if denial and denial.fits is not None
    }  # fmt: skip
    assert offering == {*FITTING, *PLANS_FITTING, "cash_kept"}


# --- who gets out, and what an exit is --------------------------------------------------------------------------------

NOTHING: dict[str, Any] = {
    name: D(0)
    for f in fields(Limits)
    for name in [f.name]
    if name.startswith("max_") and name != "max_price_factor" and isinstance(getattr(LIMITS, name), Decimal)
}
TIGHT = replace(LIMITS, **NOTHING)


@pytest.mark.parametrize(
    ("asked", "held", "on", "leaves"),
    [
        (ticket(SELL, 10), 10, (), True),
        (ticket(SELL, 4), 10, (works(SELL, 6),), True),
        (ticket(SELL, 5), 10, (works(SELL, 6),), False),
        (ticket(SELL, 11), 10, (), False),
        (ticket(SELL, 10), None, (), False),
        (ticket(SELL, 1), 0, (), False),
        (ticket(SELL, 1), 1, (), True),
        (ticket(SELL, 0), 0, (), False),
        (ticket(BUY, 10), -10, (), True),
        (ticket(BUY, 4), -10, (works(BUY, 6),), True),
        (ticket(BUY, 4), -10, (works(BUY, 9, filled=D(3)),), True),
        (ticket(BUY, 5), -10, (works(BUY, 6),), False),
        (ticket(BUY, 11), -10, (), False),
        (ticket(BUY, 1), 10, (), False),
        (ticket(BUY, 1), 0, (), False),
        (ticket(BUY, 10), -10, (works(BUY, 10, con_id=1), works(SELL, 10)), True),
    ],
)  # fmt: skip
def test_who_only_closes(asked: Ticket, held: int | None, on: tuple[Any, ...], leaves: bool) -> None:
    """Whoever cannot end up larger or turned round, whatever else fills, is measured by no limit of size; everybody else is."""
    moment = snapshot(held, of=asked, working=on, atr=None, sent=None, what_if=None, account=None)
    assert risk.reduces(asked, moment) is leaves
    denials = risk.check(asked, moment, TIGHT)
    assert (denials == ()) is leaves


def test_an_exit_is_measured_by_the_less_of_two_counts() -> None:
    """Our count and the broker's: an order that closes by one and not by the other is an entry."""

    def seen(*told: int) -> Snapshot:
        return snapshot(10, told=tuple(position(count) for count in told))

    assert risk.reduces(ticket(SELL, 10), seen(10))
    assert not risk.reduces(ticket(SELL, 10), seen(9))
    assert not risk.reduces(ticket(SELL, 1), seen(-10))
    assert not risk.reduces(ticket(SELL, 1), seen())
    assert risk.reduces(ticket(SELL, 9), seen(4, 5))


@pytest.mark.parametrize(
    "moment",
    [
        {"atr": NAN}, {"account": replace(BASE, day_gain=NAN)}, {"account": replace(BASE, net_liquidation=NAN)}, {"account": replace(BASE, rates={"EUR": NAN})},
        {"what_if": replace(WHAT_IF, maintenance_margin_after=NAN)}, {"quote": replace(QUOTE, close=NAN)}, {"sent": (sent(worth="NaN"),)},
        {"positions": (position(-100, market_value=NAN), position("NaN", 7))}, {"told": (position(-100), position("NaN", 7))},
        {"working": (works(BUY, "NaN", con_id=7),)}, {"working": (works(SELL, 5, worth=NAN),)},
    ],
)  # fmt: skip
def test_a_figure_that_an_exit_is_not_measured_by_does_not_hold_it(moment: dict[str, Any]) -> None:
    """A broken figure of the account or of something else holds entries, and nobody who gets out."""
    assert all_say(leaving(**moment)) == []
    if "told" not in moment:  # of another thing the broker's count says nothing to an entry either
        assert all_say(case(ticket(quantity=1000), **moment)) == ["NOT_A_NUMBER"]


@given(
    st.sampled_from(Side),
    st.integers(1, 400),
    st.integers(-200, 200),
    st.integers(0, 200),
    st.integers(0, 200),
)
def test_no_order_that_passes_can_break_the_limits(
    side: Side, quantity: int, held: int, buying: int, selling: int
) -> None:
    """Whatever is held and works: if everything on the order's side fills, the cap holds or the position only shrank, and no short opens."""
    on = tuple(
        works(which, count, number=number)
        for number, (which, count) in enumerate(((BUY, buying), (SELL, selling)), 1)
        if count
    )
    asked = ticket(side, quantity)
    if risk.check(asked, snapshot(held, of=asked, working=on), LIMITS):
        return
    end = held + quantity + buying if side is BUY else held - quantity - selling
    assert abs(end) <= 100 or abs(end) < abs(held)
    if side is SELL:
        assert end >= 0
        assert risk.reduces(asked, snapshot(held, working=on))  # nothing else sells


# --- what is held, what works -----------------------------------------------------------------------------------------


def test_the_holding_is_the_sum_over_its_lines_and_of_this_instrument_alone() -> None:
    """Other instruments do not count; an instrument that is not listed is held zero times, which is known."""
    moment = snapshot(positions=(position(7), position(5), position(100, con_id=1)))
    assert (
        moment.held(AAPL.con_id) == moment.held_at_most(AAPL.con_id) == moment.long_at_most(AAPL.con_id) == 12
    )
    assert moment.held(999) == 0
    assert snapshot(None).held(AAPL.con_id) is None
    assert snapshot(None, told=(position(5),)).held(AAPL.con_id) is None
    assert snapshot(None, told=(position(5),)).held_at_most(AAPL.con_id) is None
    assert snapshot(None, told=(position(5),)).long_at_most(AAPL.con_id) is None


@pytest.mark.parametrize(
    ("counted", "told", "least", "most", "long"),
    [(10, 10, 10, 10, 10), (10, 4, 4, 10, 10), (4, 10, 4, 10, 10), (-10, -4, -4, -10, -4), (10, -4, 0, 10, 10), (-10, 4, 0, -10, 4), (10, 0, 0, 10, 10), (0, -5, 0, -5, 0), (1, -1, 0, 1, 1)],
)  # fmt: skip
def test_two_counts_of_a_holding(counted: int, told: int, least: int, most: int, long: int) -> None:
    """A sale is measured by the less, a look at what moves by the more, a purchase by the longer."""
    moment = snapshot(counted, told=(position(told),))
    con_id = AAPL.con_id
    assert moment.held(con_id) == least
    assert moment.held_at_most(con_id) == most
    assert moment.long_at_most(con_id) == long


def test_what_works_counts_for_what_may_still_trade() -> None:
    """Filled parts are in the holding already, ended orders are over, UNKNOWN ones may fill, an asked larger quantity counts."""
    sales = (
        works(SELL, 10, filled=D(7)),
        works(SELL, 100, state=OrderState.CANCELLED),
        works(SELL, 2, state=OrderState.UNKNOWN),
        works(SELL, 1, owner=None),
        works(SELL, 100, con_id=1),
        works(BUY, 60),
        works(SELL, 1, change=Change("X", D(4), None, None, NOW)),
    )
    moment = snapshot(10, working=sales)
    assert moment.on_sale(AAPL.con_id) == moment.working_quantity(AAPL.con_id, SELL) == 10
    assert moment.working_quantity(AAPL.con_id, BUY) == 60


def test_what_a_unit_trades_at() -> None:
    """As the broker last told of the holding; None where there is none or nothing is told."""
    assert snapshot(5).price_of(AAPL.con_id) == 100
    assert snapshot(5).price_of(7) is None
    assert snapshot(None).price_of(7) is None


# --- what an order is valued at ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "price"),
    [
        (ticket(BUY), "100"),
        (ticket(SELL), "99.90"),
        (ticket(BUY, reference_price=D("99.80")), "99.80"),
        (ticket(BUY, reference_price=D(0)), "100"),
        (ticket(BUY, reference_price=D("0.5")), "0.5"),
        (ticket(BUY, stop_price=D(110)), "100"),
        (ticket(BUY, reference_price=D("-1")), "100"),
        (ticket(BUY, limit="90"), "90"),
        (ticket(SELL, limit="120"), "120"),
        (ticket(BUY, stop="110"), "110"),
        (ticket(BUY, stop="95"), "100"),
        (ticket(SELL, stop="80"), "80"),
    ],
)
def test_worst_price(asked: Ticket, price: str) -> None:
    """A market order is valued at its card's price, others at the price that binds them."""
    assert risk.worst_price(asked, QUOTE) == D(price)


def test_worst_price_is_unknown_without_a_quote() -> None:
    """None, and not zero, for a market order that nobody quotes; a price of the order's own stands."""
    assert risk.worst_price(ticket(BUY), None) is None
    assert risk.worst_price(ticket(BUY), replace(QUOTE, ask=None)) is None
    assert (
        risk.worst_price(ticket(BUY, stop="110"), None)
        == risk.worst_price(ticket(BUY, stop="110"), replace(QUOTE, ask=D(0)))
        == 110
    )
    assert risk.worst_price(ticket(BUY, order_type=OrderType.LIMIT), QUOTE) is None
    assert risk.worst_price(ticket(BUY, order_type=OrderType.STOP), QUOTE) == 100


@pytest.mark.parametrize(
    ("asked", "account", "worth"),
    [(ticket(BUY, 3), BASE, "300"), (ticket(BUY, 3), EURO, "240"), (ticket(BUY, 3, limit="90"), BASE, "270"), (ticket(BUY, 3, instrument=replace(AAPL, multiplier=D(100))), BASE, "30000"), (ticket(BUY, 3), replace(EURO, rates={}), None), (ticket(BUY, 3), None, None)],
)  # fmt: skip
def test_value(asked: Ticket, account: Account | None, worth: str | None) -> None:
    """In base currency, with the multiplier, at the account's own rate."""
    assert risk.value(asked, snapshot(account=account)) == (worth and D(worth))
    assert risk.value(asked, snapshot(account=account, quote=None)) == (
        worth if asked.limit_price is None and worth is None else (D("270") if asked.limit_price else None)
    )


@pytest.mark.parametrize(
    ("asked", "moment", "lost"),
    [
        (ticket(BUY, 10, stop_loss=D(98)), {}, "20"),
        (ticket(SELL, 10, stop_loss=D("101.90")), {}, "20"),
        (ticket(BUY, 10, limit="90", stop_loss=D(88)), {}, "20"),
        (ticket(BUY, 10, stop_loss=D(98)), {"account": EURO}, "16"),
        (ticket(BUY, 10, stop_loss=D(98), instrument=replace(AAPL, multiplier=D(100))), {}, "2000"),
        (ticket(BUY, 10), {}, "30"),
        (ticket(BUY, 10), {"quote": None}, "30"),
        (ticket(BUY, 10), {"atr": None}, None),
        (ticket(BUY, 10, stop_loss=D(98)), {"quote": None}, None),
        (ticket(BUY, 10, stop_loss=D(98)), {"account": None}, None),
    ],
)  # fmt: skip
def test_at_risk(asked: Ticket, moment: dict[str, Any], lost: str | None) -> None:
    """The way to the stop, or to the assumed one, times everything that is bought, in base currency."""
    assert risk.at_risk(asked, snapshot(**moment), LIMITS) == (lost and D(lost))


@pytest.mark.parametrize(
    ("asked", "held", "moment", "stop"),
    [
        (ticket(BUY), 0, {}, "97"),
        (ticket(BUY), 0, {"atr": D("1.001")}, "96.99"),
        (ticket(BUY, limit="90"), 0, {}, "87"),
        (ticket(BUY, instrument=replace(AAPL, min_tick=D("0.05"))), 0, {"atr": D("1.01")}, "96.95"),
        (ticket(SELL), 0, {}, "102.90"),
        (ticket(BUY, stop_loss=D(90)), 0, {}, None),
        (ticket(BUY), 0, {"quote": None}, None),
        (ticket(BUY), 0, {"atr": None}, None),
        (ticket(BUY), 0, {"atr": D("33.33")}, "0.01"),
        (ticket(BUY), 0, {"atr": D("33.3333")}, None),
        (ticket(BUY), 0, {"atr": D(40)}, None),
        (ticket(BUY), -10, {}, None),
        (ticket(BUY, instrument=replace(AAPL, min_tick=D(0))), 0, {}, None),
    ],
)  # fmt: skip
def test_offered_stop(asked: Ticket, held: int, moment: dict[str, Any], stop: str | None) -> None:
    """The assumed distance from the entry, on the tick; nothing where there is one already, or nothing to measure, or nothing to protect."""
    assert risk.offered_stop(asked, snapshot(held, **moment), LIMITS) == (stop and D(stop))


@pytest.mark.parametrize(
    ("ask", "shown", "moved"),
    [("100.50", "100", None), ("100.505", "100", "0.00505"), ("1", "0.5", "1"), ("100.51", "100", "0.0051"), ("99.49", "100", "0.0051"), (None, "100", None), ("100.51", "0", None), ("101", "-1", None)],
)  # fmt: skip
def test_drifted(ask: str | None, shown: str, moved: str | None) -> None:
    """As a part of the card's price, where it is more than is allowed."""
    quote = replace(QUOTE, ask=None if ask is None else D(ask))
    assert risk.drifted(ticket(reference_price=D(shown)), quote, LIMITS) == (moved and D(moved))
    assert risk.drifted(ticket(), None, LIMITS) is None


def test_the_rates_of_the_account() -> None:
    """The base currency is worth itself; what the broker has not said is unknown and not one."""
    assert BASE.rate("USD") == 1
    assert BASE.rate("EUR") == D("1.10")
    assert BASE.rate("JPY") is None


def test_a_size_that_fits_exactly_on_the_card_fits_at_the_tap() -> None:
    """A cent between card and tap does not turn a size that was measured into one that is refused."""
    exact = case(quote=replace(QUOTE, ask=D("100.01")), limits={"max_position_size": D(1000)})
    assert all_say(exact) == []


# --- the state that a rule calls for ----------------------------------------------------------------------------------


def lost(percent: str) -> Account:
    """The account when it has lost so much of what it was worth before."""
    gain = -D(percent) * 1000
    return replace(BASE, day_gain=gain, net_liquidation=100_000 + gain)


def rejected(*seconds: int) -> tuple[Any, ...]:
    return tuple(sent(timedelta(hours=1), None, rejected_at=NOW - timedelta(seconds=s)) for s in seconds)


ACTIVE, HALTED, REDUCING = Trading(), TradingState.HALTED, TradingState.REDUCING


@pytest.mark.parametrize(
    ("account", "left", "trading", "state", "why"),
    [
        (BASE, (), ACTIVE, None, ""),
        (None, (), ACTIVE, None, ""),
        (lost("2.9999"), (), ACTIVE, None, ""),
        (lost("3"), (), ACTIVE, REDUCING, "The account has lost 3.00 % today."),
        (lost("4.9999"), (), ACTIVE, REDUCING, "The account has lost 5.00 % today."),
        (lost("5"), (), ACTIVE, HALTED, "The account has lost 5.00 % today."),
        (lost("-7"), (), ACTIVE, None, ""),
        (BASE, rejected(1, 2), ACTIVE, None, ""),
        (BASE, rejected(1, 2, 299), ACTIVE, HALTED, "The broker has rejected 3 orders within five minutes."),
        (BASE, rejected(1, 2, 300), ACTIVE, None, ""),
        (None, rejected(1, 2, 3), ACTIVE, HALTED, "The broker has rejected 3 orders within five minutes."),
        (lost("3"), rejected(1, 2, 3, 4), ACTIVE, HALTED, "The broker has rejected 4 orders within five minutes."),
        (BASE, rejected(1, 2, 30), Trading(since=NOW - timedelta(seconds=30)), None, ""),
        (BASE, rejected(1, 2, 29), Trading(since=NOW - timedelta(seconds=30)), HALTED, "The broker has rejected 3 orders within five minutes."),
        (BASE, rejected(1, 2, 299), Trading(since=NOW - timedelta(hours=1)), HALTED, "The broker has rejected 3 orders within five minutes."),
        (BASE, rejected(1, 2, 30), Trading(REDUCING, since=NOW), HALTED, "The broker has rejected 3 orders within five minutes."),
    ],
)  # fmt: skip
def test_tightened(
    account: Account | None, left: tuple[Any, ...], trading: Trading, state: TradingState | None, why: str
) -> None:
    """3 % lost is REDUCING, 5 % and three rejections in five minutes are HALTED; rejections from before the owner opened again are forgiven."""
    assert risk.tightened(account, left, trading, NOW, LIMITS) == (None if state is None else (state, why))


@pytest.mark.parametrize(
    ("account", "percent"),
    [(BASE, 0), (lost("4"), 4), (lost("-4"), -4), (None, None), (replace(BASE, day_gain=None), None), (replace(BASE, net_liquidation=None), None), (replace(BASE, day_gain=D(100_000)), None), (replace(BASE, day_gain=D(99_999)), -9_999_900)],
)  # fmt: skip
def test_lost_percent(account: Account | None, percent: int | None) -> None:
    """Of what the account was worth before; None where that is not known or was nothing."""
    assert risk.lost_percent(account) == percent


@pytest.mark.parametrize(
    ("now", "began"),
    [("2026-03-02T15:30:12.000345", "2026-03-02T05:00"), ("2026-03-02T05:00", "2026-03-02T05:00"), ("2026-03-02T04:59", "2026-03-01T05:00"), ("2026-07-02T03:59", "2026-07-01T04:00"), ("2026-03-08T20:00", "2026-03-08T05:00")],
)  # fmt: skip
def test_day_began(now: str, began: str) -> None:
    """Midnight in New York, in winter, in summer and on the day on which the clocks change."""
    assert risk.day_began(datetime.fromisoformat(now).replace(tzinfo=UTC)) == datetime.fromisoformat(
        began
    ).replace(tzinfo=UTC)


# --- rules together with each other -----------------------------------------------------------------------------------


def test_a_limit_order_without_a_limit_cannot_be_measured() -> None:
    """Terms with a hole in them are denied and not filled in."""
    holed = ["PRICE", "ORDER_VALUE", "HOUR_VALUE", "DAY_VALUE", "POSITION_CAP", "GROSS_EXPOSURE"]
    assert all_say(case(ticket(order_type=OrderType.LIMIT))) == holed


def test_the_nearest_tick_is_the_remedy() -> None:
    """A denial over a tick says what would pass, and that passes."""
    coarse = replace(AAPL, min_tick=D("0.05"))
    (denial,) = risk.check(
        ticket(limit="99.97", instrument=coarse),
        case(ticket(limit="99.97", instrument=coarse)).moment,
        LIMITS,
    )
    assert denial.remedy == "99.95"
    assert all_say(case(ticket(limit="99.95", instrument=coarse))) == []


@pytest.mark.parametrize(("side", "limit"), list(itertools.product(Side, ["104", "96", "99.91"])))
def test_the_edge_of_a_collar_is_the_remedy(side: Side, limit: str) -> None:
    """The limit that a denial offers passes, and the next tick beyond it does not."""
    asked = ticket(side, limit=limit)
    denial = bounds.collar(asked, snapshot(), LIMITS)
    if denial is None:
        return
    edge = D(denial.limit)
    assert bounds.collar(ticket(side, limit=str(edge)), snapshot(), LIMITS) is None
    assert (
        bounds.collar(ticket(side, limit=str(edge + side.sign * D("0.01"))), snapshot(), LIMITS) is not None
    )


def test_the_card_of_another_account_is_said_before_its_being_live() -> None:
    """Which account it is comes first."""
    assert all_say(case(link=replace(LINK, account="U7", mode=Mode.LIVE))) == ["ACCOUNT"]


def test_the_quotes_of_the_other_side_do_not_matter_to_an_exit() -> None:
    """Whoever sells needs a bid, and whoever buys an ask."""

    def quoted(**changes: Any) -> Quote:
        return replace(QUOTE, **changes)

    assert all_say(leaving(quote=quoted(bid=None))) == []
    assert all_say(leaving(quote=quoted(ask=None))) == ["PRICE_UNKNOWN"]
    assert all_say(case(ticket(SELL), 10, quote=quoted(ask=None))) == []


def test_an_approval_is_of_these_terms() -> None:
    """Every term is in the hash, so that no other order can leave on the same yes."""
    others: list[dict[str, Any]] = [
        {"quantity": 11},
        {"side": SELL},
        {"limit": "100"},
        {"stop": "101"},
        {"stop_loss": D(90)},
        {"take_profit": D(110)},
        {"account": ACCOUNT + "9"},
    ]
    for other in others:
        asked = ticket(**other)
        assert "APPROVAL" in codes(risk.check(asked, snapshot(20, approved=approval(ENTRY)), LIMITS)), other
    assert all_say(Case(COVER, snapshot(-100, approved=approval(ENTRY)), LIMITS)) == []
