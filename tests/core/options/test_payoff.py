"""What strategies bring at expiry: the agreed figures, what must hold for any of them, and an independent library beside it."""

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
import QuantLib
from hypothesis import assume, given
from hypothesis import strategies as st

from core.model import Leg, Right
from core.options.combine import net, opposite
from core.options.payoff import Payoff, outcome, payoff, worst_between
from core.options.plan import Outcome, Strategy
from core.options.strategies import STRATEGIES
from tests.core.options.made import JANUARY, leg, legs, legs_of

PREMIUMS = {"C100": "3.59", "C105": "1.66", "P100": "3.26", "P95": "1.33", "S": "100"}


def numbers(words: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(word.replace(",", "")) for word in words.split())


# Per contract, dollars, with the underlying at 100: cost, most gained and most lost (- is unlimited), break-evens.
FIGURES = [
    ("LONG_CALL", [105], None, "166", "-", "166", "106.66"),
    ("LONG_PUT", [95], None, "133", "9,367", "133", "93.67"),
    ("COVERED_CALL", [105], None, "9,834", "666", "9,834", "98.34"),
    ("PROTECTIVE_PUT", [95], None, "10,133", "-", "633", "101.33"),
    ("BULL_CALL_SPREAD", [100, 105], None, "193", "307", "193", "101.93"),
    ("BEAR_PUT_SPREAD", [95, 100], None, "193", "307", "193", "98.07"),
    ("CASH_SECURED_PUT", [95], None, "-133", "133", "9,367", "93.67"),
    ("COLLAR", [95, 105], None, "9,967", "533", "467", "99.67"),
    ("IRON_CONDOR", [85, 90, 110, 115], "-0.76", "-76", "76", "424", "89.24 110.76"),
    ("LONG_STRADDLE", [100], None, "685", "-", "685", "93.15 106.85"),
]


@pytest.mark.parametrize(("strategy", "strikes", "price", "cost", "gain", "loss", "zeros"), FIGURES)
def test_agreed_figures(
    strategy: str, strikes: list[int], price: str | None, cost: str, gain: str, loss: str, zeros: str
) -> None:
    some = legs_of(Strategy(strategy), strikes)
    paid = Decimal(price) if price else net(some, {one.con_id: Decimal(PREMIUMS[word(one)]) for one in some})
    assert paid * 100 == numbers(cost)[0]
    line = payoff(some, paid)
    assert (line.max_gain, line.max_loss, line.break_evens) == (limit(gain), limit(loss), numbers(zeros))
    assert outcome(line, Decimal(3)) == Outcome(times(gain, 3), times(loss, 3), numbers(zeros))


def word(one: Leg) -> str:
    return "S" if one.option is None else f"{one.option.right}{one.option.strike}"


def limit(figure: str) -> Decimal | None:
    return None if figure == "-" else numbers(figure)[0]


def times(figure: str, count: int) -> Decimal | None:
    one = limit(figure)
    return None if one is None else one * count


def test_an_unlimited_loss_is_told_as_such() -> None:
    assert payoff(legs(C105=-1), Decimal("-1.66")).max_loss is None
    assert payoff(legs(C100=1, C105=-2), Decimal("0.27")).max_loss is None
    assert payoff(legs(S=-100), Decimal(100)).max_loss is None
    assert payoff(legs(S=100, C105=-1), Decimal("98.34")).max_loss is not None
    assert payoff(legs(S=100, C105=-2), Decimal("96.68")).max_loss is None


def test_a_single_share_gains_without_end() -> None:
    one = payoff(legs(S=1), Decimal(100))
    assert (one.max_gain, one.max_loss, one.break_evens) == (None, Decimal(100), numbers("100"))
    assert payoff(legs(S=-1), Decimal(-100)).max_loss is None


def test_slope_at_zero() -> None:
    """How much it loses like shares when there is nearly nothing left of the price."""
    assert payoff(legs(P95=-1), Decimal("-1.33")).slope_at_zero == 100
    assert payoff(legs(S=100, C105=-1), Decimal("98.34")).slope_at_zero == 100
    assert payoff(legs(S=100, P95=1), Decimal("101.33")).slope_at_zero == 0
    assert payoff(legs(P95=1), Decimal("1.33")).slope_at_zero == -100
    assert payoff(legs(S=7), Decimal(100)).slope_at_zero == 7


