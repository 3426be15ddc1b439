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
    TradingState,
)
from core.trading import KEY, of_text
from storage import rows
from tests.properties.exchange import SYMBOLS, Held
from tests.properties.life import BUSY_SECONDS, Answer, Life, World, blank
from tests.values import ORDER, OWNER

ZERO = Decimal(0)
LOSSES = (
    (Decimal(5), {TradingState.HALTED}),
    (Decimal(3), {TradingState.REDUCING, TradingState.HALTED}),
)
"""From what loss of the day on trading is closed, and how far."""
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
        limit=st.sampled_from([Decimal(99), Decimal("99.99")]),
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
        limit: Decimal = Decimal(99),
    ) -> None:
        self.step("buy")
        request = Request(
            Side.BUY,
            SYMBOLS[con],
            quantity,
            order_type=kind,
            limit_price=limit if kind is OrderType.LIMIT else None,
            stop_price=Decimal(102) if kind is OrderType.STOP else None,
            tif=tif,
            stop_loss=Decimal(95) if stop else None,
            take_profit=Decimal(110) if goal else None,
        )
        self.show(self.life.cards.preview(request, OWNER), at_once)

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
        self.show(self.life.cards.preview(request, OWNER), at_once)

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
        self.show(self.life.cards.preview_change(request, OWNER), at_once)

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

    # --- the ladder -----------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.life.trading.now.state is not TradingState.HALTED)
    @rule()
    def halt(self) -> None:
        """Block, write down, cancel what could add."""
        self.step("halt")
        self.life.begin(self.life.halt(self.origin()))
        self.life.settle()
        assert self.life.trading.now.state is TradingState.HALTED
        if self.life.broker.link.ready and self.life.broker.room:
            left = [o for o in self.life.book.orders if self.adds(o) and o.cancel_requested_at is None]
            assert not left, f"halted, and nobody asked to cancel {left}"

    def adds(self, order: Order) -> bool:
        """Whether it is an order of ours at the broker that buys more of what is not short."""
        known = order.state in (OrderState.WORKING, OrderState.PARTIAL) and not order.external
        held = self.life.book.held(order.con_id)
        return known and order.side is Side.BUY and held is not None and held >= 0

    @precondition(lambda self: self.life.trading.now.state is not TradingState.ACTIVE)
    @rule(turns=st.one_of(st.none(), st.none(), st.none(), st.integers(0, 12)))
    def resume(self, turns: int | None) -> None:
        """Open again; a moment later somebody may think better of it."""
        self.step("resume" if turns is None else "resume and halt")
        self.life.begin(self.life.resume(self.origin()))
        if turns is not None:
            self.life.settle(turns)
            self.life.begin(self.life.halt(self.origin()))
        self.life.settle()

    @precondition(lambda self: self.world.cards and self.life.trading.now.state is not TradingState.HALTED)
    @rule(which=numbers, turns=st.integers(0, 40))
    def halt_at_a_tap(self, which: int, turns: int) -> None:
        """A halt overtakes an order that is just being sent."""
        self.step("halt at a tap")
        self.press(shift(list(self.world.cards), which), self.origin())
        self.life.settle(turns)
        self.life.begin(self.life.halt(self.origin()))
        self.life.settle()

    @precondition(lambda self: self.life.trading.now.state is not TradingState.HALTED)
    @rule()
    def flatten(self) -> None:
        """Halt, and close everything at market."""
        self.step("flatten")
        self.life.begin(self.life.flatten(self.origin()))
        self.life.settle()

    @precondition(lambda self: self.life.trading.now.state is TradingState.HALTED)
    @rule()
    def cancel_the_rest(self) -> None:
        """The second rung."""
        self.step("cancel the rest")
        self.life.begin(self.life.rest(self.origin()))
        self.life.settle()

    @rule(what=st.sampled_from(["halt", "flatten", "flatten", "resume"]), turns=st.integers(0, 60))
    def die_on_the_ladder(self, what: str, turns: int) -> None:
        """A kill somewhere on the way."""
        self.step(f"kill at a {what}")
        self.life.begin(getattr(self.life, what)(self.origin()))
        self.life.settle(turns)
        self.reborn()
        self.life.settle()

    @rule(percent=st.sampled_from(["0", "0", "0", "-1", "3.5", "6"]))
    def the_day(self, percent: str) -> None:
        """What the account has lost today; a loss beyond its measure closes by itself what nobody opened in spite of it."""
        self.step("day's loss")
        self.world.lost_percent = Decimal(percent)
        self.life.broker.money_moves()
        self.life.settle()
        self.the_loss_is_heeded()

    def the_loss_is_heeded(self) -> None:
        trading, lost = self.life.trading.now, self.world.lost_percent
        if not self.life.broker.link.ready or trading.before is not None:
            return
        for percent, states in LOSSES:
            if lost >= percent > self.world.accepted_percent:
                assert trading.state in states, f"{lost} % are lost, and trading is {trading}"

    @precondition(lambda self: self.life.trading.now.state is not TradingState.ACTIVE)
    @rule(con=st.sampled_from([1, 2]), open_again=st.booleans())
    def get_out(self, con: int, open_again: bool) -> None:
        """Trading is closed, all is quiet, and a person sells what is free of one holding: it leaves."""
        self.step("sale while closed")
        self.be_quiet()
        plain = self.is_plain(con)
        held, sent = self.world.exchange.held(con), set(self.world.sent)
        if held <= 0:
            return
        self.sell(con=con, quantity=held, kind=OrderType.MARKET, at_once=True)
        self.life.advance(15)
        if plain:
            FACTS["sales while closed"] += 1
            assert self.world.sent - sent, f"{held} {SYMBOLS[con]} could not be sold: {self.world.denied}"
        self.back(open_again)

    def back(self, wanted: bool) -> None:
        if wanted:
            self.life.begin(self.life.resume(self.origin()))
            self.life.settle()

    @rule(open_again=st.booleans())
    def flatten_all(self, open_again: bool) -> None:
        """All is quiet, and everything is closed at market: each holding is on its way out, whole."""
        self.step("flatten at a quiet point")
        self.be_quiet()
        plain = [con for con in SYMBOLS if self.is_plain(con)]
        held = {con: self.world.exchange.held(con) for con in plain}
        self.life.begin(self.life.flatten(self.origin()))
        self.life.settle()
        self.life.advance(15)
        assert self.world.flattened is not None, "it was not even tried"
        for con, count in held.items():
            sales = [
                o for o in self.life.book.orders if o.con_id == con and o.side is Side.SELL and not o.protects
            ]
            gone = count - self.world.exchange.held(con)
            assert sum((o.remaining for o in sales), gone) == count, (count, sales, self.world.flattened)
            FACTS["holdings flattened"] += bool(count)
        self.back(open_again)

    def is_plain(self, con: int) -> bool:
        """Whether nobody but this desk trades in it, nothing of it is in doubt, and nothing of it is on sale already."""
        mine = [o for o in self.life.book.orders if o.con_id == con]
        doubtful = any(o.external or o.state is OrderState.UNKNOWN for o in mine)
        on_sale = any(o.side is Side.SELL and not o.protects for o in mine)
        return con not in self.world.exchange.unaccounted and not doubtful and not on_sale

    @rule()
    def open_again(self) -> None:
        """The day has lost nothing, all is quiet, and a person opens again: an entry leaves."""
        self.step("entry after resume")
        self.world.lost_percent = ZERO
        self.be_quiet()
        self.life.begin(self.life.resume(self.origin()))
        self.life.settle()
        sent, short = set(self.world.sent), self.world.exchange.held(2) < 0
        self.buy(
            con=2,
            quantity=Decimal(1),
            kind=OrderType.LIMIT,
            stop=not short,
            goal=False,
            tif=TimeInForce.DAY,
            at_once=True,
        )
        FACTS["entries after resume"] += 1
        assert self.world.denied <= {"CROSSING"}, self.world.denied
        assert self.world.denied or self.world.sent - sent, "it was not sent"

    @rule()
    def stop_in_order(self) -> None:
        """The program ends as it should: nothing is covered at the next start."""
        self.step("stop and start")
        self.life.begin(self.life.trading.stopped())
        self.life.settle()
        kept = self.life.trading.now
        self.reborn()
        now = self.life.trading.now
        same = (now.state, now.before) == ((kept.before or kept).state, None)
        assert same, f"it was {kept} when it ended, and is {now}"
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
        self.life.broker.busy_until = self.world.seconds + BUSY_SECONDS if moods.pop("busy") else 0.0
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
        marked = self.life.file("SELECT value FROM wishes WHERE key = 'running'")
        self.life.die()
        self.life = Life(self.world)
        if marked and marked[0][0] == "yes":
            assert self.life.trading.now.state is TradingState.HALTED, "killed, and open at the start"
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
    def a_halt_that_is_written_holds(self) -> None:
        now = self.life.trading.now
        if self.world.halted:
            holds = now.state is TradingState.HALTED and now.before is None
            assert holds, f"a halt was forgotten: {now}"

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
        exchange.hold_cancels, exchange.rejects, life.broker.busy_until = False, 0, 0.0
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
            FACTS["resumes that gave way to a halt"] += self.world.gave_way
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
    on_disk = {o.number: o for o in orders if o.state.is_open}
    assert on_disk == {o.number: o for o in life.book.orders}, (
        f"open orders on disk {on_disk}, in memory {life.book.orders}"
    )
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
    _as_halted(desk)


def _as_halted(desk: Desk) -> None:
    """The state on the disk is that in memory; and while it is HALTED nothing works that could add."""
    life, exchange = desk.life, desk.world.exchange
    now, kept = life.trading.now, of_text(life.do(life.ledger.recall(KEY)))
    assert now.before is None, now
    assert now.state is kept.state, f"trading is {now}, the disk says {kept}"
    desk.the_loss_is_heeded()
    if now.state is TradingState.HALTED:
        FACTS["comparisons while halted"] += 1
        adding = [
            o
            for o in exchange.orders.values()
            if o.ref and o.working and o.side is Side.BUY and exchange.held(o.con_id) >= 0
        ]
        assert not adding, f"HALTED, and these still work: {adding}"


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
    theirs = {k: (e.exec_id, e.side, e.quantity, e.price, e.con_id) for k, e in told.items()}
    assert booked == theirs, f"executions booked here {booked}, at the broker {theirs}"
    paid = {c.key: (c.exec_id, c.amount) for c in history.commissions}
    due = {k: (f.paid[-1].exec_id, f.paid[-1].amount) for k, f in exchange.fills.items() if f.paid}
    assert paid == due, f"commissions of executions booked here {paid}, told {due}"
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
