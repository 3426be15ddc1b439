"""What an American option on a share is worth, and how that changes, from a pricing library, which is loaded with the first option.

Everything is computed over the same ten imaginary years far in the future: with volatility and rate scaled to them an American option
is worth the same, a moment may fall between two days, and the library's idea of today, which others in the process may use, is never touched.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

RATE = 0.04
"""The yearly interest rate, continuously compounded."""
DAYS_A_YEAR = 365.0
_YEARS, _DAYS = 10.0, 3650
_TIME_STEPS, _PRICE_STEPS = 80, 120
_BUMP, _VOLATILITY_BUMP = 0.002, 0.005
_NARROW = 1e-4
"""A spread of outcomes so small that nothing can happen any more."""

Dividends = tuple[tuple[float, float], ...]
"""Dollars a share, each with the years until the share is traded without it."""


class Model(NamedTuple):
    """An option's value a share, and by how much it changes: for a dollar (delta, and its own change gamma), and a day."""

    value: float
    delta: float
    gamma: float
    theta: float


def load() -> Any:
    """The pricing library. The first call takes a tenth of a second."""
    import QuantLib

    return QuantLib


@lru_cache(maxsize=1)
def _fixed() -> tuple[Any, Any, Any, Any]:
    library = load()
    start = library.Date(1, 1, 2100)
    return library, start, library.Actual365Fixed(), library.NullCalendar()


def present_value(dividends: Dividends, years: float) -> float:
    """What the dividends before a moment are worth today."""
    return sum(amount * math.exp(-RATE * due) for due, amount in dividends if 0 < due < years)


def intrinsic(spot: float, strike: float, right: str) -> float:
    """What exercise would bring now."""
    return max(spot - strike if right == "C" else strike - spot, 0.0)


@lru_cache(maxsize=1 << 15)
def model(
    spot: float, strike: float, right: str, years: float, volatility: float, dividends: Dividends = ()
) -> Model:
    """The value of an American option and its Greeks. An option without time is worth what exercise brings."""
    if years <= 0 or volatility * math.sqrt(years) < _NARROW:
        worth = intrinsic(spot, strike, right)
        return Model(worth, 0.0 if not worth else 1.0 if right == "C" else -1.0, 0.0, 0.0)
    due = tuple(one for one in dividends if 0 < one[0] < years)
    if not due and right == "C":
        return _european_call(spot, strike, years, volatility)
    return _american(spot, strike, right, years, volatility, due)


def _european_call(spot: float, strike: float, years: float, volatility: float) -> Model:
    """A call without dividends is never exercised early, so the formula for a European one holds."""
    library = _fixed()[0]
    discount, deviation = math.exp(-RATE * years), volatility * math.sqrt(years)
    of = library.BlackCalculator(
        library.PlainVanillaPayoff(library.Option.Call, strike), spot / discount, deviation, discount
    )
    return Model(of.value(), of.delta(spot), of.gamma(spot), of.theta(spot, years) / DAYS_A_YEAR)


def _american(
    spot: float, strike: float, right: str, years: float, volatility: float, due: Dividends
) -> Model:
    if due:
        of = _option(spot, strike, right, years, volatility, due)
        value, delta, gamma = of.NPV(), of.delta(), of.gamma()
        theta = of.theta() * _YEARS / years / DAYS_A_YEAR
    else:
        up, value, down = (
            _option(spot * factor, strike, right, years, volatility, due).NPV()
            for factor in (1 + _BUMP, 1.0, 1 - _BUMP)
        )
        width = spot * _BUMP
        delta, gamma = (up - down) / (2 * width), (up - 2 * value + down) / width**2
        # the equation of Black and Scholes says what time does, where exercise does not pay at once
        theta = RATE * (value - spot * delta) - 0.5 * (volatility * spot) ** 2 * gamma
        theta = 0.0 if value <= intrinsic(spot, strike, right) + 1e-9 else theta / DAYS_A_YEAR
    worth = max(value, intrinsic(spot, strike, right), 0.0)
    return Model(worth, max(-1.0, min(1.0, delta)), max(gamma, 0.0), theta)


def vega(
    spot: float, strike: float, right: str, years: float, volatility: float, dividends: Dividends = ()
) -> float:
    """By how much the value changes for a point of volatility."""
    below = model(spot, strike, right, years, volatility, dividends).value
    above = model(spot, strike, right, years, volatility + _VOLATILITY_BUMP, dividends).value
    return max(above - below, 0.0) / (_VOLATILITY_BUMP * 100)


def _option(
    spot: float,
    strike: float,
    right: str,
    years: float,
    volatility: float,
    due: Sequence[tuple[float, float]],
) -> Any:
    """An option of the library with its engine: finite differences where there are dividends, a fast and exact method where there are none."""
    library, start, counter, calendar = _fixed()
    scale = years / _YEARS
    process = library.BlackScholesMertonProcess(
        library.QuoteHandle(library.SimpleQuote(spot)),
        library.YieldTermStructureHandle(library.FlatForward(start, 0.0, counter)),
        library.YieldTermStructureHandle(library.FlatForward(start, RATE * scale, counter)),
        library.BlackVolTermStructureHandle(
            library.BlackConstantVol(start, calendar, volatility * math.sqrt(scale), counter)
        ),
    )
    kind = library.Option.Call if right == "C" else library.Option.Put
    made = library.VanillaOption(
        library.PlainVanillaPayoff(kind, strike), library.AmericanExercise(start, start + _DAYS)
    )
    if due:
        days = [start + min(_DAYS - 1, max(1, round(when / years * _DAYS))) for when, _ in due]
        paid = library.DividendVector(days, [amount for _, amount in due])
        made.setPricingEngine(library.FdBlackScholesVanillaEngine(process, paid, _TIME_STEPS, _PRICE_STEPS))
    else:
        scheme = library.QdFpAmericanEngine.fastScheme()
        made.setPricingEngine(library.QdFpAmericanEngine(process, scheme))
    return made


@lru_cache(maxsize=1 << 12)
def implied_volatility(
    price: float, spot: float, strike: float, right: str, years: float, dividends: Dividends = ()
) -> float | None:
    """The volatility at which an option is worth a price; None where none between 1 % and 500 % does that."""
    low, high = 0.01, 5.0
    if not (
        model(spot, strike, right, years, low, dividends).value
        < price
        < model(spot, strike, right, years, high, dividends).value
    ):
        return None
    for _ in range(24):
        middle = (low + high) / 2
        if model(spot, strike, right, years, middle, dividends).value < price:
            low = middle
        else:
            high = middle
    return (low + high) / 2
