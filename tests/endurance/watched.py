"""The bot in a process of its own with its pulse taken: how long its loop works without a pause, what nobody caught, how much it holds.

The program reads one JSON line (settings, clock, what is planted) and then one command a line, each answered by one line. `Watched` is the
handle on it. What is planted is what a control needs: a leak, a stall or an error that nobody catches must be found by what is measured here.
"""

import asyncio
import contextlib
import ctypes
import gc
import json
import logging
import os
import re
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiosqlite

from bot import app
from bot.clock import SystemClock
from bot.services import Desk
from bot.settings import Settings
from core.broker import IBBroker
from core.errors import AnalystBusy
from core.facts import Fact
from core.ports import Clock
from tests.crash.timeline import BotSelector, Loop, Shared, SharedClock
from tests.kit import ROOT

Json = dict[str, Any]
FACTS = (
    Fact("price", "400.00", "USD", "what one costs now"),
    Fact("atr", "8.00", "USD", "how far it moves in a day"),
    Fact("rsi", "41", "", "how strong it is"),
)
OPEN_FILES = Path("/proc/self/fd")
LONG_SECONDS = 0.8


class Pulse:
    """What went on in this process: the longest turn of the loop in seconds, errors nobody caught, and the log by kind."""

    def __init__(self) -> None:
        self.longest_turn = 0.0
        self.uncaught: Counter[str] = Counter()
        self.lines: Counter[str] = Counter()
        self._schedule = os.open("/proc/self/schedstat", os.O_RDONLY)
        self._begun, self._waited = time.perf_counter(), self._waiting()
        self._asked = False
        self.stood_at = ""

    def _waiting(self) -> float:
        """Seconds for which the loop's thread could run and another program had the processor."""
        return int(os.pread(self._schedule, 100, 0).split()[1]) / 1e9

    def take(self, selector: selectors.BaseSelector) -> None:
        """Measure each turn: from the moment when the selector returns until it is asked again, less what other programs took."""
        ask = selector.select

        def select(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            busy = time.perf_counter() - self._begun
            if busy > self.longest_turn:
                self.longest_turn = max(self.longest_turn, busy - (self._waiting() - self._waited))
            self._asked = True
            found = ask(timeout)
            self._begun, self._waited = time.perf_counter(), self._waiting()
            self._asked = False
            return found

        selector.select = select  # type: ignore[method-assign]  # the one place where every loop waits
        threading.Thread(target=self._look, args=[threading.get_ident()], daemon=True).start()

    def _look(self, thread: int) -> None:
        """Note where the loop stands in a turn that is too long: a figure alone does not say what to mend."""
        while True:
            time.sleep(0.2)
            begun = self._begun
            if self._asked or time.perf_counter() - begun < LONG_SECONDS:
                continue
            frames = traceback.format_stack(sys._current_frames()[thread], limit=14)
            if begun == self._begun and not self._asked:
                self.stood_at = "".join(frames)

    def listen(self) -> None:
        """Count what is logged, and what nobody caught: in the loop, in a thread, or in a finaliser."""
        root = logging.getLogger()
        root.handlers[:] = [_Counting(self.lines)]
        root.setLevel(logging.WARNING)
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.miss("loop", context))
        sys.unraisablehook = lambda args: self.miss("finaliser", {"exception": args.exc_value})
        threading.excepthook = lambda args: self.miss("thread", {"exception": args.exc_value})

    def miss(self, where: str, context: Json) -> None:
        """Nobody caught this."""
        error = context.get("exception")
        self.uncaught[f"{where}: {context.get('message', '')} {error!r}"[:300]] += 1

    def told(self) -> Json:
        """The pulse so far."""
        return {
            "longest_turn": self.longest_turn,
            "uncaught": dict(self.uncaught),
            "lines": dict(self.lines),
            "stood_at": self.stood_at,
        }


_WORDS = re.compile(r"[A-Za-z ,.'%]*")
"""The words with which a line begins: its kind."""


