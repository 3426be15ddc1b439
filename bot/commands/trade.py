"""Orders: /buy, /sell, /modify, /cancel, and the buttons of their cards."""

import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from html import escape

from bot import grammar, plans, text, verdicts
from bot.command import Caller, Line, button, command
from bot.commands.planned import plan_card
from bot.grammar import Target
from bot.reply import Reply
from bot.services import Desk
from core.cards import ASKED_TWICE, Preview
from core.changes import CHANGED_SINCE
from core.errors import BadInput, BrokerError, Denied, StaleCard
from core.model import (
    Account,
    Buttons,
    ChangeRequest,
    Link,
    Order,
    Outgoing,
    Request,
    Side,
    Ticket,
    TicketState,
)
from core.options.plan import PlanPreview


@command("/buy AAPL 10 [@ 187.50 | stop 190] [sl 180] [tp 200] [gtc] [preview]")
async def buy(desk: Desk, who: Caller, line: Line) -> Reply:
    """Buy shares: by number (10) or for an amount ($2500), at market, with a limit or a stop.

    /buy AAPL 10 · at market
    /buy AAPL $2500 @ 187.50 · as many as $2500 buys, at 187.50 or better
    /buy AAPL 10 @ 187.50 sl 180 tp 200 · with a stop loss and a target that protect what it buys
    /buy AAPL 10 stop 190 gtc · once it trades at 190, until cancelled
    /buy AAPL 10 preview · only look
    """
    return await _ask(desk, who, grammar.order_line(Side.BUY, line))


@command("/sell AAPL 10 | all | half | 25% [@ 187.50 | stop 180] [gtc] [preview]")
async def sell(desk: Desk, who: Caller, line: Line) -> Reply:
    """Sell shares that you hold: a number, all, half or a percentage.

    /sell AAPL all · the whole holding, at market
    /sell AAPL half @ 200 · half of it at 200 or better
    /sell AAPL 10 stop 180 gtc · once it falls to 180, until cancelled
    """
    return await _ask(desk, who, grammar.order_line(Side.SELL, line))


async def _ask(desk: Desk, who: Caller, asked: grammar.OrderLine) -> Reply:
    return await _card(desk, who, asked.request, look_only=asked.preview, lead=lateness(desk, who))


async def _card(
    desk: Desk, who: Caller, request: Request, *, look_only: bool = False, lead: str = ""
) -> Reply:
    """A card for a request; with buttons only where it could be sent."""
    preview = await desk.cards.preview(request, who.user)
    sendable = not preview.denials and not look_only
    ticket = preview.ticket
    seconds = (ticket.expires_at - ticket.created_at).total_seconds() if sendable else 0.0
    body = text.card(preview, desk.broker.link, desk.broker.account, desk.settings.max_position_size, seconds)
    away = ("Discard", f"discard:{ticket.ticket_id}")
    if preview.fits and not look_only:
        fits = (f"Make it {preview.fits}", f"fit:{ticket.ticket_id}")
        return Reply(lead + body, ((fits, away),), opens=ticket)
    if not sendable:
        return Reply(lead + body)
    yes = (
        ("Send a second one", f"again:{ticket.ticket_id}")
        if preview.again
        else ("Send", f"send:{ticket.ticket_id}")
    )
    choice: Buttons = ((yes, away),)
    if preview.offered_stop is not None:
        label = f"Add a stop at {text.plain_price(preview.offered_stop)}"
        choice = (*choice, ((label, f"stop:{ticket.ticket_id}"),))
    return Reply(lead + body, choice, opens=ticket)


@command("/modify 17 @ 186 | stop 180 | qty 5")
async def modify(desk: Desk, who: Caller, line: Line) -> Reply:
    """Change the price or the quantity of an order that works. A card shows before and after first.

    /modify 17 @ 186 · another limit
    /modify 17 stop 180 · another stop, also that of a bracket
    /modify 17 @ 186 qty 5 · both; 5 is the new whole, with what is filled already
    """
    return await _change_card(desk, who, grammar.change_line(line), lead=lateness(desk, who))


