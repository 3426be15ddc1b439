"""/halt with 500 open orders of the bot's own, in a quiet market and under 20,000 ticks a second: when the state is on the disk, when the
first cancel is at the broker, how fast the others follow, and how late the bot's loop is meanwhile.

The orders are placed through the bot's own cards and executor, in this process and with the limit of messages lifted on both sides; then
the bot that is measured takes them over, in a process of its own and with the limit in force. Times begin when the line reaches the
simulated Telegram. A halt is broken off by /resume after its first cancels, so that many of them can be measured; one of each kind goes on
to its last cancel.
"""

import asyncio
import contextlib
import functools
import json
import os
import signal
import statistics
import sys
import tempfile
from bisect import bisect_left
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from benchmarks.ticks import _cpu_seconds as cpu_seconds
from benchmarks.world import World, clock, percentile, program, world
from bot import redaction, settings
from bot.__main__ import _run
from bot.app import running
from bot.services import Desk
from core import wire
from core.model import OrderType, Origin, Outgoing, Request, Side, Ticket
from core.panic import Panic
from storage.ledger import SqliteLedger

OPEN_ORDERS = 500
TICKS_A_SECOND = 20_000
AIM_MS = 250.0
HALTS = 12
"""In one run of the bot: the first of each is the first that this process ever does."""
CANCELLED_BY_ONE = 60  # until it is open again
SESSIONS = ("quiet", "ticks", "ticks", "ticks", "ticks", "quiet", "ticks", "ticks", "ticks", "ticks")
SYMBOLS = ("AAPL", "MSFT", "NVDA", "AMZN", "SPY", "KO", "TSLA", "META", "QQQ", "JPM")
LONGEST_SECONDS = 60.0  # for anything that is waited for; beyond it the benchmark ends with an error
STEP_SECONDS = 0.005  # how often the bot's loop is asked whether it is there
PAUSE_SECONDS = 1.2  # after which the limit of messages has all its room again


# --- the bot that is measured ------------------------------------------------------------------------------------------------


async def measured() -> dict[str, Any]:
    """The bot until SIGTERM, beside a look at its loop: when states were on the disk, and how late the loop was."""
    kept: list[int] = []
    late: list[tuple[int, int]] = []
    true, watch = SqliteLedger.keep_trading, Panic.watch
    loop = asyncio.get_running_loop()
    owner = settings.load().telegram_allowed_users[0]

    async def keep_trading(ledger: SqliteLedger, *told: Any) -> None:
        await true(ledger, *told)
        kept.append(perf_counter_ns())

    async def watched(panic: Panic) -> None:
        resume = functools.partial(panic.resume, Origin(-1, owner, ""))
        loop.add_signal_handler(signal.SIGUSR1, lambda: kept_tasks.append(loop.create_task(resume())))
        await watch(panic)

    kept_tasks: list[asyncio.Task[None]] = []
    Panic.watch = watched  # type: ignore[method-assign, assignment]
    SqliteLedger.keep_trading = keep_trading  # type: ignore[method-assign, assignment]
    watching = asyncio.create_task(_watch_loop(late))
    await _run(settings.load())
    watching.cancel()
    return {"kept": kept, "late": late}


async def _watch_loop(late: list[tuple[int, int]]) -> None:
    """Every step a look at the clock: (when it was due, how late it came), in ns. A long turn is met by every look that fell into it."""
    step = int(STEP_SECONDS * 1e9)
    due = perf_counter_ns() + step
    while True:
        await asyncio.sleep(max(due - perf_counter_ns(), 0) / 1e9)
        now = perf_counter_ns()
        while due <= now:
            late.append((due, now - due))
            due += step


# --- arranging ---------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def surroundings(told: dict[str, str]) -> Any:
    """The settings of this process for a moment."""
    before = dict(os.environ)
    os.environ.update(told)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


async def place(there: World, told: dict[str, str], count: int) -> None:
    """So many orders that rest, each by a card that was drawn, approved and checked; the bot ends in order afterwards."""
    await there.post("/tws/limits", messages_per_second=None)
    limit, wire.MESSAGES_PER_SECOND = wire.MESSAGES_PER_SECOND, 10**6
    with surroundings(told):
        made = settings.load()
    async with running(made) as (desk, _):
        while not desk.broker.link.reconciled:  # noqa: ASYNC110 - a link says nothing when it changes
            await asyncio.sleep(0.01)
        owner = made.telegram_allowed_users[0]
        for number in range(count):
            await _place(desk, owner, SYMBOLS[number % len(SYMBOLS)])
        # What there is to say is said here, so that the bot that is measured does not begin with it.
        while await desk.ledger.waiting(after=0):  # type: ignore[attr-defined]  # noqa: ASYNC110 - it is the outbox too, which tells nobody
            await asyncio.sleep(0.05)
    wire.MESSAGES_PER_SECOND = limit
    await there.post("/tws/limits", messages_per_second=50)


