"""The panic ladder: block, write down, cancel what could add; then, each only when it is asked for, the rest, and everything that is held.

It works with what there is: a full disk, a chat that is down or a broker that is away each take one step out of it and none of the others.
What cannot be cancelled now is cancelled first thing when the books agree with the broker's again, for as long as the state is HALTED.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from core import risk
from core.cards import Preview
from core.errors import Busy, GreenlightError, NotConnected, StorageError
from core.executor import Executor
from core.exposure import increasing
from core.model import Notice, Order, Origin, Outgoing, Position, Request, Side, Ticket, TradingState
from core.orderbook import OrderBook
from core.ports import Broker, Clock, Ledger, Notifier
from core.trading import TradingSwitch

log = logging.getLogger(__name__)

ZERO = Decimal(0)
WRITING_SECONDS = 1.0
"""How long a halt waits for the disk before it goes on without it."""
FIRST_SECONDS = 3.0  # how long it waits for the first cancel before it answers
CANCELS_SECONDS = 2.0  # how long the sales of a flatten wait for the cancels before them
ROOM_SECONDS = 0.05
DISK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Halt:
    """How a halt began: what is being cancelled, what stays (stops, targets, closing orders), what others placed; whether it is on the
    disk, and whether the broker could be told.
    """

    cancelling: tuple[Order, ...]
    staying: tuple[Order, ...]
    external: tuple[Order, ...]
    written: bool
    connected: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """A holding on its way out: its card, or why it has none."""

    position: Position
    preview: Preview | None
    problem: str = ""


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
    ) -> None:
        self._broker, self._ledger, self._notifier, self._clock = broker, ledger, notifier, clock
        self._book, self._executor, self._trading, self._limits = book, executor, trading, limits
        self._look = asyncio.Event()
        self._withdrawing: asyncio.Task[None] | None = None
        self._first = asyncio.Event()

    # --- the first rung -------------------------------------------------------------------------------------------------

    async def halt(self, reason: str, origin: Origin | None = None) -> Halt:
        """Block at once, write that down, begin to cancel. Returns when the first cancels have left; raises nothing of disk or broker."""
        self._trading.block(TradingState.HALTED, reason)
        begun = self._picture(reason)
        words = Notice("halted", _facts(begun), to=origin.user if origin else None, urgent=True)
        written = await self._written(origin, words)
        self._withdraw()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._first.wait(), FIRST_SECONDS)
        return Halt(begun.cancelling, begun.staying, begun.external, written, begun.connected, reason)

    def _picture(self, reason: str) -> Halt:
        own = [o for o in self._book.orders if not o.external]
        adding = self.increasing()
        names = {o.number for o in adding}
        return Halt(
            cancelling=adding,
            staying=tuple(o for o in own if o.number not in names and o.cancel_requested_at is None),
            external=tuple(o for o in self._book.orders if o.external),
            written=False,
            connected=self._broker.link.ready,
            reason=reason,
        )

    async def _written(self, origin: Origin | None, words: Notice) -> bool:
        """Whether the state is on the disk; a disk that says no, or nothing, holds up no cancel."""
        writing = asyncio.ensure_future(self._trading.keep(origin, (words,)))
        await asyncio.wait({writing}, timeout=WRITING_SECONDS)
        if not writing.done():
            writing.add_done_callback(_log_failure)
            return False
        if problem := writing.exception():
            log.error("the halt is not on the disk: %s", problem)
            return False
        return True

    def increasing(self) -> tuple[Order, ...]:
        """Our own working orders that could add to a holding and are not being cancelled yet, the largest first."""
        account, positions = self._broker.account, self._broker.positions or ()
        prices = {p.con_id: p.market_price for p in positions}

        def worth(order: Order) -> Decimal | None:
            price = order.limit_price or order.stop_price or prices.get(order.con_id)
            rate = account.rate(order.currency) if account else None
            return None if price is None or rate is None else price * order.remaining * rate

        own = [o for o in self._book.orders if not o.external]
        found = increasing(own, self._book.held, worth)
        return tuple(o for o in found if o.cancel_requested_at is None)

    def _withdraw(self) -> None:
        """Begin to cancel, or begin anew where that is under way."""
        self._first.clear()
        if self._withdrawing is None or self._withdrawing.done():
            self._withdrawing = asyncio.get_running_loop().create_task(self._withdraw_all(), name="halt")

    async def _withdraw_all(self) -> None:
        """Until nothing is left that could add: as many at a time as the broker's message limit has room for."""
        try:
            beyond: set[int] = set()  # those that cannot be reached from here
            while self._trading.now.state is TradingState.HALTED and self._trading.now.before is None:
                if not self._broker.link.ready:
                    return  # `compared` begins anew
                left = [o for o in self.increasing() if o.number not in beyond]
                if not left:
                    return
                try:
                    _, missed = await self._executor.withdraw(left)
                except Busy:
                    await asyncio.sleep(ROOM_SECONDS)  # time passing is the event
                    continue
                beyond.update(o.number for o in missed)
                self._first.set()
        except GreenlightError as problem:
            log.warning("a halt waits for the next comparison of the books: %s", problem)
        except Exception:
            log.exception("a halt could not cancel; it is tried again after the next comparison of the books")
        finally:
            self._first.set()

    async def compared(self) -> None:
        """The books agree with the broker's, for the first time or again: what a halt still owes is done before anything else."""
        await self._trading.compared()
        if self._trading.now.state is TradingState.HALTED:
            self._withdraw()

    # --- the second rung --------------------------------------------------------------------------------------------------

    def protecting(self) -> tuple[Order, ...]:
        """What a halt leaves standing: stops, targets and closing orders of ours."""
        names = {o.number for o in self.increasing()}
        return tuple(
            o
            for o in self._book.orders
            if not o.external and o.number not in names and o.cancel_requested_at is None
        )

    def unprotected_by(self, orders: Sequence[Order]) -> tuple[tuple[str, Decimal], ...]:
        """(symbol, signed holding) of every position that no order would close any more without these."""
        gone = {o.number for o in orders}
        bare = []
        for position in self._book.as_counted(self._broker.positions) or ():
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
        return tuple(await asyncio.gather(*(self._leave(p, owner) for p in self.holdings())))

    def _on_their_way(self) -> bool:
        """Whether a cancel of this halt is still unanswered: a sale might trade with what is being taken back."""
        return bool(self.increasing()) or any(
            o.cancel_requested_at is not None and not o.protects and not o.external for o in self._book.orders
        )

    def holdings(self) -> tuple[Position, ...]:
        """Everything that is held. Raises NotConnected while that is not known."""
        positions = self._book.as_counted(self._broker.positions)
        if positions is None:
            raise NotConnected("The positions are not known now. They load a few seconds after connecting.")
        return tuple(p for p in positions if p.signed_quantity)

    async def _leave(self, position: Position, owner: int) -> "Leaving":
        side = Side.SELL if position.signed_quantity > 0 else Side.BUY
        try:
            ticket = await self._executor.cards.exit(position, owner)
            request = Request(side, position.symbol, quantity=ticket.quantity)
            return Leaving(position, await self._executor.cards.preview(request, owner))
        except GreenlightError as problem:
            return Leaving(position, None, str(problem))

    async def flatten(
        self, origin: Origin, show: Callable[[Ticket], Outgoing]
    ) -> tuple[tuple[Ticket, str], ...]:
        """Halt, then close every holding at market, each as a card of its own that was approved with the one tap.

        `show` makes the message that becomes the card. Returns (card, why it was not sent or nothing) in the order of sending, the
        largest holding first; a holding that cannot be closed from here is left out, as `leaving` has said. Raises NotConnected, StorageError.
        """
        await self.halt("You asked to close everything.")
        await self._book.until(lambda: not self._on_their_way(), CANCELS_SECONDS)
        holdings = sorted(self.holdings(), key=lambda p: abs(p.market_value or ZERO), reverse=True)
        exits = await asyncio.gather(
            *(self._executor.cards.exit(p, origin.user) for p in holdings), return_exceptions=True
        )
        tickets = [t for t in exits if isinstance(t, Ticket)]
        await self._ledger.open_cards(tickets, [show(t) for t in tickets])
        self._notifier.wake()
        done = []
        for ticket in tickets:
            try:
                await self._sent(ticket, origin)
                done.append((ticket, ""))
            except GreenlightError as problem:
                log.warning("%s was not closed: %s", ticket.instrument.symbol, problem)
                done.append((ticket, str(problem)))
        return tuple(done)

    async def _sent(self, ticket: Ticket, origin: Origin) -> None:
        while True:
            try:
                return await self._executor.submit(ticket, origin)
            except Busy:
                await asyncio.sleep(
                    ROOM_SECONDS
                )  # the halt's own cancels may use the limit up: time passing is the event

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
        if found is None or not self._trading.is_news(found[0], risk.day_began(now)):
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


def _facts(halt: Halt) -> dict[str, object]:
    return {
        "reason": halt.reason,
        "cancelling": [o.number for o in halt.cancelling],
        "staying": [o.number for o in halt.staying],
        "external": [o.number for o in halt.external],
        "connected": halt.connected,
    }


def _log_failure(writing: "asyncio.Future[None]") -> None:
    if not writing.cancelled() and (problem := writing.exception()) is not None:
        log.error("the halt is not on the disk: %s", problem)
