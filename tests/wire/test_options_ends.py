"""The last day of options over the real wire: each end is said as what it was, and as nothing else before."""

from datetime import timedelta

from sim.tws import chains, hours
from tests.kit import House


async def test_an_exercise_is_never_told_as_an_expiry(house: House) -> None:
    """At the last close calls in the money are exercised and assigned: the option goes first, its shares move behind it.

    What is out of the money is gone, which is said as soon as no shares can come any more.
    """
    now = house.world.clock.now()
    close = chains.closes(next(day for day in chains.expiries(now) if chains.closes(day) > now))
    await house.control.post("/clock", advance=(close - timedelta(hours=1) - now).total_seconds())
    await _share(house, 190)
    day = close.astimezone(hours.NEW_YORK).date()
    named = {"symbol": "AAPL", "expiry": f"{day:%Y%m%d}"}
    async with house.bot():
        await house.ready()
        for side, strike, right in (("BUY", 180.0, "C"), ("SELL", 185.0, "C"), ("BUY", 175.0, "P")):
            await house.control.post(
                "/tws/external", **named, strike=strike, right=right, side=side, quantity=1, price=5.0
            )
            await house.phone.hears(f"AAPL {strike:g} {right}")
        await house.control.post("/tws/expire", symbol="AAPL")
        await house.phone.hears("1 AAPL 180 C .* was exercised")
        await house.phone.hears("1 AAPL 185 C .* was assigned")
        await house.control.post("/clock", advance=31)
        # Whatever the broker tells makes the bot look again.
        await house.control.post("/tws/external", symbol="KO", side="BUY", quantity=1)
        await house.phone.hears("1 AAPL 175 P .* expired")
        told = [m["text"] for m in await house.phone.chat() if " expired" in m["text"]]
        assert [" P " in text for text in told] == [True]


async def test_a_short_that_an_assignment_leaves_is_named(house: House) -> None:
    """A call that fewer shares stood behind than it was on: what is owed afterwards is said, with what closes it."""
    now = house.world.clock.now()
    day = next(d for d in chains.expiries(now) if (chains.closes(d) - now) > timedelta(days=20))
    named = {
        "symbol": "AAPL",
        "expiry": f"{chains.closes(day).astimezone(hours.NEW_YORK):%Y%m%d}",
        "strike": 180.0,
        "right": "C",
    }
    async with house.bot():
        await house.ready()
        await house.control.post("/tws/external", **named, side="SELL", quantity=1, price=5.0)
        await house.phone.hears("AAPL 180 C")
        book = (await house.control.book())["positions"]
        held = next(p for p in book if p["symbol"] == "AAPL" and not p.get("right"))
        owed = 100 - int(float(held["quantity"]))
        assert 0 < owed < 100
        await house.control.post("/tws/assign", **named, quantity=1)
        told = await house.phone.hears(f"was assigned.*{owed} AAPL are owed now.*/buy AAPL {owed} closes it")
        assert "sold at 180" in told["text"]


async def _share(house: House, price: int) -> None:
    await house.control.post("/tws/price", symbol="AAPL", bid=price, ask=price + 0.02, last=price)
