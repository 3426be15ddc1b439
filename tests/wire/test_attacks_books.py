"""Attacks on what is counted: no trade, correction or tap makes the books say something else than the broker, or lifts what they block."""

from decimal import Decimal

import pytest

from core.model import OrderState
from sim.tws.codec import message
from tests.kit import House, Json
from tests.wire.attacks import (
    compared,
    cut,
    desk_of,
    during_a_comparison,
    filled,
    heard,
    holding,
    later,
    only,
    orders,
    resting,
)
from tests.wire.faults import approve
from tests.wire.test_drift import traded_elsewhere

ACCOUNT = "DU1234567"


async def alarmed(house: House) -> Json:
    """The message about shares that the books do not explain, after two comparisons that found them."""
    await house.ready()
    await compared(house)
    await later(house)
    await compared(house)
    return await house.phone.hears("AAPL: the broker holds .*, the books explain")


async def reckoned(house: House) -> tuple[Decimal, Decimal]:
    """How many AAPL the books explain: (in memory, on disk)."""
    desk = desk_of(house)
    memory = desk.executor._book._reckoned or {}
    con_id = next(con_id for con_id, (symbol, _, _) in memory.items() if symbol == "AAPL")
    return memory[con_id][2], (await desk.ledger.reckoned(ACCOUNT))[con_id][2]


async def alarms(house: House) -> list[Json]:
    """Every message that the broker holds what the books do not explain."""
    return [m for m in await house.phone.chat() if "the books explain" in m["text"] and m["from"] == "bot"]


async def test_taking_over_after_a_trade(house: House) -> None:
    """Five too many, a sale of one, then the tap: the difference is taken over, and nothing alarms whose tap would write a wrong figure."""
    await traded_elsewhere(house)
    async with house.bot() as desk:
        told = await alarmed(house)
        await filled(house, "/sell AAPL 1", "SELL 1 AAPL")
        await house.phone.taps(told["buttons"][0][0]["text"], told)
        await house.phone.hears("The books have the broker's")
        await compared(house)
        await later(house)
        await compared(house)
        held = await holding(house)
        assert await reckoned(house) == (held, held)
        assert desk.executor.drifts == ()
        await house.phone.asks("/status", "Broker connected")
        assert len(await alarms(house)) == 1


async def test_a_trade_does_not_lift_the_block(house: House) -> None:
    """A sale moves both figures, and the difference is what it was: buying stays blocked, and nobody is alarmed a second time."""
    await traded_elsewhere(house)
    async with house.bot():
        await alarmed(house)
        await filled(house, "/sell AAPL 1", "SELL 1 AAPL")
        await compared(house)
        assert not (await house.phone.asks("/buy AAPL 1", "BUY 1 AAPL"))["buttons"]
        await later(house)
        await compared(house)
        assert not (await house.phone.asks("/buy AAPL 1", "BUY 1 AAPL"))["buttons"]
        assert len(await alarms(house)) == 1


async def test_a_correction_and_its_original_in_one_answer(live: House) -> None:
    """Traded in TWS and corrected while the line was cut: the trade counts once, and is told once."""
    await compared(live)
    await cut(live)
    await live.control.post("/tws/external", symbol="AAPL", side="BUY", quantity=5)
    (*_, made) = (await live.control.book())["executions"]
    await live.control.post("/tws/correct", exec_id=made["exec_id"], price=100)
    await live.control.post("/tws/refuse", on=False)
    told = await live.phone.hears("While you were away")
    assert told["text"].count("Traded elsewhere") == 1
    await compared(live)
    await later(live)
    await compared(live)
    held = await holding(live)
    assert await reckoned(live) == (held, held)
    assert desk_of(live).executor.drifts == ()


async def test_a_correction_of_an_order_that_moves_meanwhile(live: House) -> None:
    """Eight of ten sold and corrected to five, of which only the next answer tells, while the order is being changed: five are on sale, not two."""
    await live.control.post("/tws/fills", mode="hold")
    await resting(live, "/sell AAPL 10 @ 300", "SELL 10 AAPL")
    (order,) = await orders(live)
    made = await live.control.post("/tws/fill", order=order["ref"], quantity=8)
    await live.phone.hears("8/10")
    await heard(live)
    await live.control.post("/tws/lose", what="execution", count=1)
    await live.control.post("/tws/correct", exec_id=made["exec_id"], quantity=5)
    async with during_a_comparison(live):
        card = await approve(live, "/modify 1 @ 301", "CHANGE #1")
        await live.phone.sees(lambda m: m["id"] == card["id"] and "Changed." in m["text"])
    await compared(live)
    (order,) = await orders(live)
    assert Decimal(order["filled"]) == 5
    assert only(live).filled == only(live).remaining == 5


async def test_many_trades_while_away(live: House) -> None:
    """A hundred trades of one gap are more than a message holds: it comes all the same, and all of them are in the books."""
    await compared(live)
    await cut(live)
    for _ in range(120):
        await live.control.post("/tws/external", symbol="AAPL", side="BUY", quantity=1)
    await live.control.post("/tws/refuse", on=False)
    await live.phone.hears("While you were away")
    await compared(live)
    held = await holding(live)
    assert await reckoned(live) == (held, held)
    assert not [o for o in desk_of(live).executor.orders if o.state is OrderState.UNKNOWN]


async def claimed(house: House, order: Json, filled_: int, status: str = "Submitted") -> None:
    """The broker says that so many of an order are filled, which nothing else of it bears out; that was heard and judged."""
    client = desk_of(house).broker.link.client_id
    frame = message(3, only(house).order_id, status, filled_, 0, 150, order["perm_id"], 0, 150, client, "", 0)
    assert house.world.tws.garbage(frame) == 1
    await heard(house)


@pytest.mark.parametrize("status", ["Submitted", "Filled"])
async def test_more_than_the_order_has_is_not_believed(live: House, status: str) -> None:
    """A status claims twelve of ten: the order works on, four that are truly filled are counted as four, and it can be cancelled."""
    await live.control.post("/tws/fills", mode="hold")
    await resting(live)
    (order,) = await orders(live)
    await claimed(live, order, 12, status)
    await claimed(live, order, 12, status)
    assert (only(live).state, only(live).filled) == (OrderState.WORKING, Decimal(0))
    await live.control.post("/tws/fill", order=order["ref"], quantity=4)
    await heard(live)
    await compared(live)
    assert (only(live).state, only(live).filled) == (OrderState.PARTIAL, Decimal(4))
    await live.phone.says("/cancel 1")
    await live.phone.hears("Cancelled BUY 10 AAPL")
    assert not [m for m in await live.phone.chat() if "FILLED BUY" in m["text"]]


async def test_an_overfill_whose_execution_was_lost_is_asked_for(live: House) -> None:
    """Twelve of ten are filled and the message of it is lost: the claim is not believed, but looked into, and the executions say that it is true."""
    await resting(live)
    (order,) = await orders(live)
    await live.control.post("/tws/lose", what="execution", count=1)
    await live.control.post("/tws/fill", order=order["ref"], quantity=12, overfill=True)
    await live.phone.hears("FILLED BUY 10 AAPL")
    await compared(live)
    row = await desk_of(live).ledger.order(number=1)
    assert row is not None
    assert (row.state, row.filled) == (OrderState.FILLED, Decimal(12))
    assert await desk_of(live).ledger.trades(1), "it was booked by its execution, not by the claim"
