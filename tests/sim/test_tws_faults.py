"""What can be made to happen to an order over the control port, and that it is counted when it does."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from ib_async import IB, MarketOrder, Trade

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
        await tws.post("/tws/price", symbol="AAPL", **CALM)
        yield tws


@pytest.fixture
async def ib(tws: Tws) -> IB:
    return await tws.connect()


async def test_nothing_fills_until_told(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/fills", mode="hold")
    trade = await place(ib, MarketOrder("BUY", 10), "held")
    assert trade.orderStatus.status == "PreSubmitted"
    await tws.post("/tws/fill", order="held", quantity=4, price=150.5)
    await until(ib, lambda: trade.orderStatus.filled == 4)
    assert (trade.orderStatus.status, trade.orderStatus.remaining) == ("Submitted", 6)
    await tws.post("/tws/fill", order=str(trade.order.permId))
    await until(ib, lambda: trade.orderStatus.status == "Filled" and len(trade.fills) == 2)
    assert trade.orderStatus.avgFillPrice == pytest.approx(150.212)


async def test_what_was_held_fills_when_the_hold_ends(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/fills", mode="hold")
    trade = await place(ib, MarketOrder("BUY", 10))
    await tws.post("/tws/fills", mode="auto")
    await until(ib, lambda: trade.orderStatus.status == "Filled")


async def test_the_commission_of_partial_fills_is_that_of_the_order(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/fills", mode="hold")
    trade = await place(ib, MarketOrder("BUY", 300), "parts")
    for quantity in (100, 100, 100):
        await tws.post("/tws/fill", order="parts", quantity=quantity)
    await until(ib, lambda: len(trade.fills) == 3 and trade.fills[-1].commissionReport.execId)
    assert [fill.commissionReport.commission for fill in trade.fills] == [1.0, 0.0, 0.5]


async def test_fill_that_cannot_be(tws: Tws, ib: IB) -> None:
    await place(ib, resting(5), "r")
    assert "5 to trade, not 6" in (await tws.post("/tws/fill", status=400, order="r", quantity=6))["error"]
    assert "no order" in (await tws.post("/tws/fill", status=400, order="other"))["error"]
    await tws.post("/tws/cancel", order="r")
    assert "not working" in (await tws.post("/tws/fill", status=400, order="r"))["error"]


async def test_overfill(tws: Tws, ib: IB) -> None:
    trade = await place(ib, resting(5), "r")
    await tws.post("/tws/fill", order="r", quantity=8, overfill=True)
    await until(ib, lambda: trade.orderStatus.status == "Filled")
    assert (trade.orderStatus.filled, trade.orderStatus.remaining) == (8, 0)


async def test_rejects(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/reject", code=201, message="Order rejected - reason:not today", count=1)
    trade = await place(ib, resting())
    await until(ib, lambda: trade.orderStatus.status == "Inactive")
    assert (tws.codes(), tws.errors[-1][2]) == ([201], "Order rejected - reason:not today")
    assert (await place(ib, resting())).orderStatus.status == "Submitted"


async def test_cancel_by_the_broker(tws: Tws, ib: IB) -> None:
    trade = await place(ib, resting(), "b")
    await tws.post("/tws/cancel", order="b", reason="Corporate action")
    await until(ib, lambda: trade.orderStatus.status == "Cancelled" and tws.codes())
    assert tws.errors[-1][1:] == (202, "Order Canceled - reason:Corporate action")


async def test_a_fill_may_win_against_a_cancel(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/cancels", mode="hold")
    trade = await place(ib, resting(), "race")
    ib.cancelOrder(trade.order)
    await ib.reqCurrentTimeAsync()
    assert (await tws.order("race"))["status"] == "PendingCancel"
    ib.client.cancelOrder(trade.order.orderId)
    await until(ib, lambda: 161 in tws.codes())
    await tws.post("/tws/fill", order="race")
    assert (await tws.order("race"))["status"] == "Filled"


async def test_a_cancel_that_was_pending_is_settled(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/cancels", mode="hold")
    trade = await place(ib, resting(), "race")
    ib.cancelOrder(trade.order)
    await ib.reqCurrentTimeAsync()
    await tws.post("/tws/cancel", order="race")
    await until(ib, lambda: trade.orderStatus.status == "Cancelled")


async def test_a_trade_by_hand_changes_the_position_and_nothing_else_is_said(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/external", symbol="MSFT", side="BUY", quantity=3)
    await until(ib, lambda: any(p.contract.symbol == "MSFT" and p.position == 3 for p in ib.positions()))
    assert ib.trades() == []
    [fill] = await ib.reqExecutionsAsync()
    assert (fill.execution.clientId, fill.execution.orderId) == (0, 0)


async def test_an_order_by_hand_is_bound_by_client_0(tws: Tws, ib: IB) -> None:
    made = await tws.post("/tws/external", symbol="AAPL", side="BUY", quantity=3, price=120.0, working=True)
    assert [t.order.orderId for t in await ib.reqAllOpenOrdersAsync()] == [0]
    zero = await tws.connect(0)
    [trade] = zero.openTrades()
    assert (trade.order.permId, trade.order.orderId) == (made["perm_id"], -1)
    zero.cancelOrder(trade.order)
    await until(zero, lambda: 202 in tws.codes())
    assert [o["status"] for o in (await tws.book())["orders"]] == ["Cancelled"]


async def test_an_order_by_hand_comes_to_a_connected_client_0(tws: Tws) -> None:
    zero = await tws.connect(0)
    await tws.post("/tws/external", symbol="AAPL", side="BUY", quantity=3, price=120.0, working=True)
    await until(zero, zero.openTrades)
    assert zero.openTrades()[0].order.orderId < 0


async def test_a_correction_is_the_same_fill_under_its_next_revision(tws: Tws, ib: IB) -> None:
    trade = await filled(ib)
    cash = float((await tws.book())["cash"]["DU1234567"]["USD"])
    exec_id = trade.fills[0].execution.execId
    new = await tws.post("/tws/correct", exec_id=exec_id, price=150.52)
    assert new["exec_id"] == exec_id[:-2] + "02"
    await until(ib, lambda: len(trade.fills) == 2)
    assert trade.fills[1].execution.price == 150.52
    book = await tws.book()
    assert float(book["cash"]["DU1234567"]["USD"]) == pytest.approx(cash - 5.0)
    assert [e["superseded"] for e in book["executions"]] == [True, False]
    assert "corrected already" in (await tws.post("/tws/correct", status=400, exec_id=exec_id))["error"]


def commission(trade: Trade) -> float:
    return (
        trade.fills[0].commissionReport.commission
        if trade.fills and trade.fills[0].commissionReport.execId
        else 0.0
    )


async def test_late_commission(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/commissions", mode="late")
    trade = await place(ib, MarketOrder("BUY", 10))
    await until(ib, lambda: trade.orderStatus.status == "Filled")
    assert commission(trade) == 0.0
    await tws.post("/tws/commission", exec_id=trade.fills[0].execution.execId)
    await until(ib, lambda: commission(trade) == 1.0)


async def test_commission_ahead_of_its_execution_is_lost_on_ib_async(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/commissions", mode="before")
    trade = await place(ib, MarketOrder("BUY", 10))
    await until(ib, lambda: trade.orderStatus.status == "Filled")
    assert commission(trade) == 0.0
    [fill] = await ib.reqExecutionsAsync()
    assert fill.execution.execId == trade.fills[0].execution.execId


async def test_commission_that_never_comes(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/commissions", mode="never")
    trade = await place(ib, MarketOrder("BUY", 10))
    await until(ib, lambda: trade.orderStatus.status == "Filled")
    await ib.reqExecutionsAsync()
    assert commission(trade) == 0.0
    assert (await tws.book())["executions"][0]["reported"] is False


async def test_statuses_may_come_twice(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/duplicate", count=2)
    trade = await filled(ib)
    assert trade.orderStatus.status == "Filled"
    assert await tws.fired("duplicate") == 2


async def test_a_status_out_of_date_may_come_last(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/stale", count=1)
    trade = await place(ib, MarketOrder("BUY", 10), "s")
    await until(ib, lambda: trade.orderStatus.status in {"Filled", "Submitted"} and trade.fills)
    assert (await tws.order("s"))["status"] == "Filled"
    assert await tws.fired("stale") == 1


async def test_the_fill_may_be_the_first_thing_heard(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/fill_first", count=1)
    trade = await filled(ib)
    assert [entry.status for entry in trade.log if entry.status == "PreSubmitted"] == []
    assert await tws.fired("fill_first") == 1


async def test_an_order_may_be_lost_on_its_way(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/swallow", count=1)
    trade = ib.placeOrder(AAPL, resting())
    await ib.reqCurrentTimeAsync()
    assert trade.orderStatus.status == "PendingSubmit"
    assert (await tws.book())["orders"] == []
    assert await tws.fired("swallow") == 1


async def test_an_order_may_be_booked_without_a_word(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/no_ack", count=1)
    order = MarketOrder("BUY", 10, orderRef="quiet")
    trade = ib.placeOrder(AAPL, order)
    await ib.reqCurrentTimeAsync()
    assert (trade.orderStatus.status, trade.fills) == ("PendingSubmit", [])
    assert (await tws.order("quiet"))["status"] == "Filled"
    assert await tws.fired("no_ack") == 1
    ib.disconnect()
    again = await tws.connect(9)
    assert [fill.execution.orderRef for fill in again.fills()] == ["quiet"]


async def test_order_ids_begin_anew(tws: Tws, ib: IB) -> None:
    await filled(ib)
    await filled(ib)
    await tws.post("/tws/roll_back_ids", next=1)
    ib.disconnect()
    again = await tws.connect(2)
    again.disconnect()
    fresh = await tws.connect(1)
    trade = await filled(fresh)
    assert trade.orderStatus.status == "Filled"
    assert len((await tws.book())["orders"]) == 3


async def test_an_error_about_an_order(tws: Tws, ib: IB) -> None:
    trade = await place(ib, resting(), "odd")
    await tws.post(
        "/tws/message", order="odd", code=10349, text="Order TIF was set to DAY based on order preset."
    )
    await until(ib, lambda: 10349 in tws.codes())
    assert trade.orderStatus.status == "Cancelled"  # ib_async says so; the broker does not
    assert (await tws.order("odd"))["status"] == "Submitted"


async def test_events_tell_what_happened_without_a_client(tws: Tws, ib: IB) -> None:
    seen = (await tws.get("/tws/events"))["last"]
    await filled(ib, ref="seen")
    events = (await tws.get("/tws/events", after=seen, timeout=5))["events"]
    assert [e["status"] for e in events if e["kind"] == "order"] == ["PreSubmitted", "Filled", "Filled"]
    assert [e["quantity"] for e in events if e["kind"] == "execution"] == ["10"]
    assert all(e["received_ns"] < e["at_ns"] for e in events if e["kind"] == "order")
    assert [e["seq"] for e in events] == list(range(seen + 1, seen + 1 + len(events)))


# -- what happens to messages on their way out


ORDER = (
    *(0, "AAPL", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "", "", ""),
    *("BUY", 10, "MKT", "", "", "DAY", "", "", "", 0, "raw", 1, *[0] * 7),
    *([""] * 46 + [0, ""] + [""] * 6 + [0] + [""] * 24),
)
TOLD = ["open", "status", "execution", "open", "status", "open", "status", "commission"]
_NAMES = {"3": "status", "5": "open", "11": "execution", "59": "commission"}


async def told(tws: Tws) -> list[str]:
    """What a bare client is told of a market order, kind by kind in the order in which it comes."""
    async with wire(tws) as client:
        client.write(3, 1, *ORDER)
        client.write(49, 1)
        return [_NAMES[f[0]] for f in await client.frames(until="49") if f[0] in _NAMES]


async def test_what_is_told_of_a_market_order(tws: Tws) -> None:
    assert await told(tws) == TOLD


@pytest.mark.parametrize("what", ["open_order", "status", "execution", "commission"])
async def test_messages_may_come_twice(tws: Tws, what: str) -> None:
    kind = what.removesuffix("_order")
    await tws.post("/tws/duplicate", what=what, count=1)
    at = TOLD.index(kind)
    assert await told(tws) == [*TOLD[:at], kind, *TOLD[at:]]
    assert await tws.fired("duplicate" if what == "status" else f"duplicate_{what}") == 1


@pytest.mark.parametrize("what", ["open_order", "status", "execution", "commission"])
async def test_messages_may_be_lost(tws: Tws, what: str) -> None:
    await tws.post("/tws/lose", what=what, count=1)
    at = TOLD.index(what.removesuffix("_order"))
    assert await told(tws) == TOLD[:at] + TOLD[at + 1 :]
    assert await tws.fired(f"lose_{what}") == 1
    assert await told_again(tws) == {"execution", "commission"}


async def told_again(tws: Tws) -> set[str]:
    """What a client hears that asks for executions: the broker has lost nothing."""
    async with wire(tws, 6) as client:
        client.write(7, 3, 9, 0, "", "", "", "", "", "")
        return {_NAMES[f[0]] for f in await client.frames(until="55") if f[0] in _NAMES}


async def test_messages_may_come_in_another_order(tws: Tws) -> None:
    await tws.post("/tws/reorder", count=2)
    assert await told(tws) == ["status", "open", "open", "execution", *TOLD[4:]]
    assert await tws.fired("reorder") == 2


async def test_a_duplicate_execution_is_one_to_ib_async(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/duplicate", what="execution", count=1)
    trade = await filled(ib)
    assert [fill.execution.shares for fill in trade.fills] == [10]
    assert await tws.fired("duplicate_execution") == 1


async def test_everything_in_small_pieces_is_still_everything(tws: Tws) -> None:
    await tws.post("/tws/fragment", on=True)
    ib = await tws.connect(3)
    trade = await filled(ib)
    assert (trade.orderStatus.status, len(trade.fills)) == ("Filled", 1)
    bars = await ib.reqHistoricalDataAsync(AAPL, "", "2 D", "5 mins", "TRADES", True)
    assert len(bars) > 70
    assert await tws.fired("fragment") > 3
    await tws.post("/tws/fragment", on=False)
    assert (await filled(ib)).orderStatus.status == "Filled"


async def test_pieces_cut_a_frames_length_in_two(tws: Tws) -> None:
    await tws.post("/tws/fragment", on=True)
    async with wire(tws, client_id=None) as client:
        client.write(71, 2, 5, "")
        assert len(await client.reader.read(1 << 16)) < 4


async def test_garbage_in_a_frame_is_skipped_by_ib_async(tws: Tws, ib: IB) -> None:
    assert (await tws.post("/tws/garbage", bytes=300))["clients"] == 1
    assert (await filled(ib)).orderStatus.status == "Filled"
    assert await tws.fired("garbage") == 1


async def test_bare_garbage_reaches_one_client_alone(tws: Tws, ib: IB) -> None:
    async with wire(tws, 5) as client:
        await tws.post("/tws/garbage", bytes=40, framed=False, client=5)
        async with asyncio.timeout(PATIENCE_SECONDS):
            heard = b""
            while len(heard.rpartition(b"secdefil\0")[2]) < 40:
                heard += await client.reader.read(1 << 16)
    assert (await filled(ib)).orderStatus.status == "Filled"
    assert await tws.fired("garbage") == 1


async def test_garbage_that_nobody_gets_is_not_counted(tws: Tws) -> None:
    assert (await tws.post("/tws/garbage", client=5))["clients"] == 0
    assert await tws.fired("garbage") == 0


# -- a restart, and parts


async def test_a_restart_drops_everybody_and_order_ids_begin_anew(tws: Tws, ib: IB) -> None:
    used = (await filled(ib)).order.orderId
    working = await place(ib, resting(), "working")
    two = await tws.connect(2)
    gone = [asyncio.Event(), asyncio.Event()]
    for each, event in zip((ib, two), gone, strict=True):
        each.disconnectedEvent += event.set
    assert (await tws.post("/tws/restart", next=1))["dropped"] == 2
    for event in gone:
        await asyncio.wait_for(event.wait(), PATIENCE_SECONDS)
    async with wire(tws, 1) as client:
        client.write(8, 1, 1)
        assert (await client.frames(until="9"))[-1][2] == "1"
        client.write(16, 1)
        assert [f[1] for f in await client.frames(until="53") if f[0] == "3"] == [str(working.order.orderId)]
        client.write(3, used, *ORDER)  # an id of before is new again
        assert (await client.frames(until="59"))[-1][0] == "59"
    assert await tws.fired("restart") == await tws.fired("roll_back_ids") == 1


async def test_a_restart_may_keep_the_order_ids(tws: Tws, ib: IB) -> None:
    used = (await filled(ib)).order.orderId
    await tws.post("/tws/restart", next=None)
    async with wire(tws, 1) as client:
        client.write(8, 1, 1)
        assert int((await client.frames(until="9"))[-1][2]) > used
    assert (await tws.fired("restart"), await tws.fired("roll_back_ids")) == (1, 0)


async def test_orders_may_fill_in_parts(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/fills", mode="partial")
    trade = ib.placeOrder(AAPL, MarketOrder("BUY", 10))
    await until(ib, lambda: trade.orderStatus.status == "Filled" and len(trade.fills) == 3)
    assert [fill.execution.shares for fill in trade.fills] == [4, 4, 2]
    await until(ib, lambda: all(fill.commissionReport.execId for fill in trade.fills))
    assert sum(fill.commissionReport.commission for fill in trade.fills) == 1.0
    assert await tws.fired("partial") == 2
    whole = await place(ib, MarketOrder("BUY", 10, tif="FOK"))
    await until(ib, lambda: whole.orderStatus.status == "Filled")
    assert len(whole.fills) == 1


# -- what is counted, and when


async def test_what_is_armed_is_not_counted_before_it_happens(tws: Tws, ib: IB) -> None:
    for path, body in (
        ("fills", {"mode": "hold"}), ("cancels", {"mode": "hold"}), ("reject", {"count": 1}), ("commissions", {"mode": "late"}),
        ("delay", {"milliseconds": 1}), ("hang", {"on": False}), ("not_logged_in", {"on": True}), ("fragment", {"on": False}),
        ("reorder", {"count": 3}), ("lose", {"what": "commission"}), ("duplicate", {"what": "execution"}),
        ("stale", {"count": 1}), ("swallow", {"count": 1}), ("drop", {"client": 99}), ("message", {"code": 1100, "text": "gone"}),
    ):  # fmt: skip
        await tws.post(f"/tws/{path}", **body)
    fired = (await tws.get("/tws/counts"))["faults"]
    assert {name: count for name, count in fired.items() if name != "delay"} == {"message": 1}


async def held(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/fills", mode="hold")
    await place(ib, MarketOrder("BUY", 10), "held")
    tws.world.tws.tick()


async def cancel_held(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/cancels", mode="hold")
    ib.cancelOrder((await place(ib, resting())).order)
    await ib.reqCurrentTimeAsync()


async def rejected(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/reject")
    await place(ib, resting())


async def commission_mode(tws: Tws, ib: IB, mode: str) -> None:
    await tws.post("/tws/commissions", mode=mode)
    trade = await place(ib, MarketOrder("BUY", 10))
    await until(ib, lambda: trade.orderStatus.status == "Filled")


async def released(tws: Tws, ib: IB) -> None:
    await commission_mode(tws, ib, "late")
    [made] = (await tws.book())["executions"]
    await tws.post("/tws/commission", exec_id=made["exec_id"])


async def corrected(tws: Tws, ib: IB) -> None:
    trade = await filled(ib)
    await tws.post("/tws/correct", exec_id=trade.fills[0].execution.execId, price=150.5)


async def cancelled(tws: Tws, ib: IB) -> None:
    await place(ib, resting(), "c")
    await tws.post("/tws/cancel", order="c")


async def overfilled(tws: Tws, ib: IB) -> None:
    await place(ib, resting(5), "o")
    await tws.post("/tws/fill", order="o", quantity=8, overfill=True)


async def remarked(tws: Tws, ib: IB) -> None:
    await place(ib, resting(), "m")
    await tws.post("/tws/message", order="m", code=2109, text="heed")


async def by_hand(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/external", symbol="KO", side="BUY", quantity=1)


async def delayed(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/delay", milliseconds=1)
    await ib.reqCurrentTimeAsync()
    await tws.post("/tws/delay", milliseconds=0)


async def logged_out(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/not_logged_in", on=True)
    async with wire(tws, client_id=None) as client:
        client.write(71, 2, 5, "")
        seen = 0
        while 5 not in (await tws.get("/tws/counts"))["clients"]:
            seen = (await tws.get("/tws/events", after=seen, timeout=1))["last"]


async def dropped(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/drop")


async def refused(tws: Tws, ib: IB) -> None:
    await tws.post("/tws/refuse", on=True)


@pytest.mark.parametrize(
    ("happening", "name"),
    [
        (held, "fills_hold"), (cancel_held, "cancels_hold"), (rejected, "reject"), (released, "commission_late"),
        (released, "commission"), (corrected, "correct"), (cancelled, "cancel"), (overfilled, "overfill"), (remarked, "message"),
        (by_hand, "external"), (delayed, "delay"), (logged_out, "not_logged_in"), (dropped, "drop"), (refused, "refuse"),
    ],
)  # fmt: skip
async def test_every_fault_counts_when_it_happens(tws: Tws, ib: IB, happening: Any, name: str) -> None:
    assert await tws.fired(name) == 0
    await happening(tws, ib)
    assert await tws.fired(name) == 1


@pytest.mark.parametrize("mode", ["before", "never", "late"])
async def test_commission_modes_count(tws: Tws, ib: IB, mode: str) -> None:
    await commission_mode(tws, ib, mode)
    assert await tws.fired(f"commission_{mode}") == 1


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/tws/price", {}, "symbol"),
        ("/tws/price", {"symbol": "NOPE", "last": 1}, "no 'NOPE'"),
        ("/tws/price", {"symbol": "AAPL"}, "at least one"),
        ("/tws/price", {"symbol": "AAPL", "bid": 2, "ask": 1}, "not a market"),
        ("/tws/price", {"symbol": "AAPL", "last": -1}, "greater than 0"),
        ("/tws/price", {"symbol": "AAPL", "last": "nan"}, "last"),
        ("/tws/fills", {"mode": "often"}, "'auto', 'partial' or 'hold'"),
        ("/tws/drop", {"clients": 1}, "Extra inputs"),
        ("/tws/correct", {"exec_id": "x"}, "no execution"),
        ("/tws/commission", {"exec_id": "x"}, "no execution"),
        ("/tws/accounts", {"add": "Bob"}, "pattern"),
        ("/clock", {"advance": -1}, "greater than or equal to 0"),
    ],
)
async def test_what_is_wrong_with_a_request_is_said(
    tws: Tws, path: str, body: dict[str, object], said: str
) -> None:
    assert said in (await tws.post(path, status=400, **body))["error"]
