"""THE ONLY WAY TO THE MARKET: check, one commit, send.

A card (`core.cards`) that was approved is checked again with a fresh price, written down, and only then sent; what the broker says of it
afterwards is the bookkeeper's. A sale of shares that a stop or target protects goes a longer way: see core.closing.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from core import changes, protection, risk
from core.cards import Cards
from core.closing import Closer
from core.errors import BrokerError, Busy, Denied, NotConnected, StaleCard
from core.model import (
    Change,
    Drift,
    Instrument,
    Notice,
    Order,
    OrderState,
    OrderType,
    Origin,
    Role,
    Side,
    Ticket,
    TicketState,
    TimeInForce,
    TradingState,
)
from core.orderbook import OrderBook, change_note, warning
from core.ports import Broker, Clock, Ledger, Notifier

log = logging.getLogger(__name__)

CANCEL_PORTION = 20  # so that many cancels fit into the broker's limit, the first at once
ROOM_SECONDS = 3.0
OUT_OF_REACH = "It cannot be reached from here: cancel it in TWS."
ACK_SECONDS = 3.0  # silence after a sending, until the broker is asked what became of it


class Executor:
    """The only one who writes orders to the broker's socket."""

    def __init__(
        self,
        broker: Broker,
        ledger: Ledger,
        notifier: Notifier,
        clock: Clock,
        book: OrderBook,
        cards: Cards,
        doubt: asyncio.Event,
    ) -> None:
        self._broker, self._ledger, self._notifier, self._clock = broker, ledger, notifier, clock
        self._book, self.cards, self._limits = book, cards, cards.limits
        self._doubt = doubt  # set it, and the broker is asked what it has
        self._out_of_reach: set[int] = set()  # those of which that was said
        self.closer = Closer(
            broker,
            ledger,
            notifier,
            clock,
            book,
            cards.limits,
            cards.obstacles,
            snapshot=cards.moment,
            intents=self._intents,
            write=self.write,
            doubt=doubt,
        )

    @property
    def orders(self) -> tuple[Order, ...]:
        """Every order that may still trade, oldest first."""
        return self._book.orders

    @property
    def drifts(self) -> tuple[Drift, ...]:
        """Holdings of which the books and the broker say different things."""
        return self._book.drifts

    # --- to the market --------------------------------------------------------------------------------------------------

    async def submit(self, ticket: Ticket, origin: Origin, *, confirmed: bool = False) -> None:
        """Send the card's terms, once. The commit comes first; if it fails, nothing leaves.

        `confirmed`: its owner was asked whether he means the same order once more. Raises StaleCard (used, or too old), Denied,
        BrokerError, StorageError.
        """
        approved = self.cards.approval(ticket, origin.user)
        quote = await self.cards.fresh_quote(ticket)
        atr = await self.cards.range_for(ticket.instrument, ticket)
        plan = await self.cards.plan_market(ticket, quote)
        adds = not risk.reduces(ticket, self.cards.moment(quote, plan=plan))
        try:
            if adds:
                await self.cards.ask_forecast(ticket)
            async with self._book.lock:
                if self.cards.is_stale(ticket):
                    raise StaleCard(TicketState.EXPIRED.story)
                forecast = self.cards.forecast(ticket)
                now = self.cards.moment(
                    quote, atr=atr, approved=approved, what_if=forecast, confirmed=confirmed, plan=plan
                )
                if ticket.modifies is not None:
                    await self._send_change(ticket, origin, now)
                elif protection.in_the_way(ticket, now.held(ticket.instrument.con_id), self.orders):
                    await self.closer.begin(ticket, origin, now)
                else:
                    await self._send(ticket, origin, now)
        except Denied as denied:
            kept = await self._ledger.ticket(ticket.ticket_id)
            if kept is not None and kept.state is not TicketState.OPEN:  # a second finger was quicker
                raise StaleCard(kept.state.story) from None
            await self.cards.log_denials(ticket, denied.denials)
            raise
        self.cards.forget(ticket.ticket_id)

    async def _send(self, ticket: Ticket, origin: Origin, snapshot: risk.Snapshot) -> None:
        """The last steps of an order, under the book's lock: check, commit, write to the socket."""
        denials = risk.check(ticket, snapshot, self._limits)
        denials = denials or await self.cards.obstacles.of_sale(ticket, snapshot)
        if denials:
            raise Denied(*denials)
        entry, *children = self._intents(ticket)
        orders = [replace(entry, worth=_worth(ticket, snapshot)), *children]
        self._broker.ensure_room(len(orders))
        words = Notice("order", subject=ticket.ticket_id, to=ticket.owner, urgent=True)
        await asyncio.shield(self._ledger.record_sending(ticket, orders, origin, [words]))
        self.cards.note_taken(ticket.ticket_id)
        self.cards.forget(ticket.ticket_id)
        self._book.opened(orders)
        await self.write(orders, ticket.instrument, self._closed_meanwhile(ticket, snapshot))
        self._notifier.wake()

    async def _send_change(self, ticket: Ticket, origin: Origin, snapshot: risk.Snapshot) -> None:
        """The last steps of a change, under the book's lock: the same as those of an order."""
        order = next((o for o in self.orders if o.number == ticket.modifies), None)
        if order is None:
            raise StaleCard(f"Order #{ticket.modifies} is over; /trades and /orders show what became of it.")
        denials = await self.cards.against(ticket, order, snapshot)
        if denials:
            raise Denied(*denials)
        self._broker.ensure_room()
        parent = await self._ledger.order(number=order.parent) if order.parent else None
        epoch = self._broker.link.epoch
        measured, around = changes.measured(ticket, order, (), snapshot)
        adds = order.worth is not None or not (order.protects or risk.reduces(measured, around))
        worth = risk.value(ticket, snapshot) if adds else None
        asked = replace(changes.ask(order, ticket, self._clock.now()), worth=worth)
        words = [
            Notice("order", subject=ticket.ticket_id, to=ticket.owner, urgent=True),
            *([] if order.external else [Notice("order", subject=order.card, to=order.owner)]),
        ]
        await asyncio.shield(self._ledger.record_sending(ticket, [asked], origin, words))
        self.cards.forget(ticket.ticket_id)
        self._book.opened([asked])
        try:
            self._ensure_same(epoch)
            if not order.protects and (closed := self._closed_meanwhile(measured, around)):
                raise NotConnected(closed)
            self._broker.place([changes.on_the_wire(asked)], ticket.instrument, _parent_id(order, parent))
        except (NotConnected, Busy) as problem:
            # Certain knowledge again: not a byte has left.
            text = f"The change was never sent: {problem}"
            back = replace(asked, change=None, worth=order.worth)
            await self._book.book([(asked, back)], more=[change_note(asked, text)])
        else:
            asyncio.get_running_loop().call_later(ACK_SECONDS, self._expect_word, [asked])
        self._notifier.wake()

    def _closed_meanwhile(self, ticket: Ticket, snapshot: risk.Snapshot) -> str:
        """Why it must not leave any more, where a halt came while it was being written down; empty where none did."""
        denial = risk.closed(ticket, replace(snapshot, trading=self.cards.trading), self._limits)
        return denial.message if denial else ""

    async def write(self, orders: Sequence[Order], instrument: Instrument, closed: str = "") -> None:
        """Write committed orders to the socket. Where that is impossible, or `closed` says why not, they are known never to have left."""
        try:
            self._ensure_same(orders[0].epoch)
            if closed:
                raise NotConnected(closed)
            self._broker.place(orders, instrument)
        except (NotConnected, Busy) as problem:
            # Certain knowledge, the only one without the broker: these are raised before a byte is written.
            why = f"It was never sent: {problem}"
            await self._book.book(
                [(o, replace(o, state=OrderState.NOT_AT_BROKER, reason=why)) for o in orders]
            )
            return
        asyncio.get_running_loop().call_later(ACK_SECONDS, self._expect_word, orders)

    def _ensure_same(self, epoch: int) -> None:
        """Raises NotConnected where this is not the connection any more in which it was decided: its order ids may mean others there."""
        if self._broker.link.epoch != epoch:
            raise NotConnected("The connection changed while this was being written down.")

    def _intents(self, ticket: Ticket) -> list[Order]:
        """The entry, and with it the stop and target that protect what it buys."""
        entry = Order(
            number=self._book.next_number,
            order_ref=ticket.ticket_id,
            owner=ticket.owner,
            account=ticket.account,
            client_id=self._broker.link.client_id,
            order_id=self._broker.next_order_id(),
            epoch=self._broker.link.epoch,
            con_id=ticket.instrument.con_id,
            symbol=ticket.instrument.symbol,
            currency=ticket.instrument.currency,
            side=ticket.side,
            quantity=ticket.quantity,
            order_type=ticket.order_type,
            limit_price=ticket.limit_price,
            stop_price=ticket.stop_price,
            tif=ticket.tif,
            state=OrderState.SENDING,
            sent_at=self._clock.now(),
            decision_id=ticket.decision_id,
            kind=ticket.instrument.kind,
            option=ticket.instrument.option,
            legs=ticket.instrument.legs,
            name=ticket.instrument.name if ticket.instrument.legs else "",
            final_limit=ticket.final_limit,
        )
        orders = [entry]
        for role, price in ((Role.TARGET, ticket.take_profit), (Role.STOP, ticket.stop_loss)):
            if price is not None:
                number = entry.number + len(orders)
                ref = f"{ticket.ticket_id}.{role.lower()}"
                orders.append(
                    self.child(entry, role, price, number=number, order_ref=ref, parent=entry.number)
                )
        return orders

    def child(
        self,
        of: Order,
        role: Role,
        price: Decimal,
        *,
        number: int,
        order_ref: str,
        parent: int | None,
        oca: str = "",
    ) -> Order:
        """An order that closes what `of` bought, at a stop or a target; it outlives the day, as the holding does."""
        stops = role is Role.STOP
        return replace(
            of,
            number=number,
            order_ref=order_ref,
            order_id=self._broker.next_order_id(),
            epoch=self._broker.link.epoch,
            perm_id=None,
            side=Side.SELL if of.side is Side.BUY else Side.BUY,
            order_type=OrderType.STOP if stops else OrderType.LIMIT,
            limit_price=None if stops else price,
            stop_price=price if stops else None,
            tif=TimeInForce.GTC,
            state=OrderState.SENDING,
            sent_at=self._clock.now(),
            role=role,
            parent=parent,
            oca=oca,
        )

    def _expect_word(self, orders: Sequence[Order]) -> None:
        """Silence is not an answer: ask the broker, which makes the order UNKNOWN at worst, and never send it again."""
        now = [order for o in orders if (order := self._book.current(o)) is not None]
        if any(o.state is OrderState.SENDING or o.change or o.cancel_requested_at for o in now):
            self._doubt.set()

    async def reprice(self, number: int, price: Decimal) -> bool:
        """Move the limit of a working order towards the market, never past what was approved. Whether it was asked.

        The card's owner has approved the furthest price, and the order was measured at it. Raises BrokerError, StorageError.
        """
        async with self._book.lock:
            order = next((o for o in self.orders if o.number == number), None)
            if order is None or order.limit_price is None or order.final_limit is None:
                return False
            within = (
                (order.final_limit - price) * order.side.sign
                >= 0
                < (price - order.limit_price) * order.side.sign
            )
            held_back = self.cards.trading.state is not TradingState.ACTIVE and order.worth is not None
            if not within or held_back or changes.objection(order) or not self.reaches(order):
                return False
            if risk.outlived(order, self.cards.moment(None)):
                log.warning("order #%s is not repriced: what it closes, or what covers it, is gone", number)
                return False
            if not self._broker.link.ready:
                return False
            self._broker.ensure_room()
            epoch = self._broker.link.epoch
            change = Change(order.card, order.quantity, price, None, self._clock.now())
            asked = replace(order, change=change)
            await asyncio.shield(self._ledger.record([asked]))
            self._book.opened([asked])
            try:
                self._ensure_same(epoch)
                if self.cards.trading.state is not TradingState.ACTIVE and order.worth is not None:
                    raise NotConnected("Trading was halted meanwhile.")
                self._broker.place([changes.on_the_wire(asked)], instrument_of(order))
            except (NotConnected, Busy):
                await self._book.book([(asked, order)], silent=True)
                return False
            asyncio.get_running_loop().call_later(ACK_SECONDS, self._expect_word, [asked])
        return True

    async def cancel(
        self,
        orders: Sequence[Order],
        origin: Origin,
        *,
        announce: bool = False,
        left_alone: Sequence[Order] = (),
    ) -> tuple[Order, ...]:
        """Ask the broker to cancel; each stays open until the broker says that it is over. Raises BrokerError, StorageError.

        `announce` puts a message into the same commit, so that it stands in the chat before the answer of the broker; it names those
        that were `left_alone` too.
        """
        asked: list[Order] = []
        for first in range(0, max(len(orders), 1), CANCEL_PORTION):
            portion, left = orders[first : first + CANCEL_PORTION], () if first else left_alone
            act = functools.partial(self._cancel_portion, portion, origin, announce, left)
            asked += await self._when_there_is_room(act)
        return tuple(asked)

    async def take_back(self, order: Order, text: str) -> None:
        """Cancel an order by the house's own decision, with the book's lock held, and tell its owner why; or, once, that it is out of reach.

        Raises BrokerError, StorageError.
        """
        if not self.reaches(order):
            if order.number not in self._out_of_reach:
                await self._ledger.record(notices=[warning(order, f"{text} {OUT_OF_REACH}")])
                self._out_of_reach.add(order.number)
                self._notifier.wake()
            return
        self._broker.ensure_room()
        epoch = self._broker.link.epoch
        asked = replace(order, cancel_requested_at=self._clock.now())
        words = [warning(order, text), Notice("order", subject=order.card, to=order.owner)]
        await asyncio.shield(self._ledger.record([asked], notices=words))
        self._book.opened([asked])
        if self._broker.link.epoch == epoch:
            self._broker.cancel(asked)
        self._notifier.wake()

    async def _when_there_is_room(self, act: Callable[[], Awaitable[tuple[Order, ...]]]) -> tuple[Order, ...]:
        """Do it as soon as the broker's limit of messages a second allows. Raises Busy where it does not for seconds."""
        until = self._clock.monotonic() + ROOM_SECONDS
        while True:
            try:
                return await act()
            except Busy:
                if self._clock.monotonic() >= until:
                    raise
            await asyncio.sleep(0.1)  # time passing is the event

    async def _cancel_portion(
        self, orders: Sequence[Order], origin: Origin, announce: bool, left_alone: Sequence[Order]
    ) -> tuple[Order, ...]:
        async with self._book.lock:
            now = self._clock.now()
            standing = [order for o in orders if (order := self._book.current(o)) is not None]
            for order in standing:
                self.cards.check_can_change(order)
            self._broker.ensure_room(len(standing))
            asked = [replace(order, cancel_requested_at=now) for order in standing]
            words = [Notice("order", subject=o.card, to=o.owner) for o in asked if not o.external]
            if announce:
                facts = {"numbers": [o.number for o in asked], "left_alone": [o.number for o in left_alone]}
                words.append(Notice("cancel_asked", facts, to=origin.user, urgent=True))
            epoch = self._broker.link.epoch
            await asyncio.shield(self._ledger.record_cancel(asked, origin, words))
            self._book.opened(asked)
            # On another connection they are not sent: the comparison that follows it finds them lost, and says so.
            for order in asked if self._broker.link.epoch == epoch else ():
                self._broker.cancel(order)
            asyncio.get_running_loop().call_later(ACK_SECONDS, self._expect_word, asked)
        self._notifier.wake()
        return tuple(asked)

    async def withdraw(self, orders: Sequence[Order], *, patience_seconds: float) -> tuple[Order, ...]:
        """Cancel as many of these as there is room for now, in their order, for a halt. Returns those that were asked.

        Neither a disk that takes longer nor whoever waits for it with the book's lock holds it up: a cancel that nobody wrote down can only
        take risk away, and the broker's word on it is booked as ever. Raises Busy where there is no room for any, NotConnected.
        """
        try:
            async with asyncio.timeout(patience_seconds):
                await self._book.lock.acquire()
        except TimeoutError:
            log.error("cancels leave while the disk is waited for")
            return self.withdraw_unwritten(orders)
        try:
            portion = self._portion(orders)
            if not portion:
                return ()
            self._broker.ensure_room(len(portion))
            asked = self._asked(portion)
            words = [Notice("order", subject=o.card, to=o.owner) for o in asked if not o.external]
            epoch = self._broker.link.epoch
            writing = asyncio.ensure_future(self._ledger.record_cancel(asked, None, words))
            await asyncio.wait({writing}, timeout=patience_seconds)
            if not writing.done() or writing.exception() is not None:
                log.error("cancels leave that are not written down")
                writing.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._book.opened(asked)
            for order in asked if self._broker.link.epoch == epoch else ():
                self._broker.cancel(order)
            asyncio.get_running_loop().call_later(ACK_SECONDS, self._expect_word, asked)
        finally:
            self._book.lock.release()
        self._notifier.wake()
        return asked

    def withdraw_unwritten(self, orders: Sequence[Order]) -> tuple[Order, ...]:
        """The same at once, without the disk. Raises Busy, NotConnected."""
        portion = self._portion(orders)
        for order in portion:
            self._broker.cancel(order)
        asked = self._asked(portion)
        self._book.opened(asked)
        return asked

    def _portion(self, orders: Sequence[Order]) -> list[Order]:
        """Those of the orders that stand, can be reached and have room now; at least one, so that Busy is raised where there is none."""
        standing = [o for order in orders if (o := self._book.current(order)) is not None]
        reached = [o for o in standing if o.cancel_requested_at is None and self.reaches(o)]
        return reached[: max(min(self._broker.room, CANCEL_PORTION), 1)]

    def _asked(self, orders: Sequence[Order]) -> tuple[Order, ...]:
        now = self._clock.now()
        return tuple(replace(order, cancel_requested_at=now) for order in orders)

    def reaches(self, order: Order) -> bool:
        """Whether a message from here would hit the order, and nothing else."""
        try:
            self.cards.check_can_change(order)
        except BrokerError:
            return False
        return True

    async def settle(self, number: int, origin: Origin) -> Order:
        """A person has looked in TWS: an order that is UNKNOWN is not there. Late evidence of the broker would bring it back.

        Raises StaleCard where the order is not (or no longer) UNKNOWN.
        """
        async with self._book.lock:
            order = next((o for o in self.orders if o.number == number), None)
            if order is None or order.state is not OrderState.UNKNOWN:
                raise StaleCard(
                    f"Order #{number} is not unknown any more; /orders and /trades show what became of it."
                )
            settled = replace(
                order, state=OrderState.NOT_AT_BROKER, reason="Settled by you: not seen in TWS."
            )
            await self._book.book([(order, settled)])
            await self._ledger.audit("settled", f"order #{number} {order.symbol}", origin.user)
        return settled

    async def take_over(self, con_id: int, told: Decimal, origin: Origin) -> Drift:
        """A person says that the broker's figure of a holding is right: the difference goes into the books as a trade that nobody knows.

        Raises StaleCard where the figures are not those of the button any more.
        """
        async with self._book.lock:
            drift = next((d for d in self.drifts if (d.con_id, d.told) == (con_id, told)), None)
            if drift is None:
                raise StaleCard("The figures have changed since; /positions shows how they stand.")
            await self._book.take_over(drift, origin)
        return drift


def instrument_of(order: Order) -> Instrument:
    """What an options order trades, as far as the broker must know it to have it changed."""
    return Instrument(
        con_id=order.con_id,
        symbol=order.symbol,
        kind=order.kind,
        exchange="SMART",
        primary_exchange="",
        currency=order.currency,
        name=order.name,
        min_tick=Decimal("0.01"),
        multiplier=order.multiplier,
        option=order.option,
        legs=order.legs,
    )


def _worth(ticket: Ticket, snapshot: risk.Snapshot) -> Decimal | None:
    """What an order that opens or adds is counted with; None for one that only reduces."""
    return None if risk.reduces(ticket, snapshot) else risk.value(ticket, snapshot)


def _parent_id(order: Order, parent: Order | None) -> int:
    """The order id of the entry that a stop or target hangs on, which a change has to repeat while that one works."""
    same = parent is not None and parent.state.is_open and parent.client_id == order.client_id
    return parent.order_id if parent is not None and same else 0
