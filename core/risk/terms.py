"""What the rules look at: the owner's limits, one moment of the desk, and what an order is measured by."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal

from core.model import (
    Account,
    Approval,
    Denial,
    Drift,
    Leg,
    Link,
    Order,
    OrderState,
    OrderType,
    Position,
    Quote,
    Sent,
    Side,
    Ticket,
    Trading,
    WhatIf,
)
from core.options import recognise
from core.risk import plans
from core.risk.plans import PlanMarket

ACTIVE = Trading()


@dataclass(frozen=True, slots=True)
class Limits:
    """What the owner allows; the unit stands in the name, `base` being the base currency of the account.

    `max_portfolio_risk` is the part of net liquidation that one trade may lose at its stop (0.02 is 2 %); an entry without a stop is
    measured as if it had one `assumed_stop_atr` times the ATR of 14 sessions away. `max_drift_percent` is how far the price may move between
    card and order. docs/risk.md says where each default comes from.
    """

    max_position_size: Decimal
    max_portfolio_risk: Decimal = Decimal("0.02")
    assumed_stop_atr: Decimal = Decimal(3)
    max_approval_age_seconds: int = 120
    max_quote_age_seconds: int = 15
    max_drift_percent: Decimal = Decimal("0.5")
    max_spread_percent: Decimal = Decimal(3)
    max_spread_percent_options: Decimal = Decimal(25)
    max_jump_percent: Decimal = Decimal(15)
    max_price_factor: Decimal = Decimal(2)
    max_order_shares: Decimal = Decimal(10_000)
    max_order_contracts: Decimal = Decimal(50)
    max_order_value_base: Decimal = Decimal(25_000)
    max_hour_value_base: Decimal = Decimal(50_000)
    max_day_value_base: Decimal = Decimal(100_000)
    max_collar_percent: Decimal = Decimal(2)
    max_collar_percent_below_5: Decimal = Decimal(5)
    max_collar_percent_options: Decimal = Decimal(10)
    max_gross_exposure_percent: Decimal = Decimal(100)
    reduce_at_day_loss_percent: Decimal = Decimal(3)
    halt_at_day_loss_percent: Decimal = Decimal(5)
    same_order_seconds: int = 60
    max_orders_per_minute: int = 5
    max_orders_per_day: int = 30
    max_filled_orders_per_symbol_hour: int = 3
    halt_at_rejects: int = 3
    min_excess_liquidity_percent: Decimal = Decimal(20)
    entries_in_reset_window: bool = False
    allowed_symbols: frozenset[str] = frozenset()
    denied_symbols: frozenset[str] = frozenset()
    live_account: str = ""
    """The LIVE account that its owner has armed by name; empty: none."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a rule may look at, taken at one moment. None is unknown, and unknown denies.

    `approved` is who said yes to these terms; `sent` are our orders of the last day; `confirmed` says that the owner was asked twice.
    """

    now: datetime
    link: Link
    account: Account | None
    quote: Quote | None
    positions: tuple[Position, ...] | None
    working: tuple[Order, ...]
    atr: Decimal | None = None
    trading: Trading = ACTIVE
    approved: Approval | None = None
    sent: tuple[Sent, ...] | None = None
    what_if: WhatIf | None = None
    confirmed: bool = False
    drifts: tuple[Drift, ...] = ()
    told: tuple[Position, ...] | None = None
    plan: PlanMarket | None = None
    """The markets of an options plan's legs; `quote` is then that of what they are on."""

    def sure_positions(self) -> tuple[Position, ...]:
        """The holdings as far as they are certain."""
        return tuple(
            replace(p, signed_quantity=self.held(p.con_id) or Decimal(0)) for p in self.positions or ()
        )

    def least(self, lines: Iterable[Position]) -> tuple[Position, ...]:
        """What is there at least of each of these: the smaller of both counts, of what is owed the more."""

        def fewer(con_id: int) -> Decimal:
            counted, told = self._sum(self.positions, con_id), self._sum(self.told, con_id)
            return min(count for count in (counted, told) if count is not None)

        return tuple(
            replace(p, signed_quantity=fewer(p.con_id)) for p in {p.con_id: p for p in lines}.values()
        )

    def held(self, con_id: int) -> Decimal | None:
        """The signed holding that is certain: of our count and the broker's word (`told`) the one nearer to zero; None while unknown.

        Our count knows a fill before the positions do, the positions know of trades that nobody told us: a sale is measured by the less.
        """
        counted, told = self._sum(self.positions, con_id), self._sum(self.told, con_id)
        if counted is None or self.told is None or told is None:
            return counted
        if counted * told < 0:
            return Decimal(0)
        return min(counted, told, key=abs)

    def held_at_most(self, con_id: int) -> Decimal | None:
        """The same, but the larger of both, whichever way."""
        counted, told = self._sum(self.positions, con_id), self._sum(self.told, con_id)
        return counted if counted is None or told is None else max(counted, told, key=abs)

    def long_at_most(self, con_id: int) -> Decimal | None:
        """The signed holding from which a purchase may end up largest: of our count and the broker's word the greater."""
        counted, told = self._sum(self.positions, con_id), self._sum(self.told, con_id)
        return counted if counted is None or told is None else max(counted, told)

    @staticmethod
    def _sum(positions: tuple[Position, ...] | None, con_id: int) -> Decimal | None:
        if positions is None:
            return None
        return sum((p.signed_quantity for p in positions if p.con_id == con_id), Decimal(0))

    def price_of(self, con_id: int) -> Decimal | None:
        """What a unit of a holding trades at, as the broker last told; None where it has not."""
        return next((p.market_price for p in self.positions or () if p.con_id == con_id), None)

    def working_quantity(self, con_id: int, side: Side) -> Decimal:
        """What orders that may still trade would add on one side, without those that protect a holding."""
        of = (o for o in self.working if con_id in (o.con_id, *(leg.con_id for leg in o.legs)))
        moves = (move for o in of if not o.protects for move in o.moves(o.remaining))
        return sum((abs(m) for con, m in moves if con == con_id and m * side.sign > 0), Decimal(0))

    def on_sale(self, con_id: int) -> Decimal:
        """The shares that working sales may take. Stops and targets that protect them do not count: a sale moves them away first."""
        return self.working_quantity(con_id, Side.SELL)


