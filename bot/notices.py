"""Notices to words: what the desk has to say is stored as facts and worded when it is sent, so that it is true when it arrives."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from html import escape

from bot import fills, plans, safety, statements, text, verdicts
from bot.services import Desk
from core import protection
from core.errors import GreenlightError
from core.ib_messages import MEANING, mode
from core.model import Buttons, Order, OrderState, OrderType, Outgoing, Role, Side, TicketState, TradingState

Worded = tuple[str, Buttons]
HELD_UNTIL_OPEN = MEANING[399]
FIRST_CONTACT = "first_contact"
DETAILS_SECONDS = 2.0  # how long words wait for the hours of an exchange


async def word(desk: Desk, message: Outgoing) -> Worded:
    """The HTML and buttons of a message; empty text where there is nothing left to say."""
    if message.text:
        return message.text, message.buttons
    return await _WORDS[message.kind](desk, message)


async def is_ripe(desk: Desk, message: Outgoing) -> bool:
    """Whether its words need not wait. Those of a fill do for a moment, for what it cost."""
    if message.kind != "order_news" or message.data["state"] != OrderState.FILLED:
        return True
    if not fills.patience(desk, message.created_at):
        return True
    order = await desk.ledger.order(number=message.data["number"])
    return order is None or bool(await fills.told(desk, order))


async def _order(desk: Desk, message: Outgoing) -> Worded:
    family = await desk.ledger.family(message.subject)
    entry = next((order for order in family if order.order_ref == message.subject), None)
    if entry is None:
        return await _change(desk, message.subject), ()
    children = [order for order in family if order is not entry]
    buttons = tuple(row for order in family for row in text.order_buttons(order))
    opens, began = await opening(desk, entry), await _began(desk, entry)
    return text.order_card(entry, children, desk.broker.link, opens, began), buttons


async def _began(desk: Desk, order: Order) -> Decimal | None:
    """The limit that an order began with which may be repriced."""
    ticket = None if order.final_limit is None else await desk.ledger.ticket(order.order_ref)
    return None if ticket is None else ticket.limit_price


async def _change(desk: Desk, ticket_id: str) -> str:
    """The card of a change; nothing where it is none."""
    ticket = await desk.ledger.ticket(ticket_id)
    if ticket is None or ticket.modifies is None:
        return ""
    order = await desk.ledger.order(number=ticket.modifies)
    return text.change_story(ticket, order, desk.broker.link)


async def opening(desk: Desk, order: Order) -> str | None:
    """When the market opens that an order waits for; None where it waits for nothing, or nobody knows."""
    if order.state is not OrderState.WORKING or order.filled or order.protects or order.external:
        return None
    try:
        async with asyncio.timeout(DETAILS_SECONDS):
            instrument = await desk.broker.find(order.symbol)
    except (GreenlightError, TimeoutError):
        return None
    return text.opening(instrument, desk.clock.now())


async def _order_news(desk: Desk, message: Outgoing) -> Worded:
    order, state = await desk.ledger.order(number=message.data["number"]), OrderState(message.data["state"])
    if order is None or await _goes_without_saying(desk, order, state):
        return "", ()
    return await _news(desk, order, state, message), ()


async def _goes_without_saying(desk: Desk, order: Order, state: OrderState) -> bool:
    """A stop or target that goes because its other half was filled, or because its entry never was."""
    if state is not OrderState.CANCELLED:
        return False
    if _is_of_a_halt(desk, order):
        return True
    if not order.protects:
        return False
    family = await desk.ledger.family(order.card)
    others = [o for o in family if o.number != order.number]
    return any(o.protects and o.filled for o in others) or not any(o.filled for o in others if not o.protects)


def _is_of_a_halt(desk: Desk, order: Order) -> bool:
    """Whether a halt took it back without a fill: it tells of all of them in one message."""
    trading = desk.trading.now
    asked = order.cancel_requested_at
    if trading.state is not TradingState.HALTED or trading.since is None or asked is None:
        return False
    return asked >= trading.since and not order.protects and not order.filled


async def _news(desk: Desk, order: Order, state: OrderState, message: Outgoing) -> str:
    commission, position, gain = "", "", ""
    notes: list[str] = []
    if state is OrderState.CANCELLED:
        notes = await _left_bare(desk, [order])
    if state is OrderState.FILLED:
        trades = await fills.awaited(desk, order, message.created_at)
        if trades and (cost := text.added(t.commission for t in trades)) is not None:
            commission = text.money(cost, trades[0].commission_currency or order.currency)
        gains = [t.realized for t in trades]
        closes = order.side is Side.SELL if order.kind == "STK" else any(gains)
        if closes and gains and (total := text.added(gains)) is not None:
            gain = text.money(total, order.currency, signed=True)
        if order.role is Role.ENTRY and order.side is Side.BUY and await _lost_its_stop(desk, order):
            notes.append("⚠️ Its stop is not at the broker.")
        if "after" in message.data:
            before, after = (text.quantity(Decimal(message.data[key])) for key in ("before", "after"))
            position = f"Position {before} → {after} {escape(order.label)}"
    return text.order_news(order, state, commission, position, desk.broker.link, gain, notes)


async def _lost_its_stop(desk: Desk, entry: Order) -> bool:
    """Whether it was approved with a stop that is over without having done its work."""
    stops = [o for o in await desk.ledger.family(entry.card) if o.role is Role.STOP]
    return any(not o.state.is_open and not o.filled for o in stops)


async def _left_bare(desk: Desk, cancelled: Sequence[Order]) -> list[str]:
    """What a cancel leaves behind: filled shares that stay, and holdings that have no stop now."""
    moving = {
        number for closing in await desk.ledger.unfinished_closings() for number, _ in closing.protection
    }
    names: dict[int, Order] = {}
    notes = []
    for order in cancelled:
        bare = without_stop(desk, order.con_id)
        if order.kind != "STK":
            if order.filled and not order.external:
                notes.append(f"The {text.quantity(order.filled)} that were filled of {order.label} stay.")
        elif order.side is Side.BUY and order.filled and not order.external:
            stay = f"{order.symbol}: the {text.quantity(order.filled)} filled shares stay"
            notes.append(f"⚠️ {stay} and have no stop." if bare else f"{stay}.")
        elif bare and order.number not in moving and await _protected_shares(desk, order):
            names[order.con_id] = order
    bare_now = ((order.symbol, without_stop(desk, con_id)) for con_id, order in names.items())
    return [
        *notes,
        *(f"⚠️ {symbol}: {text.quantity(bare)} shares have no stop now." for symbol, bare in bare_now),
    ]


def _is_stop(order: Order) -> bool:
    return order.side is Side.SELL and (order.role is Role.STOP or order.order_type is OrderType.STOP)


async def _protected_shares(desk: Desk, order: Order) -> bool:
    """Whether it was a stop of shares that are held, and not of an entry that never bought any."""
    if not _is_stop(order) or order.parent is None:
        return _is_stop(order)
    entry = await desk.ledger.order(number=order.parent)
    return entry is None or entry.filled > 0


def without_stop(desk: Desk, con_id: int) -> Decimal:
    """How many held shares no stop covers that works and is not being cancelled; zero where the holding is not known."""
    held = sum((p.signed_quantity for p in desk.broker.positions or () if p.con_id == con_id), Decimal(0))
    staying = [o for o in desk.executor.orders if o.con_id == con_id and not o.cancel_requested_at]
    covered = sum(
        (
            g.live
            for g in protection.groups(con_id, desk.executor.orders)
            if any(o in staying and _is_stop(o) for o in g.members)
        ),
        Decimal(0),
    )
    covered += sum((o.remaining for o in staying if _is_stop(o) and not o.protects), Decimal(0))
    return max(held - covered, Decimal(0))


async def _closing(desk: Desk, message: Outgoing) -> Worded:
    """The card of a sale that has to move protection: what it is doing, and how that ended."""
    family = await desk.ledger.family(message.subject)
    if family:
        body, buttons = await _order(desk, message)
        return "\n".join([body, *(await _closing_lines(desk, message))]), buttons
    lines = await _closing_lines(desk, message)
    return await _card_name(desk, message.subject) + "\n".join(lines), ()


async def _closing_ended(desk: Desk, message: Outgoing) -> Worded:
    head = f"↩️ <b>{escape(message.data['symbol'])}: the sale did not happen as asked.</b>"
    lines = [head, *(await _closing_lines(desk, message)), text.badge(desk.broker.link)]
    return "\n".join(lines), ()


async def _closing_lines(desk: Desk, message: Outgoing) -> list[str]:
    """What became of it, and what protects the holding now."""
    if "con_id" not in message.data:
        return [f"⏳ {escape(message.data['text'])}"]
    lines, again = [escape(message.data["text"])], message.data["numbers"]
    groups = protection.groups(message.data["con_id"], desk.executor.orders)
    for order in (o for group in groups if group.live for o in group.members):
        what = "Protected again" if order.number in again else "Still protected by"
        lines.append(f"{what}: {text.terms(order)} · {text.order_state(order)}")
    if message.data["waiting"]:
        lines.append("What goes of it is put back as soon as the broker has answered.")
    staying = (g.live for g in groups if not all(o.cancel_requested_at for o in g.members))
    bare = Decimal(message.data["held"] or 0) - sum(staying, Decimal(0))
    if bare > 0:
        lines.append(f"⚠️ {text.quantity(bare)} {escape(message.data['symbol'])} have no stop or target.")
    return lines


async def _order_note(desk: Desk, message: Outgoing) -> Worded:
    order = await desk.ledger.order(number=message.data["number"])
    name = "" if order is None else f"<b>{text.terms(order)}</b> · #{order.number}\n"
    words = str(message.data["text"])
    if order is not None and words.startswith(HELD_UNTIL_OPEN) and (opens := await opening(desk, order)):
        words = f"⏸ {HELD_UNTIL_OPEN.removesuffix('.')}: {opens}."
    return f"{name}{escape(words)}\n{text.badge(desk.broker.link)}", ()


async def _cancel_asked(desk: Desk, message: Outgoing) -> Worded:
    found = await _orders(desk, message.data["numbers"])
    lines = [f"Cancel asked: #{order.number}\n   {text.terms(order)}" for order in found]
    lines += [
        f"Left alone: #{order.number} · {'EXTERNAL' if order.external else 'not within reach, cancel it in TWS'}\n   {text.terms(order)}"
        for order in await _orders(desk, message.data.get("left_alone", ()))
    ]
    return "\n".join([*lines, text.badge(desk.broker.link)]), ()


async def _orders(desk: Desk, numbers: Iterable[int]) -> list[Order]:
    return list(await desk.ledger.orders(list(numbers)))


async def _away(desk: Desk, message: Outgoing) -> Worded:
    lines = ["<b>While you were away</b>"]
    for entry in message.data["orders"]:
        if "number" not in entry:
            lines.append(await _aside(desk, entry))
            continue
        order = await desk.ledger.order(number=entry["number"])
        if order is not None:
            lines.append(f"{text.terms(order)}\n   {text.order_state(order)}")
    return "\n".join([*lines, text.badge(desk.broker.link)]), ()


async def _aside(desk: Desk, entry: Mapping[str, str]) -> str:
    """What a gap hid besides our orders."""
    if "proposal" in entry:
        ticket = await desk.ledger.ticket(entry["proposal"])
        return f"Proposal expired: {text.terms(ticket)}" if ticket is not None else "A proposal expired."
    price = text.plain_price(Decimal(entry["price"]))
    return f"Traded elsewhere: {escape(entry['side'])} {text.quantity(Decimal(entry['quantity']))} {escape(entry['symbol'])} @ {price}"


async def _elsewhere(desk: Desk, message: Outgoing) -> Worded:
    return f"👁 {await _aside(desk, message.data)}\n{text.badge(desk.broker.link)}", ()


async def _nudge(desk: Desk, message: Outgoing) -> Worded:
    """Something that the owner of an option should look at; nothing where it is not held any more."""
    data = message.data
    if desk.broker.positions is not None and all(g.key != data["key"] for g in desk.planner.groups()):
        return "", ()
    body = plans.nudge_text(data["kind"], data["name"], data["facts"])
    return f"{body}\n{text.badge(desk.broker.link)}", plans.nudge_buttons(data["key"])


async def _option_ended(desk: Desk, message: Outgoing) -> Worded:
    symbol = message.data["symbol"]
    held = desk.cards.moment(None).positions or ()
    shares = sum((p.signed_quantity for p in held if p.symbol == symbol and p.option is None), Decimal(0))
    words = [plans.ended_text(message.data)]
    if message.data["units"] is not None and shares < 0:
        owed = text.quantity(-shares)
        words.append(
            f"⚠️ {owed} {escape(symbol)} are owed now: a short, whose loss has no end. /buy {escape(symbol)} {-shares:f} closes it."
        )
    return "\n".join([*words, text.badge(desk.broker.link)]), ()


async def _drift(desk: Desk, message: Outgoing) -> Worded:
    """A holding that the books do not explain; nothing where that has passed meanwhile."""
    drifts = [d for d in desk.executor.drifts if d.con_id == message.data["con_id"]]
    if not drifts:
        return "", ()
    lines = [*text.drift_lines(drifts), text.badge(desk.broker.link)]
    return "\n".join(lines), text.drift_buttons(drifts)


async def _link_down(desk: Desk, message: Outgoing) -> Worded:
    if not desk.broker.link.wanted:
        return "", ()  # the owner asked for it, and /disconnect has said so
    return (
        f"🔌 <b>Broker not reachable</b>\n{escape(message.data['trouble'])}\nOrders that are there keep working there; nothing new leaves.",
        (),
    )


async def _link_up(desk: Desk, message: Outgoing) -> Worded:
    words = f"🟢 <b>Connected</b> and compared with the broker's book.\n{text.badge(desk.broker.link)}"
    first = await desk.ledger.recall(FIRST_CONTACT)
    if first is None:
        first = str(message.id)
        await desk.ledger.remember(FIRST_CONTACT, first)
    return f"{words}\nTry /positions or /buy AAPL 10" if first == str(message.id) else words, ()


async def _card(desk: Desk, message: Outgoing) -> Worded:
    """The end of a card's story, under its title and with whose money it was about."""
    state = TicketState(message.data["state"])
    story = state.proposal_story if message.data.get("proposal") else state.story
    return f"{await _card_name(desk, message.subject)}{escape(story)}", ()


