"""Books compared: 500 open orders and 10,000 executions at the broker; how long the bot takes to start, to connect again, and to look every minute."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.ticks import _order as market_order
from benchmarks.ticks import connected
from benchmarks.world import World, clock, world
from bot.app import running
from bot.services import Desk
from bot.settings import Settings
from core.bookkeeper import Bookkeeper

OPEN_ORDERS, EXECUTIONS = 500, 10_000
BATCH = 250
AIM_SECONDS, AIM_TURN_SECONDS = 5.0, 0.25
LOOKS = 5
REF = 26
"""Where an order has its reference, among the fields of placeOrder."""


class Turns(asyncio.SelectorEventLoop):
    """An event loop that knows its longest turn: for how long nobody else was heard."""

    longest = 0.0

    def _run_once(self) -> None:
        begun = time.thread_time()
        super()._run_once()  # type: ignore[misc]  # the one place in which every loop works
        # Waiting takes no processor time, and neither do other programs on this machine.
        self.longest = max(self.longest, time.thread_time() - begun)


def _turns() -> Turns:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Turns)
    return loop


async def fill_the_book(there: World) -> None:
    """Another client's day: so many shares bought and sold, one at a time, and so many orders that rest."""
    async with connected(there) as wire:
        for begin in range(0, EXECUTIONS + OPEN_ORDERS, BATCH):
            numbers = range(begin + 1, min(begin + BATCH, EXECUTIONS + OPEN_ORDERS) + 1)
            for number in numbers:
                rests = number > EXECUTIONS
                side = "BUY" if rests or number % 2 else "SELL"
                order = market_order(number, side, *(("LMT", "20.5") if rests else ("MKT", "")))
                order[REF] = f"other-{number}"
                wire.write(*order)
            head = b"3\0%d\0" % numbers[-1]
            while not any(message.startswith(head) for message in await wire.read()):
                pass


@asynccontextmanager
async def bot(there: World, state: Path) -> AsyncIterator[Desk]:
    """The bot in this process."""
    told = await there.environment(state)
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]  # pydantic-settings takes it
        telegram_bot_token=told["TELEGRAM_BOT_TOKEN"],  # type: ignore[arg-type]  # it makes a secret of it
        telegram_allowed_users=told["TELEGRAM_ALLOWED_USERS"],  # type: ignore[arg-type]
        telegram_api_url=told["TELEGRAM_API_URL"],
        ibkr_port=there.tws_port,
        database_path=Path(told["DATABASE_PATH"]),
    )
    async with running(settings) as (desk, _):
        yield desk


async def reconciled(desk: Desk, since: float) -> float:
    """Seconds until the books are compared."""
    while not desk.broker.link.reconciled:  # noqa: ASYNC110 - a link says nothing when it changes
        await asyncio.sleep(0.005)
    return clock() - since


async def measure() -> None:
    """A start with an empty file, a start with a full one, a lost connection, and the comparison of every minute."""
    watching = Watching()
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        async with world(state / "world") as there:
            await there.post("/tws/limits", messages_per_second=None)
            begun = clock()
            await fill_the_book(there)
            book = await there.get("/tws/book")
            resting = sum(order["status"] in ("PreSubmitted", "Submitted") for order in book["orders"])
            print(
                f"at the broker: {resting} open orders, {len(book['executions']):,} executions "
                f"(arranged in {clock() - begun:.0f} s)"
            )
            for name in ("first start", "next start"):
                begun = clock()
                async with bot(there, state) as desk:
                    await _print(name, reconciled(desk, begun))
                    if name == "first start":
                        continue
                    epoch = desk.broker.link.epoch
                    begun = clock()
                    await there.post("/tws/drop", client=0)
                    while desk.broker.link.epoch == epoch:  # noqa: ASYNC110 - the same
                        await asyncio.sleep(0.005)
                    await _print("connected again", reconciled(desk, begun))
                    for _ in range(LOOKS):
                        await _print("every minute", watching.look())


class Watching:
    """Watches the comparisons of the bookkeeper."""

    def __init__(self) -> None:
        self.keeper: Bookkeeper | None = None
        self._done = asyncio.Event()
        true = Bookkeeper._reconcile

        async def watched(keeper: Bookkeeper) -> None:
            self.keeper = keeper
            await true(keeper)
            self._done.set()

        Bookkeeper._reconcile = watched  # type: ignore[method-assign, assignment]

    async def look(self) -> float:
        """One comparison as it comes every minute: seconds until it is booked."""
        assert self.keeper is not None
        begun = clock()
        self._done.clear()
        self.keeper.compare.set()
        await self._done.wait()
        return clock() - begun


async def _print(what: str, takes: Awaitable[float]) -> None:
    loop = _turns()
    await asyncio.sleep(0)
    loop.longest, used = 0.0, time.process_time()
    seconds = await takes
    used = time.process_time() - used
    print(
        f"{what:>16}: {seconds:.2f} s ({seconds / AIM_SECONDS:.2f} of the {AIM_SECONDS:.0f} s allowed), longest turn of the loop "
        f"{loop.longest * 1000:.0f} ms ({loop.longest / AIM_TURN_SECONDS:.2f} of {AIM_TURN_SECONDS * 1000:.0f}), {used:.2f} s of processor"
    )


def main() -> None:
    """Run it."""
    with asyncio.Runner(loop_factory=Turns) as runner:
        runner.run(measure())


if __name__ == "__main__":
    main()
