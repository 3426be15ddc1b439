"""Lots, gains and the daily summary on real wires: what was held before has a basis, and a session is summed up once."""

from datetime import timedelta
from decimal import Decimal

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
