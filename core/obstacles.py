"""What stands in the way of a sale, or of a change, besides the rules: protection that has to move first and cannot, or a sale that moves it."""

from core import protection, risk
from core.model import Denial, Order, OrderState, Side, Ticket
from core.orderbook import OrderBook
from core.ports import Broker, Ledger


class Obstacles:
    """Looks, and changes nothing."""

    def __init__(self, broker: Broker, ledger: Ledger, book: OrderBook) -> None:
        self._broker, self._ledger, self._book = broker, ledger, book

    async def of_sale(self, ticket: Ticket, snapshot: risk.Snapshot) -> tuple[Denial, ...]:
        """Why a sale that passed every rule cannot go beside what protects its shares, or beside a sale that moves it."""
        if risk.is_plan(ticket):
            return _opens_after_all(ticket, snapshot) or _shares_that_are_protected(ticket, snapshot)
        if ticket.side is not Side.SELL:
            return ()
        held = snapshot.held(ticket.instrument.con_id)
        needed = protection.plan(ticket, held, snapshot.working)
        found = [await self._under_way(ticket, needed)]
        found += [_stuck(entry) for entry in needed.stuck[:1]]
        found += [self._out_of_reach(order) for order, _ in needed.moves]
        return tuple(dict.fromkeys(denial for denial in found if denial is not None))

    async def _under_way(self, ticket: Ticket, needed: protection.Plan) -> Denial | None:
        symbol = ticket.instrument.symbol
        for closing in await self._ledger.unfinished_closings():
            if closing.ticket.instrument.con_id != ticket.instrument.con_id:
                continue
            sale = next((o for o in self._book.orders if o.order_ref == closing.ticket.ticket_id), None)
            if sale is None:
                return Denial(
                    "SALE_UNDER_WAY",
                    f"A sale of {closing.ticket.quantity:f} {symbol} is under way, and the stops and targets of {symbol} are being moved for it.",
                    remedy=f"the same when that has ended; its card, or /orders {symbol}, tells",
                )
            if needed.moves:
                return Denial(
                    "SALE_UNDER_WAY",
                    f"The sale #{sale.number} has moved the protection of {symbol} already and still works; a second one cannot.",
                    remedy=f"/cancel {sale.number}, then this again",
                )
        return None

    async def of_change(self, order: Order, change: Ticket) -> Denial | None:
        """Why an order cannot be changed while a sale moves the protection of its shares: not that protection, and not how much is sold."""
        for closing in await self._ledger.unfinished_closings():
            of_it = closing.ticket.ticket_id == order.card and change.quantity != order.quantity
            if of_it or (order.protects and closing.ticket.instrument.con_id == order.con_id):
                return Denial(
                    "SALE_UNDER_WAY",
                    f"A sale of {order.symbol} is under way that has moved stops and targets for its quantity.",
                    remedy=f"/cancel {order.number}, then /sell anew"
                    if of_it
                    else f"the same when that has ended; /orders {order.symbol} tells",
                )
        return None

    def _out_of_reach(self, order: Order) -> Denial | None:
        """Why protection that has to move cannot be moved from here."""
        link, what = self._broker.link, f"Its {order.role.lower()} #{order.number}"
        if order.change is not None:
            return Denial(
                "PROTECTION",
                f"A change of {what.lower()} is not confirmed yet.",
                remedy=f"wait for the broker's word, or /cancel {order.number}",
            )
        if self.reaches(order):
            return None
        if order.client_id != link.client_id:
            return Denial(
                "PROTECTION",
                f"{what} was placed under client id {order.client_id}, and only that can move it.",
                remedy=f"IBKR_CLIENT_ID={order.client_id}, or cancel it in TWS",
            )
        return Denial(
            "PROTECTION",
            f"{what} is UNKNOWN: it may still sell, and cannot be moved out of the way.",
            remedy="to look for it in TWS, and to settle it here",
        )

    def reaches(self, order: Order) -> bool:
        """Whether a message about the order would hit it, and nothing else."""
        link = self._broker.link
        return (
            order.client_id == link.client_id
            and order.state is not OrderState.UNKNOWN
            and not self._book.is_doubtful(order, link.epoch)
        )


def _opens_after_all(ticket: Ticket, snapshot: risk.Snapshot) -> tuple[Denial, ...]:
    """Why a card that was shown as a closing one is not sent: what it closes is gone, or on its way, and then it opens something."""
    legs = ticket.instrument.legs or (ticket.instrument,)
    if not ticket.closes or len(risk.shrinking(ticket, snapshot)) == len(legs):
        return ()
    symbol = ticket.instrument.symbol
    return (
        Denial(
            "CLOSED_ALREADY",
            "This card closes what is not held any more, or is on its way out already; now it would open something.",
            remedy=f"/orders {symbol} and /positions {symbol} show how it stands",
        ),
    )


def _shares_that_are_protected(ticket: Ticket, snapshot: risk.Snapshot) -> tuple[Denial, ...]:
    """Why a combination cannot sell shares that a stop, a target or another order may sell too: nothing moves those for it."""
    for leg in ticket.instrument.legs:
        sold = -leg.ratio * ticket.quantity
        if leg.option is not None or sold <= 0:
            continue
        held = snapshot.held(leg.con_id)
        if held is not None and protection.room(leg.con_id, held, snapshot.working) < sold:
            symbol = ticket.instrument.symbol
            return (
                Denial(
                    "PROTECTION",
                    f"Stops, targets or sales of {symbol} at work may sell the same shares.",
                    remedy=f"/cancel {symbol} first, then this again",
                ),
            )
    return ()


def _stuck(entry: Order) -> Denial:
    return Denial(
        "ENTRY_UNDER_WAY",
        f"#{entry.number} still buys {entry.symbol}, and its stop and target protect what it has bought: "
        "they cannot be moved for a sale without leaving the rest of it bare.",
        remedy=f"/cancel {entry.number}, then this again",
    )
