"""Connecting to the simulated TWS, and every way in which that goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ib_async import IB, Stock
from ib_async.wrapper import RequestError

from sim.tws import hours
from sim.tws.requests import NAMES
from tests.sim.tws_kit import (
    AAPL,
    CALM,
    PATIENCE_SECONDS,
    Tws,
    filled,
    place,
    resting,
    running_tws,
    until,
    wire,
)


@pytest.fixture
async def tws() -> AsyncIterator[Tws]:
    async with running_tws() as tws:
        yield tws


async def test_connect_brings_everything(tws: Tws) -> None:
    ib = await tws.connect(0)
    assert ib.managedAccounts() == ["DU1234567"]
    assert {p.contract.symbol for p in ib.positions()} == {"AAPL", "SPY", "KO", "NVDA"}
    assert {item.contract.symbol for item in ib.portfolio()} == {"AAPL", "SPY", "KO", "NVDA"}
    values = {(v.tag, v.currency): v.value for v in ib.accountValues()}
    assert values["AccountType", ""] == "INDIVIDUAL"
    assert float(values["NetLiquidation", "USD"]) > float(values["TotalCashValue", "USD"]) > 0
    assert ib.client.serverVersion() == 178


async def test_account_summary_and_profit(tws: Tws) -> None:
    ib = await tws.connect()
    summary = {v.tag: v.value for v in await ib.accountSummaryAsync()}
    assert float(summary["AvailableFunds"]) > 0
    pnl, single = ib.reqPnL("DU1234567"), ib.reqPnLSingle("DU1234567", "", 265598)
    await until(ib, lambda: pnl.unrealizedPnL == pnl.unrealizedPnL and single.position)
    assert single.position == 40


async def test_client_id_in_use(tws: Tws) -> None:
    first = await tws.connect(3)
    with pytest.raises(TimeoutError):
        await tws.connect(3, timeout=0.5)
    assert await tws.fired("client_id_in_use") == 1
    assert first.isConnected()
    async with wire(tws, client_id=None) as second:
        second.write(71, 2, 3, "")
        heard = await second.frame()
        assert (heard[0], heard[3]) == ("4", "326")
        with pytest.raises(asyncio.IncompleteReadError):
            await second.frame()
    first.disconnect()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await tws.get("/tws/counts"))["clients"]:
            await tws.get("/tws/events", after=(await tws.get("/tws/events"))["last"], timeout=1)
    await tws.connect(3)


async def test_contract_details_by_symbol_and_by_id(tws: Tws) -> None:
    ib = await tws.connect()
    [details] = await ib.reqContractDetailsAsync(Stock("AAPL", "SMART", "USD"))
    assert details.contract is not None
    assert (details.contract.conId, details.longName, details.minTick) == (265598, "APPLE INC", 0.01)
    assert details.contract.primaryExchange == "NASDAQ"
    [again] = await ib.reqContractDetailsAsync(Stock(conId=265598))
    assert again.contract is not None
    assert again.contract.symbol == "AAPL"


async def test_ambiguous_symbols_list_all_they_could_mean(tws: Tws) -> None:
    ib = await tws.connect()
    found = await ib.reqContractDetailsAsync(Stock("SHOP", "SMART"))
    assert {d.contract.currency for d in found if d.contract} == {"USD", "CAD"}
    assert len(await ib.reqContractDetailsAsync(Stock("SHOP", "SMART", "USD"))) == 1
    assert len(await ib.reqContractDetailsAsync(Stock("GOLD", "SMART", "USD"))) == 2
    assert len(await ib.reqContractDetailsAsync(Stock("GOLD", "SMART", "USD", primaryExchange="NYSE"))) == 1


async def test_unknown_symbol(tws: Tws) -> None:
    ib = await tws.connect()
    with pytest.raises(RequestError) as caught:
        await ib.reqContractDetailsAsync(Stock("NOPE", "SMART", "USD"))
    assert caught.value.code == 200


async def test_search_finds_symbols_and_names(tws: Tws) -> None:
    ib = await tws.connect()
    found = await ib.reqMatchingSymbolsAsync("micro")
    assert found
    assert found[0].contract is not None
    assert found[0].contract.symbol == "MSFT"
    exact = await ib.reqMatchingSymbolsAsync("V")
    assert exact
    assert exact[0].contract is not None
    assert exact[0].contract.symbol == "V"


async def test_small_questions(tws: Tws) -> None:
    ib = await tws.connect()
    assert abs((await ib.reqCurrentTimeAsync() - tws.clock.now()).total_seconds()) < 2
    assert (await ib.reqMarketRuleAsync(26))[0].increment == 0.01  # type: ignore[index]
    assert (await ib.reqHeadTimeStampAsync(AAPL, "TRADES", True, 1)).year == 1990
    assert not await ib.reqUserInfoAsync()


async def test_unknown_requests_are_answered_and_counted(tws: Tws) -> None:
    async with wire(tws) as client:
        client.write(24, 1)
        heard = (await client.frames(until="4"))[-1]
        assert heard[3] in {"2104", "506"}
        while heard[3] != "506":
            heard = await client.frame()
    assert (await tws.get("/tws/counts"))["unknown"] == {"24": 1}


async def test_a_message_out_of_shape_is_answered_with_its_id(tws: Tws) -> None:
    async with wire(tws) as client:
        client.write(4, 1, 77, "", "more")
        while (heard := await client.frame())[3] != "320":
            assert heard[0] == "4"
        assert heard[2] == "77"


@pytest.mark.parametrize("rubbish", [b"GET / HTTP/1.1\r\n\r\n", b"API\0\x00\x00\x00\x04v1.."])
async def test_those_who_do_not_speak_the_protocol_are_hung_up_on(tws: Tws, rubbish: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", tws.world.tws.port)
    writer.write(rubbish)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await reader.read() == b""
    writer.close()
    await tws.connect()


async def test_a_hello_may_arrive_byte_by_byte(tws: Tws) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", tws.world.tws.port)
    for byte in b"API\0\x00\x00\x00\x09v157..178":
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_SECONDS):
        size = int.from_bytes(await reader.readexactly(4))
        assert (await reader.readexactly(size)).startswith(b"178\0")
    writer.close()


async def test_every_request_has_somebody_who_answers_it(tws: Tws) -> None:
    await tws.connect()
    [session] = tws.world.tws._sessions
    assert set(session._handlers) | {"start_api"} == NAMES


async def test_refused(tws: Tws) -> None:
    await tws.post("/tws/refuse", on=True)
    with pytest.raises(ConnectionRefusedError):
        await tws.connect()
    port = tws.world.tws.port
    await tws.post("/tws/refuse", on=False)
    assert tws.world.tws.port == port
    await tws.connect()


async def test_hang_accepts_and_says_nothing(tws: Tws) -> None:
    await tws.post("/tws/hang", on=True)
    with pytest.raises(TimeoutError):
        await tws.connect(timeout=0.2)
    assert await tws.fired("hang") == 1
    await tws.post("/tws/hang", on=False)
    await tws.connect(2)


async def test_a_hang_that_ends_answers_what_was_asked(tws: Tws) -> None:
    ib = await tws.connect()
    await tws.post("/tws/hang", on=True)
    asked = asyncio.ensure_future(ib.reqCurrentTimeAsync())
    await tws.get("/tws/counts")
    assert not asked.done()
    await tws.post("/tws/hang", on=False)
    await asyncio.wait_for(asked, PATIENCE_SECONDS)


async def test_half_open_keeps_the_socket_and_delivers_later(tws: Tws) -> None:
    ib = await tws.connect()
    await tws.post("/tws/half_open", on=True)
    asked = asyncio.ensure_future(ib.reqCurrentTimeAsync())
    await tws.get("/tws/counts")
    assert ib.isConnected()
    assert not asked.done()
    await tws.post("/tws/half_open", on=False)
    await asyncio.wait_for(asked, PATIENCE_SECONDS)
    assert await tws.fired("half_open") == 1


async def test_dropped(tws: Tws) -> None:
    one, two = await tws.connect(1), await tws.connect(2)
    gone = asyncio.Event()
    one.disconnectedEvent += gone.set
    assert (await tws.post("/tws/drop", client=1))["dropped"] == 1
    await asyncio.wait_for(gone.wait(), PATIENCE_SECONDS)
    assert two.isConnected()
    assert (await tws.post("/tws/drop"))["dropped"] == 1
    await tws.connect(1)


async def test_not_logged_in_accepts_but_does_not_let_begin(tws: Tws) -> None:
    await tws.post("/tws/not_logged_in", on=True)
    with pytest.raises(TimeoutError):
        await tws.connect(timeout=0.2)
    waiting = asyncio.ensure_future(tws.connect(2))
    async with asyncio.timeout(PATIENCE_SECONDS):
        seen = 0
        while 2 not in (await tws.get("/tws/counts"))["clients"]:
            seen = (await tws.get("/tws/events", after=seen, timeout=1))["last"]
    await tws.post("/tws/not_logged_in", on=False)
    assert (await asyncio.wait_for(waiting, PATIENCE_SECONDS)).managedAccounts() == ["DU1234567"]


async def test_read_only(tws: Tws) -> None:
    await tws.post("/tws/read_only", on=True)
    with pytest.raises(ConnectionError):
        await tws.connect(timeout=0.3)
    assert 321 in tws.codes()
    ib = await tws.connect(2, readonly=True)
    tws.errors.clear()
    ib.placeOrder(AAPL, resting())
    await until(ib, tws.codes)
    assert tws.codes() == [321]
    assert "Read-Only" in tws.errors[-1][2]
    assert (await tws.book())["orders"] == []
    assert await tws.fired("read_only") >= 2


async def test_notices_reach_every_client(tws: Tws) -> None:
    one, two = await tws.connect(1), await tws.connect(2)
    await tws.post(
        "/tws/message", code=1100, text="Connectivity between IBKR and Trader Workstation has been lost."
    )
    await until(one, lambda: tws.codes().count(1100) == 2)
    await until(two, lambda: tws.codes().count(1100) == 2)


async def test_delay(tws: Tws) -> None:
    ib = await tws.connect()
    await tws.post("/tws/delay", milliseconds=150)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await ib.reqCurrentTimeAsync()
    assert loop.time() - begun >= 0.14


async def test_several_accounts(tws: Tws) -> None:
    assert (await tws.post("/tws/accounts", add="DU7654321"))["accounts"] == ["DU1234567", "DU7654321"]
    ib = await tws.connect()
    assert ib.managedAccounts() == ["DU1234567", "DU7654321"]
    ib.placeOrder(AAPL, resting())
    await until(ib, lambda: 435 in tws.codes())


async def test_a_live_looking_account() -> None:
    async with running_tws(accounts=("U1234567",)) as tws:
        assert (await tws.connect()).managedAccounts() == ["U1234567"]


async def test_restart_keeps_the_book(tmp_path: Path) -> None:
    async with running_tws(state=tmp_path) as tws:
        await tws.post("/tws/price", symbol="AAPL", **CALM)
        ib = await tws.connect()
        done = await filled(ib, ref="done")
        working = await place(ib, resting(), "working")
        book, next_id = await tws.book(), ib.client.getReqId()
        perm_ids = done.order.permId, working.order.permId
        ib.disconnect()
    async with running_tws(state=tmp_path) as tws:
        again = await tws.book()
        assert again == book
        ib = await tws.connect()
        assert ib.client.getReqId() >= next_id
        [trade] = ib.openTrades()
        assert (trade.order.orderRef, trade.order.permId) == ("working", perm_ids[1])
        assert [f.execution.permId for f in ib.fills()] == [perm_ids[0]]
        ib.cancelOrder(trade.order)
        await until(ib, lambda: trade.orderStatus.status == "Cancelled")
        assert (await tws.get("/clock"))["now"]


async def test_stock_ticks_stream_and_agree_with_the_bars(tws: Tws) -> None:
    ib: IB = await tws.connect()
    await tws.post("/tws/price", symbol="AAPL", **CALM)
    ticker = ib.reqMktData(AAPL)
    await until(ib, lambda: ticker.last == 150.01 and ticker.close == ticker.close)
    assert (ticker.bid, ticker.ask, ticker.marketDataType) == (150.0, 150.02, 1)
    await tws.post("/tws/price", symbol="AAPL", bid=151.0, ask=151.02, last=151.01)
    await until(ib, lambda: ticker.last == 151.01)
    bars = await ib.reqHistoricalDataAsync(AAPL, "", "5 D", "1 day", "TRADES", True)
    assert len(bars) == 5
    await tws.post("/tws/price", symbol="AAPL", unpin=True)
    await until(ib, lambda: ticker.last != 151.01)


async def test_snapshot_ends(tws: Tws) -> None:
    ib = await tws.connect()
    [ticker] = await ib.reqTickersAsync(AAPL)
    assert ticker.bid < ticker.ask


async def test_no_market_data(tws: Tws) -> None:
    ib = await tws.connect()
    await tws.post("/tws/market", symbol="AAPL", data="none")
    ib.reqMktData(AAPL)
    await until(ib, lambda: 354 in tws.codes())


async def test_delayed_market_data(tws: Tws) -> None:
    ib = await tws.connect()
    await tws.post("/tws/market", data="delayed")
    ib.reqMktData(AAPL)
    await until(ib, lambda: 10089 in tws.codes())
    ib.reqMarketDataType(3)
    ticker = ib.reqMktData(Stock("MSFT", "SMART", "USD", conId=272093))
    await until(ib, lambda: ticker.marketDataType == 3 and ticker.bid > 0)
    assert 10167 in tws.codes()


@pytest.mark.parametrize(
    ("duration", "size", "count"),
    [
        ("1 M", "1 day", range(18, 24)),
        ("1 D", "1 hour", range(1, 8)),
        ("2 D", "5 mins", range(79, 157)),
        ("1 Y", "1 week", range(50, 55)),
    ],
)
async def test_bars(tws: Tws, duration: str, size: str, count: range) -> None:
    ib = await tws.connect()
    bars = await ib.reqHistoricalDataAsync(AAPL, "", duration, size, "TRADES", True)
    assert len(bars) in count
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
    assert [bar.date for bar in bars] == sorted({bar.date for bar in bars})


@pytest.mark.parametrize(
    ("duration", "size", "what", "code"),
    [
        ("1 X", "1 day", "TRADES", 321),
        ("1 D", "7 mins", "TRADES", 321),
        ("1 D", "1 day", "MAGIC", 321),
        ("100 Y", "5 secs", "TRADES", 162),
    ],
)
async def test_bars_that_cannot_be(tws: Tws, duration: str, size: str, what: str, code: int) -> None:
    ib = await tws.connect()
    asked = asyncio.ensure_future(ib.reqHistoricalDataAsync(AAPL, "", duration, size, what, True))
    await until(ib, tws.codes)
    assert tws.codes() == [code]
    asked.cancel()  # ib_async takes 321 for a warning and would wait for ever


async def test_bars_kept_up_to_date(tws: Tws) -> None:
    ib = await tws.connect()
    now = tws.clock.now()
    await tws.post("/clock", advance=(hours.next_open(now) - now).total_seconds() + 3600)
    bars = await ib.reqHistoricalDataAsync(AAPL, "", "1 D", "1 min", "TRADES", True, keepUpToDate=True)
    await tws.post("/tws/price", symbol="AAPL", bid=249.99, ask=250.01, last=250.0)
    await until(ib, lambda: bars[-1].close == 250.0)
    before = len(bars)
    await tws.post("/clock", advance=120)
    await until(ib, lambda: len(bars) >= before + 2)
    assert {bar.close for bar in bars[-2:]} == {250.0}
