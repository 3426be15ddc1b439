"""Every strategy of the desk, from the chat to a filled order and back to closed, over the real wire: in the holdings, the history and the books."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from core import lots
from core.options.plan import Strategy
from core.options.strategies import STRATEGIES
from tests.kit import House, Json
from tests.wire.test_options_chat import in_session, labels, sent

SYMBOL = "MSFT"
CENT = Decimal("0.01")


async def _held(house: House) -> dict[tuple[str, str], Decimal]:
    """What the broker holds of the symbol: signed quantities by (right, strike), shares under empty ones."""
    found = {}
    for position in (await house.control.book())["positions"]:
        contract = position["contract"]
        if position["symbol"] == SYMBOL and Decimal(position["quantity"]):
            name = (contract.get("right") or "", str(contract.get("strike") or ""))
            found[name] = Decimal(position["quantity"])
    return found


async def _cash(house: House) -> Decimal:
    """The broker's cash in dollars."""
    (cash,) = (await house.control.book())["cash"].values()
    return Decimal(cash["USD"])


async def _meets(house: House, card: Json) -> None:
    """The market of a single option stands where its order starts; a combination trades half way by itself."""
    legs = re.findall(r"(?:buy|sell) 1 · ([\d.]+) ([CP]) (\d+ \w+ \d+)", card["text"])
    if len(legs) == 1 and "shares" not in card["text"].partition("Market")[0]:
        strike, right, day = legs[0]
        price = re.search(r"[Ss]tarts at ([\d.]+)", card["text"])
        assert price is not None, card["text"]
        named = {
            "symbol": SYMBOL,
            "expiry": f"{datetime.strptime(day, '%d %b %y').replace(tzinfo=UTC):%Y%m%d}",
            "strike": float(strike),
            "right": right,
        }
        await house.control.post("/tws/option", **named, bid=price[1], ask=price[1])


@pytest.mark.parametrize("strategy", Strategy)
async def test_each_strategy_is_opened_and_closed(house: House, strategy: Strategy) -> None:
    """One order in, one order out; what the legs are is held between, and the books' gain is the cash that moved, to the cent."""
    await in_session(house)
    await house.control.post("/tws/fills", mode="auto", improves=-1)
    phone, outline = house.phone, STRATEGIES[strategy]
    async with house.bot() as desk:
        await house.ready()
        before = await _cash(house)
        card = await phone.asks(f"/strategy {strategy} {SYMBOL} 30d", f"{SYMBOL} .*Nothing is sent before")
        for words in ("Max gain", "max loss", "Break-even", "likely", "Margin"):
            assert words in card["text"], card["text"]
        await _meets(house, card)
        await sent(house, card, f"FILLED (BUY|SELL) 1 {SYMBOL}")
        wanted = sorted(
            (part.right or "", part.ratio if part.right else part.ratio * 100) for part in outline.parts
        )
        assert sorted((right, int(q)) for (right, _), q in (await _held(house)).items()) == wanted
        shown = await phone.asks("/positions", f"{SYMBOL}.*days left")
        assert len(outline.parts) == 1 or strategy in shown["text"]
        await phone.taps(next(name for name in labels(shown) if name.startswith(f"Close {SYMBOL}")), shown)
        closing = await phone.hears(f"CLOSE.*{SYMBOL}.*Nothing is sent before|(SELL|BUY) 1 {SYMBOL}.*Nothing is sent before", after=shown["id"])  # fmt: skip
        await _meets(house, closing)
        await sent(house, closing, f"FILLED .*{SYMBOL}")
        assert await _held(house) == {}
        trades = await phone.asks("/trades", "Trades")
        assert len(re.findall(rf"^(BUY|SELL|CLOSE) 1 {SYMBOL}", trades["text"], re.MULTILINE)) == 2, trades[
            "text"
        ]
        orders = [o for o in (await house.control.book())["orders"] if o["symbol"] == SYMBOL]
        assert len(orders) == 2
        history = await desk.ledger.history()
        books = lots.book(history.executions, history.commissions, openings=history.openings)
        assert not [lot for lot in books.lots if lot.symbol == SYMBOL]
        gain = sum((c.gain for c in books.closures if c.symbol == SYMBOL), Decimal(0))
        assert gain.quantize(CENT) == (await _cash(house) - before).quantize(CENT)
        taxed = [t for t in lots.tax_transactions(books) if t.ticker == SYMBOL and t.gain is not None]
        assert sum((t.gain for t in taxed if t.gain is not None), Decimal(0)) == gain
