"""Entries with a stop and a target, and sales of what they protect, on real wires."""

import asyncio
import re
import signal

from tests.kit import House, end


async def bought_with_bracket(house: House) -> dict[str, object]:
    """A filled entry of 10 MSFT (of which nothing was held) with a working stop and target; returns its card."""
    await house.control.post("/tws/price", symbol="MSFT", bid=400.00, ask=400.02, last=400.01)
    card = await house.phone.asks(
        "/buy MSFT 10 sl 380 tp 440", "BUY 10 MSFT.*Stop 380.00 · target 440.00.*[Rr]isk \\$200.20"
    )
    await house.phone.taps("Send", card)
    await house.phone.hears("FILLED BUY 10 MSFT", after=card["id"])
    return await house.phone.sees(
        lambda m: m["id"] == card["id"] and "FILLED 10/10" in m["text"] and m["text"].count("working") == 2
    )


async def standing(house: House) -> dict[str, tuple[str, float]]:
    """Type to (status, quantity) of the broker's orders that are open."""
    orders = (await house.control.book())["orders"]
    over = ("Filled", "Cancelled", "Inactive", "ApiCancelled")
    return {o["type"]: (o["side"], float(o["quantity"])) for o in orders if o["status"] not in over}


async def test_bracket_leaves_as_one(live: House) -> None:
    """Entry, stop and target leave together; the stop and target work once the entry is filled, and the card shows all three."""
    await bought_with_bracket(live)
    assert await standing(live) == {"LMT": ("SELL", 10), "STP": ("SELL", 10)}


async def test_stop_hit_cancels_the_target_quietly(live: House) -> None:
    """When the stop is hit it is told as such, and the target that goes with it is no news."""
    card = await bought_with_bracket(live)
    await live.control.post("/tws/price", symbol="MSFT", bid=379.00, ask=379.02, last=379.01)
    told = await live.phone.hears("Stop hit: FILLED SELL 10 MSFT.*Position 10 → 0 MSFT")
    await live.phone.sees(lambda m: m["id"] == card["id"] and re.search("target .* cancelled", m["text"]))
    await live.phone.asks("/orders", "No open orders")
    assert not [m for m in await live.phone.chat() if m["id"] > told["id"] and "Cancelled SELL" in m["text"]]


async def test_entry_without_a_stop_is_offered_one(live: House) -> None:
    """An entry without a stop says that nothing bounds its risk, and one tap gives it one."""
    card = await live.phone.asks("/buy AAPL 10", "Risk not bounded.*Measured by an assumed stop")
    offer = next(b["text"] for row in card["buttons"] for b in row if b["text"].startswith("Add a stop"))
    await live.phone.taps(offer, card)
    fresh = await live.phone.hears("BUY 10 AAPL.*Stop .*[Rr]isk", after=card["id"])
    assert "not bounded" not in fresh["text"]
    await live.phone.sees(lambda m: m["id"] == card["id"] and "replaced" in m["text"])
    await live.phone.taps("Send", fresh)
    await live.phone.hears("FILLED BUY 10 AAPL")


async def test_sale_takes_the_protection_down_first(live: House) -> None:
    """Selling everything cancels stop and target, waits for the broker's word, and then sells: nothing is left working."""
    await bought_with_bracket(live)
    card = await live.phone.asks("/sell MSFT all", "SELL 10 MSFT.*First takes down its stop")
    await live.phone.taps("Send", card)
    await live.phone.hears("FILLED SELL 10 MSFT.*Position 10 → 0")
    assert await standing(live) == {}
    orders = (await live.control.book())["orders"]
    assert [o["status"] for o in orders if o["side"] == "SELL"].count("Filled") == 1


async def test_partial_sale_shrinks_the_protection(live: House) -> None:
    """Selling a part leaves stop and target working for the rest, never for more than is held."""
    await bought_with_bracket(live)
    card = await live.phone.asks("/sell MSFT 4", "SELL 4 MSFT")
    await live.phone.taps("Send", card)
    await live.phone.hears("FILLED SELL 4 MSFT.*Position 10 → 6")
    assert await standing(live) == {"LMT": ("SELL", 6), "STP": ("SELL", 6)}


