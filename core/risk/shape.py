"""Whether the order is one that a person can mean: quantity, prices, sides."""

from decimal import Decimal

from core.model import Denial, OrderType, Side, Ticket
from core.options import recognise
from core.risk.terms import Limits, Snapshot, beside, reduces, worst_price


def quantity_sane(ticket: Ticket, _snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """A whole, positive number of shares of a thing whose multiplier is known."""
    quantity = ticket.quantity
    if ticket.instrument.multiplier <= 0:
        return Denial(
            "QUANTITY",
            f"What one {ticket.instrument.symbol} stands for is not known.",
            remedy="trade it in TWS",
        )
    if not quantity.is_finite() or quantity <= 0 or quantity != quantity.to_integral_value():
        return Denial(
            "QUANTITY",
            "The quantity must be a whole number of shares above zero.",
            f"{quantity}",
            "1 or more",
        )
    return None


def price_sane(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """Prices are finite, on the tick, and not off by a factor."""
    needs = {OrderType.LIMIT: ticket.limit_price, OrderType.STOP: ticket.stop_price}
    if ticket.order_type in needs and needs[ticket.order_type] is None:
        return Denial("PRICE", f"A {ticket.order_type} order needs its price.", remedy="@ 187.50 or stop 180")
    prices = {
        "limit": ticket.limit_price,
        "stop": ticket.stop_price,
        "stop loss": ticket.stop_loss,
        "take profit": ticket.take_profit,
    }
    for name, price in prices.items():
        if price is None:
            continue
        if not price.is_finite() or price <= 0:
            return Denial("PRICE", f"The {name} price must be above zero.", f"{price}", "above 0")
        tick = ticket.instrument.tick_at(price)
        if tick > 0 and price % tick:
            near = (price / tick).to_integral_value() * tick
            return Denial(
                "TICK",
                f"The {name} price is not on the tick of {tick:f}.",
                f"{price:f}",
                f"{tick:f}",
                f"{near:f}",
            )
        market = snapshot.quote.far_side(ticket.side) if snapshot.quote else None
        if (
            market
            and market > 0
            and not market / limits.max_price_factor <= price <= market * limits.max_price_factor
        ):
            return Denial(
                "PRICE",
                f"The {name} price is off by a factor from the {market:f} at which {ticket.instrument.symbol} trades.",
                f"{price:f}",
                f"between {market / limits.max_price_factor:.2f} and {market * limits.max_price_factor:.2f}",
            )
    return None


def stop_side(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """A stop that would trigger at once is a market order by another name."""
    if ticket.order_type is not OrderType.STOP or ticket.stop_price is None or snapshot.quote is None:
        return None
    market = snapshot.quote.far_side(ticket.side)
    if market is None:
        return None
    if ticket.side is Side.SELL and ticket.stop_price >= market:
        return Denial(
            "STOP_SIDE",
            "A sell stop must lie below the market, or it sells at once.",
            f"{ticket.stop_price:f}",
            f"below {market:f}",
        )
    if ticket.side is Side.BUY and ticket.stop_price <= market:
        return Denial(
            "STOP_SIDE",
            "A buy stop must lie above the market, or it buys at once.",
            f"{ticket.stop_price:f}",
            f"above {market:f}",
        )
    return None


def bracket_sides(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """The stop loss lies on the losing side of the entry, the target on the winning one; an order that only closes has neither.

    They would work on when it has closed, and open the other way.
    """
    if (ticket.stop_loss is not None or ticket.take_profit is not None) and reduces(ticket, snapshot):
        return Denial(
            "BRACKET",
            "This order closes a holding, so there is nothing left for a stop loss or take profit to protect.",
            remedy="the same without sl and tp",
        )
    price = worst_price(ticket, snapshot.quote)
    if price is None:
        return None
    sign = ticket.side.sign
    if ticket.stop_loss is not None and (price - ticket.stop_loss) * sign <= 0:
        side = "below" if sign > 0 else "above"
        return Denial(
            "BRACKET",
            f"The stop loss must lie {side} the entry.",
            f"{ticket.stop_loss:f}",
            f"{side} {price:f}",
        )
    if ticket.take_profit is not None and (ticket.take_profit - price) * sign <= 0:
        side = "above" if sign > 0 else "below"
        return Denial(
            "BRACKET",
            f"The take profit must lie {side} the entry.",
            f"{ticket.take_profit:f}",
            f"{side} {price:f}",
        )
    return None


def sale_covered(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """A sale never exceeds the holding minus the sales that are already working: no short by accident."""
    if ticket.side is not Side.SELL:
        return None
    held = snapshot.held(ticket.instrument.con_id)
    if held is None:
        return Denial(
            "POSITION_UNKNOWN",
            "The positions are not loaded yet.",
            remedy="they come a few seconds after connecting",
        )
    working = snapshot.working_quantity(ticket.instrument.con_id, Side.SELL)
    free = held - working
    around = beside(ticket, snapshot)
    uncovered = recognise.unencumbered(
        ticket.instrument.con_id, ticket.instrument.symbol, around.least, around.working, stops_move=True
    )
    if uncovered < ticket.quantity <= free:
        return Denial(
            "COVERS_CALL",
            f"Only {max(uncovered, Decimal(0)):f} of your {held:f} {ticket.instrument.symbol} cover no call that is owed; without its shares a "
            "short call could lose without end.",
            f"{ticket.quantity:f}",
            f"{max(uncovered, Decimal(0)):f}",
            "close the call first: /positions has a button for both",
            fits=int(uncovered) if uncovered >= 1 else None,
        )
    if ticket.quantity > free:
        already = f", {working:f} of them already on sale" if working else ""
        return Denial(
            "SHORT_SALE",
            f"You hold {held:f} {ticket.instrument.symbol}{already}; a larger sale would open a short.",
            f"{ticket.quantity:f}",
            f"{max(free, Decimal(0)):f}",
            fits=int(free) if free >= 1 else None,
        )
    return None
