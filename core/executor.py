"""THE ONLY WAY TO THE MARKET: preview, check, one commit, send, and then book what the broker says.

One lock guards everything that changes an order, so that a tap, an event and a comparison of the books never see half of each other.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from ulid import ULID

from core import lifecycle, risk, sizing
from core.errors import BrokerError, Busy, Denied, NoAnswer, NotConnected, Refused, StaleCard
from core.ib_messages import plain_words
from core.model import (
    BrokerEvent,
    BrokerMessage,
    Commission,
    Denial,
    Execution,
    LinkChanged,
    Notice,
    Order,
    OrderReport,
    OrderState,
    Origin,
    Quote,
    Request,
    Side,
    Ticket,
    TicketState,
    WhatIf,
)
from core.ports import Broker, Clock, Ledger, Notifier
from core.reconcile import external, reconcile

log = logging.getLogger(__name__)

ACK_SECONDS = 3.0  # silence after a sending, until the card says UNKNOWN and the broker is asked
RECONCILE_SECONDS = 60.0
RETRY_SECONDS = 2.0
REMEMBERED_EXECUTIONS = timedelta(days=2)  # the broker replays those of the current day
AWAY = "away"


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things may take or live, in seconds, and how far a price may move (a fraction) between card and tap."""

    card_seconds: float = 120.0
    max_quote_age_seconds: float = 15.0
    max_drift: Decimal = Decimal("0.005")


@dataclass(frozen=True, slots=True)
class Preview:
    """What a card shows: the exact terms, what they are measured by, and every denial (none: it may be sent)."""

    ticket: Ticket
    quote: Quote | None
    held: Decimal | None
    value: Decimal | None
    what_if: WhatIf | None
    denials: tuple[Denial, ...]


