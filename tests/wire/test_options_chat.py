"""Options in the chat over the real wire: the chain, the wizard, cards to fills, closings and rolls, and what should be heard in time."""

import functools
import re
from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal

import pytest

from bot.chains import WIDTH
from sim.tws import chains, hours
from tests.kit import House, Json

BEFORE_CLOSE = timedelta(hours=3)


async def in_session(house: House) -> None:
    """Move the world to three hours before the end of a session, with AAPL at 180."""
    now = house.world.clock.now()
    moment = hours.next_close(now) - BEFORE_CLOSE
    if moment < now:
        moment = hours.next_close(hours.next_close(now) + timedelta(minutes=1)) - BEFORE_CLOSE
    await house.control.post("/clock", advance=(moment - now).total_seconds())
    await share(house, "180.00")


@pytest.fixture
async def desk(house: House) -> AsyncIterator[House]:
    """A bot in a session with AAPL at 180, told once that it is ready."""
    await in_session(house)
    async with house.bot():
        await house.ready()
        yield house


async def share(house: House, price: str, symbol: str = "AAPL") -> None:
    """Fix the price of a share; the ask is two cents above."""
    await house.control.post(
        "/tws/price", symbol=symbol, bid=float(price), ask=float(price) + 0.02, last=float(price)
    )


def expiry(house: House, days: int = 30) -> date:
    """The listed expiry nearest to so many days from now."""
    today = house.world.clock.now().astimezone(hours.NEW_YORK).date()
    return min(chains.expiries(house.world.clock.now()), key=lambda day: abs((day - today).days - days))


async def pin(house: House, day: date, **prices: str) -> None:
    """Fix options at a bid that is the ask, so that the middle trades: `C180="5.00"`."""
    for name, price in prices.items():
        await house.control.post(
            "/tws/option",
            symbol="AAPL",
            expiry=f"{day:%Y%m%d}",
            strike=float(name[1:]),
            right=name[0],
            bid=price,
            ask=price,
        )


async def held(house: House) -> dict[str, str]:
    """What the broker holds of options: the quantity by local symbol."""
    found = (await house.control.book())["positions"]
    options = [p for p in found if p["contract"]["type"] == "OPT" and Decimal(p["quantity"])]
    return {p["contract"]["local_symbol"]: f"{Decimal(p['quantity']).normalize():f}" for p in options}


async def sent(house: House, card: Json, filled: str) -> Json:
    """Tap Send and hear of the fill."""
    await house.phone.taps("Send", card)
    return await house.phone.hears(filled, after=card["id"])


def labels(message: Json) -> list[str]:
    return [button["text"] for row in message["buttons"] for button in row]


async def test_chain_is_turned_and_leads_to_a_card(desk: House) -> None:
    """/chain shows strikes around the price, readable on a narrow phone; its buttons turn it in place, change the expiry, and lead to a card."""
    phone = desk.phone
    page = await phone.asks("/chain AAPL", "AAPL options.*days left")
    rows = [line for line in page["text"].split("\n") if re.match(r"[\d.]{3,6} *C |      P ", line)]
    assert len(rows) == 16
    assert all(len(line) <= WIDTH for line in page["text"].split("\n") if line in rows)
    assert "─ 180.01 ─" in page["text"]
    await phone.taps("▼ higher", page)
    turned = await phone.sees(lambda m: m["id"] == page["id"] and m["text"] != page["text"])
    assert "180.01" not in turned["text"]
    await phone.taps("Other expiries", turned)
    days = await phone.sees(lambda m: m["id"] == page["id"] and "◀ Back" in labels(m))
    other = next(name for name in labels(days) if re.match(r"\d+ \w{3} \d\d", name))
    await phone.taps(other, days)
    page = await phone.sees(
        lambda m: (
            m["id"] == page["id"] and f"options · {other}" in m["text"] and "Trade a strike" in labels(m)
        )
    )
    await phone.taps("Trade a strike", page)
    strikes = await phone.sees(lambda m: m["id"] == page["id"] and "180" in labels(m))
    await phone.taps("180", strikes)
    sides = await phone.sees(lambda m: m["id"] == page["id"] and "Buy call 180" in labels(m))
    assert {"Buy call 180", "Sell call 180", "Buy put 180", "Sell put 180"} <= set(labels(sides))
    await phone.taps("Buy put 180", sides)
    card = await phone.hears(f"BUY 1 AAPL 180 P {other}", after=page["id"])
    assert "Max gain" in card["text"]
    assert labels(card) == ["Send", "Discard"]


