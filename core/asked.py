"""Cancels and changes that were asked, and that the broker's own book contradicts: it shows the order at work as before.

That alone proves nothing, since they may be on their way. It is proof where the broker refused them, where the line broke after they were
asked, or where two snapshots of one connection, five seconds or more apart and both asked for later, say the same.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from core.model import BrokerBook, Notice, Order

CONTRADICTED_SECONDS = 5.0
_AT_WORK = frozenset({"Submitted", "PreSubmitted"})


class Asked:
    """What the broker refused, and what one snapshot has contradicted so far."""

    def __init__(self) -> None:
        self.refused_cancels: set[int] = set()
        """Orders of which the broker would not take a cancel; their owners have heard that."""
        self._refused_changes: dict[int, tuple[str, bool]] = {}
        self._contradicted: dict[tuple[int, datetime], tuple[int, datetime]] = {}

    def refuse_change(self, number: int, why: str, *, certain: bool) -> None:
        """The broker said something against an order while a change of it was on its way; `certain`: it refused the change by that."""
        self._refused_changes[number] = (why, certain)

    def copy(self) -> "Asked":
        """The same knowledge, to come back to."""
        twin = Asked()
        twin.refused_cancels |= self.refused_cancels
        twin._refused_changes |= self._refused_changes
        twin._contradicted |= self._contradicted
        return twin

    def judge(
        self, orders: Sequence[Order], told: BrokerBook, now: datetime
    ) -> tuple[tuple[Order, ...], list[Notice], bool]:
        """(the orders without what was provably lost, words about it, whether to look again in a few seconds)."""
        connected_at = datetime.fromtimestamp(told.epoch / 1000, UTC)  # an epoch is a time
        working = {r.perm_id for r in told.open_orders if r.status in _AT_WORK}
        words: list[Notice] = []
        after, waits = [], set[tuple[int, datetime]]()

        def lost(order: Order, asked_at: datetime, refused: bool) -> bool:
            if refused or asked_at < connected_at:
                return True
            epoch, since = self._contradicted.setdefault((order.number, asked_at), (told.epoch, now))
            if epoch != told.epoch:
                epoch, since = self._contradicted[order.number, asked_at] = (told.epoch, now)
            if (now - since).total_seconds() >= CONTRADICTED_SECONDS:
                return True
            waits.add((order.number, asked_at))
            return False

        for told_of in orders:
            order = told_of
            number, at_work = order.number, order.state.is_open and order.perm_id in working
            if at_work and (asked_at := order.cancel_requested_at) is not None:
                refused = number in self.refused_cancels
                self.refused_cancels.discard(number)
                if lost(order, asked_at, refused):
                    order = replace(order, cancel_requested_at=None)
                    words += [] if refused else [_note(order, _cancel_lost(order))]
            if at_work and order.change is not None:
                why, certain = self._refused_changes.get(number, ("", False))
                if lost(order, order.change.asked_at, certain):
                    by_rule, order = order.change.ref == order.card, replace(order, change=None)
                    # A step of its limit that nobody here asked for and the broker did not refuse is no news: it is tried again.
                    if why or not by_rule:
                        why = why or "The change did not reach the broker."
                        words.append(_note(order, f"Not changed: it works on with its old terms. {why}"))
            if not order.state.is_open:
                self.refused_cancels.discard(number)
            if order.change is None:
                self._refused_changes.pop(number, None)
            after.append(order)
        self._contradicted = {key: seen for key, seen in self._contradicted.items() if key in waits}
        return tuple(after), words, bool(waits)


def _cancel_lost(order: Order) -> str:
    if order.protects:
        return "Its cancel did not reach the broker: it works on, and protects as before."
    return "Your cancel did not reach the broker: the order works on. Cancel it again if you still want that."


def _note(order: Order, text: str) -> Notice:
    return Notice("order_note", {"number": order.number, "text": text}, to=order.owner, urgent=True)
