"""The panic ladder on real wires: /halt, its second button, /flatten and /resume, whatever else goes wrong; and a halt that nobody asked for."""

import asyncio
import contextlib
import re
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.model import TradingState
from tests.kit import PATIENCE_SECONDS, House, Json, end
from tests.wire.faults import approve, fired, in_file
from tests.wire.test_console import kept
from tests.wire.test_disk import OVER, fill_up, forbid_growth, small_disk
from tests.wire.test_robust import working

PRICES = {"AAPL": 200.00, "MSFT": 400.00, "KO": 60.00, "SPY": 500.00, "NVDA": 90.00}
HALTED = r"🛑 HALTED\n"
PAST_SECONDS = 121
NEW_YORK = ZoneInfo("America/New_York")


# --- what the tests are made of ---------------------------------------------------------------------------------------------


async def price(house: House, symbol: str, bid: float) -> None:
    """The market stands there, two cents wide."""
    told = {"bid": bid, "ask": round(bid + 0.02, 2), "last": round(bid + 0.01, 2)}
    await house.control.post("/tws/price", symbol=symbol, **told)


async def at_day(house: House) -> None:
    """Away from New York's midnight, where a day's counts end and the broker restarts its servers."""
    while not 4 <= (now := house.world.clock.now().astimezone(NEW_YORK)).hour < 21:
        await house.control.post("/clock", advance=(60 - now.minute) * 60)


@contextlib.asynccontextmanager
async def trading(house: House, *only: str, **settings: Any) -> AsyncIterator[House]:
    """The bot in this process, in a market that stands still; where symbols are named, nothing else is held."""
    await at_day(house)
    for symbol, bid in PRICES.items():
        await price(house, symbol, bid)
    if only:
        await sold_by_hand(house, *only)
    last = (await house.phone.chat() or [{"id": 0}])[-1]["id"]
    async with house.bot(**settings):
        await house.phone.hears("Connected", after=last)
        yield house


@pytest.fixture
async def few(house: House) -> AsyncIterator[House]:
    """The same where 40 AAPL and 120 KO are all that is held."""
    async with trading(house, "AAPL", "KO"):
        yield house


@pytest.fixture
async def calm(house: House) -> AsyncIterator[House]:
    """The same with roomy limits."""
    async with trading(house):
        yield house


async def bought(house: House, line: str, terms: str) -> Json:
    """A purchase that was filled; its card."""
    card = await approve(house, line, terms)
    await house.phone.hears(f"FILLED {terms}", after=card["id"])
    return card


async def bracket(house: House) -> Json:
    """Ten MSFT, of which none was held, with a stop and a target that work; its card."""
    card = await bought(house, "/buy MSFT 10 sl 380 tp 440", "BUY 10 MSFT")
    return await house.phone.sees(lambda m: m["id"] == card["id"] and m["text"].count("working") == 2)


async def elsewhere(house: House) -> Json:
    """An order typed into TWS, and that it was noticed."""
    await house.control.post("/tws/external", symbol="KO", side="BUY", quantity=3, price=30, working=True)
    return await house.phone.hears("BUY 3 KO @ 30")


async def orders(house: House) -> list[Json]:
    """What still works at the broker, in the order in which it came."""
    return [o for o in (await house.control.book())["orders"] if o["status"] not in OVER]


Named = list[tuple[str, int, str]]


def named(found: list[Json]) -> Named:
    """(side, quantity, symbol) of each."""
    return sorted((o["side"], int(float(o["quantity"])), o["symbol"]) for o in found)


async def until(house: House, fits: Callable[[Named], bool]) -> Named:
    """Wait until what still works at the broker is so."""
    seen = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not fits(found := named(await orders(house))):
            seen = (await house.control.get("/tws/events", after=seen, timeout=0.2))["last"]
    return found


async def held(house: House) -> dict[str, int]:
    """What the broker holds."""
    return {p["symbol"]: int(float(p["quantity"])) for p in (await house.control.book())["positions"] if float(p["quantity"])}  # fmt: skip


