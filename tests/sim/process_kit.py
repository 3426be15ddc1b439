"""Programs of the simulated world as processes: started, read, asked over the control port, and gone afterwards."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("tws", "telegram", "model", "control", "chat page")


class Sim:
    """A program of the simulated world as a process."""

    def __init__(self, process: asyncio.subprocess.Process, names: tuple[str, ...]) -> None:
        self.process = process
        self._names = names
        self.addresses: dict[str, str] = {}

    async def ready(self) -> None:
        """Read what it prints until all addresses are known."""
        while set(self.addresses) < set(self._names):
            line = await self.line()
            name, _, value = line.partition(": ")
            if name in self._names:
                self.addresses[name] = value

    async def line(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            line = await self.process.stdout.readline()
        assert line, "it ended"
        return line.decode().rstrip("\n")

    async def get(self, path: str) -> Any:
        async with aiohttp.ClientSession() as http, http.get(self.addresses["control"] + path) as response:
            return await response.json()

    async def end(self, signum: int = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        async with asyncio.timeout(10):
            return await self.process.wait()


@asynccontextmanager
async def sim(state: Path, *options: str, bot: bool = False) -> AsyncIterator[Sim]:
    """`python -m sim` with its own state; it is gone afterwards, whatever happens."""
    words = ("-m", "sim", "--state", str(state), *options, *(() if bot else ("--no-bot",)))
    async with program(*words, names=NAMES) as running:
        yield running


@asynccontextmanager
async def program(*words: str, names: tuple[str, ...], home: Path | None = None) -> AsyncIterator[Sim]:
    """Python with these words as a process that prints a line for each of `names`; `home` is what it takes for the user's."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env=os.environ | ({} if home is None else {"XDG_STATE_HOME": str(home)}),
    )  # fmt: skip
    try:
        yield Sim(process, names)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()
        assert process.stdout is not None
        await process.stdout.read()
        process._transport.close()  # type: ignore[attr-defined]  # the loop would warn about the pipe
