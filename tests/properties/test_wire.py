"""The same promise on real wires: random stories of the desk with the real connection against the simulated TWS, over sockets.

Few and short, because time is real here; the breadth is in test_stateful.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from core.bookkeeper import Bookkeeper
from core.broker import IBBroker
from core.cards import Cards, Timing
from core.errors import GreenlightError
from core.executor import Executor
from core.guard import Guard
from core.model import Order, OrderState, OrderType, Origin, Request, Side
from core.orderbook import OrderBook
from core.trading import TradingSwitch
from sim.world import World
from storage.database import Database
from storage.ledger import SqliteLedger
from tests.kit import PATIENCE_SECONDS, Control, Json, WorldClock
from tests.properties.life import LIMITS
from tests.properties.machine import LOST, STATES, cents
from tests.properties.mutations import broken
from tests.values import OWNER

SYMBOL = "MSFT"
ROOMY = replace(LIMITS, max_jump_percent=Decimal(1000))
"""Its price is set to 100 here, far from where it closed."""
STEPS = st.one_of(
    st.tuples(st.just("buy"), st.integers(1, 9), st.booleans(), st.sampled_from([1, 1, 2])),
    st.tuples(
        st.sampled_from(
            ["fill", "partial", "cancel", "correct", "drop", "restart", "ids", "late", "elsewhere"]
        )
    ),
)


class _Silent:
    def wake(self) -> None: ...


@dataclass
class Living:
    """A desk that runs, and how often its books were compared."""

    broker: IBBroker
    book: OrderBook
    keeper: Bookkeeper
    executor: Executor
    ledger: SqliteLedger
    database: Database
    compared: asyncio.Event

    async def orders(self) -> tuple[Order, ...]:
        """Every order in the file."""
        names = [name for (name,) in await self.database.read(lambda db: [tuple(row) for row in db.execute("SELECT order_ref FROM orders WHERE owner IS NOT NULL")])]  # fmt: skip
        return await self.ledger.find_orders(names, [])

    async def compare(self) -> None:
        """Two comparisons of the books, from question to end."""
        for _ in range(2):
            self.compared.clear()
            self.keeper.compare.set()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.compared.wait()


@contextlib.asynccontextmanager
async def living(world: World, path: Path) -> AsyncIterator[Living]:
    """The rooms of the desk as bot.app puts them together, without a chat; ready when the block begins."""
    clock, notifier, compared = WorldClock(world), _Silent(), asyncio.Event()
    database = await Database.open(path)
    ledger = SqliteLedger(database, clock, (OWNER,))
    broker = IBBroker(
        host="127.0.0.1", port=world.tws.port, client_id=0, account="", wanted=True, clock=clock
    )
    book = OrderBook(ledger, notifier, clock)
    keeper = Bookkeeper(broker, ledger, notifier, clock, book)
    trading = TradingSwitch(ledger, notifier, clock)
    cards = Cards(broker, ledger, clock, book, trading, ROOMY, Timing())
    executor = Executor(broker, ledger, notifier, clock, book, cards, keeper.compare)
    guard = Guard(
        broker,
        ledger,
        notifier,
        clock,
        book,
        doubt=keeper.compare,
        child=executor.child,
        write=executor.write,
        take_back=executor.take_back,
    )

    async def note() -> None:
        compared.set()

    keeper.after_compare += [executor.closer.resume, guard.look_again, note]
    await book.load()
    await trading.load()
    tasks = [asyncio.create_task(part.run()) for part in (broker, keeper, guard)]
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await compared.wait()
        yield Living(broker, book, keeper, executor, ledger, database, compared)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await database.close()


async def buy(desk: Living, number: int, quantity: int, bracket: bool, fingers: int) -> None:
    """A card with a limit, and its Send, by one finger or two."""
    stop, goal = (Decimal(90), Decimal(200)) if bracket else (None, None)
    request = Request(Side.BUY, SYMBOL, Decimal(quantity), order_type=OrderType.LIMIT, limit_price=Decimal(100), stop_loss=stop, take_profit=goal)  # fmt: skip
    try:
        preview = await desk.executor.cards.preview(request, OWNER)
    except GreenlightError:
        return
    codes = {denial.code for denial in preview.denials}
    assert codes <= {"CONNECTION", "POSITION_DRIFT"}, preview.denials
    if codes:
        return
    await desk.ledger.finish(Origin(number, OWNER), "done", opens=preview.ticket)
    taps = [desk.executor.submit(preview.ticket, Origin(number + n + 1, OWNER)) for n in range(fingers)]
    for outcome in await asyncio.gather(*taps, return_exceptions=True):
        assert outcome is None or isinstance(outcome, GreenlightError), outcome


async def happens(desk: Living, control: Control, what: str, number: int) -> None:
    """One step of the world, or of a person."""
    told = await control.book()
    working = [o for o in told["orders"] if o["symbol"] == SYMBOL and o["status"] == "Submitted"]
    fills = [e for e in told["executions"] if not e["superseded"]]
    if what in ("fill", "partial") and working:
        whole = int(float(working[-1]["quantity"]) - float(working[-1]["filled"]))
        part = whole if what == "fill" else max(whole // 2, 1)
        await control.post("/tws/fill", order=working[-1]["perm_id"], quantity=part)
    elif what == "cancel" and desk.book.orders:
        with contextlib.suppress(GreenlightError):
            await desk.executor.cancel([desk.book.orders[-1]], Origin(number, OWNER))
    elif what == "correct" and fills:
        await control.post("/tws/correct", exec_id=fills[-1]["exec_id"], price=101.5)
    elif what == "late":
        await control.post("/tws/commissions", mode="late")
    elif what == "elsewhere":
        await control.post("/tws/external", symbol="KO", side="BUY", quantity=3)
    elif what in ("drop", "ids"):
        desk.compared.clear()
        await control.post("/tws/drop") if what == "drop" else await control.post("/tws/restart", next=1)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await desk.compared.wait()


async def same(desk: Living, control: Control) -> None:
    """Our book against the broker's."""
    await desk.compare()
    told, ours = await control.book(), {o.order_ref: o for o in await desk.orders()}
    names = [o["ref"] for o in told["orders"] if o["ref"]]
    assert len(names) == len(set(names)), "one approval, two orders"
    for theirs in (o for o in told["orders"] if o["ref"]):
        _same(ours.pop(theirs["ref"]), theirs)
    assert all(o.state in LOST for o in ours.values()), ours
    history = await desk.ledger.history()
    fills = {e["exec_id"]: (Decimal(e["quantity"]), Decimal(e["price"])) for e in told["executions"] if not e["superseded"]}  # fmt: skip
    assert {e.exec_id: (e.quantity, e.price) for e in history.executions} == fills
    for position in told["positions"]:
        assert desk.book.held(position["con_id"]) == Decimal(position["quantity"])


