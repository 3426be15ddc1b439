"""The trading state: blocked in memory first, opened on the disk first, kept over every kind of end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from core.errors import StaleCard, StorageError
from core.model import Notice, Origin, Trading, TradingState
from core.risk import day_began
from core.trading import KEY, TradingSwitch, as_text, of_text
from storage.database import Database
from storage.ledger import SqliteLedger
from tests.values import NOW, OWNER

ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED
LEVELS = (ACTIVE, REDUCING, HALTED)


@dataclass
class Watch:
    """A clock that stands until it is moved."""

    time: datetime = NOW

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


class Silent:
    """Nobody has to be woken."""

    def wake(self) -> None:
        return None


@dataclass
class Desk:
    """A file, and the switch of the run that has it open."""

    path: Path
    clock: Watch
    database: Database
    switch: TradingSwitch

    async def again(self) -> TradingSwitch:
        """The next run on the same file."""
        await self.database.close()
        self.database = await Database.open(self.path, None, self.clock.now)
        self.switch = TradingSwitch(SqliteLedger(self.database, self.clock, (OWNER,)), Silent(), self.clock)
        await self.switch.load()
        return self.switch


def origin(update: int) -> Origin:
    """What was asked, as it came."""
    return Origin(update_id=update, user=OWNER, raw="{}")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A first run, with its state taken up."""
    clock, path = Watch(), tmp_path / "greenlight.db"
    database = await Database.open(path, None, clock.now)
    switch = TradingSwitch(SqliteLedger(database, clock, (OWNER,)), Silent(), clock)
    made = Desk(path, clock, database, switch)
    await switch.load()
    yield made
    await made.database.close()


async def test_before_anything_was_read_it_is_halted(desk: Desk) -> None:
    """A program that has not looked yet lets nothing through; a file that says nothing means ACTIVE."""
    fresh = TradingSwitch(SqliteLedger(desk.database, desk.clock, (OWNER,)), Silent(), desk.clock)
    assert fresh.now.state is HALTED
    await fresh.load()
    assert fresh.now == Trading()


@pytest.mark.parametrize("now", LEVELS)
@pytest.mark.parametrize("wanted", LEVELS)
def test_block_never_loosens(now: TradingState, wanted: TradingState) -> None:
    """Tighter is taken at once; the same or looser changes neither the state nor why and since when."""
    switch = TradingSwitch(None, Silent(), Watch())  # type: ignore[arg-type]  # a block touches no disk
    switch.now = before = Trading(now, "first", NOW - timedelta(hours=1))
    after = switch.block(wanted, "second")
    assert after is switch.now
    if LEVELS.index(wanted) > LEVELS.index(now):
        assert after == Trading(wanted, "second", NOW)
    else:
        assert after == before


async def test_kept_over_an_orderly_stop(desk: Desk) -> None:
    """State, reason, time and what was accepted come back as they were."""
    await desk.switch.started()
    desk.switch.block(REDUCING, "The account has lost 3.20 % today.")
    await desk.switch.keep()
    await desk.switch.stopped()
    assert (await desk.again()).now == Trading(REDUCING, "The account has lost 3.20 % today.", NOW)


@pytest.mark.parametrize("kept", LEVELS)
async def test_after_an_unclean_stop(desk: Desk, kept: TradingState) -> None:
    """HALTED until the books are compared, then the state before; what was HALTED stays so after that too."""
    await desk.switch.started()
    if kept is not ACTIVE:
        desk.switch.block(kept, "because")
        await desk.switch.keep()
    before = desk.switch.now
    switch = await desk.again()
    assert switch.now.state is HALTED
    await switch.compared()
    assert switch.now == before
    await switch.compared()
    assert switch.now == before


async def test_a_halt_before_the_books_are_compared_outlasts_the_comparison(desk: Desk) -> None:
    """What its owner asked for meanwhile is not undone by what an unclean stop has covered."""
    await desk.switch.started()
    switch = await desk.again()
    switch.block(HALTED, "You asked for it.")
    await switch.keep()
    await switch.compared()
    assert switch.now == Trading(HALTED, "You asked for it.", NOW)


async def test_an_unclean_stop_twice_forgets_nothing(desk: Desk) -> None:
    """What covers the state is never itself what is kept."""
    await desk.switch.started()
    await (await desk.again()).started()
    switch = await desk.again()
    await switch.compared()
    assert switch.now == Trading()


async def test_resume(desk: Desk) -> None:
    """Open, with what was accepted, for the next run too, and said in a message of the same moment."""
    desk.switch.block(HALTED, "because")
    await desk.switch.keep()
    desk.clock.time += timedelta(minutes=5)
    await desk.switch.resume(origin(1), REDUCING, (Notice("resumed", {"against": []}, to=OWNER),))
    opened = Trading(ACTIVE, "", NOW + timedelta(minutes=5), REDUCING)
    assert desk.switch.now == opened
    assert (await desk.again()).now == opened


