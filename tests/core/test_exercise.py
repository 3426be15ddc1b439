"""Which executions are the end of an option, and which shares belong to it: every direction, look-alikes, and any order of telling."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import permutations

import pytest

from core.exercise import Ending, How, endings, ends_option
from core.model import Execution, OptionTerms, Right, Side
from tests.values import NOW, execution

CALL = OptionTerms(NOW.date(), Decimal(190), Right.CALL)
PUT = replace(CALL, right=Right.PUT)
CON_IDS = {Right.CALL: 7001, Right.PUT: 7002}


def ended(side: Side, terms: OptionTerms, number: int = 1, contracts: int = 1) -> Execution:
    """A close at price zero by no order: SELL ends a long, BUY a short."""
    return replace(
        execution(contracts, "0", side=side, exec_id=f"0000e0d5.{number:08}.01.01", time=NOW),
        con_id=CON_IDS[terms.right], order_id=0, perm_id=0, order_ref="", kind="OPT", option=terms,
    )  # fmt: skip


def moved(side: Side, number: int = 2, quantity: int = 100, price: str = "190") -> Execution:
    """Shares that went or came by no order."""
    return replace(
        execution(quantity, price, side=side, exec_id=f"0000e0d5.{number:08}.01.01", time=NOW),
        order_id=0, perm_id=0, order_ref="",
    )  # fmt: skip


def told(executions: Sequence[Execution]) -> list[tuple[str, bool]]:
    return [(ending.how.value, ending.shares is not None) for ending in endings(executions)]


@pytest.mark.parametrize(
    ("closes", "terms", "shares", "how"),
    [
        (Side.SELL, CALL, Side.BUY, How.EXERCISED),
        (Side.BUY, CALL, Side.SELL, How.ASSIGNED),
        (Side.SELL, PUT, Side.SELL, How.EXERCISED),
        (Side.BUY, PUT, Side.BUY, How.ASSIGNED),
    ],
)
def test_the_four_ways(closes: Side, terms: OptionTerms, shares: Side, how: How) -> None:
    """A holder exercises, a writer is assigned; calls and puts move shares opposite ways; the wrong way is no sign of it."""
    end = ended(closes, terms)
    assert endings([end, moved(shares)]) == (Ending(end, how, moved(shares)),)
    wrong = moved(Side.BUY if shares is Side.SELL else Side.SELL)
    assert endings([wrong, end]) == (Ending(end, How.EXPIRED),)
    assert endings([end]) == (Ending(end, How.EXPIRED),)


@pytest.mark.parametrize(
    "other",
    [
        {"account": "DU7"}, {"time": NOW + timedelta(seconds=1)}, {"symbol": "MSFT"}, {"currency": "EUR"}, {"price": Decimal("190.01")},
        {"quantity": Decimal(99)}, {"quantity": Decimal(0)}, {"order_id": 9}, {"perm_id": 9}, {"order_ref": "01TICKET"}, {"kind": "OPT"},
    ],
)  # fmt: skip
def test_shares_that_do_not_belong(other: dict[str, object]) -> None:
    """Whatever differs from what an exercise brings is a trade by itself."""
    assert told([ended(Side.SELL, CALL), replace(moved(Side.BUY), **other)])[0] == ("EXPIRED", False)  # type: ignore[arg-type]


def test_shares_in_parts_are_not_taken_for_none() -> None:
    """Three puts and 100 and 200 shares at their strike: whose they are is in doubt, and so is that the puts expired."""
    end = ended(Side.BUY, PUT, contracts=3)
    parts = [moved(Side.BUY, 2, 100), moved(Side.BUY, 3, 200)]
    assert endings([end, *parts]) == (Ending(end, How.EXPIRED, doubtful=True),)
    later = [replace(part, time=NOW + timedelta(seconds=1)) for part in parts]
    assert endings([end, *later]) == (Ending(end, How.EXPIRED),)


def test_the_last_day_is_the_exchange_s() -> None:
    """The evening before it in New York is the last day already in Greenwich, and too early all the same."""
    evening = NOW.replace(hour=2)
    assert endings([replace(ended(Side.BUY, PUT), time=evening)])[0].doubtful
    assert not endings([replace(ended(Side.BUY, PUT), time=NOW)])[0].doubtful


def test_within_the_second() -> None:
    """The broker tells times to the second; parts of one do not separate what belongs together."""
    assert told(
        [ended(Side.SELL, CALL), replace(moved(Side.BUY), time=NOW.replace(microsecond=900_000))]
    ) == [("EXERCISED", True)]


@pytest.mark.parametrize(
    "other", [{"price": Decimal("0.01")}, {"order_id": 3}, {"perm_id": 3}, {"order_ref": "A"}, {"kind": "STK"}, {"quantity": Decimal(0)}]
)  # fmt: skip
def test_what_is_no_end(other: dict[str, object]) -> None:
    """An option that is sold for something, or by an order, was sold."""
    sale = replace(ended(Side.SELL, CALL), **other)  # type: ignore[arg-type]
    assert not ends_option(sale)
    assert endings([sale, moved(Side.BUY)]) == ()


def test_contracts_times_multiplier() -> None:
    """Two contracts of 100 bring 200 shares; an adjusted one brings what it says."""
    assert told([ended(Side.SELL, CALL, contracts=2), moved(Side.BUY, quantity=200)]) == [("EXERCISED", True)]
    assert told([ended(Side.SELL, CALL, contracts=2), moved(Side.BUY)]) == [("EXPIRED", False)]
    odd = replace(CALL, multiplier=Decimal(150))
    assert told([ended(Side.SELL, odd), moved(Side.BUY, quantity=150)]) == [("EXERCISED", True)]


def test_shares_belong_to_one_end_only() -> None:
    """Of two contracts that end one by one, one exercised, the shares go to one of them, and it is no doubt: they are alike."""
    one, two = ended(Side.SELL, CALL, 1), ended(Side.SELL, CALL, 3)
    found = endings([one, two, moved(Side.BUY, 2)])
    assert [(e.how, e.doubtful) for e in found] == [(How.EXERCISED, False), (How.EXPIRED, False)]
    assert told([one, two, moved(Side.BUY, 2), moved(Side.BUY, 4)]) == [("EXERCISED", True)] * 2


def test_two_options_for_the_same_shares() -> None:
    """A long call and a short put of one strike both bring shares: the end that was told next before them it is, and a doubt is said."""
    call, put = ended(Side.SELL, CALL, 1), ended(Side.BUY, PUT, 2)
    after_put = endings([call, put, moved(Side.BUY, 3)])
    assert [(e.how, e.doubtful) for e in after_put] == [(How.EXPIRED, True), (How.ASSIGNED, True)]
    call, put = ended(Side.SELL, CALL, 1), ended(Side.BUY, PUT, 3)
    after_call = endings([call, put, moved(Side.BUY, 2)])
    assert [(e.how, e.doubtful) for e in after_call] == [(How.EXERCISED, True), (How.EXPIRED, True)]


def test_order_and_repetition_change_nothing() -> None:
    """However it is told, and with an older revision beside it, it is the same end."""
    call, put = ended(Side.SELL, CALL, 1), ended(Side.BUY, PUT, 2)
    older = replace(moved(Side.BUY, 3, price="1"), exec_id="0000e0d5.00000003.01.00")
    story = [call, put, moved(Side.BUY, 3), older]
    assert len({endings([*way, *way]) for way in permutations(story)}) == 1
    gone = replace(moved(Side.BUY, 3, quantity=0), exec_id="0000e0d5.00000003.01.02")
    assert told([*story, gone]) == [("EXPIRED", False)] * 2


def test_unknown_terms() -> None:
    """An end of an option whose terms nobody told is an end, and takes no shares."""
    assert told([replace(ended(Side.SELL, CALL), option=None), moved(Side.BUY)]) == [("EXPIRED", False)]


def test_too_early_to_expire() -> None:
    """What is closed for nothing before its last day, and without shares, may be something else: that is said; with shares it is clear."""
    late = replace(CALL, expiry=NOW.date() + timedelta(days=1))
    assert [e.doubtful for e in endings([ended(Side.SELL, late)])] == [True]
    assert [e.doubtful for e in endings([ended(Side.SELL, late), moved(Side.BUY)])] == [False]
    assert [e.doubtful for e in endings([ended(Side.SELL, CALL)])] == [False]


def test_parts_of_one_event() -> None:
    """Where the ids tell which shares came with which option, there is no doubt, in whatever order the keys stand."""
    call = ended(Side.SELL, CALL, 1)
    put, shares = ended(Side.BUY, PUT, 2), replace(moved(Side.BUY), exec_id="0000e0d5.00000001.02.01")
    assert [(e.how, e.doubtful) for e in endings([put, shares, call])] == [
        (How.EXERCISED, False), (How.EXPIRED, False),
    ]  # fmt: skip
    other = replace(shares, exec_id="0000e0d5.00000002.02.01")
    assert told([put, shares, call, other]) == [("EXERCISED", True), ("ASSIGNED", True)]