def _same(order: Order, theirs: Json) -> None:
    filled = Decimal(theirs["filled"])
    wanted = STATES.get(theirs["status"]) or {OrderState.PARTIAL if filled else OrderState.WORKING}
    assert order.state in wanted, (order, theirs)
    assert order.filled == filled, (order, theirs)
    if filled:
        assert cents(order.average_price) == cents(Decimal(theirs["average"])), (order, theirs)


async def story(steps: list[tuple[Any, ...]]) -> None:
    """One example, in a world of its own."""
    with tempfile.TemporaryDirectory() as folder:
        async with World(None, servers=("tws",)) as world, aiohttp.ClientSession() as session:
            control = Control(session, world.control_url)
            await control.post("/tws/price", symbol=SYMBOL, bid=101.00, ask=101.02, last=101.01)
            await control.post("/tws/fills", mode="hold")
            number, left = 1, list(steps)
            while True:
                async with living(world, Path(folder) / "greenlight.db") as desk:
                    while left and left[0][0] != "restart":
                        what, *more = left.pop(0)
                        number += 10
                        if what == "buy":
                            await buy(desk, number, *more)
                        else:
                            await happens(desk, control, what, number)
                    await same(desk, control)
                if not left:
                    return
                left.pop(0)


@seed(1)
@settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, min_size=4, max_size=10))
def test_our_book_is_the_brokers_on_real_wires(steps: list[tuple[Any, ...]]) -> None:
    """Approvals, double taps, fills, corrections, cuts, ids that begin anew and restarts, with ib_async between us and TWS."""
    asyncio.run(story(steps))


def test_a_broken_part_is_found_on_real_wires() -> None:
    """The comparison can fail here, too: a correction that counts as a second fill."""
    steps: list[tuple[Any, ...]] = [("buy", 4, False, 2), ("fill",), ("correct",)]
    asyncio.run(story(steps))
    with broken("executions keyed by full exec id"), pytest.raises(AssertionError):
        asyncio.run(story(steps))
