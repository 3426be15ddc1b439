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

from tests.crash.timeline import quiet
from tests.endurance.bodies import STATUSES, BodySpoiler
from tests.endurance.frames import KINDS, FalseTws, Spoiler
from tests.endurance.place import Place, next_november, on_one_clock, place, table
from tests.endurance.relays import BrokenBotApi, BrokenModel, Relay
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
            self.failures.append(
                f"the loop stood still for {self.pulse['longest_turn']:.2f} s\n{self.pulse['stood_at']}"
            )
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
    await where.control.post("/tws/fills", mode="auto", improves=-1)
    await where.trade("/strategy BULL_CALL_SPREAD AAPL 30d 2", "FILLED BUY 2 AAPL BULL_CALL_SPREAD")
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


async def telegram(where: Place, report: Report, number: int, plant: str = "") -> None:
    """Malformed answers of the Bot API, and malformed updates in sound ones."""
    # A 401 or 404 to the token ends the bot, and so does a 409 that lasts: that is right, and is tested elsewhere.
    spoiler = BodySpoiler(report.seed, tuple(s for s in STATUSES if s not in (401, 404, 409)))
    relay = BrokenBotApi(where.world.telegram.address, spoiler)
    await relay.start()
    try:
        async with where.watched_bot(plant, telegram_api_url=relay.address) as bot:
            await where.phone.hears("Connected")
            for line in ("/positions", "/help", "/orders"):
                await where.phone.says(line)
            card = await where.phone.asks("/buy AAPL 1", "BUY 1 AAPL")
            await where.phone.taps("Discard", card)
            await where.phone.settled()
            await _thrown(relay, report, number, bot)
            # What was said of each unreadable update goes out at the speed that Telegram allows.
            left = []
            for _ in range(10 + number // 10):
                left = where.rows(
                    "SELECT id, chat, kind, state, is_edit, substr(text, 1, 80) FROM messages WHERE state = 'waiting'"
                )
                if not left:
                    break
                await asyncio.sleep(60)
            report.failures += [f"never said: {row}" for row in left[:5]]
            await afterwards(where, report, bot, "MSFT")
    finally:
        await relay.close()
    report.counts["spoilt how"], report.counts["spoilt what"] = spoiler.made, relay.spoilt
    ended = where.rows("SELECT coalesce(outcome, 'unfinished'), count(*) FROM updates GROUP BY 1")
    report.counts["how updates ended"] = Counter(dict(ended))
    report.counts["the bot's log"] = Counter(report.pulse["lines"])


async def _thrown(relay: Relay, report: Report, number: int, bot: Watched) -> None:
    """Wait until so many answers were spoilt."""
    while report.thrown < number:
        count = min(BATCH, number - report.thrown)
        relay.ended.clear()
        relay.left = count
        try:
            async with asyncio.timeout(1200 + 2 * count):  # seconds of the common clock
                await relay.ended.wait()
        except TimeoutError:
            report.failures.append(f"it asks no more: {relay.left} of {count} answers were left")
            relay.left = 0
            report.pulse = await bot.do("pulse")
            return
        report.thrown += count
        report.pulse = await bot.do("pulse")
        if report.pulse["uncaught"] or report.pulse["dead"]:
            relay.left = 0
            break


async def model(where: Place, report: Report, number: int, plant: str = "") -> None:
    """Malformed answers of the model, most of them to the analyst, some to /analyze in the chat."""
    there = where.world.model
    spoiler = BodySpoiler(report.seed)
    relay = BrokenModel(there.address, spoiler)
    await relay.start()
    settings = {
        "anthropic_api_key": there.api_key,
        "anthropic_base_url": relay.address,
        "anthropic_model": there.model,
        "analyst_daily_calls": 10**9,
        "analyst_daily_dollars": "1000000",
    }
    outcomes, in_chat = Counter[str](), Counter[str]()
    try:
        async with where.watched_bot(plant, **settings) as bot:
            await where.phone.hears("Connected")
            await where.phone.asks("/analyze MSFT", "MSFT")
            while report.thrown < number:
                before, relay.left = sum(relay.spoilt.values()), 10**9
                report.pulse = await bot.do("ask", number=min(BATCH, number - report.thrown))
                outcomes.update(report.pulse["outcomes"])
                for _ in range(3):
                    told = await where.phone.asks("/analyze MSFT", "^(?!🔎)")
                    in_chat[told["text"].splitlines()[0][:60]] += 1
                relay.left = 0
                report.thrown += sum(relay.spoilt.values()) - before
                await quiet()
                where.leap(86_400)  # the bot counts the day's calls before each: a real day has a hundred
                await asyncio.sleep(60)
                if report.pulse["uncaught"] or report.pulse["dead"]:
                    break
            await asyncio.sleep(70)  # a model that failed too often is left alone for a minute
            answer = await bot.do("ask", number=1)
            if answer["outcomes"] != {"decision": 1}:
                report.failures.append(f"afterwards a true answer ended as {answer['outcomes']}")
            await afterwards(where, report, bot, "MSFT")
    finally:
        await relay.close()
    report.counts["spoilt how"], report.counts["the analyst's outcomes"] = spoiler.made, outcomes
    report.counts["what the chat said"] = in_chat
    report.counts["the bot's log"] = Counter(report.pulse["lines"])


RUNS = {"tws": (tws, 1_000_000), "telegram": (telegram, 100_000), "model": (model, 100_000)}


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
