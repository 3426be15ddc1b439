"""A small broker in memory, written apart from the desk and from the simulated TWS: what a broker owes its clients, and nothing more.

It keeps its own book of orders, executions, what they cost and what is held. Orders trade when they are told to. What it says goes to
`tell`; what a client that was away has to be told is in its answers. Where real brokers differ (children that sleep until their entry is done,
groups of which a fill takes the rest down) it does as the captures of the simulated TWS do.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from core.model import (
    BrokerEvent,
    BrokerMessage,
    Commission,
    Execution,
    Order,
    OrderReport,
    OrderType,
    Position,
    Side,
    TimeInForce,
)
from tests.values import ACCOUNT

ZERO, PRICE = Decimal(0), Decimal(100)
SYMBOLS = {1: "AAA", 2: "BBB"}
Said = BrokerEvent | tuple[Position, ...]
"""What is said on the line: evidence, or what is held now."""
DONE = frozenset({"Filled", "Cancelled", "Inactive"})


@dataclass
class Held:
    """An order at the broker. `status` is empty until it is transmitted."""

    perm_id: int
    client_id: int
    order_id: int
    ref: str
    con_id: int
    side: Side
    quantity: Decimal
    kind: OrderType
    limit: Decimal | None
    stop: Decimal | None
    tif: TimeInForce
    parent: int = 0
    group: str = ""
    status: str = ""
    filled: Decimal = ZERO
    average: Decimal | None = None
    text: str = ""
    asleep: bool = False

    @property
    def done(self) -> bool:
        return self.status in DONE

    @property
    def working(self) -> bool:
        return bool(self.status) and not self.done

    @property
    def remaining(self) -> Decimal:
        return max(self.quantity - self.filled, ZERO)


@dataclass
class Fill:
    """An execution with everything that was ever told of it, oldest first. `paid` are the reports of its commission that are out."""

    perm_id: int
    revisions: list[Execution]
    fee: Decimal
    paid: list[Commission] = field(default_factory=list)

    @property
    def now(self) -> Execution:
        return self.revisions[-1]


@dataclass
class Exchange:
    """The broker's own book; `tell` hears (client id, what is said)."""

    tell: Callable[[int, "Said"], None]
    now: Callable[[], datetime]
    orders: dict[int, Held] = field(default_factory=dict)
    fills: dict[str, Fill] = field(default_factory=dict)
    opening: dict[int, Decimal] = field(default_factory=lambda: {1: Decimal(40)})
    next_id: int = 1
    last_perm: int = 700
    commissions: str = "after"
    hold_cancels: bool = False
    eager: bool = False
    perm_late: bool = False
    rejects: int = 0
    unaccounted: set[int] = field(default_factory=set)
    """Instruments that were traded elsewhere or whose fills were taken back: what protects them may be more than is held."""

    # --- what a client asks -----------------------------------------------------------------------------------------------

    def find(self, client_id: int, order_id: int) -> Held | None:
        """The order that an id means to the broker: of several the one that works."""
        same = [
            o for o in self.orders.values() if (o.client_id, o.order_id) == (client_id, order_id) and order_id
        ]
        return next((o for o in same if not o.done), same[-1] if same else None)

    def place(self, order: Order, parent_id: int, *, transmit: bool) -> None:
        """A new order, or a change of the one that works under its id."""
        known = self.find(order.client_id, order.order_id)
        if known is not None and not known.done:
            self._modify(known, order)
            return
        if known is not None or order.order_id < self.next_id:
            self._fail(order.client_id, order.order_id, 103, "Duplicate order id")
            return
        parent = self.find(order.client_id, parent_id) if parent_id else None
        if parent_id and (parent is None or parent.status in ("Cancelled", "Inactive")):
            self._fail(order.client_id, order.order_id, 135, f"Can't find order with id ={parent_id}")
            return
        self.next_id = order.order_id + 1
        held = self._enter(order, order.client_id, order.order_id)
        if parent is not None:
            held.parent, held.group = parent.perm_id, str(parent.perm_id)
        if transmit:
            for one in self.orders.values():
                if not one.status and (one is held or self._family(one) == self._family(held)):
                    self._activate(one)

    def _family(self, held: Held) -> int:
        return held.parent or held.perm_id

    def _enter(self, order: Order, client_id: int, order_id: int) -> Held:
        self.last_perm += 1
        held = Held(
            self.last_perm,
            client_id,
            order_id,
            order.order_ref,
            order.con_id,
            order.side,
            order.quantity,
            order.order_type,
            order.limit_price,
            order.stop_price,
            order.tif,
            group=order.oca,
        )
        self.orders[held.perm_id] = held
        return held

    def _activate(self, held: Held) -> None:
        if self.rejects:
            self.rejects -= 1
            self._end(held, "Inactive", "not today")
            self._fail(held.client_id, held.order_id, 201, "Order rejected - reason:not today")
            self._show(held)
            for child in self._children(held):
                self._cancelled(child)
            return
        parent = self.orders.get(held.parent)
        held.asleep = parent is not None and not parent.done
        held.status = "PreSubmitted" if held.asleep or held.kind is OrderType.STOP else "Submitted"
        self._show(held, late=self.perm_late)
        if self.eager and held.kind is OrderType.MARKET:
            self.fill(held.perm_id, held.remaining, Decimal("100.01"))

    def _modify(self, held: Held, order: Order) -> None:
        if order.quantity <= held.filled:
            self._fail(held.client_id, held.order_id, 104, "Cannot modify a filled order.")
        elif held.status == "PendingCancel":
            self._fail(held.client_id, held.order_id, 161, "Cancel attempted when order is not cancellable.")
        elif self.rejects and held.status:
            self.rejects -= 1
            self._fail(held.client_id, held.order_id, 201, "Order rejected - reason:not today")
        else:
            held.quantity, held.limit, held.stop = order.quantity, order.limit_price, order.stop_price
            if held.status:
                self._show(held)

    def cancel(self, client_id: int, order_id: int) -> None:
        """A client takes an order back."""
        held = self.find(client_id, order_id)
        if held is None:
            self._fail(
                client_id, order_id, 10147, f"OrderId {order_id} that needs to be cancelled is not found."
            )
        elif held.done:
            self._fail(
                client_id, order_id, 10148, f"OrderId {order_id} cannot be cancelled, state: {held.status}."
            )
        elif held.status == "PendingCancel":
            self._fail(client_id, order_id, 161, "Cancel attempted when order is not in a cancellable state.")
        elif self.hold_cancels and held.status:
            held.status = "PendingCancel"
            self._status(held)
        else:
            self._cancelled(held)

    # --- what happens there ------------------------------------------------------------------------------------------------

    def fillable(self) -> list[Held]:
        """The orders that can trade now."""
        return [o for o in self.orders.values() if o.working and not o.asleep and o.remaining > 0]

    def fill(self, perm_id: int, quantity: Decimal, price: Decimal) -> None:
        """Trade some of an order."""
        held = self.orders[perm_id]
        total = held.filled + quantity
        held.average = ((held.average or ZERO) * held.filled + price * quantity) / total
        held.filled = total
        if not held.remaining:
            self._end(held, "Filled", f"Filled Size: {held.filled}")
        elif held.status != "PendingCancel":
            held.status = "Submitted"
        self._execute(held, quantity, price)
        if held.status == "Filled":
            self._wake(held)
        for other in self._group(held):
            if held.status == "Filled" or other.quantity - quantity <= other.filled:
                self._cancelled(other)
            else:
                other.quantity -= quantity
                self._show(other)

    def _execute(self, held: Held, quantity: Decimal, price: Decimal) -> None:
        number = len(self.fills) + 1
        made = Execution(
            f"0000e0d5.{0x65A00000 + number:08x}.01.01",
            ACCOUNT,
            held.con_id,
            SYMBOLS[held.con_id],
            "USD",
            held.side,
            quantity,
            price,
            self.now(),
            held.client_id,
            held.order_id,
            held.perm_id,
            held.ref,
        )
        fill = self.fills[made.key] = Fill(held.perm_id, [made], Decimal(100 + number) / 100)
        if self.commissions == "before":
            self.pay(fill)
        self.tell(held.client_id, made)
        self._show(held)
        if self.commissions == "after":
            self.pay(fill)
        self.tell(0, self.positions())

    def pay(self, fill: Fill, *, twice: bool = False) -> None:
        """Tell what an execution cost, once or once more."""
        if not fill.paid or fill.paid[-1].exec_id != fill.now.exec_id or twice:
            told = Commission(fill.now.exec_id, fill.fee, "USD")
            fill.paid.append(told)
            self.tell(self.orders[fill.perm_id].client_id, told)

    def correct(self, key: str, quantity: Decimal, price: Decimal) -> None:
        """Tell an execution anew under its next revision; a quantity of zero takes it back."""
        fill = self.fills[key]
        before = fill.now
        if quantity != before.quantity:
            self.unaccounted.add(before.con_id)
        stem, _, revision = before.exec_id.rpartition(".")
        fill.revisions.append(
            replace(before, exec_id=f"{stem}.{int(revision) + 1:02d}", quantity=quantity, price=price)
        )
        held = self.orders[fill.perm_id]
        mine = [f.now for f in self.fills.values() if f.perm_id == held.perm_id]
        held.filled = sum((e.quantity for e in mine), ZERO)
        held.average = sum((e.quantity * e.price for e in mine), ZERO) / held.filled if held.filled else None
        self.tell(held.client_id, fill.now)
        if self.commissions != "never":
            self.pay(fill)
        self.tell(0, self.positions())

    def take_away(self, perm_id: int) -> None:
        """The broker cancels an order."""
        self._cancelled(self.orders[perm_id])

    def elsewhere(self, order: Order, *, by_hand: bool, trades: bool) -> None:
        """An order from another program, or typed into TWS (by client 0, without an id)."""
        held = self._enter(order, 0 if by_hand else 9, 0 if by_hand else 5000 + len(self.orders))
        held.ref = ""
        self.unaccounted.add(held.con_id)
        held.status = "Submitted"
        self._show(held)
        if trades:
            self.fill(held.perm_id, held.quantity, Decimal(100))

    def let_ids_begin_anew(self) -> None:
        """TWS was started anew with its ids reset: those of orders that are done mean nothing any more, what was never transmitted is gone.

        The first new one lies above those that work: an order that ends later keeps its id.
        """
        self.next_id = 1 + max((o.order_id for o in self.orders.values() if o.working), default=0)
        self.orders = {perm: held for perm, held in self.orders.items() if held.status}
        for held in self.orders.values():
            if held.done:
                held.order_id = 0

    def _group(self, held: Held) -> list[Held]:
        return [
            o
            for o in self.orders.values()
            if held.group and o.group == held.group and o.working and o is not held
        ]

    def _children(self, held: Held) -> list[Held]:
        return [o for o in self.orders.values() if o.parent == held.perm_id and not o.done]

    def _wake(self, parent: Held) -> None:
        for child in self._children(parent):
            if child.status:
                child.quantity, child.asleep = min(child.quantity, parent.filled), False
                self._show(child)

    def _end(self, held: Held, status: str, text: str) -> None:
        held.status, held.text = status, text

    def _cancelled(self, held: Held) -> None:
        self._end(held, "Cancelled", "Cancelled by Trader")
        self._status(held)
        self._fail(held.client_id, held.order_id, 202, "Order Canceled - reason:")
        for child in self._children(held):
            if not held.filled:
                self._cancelled(child)
        if held.filled:
            self._wake(held)

    # --- what is said -----------------------------------------------------------------------------------------------------

    def report(self, held: Held) -> OrderReport:
        """An open order as it is told."""
        return OrderReport(
            held.status,
            held.client_id,
            held.order_id,
            held.perm_id,
            held.ref,
            ACCOUNT,
            held.con_id,
            SYMBOLS[held.con_id],
            "USD",
            held.side,
            held.quantity,
            held.kind,
            held.limit,
            held.stop,
            held.tif,
        )

    def status(self, held: Held) -> OrderReport:
        """A status: no name, no instrument."""
        return OrderReport(
            held.status,
            held.client_id,
            held.order_id,
            held.perm_id,
            filled=held.filled,
            average_price=held.average,
        )

    def _status(self, held: Held) -> None:
        self.tell(held.client_id, self.status(held))

    def _show(self, held: Held, *, late: bool = False) -> None:
        for said in (self.report(held), self.status(held)):
            self.tell(held.client_id, replace(said, perm_id=0) if late else said)

    def _fail(self, client_id: int, order_id: int, code: int, text: str) -> None:
        if order_id:
            self.tell(client_id, BrokerMessage(order_id, code, text))

    # --- what is asked ----------------------------------------------------------------------------------------------------

    def open_orders(self) -> tuple[OrderReport, ...]:
        """Every order that works; each is followed by its status, which comes as an event."""
        working = [o for o in self.orders.values() if o.working]
        for held in working:
            self.tell(0, self.status(held))
        return tuple(map(self.report, working))

    def completed_orders(self) -> tuple[OrderReport, ...]:
        """Every order that is over, without its id; what it had to trade is not told."""
        return tuple(
            replace(self.report(o), order_id=0, quantity=None, filled=o.filled, text=o.text)
            for o in self.orders.values()
            if o.done
        )

    def executions(self) -> tuple[Execution, ...]:
        """All revisions of all executions; what they cost follows as events."""
        for fill in self.fills.values():
            if fill.paid:
                self.tell(0, fill.paid[-1])
        return tuple(e for fill in self.fills.values() for e in fill.revisions)

    def held(self, con_id: int) -> Decimal:
        """What is held of an instrument."""
        moved = (f.now.side.sign * f.now.quantity for f in self.fills.values() if f.now.con_id == con_id)
        return self.opening.get(con_id, ZERO) + sum(moved, ZERO)

    def positions(self) -> tuple[Position, ...]:
        """Every holding that is not nothing."""
        return tuple(
            Position(ACCOUNT, con_id, symbol, "USD", held, Decimal(90), PRICE, PRICE * held)
            for con_id, symbol in SYMBOLS.items()
            if (held := self.held(con_id))
        )

    def exposed(self, con_id: int) -> Decimal:
        """How many shares all that works could sell at most: of a group the most of one, of children what their entry has bought."""
        groups: dict[str, Decimal] = {}
        for held in self.orders.values():
            if held.con_id != con_id or held.side is not Side.SELL or not held.working:
                continue
            most, parent = held.remaining, self.orders.get(held.parent)
            if held.asleep and parent is not None:
                most = min(most, parent.filled)
            name = held.group or f"alone {held.perm_id}"
            groups[name] = max(groups.get(name, ZERO), most)
        return sum(groups.values(), ZERO)