async def holds(house: House, wanted: dict[str, int]) -> None:
    """Wait until the broker holds exactly that."""
    seen = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await held(house) != wanted:
            seen = (await house.control.get("/tws/events", after=seen, timeout=0.2))["last"]


async def sold_by_hand(house: House, *symbols: str) -> None:
    """Everything that is held but these, before the bot looks."""
    for symbol, quantity in (await held(house)).items():
        if symbol not in symbols:
            await house.control.post("/tws/external", symbol=symbol, side="SELL", quantity=quantity)


async def lets_in(house: House) -> None:
    """A purchase has a card that can be sent."""
    assert labels(await house.phone.asks("/buy KO 1", "BUY 1 KO"))[0] == "Send"


async def refuses(house: House, line: str = "/buy KO 1", why: str = "Trading is HALTED") -> Json:
    """A purchase has a card that says why not, and nothing to send it with."""
    card = await house.phone.asks(line, why)
    assert "Send" not in labels(card), card
    return card


def labels(message: Json) -> list[str]:
    """What its buttons say."""
    return [b["text"] for row in message["buttons"] for b in row]


def ask(house: House, question: str) -> list[tuple[Any, ...]]:
    """What the bot's file answers."""
    with closing(sqlite3.connect(f"file:{house.state / 'greenlight.db'}?mode=ro", uri=True)) as db:
        return db.execute(question).fetchall()


async def press(house: House, message: Json, label: str) -> None:
    """Tap a button that an earlier copy of the message had."""
    (data,) = [b["data"] for row in message["buttons"] for b in row if b["text"] == label]
    await house.control.post("/telegram/press", message_id=message["id"], data=data, late=True)


async def opened_again(house: House) -> Json:
    """/resume and its tap; what it said first."""
    said = await house.phone.asks("/resume", "Since then")
    await house.phone.taps("Open again", said)
    await house.phone.hears("trading is open again", after=said["id"])
    return said


# --- the first rung -----------------------------------------------------------------------------------------------------------


async def test_written_down_before_the_first_cancel_and_the_largest_first(calm: House) -> None:
    """The file says HALTED before the first cancel is even written; then they leave by their worth, and what closes or protects stays."""
    await bracket(calm)
    for line in ("/buy KO 5 @ 40", "/buy AAPL 10 @ 150", "/buy KO 50 @ 50", "/sell KO 20 @ 80"):
        await working(calm, line)
    seen = (await calm.control.get("/tws/events", after=0))["last"]
    said = await calm.phone.asks("/halt", HALTED)
    left = await until(calm, lambda found: len(found) == 3)
    assert left == [("SELL", 10, "MSFT"), ("SELL", 10, "MSFT"), ("SELL", 20, "KO")]
    events = (await calm.control.get("/tws/events", after=seen))["events"]
    gone = [(e["symbol"], int(float(e["quantity"]))) for e in events if e.get("status") == "Cancelled"]
    assert gone == [("KO", 50), ("AAPL", 10), ("KO", 5)]
    kinds = [kind for (kind,) in ask(calm, "SELECT kind FROM audit ORDER BY id")]
    assert kinds == ["trading", "cancel", "cancel", "cancel"]
    listed = said["text"]
    numbers = [int(n) for n in re.findall(r"^#(\d+) BUY", listed, re.MULTILINE)]
    assert numbers == [6, 5, 4]
    assert "Left working: 3 orders that protect or close" in listed


async def test_blocks_cards_of_now_and_of_before(calm: House) -> None:
    """A new card says why and cannot be sent; a Send on an older one is refused; selling goes on."""
    older = await calm.phone.asks("/buy KO 1", "BUY 1 KO")
    await calm.phone.asks("/halt", HALTED)
    await refuses(calm)
    await calm.phone.taps("Send", older)
    await calm.phone.hears("Not sent: BUY 1 KO.*HALTED", after=older["id"])
    assert not (await calm.control.book())["orders"]
    card = await approve(calm, "/sell KO 20", "SELL 20 KO")
    await calm.phone.hears("FILLED SELL 20 KO", after=card["id"])


