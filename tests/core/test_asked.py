"""What was asked and is contradicted by the broker's own book: what proves that it was lost, and what proves nothing yet."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.asked import CONTRADICTED_SECONDS, Asked
from core.model import BrokerBook, Change, Notice, Order, OrderState
from tests.values import NOW, book, order, report

PERM_ID = 900
EPOCH = int(NOW.timestamp() * 1000)  # the line came up at NOW
BEFORE, AFTER = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)


def changing(asked_at: datetime = AFTER, **more: Any) -> Order:
    """An order with a change on its way."""
    return order(perm_id=PERM_ID, change=Change("01B", Decimal(10), Decimal(151), None, asked_at), **more)


def cancelling(asked_at: datetime = AFTER, **more: Any) -> Order:
    """An order with a cancel on its way."""
    return order(perm_id=PERM_ID, cancel_requested_at=asked_at, **more)


def told(status: str = "Submitted", epoch: int = EPOCH, perm_id: int = PERM_ID) -> BrokerBook:
    """An answer that shows the order so."""
    return book(epoch=epoch, open_orders=(report(status, perm_id=perm_id),))


def seconds(count: float) -> datetime:
    """So long after the line came up."""
    return NOW + timedelta(seconds=count)


def words(notices: list[Notice]) -> str:
    """All that is said."""
    return " ".join(str(n.data["text"]) for n in notices)


@pytest.mark.parametrize("asked", [changing, cancelling])
@pytest.mark.parametrize(
    ("asked_at", "shown", "lost", "look_again"),
    [
        (BEFORE, told(), True, False),  # the line broke after it was asked
        (AFTER, told(), False, True),  # it may be on its way
        (BEFORE, told("PendingCancel"), False, False),  # not shown as at work: no contradiction
        (BEFORE, told(perm_id=901), False, False),  # another order
        (BEFORE, book(epoch=EPOCH), False, False),  # an answer without the order says nothing about it
    ],
    ids=["asked before the connection", "one snapshot", "being cancelled", "another order", "not shown"],
)
def test_one_answer(asked: Any, asked_at: datetime, shown: BrokerBook, lost: bool, look_again: bool) -> None:
    """Only what was asked before the connection is lost for one answer that shows the order as before."""
    (after,), notices, again = Asked().judge([asked(asked_at)], shown, seconds(3))
    assert (after.change is None and after.cancel_requested_at is None) is lost
    assert (len(notices), again) == (int(lost), look_again)


@pytest.mark.parametrize(
    ("between", "second_epoch", "lost"),
    [
        (CONTRADICTED_SECONDS, EPOCH, True),
        (CONTRADICTED_SECONDS - 0.1, EPOCH, False),
        (CONTRADICTED_SECONDS, EPOCH + 500, False),  # of another connection: it begins anew
    ],
)
@pytest.mark.parametrize("asked", [changing, cancelling])
def test_two_answers(asked: Any, between: float, second_epoch: int, lost: bool) -> None:
    """Two answers of one connection, far enough apart, are proof."""
    memory = Asked()
    memory.judge([asked()], told(), seconds(2))
    (after,), notices, again = memory.judge([asked()], told(epoch=second_epoch), seconds(2 + between))
    assert (after.change is None and after.cancel_requested_at is None) is lost
    assert bool(notices) is lost
    assert again is not lost


def test_an_answer_in_between_that_does_not_contradict_begins_it_anew() -> None:
    """What was not contradicted without a break is not proved by the first and the last answer."""
    memory = Asked()
    memory.judge([changing()], told(), seconds(2))
    memory.judge([changing()], book(epoch=EPOCH), seconds(4))
    (after,), _, again = memory.judge([changing()], told(), seconds(8))
    assert after.change is not None
    assert again


def test_a_later_change_of_the_same_order_has_its_own_time() -> None:
    """A second change is not judged by the answers that contradicted the first."""
    memory = Asked()
    memory.judge([changing()], told(), seconds(2))
    (after,), _, _ = memory.judge([changing(seconds(6))], told(), seconds(8))
    assert after.change is not None


def test_a_certain_refusal_is_proof_at_once_and_its_words_are_told() -> None:
    """The broker said that he does not take the change, and shows the old terms."""
    memory = Asked()
    memory.refuse_change(1, "Too far from the market.", certain=True)
    (after,), notices, again = memory.judge([changing()], told(), seconds(2))
    assert after.change is None
    assert not again
    assert words(notices) == "Not changed: it works on with its old terms. Too far from the market."


def test_an_uncertain_word_is_the_reason_only_when_the_loss_is_proved() -> None:
    """A message that may concern the change proves nothing by itself, and is told once two answers do."""
    memory = Asked()
    memory.refuse_change(1, "Something about the order.", certain=False)
    (after,), notices, again = memory.judge([changing()], told(), seconds(2))
    assert (after.change is not None, notices, again) == (True, [], True)
    (after,), notices, _ = memory.judge([changing()], told(), seconds(2 + CONTRADICTED_SECONDS))
    assert after.change is None
    assert "Something about the order." in words(notices)


def test_a_refused_cancel_is_settled_without_a_word() -> None:
    """Its owner has heard the broker's own words; the order is no longer shown as being cancelled, and the refusal is used up."""
    memory = Asked()
    memory.refused_cancels.add(1)
    (after,), notices, again = memory.judge([cancelling()], told(), seconds(2))
    assert (after.cancel_requested_at, notices, again) == (None, [], False)
    assert memory.refused_cancels == set()


