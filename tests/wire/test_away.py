"""After a gap the owner hears once what happened meanwhile: fills, cancels, trades elsewhere, proposals whose time ran out."""

from tests.kit import House
from tests.wire.test_analyze import scripted, with_model


async def resting(house: House, line: str) -> None:
    """An order that works."""
    card = await house.phone.asks(line, "BUY")
    await house.phone.taps("Send", card)
    await house.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])


async def test_one_message_for_all_of_it(house: House) -> None:
    """A resting order is filled, another is cancelled, somebody trades in TWS and a proposal expires while Greenlight is off."""
    await scripted(house, {"verdict": "BUY", "confidence": 90})
    async with house.bot(**with_model(house)):
        await house.ready()
        for line in ("/buy AAPL 10 @ 150", "/buy KO 5 @ 50"):
            await resting(house, line)
        last = await house.phone.asks("/analyze MSFT", "BUY MSFT.*confidence 90%")
    orders = {o["symbol"]: o["ref"] for o in (await house.control.book())["orders"]}
    await house.control.post("/tws/fill", order=orders["AAPL"])
    await house.control.post("/tws/cancel", order=orders["KO"], reason="test")
    await house.control.post("/tws/external", symbol="MSFT", side="BUY", quantity=3)
    await house.control.post("/clock", advance=1000)
    async with house.bot(**with_model(house)):
        told = await house.phone.hears("While you were away", after=last["id"])
        assert "BUY 10 AAPL @ 150.00 DAY\n   #1 · ✅ FILLED 10/10" in told["text"]
        assert "BUY 5 KO @ 50.00 DAY\n   #2" in told["text"]
        assert "Traded elsewhere: BUY 3 MSFT @" in told["text"]
        assert "Proposal expired: BUY" in told["text"]
        await house.phone.asks("/positions", "Positions")
        again = [m for m in await house.phone.chat() if "While you were away" in m["text"]]
        assert len(again) == 1
    async with house.bot(**with_model(house)):
        await house.phone.hears("Connected", after=again[0]["id"])
        await house.phone.asks("/status", "Broker connected")
        assert len([m for m in await house.phone.chat() if "While you were away" in m["text"]]) == 1


async def test_a_trade_elsewhere_is_told_without_a_gap_too(live: House) -> None:
    """Somebody trades in TWS while Greenlight listens: one line, and the books have it."""
    await live.phone.asks("/positions", "Positions")
    await live.control.post("/tws/external", symbol="MSFT", side="BUY", quantity=3)
    await live.control.post("/clock", advance=61)
    await live.phone.hears("Traded elsewhere: BUY 3 MSFT|FILLED BUY 3 MSFT")
