"""What an account gains in a day and what an order would do to it, held against the broker's own books."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from ib_async import IB, Contract, LimitOrder, MarketOrder, Order, OrderState, PnL, Stock

from sim.tws import hours
from tests.sim.tws_kit import AAPL, Tws, filled, place, running_tws, until

ACCOUNT = "DU1234567"
PRICES = {"AAPL": "190.10", "SPY": "601.25", "KO": "62.33", "NVDA": "140.07", "MSFT": "420.50"}
LATER = {"AAPL": "188.40", "SPY": "598.02", "KO": "62.90", "NVDA": "137.11", "MSFT": "419.99"}
IDS = {"AAPL": 265598, "SPY": 756733, "KO": 8894, "NVDA": 4815747, "MSFT": 272093}


@pytest.fixture
async def tws() -> AsyncIterator[Tws]:
    async with running_tws() as tws:
        await pinned(tws, PRICES)
        yield tws


@pytest.fixture
async def ib(tws: Tws) -> IB:
    return await tws.connect()


async def pinned(tws: Tws, prices: dict[str, str]) -> None:
    """All prices that count stand where a test wants them."""
    for symbol, price in prices.items():
        await tws.post("/tws/price", symbol=symbol, last=price)


def share(symbol: str) -> Contract:
    return Stock(symbol, "SMART", "USD", conId=IDS[symbol])


async def traded(ib: IB, symbol: str, side: str, quantity: int) -> None:
    trade = ib.placeOrder(share(symbol), MarketOrder(side, quantity))
    await until(ib, lambda: trade.fills and trade.fills[-1].commissionReport.execId)


async def closes(ib: IB, today: str) -> dict[str, Decimal]:
    """The closes of the session before, by the bars that a client is shown."""
    found = {}
    for symbol in PRICES:
        bars = await ib.reqHistoricalDataAsync(share(symbol), "", "5 D", "1 day", "TRADES", True)
        found[symbol] = Decimal(str([bar for bar in bars if str(bar.date) < today][-1].close))
    return found


async def expected(tws: Tws, closing: dict[str, Decimal], prices: dict[str, str]) -> Decimal:
    """The day's gain worked out from positions, executions and closes alone."""
    book: dict[str, Any] = await tws.book()
    gain = Decimal(0)
    quantities = {p["symbol"]: Decimal(p["quantity"]) for p in book["positions"]}
    overnight = dict(quantities)
    for one in book["executions"]:
        change = Decimal(one["quantity"]) * (1 if one["side"] == "BOT" else -1)
        overnight[one["symbol"]] = overnight.get(one["symbol"], Decimal(0)) - change
        gain -= change * Decimal(one["price"]) + Decimal(one["commission"])
    for symbol, close in closing.items():
        gain += quantities.get(symbol, Decimal(0)) * Decimal(prices[symbol])
        gain -= overnight.get(symbol, Decimal(0)) * close
    return gain


def about(amount: Decimal) -> Any:
    """An amount that may differ by the cent to which it is rounded."""
    return pytest.approx(float(amount), abs=0.0101)


async def test_the_gain_of_the_day_is_that_of_the_books(tws: Tws, ib: IB) -> None:
    closing = await closes(ib, hours.new_york_day(tws.clock.now()))
    pnl = ib.reqPnL(ACCOUNT)
    await until(ib, lambda: pnl.dailyPnL == pnl.dailyPnL)
    assert pnl.dailyPnL == about(await expected(tws, closing, PRICES))
    for symbol, side, quantity in (("AAPL", "BUY", 300), ("KO", "SELL", 50), ("MSFT", "BUY", 7), ("MSFT", "SELL", 7), ("SPY", "SELL", 30)):  # fmt: skip
        await traded(ib, symbol, side, quantity)
    await pinned(tws, LATER)
    wanted = await expected(tws, closing, LATER)
    await until(ib, lambda: pnl.dailyPnL == about(wanted))
    singles = [ib.reqPnLSingle(ACCOUNT, "", con_id) for con_id in IDS.values()]
    await until(ib, lambda: all(one.value == one.value for one in singles))
    assert sum(one.dailyPnL for one in singles) == about(wanted)
    figures = (await tws.book())["figures"][ACCOUNT]
    assert float(figures["daily"]) == pnl.dailyPnL
    summary = {one.tag: one.value for one in await ib.accountSummaryAsync()}
    before = Decimal(summary["PreviousDayEquityWithLoanValue"])
    assert Decimal(summary["NetLiquidation"]) - before == Decimal(figures["daily"])


