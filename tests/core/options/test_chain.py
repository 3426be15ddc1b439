"""From what was typed to what there is: expiries, strikes, pages."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
import QuantLib
from hypothesis import assume, given
from hypothesis import strategies as st

from core.errors import BadInput
from core.model import Chain, Right
from core.options.chain import candidates, page, pick_expiry, pick_strike, third_friday
from core.options.plan import ExpiryWish, StrikeWish
from tests.core.options.made import TODAY

FRIDAYS = tuple(date(2026, 11, 27) + timedelta(weeks=week) for week in range(12))
STRIKES = tuple(Decimal(n) for n in range(150, 255, 5))


def chain(*expiries: date) -> Chain:
    return Chain(1, "AAPL", Decimal(100), expiries, STRIKES)


def test_third_fridays() -> None:
    assert third_friday(2026, 11) == date(2026, 11, 20)
    assert third_friday(2026, 12) == date(2026, 12, 18)
    assert third_friday(2027, 1) == date(2027, 1, 15)
    assert third_friday(2024, 3) == date(2024, 3, 15)  # the month begins on a Friday


@given(st.integers(1990, 2100), st.integers(1, 12))
def test_third_friday_by_the_calendar_of_another_library(year: int, month: int) -> None:
    told = QuantLib.Date.nthWeekday(3, QuantLib.Friday, month, year)
    assert third_friday(year, month) == date(told.year(), told.month(), told.dayOfMonth())


@pytest.mark.parametrize(
    ("wish", "expiry"),
    [
        (ExpiryWish(day=date(2026, 12, 4)), date(2026, 12, 4)),
        (ExpiryWish(days=0), date(2026, 11, 27)),
        (ExpiryWish(days=10), date(2026, 12, 4)),
        (ExpiryWish(days=45), date(2027, 1, 8)),
        (ExpiryWish(days=900), FRIDAYS[-1]),
        (ExpiryWish(monthly=True), date(2026, 12, 18)),
        (ExpiryWish(), date(2026, 12, 18)),
    ],
)
def test_expiries(wish: ExpiryWish, expiry: date) -> None:
    assert pick_expiry(chain(*FRIDAYS), wish, TODAY) == expiry


def test_a_monthly_expiry_that_is_near_gives_way_to_the_next() -> None:
    assert pick_expiry(chain(*FRIDAYS), ExpiryWish(monthly=True), date(2026, 12, 11)) == date(2026, 12, 18)
    assert pick_expiry(chain(*FRIDAYS), ExpiryWish(monthly=True), date(2026, 12, 12)) == date(2027, 1, 15)


def test_a_holiday_on_the_third_friday_makes_it_the_thursday() -> None:
    """Good Friday 2025 was the 18th of April, Juneteenth 2026 is Friday the 19th of June."""
    thursday = date(2026, 6, 18)
    there = chain(date(2026, 6, 12), thursday, date(2026, 6, 26), date(2026, 7, 17))
    assert pick_expiry(there, ExpiryWish(monthly=True), date(2026, 6, 1)) == thursday
    both = chain(thursday, date(2026, 6, 19), date(2026, 7, 17))
    assert pick_expiry(both, ExpiryWish(monthly=True), date(2026, 6, 1)) == date(2026, 6, 19)


def test_without_a_wish_a_monthly_one_is_preferred_where_it_is_about_a_month_away() -> None:
    weekly = chain(date(2026, 12, 4), date(2026, 12, 23), date(2027, 3, 19))
    assert pick_expiry(weekly, ExpiryWish(), TODAY) == date(2026, 12, 23)
    assert pick_expiry(chain(date(2027, 6, 18), date(2028, 1, 21)), ExpiryWish(), TODAY) == date(2027, 6, 18)


def test_about_a_month_is_thirty_days_and_a_monthly_one_may_be_eighteen_off() -> None:
    near = chain(TODAY + timedelta(29), TODAY + timedelta(32))
    assert pick_expiry(near, ExpiryWish(), TODAY) == TODAY + timedelta(29)
    january = date(2027, 1, 15)
    both = chain(date(2026, 12, 28), january)
    assert pick_expiry(both, ExpiryWish(), january - timedelta(48)) == january
    assert pick_expiry(both, ExpiryWish(), january - timedelta(49)) == date(2026, 12, 28)


@pytest.mark.parametrize(
    ("there", "wish", "sentence"),
    [
        (
            FRIDAYS,
            ExpiryWish(day=date(2026, 12, 19)),
            "No options expire on 19 Dec 26; the nearest days on which some do: 18 Dec 26 and 25 Dec 26.",
        ),
        (
            FRIDAYS[:1],
            ExpiryWish(day=date(2026, 12, 19)),
            "No options expire on 19 Dec 26; the nearest days on which some do: 27 Nov 26.",
        ),
        (
            (date(2026, 11, 20), *FRIDAYS),
            ExpiryWish(day=date(2026, 11, 20)),
            "No options expire on 20 Nov 26; the nearest days on which some do: 27 Nov 26 and 4 Dec 26.",
        ),
        ((date(2026, 11, 20),), ExpiryWish(), "There are no options that expire today or later."),
        ((), ExpiryWish(), "There are no options that expire today or later."),
        (
            FRIDAYS[:3],
            ExpiryWish(monthly=True),
            "There is no monthly expiry at least 7 days away; the last there is: 11 Dec 26.",
        ),
    ],
)
def test_expiries_that_are_not_there(there: tuple[date, ...], wish: ExpiryWish, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        pick_expiry(chain(*there), wish, TODAY)
    assert str(caught.value) == sentence


@given(
    st.lists(st.dates(TODAY - timedelta(30), TODAY + timedelta(900)), min_size=1, unique=True).map(sorted),
    st.integers(0, 1000),
)
def test_the_nearest_expiry_is_one_that_is_there_and_not_past(days: list[date], wished: int) -> None:
    ahead = [day for day in days if day >= TODAY]
    assume(ahead)
    for wish in (ExpiryWish(days=wished), ExpiryWish()):
        assert pick_expiry(chain(*days), wish, TODAY) in ahead
    picked = pick_expiry(chain(*days), ExpiryWish(days=wished), TODAY)
    aim = TODAY + timedelta(wished)
    assert all(abs(picked - aim) <= abs(day - aim) for day in ahead)


def strike(word: str) -> StrikeWish:
    """0.30 is a delta, +5% and -5% percent, anything else a price."""
    if word.endswith("%"):
        return StrikeWish(percent=Decimal(word[:-1]))
    number = Decimal(word)
    return StrikeWish(delta=number) if number < 1 else StrikeWish(price=number)


DELTAS = {Decimal(195): 0.62, Decimal(200): 0.5, Decimal(205): 0.38, Decimal(210): 0.27, Decimal(215): 0.18}


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("200", "200"),
        ("200.0", "200"),
        ("+5%", "210"),
        ("-5%", "190"),
        ("+4%", "210"),
        ("0%", "200"),
        ("0.30", "210"),
        ("0.33", "205"),
        ("0.05", "215"),
        ("0.9", "195"),
    ],
)
def test_strikes(word: str, wanted: str) -> None:
    spot = Decimal("201.37")
    assert pick_strike(STRIKES, strike(word), spot, Right.CALL, DELTAS) == Decimal(wanted)
    puts = {strike: -delta for strike, delta in DELTAS.items()}
    assert pick_strike(STRIKES, strike(word), spot, Right.PUT, puts) == Decimal(wanted)


@pytest.mark.parametrize(
    ("word", "spot", "deltas", "sentence"),
    [
        ("+90%", "200", {}, "+90 % is 380.00, and strikes are listed from 150 to 250."),
        ("192", "200", {}, "There is no strike 192; next to it: 190 and 195."),
        ("192.50", "200", {}, "There is no strike 192.5; next to it: 190 and 195."),
        ("100", "200", {}, "There is no strike 100; next to it: 150."),
        ("1000", "200", {}, "There is no strike 1000; next to it: 250."),
        ("+5%", None, {}, "The price of the underlying is not known now: name the strike, for example 190."),
        ("0.30", "200", {}, "No deltas of the calls are known now: name the strike, for example 190."),
        ("0.30", "200", None, "No deltas of the calls are known now: name the strike, for example 190."),
        ("0.30", "200", {Decimal(999): 0.3}, "No deltas of the calls are known now: name the strike, for example 190."),
    ],
)  # fmt: skip
def test_strikes_that_cannot_be_chosen(
    word: str, spot: str | None, deltas: dict[Decimal, float] | None, sentence: str
) -> None:
    with pytest.raises(BadInput) as caught:
        pick_strike(STRIKES, strike(word), None if spot is None else Decimal(spot), Right.CALL, deltas)
    assert str(caught.value) == sentence


def test_no_strikes_at_all() -> None:
    with pytest.raises(BadInput, match="no strikes"):
        pick_strike((), strike("200"), Decimal(200), Right.CALL, None)
    with pytest.raises(ValueError, match="wished by"):
        pick_strike(STRIKES, StrikeWish(), Decimal(200), Right.CALL, None)


def delta_of(strike: Decimal, right: Right, spot: Decimal, days: int, volatility: float) -> float:
    """By QuantLib, without interest."""
    kind = QuantLib.Option.Call if right is Right.CALL else QuantLib.Option.Put
    years = max(days, 1) / 365
    formula = QuantLib.BlackCalculator(
        QuantLib.PlainVanillaPayoff(kind, float(strike)), float(spot), volatility * years**0.5
    )
    return float(formula.delta(float(spot)))


WISHES = st.decimals(min_value="0.05", max_value="0.95", places=2).map(lambda delta: StrikeWish(delta=delta))


@given(
    WISHES, st.integers(20, 400), st.integers(1, 800), st.floats(0.05, 1.5), st.sampled_from(Right),
    st.sampled_from(["0.5", "1", "2.5", "5", "10"]),
)  # fmt: skip
def test_candidates_hold_the_strike_that_all_deltas_would_choose(
    wish: StrikeWish, spot: int, days: int, volatility: float, right: Right, step: str
) -> None:
    """With the true volatility the few that are looked at decide as a look at the whole chain would."""
    strikes = tuple(Decimal(step) * n for n in range(1, 400))
    price = Decimal(spot)
    few = candidates(strikes, wish, price, days, volatility, right)
    assert len(few) <= 8
    assert list(few) == sorted(set(few) & set(strikes))
    every = {one: delta_of(one, right, price, days, volatility) for one in strikes}
    best = pick_strike(strikes, wish, price, right, every)
    chosen = pick_strike(strikes, wish, price, right, {one: every[one] for one in few})
    aim = float(wish.delta or 0)
    assert abs(abs(every[chosen]) - aim) == pytest.approx(abs(abs(every[best]) - aim), abs=1e-9)


@given(WISHES, st.integers(50, 400), st.integers(1, 400), st.floats(0.2, 0.6), st.sampled_from(Right))
def test_candidates_without_a_volatility_come_near(
    wish: StrikeWish, spot: int, days: int, volatility: float, right: Right
) -> None:
    strikes = tuple(Decimal(n) for n in range(1, 1200))
    price = Decimal(spot)
    few = candidates(strikes, wish, price, days, None, right)
    assert 1 <= len(few) <= 8

    def off(of: tuple[Decimal, ...]) -> float:
        deltas = [abs(delta_of(one, right, price, days, volatility)) for one in of]
        return min(abs(delta - float(wish.delta or 0)) for delta in deltas)

    assert off(few) < off(strikes) + 0.15


def test_candidates_without_a_right_serve_both() -> None:
    wish, spot, fine = (
        StrikeWish(delta=Decimal("0.30")),
        Decimal(200),
        tuple(Decimal(n) for n in range(150, 251)),
    )
    both = candidates(fine, wish, spot, 30, 0.3)
    assert len(both) == 8
    for right in Right:
        deltas = {one: delta_of(one, right, spot, 30, 0.3) for one in fine}
        assert pick_strike(fine, wish, spot, right, deltas) in both
    assert all(one > spot for one in candidates(fine, wish, spot, 30, 0.3, Right.CALL))
    assert all(one < spot for one in candidates(fine, wish, spot, 30, 0.3, Right.PUT))


def test_only_a_delta_needs_a_look() -> None:
    for word in ("200", "+5%"):
        assert candidates(STRIKES, strike(word), Decimal(200), 30, 0.3, Right.CALL) == ()
    assert candidates((), strike("0.3"), Decimal(200), 30, 0.3, Right.CALL) == ()


def test_pages() -> None:
    assert page(STRIKES, Decimal("201.3"), None) == (7, STRIKES[7:15])
    assert STRIKES[7:15] == tuple(Decimal(n) for n in range(185, 225, 5))
    assert page(STRIKES, Decimal("201.3"), 15) == (13, STRIKES[13:])
    assert page(STRIKES, Decimal("201.3"), -4) == (0, STRIKES[:8])
    assert page(STRIKES, Decimal(1), None) == (0, STRIKES[:8])
    assert page(STRIKES, Decimal(999), None) == (13, STRIKES[13:])
    assert page(STRIKES[:3], Decimal(150), None) == (0, STRIKES[:3])
    assert page((), None, None) == (0, ())
    assert page(STRIKES, None, None)[0] == 6


@given(
    st.integers(0, 60), st.none() | st.integers(-9, 99), st.integers(1, 12), st.none() | st.integers(1, 700)
)
def test_pages_are_full_where_they_can_be(count: int, first: int | None, rows: int, spot: int | None) -> None:
    strikes = tuple(Decimal(5 * n) for n in range(count))
    place, shown = page(strikes, None if spot is None else Decimal(spot), first, rows)
    assert len(shown) == min(rows, count)
    assert strikes[place : place + len(shown)] == shown
    assert all(low < high for low, high in pairwise(shown))
    if first is None and spot is not None and shown and strikes[0] < spot <= strikes[-1] and rows > 1:
        assert shown[0] < spot <= shown[-1]
