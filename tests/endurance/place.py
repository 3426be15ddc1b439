"""Where endurance is tried: the simulated world and a watched bot on one clock that can be moved, and a person who lives through it."""

import asyncio
import contextlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from sim.world import World
from tests.crash.stage import Patient
from tests.crash.timeline import DriverSelector, Loop, Shared, _wake
from tests.endurance.watched import Json, Watched, watched
from tests.kit import Control, House

OPEN = {"PreSubmitted", "Submitted", "PendingCancel"}
STATES = {"Filled": "FILLED", "Cancelled": "CANCELLED", "Inactive": "REJECTED"}
"""What the file says of an order that is over at the broker."""


@dataclass
class Place(House):
    """The house on the common clock."""

    shared: Shared = None  # type: ignore[assignment]
    page: Path = Path()

    @property
    def common(self) -> DriverSelector:
        """The selector that moves time."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        assert isinstance(loop.common, DriverSelector)
        return loop.common

    def told(self, **changes: Any) -> Json:
        """The bot's settings as JSON."""
        settings = self.settings(**changes).model_dump(mode="json", exclude={"timezone"})
        settings |= {
            "telegram_bot_token": self.world.telegram.token,
            "telegram_allowed_users": str(self.world.telegram.user_id),
            "anthropic_api_key": changes.get("anthropic_api_key"),
        }
        return {name: value for name, value in settings.items() if value is not None}

    def leap(self, seconds: float) -> None:
        """Let so much time go by at once, as when a computer sleeps."""
        self.shared.cells.ahead += seconds
        self.world.clock.advance(seconds)
        _wake(self.shared.driver_end)

    @contextlib.asynccontextmanager
    async def watched_bot(self, plant: str = "", **changes: Any) -> AsyncIterator[Watched]:
        """The bot, watched, on the common clock."""
        self.shared.cells.idle, self.common.bot_lives = 0, True  # time must not move before it waits
        try:
            async with watched(self.told(**changes), shared=self.shared, page=self.page, plant=plant) as bot:
                yield bot
        finally:
            self.common.bot_lives = False

    def now(self) -> datetime:
        """The common moment."""
        return self.world.clock.now()

    def rows(self, question: str) -> list[tuple[Any, ...]]:
        """What the bot's file answers."""
        file = sqlite3.connect(f"file:{self.state / 'greenlight.db'}?mode=ro", uri=True)
        try:
            return file.execute(question).fetchall()
        finally:
            file.close()

    async def differences(self) -> list[str]:
        """In what the bot's file and the broker's book do not tell the same."""
        book = await self.control.book()
        return differences(book, self.rows)

    async def agrees(self, seconds: float = 150.0) -> list[str]:
        """The differences that remain when the two have had so many seconds of the common clock to agree."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (found := await self.differences()) and loop.time() < end:  # noqa: ASYNC110 - looking again is all there is
            await asyncio.sleep(2)
        return found

    async def trade(self, line: str, filled: str, button: str = "Send") -> Json:
        """Type an order, send it, and hear that it is filled."""
        card = await self.phone.asks(line, "tap Send|Approve")
        await self.phone.taps(button, card)
        return await self.phone.hears(filled, after=card["id"])


def differences(book: Json, rows: Any) -> list[str]:
    """Orders of ours, executions and holdings, told twice: by the broker and by the bot's file."""
    found = []
    mine = {ref: (state, filled) for ref, state, filled in rows("SELECT order_ref, state, filled FROM orders WHERE owner IS NOT NULL")}  # fmt: skip
    working = {ref for ref, (state, _) in mine.items() if state in ("SENDING", "WORKING", "PARTIAL", "UNKNOWN", "SUSPENDED")}  # fmt: skip
    refs = set()
    for order in book["orders"]:
        ref, status = order["ref"], order["status"]
        if order["manual"] or ref not in mine:
            if not order["manual"] and ref:
                found.append(f"the broker has {ref}, the file has not")
            continue
        refs.add(ref)
        state, filled = mine[ref]
        wanted = STATES.get(status)
        if wanted is not None and state != wanted:
            found.append(f"{ref} is {status} at the broker and {state} in the file")
        if status in OPEN and ref not in working:
            found.append(f"{ref} is {status} at the broker and {state} in the file")
        if Decimal(str(order["filled"])) != Decimal(filled):
            found.append(f"{ref} has {order['filled']} filled at the broker and {filled} in the file")
    found += [f"{ref} works in the file, and the broker has no such order" for ref in working - refs]
    held: dict[int, Decimal] = defaultdict(Decimal)
    for position in book["positions"]:
        held[position["con_id"]] += Decimal(str(position["quantity"]))
    ours: dict[int, Decimal] = defaultdict(Decimal)
    for con_id, side, quantity in rows("SELECT con_id, side, quantity FROM executions WHERE kind <> 'BAG'"):
        ours[con_id] += Decimal(quantity) * (1 if side == "BUY" else -1)
    for table in ("opening_lots", "adjustments"):
        for con_id, quantity in rows(f"SELECT con_id, signed_quantity FROM {table}"):
            ours[con_id] += Decimal(quantity)
    for con_id in {*held, *ours}:
        if held[con_id] != ours[con_id]:
            found.append(f"of {con_id} the broker holds {held[con_id]}, the file explains {ours[con_id]}")
    return found


@contextlib.asynccontextmanager
async def place(state: Path, shared: Shared, page: Path) -> AsyncIterator[Place]:
    """The world, on the common clock; nobody in it yet."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    assert isinstance(loop.common, DriverSelector)
    async with World(None) as world, aiohttp.ClientSession() as session:
        world.clock.advance(shared.cells.ahead)
        # It counts messages by the real clock, and here a second of the bot takes a moment of it.
        world.tws.limits = world.tws.limits.changed(messages_per_second=None)
        loop.common.on_jump = world.clock.advance
        control = Control(session, world.control_url)
        made = Place(world, control, Patient(control), state, shared=shared, page=page)
        try:
            yield made
        finally:
            loop.common.bot_lives = False
            loop.common.on_jump = lambda seconds: None
    await asyncio.sleep(0.1)  # what hung up closes


def on_one_clock(folder: Path, begins: datetime) -> tuple[asyncio.Runner, Shared, Path]:
    """A runner whose loop is that of the world, with time standing at `begins`, which lies ahead."""
    page = folder / "page"
    Shared.blank(page)
    shared = Shared(page)
    shared.cells.ahead = (begins - datetime.now(UTC)).total_seconds()  # noqa: TID251 - the common clock is set
    return asyncio.Runner(loop_factory=lambda: Loop(DriverSelector(shared))), shared, page


def next_november(day: int, hour: int) -> datetime:
    """The next moment of that name in UTC: a month with Thanksgiving and its half day before it."""
    now = datetime.now(UTC)  # noqa: TID251 - the common clock is set by it
    then = datetime(now.year, 11, day, hour, tzinfo=UTC)
    return then if then > now else then.replace(year=now.year + 1)


def table(title: str, counts: Any) -> str:
    """Counts by kind, most first."""
    lines = [f"  {count:>10,}  {kind}" for kind, count in sorted(counts.items(), key=lambda item: -item[1])]
    return "\n".join([title, *lines])


def dumped(told: Json) -> str:
    """For a file."""
    return json.dumps(told, indent=1)
