"""Strategies among holdings, and what shares and cash are free beside them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import product
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model import Leg, Order, OrderState, Position, Right, Role
from core.options.plan import Group, Strategy
from core.options.recognise import EXACT_UP_TO, groups, key_of, secured, unencumbered
from core.options.strategies import STRATEGIES, name_of
from tests.core.options.made import DECEMBER, JANUARY, SHARES, held, leg, legs, legs_of, order, position


def told(found: Sequence[Group]) -> str:
    """BULL_CALL_SPREAD 100/105 x2; - 105 x1"""

    def line(group: Group) -> str:
        strikes = "/".join(f"{one.option.strike:f}" for one in group.legs if one.option) or "shares"
        return f"{group.strategy or '-'} {strikes} x{group.count.normalize():f}"

    return "; ".join(line(group) for group in found)


@pytest.mark.parametrize(
    ("positions", "wanted"),
    [
        (held(C100=1, C105=-1), "BULL_CALL_SPREAD 100/105 x1"),
        (held(C100=3, C105=-2), "BULL_CALL_SPREAD 100/105 x2; LONG_CALL 100 x1"),
        (held(C100=2, C105=-3), "BULL_CALL_SPREAD 100/105 x2; - 105 x1"),
        (held(C100=-1, C105=1), "BEAR_CALL_SPREAD 100/105 x1"),
        (held(P95=-1, P100=1), "BEAR_PUT_SPREAD 95/100 x1"),
        (held(P95=1, P100=-1), "BULL_PUT_SPREAD 95/100 x1"),
        (held(P85=2, P90=-2, C110=-2, C115=2), "IRON_CONDOR 85/90/110/115 x2"),
        (
            held(P85=2, P90=-2, C110=-1, C115=1),
            "IRON_CONDOR 85/90/110/115 x1; BULL_PUT_SPREAD 85/90 x1",
        ),
        (held(S=100, C105=-1), "COVERED_CALL 105 x1"),
        (held(S=250, C105=-3), "COVERED_CALL 105 x2; - shares x50; - 105 x1"),
        (held(S=99, C105=-1), "- shares x99; - 105 x1"),
        (held(S=-100, C105=-1), "- shares x100; - 105 x1"),
        (held(S=100, P95=1), "PROTECTIVE_PUT 95 x1"),
        (held(S=300, P95=2, C105=-1), "COLLAR 95/105 x1; PROTECTIVE_PUT 95 x1; - shares x100"),
        (held(C100=1, P100=1), "LONG_STRADDLE 100/100 x1"),
        (held(C105=1, P95=1), "LONG_STRANGLE 95/105 x1"),
        (held(C95=1, P105=1), "LONG_CALL 95 x1; LONG_PUT 105 x1"),
        (held(P95=-2), "CASH_SECURED_PUT 95 x2"),
        (held(C105=-2), "- 105 x2"),
        (held(S=10), "- shares x10"),
        (held(C100=0), ""),
        # Two options that bound each other come before the shares that need no cover.
        (held(S=100, C100=1, C105=-1), "BULL_CALL_SPREAD 100/105 x1; - shares x100"),
        # Legs held in equal numbers belong together, whatever lies between.
        (held(C100=3, C105=5, C110=-3), "BULL_CALL_SPREAD 100/110 x3; LONG_CALL 105 x5"),
        (held(C100=1, C105=1, C110=-1), "BULL_CALL_SPREAD 105/110 x1; LONG_CALL 100 x1"),
        (
            held(P80=1, P85=-1, P90=1, P95=-1, C105=-1, C110=1, C115=-1, C120=1),
            "IRON_CONDOR 90/95/105/110 x1; IRON_CONDOR 80/85/115/120 x1",
        ),
        (
            (position("C100", 1), position("C105", -1, JANUARY)),
            "LONG_CALL 100 x1; - 105 x1",
        ),
        (
            (position("S", 100), position("S", 100, symbol="MSFT"), position("C105", -1, symbol="MSFT")),
            "- shares x100; COVERED_CALL 105 x1",
        ),
        ((position("S", "12.5"),), "- shares x12.5"),
        ((position("S", "100.5"), position("C105", -1)), "COVERED_CALL 105 x1; - shares x0.5"),
    ],
)  # fmt: skip
def test_worked_examples(positions: tuple[Position, ...], wanted: str) -> None:
    assert told(groups(positions)) == wanted


def test_group_bears_its_legs_as_held_and_its_positions_whole() -> None:
    shares, call = held(S=250, C105=-1)
    found = groups((call, shares))[0]
    assert found.legs == legs(S=100, C105=-1)
    assert (found.count, found.symbol, found.currency, found.expiry) == (Decimal(1), "AAPL", "USD", DECEMBER)
    assert found.positions == (shares, call)


def test_options_of_another_class_are_apart() -> None:
    """After a split the old options are on other shares than the new."""
    long, short = held(C100=1, C105=-1)
    assert short.option
    other = replace(short, option=replace(short.option, trading_class="AAPL1"))
    assert told(groups((long, other))) == "LONG_CALL 100 x1; - 105 x1"
    small = replace(short, option=replace(short.option, multiplier=Decimal(10)))
    assert told(groups((long, small))) == "LONG_CALL 100 x1; - 105 x1"
    assert told(groups((*held(S=10), small))) == "COVERED_CALL 105 x1"


def test_what_is_neither_shares_nor_an_option_covers_nothing() -> None:
    bond = replace(position("S", 100), kind="BOND")
    assert told(groups((bond, position("C105", -1)))) == "- shares x100; - 105 x1"


def test_keys_fit_a_button_and_never_change() -> None:
    """A button that was sent before a restart must still find its group."""
    assert key_of(legs(C100=1, C105=-1)) == key_of(legs(C105=-2, C100=2)) == "g56e9504de58d694e"
    first, second = groups(held(C100=1, C105=-1)), groups(held(C100=7, C105=-7))
    assert first[0].key == second[0].key == "g56e9504de58d694e"


WORDS = ["S", *(f"{right}{strike}" for right in "CP" for strike in (90, 95, 100, 105, 110))]
HOLDINGS = st.lists(
    st.tuples(st.sampled_from(WORDS), st.sampled_from([DECEMBER, JANUARY]), st.integers(-4, 4)), max_size=14
).map(lambda lines: tuple(_one_each(lines)))


def _one_each(lines: list[tuple[str, date, int]]) -> list[Position]:
    found = {
        (word, DECEMBER if word == "S" else expiry): quantity * (75 if word == "S" else 1)
        for word, expiry, quantity in lines
    }
    return [position(word, quantity, expiry) for (word, expiry), quantity in found.items()]


@given(HOLDINGS, st.randoms(use_true_random=False))
def test_groups_are_exactly_what_is_held(positions: tuple[Position, ...], chance: object) -> None:
    """Nothing twice, nothing left out, nothing turned round, and the same in any order."""
    found = groups(positions)
    used: dict[int, Decimal] = defaultdict(Decimal)
    for group in found:
        assert group.count > 0
        for one in group.legs:
            used[one.con_id] += one.ratio * group.count
    assert dict(used) == {p.con_id: p.signed_quantity for p in positions if p.signed_quantity}
    for had in positions:
        parts = [part.ratio for group in found for part in group.legs if part.con_id == had.con_id]
        assert all(part * had.signed_quantity > 0 for part in parts)
    turned = list(positions)
    chance.shuffle(turned)  # type: ignore[attr-defined]
    assert groups(turned) == found


@given(HOLDINGS)
def test_groups_are_what_they_are_called(positions: tuple[Position, ...]) -> None:
    found = groups(positions)
    for group in found:
        assert group.strategy is name_of(group.legs)
        assert {p.con_id for p in group.positions} == {one.con_id for one in group.legs}
        assert group.key == key_of(group.legs)
        assert len(group.key) <= 24
        assert group.key.isascii()
    assert len({group.key for group in found}) == len(found)


@given(HOLDINGS)
def test_nothing_that_is_left_would_make_another_strategy(positions: tuple[Position, ...]) -> None:
    """Greedy to the end: no two or three of the single rests belong together."""
    rest = {g.legs[0].con_id: g for g in groups(positions) if len(g.legs) == 1}
    singles = list(rest.values())
    for one, two in product(singles, singles):
        pair = [_for_combination(group) for group in (one, two)]
        if one is two or None in pair:
            continue
        assert name_of([leg for leg in pair if leg]) is None


def _for_combination(group: Group) -> Leg | None:
    one = group.legs[0]
    if one.option:
        return one
    return Leg(one.con_id, 100 * one.ratio) if group.count >= 100 else None


@given(st.sampled_from(Strategy), st.integers(1, 9))
def test_every_strategy_is_found_again(strategy: Strategy, count: int) -> None:
    strikes = [Decimal(strike) for strike in (90, 95, 105, 110)[: STRATEGIES[strategy].strikes]]
    made = legs_of(strategy, strikes)
    positions = [
        Position("DU1", one.con_id, "AAPL", "USD", Decimal(one.ratio * count), None, option=one.option)
        for one in made
    ]
    (found,) = groups(positions)
    assert (found.strategy, found.legs, found.count) == (strategy, made, Decimal(count))


def test_an_account_full_of_options_is_read_in_time() -> None:
    """80 options of one expiry, of every kind."""
    many = [
        position(f"{right}{50 + n}", (1 + n % 3) * (1 if n % 2 else -1)) for right in "CP" for n in range(40)
    ]
    start = perf_counter()
    assert sum(len(group.legs) for group in groups(many)) >= 80
    assert perf_counter() - start < 2


# What is free


@pytest.mark.parametrize(
    ("positions", "working", "free"),
    [
        (held(S=250), [], 250),
        (held(C100=1), [], 0),
        (held(S=250, C105=-1), [], 150),
        (held(S=100, C105=-2), [], -100),
        (held(S=100, C105=-2, C110=2), [], 100),
        (held(S=100, C105=-1, P95=-1), [], 0),
        # A long call covers a short one that lasts no longer.
        ((*held(S=100, C105=-1), position("C110", 1, JANUARY)), [], 100),
        ((*held(S=100, C110=1), position("C105", -1, JANUARY)), [], 0),
        (held(S=250), [order("SELL", 40, "S")], 210),
        (held(S=250), [order("SELL", 40, "S", filled=15)], 225),
        (held(S=250), [order("SELL", 40, "S", state=OrderState.CANCELLED)], 250),
        (held(S=250), [order("SELL", 40, "S", state=OrderState.UNKNOWN)], 210),
        (held(S=250), [order("BUY", 40, "S")], 250),
        (held(S=250), [order("SELL", 1, "C105")], 150),
        (held(S=250), [order("SELL", 1, "C105"), order("BUY", 1, "C110", number=2)], 150),
        (held(S=250), [order("SELL", 1, "P95")], 250),
        (held(S=250, C105=1), [order("SELL", 1, "C105")], 250),
        (held(S=250, C105=1, C110=-1), [order("SELL", 1, "C105")], 150),
        (held(S=250, C105=-1), [order("BUY", 1, "C105")], 150),
        # A combination trades as one: its own long call covers its short one.
        (held(S=250), [order("BUY", 2, legs(C100=1, C105=-1))], 250),
        (held(S=250), [order("BUY", 2, legs(S=100, C105=-1))], 250),
        (held(S=100, C105=-1), [order("BUY", 1, legs(S=-100, C105=1))], 0),
        (held(S=100, C105=-1), [order("BUY", 1, (leg("C105", 1), leg("C110", -1, JANUARY)))], 0),
        (held(S=100, C100=1, C105=-1), [order("BUY", 1, legs(C100=-1, C105=1))], 100),
        (held(S=100), [order("SELL", 1, legs(C100=1, C105=-1))], 100),
        (held(S=100), [order("BUY", 1, (leg("C105", 1), leg("C110", -1, JANUARY)))], 0),
        # Of two that undo each other one may trade alone.
        (held(S=100), [order("BUY", 1, legs(C105=-1, P95=1)), order("BUY", 1, legs(C105=1, P95=-1), number=2)], 0),
        # Other symbols have nothing to do with it.
        ((*held(S=100), position("C105", -1, symbol="MSFT")), [order("SELL", 1, "C105", symbol="MSFT")], 100),
    ],
)  # fmt: skip
def test_free_shares(positions: tuple[Position, ...], working: list[Order], free: int) -> None:
    assert unencumbered(SHARES, "AAPL", positions, working) == free


def test_protection_promises_shares_once() -> None:
    """A stop and a target cancel each other, and those of an entry protect what it has bought."""
    stop = order("SELL", 100, "S", number=2, role=Role.STOP, ref="e.s", parent=1)
    target = order("SELL", 100, "S", number=3, role=Role.TARGET, ref="e.t", parent=1)
    assert unencumbered(SHARES, "AAPL", held(S=250), [stop, target]) == 150
    entry = order("BUY", 100, "S", number=1, filled=30, state=OrderState.PARTIAL, ref="e")
    assert unencumbered(SHARES, "AAPL", held(S=250), [entry, stop, target]) == 220


def test_a_sale_that_moves_stops_has_their_shares() -> None:
    """Not those of calls, nor of other sales."""
    stop = order("SELL", 100, "S", number=2, role=Role.STOP)
    sale = order("SELL", 30, "S", number=3)
    positions = held(S=250, C105=-1)
    assert unencumbered(SHARES, "AAPL", positions, [stop, sale]) == 20
    assert unencumbered(SHARES, "AAPL", positions, [stop, sale], stops_move=True) == 120


@pytest.mark.parametrize(
    ("positions", "working", "cash"),
    [
        ((), [], 0),
        (held(P95=-1), [], 9500),
        (held(P95=-2, P90=1), [], 9500),
        (held(P95=-1, P90=1), [], 0),
        ((*held(P95=-1), position("P90", 1, JANUARY)), [], 0),
        ((*held(P90=1), position("P95", -1, JANUARY)), [], 9500),
        # What is covered is counted as the cheaper one.
        (held(P95=-1, P50=-1, P45=1), [], 9500),
        (held(P95=-1, C105=-1), [], 9500),
        ((), [order("SELL", 2, "P95")], 19000),
        ((), [order("SELL", 2, "P95", filled=1, state=OrderState.PARTIAL)], 9500),
        ((), [order("SELL", 2, "C95")], 0),
        (held(P90=1), [order("SELL", 1, "P95")], 0),
        (held(P90=1, P95=-1), [order("SELL", 1, "P90")], 9500),
        (held(P95=-1), [order("BUY", 1, "P95")], 9500),
        ((), [order("BUY", 1, legs(P90=1, P95=-1))], 0),
        ((), [order("BUY", 1, legs(P95=-1, C105=-1))], 9500),
        (held(P90=1, P95=-1), [order("BUY", 1, legs(P90=-1, P95=1))], 0),
        (held(P95=-1), [order("BUY", 1, (leg("P95", 1), leg("P90", -1, JANUARY)))], 9500),
        (held(P90=-1), [order("BUY", 1, (leg("P90", 1), leg("P95", -1, JANUARY)))], 9500),
        ((), [order("BUY", 1, legs(C105=-1, P95=1)), order("BUY", 1, legs(C105=1, P95=-1), number=2)], 9500),
        ((position("P95", -1, symbol="MSFT"),), [], 0),
    ],
)  # fmt: skip
def test_cash_that_short_puts_tie_up(
    positions: tuple[Position, ...], working: list[Order], cash: int
) -> None:
    assert secured("AAPL", positions, working) == cash


@given(HOLDINGS)
def test_as_many_calls_are_covered_as_can_be(positions: tuple[Position, ...]) -> None:
    """Against pairing by hand: from the latest short call, each takes the long call that lasts the least longer."""
    shares = sum((p.signed_quantity for p in positions if p.option is None), Decimal(0))
    bare = 0
    longs = sorted(
        p.option.expiry
        for p in positions
        if p.option and p.option.right is Right.CALL
        for _ in range(int(p.signed_quantity))
    )
    shorts = sorted(
        (
            p.option.expiry
            for p in positions
            if p.option and p.option.right is Right.CALL
            for _ in range(-int(p.signed_quantity))
        ),
        reverse=True,
    )
    for expiry in shorts:
        able = [day for day in longs if day >= expiry]
        if able:
            longs.remove(able[0])
        else:
            bare += 1
    assert unencumbered(SHARES, "AAPL", positions, ()) == shares - 100 * bare


LEGS = st.dictionaries(
    st.tuples(st.sampled_from(["S", "C95", "C105", "P90", "P95"]), st.sampled_from([DECEMBER, JANUARY])),
    st.sampled_from([-1, 1]),
    min_size=1,
    max_size=3,
).map(
    lambda of: combined(
        tuple(leg(word, sign * (100 if word == "S" else 1), day) for (word, day), sign in of.items())
    )
)


def combined(of: tuple[Leg, ...]) -> tuple[Leg, ...]:
    return tuple(
        {one.con_id: one for one in of}.values()
    )  # shares have no expiry, so they may be there twice


@given(HOLDINGS, st.lists(st.tuples(LEGS, st.integers(1, 2)), max_size=3))
def test_no_way_to_be_filled_leaves_less(
    positions: tuple[Position, ...], orders: list[tuple[tuple[Leg, ...], int]]
) -> None:
    """What is promised to working orders is enough whichever of them trade, and however much of each; and no more than the worst of it."""
    working = [order("BUY", quantity, of, number=n) for n, (of, quantity) in enumerate(orders, 1)]
    frees, cashes = [], []
    for counts in product(*(range(quantity + 1) for _, quantity in orders)):
        after = {p.con_id: p for p in positions}
        for (of, _), count in zip(orders, counts, strict=True):
            for one in of:
                nothing = Position("DU1", one.con_id, "AAPL", "USD", Decimal(0), None, option=one.option)
                before = after.get(one.con_id, nothing)
                change = one.ratio * count
                after[one.con_id] = replace(before, signed_quantity=before.signed_quantity + change)
        frees.append(unencumbered(SHARES, "AAPL", list(after.values()), ()))
        cashes.append(secured("AAPL", list(after.values()), ()))
    assert unencumbered(SHARES, "AAPL", positions, working) == min(frees)
    assert secured("AAPL", positions, working) == max(cashes)


@given(HOLDINGS, st.integers(1, 12))
def test_many_combinations_at_work_are_taken_at_their_worst(
    positions: tuple[Position, ...], count: int
) -> None:
    """Rolls of a covered call: each may add a call that outlasts what it closes; more of them never free anything."""
    roll = (leg("C105", 1), leg("C110", -1, JANUARY))
    working = [order("BUY", 1, roll, number=n) for n in range(1, count + 1)]
    before = unencumbered(SHARES, "AAPL", positions, working[:-1])
    assert unencumbered(SHARES, "AAPL", positions, working) <= before


def test_beyond_a_few_combinations_only_what_they_sell_is_counted() -> None:
    """Every way to fill 40 orders cannot be tried; each calendar would cover its own call, which is then not believed."""
    calendar = (leg("C105", -1), leg("C110", 1, JANUARY))
    working = [order("BUY", 1, calendar, number=n) for n in range(1, 41)]
    assert unencumbered(SHARES, "AAPL", held(S=5000), working[:EXACT_UP_TO]) == 5000
    assert unencumbered(SHARES, "AAPL", held(S=5000), working) == 1000