async def _change_card(desk: Desk, who: Caller, request: ChangeRequest, *, lead: str = "") -> Reply:
    """The card of a change; with buttons only where it could be sent."""
    preview = await desk.cards.preview_change(request, who.user)
    ticket = preview.ticket
    seconds = (ticket.expires_at - ticket.created_at).total_seconds()
    body = lead + text.change_card(preview, desk.broker.link, seconds)
    if preview.denials:
        return Reply(body)
    choice: Buttons = ((("Send", f"send:{ticket.ticket_id}"), ("Discard", f"discard:{ticket.ticket_id}")),)
    return Reply(body, choice, opens=ticket)


def lateness(desk: Desk, who: Caller) -> str:
    """What a card says above itself whose line took long to arrive; empty where it did not."""
    if not is_late(desk, who):
        return ""
    return f"⏱ Your message took {minutes(who.age)} to arrive. This is how it looks now:\n\n"


def is_late(desk: Desk, who: Caller) -> bool:
    """Whether a command lay too long on its way to be acted on."""
    return who.age > timedelta(seconds=desk.settings.max_command_age_seconds)


def minutes(age: timedelta) -> str:
    """An age in words."""
    seconds = int(age.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} minutes"


Button = Callable[[Desk, Caller, str], Awaitable[Reply]]


def ends_old_cards(run: Button) -> Button:
    """A tap on a card whose story has ended says so at the finger, and the card is drawn as it ended."""

    @functools.wraps(run)
    async def tapped(desk: Desk, who: Caller, ticket_id: str) -> Reply:
        try:
            return await run(desk, who, ticket_id)
        except StaleCard as ended:
            return Reply(toast=str(ended), also=await _as_it_ended(desk, who, ticket_id))

    return tapped


async def _as_it_ended(desk: Desk, who: Caller, ticket_id: str) -> tuple[Outgoing, ...]:
    ticket = await desk.ledger.ticket(ticket_id)
    if ticket is None or ticket.owner != who.user or ticket.state is TicketState.OPEN:
        return ()
    kind = "order" if ticket.state is TicketState.SENT else "card"
    data = {} if kind == "order" else {"state": ticket.state, "proposal": ticket.decision_id is not None}
    return (Outgoing(who.user, kind, desk.clock.now(), data=data, subject=ticket_id, is_edit=True),)


def ending(desk: Desk, ticket: Ticket, state: TicketState) -> Ticket:
    """The card as its story ends, for the commit that ends it."""
    desk.cards.forget(ticket.ticket_id)
    return replace(ticket, state=state)


@button("stop")
@ends_old_cards
async def add_stop(desk: Desk, who: Caller, ticket_id: str) -> Reply:
    """A new card with the stop that was offered, in place of the one without."""
    ticket = await desk.cards.open_card(ticket_id, who.user)
    offered = (await desk.cards.preview(_again(ticket), who.user)).offered_stop
    if offered is None:
        raise BadInput(
            "A stop cannot be worked out now: the average range of the last sessions is not known."
        )
    fresh = await _card(desk, who, replace(_again(ticket), stop_loss=offered))
    return replace(fresh, ends=ending(desk, ticket, TicketState.REPLACED))


@button("fit")
@ends_old_cards
async def fit(desk: Desk, who: Caller, ticket_id: str) -> Reply:
    """A new card with the quantity that the limits let through now, in place of the one that they did not."""
    ticket = await desk.cards.open_card(ticket_id, who.user)
    if plans.is_plan(ticket):
        room = (await desk.planner.again(ticket, who.user)).fits
        smaller = ticket if room is None else replace(ticket, quantity=Decimal(room))
        fresh = await plan_card(desk, await desk.planner.again(smaller, who.user), fresh=True)
        return replace(fresh, ends=ending(desk, ticket, TicketState.REPLACED))
    request = _again(ticket)
    fits = (await desk.cards.preview(request, who.user)).fits
    fresh = await _card(desk, who, request if fits is None else replace(request, quantity=Decimal(fits)))
    return replace(fresh, ends=ending(desk, ticket, TicketState.REPLACED))


