"""`make soak`: a month of trading in minutes. Each simulated day's end compares the books and measures what the bot holds; both must stay flat.

The month begins on the twentieth of a November, so that it has Thanksgiving, the half day behind it and Christmas Eve. The days are lived in
pieces: what happens at a piece's hour happens on the common clock, with every timer; between the pieces the clock leaps, as when a
computer sleeps.
"""

import argparse
import asyncio
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

from sim.tws import hours
from tests.crash.timeline import quiet
from tests.endurance.place import Place, next_november, on_one_clock, place
from tests.endurance.watched import Json, Watched

say = partial(print, flush=True)
NEW_YORK = ZoneInfo("America/New_York")
DAYS = 30
WARM_DAYS = 10
"""The bot remembers executions for eight days, so what it holds grows until then."""
STALL_SECONDS = 1.0
TABLES = ("orders", "executions", "commissions", "tickets", "updates", "messages", "audit", "jobs", "model_calls", "decisions")  # fmt: skip


@dataclass(frozen=True)
class Bound:
    """How much more there may be at the end of a month than after the first days: a share of it, and a number."""

    share: float
    number: float


BOUNDS = {
    "memory_kib": Bound(0.03, 2048),
    "objects": Bound(0.03, 2000),
    "blocks": Bound(0.03, 5000),
    "tasks": Bound(0, 2),
    "threads": Bound(0, 2),
    "files": Bound(0, 2),
}


@dataclass
class Month:
    """What was measured at the end of each day."""

    days: list[Json] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    pulse: Json = field(default_factory=dict)
    filled: int = 0


