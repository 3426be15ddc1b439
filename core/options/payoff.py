"""What a combination is worth when its options expire: exact, from the points where the line bends. No grid, nothing rounded.

The line bends at the strikes only; between two bends, and behind the last, it is straight. So its highest and lowest values stand at a
bend, unless it goes on without end, and where it crosses zero follows from two of its points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from core.model import Leg, Right
from core.options.combine import ZERO, multiplier_of
from core.options.plan import Outcome


@dataclass(frozen=True, slots=True)
class Payoff:
    """Gain or loss of ONE combination at expiry, in money, by the price of the underlying.

    `kinks` are prices of the underlying, ascending from 0; `values` the money at each; `last_slope` is money per dollar behind the last.
    """

    kinks: tuple[Decimal, ...]
    values: tuple[Decimal, ...]
    last_slope: Decimal

    def at(self, spot: Decimal) -> Decimal:
        """Money gained (lost: below zero) with the underlying at `spot`, which is zero or above."""
        if spot < 0:
            raise ValueError("The price of a share is never below zero.")
        place = max(i for i, kink in enumerate(self.kinks) if kink <= spot)
        return self.values[place] + self._slopes[place] * (spot - self.kinks[place])

    @property
    def _slopes(self) -> tuple[Decimal, ...]:
        points = zip(self.kinks, self.values, strict=True)
        return (*((v2 - v1) / (k2 - k1) for (k1, v1), (k2, v2) in pairwise(points)), self.last_slope)

    @property
    def slope_at_zero(self) -> Decimal:
        """Money per dollar of the underlying when it has lost nearly everything: 100 is a loss like that of 100 shares."""
        return self._slopes[0]

    @property
    def max_gain(self) -> Decimal | None:
        """The most that it can bring; None where there is no most. Below zero where it can only lose."""
        return None if self.last_slope > 0 else max(self.values)

    @property
    def max_loss(self) -> Decimal | None:
        """The most that it can lose, as a positive number; None where there is no most, 0 where it cannot lose."""
        return None if self.last_slope < 0 else max(-min(self.values), ZERO)

    @property
    def break_evens(self) -> tuple[Decimal, ...]:
        """Where it neither gains nor loses, ascending. Of a whole stretch at zero, its ends (its beginning, where it has no end)."""
        found = {kink for kink, value in zip(self.kinks, self.values, strict=True) if value == 0}
        inner = [False] * len(self.kinks)
        for i in range(1, len(self.kinks)):
            behind = self.values[i + 1] if i + 1 < len(self.kinks) else self.last_slope
            inner[i] = self.values[i - 1] == self.values[i] == 0 and behind == 0
        found -= {kink for kink, between in zip(self.kinks, inner, strict=True) if between}
        ends = (*self.kinks[1:], None)
        for kink, value, slope, end in zip(self.kinks, self.values, self._slopes, ends, strict=True):
            if value and slope and (value < 0) == (slope > 0):
                zero = kink - value / slope
                if end is None or zero < end:
                    found.add(zero)
        return tuple(sorted(found))


def payoff(legs: Sequence[Leg], price: Decimal) -> Payoff:
    """Of one combination of these legs, entered at the signed net `price` per unit (shares at their price in it).

    Raises ValueError for no legs, or for options of different expiries: such a combination has no exact value at either.
    """
    if not legs:
        raise ValueError("A combination has at least one leg.")
    if len({leg.option.expiry for leg in legs if leg.option}) > 1:
        raise ValueError("Options of different expiries have no exact payoff on one day.")
    paid = price * multiplier_of(legs)
    kinks = tuple(sorted({ZERO, *(leg.option.strike for leg in legs if leg.option)}))

    def worth(leg: Leg, spot: Decimal) -> Decimal:
        if leg.option is None:
            return leg.ratio * spot
        depth = spot - leg.option.strike if leg.option.right is Right.CALL else leg.option.strike - spot
        return leg.ratio * leg.option.multiplier * max(depth, ZERO)

    def rises(leg: Leg) -> Decimal:
        if leg.option is None:
            return Decimal(leg.ratio)
        return leg.ratio * leg.option.multiplier if leg.option.right is Right.CALL else ZERO

    values = tuple(sum((worth(leg, kink) for leg in legs), ZERO) - paid for kink in kinks)
    return Payoff(kinks, values, sum((rises(leg) for leg in legs), ZERO))


def outcome(line: Payoff, quantity: Decimal) -> Outcome:
    """What `quantity` of the combination bring at expiry."""
    gain, loss = line.max_gain, line.max_loss
    return Outcome(
        None if gain is None else gain * quantity,
        None if loss is None else loss * quantity,
        line.break_evens,
    )


def worst_between(line: Payoff, low: Decimal, high: Decimal) -> Decimal:
    """The least that one combination is worth with the underlying between `low` and `high` (both counted): money, signed."""
    if low > high:
        raise ValueError("The lower end of an interval comes first.")
    return min(line.at(spot) for spot in (low, high, *(kink for kink in line.kinks if low < kink < high)))
