"""The analyst: /analyze asks the model and shows what it says; Approve and Reject belong to the person."""

from dataclasses import replace

from bot import text
from bot.command import Caller, Symbol, button, command
from bot.commands.trade import send_card, verdict_buttons
from bot.reply import Reply
from bot.services import Desk
from core.errors import StaleCard
from core.model import TicketState


@command("/analyze SYMBOL", slow=True)
async def analyze(desk: Desk, who: Caller, symbol: Symbol) -> Reply:
    """Ask the AI about a stock. At or above your threshold it becomes a proposal with Approve and Reject.

    The model sees numbers that code computed, never your name or account number. It proposes a direction, a target and a stop;
    the quantity comes from your rules, and nothing is sent before you tap Approve.
    """
    card = await who.progress(f"🔎 Analysing {symbol}: looking it up…")

    async def tell(step: str) -> None:
        await who.progress(f"🔎 Analysing {symbol}: {step}…", card)

    proposal = await desk.proposer.propose(who.user, symbol, tell)
    link, account = desk.broker.link, desk.broker.account
    body = text.analysis(proposal, link, account)
    if proposal.preview is None:
        return Reply(body)
    ticket = proposal.preview.ticket
    if ticket.state is not TicketState.OPEN:
        return Reply(body, opens=ticket)
    return Reply(body, verdict_buttons(ticket), opens=ticket)


@command("/proposals")
async def proposals(desk: Desk, who: Caller) -> Reply:
    """The proposals that still wait for your Approve or Reject."""
    now = desk.clock.now()
    open_ones = [t for t in await desk.ledger.proposals() if t.owner == who.user and t.expires_at > now]
    badge = text.badge(desk.broker.link)
    if not open_ones:
        return Reply(f"No open proposals. /analyze AAPL asks for one.\n{badge}")
    lines = [f"<b>Open proposals</b> · {badge}"]
    for ticket in open_ones:
        decision = await desk.ledger.decision(ticket.decision_id or "")
        sure = f" · {decision.confidence}%" if decision else ""
        lines.append(f"\n<b>{text.terms(ticket)}</b>{sure}\n   {text.time_left(ticket.expires_at - now)}")
    rows = tuple(
        (
            (f"Approve {t.side} {text.quantity(t.quantity)} {t.instrument.symbol}", f"approve:{t.ticket_id}"),
            (f"Reject {t.instrument.symbol}", f"reject:{t.ticket_id}"),
        )
        for t in open_ones[:8]
    )
    return Reply("\n".join(lines), rows)


@button("approve")
async def approve(desk: Desk, who: Caller, ticket_id: str) -> Reply:
    """Run the proposal through the same checks and the same road as any other order."""
    return await send_card(desk, who, ticket_id)


@button("reject")
async def reject(desk: Desk, who: Caller, ticket_id: str) -> Reply:
    """Put the proposal away; it is kept to be graded."""
    ticket = await desk.executor.open_card(ticket_id, who.user)
    if ticket.decision_id is None:
        raise StaleCard("This card is no proposal.")
    return Reply(toast="Rejected.", ends=replace(ticket, state=TicketState.DISCARDED))
