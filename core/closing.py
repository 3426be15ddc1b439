"""The longer way of a sale whose shares a stop or target protects: take the protection down or shrink it, wait for the broker's
evidence, look at the holding again, sell; and if the sale fails, put the protection back.

Each step is a commit before it is a message to the broker, so a crash at any point is taken up after the next comparison of the books:
what was taken down and not sold is protected again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from ulid import ULID

from core import protection, risk
from core.errors import BrokerError, Denied
from core.model import Closing, ClosingState, Instrument, Notice, Order, OrderState, Origin, Ticket
from core.orderbook import OrderBook
from core.ports import Broker, Clock, Ledger, Notifier

log = logging.getLogger(__name__)

EVIDENCE_SECONDS = 10.0


class Closer:
    """Works each such sale in a task of its own. `intents` and `write` are the executor's, so that there is one road."""

    def __init__(
        self,
        broker: Broker,
        ledger: Ledger,
        notifier: Notifier,
        clock: Clock,
        book: OrderBook,
        limits: risk.Limits,
        *,
        intents: Callable[[Ticket], list[Order]],
        write: Callable[[Sequence[Order], Instrument], Awaitable[None]],
    ) -> None:
        self._broker, self._ledger, self._notifier, self._clock = broker, ledger, notifier, clock
        self._book, self._limits, self._intents, self._write = book, limits, intents, write
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def begin(self, ticket: Ticket, origin: Origin, snapshot: risk.Snapshot) -> None:
        """The first step, under the book's lock. Raises Denied, StaleCard, BrokerError, StorageError; then nothing was done."""
        denials = risk.check(ticket, snapshot, self._limits)
        if denials:
            raise Denied(*denials)
        held = snapshot.held(ticket.instrument.con_id) or Decimal(0)
        standing = protection.in_the_way(ticket, held, self._book.orders)
        self._broker.ensure_room(len(standing))
        now = self._clock.now()
        moved = []
        for order in standing:
            left = protection.left_for(order, held, ticket.quantity)
            moved.append(
                replace(order, quantity=order.filled + left)
                if left
                else replace(order, cancel_requested_at=now)
            )
        closing = Closing(ticket, tuple((o.number, o.quantity) for o in standing), ClosingState.TAKING_DOWN)
        words = [
            Notice(
                "closing",
                {"text": "Taking its protection down first."},
                subject=ticket.ticket_id,
                to=ticket.owner,
            )
        ]
        await asyncio.shield(self._ledger.begin_closing(closing, moved, origin, words))
        self._book.opened(moved)
        for order in moved:
            if order.cancel_requested_at == now:
                self._broker.cancel(order)
            else:
                self._broker.place([order], ticket.instrument)
        self._notifier.wake()
        self._follow(closing, moved)

    async def resume(self) -> None:
        """After a comparison of the books: take up what an earlier run, or a cut, left in the middle."""
        for closing in await self._ledger.unfinished_closings():
            if closing.ticket.ticket_id not in self._tasks:
                self._follow(closing, None)

    def _follow(self, closing: Closing, moved: Sequence[Order] | None) -> None:
        name = closing.ticket.ticket_id
        task = asyncio.get_running_loop().create_task(self._guarded(closing, moved), name=f"closing-{name}")
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def _guarded(self, closing: Closing, moved: Sequence[Order] | None) -> None:
        try:
            if closing.state is ClosingState.TAKING_DOWN:
                why = (
                    "Greenlight was interrupted before the sale."
                    if moved is None
                    else await self._sell(closing, moved)
                )
                if why:
                    await self._put_back(closing, why)
                    return
            await self._see_through(closing)
        except BrokerError as problem:
            log.warning(
                "a closing waits for the broker: %s", problem
            )  # it is taken up after the next comparison
        except Exception:
            log.exception("a closing stopped")

    async def _sell(self, closing: Closing, moved: Sequence[Order]) -> str:
        """Wait, look again, sell. Returns why not, or nothing."""
        ticket = closing.ticket
        evident = await self._book.until(
            lambda: all(self._is_moved(order) for order in moved), EVIDENCE_SECONDS
        )
        quote = await self._broker.quote(ticket.instrument, 15.0, 60.0)
        async with self._book.lock:
            for order in moved:
                now = await self._ledger.order(number=order.number)
                if now is not None and now.filled > order.filled:
                    return f"{'The stop' if order.stop_price else 'The target'} was filled first, so nothing more was sold."
            if not evident:
                return f"The broker did not confirm within {EVIDENCE_SECONDS:.0f} s that the protection is down, so nothing was sold."
            snapshot = risk.Snapshot(
                now=self._clock.now(),
                link=self._broker.link,
                account=self._broker.account,
                quote=quote,
                positions=self._book.as_counted(self._broker.positions),
            told=self._broker.positions,
                working=self._book.orders,
            )
            denials = risk.check(ticket, snapshot, self._limits)
            if denials:
                return "Not sold. " + " ".join(denial.message for denial in denials)
            orders = self._intents(ticket)
            self._broker.ensure_room(len(orders))
            words = [Notice("order", subject=ticket.ticket_id, to=ticket.owner, urgent=True)]
            await asyncio.shield(
                self._ledger.move_closing(ticket.ticket_id, ClosingState.SELLING, orders, words)
            )
            self._book.opened(orders)
            await self._write(orders, ticket.instrument)
        self._notifier.wake()
        return ""

    def _is_moved(self, order: Order) -> bool:
        now = self._book.current(order)
        if order.cancel_requested_at is not None:
            return now is None
        return now is None or now.confirmed_quantity == order.quantity

    async def _see_through(self, closing: Closing) -> None:
        """Wait, however long a limit takes, until the sale is over; what it did not sell is protected again."""
        ref = closing.ticket.ticket_id
        sale = await self._ledger.order(order_ref=ref)
        if sale is None:
            return
        number = sale.number
        while not await self._book.until(lambda: not self._book.is_open(number), 3600.0):
            pass
        sale = await self._ledger.order(order_ref=ref) or sale
        if sale.state is OrderState.FILLED:
            await self._ledger.move_closing(ref, ClosingState.DONE, [], [])
            return
        await self._put_back(closing, f"The sale #{sale.number} ended without selling everything.")

    async def _put_back(self, closing: Closing, why: str) -> None:
        """Protect what is still held as it was protected before. Raises BrokerError, and is tried again later, where it cannot."""
        ticket = closing.ticket
        async with self._book.lock:
            held = self._book.held(ticket.instrument.con_id)
            if held is None or not self._broker.link.ready:
                return
            fresh: list[Order] = []
            grown: list[Order] = []
            for number, quantity in closing.protection:
                order = await self._ledger.order(number=number)
                if order is None or order.state is OrderState.FILLED or held <= 0:
                    continue
                if order.state.is_open:
                    wanted = order.filled + min(quantity - order.filled, held)
                    if order.quantity != wanted:
                        grown.append(replace(order, quantity=wanted))
                    continue
                fresh.append(
                    self._again(order, min(quantity - order.filled, held), len(fresh), ticket.ticket_id)
                )
            self._broker.ensure_room(len(fresh) + len(grown))
            facts = {
                "text": why,
                "symbol": ticket.instrument.symbol,
                "numbers": [o.number for o in (*fresh, *grown)],
            }
            words = [
                Notice("closing_ended", facts, to=ticket.owner, urgent=True),
                Notice("closing", {"text": why}, subject=ticket.ticket_id, to=ticket.owner),
            ]
            await asyncio.shield(
                self._ledger.move_closing(ticket.ticket_id, ClosingState.PUT_BACK, [*fresh, *grown], words)
            )
            self._book.opened([*fresh, *grown])
            for order in grown:
                self._broker.place([order], ticket.instrument)
            if fresh:
                await self._write(fresh, ticket.instrument)
        self._notifier.wake()

    def _again(self, order: Order, quantity: Decimal, place: int, group: str) -> Order:
        return replace(
            order,
            number=self._book.next_number + place,
            order_ref=f"{order.card}.{ULID()}",
            order_id=self._broker.next_order_id(),
            client_id=self._broker.link.client_id,
            epoch=self._broker.link.epoch,
            perm_id=None,
            quantity=quantity,
            filled=Decimal(0),
            average_price=None,
            state=OrderState.SENDING,
            sent_at=self._clock.now(),
            reason="",
            cancel_requested_at=None,
            parent=None,
            oca=f"back-{group}",
        )