async def test_blocks_proposals(house: House) -> None:
    """An Approve on an older proposal is refused."""
    model = house.world.model
    keys = {"anthropic_api_key": model.api_key, "anthropic_base_url": model.address, "anthropic_model": "scripted-1"}  # fmt: skip
    async with trading(house, **keys, max_position_size="10000"):
        answers = [{"verdict": "BUY", "confidence": 78}]
        await house.control.post("/model/script", model="scripted-1", answers=answers)
        proposal = await house.phone.asks("/analyze MSFT", "BUY .*MSFT.*confidence 78%")
        await house.phone.asks("/halt", HALTED)
        await house.phone.taps("Approve", proposal)
        await house.phone.hears("Not sent: BUY \\d+ MSFT.*HALTED", after=proposal["id"])
        assert not (await house.control.book())["orders"]


async def test_orders_from_elsewhere_have_a_tap_each(calm: House) -> None:
    """What another program or a person placed is named and left alone; its own tap cancels what can be reached, the rest says where it can be."""
    await elsewhere(calm)
    await calm.control.post(
        "/tws/load", orders=1, symbol="AAPL", side="BUY", quantity=2, client=0, ref="other"
    )
    await working(calm, "/buy KO 5 @ 40")
    await calm.control.post("/tws/drop")  # an order of another program is seen when the books are compared
    await calm.phone.hears("BUY 2 AAPL")
    said = await calm.phone.asks("/halt", HALTED)
    assert "Placed elsewhere: 2 orders" in said["text"]
    assert "can only be cancelled where it was placed" in said["text"]
    assert await until(calm, lambda found: len(found) == 2) == [("BUY", 2, "AAPL"), ("BUY", 3, "KO")]
    (label,) = labels(said)
    await calm.phone.taps(label, said)
    assert await until(calm, lambda found: len(found) == 1) == [("BUY", 3, "KO")]


async def test_asked_twice(calm: House) -> None:
    """The second /halt is answered like the first, and finds nothing more to cancel."""
    await working(calm, "/buy KO 5 @ 40")
    first = await calm.phone.asks("/halt", HALTED)
    await until(calm, lambda found: not found)
    second = await calm.phone.asks("/halt", HALTED)
    assert second["id"] > first["id"]
    assert "No order of yours could add anything" in second["text"]
    assert ask(calm, "SELECT count(*) FROM audit WHERE kind = 'cancel'") == [(1,)]


async def test_a_bracket_that_is_partly_filled_keeps_its_stop(calm: House) -> None:
    """What it has yet to buy is cancelled; what it has bought stays protected, also after the books are compared again."""
    card = await approve(calm, "/buy MSFT 10 @ 390 sl 380 tp 440", "BUY 10 MSFT")
    await calm.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])
    (entry,) = [o for o in await orders(calm) if o["side"] == "BUY"]
    await calm.control.post("/tws/fill", order=entry["perm_id"], quantity=4)
    await calm.phone.sees(lambda m: m["id"] == card["id"] and "4/10" in m["text"])
    await calm.phone.asks("/halt", HALTED)
    await until(calm, lambda found: not any(side == "BUY" for side, _, _ in found))
    await calm.control.post("/tws/drop")
    await calm.phone.hears("Connected", after=card["id"])
    await calm.phone.asks("/halt", HALTED)
    assert {o["type"]: float(o["quantity"]) - float(o["filled"]) for o in await orders(calm)} == {"LMT": 4, "STP": 4}  # fmt: skip


async def test_holds_over_a_restart(house: House) -> None:
    """An orderly stop and a new start change nothing of it."""
    async with trading(house):
        await house.phone.asks("/halt", HALTED)
    async with trading(house):
        await refuses(house)
        said = await opened_again(house)
        assert "You asked for it with /halt." in said["text"]
        await lets_in(house)


