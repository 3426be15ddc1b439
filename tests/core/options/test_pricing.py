"""Our prices against a library that shares nothing with QuantLib, against published tables, and the figures that options.md asks for.

The oracle is Jaeckel's "Let's be rational": European, without dividends. Calls without dividends are worth the same (an early exercise
brings nothing), and so are puts where money bears no interest.
"""

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from math import exp, log, sqrt
from statistics import NormalDist

import lets_be_rational
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from core.model import Dividend, Leg, OptionTerms, Right
from core.options.payoff import Payoff, payoff
from core.options.pricing import (
    combination,
    greeks,
    implied_volatility,
    probability_of_profit,
    value,
    worth_today,
)

TODAY = date(2026, 11, 23)


def option(strike: float | str, days: int, right: Right) -> OptionTerms:
    return OptionTerms(TODAY + timedelta(days), Decimal(str(strike)), right)


def dividend(amount: str, days: int) -> Dividend:
    return Dividend(TODAY + timedelta(days), Decimal(amount))


def european(spot: float, strike: float, volatility: float, days: float, rate: float, right: Right) -> float:
    years = days / 365
    sign = 1.0 if right is Right.CALL else -1.0
    forward = spot * exp(rate * years)
    return float(exp(-rate * years) * lets_be_rational.black(forward, strike, volatility, years, sign))


@dataclass(frozen=True)
class Case:
    spot: float
    strike: float
    volatility: float
    days: int
    rate: float
    right: Right

    @property
    def option(self) -> OptionTerms:
        return option(self.strike, self.days, self.right)

    def oracle(self, **other: float) -> float:
        told = {
            "spot": self.spot,
            "volatility": self.volatility,
            "days": self.days,
        } | other
        return european(told["spot"], self.strike, told["volatility"], told["days"], self.rate, self.right)


@st.composite
def cases(draw: st.DrawFn, shortest: int = 1) -> Case:
    right = draw(st.sampled_from(Right))
    spot = draw(st.floats(5, 1000))
    return Case(
        spot,
        round(spot * draw(st.floats(0.6, 1.6)), 2),
        draw(st.floats(0.05, 1.2)),
        draw(st.integers(shortest, 1000)),
        draw(st.floats(0, 0.1)) if right is Right.CALL else 0.0,
        right,
    )


def test_the_figures_of_the_design() -> None:
    put = option(110, 60, Right.PUT)
    assert european(100, 110, 0.30, 60, 0.04, Right.PUT) == pytest.approx(11.005, abs=0.0005)
    assert value(put, 100, 0.30, 0.04, TODAY) == pytest.approx(11.172, abs=0.0005)
    assert value(put, 100, 0.30, 0.04, TODAY, [dividend("1.50", 25)]) == pytest.approx(12.351, abs=0.0005)


# Longstaff and Schwartz, "Valuing American Options by Simulation" (2001), table 1, finite differences: strike 40, rate 6 %.
# Theirs may be exercised fifty times a year, so it is worth a little less than one that may be exercised at any time.
LONGSTAFF_SCHWARTZ = {
    36: (4.478, 4.840, 7.101, 8.508),
    38: (3.250, 3.745, 6.148, 7.670),
    40: (2.314, 2.885, 5.312, 6.920),
    42: (1.617, 2.212, 4.582, 6.248),
    44: (1.110, 1.690, 3.948, 5.647),
}


@pytest.mark.parametrize("spot", LONGSTAFF_SCHWARTZ)
def test_american_puts_of_a_published_table(spot: int) -> None:
    for published, (volatility, years) in zip(
        LONGSTAFF_SCHWARTZ[spot], itertools.product((0.2, 0.4), (1, 2)), strict=True
    ):
        ours = value(option(40, 365 * years, Right.PUT), spot, volatility, 0.06, TODAY)
        assert published - 0.0045 <= ours <= published + 0.012