def reduces(ticket: Ticket, snapshot: Snapshot) -> bool:
    """Whether the order can only make the holding smaller, whatever else is working; a combination in every leg."""
    if plans.is_plan(ticket):
        if snapshot.positions is None:
            return False
        return not plans.split(ticket, beside(ticket, snapshot))[1]
    held = snapshot.held(ticket.instrument.con_id)
    if held is None:
        return False
    against = held if ticket.side is Side.SELL else -held
    return (
        against > 0
        and ticket.quantity + snapshot.working_quantity(ticket.instrument.con_id, ticket.side) <= against
    )


def worst_price(ticket: Ticket, quote: Quote | None) -> Decimal | None:
    """The price at which the order is valued: its limit or stop; for a market order the far side of the quote that its card showed.

    The card's own price, so that what was approved is what is measured; `drift` sees to it that the market is still there.
    """
    if ticket.order_type is OrderType.LIMIT:
        return ticket.limit_price
    far = quote.far_side(ticket.side) if quote else None
    if ticket.order_type is OrderType.STOP and ticket.stop_price is not None:
        return (
            max(ticket.stop_price, far or ticket.stop_price) if ticket.side is Side.BUY else ticket.stop_price
        )
    return far if far is None or ticket.reference_price <= 0 else ticket.reference_price


def drifted(ticket: Ticket, quote: Quote | None, limits: Limits) -> Decimal | None:
    """How far the price is from the card's, as a fraction of it, where that is more than is allowed; else None."""
    now = quote.far_side(ticket.side) if quote else None
    if now is None or ticket.reference_price <= 0:
        return None
    moved = abs(now - ticket.reference_price) / ticket.reference_price
    return moved if moved * 100 > limits.max_drift_percent else None


