"""kill -9 between tap and fill: never two orders from one card, and what the chat says is what the broker's book says."""

import asyncio
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.kit import House, end


def orders_on_disk(state: Path) -> list[tuple[str, str]]:
    """(order_ref, state) of every order that the bot wrote down."""
    books = sqlite3.connect(state / "greenlight.db")
    try:
        return list(
            books.execute("SELECT order_ref, state FROM orders WHERE owner IS NOT NULL ORDER BY number")
        )
    finally:
        books.close()


async def agree(house: House) -> None:
    """Chat, disk and broker tell one story: at most one order a card, and the same end."""
    book = await house.control.book()
    at_broker = {o["ref"]: o["status"] for o in book["orders"]}
    assert len(at_broker) == len(book["orders"]), "two orders from one card"
    words = {"Filled": "FILLED", "Submitted": "WORKING", "PreSubmitted": "WORKING", "Cancelled": "CANCELLED"}
    on_disk = dict(orders_on_disk(house.state))
    assert {ref: words[status] for ref, status in at_broker.items()} == {
        ref: state for ref, state in on_disk.items() if state != "UNKNOWN"
    }
    assert not [ref for ref, state in on_disk.items() if state == "UNKNOWN" and ref in at_broker]


@pytest.mark.parametrize("delay_ms", [0, 2, 4, 8, 30])
async def test_killed_some_time_after_the_tap(house: House, delay_ms: int) -> None:
    """Killed at a moment after the tap and started again, the bot ends with one order or none, and says which."""
    process = await house.spawn()
    await house.ready()
    card = await house.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    await house.phone.taps("Send", card)
    # The moment itself is what is tested here, so this wait is the arrangement and not a hope.
    await asyncio.sleep(delay_ms / 1000)
    await end(process, signal.SIGKILL)
    process = await house.spawn()
    try:
        # Whatever happened, the same card tapped again is one order at most, and everything comes to rest.
        await house.phone.hears("Connected", after=card["id"])
        await house.phone.settled()
        data = card["buttons"][0][0]["data"]
        await house.control.post("/telegram/press", message_id=card["id"], data=data, late=True)
        shown = await house.phone.sees(
            lambda m: m["id"] == card["id"] and ("FILLED" in m["text"] or "UNKNOWN" in m["text"])
        )
        assert len((await house.control.book())["orders"]) <= 1
        if "FILLED" in shown["text"]:
            assert len((await house.control.book())["orders"]) == 1
            await house.phone.hears("FILLED BUY 10 AAPL|While you were away.*FILLED", after=card["id"])
        await house.phone.settled()
    finally:
        await end(process)
    await agree(house)


async def test_killed_while_the_order_works(house: House) -> None:
    """An order that fills while the bot is dead is announced once, after the next start."""
    await house.control.post("/tws/fills", mode="hold")
    process = await house.spawn()
    await house.ready()
    card = await house.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    await house.phone.taps("Send", card)
    await house.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])
    await end(process, signal.SIGKILL)
    (order,) = (await house.control.book())["orders"]
    await house.control.post("/tws/fill", order=order["ref"])
    process = await house.spawn()
    try:
        await house.phone.hears("While you were away.*BUY 10 AAPL.*FILLED 10/10", after=card["id"])
        await house.phone.sees(lambda m: m["id"] == card["id"] and "FILLED" in m["text"])
        trades = await house.phone.asks("/trades", "Trades")
        assert trades["text"].count("BUY 10 AAPL") == 1
    finally:
        await end(process)
    await agree(house)


async def test_order_that_never_reached_the_broker(house: House) -> None:
    """An order that was lost on its way is UNKNOWN, is never sent again, and is settled once two snapshots prove it absent."""
    process = await house.spawn()
    await house.ready()
    card = await house.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    await house.control.post("/tws/swallow", count=1)
    await house.phone.taps("Send", card)
    await house.phone.sees(lambda m: m["id"] == card["id"] and "UNKNOWN" in m["text"])
    await end(process, signal.SIGKILL)
    process = await house.spawn()
    try:
        await house.phone.hears("Connected", after=card["id"])
        await house.phone.hears("Not at the broker.*never reached", after=card["id"])
        await house.phone.asks("/orders", "No open orders")
    finally:
        await end(process)
    assert (await house.control.get("/tws/counts"))["faults"]["swallow"] == 1
    assert (await house.control.book())["orders"] == []


async def test_acknowledgement_lost_with_the_process(house: House) -> None:
    """An order that the broker booked without a word is found again by its order_ref after the restart."""
    process = await house.spawn()
    await house.ready()
    card = await house.phone.asks("/buy AAPL 10 @ 150", "BUY 10 AAPL @ 150")
    await house.control.post("/tws/no_ack", count=1)
    await house.phone.taps("Send", card)
    seen = 0
    while not (await house.control.book())["orders"]:
        seen = (await house.control.get("/tws/events", after=seen, timeout=5))["last"]
    await end(process, signal.SIGKILL)
    process = await house.spawn()
    try:
        await house.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])
    finally:
        await end(process)
    await agree(house)


async def test_second_instance_is_refused(house: House) -> None:
    """A second bot on the same database ends at once with one clear line."""
    first = await house.spawn()
    await house.ready()
    second = await house.spawn()
    _, errors = await second.communicate()
    assert second.returncode == 1
    assert "Another Greenlight uses" in errors.decode()
    assert "Traceback" not in errors.decode()
    assert (await end(first))[0] == 0


async def test_sigterm_ends_within_ten_seconds(house: House) -> None:
    """SIGTERM ends the bot well within ten seconds, even while Telegram and the broker hang."""
    process = await house.spawn()
    await house.ready()
    await house.control.post("/tws/half_open", on=True)
    await house.control.post("/telegram/fault", kind="black_hole")
    async with asyncio.timeout(10):
        code, errors = await end(process)
    assert code == 0, errors