async def _place(desk: Desk, owner: int, symbol: str) -> None:
    instrument = await desk.broker.find(symbol)
    quote = await desk.broker.quote(instrument, 15.0, 150.0)
    assert quote.bid is not None
    limit = (quote.bid * Decimal("0.8")).quantize(Decimal("0.01"))
    request = Request(Side.BUY, symbol, quantity=Decimal(1), order_type=OrderType.LIMIT, limit_price=limit)
    ticket = (await desk.cards.preview(request, owner)).ticket
    await desk.ledger.open_cards([ticket], [_card(desk, ticket)])
    await desk.executor.submit(ticket, Origin(-1, owner, ""))


def _card(desk: Desk, ticket: Ticket) -> Outgoing:
    return Outgoing(
        ticket.owner, "reply", desk.clock.now(), ticket.instrument.symbol, subject=ticket.ticket_id
    )


# --- measuring ---------------------------------------------------------------------------------------------------------------


@dataclass
class Measured:
    """In ms from the line in Telegram, one of each for each halt; `first` are the halts that were the first of their process."""

    kept: list[float] = field(default_factory=list)
    cancel: list[float] = field(default_factory=list)
    answer: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    ticks: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)
    drain: tuple[int, float] | None = None


async def _event(there: World, server: str, after: int, fits: Any) -> Any:
    async with asyncio.timeout(LONGEST_SECONDS):
        while True:
            told = await there.get(f"/{server}/events", after=after, timeout=5)
            for event in told["events"]:
                if fits(event):
                    return event
            after = told["last"]


def _is_cancelled(event: Any) -> bool:
    return bool(event["kind"] == "order" and event["status"] == "Cancelled")


def _shows(words: str) -> Any:
    return lambda event: event["kind"] == "sendMessage" and words in str(event)


async def _last(there: World, server: str) -> int:
    return int((await there.get(f"/{server}/events", after=10**12, timeout=0))["last"])


async def _halt(there: World, done: Measured, *, broken_off_in: int | None) -> int:
    """One halt up to its first cancel, and the whole of its answer; returns when it was typed, in ns.

    It is broken off in the bot's process `broken_off_in` as the button of /resume does it: the message with that button waits behind the
    news of cancels. That it is open again is told behind those too, so that the next halt begins with nothing left to say.
    """
    seen = await _last(there, "tws")
    said = await there.post("/telegram/message", text="/halt")
    first = await _event(there, "tws", seen, _is_cancelled)
    if broken_off_in is not None:
        await _resume(there, broken_off_in)
    answer = await _event(there, "telegram", said["seq"], _shows("HALTED"))
    done.cancel.append((first["at_ns"] - said["at_ns"]) / 1e6)
    done.answer.append((answer["at_ns"] - said["at_ns"]) / 1e6)
    return int(said["at_ns"])


async def _resume(there: World, pid: int) -> None:
    seen = await _last(there, "telegram")
    os.kill(pid, signal.SIGUSR1)
    await _event(there, "telegram", seen, _shows("ACTIVE"))


async def _drained(there: World, seen: int, count: int) -> tuple[int, float]:
    """How many cancels came behind event `seen`, and within how many seconds, once there are `count`."""
    times: list[int] = []
    while len(times) < count:
        told = await there.get("/tws/events", after=seen, timeout=5)
        times += [event["at_ns"] for event in told["events"] if _is_cancelled(event)]
        seen = told["last"]
        await asyncio.sleep(0.5)  # many at a time, so that being asked costs the server little
    return len(times), (times[-1] - times[0]) / 1e9


async def _open(there: World) -> int:
    book = await there.get("/tws/book")
    return sum(order["status"] in ("PreSubmitted", "Submitted") for order in book["orders"])


@contextlib.asynccontextmanager
async def _ticking(there: World, per_second: int, done: Measured, pid: int) -> AsyncIterator[None]:
    """Ticks of what the open cards are about, and how many really came."""
    await there.post("/tws/ticks", per_second=per_second, client=0)
    before = (await there.get("/tws/counts"))["faults"].get("ticks", 0)
    begun, used = clock(), cpu_seconds(pid)
    yield
    took = clock() - begun
    done.used.append((cpu_seconds(pid) - used) / took)
    done.ticks.append(((await there.get("/tws/counts"))["faults"].get("ticks", 0) - before) / took)
    await there.post("/tws/ticks", per_second=0)


