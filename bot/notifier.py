"""The way out: every message is a row first, then sent in order for each chat, urgent ones first, each once.

A flood limit is waited for, never argued with; markup that Telegram refuses goes out as plain text; of several edits of one card only
the latest is sent; and after an outage many missed messages become one, while the cards get their latest edits.
A picture is drawn when it is sent; one that cannot be drawn, or that Telegram does not take, leaves its words, and the log says why.

What is for ever and what passes: Telegram's no to one message (Forbidden, BadRequest) ends that message, with the reason; everything
else (network, 5xx, flood limits, a database that takes nothing) is waited for. A message that was delivered is never sent again because
the note of it failed: the note is tried until it is on disk. Only an answer that was lost on the way can bring one twice: an edit is then
simply repeated, and news carry their order's number.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from html import unescape

from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, Message
from telegram.error import BadRequest, ChatMigrated, Forbidden, RetryAfter, TelegramError

from bot import notices, pictures
from bot.inbox import seconds
from bot.services import Desk
from bot.text import LIMIT, pages
from core.errors import StorageError
from core.model import Buttons, Outgoing
from core.ports import Clock, Outbox

log = logging.getLogger(__name__)

DIGEST_FROM = 8
DIGEST_MOST = 100  # in one message of many pages: tens of thousands at once would hold up everything else
DIGEST_AGE = timedelta(seconds=60)
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
CAPTION_LIMIT = 1024
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
REFUSALS = (Forbidden, BadRequest, ChatMigrated)


@dataclass(slots=True)
class _Parcel:
    """What goes out at once: one message, or a digest of many; `parts` are the pages that are not sent yet.

    A `picture` (a PNG) has the words below it, or goes before them where they are too many for that.
    """

    messages: list[Outgoing]
    text: str
    buttons: Buttons
    parts: list[str]
    picture: bytes | None = None


class OutboxSender:
    """The Notifier port: woken by whoever wrote a row."""

    def __init__(self, bot: Bot, outbox: Outbox, clock: Clock) -> None:
        self._bot, self._outbox, self._clock = bot, outbox, clock
        self._awake = asyncio.Event()
        self._awake.set()  # rows of an earlier run may wait
        self._queues: dict[int, list[Outgoing]] = {}
        self._workers: dict[int, asyncio.Task[None]] = {}
        self._begun: dict[int, _Parcel] = {}
        self._seen = 0

    def wake(self) -> None:
        self._awake.set()

    async def run(self, desk: Desk) -> None:
        """Send what is written, for ever; the words of a notice are found with the whole desk."""
        pause = FIRST_PAUSE_SECONDS
        try:
            while True:
                await self._awake.wait()
                self._awake.clear()
                try:
                    for message in await self._outbox.waiting(after=self._seen):
                        self._seen = message.id
                        self._queues.setdefault(message.chat, []).append(message)
                    pause = FIRST_PAUSE_SECONDS
                except StorageError as problem:
                    log.warning("the outbox cannot be read: %s; trying again in %.0f s", problem, pause)
                    pause = await self._look_again(pause)
                except Exception:
                    log.exception("the outbox cannot be read; trying again in %.0f s", pause)
                    pause = await self._look_again(pause)
                for chat in self._queues.keys() - self._workers.keys():
                    self._workers[chat] = asyncio.create_task(self._work(desk, chat))
        finally:
            workers = list(self._workers.values())
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _look_again(self, pause: float) -> float:
        self._awake.set()
        return await _rest(pause)

    async def _work(self, desk: Desk, chat: int) -> None:
        queue, pause = self._queues[chat], FIRST_PAUSE_SECONDS
        try:
            while queue:
                try:
                    await self._step(desk, chat, queue)
                    pause = FIRST_PAUSE_SECONDS
                except RetryAfter as limited:
                    await asyncio.sleep(seconds(limited))
                except TelegramError as problem:
                    log.warning("a message waits: %s; trying again in %.0f s", problem.message, pause)
                    pause = await _rest(pause)
                except StorageError as problem:
                    log.warning("a message waits: %s; trying again in %.0f s", problem, pause)
                    pause = await _rest(pause)
                except Exception:
                    log.exception("a message waits; trying again in %.0f s", pause)
                    pause = await _rest(pause)
        finally:
            self._workers.pop(chat, None)
            if not queue:
                self._queues.pop(chat, None)

    async def _step(self, desk: Desk, chat: int, queue: list[Outgoing]) -> None:
        """Bring one parcel to its end, and write down which. Raises what passes: the network, a flood limit, the database."""
        parcel = self._begun.get(chat) or await self._pack(desk, queue)
        if isinstance(parcel, Outgoing):
            overtaken = partial(self._outbox.failed, parcel, "a newer edit took its place")
            await self._end(queue, [parcel], overtaken)
            return
        try:
            telegram_id = await self._carry(parcel)
        except REFUSALS as refused:
            log.warning("message %s is refused: %s", parcel.messages[0].id, refused.message)
            self._begun.pop(chat, None)
            for message in parcel.messages:
                await self._end(queue, [message], partial(self._outbox.failed, message, refused.message))
            return
        self._begun.pop(chat, None)
        await self._end(queue, parcel.messages, partial(self._outbox.sent, parcel.messages, telegram_id))

    async def _end(
        self, queue: list[Outgoing], messages: list[Outgoing], note: Callable[[], Awaitable[None]]
    ) -> None:
        """These are over. They leave the queue before the note is on disk, so that no failure of the note can send them again."""
        gone = {message.id for message in messages}
        queue[:] = [message for message in queue if message.id not in gone]
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await note()
                return
            except StorageError as problem:
                log.warning("the end of a message is not on disk: %s; trying again in %.0f s", problem, pause)
                pause = await _rest(pause)
            except Exception:
                log.exception("what became of message %s cannot be written down", messages[0].id)
                return

    async def _pack(self, desk: Desk, queue: list[Outgoing]) -> _Parcel | Outgoing:
        """What is sent next; an edit that a newer one has overtaken comes back as it is."""
        together = self._digest(queue)
        if together:
            worded = [(await _words(desk, m))[0] for m in together]
            text = "<b>Telegram was out of reach. Meanwhile:</b>\n\n" + "\n\n".join(filter(None, worded))
            return _Parcel(together, text, (), pages(text))
        message = _next(queue)
        others = [m for m in queue if m is not message]
        if others and not await _is_ripe(desk, message):
            message = _next(others)
        if message.is_edit and message is not queue[0]:
            # What it changes may wait here under the name that it had before: progress that has become a card.
            names = {row.id: row.subject for row in await self._outbox.waiting()}
            queue[:] = [replace(m, subject=names.get(m.id, m.subject)) for m in queue]
            message = _next(queue)
        if message.is_edit and any(
            m.is_edit and m.subject == message.subject and m.id > message.id for m in queue
        ):
            return message
        text, buttons = await _words(desk, message)
        return _Parcel([message], text, buttons, pages(text), await _drawn(message))

    def _digest(self, queue: list[Outgoing]) -> list[Outgoing]:
        """The messages that have waited long, where they are many. Cards, their edits and pictures stay: they are sent one by one."""
        now = self._clock.now()
        old = [
            m
            for m in queue
            if now - m.created_at > DIGEST_AGE and not (m.buttons or m.subject or m.is_edit or m.picture)
        ]
        return old[:DIGEST_MOST] if len(old) >= DIGEST_FROM else []

    async def _carry(self, parcel: _Parcel) -> int | None:
        """Show a parcel; returns the chat's id of it, None where nothing has to be shown."""
        message = parcel.messages[0]
        if parcel.picture is not None:
            if len(without_markup(parcel.text)) <= CAPTION_LIMIT:
                return await self._send_picture(message.chat, parcel.picture, parcel.text, parcel.buttons)
            await self._send_picture(message.chat, parcel.picture, "", ())
            parcel.picture = None
            self._begun[message.chat] = parcel
        if not parcel.parts:
            return None
        if message.is_edit and message.chat not in self._begun:
            shown, renamed = await self._shown_as(message)
            if shown is not None and await self._edit(message.chat, shown, parcel.text, parcel.buttons):
                return shown
            if shown is None and renamed:
                return None
        while len(parcel.parts) > 1:
            await self._send_part(message.chat, parcel.parts[0], ())
            del parcel.parts[0]
            self._begun[message.chat] = parcel
        return await self._send_part(message.chat, parcel.parts[0], parcel.buttons)

    async def _shown_as(self, message: Outgoing) -> tuple[int | None, bool]:
        """The chat's id of what an edit changes, and whether that was renamed while the edit waited: progress that became a card."""
        shown = await self._outbox.shown_as(message.chat, message.subject)
        if shown is not None:
            return shown, False
        rows = await self._outbox.waiting(after=message.id - 1)
        subject = next((m.subject for m in rows if m.id == message.id), message.subject)
        if subject == message.subject:
            return None, False
        return await self._outbox.shown_as(message.chat, subject), True

    async def _edit(self, chat: int, shown: int, text: str, buttons: Buttons) -> bool:
        """Change a message in place; False where it is gone and has to be sent anew."""
        try:
            await self._bot.edit_message_text(
                text,
                chat,
                shown,
                parse_mode="HTML",
                reply_markup=keyboard(buttons),
                link_preview_options=NO_PREVIEW,
            )
        except BadRequest as refused:
            if "not modified" in refused.message:
                return True
            if "parse entities" in refused.message:
                return await self._edit_bare(chat, shown, text, buttons)
            return False
        return True

    async def _edit_bare(self, chat: int, shown: int, text: str, buttons: Buttons) -> bool:
        try:
            await self._bot.edit_message_text(
                without_markup(text), chat, shown, reply_markup=keyboard(buttons)
            )
        except BadRequest as refused:
            return "not modified" in refused.message
        return True

    async def _send_part(self, chat: int, text: str, buttons: Buttons) -> int:
        try:
            sent = await self._bot.send_message(
                chat, text, parse_mode="HTML", reply_markup=keyboard(buttons), link_preview_options=NO_PREVIEW
            )
        except BadRequest as refused:
            if "parse entities" not in refused.message and "too long" not in refused.message:
                raise
            # Better the bare words than silence about a fill.
            sent = await self._bot.send_message(
                chat, without_markup(text)[:LIMIT], reply_markup=keyboard(buttons)
            )
        return _number(sent)

    async def _send_picture(self, chat: int, picture: bytes, text: str, buttons: Buttons) -> int | None:
        """A picture with its words below it; the words alone where Telegram does not take it."""
        try:
            sent = await self._bot.send_photo(
                chat, picture, caption=text or None, parse_mode="HTML", reply_markup=keyboard(buttons)
            )
        except BadRequest as refused:
            log.warning("a picture is refused: %s", refused.message)
            return await self._send_part(chat, text, buttons) if text else None
        return _number(sent)


