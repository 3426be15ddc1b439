"""The way in: updates are fetched in order, and none is confirmed to Telegram before it is done or on the disk.

python-telegram-bot's own Updater confirms an update by asking for the next while its handler still runs: a crash would lose a tap.
Here the next offset is asked for only when every update before it is stored: with the commit of its effects where that is quick, by
itself where the work takes longer.

Updates are taken as the JSON that came and read one by one, where anybody wants to: one that the library cannot read is written down,
confirmed and passed over, and holds up nobody.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from telegram import Bot, Update
from telegram.error import Conflict, InvalidToken, RetryAfter, TelegramError

from core.errors import SecondInstance, StorageError
from core.model import Origin
from core.ports import Clock, Inbox

log = logging.getLogger(__name__)

ALLOWED = ("message", "edited_message", "callback_query")
POLL_SECONDS = 25
ANSWER_SECONDS = 10  # beyond the time that a poll waits for news
QUICK_SECONDS = (
    0.25  # work that takes longer has its update stored by itself, so that the next ones are not kept waiting
)
STORE_SECONDS = 1.0
REMEMBERED = 2000
LARGEST_ID = (
    2**31 - 1
)  # Telegram's are 32-bit numbers; to ask for what is behind a larger one would be to hear nothing any more
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
QUIET_SECONDS = 90.0  # without a conflict, and the next one begins a new dispute
CONFLICT_SECONDS = 60.0  # a poll of our own that a restart left behind is over sooner
ANOTHER_POLLS = (
    "Another program takes the messages of this Telegram bot (a second Greenlight, or something else with the same token). Two of them "
    "could act on one tap, so this one stops. End the other one, or give this one a bot of its own (@BotFather, /newbot)."
)
WEBHOOK_IS_SET = (
    "Telegram brings the messages of this bot to a web address (a webhook), so Greenlight cannot fetch them, and stops. "
    "`greenlight setup` offers to remove it; so does any program that calls deleteWebhook with this token."
)


@dataclass(slots=True)
class Arrival:
    """An update on its way through the house: as it came, and once it was read, None where it cannot be. `settled` once it is on disk as done.

    `stored` says that it lies on the disk from an earlier run, and has to be finished there.
    """

    told: Any
    origin: Origin
    stored: bool = False
    update: Update | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def read(self, bot: Bot) -> None:
        """Understand it; whatever is wrong with one that cannot be read, it does no more harm than that."""
        try:
            update = Update.de_json(self.told, bot)
            user, query = update.effective_user, update.callback_query
            tapped = _whole(query.message.message_id) if query and query.message else None
            self.origin = replace(self.origin, user=_whole(user.id) if user else 0, message_id=tapped)
            self.update = update
        except Exception:
            log.exception("update %s cannot be read", self.origin.update_id)


class Poller:
    """Fetches updates for ever and hands each on once."""

    def __init__(self, bot: Bot, inbox: Inbox, clock: Clock) -> None:
        self._bot, self._inbox, self._clock = bot, inbox, clock
        self._seen: dict[int, None] = {}  # in order, the latest REMEMBERED of them
        self._last_poll: float | None = None
        self._conflicts: list[float] = []
        self.first_poll = asyncio.Event()

    def last_poll_seconds(self) -> float | None:
        """How long ago Telegram last answered a poll; None before the first."""
        return None if self._last_poll is None else self._clock.monotonic() - self._last_poll

    async def run(self, hand_on: Callable[[Arrival], None]) -> None:
        """Take up what an earlier run left unfinished, then poll; `hand_on` begins the work on an update.

        Raises InvalidToken, which no waiting mends, and SecondInstance where somebody else has the messages for a minute.
        """
        await self._take_up(hand_on)
        behind: int | None = None
        unsafe: dict[int, Arrival] = {}
        while True:
            # What is not on disk is not confirmed. It comes again with what is new, which is heard although nothing can be written.
            updates = await self._poll(min(unsafe) if unsafe else behind)
            arrivals = {n: _arrival(n, raw) for n, raw in updates.items() if n not in self._seen}
            for number, arrival in arrivals.items():
                self._seen[number] = None
                hand_on(arrival)
            for old in list(self._seen)[:-REMEMBERED]:
                del self._seen[old]
            if updates:
                behind = max(updates) + 1
            unsafe = await self._on_disk(unsafe | arrivals)
            if unsafe:
                await asyncio.sleep(FIRST_PAUSE_SECONDS)

    async def _poll(self, offset: int | None) -> dict[int, str]:
        """What Telegram answers, however long it takes until it does."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                updates = await self._fetch(offset)
                self._last_poll = self._clock.monotonic()
                self.first_poll.set()
                return updates
            except InvalidToken:
                raise
            except RetryAfter as limited:
                await asyncio.sleep(seconds(limited))
                continue
            except Conflict as problem:
                if self._is_disputed():
                    said = WEBHOOK_IS_SET if "webhook" in problem.message else ANOTHER_POLLS
                    raise SecondInstance(said) from None
                log.warning("Telegram: %s; trying again in %.0f s", problem.message, pause)
            except TelegramError as problem:
                log.warning(
                    "Telegram: %s (%s); trying again in %.0f s",
                    problem.message,
                    type(problem).__name__,
                    pause,
                )
            except Exception:
                log.exception("Telegram's answer makes no sense; trying again in %.0f s", pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _is_disputed(self) -> bool:
        """Whether somebody else has polled for a minute, however often we got through in between: two pollers take turns."""
        now = self._clock.monotonic()
        if not self._conflicts or now - self._conflicts[-1] > QUIET_SECONDS:
            self._conflicts.clear()
        self._conflicts.append(now)
        return len(self._conflicts) >= 3 and now - self._conflicts[0] >= CONFLICT_SECONDS

    async def _take_up(self, hand_on: Callable[[Arrival], None]) -> None:
        while True:
            try:
                recent, unfinished = await self._inbox.recent(REMEMBERED), await self._inbox.unfinished()
                break
            except StorageError as problem:
                log.warning("what an earlier run left cannot be read yet: %s", problem)
                await asyncio.sleep(FIRST_PAUSE_SECONDS)
        self._seen.update(dict.fromkeys(recent))
        for origin in unfinished:
            hand_on(replace(_arrival(origin.update_id, origin.raw), stored=True))

    async def _fetch(self, offset: int | None) -> dict[int, str]:
        # The first poll answers at once, so that "ready" means that Telegram has really been reached.
        return await fetch(self._bot, offset, POLL_SECONDS if self.first_poll.is_set() else 0)

    async def _on_disk(self, arrivals: dict[int, Arrival]) -> dict[int, Arrival]:
        """Wait until quick work has settled them, store those that take longer, and return what could not be stored."""
        open_ones = {n: arrival for n, arrival in arrivals.items() if not arrival.settled.is_set()}
        waiting = [asyncio.ensure_future(arrival.settled.wait()) for arrival in open_ones.values()]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=QUICK_SECONDS)
            for task in late:
                task.cancel()
        while open_ones:
            number, arrival = next(iter(open_ones.items()))
            if not arrival.settled.is_set() and not await self._is_stored(arrival.origin):
                break
            del open_ones[number]
        return open_ones

    async def _is_stored(self, origin: Origin) -> bool:
        """Whether it is on the disk within a second: a disk that hangs must not keep a /halt from being heard."""
        storing = asyncio.ensure_future(self._inbox.store(origin))
        await asyncio.wait({storing}, timeout=STORE_SECONDS)
        why: object = "the disk hangs"
        if storing.done():
            why = storing.exception()
        else:
            storing.add_done_callback(lambda done: done.cancelled() or done.exception())
        if why is not None:
            log.error("update %s is not on disk and is not confirmed: %s", origin.update_id, why)
        return why is None


