"""The strategies as one table: each is a row of legs. Terms, names, labels and suggestions follow from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType

from core.errors import BadInput
from core.model import Chain, Leg, OptionTerms, Right
from core.options.combine import reduced
from core.options.plan import Strategy

C, P = Right.CALL, Right.PUT


class View(StrEnum):
    """What somebody expects, or wants."""

    BULLISH = "BULLISH"
    BEARISH = "BEARISH"
    NEUTRAL = "NEUTRAL"
    VOLATILE = "VOLATILE"
    INCOME = "INCOME"
    PROTECT = "PROTECT"


@dataclass(frozen=True, slots=True)
class Part:
    """One leg of an outline. `ratio` is in contracts; shares (no `right`) count as many as one contract is on. `strike` is a place among
    the strikes, lowest first.
    """

    ratio: int
    right: Right | None
    strike: int = 0


@dataclass(frozen=True, slots=True)
class Outline:
    """A row of the table. `deltas` choose the strikes where none are given (unsigned, one for each strike, in the order of the strikes).

    `whole` says that it can lose (nearly) the whole price of the shares.
    """

    parts: tuple[Part, ...]
    view: View
    also: tuple[View, ...]
    deltas: tuple[Decimal, ...]
    sentence: str
    whole: bool = False

    @property
    def strikes(self) -> int:
        """How many strikes it takes."""
        return len(self.deltas)

    @property
    def spreads(self) -> tuple[tuple[int, int], ...]:
        """(place of the inner strike, place of the outer one) of each call or put that is bought against one that is sold."""
        pairs = [
            (one.strike, other.strike)
            for one in self.parts
            for other in self.parts
            if one.right and one.right is other.right and one.ratio * other.ratio < 0
        ]
        return tuple(pair for pair in pairs if self.deltas[pair[0]] > self.deltas[pair[1]])

    def right_of(self, place: int) -> Right:
        """Whose delta chooses the strike of this place (of a straddle, the call's)."""
        return next(part.right for part in self.parts if part.right and part.strike == place)


def _deltas(*words: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(word) for word in words)


SHARES = Part(1, None)
V = View

STRATEGIES: Mapping[Strategy, Outline] = MappingProxyType(
    {
        Strategy.LONG_CALL: Outline(
            (Part(1, C),),
            V.BULLISH,
            (),
            _deltas("0.50"),
            "Buys the right to buy at the strike: gains when the price rises well, loses the premium otherwise.",
        ),
        Strategy.LONG_PUT: Outline(
            (Part(1, P),),
            V.BEARISH,
            (),
            _deltas("0.50"),
            "Buys the right to sell at the strike: gains when the price falls well, loses the premium otherwise.",
        ),
        Strategy.COVERED_CALL: Outline(
            (SHARES, Part(-1, C)),
            V.INCOME,
            (V.NEUTRAL,),
            _deltas("0.30"),
            "Shares, and a call sold on them: the premium is yours, and above the strike the shares are sold.",
            whole=True,
        ),
        Strategy.PROTECTIVE_PUT: Outline(
            (SHARES, Part(1, P)),
            V.PROTECT,
            (),
            _deltas("0.30"),
            "Shares, and a put bought on them: below the strike they lose no more.",
        ),
        Strategy.BULL_CALL_SPREAD: Outline(
            (Part(1, C, 0), Part(-1, C, 1)),
            V.BULLISH,
            (),
            _deltas("0.50", "0.30"),
            "Buys a call and sells a higher one: cheaper than the call alone, and the gain ends at the higher strike.",
        ),
        Strategy.BEAR_PUT_SPREAD: Outline(
            (Part(-1, P, 0), Part(1, P, 1)),
            V.BEARISH,
            (),
            _deltas("0.30", "0.50"),
            "Buys a put and sells a lower one: cheaper than the put alone, and the gain ends at the lower strike.",
        ),
        Strategy.BULL_PUT_SPREAD: Outline(
            (Part(1, P, 0), Part(-1, P, 1)),
            V.BULLISH,
            (V.INCOME,),
            _deltas("0.15", "0.30"),
            "Sells a put and buys a lower one: you are paid now, and keep it if the price stays above the higher strike.",
        ),
        Strategy.BEAR_CALL_SPREAD: Outline(
            (Part(-1, C, 0), Part(1, C, 1)),
            V.BEARISH,
            (V.INCOME,),
            _deltas("0.30", "0.15"),
            "Sells a call and buys a higher one: you are paid now, and keep it if the price stays below the lower strike.",
        ),
        Strategy.CASH_SECURED_PUT: Outline(
            (Part(-1, P),),
            V.INCOME,
            (V.BULLISH,),
            _deltas("0.30"),
            "Sells a put with the cash to buy the shares set aside: you are paid now, and below the strike you buy them.",
            whole=True,
        ),
        Strategy.COLLAR: Outline(
            (SHARES, Part(1, P, 0), Part(-1, C, 1)),
            V.PROTECT,
            (),
            _deltas("0.25", "0.25"),
            "Shares, a put bought and a call sold on them: both the loss and the gain end at a strike.",
        ),
        Strategy.IRON_CONDOR: Outline(
            (Part(1, P, 0), Part(-1, P, 1), Part(-1, C, 2), Part(1, C, 3)),
            V.NEUTRAL,
            (V.INCOME,),
            _deltas("0.10", "0.20", "0.20", "0.10"),
            "Sells a put and a call and buys one further out on each side: you are paid now, and keep it if the price stays between.",
        ),
        Strategy.LONG_STRADDLE: Outline(
            (Part(1, C), Part(1, P)),
            V.VOLATILE,
            (),
            _deltas("0.50"),
            "Buys a call and a put at one strike: gains when the price moves far either way, loses both premiums if it stays.",
        ),
        Strategy.LONG_STRANGLE: Outline(
            (Part(1, P, 0), Part(1, C, 1)),
            V.VOLATILE,
            (),
            _deltas("0.30", "0.30"),
            "Buys a put and a higher call: cheaper than a straddle, and the price has to move further.",
        ),
    }
)
"""Every strategy; for one view, the plainest come first."""

_COUNTS = {1: "one strike", 2: "two strikes, the lower first", 4: "four strikes, the lowest first"}
_EXAMPLES = {1: "190", 2: "190/200", 4: "180/190/210/220"}


def uses_shares(strategy: Strategy) -> bool:
    """Whether shares are part of it."""
    return any(part.right is None for part in STRATEGIES[strategy].parts)


def terms(
    strategy: Strategy, strikes: Sequence[Decimal], chain: Chain, expiry: date
) -> tuple[tuple[int, OptionTerms | None], ...]:
    """Its legs at these strikes: (ratio, option), with None and a ratio in shares for shares.

    Raises BadInput where the number or the order of the strikes is wrong.
    """
    outline = STRATEGIES[strategy]
    ascending = all(low < high for low, high in pairwise(strikes))
    if len(strikes) != outline.strikes or not ascending:
        raise BadInput(
            f"{strategy} takes {_COUNTS[outline.strikes]}, for example {_EXAMPLES[outline.strikes]}."
        )

    def leg(part: Part) -> tuple[int, OptionTerms | None]:
        if part.right is None:
            return part.ratio * int(chain.multiplier), None
        strike = strikes[part.strike]
        return part.ratio, OptionTerms(expiry, strike, part.right, chain.multiplier, chain.trading_class)

    return tuple(leg(part) for part in outline.parts)


def closer(
    strategy: Strategy, strikes: Sequence[Decimal], listed: Sequence[Decimal]
) -> tuple[Decimal, ...] | None:
    """The strikes with the outer one of each spread about half as far from the inner one; None where none can come closer."""
    moved = list(strikes)
    for inner, outer in STRATEGIES[strategy].spreads:
        low, high = sorted((strikes[inner], strikes[outer]))
        between = [strike for strike in listed if low < strike < high]
        if between:
            moved[outer] = between[len(between) // 2]
    return None if moved == list(strikes) else tuple(moved)


Signature = frozenset[tuple[int, Right | None, int]]


def _signature(outline: Outline) -> Signature:
    return frozenset((part.ratio, part.right, part.strike) for part in outline.parts)


_NAMES: Mapping[Signature, Strategy] = {
    _signature(outline): strategy for strategy, outline in STRATEGIES.items()
}


def same_deliverable(options: Sequence[OptionTerms]) -> bool:
    """Whether one combination may hold these: the same expiry, shares per contract and class (where both are told)."""
    classes = {option.trading_class for option in options if option.trading_class}
    return len({(o.expiry, o.multiplier) for o in options}) <= 1 and len(classes) <= 1


def name_of(legs: Sequence[Leg]) -> Strategy | None:
    """Which strategy one combination of these legs is, in any order and any multiple; None for anything else."""
    options = [leg.option for leg in legs if leg.option]
    if not options or not same_deliverable(options) or len({leg.con_id for leg in legs}) != len(legs):
        return None
    multiplier = int(options[0].multiplier)
    strikes = sorted({option.strike for option in options})
    parts: list[tuple[int, Right | None, int]] = []
    for leg in reduced(legs)[0]:
        if leg.option:
            parts.append((leg.ratio, leg.option.right, strikes.index(leg.option.strike)))
        elif leg.ratio % multiplier:
            return None
        else:
            parts.append((leg.ratio // multiplier, None, 0))
    return _NAMES.get(frozenset(parts)) if len(set(parts)) == len(parts) else None


def label(strategy: Strategy | None, legs: Sequence[Leg], symbol: str) -> str:
    """What it is called in the chat: AAPL BULL_CALL_SPREAD 190/200 18 Dec 26. Without a strategy: a single option's own name, the symbol
    for shares alone, else a combination.
    """
    options = [leg.option for leg in legs if leg.option]
    if not options:
        return symbol
    if strategy is None and len(legs) == 1:
        return options[0].label(symbol)
    strikes = "/".join(f"{strike.normalize():f}" for strike in sorted({o.strike for o in options}))
    days = " and ".join(f"{day.day} {day:%b %y}" for day in sorted({o.expiry for o in options}))
    return f"{symbol} {strategy or 'combination'} {strikes} {days}"


def suggestions(
    view: View,
    spot: Decimal | None = None,
    budget: Decimal | None = None,
    shares: Decimal = Decimal(0),
) -> tuple[Strategy, ...]:
    """What fits a view, the plainest first.

    With a `spot` and a `budget` (money that may be lost at most), strategies that risk the price of 100 shares are left out where that is
    more than the budget; `shares` that are held already risk nothing new.
    """
    fitting = [s for s, outline in STRATEGIES.items() if outline.view is view]
    fitting += [s for s, outline in STRATEGIES.items() if view in outline.also]
    if spot is None or budget is None or spot * 100 <= budget:
        return tuple(fitting)
    held = shares >= 100
    return tuple(s for s in fitting if not STRATEGIES[s].whole or (held and uses_shares(s)))
