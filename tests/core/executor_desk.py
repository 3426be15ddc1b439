"""A desk whose broker is a notebook: the real executor, cards, book and ledger over a real file, on a loop whose time is told to pass.

The line takes what is written to it and says nothing by itself, so a test sees exactly what left, when, and what stood in the file by then.
"""

import asyncio
import io
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, cast

from core.cards import Cards, Timing
from core.errors import Busy, NoAnswer, NotConnected
from core.executor import Executor
from core.model import (
    Account,
    Bar,
    BrokerBook,
    BrokerEvent,
    Chain,
    ChangeRequest,
    Dividend,
    Instrument,
    Link,
    OptionQuote,
    OptionTerms,
    Order,
    Origin,
    Outgoing,
    Position,
    Quote,
    Request,
    Side,
    Ticket,
    Trading,
    TradingState,
    WhatIf,
)
from core.orderbook import OrderBook
from core.risk import Limits
from core.trading import TradingSwitch
from storage.database import Database
from storage.ledger import SqliteLedger
from tests.properties.life import Loop, _Inline, blank
from tests.values import AAPL, BASE, LINK, NOW, ORDER, OWNER, QUOTE, WHAT_IF, position

T = TypeVar("T")
LIMITS = Limits(max_position_size=Decimal(10_000), max_orders_per_minute=1000, same_order_seconds=60)
CLIENT, EPOCH = 3, 77


@dataclass(frozen=True)
class Left:
    """What was written to the line at once, with the entry that it hangs on, and the numbers of the orders in the file by then."""

    orders: tuple[Order, ...]
    instrument: Instrument
    parent_id: int
    on_disk: frozenset[int]


class Notebook:
    """The line to the broker. What a test wants to be different it sets."""

    def __init__(self, desk: "Desk") -> None:
        self._desk = desk
        self.link: Link = replace(LINK, client_id=CLIENT, epoch=EPOCH)
        self.account: Account | None = BASE
        self.positions: tuple[Position, ...] | None = ()
        self.price: Quote | None = QUOTE
        self.forecasts = 0
        self.room = 50
        self.busy_when_placing = False
        self.kept: list[int] = []
        """What room was asked for."""
        self.asked_for_room: Callable[[], object] = int
        """What happens then."""
        self.placed: list[Left] = []
        self.cancelled: list[Order] = []
        self.cancelled_on_disk: list[bool] = []
        self._next_id = 100

    async def next_money(self) -> None:
        await asyncio.Event().wait()

    async def next_event(self) -> BrokerEvent:
        await asyncio.Event().wait()
        raise AssertionError

    async def find(self, symbol: str) -> Instrument:
        return replace(AAPL, symbol=symbol)

    async def quote(self, instrument: Instrument, max_age_seconds: float, keep_seconds: float) -> Quote:
        if self.price is None:
            raise NoAnswer("There is no price.")
        return replace(self.price, time=self._desk.now())

    async def chain(self, underlying: Instrument) -> Chain:
        raise NoAnswer("It is a notebook.")

    async def options(
        self, underlying: Instrument, wanted: Sequence[OptionTerms]
    ) -> tuple[Instrument | None, ...]:
        raise NoAnswer("It is a notebook.")

    async def option_quotes(
        self, instruments: Sequence[Instrument], max_age_seconds: float, keep_seconds: float
    ) -> tuple[OptionQuote | None, ...]:
        return tuple(None for _ in instruments)

    async def dividend(self, underlying: Instrument) -> Dividend | None:
        return None

    async def bars(self, instrument: Instrument) -> tuple[Bar, ...]:
        return tuple(
            Bar((NOW - timedelta(days=60 - n)).date(), *map(Decimal, (99, 101, 98, 100, 10**6)))
            for n in range(40)
        )

    async def what_if(self, ticket: Ticket) -> WhatIf:
        self.forecasts += 1
        return WHAT_IF

    async def book(self) -> BrokerBook:
        raise NoAnswer("It is a notebook.")

    def next_order_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def ensure_room(self, messages: int = 1) -> None:
        self.kept.append(messages)
        self.asked_for_room()
        if not self.link.connected:
            raise NotConnected("The line is down.")
        if messages > self.room:
            raise Busy("The limit is reached.")

    def place(self, orders: Sequence[Order], instrument: Instrument, parent_id: int = 0) -> None:
        if self.busy_when_placing:
            raise Busy("The limit is reached.")
        on_disk = frozenset(row["number"] for row in self._desk.file("SELECT number FROM orders"))
        self.placed.append(Left(tuple(orders), instrument, parent_id, on_disk))

    def cancel(self, order: Order) -> None:
        stored = self._desk.stored(order.number)
        self.cancelled.append(order)
        self.cancelled_on_disk.append(stored["cancel_requested_at"] is not None)

    def mark_reconciled(self, epoch: int) -> None:
        self.link = replace(self.link, reconciled=True)


class Bell:
    """The Notifier: how often it was woken."""

    def __init__(self) -> None:
        self.rung = 0

    def wake(self) -> None:
        self.rung += 1


