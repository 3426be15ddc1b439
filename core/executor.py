"""THE ONLY WAY TO THE MARKET: preview, check, one commit, send.

A card is previewed, approved, checked again with a fresh price, written down, and only then sent; what the broker says of it afterwards is
the bookkeeper's. A sale of shares that a stop or target protects goes a longer way: see core.closing.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from ulid import ULID

from core import changes, protection, risk, sizing
from core.closing import Closer
from core.errors import BadInput, BrokerError, Busy, Denied, NoAnswer, NotConnected, Refused, StaleCard
from core.indicators import indicators
from core.model import (
    Bar,
    ChangeRequest,
    Denial,
    Drift,
    Instrument,
    Notice,
    Order,
    OrderState,
    OrderType,
    Origin,
    Quote,
    Request,
    Role,
    Side,
    Ticket,
    TicketState,
    TimeInForce,
    WhatIf,
)
from core.orderbook import OrderBook, change_note
from core.ports import Broker, Clock, Ledger, Notifier

log = logging.getLogger(__name__)

CANCEL_PORTION = 20  # so that many cancels fit into the broker's limit, the first at once
ROOM_SECONDS = 3.0
ACK_SECONDS = 3.0  # silence after a sending, until the broker is asked what became of it


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things may take or live, in seconds."""

    card_seconds: float = 120.0
    proposal_seconds: float = 900.0
    max_quote_age_seconds: float = 15.0


@dataclass(frozen=True, slots=True)
class Preview:
    """What a card shows: the exact terms, what they are measured by, and every denial (none: it may be sent).

    `waiting` is what orders that still work may add on the same side; `value` is in the instrument's currency, `risk` (what is lost at the stop, or at the assumed one) in base currency; `offered_stop` is a
    stop for an entry that has none; `takes_down` are protective orders that a sale has to move
    out of its way first, each with what it may still sell then.
    """

    ticket: Ticket
    quote: Quote | None
    held: Decimal | None
    waiting: Decimal
    value: Decimal | None
    risk: Decimal | None
    offered_stop: Decimal | None
    takes_down: tuple[tuple[Order, Decimal], ...]
    what_if: WhatIf | None
    denials: tuple[Denial, ...]
    changes: Order | None = None
    """The order that the terms are for, as it stands; None for a new one."""


