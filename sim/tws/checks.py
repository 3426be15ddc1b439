"""Which orders TWS takes: everything that can be said against an order before it is booked."""

from collections.abc import Collection
from decimal import Decimal

from sim.tws import matching
from sim.tws.book import Order
from sim.tws.contracts import IDEALPRO_LEAST, Instrument
from sim.tws.errors import Refused, invalid
from sim.tws.money import Preview
from sim.tws.terms import Terms

_TIMES_IN_FORCE = frozenset({"DAY", "GTC", "IOC", "GTD", "OPG", "FOK"})


def check(instrument: Instrument, terms: Terms, accounts: Collection[str]) -> str:
    """The account an order is for. Refused where TWS would refuse the order as it stands."""
    if terms.action not in {"BUY", "SELL"}:
        raise invalid(f"Invalid order side {terms.action!r}")
    _check_quantity(terms.quantity)
    check_kind(instrument, terms)
    if terms.tif not in _TIMES_IN_FORCE:
        raise Refused(10052, f"Invalid time in force:{terms.tif}")
    _check_prices(instrument, terms)
    if not terms.account and len(accounts) > 1:
        raise Refused(435, "You must specify an account.")
    account = terms.account or next(iter(accounts))
    if account not in accounts:
        raise invalid(f"Invalid account code '{account}'.")
    return account


def check_kind(instrument: Instrument, terms: Terms) -> None:
    """Whether an order of this type can be placed for that. Refused (387) for anything about an index, which nobody can buy."""
    closing_only = instrument.is_forex and (terms.type in matching.AT_CLOSE or terms.tif == "OPG")
    closing_only = closing_only or (instrument.is_option and terms.type in matching.AT_CLOSE)
    plain_only = instrument.is_combination and terms.type not in {"LMT", "MKT"}
    if terms.type not in matching.TYPES or instrument.is_index or closing_only or plain_only:
        raise Refused(387, "Unsupported order type for this exchange and security type.")


def odd_lot(order: Order) -> str:
    """TWS's warning about an order for less of a currency than its market is for; empty where it is not one."""
    instrument, quantity = order.instrument, order.terms.quantity
    least = IDEALPRO_LEAST.get(instrument.symbol, 0) if instrument.is_forex else 0
    if quantity >= least:
        return ""
    return (
        f"Order Message:\n{order.terms.action} {quantity} {instrument.symbol} {instrument.local_symbol} Forex\n"
        f"Warning: Your order size is below the {instrument.symbol} {least} IdealPro minimum and will be routed as an odd lot order."
    )


def _check_quantity(quantity: Decimal) -> None:
    if quantity == 0:
        raise Refused(434, "The order size cannot be zero.")
    if quantity < 0:
        raise invalid("The order size cannot be negative")
    if quantity != quantity.to_integral_value():
        text = (
            "Fractional-sized order cannot be placed via API. Please use desktop version to place this order."
        )
        raise Refused(10243, text)


def _check_prices(instrument: Instrument, terms: Terms) -> None:
    if matching.needs_limit(terms.type) and terms.limit is None:
        raise invalid("Please enter a valid limit price")
    if matching.needs_stop(terms.type) and terms.aux is None:
        raise invalid("Please enter a valid stop price")
    if matching.trails(terms.type) and terms.aux is None and terms.trail_percent is None:
        raise invalid("A trailing amount or percentage is required")
    if instrument.is_option and terms.limit is not None and terms.limit <= 0:
        raise Refused(110, "The price does not conform to the minimum price variation for this contract.")
    for price in (terms.limit, terms.aux, terms.trail_stop):
        if price is not None and price % instrument.tick(price):
            raise Refused(110, "The price does not conform to the minimum price variation for this contract.")


def unaffordable(preview: Preview) -> str:
    """Why an account's margin does not allow an order, in TWS's words; empty where it does."""
    if preview.after.initial <= preview.before.initial or preview.after.available >= 0:
        return ""
    return (
        "Order rejected - reason:YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH LOAN VALUE "
        f"[{preview.before.net_liquidation} USD] MUST EXCEED THE INITIAL MARGIN [{preview.after.initial} USD]"
    )
