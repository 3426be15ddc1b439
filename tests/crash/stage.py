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

from sim.tws import chains
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


ON_ITS_WAY = (
    ("message {} ({}) waits", "SELECT id, kind FROM messages WHERE state = 'waiting'"),
    ("update {} is not finished", "SELECT update_id FROM updates WHERE finished_at IS NULL"),
    (
        "order #{} is {}",
        "SELECT number, state FROM orders WHERE owner IS NOT NULL AND state IN ('SENDING', 'UNKNOWN')",
    ),
    ("a change of #{} is open", "SELECT number FROM orders WHERE change IS NOT NULL"),
    (
        "closing {} takes down",
        "SELECT ticket_id FROM closings WHERE ended_at IS NULL AND state = 'taking_down'",
    ),
)
"""What the bot's file calls unfinished."""


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


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class Stage(House):
    """The house with a bot that is always started again. `kills` are the boundaries at which its lives end, once counting is armed."""

    nursery: Nursery = None  # type: ignore[assignment]
    shared: Shared = None  # type: ignore[assignment]
    trouble: list[tuple[str, Json]] = field(default_factory=list)
    kills: list[int | str] = field(default_factory=list)
    chance: random.Random | None = None
    mutations: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    approved: list[str] = field(default_factory=list)
    pressed: list[tuple[int, str]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    died_at: list[str] = field(default_factory=list)
    lives: int = 0
    told_before: int = 0
    """The last message of the bot's file when its latest life began."""
    complaints: list[str] = field(default_factory=list)
    armed: bool = False
    counted_from_start: bool = False
    """Whether boundaries counted before the first order left."""
    step: float = STEP
    settled: float = SETTLED
    pid: int = 0
    _closing: bool = False
    _ended: asyncio.Event = field(default_factory=_set)
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
        self.told_before = self.last_message()
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
        await self._go_wrong()
        self.counted_from_start = not (await self.control.book())["orders"]
        self.armed = True
        self._aim()

    async def _go_wrong(self) -> None:
        for path, body in [*self.trouble, *(faults(self.chance) if self.chance is not None else [])]:
            await self.control.post(path, **body)

    async def come_back(self) -> None:
        """The bot that was away begins a life, and from its first moment on boundaries count."""
        await self._go_wrong()
        self.armed = True
        self.begin()

    def disarm(self) -> None:
        """The story is over: no boundary counts any more."""
        self.kills.clear()
        self.shared.cells.armed = 0

    def heard(self) -> None:
        """The nursery said something."""
        for report in self.nursery.reports():
            if "pid" in report:
                self.pid = report["pid"]
                self._begun.set()
            else:
                self._over(report["ended"])

    def absent(self) -> None:
        """Nobody has to be waited for."""
        self.common.bot_lives = False

    def _over(self, code: int) -> None:
        self.absent()
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
        """Tap a button that approves; remembers what was approved, and returns its name."""
        (data,) = [b["data"] for row in message["buttons"] for b in row if b["text"] == button]
        await self.press(data, message)
        name: str = data.partition(":")[2].partition(":")[0]
        self.approved.append(name)
        return name

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

    def file(self, question: str) -> list[tuple[Any, ...]]:
        """What the bot's own file answers."""
        books = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            return books.execute(question).fetchall()
        finally:
            books.close()

    def unsettled(self) -> list[str]:
        """What is still on its way, by the bot's own file."""
        open_ = [words.format(*row) for words, question in ON_ITS_WAY for row in self.file(question)]
        compared = self.file(f"SELECT 1 FROM messages WHERE kind = 'link_up' AND id > {self.told_before}")
        return open_ if compared else [*open_, f"life {self.lives} has not compared the books"]

    def last_message(self) -> int:
        """The number of the latest message in the bot's file; 0 where there is none yet."""
        try:
            ((number,),) = self.file("SELECT coalesce(max(id), 0) FROM messages")
        except sqlite3.Error:
            return 0
        return int(number)

    async def passes(self, seconds: float) -> None:
        """Time passes, on whatever clock this is."""
        await asyncio.sleep(seconds)

    async def moment(self) -> None:
        """Until nothing can happen before time moves."""
        await quiet()

    async def rest(self, seconds: float = PATIENCE) -> None:
        """Wait until nothing is on its way any more, and stays so for a while."""
        loop = asyncio.get_running_loop()
        end, since, before = loop.time() + seconds, loop.time(), None
        while True:
            await self.moment()
            waiting = (await self.control.get("/telegram/counts"))["waiting"]
            now = (self.lives, waiting, tuple(self.unsettled()), len(self.died_at))
            if now != before or waiting or now[2]:
                before, since = now, loop.time()
            if loop.time() - since >= self.settled:
                return
            if loop.time() > end:
                self.complaints.append(f"did not come to rest: {'; '.join(now[2])}, {waiting} updates wait")
                return
            await asyncio.sleep(self.step)

    async def close(self) -> None:
        """The last life ends, as all of them may: by kill -9."""
        self._closing = True
        if not self._ended.is_set():
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
    (0.10, ("/tws/fragment", {"on": True})),
    (0.08, ("/tws/delay", {"milliseconds": 300})),
    (0.05, ("/tws/roll_back_ids", {"next": 1})),
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


def _to_hour(hour: int, *, last_day: bool = False) -> float:
    """Seconds until that hour (UTC) of the day that begins with the next HOUR: never before the day on which the bot was there first.

    With `last_day` until that hour of the first day from then on on which options expire.
    """
    now = datetime.now(UTC)  # noqa: TID251 - the driver sets the common clock
    then = now.replace(hour=HOUR, minute=0, second=0, microsecond=0)
    begins = then if then > now else then + timedelta(days=1)
    while last_day and begins.date() not in chains.expiries(begins):
        begins += timedelta(days=1)
    return (begins + timedelta(hours=(hour - HOUR) % 24) - now).total_seconds()


@contextlib.asynccontextmanager
async def stage(shared: Shared, nursery: Nursery, state: Path, base: Path | None) -> AsyncIterator[Stage]:
    """A world in which the bot has been before; `base` is the database that it left then. On the common clock."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    assert isinstance(loop.common, DriverSelector)
    furnish(state, base)
    async with World(None) as world, aiohttp.ClientSession() as session:
        world.clock.advance(shared.cells.ahead)
        loop.common.on_jump = world.clock.advance
        control = Control(session, world.control_url)
        made = Stage(world, control, Patient(control), state, nursery=nursery, shared=shared)
        loop.add_reader(nursery.socket, made.heard)
        try:
            yield made
        finally:
            await made.close()
            loop.remove_reader(nursery.socket)
            loop.common.on_jump = lambda seconds: None
            shutil.rmtree(state, ignore_errors=True)


def furnish(state: Path, base: Path | None) -> None:
    """A folder of its own, with the database that the bot left there before."""
    state.mkdir(parents=True)
    if base is not None:
        shutil.copy(base, state / "greenlight.db")


def on_the_common_clock(
    shared: Shared, hour: int = HOUR, *, last_day: bool = False, later: timedelta = timedelta(0)
) -> asyncio.Runner:
    """A runner whose loop is the driver's; it begins at that hour of the day, or so much later."""
    shared.cells.ahead = _to_hour(hour, last_day=last_day) + later.total_seconds()
    return asyncio.Runner(loop_factory=lambda: Loop(DriverSelector(shared)))
