"""Load on purpose: many orders and positions at once, and more ticks than a market has."""

from collections.abc import AsyncIterator

import pytest
from ib_async import IB, Ticker

from tests.sim.tws_kit import AAPL, CALM, Tws, filled, running_tws, until


@pytest.fixture
async def tws() -> AsyncIterator[Tws]:
    async with running_tws() as tws:
        await tws.post("/tws/price", symbol="AAPL", **CALM)
        yield tws


@pytest.fixture
async def ib(tws: Tws) -> IB:
    return await tws.connect()


async def test_many_orders_of_a_client(tws: Tws, ib: IB) -> None:
    made = await tws.post("/tws/load", orders=500, client=1, ref="load-")
    await until(ib, lambda: len(ib.openTrades()) == 500)
    [first, *_, last] = sorted(ib.openTrades(), key=lambda trade: trade.order.orderId)
    assert (first.order.orderRef, last.order.orderRef) == ("load-1", "load-500")
    assert (first.order.orderId, last.order.orderId) == (1, 500)
    assert {t.orderStatus.status for t in ib.openTrades()} == {"Submitted"}
    assert {t.order.permId for t in ib.openTrades()} == set(made["orders"])
    trade = await filled(ib)
    assert trade.order.orderId == 501
    ib.reqGlobalCancel()
    await until(ib, lambda: not ib.openTrades())


async def test_orders_of_other_kinds(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/load", orders=2, client=1, side="SELL", type="STP", quantity=7)
    await tws.post("/tws/load", orders=3, client=1, side="SELL", price=200)
    await tws.post("/tws/load", orders=1)
    await until(ib, lambda: len(ib.openTrades()) == 5)
    shown = [(t.order.orderType, t.order.totalQuantity, t.orderStatus.whyHeld) for t in ib.openTrades()]
    assert sorted(shown) == [("LMT", 1, "")] * 3 + [("STP", 7, "trigger")] * 2
    assert [o["manual"] for o in (await tws.book())["orders"]] == [False] * 5 + [True]
    why = await tws.post("/tws/load", status=400, orders=1, client=1, price="100.001")
    assert "TWS refuses such an order (110)" in why["error"]


async def test_many_positions(tws: Tws, ib: IB) -> None:
    """Held for long already: the account is worth more, and the day gained nothing by it."""
    before = (await tws.book())["figures"]["DU1234567"]
    made = await tws.post("/tws/load", positions=30, quantity=2)
    await until(ib, lambda: len(ib.positions()) == 34)
    assert len([p for p in ib.positions() if p.position == 2]) == len(made["positions"]) == 30
    book = await tws.book()
    assert book["executions"] == []
    after = book["figures"]["DU1234567"]
    assert float(after["previous"]) > float(before["previous"]) + 1_000
    assert abs(float(after["daily"])) < 2_000
    assert "never held" in (await tws.post("/tws/load", status=400, positions=900))["error"]


async def test_ticks_as_many_as_are_asked_for(tws: Tws, ib: IB) -> None:
    ticker = ib.reqMktData(AAPL)
    await until(ib, lambda: ticker.halted == 0)
    heard, sizes = 0, set()

    def count(told: Ticker) -> None:
        nonlocal heard
        heard += len(told.ticks)
        sizes.add(told.bidSize)
        assert (told.bid, told.ask) == (150.0, 150.02)

    ticker.updateEvent += count
    await tws.post("/tws/ticks", per_second=5_000, client=1)
    await until(ib, lambda: heard > 1_000)
    await tws.post("/tws/ticks", per_second=0)
    sent = await tws.fired("ticks")
    await ib.reqCurrentTimeAsync()
    assert sent > 1_000
    assert len(sizes) > 3
    assert await tws.fired("ticks") == sent


async def test_ticks_only_for_whom_they_are_meant(tws: Tws, ib: IB) -> None:
    ticker = ib.reqMktData(AAPL)
    await until(ib, lambda: ticker.halted == 0)
    await tws.post("/tws/ticks", per_second=5_000, client=9)
    for _ in range(20):
        await ib.reqCurrentTimeAsync()
    assert await tws.fired("ticks") == 0
    await tws.post("/tws/ticks", per_second=5_000)
    while not await tws.fired("ticks"):
        await ib.reqCurrentTimeAsync()
