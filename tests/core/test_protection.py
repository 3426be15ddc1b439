"""What a sale has to move out of its way: never more on sale than is held, never less protected than can be."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core import protection
from core.model import Order, OrderState, OrderType, Role, Side
from tests.values import ORDER, order, ticket

SELL = Side.SELL


def stop(quantity: int, **changes: object) -> Order:
    """A stop that protects so many shares."""
    fixed = {
        "side": SELL,
        "role": Role.STOP,
        "order_type": OrderType.STOP,
        "stop_price": Decimal(90),
        "order_ref": "01ENTRY.stop",
    }
    return order(quantity=Decimal(quantity), **{**fixed, **changes})


@pytest.mark.parametrize(
    ("held", "sold", "protected", "in_the_way"),
    [
        (10, 10, 10, True),
        (10, 4, 10, True),
        (10, 4, 6, False),
        (10, 4, 7, True),
        (20, 10, 10, False),
        (20, 11, 10, True),
    ],
)
def test_in_the_way(held: int, sold: int, protected: int, in_the_way: bool) -> None:
    """Protection stays where what is left after the sale covers it, and is moved where it does not."""
    found = protection.in_the_way(ticket(SELL, sold), Decimal(held), (stop(protected),))
    assert bool(found) is in_the_way


def test_only_our_own_open_protection_of_that_share_counts() -> None:
    """Entries, other shares, orders that are over, purchases, and an unknown holding are no business of a sale."""
    others = (
        order(side=SELL, quantity=Decimal(10)),
        stop(10, con_id=1),
        stop(10, state=OrderState.CANCELLED),
        stop(10, side=Side.BUY),
    )
    assert protection.in_the_way(ticket(SELL, 10), Decimal(10), others) == ()
    assert protection.in_the_way(ticket(SELL, 10), None, (stop(10),)) == ()
    assert protection.in_the_way(ticket(Side.BUY, 10), Decimal(10), (stop(10),)) == ()


def bracket(number: int, quantity: int, *, filled: int = 0, oca: str = "", **changes: object) -> list[Order]:
    """A stop and a target that cancel each other."""
    ref = f"{number:05d}"
    both = {"oca": oca, "filled": Decimal(filled), **changes}
    return [
        stop(quantity, **{"number": number, "order_ref": f"{ref}.stop", **both}),
        stop(quantity, **{"number": number + 1, "order_ref": f"{ref}.target", "role": Role.TARGET, **both}),
    ]


def moves(sold: int, held: int, orders: list[Order]) -> dict[int, int]:
    """Number to what is left of it, of every order that a sale moves."""
    found = protection.plan(ticket(SELL, sold), Decimal(held), orders)
    return {order.number: int(left) for order, left in found.moves}


def test_a_bracket_is_measured_once() -> None:
    """A stop and its target cancel each other, so they sell the same shares and fit a holding together."""
    assert protection.room(ORDER.con_id, Decimal(10), bracket(1, 10)) == 0
    assert moves(4, 10, bracket(1, 10)) == {1: 6, 2: 6}


def test_two_brackets_add_up() -> None:
    """Each of two brackets could sell: a sale of half of all moves one away, the older, as the books sell the older shares."""
    both = [*bracket(1, 10), *bracket(3, 10)]
    assert moves(10, 20, both) == {1: 0, 2: 0}
    assert moves(13, 20, both) == {1: 0, 2: 0, 3: 7, 4: 7}
    assert moves(3, 20, both) == {1: 7, 2: 7}
    assert moves(20, 20, both) == {1: 0, 2: 0, 3: 0, 4: 0}


def test_groups_made_anew_do_not_mix() -> None:
    """Orders of one card in two groups do not cancel each other: they add up like those of two cards."""
    both = [*bracket(1, 10), *bracket(3, 10, oca="back", order_ref="00001.again")]
    assert protection.room(ORDER.con_id, Decimal(20), both) == 0


def test_working_sales_take_their_shares_first() -> None:
    """What is on sale already cannot be protected too, so protection makes room for both sales."""
    limit = order(number=9, side=SELL, quantity=Decimal(4))
    assert moves(3, 10, [*bracket(1, 6), limit]) == {1: 3, 2: 3}
    assert moves(6, 10, [*bracket(1, 6), limit]) == {1: 0, 2: 0}
    assert moves(3, 13, [*bracket(1, 6), limit]) == {}


def test_an_entry_that_was_not_filled_protects_nothing() -> None:
    """The stop and target of a purchase that waits say nothing of other shares, and stay."""
    entry = order(number=1, quantity=Decimal(10))
    assert moves(40, 40, [entry, *bracket(2, 10, parent=1)]) == {}


def test_a_part_filled_entry_counts_by_its_part_and_cannot_be_stripped() -> None:
    """Of a purchase that still works the bought part is protected; a sale that needs those shares says which entry is in its way."""
    entry = order(number=1, quantity=Decimal(10), filled=Decimal(4), state=OrderState.PARTIAL)
    orders = [entry, *bracket(2, 10, parent=1)]
    assert protection.plan(ticket(SELL, 40), Decimal(44), orders) == protection.Plan()
    assert protection.plan(ticket(SELL, 41), Decimal(44), orders) == protection.Plan((), (entry,))
    older = [*bracket(5, 10), *orders]
    assert moves(4, 14, older) == {5: 6, 6: 6}


def test_an_entry_in_doubt_counts_as_filled() -> None:
    """An UNKNOWN purchase may have been filled unheard: what came with it may sell."""
    entry = order(number=1, quantity=Decimal(10), state=OrderState.UNKNOWN)
    found = protection.plan(ticket(SELL, 40), Decimal(40), [entry, *bracket(2, 10, parent=1)])
    assert found.stuck == (entry,)


def gone(orders: list[Order], **changes: object) -> list[Order]:
    """The same orders after they were taken down."""
    return [replace(o, state=OrderState.CANCELLED, **changes) for o in orders]  # type: ignore[arg-type]


def back(held: int, standing: list[Order], moved: list[Order]) -> dict[int, int]:
    """Number to how much of it is protected again."""
    found = protection.restore(ORDER.con_id, Decimal(held), standing, moved)
    return {order.number: int(count) for order, count in found}


def test_what_comes_back() -> None:
    """All of it where it fits; the newest first where a sale works or a part was sold; nothing of a group whose stop was filled."""
    one, two = gone(bracket(1, 10)), gone(bracket(3, 10))
    sale = order(number=9, side=SELL, quantity=Decimal(6))
    assert back(20, [], [*one, *two]) == {3: 10, 4: 10, 1: 10, 2: 10}
    assert back(13, [], [*one, *two]) == {3: 10, 4: 10, 1: 3, 2: 3}
    assert back(10, [sale], one) == {1: 4, 2: 4}
    assert back(6, [sale], one) == {}
    assert back(20, bracket(5, 10), [*one, *two]) == {3: 10, 4: 10}
    filled = [replace(one[0], state=OrderState.FILLED, filled=Decimal(10)), one[1]]
    assert back(10, [], [*filled, *two]) == {3: 10, 4: 10}
    part = [replace(one[0], filled=Decimal(3)), one[1]]
    assert back(40, [], part) == {1: 7, 2: 7}


def test_what_is_torn() -> None:
    """A half that stands while its other half is gone is named; whole groups, and those that were filled, are not."""
    (first, second), standing = gone(bracket(1, 10)), bracket(1, 10)
    assert protection.torn([first, standing[1]]) == (standing[1],)
    assert protection.torn([first, second]) == ()
    assert protection.torn(standing) == ()
    assert protection.torn([replace(first, state=OrderState.FILLED), standing[1]]) == ()


@st.composite
def worlds(draw: st.DrawFn) -> tuple[int, list[Order]]:
    """A holding with any number of brackets, some of entries that still work, and working sales, within the rule."""
    orders: list[Order] = []
    held = draw(st.integers(0, 300))
    for index in range(draw(st.integers(0, 4))):
        number, quantity = 1 + index * 3, draw(st.integers(1, 100))
        parent = draw(st.sampled_from([None, number]))
        if parent:
            bought = Decimal(draw(st.integers(0, quantity)))
            orders.append(order(number=number, quantity=Decimal(quantity), filled=bought))
        filled = draw(st.integers(0, quantity - 1)) if not parent else 0
        orders += bracket(number + 1, quantity, filled=filled, parent=parent)
    for index in range(draw(st.integers(0, 2))):
        orders.append(order(number=50 + index, side=SELL, quantity=Decimal(draw(st.integers(1, 100)))))
    assume(protection.room(ORDER.con_id, Decimal(held), orders) >= 0)
    return held, orders


def live(orders: list[Order]) -> Decimal:
    """How many shares are protected."""
    return sum((g.live for g in protection.groups(ORDER.con_id, orders)), Decimal(0))


@given(worlds(), st.integers(1, 300))
def test_no_sale_leaves_more_for_sale_than_is_held(world: tuple[int, list[Order]], sold: int) -> None:
    """After its plan a sale fits beside everything that works, and not one share less is protected than can be."""
    held, before = world
    free = protection.room(ORDER.con_id, Decimal(held), before) + live(before) - sold
    assume(free >= 0)
    plan = protection.plan(ticket(SELL, sold), Decimal(held), before)
    entries = {o.number for o in plan.stuck}
    if entries:
        return
    left = {order.number: order.filled + count for order, count in plan.moves}
    after = [replace(o, quantity=min(o.quantity, left.get(o.number, o.quantity))) for o in before]
    assert protection.room(ORDER.con_id, Decimal(held) - sold, after) >= 0
    assert live(after) == min(live(before), free)
    working = {o.number for o in before if not o.protects}
    assert not any(order.parent in working for order, _ in plan.moves)


@given(worlds(), st.integers(1, 300), st.integers(0, 300), st.data())
def test_what_is_put_back_fits_and_is_all_that_fits(
    world: tuple[int, list[Order]], sold: int, held_then: int, data: st.DataObject
) -> None:
    """Whatever is held by then: what comes back fits beside what works, is whole by group, and leaves nothing bare that it could cover."""
    held, before = world
    plan = protection.plan(ticket(SELL, sold), Decimal(held), before)
    numbers = {order.number for order, _ in plan.moves}
    moved = [
        replace(o, state=OrderState.CANCELLED) if data.draw(st.booleans()) else o
        for o in before
        if o.number in numbers
    ]
    others = [o for o in before if o.number not in numbers]
    again = dict(protection.restore(ORDER.con_id, Decimal(held_then), before, moved))
    after = [replace(o, state=OrderState.WORKING, quantity=again[o] + o.filled) for o in moved if o in again]
    free = protection.room(ORDER.con_id, Decimal(held_then), others)
    assert protection.room(ORDER.con_id, Decimal(held_then), [*others, *after]) >= min(free, Decimal(0))
    lost = sum(
        (g.live for g in protection.groups(ORDER.con_id, [o for o in before if o.number in numbers])),
        Decimal(0),
    )
    assert live(after) == min(lost, max(free, Decimal(0)))
    names = [protection.group_name(o) for o in after]
    assert all(names.count(name) == 2 for name in names)