@pytest.mark.parametrize(
    ("some", "price", "zeros"),
    [
        (legs(C100=1), "0", "0 100"),  # free: nothing lost up to the strike
        (legs(C100=1, C105=-1), "0", "0 100"),
        (legs(C100=1, C105=-1), "5", "105"),  # from there on for ever
        (legs(C100=1, C105=-1), "6", ""),
        (legs(P90=1, P95=-1, C105=-1, C110=1), "0", "95 105"),
        (legs(P95=1, C105=1), "0", "95 105"),
        (legs(C95=1, C100=-2, C105=1), "0", "0 95 105"),  # zero up to 95 and from 105 on
        (legs(P100=1), "100", "0"),
        # A call and a put against shares are worth the strike, wherever the price is: no bend at it, so no end of the stretch either.
        (legs(S=-100, C100=1, P100=-1), "-100", "0"),
        (legs(S=-100, C100=1, P100=-1, C110=1), "-100", "0 110"),
        (legs(S=-100, C100=1, P100=-1, P90=1), "-100", "90"),
    ],
)
def test_a_stretch_at_zero_gives_its_ends(some: tuple[Leg, ...], price: str, zeros: str) -> None:
    assert payoff(some, Decimal(price)).break_evens == numbers(zeros)


def test_worst_between() -> None:
    condor = payoff(legs_of(Strategy.IRON_CONDOR, [85, 90, 110, 115]), Decimal("-0.76"))
    assert worst_between(condor, Decimal(92), Decimal(108)) == 76
    assert worst_between(condor, Decimal(88), Decimal(108)) == -124
    assert worst_between(condor, Decimal(80), Decimal(120)) == -424
    straddle = payoff(legs(C100=1, P100=1), Decimal("6.85"))
    assert worst_between(straddle, Decimal(90), Decimal(120)) == -685
    assert worst_between(straddle, Decimal(104), Decimal(104)) == -285
    with pytest.raises(ValueError, match="comes first"):
        worst_between(straddle, Decimal(2), Decimal(1))


def test_what_has_no_exact_payoff() -> None:
    with pytest.raises(ValueError, match="different expiries"):
        payoff((leg("C100", -1), leg("C100", 1, JANUARY)), Decimal(1))
    with pytest.raises(ValueError, match="at least one leg"):
        payoff((), Decimal(1))
    with pytest.raises(ValueError, match="never below zero"):
        payoff(legs(C100=1), Decimal(1)).at(Decimal(-1))


STRIKES = st.lists(st.integers(1, 800), min_size=4, max_size=4, unique=True).map(
    lambda halves: [Decimal(half) / 2 for half in sorted(halves)]
)
PRICES = st.decimals(min_value=-100, max_value=400, places=2)
SPOTS = st.decimals(min_value=0, max_value=1000, places=2)


@st.composite
def combinations(draw: st.DrawFn) -> tuple[Leg, ...]:
    """A strategy of the table, its opposite, or anything at all made of shares and options."""
    strikes = draw(STRIKES)
    if draw(st.booleans()):
        strategy = draw(st.sampled_from(Strategy))
        some = legs_of(strategy, strikes[: STRATEGIES[strategy].strikes])
        return opposite(some) if draw(st.booleans()) else some
    words = [f"{right}{strike.normalize():f}" for strike in strikes for right in "CP"]
    chosen = draw(st.lists(st.sampled_from(words), min_size=1, unique=True))
    ratios = st.integers(-3, 3).filter(bool)
    shares = [leg("S", 100 * draw(ratios))] if draw(st.booleans()) else []
    return (*shares, *(leg(one, draw(ratios)) for one in chosen))


@given(combinations(), PRICES, SPOTS)
def test_as_an_independent_library_has_it(some: tuple[Leg, ...], price: Decimal, spot: Decimal) -> None:
    """Each leg's own payoff from QuantLib, added up."""
    total = -float(price) * 100
    for one in some:
        if one.option is None:
            total += one.ratio * float(spot)
            continue
        kind = QuantLib.Option.Call if one.option.right is Right.CALL else QuantLib.Option.Put
        total += 100 * one.ratio * QuantLib.PlainVanillaPayoff(kind, float(one.option.strike))(float(spot))
    assert float(payoff(some, price).at(spot)) == pytest.approx(total, abs=1e-6)