async def test_holds_over_kill_9(house: House) -> None:
    """So does a process that was killed; what it had left is still the owner's to open."""
    bot = await house.spawn()
    await house.ready()
    last = (await house.phone.asks("/halt", HALTED))["id"]
    await end(bot, signal.SIGKILL)
    bot = await house.spawn()
    await house.phone.hears("Connected", after=last)
    assert "You asked for it with /halt." in (await refuses(house))["text"]
    await opened_again(house)
    await lets_in(house)
    assert (await end(bot))[0] == 0


async def test_an_unclean_stop_is_halted_until_the_books_are_compared(house: House) -> None:
    """Killed while ACTIVE, it says HALTED until it has compared, and then it is as before, without anybody's word."""
    bot = await house.spawn()
    await house.ready()
    await lets_in(house)
    await end(bot, signal.SIGKILL)
    await house.control.post("/tws/refuse", on=True)
    last = (await house.phone.chat())[-1]["id"]
    bot = await house.spawn()
    told = await house.phone.asks("/risk", r"HALTED.*Greenlight did not stop in order")
    assert told["id"] > last
    assert not labels(await house.phone.asks("/resume", "did not stop in order"))
    await house.control.post("/tws/refuse", on=False)
    await house.phone.hears("Connected", after=told["id"])
    await house.phone.asks("/risk", "🟢 ACTIVE")
    await lets_in(house)
    assert (await end(bot))[0] == 0
    bot = await house.spawn()
    last = (await house.phone.asks("/risk", "🟢 ACTIVE"))["id"]
    assert "did not stop in order" not in str([m for m in await house.phone.chat() if m["id"] >= last])
    await end(bot)


# --- with the broker away, and with the disk full --------------------------------------------------------------------------------


async def test_while_disconnected(calm: House) -> None:
    """It blocks at once and says that it cannot cancel yet; first thing after the comparison it does, and leaves what protects."""
    await bracket(calm)
    await working(calm, "/buy KO 50 @ 50")
    await calm.control.post("/tws/refuse", on=True)
    await calm.control.post("/tws/drop")
    await calm.phone.hears("Broker not reachable")
    said = await calm.phone.asks("/halt", HALTED)
    assert "The broker cannot be reached now" in said["text"]
    assert "Will be cancelled 1 order that could add" in said["text"], said["text"]
    assert "Left working: 2 orders that protect or close" in said["text"]
    assert len(await orders(calm)) == 3
    await calm.control.post("/tws/refuse", on=False)
    left = await until(calm, lambda found: ("BUY", 50, "KO") not in found)
    assert left == [("SELL", 10, "MSFT")] * 2


async def test_while_disconnected_and_then_killed(house: House) -> None:
    """What a halt still owed to the broker is done by the next life."""
    bot = await house.spawn()
    await house.ready()
    await working(house, "/buy KO 50 @ 50")
    await house.control.post("/tws/refuse", on=True)
    await house.control.post("/tws/drop")
    await house.phone.hears("Broker not reachable")
    await house.phone.asks("/halt", HALTED)
    await end(bot, signal.SIGKILL)
    await house.control.post("/tws/refuse", on=False)
    bot = await house.spawn()
    await until(house, lambda found: not found)
    await end(bot)


@pytest.mark.parametrize("fault", ["disk full", "I/O error"])
async def test_with_a_disk_that_takes_nothing(house: House, fault: str) -> None:
    """It blocks and cancels all the same, and says at once that it is not on the disk; with room, another /halt is."""
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(small_disk(house.state / "disk")) if fault == "disk full" else house.state
        database: Path = place / "greenlight.db"
        bot = await house.spawn(DATABASE_PATH=str(database))
        await house.ready()
        await working(house, "/buy KO 50 @ 50")
        await house.phone.settled()
        relieve = fill_up(place) if fault == "disk full" else forbid_growth(bot.pid, database)
        said = await house.phone.asks("/halt", "The disk did not take it.*HALTED")
        assert "Cancelling 1 order that could add" in said["text"]
        await until(house, lambda found: not found)
        relieve()
        again = await house.phone.asks("/halt", HALTED)
        assert "did not take it" not in again["text"]
        await refuses(house)
        assert kept(database) is TradingState.HALTED
        assert (await end(bot))[0] == 0


