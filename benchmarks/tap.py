"""Tap to order on the wire: the whole bot beside the least program, taps in turn, timed by the simulated TWS."""

import asyncio
import statistics
import tempfile
from pathlib import Path

from benchmarks.world import World, clock, percentile, program, resident_mib, world

TAPS = 150
WARM_UP = 10


async def _tap(there: World, message_id: int) -> float:
    """Milliseconds from the press to the order's last byte at the broker."""
    known = len((await there.get("/tws/book"))["orders"])
    seen = (await there.get("/tws/events", after=0, timeout=0))["last"]
    pressed = (await there.post("/telegram/press", message_id=message_id, button="Send"))["at_ns"]
    while True:
        orders = (await there.get("/tws/book"))["orders"]
        if len(orders) > known:
            return float(max(order["received_ns"] for order in orders) - pressed) / 1e6
        seen = (await there.get("/tws/events", after=seen, timeout=5))["last"]


async def _card(there: World) -> int:
    said = (await there.post("/telegram/message", text="/buy AAPL 1"))["message_id"]
    return int((await there.bot_message("tap Send", after=said))["id"])


async def measure() -> None:
    """Print medians, 90th percentiles and the ratio; then start-up and memory."""
    with tempfile.TemporaryDirectory() as folder:
        ours, least = Path(folder) / "ours", Path(folder) / "least"
        async with world(ours / "world") as our_world, world(least / "world") as least_world:
            our_home, least_home = await our_world.environment(ours), await least_world.environment(least)
            async with program("-m", "benchmarks.least", environment=least_home, cwd=least):
                button = int((await least_world.bot_message("Connected"))["id"])
                begun = clock()
                async with program("-m", "bot", environment=our_home, cwd=ours) as bot:
                    await our_world.bot_message("Connected")
                    ready = clock() - begun
                    taken: dict[str, list[float]] = {"bot": [], "least": []}
                    for turn in range(TAPS + WARM_UP):
                        pair = {
                            "bot": await _tap(our_world, await _card(our_world)),
                            "least": await _tap(least_world, button),
                        }
                        if turn >= WARM_UP:
                            for name, value in pair.items():
                                taken[name].append(value)
                    memory = resident_mib(bot.pid)
    for name, values in taken.items():
        print(
            f"{name:>6}: median {statistics.median(values):.2f} ms, p90 {percentile(values, 0.9):.2f} ms ({len(values)} taps)"
        )
    print(
        f" ratio: {statistics.median(taken['bot']) / statistics.median(taken['least']):.2f} of medians (aim 1.2 or less)"
    )
    print(
        f" ready: {ready:.2f} s from start to connected, compared and polling (aim 1.5); resident {memory:.0f} MiB (aim 90)"
    )


def main() -> None:
    """Run it."""
    asyncio.run(measure())


if __name__ == "__main__":
    main()
