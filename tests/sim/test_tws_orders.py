"""Orders of the real ib_async at the simulated TWS: each type, and every way in which one ends."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from ib_async import IB, LimitOrder, MarketOrder, Order, Stock, StopLimitOrder, StopOrder

from tests.sim.tws_kit import AAPL, CALM, Tws, filled, place, resting, running_tws, until


@pytest.fixture
async def tws() -> AsyncIterator[Tws]:
    async with running_tws() as tws:
        await tws.post("/tws/price", symbol="AAPL", **CALM)
        yield tws


@pytest.fixture
async def ib(tws: Tws) -> IB:
    return await tws.connect()


def position(ib: IB, symbol: str = "AAPL") -> float:
    return float(sum(p.position for p in ib.positions() if p.contract.symbol == symbol))


async def test_market_order_is_told_as_tws_tells_it(tws: Tws, ib: IB) -> None:
    """PreSubmitted, the execution, Filled, Filled again with its commission, the commission."""
    heard: list[str] = []
    ib.openOrderEvent += lambda trade: heard.append("open")
    ib.orderStatusEvent += lambda trade: heard.append(trade.orderStatus.status)
    ib.execDetailsEvent += lambda trade, fill: heard.append("execution")
    ib.commissionReportEvent += lambda trade, fill, report: heard.append("commission")
    trade = await filled(ib, ref="ours")
    assert heard == ["open", "PreSubmitted", "execution", "open", "Filled", "open", "commission"]
    assert (trade.fills[0].execution.price, trade.fills[0].commissionReport.commission) == (150.02, 1.0)
    assert trade.fills[0].execution.orderRef == "ours"
    order = await tws.order("ours")
    assert (order["status"], order["filled"], order["average"]) == ("Filled", "10", "150.02")


async def test_fill_moves_position_and_cash(tws: Tws, ib: IB) -> None:
    before, cash = position(ib), float((await tws.book())["cash"]["DU1234567"]["USD"])
    await filled(ib)
    await until(ib, lambda: position(ib) == before + 10)
    after = float((await tws.book())["cash"]["DU1234567"]["USD"])
    assert cash - after == pytest.approx(1501.20)


@pytest.mark.parametrize(
    ("order", "status", "held", "moves", "price"),
    [
        (
            LimitOrder("BUY", 5, 149.0),
            "Submitted",
            "",
            {"ask": 148.98, "bid": 148.96, "last": 148.97},
            148.98,
        ),
        (
            LimitOrder("SELL", 5, 151.0),
            "Submitted",
            "",
            {"bid": 151.10, "ask": 151.12, "last": 151.11},
            151.10,
        ),
        (
            StopOrder("SELL", 5, 149.0),
            "PreSubmitted",
            "trigger",
            {"bid": 148.90, "ask": 148.95, "last": 149.0},
            148.90,
        ),
        (
            StopOrder("BUY", 5, 151.0),
            "PreSubmitted",
            "trigger",
            {"bid": 151.0, "ask": 151.05, "last": 151.0},
            151.05,
        ),
        (
            StopLimitOrder("SELL", 5, 148.0, 149.0),
            "PreSubmitted",
            "trigger",
            {"bid": 148.9, "ask": 149, "last": 149},
            148.9,
        ),
    ],
    ids=["limit buy", "limit sell", "stop sell", "stop buy", "stop limit"],
)
async def test_resting_orders_fill_when_the_price_comes(
    tws: Tws, ib: IB, order: Order, status: str, held: str, moves: dict[str, Any], price: float
) -> None:
    trade = await place(ib, order)
    assert (trade.orderStatus.status, trade.orderStatus.whyHeld) == (status, held)
    await tws.post("/tws/price", symbol="AAPL", **moves)
    await until(ib, lambda: trade.orderStatus.status == "Filled")
    assert trade.orderStatus.avgFillPrice == price


async def test_stop_limit_that_the_price_jumps_over_becomes_a_limit(tws: Tws, ib: IB) -> None:
    trade = await place(ib, StopLimitOrder("SELL", 5, 148.5, 149.0))
    await tws.post("/tws/price", symbol="AAPL", bid=147.0, ask=147.02, last=147.0)
    await until(ib, lambda: trade.orderStatus.status == "Submitted")
    assert not trade.fills
    await tws.post("/tws/price", symbol="AAPL", bid=148.5, ask=148.6, last=148.5)
    await until(ib, lambda: trade.orderStatus.status == "Filled")


@pytest.mark.parametrize(
    ("terms", "stop"), [({"auxPrice": 2.0}, "158.01"), ({"trailingPercent": 2.0}, "156.80")]
)
async def test_trailing_stop_follows_and_never_steps_back(
    tws: Tws, ib: IB, terms: dict[str, float], stop: str
) -> None:
    order = Order(action="SELL", totalQuantity=5, orderType="TRAIL", **terms)  # type: ignore[arg-type]
    trade = await place(ib, order, "trail")
    for last in (155.0, 160.01, 159.0):
        await tws.post("/tws/price", symbol="AAPL", bid=last - 0.01, ask=last + 0.01, last=last)
    assert (await tws.order("trail"))["stop"] == stop
    await tws.post("/tws/price", symbol="AAPL", bid=156.0, ask=156.02, last=156.01)
    await until(ib, lambda: trade.orderStatus.status == "Filled")


async def test_what_if_answers_with_margin_and_leaves_no_trace(tws: Tws, ib: IB) -> None:
    state = await ib.whatIfOrderAsync(AAPL, MarketOrder("BUY", 10))
    assert float(state.initMarginChange) == pytest.approx(750.05, abs=0.5)
    assert state.commission == 1.0
    assert (await tws.book())["orders"] == []


async def test_modify(tws: Tws, ib: IB) -> None:
    trade = await place(ib, resting(), "m")
    trade.order.lmtPrice, trade.order.totalQuantity = 101.0, 7
    ib.placeOrder(AAPL, trade.order)
    await until(ib, lambda: trade.log[-1].message == "Modified" or trade.orderStatus.remaining == 7)
    order = await tws.order("m")
    assert (order["limit"], order["quantity"], order["status"]) == ("101.0", "7", "Submitted")


async def test_modify_into_the_market_fills(tws: Tws, ib: IB) -> None:
    trade = await place(ib, resting(), "m")
    trade.order.lmtPrice = 151.0
    ib.placeOrder(AAPL, trade.order)
    await until(ib, lambda: trade.orderStatus.status == "Filled")
    assert trade.orderStatus.avgFillPrice == 150.02


async def test_cancel(tws: Tws, ib: IB) -> None:
    trade = await place(ib, resting(), "c")
    ib.cancelOrder(trade.order)
    await until(ib, lambda: trade.orderStatus.status == "Cancelled" and tws.codes())
    assert tws.codes() == [202]
    assert (await tws.order("c"))["status"] == "Cancelled"


async def test_cancel_that_comes_too_late_or_for_nothing(tws: Tws, ib: IB) -> None:
    trade = await filled(ib)
    ib.client.cancelOrder(trade.order.orderId)
    ib.client.cancelOrder(4711)
    await until(ib, lambda: len(tws.codes()) == 2)
    assert tws.codes() == [10148, 10147]
    assert trade.orderStatus.status == "Filled"


async def test_global_cancel_takes_orders_of_every_client(tws: Tws, ib: IB) -> None:
    other = await tws.connect(2)
    mine, theirs = await place(ib, resting(), "a"), await place(other, resting(), "b")
    ib.reqGlobalCancel()
    await until(ib, lambda: mine.orderStatus.status == "Cancelled")
    await until(other, lambda: theirs.orderStatus.status == "Cancelled")


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (LimitOrder("BUY", 10, 100.001), 110),
        (MarketOrder("BUY", 0), 434),
        (MarketOrder("BUY", -5), 321),
        (MarketOrder("BUY", 1.5), 10243),
        (MarketOrder("BUY", float("nan")), 320),
        (Order(action="BUY", totalQuantity=1, orderType="VWAP"), 387),
        (Order(action="BUY", totalQuantity=1, orderType="MKT", tif="SOON"), 10052),
        (Order(action="BUY", totalQuantity=1, orderType="LMT"), 321),
        (Order(action="HOLD", totalQuantity=1, orderType="MKT"), 321),
        (MarketOrder("BUY", 1, account="DU0000001"), 321),
        (MarketOrder("BUY", 1, parentId=999), 135),
    ],
    ids=[
        "tick",
        "zero",
        "negative",
        "fraction",
        "nan",
        "type",
        "tif",
        "no price",
        "side",
        "account",
        "parent",
    ],
)
async def test_orders_that_are_refused(tws: Tws, ib: IB, order: Order, code: int) -> None:
    ib.placeOrder(AAPL, order)
    await until(ib, tws.codes)
    assert tws.codes() == [code]
    assert (await tws.book())["orders"] == []


async def test_unknown_and_ambiguous_contracts(tws: Tws, ib: IB) -> None:
    ib.placeOrder(Stock("NOPE", "SMART", "USD"), MarketOrder("BUY", 1))
    ib.placeOrder(Stock("GOLD", "SMART", "USD"), MarketOrder("BUY", 1))
    await until(ib, lambda: len(tws.codes()) == 2)
    assert tws.codes() == [200, 200]
    assert "ambiguous" in tws.errors[-1][2]


async def test_order_beyond_the_margin_is_rejected_and_stays_on_record(tws: Tws, ib: IB) -> None:
    trade = await place(ib, MarketOrder("BUY", 100_000), "big")
    await until(ib, lambda: trade.orderStatus.status == "Inactive")
    assert tws.codes() == [201]
    assert "EQUITY WITH LOAN VALUE" in tws.errors[-1][2]
    assert (await tws.order("big"))["status"] == "Inactive"


async def test_ids_are_used_once(tws: Tws, ib: IB) -> None:
    trade = await place(ib, resting(), "first")
    ib.cancelOrder(trade.order)
    await until(ib, lambda: trade.orderStatus.status == "Cancelled" and tws.codes())
    tws.errors.clear()
    again = resting()
    again.orderId = trade.order.orderId
    ib.client.placeOrder(again.orderId, AAPL, again)
    await until(ib, tws.codes)
    assert tws.codes() == [103]


async def test_a_filled_order_cannot_be_changed(tws: Tws, ib: IB) -> None:
    trade = await filled(ib)
    ib.client.placeOrder(trade.order.orderId, AAPL, LimitOrder("BUY", 20, 100.0))
    await until(ib, tws.codes)
    assert tws.codes() == [104]


async def test_a_change_is_not_another_order(tws: Tws, ib: IB) -> None:
    trade = await place(ib, resting(), "first")
    ib.client.placeOrder(trade.order.orderId, AAPL, LimitOrder("SELL", 10, 200.0))
    await until(ib, tws.codes)
    assert tws.codes() == [105]
    assert (await tws.order("first"))["side"] == "BUY"


async def test_closed_market_holds_an_order_until_it_opens(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/market", open=False)
    trade = ib.placeOrder(AAPL, MarketOrder("BUY", 5))
    await until(ib, lambda: tws.codes() and trade.order.permId)
    assert tws.codes() == [399]
    assert "will not be placed at the exchange until" in tws.errors[-1][2]
    assert not trade.fills
    await tws.post("/tws/market", open=True)
    await until(ib, lambda: trade.orderStatus.status == "Filled")


async def test_immediate_or_cancel(tws: Tws, ib: IB) -> None:
    trade = await place(ib, resting(), tif="IOC")
    await until(ib, lambda: trade.orderStatus.status == "Cancelled")


def bracket(ib: IB) -> tuple[Order, Order, Order]:
    entry, profit, loss = ib.bracketOrder("BUY", 10, 149.0, 160.0, 140.0)
    return entry, profit, loss


async def test_bracket_children_wait_for_their_parent(tws: Tws, ib: IB) -> None:
    entry, profit, loss = [ib.placeOrder(AAPL, order) for order in bracket(ib)]
    await until(ib, lambda: loss.orderStatus.status == "PreSubmitted")
    assert entry.orderStatus.status == "Submitted"
    assert (profit.orderStatus.status, profit.orderStatus.whyHeld) == ("PreSubmitted", "child")
    assert (loss.orderStatus.status, loss.orderStatus.whyHeld) == ("PreSubmitted", "child,trigger")
    groups = {order["oca_group"] for order in (await tws.book())["orders"] if order["parent"]}
    assert groups == {str(entry.order.permId)}

    await tws.post("/tws/price", symbol="AAPL", bid=148.97, ask=148.99, last=148.98)
    await until(
        ib, lambda: profit.orderStatus.status == "Submitted" and loss.orderStatus.whyHeld == "trigger"
    )
    assert entry.orderStatus.status == "Filled"

    await tws.post("/tws/price", symbol="AAPL", bid=160.5, ask=160.6, last=160.5)
    await until(ib, lambda: profit.orderStatus.status == "Filled" and loss.orderStatus.status == "Cancelled")


async def test_nothing_is_said_of_a_bracket_before_its_last_part(tws: Tws, ib: IB) -> None:
    entry, profit, _ = bracket(ib)
    trades = [ib.placeOrder(AAPL, order) for order in (entry, profit)]
    await ib.reqCurrentTimeAsync()
    assert [trade.orderStatus.status for trade in trades] == ["PendingSubmit", "PendingSubmit"]
    assert [order["status"] for order in (await tws.book())["orders"]] == ["Untransmitted", "Untransmitted"]


async def test_bracket_goes_with_its_parent(tws: Tws, ib: IB) -> None:
    entry, profit, loss = [ib.placeOrder(AAPL, order) for order in bracket(ib)]
    await until(ib, lambda: loss.orderStatus.status == "PreSubmitted")
    ib.cancelOrder(entry.order)
    await until(ib, lambda: {t.orderStatus.status for t in (entry, profit, loss)} == {"Cancelled"})


async def test_children_of_a_partly_filled_and_cancelled_entry_protect_what_was_bought(
    tws: Tws, ib: IB
) -> None:
    entry, profit, loss = [ib.placeOrder(AAPL, order) for order in bracket(ib)]
    await until(ib, lambda: loss.orderStatus.status == "PreSubmitted")
    await tws.post("/tws/fill", order=entry.order.permId, quantity=4)
    await until(ib, lambda: entry.orderStatus.filled == 4)
    ib.cancelOrder(entry.order)
    await until(
        ib, lambda: profit.orderStatus.status == "Submitted" and loss.orderStatus.whyHeld == "trigger"
    )
    assert (profit.orderStatus.remaining, loss.orderStatus.remaining) == (4, 4)


async def test_a_partly_filled_child_shrinks_the_other(tws: Tws, ib: IB) -> None:
    entry, profit, loss = [ib.placeOrder(AAPL, order) for order in bracket(ib)]
    await until(ib, lambda: loss.orderStatus.status == "PreSubmitted")
    await tws.post("/tws/fill", order=entry.order.permId)
    await until(ib, lambda: loss.orderStatus.whyHeld == "trigger")
    await tws.post("/tws/fill", order=profit.order.permId, quantity=3)
    await until(ib, lambda: loss.orderStatus.remaining == 7)
    assert profit.orderStatus.remaining == 7


async def test_rejected_parent_takes_its_children(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/reject", code=201, message="Order rejected - reason:no")
    entry, profit, loss = [ib.placeOrder(AAPL, order) for order in bracket(ib)]
    await until(ib, lambda: loss.orderStatus.status == "Cancelled" and entry.orderStatus.status == "Inactive")
    assert profit.orderStatus.status == "Cancelled"


async def test_one_cancels_all_in_a_group_of_the_clients_own(tws: Tws, ib: IB) -> None:
    one = await place(ib, LimitOrder("BUY", 5, 149.0), ocaGroup="g", ocaType=1)
    two = await place(ib, LimitOrder("BUY", 5, 148.0), ocaGroup="g", ocaType=1)
    await tws.post("/tws/fill", order=one.order.permId, quantity=1)
    await until(ib, lambda: two.orderStatus.status == "Cancelled")


async def test_market_on_close_trades_in_the_closing_auction(tws: Tws, ib: IB) -> None:
    trade = await place(ib, Order(action="BUY", totalQuantity=5, orderType="MOC"))
    assert trade.orderStatus.status == "PreSubmitted"
    await tws.post("/clock", advance=4 * 86_400)
    await until(ib, lambda: trade.orderStatus.status == "Filled")


async def test_day_orders_end_with_the_session_and_others_stay(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/market", open="hours")
    day = await place(ib, resting(), "day")
    await place(ib, resting(), "good", tif="GTC")
    await tws.post("/clock", advance=5 * 86_400)
    await until(ib, lambda: day.orderStatus.status == "Cancelled")
    assert (await tws.order("good"))["status"] in {"Submitted", "PreSubmitted"}


async def test_completed_orders_carry_perm_id_and_reference_only(tws: Tws, ib: IB) -> None:
    await filled(ib, ref="done")
    await place(ib, resting(), "open")
    fresh = await tws.connect(7)
    [trade] = await fresh.reqCompletedOrdersAsync(False)
    assert (trade.order.orderId, trade.order.orderRef, trade.orderStatus.status) == (0, "done", "Filled")
    assert trade.order.permId == (await tws.order("done"))["perm_id"]


async def test_executions_by_filter(tws: Tws, ib: IB) -> None:
    from ib_async import ExecutionFilter

    await filled(ib, "BUY", 10)
    await filled(ib, "SELL", 4)
    other = await tws.connect(2)
    assert [f.execution.side for f in await other.reqExecutionsAsync()] == ["BOT", "SLD"]
    assert [f.execution.shares for f in await other.reqExecutionsAsync(ExecutionFilter(side="SELL"))] == [4]
    assert await other.reqExecutionsAsync(ExecutionFilter(clientId=2)) == []
    assert await other.reqExecutionsAsync(ExecutionFilter(symbol="MSFT")) == []
    await tws.post("/clock", advance=86_400 * 2)
    fresh = await tws.connect(3)
    assert await fresh.reqExecutionsAsync() == []
