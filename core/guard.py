"""An entry that was approved with a stop is never left without it: the standing promise behind every bracket.

Where the stop of a card is refused, lost or unheard for five seconds while the broker can be asked, what the entry has yet to buy is
cancelled, and what it has bought gets its stop once more; the owner is told either way. A stop that somebody took away on purpose (here, or
in TWS after the entry was filled) is not put back: that was a person's will, and the message about it says what stands bare.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Protocol

from ulid import ULID

from core import protection
from core.errors import BrokerError, StorageError
from core.lifecycle import belongs, is_in_doubt
from core.model import Instrument, Notice, Order, OrderState, Role
from core.orderbook import OrderBook, warning
from core.ports import Broker, Clock, Ledger, Notifier

log = logging.getLogger(__name__)

BARE_SECONDS = 5.0
RETRY_SECONDS = 5.0
ZERO = Decimal(0)
SETTLED = "unguarded:"
"""Before the name of a card, among what is remembered: its stop is not put back any more."""
_CONFIRMED = frozenset({OrderState.WORKING, OrderState.PARTIAL, OrderState.SUSPENDED})


class _Child(Protocol):
    def __call__(
        self, of: Order, role: Role, price: Decimal, *, number: int, order_ref: str, parent: int | None
    ) -> Order: ...


class Guard:
    """Looks at the brackets whose stop is in doubt whenever an order changes. `child`, `write` and `take_back` are the executor's: one road."""

    def __init__(
        self,
        broker: Broker,
        ledger: Ledger,
        notifier: Notifier,
        clock: Clock,
        book: OrderBook,
        *,
        doubt: asyncio.Event,
        child: _Child,
        write: Callable[[Sequence[Order], Instrument], Awaitable[None]],
        take_back: Callable[[Order, str], Awaitable[None]],
    ) -> None:
        self._broker, self._ledger, self._notifier, self._clock = broker, ledger, notifier, clock
        self._book, self._child, self._write, self._take_back = book, child, write, take_back
        self._bare_since: dict[str, float] = {}
        self._told: set[tuple[str, str]] = set()
        self._needed: dict[int, str] = {}
        self._instruments: dict[int, Instrument] = {}
        self._looked: set[str] = set()  # cards for which the positions were asked once more
        self._doubt = doubt  # set it, and the broker is asked what it has
        self._again = asyncio.Event()

    async def run(self) -> None:
        """Look after every change of an order, for ever."""
        with self._book.watched(self._again):
            while True:
                await self._again.wait()
                self._again.clear()
                try:
                    async with self._book.lock:
                        await self._look()
                    await self._find_what_is_needed()
                except (BrokerError, StorageError) as problem:
                    log.warning("a bracket could not be guarded yet: %s", problem)
                    asyncio.get_running_loop().call_later(RETRY_SECONDS, self._again.set)
                except Exception:
                    log.exception("a bracket could not be guarded")
                    asyncio.get_running_loop().call_later(RETRY_SECONDS, self._again.set)

    async def _find_what_is_needed(self) -> None:
        """A question to the broker, and so asked without the lock."""
        needed, self._needed = self._needed, {}
        for con_id, symbol in needed.items():
            self._instruments[con_id] = await self._broker.find(symbol)
            self._again.set()

    async def look_again(self) -> None:
        """The books were compared: what is known now may be more."""
        self._again.set()

    async def _look(self) -> None:
        """Take up every card whose stop is in doubt; time counts only while the broker can be asked."""
        if not self._broker.link.ready:
            self._bare_since.clear()
            return
        now = self._clock.monotonic()
        await self._take_back_twins()
        for card in self._book.doubtful_cards:
            bare = await self._bare(card)
            if bare is None:
                self._bare_since.pop(card, None)
                continue
            left = BARE_SECONDS - (now - self._bare_since.setdefault(card, now))
            if left > 0:
                asyncio.get_running_loop().call_later(left, self._again.set)
            else:
                await self._mend(card, *bare)
        for card in self._bare_since.keys() - set(self._book.doubtful_cards):
            del self._bare_since[card]

    async def _bare(self, card: str) -> tuple[Order, Order, Order | None] | None:
        """(entry, stop, target) of a card whose entry may buy, or has bought, without its stop; else None."""
        family = {o.role: o for o in await self._ledger.family(card)}
        entry, stop, target = (family.get(role) for role in (Role.ENTRY, Role.STOP, Role.TARGET))
        link = self._broker.link
        if entry is None or stop is None or entry.account != link.account:
            return None
        if not is_in_doubt(stop) or (target is not None and target.state is OrderState.FILLED):
            self._book.settle_doubt(card)
            return None
        taken_away = stop.state is OrderState.CANCELLED and not self._book.went_before_the_fill(card)
        if not entry.state.is_open and (not entry.filled or taken_away):
            self._book.settle_doubt(card)
            return None
        mine = {o.number for o in (stop, target) if o is not None}
        for closing in await self._ledger.unfinished_closings():
            if mine & {number for number, _ in closing.protection}:
                return None  # it is moving this protection, and puts it back itself
        return entry, stop, target

    async def _mend(self, card: str, entry: Order, stop: Order, target: Order | None) -> None:
        if entry.state in _CONFIRMED:
            if entry.cancel_requested_at is None:
                text = "Its stop is not at the broker, so what it has not bought yet is cancelled: it was approved with that stop."
                await self._take_back(entry, text)
        elif entry.state.is_open:
            return  # not even the entry is certain: the comparison of the books settles both
        elif stop.state.is_open or (stop.state is OrderState.NOT_AT_BROKER and stop.perm_id is not None):
            text = (
                f"#{stop.number}, the stop of these shares, is not confirmed by the broker. It may be there, so no second one is sent: "
                "look in TWS, and settle it there."
            )
            await self._tell(card, "unconfirmed", stop, text)
        elif (count := self._to_protect(card, entry, stop, target)) is None:
            return
        elif count <= 0:
            text = "Its stop is not at the broker and is not sent again: as many shares were sold, or are on sale, since then."
            await self._tell(card, "sold", stop, text)
            await self._settle(card)
        elif await self._ledger.count_orders(card, Role.STOP, (OrderState.REJECTED,)) > 1:
            text = "The broker has refused the stop of these shares twice: they are NOT protected. Set a stop by hand, or sell."
            await self._tell(card, "refused twice", stop, text)
            await self._settle(card)
        elif target is not None and target.state.is_open:
            if target.cancel_requested_at is None:
                text = "Its stop is not at the broker. The target goes first, because it and a new stop would not cancel each other."
                await self._take_back(target, text)
        else:
            await self._protect(card, entry, stop, count)

    async def _settle(self, card: str) -> None:
        """Nothing more is done for the card, at the next start neither."""
        await self._ledger.remember(f"{SETTLED}{card}", "yes")
        self._book.settle_doubt(card)

    def _to_protect(self, card: str, entry: Order, stop: Order, target: Order | None) -> Decimal | None:
        """How many shares still need the stop that was approved for them; None while what is held is not certain.

        What was sold since by other orders were most likely these: older shares of the same kind were never approved with this stop.
        """
        held = self._held(card, entry.con_id)
        if held is None or stop.stop_price is None:
            return None
        mine, since = (
            (entry, stop, target),
            entry.sent_at.replace(microsecond=0),
        )  # the broker's times have no more
        sold = sum(
            (
                e.quantity
                for e in self._book.executions.values()
                if e.con_id == entry.con_id
                and e.side is not entry.side
                and e.time >= since
                and not any(o is not None and belongs(o, e) for o in mine)
            ),
            ZERO,
        )
        bought = entry.filled - stop.filled - (target.filled if target is not None else ZERO)
        return min(bought - sold, protection.room(entry.con_id, held, self._book.orders))

    async def _take_back_twins(self) -> None:
        """A stop that was replaced here and stands at the broker after all: the younger one goes, or both would sell the same shares."""
        standing: dict[str, list[Order]] = {}
        for order in self._book.orders:
            if order.role is Role.STOP and not order.external and order.state in _CONFIRMED:
                standing.setdefault(order.card, []).append(order)
        for twins in standing.values():
            for younger in twins[1:]:
                if younger.cancel_requested_at is None:
                    text = f"#{twins[0].number}, the stop that was thought lost, is at the broker after all, so #{younger.number} goes."
                    await self._take_back(younger, text)

    async def _protect(self, card: str, entry: Order, stop: Order, count: Decimal) -> None:
        """The stop that was approved, once more, for what was bought and is still there."""
        instrument = self._instruments.get(entry.con_id)
        if instrument is None:
            self._needed[entry.con_id] = entry.symbol
            return
        assert stop.stop_price is not None
        self._broker.ensure_room()
        again = replace(
            self._child(
                entry,
                Role.STOP,
                stop.stop_price,
                number=self._book.next_number,
                order_ref=f"{card}.{ULID()}",
                parent=None,
            ),
            quantity=count,
            filled=ZERO,
            average_price=None,
            confirmed_quantity=None,
            client_id=self._broker.link.client_id,
            reason="",
            cancel_requested_at=None,
            change=None,
        )
        text = f"The stop of {count:f} {entry.symbol} was not at the broker. It is sent once more, as #{again.number}."
        await asyncio.shield(
            self._ledger.record(
                [again], notices=[warning(entry, text), Notice("order", subject=card, to=entry.owner)]
            )
        )
        self._book.opened([again])
        await self._write([again], instrument)
        self._bare_since.pop(card, None)
        self._notifier.wake()

    def _held(self, card: str, con_id: int) -> Decimal | None:
        """What is certainly held: of our count and the broker's word the less, and where they differ only after one more comparison."""
        counted = self._book.held(con_id)
        told = self._broker.positions
        if counted is None or told is None:
            return None
        at_broker = sum((p.signed_quantity for p in told if p.con_id == con_id), ZERO)
        if counted != at_broker and card not in self._looked:
            self._looked.add(card)
            self._doubt.set()
            return None
        return ZERO if counted * at_broker < 0 else min(counted, at_broker, key=abs)

    async def _tell(self, card: str, what: str, order: Order, text: str) -> None:
        if (card, what) in self._told:
            return
        self._told.add((card, what))
        await self._ledger.record(notices=[warning(order, text)])
        self._notifier.wake()
