"""A desk that lives in a world of its own: one loop on injected time, the real rooms of core and storage over a real file, a model of the broker.

Nothing here waits. The loop goes on until nothing is left to do, and time moves only when it is told to, from timer to timer. So a run is the
same every time, which is what hypothesis needs to make it smaller; therefore the database's own thread is left out too: its work is done in the loop,
with a turn of the loop before and after each transaction, as other tasks would have it. Everything that storage does with the file is the real one.
"""

import asyncio
import contextlib
import io
import logging
import selectors
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Executor as Pool
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, cast

from bot.command import Caller
from bot.commands import trade
from bot.reply import Reply
from bot.services import Desk
from bot.settings import Settings
from core.bookkeeper import Bookkeeper
from core.cards import Cards, Timing
from core.errors import BadInput, Busy, GreenlightError, NoAnswer, NotConnected, StaleCard
from core.executor import Executor
from core.guard import Guard
from core.model import (
    Account,
    Bar,
    BrokerBook,
    BrokerEvent,
    BrokerMessage,
    Chain,
    Dividend,
    Instrument,
    Link,
    LinkChanged,
    Mode,
    OptionQuote,
    OptionTerms,
    Order,
    Origin,
    Outgoing,
    Position,
    Quote,
    Role,
    Side,
    Ticket,
    TicketState,
    TradingState,
    WhatIf,
)
from core.orderbook import OrderBook
from core.panic import Flattened, Halt, Panic
from core.planner import Planner
from core.risk import Limits
from core.trading import TradingSwitch
from storage.database import Database, _prepare
from storage.ledger import SqliteLedger
from storage.migrations import migrate
from tests.properties.exchange import SYMBOLS, Exchange, Said
from tests.values import ACCOUNT, NOW, OWNER

T = TypeVar("T")
ZERO = Decimal(0)
ANSWER_SECONDS = 8.0
MOST_TURNS = 200_000
CLIENT = 0
MAY_KEEP = frozenset(
    {"CONNECTION", "CROSSING", "PROTECTION", "SALE_UNDER_WAY", "ENTRY_UNDER_WAY", "STOP_SIDE"}
)
"""What may keep a person from selling what is free: the road is closed, or the sale would meet an order of his own."""
BASE_WORTH = Decimal(10_000_000)
BASE = Account(ACCOUNT, "USD", BASE_WORTH, BASE_WORTH, BASE_WORTH, BASE_WORTH)
LIMITS = Limits(
    max_position_size=Decimal(10_000_000),
    max_portfolio_risk=Decimal(1),
    max_order_value_base=Decimal(10**9),
    max_hour_value_base=Decimal(10**9),
    max_day_value_base=Decimal(10**9),
    max_orders_per_minute=10**6,
    max_orders_per_day=10**6,
    max_filled_orders_per_symbol_hour=10**6,
    same_order_seconds=0,
)
"""Roomy where they are about how much and how fast; the day's loss and the rejections are those of everybody."""
BUSY_SECONDS = 5.0
"""How long the broker's limit of messages stays used up: longer than a cancel waits for room."""
HOURS = "20260302:0930-20260302:1600"
STOCKS = {
    symbol: Instrument(
        con_id,
        symbol,
        "STK",
        "SMART",
        "NASDAQ",
        "USD",
        symbol,
        Decimal("0.01"),
        hours=HOURS,
        time_zone="US/Eastern",
    )
    for con_id, symbol in SYMBOLS.items()
}
WHAT_IF = WhatIf(ZERO, ZERO, Decimal(10_000_000), Decimal(1), "USD", maintenance_margin_after=ZERO)
BARS = tuple(
    Bar(
        (NOW - timedelta(days=60 - n)).date(),
        Decimal(99),
        Decimal(101),
        Decimal(98),
        Decimal(100),
        Decimal(10**6),
    )
    for n in range(40)
)


