"""The stories of options: single ones, combinations that leave, rest, move and fill as one, and what becomes of them without an order.

Prices are fixed where a story needs them: a bid that is the ask trades at once, a wide market rests until the price has come.
"""

from collections.abc import Mapping
from datetime import date

from sim.tws import chains, hours
from tests.crash.flows import (
    ENDED,
    LATER,
    STANDS,
    Flow,
    cancelled,
    price,
    sent,
    sent_from,
    shows,
    working,
)
from tests.crash.flows import FLOWS as SHARES
from tests.crash.life import Json
from tests.crash.stage import Stage

Market = str | tuple[str, str]
FIRM: Mapping[str, Market] = {"C180": "5.00", "C185": "2.80", "P175": "2.60", "P180": "4.40"}
"""Bid and ask in one: whatever asks for the middle has it."""
WIDE: Mapping[str, Market] = {"C180": ("4.80", "5.20"), "C185": ("2.70", "2.90")}
SPREAD = "AAPL BULL_CALL_SPREAD 180/185"
CALL = "AAPL 180 C"


# --- the market --------------------------------------------------------------------------------------------------------


def expiry(stage: Stage, days: int = 30) -> date:
    """The listed expiry nearest to so many days from now."""
    now = stage.world.clock.now()
    today = now.astimezone(hours.NEW_YORK).date()
    return min(chains.expiries(now), key=lambda day: abs((day - today).days - days))


async def quoted(stage: Stage, day: date, prices: Mapping[str, Market] = FIRM) -> None:
    """Options of AAPL stand there; orders that this reaches trade before it returns."""
    for name, told in prices.items():
        bid, ask = (told, told) if isinstance(told, str) else told
        await stage.control.post("/tws/option", **_named(day, name), bid=bid, ask=ask)


def _named(day: date, name: str) -> Json:
    return {"symbol": "AAPL", "expiry": f"{day:%Y%m%d}", "strike": float(name[1:]), "right": name[0]}


async def opened(stage: Stage, days: int = 30, prices: Mapping[str, Market] = FIRM) -> date:
    """AAPL at 180 and its options of one expiry at firm prices."""
    day = expiry(stage, days)
    await price(stage, "AAPL", 180.00)
    await quoted(stage, day, prices)
    return day


async def _moved(stage: Stage, how: str, day: date, name: str) -> None:
    """The broker ends an option that is held, where it still is."""
    contract = {"expiry": f"{day:%Y%m%d}", "right": name[0]}
    held = [p for p in (await stage.control.book())["positions"] if contract.items() <= p["contract"].items()]
    if any(float(p["contract"]["strike"]) == float(name[1:]) for p in held):
        await stage.control.post(f"/tws/{how}", **_named(day, name))


async def _filled(stage: Stage, quantity: int | None = None) -> None:
    """The broker fills what works of AAPL, wholly or by so many, at its limit."""
    for order in await working(stage, "AAPL"):
        more = {} if quantity is None else {"quantity": quantity}
        await stage.control.post("/tws/fill", order=order["perm_id"], **more)


# --- what people do ----------------------------------------------------------------------------------------------------


async def _bought(stage: Stage, line: str, terms: str) -> None:
    """An order that is there before anything is counted."""
    await sent(stage, line, terms)
    await shows(stage, terms, "FILLED")


async def _spread(stage: Stage, days: int = 30) -> date:
    """Two bull call spreads that are held."""
    day = await opened(stage, days)
    await _bought(stage, f"/strategy bull call spread AAPL 180/185 {day} 2", f"BUY 2 {SPREAD}")
    return day


async def _by_button(stage: Stage, button: str, card: str) -> None:
    """/positions, a button below it, and Send on the card that it brings."""

    async def ask() -> Json:
        shown = await stage.phone.asks("/positions", f"[Pp]osition|{LATER}")
        data = [b["data"] for row in shown["buttons"] for b in row if b["text"].startswith(button)]
        if not data:
            return shown
        await stage.press(data[0], shown)
        return await stage.phone.hears(f"{card}|{LATER}|not held any more", after=shown["id"])

    await sent_from(stage, ask, button)


