"""A simulated world in a process of its own, and the programs that are measured against it."""

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
ROOMY = dict.fromkeys(
    (
        "MAX_POSITION_SIZE",
        "MAX_ORDER_VALUE_BASE",
        "MAX_HOUR_VALUE_BASE",
        "MAX_DAY_VALUE_BASE",
        "MAX_GROSS_EXPOSURE_PERCENT",
        "MAX_ORDERS_PER_MINUTE",
        "MAX_ORDERS_PER_DAY",
        "MAX_FILLED_ORDERS_PER_SYMBOL_HOUR",
    ),
    "1000000000",
) | {"SAME_ORDER_SECONDS": "0", "MIN_EXCESS_LIQUIDITY_PERCENT": "0"}
"""Limits that let a benchmark do the same thing a thousand times; they are checked all the same."""


@dataclass
class World:
    """Where the servers listen, and the control port."""

    tws_port: int
    telegram: str
    token: str
    model: str
    model_key: str
    control: str
    session: aiohttp.ClientSession
    pid: int

    async def get(self, path: str, **query: Any) -> Any:
        """GET a control route."""
        async with self.session.get(self.control + path, params=query) as answer:
            return await answer.json()

    async def post(self, path: str, **body: Any) -> Any:
        """POST a control route."""
        async with self.session.post(self.control + path, json=body) as answer:
            told = await answer.json()
            if answer.status != 200:
                raise RuntimeError(told)
            return told

    async def bot_message(self, pattern: str, after: int = 0) -> Any:
        """The newest message of the bot with `pattern`, as soon as there is one."""
        seen = 0
        while True:
            for message in reversed((await self.get("/telegram/chat"))["messages"]):
                if message["from"] == "bot" and message["id"] > after and re.search(pattern, message["text"]):
                    return message
            seen = (await self.get("/telegram/events", after=seen, timeout=5))["last"]

    async def environment(self, state: Path) -> dict[str, str]:
        """What the bot is told."""
        about = await self.get("/telegram")
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "TELEGRAM_API_URL": self.telegram,
            "TELEGRAM_BOT_TOKEN": self.token,
            "TELEGRAM_ALLOWED_USERS": str(about["user"]["id"]),
            "IBKR_PORT": str(self.tws_port),
            "DATABASE_PATH": str(state / "greenlight.db"),
            "LOG_LEVEL": "WARNING",
            **ROOMY,
        }


@contextlib.asynccontextmanager
async def world(state: Path) -> AsyncIterator[World]:
    """A world without a bot, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sim",
        "--no-bot",
        "--state",
        str(state),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    told: dict[str, str] = {}
    while "chat page" not in told:
        name, _, value = (await process.stdout.readline()).decode().strip().partition(": ")
        told[name] = value
    telegram, _, token = told["telegram"].partition(" token ")
    model, _, key = told["model"].partition(" key ")
    try:
        async with aiohttp.ClientSession() as session:
            yield World(
                int(told["tws"].rpartition(":")[2]),
                telegram,
                token,
                model,
                key,
                told["control"],
                session,
                process.pid,
            )
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


@contextlib.asynccontextmanager
async def program(
    *arguments: str, environment: dict[str, str], cwd: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python program for as long as the block lasts."""
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, env=environment, cwd=cwd)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


def resident_mib(pid: int) -> float:
    """Resident memory of a process in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} tells no resident size")


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def clock() -> float:
    """Seconds that never go back."""
    return time.perf_counter()
