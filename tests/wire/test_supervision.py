"""The road to the broker is watched: what the broker does at night, what it forgets, and what waits for what."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bot.app import running
from core.errors import SecondInstance
from tests.kit import House, WorldClock

NEW_YORK = ZoneInfo("America/New_York")


async def requests(house: House, name: str) -> int:
    """How often the broker was asked something."""
    return int((await house.control.get("/tws/counts"))["requests"].get(name, 0))


async def asked_again(house: House, name: str, before: int) -> None:
    """Wait until the broker was asked once more."""
    async with asyncio.timeout(15):
        seen = 0
        while await requests(house, name) <= before:
            seen = (await house.control.get("/tws/events", after=seen, timeout=1))["last"]


async def at_night(house: House, weekday: int, hour: int, minute: int) -> None:
    """Move the clock to the next such moment in New York."""
    now = datetime.fromisoformat((await house.control.get("/clock"))["now"]).astimezone(NEW_YORK)
    then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    while then <= now or then.weekday() != weekday:
        then += timedelta(days=1)
    await house.control.post("/clock", advance=(then.astimezone(UTC) - now.astimezone(UTC)).total_seconds())


async def test_a_cancel_waits_for_no_comparison(house: House) -> None:
    """While the broker takes two seconds for every answer and the books are being compared, a cancel leaves at once."""
    async with house.bot() as desk:
        await house.ready()
        card = await house.phone.asks("/buy AAPL 10 @ 150", "BUY 10 AAPL")
        await house.phone.taps("Send", card)
        await house.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])
        await house.control.post("/tws/delay", milliseconds=2000)
        before = await requests(house, "all_open_orders")
        desk.executor._doubt.set()  # what a silence does: compare now
        await asked_again(house, "all_open_orders", before)
        begun = time.perf_counter()
        await house.phone.says("/cancel 1")
        await asked_again(house, "cancel_order", 0)
        assert time.perf_counter() - begun < 1.0
        await house.phone.hears("Cancelled BUY 10 AAPL")


async def test_data_lost_subscribes_anew(live: House) -> None:
    """1101 says that the broker has forgotten the subscriptions: the account is subscribed again, and so is the next quote."""
    await live.phone.asks("/buy AAPL 1 preview", "BUY 1 AAPL")
    account, quotes = await requests(live, "account_updates"), await requests(live, "market_data")
    await live.control.post(
        "/tws/message", code=1100, text="Connectivity between IBKR and TWS has been lost."
    )
    await live.control.post("/tws/message", code=1101, text="Connectivity has been restored - data lost.")
    await asked_again(live, "account_updates", account)
    await live.phone.asks("/buy AAPL 2 preview", "BUY 2 AAPL")
    await asked_again(live, "market_data", quotes)


async def test_a_silent_account_is_asked_again(live: House) -> None:
    """Figures of the account come every three minutes; after four without any they are subscribed anew."""
    before = await requests(live, "account_updates")
    await live.control.post("/clock", advance=241)
    await asked_again(live, "account_updates", before)


async def test_a_data_farm_blip_is_no_alarm(live: House) -> None:
    """2103 and 2104: /status says which farm is interrupted, nobody is woken, orders work, and it passes."""
    chat = len(await live.phone.chat())
    await live.control.post("/tws/message", code=2103, text="Market data farm connection is broken:usfarm")
    await live.phone.asks("/status", "data farm usfarm is interrupted")
    await live.control.post("/tws/message", code=2104, text="Market data farm connection is OK:usfarm")
    status = await live.phone.asks("/status", "Broker connected")
    assert "farm" not in status["text"]
    assert len(await live.phone.chat()) == chat + 4, "two questions, two answers, and nothing else"


@pytest.mark.parametrize(
    ("weekday", "hour", "minute", "sentence"),
    [
        (1, 23, 50, "every night"),
        (2, 0, 30, "every night"),
        (4, 23, 10, "every night"),
        (6, 10, 0, "Once a week, after Sunday"),
    ],
)
async def test_nightly_window_and_weekly_login(
    house: House, weekday: int, hour: int, minute: int, sentence: str
) -> None:
    """A connection that goes at the broker's own hours is explained by them."""
    await at_night(house, weekday, hour, minute)
    async with house.bot():
        await house.ready()
        await house.control.post("/tws/refuse", on=True)
        await house.control.post("/tws/drop")
        await house.phone.hears(f"Broker not reachable.*{sentence}")


async def test_a_dead_link_is_found_within_fifteen_seconds(house: House) -> None:
    """Half-open: the socket stands and nothing answers; that is found, said once, and healed when the line is back."""
    async with house.bot():
        await house.ready()
        begun = time.monotonic()
        await house.control.post("/tws/half_open", on=True)
        await house.phone.hears("Broker not reachable")
        assert time.monotonic() - begun < 15
        await house.control.post("/tws/half_open", on=False)
        await house.phone.hears(
            "Connected.*SIMULATED", after=(await house.phone.hears("Broker not reachable"))["id"]
        )
        assert (await house.control.get("/tws/counts"))["faults"]["half_open"] >= 1


async def test_telegram_409_stops_the_second_one(house: House) -> None:
    """Another program polls with the same token for a minute: this one says so to its owner and ends; two could act on one tap."""
    async with running(house.settings(), WorldClock(house.world)) as (_, life):
        await house.ready()
        await house.control.post("/telegram/fault", kind="409", method="getUpdates", count=1000)
        await house.phone.says("/status")
        await asyncio.wait_for(_refused(house, 2), 15)
        await house.control.post("/clock", advance=61)
        await house.phone.hears("Greenlight stops.*Another program takes the messages")
        with pytest.raises(BaseExceptionGroup) as ended:
            await asyncio.wait_for(asyncio.shield(life), 15)
        assert ended.group_contains(SecondInstance)


async def _refused(house: House, times: int) -> None:
    seen = 0
    while (await house.control.get("/telegram/counts"))["faults"].get("409", 0) < times:
        seen = (await house.control.get("/telegram/events", after=seen, timeout=1))["last"]


async def test_a_short_409_is_waited_for(house: House) -> None:
    """A poll that a restart left behind is over in seconds: nothing stops for that."""
    async with house.bot():
        await house.ready()
        await house.control.post("/telegram/fault", kind="409", method="getUpdates", count=2)
        await house.phone.asks("/status", "Broker connected")
        assert (await house.control.get("/telegram/counts"))["faults"]["409"] == 2
