"""The demo analyst: a handful of textbook rules over the facts of a prompt. It is not an AI, and says so in every answer.

Each signal measures one thing and its bands turn the measure into points for (+) or against (-) buying. The points, as a share of what
the measurable signals could give, are the score: the score makes the verdict, its size the confidence.
"""

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal, NamedTuple

from sim.model.facts import Facts

Values = Mapping[str, Decimal]
Verdict = Literal["BUY", "SELL", "HOLD"]

DEMO_MODEL = "greenlight-demo-analyst"
LABEL = "Demo rule, not an AI:"
BUY_AT = Decimal("0.20")
SELL_AT = Decimal("-0.20")
SELL_HELD_AT = Decimal("-0.10")
"""A holding below its 50-day average is let go sooner than a fresh SELL is called."""
EXPOSURE_LIMIT = Decimal(25)
"""Percent of the account in one name at which the rule stops buying more."""
STOP_ATR, TARGET_ATR = Decimal(2), Decimal(3)
FEWEST_SIGNALS = 3
SPREAD_TICKERS = frozenset({"NVDA"})
"""Shares that the demo trades by spreads of options, where there are any; by name, so that everybody knows when one comes."""


class Band(NamedTuple):
    """Points for a measure below `under` (None: any), and the sentence that goes with it."""

    under: Decimal | None
    points: Decimal
    says: str


class Signal(NamedTuple):
    """One thing to measure; None where a fact it needs is missing. `cites` is the fact its sentence rests on."""

    school: Literal["trend", "momentum", "reversion"]
    cites: str
    measure: Callable[[Values], Decimal | None]
    bands: tuple[Band, ...]


class Vote(NamedTuple):
    """What one signal says about the facts at hand."""

    signal: Signal
    points: Decimal
    says: str


def _difference(high: str, low: str) -> Callable[[Values], Decimal | None]:
    return lambda values: values[high] - values[low] if high in values and low in values else None


def _place_between(low: str, high: str) -> Callable[[Values], Decimal | None]:
    """Where the price stands between two facts: 0 at the low one, 1 at the high one."""

    def measure(values: Values) -> Decimal | None:
        if not {"price", low, high} <= values.keys() or values[high] <= values[low]:
            return None
        return (values["price"] - values[low]) / (values[high] - values[low])

    return measure


def _volume(values: Values) -> Decimal | None:
    """The volume ratio with the sign of the price's side of its 20-day average: heavy trade confirms the direction."""
    if not {"price", "sma20", "volume_ratio"} <= values.keys():
        return None
    return values["volume_ratio"] * (1 if values["price"] >= values["sma20"] else -1)


def _bands(*rows: tuple[str | None, str, str]) -> tuple[Band, ...]:
    return tuple(
        Band(None if under is None else Decimal(under), Decimal(points), says) for under, points, says in rows
    )


SIGNALS = (
    Signal("trend", "sma20", _difference("price", "sma20"), _bands(("0", "-1", "the price is below its 20-day average"), (None, "1", "the price is above its 20-day average"))),
    Signal("trend", "sma50", _difference("price", "sma50"), _bands(("0", "-1.5", "the price is below its 50-day average"), (None, "1.5", "the price is above its 50-day average"))),
    Signal("trend", "sma200", _difference("price", "sma200"), _bands(("0", "-1.5", "the price is below its 200-day average"), (None, "1.5", "the price is above its 200-day average"))),
    Signal("trend", "sma50", _difference("sma50", "sma200"), _bands(("0", "-1", "the 50-day average runs below the 200-day one"), (None, "1", "the 50-day average runs above the 200-day one"))),
    Signal("momentum", "macd", _difference("macd", "macd_signal"), _bands(("0", "-1.5", "MACD is below its signal line"), (None, "1.5", "MACD is above its signal line"))),
    Signal("momentum", "volume_ratio", _volume, _bands(("-1.5", "-0.5", "heavy volume goes with the fall"), ("1.5", "0", ""), (None, "0.5", "heavy volume goes with the rise"))),
    Signal("momentum", "high_52w", _place_between("low_52w", "high_52w"), _bands(("0.1", "-0.5", "the price is close to its 52-week low"), ("0.9", "0", ""), (None, "0.5", "the price is close to its 52-week high"))),
    Signal("reversion", "rsi14", lambda values: values.get("rsi14"), _bands(("30", "1.5", "RSI says oversold"), ("45", "-0.5", "RSI is weak"), ("55", "0", ""), ("70", "0.75", "RSI is firm"), (None, "-1", "RSI says overbought"))),
    Signal("reversion", "bollinger_lower", _place_between("bollinger_lower", "bollinger_upper"), _bands(("0", "1.5", "the price has fallen through its lower Bollinger band"), ("1", "0", ""), (None, "-1", "the price has run through its upper Bollinger band"))),
)  # fmt: skip


def votes(values: Values) -> list[Vote]:
    """What every measurable signal says."""
    measured = ((signal, signal.measure(values)) for signal in SIGNALS)
    return [Vote(signal, *_band(signal, measure)) for signal, measure in measured if measure is not None]


def _band(signal: Signal, measure: Decimal) -> tuple[Decimal, str]:
    band = next(band for band in signal.bands if band.under is None or measure < band.under)
    return band.points, band.says


