"""From what was typed to what there is: which expiry, which strike, and which strikes have to be looked at to know."""

from bisect import bisect_left
from calendar import FRIDAY
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from math import exp, log, sqrt
from statistics import NormalDist

from core.errors import BadInput
from core.model import Chain, Right
from core.options.plan import ExpiryWish, StrikeWish

USUAL_DAYS = 30
"""How far away an expiry is where none is asked for."""
MONTHLY_AWAY = 7
"""How many days a monthly expiry is away at least to be the next one."""
NEAR_ENOUGH = 18
"""How far from the usual days a monthly expiry may be to be preferred: half of five weeks, which is the most between two of them."""
MANY = 8
USUAL_VOLATILITY = 0.35


def third_friday(year: int, month: int) -> date:
    """The day on which monthly options expire, unless it is a holiday."""
    first = date(year, month, 1)
    return first + timedelta(days=(FRIDAY - first.weekday()) % 7 + 14)


def _told(day: date) -> str:
    return f"{day.day} {day:%b %y}"


def _monthly(expiries: Sequence[date]) -> list[date]:
    """The monthly ones: third Fridays, and the Thursday before one that is missing."""
    there = set(expiries)

    def is_monthly(day: date) -> bool:
        friday = third_friday(day.year, day.month)
        return day == friday or (day == friday - timedelta(days=1) and friday not in there)

    return [day for day in expiries if is_monthly(day)]


def pick_expiry(chain: Chain, wish: ExpiryWish, today: date) -> date:
    """The expiry that is meant. A day must exist; days mean the nearest; monthly the next one at least a week away; no wish about 30 days,
    a monthly one if there is one about there. Raises BadInput with what there is instead.
    """
    ahead = [day for day in chain.expiries if day >= today]
    if not ahead:
        raise BadInput("There are no options that expire today or later.")
    if (wished := wish.day) is not None:
        if wished in ahead:
            return wished
        nearest = sorted(sorted(ahead, key=lambda day: abs(day - wished))[:2])
        there = " and ".join(_told(day) for day in nearest)
        raise BadInput(f"No options expire on {_told(wished)}; the nearest days on which some do: {there}.")
    monthly = _monthly(ahead)
    if wish.monthly:
        for day in monthly:
            if (day - today).days >= MONTHLY_AWAY:
                return day
        raise BadInput(
            f"There is no monthly expiry at least {MONTHLY_AWAY} days away; the last there is: {_told(ahead[-1])}."
        )
    days = USUAL_DAYS if wish.days is None else wish.days

    def far(day: date) -> int:
        return abs((day - today).days - days)

    if wish.days is None:
        near = [day for day in monthly if far(day) <= NEAR_ENOUGH]
        return min(near or ahead, key=far)
    return min(ahead, key=far)


def pick_strike(
    strikes: Sequence[Decimal],
    wish: StrikeWish,
    spot: Decimal | None,
    right: Right,
    deltas: Mapping[Decimal, float] | None,
) -> Decimal:
    """The strike that is meant, out of `strikes` (ascending). A price must exist; percent mean the strike nearest to the spot moved by so
    many; a delta the strike whose delta is nearest. `deltas` are those of options of `right`, by strike, of either sign.

    Raises BadInput where the price does not exist or what is needed to choose is not known.
    """
    if not strikes:
        raise BadInput("There are no strikes for that expiry.")
    if wish.price is not None:
        if wish.price in strikes:
            return next(strike for strike in strikes if strike == wish.price)
        place = bisect_left(strikes, wish.price)
        there = " and ".join(f"{strike.normalize():f}" for strike in strikes[max(place - 1, 0) : place + 1])
        raise BadInput(f"There is no strike {wish.price.normalize():f}; next to it: {there}.")
    if wish.percent is not None:
        if spot is None:
            raise BadInput("The price of the underlying is not known now: name the strike, for example 190.")
        target = spot * (1 + wish.percent / 100)
        if not min(strikes) <= target <= max(strikes):
            listed = f"{min(strikes).normalize():f} to {max(strikes).normalize():f}"
            raise BadInput(f"{wish.percent:+f} % is {target:,.2f}, and strikes are listed from {listed}.")
        return min(strikes, key=lambda strike: abs(strike - target))
    if wish.delta is None:
        raise ValueError("A strike is wished by its price, its delta or percent.")
    known = {strike: abs(delta) for strike, delta in (deltas or {}).items() if strike in strikes}
    if not known:
        kind = "calls" if right is Right.CALL else "puts"
        raise BadInput(f"No deltas of the {kind} are known now: name the strike, for example 190.")
    aim = abs(float(wish.delta))
    return min(sorted(known), key=lambda strike: abs(known[strike] - aim))


def _strike_at(delta: float, right: Right, spot: float, years: float, volatility: float) -> float:
    """Where an option has this delta, by the plain formula without interest: near enough to know where to look."""
    aim = min(max(abs(delta), 0.001), 0.999)
    d1 = NormalDist().inv_cdf(aim if right is Right.CALL else 1 - aim)
    spread = volatility * sqrt(years)
    return exp(log(spot) - d1 * spread + spread * spread / 2)


def candidates(
    strikes: Sequence[Decimal],
    wish: StrikeWish,
    spot: Decimal,
    days: int,
    volatility: float | None,
    right: Right | None = None,
) -> tuple[Decimal, ...]:
    """The few strikes (ascending, 8 at most) whose deltas decide a wish for a delta; none for a wish that needs no delta.

    `volatility` is a year's (0.25), None where it is not known: then they lie further apart. Without a `right` they serve both.
    """
    if wish.delta is None or not strikes or spot <= 0:
        return ()
    years = max(days, 1) / 365
    rights = (Right.CALL, Right.PUT) if right is None else (right,)
    share = MANY // len(rights)
    found: set[Decimal] = set()
    for one in rights:

        def place(sigma: float, one: Right = one) -> Decimal:
            return Decimal(_strike_at(float(wish.delta or 0), one, float(spot), years, sigma))

        if volatility is not None and volatility > 0:
            middle = place(volatility)
            found.update(sorted(strikes, key=lambda strike: abs(strike - middle))[:share])
            continue
        ends = sorted((place(USUAL_VOLATILITY / 2), place(USUAL_VOLATILITY * 2)))
        inside = [strike for strike in strikes if ends[0] <= strike <= ends[1]]
        if len(inside) < share:
            middle = place(USUAL_VOLATILITY)
            inside = sorted(sorted(strikes, key=lambda strike: abs(strike - middle))[:share])
        step = max((len(inside) - 1) / max(share - 1, 1), 1)
        found.update(inside[min(round(i * step), len(inside) - 1)] for i in range(share))
    return tuple(sorted(found))


def page(
    strikes: Sequence[Decimal], spot: Decimal | None, first: int | None, rows: int = 8
) -> tuple[int, tuple[Decimal, ...]]:
    """`rows` strikes from the place `first`, kept inside what there is; without one, those around the spot. Returns the place and them."""
    if first is None:
        middle = len(strikes) // 2 if spot is None else bisect_left(strikes, spot)
        first = middle - rows // 2
    first = max(min(first, len(strikes) - rows), 0)
    return first, tuple(strikes[first : first + rows])
