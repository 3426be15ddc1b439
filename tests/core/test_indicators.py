"""Indicators against plain implementations of their formulas, published tables, and what must hold for any bars."""

import statistics
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.indicators import Indicators, Regime, indicators, regime
from core.model import Bar

START = date(2025, 1, 6)

RSI_CLOSES = [
    44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931, 46.0328, 45.6140, 46.2820,
    46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439, 46.2122, 46.2521, 45.7137, 46.4515, 45.7835, 45.3548, 44.0288, 44.1783,
    44.2181, 44.5672, 43.4205, 42.6628, 43.1314,
]  # fmt: skip
RSI_TABLE = [
    70.53, 66.32, 66.55, 69.41, 66.36, 57.97, 62.93, 63.26, 56.06, 62.38, 54.71, 50.42, 39.99, 41.46, 41.87, 45.46, 37.30, 33.08,
    37.77,
]  # fmt: skip
"""The RSI table of StockCharts' ChartSchool ("Relative Strength Index"): the first value belongs to the 15th close."""

ATR_BARS = [
    (48.70, 47.79, 48.16), (48.72, 48.14, 48.61), (48.90, 48.39, 48.75), (48.87, 48.37, 48.63), (48.82, 48.24, 48.74),
    (49.05, 48.64, 49.03), (49.20, 48.94, 49.07), (49.35, 48.86, 49.32), (49.92, 49.50, 49.91), (50.19, 49.87, 50.13),
    (50.12, 49.20, 49.53), (49.66, 48.90, 49.50), (49.88, 49.43, 49.75), (50.19, 49.73, 50.03), (50.36, 49.26, 50.31),
    (50.57, 50.09, 50.52), (50.65, 50.30, 50.41), (50.43, 49.21, 49.34), (49.63, 48.98, 49.37), (50.33, 49.61, 50.23),
    (50.29, 49.20, 49.24), (50.17, 49.43, 49.93), (49.32, 48.08, 48.43), (48.50, 47.64, 48.18), (48.32, 41.55, 46.57),
    (46.80, 44.28, 45.41), (47.80, 47.31, 47.77), (48.39, 47.20, 47.72), (48.66, 47.90, 48.62), (48.79, 47.73, 47.85),
]  # fmt: skip
ATR_TABLE = [
    0.56,
    0.59,
    0.59,
    0.57,
    0.62,
    0.62,
    0.64,
    0.67,
    0.69,
    0.78,
    0.78,
    1.21,
    1.30,
    1.38,
    1.37,
    1.34,
    1.32,
]
"""The ATR table of StockCharts' ChartSchool ("Average True Range"); its first true range is the first bar's own height."""


def sessions(count: int) -> list[date]:
    """The first `count` weekdays from START on."""
    days = (START + timedelta(days=n) for n in range(count * 2 + 3))
    return [day for day in days if day.weekday() < 5][:count]


def bars_of(
    rows: Sequence[tuple[float, float, float]], volumes: Sequence[float | None] | None = None
) -> list[Bar]:
    """Bars from (high, low, close)."""
    known = volumes or [1000.0] * len(rows)
    return [
        Bar(day, price(c), price(h), price(low), price(c), None if v is None else price(v))
        for day, (h, low, c), v in zip(sessions(len(rows)), rows, known, strict=True)
    ]


def flat(closes: Sequence[float]) -> list[Bar]:
    """Bars that never leave their close."""
    return bars_of([(close, close, close) for close in closes])


def price(number: float) -> Decimal:
    return Decimal(str(number))


def wave(count: int, step: float = 0.3) -> list[float]:
    """Closes that rise with a wobble of two periods, so that every indicator has something to see."""
    return [
        round(100 + step * n + 6 * ((n * 7) % 13 - 6) / 6 + ((n * 5) % 31 - 15) / 4, 2) for n in range(count)
    ]


def wilder(values: Sequence[float], period: int) -> float:
    """Wilder's smoothing: a plain mean, then (13 x previous + new) / 14."""
    smooth = sum(values[:period]) / period
    for value in values[period:]:
        smooth = (smooth * (period - 1) + value) / period
    return smooth


def ema(values: Sequence[float], period: int) -> list[float]:
    """The exponential average, from its seed (the mean of the first values) on."""
    line = [sum(values[:period]) / period]
    for value in values[period:]:
        line.append(line[-1] + 2 / (period + 1) * (value - line[-1]))
    return line