async def test_failed_sale_puts_the_protection_back(live: House) -> None:
    """A sale that the broker rejects leaves the holding protected as before, and says so."""
    await bought_with_bracket(live)
    card = await live.phone.asks("/sell MSFT all", "SELL 10 MSFT")
    await live.control.post("/tws/reject", code=201, message="Order rejected - reason:not today")
    await live.phone.taps("Send", card)
    await live.phone.hears("REJECTED SELL 10 MSFT")
    await live.phone.hears("sale did not happen.*Protected again")
    await live.phone.sees(lambda m: "BUY 10 MSFT" in m["text"] and "#6 · 🟢 working" in m["text"])
    await live.phone.asks("/orders", "SELL 10 MSFT stop 380.00 GTC.*working")
    assert await standing(live) == {"LMT": ("SELL", 10), "STP": ("SELL", 10)}


async def test_stop_that_fills_first_stops_the_sale(live: House) -> None:
    """Where the stop fills while it is being taken down, nothing more is sold: no short by accident."""
    await bought_with_bracket(live)
    await live.control.post("/tws/cancels", mode="hold")
    card = await live.phone.asks("/sell MSFT all", "SELL 10 MSFT")
    await live.phone.taps("Send", card)
    await live.phone.sees(lambda m: m["id"] == card["id"] and "Taking its protection down" in m["text"])
    await live.control.post("/tws/price", symbol="MSFT", bid=379.00, ask=379.02, last=379.01)
    await live.phone.hears("Stop hit: FILLED SELL 10 MSFT")
    await live.phone.hears("sale did not happen.*filled first")
    held = [p for p in (await live.control.book())["positions"] if p["symbol"] == "MSFT"]
    assert not held or float(held[0]["quantity"]) == 0


async def test_killed_between_taking_down_and_selling(house: House) -> None:
    """kill -9 after the protection was taken down and before the sale: the next start protects the holding again and says so."""
    process = await house.spawn()
    await house.ready()
    await bought_with_bracket(house)
    await house.control.post("/tws/cancels", mode="hold")
    card = await house.phone.asks("/sell MSFT all", "SELL 10 MSFT")
    await house.phone.taps("Send", card)
    await house.phone.sees(lambda m: m["id"] == card["id"] and "Taking its protection down" in m["text"])
    pending = [o["ref"] for o in (await house.control.book())["orders"] if o["status"] == "PendingCancel"]
    seen = 0
    async with asyncio.timeout(10):
        while len(pending) < 2:
            seen = (await house.control.get("/tws/events", after=seen, timeout=5))["last"]
            pending = [
                o["ref"] for o in (await house.control.book())["orders"] if o["status"] == "PendingCancel"
            ]
    await end(process, signal.SIGKILL)
    for ref in pending:
        await house.control.post("/tws/cancel", order=ref)
    await house.control.post("/tws/cancels", mode="auto")
    process = await house.spawn()
    try:
        await house.phone.hears("sale did not happen.*interrupted.*Protected again", after=card["id"])
        await house.phone.sees(lambda m: "BUY 10 MSFT" in m["text"] and m["text"].count("working") == 2)
        await house.phone.asks("/orders", "SELL 10 MSFT stop 380.00 GTC.*working")
        assert await standing(house) == {"LMT": ("SELL", 10), "STP": ("SELL", 10)}
    finally:
        await end(process)


async def test_risk_per_trade_is_refused_with_what_would_pass(live: House) -> None:
    """An entry that could lose more than 2 % of the account is refused with the figure, the limit and the number that fits."""
    await live.control.post("/tws/price", symbol="MSFT", bid=400.00, ask=400.02, last=400.01)
    told = await live.phone.asks("/buy MSFT 100 sl 300", "MAX_PORTFOLIO_RISK")
    assert "Send" not in str(told["buttons"])
    assert "What would pass" in told["text"]


async def test_bracket_on_the_wrong_side(live: House) -> None:
    """A stop loss above the entry or a target below it is refused."""
    await live.phone.asks("/buy AAPL 10 sl 300", "stop loss must lie below")
    await live.phone.asks("/buy AAPL 10 sl 150 tp 160", "take profit must lie above")
    await live.phone.asks("/sell AAPL 10 sl 100", "A sale closes a holding")
