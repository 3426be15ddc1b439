"""How an order moves on evidence, told in little stories: duplicated, late and reordered words of the broker change nothing twice."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.lifecycle import NOT_FINAL, advance, belongs, filled_by
from core.model import Change, Execution, Order, OrderReport, OrderState
from tests.values import NOW, execution, order, report

S = OrderState
ENDED = [S.FILLED, S.CANCELLED, S.REJECTED]
OPEN = [S.SENDING, S.WORKING, S.PARTIAL, S.SUSPENDED, S.UNKNOWN]


def D(value: int | str) -> Decimal:  # noqa: N802 - short, for the tables
    return Decimal(value)


# --- whose evidence it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "evidence", "ours"),
    [
        # order_ref says it all where both have one
        ({"order_ref": "A"}, {"order_ref": "A", "order_id": 99, "perm_id": 5}, True),
        ({"order_ref": "A"}, {"order_ref": "B", "order_id": 7}, False),
        ({"order_ref": "A", "perm_id": 5}, {"order_ref": "B", "perm_id": 5}, False),
        # then the permanent id
        ({"order_ref": "A", "perm_id": 5}, {"perm_id": 5, "order_id": 99}, True),
        ({"order_ref": "A", "perm_id": 5}, {"perm_id": 6, "order_id": 7}, False),
        ({"order_ref": "", "perm_id": 5}, {"perm_id": 5, "order_ref": "B"}, True),
        # then the pair of client and order id
        ({"perm_id": None}, {"order_id": 7}, True),
        ({"perm_id": None}, {"order_id": 7, "perm_id": 5}, True),
        ({"perm_id": 5}, {"order_id": 7}, True),
        ({"perm_id": None}, {"order_id": 7, "client_id": 3}, False),
        ({"perm_id": None}, {"order_id": 8}, False),
        # orders typed into TWS have no order id: nothing can be said by it
        ({"order_ref": "", "order_id": 0}, {"order_id": 0}, False),
        ({"order_ref": "", "order_id": -2}, {"order_id": -2}, False),
    ],
)
def test_belongs(known: dict[str, Any], evidence: dict[str, Any], ours: bool) -> None:
    """Evidence is matched by the strongest name that both sides have, and a weaker one never overrules it."""
    assert belongs(order(**known), report(**evidence)) is ours


def test_two_orders_without_a_permanent_id_keep_their_fills() -> None:
    """While perm_id is still 0 for both, each fill goes to the order of its own number and name."""
    first, second = order(number=1, order_ref="A", order_id=7), order(number=2, order_ref="B", order_id=8)
    by_name = execution(order_ref="B", order_id=0, perm_id=0)
    by_number = execution(order_ref="", order_id=8, perm_id=0)
    for fill in (by_name, by_number):
        assert not belongs(first, fill)
        assert belongs(second, fill)


# --- the broker's word ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "status", "filled", "after"),
    [
        (S.SENDING, "PendingSubmit", 0, S.WORKING),
        (S.SENDING, "PreSubmitted", 0, S.WORKING),
        (S.SENDING, "Submitted", 0, S.WORKING),
        (S.UNKNOWN, "Submitted", 0, S.WORKING),
        (S.NOT_AT_BROKER, "Submitted", 0, S.WORKING),
        (S.WORKING, "Submitted", 4, S.PARTIAL),
        (S.WORKING, "Submitted", 10, S.FILLED),
        (S.WORKING, "PendingCancel", 0, S.WORKING),
        (S.WORKING, "Filled", 10, S.FILLED),
        (S.SENDING, "Filled", 10, S.FILLED),
        (S.PARTIAL, "Cancelled", 4, S.CANCELLED),
        (S.WORKING, "Cancelled", 0, S.CANCELLED),
        (S.WORKING, "ApiCancelled", 0, S.CANCELLED),
        (S.WORKING, "Inactive", 0, S.SUSPENDED),
        (S.SUSPENDED, "Submitted", 0, S.WORKING),
        (S.WORKING, "SomethingNew", 0, S.WORKING),
        (S.SENDING, "SomethingNew", 0, S.SENDING),
        (S.WORKING, "", 0, S.WORKING),
    ],
)
def test_advance(before: OrderState, status: str, filled: int, after: OrderState) -> None:
    """Each status of the broker moves the order to one state; a status that we do not know moves nothing."""
    assert advance(order(state=before), report(status, filled=D(filled))).state is after


@pytest.mark.parametrize("ended", ENDED)
@pytest.mark.parametrize("status", ["Submitted", "PreSubmitted", "Cancelled", "Inactive", "PendingCancel"])
def test_what_is_over_stays_over(ended: OrderState, status: str) -> None:
    """A stray status wakes nothing up."""
    filled = D(10) if ended is S.FILLED else D(0)
    assert advance(order(state=ended, filled=filled), report(status)).state is ended


@pytest.mark.parametrize("ended", [S.CANCELLED, S.REJECTED])
def test_only_a_full_snapshot_brings_an_order_back(ended: OrderState) -> None:
    """The broker's book is stronger than our memory: what works there works."""
    assert advance(order(state=ended), report("Submitted"), snapshot=True).state is S.WORKING
    assert advance(order(state=ended, filled=D(3)), report("Submitted"), snapshot=True).state is S.PARTIAL