def _number(sent: Message) -> int:
    """The chat's id of what was sent."""
    number = sent.message_id
    if type(number) is not int or not 0 < number < 2**31:
        # The library checks nothing. Without its number a card could not be kept up to date: better said twice than lost.
        raise TelegramError("an answer that names no message")
    return number


async def _drawn(message: Outgoing) -> bytes | None:
    """The picture of a message that has one; None, and a line in the log, where it cannot be drawn."""
    if not message.picture or message.is_edit:
        return None
    try:
        return await asyncio.to_thread(pictures.draw, message.picture, message.data)
    except Exception:
        log.exception("the picture of message %s (%s) cannot be drawn", message.id, message.picture)
        return None


async def _words(desk: Desk, message: Outgoing) -> notices.Worded:
    """The words of a message. One that has none is told without them, so that it neither stops those behind it nor is lost."""
    try:
        return await notices.word(desk, message)
    except StorageError:
        raise
    except Exception:
        log.exception("message %s (%s) has no words", message.id, message.kind)
        if message.is_edit:
            return "", ()
        return (
            f"⚠️ There is news that could not be put into words ({message.kind}). /orders and /trades show how things stand.",
            (),
        )


async def _is_ripe(desk: Desk, message: Outgoing) -> bool:
    """Whether the words of a message need not wait; also where nobody can tell."""
    try:
        return await notices.is_ripe(desk, message)
    except StorageError:
        raise
    except Exception:
        log.exception("message %s (%s) waits for nothing", message.id, message.kind)
        return True


def _next(queue: list[Outgoing]) -> Outgoing:
    """The first urgent message that does not overtake its own card, else the first."""
    for place, message in enumerate(queue):
        if message.urgent and not any(m.subject == message.subject and m.subject for m in queue[:place]):
            return message
    return queue[0]


async def _rest(pause: float) -> float:
    """Wait; returns how long to wait the next time."""
    await asyncio.sleep(pause)
    return min(pause * 2, LONGEST_PAUSE_SECONDS)


def keyboard(buttons: Buttons) -> InlineKeyboardMarkup | None:
    """Telegram's own value for rows of (label, action)."""
    if not buttons:
        return None
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(label, callback_data=action) for label, action in row] for row in buttons]
    )


def without_markup(html: str) -> str:
    """The words of our own HTML."""
    return unescape(re.sub(r"</?[a-z][^>]*>", "", html))