async def test_a_cancel_that_the_broker_keeps_waiting(calm: House) -> None:
    """It is not asked again and again; a fill that overtakes it is told, and what is held then is closed by /flatten all the same."""
    await working(calm, "/buy NVDA 5 @ 80")
    await calm.control.post("/tws/cancels", mode="hold")
    await calm.phone.asks("/halt", HALTED)
    await in_file(calm, "SELECT 1 FROM orders WHERE cancel_requested_at IS NOT NULL")
    (order,) = await orders(calm)
    await calm.control.post("/tws/fill", order=order["perm_id"])
    await calm.phone.hears("FILLED BUY 5 NVDA")
    assert ask(calm, "SELECT count(*) FROM audit WHERE kind = 'cancel'") == [(1,)]
    await fired(calm, "tws", cancels_hold=1)
    await refuses(calm)
    await flattened(calm)
    await holds(calm, {})


# --- the second rung ----------------------------------------------------------------------------------------------------------------


async def test_the_rest_goes_after_it_was_named(calm: House) -> None:
    """The second button names every holding that would stand bare, and cancels only when that is tapped too."""
    await bracket(calm)
    await working(calm, "/sell AAPL 40 stop 150 gtc")
    said = await calm.phone.asks("/halt", HALTED)
    await calm.phone.taps("Cancel these 3 too", said)
    question = await calm.phone.hears("Cancel these 3 too\\?", after=said["id"])
    bare = question["text"].partition("Nothing would protect or close any more:")[2]
    assert set(re.findall(r"^(\w+) (\d+)$", bare, re.MULTILINE)) == {("AAPL", "40"), ("MSFT", "10")}
    assert len(await orders(calm)) == 3, "a question has cancelled"
    await calm.phone.taps("Yes, cancel all 3", question)
    await until(calm, lambda found: not found)
    assert (await held(calm))["MSFT"] == 10
    await press(calm, question, "Yes, cancel all 3")
    await calm.phone.hears_toast("Nothing of yours is working any more")


async def test_the_rest_is_named_anew_where_it_has_changed(calm: House) -> None:
    """What was not named is not cancelled: a stop that was added since the question makes it a new question."""
    await working(calm, "/sell KO 20 stop 50 gtc")
    said = await calm.phone.asks("/halt", HALTED)
    await calm.phone.taps("Cancel these 1 too", said)
    question = await calm.phone.hears("KO 120", after=said["id"])
    await working(calm, "/sell AAPL 40 stop 150 gtc")
    await calm.phone.taps(labels(question)[0], question)
    anew = await calm.phone.hears("Nothing would protect.*AAPL 40", after=question["id"])
    assert len(await orders(calm)) == 2
    await calm.phone.taps(labels(anew)[0], anew)
    await until(calm, lambda found: not found)


async def test_a_holding_with_another_exit_is_not_called_bare(calm: House) -> None:
    """A closing order that was placed elsewhere still closes it."""
    await calm.control.post("/tws/external", symbol="AAPL", side="SELL", quantity=40, price=300, working=True)
    await calm.phone.hears("SELL 40 AAPL @ 300")
    await working(calm, "/sell KO 20 stop 50 gtc")
    said = await calm.phone.asks("/halt", HALTED)
    await calm.phone.taps("Cancel these 1 too", said)
    question = await calm.phone.hears("Cancel (these 1|it) too\\?", after=said["id"])
    assert "AAPL" not in question["text"].partition("Nothing would protect")[2]
    assert "KO 120" in question["text"]


