"""The way out: every message is a row first, then sent in order for each chat, urgent ones first, each once.

A flood limit is waited for, never argued with; markup that Telegram refuses goes out as plain text; of several edits of one card only
the latest is sent; and after an outage many missed messages become one.
"""

import asyncio
import logging
import re
from collections import defaultdict
from datetime import timedelta
from html import unescape

from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions
from telegram.error import BadRequest, Forbidden, RetryAfter, TelegramError

from bot import notices
from bot.inbox import seconds
from bot.services import Desk
from bot.text import LIMIT, pages
from core.model import Buttons, Outgoing
from core.ports import Clock, Outbox

log = logging.getLogger(__name__)

DIGEST_FROM = 8
DIGEST_AGE = timedelta(seconds=60)
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


class OutboxSender:
    """The Notifier port: woken by whoever wrote a row."""

    def __init__(self, bot: Bot, outbox: Outbox, clock: Clock) -> None:
        self._bot, self._outbox, self._clock = bot, outbox, clock
        self._awake = asyncio.Event()
        self._awake.set()  # rows of an earlier run may wait
        self._queues: dict[int, list[Outgoing]] = defaultdict(list)
        self._workers: dict[int, asyncio.Task[None]] = {}
        self._seen = 0
        self.desk: Desk | None = (
            None  # set by the composition root: the words of a notice need the whole desk
        )

    def wake(self) -> None:
        self._awake.set()

    async def run(self, desk: Desk) -> None:
        """Send what is written, for ever; the words of a notice are found with the whole desk."""
        try:
            while True:
                await self._awake.wait()
                self._awake.clear()
                for message in await self._outbox.waiting(after=self._seen):
                    self._seen = message.id
                    self._queues[message.chat].append(message)
                for chat in [
                    chat for chat, queue in self._queues.items() if queue and chat not in self._workers
                ]:
                    self._workers[chat] = asyncio.create_task(self._work(desk, chat))
        finally:
            for worker in self._workers.values():
                worker.cancel()
            await asyncio.gather(*self._workers.values(), return_exceptions=True)

    async def _work(self, desk: Desk, chat: int) -> None:
        queue, pause = self._queues[chat], 1.0
        while queue:
            digest = self._digest(queue)
            message = digest or _next(queue)
            try:
                await self._deliver(desk, message, queue if digest else [message])
                pause = 1.0
            except RetryAfter as limited:
                await asyncio.sleep(seconds(limited))
            except Forbidden as refused:
                await self._give_up(queue, message, refused.message)
            except TelegramError as problem:
                log.warning("a message waits: %s; trying again in %.0f s", problem.message, pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 30.0)
            except Exception:
                # A message that cannot be worded must not stop those behind it.
                log.exception("message %s cannot be sent", message.id)
                await self._give_up(queue, message, "could not be worded")
        del self._workers[chat]

    def _digest(self, queue: list[Outgoing]) -> Outgoing | None:
        """One message in place of many that have waited long; None where they are few or fresh."""
        old = [m for m in queue if self._clock.now() - m.created_at > DIGEST_AGE and not m.buttons]
        return old[0] if len(old) >= DIGEST_FROM and len(old) == len(queue) else None

    async def _give_up(self, queue: list[Outgoing], message: Outgoing, why: str) -> None:
        queue.remove(message)
        await self._outbox.failed(message, why)

    async def _deliver(self, desk: Desk, message: Outgoing, together: list[Outgoing]) -> None:
        queue = self._queues[message.chat]
        newer = any(m.is_edit and m.subject == message.subject and m.id > message.id for m in queue)
        if message.is_edit and newer and together == [message]:
            await self._give_up(queue, message, "a newer edit took its place")
            return
        if len(together) > 1:
            # Edits in the middle of an outage are worded by the newest state anyway; each card is said once.
            latest = {(m.subject or m.id): m for m in together}
            worded = [(await notices.word(desk, m))[0] for m in latest.values()]
            text = "<b>Telegram was out of reach. Meanwhile:</b>\n\n" + "\n\n".join(filter(None, worded))
            telegram_id: int | None = await self._send(message.chat, text, ())
        else:
            text, buttons = await notices.word(desk, message)
            telegram_id = await self._show(message, text, buttons) if text else None
        done = list(together)
        await self._outbox.sent(done, telegram_id)
        for sent in done:
            queue.remove(sent)

    async def _show(self, message: Outgoing, text: str, buttons: Buttons) -> int:
        if message.is_edit:
            shown = await self._outbox.shown_as(message.chat, message.subject)
            if shown is not None and await self._edit(message.chat, shown, text, buttons):
                return shown
        return await self._send(message.chat, text, buttons)

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
                await self._bot.edit_message_text(
                    without_markup(text), chat, shown, reply_markup=keyboard(buttons)
                )
                return True
            return False
        return True

    async def _send(self, chat: int, text: str, buttons: Buttons) -> int:
        parts = pages(text)
        for part in parts[:-1]:
            await self._send_part(chat, part, ())
        return await self._send_part(chat, parts[-1], buttons)

    async def _send_part(self, chat: int, text: str, buttons: Buttons) -> int:
        try:
            sent = await self._bot.send_message(
                chat, text, parse_mode="HTML", reply_markup=keyboard(buttons), link_preview_options=NO_PREVIEW
            )
        except BadRequest as refused:
            if "parse entities" not in refused.message and "too long" not in refused.message:
                raise Forbidden(refused.message) from refused
            # Better the bare words than silence about a fill.
            sent = await self._bot.send_message(
                chat, without_markup(text)[:LIMIT], reply_markup=keyboard(buttons)
            )
        return sent.message_id


def _next(queue: list[Outgoing]) -> Outgoing:
    """The first urgent message that does not overtake its own card, else the first."""
    for place, message in enumerate(queue):
        if message.urgent and not any(m.subject == message.subject and m.subject for m in queue[:place]):
            return message
    return queue[0]


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
