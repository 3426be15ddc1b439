"""The books: /lots."""

import asyncio

from bot import statements
from bot.command import Caller, Symbol, command
from bot.reply import Reply
from bot.services import Desk
from core.lots import EXCHANGE_ZONE, Books, book
from core.model import History


@command("/lots [SYMBOL]")
async def lots(desk: Desk, who: Caller, symbol: Symbol | None = None) -> Reply:
    """Open lots with what they cost, and what the sales of this year brought.

    First in, first out, with commissions. What was held before Greenlight knew the account counts at the broker's average cost. The
    premium of an option that was exercised or assigned is in its shares.
    """
    link = desk.broker.link
    history = await desk.ledger.history(link.account or desk.settings.ibkr_account_id or None)
    books = await asyncio.to_thread(_books, history)
    year = desk.clock.now().astimezone(EXCHANGE_ZONE).year
    held = desk.broker.positions
    notes: list[str] = []
    if link.account is not None and not await desk.ledger.books_opened(link.account):
        notes = [
            "What was held before is not known yet: that needs a minute without trades. Until then sales of it look like shorts."
        ]
    elif held is not None and link.reconciled:
        notes = statements.differences(held, books.lots, symbol)
    return Reply(
        statements.lots_text(
            [lot for lot in books.lots if symbol in (None, lot.symbol)],
            [c for c in books.closures if symbol in (None, c.symbol) and c.closed_on.year == year],
            year,
            symbol,
            link,
            notes,
        )
    )


def _books(history: History) -> Books:
    return book(
        history.executions,
        history.commissions,
        openings=history.openings,
        adjustments=history.adjustments,
    )
