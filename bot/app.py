"""The composition root: builds everything, starts disk -> broker -> chat, and stops in reverse. Only here are the parts named.

Only what no waiting mends ends the process: a bot token that Telegram does not know, another program that takes the bot's messages, a
database that cannot be used at the start, and an error of the program before a part's loop begins. Everything else (network, broker, a locked or full disk, an update nobody can read, an
unforeseen exception in one round of a loop) is logged, waited for and tried again by the part that met it.
"""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator
from dataclasses import fields
from datetime import datetime
from html import escape
from pathlib import Path

from telegram import Bot, BotCommand
from telegram.error import TelegramError

import bot.commands as _commands  # registers them
from bot import console, health, proposals, safety
from bot.clock import SystemClock
from bot.command import COMMANDS
from bot.commands.system import WANTED
from bot.dispatch import Dispatcher
from bot.inbox import Poller
from bot.lanes import Lanes
from bot.notifier import OutboxSender
from bot.nudging import Nudging
from bot.schedule import Backups, Schedule
from bot.services import Desk
from bot.settings import Settings
from bot.transport import AiohttpRequest
from core.analyst import AnthropicAnalyst
from core.bookkeeper import Bookkeeper
from core.broker import IBBroker
from core.cards import Cards, Timing
from core.errors import SecondInstance, StorageError
from core.executor import Executor
from core.guard import Guard
from core.orderbook import OrderBook
from core.outlived import Outlived
from core.panic import Halt, Panic
from core.planner import Planner
from core.ports import Clock
from core.proposer import Proposer
from core.recovery import Recovery
from core.repricer import Repricer
from core.risk import Limits
from core.trading import TradingSwitch
from storage import backup
from storage.database import Database
from storage.files import backups_of
from storage.ledger import SqliteLedger

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 4.0
BROKER_FIRST_SECONDS = 2.0
DISK_LOOK_SECONDS = 2.0
assert _commands