async def test_option_bought_and_closed(desk: House) -> None:
    """One call from a typed line to its fill, in /positions with the multiplier, closed by its button, in /trades with what it brought."""
    phone, day = desk.phone, expiry(desk)
    await pin(desk, day, C180="5.00")
    card = await phone.asks(f"/option AAPL call 180 {day} 2", r"BUY 2 AAPL 180 C .* \$1,000.00 debit at most")
    told = await sent(desk, card, "FILLED BUY 2 AAPL 180 C")
    assert "2 @ 5.00 · $1,000.00 paid" in told["text"]
    assert "Position 0 → 2 AAPL 180 C" in told["text"]
    assert list((await held(desk)).values()) == ["2"]
    shown = await phone.asks("/positions AAPL", "2 AAPL 180 C .* @ 5.0")
    assert "days left" in shown["text"]
    await pin(desk, day, C180="6.50")
    await phone.taps(next(name for name in labels(shown) if name.startswith("Close AAPL 180 C")), shown)
    card = await phone.hears(
        r"CLOSE 2 AAPL 180 C .* \$1,300.00 credit at least.*Gain \+\$29\d", after=shown["id"]
    )
    told = await sent(desk, card, "FILLED SELL 2 AAPL 180 C")
    assert "$1,300.00 received" in told["text"]
    assert await held(desk) == {}
    trades = await phone.asks("/trades", "Trades.*SELL 2 AAPL 180 C")
    assert "$1,300.00" in trades["text"]
    await phone.asks("/positions AAPL", "AAPL 40 @")


async def test_strategy_from_chat_to_filled_and_closed(desk: House) -> None:
    """A spread leaves as one combination at its middle, is held and shown as one, and is closed as one from its button."""
    phone, day = desk.phone, expiry(desk)
    await pin(desk, day, C180="5.00", C185="2.80")
    card = await phone.asks(
        f"/strategy bull call spread AAPL 180/185 {day} 2", "BUY 2 AAPL BULL_CALL_SPREAD 180/185"
    )
    for line in (
        "$440.00 debit at most",
        "Max gain $560.00 · max loss $440.00",
        "Break-even at expiry 182.20",
        "Starts at debit 2.20 (mid)",
    ):
        assert line in card["text"], card["text"]
    picture = await phone.sees(lambda m: m["id"] > card["id"] and "gain and loss at expiry" in m["text"])
    assert "BULL_CALL_SPREAD 180/185" in picture["text"]
    assert picture["photo"]["width"] == 1280
    told = await sent(desk, card, "FILLED BUY 2 AAPL BULL_CALL_SPREAD 180/185")
    assert "2 debit 2.20 · $440.00 paid" in told["text"]
    orders = (await desk.control.book())["orders"]
    assert [(o["contract"]["type"], o["side"], o["type"]) for o in orders if o["symbol"] == "AAPL"] == [
        ("BAG", "BUY", "LMT")
    ]
    assert sorted((await held(desk)).values()) == ["-2", "2"]
    shown = await phone.asks("/positions", "2 AAPL BULL_CALL_SPREAD 180/185")
    assert re.search(r"net \$44\d\.\d\d debit · value \$440.00", shown["text"])
    await pin(desk, day, C180="6.00", C185="3.00")
    await phone.taps(next(name for name in labels(shown) if name.startswith("Close AAPL 180/185")), shown)
    card = await phone.hears(
        r"CLOSE 2 AAPL BULL_CALL_SPREAD 180/185.*\$600.00 credit at least", after=shown["id"]
    )
    assert "Starts at credit 3.00 (mid)" in card["text"]
    told = await sent(desk, card, "FILLED CLOSE 2 AAPL BULL_CALL_SPREAD")
    assert "$600.00 received" in told["text"]
    assert await held(desk) == {}