def test_not_even_a_snapshot_unfills_an_order() -> None:
    """A filled order is filled, whatever else is said of it."""
    full = order(state=S.FILLED, filled=D(10))
    assert advance(full, report("Submitted", filled=D(0)), snapshot=True).state is S.FILLED


@pytest.mark.parametrize("ended", [S.CANCELLED, S.REJECTED])
def test_a_fill_beats_a_cancel(ended: OrderState) -> None:
    """Where a fill raced the cancel, the fill is what happened."""
    assert advance(order(state=ended), report("Filled", filled=D(10))).state is S.FILLED


@pytest.mark.parametrize(
    ("reason", "asked", "filled", "after"),
    [
        ("No funds.", False, 0, S.REJECTED),
        ("No funds.", True, 0, S.CANCELLED),
        ("No funds.", False, 3, S.CANCELLED),
        ("", False, 0, S.CANCELLED),
    ],
)
def test_a_cancel_that_nobody_asked_for_and_has_a_reason_is_a_rejection(
    reason: str, asked: bool, filled: int, after: OrderState
) -> None:
    """The broker ends a rejected order as Cancelled; the reason it gave before tells the two apart."""
    known = order(reason=reason, cancel_requested_at=NOW if asked else None, filled=D(filled))
    assert advance(known, report("Cancelled")).state is after


def test_inactive_with_a_reason_is_a_rejection() -> None:
    """Inactive alone may come back to life; with a refusal before it, it will not."""
    assert advance(order(reason="No permission."), report("Inactive")).state is S.REJECTED


def test_what_is_filled_only_grows() -> None:
    """A late status with an older figure takes nothing back, neither count nor price."""
    now = advance(order(), report("Submitted", filled=D(7), average_price=D(101)))
    late = advance(now, report("Submitted", filled=D(4), average_price=D(100)))
    assert (late.filled, late.average_price, late.state) == (D(7), D(101), S.PARTIAL)


@pytest.mark.parametrize("state", list(S))
@pytest.mark.parametrize("status", ["Submitted", "Filled", "Cancelled"])
def test_more_than_the_order_has_is_no_evidence(state: OrderState, status: str) -> None:
    """A word that claims more than was ordered leaves everything as it was, the ids and prices that came with it included."""
    known = order(state=state, filled=D(4) if state is S.PARTIAL else D(0))
    assert advance(known, report(status, filled=D(12), perm_id=5, limit_price=D(1))) == known
    assert advance(known, report(status, filled=D(12), quantity=D(12), perm_id=5)) == known


