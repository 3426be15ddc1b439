"""`greenlight doctor`: looks at the world that the settings name, changes nothing in it, and says what to do about what does not work.

It speaks with TWS over the desk's own connection (`core.broker`), under the same client id where no Greenlight runs on the database and
under one of its own where one does. Of Telegram it asks nothing that takes messages from whoever polls. The only order that it ever names is a
what-if: the broker's forecast, which is never placed.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from telegram import Bot, WebhookInfo
from telegram.error import BadRequest, InvalidToken, TelegramError
from ulid import ULID

from bot import health, text
from bot.redaction import without
from bot.settings import Settings
from bot.transport import AiohttpRequest
from core import ib_messages
from core.analyst import AnthropicAnalyst
from core.broker import IBBroker
from core.errors import GreenlightError, NoAnswer, Refused
from core.model import (
    Instrument,
    LinkChanged,
    Mode,
    ModelCall,
    OrderReport,
    OrderType,
    Side,
    Ticket,
    TimeInForce,
)
from core.ports import Clock
from storage import inspection

SYMBOL = "AAPL"
CONNECT_SECONDS, BROKER_SECONDS = 10.0, 22.0
TELEGRAM_SECONDS, MODEL_SECONDS, DATABASE_SECONDS = 10.0, 12.0, 5.0
LEAVING_SECONDS = 2.0
CLOCKS_APART_SECONDS = 10
ROOMY_BYTES, TIGHT_BYTES = 200_000_000, 20_000_000
FIRST_OWN_ID, OWN_IDS = 9000, 1000
"""The client ids of a doctor beside a running Greenlight."""
FEW = 3
WEBHOOK = "Webhook"

CHECKS = ("Connection", "Positions", "Status", "Order structure", "Open orders")
"""The five checks against TWS, in their order."""


class Mark(StrEnum):
    """How a check ended: it works, it works but see what it says, it does not."""

    FINE = "✅"
    NOTE = "⚠️"
    BAD = "❌"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: what was looked at, how it ended, and what to do; `choices` are the accounts that would mend it."""

    mark: Mark
    what: str
    said: str
    choices: tuple[str, ...] = ()


def report(findings: Sequence[Finding], secrets: Sequence[str] = (), columns: int | None = None) -> str:
    """The findings, one line each, and what they come to. No secret is in it, nor anything that moves a terminal's cursor.

    What ended alike is told together; lines are broken at so many columns where that is told.
    """
    lines = [line(one, secrets) for one in together(findings)]
    if columns:
        # Two less, since a mark takes two places and counts as one or two characters.
        lines = [
            wrapped for one in lines for wrapped in textwrap.wrap(one, columns - 2, subsequent_indent="   ")
        ]
    bad = sum(one.mark is Mark.BAD for one in findings)
    noted = sum(one.mark is Mark.NOTE for one in findings)
    if bad:
        end = f"{bad} thing{'s' if bad != 1 else ''} to put right ({Mark.BAD}); then ask again."
    else:
        end = "Everything that is needed works" + (
            f"; {noted} to know about ({Mark.NOTE})." if noted else "."
        )
    return "\n".join([*lines, end])


def together(findings: Sequence[Finding]) -> list[Finding]:
    """Findings that follow each other with the same words become one."""
    alike = [list(group) for _, group in itertools.groupby(findings, lambda one: (one.mark, one.said))]
    return [replace(group[0], what=", ".join(one.what for one in group)) for group in alike]


def line(found: Finding, secrets: Sequence[str] = ()) -> str:
    """A finding as it is shown."""
    return plain(without(secrets)(f"{found.mark} {found.what}: {found.said}"))


def works(findings: Sequence[Finding]) -> bool:
    """Whether everything that is needed works."""
    return all(one.mark is not Mark.BAD for one in findings)


def unreadable(wrong: GreenlightError) -> list[Finding]:
    """The findings where the settings cannot be used: one line for each mistake, and nothing else can be looked at."""
    return [Finding(Mark.BAD, "Settings", told) for told in str(wrong).splitlines()]