def score(cast: list[Vote]) -> Decimal:
    """Points as a share of what these signals could give: -1 (all against buying) to 1; 0 for no votes."""
    possible = sum((max(abs(band.points) for band in vote.signal.bands) for vote in cast), Decimal(0))
    return sum((vote.points for vote in cast), Decimal(0)) / possible if possible else Decimal(0)


def levels(verdict: Verdict, values: Values) -> tuple[Decimal, Decimal] | None:
    """(target, stop) of a verdict, 3 and 2 ATR from the price, in cents (hundredths of one below a dollar).

    None for HOLD, without a price or an ATR, and where rounding or a huge ATR leaves no level that makes sense.
    """
    price, atr = values.get("price", Decimal(0)), values.get("atr14", Decimal(0))
    if verdict == "HOLD" or price <= 0 or atr <= 0:
        return None
    tick = Decimal("0.01") if price >= 1 else Decimal("0.0001")
    side = 1 if verdict == "BUY" else -1
    target, stop = (
        (price + side * way * atr).quantize(tick, ROUND_HALF_UP) for way in (TARGET_ATR, -STOP_ATR)
    )
    sensible = min(target, stop) > 0 and (target - price) * side > 0 and (price - stop) * side >= atr / 2
    return (target, stop) if sensible else None


def option_plan(verdict: Verdict, facts: Facts) -> dict[str, Any] | None:
    """A spread of the two strikes next to the price, in the first expiry on offer that has them; None where it has no reason to propose one."""
    price = facts.values.get("price")
    if price is None or verdict == "HOLD" or facts.ticker not in SPREAD_TICKERS:
        return None
    right, name = ("C", "BULL_CALL_SPREAD") if verdict == "BUY" else ("P", "BEAR_PUT_SPREAD")
    for expiry in sorted({option.expiry for option in facts.options}):
        there = {o.strike for o in facts.options if o.expiry == expiry and o.right == right and o.bid > 0}
        below = [strike for strike in there if strike <= price]
        above = [strike for strike in there if strike > price]
        if not (below and above):
            continue
        return {
            "why": f"{LABEL} {facts.ticker} moves a lot, and a spread limits what can be lost.",
            "strategy": name,
            "expiry": expiry.isoformat(),
            "strikes": [float(max(below)), float(min(above))],
        }
    return None


def _verdict(facts: Facts, cast: list[Vote], total: Decimal) -> tuple[Verdict, str]:
    """The verdict and the sentence that explains it."""
    values = facts.values
    if not {"price", "atr14"} <= values.keys() or len(cast) < FEWEST_SIGNALS:
        return "HOLD", "there are too few facts to judge by."
    broken = facts.holding() and values["price"] < values.get("sma50", Decimal(0))
    if total <= (SELL_HELD_AT if broken else SELL_AT):
        return "SELL", "the trend of this holding is broken." if broken else "the signals point down."
    if total < BUY_AT:
        return "HOLD", "the signals contradict each other."
    if values.get("exposure_percent", Decimal(0)) >= EXPOSURE_LIMIT:
        return "HOLD", "the signals point up, but the account already holds plenty of this."
    return "BUY", "the signals point up."


def _horizon(verdict: Verdict, cast: list[Vote]) -> int:
    """Sessions: what snaps back does so within 5, a trend with momentum takes 20, a trend alone 60."""
    if verdict == "HOLD":
        return 5 if cast else 1
    side = 1 if verdict == "BUY" else -1
    force = {"trend": Decimal(0), "momentum": Decimal(0), "reversion": Decimal(0)}
    for vote in cast:
        force[vote.signal.school] += vote.points * side
    if force["reversion"] > max(force["trend"], force["momentum"]):
        return 5
    return 20 if force["momentum"] > 0 else 60


def decide(facts: Facts, verdict: Verdict | None = None, confidence: int | None = None) -> dict[str, Any]:
    """The demo's answer to `facts`. `verdict` and `confidence`, where given, replace what the rules would say; the levels stay the rules'."""
    cast = votes(facts.values)
    total = score(cast)
    ruled, why = _verdict(facts, cast, total)
    if verdict is not None and verdict != ruled:
        ruled, why = verdict, "this verdict was ordered, whatever the signals say."
    prices = levels(ruled, facts.values)
    if ruled != "HOLD" and prices is None and verdict is None:
        ruled, why = "HOLD", "no stop at two ATR makes sense at this price."
    if confidence is None:
        enough = len(cast) >= FEWEST_SIGNALS and "price" in facts.values
        confidence = min(95, int(50 + 45 * abs(total))) if ruled != "HOLD" else 50 if enough else 20
    speaking = [vote for vote in cast if vote.points]
    against = [vote.says for vote in speaking if (vote.points > 0) == (ruled == "SELL")]
    target, stop = prices or (None, None)
    return {
        "ticker": facts.ticker,
        "evidence": [
            {"fact": vote.signal.cites, "says": f"{vote.says} ({facts.values[vote.signal.cites]:f})"}
            for vote in speaking
        ],
        "bear_case": f"{'; '.join(against)}."
        if against
        else "No signal speaks against it, which is when surprises hurt most.",
        "reasoning": f"{LABEL} {why} {len(cast)} of {len(SIGNALS)} signals could be measured, score {total:+.2f} between -1 and +1.",
        "decision": ruled,
        "time_horizon": _horizon(ruled, cast),
        "confidence": confidence,
        "target_price": None if target is None else float(target),
        "stop_loss": None if stop is None else float(stop),
        "option_plan": option_plan(ruled, facts) if prices is not None else None,
        "injection_suspected": facts.injected,
    }
