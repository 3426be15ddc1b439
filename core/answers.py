"""What came back from the Messages API, proved: how a try ended, what it cost, and the decision if it is one. Nothing here asks.

Anything but an exact decision ends as a typed outcome with a sentence; nothing is salvaged from free text and no HOLD is made up.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from core.decision import Decision, read_decision
from core.errors import DecisionError
from core.facts import Fact
from core.model import Outcome
from core.options.plan import PlanLeg

RETRY_SECONDS = 0.5
"""How long a try that failed is let lie where the API does not say."""
MAX_WORDS_CHARS = 300

OUTCOME_WORDS: Mapping[Outcome, str] = {
    Outcome.DECISION: "The model decided.",
    Outcome.REFUSED: "The model declined to answer. Ask again later, or set another ANTHROPIC_MODEL.",
    Outcome.TRUNCATED: "The model's answer was cut off at its length limit, so it was not used. Ask again.",
    Outcome.MALFORMED: "The model's answer did not have the agreed form, so it was not used. Ask again.",
    Outcome.INVALID: "The model's answer contradicts the facts, so it was not used. Ask again.",
    Outcome.INCOMPLETE: "The model stopped before it was done, so its answer was not used. Ask again.",
    Outcome.OVERLOADED: "The model's service is overloaded or in trouble. Ask again in a few minutes.",
    Outcome.RATE_LIMITED: "The API's rate limit is reached. Ask again later.",
    Outcome.SPEND_CAP: "A spending limit for the model is reached. Wait for the next period, or raise the limit.",
    Outcome.TIMEOUT: "The model did not answer in time. Ask again.",
    Outcome.UNREACHABLE: "The Messages API cannot be reached. Check the network, a proxy, and ANTHROPIC_BASE_URL.",
    Outcome.AUTH: "The Messages API refuses the key or the model. Check ANTHROPIC_API_KEY and ANTHROPIC_MODEL.",
}
"""What happened and what to do, in words for people."""

_PRICES = json.loads(Path(__file__).with_name("model_prices.json").read_text("utf-8"))["per_million_tokens"]


def dollars(model: str, input_tokens: int | None, output_tokens: int | None) -> Decimal | None:
    """The list price of an answer, exact; None where the model, or a prompt of that length, has no price here."""
    price = _PRICES.get(re.sub(r"-20\d{6}$", "", model))
    if price is None or input_tokens is None or output_tokens is None:
        return None
    if input_tokens > price.get("up_to_input_tokens", math.inf):
        return None
    return (input_tokens * Decimal(price["input"]) + output_tokens * Decimal(price["output"])) / 1_000_000


@dataclass(frozen=True, slots=True)
class Told:
    """How a try ended and what was learned from it. Where a second try makes sense, it does so after `retry_seconds`."""

    outcome: Outcome
    problem: str = ""
    said: str = ""
    model: str = ""
    request_id: str = ""
    stop_reason: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = None
    decision: Decision | None = None
    retry_seconds: float | None = None


# --- what the API says about a request ------------------------------------------------------------------------------------

_SPENDING = re.compile(r"usage limits|credit balance|spend(ing)? limit|regain access", re.IGNORECASE)
"""Two of the four ways to run out of money are told by their wording alone."""
_BY_STATUS: Mapping[int, Outcome] = {
    401: Outcome.AUTH,
    402: Outcome.SPEND_CAP,
    403: Outcome.AUTH,
    404: Outcome.AUTH,
    408: Outcome.TIMEOUT,
    429: Outcome.RATE_LIMITED,
    504: Outcome.TIMEOUT,
}
_BY_TYPE: Mapping[str, Outcome] = {
    "authentication_error": Outcome.AUTH,
    "permission_error": Outcome.AUTH,
    "not_found_error": Outcome.AUTH,
    "billing_error": Outcome.SPEND_CAP,
    "rate_limit_error": Outcome.RATE_LIMITED,
    "timeout_error": Outcome.TIMEOUT,
    "overloaded_error": Outcome.OVERLOADED,
}


def read_error(
    status: int,
    kind: str | None,
    code: str | None,
    message: object,
    request_id: str | None,
    retry_after: str | None,
) -> Told:
    """An error answer of the API: its HTTP status, its type, error code and message, and the header retry-after."""
    said, code, wait = _word(message), code or "", _seconds(retry_after)
    if "spend_limit" in code or "billing" in code or (status < 500 and _SPENDING.search(said)):
        outcome = Outcome.SPEND_CAP
    else:
        trouble = Outcome.OVERLOADED if status >= 500 else Outcome.REFUSED
        outcome = _BY_TYPE.get(kind or "") or _BY_STATUS.get(status, trouble)
    told = f"The API says: “{_one_line(said)}”" if said else f"The API answered with status {status}."
    if outcome is Outcome.OVERLOADED and wait is None:
        wait = RETRY_SECONDS
    elif outcome is Outcome.RATE_LIMITED and wait is not None:
        told += f" It asks to wait {math.ceil(wait):,} seconds."
    again = wait if outcome in (Outcome.OVERLOADED, Outcome.RATE_LIMITED) else None
    return Told(outcome, told, request_id=request_id or "", retry_seconds=again)


def _seconds(header: str | None) -> float | None:
    """A retry-after in seconds; None where there is none that can be read."""
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return min(seconds, 1e9) if seconds >= 0 else None


def _one_line(text: str) -> str:
    """Foreign text inside a sentence of ours: one short line of what can be seen, without marks that turn the writing round."""
    line = "".join(one for one in " ".join(text[:10_000].split()) if one.isprintable())
    return line if len(line) <= MAX_WORDS_CHARS else line[: MAX_WORDS_CHARS - 1] + "…"


# --- what the model says --------------------------------------------------------------------------------------------------

_STOPS: Mapping[str, tuple[Outcome, str]] = {
    "refusal": (Outcome.REFUSED, ""),
    "max_tokens": (Outcome.TRUNCATED, ""),
    "model_context_window_exceeded": (Outcome.TRUNCATED, ""),
}
_BLOCKS = frozenset({"text", "thinking", "redacted_thinking"})
"""What an answer may be made of; it had no tools to use."""


def read_page(came: object) -> Told:
    """Something with status 200 that is no message, such as a proxy's page."""
    page = came if isinstance(came, str) else repr(came)
    return Told(Outcome.UNREACHABLE, "Something else answered in place of it, such as a proxy's page.", page)