async def examine(settings: Settings, clock: Clock) -> list[Finding]:
    """Every check, all of them within 30 seconds whatever hangs."""
    parts = await asyncio.gather(
        look_at_telegram(settings, clock),
        look_at_broker(settings, clock),
        _limited("Database", DATABASE_SECONDS, _database(settings)),
        _beside(settings, clock),
        look_at_model(settings, clock),
    )
    return [_settings(), *(finding for part in parts for finding in part)]


def plain(words: str) -> str:
    """Words from outside, without anything that moves a terminal's cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in words)


async def _limited(what: str, seconds: float, check: Awaitable[Finding]) -> list[Finding]:
    """A check with an end: its finding, or that it had none in time, or what went wrong in words."""
    try:
        async with asyncio.timeout(seconds):
            return [await check]
    except TimeoutError:
        return [Finding(Mark.BAD, what, f"no answer within {seconds:.0f} s; ask again, or see what hangs.")]
    except GreenlightError as problem:
        return [Finding(Mark.BAD, what, str(problem))]


def _settings() -> Finding:
    where = (
        ".env and the environment" if Path(".env").is_file() else f"the environment; no .env in {Path.cwd()}"
    )
    return Finding(Mark.FINE, "Settings", f"read from {where}.")


# --- Telegram -------------------------------------------------------------------------------------------------------------


async def look_at_telegram(settings: Settings, clock: Clock) -> list[Finding]:
    """Whether the token answers, and as whom; whether anything keeps messages from the bot; who may use it."""
    try:
        async with asyncio.timeout(TELEGRAM_SECONDS), _chat(settings) as (chat, request):
            me = await chat.get_me()
            found = [
                Finding(Mark.FINE, "Telegram", f"the token answers as {me.first_name} (@{me.username}).")
            ]
            found += _hook(await chat.get_webhook_info()) + _clock(request.seen, clock)
            return [*found, await _users(chat, settings)]
    except InvalidToken:
        told = "TELEGRAM_BOT_TOKEN: Telegram does not know this token; ask @BotFather for the right one."
    except TelegramError as problem:
        told = f"no answer from {settings.telegram_api_url} ({problem.message}). Check the network, a proxy, and TELEGRAM_API_URL."
    except TimeoutError:
        told = f"no answer from {settings.telegram_api_url} within {TELEGRAM_SECONDS:.0f} s. Check the network, a proxy, and TELEGRAM_API_URL."
    return [Finding(Mark.BAD, "Telegram", told), await _users(None, settings)]


async def remove_webhook(settings: Settings) -> None:
    """Have Telegram keep this bot's messages for whoever polls; those that wait stay. Raises TelegramError where it does not."""
    async with _chat(settings) as (chat, _):
        await chat.delete_webhook()


def runs(settings: Settings) -> bool:
    """Whether a Greenlight runs on the database of these settings, so that it hears what is written to the bot."""
    return inspection.in_use(settings.database_path)


class _Dated(AiohttpRequest):
    """Keeps the time that the other side's last answer bears, and when it came by our monotonic clock."""

    seen: tuple[datetime, float] | None = None

    async def initialize(self) -> None:
        if self._session is None:
            looking = aiohttp.TraceConfig()
            looking.on_request_end.append(self._look)
            self._session = aiohttp.ClientSession(trust_env=True, trace_configs=[looking])

    async def _look(self, _: object, __: object, ended: aiohttp.TraceRequestEndParams) -> None:
        with contextlib.suppress(KeyError, ValueError):
            date = parsedate_to_datetime(ended.response.headers["Date"])
            self.seen = date if date.tzinfo else date.replace(tzinfo=UTC), asyncio.get_running_loop().time()


@contextlib.asynccontextmanager
async def _chat(settings: Settings) -> AsyncIterator[tuple[Bot, _Dated]]:
    request, unused = _Dated(read_timeout=TELEGRAM_SECONDS - 2), AiohttpRequest()
    token, root = settings.telegram_bot_token.get_secret_value(), settings.telegram_api_url
    try:
        yield Bot(token, base_url=f"{root}/bot", request=request, get_updates_request=unused), request
    finally:
        await request.shutdown()


def _hook(info: WebhookInfo) -> list[Finding]:
    """A webhook takes every message: whoever polls beside it gets nothing but refusals."""
    if not info.url:
        return []
    where = urlsplit(info.url).hostname or "an address"  # what stands behind it may be a secret
    told = f"this bot's messages go to {where}, so Greenlight would hear none. greenlight setup offers to remove that."
    return [Finding(Mark.BAD, WEBHOOK, told)]


