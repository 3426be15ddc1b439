"""The simulated market: where every price comes from, as a function of the seed and the moment alone.

A price is a fractal noise around the instrument's usual price: octaves of smooth random values whose sizes shrink with the square
root of their periods, so that returns look like those of a share on every scale from minutes to months. It is fixed at
every full minute and moves between neighbouring minutes only within their two values, hence bars of any size agree with each other
and with the live ticks. A price pinned by hand overrides it from that moment on, in ticks and bars alike.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sim.tws import hours
from sim.tws.contracts import BY_ID, Instrument

_OCTAVES = 19
_SCALE = 0.42
"""Makes one day's standard deviation of the sum of all octaves equal to the volatility asked for (measured)."""
_MINUTE = 60
_TICKS = 4
_BLOCK = 256
_DAY = 86_400

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Quote:
    """What the market shows at a moment. Sizes in shares."""

    at: datetime
    bid: Decimal
    ask: Decimal
    last: Decimal
    bid_size: int
    ask_size: int
    last_size: int


@dataclass(frozen=True, slots=True)
class Day:
    """The latest session so far: open, high, low and shares traded; `close` is that of the session before."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int


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
class Pin:
    """A quote fixed by hand from `at` on; all None where the market is free again."""

    at: datetime
    bid: Decimal | None = None
    ask: Decimal | None = None
    last: Decimal | None = None


class Market:
    """Quotes and bars by instrument and moment. The only state is what was pinned by hand."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.pins: dict[int, list[Pin]] = {}
        self._block = lru_cache(maxsize=1024)(self._price_block)
        self._free = lru_cache(maxsize=4096)(self._free_quote)
        self._day = lru_cache(maxsize=1024)(self._day_so_far)
        self._close_before = lru_cache(maxsize=1024)(self._closing_price)

    def pin(self, con_id: int, pin: Pin) -> None:
        """Fix the price of an instrument from `pin.at` on, or free it."""
        self.pins.setdefault(con_id, []).append(pin)
        self._free.cache_clear()
        self._day.cache_clear()
        self._close_before.cache_clear()

    def quote(self, con_id: int, now: datetime) -> Quote:
        """What the market shows for an instrument at a moment; it moves four times a second."""
        quote = self._free(con_id, int(now.timestamp() * _TICKS))
        pin = self._pinned(con_id, now)
        if pin is None or pin.bid is None or pin.ask is None or pin.last is None:
            return quote
        return replace(quote, bid=pin.bid, ask=pin.ask, last=pin.last)

    def day(self, con_id: int, now: datetime) -> Day:
        """How the latest session has gone so far."""
        last, bar = self.quote(con_id, now).last, self._day(con_id, int(now.timestamp() // _MINUTE))
        return Day(
            bar.open, max(bar.high, last), min(bar.low, last), self.previous_close(con_id, now), bar.volume
        )

    def _free_quote(self, con_id: int, tick: int) -> Quote:
        instrument = BY_ID[con_id]
        minute = tick // (_TICKS * _MINUTE)
        start, end = self._minute(con_id, minute), self._minute(con_id, minute + 1)
        wobble = (_uniform(self._key(con_id, 99), tick) - 0.5) * 0.4
        share = min(1.0, max(0.0, tick / (_TICKS * _MINUTE) - minute + wobble))
        last = _round(start + (end - start) * share, instrument)
        spread = max(1, round(float(last) * 0.00008 / float(instrument.min_tick))) * instrument.min_tick
        lean = int(
            _uniform(self._key(con_id, 98), tick) * 3
        )  # the last trade was at the bid, between, or at the ask
        bid = max(_round(last - spread * lean / 2, instrument, ROUND_FLOOR), instrument.min_tick)
        sizes = [100 * (1 + int(_uniform(self._key(con_id, 95 + n), tick) ** 3 * 15)) for n in range(3)]
        return Quote(datetime.fromtimestamp(tick / _TICKS, UTC), bid, bid + spread, last, *sizes)

    def previous_close(self, con_id: int, now: datetime) -> Decimal:
        """The close of the last session that ended before the session day of `now`."""
        return self._close_before(con_id, now.astimezone(hours.NEW_YORK).date())

    def _closing_price(self, con_id: int, today: date) -> Decimal:
        day = hours.sessions_back(today - timedelta(1), 1)[0]
        closing = hours.session(day)[1]
        return _round(float(self.path(con_id, np.array([closing.timestamp()]))[0]), BY_ID[con_id])

    def path(self, con_id: int, seconds: Floats) -> Floats:
        """The price at these moments (seconds since 1970), pins included, not yet rounded to ticks."""
        low = int(seconds.min() // _MINUTE)
        count = int(seconds.max() // _MINUTE) - low + 2
        if count > 2 * len(seconds) + 2:  # far apart: every moment has its own two minutes
            minutes = np.floor(seconds / _MINUTE).astype(np.int64)
            start, end = self._prices(con_id, minutes), self._prices(con_id, minutes + 1)
            prices = start + (end - start) * (seconds / _MINUTE - minutes)
        else:
            minutes = np.arange(low, low + count)
            prices = np.interp(seconds, minutes * float(_MINUTE), self._prices(con_id, minutes))
        pins = self.pins.get(con_id, [])
        for pin, following in pairwise([*pins, None]):
            if pin is not None and pin.last is not None:
                until = following.at.timestamp() if following else math.inf
                prices[(seconds >= pin.at.timestamp()) & (seconds < until)] = float(pin.last)
        return prices

    def bars(
        self, con_id: int, start: datetime, end: datetime, size: timedelta | str, regular: bool = True
    ) -> list[Bar]:
        """Bars of a size (a duration below a day, or "day", "week", "month") between two moments, the last one unfinished where it has to be."""
        spans = self._spans(start, end, size, regular)
        if not spans:
            return []
        step = min(_MINUTE, int(size.total_seconds())) if isinstance(size, timedelta) else _MINUTE
        extra = [end.timestamp()] + [pin.at.timestamp() for pin in self.pins.get(con_id, [])]
        pieces = [_grid(opening, closing, step, extra) for _, opening, closing in spans]
        seconds = np.concatenate(pieces)
        prices, volumes = self.path(con_id, seconds), self._volumes(con_id, seconds)
        bars: list[Bar] = []
        at = 0
        for (label, _, _), piece in zip(spans, pieces, strict=True):
            bar = _bar(label, prices[at : at + len(piece)], volumes[at : at + len(piece)], BY_ID[con_id])
            at += len(piece)
            if bars and bars[-1].start == label:
                bars[-1] = _merged(bars[-1], bar)
            else:
                bars.append(bar)
        return bars

    def _spans(
        self, start: datetime, end: datetime, size: timedelta | str, regular: bool
    ) -> list[tuple[datetime, float, float]]:
        """What to draw bars from: (label, first second, last second); neighbours with the same label are one bar."""
        spans: list[tuple[datetime, float, float]] = []
        day = start.astimezone(hours.NEW_YORK).date()
        last = end.astimezone(hours.NEW_YORK).date()
        while day <= last:
            if hours.is_session(day):
                opening, closing = hours.session(day) if regular else _long_session(day)
                if isinstance(size, timedelta):
                    spans += _buckets(max(opening, start), min(closing, end), size, opening)
                elif opening < end:
                    spans.append((_label(day, size), opening.timestamp(), min(closing, end).timestamp()))
            day += timedelta(1)
        return spans

    def _volumes(self, con_id: int, seconds: Floats) -> Floats:
        """Shares traded around each moment, on the scale of a minute: busier at the open and the close."""
        daily = 4e6 + 5e7 * _uniform(self._key(con_id, 90), 0) ** 2
        noise = _uniforms(self._key(con_id, 91), (seconds // _MINUTE).astype(np.int64))
        into = (seconds % _DAY) / _DAY
        smile = 0.5 + 8 * (into - 0.73) ** 2  # the session runs from 0.6 to 0.86 of the UTC day
        return daily / 390 * smile * (0.4 + 1.2 * noise)

    def _day_so_far(self, con_id: int, minute: int) -> Bar:
        now = datetime.fromtimestamp(minute * _MINUTE + 1, UTC)
        return self.bars(con_id, now - timedelta(5), now, "day")[-1]

    def _pinned(self, con_id: int, now: datetime) -> Pin | None:
        pins = self.pins.get(con_id)
        if not pins:
            return None
        index = bisect_right([pin.at for pin in pins], now)
        return pins[index - 1] if index and pins[index - 1].last is not None else None

    def _minute(self, con_id: int, minute: int) -> float:
        block, index = divmod(minute, _BLOCK)
        return self._block(con_id, block)[index]

    def _price_block(self, con_id: int, block: int) -> list[float]:
        prices: list[float] = self._prices(con_id, np.arange(block * _BLOCK, (block + 1) * _BLOCK)).tolist()
        return prices

    def _prices(self, con_id: int, minutes: NDArray[np.int64]) -> Floats:
        """The free price at full minutes since 1970."""
        instrument = BY_ID[con_id]
        total = np.zeros(len(minutes))
        for octave in range(_OCTAVES):
            period = 1 << octave
            cell, offset = np.divmod(minutes, period)
            key = self._key(con_id, octave)
            left, right = _uniforms(key, cell), _uniforms(key, cell + 1)
            total += math.sqrt(period) * (left + (right - left) * (offset / period) - 0.5)
        # an even random value between -0.5 and 0.5 has a variance of 1/12
        return float(instrument.price) * np.exp(
            total * instrument.volatility * _SCALE * math.sqrt(12 * _MINUTE / _DAY)
        )

    def _key(self, con_id: int, octave: int) -> int:
        return (self._seed * 1_000_003 + con_id) * 128 + octave


def full_minutes(since: datetime, until: datetime) -> list[datetime]:
    """The full minutes strictly between two moments: only there can a price have been outside of what it was at both."""
    first, last = math.floor(since.timestamp() / _MINUTE) + 1, math.ceil(until.timestamp() / _MINUTE) - 1
    return [datetime.fromtimestamp(minute * _MINUTE, UTC) for minute in range(first, last + 1)]


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of splitmix64: neighbouring numbers in, unrelated numbers out."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _uniforms(key: int, cells: NDArray[np.int64]) -> Floats:
    """A random value between 0 and 1 for every cell, always the same for the same key and cell."""
    start = _mix(np.array([key % 2**64], dtype=np.uint64))
    mixed = _mix(start + cells.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return (mixed >> np.uint64(11)).astype(np.float64) / 2**53


def _uniform(key: int, cell: int) -> float:
    """The same for a single cell, thirty times as fast as an array of one."""
    value = _mix_one((_mix_one(key % 2**64) + cell * 0x9E3779B97F4A7C15) % 2**64)
    return (value >> 11) / 2**53


def _mix_one(value: int) -> int:
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
    return value ^ (value >> 31)


def _round(price: float | Decimal, instrument: Instrument, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    """A price on the instrument's grid, never below one tick."""
    value = price if isinstance(price, Decimal) else Decimal(repr(price))
    return max(
        (value / instrument.min_tick).quantize(Decimal(1), rounding) * instrument.min_tick,
        instrument.min_tick,
    )


def _long_session(day: date) -> tuple[datetime, datetime]:
    early, late = (
        datetime.combine(day, at, hours.NEW_YORK).astimezone(UTC)
        for at in (hours.PRE_MARKET, hours.POST_MARKET)
    )
    return early, late


def _label(day: date, size: str) -> datetime:
    """The moment by which a bar of a day, a week or a month is known: the midnight (UTC) of its first day."""
    first = {"day": day, "week": day - timedelta(day.weekday()), "month": day.replace(day=1)}[size]
    return datetime(first.year, first.month, first.day, tzinfo=UTC)


def _buckets(
    start: datetime, end: datetime, size: timedelta, opening: datetime
) -> list[tuple[datetime, float, float]]:
    """Bars of one session: they begin at multiples of their size since midnight, the first one at the opening."""
    step = int(size.total_seconds())
    spans, at = [], int(start.timestamp() // step) * step
    while at < end.timestamp():
        first = max(at, int(opening.timestamp()))
        if first >= int(start.timestamp()):
            spans.append(
                (datetime.fromtimestamp(first, UTC), float(first), min(float(at + step), end.timestamp()))
            )
        at += step
    return spans


def _grid(start: float, end: float, step: int, extra: Sequence[float]) -> Floats:
    """Both ends, every full step between them, and those of `extra` that lie between."""
    full = np.arange(math.ceil(start / step) * step, end, step, dtype=np.float64)
    return np.unique(
        np.concatenate([full, [start, end], [moment for moment in extra if start <= moment <= end]])
    )


def _bar(label: datetime, prices: Floats, volumes: Floats, instrument: Instrument) -> Bar:
    volume = int(volumes[:-1].sum() if len(volumes) > 1 else 0)
    first, high, low, last = (
        _round(float(price), instrument) for price in (prices[0], prices.max(), prices.min(), prices[-1])
    )
    return Bar(
        label, first, high, low, last, volume, _round(float(prices.mean()), instrument), max(1, volume // 150)
    )


def _merged(one: Bar, two: Bar) -> Bar:
    return replace(
        one,
        high=max(one.high, two.high),
        low=min(one.low, two.low),
        close=two.close,
        volume=one.volume + two.volume,
        average=((one.average + two.average) / 2).quantize(one.average),
        count=one.count + two.count,
    )
