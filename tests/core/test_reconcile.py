"""Our book against the broker's: what is shown is what it is, what is not shown is unknown, and nothing is guessed."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model import BrokerBook, Execution, Order, OrderReport, OrderState, OrderType, Side, TimeInForce
from core.reconcile import external, reconcile
from tests.values import ACCOUNT, NOW, OWNER, book, execution, order, report

S = OrderState


def shown(status: str = "Submitted", order_ref: str = "01TICKET", **changes: Any) -> OrderReport:
    """An order as the broker's own list shows it."""
    return report(
        status, order_ref=order_ref, account=ACCOUNT, con_id=265598, symbol="AAPL", currency="USD", **changes
    )


def settle(ours: Order, at: BrokerBook, executions: tuple[Execution, ...] = ()) -> Order:
    (one,), strangers = reconcile([ours], at, lambda _: executions, NOW, 10)
    assert strangers == ()
    return one


@pytest.mark.parametrize("state", [S.SENDING, S.WORKING, S.PARTIAL, S.SUSPENDED, S.UNKNOWN])
def test_an_order_of_ours_that_is_not_shown_is_unknown(state: OrderState) -> None:
    """Absence is no end: it is neither forgotten nor called cancelled, and what was filled stays."""
    filled = Decimal(4) if state is S.PARTIAL else Decimal(0)
    known = order(state=state, filled=filled)
    assert settle(known, book()) == replace(known, state=S.UNKNOWN)


@pytest.mark.parametrize("state", [S.FILLED, S.CANCELLED, S.REJECTED, S.NOT_AT_BROKER])
def test_an_order_that_is_over_stays_as_it_was(state: OrderState) -> None:
    """The broker forgets yesterday's orders; we do not, and nothing about them changes."""
    known = order(state=state, filled=Decimal(10) if state is S.FILLED else Decimal(0))
    assert settle(known, book()) == known


@pytest.mark.parametrize("state", [S.SENDING, S.UNKNOWN])
def test_a_refusal_that_the_broker_gave_makes_absence_a_rejection(state: OrderState) -> None:
    """Where the broker itself said no before anything worked or filled, its absence is the proof."""
    assert settle(order(state=state, reason="No funds."), book()).state is S.REJECTED
    part = order(state=state, reason="No funds.", filled=Decimal(1))
    assert settle(part, book()).state is S.UNKNOWN


def test_a_reason_says_nothing_once_the_order_worked() -> None:
    """An order that was acknowledged and then warned about is looked for, not declared dead."""
    assert settle(order(state=S.WORKING, reason="Price capped."), book()).state is S.UNKNOWN


@pytest.mark.parametrize("state", list(S))
def test_what_works_at_the_broker_works(state: OrderState) -> None:
    """A snapshot is stronger than memory for all but what is filled."""
    known = order(state=state, filled=Decimal(10) if state is S.FILLED else Decimal(0))
    found = settle(known, book(open_orders=(shown(perm_id=5),)))
    assert found.state is (S.FILLED if state is S.FILLED else S.WORKING)
    assert found.perm_id == 5


@pytest.mark.parametrize(
    ("status", "state"), [("Filled", S.FILLED), ("Cancelled", S.CANCELLED), ("Inactive", S.REJECTED)]
)
def test_completed_orders_tell_the_end(status: str, state: OrderState) -> None:
    """What ended while nobody listened ended so."""
    assert settle(order(state=S.SENDING), book(completed_orders=(shown(status),))).state is state


def test_an_open_order_counts_before_a_completed_one() -> None:
    """Where the broker's lists overlap, the order that still works is the truth that matters."""
    both = book(open_orders=(shown("Submitted"),), completed_orders=(shown("Cancelled"),))
    assert settle(order(), both).state is S.WORKING


@pytest.mark.parametrize("state", [S.SENDING, S.UNKNOWN, S.WORKING, S.CANCELLED])
def test_fills_are_found_without_a_word_about_the_order(state: OrderState) -> None:
    """An order that filled and vanished while we were away is FILLED by its executions."""
    found = settle(order(state=state), book(), (execution(4, exec_id="a.01"), execution(6, exec_id="b.01")))
    assert (found.state, found.filled) == (S.FILLED, Decimal(10))


def test_a_part_filled_and_the_rest_not_shown_is_unknown() -> None:
    """What is filled is known, what became of the rest is not."""
    found = settle(order(state=S.WORKING), book(), (execution(4),))
    assert (found.state, found.filled, found.average_price) == (S.UNKNOWN, Decimal(4), Decimal(100))