class _Counting(logging.Handler):
    """Writes each line as a log would, to nowhere, and counts its kind."""

    def __init__(self, lines: Counter[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.format(record)
        kind = f"{record.levelname} {record.name}: {_WORDS.match(str(record.msg)[:50])[0]}"  # type: ignore[index]  # it matches anything
        if record.exc_info and record.exc_info[0]:
            kind += f" ({record.exc_info[0].__name__})"
        self._lines[kind] += 1


def held() -> Json:
    """What this process holds, after everything that can go is gone, and what is free is given back."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # only some C libraries can be asked
        ctypes.CDLL(None).malloc_trim(0)
    status = Path("/proc/self/status").read_text("ascii")
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found is not None
    return {
        "memory_kib": int(found[1]),
        "objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "files": len(os.listdir(OPEN_FILES)),
    }


# --- what is planted ------------------------------------------------------------------------------------------------------

_kept: list[list[int]] = []


def _leak() -> None:
    """The connection to Telegram keeps something of each answer for ever."""
    from bot.transport import AiohttpRequest

    true = AiohttpRequest.do_request

    async def keeping(self: AiohttpRequest, *told: Any, **more: Any) -> tuple[int, bytes]:
        _kept.extend([n] for n in range(2000))
        return await true(self, *told, **more)

    AiohttpRequest.do_request = keeping  # type: ignore[method-assign]


def _stall() -> None:
    """A word of the broker makes the whole program wait."""
    true = IBBroker.next_event

    async def waiting(self: IBBroker) -> Any:
        event = await true(self)
        if _once("stall"):
            time.sleep(1.2)  # noqa: ASYNC251 - this is the stall
        return event

    IBBroker.next_event = waiting  # type: ignore[method-assign]


def _error() -> None:
    """A task that nobody waits for ends with an error."""
    true = IBBroker.next_event

    async def failing(self: IBBroker) -> Any:
        event = await true(self)
        if _once("error"):

            def fail() -> None:
                raise LookupError("planted")

            asyncio.get_running_loop().call_soon(fail)
        return event

    IBBroker.next_event = failing  # type: ignore[method-assign]


_done: set[str] = set()


def _once(name: str) -> bool:
    first = name not in _done
    _done.add(name)
    return first


PLANTS: dict[str, Callable[[], None]] = {"": lambda: None, "leak": _leak, "stall": _stall, "error": _error}


def _count_the_disk_as_work() -> None:
    """Time must not move while the database's thread works."""
    connection: Any = aiosqlite.Connection

    def busy(method: Callable[..., Any]) -> Callable[..., Any]:
        async def run(self: Any, *values: Any, **options: Any) -> Any:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, Loop)
            ended = loop.common.began()
            try:
                return await method(self, *values, **options)
            finally:
                ended(None)

        return run

    connection._execute, connection._connect = busy(connection._execute), busy(connection._connect)


# --- the program ----------------------------------------------------------------------------------------------------------


async def _ask(desk: Desk, number: int) -> Json:
    """Ask the model so often, two questions at a time; how they ended."""
    analyst, outcomes = desk.proposer._analyst, Counter[str]()
    left = iter(range(number))

    async def asker(user: int) -> None:
        for _ in left:
            try:
                answer = await analyst.ask(user, "MSFT", FACTS)
                outcomes[answer.call.outcome] += 1
                assert answer.words
            except AnalystBusy:
                outcomes["left alone for a minute"] += 1
                await asyncio.sleep(60)

    await asyncio.gather(asker(1), asker(2))
    return dict(outcomes)


async def _drained(desk: Desk) -> Json:
    """Wait until everything that the broker said is worked."""
    broker = desk.broker
    assert isinstance(broker, IBBroker)
    while broker._events.qsize():  # noqa: ASYNC110 - a queue says nothing when it is empty
        await asyncio.sleep(0.001)
    return {"connected": broker.link.connected, "reconciled": broker.link.reconciled}


async def _obey(desk: Desk, life: "asyncio.Task[None]", pulse: Pulse) -> None:
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _say({"ready": True})
    while line := await reader.readline():
        told = json.loads(line)
        answer: Json = {}
        match told["do"]:
            case "stop":
                return
            case "measure":
                answer = held()
            case "drained":
                answer = await _drained(desk)
            case "ask":
                answer = {"outcomes": await _ask(desk, told["number"])}
            case "fresh":
                pulse.longest_turn = 0.0
        alive = "" if not life.done() else repr(life.exception() if not life.cancelled() else "cancelled")
        _say({**answer, **pulse.told(), "dead": alive})


def _say(told: Json) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def _show_tasks() -> None:
    """Where everything waits, for whoever wonders why it does not stop."""
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)


async def _run(settings: Settings, clock: Clock, pulse: Pulse) -> None:
    pulse.listen()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _show_tasks)
    async with app.running(settings, clock) as (desk, life):
        await _obey(desk, life, pulse)
        loop = asyncio.get_running_loop()
        if isinstance(loop, Loop):
            loop.common.began()  # what ends now ends in threads that nobody counts: time must not move any more


def main() -> None:
    """Live until told to stop."""
    job, pulse = json.loads(sys.stdin.readline()), Pulse()
    PLANTS[job["plant"]]()
    settings = Settings(_env_file=None, **job["settings"])  # type: ignore[call-arg]
    clock: Clock = SystemClock()
    selector: Any = selectors.DefaultSelector()
    make: Callable[[], asyncio.AbstractEventLoop] = lambda: asyncio.SelectorEventLoop(selector)  # noqa: E731
    if job["page"]:
        _count_the_disk_as_work()
        shared = Shared(Path(job["page"]))
        shared.bot_end = socket.socket(fileno=job["end"])
        shared.bot_end.setblocking(False)
        clock, selector = SharedClock(shared), BotSelector(shared)
        make = lambda: Loop(selector)  # noqa: E731
    pulse.take(selector)
    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(_run(settings, clock, pulse))


class Watched:
    """The handle on a bot that is watched."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._turn = asyncio.Lock()

    async def do(self, what: str, **more: Any) -> Json:
        """Have it do something, and hear its pulse. AssertionError where it is gone."""
        async with self._turn:
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps({"do": what, **more}).encode() + b"\n")
            return await self.hears()

    async def hears(self) -> Json:
        """Its next line."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, "the bot that was watched is gone"
        told: Json = json.loads(line)
        return told


@contextlib.asynccontextmanager
async def watched(
    settings: Json, *, shared: Shared | None = None, page: Path | None = None, plant: str = ""
) -> AsyncIterator[Watched]:
    """A bot for as long as the block lasts; on the clock of `shared`, whose page is the file `page`, or else on the machine's."""
    end = shared.bot_end.fileno() if shared is not None else -1
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.endurance.watched",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
        pass_fds=[end] if shared is not None else [],
    )
    assert process.stdin is not None
    job = {"settings": settings, "page": str(page) if page else "", "end": end, "plant": plant}
    process.stdin.write(json.dumps(job).encode() + b"\n")
    made = Watched(process)
    try:
        await made.hears()
        yield made
        process.stdin.write(b'{"do": "stop"}\n')
        try:
            async with asyncio.timeout(60):
                await process.wait()
        except TimeoutError:
            process.send_signal(signal.SIGUSR1)  # it says on its standard error where it hangs
            raise AssertionError("the bot that was watched does not stop") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 1)
            process.kill()
            await process.wait()


if __name__ == "__main__":
    main()