async def test_a_strategy_is_rolled_as_one(desk: House) -> None:
    """Roll closes what is held and opens the same a month later in one order; the card says what goes and what comes."""
    phone, day = desk.phone, expiry(desk, 20)
    await pin(desk, day, C180="5.00", C185="2.80")
    for later in chains.expiries(desk.world.clock.now()):
        if day < later <= day + timedelta(days=50):
            await pin(desk, later, C180="6.00", C185="3.70")
    card = await phone.asks(f"/strategy bull call spread AAPL 180/185 {day} 1", "BUY 1 AAPL BULL_CALL_SPREAD")
    await sent(desk, card, "FILLED BUY 1 AAPL BULL_CALL_SPREAD")
    before = await held(desk)
    shown = await phone.asks("/positions", "AAPL BULL_CALL_SPREAD")
    await phone.taps(next(name for name in labels(shown) if name.startswith("Roll AAPL 180/185")), shown)
    card = await phone.hears("ROLL 1 AAPL BULL_CALL_SPREAD 180/185 .* to .*Goes:.*Comes:", after=shown["id"])
    goes, _, comes = card["text"].partition("Comes:")
    assert goes.count(f"{day.day} {day:%b %y}") >= 3
    after_that = re.findall(r"buy 1 · 180 C (\d+ \w+ \d+)", comes)
    assert len(after_that) == 1
    assert after_that[0] != f"{day.day} {day:%b %y}"
    await sent(desk, card, "FILLED ROLL 1 AAPL BULL_CALL_SPREAD")
    after = await held(desk)
    assert sorted(after.values()) == ["-1", "1"]
    assert not set(after) & set(before)
    await phone.asks("/positions", f"1 AAPL BULL_CALL_SPREAD 180/185 {after_that[0]}")


async def test_wizard_leads_to_a_card(desk: House) -> None:
    """Symbol, view, budget and horizon by buttons in one message, Back included; a suggestion becomes the card."""
    phone = desk.phone
    start = await phone.asks("/strategy", "/strategy AAPL")
    await phone.taps("AAPL", start)
    view = await phone.sees(lambda m: m["id"] == start["id"] and "I think it rises" in labels(m))
    await phone.taps("I think it falls", view)
    budget = await phone.sees(lambda m: m["id"] == start["id"] and "$500" in labels(m))
    await phone.taps("◀ Back", budget)
    view = await phone.sees(lambda m: m["id"] == start["id"] and "I think it rises" in labels(m))
    await phone.taps("I think it rises", view)
    budget = await phone.sees(
        lambda m: m["id"] == start["id"] and "it rises" in m["text"] and "$1,000" in labels(m)
    )
    await phone.taps("$1,000", budget)
    horizon = await phone.sees(lambda m: m["id"] == start["id"] and "About 1 month" in labels(m))
    await phone.taps("About 1 month", horizon)
    found = await phone.sees(lambda m: m["id"] == start["id"] and "BULL_CALL_SPREAD" in labels(m))
    await phone.taps("BULL_CALL_SPREAD", found)
    card = await phone.sees(lambda m: m["id"] == start["id"] and "Send" in labels(m))
    assert re.search(r"BUY \d+ AAPL BULL_CALL_SPREAD", card["text"])
    assert loss_of(card) <= 1000
    await phone.taps("Discard", card)
    await phone.sees(lambda m: m["id"] == start["id"] and "Nothing was sent" in m["text"])