class _Nothing(selectors.BaseSelector):
    """A selector of a loop that talks to nobody."""

    def __init__(self) -> None:
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, 0, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "the loop waits, and nothing can ever come"
        assert timeout <= 0, "the loop waits, and time does not pass by itself"
        return []

    def get_map(self) -> dict[Any, selectors.SelectorKey]:
        return self._keys


class Loop(asyncio.SelectorEventLoop):
    """A loop whose time is the world's, and whose threads are turns of its own."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        super().__init__(_Nothing())

    def time(self) -> float:
        return self._seconds()

    def run_in_executor(  # type: ignore[override]
        self, executor: Pool | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as problem:  # noqa: BLE001 - it belongs to whoever waits
            done.set_exception(problem)
        return done

    @property
    def idle(self) -> bool:
        """Whether nothing waits for its turn."""
        return not self._ready  # type: ignore[attr-defined]

    def next_timer(self) -> float | None:
        """When the next timer is due."""
        due = [timer.when() for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        return min(due, default=None)


class _Inline:
    """The driver's connection as `Database` knows it, without its thread. Once dead it writes nothing any more."""

    def __init__(self, path: Path) -> None:
        self._conn = sqlite3.connect(path, isolation_level=None)
        self.dead = False

    async def _execute(self, work: Callable[[], T]) -> T:
        await asyncio.sleep(0)
        if self.dead:
            raise sqlite3.OperationalError("the process is dead")
        told = work()
        await asyncio.sleep(0)
        return told

    async def close(self) -> None:
        self._conn.close()


class _Silent:
    def wake(self) -> None: ...


class _Unforeseen(logging.Handler):
    """Whatever the desk logs as an exception is one that nobody foresaw."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(self.format(record))


UNFORESEEN = _Unforeseen()
logging.getLogger("core").addHandler(UNFORESEEN)


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back on the line to a question."""

    waits: "asyncio.Future[Any]"
    told: Any


