"""What is said before a plan is sent: only what applies, in whole sentences."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model import Dividend, Leg
from core.options.notes import notes
from core.options.plan import Strategy
from core.options.strategies import STRATEGIES
from tests.core.options.made import DECEMBER, TODAY, con_id, legs, legs_of

SPOT = Decimal(100)
DIVIDEND = Dividend(date(2026, 12, 10), Decimal("0.25"))

ASSIGNED_PUT = "If the short 95 put is assigned, you buy 100 shares for 9,500.00."
ASSIGNED_COVERED = "If the short 105 call is assigned, your 100 shares are sold for 10,500.00."
ASSIGNED_CALL = "If the short 105 call is assigned, you owe 100 shares, sold for 10,500.00."
PIN_95 = "Close to 95 on 18 Dec 26 nobody knows before the next session whether the short side is assigned."
PIN_105 = PIN_95.replace("95", "105", 1)
BY_ITSELF = "that is 0.01 or more in the money at expiry is exercised by itself; close it before if you do not want the shares."
LONG = f"A long option {BY_ITSELF}"
LONGS = f"Each long option {BY_ITSELF}"


@pytest.mark.parametrize(
    ("some", "wanted"),
    [
        (legs(C100=1), [LONG]),
        (legs(C100=1, P100=1), [LONGS]),
        (legs(P95=-1), [ASSIGNED_PUT, PIN_95]),
        (legs(S=100, C105=-1), [ASSIGNED_COVERED, PIN_105]),
        (legs(C100=1, C105=-1), [ASSIGNED_CALL, PIN_105, LONG]),
        (legs(S=100, P95=1), [LONG]),
        (
            legs(P90=1, P95=-1, C105=-1, C110=1),
            [ASSIGNED_PUT, ASSIGNED_CALL, PIN_95.replace("95", "95 or 105", 1), LONGS],
        ),
        (legs(S=100), []),
        ((), []),
    ],
)
def test_what_applies(some: tuple[Leg, ...], wanted: list[str]) -> None:
    assert list(notes(some, SPOT, None, {}, TODAY)) == wanted


def test_counts_all_of_them() -> None:
    told = notes(legs(P95=-1), SPOT, None, {}, TODAY, Decimal(3))
    assert "If the short 95 put is assigned, you buy 300 shares for 28,500.00." in told
    many = notes(legs(P95=-1), SPOT, None, {}, TODAY, Decimal(17))
    assert "If the short 95 put is assigned, you buy 1,700 shares for 161,500.00." in many


@pytest.mark.parametrize(
    ("some", "spot", "said"),
    [
        (legs(P95=-1), "94.99", True),
        (legs(P95=-1), "95", False),
        (legs(C105=-1), "105.01", True),
        (legs(C105=-1), "105", False),
        (legs(C105=1), "110", False),
        (legs(C105=-1), None, False),
    ],
)
def test_in_the_money_means_at_any_time(some: tuple[Leg, ...], spot: str | None, said: bool) -> None:
    told = notes(some, None if spot is None else Decimal(spot), None, {}, TODAY)
    assert any("can be assigned at any time" in note for note in told) is said


EXPECT = "The share goes ex-dividend (0.25) on 10 Dec 26, before expiry; the short 95 call has only 0.10 of time value, so expect to be assigned the day before."
LIKELY = "The share goes ex-dividend (0.25) on 10 Dec 26, before expiry; a short call in the money whose time value is below that is likely to be assigned the day before."


@pytest.mark.parametrize(
    ("some", "value", "dividend", "note"),
    [
        (legs(C95=-1), "0.10", DIVIDEND, EXPECT),
        (legs(C95=-1), "0.25", DIVIDEND, LIKELY),
        (legs(C95=-1), None, DIVIDEND, LIKELY),
        (legs(C105=-1), "0.10", DIVIDEND, LIKELY),
        (legs(C95=1), "0.10", DIVIDEND, None),
        (legs(P105=-1), "0.10", DIVIDEND, None),
        (legs(C95=-1), "0.10", None, None),
        (legs(C95=-1), "0.10", Dividend(DECEMBER + timedelta(1), Decimal("0.25")), None),
        (legs(C95=-1), "0.10", Dividend(TODAY, Decimal("0.25")), None),
    ],
)
def test_dividends(
    some: tuple[Leg, ...], value: str | None, dividend: Dividend | None, note: str | None
) -> None:
    values = {} if value is None else {some[0].con_id: Decimal(value)}
    told = [one for one in notes(some, SPOT, dividend, values, TODAY) if "dividend" in one]
    assert told == ([] if note is None else [note])


def test_the_last_day_is_named() -> None:
    assert "It expires today." in notes(legs(C100=1), SPOT, None, {}, DECEMBER)
    assert notes(legs(C100=1), SPOT, None, {}, DECEMBER - timedelta(1)) == (LONG,)
    assert "It expired on 18 Dec 26." in notes(legs(C100=1), SPOT, None, {}, DECEMBER + timedelta(1))


def test_a_little_in_the_money_is_enough_for_the_dividend() -> None:
    some, last = legs(C95=-1), Dividend(DECEMBER, Decimal("0.25"))
    values: dict[int, Decimal | None] = {some[0].con_id: Decimal("0.10")}
    said = EXPECT.replace("10 Dec 26", "18 Dec 26")
    assert said in notes(some, Decimal("95.01"), last, values, TODAY)
    assert said not in notes(some, Decimal(95), last, values, TODAY)


@given(
    st.sampled_from(Strategy),
    st.decimals(min_value=50, max_value=150, places=2) | st.none(),
    st.booleans(),
    st.decimals(min_value=0, max_value=2, places=2) | st.none(),
    st.integers(0, 40),
)
def test_every_plan_gets_few_whole_sentences(
    strategy: Strategy, spot: Decimal | None, pays: bool, value: Decimal | None, days: int
) -> None:
    some = legs_of(strategy, (90, 95, 105, 110)[: STRATEGIES[strategy].strikes])
    values = {con_id(f"{right}{strike}"): value for right in "CP" for strike in (90, 95, 105, 110)}
    today = DECEMBER - timedelta(days)
    told = notes(some, spot, DIVIDEND if pays else None, values, today)
    assert len(told) == len(set(told)) <= 8
    assert all(note.endswith(".") and note[0].isupper() for note in told)
    short = any(one.option and one.ratio < 0 for one in some)
    assert any("assigned" in note for note in told) is short