def test_an_overfill_that_executions_prove_is_believed() -> None:
    """Twelve of ten were executed: the broker's own twelve is no claim any more, and it may be believed of an order of unknown size."""
    over = filled_by(order(), (execution(12),))
    assert advance(over, report("Filled", filled=D(12), perm_id=5)).perm_id == 5
    assert advance(order(quantity=D(0)), report("Submitted", filled=D(12))).filled == 12


def test_a_larger_quantity_that_was_asked_may_be_filled_before_it_is_confirmed() -> None:
    """While a change to twenty is on its way, fifteen are no more than the order has."""
    changing = order(change=Change("01C", D(20), None, None, NOW))
    assert advance(changing, report("Submitted", filled=D(15))).filled == 15


def test_what_the_broker_does_not_say_is_kept() -> None:
    """None is unknown and overwrites nothing; what is said replaces."""
    known = order(perm_id=5, limit_price=D(99), stop_price=D(98), average_price=D(97), filled=D(2))
    silent = advance(known, report("Submitted"))
    assert (silent.perm_id, silent.limit_price, silent.stop_price) == (5, D(99), D(98))
    assert (silent.average_price, silent.quantity, silent.filled) == (D(97), D(10), D(2))
    changed = advance(known, report("Submitted", perm_id=6, limit_price=D(95), quantity=D(20)))
    assert (changed.perm_id, changed.limit_price, changed.quantity) == (6, D(95), D(20))


def test_the_messages_that_end_nothing() -> None:
    """Answers to a cancel or a modify, and warnings, are no ends; a plain rejection is not among them."""
    assert {161, 202, 399, 10147, 10148, 10149, 104, 105} <= NOT_FINAL
    assert not {201, 103, 110, 200, 203, 321} & NOT_FINAL


statuses = st.sampled_from(
    [
        "PendingSubmit",
        "PreSubmitted",
        "Submitted",
        "PendingCancel",
        "Cancelled",
        "ApiCancelled",
        "Inactive",
        "Filled",
        "?",
    ]
)
reports = st.builds(
    lambda status, filled: report(status, filled=None if filled is None else D(filled)),
    statuses,
    st.none() | st.integers(0, 10),
)


@given(st.sampled_from(OPEN), st.lists(reports, max_size=8))
def test_no_story_takes_a_fill_back_or_leaves_the_end(start: OrderState, story: list[OrderReport]) -> None:
    """Over any sequence of words: filled never falls, the same word twice is once, and an end is left for FILLED only."""
    now = order(state=start)
    for said in story:
        after = advance(now, said)
        assert after.filled >= now.filled
        assert advance(after, said) == after
        if now.state in ENDED:
            assert after.state in {now.state, S.FILLED}
        assert (after.state is S.FILLED) or after.filled < after.quantity
        now = after


# --- the fills --------------------------------------------------------------------------------------------------------


def fill(number: int, quantity: int, price: str = "100", **changes: Any) -> Execution:
    return execution(quantity, price, exec_id=f"e{number}.01", **changes)


@pytest.mark.parametrize("before", [S.SENDING, S.WORKING, S.UNKNOWN, S.NOT_AT_BROKER, S.PARTIAL])
def test_a_fill_is_evidence_by_itself(before: OrderState) -> None:
    """A fill that comes before its acknowledgement, or after a silence, counts."""
    some = filled_by(order(state=before), (fill(1, 4, "100"), fill(2, 2, "103")))
    assert (some.state, some.filled, some.average_price, some.perm_id) == (S.PARTIAL, D(6), D(101), 900)
    assert filled_by(order(state=before), (fill(1, 4), fill(2, 6))).state is S.FILLED


