"""A plan's card and a page of a chain, each of a share that was never asked for before: timed by the simulated Telegram.

A share has about 20 expiries of about 100 strikes, of which only what a card or a page shows may be asked for.
"""

import asyncio
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.card import _ask
from benchmarks.world import World, percentile, program, world

SHARES = (
    "AAPL",
    "MSFT",
    "AMZN",
    "META",
    "NVDA",
    "TSLA",
    "NFLX",
    "AMD",
    "INTC",
    "QCOM",
    "ADBE",
    "COST",
    "IBM",
    "CRM",
    "JPM",
    "BAC",
)
LINES = {
    "strikes by delta": ("/strategy IRON_CONDOR {}", "Send"),
    "the same again": ("/strategy IRON_CONDOR {}", "Send"),
    "a page of the chain": ("/chain {} 60d", "Trade a strike"),
    "another strategy": ("/strategy BULL_CALL_SPREAD {} 60d", "Send"),
}


async def _chain(there: World) -> str:
    """How large a chain is."""
    told = await there.post("/telegram/message", text=f"/chain {SHARES[0]}")
    shown = await there.bot_message("options ·", told["message_id"])
    return str(shown["text"].splitlines()[-1])


async def measure() -> None:
    """Print medians, 90th percentiles and the slowest, and what the broker's limits had to refuse."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        async with world(home / "world") as there:
            environment = await there.environment(home)
            async with program("-m", "bot", environment=environment, cwd=home):
                await there.bot_message("Connected")
                size = await _chain(there)
                found: dict[str, list[float]] = {name: [] for name in LINES}
                for share in SHARES:
                    for name, (line, label) in LINES.items():
                        found[name].append(await _ask(there, line.format(share), ("sendMessage",), label))
                counts: Any = await there.get("/tws/counts")
        print(f"{size} at one expiry")
        for name, values in found.items():
            print(
                f"{name:>24}: median {statistics.median(values):.0f} ms, p90 {percentile(values, 0.9):.0f} ms, slowest {max(values):.0f} ms ({len(values)} shares)"
            )
        asked = {
            n: counts["requests"].get(n, 0) for n in ("market_data", "contract_details", "option_parameters")
        }
        print(f"asked: {asked}; refused, slowed down or dropped by the broker's limits: {counts['limits']}")
        print("(aims: a card 1,500 ms, a page 2,000 ms, nothing refused)")


def main() -> None:
    """Run it."""
    asyncio.run(measure())


if __name__ == "__main__":
    main()
