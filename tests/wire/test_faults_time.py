"""What comes twice, late, out of order or at the wrong time: one order for one approval, each fill once, and the chat says so."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from bot.app import running
from core.errors import SecondInstance
from tests.kit import PATIENCE_SECONDS, House, Json, WorldClock, end
from tests.wire.faults import agree, approve, approve_when_compared, at_broker, fired, resting, said


def data_of(card: Json, label: str = "Send") -> str:
    """What a button of a message sends."""
    return next(str(b["data"]) for row in card["buttons"] for b in row if b["text"] == label)


async def again(house: House, card: Json, times: int = 1) -> None:
    """The same button as it was, once more, from a device that still shows it."""
    await house.control.post(
        "/telegram/press", message_id=card["id"], data=data_of(card), late=True, repeat=times
    )


async def presses(house: House) -> int:
    """How many taps Telegram has delivered to the bot or keeps for it."""
    events = (await house.control.get("/telegram/events", after=0))["events"]
    return sum(len(e["update_ids"]) for e in events if e["kind"] == "press")


async def test_double_tap_from_two_devices(live: House) -> None:
    """Two taps on one card at the same moment, each a query of its own: one order, and the other tap is told so."""
    card = await live.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    await asyncio.gather(again(live, card), again(live, card))
    await live.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
    assert "already" in await live.phone.hears_toast("already")
    assert await presses(live) == 2
    assert len((await agree(live)).book["orders"]) == 1


async def test_late_tap(live: House) -> None:
    """A tap after the card's end, and one that was made in time and reached the bot after it: neither sends, both get a card of now."""
    card = await live.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    await live.control.post("/clock", advance=121)
    await again(live, card)
    fresh = await live.phone.hears("too old to send.*BUY 10 AAPL", after=card["id"])
    await live.control.post("/clock", advance=60)
    await live.control.post("/telegram/fault", kind="outage", method="getUpdates")
    await again(live, fresh)
    await live.control.post("/clock", advance=70)
    await live.control.post("/telegram/fault", kind="clear")
    await live.phone.hears("too old to send.*BUY 10 AAPL", after=fresh["id"])
    assert await presses(live) == 2
    assert (await agree(live)).book["orders"] == []
    await fired(live, "telegram", outage=1)


async def test_replayed_callback(house: House) -> None:
    """The very same callback is delivered again: at once, after the fill, and after a restart. It is one order."""
    async with house.bot():
        await house.ready()
        card = await house.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
        await again(house, card, times=3)
        await house.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
        await again(house, card, times=2)
        await house.phone.settled()
    await again(house, card, times=2)
    async with house.bot():
        await house.phone.settled()
        assert await presses(house) == 7
        assert len((await agree(house)).book["orders"]) == 1
        assert await said(house, "FILLED BUY 10 AAPL at") == 1


@pytest.mark.parametrize(
    ("route", "body", "counted"),
    [
        ("duplicate", {"what": "status", "count": 9}, "duplicate"),
        ("duplicate", {"what": "open_order", "count": 9}, "duplicate_open_order"),
        ("duplicate", {"what": "execution", "count": 9}, "duplicate_execution"),
        ("duplicate", {"what": "commission", "count": 9}, "duplicate_commission"),
        ("reorder", {"count": 9}, "reorder"),
        ("stale", {"count": 1}, "stale"),
        ("fill_first", {"count": 1}, "fill_first"),
    ],
)
async def test_duplicated_or_reordered_statuses(live: House, route: str, body: Json, counted: str) -> None:
    """Whatever comes twice or in another order is booked once, and what is over stays over."""
    await live.control.post(f"/tws/{route}", **body)
    card = await approve(live, "/buy AAPL 10", "BUY 10 AAPL")
    await live.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
    books = await agree(live)
    assert len(books.tables["executions"]) == len(books.tables["commissions"]) == 1
    assert await said(live, "FILLED BUY 10 AAPL at") == 1
    await fired(live, "tws", **{counted: 1})


async def test_overfill(live: House) -> None:
    """The broker fills two more than was ordered: it is booked and shown as it is, and those two can be sold."""
    card = await resting(live, "/buy MSFT 10 @ 300")
    (order,) = await at_broker(live, 1)
    await live.control.post("/tws/fill", order=order["ref"], quantity=12, overfill=True)
    await live.phone.hears("BUY 10 MSFT.*12", after=card["id"])
    books = await agree(live)
    (row,) = books.tables["orders"]
    assert row["state"] == "FILLED"
    assert Decimal(row["filled"]) == Decimal(12)
    assert (await live.phone.asks("/sell MSFT all", "SELL 12 MSFT"))["buttons"]
    await fired(live, "tws", overfill=1)