async def test_a_disk_that_fails_keeps_it_closed_and_never_open(desk: Desk) -> None:
    """A halt that cannot be written holds all the same; an opening that cannot be written does not happen."""
    desk.switch.block(HALTED, "because")
    await desk.database.close()
    with pytest.raises(StorageError):
        await desk.switch.keep()
    with pytest.raises(StorageError):
        await desk.switch.resume(origin(1), ACTIVE)
    assert desk.switch.now == Trading(HALTED, "because", NOW)
    desk.database = await Database.open(desk.path, None, desk.clock.now)


async def test_a_halt_that_comes_while_an_opening_is_written(desk: Desk) -> None:
    """The halt holds, in memory and in the file."""
    desk.switch.block(HALTED, "first")
    await desk.switch.keep()
    opening = asyncio.ensure_future(desk.switch.resume(origin(1), ACTIVE))
    await asyncio.sleep(0)  # it is on its way to the disk
    desk.switch.block(HALTED, "second")
    keeping = asyncio.ensure_future(desk.switch.keep(origin(2)))
    with pytest.raises(StaleCard):
        await opening
    await keeping
    assert desk.switch.now.state is HALTED
    assert (await desk.again()).now.state is HALTED


# --- what a rule may do by itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "wanted", "news"),
    [
        (Trading(), REDUCING, True),
        (Trading(), HALTED, True),
        (Trading(), ACTIVE, False),
        (Trading(REDUCING), REDUCING, False),
        (Trading(REDUCING), HALTED, True),
        (Trading(HALTED), HALTED, False),
        # accepted today: the same is no news, a worse one is
        (Trading(ACTIVE, "", NOW, REDUCING), REDUCING, False),
        (Trading(ACTIVE, "", NOW, REDUCING), HALTED, True),
        (Trading(ACTIVE, "", NOW, HALTED), HALTED, False),
        # accepted yesterday counts no more
        (Trading(ACTIVE, "", day_began(NOW) - timedelta(seconds=1), HALTED), REDUCING, True),
        (Trading(ACTIVE, "", day_began(NOW), HALTED), HALTED, False),
        # before the books are compared nothing is judged
        (Trading(HALTED, "", NOW, before=Trading()), HALTED, False),
    ],
)
def test_what_is_news(now: Trading, wanted: TradingState, news: bool) -> None:
    """A rule tightens once, and not what its owner has seen today and opened again."""
    switch = TradingSwitch(None, Silent(), Watch())  # type: ignore[arg-type]  # nothing is written
    switch.now = now
    assert switch.is_news(wanted, day_began(NOW), of_loss=True) is news


def test_rejections_are_news_whatever_loss_was_accepted() -> None:
    """Who has opened again with a day's loss has said nothing of rejections."""
    switch = TradingSwitch(None, Silent(), Watch())  # type: ignore[arg-type]  # nothing is written
    switch.now = Trading(ACTIVE, "", NOW, HALTED)
    assert switch.is_news(HALTED, day_began(NOW), of_loss=False)


# --- the text that is kept ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state",
    [Trading(), Trading(HALTED, "Ein Grund: „Größe“ & <b>", NOW), Trading(ACTIVE, "", NOW, REDUCING)],
)
def test_what_is_written_is_read(state: Trading) -> None:
    """Word for word."""
    assert of_text(as_text(state)) == state


def test_nothing_kept_is_active() -> None:
    """A file of the first day."""
    assert of_text(None) == Trading()


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "ACTIVE",
        "[]",
        "null",
        "{}",
        '{"state": "OPEN", "reason": "", "since": null}',
        '{"state": "ACTIVE", "since": null}',
        '{"state": "ACTIVE", "reason": "", "since": "yesterday"}',
        '{"state": "ACTIVE", "reason": "", "since": null, "accepted": "maybe"}',
        '{"state": "ACTIVE", "reason": "", "since": 5}',
    ],
)
def test_what_cannot_be_read_is_halted(kept: str) -> None:
    """Damage never opens."""
    assert of_text(kept).state is HALTED


def test_a_state_of_before_the_accepted_level_was_kept() -> None:
    """An older file is read as one in which nothing was accepted."""
    assert of_text('{"state": "REDUCING", "reason": "x", "since": null}') == Trading(REDUCING, "x")


async def test_the_key_is_the_one_that_others_read(desk: Desk) -> None:
    """The command line writes where the bot reads."""
    desk.switch.block(HALTED, "x")
    await desk.switch.keep()
    assert of_text(await SqliteLedger(desk.database, desk.clock, ()).recall(KEY)).state is HALTED
