"""`greenlight halt` beside the real bot, each a process of its own: with Telegram down, the disk full, the broker away, the bot hanging or stopped."""

import asyncio
import contextlib
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bot.halt import AT_START
from core.model import TradingState
from core.trading import KEY, of_text
from tests.kit import PATIENCE_SECONDS, House, Json, end
from tests.wire.faults import approve, fired
from tests.wire.test_disk import OVER, fill_up, forbid_growth, run, small_disk
from tests.wire.test_robust import locked, said, working


async def three_orders(house: House) -> None:
    """One that adds, a holding, and the stop that protects it."""
    await house.ready()
    await approve(house, "/buy AAPL 10", "BUY 10 AAPL")
    await house.phone.hears("FILLED BUY 10 AAPL")
    await working(house, "/sell AAPL 10 stop 150 gtc")
    await working(house, "/buy KO 5 @ 40")


async def standing(house: House) -> list[str]:
    """What still works at the broker."""
    return sorted(o["symbol"] for o in (await house.control.book())["orders"] if o["status"] not in OVER)


async def only_the_stop_is_left(house: House) -> None:
    """Wait until the broker has cancelled what could add; what protects stands."""
    seen = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (left := await standing(house)) != ["AAPL"]:
            assert left == ["AAPL", "KO"]
            seen = (await house.control.get("/tws/events", after=seen, timeout=0.2))["last"]


def kept(database: Path) -> TradingState:
    """The trading state on the disk."""
    with closing(sqlite3.connect(database)) as db:
        return of_text(*db.execute("SELECT value FROM wishes WHERE key = ?", (KEY,))).state


async def nothing_opens(house: House) -> Json:
    """A purchase is refused and says why; returns the refusal."""
    refused = await house.phone.asks("/buy MSFT 1", "MSFT.*HALTED")
    assert not refused["buttons"]
    return refused


async def test_halt_with_telegram_down(house: House) -> None:
    """What adds is cancelled at once and what protects stays; the chat hears of it when it is back; it holds over a restart until /resume."""
    bot = await house.spawn()
    await three_orders(house)
    await house.phone.settled()
    await house.control.post("/telegram/fault", kind="outage")
    code, out, errors = await run(house, "halt")
    assert (code, errors) == (0, "")
    assert out.startswith("HALTED. Nothing that opens or adds leaves any more.\n")
    assert "Cancelling: 1 order" in out
    assert "BUY 5 KO" in out
    assert "Left working: 1 order" in out
    assert "did not take it" not in out
    await only_the_stop_is_left(house)
    assert kept(house.state / "greenlight.db") is TradingState.HALTED
    await fired(house, "telegram", outage=1)
    await house.control.post("/telegram/fault", kind="clear")
    await house.phone.hears("HALTED.*Halted from the command line")
    await nothing_opens(house)
    assert (await end(bot))[0] == 0
    last = (await house.phone.chat())[-1]["id"]
    bot = await house.spawn()
    await house.phone.hears("Connected", after=last)
    await nothing_opens(house)
    await house.phone.taps("Open again", await house.phone.asks("/resume", "Halted from the command line"))
    await house.phone.hears("trading is open again")
    await approve(house, "/buy MSFT 1", "BUY 1 MSFT")
    await house.phone.hears("FILLED BUY 1 MSFT")
    await end(bot)


@pytest.mark.parametrize("fault", ["disk full", "I/O error", "locked"])
async def test_halt_with_a_disk_that_takes_nothing(house: House, fault: str) -> None:
    """It is cancelled all the same, and said that it is not on the disk; after room was made, another halt is."""
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(small_disk(house.state / "disk")) if fault == "disk full" else house.state
        database = place / "greenlight.db"
        bot = await house.spawn(DATABASE_PATH=str(database))
        await three_orders(house)
        await house.phone.settled()
        relieve: Callable[[], None]
        match fault:
            case "disk full":
                relieve = fill_up(place)
            case "I/O error":
                relieve = forbid_growth(bot.pid, database)
            case _:
                other = stack.enter_context(contextlib.ExitStack())
                other.enter_context(locked(house))
                relieve = other.close
        code, out, errors = await run(house, "halt", DATABASE_PATH=str(database))
        assert (code, errors) == (0, "")
        assert "The disk did not take it" in out
        await only_the_stop_is_left(house)
        relieve()
        code, out, errors = await run(house, "halt", DATABASE_PATH=str(database))
        assert (code, errors) == (0, "")
        assert "did not take it" not in out
        assert kept(database) is TradingState.HALTED
        await nothing_opens(house)
        assert (await end(bot))[0] == 0


async def test_halt_while_the_broker_is_away(house: House) -> None:
    """It is said that the broker cannot be reached; first thing when it is back, what adds is cancelled."""
    bot = await house.spawn()
    await three_orders(house)
    await house.control.post("/tws/refuse", on=True)
    await house.control.post("/tws/drop")
    await house.phone.hears("Broker not reachable")
    code, out, errors = await run(house, "halt")
    assert (code, errors) == (0, "")
    assert "The broker cannot be reached now. First thing when it is back" in out
    assert "BUY 5 KO" in out
    assert kept(house.state / "greenlight.db") is TradingState.HALTED
    assert await standing(house) == ["AAPL", "KO"]
    await house.control.post("/tws/refuse", on=False)
    await only_the_stop_is_left(house)
    await fired(house, "tws", refuse=1, drop=1)
    assert (await end(bot))[0] == 0


