"""Technical indicators of daily bars: Decimal in, Decimal out, TA-Lib in between. Nothing is computed from too few bars: that is None.

Bars come oldest first, one a session, the newest last; a session that still trades may stand at the end. Prices and averages are in
the instrument's currency, `*_percent` in percent. The formulas:

- RSI and ATR: J. Welles Wilder, New Concepts in Technical Trading Systems (1978): a plain average over the first 14, then
  (13 x previous + new) / 14.
- MACD: Gerald Appel's difference of two exponential averages, each seeded with the plain average of its first closes.
- Bollinger bands: John Bollinger's 20-day average and two population standard deviations either side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from core.model import Bar

if TYPE_CHECKING:
    import numpy as np

    Series = np.ndarray[Any, np.dtype[np.float64]]

RSI_PERIOD = ATR_PERIOD = 14
MACD_FAST, MACD_SLOW, MACD_SIGNAL = 12, 26, 9
BOLLINGER_PERIOD, BOLLINGER_DEVIATIONS = 20, 2.0
VOLUME_PERIOD = 20
STRENGTH_SESSIONS = 60
YEAR = timedelta(weeks=52)
SLACK = timedelta(days=7)
"""How much of the year may be missing at its start: a request for one year begins after a weekend or a holiday."""


class Regime(StrEnum):
    """Where the market goes, told by its close against two averages."""

    UP = "up"
    DOWN = "down"
    SIDEWAYS = "sideways"


@dataclass(frozen=True, slots=True)
class Indicators:
    """What the last bar looks like against those before it. None where there are too few bars, or the figure is undefined.

    Prices in the instrument's currency; `rsi14` from 0 to 100; `volume_ratio` 1 for a usual day; `*_percent` in percent.
    """

    rsi14: Decimal | None = None
    sma20: Decimal | None = None
    sma50: Decimal | None = None
    sma200: Decimal | None = None
    macd: Decimal | None = None
    macd_signal: Decimal | None = None
    macd_histogram: Decimal | None = None
    atr14: Decimal | None = None
    bollinger_upper: Decimal | None = None
    bollinger_middle: Decimal | None = None
    bollinger_lower: Decimal | None = None
    high_52w: Decimal | None = None
    low_52w: Decimal | None = None
    volume_ratio: Decimal | None = None
    relative_strength_percent: Decimal | None = None
    change_1_percent: Decimal | None = None
    change_5_percent: Decimal | None = None
    change_20_percent: Decimal | None = None
    regime: Regime | None = None


def indicators(bars: Sequence[Bar], benchmark: Sequence[Bar] = ()) -> Indicators:
    """Every indicator of `bars`; strength and regime are those of, or against, the bars of a `benchmark`.

    Raises ValueError where bars are not in the order of their dates.
    """
    for series in (bars, benchmark):
        if any(later.date <= former.date for former, later in pairwise(series)):
            raise ValueError("bars must come oldest first, one a date")
    macd, macd_signal, macd_histogram = _macd(bars)
    upper, middle, lower = _bollinger(bars)
    high, low = year_range(bars)
    return Indicators(
        rsi14=_rsi(bars),
        sma20=average(bars, 20),
        sma50=average(bars, 50),
        sma200=average(bars, 200),
        macd=macd,
        macd_signal=macd_signal,
        macd_histogram=macd_histogram,
        atr14=_atr(bars),
        bollinger_upper=upper,
        bollinger_middle=middle,
        bollinger_lower=lower,
        high_52w=high,
        low_52w=low,
        volume_ratio=volume_ratio(bars),
        relative_strength_percent=relative_strength(bars, benchmark),
        change_1_percent=change_percent(bars, 1),
        change_5_percent=change_percent(bars, 5),
        change_20_percent=change_percent(bars, 20),
        regime=regime(benchmark),
    )


def average(bars: Sequence[Bar], sessions: int) -> Decimal | None:
    """The simple moving average of the last closes."""
    if len(bars) < sessions:
        return None
    return sum((bar.close for bar in bars[-sessions:]), Decimal(0)) / sessions


def change_percent(bars: Sequence[Bar], sessions: int) -> Decimal | None:
    """How much the last close differs from the one `sessions` before it, in percent."""
    if len(bars) <= sessions:
        return None
    return _growth(bars[-1 - sessions], bars[-1])


def year_range(bars: Sequence[Bar]) -> tuple[Decimal | None, Decimal | None]:
    """(highest high, lowest low) of the 52 weeks up to the last bar; None without about a year of bars."""
    if not bars or bars[0].date > bars[-1].date - YEAR + SLACK:
        return None, None
    year = [bar for bar in bars if bar.date > bars[-1].date - YEAR]
    return max(bar.high for bar in year), min(bar.low for bar in year)


def volume_ratio(bars: Sequence[Bar]) -> Decimal | None:
    """The last volume over the mean of the 20 before it; None where one is unknown or nothing traded before."""
    volumes = [bar.volume for bar in bars[-1 - VOLUME_PERIOD :] if bar.volume is not None]
    usual = sum(volumes[:-1], Decimal(0)) / VOLUME_PERIOD
    if len(volumes) <= VOLUME_PERIOD or usual <= 0:
        return None
    return volumes[-1] / usual


def relative_strength(bars: Sequence[Bar], benchmark: Sequence[Bar]) -> Decimal | None:
    """How much better `bars` did than `benchmark` over the last 60 sessions that both have, in percent: growth over growth, less one."""
    others = {bar.date: bar for bar in benchmark}
    both = [(bar, others[bar.date]) for bar in bars if bar.date in others]
    if len(both) <= STRENGTH_SESSIONS:
        return None
    (old, old_other), (new, new_other) = both[-1 - STRENGTH_SESSIONS], both[-1]
    own, other = _growth(old, new), _growth(old_other, new_other)
    if own is None or other is None or other <= -100:
        return None
    return ((100 + own) / (100 + other) - 1) * 100


def regime(benchmark: Sequence[Bar]) -> Regime | None:
    """UP where the benchmark closes above its 50-day and its 200-day average, DOWN below both, SIDEWAYS between."""
    short, long = average(benchmark, 50), average(benchmark, 200)
    if short is None or long is None:
        return None
    close = benchmark[-1].close
    if close > max(short, long):
        return Regime.UP
    return Regime.DOWN if close < min(short, long) else Regime.SIDEWAYS


def _growth(old: Bar, new: Bar) -> Decimal | None:
    return (new.close / old.close - 1) * 100 if old.close > 0 else None


def _rsi(bars: Sequence[Bar]) -> Decimal | None:
    """Wilder's RSI; None where no close differs from another (0 / 0), which TA-Lib calls 0."""
    if len(bars) <= RSI_PERIOD or all(bar.close == bars[0].close for bar in bars):
        return None
    import talib

    return _last(talib.RSI(_closes(bars), RSI_PERIOD))


