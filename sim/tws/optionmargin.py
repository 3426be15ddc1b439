"""What options tie up, in the manner of Regulation T: a strategy counts by the most that it can lose, a naked short one by the usual percentages.

Every figure is what an account needs beyond the net value of its options, which are part of what it is worth: a purchase ties up what it
costs, a spread at a credit its width less what closing it costs, a covered call nothing beyond its shares.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_FLOOR, Decimal

from sim.tws.contracts import Instrument

_OF_SPOT, _LEAST = Decimal("0.20"), Decimal("0.10")


@dataclass(slots=True)
class _Line:
    """So many contracts of an option (negative: short), each worth `value` dollars."""

    option: Instrument
    quantity: Decimal
    value: Decimal

    @property
    def expiry(self) -> date:
        assert self.option.expiry is not None
        return self.option.expiry


def requirement(
    holdings: Iterable[tuple[Instrument, Decimal, Decimal]], spots: Mapping[int, Decimal]
) -> Decimal:
    """What all options of an account tie up, initially and later; holdings are what, how many, at which price, spots are by underlying."""
    lines: defaultdict[int, list[_Line]] = defaultdict(list)
    shares: defaultdict[int, Decimal] = defaultdict(Decimal)
    for instrument, quantity, price in holdings:
        if instrument.is_option and quantity:
            lines[instrument.underlying].append(_Line(instrument, quantity, price * instrument.multiplier))
        elif instrument.is_share:
            shares[instrument.con_id] += quantity
    return sum((_on_one(of, shares[on], spots[on]) for on, of in lines.items()), Decimal(0))


def _on_one(lines: list[_Line], shares: Decimal, spot: Decimal) -> Decimal:
    """What the options on one underlying tie up: covered ones nothing, matched ones their worst case, the rest as naked ones."""
    short = [_Line(one.option, -one.quantity, one.value) for one in lines if one.quantity < 0]
    long = [_Line(one.option, one.quantity, one.value) for one in lines if one.quantity > 0]
    _cover(short, "C", max(shares, Decimal(0)))
    _cover(short, "P", max(-shares, Decimal(0)))
    matched: list[_Line] = []
    naked = {"C": Decimal(0), "P": Decimal(0)}
    for one in sorted(short, key=lambda one: one.expiry, reverse=True):
        for other in sorted(long, key=lambda other: abs(other.option.strike - one.option.strike)):
            if other.option.right == one.option.right and other.expiry >= one.expiry:
                count = min(other.quantity, one.quantity)
                matched += [
                    _Line(one.option, -count, one.value),
                    _Line(other.option, count, other.value),
                ]
                one.quantity -= count
                other.quantity -= count
        naked[one.option.right] += one.quantity * _naked(one.option, spot)
    bought = sum((one.quantity * one.value for one in long), Decimal(0))
    return bought + max(naked.values()) + _worst(matched)


def _cover(short: list[_Line], right: str, shares: Decimal) -> None:
    """Take off what shares stand for: a call for a hundred of them, a put for a hundred sold short; the dearest ones first."""
    for one in sorted(short, key=lambda one: -one.value):
        if one.option.right == right:
            count = min(one.quantity, (shares / one.option.multiplier).to_integral_value(ROUND_FLOOR))
            one.quantity -= count
            shares -= count * one.option.multiplier


def _naked(option: Instrument, spot: Decimal) -> Decimal:
    """What one naked short option ties up beyond its value: a fifth of the underlying less what it is out of the money, at least a tenth."""
    call = option.right == "C"
    out = max(option.strike - spot if call else spot - option.strike, Decimal(0))
    least = _LEAST * (spot if call else option.strike)
    return max(_OF_SPOT * spot - out, least) * option.multiplier


def _worst(lines: list[_Line]) -> Decimal:
    """What matched options are worth less the least that they can be worth at expiry; every short one has a long one, so that is bounded."""
    if not lines:
        return Decimal(0)
    kinks = [Decimal(0), *(one.option.strike for one in lines)]
    least = min(sum((one.quantity * _at(one.option, at) for one in lines), Decimal(0)) for at in kinks)
    worth = sum((one.quantity * one.value for one in lines), Decimal(0))
    return max(worth - least, Decimal(0))


def _at(option: Instrument, spot: Decimal) -> Decimal:
    """What an option brings at expiry."""
    inside = spot - option.strike if option.right == "C" else option.strike - spot
    return max(inside, Decimal(0)) * option.multiplier
