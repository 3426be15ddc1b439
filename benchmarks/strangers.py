"""How long the owner waits for an answer while strangers write a thousand lines a second, beside a quiet hour of the same bot.

The time goes from the owner's line in the simulated Telegram to the bot's answer in it. "Everybody another" is the worst crowd: of each
stranger the first line in a minute is written down, of the others only the number.
"""

import asyncio
import statistics
import tempfile
from pathlib import Path

from benchmarks.world import World, percentile, program, world

PER_SECOND = 1000
QUIET_LINES = 80
SECONDS = 20
PAUSE_SECONDS = 0.1  # between two lines of the owner, so that they meet the flood anywhere
LINES = ("/whoami", "/orders", "/status", "/buy AAPL 1")


async def _answered(there: World, line: str) -> float:
    """Milliseconds from a line of the owner to the first message of the bot behind it."""
    await asyncio.sleep(PAUSE_SECONDS)
    said = await there.post("/telegram/message", text=line)
    seen = said["seq"]
    while True:
        told = await there.get("/telegram/events", after=seen, timeout=5)
        for event in told["events"]:
            if event["kind"] == "sendMessage":
                return float(event["at_ns"] - said["at_ns"]) / 1e6
        seen = told["last"]


async def _flooded(there: World, people: int) -> tuple[list[float], int, float, int]:
    """Answer times during a flood, then how many lines came, within how many seconds, and how many the bot had yet to fetch at the end."""
    flood = asyncio.create_task(
        there.post("/telegram/strangers", per_second=PER_SECOND, seconds=SECONDS, people=people)
    )
    taken: list[float] = []
    while not flood.done():
        taken.append(await _answered(there, LINES[len(taken) % len(LINES)]))
    told = await flood
    return taken, told["sent"], told["seconds"], (await there.get("/telegram/counts"))["waiting"]


def _print(name: str, taken: list[float], beside: list[float], more: str = "") -> None:
    median = statistics.median(taken)
    print(
        f"{name:>18}: p50 {median:.1f} ms, p99 {percentile(taken, 0.99):.1f} ms, max {max(taken):.1f} ms ({len(taken)} lines), "
        f"{median / statistics.median(beside):.2f} times the quiet median{more}"
    )


async def measure() -> None:
    """Print the owner's answer times: quiet, and among two kinds of crowd."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        async with world(state / "world") as there:
            home = await there.environment(state)
            async with program("-m", "bot", environment=home, cwd=state):
                await there.bot_message("Connected")
                quiet = [await _answered(there, LINES[n % len(LINES)]) for n in range(QUIET_LINES)]
                _print("quiet", quiet, quiet)
                for name, people in (("100 strangers", 100), ("everybody another", PER_SECOND * SECONDS)):
                    taken, sent, seconds, waiting = await _flooded(there, people)
                    _print(
                        name,
                        taken,
                        quiet,
                        f"; {sent / seconds:.0f} lines a second, {waiting} waiting at the end",
                    )
    print(f"  aim: less than 1000 ms while {PER_SECOND} lines of strangers come a second")


def main() -> None:
    """Run it."""
    asyncio.run(measure())


if __name__ == "__main__":
    main()
