"""Plans with options before the market: from what somebody wants to a card with its worst case on it. Sends nothing.

A plan becomes one limit order: a single option, or one combination that is always bought for a signed net. It begins half way between bid
and ask and may be repriced as far as the card says. What the rules make of it is `core.risk`'s, what it can bring `core.options`'.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from zoneinfo import ZoneInfo

from ulid import ULID

from core import risk
from core.cards import ASKED_TWICE, Cards, spot_of
from core.errors import BadInput, NoAnswer, Refused, TooDear
from core.model import (
    Chain,
    Dividend,
    Instrument,
    Leg,
    OptionQuote,
    OptionTerms,
    OrderType,
    Quote,
    Right,
    Side,
    Ticket,
    TimeInForce,
)
from core.options import chain as chains
from core.options import combine, life, notes, payoff, pricing, recognise, strategies
from core.options.plan import (
    Action,
    ChainPage,
    ChainRow,
    ExpiryWish,
    Greeks,
    Group,
    Outcome,
    PlanLeg,
    PlanPreview,
    PlanRequest,
    Strategy,
    StrikeWish,
)
from core.ports import Broker, Clock

log = logging.getLogger(__name__)

EXCHANGE = ZoneInfo("America/New_York")
RATE = 0.04
"""The interest a year that our own prices and probabilities are reckoned with."""
HALF, ZERO = Decimal("0.5"), Decimal(0)
GIVES_WAY = HALF
"""How far from the middle to the other side of the market a combination may be repriced, where its owner names no limit; a single option,
which nobody trades inside its market for long, goes all the way.
"""
ROWS = 8
NEAR = 6
"""How many strikes are tried in place of one that an expiry does not have."""
LOOKS = 8
"""How many options are looked at to find strikes by their deltas."""
ABOUT_A_MONTH = ExpiryWish()
BY_THE_LOSS = frozenset(
    {"ORDER_VALUE", "HOUR_VALUE", "DAY_VALUE", "POSITION_CAP", "GROSS_EXPOSURE", "RISK_PER_TRADE"}
)
"""The codes of denials that measure a plan by the most that it can lose."""
OFFERED_DAYS, OFFERED_STRIKES = 30, 7
QUOTES_SECONDS = 60.0
_SINGLES = {
    (Side.BUY, Right.CALL): Strategy.LONG_CALL,
    (Side.BUY, Right.PUT): Strategy.LONG_PUT,
    (Side.SELL, Right.CALL): Strategy.COVERED_CALL,
    (Side.SELL, Right.PUT): Strategy.CASH_SECURED_PUT,
}


@dataclass(frozen=True, slots=True)
class Terms:
    """How a plan would leave: what trades, which way, how many, and within which limit (signed for a combination; None by rule)."""

    underlying: Instrument
    instrument: Instrument
    side: Side
    quantity: Decimal | None
    limit: Decimal | None = None
    budget: Decimal | None = None
    gives_way: Decimal = GIVES_WAY
    at_once: bool = False
    most: Decimal | None = None
    """How many at most where a budget says how many: what shares that are held stand behind."""


class Planner:
    """Draws plans. What it needs of the desk it asks of `Cards`, which keeps what it drew."""

    def __init__(self, broker: Broker, clock: Clock, cards: Cards) -> None:
        self._broker, self._clock, self._cards = broker, clock, cards

    @property
    def today(self) -> date:
        """The exchange's day."""
        return self._clock.now().astimezone(EXCHANGE).date()

    # --- from a wish to a plan --------------------------------------------------------------------------------------------

    async def preview(self, request: PlanRequest, owner: int, decision_id: str | None = None) -> PlanPreview:
        """The card of what somebody wants. Raises BadInput, Denied, BrokerError.

        Where no strikes are named and the usual ones lose more than the budget, those of a spread come closer together until it fits.
        """
        underlying = await self._broker.find(request.symbol)
        chain, spot = await asyncio.gather(self._broker.chain(underlying), self._quote(underlying))
        strategy = request.strategy or _SINGLES[request.single or (Side.BUY, Right.CALL)]
        expiry = chains.pick_expiry(chain, request.expiry, self.today)
        strikes = await self._strikes(underlying, chain, strategy, request.strikes, expiry, spot_of(spot))
        first: BadInput | None = None
        while True:
            wanted = strategies.terms(strategy, strikes, chain, expiry)
            try:
                return await self._drawn_at(request, owner, decision_id, underlying, strategy, wanted, spot)
            except BadInput as problem:
                first = first or problem
                nearer = None if request.strikes else strategies.closer(strategy, strikes, chain.strikes)
                if nearer is None or not isinstance(first, TooDear):
                    raise first from None
                strikes = nearer

    async def _drawn_at(
        self,
        request: PlanRequest,
        owner: int,
        decision_id: str | None,
        underlying: Instrument,
        strategy: Strategy,
        wanted: Sequence[tuple[int, OptionTerms | None]],
        spot: Quote | None,
    ) -> PlanPreview:
        """The card of these legs. Raises TooDear where not one of it fits the budget."""
        options = await self._contracts(underlying, [option for _, option in wanted if option])
        legs = tuple(
            Leg(options[option].con_id, ratio, options[option].option)
            if option
            else Leg(underlying.con_id, ratio)
            for ratio, option in wanted
        )
        asked, most = request.quantity or Decimal(1), self._covered(underlying, legs)
        if request.single is not None or (most is not None and most >= asked):
            legs = tuple(leg for leg in legs if leg.option)  # shares that are there already stand behind it
        else:
            most = None
        name = strategies.label(strategy, legs, underlying.symbol)
        quantity = request.quantity if request.budget is None else None
        terms = self._terms(
            underlying, legs, name, quantity or (None if request.budget else asked), options.values()
        )
        limit = request.limit
        if limit is not None and terms.instrument.option and request.strategy is not None:
            limit = abs(limit)  # a credit of 0.76 is a sale at 0.76
        if limit is not None:
            _ensure_on_tick(limit, terms.instrument)
        return await self._draw(
            replace(terms, limit=limit, budget=request.budget, most=most), owner, decision_id, strategy, spot
        )

    async def again(self, ticket: Ticket, owner: int) -> PlanPreview:
        """The same legs and quantity at the market of now, and within the limit that its owner named, where he named one."""
        underlying = await self._broker.find(ticket.instrument.symbol)
        gives_way = Decimal(1) if risk.reduces(ticket, self._cards.moment(None)) else GIVES_WAY
        own = ticket.worst_limit if ticket.own_limit else None
        terms = Terms(underlying, ticket.instrument, ticket.side, ticket.quantity, own, gives_way=gives_way)
        spot = await self._quote(underlying)
        drawn = await self._draw(terms, owner, ticket.decision_id, None, spot)
        if ticket.closes:
            _still_closes(drawn)
        return drawn

    async def close(
        self, key: str, owner: int, quantity: Decimal | None = None, *, at_once: bool = False
    ) -> PlanPreview:
        """The card that closes what is held as one; `at_once` at what the market asks. Raises BadInput where nothing of that name is held."""
        group = self._group(key)
        underlying = await self._broker.find(group.symbol)
        if not any(leg.option for leg in group.legs):
            raise BadInput(f"Shares alone are sold with /sell {group.symbol} all.")
        if quantity is not None and quantity > group.count:
            raise BadInput(f"You hold {group.count:f} of it; at most so many can be closed.")
        name = f"Close {strategies.label(group.strategy, group.legs, group.symbol)}"
        legs = combine.opposite(group.legs)
        known, spot = await asyncio.gather(self._known(underlying, legs), self._quote(underlying))
        terms = self._terms(underlying, legs, name, quantity or group.count, known)
        terms = replace(terms, gives_way=Decimal(1), at_once=at_once)
        drawn = await self._draw(terms, owner, None, group.strategy, spot)
        _still_closes(drawn)
        return drawn

    async def roll(self, key: str, owner: int, expiry: ExpiryWish | None = None) -> PlanPreview:
        """The card that closes what is held and opens the same at a later expiry, as one combination. Raises BadInput."""
        group = self._group(key)
        present = group.expiry
        if present is None:
            raise BadInput(f"There are no options in it; shares are sold with /sell {group.symbol} all.")
        underlying = await self._broker.find(group.symbol)
        chain, spot = await asyncio.gather(self._broker.chain(underlying), self._quote(underlying))
        if expiry is None:
            later = chains.pick_expiry(chain, ExpiryWish(monthly=True), max(present, self.today))
        else:
            later = chains.pick_expiry(chain, expiry, self.today)
        if later <= present:
            raise BadInput(
                f"It expires on {present:%d %b %y}; a roll goes to a later expiry: /chain {group.symbol}"
            )
        old = tuple(leg for leg in group.legs if leg.option)
        wanted = [
            replace(leg.option, expiry=later, trading_class=chain.trading_class) for leg in old if leg.option
        ]
        contracts = [await self._nearest(underlying, want, chain) for want in wanted]
        new = tuple(Leg(i.con_id, leg.ratio, i.option) for leg, i in zip(old, contracts, strict=True))
        if strategies.name_of(new) is not strategies.name_of(old):
            raise BadInput(
                f"Its strikes are not listed for {later.day} {later:%b %y}: /chain {group.symbol} {later} shows which there are."
            )
        label = strategies.label(group.strategy, group.legs, group.symbol)
        name = f"Roll {label} to {_where_to(old, new)}"
        legs = combine.merged(combine.opposite(old), new)
        terms = self._terms(underlying, legs, name, group.count, ())
        return await self._draw(terms, owner, None, group.strategy, spot)

    def _terms(
        self,
        underlying: Instrument,
        legs: Sequence[Leg],
        name: str,
        quantity: Decimal | None,
        known: Iterable[Instrument],
    ) -> Terms:
        """One leg is a single option, several are one combination with the ratios reduced."""
        reduced, times = combine.reduced(legs)
        quantity = None if quantity is None else quantity * times
        bag = combine.bag(underlying, reduced, name)
        if len(reduced) > 1:
            return Terms(underlying, bag, Side.BUY, quantity)
        only = reduced[0]
        found = next((i for i in known if i.con_id == only.con_id), None) or combine.parts(bag)[0]
        side = Side.BUY if only.ratio > 0 else Side.SELL
        quantity = None if quantity is None else quantity * abs(only.ratio)
        return Terms(underlying, found, side, quantity)

    async def _contracts(
        self, underlying: Instrument, wanted: Sequence[OptionTerms]
    ) -> dict[OptionTerms, Instrument]:
        """Each option that is wanted as the broker knows it. Raises BadInput where there is none of that name."""
        found = await self._broker.options(underlying, wanted)
        missing = [w for w, i in zip(wanted, found, strict=True) if i is None]
        if missing:
            raise BadInput(
                f"There is no {missing[0].label(underlying.symbol)}: /chain {underlying.symbol} {missing[0].expiry} shows which there are."
            )
        return {want: one for want, one in zip(wanted, found, strict=True) if one is not None}

    async def _known(self, underlying: Instrument, legs: Sequence[Leg]) -> tuple[Instrument, ...]:
        """A single option that is held as the broker knows it, with its ticks; nothing of what he does not tell now."""
        only = legs[0].option if len(legs) == 1 else None
        if only is None:
            return ()
        try:
            found = await self._broker.options(underlying, [only])
        except (Refused, NoAnswer):
            return ()
        return tuple(i for i in found if i is not None and i.con_id == legs[0].con_id)

    async def _nearest(self, underlying: Instrument, wanted: OptionTerms, chain: Chain) -> Instrument:
        """The contract that is wanted, or, where its strike is not listed at that expiry, the one nearest to it. Raises BadInput."""
        near = sorted(chain.strikes, key=lambda strike: (abs(strike - wanted.strike), strike))[:NEAR]
        for tried in ([wanted], [replace(wanted, strike=strike) for strike in near]):
            found = next((i for i in await self._broker.options(underlying, tried) if i is not None), None)
            if found is not None:
                return found
        raise BadInput(
            f"There is nothing near {wanted.label(underlying.symbol)}: /chain {underlying.symbol} {wanted.expiry} shows what there is."
        )

    async def _strikes(
        self,
        underlying: Instrument,
        chain: Chain,
        strategy: Strategy,
        wishes: Sequence[StrikeWish],
        expiry: date,
        spot: Decimal | None,
    ) -> tuple[Decimal, ...]:
        """The strikes that are meant; where none are named, those of the strategy's usual deltas. Raises BadInput."""
        outline = strategies.STRATEGIES[strategy]
        if not wishes:
            wishes = [StrikeWish(delta=delta) for delta in outline.deltas]
        if len(wishes) != outline.strikes:
            strategies.terms(
                strategy, [w.price or ZERO for w in wishes], chain, expiry
            )  # says how many it takes
        deltas: dict[tuple[Decimal, Right], float] = {}
        aims = [
            (wish, outline.right_of(place)) for place, wish in enumerate(wishes) if wish.delta is not None
        ]
        if aims:
            if spot is None:
                raise BadInput(
                    f"The price of {underlying.symbol} is not known now: name the strikes, for example 190."
                )
            deltas = await self._deltas(underlying, chain, aims, expiry, spot)
        found = []
        for place, wish in enumerate(wishes):
            right = outline.right_of(place)
            known = {strike: delta for (strike, of), delta in deltas.items() if of is right}
            found.append(chains.pick_strike(chain.strikes, wish, spot, right, known))
        if all(w.delta is not None for w in wishes):
            found = _spread_out(found, chain.strikes)
        return tuple(found)

    async def _deltas(
        self,
        underlying: Instrument,
        chain: Chain,
        aims: Sequence[tuple[StrikeWish, Right]],
        expiry: date,
        spot: Decimal,
    ) -> dict[tuple[Decimal, Right], float]:
        """The broker's deltas of the few strikes that can be the ones that are meant.

        The volatility of the option at the money says about where they are, so that two looks are enough for any number of strikes.
        """
        days = max((expiry - self.today).days, 1)
        _, (nearest,) = chains.page(chain.strikes, spot, None, 1)
        at_the_money = await self._look(underlying, chain, expiry, [(nearest, Right.CALL)])
        volatility = next((q.volatility for q in at_the_money.values() if q.volatility), None)
        each = max(LOOKS // len(aims), 2)
        wanted: dict[tuple[Decimal, Right], None] = {}
        for wish, right in aims:
            near = chains.candidates(chain.strikes, wish, spot, days, volatility, right)
            if volatility is not None:  # they lie around the aim, the likeliest in the middle
                cut = max((len(near) - each) // 2, 0)
                near = near[cut : cut + each]
            wanted |= dict.fromkeys((strike, right) for strike in near)
        told = at_the_money | await self._look(underlying, chain, expiry, list(wanted))
        return {which: quote.delta for which, quote in told.items() if quote.delta is not None}

    async def _look(
        self,
        underlying: Instrument,
        chain: Chain,
        expiry: date,
        which: Sequence[tuple[Decimal, Right]],
    ) -> dict[tuple[Decimal, Right], OptionQuote]:
        """The markets of some options of one expiry, those that exist and have one."""
        wanted = [
            OptionTerms(expiry, strike, right, chain.multiplier, chain.trading_class)
            for strike, right in which
        ]
        found = await self._broker.options(underlying, wanted)
        told = await self._quotes([i for i in found if i is not None])
        seen = {key: told.get(i.con_id) for key, i in zip(which, found, strict=True) if i is not None}
        return {key: quote for key, quote in seen.items() if quote is not None}

    def _covered(self, underlying: Instrument, legs: Sequence[Leg]) -> Decimal | None:
        """For how many of a strategy its shares are held already and stand behind nothing else; None where it has none, or nobody knows."""
        needed = sum((Decimal(leg.ratio) for leg in legs if leg.option is None), ZERO)
        moment = self._cards.moment(None)
        if needed <= 0 or moment.positions is None:
            return None
        free = recognise.unencumbered(
            underlying.con_id, underlying.symbol, moment.sure_positions(), moment.working
        )
        return max(free, ZERO) // needed

    # --- from a plan to its card ------------------------------------------------------------------------------------------

    async def _draw(
        self,
        terms: Terms,
        owner: int,
        decision_id: str | None,
        strategy: Strategy | None,
        spot: Quote | None,
    ) -> PlanPreview:
        instrument = terms.instrument
        ours = Leg(instrument.con_id, terms.side.sign, instrument.option)
        legs = instrument.legs or (ours,)
        parts = combine.parts(instrument)
        told, dividend, atr = await asyncio.gather(
            self._quotes(parts), self._dividend(terms.underlying), self._range(terms.underlying)
        )
        quotes: dict[int, OptionQuote | Quote | None] = {**told, terms.underlying.con_id: spot}
        market = risk.PlanMarket(terms.underlying.con_id, spot_of(spot), quotes)
        ticket = self._ticket(terms, None, None, spot, owner, decision_id)
        moment = self._cards.moment(spot, atr=atr, plan=market)
        if len(risk.shrinking(ticket, moment)) == len(legs):
            quotes = combine.with_nothing_bid(legs, quotes)
            market = replace(market, quotes=quotes)
        bid, ask = combine.natural(legs, quotes)
        start, final = _limits(terms, bid, ask)
        ticket = replace(ticket, limit_price=start, final_limit=final)
        if terms.quantity is None:
            ticket = replace(
                ticket,
                quantity=self._affordable(ticket, market, atr, spot, terms.budget or ZERO, terms.most),
            )
        moment = self._cards.moment(spot, atr=atr, plan=market)
        shrinking = {leg.con_id for leg in risk.shrinking(ticket, moment)}
        closing = all(leg.con_id in shrinking for leg in legs)
        ticket = replace(ticket, closes=closing)
        snapshot = self._cards.as_if_approved(moment, ticket)
        judged = risk.judged(ticket, snapshot)
        outcome = payoff.outcome(judged.payoff, ticket.quantity) if judged and not closing else None
        if outcome is not None and terms.limit is not None and not shrinking:
            _ensure_a_bet(outcome, terms.limit, legs, bid, ask)
        denials, forecast = await self._cards.judge(ticket, snapshot)
        again = " ".join(d.message for d in denials if d.code in ASKED_TWICE)
        endless = any(
            d.code == "UNLIMITED_LOSS" for d in denials
        )  # then nothing that is measured by it says more
        denials = tuple(
            d for d in denials if d.code not in ASKED_TWICE and not (endless and d.code in BY_THE_LOSS)
        )
        await self._cards.keep(ticket, forecast, denials)
        opening = judged.legs if judged else ()
        action = Action.CLOSE if closing else Action.ROLL if shrinking else Action.OPEN
        volatility = _volatility(opening or legs, told)
        each = await self._greeks(legs, told, market.spot, dividend)
        return PlanPreview(
            ticket=ticket,
            action=action,
            strategy=strategy or strategies.name_of(opening or combine.opposite(legs)),
            legs=tuple(self._plan_leg(leg, terms.underlying, parts, told) for leg in legs),
            underlying=terms.underlying,
            spot=spot,
            net_bid=bid,
            net_ask=ask,
            outcome=outcome,
            judged=opening,
            judged_price=judged.price if judged else None,
            greeks=each.times(ticket.quantity) if each else None,
            probability=self._probability(
                judged.payoff if judged else None, opening, market.spot, volatility
            ),
            volatility=volatility,
            what_if=forecast,
            denials=denials,
            notes=self._notes(opening, ticket, market, dividend),
            value=_market_value(ticket, legs, bid, ask) if closing else risk.value(ticket, snapshot),
            risk=risk.at_risk(ticket, snapshot, self._cards.limits),
            again=again,
            gain=self._gain(ticket, legs) if closing else None,
        )

    def _ticket(
        self,
        terms: Terms,
        start: Decimal | None,
        final: Decimal | None,
        spot: Quote | None,
        owner: int,
        decision_id: str | None,
    ) -> Ticket:
        now = self._clock.now()
        far = spot.far_side(terms.side) if spot else None
        return Ticket(
            ticket_id=str(ULID.from_datetime(now)),
            owner=owner,
            account=self._broker.link.account or "",
            instrument=terms.instrument,
            side=terms.side,
            quantity=terms.quantity or Decimal(1),
            order_type=OrderType.LIMIT,
            limit_price=start,
            stop_price=None,
            tif=TimeInForce.DAY,
            reference_price=far or ZERO,
            created_at=now,
            expires_at=now + timedelta(seconds=self._cards.life(decision_id)),
            decision_id=decision_id,
            final_limit=final,
            own_limit=terms.limit is not None,
        )

    def _affordable(
        self,
        ticket: Ticket,
        market: risk.PlanMarket,
        atr: Decimal | None,
        spot: Quote | None,
        budget: Decimal,
        most: Decimal | None,
    ) -> Decimal:
        """How many of it lose no more than the budget at worst, and no more than `most`. Raises TooDear where not even one does."""
        one = replace(ticket, quantity=Decimal(1))
        each = risk.value(one, self._cards.moment(spot, atr=atr, plan=market))
        if each is None:
            raise BadInput(
                "What one of it could lose is not known now, so the budget cannot be turned into a number of contracts."
            )
        whole = (budget / each).to_integral_value(ROUND_FLOOR) if each > 0 else Decimal(1)
        if whole < 1:
            raise TooDear(
                f"One of it can lose {each:,.2f}, which is more than {budget:,.2f}. A bought option costs less further from the price, "
                "a spread loses less with its strikes closer together."
            )
        return whole if most is None else min(whole, most)

    @staticmethod
    def _plan_leg(
        leg: Leg, underlying: Instrument, parts: Sequence[Instrument], told: Mapping[int, OptionQuote | None]
    ) -> PlanLeg:
        part = next((p for p in parts if p.con_id == leg.con_id), underlying)
        return PlanLeg(leg, part, told.get(leg.con_id))

    async def _greeks(
        self,
        legs: Sequence[Leg],
        told: Mapping[int, OptionQuote | None],
        spot: Decimal | None,
        dividend: Dividend | None,
    ) -> Greeks | None:
        """The broker's where he told those of every leg; else ours from the volatility that he, or the price, tells; else none."""
        if all(_has_greeks(told.get(leg.con_id)) for leg in legs if leg.option):
            return _brokers_greeks(legs, told)
        if spot is None:
            return None
        dividends = (dividend,) if dividend else ()
        return await asyncio.to_thread(self._our_greeks, legs, told, float(spot), dividends)

    def _our_greeks(
        self,
        legs: Sequence[Leg],
        told: Mapping[int, OptionQuote | None],
        spot: float,
        dividends: Sequence[Dividend],
    ) -> Greeks | None:
        volatilities = {}
        for leg in legs:
            quote = told.get(leg.con_id)
            if leg.option is None:
                continue
            if quote is None:
                return None
            found = quote.volatility
            if found is None and quote.mid is not None:
                found = pricing.implied_volatility(
                    leg.option, float(quote.mid), spot, RATE, self.today, dividends
                )
            if found is None:
                return None
            volatilities[leg.con_id] = found
        return pricing.combination(legs, volatilities, spot, RATE, self.today, dividends)

    def _probability(
        self,
        curve: payoff.Payoff | None,
        legs: Sequence[Leg],
        spot: Decimal | None,
        volatility: float | None,
    ) -> float | None:
        expiry = min((leg.option.expiry for leg in legs if leg.option), default=None)
        if curve is None or spot is None or not volatility or expiry is None:
            return None
        days = (expiry - self.today).days
        return pricing.probability_of_profit(curve, float(spot), volatility, days, RATE)

    def _notes(
        self, legs: Sequence[Leg], ticket: Ticket, market: risk.PlanMarket, dividend: Dividend | None
    ) -> tuple[str, ...]:
        values = {leg.con_id: _time_value(leg, market.quotes.get(leg.con_id), market.spot) for leg in legs}
        return notes.notes(legs, market.spot, dividend, values, self.today, ticket.quantity)

    def _gain(self, ticket: Ticket, legs: Sequence[Leg]) -> Decimal | None:
        """What closing brings at least, at the furthest limit, against the average cost; None where a cost is not known.

        The average cost has the commissions of opening in it, those of closing come off.
        """
        limit = risk.plans.signed_limit(ticket)
        if limit is None:
            return None
        costs = {p.con_id: p.average_cost for p in self._broker.positions or ()}
        brought = -limit * combine.multiplier_of(legs)
        for leg in legs:
            cost = costs.get(leg.con_id)
            if cost is None:
                return None
            brought += leg.ratio * cost
        return brought * ticket.quantity

    # --- looking ------------------------------------------------------------------------------------------------------------

    async def page(
        self, symbol: str, expiry: ExpiryWish = ABOUT_A_MONTH, first: int | None = None
    ) -> ChainPage:
        """Some strikes of a chain with their markets. Raises BadInput, BrokerError."""
        underlying = await self._broker.find(symbol)
        chain, spot = await asyncio.gather(self._broker.chain(underlying), self._quote(underlying))
        day = chains.pick_expiry(chain, expiry, self.today)
        place, strikes = chains.page(chain.strikes, spot_of(spot), first, ROWS)
        wanted = [
            OptionTerms(day, strike, right, chain.multiplier, chain.trading_class)
            for strike in strikes
            for right in (Right.CALL, Right.PUT)
        ]
        found = await self._broker.options(underlying, wanted)
        told = await self._quotes([i for i in found if i is not None])
        by_terms = {
            (i.option.strike, i.option.right): told.get(i.con_id) for i in found if i is not None and i.option
        }
        rows = tuple(
            ChainRow(strike, by_terms.get((strike, Right.CALL)), by_terms.get((strike, Right.PUT)))
            for strike in strikes
        )
        left = (day - self.today).days
        return ChainPage(
            underlying, spot, day, left, chain.expiries, chain.strikes, place, rows, self._clock.now()
        )

    async def offered(self, underlying: Instrument) -> tuple[PlanLeg, ...]:
        """A slice of the chain for the analyst: about a month, a few strikes around the price, calls and puts that have a market.

        Empty where there are no options, or nothing is told of them.
        """
        try:
            chain, spot = await asyncio.gather(self._broker.chain(underlying), self._quote(underlying))
            day = chains.pick_expiry(chain, ExpiryWish(days=OFFERED_DAYS), self.today)
            _, strikes = chains.page(chain.strikes, spot_of(spot), None, OFFERED_STRIKES)
            wanted = [
                OptionTerms(day, strike, right, chain.multiplier, chain.trading_class)
                for right in (Right.CALL, Right.PUT)
                for strike in strikes
            ]
            found = [i for i in await self._broker.options(underlying, wanted) if i is not None]
        except (BadInput, NoAnswer, Refused) as why:
            log.info("no options of %s for the analyst: %s", underlying.symbol, why)
            return ()
        told = await self._quotes(found)
        legs = (PlanLeg(Leg(i.con_id, 1, i.option), i, told.get(i.con_id)) for i in found)
        return tuple(leg for leg in legs if leg.quote is not None and leg.quote.mid is not None)

    def groups(self) -> tuple[Group, ...]:
        """What is held, strategies recognised. Raises NoAnswer while that is not known."""
        held = self._broker.positions
        if held is None:
            raise NoAnswer("The positions are not known now. They load a few seconds after connecting.")
        return recognise.groups([p for p in held if p.signed_quantity])

    def _group(self, key: str) -> Group:
        group = next((g for g in self.groups() if g.key == key), None)
        if group is None:
            raise BadInput("That is not held any more; /positions shows what is.")
        return group

    async def nudges(self, today: date) -> tuple[life.Nudge, ...]:
        """What the owner of options should hear now, what was said already included. Raises BrokerError."""
        with_options = [g for g in self.groups() if any(leg.option for leg in g.legs)]
        spots: dict[str, Decimal] = {}
        dividends: dict[str, Dividend | None] = {}
        values: dict[int, Decimal | None] = {}
        for symbol in sorted({g.symbol for g in with_options}):
            with contextlib.suppress(BadInput, NoAnswer, Refused):
                underlying = await self._broker.find(symbol)
                spot = spot_of(await self._quote(underlying))
                if spot is None:
                    continue
                spots[symbol], dividends[symbol] = spot, await self._dividend(underlying)
                shorts = [
                    leg
                    for g in with_options
                    if g.symbol == symbol
                    for leg in g.legs
                    if leg.option and leg.ratio < 0
                ]
                bags = [combine.bag(underlying, combine.reduced((leg,))[0], "") for leg in shorts]
                told = await self._quotes([combine.parts(bag)[0] for bag in bags])
                values |= {leg.con_id: _time_value(leg, told.get(leg.con_id), spot) for leg in shorts}
        return life.nudges(with_options, spots, values, dividends, today)

    async def _quote(self, underlying: Instrument) -> Quote | None:
        try:
            return await self._broker.quote(
                underlying, self._cards.limits.max_quote_age_seconds, self._cards.life(None) + 30
            )
        except (Refused, NoAnswer) as why:
            log.info("no price of %s: %s", underlying.symbol, why)
            return None

    async def _quotes(self, instruments: Sequence[Instrument]) -> dict[int, OptionQuote | None]:
        if not instruments:
            return {}
        told = await self._broker.option_quotes(
            instruments, self._cards.limits.max_quote_age_seconds, self._cards.life(None) + 30
        )
        return {i.con_id: quote for i, quote in zip(instruments, told, strict=True)}

    async def _dividend(self, underlying: Instrument) -> Dividend | None:
        try:
            return await self._broker.dividend(underlying)
        except (Refused, NoAnswer):
            return None

    async def _range(self, underlying: Instrument) -> Decimal | None:
        return await self._cards.average_range(underlying)


def _limits(terms: Terms, bid: Decimal | None, ask: Decimal | None) -> tuple[Decimal | None, Decimal | None]:
    """(where it starts, how far it may go), as the order bears them: from the middle towards what the market wants at once.

    `bid` and `ask` are signed, of owning what is ordered. A limit of one's own bounds both; without a market it is all there is.
    """
    sign = 1 if terms.instrument.legs else terms.side.sign
    own = None if terms.limit is None else terms.limit * sign
    if bid is None or ask is None:
        return (None if own is None else terms.limit), None
    # The tick of the furthest price, so that every step on the way there is on it.
    tick = terms.instrument.tick_at(max(abs(bid), abs(ask), abs(own or ZERO)))
    middle = _on_tick((bid + ask) / 2, tick, ROUND_FLOOR)
    way = terms.gives_way if terms.instrument.legs else Decimal(1)
    final = _on_tick((bid + ask) / 2 + (ask - bid) / 2 * way, tick, ROUND_CEILING) if own is None else own
    start = final if terms.at_once else min(middle, final)
    if not terms.instrument.legs and sign < 0:
        final = min(final, -tick)  # an option is never sold for nothing
        start = min(start, final)
    if not terms.instrument.legs and sign > 0:
        start = max(start, tick)
        final = max(final, start)
    return start * sign, (final * sign if final != start else None)


def _ensure_on_tick(limit: Decimal, instrument: Instrument) -> None:
    """Raises BadInput where nobody takes such a price."""
    tick = instrument.tick_at(limit)
    if limit % tick:
        below, above = (_on_tick(limit, tick, rounding) for rounding in (ROUND_FLOOR, ROUND_CEILING))
        raise BadInput(
            f"{limit:f} lies between two prices of {instrument.label}, which are {tick:f} apart there: {below:f} or {above:f}."
        )


def _ensure_a_bet(
    outcome: Outcome, limit: Decimal, legs: Sequence[Leg], bid: Decimal | None, ask: Decimal | None
) -> None:
    """Several options at a price at which they only gain, or only lose, are a slip of the pen. Raises BadInput."""
    if len(legs) < 2 or any(leg.option is None for leg in legs):
        return
    if outcome.max_loss is not None and outcome.max_loss <= 0:
        what = "it would gain whatever happens, so nobody sells it for that"
    elif outcome.max_gain is not None and outcome.max_gain <= 0:
        what = "it would lose whatever happens"
    else:
        return
    market = "" if bid is None or ask is None else f" The market is {_net(bid)} to {_net(ask)}."
    raise BadInput(
        f"At {_net(limit)} {what}.{market} What is paid is written debit 3.20 or @ 3.20, what is received credit 0.76 or @ -0.76."
    )


def _net(price: Decimal) -> str:
    return f"{'credit' if price < 0 else 'debit'} {abs(price):.2f}"


def _still_closes(drawn: PlanPreview) -> None:
    """Raises BadInput where it would open something, because what it closes is on its way out, or gone."""
    if not drawn.ticket.closes:
        symbol = drawn.ticket.instrument.symbol
        raise BadInput(
            f"It is on its way out already, or not held any more: /orders {symbol} and /positions {symbol} show how it stands."
        )


def _market_value(
    ticket: Ticket, legs: Sequence[Leg], bid: Decimal | None, ask: Decimal | None
) -> Decimal | None:
    """What is closed is worth at the middle, in the currency of its underlying."""
    if bid is None or ask is None:
        return None
    return abs(bid + ask) / 2 * combine.multiplier_of(legs) * ticket.quantity


def _where_to(old: Sequence[Leg], new: Sequence[Leg]) -> str:
    """The new expiry, and the new strikes where they are not the old ones."""
    options = [leg.option for leg in new if leg.option]
    strikes = sorted({option.strike for option in options})
    day = f"{options[0].expiry.day} {options[0].expiry:%b %y}"
    if strikes == sorted({leg.option.strike for leg in old if leg.option}):
        return day
    return f"{'/'.join(f'{strike.normalize():f}' for strike in strikes)} {day}"


def _on_tick(price: Decimal, tick: Decimal, rounding: str) -> Decimal:
    return (price / tick).to_integral_value(rounding) * tick


def _spread_out(found: Sequence[Decimal], strikes: Sequence[Decimal]) -> list[Decimal]:
    """Strikes that were chosen by delta, each above the one before: where two are the same, the next one up."""
    spread: list[Decimal] = []
    for strike in found:
        if spread and strike <= spread[-1]:
            spread.append(next((s for s in strikes if s > spread[-1]), strike))
            continue
        spread.append(strike)
    return spread


def _volatility(legs: Sequence[Leg], told: Mapping[int, OptionQuote | None]) -> float | None:
    """One implied volatility for all of it: the mean of those of its options; None where one is not told."""
    found = [quote.volatility if (quote := told.get(leg.con_id)) else None for leg in legs if leg.option]
    known = [v for v in found if v is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None


def _has_greeks(quote: OptionQuote | None) -> bool:
    return quote is not None and None not in (quote.delta, quote.gamma, quote.theta, quote.vega)


def _brokers_greeks(legs: Sequence[Leg], told: Mapping[int, OptionQuote | None]) -> Greeks:
    delta = gamma = theta = vega = 0.0
    for leg in legs:
        quote = told.get(leg.con_id)
        if leg.option is None or quote is None:
            delta += leg.ratio
            continue
        units = leg.ratio * float(leg.option.multiplier)
        delta += units * (quote.delta or 0.0)
        gamma += units * (quote.gamma or 0.0)
        theta += units * (quote.theta or 0.0)
        vega += units * (quote.vega or 0.0)
    return Greeks(delta, gamma, theta, vega)


def _time_value(leg: Leg, quote: OptionQuote | Quote | None, spot: Decimal | None) -> Decimal | None:
    """What an option costs beyond what exercising it would bring, per unit; None where that is not known."""
    if leg.option is None or not isinstance(quote, OptionQuote) or quote.mid is None or spot is None:
        return None
    return max(quote.mid - notes.in_the_money(leg.option, spot), ZERO)
