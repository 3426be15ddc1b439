"""Every rule for shares with the cases that it has to get right, as a table (options: `risk_plan_cases`): what passes, what does not, both sides of each edge, what is
not known, what is no number, and an order that only closes a holding in the same trouble.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from core.model import (
    Change,
    Drift,
    Mode,
    OptionTerms,
    Order,
    OrderType,
    Right,
    Role,
    Sent,
    Side,
    Ticket,
    Trading,
    TradingState,
)
from core.risk import Limits, Snapshot
from tests.values import (
    AAPL,
    BASE,
    LINK,
    NOW,
    QUOTE,
    WHAT_IF,
    approval,
    order,
    position,
    snapshot,
    ticket,
)

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
LIMITS = Limits(max_position_size=D(10_000))
ENTRY = ticket()
COVER = ticket(BUY, 10)
"""An order that only closes, where a hundred are sold short: a purchase, so that no rule can leave it alone for its side."""
TICK = timedelta(microseconds=1)
EURO = replace(BASE, currency="EUR", rates={"USD": D("0.80")})
HUNDREDS = replace(AAPL, multiplier=D(100))
"""What counts by the hundred."""


@dataclass(frozen=True)
class Case:
    """An order, the moment in which it is asked for, and what its owner allows."""

    ticket: Ticket
    moment: Snapshot
    limits: Limits


def case(
    asked: Ticket = ENTRY, held: int | None = 0, limits: Mapping[str, Any] | None = None, **moment: Any
) -> Case:
    """All is well but for what is said."""
    return Case(asked, snapshot(held, of=asked, **moment), replace(LIMITS, **dict(limits or {})))


def leaving(asked: Ticket = COVER, limits: Mapping[str, Any] | None = None, **moment: Any) -> Case:
    """The same of an order that only closes."""
    return case(asked, -100, limits, **moment)


@dataclass(frozen=True)
class Row:
    """The cases of a rule. `denies` and `missing` say the code, "" where what is missing has a rule of its own.

    `edges` are (still passes, just denied). `why` says of what kind there are none, and why.
    """

    passes: tuple[Case, ...]
    denies: tuple[tuple[Case, str], ...]
    edges: tuple[tuple[Case, Case], ...] = ()
    missing: tuple[tuple[Case, str], ...] = ()
    wild: tuple[Case, ...] = ()
    leaves: Case | None = None
    why: Mapping[str, str] = field(default_factory=dict)


YES_OR_NO = {"edges": "a yes or a no has no edge", "wild": "it looks at no figure"}
NAN, INFINITE = D("NaN"), D("Infinity")


def link(**changes: Any) -> Any:
    return replace(LINK, **changes)


def quote(**changes: Any) -> Any:
    sides = {name: D(told) for name, told in changes.items() if isinstance(told, str)}
    return replace(QUOTE, **{**changes, **sides})


def account(**changes: Any) -> Any:
    return replace(BASE, **changes)


def forecast(**changes: Any) -> Any:
    return replace(WHAT_IF, **changes)


def works(side: Side, quantity: int | str, **changes: Any) -> Order:
    """An order that may still trade."""
    return order(**{"side": side, "quantity": D(quantity), **changes})


def rests(side: Side, price: str, **changes: Any) -> tuple[Order, ...]:
    """A limit of ours that rests."""
    return (works(side, 10, order_type=OrderType.LIMIT, limit_price=D(price), **changes),)


def sent(
    ago: timedelta = timedelta(minutes=30), worth: int | str | Decimal | None = 100, **changes: Any
) -> Sent:
    """An order of the same thing that left; not the same order."""
    other = ticket(quantity=99).same_terms
    told = Sent(1, NOW - ago, other, None if worth is None else D(worth))
    return replace(told, **changes)


def at(text: str) -> datetime:
    """A moment, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def halted(**changes: Any) -> Trading:
    return Trading(TradingState.HALTED, **changes)


def thing(**changes: Any) -> Any:
    return replace(AAPL, **changes)


EARLIER = OptionTerms(date(2026, 4, 17), D(105), Right.CALL)
CALL = position(-1, 9, option=replace(EARLIER, expiry=date(2026, 6, 19)), kind="OPT")
"""A call that is owed."""
DRIFT = Drift("DU1", AAPL.con_id, "AAPL", "USD", D(30), D(40), D(100))
MARKET_SELL = ticket(SELL)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIDNIGHT = at("2026-03-02 05:00")
SINCE_MIDNIGHT = NOW - MIDNIGHT
WIDE = replace(QUOTE, bid=D(90), ask=D(110), close=D(110))
LIVE = {"link": link(mode=Mode.LIVE), "quote": quote(delayed=True)}
CLOSED = {"instrument": thing(hours="20260302:CLOSED")}
PACE = (sent(timedelta(seconds=1)),)
MINUTE = timedelta(minutes=1)


def reject(ago: timedelta) -> Sent:
    return sent(HOUR * 2, None, rejected_at=NOW - ago)


def filled(ago: timedelta = MINUTE, **changes: Any) -> Sent:
    return sent(HOUR * 9, filled_at=NOW - ago, **changes)


