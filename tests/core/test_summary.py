"""The daily summary: once a session, never for one before the bot's time, late where it must be, and only what is known."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model import (
    Account,
    Commission,
    Execution,
    History,
    JobRun,
    OpeningLot,
    OptionTerms,
    OrderState,
    Position,
    Right,
    Side,
)
from core.sessions import Session
from core.summary import Moment, due, facts, worth_waiting
from tests.values import ACCOUNT, BASE, LINK, execution, order

OPEN, CLOSE = datetime(2026, 3, 2, 14, 30, tzinfo=UTC), datetime(2026, 3, 2, 21, 0, tzinfo=UTC)
SESSION = Session(OPEN, CLOSE, date(2026, 3, 2))
LONG_BEFORE = CLOSE - timedelta(days=30)
HELD = Position(ACCOUNT, 1, "KO", "USD", Decimal(20), Decimal(60), Decimal(62), Decimal(1240), Decimal(40))
MOMENT = Moment(CLOSE + timedelta(minutes=5), LINK, BASE, (HELD,), ())


def run(day: date = date(2026, 2, 27), **told: Any) -> JobRun:
    """The summary of an earlier session."""
    at = datetime(day.year, day.month, day.day, 21, 5, tzinfo=UTC)
    return JobRun(
        "summary",
        day,
        at,
        {"account": ACCOUNT, "currency": "USD", "net_liquidation": "99000.50", **told},
    )


@pytest.mark.parametrize(
    ("after_close", "sent", "since", "wanted"),
    [
        (timedelta(minutes=-1), None, LONG_BEFORE, False),
        (timedelta(minutes=4, seconds=59), None, LONG_BEFORE, False),
        (timedelta(minutes=5), None, LONG_BEFORE, True),
        (timedelta(hours=17, minutes=59), None, LONG_BEFORE, True),
        (timedelta(hours=18), None, LONG_BEFORE, False),
        (timedelta(minutes=5), date(2026, 3, 1), LONG_BEFORE, True),
        (timedelta(minutes=5), date(2026, 3, 2), LONG_BEFORE, False),
        (timedelta(minutes=5), date(2026, 3, 3), LONG_BEFORE, False),  # a clock that was set back
        (timedelta(hours=2), None, CLOSE, False),  # the bot's first hour
        (timedelta(hours=2), None, CLOSE - timedelta(seconds=1), True),
    ],
)
def test_due(after_close: timedelta, sent: date | None, since: datetime, wanted: bool) -> None:
    """Five minutes after a close until eighteen hours after it, once, for closes that the bot has lived to see."""
    assert due(CLOSE + after_close, SESSION, sent, since) is wanted


def test_nothing_closed_nothing_due() -> None:
    """Where no session is known to have closed there is nothing to sum up."""
    assert not due(CLOSE, None, None, LONG_BEFORE)


@given(st.lists(st.integers(0, 6 * 24 * 60), min_size=1, max_size=200))
def test_once_a_session_whatever_the_clock_does(minutes: list[int]) -> None:
    """Looks at any times, in any order, never make two summaries of one session."""
    sessions = [
        Session(OPEN + timedelta(days=n), CLOSE + timedelta(days=n), SESSION.day + timedelta(days=n))
        for n in range(6)
    ]
    sent: list[date] = []
    for minute in minutes:
        now = OPEN + timedelta(minutes=minute)
        closed = max((s for s in sessions if s.close <= now), default=None)
        if due(now, closed, max(sent, default=None), LONG_BEFORE) and closed is not None:
            sent.append(closed.day)
    assert len(sent) == len(set(sent))


def test_waits_for_a_broker_who_is_wanted() -> None:
    """Ten minutes from the time it was due, or from the start; not where the owner wants no connection."""
    away = replace(LINK, connected=False, reconciled=False)
    started = CLOSE + timedelta(hours=3)
    assert worth_waiting(CLOSE + timedelta(minutes=6), SESSION, OPEN, away)
    assert not worth_waiting(CLOSE + timedelta(minutes=15), SESSION, OPEN, away)
    assert worth_waiting(started + timedelta(minutes=9), SESSION, started, away)
    assert not worth_waiting(started + timedelta(minutes=10), SESSION, started, away)
    assert not worth_waiting(CLOSE + timedelta(minutes=6), SESSION, OPEN, LINK)
    assert not worth_waiting(CLOSE + timedelta(minutes=6), SESSION, OPEN, replace(away, wanted=False))


def test_a_quiet_day() -> None:
    """Nothing traded: the account, what it moved by, what is held, and that all is well."""
    told = facts(MOMENT, History(), SESSION, run())
    assert told["net_liquidation"] == "100000"
    assert (told["change"], told["since"]) == ("999.50", "2026-02-27")
    assert (told["fills"], told["realized"], told["unrealized"]) == (0, "0", "40")
    assert told["positions"] == [["KO", "20", "1240", "40", "USD"]]
    assert told["trouble"] == []
    assert told["late_seconds"] == 0


def test_a_day_of_trading() -> None:
    """Fills since the last summary with what they cost; realised by first in first out, the lots held before included."""
    sale = execution(4, "110", side=Side.SELL, time=OPEN, exec_id="b.01.01")
    older = execution(5, "100", exec_id="a.01.01", time=OPEN - timedelta(days=20))
    history = History(
        (older, sale, execution(1, "90", exec_id="c.01.01", time=OPEN + timedelta(hours=1))),
        (Commission("b.01.01", Decimal("1.00"), "USD"), Commission("a.01.01", Decimal("1.00"), "USD")),
        (OpeningLot(ACCOUNT, older.con_id, "AAPL", "USD", Decimal(3), Decimal(95), OPEN - timedelta(30)),),
    )
    told = facts(MOMENT, history, SESSION, run())
    assert (told["fills"], told["bought"], told["sold"]) == (2, "90", "440")
    assert (told["commissions"], told["commissions_unknown"]) == ("1.00", 1)
    # 3 at the broker's 95 and 1 of the purchase at 100 with a fifth of its commission, sold at 110 with 1.00 off.
    assert Decimal(told["realized"]) == Decimal("439.00") - 285 - Decimal("100.20")
    assert told["realized_provisional"] is True


def test_after_hours_belongs_to_the_next_summary() -> None:
    """A fill after the last summary, on the evening of that session, is told in this one; the one before it is not told again."""
    evening = execution(1, exec_id="e.01.01", time=run().at + timedelta(hours=1))
    before = execution(1, exec_id="d.01.01", time=run().at - timedelta(hours=1))
    assert facts(MOMENT, History((before, evening)), SESSION, run())["fills"] == 1
    assert facts(MOMENT, History((before, evening)), SESSION, None)["fills"] == 0
    assert facts(MOMENT, History((before, evening)), SESSION, run(date(2026, 2, 2)))["fills"] == 0


def test_unknown_is_not_zero() -> None:
    """Without the broker nothing is made up: no value, no change, no holdings; and it says what is not well."""
    away = replace(
        LINK, connected=False, reconciled=False, account=None, mode=None, trouble="Is TWS running?"
    )
    told = facts(replace(MOMENT, link=away, account=None, positions=None), History(), SESSION, run())
    assert [told[k] for k in ("net_liquidation", "change", "unrealized", "positions")] == [None] * 4
    assert (told["account"], told["mode"]) == (ACCOUNT, "PAPER")
    assert told["trouble"] == ["Not connected to the broker. Is TWS running?"]


def test_other_currencies() -> None:
    """Everything is told in the base currency by the broker's rates; one without a rate makes the sum unknown."""
    euro = execution(2, "50", currency="EUR", time=OPEN)
    assert facts(MOMENT, History((euro,)), SESSION, None)["bought"] == "110.00"
    swiss = replace(euro, currency="CHF")
    assert facts(MOMENT, History((swiss,)), SESSION, None)["bought"] is None


