"""What options are worth, how that changes, and how likely a profit is, by QuantLib. Pure, and too slow for the loop: call it in a thread.

Conventions: a year has 365 days and days are whole (on its last day an option is worth what exercising it brings); the rate is
continuously compounded (0.04 is 4 % a year), volatility is a year's (0.30 is 30 %). Options are American, dividends are amounts of money
on their ex-dates, by which the share falls. Dividends that are not after `today`, or are after the expiry, change nothing.

Values come from finite differences on a grid of 200 times and 400 prices. Against the exact value, where there is one, they are within
two parts in 10,000 of the spot (at strikes from 60 to 160 % of it, volatility to 120 %, up to a thousand days), half of them within four
parts in a million. One value takes about 3 ms of one core.

QuantLib is imported on first use. Its evaluation date is one for the whole process, so it stays what it is for ever, and everything is
counted in days from it: that keeps these functions pure, and safe in more threads than one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from itertools import pairwise
from math import exp, isfinite, log, sqrt
from statistics import NormalDist
from typing import Any

from core.model import Dividend, Leg, OptionTerms, Right
from core.options.combine import multiplier_of
from core.options.payoff import Payoff
from core.options.plan import Greeks

GRID_TIMES, GRID_PRICES = 200, 400
LOWEST_VOLATILITY, HIGHEST_VOLATILITY = 0.01, 5.0
VOLATILITY_ACCURACY = 1e-5
SILENT = 1e-5
"""A price says nothing about volatility where a percentage point of it moves the price by less than this part of the spot."""
YEAR_DAYS = 365.0
POINT = 0.01


@dataclass(frozen=True, slots=True)
class LegGreeks:
    """Of one option per unit of the underlying: `theta` is what the next day takes with everything else unchanged, `vega` what a
    percentage point of volatility brings.
    """

    delta: float
    gamma: float
    theta: float
    vega: float


def value(
    option: OptionTerms,
    spot: float,
    volatility: float,
    rate: float,
    today: date,
    dividends: Sequence[Dividend] = (),
) -> float:
    """What one unit of an option is worth, in the underlying's currency. Raises ValueError for a spot or a volatility that is none."""
    _proper(spot, volatility)
    days = (option.expiry - today).days
    if days <= 0:
        return _exercised(option, spot)
    return float(_priced(option, spot, volatility, rate, days, _falls(dividends, today, days)).NPV())


def greeks(
    option: OptionTerms,
    spot: float,
    volatility: float,
    rate: float,
    today: date,
    dividends: Sequence[Dividend] = (),
) -> LegGreeks:
    """How one unit of an option answers to spot, time and volatility. Raises ValueError as `value` does."""
    _proper(spot, volatility)
    days = (option.expiry - today).days
    if days <= 0:
        owned = _exercised(option, spot) > 0
        return LegGreeks(_sign(option) * float(owned), 0.0, 0.0, 0.0)
    falls = _falls(dividends, today, days)
    priced = _priced(option, spot, volatility, rate, days, falls)
    bump = min(POINT / 2, volatility / 2)
    up, down = (
        _priced(option, spot, moved, rate, days, falls).NPV()
        for moved in (volatility + bump, volatility - bump)
    )
    return LegGreeks(
        float(priced.delta()),
        float(priced.gamma()),
        float(priced.theta()) / YEAR_DAYS,
        float(up - down) / (2 * bump) * POINT,
    )


def implied_volatility(
    option: OptionTerms,
    price: float,
    spot: float,
    rate: float,
    today: date,
    dividends: Sequence[Dividend] = (),
) -> float | None:
    """The volatility at which one unit is worth `price`; None where there is none, or the price does not say.

    There is none where the price is out of the bounds of arbitrage (worth less than exercising it at the best time, or more than any
    volatility between 1 % and 500 % explains). A price does not say where a percentage point hardly moves it: far in the money, or on the
    last day. About 40 ms. Raises ValueError for a spot that is none.
    """
    _proper(spot, 1.0)
    days = (option.expiry - today).days
    if days <= 0 or not isfinite(price):
        return None
    falls = _falls(dividends, today, days)

    def beyond(volatility: float) -> float:
        return float(_priced(option, spot, volatility, rate, days, falls).NPV()) - price

    if beyond(LOWEST_VOLATILITY) >= 0 or beyond(HIGHEST_VOLATILITY) <= 0:
        return None
    found = float(
        _quantlib()
        .Brent()
        .solve(
            beyond, VOLATILITY_ACCURACY, min(0.3, HIGHEST_VOLATILITY), LOWEST_VOLATILITY, HIGHEST_VOLATILITY
        )
    )
    return found if beyond(found + POINT) - beyond(found) >= SILENT * spot else None


def combination(
    legs: Sequence[Leg],
    volatilities: Mapping[int, float],
    spot: float,
    rate: float,
    today: date,
    dividends: Sequence[Dividend] = (),
) -> Greeks:
    """The Greeks of one combination in money, marked as ours; `volatilities` by con_id. Raises KeyError where an option has none."""
    delta = gamma = theta = vega = 0.0
    for leg in legs:
        if leg.option is None:
            delta += leg.ratio
            continue
        each = greeks(leg.option, spot, volatilities[leg.con_id], rate, today, dividends)
        each_way = leg.ratio * float(leg.option.multiplier)
        delta += each_way * each.delta
        gamma += each_way * each.gamma
        theta += each_way * each.theta
        vega += each_way * each.vega
    return Greeks(delta, gamma, theta, vega, ours=True)


