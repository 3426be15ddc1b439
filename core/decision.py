"""What the model answered, proved: the schema it is asked to fill, and the only reader that turns text into a decision.

Nothing is repaired, guessed or converted: an answer that is not exactly a decision is an error. Evidence comes before the verdict, so
that the verdict follows from it. The model never sets quantity, order type, account or size.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, NoReturn

from core.errors import BadInput, DecisionError
from core.facts import AGREES, UPON_SHARES, Fact, by_id, two_sided
from core.model import Chain, OptionTerms, ProposedPlan, Right
from core.options.plan import PlanLeg, Strategy
from core.options.strategies import terms

MAX_TEXT_CHARS = 1_200
"""Where a text of the model is cut for display."""
MAX_ANSWER_CHARS, MAX_EVIDENCE, MAX_STRIKES = 100_000, 50, 8
MAX_PRICE_EXPONENT = 9
"""Prices are above 1e-9 and below 1e10, so that none explodes when it is written out."""
LEAST_STOP_ATR = Decimal("0.25")
"""How many ATR a stop must be away: nearer, and noise takes it out."""


class Verdict(StrEnum):
    """What to do about it."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


HORIZONS: Mapping[int, str] = {1: "SHORT", 5: "SHORT", 20: "MEDIUM", 60: "LONG"}
"""Trading sessions a decision may look ahead, and the word for each."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A fact by its id, and what the model reads from it."""

    fact: str
    says: str