async def test_halt_with_a_line_that_is_dead_and_does_not_say_so(house: House) -> None:
    """The command does not wait for the broker; once the line lives, what adds is cancelled."""
    bot = await house.spawn()
    await three_orders(house)
    await house.control.post("/tws/half_open", on=True)
    code, out, errors = await run(house, "halt")
    assert (code, errors) == (0, "")
    assert out.startswith("HALTED.")
    assert await standing(house) == ["AAPL", "KO"]
    await house.control.post("/tws/half_open", on=False)
    await only_the_stop_is_left(house)
    assert (await end(bot))[0] == 0


async def test_halt_while_the_broker_is_away_says_what_stays(house: House) -> None:
    """What protects is not listed as what will be cancelled: it will not be."""
    bot = await house.spawn()
    await three_orders(house)
    await house.control.post("/tws/refuse", on=True)
    await house.control.post("/tws/drop")
    await house.phone.hears("Broker not reachable")
    _, out, _ = await run(house, "halt")
    await end(bot)
    assert "To be cancelled: 1 order" in out


async def everything_down(house: House, place: Path) -> Callable[[], None]:
    """No chat, no room, no broker, and a halt, which holds from that moment on; then the broker comes back. Returns what makes room."""
    await three_orders(house)
    await house.control.post("/tws/refuse", on=True)
    await house.control.post("/tws/drop")
    await house.phone.hears("Broker not reachable")
    await house.control.post("/telegram/fault", kind="outage")
    relieve = fill_up(place)
    code, out, errors = await run(house, "halt", DATABASE_PATH=str(place / "greenlight.db"))
    assert (code, errors) == (0, "")
    assert "The disk did not take it" in out
    assert "The broker cannot be reached now" in out
    await house.control.post("/tws/refuse", on=False)
    return relieve


async def test_halt_with_everything_down_at_once(house: House) -> None:
    """Once broker and room are back it is done, whether there is a chat or not."""
    with small_disk(house.state / "disk") as place:
        bot = await house.spawn(DATABASE_PATH=str(place / "greenlight.db"))
        relieve = await everything_down(house, place)
        relieve()
        await only_the_stop_is_left(house)
        await house.control.post("/telegram/fault", kind="clear")
        await nothing_opens(house)
        assert (await end(bot))[0] == 0


async def test_halt_goes_on_with_the_broker_back_and_the_disk_full(house: House) -> None:
    """Neither chat nor room is needed to cancel."""
    with small_disk(house.state / "disk") as place:
        bot = await house.spawn(DATABASE_PATH=str(place / "greenlight.db"))
        await everything_down(house, place)
        try:
            await only_the_stop_is_left(house)
        finally:
            await end(bot, signal.SIGKILL)


async def test_halt_of_a_bot_that_is_stopped(house: House) -> None:
    """Nothing is cancelled then, and it is said; at its next start the bot cancels first thing, and lets nothing through until /resume."""
    bot = await house.spawn()
    await three_orders(house)
    assert (await end(bot))[0] == 0
    assert await run(house, "halt") == (0, f"{AT_START}\n", "")
    assert await standing(house) == ["AAPL", "KO"]
    last = (await house.phone.chat())[-1]["id"]
    bot = await house.spawn()
    await only_the_stop_is_left(house)
    await house.phone.hears("Connected", after=last)
    await nothing_opens(house)
    code, out, _ = await run(house, "halt")
    assert (code, out.splitlines()[0]) == (0, "HALTED. Nothing that opens or adds leaves any more.")
    assert (await end(bot))[0] == 0


@pytest.mark.parametrize("with_halt", [True, False])
async def test_halt_of_a_bot_that_hangs(house: House, with_halt: bool) -> None:
    """It is not said to be halted: exit code 1 and what to do. Killed and halted it stays so after the start; only killed, until the books are compared."""
    bot = await house.spawn()
    await three_orders(house)
    await house.phone.settled()
    bot.send_signal(signal.SIGSTOP)
    if with_halt:
        code, out, errors = await run(house, "halt")
        assert (code, out, errors.count("\n")) == (1, "", 1)
        assert "does not answer within 5 seconds. It is not known to be halted: end its process" in errors
    await end(bot, signal.SIGKILL)
    if with_halt:
        assert await run(house, "halt") == (0, f"{AT_START}\n", "")
    last = (await house.phone.chat())[-1]["id"]
    bot = await house.spawn()
    await house.phone.hears("Connected", after=last)
    if with_halt:
        await only_the_stop_is_left(house)
        await nothing_opens(house)
    else:
        await approve(house, "/buy MSFT 1", "BUY 1 MSFT")
        await house.phone.hears("FILLED BUY 1 MSFT")
        assert await standing(house) == ["AAPL", "KO"]
    assert (await end(bot))[0] == 0


async def test_two_halts_at_once(house: House) -> None:
    """Two terminals: both hear that it is halted, and the order is cancelled once."""
    bot = await house.spawn()
    await three_orders(house)
    done = await asyncio.gather(run(house, "halt"), run(house, "halt"))
    for code, out, errors in done:
        assert (code, errors) == (0, "")
        assert out.startswith("HALTED.")
    await only_the_stop_is_left(house)
    counts = (await house.control.get("/tws/counts"))["requests"]
    assert counts["cancel_order"] == 1, counts
    assert await said(house, "Cancelled BUY 5 KO|BUY 5 KO.*CANCELLED") <= 1
    assert (await end(bot))[0] == 0
