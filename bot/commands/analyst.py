"""The analyst: /analyze asks the model and shows what it says; Approve and Reject belong to the person."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from bot import notices, verdicts
from bot.command import Caller, Lane, Symbol, button, command
from bot.commands.planned import picture_of
from bot.commands.trade import ending, ends_old_cards, plan_lines, send_card, verdict_buttons
from bot.reply import Reply
from bot.services import Desk
from core.errors import StaleCard
from core.model import Outgoing, StoredDecision, Ticket, TicketState
from core.options.plan import PlanPreview


@command("/analyze SYMBOL", lane=Lane.SLOW)
async def analyze(desk: Desk, who: Caller, symbol: Symbol) -> Reply:
    """Ask the AI about a stock. At or above your threshold it becomes a proposal with Approve and Reject.

    The model sees numbers that code computed, never your name or account number. It proposes a direction, a target and a stop, or
    where there are options a plan of them (ANALYST_OPTIONS); the quantity comes from your rules, and nothing is sent before you tap Approve.
    """
    card = await who.progress(f"🔎 Analysing {symbol}: looking it up…")

    async def tell(step: str) -> None:
        await who.progress(f"🔎 Analysing {symbol}: {step}…", card)

    proposal = await desk.proposer.propose(who.user, symbol, tell)
    link, account = desk.broker.link, desk.broker.account
    body = verdicts.analysis(proposal, link, account, plan_lines(proposal.preview, link, account))
    older = None if proposal.decision is None else await _older(desk, who, proposal.decision)
    if proposal.preview is None:
        return Reply(body, ends=older)
    preview = proposal.preview
    also = await picture_of(desk, preview) if isinstance(preview, PlanPreview) else ()
    if preview.ticket.state is not TicketState.OPEN:
        return Reply(body, opens=preview.ticket, ends=older, also=also)
    return Reply(body, verdict_buttons(preview.ticket), opens=preview.ticket, ends=older, also=also)


async def _older(desk: Desk, who: Caller, decision: StoredDecision) -> Ticket | None:
    """The proposal about the same share (itself, or a plan of its options) that a new decision takes the place of, as it ends."""
    for ticket in await desk.ledger.proposals():
        before = await desk.ledger.decision(ticket.decision_id or "") if ticket.owner == who.user else None
        if before is not None and before.con_id == decision.con_id:
            return ending(desk, ticket, TicketState.REPLACED)
    return None


@command("/proposals")
async def proposals(desk: Desk, who: Caller) -> Reply:
    """The proposals that still wait for your Approve or Reject."""
    name = f"list-{who.origin.update_id}"
    shown, buttons = await notices.proposal_list(desk, who.user, name)
    return Reply(shown, buttons, names=name)


@button("approve")
@ends_old_cards
async def approve(desk: Desk, who: Caller, ticket_id: str) -> Reply:
    """Run the proposal through the same checks and the same road as any other order."""
    return await send_card(desk, who, ticket_id)


@button("reject")
@ends_old_cards
async def reject(desk: Desk, who: Caller, ticket_id: str) -> Reply:
    """Put the proposal away; it is kept to be graded."""
    ticket = await desk.cards.open_card(ticket_id, who.user)
    if ticket.decision_id is None:
        raise StaleCard("This card is no proposal.")
    return Reply(toast="Rejected.", ends=ending(desk, ticket, TicketState.DISCARDED))


@button("listapprove")
async def approve_in_list(desk: Desk, who: Caller, argument: str) -> Reply:
    """The same in the list of proposals."""
    return await _in_list(desk, who, argument, approve)


@button("listreject")
async def reject_in_list(desk: Desk, who: Caller, argument: str) -> Reply:
    """The same in the list of proposals."""
    return await _in_list(desk, who, argument, reject)


async def _in_list(
    desk: Desk, who: Caller, argument: str, act: Callable[[Desk, Caller, str], Awaitable[Reply]]
) -> Reply:
    """Do it to the proposal, whose own card tells its end, and draw the list anew. What was tapped is the list, not the card."""
    ticket_id, _, name = argument.partition(":")
    redrawn = Outgoing(who.user, "proposals", desk.clock.now(), subject=name, is_edit=True)
    reply = await act(desk, replace(who, origin=replace(who.origin, message_id=None)), ticket_id)
    if reply.recorded and not reply.text:
        await desk.ledger.post([redrawn])
        return reply
    return replace(reply, also=(*reply.also, redrawn))