def test_a_part_filled_and_the_rest_shown() -> None:
    """Executions and the open order together: partly filled, at the executions' price."""
    found = settle(order(), book(open_orders=(shown(),)), (execution(4, "101"),))
    assert (found.state, found.filled, found.average_price) == (S.PARTIAL, Decimal(4), Decimal(101))


def test_a_part_filled_and_then_cancelled() -> None:
    """The cancel ends the rest; the fill stays."""
    found = settle(order(), book(completed_orders=(shown("Cancelled"),)), (execution(4),))
    assert (found.state, found.filled) == (S.CANCELLED, Decimal(4))


def test_an_order_is_adopted_by_its_name_then_by_its_permanent_id() -> None:
    """After a restart the order ids mean nothing; order_ref does, and perm_id where there is no name."""
    by_name = settle(order(state=S.UNKNOWN), book(open_orders=(shown(order_id=99, client_id=5),)))
    assert by_name.state is S.WORKING
    by_perm = settle(
        order(state=S.UNKNOWN, perm_id=5), book(open_orders=(shown(order_ref="", perm_id=5, order_id=0),))
    )
    assert by_perm.state is S.WORKING


def test_an_order_id_that_started_again_does_not_deceive() -> None:
    """The same order id under another name is another order: ours stays unknown, the other is a stranger."""
    (mine,), strangers = reconcile(
        [order(state=S.WORKING)], book(open_orders=(shown(order_ref="OTHER"),)), lambda _: (), NOW, 10
    )
    assert mine.state is S.UNKNOWN
    assert [(s.number, s.order_ref, s.owner) for s in strangers] == [(10, "OTHER", None)]


def test_strangers_are_adopted_once_and_numbered() -> None:
    """What was placed elsewhere is shown and counted under numbers of its own."""
    found = (
        shown(order_ref="", order_id=0, perm_id=5, side=Side.SELL, quantity=Decimal(3)),
        shown(order_ref="", order_id=0, perm_id=6, side=Side.BUY, quantity=Decimal(4)),
    )
    seen, strangers = reconcile([], book(open_orders=found), lambda _: (), NOW, 10)
    assert seen == ()
    assert [(s.number, s.perm_id, s.side, s.remaining) for s in strangers] == [
        (10, 5, Side.SELL, Decimal(3)),
        (11, 6, Side.BUY, Decimal(4)),
    ]
    assert all(s.external and s.state is S.WORKING for s in strangers)
    again, none = reconcile(strangers, book(open_orders=found), lambda _: (), NOW, 12)
    assert (again, none) == (strangers, ())


def test_completed_orders_of_others_are_not_adopted() -> None:
    """What is over elsewhere is history and no order of ours."""
    assert reconcile([], book(completed_orders=(shown("Filled", order_ref="X"),)), lambda _: (), NOW, 10) == (
        (),
        (),
    )


def test_a_stranger_that_is_gone_is_gone() -> None:
    """Nobody here answers for an order from elsewhere: it ends without a riddle."""
    gone = settle(order(owner=None, order_ref="", order_id=0, perm_id=5), book())
    assert gone.state is S.NOT_AT_BROKER
    assert gone.reason


def test_an_order_from_elsewhere_is_taken_as_it_is_told() -> None:
    """Every term that the broker names is kept, and it has no owner here."""
    told = shown(
        order_ref="tws",
        perm_id=9,
        side=Side.SELL,
        quantity=Decimal(5),
        filled=Decimal(2),
        order_type=OrderType.LIMIT,
        limit_price=Decimal(150),
        tif=TimeInForce.GTC,
    )
    made = external(told, 3, 2, NOW)
    assert (made.number, made.epoch, made.owner, made.order_ref, made.perm_id) == (3, 2, None, "tws", 9)
    assert (made.side, made.quantity, made.filled, made.state) == (
        Side.SELL,
        Decimal(5),
        Decimal(2),
        S.PARTIAL,
    )
    assert (made.order_type, made.limit_price, made.tif) == (OrderType.LIMIT, Decimal(150), TimeInForce.GTC)


orders = st.builds(
    lambda number, state, external_, reason: order(
        number=number,
        order_ref=f"R{number}",
        order_id=number,
        perm_id=None,
        state=state,
        owner=None if external_ else OWNER,
        reason=reason if state in {S.SENDING, S.UNKNOWN} else "",
        filled=Decimal(10) if state is S.FILLED else Decimal(0),
    ),
    st.integers(1, 6),
    st.sampled_from(S),
    st.booleans(),
    st.sampled_from(["", "No."]),
)
lines = st.builds(
    lambda number, status: shown(status, order_ref=f"R{number}", order_id=number),
    st.integers(1, 9),
    st.sampled_from(["Submitted", "PreSubmitted", "Cancelled", "Filled", "Inactive"]),
)