def read_message(
    came: Any, request_id: object, ticker: str, facts: Sequence[Fact], offered: Sequence[PlanLeg] = ()
) -> Told:
    """A message of the SDK, proved. The SDK makes one of any JSON object and checks nothing: each field may be anything at all."""
    content = getattr(came, "content", None)
    blocks = content if isinstance(content, list) else []
    texts = [_word(getattr(block, "text", None)) for block in blocks if _kind(block) == "text"]
    usage = getattr(came, "usage", None)
    tokens_in, tokens_out = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    cached = _count(usage, "cache_creation_input_tokens") or _count(usage, "cache_read_input_tokens")
    model = _word(getattr(came, "model", None))
    told = Told(
        Outcome.MALFORMED,
        said="".join(texts) or ("" if blocks == content else repr(content)),
        model=model,
        request_id=_word(request_id),
        stop_reason=_word(getattr(came, "stop_reason", None)),
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cost=None if cached else dollars(model, tokens_in, tokens_out),
    )
    if told.stop_reason in _STOPS:
        outcome, problem = _STOPS[told.stop_reason]
        return replace(told, outcome=outcome, problem=problem)
    if told.stop_reason != "end_turn":
        why = _one_line(told.stop_reason) or "nothing"
        return replace(told, outcome=Outcome.INCOMPLETE, problem=f"It gave “{why}” as the reason to stop.")
    if strange := [kind for block in blocks if (kind := _kind(block)) not in _BLOCKS]:
        return replace(told, problem=f"It came with a part of the kind “{_one_line(strange[0])}”.")
    try:
        decision = read_decision(told.said, ticker, facts, offered)
    except DecisionError as wrong:
        return replace(told, outcome=Outcome(wrong.kind), problem=str(wrong))
    return replace(told, outcome=Outcome.DECISION, decision=decision)


def _kind(block: object) -> str:
    return _word(getattr(block, "type", None))


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(usage: object, name: str) -> int | None:
    """A number of tokens; None where what stands there cannot be one."""
    value = getattr(usage, name, None)
    return value if type(value) is int and 0 <= value < 10**9 else None
