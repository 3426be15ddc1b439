"""Lives of the bot: a process with everything imported waits, and forks one bot for each life; the bot dies where it is told to.

Must be started while its process has one thread. Requests and reports are JSON lines over a socket.
"""

import asyncio
import contextlib
import gc
import importlib
import json
import logging
import os
import signal
import socket
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from bot import app
from bot.settings import Settings
from tests.crash.recorder import Recorder, install
from tests.crash.timeline import BotSelector, Loop, Shared, SharedClock

Json = dict[str, Any]
FAILED = 70
"""The exit code of a bot that ended with an error of its own."""


def warm() -> None:
    """Load what the bot loads late, so that no life pays for it, and no thread is started by it."""
    for name in (
        "anthropic",
        "apscheduler.schedulers.asyncio",
        "apscheduler.triggers.interval",
        "numpy",
        "talib",
        "QuantLib",
        "matplotlib.backends.backend_agg",
        "matplotlib.figure",
    ):
        importlib.import_module(name)


class Nursery:
    """The driver's handle on the waiting process. Every bot that it starts has an id of its own."""

    def __init__(self, shared: Shared, mutations: Mapping[str, Callable[[], None]]) -> None:
        self._here, there = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                self._here.close()
                _wait_for_work(there, shared, mutations)
                code = 0
            finally:
                if code:
                    traceback.print_exc()
                os._exit(code)
        there.close()
        self._rest = b""

    @property
    def socket(self) -> socket.socket:
        """Readable when a life has begun or ended."""
        return self._here

    def begin(self, **job: Any) -> None:
        """Ask for a life: `settings` of the bot, a `log` file, the names of `mutations`."""
        self._here.sendall(json.dumps(job).encode() + b"\n")

    def reports(self) -> list[Json]:
        """What has been reported since: {"pid"} of a life that began, {"ended": exit status} of one that is over. Reads once."""
        *lines, self._rest = (self._rest + self._here.recv(65536)).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Let the waiting process end."""
        self._here.close()
        os.waitpid(self.pid, 0)


def _wait_for_work(road: socket.socket, shared: Shared, mutations: Mapping[str, Callable[[], None]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    install(Recorder(shared))
    gc.collect()
    gc.freeze()
    with road.makefile("r", encoding="utf-8") as lines:
        for line in lines:
            pid = os.fork()
            if pid == 0:
                road.close()
                _live(json.loads(line), shared, mutations)
            road.sendall(json.dumps({"pid": pid}).encode() + b"\n")
            _, status = os.waitpid(pid, 0)
            road.sendall(json.dumps({"ended": os.waitstatus_to_exitcode(status)}).encode() + b"\n")


def _live(job: Json, shared: Shared, mutations: Mapping[str, Callable[[], None]]) -> None:
    code = FAILED
    try:
        logging.basicConfig(filename=job["log"], level=logging.WARNING, force=True)
        for name in job["mutations"]:
            mutations[name]()
        settings = Settings(_env_file=None, **job["settings"])  # type: ignore[call-arg]
        with asyncio.Runner(loop_factory=lambda: Loop(BotSelector(shared))) as runner:
            runner.run(_run(settings, SharedClock(shared)))
        code = 0
    finally:
        if code:
            logging.exception("the bot ended")
        os._exit(code)


async def _run(settings: Settings, clock: SharedClock) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with app.running(settings, clock) as (_, life):
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({life, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            life.result()
        stopping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await stopping
