"""Our own picture of the orders, in memory and on disk at once: the open ones, the latest executions, and what is held.

One lock guards everything that changes an order, so that a tap, an event and a comparison of the books never see half of each other.
What was written is true; what is in memory was written before.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from core import lifecycle
from core.changes import settled
from core.errors import NoAnswer
from core.model import (
    Drift,
    Execution,
    Notice,
    OpeningLot,
    Order,
    OrderReport,
    OrderState,
    Origin,
    Position,
    Role,
)
from core.names import Index, Name, names
from core.pace import KEPT, Pace
from core.ports import Clock, Ledger, Notifier

log = logging.getLogger(__name__)

ZERO = Decimal(0)
DRIFT_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 5.0
TIDY_EVERY = timedelta(hours=6)
WENT_EARLY = "went_early:"
"""Before the name of a card, among what is remembered: whether its stop was gone while its entry could still buy."""
REMEMBERED_EXECUTIONS = timedelta(
    days=8
)  # TWS replays those of the day, or of up to seven days where it is told to


@dataclass(frozen=True, slots=True)
class Mark:
    """How the book stood at a moment, to tell afterwards what has moved since."""

    orders: Mapping[int, Order]
    last_number: int
    executions: Mapping[str, Execution]


class OrderBook:
    """The open orders by number. Take `lock` before changing anything."""

    def __init__(self, ledger: Ledger, notifier: Notifier, clock: Clock) -> None:
        self._ledger, self._notifier, self._clock = ledger, notifier, clock
        self.lock = asyncio.Lock()
        self._open: dict[int, Order] = {}
        self._in_order: tuple[Order, ...] | None = None
        self._named: dict[Name, set[int]] = {}
        self._executions: dict[str, Execution] = {}
        self._fills = Index[Execution]()
        self._tidied_at = clock.now()
        self._held: dict[int, Decimal] | None = None
        self._ahead: dict[int, tuple[tuple[int, Decimal], ...]] = {}
        self._ahead_orders: dict[int, Order] = {}
        self._last_number = 0
        self.last_sign: datetime | None = None
        """When an earlier run last wrote something; None before the first."""
        self._watchers: set[asyncio.Event] = set()
        self._doubtful: dict[str, bool] = {}
        self._reckoned: dict[int, tuple[str, str, Decimal]] | None = None
        self._suspected: dict[int, tuple[Drift, float]] = {}
        self.pace = Pace()
        self.drifts: tuple[Drift, ...] = ()
        """Holdings of which the books and the broker say different things, as two comparisons found."""

    async def load(self) -> None:
        """Read what is open and what was filled lately. Before this, the book must not be asked."""
        self.last_sign = await self._ledger.last_sign()
        self._last_number = await self._ledger.last_order_number()
        for order in await self._ledger.open_orders():
            self._enter(order)
        now = self._clock.now()
        self.pace.note(await self._ledger.sent_since(now - KEPT), now, loaded=True)
        since = now - REMEMBERED_EXECUTIONS
        self._executions = {e.key: e for e in await self._ledger.executions_since(since)}
        self._fills = Index(self._executions.values())
        doubtful = [stop.card for stop in await self._ledger.doubtful_stops()]
        self._doubtful = {card: await self._ledger.recall(WENT_EARLY + card) == "yes" for card in doubtful}

    @property
    def orders(self) -> tuple[Order, ...]:
        """Every order that may still trade, oldest first."""
        if self._in_order is None:
            self._in_order = tuple(self._open[number] for number in sorted(self._open))
        return self._in_order

    @property
    def executions(self) -> Mapping[str, Execution]:
        """The latest executions by key, the newest revision of each."""
        return self._executions

    @property
    def next_number(self) -> int:
        """The number that the next order bears."""
        return self._last_number + 1

    def is_open(self, number: int) -> bool:
        """Whether the order of this number may still trade."""
        return number in self._open

    def current(self, order: Order) -> Order | None:
        """The order as it stands now; None once it is over."""
        return self._open.get(order.number)

    def find(self, evidence: OrderReport | Execution, epoch: int) -> Order | None:
        """The open order that evidence of this connection is about, the newest first."""
        numbers = {number for name in names(evidence) for number in self._named.get(name, ())}
        near = (self._open[number] for number in sorted(numbers, reverse=True) if number in self._open)
        return next((order for order in near if lifecycle.belongs(order, evidence, epoch)), None)

    def is_doubtful(self, order: Order, epoch: int) -> bool:
        """Whether its order id may mean another order to the broker: then nothing can be changed by that id."""
        name = (order.client_id, order.order_id)
        near = self._named.get(name, ()) if order.order_id > 0 else self._open
        found = (self._open[n] for n in near if n in self._open)
        same = [o for o in found if (o.client_id, o.order_id) == name]
        return len(same) > 1 or (order.perm_id is None and order.epoch != epoch)

    def executions_of(self, order: Order, more: Index[Execution] | None = None) -> list[Execution]:
        """The executions of an order, the newest revision of each, those of `more` included."""
        mine = [e for e in self._fills.near(order) if self._executions.get(e.key) is e]
        told = {e.key: e for e in mine}
        for execution in more.near(order) if more is not None else ():
            if execution.key not in told or told[execution.key].revision <= execution.revision:
                told[execution.key] = execution
        return [e for e in told.values() if lifecycle.belongs(order, e)]

    def is_news(self, execution: Execution) -> bool:
        """Whether this execution, or this revision of it, is not booked yet."""
        known = self._executions.get(execution.key)
        return known is None or known.revision < execution.revision

    # --- stops that may not be there --------------------------------------------------------------------------------------

    @property
    def doubtful_cards(self) -> tuple[str, ...]:
        """The cards whose latest stop does not, or may not, stand at the broker though nobody here took it away."""
        return tuple(self._doubtful)

    def went_before_the_fill(self, card: str) -> bool:
        """Whether the stop of a doubtful card was gone while its entry could still buy, as far as that was seen or the broker told."""
        return self._doubtful.get(card, False)

    def settle_doubt(self, card: str) -> None:
        """The card needs no stop, or has one."""
        self._doubtful.pop(card, None)

    # --- while somebody else is asked -----------------------------------------------------------------------------------

    def mark(self) -> Mark:
        """How the book stands before the broker is asked, which takes time and is not done under the lock."""
        return Mark(dict(self._open), self._last_number, dict(self._executions))

    def has_moved(self, order: Order, since: Mark) -> bool:
        """Whether the order is newer than what was asked: an answer to an older question says nothing about it."""
        return order.number > since.last_number or self._open.get(order.number) != since.orders.get(
            order.number
        )

    def executed_since(self, since: Mark) -> tuple[Execution, ...]:
        """What was booked after the mark."""
        return tuple(e for key, e in self._executions.items() if since.executions.get(key) != e)

    # --- what is held ---------------------------------------------------------------------------------------------------

    def start_positions(self, positions: Sequence[Position]) -> None:
        """Begin to count from the positions of a full snapshot, which has every execution that is booked so far."""
        self._held = {p.con_id: p.signed_quantity for p in positions}
        self._ahead.clear()
        self._ahead_orders.clear()
        self._forget_old_executions()

    def _forget_old_executions(self) -> None:
        """Drop what the broker does not tell of any more and no open order needs, a few times a day."""
        now = self._clock.now()
        if now - self._tidied_at < TIDY_EVERY:
            return
        self._tidied_at = now
        needed = {e.key for order in self.orders for e in self.executions_of(order)}
        since = now - REMEMBERED_EXECUTIONS
        self._executions = {k: e for k, e in self._executions.items() if e.time >= since or k in needed}
        self._fills = Index(self._executions.values())

    def forget_positions(self) -> None:
        """The connection is gone: what is held is not known."""
        self._held = None

    def held(self, con_id: int) -> Decimal | None:
        """The signed holding by the last snapshot and every fill since, which are told before the positions are."""
        if self._held is None:
            return None
        return self._held.get(con_id, ZERO) + sum(
            (more for ahead in self._ahead.values() for con, more in ahead if con == con_id), ZERO
        )

    def as_counted(self, positions: tuple[Position, ...] | None) -> tuple[Position, ...] | None:
        """The broker's positions with our own count of them; None while either is unknown."""
        if positions is None or self._held is None:
            return None
        told = {p.con_id: p for p in positions}
        ours = [*self._held, *(con for ahead in self._ahead.values() for con, _ in ahead)]
        return tuple(
            _counted(told.get(con_id) or self._unseen(con_id), self.held(con_id) or ZERO)
            for con_id in dict.fromkeys([*told, *ours])
        )

    def _unseen(self, con_id: int) -> Position:
        """A holding that the broker's positions do not have yet, by what its executions say of it, or the order that was filled."""
        fill = next((e for e in reversed(self._executions.values()) if e.con_id == con_id), None)
        order = next(
            (
                self._ahead_orders[n]
                for n, more in self._ahead.items()
                if any(con == con_id for con, _ in more)
            ),
            None,
        )
        known = fill or order
        option = fill.option if fill else order.option_of(con_id) if order else None
        return Position(
            account=known.account if known else "",
            con_id=con_id,
            symbol=known.symbol if known else "",
            currency=known.currency if known else "",
            signed_quantity=ZERO,
            average_cost=None,
            option=option,
        )

    # --- what the books explain -------------------------------------------------------------------------------------------

    async def compare_positions(self, account: str, positions: Sequence[Position]) -> bool:
        """Hold what the books add up to against a full snapshot. Whether it has to be looked at once more, because one look proves nothing."""
        if self._reckoned is None:
            self._reckoned = dict(await self._ledger.reckoned(account))
        told = {p.con_id: p for p in positions if p.account == account}
        found: dict[int, Drift] = {}
        for con_id in {*told, *self._reckoned}:
            at_broker = told.get(con_id)
            held = at_broker.signed_quantity if at_broker else ZERO
            symbol, currency, reckoned = self._reckoned.get(con_id, ("", "", ZERO))
            if held != reckoned:
                known = (at_broker.symbol, at_broker.currency) if at_broker else (symbol, currency)
                cost = at_broker.average_cost if at_broker else None
                option = at_broker.option if at_broker else self._unseen(con_id).option
                found[con_id] = Drift(account, con_id, *known, reckoned, held, cost, option)
        now = self._clock.monotonic()
        before, self._suspected = self._suspected, {}
        for con_id, drift in found.items():
            known_drift, since = before.get(con_id, (drift, now))
            same = known_drift.more == drift.more  # a trade in between moves both sides
            self._suspected[con_id] = (drift, since if same else now)
        sure = tuple(d for d, since in self._suspected.values() if now - since >= DRIFT_SECONDS)
        had = {(d.con_id, d.more) for d in self.drifts}
        self.drifts = tuple(sorted(sure, key=lambda d: d.symbol))
        news = [d for d in self.drifts if (d.con_id, d.more) not in had]
        if news:
            await self._ledger.record(
                notices=[Notice("drift", {"con_id": d.con_id}, urgent=True) for d in news]
            )
            self._notifier.wake()
        return len(sure) < len(self._suspected)

    async def take_over(self, drift: Drift, origin: Origin) -> None:
        """Put the difference into the books, on disk first."""
        if drift.told > drift.reckoned and drift.average_cost is None:
            raise NoAnswer("The broker has not told yet what these cost; try again in a few seconds.")
        lot = OpeningLot(
            drift.account,
            drift.con_id,
            drift.symbol,
            drift.currency,
            drift.told - drift.reckoned,
            drift.average_cost or ZERO,
            self._clock.now(),
            drift.option,
        )
        what = f"{drift.label}: {drift.reckoned:f} by the books, {drift.told:f} at the broker"
        await asyncio.shield(self._ledger.adjust(lot, origin, what))
        if self._reckoned is not None:
            _, _, so_far = self._reckoned.get(drift.con_id, ("", "", ZERO))
            self._reckoned[drift.con_id] = (drift.symbol, drift.currency, so_far + lot.signed_quantity)
        self._suspected.pop(drift.con_id, None)
        self.drifts = tuple(d for d in self.drifts if d.con_id != drift.con_id)

    def forget_reckoning(self) -> None:
        """Another account, or its books were just opened: it is added up anew when it is next compared."""
        self._reckoned = None
        self._suspected.clear()
        self.drifts = ()

    def _reckon(self, executions: Sequence[Execution]) -> None:
        reckoned = self._reckoned
        if reckoned is None:
            return
        for execution in executions:
            if not execution.moves_holding:
                continue
            known = self._executions.get(execution.key)
            before = known.side.sign * known.quantity if known else ZERO
            _, _, so_far = reckoned.get(execution.con_id, ("", "", ZERO))
            after = so_far - before + execution.side.sign * execution.quantity
            reckoned[execution.con_id] = (execution.symbol, execution.currency, after)

    def _note_ahead(self, orders: Sequence[Order]) -> None:
        """What statuses told of fills whose executions have not come yet: it counts as filled all the same."""
        for order in orders:
            ahead = _ahead_of(order, self.executions_of(order))
            if ahead and not order.external:
                self._ahead[order.number], self._ahead_orders[order.number] = ahead, order
            else:
                self._ahead.pop(order.number, None)
                self._ahead_orders.pop(order.number, None)

    # --- writing --------------------------------------------------------------------------------------------------------

    def _enter(self, order: Order) -> None:
        self._open[order.number], self._in_order = order, None
        for name in names(order):
            self._named.setdefault(name, set()).add(order.number)

    def _leave(self, order: Order) -> None:
        self._in_order = None
        for one in (order, self._open.pop(order.number, None)):
            for name in names(one) if one is not None else ():
                known = self._named.get(name)
                if known is not None:
                    known.discard(order.number)
                    if not known:
                        del self._named[name]

    def opened(self, orders: Sequence[Order], early: Collection[str] = ()) -> None:
        """Orders that the ledger has just committed; `early` are the cards whose stop went while the entry could still buy."""
        self.pace.note(orders, self._clock.now())
        for order in orders:
            self._last_number = max(self._last_number, order.number)
            if order.state.is_open:
                self._enter(order)
            else:
                self._leave(order)
            if _is_stop(order):
                if lifecycle.is_in_doubt(order):
                    self._doubtful[order.card] = self._doubtful.get(order.card, False) or order.card in early
                elif order.state.is_open:
                    self._doubtful.pop(order.card, None)
        for watcher in self._watchers:
            watcher.set()

    async def book(
        self,
        changes: Sequence[tuple[Order | None, Order]],
        executions: Sequence[Execution] = (),
        *,
        silent: bool = False,
        away: bool = False,
        more: Sequence[Notice] = (),
        early: Collection[str] = (),
    ) -> None:
        """Write down what changed and who must hear of it, in one commit; then it is true in memory too.

        `changes` are (before, after); `away` makes one message of all the news, `silent` none at all; `more` is said besides.
        `early` are cards of which the broker's times say that the stop went before the entry was filled.
        """
        executions = newest(executions)
        changes = [(old, settled(new)) for old, new in changes]
        changed = [(old, new) for old, new in changes if old != new]
        if not changed and not executions and not more:
            return
        held = self._after(executions)
        orders = [new for _, new in changed]
        news = (
            []
            if silent
            else [
                n
                for old, new in changed
                for n in announcements(old, new, self._with_ahead(held, orders, executions))
            ]
        )
        news += list(more)
        early = self._gone_early(orders) | set(early)
        await self._remember_early(orders, early)
        await asyncio.shield(self._ledger.record(orders, executions, notices=gather(news) if away else news))
        self._reckon(executions)
        self._executions.update({e.key: e for e in executions})
        for execution in executions:
            self._fills.add(execution)
        self._held = held
        self._note_ahead([new for _, new in changes])
        self.opened(orders, early)
        if news:
            self._notifier.wake()

    def _gone_early(self, orders: Sequence[Order]) -> set[str]:
        """The cards of which a stop ends by these changes while its entry can still buy, and nobody here asked for that."""
        can_buy = {*self._open, *(o.number for o in orders if o.state.is_open)}
        can_buy -= {o.number for o in orders if not o.state.is_open}
        return {o.card for o in orders if _is_lost(o) and o.parent in can_buy}

    async def _remember_early(self, orders: Sequence[Order], early: Collection[str]) -> None:
        """Over a restart too. It is written first: at once true, while an end on disk without it would be taken for a person's will."""
        for card in early:
            if not self._doubtful.get(card, False):
                await self._ledger.remember(WENT_EARLY + card, "yes")
        for order in orders:
            if (
                _is_stop(order)
                and order.state.is_open
                and not lifecycle.is_in_doubt(order)
                and self._doubtful.get(order.card, False)
            ):
                await self._ledger.remember(WENT_EARLY + order.card, "no")  # it stands again

    def _after(self, executions: Sequence[Execution]) -> dict[int, Decimal] | None:
        if self._held is None:
            return None
        held = dict(self._held)
        for execution in executions:
            if not execution.moves_holding:
                continue
            known = self._executions.get(execution.key)
            before = known.quantity if known else ZERO
            held[execution.con_id] = held.get(execution.con_id, ZERO) + execution.side.sign * (
                execution.quantity - before
            )
        return held

    def _with_ahead(
        self, held: dict[int, Decimal] | None, orders: Sequence[Order], executions: Sequence[Execution]
    ) -> dict[int, Decimal] | None:
        """The holdings with fills that only statuses told of, the ones of this very change included."""
        if held is None:
            return None
        news, whole = Index(executions), dict(held)
        for order in orders:
            for con_id, more in _ahead_of(order, self.executions_of(order, news)):
                whole[con_id] = whole.get(con_id, ZERO) + more
        return whole

    @contextlib.contextmanager
    def watched(self, changed: asyncio.Event) -> Iterator[None]:
        """While it lasts, every change of an order sets the event."""
        self._watchers.add(changed)
        changed.set()
        try:
            yield
        finally:
            self._watchers.discard(changed)

    async def keep(self, look: Callable[[], Awaitable[float | None]]) -> None:
        """Look now, after every change of an order or a holding, and when the seconds that a look has named are over; for ever."""
        changed = asyncio.Event()
        with self.watched(changed):
            while True:
                changed.clear()
                try:
                    due = await look()
                except Exception:
                    log.exception("looked at again in %.0f s", LOOK_AGAIN_SECONDS)
                    due = LOOK_AGAIN_SECONDS
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(due):
                        await changed.wait()

    async def until(self, fits: Callable[[], bool], seconds: float) -> bool:
        """Wait until `fits` is true after some change of the book; False where it is not within `seconds`."""
        changed = asyncio.Event()
        try:
            with self.watched(changed):
                async with asyncio.timeout(seconds):
                    while not fits():
                        changed.clear()
                        await changed.wait()
        except TimeoutError:
            return False
        return True