class ModelBroker:
    """The Broker port over the model: one client, one line, events in the order in which they arrive.

    `down` is what is on its way to the desk. While it is `held`, it moves only when it is delivered; a line that is `deaf` takes what is
    written and loses it (after `deaf_after` more messages).
    """

    def __init__(self, world: "World", loop: Loop) -> None:
        self._world, self._loop, self._exchange = world, loop, world.exchange
        self._events: asyncio.Queue[BrokerEvent] = asyncio.Queue()
        self._asking = asyncio.Lock()
        self._link = Link(
            wanted=True, connected=False, reconciled=False, epoch=world.last_epoch, client_id=CLIENT
        )
        self._told: tuple[Position, ...] | None = None
        self._next_id = 1
        self.down: deque[Said | Answer] = deque()
        self.held = self.dead = False
        self.busy_until = 0.0
        self._money = asyncio.Event()
        self.deaf_after: int | None = None
        self.looked: set[int] = set()
        """The epochs for which a full answer has come back."""

    # --- the line, as the world moves it ------------------------------------------------------------------------------------

    def connect(self) -> None:
        epoch = max(int(self._world.now().timestamp() * 1000), self._link.epoch + 1)
        self._world.last_epoch = epoch
        self.deaf_after, self.held, self._next_id = None, False, self._exchange.next_id
        self._link = replace(
            self._link, connected=True, reconciled=False, epoch=epoch, account=ACCOUNT, accounts=(ACCOUNT,),
            mode=Mode.PAPER, trouble="",
        )  # fmt: skip
        self._events.put_nowait(LinkChanged(True, epoch))
        self._money.set()

    def disconnect(self) -> None:
        """What was on the line is lost, both ways."""
        self._link = replace(
            self._link,
            connected=False,
            reconciled=False,
            account=None,
            mode=None,
            trouble="The line is down.",
        )
        self._told = None
        for message in self.down:
            if isinstance(message, Answer) and not message.waits.done():
                message.waits.set_exception(NotConnected("The line was lost."))
        self.down.clear()
        self._events.put_nowait(LinkChanged(False, self._link.epoch))

    def hear(self, client_id: int, said: Said) -> None:
        """Something is said to this client, or to one whose orders it looks at."""
        if self._link.connected and client_id == CLIENT:
            self.down.append(said)
            self.flow()

    def flow(self) -> None:
        """Deliver what is on its way, unless it is held."""
        while self.down and not self.held:
            self.deliver()

    def deliver(self) -> None:
        """The first of what is on its way arrives."""
        message = self.down.popleft()
        if isinstance(message, tuple):
            self._told = message if self._told is not None else None  # they are told once they were asked for
        elif not isinstance(message, Answer):
            if getattr(message, "order_id", 0) > 0 and getattr(message, "client_id", -1) == CLIENT:
                self._next_id = max(self._next_id, message.order_id + 1)  # type: ignore[union-attr]
            self._events.put_nowait(message)
        elif not message.waits.done():
            message.waits.set_result(message.told)

    # --- the port ---------------------------------------------------------------------------------------------------------

    @property
    def link(self) -> Link:
        return self._link

    @property
    def account(self) -> Account | None:
        if not self._link.connected:
            return None
        gain = -BASE_WORTH * self._world.lost_percent / 100
        return replace(BASE, net_liquidation=BASE_WORTH + gain, day_gain=gain)

    @property
    def positions(self) -> tuple[Position, ...] | None:
        return self._told

    async def next_money(self) -> None:
        await self._money.wait()
        self._money.clear()

    def money_moves(self) -> None:
        """Figures of the account come."""
        self._money.set()

    async def next_event(self) -> BrokerEvent:
        event = await self._events.get()
        if isinstance(event, BrokerMessage) and event.code == 1100:
            self._link = replace(self._link, reconciled=False, trouble="TWS has lost its connection.")
        elif isinstance(event, BrokerMessage) and event.code == 1102:
            epoch = max(int(self._world.now().timestamp() * 1000), self._link.epoch + 1)
            self._world.last_epoch = epoch
            self._link = replace(self._link, reconciled=False, trouble="", epoch=epoch)
            self._events.put_nowait(LinkChanged(True, epoch))
        return event

    async def find(self, symbol: str) -> Instrument:
        self._line()
        if symbol not in STOCKS:
            raise BadInput(f"{symbol} is not known.")
        return STOCKS[symbol]

    async def quote(self, instrument: Instrument, max_age_seconds: float, keep_seconds: float) -> Quote:
        self._line()
        await asyncio.sleep(0)
        return Quote(Decimal("99.99"), Decimal("100.01"), Decimal(100), self._world.now(), close=Decimal(100))

    async def chain(self, underlying: Instrument) -> Chain:
        raise BadInput("It has no options.")

    async def options(
        self, underlying: Instrument, wanted: Sequence[OptionTerms]
    ) -> tuple[Instrument | None, ...]:
        return tuple(None for _ in wanted)

    async def option_quotes(
        self, instruments: Sequence[Instrument], max_age_seconds: float, keep_seconds: float
    ) -> tuple[OptionQuote | None, ...]:
        return tuple(None for _ in instruments)

    async def dividend(self, underlying: Instrument) -> Dividend | None:
        return None

    async def bars(self, instrument: Instrument) -> tuple[Bar, ...]:
        self._line()
        return BARS

    async def what_if(self, ticket: Ticket) -> WhatIf:
        self._line()
        await asyncio.sleep(0)
        return WHAT_IF

    async def book(self) -> BrokerBook:
        async with self._asking:
            epoch = self._link.epoch
            working, over = await self._ask(
                lambda: (self._exchange.open_orders(), self._exchange.completed_orders())
            )
            for report in working:
                if report.client_id == CLIENT:
                    self._next_id = max(self._next_id, report.order_id + 1)
            executions, self._told = await self._ask(
                lambda: (self._exchange.executions(), self._exchange.positions())
            )
            self.looked.add(epoch)
            return BrokerBook(epoch, working, over, executions, self._told)

    async def _ask(self, question: Callable[[], Any]) -> Any:
        self._line()
        waits: asyncio.Future[Any] = self._loop.create_future()
        if not self._lost():
            self.down.append(Answer(waits, question()))
            self.flow()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await waits
        except TimeoutError:
            raise NoAnswer("The broker did not answer.") from None

    def next_order_id(self) -> int:
        self._line()
        self._next_id += 1
        return self._next_id - 1

    def ensure_room(self, messages: int = 1) -> None:
        self._line()
        if not self.room:
            raise Busy("The limit is reached.")

    @property
    def room(self) -> int:
        return 0 if self._world.seconds < self.busy_until else 50

    def place(self, orders: Sequence[Order], instrument: Instrument, parent_id: int = 0) -> None:
        self.ensure_room()
        self._world.judge_placing(orders, self._link, self.looked)
        bracket = orders[0].role is Role.ENTRY
        for order in orders:
            parent = orders[0].order_id if bracket and order is not orders[0] else parent_id
            if not self._lost():
                self._exchange.place(order, parent, transmit=order is orders[-1] or not bracket)

    def cancel(self, order: Order) -> None:
        self.ensure_room()
        self._world.judge_cancel(order)
        if not self._lost():
            self._exchange.cancel(order.client_id, order.order_id)

    def mark_reconciled(self, epoch: int) -> None:
        if self._link.connected and self._link.epoch == epoch:
            self._link = replace(self._link, reconciled=True)

    def _line(self) -> None:
        if self.dead or not self._link.connected:
            raise NotConnected("The line is down.")

    def _lost(self) -> bool:
        if self.deaf_after is None:
            return False
        self.deaf_after -= 1
        return self.deaf_after < 0


