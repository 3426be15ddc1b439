"""The life of open proposals beside the commands: drawn anew after a restart, ended when their time is over."""

import asyncio
import logging
from collections.abc import Iterable

from bot.services import Desk
from core.errors import StaleCard, StorageError
from core.model import Outgoing, Ticket, TicketState
from core.ports import Notifier

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0


async def keep(desk: Desk, notifier: Notifier) -> None:
    """Redraw what an earlier run left open, then end each proposal at its time, for ever; whatever fails is tried again."""
    redrawn = False
    while True:
        try:
            if not redrawn:
                await desk.ledger.post(_edits(desk, "proposal", await desk.ledger.proposals()))
                redrawn = True
                notifier.wake()
            await end_expired(desk, notifier)
        except StaleCard:
            log.info("a proposal was answered at the very moment of its end")
        except StorageError as problem:
            log.warning("proposals are looked at again in %.0f s: %s", LOOK_SECONDS, problem)
        except Exception:
            log.exception("proposals are looked at again in %.0f s", LOOK_SECONDS)
        await asyncio.sleep(LOOK_SECONDS)


async def end_expired(desk: Desk, notifier: Notifier) -> None:
    """End the proposals whose time is over and say so on their cards."""
    now = desk.clock.now()
    late = [ticket for ticket in await desk.ledger.proposals() if ticket.expires_at <= now]
    if late:
        await desk.ledger.end_cards(late, TicketState.EXPIRED, _edits(desk, "card", late))
        notifier.wake()


def _edits(desk: Desk, kind: str, tickets: Iterable[Ticket]) -> list[Outgoing]:
    data = {"state": "expired", "proposal": True}
    now = desk.clock.now()
    return [Outgoing(t.owner, kind, now, data=data, subject=t.ticket_id, is_edit=True) for t in tickets]
