"""Combinations: their number, their net price, and their market as a whole."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.model import Instrument, Leg, OptionQuote, Quote
from core.options.combine import bag, con_id_of, merged, natural, net, opposite, parts, reduced
from tests.core.options.made import JANUARY, NOON, leg, legs, option

APPLE = Instrument(
    1, "AAPL", "STK", "SMART", "NASDAQ", "USD", "APPLE INC", Decimal("0.01"), hours="20261123:0930-1600",
    time_zone="US/Eastern",
)  # fmt: skip

ANY_LEGS = st.lists(
    st.builds(
        Leg,
        st.integers(1, 2**31 - 1),
        st.integers(-200, 200).filter(bool),
        st.sampled_from([option("C100"), option("P95")]),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda leg: leg.con_id,
)


def quote(bid: str | None, ask: str | None) -> OptionQuote:
    return OptionQuote(bid and Decimal(bid), ask and Decimal(ask), None, NOON)  # type: ignore[arg-type]


@given(ANY_LEGS, st.integers(1, 9), st.randoms(use_true_random=False))
def test_number_follows_from_the_legs_alone(some: list[Leg], times: int, chance: object) -> None:
    number = con_id_of(some)
    assert -(2**62) < number < 0
    turned = [replace(one, ratio=one.ratio * times) for one in some]
    chance.shuffle(turned)  # type: ignore[attr-defined]
    assert con_id_of(turned) == number


@given(ANY_LEGS, ANY_LEGS)
def test_other_legs_have_another_number(some: list[Leg], others: list[Leg]) -> None:
    def parts(of: list[Leg]) -> set[tuple[int, int]]:
        return {(one.con_id, one.ratio) for one in reduced(of)[0]}

    assume(parts(some) != parts(others))
    assert con_id_of(some) != con_id_of(others)
    assert con_id_of(opposite(some)) != con_id_of(some)


def test_number_never_changes() -> None:
    """It is stored with orders: another hash would lose them."""
    assert con_id_of([Leg(11, 1), Leg(12, -1)]) == con_id_of([Leg(12, -3), Leg(11, 3)]) == NUMBER


NUMBER = -3378645803317959019


def test_no_legs_have_no_number() -> None:
    with pytest.raises(ValueError, match="at least one leg"):
        con_id_of([])


def test_reduced() -> None:
    assert reduced(legs(C100=2, C105=-4)) == (legs(C100=1, C105=-2), 2)
    assert reduced(legs(S=100, C105=-1)) == (legs(S=100, C105=-1), 1)
    assert reduced(legs(S=300, C105=-3)) == (legs(S=100, C105=-1), 3)
    assert reduced(()) == ((), 1)


@given(ANY_LEGS)
def test_reduced_times_the_divisor_is_what_it_was(some: list[Leg]) -> None:
    less, times = reduced(some)
    assert [(one.con_id, one.ratio * times) for one in less] == [(one.con_id, one.ratio) for one in some]
    assert reduced(less)[1] == 1


@given(ANY_LEGS, ANY_LEGS)
def test_merged_adds_up(some: list[Leg], others: list[Leg]) -> None:
    wanted = {one.con_id: 0 for one in (*some, *others)}
    for one in (*some, *others):
        wanted[one.con_id] += one.ratio
    assert {one.con_id: one.ratio for one in merged(some, others)} == {k: v for k, v in wanted.items() if v}
    assert merged(some, opposite(some)) == ()


def test_a_roll_is_one_combination() -> None:
    """What is held is taken back and the later one opened; a leg that stays is in neither."""
    now, later = legs(C100=1, C105=-1), (*legs(C100=1), leg("C105", -1, JANUARY))
    assert merged(opposite(now), later) == (*legs(C105=1), leg("C105", -1, JANUARY))


@pytest.mark.parametrize(
    ("some", "prices", "price"),
    [
        (legs(C100=1, C105=-1), ("3.59", "1.66"), "1.93"),
        (legs(C100=-1, C105=1), ("3.59", "1.66"), "-1.93"),
        (legs(S=100, C105=-1), ("100", "1.66"), "98.34"),
        (legs(S=-100, C105=1), ("100", "1.66"), "-98.34"),
        (legs(C100=1, C105=-2), ("3.59", "1.66"), "0.27"),
        (legs(P95=-1), ("1.33",), "-1.33"),
        (legs(S=1), ("100",), "100"),
    ],
)
def test_net(some: tuple[Leg, ...], prices: tuple[str, ...], price: str) -> None:
    told = {one.con_id: Decimal(told) for one, told in zip(some, prices, strict=True)}
    assert net(some, told) == Decimal(price)
    with pytest.raises(KeyError):
        net(some, {})


def test_options_on_different_numbers_of_shares_are_no_combination() -> None:
    mixed = [Leg(1, 1, option("C100")), Leg(2, -1, option("C105", multiplier=10))]
    with pytest.raises(ValueError, match="same number of shares"):
        net(mixed, {1: Decimal(1), 2: Decimal(1)})


def test_market_of_the_whole() -> None:
    """Buying it at once pays the asks of what is to be owned and gets the bids of what is to be owed; selling it the other way round."""
    spread = legs(C100=1, C105=-1)
    long, short = (one.con_id for one in spread)
    both = {long: quote("3.50", "3.70"), short: quote("1.60", "1.72")}
    assert natural(spread, both) == (Decimal("1.78"), Decimal("2.10"))
    assert natural(opposite(spread), both) == (Decimal("-2.10"), Decimal("-1.78"))
    assert natural(spread, {**both, short: quote(None, "1.72")}) == (Decimal("1.78"), None)
    assert natural(spread, {**both, long: quote(None, "3.70")}) == (None, Decimal("2.10"))
    assert natural(spread, {long: both[long]}) == (None, None)


def test_market_with_shares() -> None:
    covered = legs(S=100, C105=-1)
    shares, call = (one.con_id for one in covered)
    stock = Quote(Decimal("99.98"), Decimal("100.02"), None, NOON)
    told = natural(covered, {shares: stock, call: quote("1.60", "1.72")})
    assert told == (Decimal("98.26"), Decimal("98.42"))


PRICES = st.decimals(min_value=0, max_value=999, places=2)


@given(ANY_LEGS, st.data())
def test_bid_is_never_above_ask_and_net_lies_between(some: list[Leg], data: st.DataObject) -> None:
    quotes, prices = {}, {}
    for one in some:
        low, middle, high = sorted(data.draw(st.tuples(PRICES, PRICES, PRICES)))
        quotes[one.con_id], prices[one.con_id] = OptionQuote(low, high, None, NOON), middle
    bid, ask = natural(some, quotes)
    assert bid is not None
    assert ask is not None
    assert bid <= net(some, prices) <= ask
    assert natural(opposite(some), quotes) == (-ask, -bid)


def test_bag() -> None:
    spread = legs(C100=1, C105=-1)
    made = bag(APPLE, spread, "AAPL BULL_CALL_SPREAD 100/105 18 Dec 26")
    assert (made.kind, made.symbol, made.currency, made.exchange) == ("BAG", "AAPL", "USD", "SMART")
    assert (made.hours, made.time_zone) == (APPLE.hours, APPLE.time_zone)
    assert (made.min_tick, made.multiplier, made.legs) == (Decimal("0.01"), Decimal(100), spread)
    assert (made.con_id, made.label) == (con_id_of(spread), "AAPL BULL_CALL_SPREAD 100/105 18 Dec 26")
    with pytest.raises(ValueError, match="reduced"):
        bag(APPLE, legs(C100=2, C105=-2), "twice")


def test_parts_are_enough_to_ask_for_their_markets() -> None:
    made = bag(APPLE, legs(S=100, P95=1, C105=-1), "AAPL COLLAR 95/105 18 Dec 26")
    put, call = parts(made)
    assert [(one.kind, one.con_id, one.option) for one in (put, call)] == [
        ("OPT", one.con_id, one.option) for one in made.legs if one.option
    ]
    assert (put.symbol, put.multiplier, put.legs, put.exchange) == ("AAPL", Decimal(100), (), "SMART")
    assert put.label == "AAPL 95 P 18 Dec 26"
    assert parts(put) == (put,)
    assert parts(APPLE) == ()