def test_refusals_of_what_was_not_in_the_answer_are_kept() -> None:
    """An answer that was asked for before the order moved leaves it out: the refusal waits for the next one."""
    memory = Asked()
    memory.refuse_change(1, "No.", certain=True)
    memory.refused_cancels.add(2)
    assert memory.judge([], told(), seconds(2)) == ((), [], False)
    (after,), notices, _ = memory.judge([changing()], told(), seconds(3))
    assert after.change is None
    assert "No." in words(notices)
    assert memory.refused_cancels == {2}


@pytest.mark.parametrize("state", [OrderState.FILLED, OrderState.CANCELLED, OrderState.NOT_AT_BROKER])
def test_of_an_order_that_is_over_nothing_is_said_or_remembered(state: OrderState) -> None:
    """Whatever was refused of it, an end is an end: a later order gets no words of this one."""
    memory = Asked()
    memory.refused_cancels.add(1)
    memory.refuse_change(1, "No.", certain=True)
    over = order(perm_id=PERM_ID, state=state)
    assert memory.judge([over], told(), seconds(2)) == ((over,), [], False)
    assert memory.refused_cancels == set()
    (after,), notices, _ = memory.judge([changing()], told(), seconds(3))
    assert (after.change is not None, notices) == (True, [])


def test_a_copy_does_not_move_with_the_original() -> None:
    """What was judged for a commit that failed is judged again."""
    memory = Asked()
    memory.refuse_change(1, "No.", certain=True)
    known = memory.copy()
    memory.judge([changing()], told(), seconds(2))
    (after,), notices, _ = known.judge([changing()], told(), seconds(3))
    assert after.change is None
    assert "No." in words(notices)


def test_a_step_of_the_limit_that_was_lost_is_no_news() -> None:
    """Nobody asked for it, and it is tried again; only what the broker says against it is told."""
    step = changing(BEFORE)
    assert step.change is not None
    step = replace(step, change=replace(step.change, ref=step.card))
    (after,), notices, _ = Asked().judge([step], told(), seconds(2))
    assert after.change is None
    assert notices == []
    memory = Asked()
    memory.refuse_change(1, "Too far from the market.", certain=True)
    _, notices, _ = memory.judge([step], told(), seconds(2))
    assert "Too far from the market." in words(notices)