async def test_it_begins_anew_with_every_session(tws: Tws, ib: IB) -> None:
    await filled(ib, "BUY", 100)
    await pinned(tws, LATER)
    await tws.post("/clock", advance=4 * 86_400)
    assert (await tws.book())["figures"][ACCOUNT]["daily"] == "0.00"
    await tws.post("/tws/price", symbol="AAPL", last="189.40")
    assert (await tws.book())["figures"][ACCOUNT]["daily"] == "140.00"


async def test_what_is_bought_after_the_close_belongs_to_the_next_day(tws: Tws, ib: IB) -> None:
    """A thing bought at six in the evening has gained nothing since four, only since six."""
    now = tws.clock.now()
    day = hours.next_close(now + timedelta(days=1)).astimezone(hours.NEW_YORK).date()
    evening = datetime(day.year, day.month, day.day, 18, tzinfo=hours.NEW_YORK)
    await tws.post("/clock", to=evening.isoformat())
    await filled(ib, "BUY", 100)
    await tws.post("/clock", advance=8 * 3600)
    assert (await tws.book())["figures"][ACCOUNT]["daily"] == "-2.00"  # a tick a share, and the commission


async def test_a_correction_counts_on_the_day_of_its_trade(tws: Tws, ib: IB) -> None:
    """One of today is today's gain or loss; one of a day before makes the account worth less at the close before."""

    async def figures() -> tuple[Decimal, Decimal]:
        told = (await tws.book())["figures"][ACCOUNT]
        return Decimal(told["previous"]), Decimal(told["daily"])

    trade = await filled(ib, "BUY", 10)
    previous, daily = await figures()
    exec_id = trade.fills[0].execution.execId
    await tws.post("/tws/correct", exec_id=exec_id, price="191.11")  # a dollar more a share
    assert await figures() == (previous, daily - 10)
    await tws.post("/clock", advance=4 * 86_400)
    previous, daily = await figures()
    await tws.post("/tws/correct", exec_id=f"{exec_id[:-2]}02", price="192.11")
    assert await figures() == (previous - 10, daily)


async def test_it_is_told_when_a_price_moves(tws: Tws, ib: IB) -> None:
    """Each move is told by itself: nobody has to wait for the next regular message."""
    told: list[float] = []
    pnl = ib.reqPnL(ACCOUNT)
    await until(ib, lambda: pnl.dailyPnL == pnl.dailyPnL)
    ib.pnlEvent += lambda one: told.append(one.dailyPnL)
    for price in ("191.10", "192.10", "193.10", "194.10", "195.10"):
        await tws.post("/tws/price", symbol="AAPL", last=price)
    await ib.reqCurrentTimeAsync()
    steps = [after - before for before, after in pairwise(told) if after != before]
    assert steps == [pytest.approx(40)] * 4


def said(pnl: PnL, daily: float) -> bool:
    """Whether a client was told so much for the day."""
    return bool(pnl.dailyPnL == pytest.approx(daily))


@pytest.mark.parametrize("percent", [3, 5])
async def test_a_loss_of_so_much_of_the_account_can_be_brought_about(tws: Tws, ib: IB, percent: int) -> None:
    await traded(ib, "SPY", "BUY", 100)
    pnl = ib.reqPnL(ACCOUNT)
    start = Decimal((await tws.book())["figures"][ACCOUNT]["previous"])
    wanted = -start * percent / 100
    for cents in (Decimal("1.25"), Decimal(0), Decimal("-1.25")):  # a tick of 125 shares, on both sides
        await tws.post("/tws/price", symbol="SPY", daily=str(wanted + cents))
        daily = Decimal((await tws.book())["figures"][ACCOUNT]["daily"])
        assert abs(daily - wanted - cents) <= Decimal("0.63")
        await until(ib, partial(said, pnl, float(daily)))
    spy = share("SPY")
    [ticker] = await ib.reqTickersAsync(spy)
    assert Decimal(str(ticker.last)) < Decimal(PRICES["SPY"])