def worth_today(
    legs: Sequence[Leg],
    price: Decimal,
    spots: Sequence[float],
    volatilities: Mapping[int, float],
    rate: float,
    today: date,
    dividends: Sequence[Dividend] = (),
) -> list[float]:
    """What one combination entered at `price` per unit would have gained, in money, if the underlying stood at each of `spots` today.

    A curve to look at: American values by the QD+ approximation, the share taken without the present value of its dividends, never below
    what exercising brings, each option keeps its volatility. Some cents a unit away from `value`. 60 points of four legs take about 20 ms.
    Raises KeyError where an option has no volatility.
    """
    gains = [-float(price) * float(multiplier_of(legs))] * len(spots)
    for leg in legs:
        if leg.option is None:
            gains = [gain + leg.ratio * spot for gain, spot in zip(gains, spots, strict=True)]
            continue
        worth = _quick(leg.option, volatilities[leg.con_id], rate, today, dividends)
        each = leg.ratio * float(leg.option.multiplier)
        gains = [gain + each * worth(spot) for gain, spot in zip(gains, spots, strict=True)]
    return gains


def probability_of_profit(curve: Payoff, spot: float, volatility: float, days: int, rate: float) -> float:
    """How likely `curve` is above zero in `days`, between 0 and 1. Exact from its break-evens.

    The assumption: the price of the underlying at expiry is lognormal, it drifts by the rate alone and varies by this one volatility
    (no skew, no dividends, no exercise before). That is the chance that the option prices themselves contain, not a forecast.
    A gain of exactly zero is no profit. Raises ValueError for a spot or a volatility that is none.
    """
    _proper(spot, volatility)
    if days <= 0:
        return float(curve.at(Decimal(str(spot))) > 0)
    years = days / YEAR_DAYS
    deviation = volatility * sqrt(years)
    middle = log(spot) + (rate - volatility**2 / 2) * years
    ends = sorted(point for point in curve.break_evens if point > 0)
    below = [0.0, *(NormalDist(middle, deviation).cdf(log(float(point))) for point in ends), 1.0]
    chance = 0.0
    for place, inside in enumerate(_insides(ends)):
        if curve.at(inside) > 0:
            chance += below[place + 1] - below[place]
    return min(chance, 1.0)


def _insides(ends: Sequence[Decimal]) -> list[Decimal]:
    """A price inside each stretch that `ends` cut the prices into."""
    if not ends:
        return [Decimal(1)]
    between = [(low + high) / 2 for low, high in pairwise(ends)]
    return [ends[0] / 2, *between, ends[-1] * 2]


def _proper(spot: float, volatility: float) -> None:
    for name, figure in (("spot", spot), ("volatility", volatility)):
        if not (isfinite(figure) and figure > 0):
            raise ValueError(f"a {name} of {figure} prices no option: it has to be above zero")


def _sign(option: OptionTerms) -> int:
    return 1 if option.right is Right.CALL else -1


def _exercised(option: OptionTerms, spot: float) -> float:
    return max(_sign(option) * (spot - float(option.strike)), 0.0)


def _falls(dividends: Sequence[Dividend], today: date, days: int) -> list[tuple[int, float]]:
    """The dividends that count, as days from today and amounts."""
    ahead = [((each.ex_date - today).days, float(each.amount)) for each in dividends]
    return sorted((day, amount) for day, amount in ahead if 0 < day <= days and amount > 0)


@cache
def _quantlib() -> Any:
    """The library, with its one date set for good."""
    import QuantLib

    QuantLib.Settings.instance().evaluationDate = QuantLib.Date(1, 1, 2000)
    return QuantLib


def _process(spot: Any, volatility: float, rate: float) -> Any:
    ql = _quantlib()
    today, year = ql.Settings.instance().evaluationDate, ql.Actual365Fixed()
    return ql.BlackScholesMertonProcess(
        ql.QuoteHandle(spot),
        ql.YieldTermStructureHandle(ql.FlatForward(today, 0.0, year)),
        ql.YieldTermStructureHandle(ql.FlatForward(today, rate, year)),
        ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), volatility, year)),
    )


def _american(option: OptionTerms, days: int) -> Any:
    ql = _quantlib()
    today = ql.Settings.instance().evaluationDate
    right = ql.Option.Call if option.right is Right.CALL else ql.Option.Put
    return ql.VanillaOption(
        ql.PlainVanillaPayoff(right, float(option.strike)), ql.AmericanExercise(today, today + days)
    )


def _priced(
    option: OptionTerms,
    spot: float,
    volatility: float,
    rate: float,
    days: int,
    falls: Sequence[tuple[int, float]],
) -> Any:
    """QuantLib's option on the grid of this module."""
    ql = _quantlib()
    today = ql.Settings.instance().evaluationDate
    schedule = ql.DividendSchedule([ql.FixedDividend(amount, today + day) for day, amount in falls])
    process = _process(ql.SimpleQuote(spot), volatility, rate)
    priced = _american(option, days)
    priced.setPricingEngine(ql.FdBlackScholesVanillaEngine(process, schedule, GRID_TIMES, GRID_PRICES))
    return priced


def _quick(
    option: OptionTerms, volatility: float, rate: float, today: date, dividends: Sequence[Dividend]
) -> Callable[[float], float]:
    """What a unit is about worth at any spot, by an approximation."""
    days = (option.expiry - today).days
    if days <= 0:
        return lambda spot: _exercised(option, spot)
    _proper(1.0, volatility)
    ql = _quantlib()
    escrow = sum(amount * exp(-rate * day / YEAR_DAYS) for day, amount in _falls(dividends, today, days))
    quote = ql.SimpleQuote(1.0)
    priced = _american(option, days)
    priced.setPricingEngine(ql.QdPlusAmericanEngine(_process(quote, volatility, rate)))

    def worth(spot: float) -> float:
        if spot - escrow <= 0:
            return _exercised(option, max(spot, 0.0))
        quote.setValue(spot - escrow)
        return max(float(priced.NPV()), _exercised(option, spot))

    return worth
