"""Combinations: which TWS takes, what they cost as a whole, and what each leg of one was traded at, so that the prices add up."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from math import gcd
from typing import NamedTuple

from sim.tws.contracts import BY_ID, Instrument
from sim.tws.errors import Refused, invalid
from sim.tws.market import Market, Quote
from sim.tws.terms import Leg

_HUNDRED = Decimal(100)
_SEARCH = 200
"""By how many ticks one leg is moved at most so that another one's price is on its tick."""


class Part(NamedTuple):
    """A leg: how many of an instrument one combination has (negative: sold), and how often its price counts in the combination's."""

    instrument: Instrument
    ratio: int
    weight: Decimal


def parts(legs: Sequence[Leg]) -> list[Part]:
    """The legs with their weights: prices of a combination with an option in it are those of one share, as are the option's."""
    known = [(BY_ID[leg.con_id], leg.ratio if leg.action == "BUY" else -leg.ratio) for leg in legs]
    unit = _HUNDRED if any(instrument.is_option for instrument, _ in known) else Decimal(1)
    return [Part(instrument, ratio, ratio * instrument.multiplier / unit) for instrument, ratio in known]


def instrument(legs: Sequence[Leg], leg_prices: Sequence[str], now: datetime) -> Instrument:
    """The combination that these legs make. Refused where TWS would not trade it as one."""
    if len(legs) < 2:
        raise Refused(314, "Security type 'BAG' requires combo leg details.")
    if any(leg_prices):
        raise Refused(10058, "Leg prices are not supported for this combination.")
    found = []
    for number, leg in enumerate(legs, 1):
        known = BY_ID.get(leg.con_id) if leg.con_id > 0 else None
        if known is None or (known.is_option and now >= known.expires):
            raise Refused(200, "No security definition has been found for the request")
        if leg.action not in {"BUY", "SELL"} or leg.ratio < 1 or not (known.is_option or known.is_share):
            raise Refused(313, f"The combo details for leg {number} are invalid.")
        found.append(known)
    if len({leg.con_id for leg in legs}) < len(legs):
        raise invalid("Duplicate legs in the combination")
    if gcd(*(leg.ratio for leg in legs)) > 1:
        raise invalid("The ratios of the combination's legs have a common divisor")
    if len({one.underlying or one.con_id for one in found}) > 1:
        raise invalid("The legs of a guaranteed combination are on one underlying")
    return BY_ID[-(found[0].underlying or found[0].con_id)]


def quote(market: Market, legs: Sequence[Leg], now: datetime) -> Quote:
    """Bid and ask of a combination: what its legs cost at theirs. The last is halfway between them."""
    return _net(parts(legs), [market.quote(leg.con_id, now) for leg in legs], now)


def _net(of: Sequence[Part], quotes: Sequence[Quote], now: datetime) -> Quote:
    pairs = list(zip(of, quotes, strict=True))
    ask = sum((p.weight * (q.ask if p.weight > 0 else q.bid) for p, q in pairs), Decimal(0))
    bid = sum((p.weight * (q.bid if p.weight > 0 else q.ask) for p, q in pairs), Decimal(0))
    size = min((min(q.bid_size, q.ask_size) for q in quotes), default=0)
    return Quote(now, bid, ask, (bid + ask) / 2, size, size, 0)


def within(quoted: Quote, sign: int, limit: Decimal | None, improves: Decimal) -> Quote:
    """The quote that an order with a limit meets: somebody may trade inside of the spread, from halfway plus a part (`improves`) of its half on."""
    if limit is None or not quoted.bid < limit < quoted.ask:
        return quoted
    needed = quoted.middle + sign * improves * (quoted.ask - quoted.bid) / 2
    if sign * (limit - needed) < 0:
        return quoted
    return replace(quoted, ask=limit) if sign > 0 else replace(quoted, bid=limit)


def split(market: Market, legs: Sequence[Leg], price: Decimal, now: datetime) -> list[Decimal]:
    """What each leg is traded at when the combination is at a price: each as far between its bid and ask as the whole, and the sum exact."""
    of, quotes = parts(legs), [market.quote(leg.con_id, now) for leg in legs]
    whole = _net(of, quotes, now)
    width = whole.ask - whole.bid
    share = min(max((whole.ask - price) / width, Decimal(0)), Decimal(1)) if width else Decimal(0)
    prices = []
    for part, q in zip(of, quotes, strict=True):
        far, near = (q.ask, q.bid) if part.weight > 0 else (q.bid, q.ask)
        prices.append(_on_tick(far + (near - far) * share, part.instrument))
    return _exact(of, prices, price)


def _on_tick(price: Decimal, one: Instrument) -> Decimal:
    return (price / one.min_tick).quantize(Decimal(1)) * one.min_tick


def _exact(of: Sequence[Part], prices: list[Decimal], price: Decimal) -> list[Decimal]:
    """The prices with as little changed as makes them add up: one leg takes what is left, where need be after another one was moved by ticks."""
    rest = price - sum((p.weight * at for p, at in zip(of, prices, strict=True)), Decimal(0))
    if not rest:
        return prices
    order = sorted(range(len(of)), key=lambda n: (abs(of[n].weight), -prices[n]))
    for moved in range(_SEARCH):
        for by in (moved, -moved):
            for taker in order:
                for giver in order if moved else order[:1]:
                    if moved and giver == taker:
                        continue
                    trial = list(prices)
                    if moved:
                        trial[giver] += by * of[giver].instrument.min_tick
                    left = price - sum((p.weight * at for p, at in zip(of, trial, strict=True)), Decimal(0))
                    trial[taker] += left / of[taker].weight
                    on_tick = trial[taker] % of[taker].instrument.min_tick == 0
                    if on_tick and min(trial) >= 0:
                        return trial
    taker = order[-1]
    prices[taker] += rest / of[taker].weight  # no whole ticks make it: TWS then shows more decimals
    return prices
