"""The register of orders: who placed which, under which ids, and which are still at work."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from sim.tws import hours
from sim.tws.book import Counters, Order, Record

K = TypeVar("K")


@dataclass(slots=True)
class Register:
    """Finds orders by their ids and hands out new ones. Tells `changed` of every record that is not what it was."""

    changed: Callable[[Record], None]
    orders: dict[int, Order] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    _by_id: dict[tuple[int, int], Order] = field(default_factory=dict)
    _working: dict[int, Order] = field(default_factory=dict)
    _attached: dict[int, dict[int, Order]] = field(default_factory=dict)
    _grouped: dict[str, dict[int, Order]] = field(default_factory=dict)

    # -- questions

    def next_id(self, client_id: int) -> int:
        """The next order id a client may use."""
        return self.counters.next_ids.get(client_id, 1)

    def find(self, client_id: int, order_id: int) -> Order | None:
        """The order a client knows by an id."""
        return self._by_id.get((client_id, order_id))

    def working(self) -> list[Order]:
        """All orders that are not done and have been transmitted, in the order in which they came."""
        return [order for order in self._working.values() if order.status]

    def children(self, perm_id: int) -> list[Order]:
        """The orders attached to one that are not done, transmitted or not."""
        return list(self._attached.get(perm_id, {}).values())

    def group(self, order: Order) -> list[Order]:
        """The other working orders of an order's OCA group."""
        others = self._grouped.get(order.terms.oca_group, {}).values()
        return [
            other
            for other in others
            if other.status and other.account == order.account and other is not order
        ]

    def parent(self, order: Order) -> Order | None:
        """What an order is attached to."""
        return self.orders.get(order.parent_perm_id)

    def completed(self, now: datetime) -> list[Order]:
        """The orders done since midnight in New York, in the order in which they ended."""
        day = hours.new_york_day(now)
        done = [
            order
            for order in self.orders.values()
            if order.completed and hours.new_york_day(order.completed) == day
        ]
        return sorted(done, key=lambda order: order.completed or now)

    # -- changes

    def enter(self, order: Order) -> None:
        """Take up an order, a new one or one from an earlier run."""
        self.orders[order.perm_id] = order
        if order.order_id:
            self._by_id[order.client_id, order.order_id] = order
        if not order.done:
            self._working[order.perm_id] = order
            self.join(order)

    def join(self, order: Order) -> None:
        """Take note of what an order that is not done is attached to, and of its OCA group; neither ever changes again."""
        if order.parent_perm_id:
            self._attached.setdefault(order.parent_perm_id, {})[order.perm_id] = order
        if order.terms.oca_group:
            self._grouped.setdefault(order.terms.oca_group, {})[order.perm_id] = order

    def _leave(self, order: Order) -> None:
        self._working.pop(order.perm_id, None)
        _drop(self._attached, order.parent_perm_id, order)
        _drop(self._grouped, order.terms.oca_group, order)

    def next_perm_id(self) -> int:
        """A permanent id that no order had before."""
        self.counters.next_perm += 1
        self.changed(self.counters)
        return self.counters.next_perm - 1

    def next_execution(self) -> int:
        """A number that no execution had before."""
        self.counters.next_exec += 1
        self.changed(self.counters)
        return self.counters.next_exec - 1

    def used(self, client_id: int, order_id: int) -> None:
        """A client used an order id: only greater ones are new from now on."""
        self.counters.next_ids[client_id] = order_id + 1
        self.changed(self.counters)

    def complete(self, order: Order, status: str, text: str, now: datetime) -> None:
        """An order is done: filled, cancelled or rejected ("Inactive")."""
        order.status, order.completed, order.completed_text, order.why_held = status, now, text, ""
        self._leave(order)
        self.changed(order)

    def bind(self, order: Order) -> None:
        """Give an order typed by hand an id of client 0, a negative one."""
        order.order_id = self.counters.next_bound
        self.counters.next_bound -= 1
        self.enter(order)
        self.changed(order)
        self.changed(self.counters)

    def restart_ids(self, next_id: int) -> None:
        """Order ids begin anew, as after a reset of the API's order id sequence: those of orders that are done mean nothing any more."""
        self.counters.next_ids = dict.fromkeys(self.counters.next_ids, next_id)
        self._by_id = {key: order for key, order in self._by_id.items() if not order.done}
        for order in self.orders.values():
            if order.done and order.order_id:
                order.order_id = 0
                self.changed(order)
        self.changed(self.counters)


def _drop(index: dict[K, dict[int, Order]], key: K, order: Order) -> None:
    """Take an order out of an index, and its entry with the last one."""
    if (orders := index.get(key)) is not None:
        orders.pop(order.perm_id, None)
        if not orders:
            del index[key]