async def _card_name(desk: Desk, ticket_id: str) -> str:
    ticket = await desk.ledger.ticket(ticket_id)
    if ticket is None:
        return ""
    link = desk.broker.link
    if ticket.account:
        link = replace(link, account=ticket.account, mode=mode(ticket.account))
    return f"<b>{text.terms(ticket)}</b>\n{text.badge(link)}\n"


async def proposal_list(desk: Desk, user: int, name: str) -> Worded:
    """The open proposals of a person in the message that `name` names, which is drawn anew whenever one of them is answered there."""
    now = desk.clock.now()
    found = [t for t in await desk.ledger.proposals() if t.owner == user and t.expires_at > now]
    badge = text.badge(desk.broker.link)
    if not found:
        return f"No open proposals. /analyze AAPL asks for one.\n{badge}", ()
    lines = ["<b>Open proposals</b>", badge]
    for ticket in found:
        decision = await desk.ledger.decision(ticket.decision_id or "")
        sure = f" · {decision.confidence}%" if decision else ""
        lines.append(f"\n<b>{text.terms(ticket)}</b>{sure}\n   {verdicts.time_left(ticket.expires_at - now)}")
    rows = tuple(
        (
            (
                f"Approve {t.instrument.symbol}",
                f"listapprove:{t.ticket_id}:{name}",
            ),
            (f"Reject {t.instrument.symbol}", f"listreject:{t.ticket_id}:{name}"),
        )
        for t in found[:8]
    )
    return "\n".join(lines), rows


