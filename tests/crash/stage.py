"""One run: a world, a person with a phone, and a bot that dies and is started again until everything has come to rest."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from sim.world import World
from tests.crash.life import Json, Nursery
from tests.crash.timeline import DriverSelector, Loop, Shared, quiet
from tests.kit import Control, House, Phone

PATIENCE = 150.0
"""Seconds of the common clock after which a story that has not come to its end never will."""
STEP = 0.5
SETTLED = 1.5
"""Seconds for which nothing may change before a run is at rest."""
HOUR = 15  # UTC: the middle of a New York day, so that no run crosses its midnight


class Lost(AssertionError):
    """What a person waited for never came."""


class Patient(Phone):
    """A person who waits as long as it takes."""

    async def sees(self, wanted: Any, what: str = "what was wanted") -> Json:
        loop, seen = asyncio.get_running_loop(), 0
        end = loop.time() + PATIENCE
        while True:
            chat = await self.chat()
            found = [m for m in chat if wanted(m)]
            if found:
                return found[-1]
            if loop.time() > end:
                shown = " | ".join(f"{m['from']}: {m['text']}" for m in chat[-6:])
                raise Lost(f"nobody said {what!r}; the chat ends with: {shown}")
            seen = (await self.control.get("/telegram/events", after=seen, timeout=5))["last"]


@dataclass
class Stage(House):
    """The house with a bot that is always started again. `kills` are the boundaries at which its lives end, once counting is armed."""

    nursery: Nursery = None  # type: ignore[assignment]
    shared: Shared = None  # type: ignore[assignment]
    kills: list[int | str] = field(default_factory=list)
    chance: random.Random | None = None
    mutations: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    approved: list[str] = field(default_factory=list)
    pressed: list[tuple[int, str]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    died_at: list[str] = field(default_factory=list)
    lives: int = 0
    complaints: list[str] = field(default_factory=list)
    armed: bool = False
    pid: int = 0
    _closing: bool = False
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _begun: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def common(self) -> DriverSelector:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        assert isinstance(loop.common, DriverSelector)
        return loop.common

    @property
    def log(self) -> Path:
        return self.state / "bot.log"

    @property
    def database(self) -> Path:
        return self.state / "greenlight.db"

    def begin(self) -> None:
        """Begin a life."""
        self.shared.clear()
        cells = self.shared.cells
        cells.idle = 0
        if self.armed:
            self._aim()
        self.lives += 1
        self._ended, self._begun = asyncio.Event(), asyncio.Event()
        self.common.bot_lives = True
        settings = self.settings(**self.options).model_dump(mode="json")
        settings["telegram_bot_token"] = self.world.telegram.token
        settings["telegram_allowed_users"] = str(self.world.telegram.user_id)
        settings["anthropic_api_key"] = self.options.get("anthropic_api_key")
        settings = {k: v for k, v in settings.items() if v is not None and k != "timezone"}
        self.nursery.begin(settings=settings, log=str(self.log), mutations=self.mutations)

    def _aim(self) -> None:
        self.shared.aim(self.kills.pop(0) if self.kills else 0)

    async def arm(self) -> None:
        """From here on boundaries count, and other things go wrong too where a seed says so."""
        if self.chance is not None:
            for path, body in faults(self.chance):
                await self.control.post(path, **body)
        self.arm_now()

    def arm_now(self) -> None:
        """From here on boundaries count."""
        self.armed = True
        self._aim()

    def heard(self) -> None:
        """The nursery said something."""
        for report in self.nursery.reports():
            if "pid" in report:
                self.pid = report["pid"]
                self._begun.set()
            else:
                self._over(report["ended"])

    def _over(self, code: int) -> None:
        self.common.bot_lives = False
        names = self.shared.names()
        if self.armed:
            self.names += names
        if self.shared.cells.died:
            self.died_at.append(f"{names[-1]}#{names.count(names[-1])}")
        elif code not in (-signal.SIGKILL, 0):
            self.complaints.append(f"the bot ended by itself with exit code {code}")
        self._ended.set()
        if not self._closing:
            if self.lives > 12:
                self.complaints.append("the bot does not stay alive")
                self._closing = True
            else:
                self.begin()

    async def strike(self, *, restart: bool = True) -> None:
        """kill -9 now. Without `restart` the bot stays away until `begin`."""
        await self._begun.wait()
        before, self._closing = self._closing, not restart or self._closing
        ended = self._ended
        os.kill(self.pid, signal.SIGKILL)
        await ended.wait()
        if not restart:
            self._closing = before

    async def ready(self) -> None:
        """Wait until the bot has compared its books."""
        await self.phone.hears("Connected")

    async def tap(self, button: str, message: Json) -> str:
        """Tap a button that approves; remembers what was approved."""
        data = next(b["data"] for row in message["buttons"] for b in row if b["text"] == button)
        await self.control.post("/telegram/press", message_id=message["id"], data=data, late=True)
        self.approved.append(data.partition(":")[2].partition(":")[0])
        self.pressed.append((message["id"], data))
        return str(data)

    async def press(self, data: str, message: Json) -> None:
        """Tap a button that approves nothing."""
        await self.control.post("/telegram/press", message_id=message["id"], data=data, late=True)
        self.pressed.append((message["id"], data))

    async def until(self, fits: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait until something is so, looking whenever the chat has changed."""
        loop, seen = asyncio.get_running_loop(), 0
        end = loop.time() + PATIENCE
        while not await fits():
            if loop.time() > end:
                raise Lost(f"never: {what}")
            seen = (await self.control.get("/telegram/events", after=seen, timeout=5))["last"]

    async def after_all(self) -> None:
        """When the story is over, sometimes: the same buttons once more, as a thumb does."""
        if self.chance is not None and self.chance.random() < AGAIN:
            for message, data in self.pressed:
                await self.control.post("/telegram/press", message_id=message, data=data, late=True)

    # --- rest -------------------------------------------------------------------------------------------------------

    def unsettled(self) -> list[str]:
        """What is still on its way, by the bot's own file."""
        books = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            found = [
                f"message {row[0]} ({row[1]}) waits"
                for row in books.execute("SELECT id, kind FROM messages WHERE state = 'waiting'")
            ]
            found += [
                f"update {row[0]} is not finished"
                for row in books.execute("SELECT update_id FROM updates WHERE finished_at IS NULL")
            ]
            found += [
                f"order #{row[0]} is {row[1]}"
                for row in books.execute(
                    "SELECT number, state FROM orders WHERE owner IS NOT NULL AND state IN ('SENDING', 'UNKNOWN')"
                )
            ]
            found += [
                f"closing {row[0]} is {row[1]}"
                for row in books.execute(
                    "SELECT ticket_id, state FROM closings WHERE ended_at IS NULL AND state = 'taking_down'"
                )
            ]
        finally:
            books.close()
        return found

    async def rest(self, seconds: float = PATIENCE) -> None:
        """Wait until nothing is on its way any more, and stays so for a while."""
        loop = asyncio.get_running_loop()
        end, since, before = loop.time() + seconds, loop.time(), None
        while True:
            await quiet()
            waiting = (await self.control.get("/telegram/counts"))["waiting"]
            now = (self.lives, waiting, tuple(self.unsettled()), len(self.died_at))
            if now != before or waiting or now[2]:
                before, since = now, loop.time()
            if loop.time() - since >= SETTLED:
                return
            if loop.time() > end:
                self.complaints.append(f"did not come to rest: {'; '.join(now[2])}, {waiting} updates wait")
                return
            await asyncio.sleep(STEP)

    async def close(self) -> None:
        """The last life ends, as all of them may: by kill -9."""
        self._closing = True
        if self.common.bot_lives:
            await self._begun.wait()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            await self._ended.wait()


