"""Options and combinations: the cases of the rules that only they have, and of those that they share with shares.

The premiums are those of the usual example (shares at 100): calls 100 at 3.59 and 105 at 1.66, puts 100 at 3.26 and 95 at 1.33.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from core import risk
from core.model import (
    Change,
    Drift,
    Instrument,
    Leg,
    OptionQuote,
    OptionTerms,
    Order,
    OrderType,
    Position,
    Right,
    Role,
    Side,
    Ticket,
)
from core.options import combine
from core.risk import PlanMarket
from tests.core.risk_cases import CASES as OF_SHARES
from tests.core.risk_cases import (
    ENTRY,
    EURO,
    HUNDREDS,
    INFINITE,
    LIMITS,
    NAN,
    TICK,
    Case,
    Row,
    account,
    case,
    leaving,
)
from tests.values import AAPL, ACCOUNT, NOW, QUOTE, order, position, snapshot, ticket

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
C, P = Right.CALL, Right.PUT
SOON, LATER = date(2026, 4, 17), date(2026, 6, 19)
MIDDLES = {
    (C, 90): "11.20", (C, 95): "6.85", (C, 100): "3.59", (C, 105): "1.66", (C, 110): "0.66", (C, 115): "0.22",
    (P, 85): "0.12", (P, 90): "0.46", (P, 95): "1.33", (P, 100): "3.26", (P, 105): "6.30", (P, 110): "10.40",
}  # fmt: skip
SHARES = AAPL.con_id


def leg(right: Right, at: int, ratio: int = 1, expiry: date = SOON, **changes: Any) -> Leg:
    con_id = 1_000 * (1 if right is C else 2) + at + (10_000 if expiry != SOON else 0)
    return Leg(con_id, ratio, replace(OptionTerms(expiry, D(at), right, D(100), "AAPL"), **changes))


def middle(one: Leg) -> Decimal:
    assert one.option is not None
    early = D(MIDDLES.get((one.option.right, one.con_id % 1_000), "1.00"))
    return early + (2 if one.option.expiry != SOON else 0)


def market(*legs: Leg) -> PlanMarket:
    """Two cents to each side of the middle of every leg."""
    quotes: dict[int, Any] = {SHARES: QUOTE}
    for one in legs:
        if one.option is not None:
            mid = middle(one)
            quotes[one.con_id] = OptionQuote(mid - D("0.02"), mid + D("0.02"), mid, NOW)
    return PlanMarket(SHARES, D(100), quotes)


def single(side: Side, one: Leg, quantity: int | str = 1, limit: str | None = None, **changes: Any) -> Ticket:
    """An option alone, at its middle."""
    thing = Instrument(
        one.con_id,
        "AAPL",
        "OPT",
        "SMART",
        "",
        "USD",
        "",
        D("0.01"),
        D(100),
        AAPL.hours,
        AAPL.time_zone,
        one.option,
    )
    return ticket(
        side,
        quantity,
        **{"instrument": thing, "limit": limit or str(middle(one) if one.option else 1), **changes},
    )


def bag(*legs: Leg, quantity: int | str = 1, limit: str | None = None, **changes: Any) -> Ticket:
    """A combination, at the middle of its market."""
    thing = replace(
        AAPL, con_id=combine.con_id_of(legs), kind="BAG", name="AAPL plan", multiplier=D(100), legs=legs
    )
    if limit is None:
        bid, ask = combine.natural(legs, market(*legs).quotes)
        assert bid is not None
        assert ask is not None
        limit = f"{((bid + ask) / 2).quantize(D('0.01'))}"
    return ticket(BUY, quantity, **{"instrument": thing, "limit": limit, **changes})


def line(one: Leg, count: int | str) -> Position:
    """A holding."""
    price = middle(one) if one.option else D(100)
    each = price * (one.option.multiplier if one.option else 1)
    return Position(
        ACCOUNT, one.con_id, "AAPL", "USD", D(count), D(1), price, each * D(count), option=one.option, kind="OPT" if one.option else "STK"
    )  # fmt: skip


def elsewhere(count: int | str, currency: str = "USD") -> Position:
    """Puts on other shares, at 100."""
    return replace(line(P100, count), con_id=77, symbol="MSFT", currency=currency)


def shares(count: int | str) -> Position:
    return line(Leg(SHARES, 1), count)


def plan(
    asked: Ticket, *held: Position, limits: Mapping[str, Any] | None = None, quotes: Mapping[int, Any] | None = None, **moment: Any
) -> Case:  # fmt: skip
    """All is well but for what is said. `quotes` are (changes of) the quotes of legs."""
    legs = asked.instrument.legs or (Leg(asked.instrument.con_id, 1, asked.instrument.option),)
    known = market(*legs)
    told: dict[int, Any] = dict(known.quotes)
    for con_id, changes in (quotes or {}).items():
        told[con_id] = None if changes is None else replace(told[con_id], **changes)
    wanted = {"positions": held, "plan": replace(known, quotes=told), **moment}
    return Case(asked, snapshot(of=asked, **wanted), replace(LIMITS, **dict(limits or {})))


def behind(asked: Ticket = ENTRY, cash: str = "50000", *more: Position, **moment: Any) -> Case:
    """Shares are bought while a put on something else is owed, for 10,000."""
    return case(asked, **{"positions": (*more, elsewhere(-1)), "account": account(cash=D(cash)), **moment})


def works(one: Leg, side: Side, quantity: int, **changes: Any) -> Order:
    kind = "OPT" if one.option else "STK"
    told = {
        "con_id": one.con_id, "kind": kind, "option": one.option, "side": side, "quantity": D(quantity),
        "order_type": OrderType.LIMIT, "limit_price": D(2), "worth": D(200),
    }  # fmt: skip
    return order(**{**told, **changes})


def bag_works(*legs: Leg, quantity: int = 1, **changes: Any) -> Order:
    told = {
        "con_id": combine.con_id_of(legs),
        "kind": "BAG",
        "legs": legs,
        "quantity": D(quantity),
        "limit_price": D(1),
        "worth": D(100),
    }
    return order(**{**told, **changes})


C95, C100, C105, C110 = leg(C, 95), leg(C, 100), leg(C, 105), leg(C, 110)
P90, P95, P100 = leg(P, 90), leg(P, 95), leg(P, 100)
PUT = OptionTerms(SOON, D(100), P, D(100), "MSFT")
STOCK = Leg(SHARES, 100)


def owed(one: Leg, count: int = 1) -> Leg:
    return replace(one, ratio=-count)


LONG = single(BUY, C100)
CLOSE = single(SELL, C100)
"""An order that only closes, where one is held."""
HELD = line(C100, 1)
SPREAD = bag(C100, owed(C105))
CREDIT = bag(P95, owed(P100))
SALE = ticket(SELL, 20)
"""More than is held."""
CONDOR = bag(leg(P, 85), owed(P90), owed(C110), leg(C, 115))
NAKED = single(SELL, C105)
SECURED = single(SELL, P95)
BUY_WRITE = bag(STOCK, owed(C105))
ROLL = bag(C105, owed(leg(C, 105, expiry=LATER)))
FITTING = ("cash_secured", "plan_cap", "plan_risk")


def closing(**changes: Any) -> Case:
    return plan(replace(CLOSE, **changes.pop("asked", {})), HELD, **changes)


def thing(asked: Ticket, **changes: Any) -> Ticket:
    return replace(asked, instrument=replace(asked.instrument, **changes))


def of_legs(*legs: Leg, **changes: Any) -> Ticket:
    """A combination whose legs need not fit."""
    return thing(
        SPREAD, legs=legs, con_id=combine.con_id_of([one for one in legs if one.ratio] or legs), **changes
    )


def aged(span: timedelta) -> dict[int, Any]:
    return {C100.con_id: {"time": NOW - span}}


WIDE = {C100.con_id: {"bid": D("2.80"), "ask": D("4.38")}}
GONE = date(2026, 3, 1)

PLANS: dict[str, Row] = {
    "plan_priced": Row(
        passes=(plan(LONG), plan(SPREAD), plan(LONG, quotes={C100.con_id: {"bid": None}}), plan(LONG, quotes={C100.con_id: {"bid": D(0)}})),
        denies=(
            (plan(LONG, quotes={C100.con_id: {"bid": D(4), "ask": D("3.9")}}), "QUOTE_CROSSED"),
            (plan(SPREAD, quotes=aged(timedelta(days=1))), "QUOTE_OLD"),
            (plan(SPREAD, quotes=aged(-timedelta(days=1))), "QUOTE_TIME"),
        ),
        edges=(
            (plan(LONG, quotes=aged(timedelta(seconds=15))), plan(LONG, quotes=aged(timedelta(seconds=15) + TICK))),
            (plan(LONG, quotes=aged(-timedelta(seconds=15))), plan(LONG, quotes=aged(-timedelta(seconds=15) - TICK))),
            (plan(LONG, quotes={C100.con_id: {"bid": D("3.61")}}), plan(LONG, quotes={C100.con_id: {"bid": D("3.62")}})),
            (plan(LONG, quotes={C100.con_id: {"bid": D(0), "ask": D("0.01")}}), plan(LONG, quotes={C100.con_id: {"bid": D(0), "ask": D(0)}})),
        ),
        missing=(
            (plan(LONG, plan=None), "PRICE_UNKNOWN"),
            (plan(SPREAD, quotes={C105.con_id: None}), "PRICE_UNKNOWN"),
            (plan(SPREAD, quotes={C105.con_id: {"bid": None}}), "PRICE_UNKNOWN"),
            (plan(SPREAD, quotes={C100.con_id: {"ask": None}}), "PRICE_UNKNOWN"),
            (plan(BUY_WRITE, plan=replace(market(C105), quotes={C105.con_id: QUOTE})), "PRICE_UNKNOWN"),
        ),
        wild=(plan(LONG, quotes={C100.con_id: {"ask": NAN}}), closing(quotes={C100.con_id: {"bid": INFINITE}})),
        leaves=closing(quotes=aged(timedelta(minutes=1))),
    ),
    "plan_spread": Row(
        passes=(plan(LONG), plan(SPREAD), plan(CONDOR), plan(BUY_WRITE)),
        denies=((plan(LONG, quotes=WIDE), "SPREAD"), (plan(SPREAD, quotes=WIDE), "SPREAD"), (plan(replace(CLOSE, quantity=D(2)), quotes=WIDE), "SPREAD")),
        edges=(
            (
                plan(LONG, quotes={C100.con_id: {"bid": D("3.50"), "ask": D("4.50")}}),
                plan(LONG, quotes={C100.con_id: {"bid": D("3.49"), "ask": D("4.51")}}),
            ),
            (
                plan(SPREAD, quotes={C100.con_id: {"bid": D(3), "ask": D(4)}, C105.con_id: {"bid": D("0.40"), "ask": D("0.60")}}, limits={"max_spread_percent_options": D(30)}),
                plan(SPREAD, quotes={C100.con_id: {"bid": D(3), "ask": D(4)}, C105.con_id: {"bid": D("0.40"), "ask": D("0.60")}}, limits={"max_spread_percent_options": D("29.9")}),
            ),
        ),
        missing=(
            (plan(LONG, plan=None), "SPREAD"),
            (plan(LONG, quotes={C100.con_id: {"bid": None}}), "SPREAD"),
            (plan(LONG, quotes={C100.con_id: {"bid": D(0), "ask": D(0)}}), "SPREAD"),
            (plan(SPREAD, quotes={C105.con_id: None}), "SPREAD"),
        ),
        wild=(plan(LONG, quotes={C100.con_id: {"bid": NAN}}),),
        leaves=closing(quotes=WIDE),
    ),
    "legs_fit": Row(
        passes=(plan(LONG), plan(SPREAD), plan(CONDOR), plan(BUY_WRITE), plan(ROLL, line(C105, -1), shares(100)), plan(ROLL, positions=None)),
        denies=(
            (plan(thing(LONG, option=None)), "LEGS"),
            (plan(thing(LONG, legs=(C100,))), "LEGS"),
            (plan(thing(SPREAD, option=C100.option)), "LEGS"),
            (plan(thing(LONG, kind="BAG")), "LEGS"),
            (plan(thing(SPREAD, kind="OPT")), "LEGS"),
            (plan(replace(SPREAD, side=SELL)), "LEGS"),
            (plan(of_legs(C100, C100)), "LEGS"),
            (plan(of_legs(C100, replace(C105, ratio=0))), "LEGS"),
            (plan(of_legs(STOCK, Leg(7, -100))), "LEGS"),
            (plan(of_legs(C100, leg(C, 105, -1, multiplier=D(10)))), "LEGS"),
            (plan(thing(SPREAD, multiplier=D(10))), "LEGS"),
            (plan(thing(LONG, multiplier=D(1))), "LEGS"),
            (plan(of_legs(Leg(7, 100), owed(C105))), "LEGS"),
            (plan(of_legs(C100, leg(C, 105, -1, trading_class="AAPL1"))), "LEGS"),
            (plan(bag(C100, leg(C, 105, -1, LATER))), "LEGS"),
            (plan(ROLL), "LEGS"),
        ),
        edges=(
            (plan(BUY_WRITE), plan(of_legs(Leg(SHARES, 101), owed(C105)))),
            (plan(of_legs(leg(C, 105, strike=D("0.01")), owed(C110))), plan(of_legs(leg(C, 105, strike=D(0)), owed(C110)))),
            (plan(ROLL, line(C105, -1), shares(100)), plan(ROLL, line(C105, 1), shares(100))),
        ),
        wild=(
            plan(of_legs(leg(C, 105, strike=NAN), owed(C110))),
            plan(of_legs(replace(C100, ratio=10**18), owed(C110))),
            plan(of_legs(leg(C, 105, multiplier=INFINITE), owed(C110))),
            plan(LONG, line(leg(C, 115, strike=NAN), 1)),
            closing(asked={"final_limit": NAN}),
        ),
        leaves=plan(of_legs(Leg(SHARES, -50), owed(P95)), shares(50), line(P95, 1)),
        why={"missing": "the legs are always named"},
    ),
    "plan_limit": Row(
        passes=(
            plan(LONG), plan(CREDIT), closing(), plan(replace(LONG, final_limit=D("3.70"))),
            closing(asked={"final_limit": D("3.50")}), plan(replace(CREDIT, final_limit=D("-1.80"))),
        ),
        denies=(
            (plan(replace(LONG, order_type=OrderType.MARKET)), "LIMIT_ONLY"),
            (plan(replace(LONG, order_type=OrderType.STOP, stop_price=D(5))), "LIMIT_ONLY"),
            (plan(replace(LONG, stop_loss=D(1))), "LIMIT_ONLY"),
            (plan(replace(LONG, take_profit=D(9))), "LIMIT_ONLY"),
            (plan(single(BUY, C100, limit="-1")), "LIMIT_ONLY"),
        ),
        edges=(
            (plan(replace(LONG, final_limit=D("3.59"))), plan(replace(LONG, final_limit=D("3.58")))),
            (closing(asked={"final_limit": D("3.59")}), closing(asked={"final_limit": D("3.60")})),
            (plan(replace(CREDIT, final_limit=D("-1.93"))), plan(replace(CREDIT, final_limit=D("-1.94")))),
            (closing(asked={"limit_price": D("0.01")}), closing(asked={"limit_price": D(0)})),
            (closing(asked={"final_limit": D("0.01")}), closing(asked={"final_limit": D(0)})),
        ),
        missing=((plan(replace(LONG, limit_price=None)), "LIMIT_ONLY"), (plan(replace(LONG, limit_price=None, final_limit=D(4))), "LIMIT_ONLY")),
        wild=(plan(single(BUY, C100, limit="NaN")), plan(replace(LONG, final_limit=INFINITE))),
        leaves=closing(asked={"order_type": OrderType.MARKET}),
    ),
    "not_expired": Row(
        passes=(plan(LONG), plan(SPREAD)),
        denies=((plan(single(BUY, leg(C, 100, expiry=GONE))), "EXPIRED"), (plan(bag(C100, leg(C, 105, -1, GONE))), "EXPIRED")),
        edges=((plan(single(BUY, leg(C, 100, expiry=NOW.date()))), plan(single(BUY, leg(C, 100, expiry=GONE)))),),
        leaves=plan(single(SELL, leg(C, 100, expiry=GONE)), line(leg(C, 100, expiry=GONE), 1)),
        why={"missing": "an option always has its day", "wild": "days"},
    ),
    "loss_bounded": Row(
        passes=(
            plan(LONG), plan(SPREAD), plan(CREDIT), plan(CONDOR), plan(SECURED), plan(BUY_WRITE), plan(bag(owed(C105), C110)),
            plan(NAKED, shares(100)),
            plan(ROLL, line(C105, -1), shares(100)),
            plan(bag(C100, C110, owed(C105, 2))),
        ),
        denies=(
            (plan(NAKED), "UNLIMITED_LOSS"),
            (plan(bag(C100, owed(C105, 2))), "UNLIMITED_LOSS"),
            (plan(NAKED, shares(100), line(C110, -1)), "UNLIMITED_LOSS"),
            (plan(NAKED, shares(100), working=(works(Leg(SHARES, 1), SELL, 1),)), "UNLIMITED_LOSS"),
            (plan(NAKED, shares(100), working=(works(C110, SELL, 1),)), "UNLIMITED_LOSS"),
            (plan(NAKED, shares(100), working=(bag_works(C100, owed(C110, 2)),)), "UNLIMITED_LOSS"),
            (plan(NAKED, shares(100), working=(works(Leg(SHARES, 1), SELL, 1, role=Role.STOP),)), "UNLIMITED_LOSS"),
            (plan(NAKED, shares(100), told=(shares(100), line(C110, -1))), "UNLIMITED_LOSS"),
            (plan(CLOSE, HELD, line(C105, -1)), "UNLIMITED_LOSS"),
            (plan(bag(owed(C100), P95), HELD, line(C105, -1)), "UNLIMITED_LOSS"),
            (plan(bag(Leg(SHARES, -100), owed(P95)), shares(100), line(P95, 1), line(C105, -1)), "UNLIMITED_LOSS"),
            (plan(bag(Leg(SHARES, -100), C100)), "UNLIMITED_LOSS"),
            (plan(bag(C100, leg(C, 110, -1, LATER)), line(leg(C, 105, expiry=LATER), -1), line(leg(C, 110, expiry=LATER), 1)), "UNLIMITED_LOSS"),
            (plan(ROLL), "UNLIMITED_LOSS"),
            (plan(bag(C100, leg(C, 110, 1, LATER))), "LOSS_UNKNOWN"),
            (plan(NAKED, shares(100), plan=replace(market(C105), spot=None)), "UNLIMITED_LOSS"),
        ),
        edges=(
            (plan(NAKED, shares(100)), plan(NAKED, shares(99))),
            (plan(NAKED, shares(300), line(C110, -2)), plan(NAKED, shares(299), line(C110, -2))),
            (plan(NAKED, shares(100), working=(works(Leg(SHARES, 1), BUY, 1),)), plan(NAKED, shares(100), working=(works(Leg(SHARES, 1), SELL, 1),))),
            (plan(CLOSE, line(C100, 2), line(C105, -1)), plan(replace(CLOSE, quantity=D(2)), line(C100, 2), line(C105, -1))),
            (
                plan(bag(owed(C100), leg(C, 100, expiry=LATER)), HELD, line(C105, -1), shares(100)),
                plan(bag(owed(C100), leg(C, 100, expiry=LATER)), HELD, line(C105, -1), shares(99)),
            ),
        ),
        missing=(
            (plan(LONG, plan=None), "LOSS_UNKNOWN"),
            (plan(LONG, positions=None), "LOSS_UNKNOWN"),
            (plan(replace(LONG, limit_price=None)), "LOSS_UNKNOWN"),
            (plan(bag(C105, C110, owed(P95)), line(C105, -1), quotes={C105.con_id: {"bid": None}}), "LOSS_UNKNOWN"),
        ),
        wild=(plan(NAKED, shares("NaN")), plan(LONG, plan=replace(market(C100), spot=NAN))),
        why={"leaves": "what only closes uncovers nothing: what covers does not count as closing"},
    ),
    "cash_secured": Row(
        passes=(
            plan(SECURED), plan(CREDIT), plan(LONG), plan(SECURED, account=account(cash=D(-5)), working=(), positions=(line(P95, 1),)),
            plan(bag(P95, owed(leg(P, 95, expiry=LATER))), line(P95, -1), account=account(cash=D(9_500))),
        ),
        denies=(
            (plan(SECURED, account=account(cash=D(5_000))), "NOT_SECURED"),
            (plan(replace(SECURED, quantity=D(3)), account=account(cash=D(20_000))), "NOT_SECURED"),
            (plan(SECURED, line(P100, -1), account=account(cash=D(19_000))), "NOT_SECURED"),
            (plan(SECURED, told=(line(P100, -1),), account=account(cash=D(19_000))), "NOT_SECURED"),
            (plan(SECURED, working=(works(P100, SELL, 1),), account=account(cash=D(19_000))), "NOT_SECURED"),
            (plan(bag(P90, owed(P95, 2)), account=account(cash=D(9_000))), "NOT_SECURED"),
            (plan(single(SELL, P95), line(P95, 1), line(P90, -1), account=account(cash=D(8_000))), "NOT_SECURED"),
            (plan(bag(STOCK, owed(P95)), account=account(cash=D(9_000))), "NOT_SECURED"),
            (plan(SECURED, elsewhere(-1), account=account(cash=D(19_000))), "NOT_SECURED"),
            (plan(SECURED, told=(elsewhere(-1),), account=account(cash=D(19_000))), "NOT_SECURED"),
            (plan(SECURED, working=(works(P100, SELL, 1, symbol="MSFT", con_id=77),), account=account(cash=D(19_000))), "NOT_SECURED"),
            (plan(bag(STOCK, owed(P95)), account=account(cash=D(19_000))), "NOT_SECURED"),
            (plan(replace(SECURED, quantity=D(3)), elsewhere(-1), working=(order(limit_price=D(90)),), account=account(cash=D(21_000))), "NOT_SECURED"),
        ),
        edges=(
            (plan(SECURED, account=account(cash=D(9_500))), plan(SECURED, account=account(cash=D("9499.99")))),
            (plan(SECURED, working=(order(limit_price=D(90)),), account=account(cash=D(10_400))), plan(SECURED, working=(order(limit_price=D("90.01")),), account=account(cash=D(10_400)))),
            (plan(bag(STOCK, owed(P95), limit="98.70"), account=account(cash=D(19_370))), plan(bag(STOCK, owed(P95), limit="98.71"), account=account(cash=D(19_370)))),
            (plan(SECURED, account=replace(EURO, cash=D(7_600))), plan(SECURED, account=replace(EURO, cash=D("7599.99")))),
            (plan(SECURED, line(P100, -1), account=account(cash=D(19_500))), plan(SECURED, line(P100, -1), account=account(cash=D("19499.99")))),
            (plan(SECURED, elsewhere(-1), account=account(cash=D(19_500))), plan(SECURED, elsewhere(-1), account=account(cash=D("19499.99")))),
            (plan(SECURED, elsewhere(-1, "EUR"), account=account(cash=D(21_500), rates={"EUR": D("1.2")})), plan(SECURED, elsewhere(-1, "EUR"), account=account(cash=D("21499.99"), rates={"EUR": D("1.2")}))),
        ),
        missing=(
            (plan(SECURED, account=None), "NOT_SECURED"),
            (plan(SECURED, account=account(cash=None)), "NOT_SECURED"),
            (plan(SECURED, account=replace(EURO, rates={})), "NOT_SECURED"),
            (plan(SECURED, positions=None), "NOT_SECURED"),
            (plan(replace(SECURED, limit_price=None)), "NOT_SECURED"),
            (plan(SECURED, working=(order(con_id=8),)), "NOT_SECURED"),
            (plan(SECURED, elsewhere(-1, "EUR"), account=account(rates={})), "NOT_SECURED"),
        ),
        wild=(plan(SECURED, account=account(cash=NAN)), plan(SECURED, line(P100, "NaN")), plan(SECURED, told=(elsewhere("NaN"),))),
        why={"leaves": "what only closes leaves nothing owed that was not owed before"},
    ),
    "cash_kept": Row(
        passes=(
            case(account=account(cash=D(-5))),
            case(account=account(cash=None)),
            behind(),
            plan(LONG, account=account(cash=D(0))),
            plan(LONG, elsewhere(-1), account=account(cash=D(50_000))),
            plan(LONG, elsewhere(1), account=account(cash=D(0))),
            plan(CREDIT, elsewhere(-1), account=account(cash=D(0))),
            behind(ticket(SELL), "0", position(10)),
            behind(SALE, "0", shares(5)),
            plan(single(BUY, P90), line(P95, -1), account=account(cash=D(46))),
            plan(SECURED, elsewhere(-1), account=account(cash=D(0))),
            plan(bag(STOCK, owed(P95)), account=account(cash=D(9_000))),
            behind(cash="11000", working=(order(role=Role.STOP, stop_price=D(90)), order(side=SELL), order(filled=D(10)))),
            behind(cash="11000", working=(bag_works(P95, owed(P90), limit_price=D(-1)),)),
        ),
        denies=(
            (behind(cash="10000"), "CASH_KEPT"),
            (behind(cash="-5"), "CASH_KEPT"),
            (behind(ticket(quantity=50), "12345"), "CASH_KEPT"),
            (behind(ticket(quantity=50, stop="101"), "15000"), "CASH_KEPT"),
            (behind(cash="10999", told=(elsewhere(-1),), positions=()), "CASH_KEPT"),
            (behind(cash="10999", working=(works(P100, SELL, 1),), positions=()), "CASH_KEPT"),
            (behind(cash="10999", positions=(line(P100, -1),)), "CASH_KEPT"),
            (behind(cash="12000", working=(order(con_id=7, worth=D("1000.01")),)), "CASH_KEPT"),
            (behind(cash="19000", positions=(line(P95, -1), elsewhere(-1))), "CASH_KEPT"),
            (plan(LONG, elsewhere(-1), account=account(cash=D(10_000))), "CASH_KEPT"),
            (plan(replace(LONG, quantity=D(5)), line(P95, -1), account=account(cash=D(10_500))), "CASH_KEPT"),
            (plan(bag(C105, owed(leg(C, 105, expiry=LATER)), limit="1"), line(C105, -1), shares(100), elsewhere(-1), account=account(cash=D(10_000))), "CASH_KEPT"),
        ),
        edges=(
            (behind(cash="11000"), behind(cash="10999.99")),
            (behind(ticket(limit="99.50"), "10995"), behind(ticket(limit="99.50"), "10994.99")),
            (behind(ticket(stop="101"), "11010"), behind(ticket(stop="101"), "11009.99")),
            (behind(ticket(instrument=HUNDREDS), "110000"), behind(ticket(instrument=HUNDREDS), "109999.99")),
            (behind(account=replace(EURO, cash=D(8_800))), behind(account=replace(EURO, cash=D("8799.99")))),
            (behind(cash="12000", positions=(elsewhere(-1, "EUR"),)), behind(cash="11999.99", positions=(elsewhere(-1, "EUR"),))),
            (behind(cash="11900", working=(order(limit_price=D(90)),)), behind(cash="11900", working=(order(limit_price=D("90.01")),))),
            (behind(cash="11450", working=(order(limit_price=D(90), filled=D(5)),)), behind(cash="11450", working=(order(limit_price=D(90), filled=D(4)),))),
            (behind(cash="11900", working=(order(limit_price=D(80), change=Change("X", D(10), D(90), None, NOW)),)), behind(cash="11900", working=(order(limit_price=D(80), change=Change("X", D(11), D(90), None, NOW)),))),
            (behind(cash="11900", working=(order(stop_price=D(90)),)), behind(cash="11900", working=(order(stop_price=D("90.01")),))),
            (behind(cash="12100", working=(order(limit_price=D(100), currency="EUR"),)), behind(cash="12099.99", working=(order(limit_price=D(100), currency="EUR"),))),
            (behind(cash="11300", working=(works(C100, BUY, 1, final_limit=D(3)),)), behind(cash="11300", working=(works(C100, BUY, 1, final_limit=D("3.01")),))),
            (behind(cash="11300", working=(bag_works(C100, owed(C105), final_limit=D(3)),)), behind(cash="11300", working=(bag_works(C100, owed(C105), final_limit=D("3.01")),))),
            (behind(cash="11300", working=(bag_works(C105, owed(C100), side=SELL, limit_price=D(-3)),)), behind(cash="11300", working=(bag_works(C105, owed(C100), side=SELL, limit_price=D("-3.01")),))),
            (plan(LONG, elsewhere(-1), account=account(cash=D(10_359))), plan(LONG, elsewhere(-1), account=account(cash=D("10358.99")))),
            (plan(replace(LONG, final_limit=D("3.70")), elsewhere(-1), account=account(cash=D(10_370))), plan(replace(LONG, final_limit=D("3.71")), elsewhere(-1), account=account(cash=D(10_370)))),
            (plan(SPREAD, line(P95, -1), elsewhere(-1), account=account(cash=D(19_693))), plan(SPREAD, line(P95, -1), elsewhere(-1), account=account(cash=D("19692.99")))),
            (plan(single(BUY, P90), line(P95, -2), account=account(cash=D(9_546))), plan(single(BUY, P90), line(P95, -2), account=account(cash=D("9545.99")))),
        ),
        missing=(
            (behind(account=None), "CASH_KEPT"),
            (behind(account=account(cash=None)), "CASH_KEPT"),
            (behind(positions=None), "CASH_KEPT"),
            (behind(quote=None), "CASH_KEPT"),
            (behind(account=replace(EURO, rates={})), "CASH_KEPT"),
            (behind(account=account(rates={}), positions=(elsewhere(-1, "EUR"),)), "CASH_KEPT"),
            (behind(working=(order(con_id=8),)), "CASH_KEPT"),
            (behind(working=(order(limit_price=D(1), currency="JPY"),)), "CASH_KEPT"),
            (plan(replace(LONG, limit_price=None), elsewhere(-1)), "CASH_KEPT"),
            (plan(LONG, positions=None), "CASH_KEPT"),
        ),
        wild=(
            case(account=account(cash=NAN)), behind(cash="Infinity"), behind(positions=(elsewhere("NaN"),)), behind(told=(elsewhere("NaN"),)),
            behind(working=(order(con_id=8, limit_price=D(1), final_limit=NAN),)),
            behind(positions=(replace(elsewhere(-1), option=replace(PUT, strike=NAN)),)),
            plan(LONG, elsewhere(-1), account=account(cash=NAN)),
        ),
        leaves=leaving(positions=(position(-100), elsewhere(-1)), account=account(cash=D(0))),
    ),
    "plan_crossing": Row(
        passes=(
            plan(LONG), plan(LONG, working=(works(C100, BUY, 1), works(C105, SELL, 1))),
            plan(LONG, working=(works(C100, SELL, 1, role=Role.STOP), works(C100, SELL, 1, cancel_requested_at=NOW))),
        ),
        denies=(
            (plan(LONG, working=(works(C100, SELL, 1),)), "CROSSING"),
            (plan(SPREAD, working=(works(C105, BUY, 1),)), "CROSSING"),
            (plan(SPREAD, working=(bag_works(C110, owed(C100)),)), "CROSSING"),
            (plan(bag(STOCK, owed(C105)), working=(works(Leg(SHARES, 1), SELL, 1),)), "CROSSING"),
        ),
        edges=((plan(LONG, working=(works(C100, SELL, 2, filled=D(2)),)), plan(LONG, working=(works(C100, SELL, 2, filled=D(1)),))),),
        wild=(plan(LONG, working=(works(C100, SELL, 1, filled=NAN),)),),
        leaves=plan(CLOSE, HELD, working=(works(C100, BUY, 1),)),
        why={"missing": "orders that work are always known"},
    ),
    "plan_collar": Row(
        passes=(plan(LONG), plan(single(BUY, C100, limit="1")), plan(SPREAD), plan(CREDIT), plan(BUY_WRITE)),
        denies=(
            (plan(single(BUY, C100, limit="5")), "COLLAR"),            (plan(single(SELL, C105, limit="1"), shares(100)), "COLLAR"),
            (plan(replace(SPREAD, final_limit=D(3))), "COLLAR"),
            (plan(replace(CREDIT, final_limit=D(-1))), "COLLAR"),
            (plan(replace(BUY_WRITE, final_limit=D("105.00"))), "COLLAR"),
        ),
        edges=(
            (plan(single(BUY, C100, limit="3.971")), plan(single(BUY, C100, limit="3.972"))),
            (plan(single(SELL, C105, limit="1.476"), shares(100)), plan(single(SELL, C105, limit="1.475"), shares(100))),
            (plan(replace(SPREAD, final_limit=D("2.167"))), plan(replace(SPREAD, final_limit=D("2.168")))),
            (plan(replace(CREDIT, final_limit=D("-1.701"))), plan(replace(CREDIT, final_limit=D("-1.70")))),
            (plan(single(BUY, leg(P, 85), limit="0.19")), plan(single(BUY, leg(P, 85), limit="0.20"))),
            (plan(replace(BUY_WRITE, final_limit=D("100.524"))), plan(replace(BUY_WRITE, final_limit=D("100.525")))),
        ),
        missing=(
            (plan(LONG, plan=None), "COLLAR"),
            (plan(LONG, quotes={C100.con_id: {"ask": None}}), "COLLAR"),
            (plan(replace(LONG, limit_price=None)), "COLLAR"),
        ),
        wild=(plan(single(BUY, C100, limit="NaN")),),
        leaves=closing(asked={"limit_price": D("0.01")}),
    ),
    "plan_cap": Row(
        passes=(
            plan(LONG), plan(SPREAD), plan(SECURED),
            plan(NAKED, shares(500)),
            plan(LONG, replace(shares(500), symbol="MSFT", con_id=7)),
            plan(LONG, working=(works(C110, BUY, 5, worth=None), works(C110, BUY, 5, worth=D(90_000), role=Role.STOP))),
        ),
        denies=(
            (plan(replace(LONG, quantity=D(30))), "POSITION_CAP"),
            (plan(LONG, shares(99)), "POSITION_CAP"),
            (plan(SECURED, line(P95, -1)), "POSITION_CAP"),
            (plan(LONG, line(C110, -1)), "POSITION_CAP"),
            (plan(LONG, working=(works(C110, BUY, 5, worth=D(9_900)),)), "POSITION_CAP"),
        ),
        edges=(
            (plan(single(BUY, C100, 25, limit="4.00")), plan(single(BUY, C100, 25, limit="4.01"))),
            (plan(single(BUY, C100, limit="5"), shares(95)), plan(single(BUY, C100, limit="5.01"), shares(95))),
            (plan(single(BUY, C100, limit="5"), working=(works(C110, BUY, 1, worth=D(9_500)),)), plan(single(BUY, C100, limit="5"), working=(works(C110, BUY, 1, worth=D("9500.01")),))),
            (plan(single(BUY, C100, limit="6.33"), line(P95, -1)), plan(single(BUY, C100, limit="6.34"), line(P95, -1))),
            (plan(single(BUY, C100, 25, limit="5"), account=EURO), plan(single(BUY, C100, 25, limit="5.01"), account=EURO)),
            (plan(single(BUY, C100, limit="5"), working=(works(C110, BUY, 10, limit_price=D("9.5"), owner=None, worth=None),)), plan(single(BUY, C100, limit="5"), working=(works(C110, BUY, 10, limit_price=D("9.51"), owner=None, worth=None),))),
        ),
        missing=(
            (plan(LONG, positions=None), "POSITION_CAP"),
            (plan(LONG, account=None), "POSITION_CAP"),
            (plan(LONG, account=replace(EURO, rates={})), "POSITION_CAP"),
            (plan(LONG, replace(shares(5), market_price=None)), "POSITION_CAP"),
            (plan(LONG, replace(shares(5), currency="JPY")), "POSITION_CAP"),
        ),
        wild=(plan(LONG, replace(shares(5), market_price=NAN)), plan(LONG, account=replace(EURO, rates={"USD": NAN}))),
        leaves=closing(limits={"max_position_size": D(1)}),
    ),
    "plan_risk": Row(
        passes=(plan(LONG), plan(SPREAD), plan(replace(SECURED, quantity=D(2))), plan(BUY_WRITE), plan(NAKED, shares(100), atr=None), plan(LONG, atr=None)),
        denies=(
            (plan(replace(LONG, quantity=D(6))), "RISK_PER_TRADE"),
            (plan(replace(BUY_WRITE, quantity=D(20))), "RISK_PER_TRADE"),
            (plan(bag(STOCK, owed(P100, 10), replace(P90, ratio=10))), "RISK_PER_TRADE"),
            (plan(LONG, account=account(net_liquidation=D(-5))), "RISK_PER_TRADE"),
            (plan(bag(C100, owed(C100), limit="0.00"), account=account(net_liquidation=D(-5))), "RISK_PER_TRADE"),
        ),
        edges=(
            (plan(single(BUY, C100, 5, limit="4")), plan(single(BUY, C100, 5, limit="4.01"))),
            (plan(single(BUY, C100, 5, limit="5"), account=EURO), plan(single(BUY, C100, 5, limit="5.01"), account=EURO)),
            (plan(replace(SECURED, quantity=D(10)), atr=D("0.66")), plan(replace(SECURED, quantity=D(10)), atr=D("0.67"))),
            (plan(bag(STOCK, owed(C105), quantity=5, limit="101")), plan(bag(STOCK, owed(C105), quantity=5, limit="101.01"))),
        ),
        missing=(
            (plan(SECURED, atr=None), "RISK_PER_TRADE"),
            (plan(SECURED, plan=replace(market(P95), spot=None)), "RISK_PER_TRADE"),
            (plan(LONG, plan=None), "RISK_PER_TRADE"),
            (plan(LONG, account=None), "RISK_PER_TRADE"),
            (plan(LONG, account=account(net_liquidation=None)), "RISK_PER_TRADE"),
            (plan(LONG, account=replace(EURO, rates={})), "RISK_PER_TRADE"),
        ),
        wild=(plan(LONG, atr=NAN), plan(LONG, account=account(net_liquidation=NAN))),
        leaves=closing(account=account(net_liquidation=D(1))),
    ),
}  # fmt: skip

DRIFT = Drift(ACCOUNT, C110.con_id, "AAPL", "USD", D(1), D(2), D(1), C110.option)
SHARED: tuple[tuple[str, Case, str], ...] = (
    ("books_explain", plan(LONG), ""),
    ("books_explain", plan(LONG, drifts=(replace(DRIFT, symbol="MSFT"),)), ""),
    ("books_explain", plan(LONG, drifts=(DRIFT,)), "POSITION_DRIFT"),
    ("books_explain", plan(SPREAD, drifts=(replace(DRIFT, con_id=SHARES, option=None),)), "POSITION_DRIFT"),
    ("order_size", plan(single(BUY, C100, 50)), ""),
    ("order_size", plan(single(BUY, C100, 51)), "ORDER_SIZE"),
    ("order_size", plan(bag(C100, C110, owed(C105, 2), quantity=25)), ""),
    ("order_size", plan(bag(C100, C110, owed(C105, 2), quantity=26)), "ORDER_SIZE"),
    ("order_size", plan(bag(STOCK, owed(C105), quantity=50)), ""),
    ("order_value", plan(single(BUY, C100, 50, limit="5")), ""),
    ("order_value", plan(single(BUY, C100, 50, limit="5.01")), "ORDER_VALUE"),
    ("order_value", plan(bag(owed(C105), C110, quantity=50, limit="0")), ""),
    ("order_value", plan(bag(owed(C105), C110, quantity=50, limit="0.01")), "ORDER_VALUE"),
    ("order_value", plan(NAKED), "ORDER_VALUE"),
    ("order_value", plan(replace(SECURED, quantity=D(3))), "ORDER_VALUE"),
    ("gross_exposure", plan(single(BUY, C100, 50, limit="5"), replace(shares(750), symbol="MSFT", con_id=7)), ""),
    ("gross_exposure", plan(single(BUY, C100, 50, limit="5"), replace(shares(751), symbol="MSFT", con_id=7)), "GROSS_EXPOSURE"),
)  # fmt: skip
"""Rules that are for every order, asked about plans: (rule, case, what it says)."""

CASES: dict[str, Row] = {row.rule.__name__: {**OF_SHARES, **PLANS}[row.rule.__name__] for row in risk.RULES}
"""All rules, in their order."""
assert CASES.keys() == OF_SHARES.keys() | PLANS.keys()
