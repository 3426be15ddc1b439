"""Whether a working order for options has outlived its reason, on values; and what is told where it cannot be reached."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from core import risk
from core.errors import StorageError
from core.model import Order, OrderState, Position, Role, Side
from tests.core.executor_desk import Desk
from tests.core.risk_plan_cases import C105, LATER, C, bag_works, leg, line, owed, works
from tests.values import order, snapshot

ZERO = Decimal(0)
CALL = works(C105, Side.SELL, 1, number=5, worth=ZERO)
CLOSES = works(C105, Side.SELL, 1, number=5, worth=None)
FAR = leg(C, 105, -1, LATER)
ROLL = bag_works(replace(C105, ratio=1), FAR, number=5, worth=ZERO)
"""Buys the near call back and sells the later one."""
NEAR_OWED = line(C105, -1)


def gone(of: Order, shares: int, *more: Position, beside: tuple[Order, ...] = ()) -> bool:
    """Whether it has, while so many shares and `more` are held and `beside` works."""
    seen = snapshot(shares, working=(of, *beside))
    lines = (*(seen.positions or ()), *more)
    return risk.outlived(of, replace(seen, positions=lines, told=lines))


@pytest.mark.parametrize(
    ("of", "shares", "more", "expected"),
    [
        (CALL, 100, (), False),
        (CALL, 99, (), True),
        (CLOSES, 0, (line(C105, 1),), False),
        (CLOSES, 0, (), True),
        (CLOSES, 100, (), True),
        (replace(CLOSES, quantity=Decimal(2)), 0, (line(C105, 1),), True),
        (replace(CLOSES, quantity=Decimal(2), filled=Decimal(1)), 0, (line(C105, 1),), False),
        (bag_works(C105, owed(leg(C, 110)), number=5), 0, (), False),
        (bag_works(C105, owed(leg(C, 110)), number=5), 0, (NEAR_OWED,), False),
        (ROLL, 100, (NEAR_OWED,), False),
        (ROLL, 0, (NEAR_OWED,), True),
        (ROLL, 100, (), True),
    ],
)
def test_alone(of: Order, shares: int, more: tuple[Position, ...], expected: bool) -> None:
    assert gone(of, shares, *more) is expected


def test_the_older_of_two_comes_first() -> None:
    """One call is held or covered, and two are on sale: it is the younger order that goes."""
    younger = replace(CLOSES, number=6)
    assert not gone(CLOSES, 0, line(C105, 1), beside=(younger,))
    assert gone(younger, 0, line(C105, 1), beside=(CLOSES,))
    younger = replace(CALL, number=6)
    assert not gone(CALL, 100, beside=(younger,))
    assert gone(younger, 100, beside=(CALL,))


def test_an_unknown_bracket_bares_nothing() -> None:
    """An entry whose fate is unknown brings its shares with its stop: whatever became of it, 100 shares are behind the call."""
    entry = order(number=3, quantity=Decimal(50), state=OrderState.UNKNOWN)
    stop = order(
        number=4, side=Side.SELL, quantity=Decimal(50), role=Role.STOP, parent=3, state=OrderState.UNKNOWN
    )
    assert not gone(CALL, 100, beside=(entry, stop))
    alone = replace(stop, parent=None, state=OrderState.WORKING)
    assert gone(CALL, 100, beside=(alone,))


def test_while_nothing_is_known_it_has() -> None:
    assert risk.outlived(CALL, snapshot(None, working=(CALL,)))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path) as made:
        yield made


def test_out_of_reach_is_told_once_and_when_the_disk_takes_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = desk.works(client_id=99)

    async def full(*_: object, **__: object) -> None:
        raise StorageError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(desk.ledger, "record", full)
        with pytest.raises(StorageError):
            desk.do(desk.executor.take_back(far, "It is gone."))
    for _ in range(2):
        desk.do(desk.executor.take_back(far, "It is gone."))
    assert len([m for m in desk.messages() if "It is gone." in (m["data"] or "")]) == 1