def _clock(seen: tuple[datetime, float] | None, clock: Clock) -> list[Finding]:
    """Whether this computer's clock is that of Telegram's answers, by which the age of a command is measured."""
    if seen is None:
        return []
    theirs = seen[0] + timedelta(seconds=asyncio.get_running_loop().time() - seen[1])
    ahead = (clock.now() - theirs).total_seconds()
    if abs(ahead) <= CLOCKS_APART_SECONDS:
        return []
    way = "ahead of" if ahead > 0 else "behind"
    told = f"this computer's is {abs(ahead):,.0f} s {way} Telegram's, so commands would seem late or early. Set it right (timedatectl set-ntp true)."
    return [Finding(Mark.BAD, "Clock", told)]


async def _users(chat: Bot | None, settings: Settings) -> Finding:
    """Who may use the bot; of the first few, whether it may write to them."""
    users = settings.telegram_allowed_users
    if not users:
        told = "nobody; write to the bot, and put the id that it answers with into TELEGRAM_ALLOWED_USERS."
        return Finding(Mark.NOTE, "Allowed users", told)
    strangers = []
    for user in users[:FEW]:
        if chat is None:
            break
        try:
            await chat.get_chat(user)
        except BadRequest:
            strangers.append(str(user))
        except TelegramError:
            break  # what is wrong there is no matter of this user
    if strangers:
        told = f"{len(users)}; {', '.join(strangers)} has never written to this bot, which may not write first: open its chat and tap Start."
        return Finding(Mark.NOTE, "Allowed users", told)
    return Finding(Mark.FINE, "Allowed users", f"{len(users)}.")


# --- Interactive Brokers --------------------------------------------------------------------------------------------------


async def look_at_broker(settings: Settings, clock: Clock) -> list[Finding]:
    """The five checks against TWS, over one connection that binds nothing."""
    client_id = settings.ibkr_client_id
    if runs(settings):
        # A running Greenlight may be about to connect anew, and its id must be free for it then.
        client_id = FIRST_OWN_ID + os.getpid() % OWN_IDS
    broker = IBBroker(
        host=settings.ibkr_host,
        port=settings.ibkr_port,
        client_id=client_id,
        account=settings.ibkr_account_id,
        wanted=True,
        clock=clock,
        binds=False,
    )
    loop = asyncio.get_running_loop()
    until = loop.time() + BROKER_SECONDS
    async with _connected(broker):
        if not broker.link.connected or broker.link.account is None:
            return _no_connection(settings, broker)
        found: asyncio.Future[Instrument] = asyncio.ensure_future(broker.find(SYMBOL))
        asked: tuple[Callable[[], Awaitable[Finding]], ...] = (
            lambda: _positions(broker),
            lambda: _status(broker, found, clock, settings),
            lambda: _order_structure(broker, found, clock),
            lambda: _open_orders(broker),
        )
        told = await asyncio.gather(
            *(_limited(what, until - loop.time(), ask()) for what, ask in zip(CHECKS[1:], asked, strict=True))
        )
        await _over(found)
        return [_connection(settings, broker), *(finding for part in told for finding in part)]


@contextlib.asynccontextmanager
async def _connected(broker: IBBroker) -> AsyncIterator[None]:
    """One try to connect, and whatever came of it let go at the end."""
    first_word = asyncio.Event()

    async def listen() -> None:
        while True:
            if isinstance(await broker.next_event(), LinkChanged):
                first_word.set()

    tasks = [asyncio.create_task(broker.run()), asyncio.create_task(listen())]
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                await first_word.wait()
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=LEAVING_SECONDS)


async def _over(task: "asyncio.Future[Instrument]") -> None:
    """Nobody waits for it any more."""
    task.cancel()
    await asyncio.wait({task}, timeout=LEAVING_SECONDS)
    if not task.cancelled() and task.done():
        task.exception()