def test_examples_of_hull() -> None:
    # Options, Futures and Other Derivatives: the American put of the chapter on trees (4.283 with 500 steps) ...
    assert value(option(50, 152, Right.PUT), 50, 0.40, 0.10, TODAY) == pytest.approx(4.283, abs=0.005)
    # ... and the call of the chapter on the Greeks: 20 weeks; theta and vega are a year's and a whole one's there.
    told = greeks(option(50, 140, Right.CALL), 49, 0.20, 0.05, TODAY)
    assert told.delta == pytest.approx(0.522, abs=0.001)
    assert told.gamma == pytest.approx(0.066, abs=0.001)
    assert told.theta * 365 == pytest.approx(-4.31, abs=0.03)
    assert told.vega * 100 == pytest.approx(12.1, abs=0.1)


@settings(max_examples=150, deadline=None)
@given(cases())
@example(Case(100, 100, 0.3, 1, 0.04, Right.CALL))
@example(Case(1000, 600, 0.05, 1000, 0.1, Right.CALL))
def test_a_value_is_within_the_error_that_is_promised(case: Case) -> None:
    ours = value(case.option, case.spot, case.volatility, case.rate, TODAY)
    assert ours == pytest.approx(case.oracle(), abs=2e-4 * case.spot)


@settings(max_examples=100, deadline=None)
@given(cases(shortest=2))
@example(Case(100, 100, 0.3, 2, 0.04, Right.CALL))
def test_greeks_are_what_the_oracle_says(case: Case) -> None:
    told = greeks(case.option, case.spot, case.volatility, case.rate, TODAY)
    step = case.spot * case.volatility * sqrt(case.days / 365) / 100
    up, here, down = (case.oracle(spot=case.spot + move) for move in (step, 0, -step))
    assert told.delta == pytest.approx((up - down) / (2 * step), abs=0.002)
    # Gamma in its own measure: how much delta changes over one standard deviation of the time that is left.
    assert told.gamma * step * 100 == pytest.approx((up - 2 * here + down) / step**2 * step * 100, abs=0.005)
    day = case.oracle(days=case.days - 0.99) - case.oracle()
    assert told.theta == pytest.approx(day / 0.99, abs=1e-4 * case.spot)
    point = case.oracle(volatility=case.volatility + 0.005) - case.oracle(volatility=case.volatility - 0.005)
    assert told.vega == pytest.approx(point, abs=2e-5 * case.spot)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_implied_volatility_is_what_the_oracle_says(case: Case) -> None:
    price = case.oracle()
    found = implied_volatility(case.option, price, case.spot, case.rate, TODAY)
    point = case.oracle(volatility=case.volatility + 0.01) - price
    if found is None:
        assert point < 2e-4 * case.spot, "the price says something, and we say that it does not"
        return
    years, sign = case.days / 365, 1.0 if case.right is Right.CALL else -1.0
    forward = case.spot * exp(case.rate * years)
    exact = lets_be_rational.implied_volatility_from_a_transformed_rational_guess(
        price * exp(case.rate * years), forward, case.strike, years, sign
    )
    assume(point > 1e-4 * case.spot)
    # The error of the value over what a point of volatility moves, in points.
    assert found == pytest.approx(exact, abs=0.01 * 2.5e-4 * case.spot / point)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(Right),
    st.floats(0.7, 1.4),
    st.floats(0.1, 0.9),
    st.integers(5, 500),
    st.floats(0, 0.08),
    st.floats(0.1, 0.9),
)
def test_a_price_with_dividends_gives_its_volatility_back(
    right: Right, strike: float, volatility: float, days: int, rate: float, when: float
) -> None:
    of, paid = option(round(100 * strike, 2), days, right), [dividend("1.25", max(1, round(days * when)))]
    price = value(of, 100, volatility, rate, TODAY, paid)
    found = implied_volatility(of, price, 100, rate, TODAY, paid)
    if found is None:
        assert greeks(of, 100, volatility, rate, TODAY, paid).vega < 0.01
    else:
        assert value(of, 100, found, rate, TODAY, paid) == pytest.approx(price, abs=1e-3)