def growth(values: Sequence[float], warm: int) -> tuple[float, float]:
    """What is held after the first `warm` days, and at the end: the medians of a third of the days in between, so that noise counts less."""
    settled = values[warm:]
    third = max(len(settled) // 3, 1)
    return statistics.median(settled[:third]), statistics.median(settled[-third:])


def not_flat(days: Sequence[Json], warm: int, bounds: dict[str, Bound] = BOUNDS) -> list[str]:
    """What grew beyond its bound."""
    found = []
    for name, bound in bounds.items():
        early, late = growth([float(day[name]) for day in days], warm)
        if late > early * (1 + bound.share) + bound.number:
            found.append(f"{name} grew from {early:,.0f} to {late:,.0f}")
    for name in TABLES:
        added = [b[name] - a[name] for a, b in pairwise(days)]
        early, late = growth([float(n) for n in added], min(warm, max(len(added) - 2, 0)))
        if late > 2 * early + 60:
            found.append(f"the table {name} grows by {late:.0f} rows a day, at first {early:.0f}")
    return found


# --- what happens in a day ------------------------------------------------------------------------------------------------


async def to(where: Place, day: datetime, hour: int, minute: int) -> None:
    """Leap to that time of the day in New York, when nothing is on its way."""
    then = day.astimezone(NEW_YORK).replace(hour=hour, minute=minute, second=0, microsecond=0)
    ahead = (then - where.now()).total_seconds()
    if ahead > 0:
        await quiet()
        where.leap(ahead)
        await asyncio.sleep(
            60
        )  # the first minute after it: what is overdue happens, connections are looked at


async def sent(where: Place, line: str, shown: str) -> Json | None:
    """A line, its card, and Send; the card as it is when something has come of it. None where the desk said no."""
    card = await where.phone.asks(line, f"{shown}|Not sent|not |no ")
    if not any(b["text"] == "Send" for row in card["buttons"] for b in row):
        return None
    await where.phone.taps("Send", card)
    return await where.phone.sees(lambda m: m["id"] == card["id"] and "tap Send" not in m["text"])


async def session(where: Place, chance: random.Random, month: Month) -> None:
    """A day's trading: fills, partial fills, a resting order changed and cancelled, a bracket closed, a proposal."""
    phone, control = where.phone, where.control
    await where.trade("/buy AAPL 10", "FILLED BUY 10 AAPL")
    await where.trade(f"/buy MSFT {chance.randint(1, 5)}", "FILLED BUY \\d MSFT")
    await control.post("/tws/fills", mode="partial")
    await where.trade("/buy KO 30", "FILLED BUY 30 KO")
    await control.post("/tws/fills", mode="hold")
    if await sent(where, "/buy AAPL 5 @ 150", "BUY 5 AAPL"):
        listed = await phone.asks("/orders", "AAPL")
        number = max(int(n) for n in _numbers(listed["text"]))
        if await sent(where, f"/modify {number} @ 151", "CHANGE"):
            await asyncio.sleep(5)
        await phone.says(f"/cancel {number}")
        await phone.hears("[Cc]ancelled")
    await control.post("/tws/fills", mode="auto")
    card = await sent(where, "/buy MSFT 4 sl 300 tp 600", "BUY 4 MSFT")
    if card is not None:
        await phone.hears("FILLED BUY 4 MSFT", after=card["id"])
    for symbol in ("AAPL", "KO", "MSFT"):
        await sent(where, f"/sell {symbol} all", f"SELL \\d+ {symbol}")
        await asyncio.sleep(20)
    month.filled += 5


def _numbers(text: str) -> list[str]:
    return re.findall(r"#(\d+)", text) or ["0"]


async def proposal(where: Place) -> None:
    """The model is asked, and its proposal rejected or left to expire."""
    told = await where.phone.asks("/analyze MSFT", "MSFT.*(confidence|model)")
    if told["buttons"]:
        await where.phone.taps("Reject", told)


async def bad_hour(where: Place, chance: random.Random) -> None:
    """Something that goes wrong in the middle of the day."""
    control = where.control
    match chance.randrange(5):
        case 0:
            await control.post("/telegram/fault", kind="outage", seconds=120)
            await asyncio.sleep(200)
        case 1:
            for code, text in ((2103, "Market data farm connection is broken:usfarm"), (2104, "Market data farm connection is OK:usfarm")):  # fmt: skip
                await control.post("/tws/message", code=code, text=text)
                await asyncio.sleep(30)
        case 2:
            await control.post("/tws/message", code=1100, text="Connectivity between IBKR and Trader Workstation has been lost.")  # fmt: skip
            await asyncio.sleep(30)
            await control.post("/tws/message", code=chance.choice((1101, 1102)), text="Connectivity between IBKR and Trader Workstation has been restored.")  # fmt: skip
        case 3:
            await control.post("/tws/drop")
        case 4:
            await control.post("/tws/half_open", on=True)
            await asyncio.sleep(30)
            await control.post("/tws/half_open", on=False)
    await asyncio.sleep(60)


async def night(where: Place, weekly: bool) -> None:
    """The broker restarts; once a week somebody has to log in."""
    control = where.control
    await control.post("/tws/restart")
    await control.post("/tws/refuse", on=True)
    await asyncio.sleep(180)
    if weekly:
        await control.post("/tws/not_logged_in", on=True)
    await control.post("/tws/refuse", on=False)
    if weekly:
        await asyncio.sleep(120)
        await control.post("/tws/not_logged_in", on=False)
    await asyncio.sleep(60)


async def live(where: Place, bot: Watched, days: int, seed: int, month: Month) -> None:
    """So many days, one after the other."""
    chance, control = random.Random(seed), where.control
    await where.phone.hears("Connected")
    await control.post("/tws/market", open="hours")
    begin = where.now()
    for number in range(days):
        day = begin + timedelta(days=number)
        book = await control.book()
        await to(where, day, 9, 40)
        begun = time.perf_counter()
        if hours.is_open(where.now()):
            await session(where, chance, month)
            await proposal(where)
            await to(where, day, 12, 30)
            await bad_hour(where, chance)
        await to(where, day, 16, 45)
        await asyncio.sleep(90)  # the summary
        await to(where, day, 23, 45)
        await night(where, weekly=number % 7 == 2)
        found = await where.agrees()
        month.differences += [f"day {number + 1}: {one}" for one in found]
        measured = await bot.do("measure")
        rows = {name: where.rows(f"SELECT count(*) FROM {name}")[0][0] for name in TABLES}
        month.pulse = measured
        kept = {name: measured[name] for name in BOUNDS}
        orders = len((await control.book())["orders"]) - len(book["orders"])
        month.days.append(
            {**kept, **rows, "orders_new": orders, "date": f"{day.astimezone(NEW_YORK):%a %d %b}"}
        )
        say(_line(number + 1, month.days[-1], len(found), time.perf_counter() - begun))


def _line(number: int, day: Json, differences: int, seconds: float) -> str:
    return (
        f"{number:>3} {day['date']} {day['memory_kib'] / 1024:>7.1f} {day['objects']:>9,} {day['blocks']:>9,} {day['tasks']:>5} {day['threads']:>7} {day['files']:>5} "
        f"{day['orders_new']:>6} {day['executions']:>6} {day['messages']:>8} {day['updates']:>7} {differences:>5} {seconds:>6.1f}"
    )


HEAD = "day            RSS MiB   objects    blocks tasks threads files orders  execs messages updates diffs  took s"


def run(days: int, warm: int, seed: int, folder: Path, plant: str = "", bounds: dict[str, Bound] = BOUNDS) -> tuple[Month, list[str]]:  # fmt: skip
    """A month, and what is wrong with it."""
    month = Month()
    runner, shared, page = on_one_clock(folder, next_november(20, 13))

    async def go() -> None:
        async with place(folder, shared, page) as where:
            model = where.world.model
            async with where.watched_bot(
                plant,
                anthropic_api_key=model.api_key,
                anthropic_base_url=model.address,
                anthropic_model=model.model,
                max_portfolio_risk="1",
            ) as bot:
                await live(where, bot, days, seed, month)

    with runner:
        runner.run(go())
    wrong = month.differences + not_flat(month.days, warm, bounds)
    wrong += [f"nobody caught ({n} times): {what}" for what, n in month.pulse["uncaught"].items()]
    if month.pulse["longest_turn"] > STALL_SECONDS:
        wrong.append(f"the loop stood still for {month.pulse['longest_turn']:.2f} s")
    return month, wrong


def main() -> int:
    """A month, or so many days."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--warm", type=int, default=WARM_DAYS)
    parser.add_argument("--seed", type=int, default=1)
    told = parser.parse_args()
    begun = time.perf_counter()
    say(f"seed {told.seed}, {told.days} days")
    say(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        month, wrong = run(told.days, told.warm, told.seed, Path(folder))
    say(
        f"{time.perf_counter() - begun:.0f} s; longest turn of the loop {month.pulse['longest_turn'] * 1000:.0f} ms"
    )
    for name in BOUNDS:
        early, late = growth([float(day[name]) for day in month.days], told.warm)
        say(
            f"  {name:>12}: {early:,.0f} after the first days, {late:,.0f} at the end ({late / early - 1:+.1%})"
        )
    for one in wrong:
        say(f"FAILED: {one}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
