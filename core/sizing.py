"""How many shares: from a number, an amount of money, a part of the holding, or what an entry may risk. Always rounded down."""

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum

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
        if free is None:
            raise BadInput(
                f"How many {request.symbol} you hold is not known yet, so a part of it cannot be sold; the positions come a few seconds "
                "after connecting."
            )
        if request.side is not Side.SELL or free <= 0:
            raise BadInput(
                f"There is nothing of {request.symbol} to sell: the holding, less what is already on sale, is {free:f}."
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


class Bound(StrEnum):
    """What may limit the size of an entry."""

    CONFIDENCE = "confidence"
    POSITION_CAP = "position_cap"
    RISK = "risk"


@dataclass(frozen=True, slots=True)
class Sized:
    """A whole number of shares, zero where not even one fits, and the tightest bound."""

    quantity: Decimal
    by: Bound


def entry_quantity(
    *,
    confidence: int,
    price: Decimal,
    stop: Decimal,
    max_position_size: Decimal,
    held_value: Decimal,
    net_liquidation: Decimal,
    max_portfolio_risk: Decimal,
    rate: Decimal,
) -> Sized:
    """The shares of an entry: the fewest that conviction, the room under the cap and the loss at the stop each allow, rounded down.

    `confidence` is in percent; `price` and `stop` in the instrument's currency; `max_position_size`, `held_value` (of everything held
    and on its way, a short counts like a long) and `net_liquidation` in base currency; `max_portfolio_risk` is the part of
    net liquidation that one trade may lose at its stop (0.02 is 2 %); `rate` is base currency per unit of the instrument's currency.
    Of bounds that are equally tight the first in Bound is named. Raises BadInput where the size cannot be measured.
    """
    figures = (price, stop, max_position_size, held_value, net_liquidation, max_portfolio_risk, rate)
    if not all(figure.is_finite() for figure in figures) or min(price, stop, rate) <= 0 or price == stop:
        raise BadInput(
            "The size cannot be measured: it needs a price, a stop at another price, and an exchange rate."
        )
    if not 0 <= confidence <= 100:
        raise BadInput(f"Confidence is a percentage from 0 to 100, not {confidence}.")
    unit, loss = price * rate, abs(price - stop) * rate
    bounds = {
        Bound.CONFIDENCE: (max_position_size * confidence / 100, unit),
        Bound.POSITION_CAP: (max_position_size - abs(held_value), unit),
        Bound.RISK: (max_portfolio_risk * net_liquidation, loss),
    }
    shares_of = {by: max(amount, Decimal(0)) / each for by, (amount, each) in bounds.items()}
    whole = min(max(amount, Decimal(0)) // each for amount, each in bounds.values())
    return Sized(whole, min(shares_of, key=shares_of.__getitem__))


def plan_quantity(*, confidence: int, loss: Decimal, allowed: Decimal, most: Decimal) -> Decimal:
    """How many of a plan of options: as many as together lose at worst no more than conviction allows, and never more than `most`.

    `confidence` is in percent and scales `allowed`, what one trade may lose; `loss` is what one combination may lose, in the same
    currency (zero where shares that are held stand behind it). Zero where not even one fits. Raises BadInput where it cannot be measured.
    """
    if not all(figure.is_finite() for figure in (loss, allowed, most)) or loss < 0:
        raise BadInput(
            "The size cannot be measured: what the plan can lose, or the account's worth, is not known."
        )
    if not 0 <= confidence <= 100:
        raise BadInput(f"Confidence is a percentage from 0 to 100, not {confidence}.")
    room = max(allowed, Decimal(0)) * confidence / 100
    whole = most if loss == 0 else min(room // loss, most)
    return max(whole.to_integral_value(ROUND_FLOOR), Decimal(0))