def test_a_price_that_nothing_explains_has_no_volatility() -> None:
    put, call = option(110, 60, Right.PUT), option(90, 60, Right.CALL)
    for of, price in ((put, 9.99), (put, 10.0), (put, 111.0), (call, 10.2), (call, 100.5), (call, -1.0)):
        assert implied_volatility(of, price, 100, 0.04, TODAY) is None, (of, price)
    assert implied_volatility(put, float("nan"), 100, 0.04, TODAY) is None
    assert implied_volatility(option(110, 0, Right.PUT), 10.5, 100, 0.04, TODAY) is None
    assert implied_volatility(option(50, 3, Right.CALL), 50.05, 100, 0.04, TODAY) is None, "it says nothing"


@settings(max_examples=60, deadline=None)
@given(st.floats(0.6, 1.6), st.floats(0.1, 1), st.integers(2, 400), st.floats(0, 0.08), st.integers(1, 399))
def test_dividends_lift_puts_and_lower_calls_and_exercise_is_always_there(
    strike: float, volatility: float, days: int, rate: float, on: int
) -> None:
    assume(on <= days)
    call, put = (option(round(100 * strike, 2), days, right) for right in (Right.CALL, Right.PUT))
    paid = [dividend("2.00", on)]
    for of, way in ((call, -1), (put, 1)):
        without, with_it = (value(of, 100, volatility, rate, TODAY, those) for those in ([], paid))
        assert way * (with_it - without) >= -0.01
        intrinsic = max(-way * (100 - float(of.strike)), 0)
        assert min(without, with_it) >= intrinsic - 0.01
        assert max(without, with_it) <= (100 if of is call else float(of.strike)) + 0.01


def test_only_a_dividend_between_today_and_the_expiry_counts() -> None:
    put = option(110, 60, Right.PUT)
    plain = value(put, 100, 0.3, 0.04, TODAY)
    assert value(put, 100, 0.3, 0.04, TODAY, [dividend("2", 0), dividend("2", 61), dividend("0", 3)]) == plain
    assert value(put, 100, 0.3, 0.04, TODAY, [dividend("2", 60)]) > plain + 0.5


def test_on_the_last_day_it_is_worth_what_exercise_brings() -> None:
    call, put = option(95, 0, Right.CALL), option(95, 0, Right.PUT)
    assert (value(call, 100, 0.3, 0.04, TODAY), value(put, 100, 0.3, 0.04, TODAY)) == (5.0, 0.0)
    assert greeks(call, 100, 0.3, 0.04, TODAY).delta == 1.0
    assert greeks(option(105, -3, Right.PUT), 100, 0.3, 0.04, TODAY).delta == -1.0
    assert greeks(put, 100, 0.3, 0.04, TODAY).delta == 0.0


@pytest.mark.parametrize(
    ("spot", "volatility", "says"), [(0, 0.3, "spot"), (100, 0, "volatility"), (float("nan"), 1, "spot")]
)
def test_nothing_is_priced_from_a_figure_that_is_none(spot: float, volatility: float, says: str) -> None:
    of = option(100, 30, Right.CALL)
    calls: list[Callable[[], object]] = [
        lambda: value(of, spot, volatility, 0.04, TODAY),
        lambda: greeks(of, spot, volatility, 0.04, TODAY),
        lambda: probability_of_profit(payoff(CONDOR, Decimal(-1)), spot, volatility, 30, 0.04),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=says):
            call()


CONDOR = [
    Leg(1, 1, option(85, 45, Right.PUT)),
    Leg(2, -1, option(90, 45, Right.PUT)),
    Leg(3, -1, option(110, 45, Right.CALL)),
    Leg(4, 1, option(115, 45, Right.CALL)),
]
SMILE = {1: 0.36, 2: 0.33, 3: 0.28, 4: 0.27}


def test_greeks_of_a_combination_are_those_of_its_legs_in_money() -> None:
    legs = [Leg(9, 100), Leg(3, -1, option(110, 45, Right.CALL))]
    told = combination(legs, SMILE, 100, 0.04, TODAY)
    one = greeks(option(110, 45, Right.CALL), 100, 0.28, 0.04, TODAY)
    assert told.ours
    assert told.delta == pytest.approx(100 - 100 * one.delta)
    assert (told.gamma, told.theta, told.vega) == pytest.approx(
        (-100 * one.gamma, -100 * one.theta, -100 * one.vega)
    )
    with pytest.raises(KeyError):
        combination(CONDOR, {1: 0.3}, 100, 0.04, TODAY)


