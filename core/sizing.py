"""How many shares: from a number, an amount of money, or a part of the holding. Pure arithmetic, always rounded down."""

from decimal import ROUND_FLOOR, Decimal

from core.errors import BadInput
from core.model import Request, Side


def shares(request: Request, price: Decimal | None, free: Decimal | None) -> Decimal:
    """The whole number of shares that `request` means.

    `price` is what one share costs in the instrument's currency, `free` the holding that is not on sale already.
    Raises BadInput where the answer would be zero or cannot be known.
    """
    if request.quantity is not None:
        return request.quantity
    if request.fraction is not None:
        if request.side is not Side.SELL or free is None or free <= 0:
            raise BadInput(
                f"There is nothing of {request.symbol} to sell: the holding, less what is already on sale, is {free or 0}."
            )
        part = (free * request.fraction).to_integral_value(ROUND_FLOOR)
        if part < 1:
            raise BadInput(
                f"That part of {free:f} {request.symbol} is less than one share; name the number of shares."
            )
        return part
    if request.amount is None or price is None or price <= 0:
        raise BadInput(
            f"There is no price for {request.symbol} now, so ${request.amount} cannot be turned into shares."
        )
    whole = (request.amount / price).to_integral_value(ROUND_FLOOR)
    if whole < 1:
        raise BadInput(
            f"${request.amount:f} buys less than one share of {request.symbol} at {price:f}; one costs {price:f}."
        )
    return whole
