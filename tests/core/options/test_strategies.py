"""The table of strategies: terms, names, labels, suggestions."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadInput
from core.model import Chain, Leg, OptionTerms, Right
from core.options.plan import Strategy
from core.options.strategies import STRATEGIES, View, closer, label, name_of, suggestions, terms, uses_shares
from tests.core.options.made import CHAIN, DECEMBER, JANUARY, SHARES, leg, legs, legs_of, option

STRIKES = st.lists(st.integers(1, 400), min_size=4, max_size=4, unique=True).map(
    lambda halves: [Decimal(half) / 2 for half in sorted(halves)]
)


def test_every_strategy_has_a_row_that_reads_well() -> None:
    assert set(STRATEGIES) == set(Strategy)
    for outline in STRATEGIES.values():
        assert {part.strike for part in outline.parts if part.right} == set(range(outline.strikes))
        options = [part for part in outline.parts if part.right]
        assert all(one.strike <= next_one.strike for one, next_one in pairwise(options))
        assert outline.parts[0].right is None or all(part.right for part in outline.parts)
        assert all(0 < delta < 1 for delta in outline.deltas)
        assert outline.sentence.endswith(".")


@pytest.mark.parametrize("strategy", Strategy)
def test_default_deltas_make_ascending_strikes(strategy: Strategy) -> None:
    """A call's delta falls with the strike and a put's grows; a put of some delta lies below a call of as much, up to a half."""
    outline = STRATEGIES[strategy]
    places = [
        outline.deltas[i] if outline.right_of(i) is Right.PUT else 1 - outline.deltas[i]
        for i in range(outline.strikes)
    ]
    assert all(low < high for low, high in pairwise(places))


LISTED = [Decimal(strike) for strike in ("90", "92.5", "95", "97.5", "100", "105", "110", "120")]


@pytest.mark.parametrize(
    ("strategy", "strikes", "nearer"),
    [
        (Strategy.BULL_CALL_SPREAD, (100, 120), (100, 110)),
        (Strategy.BULL_CALL_SPREAD, (100, 105), None),
        (Strategy.BEAR_PUT_SPREAD, (90, 100), ("95", 100)),
        (Strategy.BULL_PUT_SPREAD, (90, "92.5"), None),
        (Strategy.BEAR_CALL_SPREAD, (105, 120), (105, 110)),
        (Strategy.IRON_CONDOR, (90, 95, 105, 120), ("92.5", 95, 105, 110)),
        (Strategy.IRON_CONDOR, ("92.5", 95, 105, 120), ("92.5", 95, 105, 110)),
        (Strategy.COLLAR, (90, 120), None),
        (Strategy.LONG_STRANGLE, (90, 120), None),
        (Strategy.LONG_CALL, (100,), None),
    ],
)
def test_closer(strategy: Strategy, strikes: Sequence[str], nearer: Sequence[str] | None) -> None:
    """Only the outer strike of a spread moves, towards the inner one, and only to a strike that is listed."""
    found = closer(strategy, tuple(map(Decimal, strikes)), LISTED)
    assert found == (None if nearer is None else tuple(map(Decimal, nearer)))


def test_terms_of_a_spread() -> None:
    found = terms(Strategy.BULL_CALL_SPREAD, [Decimal(100), Decimal(105)], CHAIN, DECEMBER)
    assert found == ((1, option("C100")), (-1, option("C105")))


def test_terms_with_shares_take_their_number_from_the_chain() -> None:
    small = Chain(1, "AAPL1", Decimal(10), (), ())
    found = terms(Strategy.COLLAR, [Decimal(95), Decimal(105)], small, DECEMBER)
    put, call = (
        OptionTerms(DECEMBER, Decimal(k), r, Decimal(10), "AAPL1")
        for k, r in ((95, Right.PUT), (105, Right.CALL))
    )
    assert found == ((10, None), (1, put), (-1, call))


@pytest.mark.parametrize(
    ("strategy", "strikes", "sentence"),
    [
        ("BULL_CALL_SPREAD", "190", "BULL_CALL_SPREAD takes two strikes, the lower first, for example 190/200."),
        ("BULL_CALL_SPREAD", "200/190", "BULL_CALL_SPREAD takes two strikes, the lower first, for example 190/200."),
        ("COLLAR", "190/190", "COLLAR takes two strikes, the lower first, for example 190/200."),
        ("LONG_CALL", "190/200", "LONG_CALL takes one strike, for example 190."),
        ("LONG_CALL", "", "LONG_CALL takes one strike, for example 190."),
        ("IRON_CONDOR", "1/2/3", "IRON_CONDOR takes four strikes, the lowest first, for example 180/190/210/220."),
        ("IRON_CONDOR", "1/2/4/3", "IRON_CONDOR takes four strikes, the lowest first, for example 180/190/210/220."),
    ],
)  # fmt: skip
def test_wrong_strikes_are_told_in_a_sentence(strategy: str, strikes: str, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        terms(Strategy(strategy), [Decimal(word) for word in strikes.split("/") if word], CHAIN, DECEMBER)
    assert str(caught.value) == sentence


@given(st.sampled_from(Strategy), STRIKES, st.integers(1, 7), st.randoms(use_true_random=False))
def test_every_strategy_is_known_by_its_legs(
    strategy: Strategy, strikes: list[Decimal], times: int, chance: object
) -> None:
    made = list(legs_of(strategy, strikes[: STRATEGIES[strategy].strikes]))
    turned = [Leg(one.con_id, one.ratio * times, one.option) for one in made]
    chance.shuffle(turned)  # type: ignore[attr-defined]
    assert name_of(turned) is strategy
    assert uses_shares(strategy) == any(one.con_id == SHARES for one in made)
    opposed = name_of([Leg(one.con_id, -one.ratio, one.option) for one in made])
    assert opposed is not strategy


@pytest.mark.parametrize(
    "some",
    [
        (),
        legs(S=100),
        legs(C105=-1),
        legs(C100=1, C105=-2),
        legs(S=50, C105=-1),
        legs(S=200, C105=-1),
        legs(S=-100, C105=1),
        legs(P95=1, P100=-1, C100=-1, C105=1),
        legs(C100=-1, P100=-1),
        legs(C100=1, C105=1),
        (leg("C100", 1), leg("C105", -1, JANUARY)),
        (leg("C100", 1), leg("C100", 1)),
        (Leg(1, 1, option("C100")), Leg(2, -1, option("C105", multiplier=10))),
        (
            Leg(1, 1, option("C100")),
            Leg(2, -1, OptionTerms(DECEMBER, Decimal(105), Right.CALL, Decimal(100), "AAPL1")),
        ),
    ],
)
def test_what_is_no_strategy_has_no_name(some: tuple[Leg, ...]) -> None:
    assert name_of(some) is None


def test_labels() -> None:
    assert label(Strategy.BULL_CALL_SPREAD, legs_of(Strategy.BULL_CALL_SPREAD, [190, 200]), "AAPL") == (
        "AAPL BULL_CALL_SPREAD 190/200 18 Dec 26"
    )
    assert label(Strategy.LONG_STRADDLE, legs_of(Strategy.LONG_STRADDLE, [Decimal("102.50")]), "AAPL") == (
        "AAPL LONG_STRADDLE 102.5 18 Dec 26"
    )
    assert label(None, legs(C105=-1), "AAPL") == "AAPL 105 C 18 Dec 26"
    assert label(None, legs(S=1), "AAPL") == "AAPL"
    roll = (leg("C105", 1), leg("C110", -1, JANUARY))
    assert label(None, roll, "AAPL") == "AAPL combination 105/110 18 Dec 26 and 15 Jan 27"


SUGGESTED = {
    "BULLISH": "LONG_CALL BULL_CALL_SPREAD BULL_PUT_SPREAD CASH_SECURED_PUT",
    "BEARISH": "LONG_PUT BEAR_PUT_SPREAD BEAR_CALL_SPREAD",
    "NEUTRAL": "IRON_CONDOR COVERED_CALL",
    "VOLATILE": "LONG_STRADDLE LONG_STRANGLE",
    "INCOME": "COVERED_CALL CASH_SECURED_PUT BULL_PUT_SPREAD BEAR_CALL_SPREAD IRON_CONDOR",
    "PROTECT": "PROTECTIVE_PUT COLLAR",
}


@pytest.mark.parametrize("view", View)
def test_suggestions(view: View) -> None:
    assert " ".join(suggestions(view)) == SUGGESTED[view]


def test_suggestions_within_a_budget() -> None:
    """What can lose the price of 100 shares is left out where that is more than may be lost, unless the shares are there already."""
    spot, budget = Decimal(200), Decimal(500)
    assert "CASH_SECURED_PUT" not in suggestions(View.BULLISH, spot, budget)
    assert "COVERED_CALL" not in suggestions(View.INCOME, spot, budget)
    assert "COVERED_CALL" not in suggestions(View.INCOME, spot, budget, Decimal(99))
    assert "COVERED_CALL" in suggestions(View.INCOME, spot, budget, Decimal(100))
    assert "CASH_SECURED_PUT" not in suggestions(View.INCOME, spot, budget, Decimal(100))
    assert "CASH_SECURED_PUT" in suggestions(View.BULLISH, spot, Decimal(20000))
    assert suggestions(View.PROTECT, spot, budget) == (Strategy.PROTECTIVE_PUT, Strategy.COLLAR)