async def _fresh(desk: Desk, who: Caller, ticket: Ticket, *, lead: str) -> Reply:
    """A card of now in place of an old one; a proposal's stays a proposal's."""
    if ticket.modifies is not None:
        same = ChangeRequest(ticket.modifies, None, ticket.limit_price, ticket.stop_price)
        order = await desk.ledger.order(number=ticket.modifies)
        more = order is not None and order.quantity != ticket.quantity
        return await _change_card(
            desk, who, replace(same, quantity=ticket.quantity) if more else same, lead=lead
        )
    if ticket.decision_id is None and plans.is_plan(ticket):
        return await plan_card(desk, await desk.planner.again(ticket, who.user), lead=lead, fresh=True)
    if ticket.decision_id is None:
        return await _card(desk, who, _again(ticket), lead=lead)
    decision, preview, why_not = await desk.proposer.again(ticket)
    link, account = desk.broker.link, desk.broker.account
    told = plan_lines(preview, link, account)
    body = lead + verdicts.proposal_text(decision, preview, link, account, why_not, told)
    if preview is None or preview.denials:
        return Reply(body, opens=preview.ticket if preview else None)
    return Reply(body, verdict_buttons(preview.ticket), opens=preview.ticket)


def plan_lines(preview: Preview | PlanPreview | None, link: Link, account: Account | None) -> list[str]:
    """What a proposal shows of the plan of options that it became; nothing of anything else."""
    if not isinstance(preview, PlanPreview):
        return []
    return [plans.title(preview), text.badge(link), *plans.facts(preview, account)]


def verdict_buttons(ticket: Ticket) -> Buttons:
    """What a person can say to a proposal."""
    return ((("Approve", f"approve:{ticket.ticket_id}"), ("Reject", f"reject:{ticket.ticket_id}")),)


def _again(ticket: Ticket) -> Request:
    """The same wish as the card's, to be looked at afresh."""
    return Request(
        side=ticket.side,
        symbol=ticket.instrument.symbol,
        quantity=ticket.quantity,
        order_type=ticket.order_type,
        limit_price=ticket.limit_price,
        stop_price=ticket.stop_price,
        tif=ticket.tif,
        stop_loss=ticket.stop_loss,
        take_profit=ticket.take_profit,
    )


@button("send")
@ends_old_cards
async def send(desk: Desk, who: Caller, ticket_id: str) -> Reply:
    """The Send under a card."""
    return await send_card(desk, who, ticket_id)


@button("again")
@ends_old_cards
async def send_again(desk: Desk, who: Caller, ticket_id: str) -> Reply:
    """The Send under a card that has said that the same order left a moment ago."""
    return await send_card(desk, who, ticket_id, confirmed=True)


async def send_card(desk: Desk, who: Caller, ticket_id: str, *, confirmed: bool = False) -> Reply:
    """Send what the card shows; where time or the price has moved on, a fresh card instead.

    `confirmed`: the card has asked whether the same order is meant once more.
    """
    ticket = await desk.cards.open_card(ticket_id, who.user)
    if desk.cards.is_stale(ticket) and ticket.decision_id is not None:
        ended = ending(desk, ticket, TicketState.EXPIRED)
        return Reply(toast=f"Expired. /analyze {ticket.instrument.symbol} asks anew.", ends=ended)
    if desk.cards.is_stale(ticket):
        fresh = await _fresh(
            desk, who, ticket, lead="⏱ That card was too old to send. This is how it looks now:\n\n"
        )
        return replace(
            fresh, ends=ending(desk, ticket, TicketState.EXPIRED), toast="Too old: here is a fresh card."
        )
    try:
        drift = await desk.cards.drifted(ticket)
    except BrokerError as problem:
        return _not_sent(desk, ticket, [f"⚠️ {escape(str(problem))}"])
    if drift is not None:
        lead = f"↕️ The price moved {drift * 100:.1f} % since that card. This is how it looks now:\n\n"
        fresh = await _fresh(desk, who, ticket, lead=lead)
        return replace(
            fresh,
            ends=ending(desk, ticket, TicketState.REPLACED),
            toast="The price moved: here is a fresh card.",
        )
    try:
        await desk.executor.submit(ticket, who.origin, confirmed=confirmed)
    except Denied as denied:
        if ASKED_TWICE.issuperset(denial.code for denial in denied.denials):
            fresh = await _fresh(desk, who, ticket, lead="")
            return replace(
                fresh, ends=ending(desk, ticket, TicketState.REPLACED), toast="The same order left just now."
            )
        reply = _not_sent(desk, ticket, text.denial_lines(denied.denials, plans.unit(ticket)))
        if all(denial.code != CHANGED_SINCE for denial in denied.denials):
            return reply
        return replace(reply, ends=ending(desk, ticket, TicketState.REFUSED))  # it can never be sent any more
    return Reply(toast="Sent.", recorded=True)


