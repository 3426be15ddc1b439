"""Options in the books on real wires: how they end, where their premiums go, and a combination that is one trade; all to the cent."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal

import pytest

from sim.tws import chains, hours
from tests.kit import House, Json
from tests.wire.test_books import lots, to, trade
from tests.wire.test_options_chat import in_session


async def opened(house: House) -> None:
    """Move the world into a session, with AAPL at 180, whatever the hour is."""
    await in_session(house)


@pytest.fixture
async def desk(house: House) -> AsyncIterator[House]:
    """A bot in a session."""
    await opened(house)
    async with house.bot():
        await house.ready()
        yield house


async def share(house: House, price: str) -> None:
    """Fix the price of AAPL."""
    bid = float(price)
    await house.control.post("/tws/price", symbol="AAPL", bid=bid, ask=bid + 0.02, last=bid)


def expiry(house: House, days: int) -> date:
    """The listed expiry nearest to so many days from now."""
    now = house.world.clock.now()
    today = now.astimezone(hours.NEW_YORK).date()
    return min(chains.expiries(now), key=lambda day: abs((day - today).days - days))


def named(day: date, right: str, strike: int = 180) -> Json:
    return {"symbol": "AAPL", "expiry": f"{day:%Y%m%d}", "strike": strike, "right": right}


async def traded(house: House, side: str, day: date, right: str, quantity: int, price: float) -> Decimal:
    """A trade of an option typed into TWS, heard of here; returns its commission."""
    before = (await house.phone.chat())[-1]["id"]
    await house.control.post("/tws/external", **named(day, right), side=side, quantity=quantity, price=price)
    await house.phone.hears(f"AAPL 180 {right}", after=before)
    return Decimal((await house.control.book())["executions"][-1]["commission"])


async def ended(house: House, how: str, day: date, right: str) -> str:
    """What /lots says when an option has come to its end at the broker."""
    await house.control.post(f"/tws/{how}", **named(day, right))
    async with asyncio.timeout(10):
        while "the premium" not in (told := await lots(house, "AAPL")):
            await house.phone.asks("/status", "Broker connected")
    return told


async def test_an_exercised_call_is_in_its_shares(desk: House) -> None:
    """Two calls at 5.00 exercised at 180 are 200 shares at 185 and the call's commission; the option has no gain of its own."""
    day = expiry(desk, 30)
    commission = await traded(desk, "BUY", day, "C", 2, 5)
    told = await ended(desk, "exercise", day, "C")
    name = f"AAPL 180 C {day.day} {day:%b %y}"
    assert f"EXERCISED 2 {name}" in told
    assert f"the premium paid, ${1000 + commission:,.2f}, is in the basis of the shares" in told
    assert "AAPL 200 · opened" in told
    assert (
        f"by exercise, premium in the cost\n   {(37_000 + commission) / 200:.2f} a share · ${37_000 + commission:,.2f}"
        in told
    )
    assert "a trade is missing" not in told
    trades = (await desk.phone.asks("/trades", "Trades"))["text"]
    assert f"EXERCISED 2 {name}\n   BUY 200 AAPL @ 180.00 · $36,000.00\n" in trades
    assert trades.count("BUY 200 AAPL") == 1
    assert f"BUY 2 {name} @ 5.00\n   $1,000.00 · commission ${commission:.2f}" in trades


async def test_an_assigned_call_takes_the_shares(desk: House) -> None:
    """A call written at 5.00 and assigned sells at 185 less its commission: 40 shares that were held before, and 60 short."""
    day = expiry(desk, 30)
    (held,) = [p for p in (await desk.control.book())["positions"] if p["symbol"] == "AAPL"]
    commission = await traded(desk, "SELL", day, "C", 1, 5)
    told = await ended(desk, "assign", day, "C")
    brought = 18_500 - commission
    short = (brought * 60 / 100).quantize(Decimal("0.01"))
    basis = Decimal(held["average_cost"]) * 40
    assert f"the premium received, ${500 - commission:,.2f}, is in the proceeds of the shares" in told
    assert "AAPL -60 · opened" in told
    sale = told[told.index("SELL 40 AAPL") :]
    assert "by assignment" in sale.split("\n")[0]
    proceeds = Decimal(sale.split("proceeds $")[1].split("\n")[0].replace(",", ""))
    assert abs(proceeds + short - brought) <= Decimal("0.01")
    assert f"basis ${basis:,.2f}" in sale


async def test_what_expires_is_a_gain_or_a_loss(house: House) -> None:
    """At the close of its last day a worthless put costs its buyer the premium, and the summary of the day says so."""
    await opened(house)
    day = expiry(house, 2)
    name = f"AAPL 180 P {day.day} {day:%b %y}"
    async with house.bot() as desk:
        await house.ready()
        commission = await traded(house, "BUY", day, "P", 1, 1.25)
        while hours.next_close(now := house.world.clock.now()).astimezone(hours.NEW_YORK).date() < day:
            await to(house, hours.next_open(now) - hours.next_close(now) + timedelta(hours=1))
        await share(house, "190.00")
        await to(house, timedelta(minutes=1))
        loss = 125 + commission
        line = f"EXPIRED 1 {name} · {day:%d %b %Y} · short-term\n   proceeds $0.00\n   basis ${loss:,.2f} · gain -${loss:,.2f}"
        async with asyncio.timeout(10):
            while f"\n{line}" not in await lots(house, "AAPL"):
                await house.phone.asks("/status", "Broker connected")
        assert f"EXPIRED 1 {name}\n" in (await house.phone.asks("/trades", "Trades"))["text"]
        await house.control.post("/clock", advance=5 * 60)
        await desk.do_what_is_due()
        summary = (await house.phone.hears(f"Daily summary, {day:%a %d %b}"))["text"]
    assert f"No fills.\n   1 {name} expired\n" in summary
    assert f"Realised -${loss:,.2f}" in summary


async def test_a_combination_is_one_trade(desk: House) -> None:
    """A spread that was sent from the chat: one line with its net and what both legs cost, the legs below it, and a lot for each."""
    day = expiry(desk, 30)
    for strike, price in ((180, "5.00"), (185, "2.80")):
        await desk.control.post("/tws/option", **named(day, "C", strike), bid=price, ask=price)
    await trade(
        desk, f"/strategy bull call spread AAPL 180/185 {day} 2", "FILLED BUY 2 AAPL BULL_CALL_SPREAD 180/185"
    )
    fills = (await desk.control.book())["executions"]
    cost = sum(Decimal(e["commission"]) for e in fills)
    assert len(fills) == 3
    label = f"{day.day} {day:%b %y}"
    trades = (await desk.phone.asks("/trades", "Trades.*commission \\$"))["text"]
    assert (
        f"BUY 2 AAPL BULL_CALL_SPREAD 180/185 {label} debit 2.20\n   paid $440.00 · commission ${cost:.2f}\n"
        f"   BUY 2 AAPL 180 C {label} @ 5.00\n   SELL 2 AAPL 185 C {label} @ 2.80\n"
    ) in trades
    assert trades.count("AAPL 180 C") == 1
    told = await lots(desk, "AAPL")
    assert f"AAPL 180 C {label} 2 · opened" in told
    assert f"AAPL 185 C {label} -2 · opened" in told
    assert "BULL_CALL_SPREAD" not in told
    assert "a trade is missing" not in told