def faults(chance: random.Random) -> list[tuple[str, Json]]:
    """What goes wrong besides the kill: nothing, or a few things at once."""
    return [row for odds, row in FAULTS if chance.random() < odds]


AGAIN = 0.3
FAULTS: tuple[tuple[float, tuple[str, Json]], ...] = (
    (0.15, ("/tws/duplicate", {"count": 30})),
    (0.10, ("/tws/stale", {"count": 2})),
    (0.10, ("/tws/fill_first", {"count": 1})),
    (0.08, ("/tws/no_ack", {"count": 1})),
    (0.05, ("/tws/swallow", {"count": 1})),
    (0.10, ("/tws/commissions", {"mode": "before"})),
    (0.05, ("/tws/commissions", {"mode": "never"})),
    (0.06, ("/telegram/fault", {"kind": "lost_answer", "method": "sendMessage"})),
    (0.06, ("/telegram/fault", {"kind": "lost_answer", "method": "editMessageText"})),
    (0.06, ("/telegram/fault", {"kind": "lost_answer", "method": "getUpdates"})),
    (0.06, ("/telegram/fault", {"kind": "429", "method": "sendMessage"})),
    (0.06, ("/telegram/fault", {"kind": "500", "method": "editMessageText"})),
    (0.06, ("/telegram/fault", {"kind": "500", "method": "getUpdates"})),
    (0.05, ("/telegram/fault", {"kind": "409", "method": "getUpdates"})),
)


def _to_hour(hour: int) -> float:
    """Seconds until that hour of the day comes next, UTC."""
    now = datetime.now(UTC)  # noqa: TID251 - the driver sets the common clock
    then = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return ((then if then > now else then + timedelta(days=1)) - now).total_seconds()


@contextlib.asynccontextmanager
async def stage(
    shared: Shared, nursery: Nursery, state: Path, base: Path | None, hour: int = HOUR, **options: Any
) -> AsyncIterator[Stage]:
    """A world in which the bot has been before, at a set hour of the day; `base` is the database that it left then."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    assert isinstance(loop.common, DriverSelector)
    _furnish(state, base)
    async with World(None) as world, aiohttp.ClientSession() as session:
        world.clock.advance(shared.cells.ahead)
        loop.common.on_jump = world.clock.advance  # type: ignore[assignment]
        control = Control(session, world.control_url)
        made = Stage(world, control, Patient(control), state, nursery=nursery, shared=shared, **options)
        loop.add_reader(nursery.socket, made.heard)
        try:
            yield made
        finally:
            await made.close()
            loop.remove_reader(nursery.socket)
            loop.common.on_jump = lambda seconds: None
            shutil.rmtree(state, ignore_errors=True)


def _furnish(state: Path, base: Path | None) -> None:
    state.mkdir(parents=True)
    if base is not None:
        shutil.copy(base, state / "greenlight.db")


def on_the_common_clock(shared: Shared, hour: int = HOUR) -> asyncio.Runner:
    """A runner whose loop is the driver's; it begins at that hour of the day."""
    shared.cells.ahead = _to_hour(hour)
    return asyncio.Runner(loop_factory=lambda: Loop(DriverSelector(shared)))
