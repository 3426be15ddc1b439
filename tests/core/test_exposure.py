"""What a halt takes back: after that nothing that is left can make a holding larger, turn it round or open one."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.exposure import increasing, opened
from core.model import Order, OrderState, Role, Side
from core.protection import group_name
from tests.values import order

BUY, SELL, ZERO = Side.BUY, Side.SELL, Decimal(0)
Holdings = dict[int, Decimal]


def entry(number: int, side: Side, quantity: int, **changes: object) -> Order:
    """An order that was typed as one."""
    return order(number=number, order_ref=f"CARD{number}", side=side, quantity=Decimal(quantity), **changes)


def child(number: int, of: str, quantity: int, side: Side = SELL, **changes: object) -> Order:
    """A stop or target of a card."""
    fixed = {"role": Role.STOP, "order_ref": f"{of}.stop", **changes}
    return order(number=number, side=side, quantity=Decimal(quantity), **fixed)


def found(held: int | None, *orders: Order) -> list[int]:
    """Numbers of what is taken back, with so much of the one instrument held; all are worth the same."""
    known = None if held is None else Decimal(held)
    return [o.number for o in increasing(orders, lambda con_id: known, lambda o: Decimal(1))]


@pytest.mark.parametrize(
    ("held", "orders", "taken"),
    [
        (0, (entry(1, BUY, 10),), [1]),
        (0, (entry(1, SELL, 10),), [1]),
        (10, (entry(1, SELL, 10),), []),
        (10, (entry(1, SELL, 11),), [1]),
        (10, (entry(1, SELL, 11, filled=Decimal(1)),), []),
        (10, (entry(1, SELL, 6), entry(2, SELL, 5)), [2]),
        (10, (entry(1, SELL, 11), entry(2, SELL, 10)), [1]),
        (-10, (entry(1, BUY, 10), entry(2, SELL, 1)), [2]),
        (-10, (entry(1, BUY, 11),), [1]),
        # what is held is not known: of sales nobody can tell
        (None, (entry(1, SELL, 10), child(2, "X", 5), entry(3, BUY, 1), child(4, "Y", 5, BUY)), [3]),
        # a stop and its target cancel each other: the larger counts once
        (10, (child(1, "X", 10), child(2, "X", 10, role=Role.TARGET)), []),
        (9, (child(1, "X", 10), child(2, "X", 9, role=Role.TARGET)), [1, 2]),
        # two groups add up, and with closing orders too; protection goes first
        (10, (child(1, "X", 6), child(2, "Y", 5)), [2]),
        (10, (entry(1, SELL, 6), child(2, "X", 5)), [1]),
        (10, (entry(1, SELL, 5), child(2, "X", 5)), []),
        # one of a group made by hand
        (10, (child(1, "X", 10, oca="g"), child(2, "Y", 10, oca="g")), []),
        # with its entry at work it goes with that, and counts for what that has bought
        (0, (entry(1, BUY, 10), child(2, "CARD1", 10, parent=1)), [1]),
        (4, (entry(1, BUY, 10, filled=Decimal(4)), child(2, "CARD1", 10, parent=1)), [1]),
        (4, (entry(1, BUY, 10, filled=Decimal(4)), child(2, "CARD1", 10, parent=1), entry(3, SELL, 1)), [1, 3]),
        (4, (child(2, "CARD1", 10, parent=1),), [2]),
        (3, (entry(1, BUY, 10, filled=Decimal(4)), child(2, "CARD1", 10, parent=1)), [1, 2]),
        (0, (entry(1, BUY, 10, state=OrderState.UNKNOWN), child(2, "CARD1", 10, parent=1)), [1]),
        # of an entry that nobody knows the whole counts
        (12, (entry(1, BUY, 10, state=OrderState.UNKNOWN), child(2, "CARD1", 10, parent=1), entry(3, SELL, 3)), [1, 3]),
    ],
)  # fmt: skip
def test_what_is_taken_back(held: int | None, orders: tuple[Order, ...], taken: list[int]) -> None:
    """At the edge and on both sides of it."""
    assert sorted(found(held, *orders)) == taken


def test_the_largest_first_and_what_is_not_known_before_them() -> None:
    """By worth, then by number."""
    worths = {1: Decimal(5), 2: None, 3: Decimal(7), 4: Decimal(5), 5: None}
    orders = [entry(n, BUY, 1) for n in (4, 3, 5, 1, 2)]
    taken = increasing(orders, lambda con_id: ZERO, lambda o: worths[o.number])
    assert [o.number for o in taken] == [2, 5, 3, 1, 4]


def test_instruments_do_not_lend_each_other() -> None:
    """A holding of one closes nothing of another."""
    other = entry(2, SELL, 10, con_id=99)
    taken = increasing(
        [entry(1, SELL, 10), other], lambda con_id: Decimal(10 * (con_id == 99)), lambda o: None
    )
    assert [o.number for o in taken] == [1]


def test_while_holdings_are_not_known() -> None:
    """What opened or added when it was sent is known by what it was counted with."""
    orders = [
        entry(1, BUY, 1, worth=Decimal(100)),
        entry(2, SELL, 1),
        child(3, "X", 1),
        child(4, "X", 1, worth=Decimal(1)),
    ]
    assert [o.number for o in opened(orders)] == [1]


# --- the property -------------------------------------------------------------------------------------------------------------

CON_IDS = (1, 2)
STATES = (OrderState.WORKING, OrderState.PARTIAL, OrderState.SENDING, OrderState.UNKNOWN)
counts = st.integers(1, 12)


@st.composite
def books(draw: st.DrawFn) -> tuple[list[Order], Holdings]:
    """Orders of every kind over two instruments, brackets that are partly filled among them, and what is held."""
    held = {con_id: Decimal(draw(st.integers(-15, 15))) for con_id in CON_IDS}
    orders: list[Order] = []

    def number() -> int:
        return len(orders) + 1

    for _ in range(draw(st.integers(0, 5))):
        side, con_id = draw(st.sampled_from(Side)), draw(st.sampled_from(CON_IDS))
        size = draw(counts)
        shape = draw(st.sampled_from(["plain", "bracket", "protection"]))
        card = f"CARD{number()}"
        parent = None
        if shape != "protection":
            filled = Decimal(draw(st.integers(0, size - 1)))
            state = draw(st.sampled_from(STATES))
            if shape == "bracket":
                held[con_id] += filled * side.sign  # what it has bought is held
            plain = entry(number(), side, size, con_id=con_id, filled=filled, state=state)
            orders.append(plain)
            parent = plain.number
        if shape != "plain":
            oca = draw(st.sampled_from(["", "", "hand"]))
            exits = SELL if side is BUY else BUY
            for role in draw(st.sampled_from([(Role.STOP,), (Role.STOP, Role.TARGET)])):
                quantity = size if parent is not None else draw(counts)
                orders.append(
                    child(
                        number(),
                        card,
                        quantity,
                        exits,
                        con_id=con_id,
                        role=role,
                        parent=parent,
                        oca="" if parent else oca,
                    )
                )
    return orders, held


def fills(orders: Sequence[Order], held: Holdings, chance: st.DataObject) -> None:
    """Let what is left trade in any order, as the broker does; no step may enlarge or turn round what is held.

    Orders that cancel each other share what they may still trade; a child whose entry was taken back protects what that had bought.
    """
    left = {o.number: o.remaining for o in orders}
    while live := [o for o in orders if left[o.number] > 0]:
        one = chance.draw(st.sampled_from(live))
        part = Decimal(chance.draw(st.integers(1, int(left[one.number]))))
        before = held[one.con_id]
        after = before + part * one.side.sign
        assert abs(after) < abs(before), f"#{one.number} enlarges {before} to {after}"
        assert after * before >= 0, f"#{one.number} turns {before} round to {after}"
        held[one.con_id] = after
        for other in orders:
            same = other.protects and one.protects and group_name(other) == group_name(one)
            if other is one or (same and (other.con_id, other.side) == (one.con_id, one.side)):
                left[other.number] = max(left[other.number] - part, ZERO)


@given(books(), st.data())
def test_nothing_that_is_left_can_add(case: tuple[list[Order], Holdings], chance: st.DataObject) -> None:
    """Whatever of the rest fills, in whatever parts and order."""
    orders, held = case
    taken = {o.number for o in increasing(orders, held.get, lambda o: None)}
    entries = {o.number: o for o in orders if not o.protects}
    rest = []
    for one in orders:
        parent = entries.get(one.parent or 0)
        if one.number in taken:
            continue
        if one.protects and parent is not None:
            one = replace(one, quantity=min(one.quantity, parent.filled) + one.filled)
            if one.remaining <= 0:
                continue
        rest.append(one)
    fills(rest, dict(held), chance)


@given(books())
def test_what_closes_alone_is_left(case: tuple[list[Order], Holdings]) -> None:
    """A single order that closes no more than is held, with nothing else on its side, is never taken back."""
    orders, held = case
    taken = {o.number for o in increasing(orders, held.get, lambda o: None)}
    for one in orders:
        rivals = [o for o in orders if o.con_id == one.con_id and o.side is one.side and o is not one]
        closes = held[one.con_id] * one.side.sign < 0 and one.remaining <= abs(held[one.con_id])
        if closes and not rivals:
            assert one.number not in taken
