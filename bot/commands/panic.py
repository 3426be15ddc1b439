"""The panic ladder: /halt, /flatten, /resume, and /risk with what the limits leave room for."""

import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from bot import safety, text
from bot.command import Caller, Lane, Line, button, command
from bot.reply import Reply
from bot.services import Desk
from core import risk
from core.errors import StaleCard
from core.model import Order, Outgoing, Ticket, Trading, TradingState

BUTTON_SECONDS = 120
LAST_DENIALS = 8
FILLS = 200


@command("/risk")
async def risk_(desk: Desk, who: Caller) -> Reply:
    """Your limits, how much of each is used, and what was refused last.

    Every limit is a setting of the same name in capitals; greenlight settings explains each. None of them keeps you from making a
    holding smaller. A refusal that a smaller order would pass has a button that makes it fit.
    """
    uses = risk.usage(desk.cards.moment(None), desk.cards.limits)
    denials = await desk.ledger.audited("denied", LAST_DENIALS)
    shown = safety.risk_text(
        desk.trading.now,
        uses,
        desk.cards.limits,
        denials,
        desk.broker.account,
        desk.settings.timezone,
        desk.broker.link,
    )
    return Reply(shown)


@command("/halt", lane=Lane.HALT)
async def halt(desk: Desk, who: Caller, _whatever: Line | None = None) -> Reply:
    """Stop: nothing that opens or adds leaves any more, and orders that could are cancelled, the largest first.

    Stops, targets and closing orders stay; a second button cancels those too. Orders from elsewhere each need their own
    tap. It holds over a restart, until /resume. greenlight halt does the same from the command line.
    """
    done = await desk.panic.halt("You asked for it with /halt.", who.origin)
    return Reply(recorded=done.written)


@button("rest", lane=Lane.URGENT)
async def rest(desk: Desk, who: Caller, _argument: str) -> Reply:
    """The second rung: first it names what that would leave unprotected."""
    orders = desk.panic.protecting()
    if not orders:
        return Reply(toast="Nothing of yours is working any more.")
    shown = safety.rest_question(orders, desk.panic.unprotected_by(orders), desk.broker.link)
    named = f"rest2:{_stamp(desk)}:{_fingerprint(orders)}"
    return Reply(shown, (((f"Yes, cancel all {len(orders)}", named),),))


@button("rest2", lane=Lane.URGENT)
async def rest_too(desk: Desk, who: Caller, argument: str) -> Reply:
    """Cancel stops, targets and closing orders too: those that were named, or the question once more."""
    stamp, _, named = argument.partition(":")
    _check_stamp(desk, stamp, "/halt")
    orders = desk.panic.protecting()
    if _fingerprint(orders) != named:
        return await rest(desk, who, "")
    reached = [o for o in orders if desk.executor.reaches(o)]
    missed = [o for o in orders if o not in reached]
    await desk.executor.cancel(reached or orders, who.origin, announce=True, left_alone=missed)
    return Reply(toast="Cancel asked.", recorded=True)


@command("/flatten", lane=Lane.SLOW)
async def flatten(desk: Desk, who: Caller) -> Reply:
    """Close everything at market. You see what it costs first, and tap twice.

    It halts first. Each holding then leaves as an order of its own through the same checks as any other; stops and targets
    are taken down for it, and put back where a sale fails.
    """
    leaving = await desk.panic.leaving(who.user)
    if not leaving:
        return Reply(f"Nothing is held.\n{text.badge(desk.broker.link)}")
    shown = safety.flatten_question(leaving, desk.panic.increasing(), desk.broker.account, desk.broker.link)
    count = sum(1 for one in leaving if one.preview is not None)
    if not count:
        return Reply(shown)
    return Reply(shown, (((f"Close {_holdings(count)}…", f"flatten1:{count}:{_stamp(desk)}"),),))


