"""Lots, gains and the daily summary on real wires: what was held before has a basis, and a session is summed up once."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from bot import schedule
from sim.tws import hours
from tests.kit import House

MINUTE = timedelta(minutes=1)


async def trade(house: House, line: str, filled: str) -> None:
    """Type an order, send it and hear of its fill."""
    card = await house.phone.asks(line, filled.removeprefix("FILLED "))
    await house.phone.taps("Send", card)
    await house.phone.hears(filled, after=card["id"])


async def price(house: House, symbol: str, bid: str) -> None:
    """Fix a price; the ask is two cents above."""
    ask = float(Decimal(bid) + Decimal("0.02"))
    await house.control.post("/tws/price", symbol=symbol, bid=float(bid), ask=ask, last=float(bid))


async def lots(house: House, symbol: str) -> str:
    """What /lots SYMBOL says."""
    return str((await house.phone.asks(f"/lots {symbol}", f"Lots of {symbol}"))["text"])


async def to(house: House, moment_after_close: timedelta) -> str:
    """Move the world to so long after the next close of New York; returns the session's date."""
    now = house.world.clock.now()
    close = hours.next_close(now)
    await house.control.post("/clock", advance=(close + moment_after_close - now).total_seconds())
    return close.astimezone(hours.NEW_YORK).strftime("%a %d %b")


async def summaries(house: House) -> list[str]:
    """Every daily summary in the chat."""
    return [m["text"] for m in await house.phone.chat() if "Daily summary" in m["text"]]


async def test_shares_held_before_have_a_basis(live: House) -> None:
    """Selling shares that were there before the bot is a gain against the broker's average cost, to the cent, and never a short."""
    (held,) = [p for p in (await live.control.book())["positions"] if p["symbol"] == "AAPL"]
    await price(live, "AAPL", "190.00")
    before = await lots(live, "AAPL")
    assert f"≈ AAPL {Decimal(held['quantity']):f} · held before" in before
    await trade(live, "/sell AAPL 10", "FILLED SELL 10 AAPL")
    basis = Decimal(held["average_cost"]) * 10
    (done,) = (await live.control.book())["executions"]
    gain = 10 * Decimal(190) - Decimal(str(done["commission"])) - basis
    told = await lots(live, "AAPL")
    assert "AAPL 30 · held before" in told
    assert "≈ SELL 10 AAPL" in told
    assert f"basis ${basis:,.2f} · gain {'-' if gain < 0 else '+'}${abs(gain):,.2f}" in told
    assert "term unknown" in told
    assert "SIMULATED · DU1234567" in told
    assert "not tax advice" in told
    assert "a trade is missing" not in told


async def test_round_trip_is_first_in_first_out(live: House) -> None:
    """Two purchases and a sale: the older shares are sold first, commissions in basis and off proceeds."""
    await price(live, "MSFT", "400.00")
    await trade(live, "/buy MSFT 10", "FILLED BUY 10 MSFT")
    await price(live, "MSFT", "410.00")
    await trade(live, "/buy MSFT 10", "FILLED BUY 10 MSFT")
    await price(live, "MSFT", "420.00")
    await trade(live, "/sell MSFT 15", "FILLED SELL 15 MSFT")
    told = await lots(live, "MSFT")
    assert "MSFT 5 · opened" in told
    assert "≈" not in told
    # 10 of the first at 400.02 with a commission of 1.00, 5 of the second at 410.02 with half of one; the sale's is dealt out as well.
    assert "basis $4,001.20" in told
    assert "basis $2,050.60" in told
    assert "short-term" in told


async def test_trades_of_the_morning_are_taken_back(house: House) -> None:
    """Shares bought elsewhere on the day of the first start are a lot of their own; those before keep the cost that they had."""
    (held,) = [p for p in (await house.control.book())["positions"] if p["symbol"] == "KO"]
    await house.control.post("/tws/external", symbol="KO", side="BUY", quantity=30, price=50)
    await house.control.post("/clock", advance=31)
    async with house.bot() as desk:
        await house.ready()
        async with asyncio.timeout(10):
            while not await desk.ledger.books_opened("DU1234567"):
                await house.phone.asks("/status", "Broker connected")
        told = await lots(house, "KO")
    cost = Decimal(held["average_cost"])
    assert "≈ KO 120 · held before" in told
    assert f"{cost:.2f}" in told
    assert f"${cost * 120:,.2f}" in told
    assert "KO 30 · opened" in told
    assert "$1,501.00" in told
    assert "⚠️" not in told


