"""The longer way of a sale whose shares a stop or target protects: take the protection down or shrink it, wait for the broker's
evidence, look at the holding again, sell; and if the sale fails, put the protection back.

Each step is a commit before it is a message to the broker, so a crash at any point is taken up after the next comparison of the books:
what was taken down and not sold is protected again. What a person asked to cancel meanwhile is not: the ledger strikes it from the
closing with the commit of that cancel. There is one closing of a share at a time, and `core.protection` says how much may stand.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from ulid import ULID

from core import protection, risk
from core.errors import BrokerError, Denied, NoAnswer, NotConnected
from core.model import (
    Approval,
    Closing,
    ClosingState,
    Instrument,
    Notice,
    Order,
    OrderState,
    Origin,
    Ticket,
)
from core.obstacles import Obstacles
from core.orderbook import OrderBook
from core.ports import Broker, Clock, Ledger, Notifier

log = logging.getLogger(__name__)

EVIDENCE_SECONDS = 10.0
QUIET_SECONDS = 2.0  # what lasts longer before protection can be put back is told
LONG_SECONDS = 3600.0
RETRY_SECONDS = 5.0
INTERRUPTED = "Greenlight was interrupted before the sale."
_UNCERTAIN = frozenset({OrderState.SENDING, OrderState.UNKNOWN})


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
        obstacles: Obstacles,
        *,
        snapshot: Callable[..., risk.Snapshot],
        intents: Callable[[Ticket], list[Order]],
        write: Callable[..., Awaitable[None]],
        doubt: asyncio.Event,
    ) -> None:
        self._broker, self._ledger, self._notifier, self._clock = broker, ledger, notifier, clock
        self._book, self._limits, self._obstacles, self._snapshot = book, limits, obstacles, snapshot
        self._intents, self._write = intents, write
        self._doubt = doubt  # set it, and the broker is asked what it has
        self._tasks: set[asyncio.Task[None]] = set()
        self._taken: set[str] = set()  # worked on in this run, each named before its first commit
        self._approved: dict[str, Approval | None] = {}
        self._why: dict[str, str] = {}  # why nothing was sold, until that is told
        self._looked: set[str] = set()  # those for which the positions were asked once more

    # --- taking down ------------------------------------------------------------------------------------------------------

    async def begin(self, ticket: Ticket, origin: Origin, snapshot: risk.Snapshot) -> None:
        """The first step, under the book's lock. Raises Denied, StaleCard, BrokerError, StorageError; then nothing was done."""
        denials = risk.check(ticket, snapshot, self._limits) or await self._obstacles.of_sale(
            ticket, snapshot
        )
        if denials:
            raise Denied(*denials)
        held = snapshot.held(ticket.instrument.con_id)
        moves = protection.plan(ticket, held, self._book.orders).moves
        awaited, sent = self._moved(moves)
        self._broker.ensure_room(len(sent))
        # What a person asked to cancel before is waited for like the rest, and not put back.
        back = tuple((o.number, o.quantity) for o, _ in moves if o.cancel_requested_at is None)
        closing = Closing(ticket, back, ClosingState.TAKING_DOWN)
        words = Notice("closing", {"text": _what_moves(moves)}, subject=ticket.ticket_id, to=ticket.owner)
        self._taken.add(ticket.ticket_id)
        try:
            await asyncio.shield(self._ledger.begin_closing(closing, sent, origin, [words]))
        except BaseException:
            self._taken.discard(ticket.ticket_id)
            raise
        self._book.opened(sent)
        try:
            self._tell_broker(sent, ticket.instrument)
        except BrokerError as problem:
            self._why[ticket.ticket_id] = f"Not sold. {problem}"
        self._notifier.wake()
        self._approved[ticket.ticket_id] = snapshot.approved
        self._follow(closing, awaited)

    def _moved(self, moves: Sequence[tuple[Order, Decimal]]) -> tuple[list[Order], list[Order]]:
        """The orders as they shall become: (all that must be evident before the sale, those of them that the broker is to be told)."""
        awaited, sent = [], []
        for order, left in moves:
            if order.cancel_requested_at is not None:
                awaited.append(order)
                continue
            if not left:
                after = replace(order, cancel_requested_at=self._clock.now())
            elif order.remaining > left:
                after = replace(order, quantity=order.filled + left)
            else:
                continue
            awaited.append(after)
            sent.append(after)
        return awaited, sent

    def _tell_broker(self, orders: Sequence[Order], instrument: Instrument) -> None:
        for order in orders:
            if order.cancel_requested_at is not None:
                self._broker.cancel(order)
            else:
                self._broker.place([order], instrument)

    async def resume(self) -> None:
        """After a comparison of the books: take up what an earlier run, or a cut, left in the middle."""
        for closing in await self._ledger.unfinished_closings():
            name = closing.ticket.ticket_id
            if name not in self._taken:
                self._taken.add(name)
                self._follow(closing, None)

    def _follow(self, closing: Closing, awaited: Sequence[Order] | None) -> None:
        task = asyncio.get_running_loop().create_task(
            self._guarded(closing, awaited), name=f"closing-{closing.ticket.ticket_id}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, closing: Closing, awaited: Sequence[Order] | None) -> None:
        name = closing.ticket.ticket_id
        try:
            await self._work(closing, awaited)
        except BrokerError as problem:
            log.warning("a closing waits for the next comparison of the books: %s", problem)
            self._ask_again()
        except Exception:
            log.exception("a closing stopped; it is taken up after the next comparison of the books")
            self._ask_again()
        finally:
            self._taken.discard(name)

    def _ask_again(self) -> None:
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._doubt.set)

    async def _work(self, closing: Closing, awaited: Sequence[Order] | None) -> None:
        """Sell, see the sale through, and put back what was not sold. `awaited` is None where an earlier task had begun."""
        name = closing.ticket.ticket_id
        if awaited is None:
            current = await self._current(closing)
            if current is None:
                return
            closing = current
            if closing.state is ClosingState.TAKING_DOWN:
                self._why.setdefault(name, INTERRUPTED)
        elif name not in self._why and (why := await self._sell(closing, awaited)):
            self._why[name] = why
        if name not in self._why:
            await self._see_through(closing)
        if name in self._why:
            await self._put_back(closing)

    # --- selling ----------------------------------------------------------------------------------------------------------

    async def _sell(self, closing: Closing, awaited: Sequence[Order]) -> str:
        """Wait, look again, sell. Returns why not, or nothing."""
        ticket = closing.ticket
        approved = self._approved.pop(ticket.ticket_id, None)
        evident = await self._book.until(
            lambda: all(self._is_moved(order) for order in awaited), EVIDENCE_SECONDS
        )
        quote = None
        try:
            if evident:
                quote = await self._broker.quote(ticket.instrument, self._limits.max_quote_age_seconds, 60.0)
        except BrokerError as problem:
            return f"Not sold. {problem}"
        async with self._book.lock:
            why = await self._changed_meanwhile(closing, awaited)
            if why:
                return why
            if not evident:
                return f"The broker did not confirm within {EVIDENCE_SECONDS:.0f} s that the protection is down, so nothing was sold."
            snapshot = self._snapshot(quote, approved=approved)
            denials = risk.check(ticket, snapshot, self._limits)
            if denials:
                return "Not sold. " + " ".join(denial.message for denial in denials)
            held = snapshot.held(ticket.instrument.con_id)
            if protection.plan(ticket, held, snapshot.working) != protection.Plan():
                return "Not sold. More shares are on sale, or fewer are held, than when the sale began."
            try:
                orders = self._intents(ticket)
                self._broker.ensure_room(len(orders))
            except BrokerError as problem:
                return f"Not sold. {problem}"
            words = Notice("order", subject=ticket.ticket_id, to=ticket.owner, urgent=True)
            await asyncio.shield(
                self._ledger.move_closing(ticket.ticket_id, ClosingState.SELLING, orders, [words])
            )
            self._book.opened(orders)
            now = replace(
                snapshot, trading=self._snapshot(None).trading
            )  # a halt may have come with the commit
            late = risk.closed(ticket, now, self._limits)
            await self._write(orders, ticket.instrument, late.message if late else "")
        self._notifier.wake()
        return ""

    async def _changed_meanwhile(self, closing: Closing, awaited: Sequence[Order]) -> str:
        """What happened to the protection on its way down that takes the sale's ground away."""
        for order in awaited:
            now = await self._ledger.order(number=order.number)
            if now is not None and now.filled > order.filled:
                return f"{'The stop' if order.stop_price else 'The target'} was filled first, so nothing more was sold."
        current = await self._current(closing)
        kept = {number for number, _ in current.protection} if current else set()
        taken = [f"#{number}" for number, _ in closing.protection if number not in kept]
        if taken:
            return f"You asked to cancel {', '.join(taken)} meanwhile, so the sale was not sent."
        return ""

    def _is_moved(self, order: Order) -> bool:
        now = self._book.current(order)
        if order.cancel_requested_at is not None:
            return now is None
        return now is None or now.confirmed_quantity == order.quantity

    async def _current(self, closing: Closing) -> Closing | None:
        """The closing as it is written down now; None once it has ended."""
        found = await self._ledger.unfinished_closings()
        return next((c for c in found if c.ticket.ticket_id == closing.ticket.ticket_id), None)

    async def _see_through(self, closing: Closing) -> None:
        """Wait, however long a limit takes, until the sale is over; what it did not sell has to be protected again."""
        ref = closing.ticket.ticket_id
        sale = await self._ledger.order(order_ref=ref)
        if sale is None:
            return
        order = sale
        await self._until(
            lambda: (now := self._book.current(order)) is None or now.state is OrderState.UNKNOWN
        )
        if self._book.is_open(order.number):
            text = "While it is UNKNOWN it may still sell, so the stops and targets that were taken down for it stay down."
            await self._say(Notice("order_note", {"number": order.number, "text": text}, to=sale.owner))
        await self._until(lambda: not self._book.is_open(order.number))
        sale = await self._ledger.order(order_ref=ref) or sale
        if sale.state is OrderState.FILLED and sale.filled >= closing.ticket.quantity:
            await self._ledger.move_closing(ref, ClosingState.DONE, [], [])
            return
        self._why[ref] = f"The sale #{sale.number} ended without selling everything."

    async def _until(self, fits: Callable[[], bool]) -> None:
        while not await self._book.until(fits, LONG_SECONDS):
            pass

    async def _say(self, *notices: Notice) -> None:
        await self._ledger.record(notices=notices)
        self._notifier.wake()

    # --- putting back -----------------------------------------------------------------------------------------------------

    async def _put_back(self, closing: Closing) -> None:
        """Protect what is still held as it was protected before, when nothing of that is in flight any more.

        Raises BrokerError, and is tried again after the next comparison of the books, where it cannot.
        """
        name = closing.ticket.ticket_id
        told, asked = False, set[int]()
        while True:
            async with self._book.lock:
                waits = await self._protect_again(closing, asked)
            if not waits:
                break

            def settled(waits: Sequence[Order] = waits) -> bool:
                return not any(self._in_flight(o) for o in waits)

            if not await self._book.until(settled, QUIET_SECONDS):
                if not told:
                    told = True
                    await self._say(*self._ending(closing, waits=waits))
                await self._until(settled)
        self._why.pop(name, None)
        self._looked.discard(name)
        self._notifier.wake()

    def _in_flight(self, order: Order) -> bool:
        """Whether it is neither over nor evidently standing."""
        now = self._book.current(order)
        return now is not None and (now.cancel_requested_at is not None or now.state in _UNCERTAIN)

    async def _protect_again(self, closing: Closing, asked: set[int]) -> tuple[Order, ...]:
        """Put back what was moved, under the book's lock, and end the closing; or the orders that have to be settled before.

        All of a group or nothing: where one half stands and the other is gone, the standing half is taken down too (once; `asked`
        remembers), because a new half could not cancel it.
        """
        current = await self._current(closing)
        if current is None:
            return ()
        instrument = closing.ticket.instrument
        moved = [
            replace(order, quantity=quantity)
            for number, quantity in current.protection
            if (order := await self._ledger.order(number=number)) is not None and not _ended_elsewhere(order)
        ]
        groups = {protection.group_name(o) for o in moved}
        family = protection.protecting(instrument.con_id, self._book.orders)
        waits = tuple(o for o in family if protection.group_name(o) in groups and self._in_flight(o))
        if waits:
            return waits
        held = self._held(closing)
        torn = protection.torn(moved)
        again = protection.restore(instrument.con_id, held, self._book.orders, moved)
        worth = {order.number for order, _ in again}
        halves = [o for o in family if o.number in worth & {t.number for t in torn}]
        news = [o for o in halves if o.number not in asked and self._obstacles.reaches(o)]
        if news:
            asked.update(o.number for o in news)
            return await self._take_down(news)
        if halves:
            # The broker keeps the standing half: it alone protects, since a second group would sell the same shares twice.
            broken = {protection.group_name(o) for o in halves}
            again = tuple(
                (o, n) for o, n in again if o.state.is_open or protection.group_name(o) not in broken
            )
        await self._place_again(current, again)
        return ()

    async def _take_down(self, orders: Sequence[Order]) -> tuple[Order, ...]:
        self._broker.ensure_room(len(orders))
        now = self._clock.now()
        asked = tuple(replace(order, cancel_requested_at=now) for order in orders)
        await asyncio.shield(self._ledger.record(asked))
        self._book.opened(asked)
        for order in asked:
            self._broker.cancel(order)
        return asked

    def _held(self, closing: Closing) -> Decimal:
        """What is certainly held. Where our count and the broker's word differ, the positions are asked once more before the less counts."""
        link, con_id, name = self._broker.link, closing.ticket.instrument.con_id, closing.ticket.ticket_id
        if not link.ready:
            raise NotConnected(link.trouble or "The books are being compared with the broker's.")
        snapshot = self._snapshot(None)
        held = snapshot.held(con_id)
        if held is None:
            raise NoAnswer("The positions are not loaded yet.")
        if held != snapshot.held_at_most(con_id) and name not in self._looked:
            self._looked.add(name)
            self._doubt.set()
            raise NoAnswer("The positions are moving.")
        return held

    async def _place_again(self, closing: Closing, again: Sequence[tuple[Order, Decimal]]) -> None:
        """One commit, then the broker: what stands is made larger, what is gone comes back in a group for each card."""
        ticket, fresh, grown = closing.ticket, list[Order](), list[Order]()
        names = {protection.group_name(order): f"back-{ULID()}" for order, _ in again}
        for order, count in again:
            now = self._book.current(order)
            if now is None:
                fresh.append(self._again(order, count, len(fresh), names[protection.group_name(order)]))
            elif now.remaining < count and self._obstacles.reaches(now):
                grown.append(replace(now, quantity=now.filled + count))
        changed = [*fresh, *grown]
        self._broker.ensure_room(len(changed))
        words = self._ending(closing, changed)
        await asyncio.shield(
            self._ledger.move_closing(ticket.ticket_id, ClosingState.PUT_BACK, changed, words)
        )
        self._book.opened(changed)
        left = True
        try:
            if fresh:
                await self._write(fresh, ticket.instrument)
            self._tell_broker(grown, ticket.instrument)
        except BrokerError:
            left = False
        gone = all(self._book.current(order) is None for order in fresh)
        if gone and (fresh or not left):
            # Certainly nothing left: the closing is open again, and this is tried anew after the next comparison.
            await asyncio.shield(self._ledger.move_closing(ticket.ticket_id, closing.state, [], []))
            raise NotConnected("The protection could not be put back now.")

    def _ending(
        self, closing: Closing, changed: Sequence[Order] = (), *, waits: Sequence[Order] = ()
    ) -> list[Notice]:
        """Why it was not sold and what protects the holding: one message, and the card."""
        ticket = closing.ticket
        held = self._snapshot(None).held(ticket.instrument.con_id)
        facts = {
            "text": self._why[ticket.ticket_id],
            "symbol": ticket.instrument.symbol,
            "con_id": ticket.instrument.con_id,
            "held": "" if held is None else f"{held:f}",
            "numbers": [o.number for o in changed],
            "waiting": [o.number for o in waits],
        }
        return [
            Notice("closing_ended", facts, to=ticket.owner, urgent=True),
            Notice("closing", facts, subject=ticket.ticket_id, to=ticket.owner),
        ]

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
            confirmed_quantity=None,
            filled=Decimal(0),
            average_price=None,
            state=OrderState.SENDING,
            sent_at=self._clock.now(),
            reason="",
            cancel_requested_at=None,
            parent=None,
            oca=group,
        )


def _ended_elsewhere(order: Order) -> bool:
    """Whether it is gone although it was only made smaller here: somebody else, in TWS, wanted that."""
    over = not order.state.is_open and order.state is not OrderState.FILLED
    return over and order.cancel_requested_at is None


def _what_moves(moves: Sequence[tuple[Order, Decimal]]) -> str:
    """What a card says while protection is on its way down."""
    gone = [f"#{order.number}" for order, left in moves if not left]
    less = [f"#{order.number} to {left:f}" for order, left in moves if left]
    words = [f"Taking its protection down first ({', '.join(gone)})."] if gone else []
    words += [f"Making its protection smaller first ({', '.join(less)})."] if less else []
    return " ".join([*words, "The sale follows when the broker confirms that."])
