"""Notices to words: what the desk has to say is stored as facts and worded when it is sent, so that it is true when it arrives."""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from html import escape

from bot import statements, text
from bot.services import Desk
from core.model import Buttons, Order, OrderState, Outgoing, TicketState

Worded = tuple[str, Buttons]


async def word(desk: Desk, message: Outgoing) -> Worded:
    """The HTML and buttons of a message; empty text where there is nothing left to say."""
    if message.text:
        return message.text, message.buttons
    return await _WORDS[message.kind](desk, message)


async def _order(desk: Desk, message: Outgoing) -> Worded:
    family = await desk.ledger.family(message.subject)
    entry = next((order for order in family if order.order_ref == message.subject), None)
    if entry is None:
        return "", ()
    children = [order for order in family if order is not entry]
    buttons = tuple(row for order in family for row in text.order_buttons(order))
    return text.order_card(entry, children, desk.broker.link), buttons


async def _order_news(desk: Desk, message: Outgoing) -> Worded:
    order, state = await desk.ledger.order(number=message.data["number"]), OrderState(message.data["state"])
    if order is None or await _goes_without_saying(desk, order, state):
        return "", ()
    return await _news(desk, order, state, message.data), ()


async def _goes_without_saying(desk: Desk, order: Order, state: OrderState) -> bool:
    """A stop or target that goes because its other half was filled, or because its entry never was."""
    if not order.protects or state is not OrderState.CANCELLED:
        return False
    family = await desk.ledger.family(order.card)
    others = [o for o in family if o.number != order.number]
    return any(o.protects and o.filled for o in others) or not any(o.filled for o in others if not o.protects)


async def _news(desk: Desk, order: Order, state: OrderState, data: Mapping[str, str]) -> str:
    commission, position = "", ""
    if state is OrderState.FILLED:
        trades = [t for t in await desk.ledger.trades(200) if t.order_number == order.number]
        costs = [t.commission for t in trades]
        if trades and all(cost is not None for cost in costs):
            currency = trades[0].commission_currency or order.currency
            commission = text.money(sum((cost for cost in costs if cost is not None), Decimal(0)), currency)
        if "after" in data:
            before, after = (text.quantity(Decimal(data[key])) for key in ("before", "after"))
            position = f"Position {before} → {after} {escape(order.symbol)}"
    return text.order_news(order, state, commission, position, desk.broker.link)


async def _closing(_desk: Desk, message: Outgoing) -> Worded:
    return f"⏳ {escape(message.data['text'])}", ()


async def _closing_ended(desk: Desk, message: Outgoing) -> Worded:
    again = [await desk.ledger.order(number=number) for number in message.data["numbers"]]
    lines = [
        f"↩️ <b>{escape(message.data['symbol'])}: the sale did not happen as asked.</b>",
        escape(message.data["text"]),
    ]
    lines += [
        f"Protected again: {text.terms(order)} (#{order.number})" for order in again if order is not None
    ]
    return "\n".join([*lines, text.badge(desk.broker.link)]), ()


async def _order_note(desk: Desk, message: Outgoing) -> Worded:
    order = await desk.ledger.order(number=message.data["number"])
    name = "" if order is None else f"<b>{text.terms(order)}</b> · #{order.number}\n"
    return f"{name}{escape(message.data['text'])}", ()


async def _cancel_asked(desk: Desk, message: Outgoing) -> Worded:
    found = [await desk.ledger.order(number=number) for number in message.data["numbers"]]
    lines = [f"Cancel asked: #{order.number} {text.terms(order)}" for order in found if order is not None]
    return "\n".join([*lines, text.badge(desk.broker.link)]), ()


async def _away(desk: Desk, message: Outgoing) -> Worded:
    lines = ["<b>While you were away</b>"]
    for entry in message.data["orders"]:
        order = await desk.ledger.order(number=entry["number"])
        if order is not None:
            lines.append(f"{text.terms(order)}\n   {text.order_state(order)}")
    return "\n".join([*lines, text.badge(desk.broker.link)]), ()


async def _link_down(_desk: Desk, message: Outgoing) -> Worded:
    return (
        f"🔌 <b>Broker not reachable</b>\n{escape(message.data['trouble'])}\nOrders that are there keep working there; nothing new leaves.",
        (),
    )


async def _link_up(desk: Desk, _message: Outgoing) -> Worded:
    return f"🟢 <b>Connected</b> and compared with the broker's book.\n{text.badge(desk.broker.link)}", ()


async def _card(desk: Desk, message: Outgoing) -> Worded:
    state = TicketState(message.data["state"])
    story = state.proposal_story if message.data.get("proposal") else state.story
    name = await _card_name(desk, message.subject)
    return f"{name}{escape(story)}", ()


async def _card_name(desk: Desk, ticket_id: str) -> str:
    ticket = await desk.ledger.ticket(ticket_id)
    return "" if ticket is None else f"<b>{text.terms(ticket)}</b>\n"


async def _proposal(desk: Desk, message: Outgoing) -> Worded:
    """A proposal drawn anew after a restart, with the time that it has left."""
    ticket = await desk.ledger.ticket(message.subject)
    decision = await desk.ledger.decision(ticket.decision_id or "") if ticket else None
    if ticket is None or decision is None or ticket.state is not TicketState.OPEN:
        return "", ()
    left = text.time_left(ticket.expires_at - desk.clock.now())
    body = text.proposal_text(decision, None, desk.broker.link, None)
    buttons = ((("Approve", f"approve:{ticket.ticket_id}"), ("Reject", f"reject:{ticket.ticket_id}")),)
    return (
        f"{body}\n\n<b>{text.terms(ticket)}</b>\nStill open after a restart · {left}. Approve checks everything anew.",
        buttons,
    )


async def _summary(desk: Desk, message: Outgoing) -> Worded:
    return statements.summary_text(message.data, desk.settings.timezone), ()


_WORDS: Mapping[str, Callable[[Desk, Outgoing], Awaitable[Worded]]] = {
    "order": _order,
    "order_news": _order_news,
    "order_note": _order_note,
    "cancel_asked": _cancel_asked,
    "closing": _closing,
    "closing_ended": _closing_ended,
    "away": _away,
    "link_down": _link_down,
    "link_up": _link_up,
    "card": _card,
    "summary": _summary,
    "proposal": _proposal,
}


def known_kinds() -> frozenset[str]:
    """Every kind of notice that has words."""
    return frozenset(_WORDS)
