"""The same runs without injected time and without forking: `python -m bot` as a program, on the system's clock, ended by SIGKILL."""

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from sim.world import World
from tests.crash.mortal import PAGE
from tests.crash.stage import Patient, Stage, furnish
from tests.crash.timeline import Shared
from tests.kit import Control

STEP, SETTLED = 0.1, 0.7


@dataclass
class RealStage(Stage):
    """Each life is a program; the page that names its boundary is a file."""

    _waiting: set[asyncio.Task[None]] = field(default_factory=set)

    def begin(self) -> None:
        self.shared.clear()
        if self.armed:
            self._aim()
        self.lives += 1
        self.told_before = self.last_message()
        self._ended, self._begun = asyncio.Event(), asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._life())
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _life(self) -> None:
        more = {name.upper(): str(value) for name, value in self.options.items()}
        # Appended line by line by one process; opening it is nothing that could block.
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.crash.mortal",
                cwd=self.state,
                env=self.environment(**{PAGE: str(self.state / "page"), "LOG_LEVEL": "WARNING", **more}),
                stdout=log,
                stderr=log,
            )
        self.pid = process.pid
        self._begun.set()
        self._over(await process.wait())

    def absent(self) -> None:
        """Time waits for nobody here."""

    async def moment(self) -> None:
        """Nobody can know; what changes is looked at again."""


@contextlib.asynccontextmanager
async def real_stage(state: Path, base: Path | None) -> AsyncIterator[Stage]:
    """A world in real time in which the bot has been before."""
    furnish(state, base)
    Shared.blank(state / "page")
    async with World(None) as world, aiohttp.ClientSession() as session:
        control = Control(session, world.control_url)
        made = RealStage(world, control, Patient(control), state, shared=Shared(state / "page"))
        made.step, made.settled = STEP, SETTLED
        try:
            yield made
        finally:
            await made.close()
            shutil.rmtree(state, ignore_errors=True)
