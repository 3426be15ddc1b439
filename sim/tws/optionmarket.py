"""The market of options: quotes around the value that a model gives them from the price of what they are on, one volatility a symbol.

The value is worked out where the price of the underlying is a multiple of a thousandth and at the start of some minutes, and followed from there by
its Greeks, so that a chain costs little while its underlying moves. What is arranged by hand (a volatility, a quote, a dividend) is the only state.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from sim.tws import hours, pricing
from sim.tws.contracts import BY_ID, OPTIONABLE, Instrument
from sim.tws.noise import uniform
from sim.tws.pricing import Model

if TYPE_CHECKING:
    from sim.tws.market import Market, Quote

_SESSIONS_A_YEAR = 252
_GRID = 0.001
_SOON, _BUCKET, _SHORT_BUCKET = timedelta(3), 1_800, 60
_EXACT = timedelta(hours=2)
"""So shortly before an option is over its value is worked out for every price, since it bends too sharply to be followed."""
_HALF_SPREAD, _WIDEST = 0.01, 0.6
_QUARTER = timedelta(91)
_AHEAD = timedelta(21)
_QUARTERS = 12
_DIVIDENDS = {
    "AAPL": "0.25",
    "MSFT": "0.75",
    "KO": "0.485",
    "T": "0.2775",
    "XOM": "0.95",
    "JPM": "1.15",
    "SPY": "1.75",
}
"""What a few companies and a fund pay a quarter."""
_YEAR = 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Dividend:
    """What a share pays to who holds it before its `ex_date`."""

    ex_date: date
    amount: Decimal


@dataclass(frozen=True, slots=True)
class OptionPin:
    """What was fixed by hand of an option from `at` on: a quote, or the volatility that its quote follows from. All None: nothing."""

    at: datetime
    bid: Decimal | None = None
    ask: Decimal | None = None
    volatility: float | None = None


class OptionMarket:
    """Quotes and Greeks of options. `anchor` is the day from which dividends are counted."""

    def __init__(self, market: "Market") -> None:
        self._market = market
        self.anchor = date(2026, 1, 5)
        self.volatilities: dict[str, float] = {}
        self.pins: dict[int, list[OptionPin]] = {}
        self.arranged: dict[str, list[Dividend]] = {}

    # -- what is arranged

    def volatility(self, symbol: str) -> float:
        """The yearly volatility at which the options on a symbol are traded."""
        if symbol in self.volatilities:
            return self.volatilities[symbol]
        [on] = [one for one in OPTIONABLE if one.symbol == symbol]
        return round(on.volatility * math.sqrt(_SESSIONS_A_YEAR), 4)

    def dividends(self, symbol: str) -> list[Dividend]:
        """What a symbol pays, by ex-dates: the first about three weeks after the anchor and one a quarter, or what was arranged."""
        if symbol in self.arranged:
            return self.arranged[symbol]
        if symbol not in _DIVIDENDS:
            return []
        return list(_quarterly(Decimal(_DIVIDENDS[symbol]), self.anchor + _AHEAD))

    def next_dividend(self, symbol: str, now: datetime) -> Dividend | None:
        """The next one that who buys now will get."""
        return next((one for one in self.dividends(symbol) if _goes_ex(one) > now), None)

    def pinned(self, con_id: int, now: datetime) -> OptionPin | None:
        """What was fixed of an option at a moment."""
        pins = self.pins.get(con_id, [])
        index = bisect_right([pin.at for pin in pins], now)
        return pins[index - 1] if index else None

    # -- values

    def spot(self, option: Instrument, now: datetime) -> Decimal:
        """The price of what an option is on."""
        return self._market.quote(option.underlying, now).middle

    def model(self, option: Instrument, now: datetime) -> Model:
        """What an option is worth at a moment, and how that changes."""
        return self._model(option, float(self.spot(option, now)), self.volatility_of(option, now), now)

    def volatility_of(self, option: Instrument, now: datetime) -> float:
        """The volatility at which an option is traded: what was fixed for it, or that of its symbol."""
        pin = self.pinned(option.con_id, now)
        if pin is None or pin.volatility is None:
            return self.volatility(option.symbol)
        return pin.volatility

    def _model(self, option: Instrument, spot: float, volatility: float, now: datetime) -> Model:
        base, years, due, days = self._terms(option, spot, now)
        strike = float(option.strike)
        of = pricing.model(base, strike, option.right, years, volatility, due)
        moved = spot - base
        worth = of.value + of.delta * moved + of.gamma * moved**2 / 2 + of.theta * days
        worth = max(worth, pricing.intrinsic(spot, strike, option.right))
        return of._replace(value=worth, delta=max(-1.0, min(1.0, of.delta + of.gamma * moved)))

    def _terms(
        self, option: Instrument, spot: float, now: datetime
    ) -> tuple[float, float, pricing.Dividends, float]:
        """Where an option is worked out: price of the underlying, years left, dividends; and how many days ago that was."""
        left = option.expires - now
        seconds, exact = now.timestamp(), left < _EXACT
        size = _SHORT_BUCKET if left < _SOON else _BUCKET
        start = seconds if exact else seconds // size * size
        base = spot if exact else math.exp(round(math.log(spot) / _GRID) * _GRID)
        years = (option.expires.timestamp() - start) / _YEAR
        return base, years, self._due(option.symbol, start), (seconds - start) / 86_400

    def vega(self, option: Instrument, now: datetime) -> float:
        """By how much an option's value changes for a point of volatility."""
        base, years, due, _ = self._terms(option, float(self.spot(option, now)), now)
        volatility = self.volatility_of(option, now)
        return pricing.vega(base, float(option.strike), option.right, years, volatility, due)

    def _due(self, symbol: str, seconds: float) -> pricing.Dividends:
        return _ahead(tuple(self.dividends(symbol)), seconds)

    def present_dividends(self, option: Instrument, now: datetime) -> float:
        """What the dividends are worth now that are paid before an option is over."""
        years = (option.expires - now).total_seconds() / _YEAR
        return pricing.present_value(self._due(option.symbol, now.timestamp()), years)

    def implied(self, option: Instrument, price: Decimal, now: datetime) -> float | None:
        """The volatility that a price of an option means; None where it means none. Exact for a quote fixed by hand, close for one near the value."""
        spot, years = float(self.spot(option, now)), (option.expires - now).total_seconds() / _YEAR
        strike = float(option.strike)
        beyond = float(price) - pricing.intrinsic(spot, strike, option.right)
        if beyond <= 0 or years <= 0:
            return None
        pin = self.pinned(option.con_id, now)
        if pin is not None and pin.bid is not None:
            due = self._due(option.symbol, now.timestamp() // _BUCKET * _BUCKET)
            return pricing.implied_volatility(
                float(price), round(spot, 2), strike, option.right, round(years, 5), due
            )
        own = self.model(option, now).value - pricing.intrinsic(spot, strike, option.right)
        vega = self.vega(option, now)
        if own <= 0 or vega <= 0:
            return None
        # what is worth more than exercise brings grows about evenly in its logarithm
        near = self.volatility_of(option, now) + math.log(beyond / own) * own / vega / 100
        return near if near > 0 else None

    # -- quotes

    def quote(self, option: Instrument, now: datetime) -> "Quote":
        """What the market shows of an option. A bid of zero is none; once it is over there are no quotes, and the last is what it was worth."""
        from sim.tws.market import Quote

        if now >= option.expires:
            worth = self.settlement(option)
            return Quote(option.expires, Decimal(0), Decimal(0), worth, 0, 0, 0)
        pin = self.pinned(option.con_id, now)
        if pin is not None and pin.bid is not None and pin.ask is not None:
            bid, ask = pin.bid, pin.ask
            last = ((bid + ask) / 2).quantize(option.min_tick)
        else:
            worth = Decimal(repr(round(self.model(option, now).value, 6)))
            tick = option.tick(worth)
            half = max(tick / 2, min(worth * Decimal(repr(_HALF_SPREAD)), Decimal(repr(_WIDEST))))
            bid = max(Decimal(0), ((worth - half) / tick).to_integral_value(ROUND_FLOOR) * tick)
            ask = ((worth + half) / tick).to_integral_value(ROUND_CEILING) * tick
            last = (worth / tick).quantize(Decimal(1)) * tick
        cell = int(now.timestamp() // 5)
        bid_size, ask_size = (1 + int(60 * uniform(option.con_id * 4 + side, cell) ** 2) for side in (0, 1))
        return Quote(now, bid, ask, last, bid_size if bid else 0, ask_size if ask else 0, 1)

    def settlement(self, option: Instrument) -> Decimal:
        """What an option was worth when it was over: what exercise brings at the close."""
        close = self._market.quote(option.underlying, option.expires).last
        return max(close - option.strike if option.right == "C" else option.strike - close, Decimal(0))

    def open_interest(self, option: Instrument) -> int:
        """How many contracts of an option are open: more of them at round strikes near the usual price."""
        usual = BY_ID[option.underlying].price
        away = abs(math.log(float(option.strike / usual)))
        return (
            int(12_000 * uniform(option.con_id, 7) * math.exp(-8 * away)) + int(option.strike % 10 == 0) * 25
        )

    def volume(self, option: Instrument, now: datetime) -> int:
        """How many contracts of an option were traded in the latest session so far."""
        calendar = option.calendar
        day = calendar.sessions_back(calendar.day_of(now), 1)[0]
        opening, closing = calendar.session(day)
        part = min(max((now - opening) / (closing - opening), 0.0), 1.0)
        return int(self.open_interest(option) * 0.3 * uniform(option.con_id, day.toordinal()) * part)


@lru_cache(maxsize=64)
def _quarterly(amount: Decimal, first: date) -> tuple[Dividend, ...]:
    return tuple(Dividend(_session_from(first + n * _QUARTER), amount) for n in range(-4, _QUARTERS))


@lru_cache(maxsize=1024)
def _goes_ex(dividend: Dividend) -> datetime:
    """When a share is first traded without a dividend."""
    return hours.session(dividend.ex_date)[0]


@lru_cache(maxsize=4096)
def _ahead(dividends: tuple[Dividend, ...], seconds: float) -> pricing.Dividends:
    """Those that are still to come at a moment (seconds since 1970), by years."""
    known = ((_goes_ex(one).timestamp() - seconds, float(one.amount)) for one in dividends)
    return tuple((round(left / _YEAR, 9), amount) for left, amount in known if left > 0)


def _session_from(day: date) -> date:
    while not hours.is_session(day):
        day += timedelta(1)
    return day