@pytest.mark.parametrize("name", ["BULL_CALL_SPREAD", "BEAR_PUT_SPREAD", "BULL_PUT_SPREAD", "IRON_CONDOR"])
async def test_a_small_budget_brings_the_strikes_together(desk: House, name: str) -> None:
    """Where the usual strikes would lose more than the budget and none were named, closer ones are taken; named ones stay."""
    usual = await desk.phone.asks(f"/strategy {name} AAPL 30d", f"1 AAPL {name}")
    most = loss_of(usual)
    fits = await desk.phone.asks(f"/strategy {name} AAPL 30d ${most * 0.6:.0f}", f"AAPL {name}.*max loss")
    assert 0 < loss_of(fits) <= most * 0.6 + 1
    assert "Send" in labels(fits)
    wide = re.search(rf"{name} ([\d./]+)", usual["text"])
    assert wide is not None
    assert wide[1] not in fits["text"]
    await desk.phone.asks(f"/strategy {name} AAPL {wide[1]} 30d ${most * 0.6:.0f}", "One of it can lose")


def loss_of(card: Json) -> float:
    """The most that the plan of a card can lose."""
    loss = re.search(r"max loss \$([\d,.]+)", card["text"])
    assert loss is not None, card["text"]
    return float(loss[1].replace(",", ""))


async def test_wizard_goes_on_after_a_restart(house: House) -> None:
    """All that was answered stands in the buttons: another bot on the same database goes on in the same message."""
    await in_session(house)
    async with house.bot():
        await house.ready()
        view = await house.phone.asks("/strategy AAPL", "What do you expect of AAPL")
    async with house.bot():
        await house.phone.taps("I think it moves a lot", view)
        budget = await house.phone.sees(
            lambda m: m["id"] == view["id"] and "How much may it lose" in m["text"]
        )
        assert "I think it moves a lot" in budget["text"]


async def test_unknown_names_say_what_there_is(desk: House) -> None:
    """A symbol without options, a strike and a day that there are none of, a misspelt strategy: each says what would be right."""
    phone, day = desk.phone, expiry(desk)
    await phone.asks("/strategy BULL_CAL_SPREAD AAPL", "Did you mean BULL_CALL_SPREAD")
    await phone.asks(f"/option AAPL call 181.37 {day}", "There is no strike 181.37; next to it: ")
    await phone.asks("/chain AAPL 2030-01-01", "the nearest days on which some do")
    await phone.asks("/spread", "/strategy BULL_CALL_SPREAD AAPL")
    await phone.asks("/greeks", "/chain AAPL")


async def test_a_bare_short_call_is_refused(desk: House) -> None:
    """Forty shares cover no call: its loss is unlimited, and the card says so and has no Send."""
    card = await desk.phone.asks(f"/option sell AAPL call 185 {expiry(desk)} 1", "SELL 1 AAPL 185 C")
    assert "⛔" in card["text"]
    assert "Send" not in labels(card)


async def test_nudges_are_said_once(house: House) -> None:
    """An expiry that comes near and a short option in the money are told with buttons, each once, over a restart too."""
    await in_session(house)
    phone, day = house.phone, expiry(house, 4)
    async with house.bot():
        await house.ready()
        await pin(house, day, C180="3.00", C185="1.20")
        card = await phone.asks(
            f"/strategy bull call spread AAPL 180/185 {day} 1", "BUY 1 AAPL BULL_CALL_SPREAD"
        )
        await sent(house, card, "FILLED BUY 1 AAPL BULL_CALL_SPREAD")
    await share(house, "188.00")
    async with house.bot():
        soon = await phone.hears("AAPL BULL_CALL_SPREAD 180/185 .* expires in .*The share is at 188")
        deep = await phone.hears(r"the short AAPL 185 C .* is in the money by 3\.01")
        assert labels(soon) == labels(deep) == ["Close", "Roll"]
        await phone.taps("Close", soon)
        await phone.hears("CLOSE 1 AAPL BULL_CALL_SPREAD 180/185", after=max(soon["id"], deep["id"]))
    async with house.bot() as desk:
        await phone.sees(lambda m: "Connected and compared" in m["text"] and m["id"] > deep["id"])
        await desk.do_what_is_due()
        await phone.asks("/status", "Broker connected")
    said = [
        m["text"] for m in await phone.chat() if "expires in" in m["text"] or "in the money by" in m["text"]
    ]
    assert len(said) == 2


