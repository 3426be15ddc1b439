"""`make fuzz`: malformed TWS frames, Bot API answers and model answers are thrown at the bot; outcomes are counted, and afterwards it trades."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.endurance.frames import KINDS, FalseTws, Spoiler
from tests.endurance.place import Place, next_november, on_one_clock, place, table
from tests.endurance.watched import Json, Watched

say = partial(print, flush=True)
BATCH = 2000
STALL_SECONDS = 1.0


@dataclass
class Report:
    """What came of one run."""

    name: str
    seed: int
    thrown: int = 0
    seconds: float = 0.0
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    pulse: Json = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def judge(self) -> None:
        """No uncaught exception, no stall, nothing dead."""
        for what, count in self.pulse["uncaught"].items():
            self.failures.append(f"nobody caught ({count} times): {what}")
        if self.pulse["longest_turn"] > STALL_SECONDS:
            self.failures.append(f"the loop stood still for {self.pulse['longest_turn']:.2f} s")
        if self.pulse["dead"]:
            self.failures.append(f"the bot ended: {self.pulse['dead']}")

    def __str__(self) -> str:
        lines = [
            f"== {self.name}: {self.thrown:,} thrown, seed {self.seed}, {self.seconds:.0f} s, longest turn of the loop "
            f"{self.pulse['longest_turn'] * 1000:.0f} ms, uncaught {sum(self.pulse['uncaught'].values())}"
        ]
        lines += [table(title, counts) for title, counts in self.counts.items()]
        lines += [f"FAILED: {failure}" for failure in self.failures]
        return "\n".join(lines)


async def tws(where: Place, report: Report, number: int, plant: str = "") -> None:
    """Malformed frames towards the bot."""
    spoiler = Spoiler(report.seed)
    false = FalseTws(where.world.tws.port, spoiler)
    await false.start()
    try:
        async with where.watched_bot(plant, ibkr_port=false.port) as bot:
            await _tws(where, report, number, false, bot)
    finally:
        await false.close()
    report.counts["spoilt how"] = spoiler.made
    report.counts["spoilt what (message type)"] = false.said
    report.counts["the bot's log"] = Counter(report.pulse["lines"])


async def _tws(where: Place, report: Report, number: int, false: FalseTws, bot: Watched) -> None:
    await where.phone.hears("Connected")
    await where.trade("/buy AAPL 10", "FILLED BUY 10 AAPL")
    await where.control.post("/tws/fills", mode="hold")
    card = await where.phone.asks("/buy AAPL 5 @ 100", "BUY 5 AAPL")
    await where.phone.taps("Send", card)
    await where.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])
    await where.control.post("/tws/fills", mode="auto")
    while report.thrown < number:
        count = min(BATCH, number - report.thrown)
        if report.thrown // BATCH % 10 == 5:
            # From time to time the connection is cut, and the beginnings of the next ones are spoilt too.
            false.greets = [false._spoiler.chance.choice(KINDS) for _ in range(3)]
            await where.control.post("/tws/drop")
            await asyncio.sleep(10)
        await false.flood(count)
        report.thrown += count
        report.pulse = await bot.do("drained")
        if report.pulse["uncaught"] or report.pulse["dead"]:
            break
    false.greets = []
    await afterwards(where, report, bot, "MSFT")


async def afterwards(where: Place, report: Report, bot: Watched, symbol: str) -> None:
    """A valid order goes through, and the books agree."""
    await where.control.post("/tws/drop")  # what the stream was told last may have been the half of a frame
    await asyncio.sleep(40)
    try:
        await where.trade(f"/buy {symbol} 3", f"FILLED BUY 3 {symbol}")
        report.failures += await where.agrees()
    except AssertionError as lost:
        report.failures.append(f"afterwards no order went through: {lost}")
    report.pulse = await bot.do("measure")
    report.judge()


RUNS = {"tws": (tws, 1_000_000)}


def run(name: str, number: int, seed: int, folder: Path, plant: str = "") -> Report:
    """One run in a folder of its own."""
    folder.mkdir(parents=True)
    report, begun = Report(name, seed), time.perf_counter()
    runner, shared, page = on_one_clock(folder, next_november(24, 15))

    async def go() -> None:
        async with place(folder, shared, page) as where:
            await RUNS[name][0](where, report, number, plant)

    with runner:
        runner.run(go())
    report.seconds = time.perf_counter() - begun
    return report


def main() -> int:
    """Every run, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", choices=[*RUNS, []])
    parser.add_argument("--number", type=int, help="how many are thrown in each run (else the full number)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    told = parser.parse_args()
    failed = False
    for name in told.runs or RUNS:
        with tempfile.TemporaryDirectory() as folder:
            report = run(name, told.number or RUNS[name][1], told.seed, Path(folder) / name)
        say(report)
        failed = failed or bool(report.failures)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