def _ahead_of(order: Order, executions: Sequence[Execution]) -> tuple[tuple[int, Decimal], ...]:
    """(con_id, signed quantity) of what an order has filled, part by part, beyond what its executions told."""
    found = []
    for con_id, moved in order.moves(order.filled):
        told = sum((e.side.sign * e.quantity for e in executions if e.con_id == con_id), ZERO)
        if abs(moved) > abs(told):
            found.append((con_id, moved - told))
    return tuple(found)


def _is_stop(order: Order) -> bool:
    return order.role is Role.STOP and not order.external


def _is_lost(order: Order) -> bool:
    return _is_stop(order) and not order.state.is_open and lifecycle.is_in_doubt(order)


def newest(executions: Sequence[Execution]) -> tuple[Execution, ...]:
    """Of each execution the newest revision: one snapshot may tell a fill and its correction."""
    found: dict[str, Execution] = {}
    for execution in executions:
        if execution.key not in found or found[execution.key].revision <= execution.revision:
            found[execution.key] = execution
    return tuple(found.values())


def _counted(told: Position, quantity: Decimal) -> Position:
    """The holding with our count, and worth what so many are."""
    if told.signed_quantity == quantity:
        return told
    each = told.market_value / told.signed_quantity if told.market_value and told.signed_quantity else None
    return replace(
        told,
        signed_quantity=quantity,
        market_value=None if each is None else each * quantity,
        unrealized=None,
    )


