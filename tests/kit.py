"""What the wire tests hold in their hands: a phone to talk with, the control port to arrange the world, and the bot itself."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from bot.app import running
from bot.services import Desk
from bot.settings import Settings
from sim.world import World

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 15.0
Json = dict[str, Any]


ROOMY = {
    "max_position_size": "100000",
    "max_order_value_base": "1000000",
    "max_hour_value_base": "100000000",
    "max_day_value_base": "100000000",
    "max_orders_per_minute": "100000",
    "max_orders_per_day": "100000",
    "max_filled_orders_per_symbol_hour": "100000",
    "same_order_seconds": "0",
    "max_collar_percent": "100",
    "entries_in_reset_window": "true",
}
"""Limits that are out of the way of tests which are about something else; tests/wire/test_gate.py and test_panic.py are about them."""


class Control:
    """The control port of the simulated world."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    async def get(self, path: str, **query: Any) -> Any:
        """GET a route; fails the test where the world refuses."""
        async with self._session.get(self._url + path, params=query) as answer:
            told = await answer.json()
            assert answer.status == 200, told
            return told

    async def post(self, path: str, **body: Any) -> Any:
        """POST a route; fails the test where the world refuses."""
        async with self._session.post(self._url + path, json=body) as answer:
            told = await answer.json()
            assert answer.status == 200, told
            return told

    async def book(self) -> Json:
        """What the broker truly has."""
        told: Json = await self.get("/tws/book")
        return told


@dataclass
class Phone:
    """A person with the chat open. `hears` waits for what the bot shows, and never for time to pass."""

    control: Control

    async def says(self, text: str, **more: Any) -> int:
        """Type a line; returns the message's id."""
        told = await self.control.post("/telegram/message", text=text, **more)
        return int(told["message_id"])

    async def taps(self, button: str, message: Json, **more: Any) -> None:
        """Tap a button of a message by its label."""
        await self.control.post("/telegram/press", message_id=message["id"], button=button, **more)

    async def chat(self) -> list[Json]:
        """Every message of the private chat, as it looks now."""
        messages: list[Json] = (await self.control.get("/telegram/chat"))["messages"]
        return messages

    async def hears(self, pattern: str, after: int = 0) -> Json:
        """The newest message of the bot behind message `after` whose text has `pattern`; waits until there is one."""
        return await self.sees(
            lambda m: m["from"] == "bot" and m["id"] > after and re.search(pattern, m["text"], re.DOTALL),
            pattern,
        )

    async def sees(self, wanted: Callable[[Json], Any], what: str = "what was wanted") -> Json:
        """The newest message that fits, as soon as there is one."""
        seen = 0
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    found = [m for m in await self.chat() if wanted(m)]
                    if found:
                        return found[-1]
                    seen = (await self.control.get("/telegram/events", after=seen, timeout=5))["last"]
        except TimeoutError:
            shown = "\n---\n".join(f"{m['from']}: {m['text']}" for m in (await self.chat())[-8:])
            raise AssertionError(f"nobody said {what!r}; the chat ends with:\n{shown}") from None

    async def asks(self, text: str, pattern: str) -> Json:
        """Type a line and hear what answers it."""
        return await self.hears(pattern, after=await self.says(text))

    async def hears_toast(self, pattern: str) -> str:
        """The text of an answered press that fits; waits until there is one."""
        seen = 0
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    told = await self.control.get("/telegram/events", after=seen, timeout=5)
                    for event in told["events"]:
                        if event["kind"] == "answerCallbackQuery" and re.search(
                            pattern, event.get("text") or ""
                        ):
                            return str(event["text"])
                    seen = told["last"]
        except TimeoutError:
            raise AssertionError(f"no toast said {pattern!r}") from None

    async def settled(self, update_pattern: str = "") -> None:
        """Wait until the bot has confirmed everything that was typed and tapped so far."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            seen = 0
            while (await self.control.get("/telegram/counts"))["waiting"]:
                seen = (await self.control.get("/telegram/events", after=seen, timeout=2))["last"]


class WorldClock:
    """The Clock port on the simulated world's clock, so that moving that one moves the bot's too."""

    def __init__(self, world: World) -> None:
        self._now, self._began = world.clock.now, world.clock.now()

    def now(self) -> datetime:
        return self._now()

    def monotonic(self) -> float:
        return (self._now() - self._began).total_seconds()


@dataclass
class House:
    """The world, the phone and the bot beside it."""

    world: World
    control: Control
    phone: Phone
    state: Path
    desk: Desk | None = None
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    def settings(self, **changes: Any) -> Settings:
        """The bot's settings for this world."""
        return Settings(
            _env_file=None,  # type: ignore[call-arg]  # pydantic-settings takes it
            **{
                "telegram_bot_token": self.world.telegram.token,
                "telegram_allowed_users": str(self.world.telegram.user_id),
                "telegram_api_url": self.world.telegram.address,
                "ibkr_port": self.world.tws.port,
                "database_path": self.state / "greenlight.db",
                **ROOMY,
                **changes,
            },
        )

    @contextlib.asynccontextmanager
    async def bot(self, **changes: Any) -> AsyncIterator[Desk]:
        """The bot in this process, ready: connected, reconciled, and heard by Telegram."""
        async with running(self.settings(**changes), WorldClock(self.world)) as (desk, life):
            self.desk = desk
            try:
                yield desk
            finally:
                assert not life.done() or life.cancelled(), life

    async def ready(self) -> None:
        """Wait until the bot says that it is connected and compared."""
        await self.phone.hears("Connected")

    def environment(self, **changes: str) -> dict[str, str]:
        """The environment of a bot in a process of its own."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "TELEGRAM_API_URL": self.world.telegram.address,
            "TELEGRAM_BOT_TOKEN": self.world.telegram.token,
            "TELEGRAM_ALLOWED_USERS": str(self.world.telegram.user_id),
            "IBKR_PORT": str(self.world.tws.port),
            "DATABASE_PATH": str(self.state / "greenlight.db"),
            **{name.upper(): value for name, value in ROOMY.items()},
            **changes,
        }

    async def spawn(self, **changes: str) -> asyncio.subprocess.Process:
        """The bot in a process of its own, to be killed; what a failed test leaves running ends with the world."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bot",
            cwd=self.state,
            env=self.environment(**changes),
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self.processes.append(process)
        return process


@contextlib.asynccontextmanager
async def house(state: Path, **options: Any) -> AsyncIterator[House]:
    """A world with nobody in it yet."""
    async with World(state / "world", **options) as world, aiohttp.ClientSession() as session:
        control = Control(session, world.control_url)
        made = House(world, control, Phone(control), state)
        try:
            yield made
        finally:
            for process in made.processes:
                if process.returncode is None:
                    await end(process, signal.SIGKILL)


async def end(process: asyncio.subprocess.Process, signum: int = signal.SIGTERM) -> tuple[int, str]:
    """Signal a process and wait for its end; returns (exit code, what it wrote to standard error)."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signum)
    async with asyncio.timeout(PATIENCE_SECONDS):
        _, errors = await process.communicate()
    return int(process.returncode or 0), errors.decode()
