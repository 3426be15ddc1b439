"""The simulated market: where every price comes from, as a function of the seed and the moment alone.

A price is a fractal noise around the instrument's usual price: octaves of smooth random values whose sizes shrink with the square
root of their periods, so that returns look like those of a share on every scale from minutes to months. It is fixed at
every full minute and moves between neighbouring minutes only within their two values. Bid, ask, midpoint and last are steps that
follow it upwards and downwards, hence bars of any size and of any of them agree with each other and with the live ticks. The cross
rate of two currencies follows from their dollar rates. A price pinned by hand overrides all of it from that moment on, in ticks and bars alike.
While trading in something is halted its price stands still and nothing changes hands.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise

import numpy as np

from sim.tws import bars as drawing
from sim.tws.bars import MINUTE, Bar, Seen, Span
from sim.tws.contracts import BASE, BY_ID, DOLLAR_PAIRS, INSTRUMENTS, Instrument
from sim.tws.noise import Floats, Integers, uniform, uniforms
from sim.tws.optionmarket import OptionMarket

_OCTAVES = 19
_SCALE = 0.42
"""Makes one day's standard deviation of the sum of all octaves equal to the volatility asked for (measured)."""
_TICKS = 4
_A_MINUTE = _TICKS * MINUTE
_BLOCK = 256
_DAY = 86_400
_STEPS = {instrument.con_id: float(instrument.min_tick) for instrument in INSTRUMENTS}
_SPREADS = {instrument.con_id: instrument.spread for instrument in INSTRUMENTS}
_LEAST_TRADES = MINUTE
"""At least one trade a second, so that no bar in a session is empty."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What the market shows at a moment. Sizes in shares, or in units of a pair's first currency."""

    at: datetime
    bid: Decimal
    ask: Decimal
    last: Decimal
    bid_size: int
    ask_size: int
    last_size: int

    @property
    def middle(self) -> Decimal:
        """Halfway between bid and ask."""
        return (self.bid + self.ask) / 2


@dataclass(frozen=True, slots=True)
class Day:
    """The latest session so far: open, high, low, shares traded, their average price and the number of trades; `close` is that of the session before."""

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


@dataclass(slots=True)
class Halt:
    """Trading stopped by the exchange from `start` up to `end` (None: still); `kind` is 1 for a general halt, 2 for one for volatility."""

    start: datetime
    kind: int
    end: datetime | None = None

    @property
    def seconds(self) -> tuple[float, float]:
        """From when to when, in seconds since 1970."""
        return self.start.timestamp(), math.inf if self.end is None else self.end.timestamp()