async def _proposal_list(desk: Desk, message: Outgoing) -> Worded:
    return await proposal_list(desk, message.chat, message.subject)


async def _proposal(desk: Desk, message: Outgoing) -> Worded:
    """A proposal drawn anew after a restart, with the time that it has left."""
    ticket = await desk.ledger.ticket(message.subject)
    decision = await desk.ledger.decision(ticket.decision_id or "") if ticket else None
    if ticket is None or decision is None or ticket.state is not TicketState.OPEN:
        return "", ()
    left = verdicts.time_left(ticket.expires_at - desk.clock.now())
    body = verdicts.proposal_text(decision, None, desk.broker.link, None)
    buttons = ((("Approve", f"approve:{ticket.ticket_id}"), ("Reject", f"reject:{ticket.ticket_id}")),)
    return (
        f"{body}\n\n<b>{text.terms(ticket)}</b>\nStill open after a restart · {left}. Approve checks everything anew.",
        buttons,
    )


async def _summary(desk: Desk, message: Outgoing) -> Worded:
    return statements.summary_text(message.data, desk.settings.timezone), ()


async def _backup_failed(desk: Desk, message: Outgoing) -> Worded:
    last = message.data["last"]
    known = f"The last backup is of {last[:16].replace('T', ' ')} UTC." if last else "There is no backup yet."
    return (
        f"⚠️ <b>Today's backup of the database failed</b>\n{escape(message.data['trouble'])}\n{known} Trading goes on; it is tried again "
        "every ten minutes, and /status tells."
    ), ()