async def _hears_end(stage: Stage, *what: str) -> None:
    """What became of options was said, each in a message of its own."""
    for words in what:
        await stage.phone.hears(words)


# --- the stories -------------------------------------------------------------------------------------------------------


async def combo(stage: Stage) -> None:
    """A spread by its strikes, from the line to the fill."""
    day = await opened(stage)
    await stage.arm()
    await sent(stage, f"/strategy bull call spread AAPL 180/185 {day} 2", f"BUY 2 {SPREAD}")
    await shows(stage, f"BUY 2 {SPREAD}", ENDED)


async def credit(stage: Stage) -> None:
    """A spread that brings money: its limit is below zero."""
    day = await opened(stage)
    await stage.arm()
    await sent(stage, f"/strategy bull put spread AAPL 175/180 {day} 1", "BUY 1 AAPL BULL_PUT_SPREAD")
    await shows(stage, "BUY 1 AAPL BULL_PUT_SPREAD", ENDED)


async def single(stage: Stage) -> None:
    """Calls are bought, and sold again from their button."""
    day = await opened(stage)
    await stage.arm()
    await sent(stage, f"/option AAPL call 180 {day} 2", f"BUY 2 {CALL}")
    await shows(stage, f"BUY 2 {CALL}", ENDED)
    await quoted(stage, day, {"C180": "6.50"})
    if await _holds(stage):
        await _by_button(stage, f"Close {CALL}", f"CLOSE 2 {CALL}")
        await shows(stage, f"(SELL|CLOSE) 2 {CALL}", ENDED)


async def _holds(stage: Stage) -> bool:
    return any(p["contract"]["type"] == "OPT" for p in (await stage.control.book())["positions"])


async def combo_partial(stage: Stage) -> None:
    """A spread is filled in three parts, each with its legs."""
    day = await opened(stage)
    await stage.control.post("/tws/fills", mode="hold")
    await sent(stage, f"/strategy bull call spread AAPL 180/185 {day} 6", f"BUY 6 {SPREAD}")
    await shows(stage, f"BUY 6 {SPREAD}", STANDS)
    await stage.arm()
    for part in (1, 2, None):
        await _filled(stage, part)
        if part:
            await shows(stage, f"BUY 6 {SPREAD}", "partly|FILLED|not at")
    await shows(stage, f"BUY 6 {SPREAD}", ENDED)


async def reprice(stage: Stage) -> None:
    """A spread rests at the middle, is moved towards the market twice, and is filled."""
    day = await opened(stage, prices=WIDE)
    await stage.control.post("/tws/fills", improves=1)
    await stage.arm()
    await sent(stage, f"/strategy bull call spread AAPL 180/185 {day} 2", f"BUY 2 {SPREAD}")
    await shows(stage, f"BUY 2 {SPREAD}", STANDS)

    async def moved_twice() -> bool:
        told = (await stage.control.get("/tws/events"))["events"]
        limits = {e["limit"] for e in told if e["kind"] == "order" and e["contract"]["type"] == "BAG"}
        return len(limits) > 2 or not await working(stage, "AAPL")

    await stage.until(moved_twice, "two steps of the limit")
    await _filled(stage)
    await shows(stage, f"BUY 2 {SPREAD}", ENDED)


async def close(stage: Stage) -> None:
    """A spread that is held is closed from its button, as one order."""
    day = await _spread(stage)
    await quoted(stage, day, {"C180": "6.00", "C185": "3.00"})
    await stage.arm()
    await _by_button(stage, "Close AAPL 180/185", f"CLOSE 2 {SPREAD}")
    await shows(stage, f"CLOSE 2 {SPREAD}", ENDED)


async def roll(stage: Stage) -> None:
    """A spread that is held goes to the next month: four legs in one order."""
    await _spread(stage, 20)
    await stage.arm()
    await _by_button(stage, "Roll AAPL 180/185", f"ROLL 2 {SPREAD}")
    await shows(stage, f"ROLL 2 {SPREAD}", STANDS)
    await _filled(stage)
    await shows(stage, f"ROLL 2 {SPREAD}", ENDED)