class Market:
    """Quotes and bars by instrument and moment. The only state is what was pinned and halted by hand."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.pins: dict[int, list[Pin]] = {}
        self.halts: dict[int, list[Halt]] = {}
        self.options = OptionMarket(self)
        self._block = lru_cache(maxsize=1024)(self._price_block)
        self._volume = lru_cache(maxsize=4096)(self._minute_volume)
        self._free = lru_cache(maxsize=4096)(self._free_quote)
        self._day = lru_cache(maxsize=1024)(self._day_so_far)
        self._close_before = lru_cache(maxsize=4096)(self._closing_price)

    def pin(self, con_id: int, pin: Pin) -> None:
        """Fix the price of an instrument from `pin.at` on, or free it."""
        self.pins.setdefault(con_id, []).append(pin)
        self._forget()

    def halt(self, con_id: int, kind: int, now: datetime) -> None:
        """Stop the trading in an instrument, for a reason (1 or 2), or let it go on (0)."""
        stops = self.halts.setdefault(con_id, [])
        if stops and stops[-1].end is None:
            stops[-1].end = now
        if kind:
            stops.append(Halt(now, kind))
        self._forget()

    def halted(self, con_id: int, at: datetime) -> int:
        """Why trading in an instrument is halted at a moment: 0 where it is not, 1 a general halt, 2 one for volatility."""
        found = self._halt_at(con_id, at)
        return found.kind if found else 0

    def _halt_at(self, con_id: int, at: datetime) -> Halt | None:
        con_id = BY_ID[con_id].underlying or con_id  # trading in options stops with that in what they are on
        stops = self.halts.get(con_id, ())
        return next(
            (stop for stop in stops if stop.start <= at and (stop.end is None or at < stop.end)), None
        )

    def _forget(self) -> None:
        """Drop what was worked out before the market was interfered with."""
        self._day.cache_clear()
        self._close_before.cache_clear()

    # -- now

    def quote(self, con_id: int, now: datetime) -> Quote:
        """What the market shows for an instrument at a moment; it moves four times a second. The last of a pair is its midpoint."""
        if (instrument := BY_ID[con_id]).is_option:
            return self.options.quote(instrument, now)
        stop = self._halt_at(con_id, now)
        quote = self._free(con_id, int((stop.start if stop else now).timestamp() * _TICKS))
        pin = self._pinned(con_id, now)
        if pin is None or pin.bid is None or pin.ask is None or pin.last is None:
            return quote
        last = (pin.bid + pin.ask) / 2 if instrument.is_forex else pin.last
        return replace(quote, bid=pin.bid, ask=pin.ask, last=last)

    def rate(self, currency: str, now: datetime) -> Decimal:
        """What one unit of a currency is worth in the base currency. KeyError for one that the market does not know."""
        if currency == BASE:
            return Decimal(1)
        con_id, power = DOLLAR_PAIRS[currency]
        middle = self.quote(con_id, now).last
        return middle if power == 1 else round(1 / middle, 9)

    def closing_rate(self, currency: str, now: datetime) -> Decimal:
        """The same at the close of the last session of the currency market before that of `now`."""
        if currency == BASE:
            return Decimal(1)
        con_id, power = DOLLAR_PAIRS[currency]
        middle = self.previous_close(con_id, now)
        return middle if power == 1 else round(1 / middle, 9)

    def day(self, con_id: int, now: datetime) -> Day:
        """How the latest session has gone so far."""
        if BY_ID[con_id].is_option:
            return self._option_day(BY_ID[con_id], now)
        last, minute = self.quote(con_id, now).last, int(now.timestamp() // MINUTE)
        so_far, under_way = self._day(con_id, minute)
        traded = so_far.volume
        if under_way and con_id in self.halts:
            traded += self.volume_between(con_id, datetime.fromtimestamp(minute * MINUTE, UTC), now)
        elif under_way:
            ticks = int(now.timestamp() * _TICKS) - minute * _A_MINUTE
            traded += self._volume(con_id, minute) * ticks // _A_MINUTE
        return replace(so_far, high=max(so_far.high, last), low=min(so_far.low, last), volume=traded)

    def _option_day(self, option: Instrument, now: datetime) -> Day:
        """The day of an option, of which no more is known than where it began, where it stands and where it closed before."""
        last, close = self.options.quote(option, now).last, self.previous_close(option.con_id, now)
        day = option.calendar.sessions_back(option.calendar.day_of(now), 1)[0]
        first = self.options.quote(option, min(option.calendar.session(day)[0], now)).last
        high, low = max(first, last), min(first, last)
        return Day(first, high, low, close, self.options.volume(option, now), (high + low) / 2, 0)

    def traded(self, con_id: int, tick: int) -> int:
        """Shares that change hands in one quarter of a second, by the number of those since 1970."""
        minute, within = divmod(tick, _A_MINUTE)
        volume = self._volume(con_id, minute)
        return volume * (within + 1) // _A_MINUTE - volume * within // _A_MINUTE

    def _free_quote(self, con_id: int, tick: int) -> Quote:
        instrument = BY_ID[con_id]
        minute, within = divmod(tick, _A_MINUTE)
        start, end = self._minute(con_id, minute), self._minute(con_id, minute + 1)
        into = within / _A_MINUTE
        wobble = (uniform(self._key(con_id, 99), tick) - 0.5) * 1.6 * into * (1 - into)
        level = (start + (end - start) * min(1.0, max(0.0, into + wobble))) / _STEPS[con_id]
        spread = _SPREADS[con_id]
        bid = max(1, math.floor(level - spread / 2 + 0.25))
        last = max(1, round(level)) if not instrument.is_forex else bid + spread / 2
        unit = 10_000 if instrument.is_forex else 100 if instrument.is_share else 0
        sizes = [unit * (1 + int(uniform(self._key(con_id, 95 + n), tick) ** 3 * 15)) for n in range(2)]
        return Quote(
            datetime.fromtimestamp(tick / _TICKS, UTC),
            bid * instrument.min_tick,
            (bid + spread) * instrument.min_tick,
            drawing.price(last, instrument.min_tick),
            sizes[0],
            sizes[1],
            max(1, self.traded(con_id, tick)) if instrument.is_share else 0,
        )

    def previous_close(self, con_id: int, now: datetime) -> Decimal:
        """The close of the last session that ended before the session day of `now`."""
        return self._close(con_id, BY_ID[con_id].calendar.closed_before(now))

    def closing(self, con_id: int, day: date) -> Decimal:
        """The price at the end of a session day."""
        return self._close(con_id, BY_ID[con_id].calendar.session(day)[1])

    def _close(self, con_id: int, closing: datetime) -> Decimal:
        if (option := BY_ID[con_id]).is_option:
            return self.options.quote(option, closing - timedelta(seconds=1)).last
        return self._close_before(con_id, closing)

    def _closing_price(self, con_id: int, closing: datetime) -> Decimal:
        [level] = self.series(con_id, np.array([closing.timestamp()]), _usual(BY_ID[con_id]))
        return drawing.price(level, BY_ID[con_id].min_tick)

    def _day_so_far(self, con_id: int, minute: int) -> tuple[Day, bool]:
        """The day up to a full minute, and whether its session is under way."""
        now = datetime.fromtimestamp(minute * MINUTE, UTC)
        bar = self.bars(
            con_id, now - timedelta(5), now + timedelta(microseconds=1), "day", what=_usual(BY_ID[con_id])
        )[-1]
        close = self.previous_close(con_id, now)
        day = Day(bar.open, bar.high, bar.low, close, bar.volume, bar.average, bar.count)
        return day, BY_ID[con_id].calendar.is_open(now)

    def _pinned(self, con_id: int, now: datetime) -> Pin | None:
        pins = self.pins.get(con_id)
        if not pins:
            return None
        index = bisect_right([pin.at for pin in pins], now)
        return pins[index - 1] if index and pins[index - 1].last is not None else None

    # -- any time

    def series(self, con_id: int, seconds: Floats, what: str) -> Floats:
        """The price in ticks at these moments (seconds since 1970, in order): its TRADES, BID, ASK or MIDPOINT, pins included."""
        instrument = BY_ID[con_id]
        shown = seconds
        for stop in self.halts.get(con_id, ()):
            begun, ended = stop.seconds
            shown = np.where((seconds >= begun) & (seconds < ended), begun, shown)
        levels = _levels(self._path(con_id, shown) / _STEPS[con_id], _SPREADS[con_id], what)
        pins = self.pins.get(con_id, [])
        for pin, following in pairwise([*pins, None]):
            if pin is not None and pin.bid is not None and pin.ask is not None and pin.last is not None:
                until = following.at.timestamp() if following else math.inf
                fixed = {"BID": pin.bid, "ASK": pin.ask, "TRADES": pin.last}.get(
                    what, (pin.bid + pin.ask) / 2
                )
                inside = (seconds >= pin.at.timestamp()) & (seconds < until)
                levels[inside] = round(float(fixed / instrument.min_tick), 6)
        return levels

    def _path(self, con_id: int, seconds: Floats) -> Floats:
        """The free price at these moments, not yet rounded to ticks."""
        minutes, within = np.divmod(np.floor(seconds * _TICKS).astype(np.int64), _A_MINUTE)
        distinct, index = np.unique(np.concatenate([minutes, minutes + 1]), return_inverse=True)
        prices = self._prices(con_id, distinct)[index]
        start, end = prices[: len(minutes)], prices[len(minutes) :]
        if not within.any():
            return start
        into = within / _A_MINUTE
        noise = uniforms(self._key(con_id, 99), minutes * _A_MINUTE + within)
        wobble = (noise - 0.5) * 1.6 * into * (1 - into)
        path: Floats = start + (end - start) * np.minimum(1.0, np.maximum(0.0, into + wobble))
        return path

    def bars(
        self,
        con_id: int,
        start: datetime,
        end: datetime,
        size: timedelta | str,
        regular: bool = True,
        what: str = "TRADES",
    ) -> list[Bar]:
        """Bars of a size (a duration below a day, or "day", "week", "month") between two moments, the last one unfinished where it has to be."""
        sessions = drawing.spans(BY_ID[con_id].calendar, start, end, size, regular)
        return self._draw(
            con_id, sessions, isinstance(size, timedelta) and size.total_seconds() < MINUTE, what
        )

    def bar(self, con_id: int, start: datetime, end: datetime, what: str) -> Bar:
        """One bar between two moments less than a minute apart, whether there is a session or not."""
        span = Span(start, start.timestamp(), end.timestamp())
        return self._draw(con_id, [[span]], True, what)[0]

    def _draw(self, con_id: int, sessions: list[list[Span]], fine: bool, what: str) -> list[Bar]:
        if not sessions:
            return []
        instrument = BY_ID[con_id]
        jumps = [pin.at.timestamp() for pin in self.pins.get(con_id, [])]
        jumps += [at for stop in self.halts.get(con_id, []) for at in stop.seconds if at < math.inf]
        seconds = drawing.moments(sessions, fine, [*jumps, *(at - drawing.TICK for at in jumps)])
        volumes, counts = self._traded(con_id, seconds)
        weights = np.diff(volumes if what == "TRADES" and instrument.is_share else seconds).astype(np.float64)
        if what != "BID_ASK":
            seen = Seen(seconds, self.series(con_id, seconds, what), volumes, counts, weights)
            return drawing.draw(sessions, seen, instrument.min_tick)
        bids, asks = (
            drawing.draw(
                sessions,
                Seen(seconds, self.series(con_id, seconds, side), volumes, counts, weights),
                instrument.min_tick,
            )
            for side in ("BID", "ASK")
        )
        return [
            replace(bid, open=bid.average, high=ask.high, close=ask.average)
            for bid, ask in zip(bids, asks, strict=True)
        ]

    def _traded(self, con_id: int, seconds: Floats) -> tuple[Integers, Integers]:
        """Shares traded and number of trades up to these moments, counted from the first one's minute, halts left out."""
        spans = [stop.seconds for stop in self.halts.get(con_id, ())]
        spans = [(max(begun, seconds[0]), min(ended, seconds[-1])) for begun, ended in spans]
        spans = [(begun, ended) for begun, ended in spans if begun < ended]
        asked = [seconds, *(np.clip(seconds, *span) for span in spans), np.array([span[0] for span in spans])]
        volumes, counts = self._traded_freely(con_id, np.concatenate(asked))
        count = len(seconds)
        for values in (volumes, counts) if spans else ():
            parts = np.split(values, [count * (n + 1) for n in range(len(spans) + 1)])
            for during, begun in zip(parts[1:-1], parts[-1], strict=True):
                parts[0] -= during - begun
        return volumes[:count], counts[:count]

    def _traded_freely(self, con_id: int, seconds: Floats) -> tuple[Integers, Integers]:
        """The same as if nothing had ever been halted; pairs and indices have no volume."""
        minutes, within = np.divmod(np.floor(seconds * _TICKS).astype(np.int64), _A_MINUTE)
        distinct, index = np.unique(minutes, return_inverse=True)
        volumes = self._volumes(con_id, distinct)
        results: list[Integers] = []
        for a_minute in (volumes, np.maximum(volumes // 150, _LEAST_TRADES)):
            before = np.concatenate([[0], np.cumsum(a_minute)])[:-1]
            results.append(before[index] + a_minute[index] * within // _A_MINUTE)
        return results[0], results[1]

    def _volumes(self, con_id: int, minutes: Integers) -> Integers:
        """Shares traded in each of these minutes: busier at the open and the close."""
        if not BY_ID[con_id].is_share:
            return np.zeros(len(minutes), dtype=np.int64)
        daily = 4e6 + 5e7 * uniform(self._key(con_id, 90), 0) ** 2
        noise = uniforms(self._key(con_id, 91), minutes)
        into = (minutes * MINUTE % _DAY) / _DAY
        smile = 0.5 + 8 * (into - 0.73) ** 2  # the session runs from 0.6 to 0.86 of the UTC day
        volumes: Integers = (daily / 390 * smile * (0.4 + 1.2 * noise)).astype(np.int64)
        return volumes

    def volume_between(self, con_id: int, start: datetime, end: datetime) -> int:
        """Shares traded between two moments."""
        minutes = np.arange(start.timestamp() // MINUTE * MINUTE, end.timestamp(), MINUTE)
        volumes, _ = self._traded(con_id, np.append(minutes, [start.timestamp(), end.timestamp()]))
        return int(volumes[-1] - volumes[-2])

    def _minute_volume(self, con_id: int, minute: int) -> int:
        return int(self._volumes(con_id, np.array([minute]))[0])

    def _minute(self, con_id: int, minute: int) -> float:
        block, index = divmod(minute, _BLOCK)
        return self._block(con_id, block)[index]

    def _price_block(self, con_id: int, block: int) -> list[float]:
        prices: list[float] = self._prices(con_id, np.arange(block * _BLOCK, (block + 1) * _BLOCK)).tolist()
        return prices

    def _prices(self, con_id: int, minutes: Integers) -> Floats:
        """The free price at full minutes since 1970; of a cross rate, what its legs make it."""
        instrument = BY_ID[con_id]
        if instrument.legs:
            product = np.ones(len(minutes))
            for leg, power in instrument.legs:
                product *= self._prices(leg, minutes) ** power
            return product
        total = np.zeros(len(minutes))
        for octave in range(_OCTAVES):
            period = 1 << octave
            cell, offset = np.divmod(minutes, period)
            key = self._key(con_id, octave)
            left, right = uniforms(key, cell), uniforms(key, cell + 1)
            total += math.sqrt(period) * (left + (right - left) * (offset / period) - 0.5)
        # an even random value between -0.5 and 0.5 has a variance of 1/12
        prices: Floats = float(instrument.price) * np.exp(
            total * instrument.volatility * _SCALE * math.sqrt(12 * MINUTE / _DAY)
        )
        return prices

    def _key(self, con_id: int, octave: int) -> int:
        return (self._seed * 1_000_003 + con_id) * 128 + octave


def full_minutes(since: datetime, until: datetime) -> list[datetime]:
    """The full minutes strictly between two moments: only there can a price have been outside of what it was at both."""
    first, last = math.floor(since.timestamp() / MINUTE) + 1, math.ceil(until.timestamp() / MINUTE) - 1
    return [datetime.fromtimestamp(minute * MINUTE, UTC) for minute in range(first, last + 1)]


def _usual(instrument: Instrument) -> str:
    """What the price of an instrument is: its last trade, or the midpoint where nothing is traded."""
    return "MIDPOINT" if instrument.is_forex else "TRADES"


def _levels(path: Floats, spread: int, what: str) -> Floats:
    """Prices on the grid, in ticks. Each rises and falls with the path, so that its highest and lowest are where the path's are."""
    if what == "TRADES":
        return np.maximum(1.0, np.rint(path))
    bids = np.maximum(1.0, np.floor(path - spread / 2 + 0.25))
    return bids + {"BID": 0.0, "ASK": float(spread), "MIDPOINT": spread / 2}[what]