async def _restored(desk: Desk, message: Outgoing) -> Worded:
    """A backup was restored: up to when it knew everything, and what the broker had to tell."""
    data, last = message.data, message.data["known_until"]
    until = f"{last[:16].replace('T', ' ')} UTC" if last else "a time that it does not tell"
    lines = [
        f"♻️ <b>A backup was restored</b>\nIt knows what happened until {until}. Taken from the broker since:"
    ]
    fills = data["fills"]
    lines.append(f"{fills} fill{'s' if fills != 1 else ''} that it did not know" if fills else "No fills.")
    lines += [
        f"#{order.number} {text.terms(order)}\n   {text.order_state(order)}"
        for order in await _orders(desk, data["numbers"])
    ]
    if data["cards"]:
        lines.append(
            f"Cards that were open in it are over: {data['cards']}. Nothing is sent from a card of before."
        )
    lines += [
        f"⚠️ A sale of {escape(symbol)} was moving its stops and targets: /orders shows which of them stand."
        for symbol in data["sales"]
    ]
    lines.append(
        "The broker tells fills of today only. Where older ones are missing, /positions and the books differ: you are told, and new orders "
        "in that symbol wait for your word."
    )
    return "\n".join([*lines, text.badge(desk.broker.link)]), ()


async def _halted(desk: Desk, message: Outgoing) -> Worded:
    data = message.data
    cancelling, unreachable, staying, external = [
        await _orders(desk, data[name]) for name in ("cancelling", "unreachable", "staying", "external")
    ]
    body = safety.halted(
        data["reason"],
        cancelling,
        unreachable,
        staying,
        external,
        bare=[(symbol, Decimal(held)) for symbol, held in data["bare"]],
        connected=data["connected"],
        link=desk.broker.link,
    )
    return body, safety.halted_buttons(staying, external, desk.broker.link.client_id)