async def combo_cancel(stage: Stage) -> None:
    """A spread that rests at a price of its own is cancelled by its button."""
    day = await opened(stage)
    await sent(stage, f"/strategy bull call spread AAPL 180/185 {day} 2 @ 1.00", f"BUY 2 {SPREAD}")
    await shows(stage, f"BUY 2 {SPREAD}", STANDS)
    await stage.arm()
    await cancelled(stage, f"BUY 2 {SPREAD}")


ASSIGNED, EXERCISED = r"2 AAPL 185 C [^\n]* were assigned", r"2 AAPL 180 C [^\n]* were exercised"


async def assign(stage: Stage) -> None:
    """Before its time the short call is assigned, and the long one exercised for the shares; it was said before that this can be."""
    day = await _spread(stage, 4)
    await stage.rest()
    await stage.strike(restart=False)
    await price(stage, "AAPL", 188.00)
    await stage.come_back()
    await _hears_end(stage, "the short AAPL 185 C .* is in the money", "expires (in|tomorrow|today)")
    for how, name in (("assign", "C185"), ("exercise", "C180")):
        await _moved(stage, how, day, name)
    await _hears_end(stage, ASSIGNED, EXERCISED)


async def assigned_away(stage: Stage) -> None:
    """The same while the bot is away."""
    day = await _spread(stage)
    await stage.rest()
    await stage.strike(restart=False)
    for how, name in (("assign", "C185"), ("exercise", "C180")):
        await _moved(stage, how, day, name)
    await stage.come_back()
    await _hears_end(stage, ASSIGNED, EXERCISED)


async def _last_day(stage: Stage) -> date:
    """On its last day: a spread and two puts, as the owner has them."""
    day = await opened(stage, 0)
    await _bought(stage, f"/strategy bull call spread AAPL 180/185 {day} 2", f"BUY 2 {SPREAD}")
    await _bought(stage, f"/option AAPL put 175 {day} 1", "BUY 1 AAPL 175 P")
    await price(stage, "AAPL", 190.00)
    return day


EXPIRED = r"1 AAPL 175 P [^\n]* expired"


async def expire(stage: Stage) -> None:
    """The last day ends: calls in the money are exercised and assigned, the put is gone."""
    await _last_day(stage)
    await stage.rest()
    await stage.arm()
    await stage.control.post("/tws/expire", symbol="AAPL")
    await _hears_end(stage, ASSIGNED, EXERCISED, EXPIRED)


async def expired_away(stage: Stage) -> None:
    """The same while the bot is away."""
    await _last_day(stage)
    await stage.rest()
    await stage.strike(restart=False)
    await stage.control.post("/tws/expire", symbol="AAPL")
    await stage.come_back()
    await _hears_end(stage, ASSIGNED, EXERCISED, EXPIRED)


async def covered(stage: Stage) -> None:
    """A call is sold against shares that are held, and takes them at the strike."""
    day = await opened(stage)
    await sent(stage, "/buy AAPL 60", "BUY 60 AAPL")
    await shows(stage, "BUY 60 AAPL", "FILLED")
    await stage.arm()
    await sent(stage, f"/option sell AAPL call 185 {day} 1", "SELL 1 AAPL 185 C")
    await shows(stage, "SELL 1 AAPL 185 C", ENDED)
    if await _holds(stage):
        await _moved(stage, "assign", day, "C185")
        await _hears_end(stage, r"1 AAPL 185 C [^\n]* was assigned")


OPTIONS = {
    flow.name: flow
    for flow in (
        Flow("combo", combo, symbol="AAPL"),
        Flow("credit", credit, symbol="AAPL"),
        Flow("single", single, symbol="AAPL"),
        Flow("parts", combo_partial, symbol="AAPL"),
        Flow("reprice", reprice, symbol="AAPL"),
        Flow("close", close, symbol="AAPL"),
        Flow("roll", roll, symbol="AAPL"),
        Flow("combocancel", combo_cancel, symbol="AAPL"),
        Flow("assign", assign, symbol="AAPL"),
        Flow("assigned", assigned_away, symbol="AAPL"),
        Flow("expire", expire, symbol="AAPL", last_day=True),
        Flow("expired", expired_away, symbol="AAPL", last_day=True),
        Flow("covered", covered, symbol="AAPL"),
    )
}
FLOWS = SHARES | OPTIONS
