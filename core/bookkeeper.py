"""After the market: books what the broker says, in its order, and compares the books after every connect and once a minute."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from core import lifecycle
from core.asked import Asked
from core.errors import BrokerError, NoAnswer, StorageError
from core.ib_messages import LINK_LOST, of_the_calendar, plain_words
from core.model import (
    BrokerBook,
    BrokerEvent,
    BrokerMessage,
    Commission,
    Execution,
    LinkChanged,
    Notice,
    Order,
    OrderReport,
    OrderState,
    Role,
    TimeInForce,
)
from core.names import Index
from core.opening import opening_lots
from core.options.life import without_order
from core.orderbook import Mark, OrderBook, newest
from core.ports import Broker, Clock, Ledger, Notifier
from core.reconcile import external, reconcile

log = logging.getLogger(__name__)

RECONCILE_SECONDS = 60.0
RETRY_SECONDS = 2.0
ABSENT_SECONDS = 5.0
BROKER_DAY = ZoneInfo("America/New_York")  # its executions are those since midnight there
MOST_PAID = 20_000  # commissions that are remembered as written
MOST_LOOKS = 3  # at books that cannot be opened yet, before it waits for the next regular comparison


Claim = Callable[
    [BrokerBook, tuple[Order, ...], Sequence[Order], Callable[[Order], Sequence[Execution]]],
    Awaitable[tuple[Order, ...]],
]


class Bookkeeper:
    """Listens to the broker for ever. The only one who marks the books as reconciled."""

    def __init__(
        self, broker: Broker, ledger: Ledger, notifier: Notifier, clock: Clock, book: OrderBook
    ) -> None:
        self._broker, self._ledger, self._notifier, self._clock, self._book = (
            broker,
            ledger,
            notifier,
            clock,
            book,
        )
        self.compare = asyncio.Event()
        """Set it to have the books compared now."""
        self.after_compare: list[Callable[[], Awaitable[None]]] = []
        """What is to be taken up after each comparison that succeeded."""
        self.when_unwritten: list[Callable[[BrokerBook], None]] = []
        """What is done, under the book's lock, with a snapshot that cannot be written down."""
        self.claim: Claim = _as_they_are
        """Who knows of orders found at the broker that they are ours after all."""
        self.first_word = asyncio.Event()
        """Set as soon as it is known how the first attempt to reach the broker went."""
        self._gap = True
        self._since: datetime | None = None  # when the gap began
        self._asked = Asked()
        self._paid: dict[str, Commission] = {}
        self._say_when_back = True
        self._absent: dict[int, tuple[int, datetime]] = {}
        self._disbelieved: dict[int, Decimal | None] = {}
        self._opened: str | None = None
        self._reckoned_for: str | None = None
        self._looks = 0

    async def run(self) -> None:
        """Listen and compare, for ever."""
        self._since = self._since or self._book.last_sign
        async with asyncio.TaskGroup() as both:
            both.create_task(self._listen(), name="bookkeeper-events")
            both.create_task(self._keep_equal(), name="bookkeeper-compare")

    async def _listen(self) -> None:
        while True:
            event = await self._broker.next_event()
            try:
                async with self._book.lock:
                    await self._on(event)
            except Exception:
                # One event that cannot be booked must not end the listening; the comparison of the books heals what was missed.
                log.exception("event not booked: %s", type(event).__name__)
                self.compare.set()

    async def _on(self, event: BrokerEvent) -> None:
        match event:
            case OrderReport():
                await self._on_report(event)
            case Execution():
                await self._on_execution(event)
            case Commission():
                # Every answer to a question about executions brings all of them again.
                if self._paid.get(event.exec_id) != event:
                    if len(self._paid) >= MOST_PAID:
                        self._paid.clear()
                    await self._ledger.record(commissions=[event])
                    self._paid[event.exec_id] = event
            case BrokerMessage():
                await self._on_message(event)
            case LinkChanged(up=True):
                # Also after 1101 and 1102, where the socket held: what happened meanwhile was not told.
                self._gap = True
                if self._broker.link.account is None:
                    self.first_word.set()
                self.compare.set()
            case LinkChanged(up=False):
                self.first_word.set()
                self._gap = True
                await self._doubt_what_was_sent(event.epoch)
                self._book.forget_positions()
                await self._say_gone(self._broker.link.trouble)

    async def _say_gone(self, trouble: str) -> None:
        """The broker cannot be reached: once for an outage, with what his own calendar says to it."""
        self._since, self._say_when_back = self._since or self._clock.now(), True
        words = " ".join(filter(None, [trouble, of_the_calendar(self._clock.now())]))
        await self._say(Notice("link_down", {"trouble": words}, urgent=True))

    async def _doubt_what_was_sent(self, epoch: int) -> None:
        """An order that the line took with it before a word on it came is UNKNOWN from that moment on."""
        unheard = [o for o in self._book.orders if o.state is OrderState.SENDING and o.epoch <= epoch]
        await self._book.book([(o, replace(o, state=OrderState.UNKNOWN)) for o in unheard])

    async def _on_report(self, report: OrderReport) -> None:
        order = self._book.find(report, self._broker.link.epoch)
        elsewhere = False
        if order is None and report.con_id and report.account in ("", self._broker.link.account):
            known = await self._ledger.find_orders([report.order_ref or ""], [report.perm_id])
            order, elsewhere = (known[0], False) if known else (None, True)
        if order is not None and lifecycle.overclaims(order, report):
            self._disbelieve(order, report)
        elif order is not None:
            await self._book.book([(order, lifecycle.advance(order, report))])
        elif elsewhere and report.status in lifecycle.WORKING:
            number, epoch = self._book.next_number, self._broker.link.epoch
            await self._book.book([(None, external(report, number, epoch, self._clock.now()))])

    def _disbelieve(self, order: Order, report: OrderReport) -> None:
        """More is said to be filled than the order has. Its executions decide; they are asked for once, since the answers repeat the claim."""
        if self._disbelieved.get(order.number) == report.filled:
            return
        self._disbelieved[order.number] = report.filled
        log.warning(
            "not believed: %s of #%s are filled, which is of %s", report.filled, order.number, order.quantity
        )
        self.compare.set()

    async def _on_execution(self, execution: Execution) -> None:
        if not self._book.is_news(execution) or execution.account not in ("", self._broker.link.account):
            return
        order = self._book.find(execution, self._broker.link.epoch)
        if order is None:
            found = await self._ledger.find_orders([execution.order_ref], [execution.perm_id])
            order = found[0] if found else None
        corrected = execution.key in self._book.executions
        change = []
        if order is not None:
            after = self._book.executions_of(order, Index([execution]))
            change = [(order, lifecycle.filled_by(order, after, corrected=corrected))]
        told = order is not None or corrected or not _is_trade_elsewhere(execution)
        words = [] if told else [as_news(_elsewhere(execution))]
        await self._book.book(change, executions=[execution], more=words)
        if corrected:
            self.compare.set()

    async def _on_message(self, message: BrokerMessage) -> None:
        if message.code == 1100 and not self._since:
            await self._say_gone(LINK_LOST)
        if message.request_id < 0:
            return
        link = self._broker.link
        mine = (o for o in reversed(self._book.orders) if o.epoch == link.epoch or not o.external)
        order = next(
            (o for o in mine if o.order_id == message.request_id and o.client_id == link.client_id), None
        )
        if order is None:
            return
        words = plain_words(message.code, message.text)
        if order.change is not None and lifecycle.may_concern_change(message.code):
            # The order may work on with its old terms, be filled, or be gone: the broker is asked which.
            self._asked.refuse_change(order.number, words, certain=message.code in lifecycle.CHANGE_REFUSED)
            self.compare.set()
            return
        if message.code in lifecycle.NOT_FINAL:
            note = Notice("order_note", {"number": order.number, "text": words}, to=order.owner)
            if message.code in lifecycle.CANCEL_REFUSED:
                # The order may work on, be over unheard, or be on its way out by an earlier cancel: the broker is asked which.
                self._asked.refused_cancels.add(order.number)
                self.compare.set()
            if message.code != 202:
                await self._say(note)
            return
        # An error is a hint, not a state: keep the broker's reason, then ask what became of the order.
        await self._book.book([(order, lifecycle.with_reason(order, words))], silent=True)
        self.compare.set()

    async def _keep_equal(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECONCILE_SECONDS):
                    await self.compare.wait()
            self.compare.clear()
            if self._broker.link.connected and self._broker.link.account is not None:
                gap = self._gap
                try:
                    await self._reconcile()
                    gap = False
                    for take_up in self.after_compare:
                        await take_up()
                except (BrokerError, StorageError) as problem:
                    log.warning("the books could not be compared: %s", problem)
                    self._compare_again(gap)
                except Exception:
                    log.exception("the books could not be compared")
                    self._compare_again(gap)
                self.first_word.set()

    def _compare_again(self, gap: bool) -> None:
        """Soon; a gap that was not told to its end is still one."""
        self._gap = self._gap or gap
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self.compare.set)

    async def _reconcile(self) -> None:
        """Ask, and write down what the answers say. Nobody who wants to cancel waits for the answers: only the writing has the lock."""
        mark = self._book.mark()
        told = await self._broker.book()
        again = None if await self._is_opened() else await self._broker.book()
        async with self._book.lock:
            if told.epoch != self._broker.link.epoch:
                raise NoAnswer("The connection changed while the books were compared.")
            known = self._asked.copy(), self._since
            try:
                await self._take_over(told, mark)
            except BaseException as problem:
                self._asked, self._since = known  # what was not committed is judged, and told, another time
                if isinstance(problem, StorageError):
                    for act in self.when_unwritten:
                        act(told)
                raise
            if again is not None:
                await self._open_books(told, again)
            self._broker.mark_reconciled(told.epoch)
            await self._explain(told, mark)

    async def _explain(self, told: BrokerBook, mark: Mark) -> None:
        """Whether the books explain what the broker holds; what was filled since the question makes the answer old."""
        account = self._broker.link.account
        if account is None or account != self._opened:
            return
        if self._reckoned_for != account:
            self._reckoned_for = account
            self._book.forget_reckoning()
        have = {e.exec_id for e in told.executions}
        if any(e.exec_id not in have for e in self._book.executed_since(mark)):
            return
        if await self._book.compare_positions(account, told.positions):
            asyncio.get_running_loop().call_later(ABSENT_SECONDS, self.compare.set)

    async def _take_over(self, told: BrokerBook, mark: Mark) -> None:
        """Our orders, executions and holdings as the snapshot has them; what has moved since the question is newer than the answer."""
        news = newest([e for e in told.executions if self._book.is_news(e)])
        fills = Index(news)
        mentioned: list[OrderReport | Execution] = [*told.open_orders, *told.completed_orders, *news]
        older = await self._ledger.find_orders(
            [r.order_ref for r in mentioned if r.order_ref], [r.perm_id for r in mentioned if r.perm_id]
        )
        before = {o.number: o for o in (*older, *self._book.orders)}
        corrected = frozenset(e.key for e in news if e.key in self._book.executions)
        seen, strangers = reconcile(
            tuple(before.values()),
            told,
            lambda order: self._book.executions_of(order, fills),
            self._clock.now(),
            self._book.next_number,
            corrected,
        )
        moved = [old for old in before.values() if self._book.has_moved(old, mark)]
        newer_numbers = {o.number for o in moved}
        seen = tuple(o for o in seen if o.number not in newer_numbers)
        strangers = await self.claim(
            told, strangers, tuple(before.values()), lambda order: self._book.executions_of(order, fills)
        )
        gap, self._gap = self._gap, False
        seen, words, look_again = self._asked.judge(seen, told, self._clock.now())
        # An order of which something is still open may have moved by the very statuses that came with the answers.
        if look_again or any(o.change or o.cancel_requested_at for o in moved):
            asyncio.get_running_loop().call_later(ABSENT_SECONDS, self.compare.set)
        seen = tuple(self._not_at_broker(o, told) for o in seen)
        changes: list[tuple[Order | None, Order]] = [(before[o.number], o) for o in seen]
        # What has moved since the question keeps its newer state; but executions are facts, and never older than anything.
        for order in moved:
            mine = self._book.executions_of(order, fills)
            changed = any(e.key in corrected or e.revision > 1 for e in mine)
            changes.append((order, lifecycle.filled_by(order, mine, corrected=changed)))
        changes += [(None, o) for o in strangers]
        have = {e.exec_id for e in told.executions}
        newer = [e for e in self._book.executed_since(mark) if e.exec_id not in have]
        trades = self._traded_elsewhere(news, (*before.values(), *strangers))
        words += [*trades, *(await self._expired_meanwhile())] if gap else [as_news(t) for t in trades]
        early = self._gone_early(changes, before, told, fills)
        await self._book.book(changes, executions=news, away=gap, more=words, early=early)
        if not newer:
            self._book.start_positions(told.positions)
        elif self._book.as_counted(told.positions) is None:
            raise NoAnswer("Orders are being filled while the positions are told; trying again.")
        if gap and self._say_when_back:
            await self._say(Notice("link_up"))
            self._say_when_back = False

    def _gone_early(
        self,
        changes: Sequence[tuple[Order | None, Order]],
        before: Mapping[int, Order],
        told: BrokerBook,
        fills: Index[Execution],
    ) -> set[str]:
        """The cards whose stop is cancelled as we see now, and was by the broker's times no later than the entry's last fill.

        Where both happened unseen only these times tell that the broker, and not a person who looked at bought shares, took it away.
        """
        ended = Index(told.completed_orders)
        entries = {**before, **{o.number: o for _, o in changes}}
        early = set()
        for old, stop in changes:
            seen = old is not None and old.state is stop.state
            if (
                seen
                or stop.role is not Role.STOP
                or stop.state is not OrderState.CANCELLED
                or stop.parent not in entries
            ):
                continue
            gone = [
                r.ended_at for r in ended.near(stop) if r.ended_at is not None and lifecycle.belongs(stop, r)
            ]
            bought = [e.time for e in self._book.executions_of(entries[stop.parent], fills)]
            if gone and bought and max(gone) <= max(bought):
                early.add(stop.card)
        return early

    def _traded_elsewhere(self, news: Sequence[Execution], orders: Sequence[Order]) -> list[Notice]:
        """Executions that no order here explains. What an account did before its first contact is no news."""
        if not self._opened or self._opened != self._broker.link.account:
            return []
        ours = Index(orders)
        strange = (e for e in news if not any(lifecycle.belongs(order, e) for order in ours.near(e)))
        return [_elsewhere(e) for e in strange if _is_trade_elsewhere(e)]

    async def _expired_meanwhile(self) -> list[Notice]:
        """Proposals whose time ran out during a gap; they join its one message."""
        since, self._since = self._since, None
        if since is None:
            return []
        over = await self._ledger.proposals_over(since, self._clock.now())
        return [Notice("order_news", {"proposal": ticket.ticket_id}) for ticket in over]

    async def _is_opened(self) -> bool:
        """Whether it is written down what the account held before its executions were known."""
        account = self._broker.link.account
        if account is not None and account != self._opened and await self._ledger.books_opened(account):
            self._opened = account
        return account is None or account == self._opened

    async def _open_books(self, told: BrokerBook, again: BrokerBook) -> None:
        """Once for an account: write down what it held before its executions were known, before an order of ours can change it.

        Positions and executions are two answers of the broker: only where a second look finds both the same do they fit each other.
        """
        account = self._broker.link.account
        if account is None:
            return
        history = await self._ledger.history(account)
        openings = opening_lots(account, again.positions, history, self._clock.now())
        self._looks += 1
        unpaid = {e.key for e in history.executions} - {c.key for c in history.commissions}
        awaited = unpaid and self._looks < MOST_LOOKS  # commissions follow on the heels of executions
        if openings is None or awaited or _facts(told) != _facts(again):
            log.info("the books of %s are not opened yet: they are moving", account)
            if self._looks < MOST_LOOKS:
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self.compare.set)
            return
        await self._ledger.open_books(account, openings)
        self._opened = account

    def _not_at_broker(self, order: Order, told: BrokerBook) -> Order:
        """An UNKNOWN order that provably never reached the broker, or else the order as it is.

        Provably: two full snapshots of one connection, five seconds or more apart, do not have it; the broker still replays the executions
        of the day on which it was sent; and the holding is the one that we count. An order for a day that is over cannot trade any more,
        whatever became of it. Otherwise it stays UNKNOWN until a person settles it.
        """
        if order.state is not OrderState.UNKNOWN or order.external:
            self._absent.pop(order.number, None)
            return order
        now = self._clock.now()
        epoch, since = self._absent.setdefault(order.number, (told.epoch, now))
        if epoch != told.epoch:
            since = now
            self._absent[order.number] = (told.epoch, now)
        same_day = order.sent_at.astimezone(BROKER_DAY).date() == now.astimezone(BROKER_DAY).date()
        if not same_day and order.tif is not TimeInForce.DAY:
            return order
        if (now - since).total_seconds() < ABSENT_SECONDS:
            asyncio.get_running_loop().call_later(ABSENT_SECONDS, self.compare.set)
            return order
        if not same_day:
            why = "It was good for its day, which is over, and the broker does not show it. If it was filled, your positions have it."
            return replace(order, state=OrderState.NOT_AT_BROKER, reason=why)
        held = {p.con_id: p.signed_quantity for p in told.positions}
        parts = [con_id for con_id, _ in order.moves(order.remaining)]
        if any(self._book.held(con_id) != held.get(con_id, Decimal(0)) for con_id in parts):
            return order
        why = "The broker does not show it any more." if order.perm_id else "It never reached the broker."
        if not order.perm_id and any(o.parent == order.number for o in self._book.orders):
            why += " Should TWS show it as not transmitted, delete it there."
        return replace(order, state=OrderState.NOT_AT_BROKER, reason=why)

    async def _say(self, notice: Notice) -> None:
        await self._ledger.record(notices=[notice])
        self._notifier.wake()


def _is_trade_elsewhere(execution: Execution) -> bool:
    """Whether it is somebody's trade: not the whole of which the legs are told, nor what the broker moved by himself (bot.nudging tells)."""
    return execution.moves_holding and not without_order(execution)


def _elsewhere(execution: Execution) -> Notice:
    """A trade that was not made here, for the message of a gap."""
    facts = {
        "side": execution.side,
        "quantity": f"{execution.quantity:f}",
        "symbol": execution.label,
        "price": f"{execution.price:f}",
    }
    return Notice("order_news", facts)


def as_news(trade: Notice) -> Notice:
    """The same as a message of its own."""
    return Notice("elsewhere", trade.data)


async def _as_they_are(
    told: BrokerBook,
    strangers: tuple[Order, ...],
    known: Sequence[Order],
    executions_of: Callable[[Order], Sequence[Execution]],
) -> tuple[Order, ...]:
    return strangers


def _facts(book: BrokerBook) -> tuple[frozenset[str], frozenset[tuple[int, Decimal]]]:
    """What is held and by which executions, of one snapshot."""
    held = frozenset((p.con_id, p.signed_quantity) for p in book.positions if p.signed_quantity)
    return frozenset(e.exec_id for e in book.executions), held