async def test_old_buttons_do_nothing(calm: House) -> None:
    """Every button that acts is too old two minutes after it was drawn."""
    await bracket(calm)
    said = await calm.phone.asks("/halt", HALTED)
    await calm.phone.taps("Cancel these 2 too", said)
    rest = await calm.phone.hears("Cancel these 2 too\\?", after=said["id"])
    first = await calm.phone.asks("/flatten", "Close everything at market")
    (label,) = labels(first)
    await calm.phone.taps(label, first)
    second = await calm.phone.hears("Halt, and close", after=first["id"])
    opening = await calm.phone.asks("/resume", "Since then")
    await calm.control.post("/clock", advance=PAST_SECONDS)
    before = await held(calm), len(await orders(calm))
    for number, message in enumerate((rest, first, second, opening), 1):
        seen = (await calm.control.get("/telegram/events", after=0))["last"]
        await press(calm, message, labels(message)[0])
        await _answered(calm, seen, "too old; nothing was done")
        assert number
    assert (await held(calm), len(await orders(calm))) == before
    await refuses(calm)


async def _answered(house: House, seen: int, pattern: str) -> None:
    """Wait for a toast behind that event."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            told = await house.control.get("/telegram/events", after=seen, timeout=5)
            for event in told["events"]:
                if event["kind"] == "answerCallbackQuery":
                    assert re.search(pattern, event.get("text") or ""), event
                    return
            seen = told["last"]


# --- the third rung -----------------------------------------------------------------------------------------------------------------


async def flattened(house: House) -> Json:
    """/flatten and both taps; the second question."""
    first = await house.phone.asks("/flatten", "Close everything at market")
    await house.phone.taps(labels(first)[0], first)
    second = await house.phone.hears("Halt, and close", after=first["id"])
    await house.phone.taps("Yes, close everything now", second)
    return second


async def test_flatten(few: House) -> None:
    """Stops and targets are taken down, everything is sold, and nothing is left: no holding, no order. It is HALTED afterwards."""
    await bracket(few)
    await working(few, "/buy KO 5 @ 40")
    first = await few.phone.asks("/flatten", "Close everything at market")
    for line in ("SELL 40 AAPL at market", "SELL 120 KO at market", "SELL 10 MSFT at market"):
        assert line in first["text"]
    assert re.search(r"Half the spread and commissions, about: \$\d", first["text"])
    assert "1 order that could add cancelled" in first["text"]
    assert labels(first) == ["Close 3 holdings…"]
    assert len(await orders(few)) == 3, "a preview has done something"
    await flattened(few)
    await holds(few, {})
    await until(few, lambda found: not found)
    await few.phone.hears("HALTED, and 3 of 3 holdings on their way out")
    for terms in ("SELL 40 AAPL", "SELL 120 KO", "SELL 10 MSFT"):
        await few.phone.hears(f"FILLED {terms}")
    await refuses(few)
    assert "Nothing is held" in (await few.phone.asks("/flatten", "Nothing is held"))["text"]


async def test_flatten_names_what_it_cannot_close(few: House) -> None:
    """A holding that Greenlight does not trade is named in the preview and afterwards, and the rest is closed."""
    await few.control.post("/tws/external", symbol="EUR.USD", side="BUY", quantity=30000)
    await few.phone.hears("FILLED BUY 30,?000 EUR")
    first = await few.phone.asks("/flatten", "SELL 120 KO at market")
    assert re.search("⚠️ EUR[^\n]* stays: ", first["text"]), first["text"]
    assert labels(first) == ["Close 2 holdings…"]
    await flattened(few)
    await few.phone.hears("2 of 3 holdings on their way out.*EUR[^\n]*no US stock", after=first["id"])
    await few.phone.hears("FILLED SELL 120 KO")
    assert "KO" not in await held(few)


async def test_flatten_takes_the_place_of_a_closing_order(few: House) -> None:
    """A sale that rests far away is named with the way out of it: what it sells is not said to be on its way."""
    await working(few, "/sell KO 20 @ 100 gtc")
    first = await few.phone.asks("/flatten", "Close everything at market")
    assert "SELL 100 KO at market" in first["text"]
    assert re.search(r"⚠️ 20 of it wait in #\d+ SELL 20 KO @ 100.00 GTC: /cancel \d+ first", first["text"]), (
        first["text"]
    )


async def test_flatten_tapped_twice_sells_once(few: House) -> None:
    """The second tap of the last button finds everything on its way, and says so."""
    await few.control.post("/tws/fills", mode="hold")
    second = await flattened(few)
    await until(few, lambda found: len(found) == 2)
    told = await few.phone.hears("2 of 2 holdings on their way out", after=second["id"])
    await press(few, second, "Yes, close everything now")
    again = await few.phone.hears("0 of 2 holdings", after=told["id"])
    assert "on its way out already" in again["text"], again["text"]
    assert "close it in TWS" not in again["text"]
    await few.control.post("/tws/fills", mode="auto")
    for order in await orders(few):
        await few.control.post("/tws/fill", order=order["perm_id"])
    await holds(few, {})
    assert sum(bool(o["ref"]) for o in (await few.control.book())["orders"]) == 2


async def test_flatten_of_nothing(house: House) -> None:
    """There is nothing to tap, and nothing is halted."""
    async with trading(house, "none"):
        said = await house.phone.asks("/flatten", "Nothing is held")
        assert not labels(said)
        assert "HALTED" not in (await house.phone.asks("/risk", "Used"))["text"]


# --- opening again ------------------------------------------------------------------------------------------------------------------


async def test_resume_says_what_happened_and_wants_a_tap(calm: House) -> None:
    """Fills of meanwhile are named, with what still works; only the tap opens."""
    await bracket(calm)
    await calm.control.post("/clock", advance=2)  # the broker tells when a fill was to the second
    await calm.phone.asks("/halt", HALTED)
    await price(calm, "MSFT", 379.00)
    await calm.phone.hears("Stop hit: FILLED SELL 10 MSFT")
    said = await calm.phone.asks("/resume", "Since then.*SELL 10 MSFT")
    assert "BUY 10 MSFT" not in said["text"].partition("Since then")[2]
    await refuses(calm)
    await calm.phone.taps("Open again", said)
    await calm.phone.hears("trading is open again", after=said["id"])
    await lets_in(calm)
    assert "already" in (await calm.phone.asks("/resume", "ACTIVE already"))["text"]
    await press(calm, said, "Open again")
    await calm.phone.hears_toast("Trading is ACTIVE already")


# --- by itself ----------------------------------------------------------------------------------------------------------------------


async def lose(house: House, dollars: int) -> None:
    """The account's gain of the day is so much below zero."""
    await house.control.post("/tws/price", symbol="SPY", daily=f"{-dollars}.00")