class Executor:
    """The only one who writes orders to the broker's socket."""

    def __init__(
        self,
        broker: Broker,
        ledger: Ledger,
        notifier: Notifier,
        clock: Clock,
        book: OrderBook,
        limits: risk.Limits,
        timing: Timing,
        doubt: asyncio.Event,
    ) -> None:
        self._broker, self._ledger, self._notifier, self._clock = broker, ledger, notifier, clock
        self._book, self._limits, self._timing = book, limits, timing
        self._doubt = doubt  # set it, and the broker is asked what it has
        self._cards: dict[str, Ticket] = {}
        self._ranges: dict[int, tuple[tuple[Bar, ...], Decimal | None]] = {}
        self.closer = Closer(
            broker,
            ledger,
            notifier,
            clock,
            book,
            limits,
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

    # --- before the market ----------------------------------------------------------------------------------------------

    async def preview(
        self, request: Request, owner: int, decision_id: str | None = None, quote: Quote | None = None
    ) -> Preview:
        """Everything a card shows. Sends nothing. Raises BadInput, or BrokerError where the broker cannot be asked.

        `quote` is one that the request was sized by a moment ago; the card then shows that one, so that both agree.
        """
        instrument = await self._broker.find(request.symbol)
        silence = None
        try:
            life = self._timing.proposal_seconds if decision_id else self._timing.card_seconds
            latest = await self._broker.quote(instrument, self._timing.max_quote_age_seconds, life + 30)
            quote = quote or latest
        except (Refused, NoAnswer) as why:
            silence = Denial("PRICE_UNKNOWN", str(why))
        snapshot = await self.snapshot(instrument, quote, request)
        held = snapshot.held(instrument.con_id)
        on_sale = snapshot.on_sale(instrument.con_id)
        price = request.limit_price or request.stop_price or (quote.far_side(request.side) if quote else None)
        if silence and request.quantity is None and price is None:
            raise Denied(silence)
        quantity = sizing.shares(request, price, None if held is None else held - on_sale)
        ticket = self._ticket(request, instrument, quantity, quote, price, owner, decision_id)
        denials = risk.check(ticket, snapshot, self._limits) or await self.closer.objections(ticket, snapshot)
        if silence:
            denials = (silence, *(d for d in denials if d.code != "PRICE_UNKNOWN"))
        what_if = None
        if not denials:
            try:
                what_if = await self._broker.what_if(ticket)
            except Refused as refused:
                denials = (Denial("BROKER", f"The broker says it would refuse this order. {refused}"),)
            except NoAnswer:
                log.warning("no what-if for %s", instrument.symbol)
        worst = risk.worst_price(ticket, quote)
        if not denials:
            self._remember(ticket)
        return Preview(
            ticket=ticket,
            quote=quote,
            held=held,
            waiting=snapshot.working_quantity(instrument.con_id, request.side),
            value=None if worst is None else worst * quantity * instrument.multiplier,
            risk=risk.at_risk(ticket, snapshot, self._limits),
            offered_stop=risk.offered_stop(ticket, snapshot, self._limits),
            takes_down=protection.plan(ticket, held, self.orders).moves,
            what_if=what_if,
            denials=denials,
        )

    def _ticket(
        self,
        request: Request,
        instrument: Instrument,
        quantity: Decimal,
        quote: Quote | None,
        price: Decimal | None,
        owner: int,
        decision_id: str | None,
    ) -> Ticket:
        now = self._clock.now()
        life = self._timing.proposal_seconds if decision_id else self._timing.card_seconds
        return Ticket(
            ticket_id=str(ULID.from_datetime(now)),
            owner=owner,
            account=self._broker.link.account or "",
            instrument=instrument,
            side=request.side,
            quantity=quantity,
            order_type=request.order_type,
            limit_price=request.limit_price,
            stop_price=request.stop_price,
            tif=request.tif,
            reference_price=(quote.far_side(request.side) if quote else None) or price or Decimal(0),
            created_at=now,
            expires_at=now + timedelta(seconds=life),
            stop_loss=request.stop_loss,
            take_profit=request.take_profit,
            decision_id=decision_id,
        )

    async def preview_change(self, request: ChangeRequest, owner: int) -> Preview:
        """Everything that the card of a change shows. Sends nothing. Raises BadInput, or BrokerError where the broker cannot be asked."""
        order = next((o for o in self.orders if o.number == request.number), None)
        if order is None:
            raise BadInput(f"There is no open order #{request.number}; /orders lists them.")
        family = await self._family(order)
        is_bracket = any(o.parent == order.number and o.state.is_open for o in family)
        after = changes.wanted(order, replace(request, is_bracket=is_bracket))
        instrument = await self._broker.find(order.symbol)
        if instrument.con_id != order.con_id:
            raise BadInput(
                f"#{order.number} is of another {order.symbol} than Greenlight trades; change it in TWS."
            )
        quote = None
        try:
            life = self._timing.card_seconds + 30
            quote = await self._broker.quote(instrument, self._timing.max_quote_age_seconds, life)
        except (Refused, NoAnswer):
            log.warning("no price for the change of #%s", order.number)
        price = after.limit_price or after.stop_price
        ticket = replace(
            self._ticket(_as_request(after), instrument, after.quantity, quote, price, owner, None),
            modifies=order.number,
            instead_of=changes.terms_of(order),
        )
        snapshot = await self.snapshot(instrument, quote, ticket)
        denials = await self._against(ticket, order, snapshot)
        if not denials:
            self._remember(ticket)
        worst = risk.worst_price(ticket, quote)
        return Preview(
            ticket=ticket,
            quote=quote,
            held=snapshot.held(instrument.con_id),
            waiting=Decimal(0),
            value=None if worst is None else worst * ticket.quantity * instrument.multiplier,
            risk=None,
            offered_stop=None,
            takes_down=(),
            what_if=None,
            denials=denials,
            changes=order,
        )

    async def _family(self, order: Order) -> tuple[Order, ...]:
        """The order with its stop and target, as they stand."""
        return () if order.external else await self._ledger.family(order.card)

    async def _against(self, ticket: Ticket, order: Order, snapshot: risk.Snapshot) -> tuple[Denial, ...]:
        """Why these terms cannot be given to the order now."""
        try:
            self._check_can_change(order)
            unreachable = ""
        except BrokerError as problem:
            unreachable = str(problem)
        stuck = changes.objection(order, unreachable) or await self.closer.moves(order, ticket)
        if stuck is None and ticket.instead_of != changes.terms_of(order):
            stuck = Denial(
                changes.CHANGED_SINCE,
                f"#{order.number} is not what it was when this card was drawn.",
                remedy="look at /orders, and make a new card",
            )
        if stuck is not None:
            return (stuck,)
        family = await self._family(order)
        measured, around = changes.measured(ticket, order, family, snapshot)
        denials = risk.check(measured, around, self._limits, protects=order.protects)
        entry = next((o for o in family if o.number == order.parent and o.state.is_open), None)
        if entry is not None:
            wrong = risk.bracket_sides(changes.as_entry(ticket, order, entry, family), snapshot, self._limits)
            denials += () if wrong is None else (wrong,)
        if (
            not denials
            and not order.protects
            and protection.in_the_way(measured, around.held(order.con_id), around.working)
        ):
            denials = (
                Denial(
                    "PROTECTION",
                    f"Stops and targets of {order.symbol} stand in the way of a larger sale.",
                    remedy=f"/cancel {order.number}, then /sell with the new quantity",
                ),
            )
        return denials

    def _remember(self, ticket: Ticket) -> None:
        now = self._clock.now()
        self._cards = {name: card for name, card in self._cards.items() if card.expires_at > now}
        self._cards[ticket.ticket_id] = ticket

    async def snapshot(
        self, instrument: Instrument, quote: Quote | None, request: Request | Ticket
    ) -> risk.Snapshot:
        """Everything that the rules look at, now."""
        return self._snapshot(quote, await self._range_for(instrument, request))

    async def _range_for(self, instrument: Instrument, request: Request | Ticket) -> Decimal | None:
        """The ATR where it is needed: to measure an entry that has no stop."""
        if request.side is not Side.BUY or request.stop_loss is not None:
            return None
        try:
            return await self._average_range(instrument)
        except (Refused, NoAnswer):
            log.warning("no daily bars for %s", instrument.symbol)
            return None

    async def _average_range(self, instrument: Instrument) -> Decimal | None:
        """The ATR of 14 sessions, worked out once for the bars that it is made of."""
        bars = await self._broker.bars(instrument)
        known = self._ranges.get(instrument.con_id)
        if known is None or known[0] is not bars:
            # In a thread, because the numeric library loads with its first use.
            known = (bars, (await asyncio.to_thread(indicators, bars)).atr14)
            self._ranges[instrument.con_id] = known
        return known[1]

    def _snapshot(self, quote: Quote | None, atr: Decimal | None = None) -> risk.Snapshot:
        return risk.Snapshot(
            now=self._clock.now(),
            link=self._broker.link,
            account=self._broker.account,
            quote=quote,
            positions=self._book.as_counted(self._broker.positions),
            told=self._broker.positions,
            working=self.orders,
            atr=atr,
            drifts=self.drifts,
        )

    async def open_card(self, ticket_id: str, user: int) -> Ticket:
        """The card behind a button, if it can still be acted on. Raises StaleCard with how the story ended.

        A card past its time is returned too: its owner gets a fresh one instead of an order.
        """
        ticket = self._cards.get(ticket_id) or await self._ledger.ticket(ticket_id)
        if ticket is None or ticket.owner != user:
            raise StaleCard("This card is not known here. Nothing was sent.")
        if ticket.state is not TicketState.OPEN:
            raise StaleCard(ticket.state.story)
        return ticket

    def forget(self, ticket_id: str) -> None:
        """A card's story ends without an order: from now on the ledger is asked what became of it."""
        self._cards.pop(ticket_id, None)

    def is_stale(self, ticket: Ticket) -> bool:
        """Whether the card is too old to act on."""
        return self._clock.now() >= ticket.expires_at

    async def drifted(self, ticket: Ticket) -> Decimal | None:
        """How far the price has moved since the card, as a fraction, where that is more than the owner allows."""
        return risk.drifted(ticket, await self._fresh_quote(ticket), self._limits)

    async def _fresh_quote(self, ticket: Ticket) -> Quote | None:
        try:
            return await self._broker.quote(
                ticket.instrument, self._timing.max_quote_age_seconds, self._timing.card_seconds
            )
        except (Refused, NoAnswer):
            return None

    # --- to the market --------------------------------------------------------------------------------------------------

    async def submit(self, ticket: Ticket, origin: Origin) -> None:
        """Send the card's terms, once. The commit comes first; if it fails, nothing leaves.

        Raises StaleCard (used, or too old), Denied, BrokerError, StorageError.
        """
        quote = await self._fresh_quote(ticket)
        atr = await self._range_for(ticket.instrument, ticket)
        async with self._book.lock:
            if self.is_stale(ticket):
                raise StaleCard(TicketState.EXPIRED.story)
            fresh = self._snapshot(quote, atr)
            if ticket.modifies is not None:
                await self._send_change(ticket, origin, fresh)
            elif protection.in_the_way(ticket, fresh.held(ticket.instrument.con_id), self.orders):
                await self.closer.begin(ticket, origin, fresh)
                self._cards.pop(ticket.ticket_id, None)
            else:
                await self._send(ticket, origin, fresh)

    async def _send(self, ticket: Ticket, origin: Origin, snapshot: risk.Snapshot) -> None:
        """The last steps of an order, under the book's lock: check, commit, write to the socket."""
        denials = risk.check(ticket, snapshot, self._limits) or await self.closer.objections(ticket, snapshot)
        if denials:
            raise Denied(*denials)
        orders = self._intents(ticket)
        self._broker.ensure_room(len(orders))
        words = Notice("order", subject=ticket.ticket_id, to=ticket.owner, urgent=True)
        await asyncio.shield(self._ledger.record_sending(ticket, orders, origin, [words]))
        self._cards.pop(ticket.ticket_id, None)
        self._book.opened(orders)
        await self.write(orders, ticket.instrument)
        self._notifier.wake()

    async def _send_change(self, ticket: Ticket, origin: Origin, snapshot: risk.Snapshot) -> None:
        """The last steps of a change, under the book's lock: the same as those of an order."""
        order = next((o for o in self.orders if o.number == ticket.modifies), None)
        if order is None:
            raise StaleCard(f"Order #{ticket.modifies} is over; /trades and /orders show what became of it.")
        denials = await self._against(ticket, order, snapshot)
        if denials:
            raise Denied(*denials)
        self._broker.ensure_room()
        parent = await self._ledger.order(number=order.parent) if order.parent else None
        epoch = self._broker.link.epoch
        asked = changes.ask(order, ticket, self._clock.now())
        words = [
            Notice("order", subject=ticket.ticket_id, to=ticket.owner, urgent=True),
            *([] if order.external else [Notice("order", subject=order.card, to=order.owner)]),
        ]
        await asyncio.shield(self._ledger.record_sending(ticket, [asked], origin, words))
        self._cards.pop(ticket.ticket_id, None)
        self._book.opened([asked])
        try:
            self._ensure_same(epoch)
            self._broker.place([changes.on_the_wire(asked)], ticket.instrument, _parent_id(order, parent))
        except (NotConnected, Busy) as problem:
            # Certain knowledge again: not a byte has left.
            text = f"The change was never sent: {problem}"
            await self._book.book([(asked, replace(asked, change=None))], more=[change_note(asked, text)])
        else:
            asyncio.get_running_loop().call_later(ACK_SECONDS, self._expect_word, [asked])
        self._notifier.wake()

    async def write(self, orders: Sequence[Order], instrument: Instrument) -> None:
        """Write committed orders to the socket. Where that is impossible they are known never to have left."""
        try:
            self._ensure_same(orders[0].epoch)
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
                self._check_can_change(order)
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

    def _check_can_change(self, order: Order) -> None:
        """Raises BrokerError where a message about the order could hit another one, or none."""
        link = self._broker.link
        if order.client_id != link.client_id:
            raise BrokerError(
                f"#{order.number} was placed under client id {order.client_id}, and only that can change it: set "
                f"IBKR_CLIENT_ID={order.client_id}, or do it in TWS. Nothing was sent."
            )
        if order.order_id <= 0:
            raise BrokerError(
                f"#{order.number} was typed into TWS and has no number that a message from here could name. Nothing was sent: change or "
                "cancel it there."
            )
        if self._book.is_doubtful(order, link.epoch):
            raise BrokerError(
                f"The broker has never confirmed #{order.number}, so its number there may mean another order. Nothing was sent: "
                "look in TWS, and cancel it there if it is there."
            )

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


def _as_request(order: Order) -> Request:
    return Request(
        order.side,
        order.symbol,
        quantity=order.quantity,
        order_type=order.order_type,
        limit_price=order.limit_price,
        stop_price=order.stop_price,
        tif=order.tif,
    )


def _parent_id(order: Order, parent: Order | None) -> int:
    """The order id of the entry that a stop or target hangs on, which a change has to repeat while that one works."""
    same = parent is not None and parent.state.is_open and parent.client_id == order.client_id
    return parent.order_id if parent is not None and same else 0