async def test_a_trade_that_nobody_told_of_is_named(house: House) -> None:
    """Shares that came on a day when the bot was down are not in its executions: /lots says that they are missing."""
    async with house.bot():
        await house.ready()
    await house.control.post("/tws/external", symbol="KO", side="BUY", quantity=30, price=50)
    await house.control.post("/clock", advance=2 * 24 * 3600)
    async with house.bot():
        await house.ready()
        told = await lots(house, "KO")
    assert "the broker holds 150, these lots are 120" in told


async def test_summary_once_a_session(house: House) -> None:
    """Five minutes after the close, with what was traded and what is held; not before, not twice, not after a restart."""
    day = await to(house, -60 * MINUTE)
    async with house.bot() as desk:
        await house.ready()
        await price(house, "MSFT", "400.00")
        await trade(house, "/buy MSFT 10", "FILLED BUY 10 MSFT")
        await price(house, "MSFT", "410.00")
        await trade(house, "/sell MSFT 4", "FILLED SELL 4 MSFT")
        await house.control.post("/clock", advance=64 * 60)
        await desk.do_what_is_due()
        assert await summaries(house) == []
        await house.control.post("/clock", advance=2 * 60)
        await desk.do_what_is_due()
        told = (await house.phone.hears("Daily summary"))["text"]
        await desk.do_what_is_due()
    assert told.startswith(f"📋 Daily summary, {day}\nSIMULATED · DU1234567")
    assert "Fills: 2 · bought $4,000.20 · sold $1,640.00 · commissions $2.00" in told
    assert "Realised +$38.52" in told  # 4 at 410.00 less 1.00, against 4 at 400.02 and four tenths of 1.00
    assert "MSFT 6 · " in told
    assert "Positions: 5" in told
    assert "Open orders: 0" in told
    assert "All well" in told
    assert "Late" not in told
    async with house.bot() as desk:
        await house.phone.hears("Connected")
        await desk.do_what_is_due()
        await house.phone.asks("/status", "Broker connected")
    assert len(await summaries(house)) == 1


async def test_late_summary_says_so(house: House) -> None:
    """A bot that was down at the close sends the summary after its next start, even of a day without trades, and says that it is late."""
    await to(house, -60 * MINUTE)
    async with house.bot() as desk:
        await house.ready()
        await desk.do_what_is_due()
    await house.control.post("/clock", advance=(60 + 3 * 60) * 60)
    async with house.bot():
        told = (await house.phone.hears("Daily summary"))["text"]
    assert "Late: that session closed 3 h" in told
    assert "No fills." in told
    assert "All well" in told


async def test_too_late_is_not_sent(house: House) -> None:
    """After eighteen hours nobody wants to hear of that session any more."""
    await to(house, -60 * MINUTE)
    async with house.bot() as desk:
        await house.ready()
        await desk.do_what_is_due()
    await house.control.post("/clock", advance=(60 + 18 * 60) * 60)
    async with house.bot() as desk:
        await desk.do_what_is_due()
        await house.phone.asks("/status", "Broker connected")
    assert await summaries(house) == []


async def test_first_start_sums_nothing_up(house: House) -> None:
    """A session that closed before the bot ever ran is none of its business."""
    await to(house, 60 * MINUTE)
    async with house.bot() as desk:
        await house.ready()
        await desk.do_what_is_due()
        await house.phone.asks("/status", "Broker connected")
    assert await summaries(house) == []


async def test_summary_without_the_broker(house: House) -> None:
    """Where the broker is away the sign of life waits ten minutes for him, then comes without his figures and says why."""
    await to(house, -60 * MINUTE)
    async with house.bot() as desk:
        await house.ready()
        await desk.do_what_is_due()
        await house.control.post("/tws/refuse", on=True)
        await house.control.post("/tws/drop")
        await house.phone.hears("not reachable")
        await house.control.post("/clock", advance=66 * 60)
        await desk.do_what_is_due()
        assert await summaries(house) == []
        await house.control.post("/clock", advance=10 * 60)
        await desk.do_what_is_due()
        told = (await house.phone.hears("Daily summary"))["text"]
    assert "SIMULATED · DU1234567" in told
    assert "Account –" in told
    assert "Not connected to the broker" in told
    assert "All well" not in told


async def test_the_schedule_rings_by_itself(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to ask: once the session has closed, the bell brings the summary, and each next session its own."""
    monkeypatch.setattr(schedule, "RINGS_EVERY_SECONDS", 0.1)
    await to(house, -60 * MINUTE)
    async with house.bot() as desk:
        await house.ready()
        await desk.do_what_is_due()
        first = await to(house, 6 * MINUTE)
        told = await house.phone.hears(f"Daily summary, {first}")
        assert "since" not in told["text"]
        second = await to(house, 6 * MINUTE)
        told = await house.phone.hears(f"Daily summary, {second}")
        assert f"since {first[4:]}" in told["text"]