class Executor:
    """Holds the open orders in memory and on disk, and is the only one who writes orders to the broker's socket."""

    def __init__(
        self,
        broker: Broker,
        ledger: Ledger,
        notifier: Notifier,
        clock: Clock,
        limits: risk.Limits,
        timing: Timing,
    ) -> None:
        self._broker, self._ledger, self._notifier, self._clock = broker, ledger, notifier, clock
        self._limits, self._timing = limits, timing
        self._lock = asyncio.Lock()
        self._open: dict[int, Order] = {}
        self._executions: dict[str, Execution] = {}
        self._cards: dict[str, Ticket] = {}
        self._last_number = 0
        self._compare = asyncio.Event()
        self._gap = True
        self.first_word = asyncio.Event()
        """Set as soon as it is known how the first attempt to reach the broker went."""

    @property
    def orders(self) -> tuple[Order, ...]:
        """Every order that may still trade, oldest first."""
        return tuple(self._open[number] for number in sorted(self._open))

    # --- before the market ----------------------------------------------------------------------------------------------

    async def preview(self, request: Request, owner: int) -> Preview:
        """Everything a card shows. Sends nothing. Raises BadInput, or BrokerError where the broker cannot be asked."""
        instrument = await self._broker.find(request.symbol)
        quote, silence = None, None
        try:
            quote = await self._broker.quote(
                instrument, self._timing.max_quote_age_seconds, self._timing.card_seconds + 30
            )
        except (Refused, NoAnswer) as why:
            silence = Denial("PRICE_UNKNOWN", str(why))
        snapshot = self._snapshot(quote)
        held = snapshot.held(instrument.con_id)
        on_sale = snapshot.working_quantity(instrument.con_id, Side.SELL)
        price = request.limit_price or request.stop_price or (quote.far_side(request.side) if quote else None)
        if silence and request.quantity is None and price is None:
            raise Denied(silence)
        quantity = sizing.shares(request, price, None if held is None else held - on_sale)
        now = self._clock.now()
        ticket = Ticket(
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
            expires_at=now + timedelta(seconds=self._timing.card_seconds),
        )
        denials = risk.check(ticket, snapshot, self._limits)
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
        value = None if worst is None else worst * quantity * instrument.multiplier
        if not denials:
            self._remember(ticket)
        return Preview(ticket, quote, held, value, what_if, denials)

    def _remember(self, ticket: Ticket) -> None:
        now = self._clock.now()
        self._cards = {name: card for name, card in self._cards.items() if card.expires_at > now}
        self._cards[ticket.ticket_id] = ticket

    def _snapshot(self, quote: Quote | None) -> risk.Snapshot:
        return risk.Snapshot(
            now=self._clock.now(),
            link=self._broker.link,
            account=self._broker.account,
            quote=quote,
            positions=self._broker.positions,
            working=self.orders,
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

    def is_stale(self, ticket: Ticket) -> bool:
        """Whether the card is too old to act on."""
        return self._clock.now() >= ticket.expires_at

    async def submit(self, ticket: Ticket, origin: Origin) -> Order:
        """Send the card's terms, once. The commit comes first; if it fails, nothing leaves.

        Raises StaleCard (used, or the price has run away: see `drifted`), Denied, BrokerError, StorageError.
        """
        quote = await self._fresh_quote(ticket)
        async with self._lock:
            if self.is_stale(ticket):
                raise StaleCard(TicketState.EXPIRED.story)
            denials = risk.check(ticket, self._snapshot(quote), self._limits)
            if denials:
                raise Denied(*denials)
            self._broker.ensure_room()
            order = self._intent(ticket)
            words = Notice("order", subject=ticket.ticket_id, to=ticket.owner, urgent=True)
            await asyncio.shield(self._ledger.record_sending(ticket, order, origin, [words]))
            self._cards.pop(ticket.ticket_id, None)
            self._last_number = order.number
            self._open[order.number] = order
            try:
                if self._broker.link.epoch != order.epoch:
                    raise NotConnected("The connection changed while the order was being written down.")
                self._broker.place(order, ticket.instrument)
            except (NotConnected, Busy) as problem:
                # Certain knowledge, the only one without the broker: these are raised before a byte is written.
                unsent = replace(
                    order, state=OrderState.NOT_AT_BROKER, reason=f"It was never sent: {problem}"
                )
                await self._book([(order, unsent)])
                return unsent
        asyncio.get_running_loop().call_later(ACK_SECONDS, self._expect_word, order.number)
        self._notifier.wake()
        return order

    async def drifted(self, ticket: Ticket) -> Decimal | None:
        """How far the price has moved since the card, as a fraction, where that is more than the owner allows."""
        quote = await self._fresh_quote(ticket)
        now = quote.far_side(ticket.side) if quote else None
        if now is None or not ticket.reference_price:
            return None
        drift = abs(now - ticket.reference_price) / ticket.reference_price
        return drift if drift > self._timing.max_drift else None

    async def _fresh_quote(self, ticket: Ticket) -> Quote | None:
        try:
            return await self._broker.quote(
                ticket.instrument, self._timing.max_quote_age_seconds, self._timing.card_seconds
            )
        except (Refused, NoAnswer):
            return None

    def _intent(self, ticket: Ticket) -> Order:
        link = self._broker.link
        return Order(
            number=self._last_number + 1,
            order_ref=ticket.ticket_id,
            owner=ticket.owner,
            account=ticket.account,
            client_id=link.client_id,
            order_id=self._broker.next_order_id(),
            epoch=link.epoch,
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
        )

    def _expect_word(self, number: int) -> None:
        """Silence is not an answer: ask the broker, which makes the order UNKNOWN at worst, and never send it again."""
        order = self._open.get(number)
        if order is not None and order.state is OrderState.SENDING:
            self._compare.set()

    async def cancel(
        self, orders: Sequence[Order], origin: Origin, *, announce: bool = False
    ) -> tuple[Order, ...]:
        """Ask the broker to cancel; each stays open until the broker says that it is over. Raises BrokerError, StorageError.

        `announce` puts a message into the same commit, so that it stands in the chat before the answer of the broker.
        """
        async with self._lock:
            self._broker.ensure_room()
            now = self._clock.now()
            asked = [
                replace(self._open[o.number], cancel_requested_at=now)
                for o in orders
                if o.number in self._open
            ]
            words = [Notice("order", subject=o.order_ref, to=o.owner) for o in asked if not o.external]
            if announce:
                words.append(Notice("cancel_asked", {"numbers": [o.number for o in asked]}, to=origin.user))
            await asyncio.shield(self._ledger.record_cancel(asked, origin, words))
            for order in asked:
                self._open[order.number] = order
                self._broker.cancel(order)
        self._notifier.wake()
        return tuple(asked)

    # --- after the market -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load what is open and what was filled lately. Before this, nothing may be asked of the executor."""
        self._open = {order.number: order for order in await self._ledger.open_orders()}
        self._last_number = await self._ledger.last_order_number()
        since = self._clock.now() - REMEMBERED_EXECUTIONS
        self._executions = {e.key: e for e in await self._ledger.executions_since(since)}

    async def run(self) -> None:
        """Book what the broker says, in its order, for ever; compare the books after every connect and once a minute."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._listen(), name="executor-events")
            both.create_task(self._keep_books_equal(), name="executor-reconcile")

    async def _listen(self) -> None:
        while True:
            event = await self._broker.next_event()
            try:
                async with self._lock:
                    await self._on(event)
            except Exception:
                # One event that cannot be booked must not end the listening; the comparison of the books heals what was missed.
                log.exception("event not booked: %s", type(event).__name__)
                self._compare.set()

    async def _on(self, event: BrokerEvent) -> None:
        match event:
            case OrderReport():
                await self._on_report(event)
            case Execution():
                await self._on_execution(event)
            case Commission():
                await self._ledger.record(commissions=[event])
            case BrokerMessage():
                await self._on_message(event)
            case LinkChanged(up=True):
                if self._broker.link.account is None:
                    self.first_word.set()
                self._compare.set()
            case LinkChanged(up=False):
                self.first_word.set()
                self._gap = True
                trouble = self._broker.link.trouble
                await self._say(Notice("link_down", {"trouble": trouble}, urgent=True))

    def _find(self, evidence: OrderReport | Execution) -> Order | None:
        # The newest first: order numbers of the broker's sockets can start again, and then the latest holder is meant.
        return next((o for o in reversed(self.orders) if lifecycle.belongs(o, evidence)), None)

    async def _on_report(self, report: OrderReport) -> None:
        order = self._find(report)
        if order is not None:
            await self._book([(order, lifecycle.advance(order, report))])
        elif report.con_id and report.account in ("", self._broker.link.account):
            known = await self._ledger.find_orders([report.order_ref or ""], [report.perm_id])
            if known:
                await self._book([(known[0], lifecycle.advance(known[0], report))])
            elif report.status in lifecycle.WORKING:
                number, epoch = self._last_number + 1, self._broker.link.epoch
                await self._book([(None, external(report, number, epoch, self._clock.now()))])

    async def _on_execution(self, execution: Execution) -> None:
        if not self._is_news(execution) or execution.account not in ("", self._broker.link.account):
            return
        order = self._find(execution)
        if order is None:
            found = await self._ledger.find_orders([execution.order_ref], [execution.perm_id])
            order = found[0] if found else None
        after = {**self._executions, execution.key: execution}
        change = [] if order is None else [(order, lifecycle.filled_by(order, tuple(after.values())))]
        await self._book(change, executions=[execution])

    def _is_news(self, execution: Execution) -> bool:
        known = self._executions.get(execution.key)
        return known is None or known.revision < execution.revision

    async def _on_message(self, message: BrokerMessage) -> None:
        if message.request_id < 0:
            return
        mine = (o for o in reversed(self.orders) if o.epoch == self._broker.link.epoch or not o.external)
        order = next(
            (
                o
                for o in mine
                if o.order_id == message.request_id and o.client_id == self._broker.link.client_id
            ),
            None,
        )
        if order is None:
            return
        words = plain_words(message.code, message.text)
        if message.code in lifecycle.NOT_FINAL:
            if message.code != 202:
                await self._say(Notice("order_note", {"number": order.number, "text": words}, to=order.owner))
            return
        # An error is a hint, not a state: keep the broker's reason, then ask what became of the order.
        await self._book([(order, replace(order, reason=words))], silent=True)
        self._compare.set()

    async def _keep_books_equal(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECONCILE_SECONDS):
                    await self._compare.wait()
            self._compare.clear()
            if self._broker.link.connected and self._broker.link.account is not None:
                try:
                    async with self._lock:
                        await self._reconcile()
                except BrokerError as problem:
                    log.warning("the books could not be compared: %s", problem)
                    asyncio.get_running_loop().call_later(RETRY_SECONDS, self._compare.set)
                self.first_word.set()

    async def _reconcile(self) -> None:
        book = await self._broker.book()
        news = [e for e in book.executions if self._is_news(e)]
        known = {**self._executions, **{e.key: e for e in news}}
        mentioned: list[OrderReport | Execution] = [*book.open_orders, *book.completed_orders, *news]
        older = await self._ledger.find_orders(
            [r.order_ref for r in mentioned if r.order_ref], [r.perm_id for r in mentioned if r.perm_id]
        )
        before = {o.number: o for o in (*older, *self.orders)}
        seen, strangers = reconcile(
            tuple(before.values()), book, tuple(known.values()), self._clock.now(), self._last_number + 1
        )
        changes: list[tuple[Order | None, Order]] = [(before[o.number], o) for o in seen]
        changes += [(None, o) for o in strangers]
        gap, self._gap = self._gap, False
        await self._book(changes, executions=news, away=gap)
        self._broker.mark_reconciled(book.epoch)
        if gap:
            await self._say(Notice("link_up"))

    async def _book(
        self,
        changes: Sequence[tuple[Order | None, Order]],
        executions: Sequence[Execution] = (),
        *,
        silent: bool = False,
        away: bool = False,
    ) -> None:
        """Write down what changed and who must hear of it, in one commit; then it is true in memory too."""
        changed = [(old, new) for old, new in changes if old != new]
        news = [] if silent else [notice for old, new in changed for notice in announcements(old, new)]
        if not changed and not executions:
            return
        orders = [new for _, new in changed]
        await asyncio.shield(self._ledger.record(orders, executions, notices=gather(news) if away else news))
        self._executions.update({e.key: e for e in executions})
        for order in orders:
            self._last_number = max(self._last_number, order.number)
            if order.state.is_open:
                self._open[order.number] = order
            else:
                self._open.pop(order.number, None)
        if news:
            self._notifier.wake()

    async def _say(self, notice: Notice) -> None:
        await self._ledger.record(notices=[notice])
        self._notifier.wake()


def announcements(old: Order | None, new: Order) -> list[Notice]:
    """What people hear of a change: the card is edited in place; a new message only for an end, or an order from elsewhere."""
    words: list[Notice] = []
    if not new.external and (old is None or _shown(old) != _shown(new)):
        words.append(Notice("order", subject=new.order_ref, to=new.owner))
    before = old.state if old else None
    if new.state is not before and new.state in _LOUD:
        words.append(
            Notice("order_news", {"number": new.number, "state": new.state}, to=new.owner, urgent=True)
        )
    elif old is None and new.external:
        words.append(Notice("order_news", {"number": new.number, "state": new.state}))
    return words


_LOUD = frozenset(
    {
        OrderState.FILLED,
        OrderState.CANCELLED,
        OrderState.REJECTED,
        OrderState.SUSPENDED,
        OrderState.UNKNOWN,
        OrderState.NOT_AT_BROKER,
    }
)


def _shown(order: Order) -> tuple[object, ...]:
    return (
        order.state,
        order.filled,
        order.average_price,
        order.reason,
        order.cancel_requested_at,
        order.limit_price,
    )


def gather(notices: Sequence[Notice]) -> list[Notice]:
    """After a gap: the cards are edited as ever, and all the news of orders become one message."""
    quiet = [n for n in notices if n.kind != "order_news"]
    news = [n.data for n in notices if n.kind == "order_news"]
    return [*quiet, Notice(AWAY, {"orders": news}, urgent=True)] if news else quiet
