"""The market and the rules of trading as pure functions: prices, bars, hours, matching, money."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.tws import contracts, hours, matching, money
from sim.tws.book import Order
from sim.tws.contracts import BY_ID, INSTRUMENTS
from sim.tws.market import Market, Pin, Quote, full_minutes
from sim.tws.terms import terms

AAPL = 265598
NOON = datetime(2026, 3, 4, 17, tzinfo=UTC)
moments = st.integers(1_704_067_200_000, 1_893_456_000_000).map(
    lambda ms: datetime.fromtimestamp(ms / 1000, UTC)
)
instruments = st.sampled_from([instrument.con_id for instrument in INSTRUMENTS])


@given(instruments, moments, st.integers(0, 5))
def test_the_seed_and_the_moment_decide_the_price(con_id: int, at: datetime, seed: int) -> None:
    assert Market(seed).quote(con_id, at) == Market(seed).quote(con_id, at)


def test_another_seed_is_another_market() -> None:
    quotes = {Market(seed).quote(AAPL, NOON).last for seed in range(20)}
    assert len(quotes) > 15


@given(instruments, moments)
def test_quotes_are_plausible(con_id: int, at: datetime) -> None:
    instrument, quote = BY_ID[con_id], Market(1).quote(con_id, at)
    assert 0 < quote.bid < quote.ask
    assert quote.bid <= quote.last <= quote.ask
    assert quote.ask - quote.bid <= quote.last * Decimal("0.003") + instrument.min_tick
    step = instrument.min_tick / 2 if instrument.is_forex else instrument.min_tick
    assert all(price % step == 0 for price in (quote.bid, quote.ask, quote.last))
    assert min(quote.bid_size, quote.ask_size) >= (0 if instrument.is_index else 100)
    assert quote.last_size > 0 or not instrument.is_share
    assert instrument.price / 4 < quote.last < instrument.price * 4


@given(moments, st.integers(1, 59))
def test_ticks_stay_within_the_bar_of_their_minute(at: datetime, second: int) -> None:
    market = Market(3)
    day = hours.next_open(at)
    minute = day + timedelta(minutes=at.minute)
    [bar] = market.bars(AAPL, minute, minute + timedelta(minutes=1), timedelta(minutes=1))
    assert bar.low <= market.quote(AAPL, minute + timedelta(seconds=second)).last <= bar.high


@pytest.mark.parametrize("size", [timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=1)])
def test_small_bars_make_up_the_bar_of_the_day(size: timedelta) -> None:
    market, (opening, closing) = Market(1), hours.session(date(2026, 3, 4))
    small = market.bars(AAPL, opening, closing, size)
    [day] = market.bars(AAPL, opening, closing, "day")
    assert (small[0].open, small[-1].close) == (day.open, day.close)
    assert (max(bar.high for bar in small), min(bar.low for bar in small)) == (day.high, day.low)


def test_the_day_so_far_is_what_its_bar_says() -> None:
    market = Market(1)
    opening, _ = hours.session(date(2026, 3, 4))
    day, [bar] = market.day(AAPL, NOON), market.bars(AAPL, opening, NOON, "day")
    assert (day.open, day.high, day.low) == (bar.open, bar.high, bar.low)
    [before] = market.bars(AAPL, opening - timedelta(days=1), opening - timedelta(hours=2), "day")
    assert day.close == before.close


@pytest.mark.parametrize("con_id", [AAPL, 756733, 76792991])
def test_daily_returns_have_the_volatility_they_should(con_id: int) -> None:
    closes = [float(bar.close) for bar in Market(1).bars(con_id, NOON - timedelta(days=1500), NOON, "day")]
    returns = [b / a - 1 for a, b in pairwise(closes)]
    mean = sum(returns) / len(returns)
    deviation = (sum((r - mean) ** 2 for r in returns) / len(returns)) ** 0.5
    assert deviation == pytest.approx(BY_ID[con_id].volatility, rel=0.25)


def test_a_pin_holds_from_its_moment_until_it_is_lifted() -> None:
    market = Market(1)
    free = market.quote(AAPL, NOON)
    market.pin(AAPL, Pin(NOON, Decimal(10), Decimal("10.02"), Decimal("10.01")))
    later = NOON + timedelta(minutes=5)
    market.pin(AAPL, Pin(later))
    assert market.quote(AAPL, NOON - timedelta(seconds=1)).last != Decimal("10.01")
    assert market.quote(AAPL, later - timedelta(seconds=1)).last == Decimal("10.01")
    assert abs(market.quote(AAPL, later).last - free.last) < 5
    bars = market.bars(AAPL, NOON, NOON + timedelta(minutes=10), timedelta(minutes=5))
    assert bars[0].low == Decimal("10.01")
    assert bars[1].low > 100


def test_full_minutes_between() -> None:
    start = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
    assert [at.minute for at in full_minutes(start, start + timedelta(minutes=2))] == [1, 2]
    assert full_minutes(start, start + timedelta(seconds=20)) == []


@pytest.mark.parametrize(
    ("day", "open_"),
    [
        (date(2026, 1, 1), False),
        (date(2026, 1, 19), False),
        (date(2026, 2, 16), False),
        (date(2026, 4, 3), False),
        (date(2026, 5, 25), False),
        (date(2026, 6, 19), False),
        (date(2026, 7, 3), False),
        (date(2026, 9, 7), False),
        (date(2026, 11, 26), False),
        (date(2026, 12, 25), False),
        (date(2022, 1, 3), True),
        (date(2021, 12, 31), True),
        (date(2023, 1, 2), False),
        (date(2026, 3, 7), False),
        (date(2026, 3, 9), True),
    ],
)
def test_holidays(day: date, open_: bool) -> None:
    assert hours.is_session(day) is open_


@pytest.mark.parametrize("day", [date(2026, 11, 27), date(2026, 12, 24), date(2025, 7, 3)])
def test_half_days_end_at_one(day: date) -> None:
    assert hours.session(day)[1].astimezone(hours.NEW_YORK).hour == 13


@pytest.mark.parametrize(("day", "hour"), [(date(2026, 3, 6), 14), (date(2026, 3, 9), 13)])
def test_the_session_follows_new_york_through_the_change_of_clocks(day: date, hour: int) -> None:
    assert hours.session(day)[0].hour == hour


@given(moments)
def test_the_next_opening_and_closing_are_ahead(at: datetime) -> None:
    assert at < hours.next_open(at) < at + timedelta(days=6)
    assert at < hours.next_close(at) < at + timedelta(days=6)
    assert hours.is_open(hours.next_open(at))
    assert not hours.is_open(hours.next_close(at))


def test_trading_hours_as_the_wire_has_them() -> None:
    shown = hours.wire_hours(datetime(2026, 11, 25, 15, tzinfo=UTC), regular=True, days=4)
    assert shown == "20261125:0930-20261125:1600;20261126:CLOSED;20261127:0930-20261127:1300;20261128:CLOSED"


def test_hours_of_an_exchange_that_is_always_open_keep_their_closes() -> None:
    """No moment lies outside a session, weekends and holidays included, and each session day closes when it always does."""
    told = hours.wire_hours(datetime(2026, 11, 25, 15, tzinfo=UTC), regular=True, always=True)
    assert told == "20261124:1600-20261125:1600;20261125:1600-20261127:1300;20261127:1300-20261130:1600"
    holiday = hours.wire_hours(datetime(2026, 11, 26, 15, tzinfo=UTC), regular=True, always=True, days=2)
    assert holiday == "20261125:1600-20261127:1300"


def test_hours_of_an_exchange_that_is_closed_now() -> None:
    """The session that would be under way is not held; where none would be, the calendar's hours say so already."""
    during = hours.wire_hours(datetime(2026, 11, 25, 15, tzinfo=UTC), regular=True, closed=True, days=1)
    assert during == "20261125:CLOSED"
    before = hours.wire_hours(datetime(2026, 11, 25, 12, tzinfo=UTC), regular=True, closed=True, days=1)
    assert before == "20261125:0930-20261125:1600"