async def test_expiry_and_assignment_explain_themselves(desk: House) -> None:
    """What the broker does at the end of an option is told as what it is, once, and never as a trade from elsewhere."""
    phone, day = desk.phone, expiry(desk)
    await pin(desk, day, C180="5.00", C185="2.80", P170="1.00")
    card = await phone.asks(f"/strategy bull call spread AAPL 180/185 {day} 1", "BUY 1 AAPL BULL_CALL_SPREAD")
    await sent(desk, card, "FILLED BUY 1 AAPL BULL_CALL_SPREAD")
    own = {"symbol": "AAPL", "expiry": f"{day:%Y%m%d}"}
    await desk.control.post("/tws/assign", strike=185.0, right="C", **own)
    told = await phone.hears("1 AAPL 185 C .* was assigned")
    assert "100 AAPL shares sold at 185.00 · $18,500.00" in told["text"]
    await desk.control.post("/tws/exercise", strike=180.0, right="C", **own)
    told = await phone.hears("1 AAPL 180 C .* was exercised")
    assert "100 AAPL shares bought at 180.00 · $18,000.00" in told["text"]
    await phone.asks("/positions AAPL", "AAPL 40 @")
    assert not [m for m in await phone.chat() if "elsewhere" in m["text"]]


async def test_a_plan_that_is_too_large_can_be_made_to_fit(desk: House) -> None:
    """A refusal says how many would pass, and its button makes the card of so many."""
    phone, day = desk.phone, expiry(desk)
    await pin(desk, day, C180="5.00", C185="2.80")
    card = await phone.asks(
        f"/strategy bull call spread AAPL 180/185 {day} 400", r"What would pass: \d+ combinations"
    )
    (fits,) = (name for name in labels(card) if name.startswith("Make it "))
    await phone.taps(fits, card)
    count = fits.removeprefix("Make it ")
    smaller = await phone.hears(
        f"BUY {count} AAPL BULL_CALL_SPREAD.*Nothing is sent before", after=card["id"]
    )
    assert labels(smaller) == ["Send", "Discard"]
    await phone.sees(lambda m: m["id"] == card["id"] and "replaced by a newer one" in m["text"])


async def test_a_card_that_is_too_old_is_drawn_anew(desk: House) -> None:
    """After its time a tap on Send sends nothing: the same plan at the prices of now, and that one can be sent."""
    phone, day = desk.phone, expiry(desk)
    await pin(desk, day, C180="5.00", C185="2.80")
    card = await phone.asks(f"/strategy bull call spread AAPL 180/185 {day} 1", "BUY 1 AAPL BULL_CALL_SPREAD")
    await desk.control.post("/clock", advance=130)
    await pin(desk, day, C180="5.10", C185="2.80")
    await phone.taps("Send", card)
    fresh = await phone.hears("too old to send.*BUY 1 AAPL BULL_CALL_SPREAD.*230.00 debit", after=card["id"])
    assert await held(desk) == {}
    await sent(desk, fresh, "FILLED BUY 1 AAPL BULL_CALL_SPREAD")
    assert sorted((await held(desk)).values()) == ["-1", "1"]


async def test_protection_is_for_what_is_held(desk: House) -> None:
    """The wizard protects no more than the shares that are held, and says where there are too few for a contract."""
    phone = desk.phone

    async def found(symbol: str, answer: str) -> Json:
        shown = await phone.asks(f"/strategy {symbol}", f"What do you expect of {symbol}")
        name = shown["id"]
        for tap, words in (
            ("Protect what I hold", "How much may it lose"),
            (r"$2,500", "By when"),
            ("About 1 month", answer),
        ):
            await phone.taps(tap, shown)
            shown = await phone.sees(functools.partial(_says, name, words), words)
        return shown

    await found("AAPL", "one contract protects 100")
    choice = await found("KO", "What fits")
    await phone.taps("PROTECTIVE_PUT", choice)
    await phone.hears("BUY 1 KO .* P ", after=choice["id"] - 1)


def _says(since: int, words: str, message: Json) -> bool:
    return message["id"] >= since and words in message["text"]
