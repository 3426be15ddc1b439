"""The panic ladder: block, write down, cancel what could add; then, each only when it is asked for, the rest, and everything that is held.

It works with what there is: a full disk, a chat that is down or a broker that is away each take one step out of it and none of the others.
What cannot be cancelled now is cancelled first thing when the books agree with the broker's again, for as long as the state is HALTED.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from core import risk
from core.cards import Preview
from core.errors import BrokerError, Busy, GreenlightError, NotConnected, StaleCard, StorageError
from core.executor import Executor
from core.exposure import increasing, opened
from core.model import (
    BrokerBook,
    Notice,
    Order,
    Origin,
    Outgoing,
    Position,
    Request,
    Side,
    Ticket,
    TicketState,
    TradingState,
)
from core.options import recognise, strategies
from core.options.plan import Group, PlanPreview
from core.orderbook import OrderBook
from core.planner import Planner
from core.ports import Broker, Clock, Ledger, Notifier
from core.trading import TradingSwitch

log = logging.getLogger(__name__)

ZERO = Decimal(0)
WRITING_SECONDS = 1.0
"""How long a halt waits for the disk before it goes on without it."""
FIRST_SECONDS = 3.0  # how long it waits for the first cancel before it answers
ANSWER_SECONDS = 10.0  # how long the broker's word on the last cancels is waited for before the sum is told
FILLS_SECONDS = 4.0  # how long it waits for fills, where something can only leave behind them
CANCELS_SECONDS = 2.0  # how long the sales of a flatten wait for the cancels before them
ROOM_SECONDS = 0.05
AGAIN_SECONDS, LONGEST_SECONDS = 5.0, 60.0  # before a cancel that came to nothing is asked once more
DISK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Halt:
    """How a halt began: what is being cancelled, what should be and cannot be reached from here, what stays (stops, targets, closing
    orders), what others placed; whether it is on the disk, and whether the broker could be told.
    """

    cancelling: tuple[Order, ...]
    unreachable: tuple[Order, ...]
    staying: tuple[Order, ...]
    external: tuple[Order, ...]
    written: bool
    connected: bool
    reason: str
    bare: tuple[tuple[str, Decimal], ...]
    """(symbol, signed holding) of what loses its last stop or closing order, because that was larger than the holding."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """A holding on its way out: its card, or why it has none; `closing` are orders that sell a part of it already, wherever they rest."""

    position: Position
    preview: Preview | PlanPreview | None
    problem: str = ""
    closing: tuple[Order, ...] = ()


@dataclass(frozen=True, slots=True)
class _WayOut:
    """A holding, and the key of the group that it is closed as; empty for shares."""

    position: Position
    group: str

    @property
    def name(self) -> str:
        """The same for the same holding, however much of it is left."""
        return self.group or str(self.position.con_id)


@dataclass(frozen=True, slots=True)
class Flattened:
    """What closing everything has begun: (card, why it was not sent or nothing), and the holdings without a card, with the reason."""

    sent: tuple[tuple[Ticket, str], ...]
    left: tuple[tuple[Position, str], ...]


@dataclass(frozen=True, slots=True)
class _Try:
    """How often an order was cancelled on a connection, and when last (monotonic seconds)."""

    epoch: int
    count: int
    at: float


class Panic:
    """The ladder over one desk."""

    def __init__(
        self,
        broker: Broker,
        ledger: Ledger,
        notifier: Notifier,
        clock: Clock,
        book: OrderBook,
        executor: Executor,
        trading: TradingSwitch,
        limits: risk.Limits,
        aloud: Callable[[Halt], Awaitable[None]],
        planner: Planner,
    ) -> None:
        self._planner = planner
        self.aloud = aloud  # how a halt is told that no disk will carry
        self._broker, self._ledger, self._notifier, self._clock = broker, ledger, notifier, clock
        self._book, self._executor, self._trading, self._limits = book, executor, trading, limits
        self._look = asyncio.Event()
        self._withdrawing: asyncio.Task[None] | None = None
        self._first = asyncio.Event()
        self._rewriting: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._patience = WRITING_SECONDS  # how long each portion of cancels waits for the disk
        self._tried: dict[int, _Try] = {}  # by order: a cancel may be refused, or never heard

    # --- the first rung -------------------------------------------------------------------------------------------------

    async def halt(self, reason: str, origin: Origin | None = None) -> Halt:
        """Block at once, write that down, begin to cancel. Returns when the first cancels have left; raises nothing of disk or broker."""
        self._trading.block(TradingState.HALTED, reason)
        self._tried.clear()
        begun = self._picture(reason)
        words = Notice("halted", _facts(begun), to=origin.user if origin else None, urgent=True)
        written = await self._written(origin, words)
        self._patience = WRITING_SECONDS if written else ROOM_SECONDS
        self._withdraw()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._first.wait()
        if not written:
            await self.aloud(begun)
        return replace(begun, written=written)

    def _picture(self, reason: str) -> Halt:
        adding = self._adding()
        return Halt(
            cancelling=tuple(o for o in adding if self._executor.reaches(o)),
            unreachable=tuple(o for o in adding if not self._executor.reaches(o)),
            staying=self.protecting(),
            external=tuple(o for o in self._book.orders if o.external),
            written=False,
            connected=self._broker.link.ready,
            reason=reason,
            bare=self._left_bare(adding),
        )

    def _left_bare(self, cancelling: Sequence[Order]) -> tuple[tuple[str, Decimal], ...]:
        with contextlib.suppress(NotConnected):
            return self.unprotected_by(cancelling)
        return ()

    async def _written(self, origin: Origin | None, words: Notice) -> bool:
        """Whether the state is on the disk; a disk that says no, or nothing, holds up no cancel."""
        writing = asyncio.ensure_future(self._trading.keep(origin, (words,)))
        await asyncio.wait({writing}, timeout=WRITING_SECONDS)
        if writing.done() and writing.exception() is None:
            return True
        if self._rewriting is None or self._rewriting.done():
            again = self._write_again(writing, words)
            self._rewriting = asyncio.get_running_loop().create_task(again, name="halt-write")
        return False

    async def _write_again(self, writing: "asyncio.Future[None]", words: Notice) -> None:
        """Until the state is on the disk, unless its owner has opened again meanwhile; what was to be said is said with it."""
        blocked = self._trading.now
        while True:
            try:
                return await writing
            except StorageError as problem:
                log.error("the trading state is not on the disk: %s", problem)
            await asyncio.sleep(DISK_SECONDS)
            if self._trading.now is not blocked:
                return None
            writing = asyncio.ensure_future(self._trading.keep(None, (words,)))

    def increasing(self) -> tuple[Order, ...]:
        """Our own working orders that could add to a holding and are not being cancelled yet, the largest first."""
        own = [o for o in self._book.orders if not o.external]
        found = increasing(own, self._book.held, self._worth())
        return tuple(o for o in found if o.cancel_requested_at is None)

    def _worth(self) -> Callable[[Order], Decimal | None]:
        """What is left of an order in base currency, by the figures of this moment; None where price or rate is not known."""
        account = self._broker.account
        prices = {p.con_id: p.market_price for p in self._broker.positions or ()}

        def worth(order: Order) -> Decimal | None:
            if order.kind != "STK" and order.worth is not None:
                return order.worth * order.remaining / order.quantity
            price = order.limit_price or order.stop_price or prices.get(order.con_id)
            rate = account.rate(order.currency) if account else None
            return (
                None if price is None or rate is None else price * order.remaining * order.multiplier * rate
            )

        return worth

    def _adding(self) -> tuple[Order, ...]:
        """The same, to be told; while what is held is not known, by what they were when they left."""
        if self._book.as_counted(self._broker.positions) is not None:
            return self.increasing()
        own = [o for o in self._book.orders if not o.external and o.cancel_requested_at is None]
        return opened(own)

    def _withdraw(self) -> None:
        """Begin to cancel, or begin anew where that is under way."""
        self._first.clear()
        if self._withdrawing is None or self._withdrawing.done():
            self._withdrawing = asyncio.get_running_loop().create_task(self._withdraw_all(), name="halt")

    async def _withdraw_all(self) -> None:
        """Until nothing is left that could add: as many at a time as the broker's message limit has room for."""
        try:
            settled, gone = False, set[int]()
            while self._trading.now.state is TradingState.HALTED and self._trading.now.before is None:
                if not self._broker.link.ready:
                    return  # `compared` begins anew
                left = [o for o in self.increasing() if self._executor.reaches(o) and self._may_try(o)]
                if not left and settled:
                    if gone:
                        self._telling = asyncio.get_running_loop().create_task(self._tell_the_end(gone))
                    return
                if not left:
                    settled = await self._nobody_writes()
                    continue
                settled, epoch = False, self._broker.link.epoch
                try:
                    asked = await self._executor.withdraw(left, patience_seconds=self._patience)
                except Busy:
                    await asyncio.sleep(ROOM_SECONDS)  # time passing is the event
                    continue
                self._note_tries(asked, epoch)
                gone.update(o.number for o in asked)
                self._first.set()
        except GreenlightError as problem:
            log.warning("a halt waits for the next comparison of the books: %s", problem)
        except Exception:
            log.exception("a halt could not cancel; it is tried again after the next comparison of the books")
        finally:
            self._first.set()

    async def _tell_the_end(self, asked: set[int]) -> None:
        """One message when what was cancelled is over, instead of one for each: see `bot.notices`, which keeps those back."""
        await self._book.until(lambda: not any(self._book.is_open(n) for n in asked), ANSWER_SECONDS)
        left = [n for n in sorted(asked) if self._book.is_open(n)]
        words = Notice("halt_done", {"over": len(asked) - len(left), "left": left}, urgent=True)
        try:
            await self._ledger.record(notices=[words])
        except StorageError as problem:
            log.warning("the end of a halt could not be told: %s", problem)
        self._notifier.wake()

    def _may_try(self, order: Order) -> bool:
        """Whether it was not asked for just now on this connection: a broker that refuses a cancel is asked again in growing pauses."""
        tried = self._tried.get(order.number)
        if tried is None or tried.epoch != self._broker.link.epoch:
            return True
        pause = min(AGAIN_SECONDS * 2.0 ** (tried.count - 1), LONGEST_SECONDS)
        return self._clock.monotonic() - tried.at >= pause

    def _note_tries(self, asked: Sequence[Order], epoch: int) -> None:
        now = self._clock.monotonic()
        for order in asked:
            before = self._tried.get(order.number)
            count = before.count + 1 if before and before.epoch == epoch else 1
            self._tried[order.number] = _Try(epoch, count, now)

    async def _nobody_writes(self) -> bool:
        """Wait until what was being written down when the halt came is in the book. True, so that it is waited for once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                async with self._book.lock:
                    pass
        return True

    async def compared(self) -> None:
        """The books agree with the broker's, for the first time or again: what a halt still owes is done before anything else."""
        await self._trading.compared()
        self._look.set()  # what nobody could heed before
        if self._trading.now.state is TradingState.HALTED:
            self._withdraw()

    def unwritten(self, told: BrokerBook) -> None:
        """The disk takes nothing, so the books cannot be compared: what the broker shows under a name of ours can still be cancelled by it."""
        if self._trading.now.state is not TradingState.HALTED or self._trading.now.before is not None:
            return
        at_broker = {(r.client_id, r.order_id): (r.perm_id, r.order_ref) for r in told.open_orders}
        held = {p.con_id: p.signed_quantity for p in told.positions}
        certain = [
            o
            for o in self._book.orders
            if not o.external and at_broker.get((o.client_id, o.order_id)) == (o.perm_id, o.order_ref)
        ]
        adding = increasing(certain, lambda con_id: held.get(con_id, ZERO), self._worth())
        try:
            asked = self._executor.withdraw_unwritten([o for o in adding if self._may_try(o)])
            self._note_tries(asked, self._broker.link.epoch)
        except BrokerError as problem:
            log.warning("a halt waits for the next comparison of the books: %s", problem)

    # --- the second rung --------------------------------------------------------------------------------------------------

    def protecting(self) -> tuple[Order, ...]:
        """What a halt leaves standing: stops, targets and closing orders of ours."""
        names = {o.number for o in self._adding()}
        return tuple(
            o
            for o in self._book.orders
            if not o.external and o.number not in names and o.cancel_requested_at is None
        )

    def unprotected_by(self, orders: Sequence[Order]) -> tuple[tuple[str, Decimal], ...]:
        """(symbol, signed holding) of every position that no order would close any more without these. Raises NotConnected while that
        is not known.
        """
        gone = {o.number for o in orders}
        bare = []
        for position in self.holdings():
            standing = [
                o
                for o in self._book.orders
                if o.con_id == position.con_id
                and o.side.sign * position.signed_quantity < 0
                and o.cancel_requested_at is None
            ]
            if position.signed_quantity and standing and all(o.number in gone for o in standing):
                symbol = next(o.symbol for o in standing)
                bare.append((symbol, position.signed_quantity))
        return tuple(bare)

    # --- the third rung -----------------------------------------------------------------------------------------------------

    async def leaving(self, owner: int) -> tuple["Leaving", ...]:
        """What it would take to close every holding, each by itself: its card, or why it cannot be closed from here. Sends nothing."""
        return tuple(await asyncio.gather(*(self._leave(way, owner) for way in self._ways_out())))

    def _on_their_way(self) -> bool:
        """Whether a cancel of this halt is still unanswered: a sale might trade with what is being taken back."""
        return bool(self.increasing()) or any(
            o.cancel_requested_at is not None and not o.protects and not o.external for o in self._book.orders
        )

    def holdings(self) -> tuple[Position, ...]:
        """Everything that is held, each as much as is certain: a fill may be known here and not there, or the other way round. Raises
        NotConnected while that is not known.
        """
        told = self._broker.positions
        positions = self._book.as_counted(told)
        if positions is None or told is None:
            raise NotConnected("The positions are not known now. They load a few seconds after connecting.")
        now = self._executor.cards.moment(None)
        known = {p.con_id for p in told}
        sure = (
            replace(p, signed_quantity=now.held(p.con_id) or ZERO) for p in positions if p.con_id in known
        )
        return tuple(p for p in sure if p.signed_quantity)

    def _ways_out(self) -> tuple["_WayOut", ...]:
        """Everything that is held, each as it leaves: shares by themselves, options as the strategies that they form, never leg by leg."""
        found = []
        for group in recognise.groups(self.holdings()):
            if any(leg.option for leg in group.legs):
                found.append(_WayOut(_as_one(group), group.key))
            else:
                held = group.legs[0].ratio * group.count
                found.append(_WayOut(replace(group.positions[0], signed_quantity=held), ""))
        return tuple(found)

    async def _leave(self, way: "_WayOut", owner: int) -> "Leaving":
        position = way.position
        side = Side.SELL if position.signed_quantity > 0 else Side.BUY
        try:
            if way.group:
                plan = await self._planner.close(way.group, owner, at_once=True)
                return Leaving(position, plan, closing=self._closing(position, side))
            ticket = await self._executor.cards.exit(position, owner)
            request = Request(side, position.symbol, quantity=ticket.quantity)
            preview = await self._executor.cards.preview(request, owner)
            return Leaving(position, preview, closing=self._closing(position, side))
        except GreenlightError as problem:
            return Leaving(position, None, str(problem), self._closing(position, side))

    def _closing(self, position: Position, side: Side) -> tuple[Order, ...]:
        mine = (o for o in self._book.orders if o.con_id == position.con_id and o.side is side)
        return tuple(o for o in mine if not o.protects and o.remaining > 0)

    async def flatten(self, origin: Origin, show: Callable[[Ticket], Outgoing]) -> "Flattened":
        """Halt, then close every holding at market, the largest first, each as a card of its own that was approved with the one tap.

        `show` makes the message that becomes the card. Raises NotConnected, StorageError.
        """
        await self.halt("You asked to close everything.")
        await self._book.until(lambda: not self._on_their_way(), CANCELS_SECONDS)
        sent, left = await self._close(self._ways_out(), origin, show)
        # What covers something that is owed may leave when that is gone, and not before.
        stuck = {way.name for way, why in (*((w, why) for w, _, why in sent), *left) if why}
        going = {ticket.ticket_id for _, ticket, why in sent if not why}
        if stuck and going:
            await self._book.until(lambda: going.isdisjoint(o.card for o in self._book.orders), FILLS_SECONDS)
            again = [way for way in self._ways_out() if way.name in stuck]
            stuck = {way.name for way in again}
            old = [ticket for way, ticket, why in sent if why and way.name in stuck]
            for ticket in old:
                with contextlib.suppress(StaleCard):  # answered meanwhile
                    ended = _ended(ticket, self._clock.now())
                    await self._ledger.end_cards([ticket], TicketState.REPLACED, [ended])
            more, still = await self._close(again, origin, show)
            sent = [one for one in sent if not (one[2] and one[0].name in stuck)] + more
            left = [one for one in left if one[0].name not in stuck] + still
        return Flattened(
            tuple((ticket, why) for _, ticket, why in sent), tuple((way.position, why) for way, why in left)
        )

    async def _close(
        self, ways: Sequence["_WayOut"], origin: Origin, show: Callable[[Ticket], Outgoing]
    ) -> tuple[list[tuple["_WayOut", Ticket, str]], list[tuple["_WayOut", str]]]:
        """Draw and send, the largest first: (what got a card, and why it was not sent or nothing), (what got none, and why)."""
        ways = sorted(ways, key=lambda way: abs(way.position.market_value or ZERO), reverse=True)
        drawn = [(way, await self._drawn(way, origin.user)) for way in ways]
        cards = [(way, ticket) for way, ticket in drawn if isinstance(ticket, Ticket)]
        await self._ledger.open_cards([t for _, t in cards], [show(ticket) for _, ticket in cards])
        self._notifier.wake()
        left = [(way, why) for way, why in drawn if isinstance(why, str)]
        return [(way, ticket, await self._sent(ticket, origin)) for way, ticket in cards], left

    async def _drawn(self, way: "_WayOut", owner: int) -> Ticket | str:
        """The card that closes a holding, or why there is none."""
        try:
            if way.group:
                plan = await self._planner.close(way.group, owner, at_once=True)
                return plan.ticket if not plan.denials else " ".join(d.message for d in plan.denials)
            return await self._executor.cards.exit(way.position, owner)
        except GreenlightError as problem:
            return str(problem)

    async def _sent(self, ticket: Ticket, origin: Origin) -> str:
        """Send it; returns why not, or nothing."""
        while True:
            try:
                await self._executor.submit(ticket, origin)
                return ""
            except Busy:
                await asyncio.sleep(ROOM_SECONDS)  # the halt's cancels use the limit up: time is the event
            except GreenlightError as problem:
                log.warning("%s was not closed: %s", ticket.instrument.symbol, problem)
                return str(problem)

    # --- by itself --------------------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Tighten by itself when the day's loss or a run of rejections calls for it, for ever."""
        await self._mark_start()
        with self._book.watched(self._look):
            money = asyncio.create_task(self._watch_money(), name="panic-money")
            try:
                while True:
                    await self._look.wait()
                    self._look.clear()
                    try:
                        await self._tighten()
                    except Exception:
                        log.exception("the trading state could not be judged")
            finally:
                money.cancel()

    async def _mark_start(self) -> None:
        while True:
            try:
                return await self._trading.started()
            except StorageError as problem:
                log.warning("the start is not marked on the disk yet: %s", problem)
                await asyncio.sleep(DISK_SECONDS)

    async def _watch_money(self) -> None:
        while True:
            await self._broker.next_money()
            self._look.set()

    async def _tighten(self) -> None:
        account, sent, now = self._broker.account, self._book.pace.sent, self._clock.now()
        found = risk.tightened(account, sent, self._trading.now, now, self._limits)
        if found is None:
            return
        of_loss = found == risk.tightened(account, (), self._trading.now, now, self._limits)
        if not self._trading.is_news(found[0], risk.day_began(now), of_loss=of_loss):
            return
        state, reason = found
        if state is TradingState.HALTED:
            await self.halt(reason)
            return
        self._trading.block(state, reason)
        await self._written(None, Notice("reducing", {"reason": reason}, urgent=True))

    def still_against(self) -> list[str]:
        """What keeps entries from leaving today, open or not."""
        percent = risk.lost_percent(self._broker.account)
        if percent is None or percent < self._limits.reduce_at_day_loss_percent:
            return []
        return [
            f"The account has lost {percent:.2f} % today: entries stay refused until tomorrow "
            f"(REDUCE_AT_DAY_LOSS_PERCENT {self._limits.reduce_at_day_loss_percent:f})."
        ]

    async def resume(self, origin: Origin) -> None:
        """Open again, on its owner's word. What the day has lost already does not close it a second time; the rules still count it.

        Raises StorageError, and then nothing has changed.
        """
        now = self._clock.now()
        found = risk.tightened(self._broker.account, (), self._trading.now, now, self._limits)
        words = Notice("resumed", {"against": self.still_against()}, to=origin.user)
        await self._trading.resume(origin, found[0] if found else TradingState.ACTIVE, (words,))


def _ended(ticket: Ticket, now: datetime) -> Outgoing:
    """The card of it as it is shown once a newer one has taken its place."""
    facts = {"state": TicketState.REPLACED}
    return Outgoing(ticket.owner, "card", now, data=facts, subject=ticket.ticket_id, is_edit=True)


def _as_one(group: Group) -> Position:
    """A strategy as one holding, for whoever names it."""
    label = strategies.label(group.strategy, group.legs, group.symbol)
    values = [p.market_value for p in group.positions]
    worth = None if None in values else sum((v for v in values if v is not None), ZERO)
    return Position(
        group.positions[0].account, 0, label, group.currency, group.count, None, market_value=worth
    )


def _facts(halt: Halt) -> dict[str, object]:
    return {
        "reason": halt.reason,
        "cancelling": [o.number for o in halt.cancelling],
        "unreachable": [o.number for o in halt.unreachable],
        "staying": [o.number for o in halt.staying],
        "external": [o.number for o in halt.external],
        "connected": halt.connected,
        "bare": [[symbol, f"{held:f}"] for symbol, held in halt.bare],
    }