async def percent(house: House, part: float) -> int:
    """So many percent of what the account was worth at the close before."""
    (figures,) = (await house.control.book())["figures"].values()
    return round(float(figures["previous"]) * part / 100)


async def said_by_itself(house: House, state: str) -> int:
    """How often a state was told."""
    return sum(1 for m in await house.phone.chat() if re.match(rf"\W*{state}\n", m["text"]))


async def test_the_days_loss_tightens_step_by_step(calm: House) -> None:
    """At 3 % REDUCING and told once, entries refused, exits let through; at 5 % HALTED, and what rests to buy is cancelled."""
    await working(calm, "/buy KO 50 @ 50")
    await lose(calm, await percent(calm, 2.8))
    await calm.phone.asks("/risk", "🟢 ACTIVE.*Loss today, closed to entries: 2")
    await lose(calm, await percent(calm, 3.3))
    await calm.phone.hears("🟠 REDUCING")
    await refuses(calm, why="Trading is REDUCING")
    assert len(await orders(calm)) == 1
    card = await approve(calm, "/sell AAPL 5", "SELL 5 AAPL")
    await calm.phone.hears("FILLED SELL 5 AAPL", after=card["id"])
    await lose(calm, await percent(calm, 4.3))
    await calm.phone.asks("/risk", "closed to entries: 4")
    assert await said_by_itself(calm, "REDUCING") == 1
    await lose(calm, await percent(calm, 5.6))
    await calm.phone.hears(HALTED)
    await until(calm, lambda found: not found)
    await refuses(calm)
    assert await said_by_itself(calm, "HALTED") == 1