class Desk:
    """One life; it is the Clock port, too. `with` closes it."""

    blank = b""

    def __init__(self, folder: Path, limits: Limits = LIMITS) -> None:
        self.seconds, self._updates = 0.0, 0
        file = folder / "desk.db"
        if not Desk.blank:
            blank(file)
            Desk.blank = file.read_bytes()
        file.write_bytes(Desk.blank)
        self.connection = _Inline(file)
        self.connection._conn.row_factory = sqlite3.Row
        self.ledger = SqliteLedger(
            Database(cast(Any, self.connection), io.StringIO()), self, (OWNER, OWNER + 1)
        )
        self.loop = Loop(lambda: self.seconds)
        self.broker, self.bell = Notebook(self), Bell()

        async def build() -> None:
            self.book = OrderBook(self.ledger, self.bell, self)
            self.trading = TradingSwitch(self.ledger, self.bell, self)
            self.trading.now = Trading(TradingState.ACTIVE)
            self.cards = Cards(self.broker, self.ledger, self, self.book, self.trading, limits, Timing())
            self.doubt = asyncio.Event()
            self.executor = Executor(
                self.broker, self.ledger, self.bell, self, self.book, self.cards, self.doubt
            )
            await self.book.load()
            self.book.start_positions(())

        self.do(build())

    def __enter__(self) -> "Desk":
        return self

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.loop.run_until_complete(end())
        self.loop.close()
        self.connection._conn.close()

    # --- time -------------------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Begin something."""
        return self.loop.create_task(work)

    def turns(self, count: int) -> None:
        """Let everybody go on for so many turns of the loop."""

        async def go() -> None:
            for _ in range(count):
                await asyncio.sleep(0)

        self.loop.run_until_complete(go())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something to its end; where it waits for time, time passes."""
        task = self.start(work)
        while not task.done():
            self.turns(50)
            if not task.done() and self.loop.idle:
                due = self.loop.next_timer()
                assert due is not None, "it waits, and nothing can ever come"
                self.seconds = max(self.seconds, due)
        return task.result()

    def wait(self, seconds: float) -> None:
        """Let so much time pass, from timer to timer."""
        end = self.seconds + seconds
        self.turns(20)
        while (due := self.loop.next_timer()) is not None and due <= end:
            self.seconds = max(self.seconds, due)
            self.turns(20)
        self.seconds = end
        self.turns(20)

    # --- the file ---------------------------------------------------------------------------------------------------------

    def file(self, question: str, *values: Any) -> list[sqlite3.Row]:
        """What stands in the file."""
        return self.connection._conn.execute(question, values).fetchall()

    def stored(self, number: int) -> sqlite3.Row:
        """An order as it stands in the file."""
        return self.file("SELECT * FROM orders WHERE number = ?", number)[0]

    def messages(self) -> list[sqlite3.Row]:
        """What is to be said, in order."""
        return self.file("SELECT * FROM messages ORDER BY id")

    # --- people -----------------------------------------------------------------------------------------------------------

    def origin(self, user: int = OWNER) -> Origin:
        """A tap."""
        self._updates += 1
        return Origin(self._updates, user, f"tap {self._updates}")

    def opened(self, preview: Coroutine[Any, Any, Any]) -> Ticket:
        """The card of what is asked, as the chat opens it. It must be free of denials."""
        shown = self.do(preview)
        assert shown.denials == ()
        ticket = cast(Ticket, shown.ticket)
        self.do(self.ledger.open_cards([ticket], [Outgoing(OWNER, "text", self.now(), text="card")]))
        return ticket

    def card(self, side: Side = Side.BUY, quantity: int = 10, **more: Any) -> Ticket:
        """The card of an order for AAPL."""
        return self.opened(self.cards.preview(Request(side, "AAPL", Decimal(quantity), **more), OWNER))

    def change_card(self, request: ChangeRequest) -> Ticket:
        """The card of a change."""
        return self.opened(self.cards.preview_change(request, OWNER))

    def send(self, ticket: Ticket, **more: Any) -> Origin:
        """Tap Send."""
        origin = self.origin()
        self.do(self.executor.submit(ticket, origin, **more))
        return origin

    # --- the broker -------------------------------------------------------------------------------------------------------

    def hold(self, count: int) -> None:
        """So many shares of AAPL are held."""
        self.broker.positions = (position(count),)
        self.book.start_positions(self.broker.positions)

    def works(self, **changes: Any) -> Order:
        """An order of ours that the broker has confirmed."""
        number = self.book.next_number
        usual: dict[str, Any] = {
            "number": number,
            "order_ref": f"01CARD{number}",
            "client_id": CLIENT,
            "order_id": 1000 + number,
            "epoch": EPOCH,
            "perm_id": 5000 + number,
            "sent_at": self.now(),
            "limit_price": Decimal(95),
            "order_type": ORDER.order_type.LIMIT,
        }
        order = replace(ORDER, **{**usual, **changes})
        self.do(self.book.book([(None, order)], silent=True))
        return order

    def says(self, order: Order, **changes: Any) -> Order:
        """The broker says that an order has become so."""
        now = self.book.current(order) or order
        after = replace(now, **changes)
        self.do(self.book.book([(now, after)], silent=True))
        return after

    def during_commits(self, act: Callable[[], None]) -> None:
        """From now on something happens while anything is being written down."""
        execute, connection = self.connection._execute, self.connection._conn

        async def with_more(work: Callable[[], Any]) -> Any:
            before = connection.total_changes
            told = await execute(work)
            if connection.total_changes != before:
                act()
            return told

        self.connection._execute = with_more  # type: ignore[method-assign]