@given(
    st.lists(orders, max_size=5, unique_by=lambda o: o.number),
    st.lists(lines, max_size=5, unique_by=lambda r: r.order_ref),
    st.lists(lines, max_size=5, unique_by=lambda r: r.order_ref),
)
def test_comparing_twice_is_comparing_once(
    ours: list[Order], open_orders: list[OrderReport], completed: list[OrderReport]
) -> None:
    """No order is lost or doubled, ours that nobody shows never end by silence, and a second comparison finds nothing new."""
    at = book(open_orders=tuple(open_orders), completed_orders=tuple(completed))
    seen, strangers = reconcile(ours, at, lambda _: (), NOW, 100)
    assert [o.number for o in seen] == [o.number for o in ours]
    assert {s.order_ref for s in strangers} == {r.order_ref for r in open_orders} - {
        o.order_ref for o in ours
    }
    named = {r.order_ref for r in (*open_orders, *completed)}
    for before, after in zip(ours, seen, strict=True):
        if (
            before.state.is_open
            and not before.external
            and before.order_ref not in named
            and not before.reason
        ):
            assert after.state is S.UNKNOWN
    again, none = reconcile([*seen, *strangers], at, lambda _: (), NOW, 200)
    assert none == ()
    assert again == (*seen, *strangers)


def test_an_order_that_once_worked_is_never_called_rejected_for_its_absence() -> None:
    """A remark of the broker on a working order is no refusal: absent twice, it is UNKNOWN twice."""
    once = reconcile([order(reason="Price capped.", perm_id=5)], book(), lambda _: (), NOW, 9)[0][0]
    twice = reconcile([once], book(), lambda _: (), NOW, 9)[0][0]
    assert (once.state, twice.state) == (OrderState.UNKNOWN, OrderState.UNKNOWN)


def test_a_correction_that_a_snapshot_tells_counts() -> None:
    """Ten were filled and then nine by a correction that only the snapshot told of: nine it is; an execution that is merely missing is not."""
    filled = order(state=S.FILLED, quantity=Decimal(10), filled=Decimal(10))
    nine = execution(9, exec_id="E.1.02")
    at = book()
    (corrected,), _ = reconcile([filled], at, lambda _: (nine,), NOW, 9, frozenset({nine.key}))
    assert corrected.filled == 9
    part = execution(9, exec_id="E.1.01")
    (missing,), _ = reconcile([filled], at, lambda _: (part,), NOW, 9)
    assert missing.filled == 10


def test_a_list_of_orders_older_than_a_correction_is_not_believed() -> None:
    """The correction to nine is booked; the list of completed orders still says ten, and the next one nine: nine it is after both."""
    nine = execution(9, exec_id="E.1.02")
    known = order(state=S.FILLED, quantity=Decimal(10), filled=Decimal(9))
    for told in (10, 9):
        at = book(completed_orders=(shown("Filled", filled=Decimal(told)),))
        (known,), _ = reconcile([known], at, lambda _: (nine,), NOW, 9)
        assert known.filled == 9


def test_a_list_that_claims_more_than_the_order_has() -> None:
    """That it works is believed, what was filled is what its executions say; as the end of an order it is believed not at all."""
    works = settle(order(state=S.UNKNOWN), book(open_orders=(shown(filled=Decimal(12)),)), (execution(4),))
    assert (works.state, works.filled) == (S.PARTIAL, Decimal(4))
    over = settle(order(), book(completed_orders=(shown("Filled", filled=Decimal(12)),)), (execution(4),))
    assert (over.state, over.filled) == (S.UNKNOWN, Decimal(4))
    gone = settle(order(), book(completed_orders=(shown("Cancelled", filled=Decimal(12)),)), (execution(4),))
    assert (gone.state, gone.filled) == (S.CANCELLED, Decimal(4))


def test_a_list_may_tell_an_overfill_and_a_larger_order() -> None:
    """Executions prove the one, the quantity beside it the other."""
    over = settle(order(), book(completed_orders=(shown("Filled", filled=Decimal(12)),)), (execution(12),))
    assert (over.state, over.filled) == (S.FILLED, Decimal(12))
    larger = settle(order(), book(open_orders=(shown(filled=Decimal(12), quantity=Decimal(20)),)))
    assert (larger.state, larger.filled, larger.quantity) == (S.PARTIAL, Decimal(12), Decimal(20))