async def test_order_ids_restarting_at_1(house: House) -> None:
    """Ids begin anew while an order of before still works: a new one with its id is another order, a cancel of each ends that one only."""
    async with house.bot():
        await house.ready()
        await resting(house)
    await house.control.post("/tws/roll_back_ids", next=1)
    said_before = (await house.phone.chat())[-1]["id"]
    async with house.bot():
        await house.phone.hears("Connected", after=said_before)
        await resting(house, "/buy MSFT 5 @ 300")
        one, two = await at_broker(house, 2)
        assert one["perm_id"] != two["perm_id"]
        await house.control.post("/tws/fill", order=two["ref"])
        await house.phone.hears("FILLED BUY 5 MSFT")
        assert not await said(house, "FILLED BUY 10 AAPL")
        await house.phone.says("/cancel 1")
        await house.phone.hears("Cancelled BUY 10 AAPL")
        books = await agree(house)
        assert [o["status"] for o in books.book["orders"]] == ["Cancelled", "Filled"]
        await fired(house, "tws", roll_back_ids=1)


class Adjusted(WorldClock):
    """A system clock that somebody sets; durations go on as they were."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


@pytest.mark.parametrize(
    "jump", [timedelta(hours=-1), timedelta(days=-2), timedelta(hours=1), timedelta(days=2)], ids=str
)
async def test_clock_jumps(house: House, jump: timedelta) -> None:
    """The computer's clock is set while one order works and another is on its way: both are found, nothing is sent twice, new orders leave."""
    clock = Adjusted(house.world)
    async with running(house.settings(), clock) as (_, life):
        await house.ready()
        await resting(house)
        card = await house.phone.asks("/buy MSFT 5 @ 300", "BUY 5 MSFT")
        clock.ahead = jump
        await again(house, card)
        await house.phone.settled()
        await house.control.post("/tws/drop")
        await house.phone.hears("Connected", after=card["id"])
        await approve_when_compared(house, "/buy AAPL 1", "BUY 1 AAPL at")
        await house.phone.hears("FILLED BUY 1 AAPL")
        for order in (await house.control.book())["orders"]:
            if order["status"] == "Submitted":
                await house.control.post("/tws/fill", order=order["ref"])
        await house.phone.hears("FILLED BUY 10 AAPL")
        books = await agree(house)
        assert len([o for o in books.book["orders"] if o["symbol"] == "MSFT"]) <= 1
        assert not life.done()
        await fired(house, "tws", drop=1)


async def disputes(house: House, count: int) -> None:
    """Wait until Telegram has refused so many polls because of another one."""
    seen = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while count > 0:
            told = await house.control.get("/telegram/events", after=seen, timeout=5)
            count -= sum(e["kind"] == "refused" and e["error_code"] == 409 for e in told["events"])
            seen = told["last"]


async def test_two_instances_on_one_database(house: House) -> None:
    """The second one ends with one line; the first one's order is one order."""
    first = await house.spawn()
    await house.ready()
    card = await house.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    second = await house.spawn()
    _, errors = await second.communicate()
    assert second.returncode == 1
    assert "Another Greenlight uses" in errors.decode()
    await again(house, card, times=2)
    await house.phone.hears("FILLED BUY 10 AAPL")
    assert len((await agree(house)).book["orders"]) == 1
    assert (await end(first))[0] == 0


async def test_two_instances_on_one_account(house: House) -> None:
    """Another database, the same bot and the same client id: the second stands by at the broker, both lose the dispute over messages after a minute, and a card is one order at most."""
    async with running(house.settings(), WorldClock(house.world)) as (_, first):
        await house.ready()
        card = await house.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
        other = house.settings(database_path=house.state / "other.db")
        async with running(other, WorldClock(house.world)) as (desk, second):
            await again(house, card, times=2)
            await disputes(house, 2)
            await house.phone.hears(
                "in use"
            )  # whichever of the two loses the messages first, this one had stood by
            await house.control.post("/clock", advance=61)
            async with asyncio.timeout(15):
                done, _ = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
            for life in done:
                ended = life.exception()
                assert isinstance(ended, BaseExceptionGroup)
                assert ended.subgroup(SecondInstance) is not None
            assert not desk.broker.link.connected
    assert len((await house.control.book())["orders"]) <= 1