@pytest.mark.parametrize("paid", [[], [dividend("0.80", 20)]])
def test_the_curve_of_today_stays_near_the_exact_values(paid: list[Dividend]) -> None:
    spots = [60 + each * 80 / 60 for each in range(61)]
    curve = worth_today([*CONDOR, Leg(9, 100)], Decimal("1.25"), spots, SMILE, 0.04, TODAY, paid)
    for spot, gain in list(zip(spots, curve, strict=True))[::6]:
        exact = 100 * (
            sum(
                leg.ratio * value(leg.option, spot, SMILE[leg.con_id], 0.04, TODAY, paid)
                for leg in CONDOR
                if leg.option
            )
            + spot
            - 1.25
        )
        assert gain == pytest.approx(exact, abs=12), spot


def test_the_curve_of_today_is_what_it_is_at_expiry_on_the_last_day() -> None:
    legs = [Leg(1, 1, option(100, 0, Right.CALL)), Leg(2, -1, option(105, 0, Right.CALL))]
    told = worth_today(legs, Decimal("1.93"), [90, 101.93, 120], {1: 0.3, 2: 0.3}, 0.04, TODAY)
    assert told == pytest.approx([-193, 0, 307])


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.integers(60, 150).map(Decimal), st.integers(-40, 40).map(Decimal), min_size=1, max_size=4
    ),
    st.integers(-40, 40).map(Decimal),
    st.integers(-2, 2).map(Decimal),
    st.floats(0.05, 1),
    st.integers(1, 700),
    st.floats(0, 0.08),
)
def test_the_chance_of_a_profit_is_the_share_of_the_outcomes_that_bring_one(
    bends: dict[Decimal, Decimal],
    start: Decimal,
    slope: Decimal,
    volatility: float,
    days: int,
    rate: float,
) -> None:
    kinks = sorted(bends)
    curve = Payoff((Decimal(0), *kinks), (start, *(bends[kink] for kink in kinks)), slope)
    years = days / 365
    told = probability_of_profit(curve, 100, volatility, days, rate)
    normal, outcomes = NormalDist(), 4000
    ends = (
        100
        * exp(
            (rate - volatility**2 / 2) * years
            + volatility * sqrt(years) * normal.inv_cdf((n + 0.5) / outcomes)
        )
        for n in range(outcomes)
    )
    counted = sum(curve.at(Decimal(end)) > 0 for end in ends) / outcomes
    assert told == pytest.approx(counted, abs=0.002)


def test_the_chance_of_a_bull_call_spread_by_hand() -> None:
    legs = [Leg(1, 1, option(100, 30, Right.CALL)), Leg(2, -1, option(105, 30, Right.CALL))]
    curve = payoff(legs, Decimal("1.93"))
    years = 30 / 365
    distance = (log(100 / 101.93) + (0.04 - 0.045) * years) / (0.3 * sqrt(years))
    assert probability_of_profit(curve, 100, 0.3, 30, 0.04) == pytest.approx(NormalDist().cdf(distance))
    assert probability_of_profit(curve, 103, 0.3, 0, 0.04) == 1.0
    assert probability_of_profit(curve, 101, 0.3, 0, 0.04) == 0.0


def test_two_threads_do_not_disturb_one_another() -> None:
    put = option(110, 60, Right.PUT)
    days = [TODAY + timedelta(each) for each in range(6)]
    alone = [value(put, 100, 0.3, 0.04, day) for day in days]
    told: list[list[float]] = [[] for _ in range(4)]

    def price(into: list[float]) -> None:
        into += [value(put, 100, 0.3, 0.04, day) for day in days]

    threads = [threading.Thread(target=price, args=(into,)) for into in told]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(each == alone for each in told)


def test_quantlib_is_imported_by_the_first_price_only() -> None:
    script = """
import sys
from datetime import date
from decimal import Decimal
from core.model import OptionTerms, Right
from core.options import pricing
assert "QuantLib" not in sys.modules
pricing.value(OptionTerms(date(2026, 12, 18), Decimal(100), Right.CALL), 100, 0.3, 0.04, date(2026, 11, 23))
assert "QuantLib" in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