def stop_distance(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Decimal | None:
    """How far the price may go against an entry, per share: to its stop, or to the assumed one. None where that is unknown."""
    price = worst_price(ticket, snapshot.quote)
    if ticket.stop_loss is not None:
        return None if price is None else abs(price - ticket.stop_loss)
    return None if snapshot.atr is None else snapshot.atr * limits.assumed_stop_atr


def at_risk(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Decimal | None:
    """What the order loses if its stop is hit, in base currency; None where that cannot be measured. Of a plan see `plans.risked`."""
    if plans.is_plan(ticket):
        found = judged(ticket, snapshot)
        away = None if snapshot.atr is None else snapshot.atr * limits.assumed_stop_atr
        spot = snapshot.plan.spot if snapshot.plan else None
        return _in_base(ticket, snapshot, None if found is None else plans.risked(found, spot, away))
    distance = stop_distance(ticket, snapshot, limits)
    rate = snapshot.account.rate(ticket.instrument.currency) if snapshot.account else None
    if distance is None or rate is None:
        return None
    return distance * ticket.quantity * ticket.instrument.multiplier * rate


def offered_stop(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Decimal | None:
    """A stop for an entry that has none: the assumed distance below the entry, on the tick. None where there is nothing to offer."""
    price, tick = worst_price(ticket, snapshot.quote), ticket.instrument.min_tick
    if (
        ticket.stop_loss is not None
        or price is None
        or snapshot.atr is None
        or reduces(ticket, snapshot)
        or tick <= 0
    ):
        return None
    stop = price - ticket.side.sign * snapshot.atr * limits.assumed_stop_atr
    on_tick = (stop / tick).to_integral_value(ROUND_FLOOR) * tick
    return on_tick if on_tick > 0 else None


def value(ticket: Ticket, snapshot: Snapshot) -> Decimal | None:
    """What the order is worth in base currency at its worst price and the account's own rate; None where that cannot be told.

    A plan is worth the most that it can lose.
    """
    if plans.is_plan(ticket):
        found = judged(ticket, snapshot)
        return _in_base(ticket, snapshot, None if found is None else plans.new_loss(found))
    price = worst_price(ticket, snapshot.quote)
    rate = snapshot.account.rate(ticket.instrument.currency) if snapshot.account else None
    if price is None or rate is None:
        return None
    return price * ticket.quantity * ticket.instrument.multiplier * rate


def beside(ticket: Ticket, snapshot: Snapshot) -> plans.Beside:
    """What there is of the same underlying as a plan's, or as shares that are sold."""
    thing, legs = ticket.instrument, plans.legs_of(ticket)
    shares = next((leg.con_id for leg in legs if leg.option is None), plans.NO_SHARES)
    if snapshot.plan is not None:
        shares = snapshot.plan.shares_id
    lines = (*(snapshot.told or ()), *(snapshot.positions or ()))
    mine, working = plans.relatives(thing.symbol, thing.currency, shares, lines, snapshot.working)
    held = {leg.con_id: snapshot.held(leg.con_id) or Decimal(0) for leg in legs}
    return plans.Beside(shares, held, snapshot.least(mine), working)


def outlived(order: Order, snapshot: Snapshot) -> bool:
    """Whether a working order for options would do now what it was not measured for: open something where it was to close, or leave a call
    bare that was covered. True while what is held is not known.

    It is measured beside the orders that are older: of several for which there is not enough any more, the youngest have outlived it.
    """
    if snapshot.positions is None:
        return True
    doubtful = {o.number for o in snapshot.working if o.state is OrderState.UNKNOWN}
    older = tuple(o for o in snapshot.working if o.number < order.number and o.parent not in doubtful)
    legs = order.legs or (Leg(order.con_id, 1, order.option),)
    closing = _to_close(order, legs)
    if any(not _closes(leg, order, older, snapshot) for leg in closing):
        return True
    lines, of = (*(snapshot.told or ()), *snapshot.positions), (order.symbol, order.currency)
    stocks = [leg.con_id for leg in legs if leg.option is None] + [
        p.con_id for p in lines if p.kind == "STK" and p.option is None and (p.symbol, p.currency) == of
    ]
    shares = next(iter(stocks), plans.NO_SHARES)
    mine, working = plans.relatives(*of, shares, lines, older)

    def free(trading: Sequence[Leg]) -> Decimal:
        times = order.side.sign * order.remaining
        after = plans.traded(order.account, *of, trading, times, snapshot.least(mine))
        return recognise.unencumbered(shares, order.symbol, after, working)

    return free(legs) < min(free(closing), Decimal(0))


def _to_close(order: Order, legs: Sequence[Leg]) -> tuple[Leg, ...]:
    """The legs that were to make smaller what is held: of a roll (nothing else has two expiries) those that end first, else all or none."""
    days = {leg.option.expiry for leg in legs if leg.option}
    if len(days) > 1:
        return tuple(leg for leg in legs if leg.option and leg.option.expiry == min(days))
    return tuple(legs) if order.worth is None else ()


def _closes(leg: Leg, order: Order, older: Sequence[Order], snapshot: Snapshot) -> bool:
    """Whether this leg of it still only makes smaller what is held, beside what older orders take of that."""
    moved = order.side.sign * leg.ratio * order.remaining
    taken = sum(
        (m for o in older if not o.protects for con_id, m in o.moves(o.remaining) if con_id == leg.con_id and m * moved > 0),
        Decimal(0),
    )  # fmt: skip
    held = snapshot.held(leg.con_id) or Decimal(0)
    return held * moved < 0 and abs(moved + taken) <= abs(held)


def shrinking(ticket: Ticket, snapshot: Snapshot) -> tuple[Leg, ...]:
    """The legs of a plan that only make smaller what is held; none while that is not known."""
    return () if snapshot.positions is None else plans.shrinking(ticket, beside(ticket, snapshot))


def judged(ticket: Ticket, snapshot: Snapshot) -> plans.Judged | None:
    """What an options plan opens; None where that is nothing, or cannot be priced."""
    if snapshot.plan is None or snapshot.positions is None:
        return None
    return plans.judge(ticket, snapshot.plan, beside(ticket, snapshot))


def _in_base(ticket: Ticket, snapshot: Snapshot, each: Decimal | None) -> Decimal | None:
    """So much for each of the order's, in base currency."""
    rate = snapshot.account.rate(ticket.instrument.currency) if snapshot.account else None
    return None if each is None or rate is None else each * ticket.quantity * rate


Rule = Callable[[Ticket, Snapshot, Limits], Denial | None]
