"""Options and combinations: what they are measured by, and the rules that only they have.

Every plan is measured by the most that it can lose: its value, its place in the limits, and what it risks. A leg that makes a holding
smaller closes, unless what it sells covers what stays owed; what the other legs open is judged as if everything that the plan may cost
beyond the market were paid for them. A loss that is that of owning shares (a put that was sold, shares with a call against them) is
risked like a share's, to the assumed stop.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from core.model import Leg, OptionQuote, Order, Position, Quote, Right, Side, Ticket
from core.options import combine, payoff, recognise, strategies

ZERO, HUNDRED = Decimal(0), Decimal(100)
KINDS = frozenset({"OPT", "BAG"})
LEAST_COLLAR = Decimal("0.05")
NO_SHARES = -1
"""The con_id of shares where none are named."""


@dataclass(frozen=True, slots=True)
class PlanMarket:
    """The markets of a plan's legs by con_id (None where nothing is told), and the con_id and price of the shares that it is on."""

    shares_id: int
    spot: Decimal | None
    quotes: Mapping[int, OptionQuote | Quote | None]


@dataclass(frozen=True, slots=True)
class Beside:
    """What there is of the same underlying: `held` are the certain holdings by con_id (the nearer to zero of two counts), `least` what is
    there at least (of what is owed the more), `working` the orders.
    """

    shares_id: int
    held: Mapping[int, Decimal]
    least: tuple[Position, ...]
    working: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a plan opens, per combination: its legs with the shares that cover them, and the signed price per unit at which they are entered.

    `covered` is how many shares that are held already stand behind it, `behind` what these are worth now; `debit` is what is paid.
    """

    legs: tuple[Leg, ...]
    price: Decimal
    payoff: payoff.Payoff
    covered: Decimal
    behind: Decimal
    debit: Decimal


def is_plan(ticket: Ticket) -> bool:
    """Whether it trades options, alone or combined."""
    return ticket.instrument.kind in KINDS


def legs_of(ticket: Ticket) -> tuple[Leg, ...]:
    """What one of it adds to the account, leg by leg."""
    one = Leg(ticket.instrument.con_id, ticket.side.sign, ticket.instrument.option)
    return ticket.instrument.legs or (one,)


def signed_limit(ticket: Ticket) -> Decimal | None:
    """The most that it may cost per unit of the underlying; below zero the least that it has to bring."""
    limit = ticket.worst_limit
    return None if limit is None else limit * (1 if ticket.instrument.legs else ticket.side.sign)


def relatives(
    symbol: str, currency: str, shares_id: int, positions: Iterable[Position], working: Iterable[Order]
) -> tuple[tuple[Position, ...], tuple[Order, ...]]:
    """The shares, and every option on them: of the same symbol and currency, because another market may use the same letters."""

    def same(thing: Position | Order) -> bool:
        return (thing.symbol, thing.currency) == (symbol, currency)

    return (
        tuple(p for p in positions if p.con_id == shares_id or (p.option is not None and same(p))),
        tuple(o for o in working if o.con_id == shares_id or ((o.option is not None or o.legs) and same(o))),
    )


def applied(ticket: Ticket, legs: Sequence[Leg], positions: Sequence[Position]) -> tuple[Position, ...]:
    """The holdings as they are when these legs of it have traded."""
    thing = ticket.instrument
    return traded(ticket.account, thing.symbol, thing.currency, legs, ticket.quantity, positions)


def traded(
    account: str,
    symbol: str,
    currency: str,
    legs: Sequence[Leg],
    times: Decimal,
    positions: Sequence[Position],
) -> tuple[Position, ...]:
    """The holdings as they are when these legs have traded so many times."""
    left = {leg.con_id: leg for leg in combine.merged(legs)}
    found = []
    for position in positions:
        leg = left.pop(position.con_id, None)
        moved = leg.ratio * times if leg else ZERO
        found.append(replace(position, signed_quantity=position.signed_quantity + moved))
    found += [
        Position(account, leg.con_id, symbol, currency, leg.ratio * times, None, option=leg.option)
        for leg in left.values()
    ]
    return tuple(found)


def free_shares(ticket: Ticket, legs: Sequence[Leg], beside: Beside) -> Decimal:
    """Shares that are promised to nobody when these legs have traded; below zero so many are owed that nothing covers."""
    after = applied(ticket, legs, beside.least)
    return recognise.unencumbered(beside.shares_id, ticket.instrument.symbol, after, beside.working)


def cash_tied(ticket: Ticket, legs: Sequence[Leg], beside: Beside) -> Decimal:
    """What puts that are owed tie up when these legs have traded, in the currency of the options."""
    after = applied(ticket, legs, beside.least)
    return recognise.secured(ticket.instrument.symbol, after, beside.working)


def shrinking(ticket: Ticket, beside: Beside) -> tuple[Leg, ...]:
    """The legs that only make smaller what is held, beside what works on the same side already."""
    found, legs = [], legs_of(ticket)
    for leg in legs:
        ratio = sum(other.ratio for other in legs if other.con_id == leg.con_id)
        moved, have = ratio * ticket.quantity, beside.held.get(leg.con_id, ZERO)
        under_way = sum(
            (abs(m) for o in beside.working if not o.protects for con, m in o.moves(o.remaining) if con == leg.con_id and m * moved > 0),
            ZERO,
        )  # fmt: skip
        if have * moved < 0 and abs(moved) + under_way <= abs(have):
            found.append(leg)
    return tuple(found)


def split(ticket: Ticket, beside: Beside) -> tuple[tuple[Leg, ...], tuple[Leg, ...]]:
    """(legs that only make a holding smaller, whatever else is working; legs that open).

    What covers a call or a put that stays owed opens that risk when it is sold, so it does not count as closing.
    """
    legs, closing = legs_of(ticket), shrinking(ticket, beside)
    bares: list[bool | Right | None] = []
    if any(leg.ratio < 0 for leg in closing):
        if free_shares(ticket, closing, beside) < min(free_shares(ticket, (), beside), ZERO):
            bares += [Right.CALL, None]
        if cash_tied(ticket, closing, beside) > cash_tied(ticket, (), beside):
            bares.append(Right.PUT)
    kept = {
        leg.con_id
        for leg in closing
        if not (leg.ratio < 0 and (leg.option.right if leg.option else None) in bares)
    }
    return tuple(leg for leg in legs if leg.con_id in kept), tuple(
        leg for leg in legs if leg.con_id not in kept
    )


def mids(market: PlanMarket, legs: Sequence[Leg]) -> dict[int, Decimal] | None:
    """Half way between bid and ask of each leg; None where one has no market."""
    found = {}
    for leg in legs:
        quote = market.quotes.get(leg.con_id)
        if quote is None or quote.bid is None or quote.ask is None:
            return None
        found[leg.con_id] = (quote.bid + quote.ask) / 2
    return found


def _entered_at(
    ticket: Ticket, market: PlanMarket, closing: Sequence[Leg], multiplier: Decimal
) -> Decimal | None:
    """The signed price per unit at which what the plan opens is entered at worst: its limit, less what the legs that it closes are worth."""
    limit = signed_limit(ticket)
    if limit is None or not closing:
        return limit
    prices = mids(market, closing)
    if prices is None:
        return None
    return limit - sum((prices[leg.con_id] * combine.weight(leg, multiplier) for leg in closing), ZERO)


def judge(ticket: Ticket, market: PlanMarket, beside: Beside) -> Judged | None:
    """What the plan opens; None where that is nothing, cannot be priced, or has no largest loss on one day (of several expiries)."""
    closing, opening = split(ticket, beside)
    if not opening or misfit(ticket, opening, market):
        return None
    multiplier = combine.multiplier_of(legs_of(ticket))
    price = _entered_at(ticket, market, closing, multiplier)
    if price is None:
        return None
    debit = max(price, ZERO) * multiplier
    price *= multiplier / combine.multiplier_of(opening)
    made, legs, covered, behind = payoff.payoff(opening, price), tuple(opening), ZERO, ZERO
    if made.max_loss is None and market.spot is not None:
        needed = -made.last_slope
        if needed * ticket.quantity <= free_shares(ticket, closing, beside):
            covered, behind = needed, needed * market.spot
            legs = combine.merged(opening, (Leg(market.shares_id, int(needed)),))
            price += behind / multiplier
            made = payoff.payoff(legs, price)
    return Judged(legs, price, made, covered, behind, debit)


def misfit(ticket: Ticket, opening: Sequence[Leg], market: PlanMarket | None) -> str:
    """Why the legs are not those of one plan, as a sentence; empty where they are."""
    thing, legs = ticket.instrument, legs_of(ticket)
    options = [leg.option for leg in legs if leg.option]
    if (thing.option is None) == (not thing.legs) or (thing.kind == "BAG") != bool(thing.legs):
        return "It is neither one option nor a combination of legs."
    if thing.legs and ticket.side is not Side.BUY:
        return "A combination is bought, as its legs say; the opposite is one of the opposite legs."
    if len({leg.con_id for leg in legs}) < len(legs) or not all(leg.ratio for leg in legs):
        return "Each leg is another contract, and there is at least one of it."
    if not options or any(o.strike <= 0 or o.multiplier <= 0 for o in options):
        return "It has no option with a strike and a number of shares."
    if {o.multiplier for o in options} != {thing.multiplier}:
        return "Its options are not all on the same number of shares."
    shares = [leg for leg in legs if leg.option is None]
    if any(leg.ratio % thing.multiplier for leg in shares):
        return f"Shares beside options come in whole {thing.multiplier:f}s."
    if market is not None and any(leg.con_id != market.shares_id for leg in shares):
        return f"Its shares are not the {thing.symbol} that its options are on."
    if not strategies.same_deliverable([leg.option for leg in opening if leg.option]):
        return "What it opens expires on several days, or is of several kinds: what it could lose has no end that can be told."
    return ""


def new_loss(judged: Judged) -> Decimal | None:
    """The most that one combination can lose that the account could not lose before; None where there is no end to it.

    Beside shares that are held already it is what is paid, or what is lost beyond the shares: that they may fall is their owner's
    risk with or without it.
    """
    lost = judged.payoff.max_loss
    return lost if lost is None or not judged.covered else max(judged.debit, lost - judged.behind)


def risked(judged: Judged, spot: Decimal | None, distance: Decimal | None) -> Decimal | None:
    """What one combination is taken to risk: all that it can lose; but of as many shares as it falls with at last, only their way to the
    stop, which is `distance` away: at least that way, as of shares that are bought, since it may come to own them.
    """
    like_shares = judged.payoff.slope_at_zero
    if judged.covered or like_shares <= 0:
        return new_loss(judged)
    if spot is None or distance is None or judged.payoff.max_loss is None:
        return None
    stop = max(spot - distance, ZERO)
    worst = min(
        judged.payoff.at(at) + like_shares * max(stop - at, ZERO) for at in (stop, *judged.payoff.kinks)
    )
    return min(max(-worst, like_shares * (spot - stop)), judged.payoff.max_loss)


def largest_loss(positions: Sequence[Position]) -> Decimal | None:
    """The most that holdings in one underlying can lose together from what they trade at now, taken as if all options expired on one day;
    None where a price is not known or there is no end to it. In their currency.
    """
    legs = [(p.signed_quantity, p.option, p.market_price) for p in positions if p.signed_quantity]
    kinks = {ZERO, *(option.strike for _, option, _ in legs if option)}
    worth, slope = dict.fromkeys(kinks, ZERO), ZERO
    for count, option, price in legs:
        if price is None:
            return None
        units = count * (option.multiplier if option else 1)
        slope += ZERO if option and option.right is Right.PUT else units
        for at in kinks:
            deep = (
                at
                if option is None
                else at - option.strike
                if option.right is Right.CALL
                else option.strike - at
            )
            worth[at] += units * ((deep if option is None else max(deep, ZERO)) - price)
    return None if slope < 0 else max(-min(worth.values()), ZERO)
