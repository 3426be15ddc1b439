"""What happens by itself: the daily summary, once for each session of the exchange, after its close; and the daily backup.

apscheduler rings in UTC, every minute; whether anything is due is decided by the desk's own clock, the hours that the broker tells, and what
the database says was done. So neither restarts, nor summer time, nor a clock that jumps make it once too often or too few.
"""

import asyncio
import importlib
import json
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from core import sessions, summary
from core.errors import BadInput, BrokerError, StorageError
from core.model import JobRun, Notice
from core.orderbook import OrderBook
from core.ports import Broker, Clock, Ledger, Notifier
from core.sessions import Hours, Session

log = logging.getLogger(__name__)

RINGS_EVERY_SECONDS = 60
REMEMBERED = timedelta(days=14)
TIMEPIECE = "SPY"
"""The instrument whose hours are those of the exchange; a holding's where the broker does not know it."""
BACKUP_FAILED = "backup_failed"
BACKUP_AFTER_SECONDS = 10.0
BACKUP_RETRY = timedelta(minutes=10)
SESSIONS, SINCE = "exchange_sessions", "schedule_since"


class Schedule:
    """Whoever looks at the clock. `look` does what is due, and may be called at any time and any number of times."""

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
        self._started_at = clock.now()
        self._done: date | None = None

    async def run(self, ready: asyncio.Event) -> None:
        """Look now and then, for ever, from `ready` on: neither the library nor the first look may hold up the start."""
        await ready.wait()
        bell = asyncio.Event()
        scheduler = await asyncio.to_thread(_scheduler)
        scheduler.add_job(bell.set, "interval", seconds=RINGS_EVERY_SECONDS, misfire_grace_time=None)
        scheduler.start()
        try:
            while True:
                try:
                    await self.look()
                except (BrokerError, StorageError) as problem:
                    log.warning("the schedule looks again in a minute: %s", problem)
                except Exception:
                    log.exception("what is scheduled could not be done")
                await bell.wait()
                bell.clear()
        finally:
            scheduler.shutdown(wait=False)

    async def look(self) -> None:
        """Send the summary of the session that closed last, if it is due and was not sent."""
        now = self._clock.now()
        hours = await self._hours(now)
        since = await self._since(now)
        closed = hours.closed_last(now)
        if closed is None or closed.day == self._done:
            return
        last = await self._ledger.last_run(summary.JOB)
        if not summary.due(now, closed, last.session if last else None, since):
            return
        if summary.worth_waiting(now, closed, self._started_at, self._broker.link):
            return
        await self._summarise(closed, last, now)

    async def _summarise(self, closed: Session, last: JobRun | None, now: datetime) -> None:
        moment = summary.Moment(
            now, self._broker.link, self._broker.account, self._broker.positions, self._book.orders
        )
        account = moment.link.account or (last.facts.get("account") if last else None)
        history = await self._ledger.history(account)
        facts = await asyncio.to_thread(summary.facts, moment, history, closed, last)
        run = JobRun(summary.JOB, closed.day, now, facts)
        if await self._ledger.run_job(run, [Notice(summary.JOB, facts)]):
            self._notifier.wake()
        self._done = closed.day

    async def _since(self, now: datetime) -> datetime:
        """When the bot first ran with this database."""
        told = await self._ledger.recall(SINCE)
        if told is None:
            await self._ledger.remember(SINCE, now.isoformat())
            return now
        return datetime.fromisoformat(told)

    async def _hours(self, now: datetime) -> Hours:
        """The hours as the broker tells them now, and behind them the sessions that it told before; they survive a restart."""
        stored = await self._ledger.recall(SESSIONS)
        known = [_session(*row) for row in json.loads(stored or "[]")]
        told = await self._told()
        if not told.sessions:
            return Hours(tuple(known))
        hours = told.with_past(s for s in known if s.close > now - REMEMBERED)
        fresh = json.dumps(
            [[s.open.isoformat(), s.close.isoformat(), s.day.isoformat()] for s in hours.sessions]
        )
        if fresh != stored:
            await self._ledger.remember(SESSIONS, fresh)
        return hours

    async def _told(self) -> Hours:
        names = [TIMEPIECE, *(p.symbol for p in self._broker.positions or () if p.signed_quantity)]
        for symbol in dict.fromkeys(names):
            try:
                instrument = await self._broker.find(symbol)
            except BadInput:
                continue
            except BrokerError:
                break
            hours = sessions.parse(instrument.hours, instrument.time_zone)
            if hours.sessions:
                return hours
        return Hours()


class Backups:
    """The daily backup, once for each day (UTC) by what lies in its folder: so one that was missed is made up for after the start.

    `make` makes one of a moment and sees to the old ones, `made` tells the times of those that there are; both take as long as the disk does.
    """

    def __init__(
        self,
        make: Callable[[datetime], object],
        made: Callable[[], Sequence[datetime]],
        ledger: Ledger,
        notifier: Notifier,
        clock: Clock,
    ) -> None:
        self._make, self._made, self._ledger, self._notifier, self._clock = (
            make,
            made,
            ledger,
            notifier,
            clock,
        )
        self._not_before: datetime | None = None
        self.last: datetime | None = None
        self.trouble = ""

    async def run(self) -> None:
        """Look now and then, for ever, whether or not anybody can be reached; the start comes first."""
        await asyncio.sleep(BACKUP_AFTER_SECONDS)
        while True:
            try:
                await self.look()
            except StorageError as problem:
                log.warning("that the backup failed could not be told: %s", problem)
            except Exception:
                log.exception("the backup is tried again in a minute")
            await asyncio.sleep(RINGS_EVERY_SECONDS)

    async def look(self) -> None:
        """Make the backup of today, if there is none. Its failure is told once a day. Raises StorageError where not even that can be."""
        now = self._clock.now()
        try:
            times = await asyncio.to_thread(self._made)
            self.last = max(times, default=None)
            if any(at.astimezone(UTC).date() == now.astimezone(UTC).date() for at in times):
                self.trouble = ""
                return
            if self._not_before is not None and self._not_before - BACKUP_RETRY <= now < self._not_before:
                return
            await asyncio.to_thread(self._make, now)
            self.last, self.trouble = now, ""
        except StorageError as problem:
            log.warning("no backup: %s", problem)
            self.trouble = str(problem)
            facts = {
                "trouble": self.trouble,
                "last": self.last.astimezone(UTC).isoformat() if self.last else "",
            }
            run = JobRun(BACKUP_FAILED, now.astimezone(UTC).date(), now, facts)
            if await self._ledger.run_job(run, [Notice(BACKUP_FAILED, facts, urgent=True)]):
                self._notifier.wake()
            self._not_before = now + BACKUP_RETRY


def _session(opened: str, closed: str, day: str) -> Session:
    return Session(datetime.fromisoformat(opened), datetime.fromisoformat(closed), date.fromisoformat(day))


def _scheduler() -> Any:
    """A scheduler that works in UTC. The library is loaded here and not before: the start does not wait for it."""
    return importlib.import_module("apscheduler.schedulers.asyncio").AsyncIOScheduler(timezone="UTC")