async def fetch(bot: Bot, offset: int | None, wait: int) -> dict[int, str]:
    """The raw updates by their ids, in order, after up to `wait` seconds without any."""
    # `get_updates` parses all or nothing, and `do_api_request` warns of a method that has a function: this is what both are made of.
    told = await bot._post(
        "getUpdates",
        {"offset": offset, "timeout": wait, "allowed_updates": ALLOWED},
        read_timeout=wait + ANSWER_SECONDS,
    )
    if not isinstance(told, list):
        raise TelegramError("an answer that is no list of updates")
    updates = {
        raw["update_id"]: json.dumps(raw)
        for raw in told
        if isinstance(raw, dict) and type(raw.get("update_id")) is int and 0 < raw["update_id"] <= LARGEST_ID
    }
    if told and not updates:
        raise TelegramError("updates without ids")
    return updates


def _arrival(update_id: int, raw: str) -> Arrival:
    """An update that nobody has read yet."""
    try:
        told = json.loads(raw)
    except (ValueError, RecursionError):
        log.exception("update %s is no JSON", update_id)
        told = None
    return Arrival(told, Origin(update_id, _sender(told), raw))


def _sender(told: Any) -> int:
    """Who sent an update, as far as its JSON tells before it is read; else 0."""
    try:
        kind = next(part for part in told.values() if isinstance(part, dict))
        return _whole(kind["from"]["id"])
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return 0


def _whole(value: object) -> int:
    """A number that the disk takes. Raises ValueError for anything else: the library checks nothing, and an id may be text, or a googol."""
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError("an id that is none")
    return value


def seconds(limited: RetryAfter) -> float:
    """How long Telegram asks to wait, whichever way the library tells it."""
    wait = limited.retry_after
    return wait if isinstance(wait, int | float) else wait.total_seconds()