async def test_a_gain_that_no_price_brings_about(tws: Tws) -> None:
    for body, why in (
        ({"symbol": "MSFT", "daily": 10}, "holds no shares of MSFT"),
        ({"symbol": "KO", "daily": -1_000_000}, "hold more of it first"),
        ({"symbol": "KO", "daily": 1, "last": 60}, "either daily or prices"),
    ):
        assert why in (await tws.post("/tws/price", status=400, **body))["error"]


async def test_profit_and_loss_may_be_unknown_or_never_told(tws: Tws, ib: IB) -> None:
    told: list[PnL] = []
    ib.pnlEvent += told.append
    await tws.post("/tws/pnl", mode="silent")
    pnl, single = ib.reqPnL(ACCOUNT), ib.reqPnLSingle(ACCOUNT, "", 265598)
    await ib.reqCurrentTimeAsync()
    assert (told, await tws.fired("pnl_silent") >= 2) == ([], True)
    await tws.post("/tws/pnl", mode="unset")
    await until(ib, lambda: told)
    assert {pnl.dailyPnL, pnl.unrealizedPnL, pnl.realizedPnL} == {1.7976931348623157e308}
    await until(ib, lambda: single.position == 40)
    assert {single.dailyPnL, single.value} == {1.7976931348623157e308}
    assert await tws.fired("pnl_unset") >= 1
    await tws.post("/tws/pnl", mode="known")
    await until(ib, lambda: abs(pnl.dailyPnL) < 1e6 and single.value == pytest.approx(40 * 190.10))


# -- what an order would do


async def liquidity(ib: IB) -> dict[str, Decimal]:
    """The account's figures as its updates tell them."""
    await ib.reqAccountUpdatesAsync(ACCOUNT)
    return {
        one.tag: Decimal(one.value)
        for one in ib.accountValues(ACCOUNT)
        if one.currency == "USD" and one.tag in {"EquityWithLoanValue", "InitMarginReq", "MaintMarginReq", "ExcessLiquidity", "AvailableFunds"}
    }  # fmt: skip


def margins(state: OrderState, when: str) -> tuple[Decimal, Decimal, Decimal]:
    """Equity with loan value, initial and maintenance margin."""
    names = ("equityWithLoan", "initMargin", "maintMargin")
    equity, initial, maintenance = (Decimal(str(getattr(state, name + when))) for name in names)
    return equity, initial, maintenance


@pytest.mark.parametrize(("symbol", "side", "quantity"), [("MSFT", "BUY", 200), ("KO", "SELL", 100), ("MSFT", "SELL", 50)])  # fmt: skip
async def test_a_preview_is_what_comes_true(tws: Tws, ib: IB, symbol: str, side: str, quantity: int) -> None:
    state = await ib.whatIfOrderAsync(share(symbol), MarketOrder(side, quantity))
    account = await liquidity(ib)
    equity, initial, maintenance = margins(state, "Before")
    assert (equity, initial, maintenance) == (
        account["EquityWithLoanValue"],
        account["InitMarginReq"],
        account["MaintMarginReq"],
    )
    assert account["ExcessLiquidity"] == equity - maintenance
    assert account["AvailableFunds"] == equity - initial
    await traded(ib, symbol, side, quantity)
    account = await liquidity(ib)
    after = margins(state, "After")
    assert account["ExcessLiquidity"] == after[0] - after[2]
    assert account["AvailableFunds"] == after[0] - after[1]
    changes = margins(state, "Change")
    assert changes == tuple(b - a for a, b in zip((equity, initial, maintenance), after, strict=True))


async def test_margin_is_that_of_regulation_t(tws: Tws, ib: IB) -> None:
    bought = await ib.whatIfOrderAsync(share("MSFT"), MarketOrder("BUY", 100))
    short = await ib.whatIfOrderAsync(share("MSFT"), MarketOrder("SELL", 100))
    worth = Decimal(42050)
    assert margins(bought, "Change")[1:] == (worth / 2, worth / 4)
    assert margins(short, "Change")[1:] == (worth / 2, worth * 3 / 10)


async def test_an_order_that_uses_the_account_up_says_so(tws: Tws, ib: IB) -> None:
    """Half of every purchase is tied up: at twice what is available, nothing is left, and one share more is refused."""
    account = await liquidity(ib)
    most = int(account["AvailableFunds"] * 2 / Decimal(PRICES["MSFT"]))
    for quantity, refused in ((most - 1, False), (most + 1, True)):
        state = await ib.whatIfOrderAsync(share("MSFT"), MarketOrder("BUY", quantity))
        equity, initial, _ = margins(state, "After")
        assert (equity < initial, bool(state.warningText)) == (refused, refused)
        assert abs(equity - initial) < 1_000
    trade = ib.placeOrder(share("MSFT"), MarketOrder("BUY", most + 1))
    await until(ib, lambda: 201 in tws.codes())
    assert trade.orderStatus.status == "Inactive"


