"""From a symbol to a proposal: facts that code computed, one question to the model, a size that code works out, and a card.

It asks and measures; it sends nothing. The card that comes of it is approved like any other and takes the same road to the market.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TypeVar

from core.analyst import Answer, AnthropicAnalyst
from core.cards import Cards, Preview
from core.decision import Verdict
from core.errors import BadInput, BrokerError, Denied, NoAnswer, NotConnected, Refused, StaleCard
from core.facts import gather, option_facts, reference_price
from core.model import (
    Bar,
    Instrument,
    ProposedPlan,
    Quote,
    Request,
    Side,
    StoredDecision,
    Ticket,
    TicketState,
)
from core.options.combine import multiplier_of
from core.options.plan import ExpiryWish, PlanLeg, PlanPreview, PlanRequest, Strategy, StrikeWish
from core.options.recognise import unencumbered
from core.options.strategies import uses_shares
from core.orderbook import OrderBook
from core.planner import Planner
from core.ports import Broker, Clock, DecisionRecords
from core.risk import Snapshot
from core.sizing import Bound, entry_quantity, plan_quantity

BENCHMARK = "SPY"
QUOTE_SECONDS = 60.0
OFFER_SECONDS = 1.5
"""How long an analysis waits for options; what has not come then is left out."""

Progress = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Proposal:
    """How an analysis ended: the answer, the decision as it is kept, and the card (of shares or of a plan of options), where one came of it.

    `why_not` says why there is no card, or why it cannot be approved.
    """

    answer: Answer
    decision: StoredDecision | None
    preview: Preview | PlanPreview | None
    why_not: str = ""


_BOUND_WORDS = {
    Bound.CONFIDENCE: "MAX_POSITION_SIZE scaled by the confidence",
    Bound.POSITION_CAP: "the room left under MAX_POSITION_SIZE",
    Bound.RISK: "MAX_PORTFOLIO_RISK at the distance of the stop",
}


class Proposer:
    """Knows the owner's threshold. `min_confidence` is in percent; without `options` the analyst is offered none."""

    def __init__(
        self,
        broker: Broker,
        cards: Cards,
        book: OrderBook,
        analyst: AnthropicAnalyst,
        records: DecisionRecords,
        clock: Clock,
        min_confidence: int,
        planner: Planner,
        options: bool = True,
    ) -> None:
        self._broker, self._cards, self._book, self._analyst = broker, cards, book, analyst
        self._records, self._clock, self._limits = records, clock, cards.limits
        self._min_confidence, self._planner, self._options = min_confidence, planner, options

    async def propose(self, user: int, symbol: str, progress: Progress) -> Proposal:
        """One analysis of one symbol. Raises BadInput, NoAnalyst, AnalystBusy, BrokerError, StorageError."""
        instrument = await self._broker.find(symbol)
        await progress("gathering the facts")
        looking = asyncio.create_task(self._offered(instrument))
        try:
            quote = await self._quote(instrument)
            bars = await self._broker.bars(instrument)
            benchmark = await self._benchmark()
            offered = await looking
        finally:
            looking.cancel()
        positions, account = self._broker.positions, self._broker.account
        if positions is None:
            raise NotConnected(
                "The positions are not known now, so there is nothing to judge by. They load a few seconds after connecting."
            )
        held = next((p for p in positions if p.con_id == instrument.con_id and p.signed_quantity), None)
        facts = await asyncio.to_thread(
            gather,
            instrument,
            quote,
            bars,
            benchmark,
            account,
            held,
            self._book.orders,
            self._clock.now(),
        )
        facts += option_facts(instrument, offered, account, self._free(instrument), self._clock.now())
        await progress("asking the model")
        answer = await self._analyst.ask(user, symbol, facts, offered=offered)
        if answer.decision is None:
            return Proposal(answer, None, None)
        kept = await self._records.record_decision(
            answer.call, answer.decision, instrument.con_id, reference_price(quote), answer.demo
        )
        await progress("measuring it against your rules")
        preview, why_not = await self._card(user, instrument, kept, quote)
        return Proposal(answer, kept, preview, why_not)

    async def again(self, ticket: Ticket) -> tuple[StoredDecision, Preview | PlanPreview | None, str]:
        """The card of a proposal as it would be drawn now, measured anew. Raises StaleCard where its decision is not known."""
        kept = await self._records.decision(ticket.decision_id or "")
        if kept is None:
            raise StaleCard("The decision behind this card is not known here. Nothing was sent.")
        instrument = ticket.instrument
        if kept.option_plan is not None:
            instrument = await self._broker.find(instrument.symbol)
        preview, why_not = await self._card(ticket.owner, instrument, kept, await self._quote(instrument))
        return kept, preview, why_not

    async def _card(
        self, user: int, instrument: Instrument, kept: StoredDecision, quote: Quote | None
    ) -> tuple[Preview | PlanPreview | None, str]:
        plan = kept.option_plan
        if kept.verdict == Verdict.HOLD and plan is None:
            return None, "HOLD: nothing to approve."
        if kept.confidence < self._min_confidence:
            return (
                None,
                f"Its confidence of {kept.confidence} % is below your threshold of {self._min_confidence} % (MIN_CONFIDENCE).",
            )
        if plan is not None:
            return await self._plan_card(user, instrument, kept, plan)
        request, why_not = await self._request(instrument, kept, quote)
        if request is None:
            return None, why_not
        preview = await self._cards.preview(request, user, kept.decision_id, quote)
        return _blocked(preview) if preview.denials else (preview, "")

    async def _plan_card(
        self, user: int, instrument: Instrument, kept: StoredDecision, plan: ProposedPlan
    ) -> tuple[PlanPreview | None, str]:
        """The card of a plan in the size that the owner's rules and the confidence allow, or why there is none."""
        strategy = Strategy(plan.strategy)
        one = PlanRequest(
            instrument.symbol,
            strategy,
            strikes=tuple(StrikeWish(price=strike) for strike in plan.strikes),
            expiry=ExpiryWish(day=plan.expiry),
            quantity=Decimal(1),
        )
        try:
            preview = await self._planner.preview(one, user, kept.decision_id)
            quantity, why_not = self._plan_size(preview, instrument, kept, strategy)
            if quantity is None:
                return (None, why_not) if why_not else _blocked(preview)
            if quantity > 1:
                sized = replace(one, quantity=quantity)
                preview = await self._planner.preview(sized, user, kept.decision_id)
                if preview.denials and preview.fits:
                    sized = replace(one, quantity=Decimal(preview.fits))
                    preview = await self._planner.preview(sized, user, kept.decision_id)
        except (BadInput, Denied, Refused, NoAnswer) as problem:
            return None, f"The plan cannot be drawn now. {problem}"
        return _blocked(preview) if preview.denials else (preview, "")

    def _plan_size(
        self, one: PlanPreview, instrument: Instrument, kept: StoredDecision, strategy: Strategy
    ) -> tuple[Decimal | None, str]:
        """How many combinations, measured by the card of one; else why none, where it is not the card's denials that say so."""
        account, most = self._broker.account, self._limits.max_order_contracts
        worth = account.net_liquidation if account else None
        if uses_shares(strategy) and all(leg.leg.option for leg in one.legs):
            each = multiplier_of([leg.leg for leg in one.legs])
            most = min(most, self._free(instrument) // each)  # more than that would buy shares
        elif kept.verdict == Verdict.HOLD and any(leg.leg.option is None for leg in one.legs):
            return (
                None,
                f"It would buy shares of {instrument.symbol}, which a HOLD does not: too few are free now.",
            )
        if one.risk is None or worth is None or account is None:
            return (
                None,
                "" if one.denials else "What the plan can lose is not known now, so it cannot be sized.",
            )
        allowed = self._limits.max_portfolio_risk * worth
        quantity = plan_quantity(confidence=kept.confidence, loss=one.risk, allowed=allowed, most=most)
        if quantity < 1:
            room = allowed * kept.confidence / 100
            return None, (
                f"There is no room for even one: it can lose {one.risk:,.2f} {account.currency}, and MAX_PORTFOLIO_RISK scaled by the "
                f"confidence allows {room:,.2f}."
            )
        return quantity, ""

    def _free(self, instrument: Instrument) -> Decimal:
        """The shares that are held and promised to nobody."""
        moment = self._cards.moment(None)
        free = unencumbered(instrument.con_id, instrument.symbol, moment.sure_positions(), moment.working)
        return max(free, Decimal(0))

    async def _offered(self, instrument: Instrument) -> tuple[PlanLeg, ...]:
        """The options that the analyst may choose from; none where they do not come in time."""
        if not self._options:
            return ()
        try:
            async with asyncio.timeout(OFFER_SECONDS):
                return await self._planner.offered(instrument)
        except (BadInput, BrokerError, TimeoutError):
            return ()

    async def _quote(self, instrument: Instrument) -> Quote | None:
        try:
            return await self._broker.quote(instrument, self._limits.max_quote_age_seconds, QUOTE_SECONDS)
        except (Refused, NoAnswer):
            return None

    async def _benchmark(self) -> tuple[Bar, ...]:
        try:
            return await self._broker.bars(await self._broker.find(BENCHMARK))
        except (Refused, NoAnswer):
            return ()

    async def _request(
        self, instrument: Instrument, decision: StoredDecision, quote: Quote | None
    ) -> tuple[Request | None, str]:
        """What the decision would have us order, or why nothing."""
        snapshot = await self._cards.snapshot(instrument, quote, Request(Side.SELL, instrument.symbol))
        held = snapshot.held(instrument.con_id)
        if decision.verdict == Verdict.SELL:
            if held is None or held <= 0:
                return (
                    None,
                    f"You hold no {instrument.symbol}, and Greenlight does not sell short, so there is nothing to approve.",
                )
            return Request(Side.SELL, instrument.symbol, fraction=Decimal(1)), ""
        return self._entry(instrument, decision, snapshot)

    def _entry(
        self, instrument: Instrument, decision: StoredDecision, snapshot: Snapshot
    ) -> tuple[Request | None, str]:
        account, held = snapshot.account, snapshot.held(instrument.con_id)
        price = snapshot.quote.ask if snapshot.quote else None
        rate = account.rate(instrument.currency) if account else None
        if decision.stop_loss is None or decision.target_price is None:
            return None, "It has no stop, and a proposal without a stop is not made."
        if (
            price is None
            or rate is None
            or held is None
            or account is None
            or account.net_liquidation is None
        ):
            return None, "Price, holding or account value is not known now, so it cannot be sized."
        stop, target = on_tick(decision.stop_loss, instrument), on_tick(decision.target_price, instrument)
        if not stop < price < target:
            return (
                None,
                f"The price has moved beyond its stop or target: {instrument.symbol} is at {price:f} now.",
            )
        busy = held + snapshot.working_quantity(instrument.con_id, Side.BUY)
        sized = entry_quantity(
            confidence=decision.confidence,
            price=price,
            stop=stop,
            max_position_size=self._limits.max_position_size,
            held_value=busy * price * rate,
            net_liquidation=account.net_liquidation,
            max_portfolio_risk=self._limits.max_portfolio_risk,
            rate=rate,
        )
        if sized.quantity < 1:
            return None, f"There is no room for even one share: {_BOUND_WORDS[sized.by]} allows none."
        entry = Request(
            Side.BUY, instrument.symbol, quantity=sized.quantity, stop_loss=stop, take_profit=target
        )
        return entry, ""


Drawn = TypeVar("Drawn", Preview, PlanPreview)


def _blocked(preview: Drawn) -> tuple[Drawn, str]:
    """A card that cannot be approved, which says why."""
    refused = replace(preview.ticket, state=TicketState.REFUSED)
    return replace(preview, ticket=refused), "It is blocked by your rules."


def on_tick(price: Decimal, instrument: Instrument) -> Decimal:
    """The nearest price that the exchange takes."""
    if instrument.min_tick <= 0:
        return price
    return (price / instrument.min_tick).to_integral_value(ROUND_HALF_EVEN) * instrument.min_tick
