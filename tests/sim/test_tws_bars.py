"""Bars of every size and of everything they can show agree with each other and with the ticks."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ib_async import Forex, Index

from sim.tws import hours
from sim.tws.bars import Bar
from sim.tws.contracts import BY_ID
from sim.tws.market import Market, Pin
from tests.sim.tws_kit import AAPL, CALM, running_tws, until

SHARE, PAIR, CROSS, INDEX = 265598, 12087792, 12087807, 416904
SHOWS = {
    SHARE: ("TRADES", "MIDPOINT", "BID", "ASK"),
    PAIR: ("MIDPOINT", "BID", "ASK"),
    CROSS: ("MIDPOINT", "BID", "ASK"),
    INDEX: ("TRADES",),
}
SECONDS = (1, 5, 10, 15, 30, 60, 120, 180, 300, 600, 900, 1_200, 1_800, 3_600, 7_200, 10_800, 14_400, 28_800)
what_is_shown = st.sampled_from([(con_id, what) for con_id, shown in SHOWS.items() for what in shown])
moments = st.integers(1_704_067_200_000, 1_893_456_000_000).map(
    lambda ms: datetime.fromtimestamp(ms / 1000, UTC)
)


def put_together(bars: list[Bar]) -> tuple[Any, ...]:
    """Small bars as one: open, high, low, close, volume, number of trades."""
    return (
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        sum(bar.volume for bar in bars),
        sum(bar.count for bar in bars),
    )


def shape(bar: Bar) -> tuple[Any, ...]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume, bar.count


def shown(market: Market, con_id: int, what: str, at: datetime) -> Decimal:
    """What the live ticks say at a moment."""
    quote = market.quote(con_id, at)
    return {"TRADES": quote.last, "BID": quote.bid, "ASK": quote.ask, "MIDPOINT": quote.middle}[what]


@settings(max_examples=60)
@given(what_is_shown, moments, st.sampled_from(SECONDS[1:14]), st.data(), st.booleans())
def test_bigger_bars_are_the_smaller_ones_put_together(
    subject: tuple[int, str], at: datetime, size: int, data: st.DataObject, pinned: bool
) -> None:
    (con_id, what), market = subject, Market(4)
    small = data.draw(st.sampled_from([one for one in SECONDS if size % one == 0 and one < size]))
    start = BY_ID[con_id].calendar.next_open(at) + timedelta(hours=1)
    if pinned:
        price = market.quote(con_id, start).last // BY_ID[con_id].min_tick * BY_ID[con_id].min_tick
        market.pin(con_id, Pin(start + timedelta(seconds=data.draw(st.integers(0, size)), milliseconds=110), price, price * 2, price))  # fmt: skip
    start += timedelta(seconds=-(start.timestamp() % size))
    end = start + timedelta(seconds=size)
    [whole] = market.bars(con_id, start, end, timedelta(seconds=size), what=what)
    parts = market.bars(con_id, start, end, timedelta(seconds=small), what=what)
    assert len(parts) == size // small
    assert put_together(parts) == shape(whole)
    assert all(one.close == two.open for one, two in pairwise(parts))


@settings(max_examples=60)
@given(what_is_shown, moments, st.sampled_from(SECONDS), st.floats(0.01, 1))
def test_the_bar_of_now_closes_where_the_ticks_are(
    subject: tuple[int, str], at: datetime, size: int, into: float
) -> None:
    (con_id, what), market = subject, Market(4)
    opening = BY_ID[con_id].calendar.next_open(at)
    now = opening + timedelta(seconds=into * 6 * 3_600)
    if not BY_ID[con_id].calendar.is_open(now):  # a half day
        return
    bar = market.bars(con_id, now - timedelta(seconds=2 * size), now, timedelta(seconds=size), what=what)[-1]
    assert bar.close == shown(market, con_id, what, now)
    for quarter in range(int((now - bar.start).total_seconds() * 4) + 1)[-200:]:
        tick = bar.start + timedelta(seconds=quarter / 4)
        assert bar.low <= shown(market, con_id, what, tick) <= bar.high


@given(what_is_shown, moments)
def test_days_weeks_and_months_are_their_sessions(subject: tuple[int, str], at: datetime) -> None:
    (con_id, what), market = subject, Market(2)
    calendar = BY_ID[con_id].calendar
    monday = calendar.day_of(at) - timedelta(calendar.day_of(at).weekday())
    days = [day for day in (monday + timedelta(n) for n in range(5)) if calendar.is_session(day)]
    start, end = calendar.session(days[0])[0], calendar.session(days[-1])[1]
    daily = market.bars(con_id, start, end, "day", what=what)
    assert [bar.start.date() for bar in daily] == days
    [week] = market.bars(con_id, start, end, "week", what=what)
    assert put_together(daily) == shape(week)
    hourly = market.bars(con_id, *calendar.session(days[0]), timedelta(hours=1), what=what)
    assert put_together(hourly) == shape(daily[0])


@given(moments)
def test_bars_of_bid_and_ask_hold_both(at: datetime) -> None:
    market, start = Market(3), hours.next_open(at)
    span = (start, start + timedelta(minutes=5), timedelta(minutes=5))
    [both] = market.bars(SHARE, *span, what="BID_ASK")
    [bid], [ask] = market.bars(SHARE, *span, what="BID"), market.bars(SHARE, *span, what="ASK")
    assert (both.low, both.high) == (bid.low, ask.high)
    assert bid.low <= both.open <= bid.high
    assert ask.low <= both.close <= ask.high


@given(moments)
def test_the_shares_of_single_ticks_are_the_volume_of_their_bar(at: datetime) -> None:
    market, start = Market(3), hours.next_open(at) + timedelta(minutes=3)
    [bar] = market.bars(SHARE, start, start + timedelta(seconds=30), timedelta(seconds=30))
    first = int(start.timestamp() * 4)
    assert bar.volume == sum(market.traded(SHARE, tick) for tick in range(first, first + 120))
    assert market.volume_between(SHARE, start, start + timedelta(seconds=30)) == bar.volume


@given(moments)
def test_the_volume_of_the_day_grows_with_its_ticks(at: datetime) -> None:
    market, opening = Market(3), hours.next_open(at)
    now = opening + timedelta(hours=1, seconds=17)
    [bar] = market.bars(SHARE, opening, now, "day")
    assert market.day(SHARE, now).volume == bar.volume


@pytest.mark.parametrize(
    ("contract", "duration", "size", "what", "code"),
    [
        ("share", "2001 S", "1 secs", "TRADES", 162),
        ("share", "60 S", "1 hour", "TRADES", 162),
        ("share", "1 D", "1 week", "TRADES", 162),
        ("share", "", "1 day", "TRADES", 321),
        ("share", "10 S", "1 secs", "TRADES", 321),
        ("share", "86401 S", "1 min", "TRADES", 321),
        ("share", "366 D", "1 day", "TRADES", 321),
        ("share", "53 W", "1 day", "TRADES", 321),
        ("share", "13 M", "1 day", "TRADES", 321),
        ("share", "1 D", "1 day", "OPTION_IMPLIED_VOLATILITY", 162),
        ("pair", "1 D", "1 day", "TRADES", 162),
        ("index", "1 D", "1 day", "BID", 162),
    ],
)
async def test_what_cannot_be_shown_is_refused(
    contract: str, duration: str, size: str, what: str, code: int
) -> None:
    subject = {"share": AAPL, "pair": Forex("EURUSD"), "index": Index("SPX", "CBOE", "USD")}[contract]
    async with running_tws() as tws:
        ib = await tws.connect()
        asked = asyncio.ensure_future(ib.reqHistoricalDataAsync(subject, "", duration, size, what, True))
        await until(ib, tws.codes)
        assert tws.codes() == [code]
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)


async def test_real_time_bars_are_those_of_the_past() -> None:
    """Every five seconds the bar that has just ended, the same that history shows afterwards."""
    async with running_tws() as tws:
        now = tws.clock.now()
        tws.clock.advance((hours.next_open(now) - now).total_seconds() + 3_600)
        ib = await tws.connect()
        live = ib.reqRealTimeBars(AAPL, 5, "TRADES", True)
        await tws.post("/clock", advance=60)
        await until(ib, lambda: len(live) >= 12)
        past = await ib.reqHistoricalDataAsync(AAPL, "", "120 S", "5 secs", "TRADES", True, formatDate=2)
        known = {bar.date: bar for bar in past}
        for bar in live[:12]:
            same = known[bar.time]
            assert (bar.open_, bar.high, bar.low, bar.close) == (same.open, same.high, same.low, same.close)
            assert (bar.volume, bar.count) == (same.volume, same.barCount)
        ib.cancelRealTimeBars(live)
        await tws.post("/tws/market", data="none")
        ib.reqRealTimeBars(AAPL, 5, "TRADES", True)
        await until(ib, tws.codes)
        assert tws.codes() == [420]


async def test_a_pin_shows_in_the_bar_that_is_kept_up_to_date() -> None:
    async with running_tws() as tws:
        now = tws.clock.now()
        tws.clock.advance((hours.next_open(now) - now).total_seconds() + 3_600)
        ib = await tws.connect()
        bars = await ib.reqHistoricalDataAsync(AAPL, "", "1800 S", "5 mins", "BID", True, keepUpToDate=True)
        await tws.post("/tws/price", symbol="AAPL", **CALM)
        await until(ib, lambda: bars[-1].close == CALM["bid"])