def _atr(bars: Sequence[Bar]) -> Decimal | None:
    """Wilder's ATR: the true range needs a close before it, so the first average is of the bars 2 to 15."""
    if len(bars) <= ATR_PERIOD:
        return None
    import talib

    highs, lows = _floats([bar.high for bar in bars]), _floats([bar.low for bar in bars])
    return _last(talib.ATR(highs, lows, _closes(bars), ATR_PERIOD))


def _macd(bars: Sequence[Bar]) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """(MACD, its signal line, their difference).

    Built from TA-Lib's EMA, because its MACD starts the fast average late and so disagrees with every chart on short histories.
    """
    if len(bars) < MACD_SLOW:
        return None, None, None
    import talib

    closes = _closes(bars)
    line = (talib.EMA(closes, MACD_FAST) - talib.EMA(closes, MACD_SLOW))[MACD_SLOW - 1 :]
    macd = _last(line)
    signal = _last(talib.EMA(line, MACD_SIGNAL)) if len(line) >= MACD_SIGNAL else None
    return macd, signal, None if macd is None or signal is None else macd - signal


def _bollinger(bars: Sequence[Bar]) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """(upper, middle, lower) band."""
    if len(bars) < BOLLINGER_PERIOD:
        return None, None, None
    import talib

    bands = talib.BBANDS(
        _closes(bars[-BOLLINGER_PERIOD:]), BOLLINGER_PERIOD, BOLLINGER_DEVIATIONS, BOLLINGER_DEVIATIONS
    )
    upper, middle, lower = (_last(band) for band in bands)
    return upper, middle, lower


def _closes(bars: Sequence[Bar]) -> "Series":
    return _floats([bar.close for bar in bars])


def _floats(values: Sequence[Decimal]) -> "Series":
    import numpy as np

    return np.array([float(value) for value in values])


def _last(series: "Series") -> Decimal | None:
    """The newest value to ten significant digits, which is what double precision leaves of a long sum; None for NaN."""
    value = Decimal(f"{float(series[-1]):.10g}")
    return value if value.is_finite() else None