async def session(
    there: World, told: dict[str, str], home: Path, done: Measured, per_second: int, *, to_the_end: bool
) -> None:
    """One run of the bot with its halts."""
    notes = home / "notes.json"
    after = (await there.post("/telegram/message", text="a new run"))["message_id"]
    halts: list[int] = []
    windows: list[tuple[int, int]] = []
    async with program("-m", "benchmarks.halt", str(notes), environment=told, cwd=home) as process:
        await there.bot_message("Connected", after=after)
        for symbol in SYMBOLS:
            asked = (await there.post("/telegram/message", text=f"/buy {symbol} 1 preview"))["message_id"]
            await there.bot_message("BUY 1", after=asked)
        await asyncio.sleep(PAUSE_SECONDS)
        async with _ticking(there, per_second, done, process.pid):
            await asyncio.sleep(PAUSE_SECONDS)
            for number in range(HALTS):
                last = to_the_end and number == HALTS - 1
                left, seen = await _open(there), await _last(there, "tws")
                assert left >= OPEN_ORDERS, left
                halts.append(await _halt(there, done, broken_off_in=None if last else process.pid))
                if last:
                    done.drain = await _drained(there, seen, left)
                    await _resume(there, process.pid)
                await asyncio.sleep(PAUSE_SECONDS)
                windows.append((halts[-1], perf_counter_ns()))
    found = json.loads(notes.read_text())
    done.first.append(done.cancel[-HALTS])
    done.kept += [(found["kept"][bisect_left(found["kept"], typed)] - typed) / 1e6 for typed in halts]
    done.late += [
        late / 1e6 for due, late in found["late"] if any(begin <= due <= end for begin, end in windows)
    ]


def _print(name: str, done: Measured, beside: Measured) -> None:
    ticks = f"{statistics.mean(done.ticks):,.0f} ticks/s" if name == "ticks" else "no ticks but the market's"
    print(
        f"{name}: {len(done.cancel)} halts, {ticks}, the bot used {statistics.mean(done.used):.0%} of a core"
    )
    for what, values, others in (
        ("on the disk", done.kept, beside.kept),
        ("first cancel", done.cancel, beside.cancel),
        ("answer", done.answer, beside.answer),
    ):
        p99 = percentile(values, 0.99)
        aim = "" if what == "answer" else f", {p99 / AIM_MS:.2f} of the {AIM_MS:.0f} allowed"
        print(
            f"{what:>14}: p50 {statistics.median(values):.1f} ms, p99 {p99:.1f} ms, max {max(values):.1f} ms{aim}; "
            f"{statistics.median(values) / statistics.median(others):.2f} times the quiet median"
        )
    print(
        f"{'of them first':>14}: first cancel, first halt of a process: {', '.join(f'{v:.1f}' for v in done.first)} ms"
    )
    print(
        f"{'loop':>14}: late by p50 {statistics.median(done.late):.1f} ms, p99 {percentile(done.late, 0.99):.1f} ms, max {max(done.late):.1f} ms"
    )
    if done.drain is not None:
        count, seconds = done.drain
        least = (count - 1) // wire.MESSAGES_PER_SECOND
        print(
            f"{'the rest':>14}: {count} cancels in {seconds:.1f} s, {count / max(seconds, 1e-9):.1f} a second "
            f"(limit {wire.MESSAGES_PER_SECOND}, which needs {least} s: {seconds / least:.2f} of that)"
        )


async def measure() -> None:
    """Sessions of both kinds in turn."""
    redaction.set_up("ERROR", ())
    done = {"quiet": Measured(), "ticks": Measured()}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        async with world(home / "world") as there:
            told = await there.environment(home)
            lasts = {kind: max(n for n, k in enumerate(SESSIONS) if k == kind) for kind in done}
            for number, kind in enumerate(SESSIONS):
                begun = clock()
                missing = OPEN_ORDERS + (HALTS - 1) * CANCELLED_BY_ONE - await _open(there)
                await place(there, told, max(missing, 0))
                print(
                    f"  ({missing} orders placed in {clock() - begun:.0f} s; load of the machine {os.getloadavg()[0]:.1f})"
                )
                ticks = TICKS_A_SECOND if kind == "ticks" else 0
                await session(there, told, home, done[kind], ticks, to_the_end=number == lasts[kind])
    for kind, values in done.items():
        _print(kind, values, done["quiet"])
    print(
        f"  aim: p99 of both {AIM_MS:.0f} ms or less under {TICKS_A_SECOND:,} ticks/s; the rest at the limit of messages"
    )


def main() -> None:
    """Run it; with a path, be the bot that is measured."""
    if len(sys.argv) > 1 and __name__ == "__main__":
        Path(sys.argv[1]).write_text(json.dumps(asyncio.run(measured())))
    else:
        asyncio.run(measure())


if __name__ == "__main__":
    main()