def order(action: str, kind: str, **more: str) -> Order:
    said = {"action": action, "totalQuantity": "10", "orderType": kind} | more
    return Order(1, 1, 1, AAPL, "SMART", terms(said), "DU1", NOON, 0, status="Submitted")


def quote(bid: str, ask: str, last: str) -> Quote:
    return Quote(NOON, Decimal(bid), Decimal(ask), Decimal(last), 100, 100, 100)


@pytest.mark.parametrize(
    ("waiting", "shown", "price"),
    [
        (order("BUY", "MKT"), ("99", "101", "100"), "101"),
        (order("SELL", "MKT"), ("99", "101", "100"), "99"),
        (order("BUY", "LMT", lmtPrice="101"), ("99", "101", "100"), "101"),
        (order("BUY", "LMT", lmtPrice="105"), ("99", "101", "100"), "101"),
        (order("BUY", "LMT", lmtPrice="100.99"), ("99", "101", "100"), None),
        (order("SELL", "LMT", lmtPrice="99"), ("99", "101", "100"), "99"),
        (order("SELL", "LMT", lmtPrice="99.01"), ("99", "101", "100"), None),
        (order("SELL", "STP", auxPrice="100"), ("99", "101", "100"), "99"),
        (order("SELL", "STP", auxPrice="99.99"), ("99", "101", "100"), None),
        (order("BUY", "STP", auxPrice="100"), ("99", "101", "100"), "101"),
        (order("BUY", "STP", auxPrice="100.01"), ("99", "101", "100"), None),
        (order("SELL", "STP LMT", auxPrice="100", lmtPrice="99.5"), ("99", "101", "100"), None),
        (order("SELL", "STP LMT", auxPrice="100", lmtPrice="98"), ("99", "101", "100"), "99"),
        (order("BUY", "MIT", auxPrice="100"), ("99", "101", "100"), "101"),
        (order("BUY", "MIT", auxPrice="99.99"), ("99", "101", "100"), None),
    ],
)
def test_when_an_order_trades_and_at_which_price(
    waiting: Order, shown: tuple[str, str, str], price: str | None
) -> None:
    assert matching.advance(waiting, quote(*shown)).price == (None if price is None else Decimal(price))


