"""What people hear of a change, and what is held between two snapshots."""

from decimal import Decimal

import pytest

from core.model import Order, OrderState, OrderType, Role, Side
from core.orderbook import announcements, gather
from tests.values import order

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