def _no_connection(settings: Settings, broker: IBBroker) -> list[Finding]:
    where = {"host": settings.ibkr_host, "port": settings.ibkr_port, "client_id": broker.link.client_id}
    trouble = broker.link.trouble or ib_messages.SILENT.format(**where)
    rest = "not looked at: the connection comes first."
    return [
        Finding(Mark.BAD, CHECKS[0], trouble, broker.link.accounts),
        *(Finding(Mark.NOTE, what, rest) for what in CHECKS[1:]),
    ]


def _connection(settings: Settings, broker: IBBroker) -> Finding:
    """Told last, so that it knows of what was lost on the way. That the API is read-only is told where it hurts."""
    link = broker.link
    if not link.connected or (link.trouble and link.trouble != ib_messages.READ_ONLY):
        return Finding(Mark.BAD, CHECKS[0], link.trouble or "the connection to TWS was lost; ask again.")
    whose = f"{settings.ibkr_host}:{settings.ibkr_port} answers client {link.client_id} (API version {broker.server_version}); account {link.account}, {link.mode}"
    if link.mode is Mode.LIVE:
        return Finding(Mark.NOTE, CHECKS[0], f"{whose}: real money. Use a paper account first.")
    return Finding(Mark.FINE, CHECKS[0], f"{whose}.")


async def _positions(broker: IBBroker) -> Finding:
    held = broker.positions
    if held is None:
        told = "not told yet; they load a few seconds after connecting. Ask again."
        return Finding(Mark.BAD, CHECKS[1], told)
    names = ", ".join(sorted({position.symbol for position in held})[:8])
    return Finding(Mark.FINE, CHECKS[1], f"{len(held)} loaded{f' ({names})' if names else ''}.")


async def _status(
    broker: IBBroker, found: "asyncio.Future[Instrument]", clock: Clock, settings: Settings
) -> Finding:
    there = await broker.server_time()
    apart = abs(there - clock.now())
    time = f"TWS's clock shows {text.local(there, settings.timezone)}"
    try:
        quote = await broker.quote(await asyncio.shield(found), 0.0, 0.0)
    except NoAnswer as nothing:
        return Finding(Mark.NOTE, CHECKS[2], f"{time}. {nothing}")
    data = f"bid {text.plain_price(quote.bid)}, ask {text.plain_price(quote.ask)}"
    if apart > timedelta(seconds=CLOCKS_APART_SECONDS):
        time += f", {apart.total_seconds():.0f} s from this computer's: set this one right"
    if quote.delayed:
        told = f"{time}. {SYMBOL} has DELAYED market data only ({data}): a paper account trades with it, a LIVE one needs a subscription."
        return Finding(Mark.NOTE, CHECKS[2], told)
    mark = Mark.FINE if apart <= timedelta(seconds=CLOCKS_APART_SECONDS) else Mark.NOTE
    return Finding(mark, CHECKS[2], f"{time}. {SYMBOL} has live market data ({data}).")


async def _order_structure(broker: IBBroker, found: "asyncio.Future[Instrument]", clock: Clock) -> Finding:
    """The broker's forecast of one share at market: it reads the order, and places none."""
    ticket = _one_share(await asyncio.shield(found), broker.link.account or "", clock.now())
    try:
        told = await broker.what_if(ticket)
    except Refused as refused:
        if refused.code == 201:
            return Finding(
                Mark.NOTE, CHECKS[3], f"TWS reads orders, but would not take {text.terms(ticket)}. {refused}"
            )
        raise
    account = broker.account
    margin = text.money(told.initial_margin_change, account.currency if account else "USD", signed=True)
    cost = text.money(told.commission, told.commission_currency or "USD")
    said = f"TWS would take {text.terms(ticket)}: margin {margin}, commission {cost}. Only asked; nothing was placed."
    if told.warning:
        return Finding(Mark.NOTE, CHECKS[3], f"{said} TWS adds: {told.warning}")
    return Finding(Mark.FINE, CHECKS[3], said)


def _one_share(instrument: Instrument, account: str, now: datetime) -> Ticket:
    return Ticket(
        ticket_id="doctor",
        owner=0,
        account=account,
        instrument=instrument,
        side=Side.BUY,
        quantity=Decimal(1),
        order_type=OrderType.MARKET,
        limit_price=None,
        stop_price=None,
        tif=TimeInForce.DAY,
        reference_price=Decimal(0),
        created_at=now,
        expires_at=now,
    )


