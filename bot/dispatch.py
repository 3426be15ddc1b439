"""Update to command and back: the one place that turns errors into words, and the one that says that an update is done."""

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from html import escape

from telegram import Bot, Update
from telegram.error import TelegramError

from bot import command, gate, text
from bot.gate import Verdict
from bot.inbox import Arrival
from bot.lanes import Lanes
from bot.reply import Reply
from bot.services import Desk
from core.errors import BadInput, Denied, GreenlightError, StaleCard
from core.model import Outgoing
from core.ports import Inbox, Notifier

log = logging.getLogger(__name__)

TOAST_SECONDS = 0.4  # a press is answered within this time, with or without its toast: it must not look dead
TOAST_LENGTH = 200


class Dispatcher:
    """Takes arrivals, asks the gate, runs what is meant, and writes the replies down."""

    def __init__(self, bot: Bot, desk: Desk, inbox: Inbox, notifier: Notifier, lanes: Lanes) -> None:
        self._bot, self._desk, self._inbox, self._notifier, self._lanes = bot, desk, inbox, notifier, lanes
        self._owners = frozenset(desk.settings.telegram_allowed_users)
        self._answers: set[asyncio.Task[None]] = set()
        self._progress: dict[int, str] = {}

    def take(self, arrival: Arrival) -> None:
        """Begin the work on an update, in the order in which its sender asked."""
        verdict = gate.judge(arrival.update, self._owners)
        # Whoever is not let in shares one lane: a flood of strangers never holds up an owner.
        lane = self._lane(arrival) if verdict is Verdict.ACT else (0, False)
        self._lanes.add(lane, lambda: self._settle(arrival, verdict))

    def _lane(self, arrival: Arrival) -> tuple[int, bool]:
        """(who asks, whether it is slow): what takes long has a lane of its own beside the ordinary one."""
        message = arrival.update.message
        words = (message.text or "").split(maxsplit=1) if message else []
        meant = command.COMMANDS.get(words[0][1:].partition("@")[0].lower()) if words else None
        return arrival.origin.user, meant is not None and meant.slow

    async def _settle(self, arrival: Arrival, verdict: Verdict) -> None:
        try:
            if verdict is Verdict.ACT:
                await self._act(arrival)
            else:
                await self._refuse(arrival, verdict)
            arrival.settled.set()
        except Exception:
            # Not settled: the update stays unfinished on the disk and is taken up again after the next start.
            log.exception("update %s could not be finished", arrival.origin.update_id)

    async def _refuse(self, arrival: Arrival, verdict: Verdict) -> None:
        replies = []
        if verdict is Verdict.INTRODUCE:
            replies = [self._message(arrival.origin.user, Reply(f"Your id: {arrival.origin.user}"))]
        await self._inbox.finish(arrival.origin, verdict, replies)
        await self._desk.ledger.audit(
            "refused", f"update {arrival.origin.update_id}: {verdict}", arrival.origin.user
        )
        if replies:
            self._notifier.wake()

    async def _act(self, arrival: Arrival) -> None:
        caller = self._caller(arrival)
        work = (
            self._press(arrival.update, caller)
            if arrival.update.callback_query
            else self._line(arrival.update, caller)
        )
        running = asyncio.ensure_future(_worded(work))
        if arrival.update.callback_query is not None:
            self._answer(arrival.update.callback_query.id, running)
        reply = await running
        shown = self._progress.pop(arrival.origin.update_id, "")
        if shown and reply.text:
            reply = replace(reply, edits=shown)
        if reply.recorded and not reply.text:
            self._notifier.wake()
            return
        try:
            await self._inbox.finish(
                arrival.origin, "done", self._replies(caller.user, reply), opens=reply.opens, ends=reply.ends
            )
        except StaleCard as ended:
            await self._inbox.finish(
                arrival.origin, "stale", [self._message(caller.user, Reply(escape(str(ended))))]
            )
        self._notifier.wake()

    def _replies(self, user: int, reply: Reply) -> list[Outgoing]:
        messages = []
        if reply.ends is not None:
            now, data = (
                self._desk.clock.now(),
                {"state": reply.ends.state, "proposal": reply.ends.decision_id is not None},
            )
            messages.append(
                Outgoing(user, "card", now, data=data, subject=reply.ends.ticket_id, is_edit=True)
            )
        if reply.text:
            messages.append(self._message(user, reply))
        return messages

    def _message(self, user: int, reply: Reply) -> Outgoing:
        return Outgoing(
            chat=user,
            kind="reply",
            created_at=self._desk.clock.now(),
            text=reply.text,
            buttons=reply.buttons,
            subject=reply.edits or (reply.opens.ticket_id if reply.opens else ""),
            is_edit=bool(reply.edits),
            renames=reply.opens.ticket_id if reply.edits and reply.opens else "",
        )

    def _caller(self, arrival: Arrival) -> command.Caller:
        user = arrival.update.effective_user
        message = arrival.update.message
        age = self._desk.clock.now() - message.date if message else timedelta()

        async def progress(html: str, card: str = "") -> str:
            name = card or f"progress-{arrival.origin.update_id}"
            now = self._desk.clock.now()
            await self._desk.ledger.post(
                [Outgoing(arrival.origin.user, "reply", now, text=html, subject=name, is_edit=bool(card))]
            )
            self._notifier.wake()
            self._progress[arrival.origin.update_id] = name
            return name

        return command.Caller(
            arrival.origin.user, user.first_name if user else "", arrival.origin, age, progress
        )

    async def _line(self, update: Update, caller: command.Caller) -> Reply:
        words = (update.message.text or "").strip() if update.message else ""
        if not words.startswith("/"):
            return Reply()  # words with no slash do nothing
        name, _, rest = words[1:].partition(" ")
        if "\n" in name:
            name, _, more = name.partition("\n")
            rest = f"{more} {rest}"
        meant = command.look_up(name.partition("@")[0].lower())
        return await meant.run(self._desk, caller, *meant.arguments(rest))

    async def _press(self, update: Update, caller: command.Caller) -> Reply:
        data = (update.callback_query.data or "") if update.callback_query else ""
        name, _, argument = data.partition(":")
        run = command.BUTTONS.get(name)
        if run is None:
            raise StaleCard("This button is from an older version and does nothing any more.")
        return await run(self._desk, caller, argument)

    def _answer(self, press: str, running: "asyncio.Future[Reply]") -> None:
        task = asyncio.ensure_future(self._answer_press(press, running))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _answer_press(self, press: str, running: "asyncio.Future[Reply]") -> None:
        done, _ = await asyncio.wait({running}, timeout=TOAST_SECONDS)
        toast = running.result().toast if done and not running.cancelled() and not running.exception() else ""
        try:
            await self._bot.answer_callback_query(
                press, toast[:TOAST_LENGTH] or None, show_alert=len(toast) > 60
            )
        except TelegramError as problem:
            log.info(
                "a press was not answered: %s", problem.message
            )  # it expires by itself; the effect is in the chat


async def _worded(work: Awaitable[Reply]) -> Reply:
    """Errors as words. What nobody foresaw is logged with its trace and told without."""
    try:
        return await work
    except StaleCard as ended:
        return Reply(toast=str(ended))
    except Denied as denied:
        lines = [text.denial_line(denial) for denial in denied.denials]
        return Reply("\n".join(["<b>Not sent.</b>", *lines]), toast="Not sent: see below.")
    except BadInput as wrong:
        return Reply(f"🤔 {escape(str(wrong))}")
    except GreenlightError as problem:
        return Reply(f"⚠️ {escape(str(problem))}", toast=str(problem))
    except Exception:
        log.exception("a command failed")
        return Reply(
            "⚠️ Something went wrong here that was not foreseen. /orders shows what is at the broker; the log has the details.",
            toast="Failed.",
        )
