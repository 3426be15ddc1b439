"""What stops everything overtakes what its owner asked before, and nothing else does."""

import asyncio

from tests.kit import House


async def test_halt_overtakes_a_preview_that_the_broker_keeps_waiting(live: House) -> None:
    """While a /buy waits for the broker's what-if, /halt is done and answered; the next ordinary line still waits behind it."""
    phone = live.phone
    await live.control.post("/tws/what_if_silent", count=1)
    bought = await phone.says("/buy AAPL 10")
    await phone.says("/whoami")
    asked = await phone.says("/halt")
    await phone.hears("(?i)halt", after=asked)
    answers = [m["text"] for m in await phone.chat() if m["from"] == "bot" and m["id"] > bought]
    assert len(answers) == 1, answers
    print([m["text"][:300] for m in await phone.chat()])
    card = await phone.hears("BUY 10 AAPL|AAPL", after=asked + 1)
    assert "Send" not in [b["text"] for row in card["buttons"] for b in row]
    print(card["text"]); assert 0
    assert not (await live.control.book())["orders"]
    await asyncio.wait_for(phone.settled(), 10)