def test_rsi_is_the_published_table() -> None:
    """Every RSI of the published table comes out to its two decimals, and there is none before the 15th close."""
    told = [indicators(flat(RSI_CLOSES[:n])).rsi14 for n in range(1, len(RSI_CLOSES) + 1)]
    assert told[:14] == [None] * 14
    assert [round(float(value), 2) for value in told[14:] if value is not None] == pytest.approx(
        RSI_TABLE, abs=0.006
    )


def test_atr_is_the_published_table() -> None:
    """With the first bar doubled, so that its true range is its own height, every published ATR comes out."""
    doubled = [ATR_BARS[0], *ATR_BARS]
    told = [indicators(bars_of(doubled[:n])).atr14 for n in range(15, len(doubled) + 1)]
    assert [float(value) for value in told if value is not None] == pytest.approx(ATR_TABLE, abs=0.006)


@pytest.mark.parametrize("count", [34, 35, 60, 260])
def test_formulas(count: int) -> None:
    """RSI, ATR, MACD, averages and bands agree with a plain reading of their formulas, from the shortest history on."""
    closes = wave(count)
    rows = [(c + 1 + n % 3, c - 1 - n % 2, c) for n, c in enumerate(closes)]
    told = indicators(bars_of(rows))
    moves = [new - old for old, new in pairwise(closes)]
    up, down = wilder([max(m, 0) for m in moves], 14), wilder([max(-m, 0) for m in moves], 14)
    ranges = [max(h - low, abs(h - c0), abs(low - c0)) for (_, _, c0), (h, low, _) in pairwise(rows)]
    line = [fast - slow for fast, slow in zip(ema(closes, 12)[14:], ema(closes, 26), strict=True)]
    signal = ema(line, 9)[-1]
    mean, deviation = statistics.fmean(closes[-20:]), statistics.pstdev(closes[-20:])
    expected = {
        "rsi14": 100 - 100 / (1 + up / down),
        "atr14": wilder(ranges, 14),
        "macd": line[-1],
        "macd_signal": signal,
        "macd_histogram": line[-1] - signal,
        "sma20": mean,
        "bollinger_upper": mean + 2 * deviation,
        "bollinger_middle": mean,
        "bollinger_lower": mean - 2 * deviation,
        "change_1_percent": (closes[-1] / closes[-2] - 1) * 100,
        "change_5_percent": (closes[-1] / closes[-6] - 1) * 100,
        "change_20_percent": (closes[-1] / closes[-21] - 1) * 100,
    }
    if count >= 200:
        expected |= {"sma50": statistics.fmean(closes[-50:]), "sma200": statistics.fmean(closes[-200:])}
    assert {name: float(getattr(told, name)) for name in expected} == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(
    ("name", "enough"),
    [
        ("rsi14", 15), ("sma20", 20), ("sma50", 50), ("sma200", 200), ("macd", 26), ("macd_signal", 34), ("macd_histogram", 34),
        ("atr14", 15), ("bollinger_upper", 20), ("bollinger_middle", 20), ("bollinger_lower", 20), ("volume_ratio", 21),
        ("relative_strength_percent", 61), ("change_1_percent", 2), ("change_5_percent", 6), ("change_20_percent", 21),
        ("regime", 200),
    ],
)  # fmt: skip
def test_too_few_bars(name: str, enough: int) -> None:
    """One bar too few is None, never zero; the next one gives a figure."""
    bars = bars_of([(c + 1, c - 1, c) for c in wave(enough)])
    assert getattr(indicators(bars[1:], bars[1:]), name) is None
    assert getattr(indicators(bars, bars), name) is not None


def test_nothing_from_nothing() -> None:
    """Without bars every figure is unknown."""
    assert indicators([]) == Indicators()


def test_year_range() -> None:
    """The year's extremes are those of 52 weeks: what is older does not count, and half a year is not a year."""
    count = 300
    rows = [(110.0, 90.0, 100.0)] * count
    rows[5], rows[100], rows[200] = (500.0, 1.0, 100.0), (130.0, 95.0, 100.0), (105.0, 70.0, 100.0)
    told = indicators(bars_of(rows))
    assert (told.high_52w, told.low_52w) == (Decimal("130.0"), Decimal("70.0"))
    assert indicators(bars_of(rows[:130])).high_52w is None