@button("flatten1", lane=Lane.URGENT)
async def flatten_sure(desk: Desk, who: Caller, argument: str) -> Reply:
    """The first of two taps."""
    count, _, stamp = argument.partition(":")
    _check_stamp(desk, stamp, "/flatten")
    sure = f"<b>Halt, and close {_holdings(int(count))} at market now?</b>\n{text.badge(desk.broker.link)}"
    return Reply(sure, ((("Yes, close everything now", f"flatten2:{_stamp(desk)}"),),))


@button("flatten2", lane=Lane.URGENT)
async def flatten_now(desk: Desk, who: Caller, stamp: str) -> Reply:
    """The second: halt, and close every holding."""
    _check_stamp(desk, stamp, "/flatten")

    def show(ticket: Ticket) -> Outgoing:
        away = (("Send", f"send:{ticket.ticket_id}"), ("Discard", f"discard:{ticket.ticket_id}"))
        body = f"<b>{text.terms(ticket)}</b>\n{text.badge(desk.broker.link)}"
        return Outgoing(who.user, "reply", desk.clock.now(), body, (away,), subject=ticket.ticket_id)

    return Reply(safety.flattened(await desk.panic.flatten(who.origin, show), desk.broker.link))


@command("/resume")
async def resume(desk: Desk, who: Caller) -> Reply:
    """Open again after /halt, or after a limit has closed trading: first it says what happened meanwhile."""
    trading = desk.trading.now
    if trading.state is TradingState.ACTIVE:
        return Reply(f"🟢 Trading is ACTIVE already.\n{text.badge(desk.broker.link)}")
    if trading.before is not None:
        return Reply("\n".join(safety.state_lines(trading, desk.settings.timezone)[:2]))
    since = trading.since or desk.started_at
    whole = since.replace(microsecond=0)  # the broker tells the time of a fill to the second
    trades = [t for t in await desk.ledger.trades(FILLS) if t.execution.time >= whole]
    shown = safety.meanwhile(
        trading,
        trades,
        desk.executor.orders,
        desk.broker.account,
        desk.settings.timezone,
        desk.broker.link,
        desk.panic.still_against(),
    )
    return Reply(shown, ((("Open again", f"resume:{_stamp(desk)}:{_since(trading)}"),),))


@button("resume")
async def resume_now(desk: Desk, who: Caller, argument: str) -> Reply:
    """Open again what the message told of; a later halt wants its own look."""
    stamp, _, told = argument.partition(":")
    _check_stamp(desk, stamp, "/resume")
    if desk.trading.now.state is TradingState.ACTIVE:
        return Reply(toast="Trading is ACTIVE already.")
    if desk.trading.now.before is not None:
        return Reply(toast="The books are still being compared; it opens by itself.")
    if _since(desk.trading.now) != told:
        raise StaleCard("Trading was closed again since; /resume says what happened.")
    await desk.panic.resume(who.origin)
    return Reply(toast="Open again.", recorded=True)


def _holdings(count: int) -> str:
    return f"{count} holding{'s' if count != 1 else ''}"


def _fingerprint(orders: Sequence[Order]) -> str:
    """Names a set of orders, so that a tap cannot mean others than its message did."""
    return f"{zlib.crc32(','.join(str(n) for n in sorted(o.number for o in orders)).encode()):08x}"


def _since(trading: Trading) -> str:
    """Names a closing of trading."""
    return f"{trading.since.timestamp() * 1000:.0f}" if trading.since else ""


def _stamp(desk: Desk) -> str:
    """When a button was drawn: an old one must not act on a desk that has moved on."""
    return f"{int(desk.clock.now().timestamp())}"


def _check_stamp(desk: Desk, stamp: str, again: str) -> None:
    drawn = int(stamp) if stamp.isascii() and stamp.isdigit() and len(stamp) < 12 else 0
    age = desk.clock.now() - datetime.fromtimestamp(drawn, desk.clock.now().tzinfo)
    if not -timedelta(seconds=5) <= age <= timedelta(seconds=BUTTON_SECONDS):
        raise StaleCard(f"This button is too old; nothing was done. {again} shows how it stands now.")