async def _open_orders(broker: IBBroker) -> Finding:
    orders = await broker.open_orders()
    ours = sum(map(_is_ours, orders))
    return Finding(
        Mark.FINE, CHECKS[4], f"{len(orders)} ({ours} by Greenlight, {len(orders) - ours} from elsewhere)."
    )


def _is_ours(order: OrderReport) -> bool:
    """Whether it bears a reference of the kind that only the desk gives."""
    with contextlib.suppress(ValueError):
        return bool(ULID.from_str((order.order_ref or "").partition(".")[0]))
    return False


# --- the rest -------------------------------------------------------------------------------------------------------------


async def _database(settings: Settings) -> Finding:
    path = settings.database_path
    found = await asyncio.to_thread(inspection.look, path)
    if found.state is inspection.State.IN_USE:
        return Finding(Mark.FINE, "Database", f"{path} is in use by a running Greenlight, as it should be.")
    if found.state is inspection.State.ABSENT:
        return Finding(Mark.FINE, "Database", f"{path} is not there yet; the first start makes it.")
    return Finding(Mark.FINE, "Database", f"{path} can be used (version {found.version} of {found.wanted}).")


async def _beside(settings: Settings, clock: Clock) -> list[Finding]:
    """The room that is left beside the database, and what a Greenlight that runs on it says of itself."""
    path = settings.database_path.resolve()
    folder = next(one for one in path.parents if one.is_dir())
    found = []
    try:
        free = await asyncio.wait_for(asyncio.to_thread(shutil.disk_usage, folder), DATABASE_SECONDS)
        found.append(_room(free.free, folder))
    except TimeoutError:
        told = f"no answer about {folder} within {DATABASE_SECONDS:.0f} s; see what hangs."
        found.append(Finding(Mark.BAD, "Disk", told))
    except OSError as problem:
        found.append(Finding(Mark.BAD, "Disk", f"{folder} cannot be looked at: {problem.strerror}."))
    if runs(settings):
        healthy, said = health.judge(health.note_of(settings.database_path), clock.now())
        found.append(Finding(Mark.FINE if healthy else Mark.BAD, "Running Greenlight", said))
    return found


def _room(free: int, folder: Path) -> Finding:
    told = f"{free / 1e9:.1f} GB" if free >= 1e9 else f"{free / 1e6:.0f} MB"
    if free >= ROOMY_BYTES:
        return Finding(Mark.FINE, "Disk", f"{told} free.")
    mark = Mark.BAD if free < TIGHT_BYTES else Mark.NOTE
    return Finding(mark, "Disk", f"only {told} free in {folder}: make room, or nothing can be written down.")


class _NoRecords:
    """A check of the key is no call: there is nothing to write down."""

    async def record_call(self, call: ModelCall) -> None:
        """Never called."""

    async def calls_since(self, moment: datetime) -> tuple[int, Decimal, int]:
        """None."""
        return 0, Decimal(0), 0


async def look_at_model(settings: Settings, clock: Clock) -> list[Finding]:
    """Whether the key and the model are accepted; without a key, what is off."""
    key = settings.anthropic_api_key
    if key is None:
        return [
            Finding(
                Mark.NOTE, "Model", "ANTHROPIC_API_KEY is not set: /analyze is off. Everything else works."
            )
        ]
    return await _limited("Model", MODEL_SECONDS, _ask_model(settings, key.get_secret_value(), clock))


async def _ask_model(settings: Settings, key: str, clock: Clock) -> Finding:
    analyst = AnthropicAnalyst(
        api_key=key,
        base_url=settings.anthropic_base_url,
        model=settings.anthropic_model,
        clock=clock,
        records=_NoRecords(),
        deadline_seconds=MODEL_SECONDS - 4,
    )
    try:
        trouble = await analyst.check()
    finally:
        await analyst.close()
    if trouble:
        return Finding(Mark.BAD, "Model", f"{trouble} /analyze does not work; everything else does.")
    # Asking that costs nothing, and so says nothing of the money behind the key.
    told = f"the key and {settings.anthropic_model} are accepted; whether there is credit, the first /analyze shows."
    return Finding(Mark.FINE, "Model", told)
