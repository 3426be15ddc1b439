"""Options and combinations: what they are measured by, and the rules that only they have.

Every plan is measured by the most that it can lose: its value, its place in the limits, and what it risks. A leg that makes a holding
smaller closes; what the other legs open is judged as if everything that the plan may cost beyond the market were paid for them. A loss
that is that of owning shares (a put that was sold, shares with a call against them) is risked like a share's, to the assumed stop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from core.model import Leg, OptionQuote, Order, Position, Quote, Right, Ticket
from core.options import combine, payoff, recognise

ZERO, HUNDRED = Decimal(0), Decimal(100)
KINDS = frozenset({"OPT", "BAG"})
LEAST_COLLAR = Decimal("0.05")


@dataclass(frozen=True, slots=True)
class PlanMarket:
    """The markets of a plan's legs by con_id (None where nothing is told), and the con_id and price of the shares that it is on."""

    shares_id: int
    spot: Decimal | None
    quotes: Mapping[int, OptionQuote | Quote | None]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a plan opens, per combination: its legs with the shares that cover them, and the signed price per unit at which they are entered.

    `covered` is how many shares that are held already stand behind it; `cash` what it may have to pay for shares that it does not own.
    """

    legs: tuple[Leg, ...]
    price: Decimal
    payoff: payoff.Payoff
    covered: Decimal
    cash: Decimal
    debit: Decimal
    after: tuple[Position, ...]
    """The holdings without what the plan closes."""


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


def split(
    ticket: Ticket, held: Mapping[int, Decimal], working: Sequence[Order]
) -> tuple[tuple[Leg, ...], tuple[Leg, ...]]:
    """(legs that only make a holding smaller, whatever else is working; legs that open). `held` are signed holdings by con_id."""
    closing: list[Leg] = []
    opening: list[Leg] = []
    for leg in legs_of(ticket):
        moved, have = leg.ratio * ticket.quantity, held.get(leg.con_id, ZERO)
        under_way = sum(
            (abs(m) for o in working if not o.protects for con, m in o.moves(o.remaining) if con == leg.con_id and m * moved > 0),
            ZERO,
        )  # fmt: skip
        smaller = have * moved < 0 and abs(moved) + under_way <= abs(have)
        (closing if smaller else opening).append(leg)
    return tuple(closing), tuple(opening)


def mids(market: PlanMarket, legs: Sequence[Leg]) -> dict[int, Decimal] | None:
    """Half way between bid and ask of each leg; None where one has no market."""
    found = {}
    for leg in legs:
        quote = market.quotes.get(leg.con_id)
        if quote is None or quote.bid is None or quote.ask is None:
            return None
        found[leg.con_id] = (quote.bid + quote.ask) / 2
    return found


def entered_at(ticket: Ticket, market: PlanMarket, closing: Sequence[Leg]) -> Decimal | None:
    """The signed price per unit at which what the plan opens is entered at worst: its limit, less what the legs that it closes are worth."""
    limit = signed_limit(ticket)
    if limit is None or not closing:
        return limit
    prices = mids(market, closing)
    return None if prices is None else limit - combine.net(closing, prices)


def judge(
    ticket: Ticket,
    market: PlanMarket,
    held: Mapping[int, Decimal],
    positions: Sequence[Position],
    working: Sequence[Order],
) -> Judged | None:
    """What the plan opens; None where that is nothing, or cannot be priced."""
    closing, opening = split(ticket, held, working)
    price = entered_at(ticket, market, closing)
    if not opening or price is None:
        return None
    try:
        made = payoff.payoff(opening, price)
    except (
        ValueError
    ):  # options of several expiries, or on different numbers of shares, have no exact worst case
        return None
    after = without(positions, closing, ticket.quantity)
    multiplier = next((leg.option.multiplier for leg in opening if leg.option), ticket.instrument.multiplier)
    debit, covered, cash, legs = max(price, ZERO) * multiplier, ZERO, ZERO, tuple(opening)
    if made.max_loss is None and market.spot is not None:
        needed = -sum(
            (multiplier * leg.ratio for leg in opening if leg.option and leg.option.right is Right.CALL), ZERO
        )
        needed -= sum((Decimal(leg.ratio) for leg in opening if leg.option is None), ZERO)
        free = recognise.unencumbered(market.shares_id, ticket.instrument.symbol, after, working)
        if ZERO < needed * ticket.quantity <= free:
            covered = needed
            legs = combine.merged(opening, (Leg(market.shares_id, int(needed)),))
            price += market.spot * needed / multiplier
            made = payoff.payoff(legs, price)
    puts = sum((leg.ratio for leg in opening if leg.option and leg.option.right is Right.PUT), 0)
    if puts < 0 and not any(leg.option is None for leg in opening):
        cash = (
            -puts
            * multiplier
            * max(
                leg.option.strike
                for leg in opening
                if leg.option and leg.option.right is Right.PUT and leg.ratio < 0
            )
        )
    return Judged(legs, price, made, covered, cash, debit, after)


def without(positions: Sequence[Position], closing: Sequence[Leg], quantity: Decimal) -> tuple[Position, ...]:
    """The holdings when what a plan closes is gone: what covered, or was covered by, the old legs of a roll is free for the new ones."""
    gone = {leg.con_id: leg.ratio * quantity for leg in closing}
    return tuple(replace(p, signed_quantity=p.signed_quantity + gone.get(p.con_id, ZERO)) for p in positions)


def new_loss(judged: Judged) -> Decimal | None:
    """The most that one combination can lose that the account could not lose before; None where there is no end to it.

    Beside shares that are held already it is what is paid: that the shares may fall is their owner's risk with or without it.
    """
    return judged.debit if judged.covered else judged.payoff.max_loss


def risked(judged: Judged, spot: Decimal | None, distance: Decimal | None) -> Decimal | None:
    """What one combination is taken to risk: all that it can lose, or, where that is the fall of shares, what it loses `distance` below."""
    if judged.covered or judged.payoff.slope_at_zero <= 0:
        return new_loss(judged)
    if spot is None or distance is None or judged.payoff.max_loss is None:
        return None
    low = max(spot - distance, ZERO)
    worst = payoff.worst_between(judged.payoff, low, max(spot, *judged.payoff.kinks))
    return max(-worst, ZERO)


def holdings(positions: Sequence[Position] | None) -> dict[int, Decimal]:
    """Signed quantities by con_id."""
    found: dict[int, Decimal] = {}
    for position in positions or ():
        found[position.con_id] = found.get(position.con_id, ZERO) + position.signed_quantity
    return found
