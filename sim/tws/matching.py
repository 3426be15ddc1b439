"""When an order trades and at which price: the rules for each order type against a quote, without any state of their own."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from sim.tws.book import Order
from sim.tws.market import Quote

STOPS = frozenset({"STP", "STP LMT", "TRAIL", "TRAIL LIMIT"})
TYPES = frozenset({"MKT", "LMT", "MTL", "MIT", "LIT", "MOC", "LOC"}) | STOPS
_TOUCHED = frozenset({"MIT", "LIT"})
_LIMITED = frozenset({"LMT", "STP LMT", "TRAIL LIMIT", "LIT", "LOC"})
AT_CLOSE = frozenset({"MOC", "LOC"})


@dataclass(frozen=True, slots=True)
class Step:
    """What a quote does to an order: where its stop stands now, whether it is triggered, and at which price it trades (None: not yet)."""

    stop: Decimal | None
    triggered: bool
    price: Decimal | None


def conditional(order: Order) -> bool:
    """Whether an order waits for a trigger before it works at the exchange."""
    return order.terms.type in STOPS | _TOUCHED


def trails(order_type: str) -> bool:
    """Whether the stop of an order of this type follows the price."""
    return order_type in {"TRAIL", "TRAIL LIMIT"}


def needs_limit(order_type: str) -> bool:
    """Whether an order of this type needs a limit price; that of a trailing one follows its stop."""
    return order_type in _LIMITED and not trails(order_type)


def needs_stop(order_type: str) -> bool:
    """Whether an order of this type needs its stop (or touch) price in the aux price."""
    return order_type in {"STP", "STP LMT"} | _TOUCHED


def advance(order: Order, quote: Quote) -> Step:
    """An order met by a quote. Stops are triggered by the last trade (of a pair: by the midpoint); what is marketable takes the other side of the quote."""
    stop = _stop(order, quote)
    triggered = order.triggered or not conditional(order) or _reached(order, stop, quote.last)
    if not triggered:
        return Step(stop, False, None)
    far = quote.ask if order.sign > 0 else quote.bid
    limit = _limit(order, stop)
    if limit is None:
        return Step(stop, True, far)
    return Step(stop, True, far if order.sign * (limit - far) >= 0 else None)


def at_close(order: Order, last: Decimal) -> Decimal | None:
    """The price of an order in the closing auction, where it trades there."""
    limit = _limit(order, None)
    return last if limit is None or order.sign * (limit - last) >= 0 else None


def _stop(order: Order, quote: Quote) -> Decimal | None:
    terms = order.terms
    if not trails(terms.type):
        return terms.aux
    if order.triggered:
        return order.stop
    distance = (
        quote.last * terms.trail_percent / 100 if terms.trail_percent is not None else terms.aux or Decimal(0)
    )
    tick = order.instrument.min_tick
    # A sale trails below the price, a purchase above it, and neither ever moves away from the price again.
    rounding = ROUND_CEILING if order.sign > 0 else ROUND_FLOOR
    stop = ((quote.last + order.sign * distance) / tick).quantize(Decimal(1), rounding) * tick
    known = order.stop if order.stop is not None else terms.trail_stop
    if known is None:
        return stop
    return min(known, stop) if order.sign > 0 else max(known, stop)


def _reached(order: Order, stop: Decimal | None, last: Decimal) -> bool:
    if stop is None:
        return False
    toward = -1 if order.terms.type in _TOUCHED else 1
    return order.sign * toward * (last - stop) >= 0


def _limit(order: Order, stop: Decimal | None) -> Decimal | None:
    terms = order.terms
    if terms.type == "TRAIL LIMIT" and stop is not None:
        return stop + order.sign * (terms.limit_offset or Decimal(0))
    return terms.limit if terms.type in _LIMITED else None
