"""Before the market: what an order would do, measured and checked, as the card that its owner sees. Sends nothing.

The card holds the very terms that leave when it is approved; `core.executor` checks them once more then, with a fresh price.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import ROUND_FLOOR, Decimal

from ulid import ULID

from core import changes, protection, risk, sizing
from core.errors import (
    BadInput,
    BrokerError,
    Denied,
    NoAnswer,
    Refused,
    StaleCard,
    StorageError,
)
from core.indicators import indicators
from core.model import (
    Approval,
    Bar,
    ChangeRequest,
    Denial,
    Instrument,
    OptionQuote,
    Order,
    Position,
    Quote,
    Request,
    Side,
    Ticket,
    TicketState,
    Trading,
    WhatIf,
)
from core.obstacles import Obstacles
from core.options import combine
from core.orderbook import OrderBook
from core.ports import Broker, Clock, Ledger
from core.trading import TradingSwitch

log = logging.getLogger(__name__)

OPTIONS = frozenset({"OPT", "BAG"})
ASKED_TWICE = frozenset({"SAME_ORDER"})
"""Denials that their owner can answer by asking once more."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a card can be acted on, in seconds."""

    card_seconds: float = 120.0
    proposal_seconds: float = 900.0


@dataclass(frozen=True, slots=True)
class Preview:
    """What a card shows: the exact terms, what they are measured by, and every denial (none: it may be sent).

    `waiting` is what orders that still work may add on the same side; `value` is in the instrument's currency, `risk` (what is lost at
    the stop, or at the assumed one) in base currency; `offered_stop` is a stop for an entry that has none; `takes_down` are protective orders
    that a sale has to move out of its way first, each with what it may still sell then; `again` says that the same order left a moment ago.
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
    again: str = ""

    @property
    def fits(self) -> int | None:
        """The largest quantity that would be let through, where a smaller one is all that is asked for; else None."""
        if not self.denials or any(denial.fits is None for denial in self.denials):
            return None
        return min(denial.fits for denial in self.denials if denial.fits is not None)


class Cards:
    """Draws cards, keeps the open ones at hand, and takes the snapshots that the rules look at."""

    def __init__(
        self,
        broker: Broker,
        ledger: Ledger,
        clock: Clock,
        book: OrderBook,
        trading: TradingSwitch,
        limits: risk.Limits,
        timing: Timing,
    ) -> None:
        self._broker, self._ledger, self._clock, self._book = broker, ledger, clock, book
        self._trading, self.limits, self._timing = trading, limits, timing
        self.obstacles = Obstacles(broker, ledger, book)
        self._cards: dict[str, Ticket] = {}
        self._forecasts: dict[
            str, tuple[float, WhatIf]
        ] = {}  # each with when it was asked for (monotonic seconds)
        self._taken: list[tuple[float, Decimal]] = []  # what the latest entries take of the margin
        self._ranges: dict[int, tuple[tuple[Bar, ...], Decimal | None]] = {}

    # --- drawing --------------------------------------------------------------------------------------------------------

    async def preview(
        self, request: Request, owner: int, decision_id: str | None = None, quote: Quote | None = None
    ) -> Preview:
        """Everything a card shows. Raises BadInput, or BrokerError where the broker cannot be asked.

        `quote` is one that the request was sized by a moment ago; the card then shows that one, so that both agree.
        """
        instrument = await self._broker.find(request.symbol)
        silence = None
        try:
            life = self._timing.proposal_seconds if decision_id else self._timing.card_seconds
            latest = await self._broker.quote(instrument, self.limits.max_quote_age_seconds, life + 30)
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
        snapshot = self.as_if_approved(snapshot, ticket)
        denials, forecast = await self.judge(ticket, snapshot)
        if silence:
            denials = (silence, *(d for d in denials if d.code != "PRICE_UNKNOWN"))
        again = " ".join(d.message for d in denials if d.code in ASKED_TWICE)
        denials = tuple(d for d in denials if d.code not in ASKED_TWICE)
        worst = risk.worst_price(ticket, quote)
        await self.keep(ticket, forecast, denials)
        return Preview(
            ticket=ticket,
            quote=quote,
            held=held,
            waiting=snapshot.working_quantity(instrument.con_id, request.side),
            value=None if worst is None else worst * quantity * instrument.multiplier,
            risk=risk.at_risk(ticket, snapshot, self.limits),
            offered_stop=risk.offered_stop(ticket, snapshot, self.limits),
            takes_down=protection.plan(ticket, held, self._book.orders).moves,
            what_if=forecast,
            denials=denials,
            again=again,
        )

    async def judge(
        self, ticket: Ticket, snapshot: risk.Snapshot
    ) -> tuple[tuple[Denial, ...], WhatIf | None]:
        """Every denial, the broker asked for his forecast last, and only where nothing else speaks against it."""
        denials = risk.check(ticket, snapshot, self.limits, asked=False)
        denials = denials or await self.obstacles.of_sale(ticket, snapshot)
        if any(d.code not in ASKED_TWICE for d in denials):
            return denials, None
        forecast = None
        try:
            forecast = await self._broker.what_if(ticket)
        except Refused as refused:
            return (_would_refuse(refused),), None
        except NoAnswer:
            log.warning("no what-if for %s", ticket.instrument.symbol)
        return risk.check(ticket, replace(snapshot, what_if=forecast), self.limits), forecast

    async def exit(self, position: Position, owner: int) -> Ticket:
        """The terms that close a holding at market. Raises BadInput where Greenlight does not trade it, BrokerError, NoAnswer."""
        instrument = await self._broker.find(position.symbol)
        if instrument.con_id != position.con_id:
            raise BadInput(f"It is not the {position.symbol} that Greenlight trades; close it in TWS.")
        side = Side.SELL if position.signed_quantity > 0 else Side.BUY
        free = abs(position.signed_quantity) - self.moment(None).working_quantity(position.con_id, side)
        if free <= 0:
            raise BadInput("All of it is on its way out already.")
        free = free.to_integral_value(ROUND_FLOOR)
        if not free:
            raise BadInput("It is less than one share; close it in TWS.")
        request = Request(side, position.symbol, quantity=free)
        life = self._timing.card_seconds
        quote = await self._broker.quote(instrument, self.limits.max_quote_age_seconds, life)
        ticket = self._ticket(request, instrument, free, quote, None, owner, None)
        await self.keep(ticket, None, ())
        return ticket

    async def ask_forecast(self, ticket: Ticket) -> None:
        """See to it that there is a forecast: the one that the card showed; where that was before a restart, a new one, if the broker answers.

        A plan's is always asked anew: only the broker knows its margin. Raises Denied where he would refuse it now.
        """
        if risk.is_plan(ticket):
            self._forecasts.pop(ticket.ticket_id, None)
            asked = self._clock.monotonic()
            try:
                self._forecasts[ticket.ticket_id] = (asked, await self._broker.what_if(ticket))
            except Refused as refused:
                raise Denied(_would_refuse(refused)) from None
            except NoAnswer:
                log.warning("no what-if for %s", ticket.instrument.label)
            return
        if ticket.ticket_id not in self._forecasts and ticket.modifies is None:
            with contextlib.suppress(Refused, NoAnswer):
                asked = self._clock.monotonic()
                self._forecasts[ticket.ticket_id] = (asked, await self._broker.what_if(ticket))

    def forecast(self, ticket: Ticket) -> WhatIf | None:
        """The broker's forecast, with what the entries take that have left since it was asked for; None where there is none."""
        if (known := self._forecasts.get(ticket.ticket_id)) is None:
            return None
        asked, told = known
        since = sum((takes for at, takes in self._taken if at >= asked), Decimal(0))
        change, after = told.maintenance_margin_change, told.maintenance_margin_after
        return replace(
            told,
            maintenance_margin_change=None if change is None else change + since,
            maintenance_margin_after=None if after is None else after + since,
        )

    def note_taken(self, ticket_id: str) -> None:
        """An entry has left: what it takes of the margin by its forecast counts for every card that was drawn before."""
        now = self._clock.monotonic()
        _, forecast = self._forecasts.get(ticket_id, (now, None))
        self._taken = [(at, takes) for at, takes in self._taken if now - at < self._timing.proposal_seconds]
        if forecast is not None and forecast.maintenance_margin_change is not None:
            self._taken.append((now, forecast.maintenance_margin_change))

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
        """Everything that the card of a change shows. Raises BadInput, or BrokerError where the broker cannot be asked."""
        order = next((o for o in self._book.orders if o.number == request.number), None)
        if order is None:
            raise BadInput(f"There is no open order #{request.number}; /orders lists them.")
        family = await self._family(order)
        is_bracket = any(o.parent == order.number and o.state.is_open for o in family)
        after = changes.wanted(order, replace(request, is_bracket=is_bracket))
        if order.kind != "STK":
            raise BadInput(
                f"#{order.number} is an options order, which is not changed by hand: /cancel {order.number} and make a new card."
            )
        instrument = await self._broker.find(order.symbol)
        if instrument.con_id != order.con_id:
            raise BadInput(
                f"#{order.number} is of another {order.symbol} than Greenlight trades; change it in TWS."
            )
        quote = None
        try:
            life = self._timing.card_seconds + 30
            quote = await self._broker.quote(instrument, self.limits.max_quote_age_seconds, life)
        except (Refused, NoAnswer):
            log.warning("no price for the change of #%s", order.number)
        price = after.limit_price or after.stop_price
        ticket = replace(
            self._ticket(_as_request(after), instrument, after.quantity, quote, price, owner, None),
            modifies=order.number,
            instead_of=changes.terms_of(order),
        )
        snapshot = await self.snapshot(instrument, quote, ticket)
        denials = await self.against(ticket, order, self.as_if_approved(snapshot, ticket))
        await self.keep(ticket, None, denials)
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

    async def against(self, ticket: Ticket, order: Order, snapshot: risk.Snapshot) -> tuple[Denial, ...]:
        """Why these terms cannot be given to the order now."""
        try:
            self.check_can_change(order)
            unreachable = ""
        except BrokerError as problem:
            unreachable = str(problem)
        stuck = changes.objection(order, unreachable) or await self.obstacles.of_change(order, ticket)
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
        # The order is at the broker, and what a change takes of the margin is the broker's to refuse: it offers no forecast of one.
        denials = risk.check(measured, around, self.limits, protects=order.protects, asked=False)
        if not order.protects and not risk.reduces(measured, around):
            known = {denial.code for denial in denials}
            denials += tuple(
                d for d in risk.check_whole(ticket, snapshot, self.limits) if d.code not in known
            )
        entry = next((o for o in family if o.number == order.parent and o.state.is_open), None)
        if entry is not None:
            wrong = risk.bracket_sides(changes.as_entry(ticket, order, entry, family), snapshot, self.limits)
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

    def check_can_change(self, order: Order) -> None:
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

    # --- what the rules look at -------------------------------------------------------------------------------------------

    @staticmethod
    def as_if_approved(snapshot: risk.Snapshot, ticket: Ticket) -> risk.Snapshot:
        """The moment at which the card is drawn, its owner's yes being what it asks for."""
        approved = Approval(ticket.owner, ticket.created_at, ticket.terms_hash())
        return replace(snapshot, now=ticket.created_at, approved=approved)

    @property
    def trading(self) -> Trading:
        """The trading state as it is now."""
        return self._trading.now

    def approval(self, ticket: Ticket, user: int) -> Approval:
        """Somebody's yes to these terms, now."""
        return Approval(user, self._clock.now(), ticket.terms_hash())

    async def snapshot(
        self, instrument: Instrument, quote: Quote | None, request: Request | Ticket
    ) -> risk.Snapshot:
        """Everything that the rules look at, now."""
        return self.moment(quote, atr=await self.range_for(instrument, request))

    def moment(
        self,
        quote: Quote | None,
        *,
        atr: Decimal | None = None,
        approved: Approval | None = None,
        what_if: WhatIf | None = None,
        confirmed: bool = False,
        plan: risk.PlanMarket | None = None,
    ) -> risk.Snapshot:
        """The desk as it stands at this moment."""
        return risk.Snapshot(
            now=self._clock.now(),
            link=self._broker.link,
            account=self._broker.account,
            quote=quote,
            positions=self._book.as_counted(self._broker.positions),
            told=self._broker.positions,
            working=self._book.orders,
            atr=atr,
            trading=self._trading.now,
            approved=approved,
            sent=self._book.pace.sent,
            what_if=what_if,
            confirmed=confirmed,
            drifts=self._book.drifts,
            plan=plan,
        )

    async def range_for(self, instrument: Instrument, request: Request | Ticket) -> Decimal | None:
        """The ATR where it is needed: to measure an entry that has no stop. Of a plan that of what it is on."""
        if instrument.kind in OPTIONS:
            return await self.average_range(await self._broker.find(instrument.symbol))
        if request.side is not Side.BUY or request.stop_loss is not None:
            return None
        return await self.average_range(instrument)

    async def average_range(self, instrument: Instrument) -> Decimal | None:
        """The ATR of 14 sessions; None where there are no bars."""
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

    # --- the open ones ----------------------------------------------------------------------------------------------------

    async def keep(self, ticket: Ticket, forecast: WhatIf | None, denials: Sequence[Denial]) -> None:
        """What may be sent is kept at hand; what may not is written into the log that /risk shows."""
        if denials:
            await self.log_denials(ticket, denials)
            return
        now = self._clock.now()
        self._cards = {name: card for name, card in self._cards.items() if card.expires_at > now}
        self._cards[ticket.ticket_id] = ticket
        self._forecasts = {name: told for name, told in self._forecasts.items() if name in self._cards}
        if forecast is not None:
            self._forecasts[ticket.ticket_id] = (self._clock.monotonic(), forecast)

    async def log_denials(self, ticket: Ticket, denials: Sequence[Denial]) -> None:
        """A line in the log that is kept; where that cannot be written, the denial stands all the same."""
        order = f"{ticket.side} {ticket.quantity:f} {ticket.instrument.label}"
        why = ", ".join(dict.fromkeys(denial.code for denial in denials))
        with contextlib.suppress(StorageError):
            await self._ledger.audit("denied", f"{order}: {why}", ticket.owner)

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
        """A card's story ends: from now on the ledger is asked what became of it."""
        self._cards.pop(ticket_id, None)
        self._forecasts.pop(ticket_id, None)

    def life(self, decision_id: str | None) -> float:
        """How long a card, or with a decision behind it a proposal, can be acted on, in seconds."""
        return self._timing.proposal_seconds if decision_id else self._timing.card_seconds

    def is_stale(self, ticket: Ticket) -> bool:
        """Whether the card is too old to act on."""
        return self._clock.now() >= ticket.expires_at

    async def drifted(self, ticket: Ticket) -> Decimal | None:
        """How far the price has moved since the card, as a fraction, where that is more than the owner allows; a way out is not asked."""
        quote = await self.fresh_quote(ticket)
        if ticket.modifies is not None:
            order = next((o for o in self._book.orders if o.number == ticket.modifies), None)
            is_exit = order is not None and order.protects
        else:
            is_exit = risk.reduces(ticket, self.moment(quote))
        return None if is_exit else risk.drifted(ticket, quote, self.limits)

    async def fresh_quote(self, ticket: Ticket) -> Quote | None:
        """The price as it is now, of a plan that of what it is on; None where there is none."""
        try:
            return await self._broker.quote(
                await self._priced_by(ticket), self.limits.max_quote_age_seconds, self._timing.card_seconds
            )
        except (Refused, NoAnswer):
            return None

    async def _priced_by(self, ticket: Ticket) -> Instrument:
        return (
            await self._broker.find(ticket.instrument.symbol) if risk.is_plan(ticket) else ticket.instrument
        )

    async def plan_market(self, ticket: Ticket, quote: Quote | None) -> risk.PlanMarket | None:
        """The markets of a plan's legs as they are now, beside that of what it is on; None for shares."""
        if not risk.is_plan(ticket):
            return None
        underlying = await self._broker.find(ticket.instrument.symbol)
        parts = combine.parts(ticket.instrument)
        told = await self._broker.option_quotes(
            parts, self.limits.max_quote_age_seconds, self._timing.card_seconds
        )
        quotes: dict[int, OptionQuote | Quote | None] = {
            part.con_id: one for part, one in zip(parts, told, strict=True)
        }
        if ticket.closes:
            quotes = combine.with_nothing_bid(ticket.instrument.legs, quotes)
        return risk.PlanMarket(underlying.con_id, spot_of(quote), {**quotes, underlying.con_id: quote})


def _would_refuse(why: Refused) -> Denial:
    return Denial("BROKER", f"The broker says it would refuse this order. {why}")


def spot_of(quote: Quote | None) -> Decimal | None:
    """What a share trades at: half way between bid and ask, else the last price."""
    if quote is None:
        return None
    return (quote.bid + quote.ask) / 2 if quote.bid and quote.ask else quote.last


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
