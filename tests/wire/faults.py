"""What every test of a fault needs: that the world says it really happened, and that file, broker and chat tell one story when all has come to rest."""

import asyncio
import re
import sqlite3

from tests.crash import oracle
from tests.crash.stage import ON_ITS_WAY
from tests.kit import PATIENCE_SECONDS, House, Json


async def fired(house: House, server: str, **least: int) -> None:
    """At least so many of these faults have really happened, as `tws`, `telegram` or `model` counts them. Names that begin with a digit are written with an underscore in front."""
    counts = await house.control.get(f"/{server}/counts")
    faults = counts["faults"]["fired"] if server == "model" else counts["faults"]
    for name, count in least.items():
        assert faults.get(name.lstrip("_"), 0) >= count, (name, faults)


async def approve(house: House, line: str, pattern: str) -> Json:
    """A card that was asked for and sent; its message as it was before."""
    card = await house.phone.asks(line, pattern)
    await house.phone.taps("Send", card)
    return card


async def approve_when_compared(house: House, line: str, pattern: str) -> Json:
    """The same as soon as the books have been compared: until then a card says why nothing can be sent."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (card := await house.phone.asks(line, pattern))["buttons"]:
            pass
    await house.phone.taps("Send", card)
    return card


async def at_broker(house: House, count: int) -> list[Json]:
    """Wait until the broker has so many orders."""
    seen = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(orders := (await house.control.book())["orders"]) < count:
            seen = (await house.control.get("/tws/events", after=seen, timeout=1))["last"]
    return list(orders)


async def resting(house: House, line: str = "/buy AAPL 10 @ 150") -> Json:
    """An order that works at the broker; its card."""
    card = await approve(house, line, "BUY")
    return await house.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])


async def said(house: House, pattern: str) -> int:
    """How many messages of the bot have `pattern`."""
    return sum(1 for m in await house.phone.chat() if m["from"] == "bot" and re.search(pattern, m["text"]))


async def in_file(house: House, question: str) -> None:
    """Wait until the bot's file answers the question with a row."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        seen = 0
        while not _ask(house, question):
            seen = (await house.control.get("/tws/events", after=seen, timeout=0.1))["last"]


async def agree(house: House) -> oracle.Books:
    """Wait until nothing is on its way, and hold the three books against each other: one order at most for each approval, each fill once, all of it told."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        seen = 0
        while await _on_its_way(house):
            seen = (await house.control.get("/telegram/events", after=seen, timeout=0.1))["last"]
    events = (await house.control.get("/telegram/events", after=0))["events"]
    tables = oracle.read(house.state / "greenlight.db")
    cards = {ticket["ticket_id"] for ticket in tables["tickets"]}
    tapped = [name for e in events if e["kind"] == "press" for name in e["data"].split(":")[1:2]]
    books = oracle.Books(
        book=await house.control.book(),
        chat=await house.phone.chat(),
        said=[str(e.get("text", "")) for e in events],
        tables=tables,
        approved=[name for name in tapped if name in cards],
        waiting=0,
        complaints=[],
        log="",
    )
    found = oracle.differences(books)
    assert not found, "\n".join(found)
    return books


async def _on_its_way(house: House) -> bool:
    waiting = (await house.control.get("/telegram/counts"))["waiting"]
    return bool(waiting) or any(_ask(house, question) for _, question in ON_ITS_WAY)


def _ask(house: House, question: str) -> list[object]:
    books = sqlite3.connect(f"file:{house.state / 'greenlight.db'}?mode=ro", uri=True)
    try:
        return list(books.execute(question))
    finally:
        books.close()