@given(st.lists(st.integers(5_000, 15_000), min_size=1, max_size=30), st.sampled_from(["BUY", "SELL"]))
def test_a_trailing_stop_never_moves_away(cents: list[int], action: str) -> None:
    trailing, stops = order(action, "TRAIL", auxPrice="1.5"), []
    for last in (Decimal(value) / 100 for value in cents):
        step = matching.advance(trailing, quote(str(last), str(last), str(last)))
        assert step.stop is not None
        trailing.stop = step.stop
        stops.append(step.stop)
        if step.triggered:
            break
        assert (last - step.stop) * -trailing.sign <= Decimal("1.5")
    assert stops == sorted(stops, reverse=action == "BUY")


@pytest.mark.parametrize(
    ("quantity", "price", "cost"),
    [
        ("1", "187.50", "1"),
        ("200", "187.50", "1"),
        ("300", "187.50", "1.5"),
        ("10", "5", "0.5"),
        ("1000", "0.10", "1"),
        ("1", "12.34", "0.1234"),
    ],
)
def test_commission_by_the_fixed_schedule(quantity: str, price: str, cost: str) -> None:
    assert money.commission(BY_ID[AAPL], Decimal(quantity), Decimal(price), Decimal(1)) == Decimal(cost)


def test_margin_in_the_base_currency() -> None:
    holdings = [(BY_ID[AAPL], Decimal(10), Decimal(100)), (BY_ID[8894], Decimal(-10), Decimal(50))]
    rates = {"USD": Decimal(1), "CAD": Decimal("0.73")}
    figures = money.margin({"USD": Decimal(1000), "CAD": Decimal(100)}, holdings, rates)
    assert (figures.cash, figures.net_liquidation, figures.gross_value) == (
        Decimal(1073),
        Decimal(1573),
        Decimal(1500),
    )
    assert (figures.initial, figures.maintenance) == (Decimal("751.83"), Decimal("401.83"))


def test_every_instrument_is_one_of_a_kind() -> None:
    assert len({instrument.con_id for instrument in INSTRUMENTS}) == len(INSTRUMENTS)
    listings = {(i.symbol, i.currency, i.primary_exchange) for i in INSTRUMENTS}
    assert len(listings) == len(INSTRUMENTS)


def test_nothing_is_found_by_nothing() -> None:
    assert contracts.find() == []
    assert contracts.search("") == []
    assert contracts.find(con_id=AAPL, exchange="LSE") == []