async def test_after_resume_the_same_loss_does_not_close_again(calm: House) -> None:
    """Opened again at 3 %, it stays open while entries are refused by the rule itself; 5 % closes it."""
    await lose(calm, await percent(calm, 3.3))
    await calm.phone.hears("🟠 REDUCING")
    said = await opened_again(calm)
    assert "entries stay refused until tomorrow" in said["text"]
    await lose(calm, await percent(calm, 4.3))
    await calm.phone.asks("/risk", "🟢 ACTIVE.*closed to entries: 4")
    await refuses(calm, why="lost its measure for today")
    assert await said_by_itself(calm, "REDUCING") == 1
    await lose(calm, await percent(calm, 5.6))
    await calm.phone.hears(HALTED)


async def test_a_loss_accepted_holds_over_a_restart(house: House) -> None:
    """What the owner has seen and opened again today is not closed by the next start."""
    async with trading(house):
        await lose(house, await percent(house, 3.3))
        await house.phone.hears("🟠 REDUCING")
        await opened_again(house)
    async with house.bot():
        await house.phone.asks("/risk", "🟢 ACTIVE.*closed to entries: 3.")
        assert await said_by_itself(house, "REDUCING") == 1


async def test_three_rejections_halt(calm: House) -> None:
    """The third in five minutes halts; what rests to buy goes; /resume begins to count anew."""
    await working(calm, "/buy KO 50 @ 50")
    await calm.control.post("/tws/reject", code=201, message="Order rejected - reason:not today", count=3)
    for count in (1, 2, 3):
        assert await said_by_itself(calm, "HALTED") == 0
        card = await approve(calm, f"/buy KO {count}", f"BUY {count} KO")
        await calm.phone.hears("REJECTED", after=card["id"])
    await calm.phone.hears(f"{HALTED}The broker has rejected 3 orders within five minutes")
    await until(calm, lambda found: not found)
    await fired(calm, "tws", reject=3)
    await opened_again(calm)
    await bought(calm, "/buy KO 4", "BUY 4 KO")


# --- kill -9 between two sales --------------------------------------------------------------------------------------------------------


async def test_flatten_killed_between_two_sales(house: House) -> None:
    """What was sent is not sent again; the rest is still held, HALTED, and another /flatten closes just that."""
    for symbol, bid in PRICES.items():
        await price(house, symbol, bid)
    await sold_by_hand(house, "AAPL", "KO")
    bot = await house.spawn()
    await house.ready()
    await house.control.post("/tws/fills", mode="hold")
    second = await flattened(house)
    await in_file(house, "SELECT 1 FROM orders WHERE owner IS NOT NULL")
    await end(bot, signal.SIGKILL)
    bot = await house.spawn()
    await house.phone.hears("Connected", after=second["id"])
    await house.phone.settled()
    assert kept(house.state / "greenlight.db") is TradingState.HALTED
    await house.control.post("/tws/fills", mode="auto")
    for order in await orders(house):
        await house.control.post("/tws/fill", order=order["perm_id"])
    await _settled(house)
    if await held(house):
        await flattened(house)
    await holds(house, {})
    sold = [(o["symbol"], float(o["filled"])) for o in (await house.control.book())["orders"] if o["ref"]]
    assert sorted(sold) == [("AAPL", 40), ("KO", 120)]
    assert (await end(bot))[0] == 0


async def _settled(house: House) -> None:
    """Wait until no order of ours is on its way."""
    seen = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while ask(house, "SELECT 1 FROM orders WHERE owner IS NOT NULL AND state IN ('SENDING', 'UNKNOWN', 'WORKING')"):  # fmt: skip
            seen = (await house.control.get("/tws/events", after=seen, timeout=0.2))["last"]