async def _halt_done(desk: Desk, message: Outgoing) -> Worded:
    data = message.data
    over = f"{data['over']} order{'s' if data['over'] != 1 else ''}"
    lines = [f"🛑 {over} that could add {'are' if data['over'] != 1 else 'is'} over."]
    if data["left"]:
        lines.append("⚠️ Asked, and not answered yet:")
        lines += [f"#{o.number} {text.terms(o)}" for o in await _orders(desk, data["left"][: safety.MOST])]
    return "\n".join([*lines, text.badge(desk.broker.link)]), ()


async def _reducing(desk: Desk, message: Outgoing) -> Worded:
    lines = [f"🟠 <b>REDUCING</b>\n{escape(message.data['reason'])}", safety.MEANS[TradingState.REDUCING]]
    return "\n".join([*lines, text.badge(desk.broker.link)]), ()


async def _resumed(desk: Desk, message: Outgoing) -> Worded:
    if desk.trading.now.state is not TradingState.ACTIVE:
        return "", ()
    lines = ["🟢 <b>ACTIVE</b>: trading is open again.", *(f"⚠️ {escape(w)}" for w in message.data["against"])]
    return "\n".join([*lines, text.badge(desk.broker.link)]), ()


_WORDS: Mapping[str, Callable[[Desk, Outgoing], Awaitable[Worded]]] = {
    "order": _order,
    "order_news": _order_news,
    "order_note": _order_note,
    "cancel_asked": _cancel_asked,
    "closing": _closing,
    "closing_ended": _closing_ended,
    "away": _away,
    "drift": _drift,
    "elsewhere": _elsewhere,
    "nudge": _nudge,
    "option_ended": _option_ended,
    "backup_failed": _backup_failed,
    "restored": _restored,
    "link_down": _link_down,
    "link_up": _link_up,
    "card": _card,
    "summary": _summary,
    "proposals": _proposal_list,
    "proposal": _proposal,
    "halted": _halted,
    "halt_done": _halt_done,
    "reducing": _reducing,
    "resumed": _resumed,
}


def known_kinds() -> frozenset[str]:
    """Every kind of notice that has words."""
    return frozenset(_WORDS)