@pytest.mark.parametrize(
    "last",
    [None, run(account="DU7"), run(currency="EUR"), run(net_liquidation=None)],
    ids=["first", "account", "currency", "unknown"],
)
def test_no_change_without_the_like(last: JobRun | None) -> None:
    """A change is told only against a value of the same account in the same currency."""
    told = facts(MOMENT, History(), SESSION, last)
    assert (told["change"], told["since"]) == (None, None)


def test_late_says_how_late() -> None:
    """From half an hour after the close on it is late."""
    on_time = facts(replace(MOMENT, now=CLOSE + timedelta(minutes=29)), History(), SESSION, None)
    late = facts(replace(MOMENT, now=CLOSE + timedelta(hours=3)), History(), SESSION, None)
    assert (on_time["late_seconds"], late["late_seconds"]) == (0, 3 * 3600)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"wanted": False, "connected": False, "reconciled": False}, "at your wish"),
        ({"connected": False, "reconciled": False}, "Not connected"),
        ({"trouble": "Untick Read-Only."}, "Untick"),
        ({"reconciled": False}, "not been compared"),
    ],
)
def test_what_is_not_well(changes: dict[str, Any], sentence: str) -> None:
    """Each trouble has its sentence."""
    told = facts(replace(MOMENT, link=replace(LINK, **changes)), History(), SESSION, None)
    (said,) = told["trouble"]
    assert sentence in said


def test_an_order_of_unknown_fate_is_not_well() -> None:
    """Open orders are counted, and one whose fate nobody knows is named."""
    orders = (order(number=3), order(number=4, state=OrderState.UNKNOWN))
    told = facts(replace(MOMENT, orders=orders), History(), SESSION, None)
    assert told["open_orders"] == 2
    assert "#4" in told["trouble"][0]
    assert "#3" not in told["trouble"][0]


