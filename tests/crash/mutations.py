"""Bots that are wrong on purpose, to see that the comparison of the books notices. Each changes one method of the real bot in its own process."""

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from core import changes, lifecycle, lots
from core.broker import IBBroker
from core.executor import Executor, instrument_of
from core.model import Execution, JobRun, Order, OrderState, Trading
from core.orderbook import OrderBook
from core.panic import Panic
from core.trading import as_text
from storage import ledger
from storage.ledger import SqliteLedger
from tests.crash.recorder import put


def no_intent() -> None:
    """The order leaves before anything is written down."""

    async def record_sending(self: SqliteLedger, *values: Any) -> None:
        return None

    put(SqliteLedger, "record_sending", record_sending)


def resend_at_start() -> None:
    """What the broker never confirmed is sent again by the next life, with good intentions."""
    load, mark = OrderBook.load, IBBroker.mark_reconciled
    found: list[Order] = []

    async def load_and_note(self: OrderBook) -> None:
        await load(self)
        found.extend(o for o in self.orders if o.state is OrderState.SENDING and not o.external)

    def mark_and_resend(self: IBBroker, epoch: int) -> None:
        mark(self, epoch)
        while found:
            asyncio.get_running_loop().create_task(_again(self, found.pop()))

    put(OrderBook, "load", load_and_note)
    put(IBBroker, "mark_reconciled", mark_and_resend)


async def _again(broker: IBBroker, order: Order) -> None:
    broker.place([replace(order, order_id=broker.next_order_id())], await broker.find(order.symbol))


def tap_not_consumed() -> None:
    """The card stays open when its order is written down, and the tap that asked for it unfinished."""

    def nothing(db: sqlite3.Connection, *values: Any) -> None:
        return None

    put(ledger, "_end_ticket", nothing)
    finish = ledger._finish_update

    def finish_all_but_taps(db: sqlite3.Connection, origin: Any, outcome: str, now: Any) -> None:
        if outcome != "sent":
            finish(db, origin, outcome, now)

    put(ledger, "_finish_update", finish_all_but_taps)


def executions_by_full_id() -> None:
    """A correction counts as one more fill."""
    put(Execution, "key", property(lambda self: self.exec_id))


def halt_in_memory() -> None:
    """A halt is not written down: the next life knows nothing of it."""
    keep = SqliteLedger.keep_trading

    async def keep_nothing(self: SqliteLedger, kept: str, outcome: str, origin: Any, notices: Any) -> None:
        await keep(self, as_text(Trading()), outcome, origin, notices)

    put(SqliteLedger, "keep_trading", keep_nothing)


def halt_forgets() -> None:
    """What a halt had yet to cancel when it died is left to the next life, which does not look."""

    async def compared(self: Panic) -> None:
        await self._trading.compared()

    put(Panic, "compared", compared)


# --- options ------------------------------------------------------------------------------------------------------------


def legs_are_fills() -> None:
    """Each leg counts as a fill of the combination's order."""

    def fills(order: Order, execution: Execution) -> bool:
        return True

    put(lifecycle, "fills", fills)


def whole_is_held() -> None:
    """The execution of a combination as a whole counts into what is held, beside those of its legs."""
    put(Execution, "moves_holding", property(lambda self: True))


def beyond_the_final_limit() -> None:
    """The limit is moved on where what was approved ends."""
    reprice = Executor.reprice

    async def on(self: Executor, number: int, price: Decimal) -> bool:
        for order in self.orders:
            if order.number == number and order.final_limit is not None:
                self._book.opened([replace(order, final_limit=order.final_limit + 1)])
        return await reprice(self, number, price + 1)

    put(Executor, "reprice", on)


def change_again_at_start() -> None:
    """A change of a limit on which there was no word when the bot died is sent again by the next life."""
    load, mark = OrderBook.load, IBBroker.mark_reconciled
    found: list[Order] = []

    async def load_and_note(self: OrderBook) -> None:
        await load(self)
        found.extend(o for o in self.orders if o.change is not None and not o.external)

    def mark_and_change(self: IBBroker, epoch: int) -> None:
        mark(self, epoch)
        while found:
            order = found.pop()
            self.place([changes.on_the_wire(order)], instrument_of(order))

    put(OrderBook, "load", load_and_note)
    put(IBBroker, "mark_reconciled", mark_and_change)


def premium_stays() -> None:
    """What an assigned or exercised option had cost or brought is a gain of its own, and its shares cost the strike."""

    def none(history: Any) -> dict[str, Any]:
        return {}

    put(lots, "_ended", none)


def nudged_again() -> None:
    """That something was said is not written down with the words."""
    run_job = SqliteLedger.run_job

    async def unmarked(self: SqliteLedger, run: JobRun, notices: Any) -> bool:
        await run_job(self, run, [])
        await self.record(notices=notices)
        return True

    put(SqliteLedger, "run_job", unmarked)


MUTATIONS: dict[str, Callable[[], None]] = {
    mutation.__name__: mutation
    for mutation in (
        no_intent,
        resend_at_start,
        tap_not_consumed,
        executions_by_full_id,
        halt_in_memory,
        halt_forgets,
        legs_are_fills,
        whole_is_held,
        beyond_the_final_limit,
        change_again_at_start,
        premium_stays,
        nudged_again,
    )
}

WRONG: dict[str, tuple[str, str, str]] = {
    "no_intent": ("market", "after send placeOrder", "has .*, the file does not|a stranger's|its card is"),
    "resend_at_start": ("limit", "after send placeOrder", "orders at the broker have the reference"),
    "tap_not_consumed": ("market", "COMMIT record_sending", "its card is open|was tapped, is still open"),
    "halt_in_memory": ("halt", "COMMIT record_cancel", "the file says ACTIVE"),
    "halt_forgets": ("halt", "after COMMIT keep_trading", "works at the broker|never: |nobody said"),
    "executions_by_full_id": ("correct", "COMMIT record", "rows of the execution"),
    "legs_are_fills": (
        "combo",
        "before COMMIT record_sending",
        "its executions as a whole are|the leg .* moved by",
    ),
    "whole_is_held": ("combo", "before COMMIT record_sending", "cannot explain a holding"),
    "beyond_the_final_limit": ("reprice", "before COMMIT record_sending", "stood at .* approved were"),
    "change_again_at_start": (
        "reprice",
        "after send placeOrder",
        "orders and changes were sent, the broker saw",
    ),
    "premium_stays": ("assign", "heard Execution", "/lots says a gain of"),
    "nudged_again": ("assign", "COMMIT run_job", "said . times: option_ended"),
}
"""Of each mutation: a flow and the boundaries at which it must show, and the difference that it makes.

A tap that nobody took down leaves an open card behind: beside its order, or, where the order was settled before the
bot looked for its card again, beside nothing.
"""
