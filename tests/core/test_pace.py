"""What the rules of pace count: every entry of the last day once, as it stands, over a restart too."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model import Order, OrderState, Role, Sent
from core.pace import KEPT, Pace
from tests.values import NOW, order

MINUTE = timedelta(minutes=1)


def noted(*orders: Order, now: datetime = NOW, loaded: bool = False) -> tuple[Sent, ...]:
    """What is counted of these."""
    pace = Pace()
    pace.note(orders, now, loaded=loaded)
    return pace.sent


@pytest.mark.parametrize(
    "changes",
    [{"owner": None}, {"role": Role.STOP}, {"role": Role.TARGET}],
    ids=["placed elsewhere", "a stop", "a target"],
)
def test_what_is_no_entry_of_ours(changes: dict[str, object]) -> None:
    """Orders of others and the protection that comes with an entry count for nothing."""
    assert noted(order(**changes)) == ()


def test_an_order_is_counted_once_as_it_stands() -> None:
    """Sent, then filled in two parts: one entry, filled when the first part was."""
    pace = Pace()
    pace.note([order(worth=Decimal(1000))], NOW)
    assert pace.sent == (Sent(1, NOW, order().same_terms, Decimal(1000)),)
    pace.note([order(worth=Decimal(1000), filled=Decimal(3))], NOW + MINUTE)
    pace.note([order(worth=Decimal(1000), filled=Decimal(10), state=OrderState.FILLED)], NOW + 2 * MINUTE)
    assert pace.sent == (Sent(1, NOW, order().same_terms, Decimal(1000), NOW + MINUTE),)


def test_a_rejection_is_counted_from_when_it_was_heard() -> None:
    """And not again each time that the order is written."""
    pace = Pace()
    pace.note([order()], NOW)
    rejected = order(state=OrderState.REJECTED)
    pace.note([rejected], NOW + MINUTE)
    pace.note([rejected], NOW + 9 * MINUTE)
    assert [sent.rejected_at for sent in pace.sent] == [NOW + MINUTE]


def test_of_an_earlier_run_it_counts_from_its_sending() -> None:
    """Nobody wrote down when it was heard, and earlier is the only time that is certain."""
    done = order(filled=Decimal(10), state=OrderState.FILLED)
    refused = order(number=2, state=OrderState.REJECTED)
    filled, rejected = noted(done, refused, now=NOW + 5 * MINUTE, loaded=True)
    assert (filled.filled_at, rejected.rejected_at) == (NOW, NOW)


@pytest.mark.parametrize(("age", "kept"), [(KEPT, 1), (KEPT + timedelta(seconds=1), 0)])
def test_what_is_forgotten(age: timedelta, kept: int) -> None:
    """A day of the exchange is always whole."""
    assert len(noted(order(), now=NOW + age, loaded=True)) == kept
    pace = Pace()
    pace.note([order()], NOW)
    pace.note([order(number=2, sent_at=NOW + age)], NOW + age)
    assert len(pace.sent) == kept + 1


def test_an_old_order_counts_from_when_it_fills() -> None:
    """One that rested for days is not forgotten before its fill has been counted for as long."""
    pace, later = Pace(), NOW + timedelta(days=4)
    pace.note([order()], NOW)
    pace.note([order(filled=Decimal(1))], later)
    assert [(sent.at, sent.filled_at) for sent in pace.sent] == [(NOW, later)]
    pace.note([], later + KEPT)
    assert len(pace.sent) == 1
    pace.note([], later + KEPT + timedelta(seconds=1))
    assert not pace.sent


moments = st.integers(0, 3000)


@given(st.lists(st.tuples(st.integers(1, 6), moments, st.integers(0, 10)), max_size=20))
def test_a_restart_forgets_none(events: list[tuple[int, int, int]]) -> None:
    """However orders came and moved: who loads the file counts the same orders with the same worth as who saw it all."""
    pace, time = Pace(), NOW
    last: dict[int, Order] = {}
    for number, minutes, filled in sorted(events, key=lambda e: e[1]):
        time = NOW + minutes * MINUTE
        before = last.get(number)
        sent_at = before.sent_at if before else time
        more = max(Decimal(filled), before.filled) if before else Decimal(filled)
        last[number] = replace(order(number=number, sent_at=sent_at, worth=Decimal(number)), filled=more)
        pace.note([last[number]], time)
    again = Pace()
    again.note([o for o in last.values() if time - o.sent_at <= KEPT], time, loaded=True)
    young = {s.number: (s.at, s.terms, s.worth) for s in pace.sent if time - s.at <= KEPT}
    assert {s.number: (s.at, s.terms, s.worth) for s in again.sent} == young
