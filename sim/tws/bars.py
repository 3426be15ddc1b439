"""Bars from prices: which spans of time they cover, at which moments to look, and what comes of the prices found there.

A bar reaches from its first moment to its last, both included, so that its close is the open of the one after it. Bars of every size
are drawn from the same moments, hence bigger ones are exactly the smaller ones put together.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np

from sim.tws.hours import Calendar
from sim.tws.noise import Floats, Integers

MINUTE = 60
TICK = 0.25
"""Prices move four times a second."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Open, high, low, close, volume, average price and number of trades from `start` on."""

    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    average: Decimal
    count: int


@dataclass(frozen=True, slots=True)
class Span:
    """What one bar, or one session's part of it, covers: seconds since 1970, and the moment by which the bar is known."""

    label: datetime
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Seen:
    """Prices (in ticks) at moments in order, and what had been traded by then: shares and number of trades, `weights` between neighbours."""

    seconds: Floats
    prices: Floats
    volumes: Integers
    counts: Integers
    weights: Floats


def spans(
    calendar: Calendar, start: datetime, end: datetime, size: timedelta | str, regular: bool
) -> list[list[Span]]:
    """The bars of a size (a duration below a day, or "day", "week", "month") between two moments, session by session."""
    sessions = []
    day, last = calendar.day_of(start), calendar.day_of(end)
    while day <= last:
        if calendar.is_session(day):
            opening, closing = calendar.session(day, regular)
            if isinstance(size, timedelta):
                sessions.append(_buckets(max(opening, start), min(closing, end), size, opening))
            elif opening < end:
                sessions.append([Span(_label(day, size), opening.timestamp(), min(closing, end).timestamp())])
        day += timedelta(1)
    return [session for session in sessions if session]


def _label(day: date, size: str) -> datetime:
    """The moment by which a bar of a day, a week or a month is known: the midnight (UTC) of its first day."""
    first = {"day": day, "week": day - timedelta(day.weekday()), "month": day.replace(day=1)}[size]
    return datetime(first.year, first.month, first.day, tzinfo=UTC)


def _buckets(start: datetime, end: datetime, size: timedelta, opening: datetime) -> list[Span]:
    """Bars of one session: they begin at multiples of their size since midnight, the first one at the opening."""
    step, begun = int(size.total_seconds()), start.timestamp()
    found, at = [], int(begun // step) * step
    while at < end.timestamp():
        first = max(at, int(opening.timestamp()))
        if first >= int(begun):
            found.append(
                Span(datetime.fromtimestamp(first, UTC), float(first), min(float(at + step), end.timestamp()))
            )
        at += step
    return found


def moments(sessions: Iterable[Sequence[Span]], fine: bool, breaks: Sequence[float]) -> Floats:
    """When to look at the price for these bars: every full minute, or every tick where they are `fine`.

    Between two full minutes a price stays within its values at both; only where something ends or jumps within a minute (`breaks`)
    does every tick of it count.
    """
    pieces: list[Floats] = []
    for session in sessions:
        start, end = session[0].first, session[-1].last
        step = TICK if fine else float(MINUTE)
        pieces += [
            np.arange(math.ceil(start / step) * step, end, step, dtype=np.float64),
            np.array([start, end]),
        ]
        for at in {moment for moment in (*breaks, end) if start <= moment <= end}:
            minute = math.floor(at / MINUTE) * MINUTE
            ticks = np.arange(max(minute, math.ceil(start)), min(minute + MINUTE, end), TICK)
            pieces += [ticks, np.array([at])] if at % MINUTE else [np.array([at])]
    return np.unique(np.concatenate(pieces))


def draw(sessions: Iterable[Sequence[Span]], seen: Seen, tick: Decimal) -> list[Bar]:
    """The bars, of which neighbours with the same label are one."""
    flat = [span for session in sessions for span in session]
    low = np.searchsorted(seen.seconds, [span.first for span in flat])
    high = np.searchsorted(seen.seconds, [span.last for span in flat])
    pairs = np.stack([low, high + 1], axis=1).ravel()
    padded = np.append(seen.prices, seen.prices[-1])
    tops, bottoms = np.maximum.reduceat(padded, pairs)[::2], np.minimum.reduceat(padded, pairs)[::2]
    middles = (seen.prices[:-1] + seen.prices[1:]) / 2
    weight = np.concatenate([[0.0], np.cumsum(seen.weights)])
    money = np.concatenate([[0.0], np.cumsum(seen.weights * middles)])
    starts = [0, *(i for i, (one, two) in enumerate(pairwise(flat), 1) if one.label != two.label), len(flat)]
    bars = []
    for first, after in pairwise(starts):
        parts = slice(first, after)
        weighed = float((weight[high[parts]] - weight[low[parts]]).sum())
        paid = float((money[high[parts]] - money[low[parts]]).sum())
        start, end = seen.prices[low[first]], seen.prices[high[after - 1]]
        top, bottom = float(tops[parts].max()), float(bottoms[parts].min())
        bars.append(
            Bar(
                flat[first].label,
                price(start, tick),
                price(top, tick),
                price(bottom, tick),
                price(end, tick),
                int((seen.volumes[high[parts]] - seen.volumes[low[parts]]).sum()),
                round(price(min(max(paid / weighed if weighed else float(end), bottom), top), tick), 8),
                int((seen.counts[high[parts]] - seen.counts[low[parts]]).sum()),
            )
        )
    return bars


def price(level: float, tick: Decimal) -> Decimal:
    """A price that is given in ticks."""
    level = round(float(level), 6)
    return (Decimal(int(level)) if level.is_integer() else Decimal(repr(level))) * tick
