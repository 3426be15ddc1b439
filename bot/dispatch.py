"""Update to command and back: the one place that turns errors into words, and the one that says that an update is done."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import replace
from datetime import timedelta
from html import escape

from telegram import Bot, Update
from telegram.error import TelegramError

from bot import command, gate, text
from bot.gate import Verdict
from bot.inbox import Arrival
from bot.lanes import Lanes, Tally
from bot.reply import Reply
from bot.services import Desk
from core.errors import BadInput, Denied, GreenlightError, StaleCard, StorageError
from core.model import Outgoing
from core.ports import Inbox, Notifier

log = logging.getLogger(__name__)

TOAST_SECONDS = 0.4  # a press is answered within this time, with or without its toast: it must not look dead
TOAST_LENGTH = 200
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 15.0
Key = tuple[int, command.Lane]  # who asks, and beside what else it is done
STRANGERS: Key = (0, command.Lane.ORDINARY)
NOTHING_IS_STORED = (
    "⚠️ <b>Nothing can be written down here at the moment</b>: another program holds the database, or the disk is full. "
    "Without that nothing is sent to the broker. What you asked is not forgotten: it is answered as soon as it can be."
)
NOT_DONE = "⚠️ The answer to what you asked could not be written down. /orders and /positions show how things stand; please ask again."
UNREADABLE = (
    "⚠️ Telegram sent something of yours that this version of Greenlight cannot read, so nothing was done. "
    "If it was a line or a tap, please repeat it; the log has the details."
)


class Dispatcher:
    """Takes arrivals, asks the gate, runs what is meant, and writes the replies down."""

    def __init__(self, bot: Bot, desk: Desk, inbox: Inbox, notifier: Notifier, lanes: Lanes) -> None:
        self._bot, self._desk, self._inbox, self._notifier, self._lanes = bot, desk, inbox, notifier, lanes
        self._owners = frozenset(desk.settings.telegram_allowed_users)
        self._answers: set[asyncio.Task[None]] = set()
        self._progress: dict[int, str] = {}
        self._refused = Tally()
        self._refusals: list[tuple[Arrival, Verdict]] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._told: set[int] = set()

    def take(self, arrival: Arrival) -> None:
        """Begin the work on an update, in the order in which its sender asked."""
        verdict, lane = self._judge(arrival)
        if verdict is Verdict.ACT or (verdict is Verdict.UNREADABLE and arrival.origin.user in self._owners):
            self._lanes.add(lane, lambda: self._settle(arrival, verdict))
            return
        # Whoever is not let in shares one lane, and a flood only makes a number grow: it never holds up an owner.
        self._sum_up()
        first = self._refused.count((arrival.origin.user, verdict), self._desk.clock.monotonic())
        if not first and not arrival.stored:
            arrival.settled.set()
        elif verdict is Verdict.INTRODUCE:
            self._lanes.add(STRANGERS, lambda: self._settle(arrival, verdict))
        else:
            self._refusals.append((arrival, verdict))
            self._lanes.add(STRANGERS, self._write_refusals)
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(Tally.SECONDS, self._ring)

    def _sum_up(self) -> None:
        counts = self._refused.over(self._desk.clock.monotonic())
        if counts:
            self._lanes.add(STRANGERS, lambda: self._write_tally(counts))

    def _ring(self) -> None:
        """A flood that ended is summed up too."""
        self._alarm = None
        self._sum_up()

    def _judge(self, arrival: Arrival) -> tuple[Verdict, Key]:
        """What to do with it, and in which lane. The library checks nothing, so that a text may be a number."""
        if gate.is_plainly_strange(arrival.told, self._owners):
            return Verdict.STRANGER, STRANGERS
        arrival.read(self._bot)
        user = arrival.origin.user
        try:
            verdict = gate.judge(arrival.update, self._owners)
            if verdict is Verdict.ACT and arrival.update is not None and user in self._owners:
                return verdict, (user, _lane(arrival.update))
            return Verdict.UNREADABLE if verdict is Verdict.ACT else verdict, (user, command.Lane.ORDINARY)
        except Exception:
            log.exception("update %s cannot be judged", arrival.origin.update_id)
            return Verdict.UNREADABLE, (user, command.Lane.ORDINARY)

    async def _settle(self, arrival: Arrival, verdict: Verdict) -> None:
        """Do the work and see to it that it ends on the disk. What cannot be written down holds up its lane, and nothing else."""
        try:
            if verdict is Verdict.ACT and arrival.update is not None:
                await self._act(arrival, arrival.update)
            else:
                await self._refuse(arrival, verdict)
        except Exception:
            # Should this fail too, the update stays unfinished on the disk and is taken up again after the next start.
            log.exception("update %s could not be finished", arrival.origin.update_id)
            await self._finish(arrival, "failed", Reply(NOT_DONE) if verdict is Verdict.ACT else Reply())
        arrival.settled.set()

    async def _refuse(self, arrival: Arrival, verdict: Verdict) -> None:
        reply = Reply()
        if verdict is Verdict.INTRODUCE:
            reply = Reply(f"Your id: {arrival.origin.user}")
        if verdict is Verdict.UNREADABLE and arrival.origin.user in self._owners:
            reply = Reply(UNREADABLE)
        await self._finish(arrival, verdict, reply)
        line = f"update {arrival.origin.update_id}: {verdict}"
        await self._written(lambda: self._desk.ledger.audit("refused", line, arrival.origin.user))

    async def _write_refusals(self) -> None:
        """All that were refused by now, in one commit: a crowd of which each is the first of its kind must not hold up the next poll."""
        refusals, self._refusals = self._refusals, []
        if not refusals:
            return
        updates = [(arrival.origin, verdict) for arrival, verdict in refusals]
        lines = [(origin.user, f"update {origin.update_id}: {verdict}") for origin, verdict in updates]
        await self._written(lambda: self._inbox.refuse(updates, lines))
        for arrival, _ in refusals:
            arrival.settled.set()

    async def _write_tally(self, counts: Mapping[Hashable, int]) -> None:
        """One line for everything of a kind that somebody sent in a minute."""
        lines = []
        for key, count in counts.items():
            user, verdict = key if isinstance(key, tuple) else (None, "many others")
            lines.append((user, f"{verdict}: {count} more within a minute"))
        await self._written(lambda: self._inbox.refuse((), lines))

    async def _act(self, arrival: Arrival, update: Update) -> None:
        caller = self._caller(arrival, update)
        work = self._press(update, caller) if update.callback_query else self._line(update, caller)
        running = asyncio.ensure_future(_worded(work))
        if update.callback_query is not None:
            self._answer(update.callback_query.id, running)
        reply = await running
        shown = self._progress.pop(arrival.origin.update_id, "")
        if shown and reply.text:
            reply = replace(reply, edits=shown)
        if reply.recorded and not reply.text:
            self._notifier.wake()
            return
        await self._finish(arrival, "done", reply)

    async def _finish(self, arrival: Arrival, outcome: str, reply: Reply) -> None:
        """One commit with the reply, tried until it is on the disk. The work itself is never done a second time for it."""
        origin, user = arrival.origin, arrival.origin.user

        async def once() -> None:
            try:
                await self._inbox.finish(
                    origin, outcome, self._replies(user, reply), opens=reply.opens, ends=reply.ends
                )
            except StaleCard as ended:
                await self._inbox.finish(origin, "stale", [self._message(user, Reply(escape(str(ended))))])

        async def plainly() -> None:
            await self._inbox.finish(origin, "failed", [self._message(user, Reply(NOT_DONE))])

        await self._written(once, plainly if reply.text or reply.ends else None, user)
        self._notifier.wake()

    async def _written(
        self,
        write: Callable[[], Awaitable[None]],
        instead: Callable[[], Awaitable[None]] | None = None,
        user: int = 0,
    ) -> None:
        """Write, however often it takes. An owner whose lane waits for it hears of it.

        Where the database takes other things, it is this that cannot be stored at all, and gives way to `instead`.
        """
        pause, doubted = FIRST_PAUSE_SECONDS, False
        while True:
            try:
                await write()
                break
            except StorageError as problem:
                log.warning("what was done is not on disk: %s; trying again in %.1f s", problem, pause)
            works = await self._database_works()
            if works and doubted and instead is not None:
                write, instead = instead, None
            if not works and user in self._owners:
                await self._say_storage_fails(user)
            doubted = works
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        self._told.discard(user)

    async def _database_works(self) -> bool:
        try:
            await self._desk.ledger.audit("storage", "something could not be written down; this could")
        except StorageError:
            return False
        return True

    async def _say_storage_fails(self, user: int) -> None:
        """That rows cannot be written: once in a while of trouble, and of course no row first."""
        if user not in self._told:
            self._told.add(user)
            await self._say_to(user, NOTHING_IS_STORED)

    async def storage_fails(self, fails: bool) -> None:
        """Somebody else than a lane found that nothing can be written down, or that it can again: every owner hears of the former once."""
        if not fails:
            self._told.clear()
            return
        for owner in self._owners:
            await self._say_storage_fails(owner)

    async def say_at_once(self, html: str) -> None:
        """Tell every owner now, as no row of the outbox: for what is said before the end, which must not be said at the next start."""
        for owner in self._owners:
            await self._say_to(owner, html)

    async def _say_to(self, user: int, html: str) -> None:
        try:
            await self._bot.send_message(user, html, parse_mode="HTML")
        except TelegramError as problem:
            log.warning("somebody could not be told at once: %s", problem.message)
        except Exception:  # an answer that makes no sense: this is said beside the work, and must not end it
            log.exception("somebody could not be told at once")

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
        messages += [message for message in reply.also if message.is_edit]
        if reply.text:
            messages.append(self._message(user, reply))
        messages += [message for message in reply.also if not message.is_edit]
        return messages

    def _message(self, user: int, reply: Reply) -> Outgoing:
        return Outgoing(
            chat=user,
            kind="reply",
            created_at=self._desk.clock.now(),
            text=reply.text,
            buttons=reply.buttons,
            subject=reply.edits or (reply.opens.ticket_id if reply.opens else reply.names),
            is_edit=bool(reply.edits),
            urgent=True,  # who asks waits for the answer, and not for a hundred cards that are drawn anew
            renames=reply.opens.ticket_id if reply.edits and reply.opens else "",
        )

    def _caller(self, arrival: Arrival, update: Update) -> command.Caller:
        user = update.effective_user
        message = update.message
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
        asked = command.typed((update.message.text or "") if update.message else "")
        if asked is None:
            return Reply()  # words with no slash do nothing
        meant = command.look_up(asked[0])
        return await meant.run(self._desk, caller, *meant.arguments(asked[1]))

    async def _press(self, update: Update, caller: command.Caller) -> Reply:
        data = (update.callback_query.data or "") if update.callback_query else ""
        name, _, argument = data.partition(":")
        meant = command.BUTTONS.get(name)
        if meant is None:
            raise StaleCard("This button is from an older version and does nothing any more.")
        return await meant.run(self._desk, caller, argument)

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


def _lane(update: Update) -> command.Lane:
    """Beside what else it is done."""
    if update.callback_query is not None:
        return command.lane_of_tap(update.callback_query.data or "")
    return command.lane_of_line((update.message.text or "") if update.message else "")


async def _worded(work: Awaitable[Reply]) -> Reply:
    """Errors as words. What nobody foresaw is logged with its trace and told without."""
    try:
        return await work
    except StaleCard as ended:
        return Reply(toast=str(ended))
    except Denied as denied:
        lines = text.denial_lines(denied.denials)
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
