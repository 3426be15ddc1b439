"""A plan of options as a reply: its card with buttons, and the picture of what it brings behind it."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot import pictures, plans, text
from bot.reply import Reply
from bot.services import Desk
from core.model import Buttons, Outgoing
from core.options import pricing
from core.options.plan import PlanPreview
from core.planner import RATE


async def plan_card(
    desk: Desk, preview: PlanPreview, *, look_only: bool = False, lead: str = "", fresh: bool = False
) -> Reply:
    """The card of a plan; with buttons only where it could be sent. One that is drawn `fresh` has had its picture."""
    ticket = preview.ticket
    sendable = not preview.denials and not look_only
    seconds = (ticket.expires_at - ticket.created_at).total_seconds() if sendable else 0.0
    body = lead + plans.card(preview, desk.broker.link, desk.broker.account, seconds)
    also = () if fresh else await picture_of(desk, preview)
    away = ("Discard", f"discard:{ticket.ticket_id}")
    if preview.fits and not look_only:
        fits = (f"Make it {preview.fits}", f"fit:{ticket.ticket_id}")
        return Reply(body, ((fits, away),), opens=ticket, also=also)
    if not sendable:
        return Reply(body, also=also)
    yes = (
        ("Send a second one", f"again:{ticket.ticket_id}")
        if preview.again
        else ("Send", f"send:{ticket.ticket_id}")
    )
    choice: Buttons = ((yes, away),)
    return Reply(body, choice, opens=ticket, also=also)


async def picture_of(desk: Desk, preview: PlanPreview) -> tuple[Outgoing, ...]:
    """The message with the picture of what a plan brings, today and at expiry; none for one that only closes."""
    if preview.outcome is None or preview.judged_price is None:
        return ()
    facts = await asyncio.to_thread(_payoff, desk, preview)
    if facts is None:
        return ()
    ticket = preview.ticket
    words = f"{plans.picture_title(preview)}\n{text.badge(desk.broker.link)}"
    message = Outgoing(ticket.owner, "payoff", desk.clock.now(), text=words, data=facts, picture="payoff")
    return (replace(message, urgent=True),)


def _payoff(desk: Desk, preview: PlanPreview) -> Mapping[str, Any] | None:
    price, spot = preview.judged_price, plans.spot_price(preview)
    if price is None:
        return None
    quotes = {leg.leg.con_id: leg.quote for leg in preview.legs}
    volatilities = {
        leg.con_id: quote.volatility
        for leg in preview.judged
        if (quote := quotes.get(leg.con_id)) is not None and quote.volatility is not None
    }
    known = all(leg.con_id in volatilities for leg in preview.judged if leg.option)

    def worth(prices: list[float]) -> list[float]:
        return pricing.worth_today(preview.judged, price, prices, volatilities, RATE, desk.planner.today)

    try:
        return pictures.payoff_facts(
            preview.ticket.instrument.label,
            preview.judged,
            price,
            preview.ticket.quantity,
            spot=spot,
            currency=preview.ticket.instrument.currency,
            mode=desk.broker.link.mode,
            worth=worth if known else None,
        )
    except ValueError:  # a plan whose payoff cannot be drawn is refused on its card, which says why
        return None
