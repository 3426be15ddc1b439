"""Legs put together: one combination, its number, and what it costs as a whole.

A combination is described as it is to be owned and always bought. Its price is a net per unit of the underlying, signed: what is paid
is above zero, what is received below. 100 shares beside one option count with their whole price, as the broker quotes it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from math import gcd

from core.model import Instrument, Leg, OptionQuote, Quote

ZERO = Decimal(0)
TICK = Decimal("0.01")
NEXT_TO_NOTHING = Decimal("0.10")


def multiplier_of(legs: Sequence[Leg]) -> Decimal:
    """Units of the underlying in one combination: that of its options; 1 for shares alone. Raises ValueError where they differ."""
    found = {leg.option.multiplier for leg in legs if leg.option}
    if len(found) > 1:
        raise ValueError("The options of one combination must be on the same number of shares.")
    return found.pop() if found else Decimal(1)


def reduced(legs: Sequence[Leg]) -> tuple[tuple[Leg, ...], int]:
    """The legs with their ratios divided by the greatest number that divides all of them, and that number (1 for no legs)."""
    divisor = gcd(*(leg.ratio for leg in legs)) or 1
    return tuple(replace(leg, ratio=leg.ratio // divisor) for leg in legs), divisor


def con_id_of(legs: Sequence[Leg]) -> int:
    """The number of a combination: below zero, above -2**62, the same for the same legs in any order and any multiple of them."""
    if not legs:
        raise ValueError("A combination has at least one leg.")
    parts = sorted((leg.con_id, leg.ratio) for leg in reduced(legs)[0])
    digest = hashlib.sha256(",".join(f"{con_id}:{ratio}" for con_id, ratio in parts).encode()).digest()
    return -1 - int.from_bytes(digest[:8], "big") % (2**62 - 1)


def opposite(legs: Sequence[Leg]) -> tuple[Leg, ...]:
    """What closes these legs when it is bought."""
    return tuple(replace(leg, ratio=-leg.ratio) for leg in legs)


def merged(*groups: Sequence[Leg]) -> tuple[Leg, ...]:
    """All legs together: the ratios of the same contract added up, what comes to nothing left out; in the order of first mention."""
    found: dict[int, Leg] = {}
    for leg in (leg for legs in groups for leg in legs):
        held = found.get(leg.con_id)
        found[leg.con_id] = leg if held is None else replace(held, ratio=held.ratio + leg.ratio)
    return tuple(leg for leg in found.values() if leg.ratio)


def weight(leg: Leg, multiplier: Decimal) -> Decimal:
    """How often the price of this leg counts in the net price of its combination."""
    return Decimal(leg.ratio) if leg.option else leg.ratio / multiplier


def net(legs: Sequence[Leg], prices: Mapping[int, Decimal]) -> Decimal:
    """The signed price of the combination per unit of the underlying. Raises KeyError where the price of a leg is missing."""
    multiplier = multiplier_of(legs)
    return sum((prices[leg.con_id] * weight(leg, multiplier) for leg in legs), ZERO)


def natural(
    legs: Sequence[Leg], quotes: Mapping[int, OptionQuote | Quote | None]
) -> tuple[Decimal | None, Decimal | None]:
    """Net bid and net ask of the combination, per unit and signed: what selling and what buying it at once would bring and cost.

    A side is None where a leg's side that it needs is missing.
    """
    multiplier = multiplier_of(legs)

    def side(buying: bool) -> Decimal | None:
        total = ZERO
        for leg in legs:
            quote = quotes.get(leg.con_id)
            price = None if quote is None else quote.ask if (leg.ratio > 0) == buying else quote.bid
            if price is None:
                return None
            total += price * weight(leg, multiplier)
        return total

    return side(buying=False), side(buying=True)


def with_nothing_bid(
    legs: Sequence[Leg], quotes: Mapping[int, OptionQuote | Quote | None]
) -> dict[int, OptionQuote | Quote | None]:
    """The markets for closing these legs together. One that is bought back and that nobody bids for starts from nothing. One that is sold
    beside others, that nobody bids for and that is offered for next to nothing, brings nothing: so the rest can be closed all the same.
    """
    found = dict(quotes)
    for leg in legs:
        quote = quotes.get(leg.con_id)
        if not isinstance(quote, OptionQuote) or quote.bid is not None or quote.ask is None:
            continue
        if leg.ratio > 0 or (len(legs) > 1 and ZERO < quote.ask <= NEXT_TO_NOTHING):
            found[leg.con_id] = replace(quote, bid=ZERO)
    return found


def parts(of: Instrument) -> tuple[Instrument, ...]:
    """The options of a combination, or a single one, as instruments: enough of each to ask for its market."""
    if of.option is not None:
        return (of,)
    return tuple(
        replace(
            of,
            con_id=leg.con_id,
            kind="OPT",
            name="",
            multiplier=leg.option.multiplier,
            option=leg.option,
            legs=(),
        )
        for leg in of.legs
        if leg.option is not None
    )


def bag(underlying: Instrument, legs: Sequence[Leg], name: str) -> Instrument:
    """The combination as an instrument called `name`. Raises ValueError where the ratios have a common divisor: reduce them first,
    and multiply the quantity.
    """
    if reduced(legs)[1] != 1:
        raise ValueError("The ratios of a combination must be reduced.")
    return Instrument(
        con_id=con_id_of(legs),
        symbol=underlying.symbol,
        kind="BAG",
        exchange="SMART",
        primary_exchange="",
        currency=underlying.currency,
        name=name,
        min_tick=TICK,
        multiplier=multiplier_of(legs),
        hours=underlying.hours,
        time_zone=underlying.time_zone,
        legs=tuple(legs),
    )