def _not_sent(desk: Desk, ticket: Ticket, why: Sequence[str]) -> Reply:
    lines = [f"<b>Not sent: {text.terms(ticket)}</b>", text.badge(desk.broker.link), *why]
    return Reply("\n".join(lines), toast="Not sent: see below.")


@button("discard")
@ends_old_cards
async def discard(desk: Desk, who: Caller, ticket_id: str) -> Reply:
    """Put the card away; nothing is sent."""
    ticket = await desk.cards.open_card(ticket_id, who.user)
    return Reply(toast="Discarded.", ends=ending(desk, ticket, TicketState.DISCARDED))


@command("/cancel 17 | AAPL | all")
async def cancel(desk: Desk, who: Caller, which: Target) -> Reply:
    """Cancel an order by its number, all orders of a symbol, or all of your orders.

    It stays open until the broker says that it is over; you hear of it. Orders that were placed elsewhere are
    cancelled only by their number.
    """
    chosen = _chosen(desk, which)
    if is_late(desk, who):
        rows = tuple((text.cancel_button(o),) for o in chosen[:8])
        return Reply(
            f"⏱ Your message took {minutes(who.age)} to arrive, so nothing was cancelled. Tap to do it now:",
            rows,
        )
    left_alone = [o for o in desk.executor.orders if o.external] if which.everything else []
    reached = [o for o in chosen if desk.executor.reaches(o)]
    if which.number is None and reached:
        left_alone += [o for o in chosen if o not in reached]
        chosen = reached
    return await _cancel(desk, who, chosen, announce=True, left_alone=left_alone)


@button("cancel")
async def cancel_button(desk: Desk, who: Caller, number: str) -> Reply:
    """The Cancel under an order."""
    order = next((o for o in desk.executor.orders if str(o.number) == number), None)
    if order is None:
        over = await desk.ledger.order(number=int(number)) if number.isdigit() else None
        also: tuple[Outgoing, ...] = ()
        if over is not None and over.owner == who.user:
            also = (Outgoing(who.user, "order", desk.clock.now(), subject=over.card, is_edit=True),)
        return Reply(
            toast=f"Order #{number} is over already; /trades and /orders show what became of it.", also=also
        )
    return await _cancel(desk, who, [order], announce=False)


def _chosen(desk: Desk, which: Target) -> list[Order]:
    working = desk.executor.orders
    if which.number is not None:
        found = [o for o in working if o.number == which.number]
        missing = f"There is no open order #{which.number}."
    else:
        found = [o for o in working if not o.external and which.symbol in (None, o.symbol)]
        missing = (
            "There are no open orders of yours; those from elsewhere (EXTERNAL) are cancelled only by their number."
            if which.everything
            else f"There is no open order of yours in {which.symbol}."
        )
    if not found:
        known = ", ".join(f"#{o.number}" for o in working[-8:])
        raise BadInput(f"{missing} {f'Open are: {known}.' if known else '/orders lists them.'}")
    return found


async def _cancel(
    desk: Desk, who: Caller, chosen: list[Order], *, announce: bool, left_alone: Sequence[Order] = ()
) -> Reply:
    foreign = [
        o for o in chosen if o.external and (o.order_id == 0 or o.client_id != desk.broker.link.client_id)
    ]
    if foreign:
        names = ", ".join(f"#{o.number}" for o in foreign)
        raise BadInput(
            f"{names} was placed by another program or in TWS, and only that can cancel it: do it there."
        )
    await desk.executor.cancel(chosen, who.origin, announce=announce, left_alone=left_alone)
    return Reply(toast="Cancel asked.", recorded=True)


@button("settle")
async def settle(desk: Desk, who: Caller, number: str) -> Reply:
    """A person says that an UNKNOWN order is not at the broker; evidence of it would bring it back."""
    order = await desk.executor.settle(int(number) if number.isdigit() else 0, who.origin)
    return Reply(toast=f"#{order.number} counts as not at the broker.")