_LOUD = frozenset(
    {
        OrderState.FILLED,
        OrderState.CANCELLED,
        OrderState.REJECTED,
        OrderState.SUSPENDED,
        OrderState.UNKNOWN,
        OrderState.NOT_AT_BROKER,
    }
)


def announcements(old: Order | None, new: Order, held: Mapping[int, Decimal] | None = None) -> list[Notice]:
    """What people hear of a change: the card is edited in place; a new message only for an end, or an order from elsewhere."""
    words: list[Notice] = []
    if old is not None and old.change is not None and new.change is None:
        words.append(Notice("order", subject=old.change.ref, to=new.owner))
    if not new.external and (old is None or _shown(old) != _shown(new)):
        words.append(Notice("order", subject=new.card, to=new.owner))
    if (old is None or new.state is not old.state) and new.state in _LOUD:
        words.append(Notice("order_news", _news(new, held), to=new.owner, urgent=True))
    elif old is None and new.external:
        words.append(Notice("order_news", _news(new, held), to=new.owner))
    return words


def _news(order: Order, held: Mapping[int, Decimal] | None) -> dict[str, object]:
    facts: dict[str, object] = {"number": order.number, "state": order.state}
    if order.state is OrderState.FILLED and order.filled and held is not None and not order.legs:
        after = held.get(order.con_id, ZERO)
        facts |= {"before": f"{after - order.side.sign * order.filled:f}", "after": f"{after:f}"}
    return facts


def _shown(order: Order) -> tuple[object, ...]:
    return (
        order.state,
        order.filled,
        order.average_price,
        order.reason,
        order.cancel_requested_at,
        order.limit_price,
        order.stop_price,
        order.quantity,
        order.change,
    )


def warning(order: Order, text: str) -> Notice:
    """What the house did to an order by itself, or could not do, for its owner."""
    return Notice("order_note", {"number": order.number, "text": f"⚠️ {text}"}, to=order.owner, urgent=True)


def change_note(order: Order, text: str) -> Notice:
    """What became of a change that did not come true; its card and that of the order are drawn anew beside it."""
    return Notice("order_note", {"number": order.number, "text": text}, to=order.owner, urgent=True)


def gather(notices: Sequence[Notice]) -> list[Notice]:
    """After a gap: the cards are edited as ever, and all the news of orders become one message."""
    quiet = [n for n in notices if n.kind != "order_news"]
    news = [n.data for n in notices if n.kind == "order_news"]
    return [*quiet, Notice("away", {"orders": news}, urgent=True)] if news else quiet