def test_volume_ratio() -> None:
    """The last volume is measured against the mean of the 20 before it; an unknown volume leaves the ratio unknown."""
    rows = [(1.0, 1.0, 1.0)] * 22
    usual = [99999.0] + [100.0] * 20
    assert indicators(bars_of(rows, [*usual, 250.0])).volume_ratio == Decimal("2.5")
    assert indicators(bars_of(rows, [*usual, None])).volume_ratio is None
    assert indicators(bars_of(rows, [*usual[:-1], None, 250.0])).volume_ratio is None
    assert indicators(bars_of(rows, [0.0] * 21 + [5.0])).volume_ratio is None


def test_relative_strength_by_date() -> None:
    """Strength compares the same sessions: +32 % against +10 % is 20 % better, however the two histories overlap."""
    own, other = flat([100.0] * 40 + [132.0]), flat([50.0] * 40 + [55.0])
    assert indicators(own, other).relative_strength_percent is None
    own, other = flat([70.0, 100.0, *[110.0] * 59, 132.0]), flat([99.0, 50.0, *[52.0] * 59, 55.0])
    assert indicators(own, other).relative_strength_percent == 20
    assert indicators(own, other[1:]).relative_strength_percent == 20
    assert indicators(own, other[1:30] + other[31:]).relative_strength_percent is None


def test_regime() -> None:
    """Above both averages is up, below both is down, between them is neither."""
    rising = [100.0 + n for n in range(200)]
    assert regime(flat(rising)) is Regime.UP
    assert regime(flat(rising[::-1])) is Regime.DOWN
    assert regime(flat([*rising[:-1], 250.0])) is Regime.SIDEWAYS
    assert regime(flat([*rising[::-1][:-1], 150.0])) is Regime.SIDEWAYS


def test_flat_market() -> None:
    """Where nothing moves, RSI is 0 / 0 and so unknown, while ranges and differences are truly zero."""
    told = indicators(flat([50.0] * 60))
    assert told.rsi14 is None
    assert told.atr14 == told.macd == told.macd_histogram == told.change_20_percent == 0
    assert told.bollinger_lower == told.bollinger_middle == told.bollinger_upper == 50


def test_order_of_bars() -> None:
    """Bars that run backwards, or twice through one date, are a mistake and no figures."""
    bars = flat([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="oldest first"):
        indicators(bars[::-1])
    with pytest.raises(ValueError, match="oldest first"):
        indicators([], [bars[0], *bars])


walks = st.lists(
    st.tuples(st.integers(100, 99_999), st.integers(0, 300), st.integers(0, 300), st.integers(0, 10**9)),
    min_size=30,
    max_size=80,
)


@given(walks)
def test_what_always_holds(walk: list[tuple[int, int, int, int]]) -> None:
    """RSI stays within 0 and 100, ATR is never negative and never above the widest range, bands and the year's range keep their order."""
    rows = [((close + up) / 100, max(close - down, 1) / 100, close / 100) for close, up, down, _ in walk]
    bars = bars_of(rows, [volume for *_, volume in walk])
    told = indicators(bars, bars)
    widest = max(max(b.high, a.close) - min(b.low, a.close) for a, b in pairwise(bars))
    assert told.rsi14 is None or 0 <= told.rsi14 <= 100
    assert told.atr14 is not None
    assert 0 <= told.atr14 <= widest * Decimal("1.000001")
    assert told.bollinger_lower is not None
    assert told.bollinger_middle is not None
    assert told.bollinger_upper is not None
    assert told.bollinger_lower <= told.bollinger_middle <= told.bollinger_upper
    assert told.volume_ratio is None or told.volume_ratio >= 0
    assert told.relative_strength_percent in (None, 0)
    assert told.macd is not None
    assert abs(told.macd) <= max(bar.close for bar in bars)


@given(walks, st.sampled_from(["0.01", "10", "1000"]))
def test_scale(walk: list[tuple[int, int, int, int]], factor: str) -> None:
    """A stock quoted in other units has the same RSI, and an ATR in those units."""
    rows = [((close + up) / 100, max(close - down, 1) / 100, close / 100) for close, up, down, _ in walk]
    bars, unit = bars_of(rows), Decimal(factor)
    scaled = [Bar(b.date, b.open * unit, b.high * unit, b.low * unit, b.close * unit, b.volume) for b in bars]
    one, other = indicators(bars), indicators(scaled)
    assert one.atr14 is not None
    assert other.atr14 is not None
    assert float(other.atr14) == pytest.approx(float(one.atr14 * unit), rel=1e-8)
    if one.rsi14 is None or other.rsi14 is None:
        assert one.rsi14 == other.rsi14
    else:
        assert float(other.rsi14) == pytest.approx(float(one.rsi14), rel=1e-8, abs=1e-8)
