"""Trading halts: what clients are told, that nothing trades meanwhile, and that the market is whole again afterwards."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ib_async import IB, LimitOrder, MarketOrder, Order, Stock, Ticker

from sim.tws.market import Market, Pin
from tests.sim.tws_kit import AAPL, CALM, Tws, place, resting, running_tws, until

NOON = datetime(2026, 3, 4, 17, tzinfo=UTC)
CON_ID = 265598


@pytest.fixture
async def tws() -> AsyncIterator[Tws]:
    async with running_tws() as tws:
        await tws.post("/tws/price", symbol="AAPL", **CALM)
        yield tws


@pytest.fixture
async def ib(tws: Tws) -> IB:
    return await tws.connect()


async def followed(ib: IB) -> Ticker:
    """The ticker of AAPL once it knows whether trading is halted."""
    ticker = ib.reqMktData(AAPL)
    await until(ib, lambda: ticker.halted == ticker.halted)
    return ticker


@pytest.mark.parametrize(("volatility", "told"), [(False, 1), (True, 2)])
async def test_the_ticker_says_so_as_it_begins_and_ends(
    tws: Tws, ib: IB, volatility: bool, told: int
) -> None:
    ticker = await followed(ib)
    assert ticker.halted == 0
    answer = await tws.post("/tws/halt", symbol="AAPL", halted=True, volatility=volatility)
    assert answer == {"symbol": "AAPL", "halted": told}
    await until(ib, lambda: ticker.halted == told)
    await tws.post("/tws/halt", symbol="AAPL", halted=False)
    await until(ib, lambda: ticker.halted == 0)
    assert await tws.fired("halt") == 1


async def test_who_asks_during_a_halt_is_told_at_once(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/halt", symbol="AAPL")
    assert (await followed(ib)).halted == 1
    [snapshot] = await ib.reqTickersAsync(AAPL)
    assert snapshot.halted == 1
    other = ib.reqMktData(Stock("MSFT", "SMART", "USD", conId=272093))
    await until(ib, lambda: other.halted == 0)


async def test_delayed_data_tell_it_a_quarter_of_an_hour_later(tws: Tws, ib: IB) -> None:
    heard: list[tuple[int, float]] = []

    def listen(reqId: int, tickType: int, value: float) -> None:  # noqa: N803 - its names
        heard.append((tickType, value))

    ib.wrapper.tickGeneric = listen  # type: ignore[method-assign]
    await tws.post("/tws/market", symbol="AAPL", data="delayed")
    ib.reqMarketDataType(3)
    ib.reqMktData(AAPL)
    await until(ib, lambda: heard)
    await tws.post("/tws/halt", symbol="AAPL")
    await tws.post("/clock", advance=840)
    assert heard == [(90, 0.0)]
    await tws.post("/clock", advance=61)
    await until(ib, lambda: len(heard) > 1)
    assert heard == [(90, 0.0), (90, 1.0)]


async def test_orders_are_taken_and_wait(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/halt", symbol="AAPL")
    market = await place(ib, MarketOrder("BUY", 10), "market")
    limit = await place(ib, LimitOrder("SELL", 5, 149.0), "limit")
    assert (market.orderStatus.status, limit.orderStatus.status) == ("PreSubmitted", "Submitted")
    await tws.post("/tws/price", symbol="AAPL", bid=149.50, ask=149.52, last=149.51)
    await tws.post("/clock", advance=600)
    assert [o["filled"] for o in (await tws.book())["orders"]] == ["0", "0"]
    assert await tws.fired("halt_held") == 2
    assert tws.codes() == []
    await tws.post("/tws/halt", symbol="AAPL", halted=False)
    await until(ib, lambda: market.isDone() and limit.isDone())
    assert (market.orderStatus.avgFillPrice, limit.orderStatus.avgFillPrice) == (149.52, 149.50)


async def test_they_can_be_taken_back(tws: Tws, ib: IB) -> None:
    trade = await place(ib, resting(), "r")
    await tws.post("/tws/halt", symbol="AAPL")
    ib.cancelOrder(trade.order)
    await until(ib, lambda: trade.orderStatus.status == "Cancelled")


async def test_a_stop_is_not_triggered_before_trading_goes_on(tws: Tws, ib: IB) -> None:
    stop = await place(ib, Order(action="SELL", totalQuantity=5, orderType="STP", auxPrice=145.0), "stop")
    await tws.post("/tws/halt", symbol="AAPL")
    await tws.post("/tws/price", symbol="AAPL", bid=139.98, ask=140.02, last=140.0)
    await ib.reqCurrentTimeAsync()
    assert (stop.orderStatus.status, stop.orderStatus.whyHeld) == ("PreSubmitted", "trigger")
    await tws.post("/tws/halt", symbol="AAPL", halted=False)
    await until(ib, stop.isDone)
    assert stop.orderStatus.avgFillPrice == 139.98


async def test_an_order_that_may_not_wait_goes(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/halt", symbol="AAPL")
    trade = await place(ib, MarketOrder("BUY", 10), tif="IOC")
    await until(ib, lambda: trade.orderStatus.status == "Cancelled")


async def test_no_closing_auction_in_what_is_halted(tws: Tws, ib: IB) -> None:
    trade = await place(ib, Order(action="BUY", totalQuantity=5, orderType="MOC"))
    await tws.post("/tws/halt", symbol="AAPL")
    await tws.post("/clock", advance=4 * 86_400)
    await until(ib, lambda: trade.orderStatus.status == "Cancelled")


async def test_other_symbols_trade_on(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/halt", symbol="AAPL")
    trade = ib.placeOrder(Stock("MSFT", "SMART", "USD"), MarketOrder("BUY", 1))
    await until(ib, lambda: trade.orderStatus.status == "Filled")


async def test_nothing_is_filled_by_hand_either(tws: Tws, ib: IB) -> None:
    await place(ib, resting(), "r")
    await tws.post("/tws/halt", symbol="AAPL")
    assert "is halted" in (await tws.post("/tws/fill", status=400, order="r"))["error"]
    by_hand: dict[str, Any] = {"symbol": "AAPL", "side": "BUY", "quantity": 1}
    assert "is halted" in (await tws.post("/tws/external", status=400, **by_hand))["error"]
    await tws.post("/tws/external", **by_hand, price=100, working=True)
    assert (await tws.book())["executions"] == []


async def test_only_shares_are_halted(tws: Tws) -> None:
    assert "only trading in shares" in (await tws.post("/tws/halt", status=400, symbol="EUR.USD"))["error"]


async def test_single_ticks_pause(tws: Tws, ib: IB) -> None:
    ticker = ib.reqTickByTickData(AAPL, "AllLast")
    await until(ib, lambda: ticker.tickByTicks)
    heard = 0

    def count(_: object) -> None:
        nonlocal heard
        heard += len(ticker.tickByTicks)

    await tws.post("/tws/halt", symbol="AAPL")
    await ib.reqCurrentTimeAsync()
    ticker.updateEvent += count
    await tws.post("/clock", advance=30)
    await ib.reqCurrentTimeAsync()
    assert heard == 0
    await tws.post("/tws/halt", symbol="AAPL", halted=False)
    await tws.post("/clock", advance=30)
    await until(ib, lambda: heard > 50)


async def test_a_halt_outlives_the_program(tmp_path: Path) -> None:
    async with running_tws(state=tmp_path, seed=1) as tws:
        await tws.post("/tws/halt", symbol="AAPL", volatility=True)
        [before] = await (await tws.connect()).reqTickersAsync(AAPL)
    async with running_tws(state=tmp_path, seed=1) as tws:
        [after] = await (await tws.connect()).reqTickersAsync(AAPL)
        assert (after.halted, after.last) == (2, before.last)


# -- the market itself


def halted_market(minutes: int = 20) -> Market:
    """A free market in which AAPL was halted from half past ten seconds after noon for some minutes."""
    market = Market(1)
    market.halt(CON_ID, 1, NOON + timedelta(seconds=10.5))
    market.halt(CON_ID, 0, NOON + timedelta(seconds=10.5, minutes=minutes))
    return market


def test_price_and_volume_stand_still_and_go_on() -> None:
    market, free = halted_market(), Market(1)
    begun, ended = NOON + timedelta(seconds=10.5), NOON + timedelta(seconds=10.5, minutes=20)
    quotes = [market.quote(CON_ID, begun + timedelta(seconds=n)) for n in range(0, 1200, 7)]
    assert len(set(quotes)) == 1
    assert len({free.quote(CON_ID, begun + timedelta(seconds=n)).last for n in range(0, 1200, 7)}) > 3
    volumes = [market.day(CON_ID, begun + timedelta(seconds=n)).volume for n in range(0, 1200, 7)]
    assert set(volumes) == {free.day(CON_ID, begun).volume}
    later = ended + timedelta(minutes=3)
    assert market.quote(CON_ID, later) == free.quote(CON_ID, later)
    traded = free.volume_between(CON_ID, ended, later)
    assert market.day(CON_ID, later).volume - volumes[0] == pytest.approx(traded, abs=2)
    assert [market.halted(CON_ID, at) for at in (NOON, begun, ended)] == [0, 1, 0]


def test_bars_of_a_halt_are_flat_and_agree_with_the_day() -> None:
    market = halted_market()
    last = market.quote(CON_ID, NOON + timedelta(minutes=5)).last
    bars = market.bars(CON_ID, NOON, NOON + timedelta(minutes=40), timedelta(minutes=1))
    for bar in bars[1:20]:
        assert (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.count) == (last,) * 4 + (0, 0)
    assert all(bar.volume > 0 for bar in (bars[0], *bars[20:]))
    opening = NOON - timedelta(hours=2, minutes=30)
    small = market.bars(CON_ID, opening, NOON + timedelta(minutes=40), timedelta(minutes=5))
    [day] = market.bars(CON_ID, opening, NOON + timedelta(minutes=40), "day")
    assert sum(bar.volume for bar in small) == day.volume
    assert day.volume == market.day(CON_ID, NOON + timedelta(minutes=40)).volume
    fine = market.bars(CON_ID, NOON, NOON + timedelta(minutes=2), timedelta(seconds=5))
    assert sum(bar.volume for bar in fine) == sum(bar.volume for bar in bars[:2])
    assert {bar.volume for bar in fine[3:]} == {0}


def test_a_price_pinned_during_a_halt_is_shown() -> None:
    market = halted_market()
    at = NOON + timedelta(minutes=10)
    market.pin(CON_ID, Pin(at, Decimal(90), Decimal("90.02"), Decimal("90.01")))
    assert market.quote(CON_ID, at).last == Decimal("90.01")
    assert market.quote(CON_ID, NOON + timedelta(minutes=9)).last > 100