@pytest.mark.parametrize("before", [S.CANCELLED, S.REJECTED, S.SUSPENDED])
def test_a_part_that_filled_does_not_wake_an_order(before: OrderState) -> None:
    """The rest of a cancelled order stays cancelled; what was filled is booked; a full fill is a fill."""
    some = filled_by(order(state=before), (fill(1, 4),))
    assert (some.state, some.filled) == (before, D(4))
    assert filled_by(order(state=before), (fill(1, 10),)).state is S.FILLED


def test_fills_of_others_are_not_ours() -> None:
    """Only executions that belong to the order count, and none means no change."""
    known = order()
    assert filled_by(known, (fill(1, 4, order_ref="B", order_id=8),)) == known
    assert filled_by(known, ()) == known


def test_fewer_fills_than_the_broker_counted_change_nothing() -> None:
    """A status that ran ahead of the executions is not taken back by them."""
    ahead = order(state=S.PARTIAL, filled=D(7), average_price=D(101))
    assert filled_by(ahead, (fill(1, 4),)) == ahead


def test_an_overfill_is_told_as_it_is() -> None:
    """More than was ordered is FILLED, with the true count."""
    assert filled_by(order(), (fill(1, 11),)).filled == D(11)
    assert filled_by(order(), (fill(1, 11),)).remaining == 0


def test_a_known_permanent_id_is_kept() -> None:
    """An execution tells the permanent id only where it was not known; 0 is none."""
    assert filled_by(order(perm_id=5), (fill(1, 1),)).perm_id == 5
    assert filled_by(order(), (fill(1, 1, perm_id=0),)).perm_id is None


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 500)), min_size=1, max_size=6), st.randoms())
def test_the_order_of_the_fills_does_not_matter(parts: list[tuple[int, int]], chance: Any) -> None:
    """Shuffled fills give the same count and average, and booking them again changes nothing."""
    fills = [fill(n, quantity, str(price)) for n, (quantity, price) in enumerate(parts)]
    known = filled_by(order(quantity=D(30)), tuple(fills))
    chance.shuffle(fills)
    assert filled_by(order(quantity=D(30)), tuple(fills)).filled == known.filled
    assert filled_by(known, tuple(fills)).state is known.state
    assert known.filled == sum(quantity for quantity, _ in parts)
    assert known.average_price is not None
    assert min(p for _, p in parts) <= round(known.average_price, 9) <= max(p for _, p in parts)


# --- the nouns of it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(OrderState))
def test_what_may_still_trade(state: OrderState) -> None:
    """UNKNOWN counts as open; only a known end frees what was not filled."""
    over = state in {S.FILLED, S.CANCELLED, S.REJECTED, S.NOT_AT_BROKER}
    known: Order = order(state=state, filled=D(4))
    assert state.is_open is not over
    assert known.remaining == (0 if over else 6)


@pytest.mark.parametrize(
    ("exec_id", "key", "revision"),
    [
        ("0000e0d5.65e1.01.01", "0000e0d5.65e1.01", 1),
        ("a.b.02", "a.b", 2),
        ("plain", "plain", 0),
        ("a.x", "a", 0),
    ],
)
def test_the_id_of_an_execution(exec_id: str, key: str, revision: int) -> None:
    """A correction has the same key and a higher number behind the last dot."""
    fill_ = execution(exec_id=exec_id)
    assert (fill_.key, fill_.revision) == (key, revision)


def test_a_correction_may_take_a_fill_back() -> None:
    """Fewer shares count where the broker corrected an execution, and only there."""
    done = order(filled=Decimal(10), average_price=Decimal(100), state=OrderState.FILLED)
    less = (execution(7),)
    assert filled_by(done, less) == done
    assert filled_by(done, less, corrected=True).filled == 7
    assert filled_by(done, (execution(0),), corrected=True).average_price is None


def test_an_order_of_unknown_size_is_not_filled_by_its_first_fill() -> None:
    """A quantity of zero means that the broker has not said how large it is."""
    assert filled_by(order(quantity=Decimal(0)), (execution(1),)).state is OrderState.PARTIAL
