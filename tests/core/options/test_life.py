"""After the fill: nudges that are said once, and what the broker's own moves mean."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model import Dividend, Execution, OptionTerms, Side
from core.options.life import Nudge, explained, nudges
from core.options.plan import Group
from core.options.recognise import groups
from tests.core.options.made import DECEMBER, JANUARY, NOON, TODAY, con_id, held, leg, option, position

SPREAD = groups(held(C100=2, C105=-2))
SPOT = {"AAPL": Decimal("102.50")}
DIVIDEND = {"AAPL": Dividend(date(2026, 12, 10), Decimal("0.25"))}


def told(found: Sequence[Nudge]) -> list[str]:
    return [nudge.kind.value for nudge in found]


def told_over(days: Sequence[date], some: Sequence[Group]) -> list[tuple[int, int]]:
    """(days left, days left as told) of each that is said, every key once."""
    said: set[str] = set()
    found = []
    for day in days:
        for nudge in nudges(some, SPOT, {}, {}, day):
            if nudge.key not in said:
                said.add(nudge.key)
                found.append(((DECEMBER - day).days, int(nudge.facts["days_left"])))
    return found


def test_expiry_is_told_three_times() -> None:
    days = [DECEMBER - timedelta(left) for left in range(30, -3, -1)]
    assert told_over(days, SPREAD) == [(5, 5), (1, 1), (0, 0)]


def test_who_starts_late_is_told_the_days_that_are_left() -> None:
    assert told_over([DECEMBER - timedelta(left) for left in (3, 2, 1, 0)], SPREAD) == [
        (3, 3),
        (1, 1),
        (0, 0),
    ]
    assert told_over([DECEMBER], SPREAD) == [(0, 0)]
    assert told_over([DECEMBER + timedelta(1)], SPREAD) == []


@given(st.sets(st.integers(-3, 12)))
def test_expiry_whenever_somebody_looks(left: set[int]) -> None:
    """However often and on whichever days it is asked: each threshold once at most, the last one passed is always told, never a past day."""
    found = told_over([DECEMBER - timedelta(n) for n in sorted(left, reverse=True)], SPREAD)
    assert all(at == said for at, said in found)
    seen = [n for n in left if 0 <= n <= 5]
    stages = {0 if n == 0 else 1 if n == 1 else 5 for n in seen}
    assert len(found) == len(stages)


def test_a_group_of_two_expiries_is_told_of_each() -> None:
    both = Group(
        "g1", None, "AAPL", "USD", (leg("C105", -1), leg("C105", 1, JANUARY)), Decimal(1),
        (position("C105", -1), position("C105", 1, JANUARY)),
    )  # fmt: skip
    assert [n.facts["expiry"] for n in nudges([both], {}, {}, {}, DECEMBER)] == ["2026-12-18"]
    assert [n.facts["expiry"] for n in nudges([both], {}, {}, {}, JANUARY)] == ["2027-01-15"]


def test_shares_have_nothing_to_tell() -> None:
    assert nudges(groups(held(S=100)), SPOT, {}, DIVIDEND, TODAY) == ()


@pytest.mark.parametrize(
    ("quantities", "spot", "labels"),
    [
        ({"C100": 2, "C105": -2}, "105.01", ["AAPL 105 C 18 Dec 26"]),
        ({"C100": 2, "C105": -2}, "105", []),
        ({"P95": -1}, "94.99", ["AAPL 95 P 18 Dec 26"]),
        ({"P95": -1}, "95", []),
        ({"P95": 1, "C90": 1}, "92", []),
        ({"P85": 1, "P90": -1, "C110": -1, "C115": 1}, "111", ["AAPL 110 C 18 Dec 26"]),
    ],
)
def test_short_legs_in_the_money(quantities: dict[str, int], spot: str, labels: list[str]) -> None:
    found = nudges(groups(held(**quantities)), {"AAPL": Decimal(spot)}, {}, {}, TODAY)
    assert [nudge.facts["label"] for nudge in found] == labels
    assert set(told(found)) <= {"in_the_money"}


def test_in_the_money_is_said_on_the_last_day_too_and_not_after() -> None:
    spots = {"AAPL": Decimal(106)}
    assert told(nudges(SPREAD, spots, {}, {}, DECEMBER)) == ["expiry", "in_the_money"]
    assert nudges(SPREAD, spots, {}, {}, DECEMBER + timedelta(1)) == ()


def test_in_the_money_is_said_once_whatever_the_price_does() -> None:
    keys = [
        nudge.key
        for spot in ("106", "104", "120")
        for nudge in nudges(SPREAD, {"AAPL": Decimal(spot)}, {}, {}, TODAY)
    ]
    assert len(keys) == 2
    assert len(set(keys)) == 1


@pytest.mark.parametrize(
    ("word", "spot", "value", "ex_date", "said"),
    [
        ("C95", "100", "0.24", date(2026, 12, 10), True),
        ("C95", "100", "0.25", date(2026, 12, 10), False),
        ("C95", "100", None, date(2026, 12, 10), False),
        ("C95", None, "0.24", date(2026, 12, 10), False),
        ("C95", "95", "0.24", date(2026, 12, 10), False),  # nobody exercises what is not in the money
        ("C95", "100", "0.24", DECEMBER, True),
        ("C95", "100", "0.24", DECEMBER + timedelta(1), False),
        ("C95", "100", "0.24", TODAY + timedelta(1), True),
        ("C95", "100", "0.24", TODAY, False),
        ("P105", "100", "0.24", date(2026, 12, 10), False),
    ],
)
def test_dividends(word: str, spot: str | None, value: str | None, ex_date: date, said: bool) -> None:
    found = nudges(
        groups(held(S=100, **{word: -1})),
        {} if spot is None else {"AAPL": Decimal(spot)},
        {con_id(word): None if value is None else Decimal(value)},
        {"AAPL": Dividend(ex_date, Decimal("0.25"))},
        TODAY,
    )
    assert ("ex_dividend" in told(found)) is said


def test_the_next_dividend_is_another_thing() -> None:
    some = groups(held(S=100, C95=-1))
    values, spots = {con_id("C95"): Decimal("0.10")}, {"AAPL": Decimal(100)}
    keys = {
        nudge.key
        for day in (date(2026, 12, 10), date(2026, 12, 16))
        for nudge in nudges(some, spots, values, {"AAPL": Dividend(day, Decimal("0.25"))}, TODAY)
        if nudge.kind == "ex_dividend"
    }
    assert len(keys) == 2


def test_facts_are_ready_to_be_stored() -> None:
    values = {con_id("C95"): Decimal("0.10")}
    found = nudges(groups(held(S=200, C95=-2)), SPOT, values, DIVIDEND, DECEMBER - timedelta(9))
    assert json.loads(json.dumps([dict(nudge.facts) for nudge in found])) == [dict(n.facts) for n in found]
    assert found[-1].facts == {
        "con_id": con_id("C95"), "label": "AAPL 95 C 18 Dec 26", "expiry": "2026-12-18", "strike": "95", "right": "C",
        "contracts": "2", "spot": "102.50", "in_the_money": "7.50", "ex_date": "2026-12-10", "amount": "0.25",
        "time_value": "0.10",
    }  # fmt: skip


@given(st.integers(-4, 4), st.integers(-4, 4), st.integers(0, 3), st.integers(80, 120), st.integers(0, 6))
def test_no_key_twice_on_one_day(calls: int, puts: int, hundreds: int, spot: int, left: int) -> None:
    some = groups(held(S=100 * hundreds, C95=calls, C105=-calls, P95=puts, P100=-1))
    values = {con_id(word): Decimal("0.05") for word in ("C95", "C105", "P95", "P100")}
    near = {"AAPL": Dividend(DECEMBER, Decimal(1))}
    found = nudges(some, {"AAPL": Decimal(spot)}, values, near, DECEMBER - timedelta(left))
    assert len({nudge.key for nudge in found}) == len(found)
    assert all(nudge.key.startswith(nudge.group.key + ":") for nudge in found)


# What the broker did

EVENING = datetime(2026, 12, 18, 21, 20, 7, tzinfo=NOON.tzinfo)


def move(
    number: int,
    side: str,
    quantity: int,
    price: str,
    of: OptionTerms | None = None,
    at: datetime = EVENING,
    order_id: int = 0,
    revision: int = 1,
) -> Execution:
    return Execution(
        f"0000e0d5.{number:08}.01.{revision:02}", "DU1", 7 if of else 1, "AAPL", "USD", Side(side), Decimal(quantity),
        Decimal(price), at, 0, order_id, order_id, "", kind="OPT" if of else "STK", option=of,
    )  # fmt: skip


C100, P100 = option("C100"), option("P100")


@pytest.mark.parametrize(
    ("executions", "wanted"),
    [
        ([move(1, "SELL", 2, "0", C100)], "expired"),
        ([move(1, "BUY", 2, "0", P100)], "expired"),
        ([move(1, "SELL", 2, "0", C100), move(2, "BUY", 200, "100")], "exercised"),
        ([move(1, "BUY", 2, "0", C100), move(2, "SELL", 200, "100")], "assigned"),
        ([move(1, "SELL", 2, "0", P100), move(2, "SELL", 200, "100")], "exercised"),
        ([move(1, "BUY", 2, "0", P100), move(2, "BUY", 200, "100")], "assigned"),
        # Before its last day it cannot have expired; perhaps the shares are told later.
        ([move(1, "BUY", 2, "0", P100, at=NOON)], "unclear"),
        ([move(1, "BUY", 2, "0", P100, at=NOON), move(2, "BUY", 200, "100", at=NOON)], "assigned"),
        # Shares that moved at the strike in that second, but in another number.
        ([move(1, "BUY", 2, "0", P100), move(2, "BUY", 100, "100")], "unclear"),
        # Shares of another price, another second, or an order of ours, have nothing to do with it.
        ([move(1, "BUY", 2, "0", P100), move(2, "BUY", 200, "99")], "expired"),
        (
            [move(1, "BUY", 2, "0", P100), move(2, "BUY", 200, "100", at=EVENING + timedelta(seconds=1))],
            "expired",
        ),
        ([move(1, "BUY", 2, "0", P100), move(2, "BUY", 200, "100", order_id=9)], "expired"),
        # A trade is a trade.
        ([move(1, "SELL", 2, "0", C100, order_id=9)], ""),
        ([move(1, "SELL", 2, "0.01", C100)], ""),
        ([move(1, "SELL", 200, "100")], ""),
        ([], ""),
    ],
)
def test_what_moves_at_no_price_mean(executions: list[Execution], wanted: str) -> None:
    for told in (executions, executions[::-1], executions * 2):
        assert " ".join(event.kind for event in explained(told)) == wanted


def test_an_event_knows_its_executions() -> None:
    option_gone, shares = move(1, "BUY", 2, "0", P100), move(2, "BUY", 200, "100")
    (event,) = explained([shares, option_gone])
    assert (event.closing, event.shares, event.contracts, event.at) == (
        option_gone,
        shares,
        Decimal(2),
        EVENING,
    )
    assert event.key == f"{option_gone.key}:assigned"


def test_a_spread_that_ends_in_the_money_is_both() -> None:
    """Its long call is exercised and its short one assigned, in one second."""
    found = explained(
        [
            move(1, "SELL", 1, "0", C100),
            move(2, "BUY", 100, "100"),
            move(3, "BUY", 1, "0", option("C105")),
            move(4, "SELL", 100, "105"),
        ]
    )
    assert [(event.kind.value, event.shares and event.shares.price) for event in found] == [
        ("exercised", Decimal(100)),
        ("assigned", Decimal(105)),
    ]


def test_shares_that_could_be_of_either_leave_both_unclear() -> None:
    """A long call and a short put of one strike end in one second, and 100 shares come: exercised or assigned, nobody can tell."""
    found = explained(
        [move(1, "SELL", 1, "0", C100), move(2, "BUY", 1, "0", P100), move(3, "BUY", 100, "100")]
    )
    assert [event.kind.value for event in found] == ["unclear", "unclear"]


def test_an_option_of_unknown_terms_is_unclear() -> None:
    unknown = replace(move(1, "SELL", 1, "0", C100), option=None)
    assert [event.kind.value for event in explained([unknown])] == ["unclear"]


def test_a_correction_keeps_the_key() -> None:
    first = move(1, "SELL", 2, "0", C100)
    (was,), (now,) = explained([first]), explained([first, move(1, "SELL", 3, "0", C100, revision=2)])
    assert was.key == now.key
    assert (was.contracts, now.contracts) == (Decimal(2), Decimal(3))


def test_shares_that_come_later_make_it_another_event() -> None:
    """What was unclear becomes clear, and is then said."""
    gone, shares = move(1, "BUY", 1, "0", P100, at=NOON), move(2, "BUY", 100, "100", at=NOON)
    (before,), (after,) = explained([gone]), explained([gone, shares])
    assert (before.kind, after.kind) == ("unclear", "assigned")
    assert before.key != after.key


ENDS = st.lists(
    st.tuples(
        st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 3), st.sampled_from([C100, P100, option("C105")]), st.booleans()
    ),
    max_size=6,
)  # fmt: skip


@given(ENDS)
def test_no_shares_are_used_twice_and_no_end_is_left_out(
    ends: list[tuple[Side, int, OptionTerms, bool]],
) -> None:
    executions: list[Execution] = []
    for n, (side, count, of, used) in enumerate(ends):
        executions.append(move(2 * n, side, count, "0", of))
        if used:
            way = Side.BUY if (side is Side.SELL) is (of.right == "C") else Side.SELL
            executions.append(move(2 * n + 1, way, 100 * count, str(of.strike)))
    found = explained(executions)
    assert sorted(event.closing.key for event in found) == sorted(e.key for e in executions if e.option)
    shares = [event.shares.key for event in found if event.shares]
    assert sorted(shares) == sorted(e.key for e in executions if not e.option)
    for event in found:
        if event.shares and event.closing.option:
            assert event.shares.quantity == event.contracts * 100
            assert event.shares.price == event.closing.option.strike