@given(combinations(), PRICES, SPOTS)
def test_never_beyond_its_limits(some: tuple[Leg, ...], price: Decimal, spot: Decimal) -> None:
    line = payoff(some, price)
    money = line.at(spot)
    assert line.max_gain is None or money <= line.max_gain
    assert line.max_loss is None or money >= -line.max_loss


@given(combinations(), PRICES)
def test_limits_are_reached(some: tuple[Leg, ...], price: Decimal) -> None:
    """A limit that nothing comes near would be true and useless; one that is unlimited passes any sum."""
    line = payoff(some, price)
    far = line.kinks[-1] + 10**9
    bends = [line.at(kink) for kink in line.kinks]
    assert line.at(far) > 10**8 if line.max_gain is None else line.max_gain in bends
    if line.max_loss is None:
        assert line.at(far) < -(10**8)
    else:
        assert -line.max_loss in bends or (line.max_loss == 0 and min(bends) > 0)


@given(combinations(), PRICES)
def test_zero_at_break_evens_and_no_change_of_sign_between(some: tuple[Leg, ...], price: Decimal) -> None:
    line = payoff(some, price)
    zeros = line.break_evens
    assert list(zeros) == sorted(set(zeros))
    assert all(near_zero(line, zero) for zero in zeros)
    end = max((*line.kinks, *zeros)) + 1000
    points = sorted({Decimal(0), *line.kinks, *zeros, end})
    between = [(low + high) / 2 for low, high in pairwise(points)]
    ends = [Decimal(0), *zeros, end]
    for low, high in pairwise(ends):
        signs = {sign(line, spot) for spot in (*points, *between) if low < spot < high}
        assert len(signs) <= 1, (low, high, signs)


def near_zero(line: Payoff, spot: Decimal) -> bool:
    return abs(line.at(spot)) < Decimal("1e-18")  # a third of a dollar has no end as a decimal


def sign(line: Payoff, spot: Decimal) -> int:
    money = line.at(spot)
    return 0 if near_zero(line, spot) else 1 if money > 0 else -1


@given(combinations(), PRICES)
def test_break_evens_by_exact_fractions(some: tuple[Leg, ...], price: Decimal) -> None:
    """Another way to all of them: on each straight piece, solve for zero with fractions."""
    line = payoff(some, price)
    points = [Fraction(kink) for kink in line.kinks]
    money = [Fraction(line.at(kink)) for kink in line.kinks]
    points.append(points[-1] + 10**7)
    money.append(Fraction(line.at(line.kinks[-1] + 10**7)))
    wanted: set[Fraction] = set()
    for (k1, m1), (k2, m2) in pairwise(zip(points, money, strict=True)):
        if m1 * m2 < 0:
            wanted.add(k1 + (k2 - k1) * m1 / (m1 - m2))
        wanted |= {k for k, m in ((k1, m1), (k2, m2)) if m == 0}
    stretches = [
        (k1, k2) for (k1, m1), (k2, m2) in pairwise(zip(points, money, strict=True)) if m1 == 0 == m2
    ]
    inner = {k for _, k in stretches} & {k for k, _ in stretches}
    wanted -= inner | {points[-1]}
    assert [float(zero) for zero in line.break_evens] == pytest.approx(
        [float(zero) for zero in sorted(wanted)]
    )


@given(combinations(), PRICES, SPOTS, SPOTS, SPOTS)
def test_worst_between_is_the_least(
    some: tuple[Leg, ...], price: Decimal, one: Decimal, two: Decimal, three: Decimal
) -> None:
    low, spot, high = sorted((one, two, three))
    line = payoff(some, price)
    worst = worst_between(line, low, high)
    assert worst <= line.at(spot)
    inside = [line.at(at) for at in (low, high, *line.kinks) if low <= at <= high]
    assert worst in inside


@given(combinations(), PRICES, SPOTS)
def test_the_opposite_brings_the_opposite(some: tuple[Leg, ...], price: Decimal, spot: Decimal) -> None:
    assert payoff(opposite(some), -price).at(spot) == -payoff(some, price).at(spot)


@given(st.sampled_from(Strategy), STRIKES, PRICES)
def test_no_strategy_of_the_table_can_lose_without_end(
    strategy: Strategy, strikes: list[Decimal], price: Decimal
) -> None:
    line: Any = payoff(legs_of(strategy, strikes[: STRATEGIES[strategy].strikes]), price)
    assume(line.max_gain is None or line.max_gain >= 0)
    assert line.max_loss is not None
