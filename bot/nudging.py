"""What the owner of options should hear in time, each thing once: an expiry that comes near, a short option in the money, a dividend that
invites assignment, and what became of an option without an order.

It looks at the market soon after connecting, after each open and at midday; at the executions whenever something has changed. What was said
is marked in the commit that writes the message, so neither a restart nor a second look says it twice.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from bot import plans
from bot.schedule import TIMEPIECE
from bot.services import Desk
from core import sessions
from core.errors import BadInput, BrokerError, StorageError
from core.model import Execution, JobRun, Notice, simple
from core.options import life
from core.options.strategies import label
from core.orderbook import OrderBook
from core.ports import Notifier

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
PATIENCE = timedelta(seconds=30)
"""How long the shares of an option that is gone may take to be told before it is said that none moved with it, or that nobody knows why."""
AWAITED = (life.EventKind.EXPIRED, life.EventKind.UNCLEAR)
"""What every end of an option looks like until its shares are told, which comes behind it."""
REMEMBERED = timedelta(days=14)
AFTER_OPEN = timedelta(minutes=2)
"""The first prices of a session are no guide."""
SINCE = "nudging_since"
Occasion = tuple[int, str]


class Nudging:
    """Whoever looks. `look` does what is due, and may be called at any time and any number of times."""

    def __init__(self, desk: Desk, book: OrderBook, notifier: Notifier) -> None:
        self._desk, self._book, self._notifier = desk, book, notifier
        self._done: Occasion | None = None
        self._changed = asyncio.Event()
        self._awaits = False

    async def compared(self) -> None:
        """The books agree with the broker's: what is held is known, and the next look need not wait."""
        self._changed.set()

    async def run(self) -> None:
        """Look whenever an order or a holding has changed, and now and then, for ever."""
        changed = self._changed
        with self._book.watched(changed):
            while True:
                changed.clear()
                try:
                    await self.look()
                except (BrokerError, StorageError) as problem:
                    log.warning("options are looked at again in a minute: %s", problem)
                except Exception:
                    log.exception("options are looked at again in a minute")
                try:
                    async with asyncio.timeout(PATIENCE.total_seconds() if self._awaits else LOOK_SECONDS):
                        await changed.wait()
                except TimeoutError:
                    continue

    async def look(self) -> None:
        """Say what became of options, and, where it is time for that, what comes."""
        await self._ended()
        if not self._desk.broker.link.reconciled or self._desk.broker.positions is None:
            return
        occasion = await self._occasion()
        if occasion == self._done:
            return
        for nudge in await self._desk.planner.nudges(self._desk.planner.today):
            name = label(nudge.group.strategy, nudge.group.legs, nudge.group.symbol)
            facts = {"kind": nudge.kind, "name": name, "key": nudge.group.key, "facts": dict(nudge.facts)}
            await self._say(f"nudge:{nudge.key}", Notice("nudge", simple(facts), urgent=True))
        self._done = occasion

    async def _occasion(self) -> Occasion:
        """What makes one look another than the last: the connection, and which half of which session it is."""
        now, epoch = self._desk.clock.now(), self._desk.broker.link.epoch
        try:
            clock = await self._desk.broker.find(TIMEPIECE)
        except BadInput:
            return epoch, ""
        for session in sessions.parse(clock.hours, clock.time_zone).sessions:
            if session.open + AFTER_OPEN <= now < session.close:
                half = "first" if now < session.open + (session.close - session.open) / 2 else "second"
                return epoch, f"{session.day} {half}"
        return epoch, "closed"

    async def _ended(self) -> None:
        """Options that came to an end without an order, and whatever else the broker moved by himself."""
        now = self._desk.clock.now()
        known, self._awaits = await self._since(now), False
        executions = [
            e for e in await self._desk.ledger.executions_since(now - REMEMBERED) if e.time >= known
        ]
        if not any(map(life.without_order, executions)):
            return
        events = life.explained(executions)
        for event in events:
            if event.kind in AWAITED and now - event.at < PATIENCE:
                self._awaits = True
                continue
            await self._say(
                f"ended:{event.key}", Notice("option_ended", plans.ended_facts(event), urgent=True)
            )
        for one in _unexplained(executions, events):
            if now - one.time >= PATIENCE:
                facts = {"side": one.side, "quantity": one.quantity, "symbol": one.label, "price": one.price}
                await self._say(f"moved:{one.key}", Notice("elsewhere", simple(facts)))

    async def _since(self, now: datetime) -> datetime:
        """When options were first looked at with this database: what an account did before is no news."""
        told = await self._desk.ledger.recall(SINCE)
        if told is None:
            now = now.replace(microsecond=0)  # the broker's times have no parts of seconds
            await self._desk.ledger.remember(SINCE, now.isoformat())
            return now
        return datetime.fromisoformat(told)

    async def _say(self, what: str, notice: Notice) -> None:
        """Say it, unless it was said: the mark and the message are one commit. The mark has one day, so that it is there for good."""
        once = date.min
        if await self._desk.ledger.run_job(JobRun(what, once, self._desk.clock.now(), {}), [notice]):
            self._notifier.wake()


def _unexplained(executions: Iterable[Execution], events: Sequence[life.Event]) -> list[Execution]:
    """What the broker moved by himself and no end of an option explains."""
    explained = {e.closing.key for e in events} | {e.shares.key for e in events if e.shares}
    return [e for e in executions if life.without_order(e) and e.moves_holding and e.key not in explained]