def test_account_without_figures() -> None:
    """An account whose value the broker has not said has no value, and none to compare with."""
    told = facts(replace(MOMENT, account=Account(ACCOUNT, "USD")), History(), SESSION, run())
    assert (told["net_liquidation"], told["change"]) == (None, None)


CALL = OptionTerms(SESSION.day, Decimal(190), Right.CALL)


def leg(
    number: int, side: Side, price: str, option: OptionTerms | None = CALL, fill: str = "b0", **changes: Any
) -> Execution:
    """A part of a fill of a combination; the first is the whole."""
    told = execution(
        2, price, side=side, exec_id=f"0000e0d5.65f2a1{fill}.{number:02}.01", time=OPEN, order_ref="01SPREAD",
        con_id=7000 + number, kind="OPT" if option else "BAG", option=option,
    )  # fmt: skip
    return replace(told, **changes)


def test_a_combination_is_one_fill() -> None:
    """Two fills of a spread are two, not six; what was bought and sold are its legs, in money, and commissions are those of the legs."""
    higher = replace(CALL, strike=Decimal(200))
    parts = [
        e
        for fill in ("b0", "b1")
        for e in (
            leg(1, Side.BUY, "1.93", None, fill), leg(2, Side.BUY, "3.59", fill=fill), leg(3, Side.SELL, "1.66", higher, fill),
        )
    ]  # fmt: skip
    paid = tuple(Commission(e.exec_id, Decimal("1.30"), "USD") for e in parts if e.kind == "OPT")
    alone = execution(1, "90", exec_id="c.01.01", time=OPEN, order_ref="02OTHER", perm_id=901)
    told = facts(MOMENT, History((*parts, alone), paid), SESSION, run())
    assert (told["fills"], told["bought"], told["sold"]) == (3, "1526.00", "664.00")
    assert (told["commissions"], told["commissions_unknown"]) == ("5.20", 1)


def ended(side: Side, option: OptionTerms = CALL, number: int = 5) -> Execution:
    return leg(number, side, "0", option, "c0", order_id=0, perm_id=0, order_ref="", con_id=7002)


def test_an_option_that_expired() -> None:
    """It is no fill and no commission is missing; what it cost is realised, and it is named."""
    bought = leg(2, Side.BUY, "3.59", time=OPEN - timedelta(days=20))
    paid = (Commission(bought.exec_id, Decimal("1.30"), "USD"),)
    told = facts(MOMENT, History((bought, ended(Side.SELL)), paid), SESSION, run())
    assert told["ended"] == [["EXPIRED", "2", "AAPL 190 C 2 Mar 26"]]
    assert (told["fills"], told["commissions"], told["commissions_unknown"]) == (0, "0", 0)
    assert (told["realized"], told["realized_provisional"]) == ("-719.30", False)


def test_an_option_that_was_assigned() -> None:
    """The premium is in what its shares brought; the shares that went are told with the option, not as a sale."""
    before = OpeningLot(ACCOUNT, 265598, "AAPL", "USD", Decimal(200), Decimal(100), OPEN - timedelta(days=9))
    written = leg(2, Side.SELL, "2", time=OPEN - timedelta(days=9))
    shares = execution(
        200,
        "190",
        side=Side.SELL,
        exec_id="0000e0d5.65f2a1c0.06.01",
        time=OPEN,
        order_id=0,
        perm_id=0,
        order_ref="",
    )
    paid = (
        Commission(written.exec_id, Decimal("1.30"), "USD"),
        Commission(shares.exec_id, Decimal("0.50"), "USD"),
    )
    told = facts(MOMENT, History((written, ended(Side.BUY), shares), paid, (before,)), SESSION, run())
    assert told["ended"] == [["ASSIGNED", "2", "AAPL 190 C 2 Mar 26", "SELL", "200", "AAPL", "190"]]
    assert (told["fills"], told["sold"], told["commissions"]) == (0, "0", "0.50")
    assert Decimal(told["realized"]) == Decimal(200 * 90 + 400) - Decimal("1.80")


def test_options_among_the_holdings() -> None:
    """By their names, below the shares that they are on, by expiry and strike."""
    far = replace(CALL, expiry=date(2026, 6, 18))
    higher = replace(CALL, strike=Decimal(200), right=Right.PUT)
    held = tuple(
        replace(HELD, symbol="AAPL", con_id=n, option=option)
        for n, option in enumerate((far, higher, None, CALL))
    )
    told = facts(replace(MOMENT, positions=(HELD, *held)), History(), SESSION, None)
    assert [row[0] for row in told["positions"]] == [
        "AAPL", "AAPL 190 C 2 Mar 26", "AAPL 200 P 2 Mar 26", "AAPL 190 C 18 Jun 26", "KO",
    ]  # fmt: skip
