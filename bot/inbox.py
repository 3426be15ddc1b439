"""The way in: updates are fetched in order, and none is confirmed to Telegram before it is done or on the disk.

python-telegram-bot's own Updater confirms an update by asking for the next while its handler still runs: a crash would lose a tap.
Here the next offset is asked for only when every update before it is stored: with the commit of its effects where that is quick, by
itself where the work takes longer.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from telegram import Bot, Update
from telegram.error import Conflict, InvalidToken, NetworkError, RetryAfter, TelegramError

from core.errors import StorageError
from core.model import Origin
from core.ports import Clock, Inbox

log = logging.getLogger(__name__)

ALLOWED = ("message", "edited_message", "callback_query")
POLL_SECONDS = 25
QUICK_SECONDS = (
    0.25  # work that takes longer has its update stored by itself, so that the next ones are not kept waiting
)
REMEMBERED = 2000


@dataclass(slots=True)
class Arrival:
    """An update on its way through the house; `settled` once it is on disk as done."""

    update: Update
    origin: Origin
    settled: asyncio.Event = field(default_factory=asyncio.Event)


class Poller:
    """Fetches updates for ever and hands each on once."""

    def __init__(self, bot: Bot, inbox: Inbox, clock: Clock) -> None:
        self._bot, self._inbox, self._clock = bot, inbox, clock
        self._seen: deque[int] = deque(maxlen=REMEMBERED)
        self._last_poll: float | None = None
        self.first_poll = asyncio.Event()

    def last_poll_seconds(self) -> float | None:
        """How long ago Telegram last answered a poll; None before the first."""
        return None if self._last_poll is None else self._clock.monotonic() - self._last_poll

    async def run(self, hand_on: Callable[[Arrival], None]) -> None:
        """Take up what an earlier run left unfinished, then poll; `hand_on` begins the work on an update. Raises InvalidToken, which no waiting mends."""
        self._seen.extend(await self._inbox.recent(REMEMBERED))
        for origin in await self._inbox.unfinished():
            hand_on(_arrival(Update.de_json(json.loads(origin.raw), self._bot)))
        offset, pause = None, 1.0
        while True:
            try:
                # The first poll answers at once, so that "ready" means that Telegram has really been reached.
                wait = POLL_SECONDS if self.first_poll.is_set() else 0
                updates = await self._bot.get_updates(
                    offset=offset, timeout=wait, read_timeout=wait + 10, allowed_updates=ALLOWED
                )
            except InvalidToken:
                raise
            except RetryAfter as limited:
                await asyncio.sleep(seconds(limited))
                continue
            except (NetworkError, Conflict, TelegramError) as problem:
                log.warning(
                    "Telegram: %s (%s); trying again in %.0f s",
                    problem.message,
                    type(problem).__name__,
                    pause,
                )
                await asyncio.sleep(pause)
                pause = min(pause * 2, 30.0)
                continue
            pause = 1.0
            self._last_poll = self._clock.monotonic()
            self.first_poll.set()
            if updates:
                arrivals = [_arrival(update) for update in updates if update.update_id not in self._seen]
                for arrival in arrivals:
                    self._seen.append(arrival.origin.update_id)
                    hand_on(arrival)
                await self._on_disk(arrivals)
                offset = updates[-1].update_id + 1

    async def _on_disk(self, arrivals: list[Arrival]) -> None:
        waiting = [asyncio.ensure_future(arrival.settled.wait()) for arrival in arrivals]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=QUICK_SECONDS)
            for task in late:
                task.cancel()
        for arrival in arrivals:
            while not arrival.settled.is_set():
                try:
                    await self._inbox.store(arrival.origin)
                    break
                except StorageError:
                    log.exception("update %s is not on disk and is not confirmed", arrival.origin.update_id)
                    await asyncio.sleep(1.0)


def _arrival(update: Update) -> Arrival:
    user, query = update.effective_user, update.callback_query
    tapped = query.message.message_id if query and query.message else None
    return Arrival(update, Origin(update.update_id, user.id if user else 0, update.to_json(), tapped))


def seconds(limited: RetryAfter) -> float:
    """How long Telegram asks to wait, whichever way the library tells it."""
    wait = limited.retry_after
    return wait if isinstance(wait, int | float) else wait.total_seconds()
