"""What people hear of a change, and what is held between two snapshots."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

import pytest

from core.lifecycle import belongs
from core.model import Execution, Order, OrderReport, OrderState, OrderType, Role, Side
from core.orderbook import OrderBook, announcements, gather
from tests.values import NOW, execution, order, report

QUIET, LOUD = ["order"], ["order", "order_news"]


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        (order(state=OrderState.SENDING), order(), QUIET),
        (order(), order(filled=Decimal(3), state=OrderState.PARTIAL), QUIET),
        (order(), order(filled=Decimal(10), state=OrderState.FILLED), LOUD),
        (order(), order(state=OrderState.CANCELLED), LOUD),
        (order(), order(state=OrderState.UNKNOWN), LOUD),
        (order(), order(perm_id=5), []),
        (None, order(owner=None, order_ref=""), ["order_news"]),
        (order(owner=None), order(owner=None, filled=Decimal(1), state=OrderState.PARTIAL), []),
        (order(owner=None), order(owner=None, state=OrderState.CANCELLED), ["order_news"]),
    ],
)
def test_announcements(old: Order | None, new: Order, kinds: list[str]) -> None:
    """A card is edited for what it shows; only an end, or an order from elsewhere, is a message of its own."""
    assert [notice.kind for notice in announcements(old, new)] == kinds


def test_a_bracket_is_one_card() -> None:
    """News of a stop edit the card of the entry that it protects."""
    child = order(order_ref="01TICKET.stop", side=Side.SELL, role=Role.STOP, order_type=OrderType.STOP)
    (edit,) = announcements(None, child)
    assert edit.subject == "01TICKET"


def test_a_fill_says_what_it_did_to_the_position() -> None:
    """Before and after come from our own count, which has the fill already."""
    done = order(filled=Decimal(10), state=OrderState.FILLED)
    news = announcements(order(), done, {done.con_id: Decimal(50)})[-1]
    assert (news.data["before"], news.data["after"]) == ("40", "50")


def test_after_a_gap_the_news_are_one_message() -> None:
    """Cards are edited as ever; what happened meanwhile is told together."""
    words = [
        n
        for number in (1, 2)
        for n in announcements(order(), order(number=number, filled=Decimal(10), state=OrderState.FILLED))
    ]
    gathered = gather(words)
    assert [n.kind for n in gathered] == ["order", "order", "away"]
    assert [entry["number"] for entry in gathered[-1].data["orders"]] == [1, 2]


class Clock:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def book_of(orders: Sequence[Order]) -> OrderBook:
    """A book with these orders; neither its ledger nor its notifier is asked here."""
    book = OrderBook(cast(Any, None), cast(Any, None), Clock())
    book.opened(orders)
    return book


def named(number: int, **more: Any) -> Order:
    """One of many orders: each has its own names, but its order id is that of others of older connections and other clients too."""
    own: dict[str, Any] = {
        "order_ref": f"01T{number}",
        "perm_id": 1000 + number,
        "order_id": 1 + number % 100,
    }
    own |= {"number": number, "client_id": number % 3, "epoch": 1 + number % 2}
    return order(**{**own, **more})


MANY = [
    *(named(n) for n in range(1, 401)),
    *(named(n, perm_id=None) for n in range(401, 451)),  # never heard of
    *(named(n, order_ref="", owner=None, order_id=0) for n in range(451, 476)),  # typed into TWS
    *(named(n, order_ref="", owner=None) for n in range(476, 501)),  # of another client
]


def slow_find(orders: Sequence[Order], evidence: OrderReport | Execution, epoch: int) -> int | None:
    """What `find` has to answer, by holding the evidence against every order."""
    return max((o.number for o in orders if o.state.is_open and belongs(o, evidence, epoch)), default=None)


def evidence_of(known: Order) -> list[OrderReport | Execution]:
    """What the broker may say of an order, with more or fewer of its names."""
    ids: dict[str, Any] = {"client_id": known.client_id, "order_id": known.order_id}
    perm_id = known.perm_id or 0
    return [
        report(**ids, perm_id=perm_id, order_ref=known.order_ref),
        report(**ids, perm_id=perm_id),
        report(**ids),
        report(order_id=0, perm_id=perm_id),
        execution(**ids, perm_id=perm_id, order_ref=known.order_ref),
        execution(order_id=0, client_id=0, perm_id=perm_id, order_ref=""),
        execution(**ids, perm_id=0, order_ref="01ELSE"),
    ]


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_find_among_many(epoch: int) -> None:
    """Evidence finds the order that it finds when it is held against every one, the newest where it fits several; of any other, none."""
    book = book_of(MANY)
    for known in MANY:
        for evidence in evidence_of(known):
            found = book.find(evidence, epoch)
            assert (found and found.number) == slow_find(MANY, evidence, epoch), evidence
    assert book.find(report(client_id=9, order_id=1), epoch) is None
    assert book.find(report(order_ref="01T9999", order_id=3), epoch) is None


def test_find_after_orders_have_moved() -> None:
    """A name that an order got later finds it; one that is over is found by none of its names, and what shared them still is."""
    unheard, twin, older = named(401, perm_id=None), named(501, order_id=7, epoch=1), named(201, order_id=7)
    book = book_of([older, unheard, replace(twin, client_id=older.client_id)])
    assert book.find(report(order_id=0, perm_id=77), 1) is None
    book.opened([replace(unheard, perm_id=77)])
    found = book.find(report(order_id=0, perm_id=77), 1)
    assert found is not None
    assert found.number == 401
    book.opened([replace(unheard, perm_id=77, state=OrderState.FILLED)])
    for evidence in evidence_of(replace(unheard, perm_id=77))[:2]:
        assert book.find(evidence, unheard.epoch) is None
    by_id = report(client_id=older.client_id, order_id=7)
    found = book.find(by_id, 1)
    assert found is not None
    assert found.number == 501
    book.opened([replace(twin, client_id=older.client_id, state=OrderState.CANCELLED)])
    found = book.find(by_id, older.epoch)
    assert found is not None
    assert found.number == 201


def test_orders_are_told_oldest_first_whatever_came_when() -> None:
    """Also after some have gone and one has come back."""
    book = book_of([named(3), named(1)])
    assert [o.number for o in book.orders] == [1, 3]
    book.opened([named(2), replace(named(3), state=OrderState.CANCELLED)])
    assert [o.number for o in book.orders] == [1, 2]
    book.opened([named(3)])
    assert [o.number for o in book.orders] == [1, 2, 3]
    assert book.next_number == 4
