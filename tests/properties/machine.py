"""The machine: whatever people, the market, the line and crashes can do to a desk, in any order; and what holds all the same.

At every step: nothing leaves without its approval, outside a reconciled epoch, under other terms, or twice (the world judges each message as it is
written); what works to sell is never more than is held. At every quiet point (the line is up, everything was delivered, two comparisons went by): our
book is the broker's, order by order, execution by execution, share by share.

What is left out, each for a reason (the second has a test of its own):
- messages are repeated or change places with their neighbours only, as on a line that keeps its order, where the broker says things in another order or twice;
- an error of the broker is never lost by itself, since a line loses bytes only with itself; other messages are;
- a person settles an UNKNOWN order only where TWS truly does not have it.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core import lots, protection
from core.model import (
    BrokerMessage,
    ChangeRequest,
    Commission,
    Execution,
    Order,
    OrderReport,
    OrderState,
    OrderType,
    Origin,
    Request,
    Side,
    TimeInForce,
)
from storage import rows
from tests.properties.exchange import SYMBOLS, Held
from tests.properties.life import Answer, Life, World, blank
from tests.values import ORDER, OWNER

ZERO = Decimal(0)
QUIET_SECONDS = 62.0
STEPS: Counter[str] = Counter()
"""How often each rule was taken, over all examples of this process."""
FACTS: Counter[str] = Counter()
"""What the examples came to: orders, executions, comparisons."""

numbers = st.integers(min_value=0, max_value=60)
shares = st.integers(min_value=1, max_value=12).map(Decimal)
mostly = st.sampled_from([True, True, True, False])


def shift(names: list[Any], number: int) -> Any:
    """One of them: the small numbers, which hypothesis prefers, mean the latest."""
    return names[-1 - number % len(names)]


class Desk(RuleBasedStateMachine):
    """A desk, its broker, and everything that happens to both."""

    blank: bytes = b""

    def __init__(self) -> None:
        super().__init__()
        shm = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="greenlight-", dir=shm if shm.is_dir() else None))
        self.world = World(self.folder)
        if not Desk.blank:
            blank(self.folder / "blank.db")
            Desk.blank = (self.folder / "blank.db").read_bytes()
        self.world.path.write_bytes(Desk.blank)
        self.life = Life(self.world)
        self.updates = 0
        self.life.broker.connect()
        self.life.settle()
        self.life.advance(6)

    def step(self, name: str) -> None:
        STEPS[name] += 1

    def origin(self) -> Origin:
        self.updates += 1
        return Origin(self.updates, OWNER, f"update {self.updates}")

    def show(self, asked: Awaitable[Any], at_once: bool) -> None:
        """A card; mostly its Send is tapped at once."""
        known = set(self.world.cards)
        self.life.begin(self.life.card(self.origin(), asked))
        self.life.settle()
        for name in self.world.cards.keys() - known if at_once else ():
            self.press(name, self.origin())
            self.life.settle()

    def press(self, name: str, origin: Origin) -> None:
        """One finger on Send."""
        self.world.approved[name] = self.world.cards[name]
        self.life.begin(self.life.tap(origin, "send", name))

    # --- people -------------------------------------------------------------------------------------------------------------

    @rule(
        con=st.sampled_from([1, 1, 2]),
        quantity=shares,
        kind=st.sampled_from([OrderType.MARKET, OrderType.LIMIT, OrderType.STOP]),
        stop=st.booleans(),
        goal=st.booleans(),
        tif=st.sampled_from(TimeInForce),
        at_once=mostly,
    )
    def buy(
        self,
        con: int,
        quantity: Decimal,
        kind: OrderType,
        stop: bool,
        goal: bool,
        tif: TimeInForce,
        at_once: bool,
    ) -> None:
        self.step("buy")
        request = Request(
            Side.BUY,
            SYMBOLS[con],
            quantity,
            order_type=kind,
            limit_price=Decimal(99) if kind is OrderType.LIMIT else None,
            stop_price=Decimal(102) if kind is OrderType.STOP else None,
            tif=tif,
            stop_loss=Decimal(95) if stop else None,
            take_profit=Decimal(110) if goal else None,
        )
        self.show(self.life.executor.preview(request, OWNER), at_once)

    @rule(
        con=st.sampled_from([1, 1, 2]),
        quantity=st.one_of(shares, st.just(Decimal(40))),
        kind=st.sampled_from([OrderType.MARKET, OrderType.LIMIT, OrderType.STOP]),
        at_once=mostly,
    )
    def sell(self, con: int, quantity: Decimal, kind: OrderType, at_once: bool) -> None:
        self.step("sell")
        request = Request(
            Side.SELL,
            SYMBOLS[con],
            quantity,
            order_type=kind,
            limit_price=Decimal(105) if kind is OrderType.LIMIT else None,
            stop_price=Decimal(97) if kind is OrderType.STOP else None,
        )
        self.show(self.life.executor.preview(request, OWNER), at_once)

    @precondition(lambda self: self.life.book.orders)
    @rule(which=numbers, quantity=st.one_of(st.none(), shares), cents=st.integers(-80, 80), at_once=mostly)
    def change(self, which: int, quantity: Decimal | None, cents: int, at_once: bool) -> None:
        self.step("change")
        order = shift(list(self.life.book.orders), which)
        moved = Decimal(cents) / 100
        request = ChangeRequest(
            order.number,
            quantity,
            order.limit_price + moved if order.limit_price else None,
            order.stop_price + moved if order.stop_price else None,
        )
        self.show(self.life.executor.preview_change(request, OWNER), at_once)

    @precondition(lambda self: self.world.cards)
    @rule(which=numbers, fingers=st.sampled_from([1, 1, 1, 2, 3]), again=st.booleans())
    def tap(self, which: int, fingers: int, again: bool) -> None:
        """Send, by one finger or several at once; the same press may come under the same id, or under a new one."""
        self.step("tap" if fingers == 1 else "taps at once")
        name = shift(list(self.world.cards), which)
        origin = self.origin()
        for _ in range(fingers):
            self.press(name, origin)
            origin = origin if again else self.origin()
        self.life.settle()

    @precondition(lambda self: self.world.cards)
    @rule(which=numbers)
    def discard(self, which: int) -> None:
        self.step("discard")
        self.life.begin(self.life.tap(self.origin(), "discard", shift(list(self.world.cards), which)))
        self.life.settle()

    @precondition(lambda self: self.world.cards)
    @rule(which=numbers, turns=st.integers(0, 40), again=st.sampled_from(["no", "same", "new"]))
    def die_at_a_tap(self, which: int, turns: int, again: str) -> None:
        """A kill somewhere between a tap and its last word; the press may be delivered once more to the next life."""
        self.step("kill at a tap")
        name = shift(list(self.world.cards), which)
        origin = self.origin()
        self.press(name, origin)
        self.life.settle(turns)
        self.reborn()
        if again != "no":
            self.life.settle()
            self.press(name, origin if again == "same" else self.origin())
            self.life.settle()

    @precondition(lambda self: self.life.book.orders)
    @rule(which=numbers)
    def cancel(self, which: int) -> None:
        self.step("cancel")
        order = shift(list(self.life.book.orders), which)
        if order.external and (order.order_id == 0 or order.client_id != self.life.broker.link.client_id):
            return  # the chat refuses it before the desk is asked
        self.life.begin(self.life.attempt(self.life.executor.cancel([order], self.origin())))
        self.life.settle()

    @precondition(lambda self: any(o.state is OrderState.UNKNOWN for o in self.life.book.orders))
    @rule()
    def settle_unknown(self) -> None:
        """A person looks in TWS, and says of what is not there that it is not there."""
        self.step("settle")
        there = {held.ref for held in self.world.exchange.orders.values()}
        for order in self.life.book.orders:
            if order.state is OrderState.UNKNOWN and order.order_ref not in there and not order.external:
                self.life.begin(self.life.attempt(self.life.executor.settle(order.number, self.origin())))
        self.life.settle()

    # --- the market and the broker --------------------------------------------------------------------------------------------

    @precondition(lambda self: self.world.exchange.fillable())
    @rule(which=numbers, part=st.one_of(st.none(), shares), price=st.integers(9000, 11000))
    def fill(self, which: int, part: Decimal | None, price: int) -> None:
        held: Held = shift(self.world.exchange.fillable(), which)
        quantity = held.remaining if part is None else min(part, held.remaining)
        self.step("fill" if quantity == held.remaining else "partial fill")
        self.world.exchange.fill(held.perm_id, quantity, Decimal(price) / 100)
        self.life.settle()

    @precondition(lambda self: self.world.exchange.fills)
    @rule(which=numbers, price=st.integers(9000, 11000), quantity=st.one_of(st.none(), st.integers(0, 12)))
    def correct(self, which: int, price: int, quantity: int | None) -> None:
        """A fill is corrected in its price, in its quantity, or taken back."""
        fill = shift(list(self.world.exchange.fills.values()), which)
        if quantity is not None and quantity > fill.now.quantity:
            quantity = None
        self.step(
            "correction of price"
            if quantity is None
            else "bust"
            if not quantity
            else "correction of quantity"
        )
        told = fill.now.quantity if quantity is None else Decimal(quantity)
        self.world.exchange.correct(fill.now.key, told, Decimal(price) / 100)
        self.life.settle()

    @precondition(lambda self: any(o.working for o in self.world.exchange.orders.values()))
    @rule(which=numbers)
    def broker_cancels(self, which: int) -> None:
        self.step("cancel by the broker")
        working = [o for o in self.world.exchange.orders.values() if o.working]
        self.world.exchange.take_away(shift(working, which).perm_id)
        self.life.settle()

    @rule(
        con=st.sampled_from([2, 2, 1]),
        quantity=shares,
        side=st.sampled_from(Side),
        by_hand=st.booleans(),
        trades=st.booleans(),
    )
    def elsewhere(self, con: int, quantity: Decimal, side: Side, by_hand: bool, trades: bool) -> None:
        """Somebody trades in TWS, or another program does."""
        self.step("trade elsewhere" if trades else "order elsewhere")
        order = replace(
            ORDER,
            con_id=con,
            side=side,
            quantity=quantity,
            order_type=OrderType.LIMIT,
            limit_price=Decimal(100),
        )
        self.world.exchange.elsewhere(order, by_hand=by_hand, trades=trades)
        self.life.settle()

    @rule(mode=st.sampled_from(["after", "after", "before", "late", "never"]))
    def commissions(self, mode: str) -> None:
        self.step(f"commissions {mode}")
        self.world.exchange.commissions = mode

    @precondition(lambda self: self.world.exchange.fills)
    @rule(which=numbers, twice=st.booleans())
    def pay(self, which: int, twice: bool) -> None:
        """A commission that was held back is told, or one is told once more."""
        self.step("commission late or twice")
        self.world.exchange.pay(shift(list(self.world.exchange.fills.values()), which), twice=twice)
        self.life.settle()

    @rule(
        hold_cancels=st.booleans(),
        eager=st.booleans(),
        perm_late=st.booleans(),
        rejects=st.sampled_from([0, 0, 0, 1, 2]),
        busy=st.sampled_from([False, False, True]),
    )
    def mood(self, **moods: Any) -> None:
        """How the broker takes what comes next."""
        self.step("mood of the broker")
        self.life.broker.busy = moods.pop("busy")
        for name, value in moods.items():
            setattr(self.world.exchange, name, value)

    @precondition(lambda self: any(o.status == "PendingCancel" for o in self.world.exchange.orders.values()))
    @rule(which=numbers)
    def cancel_comes_true(self, which: int) -> None:
        self.step("held cancel done")
        pending = [o for o in self.world.exchange.orders.values() if o.status == "PendingCancel"]
        self.world.exchange.take_away(shift(pending, which).perm_id)
        self.life.settle()

    # --- the line ---------------------------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.life.broker.held)
    @rule()
    def hold(self) -> None:
        """From now on what the broker says lies on the line."""
        self.step("line held")
        self.life.broker.held = True

    @precondition(lambda self: self.life.broker.held)
    @rule()
    def release(self) -> None:
        self.step("line released")
        self.release_line()

    def release_line(self) -> None:
        self.life.broker.held = False
        self.life.broker.flow()
        self.life.settle()

    @precondition(lambda self: self.life.broker.down)
    @rule(count=st.integers(1, 6))
    def deliver(self, count: int) -> None:
        self.step("messages delivered")
        for _ in range(min(count, len(self.life.broker.down))):
            self.life.broker.deliver()
            self.life.settle()

    @precondition(lambda self: len(self.life.broker.down) > 1)
    @rule(which=numbers)
    def reorder(self, which: int) -> None:
        """Two neighbours change places."""
        down = self.life.broker.down
        at = which % (len(down) - 1)
        if not isinstance(down[at], Answer) and not isinstance(down[at + 1], Answer):
            self.step("messages reordered")
            down[at], down[at + 1] = down[at + 1], down[at]

    @precondition(lambda self: self.life.broker.down)
    @rule(which=numbers)
    def duplicate(self, which: int) -> None:
        down = self.life.broker.down
        at = which % len(down)
        if not isinstance(down[at], Answer):
            self.step("message twice")
            down.insert(at, down[at])

    @precondition(lambda self: self.life.broker.down)
    @rule(which=numbers)
    def drop(self, which: int) -> None:
        down = self.life.broker.down
        at = which % len(down)
        if may_be_lost(down[at]):
            self.step("message lost")
            del down[at]

    @precondition(lambda self: self.life.broker.link.connected and self.life.broker.deaf_after is None)
    @rule(after=st.integers(0, 3))
    def go_deaf(self, after: int) -> None:
        """The line takes so many more messages; those after them are lost with it."""
        self.step("line half open")
        self.life.broker.deaf_after = after

    @precondition(lambda self: self.life.broker.link.connected)
    @rule()
    def disconnect(self) -> None:
        self.step("disconnect")
        self.life.broker.disconnect()
        self.life.settle()

    @precondition(lambda self: not self.life.broker.link.connected)
    @rule(anew=st.booleans(), held=st.booleans())
    def connect(self, anew: bool, held: bool) -> None:
        """The line is back; order ids may begin anew, and the first answers may be slow."""
        self.step("connect, ids anew" if anew else "connect")
        if anew:
            self.world.exchange.let_ids_begin_anew()
        self.life.broker.connect()
        self.life.broker.held = held
        self.life.settle()

    @precondition(lambda self: self.life.broker.link.connected)
    @rule(back=st.booleans())
    def flicker(self, back: bool) -> None:
        """TWS loses its own connection, and has it again."""
        self.step("1100 and 1102" if back else "1100")
        self.life.broker.hear(0, BrokerMessage(-1, 1100, "Connectivity lost"))
        if back:
            self.life.broker.hear(0, BrokerMessage(-1, 1102, "Connectivity restored"))
        self.life.settle()

    # --- time and death ---------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 3, 6, 12, 65, 130]))
    def wait(self, seconds: int) -> None:
        self.step("time passes")
        self.life.advance(seconds)

    @rule(turns=st.integers(0, 30), anew=st.booleans(), held=st.booleans())
    def restart(self, turns: int, anew: bool, held: bool) -> None:
        """A kill while something may be under way, and the next life."""
        self.step("kill and restart")
        self.life.settle(turns)
        if anew:
            self.world.exchange.let_ids_begin_anew()
        self.reborn(held=held)
        self.life.settle()

    @rule(turns=st.integers(1, 40), which=numbers)
    def die_at_a_fill(self, turns: int, which: int) -> None:
        """A kill somewhere between a fill and its last word."""
        if not self.world.exchange.fillable():
            return
        self.step("kill at a fill")
        held: Held = shift(self.world.exchange.fillable(), which)
        self.world.exchange.fill(held.perm_id, held.remaining, Decimal(100))
        self.life.settle(turns)
        self.reborn()
        self.life.settle()

    def reborn(self, *, held: bool = False) -> None:
        self.life.die()
        self.life = Life(self.world)
        self.life.broker.connect()
        self.life.broker.held = held

    # --- what holds ---------------------------------------------------------------------------------------------------------------

    @invariant()
    def no_more_is_for_sale_than_is_held(self) -> None:
        exchange = self.world.exchange
        for con_id in SYMBOLS.keys() - exchange.unaccounted:
            held, exposed = exchange.held(con_id), exchange.exposed(con_id)
            assert exposed <= held, f"{exposed} {SYMBOLS[con_id]} are for sale, {held} are held"

    @invariant()
    def no_approval_has_two_orders(self) -> None:
        names = Counter(o.ref for o in self.world.exchange.orders.values() if o.ref)
        assert not [name for name, count in names.items() if count > 1], names

    @rule()
    def quiet(self) -> None:
        self.step("quiet point")
        self.be_quiet()
        compare(self)

    def be_quiet(self) -> None:
        """The line is up and whole, everything is delivered, and the books were compared as often as it takes."""
        life, exchange = self.life, self.world.exchange
        exchange.hold_cancels, exchange.rejects, life.broker.busy = False, 0, False
        self.release_line()
        if life.broker.deaf_after is not None and life.broker.link.connected:
            life.broker.disconnect()
            life.settle()
        if not life.broker.link.connected:
            life.broker.connect()
            life.settle()
        if life.broker.link.trouble:
            life.broker.hear(0, BrokerMessage(-1, 1102, "Connectivity restored"))
            life.settle()
        for held in [o for o in exchange.orders.values() if o.status == "PendingCancel"]:
            exchange.take_away(held.perm_id)
        for _ in range(3):
            life.advance(QUIET_SECONDS)

    def teardown(self) -> None:
        try:
            self.be_quiet()
            compare(self)
            FACTS["examples"] += 1
            FACTS["orders"] += len(self.world.exchange.orders)
            FACTS["executions"] += len(self.world.exchange.fills)
        finally:
            self.close()

    def close(self) -> None:
        """Leave nothing behind."""
        self.life.die()
        shutil.rmtree(self.folder, ignore_errors=True)


def may_be_lost(message: object) -> bool:
    """Errors and answers are not lost by themselves."""
    return isinstance(message, OrderReport | Execution | Commission)


STATES = {
    "Filled": {OrderState.FILLED},
    "Cancelled": {OrderState.CANCELLED, OrderState.REJECTED},
    "Inactive": {OrderState.REJECTED},
}
LOST = {OrderState.UNKNOWN, OrderState.NOT_AT_BROKER, OrderState.REJECTED, OrderState.CANCELLED}
CENT = Decimal("0.01")


def cents(price: Decimal | None) -> Decimal | None:
    return None if price is None else price.quantize(CENT)


def compare(desk: Desk) -> None:
    """Our book against the broker's, down to the cent."""
    FACTS["comparisons"] += 1
    life, exchange = desk.life, desk.world.exchange
    assert life.broker.link.ready, life.broker.link
    orders: list[Order] = [rows.order(row) for row in life.file("SELECT * FROM orders ORDER BY number")]
    ours = {o.order_ref: o for o in orders if not o.external}
    theirs = {o.perm_id: o for o in orders if o.external}
    assert {o.number: o for o in orders if o.state.is_open} == {o.number: o for o in life.book.orders}
    for held in exchange.orders.values():
        order = ours.pop(held.ref, None) if held.ref else theirs.get(held.perm_id)
        if held.ref:
            assert order is not None, f"the broker has what nobody wrote down: {held}"
        elif held.working:
            assert order is not None, f"nobody saw an order that works: {held}"
        if order is None:
            continue
        if not held.status:
            assert order.state in LOST, (order, held)
            continue
        _same(order, held)
    for order in ours.values():
        assert order.state in LOST, f"the broker knows nothing of it: {order}"
        assert not order.filled, order
    for order in theirs.values():
        held_there = exchange.orders.get(order.perm_id or 0)
        assert not order.state.is_open or (held_there is not None and held_there.working), order
    _same_executions(desk)