class Life:
    """One life of the bot, from the opening of its file to its death."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.loop = Loop(lambda: world.seconds)
        self._connection = _Inline(world.path)
        database = Database(cast(Any, self._connection), io.StringIO())
        self._connection._conn.row_factory = sqlite3.Row
        for pragma in (
            "foreign_keys=ON",
            "journal_mode=WAL",
            "synchronous=OFF",
        ):  # a kill is no loss of power
            self._connection._conn.execute(f"PRAGMA {pragma}")
        self.ledger = SqliteLedger(database, world, (OWNER,))
        self.broker = ModelBroker(world, self.loop)
        world.broker, world.life = self.broker, self
        self.work: list[asyncio.Task[Any]] = []
        self.loop.set_exception_handler(lambda _, told: UNFORESEEN.seen.append(f"{told}"))

        async def build() -> None:
            notifier = _Silent()
            self.book = OrderBook(self.ledger, notifier, world)
            self.keeper = Bookkeeper(self.broker, self.ledger, notifier, world, self.book)
            self.trading = TradingSwitch(self.ledger, notifier, world)
            self.cards = Cards(self.broker, self.ledger, world, self.book, self.trading, LIMITS, Timing())
            self.executor = Executor(
                self.broker, self.ledger, notifier, world, self.book, self.cards, self.keeper.compare
            )
            self.planner = Planner(self.broker, world, self.cards)
            self.panic = Panic(
                self.broker, self.ledger, notifier, world, self.book, self.executor, self.trading, LIMITS,
                self.say_aloud, self.planner,
            )  # fmt: skip
            self.keeper.after_compare.append(self.panic.compared)
            self.keeper.when_unwritten.append(self.panic.unwritten)
            self.keeper.after_compare.append(self.executor.closer.resume)
            self.guard = Guard(
                self.broker, self.ledger, notifier, world, self.book,
                doubt=self.keeper.compare, child=self.executor.child, write=self.executor.write, take_back=self.executor.take_back,
            )  # fmt: skip
            self.keeper.after_compare.append(self.guard.look_again)
            await self.book.load()
            await self.trading.load()
            for run in (self.keeper.run(), self.guard.run(), self.panic.watch()):
                self.begin(run)

        nobody = cast(Any, None)
        self.desk_of = lambda: Desk(
            self.executor, self.cards, self.planner, self.panic, self.trading, nobody, self.broker, nobody, self.ledger, world,
            SETTINGS, world.now(), lambda: None, nobody, nobody,
        )  # fmt: skip
        UNFORESEEN.seen.clear()
        self.loop.run_until_complete(build())

    def begin(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Start something that goes on by itself."""
        task = self.loop.create_task(work)
        self.work.append(task)
        return task

    def file(self, question: str) -> list[sqlite3.Row]:
        """What stands in the file."""
        return self._connection._conn.execute(question).fetchall()

    # --- time ---------------------------------------------------------------------------------------------------------------

    def settle(self, turns: int | None = None) -> None:
        """Let everybody go on until nothing is left to do now, or for just so many turns of the loop."""

        async def quiet() -> None:
            for _ in range(MOST_TURNS):
                await asyncio.sleep(0)
                if self.loop.idle:
                    return
            raise AssertionError("the desk does not come to rest")

        for _ in range(turns or 0):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
        if turns is None:
            self.loop.run_until_complete(quiet())
        assert not self.world.broken, self.world.broken[0]
        for task in [t for t in self.work if t.done()]:
            self.work.remove(task)
            task.result()
        said, UNFORESEEN.seen[:] = list(UNFORESEEN.seen), []
        assert not said, "\n".join(said)

    def advance(self, seconds: float) -> None:
        """Let so much time pass, from timer to timer."""
        end = self.world.seconds + seconds
        while (due := self.loop.next_timer()) is not None and due <= end:
            self.world.seconds = max(self.world.seconds, due)
            self.settle()
        self.world.seconds = end
        self.settle()

    def do(self, work: Awaitable[T]) -> T:
        """Do something to its end."""

        async def doing() -> T:
            return await work

        return self.loop.run_until_complete(doing())

    def die(self) -> None:
        """As a kill does it: what is not written will not be. Whatever the tasks still do on their way out reaches neither file nor broker."""
        if self.loop.is_closed():
            return
        self.loop.set_exception_handler(lambda *_: None)
        self._connection.dead = self.broker.dead = True
        self._connection._conn.close()
        try:
            while tasks := asyncio.all_tasks(self.loop):
                # More than once, because a wait that comes true in the same moment swallows the first.
                for task in tasks:
                    task.cancel()
                self.loop.run_until_complete(_a_turn())
        finally:
            self.loop.close()
            UNFORESEEN.seen.clear()

    # --- what a person does ---------------------------------------------------------------------------------------------------

    async def card(self, origin: Origin, asked: Awaitable[Any]) -> None:
        """A card, as the chat opens one: shown, and stored with the update that asked for it, where it may be sent."""
        try:
            preview = await asked
        except GreenlightError as problem:
            await self._finish(origin, Reply(str(problem)))
            return
        opens = None if preview.denials else preview.ticket
        self.world.denied = {d.code for d in preview.denials}
        self.world.judge_denials(preview.ticket, self)
        await self._finish(origin, Reply("card", opens=opens))

    async def tap(self, origin: Origin, button: str, name: str) -> None:
        """A tap on a card, by the chat's own code."""
        act: Callable[[Desk, Caller, str], Awaitable[Reply]] = (
            trade.send if button == "send" else trade.discard
        )
        caller = Caller(OWNER, "Ann", origin, timedelta(0), cast(Any, None))
        try:
            reply = await act(self.desk_of(), caller, name)  # type: ignore[no-untyped-call]
        except GreenlightError as problem:
            reply = Reply(str(problem))
        if not reply.recorded:
            await self._finish(origin, reply)

    async def _finish(self, origin: Origin, reply: Reply) -> None:
        said = [Outgoing(OWNER, "text", self.world.now(), text=reply.text)] if reply.text else []
        try:
            await self.ledger.finish(origin, "done", said, opens=reply.opens, ends=reply.ends)
        except StaleCard:
            await self.ledger.finish(origin, "stale")
        else:
            if reply.opens is not None and reply.opens.state is TicketState.OPEN:
                self.world.cards[reply.opens.ticket_id] = reply.opens

    async def halt(self, origin: Origin | None) -> None:
        """A halt that says it is written down holds from then on, unless somebody asked to open again after it."""
        before = self.world.resumes
        done = await self.panic.halt("A person asked for it.", origin)
        if done.written and self.world.resumes == before:
            self.world.halted = True

    async def say_aloud(self, halt: Halt) -> None:
        """The file of these lives takes everything, so no halt needs another road."""
        self.world.must(False, f"a halt is not on the disk: {halt}")

    async def flatten(self, origin: Origin) -> None:
        """Close everything: the one tap approves each of the cards that it is made of."""

        def show(ticket: Ticket) -> Outgoing:
            self.world.cards[ticket.ticket_id] = self.world.approved[ticket.ticket_id] = ticket
            return Outgoing(OWNER, "reply", self.world.now(), "closing", subject=ticket.ticket_id)

        with contextlib.suppress(GreenlightError):
            self.world.flattened = None
            self.world.flattened = await self.panic.flatten(origin, show)

    async def resume(self, origin: Origin) -> None:
        """Open again, as the button does it: only what is closed, and not while that is only until the books agree."""
        trading = self.trading.now
        if trading.state is TradingState.ACTIVE or trading.before is not None:
            return
        self.world.resumes += 1
        self.world.halted, self.world.accepted_percent = False, self.world.lost_percent
        try:
            await self.panic.resume(origin)
        except GreenlightError:
            self.world.gave_way += 1

    async def rest(self, origin: Origin) -> None:
        """The second rung: what a halt left standing goes too."""
        with contextlib.suppress(GreenlightError):
            await self.executor.cancel(self.panic.protecting(), origin, announce=True)

    async def attempt(self, work: Awaitable[Any]) -> None:
        """Something that may be refused with a sentence."""
        with contextlib.suppress(GreenlightError):
            await work