@dataclass(frozen=True, slots=True)
class Decision:
    """A proved answer. Prices in the instrument's currency, `time_horizon` in sessions, texts cut to 1,200 characters and still raw text.

    `confidence` is the chance in percent that a position in this direction, opened at the fact `price`, is in profit at the close of
    the last session of the horizon.
    """

    ticker: str
    evidence: tuple[Evidence, ...]
    bear_case: str
    reasoning: str
    verdict: Verdict
    time_horizon: int
    confidence: int
    target_price: Decimal | None
    stop_loss: Decimal | None
    injection_suspected: bool
    option_plan: ProposedPlan | None = None

    @property
    def term(self) -> str:
        """SHORT, MEDIUM or LONG."""
        return HORIZONS[self.time_horizon]


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_TEXT = {"type": "string"}
_PRICE = {"anyOf": [{"type": "number"}, {"type": "null"}]}
_PLAN = _closed(
    {
        "why": _TEXT,
        "strategy": {"type": "string", "enum": [strategy.value for strategy in Strategy]},
        "expiry": _TEXT,
        "strikes": {"type": "array", "items": {"type": "number"}},
    }
)
DECISION_SCHEMA: Mapping[str, Any] = _closed(
    {
        "ticker": _TEXT,
        "evidence": {"type": "array", "items": _closed({"fact": _TEXT, "says": _TEXT})},
        "bear_case": _TEXT,
        "reasoning": _TEXT,
        "decision": {"type": "string", "enum": [verdict.value for verdict in Verdict]},
        "time_horizon": {"type": "integer", "enum": [*HORIZONS]},
        "confidence": {"type": "integer"},
        "target_price": _PRICE,
        "stop_loss": _PRICE,
        "option_plan": {"anyOf": [{"type": "null"}, _PLAN]},
        "injection_suspected": {"type": "boolean"},
    }
)
"""For structured output, whose grammar knows no bounds and no lengths: those are checked by `read_decision`."""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "ticker": (str,),
    "evidence": (list,),
    "bear_case": (str,),
    "reasoning": (str,),
    "decision": (str,),
    "time_horizon": (int,),
    "confidence": (int,),
    "target_price": (int, Decimal, type(None)),
    "stop_loss": (int, Decimal, type(None)),
    "option_plan": (dict, type(None)),
    "injection_suspected": (bool,),
}
_PLAN_TYPES: Mapping[str, tuple[type, ...]] = {
    "why": (str,),
    "strategy": (str,),
    "expiry": (str,),
    "strikes": (list,),
}
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_UNSEEN = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of writing round, so that a text reads other than it is."""


def read_decision(text: str, ticker: str, facts: Sequence[Fact], offered: Sequence[PlanLeg] = ()) -> Decision:
    """The decision that `text` is, for the `ticker`, the `facts` and the options on offer that the model was given.

    Raises DecisionError: `malformed` where it is not one JSON object of exactly the schema's keys and types (prose around it, numbers as
    text, NaN, an unknown or repeated key); `invalid` where it is, but says what cannot be (another ticker, an unknown fact, a figure
    out of range, a target or stop on the wrong side or too near, a plan of options that were not on offer or that contradicts the verdict).
    """
    told = _object(text)
    _check_types(told, _TYPES, "the answer")
    known = by_id(facts)
    if told["ticker"] != ticker:
        raise _invalid(f"It is about {_short(told['ticker'])} instead of {ticker}.")
    if told["decision"] not in [*Verdict]:
        raise _invalid(f"Its verdict is {_short(told['decision'])} instead of BUY, SELL or HOLD.")
    if told["time_horizon"] not in HORIZONS:
        raise _invalid("Its time horizon is not 1, 5, 20 or 60 sessions.")
    if not 0 <= told["confidence"] <= 100:
        raise _invalid("Its confidence is not within 0 and 100.")
    decision = Decision(
        ticker=ticker,
        evidence=_evidence(told["evidence"], known),
        bear_case=_shown(told["bear_case"]),
        reasoning=_shown(told["reasoning"]),
        verdict=Verdict(told["decision"]),
        time_horizon=told["time_horizon"],
        confidence=told["confidence"],
        target_price=_price("target", told["target_price"]),
        stop_loss=_price("stop", told["stop_loss"]),
        injection_suspected=told["injection_suspected"],
        option_plan=_plan(told["option_plan"]),
    )
    if decision.option_plan is not None:
        _check_plan(decision.option_plan, decision.verdict, known, offered)
    if decision.verdict is not Verdict.HOLD:
        _check_levels(decision, known)
    return decision


def _plan(told: dict[str, Any] | None) -> ProposedPlan | None:
    """A plan as it was written, its words and numbers proved one by one; whether there are such options is for `_check_plan`."""
    if told is None:
        return None
    _check_types(told, _PLAN_TYPES, "its option plan")
    if any(type(strike) not in (int, Decimal) for strike in told["strikes"]):
        raise _malformed("its option plan has a strike that is not a number")
    if told["strategy"] not in [*Strategy]:
        raise _invalid(f"Its option plan is {_short(told['strategy'])}, which is none of the strategies.")
    if not _DAY.fullmatch(told["expiry"]):
        raise _invalid(
            f"Its option plan expires on {_short(told['expiry'])}, which is not a date (YYYY-MM-DD)."
        )
    try:
        expiry = date.fromisoformat(told["expiry"])
    except ValueError:
        raise _invalid(f"Its option plan expires on {_short(told['expiry'])}, which is no day.") from None
    if len(told["strikes"]) > MAX_STRIKES:
        raise _invalid(f"Its option plan has more than {MAX_STRIKES} strikes.")
    strikes = [_price("option plan's strike", strike) for strike in told["strikes"]]
    return ProposedPlan(
        told["strategy"], expiry, tuple(strike for strike in strikes if strike), _shown(told["why"])
    )


def _check_plan(
    plan: ProposedPlan, verdict: Verdict, known: Mapping[str, Fact], offered: Sequence[PlanLeg]
) -> None:
    """A plan that agrees with the verdict, whose strikes make its strategy, and of which every option was on offer with a bid and an ask."""
    strategy = Strategy(plan.strategy)
    if strategy not in AGREES[verdict]:
        raise _invalid(f"It says {verdict} and proposes a {strategy}, which contradicts it.")
    tradable = [leg.leg.option for leg in offered if leg.leg.option and two_sided(leg)]
    if not tradable:
        raise _invalid(f"It proposes a {strategy}, but no options were on offer.")
    if plan.expiry not in {option.expiry for option in tradable}:
        raise _invalid(f"It proposes a {strategy} that expires on {plan.expiry}, which was not on offer.")
    one = tradable[0]
    chain = Chain(0, one.trading_class, one.multiplier, (plan.expiry,), plan.strikes)
    try:
        legs = [option for _, option in terms(strategy, plan.strikes, chain, plan.expiry) if option]
    except BadInput as wrong:
        raise _invalid(f"Its option plan is none: {wrong}") from None
    there = {_contract(option) for option in tradable}
    for leg in legs:
        if _contract(leg) not in there:
            named = f"{leg.strike.normalize():f} {leg.right} {leg.expiry}"
            raise _invalid(f"It proposes a {strategy} with the option {named}, which was not on offer.")
    free = _fact(known, "free_shares")
    if verdict is Verdict.HOLD and strategy in UPON_SHARES and (free is None or free < one.multiplier):
        raise _invalid(
            f"It says HOLD and proposes a {strategy}, which would buy shares: fewer than {one.multiplier:f} are free."
        )


def _contract(option: OptionTerms) -> tuple[date, Decimal, Right]:
    return option.expiry, option.strike, option.right


def _check_levels(decision: Decision, known: Mapping[str, Fact]) -> None:
    """Target and stop of a BUY or SELL: there, on the proper sides of the price, and the stop not within the noise."""
    price, atr = _fact(known, "price"), _fact(known, "atr14")
    target, stop, verdict = decision.target_price, decision.stop_loss, decision.verdict
    if price is None:
        raise _invalid(f"It says {verdict}, but the price was not known.")
    leaves = verdict is Verdict.SELL and (_fact(known, "position_quantity") or 0) > 0
    if (target is None or stop is None) and not leaves:
        raise _invalid(f"It says {verdict} without both a target and a stop.")
    side = 1 if verdict is Verdict.BUY else -1
    if target is not None and (target - price) * side <= 0:
        raise _invalid(f"Its target {target:f} is on the wrong side of the price {price:f} for a {verdict}.")
    if stop is None:
        return
    if (price - stop) * side <= 0:
        raise _invalid(f"Its stop {stop:f} is on the wrong side of the price {price:f} for a {verdict}.")
    if atr is None:
        raise _invalid("Its stop cannot be judged: the average true range was not known.")
    if abs(price - stop) < atr * LEAST_STOP_ATR:
        raise _invalid(f"Its stop {stop:f} is less than a quarter of the ATR {atr:f} away from {price:f}.")


def _evidence(told: list[Any], known: Mapping[str, Fact]) -> tuple[Evidence, ...]:
    if len(told) > MAX_EVIDENCE:
        raise _invalid(f"It has more than {MAX_EVIDENCE} pieces of evidence.")
    for item in told:
        if type(item) is not dict:
            raise _malformed("its evidence is not a list of objects")
        _check_types(item, {"fact": (str,), "says": (str,)}, "its evidence")
        if item["fact"] not in known:
            raise _invalid(f"It cites {_short(item['fact'])}, which is none of the facts.")
    return tuple(Evidence(item["fact"], _shown(item["says"])) for item in told)


def _object(text: str) -> dict[str, Any]:
    """The one JSON object that `text` is."""
    if len(text) > MAX_ANSWER_CHARS:
        raise _malformed(f"it is longer than {MAX_ANSWER_CHARS:,} characters")
    try:
        told = json.loads(
            text, parse_float=_decimal, parse_constant=_no_number, object_pairs_hook=_without_repeats
        )
    except (ValueError, RecursionError) as error:
        raise _malformed("it is not JSON") from error
    if type(told) is not dict:
        raise _malformed("it is not a JSON object")
    return told


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError("a number beyond all measure") from error


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told = dict(pairs)
    if len(told) != len(pairs):
        raise ValueError("a key stands twice")
    return told


def _check_types(told: dict[str, Any], types: Mapping[str, tuple[type, ...]], where: str) -> None:
    """Exactly these keys, each of exactly one of its types (True is no number)."""
    if missing := sorted(types.keys() - told.keys()):
        raise _malformed(f"{where} lacks {', '.join(missing)}")
    if unknown := sorted(told.keys() - types.keys()):
        raise _malformed(f"{where} has {_short(unknown[0])}, which was not asked for")
    for key, allowed in types.items():
        if type(told[key]) not in allowed:
            raise _malformed(f"{where} has a {key} of the wrong type")


def _price(name: str, told: int | Decimal | None) -> Decimal | None:
    if told is None:
        return None
    price = Decimal(told)
    if price <= 0 or abs(price.adjusted()) > MAX_PRICE_EXPONENT:
        raise _invalid(f"Its {name} is not a price.")
    return +price


def _fact(known: Mapping[str, Fact], name: str) -> Decimal | None:
    return known[name].number if name in known else None


def _shown(text: str) -> str:
    """`text` without what cannot be stored or shown (control characters, half characters, turned writing), cut for display."""
    seen = "".join(
        one
        for one in text[: 4 * MAX_TEXT_CHARS]
        if (one == "\n" or unicodedata.category(one) not in ("Cc", "Cs")) and one not in _UNSEEN
    )
    return seen if len(seen) <= MAX_TEXT_CHARS else seen[: MAX_TEXT_CHARS - 1] + "…"


def _short(text: str) -> str:
    """Foreign text inside a sentence of ours: one short line in quotes."""
    line = " ".join(_shown(text).split())
    return f"“{line if len(line) <= 40 else line[:39] + '…'}”"


def _malformed(why: str) -> DecisionError:
    return DecisionError("malformed", f"The model's answer cannot be read: {why}.")


def _invalid(why: str) -> DecisionError:
    return DecisionError("invalid", f"The model's answer cannot be right. {why}")