def _same(order: Order, held: Held) -> None:
    both = f"\nours   {order}\ntheirs {held}"
    wanted = STATES.get(held.status) or {OrderState.PARTIAL if held.filled else OrderState.WORKING}
    assert order.state in wanted, f"it is {held.status} at the broker, {order.state} here{both}"
    assert order.filled == held.filled, f"filled {held.filled} at the broker, {order.filled} here{both}"
    assert cents(order.average_price) == cents(held.average), f"average {held.average} at the broker{both}"
    assert order.perm_id == held.perm_id, both
    if held.working:
        assert (order.quantity, order.limit_price, order.stop_price) == (
            held.quantity,
            held.limit,
            held.stop,
        ), both
        assert order.change is None, f"a change that is neither true nor over{both}"


def _same_executions(desk: Desk) -> None:
    life, exchange = desk.life, desk.world.exchange
    history = life.do(life.ledger.history())
    booked = {e.key: (e.exec_id, e.side, e.quantity, e.price, e.con_id) for e in history.executions}
    told = {k: f.now for k, f in exchange.fills.items()}
    assert booked == {k: (e.exec_id, e.side, e.quantity, e.price, e.con_id) for k, e in told.items()}
    paid = {c.key: (c.exec_id, c.amount) for c in history.commissions}
    assert paid == {k: (f.paid[-1].exec_id, f.paid[-1].amount) for k, f in exchange.fills.items() if f.paid}
    books = lots.book(
        history.executions, history.commissions, openings=history.openings, adjustments=history.adjustments
    )
    reckoned = life.do(life.ledger.reckoned(life.broker.link.account or ""))
    assert not life.book.drifts, f"the books do not explain what is held: {life.book.drifts}"
    for con_id in SYMBOLS:
        held = exchange.held(con_id)
        assert life.book.held(con_id) == held, (
            f"{held} held at the broker, {life.book.held(con_id)} counted here"
        )
        assert reckoned.get(con_id, ("", "", ZERO))[2] == held, (con_id, held, reckoned)
        assert sum((lot.signed_quantity for lot in books.lots if lot.con_id == con_id), ZERO) == held
        if con_id not in exchange.unaccounted:
            assert protection.room(con_id, held, life.book.orders) >= 0, life.book.orders
