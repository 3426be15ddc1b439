"""The nouns of the options desk: what a person asked for, what it became, and what a card of it shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from core.model import Denial, Instrument, Leg, OptionQuote, Position, Quote, Right, Side, Ticket, WhatIf


class Strategy(StrEnum):
    """The strategies by the names that everybody uses."""

    LONG_CALL = "LONG_CALL"
    LONG_PUT = "LONG_PUT"
    COVERED_CALL = "COVERED_CALL"
    PROTECTIVE_PUT = "PROTECTIVE_PUT"
    BULL_CALL_SPREAD = "BULL_CALL_SPREAD"
    BEAR_PUT_SPREAD = "BEAR_PUT_SPREAD"
    BULL_PUT_SPREAD = "BULL_PUT_SPREAD"
    BEAR_CALL_SPREAD = "BEAR_CALL_SPREAD"
    CASH_SECURED_PUT = "CASH_SECURED_PUT"
    COLLAR = "COLLAR"
    IRON_CONDOR = "IRON_CONDOR"
    LONG_STRADDLE = "LONG_STRADDLE"
    LONG_STRANGLE = "LONG_STRANGLE"


@dataclass(frozen=True, slots=True)
class StrikeWish:
    """A strike as it was typed: exactly one of a price, a delta (0.30, without its sign) and percent from the spot (5 above, -5 below)."""

    price: Decimal | None = None
    delta: Decimal | None = None
    percent: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ExpiryWish:
    """An expiry as it was typed: a day, the one nearest to so many days from now, or the next monthly one. All empty: about 30 days."""

    day: date | None = None
    days: int | None = None
    monthly: bool = False


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What a person (or the analyst) wants. Exactly one of `strategy` and `single` (a side and a right) is set.

    `strikes` ascend as they were typed; empty means that the desk chooses by delta. `quantity` counts combinations (contracts);
    `budget` instead of it is money that the plan may lose at most, in the account's base currency. `limit` is the most per unit
    (signed: a credit is negative); without one it is chosen by rule. `by_hand` looks only.
    """

    symbol: str
    strategy: Strategy | None = None
    single: tuple[Side, Right] | None = None
    strikes: tuple[StrikeWish, ...] = ()
    expiry: ExpiryWish = ExpiryWish()
    quantity: Decimal | None = None
    budget: Decimal | None = None
    limit: Decimal | None = None


class Action(StrEnum):
    """What a plan does to the account."""

    OPEN = "OPEN"
    CLOSE = "CLOSE"
    ROLL = "ROLL"


@dataclass(frozen=True, slots=True)
class Greeks:
    """Of combinations as a whole, in money: `delta` is per dollar that the underlying moves, `gamma` the change of that, `theta` a day,
    `vega` a percentage point of volatility. `ours`: worked out here, because the broker told none.
    """

    delta: float
    gamma: float
    theta: float
    vega: float
    ours: bool = False

    def times(self, count: Decimal) -> "Greeks":
        """Those of so many."""
        n = float(count)
        return Greeks(self.delta * n, self.gamma * n, self.theta * n, self.vega * n, self.ours)


@dataclass(frozen=True, slots=True)
class PlanLeg:
    """A leg of a plan with its contract and its market."""

    leg: Leg
    instrument: Instrument
    quote: OptionQuote | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a plan brings at expiry, in money of the underlying's currency, for all its combinations together.

    None is unlimited (of `max_gain` and `max_loss`). A loss is positive. `break_evens` are prices of the underlying, ascending.
    """

    max_gain: Decimal | None
    max_loss: Decimal | None
    break_evens: tuple[Decimal, ...]


@dataclass(frozen=True, slots=True)
class PlanPreview:
    """What the card of a plan shows: the exact terms, its legs and their markets, what it can bring and cost, and every denial.

    `ticket.limit_price` is where it starts, `ticket.final_limit` how far it may be repriced. `net_bid` and `net_ask` are the market of the
    whole, per unit and signed. `outcome` is reckoned at the final limit; None for a plan that only closes. `outcome` and the picture
    hold for `judged`, the legs that are there when it is filled (shares that cover it included), entered at `judged_price` per unit.
    `probability` is that of a profit at expiry with the implied `volatility`. `risk` and `value` are in base currency; of a plan that only
    closes, `value` is what it is worth at the middle, in the currency of the underlying.
    """

    ticket: Ticket
    action: Action
    strategy: Strategy | None
    legs: tuple[PlanLeg, ...]
    underlying: Instrument
    spot: Quote | None
    net_bid: Decimal | None
    net_ask: Decimal | None
    outcome: Outcome | None
    judged: tuple[Leg, ...]
    judged_price: Decimal | None
    greeks: Greeks | None
    probability: float | None
    volatility: float | None
    what_if: WhatIf | None
    denials: tuple[Denial, ...]
    notes: tuple[str, ...] = ()
    value: Decimal | None = None
    risk: Decimal | None = None
    again: str = ""
    gain: Decimal | None = None
    """Of a plan that closes: what it would bring against the average cost, commissions left out; None where a cost is not known."""

    @property
    def fits(self) -> int | None:
        """The largest quantity that would be let through, where a smaller one is all that is asked for; else None."""
        if not self.denials or any(denial.fits is None for denial in self.denials):
            return None
        return min(denial.fits for denial in self.denials if denial.fits is not None)

    @property
    def mid(self) -> Decimal | None:
        """Half way between bid and ask of the whole; None where either is missing."""
        return None if self.net_bid is None or self.net_ask is None else (self.net_bid + self.net_ask) / 2


@dataclass(frozen=True, slots=True)
class Group:
    """Positions that belong together. `count` times `legs` (ratios as held) is what is held of them; without a `strategy`, one alone.

    `key` names it in a button; it follows from the contracts, not from how many there are. `positions` are whole, and may hold more than
    this group takes of them.
    """

    key: str
    strategy: Strategy | None
    symbol: str
    currency: str
    legs: tuple[Leg, ...]
    count: Decimal
    positions: tuple[Position, ...]

    @property
    def expiry(self) -> date | None:
        """The first expiry among its options; None for shares alone."""
        return min((leg.option.expiry for leg in self.legs if leg.option), default=None)


@dataclass(frozen=True, slots=True)
class ChainRow:
    """One strike of a chain with its call and its put; None where there is no such contract or nothing was told of it."""

    strike: Decimal
    call: OptionQuote | None
    put: OptionQuote | None


@dataclass(frozen=True, slots=True)
class ChainPage:
    """Some strikes of one expiry, ascending, around the spot or further out; `expiries` are all there are.

    `first` is the place of the first row among all `strikes`.
    """

    underlying: Instrument
    spot: Quote | None
    expiry: date
    days_left: int
    expiries: tuple[date, ...]
    strikes: tuple[Decimal, ...]
    first: int
    rows: tuple[ChainRow, ...]
    at: datetime


Prices = Mapping[int, Decimal]
"""What one unit of a contract costs, by its con_id."""