@contextlib.asynccontextmanager
async def running(
    settings: Settings, clock: Clock | None = None
) -> AsyncIterator[tuple[Desk, asyncio.Task[None]]]:
    """The whole bot for as long as the block lasts; the task ends only if a part fails for good, with its error.

    Raises StorageError where the database cannot be used.
    """
    clock = clock or SystemClock()
    started_at = clock.now()
    folder = settings.backup_dir or backups_of(settings.database_path)
    database = await Database.open(settings.database_path, folder, clock.now)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        ledger = SqliteLedger(database, clock, settings.telegram_allowed_users)
        broker = IBBroker(
            host=settings.ibkr_host,
            port=settings.ibkr_port,
            client_id=settings.ibkr_client_id,
            account=settings.ibkr_account_id,
            wanted=await ledger.recall(WANTED) != "no",
            clock=clock,
        )
        chat = Bot(
            settings.telegram_bot_token.get_secret_value(),
            base_url=f"{settings.telegram_api_url}/bot",
            base_file_url=f"{settings.telegram_api_url}/file/bot",
            request=AiohttpRequest(),
            get_updates_request=AiohttpRequest(),
        )
        for request in chat._request:
            stack.push_async_callback(request.shutdown)
        notifier = OutboxSender(chat, ledger, clock)
        limits = Limits(**{field.name: getattr(settings, field.name) for field in fields(Limits)})
        book = OrderBook(ledger, notifier, clock)
        trading = TradingSwitch(ledger, notifier, clock)
        cards = Cards(broker, ledger, clock, book, trading, limits, Timing())
        keeper = Bookkeeper(broker, ledger, notifier, clock, book)
        executor = Executor(broker, ledger, notifier, clock, book, cards, keeper.compare)

        async def halt_aloud(done: Halt) -> None:
            await dispatcher.say_at_once(safety.halted_aloud(done, broker.link))

        planner = Planner(broker, clock, cards)
        panic = Panic(broker, ledger, notifier, clock, book, executor, trading, limits, halt_aloud, planner)
        keeper.after_compare.append(panic.compared)
        keeper.when_unwritten.append(panic.unwritten)
        keeper.after_compare.append(executor.closer.resume)
        guard = Guard(
            broker,
            ledger,
            notifier,
            clock,
            book,
            doubt=keeper.compare,
            child=executor.child,
            write=executor.write,
            take_back=executor.take_back,
        )
        keeper.after_compare.append(guard.look_again)
        recovery = Recovery(broker, ledger, notifier, clock, book, settings.telegram_allowed_users)
        await recovery.load()
        keeper.claim = recovery.claim
        keeper.after_compare.append(recovery.tell)
        key = settings.anthropic_api_key
        analyst = AnthropicAnalyst(
            api_key=key.get_secret_value() if key else None,
            base_url=settings.anthropic_base_url,
            model=settings.anthropic_model,
            clock=clock,
            records=ledger,
            daily_dollars=settings.analyst_daily_dollars,
            daily_calls=settings.analyst_daily_calls,
        )
        stack.push_async_callback(analyst.close)
        repricer = Repricer(executor, book, clock)
        outlived = Outlived(executor, broker, book, clock)
        proposer = Proposer(
            broker,
            cards,
            book,
            analyst,
            ledger,
            clock,
            settings.min_confidence,
            planner,
            settings.analyst_options,
        )
        lanes = Lanes()
        poller = Poller(chat, ledger, clock)
        schedule = Schedule(broker, ledger, notifier, clock, book)
        backups = Backups(
            lambda now: _back_up(settings.database_path, folder, now, settings.backup_keep),
            lambda: [one.at for one in backup.found(folder) if not one.migrates],
            ledger,
            notifier,
            clock,
        )

        async def do_what_is_due() -> None:
            await schedule.look()
            await nudging.look()

        desk = Desk(
            executor,
            cards,
            planner,
            panic,
            trading,
            proposer,
            broker,
            broker,
            ledger,
            clock,
            settings,
            started_at,
            poller.last_poll_seconds,
            do_what_is_due,
            backups,
        )
        nudging = Nudging(desk, book, notifier)
        keeper.after_compare.append(nudging.compared)
        dispatcher = Dispatcher(chat, desk, ledger, notifier, lanes)
        await book.load()
        await trading.load()
        if not broker.link.wanted:
            keeper.first_word.set()

        acts = {"halt": functools.partial(safety.halt_lines, panic)}

        async def live() -> None:
            async with asyncio.TaskGroup() as parts:
                parts.create_task(broker.run(), name="broker")
                parts.create_task(keeper.run(), name="bookkeeper")
                parts.create_task(guard.run(), name="guard")
                parts.create_task(repricer.run(), name="repricer")
                parts.create_task(outlived.run(), name="outlived")
                parts.create_task(panic.watch(), name="panic")
                parts.create_task(notifier.run(desk), name="notifier")
                parts.create_task(_poll(poller, dispatcher, keeper), name="poller")
                parts.create_task(proposals.keep(desk, notifier), name="proposals")
                parts.create_task(schedule.run(poller.first_poll), name="schedule")
                parts.create_task(nudging.run(), name="nudging")
                parts.create_task(backups.run(), name="backups")
                parts.create_task(_watch_disk(database, dispatcher), name="disk")
                parts.create_task(_announce(chat, poller, clock), name="announce")
                parts.create_task(health.keep(desk), name="health")
                parts.create_task(console.keep(settings.database_path, acts), name="console")

        life = asyncio.create_task(live(), name="greenlight")
        try:
            yield desk, life
        finally:
            await lanes.close(PATIENCE_SECONDS)
            life.cancel()
            await asyncio.wait({life}, timeout=PATIENCE_SECONDS)
            with contextlib.suppress(StorageError):
                await trading.stopped()


def _back_up(database: Path, folder: Path, now: datetime, keep: int) -> None:
    backup.make(database, folder, now)
    backup.prune(folder, keep)


async def _poll(poller: Poller, dispatcher: Dispatcher, keeper: Bookkeeper) -> None:
    """Listen to the chat once the broker has been tried, so that what waited there is not answered with "not connected"."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BROKER_FIRST_SECONDS):
            await keeper.first_word.wait()
    try:
        await poller.run(dispatcher.take)
    except SecondInstance as taken:
        await dispatcher.say_at_once(f"🛑 <b>Greenlight stops.</b>\n{escape(str(taken))}")
        raise


async def _watch_disk(database: Database, dispatcher: Dispatcher) -> None:
    """Nothing can be written down and nobody asked for anything: a fill that waits for room must not wait unheard. A short lock is none of it."""
    before = told = False
    while True:
        await asyncio.sleep(DISK_LOOK_SECONDS)
        fails = bool(database.trouble)
        if (fails and before) or (told and not fails):
            await dispatcher.storage_fails(fails)
            told = fails
        before = fails


async def _announce(chat: Bot, poller: Poller, clock: Clock) -> None:
    """Log when the bot can be used, and give the chat its menu of commands."""
    begun = clock.monotonic()
    await poller.first_poll.wait()
    log.info("polling Telegram after %.2f s", clock.monotonic() - begun)
    try:
        await chat.set_my_commands([BotCommand(c.name, c.summary[:256]) for c in COMMANDS.values()])
    except TelegramError as problem:
        log.warning("the menu of commands was not set: %s", problem.message)
