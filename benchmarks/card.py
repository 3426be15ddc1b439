"""/analyze to card without the model's own time, with daily bars cached, and /buy to card beside it: timed by the simulated Telegram.

/analyze twice: where no options are offered, and where the model reads a slice of the chain (and proposes shares all the same).
"""

import asyncio
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.world import World, percentile, program, world

TURNS = 40


async def _until(there: World, after: int, fits: Any) -> Any:
    """The first event behind `after` that fits."""
    seen = after
    while True:
        told = await there.get("/telegram/events", after=seen, timeout=5)
        for event in told["events"]:
            if fits(event):
                return event
        seen = told["last"]


async def _ask(there: World, line: str, methods: tuple[str, ...], label: str) -> float:
    """Milliseconds from the line typed to the message that has a button of that label."""
    said = await there.post("/telegram/message", text=line)
    shown = await _until(there, said["seq"], lambda e: e["kind"] in methods and label in str(e))
    return float(shown["at_ns"] - said["at_ns"]) / 1e6


async def _model_ms(there: World, after: int) -> tuple[float, int]:
    """What the model itself took for the request behind event `after`."""
    events = (await there.get("/model/events", after=after, timeout=0))["events"]
    asked = next(e for e in events if e["kind"] == "request")
    answered = next(e for e in events if e["kind"] == "answer")
    return (answered["at_ns"] - asked["at_ns"]) / 1e6, events[-1]["seq"]


async def _run(options: bool) -> tuple[list[float], list[float]]:
    """Milliseconds of /analyze (without the model's own) and of /buy, each many times."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        async with world(home / "world") as there:
            answers = [{"verdict": "BUY", "confidence": 80}] * (TURNS + 2)
            await there.post("/model/script", model="scripted-1", answers=answers)
            environment = await there.environment(home) | {
                "ANTHROPIC_API_KEY": there.model_key,
                "ANTHROPIC_BASE_URL": there.model,
                "ANTHROPIC_MODEL": "scripted-1",
                "ANALYST_OPTIONS": str(options).lower(),
            }
            async with program("-m", "bot", environment=environment, cwd=home):
                await there.bot_message("Connected")
                analyze: list[float] = []
                seen = (await there.get("/model/events", after=0, timeout=0))["last"]
                buy = [await _ask(there, "/buy MSFT 1", ("sendMessage",), "Send") for _ in range(TURNS)]
                for turn in range(TURNS + 2):
                    whole = await _ask(there, "/analyze MSFT", ("editMessageText",), "Approve")
                    model, seen = await _model_ms(there, seen)
                    if turn >= 2:  # the first loads the SDK and the numeric library, and fetches the bars
                        analyze.append(whole - model)
                requests = (await there.get("/model/requests", after=0))["requests"]
                offered = "call_" in requests[-1]["body"]["messages"][0]["content"].split("</facts")[0]
                assert offered is options, "the model read another prompt than was to be measured"
                return analyze, buy


async def measure() -> None:
    """Print medians and 90th percentiles."""
    without, buy = await _run(options=False)
    with_options, _ = await _run(options=True)
    rows = (("/analyze", without), ("/analyze with options on offer", with_options), ("/buy", buy))
    for name, values in rows:
        print(
            f"{name:>30} to card: median {statistics.median(values):.1f} ms, p90 {percentile(values, 0.9):.1f} ms ({len(values)} times)"
        )
    print(
        "(aim: /analyze without the model's own time, and without options on offer, 150 ms or less)".rjust(80)
    )


def main() -> None:
    """Run it."""
    asyncio.run(measure())


if __name__ == "__main__":
    main()
