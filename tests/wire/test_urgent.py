"""What stops everything overtakes what its owner asked before, and nothing else does."""

import asyncio

from tests.kit import PATIENCE_SECONDS, House


async def test_halt_overtakes_a_preview_that_the_broker_keeps_waiting(live: House) -> None:
    """While a /buy waits for the broker's what-if, /halt is done and answered; the ordinary line between them waits its turn."""
    phone, counts = live.phone, {}
    await live.control.post("/tws/what_if_silent", count=1)
    bought = await phone.says("/buy AAPL 10")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while "what_if_silent" not in counts:
            counts = (await live.control.get("/tws/counts"))["faults"]
    await phone.says("/whoami")
    asked = await phone.says("/halt")
    await phone.hears("HALTED", after=asked)
    answers = [m["text"] for m in await phone.chat() if m["from"] == "bot" and m["id"] > bought]
    assert len(answers) == 1, answers
    await live.control.post("/tws/drop")  # ends the waiting sooner than the bot's patience does
    await phone.hears("Your id", after=asked)
    assert not (await live.control.book())["orders"]