CASES: dict[str, Row] = {
    "trading_state": Row(
        passes=(case(), case(trading=Trading(reason="resumed", since=NOW))),
        denies=(
            (case(trading=Trading(TradingState.REDUCING)), "TRADING_STATE"),
            (case(trading=halted(reason="By hand.")), "TRADING_STATE"),
            (case(ticket(decision_id="D1"), trading=Trading(TradingState.REDUCING)), "TRADING_STATE"),
        ),
        leaves=leaving(trading=halted()),
        why={**YES_OR_NO, "missing": "there is always a state: HALTED where none can be read"},
    ),
    "analyst_halted": Row(
        passes=(
            case(trading=halted()),
            case(ticket(decision_id="D1")),
            case(ticket(decision_id="D1"), trading=Trading(TradingState.REDUCING)),
        ),
        denies=((case(ticket(decision_id="D1"), trading=halted()), "TRADING_STATE"),),
        leaves=leaving(ticket(decision_id="D1"), trading=halted()),
        why={**YES_OR_NO, "missing": "an order without a decision is a person's"},
    ),
    "connected": Row(
        passes=(case(), case(link=link(data_trouble="No prices."))),
        denies=(
            (case(link=link(connected=False)), "CONNECTION"),
            (case(link=link(reconciled=False)), "CONNECTION"),
            (case(link=link(trouble="TWS is gone.")), "CONNECTION"),
            (case(link=link(trouble="TWS is gone.", connected=False)), "CONNECTION"),
        ),
        leaves=leaving(link=link(reconciled=False)),
        why={**YES_OR_NO, "missing": "a road of which nothing is known is not connected"},
    ),
    "account_agrees": Row(
        passes=(
            case(),
            case(account=None),
            case(link=link(mode=Mode.LIVE), limits={"live_account": LINK.account}),
        ),
        denies=(
            (case(link=link(account="DU7")), "ACCOUNT"),
            (case(link=link(mode=Mode.LIVE)), "LIVE_READ_ONLY"),
            (case(link=link(mode=Mode.LIVE), limits={"live_account": "U7"}), "LIVE_READ_ONLY"),
            (case(link=link(mode=Mode.LIVE, account="U7"), limits={"live_account": "U7"}), "ACCOUNT"),
            (case(account=account(account="U7")), "ACCOUNT"),
        ),
        missing=((case(link=link(mode=None)), "ACCOUNT"), (case(link=link(account=None)), "ACCOUNT")),
        leaves=leaving(link=link(mode=Mode.LIVE)),
        why=YES_OR_NO,
    ),
    "approval": Row(
        passes=(case(),),
        denies=(
            (case(approved=approval(user=7)), "APPROVAL"),
            (case(approved=approval(ticket(quantity=11))), "APPROVAL"),
            (case(ticket(created_at=NOW - HOUR, expires_at=NOW - DAY)), "APPROVAL"),
            (
                case(ticket(created_at=NOW - HOUR), approved=approval(at=NOW - timedelta(seconds=150))),
                "APPROVAL",
            ),
        ),
        edges=(
            (
                case(ticket(created_at=NOW - HOUR), approved=approval(at=NOW - timedelta(seconds=120))),
                case(
                    ticket(created_at=NOW - HOUR), approved=approval(at=NOW - timedelta(seconds=120) - TICK)
                ),
            ),
            (case(ticket(created_at=NOW)), case(ticket(created_at=NOW + TICK))),
            (case(ticket(expires_at=NOW + TICK)), case(ticket(expires_at=NOW))),
            (case(approved=approval(at=NOW)), case(approved=approval(at=NOW + TICK))),
        ),
        missing=((case(approved=None), "APPROVAL"),),
        leaves=leaving(approved=approval(user=7)),
        why={"wild": "times and words"},
    ),
    "books_explain": Row(
        passes=(case(), case(drifts=(replace(DRIFT, con_id=1),))),
        denies=((case(drifts=(replace(DRIFT, con_id=1), DRIFT)), "POSITION_DRIFT"),),
        leaves=leaving(drifts=(DRIFT,)),
        why={**YES_OR_NO, "missing": "while the books are not compared `connected` denies"},
    ),
    "price_known": Row(
        passes=(case(), case(quote=quote(bid=None)), case(MARKET_SELL, 10, quote=quote(ask=None))),
        denies=(
            (case(quote=quote(time=NOW - DAY)), "QUOTE_OLD"),
            (case(quote=quote(time=NOW + DAY)), "QUOTE_TIME"),
            (case(quote=quote(bid="100.01")), "QUOTE_CROSSED"),
        ),
        edges=(
            (
                case(quote=quote(time=NOW - timedelta(seconds=15))),
                case(quote=quote(time=NOW - timedelta(seconds=15) - TICK)),
            ),
            (
                case(quote=quote(time=NOW + timedelta(seconds=15))),
                case(quote=quote(time=NOW + timedelta(seconds=15) + TICK)),
            ),
            (case(quote=quote(bid="100.00")), case(quote=quote(bid="100.01"))),
            (case(quote=quote(ask="0.01", bid=None)), case(quote=quote(ask="0", bid=None))),
        ),
        missing=(
            (case(quote=None), "PRICE_UNKNOWN"),
            (case(quote=quote(ask=None)), "PRICE_UNKNOWN"),
            (case(MARKET_SELL, 10, quote=quote(bid=None)), "PRICE_UNKNOWN"),
            (case(quote=quote(ask="-1", bid="-1")), "PRICE_UNKNOWN"),
        ),
        wild=(case(quote=quote(ask=NAN)), case(quote=quote(bid=INFINITE)), leaving(quote=quote(ask=NAN))),
        leaves=leaving(quote=quote(time=NOW - MINUTE)),
    ),
    "drift": Row(
        passes=(case(), case(quote=quote(ask="100.01"))),
        denies=((case(quote=quote(ask="101")), "DRIFT"),),
        edges=(
            (case(quote=quote(ask="100.50")), case(quote=quote(ask="100.51"))),
            (case(quote=quote(bid="99", ask="99.50")), case(quote=quote(bid="99", ask="99.49"))),
            (
                case(ticket(SELL, reference_price=D(100)), 10, quote=quote(bid="99.50")),
                case(ticket(SELL, reference_price=D(100)), 10, quote=quote(bid="99.49")),
            ),
        ),
        missing=(
            (case(quote=None), ""),
            (case(quote=quote(ask=None)), ""),
            (case(ticket(reference_price=D(0))), "DRIFT"),
        ),
        wild=(case(ticket(reference_price=NAN)), case(quote=quote(ask=INFINITE))),
        leaves=leaving(quote=quote(ask="102")),
    ),
    "delayed_data": Row(
        passes=(
            case(quote=quote(delayed=True)),
            case(link=link(mode=Mode.LIVE)),
            case(ticket(limit="100"), **LIVE),
        ),
        denies=((case(**LIVE), "DELAYED"), (case(ticket(stop="101"), **LIVE), "DELAYED")),
        missing=((case(link=link(mode=Mode.LIVE), quote=None), ""), (case(link=link(mode=None)), "")),
        leaves=leaving(limits={"live_account": LINK.account}, **LIVE),
        why=YES_OR_NO,
    ),
    "spread": Row(
        passes=(case(), case(quote=quote(bid="99.99"))),
        denies=((case(quote=WIDE), "SPREAD"), (case(quote=quote(bid="100.01")), "SPREAD")),
        edges=(
            (case(quote=quote(bid="98.50", ask="101.50")), case(quote=quote(bid="98.50", ask="101.51"))),
            (case(quote=quote(bid="99.99")), case(quote=quote(bid="100"))),
        ),
        missing=(
            (case(quote=None), "SPREAD"),
            (case(quote=quote(bid=None)), "SPREAD"),
            (case(quote=quote(ask=None)), "SPREAD"),
            (case(quote=quote(bid="0", ask="0")), "SPREAD"),
            (case(quote=quote(bid="-100")), "SPREAD"),
        ),
        wild=(case(quote=quote(bid=NAN)),),
        leaves=leaving(quote=WIDE),
    ),
    "jump": Row(
        passes=(case(), case(quote=quote(close="100"))),
        denies=((case(quote=quote(close="50")), "JUMP"), (case(quote=quote(close="300")), "JUMP")),
        edges=(
            (case(quote=quote(close="100", ask="115")), case(quote=quote(close="100", ask="115.01"))),
            (
                case(quote=quote(close="100", bid="80", ask="85")),
                case(quote=quote(close="100", bid="80", ask="84.99")),
            ),
        ),
        missing=(
            (case(quote=None), "JUMP"),
            (case(quote=quote(ask=None)), "JUMP"),
            (case(quote=quote(close=None)), "JUMP"),
            (case(quote=quote(close="0")), "JUMP"),
        ),
        wild=(case(quote=quote(close=NAN)),),
        leaves=leaving(quote=quote(close="50")),
    ),
    "exchange_halt": Row(
        passes=(case(),),
        denies=((case(quote=quote(halted=True)), "HALTED_BY_EXCHANGE"),),
        missing=((case(quote=None), ""),),
        leaves=leaving(quote=quote(halted=True)),
        why=YES_OR_NO,
    ),
    "session": Row(
        passes=(case(), case(ticket(limit="99", **CLOSED)), case(ticket(stop="101", **CLOSED))),
        denies=(
            (case(ticket(**CLOSED)), "SESSION"),
            (case(now=at("2026-03-02 22:00")), "SESSION"),
        ),
        edges=(
            (case(now=at("2026-03-02 14:30")), case(now=at("2026-03-02 14:30") - TICK)),
            (case(now=at("2026-03-02 21:00") - TICK), case(now=at("2026-03-02 21:00"))),
        ),
        missing=(
            (case(ticket(instrument=thing(hours=""))), "SESSION"),
            (case(ticket(instrument=thing(time_zone=""))), "SESSION"),
            (case(ticket(instrument=thing(hours="soon"))), "SESSION"),
            (case(now=at("2026-04-02 15:00")), "SESSION"),
        ),
        leaves=leaving(ticket(**CLOSED)),
        why={"wild": "times"},
    ),
    "reset_window": Row(
        passes=(case(), case(now=at("2026-03-07 04:00") - TICK), case(now=at("2026-03-07 12:00"))),
        denies=(
            (case(now=at("2026-03-03 05:00")), "RESET_WINDOW"),
            (case(now=at("2026-03-07 06:30")), "RESET_WINDOW"),
        ),
        edges=(
            (case(now=at("2026-03-03 04:45") - TICK), case(now=at("2026-03-03 04:45"))),
            (case(now=at("2026-03-03 05:45")), case(now=at("2026-03-03 05:45") - TICK)),
            (case(now=at("2026-03-07 04:00") - TICK), case(now=at("2026-03-07 04:00"))),
            (case(now=at("2026-03-07 08:00")), case(now=at("2026-03-07 08:00") - TICK)),
        ),
        leaves=leaving(
            ticket(created_at=MIDNIGHT, expires_at=MIDNIGHT + HOUR),
            now=MIDNIGHT,
            quote=quote(time=MIDNIGHT),
            approved=approval(at=MIDNIGHT),
        ),
        why={"missing": "there is always a clock", "wild": "times"},
    ),
    "quantity_sane": Row(
        passes=(case(), case(ticket(quantity="1.000")), case(ticket(quantity=1_000_000))),
        denies=(
            (case(ticket(quantity="0.5")), "QUANTITY"),
            (case(ticket(quantity=-1)), "QUANTITY"),
            (case(ticket(quantity="1.001")), "QUANTITY"),
            (case(ticket(instrument=thing(multiplier=D(-1)))), "QUANTITY"),
        ),
        edges=(
            (case(ticket(quantity=1)), case(ticket(quantity=0))),
            (
                case(ticket(instrument=thing(multiplier=D("0.01")))),
                case(ticket(instrument=thing(multiplier=D(0)))),
            ),
        ),
        wild=(
            case(ticket(quantity="NaN")),
            case(ticket(quantity="-Infinity")),
            case(ticket(quantity="1E+18")),
            case(ticket(instrument=thing(multiplier=NAN))),
            leaving(ticket(quantity="NaN")),
        ),
        leaves=leaving(ticket(quantity="0.5")),
        why={"missing": "an order always names a quantity"},
    ),
    "price_sane": Row(
        passes=(
            case(),
            case(ticket(limit="99.99", stop_loss=D(90), take_profit=D(110))),
            case(ticket(limit="99.995", instrument=thing(min_tick=D(0)))),
        ),
        denies=(
            (case(ticket(limit="100.005")), "TICK"),
            (case(ticket(limit="99.97", instrument=thing(min_tick=D("0.05")))), "TICK"),
            (case(ticket(limit="-3")), "PRICE"),
            (case(ticket(limit="1000")), "PRICE"),
            (case(ticket(stop_loss=D("90.001"))), "TICK"),
            (case(ticket(take_profit=D("500"))), "PRICE"),
            (case(ticket(stop="10")), "PRICE"),
        ),
        edges=(
            (case(ticket(limit="50")), case(ticket(limit="49.99"))),
            (case(ticket(limit="200")), case(ticket(limit="200.01"))),
            (case(ticket(stop="200")), case(ticket(stop="200.01"))),
            (case(ticket(stop_loss=D(50))), case(ticket(stop_loss=D("49.99")))),
            (case(ticket(take_profit=D(200))), case(ticket(take_profit=D("200.01")))),
            (case(ticket(limit="0.01"), quote=None), case(ticket(limit="0"), quote=None)),
            (
                case(ticket(SELL, limit="20"), 10, quote=quote(bid="10")),
                case(ticket(SELL, limit="20.01"), 10, quote=quote(bid="10")),
            ),
        ),
        missing=(
            (case(ticket(order_type=OrderType.LIMIT)), "PRICE"),
            (case(ticket(order_type=OrderType.STOP)), "PRICE"),
            (case(ticket(limit="5000"), quote=None), ""),
            (case(ticket(limit="5000"), quote=quote(ask="0", bid="0")), ""),
            (case(ticket(limit="5000"), quote=quote(ask="-1", bid="-1")), ""),
        ),
        wild=(
            case(ticket(limit="NaN")),
            case(ticket(stop="Infinity")),
            case(ticket(stop_loss=NAN)),
            case(ticket(take_profit=INFINITE)),
            case(ticket(limit="1E+40")),
            case(ticket(limit="100", instrument=thing(min_tick=NAN))),
            leaving(ticket(limit="NaN")),
        ),
        leaves=leaving(ticket(limit="99.995")),
    ),
    "stop_side": Row(
        passes=(case(), case(ticket(limit="99")), case(ticket(SELL, limit="101"), 10)),
        denies=(
            (case(ticket(stop="90")), "STOP_SIDE"),
            (case(ticket(SELL, stop="110"), 10), "STOP_SIDE"),
        ),
        edges=(
            (case(ticket(stop="100.01")), case(ticket(stop="100.00"))),
            (case(ticket(SELL, stop="99.89"), 10), case(ticket(SELL, stop="99.90"), 10)),
        ),
        missing=(
            (case(ticket(stop="90"), quote=None), ""),
            (case(ticket(stop="90"), quote=quote(ask=None)), ""),
            (case(ticket(order_type=OrderType.STOP)), ""),
        ),
        wild=(case(ticket(stop="NaN")), leaving(ticket(stop="NaN"))),
        leaves=leaving(ticket(stop="99")),
    ),
    "bracket_sides": Row(
        passes=(
            case(),
            case(ticket(stop_loss=D(90), take_profit=D(110))),
            case(ticket(limit="90", stop_loss=D(85))),
            case(ticket(SELL, stop_loss=D(110), take_profit=D(90))),
        ),
        denies=(
            (case(ticket(stop_loss=D(101))), "BRACKET"),
            (case(ticket(take_profit=D(90))), "BRACKET"),
            (case(ticket(limit="90", stop_loss=D(95))), "BRACKET"),
            (case(ticket(SELL, stop_loss=D(90))), "BRACKET"),
            (case(ticket(SELL, take_profit=D(110))), "BRACKET"),
            (leaving(ticket(take_profit=D(110))), "BRACKET"),
        ),
        edges=(
            (case(ticket(stop_loss=D("99.99"))), case(ticket(stop_loss=D(100)))),
            (case(ticket(take_profit=D("100.01"))), case(ticket(take_profit=D(100)))),
            (case(ticket(SELL, stop_loss=D("99.91"))), case(ticket(SELL, stop_loss=D("99.90")))),
            (case(ticket(SELL, take_profit=D("99.89"))), case(ticket(SELL, take_profit=D("99.90")))),
            (
                case(ticket(quantity=101, stop_loss=D(90)), -100),
                case(ticket(quantity=100, stop_loss=D(90)), -100),
            ),
        ),
        missing=((case(ticket(stop_loss=D(101)), quote=None), ""),),
        wild=(case(ticket(stop_loss=NAN)), leaving(ticket(take_profit=NAN))),
        leaves=leaving(ticket(stop_loss=D(90))),
    ),
    "sale_covered": Row(
        passes=(
            case(MARKET_SELL, 10),
            case(ENTRY, None),
            case(MARKET_SELL, 10, working=(works(SELL, 10, role=Role.STOP),)),
            case(MARKET_SELL, 10, working=(works(SELL, 9, con_id=1), works(BUY, 9))),
        ),
        denies=(
            (case(MARKET_SELL, 5), "SHORT_SALE"),
            (case(MARKET_SELL, 0), "SHORT_SALE"),
            (case(MARKET_SELL, -20), "SHORT_SALE"),
            (case(MARKET_SELL, 12, working=(works(SELL, 4),)), "SHORT_SALE"),
            (case(MARKET_SELL, 12, told=(position(4),)), "SHORT_SALE"),
            (case(MARKET_SELL, positions=(position(105), CALL)), "COVERS_CALL"),
            (case(MARKET_SELL, positions=(position(105),), told=(position(105), CALL)), "COVERS_CALL"),
            (
                case(MARKET_SELL, 105, working=(works(SELL, 1, kind="OPT", con_id=9, option=CALL.option),)),
                "COVERS_CALL",
            ),
        ),
        edges=(
            (case(ticket(SELL, 10), 10), case(ticket(SELL, 11), 10)),
            (
                case(ticket(SELL, 6), 10, working=(works(SELL, 4),)),
                case(ticket(SELL, 7), 10, working=(works(SELL, 4),)),
            ),
            (
                case(MARKET_SELL, positions=(position(110), CALL)),
                case(MARKET_SELL, positions=(position(109), CALL)),
            ),
            (
                case(
                    MARKET_SELL, positions=(position(10), CALL, replace(CALL, con_id=8, signed_quantity=D(1)))
                ),
                case(
                    MARKET_SELL,
                    positions=(
                        position(10),
                        CALL,
                        replace(CALL, con_id=8, signed_quantity=D(1), option=EARLIER),
                    ),
                ),
            ),
            (
                case(MARKET_SELL, positions=(position(10), replace(CALL, currency="EUR"))),
                case(MARKET_SELL, positions=(position(10), CALL)),
            ),
        ),
        missing=((case(MARKET_SELL, None), "POSITION_UNKNOWN"),),
        wild=(
            case(MARKET_SELL, positions=(position("NaN"),)),
            case(MARKET_SELL, 10, told=(position("NaN"),)),
            case(MARKET_SELL, 10, working=(works(SELL, "NaN"),)),
            case(MARKET_SELL, 10, working=(works(SELL, 4, filled=NAN),)),
            case(MARKET_SELL, positions=(position(10), replace(CALL, signed_quantity=NAN))),
        ),
        why={"leaves": "an order that only closes is covered: that is what closing means"},
    ),
    "crossing": Row(
        passes=(
            case(),
            case(working=rests(BUY, "100")),
            case(working=rests(SELL, "100", con_id=1)),
            case(working=(works(BUY, 10, number=8), *rests(SELL, "100", role=Role.TARGET, parent=8))),
            case(working=rests(SELL, "100", filled=D(10))),
            case(working=(works(SELL, 10),)),
            case(ticket(stop="101"), working=rests(SELL, "100")),
        ),
        denies=(
            (case(working=(*rests(BUY, "100"), *rests(SELL, "90"))), "CROSSING"),
            (case(ticket(limit="101"), working=rests(SELL, "100.50")), "CROSSING"),
            (case(working=rests(SELL, "100", role=Role.TARGET)), "CROSSING"),
            (case(working=rests(SELL, "100", role=Role.TARGET, parent=8)), "CROSSING"),
            (case(working=rests(SELL, "100", cancel_requested_at=NOW)), "CROSSING"),
            (case(working=(works(SELL, 1, limit_price=D(100)),)), "CROSSING"),
            (case(working=(*rests(SELL, "90", number=4), *rests(SELL, "95", number=5))), "CROSSING"),
            (case(working=(works(BUY, 10, number=8), *rests(SELL, "100", parent=8))), "CROSSING"),
            (case(working=(works(SELL, 10, change=Change("X", D(10), D(90), None, NOW)),)), "CROSSING"),
            (
                case(
                    working=(
                        works(BUY, 9, number=8, filled=D(1)),
                        *rests(SELL, "100", role=Role.TARGET, parent=8),
                    )
                ),
                "CROSSING",
            ),
            (case(MARKET_SELL, 20, working=rests(BUY, "101")), "CROSSING"),
        ),
        edges=(
            (case(working=rests(SELL, "100.01")), case(working=rests(SELL, "100"))),
            (
                case(ticket(limit="99"), working=rests(SELL, "99.01")),
                case(ticket(limit="99"), working=rests(SELL, "99")),
            ),
            (
                case(working=rests(SELL, "110", change=Change("X", D(10), D("100.01"), None, NOW))),
                case(working=rests(SELL, "110", change=Change("X", D(10), D(100), None, NOW))),
            ),
            (
                leaving(working=rests(SELL, "100", cancel_requested_at=NOW)),
                leaving(working=rests(SELL, "100")),
            ),
            (
                case(MARKET_SELL, 20, working=rests(BUY, "99.89")),
                case(MARKET_SELL, 20, working=rests(BUY, "99.90")),
            ),
            (
                case(ticket(SELL, limit="99"), 20, working=rests(BUY, "98.99")),
                case(ticket(SELL, limit="99"), 20, working=rests(BUY, "99")),
            ),
        ),
        missing=(
            (case(quote=None, working=rests(SELL, "1")), ""),
            (case(ticket(order_type=OrderType.LIMIT), working=rests(SELL, "1")), ""),
        ),
        wild=(
            case(working=rests(SELL, "NaN")),
            leaving(working=rests(SELL, "NaN")),
            leaving(working=rests(SELL, "110", change=Change("X", D(10), NAN, None, NOW))),
        ),
        leaves=leaving(working=rests(SELL, "100")),
    ),
    "symbol_allowed": Row(
        passes=(
            case(),
            case(limits={"allowed_symbols": frozenset({"AAPL", "MSFT"})}),
            case(limits={"denied_symbols": frozenset({"GME"})}),
        ),
        denies=(
            (case(limits={"denied_symbols": frozenset({"AAPL"})}), "SYMBOL"),
            (case(limits={"allowed_symbols": frozenset({"MSFT"})}), "SYMBOL"),
            (
                case(limits={"allowed_symbols": frozenset({"AAPL"}), "denied_symbols": frozenset({"AAPL"})}),
                "SYMBOL",
            ),
        ),
        leaves=leaving(limits={"denied_symbols": frozenset({"AAPL"})}),
        why={**YES_OR_NO, "missing": "a list that is not there is a missing limit"},
    ),
    "order_size": Row(
        passes=(case(), case(ticket(instrument=thing(kind="FUT"), quantity=50))),
        denies=(
            (case(ticket(quantity=10_500)), "ORDER_SIZE"),
            (case(ticket(quantity=51, instrument=thing(kind="FUT"))), "ORDER_SIZE"),
        ),
        edges=(
            (case(ticket(quantity=10_000)), case(ticket(quantity=10_001))),
            (
                case(ticket(quantity=50, instrument=thing(kind="FUT"))),
                case(ticket(quantity=51, instrument=thing(kind="FUT"))),
            ),
            (
                case(ticket(quantity=10_000, instrument=thing(kind="CASH"))),
                case(ticket(quantity=10_001, instrument=thing(kind="CASH"))),
            ),
        ),
        wild=(case(ticket(quantity="NaN")),),
        leaves=leaving(limits={"max_order_shares": D(9)}),
        why={"missing": "an order always names a quantity"},
    ),
    "order_value": Row(
        passes=(case(),),
        denies=(
            (case(ticket(quantity=500)), "ORDER_VALUE"),
            (case(ticket(quantity=3, instrument=HUNDREDS)), "ORDER_VALUE"),
        ),
        edges=(
            (case(ticket(quantity=250)), case(ticket(quantity=251))),
            (case(ticket(quantity=312), account=EURO), case(ticket(quantity=313), account=EURO)),
            (case(ticket(limit="125", quantity=200)), case(ticket(limit="125.01", quantity=200))),
            (case(ticket(stop="125", quantity=200)), case(ticket(stop="125.01", quantity=200))),
        ),
        missing=(
            (case(quote=None), "ORDER_VALUE"),
            (case(account=None), "ORDER_VALUE"),
            (case(account=replace(EURO, rates={})), "ORDER_VALUE"),
            (case(ticket(order_type=OrderType.LIMIT)), "ORDER_VALUE"),
        ),
        wild=(case(account=replace(EURO, rates={"USD": NAN})),),
        leaves=leaving(limits={"max_order_value_base": D(999)}),
    ),
    "hour_value": Row(
        passes=(case(), case(sent=(sent(HOUR * 2, 90_000), sent(worth=None)))),
        denies=(
            (case(sent=(sent(worth=30_000), sent(worth=30_000))), "HOUR_VALUE"),
            (case(ticket(quantity=200), sent=(sent(worth=40_050),)), "HOUR_VALUE"),
        ),
        edges=(
            (case(sent=(sent(worth=49_000),)), case(sent=(sent(worth="49000.01"),))),
            (case(sent=(sent(HOUR, 60_000),)), case(sent=(sent(HOUR - TICK, 60_000),))),
        ),
        missing=((case(sent=None), "HOUR_VALUE"), (case(account=None), "HOUR_VALUE")),
        wild=(case(sent=(sent(worth="NaN"),)),),
        leaves=leaving(sent=(sent(worth=60_000),)),
    ),
    "day_value": Row(
        passes=(case(), case(sent=(sent(DAY, 200_000), sent(worth=None)))),
        denies=(
            (case(sent=(sent(HOUR * 9, 60_000), sent(worth=60_000))), "DAY_VALUE"),
            (case(ticket(quantity=200), sent=(sent(HOUR * 9, 90_050),)), "DAY_VALUE"),
        ),
        edges=(
            (case(sent=(sent(HOUR * 2, 99_000),)), case(sent=(sent(HOUR * 2, "99000.01"),))),
            (
                case(sent=(sent(SINCE_MIDNIGHT, 200_000),)),
                case(sent=(sent(SINCE_MIDNIGHT - TICK, 200_000),)),
            ),
        ),
        missing=((case(sent=None), "DAY_VALUE"), (case(quote=None), "DAY_VALUE")),
        wild=(case(sent=(sent(worth="Infinity"),)),),
        leaves=leaving(sent=(sent(worth=200_000),)),
    ),
    "collar": Row(
        passes=(
            case(),
            case(ticket(limit="60")),
            case(ticket(SELL, limit="150"), 10),
            case(ticket(stop="150")),
            case(ticket(limit_price=D(150))),
        ),
        denies=(
            (case(ticket(limit="110")), "COLLAR"),
            (case(ticket(SELL, limit="90"), 10), "COLLAR"),
            (case(ticket(limit="110", instrument=thing(min_tick=D(0)))), "COLLAR"),
            (case(ticket(limit="103", instrument=thing(min_tick=D("0.3")))), "COLLAR"),
            (case(ticket(SELL, limit="97.50", instrument=thing(min_tick=D("0.3")))), "COLLAR"),
        ),
        edges=(
            (case(ticket(limit="102")), case(ticket(limit="102.01"))),
            (case(ticket(SELL, limit="97.91"), 10), case(ticket(SELL, limit="97.90"), 10)),
            (
                case(ticket(limit="4.20"), quote=quote(ask="4")),
                case(ticket(limit="4.21"), quote=quote(ask="4")),
            ),
            (
                case(ticket(limit="5.2395"), quote=quote(ask="4.99")),
                case(ticket(limit="5.2396"), quote=quote(ask="4.99")),
            ),
            (
                case(ticket(limit="5.10"), quote=quote(ask="5")),
                case(ticket(limit="5.11"), quote=quote(ask="5")),
            ),
        ),
        missing=(
            (case(ticket(limit="100"), quote=None), "COLLAR"),
            (case(ticket(limit="100"), quote=quote(ask="0")), "COLLAR"),
            (case(ticket(order_type=OrderType.LIMIT)), ""),
        ),
        wild=(case(ticket(limit="NaN")),),
        leaves=leaving(ticket(limit="110")),
    ),
    "position_cap": Row(
        passes=(
            case(),
            case(MARKET_SELL, 500),
            case(
                ticket(quantity=100),
                working=(works(BUY, 9, con_id=1), works(SELL, 9), works(BUY, 9, role=Role.STOP)),
            ),
        ),
        denies=(
            (case(ticket(quantity=200), 50), "POSITION_CAP"),
            (case(ticket(quantity=1), 150), "POSITION_CAP"),
            (case(ticket(quantity=50), 10, told=(position(60),)), "POSITION_CAP"),
            (case(ticket(quantity=510), 10, told=(position(-500),)), "POSITION_CAP"),
            (case(ticket(quantity=50), 60, working=(works(BUY, 5),)), "POSITION_CAP"),
        ),
        edges=(
            (case(ticket(quantity=100)), case(ticket(quantity=101))),
            (case(ticket(quantity=40), 60), case(ticket(quantity=41), 60)),
            (
                case(ticket(quantity=10), 60, working=(works(BUY, 30),)),
                case(ticket(quantity=11), 60, working=(works(BUY, 30),)),
            ),
            (case(ticket(quantity=150), -50), case(ticket(quantity=151), -50)),
            (case(ticket(quantity=125), account=EURO), case(ticket(quantity=126), account=EURO)),
            (case(ticket(quantity=1, instrument=HUNDREDS)), case(ticket(quantity=2, instrument=HUNDREDS))),
        ),
        missing=(
            (case(ENTRY, None), "POSITION_CAP"),
            (case(quote=None), "POSITION_CAP"),
            (case(quote=quote(ask=None)), "POSITION_CAP"),
            (case(account=None), "POSITION_CAP"),
            (case(account=replace(EURO, rates={})), "POSITION_CAP"),
        ),
        wild=(case(positions=(position("NaN"),)), case(working=(works(BUY, "Infinity"),))),
        why={"leaves": "a purchase that only closes ends at nothing held, which no cap can be below"},
    ),
    "gross_exposure": Row(
        passes=(
            case(),
            case(working=(works(SELL, 9_000, role=Role.STOP), works(BUY, 9, con_id=7, filled=D(9)))),
            case(positions=(position(0, market_value=None),)),
        ),
        denies=(
            (case(ticket(quantity=1001)), "GROSS_EXPOSURE"),
            (case(ENTRY, 995), "GROSS_EXPOSURE"),
            (case(positions=(position(600), position(-600, 7))), "GROSS_EXPOSURE"),
            (case(working=rests(BUY, "9950")), "GROSS_EXPOSURE"),
        ),
        edges=(
            (case(ticket(quantity=1000)), case(ticket(quantity=1001))),
            (case(ENTRY, 990), case(ENTRY, 991)),
            (case(ENTRY, -990), case(ENTRY, -991)),
            (case(working=rests(BUY, "9900")), case(working=rests(BUY, "9900.01"))),
            (case(working=rests(SELL, "9900")), case(working=rests(SELL, "9900.01"))),
            (case(working=rests(BUY, "-9900")), case(working=rests(BUY, "-9900.01"))),
            (
                case(working=(works(BUY, 1, limit_price=D(99_000)),)),
                case(working=(works(BUY, 1, limit_price=D("99000.01")),)),
            ),
            (
                case(working=(works(BUY, 10, order_type=OrderType.STOP, stop_price=D(9900)),)),
                case(working=(works(BUY, 10, order_type=OrderType.STOP, stop_price=D("9900.01")),)),
            ),
            (case(ENTRY, 490, working=(works(BUY, 500),)), case(ENTRY, 490, working=(works(BUY, 501),))),
            (
                case(working=(works(BUY, 5, con_id=7, worth=D(99_000)),)),
                case(working=(works(BUY, 5, con_id=7, worth=D("99000.01")),)),
            ),
            (
                case(working=rests(BUY, "9000", change=Change("X", D(10), D(9900), None, NOW))),
                case(working=rests(BUY, "9000", change=Change("X", D(10), D("9900.01"), None, NOW))),
            ),
            (
                case(working=rests(BUY, "9900", change=Change("X", D(10), D(9000), None, NOW))),
                case(working=rests(BUY, "9900", change=Change("X", D(11), D(9000), None, NOW))),
            ),
            (
                case(positions=(position(990, currency="EUR"),), account=account(rates={"EUR": D(1)})),
                case(positions=(position(990, currency="EUR"),), account=account(rates={"EUR": D("1.001")})),
            ),
        ),
        missing=(
            (case(account=None), "GROSS_EXPOSURE"),
            (case(account=account(net_liquidation=None)), "GROSS_EXPOSURE"),
            (case(ENTRY, None), "GROSS_EXPOSURE"),
            (case(quote=None), "GROSS_EXPOSURE"),
            (case(positions=(position(5, 7, market_value=None),)), "GROSS_EXPOSURE"),
            (case(positions=(position(5, 7, currency="JPY"),)), "GROSS_EXPOSURE"),
            (case(positions=(), working=(works(BUY, 5, con_id=7),)), "GROSS_EXPOSURE"),
            (case(positions=(position(0, market_price=None),), working=(works(BUY, 5),)), "GROSS_EXPOSURE"),
            (case(working=rests(BUY, "100", currency="JPY")), "GROSS_EXPOSURE"),
        ),
        wild=(
            case(account=account(net_liquidation=INFINITE)),
            case(positions=(position(5, market_value=NAN),)),
            case(positions=(position(5, 7, market_price=NAN),)),
            case(working=rests(BUY, "NaN", con_id=7)),
            case(working=(works(BUY, 9, con_id=7, worth=NAN),)),
            case(working=rests(BUY, "9", con_id=7, change=Change("X", D(9), NAN, None, NOW))),
        ),
        leaves=leaving(limits={"max_gross_exposure_percent": D(1)}),
    ),
    "risk_per_trade": Row(
        passes=(case(), case(ticket(SELL, 5000), 5000, atr=None), case(ticket(stop_loss=D(90)), atr=None)),
        denies=(
            (case(ticket(quantity=1000, stop_loss=D(90))), "RISK_PER_TRADE"),
            (case(ticket(quantity=5000)), "RISK_PER_TRADE"),
            (case(account=account(net_liquidation=D(-50_000))), "RISK_PER_TRADE"),
        ),
        edges=(
            (case(ticket(quantity=100, stop_loss=D(80))), case(ticket(quantity=101, stop_loss=D(80)))),
            (case(ticket(quantity=100, stop_loss=D(80))), case(ticket(quantity=100, stop_loss=D("79.99")))),
            (case(ticket(quantity=666)), case(ticket(quantity=667))),
            (
                case(ticket(quantity=125, stop_loss=D(80)), account=EURO),
                case(ticket(quantity=126, stop_loss=D(80)), account=EURO),
            ),
            (case(ticket(quantity=6, instrument=HUNDREDS)), case(ticket(quantity=7, instrument=HUNDREDS))),
            (
                case(ticket(quantity=100, limit="99", stop_loss=D(79))),
                case(ticket(quantity=100, limit="99.01", stop_loss=D(79))),
            ),
        ),
        missing=(
            (case(atr=None), "RISK_PER_TRADE"),
            (case(account=None), "RISK_PER_TRADE"),
            (case(account=account(net_liquidation=None)), "RISK_PER_TRADE"),
            (case(account=replace(EURO, rates={})), "RISK_PER_TRADE"),
            (case(ticket(stop_loss=D(90)), quote=None), "RISK_PER_TRADE"),
        ),
        wild=(case(atr=NAN), case(account=account(net_liquidation=NAN))),
        leaves=leaving(atr=D(900)),
    ),
    "day_loss": Row(
        passes=(case(), case(account=account(day_gain=D(5000)))),
        denies=(
            (case(account=account(day_gain=D(-9000), net_liquidation=D(91_000))), "DAY_LOSS"),
            (case(account=account(day_gain=D(-3000), worth_before=D(100_000))), "DAY_LOSS"),
        ),
        edges=(
            (
                case(account=account(day_gain=D("-2999.99"), net_liquidation=D("97000.01"))),
                case(account=account(day_gain=D(-3000), net_liquidation=D(97_000))),
            ),
        ),
        missing=(
            (case(account=None), "DAY_LOSS"),
            (case(account=account(day_gain=None)), "DAY_LOSS"),
            (case(account=account(net_liquidation=None)), "DAY_LOSS"),
            (case(account=account(day_gain=D(100_000))), "DAY_LOSS"),
        ),
        wild=(case(account=account(day_gain=NAN)),),
        leaves=leaving(account=account(day_gain=D(-9000))),
    ),
    "same_order": Row(
        passes=(
            case(),
            case(sent=(sent(timedelta(seconds=5)),)),
            case(sent=(sent(timedelta(seconds=5), terms=ENTRY.same_terms),), confirmed=True),
            case(sent=None, confirmed=True),
        ),
        denies=(
            (
                case(
                    sent=(
                        sent(HOUR, terms=ENTRY.same_terms),
                        sent(timedelta(seconds=40), terms=ENTRY.same_terms),
                        sent(timedelta(seconds=5), terms=ENTRY.same_terms),
                    )
                ),
                "SAME_ORDER",
            ),
        ),
        edges=(
            (
                case(sent=(sent(MINUTE, terms=ENTRY.same_terms),)),
                case(sent=(sent(MINUTE - TICK, terms=ENTRY.same_terms),)),
            ),
        ),
        missing=((case(sent=None), "SAME_ORDER"),),
        leaves=leaving(sent=(sent(timedelta(seconds=5), terms=COVER.same_terms),)),
        why={"wild": "terms are compared, not measured"},
    ),
    "orders_per_minute": Row(
        passes=(case(), case(sent=PACE * 4), case(sent=PACE * 4 + (sent(worth=None),) * 9)),
        denies=((case(sent=PACE * 9), "ORDERS_PER_MINUTE"),),
        edges=(
            (case(sent=PACE * 4), case(sent=PACE * 5)),
            (case(sent=(sent(MINUTE),) * 5), case(sent=(sent(MINUTE - TICK),) * 5)),
        ),
        missing=((case(sent=None), "ORDERS_PER_MINUTE"),),
        leaves=leaving(sent=PACE * 5),
        why={"wild": "a count is always a number"},
    ),
    "orders_per_day": Row(
        passes=(case(), case(sent=(sent(),) * 29), case(sent=(sent(worth=None),) * 99)),
        denies=((case(sent=(sent(HOUR * 9),) * 40), "ORDERS_PER_DAY"),),
        edges=(
            (case(sent=(sent(),) * 29), case(sent=(sent(),) * 30)),
            (case(sent=(sent(SINCE_MIDNIGHT),) * 30), case(sent=(sent(SINCE_MIDNIGHT - TICK),) * 30)),
        ),
        missing=((case(sent=None), "ORDERS_PER_DAY"),),
        leaves=leaving(sent=(sent(),) * 30),
        why={"wild": "a count is always a number"},
    ),
    "fills_per_symbol": Row(
        passes=(
            case(),
            case(sent=(sent(),) * 9),
            case(sent=(filled(worth=None),) * 9),
            case(sent=(filled(terms=(1, *ENTRY.same_terms[1:])),) * 9),
        ),
        denies=((case(sent=(filled(),) * 5), "FILLS_PER_SYMBOL"),),
        edges=(
            (case(sent=(filled(),) * 2), case(sent=(filled(),) * 3)),
            (case(sent=(filled(HOUR),) * 3), case(sent=(filled(HOUR - TICK),) * 3)),
        ),
        missing=((case(sent=None), "FILLS_PER_SYMBOL"),),
        leaves=leaving(sent=(filled(),) * 3),
        why={"wild": "a count is always a number"},
    ),
    "rejects": Row(
        passes=(
            case(),
            case(sent=(sent(),) * 3),
            case(sent=(reject(MINUTE),) * 3, trading=Trading(since=NOW - MINUTE)),
        ),
        denies=(
            (case(sent=(reject(MINUTE),) * 4), "REJECTS"),
            (case(sent=(reject(MINUTE),) * 3, trading=halted(since=NOW)), "REJECTS"),
            (case(sent=(reject(MINUTE),) * 3, trading=Trading(since=NOW - HOUR)), "REJECTS"),
        ),
        edges=(
            (case(sent=(reject(MINUTE),) * 2), case(sent=(reject(MINUTE),) * 3)),
            (case(sent=(reject(MINUTE * 5),) * 3), case(sent=(reject(MINUTE * 5 - TICK),) * 3)),
            (
                case(sent=(reject(MINUTE),) * 3, trading=Trading(since=NOW - MINUTE)),
                case(sent=(reject(MINUTE),) * 3, trading=Trading(since=NOW - MINUTE - TICK)),
            ),
        ),
        missing=((case(sent=None), "REJECTS"),),
        leaves=leaving(sent=(reject(MINUTE),) * 3),
        why={"wild": "a count is always a number"},
    ),
    "excess_liquidity": Row(
        passes=(
            case(),
            case(what_if=forecast(maintenance_margin_change=D(-500))),
            case(
                account=account(net_liquidation=D(1), excess_liquidity=D(1)),
                what_if=forecast(
                    equity_with_loan_after=D(1), maintenance_margin_after=D(0), maintenance_margin_change=D(0)
                ),
            ),
        ),
        denies=(
            (case(what_if=forecast(maintenance_margin_after=D(95_000))), "EXCESS_LIQUIDITY"),
            (case(what_if=forecast(maintenance_margin_change=D(85_000))), "EXCESS_LIQUIDITY"),
            (
                case(what_if=forecast(maintenance_margin_after=D(95_000), maintenance_margin_change=D(0))),
                "EXCESS_LIQUIDITY",
            ),
            (
                case(
                    what_if=forecast(
                        maintenance_margin_after=D("80000.20"), maintenance_margin_change=D("0.50")
                    )
                ),
                "EXCESS_LIQUIDITY",
            ),
            (
                case(what_if=forecast(maintenance_margin_after=D(95_000), maintenance_margin_change=D(-1))),
                "EXCESS_LIQUIDITY",
            ),
        ),
        edges=(
            (
                case(what_if=forecast(maintenance_margin_after=D(80_000))),
                case(what_if=forecast(maintenance_margin_after=D("80000.01"))),
            ),
            (
                case(what_if=forecast(maintenance_margin_change=D(70_000))),
                case(what_if=forecast(maintenance_margin_change=D("70000.01"))),
            ),
        ),
        missing=(
            (case(what_if=None), "EXCESS_LIQUIDITY"),
            (case(what_if=forecast(equity_with_loan_after=None)), "EXCESS_LIQUIDITY"),
            (case(what_if=forecast(maintenance_margin_after=None)), "EXCESS_LIQUIDITY"),
            (case(what_if=forecast(maintenance_margin_change=None)), "EXCESS_LIQUIDITY"),
            (case(account=account(excess_liquidity=None)), "EXCESS_LIQUIDITY"),
            (case(account=None), "EXCESS_LIQUIDITY"),
            (case(account=account(net_liquidation=None)), "EXCESS_LIQUIDITY"),
            (case(account=account(net_liquidation=D(0))), "EXCESS_LIQUIDITY"),
        ),
        wild=(
            case(what_if=forecast(equity_with_loan_after=INFINITE, maintenance_margin_after=INFINITE)),
            case(what_if=forecast(maintenance_margin_change=NAN)),
            case(account=account(excess_liquidity=NAN)),
        ),
        leaves=leaving(what_if=forecast(maintenance_margin_after=D(99_000))),
    ),
}
