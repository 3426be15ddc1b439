"""From a symbol to a proposal: facts that code computed, one question to the model, a size that code works out, and a card.

It asks and measures; it sends nothing. The card that comes of it is approved like any other and takes the same road to the market.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal

from core.analyst import Answer, AnthropicAnalyst
from core.cards import Cards, Preview
from core.decision import Verdict
from core.errors import NoAnswer, NotConnected, Refused, StaleCard
from core.facts import gather, reference_price
from core.model import Bar, Instrument, Quote, Request, Side, StoredDecision, Ticket, TicketState
from core.orderbook import OrderBook
from core.ports import Broker, Clock, DecisionRecords
from core.risk import Snapshot
from core.sizing import Bound, entry_quantity

BENCHMARK = "SPY"
QUOTE_SECONDS = 60.0

Progress = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Proposal:
    """How an analysis ended: the answer, the decision as it is kept, and the card, where one came of it.

    `why_not` says why there is no card, or why it cannot be approved.
    """

    answer: Answer
    decision: StoredDecision | None
    preview: Preview | None
    why_not: str = ""


_BOUND_WORDS = {
    Bound.CONFIDENCE: "MAX_POSITION_SIZE scaled by the confidence",
    Bound.POSITION_CAP: "the room left under MAX_POSITION_SIZE",
    Bound.RISK: "MAX_PORTFOLIO_RISK at the distance of the stop",
}


class Proposer:
    """Knows the owner's threshold. `min_confidence` is in percent."""

    def __init__(
        self,
        broker: Broker,
        cards: Cards,
        book: OrderBook,
        analyst: AnthropicAnalyst,
        records: DecisionRecords,
        clock: Clock,
        min_confidence: int,
    ) -> None:
        self._broker, self._cards, self._book, self._analyst = broker, cards, book, analyst
        self._records, self._clock, self._limits = records, clock, cards.limits
        self._min_confidence = min_confidence

    async def propose(self, user: int, symbol: str, progress: Progress) -> Proposal:
        """One analysis of one symbol. Raises BadInput, NoAnalyst, AnalystBusy, BrokerError, StorageError."""
        instrument = await self._broker.find(symbol)
        await progress("gathering the facts")
        quote = await self._quote(instrument)
        bars = await self._broker.bars(instrument)
        benchmark = await self._benchmark()
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
        await progress("asking the model")
        answer = await self._analyst.ask(user, symbol, facts)
        if answer.decision is None:
            return Proposal(answer, None, None)
        kept = await self._records.record_decision(
            answer.call, answer.decision, instrument.con_id, reference_price(quote), answer.demo
        )
        await progress("measuring it against your rules")
        preview, why_not = await self._card(user, instrument, kept, quote)
        return Proposal(answer, kept, preview, why_not)

    async def again(self, ticket: Ticket) -> tuple[StoredDecision, Preview | None, str]:
        """The card of a proposal as it would be drawn now, measured anew. Raises StaleCard where its decision is not known."""
        kept = await self._records.decision(ticket.decision_id or "")
        if kept is None:
            raise StaleCard("The decision behind this card is not known here. Nothing was sent.")
        preview, why_not = await self._card(
            ticket.owner, ticket.instrument, kept, await self._quote(ticket.instrument)
        )
        return kept, preview, why_not

    async def _card(
        self, user: int, instrument: Instrument, kept: StoredDecision, quote: Quote | None
    ) -> tuple[Preview | None, str]:
        request, why_not = await self._request(instrument, kept, quote)
        if request is None:
            return None, why_not
        preview = await self._cards.preview(request, user, kept.decision_id, quote)
        if preview.denials:
            blocked = replace(preview.ticket, state=TicketState.REFUSED)
            return replace(preview, ticket=blocked), "It is blocked by your rules."
        return preview, ""

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
        if decision.verdict == Verdict.HOLD:
            return None, "HOLD: nothing to approve."
        if decision.confidence < self._min_confidence:
            return (
                None,
                f"Its confidence of {decision.confidence} % is below your threshold of {self._min_confidence} % (MIN_CONFIDENCE).",
            )
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


def on_tick(price: Decimal, instrument: Instrument) -> Decimal:
    """The nearest price that the exchange takes."""
    if instrument.min_tick <= 0:
        return price
    return (price / instrument.min_tick).to_integral_value(ROUND_HALF_EVEN) * instrument.min_tick