async def test_a_preview_may_stay_unanswered(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/what_if_silent", count=1)
    asked = asyncio.ensure_future(ib.whatIfOrderAsync(AAPL, MarketOrder("BUY", 1)))
    answered = await ib.whatIfOrderAsync(AAPL, MarketOrder("BUY", 1))
    assert (answered.commission, asked.done(), await tws.fired("what_if_silent")) == (1.0, False, 1)
    asked.cancel()


async def test_a_preview_may_come_without_figures(tws: Tws, ib: IB) -> None:
    """Unset values: this client goes on waiting then, as it would with TWS, so what came is read off its own decoder."""
    heard: list[OrderState] = []
    true = ib.wrapper.openOrder

    def listen(orderId: int, contract: Contract, order: Order, orderState: OrderState) -> None:  # noqa: N803 - its names
        heard.append(orderState)
        true(orderId, contract, order, orderState)

    ib.wrapper.openOrder = listen  # type: ignore[method-assign]
    await tws.post("/tws/what_if_unset", count=1)
    asked = asyncio.ensure_future(ib.whatIfOrderAsync(AAPL, MarketOrder("BUY", 1)))
    await until(ib, lambda: heard)
    assert {Decimal(str(value)) for when in ("Before", "Change", "After") for value in margins(heard[0], when)} == {Decimal("1.7976931348623157E308")}  # fmt: skip
    assert (heard[0].commission, asked.done()) == (1.7976931348623157e308, False)
    asked.cancel()
    assert await tws.fired("what_if_unset") == 1


async def test_a_preview_may_leave_out_what_would_be_afterwards(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/what_if_gaps", count=1)
    state = await ib.whatIfOrderAsync(AAPL, LimitOrder("BUY", 1, 190.0))
    assert {float(value) for value in margins(state, "After")} == {1.7976931348623157e308}
    assert margins(state, "Before")[0] > 100_000
    whole = await ib.whatIfOrderAsync(AAPL, LimitOrder("BUY", 1, 190.0))
    assert margins(whole, "After")[0] > 100_000


# -- the day before, and the day to come


@pytest.mark.parametrize("hour", [8, 12, 18])
async def test_every_share_has_the_close_of_the_session_before(tws: Tws, ib: IB, hour: int) -> None:
    """Before, during and after a session tick 9 is the close of the last bar of another day."""
    day = hours.next_open(tws.clock.now() + timedelta(days=1)).astimezone(hours.NEW_YORK).date()
    moment = datetime(day.year, day.month, day.day, hour, tzinfo=hours.NEW_YORK)
    await tws.post("/clock", to=moment.isoformat())
    closing = await closes(ib, day.isoformat())
    for symbol in PRICES:
        [ticker] = await ib.reqTickersAsync(share(symbol))
        assert Decimal(str(ticker.close)) == closing[symbol]


async def test_a_market_order_of_the_weekend_trades_at_the_open(tws: Tws, ib: IB) -> None:
    now = tws.clock.now().astimezone(hours.NEW_YORK)
    saturday = now.replace(hour=12, minute=0, second=0) + timedelta(days=7 + (5 - now.weekday()) % 7)
    await tws.post("/tws/market", open="hours")
    await tws.post("/clock", to=saturday.isoformat())
    trade = await place(ib, MarketOrder("BUY", 10), "weekend")
    opening = hours.next_open(saturday)
    assert (tws.codes(), trade.orderStatus.status) == ([399], "PreSubmitted")
    local = opening.astimezone(hours.NEW_YORK)
    assert f"until {local:%Y-%m-%d} 09:30:00 US/Eastern" in tws.errors[-1][2]
    await tws.post("/clock", to=(opening - timedelta(seconds=30)).isoformat())
    assert (await tws.order("weekend"))["status"] == "PreSubmitted"
    await tws.post("/clock", to=(opening + timedelta(seconds=1)).isoformat())
    await until(ib, lambda: trade.fills)
    assert trade.fills[0].execution.time >= opening