async def _a_turn() -> None:
    await asyncio.sleep(0)


SETTINGS = Settings(_env_file=None, telegram_bot_token="1:abc", max_position_size="10000000")  # type: ignore[call-arg, arg-type]


class World:
    """What outlives a life: the time, the file, the broker, and what a person has approved. It is the Clock port, too."""

    def __init__(self, folder: Path) -> None:
        self.seconds = 1000.0
        self.path = folder / "greenlight.db"
        self.last_epoch = 0
        self.cards: dict[str, Ticket] = {}
        self.approved: dict[str, Ticket] = {}
        self.denied: set[str] = set()
        self.sent: set[str] = set()
        """The orders, by reference, that were written to a socket: whether they arrived or not."""
        self.changed: set[str] = set()
        """The approved changes that were."""
        self.broken: list[str] = []
        """The promises that were not kept."""
        self.broker: ModelBroker | None = None
        self.life: Life | None = None
        self.lost_percent = ZERO
        """What the account has lost today."""
        self.halted = False
        """Whether a halt is on the disk that nobody asked to end."""
        self.resumes = self.gave_way = 0
        """How often a person asked to open again, and how often a halt came first."""
        self.accepted_percent = ZERO
        """What was lost when a person last opened again."""
        self.flattened: Flattened | None = None
        self.exchange = Exchange(self._tell, self.now)

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def _tell(self, client_id: int, said: Said) -> None:
        if self.broker is not None and not self.broker.dead:
            self.broker.hear(client_id, said)

    # --- what may leave ---------------------------------------------------------------------------------------------------

    def must(self, holds: bool, words: str) -> None:
        """A broken promise is kept, too, because the desk catches what its own parts raise."""
        if not holds:
            self.broken.append(words)
            raise AssertionError(words)

    def judge_placing(self, orders: Sequence[Order], link: Link, looked: set[int]) -> None:
        """Hold what leaves against what was approved."""
        sure = link.connected and link.reconciled and link.epoch in looked
        self.must(sure, f"left outside a reconciled epoch: {orders}")
        for order in orders:
            known = self.exchange.find(order.client_id, order.order_id)
            if known is not None and not known.done:
                self._judge_change(order, known.ref)
            else:
                self._judge_new(order)

    def _judge_new(self, order: Order) -> None:
        ticket = self.approved.get(order.card)
        if ticket is None:
            self.must(False, f"an order without an approval: {order}")
            return
        if order.order_ref in self.sent:
            # A change may find its order over; the broker refuses it there.
            over = any(o.ref == order.order_ref and o.status for o in self.exchange.orders.values())
            self.must(over and (order.change is not None or order.protects), f"sent again: {order}")
            return
        self.sent.add(order.order_ref)
        self._judge_state(order)
        if order.order_ref == ticket.ticket_id:
            terms = (
                ticket.side,
                ticket.quantity,
                ticket.order_type,
                ticket.limit_price,
                ticket.stop_price,
                ticket.tif,
            )
            ours = (
                order.side,
                order.quantity,
                order.order_type,
                order.limit_price,
                order.stop_price,
                order.tif,
            )
            self.must(terms == ours, f"other terms than were approved: {order}")
            return
        covered = order.protects and order.side is not ticket.side and order.quantity <= ticket.quantity
        self.must(covered, f"an order that the approval does not cover: {order}")

    def _judge_change(self, order: Order, ref: str) -> None:
        self.must(ref == order.order_ref, f"a change would hit another order, {ref}: {order}")
        if order.change is None:
            self.must(order.protects, f"sent again, or changed without an approval: {order}")
            return
        ticket = self.approved.get(order.change.ref)
        self.must(
            ticket is not None and ticket.modifies == order.number, f"a change without an approval: {order}"
        )
        self.must(order.change.ref not in self.changed, f"one approval, two changes: {order}")
        self.changed.add(order.change.ref)
        self._judge_state(order)

    def _judge_state(self, order: Order) -> None:
        """While trading is not ACTIVE only what closes leaves: a sale (how much may be on sale is judged elsewhere), or what buys a short back."""
        assert self.life is not None
        trading = self.life.trading.now
        held = self.life.book.held(order.con_id) or ZERO
        closes = order.side is Side.SELL or order.remaining <= -held
        self.must(trading.state is TradingState.ACTIVE or closes, f"left while {trading.state}: {order}")

    def judge_denials(self, ticket: Ticket, life: Life) -> None:
        """No rule that is about entries may keep anybody from selling what is free, whatever the state."""
        if ticket.side is not Side.SELL or ticket.modifies is not None:
            return
        counted, told = life.book.held(ticket.instrument.con_id), life.broker.positions
        if counted is None or told is None:
            return
        at_broker = sum((p.signed_quantity for p in told if p.con_id == ticket.instrument.con_id), ZERO)
        on_sale = sum(
            (
                o.remaining
                for o in life.book.orders
                if o.con_id == ticket.instrument.con_id and o.side is Side.SELL and not o.protects
            ),
            ZERO,
        )
        if ticket.quantity <= min(counted, at_broker) - on_sale:
            kept = self.denied - MAY_KEEP
            self.must(not kept, f"{kept} keep a holding from being sold: {ticket}")

    def judge_cancel(self, order: Order) -> None:
        """A cancel hits the order that it means, or none."""
        known = self.exchange.find(order.client_id, order.order_id)
        hit = known is None or known.done or order.external or known.ref == order.order_ref
        self.must(hit, f"a cancel would hit another order: {order}")


def blank(path: Path) -> None:
    """A database of today's schema without a row."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        _prepare(db)
        db.execute("PRAGMA journal_mode=DELETE")
        migrate(db)
